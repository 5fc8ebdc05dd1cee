//! What an EHR grants less than was asked for: told to staff, once.

use super::{HeardEhr, Intake, IntakeError};
use crate::fhir::Granted;
use crate::store;

impl Intake {
    /// Notes it where staff look.
    pub(super) async fn note_granted(&self, ehr: &HeardEhr) -> Result<(), IntakeError> {
        let Some(granted) = ehr.client.granted_news() else { return Ok(()) };
        let lacking = match &granted {
            Granted::AsAsked => String::new(),
            Granted::Less { lacking } => lacking.join(" "),
        };
        let (id, now) = (ehr.client.id().clone(), self.clock.now());
        if !lacking.is_empty() {
            tracing::warn!(ehr = %id, lacking, "the EHR grants less than was asked for; have its staff allow it");
        }
        self.store.write(move |tx| store::set_scope_lacking(tx, &id, &lacking, now)).await?;
        ehr.client.granted_noted(&granted);
        Ok(())
    }
}
