//! The few statements that only staff's deeds need.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::control::set_control;
use super::deliveries::{Delivery, DeliveryFilter, Mode, deliveries};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::delivery;
use crate::base::{DeliveryId, UtcMillis};

/// Whether anything may leave because of this delivery, from now on.
///
/// # Errors
/// [`StoreError`].
pub fn set_mode(tx: &mut Tx, id: &DeliveryId, mode: Mode) -> Result<(), StoreError> {
    diesel::update(delivery::table.find(id.as_str()))
        .set(delivery::mode.eq(mode.as_str()))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// The breaker has no further say about this delivery.
///
/// # Errors
/// [`StoreError`].
pub fn pass_breaker(tx: &mut Tx, id: &DeliveryId, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(delivery::table.find(id.as_str()))
        .set(delivery::breaker_passed_at.eq(at.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// # Errors
/// [`StoreError`].
pub fn set_generation(tx: &mut Tx, generation: i64, at: UtcMillis) -> Result<(), StoreError> {
    set_control(tx, "generation", &generation.to_string(), at, "system")
}

/// # Errors
/// [`StoreError`].
pub fn set_installation(tx: &mut Tx, id: &str, at: UtcMillis) -> Result<(), StoreError> {
    set_control(tx, "installation", id, at, "system")
}

/// Whatever was issued before `at` is not sent by itself from here on. It is heard of all the same, so that staff see it.
///
/// # Errors
/// [`StoreError`].
pub fn follow_from(tx: &mut Tx, at: UtcMillis) -> Result<(), StoreError> {
    set_control(tx, super::control::FOLLOWED_FROM, &at.0.to_string(), at, "system")
}

/// Every delivery that is decided to leave and has not.
///
/// # Errors
/// [`StoreError`].
pub fn unreleased_deliveries(conn: &mut Conn) -> Result<Vec<Delivery>, StoreError> {
    let mut found = Vec::new();
    for state in ["recorded", "held"] {
        let filter = DeliveryFilter { state: Some(state.to_owned()), count_max: i64::MAX, ..DeliveryFilter::default() };
        found.extend(deliveries(conn, &filter)?);
    }
    Ok(found)
}
