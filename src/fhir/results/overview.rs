//! What the `DiagnosticReport` itself says besides its results.

use serde_json::Value;

use super::concept;
use super::observation::{displays, narrative, notes};
use super::shelf::has_unknown_modifier;
use super::strict::{Members, Unfaithful, account, language, list, text};
use super::value;
use crate::fhir::gather::{items, word};
use crate::paper::{Fact, Said, Standing, Told, When};

const REPORT: Members = Members {
    shown: &[
        "status",
        "code",
        "effectiveDateTime",
        "effectivePeriod",
        "issued",
        "specimen",
        "result",
        "conclusion",
        "conclusionCode",
        "note",
    ],
    silent: &[
        "resourceType",
        "id",
        "meta",
        "language",
        "text",
        "contained",
        "extension",
        "identifier",
        "basedOn",
        "category",
        "subject",
        "encounter",
        "performer",
        "resultsInterpreter",
    ],
};
/// What the standard lets a report hold besides, and this document cannot.
const ELSEWHERE: [(&str, &str); 6] = [
    ("imagingStudy", "names images, which are not shown"),
    ("media", "names images, which are not shown"),
    ("study", "names a study, which is not shown"),
    ("supportingInfo", "names further information, which is not shown"),
    ("composition", "names a document, which is not shown"),
    ("presentedForm", "names a document that it does not carry"),
];

/// The report apart from its results.
pub(super) struct Overview {
    pub title: Option<Said>,
    pub standing: Standing,
    pub effective: Option<When>,
    pub issued: Option<When>,
    pub performers: Vec<String>,
    pub interpreters: Vec<String>,
    pub notes: Vec<Fact>,
    pub conclusion: Vec<Said>,
}

pub(super) fn read(report: &Value) -> Result<Overview, Unfaithful> {
    let at = "the report";
    for (element, why) in ELSEWHERE {
        if report.get(element).is_some() {
            return Err(Unfaithful::at(at, why));
        }
    }
    account(report, at, &REPORT)?;
    if has_unknown_modifier(report) {
        return Err(Unfaithful::at(at, "carries an extension that changes its meaning"));
    }
    narrative(report, at)?;
    let language = language(report);
    Ok(Overview {
        title: match report.get("code") {
            Some(code) => concept::words(code, "code", language)?,
            None => None,
        },
        standing: standing(report)?,
        effective: value::effective(report, at)?,
        issued: report.get("issued").map(|issued| value::time(issued, "issued")).transpose()?,
        performers: names(report, "performer")?,
        interpreters: names(report, "resultsInterpreter")?,
        notes: notes(report, at, language)?,
        conclusion: conclusion(report, language)?,
    })
}

/// Only what is released by its status is written down.
fn standing(report: &Value) -> Result<Standing, Unfaithful> {
    match word(report, "status") {
        Some("final") => Ok(Standing::Final),
        Some("amended") => Ok(Standing::Amended),
        Some("corrected") => Ok(Standing::Corrected),
        Some("appended") => Ok(Standing::Appended),
        Some(_) | None => Err(Unfaithful::at("the report", "does not say that it is final")),
    }
}

/// Who made it: by the words in the reference, or by the name of what is written inside the report.
fn names(report: &Value, element: &str) -> Result<Vec<String>, Unfaithful> {
    let mut names = displays(report, element, "the report")?;
    for (_, one) in items(report, element) {
        let inside = word(one, "reference").and_then(|reference| reference.strip_prefix('#'));
        let (Some(id), None) = (inside, one.get("display")) else { continue };
        let mut contained = items(report, "contained").into_iter();
        let maker = contained.find(|(_, inner)| word(inner, "id") == Some(id));
        if let Some(Value::String(name)) = maker.and_then(|(_, inner)| inner.get("name")) {
            names.push(super::strict::showable(name, element)?.to_owned());
        }
    }
    Ok(names)
}

fn conclusion(report: &Value, language: Option<&str>) -> Result<Vec<Said>, Unfaithful> {
    let said = |text: &str| Said { text: text.to_owned(), language: language.map(str::to_owned) };
    let mut all: Vec<_> = text(report, "conclusion", "the report")?.map(said).into_iter().collect();
    for (at, code) in list(report, "conclusionCode", "the report")? {
        all.push(concept::some_words(code, &at, language)?);
    }
    Ok(all)
}

impl Overview {
    /// The lines at the head of the document.
    pub(super) fn about(&self, specimens: &[Fact]) -> Vec<Fact> {
        let time =
            |label, when: &Option<When>| when.as_ref().map(|when| Fact { label, told: vec![Told::Time(when.clone())] });
        let people = |label, names: &[String]| {
            let told = names.iter().map(|name| Told::Words(Said::plain(name.as_str()))).collect();
            (!names.is_empty()).then_some(Fact { label, told })
        };
        let mut about: Vec<_> = [
            time("Date of test", &self.effective),
            time("Issued", &self.issued),
            people("Performed by", &self.performers),
        ]
        .into_iter()
        .flatten()
        .collect();
        about.extend(people("Interpreted by", &self.interpreters));
        about.extend(specimens.iter().cloned());
        about.extend(self.notes.iter().cloned());
        about
    }
}
