//! SMART Health Links: what a health app may fetch of a link, as long as that is live.
//!
//! Must stay true: it answers exactly while its link would open, openings left or not; a passcode is counted before it is looked
//! at, in the statement that looks whether one is left; with the link everything goes by which it could be asked for.

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::challenges::Attempt;
use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::{parse, signed, unsigned};
use super::schema::{delivery, health_link, link};
use crate::base::{LinkId, UtcMillis};
use crate::policy::HealthLink;

/// What a new link offers.
#[derive(Clone)]
pub struct NewHealthLink {
    /// The keyed index of the id in its URL.
    pub id_index: [u8; 32],
    /// The hash of its passcode; `None` where it asks for none.
    pub passcode_sealed: Option<Vec<u8>>,
    /// Wrong passcodes that it takes in its life.
    pub attempts: u8,
    /// The encrypted file.
    pub blob: String,
    pub file_bytes: u64,
}

/// One that answers now.
#[derive(Clone)]
pub struct HealthLinkRow {
    pub link: LinkId,
    pub passcode_sealed: Option<Vec<u8>>,
    pub left: u8,
    pub blob: String,
    pub file_bytes: u64,
}

/// # Errors
/// [`StoreError`].
pub(super) fn insert_health_link(tx: &mut Tx, id: &LinkId, new: &NewHealthLink) -> Result<(), StoreError> {
    diesel::insert_into(health_link::table)
        .values((
            health_link::link_id.eq(id.as_str()),
            health_link::id_index.eq(new.id_index.to_vec()),
            health_link::passcode_sealed.eq(&new.passcode_sealed),
            health_link::attempts_left.eq(i32::from(new.attempts)),
            health_link::blob.eq(&new.blob),
            health_link::file_bytes.eq(signed("health_link.file_bytes", new.file_bytes)?),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// The one with this index, if its link is live.
///
/// # Errors
/// [`StoreError`].
pub fn standing_health_link(
    conn: &mut Conn,
    id_index: &[u8; 32],
    now: UtcMillis,
) -> Result<Option<HealthLinkRow>, StoreError> {
    type Row = (String, Option<Vec<u8>>, i32, String, i64);
    let row: Option<Row> = health_link::table
        .filter(health_link::id_index.eq(id_index.to_vec()))
        .select((
            health_link::link_id,
            health_link::passcode_sealed,
            health_link::attempts_left,
            health_link::blob,
            health_link::file_bytes,
        ))
        .first(conn)
        .optional()?;
    let Some((id, passcode_sealed, left, blob, bytes)) = row else { return Ok(None) };
    let row = HealthLinkRow {
        link: parse("health_link.link_id", &id)?,
        passcode_sealed,
        left: unsigned("health_link.attempts_left", left.into())?,
        blob,
        file_bytes: unsigned("health_link.file_bytes", bytes)?,
    };
    let Some(owner) = living_owner(conn, &row.link, now)? else { return Ok(None) };
    let states: Vec<(String, String)> = delivery::table
        .filter(delivery::link_id.eq(row.link.as_str()))
        .select((delivery::id, delivery::state))
        .load(conn)?;
    let is_live = states.iter().any(|(id, _)| *id == owner) && states.iter().all(|(_, state)| state == "live");
    Ok(is_live.then_some(row))
}

/// Takes one of the wrong passcodes that are left.
///
/// # Errors
/// [`StoreError`].
pub fn count_passcode(tx: &mut Tx, id: &LinkId, now: UtcMillis) -> Result<Attempt, StoreError> {
    let Some(owner) = living_owner(tx.conn(), id, now)? else { return Ok(Attempt::Refused) };
    let alive = link::table
        .filter(link::id.eq(id.as_str()))
        .filter(link::shredded_at.is_null())
        .filter(link::expires_at.gt(now.0))
        .select(link::id);
    let sharers = || delivery::table.filter(delivery::link_id.eq(id.as_str()));
    let counted = diesel::update(
        health_link::table
            .find(id.as_str())
            .filter(health_link::attempts_left.gt(0))
            .filter(health_link::link_id.eq_any(alive))
            .filter(exists(sharers().filter(delivery::id.eq(owner))))
            .filter(not(exists(sharers().filter(delivery::state.ne("live"))))),
    )
    .set(health_link::attempts_left.eq(health_link::attempts_left - 1))
    .prepared()
    .execute(tx.conn())?;
    Ok(if counted == 1 { Attempt::Counted } else { Attempt::Refused })
}

/// Gives back what was counted for a right passcode.
///
/// # Errors
/// [`StoreError`].
pub fn give_back_passcode(tx: &mut Tx, id: &LinkId) -> Result<(), StoreError> {
    let standing = health_link::table.find(id.as_str()).filter(health_link::id_index.is_not_null());
    diesel::update(standing)
        .set(health_link::attempts_left.eq(health_link::attempts_left + 1))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// How many wrong passcodes are left.
///
/// # Errors
/// [`StoreError`].
pub fn passcodes_left(conn: &mut Conn, id: &LinkId) -> Result<u8, StoreError> {
    let left: Option<i32> =
        health_link::table.find(id.as_str()).select(health_link::attempts_left).first(conn).optional()?;
    Ok(left.and_then(|left| u8::try_from(left).ok()).unwrap_or(0))
}

/// Ends one that is more than what rules allow by now. Returns whether there was one.
///
/// # Errors
/// [`StoreError`].
pub fn withdraw_health_link(tx: &mut Tx, id: &LinkId, allowed: HealthLink) -> Result<usize, StoreError> {
    let asks_nothing = health_link::table.find(id.as_str()).filter(health_link::passcode_sealed.is_null());
    let is_more = match allowed {
        HealthLink::Plain => false,
        HealthLink::Passcode => asks_nothing
            .select(health_link::id_index)
            .first(tx.conn())
            .optional()?
            .is_some_and(|index: Option<Vec<u8>>| index.is_some()),
        HealthLink::Never => true,
    };
    if is_more { end_health_link(tx, id) } else { Ok(0) }
}

/// Empties everything by which a dead link's could be asked for.
pub(super) fn end_health_link(tx: &mut Tx, id: &LinkId) -> Result<usize, StoreError> {
    Ok(diesel::update(health_link::table.find(id.as_str()).filter(health_link::id_index.is_not_null()))
        .set((health_link::id_index.eq(None::<Vec<u8>>), health_link::passcode_sealed.eq(None::<Vec<u8>>)))
        .prepared()
        .execute(tx.conn())?)
}

/// The encrypted file of what a link offers, as long as it lies in the blob store: its name there.
///
/// # Errors
/// [`StoreError`].
pub fn health_file(conn: &mut Conn, id: &LinkId) -> Result<Option<String>, StoreError> {
    health_file_of(conn, id.as_str())
}

/// The encrypted file of a link, as long as it lies in the blob store.
pub(super) fn health_file_of(conn: &mut Conn, id: &str) -> Result<Option<String>, StoreError> {
    Ok(health_link::table.find(id).select(health_link::blob).first(conn).optional()?)
}

/// Its file is removed.
pub(super) fn forget_health_link(tx: &mut Tx, id: &LinkId) -> Result<(), StoreError> {
    diesel::delete(health_link::table.find(id.as_str())).prepared().execute(tx.conn())?;
    Ok(())
}

/// Which of `blobs` are such files.
pub(super) fn known_health_files(conn: &mut Conn, blobs: &[String]) -> Result<Vec<String>, StoreError> {
    Ok(health_link::table.filter(health_link::blob.eq_any(blobs.to_vec())).select(health_link::blob).load(conn)?)
}

/// The delivery that a link was made for, while the link is neither shredded nor at its end.
fn living_owner(conn: &mut Conn, id: &LinkId, now: UtcMillis) -> Result<Option<String>, StoreError> {
    Ok(link::table
        .find(id.as_str())
        .filter(link::shredded_at.is_null())
        .filter(link::expires_at.gt(now.0))
        .select(link::delivery_id)
        .first(conn)
        .optional()?)
}
