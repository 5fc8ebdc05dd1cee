//! How many messages left lately: what the breaker goes by.

use diesel::prelude::*;

use super::conn::Conn;
use super::error::StoreError;
use super::notices::NoticeRow;
use super::rows::to_json;
use super::schema::{delivery, notice};
use crate::base::UtcMillis;
use crate::record::{Addressee, NoticeKind};

/// Deliveries whose messages are asked for at once: a statement of SQLite takes only so many values.
const COUNTED_TOGETHER: usize = 1000;

/// How many messages with links were first attempted in `from <= t < until`: the breaker's measure.
///
/// # Errors
/// [`StoreError`].
pub fn first_attempts_since(conn: &mut Conn, from: UtcMillis, until: UtcMillis) -> Result<i64, StoreError> {
    Ok(notice::table
        .filter(notice::first_attempt_at.ge(from.0))
        .filter(notice::first_attempt_at.lt(until.0))
        .filter(notice::kind.eq_any(kinds_counted()?))
        .count()
        .get_result(conn)?)
}

/// Whose messages the breaker counts.
#[derive(Clone, Copy)]
pub enum CountedBy {
    Address([u8; 32]),
    /// What one recipient gets about one patient.
    Patient {
        index: [u8; 32],
        to: Addressee,
    },
}

/// Which message of an address or patient since `since` this leased one is, counted from 1 in the order of first
/// attempts: those leased together with it count only when they come first.
///
/// # Errors
/// [`StoreError`].
pub fn number_within(
    conn: &mut Conn,
    whose: CountedBy,
    leased: &NoticeRow,
    since: UtcMillis,
) -> Result<i64, StoreError> {
    // Asked in two steps and counted here: in one, PostgreSQL may look through all messages for those of one address.
    let query = delivery::table.select(delivery::id).into_boxed();
    let query = match whose {
        CountedBy::Address(index) => query.filter(delivery::contact_index.eq(index.to_vec())),
        CountedBy::Patient { index, to } => {
            query.filter(delivery::patient_index.eq(index.to_vec())).filter(delivery::addressee_index.eq(to.to_bytes()))
        }
    };
    let deliveries: Vec<String> = query.load(conn)?;
    let (this, at) = (leased.id.as_str(), leased.first_attempt_at.unwrap_or(leased.created_at).0);
    let is_before = |(id, state, first): &(String, String, Option<i64>)| {
        let Some(first) = *first else { return false };
        let together_before = first == at && (state != "leased" || id.as_str() < this);
        id != this && first >= since.0 && (first < at || together_before)
    };
    let (mut before, kinds) = (0_usize, kinds_counted()?);
    for some in deliveries.chunks(COUNTED_TOGETHER) {
        let messages = notice::table
            .filter(notice::delivery_id.eq_any(some))
            .filter(notice::kind.eq_any(&kinds))
            .select((notice::id, notice::state, notice::first_attempt_at))
            .load(conn)?;
        before += messages.iter().filter(|message| is_before(message)).count();
    }
    Ok(i64::try_from(before).unwrap_or(i64::MAX - 1) + 1)
}

/// Codes are asked for by patients, so many an hour at most, and reminders are few for each link: they are no sign that something
/// runs wild.
pub(super) fn kinds_counted() -> Result<Vec<String>, StoreError> {
    [NoticeKind::Link, NoticeKind::UpdatedLink].iter().map(|kind| to_json("notice.kind", kind)).collect()
}
