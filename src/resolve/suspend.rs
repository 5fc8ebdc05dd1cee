//! Links that are refused for now, and let in again.
//!
//! Must stay true: what is out is refused reversibly; what has not left is not kept back by another report.

use super::conclude::step;
use crate::audit::Actor;
use crate::base::UtcMillis;
use crate::policy::ReviewReason;
use crate::record::{Link, LinkEvent, LiveUntil, SuspendedWhy};
use crate::store::{self, Delivery, StoreError, Tx};

/// What is out is refused, reversibly; what has not left yet is read again before it does.
pub(super) fn suspend(tx: &mut Tx, open: &[Delivery], why: SuspendedWhy, now: UtcMillis) -> Result<(), StoreError> {
    for delivery in open {
        let parted = leave_to_others(tx, delivery, now)?;
        let delivery = parted.as_ref().unwrap_or(delivery);
        match delivery.state {
            Link::Live { .. } => step(tx, delivery, LinkEvent::Suspend { why }, now)?,
            Link::Recorded | Link::Held { .. } => match why {
                SuspendedWhy::WentBack => {
                    step(tx, delivery, LinkEvent::NeedsReview { why: ReviewReason::WentBack }, now)?;
                }
                SuspendedWhy::RecipientGone => {
                    step(tx, delivery, LinkEvent::NeedsReview { why: ReviewReason::RecipientGone }, now)?;
                }
                SuspendedWhy::Gone | SuspendedWhy::ManyGone => {}
            },
            Link::Review { .. }
            | Link::Suspended { .. }
            | Link::Blocked
            | Link::Spent
            | Link::Expired
            | Link::Revoked { .. }
            | Link::Recalled
            | Link::Superseded { .. } => {}
        }
    }
    Ok(())
}

/// A message that has not left does not wait for the one report of several that is in doubt: that one leaves its link, and the
/// others leave again without it. `None`: it is alone, or its message left.
fn leave_to_others(tx: &mut Tx, delivery: &Delivery, now: UtcMillis) -> Result<Option<Delivery>, StoreError> {
    let Link::Live { until: LiveUntil::NotHandedOver } = delivery.state else { return Ok(None) };
    if !shares_link(tx, delivery)? {
        return Ok(None);
    }
    step(tx, delivery, LinkEvent::Parted, now)?;
    store::delivery(tx.conn(), &delivery.id)
}

/// Whether the delivery's link holds another's report, too.
pub(super) fn shares_link(tx: &mut Tx, delivery: &Delivery) -> Result<bool, StoreError> {
    match &delivery.link {
        Some(link) => Ok(store::sharers_of(tx.conn(), link)?.len() > 1),
        None => Ok(false),
    }
}

/// Lets a suspended link in again. The lease of its last opening may have run out meanwhile: then it is spent now.
pub(super) fn restore(tx: &mut Tx, delivery: &Delivery, now: UtcMillis) -> Result<(), StoreError> {
    step(tx, delivery, LinkEvent::Restored, now)?;
    match &delivery.link {
        Some(link) => store::spend_if_used_up(tx, link, Actor::System, now),
        None => Ok(()),
    }
}

pub(super) const fn is_suspended(delivery: &Delivery) -> bool {
    matches!(delivery.state, Link::Suspended { .. })
}
