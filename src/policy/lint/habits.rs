//! Habits that go wrong: tags that nobody uses, evidence that looks too shallow, rows that tell the result, laws that are not
//! there yet.

use std::collections::{BTreeMap, BTreeSet};

use super::regions::tag_condition;
use super::{Look, Regions, Said};
use crate::policy::columns::{Column, Said as SaidColumns};
use crate::policy::errors::Code;
use crate::policy::facts::Word;
use crate::policy::laws::Standing;
use crate::policy::rules::{Restrict, Spot};
use crate::policy::vocabulary::{Action, Challenge};
use crate::policy::when::{Condition, Predicate, When};

/// Columns by which a patient, or who sees the phone, can tell that this report is not like others.
const VISIBLE: [Column; 12] = [
    Column::Hold,
    Column::Release,
    Column::Requires,
    Column::Verify,
    Column::CodeVia,
    Column::CodeElse,
    Column::Wording,
    Column::Opens,
    Column::Expiry,
    Column::Channel,
    Column::Download,
    Column::HealthLink,
];

/// Conditions that look at what a report holds or is marked with.
const EVIDENCE: [Predicate; 10] = [
    Predicate::Code,
    Predicate::Type,
    Predicate::Holds,
    Predicate::Set,
    Predicate::Prefix,
    Predicate::Label,
    Predicate::Confidentiality,
    Predicate::Order,
    Predicate::Reason,
    Predicate::Text,
];

pub(super) fn look(look: &mut Look<'_, '_>, regions: &Regions<'_>) {
    let tested = tested_tags(look);
    tags(look, &tested);
    own_code_only(look);
    category_alone(look);
    polarity(look);
    weak_challenge(look, regions, &tested);
    exceptions(look);
    laws(look);
}

/// Tags that restrictions test.
fn tested_tags(look: &Look<'_, '_>) -> BTreeSet<Word> {
    look.content.restricts.iter().flat_map(|row| tags_of(&row.when)).cloned().collect()
}

fn tags_of(when: &When) -> impl Iterator<Item = &Word> {
    let conditions = when.conditions().filter(|(predicate, _)| *predicate == Predicate::Tag);
    conditions
        .filter_map(|(_, condition)| if let Condition::Words(tags) = condition { Some(tags) } else { None })
        .flatten()
}

fn tags(look: &mut Look<'_, '_>, tested: &BTreeSet<Word>) {
    for row in look.content.classify.iter().filter(|row| !tested.contains(&row.tag)) {
        let what = format!("reports get the tag '{}', and no [[restrict]] row asks anything of them", row.tag);
        let remedy = format!("add \"{}\" to the tags of a [[restrict]] row, or take this row out", row.tag);
        look.at(Code::UntaggedTag, row.spot, &["tag"], what, remedy);
    }
}

/// Of a tag all rows count together: one that looks inside makes up for another that does not.
fn own_code_only(look: &mut Look<'_, '_>) {
    let mut by_tag: BTreeMap<&Word, Vec<_>> = BTreeMap::new();
    for row in &look.content.classify {
        by_tag.entry(&row.tag).or_default().push(row);
    }
    let is_shallow = |when: &When| {
        when.names(Predicate::Code)
            && !EVIDENCE.into_iter().any(|predicate| predicate != Predicate::Code && when.names(predicate))
    };
    for rows in by_tag.values().filter(|rows| rows.iter().all(|row| is_shallow(&row.when))) {
        for row in rows {
            let what = format!("'{}' looks at the report's own code alone, and misses a test inside a panel", row.tag);
            let remedy = "write 'holds' instead of 'code', or name a set: both look at members and order too";
            let path: &[&str] = if row.when.any.is_empty() { &["when", "code"] } else { &["any", "code"] };
            look.at(Code::OwnCodeOnly, row.spot, path, what, remedy);
        }
    }
}

/// Where a restriction looks at what reports hold, the clinic has thought of it.
fn category_alone(look: &mut Look<'_, '_>) {
    let content = look.content;
    let looks_inside = |when: &When| when.names(Predicate::Tag) || EVIDENCE.into_iter().any(|one| when.names(one));
    if content.restricts.iter().any(|row| looks_inside(&row.when)) {
        return;
    }
    for row in content.profiles.iter().filter(|row| row.then.action == Action::Send) {
        if row.when.names(Predicate::Category) && !EVIDENCE.into_iter().any(|one| row.when.names(one)) {
            let what =
                format!("'{}' sends by the category alone, and nothing looks at what these reports hold", row.id);
            let remedy =
                "name the codes that may leave, or add [[classify]] and [[restrict]] rows for what is sensitive";
            look.at(Code::CategoryAlone, row.spot, &["when", "category"], what, remedy);
        }
    }
}

/// Only the clinic's rows: a law may ask for what it likes.
fn polarity(look: &mut Look<'_, '_>) {
    let content = look.content;
    let by_result: BTreeSet<&Word> =
        content.classify.iter().filter(|row| row.when.names(Predicate::Critical)).map(|row| &row.tag).collect();
    let profiles = content.profiles.iter().map(|row| (&row.id, row.spot, &row.when, row.said));
    let restricts = content.restricts.iter().map(|row| (&row.id, row.spot, &row.when, row.said));
    for (id, spot, when, said) in profiles.chain(restricts) {
        let Some(column) = VISIBLE.into_iter().find(|column| said.has(*column)) else { continue };
        let path: &[&str] = if when.all.contains_key(&Predicate::Critical) {
            &["when", "critical"]
        } else if when.any.contains_key(&Predicate::Critical) {
            &["when", "any", "critical"]
        } else if tags_of(when).any(|tag| by_result.contains(tag)) {
            &["when"]
        } else {
            continue;
        };
        leak(look, id, spot, path, column, said);
    }
}

fn leak(look: &mut Look<'_, '_>, id: &str, spot: Spot, path: &[&str], column: Column, said: SaidColumns) {
    debug_assert!(said.has(column));
    let what =
        format!("'{id}' changes '{}' by how a result came out, so the change itself tells the result", column.as_str());
    let remedy = "decide by the test that was made, as by its codes; to have somebody called, use notify";
    look.at(Code::PolarityLeak, spot, path, what, remedy);
}

/// A profile that asks a question and nothing else, where reports under a tag that somebody restricts pass with no more.
fn weak_challenge(look: &mut Look<'_, '_>, regions: &Regions<'_>, tested: &BTreeSet<Word>) {
    let content = look.content;
    let given: BTreeSet<&Word> =
        content.classify.iter().map(|row| &row.tag).filter(|tag| tested.contains(*tag)).collect();
    let is_strong = |row: &Restrict| row.then.action != Action::Send || row.then.challenges.contains(Challenge::Code);
    for (profile, region) in content.profiles.iter().zip(&regions.profiles) {
        let asks_only = profile.then.challenges.contains(Challenge::Question)
            && !profile.then.challenges.contains(Challenge::Code)
            && profile.then.action == Action::Send;
        if !asks_only {
            continue;
        }
        let weak = given.iter().find(|tag| {
            let condition = tag_condition(tag);
            let tagged = region.with_tag(&condition);
            let restricts = || content.restricts.iter().zip(&regions.restricts);
            let is_sensitive =
                restricts().any(|(row, other)| tags_of(&row.when).any(|one| one == **tag) && !tagged.is_apart(other));
            let can_be = content
                .classify
                .iter()
                .zip(&regions.classify)
                .any(|(row, evidence)| row.tag == ***tag && !region.is_apart(evidence));
            is_sensitive && can_be && !restricts().any(|(row, other)| is_strong(row) && tagged.is_within(other))
        });
        if let Some(tag) = weak {
            let what = format!(
                "'{}' asks a question alone, which relatives can answer, also of reports with the tag '{tag}'",
                profile.id
            );
            let remedy = "add \"code\" to verify with code_via = \"other\", here or in a [[restrict]] row for the tag";
            look.at(Code::WeakChallenge, profile.spot, &["then", "verify"], what, remedy);
        }
    }
}

fn exceptions(look: &mut Look<'_, '_>) {
    let now = look.now;
    for row in look.content.exceptions.iter().filter(|row| row.until <= now) {
        let what = format!("the exception '{}' is over and changes nothing any more", row.id);
        look.at(Code::ExceptionOver, row.spot, &["until"], what, "take it out, or have two people agree on a new day");
    }
}

fn laws(look: &mut Look<'_, '_>) {
    let (content, day) = (look.content, look.day);
    for law in &content.laws {
        let header = &law.header;
        if header.standing == Standing::NotVerified && look.has_room(Code::UnverifiedLaw) {
            let what = format!("the law pack '{}' is a skeleton that nobody checked against the law", header.id);
            let remedy = "have counsel complete it before you rely on it".to_owned();
            look.found.push(look.places.law(&header.id, Said { code: Code::UnverifiedLaw, what, remedy }));
        }
        let (what, remedy) = match (header.in_force_from, header.in_force_until) {
            (Some(from), _) if day < from => (
                format!("the law pack '{}' counts from {from} on, and these rules are in force before", header.id),
                "keep it if that day is near; until then it holds no report",
            ),
            (_, Some(until)) if until < day => (
                format!("the law pack '{}' counted until {until} and holds no report any more", header.id),
                "take it out, or name the pack that came after it",
            ),
            (Some(_) | None, Some(_) | None) => continue,
        };
        if look.has_room(Code::LawNotYet) {
            let said = Said { code: Code::LawNotYet, what, remedy: remedy.to_owned() };
            look.found.push(look.places.law(&header.id, said));
        }
    }
}
