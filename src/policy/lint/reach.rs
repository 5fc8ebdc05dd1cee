//! Rows that no report can meet, rows that change nothing, and profiles that meet unawares.
//!
//! Must stay true: an exception is somebody's word about one row, so a row that an exception lifts never makes another
//! needless; what replaces one profile and not the other keeps both apart.

use std::collections::{BTreeMap, BTreeSet};

use super::regions::Region;
use super::{Look, Regions, laws};
use crate::policy::columns::{Column, Columns};
use crate::policy::errors::Code;
use crate::policy::facts::Word;
use crate::policy::rules::{Content, Profile, Restrict, Spot};

/// Gives the rows that do nothing.
pub(super) fn look(look: &mut Look<'_, '_>, regions: &Regions<'_>) -> BTreeSet<Spot> {
    let mut idle = contradictions(look, regions);
    idle.extend(laws::look(look, regions, &idle));
    idle.extend(replaced_profiles(look, regions, &idle));
    idle.extend(idle_exceptions(look, regions, &idle));
    idle.extend(dominated_classify(look, regions));
    idle.extend(dominated_restricts(look, regions, &idle));
    idle.extend(dominated_profiles(look, regions, &idle));
    overlaps(look, regions, &idle);
    idle
}

/// Rows whose conditions exclude each other, also by where their tags come from.
fn contradictions(look: &mut Look<'_, '_>, regions: &Regions<'_>) -> BTreeSet<Spot> {
    let content = look.content;
    let mut by_tag: BTreeMap<&Word, Vec<&Region<'_>>> = BTreeMap::new();
    for (row, region) in content.classify.iter().zip(&regions.classify) {
        by_tag.entry(&row.tag).or_default().push(region);
    }
    let tagged = |tag: &Word| by_tag.get(tag).cloned().unwrap_or_default();
    let classify = content.classify.iter().map(|row| (&row.id, row.spot)).zip(&regions.classify);
    let profiles = content.profiles.iter().map(|row| (&row.id, row.spot)).zip(&regions.profiles);
    let restricts = content.restricts.iter().map(|row| (&row.id, row.spot)).zip(&regions.restricts);
    let exceptions = content.exceptions.iter().map(|row| (&row.id, row.spot)).zip(&regions.exceptions);
    let mut dead = BTreeSet::new();
    for ((id, spot), region) in classify.chain(profiles).chain(restricts).chain(exceptions) {
        let what = if region.is_empty() {
            format!("no report can meet '{id}': its conditions exclude each other")
        } else if region.is_empty_with_tags(&tagged) {
            format!("no report can meet '{id}': its tags come only from reports that its other conditions exclude")
        } else {
            continue;
        };
        dead.insert(spot);
        let remedy = "correct the condition that does not belong there (age, resource, type, clinic or recipient), or take \
                      the row out";
        look.at(Code::Unreachable, spot, &["when"], what, remedy);
    }
    dead
}

/// Profiles that another replaces whenever they match.
fn replaced_profiles(look: &mut Look<'_, '_>, regions: &Regions<'_>, dead: &BTreeSet<Spot>) -> BTreeSet<Spot> {
    let content = look.content;
    let by_id: BTreeMap<&str, (&Profile, &Region<'_>)> =
        content.profiles.iter().zip(&regions.profiles).map(|(row, region)| (row.id.as_str(), (row, region))).collect();
    let mut replaced = BTreeSet::new();
    for (by, wider) in content.profiles.iter().zip(&regions.profiles).filter(|(row, _)| !dead.contains(&row.spot)) {
        for (row, region) in by.over.iter().filter_map(|id| by_id.get(id.as_str())) {
            if dead.contains(&row.spot) || !region.is_within(wider) || !replaced.insert(row.spot) {
                continue;
            }
            let what = format!("'{}' never counts: '{}' matches whenever it does, and replaces it", row.id, by.id);
            let remedy = format!("narrow the conditions of '{}', or take one of the two out", by.id);
            look.at(Code::Unreachable, row.spot, &["when"], what, remedy);
        }
    }
    replaced
}

/// Exceptions that never meet a restriction that they lift, or only where a law asks for as much, which nobody lifts.
fn idle_exceptions(look: &mut Look<'_, '_>, regions: &Regions<'_>, dead: &BTreeSet<Spot>) -> BTreeSet<Spot> {
    let content = look.content;
    let mut idle = BTreeSet::new();
    for (row, region) in content.exceptions.iter().zip(&regions.exceptions).filter(|(row, _)| !dead.contains(&row.spot))
    {
        let lifted: Vec<_> =
            content.restricts.iter().zip(&regions.restricts).filter(|(one, _)| row.over.contains(&one.id)).collect();
        let is_asked_by_law = |asked: &Columns| regions.laws.iter().any(|law| law.covers(region, asked));
        let is_idle = |(one, other): &(&Restrict, &Region<'_>)| region.is_apart(other) || is_asked_by_law(&one.then);
        if lifted.iter().all(is_idle) {
            let why = if lifted.iter().all(|(_, other)| region.is_apart(other)) {
                "what it lifts never speaks of the same reports"
            } else {
                "a law asks for as much of all that it speaks of"
            };
            let what = format!("the exception '{}' lifts nothing: {why}", row.id);
            look.at(
                Code::Unreachable,
                row.spot,
                &["over"],
                what,
                "correct its conditions or its 'over', or take it out",
            );
            idle.insert(row.spot);
        }
    }
    idle
}

fn dominated_classify(look: &mut Look<'_, '_>, regions: &Regions<'_>) -> BTreeSet<Spot> {
    let content = look.content;
    let mut found = BTreeSet::new();
    let mut by_tag: BTreeMap<&Word, Vec<(usize, &Region<'_>)>> = BTreeMap::new();
    for (at, (row, region)) in content.classify.iter().zip(&regions.classify).enumerate() {
        by_tag.entry(&row.tag).or_default().push((at, region));
    }
    for rows in by_tag.values() {
        for (at, region) in rows {
            let Some(row) = content.classify.get(*at) else { continue };
            let by = rows.iter().find_map(|(other, wider)| {
                let by = content.classify.get(*other).filter(|_| at != other && region.is_within(wider))?;
                (!wider.is_within(region) || by.spot < row.spot).then_some(by)
            });
            if let Some(by) = by {
                found.insert(row.spot);
                needless(look, &row.id, row.spot, &by.id);
            }
        }
    }
    found
}

fn dominated_restricts(look: &mut Look<'_, '_>, regions: &Regions<'_>, dead: &BTreeSet<Spot>) -> BTreeSet<Spot> {
    let content = look.content;
    let mut found = BTreeSet::new();
    let lifted: BTreeSet<&String> = content.exceptions.iter().flat_map(|row| &row.over).collect();
    let rows = || content.restricts.iter().zip(&regions.restricts).filter(|(row, _)| !dead.contains(&row.spot));
    for (row, region) in rows() {
        let by = rows().find(|(by, wider)| {
            by.spot != row.spot
                && asks_as_much(&by.then, &row.then)
                && !lifted.contains(&by.id)
                && region.is_within(wider)
                // Of two that say the same the first in the file stays.
                && (by.spot < row.spot || !(asks_as_much(&row.then, &by.then) && wider.is_within(region)))
        });
        if let Some((by, _)) = by {
            found.insert(row.spot);
            needless(look, &row.id, row.spot, &by.id);
        }
        if look.is_full(Code::Dominated) {
            break;
        }
    }
    found
}

/// Profiles beside which another is in force that asks for as much.
fn dominated_profiles(look: &mut Look<'_, '_>, regions: &Regions<'_>, lost: &BTreeSet<Spot>) -> BTreeSet<Spot> {
    let content = look.content;
    let replacers = replacers_of(content);
    let none = BTreeSet::new();
    let rows = || content.profiles.iter().zip(&regions.profiles).filter(|(row, _)| !lost.contains(&row.spot));
    let mut found = BTreeSet::new();
    for (row, region) in rows().filter(|(row, _)| row.over.is_empty()) {
        let replacing = |id: &String| replacers.get(id.as_str()).unwrap_or(&none);
        let by = rows().find(|(by, wider)| {
            by.spot != row.spot
                && asks_as_much(&by.then, &row.then)
                && replacing(&by.id).is_subset(replacing(&row.id))
                && region.is_within(wider)
                && (by.spot < row.spot
                    || !(asks_as_much(&row.then, &by.then) && by.over.is_empty() && wider.is_within(region)))
        });
        if let Some((by, _)) = by {
            found.insert(row.spot);
            let what = needless_words(&row.id, &by.id);
            let remedy = format!("add over = [\"{}\"] if it is meant to be looser, else take it out", by.id);
            look.at(Code::Dominated, row.spot, &["when"], what, remedy);
        }
        if look.is_full(Code::Dominated) {
            break;
        }
    }
    found
}

/// Which profiles name a profile in their `over`.
fn replacers_of(content: &Content) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut replacers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &content.profiles {
        for id in &row.over {
            replacers.entry(id.as_str()).or_default().insert(row.id.as_str());
        }
    }
    replacers
}

fn needless(look: &mut Look<'_, '_>, id: &str, spot: Spot, by: &str) {
    let remedy = "take it out, or correct what it was meant to say";
    look.at(Code::Dominated, spot, &["when"], needless_words(id, by), remedy);
}

fn needless_words(id: &str, by: &str) -> String {
    format!("'{id}' changes nothing: '{by}' matches whenever it does and asks for as much or more")
}

/// Whether joining `less` to `more` gives `more`.
fn asks_as_much(more: &Columns, less: &Columns) -> bool {
    more.join(less) == *more
}

/// Two profiles that match the same reports and ask for different things, where nobody said which is meant. A narrower
/// profile that is the stricter one in everything is a refinement, and no surprise.
fn overlaps(look: &mut Look<'_, '_>, regions: &Regions<'_>, skipped: &BTreeSet<Spot>) {
    let content = look.content;
    let replaced = Replaced::of(content);
    let rows: Vec<_> =
        content.profiles.iter().zip(&regions.profiles).filter(|(row, _)| !skipped.contains(&row.spot)).collect();
    for (at, (one, mine)) in rows.iter().enumerate() {
        for (other, theirs) in rows.iter().skip(at + 1) {
            if one.then == other.then || !mine.meets(theirs) || replaced.is_between(&one.id, &other.id) {
                continue;
            }
            let refines = (mine.is_within(theirs) && asks_as_much(&one.then, &other.then))
                || (theirs.is_within(mine) && asks_as_much(&other.then, &one.then));
            if refines {
                continue;
            }
            let (first, second) = if one.spot < other.spot { (one, other) } else { (other, one) };
            overlap(look, first, second);
            if look.is_full(Code::Overlap) {
                return;
            }
        }
    }
}

fn overlap(look: &mut Look<'_, '_>, first: &Profile, second: &Profile) {
    let joined = first.then.join(&second.then);
    let differs = Column::ALL.into_iter().find(|column| first.then.show(*column) != second.then.show(*column));
    let example = differs.map_or_else(String::new, |column| {
        format!(
            ", as {}: '{}' says {}, '{}' says {}, so {}",
            column.as_str(),
            first.id,
            first.then.show(column),
            second.id,
            second.then.show(column),
            joined.show(column)
        )
    });
    let what = format!(
        "'{}' and '{}' match the same reports, and the strictest value of each column counts{example}",
        first.id, second.id
    );
    let remedy = format!(
        "add over = [\"{}\"] if this is the special case (or the other way round), or make their codes differ",
        first.id
    );
    look.at(Code::Overlap, second.spot, &["when"], what, remedy);
}

/// Which profiles replace which, also by way of others.
struct Replaced<'c> {
    over: BTreeMap<&'c str, &'c BTreeSet<String>>,
}

impl<'c> Replaced<'c> {
    fn of(content: &'c Content) -> Self {
        Self { over: content.profiles.iter().map(|row| (row.id.as_str(), &row.over)).collect() }
    }

    fn is_between(&self, one: &str, other: &str) -> bool {
        self.reaches(one, other) || self.reaches(other, one)
    }

    fn reaches(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> = vec![from];
        while let Some(id) = next.pop() {
            for over in self.over.get(id).into_iter().copied().flatten() {
                if over == to {
                    return true;
                }
                if seen.insert(over.as_str()) {
                    next.push(over);
                }
            }
        }
        false
    }
}
