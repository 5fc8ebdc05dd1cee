//! One decision, told whole: every column, every row with what failed, the evidence, the schedule.
//!
//! Job: what `rules explain` prints, from facts and rules alone.
//! Must stay true: the same rules, facts and moment give the same bytes for ever; nothing is here that the trace does not
//! know.
//! Must not know: where the facts come from.

use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::cases::action_of;
use super::columns::{Column, Columns};
use super::decide::{Decided, decide};
use super::decision::{Decision, Terms};
use super::facts::{Facts, Lack, RecipientRole};
use super::laws::Waiver;
use super::rules::RuleSet;
use super::schedule::{LegalWait, Moment, Schedule, Timing};
use super::trace::{ColumnTrace, Layer, Outcome, RowTrace};
use super::vocabulary::ReleaseBy;
use super::when::Predicate;
use super::written;
use crate::base::{ResourceType, UtcMillis};

/// What is not told of a row that does not count at this time.
const TIME: &str = "time";

/// A decision and everything behind it. Field names are part of the contract for callers.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// `action`, `reason`, `rule` and every column by its name in a rules file, as a rules file writes it; columns are
    /// null where the status of the report alone decided.
    pub decision: Map<String, Value>,
    pub rows: Vec<RowTold>,
    pub columns: Vec<ColumnTold>,
    /// By what each tag was given.
    pub evidence: Vec<TagEvidence>,
    pub schedule: Option<ScheduleTold>,
    pub rules_hash: String,
    pub rules_id: String,
    pub rules_version: String,
    pub recipient: RecipientRole,
    pub at: String,
    pub zone: &'static str,
    /// The decision as it is stored with a delivery.
    pub recorded: Decision,
    pub facts: Facts,
}

/// One row and whether it counts.
#[derive(Clone, Debug, Serialize)]
pub struct RowTold {
    pub layer: Layer,
    pub id: String,
    /// `matched`, `not`, `unknown` or `replaced`.
    pub outcome: &'static str,
    /// The first condition that does not hold; `time` where an exception or a law is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaced_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    pub evidence: Vec<Place>,
}

/// What could not be learnt.
#[derive(Clone, Debug, Serialize)]
pub struct Unknown {
    pub fact: &'static str,
    pub why: Lack,
    pub in_words: &'static str,
}

/// A condition that holds, and where.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    pub predicate: Predicate,
    pub path: String,
    /// The type of the resource in which the path ends.
    pub resource: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub struct TagEvidence {
    pub tag: String,
    pub row: String,
    #[serde(flatten)]
    pub place: Place,
}

/// One column, who set it, and what the others asked.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnTold {
    pub column: Column,
    pub value: String,
    pub rows: Vec<String>,
    pub others: Vec<OtherAsked>,
}

#[derive(Clone, Debug, Serialize)]
pub struct OtherAsked {
    pub row: String,
    pub value: String,
}

/// Each instant also by the clock of the zone.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleTold {
    pub from: Instant,
    /// `now`, `at` or `by_a_person`.
    pub leaves: &'static str,
    /// When it leaves by itself; none where it waits for a person.
    pub at: Option<Instant>,
    pub basis: Option<&'static str>,
    pub earliest: Instant,
    pub requires: Vec<&'static str>,
    pub backstop: Option<BackstopTold>,
    pub floors: Vec<LegalWaitTold>,
    pub ceilings: Vec<LegalWaitTold>,
}

#[derive(Clone, Debug, Serialize)]
pub struct BackstopTold {
    pub at: Instant,
    pub then: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub struct LegalWaitTold {
    pub law: String,
    pub until: Instant,
    pub waived_by: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Instant {
    pub utc: String,
    pub local: String,
}

/// Decides and tells everything.
#[must_use]
pub fn explain(rules: &RuleSet, facts: &Facts, moment: Moment) -> Explanation {
    let decided = decide(rules, facts, moment);
    let zone = rules.timezone().unwrap_or(moment.zone);
    let rows: Vec<RowTold> = decided.trace.rows.iter().map(|row| row_told(row, facts.kind)).collect();
    let evidence = rows.iter().flat_map(tag_evidence).collect();
    Explanation {
        decision: decision_told(rules, facts, moment, &decided),
        evidence,
        rows,
        columns: decided.trace.columns.iter().map(column_told).collect(),
        schedule: decided.schedule.as_ref().map(|schedule| schedule_told(schedule, zone)),
        rules_hash: rules.rules_hash_hex(),
        rules_id: rules.id().to_owned(),
        rules_version: rules.version().to_owned(),
        recipient: facts.recipient,
        at: moment.now.to_rfc3339(),
        zone: zone.name(),
        recorded: decided.decision,
        facts: facts.clone(),
    }
}

impl Explanation {
    /// Whether the report leaves by these rules.
    #[must_use]
    pub fn sends(&self) -> bool {
        matches!(self.recorded, Decision::Send { .. })
    }
}

fn decision_told(rules: &RuleSet, facts: &Facts, moment: Moment, decided: &Decided) -> Map<String, Value> {
    let decision = &decided.decision;
    let (reason, rule) = match decision {
        Decision::Send { .. } => (None, None),
        Decision::Review { why, .. } => (Some(why.to_string()), None),
        Decision::Block { rule } => (Some(format!("the rule '{rule}' keeps it from leaving")), Some(rule.clone())),
    };
    let mut told = Map::new();
    told.insert("action".to_owned(), action_of(decision).as_str().into());
    told.insert("reason".to_owned(), reason.into());
    told.insert("rule".to_owned(), rule.into());
    let columns = decided.schedule.as_ref().map(|schedule| {
        let joined = match decision {
            Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => Columns::from(terms),
            Decision::Review { terms: None, .. } | Decision::Block { .. } => {
                rules.judge(&rules.ready(facts), moment.now).columns
            }
        };
        (joined, schedule)
    });
    for column in Column::ALL.into_iter().filter(|column| *column != Column::Action) {
        let value = columns.as_ref().map_or(Value::Null, |(columns, _)| written::value(columns, column));
        told.insert(column.as_str().to_owned(), value);
    }
    if let Some((columns, schedule)) = columns {
        // A talk that is required is a person's word too.
        if matches!(schedule.timing, Timing::ByAPerson { .. }) {
            told.insert("release".to_owned(), ReleaseBy::Manual.as_str().into());
        }
        told.extend(written::beside(&columns));
        told.insert("seconds".to_owned(), spans(&columns));
    }
    told
}

/// The spans once more, for programs.
fn spans(columns: &Columns) -> Value {
    let terms = Terms::from(columns);
    json!({
        "expiry": terms.expiry_seconds, "view": terms.view_seconds, "hold": terms.release.hold_seconds,
        "auto_release": terms.release.auto_release_seconds, "retention": terms.retention_seconds,
    })
}

fn row_told(row: &RowTrace, kind: ResourceType) -> RowTold {
    let (outcome, failed, unknown, replaced_by) = match &row.outcome {
        Outcome::InForce => ("matched", None, None, Vec::new()),
        Outcome::ReplacedBy { by } => ("replaced", None, None, by.clone()),
        Outcome::OutOfTime => ("not", Some(TIME), None, Vec::new()),
        Outcome::NotMatched { failed } => ("not", Some(failed.as_str()), None, Vec::new()),
        Outcome::Unknown { fact, why } => {
            let unknown = Unknown { fact: fact.as_str(), why: *why, in_words: why.as_str() };
            ("unknown", None, Some(unknown), Vec::new())
        }
    };
    let evidence = row.evidence.iter().map(|seen| Place {
        predicate: seen.predicate,
        path: seen.at.0.clone(),
        resource: resource_of(&seen.at.0, kind),
    });
    RowTold {
        layer: row.layer,
        id: row.id.clone(),
        outcome,
        failed,
        unknown,
        replaced_by,
        tag: row.tag.clone(),
        evidence: evidence.collect(),
    }
}

/// The type of the resource in which a path ends, by the last reference on it.
fn resource_of(path: &str, kind: ResourceType) -> &'static str {
    let step = |step: &str| step.split('[').next().unwrap_or_default().to_owned();
    let steps: Vec<String> = path.split('.').map(step).collect();
    let named = |name: &str| match name {
        "result" | "hasMember" => Some("Observation"),
        "basedOn" => Some("ServiceRequest"),
        "encounter" => Some("Encounter"),
        "performer" | "author" if steps.len() > 1 => Some("PractitionerRole"),
        "Consent" => Some("Consent"),
        "RelatedPerson" => Some("RelatedPerson"),
        "birthDate" | "contact" => Some("Patient"),
        "contained" => Some("contained"),
        _ => None,
    };
    steps.iter().rev().find_map(|name| named(name)).unwrap_or_else(|| kind.as_str())
}

fn tag_evidence(row: &RowTold) -> Vec<TagEvidence> {
    let Some(tag) = row.tag.as_ref().filter(|_| row.outcome == "matched") else { return Vec::new() };
    let told = |place: &Place| TagEvidence { tag: tag.clone(), row: row.id.clone(), place: place.clone() };
    row.evidence.iter().map(told).collect()
}

fn column_told(column: &ColumnTrace) -> ColumnTold {
    let other = |asked: &super::trace::Asked| OtherAsked { row: asked.row.clone(), value: asked.value.clone() };
    ColumnTold {
        column: column.column,
        value: column.value.clone(),
        rows: column.by.clone(),
        others: column.overruled.iter().map(other).collect(),
    }
}

fn schedule_told(schedule: &Schedule, zone: Tz) -> ScheduleTold {
    let at = |instant| instant_told(instant, zone);
    let waits = |waits: &[LegalWait]| {
        let told = |wait: &LegalWait| LegalWaitTold {
            law: wait.rule.clone(),
            until: at(wait.until),
            waived_by: wait.waived_by.iter().copied().map(Waiver::as_str).collect(),
        };
        waits.iter().map(told).collect()
    };
    let mut told = ScheduleTold {
        from: at(schedule.from),
        leaves: "now",
        at: None,
        basis: None,
        earliest: at(schedule.earliest),
        requires: Vec::new(),
        backstop: None,
        floors: waits(&schedule.floors),
        ceilings: waits(&schedule.ceilings),
    };
    match &schedule.timing {
        Timing::Now => {}
        Timing::At { until, basis } => {
            told.leaves = "at";
            told.at = Some(at(*until));
            told.basis = Some(basis.as_str());
        }
        Timing::ByAPerson { requires, backstop_at, then, basis } => {
            told.leaves = "by_a_person";
            told.basis = Some(basis.as_str());
            told.requires = requires.iter().map(|one| one.as_str()).collect();
            told.backstop = Some(BackstopTold { at: at(*backstop_at), then: then.as_str() });
        }
    }
    told
}

fn instant_told(at: UtcMillis, zone: Tz) -> Instant {
    let local = at.to_datetime().with_timezone(&zone);
    Instant { utc: at.to_rfc3339(), local: local.format("%a %Y-%m-%d %H:%M %Z").to_string() }
}
