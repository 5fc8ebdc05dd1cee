//! What EHRs are told of deliveries: an outbox of its own, whose rows are written with the change that they tell of.
//!
//! Must stay true: nothing is told of what is decided in shadow, nor to an EHR that did not ask for it; a row holds references
//! alone, never an address, a link or a secret; whoever changes a delivery waits for nothing here.

mod notes;
pub(super) mod schema;
mod shown;
mod turns;

use diesel::prelude::*;

pub use notes::note_opened;
pub(super) use notes::{Whose, note_sent, note_state};
pub use shown::{ToldCount, forget_told, told_again, told_of, told_of_delivery, told_standing};
pub use turns::{ToldEnd, communication_of, is_anything_to_tell, lease_told, renew_told, settle_told};

use super::conn::{Conn, Tx};
use super::control::{control, set_control};
use super::error::StoreError;
use super::rows::{from_json, parse, parse_opt};
use crate::base::{DeliveryId, EhrId, FhirId, LinkId, ToldId, UtcMillis};
use crate::record::{Fact, Told};

/// How a thing to be told stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldState {
    /// It is to be written.
    Waiting,
    Written,
    /// A Task that stands at the EHR for somebody to end it.
    Open,
    /// A Task that was ended, there or by us.
    Closed,
    /// It was not written, and need not be.
    Skipped,
    /// It could not be written; staff see it.
    Failed,
}

impl ToldState {
    const ALL: [Self; 6] = [Self::Waiting, Self::Written, Self::Open, Self::Closed, Self::Skipped, Self::Failed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Written => "written",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// One thing to be told, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldRow {
    pub id: ToldId,
    pub ehr: EhrId,
    pub delivery: DeliveryId,
    /// The link that it tells of.
    pub link: Option<LinkId>,
    pub fact: Fact,
    pub told: Told,
    /// When it happened.
    pub at: UtcMillis,
    /// The versions of the reports that it tells of, as references.
    pub about: Vec<String>,
    pub state: ToldState,
    pub due_at: Option<UtcMillis>,
    /// The lease under which it was handed out.
    pub lease_until: Option<UtcMillis>,
    pub tries: i32,
    /// When the delivery moved on from what the Task asks for.
    pub over_at: Option<UtcMillis>,
    /// Its id at the EHR.
    pub remote_id: Option<FhirId>,
    pub ended_at: Option<UtcMillis>,
    pub why: Option<String>,
}

#[derive(Queryable)]
struct Row {
    id: String,
    ehr: String,
    delivery_id: String,
    link_id: Option<String>,
    fact: String,
    resource: String,
    at: i64,
    about: String,
    state: String,
    due_at: Option<i64>,
    lease_until: Option<i64>,
    tries: i32,
    over_at: Option<i64>,
    remote_id: Option<String>,
    ended_at: Option<i64>,
    why: Option<String>,
}

macro_rules! columns {
    () => {
        (
            write_back::id,
            write_back::ehr,
            write_back::delivery_id,
            write_back::link_id,
            write_back::fact,
            write_back::resource,
            write_back::at,
            write_back::about,
            write_back::state,
            write_back::due_at,
            write_back::lease_until,
            write_back::tries,
            write_back::over_at,
            write_back::remote_id,
            write_back::ended_at,
            write_back::why,
        )
    };
}
use columns;

impl TryFrom<Row> for ToldRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let bad = |column| move |()| StoreError::BadRow { column };
        let state = ToldState::ALL.into_iter().find(|state| state.as_str() == row.state);
        Ok(Self {
            id: parse("write_back.id", &row.id)?,
            ehr: parse("write_back.ehr", &row.ehr)?,
            delivery: parse("write_back.delivery_id", &row.delivery_id)?,
            link: parse_opt("write_back.link_id", row.link_id.as_deref())?,
            fact: row.fact.parse().map_err(bad("write_back.fact"))?,
            told: row.resource.parse().map_err(bad("write_back.resource"))?,
            at: UtcMillis(row.at),
            about: from_json("write_back.about", &row.about)?,
            state: state.ok_or(StoreError::BadRow { column: "write_back.state" })?,
            due_at: row.due_at.map(UtcMillis),
            lease_until: row.lease_until.map(UtcMillis),
            tries: row.tries,
            over_at: row.over_at.map(UtcMillis),
            remote_id: parse_opt("write_back.remote_id", row.remote_id.as_deref())?,
            ended_at: row.ended_at.map(UtcMillis),
            why: row.why,
        })
    }
}

/// What `ehr` is told. Kept in the database, so that every process that changes a delivery knows it, commands too.
///
/// # Errors
/// [`StoreError`].
pub fn tells(conn: &mut Conn, ehr: &EhrId) -> Result<Vec<Told>, StoreError> {
    let words = control(conn, &tells_row(ehr))?.unwrap_or_default();
    let read = |word: &str| word.parse().map_err(|()| StoreError::BadRow { column: "control.value" });
    words.split_ascii_whitespace().map(read).collect()
}

/// From now on `ehr` is told this. What waits already is written all the same.
///
/// # Errors
/// [`StoreError`].
pub fn set_tells(tx: &mut Tx, ehr: &EhrId, what: &[Told], at: UtcMillis) -> Result<(), StoreError> {
    let words = what.iter().map(|told| told.as_str()).collect::<Vec<_>>().join(" ");
    if control(tx.conn(), &tells_row(ehr))?.unwrap_or_default() == words {
        return Ok(());
    }
    set_control(tx, &tells_row(ehr), &words, at, "chartseal")
}

fn tells_row(ehr: &EhrId) -> String {
    format!("write_back:{ehr}")
}
