//! One further look at an EHR: leased, made, settled.

use std::time::Duration;

use super::hearing::Walked;
use super::poll::{FORGOTTEN, wait_after};
use super::{HeardEhr, Intake, IntakeError, Seeks};
use crate::audit::{AuditEvent, Chain};
use crate::base::{EhrId, ResourceType, UtcMillis, hours};
use crate::fhir::{EhrError, OFFERS_KEPT};
use crate::store::{self, LEASE, Look, LookEnd, LookRow, Offered, StoreError, Tx};

/// What is too much for one look is left alone for so long.
const TOO_MUCH_WAIT: Duration = hours(1);

/// The ways in which an EHR is looked at beside its polls, and when each begins.
pub(super) fn begun_at(ehr: &HeardEhr, now: UtcMillis) -> Vec<(Look, UtcMillis)> {
    let mut looks: Vec<_> = ResourceType::ALL.into_iter().map(|kind| (Look::History(kind), now)).collect();
    match &ehr.seeks {
        Seeks::Patients(_) => looks.push((Look::Panel, now)),
        Seeks::Everybody if ehr.by_date_every.is_zero() => {}
        Seeks::Everybody => {
            looks.extend(ResourceType::ALL.map(|kind| (Look::ByDate(kind), now.plus(ehr.by_date_every))));
        }
    }
    looks
}

pub(super) fn begin(
    tx: &mut Tx,
    ehr: &EhrId,
    looks: &[(Look, UtcMillis)],
    watermark: UtcMillis,
) -> Result<(), StoreError> {
    if !looks.iter().any(|(what, _)| *what == Look::Panel) {
        store::end_panel(tx, ehr)?;
    }
    looks.iter().try_for_each(|(what, first_at)| store::ensure_look(tx, ehr, *what, watermark, *first_at))
}

impl Intake {
    /// Makes one look if it is due. Returns whether it was.
    pub(super) async fn look_turn<F>(
        &self,
        ehr: &HeardEhr,
        what: Look,
        look: impl FnOnce(LookRow, UtcMillis) -> F + Send,
    ) -> Result<usize, IntakeError>
    where
        F: Future<Output = Result<LookEnd, IntakeError>> + Send,
    {
        let (id, now) = (ehr.client.id().clone(), self.clock.now());
        let asked = id.clone();
        if !self.store.read(move |conn| store::is_look_due(conn, &asked, what, now)).await? {
            return Ok(0);
        }
        let row = self.store.write(move |tx| store::lease_look(tx, &id, what, now, now.plus(LEASE))).await?;
        let Some(row) = row else { return Ok(0) };
        let renew = |held| {
            let until = self.clock.now().plus(LEASE);
            self.store.write(move |tx| store::renew_look(tx, held, until))
        };
        let looked = store::while_kept(look(row.clone(), now), row.clone(), self.renew_every, renew).await?;
        let Some((end, held)) = looked else { return Ok(1) };
        let news = end.why.clone().filter(|_| end.why != row.why);
        if let Some(why) = &news {
            tracing::warn!(ehr = %held.ehr, look = %held.what, why, "a look at an EHR failed; it is made again");
        }
        self.store
            .write(move |tx| {
                if let Some(why) = news {
                    let (kind, chain) = (held.what.to_string(), Chain::Ehr(held.ehr.clone()));
                    store::record(tx, chain, now, AuditEvent::PollFault { kind, why })?;
                }
                store::settle_look(tx, &held, &end, now)
            })
            .await?;
        Ok(1)
    }
}

/// The end of a look that was no walk, or not to its end.
pub(super) fn failed(row: &LookRow, error: &EhrError, ehr: &HeardEhr, now: UtcMillis) -> LookEnd {
    let next_at = now.plus(wait_after(error, ehr));
    LookEnd { watermark: None, offered: row.offered, next_at, why: Some(error.to_string()) }
}

/// The EHR cannot be looked at in this way; perhaps on another day.
pub(super) fn not_offered(now: UtcMillis) -> LookEnd {
    LookEnd { watermark: None, offered: Offered::No, next_at: now.plus(OFFERS_KEPT), why: None }
}

/// The end of a look that walked; `whole` is how far it has seen if it is whole, and when it comes next.
pub(super) fn walked(
    row: &LookRow,
    walked: Walked,
    whole: impl FnOnce(Option<UtcMillis>) -> (UtcMillis, UtcMillis),
    ehr: &HeardEhr,
    now: UtcMillis,
) -> LookEnd {
    let fault =
        |why: &str, next_at| LookEnd { watermark: None, offered: Offered::Yes, next_at, why: Some(why.to_owned()) };
    let soon = now.plus(ehr.poll_every);
    match walked {
        Walked::Whole { date } => {
            let (watermark, next_at) = whole(date);
            LookEnd { watermark: Some(watermark), offered: Offered::Yes, next_at, why: None }
        }
        Walked::Incomplete { why } => fault(why, soon),
        // At once, but not for ever.
        Walked::Forgotten => fault(FORGOTTEN, if row.why.as_deref() == Some(FORGOTTEN) { soon } else { now }),
        Walked::TooMuch => fault("it shows more at once than is taken", now.plus(TOO_MUCH_WAIT)),
        Walked::Failed(error) => failed(row, &error, ehr, now),
    }
}
