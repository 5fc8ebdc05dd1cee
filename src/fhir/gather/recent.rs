//! Orders, encounters and roles that were read a moment ago: the reports of one draw or visit name the same ones.
//!
//! Must stay true: bounded in number and age; failures are never kept; it lives in memory alone. A label that the EHR adds
//! to an encounter is seen after [`KEPT`] at the latest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::part::Part;
use crate::base::{FhirId, minutes};

/// How long a resource is taken for unchanged.
pub(super) const KEPT: Duration = minutes(5);
/// Most resources kept.
pub(super) const PARTS_MAX: usize = 1000;

#[derive(Default)]
pub(in crate::fhir) struct RecentParts(Mutex<HashMap<(&'static str, FhirId), Kept>>);

struct Kept {
    part: Arc<Part>,
    until: Instant,
}

impl RecentParts {
    /// The resource, if it was read no longer than [`KEPT`] before `now`.
    pub(super) fn find(&self, kind: &'static str, id: &FhirId, now: Instant) -> Option<Arc<Part>> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = parts.get(&(kind, id.clone()))?;
        (now < kept.until).then(|| kept.part.clone())
    }

    /// Keeps a resource that was read at `now`, in the place of the oldest where there are too many.
    pub(super) fn keep(&self, kind: &'static str, id: &FhirId, part: &Arc<Part>, now: Instant) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.len() >= PARTS_MAX {
            parts.retain(|_, kept| now < kept.until);
        }
        if parts.len() >= PARTS_MAX {
            let oldest = parts.iter().min_by_key(|(_, kept)| kept.until).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                parts.remove(&oldest);
            }
        }
        parts.insert((kind, id.clone()), Kept { part: part.clone(), until: now + KEPT });
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
