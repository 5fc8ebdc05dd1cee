//! The members of a result, level by level: panels hold tests, tests hold components.
//!
//! Must stay true: each resource is read once, so that a circle ends; number and depth are bounded, and what lies beyond is
//! said to be too many. What is found stands in the order of the report, however late each answer came.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::fetch::{Wanted, read_parts};
use super::part::{MEMBER_KINDS, Part};
use super::shape::{Place, Pointer, below};
use super::source::Shelves;
use crate::base::FhirId;
use crate::fhir::report::Report;
use crate::policy::facts::Lack;

/// A member of a member of a member of the report's result.
const DEPTH_MAX: usize = 4;

/// What was read, with its path from the report, and why there may be more.
#[derive(Default)]
pub(super) struct Walked {
    pub parts: Vec<(String, Arc<Part>)>,
    pub lacking: BTreeSet<Lack>,
}

impl Walked {
    pub(super) fn lack(&mut self, why: Lack) {
        self.lacking.insert(why);
    }
}

struct Walk {
    walked: Walked,
    seen: HashSet<(String, FhirId)>,
    left: usize,
}

impl Walk {
    /// What is to be read next because the part at `at` names it.
    fn follow(&mut self, at: &str, pointers: &[Pointer]) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for pointer in pointers {
            let id = match &pointer.place {
                Place::Here(id) => id,
                Place::Inside(_) | Place::Away(_) => {
                    self.walked.lack(Lack::Elsewhere);
                    continue;
                }
                Place::Lost(why) => {
                    self.walked.lack(*why);
                    continue;
                }
            };
            let Some(kind) = MEMBER_KINDS.iter().find(|kind| pointer.kind.as_deref() == Some(kind)) else { continue };
            if !self.seen.insert(((*kind).to_owned(), id.clone())) {
                continue;
            }
            if self.left == 0 {
                self.walked.lack(Lack::TooMany);
                break;
            }
            self.left -= 1;
            wanted.push(Wanted { at: below(at, &pointer.at), kind, id: id.clone() });
        }
        wanted
    }
}

/// What was read with the report is not asked for again.
async fn recall_or_read<S: Shelves>(
    shelves: &S,
    report: &Report,
    level: Vec<Wanted>,
    deadline: Instant,
) -> Vec<(Wanted, Result<Arc<Part>, Lack>)> {
    let known = |wanted: &Wanted| report.results_read.get(&(wanted.kind, wanted.id.clone())).cloned();
    let known: Vec<_> = level.iter().map(known).collect();
    let (mut recalled, mut unknown) = (Vec::new(), Vec::new());
    for (n, (wanted, known)) in level.into_iter().zip(known).enumerate() {
        match known {
            Some(part) => recalled.push((n, (wanted, Ok(part)))),
            None => unknown.push((n, wanted)),
        }
    }
    let (places, unknown): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
    recalled.extend(places.into_iter().zip(read_parts(shelves, unknown, deadline).await));
    recalled.sort_by_key(|(n, _)| *n);
    recalled.into_iter().map(|(_, answer)| answer).collect()
}

/// Reads the members of `report`; without any time for it, says that they were not asked for where there are any.
pub(super) async fn members<S: Shelves>(shelves: &S, report: &Report, until: Option<Instant>) -> Walked {
    let itself = (report.kind.as_str().to_owned(), report.id.clone());
    let mut walk = Walk { walked: Walked::default(), seen: HashSet::from([itself]), left: shelves.members_max() };
    let mut level = walk.follow("", &report.stated.members);
    let Some(deadline) = until else {
        if !level.is_empty() {
            walk.walked.lack(Lack::NotAsked);
        }
        return walk.walked;
    };
    for _ in 0..DEPTH_MAX {
        let mut next = Vec::new();
        for (wanted, answer) in recall_or_read(shelves, report, level, deadline).await {
            match answer {
                Ok(part) => {
                    next.extend(walk.follow(&wanted.at, &part.members));
                    walk.walked.parts.push((wanted.at, part));
                }
                Err(why) => walk.walked.lack(why),
            }
        }
        level = next;
    }
    if !level.is_empty() {
        walk.walked.lack(Lack::TooMany);
    }
    walk.walked
}
