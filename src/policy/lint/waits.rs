//! Waits without a ground, and links that a mail scanner would use up.

use super::regions::Region;
use super::{Look, Regions};
use crate::policy::columns::{Column, Columns};
use crate::policy::errors::Code;
use crate::policy::rules::{Profile, Spot};
use crate::policy::vocabulary::{Action, HoldBasis};
use crate::policy::when::{Predicate, When};

pub(super) fn look(look: &mut Look<'_, '_>, regions: &Regions<'_>) {
    clinic_holds(look);
    profiles_open_to_scanners(look, regions);
    restricts_open_to_scanners(look, regions);
}

/// The Cures Act is a law of the United States, and only a file with a pack of theirs says that it stands under it.
fn clinic_holds(look: &mut Look<'_, '_>) {
    let content = look.content;
    if !content.laws.iter().any(|law| law.header.jurisdiction.split('-').next() == Some("US")) {
        return;
    }
    let profiles = content.profiles.iter().map(|row| (&row.id, row.spot, &row.when, &row.then));
    let restricts = content.restricts.iter().map(|row| (&row.id, row.spot, &row.when, &row.then));
    for (id, spot, when, then) in profiles.chain(restricts) {
        let waits = then.action == Action::Send && (then.hold_seconds > 0 || then.waits_for_a_person());
        if !waits || then.basis != HoldBasis::ClinicPolicy || is_asked_for(when) {
            continue;
        }
        let path: &[&str] = match (then.hold_seconds, then.requires.is_empty()) {
            (1.., _) => &["then", "hold"],
            (0, true) => &["then", "release"],
            (0, false) => &["then", "requires"],
        };
        let what = format!(
            "'{id}' keeps reports back by the clinic's own policy, and in the United States a blanket delay \
                            is likely information blocking"
        );
        let remedy = "add basis = \"law\", \"patient_request\" or \"individual_harm\" beside 'hold' if that is the ground, \
                      or take the wait out; ask counsel";
        look.at(Code::ClinicHold, spot, path, what, remedy);
    }
}

/// What a patient asked for is no policy of the clinic's.
fn is_asked_for(when: &When) -> bool {
    when.all.contains_key(&Predicate::Preference) || when.all.contains_key(&Predicate::Consent)
}

fn opens_to_all(then: &Columns) -> bool {
    then.opens.get() == 1 && then.challenges.is_empty()
}

/// Unless some restriction asks of all these reports for more.
fn profiles_open_to_scanners(look: &mut Look<'_, '_>, regions: &Regions<'_>) {
    for (profile, region) in look.content.profiles.iter().zip(&regions.profiles) {
        if profile.then.action == Action::Send && opens_to_all(&profile.then) && !is_guarded(look, regions, region) {
            warn(look, &profile.id, profile.spot);
        }
    }
}

/// The row's one opening meets a profile that asks nothing, and no restriction asks in its stead.
fn restricts_open_to_scanners(look: &mut Look<'_, '_>, regions: &Regions<'_>) {
    let content = look.content;
    let is_open = |profile: &Profile| profile.then.action == Action::Send && profile.then.challenges.is_empty();
    for (restrict, region) in content.restricts.iter().zip(&regions.restricts) {
        let says_once = restrict.said.has(Column::Opens) && opens_to_all(&restrict.then);
        if !says_once || restrict.then.action != Action::Send || is_guarded(look, regions, region) {
            continue;
        }
        let mut sent = content.profiles.iter().zip(&regions.profiles).filter(|(profile, _)| is_open(profile));
        if sent.any(|(_, other)| !region.is_apart(other) && !is_guarded(look, regions, other)) {
            warn(look, &restrict.id, restrict.spot);
        }
    }
}

/// Whether some restriction that matches whenever `region` does asks for a challenge, or keeps the report from leaving.
fn is_guarded(look: &Look<'_, '_>, regions: &Regions<'_>, region: &Region<'_>) -> bool {
    let mut restricts = look.content.restricts.iter().zip(&regions.restricts);
    restricts.any(|(row, other)| {
        (!row.then.challenges.is_empty() || row.then.action != Action::Send) && region.is_within(other)
    })
}

fn warn(look: &mut Look<'_, '_>, id: &str, spot: Spot) {
    let what = format!("under '{id}' the link opens once and asks nothing: a mail scanner that follows it uses it up");
    let remedy = "add verify = [\"code\"] with code_via = \"other\", or allow more openings";
    look.at(Code::OpenToScanners, spot, &["then", "opens"], what, remedy);
}
