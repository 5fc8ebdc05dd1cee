//! Profiles that came, went or changed. A profile is a permission: with it reports leave, without it they wait for a person.

use super::width::{Width, are_apart};
use super::{Search, asks_for_less, by_id, unsure};
use crate::policy::columns::Columns;
use crate::policy::facts::RecipientRole;
use crate::policy::rules::{Content, Profile};
use crate::policy::vocabulary::Action;

pub(super) fn compare(search: &mut Search<'_>) {
    let (old, new) = (by_id(&search.old.profiles, |row| &row.id), by_id(&search.new.profiles, |row| &row.id));
    for (id, was) in &old {
        match new.get(id) {
            Some(is) => changed(search, was, is),
            None => removed(search, was),
        }
    }
    for is in new.values().filter(|is| !old.contains_key(is.id.as_str())) {
        added(search, is);
    }
}

fn changed(search: &mut Search<'_>, was: &Profile, is: &Profile) {
    if search.width(&was.when, &is.when) != Width::Same {
        // For some reports it is gone, for others it is new.
        removed(search, was);
        added(search, is);
        return;
    }
    let looser = search.looser_columns(&was.then, &is.then);
    if !looser.is_empty() {
        search.add(&was.id, asks_for_less(&was.then, &is.then, &looser));
    }
    search.asked_anew(&was.id, &is.then, Some(&was.then));
    for id in is.over.difference(&was.over) {
        replaces(search, is, id);
    }
    for id in was.over.difference(&is.over) {
        comes_back(search, id);
    }
}

/// The reports that only this profile named wait for a person, or are blocked; for others its columns are missing.
fn removed(search: &mut Search<'_>, was: &Profile) {
    if was.then.action > Action::Send {
        search.add(&was.id, "the profile that kept reports back is taken out or speaks of other reports");
        return;
    }
    let left = Columns { action: Action::ManualReview, ..Columns::profile() };
    let looser = search.looser_columns(&was.then, &left);
    if !looser.is_empty() {
        let what = "what it named waits for a person now, but would leave under the easier terms of no profile";
        search.add(&was.id, format!("{what}: {}", looser.join("; ")));
    }
    for content in [search.old, search.new] {
        beside(search, content, was);
    }
    for id in &was.over {
        comes_back(search, id);
    }
}

/// A report that another profile names too is left to that one alone.
fn beside(search: &mut Search<'_>, content: &Content, was: &Profile) {
    let others = content.profiles.iter().filter(|other| other.id != was.id && !are_apart(&other.when, &was.when));
    let looser: Vec<&str> = others
        .filter(|other| !search.looser_columns(&was.then, &other.then).is_empty())
        .map(|other| other.id.as_str())
        .collect();
    if !looser.is_empty() {
        let what = format!("reports that it named are left to {}, which ask for less in something", looser.join(", "));
        search.add(&was.id, what);
    }
}

fn comes_back(search: &mut Search<'_>, id: &str) {
    if let Some(back) = search.new.profiles.iter().find(|profile| profile.id == id) {
        search.asked_anew(id, &back.then, None);
    }
}

/// A new profile that keeps back asks for more; one that sends, sends what a person looked at.
fn added(search: &mut Search<'_>, is: &Profile) {
    if is.then.action == Action::Send {
        search.add(&is.id, "a profile that sends is added, or speaks of more or other reports");
        return;
    }
    let is_for_others = is.when.roles().iter().any(|role| *role != RecipientRole::Patient);
    let were_blocked = search.old.header.other_default == Action::Block;
    if is.then.action == Action::ManualReview && is_for_others && were_blocked {
        search.add(&is.id, "it lets a person send to somebody else than the patient what no profile named");
    }
    let looser = search.looser_columns(&Columns::profile(), &is.then);
    if !looser.is_empty() {
        search.add(&is.id, format!("its terms are easier than those of no profile: {}", looser.join("; ")));
    }
    for id in &is.over {
        replaces(search, is, id);
    }
    if search.new.profiles.iter().any(|other| other.over.contains(&is.id)) && !is.over.is_empty() {
        search.add(&is.id, "it replaces profiles and is itself replaced");
    }
}

/// What is replaced no longer asks for anything, not even when it is unsure.
fn replaces(search: &mut Search<'_>, is: &Profile, id: &str) {
    let Some(was) = search.old.profiles.iter().find(|profile| profile.id == id) else { return };
    let looser = search.looser_columns(&was.then, &is.then);
    let is_unsure = is.then.action == Action::Send && unsure::may_be_unknown(search.old, &was.when);
    let is_replaced = search.new.profiles.iter().any(|other| other.over.contains(&is.id));
    if !looser.is_empty() || is_unsure || is_replaced {
        search.add(&is.id, format!("it replaces '{id}', which asks for more in something or may be unsure"));
    }
}
