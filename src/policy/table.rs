//! The rules as a table: which rows a value touches, found without asking each row.
//!
//! Job: give every value that the rules name a number, and every number the rows that name it. A report is decided by
//! looking up its own values and meeting bit sets ([`super::matching`]), so that it costs what the report holds, not what
//! the rules say.
//! Must stay true: the same answer as asking every condition of every row ([`super::probe`]); a property test holds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono_tz::Tz;

use super::bits::{Bits, RowNo};
use super::calendar::day_start;
use super::facts::{Coding, PatternId, RecipientRole, Word};
use super::rules::Content;
use super::text::Pattern;
use super::when::{AgeRange, Condition, Predicate, When};
use crate::base::{ClinicId, ResourceType, UtcMillis};
use crate::policy::codes::Confidentiality;

/// Predicates as an index.
pub(super) const PREDICATES: usize = Predicate::ALL.len();

/// A symbol that more rows than this name by one condition has them as a bit set.
const FEW_ROWS: usize = 8;

/// A value that some row names, codes and words apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Symbol {
    Role(RecipientRole),
    Clinic(ClinicId),
    Kind(ResourceType),
    Performer(String),
    Pattern(PatternId),
}

pub(super) type SymbolNo = u32;

/// Whether a condition stands under `any`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Group {
    All,
    Any,
}

/// One row that names a symbol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Use {
    pub(super) predicate: Predicate,
    pub(super) group: Group,
    pub(super) row: RowNo,
}

/// The rows that name a symbol.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    pub(super) few: Vec<Use>,
    pub(super) many: Vec<(Predicate, Group, Bits)>,
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

impl RowKind {
    const ALL: [Self; 7] =
        [Self::Classify, Self::Profile, Self::Restrict, Self::Exception, Self::LawRestrict, Self::Floor, Self::Ceiling];

    /// Whether such a row asks something of a report.
    const fn asks(self) -> bool {
        match self {
            Self::Profile | Self::Restrict | Self::LawRestrict | Self::Floor | Self::Ceiling => true,
            Self::Classify | Self::Exception => false,
        }
    }
}

/// A row of the table, by its place in [`Content`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) kind: RowKind,
    /// The law, for a law's rows.
    pub(super) law: usize,
    pub(super) at: usize,
}

/// The rows of a law that is not in force for ever, and for reports of which times it is.
#[derive(Clone, Debug)]
struct LawTime {
    rows: Bits,
    from: Option<UtcMillis>,
    until: Option<UtcMillis>,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    symbols: HashMap<Symbol, SymbolNo>,
    /// By system, then code.
    codes: HashMap<String, HashMap<String, SymbolNo>>,
    words: HashMap<Word, SymbolNo>,
    pub(super) uses: Vec<Uses>,
    /// Rows that name a predicate, under `all` and under `any`.
    pub(super) named: [[Bits; 2]; PREDICATES],
    /// The predicates that some row names, without tags.
    pub(super) looked_at: Vec<Predicate>,
    pub(super) has_any: Bits,
    kinds: [Bits; RowKind::ALL.len()],
    asking: Bits,
    law_times: Vec<LawTime>,
    /// Conditions that are asked rather than looked up.
    pub(super) ages: Vec<(AgeRange, Group, RowNo)>,
    pub(super) levels: Vec<(Confidentiality, Group, RowNo)>,
    /// Seconds back.
    pub(super) spans: Vec<(Predicate, u64, Group, RowNo)>,
    prefixes: HashMap<String, Prefixes>,
    patterns: BTreeMap<PatternId, SymbolNo>,
    /// Which rows a row replaces: profiles and exceptions by `over`.
    pub(super) replaces: BTreeMap<RowNo, Vec<RowNo>>,
    /// The tag that a classify row gives.
    pub(super) gives: BTreeMap<RowNo, SymbolNo>,
}

/// The beginnings of one system's codes that rows name.
#[derive(Clone, Debug, Default)]
struct Prefixes {
    /// Their lengths in bytes: a code is looked up once for each.
    lengths: BTreeSet<usize>,
    symbols: HashMap<String, SymbolNo>,
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
            codes: HashMap::new(),
            words: HashMap::new(),
            uses: Vec::new(),
            named: std::array::from_fn(|_| [none.clone(), none.clone()]),
            looked_at: Vec::new(),
            has_any: none.clone(),
            kinds: std::array::from_fn(|_| none.clone()),
            asking: none.clone(),
            law_times: law_times(content, &none),
            ages: Vec::new(),
            levels: Vec::new(),
            spans: Vec::new(),
            prefixes: HashMap::new(),
            patterns: BTreeMap::new(),
            replaces: BTreeMap::new(),
            gives: BTreeMap::new(),
        };
        for (no, row) in (0..).zip(table.rows.clone()) {
            table.add_row(content, no, row);
        }
        table.link(content);
        let is_named = |predicate: &Predicate| {
            *predicate != Predicate::Tag
                && table.named.get(*predicate as usize).is_some_and(|named| !named.iter().all(Bits::is_empty))
        };
        table.looked_at = Predicate::ALL.into_iter().filter(is_named).collect();
        for uses in &mut table.uses {
            uses.gather(&none);
        }
        table
    }

    fn add_row(&mut self, content: &Content, no: RowNo, row: Row) {
        if let Some(kind) = self.kinds.get_mut(row.kind as usize) {
            kind.insert(no);
        }
        if row.kind.asks() {
            self.asking.insert(no);
        }
        let is_law = matches!(row.kind, RowKind::LawRestrict | RowKind::Floor | RowKind::Ceiling);
        if let Some(law) = self.law_times.get_mut(row.law).filter(|_| is_law) {
            law.rows.insert(no);
        }
        if let Some(when) = when_of(content, row) {
            self.add_conditions(content, no, when);
        }
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
            Condition::Roles(roles) => self.add_symbols(roles.iter().copied().map(Symbol::Role), at),
            Condition::Clinics(clinics) => self.add_symbols(clinics.iter().cloned().map(Symbol::Clinic), at),
            Condition::Kinds(kinds) => self.add_symbols(kinds.iter().copied().map(Symbol::Kind), at),
            Condition::Codes(codes) => self.add_codes(codes, at),
            Condition::Prefixes(prefixes) => {
                for prefix in prefixes {
                    let no = self.number_of_prefix(prefix);
                    self.add_use(no, at);
                }
            }
            Condition::Words(words) if predicate == Predicate::Set => {
                let codes: BTreeSet<&Coding> =
                    words.iter().filter_map(|name| content.sets.get(name)).flatten().collect();
                self.add_codes(codes, at);
            }
            Condition::Words(words) => {
                for word in words {
                    let no = self.number_of_word(word);
                    self.add_use(no, at);
                }
            }
            Condition::Performers(performers) => {
                self.add_symbols(performers.iter().cloned().map(Symbol::Performer), at);
            }
            Condition::Patterns(patterns) => {
                for id in patterns.iter().map(Pattern::id) {
                    let no = self.number(Symbol::Pattern(id));
                    self.patterns.insert(id, no);
                    self.add_use(no, at);
                }
            }
            Condition::AtLeast(level) => self.levels.push((*level, group, row)),
            Condition::Age(range) => self.ages.push((*range, group, row)),
            Condition::Within(seconds) => self.spans.push((predicate, *seconds, group, row)),
            // The row is found by its name among the rows that name the predicate.
            Condition::Yes => {}
        }
    }

    fn add_symbols(&mut self, symbols: impl Iterator<Item = Symbol>, at: Use) {
        for symbol in symbols {
            let no = self.number(symbol);
            self.add_use(no, at);
        }
    }

    fn add_codes<'c>(&mut self, codes: impl IntoIterator<Item = &'c Coding>, at: Use) {
        for code in codes {
            let next = self.next();
            let of_system = self.codes.entry(code.system.clone().unwrap_or_default()).or_default();
            let no = *of_system.entry(code.code.clone()).or_insert(next);
            self.add_use(no, at);
        }
    }

    /// A number begins to be used with its first row.
    fn add_use(&mut self, no: SymbolNo, at: Use) {
        if no == self.next() {
            self.uses.push(Uses::default());
        }
        if let Some(uses) = self.uses.get_mut(no as usize) {
            uses.few.push(at);
        }
    }

    fn next(&self) -> SymbolNo {
        SymbolNo::try_from(self.uses.len()).unwrap_or(SymbolNo::MAX)
    }

    fn number(&mut self, symbol: Symbol) -> SymbolNo {
        let next = self.next();
        *self.symbols.entry(symbol).or_insert(next)
    }

    fn number_of_word(&mut self, word: &Word) -> SymbolNo {
        let next = self.next();
        *self.words.entry(word.clone()).or_insert(next)
    }

    fn number_of_prefix(&mut self, prefix: &Coding) -> SymbolNo {
        let next = self.next();
        let of_system = self.prefixes.entry(prefix.system.clone().unwrap_or_default()).or_default();
        of_system.lengths.insert(prefix.code.len());
        *of_system.symbols.entry(prefix.code.clone()).or_insert(next)
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
        // A tag that no row tests needs no number.
        self.gives = gives.into_iter().filter_map(|(row, tag)| Some((row, *self.words.get(&tag)?))).collect();
    }

    pub(super) fn symbol(&self, symbol: &Symbol) -> Option<SymbolNo> {
        self.symbols.get(symbol).copied()
    }

    pub(super) fn code(&self, system: &str, code: &str) -> Option<SymbolNo> {
        self.codes.get(system)?.get(code).copied()
    }

    pub(super) fn word(&self, word: &str) -> Option<SymbolNo> {
        self.words.get(word).copied()
    }

    /// The beginnings of this code that rows name.
    pub(super) fn prefixes<'t>(&'t self, system: &str, code: &'t str) -> impl Iterator<Item = SymbolNo> + 't {
        let of_system = self.prefixes.get(system);
        of_system.into_iter().flat_map(|of_system| {
            let starts = of_system.lengths.iter().filter_map(|length| code.get(..*length));
            starts.filter_map(|start| of_system.symbols.get(start).copied())
        })
    }

    /// The rows of one kind.
    pub(super) fn of_kind(&self, kind: RowKind) -> &Bits {
        let [classify, profile, restrict, exception, law_restrict, floor, ceiling] = &self.kinds;
        match kind {
            RowKind::Classify => classify,
            RowKind::Profile => profile,
            RowKind::Restrict => restrict,
            RowKind::Exception => exception,
            RowKind::LawRestrict => law_restrict,
            RowKind::Floor => floor,
            RowKind::Ceiling => ceiling,
        }
    }

    /// Treats a row as if it were not there.
    pub(super) fn ignore(&mut self, no: RowNo, kind: RowKind) {
        let mut alone = Bits::none(self.rows.len());
        alone.insert(no);
        if let Some(rows) = self.kinds.get_mut(kind as usize) {
            rows.remove_all(&alone);
        }
        self.asking.remove_all(&alone);
    }

    /// Takes back [`Self::ignore`].
    pub(super) fn heed(&mut self, no: RowNo, kind: RowKind) {
        if let Some(rows) = self.kinds.get_mut(kind as usize) {
            rows.insert(no);
        }
        if kind.asks() {
            self.asking.insert(no);
        }
    }

    /// The rows that ask something of a report that was finalised at this instant: laws in their time.
    pub(super) fn asking(&self, finalised: UtcMillis) -> Bits {
        let mut asking = self.asking.clone();
        for law in &self.law_times {
            let has_begun = law.from.is_none_or(|from| from <= finalised);
            if !has_begun || law.until.is_some_and(|until| until <= finalised) {
                asking.remove_all(&law.rows);
            }
        }
        asking
    }

    /// The patterns of the rules that are not among `tried`.
    pub(super) fn patterns_but(&self, tried: &BTreeSet<PatternId>) -> Vec<SymbolNo> {
        self.patterns.iter().filter(|(id, _)| !tried.contains(id)).map(|(_, no)| *no).collect()
    }
}

impl Uses {
    /// Puts what many rows name into bit sets.
    fn gather(&mut self, none: &Bits) {
        if self.few.len() <= FEW_ROWS {
            return;
        }
        self.few.sort_unstable();
        let all = std::mem::take(&mut self.few);
        for alike in all.chunk_by(|one, other| (one.predicate, one.group) == (other.predicate, other.group)) {
            match alike {
                [first, ..] if alike.len() > FEW_ROWS => {
                    let mut rows = none.clone();
                    for at in alike {
                        rows.insert(at.row);
                    }
                    self.many.push((first.predicate, first.group, rows));
                }
                few => self.few.extend(few),
            }
        }
    }
}

/// When each law is in force, as instants. Laws need a zone in the file.
fn law_times(content: &Content, none: &Bits) -> Vec<LawTime> {
    let zone = content.header.timezone.unwrap_or(Tz::UTC);
    let times = content.laws.iter().map(|law| LawTime {
        rows: none.clone(),
        from: law.header.in_force_from.map(|day| day_start(day, zone)),
        until: law.header.in_force_until.and_then(|day| day.succ_opt()).map(|day| day_start(day, zone)),
    });
    times.collect()
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
