//! A second search, at a slow pace: the reports of late by their own date, whenever the EHR says that they changed. US Core
//! warns that `_lastUpdated` may leave some out.

use std::time::Duration;

use super::hearing::HearAs;
use super::look::{failed, not_offered, walked};
use super::poll::PAGE_COUNT;
use super::{HeardEhr, Intake, IntakeError, Seeks};
use crate::base::{FhirId, ResourceType, UtcMillis};
use crate::fhir::{EhrError, Sought};
use crate::store::{self, Look, LookEnd, LookRow};

impl Intake {
    pub(super) async fn by_date_turn(&self, ehr: &HeardEhr, kind: ResourceType) -> Result<usize, IntakeError> {
        match &ehr.seeks {
            Seeks::Everybody if ehr.by_date_every > Duration::ZERO => {}
            Seeks::Everybody | Seeks::Patients(_) => return Ok(0),
        }
        let look = |row, now| self.look_by_date(ehr, kind, row, now);
        self.look_turn(ehr, Look::ByDate(kind), look).await
    }

    async fn look_by_date(
        &self,
        ehr: &HeardEhr,
        kind: ResourceType,
        row: LookRow,
        now: UtcMillis,
    ) -> Result<LookEnd, IntakeError> {
        let sought = match self.sought_by_date(ehr, kind, None, now).await? {
            Ok(sought) => sought,
            Err(error) => return Ok(failed(&row, &error, ehr, now)),
        };
        let walk = ehr.client.walk(kind, sought, PAGE_COUNT);
        let end = self.hear_walk(ehr, kind, walk, HearAs::Shown, now).await?.0;
        if let super::hearing::Walked::Failed(EhrError::Rejected { .. }) = end {
            return Ok(not_offered(now));
        }
        Ok(walked(&row, end, |_| (now, now.plus(ehr.by_date_every)), ehr, now))
    }

    /// What a search by date asks for: no further back than a report may leave by itself.
    pub(super) async fn sought_by_date(
        &self,
        ehr: &HeardEhr,
        kind: ResourceType,
        patient: Option<FhirId>,
        now: UtcMillis,
    ) -> Result<Result<Sought, EhrError>, IntakeError> {
        let id = ehr.client.id().clone();
        let followed = self.store.read(move |conn| store::followed_since(conn, &id)).await?;
        let from = now.minus(ehr.report_age_max).max(followed.unwrap_or(now));
        let offers = ehr.client.offers_of_late(now).await;
        Ok(offers.map(|offers| Sought::Dated { patient, parameter: offers.date_parameter(kind), from }))
    }
}
