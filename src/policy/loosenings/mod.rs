//! What a changed rules file could decide looser for some report, without looking at any report.
//!
//! Must stay true: nothing found means that for no report, and at no time, any column is looser than before. It errs on
//! the strict side: what it names need not happen, what it does not name cannot. One person may make a change of which it
//! names nothing, so a property test asks it against thousands of made-up rules and reports.
//!
//! # Why it holds
//!
//! A decision joins the rows in force. It cannot become looser while (1) every restriction that counted still counts and asks
//! for as much; (2) the profiles in force are the same ones asking for as much, or none and the report waits for a person;
//! (3) nothing lifts more restrictions or replaces more profiles; (4) laws, services and zone are the same. What remains is
//! that a row of which something is unknown sends a report to a person *because* it would ask for more: a change that asks
//! for all of that anyway, or that makes the unknown matter no longer, would let the report go. [`unsure`] looks for that.

mod profiles;
mod unsure;
mod width;

use std::collections::BTreeMap;

use serde::Serialize;

use super::columns::{Column, Columns, Talk};
use super::compare::is_same;
use super::needs::Need;
use super::rules::{Classify, Content, Exception, Restrict, RuleSet};
use super::vocabulary::Action;
use super::when::{Condition, Predicate, When};
use unsure::Unsure;
use width::{Width, width};

/// One way in which the new rules could be looser.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Loosening {
    /// What changed, and for which reports that may be looser.
    pub what: String,
    /// The row, or the section where it is none.
    pub row: String,
}

impl std::fmt::Display for Loosening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.row, self.what)
    }
}

/// Every way in which `new` could be looser than `old` for some report. Empty: it cannot.
#[must_use]
pub fn loosenings(old: &RuleSet, new: &RuleSet) -> Vec<Loosening> {
    let (was, is) = (&old.content, &new.content);
    let talk = if unsure::asks_for_a_talk(is) { Talk::Asked } else { Talk::NotAsked };
    let mut search = Search { old: was, new: is, talk, unsure: unsure::rows(was, is), found: Vec::new() };
    search.header(old, new);
    search.services();
    search.laws();
    search.classify();
    search.restricts();
    search.exceptions();
    profiles::compare(&mut search);
    search.found.sort();
    search.found.dedup();
    search.found
}

struct Search<'r> {
    old: &'r Content,
    new: &'r Content,
    /// By any of the new rows: it may be in force beside any other.
    talk: Talk,
    unsure: Vec<Unsure<'r>>,
    found: Vec<Loosening>,
}

impl Search<'_> {
    fn add(&mut self, row: &str, what: impl Into<String>) {
        self.found.push(Loosening { what: what.into(), row: row.to_owned() });
    }

    /// The columns in which `new` is not as strict as `old`, each as `opens 1, now 3`.
    fn looser_columns(&self, old: &Columns, new: &Columns) -> Vec<String> {
        let joined = old.join(new);
        if joined == *new {
            return Vec::new();
        }
        // With a row in force that keeps for a person, nothing counts of when the report would leave by itself.
        let counts = |column: Column| new.action != Action::ManualReview || column.counts_for_a_person(self.talk);
        Column::ALL
            .into_iter()
            .filter(|column| !is_same(*column, &joined, new) && counts(*column))
            .map(|column| format!("{} {}, now {}", column.as_str(), old.show(column), new.show(column)))
            .collect()
    }

    /// How the new condition stands to the old one.
    fn width(&self, old: &When, new: &When) -> Width {
        width((self.old, old), (self.new, new))
    }

    fn header(&mut self, old: &RuleSet, new: &RuleSet) {
        let (was, is) = (&self.old.header, &self.new.header);
        if was.other_default == Action::Block && is.other_default != Action::Block {
            let what =
                "what no profile names for somebody else than the patient was blocked, and now a person may send it";
            self.add("[policy] other_default", what);
        }
        if was.timezone != is.timezone {
            self.add("[policy] timezone", "days, quiet hours and legal waits are counted in another zone");
        }
        if self.old.quiet.is_some() && self.old.quiet != self.new.quiet {
            self.add("[quiet]", "the hours in which messages wait are others");
        }
        if old.needs().contains(&Need::RelatedContacts) && !new.needs().contains(&Need::RelatedContacts) {
            let what = "no row looks at the age any more, so whether a guardian's address was given as the patient's own is \
                        no longer looked at";
            self.add("age", what);
        }
    }

    fn services(&mut self) {
        let changed: Vec<_> = by_id(&self.old.services, |service| &service.name)
            .into_iter()
            .filter(|(name, was)| self.new.services.iter().any(|is| is.name == *name && is != *was))
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in changed {
            self.add(&name, "the service is recognised by other specialties or performers");
        }
    }

    fn laws(&mut self) {
        let (old, new) = (by_id(&self.old.laws, |law| &law.header.id), by_id(&self.new.laws, |law| &law.header.id));
        for (id, was) in &old {
            match new.get(id) {
                None => self.add(id, "the law is taken out: its waits and rows no longer count"),
                Some(is) if is != was => self.add(id, "the law's pack is another one"),
                // Its conditions may name sets that the clinic's files fill.
                Some(is) if was.whens().zip(is.whens()).any(|(was, is)| self.width(was, is) != Width::Same) => {
                    self.add(id, "a code set that the law names has other codes");
                }
                Some(_) => {}
            }
        }
        for (id, law) in new.iter().filter(|(id, _)| !old.contains_key(*id)) {
            if !law.ceilings.is_empty() {
                self.add(id, "the law has a longest wait: what waited for a person may leave when it is over");
            }
            for row in &law.restricts {
                self.asked_anew(&format!("{id}/{}", row.id), &row.then, None);
            }
        }
    }

    fn classify(&mut self) {
        for was in &self.old.classify {
            let covers = |is: &&Classify| {
                is.tag == was.tag && matches!(self.width(&was.when, &is.when), Width::Same | Width::Wider)
            };
            if !self.new.classify.iter().any(|is| covers(&is)) {
                let what = format!("fewer reports get the tag {}", was.tag);
                self.add(&was.id, what);
            }
        }
        let same = |was: &Classify, is: &Classify| was.tag == is.tag && self.width(&was.when, &is.when) == Width::Same;
        let (old, new) = (self.old, self.new);
        let more: Vec<&Classify> =
            new.classify.iter().filter(|is| !old.classify.iter().any(|was| same(was, is))).collect();
        for row in more {
            self.tagged_anew(row);
        }
    }

    /// More reports get a tag: an exception may count for them, and what was unsure may be so no longer.
    fn tagged_anew(&mut self, row: &Classify) {
        let names = |when: &When| {
            [&when.all, &when.any].into_iter().any(|conditions| match conditions.get(&Predicate::Tag) {
                Some(Condition::Words(tags)) => tags.contains(&row.tag),
                Some(_) | None => false,
            })
        };
        for exception in self.new.exceptions.iter().filter(|exception| names(&exception.when)) {
            let what = format!("more reports get the tag {}, for which it lifts restrictions", row.tag);
            self.add(&exception.id, what);
        }
        let (old, new) = (self.old, self.new);
        for restrict in new.restricts.iter().filter(|restrict| names(&restrict.when)) {
            let was = old.restricts.iter().find(|was| was.id == restrict.id);
            if was.is_some_and(|was| unsure::may_be_unknown(old, &was.when)) && restrict.then.action == Action::Send {
                let what =
                    format!("the tag {} is given by more, so that it may be sure where a person looked", row.tag);
                self.add(&row.id, what);
            }
            self.asked_anew(&restrict.id, &restrict.then, None);
        }
    }

    fn restricts(&mut self) {
        let (was, is) = (by_id(&self.old.restricts, |row| &row.id), by_id(&self.new.restricts, |row| &row.id));
        for (id, was) in &was {
            match is.get(id) {
                Some(is) => self.restrict(was, is),
                None => self.add(id, "the restriction is taken out"),
            }
        }
        for (id, is) in is.iter().filter(|(id, _)| !was.contains_key(*id)) {
            self.asked_anew(id, &is.then, None);
        }
    }

    fn restrict(&mut self, was: &Restrict, is: &Restrict) {
        let looser = self.looser_columns(&was.then, &is.then);
        if !looser.is_empty() {
            self.add(&was.id, asks_for_less(&was.then, &is.then, &looser));
        }
        match self.width(&was.when, &is.when) {
            Width::Same => self.asked_anew(&was.id, &is.then, Some(&was.then)),
            Width::Wider => {
                if is.then.action == Action::Send && unsure::may_be_unknown(self.old, &was.when) {
                    let what = "it speaks of more reports, so that it may be sure where a person looked";
                    self.add(&was.id, what);
                }
                self.asked_anew(&was.id, &is.then, None);
            }
            Width::Narrower | Width::Other => {
                self.add(&was.id, "it speaks of fewer or other reports, or a set that it names has fewer codes");
            }
        }
    }

    fn exceptions(&mut self) {
        let was = by_id(&self.old.exceptions, |row| &row.id);
        let (old, new) = (self.old, self.new);
        for is in &new.exceptions {
            match was.get(is.id.as_str()) {
                None => self.add(&is.id, format!("an exception is added: {} no longer count for some", ids(is))),
                Some(was) => self.exception(was, is),
            }
        }
        // What is no longer lifted asks again.
        for was in &old.exceptions {
            let still = new.exceptions.iter().find(|is| is.id == was.id);
            let is_less = still.is_none_or(|is| {
                (&is.over, is.from, is.until) != (&was.over, was.from, was.until)
                    || self.width(&was.when, &is.when) != Width::Same
            });
            for id in was.over.iter().filter(|_| is_less) {
                if let Some(lifted) = new.restricts.iter().find(|row| row.id == *id) {
                    self.asked_anew(id, &lifted.then, None);
                }
            }
        }
    }

    fn exception(&mut self, was: &Exception, is: &Exception) {
        if !is.over.is_subset(&was.over) {
            self.add(&is.id, "it lifts more restrictions");
        }
        if is.until > was.until || is.from < was.from {
            self.add(&is.id, "it holds for longer");
        }
        if !matches!(self.width(&was.when, &is.when), Width::Same | Width::Narrower) {
            self.add(&is.id, "it speaks of more or other reports");
        }
    }

    /// A row asks for more than `before`, or of more reports: what a person looked at for being unsure may now be sure.
    fn asked_anew(&mut self, id: &str, asked: &Columns, before: Option<&Columns>) {
        // With it in force nothing is sent.
        if asked.action > Action::Send || before == Some(asked) {
            return;
        }
        let met: Vec<_> = self.unsure.iter().filter(|row| row.is_met_by_more(asked, before)).collect();
        let what = |row: &Unsure<'_>| {
            format!("a report of which '{}' is not sure went to a person, and '{id}' now asks for as much", row.id)
        };
        let found: Vec<_> = met.into_iter().map(|row| Loosening { what: what(row), row: id.to_owned() }).collect();
        self.found.extend(found);
    }
}

fn ids(exception: &Exception) -> String {
    exception.over.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn by_id<R>(rows: &[R], id: fn(&R) -> &String) -> BTreeMap<&str, &R> {
    rows.iter().map(|row| (id(row).as_str(), row)).collect()
}

/// A row that asks for less in these columns; where it now keeps for a person, what that person gives is meant.
fn asks_for_less(was: &Columns, is: &Columns, looser: &[String]) -> String {
    let what = format!("it asks for less: {}", looser.join("; "));
    if was.action < Action::ManualReview && is.action == Action::ManualReview {
        return format!(
            "{what}; that is what a person who releases it gives, so write the old values beside the action"
        );
    }
    what
}
