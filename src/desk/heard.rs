//! How each EHR is heard, and what keeps it from being heard: where staff look when reports do not come.

use std::time::Duration;

use serde::Serialize;

use super::DeskError;
use super::looks::{HeardLook, HeardPanel, heard_looks, heard_panel};
use super::past::{HeardPast, heard_past};
use super::told::{HeardTold, heard_told};
use crate::base::{EhrId, ResourceType, UtcMillis};
use crate::store::{self, Conn, Store, StoreError};

/// A configured EHR.
#[derive(Clone)]
pub struct Followed {
    pub ehr: EhrId,
    pub subscribes: Subscribes,
}

/// Who looks after the subscriptions at an EHR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribes {
    Chartseal,
    /// Chartseal, one to a topic for all resource types.
    ChartsealByTopic,
    /// Others, or nobody.
    Others,
}

/// One EHR.
#[derive(Clone, Debug, Serialize)]
pub struct HeardEhr {
    pub ehr: String,
    /// When its last authenticated call was kept.
    pub last_hook_at: Option<String>,
    /// Calls that could not be understood.
    pub quarantined: Vec<QuarantinedCalls>,
    /// What the EHR did not grant of what was asked for, separated by spaces; empty when it is all.
    pub scope_lacking: String,
    /// `None` where no subscription to a topic is looked after or was ever heard.
    pub topic: Option<HeardTopic>,
    pub kinds: Vec<HeardKind>,
    /// The further ways in which it is looked at.
    pub looks: Vec<HeardLook>,
    /// `None` where it is searched over all patients.
    pub panel: Option<HeardPanel>,
    /// What a person asked to have read of its past.
    pub past: Vec<HeardPast>,
    /// `None` where it is told nothing of deliveries.
    pub told: Option<HeardTold>,
}

/// Calls that wait in quarantine for the same reason.
#[derive(Clone, Debug, Serialize)]
pub struct QuarantinedCalls {
    pub why: String,
    pub count: i64,
}

/// One resource type of one EHR.
#[derive(Clone, Debug, Serialize)]
pub struct HeardKind {
    pub kind: &'static str,
    /// `None` where Chartseal looks after none.
    pub subscription: Option<HeardSubscription>,
    /// When a poll last succeeded.
    pub last_poll_at: Option<String>,
    /// What is wrong with the last poll.
    pub poll_why: Option<String>,
    /// When it is polled again after that; `None` where nothing is wrong.
    pub poll_again_at: Option<String>,
    /// Everything that changed up to here has been heard of; `None` before the service's first start with this EHR.
    pub seen_until: Option<String>,
    pub behind_seconds: Option<u64>,
    /// How far the EHR's clock is ahead of ours, behind where negative, when that is so far that staff should see to it.
    pub clock_off_seconds: Option<i64>,
}

/// A subscription to a topic.
#[derive(Clone, Debug, Serialize)]
pub struct HeardTopic {
    /// The EHR's word: requested, active, error, off; `none` before the first look, or where others look after it.
    pub status: String,
    /// What the last look found wrong.
    pub why: Option<String>,
    /// When it was last heard, be it a heartbeat.
    pub last_heard_at: Option<String>,
    /// Numbers of events that did not arrive so far.
    pub missing: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, Serialize)]
pub struct HeardSubscription {
    /// The EHR's word: requested, active, error, off; `none` before the first look.
    pub status: String,
    /// What the last look found wrong.
    pub why: Option<String>,
}

/// How each of `followed` stands at `now`.
///
/// # Errors
/// [`DeskError::Store`].
pub async fn heard_ehrs(store: &Store, followed: Vec<Followed>, now: UtcMillis) -> Result<Vec<HeardEhr>, DeskError> {
    Ok(store.read(move |conn| followed.iter().map(|one| heard(conn, one, now)).collect()).await?)
}

fn heard(conn: &mut Conn, followed: &Followed, now: UtcMillis) -> Result<HeardEhr, StoreError> {
    let quarantined = store::quarantine_of(conn, &followed.ehr)?;
    let kinds: Result<_, _> = ResourceType::ALL.into_iter().map(|kind| heard_kind(conn, followed, kind, now)).collect();
    Ok(HeardEhr {
        ehr: followed.ehr.to_string(),
        last_hook_at: store::last_hook_at(conn, &followed.ehr)?.map(UtcMillis::to_rfc3339),
        quarantined: quarantined.into_iter().map(|(why, count)| QuarantinedCalls { why, count }).collect(),
        scope_lacking: store::scope_lacking(conn, &followed.ehr)?,
        topic: heard_topic(conn, followed)?,
        kinds: kinds?,
        looks: heard_looks(conn, &followed.ehr)?,
        panel: heard_panel(conn, &followed.ehr)?,
        past: heard_past(conn, &followed.ehr)?,
        told: heard_told(conn, &followed.ehr)?,
    })
}

fn heard_topic(conn: &mut Conn, followed: &Followed) -> Result<Option<HeardTopic>, StoreError> {
    let Some(row) = store::topic_of(conn, &followed.ehr)? else { return Ok(None) };
    let is_told = match followed.subscribes {
        Subscribes::ChartsealByTopic => true,
        Subscribes::Chartseal => false,
        Subscribes::Others => row.heard_at.is_some(),
    };
    if !is_told {
        return Ok(None);
    }
    let missing = store::gaps_of(conn, &followed.ehr)?.into_iter().map(|gap| (gap.first, gap.last)).collect();
    Ok(Some(HeardTopic {
        status: row.status,
        why: row.why,
        last_heard_at: row.heard_at.map(UtcMillis::to_rfc3339),
        missing,
    }))
}

fn heard_kind(
    conn: &mut Conn,
    followed: &Followed,
    kind: ResourceType,
    now: UtcMillis,
) -> Result<HeardKind, StoreError> {
    let poll = store::polls(conn)?.into_iter().find(|row| row.ehr == followed.ehr && row.kind == kind);
    let subscription = match followed.subscribes {
        Subscribes::Chartseal => {
            let found = store::subscriptions(conn)?.into_iter().find(|row| row.ehr == followed.ehr && row.kind == kind);
            found.map(|row| HeardSubscription { status: row.status, why: row.why })
        }
        Subscribes::ChartsealByTopic | Subscribes::Others => None,
    };
    let seen_until = poll.as_ref().map(|row| row.watermark);
    Ok(HeardKind {
        kind: kind.as_str(),
        subscription,
        last_poll_at: poll.as_ref().and_then(|row| row.last_ok_at).map(UtcMillis::to_rfc3339),
        seen_until: seen_until.map(UtcMillis::to_rfc3339),
        clock_off_seconds: poll
            .as_ref()
            .and_then(|row| row.clock_off_ms)
            .filter(|off_ms| is_far(*off_ms))
            .map(|off_ms| off_ms / 1000),
        behind_seconds: seen_until.map(|at| now.since(at).as_secs()),
        poll_again_at: poll.as_ref().filter(|row| row.why.is_some()).map(|row| row.next_at.to_rfc3339()),
        poll_why: poll.and_then(|row| row.why),
    })
}

fn is_far(off_ms: i64) -> bool {
    Duration::from_millis(off_ms.unsigned_abs()) > store::CLOCK_OFF_MAX
}
