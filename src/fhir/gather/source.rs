//! Where evidence is read from: the EHR over HTTP, or files that a person gives.
//!
//! Must stay true: an answer is what was asked for, or it is a lack.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fetch::Wanted;
use super::listing::Listing;
use super::part::Part;
use crate::fhir::client::EhrClient;
use crate::fhir::service::ServiceBase;
use crate::policy::facts::Lack;

pub(in crate::fhir) trait Shelves: Sync {
    fn base(&self) -> &ServiceBase;

    /// All that is read beside one report. What has not come by then is unknown.
    fn gather_timeout(&self) -> Duration;

    /// Members of one result, at any depth.
    fn members_max(&self) -> usize;

    fn part(&self, wanted: &Wanted) -> impl Future<Output = Result<Arc<Part>, Lack>> + Send;

    /// All resources of a type that a search finds.
    fn list(
        &self,
        kind: &'static str,
        parameters: &[(&str, &str)],
        deadline: Instant,
    ) -> impl Future<Output = Listing> + Send;
}

impl Shelves for EhrClient {
    fn base(&self) -> &ServiceBase {
        &self.base
    }

    fn gather_timeout(&self) -> Duration {
        self.limits.gather_timeout
    }

    fn members_max(&self) -> usize {
        self.limits.members_max
    }

    async fn part(&self, wanted: &Wanted) -> Result<Arc<Part>, Lack> {
        self.read_part(wanted).await
    }

    async fn list(&self, kind: &'static str, parameters: &[(&str, &str)], deadline: Instant) -> Listing {
        self.search_all(kind, parameters, deadline).await
    }
}
