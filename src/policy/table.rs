//! The rules as a table: which rows a value touches, found without asking each row.
//!
//! Job: give every value that the rules name a number, and every number the rows that name it. A report is decided by
//! looking up its own values and meeting bit sets, so that it costs what the report holds, not what the rules say.
//! Must stay true: the same answer as asking every condition of every row ([`super::probe`]); a property test holds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::bits::{Bits, RowNo};
use super::facts::{Age, Coding, Flag, PatternId, RecipientRole, Word};
use super::rules::Content;
use super::text::Pattern;
use super::when::{AgeRange, Condition, Predicate, When};
use crate::base::{ClinicId, ResourceType};
use crate::policy::codes::Confidentiality;

/// Predicates as an index.
const PREDICATES: usize = Predicate::ALL.len();

/// A value that some row names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Symbol {
    Role(RecipientRole),
    Clinic(ClinicId),
    Kind(ResourceType),
    Code(Coding),
    Prefix(Coding),
    Word(Word),
    Performer(String),
    Pattern(PatternId),
}

pub(super) type SymbolNo = u32;

/// Whether a condition stands under `any`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Group {
    All,
    Any,
}

/// One row that names a symbol.
#[derive(Clone, Copy, Debug)]
struct Use {
    predicate: Predicate,
    group: Group,
    row: RowNo,
}

/// What a row is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RowKind {
    Classify,
    Profile,
    Restrict,
    Exception,
    LawRestrict,
    Floor,
    Ceiling,
}

/// A row of the table, by its place in [`Content`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) kind: RowKind,
    /// The law, for a law's rows.
    pub(super) law: usize,
    pub(super) at: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    symbols: HashMap<Symbol, SymbolNo>,
    uses: Vec<Vec<Use>>,
    /// Rows that name a predicate, under `all` and under `any`.
    named: [[Bits; 2]; PREDICATES],
    has_any: Bits,
    pub(super) kinds: BTreeMap<RowKind, Bits>,
    /// Conditions that are asked rather than looked up.
    ages: Vec<(AgeRange, Group, RowNo)>,
    levels: Vec<(Confidentiality, Group, RowNo)>,
    pub(super) prefixes: Vec<(SymbolNo, Coding)>,
    patterns: BTreeMap<PatternId, SymbolNo>,
    /// Which rows a row replaces: profiles and exceptions by `over`.
    pub(super) replaces: BTreeMap<RowNo, Vec<RowNo>>,
    /// The tag that a classify row gives.
    pub(super) gives: BTreeMap<RowNo, SymbolNo>,
}

/// The values of one report, as numbers of symbols.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) of: [Vec<SymbolNo>; PREDICATES],
    /// Predicates of which more may be there than was found.
    pub(super) lacking: [bool; PREDICATES],
    /// Patterns that were not tried.
    pub(super) untried: Vec<SymbolNo>,
    /// Tags that something unknown may add.
    pub(super) maybe_tags: Vec<SymbolNo>,
    pub(super) age: Age,
    pub(super) level: Option<Confidentiality>,
    pub(super) critical: Flag,
}

impl Values {
    pub(super) fn none() -> Self {
        Self {
            of: std::array::from_fn(|_| Vec::new()),
            lacking: [false; PREDICATES],
            untried: Vec::new(),
            maybe_tags: Vec::new(),
            age: Age::Unknown,
            level: None,
            critical: Flag::Unknown,
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

    /// Sorted, each once: ten thousand equal codes cost one.
    pub(super) fn settle(&mut self) {
        for values in &mut self.of {
            values.sort_unstable();
            values.dedup();
        }
    }
}

/// Which rows hold, and which may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matched {
    pub(super) yes: Bits,
    /// `yes` and those of which something is unknown.
    pub(super) possible: Bits,
}

impl Table {
    /// Numbers every row and value. Expects at most [`super::bits::ROWS_MAX`] rows.
    pub(super) fn compile(content: &Content) -> Self {
        let rows = rows_of(content);
        let count = rows.len();
        let none = Bits::none(count);
        let mut table = Self {
            rows,
            symbols: HashMap::new(),
            uses: Vec::new(),
            named: [[none; 2]; PREDICATES],
            has_any: none,
            kinds: BTreeMap::new(),
            ages: Vec::new(),
            levels: Vec::new(),
            prefixes: Vec::new(),
            patterns: BTreeMap::new(),
            replaces: BTreeMap::new(),
            gives: BTreeMap::new(),
        };
        for (no, row) in (0..).zip(table.rows.clone()) {
            table.kinds.entry(row.kind).or_insert(none).insert(no);
            if let Some(when) = when_of(content, row) {
                table.add_conditions(content, no, when);
            }
        }
        table.link(content);
        table
    }

    fn add_conditions(&mut self, content: &Content, no: RowNo, when: &When) {
        if !when.any.is_empty() {
            self.has_any.insert(no);
        }
        for (group, conditions) in [(Group::All, &when.all), (Group::Any, &when.any)] {
            for (predicate, condition) in conditions {
                if let Some(named) =
                    self.named.get_mut(*predicate as usize).and_then(|named| named.get_mut(group as usize))
                {
                    named.insert(no);
                }
                self.add_condition(content, no, group, *predicate, condition);
            }
        }
    }

    fn add_condition(
        &mut self,
        content: &Content,
        row: RowNo,
        group: Group,
        predicate: Predicate,
        condition: &Condition,
    ) {
        let at = Use { predicate, group, row };
        match condition {
            Condition::Roles(roles) => roles.iter().for_each(|role| self.add_use(Symbol::Role(*role), at)),
            Condition::Clinics(clinics) => clinics.iter().for_each(|id| self.add_use(Symbol::Clinic(id.clone()), at)),
            Condition::Kinds(kinds) => kinds.iter().for_each(|kind| self.add_use(Symbol::Kind(*kind), at)),
            Condition::Codes(codes) => codes.iter().for_each(|code| self.add_use(Symbol::Code(code.clone()), at)),
            Condition::Prefixes(prefixes) => {
                for prefix in prefixes {
                    let symbol = self.number(Symbol::Prefix(prefix.clone()));
                    if !self.prefixes.iter().any(|(known, _)| *known == symbol) {
                        self.prefixes.push((symbol, prefix.clone()));
                    }
                    self.add_use(Symbol::Prefix(prefix.clone()), at);
                }
            }
            Condition::Words(words) if predicate == Predicate::Set => {
                let codes: BTreeSet<&Coding> =
                    words.iter().filter_map(|name| content.sets.get(name)).flatten().collect();
                codes.into_iter().for_each(|code| self.add_use(Symbol::Code(code.clone()), at));
            }
            Condition::Words(words) => words.iter().for_each(|word| self.add_use(Symbol::Word(word.clone()), at)),
            Condition::Performers(performers) => {
                performers.iter().for_each(|one| self.add_use(Symbol::Performer(one.clone()), at));
            }
            Condition::Patterns(patterns) => {
                for id in patterns.iter().map(Pattern::id) {
                    let symbol = self.number(Symbol::Pattern(id));
                    self.patterns.insert(id, symbol);
                    self.add_use(Symbol::Pattern(id), at);
                }
            }
            Condition::AtLeast(level) => self.levels.push((*level, group, row)),
            Condition::Age(range) => self.ages.push((*range, group, row)),
            // The row is found by its name among the rows that name the predicate.
            Condition::Yes => {}
        }
    }

    fn add_use(&mut self, symbol: Symbol, at: Use) {
        let no = self.number(symbol);
        if let Some(uses) = self.uses.get_mut(no as usize) {
            uses.push(at);
        }
    }

    fn number(&mut self, symbol: Symbol) -> SymbolNo {
        let next = SymbolNo::try_from(self.uses.len()).unwrap_or(SymbolNo::MAX);
        let no = *self.symbols.entry(symbol).or_insert(next);
        if no == next {
            self.uses.push(Vec::new());
        }
        no
    }

    fn link(&mut self, content: &Content) {
        let numbers = |kind: RowKind| -> BTreeMap<&str, RowNo> {
            (0..)
                .zip(&self.rows)
                .filter(|(_, row)| row.kind == kind)
                .filter_map(|(no, row)| Some((id_of(content, *row)?, no)))
                .collect()
        };
        let (profiles, restricts) = (numbers(RowKind::Profile), numbers(RowKind::Restrict));
        let mut replaces = BTreeMap::new();
        let mut gives = Vec::new();
        for (no, row) in (0..).zip(&self.rows) {
            let over = match row.kind {
                RowKind::Profile => content.profiles.get(row.at).map(|profile| (&profile.over, &profiles)),
                RowKind::Exception => content.exceptions.get(row.at).map(|exception| (&exception.over, &restricts)),
                RowKind::Classify => {
                    gives.extend(content.classify.get(row.at).map(|classify| (no, classify.tag.clone())));
                    None
                }
                RowKind::Restrict | RowKind::LawRestrict | RowKind::Floor | RowKind::Ceiling => None,
            };
            if let Some((over, by_id)) = over
                && !over.is_empty()
            {
                replaces.insert(no, over.iter().filter_map(|id| by_id.get(id.as_str()).copied()).collect());
            }
        }
        self.replaces = replaces;
        for (no, tag) in gives {
            let symbol = self.number(Symbol::Word(tag));
            self.gives.insert(no, symbol);
        }
    }

    pub(super) fn symbol(&self, symbol: &Symbol) -> Option<SymbolNo> {
        self.symbols.get(symbol).copied()
    }

    /// The rows of one kind.
    pub(super) fn of_kind(&self, kind: RowKind) -> Bits {
        self.kinds.get(&kind).copied().unwrap_or_else(|| Bits::none(self.rows.len()))
    }

    /// Which rows hold and which may; gives `values` the tags that the classify rows add.
    pub(super) fn matching(&self, values: &mut Values) -> Matched {
        let all = Bits::all(self.rows.len());
        let mut matched = Matched { yes: all, possible: all };
        let none = Bits::none(self.rows.len());
        let mut any = Matched { yes: none, possible: none };
        for predicate in Predicate::ALL {
            if predicate != Predicate::Tag {
                self.narrow(values, predicate, &mut matched, &mut any);
            }
        }
        self.give_tags(values, &matched, &any);
        self.narrow(values, Predicate::Tag, &mut matched, &mut any);
        matched.yes.remove_all(&self.has_any.without(&any.yes));
        matched.possible.remove_all(&self.has_any.without(&any.possible));
        matched
    }

    fn narrow(&self, values: &Values, predicate: Predicate, matched: &mut Matched, any: &mut Matched) {
        let Some([all_name, any_name]) = self.named.get(predicate as usize) else { return };
        if !all_name.is_empty() {
            let (yes, unknown) = self.hits(values, predicate, Group::All, all_name);
            let misses = all_name.without(&yes);
            matched.yes.remove_all(&misses);
            matched.possible.remove_all(&misses.without(&unknown));
        }
        if !any_name.is_empty() {
            let (yes, unknown) = self.hits(values, predicate, Group::Any, any_name);
            any.yes.insert_all(&yes);
            any.possible.insert_all(&yes);
            any.possible.insert_all(&unknown);
        }
    }

    fn give_tags(&self, values: &mut Values, matched: &Matched, any: &Matched) {
        let classify = self.of_kind(RowKind::Classify);
        let yes = matched.yes.both(&classify).without(&self.has_any.without(&any.yes));
        let possible = matched.possible.both(&classify).without(&self.has_any.without(&any.possible));
        for row in yes.iter() {
            if let Some(tag) = self.gives.get(&row) {
                values.add(Predicate::Tag, *tag);
            }
        }
        for row in possible.without(&yes).iter() {
            values.maybe_tags.extend(self.gives.get(&row));
        }
    }

    /// The patterns of the rules that are not among `tried`.
    pub(super) fn patterns_but(&self, tried: &BTreeSet<PatternId>) -> Vec<SymbolNo> {
        self.patterns.iter().filter(|(id, _)| !tried.contains(id)).map(|(_, no)| *no).collect()
    }

    /// The rows of `named` whose condition holds, and those of which it is unknown.
    fn hits(&self, values: &Values, predicate: Predicate, group: Group, named: &Bits) -> (Bits, Bits) {
        let none = Bits::none(self.rows.len());
        let (mut yes, mut unknown) = (none, none);
        let touch = |symbols: &[SymbolNo], rows: &mut Bits| {
            for symbol in symbols {
                for at in self.uses.get(*symbol as usize).into_iter().flatten() {
                    if at.predicate == predicate && at.group == group {
                        rows.insert(at.row);
                    }
                }
            }
        };
        match predicate {
            Predicate::Age => {
                for (range, _, row) in self.ages.iter().filter(|(_, at, _)| *at == group) {
                    match holds(*range, values.age) {
                        Flag::Yes => yes.insert(*row),
                        Flag::Unknown => unknown.insert(*row),
                        Flag::No => {}
                    }
                }
            }
            Predicate::Confidentiality => {
                for (least, _, row) in self.levels.iter().filter(|(_, at, _)| *at == group) {
                    if values.level.is_some_and(|level| level >= *least) {
                        yes.insert(*row);
                    }
                }
            }
            Predicate::Critical => match values.critical {
                Flag::Yes => yes = *named,
                Flag::Unknown => unknown = *named,
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
            | Predicate::Preference
            | Predicate::Tag
            | Predicate::Any => {
                touch(values.of.get(predicate as usize).map_or(&[], Vec::as_slice), &mut yes);
                if predicate == Predicate::Text {
                    touch(&values.untried, &mut unknown);
                }
                if predicate == Predicate::Tag {
                    touch(&values.maybe_tags, &mut unknown);
                }
            }
        }
        if values.lacking.get(predicate as usize).copied().unwrap_or(false) {
            unknown = *named;
        }
        (yes, unknown)
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

fn rows_of(content: &Content) -> Vec<Row> {
    let count = |kind, law, count: usize| (0..count).map(move |at| Row { kind, law, at });
    let own = count(RowKind::Classify, 0, content.classify.len())
        .chain(count(RowKind::Profile, 0, content.profiles.len()))
        .chain(count(RowKind::Restrict, 0, content.restricts.len()))
        .chain(count(RowKind::Exception, 0, content.exceptions.len()));
    let laws = content.laws.iter().enumerate().flat_map(|(law, pack)| {
        count(RowKind::LawRestrict, law, pack.restricts.len())
            .chain(count(RowKind::Floor, law, pack.floors.len()))
            .chain(count(RowKind::Ceiling, law, pack.ceilings.len()))
    });
    own.chain(laws).collect()
}

/// The conditions of a row.
pub(super) fn when_of(content: &Content, row: Row) -> Option<&When> {
    let law = || content.laws.get(row.law);
    match row.kind {
        RowKind::Classify => content.classify.get(row.at).map(|row| &row.when),
        RowKind::Profile => content.profiles.get(row.at).map(|row| &row.when),
        RowKind::Restrict => content.restricts.get(row.at).map(|row| &row.when),
        RowKind::Exception => content.exceptions.get(row.at).map(|row| &row.when),
        RowKind::LawRestrict => law()?.restricts.get(row.at).map(|row| &row.when),
        RowKind::Floor => law()?.floors.get(row.at).map(|floor| &floor.when),
        RowKind::Ceiling => law()?.ceilings.get(row.at).map(|ceiling| &ceiling.when),
    }
}

/// The id of a row.
pub(super) fn id_of(content: &Content, row: Row) -> Option<&str> {
    let law = || content.laws.get(row.law);
    match row.kind {
        RowKind::Classify => content.classify.get(row.at).map(|row| row.id.as_str()),
        RowKind::Profile => content.profiles.get(row.at).map(|row| row.id.as_str()),
        RowKind::Restrict => content.restricts.get(row.at).map(|row| row.id.as_str()),
        RowKind::Exception => content.exceptions.get(row.at).map(|row| row.id.as_str()),
        RowKind::LawRestrict => law()?.restricts.get(row.at).map(|row| row.id.as_str()),
        RowKind::Floor => law()?.floors.get(row.at).map(|floor| floor.id.as_str()),
        RowKind::Ceiling => law()?.ceilings.get(row.at).map(|ceiling| ceiling.id.as_str()),
    }
}
