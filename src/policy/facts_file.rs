//! Facts as a person writes them in JSON, or as they are stored with a delivery.
//!
//! Must stay true: what is not mentioned is known to be absent, except the age; an unknown field is an error; an error says
//! where, and repeats nothing of the file.

use serde::Deserialize;

use super::codes;
use super::contact::{ContactStanding, ContactState};
use super::facts::{
    Age, Basis, Coding, FactPath, Facts, Flag, Gathered, Lack, Performer, RecipientRole, ReportStatus, Sighted,
    TextFacts, Word,
};
use super::rules::RuleSet;
use super::text::Text;
use crate::base::{ClinicId, ResourceType, UtcMillis};

/// What is wrong with a facts file. Counts from 1.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct FactsError {
    pub line: usize,
    pub column: usize,
    pub what: String,
}

/// Reads facts; texts in them are read by the patterns of `rules`.
///
/// # Errors
/// [`FactsError`] for what is not JSON, an unknown field, or a value that is not of its kind.
pub fn read(text: &str, rules: &RuleSet) -> Result<Facts, FactsError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('[') {
        let what = "facts are one JSON object, as {\"codes\": [\"loinc|58410-2\"]}".to_owned();
        return Err(FactsError { line: 1, column: 1, what });
    }
    let file: FactsFile = serde_json::from_str(text).map_err(|error| FactsError {
        line: error.line(),
        column: error.column().max(1),
        what: unquoted(&error.to_string()),
    })?;
    Ok(file.into_facts(rules))
}

/// The words of the error without its place and without the values that it quotes.
fn unquoted(error: &str) -> String {
    let what = error.rsplit_once(" at line ").map_or(error, |(what, _)| what);
    match (what.find('"'), what.rfind('"')) {
        (Some(from), Some(to)) if what.contains(", expected") && from < to => {
            let (before, after) = (what.get(..from).unwrap_or_default(), what.get(to + 1..).unwrap_or_default());
            format!("{}{after}", before.trim_end())
        }
        (Some(_) | None, Some(_) | None) => what.to_owned(),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct FactsFile {
    recipient: Option<RecipientRole>,
    clinic: Option<ClinicId>,
    kind: Option<ResourceType>,
    status: Option<ReportStatus>,
    codes: Vec<Code>,
    categories: Vec<Code>,
    issued: Option<At>,
    results: Many<Code>,
    labels: Many<Code>,
    orders: Many<Code>,
    reasons: Many<Code>,
    performers: Many<Performer>,
    specialties: Many<Code>,
    services: Vec<Word>,
    encounters: Many<Code>,
    text: Texts,
    age: Years,
    consents: Many<Word>,
    basis: Many<Basis>,
    preferences: Many<Word>,
    contact: Many<ContactGiven>,
    critical: YesNo,
}

/// `system|code`, or an object with both.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a code is a text \"system|code\" or {\"system\": …, \"code\": …}")]
enum Code {
    Text(String),
    Stored(Coding),
}

/// An address by its state, as `{"state": "confirmed_by_staff", "since": …}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactGiven {
    state: ContactState,
    since: At,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "this is a list of values, or {\"found\": [{\"value\": …, \"at\": …}], \"lacking\": […]}"
)]
enum Many<T> {
    List(Vec<T>),
    Stored(Found<T>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found<T> {
    #[serde(default = "Vec::new")]
    found: Vec<Sighted<T>>,
    #[serde(default)]
    lacking: std::collections::BTreeSet<Lack>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an instant is milliseconds since 1970 or a text such as \"2026-11-20T16:00:00-06:00\"")]
enum At {
    Millis(UtcMillis),
    #[serde(deserialize_with = "rfc3339")]
    Text(UtcMillis),
}

fn rfc3339<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<UtcMillis, D::Error> {
    let text = String::deserialize(deserializer)?;
    UtcMillis::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("no instant"))
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "text is a list of texts, or {\"tried\": […], \"matched\": …} as it is stored")]
enum Texts {
    Words(Vec<String>),
    Stored(TextFacts),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "age is a whole number of years, \"unknown\", or {\"years\": {\"least\": …, \"most\": …}}"
)]
enum Years {
    Whole(u16),
    Stored(Age),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "critical is true, false or \"unknown\"")]
enum YesNo {
    Plain(bool),
    Stored(Flag),
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self::Words(Vec::new())
    }
}

impl Default for Years {
    fn default() -> Self {
        Self::Stored(Age::Unknown)
    }
}

impl Default for YesNo {
    fn default() -> Self {
        Self::Plain(false)
    }
}

impl FactsFile {
    fn into_facts(self, rules: &RuleSet) -> Facts {
        let kind = self.kind.unwrap_or(ResourceType::DiagnosticReport);
        let no_bare = |_: &str| None;
        let bare_label = |code: &str| codes::bare_label(code).or_else(|| codes::bare_confidentiality(code));
        Facts {
            recipient: self.recipient.unwrap_or(RecipientRole::Patient),
            clinic: self.clinic,
            codes: self.codes.into_iter().map(|code| code.into_coding(no_bare)).collect(),
            categories: self.categories.into_iter().map(|code| code.into_coding(codes::bare_category)).collect(),
            issued: self.issued.map(At::instant),
            results: self.results.gathered("results", |code| code.into_coding(no_bare)),
            labels: self.labels.gathered("labels", |code| code.into_coding(bare_label)),
            orders: self.orders.gathered("orders", |code| code.into_coding(no_bare)),
            reasons: self.reasons.gathered("reasons", |code| code.into_coding(no_bare)),
            performers: self.performers.gathered("performers", std::convert::identity),
            specialties: self.specialties.gathered("specialties", |code| code.into_coding(no_bare)),
            services: self.services,
            encounters: self.encounters.gathered("encounters", |code| code.into_coding(codes::bare_encounter_class)),
            text: self.text.facts(rules),
            age: self.age.age(),
            consents: self.consents.gathered("consents", std::convert::identity),
            basis: self.basis.gathered("basis", std::convert::identity),
            preferences: self.preferences.gathered("preferences", std::convert::identity),
            contact: self.contact.gathered("contact", ContactGiven::standing),
            critical: self.critical.flag(),
            ..Facts::bare(kind, self.status.unwrap_or(ReportStatus::Final))
        }
    }
}

impl Code {
    /// `bare`: what a code without a system means there, where it means something.
    fn into_coding(self, bare: impl Fn(&str) -> Option<Coding>) -> Coding {
        let text = match self {
            Self::Stored(coding) => return coding,
            Self::Text(text) => text,
        };
        match text.split_once('|') {
            Some(("", code)) => Coding { system: None, code: code.to_owned() },
            Some((system, code)) => {
                let system = codes::system_in_rules(system).unwrap_or(system).to_owned();
                Coding { system: Some(system), code: code.to_owned() }
            }
            None => bare(&text).unwrap_or(Coding { system: None, code: text }),
        }
    }
}

impl<T> Many<T> {
    /// What a list names stands at its place in the file.
    fn gathered<U>(self, name: &str, value: impl Fn(T) -> U) -> Gathered<U> {
        match self {
            Self::List(values) => {
                let mut gathered = Gathered::none();
                for (at, one) in values.into_iter().enumerate() {
                    gathered.add(value(one), FactPath(format!("{name}[{at}]")));
                }
                gathered
            }
            Self::Stored(Found { found, lacking }) => {
                let found = found.into_iter().map(|seen| Sighted { value: value(seen.value), at: seen.at });
                Gathered { found: found.collect(), lacking }
            }
        }
    }
}

impl ContactGiven {
    fn standing(self) -> ContactStanding {
        ContactStanding { state: self.state, since: self.since.instant() }
    }
}

impl At {
    const fn instant(self) -> UtcMillis {
        match self {
            Self::Millis(at) | Self::Text(at) => at,
        }
    }
}

impl Texts {
    fn facts(self, rules: &RuleSet) -> TextFacts {
        match self {
            Self::Words(words) => {
                let at = FactPath("text".to_owned());
                let texts = words.iter().map(|text| Text { at: &at, language: None, text });
                rules.patterns().read(texts, std::collections::BTreeSet::new())
            }
            Self::Stored(stored) => stored,
        }
    }
}

impl Years {
    const fn age(self) -> Age {
        match self {
            Self::Whole(years) => Age::Years { least: years, most: years },
            Self::Stored(age) => age,
        }
    }
}

impl YesNo {
    const fn flag(self) -> Flag {
        match self {
            Self::Plain(true) => Flag::Yes,
            Self::Plain(false) => Flag::No,
            Self::Stored(flag) => flag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::decide::decide;
    use crate::policy::schedule::Moment;

    const RULES: &str = "[policy]\nid = \"t\"\nversion = \"1\"\n[[classify]]\ntag = \"HIV\"\nany = { text = [\"\\\\bhiv\\\\b\"] }\n\
                         [[profile]]\nid = \"p\"\nwhen = { category = \"LAB\" }\nthen = { action = \"send\" }\n\
                         [[restrict]]\nid = \"r\"\nwhen = { tag = \"HIV\" }\nthen = { opens = 1 }\n";

    #[test]
    fn what_is_not_mentioned_is_known_to_be_absent_but_the_age() {
        let rules = RuleSet::parse(RULES).unwrap();
        let facts = read("{}", &rules).unwrap();
        assert!(facts.results.is_whole() && facts.labels.is_whole() && facts.text.matched.is_whole());
        assert_eq!((facts.age, facts.critical, facts.status), (Age::Unknown, Flag::No, ReportStatus::Final));
        let facts = read(
            r#"{"categories": ["LAB"], "text": ["an HIV test"], "age": 30, "issued": "2026-11-20T16:00:00-06:00"}"#,
            &rules,
        );
        let facts = facts.unwrap();
        assert_eq!(facts.categories, [codes::bare_category("LAB").unwrap()]);
        assert_eq!(facts.issued.unwrap().to_rfc3339(), "2026-11-20T22:00:00.000Z");
        let decided = decide(&rules, &facts, Moment::utc(UtcMillis(1_795_212_000_000)));
        assert!(decided.trace.rows.iter().any(|row| row.id == "r" && !row.evidence.is_empty()), "{:?}", decided.trace);
    }

    #[test]
    fn stored_facts_read_back_as_they_are() {
        let rules = RuleSet::parse(RULES).unwrap();
        let text = r#"{"codes": ["loinc|4548-4", "|7"], "labels": ["R"], "encounters": ["VR"], "critical": "unknown",
                       "results": ["loinc|2106-3"], "consents": ["occ"], "performers": ["Organization/1"]}"#;
        let facts = read(text, &rules).unwrap();
        let stored = serde_json::to_string(&facts).unwrap();
        assert_eq!(read(&stored, &rules).unwrap(), facts);
    }

    #[test]
    fn a_wrong_file_is_told_with_its_place_and_without_its_values() {
        let rules = RuleSet::parse(RULES).unwrap();
        for (text, says) in [
            ("{\n \"code\": [1]}", "line 2, column 7: unknown field `code`"),
            ("{\n \"age\": \"Planted\"}", "line 2"),
            ("{\"age\": -1}", "whole number of years"),
            ("{\"codes\": \"Planted\"}", "invalid type: string, expected a sequence"),
            ("{\"codes\": [7]}", "system|code"),
            ("{\"kind\": \"Planted\"}", "unknown variant"),
            ("{\"results\": {\"founds\": []}}", "list of values"),
            ("{", "line 1, column 1: EOF"),
            ("[]", "line 1"),
        ] {
            let error = read(text, &rules).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
