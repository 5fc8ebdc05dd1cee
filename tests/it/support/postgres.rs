//! One private Postgres cluster per run, and a database of its own for every test.
//!
//! The server refuses to run as root; then it runs as Debian's `postgres` user, in a folder of the tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};

use super::part::{self, EndWith, Part, Recipe};
use super::place::Place;
use super::wait;

const SUPERUSER: &str = "chartseal";

/// A running cluster on loopback; it ends and its folder goes when dropped or when the test process dies.
pub struct Cluster {
    part: Part,
    commits: Commits,
    port: u16,
    databases: AtomicU32,
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy)]
pub enum Commits {
    /// `fsync=off`: quick; only the machine's own crash could tell the difference.
    Fast,
    /// As in production.
    Durable,
}

/// The URL of a new, empty database in the cluster that all tests of this run share.
///
/// # Panics
/// When Postgres is not installed or does not start.
pub fn fresh_database() -> String {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(Commits::Fast)).fresh_database()
}

impl Cluster {
    /// A cluster of one's own: for a test that stops it.
    ///
    /// # Panics
    /// When Postgres is not installed or does not start.
    pub fn start(commits: Commits) -> Self {
        let place = Arc::new(Place::new("postgres"));
        let port = place.port();
        give_to_server_user(&place);
        init_cluster(&place.join("data"));
        let cluster = Self { part: serve(place, port, commits), commits, port, databases: AtomicU32::new(0) };
        cluster.wait_until_up();
        cluster
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// When the cluster does not answer.
    pub fn fresh_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::establish(&self.url("postgres")).expect("the cluster answers");
        admin.batch_execute(&format!("CREATE DATABASE {name} STRATEGY file_copy")).expect("a database can be made");
        self.url(&name)
    }

    /// Ends the server at once, as a crash would; its data stays.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&self) {
        let mut command = as_server_user();
        command.push(server_program("pg_ctl").into());
        command.extend(["stop", "-m", "immediate", "-w", "-D"].map(OsString::from));
        command.push(self.part.folder().join("data").into());
        let stopped =
            Command::new(&command[0]).args(&command[1..]).current_dir("/").output().expect("pg_ctl can be run");
        assert!(stopped.status.success(), "pg_ctl: {}", String::from_utf8_lossy(&stopped.stderr));
        wait::until_blocking("PostgreSQL to end", || self.part.exit_code());
    }

    /// Starts the server again after [`Cluster::stop`], on the same port with the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let place = Arc::clone(self.part.place());
        std::fs::remove_file(place.join("ended")).expect("the server has ended");
        self.part = serve(place, self.port, self.commits);
        self.wait_until_up();
    }

    fn wait_until_up(&self) {
        wait::until_blocking("PostgreSQL", || {
            self.part.assert_running();
            PgConnection::establish(&self.url("postgres")).ok()
        });
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }
}

fn serve(place: Arc<Place>, port: u16, commits: Commits) -> Part {
    let mut command = as_server_user();
    command.push(server_program("postgres").into());
    command.extend(["-D".into(), place.join("data").into()]);
    for setting in settings(port, commits) {
        command.extend(["-c".into(), setting.into()]);
    }
    let recipe = Recipe { name: "postgres", command, environment: vec![], end_with: EndWith::Interrupt };
    Part::start(recipe, place)
}

fn settings(port: u16, commits: Commits) -> Vec<String> {
    let mut settings = vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".into(),
        "unix_socket_directories=".into(),
        "max_connections=1000".into(),
        "timezone=UTC".into(),
    ];
    match commits {
        Commits::Durable => {}
        Commits::Fast => {
            settings.extend(["fsync=off".into(), "full_page_writes=off".into(), "synchronous_commit=off".into()]);
        }
    }
    settings
}

fn init_cluster(data: &Path) {
    let mut command = as_server_user();
    command.push(server_program("initdb").into());
    command.extend(
        ["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=trust", "--username", SUPERUSER].map(OsString::from),
    );
    command.push(data.into());
    let made = Command::new(&command[0]).args(&command[1..]).current_dir("/").output().expect("initdb can be run");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
}

/// The words to put before a command so that it does not run as root.
fn as_server_user() -> Vec<OsString> {
    if runs_as_root() {
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"].map(OsString::from).to_vec()
    } else {
        vec![]
    }
}

fn give_to_server_user(folder: &Path) {
    if runs_as_root() {
        let given = Command::new("chown").arg("postgres:postgres").arg(folder).status().expect("chown can be run");
        assert!(given.success(), "there is no user `postgres`: run scripts/test once, it installs PostgreSQL");
    }
}

fn runs_as_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Debian keeps the servers of each version apart; 15 is the oldest that we promise, and the one that we test when it is there.
pub fn server_program(name: &str) -> PathBuf {
    let versions = Path::new("/usr/lib/postgresql");
    let any = || {
        std::fs::read_dir(versions)
            .ok()?
            .flatten()
            .map(|entry| entry.path().join("bin").join(name))
            .find(|p| p.exists())
    };
    let oldest = versions.join("15/bin").join(name);
    if oldest.exists() { oldest } else { part::installed(any().unwrap_or(oldest)) }
}
