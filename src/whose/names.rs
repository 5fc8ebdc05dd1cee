//! Names, however they are written: in any order, shortened, with former names, titles and misread letters.

use strsim::osa_distance;

use super::KnownName;
use super::fields::{Field, Part};
use super::fold::fold;

/// How a name on the paper stands to those of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    Same,
    /// It may be the same: shortened, misread, too little, or no name at all.
    Unclear,
    /// The given name is the same.
    OtherFamily,
    /// The family name is the same: a relative's paper.
    OtherGiven,
    Other,
}

/// A known name in folded pieces.
pub(super) struct Parted {
    family: Vec<String>,
    given: Vec<String>,
    /// Where the record does not part it.
    whole: Vec<String>,
}

/// Words of a name that many share.
const PARTICLES: &[&str] = &[
    "de", "la", "las", "los", "del", "y", "e", "van", "der", "den", "von", "zu", "zum", "zur", "du", "des", "da",
    "dos", "do", "di", "le", "el", "al", "bin", "ibn", "bint", "san", "st", "mc", "mac", "o", "d", "l", "ter", "ten",
];
const TITLES: &[&str] = &[
    "mr", "mrs", "ms", "miss", "mx", "herr", "frau", "sr", "sra", "srta", "don", "dona", "pan", "pani", "m", "mme",
    "mlle", "monsieur", "madame", "jr", "ii", "iii", "iv", "senor", "senora",
];
/// Whoever bears one is a clinician.
const DOCTORS: &[&str] = &["dr", "med", "prof", "md", "doctor", "dra", "lek", "do", "rn", "np", "pa"];
/// What stands for a newborn's given name, or tells of whom a child is.
const NEWBORNS: &[&str] = &[
    "baby",
    "babyboy",
    "babygirl",
    "newborn",
    "neonate",
    "infant",
    "boy",
    "girl",
    "twin",
    "bb",
    "bg",
    "neugeborenes",
    "kind",
    "sohn",
    "tochter",
    "noworodek",
    "syn",
    "corka",
    "bebe",
    "hijo",
    "hija",
    "fils",
    "fille",
    "mother",
    "of",
];
/// Words that make a value a sentence, or no name.
const NO_NAME: &[&str] = &[
    "is",
    "was",
    "has",
    "had",
    "the",
    "with",
    "presents",
    "presented",
    "admitted",
    "denies",
    "reports",
    "reported",
    "male",
    "female",
    "man",
    "woman",
    "year",
    "years",
    "old",
    "ist",
    "war",
    "hat",
    "mit",
    "wurde",
    "wird",
    "mannlich",
    "weiblich",
    "esta",
    "fue",
    "con",
    "tiene",
    "jest",
    "zostal",
    "zostala",
    "est",
    "avec",
    "unknown",
    "unbekannt",
    "see",
    "above",
    "below",
    "information",
    "details",
    "report",
    "copy",
    "portal",
    "education",
    "instructions",
    "history",
    "care",
    "safety",
    "inpatient",
    "outpatient",
    "ambulatory",
    "yes",
    "no",
    "none",
    "na",
    "anonymous",
    "redacted",
    "test",
    "and",
    "or",
    "not",
    "will",
    "should",
    "please",
    "informed",
    "fasting",
    "nuchtern",
    "id",
    "identity",
    "identification",
    "confirmed",
    "verified",
];
/// Longer values are sentences.
const NAME_WORDS_MAX: usize = 8;
/// Words between a given and a family name in a running text.
const APART_WORDS_MAX: usize = 2;

pub(super) fn parted(names: &[KnownName]) -> Vec<Parted> {
    let part = |name: &KnownName| Parted {
        family: pieces(&name.family),
        given: name.given.iter().flat_map(|given| pieces(given)).collect(),
        whole: pieces(&name.text),
    };
    let parted = names.iter().map(part);
    parted.filter(|name| !name.family.is_empty() || name.whole.len() + name.given.len() > 1).collect()
}

pub(super) fn compare(field: &Field, known: &[Parted]) -> Likeness {
    let Some(value) = name_in(&field.value) else { return Likeness::Unclear };
    known.iter().map(|name| name.compare(&value, field.part)).min().unwrap_or(Likeness::Unclear)
}

/// Whether a known name stands anywhere in a folded text, given and family name together.
pub(super) fn stands_in(text: &str, known: &[Parted]) -> bool {
    let words: Vec<String> = words(text).collect();
    known.iter().any(|name| name.stands_in(&words))
}

impl Parted {
    fn compare(&self, value: &[String], part: Part) -> Likeness {
        if self.family.is_empty() || self.given.is_empty() {
            return self.compare_whole(value);
        }
        let is_babys = self.given.iter().all(|given| NEWBORNS.contains(&given.as_str()));
        let (family, given) = (likeness(value, &self.family), likeness(value, &self.given));
        match part {
            Part::Whole => {}
            // A name's half says too little to be sure by.
            Part::Family => {
                return if family == Word::No && given == Word::No { Likeness::OtherFamily } else { Likeness::Unclear };
            }
            Part::Given => {
                let is_other = family == Word::No && given == Word::No && !is_babys;
                return if is_other { Likeness::OtherGiven } else { Likeness::Unclear };
            }
        }
        let is_single = value.len() < 2;
        match (family, given) {
            (Word::Same, Word::Same) if !is_single => Likeness::Same,
            (Word::Same | Word::Near, Word::Same | Word::Near) => Likeness::Unclear,
            (Word::Same, Word::No) if is_babys || self.is_family_alone(value) => Likeness::Unclear,
            (Word::Same, Word::No) => Likeness::OtherGiven,
            (Word::Near, Word::No) if is_babys || is_single => Likeness::Unclear,
            (Word::No, Word::Same | Word::No) if is_single => Likeness::Unclear,
            (Word::No, Word::Same) => Likeness::OtherFamily,
            (Word::Near | Word::No, Word::No) | (Word::No, Word::Near) => Likeness::Other,
        }
    }

    fn compare_whole(&self, value: &[String]) -> Likeness {
        let all: Vec<String> = self.family.iter().chain(&self.given).chain(&self.whole).cloned().collect();
        let same = value.iter().filter(|word| all.iter().any(|one| alike(word, one) == Word::Same)).count();
        let near = value.iter().any(|word| all.iter().any(|one| alike(word, one) != Word::No));
        match (same, near) {
            (2.., _) => Likeness::Same,
            (_, false) if value.len() > 1 && all.len() > 1 => Likeness::Other,
            _ => Likeness::Unclear,
        }
    }

    fn is_family_alone(&self, value: &[String]) -> bool {
        value.iter().all(|word| self.family.iter().any(|one| alike(word, one) != Word::No))
    }

    fn stands_in(&self, words: &[String]) -> bool {
        let (family, given) = if self.family.is_empty() || self.given.is_empty() {
            let Some((first, rest)) = self.whole.split_first() else { return false };
            (rest, std::slice::from_ref(first))
        } else {
            (self.family.as_slice(), self.given.as_slice())
        };
        let is_of = |word: &String, all: &[String]| word.len() > 1 && all.iter().any(|one| canon(one) == canon(word));
        // The given name by which somebody is called, and no other part of the family's.
        let Some(family) = family.iter().max_by_key(|one| one.len()) else { return false };
        let family = std::slice::from_ref(family);
        words.iter().enumerate().any(|(n, word)| {
            let around = words.get(n.saturating_sub(APART_WORDS_MAX + 1)..(n + APART_WORDS_MAX + 2).min(words.len()));
            is_of(word, family) && around.unwrap_or_default().iter().any(|other| other != word && is_of(other, given))
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Same,
    Near,
    No,
}

/// How well any word of the value fits any of the known ones; also written together.
fn likeness(value: &[String], known: &[String]) -> Word {
    let joined_known: String = known.iter().map(|one| canon(one)).collect();
    let pairs = value.windows(2).filter_map(|pair| match pair {
        [one, other] => Some(canon(one) + &canon(other)),
        _ => None,
    });
    let singles = value.iter().map(|word| canon(word));
    if known.len() > 1 && singles.chain(pairs).any(|written| written == joined_known) {
        return Word::Same;
    }
    let split = value.windows(2).any(|pair| match pair {
        [one, other] => known.iter().any(|known| canon(known) == canon(one) + &canon(other)),
        _ => false,
    });
    if split {
        return Word::Same;
    }
    let all = value.iter().flat_map(|word| known.iter().map(move |one| alike(word, one)));
    all.min().unwrap_or(Word::No)
}

fn alike(written: &str, known: &str) -> Word {
    let (written, known) = (canon(written), canon(known));
    if written == known {
        return if written.chars().count() > 1 { Word::Same } else { Word::Near };
    }
    let (short, long) = if written.len() < known.len() { (&written, &known) } else { (&known, &written) };
    let is_initial = short.chars().count() == 1;
    let is_shortened = short.len() >= 3 && long.starts_with(short.as_str());
    if is_initial && long.starts_with(short.as_str()) || is_shortened {
        return Word::Near;
    }
    let misread_max = match short.chars().count() {
        0..=4 => 0,
        5..=8 => 1,
        _ => 2,
    };
    if osa_distance(&written, &known) <= misread_max { Word::Near } else { Word::No }
}

/// Umlauts are also written with an e.
fn canon(word: &str) -> String {
    word.replace("ae", "a").replace("oe", "o").replace("ue", "u")
}

/// The words of a value that is a person's name; `None` where it is none, or a clinician's, or only tells of whom somebody is.
fn name_in(value: &str) -> Option<Vec<String>> {
    let end = value.find(|c: char| c.is_ascii_digit() || matches!(c, '(' | ';' | '*' | '[' | '<' | '@' | '?' | '!'));
    let name = value.get(..end.unwrap_or(value.len())).unwrap_or_default();
    let all: Vec<String> = words(name).collect();
    let has = |list: &[&str]| all.iter().any(|word| list.contains(&word.as_str()));
    let is_doctors = all.first().is_some_and(|word| DOCTORS.contains(&word.as_str()));
    if all.len() > NAME_WORDS_MAX || is_doctors || has(NO_NAME) || has(NEWBORNS) {
        return None;
    }
    let is_title =
        |word: &String| TITLES.contains(&word.as_str()) && word.len() > 1 || PARTICLES.contains(&word.as_str());
    let kept: Vec<String> = all.into_iter().filter(|word| !is_title(word)).collect();
    let is_comparable = kept.iter().any(|word| word.chars().count() > 1) && kept.iter().all(|word| is_latin(word));
    is_comparable.then_some(kept)
}

fn pieces(name: &str) -> Vec<String> {
    let folded = fold(name);
    let all = words(&folded).filter(|word| is_latin(word) && !TITLES.contains(&word.as_str()));
    let (particles, kept): (Vec<_>, Vec<_>) = all.partition(|word| PARTICLES.contains(&word.as_str()));
    // A name may be nothing else.
    if kept.is_empty() { particles } else { kept }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let cut = |c: char| !c.is_alphabetic() && c != '\'';
    text.split(cut).map(|word| word.replace('\'', "")).filter(|word| !word.is_empty())
}

fn is_latin(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_alphabetic())
}
