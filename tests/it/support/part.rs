//! One outside program, run in a folder of its own and ended with the test process.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::place::Place;

/// How many bytes of a part's log a failure shows.
const LOG_TAIL_BYTES: usize = 2_000;

/// A running program; dropping it ends the program and its whole process group.
pub struct Part {
    name: &'static str,
    keeper: Child,
    // Given back last, when nothing writes there any more.
    place: Arc<Place>,
}

/// What the program is told to end with.
#[derive(Clone, Copy)]
pub enum EndWith {
    Interrupt,
    Terminate,
}

/// What to run: the program, its arguments, and its variables. Of the environment of whoever runs the tests it sees
/// nothing but `PATH`: no language, proxy or setting of theirs may change what a test finds.
pub struct Recipe {
    pub name: &'static str,
    pub command: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
    pub end_with: EndWith,
}

impl Part {
    /// Starts the recipe with `place` as its working directory and `log` in it as its output.
    ///
    /// # Panics
    /// When the shell cannot be started.
    pub fn start(recipe: Recipe, place: impl Into<Arc<Place>>) -> Self {
        let place: Arc<Place> = place.into();
        let log = File::create(place.join("log")).expect("the part's folder takes a log");
        let signal = match recipe.end_with {
            EndWith::Interrupt => "INT",
            EndWith::Terminate => "TERM",
        };
        let keeper = Command::new("sh")
            .args(["-c", include_str!("part.sh"), recipe.name])
            .arg(&**place)
            .arg(signal)
            .args(recipe.command)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", &**place)
            .envs(recipe.environment)
            .current_dir(&**place)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        Self { name: recipe.name, place, keeper }
    }

    pub const fn place(&self) -> &Arc<Place> {
        &self.place
    }

    pub fn folder(&self) -> &Path {
        &self.place
    }

    /// Sends the program itself this signal.
    ///
    /// # Panics
    /// When the keeper is gone.
    pub fn signal(&mut self, name: &str) {
        let asked = self.keeper.stdin.as_mut().map(|pipe| writeln!(pipe, "{name}"));
        assert!(matches!(asked, Some(Ok(()))), "nobody keeps {}", self.name);
    }

    /// The number of the program's process, once it was started.
    pub fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.place.join("pid")).ok()?.trim().parse().ok()
    }

    /// Everything the program has said so far.
    pub fn log(&self) -> String {
        std::fs::read(self.place.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// # Panics
    /// When the program is no longer running, with the end of its log.
    pub fn assert_running(&self) {
        if let Some(code) = self.exit_code() {
            let log = self.log();
            let tail = log.get(log.len().saturating_sub(LOG_TAIL_BYTES)..).unwrap_or(&log);
            panic!("{} ended by itself with code {code}:\n{tail}", self.name);
        }
    }

    /// The exit code once the program has ended by itself; 128 and the signal's number when one ended it.
    pub fn exit_code(&self) -> Option<i32> {
        std::fs::read_to_string(self.place.join("ended")).ok()?.trim().parse().ok()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The keeper is killed together with its group, so its own exit status says nothing.
        let _ = self.keeper.wait();
    }
}

/// `path`, when it is there.
///
/// # Panics
/// When it is not: it says what installs it.
pub fn installed(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing: run scripts/test once, it installs everything the tests need",
        path.display()
    );
    path
}

/// A path inside the project.
pub fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
