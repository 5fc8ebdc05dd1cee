//! Which reports a row can match, as boxes, and what can be said for certain of two of them.
//!
//! A box is a set of conditions that must all hold. A region is one or more boxes of which one suffices: `when` gives one box
//! for each condition under `any`, each with all that stands beside `any`.
//!
//! What the answers mean:
//! - [`Region::is_within`] says yes only if every report that meets the one meets the other. Each box must lie in one box of
//!   the other; a box that lies only in several of them together gets a no.
//! - [`Region::is_empty`] and [`Region::is_apart`] say yes only if no report can meet the region, or both. A report has one
//!   recipient, one clinic, one kind and one age; of everything else it may have several values at once, so that different
//!   codes or categories exclude nothing.
//! - [`Region::meets`] says yes only if some report meets both *for the same reason*: in every dimension that both name they
//!   share a value, and one of these is what the report is (a category or a code).
//!
//! Must stay true: when in doubt the answer is no, and so no warning.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::base::{ClinicId, ResourceType};
use crate::policy::canon::begins;
use crate::policy::facts::{Coding, RecipientRole, Word};
use crate::policy::rules::Content;
use crate::policy::when::{AgeRange, Condition, Predicate, When};

/// Codes as rising numbers, so that sets of them compare fast.
pub(super) struct Lexicon<'c> {
    numbers: HashMap<&'c Coding, u32>,
    sets: HashMap<&'c str, Rc<[u32]>>,
}

impl<'c> Lexicon<'c> {
    pub(super) fn of(content: &'c Content) -> Self {
        let mut lexicon = Self { numbers: HashMap::new(), sets: HashMap::new() };
        for (name, codes) in &content.sets {
            let numbers = lexicon.numbers(codes);
            lexicon.sets.insert(name.as_str(), numbers);
        }
        lexicon
    }

    /// The reports that `when` speaks of.
    pub(super) fn region(&mut self, when: &'c When) -> Region<'c> {
        let beside: Vec<Atom<'c>> = when.all.iter().map(|(at, condition)| self.atom(*at, condition)).collect();
        if when.any.is_empty() {
            return Region { boxes: vec![beside] };
        }
        let with = |atom| beside.iter().cloned().chain([atom]).collect();
        Region { boxes: when.any.iter().map(|(at, condition)| with(self.atom(*at, condition))).collect() }
    }

    fn atom(&mut self, predicate: Predicate, condition: &'c Condition) -> Atom<'c> {
        let codes = match condition {
            Condition::Codes(codes) => vec![self.numbers(codes)],
            Condition::Words(names) if predicate == Predicate::Set => {
                names.iter().filter_map(|name| self.sets.get(name.as_str()).cloned()).collect()
            }
            Condition::Words(_)
            | Condition::Roles(_)
            | Condition::Clinics(_)
            | Condition::Kinds(_)
            | Condition::Prefixes(_)
            | Condition::Performers(_)
            | Condition::Patterns(_)
            | Condition::AtLeast(_)
            | Condition::Age(_)
            | Condition::Within(_)
            | Condition::Yes => Vec::new(),
        };
        Atom { predicate, condition, codes }
    }

    fn numbers(&mut self, codes: &'c BTreeSet<Coding>) -> Rc<[u32]> {
        let mut numbers: Vec<u32> = Vec::with_capacity(codes.len());
        for code in codes {
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            numbers.push(*self.numbers.entry(code).or_insert(next));
        }
        numbers.sort_unstable();
        numbers.into()
    }
}

/// One condition.
#[derive(Clone)]
struct Atom<'c> {
    predicate: Predicate,
    condition: &'c Condition,
    /// The codes that it names, by themselves or by sets; one of them suffices.
    codes: Vec<Rc<[u32]>>,
}

#[derive(Clone)]
pub(super) struct Region<'c> {
    boxes: Vec<Vec<Atom<'c>>>,
}

/// The tag `tag` alone. The condition outlives the region that it makes.
pub(super) fn tag_condition(tag: &Word) -> Condition {
    Condition::Words(BTreeSet::from([tag.clone()]))
}

impl<'c> Region<'c> {
    /// The reports of this region that also have the tag of `tag`, see [`tag_condition`].
    pub(super) fn with_tag<'r>(&self, tag: &'r Condition) -> Region<'r>
    where
        'c: 'r,
    {
        self.with(Predicate::Tag, tag)
    }

    /// The reports of this region that also meet a condition that names no codes.
    pub(super) fn with<'r>(&self, predicate: Predicate, condition: &'r Condition) -> Region<'r>
    where
        'c: 'r,
    {
        let atom = Atom { predicate, condition, codes: Vec::new() };
        let with = |one: &Vec<Atom<'c>>| one.iter().cloned().chain([atom.clone()]).collect();
        Region { boxes: self.boxes.iter().map(with).collect() }
    }

    pub(super) fn is_within(&self, other: &Region<'_>) -> bool {
        self.boxes.iter().all(|mine| other.boxes.iter().any(|theirs| is_box_within(mine, theirs)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.boxes.iter().all(|mine| is_contradiction(mine.iter()))
    }

    pub(super) fn is_apart(&self, other: &Region<'_>) -> bool {
        self.boxes.iter().all(|mine| other.boxes.iter().all(|theirs| is_contradiction(mine.iter().chain(theirs))))
    }

    /// Whether it is empty for certain, where `tagged` gives the regions in which a report gets a tag.
    pub(super) fn is_empty_with_tags(&self, tagged: &dyn Fn(&Word) -> Vec<&'c Region<'c>>) -> bool {
        self.boxes.iter().all(|mine| {
            is_contradiction(mine.iter())
                || mine.iter().any(|atom| match (atom.predicate, atom.condition) {
                    (Predicate::Tag, Condition::Words(tags)) => tags.iter().flat_map(tagged).all(|evidence| {
                        evidence.boxes.iter().all(|theirs| is_contradiction(mine.iter().chain(theirs)))
                    }),
                    _ => false,
                })
        })
    }

    pub(super) fn meets(&self, other: &Region<'_>) -> bool {
        self.boxes.iter().any(|mine| other.boxes.iter().any(|theirs| do_boxes_meet(mine, theirs)))
    }
}

impl Atom<'_> {
    /// Whether every report that meets this condition meets `wanted`.
    fn implies(&self, wanted: &Atom<'_>) -> bool {
        let is_same = self.predicate == wanted.predicate;
        match (self.condition, wanted.condition) {
            (Condition::Roles(mine), Condition::Roles(theirs)) => is_same && mine.is_subset(theirs),
            (Condition::Clinics(mine), Condition::Clinics(theirs)) => is_same && mine.is_subset(theirs),
            (Condition::Kinds(mine), Condition::Kinds(theirs)) => is_same && mine.is_subset(theirs),
            // Only a document has a type.
            (_, Condition::Kinds(theirs)) if self.predicate == Predicate::Type => {
                theirs.contains(&ResourceType::DocumentReference)
            }
            (Condition::Performers(mine), Condition::Performers(theirs)) => is_same && mine.is_subset(theirs),
            (Condition::Patterns(mine), Condition::Patterns(theirs)) => is_same && mine.is_subset(theirs),
            (Condition::AtLeast(mine), Condition::AtLeast(theirs)) => mine >= theirs,
            (Condition::Age(mine), Condition::Age(theirs)) => theirs.from <= mine.from && mine.below <= theirs.below,
            (Condition::Within(mine), Condition::Within(theirs)) => {
                let is_turned = self.predicate == Predicate::ContactNotConfirmedWithin;
                is_same && if is_turned { theirs <= mine } else { mine <= theirs }
            }
            (Condition::Yes, Condition::Yes) => is_same,
            (Condition::Words(mine), Condition::Words(theirs)) if is_same && mine.is_subset(theirs) => true,
            (Condition::Prefixes(mine), Condition::Prefixes(theirs)) => {
                mine.iter().all(|code| theirs.iter().any(|prefix| begins(code, prefix)))
            }
            (Condition::Codes(mine), Condition::Prefixes(theirs)) => {
                looks_within(self.predicate, Predicate::Prefix)
                    && mine.iter().all(|code| theirs.iter().any(|prefix| begins(code, prefix)))
            }
            _ if self.codes.is_empty() || wanted.codes.is_empty() => false,
            _ => {
                looks_within(self.predicate, wanted.predicate)
                    && self.codes.iter().all(|mine| wanted.codes.iter().any(|theirs| is_subset(mine, theirs)))
            }
        }
    }

    /// Whether both hold of a report that has one value which both name.
    fn shares(&self, other: &Atom<'_>) -> bool {
        match (self.condition, other.condition) {
            (Condition::Roles(mine), Condition::Roles(theirs)) => !mine.is_disjoint(theirs),
            (Condition::Clinics(mine), Condition::Clinics(theirs)) => !mine.is_disjoint(theirs),
            (Condition::Kinds(mine), Condition::Kinds(theirs)) => !mine.is_disjoint(theirs),
            (Condition::Performers(mine), Condition::Performers(theirs)) => !mine.is_disjoint(theirs),
            (Condition::Patterns(mine), Condition::Patterns(theirs)) => !mine.is_disjoint(theirs),
            (Condition::Prefixes(mine), Condition::Prefixes(theirs)) => {
                mine.iter().any(|one| theirs.iter().any(|other| begins(one, other) || begins(other, one)))
            }
            (Condition::AtLeast(_), Condition::AtLeast(_))
            | (Condition::Within(_), Condition::Within(_))
            | (Condition::Yes, Condition::Yes) => true,
            (Condition::Age(mine), Condition::Age(theirs)) => meet(*mine, *theirs).is_some(),
            (Condition::Words(mine), Condition::Words(theirs)) if !mine.is_disjoint(theirs) => true,
            _ => self.codes.iter().any(|mine| other.codes.iter().any(|theirs| do_share(mine, theirs))),
        }
    }
}

/// Whether what `inner` looks at is always among what `outer` looks at.
fn looks_within(inner: Predicate, outer: Predicate) -> bool {
    let is_anywhere = matches!(outer, Predicate::Holds | Predicate::Set | Predicate::Prefix);
    inner == outer
        || match inner {
            Predicate::Type => outer == Predicate::Code || is_anywhere,
            Predicate::Code | Predicate::Holds | Predicate::Set | Predicate::Order | Predicate::Reason => is_anywhere,
            Predicate::Recipient
            | Predicate::Clinic
            | Predicate::Resource
            | Predicate::Category
            | Predicate::Prefix
            | Predicate::Label
            | Predicate::Confidentiality
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
            | Predicate::Tag
            | Predicate::Any => false,
        }
}

/// What a report is, by whichever condition looks at it.
fn dimension(predicate: Predicate) -> Predicate {
    match predicate {
        Predicate::Type | Predicate::Code | Predicate::Holds | Predicate::Set => Predicate::Holds,
        Predicate::Recipient
        | Predicate::Clinic
        | Predicate::Resource
        | Predicate::Category
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
        | Predicate::Tag
        | Predicate::Any => predicate,
    }
}

fn is_box_within(mine: &[Atom<'_>], theirs: &[Atom<'_>]) -> bool {
    theirs.iter().all(|wanted| mine.iter().any(|atom| atom.implies(wanted)))
}

fn do_boxes_meet(mine: &[Atom<'_>], theirs: &[Atom<'_>]) -> bool {
    let mut is_same_kind = false;
    for one in mine {
        for other in theirs.iter().filter(|other| dimension(other.predicate) == dimension(one.predicate)) {
            if !one.shares(other) {
                return false;
            }
            is_same_kind |= matches!(dimension(one.predicate), Predicate::Category | Predicate::Holds);
        }
    }
    is_same_kind && !is_contradiction(mine.iter().chain(theirs))
}

/// Whether no report can meet all of these.
fn is_contradiction<'a, 'c: 'a>(atoms: impl Iterator<Item = &'a Atom<'c>>) -> bool {
    let (mut roles, mut clinics, mut kinds, mut ages) = (None, None, None, None);
    for atom in atoms {
        match atom.condition {
            Condition::Roles(values) => narrow::<RecipientRole>(&mut roles, values),
            Condition::Clinics(values) => narrow::<ClinicId>(&mut clinics, values),
            Condition::Kinds(values) => narrow::<ResourceType>(&mut kinds, values),
            Condition::Codes(_) if atom.predicate == Predicate::Type => {
                narrow(&mut kinds, &BTreeSet::from([ResourceType::DocumentReference]));
            }
            Condition::Age(range) => match ages.map_or(Some(*range), |known| meet(known, *range)) {
                Some(range) => ages = Some(range),
                None => return true,
            },
            Condition::Codes(_)
            | Condition::Prefixes(_)
            | Condition::Words(_)
            | Condition::Performers(_)
            | Condition::Patterns(_)
            | Condition::AtLeast(_)
            | Condition::Within(_)
            | Condition::Yes => {}
        }
    }
    roles.is_some_and(|roles| roles.is_empty())
        || clinics.is_some_and(|clinics| clinics.is_empty())
        || kinds.is_some_and(|kinds| kinds.is_empty())
}

fn narrow<T: Ord + Clone>(known: &mut Option<BTreeSet<T>>, values: &BTreeSet<T>) {
    let left = match known.take() {
        Some(known) => known.intersection(values).cloned().collect(),
        None => values.clone(),
    };
    *known = Some(left);
}

fn meet(one: AgeRange, other: AgeRange) -> Option<AgeRange> {
    let range = AgeRange { from: one.from.max(other.from), below: one.below.min(other.below) };
    (range.from < range.below).then_some(range)
}

/// Both rise.
fn is_subset(mine: &[u32], theirs: &[u32]) -> bool {
    mine.len() <= theirs.len() && mine.iter().all(|code| theirs.binary_search(code).is_ok())
}

fn do_share(mine: &[u32], theirs: &[u32]) -> bool {
    let (few, many) = if mine.len() <= theirs.len() { (mine, theirs) } else { (theirs, mine) };
    few.iter().any(|code| many.binary_search(code).is_ok())
}
