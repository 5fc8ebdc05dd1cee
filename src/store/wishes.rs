//! What holders of ended links ask for: another link.
//!
//! Must stay true: one wish for each link, however often it is said.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::{delivery, wish};
use crate::base::{LinkId, UtcMillis};

/// Wishes for the link that a delivery still has, in the order in which they came: one with another link has been answered.
macro_rules! wished {
    () => {
        wish::table
            .inner_join(delivery::table.on(delivery::link_id.eq(wish::link_id.nullable())))
            .filter(wish::answered_at.is_null())
            .order((wish::asked_at.asc(), delivery::id.asc()))
    };
}

/// Notes that the holder of a link wants another. Returns whether that is news.
///
/// # Errors
/// [`StoreError`].
pub fn wish_for_link(tx: &mut Tx, link: &LinkId, at: UtcMillis) -> Result<bool, StoreError> {
    let new = (wish::link_id.eq(link.as_str()), wish::asked_at.eq(at.0));
    let written = tx.conn().transaction(|conn| {
        diesel::insert_into(wish::table).values(new).prepared().execute(conn).map_err(StoreError::from)
    });
    match written {
        Ok(_) => Ok(true),
        Err(StoreError::Duplicate) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the holder of a link said so.
///
/// # Errors
/// [`StoreError`].
pub fn is_wished_for(conn: &mut Conn, link: &LinkId) -> Result<bool, StoreError> {
    let found: Option<String> = wish::table.find(link.as_str()).select(wish::link_id).first(conn).optional()?;
    Ok(found.is_some())
}

/// The deliveries of links whose holders want another; who has waited longest comes first.
///
/// # Errors
/// [`StoreError`].
pub fn deliveries_wished_for(conn: &mut Conn, count: i64) -> Result<Vec<Delivery>, StoreError> {
    let ids = wished!().limit(count).select(delivery::id).load::<String>(conn)?;
    deliveries::by_ids(conn, &ids)
}

/// Of these, those at which nobody has looked.
///
/// # Errors
/// [`StoreError`].
pub fn new_wishes(conn: &mut Conn, count: i64) -> Result<Vec<Delivery>, StoreError> {
    let ids = wished!().filter(wish::looked_at.is_null()).limit(count).select(delivery::id).load::<String>(conn)?;
    deliveries::by_ids(conn, &ids)
}

/// Whether the holder of a link said so, and has none yet.
///
/// # Errors
/// [`StoreError`].
pub fn is_wish_open(conn: &mut Conn, link: &LinkId) -> Result<bool, StoreError> {
    let open = wish::table.find(link.as_str()).filter(wish::answered_at.is_null());
    let found: Option<String> = open.select(wish::link_id).first(conn).optional()?;
    Ok(found.is_some())
}

/// Another link was made in the place of this one.
///
/// # Errors
/// [`StoreError`].
pub fn answer_wish(tx: &mut Tx, link: &LinkId, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(wish::table.find(link.as_str())).set(wish::answered_at.eq(at.0)).prepared().execute(tx.conn())?;
    Ok(())
}

/// Notes that a wish was looked at. Returns whether nobody had.
///
/// # Errors
/// [`StoreError`].
pub fn note_wish_seen(tx: &mut Tx, link: &LinkId, at: UtcMillis) -> Result<bool, StoreError> {
    let unseen = wish::table.find(link.as_str()).filter(wish::looked_at.is_null());
    Ok(diesel::update(unseen).set(wish::looked_at.eq(at.0)).prepared().execute(tx.conn())? == 1)
}

/// Retention: the wishes of links that were made before `before`.
///
/// # Errors
/// [`StoreError`].
pub fn forget_wishes(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    Ok(diesel::delete(wish::table.filter(wish::asked_at.lt(before.0))).prepared().execute(tx.conn())? as u64)
}
