//! A disk that goes wrong once: each life is led in a process of its own, whose calls on files fail by the C library's word.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::plan::Trigger;
use crate::support::part;
use crate::support::place::Place;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A change of a file or a folder fails once.
    Eio,
    /// No room, six times.
    Full,
    /// Half of it is written, and then there is no room.
    Short,
    /// A reading fails once.
    Read,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Eio, Self::Full, Self::Short, Self::Read];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Eio => "eio",
            Self::Full => "full",
            Self::Short => "short",
            Self::Read => "read",
        }
    }
}

/// Which life a process leads: the kind and the use, with a colon between.
const LIFE: &str = "CHARTSEAL_FAULTS_DISK";
const TEST: &str = "faults::a_life_on_a_disk_that_fails";

/// Leads one life in a process of its own.
///
/// # Panics
/// With what the process said, when the life ended badly.
pub fn lead(kind: Kind, trigger: &Trigger) {
    let (done, told) = in_a_process(TEST, &format!("{}:{}", kind.name(), trigger.place()), "/faults-");
    for line in told.lines() {
        let (what, number) = line.rsplit_once(' ').expect("what, where and a number");
        match what.strip_prefix("uses") {
            Some(_) => trigger.used(number.parse().expect("a number")),
            None => trigger.meet(what),
        }
    }
    if let Err(said) = done {
        panic!("{said}");
    }
    assert!(told.contains("uses"), "the disk was not watched: was {} loaded?", library().display());
}

/// Runs an ignored test of ours where the calls on files whose path holds `under` fail as `life` says. How it ended, and
/// what failed: a line each with the call, the file and the use.
///
/// # Errors
/// What the test said when it failed.
pub fn in_a_process(test: &str, life: &str, under: &str) -> (Result<(), String>, String) {
    let place = Place::new("told");
    let told = place.join("told");
    let done = Command::new(std::env::current_exe().expect("a test knows its program"))
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads", "1"])
        .env(LIFE, life)
        .env("LD_PRELOAD", library())
        .env("FAULTDISK_UNDER", under)
        .env("FAULTDISK_TOLD", &told)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .expect("a test's program can be run");
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let start = said.find("panicked at").unwrap_or(0);
    let said = said.get(start..).unwrap_or(&said).chars().take(3000).collect();
    let told = std::fs::read_to_string(&told).unwrap_or_default();
    (if done.status.success() { Ok(()) } else { Err(said) }, told)
}

/// In the process that leads the life: from now on the disk may fail, as its environment says.
pub fn arm() {
    let life = std::env::var_os(LIFE).expect("the process was told which life to lead");
    ask(&format!("arm/{}", life.to_str().expect("a life's name is text").replace(':', "/")));
}

/// The disk is well for good.
pub fn disarm() {
    ask("disarm");
}

pub fn is_life() -> bool {
    std::env::var_os(LIFE).is_some()
}

fn ask(what: &str) {
    let answer = File::open(Path::new("/faultdisk").join(what));
    assert!(answer.is_err(), "there is a file below /faultdisk");
}

/// Compiled once for all lives.
fn library() -> &'static Path {
    static BUILT: OnceLock<(Place, PathBuf)> = OnceLock::new();
    let (_, library) = BUILT.get_or_init(|| {
        let place = Place::new("faultdisk");
        let library = place.join("faultdisk.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wno-unused-result", "-o"])
            .arg(&library)
            .arg(part::in_project("tests/testbed/faultdisk.c"))
            .status();
        assert!(built.is_ok_and(|status| status.success()), "a C compiler is missing: scripts/test installs one");
        (place, library)
    });
    library
}
