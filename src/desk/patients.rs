//! What patients asked for.
//!
//! Must stay true: a patient is named by EHR and id, and kept by a keyed index alone; what waits for them is decided again.

use super::{Desk, DeskError, installation};
use crate::audit::AuditEvent;
use crate::base::{EhrId, FhirId};
use crate::store;

/// Whether a word was recorded or taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    For,
    NoLonger,
}

impl Desk {
    /// Records what a patient asked for, such as `phone_first`, or takes it back; has their waiting reports read again.
    /// Returns whether anything changed.
    ///
    /// # Errors
    /// [`DeskError::Store`]; [`DeskError::NoPreference`] for what cannot be a word of the rules.
    pub async fn prefer(&self, ehr: &EhrId, patient: &FhirId, word: &str, asked: Asked) -> Result<bool, DeskError> {
        let is_word = (1..=64).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if !is_word {
            return Err(DeskError::NoPreference);
        }
        let index = self.vault.patient_index(ehr, patient);
        let (now, by, word) = (self.clock.now(), self.operator.clone(), word.to_owned());
        let changed = self
            .store
            .write(move |tx| {
                let changed = match asked {
                    Asked::For => store::set_preference(tx, &index, &word, now, &by)?,
                    Asked::NoLonger => store::end_preference(tx, &index, &word)?,
                };
                if changed {
                    let event = match asked {
                        Asked::For => AuditEvent::Preferred { word },
                        Asked::NoLonger => AuditEvent::PreferredNoLonger { word },
                    };
                    store::append(tx, &installation(now, by, event))?;
                    for source in store::unreleased_sources_of(tx.conn(), &index)? {
                        store::read_again(tx, &source, now)?;
                    }
                }
                Ok(changed)
            })
            .await?;
        Ok(changed)
    }

    /// # Errors
    /// [`DeskError::Store`].
    pub async fn preferences(&self, ehr: &EhrId, patient: &FhirId) -> Result<Vec<String>, DeskError> {
        let index = self.vault.patient_index(ehr, patient);
        Ok(self.store.read(move |conn| store::preferences_of(conn, &index)).await?)
    }
}
