//! How every figure is taken: alternating rounds of ours and of what it is compared with, in one run on one machine.
//!
//! Must stay true: a figure is the median of its rounds with the lowest and the highest beside it; the ratio is the
//! median of the rounds' own ratios, so that what loads the machine loads both; a missed goal is told like a met one.
//! Each figure is one line of JSON on standard output, all else goes to standard error; `scripts/bench` makes the table.

#![allow(dead_code, reason = "each bench target uses its part")]

mod figure;
pub mod process;

use std::time::{Duration, Instant};

pub use figure::{Figure, Goal};

/// Rounds of a full measurement. Odd: the median is then one that was measured.
const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 3;

/// How much is measured: `CHARTSEAL_BENCH=quick` shows that everything runs, `long` goes to a million links.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Extent {
    Quick,
    Full,
    Long,
}

/// One run of one bench target.
pub struct Measure {
    pub extent: Extent,
    only: Option<String>,
}

/// What the rounds gave.
#[derive(Clone, Debug)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// Ours beside its reference.
#[derive(Clone, Debug)]
pub struct Pair {
    pub ours: Spread,
    pub reference: Spread,
    /// Ours by reference, round by round.
    pub ratio: Spread,
}

impl Measure {
    /// `None` when cargo only wants to know whether the target runs (`cargo test --benches`). A word after `--` picks the
    /// figures whose names hold it.
    ///
    /// # Panics
    /// When `CHARTSEAL_BENCH` says something else than `quick`, `full` or `long`.
    #[allow(clippy::disallowed_methods, reason = "what is measured is the word of whoever measures")]
    pub fn begin() -> Option<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        arguments.iter().find(|word| *word == "--bench")?;
        let extent = match std::env::var("CHARTSEAL_BENCH").as_deref() {
            Ok("quick") => Extent::Quick,
            Ok("full") | Err(_) => Extent::Full,
            Ok("long") => Extent::Long,
            Ok(other) => panic!("CHARTSEAL_BENCH is quick, full or long, not {other}"),
        };
        figure::note_machine();
        Some(Self { extent, only: arguments.into_iter().find(|word| !word.starts_with('-')) })
    }

    /// Whether the figures called `name` are wanted in this run.
    pub fn wants(&self, name: &str) -> bool {
        let wanted = self.only.as_deref().is_none_or(|only| name.contains(only));
        if wanted {
            eprintln!("measuring: {name}");
        }
        wanted
    }

    pub const fn rounds(&self) -> usize {
        match self.extent {
            Extent::Quick => ROUNDS_QUICK,
            Extent::Full | Extent::Long => ROUNDS,
        }
    }

    /// `quick` in a quick run, otherwise `full`.
    pub fn count<N>(&self, quick: N, full: N) -> N {
        match self.extent {
            Extent::Quick => quick,
            Extent::Full | Extent::Long => full,
        }
    }

    /// Takes turns, and who begins takes turns too.
    pub fn alternate(&self, mut ours: impl FnMut() -> f64, mut reference: impl FnMut() -> f64) -> Pair {
        let mut rounds = Vec::new();
        for round in 0..self.rounds() {
            rounds.push(if round % 2 == 0 {
                let ours = ours();
                (ours, reference())
            } else {
                let reference = reference();
                (ours(), reference)
            });
            let (ours, reference) = rounds[round];
            eprintln!("  round {}: ours {ours:.2}, reference {reference:.2}", round + 1);
        }
        Pair::of(&rounds)
    }

    /// Rounds of something that has nothing to be compared with.
    pub fn repeat(&self, mut ours: impl FnMut() -> f64) -> Spread {
        Spread::of((0..self.rounds()).map(|_| ours()).collect())
    }
}

impl Pair {
    pub fn of(rounds: &[(f64, f64)]) -> Self {
        Self {
            ours: Spread::of(rounds.iter().map(|(ours, _)| *ours).collect()),
            reference: Spread::of(rounds.iter().map(|(_, reference)| *reference).collect()),
            ratio: Spread::of(rounds.iter().map(|(ours, reference)| ours / reference).collect()),
        }
    }
}

impl Spread {
    /// # Panics
    /// When nothing was measured.
    pub fn of(mut rounds: Vec<f64>) -> Self {
        Self {
            median: percentile(&mut rounds, 50),
            min: *rounds.first().expect("something was measured"),
            max: *rounds.last().expect("something was measured"),
        }
    }
}

/// The nearest rank; sorts `values`.
///
/// # Panics
/// When there are none.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values[rank - 1]
}

/// How long `work` took by the wall clock.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let since = Instant::now();
    let done = work();
    (done, since.elapsed())
}

/// [`timed`] for what waits.
pub async fn timed_async<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let since = Instant::now();
    let done = work.await;
    (done, since.elapsed())
}

/// Milliseconds with fractions.
pub fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

/// A count as a number to reckon with.
#[allow(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
pub const fn number(count: usize) -> f64 {
    count as f64
}
