//! The sample reports: what each is, of whom, and what a newcomer sees in it. Every person is invented.

use serde::{Deserialize, Serialize};

use super::paper::Paper;
use crate::base::ResourceType;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sample {
    BloodCount,
    Letter,
    HivTest,
    LongTermSugar,
    Lipids,
    /// Of a kind that no rule knows.
    Allergy,
}

/// What stays the same of a sample.
pub(super) struct Facts {
    pub(super) kind: ResourceType,
    pub(super) title: &'static str,
    /// LOINC.
    pub(super) code: &'static str,
    /// For the newcomer.
    pub(super) shows: &'static str,
    pub(super) person: Person,
}

#[derive(Clone, Copy)]
pub(super) struct Person {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) email: &'static str,
    /// `1980-05-17`.
    pub(super) born: &'static str,
}

const LAB: &str = "Demo Laboratory";
const WARD: &str = "Demo Hospital, Ward 3";

type Rows = &'static [[&'static str; 4]];

const BLOOD_COUNT: Rows = &[
    ["Haemoglobin", "14.1", "g/dL", "12.0 - 16.0"],
    ["Haematocrit", "42", "%", "36 - 46"],
    ["White cells", "6.4", "10*9/L", "4.0 - 11.0"],
    ["Platelets", "251", "10*9/L", "150 - 400"],
    ["MCV", "88", "fL", "80 - 100"],
];
const HIV: Rows = &[["HIV 1+2 antibodies, p24 antigen", "Not reactive", "", "Not reactive"]];
const SUGAR: Rows = &[["HbA1c", "7.4", "%", "4.0 - 5.6"], ["Estimated mean glucose", "166", "mg/dL", "68 - 114"]];
const SUGAR_CORRECTED: Rows =
    &[["HbA1c", "5.4", "%", "4.0 - 5.6"], ["Estimated mean glucose", "108", "mg/dL", "68 - 114"]];
const LIPIDS: Rows = &[
    ["Cholesterol", "204", "mg/dL", "< 200"],
    ["HDL cholesterol", "58", "mg/dL", "> 40"],
    ["LDL cholesterol", "121", "mg/dL", "< 130"],
    ["Triglycerides", "126", "mg/dL", "< 150"],
];
const ALLERGY: Rows = &[["Birch pollen IgE", "0.2", "kU/L", "< 0.35"], ["Cat dander IgE", "4.8", "kU/L", "< 0.35"]];
const LETTER: &[&str] = &[
    "Dear Ben,",
    "",
    "you stayed with us for two days after the operation on your left knee.",
    "It healed as we hoped. Please walk with crutches for one more week, and",
    "see your physiotherapist on Monday.",
    "",
    "Paracetamol 500 mg, up to four times a day, is enough against the pain.",
    "",
    "With kind regards,",
    "Dr. Demo",
];

impl Sample {
    pub(super) fn facts(self) -> Facts {
        use ResourceType::{DiagnosticReport, DocumentReference};
        let person = |id, name, email, born| Person { id, name, email, born };
        match self {
            Self::BloodCount => Facts {
                kind: DiagnosticReport,
                title: "Blood count",
                code: "58410-2",
                shows: "A routine report. A rule lists its code, so it is sent by itself.",
                person: person("demo-1", "Ada (Demo Patient 1)", "ada@patients.example", "1980-05-17"),
            },
            Self::Letter => Facts {
                kind: DocumentReference,
                title: "Discharge letter",
                code: "18842-5",
                shows: "A document for one reading: its link opens in one browser, once.",
                person: person("demo-2", "Ben (Demo Patient 2)", "ben@patients.example", "1974-11-02"),
            },
            Self::HivTest => Facts {
                kind: DiagnosticReport,
                title: "HIV screening test",
                code: "56888-1",
                shows: "A sensitive report. The rule wants a person to look first: release it below.",
                person: person("demo-3", "Cleo (Demo Patient 3)", "cleo@patients.example", "1991-03-28"),
            },
            Self::LongTermSugar => Facts {
                kind: DiagnosticReport,
                title: "HbA1c",
                code: "4548-4",
                shows: "The lab mistyped it and corrects it after it was sent. The old link ends, a new one goes out.",
                person: person("demo-4", "Dan (Demo Patient 4)", "dan@patients.example", "1966-08-09"),
            },
            Self::Lipids => Facts {
                kind: DiagnosticReport,
                title: "Lipids",
                code: "24331-1",
                shows: "Filed under the wrong patient. The lab withdraws it, and its link ends at once.",
                person: person("demo-5", "Eve (Demo Patient 5)", "eve@patients.example", "1988-01-20"),
            },
            Self::Allergy => Facts {
                kind: DiagnosticReport,
                title: "Allergy test",
                code: "30341-2",
                shows: "No rule knows this kind. Nothing is sent because a rule is missing: a person looks.",
                person: person("demo-6", "Finn (Demo Patient 6)", "finn@patients.example", "2001-12-05"),
            },
        }
    }

    /// The PDF of one version, counted from 1.
    pub(super) fn pdf(self, version: u32, made_on: &str) -> Vec<u8> {
        let facts = self.facts();
        let status = if version == 1 { "Final".to_owned() } else { format!("Corrected, version {version}") };
        let (from, rows, lines): (_, Rows, &[&str]) = match (self, version) {
            (Self::BloodCount, _) => (LAB, BLOOD_COUNT, &["All values are within their usual range."]),
            (Self::Letter, _) => (WARD, &[], LETTER),
            (Self::HivTest, _) => (LAB, HIV, &["No sign of an infection was found."]),
            (Self::LongTermSugar, 1) => (LAB, SUGAR, &["Above the usual range."]),
            (Self::LongTermSugar, _) => (
                LAB,
                SUGAR_CORRECTED,
                &["The first version held a typing mistake: 7.4 instead of 5.4.", "Within the usual range."],
            ),
            (Self::Lipids, _) => (LAB, LIPIDS, &["Cholesterol is slightly above its usual range."]),
            (Self::Allergy, _) => (LAB, ALLERGY, &["Sensitised to cat dander."]),
        };
        let about = [("Patient", facts.person.name), ("Born", facts.person.born), ("Reported", made_on)];
        Paper { from, title: facts.title, status: &status, about: &about, rows, lines }.pdf()
    }
}
