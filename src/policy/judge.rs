//! The answer without its reasons: which rows are in force, and what they join to.
//!
//! Must stay true: total; the order of rows and facts never matters; no match means review, for others than the patient
//! block; an unknown fact on a row that would tighten a send makes it a review; what a person releases leaves by no channel
//! that a row forbids, also one that only may apply.

use super::bits::{Bits, RowNo};
use super::columns::{Columns, Grouping};
use super::facts::{Facts, RecipientRole};
use super::matching::{Matched, Values};
use super::ready::values_of;
use super::rules::{Content, RuleSet};
use super::table::{RowKind, Table};
use super::vocabulary::Action;
use crate::base::UtcMillis;

/// Why the answer is what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Send,
    /// No profile matches.
    NoRule,
    /// A row says `manual_review`.
    RuleAsks,
    /// No channel is allowed by every row that applies or may.
    NoCommonChannel,
    /// Something is unknown that this row depends on.
    Unknown(RowNo),
    /// A row says `block`.
    Block,
    /// No profile matches, and this recipient gets nothing unless one does.
    BlockedByDefault,
}

/// The joined answer and the rows behind it.
#[derive(Clone, Debug)]
pub struct Judged {
    pub verdict: Verdict,
    pub columns: Columns,
    pub(super) matched: Matched,
    /// Profiles, restrictions and laws that count.
    pub(super) in_force: Bits,
    /// Rows of which something is unknown.
    pub(super) may_apply: Bits,
    /// Profiles that another replaces, restrictions that an exception lifts.
    pub(super) set_aside: Bits,
    /// Exceptions that match and are in their time.
    pub(super) exceptions: Bits,
}

impl RuleSet {
    /// Decides about facts that are ready, without saying why.
    #[must_use]
    pub fn judge(&self, ready: &Ready, now: UtcMillis) -> Judged {
        judge(&self.content, &self.table, ready, now)
    }

    /// Facts as this rule set looks them up: valid for it alone.
    #[must_use]
    pub fn ready(&self, facts: &Facts) -> Ready {
        Ready { values: values_of(facts, &self.content, &self.table), recipient: facts.recipient, issued: facts.issued }
    }
}

/// Facts ready to be judged.
#[derive(Clone, Debug)]
pub struct Ready {
    values: Values,
    recipient: RecipientRole,
    issued: Option<UtcMillis>,
}

pub(super) fn judge(content: &Content, table: &Table, ready: &Ready, now: UtcMillis) -> Judged {
    let (matched, is_tagged) = table.matching(&ready.values, now);
    let exceptions = exceptions_in_time(content, table, &matched, now);
    let mut set_aside = Bits::none(table.rows.len());
    let profiles = table.of_kind(RowKind::Profile);
    for row in matched.yes.both(profiles).iter().chain(exceptions.iter()) {
        for replaced in table.replaces.get(&row).into_iter().flatten() {
            set_aside.insert(*replaced);
        }
    }
    let asking = table.asking(counted_from(ready.issued, now));
    let in_force = matched.yes.both(&asking).without(&set_aside);
    let has_profile = in_force.meets(profiles);
    let mut columns = join_rows(content, table, &in_force);
    let mut verdict = verdict_of(&columns, has_profile, ready.recipient, content.header.other_default);
    let open = matched.possible.both(&asking).without(&matched.yes).without(&set_aside);
    for row in open.iter() {
        let (joined, tightens) = with_unknown(content, table, row, &columns);
        let may_apply = matches!(verdict, Verdict::NoRule) && table.rows.get(usize::from(row)).is_some_and(is_profile);
        match verdict {
            Verdict::Send if tightens => verdict = Verdict::Unknown(row),
            Verdict::NoRule if may_apply => verdict = Verdict::Unknown(row),
            Verdict::Send
            | Verdict::NoRule
            | Verdict::RuleAsks
            | Verdict::NoCommonChannel
            | Verdict::Unknown(_)
            | Verdict::Block
            | Verdict::BlockedByDefault => {}
        }
        // What a person releases all the same leaves under the terms of every row that may apply.
        columns = Columns { action: columns.action, ..joined };
    }
    if columns.channels.is_empty() {
        verdict = without_channel(verdict);
    }
    if is_tagged {
        columns.group = Grouping::Alone;
    }
    Judged { verdict, columns, matched, in_force, may_apply: open, set_aside, exceptions }
}

/// From when every wait counts: the report's own time, or the decision's where it gives none or a later one.
pub(super) fn counted_from(issued: Option<UtcMillis>, now: UtcMillis) -> UtcMillis {
    issued.unwrap_or(now).min(now)
}

fn is_profile(row: &super::table::Row) -> bool {
    row.kind == RowKind::Profile
}

fn exceptions_in_time(content: &Content, table: &Table, matched: &Matched, now: UtcMillis) -> Bits {
    let mut found = Bits::none(table.rows.len());
    for row in matched.yes.both(table.of_kind(RowKind::Exception)).iter() {
        let at = table.rows.get(usize::from(row)).and_then(|row| content.exceptions.get(row.at));
        if at.is_some_and(|one| one.from.is_none_or(|from| from <= now) && now < one.until) {
            found.insert(row);
        }
    }
    found
}

/// Without a profile the terms are those of a person's release.
fn join_rows(content: &Content, table: &Table, in_force: &Bits) -> Columns {
    let joined = in_force
        .iter()
        .filter_map(|row| columns_of(content, table, row))
        .fold(None::<Columns>, |joined, row| Some(joined.map_or(*row, |joined| joined.join(row))));
    match joined {
        Some(joined) if !in_force.meets(table.of_kind(RowKind::Profile)) => joined.join(&Columns::profile()),
        Some(joined) => joined,
        None => Columns::profile(),
    }
}

/// What a row asks for; a law's floor or ceiling asks for no column.
pub(super) fn columns_of<'c>(content: &'c Content, table: &Table, row: RowNo) -> Option<&'c Columns> {
    let row = table.rows.get(usize::from(row))?;
    match row.kind {
        RowKind::Profile => content.profiles.get(row.at).map(|profile| &profile.then),
        RowKind::Restrict => content.restricts.get(row.at).map(|restrict| &restrict.then),
        RowKind::LawRestrict => content.laws.get(row.law)?.restricts.get(row.at).map(|restrict| &restrict.then),
        RowKind::Classify | RowKind::Exception | RowKind::Floor | RowKind::Ceiling => None,
    }
}

fn verdict_of(columns: &Columns, has_profile: bool, recipient: RecipientRole, other_default: Action) -> Verdict {
    let default = match (has_profile, recipient) {
        (true, _) => None,
        (false, RecipientRole::Patient) => Some(Verdict::NoRule),
        (
            false,
            RecipientRole::Proxy | RecipientRole::OrderingProvider | RecipientRole::CopyTo | RecipientRole::ThirdParty,
        ) => match other_default {
            Action::Block => Some(Verdict::BlockedByDefault),
            Action::Send | Action::ManualReview => Some(Verdict::NoRule),
        },
    };
    match (columns.action, default) {
        (Action::Block, _) => Verdict::Block,
        (Action::Send | Action::ManualReview, Some(default)) => default,
        (Action::ManualReview, None) => Verdict::RuleAsks,
        (Action::Send, None) => Verdict::Send,
    }
}

/// Nobody can release what may leave by no channel, so that comes before every other reason to look.
const fn without_channel(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Send | Verdict::NoRule | Verdict::RuleAsks | Verdict::NoCommonChannel | Verdict::Unknown(_) => {
            Verdict::NoCommonChannel
        }
        Verdict::Block | Verdict::BlockedByDefault => verdict,
    }
}

/// The answer if a row of which something is unknown applied, and whether that would be a stricter one.
fn with_unknown(content: &Content, table: &Table, row: RowNo, columns: &Columns) -> (Columns, bool) {
    if let Some(asked) = columns_of(content, table, row) {
        let joined = columns.join(asked);
        return (joined, joined != *columns);
    }
    // A floor may delay; a ceiling never does.
    let is_floor = table.rows.get(usize::from(row)).is_some_and(|row| row.kind == RowKind::Floor);
    (*columns, is_floor)
}
