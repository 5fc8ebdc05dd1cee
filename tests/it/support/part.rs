//! One outside program, run in a folder of its own and ended with the test process.

use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How many bytes of a part's log a failure shows.
const LOG_TAIL_BYTES: usize = 2_000;

/// A running program; dropping it ends the program and its whole process group and removes its folder.
pub struct Part {
    name: &'static str,
    folder: PathBuf,
    keeper: Child,
}

/// What the program is told to end with.
#[derive(Clone, Copy)]
pub enum EndWith {
    Interrupt,
    Terminate,
}

/// What to run: the program, its arguments, and variables on top of the tests' own environment.
pub struct Recipe {
    pub name: &'static str,
    pub command: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
    pub end_with: EndWith,
}

impl Part {
    /// Starts the recipe with `folder` (see [`new_folder`]) as its working directory and `folder/log` as its output.
    ///
    /// # Panics
    /// When the shell cannot be started.
    pub fn start(recipe: Recipe, folder: PathBuf) -> Self {
        let log = File::create(folder.join("log")).expect("the part's folder takes a log");
        let signal = match recipe.end_with {
            EndWith::Interrupt => "INT",
            EndWith::Terminate => "TERM",
        };
        let keeper = Command::new("sh")
            .args(["-c", include_str!("part.sh"), recipe.name])
            .arg(&folder)
            .arg(signal)
            .args(recipe.command)
            .envs(recipe.environment)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        Self { name: recipe.name, folder, keeper }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything the program has said so far.
    pub fn log(&self) -> String {
        std::fs::read(self.folder.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// # Panics
    /// When the program is no longer running, with the end of its log.
    pub fn assert_running(&self) {
        if let Ok(code) = std::fs::read_to_string(self.folder.join("ended")) {
            let log = self.log();
            let tail = log.get(log.len().saturating_sub(LOG_TAIL_BYTES)..).unwrap_or(&log);
            panic!("{} ended by itself with code {}:\n{tail}", self.name, code.trim());
        }
    }

    /// `true` once the program has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.folder.join("ended").exists()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The keeper is killed together with its group, so its own exit status says nothing.
        let _ = self.keeper.wait();
    }
}

/// A new empty folder outside the project, where also an unprivileged user may look.
///
/// # Panics
/// When the temporary directory is not writable.
pub fn new_folder(name: &str) -> PathBuf {
    tempfile::Builder::new()
        .prefix(&format!("chartseal-{name}-"))
        .tempdir()
        .expect("the temporary directory is writable")
        .keep()
}

/// A loopback port that was free a moment ago, for programs that cannot say which port they took.
///
/// # Panics
/// When loopback has no free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
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
