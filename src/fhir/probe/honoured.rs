//! Which parameters of a search a server really honours: each is asked in a way in which the answer must differ.

use std::time::Duration;

use super::{Listed, One};
use crate::base::{ResourceType, UtcMillis, hours};
use crate::fhir::client::EhrClient;
use crate::fhir::error::EhrError;

/// What an ignored parameter looks like depends on there being something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honoured {
    Yes,
    No,
    /// There is too little to find.
    CannotTell,
    /// The server refuses a search with it.
    Refused {
        status: u16,
    },
}

/// How a server answers searches of one resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obedience {
    /// A search over all patients.
    pub patient: PatientNeeded,
    pub last_updated: Honoured,
    pub count: Honoured,
    pub sort: Honoured,
    pub elements: Honoured,
    /// Resources without `meta.lastUpdated`, of those that were looked at.
    pub undated: usize,
}

/// Whether a search must name a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatientNeeded {
    No,
    Yes { status: u16 },
}

/// A window so far ahead that nothing can have changed in it yet, and whose length plays no part.
const AHEAD: Duration = hours(24);
/// The end of the window that holds everything there is.
const UNTIL_NOW: Duration = hours(1);
/// Before any FHIR server.
const ANCIENT: (&str, &str) = ("1971-01-01T00:00:00Z", "1972-01-01T00:00:00Z");
/// Nobody is called so.
const NOBODY: &str = "chartseal-no-such-patient";
const SORTED_COUNT: &str = "10";

impl EhrClient {
    /// How the server answers searches of `kind` at `now`, by its own clock.
    ///
    /// # Errors
    /// Where it does not answer searches at all. See [`EhrError::class`].
    pub async fn obedience(&self, kind: ResourceType, now: UtcMillis) -> Result<Obedience, EhrError> {
        let kind = kind.as_str();
        let bare = match self.list(kind, &[("_count", "2".to_owned())]).await {
            Ok(bare) => bare,
            Err(EhrError::Rejected { status } | EhrError::Refused { status: status @ 403 }) => {
                return self.with_a_patient(kind, status).await;
            }
            Err(error) => return Err(error),
        };
        Ok(Obedience {
            patient: PatientNeeded::No,
            last_updated: self.last_updated(kind, &bare, now).await?,
            count: self.count(kind, &bare).await?,
            sort: self.sort(kind).await?,
            elements: self.elements(kind, &bare).await?,
            undated: bare.found.iter().filter(|one| one.updated_at.is_none()).count(),
        })
    }

    /// Whether naming a patient is what a refused search lacked.
    async fn with_a_patient(&self, kind: &str, status: u16) -> Result<Obedience, EhrError> {
        match self.list(kind, &[("patient", NOBODY.to_owned())]).await {
            Ok(_) => Ok(Obedience {
                patient: PatientNeeded::Yes { status },
                last_updated: Honoured::CannotTell,
                count: Honoured::CannotTell,
                sort: Honoured::CannotTell,
                elements: Honoured::CannotTell,
                undated: 0,
            }),
            // The first refusal says more.
            Err(EhrError::Rejected { .. } | EhrError::Refused { .. }) if status == 403 => {
                Err(EhrError::Refused { status })
            }
            Err(EhrError::Rejected { .. } | EhrError::Refused { status: 403 }) => Err(EhrError::Rejected { status }),
            Err(error) => Err(error),
        }
    }

    async fn last_updated(&self, kind: &str, bare: &Listed, now: UtcMillis) -> Result<Honoured, EhrError> {
        let (ahead, further) = (now.plus(AHEAD).to_rfc3339(), now.plus(AHEAD * 2).to_rfc3339());
        let until = now.plus(UNTIL_NOW).to_rfc3339();
        let mut empty = [true; 3];
        for (found_none, (since, before)) in
            empty.iter_mut().zip([(ahead.as_str(), further.as_str()), ANCIENT, (ANCIENT.0, until.as_str())])
        {
            let query = [
                ("_lastUpdated", format!("ge{since}")),
                ("_lastUpdated", format!("lt{before}")),
                ("_count", "2".to_owned()),
            ];
            match or_refused(self.list(kind, &query).await)? {
                Ok(listed) => *found_none = listed.found.is_empty(),
                Err(refused) => return Ok(refused),
            }
        }
        Ok(match (empty, bare.found.is_empty()) {
            ([true, true, true], true) => Honoured::CannotTell,
            ([true, true, false], _) => Honoured::Yes,
            // All that there is must lie before now; and nothing in a window of the future or of long ago.
            ([true, true, true], false) | ([false, _, _] | [_, false, _], _) => Honoured::No,
        })
    }

    async fn count(&self, kind: &str, bare: &Listed) -> Result<Honoured, EhrError> {
        if bare.found.len() > 2 {
            return Ok(Honoured::No);
        }
        let one = match or_refused(self.list(kind, &[("_count", "1".to_owned())]).await)? {
            Ok(one) => one,
            Err(refused) => return Ok(refused),
        };
        Ok(match (one.found.len(), bare.found.len()) {
            (0 | 1, 2) => Honoured::Yes,
            (0 | 1, _) => Honoured::CannotTell,
            (_, _) => Honoured::No,
        })
    }

    async fn sort(&self, kind: &str) -> Result<Honoured, EhrError> {
        let mut orders = Vec::new();
        for wanted in ["_lastUpdated", "-_lastUpdated"] {
            let query = [("_sort", wanted.to_owned()), ("_count", SORTED_COUNT.to_owned())];
            match or_refused(self.list(kind, &query).await)? {
                Ok(listed) => orders.push(times(&listed.found)),
                Err(refused) => return Ok(refused),
            }
        }
        let differ = |times: &Vec<UtcMillis>| times.iter().min() != times.iter().max();
        Ok(match orders.as_slice() {
            [rising, falling] if differ(rising) || differ(falling) => {
                let rises = rising.is_sorted() && falling.iter().rev().is_sorted();
                if rises { Honoured::Yes } else { Honoured::No }
            }
            [..] => Honoured::CannotTell,
        })
    }

    async fn elements(&self, kind: &str, bare: &Listed) -> Result<Honoured, EhrError> {
        let query = [("_elements", "id,meta".to_owned()), ("_count", "2".to_owned())];
        let short = match or_refused(self.list(kind, &query).await)? {
            Ok(short) => short,
            Err(refused) => return Ok(refused),
        };
        let was_whole: Vec<&One> = bare.found.iter().filter(|one| one.is_whole && one.id.is_some()).collect();
        let same: Vec<&One> =
            short.found.iter().filter(|one| was_whole.iter().any(|whole| whole.id == one.id)).collect();
        Ok(match (same.is_empty(), same.iter().any(|one| one.is_whole)) {
            (true, _) => Honoured::CannotTell,
            (false, true) => Honoured::No,
            (false, false) => Honoured::Yes,
        })
    }
}

/// A refusal of the search itself is an answer; everything else is not.
fn or_refused(answer: Result<Listed, EhrError>) -> Result<Result<Listed, Honoured>, EhrError> {
    match answer {
        Ok(listed) => Ok(Ok(listed)),
        Err(EhrError::Rejected { status }) => Ok(Err(Honoured::Refused { status })),
        Err(error) => Err(error),
    }
}

fn times(found: &[One]) -> Vec<UtcMillis> {
    found.iter().filter_map(|one| one.updated_at).collect()
}
