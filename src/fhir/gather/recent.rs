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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::*;
    use crate::fhir::service::ServiceBase;

    #[test]
    fn what_is_kept_is_bounded_in_number_and_age() {
        let base = ServiceBase::new(Url::parse("https://ehr.test/fhir").unwrap()).unwrap();
        let body = json!({"resourceType": "Encounter", "id": "e"}).to_string();
        let part = Arc::new(Part::of_answer("Encounter", "e", body.as_bytes(), &base).unwrap());
        let id = |i: usize| FhirId::parse(&format!("e{i}")).unwrap();
        let recent = RecentParts::default();
        let start = Instant::now();
        let at = |i: usize| start + Duration::from_millis(i as u64);
        for i in 0..PARTS_MAX + 2 {
            recent.keep("Encounter", &id(i), &part, at(i));
        }
        assert_eq!(recent.count(), PARTS_MAX);
        let found = |i: usize, now: Instant| recent.find("Encounter", &id(i), now).is_some();
        assert!(!found(0, at(0)) && !found(1, at(1)) && found(2, at(2)));
        assert!(recent.find("PractitionerRole", &id(2), at(2)).is_none());
        let last = PARTS_MAX + 1;
        assert!(found(last, at(last - 1) + KEPT));
        assert!(!found(last, at(last) + KEPT));
        recent.keep("Encounter", &id(0), &part, at(last) + KEPT);
        assert_eq!(recent.count(), 1);
    }
}
