//! What becomes of deliveries when other rules come into force: how far that has come, and what waits for a person.
//!
//! Must stay true: a link's openings and life are only ever lowered here; a decision is replaced only where nobody else
//! moved the delivery meanwhile.

use std::time::Duration;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use super::conn::{Conn, Tx};
use super::control::{control, set_control};
use super::deliveries::{self, Delivery};
use super::dialect;
use super::error::StoreError;
use super::links;
use super::prepared::Prepare as _;
use super::rows::{from_json, parse, signed, to_json};
use super::schema::{delivery, link, rules_redecision};
use super::versions::rules_in_force;
use crate::base::{DeliveryId, LinkId, UtcMillis, minutes};
use crate::policy::{Decision, Facts, OpeningTerms};
use crate::record::Link;

/// The row that says how far it has come, and the lock of those who go on.
const REDECIDED: &str = "rules_redecided";

/// How long deliveries and messages wait for their decision by other rules.
const REDECISION_WAIT_MAX: Duration = minutes(2);

/// How far the deliveries have been decided again.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// The activation that this is about.
    n: i64,
    /// Where to go on; `None` at the beginning.
    after: Option<DeliveryId>,
    is_done: bool,
}

/// How far the deliveries have been decided again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redecision {
    /// Those after this one are left; `None`: all.
    From(Option<DeliveryId>),
    Done,
    /// Another transaction is at it.
    Elsewhere,
}

/// Where to go on for activation `n`. Held until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub fn begin_redecision(tx: &mut Tx, n: i64) -> Result<Redecision, StoreError> {
    if !dialect::try_lock_name(tx.conn(), REDECIDED)? {
        return Ok(Redecision::Elsewhere);
    }
    let mark: Option<Mark> =
        control(tx.conn(), REDECIDED)?.map(|text| from_json("control.rules_redecided", &text)).transpose()?;
    match mark {
        Some(mark) if mark.n == n && mark.is_done => Ok(Redecision::Done),
        Some(mark) if mark.n == n => Ok(Redecision::From(mark.after)),
        Some(_) | None => {
            // What waited for a person was about other rules.
            diesel::delete(rules_redecision::table).prepared().execute(tx.conn())?;
            Ok(Redecision::From(None))
        }
    }
}

/// Keeps how far it has come: to `after`, or to the end where that is `None`.
///
/// # Errors
/// [`StoreError`].
pub fn went_on_to(tx: &mut Tx, n: i64, after: Option<DeliveryId>, at: UtcMillis) -> Result<(), StoreError> {
    let mark = Mark { n, is_done: after.is_none(), after };
    set_control(tx, REDECIDED, &to_json("control.rules_redecided", &mark)?, at, "system")
}

/// Whether nothing may leave yet, since other rules have just come into force and not all is decided again. Not for long: where
/// no program can read the new rules, what was decided by those before goes on its way.
///
/// # Errors
/// [`StoreError`].
pub(super) fn waits_for_redecision(conn: &mut Conn, now: UtcMillis) -> Result<bool, StoreError> {
    let Some(row) = rules_in_force(conn, now)? else { return Ok(false) };
    if now >= row.effective_at.plus(REDECISION_WAIT_MAX) {
        return Ok(false);
    }
    let mark: Option<Mark> =
        control(conn, REDECIDED)?.map(|text| from_json("control.rules_redecided", &text)).transpose()?;
    Ok(!mark.is_some_and(|mark| mark.n == row.n && mark.is_done))
}

/// The next deliveries that other rules may matter to, by their ids.
///
/// # Errors
/// [`StoreError`].
pub fn undecided_after(conn: &mut Conn, after: Option<&DeliveryId>, count: i64) -> Result<Vec<DeliveryId>, StoreError> {
    let rows: Vec<String> = delivery::table
        .filter(delivery::state.eq_any(["recorded", "held", "review", "live", "suspended"]))
        .filter(delivery::id.gt(after.map_or("", DeliveryId::as_str)))
        .order(delivery::id.asc())
        .limit(count)
        .select(delivery::id)
        .load(conn)?;
    rows.iter().map(|id| parse("delivery.id", id)).collect()
}

/// Replaces the decision of a delivery that is held; a release under way begins again.
///
/// # Errors
/// [`StoreError::Moved`] when `before` is no longer what is stored.
pub fn set_decision(
    tx: &mut Tx,
    before: &Delivery,
    decision: &Decision,
    trace: &str,
    rules_hash: &str,
) -> Result<Delivery, StoreError> {
    let row_version = deliveries::row_version_of(before);
    let changed =
        diesel::update(delivery::table.find(before.id.as_str()).filter(delivery::row_version.eq(row_version)))
            .set((
                delivery::decision.eq(to_json("delivery.decision", decision)?),
                delivery::trace.eq(trace),
                delivery::rules_hash.eq(rules_hash),
                delivery::row_version.eq(row_version + 1),
                delivery::lease_until.eq(None::<i64>),
            ))
            .prepared()
            .execute(tx.conn())?;
    if changed != 1 {
        return Err(StoreError::Moved);
    }
    deliveries::delivery(tx.conn(), &before.id)?.ok_or(StoreError::Moved)
}

/// Keeps what the EHR says of a report by now beside the decision about it.
///
/// # Errors
/// [`StoreError`].
pub fn set_facts(tx: &mut Tx, id: &DeliveryId, facts: &Facts) -> Result<(), StoreError> {
    diesel::update(delivery::table.find(id.as_str()))
        .set(delivery::facts.eq(to_json("delivery.facts", facts)?))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Lowers what is left of a link: openings, life, its end where that is fixed, and what an opening gives. Never raises any of them.
/// Returns whether anything changed.
///
/// # Errors
/// [`StoreError`].
pub fn tighten_link(
    tx: &mut Tx,
    id: &LinkId,
    opens_max: u16,
    life_seconds: u64,
    expires_at: Option<UtcMillis>,
    opening: &OpeningTerms,
) -> Result<usize, StoreError> {
    let gives_less = tighten_opening(tx, id, opening)?;
    let life = signed("link.life_seconds", life_seconds)?;
    let living = || link::table.find(id.as_str()).filter(link::shredded_at.is_null());
    let fewer = diesel::update(living().filter(link::opens_max.gt(i32::from(opens_max))))
        .set(link::opens_max.eq(i32::from(opens_max)))
        .prepared()
        .execute(tx.conn())?;
    let shorter = diesel::update(living().filter(link::life_seconds.gt(life)))
        .set(link::life_seconds.eq(life))
        .prepared()
        .execute(tx.conn())?;
    let Some(expires_at) = expires_at else { return Ok(gives_less + fewer + shorter) };
    let sooner = diesel::update(living().filter(link::expires_at.gt(expires_at.0)))
        .set(link::expires_at.eq(expires_at.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(gives_less + fewer + shorter + sooner)
}

fn tighten_opening(tx: &mut Tx, id: &LinkId, opening: &OpeningTerms) -> Result<usize, StoreError> {
    links::hold(tx, id)?;
    let Some(link) = links::link(tx.conn(), id)? else { return Ok(0) };
    let tighter = link.opening.clone().joined(opening);
    if tighter == link.opening {
        return Ok(0);
    }
    let living = link::table.find(id.as_str()).filter(link::shredded_at.is_null());
    let changed = diesel::update(living)
        .set((
            link::view_seconds.eq(i32::try_from(tighter.view.as_secs()).unwrap_or(i32::MAX)),
            link::download.eq(to_json("link.download", &tighter.download)?),
            link::notify.eq(to_json("link.notify", &tighter.notify)?),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(changed)
}

/// Which way other rules would decide, where a person has to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotedVerdict {
    /// It has not left, and could under easier terms.
    Looser,
    /// Its link is out, and would not be.
    Stricter,
}

impl NotedVerdict {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Looser => "looser",
            Self::Stricter => "stricter",
        }
    }
}

impl std::str::FromStr for NotedVerdict {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Looser, Self::Stricter].into_iter().find(|one| one.as_str() == text).ok_or(())
    }
}

/// What other rules would decide about one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    pub delivery: DeliveryId,
    pub rules_hash: String,
    pub verdict: NotedVerdict,
    pub decision: Decision,
    pub trace: String,
    /// The state that the delivery would have.
    pub state: Link,
    pub noted_at: UtcMillis,
}

/// Keeps what a person has to say about, in place of what was kept before.
///
/// # Errors
/// [`StoreError`].
pub fn note_redecision(tx: &mut Tx, noted: &Noted) -> Result<(), StoreError> {
    forget_redecision(tx, &noted.delivery)?;
    diesel::insert_into(rules_redecision::table)
        .values((
            rules_redecision::delivery_id.eq(noted.delivery.as_str()),
            rules_redecision::rules_hash.eq(&noted.rules_hash),
            rules_redecision::verdict.eq(noted.verdict.as_str()),
            rules_redecision::decision.eq(to_json("rules_redecision.decision", &noted.decision)?),
            rules_redecision::trace.eq(&noted.trace),
            rules_redecision::state_detail.eq(to_json("rules_redecision.state_detail", &noted.state)?),
            rules_redecision::noted_at.eq(noted.noted_at.0),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// # Errors
/// [`StoreError`].
pub fn forget_redecision(tx: &mut Tx, id: &DeliveryId) -> Result<(), StoreError> {
    diesel::delete(rules_redecision::table.find(id.as_str())).prepared().execute(tx.conn())?;
    Ok(())
}

type Row = (String, String, String, String, String, String, i64);

fn noted_of(row: Row) -> Result<Noted, StoreError> {
    let (delivery, rules_hash, verdict, decision, trace, state, noted_at) = row;
    Ok(Noted {
        delivery: parse("rules_redecision.delivery_id", &delivery)?,
        rules_hash,
        verdict: parse("rules_redecision.verdict", &verdict)?,
        decision: from_json("rules_redecision.decision", &decision)?,
        trace,
        state: from_json("rules_redecision.state_detail", &state)?,
        noted_at: UtcMillis(noted_at),
    })
}

/// What was noted about one delivery.
///
/// # Errors
/// [`StoreError`].
pub fn noted_redecision(conn: &mut Conn, id: &DeliveryId) -> Result<Option<Noted>, StoreError> {
    let row: Option<Row> = rules_redecision::table.find(id.as_str()).first(conn).optional()?;
    row.map(noted_of).transpose()
}

/// What was noted and still matters, oldest delivery first: of a looser one, while it has not left; of a stricter one, while
/// its link is out.
///
/// # Errors
/// [`StoreError`].
pub fn noted_redecisions(conn: &mut Conn, verdict: NotedVerdict) -> Result<Vec<Noted>, StoreError> {
    let states: &[&str] = match verdict {
        NotedVerdict::Looser => &["recorded", "held", "review"],
        NotedVerdict::Stricter => &["live", "suspended"],
    };
    let rows: Vec<Row> = rules_redecision::table
        .inner_join(delivery::table.on(delivery::id.eq(rules_redecision::delivery_id)))
        .filter(rules_redecision::verdict.eq(verdict.as_str()))
        .filter(delivery::state.eq_any(states.to_vec()))
        .order((delivery::created_at.asc(), delivery::id.asc()))
        .select(rules_redecision::all_columns)
        .load(conn)?;
    rows.into_iter().map(noted_of).collect()
}
