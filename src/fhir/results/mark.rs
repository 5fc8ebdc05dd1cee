//! What tells the results of a report from others that would read differently.
//!
//! Covered: of every resource that was read, in the order of the report, its name and the elements listed here, with members in
//! an order of their own and references relative.
//! Not covered, as in `fhir::identity`: `meta`, narrative, extensions, who did it, when it was issued, whether it is final or
//! was corrected. An EHR that writes everything anew changes nothing here.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::shelf::{ROOT, Shelf};
use crate::fhir::service::{ServiceBase, Target};

const OF_THE_REPORT: &[&str] = &["code", "effective", "specimen", "result", "conclusion", "conclusionCode", "note"];
const OF_THE_REST: &[&str] = &[
    "code",
    "subject",
    "effective",
    "value",
    "dataAbsentReason",
    "interpretation",
    "note",
    "bodySite",
    "method",
    "specimen",
    "device",
    "referenceRange",
    "hasMember",
    "component",
    "type",
    "collection",
    "condition",
];
/// Elements whose type is part of their name.
const CHOICES: &[&str] = &["effective", "value"];

pub(super) fn of_results(shelf: &Shelf, base: &ServiceBase) -> [u8; 32] {
    let mut lines = Lines { digest: Sha256::new_with_prefix(b"chartseal results 1\n"), base };
    for (name, found) in shelf.all() {
        lines.text(name);
        lines.resource(&found.value, if name == ROOT { OF_THE_REPORT } else { OF_THE_REST });
    }
    lines.digest.finalize().into()
}

pub(super) fn of_words(what: &str, why: &str) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix(b"chartseal no results 1\n");
    digest.update(what);
    digest.update(b"\n");
    digest.update(why);
    digest.finalize().into()
}

/// The content of the report with that of its results.
pub(super) fn joined(report: &[u8; 32], results: &[u8; 32]) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix(b"chartseal report and results 1\n");
    digest.update(report);
    digest.update(results);
    digest.finalize().into()
}

struct Lines<'a> {
    digest: Sha256,
    base: &'a ServiceBase,
}

impl Lines<'_> {
    fn text(&mut self, text: &str) {
        self.digest.update((text.len() as u64).to_be_bytes());
        self.digest.update(text);
    }

    fn resource(&mut self, value: &Value, elements: &[&str]) {
        let Value::Object(members) = value else { return };
        let is_covered = |name: &str| {
            let of_choice = |stem: &&&str| {
                CHOICES.contains(*stem)
                    && name.strip_prefix(**stem).is_some_and(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))
            };
            elements.contains(&name) || elements.iter().any(|stem| of_choice(&stem))
        };
        let mut covered: Vec<_> = members.iter().filter(|(name, _)| is_covered(name)).collect();
        covered.sort_by_key(|(name, _)| name.as_str());
        for (name, member) in covered {
            self.text(name);
            self.value(member, name);
        }
    }

    /// Each kind of value begins with a letter of its own, and says how long it is.
    fn value(&mut self, value: &Value, name: &str) {
        match value {
            Value::Null => self.text("n"),
            Value::Bool(held) => self.text(if *held { "t" } else { "f" }),
            Value::Number(number) => {
                self.text("d");
                self.text(&number.to_string());
            }
            Value::String(text) => {
                self.text("s");
                match (name, self.base.target(text)) {
                    ("reference", Target::Here { kind, id }) => self.text(&format!("{kind}/{}", id.as_str())),
                    (_, _) => self.text(text),
                }
            }
            Value::Array(items) => {
                self.text("a");
                self.text(&items.len().to_string());
                for item in items {
                    self.value(item, name);
                }
            }
            Value::Object(members) => {
                self.text("o");
                self.text(&members.len().to_string());
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| name.as_str());
                for (name, member) in members {
                    self.text(name);
                    self.value(member, name);
                }
            }
        }
    }
}
