//! When something went wrong: choose deliveries, see how many were opened, revoke them all by two people's word.
//!
//! Must stay true: the list is frozen when it is proposed; nobody approves what they proposed; each revocation is a deed of
//! the one who approved, with its reason, in the audit of its delivery; what was interrupted goes on where it stopped, by the
//! running service or whoever approves again, each delivery once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::operators::{Duty, Person, StaffRefusal};
use super::{Desk, DeskError, installation, revoke_held};
use crate::audit::{AuditEvent, Chain};
use crate::base::{Clock, DeliveryId, OperatorName, UtcMillis, minutes};
use crate::store::{
    self, Affected, Conn, IncidentApproval, IncidentCriteria, IncidentRow, Outcome, Store, StoreError, Struck, Tx,
};

/// Deliveries revoked in one transaction.
const BATCH: i64 = 25;
/// How often a batch is tried that meets other steps.
const TRIES_MAX: u32 = 5;
/// Whoever revokes and settles nothing for so long has died or given up: longer than all tries of one batch take.
const INTERRUPTED_AFTER: Duration = minutes(1);

/// What the criteria meet now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    pub deliveries: usize,
    pub by_state: BTreeMap<String, usize>,
    /// How many were opened at least once.
    pub opened: usize,
    /// How many can still be revoked.
    pub revocable: usize,
}

impl Preview {
    fn of(met: &[Struck]) -> Self {
        let mut preview = Self { deliveries: met.len(), ..Self::default() };
        for one in met {
            *preview.by_state.entry(one.state.clone()).or_default() += 1;
            preview.opened += usize::from(one.opened > 0);
            preview.revocable += usize::from(one.is_revocable());
        }
        preview
    }
}

/// One delivery of an incident, as staff see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AffectedShown {
    pub delivery: String,
    pub ehr: String,
    /// The report's resource at the EHR.
    pub resource: String,
    pub report_version: String,
    pub rules_hash: String,
    pub state: String,
    pub state_before: String,
    pub outcome: Option<&'static str>,
    /// How often it was opened: until its outcome, or until now.
    pub opened: u64,
    pub decided_at: String,
    /// When its message was first handed over.
    pub sent_at: Option<String>,
    pub settled_at: Option<String>,
}

/// The record of one incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentRecord {
    pub row: IncidentRow,
    pub affected: Vec<AffectedShown>,
}

/// Why an incident is not acted on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncidentRefusal {
    #[error("there is no incident {n}; `chartseal incident list` shows them")]
    Unknown { n: i64 },
    #[error("nobody approves the incident that they proposed: a second person has to look at it")]
    Own,
    #[error("no delivery meets these criteria, so there is nothing to propose")]
    Nothing,
}

impl Desk {
    /// What the criteria meet now; changes nothing.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn preview_incident(&self, criteria: IncidentCriteria) -> Result<Preview, DeskError> {
        Ok(Preview::of(&self.store.read(move |conn| store::struck(conn, &criteria)).await?))
    }

    /// Freezes what the criteria meet now; returns the incident's number and how many deliveries it has.
    ///
    /// # Errors
    /// [`DeskError::Incident`], [`DeskError::Staff`].
    pub async fn propose_incident(
        &self,
        by: &Person,
        criteria: IncidentCriteria,
        why: &str,
    ) -> Result<(i64, u64), DeskError> {
        by.may_by_key(Duty::Deliveries)?;
        let (now, by, why) = (self.clock.now(), by.clone(), why.to_owned());
        self.store
            .write(move |tx| {
                if !by.still_may(tx.conn(), Duty::Deliveries)? {
                    return Ok(Err(StaffRefusal::NotProven { name: by.name }.into()));
                }
                if store::struck(tx.conn(), &criteria)?.is_empty() {
                    return Ok(Err(IncidentRefusal::Nothing.into()));
                }
                let (incident, deliveries) = store::propose_incident(tx, &criteria, &why, &by.name, now)?;
                let criteria =
                    serde_json::to_string(&criteria).map_err(|_| StoreError::BadRow { column: "incident.criteria" })?;
                let event = AuditEvent::IncidentProposed { incident, why, criteria, deliveries };
                store::append(tx, &installation(now, by.name, event))?;
                Ok(Ok((incident, deliveries)))
            })
            .await?
    }

    /// Approves what another person proposed and revokes all that can be. Said again, by anybody, it goes on where it was
    /// interrupted.
    ///
    /// # Errors
    /// [`DeskError::Incident`], [`DeskError::Staff`].
    pub async fn approve_incident(&self, by: &Person, n: i64) -> Result<IncidentRecord, DeskError> {
        by.may_by_key(Duty::Deliveries)?;
        let (now, by) = (self.clock.now(), by.clone());
        let approved: Result<IncidentRow, DeskError> = self
            .store
            .write(move |tx| {
                if !by.still_may(tx.conn(), Duty::Deliveries)? {
                    return Ok(Err(StaffRefusal::NotProven { name: by.name }.into()));
                }
                match store::approve_incident(tx, n, &by.name, now)? {
                    IncidentApproval::Done(row) => {
                        store::append(tx, &installation(now, by.name, AuditEvent::IncidentApproved { incident: n }))?;
                        Ok(Ok(row))
                    }
                    IncidentApproval::Already(row) => Ok(Ok(row)),
                    IncidentApproval::Own => Ok(Err(IncidentRefusal::Own.into())),
                    IncidentApproval::Unknown => Ok(Err(IncidentRefusal::Unknown { n }.into())),
                }
            })
            .await?;
        let row = approved?;
        while next_batch(&self.store, &self.clock, &row).await? > 0 {}
        self.incident(n).await
    }

    /// Newest first.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn incidents(&self) -> Result<Vec<IncidentRow>, DeskError> {
        Ok(self.store.read(store::incidents).await?)
    }

    /// The record of one incident.
    ///
    /// # Errors
    /// [`DeskError::Incident`].
    pub async fn incident(&self, n: i64) -> Result<IncidentRecord, DeskError> {
        let found = self
            .store
            .read(move |conn| {
                let Some(row) = store::incident(conn, n)? else { return Ok(None) };
                let affected = store::affected_of(conn, n)?;
                let shown: Result<_, _> = affected.into_iter().map(|one| show(conn, one)).collect();
                Ok(Some(IncidentRecord { row, affected: shown? }))
            })
            .await?;
        Ok(found.ok_or(IncidentRefusal::Unknown { n })?)
    }
}

/// The step that goes on with approved incidents whose command died half-way.
pub struct InterruptedIncidents {
    pub store: Store,
    pub clock: Clock,
}

impl InterruptedIncidents {
    /// Goes on with each to its end. Returns how many deliveries got their outcome.
    ///
    /// # Errors
    /// [`StoreError`]; what was not done is found again.
    pub async fn turn(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let idle_since = now.minus(INTERRUPTED_AFTER);
        let idle = self.store.read(move |conn| store::interrupted_incidents(conn, idle_since)).await?;
        let mut settled = 0;
        for row in idle {
            let incident = row.clone();
            let mut last = self.store.write(move |tx| take_over(tx, &incident, idle_since, now)).await?;
            while last > 0 {
                settled += last;
                last = next_batch(&self.store, &self.clock, &row).await?;
            }
        }
        Ok(settled)
    }
}

/// The first batch of one that goes on, unless another replica was first.
fn take_over(tx: &mut Tx, incident: &IncidentRow, idle_since: UtcMillis, now: UtcMillis) -> Result<usize, StoreError> {
    store::hold_incident(tx, incident.n)?;
    if !store::interrupted_incidents(tx.conn(), idle_since)?.iter().any(|row| row.n == incident.n) {
        return Ok(0);
    }
    let left = store::unsettled_count(tx.conn(), incident.n)?;
    tracing::warn!(incident = incident.n, left, "an approved incident was interrupted; it goes on");
    let event = AuditEvent::IncidentCarriedOn { incident: incident.n, left };
    store::record(tx, Chain::Installation, now, event)?;
    revoke_batch(tx, incident, now)
}

async fn next_batch(store: &Store, clock: &Clock, row: &IncidentRow) -> Result<usize, StoreError> {
    for _ in 0..TRIES_MAX {
        let (now, incident) = (clock.now(), row.clone());
        match store.write(move |tx| revoke_batch(tx, &incident, now)).await {
            // It met a step of the service; both begin again.
            Err(error) if error.is_passing() => tracing::warn!(%error, "a batch of the incident is tried again"),
            other => return other,
        }
    }
    Err(StoreError::Unavailable { why: "other steps keep changing what is to be revoked" })
}

fn revoke_batch(tx: &mut Tx, incident: &IncidentRow, now: UtcMillis) -> Result<usize, StoreError> {
    let Some(approver) = &incident.approved_by else { return Ok(0) };
    store::hold_incident(tx, incident.n)?;
    let ids = store::unsettled_of(tx.conn(), incident.n, BATCH)?;
    for id in &ids {
        revoke_one(tx, incident, id, approver, now)?;
    }
    if ids.is_empty() && store::end_incident(tx, incident.n, now)? {
        let affected = store::affected_of(tx.conn(), incident.n)?;
        let count = |wanted: &[Outcome]| {
            affected.iter().filter(|one| one.outcome.is_some_and(|outcome| wanted.contains(&outcome))).count() as u64
        };
        let event = AuditEvent::IncidentEnded {
            incident: incident.n,
            revoked: count(&[Outcome::RevokedUnopened, Outcome::RevokedOpened]),
            opened: count(&[Outcome::RevokedOpened]),
            ended: count(&[Outcome::HadEnded]),
        };
        store::append(tx, &installation(now, approver.clone(), event))?;
    }
    Ok(ids.len())
}

fn revoke_one(
    tx: &mut Tx,
    incident: &IncidentRow,
    id: &DeliveryId,
    approver: &OperatorName,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let reason = format!("incident {}: {}", incident.n, incident.why);
    let revoked = revoke_held(tx, id, Some(reason), approver.clone(), now)?;
    // Counted after the link is refused: nobody opens it any more.
    let opened = store::opened_of(tx.conn(), id)?;
    let outcome = match (revoked, opened) {
        (Ok(()), 0) => Outcome::RevokedUnopened,
        (Ok(()), _) => Outcome::RevokedOpened,
        (Err(_), _) => Outcome::HadEnded,
    };
    store::settle_affected(tx, incident.n, id, outcome, opened, now)
}

fn show(conn: &mut Conn, affected: Affected) -> Result<AffectedShown, StoreError> {
    let delivery = store::delivery(conn, &affected.delivery)?.ok_or(StoreError::Moved)?;
    let source = store::source(conn, &delivery.source)?;
    let notices = store::notices_of(conn, &delivery.id)?;
    let opened = match affected.opened {
        Some(opened) => opened,
        None => store::opened_of(conn, &delivery.id)?,
    };
    let sent_at = notices.iter().filter_map(|notice| notice.first_attempt_at).min();
    Ok(AffectedShown {
        delivery: delivery.id.to_string(),
        ehr: delivery.ehr.to_string(),
        resource: source.map(|source| format!("{}/{}", source.key.kind, source.key.id)).unwrap_or_default(),
        report_version: delivery.report_version.to_string(),
        rules_hash: delivery.rules_hash,
        state: delivery.state.name().to_owned(),
        state_before: affected.state_before,
        outcome: affected.outcome.map(Outcome::as_str),
        opened,
        decided_at: delivery.created_at.to_rfc3339(),
        sent_at: sent_at.map(UtcMillis::to_rfc3339),
        settled_at: affected.settled_at.map(UtcMillis::to_rfc3339),
    })
}

impl IncidentRecord {
    /// The affected as a table for a spreadsheet: a line for each, no name, no address. RFC 4180.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut text = "delivery,ehr,resource,report_version,rules_hash,state,state_before,outcome,opened,decided_at,\
                        sent_at,settled_at\r\n"
            .to_owned();
        for one in &self.affected {
            let opened = one.opened.to_string();
            let cells = [
                one.delivery.as_str(),
                &one.ehr,
                &one.resource,
                &one.report_version,
                &one.rules_hash,
                &one.state,
                &one.state_before,
                one.outcome.unwrap_or_default(),
                &opened,
                &one.decided_at,
                one.sent_at.as_deref().unwrap_or_default(),
                one.settled_at.as_deref().unwrap_or_default(),
            ];
            let cells: Vec<String> = cells.into_iter().map(cell).collect();
            let _ = write!(text, "{}\r\n", cells.join(","));
        }
        text
    }
}

/// One cell. What a spreadsheet would take for a formula gets an apostrophe before it.
fn cell(text: &str) -> String {
    let defused = match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        Some(_) | None => text.to_owned(),
    };
    if defused.contains([',', '"', '\r', '\n']) { format!("\"{}\"", defused.replace('"', "\"\"")) } else { defused }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_stays_one_cell() {
        for (text, wanted) in [
            ("DiagnosticReport/7", "DiagnosticReport/7"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("a,b", "\"a,b\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
            ("", ""),
        ] {
            assert_eq!(cell(text), wanted);
        }
    }
}
