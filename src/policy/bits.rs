//! A set of rows, as bits.

/// Rows of one rules file, those of its law packs included.
pub const ROWS_MAX: usize = 64 * WORDS;
const WORDS: usize = 32;

/// The number of a row in a table.
pub type RowNo = u16;

/// A set of rows of which only the first `words` words are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bits {
    words: [u64; WORDS],
    used: usize,
}

impl Bits {
    /// No row of a table of `rows` rows.
    #[must_use]
    pub fn none(rows: usize) -> Self {
        Self { words: [0; WORDS], used: rows.div_ceil(64).min(WORDS) }
    }

    /// Every row of a table of `rows` rows.
    #[must_use]
    pub fn all(rows: usize) -> Self {
        let mut all = Self::none(rows);
        let mut left = rows;
        for word in &mut all.words {
            *word = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
            left = left.saturating_sub(64);
        }
        all
    }

    pub fn insert(&mut self, row: RowNo) {
        if let Some(word) = self.words.get_mut(usize::from(row) / 64) {
            *word |= 1 << (row % 64);
        }
    }

    #[must_use]
    pub fn contains(&self, row: RowNo) -> bool {
        self.words.get(usize::from(row) / 64).is_some_and(|word| word & 1 << (row % 64) != 0)
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
        let words = self.words.iter_mut().zip(&named.words).zip(&hits.words).take(self.used);
        words.for_each(|((mine, named), hits)| *mine &= !named | hits);
    }

    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        let mut both = *self;
        both.keep(other);
        both
    }

    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = *self;
        rest.remove_all(other);
        rest
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().take(self.used).all(|word| *word == 0)
    }

    /// In rising order.
    pub fn iter(&self) -> impl Iterator<Item = RowNo> {
        self.words.iter().take(self.used).enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then(|| u16::try_from(at * 64).unwrap_or(0) + u16::try_from(bit).unwrap_or(0))
            })
        })
    }

    fn zip(&mut self, other: &Self, join: impl Fn(u64, u64) -> u64) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words).take(self.used) {
            *mine = join(*mine, *theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_and_come_out_in_order() {
        let mut bits = Bits::none(200);
        for row in [199, 0, 63, 64, 65] {
            bits.insert(row);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 65, 199]);
        assert!(bits.contains(64) && !bits.contains(66));
        assert_eq!(Bits::all(130).iter().count(), 130);
        assert!(Bits::all(130).without(&Bits::all(130)).is_empty());
    }
}
