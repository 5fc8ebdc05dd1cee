//! Looking at an EHR for staff: what works, what does not, and what to do about it, in words.
//!
//! Must stay true: each finding that fails has a remedy; nothing is written to the EHR but by [`trial`], and to our own database
//! nothing at all; no finding holds a word of the EHR's beyond its product's name.

mod access;
mod connection;
mod finding;
mod first;
mod hooks;
mod told;
mod trial;

use super::{HeardEhr, Intake};
use crate::base::{EhrId, UtcMillis};
use crate::fhir::ReachFault;

pub use finding::{Finding, Verdict};
pub use first::{FirstLook, first_look};
pub use hooks::{patient_address, text_address};
pub use trial::{TRIAL_WAIT_MAX, TrialAsked};

impl Intake {
    /// Looks at `ehr` by asking it and reading from it. `None` where it is not configured.
    pub async fn examine(&self, ehr: &EhrId) -> Option<Vec<Finding>> {
        let ehr = self.ehr(ehr)?;
        let mut findings = Vec::new();
        let Ok(their_now) = self.knock(ehr, &mut findings).await else {
            findings.extend(hooks::address(ehr, self.clock.now()).await);
            return Some(findings);
        };
        let claims = connection::claims(ehr, &mut findings).await;
        if access::sign_in(ehr, &mut findings).await.is_ok() {
            findings.extend(access::reading(ehr).await);
            access::searching(ehr, their_now, &mut findings).await;
            findings.extend(access::panel(ehr, self.clock.now()).await);
            findings.extend(hooks::subscriptions(ehr, claims.as_ref()).await);
            findings.extend(told::write_back(ehr, claims.as_ref()));
        }
        findings.extend(hooks::address(ehr, self.clock.now()).await);
        Some(findings)
    }

    /// Returns the EHR's time as it knows it itself, or ours where it does not tell.
    async fn knock(&self, ehr: &HeardEhr, findings: &mut Vec<Finding>) -> Result<UtcMillis, ReachFault> {
        let before = self.clock.now();
        let reached = ehr.client.reach().await;
        let after = self.clock.now();
        findings.push(connection::reached(&reached, ehr.client.way(), after));
        let reached = reached?;
        let ours = UtcMillis(i64::midpoint(before.0, after.0));
        findings.push(connection::clock(reached.server_date, ours));
        Ok(reached.server_date.unwrap_or(ours))
    }
}
