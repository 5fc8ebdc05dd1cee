//! The further ways in which an EHR is looked at, beside hooks and polls.

use serde::Serialize;

use crate::base::{EhrId, ResourceType, UtcMillis};
use crate::store::{self, Conn, Look, Offered, StoreError};

/// One of these ways.
#[derive(Clone, Debug, Serialize)]
pub struct HeardLook {
    pub what: LookedAt,
    /// `None` where it concerns both.
    pub kind: Option<&'static str>,
    /// Whether the EHR lets itself be looked at so; `None` while it has not answered.
    pub offered: Option<bool>,
    pub last_at: Option<String>,
    /// What is wrong with the last one.
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LookedAt {
    History,
    ByDate,
    Panel,
}

/// The patients that an EHR is asked about one by one.
#[derive(Clone, Debug, Serialize)]
pub struct HeardPanel {
    pub patients: u64,
    /// Of those, about how many the EHR could not be asked the last time.
    pub failing: u64,
    /// Everything of everybody up to here has been seen.
    pub seen_until: Option<String>,
}

pub(super) fn heard_looks(conn: &mut Conn, ehr: &EhrId) -> Result<Vec<HeardLook>, StoreError> {
    let rows = store::looks_of(conn, ehr)?.into_iter().map(|row| {
        let (what, kind) = match row.what {
            Look::History(kind) => (LookedAt::History, Some(kind)),
            Look::ByDate(kind) => (LookedAt::ByDate, Some(kind)),
            Look::Panel => (LookedAt::Panel, None),
        };
        HeardLook {
            what,
            kind: kind.map(ResourceType::as_str),
            offered: match row.offered {
                Offered::Unknown => None,
                Offered::Yes => Some(true),
                Offered::No => Some(false),
            },
            last_at: row.last_ok_at.map(UtcMillis::to_rfc3339),
            why: row.why,
        }
    });
    Ok(rows.collect())
}

/// `None` where no panel was ever looked up.
pub(super) fn heard_panel(conn: &mut Conn, ehr: &EhrId) -> Result<Option<HeardPanel>, StoreError> {
    if !store::looks_of(conn, ehr)?.iter().any(|row| row.what == Look::Panel) {
        return Ok(None);
    }
    let mut heard = HeardPanel { patients: 0, failing: 0, seen_until: None };
    let mut seen_until: Option<UtcMillis> = None;
    for kind in ResourceType::ALL {
        let summary = store::panel_summary(conn, ehr, kind)?;
        heard.patients = heard.patients.max(summary.patients);
        heard.failing = heard.failing.max(summary.failing);
        seen_until = seen_until.into_iter().chain(summary.watermark).min();
    }
    heard.seen_until = seen_until.map(UtcMillis::to_rfc3339);
    Ok(Some(heard))
}
