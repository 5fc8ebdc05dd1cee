//! Checks whose answer stands where the link stands, or nowhere.
//!
//! Only a code can be told in the wrong place. What a question asks for is in no rules file and in no message: no text of a row is
//! ever shown to a patient, and the most that a message names is the clinic.

use super::regions::Region;
use super::{Look, Regions};
use crate::policy::columns::Columns;
use crate::policy::errors::Code;
use crate::policy::few::Few;
use crate::policy::rules::{Profile, Spot};
use crate::policy::vocabulary::{Action, Challenge, Channel, CodeElse, CodeVia};

pub(super) fn look(look: &mut Look<'_, '_>, regions: &Regions<'_>) {
    without_way_out(look, regions);
    let content = look.content;
    for (profile, region) in content.profiles.iter().zip(&regions.profiles) {
        if shows_its_code(&profile.then) && !is_told_elsewhere(look, regions, region) {
            warn(look, &profile.id, profile.spot);
        }
    }
    for (restrict, region) in content.restricts.iter().zip(&regions.restricts) {
        if !shows_its_code(&restrict.then) || is_told_elsewhere(look, regions, region) {
            continue;
        }
        let is_open = |profile: &Profile| profile.then.action == Action::Send && profile.then.code_via == CodeVia::Any;
        let mut sent = content.profiles.iter().zip(&regions.profiles).filter(|(profile, _)| is_open(profile));
        if sent.any(|(_, other)| !region.is_apart(other) && !is_told_elsewhere(look, regions, other)) {
            warn(look, &restrict.id, restrict.spot);
        }
    }
}

/// Codes that nobody could get. A row that keeps the code from where the link comes names the way out itself: no other row
/// names it for it.
fn without_way_out(look: &mut Look<'_, '_>, regions: &Regions<'_>) {
    let content = look.content;
    for profile in &content.profiles {
        if profile.then.action == Action::Send && asks_in_vain(&profile.then, profile.then.channels) {
            tell_of_no_way(look, &profile.id, profile.spot);
        }
    }
    for (restrict, region) in content.restricts.iter().zip(&regions.restricts) {
        let is_sent = |profile: &Profile| {
            let channels = profile.then.channels.intersection(restrict.then.channels);
            let joined = profile.then.join(&restrict.then);
            profile.then.action == Action::Send
                && !asks_in_vain(&profile.then, profile.then.channels)
                && asks_in_vain(&joined, channels)
        };
        let mut sent = content.profiles.iter().zip(&regions.profiles);
        if restrict.then.code_else == CodeElse::Review
            && sent.any(|(profile, other)| is_sent(profile) && !region.is_apart(other))
        {
            tell_of_no_way(look, &restrict.id, restrict.spot);
        }
    }
}

fn asks_in_vain(then: &Columns, channels: Few<Channel>) -> bool {
    then.action == Action::Send
        && then.challenges.contains(Challenge::Code)
        && then.code_via == CodeVia::Other
        && then.code_else == CodeElse::Review
        && channels.iter().count() == 1
}

fn tell_of_no_way(look: &mut Look<'_, '_>, id: &str, spot: Spot) {
    let what = format!(
        "under '{id}' the code may not come where the link comes, there is one channel, and nothing says how else the \
         patient gets it"
    );
    let remedy = "add code_else = \"staff\", \"slip\" or \"pickup\" beside 'code_via', or allow a second channel";
    look.at(Code::NoWayOut, spot, &["then", "code_via"], what, remedy);
}

fn shows_its_code(then: &Columns) -> bool {
    then.action == Action::Send && then.challenges.contains(Challenge::Code) && then.code_via == CodeVia::Any
}

/// Whether a restriction or a law that matches whenever `region` does sends the code another way, or the report nowhere.
fn is_told_elsewhere(look: &Look<'_, '_>, regions: &Regions<'_>, region: &Region<'_>) -> bool {
    let restricts = look.content.restricts.iter().map(|row| &row.then).zip(&regions.restricts);
    let laws = regions.laws.iter().map(|law| (law.then, &law.region));
    let mut rows = restricts.chain(laws);
    rows.any(|(then, other)| {
        (then.code_via == CodeVia::Other || then.action != Action::Send) && region.is_within(other)
    })
}

fn warn(look: &mut Look<'_, '_>, id: &str, spot: Spot) {
    let what = format!("under '{id}' the code may come to where the link is, so whoever reads the one reads the other");
    let remedy = "add code_via = \"other\" beside 'verify'";
    look.at(Code::VisibleAnswer, spot, &["then", "verify"], what, remedy);
}
