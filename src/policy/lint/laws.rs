//! Rows that the rows of a law leave nothing to do.
//!
//! Must stay true: only a law that counts for whatever report may still come is held against a row of the clinic's. What a
//! law asks nobody lifts, and it is asked of every report that meets it: a row within it that asks for no more does nothing.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};

use super::regions::{Lexicon, Region};
use super::{Look, Regions};
use crate::policy::columns::Columns;
use crate::policy::errors::Code;
use crate::policy::laws::{Header, Standing};
use crate::policy::rules::{Content, Spot};
use crate::policy::vocabulary::Action;

/// A law that began so long ago counts for every report that comes: it is the reports' own day that decides.
const SETTLED_DAYS: u64 = 365;

/// A row of a law that is in force and stays so.
pub(super) struct LawRow<'c> {
    /// `us-ca/us-ca-minor-from-12`.
    pub(super) name: String,
    pub(super) then: &'c Columns,
    pub(super) region: Region<'c>,
}

impl LawRow<'_> {
    /// Whether it asks for all that `less` asks for, of all reports of `region`.
    pub(super) fn covers(&self, region: &Region<'_>, less: &Columns) -> bool {
        self.then.join(less) == *self.then && region.is_within(&self.region)
    }
}

pub(super) fn rows<'c>(content: &'c Content, lexicon: &mut Lexicon<'c>, day: NaiveDate) -> Vec<LawRow<'c>> {
    let settled = content.laws.iter().filter(|law| is_settled(&law.header, day));
    let rows = settled.flat_map(|law| law.restricts.iter().map(move |row| (&law.header.id, row)));
    rows.map(|(law, row)| LawRow {
        name: format!("{law}/{}", row.id),
        then: &row.then,
        region: lexicon.region(&row.when),
    })
    .collect()
}

/// A skeleton is about to be completed, and a law with a last day will no longer do what the row does.
fn is_settled(law: &Header, day: NaiveDate) -> bool {
    let since = |from: NaiveDate| from.checked_add_days(Days::new(SETTLED_DAYS)).is_some_and(|settled| settled <= day);
    law.standing == Standing::Verified && law.in_force_until.is_none() && law.in_force_from.is_none_or(since)
}

/// Rows whose reports a law never lets leave, and restrictions that ask for no more than a law does. Gives both.
pub(super) fn look(look: &mut Look<'_, '_>, regions: &Regions<'_>, dead: &BTreeSet<Spot>) -> BTreeSet<Spot> {
    let content = look.content;
    let profiles = content.profiles.iter().map(|row| (&row.id, row.spot, None)).zip(&regions.profiles);
    let restricts = content.restricts.iter().map(|row| (&row.id, row.spot, Some(&row.then))).zip(&regions.restricts);
    let exceptions = content.exceptions.iter().map(|row| (&row.id, row.spot, None)).zip(&regions.exceptions);
    let mut found = BTreeSet::new();
    for ((id, spot, asked), region) in profiles.chain(restricts).chain(exceptions) {
        if dead.contains(&spot) {
            continue;
        }
        let forbids = |law: &&LawRow<'_>| law.then.action == Action::Block && region.is_within(&law.region);
        if let Some(law) = regions.laws.iter().find(|law| asked.is_some_and(|asked| law.covers(region, asked))) {
            let what = format!("'{id}' changes nothing: the law's row '{}' asks for as much of all these", law.name);
            let remedy = "take it out, or say in it what the clinic asks beyond the law";
            look.at(Code::Dominated, spot, &["when"], what, remedy);
            found.insert(spot);
        } else if let Some(law) = regions.laws.iter().find(forbids) {
            let what = format!("'{id}' never counts: the law's row '{}' forbids all that it speaks of", law.name);
            let remedy = "take it out, or correct the condition that brings it under that law";
            look.at(Code::Unreachable, spot, &["when"], what, remedy);
            found.insert(spot);
        }
    }
    found
}
