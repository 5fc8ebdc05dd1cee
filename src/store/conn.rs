//! Connections: one database type for both engines, reads from a pool, writes one transaction each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, Pool};
use url::Url;

use super::error::StoreError;
use super::writer::Writer;
use super::{dialect, migrations};
use crate::base::{LinkId, UtcMillis, seconds};
use crate::record::Death;

/// Readers beside the one SQLite writer; connections to PostgreSQL.
const CONNECTIONS_MAX: u32 = 8;
/// How long a request waits for a free connection.
const CHECKOUT_WAIT: Duration = seconds(5);
/// Who leases without being a replica of the service.
pub(super) const NOBODY: &str = "";

/// How long a reading or a deed waits for its database, unless the configuration says otherwise. Longer than PostgreSQL
/// lets a statement run, so that only a server or a network that says nothing meets it.
pub const ANSWER_MAX: Duration = seconds(60);
/// Libpq waits for ever for a server that is gone without a word, and the kernel for two hours, unless told otherwise.
const POSTGRES_WIRE: [(&str, &str); 5] = [
    ("connect_timeout", "10"),
    ("keepalives_idle", "20"),
    ("keepalives_interval", "10"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "30000"),
];

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum Conn {
    Postgres(diesel::PgConnection),
    Sqlite(diesel::SqliteConnection),
}

/// A link that died in a transaction about to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkDeath {
    pub link: LinkId,
    pub death: Death,
    pub at: UtcMillis,
}

/// Told of deaths before the transaction that holds them commits; an error rolls it back.
pub trait DeathWitness: Send + Sync {
    /// # Errors
    /// When the deaths could not be made durable outside the database.
    fn witness(&self, deaths: &[LinkDeath]) -> Result<(), String>;
}

/// For commands that never end a link, and for tests that look at nothing of it.
pub struct NoWitness;

impl DeathWitness for NoWitness {
    fn witness(&self, _deaths: &[LinkDeath]) -> Result<(), String> {
        Ok(())
    }
}

/// A transaction under way.
pub struct Tx<'c> {
    conn: &'c mut Conn,
    holder: &'c str,
    after: Aftermath,
}

/// What a transaction leaves to be done when it commits.
#[derive(Default)]
pub(super) struct Aftermath {
    pub(super) deaths: Vec<LinkDeath>,
    pub(super) erased: Erased,
}

/// Whether secrets or patient data were deleted, whose bytes SQLite still holds in its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Erased {
    #[default]
    Nothing,
    Something,
}

impl<'c> Tx<'c> {
    /// The same transaction, for reading.
    pub fn conn(&mut self) -> &mut Conn {
        self.conn
    }

    /// In whose name leases are taken.
    pub(super) const fn holder(&self) -> &'c str {
        self.holder
    }

    /// Inserts what `insert` says, or leaves what is there already under the same key. In a savepoint: PostgreSQL would take no
    /// further statement after the refusal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn insert_unless_there(
        &mut self,
        insert: impl FnOnce(&mut Conn) -> QueryResult<usize>,
    ) -> Result<(), StoreError> {
        match self.conn.transaction(|conn| insert(conn).map_err(StoreError::from)) {
            Ok(_) | Err(StoreError::Duplicate) => Ok(()),
            Err(other) => Err(other),
        }
    }

    pub(super) fn died(&mut self, death: LinkDeath) {
        self.after.deaths.push(death);
        self.erased();
    }

    pub(super) fn erased(&mut self) {
        self.after.erased = Erased::Something;
    }
}

/// The open store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    answer_max: Duration,
}

struct Inner {
    reads: Pool<Opener>,
    writes: Writes,
    witness: Arc<dyn DeathWitness>,
    holder: Arc<str>,
}

enum Writes {
    /// SQLite has one writer; its thread batches.
    Thread(Writer),
    /// PostgreSQL writes from the pool.
    Pool,
}

impl Store {
    /// Opens `sqlite:PATH` or `postgres://…` and refuses a schema that does not match this version.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`] with the reason; never the URL, which may hold a password.
    pub fn open(url: &str, witness: Arc<dyn DeathWitness>) -> Result<Self, StoreError> {
        Self::open_for(url, NOBODY, witness)
    }

    /// [`Store::open`] for the replica of this name: what it leases can be told from what others do.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_for(url: &str, holder: &str, witness: Arc<dyn DeathWitness>) -> Result<Self, StoreError> {
        let place = Place::parse(url)?;
        migrations::require_current(&mut place.connect(Access::Write)?)?;
        let writes = match &place {
            Place::Sqlite(_) => {
                let place = place.clone();
                Writes::Thread(Writer::start(Box::new(move || place.connect(Access::Write)), Arc::clone(&witness))?)
            }
            Place::Postgres(_) => Writes::Pool,
        };
        let access = match &place {
            Place::Sqlite(_) => Access::Read,
            Place::Postgres(_) => Access::Write,
        };
        let reads = Pool::builder()
            .max_size(CONNECTIONS_MAX)
            .min_idle(Some(1))
            .connection_timeout(CHECKOUT_WAIT)
            .test_on_check_out(matches!(place, Place::Postgres(_)))
            .build_unchecked(Opener { place, access });
        Ok(Self {
            inner: Arc::new(Inner { reads, writes, witness, holder: Arc::from(holder) }),
            answer_max: ANSWER_MAX,
        })
    }

    /// The same store, whose callers wait no longer than this.
    #[must_use]
    pub fn answering_within(self, answer_max: Duration) -> Self {
        Self { answer_max, ..self }
    }

    /// Brings the schema up to date under a lock; returns the migrations that ran.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`] when the database cannot be reached or a migration fails.
    pub fn migrate(url: &str) -> Result<Vec<String>, StoreError> {
        migrations::migrate(&mut Place::parse(url)?.connect(Access::Write)?)
    }

    /// Runs `look` on a reading connection, away from the async workers.
    ///
    /// # Errors
    /// What `look` returns, or [`StoreError::Unavailable`].
    pub async fn read<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let looking = tokio::task::spawn_blocking(move || {
            let mut conn = inner.reads.get().map_err(|_| StoreError::Unavailable { why: "no connection is free" })?;
            look(&mut conn)
        });
        self.in_time(async { looking.await.unwrap_or(Err(StoreError::Refused { why: "a reading that panicked" })) })
            .await
    }

    /// Runs `deed` as one transaction and returns after it is durable.
    ///
    /// # Errors
    /// What `deed` returns (nothing is kept then), or [`StoreError::Unavailable`]: it may have been kept all the same.
    pub async fn write<T, F>(&self, deed: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx) -> Result<T, StoreError> + Send + 'static,
    {
        match &self.inner.writes {
            Writes::Thread(writer) => self.in_time(writer.run(Arc::clone(&self.inner.holder), deed)).await,
            Writes::Pool => {
                let inner = Arc::clone(&self.inner);
                let doing = tokio::task::spawn_blocking(move || write_pooled(&inner, deed));
                self.in_time(async { doing.await.unwrap_or(Err(StoreError::Refused { why: "a deed that panicked" })) })
                    .await
            }
        }
    }

    /// What hangs is left to itself: it may be done yet, as after a commit whose answer was lost.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let in_time = tokio::time::timeout(self.answer_max, work).await;
        in_time.unwrap_or(Err(StoreError::Unavailable { why: "it does not answer" }))
    }

    /// The database's own time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn now(&self) -> Result<UtcMillis, StoreError> {
        self.read(dialect::now).await
    }
}

fn write_pooled<T, F>(inner: &Inner, deed: F) -> Result<T, StoreError>
where
    F: FnOnce(&mut Tx) -> Result<T, StoreError>,
{
    let mut conn = inner.reads.get().map_err(|_| StoreError::Unavailable { why: "no connection is free" })?;
    conn.transaction(|conn| {
        let (value, after) = perform(conn, &inner.holder, deed)?;
        tell(inner.witness.as_ref(), &after.deaths)?;
        Ok(value)
    })
}

/// Runs `deed` in the transaction that `conn` is in.
pub(super) fn perform<T>(
    conn: &mut Conn,
    holder: &str,
    deed: impl FnOnce(&mut Tx) -> Result<T, StoreError>,
) -> Result<(T, Aftermath), StoreError> {
    let mut tx = Tx { conn, holder, after: Aftermath::default() };
    let value = deed(&mut tx)?;
    Ok((value, tx.after))
}

pub(super) fn tell(witness: &dyn DeathWitness, deaths: &[LinkDeath]) -> Result<(), StoreError> {
    if deaths.is_empty() {
        return Ok(());
    }
    witness.witness(deaths).map_err(|why| StoreError::JournalRefused { why })
}

/// Where the data lies.
#[derive(Clone)]
enum Place {
    Sqlite(PathBuf),
    Postgres(String),
}

#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

impl Place {
    fn parse(url: &str) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "postgres" | "postgresql") => {
                Ok(Self::Postgres(on_the_wire(parsed)))
            }
            Ok(_) | Err(_) => {
                Err(StoreError::CannotOpen { why: "the address must begin with sqlite: or postgres://".to_owned() })
            }
        }
    }

    fn connect(&self, access: Access) -> Result<Conn, StoreError> {
        match self {
            Self::Sqlite(path) => connect_sqlite(path, access),
            Self::Postgres(url) => {
                let mut conn = diesel::PgConnection::establish(url).map_err(|_| StoreError::CannotOpen {
                    why: "PostgreSQL cannot be reached at [store] url".to_owned(),
                })?;
                conn.batch_execute(POSTGRES_SESSION)?;
                Ok(Conn::Postgres(conn))
            }
        }
    }
}

/// The address with every setting of [`POSTGRES_WIRE`] that it does not make itself.
fn on_the_wire(mut url: Url) -> String {
    for (name, value) in POSTGRES_WIRE {
        if !url.query_pairs().any(|(known, _)| known == name) {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    url.into()
}

const POSTGRES_SESSION: &str = "SET statement_timeout = '20s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = 'warning'";

/// `secure_delete` is off in the bundled library unless asked for on each connection; `FULL` because the
/// audit must survive a power cut.
const SQLITE_SESSION: &str = "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; \
     PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;";

/// As long as a statement waits for another process.
const SETTING_WAIT_MAX: std::time::Duration = crate::base::seconds(10);
const SETTING_AGAIN_AFTER: std::time::Duration = crate::base::millis(50);

fn connect_sqlite(path: &std::path::Path, access: Access) -> Result<Conn, StoreError> {
    let text = path
        .to_str()
        .ok_or_else(|| StoreError::CannotOpen { why: "the path of the database is not UTF-8".to_owned() })?;
    private_file(path);
    let mut conn = diesel::SqliteConnection::establish(text).map_err(|_| StoreError::CannotOpen {
        why: "the SQLite file in [store] url cannot be opened: check that its folder exists and is writable".to_owned(),
    })?;
    let mode = match access {
        Access::Write => "PRAGMA journal_mode = WAL",
        Access::Read => "PRAGMA query_only = ON",
    };
    for setting in [dialect::SQLITE_WAIT, SQLITE_SESSION, mode] {
        set_up(&mut conn, setting).map_err(|error| {
            let why = "the file in [store] url is not a SQLite database".to_owned();
            if error.is_passing() { error } else { StoreError::CannotOpen { why } }
        })?;
    }
    match access {
        // Where a file cannot be opened for writing (no descriptor is left, a disk that fails for a moment), SQLite opens it
        // for reading and says nothing, and such a connection even begins transactions. This writes nothing.
        Access::Write => conn.batch_execute("PRAGMA incremental_vacuum(1)")?,
        Access::Read => {}
    }
    Ok(Conn::Sqlite(conn))
}

/// Of two processes that bring a new file into WAL mode at once SQLite refuses one without waiting.
fn set_up(conn: &mut diesel::SqliteConnection, setting: &str) -> Result<(), StoreError> {
    let began = std::time::Instant::now();
    loop {
        match conn.batch_execute(setting).map_err(StoreError::from) {
            Err(error) if error.is_passing() && began.elapsed() < SETTING_WAIT_MAX => {
                std::thread::sleep(SETTING_AGAIN_AFTER);
            }
            done => return done,
        }
    }
}

/// Makes a new database readable by its owner alone; SQLite gives its log the same mode. Failing is no harm here: opening
/// tells the reason.
fn private_file(path: &std::path::Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    drop(made);
}

struct Opener {
    place: Place,
    access: Access,
}

impl ManageConnection for Opener {
    type Connection = Conn;
    type Error = StoreError;

    fn connect(&self) -> Result<Conn, StoreError> {
        self.place.connect(self.access)
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), StoreError> {
        conn.batch_execute("SELECT 1").map_err(StoreError::from)
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        dialect::is_broken(conn)
    }
}
