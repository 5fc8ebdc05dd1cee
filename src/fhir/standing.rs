//! Which record stands for a patient: the one that is named, or the one that took its place.
//!
//! Must stay true: only `replaced-by` leads from one record to another
//! (<https://hl7.org/fhir/R4/valueset-link-type.html>): `seealso` and `refer` never do, and a chain of records that ends
//! nowhere leads to nobody.

use super::client::{EhrClient, PatientAnswer};
use super::error::{EhrError, FaultClass};
use super::patient::{Patient, Replacement};
use crate::base::FhirId;

/// So many records that took each other's place are followed.
const MERGES_FOLLOWED_MAX: usize = 4;

/// What the EHR says of a patient, and of who took the record's place. Patient data: no `Debug`.
pub enum PatientStanding {
    /// The record that was asked for, in force or not, was read.
    Own(Box<Patient>),
    /// It was merged into another; `into` is `None` where that cannot be read from here.
    Merged { into: Option<Box<Patient>> },
    /// There is no such record, or none that can be read.
    Unusable { why: String },
}

impl EhrClient {
    /// Reads `Patient/{id}`, and the record that took its place, if one did.
    ///
    /// # Errors
    /// As [`EhrClient::read`]; a record that is refused for good cannot be read.
    pub async fn read_standing_patient(&self, id: &FhirId) -> Result<PatientStanding, EhrError> {
        let own = match self.read_patient(id).await? {
            PatientAnswer::Patient { patient } => patient,
            PatientAnswer::Gone { .. } => {
                return Ok(PatientStanding::Unusable { why: "the EHR no longer has the patient's record".to_owned() });
            }
            PatientAnswer::Unreadable { why } => return Ok(PatientStanding::Unusable { why: why.to_string() }),
        };
        if own.replaced == Replacement::No {
            return Ok(PatientStanding::Own(own));
        }
        let mut current = own;
        for _ in 0..MERGES_FOLLOWED_MAX {
            let next = match &current.replaced {
                Replacement::No => return Ok(PatientStanding::Merged { into: Some(current) }),
                Replacement::By(next) => next.clone(),
                Replacement::Unclear => break,
            };
            current = match self.read_patient(&next).await {
                Ok(PatientAnswer::Patient { patient }) => patient,
                Ok(PatientAnswer::Gone { .. } | PatientAnswer::Unreadable { .. }) => break,
                Err(error) if error.class() == FaultClass::Permanent => break,
                Err(error) => return Err(error),
            };
        }
        Ok(PatientStanding::Merged { into: None })
    }
}
