//! A set of the few words of one vocabulary, small enough to copy.

use std::fmt;
use std::marker::PhantomData;

use serde::{Serialize, Serializer};

/// A closed vocabulary of at most eight words, loosest first where it has an order.
pub trait Vocabulary: Copy + PartialEq + 'static {
    const ALL: &'static [Self];

    /// The word in a rules file.
    fn as_str(self) -> &'static str;

    /// The word's own bit.
    fn bit(self) -> u8 {
        Self::ALL.iter().position(|word| *word == self).map_or(0, |at| 1 << at)
    }
}

/// A set of words.
pub struct Few<T> {
    bits: u8,
    of: PhantomData<T>,
}

impl<T: Vocabulary> Few<T> {
    pub const NONE: Self = Self { bits: 0, of: PhantomData };

    #[must_use]
    pub fn all() -> Self {
        T::ALL.iter().copied().collect()
    }

    #[must_use]
    pub fn one(word: T) -> Self {
        Self { bits: word.bit(), of: PhantomData }
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits, of: PhantomData }
    }

    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self { bits: self.bits & other.bits, of: PhantomData }
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    #[must_use]
    pub fn contains(self, word: T) -> bool {
        self.bits & word.bit() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = T> {
        T::ALL.iter().copied().filter(move |word| self.contains(*word))
    }

    /// The words, or `none`.
    #[must_use]
    pub fn show(self) -> String {
        let words: Vec<_> = self.iter().map(Vocabulary::as_str).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(" + ") }
    }
}

impl<T: Vocabulary> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        words.into_iter().fold(Self::NONE, |set, word| set.union(Self::one(word)))
    }
}

impl<T> Clone for Few<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Few<T> {}

impl<T> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl<T> Eq for Few<T> {}

impl<T: Vocabulary> fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

impl<T: Vocabulary> Serialize for Few<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Vocabulary::as_str))
    }
}
