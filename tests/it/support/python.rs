//! The tests' own Python environment, made by `scripts/test` from `tests/testbed/requirements.txt`.

use std::path::PathBuf;

use super::part;

/// The path of a program of the environment (`python`, `sekmet`).
///
/// # Panics
/// When it is not installed.
pub fn program(name: &str) -> PathBuf {
    part::installed(part::in_project("target/testbed/venv/bin").join(name))
}

/// The path of one of our own scripts in `tests/testbed/`.
///
/// # Panics
/// When it is not there.
pub fn script(name: &str) -> PathBuf {
    part::installed(part::in_project("tests/testbed").join(name))
}
