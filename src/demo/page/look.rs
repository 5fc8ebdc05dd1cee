//! What the page shows, gathered from the lab, the desk and the mailbox.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::messages::Envelope;
use super::words::{self, Tone};
use super::{Page, Refused};
use crate::demo::lab::{Filed, Said};
use crate::demo::scratch::RULES;
use crate::desk::{Brief, LIST_MAX, Shown, words as desk_words};
use crate::policy::columns::show_span;
use crate::policy::trace::Outcome;
use crate::policy::{Decision, Trace};
use crate::record::{Link, RevokedBy};
use crate::store::DeliveryFilter;

#[derive(Serialize)]
pub(super) struct Look {
    /// Whether more happens by itself.
    goes_on: bool,
    /// Newest first.
    reports: Vec<Report>,
    /// Newest first.
    messages: Vec<Envelope>,
}

#[derive(Serialize)]
struct Report {
    id: String,
    title: &'static str,
    patient: &'static str,
    code: String,
    shows: &'static str,
    lab_says: &'static str,
    can: Vec<&'static str>,
    /// Newest first.
    deliveries: Vec<Delivered>,
}

#[derive(Serialize)]
struct Delivered {
    id: String,
    tone: Tone,
    state: &'static str,
    meaning: String,
    decision: String,
    /// The rows of the rules file that are in force for it, as they stand there.
    rows: Vec<String>,
    /// Names and values of the terms.
    terms: Vec<(&'static str, String)>,
    /// Line by line, how the rules came to it.
    trace: Vec<String>,
    /// The numbers of its messages.
    messages: Vec<u32>,
    can: Vec<&'static str>,
    audit: Vec<AuditLine>,
}

#[derive(Serialize)]
struct AuditLine {
    at: String,
    what: String,
}

pub(super) async fn look(page: &Page) -> Result<Look, Refused> {
    let filter = DeliveryFilter { state: None, clinic: None, ehr: None, count_max: LIST_MAX };
    let mut of_report: HashMap<String, Vec<Brief>> = HashMap::new();
    for brief in page.desk.list(filter).await? {
        of_report.entry(brief.resource.clone().unwrap_or_default()).or_default().push(brief);
    }
    let mut seen: Vec<(Filed, Vec<Shown>)> = Vec::new();
    for filed in page.lab.reports().into_iter().rev() {
        let resource = format!("{}/{}", filed.sample.facts().kind, filed.id);
        let mut deliveries = Vec::new();
        for brief in of_report.remove(&resource).unwrap_or_default() {
            deliveries.push(page.desk.show(&brief.id).await?);
        }
        seen.push((filed, deliveries));
    }
    // After the deliveries: a message was caught before its delivery is known to be sent.
    let mut messages: Vec<Envelope> = page.caught.all().iter().map(Envelope::of).collect();
    messages.reverse();
    let reports = seen
        .into_iter()
        .map(|(filed, deliveries)| {
            Report::of(filed, deliveries.iter().map(|shown| Delivered::of(shown, &messages)).collect())
        })
        .collect();
    Ok(Look { goes_on: !page.lab.is_script_over(), reports, messages })
}

impl Report {
    fn of(filed: Filed, deliveries: Vec<Delivered>) -> Self {
        let facts = filed.sample.facts();
        let (lab_says, can) = match filed.said {
            Said::Final => ("final", vec!["correct", "withdraw"]),
            Said::Corrected => ("corrected", vec!["correct", "withdraw"]),
            Said::Withdrawn => ("entered in error", Vec::new()),
        };
        Self {
            id: filed.id,
            title: facts.title,
            patient: facts.person.name,
            code: format!("{}, LOINC {}", facts.kind, facts.code),
            shows: facts.shows,
            lab_says,
            can,
            deliveries,
        }
    }
}

impl Delivered {
    fn of(shown: &Shown, messages: &[Envelope]) -> Self {
        let told = words::of_state(shown);
        let trace = serde_json::from_value::<Trace>(shown.trace.clone()).ok();
        let is_own = |message: &&Envelope| shown.notices.iter().any(|notice| notice.id == message.notice);
        Self {
            id: shown.brief.id.clone(),
            tone: told.tone,
            state: told.state,
            meaning: told.meaning,
            decision: desk_words::of_decision(&shown.decision),
            rows: trace.as_ref().map(rows_in_force).unwrap_or_default(),
            terms: terms(shown),
            trace: trace.map(|trace| trace.to_string().lines().map(str::to_owned).collect()).unwrap_or_default(),
            messages: messages.iter().filter(is_own).map(Envelope::n).collect(),
            can: deeds(&shown.link_state),
            audit: shown.audit.iter().map(audit_line).collect(),
        }
    }
}

fn rows_in_force(trace: &Trace) -> Vec<String> {
    let in_force = trace.rows.iter().filter(|row| row.outcome == Outcome::InForce);
    in_force.filter_map(|in_force| row(&in_force.id)).map(str::to_owned).collect()
}

/// The row of the demo's rules with this id, as it stands there.
fn row(id: &str) -> Option<&'static str> {
    let mut rows = RULES.split_inclusive("[[profile]]").skip(1).map(|row| row.trim_end_matches("[[profile]]").trim());
    rows.find(|row| row.starts_with(&format!("id = \"{id}\"")))
}

fn terms(shown: &Shown) -> Vec<(&'static str, String)> {
    let terms = match &shown.decision {
        Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => terms,
        Decision::Review { terms: None, .. } | Decision::Block { .. } => return Vec::new(),
    };
    let mut said = vec![
        ("Link lives", show_span(terms.expiry_seconds)),
        ("Opens in", format!("{} browser{}", terms.opens.0, if terms.opens.0.get() == 1 { "" } else { "s" })),
        ("Wording", terms.wording.as_str().to_owned()),
    ];
    match (&shown.shredded_at, &shown.expires_at) {
        (Some(at), _) => said.push(("Key destroyed", at.clone())),
        (None, Some(at)) => said.push(("Ends", at.clone())),
        (None, None) => {}
    }
    said
}

/// What staff may do with it, as the desk's tables have it.
fn deeds(link: &Link) -> Vec<&'static str> {
    match link {
        Link::Held { .. } | Link::Review { .. } => vec!["release", "revoke"],
        Link::Live { .. } => vec!["revoke", "resend"],
        Link::Spent | Link::Expired | Link::Revoked { by: RevokedBy::Operator(_) } => vec!["resend"],
        Link::Suspended { .. } => vec!["revoke"],
        Link::Recorded | Link::Blocked | Link::Revoked { .. } | Link::Recalled | Link::Superseded { .. } => Vec::new(),
    }
}

fn audit_line(line: &Value) -> AuditLine {
    let at = line.get("at").and_then(Value::as_str).unwrap_or_default().to_owned();
    AuditLine { at, what: desk_words::of_deed(line) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::RuleSet;

    #[test]
    fn every_rule_of_the_demo_can_be_shown_as_it_stands() {
        let rules = RuleSet::parse(RULES).unwrap();
        assert_eq!(rules.profiles().len(), 3);
        for profile in rules.profiles() {
            let row = row(&profile.id).unwrap();
            assert!(row.contains("when = ") && row.contains("then = ") && !row.contains("[["), "{row}");
        }
    }
}
