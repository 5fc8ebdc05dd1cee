//! The cases that property tests draw: the same at every run, so that a landing never fails by chance.
//!
//! A longer hunt: `CHARTSEAL_CASES_TIMES=10 CHARTSEAL_CASES_SEED=7 cargo test --lib`.

use proptest::test_runner::{Config, RngSeed};

/// Drawn from when nothing else is said.
const SEED_DEFAULT: u64 = 20_261_122;

/// `cases` cases; `CHARTSEAL_CASES_TIMES` multiplies them, `CHARTSEAL_CASES_SEED` draws others.
///
/// # Panics
/// When a variable is set to something else than a number.
#[must_use]
pub fn cases(cases: u32) -> Config {
    let seed = number("CHARTSEAL_CASES_SEED").unwrap_or(SEED_DEFAULT);
    let times = u32::try_from(number("CHARTSEAL_CASES_TIMES").unwrap_or(1)).expect("not so often");
    // Shown with a failure alone.
    println!("cases are drawn from CHARTSEAL_CASES_SEED={seed}, {times} times {cases} of them");
    Config { cases: cases * times, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() }
}

#[expect(clippy::disallowed_methods, reason = "what is hunted is no configuration")]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}
