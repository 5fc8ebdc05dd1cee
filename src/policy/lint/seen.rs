//! What came and met no profile, as a census of these very rules counted it.
//!
//! Must stay true: a census of other rules tells nothing about these.

use serde::Deserialize;

use super::{Look, Said};
use crate::policy::errors::Code;

/// Fewer reports of one code than this are a chance.
pub const OFTEN_REPORTS: u64 = 5;

/// What a census found (`chartseal rules census --json`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct Seen {
    /// The rules that it was counted by.
    pub rules_hash: String,
    pub since: String,
    pub codes: Vec<SeenCode>,
}

/// One code, as often as it came.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct SeenCode {
    /// `None`: no rule can match it.
    pub system: Option<String>,
    pub code: String,
    pub reports: u64,
    /// Of those, reports that no profile speaks of.
    pub uncovered: u64,
    pub seen_in: Vec<SeenAt>,
}

/// Where in a report a code stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenAt {
    Own,
    Member,
    Order,
    Reason,
}

pub(super) fn look(look: &mut Look<'_, '_>, seen: &Seen) {
    if seen.rules_hash != look.rules.rules_hash_hex() {
        return;
    }
    // A profile speaks of what a report is; of the thirty members of a panel nothing need be said.
    let is_often = |code: &&SeenCode| code.uncovered >= OFTEN_REPORTS && code.seen_in.contains(&SeenAt::Own);
    let mut often: Vec<_> = seen.codes.iter().filter(is_often).collect();
    often.sort_by_key(|code| std::cmp::Reverse(code.uncovered));
    for code in often {
        if !look.has_room(Code::FallsToDefault) {
            return;
        }
        let system = code.system.as_deref().unwrap_or("(no system)");
        let what = format!(
            "{} of {} reports with the code {system}|{} since {} met no profile, and fell to the default",
            code.uncovered,
            code.reports,
            code.code,
            seen.since.get(..10).unwrap_or(&seen.since)
        );
        let remedy = match code.system {
            Some(_) => "name it in a [[profile]], also if a person shall look: then the rules say that it is meant",
            None => "have the EHR send the code's system: without one no rule can match it",
        };
        let said = Said { code: Code::FallsToDefault, what, remedy: remedy.to_owned() };
        look.found.push(look.places.policy("patient_default", said));
    }
}
