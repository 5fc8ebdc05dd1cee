//! The patient panel: who an EHR is asked about where it refuses searches over all.
//!
//! Must stay true: an id is sealed before it is stored and named in no message; whom one list no longer names stays for a while,
//! and nobody is dropped because a list could not be read.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::poll::wait_after;
use super::{HeardEhr, Intake, IntakeError, Seeks};
use crate::base::{EhrId, FhirId, ResourceType, UtcMillis, hours};
use crate::fhir::{EhrError, PanelRead, PanelSource};
use crate::keys::Vault;
use crate::sealing::Purpose;
use crate::store::{self, Listed, Look, LookEnd, LookRow, Offered};

/// Whom no list names any more is asked about for so long: a result may come weeks after the visit.
const KEPT: Duration = hours(24 * 30);
/// Patients noted in one transaction.
const CHUNK: usize = 200;
/// A longer file is somebody's mistake.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What the first line of a file may say above its ids.
const HEADS: [&str; 4] = ["id", "patient", "patient_id", "patient id"];

/// Who is asked about, and how often that is looked up.
pub struct Panel {
    pub lists: Vec<PanelList>,
    pub refresh_every: Duration,
}

/// One list of patients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PanelList {
    /// The EHR's own.
    Ehr(PanelSource),
    /// A file with the id of one patient in the first column of each line.
    File(PathBuf),
}

impl fmt::Display for PanelList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ehr(PanelSource::Group(_)) => f.write_str("the group"),
            Self::Ehr(PanelSource::Appointments) => f.write_str("the appointments"),
            Self::Ehr(PanelSource::Orders) => f.write_str("the orders"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// Why a list could not be read.
pub(super) enum Unlisted {
    Ehr(EhrError),
    File(String),
}

impl Intake {
    /// Looks up who the patients are.
    pub(super) async fn listing_turn(&self, ehr: &HeardEhr) -> Result<usize, IntakeError> {
        let Seeks::Patients(panel) = &ehr.seeks else { return Ok(0) };
        self.look_turn(ehr, Look::Panel, |row, now| self.list(ehr, panel, row, now)).await
    }

    async fn list(&self, ehr: &HeardEhr, panel: &Panel, row: LookRow, now: UtcMillis) -> Result<LookEnd, IntakeError> {
        let (mut listed, mut faults, mut wait) = (BTreeSet::new(), Vec::new(), panel.refresh_every);
        for list in &panel.lists {
            match read_list(ehr, list, now).await {
                Ok(PanelRead { named, incomplete }) => {
                    listed.extend(named);
                    faults.extend(incomplete.map(|why| format!("{list}: {why}")));
                }
                Err(Unlisted::Ehr(error)) => {
                    wait = wait.min(wait_after(&error, ehr));
                    faults.push(format!("{list}: {error}"));
                }
                Err(Unlisted::File(why)) => faults.push(format!("{list}: {why}")),
            }
        }
        self.note_listed(ehr, listed, now).await?;
        if faults.is_empty() {
            let id = ehr.client.id().clone();
            self.store.write(move |tx| store::forget_unlisted(tx, &id, now.minus(KEPT))).await?;
            let next_at = now.plus(panel.refresh_every);
            return Ok(LookEnd { watermark: Some(now), offered: Offered::Yes, next_at, why: None });
        }
        let why = format!("{}; whom it named before is asked about all the same", faults.join("; "));
        Ok(LookEnd { watermark: None, offered: row.offered, next_at: now.plus(wait), why: Some(why) })
    }

    async fn note_listed(&self, ehr: &HeardEhr, listed: BTreeSet<FhirId>, now: UtcMillis) -> Result<(), IntakeError> {
        let id = ehr.client.id().clone();
        let followed = self.store.read(move |conn| store::followed_since(conn, &id)).await?;
        // Whoever comes to the panel later is searched as far back as a report may leave by itself.
        let watermark = now.minus(ehr.report_age_max).max(followed.unwrap_or(now));
        let listed: Vec<FhirId> = listed.into_iter().collect();
        for chunk in listed.chunks(CHUNK) {
            let of = |id: &FhirId| sealed(&self.vault, ehr.client.id(), id, watermark);
            let mut chunk: Vec<Listed> = chunk.iter().map(of).collect();
            // In one order everywhere.
            chunk.sort_by_key(|one| one.index);
            let id = ehr.client.id().clone();
            self.store
                .write(move |tx| {
                    ResourceType::ALL.into_iter().try_for_each(|kind| {
                        chunk.iter().try_for_each(|one| store::list_patient(tx, &id, kind, one, now))
                    })
                })
                .await?;
        }
        Ok(())
    }
}

fn sealed(vault: &Vault, ehr: &EhrId, id: &FhirId, watermark: UtcMillis) -> Listed {
    let index = vault.patient_index(ehr, id);
    let id_sealed = vault.seal_record(Purpose::Record, &place_of(ehr, &index), id.as_str().as_bytes());
    Listed { index, id_sealed, watermark }
}

/// What an id is sealed to.
pub(super) fn place_of(ehr: &EhrId, index: &[u8; 32]) -> String {
    format!("panel/{ehr}/{}", data_encoding::HEXLOWER.encode(index))
}

/// Who `list` names now.
pub(super) async fn read_list(ehr: &HeardEhr, list: &PanelList, now: UtcMillis) -> Result<PanelRead, Unlisted> {
    match list {
        PanelList::Ehr(source) => ehr.client.panel(source, now).await.map_err(Unlisted::Ehr),
        PanelList::File(path) => {
            let named = read_file(path).await.map_err(Unlisted::File)?;
            Ok(PanelRead { named, incomplete: None })
        }
    }
}

async fn read_file(path: &Path) -> Result<BTreeSet<FhirId>, String> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let is_whole = std::fs::metadata(&path).map_err(|_| "it cannot be read")?.len() <= FILE_BYTES_MAX;
        if !is_whole {
            return Err("it is too large for a list of patients");
        }
        std::fs::read(&path).map_err(|_| "it cannot be read")
    });
    let bytes = read.await.map_err(|_| "it cannot be read".to_owned())?.map_err(str::to_owned)?;
    ids_in(&zeroize::Zeroizing::new(bytes))
}

/// The first column of every line.
fn ids_in(bytes: &[u8]) -> Result<BTreeSet<FhirId>, String> {
    let mut found = BTreeSet::new();
    let mut lines = csv::ReaderBuilder::new().has_headers(false).flexible(true).comment(Some(b'#')).from_reader(bytes);
    for (number, line) in lines.records().enumerate() {
        let line = line.map_err(|_| format!("line {} is no text in UTF-8", number + 1))?;
        let text = line.get(0).unwrap_or_default().trim().trim_start_matches('\u{feff}');
        let text = text.strip_prefix("Patient/").unwrap_or(text);
        if text.is_empty() || (number == 0 && HEADS.contains(&text.to_ascii_lowercase().as_str())) {
            continue;
        }
        let id =
            FhirId::parse(text).map_err(|_| format!("line {} does not begin with the id of a patient", number + 1))?;
        found.insert(id);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Result<Vec<String>, String> {
        ids_in(text.as_bytes()).map(|found| found.iter().map(|id| id.as_str().to_owned()).collect())
    }

    #[test]
    fn the_first_column_of_a_file_names_the_patients() {
        let file =
            "\u{feff}Patient_ID,name\r\n# who came last week\r\np-1,\"Garcia, Ana\"\r\n\r\nPatient/p-2\r\np-1\r\n";
        assert_eq!(ids(file).unwrap(), ["p-1", "p-2"]);
        assert_eq!(ids("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_line_that_names_nobody_is_told_by_its_number_alone() {
        let told = ids("p-1\nGarcia Ana\n").unwrap_err();
        assert!(told.contains("line 2") && !told.contains("Garcia"), "{told}");
    }
}
