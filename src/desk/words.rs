//! Decisions and audit lines in words, for the person who reads them; the serialised forms have them whole.

use serde_json::Value;

use crate::base::UtcMillis;
use crate::policy::columns::Grouping;
use crate::policy::vocabulary::{Backstop, CodeElse, CodeVia, ExpiryFrom, GroupBy};
use crate::policy::{Challenge, Channel, Decision, HoldBasis, Terms};
use crate::record::{BackstopAt, HoldEnd};
use crate::store::Delivery;

/// What the rules answered, as a sentence.
#[must_use]
pub fn of_decision(decision: &Decision) -> String {
    match decision {
        Decision::Send { terms } => format!("send: {}", of_terms(terms)),
        Decision::Review { why, terms: Some(terms) } if !terms.channels.is_empty() => {
            format!("a person looks: {why}. If released: {}", of_terms(terms))
        }
        Decision::Review { why, .. } => format!("a person looks: {why}"),
        Decision::Block { rule } => format!("never sent, says the rule '{rule}'"),
    }
}

fn of_terms(terms: &Terms) -> String {
    let channels: Vec<&str> = terms.channels.iter().copied().map(Channel::as_str).collect();
    let (hours, minutes) = (terms.expiry_seconds / 3600, terms.expiry_seconds % 3600 / 60);
    let life = if minutes == 0 { format!("{hours} h") } else { format!("{hours} h {minutes} m") };
    let from = match terms.expiry_from {
        ExpiryFrom::Delivered => "sending",
        ExpiryFrom::Issued => "the report was issued",
    };
    let mut said = format!(
        "by {}, ends {life} after {from}, opens {} times at most, {} wording",
        channels.join(" or "),
        terms.opens.0,
        terms.wording.as_str()
    );
    for challenge in &terms.challenges {
        said.push_str(", with the check '");
        said.push_str(challenge.as_str());
        said.push_str("' before opening");
    }
    if terms.challenges.contains(&Challenge::Code) {
        said.push_str(of_code(terms));
    }
    if let Grouping::With { what, .. } = terms.group {
        said.push_str(", in one link with others ");
        said.push_str(of_group(what));
    }
    if !terms.release.requires.is_empty() {
        said.push_str(", after a talk with a clinician");
    }
    said
}

/// How the code reaches the patient.
const fn of_code(terms: &Terms) -> &'static str {
    match (terms.code_via, terms.code_else) {
        (CodeVia::Any, _) => "",
        (CodeVia::Other, CodeElse::Staff) => " (by another channel than the link, else told by staff)",
        (CodeVia::Other, CodeElse::Slip) => " (by another channel than the link, else on a slip)",
        (CodeVia::Other, CodeElse::Pickup) => " (by another channel than the link, else the patient comes for it)",
        (CodeVia::Other, CodeElse::Review) => " (by another channel than the link)",
    }
}

/// What a report that may leave still waits for; empty when nothing.
#[must_use]
pub(super) fn of_gathering(delivery: &Delivery) -> String {
    let (Some(due), Decision::Send { terms }) = (delivery.due_at, &delivery.decision) else { return String::new() };
    match terms.group {
        Grouping::With { what, .. }
            if delivery.group_index.is_some() && due > delivery.state_at && delivery.tries == 0 =>
        {
            format!(
                "waits until {due} for others {} that may share its link; release it to send it now",
                of_group(what)
            )
        }
        Grouping::With { .. } | Grouping::Unsaid | Grouping::Alone => String::new(),
    }
}

const fn of_group(what: GroupBy) -> &'static str {
    match what {
        GroupBy::Order => "of the same order",
        GroupBy::Encounter => "of the same encounter",
        GroupBy::Day => "of the same day",
    }
}

/// What a held report waits for, and what happens without it.
#[must_use]
pub fn of_hold(until: HoldEnd, basis: HoldBasis) -> String {
    let waits = match until {
        HoldEnd::At(at) => format!("leaves by itself at {at}"),
        HoldEnd::Person => "waits for a person to release it".to_owned(),
        HoldEnd::PersonBefore(before) => format!("waits for a person to release it; {}", of_backstop(before)),
        HoldEnd::Talk { before, .. } => format!(
            "waits until a clinician talks with the patient and records it with `chartseal deliveries discussed`; {}",
            of_backstop(before)
        ),
    };
    match basis {
        HoldBasis::Law => format!("{waits} (a law asks for it)"),
        HoldBasis::PatientRequest => format!("{waits} (the patient asks for it)"),
        HoldBasis::IndividualHarm | HoldBasis::ClinicPolicy => waits,
    }
}

fn of_backstop(BackstopAt { at, then }: BackstopAt) -> String {
    match then {
        Backstop::Release => format!("without that it leaves by itself at {at}"),
        Backstop::Escalate => format!("without that it goes to review at {at}"),
    }
}

/// Shown above, or for machines.
const LEFT_OUT: [&str; 9] = ["actor", "at", "clinic", "decision", "event", "link", "patient", "rules_hash", "seq"];

/// One line of a delivery's audit: when, what, by whom, and what more it says.
#[must_use]
pub fn of_line(line: &Value) -> String {
    format!("{}  {}", text_of(line, "at"), of_deed(line))
}

/// [`of_line`] without its time.
#[must_use]
pub fn of_deed(line: &Value) -> String {
    let by = match line.get("actor") {
        Some(Value::String(actor)) if actor == "system" => String::new(),
        Some(actor) => format!(" ({})", of_value(actor)),
        None => String::new(),
    };
    let more: Vec<String> = line
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| !LEFT_OUT.contains(&key.as_str()) && !value.is_null())
        .map(|(key, value)| of_field(key, value))
        .collect();
    let what = text_of(line, "event").replace('_', " ");
    format!("{what}{by}  {}", more.join(", ")).trim_end().to_owned()
}

fn text_of<'a>(line: &'a Value, key: &str) -> &'a str {
    line.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn of_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields.iter().map(|(key, value)| of_field(key, value)).collect::<Vec<_>>().join(", "),
        Value::Array(list) => list.iter().map(of_value).collect::<Vec<_>>().join(" and "),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn of_field(key: &str, value: &Value) -> String {
    match (key, value.as_i64()) {
        // An instant: `until`, `at`, `due` …
        ("at" | "due" | "until" | "lease_until" | "expires_at", Some(millis)) => {
            format!("{} {}", key.replace('_', " "), UtcMillis(millis).to_rfc3339())
        }
        ("state" | "reason", _) => of_value(value).replace('_', " "),
        (_, _) => format!("{} {}", key.replace('_', " "), of_value(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_audit_line_reads_without_braces_or_milliseconds() {
        let line = json!({
            "actor": {"operator": "Eve Admin"}, "clinic": "main", "event": "stepped", "from": "recorded",
            "to": {"state": "live", "until": {"at": 1_795_348_800_000_i64}}, "at": "2026-11-22T12:00:00.000Z", "seq": 5,
        });
        assert_eq!(
            of_line(&line),
            "2026-11-22T12:00:00.000Z  stepped (operator Eve Admin)  from recorded, to live, until at 2026-11-22T12:00:00.000Z"
        );
    }

    #[test]
    fn what_is_held_says_what_it_waits_for_and_what_happens_without() {
        let before = BackstopAt { at: UtcMillis(1_795_348_800_000), then: Backstop::Escalate };
        let talk = HoldEnd::Talk { before, after: crate::record::AfterTalk::Person };
        let said = of_hold(talk, HoldBasis::Law);
        assert!(said.contains("deliveries discussed") && said.contains("review at 2026-11-22"), "{said}");
        let said = of_hold(HoldEnd::PersonBefore(before), HoldBasis::ClinicPolicy);
        assert!(said.starts_with("waits for a person to release it"), "{said}");
    }

    #[test]
    fn a_decision_says_the_check_the_talk_and_from_when_its_life_counts() {
        let mut terms = Terms::by_hand();
        terms.challenges.insert(crate::policy::Challenge::Code);
        terms.release.requires.insert(crate::policy::vocabulary::Requirement::Discussed);
        terms.expiry_from = ExpiryFrom::Issued;
        let said = of_decision(&Decision::Send { terms });
        for word in ["after the report was issued", "'code'", "talk with a clinician"] {
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn a_decision_reads_as_a_sentence() {
        let decision = Decision::Send { terms: Terms::by_hand() };
        assert!(of_decision(&decision).starts_with("send: by email, ends "), "{}", of_decision(&decision));
        let blocked = Decision::Block { rule: "genetics".to_owned() };
        assert_eq!(of_decision(&blocked), "never sent, says the rule 'genetics'");
    }
}
