//! `chartseal patients …`

use clap::Subcommand;

use super::Outcome;
use super::print::Print;
use crate::base::{EhrId, FhirId};
use crate::desk::{Asked, Desk};

#[derive(Subcommand)]
pub(super) enum PatientsCommand {
    /// Record what a patient asked for, by a word that the rules know, such as `phone_first`.
    Prefer {
        /// The EHR as the configuration names it.
        ehr: EhrId,
        /// The id of the patient's record in that EHR.
        patient: FhirId,
        word: String,
    },
    /// Take a recorded wish back.
    Unprefer { ehr: EhrId, patient: FhirId, word: String },
    /// What a patient asked for.
    Preferences { ehr: EhrId, patient: FhirId },
}

impl PatientsCommand {
    pub(super) const fn only_looks(&self) -> bool {
        match self {
            Self::Preferences { .. } => true,
            Self::Prefer { .. } | Self::Unprefer { .. } => false,
        }
    }
}

pub(super) async fn run(command: PatientsCommand, desk: &Desk, print: Print) -> anyhow::Result<Outcome> {
    let (ehr, patient, word, asked) = match command {
        PatientsCommand::Prefer { ehr, patient, word } => (ehr, patient, word, Asked::For),
        PatientsCommand::Unprefer { ehr, patient, word } => (ehr, patient, word, Asked::NoLonger),
        PatientsCommand::Preferences { ehr, patient } => {
            let words = desk.preferences(&ehr, &patient).await?;
            let text = if words.is_empty() { "Nothing is recorded.".to_owned() } else { words.join("\n") };
            print.done(&text, &serde_json::json!({ "preferences": words }));
            return Ok(Outcome::Done);
        }
    };
    let changed = desk.prefer(&ehr, &patient, &word, asked).await?;
    let text = match (asked, changed) {
        (Asked::For, true) => format!("'{word}' is recorded; what waits for this patient is read and decided again."),
        (Asked::For, false) => format!("'{word}' was recorded already."),
        (Asked::NoLonger, true) => format!("'{word}' is taken back; what waits for this patient is read again."),
        (Asked::NoLonger, false) => format!("'{word}' was not recorded."),
    };
    print.done(&text, &serde_json::json!({ "changed": changed }));
    Ok(if changed { Outcome::Done } else { Outcome::No })
}
