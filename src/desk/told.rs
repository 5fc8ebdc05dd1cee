//! What EHRs are told of deliveries: how far that is, what could not be told, and what staff said there.

use serde::Serialize;

use super::{Desk, DeskError};
use crate::audit::{Actor, AuditEvent, Chain, Entry};
use crate::base::{DeliveryId, EhrId, UtcMillis};
use crate::record::Told;
use crate::store::{self, Conn, StoreError, ToldRow, ToldState};

/// Entries that one list shows at most.
pub const TOLD_LIST_MAX: i64 = 500;

/// How far one EHR is told.
#[derive(Clone, Debug, Serialize)]
pub struct HeardTold {
    /// What it is told.
    pub tells: Vec<&'static str>,
    pub waiting: u64,
    /// When the oldest that waits happened.
    pub waits_since: Option<String>,
    pub open_tasks: u64,
    pub failed: u64,
    pub skipped: u64,
    /// Why the oldest that failed or waits was not told so far.
    pub why: Option<String>,
}

/// One thing that an EHR is or was told.
#[derive(Clone, Debug, Serialize)]
pub struct ToldEntry {
    pub id: String,
    pub ehr: String,
    pub delivery: String,
    pub resource: &'static str,
    pub fact: &'static str,
    /// When it happened.
    pub at: String,
    pub state: &'static str,
    /// Its id at the EHR.
    pub remote_id: Option<String>,
    /// When it is tried or looked at again.
    pub again_at: Option<String>,
    pub why: Option<String>,
}

/// Which entries are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldAsked {
    /// What somebody should see: what waits, failed, was skipped, and Tasks that stand open.
    Unfinished,
    Everything,
}

impl ToldAsked {
    const fn states(self) -> &'static [ToldState] {
        match self {
            Self::Unfinished => &[ToldState::Waiting, ToldState::Open, ToldState::Failed, ToldState::Skipped],
            Self::Everything => &[
                ToldState::Waiting,
                ToldState::Open,
                ToldState::Failed,
                ToldState::Skipped,
                ToldState::Written,
                ToldState::Closed,
            ],
        }
    }
}

impl Desk {
    /// What `ehr` is or was told, the oldest first.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn told(&self, ehr: &EhrId, asked: ToldAsked) -> Result<Vec<ToldEntry>, DeskError> {
        let ehr = ehr.clone();
        let rows = self.store.read(move |conn| store::told_of(conn, &ehr, asked.states(), TOLD_LIST_MAX)).await?;
        Ok(rows.iter().map(ToldEntry::of).collect())
    }

    /// Has everything told once more that failed or was skipped. Returns how much that is.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn tell_again(&self, ehr: &EhrId) -> Result<u64, DeskError> {
        let (now, by, ehr) = (self.clock.now(), self.operator.clone(), ehr.clone());
        let again = self.store.write(move |tx| {
            let count = store::told_again(tx, &ehr, now)?;
            if count > 0 {
                let (chain, event) = (Chain::Ehr(ehr), AuditEvent::ToldAgain { count });
                store::append(tx, &Entry { chain, at: now, clinic: None, actor: Actor::Operator(by), event })?;
            }
            Ok(count)
        });
        Ok(again.await?)
    }
}

impl ToldEntry {
    fn of(row: &ToldRow) -> Self {
        Self {
            id: row.id.to_string(),
            ehr: row.ehr.to_string(),
            delivery: row.delivery.to_string(),
            resource: row.told.type_name(),
            fact: row.fact.as_str(),
            at: row.at.to_rfc3339(),
            state: row.state.as_str(),
            remote_id: row.remote_id.as_ref().map(ToString::to_string),
            again_at: row.due_at.map(UtcMillis::to_rfc3339),
            why: row.why.clone(),
        }
    }
}

/// What its EHR was told of one delivery.
pub(super) fn told_of_delivery(conn: &mut Conn, of: &DeliveryId) -> Result<Vec<ToldEntry>, StoreError> {
    Ok(store::told_of_delivery(conn, of)?.iter().map(ToldEntry::of).collect())
}

/// `None` where the EHR is told nothing and nothing is left of earlier.
pub(super) fn heard_told(conn: &mut Conn, ehr: &EhrId) -> Result<Option<HeardTold>, StoreError> {
    let tells: Vec<&'static str> = store::tells(conn, ehr)?.into_iter().map(Told::as_str).collect();
    let standing = store::told_standing(conn, ehr)?;
    let count = |state| standing.iter().find(|one| one.state == state);
    let number = |state| count(state).map_or(0, |one| one.count);
    let unfinished = number(ToldState::Waiting) + number(ToldState::Failed) + number(ToldState::Open);
    if tells.is_empty() && unfinished == 0 {
        return Ok(None);
    }
    let mut why = None;
    for state in [ToldState::Failed, ToldState::Waiting] {
        if why.is_none() {
            why = store::told_of(conn, ehr, &[state], 1)?.into_iter().next().and_then(|row| row.why);
        }
    }
    Ok(Some(HeardTold {
        tells,
        waiting: number(ToldState::Waiting),
        waits_since: count(ToldState::Waiting).and_then(|one| one.oldest).map(UtcMillis::to_rfc3339),
        open_tasks: number(ToldState::Open),
        failed: number(ToldState::Failed),
        skipped: number(ToldState::Skipped),
        why,
    }))
}
