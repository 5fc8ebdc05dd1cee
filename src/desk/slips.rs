//! Slips: printed with a code for a patient to keep, bound to the order whose report they open.
//!
//! Must stay true: a code is given out once, to be printed; what is kept is a slow hash. A slip opens nothing without the link.

use super::{Desk, DeskError};
use crate::audit::{Actor, AuditEvent, Chain, Entry};
use crate::base::{ClinicId, EhrId, SecretText, SlipCode, SlipReference, random};
use crate::sealing::{AnswerHash, Purpose};
use crate::store::{self, Bound, NewSlip};

/// Slips that are printed at once: each takes a fifth of a second.
pub const SLIPS_MAX: u16 = 500;

/// An order of an EHR: the id of its `ServiceRequest` there.
#[derive(Clone)]
pub struct Order {
    pub ehr: EhrId,
    pub id: String,
}

/// A slip as it goes to the printer.
pub struct Slip {
    pub reference: String,
    pub code: SecretText,
}

impl Desk {
    /// Makes slips of `clinic`, all for one order, or for nobody yet.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn print_slips(
        &self,
        count: u16,
        clinic: ClinicId,
        order: Option<Order>,
    ) -> Result<Vec<Slip>, DeskError> {
        let index = order.as_ref().map(|order| self.vault.order_index(&order.ehr, &order.id));
        let (vault, count) = (self.vault.clone(), count.min(SLIPS_MAX));
        let made = tokio::task::spawn_blocking(move || {
            let one = |_| {
                let mut rng = random::system();
                let (reference, code) = (SlipReference::random(&mut rng), SlipCode::random(&mut rng));
                let hash = AnswerHash::of(vault.pepper(), code.expose(), &mut rng);
                let code_sealed = vault.seal_record(Purpose::Answer, reference.as_str(), &hash.to_bytes());
                let slip = Slip { reference: reference.grouped(), code: code.grouped() };
                (NewSlip { reference, clinic: clinic.clone(), code_sealed, order_index: index }, slip)
            };
            (0..count).map(one).unzip::<NewSlip, Slip, Vec<_>, Vec<_>>()
        });
        let (kept, slips) = made.await.map_err(|_| DeskError::Stopped)?;
        let (now, by) = (self.clock.now(), self.operator.clone());
        let event = AuditEvent::SlipsPrinted {
            references: kept.iter().map(|slip| slip.reference.grouped()).collect(),
            bound: order.map(|order| order.ehr),
        };
        let clinic = kept.first().map(|slip| slip.clinic.clone());
        self.store
            .write(move |tx| {
                for slip in &kept {
                    store::insert_slip(tx, slip, &by, now)?;
                }
                let (chain, actor) = (Chain::Installation, Actor::Operator(by));
                store::append(tx, &Entry { chain, at: now, clinic, actor, event })
            })
            .await?;
        Ok(slips)
    }

    /// Says for which order a slip is.
    ///
    /// # Errors
    /// [`DeskError::NoSlip`]; [`DeskError::SlipBound`].
    pub async fn bind_slip(&self, asked: &str, order: Order) -> Result<String, DeskError> {
        let reference = SlipReference::parse_typed(asked).ok_or(DeskError::NoSlip)?;
        let index = self.vault.order_index(&order.ehr, &order.id);
        let (now, by, shown) = (self.clock.now(), self.operator.clone(), reference.grouped());
        let done = self
            .store
            .write(move |tx| {
                let done = store::bind_slip(tx, &reference, &index, &by, now)?;
                if done == Bound::Done {
                    let event = AuditEvent::SlipBound { reference: reference.grouped(), ehr: order.ehr };
                    let (chain, actor) = (Chain::Installation, Actor::Operator(by));
                    store::append(tx, &Entry { chain, at: now, clinic: None, actor, event })?;
                }
                Ok(done)
            })
            .await?;
        match done {
            Bound::Done => Ok(shown),
            Bound::Unknown => Err(DeskError::NoSlip),
            Bound::Before => Err(DeskError::SlipBound),
        }
    }
}
