//! An explanation in plain lines, as a person reads them aloud.
//!
//! Must stay true: the first lines answer why, what would make it go out, and when.

use super::explain::OfDelivery;
use crate::policy::decide::DEFAULT_RULE;
use crate::policy::explain::{Explanation, RowTold, ScheduleTold};
use crate::policy::facts::Lack;
use crate::policy::trace::Layer;
use crate::policy::{Decision, RecipientRole, ReviewReason, Terms};

/// What files cannot tell, the EHR perhaps can.
const NOT_GIVEN: &str = "it was not given: hand its file over with --with or --patient";
/// Rows that did not match are named up to this number.
const UNMATCHED_MAX: usize = 20;

/// From files, what was not found was not given.
pub(super) fn say_not_given(explained: &mut Explanation) {
    let not_found = Lack::NotFound.as_str();
    if let Some(serde_json::Value::String(reason)) = explained.decision.get_mut("reason") {
        *reason = reason.replace(not_found, NOT_GIVEN);
    }
    for unknown in explained.rows.iter_mut().filter_map(|row| row.unknown.as_mut()) {
        if unknown.why == Lack::NotFound {
            unknown.in_words = NOT_GIVEN;
        }
    }
}

pub(super) fn lines(explained: &Explanation, delivery: Option<&OfDelivery>) -> String {
    let mut lines = vec![decision(explained), format!("Why: {}", why(explained))];
    lines.extend(
        next(explained, delivery.map(|delivery| delivery.id.as_str()))
            .map(|next| format!("What would make it go out: {next}")),
    );
    if let Some(schedule) = &explained.schedule {
        lines.extend(times(explained, schedule));
    }
    lines.extend(delivery.map(of_delivery));
    lines.push(String::new());
    lines.extend(explained.evidence.iter().map(|one| {
        let place = &one.place;
        format!(
            "tag {} from '{}': {} at {} of the {}",
            one.tag,
            one.row,
            place.predicate.as_str(),
            place.path,
            place.resource
        )
    }));
    for column in explained.columns.iter().filter(|column| !column.others.is_empty() || !column.rows.is_empty()) {
        let others: Vec<_> =
            column.others.iter().map(|other| format!("; '{}' asked {}", other.row, other.value)).collect();
        let by = if column.rows.is_empty() { String::new() } else { format!(" from {}", column.rows.join(", ")) };
        lines.push(format!("{}: {}{by}{}", column.column.as_str(), column.value, others.concat()));
    }
    lines.extend(explained.rows.iter().filter_map(row));
    lines.extend(unmatched(&explained.rows));
    lines.push(format!("rules '{}' {} ({})", explained.rules_id, explained.rules_version, explained.rules_hash));
    lines.join("\n")
}

fn decision(explained: &Explanation) -> String {
    let role = role(explained.recipient);
    match &explained.recorded {
        Decision::Send { .. } => format!("This report goes out to {role}."),
        Decision::Review { .. } => format!("This report waits for a person before it goes to {role}."),
        Decision::Block { .. } => format!("This report does not go to {role}."),
    }
}

const fn role(recipient: RecipientRole) -> &'static str {
    match recipient {
        RecipientRole::Patient => "the patient",
        RecipientRole::Proxy => "who acts for the patient",
        RecipientRole::OrderingProvider => "the provider who ordered it",
        RecipientRole::CopyTo => "a recipient of a copy",
        RecipientRole::ThirdParty => "a third party",
    }
}

fn why(explained: &Explanation) -> String {
    let matched = |wanted: Layer| {
        let ids = explained.rows.iter().filter(move |row| row.layer == wanted && row.outcome == "matched");
        ids.map(|row| format!("'{}'", row.id)).collect::<Vec<_>>()
    };
    let reason = explained.decision.get("reason").and_then(serde_json::Value::as_str).unwrap_or_default();
    match &explained.recorded {
        Decision::Send { .. } => {
            let profiles = matched(Layer::Profile).join(", ");
            let restricts = matched(Layer::Restrict);
            let stricter = if restricts.is_empty() {
                String::new()
            } else {
                format!("; made stricter by {}", restricts.join(", "))
            };
            format!("the profile {profiles} matches and sends it{stricter}.")
        }
        Decision::Block { rule } if rule == DEFAULT_RULE => {
            "no profile speaks of this recipient, and nothing goes to others than the patient unless one does."
                .to_owned()
        }
        Decision::Block { .. } if explained.rows.is_empty() => {
            "its status in the EHR says that it is not finished, not valid, or replaced.".to_owned()
        }
        Decision::Block { rule } => format!("the row '{rule}' says block."),
        Decision::Review { .. } => format!("{reason}."),
    }
}

/// What a person can do; nothing where it leaves at once.
fn next(explained: &Explanation, delivery: Option<&str>) -> Option<String> {
    let release = match delivery {
        Some(id) => format!("a person releases it: `chartseal deliveries release {id}`"),
        None => "a person releases it (`chartseal deliveries release`)".to_owned(),
    };
    let told = match &explained.recorded {
        Decision::Send { .. } => return waits(explained.schedule.as_ref()?, &release),
        Decision::Review { why: ReviewReason::Unknown { fact, rule, .. }, .. } => {
            format!("supply {}; or change what the row '{rule}' asks for; or {release}.", supply(fact))
        }
        Decision::Review { why: ReviewReason::NoRule, .. } => {
            format!("add a [[profile]] for {}; or {release}.", codes(explained))
        }
        Decision::Review { why: ReviewReason::RuleAsks { rule }, .. } => {
            format!("{release}; or change the action of the row '{rule}'.")
        }
        Decision::Review { why: ReviewReason::NoCommonChannel { rules }, .. } => {
            format!("give the rows {rules} a channel in common; no release can send it without one.")
        }
        Decision::Review { .. } => format!("mend that in the EHR; or {release}."),
        Decision::Block { rule } if rule == DEFAULT_RULE => {
            "add a [[profile]] whose 'recipient' names this role, if the clinic means to send it there.".to_owned()
        }
        Decision::Block { .. } if explained.rows.is_empty() => "a final version of it in the EHR.".to_owned(),
        Decision::Block { rule } => format!("change the row '{rule}', if the clinic means to send it."),
    };
    Some(told)
}

fn waits(schedule: &ScheduleTold, release: &str) -> Option<String> {
    let waivers: Vec<String> = schedule
        .floors
        .iter()
        .filter(|floor| !floor.waived_by.is_empty())
        .map(|floor| {
            format!(
                "; before {} only if the {} waives {}",
                floor.until.local,
                floor.waived_by.join(" or the "),
                floor.law
            )
        })
        .collect();
    match (schedule.leaves, &schedule.at) {
        ("at", Some(at)) => {
            Some(format!("nothing more is needed: it leaves by itself at {}{}.", at.local, waivers.concat()))
        }
        ("by_a_person", _) => {
            let talk = if schedule.requires.is_empty() {
                ""
            } else {
                "a named clinician records the talk with the patient, and "
            };
            Some(format!("{talk}{release}{}.", waivers.concat()))
        }
        (_, _) => None,
    }
}

fn times(explained: &Explanation, schedule: &ScheduleTold) -> Vec<String> {
    let mut lines =
        vec![format!("Times are those of {}; everything counts from {}.", explained.zone, schedule.from.local)];
    lines.extend(
        schedule
            .floors
            .iter()
            .map(|floor| format!("The law {} lets it out at {} at the earliest.", floor.law, floor.until.local)),
    );
    lines.extend(
        schedule.ceilings.iter().map(|one| format!("The law {} wants it out by {}.", one.law, one.until.local)),
    );
    if !explained.sends() {
        return lines;
    }
    match (schedule.leaves, &schedule.at, &schedule.backstop) {
        ("at", Some(at), _) => {
            lines.push(format!("It leaves by itself at {} ({}).", at.local, schedule.basis.unwrap_or("hold")));
        }
        ("by_a_person", _, Some(backstop)) => {
            let then = if backstop.then == "release" { "leaves by itself" } else { "is put before staff again" };
            lines.push(format!("It waits for a person; at {} it {then}.", backstop.at.local));
        }
        (_, _, _) => lines.push("It leaves at once.".to_owned()),
    }
    lines
}

fn of_delivery(delivery: &OfDelivery) -> String {
    let by = match delivery.rules_from {
        "in_force" => {
            "The version that decided it is not kept any more: this is what the rules in force say of the same facts."
        }
        _ => "This is what the version says that decided it.",
    };
    let then = match (&delivery.decision, delivery.same) {
        (_, true) => String::new(),
        (Decision::Review { why, .. }, false) => format!(" But it was decided otherwise, for {why}."),
        (Decision::Send { terms: Terms { .. } } | Decision::Block { .. }, false) => {
            " But it was decided otherwise.".to_owned()
        }
    };
    format!("Delivery {} is {}. {by}{then}", delivery.id, delivery.state)
}

/// A fact as what a person can look for.
fn supply(fact: &str) -> &str {
    match fact {
        "holds" | "set" | "prefix" => "the members of the result and the order with its reasons",
        "label" | "confidentiality" => "the members, the order and the encounter with their security labels",
        "order" | "reason" => "the order (ServiceRequest) with its reasons",
        "performer" | "service" => "who made the report: performers, their roles, the encounter",
        "encounter" => "the encounter",
        "text" => "the texts of the report and its members",
        "age" => "the patient's date of birth",
        "consent" => "the patient's consents",
        "basis" => "the ground on which the recipient acts for the patient",
        "preference" => "what the patient asked for",
        "contact" | "contact_confirmed_within" | "contact_not_confirmed_within" => {
            "what is recorded of the patient's address (`chartseal contacts`)"
        }
        "critical" => "the members with their flags",
        other => other,
    }
}

fn codes(explained: &Explanation) -> String {
    let codes: Vec<String> = explained.facts.codes.iter().map(ToString::to_string).collect();
    if codes.is_empty() { "its category (it has no code)".to_owned() } else { format!("its code {}", codes.join(", ")) }
}

fn row(row: &RowTold) -> Option<String> {
    let name = format!("{} '{}'", row.layer.as_str(), row.id);
    match (row.outcome, &row.unknown) {
        ("matched", _) => {
            let at: Vec<_> =
                row.evidence.iter().map(|place| format!("{} at {}", place.predicate.as_str(), place.path)).collect();
            Some(if at.is_empty() { format!("{name} matches") } else { format!("{name} matches: {}", at.join(", ")) })
        }
        ("replaced", _) => Some(format!("{name} matches, but is replaced by {}", row.replaced_by.join(", "))),
        ("unknown", Some(unknown)) => {
            Some(format!("{name} may match: {} is not known ({})", unknown.fact, unknown.in_words))
        }
        (_, _) => None,
    }
}

fn unmatched(rows: &[RowTold]) -> Option<String> {
    let failed: Vec<_> = rows.iter().filter_map(|row| Some(format!("{} ({})", row.id, row.failed?))).collect();
    let more = failed.len().saturating_sub(UNMATCHED_MAX);
    let shown = failed.iter().take(UNMATCHED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let and = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!failed.is_empty()).then(|| format!("did not match, with the first condition that failed: {shown}{and}"))
}
