//! What would become of the reports that an EHR had in a stretch of time, under some rules. Nothing is sent, nothing stored.
//!
//! Must stay true: reads and decides exactly as a real reading does; each report is decided as of when the EHR last changed it,
//! as if Chartseal had followed the EHR then; bounded in reports, and what was not seen is said. Holds counts, no patient data.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroU16;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::others::to_follow;
use super::prepare::Prepared;
use super::{InForce, Read, ReadEhr, Reading, Recipient, Resolve, Timetable};
use crate::base::{ResourceKey, ResourceType, SourceId, UtcMillis, random};
use crate::fhir::{Changes, Completeness, Heard, Report, SearchAnswer, Window};
use crate::policy::compare::is_covered;
use crate::policy::facts::Gathered;
use crate::policy::schedule::Timing;
use crate::policy::{Coding, Decision, Moment, ReviewReason, RuleSet, codes};
use crate::store::SourceRow;

/// Reports that one rehearsal reads at most.
pub const REPORTS_MAX: usize = 20_000;
/// Reports read at the same time: an EHR at work has others to serve.
const AT_ONCE: usize = 4;
const PAGE_COUNT: NonZeroU16 = NonZeroU16::MIN.saturating_add(199);
/// Different reasons that are told apart; more are counted together.
const REASONS_MAX: usize = 200;
const OTHER_REASONS: &str = "other reasons";
/// Codes without a profile that are counted one by one.
const CODES_MAX: usize = 50_000;
/// Of those, so many are told.
const CODES_TOLD: usize = 20;
/// An EHR forgets its page links; then the stretch is searched again, so often.
const RESTARTS_MAX: usize = 2;

/// What is rehearsed.
pub struct RehearsalAsked {
    pub since: UtcMillis,
    pub reports_max: usize,
    /// Ends it with what was found so far.
    pub stop: CancellationToken,
}

/// A code that no profile speaks of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct UnmappedCode {
    pub code: String,
    pub reports: u64,
}

/// How a rehearsal ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Everything was seen.
    #[default]
    Whole,
    /// There was more than may be read.
    ReportsMax,
    /// Somebody stopped it.
    Stopped,
}

/// What would have become of the reports.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Rehearsal {
    pub ended: Ended,
    /// Resources that were looked at.
    pub seen: u64,
    /// Sent at once.
    pub sent: u64,
    /// Sent after a wait, by its ground, or when a person says so.
    pub held: BTreeMap<String, u64>,
    /// For a person, by reason.
    pub reviewed: BTreeMap<String, u64>,
    /// For a person, since the patient has no usable address; by reason.
    pub unreachable: BTreeMap<String, u64>,
    /// Never sent, by rule.
    pub blocked: BTreeMap<String, u64>,
    /// Not finished, replaced or taken back.
    pub not_final: u64,
    /// What would have become of them for others than their patients, by what and why.
    pub for_others: BTreeMap<String, u64>,
    /// What could not be read, by reason.
    pub unread: BTreeMap<String, u64>,
    /// Messages of each day of the stretch (UTC) on which there were any.
    pub messages: BTreeMap<String, u64>,
    /// The most frequent first.
    pub unmapped: Vec<UnmappedCode>,
    pub oldest: Option<UtcMillis>,
    pub newest: Option<UtcMillis>,
    #[serde(skip)]
    codes: BTreeMap<Coding, u64>,
}

impl Resolve {
    /// The same readings under other rules, for a rehearsal.
    #[must_use]
    pub fn under(&self, rules: RuleSet) -> Self {
        let ehrs = self.ehrs.iter().map(|ehr| ReadEhr {
            client: Arc::clone(&ehr.client),
            clinic: ehr.clinic.clone(),
            zone: ehr.zone,
            adult_at_years: ehr.adult_at_years,
            letterhead: ehr.letterhead.clone(),
            report_age_max: ehr.report_age_max,
            recheck_every: ehr.recheck_every,
            called: ehr.called.clone(),
            alarmed: ehr.alarmed.clone(),
        });
        Self {
            store: self.store.clone(),
            clock: self.clock.clone(),
            vault: self.vault.clone(),
            ehrs: ehrs.collect(),
            turns_at_once: self.turns_at_once,
            rules: Arc::new(Timetable::of_file(rules)),
            available: self.available.clone(),
            mode: self.mode,
            renew_every: self.renew_every,
            decided: self.decided.clone(),
        }
    }

    /// Reads what one EHR changed since `asked.since` and adds what would have become of it to `found`. `told` hears how
    /// many were read.
    pub async fn rehearse(
        &self,
        ehr: &ReadEhr,
        asked: &RehearsalAsked,
        found: &mut Rehearsal,
        told: &mut (dyn FnMut(u64) + Send),
    ) {
        let mut seen = HashSet::new();
        for kind in [ResourceType::DiagnosticReport, ResourceType::DocumentReference] {
            let mut windows = vec![Window { since: asked.since, until: self.clock.now() }];
            while let Some(window) = windows.pop() {
                let searched = tokio::select! {
                    () = asked.stop.cancelled() => { found.ended = Ended::Stopped; return }
                    searched = search(ehr, kind, window) => searched,
                };
                match searched {
                    Searched::Found { heard, why } => {
                        found.could_not(why);
                        let new = heard.into_iter().filter(|one| seen.insert((one.kind, one.id.clone()))).collect();
                        if !self.rehearse_all(ehr, new, asked, found, told).await {
                            return;
                        }
                    }
                    Searched::TooMuch if window.until.0 - window.since.0 > 1 => {
                        let middle = UtcMillis(i64::midpoint(window.since.0, window.until.0));
                        windows.push(Window { since: middle, until: window.until });
                        windows.push(Window { since: window.since, until: middle });
                    }
                    Searched::TooMuch => found.could_not(Some("too much changed at once".to_owned())),
                    Searched::Failed(why) => found.could_not(Some(why)),
                }
            }
        }
    }

    /// Whether to go on.
    async fn rehearse_all(
        &self,
        ehr: &ReadEhr,
        heard: Vec<Heard>,
        asked: &RehearsalAsked,
        found: &mut Rehearsal,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> bool {
        let mut heard = heard.as_slice();
        while !heard.is_empty() {
            let left = asked.reports_max.saturating_sub(usize::try_from(found.seen).unwrap_or(usize::MAX));
            if left == 0 {
                found.ended = Ended::ReportsMax;
                return false;
            }
            let (batch, rest) = heard.split_at(heard.len().min(AT_ONCE).min(left));
            heard = rest;
            let reading = join_all(batch.iter().map(|one| self.rehearse_one(ehr, one)));
            let outcomes = tokio::select! {
                () = asked.stop.cancelled() => { found.ended = Ended::Stopped; return false }
                outcomes = reading => outcomes,
            };
            for outcome in outcomes {
                found.add(outcome);
            }
            told(found.seen);
        }
        true
    }

    async fn rehearse_one(&self, ehr: &ReadEhr, heard: &Heard) -> Outcome {
        let now = self.clock.now();
        let key = ResourceKey { ehr: ehr.client.id().clone(), kind: heard.kind, id: heard.id.clone() };
        let source = SourceRow::unfollowed(SourceId::random(&mut random::system()), key, ehr.clinic.clone(), now);
        let read = match self.read(ehr, &source).await {
            Reading::Report { report, patient, beside } => Read { report: *report, patient, beside: *beside },
            Reading::Gone(_) | Reading::RecipientGone { .. } => {
                return Outcome::Unread("the EHR no longer has it".to_owned());
            }
            Reading::RecipientUnlearnt { why, .. } | Reading::Unreadable { why, .. } | Reading::Later { why, .. } => {
                return Outcome::Unread(why);
            }
        };
        let at = when_heard(&read.report, now);
        let rules = InForce { at, ..self.rules.at(now) };
        let prepared = match self.prepare(ehr, &source, &read, None, &rules) {
            Ok(prepared) => prepared,
            Err(error) => return Outcome::Unread(error.to_string()),
        };
        let others = self.rehearse_for_others(ehr, &source, read, &prepared, &rules).await;
        Outcome::Decided { patient: Box::new(Considered::of(prepared, &rules, ehr)), others }
    }

    /// The same report for those for whom it would be followed, too.
    async fn rehearse_for_others(
        &self,
        ehr: &ReadEhr,
        source: &SourceRow,
        mut read: Read,
        for_patient: &Prepared,
        rules: &InForce,
    ) -> Vec<Considered> {
        let followed = to_follow(for_patient, &[]);
        let mut considered = Vec::new();
        for further in std::mem::replace(&mut read.beside.further, Gathered::none()).found {
            let addressee = self.addressee_of(source, &further.value);
            if !followed.iter().any(|other| other.addressee == addressee) {
                continue;
            }
            let source = source.for_another(further.value.role, addressee);
            read.beside.recipient = Recipient::Further(Box::new(further.value));
            let about = (&read.report, &read.patient, &read.beside.recipient);
            read.beside.standings = self.contact_standings(ehr, &source, about, rules.at).await;
            if let Ok(prepared) = self.prepare(ehr, &source, &read, None, rules) {
                considered.push(Considered::of(prepared, rules, ehr));
            }
        }
        considered
    }
}

/// Chartseal would have read it when the EHR changed it.
fn when_heard(report: &Report, now: UtcMillis) -> UtcMillis {
    report.last_updated.or(report.issued).unwrap_or(now).min(now)
}

enum Searched {
    Found { heard: Vec<Heard>, why: Option<String> },
    TooMuch,
    Failed(String),
}

async fn search(ehr: &ReadEhr, kind: ResourceType, window: Window) -> Searched {
    for _ in 0..=RESTARTS_MAX {
        match ehr.client.search_changed(kind, window, PAGE_COUNT).await {
            Ok(SearchAnswer::Walked(Changes { heard, completeness, .. })) => {
                let why = match completeness {
                    Completeness::Complete => None,
                    Completeness::Incomplete { why } => Some(why.to_owned()),
                };
                return Searched::Found { heard, why };
            }
            Ok(SearchAnswer::WindowTooLarge) => return Searched::TooMuch,
            Ok(SearchAnswer::RestartWindow) => {}
            Err(error) => return Searched::Failed(format!("{kind}: {error}")),
        }
    }
    Searched::Failed(format!("{kind}: the EHR forgot its page links again and again"))
}

/// What would become of one resource.
enum Outcome {
    Unread(String),
    Decided { patient: Box<Considered>, others: Vec<Considered> },
}

struct Considered {
    decision: Decision,
    timing: Option<Timing>,
    at: UtcMillis,
    issued: Option<UtcMillis>,
    is_final: bool,
    /// Its codes, where no profile speaks of it.
    unmapped: BTreeSet<Coding>,
}

impl Considered {
    fn of(prepared: Prepared, rules: &InForce, ehr: &ReadEhr) -> Self {
        let Prepared { facts, decision, schedule, .. } = prepared;
        let is_mapped = is_covered(&rules.rules, &facts, Moment { now: rules.at, zone: ehr.zone });
        let own = facts.codes.iter().filter(|_| !is_mapped);
        Self {
            at: rules.at,
            issued: facts.issued,
            is_final: super::plan::may_leave(facts.status),
            unmapped: own.map(|code| codes::canonical(code).unwrap_or_else(|| code.clone())).collect(),
            decision,
            timing: schedule.map(|schedule| schedule.timing),
        }
    }
}

impl Rehearsal {
    fn could_not(&mut self, why: Option<String>) {
        if let Some(why) = why {
            count(&mut self.unread, why);
        }
    }

    fn add(&mut self, outcome: Outcome) {
        self.seen += 1;
        let (one, others) = match outcome {
            Outcome::Unread(why) => return count(&mut self.unread, why),
            Outcome::Decided { patient, others } => (patient, others),
        };
        for other in others {
            self.add_for_another(other);
        }
        if let Some(issued) = one.issued {
            self.oldest = Some(self.oldest.map_or(issued, |oldest| oldest.min(issued)));
            self.newest = Some(self.newest.map_or(issued, |newest| newest.max(issued)));
        }
        if !one.is_final {
            self.not_final += 1;
            return;
        }
        for code in one.unmapped {
            if self.codes.len() < CODES_MAX || self.codes.contains_key(&code) {
                *self.codes.entry(code).or_default() += 1;
            }
        }
        match one.decision {
            Decision::Block { rule } => count(&mut self.blocked, rule),
            Decision::Review {
                why:
                    why @ (ReviewReason::NoContact { .. }
                    | ReviewReason::ContactTie
                    | ReviewReason::ContactBounced { .. }
                    | ReviewReason::ContactDisputed { .. }
                    | ReviewReason::ContactOptedOut { .. }),
                ..
            } => {
                count(&mut self.unreachable, why.to_string());
            }
            Decision::Review { why, .. } => count(&mut self.reviewed, why.to_string()),
            Decision::Send { .. } => self.leaves(one.timing.as_ref(), one.at),
        }
    }

    fn add_for_another(&mut self, one: Considered) {
        let what = match one.decision {
            Decision::Block { rule } => format!("blocked by {rule}"),
            Decision::Review { why, .. } => format!("for a person: {why}"),
            Decision::Send { .. } => match one.timing {
                Some(Timing::ByAPerson { .. }) => "held until a person releases it".to_owned(),
                Some(Timing::At { until, .. }) if until > one.at => {
                    *self.messages.entry(until.day()).or_default() += 1;
                    "held until a time".to_owned()
                }
                Some(Timing::At { .. } | Timing::Now) | None => {
                    *self.messages.entry(one.at.day()).or_default() += 1;
                    "sent at once".to_owned()
                }
            },
        };
        count(&mut self.for_others, what);
    }

    fn leaves(&mut self, timing: Option<&Timing>, at: UtcMillis) {
        match timing {
            Some(Timing::ByAPerson { basis, .. }) => {
                count(&mut self.held, format!("until a person releases it ({})", basis.as_str()));
            }
            Some(Timing::At { until, basis }) if *until > at => {
                count(&mut self.held, format!("until a time ({})", basis.as_str()));
                *self.messages.entry(until.day()).or_default() += 1;
            }
            Some(Timing::At { .. } | Timing::Now) | None => {
                self.sent += 1;
                *self.messages.entry(at.day()).or_default() += 1;
            }
        }
    }

    /// Tells the most frequent codes without a profile.
    pub fn settle(&mut self) {
        let mut codes: Vec<_> = std::mem::take(&mut self.codes).into_iter().collect();
        codes.sort_by_key(|(_, reports)| std::cmp::Reverse(*reports));
        let told = codes.into_iter().take(CODES_TOLD);
        self.unmapped = told.map(|(code, reports)| UnmappedCode { code: code.to_string(), reports }).collect();
    }
}

fn count(counts: &mut BTreeMap<String, u64>, what: String) {
    let is_told = counts.len() < REASONS_MAX || counts.contains_key(&what);
    *counts.entry(if is_told { what } else { OTHER_REASONS.to_owned() }).or_default() += 1;
}
