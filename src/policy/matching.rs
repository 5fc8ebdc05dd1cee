//! The values of one report met with the table: which rows hold, and which may.
//!
//! Must stay true: the same answer as asking every condition of every row ([`super::probe`]); a property test holds it.

use super::bits::{Bits, RowNo};
use super::codes::Confidentiality;
use super::contact::is_within;
use super::facts::{Age, Flag};
use super::table::{Group, PREDICATES, RowKind, SymbolNo, Table};
use super::when::{AgeRange, Predicate};
use crate::base::UtcMillis;

/// The values of one report, as numbers of symbols.
#[derive(Clone, Debug)]
pub(super) struct Values {
    of: [Vec<SymbolNo>; PREDICATES],
    /// Predicates of which more may be there than was found.
    lacking: [bool; PREDICATES],
    /// Patterns that were not tried.
    pub(super) untried: Vec<SymbolNo>,
    pub(super) age: Age,
    pub(super) level: Option<Confidentiality>,
    pub(super) critical: Flag,
    /// The last confirmation of the address.
    pub(super) confirmed_at: Option<UtcMillis>,
}

impl Values {
    pub(super) fn none() -> Self {
        Self {
            of: std::array::from_fn(|_| Vec::new()),
            lacking: [false; PREDICATES],
            untried: Vec::new(),
            age: Age::Unknown,
            level: None,
            critical: Flag::Unknown,
            confirmed_at: None,
        }
    }

    pub(super) fn add(&mut self, predicate: Predicate, symbol: SymbolNo) {
        if let Some(values) = self.of.get_mut(predicate as usize) {
            values.push(symbol);
        }
    }

    pub(super) fn lacks(&mut self, predicate: Predicate) {
        if let Some(lacking) = self.lacking.get_mut(predicate as usize) {
            *lacking = true;
        }
    }

    fn lacks_some(&self, predicate: Predicate) -> bool {
        self.lacking.get(predicate as usize).copied().unwrap_or(false)
    }

    /// Sorted, each once: ten thousand equal codes cost one.
    pub(super) fn settle(&mut self) {
        for values in &mut self.of {
            values.sort_unstable();
            values.dedup();
        }
    }
}

/// Which rows hold, and which may.
#[derive(Clone, Debug)]
pub(super) struct Matched {
    pub(super) yes: Bits,
    /// `yes` and those of which something is unknown.
    pub(super) possible: Bits,
}

impl Matched {
    /// The rows that also hold by the conditions under `any`.
    fn with_any(&self, has_any: &Bits, any: &Self) -> Self {
        let mut matched = self.clone();
        matched.yes.narrow(has_any, &any.yes);
        matched.possible.narrow(has_any, &any.possible);
        matched
    }

    fn is_tagged(&self, classify: &Bits) -> bool {
        self.possible.meets(classify)
    }
}

impl Table {
    /// Which rows hold and which may, and whether the report has a tag or may have one.
    pub(super) fn matching(&self, values: &Values, now: UtcMillis) -> (Matched, bool) {
        let (all, none) = (Bits::all(self.rows.len()), Bits::none(self.rows.len()));
        let mut matched = Matched { yes: all.clone(), possible: all };
        let mut any = Matched { yes: none.clone(), possible: none };
        for predicate in self.looked_at.iter().copied() {
            self.narrow(predicate, &mut matched, &mut any, |group, named| {
                self.hits(values, predicate, group, named, now)
            });
        }
        // Classify rows test no tags: what they give is settled now.
        let classify = self.of_kind(RowKind::Classify);
        let given = matched.with_any(&self.has_any, &any);
        let tags = self.tags(&given, classify);
        self.narrow(Predicate::Tag, &mut matched, &mut any, |group, _| self.tag_hits(&tags, group));
        (matched.with_any(&self.has_any, &any), given.is_tagged(classify))
    }

    fn narrow(
        &self,
        predicate: Predicate,
        matched: &mut Matched,
        any: &mut Matched,
        hits: impl Fn(Group, &Bits) -> Matched,
    ) {
        let Some([all_name, any_name]) = self.named.get(predicate as usize) else { return };
        if !all_name.is_empty() {
            let hits = hits(Group::All, all_name);
            matched.yes.narrow(all_name, &hits.yes);
            matched.possible.narrow(all_name, &hits.possible);
        }
        if !any_name.is_empty() {
            let hits = hits(Group::Any, any_name);
            any.yes.insert_all(&hits.yes);
            any.possible.insert_all(&hits.possible);
        }
    }

    /// The tags that a report has, and those that it has or may have.
    fn tags(&self, given: &Matched, classify: &Bits) -> (Vec<SymbolNo>, Vec<SymbolNo>) {
        let of = |rows: &Bits| rows.both(classify).iter().filter_map(|row| self.gives.get(&row).copied()).collect();
        (of(&given.yes), of(&given.possible))
    }

    fn tag_hits(&self, (yes, possible): &(Vec<SymbolNo>, Vec<SymbolNo>), group: Group) -> Matched {
        let none = Bits::none(self.rows.len());
        let mut hits = Matched { yes: none.clone(), possible: none };
        self.touch(yes, Predicate::Tag, group, &mut hits.yes);
        self.touch(possible, Predicate::Tag, group, &mut hits.possible);
        hits
    }

    fn touch(&self, symbols: &[SymbolNo], predicate: Predicate, group: Group, rows: &mut Bits) {
        for uses in symbols.iter().filter_map(|symbol| self.uses.get(*symbol as usize)) {
            for at in uses.few.iter().filter(|at| at.predicate == predicate && at.group == group) {
                rows.insert(at.row);
            }
            for (_, _, many) in uses.many.iter().filter(|(of, at, _)| *of == predicate && *at == group) {
                rows.insert_all(many);
            }
        }
    }

    /// The rows of `named` whose condition holds, and those of which it holds or is unknown.
    fn hits(&self, values: &Values, predicate: Predicate, group: Group, named: &Bits, now: UtcMillis) -> Matched {
        let none = Bits::none(self.rows.len());
        let mut hits = Matched { yes: none.clone(), possible: none };
        match predicate {
            Predicate::Age => {
                for (range, _, row) in self.ages.iter().filter(|(_, at, _)| *at == group) {
                    match holds(*range, values.age) {
                        Flag::Yes => hits.yes.insert(*row),
                        Flag::Unknown => hits.possible.insert(*row),
                        Flag::No => {}
                    }
                }
            }
            Predicate::Confidentiality => {
                for (least, _, row) in self.levels.iter().filter(|(_, at, _)| *at == group) {
                    if values.level.is_some_and(|level| level >= *least) {
                        hits.yes.insert(*row);
                    }
                }
            }
            Predicate::ContactConfirmedWithin | Predicate::ContactNotConfirmedWithin => {
                self.by_confirmation(values, predicate, group, now).for_each(|row| hits.yes.insert(row));
            }
            Predicate::Critical => match values.critical {
                Flag::Yes => hits.yes = named.clone(),
                Flag::Unknown => hits.possible = named.clone(),
                Flag::No => {}
            },
            Predicate::Recipient
            | Predicate::Clinic
            | Predicate::Resource
            | Predicate::Category
            | Predicate::Type
            | Predicate::Code
            | Predicate::Holds
            | Predicate::Set
            | Predicate::Prefix
            | Predicate::Label
            | Predicate::Order
            | Predicate::Reason
            | Predicate::Performer
            | Predicate::Service
            | Predicate::Encounter
            | Predicate::Text
            | Predicate::Consent
            | Predicate::Basis
            | Predicate::Preference
            | Predicate::Contact
            | Predicate::Tag
            | Predicate::Any => {
                let found = values.of.get(predicate as usize).map_or(&[][..], Vec::as_slice);
                self.touch(found, predicate, group, &mut hits.yes);
                if predicate == Predicate::Text {
                    self.touch(&values.untried, predicate, group, &mut hits.possible);
                }
            }
        }
        if values.lacks_some(predicate) {
            hits.possible = named.clone();
        } else {
            hits.possible.insert_all(&hits.yes);
        }
        hits
    }

    /// The rows that hold by when the address was last confirmed.
    fn by_confirmation(
        &self,
        values: &Values,
        predicate: Predicate,
        group: Group,
        now: UtcMillis,
    ) -> impl Iterator<Item = RowNo> {
        let is_known = !values.lacks_some(predicate);
        let is_turned = predicate == Predicate::ContactNotConfirmedWithin;
        let holds = move |seconds: u64| {
            let is_within = values.confirmed_at.is_some_and(|at| is_within(at, seconds, now));
            if is_turned { is_known && !is_within } else { is_within }
        };
        let spans = self.spans.iter().filter(move |(of, _, at, _)| *of == predicate && *at == group);
        spans.filter(move |(_, seconds, ..)| holds(*seconds)).map(|(.., row)| *row)
    }
}

/// Whether an age lies in a range.
#[must_use]
pub(super) fn holds(range: AgeRange, age: Age) -> Flag {
    let Age::Years { least, most } = age else { return Flag::Unknown };
    let inside = |years: u16| (range.from..range.below).contains(&years);
    if inside(least) && inside(most) {
        Flag::Yes
    } else if most < range.from || least >= range.below {
        Flag::No
    } else {
        Flag::Unknown
    }
}
