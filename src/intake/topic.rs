//! Keeping the topic-based subscription at an EHR alive, and what its notifications show of it.
//!
//! Must stay true: silence, an error, another's hand on it are noticed at the next look, which is never further away than
//! five minutes; whenever hooks may have been missed the polls are brought forward, and staff read why.

use std::time::Duration;

use super::count::{Counted, Counting, Numbering, Restart, Run, Told, count, runs};
use super::subscribe::{BACK_OFF_MAX, LOOK_EVERY, Lost, REASON, back_off, reason, status_word};
use super::{HOOK_HEADER, HeardEhr, Intake, IntakeError, LEASE, Subscribe};
use crate::audit::{AuditEvent, Chain};
use crate::base::{EhrId, FhirId, SecretText, UtcMillis, minutes};
use crate::fhir::{
    EhrError, HookHeader, Insist, Notification, NotificationKind, StatusSaid, SubscriptionAction, SubscriptionStatus,
    TopicContent, TopicFilter, TopicForm, TopicState, TopicWish,
};
use crate::store::{self, GapRow, SignOfLife, StoreError, TopicRow, Tx};

/// So long an event may be late before it counts as missing: servers send several at once, and try again for a minute.
pub(super) const REORDER_GRACE: Duration = minutes(1);
/// Heartbeats that may fail to come before the subscription counts as silent.
const HEARTBEATS_MISSED: u32 = 2;
/// What the audit calls a subscription to a topic, beside those to one resource type.
pub(super) const TOPIC: &str = "topic";

/// The subscription that Chartseal wants to have.
#[derive(Clone, Debug)]
pub struct TopicSettings {
    pub form: TopicForm,
    /// The topic's canonical URL.
    pub topic: String,
    pub filters: Vec<TopicFilter>,
    pub content: TopicContent,
    /// Zero: none is asked for.
    pub heartbeat: Duration,
    /// Events in one notification at most.
    pub events_max: u32,
}

/// What the EHR answered to one look.
struct Looked {
    state: TopicState,
    said: StatusSaid,
}

impl Intake {
    pub(super) async fn topic_turn(&self, ehr: &HeardEhr) -> Result<usize, IntakeError> {
        let Some((hook, secret)) = ehr.hook.as_ref().and_then(|hook| Some((hook, hook.to_subscribe()?))) else {
            return Ok(0);
        };
        let settings = match &hook.subscribe {
            Subscribe::Topic(settings) => settings,
            Subscribe::R4 | Subscribe::Off => return Ok(0),
        };
        let (id, now) = (ehr.client.id().clone(), self.clock.now());
        let row = self.store.write(move |tx| store::lease_topic(tx, &id, now, now.plus(LEASE))).await?;
        let Some(before) = row else { return Ok(0) };
        let silent = silence(&before, settings.heartbeat, now);
        let looked = look(ehr, &hook.endpoint, secret, settings, &before, silent, now).await;
        let judged = judge(&before, settings.heartbeat, silent, looked, now);
        self.note_look(before, judged, hook.numbering, now).await.map(|()| 1)
    }

    async fn note_look(
        &self,
        before: TopicRow,
        judged: Judged,
        numbering: Numbering,
        now: UtcMillis,
    ) -> Result<(), IntakeError> {
        let Judged { after, lost, count } = judged;
        self.store
            .write(move |tx| {
                let ehr = before.ehr.clone();
                // First: whoever hears a notification holds this row before any other.
                store::settle_topic(tx, &after)?;
                if after.status != before.status || after.remote_id != before.remote_id {
                    let event = AuditEvent::Subscribed {
                        kind: TOPIC.to_owned(),
                        remote_id: after.remote_id.clone().unwrap_or_default(),
                        status: after.status.clone(),
                    };
                    store::record(tx, Chain::Ehr(ehr.clone()), now, event)?;
                }
                if let Some(why) = after.why.clone().filter(|_| after.why != before.why) {
                    fault(tx, &ehr, why, now)?;
                }
                if let Some(count) = count {
                    compare_counter(tx, &before, count, numbering, now)?;
                }
                if lost == Lost::Perhaps {
                    store::poll_sooner(tx, &ehr, now)?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }
}

pub(super) fn fault(tx: &mut Tx, ehr: &EhrId, why: String, now: UtcMillis) -> Result<(), StoreError> {
    tracing::warn!(ehr = %ehr, kind = TOPIC, why, "a subscription needs attention");
    store::record(tx, Chain::Ehr(ehr.clone()), now, AuditEvent::SubscriptionFault { kind: TOPIC.to_owned(), why })
}

async fn look(
    ehr: &HeardEhr,
    endpoint: &url::Url,
    secret: &SecretText,
    settings: &TopicSettings,
    before: &TopicRow,
    silent: Option<Duration>,
    now: UtcMillis,
) -> Result<Looked, EhrError> {
    let header = HookHeader { name: HOOK_HEADER.to_owned(), secret: secret.clone() };
    let known = before.remote_id.as_deref().and_then(|id| FhirId::parse(id).ok());
    let wish = TopicWish {
        form: settings.form,
        topic: &settings.topic,
        filters: &settings.filters,
        content: settings.content,
        heartbeat: settings.heartbeat,
        events_max: settings.events_max,
        endpoint,
        header: &header,
        reason: REASON,
        known: known.as_ref(),
        asked: before.terms.as_deref(),
    };
    let insist = match (silent, before.status.as_str()) {
        (Some(_), _) => Insist::FellSilent,
        // What it stores may say otherwise.
        (None, "error" | "off") => Insist::SaysStopped,
        (None, _) => Insist::No,
    };
    let state = ehr.client.ensure_topic(&wish, insist, now).await?;
    let said = match state.action {
        SubscriptionAction::Kept => ehr.client.topic_status(&state.id).await?,
        // It has just been asked for, or waits for people: what it counts now says nothing.
        SubscriptionAction::Created | SubscriptionAction::Updated { .. } | SubscriptionAction::LeftForStaff => {
            StatusSaid::NotOffered
        }
    };
    Ok(Looked { state, said })
}

/// For how long an active subscription has been silent that used to send heartbeats, if that is too long.
fn silence(row: &TopicRow, heartbeat: Duration, now: UtcMillis) -> Option<Duration> {
    let is_expected = row.status == "active" && row.beat_at.is_some() && !heartbeat.is_zero();
    let last = row.heard_at.max(row.asked_at).filter(|_| is_expected)?;
    let silent = now.since(last);
    (silent > heartbeat * HEARTBEATS_MISSED).then_some(silent)
}

/// What follows from a look.
struct Judged {
    after: TopicRow,
    lost: Lost,
    /// The EHR's own count, where it was asked and answered.
    count: Option<u64>,
}

fn judge(
    before: &TopicRow,
    heartbeat: Duration,
    silent: Option<Duration>,
    looked: Result<Looked, EhrError>,
    now: UtcMillis,
) -> Judged {
    let again = now.plus(back_off(before.tries));
    let Looked { state, said } = match looked {
        Ok(looked) => looked,
        Err(error) => {
            let after = TopicRow { next_at: again, why: Some(error.to_string()), ..before.clone() };
            return Judged { after, lost: Lost::Perhaps, count: None };
        }
    };
    let (status, count) = match said {
        StatusSaid::NotOffered => (state.status, None),
        StatusSaid::Says { status, count } => (worse(state.status, status), count),
    };
    let (why, lost, is_asked) = told(before, &state, status, silent);
    let works = status == SubscriptionStatus::Active && state.action == SubscriptionAction::Kept && why.is_none();
    let next_at = match (works, state.action) {
        (true, _) => next_look(before, heartbeat, now),
        // Until its heartbeat can have come again, another question would only disturb it.
        (false, SubscriptionAction::Updated { why: crate::fhir::UpdateReason::FellSilent }) => {
            now.plus(back_off(before.tries).max(heartbeat).min(BACK_OFF_MAX))
        }
        (false, _) => again,
    };
    let after = TopicRow {
        remote_id: Some(state.id.to_string()),
        status: status_word(status).to_owned(),
        terms: Some(state.terms),
        next_at,
        tries: if works { 0 } else { before.tries },
        why,
        asked_at: if is_asked { Some(now) } else { before.asked_at },
        ..before.clone()
    };
    Judged { after, lost, count }
}

/// What staff are told, whether hooks may have been missed, and whether it was asked for again.
fn told(
    before: &TopicRow,
    state: &TopicState,
    status: SubscriptionStatus,
    silent: Option<Duration>,
) -> (Option<String>, Lost, bool) {
    let some = |why: &str| Some(why.to_owned());
    match state.action {
        SubscriptionAction::Created if before.remote_id.is_some() => {
            (some("the EHR had lost the subscription; it was made again"), Lost::Perhaps, true)
        }
        SubscriptionAction::Created => (None, Lost::Nothing, true),
        SubscriptionAction::Updated { why: crate::fhir::UpdateReason::FellSilent } => {
            let seconds = silent.unwrap_or_default().as_secs();
            let why = format!(
                "the subscription was requested again: nothing was heard for {seconds} s, though its heartbeat was due"
            );
            (Some(why), Lost::Perhaps, true)
        }
        SubscriptionAction::Updated { why } => {
            let why = format!("the subscription was requested again: {}", reason(why));
            (Some(why), Lost::Perhaps, true)
        }
        SubscriptionAction::LeftForStaff => {
            let refused = match state.refused.as_slice() {
                [] => "it added filters of its own".to_owned(),
                refused => format!("it does not hold {}", refused.join(", ")),
            };
            let why = format!(
                "the EHR changed the subscription's filters and stopped it ({refused}); ask its staff which it allows, \
                 and set topic_filters to those"
            );
            (Some(why), Lost::Perhaps, false)
        }
        // The stored resource says active, `$status` does not.
        SubscriptionAction::Kept if status != state.status => (
            Some(format!(
                "the EHR calls the subscription active, and says by $status that it is {}",
                status_word(status)
            )),
            Lost::Perhaps,
            false,
        ),
        SubscriptionAction::Kept => (None, Lost::Nothing, false),
    }
}

/// What a server stores and what `$status` says may contradict each other: the worse is believed.
const fn worse(stored: SubscriptionStatus, said: Option<SubscriptionStatus>) -> SubscriptionStatus {
    match (stored, said) {
        (SubscriptionStatus::Active, Some(SubscriptionStatus::Error | SubscriptionStatus::Off)) => match said {
            Some(said) => said,
            None => stored,
        },
        _ => stored,
    }
}

/// The next look at one that works: when its heartbeat would be missed, and soon enough anyway.
fn next_look(row: &TopicRow, heartbeat: Duration, now: UtcMillis) -> UtcMillis {
    let soon = now.plus(LOOK_EVERY);
    if heartbeat.is_zero() || row.beat_at.is_none() {
        return soon;
    }
    let missed = heartbeat * HEARTBEATS_MISSED + Duration::from_millis(1);
    let last = row.heard_at.max(row.asked_at).unwrap_or(now);
    soon.min(last.plus(missed))
}

/// Compares the count that the EHR gave when it was asked with what was counted before the question.
fn compare_counter(
    tx: &mut Tx,
    asked_at: &TopicRow,
    said: u64,
    numbering: Numbering,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let is_counted = asked_at.numbered.is_some() && asked_at.numbered == asked_at.remote_id;
    if numbering == Numbering::None || !is_counted {
        return Ok(());
    }
    let Some(row) = store::topic_of(tx.conn(), &asked_at.ehr)? else { return Ok(()) };
    let began_anew = asked_at.highest.is_some_and(|highest| said < highest) && row.highest == asked_at.highest;
    let kind = if began_anew { NotificationKind::Handshake } else { NotificationKind::QueryStatus };
    apply(tx, &row, row.numbered.as_deref(), &Told { kind, count: Some(said), runs: Vec::new() }, numbering, now)
}

/// Notes what a notification shows: that the subscription lives, and which events arrived.
pub(super) fn note(
    tx: &mut Tx,
    ehr: &EhrId,
    notification: &Notification,
    numbering: Numbering,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let sign = match notification.kind {
        NotificationKind::Heartbeat => SignOfLife::Heartbeat,
        NotificationKind::Handshake
        | NotificationKind::Events
        | NotificationKind::QueryStatus
        | NotificationKind::QueryEvents => SignOfLife::Other,
    };
    let Some(row) = store::hold_topic_quietly(tx, ehr)? else { return Ok(()) };
    let is_in_trouble = matches!(notification.status, Some(SubscriptionStatus::Error | SubscriptionStatus::Off));
    let is_foreign = match (&notification.subscription, &row.remote_id) {
        (Some(heard), Some(ours)) => heard.as_str() != ours,
        (None, _) | (_, None) => false,
    };
    // A second subscription counts for itself; only one is followed, ours where it is known. That it lives says nothing of ours.
    if is_foreign {
        return Ok(());
    }
    let Some(row) = store::hold_topic(tx, ehr, sign, now)? else { return Ok(()) };
    if is_in_trouble {
        store::look_sooner(tx, ehr, now)?;
    }
    let told = Told { kind: notification.kind, count: notification.count, runs: runs(&notification.numbers) };
    let whose = notification.subscription.as_ref().map(ToString::to_string).or_else(|| row.numbered.clone());
    apply(tx, &row, whose.as_deref(), &told, numbering, now)
}

fn apply(
    tx: &mut Tx,
    row: &TopicRow,
    whose: Option<&str>,
    told: &Told,
    numbering: Numbering,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let open = store::gaps_of(tx.conn(), &row.ehr)?;
    // Another subscription's numbers begin anew by right.
    let before = if row.numbered.as_deref() == whose {
        Counted {
            highest: row.highest,
            gaps: open.iter().map(|gap| Run { first: gap.first, last: gap.last }).collect(),
        }
    } else {
        Counted { highest: None, gaps: Vec::new() }
    };
    let Counting { after, restart, too_many } = count(&before, told, numbering);
    if after.highest != row.highest || whose != row.numbered.as_deref() {
        store::set_counted(tx, &row.ehr, whose, after.highest)?;
    }
    let due_at = |gap: &Run| {
        let known = open.iter().find(|one| one.first <= gap.first && gap.last <= one.last);
        known.map_or(now.plus(REORDER_GRACE), |one| one.due_at)
    };
    let gaps: Vec<GapRow> =
        after.gaps.iter().map(|gap| GapRow { first: gap.first, last: gap.last, due_at: due_at(gap) }).collect();
    if gaps != open {
        store::set_gaps(tx, &row.ehr, &gaps)?;
    }
    if restart == Restart::Began && numbering == Numbering::Strict {
        let why =
            "the EHR's count of events began anew, which its settings here exclude; everything since was searched";
        fault(tx, &row.ehr, why.to_owned(), now)?;
    }
    if restart == Restart::Began || too_many {
        store::poll_sooner(tx, &row.ehr, now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{millis, seconds};

    const NOW: UtcMillis = UtcMillis(1_800_000_000_000);

    fn row(heard_ago: Option<Duration>, beat: Option<Duration>) -> TopicRow {
        let ago = |span: Duration| UtcMillis(NOW.0 - i64::try_from(span.as_millis()).unwrap());
        TopicRow {
            ehr: "lab".parse().unwrap(),
            remote_id: Some("s1".to_owned()),
            status: "active".to_owned(),
            terms: None,
            next_at: NOW,
            lease_until: None,
            tries: 1,
            why: None,
            asked_at: None,
            heard_at: heard_ago.map(ago),
            beat_at: beat.map(ago),
            numbered: None,
            highest: None,
        }
    }

    #[test]
    fn only_a_heartbeat_that_used_to_come_can_be_missed() {
        let silent = |heard, beat, heartbeat| silence(&row(heard, beat), heartbeat, NOW);
        let two = seconds(120);
        assert_eq!(silent(Some(two), Some(two), seconds(60)), None, "two heartbeats are not more than two");
        let more = two + millis(1);
        assert_eq!(silent(Some(more), Some(more), seconds(60)), Some(more));
        assert_eq!(silent(Some(seconds(10)), Some(more), seconds(60)), None, "an event shows life too");
        assert_eq!(silent(Some(more), None, seconds(60)), None, "it never sent one");
        assert_eq!(silent(Some(more), Some(more), Duration::ZERO), None, "none was asked for");
    }

    #[test]
    fn the_next_look_comes_before_five_minutes_and_when_a_heartbeat_is_missed() {
        let at = |row: &TopicRow, heartbeat| next_look(row, heartbeat, NOW).since(NOW);
        assert_eq!(at(&row(None, None), seconds(60)), LOOK_EVERY);
        let lively = row(Some(seconds(10)), Some(seconds(10)));
        assert_eq!(at(&lively, seconds(60)), seconds(110) + millis(1));
        assert_eq!(at(&lively, minutes(60)), LOOK_EVERY);
        assert!(LOOK_EVERY < minutes(5));
    }
}
