//! Keeping our subscriptions at the EHR alive.

use std::time::Duration;

use super::{HOOK_HEADER, HeardEhr, Hook, Intake, IntakeError, LEASE, Subscribe};
use crate::audit::{AuditEvent, Chain};
use crate::base::{FhirId, ResourceType, SecretText, UtcMillis, minutes, seconds};
use crate::fhir::{EhrError, HookHeader, SubscriptionAction, SubscriptionState, SubscriptionStatus, Wish};
use crate::store::{self, SubscriptionRow};

/// How often a working subscription is looked at.
pub(super) const LOOK_EVERY: Duration = minutes(4);
/// A subscription that was just requested is looked at again soon.
const LOOK_SOON: Duration = seconds(2);
/// The longest wait after failures.
pub(super) const BACK_OFF_MAX: Duration = minutes(15);
/// The text by which the EHR's staff recognise it.
pub(super) const REASON: &str = "Chartseal: deliver final reports to patients by link";

impl Intake {
    pub(super) async fn subscribe_turn(&self, ehr: &HeardEhr, kind: ResourceType) -> Result<usize, IntakeError> {
        let Some((hook, secret)) = ehr.hook.as_ref().and_then(|hook| Some((hook, hook.to_subscribe()?))) else {
            return Ok(0);
        };
        match hook.subscribe {
            Subscribe::R4 => {}
            Subscribe::Topic(_) | Subscribe::Off => return Ok(0),
        }
        let (id, now) = (ehr.client.id().clone(), self.clock.now());
        let row = self.store.write(move |tx| store::lease_subscription(tx, &id, kind, now, now.plus(LEASE))).await?;
        let Some(row) = row else { return Ok(0) };
        self.look(ehr, hook, secret, row, now).await.map(|()| 1)
    }

    async fn look(
        &self,
        ehr: &HeardEhr,
        hook: &Hook,
        secret: &SecretText,
        before: SubscriptionRow,
        now: UtcMillis,
    ) -> Result<(), IntakeError> {
        let header = HookHeader { name: HOOK_HEADER.to_owned(), secret: secret.clone() };
        let known = before.remote_id.as_deref().and_then(|id| FhirId::parse(id).ok());
        let wish = Wish {
            kind: before.kind,
            endpoint: &hook.endpoint,
            header: &header,
            reason: REASON,
            known: known.as_ref(),
        };
        let (after, lost) = judge(&before, ehr.client.ensure_subscription(&wish).await, now);
        let (chain, ehr_id) = (Chain::Ehr(before.ehr.clone()), before.ehr.clone());
        self.store
            .write(move |tx| {
                if after.status != before.status || after.remote_id != before.remote_id {
                    let event = AuditEvent::Subscribed {
                        kind: after.kind.to_string(),
                        remote_id: after.remote_id.clone().unwrap_or_default(),
                        status: after.status.clone(),
                    };
                    store::record(tx, chain.clone(), now, event)?;
                }
                if let Some(why) = after.why.clone().filter(|_| after.why != before.why) {
                    tracing::warn!(ehr = %after.ehr, kind = %after.kind, why, "a subscription needs attention");
                    store::record(tx, chain, now, AuditEvent::SubscriptionFault { kind: after.kind.to_string(), why })?;
                }
                if lost == Lost::Perhaps {
                    store::poll_sooner(tx, &ehr_id, now)?;
                }
                store::settle_subscription(tx, &after)
            })
            .await?;
        Ok(())
    }
}

/// Whether hooks may have been missed since the last look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Nothing,
    Perhaps,
}

fn judge(
    before: &SubscriptionRow,
    found: Result<SubscriptionState, EhrError>,
    now: UtcMillis,
) -> (SubscriptionRow, Lost) {
    let tries = before.tries;
    let again = now.plus(back_off(tries));
    match found {
        Ok(state) => {
            let working = state.status == SubscriptionStatus::Active;
            let (why, lost) = match state.action {
                SubscriptionAction::Created if before.remote_id.is_some() => {
                    (Some("the EHR had lost the subscription; it was made again".to_owned()), Lost::Perhaps)
                }
                SubscriptionAction::Kept | SubscriptionAction::Created => (None, Lost::Nothing),
                SubscriptionAction::Updated { why } => {
                    (Some(format!("the subscription was requested again: {}", reason(why))), Lost::Perhaps)
                }
                SubscriptionAction::LeftForStaff => (
                    Some(
                        "the EHR changed the subscription's criteria and stopped it; ask its staff which are allowed"
                            .to_owned(),
                    ),
                    Lost::Perhaps,
                ),
            };
            let after = SubscriptionRow {
                remote_id: Some(state.id.to_string()),
                status: status_word(state.status).to_owned(),
                next_at: if working { now.plus(LOOK_EVERY) } else { again },
                tries: if working { 0 } else { tries },
                why,
                ..before.clone()
            };
            (after, lost)
        }
        Err(error) => {
            (SubscriptionRow { next_at: again, why: Some(error.to_string()), ..before.clone() }, Lost::Perhaps)
        }
    }
}

pub(super) fn back_off(tries: i32) -> Duration {
    let doublings = u32::try_from(tries.clamp(1, 12) - 1).unwrap_or(0);
    LOOK_SOON.saturating_mul(1 << doublings).min(BACK_OFF_MAX)
}

pub(super) const fn status_word(status: SubscriptionStatus) -> &'static str {
    match status {
        SubscriptionStatus::Requested => "requested",
        SubscriptionStatus::Active => "active",
        SubscriptionStatus::Error => "error",
        SubscriptionStatus::Off => "off",
        SubscriptionStatus::Unrecognised => "unrecognised",
    }
}

pub(super) const fn reason(why: crate::fhir::UpdateReason) -> &'static str {
    use crate::fhir::UpdateReason;
    match why {
        UpdateReason::CriteriaDiffered => "its criteria differed",
        UpdateReason::ChannelDiffered => "its address or secret differed",
        UpdateReason::WasInError => "the EHR had put it into error",
        UpdateReason::WasOff => "the EHR had switched it off",
        UpdateReason::Expires => "it was about to end",
        UpdateReason::FellSilent => "it had fallen silent",
    }
}
