//! What makes a report belong with others of its patient: the same orders, the same encounter, the same day.
//!
//! Must stay true: what cannot be told from another's (an order written inside the report, a reference that leads nowhere)
//! makes it belong with none.

use chrono_tz::Tz;

use super::shape::{Place, Pointer};
use crate::fhir::report::Report;
use crate::policy::calendar::day_of;
use crate::policy::vocabulary::GroupBy;

impl Report {
    /// The ids of this server's orders that it is for.
    pub fn orders(&self) -> impl Iterator<Item = String> + '_ {
        self.stated.orders.iter().filter_map(|pointer| match &pointer.place {
            Place::Here(id) => Some(id.to_string()),
            Place::Away(_) | Place::Inside(_) | Place::Lost(_) => None,
        })
    }

    /// The same text for reports that belong together by `what`; a day is that of issue, by the clock of `zone`.
    #[must_use]
    pub fn belonging(&self, what: GroupBy, zone: Tz) -> Option<String> {
        match what {
            GroupBy::Order => together(&self.stated.orders),
            GroupBy::Encounter => together(&self.stated.encounters),
            GroupBy::Day => self.issued.map(|issued| day_of(issued, zone).to_string()),
        }
    }
}

/// All of them, in an order of their own. A report of two orders belongs with another of the same two.
fn together(pointers: &[Pointer]) -> Option<String> {
    let mut names = pointers.iter().map(name).collect::<Option<Vec<_>>>()?;
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| names.join(" "))
}

fn name(pointer: &Pointer) -> Option<String> {
    match &pointer.place {
        Place::Here(id) => Some(id.to_string()),
        Place::Away(address) => Some(address.clone()),
        Place::Inside(_) | Place::Lost(_) => None,
    }
}
