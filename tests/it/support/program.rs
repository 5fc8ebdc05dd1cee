//! The built program, as an operator runs it.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a command answered.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Everything it printed.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }

    /// # Panics
    /// When standard output is not one JSON value.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.all()))
    }
}

/// A command of the program that is not started yet: of the environment of whoever runs the tests it sees `TMPDIR` alone.
pub fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartseal"));
    command.env_clear().env("TMPDIR", std::env::temp_dir()).env("USER", "Eve Admin").arg("--config").arg(config);
    command
}

/// Runs `chartseal --config CONFIG ARGUMENTS…` to its end.
///
/// # Panics
/// When the program cannot be started or is ended by a signal.
pub fn run(config: &Path, arguments: &[&str]) -> Ran {
    finish(command(config).args(arguments))
}

/// Runs it to its end.
///
/// # Panics
/// When it cannot be started or is ended by a signal.
pub fn finish(command: &mut Command) -> Ran {
    finish_piped(command.stdin(Stdio::null()))
}

/// [`finish`] with whatever stands in its standard input.
///
/// # Panics
/// When it cannot be started or is ended by a signal.
pub fn finish_piped(command: &mut Command) -> Ran {
    let done = command.output().expect("the program is built");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: done.status.code().expect("the program ends by itself"),
        out: text(&done.stdout),
        err: text(&done.stderr),
    }
}
