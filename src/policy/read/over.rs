//! How rows hang together: ids are unique, `over` names rows that exist and never comes back to where it began.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::Draft;
use crate::policy::errors::Code;
use crate::policy::reader::{Reader, quote};
use crate::policy::rules::{Exception, Profile, Restrict};

/// Two rows of a section with one id.
pub(super) fn check_ids<'d, R>(
    reader: &mut Reader<'_>,
    what: &str,
    drafts: &'d [Draft<R>],
    id: impl Fn(&'d R) -> &'d str,
) {
    let mut seen = BTreeSet::new();
    for draft in drafts {
        let id = id(&draft.row);
        if !seen.insert(id) {
            let what = format!("two {what}s have the id '{id}'");
            reader.fault_of(Code::DuplicateId, &draft.at, what, "give one of them another id");
        }
    }
}

pub(super) fn check_over(reader: &mut Reader<'_>, drafts: &[Draft<Profile>]) {
    let by_id: BTreeMap<&str, &Draft<Profile>> = drafts.iter().map(|draft| (draft.row.id.as_str(), draft)).collect();
    let mut is_whole = by_id.len() == drafts.len();
    for draft in drafts {
        for target in draft.row.over.iter().filter(|target| !by_id.contains_key(target.as_str())) {
            is_whole = false;
            let what = format!("'over' names the profile '{target}', which this file does not have");
            reader.fault_of(Code::UnknownOver, &draft.over_at, what, "correct the id, or take it out of 'over'");
        }
    }
    if is_whole {
        check_cycles(reader, &by_id);
    }
}

pub(super) fn check_exceptions(
    reader: &mut Reader<'_>,
    exceptions: &[Draft<Exception>],
    restricts: &[Draft<Restrict>],
    law_rows: &BTreeSet<String>,
) {
    let ids: BTreeSet<&str> = restricts.iter().map(|draft| draft.row.id.as_str()).collect();
    for draft in exceptions {
        for target in draft.row.over.iter().filter(|target| !ids.contains(target.as_str())) {
            let (code, what) = if law_rows.contains(target) {
                (Code::LawExcepted, format!("'{target}' is a row of a law pack, which no exception lifts"))
            } else {
                (Code::UnknownOver, format!("'over' names the restriction '{target}', which this file does not have"))
            };
            reader.fault_of(code, &draft.over_at, what, "correct the id, or take it out of 'over'");
        }
    }
}

/// Takes away profiles that nothing left replaces, until none is left or only circles are.
fn check_cycles<'d>(reader: &mut Reader<'_>, by_id: &BTreeMap<&'d str, &'d Draft<Profile>>) {
    let mut replacers: BTreeMap<&'d str, usize> = by_id.keys().map(|id| (*id, 0)).collect();
    for target in by_id.values().flat_map(|draft| &draft.row.over) {
        replacers.entry(target).and_modify(|count| *count += 1);
    }
    let mut free: Vec<&'d str> = replacers.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        replacers.remove(id);
        for target in by_id.get(id).into_iter().flat_map(|draft| &draft.row.over) {
            if let Some(count) = replacers.get_mut(target.as_str()) {
                *count -= 1;
                if *count == 0 {
                    free.push(target);
                }
            }
        }
    }
    let Some(circle) = circle_among(&replacers.into_keys().collect(), by_id) else { return };
    if let Some(draft) = circle.iter().filter_map(|id| by_id.get(id)).min_by_key(|draft| draft.over_at.start) {
        let what = format!("'over' runs in a circle: {}", quote(&circle.join(", ")));
        let remedy = "take one of these profiles out of the 'over' of another";
        reader.fault_of(Code::OverCycle, &draft.over_at, what, remedy);
    }
}

/// One circle among profiles each of which another of them replaces: going back from any of them for as many
/// steps as there are ends on a circle.
fn circle_among<'d>(left: &BTreeSet<&'d str>, by_id: &BTreeMap<&'d str, &'d Draft<Profile>>) -> Option<Vec<&'d str>> {
    let mut replacer: BTreeMap<&str, &'d str> = BTreeMap::new();
    for id in left {
        for target in by_id.get(id).into_iter().flat_map(|draft| &draft.row.over) {
            replacer.insert(target, id);
        }
    }
    let mut id = *left.first()?;
    for _ in left {
        id = replacer.get(id)?;
    }
    let mut circle = vec![id];
    let mut next = *replacer.get(id)?;
    while next != id {
        circle.push(next);
        next = replacer.get(next)?;
    }
    circle.sort_unstable();
    Some(circle)
}
