//! A set of rows, as bits.

/// Rows of one rules file, those of its law packs included.
pub const ROWS_MAX: usize = 2_048;
/// A set of up to 64 times as many rows is held in place; larger ones on the heap.
const FEW: usize = 4;

/// The number of a row in a table.
pub type RowNo = u16;

/// A set of rows. What joins two sets expects both to be of the same table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bits(Words);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Words {
    Few([u64; FEW]),
    Many(Box<[u64]>),
}

impl Bits {
    /// No row of a table of `rows` rows.
    #[must_use]
    pub fn none(rows: usize) -> Self {
        let words = rows.min(ROWS_MAX).div_ceil(64);
        Self(if words <= FEW { Words::Few([0; FEW]) } else { Words::Many(vec![0; words].into()) })
    }

    /// Every row of a table of `rows` rows.
    #[must_use]
    pub fn all(rows: usize) -> Self {
        let mut all = Self::none(rows);
        let mut left = rows;
        for word in all.words_mut() {
            *word = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
            left = left.saturating_sub(64);
        }
        all
    }

    pub fn insert(&mut self, row: RowNo) {
        if let Some(word) = self.words_mut().get_mut(usize::from(row) / 64) {
            *word |= 1 << (row % 64);
        }
    }

    #[must_use]
    pub fn contains(&self, row: RowNo) -> bool {
        self.words().get(usize::from(row) / 64).is_some_and(|word| word & 1 << (row % 64) != 0)
    }

    pub fn insert_all(&mut self, other: &Self) {
        self.zip(other, |mine, theirs| mine | theirs);
    }

    pub fn keep(&mut self, other: &Self) {
        self.zip(other, |mine, theirs| mine & theirs);
    }

    pub fn remove_all(&mut self, other: &Self) {
        self.zip(other, |mine, theirs| mine & !theirs);
    }

    /// Of the rows in `named` keeps those in `hits`; the others stay.
    pub fn narrow(&mut self, named: &Self, hits: &Self) {
        if let (Words::Few(mine), Words::Few(named), Words::Few(hits)) = (&mut self.0, &named.0, &hits.0) {
            narrow(mine, named, hits);
        } else {
            narrow(self.words_mut(), named.words(), hits.words());
        }
    }

    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.keep(other);
        both
    }

    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.remove_all(other);
        rest
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words().iter().all(|word| *word == 0)
    }

    /// Whether a row is in both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.words().iter().zip(other.words()).any(|(mine, theirs)| mine & theirs != 0)
    }

    /// In rising order.
    pub fn iter(&self) -> impl Iterator<Item = RowNo> {
        self.words().iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then(|| u16::try_from(at * 64).unwrap_or(0) + u16::try_from(bit).unwrap_or(0))
            })
        })
    }

    fn zip(&mut self, other: &Self, join: impl Fn(u64, u64) -> u64) {
        // Of arrays the compiler knows the length.
        if let (Words::Few(mine), Words::Few(theirs)) = (&mut self.0, &other.0) {
            join_all(mine, theirs, join);
        } else {
            join_all(self.words_mut(), other.words(), join);
        }
    }

    fn words(&self) -> &[u64] {
        match &self.0 {
            Words::Few(words) => words,
            Words::Many(words) => words,
        }
    }

    fn words_mut(&mut self) -> &mut [u64] {
        match &mut self.0 {
            Words::Few(words) => words,
            Words::Many(words) => words,
        }
    }
}

#[inline]
fn narrow(mine: &mut [u64], named: &[u64], hits: &[u64]) {
    mine.iter_mut().zip(named).zip(hits).for_each(|((mine, named), hits)| *mine &= !named | hits);
}

#[inline]
fn join_all(mine: &mut [u64], theirs: &[u64], join: impl Fn(u64, u64) -> u64) {
    mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine = join(*mine, *theirs));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_and_come_out_in_order() {
        for rows in [200, 1_000] {
            let mut bits = Bits::none(rows);
            for row in [199, 0, 63, 64, 65] {
                bits.insert(row);
            }
            assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 65, 199]);
            assert!(bits.contains(64) && !bits.contains(66));
            assert!(bits.meets(&Bits::all(rows)) && !bits.meets(&Bits::none(rows)));
        }
        for rows in [130, 256, 257, ROWS_MAX] {
            assert_eq!(Bits::all(rows).iter().count(), rows);
            assert!(Bits::all(rows).without(&Bits::all(rows)).is_empty());
        }
    }
}
