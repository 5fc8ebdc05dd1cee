//! Chance that a seed brings back.

/// `SplitMix64` (Steele, Lea, Flood 2014): small, and good enough to choose moments.
pub struct Dice(u64);

impl Dice {
    /// The seed in the variable `CHARTSEAL_SEED`, else `usual`; it is printed, and a failing test shows it.
    ///
    /// # Panics
    /// When the variable is not a number.
    pub fn cast(usual: u64) -> Self {
        let seed = number("CHARTSEAL_SEED", usual);
        println!("CHARTSEAL_SEED={seed}");
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `below` - 1.
    pub fn below(&mut self, below: usize) -> usize {
        usize::try_from(self.next() % below as u64).expect("it is below a usize")
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// How much of a long test to run: a variable of the environment, or what the short form takes.
///
/// # Panics
/// When it is not a number.
pub fn number(variable: &str, usual: u64) -> u64 {
    let Some(text) = std::env::var_os(variable) else { return usual };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("{variable} is not a number"))
}
