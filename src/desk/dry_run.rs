//! What other rules would have decided about the reports that really came.
//!
//! Must stay true: reads stored facts and changes nothing; holds one batch in memory, however many there are; a report that
//! waits for a person for a reason of its own is not said to leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono_tz::Tz;
use serde::Serialize;

use super::{Desk, DeskError};
use crate::base::{ClinicId, UtcMillis};
use crate::policy::compare::{Comparison, Diff};
use crate::policy::{Available, Decision, Facts, Moment, ReviewReason, RuleSet};
use crate::store::{self, Bundle, FactsSeen};

/// Deliveries in one batch.
pub(super) const BATCH: i64 = 1_000;

/// What is compared, and over which stretch of time.
#[derive(Clone)]
pub struct DryRunAsked {
    /// The rules to compare with; what is in force where they are the file's.
    pub old: Arc<RuleSet>,
    pub new: Arc<RuleSet>,
    pub since: UtcMillis,
    pub available: Available,
    /// The zone of each clinic.
    pub zones: Arc<BTreeMap<ClinicId, Tz>>,
}

/// A delivery as a list names it. No patient data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReportRef {
    pub delivery: String,
    pub ehr: String,
    /// `DiagnosticReport/12`, as the desk shows it.
    pub report: String,
    /// Why a person looks whatever the rules say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
}

/// What a dry run found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DryRun {
    pub old_hash: String,
    pub new_hash: String,
    pub since: String,
    pub until: String,
    pub reports: u64,
    /// Reports of which the facts are past their retention.
    pub forgotten: u64,
    /// Reports that could not be read and were decided by no rules.
    pub unread: u64,
    #[serde(flatten)]
    pub diff: Diff<ReportRef>,
}

impl Desk {
    /// The rules in force: a version's, or those of the file as long as no version was approved.
    ///
    /// # Errors
    /// [`DeskError::Store`]. `Ok(None)`: there are none, or this program cannot read them.
    pub async fn rules_now(&self, of_file: Option<Bundle>) -> Result<Option<RuleSet>, DeskError> {
        Ok(self.bundle_in_force(of_file).await?.and_then(|bundle| bundle.compile().ok()))
    }

    /// Decides every report of a stretch of time under both rules: the newest version of each, for each recipient, as if it
    /// came now.
    ///
    /// # Errors
    /// [`DeskError::Store`], [`DeskError::Stopped`].
    pub async fn dry_run(&self, asked: &DryRunAsked) -> Result<DryRun, DeskError> {
        let now = self.clock.now();
        let mut found = DryRun {
            old_hash: asked.old.rules_hash_hex(),
            new_hash: asked.new.rules_hash_hex(),
            since: asked.since.to_rfc3339(),
            until: now.to_rfc3339(),
            reports: 0,
            forgotten: 0,
            unread: 0,
            diff: Diff::default(),
        };
        let mut after: Option<FactsSeen> = None;
        loop {
            let batch = self.facts_after(asked.since, after.take()).await?;
            let Some(last) = batch.last().cloned() else { return Ok(found) };
            let is_last = batch.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
            let asked = asked.clone();
            found = tokio::task::spawn_blocking(move || {
                let comparison = Comparison::new(&asked.old, &asked.new, Some(&asked.available));
                for seen in &batch {
                    add(&mut found, seen, &comparison, &asked, now);
                }
                found
            })
            .await
            .map_err(|_| DeskError::Stopped)?;
            if is_last {
                return Ok(found);
            }
            after = Some(last);
        }
    }

    /// The next batch of what came since `since`.
    pub(super) async fn facts_after(
        &self,
        since: UtcMillis,
        after: Option<FactsSeen>,
    ) -> Result<Vec<FactsSeen>, DeskError> {
        Ok(self.store.read(move |conn| store::facts_seen(conn, since, after.as_ref(), BATCH)).await?)
    }
}

fn add(found: &mut DryRun, seen: &FactsSeen, comparison: &Comparison<'_>, asked: &DryRunAsked, now: UtcMillis) {
    found.reports += 1;
    let Some(facts) = &seen.facts else {
        found.forgotten += 1;
        return;
    };
    if seen.rules_hash.is_empty() {
        found.unread += 1;
        return;
    }
    for predicate in comparison.unasked(facts) {
        *found.diff.unasked.entry(predicate).or_default() += 1;
    }
    let moment = moment_of(facts, &asked.zones, now);
    let beside = own_reason(&seen.decision);
    let compared = match beside {
        Some(_) => comparison.compare_held(facts, moment),
        None => comparison.compare(facts, moment),
    };
    let id = ReportRef {
        delivery: seen.delivery.to_string(),
        ehr: seen.ehr.to_string(),
        report: format!("{}/{}", seen.kind, seen.resource_id),
        beside: beside.map(ToString::to_string),
    };
    found.diff.add(id, compared);
}

/// Now, in the zone of the report's clinic.
pub(super) fn moment_of(facts: &Facts, zones: &BTreeMap<ClinicId, Tz>, now: UtcMillis) -> Moment {
    let zone = facts.clinic.as_ref().and_then(|clinic| zones.get(clinic)).copied().unwrap_or(Tz::UTC);
    Moment { now, zone }
}

/// Why a person looks at it, where that is not for what the rules say.
const fn own_reason(decision: &Decision) -> Option<&ReviewReason> {
    match decision {
        Decision::Review {
            why:
                ReviewReason::NoRule
                | ReviewReason::Unknown { .. }
                | ReviewReason::RuleAsks { .. }
                | ReviewReason::NoCommonChannel { .. }
                | ReviewReason::PickUp
                | ReviewReason::NotAvailable { .. },
            ..
        }
        | Decision::Send { .. }
        | Decision::Block { .. } => None,
        Decision::Review { why, .. } => Some(why),
    }
}
