//! Incidents: a frozen list of deliveries, two people, and what became of each.
//!
//! Must stay true: who proposes never approves; the list never changes after the proposal; each delivery gets one outcome;
//! those who revoke for one incident do so one after the other.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use super::conn::{Conn, Tx};
use super::dialect;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::{from_json, parse, parse_opt, signed, to_json, unsigned};
use super::schema::{delivery, former_link, incident, incident_delivery, link};
use crate::base::{DeliveryId, EhrId, OperatorName, UtcMillis};

/// Deliveries whose traces are looked through at once.
const PAGE: i64 = 500;
/// The state of a delivery that no rule of its own time forbids to revoke.
const REVOCABLE: [&str; 5] = ["recorded", "held", "review", "live", "suspended"];

/// Which deliveries an incident is about; what is not said counts for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentCriteria {
    /// A rule that was in force for the decision.
    pub rule: Option<String>,
    /// The beginning of the hash of the rules that decided.
    pub version: Option<String>,
    pub ehr: Option<EhrId>,
    /// Decided at or after.
    pub from: Option<UtcMillis>,
    /// Decided before.
    pub to: Option<UtcMillis>,
}

/// A delivery that the criteria meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    pub delivery: DeliveryId,
    pub state: String,
    /// How often the links were opened that it had and has.
    pub opened: u64,
}

impl Struck {
    #[must_use]
    pub fn is_revocable(&self) -> bool {
        REVOCABLE.contains(&self.state.as_str())
    }
}

/// The deliveries that the criteria meet, by their ids. A delivery whose trace is past its retention has ended, and is not
/// found by its rule.
///
/// # Errors
/// [`StoreError`].
pub fn struck(conn: &mut Conn, criteria: &IncidentCriteria) -> Result<Vec<Struck>, StoreError> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = page_of(conn, criteria, &after)?;
        let Some((last, ..)) = page.last() else { return Ok(found) };
        after.clone_from(last);
        let before = opened_before(conn, page.iter().map(|(id, ..)| id.as_str()))?;
        for (id, state, trace, opened) in page {
            if criteria.rule.as_deref().is_some_and(|rule| !is_in_force(&trace, rule)) {
                continue;
            }
            let before: i64 = before.iter().filter(|(of, _)| *of == id).map(|(_, opened)| i64::from(*opened)).sum();
            let opened = unsigned("link.opened", before + i64::from(opened.unwrap_or(0)))?;
            found.push(Struck { delivery: parse("delivery.id", &id)?, state, opened });
        }
    }
}

type PageRow = (String, String, String, Option<i32>);

fn page_of(conn: &mut Conn, criteria: &IncidentCriteria, after: &str) -> Result<Vec<PageRow>, StoreError> {
    let mut query = delivery::table
        .left_join(link::table.on(link::id.nullable().eq(delivery::link_id)))
        .filter(delivery::id.gt(after.to_owned()))
        .into_boxed();
    if let Some(version) = &criteria.version {
        // Of hexadecimal digits alone: nothing that a pattern would read otherwise.
        let digits: String = version.chars().filter(char::is_ascii_hexdigit).collect();
        query = query.filter(delivery::rules_hash.like(format!("{}%", digits.to_ascii_lowercase())));
    }
    if let Some(ehr) = &criteria.ehr {
        query = query.filter(delivery::ehr.eq(ehr.as_str().to_owned()));
    }
    if let Some(from) = criteria.from {
        query = query.filter(delivery::created_at.ge(from.0));
    }
    if let Some(to) = criteria.to {
        query = query.filter(delivery::created_at.lt(to.0));
    }
    Ok(query
        .order(delivery::id.asc())
        .limit(PAGE)
        .select((delivery::id, delivery::state, delivery::trace, link::opened.nullable()))
        .load(conn)?)
}

/// How often the links were opened that these deliveries had before.
fn opened_before<'a>(conn: &mut Conn, ids: impl Iterator<Item = &'a str>) -> Result<Vec<(String, i32)>, StoreError> {
    Ok(former_link::table
        .inner_join(link::table.on(link::id.eq(former_link::link_id)))
        .filter(former_link::delivery_id.eq_any(ids))
        .select((former_link::delivery_id, link::opened))
        .load(conn)?)
}

/// Whether a stored trace says that `rule` was in force: an object with this id whose outcome says so, wherever it stands.
fn is_in_force(trace: &str, rule: &str) -> bool {
    let Ok(trace) = serde_json::from_str::<serde_json::Value>(trace) else { return false };
    let mut left = vec![&trace];
    while let Some(value) = left.pop() {
        if let Some(fields) = value.as_object() {
            let outcome = fields.get("outcome").map(|outcome| outcome.get("outcome").unwrap_or(outcome));
            let says_so = outcome.and_then(|outcome| outcome.as_str()) == Some("in_force");
            if says_so && fields.get("id").and_then(|id| id.as_str()) == Some(rule) {
                return true;
            }
            left.extend(fields.values());
        }
        left.extend(value.as_array().into_iter().flatten());
    }
    false
}

/// An incident without its deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentRow {
    pub n: i64,
    pub why: String,
    pub criteria: IncidentCriteria,
    pub proposed_by: OperatorName,
    pub proposed_at: UtcMillis,
    pub approved_by: Option<OperatorName>,
    pub approved_at: Option<UtcMillis>,
    /// When the last delivery got its outcome.
    pub ended_at: Option<UtcMillis>,
}

type Row = (i64, String, String, String, i64, Option<String>, Option<i64>, Option<i64>);

fn incident_of(row: Row) -> Result<IncidentRow, StoreError> {
    let (n, why, criteria, proposed_by, proposed_at, approved_by, approved_at, ended_at) = row;
    Ok(IncidentRow {
        n,
        why,
        criteria: from_json("incident.criteria", &criteria)?,
        proposed_by: parse("incident.proposed_by", &proposed_by)?,
        proposed_at: UtcMillis(proposed_at),
        approved_by: parse_opt("incident.approved_by", approved_by.as_deref())?,
        approved_at: approved_at.map(UtcMillis),
        ended_at: ended_at.map(UtcMillis),
    })
}

/// Newest first.
///
/// # Errors
/// [`StoreError`].
pub fn incidents(conn: &mut Conn) -> Result<Vec<IncidentRow>, StoreError> {
    let rows: Vec<Row> = incident::table.order(incident::n.desc()).load(conn)?;
    rows.into_iter().map(incident_of).collect()
}

/// # Errors
/// [`StoreError`].
pub fn incident(conn: &mut Conn, n: i64) -> Result<Option<IncidentRow>, StoreError> {
    let row: Option<Row> = incident::table.find(n).first(conn).optional()?;
    row.map(incident_of).transpose()
}

/// Freezes the list of what the criteria meet now; returns the incident's number and how many it met.
///
/// # Errors
/// [`StoreError`].
pub fn propose_incident(
    tx: &mut Tx,
    criteria: &IncidentCriteria,
    why: &str,
    by: &OperatorName,
    at: UtcMillis,
) -> Result<(i64, u64), StoreError> {
    let met = struck(tx.conn(), criteria)?;
    let numbers: Vec<i64> = diesel::insert_into(incident::table)
        .values((
            incident::why.eq(why),
            incident::criteria.eq(to_json("incident.criteria", criteria)?),
            incident::proposed_by.eq(by.as_str()),
            incident::proposed_at.eq(at.0),
        ))
        .returning(incident::n)
        .prepared()
        .load(tx.conn())?;
    let n = numbers.first().copied().ok_or(StoreError::Moved)?;
    for one in &met {
        diesel::insert_into(incident_delivery::table)
            .values((
                incident_delivery::incident.eq(n),
                incident_delivery::delivery_id.eq(one.delivery.as_str()),
                incident_delivery::state_before.eq(&one.state),
            ))
            .prepared()
            .execute(tx.conn())?;
    }
    Ok((n, met.len() as u64))
}

/// What became of an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncidentApproval {
    Done(IncidentRow),
    Unknown,
    /// Nobody approves what they proposed.
    Own,
    /// Somebody did before: what is left goes on.
    Already(IncidentRow),
}

/// # Errors
/// [`StoreError`].
pub fn approve_incident(tx: &mut Tx, n: i64, by: &OperatorName, at: UtcMillis) -> Result<IncidentApproval, StoreError> {
    let changed = diesel::update(
        incident::table.find(n).filter(incident::approved_by.is_null()).filter(incident::proposed_by.ne(by.as_str())),
    )
    .set((incident::approved_by.eq(by.as_str()), incident::approved_at.eq(at.0)))
    .prepared()
    .execute(tx.conn())?;
    Ok(match incident(tx.conn(), n)? {
        None => IncidentApproval::Unknown,
        Some(row) if changed == 1 => IncidentApproval::Done(row),
        Some(row) if row.approved_by.is_some() => IncidentApproval::Already(row),
        Some(_) => IncidentApproval::Own,
    })
}

/// What became of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Revoked; nobody had opened it.
    RevokedUnopened,
    /// Revoked; it had been opened.
    RevokedOpened,
    /// It had ended before.
    HadEnded,
}

impl Outcome {
    pub const ALL: [Self; 3] = [Self::RevokedUnopened, Self::RevokedOpened, Self::HadEnded];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RevokedUnopened => "revoked_unopened",
            Self::RevokedOpened => "revoked_opened",
            Self::HadEnded => "had_ended",
        }
    }
}

impl std::str::FromStr for Outcome {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or(())
    }
}

/// One delivery of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    pub delivery: DeliveryId,
    /// When the list was frozen.
    pub state_before: String,
    pub outcome: Option<Outcome>,
    /// How often it had been opened when it got its outcome.
    pub opened: Option<u64>,
    pub settled_at: Option<UtcMillis>,
}

type AffectedColumns = (String, String, Option<String>, Option<i64>, Option<i64>);

/// All of an incident, by their ids.
///
/// # Errors
/// [`StoreError`].
pub fn affected_of(conn: &mut Conn, n: i64) -> Result<Vec<Affected>, StoreError> {
    let rows: Vec<AffectedColumns> = incident_delivery::table
        .filter(incident_delivery::incident.eq(n))
        .order(incident_delivery::delivery_id.asc())
        .select((
            incident_delivery::delivery_id,
            incident_delivery::state_before,
            incident_delivery::outcome,
            incident_delivery::opened,
            incident_delivery::settled_at,
        ))
        .load(conn)?;
    rows.into_iter()
        .map(|(delivery, state_before, outcome, opened, settled_at)| {
            Ok(Affected {
                delivery: parse("incident_delivery.delivery_id", &delivery)?,
                state_before,
                outcome: parse_opt("incident_delivery.outcome", outcome.as_deref())?,
                opened: opened.map(|count| unsigned("incident_delivery.opened", count)).transpose()?,
                settled_at: settled_at.map(UtcMillis),
            })
        })
        .collect()
}

/// The next of an incident that have no outcome yet.
///
/// # Errors
/// [`StoreError`].
pub fn unsettled_of(conn: &mut Conn, n: i64, count: i64) -> Result<Vec<DeliveryId>, StoreError> {
    let rows: Vec<String> = incident_delivery::table
        .filter(incident_delivery::incident.eq(n))
        .filter(incident_delivery::outcome.is_null())
        .order(incident_delivery::delivery_id.asc())
        .limit(count)
        .select(incident_delivery::delivery_id)
        .load(conn)?;
    rows.iter().map(|id| parse("incident_delivery.delivery_id", id)).collect()
}

/// The approved ones that have not ended, and of which nothing has got its outcome since `idle_since`.
///
/// # Errors
/// [`StoreError`].
pub fn interrupted_incidents(conn: &mut Conn, idle_since: UtcMillis) -> Result<Vec<IncidentRow>, StoreError> {
    let went_on = incident_delivery::table
        .filter(incident_delivery::incident.eq(incident::n))
        .filter(incident_delivery::settled_at.gt(idle_since.0));
    let rows: Vec<Row> = incident::table
        .filter(incident::approved_at.le(idle_since.0))
        .filter(incident::ended_at.is_null())
        .filter(diesel::dsl::not(diesel::dsl::exists(went_on)))
        .order(incident::n.asc())
        .load(conn)?;
    rows.into_iter().map(incident_of).collect()
}

/// Holds an incident until the transaction ends: nobody else settles what is affected meanwhile.
///
/// # Errors
/// [`StoreError`].
pub fn hold_incident(tx: &mut Tx, n: i64) -> Result<(), StoreError> {
    dialect::lock_name(tx.conn(), &format!("incident:{n}"))
}

/// How many of an incident have no outcome yet.
///
/// # Errors
/// [`StoreError`].
pub fn unsettled_count(conn: &mut Conn, n: i64) -> Result<u64, StoreError> {
    let count: i64 = incident_delivery::table
        .filter(incident_delivery::incident.eq(n))
        .filter(incident_delivery::outcome.is_null())
        .count()
        .get_result(conn)?;
    unsigned("incident_delivery.outcome", count)
}

/// Keeps the outcome of one delivery, once.
///
/// # Errors
/// [`StoreError::Moved`] when it has one.
pub fn settle_affected(
    tx: &mut Tx,
    n: i64,
    id: &DeliveryId,
    outcome: Outcome,
    opened: u64,
    at: UtcMillis,
) -> Result<(), StoreError> {
    let changed =
        diesel::update(incident_delivery::table.find((n, id.as_str())).filter(incident_delivery::outcome.is_null()))
            .set((
                incident_delivery::outcome.eq(outcome.as_str()),
                incident_delivery::opened.eq(signed("incident_delivery.opened", opened)?),
                incident_delivery::settled_at.eq(at.0),
            ))
            .prepared()
            .execute(tx.conn())?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Moved) }
}

/// Notes that every delivery has its outcome; returns whether this call was the first to.
///
/// # Errors
/// [`StoreError`].
pub fn end_incident(tx: &mut Tx, n: i64, at: UtcMillis) -> Result<bool, StoreError> {
    let changed = diesel::update(incident::table.find(n).filter(incident::ended_at.is_null()))
        .set(incident::ended_at.eq(at.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(changed == 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_rule_is_found_where_it_was_in_force_and_nowhere_else() {
        let trace = r#"{"profiles":[{"id":"a","outcome":{"outcome":"in_force"}},
            {"id":"b","outcome":{"outcome":"not_matched","failed":"code"}},{"id":"c","outcome":"in_force"}],
            "columns":[{"column":"expiry","by":["b"]}]}"#;
        let found: BTreeSet<&str> = ["a", "b", "c", "d"].into_iter().filter(|rule| is_in_force(trace, rule)).collect();
        assert_eq!(found, BTreeSet::from(["a", "c"]));
        assert!(!is_in_force("", "a") && !is_in_force("not json", "a"));
    }
}
