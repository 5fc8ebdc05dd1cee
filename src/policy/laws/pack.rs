//! One law pack.
//!
//! Must stay true: a pack is in force by the day on which a report was finalised, in the clinic's zone, and by nothing
//! else.
//! Must not know: how conditions (`W`) and rows (`R`) are written or matched.

use std::collections::BTreeSet;

use chrono::{NaiveDate, NaiveDateTime};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize, Serializer};

use crate::base::UtcMillis;
use crate::policy::calendar::{Calendar, Wait, day_of};

/// Who may end a wait before its time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiver {
    Clinician,
    Patient,
}

impl Waiver {
    pub const ALL: [Self; 2] = [Self::Clinician, Self::Patient];

    /// The word in a pack.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clinician => "clinician",
            Self::Patient => "patient",
        }
    }
}

/// What the pack's author had before their eyes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// The text of the law.
    Text,
    /// What others write about it: summaries, analyses, drafts.
    Secondary,
    None,
}

impl Verified {
    pub const ALL: [Self; 3] = [Self::Text, Self::Secondary, Self::None];

    /// The word in a pack.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secondary => "secondary",
            Self::None => "none",
        }
    }
}

/// Whether the pack's author holds it for complete ([`Verified`] tells by what). Counsel must confirm either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    Verified,
    /// A skeleton: counsel must complete it.
    NotVerified,
}

impl Standing {
    pub const ALL: [Self; 2] = [Self::Verified, Self::NotVerified];

    /// The word in a pack.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::NotVerified => "not-verified",
        }
    }
}

/// What a pack says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Header {
    /// The name under which a rules file asks for it.
    pub id: String,
    pub title: String,
    /// Country and, behind a hyphen, its part, as in ISO 3166-2: `US-KY`, `PL`.
    pub jurisdiction: String,
    /// Where the law can be read.
    pub sources: Vec<String>,
    pub verified: Verified,
    /// The sentence that counsel must confirm.
    pub counsel: String,
    /// The first day; `None` where the law is in force and its first day was not found.
    #[serde(serialize_with = "write_day")]
    pub in_force_from: Option<NaiveDate>,
    /// The last day.
    #[serde(serialize_with = "write_day")]
    pub in_force_until: Option<NaiveDate>,
    pub standing: Standing,
}

/// A report of this kind may not leave before the wait is over, counted from its finalisation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Floor<W> {
    pub id: String,
    pub when: W,
    pub wait: Wait,
    /// Who may let it leave before; nobody where empty.
    pub waived_by: BTreeSet<Waiver>,
    pub note: Option<String>,
}

/// A report of this kind may not be kept back once the wait is over, counted from its finalisation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Ceiling<W> {
    pub id: String,
    pub when: W,
    pub wait: Wait,
    pub note: Option<String>,
}

/// An example that the pack's arithmetic must meet, in wall clock times of its zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vector {
    pub name: String,
    pub finalised: NaiveDateTime,
    pub zone: Tz,
    /// The floor or ceiling whose wait is meant.
    pub rule: String,
    pub expected: NaiveDateTime,
}

/// A whole law pack. `W` is a condition (`when`), `R` a row (`[[restrict]]`), both in the language of the rules file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Pack<W, R> {
    pub header: Header,
    pub calendar: Calendar,
    /// In the order of their ids.
    pub floors: Vec<Floor<W>>,
    /// In the order of their ids.
    pub ceilings: Vec<Ceiling<W>>,
    /// In the order of the file.
    pub restricts: Vec<R>,
    /// They change no decision, and so are no part of what is hashed.
    #[serde(skip)]
    pub vectors: Vec<Vector>,
}

impl<W, R> Pack<W, R> {
    /// Whether the pack counts for a report that was finalised at this instant. Such laws speak of results that *are
    /// finalised*, so the day of finalisation decides, in the clinic's zone, not the day of sending: a report finalised
    /// on the eve of a new law gets no wait the day after. First and last day are both within.
    #[must_use]
    pub fn is_in_force(&self, finalised: UtcMillis, zone: Tz) -> bool {
        let day = day_of(finalised, zone);
        self.header.in_force_from.is_none_or(|from| from <= day)
            && self.header.in_force_until.is_none_or(|until| day <= until)
    }

    /// The wait of the floor or ceiling with this id.
    #[must_use]
    pub fn wait_of(&self, rule: &str) -> Option<Wait> {
        let floors = self.floors.iter().map(|floor| (&floor.id, floor.wait));
        let ceilings = self.ceilings.iter().map(|ceiling| (&ceiling.id, ceiling.wait));
        floors.chain(ceilings).find(|(id, _)| *id == rule).map(|(_, wait)| wait)
    }
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over by reference")]
fn write_day<S: Serializer>(day: &Option<NaiveDate>, serializer: S) -> Result<S::Ok, S::Error> {
    day.map(|day| day.to_string()).serialize(serializer)
}
