//! Rows of which something may be unknown: they send a report to a person, if they would ask for more than what is in force.
//!
//! Must stay true: whatever a change makes such a row no longer ask for is found.

use crate::policy::columns::{Column, Columns};
use crate::policy::compare::is_same;
use crate::policy::rules::Content;
use crate::policy::vocabulary::Action;
use crate::policy::when::{Condition, Predicate, When};

/// A row of the old rules of which something may be unknown, and that the other new rows together may ask for altogether.
pub(super) struct Unsure<'r> {
    pub(super) id: String,
    then: &'r Columns,
}

/// All of them.
pub(super) fn rows<'r>(old: &'r Content, new: &'r Content) -> Vec<Unsure<'r>> {
    let now = asking(new);
    let others = all_but_one(&now);
    let may_be_met = |row: &Asking<'r>| match now.iter().position(|other| other.id == row.id) {
        Some(at) => now.get(at).zip(others.get(at)).is_none_or(|(now, most)| most.join(now.then) == *most),
        None => true,
    };
    asking(old)
        .into_iter()
        .filter(|row| may_be_unknown(old, row.when) && may_be_met(row))
        .map(|row| Unsure { id: row.id, then: row.then })
        .collect()
}

impl Unsure<'_> {
    /// Whether `asked` meets something that this row asks for and `before` did not meet. `before`: what the same row asked
    /// for of the same reports; `None`: nothing.
    pub(super) fn is_met_by_more(&self, asked: &Columns, before: Option<&Columns>) -> bool {
        let loosest = Columns::loosest();
        let before = before.unwrap_or(&loosest);
        let joined = before.join(self.then);
        Column::ALL.into_iter().any(|column| !is_same(column, &joined, before) && !is_same(column, asked, before))
    }
}

/// For each row what all others that send ask for together.
fn all_but_one(rows: &[Asking<'_>]) -> Vec<Columns> {
    let asked = |row: &Asking<'_>| if row.then.action == Action::Send { *row.then } else { Columns::loosest() };
    let joins = |rows: &mut dyn Iterator<Item = &Asking<'_>>| -> Vec<Columns> {
        let before = rows.scan(Columns::loosest(), |most, row| {
            let before = *most;
            *most = most.join(&asked(row));
            Some(before)
        });
        before.collect()
    };
    let (before, mut behind) = (joins(&mut rows.iter()), joins(&mut rows.iter().rev()));
    behind.reverse();
    before.iter().zip(&behind).map(|(before, behind)| before.join(behind)).collect()
}

/// A row that asks for columns.
struct Asking<'c> {
    id: String,
    when: &'c When,
    then: &'c Columns,
}

fn asking(content: &Content) -> Vec<Asking<'_>> {
    let profiles = content.profiles.iter().map(|row| Asking { id: row.id.clone(), when: &row.when, then: &row.then });
    let restricts = content.restricts.iter().map(|row| Asking { id: row.id.clone(), when: &row.when, then: &row.then });
    let laws = content.laws.iter().flat_map(|law| {
        law.restricts.iter().map(|row| Asking {
            id: format!("{}/{}", law.header.id, row.id),
            when: &row.when,
            then: &row.then,
        })
    });
    profiles.chain(restricts).chain(laws).collect()
}

/// Whether any row asks that a clinician talks with the patient first.
pub(super) fn asks_for_a_talk(content: &Content) -> bool {
    asking(content).iter().any(|row| !row.then.requires.is_empty())
}

/// Whether something that a condition looks at may be unknown.
pub(super) fn may_be_unknown(content: &Content, when: &When) -> bool {
    when.conditions().any(|(predicate, condition)| match predicate {
        Predicate::Recipient
        | Predicate::Clinic
        | Predicate::Resource
        | Predicate::Category
        | Predicate::Type
        | Predicate::Code => false,
        Predicate::Tag => match condition {
            Condition::Words(tags) => content.classify.iter().any(|row| {
                tags.contains(&row.tag) && !row.when.names(Predicate::Tag) && may_be_unknown(content, &row.when)
            }),
            Condition::Roles(_)
            | Condition::Clinics(_)
            | Condition::Kinds(_)
            | Condition::Codes(_)
            | Condition::Prefixes(_)
            | Condition::Performers(_)
            | Condition::Patterns(_)
            | Condition::AtLeast(_)
            | Condition::Age(_)
            | Condition::Within(_)
            | Condition::Yes => false,
        },
        Predicate::Holds
        | Predicate::Set
        | Predicate::Prefix
        | Predicate::Label
        | Predicate::Confidentiality
        | Predicate::Order
        | Predicate::Reason
        | Predicate::Performer
        | Predicate::Service
        | Predicate::Encounter
        | Predicate::Text
        | Predicate::Age
        | Predicate::Consent
        | Predicate::Basis
        | Predicate::Preference
        | Predicate::Contact
        | Predicate::ContactConfirmedWithin
        | Predicate::ContactNotConfirmedWithin
        | Predicate::Critical
        | Predicate::Any => true,
    })
}
