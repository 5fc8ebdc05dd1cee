//! The breaker: an unusual number of messages stops by itself, and says why.
//!
//! A message counts for the hour in which it was ready to leave. One that quiet hours kept counts where they first kept it,
//! and not again in the morning: the hour that carries a whole night's messages is no accident. An accident shows all the
//! same, and sooner: a loop or a wrong import makes as many messages ready in an hour of the night as in one of the day, and
//! sending is paused before the first of them leaves. They leave at a pace of their own (`policy::quiet`).

use super::{Outbox, OutboxError};
use crate::audit::{AuditEvent, Chain};
use crate::base::{UtcMillis, hours};
use crate::policy::{RecipientRole, ReviewReason};
use crate::store::{self, CountedBy, LeasedNotice, Pause, StoreError, Tx};

/// The usual is measured over this many hours.
const USUAL_HOURS: u64 = 7 * 24;
/// An hour with fewer messages than this never trips it: a small clinic's busy hour is not an accident.
const HOUR_FLOOR: i64 = 200;

/// When the breaker trips.
#[derive(Clone, Copy, Debug)]
pub struct BreakerLimits {
    /// An hour may have so many times the usual.
    pub hour_multiple: u64,
    pub per_address_day_max: u64,
    pub per_patient_day_max: u64,
}

/// What an hour may have, once it was counted: a week is long to count, and moves little within a turn.
#[derive(Clone, Copy, Default)]
pub(super) struct AllowedInHour(Option<i64>);

/// Pauses all sending when the last hour was unlike the week before.
pub(super) fn judge_hour(
    tx: &mut Tx,
    limits: BreakerLimits,
    counted: &mut AllowedInHour,
    now: UtcMillis,
) -> Result<(), StoreError> {
    if store::paused(tx.conn())? != Pause::Running {
        return Ok(());
    }
    let hour_ago = now.minus(hours(1));
    // Who resumes has seen what was sent until then.
    let unseen = store::resumed_at(tx.conn())?.map_or(hour_ago, |resumed| resumed.max(hour_ago));
    let last_hour = store::ready_between(tx.conn(), unseen, now, HOUR_FLOOR)?;
    if last_hour <= HOUR_FLOOR {
        return Ok(());
    }
    let allowed = if let AllowedInHour(Some(allowed)) = *counted {
        allowed
    } else {
        let week = store::first_attempts_since(tx.conn(), now.minus(hours(USUAL_HOURS)), hour_ago)?;
        allowed_in_hour(week, limits.hour_multiple)
    };
    *counted = AllowedInHour(Some(allowed));
    if last_hour <= allowed {
        return Ok(());
    }
    let why = format!(
        "the breaker tripped: {last_hour} messages became ready in the last hour, where {allowed} are allowed by the usual; \
         look at the deliveries and then run `chartseal resume`"
    );
    tracing::error!(why, "sending is paused");
    store::pause(tx, &why, now, "breaker")?;
    store::record(tx, Chain::Installation, now, AuditEvent::Paused { why })
}

fn allowed_in_hour(week: i64, multiple: u64) -> i64 {
    let usual = week / i64::try_from(USUAL_HOURS).unwrap_or(i64::MAX);
    usual.saturating_mul(i64::try_from(multiple).unwrap_or(i64::MAX)).max(HOUR_FLOOR)
}

impl Outbox {
    /// One address that gets many messages a day is a typing mistake or a shared mailbox; one patient, a loop. What
    /// staff released in spite of it, a person has looked at.
    pub(super) async fn breaker_objects(
        &self,
        leased: &LeasedNotice,
        now: UtcMillis,
    ) -> Result<Option<ReviewReason>, OutboxError> {
        let delivery = &leased.delivery;
        if delivery.breaker_passed_at.is_some() || !leased.notice.kind.brings_the_link() {
            return Ok(None);
        }
        let (notice, limits) = (leased.notice.clone(), self.limits);
        let to_address = match delivery.recipient {
            RecipientRole::Patient | RecipientRole::Proxy => delivery.contact_index,
            // They get the reports of many patients.
            RecipientRole::OrderingProvider | RecipientRole::CopyTo | RecipientRole::ThirdParty => None,
        };
        let of_patient = delivery.patient_index.map(|index| CountedBy::Patient { index, to: delivery.addressee });
        let whose = [
            ("address", to_address.map(CountedBy::Address), limits.per_address_day_max),
            ("patient", of_patient, limits.per_patient_day_max),
        ];
        let over = self
            .store
            .read(move |conn| {
                for (who, whose, max) in whose {
                    let Some(whose) = whose else { continue };
                    let number = store::number_within(conn, whose, &notice, now.minus(hours(24)))?;
                    if u64::try_from(number).unwrap_or(u64::MAX) > max {
                        return Ok(Some((who, max)));
                    }
                }
                Ok(None)
            })
            .await?;
        Ok(over.map(|(who, max)| ReviewReason::Breaker {
            why: format!("the {who} would get more than {max} messages within a day"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_hour_is_measured_by_the_week_before_and_never_below_the_floor() {
        assert_eq!(allowed_in_hour(0, 4), HOUR_FLOOR);
        assert_eq!(allowed_in_hour(168 * 100, 4), 400);
    }
}
