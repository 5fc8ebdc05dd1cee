//! One private Postgres cluster per run, and a database of its own for every test.
//!
//! The server refuses to run as root; then it runs as Debian's `postgres` user, in a folder of the tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};

use super::part::{self, EndWith, Part, Recipe};
use super::wait;

/// How long a cluster may take to answer its first connection, on a loaded machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A second start on another port is worth it when somebody took the port in between.
const START_TRIES: u32 = 3;

const SUPERUSER: &str = "chartseal";

/// A running cluster on loopback; it ends and its folder goes when dropped or when the test process dies.
pub struct Cluster {
    part: Part,
    /// Parts that ended; their keepers would take the folder with them.
    earlier: Vec<Part>,
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
        (0..START_TRIES).find_map(|_| Self::try_start(commits)).expect("PostgreSQL starts")
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
        wait::until_blocking("PostgreSQL to end", START_LIMIT, || self.part.has_ended().then_some(()));
    }

    /// Starts the server again after [`Cluster::stop`], on the same port with the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let folder = self.part.folder().to_owned();
        std::fs::remove_file(folder.join("ended")).expect("the server has ended");
        let again = serve(&folder, self.port, self.commits);
        self.earlier.push(std::mem::replace(&mut self.part, again));
        wait::until_blocking("PostgreSQL again", START_LIMIT, || {
            self.part.assert_running();
            PgConnection::establish(&self.url("postgres")).ok()
        });
    }

    fn try_start(commits: Commits) -> Option<Self> {
        let folder = part::new_folder("postgres");
        let data = folder.join("data");
        give_to_server_user(&folder);
        init_cluster(&data);
        let port = part::free_port();
        let program = serve(&folder, port, commits);
        let cluster = Self { part: program, earlier: Vec::new(), commits, port, databases: AtomicU32::new(0) };
        wait::until_blocking("PostgreSQL", START_LIMIT, || {
            if cluster.part.has_ended() && cluster.part.log().contains("Address already in use") {
                return Some(None);
            }
            cluster.part.assert_running();
            PgConnection::establish(&cluster.url("postgres")).ok().map(Some)
        })?;
        Some(cluster)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }
}

fn serve(folder: &Path, port: u16, commits: Commits) -> Part {
    let mut command = as_server_user();
    command.push(server_program("postgres").into());
    command.extend(["-D".into(), folder.join("data").into()]);
    for setting in settings(port, commits) {
        command.extend(["-c".into(), setting.into()]);
    }
    let recipe = Recipe { name: "postgres", command, environment: vec![], end_with: EndWith::Interrupt };
    Part::start(recipe, folder.to_owned())
}

fn settings(port: u16, commits: Commits) -> Vec<String> {
    let mut settings = vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".into(),
        "unix_socket_directories=".into(),
        "max_connections=300".into(),
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
