//! A `[[test]]` made of facts: what a person puts into the rules file after a surprise.
//!
//! Must stay true: what is printed passes under the rules that it was made with, or says in a remark why it may not.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::calendar::local_at;
use super::canon::own_path;
use super::cases::{CASE_NOW, action_of};
use super::codes;
use super::columns::Column;
use super::decide::decide;
use super::decision::Decision;
use super::explain::explain;
use super::facts::{Age, Coding, Facts, Flag, Gathered, ReportStatus};
use super::rules::RuleSet;
use super::schedule::{Moment, Timing};
use super::text::Pattern;
use super::vocabulary::Action;
use super::when::{Condition, Predicate, When};
use super::written::quoted;
use crate::base::ResourceType;

/// Columns that a test tells where a report may leave.
const TOLD: [Column; 7] =
    [Column::Expiry, Column::Opens, Column::Verify, Column::CodeVia, Column::Wording, Column::Hold, Column::Release];

const OF_CONTACT: [Predicate; 3] =
    [Predicate::Contact, Predicate::ContactConfirmedWithin, Predicate::ContactNotConfirmedWithin];

/// Lines of TOML.
#[must_use]
pub fn as_test(rules: &RuleSet, facts: &Facts, name: &str) -> String {
    let mut lines = Lines { text: "[[test]]\n".to_owned(), remarks: Vec::new() };
    lines.put("name", &quoted(name));
    lines.facts(rules, facts);
    lines.expected(rules, facts);
    let remarks = lines.remarks.iter().map(|remark| format!("# {remark}"));
    remarks.chain([lines.text.trim_end().to_owned()]).collect::<Vec<_>>().join("\n")
}

struct Lines {
    text: String,
    remarks: Vec<String>,
}

impl Lines {
    fn put(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.text, "{key} = {value}");
    }

    fn words<'w>(&mut self, key: &str, words: impl IntoIterator<Item = &'w str>) {
        let words: BTreeSet<String> = words.into_iter().map(quoted).collect();
        if !words.is_empty() {
            let words: Vec<_> = words.into_iter().collect();
            self.put(key, &format!("[{}]", words.join(", ")));
        }
    }

    fn codes<'c>(&mut self, key: &str, codes: impl IntoIterator<Item = &'c Coding>) {
        let mut written = BTreeSet::new();
        for code in codes {
            match in_rules(code) {
                Some(text) => {
                    written.insert(text);
                }
                None => self.remarks.push(format!("left out of {key}, for a rules file cannot name it: {code}")),
            }
        }
        self.words(key, written.iter().map(String::as_str));
    }

    fn facts(&mut self, rules: &RuleSet, facts: &Facts) {
        self.put("facts.recipient", &quoted(facts.recipient.as_str()));
        self.put("facts.resource", &quoted(facts.kind.as_str()));
        if let Some(clinic) = &facts.clinic {
            self.put("facts.clinic", &quoted(clinic.as_str()));
        }
        if facts.status != ReportStatus::Final {
            self.remarks.push("the status of the report is another than final, which a test cannot say".to_owned());
        }
        let own = match facts.kind {
            ResourceType::DiagnosticReport => "code",
            ResourceType::DocumentReference => "type",
        };
        debug_assert_eq!(own, own_path(facts.kind));
        self.codes(&format!("facts.{own}"), &facts.codes);
        self.codes("facts.category", &facts.categories);
        self.codes("facts.results", facts.results.values());
        self.codes("facts.label", facts.labels.values());
        self.codes("facts.order", facts.orders.values());
        self.codes("facts.reason", facts.reasons.values());
        self.codes("facts.specialty", facts.specialties.values());
        self.codes("facts.encounter", facts.encounters.values());
        self.words("facts.performer", facts.performers.values().map(String::as_str));
        self.words("facts.service", facts.services.iter().map(String::as_str));
        self.words("facts.consent", facts.consents.values().map(String::as_str));
        self.words("facts.basis", facts.basis.values().map(|basis| basis.as_str()));
        self.words("facts.preference", facts.preferences.values().map(String::as_str));
        if let Some(standing) = facts.contact.values().next() {
            let since = local_at(standing.since, rules.timezone().unwrap_or(chrono_tz::Tz::UTC));
            self.put("facts.contact", &quoted(standing.state.as_str()));
            self.put("facts.contact_since", &quoted(&since.format("%Y-%m-%dT%H:%M:%S").to_string()));
        }
        self.texts(rules, facts);
        match facts.age {
            Age::Years { least, most } if least == most => self.put("facts.age", &least.to_string()),
            Age::Years { least, most } => {
                self.remarks.push(format!("the age is {least} to {most}: a test without an age takes it as unknown"));
            }
            Age::Unknown => {}
        }
        if facts.critical == Flag::Yes {
            self.put("facts.critical", "true");
        }
        if let Some(issued) = facts.issued {
            let local = local_at(issued, rules.timezone().unwrap_or(chrono_tz::Tz::UTC));
            self.put("facts.issued", &quoted(&local.format("%Y-%m-%dT%H:%M:%S").to_string()));
        }
        self.words("facts.unknown", unknown(rules, facts));
    }

    /// Texts are not kept with facts: words that the same patterns find stand for them.
    fn texts(&mut self, rules: &RuleSet, facts: &Facts) {
        let found: BTreeSet<_> = facts.text.matched.values().copied().collect();
        let of_condition = |(_, condition): (_, &'_ Condition)| match condition {
            Condition::Patterns(patterns) => patterns.iter().cloned().collect(),
            Condition::Roles(_)
            | Condition::Clinics(_)
            | Condition::Kinds(_)
            | Condition::Codes(_)
            | Condition::Prefixes(_)
            | Condition::Words(_)
            | Condition::Performers(_)
            | Condition::AtLeast(_)
            | Condition::Age(_)
            | Condition::Within(_)
            | Condition::Yes => Vec::new(),
        };
        let all = rules.content.whens().flat_map(When::conditions).flat_map(of_condition);
        let patterns: BTreeSet<Pattern> = all.filter(|pattern| found.contains(&pattern.id())).collect();
        let mut words = Vec::new();
        for pattern in patterns {
            let plain = pattern.expression.replace("\\b", "");
            if plain.chars().all(|c| c.is_alphanumeric() || c == ' ' || c == '-') {
                words.push(plain);
            } else {
                self.remarks.push(format!("add to facts.text some words that {} finds", quoted(&pattern.expression)));
            }
        }
        self.words("facts.text", words.iter().map(String::as_str));
    }

    /// What the rules say at the moment at which a test decides.
    fn expected(&mut self, rules: &RuleSet, facts: &Facts) {
        let moment = Moment::utc(facts.issued.unwrap_or(CASE_NOW));
        let decided = decide(rules, facts, moment);
        let action = action_of(&decided.decision);
        self.put("expect.action", &quoted(action.as_str()));
        let may_leave = match &decided.decision {
            Decision::Send { .. } => true,
            Decision::Review { terms, .. } => terms.is_some(),
            Decision::Block { .. } => false,
        };
        if action == Action::Block || !may_leave {
            return;
        }
        let told = explain(rules, facts, moment).decision;
        for column in TOLD {
            match told.get(column.as_str()) {
                Some(serde_json::Value::Array(words)) if words.is_empty() => {}
                Some(serde_json::Value::Null) | None => {}
                Some(value) => self.put(&format!("expect.{}", column.as_str()), &value.to_string()),
            }
        }
        let schedule = decided.schedule.filter(|schedule| !schedule.floors.is_empty());
        if let Some(schedule) = schedule.filter(|schedule| schedule.timing != Timing::Now) {
            let local = local_at(schedule.earliest, rules.timezone().unwrap_or(chrono_tz::Tz::UTC));
            self.put("expect.earliest", &quoted(&local.format("%Y-%m-%dT%H:%M:%S").to_string()));
        }
    }
}

/// `system|code`, where a rules file can name it.
fn in_rules(code: &Coding) -> Option<String> {
    let system = code.system.as_deref()?;
    let system = codes::system_in_rules(codes::canonical_system(system))?;
    let is_sound = match system {
        codes::LOINC => codes::loinc_form(&code.code) == codes::LoincForm::Valid,
        codes::SNOMED => codes::snomed_form(&code.code) == codes::SnomedForm::Valid,
        _ => super::reader::is_code(&code.code),
    };
    is_sound.then(|| format!("{system}|{}", code.code))
}

/// What a test can call unknown. Most facts lack a ground or an address: the rules at hand decide whether that is worth telling.
fn unknown(rules: &RuleSet, facts: &Facts) -> Vec<&'static str> {
    fn lacks<T>(from: &Gathered<T>) -> bool {
        !from.is_whole()
    }
    let found = [
        ("results", lacks(&facts.results)),
        ("label", lacks(&facts.labels)),
        ("order", lacks(&facts.orders) || lacks(&facts.reasons)),
        ("specialty", lacks(&facts.specialties)),
        ("encounter", lacks(&facts.encounters)),
        ("text", lacks(&facts.text.matched)),
        ("consent", lacks(&facts.consents)),
        ("basis", lacks(&facts.basis) && rules.speaks_of(Predicate::Basis)),
        ("preference", lacks(&facts.preferences)),
        ("contact", lacks(&facts.contact) && OF_CONTACT.into_iter().any(|one| rules.speaks_of(one))),
        ("critical", facts.critical == Flag::Unknown),
    ];
    found.into_iter().filter(|(_, is_unknown)| *is_unknown).map(|(name, _)| name).collect()
}
