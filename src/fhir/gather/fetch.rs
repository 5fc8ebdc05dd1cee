//! Reading several resources at once, until a common deadline.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::part::{ENCOUNTER, ORDER, Part, ROLE};
use super::shape::word;
use super::source::Shelves;
use crate::base::FhirId;
use crate::fhir::client::{EhrClient, Fetched, apart};
use crate::fhir::error::{EhrError, FaultClass};
use crate::fhir::gate::parse_json;
use crate::fhir::project::sanitise;
use crate::policy::facts::Lack;

/// Readings of one kind on their way at the same time, so that one report does not fill the EHR's queue.
const READS_AT_ONCE: usize = 6;
/// The largest resource that is read for evidence.
const PART_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What several reports of one draw or visit share.
const SHARED: &[&str] = &[ORDER, ENCOUNTER, ROLE];

/// One resource to read.
pub(in crate::fhir) struct Wanted {
    /// Where it was named, from the report.
    pub at: String,
    pub kind: &'static str,
    pub id: FhirId,
}

/// Answers in the order of `wanted`. What has not come at `deadline` timed out.
pub(super) async fn read_parts<S: Shelves>(
    shelves: &S,
    wanted: Vec<Wanted>,
    deadline: Instant,
) -> Vec<(Wanted, Result<Arc<Part>, Lack>)> {
    let mut answers: Vec<_> = wanted.iter().map(|_| Err(Lack::TimedOut)).collect();
    {
        let read = |(i, one)| async move { (i, shelves.part(one).await) };
        let readings: Vec<_> = wanted.iter().enumerate().map(read).collect();
        let mut arriving = stream::iter(readings).buffer_unordered(READS_AT_ONCE);
        while let Ok(Some((i, answer))) = timeout_at(deadline, arriving.next()).await {
            if let Some(place) = answers.get_mut(i) {
                *place = answer;
            }
        }
    }
    wanted.into_iter().zip(answers).collect()
}

impl EhrClient {
    pub(super) async fn read_part(&self, wanted: &Wanted) -> Result<Arc<Part>, Lack> {
        let Wanted { kind, id, .. } = wanted;
        let is_shared = SHARED.contains(kind);
        if is_shared && let Some(part) = self.recent.find(kind, id, std::time::Instant::now()) {
            return Ok(part);
        }
        let limit_bytes = PART_BYTES_MAX.min(self.limits.resource_bytes_max);
        let body = match self.fetch(kind, id, limit_bytes).await.map_err(|error| lack_of(&error))? {
            Fetched::Body { body, .. } => body,
            Fetched::Gone(_) => return Err(Lack::NotFound),
        };
        let (base, asked, kind) = (self.base.clone(), id.clone(), *kind);
        let part = apart(kind, move || Part::of_answer(kind, asked.as_str(), &body, &base)).await;
        let part = Arc::new(part.and_then(|part| part).map_err(|_| Lack::Unreadable)?);
        if is_shared {
            self.recent.keep(kind, id, &part, std::time::Instant::now());
        }
        Ok(part)
    }
}

impl EhrClient {
    /// A resource of which more is wanted than it says to the rules, sanitised.
    pub(super) async fn read_whole(&self, kind: &'static str, id: &FhirId, bytes_max: usize) -> Result<Value, Lack> {
        let limit_bytes = bytes_max.min(self.limits.resource_bytes_max);
        let body = match self.fetch(kind, id, limit_bytes).await.map_err(|error| lack_of(&error))? {
            Fetched::Body { body, .. } => body,
            Fetched::Gone(_) => return Err(Lack::NotFound),
        };
        let read = apart(kind, move || {
            parse_json(&body).map(|mut value| {
                sanitise(&mut value);
                value
            })
        });
        let value = read.await.and_then(|value| value).map_err(|_| Lack::Unreadable)?;
        let is_it = word(&value, "resourceType") == Some(kind) && word(&value, "id") == Some(id.as_str());
        if is_it { Ok(value) } else { Err(Lack::Unreadable) }
    }
}

/// What is not known after a reading that failed.
pub(super) const fn lack_of(error: &EhrError) -> Lack {
    match error {
        EhrError::SignIn(fault) => match fault.class() {
            FaultClass::Transient => Lack::TimedOut,
            FaultClass::Settings | FaultClass::Permanent => Lack::Refused,
        },
        EhrError::Unreachable
        | EhrError::TimedOut
        | EhrError::CutShort
        | EhrError::Overloaded { .. }
        | EhrError::Server { .. } => Lack::TimedOut,
        EhrError::Refused { .. }
        | EhrError::Rejected { .. }
        | EhrError::Conflict
        | EhrError::LinkRefused { .. }
        | EhrError::Settings { .. } => Lack::Refused,
        EhrError::Gone | EhrError::NoAttachment => Lack::NotFound,
        EhrError::TooLarge { .. } => Lack::TooMany,
        EhrError::ForbiddenUrl { .. } => Lack::Elsewhere,
        EhrError::NotFhir | EhrError::Malformed(_) | EhrError::Mismatch { .. } => Lack::Unreadable,
    }
}
