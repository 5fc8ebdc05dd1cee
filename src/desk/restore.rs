//! After yesterday's database was put back: no dead link lives, nothing is sent twice.

use crate::audit::{Actor, AuditEvent, Chain};
use crate::base::{LinkId, UtcMillis};
use crate::policy::ReviewReason;
use crate::record::{Link, LinkEvent, NoticeEvent, RevokedBy};
use crate::store::{self, StoreError, Tx};

/// What was done, for the person who restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Links that had died after the backup was made.
    pub deaths_applied: u64,
    /// Live links that could not be accounted for.
    pub links_ended: u64,
    /// Deliveries and messages taken to review, because they may have left after the backup was made.
    pub to_review: u64,
    /// The database's new generation.
    pub generation: i64,
}

/// Brings a restored database in line with what is remembered outside it. One transaction.
///
/// `dead` are the links of the death journal; `unaccounted` live links whose epoch key is gone; `generation_seen` the
/// highest one remembered.
///
/// # Errors
/// [`StoreError`]; nothing is kept then.
pub fn after_restore(
    tx: &mut Tx,
    dead: &[LinkId],
    unaccounted: &[LinkId],
    generation_seen: i64,
    now: UtcMillis,
) -> Result<Restored, StoreError> {
    let mut restored = Restored { deaths_applied: end_links(tx, dead, now)?, ..Restored::default() };
    restored.links_ended = end_links(tx, unaccounted, now)?;
    restored.to_review = hold_outbox(tx, now)? + hold_releases(tx, now)?;
    store::follow_from(tx, now)?;
    restored.generation = store::generation(tx.conn())?.unwrap_or(0).max(generation_seen) + 1;
    store::set_generation(tx, restored.generation, now)?;
    let event = AuditEvent::RestoredFromBackup {
        generation: restored.generation,
        deaths_applied: restored.deaths_applied,
        links_ended: restored.links_ended,
    };
    store::record(tx, Chain::Installation, now, event)?;
    Ok(restored)
}

/// Ends links that must not live; returns how many did. Of several reports in one link nobody can say for the sake of which it
/// died, and whether the others left again in another: a person looks at each.
///
/// # Errors
/// [`StoreError`].
pub fn end_links(tx: &mut Tx, links: &[LinkId], now: UtcMillis) -> Result<u64, StoreError> {
    let mut ended = 0;
    for link in links {
        let Some(owner) = store::delivery_of_link(tx.conn(), link)? else {
            store::shred_link(tx, link, now)?;
            continue;
        };
        let event = match store::sharers_of(tx.conn(), link)?.as_slice() {
            [] | [_] => LinkEvent::Revoke { by: RevokedBy::Restore },
            [_, ..] => LinkEvent::NeedsReview { why: ReviewReason::Restored },
        };
        if let Ok(step) = owner.state.clone().step(event, now) {
            store::advance(tx, &owner, &step, Actor::System, now)?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// Every message that had not left may have left since: a person decides.
fn hold_outbox(tx: &mut Tx, now: UtcMillis) -> Result<u64, StoreError> {
    let mut held = 0;
    for notice in store::hold_unsent_notices(tx.conn())? {
        let Some(owner) = store::delivery(tx.conn(), &notice.delivery)? else { continue };
        let Ok(step) = notice.state.step(NoticeEvent::Cancel, now) else { continue };
        store::settle_notice(tx, &notice, &owner, &step, Some("the database was restored"), now)?;
        if notice.kind.brings_the_link() {
            held += to_review(tx, &owner, now)?;
        }
    }
    Ok(held)
}

/// Every delivery that was about to leave may have left since.
fn hold_releases(tx: &mut Tx, now: UtcMillis) -> Result<u64, StoreError> {
    let mut held = 0;
    for delivery in store::unreleased_deliveries(tx.conn())? {
        held += to_review(tx, &delivery, now)?;
    }
    Ok(held)
}

fn to_review(tx: &mut Tx, owner: &store::Delivery, now: UtcMillis) -> Result<u64, StoreError> {
    match owner.state {
        Link::Recorded | Link::Held { .. } | Link::Live { .. } | Link::Suspended { .. } => {
            let step = owner.state.clone().step(LinkEvent::NeedsReview { why: ReviewReason::Restored }, now)?;
            store::advance(tx, owner, &step, Actor::System, now).map(|()| 1)
        }
        Link::Review { .. }
        | Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => Ok(0),
    }
}
