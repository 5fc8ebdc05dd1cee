//! What is to be told now: leased, told, settled.

use diesel::prelude::*;

use super::schema::write_back;
use super::{Row, ToldRow, ToldState, columns};
use crate::base::{EhrId, FhirId, LinkId, UtcMillis};
use crate::record::{Fact, Told};
use crate::store::conn::{Conn, Tx};
use crate::store::deliveries;
use crate::store::error::StoreError;
use crate::store::lease::Renewed;
use crate::store::prepared::Prepare as _;

/// Whether a lease would be given: a look at this costs no write.
///
/// # Errors
/// [`StoreError`].
pub fn is_anything_to_tell(conn: &mut Conn, ehr: &EhrId, now: UtcMillis) -> Result<bool, StoreError> {
    let first: Option<String> = write_back::table
        .filter(write_back::ehr.eq(ehr.as_str()))
        .filter(write_back::due_at.le(now.0))
        .filter(write_back::lease_until.is_null().or(write_back::lease_until.le(now.0)))
        .order(write_back::due_at.asc())
        .select(write_back::id)
        .first(conn)
        .optional()?;
    Ok(first.is_some())
}

/// Leases what is due first of `ehr`.
///
/// # Errors
/// [`StoreError`].
pub fn lease_told(tx: &mut Tx, ehr: &EhrId, now: UtcMillis, until: UtcMillis) -> Result<Option<ToldRow>, StoreError> {
    let candidate = diesel::alias!(write_back as candidate);
    let due = candidate
        .filter(candidate.field(write_back::ehr).eq(ehr.as_str()))
        .filter(candidate.field(write_back::due_at).le(now.0))
        .filter(
            candidate.field(write_back::lease_until).is_null().or(candidate.field(write_back::lease_until).le(now.0)),
        )
        .order((candidate.field(write_back::due_at).asc(), candidate.field(write_back::id).asc()))
        .limit(1)
        .select(candidate.field(write_back::id));
    let rows: Vec<Row> = diesel::update(
        write_back::table
            .filter(write_back::id.eq_any(due))
            .filter(write_back::due_at.le(now.0))
            .filter(write_back::lease_until.is_null().or(write_back::lease_until.le(now.0))),
    )
    .set((
        write_back::lease_until.eq(until.0),
        write_back::lease_holder.eq(tx.holder()),
        write_back::tries.eq(write_back::tries + 1),
    ))
    .returning(columns!())
    .prepared()
    .load(tx.conn())?;
    rows.into_iter().next().map(ToldRow::try_from).transpose()
}

/// The row as its leaseholder read it, and not leased anew since.
macro_rules! as_leased {
    ($row:expr) => {
        write_back::table
            .find($row.id.as_str())
            .filter(write_back::tries.eq($row.tries))
            .filter(write_back::state.eq($row.state.as_str()))
            .filter(write_back::lease_until.eq($row.lease_until.map(|at| at.0)))
            .filter(write_back::due_at.is_not_null())
    };
}

/// Lengthens the lease of `row`, unless another worker has it.
///
/// # Errors
/// [`StoreError`].
pub fn renew_told(tx: &mut Tx, row: ToldRow, until: UtcMillis) -> Result<Renewed<ToldRow>, StoreError> {
    let renewed =
        diesel::update(as_leased!(row)).set(write_back::lease_until.eq(until.0)).prepared().execute(tx.conn())?;
    Ok(if renewed == 1 { Renewed::Kept(ToldRow { lease_until: Some(until), ..row }) } else { Renewed::Lost })
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldEnd {
    pub state: ToldState,
    /// `None`: nothing is left to do.
    pub due_at: Option<UtcMillis>,
    /// Whether the tries begin anew: those that follow are of another thing.
    pub tries: i32,
    pub remote_id: Option<FhirId>,
    pub why: Option<String>,
}

/// Ends the lease of `row`. A Task that was over meanwhile is due at once.
///
/// # Errors
/// [`StoreError::Moved`] when another worker has it.
pub fn settle_told(tx: &mut Tx, row: &ToldRow, end: &ToldEnd, at: UtcMillis) -> Result<(), StoreError> {
    deliveries::hold(tx, &row.delivery)?;
    let remote = end.remote_id.as_ref().or(row.remote_id.as_ref()).map(FhirId::as_str);
    let over: Vec<Option<i64>> = diesel::update(as_leased!(row))
        .set((
            write_back::state.eq(end.state.as_str()),
            write_back::due_at.eq(end.due_at.map(|at| at.0)),
            write_back::lease_until.eq(None::<i64>),
            write_back::tries.eq(end.tries),
            write_back::remote_id.eq(remote),
            write_back::ended_at.eq(end.due_at.is_none().then_some(at.0)),
            write_back::why.eq(end.why.as_deref()),
        ))
        .returning(write_back::over_at)
        .prepared()
        .load(tx.conn())?;
    let [over] = over.as_slice() else { return Err(StoreError::Moved) };
    if over.is_some() && row.over_at.is_none() && end.state == ToldState::Open {
        diesel::update(write_back::table.find(row.id.as_str()))
            .set(write_back::due_at.eq(at.0))
            .prepared()
            .execute(tx.conn())?;
    }
    Ok(())
}

/// The Communication that tells of the message of `link`.
///
/// # Errors
/// [`StoreError`].
pub fn communication_of(conn: &mut Conn, link: &LinkId) -> Result<Option<ToldRow>, StoreError> {
    let row: Option<Row> = write_back::table
        .filter(write_back::link_id.eq(link.as_str()))
        .filter(write_back::fact.eq(Fact::Sent.as_str()))
        .filter(write_back::resource.eq(Told::Communication.as_str()))
        .order(write_back::at.asc())
        .select(columns!())
        .first(conn)
        .optional()?;
    row.map(ToldRow::try_from).transpose()
}
