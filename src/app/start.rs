//! The ground that everything stands on: keys, journal, store, clock; and the refusals that keep a wrong set of
//! them from being used.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::audit::{AuditEvent, Chain};
use crate::base::{Clock, DeliveryId, LinkId, UtcMillis, millis, minutes, random};
use crate::config::{Config, StoreUrl};
use crate::desk::{self, Restored};
use crate::keys::{
    Anchor, Death, DeathJournal, DeathKind, Fingerprint, KeyError, KeyKind, KeyRing, Mark, ReplicaName, Vault,
    highest_mark,
};
use crate::record;
use crate::store::{self, Conn, DeathWitness, KeyMark, LinkDeath, LinkRow, Store};

/// The names a command may take beside a running service, which holds its own.
const DESK_REPLICAS: [&str; 8] = ["desk", "desk-2", "desk-3", "desk-4", "desk-5", "desk-6", "desk-7", "desk-8"];

/// What staff do about live links whose epoch keys are gone.
pub const LOST_KEYS_REMEDY: &str = "put the latest [keys] dir back; or, if it is lost, start once with \
     --after-restore, which ends them, and send each again with `chartseal deliveries resend ID`";

/// A replica that is started while its predecessor is still letting go waits for it, this often and so long each time.
const JOURNAL_TRIES: u32 = 20;
const JOURNAL_WAIT: Duration = millis(100);
const EPOCH: &str = KeyKind::Epoch.as_str();
/// Longer than any transaction takes from the journal to its commit.
const COMMIT_MAX: Duration = minutes(1);

/// What every process of an installation shares.
#[derive(Clone)]
pub struct Ground {
    pub store: Store,
    pub vault: Vault,
    pub journal: DeathJournal,
    pub clock: Clock,
    pub replica: ReplicaName,
}

/// Where the time comes from.
#[derive(Clone, Copy, Debug)]
pub enum TimeFrom {
    TheStore,
    /// For tests.
    Steps(UtcMillis),
}

/// Whether the person who starts it says that the database was restored from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restore {
    NotSaid,
    Said,
}

/// How a process takes part.
pub enum Part {
    /// A replica of the service, under its own name.
    Service(ReplicaName),
    /// A command beside it.
    Command,
}

impl Ground {
    /// Opens keys, journal and store, and refuses what does not belong together.
    ///
    /// # Errors
    /// Each says what to do.
    pub async fn open(config: &Config, part: Part, time: TimeFrom, restore: Restore) -> anyhow::Result<Self> {
        let ring = open_keys(&config.keys_dir)?;
        let vault = Vault::new(ring);
        let url = store_url(&config.store)?;
        let serves = matches!(part, Part::Service(_));
        if serves {
            Store::migrate(&url).context("the database cannot be brought up to date")?;
        }
        let (journal, replica) = open_journal(&vault, part).await?;
        let witness = Arc::new(Journalled(journal.clone()));
        let store = Store::open_for(&url, replica.as_str(), witness).context("the database cannot be opened")?;
        let store = store.answering_within(config.limits.store_answer_max);
        let now = store.now().await.context("the database cannot be reached")?;
        let clock = match time {
            TimeFrom::TheStore => Clock::following(now),
            TimeFrom::Steps(at) => Clock::stepped(at),
        };
        let ground = Self { store, vault, journal, clock, replica };
        ground.belong_together(restore).await?;
        ground.audit_migrations().await?;
        if serves {
            ground.take_up_again().await?;
            ground.end_the_risen().await?;
            ground.tell_of_lost_keys().await?;
        }
        Ok(ground)
    }

    /// Keys and database must be one pair, and the database no older than what is remembered beside the keys.
    async fn belong_together(&self, restore: Restore) -> anyhow::Result<()> {
        let now = self.clock.now();
        let (dir, mac) = (self.vault.ring().journal_dir(), self.vault.audit_key().clone());
        let remembered = highest_mark(&dir, &mac).context("the high-water mark beside the keys cannot be read")?;
        let (generation, audit_n) =
            self.store.read(|conn| Ok((store::generation(conn)?, store::highest_n(conn)?))).await?;
        let fingerprint = Fingerprint::of(self.vault.ring().root()).to_string();
        match (generation, remembered) {
            (None, None) => self.begin(fingerprint, now).await,
            (None, Some(_)) if restore == Restore::NotSaid => bail!(
                "the database is empty, but these keys have served another one: if it is a new database on purpose, \
                 make new keys with `chartseal init`; if it was lost, restore it and start with --after-restore"
            ),
            (generation, remembered) => {
                let expected = fingerprint.clone();
                let known = self
                    .store
                    .write(move |tx| store::mark_key(tx, KeyKind::Root.as_str(), "root", &fingerprint, now))
                    .await?;
                if known != expected {
                    bail!(
                        "the keys in [keys] dir are not the ones this database was made with: put the right directory \
                         back; nothing was changed"
                    );
                }
                let behind = is_behind(generation.unwrap_or(0), audit_n, remembered.as_ref());
                match (behind, restore) {
                    (Standing::Current, Restore::NotSaid) => Ok(()),
                    (Standing::Older, Restore::NotSaid) => bail!(
                        "the database is older than what is remembered beside the keys: it was restored from a \
                         backup. Start with --after-restore, which ends the links that died since, takes unsent \
                         messages to review, and sends nothing twice"
                    ),
                    (Standing::KeysOlder, Restore::NotSaid) => bail!(
                        "the journal beside the keys is older than the database: put the latest [keys] dir back. If \
                         it is lost, start with --after-restore, which ends every link, since nobody can tell which \
                         of them died"
                    ),
                    (Standing::Current | Standing::Older | Standing::KeysOlder, Restore::Said) => {
                        let remembered = remembered.map_or(0, |mark| mark.generation);
                        self.account_for(remembered, behind, audit_n, now).await
                    }
                }
            }
        }
    }

    async fn audit_migrations(&self) -> anyhow::Result<()> {
        if !self.store.read(store::unaudited_migrations).await?.is_empty() {
            let now = self.clock.now();
            self.store.write(move |tx| store::audit_migrations(tx, now)).await?;
        }
        Ok(())
    }

    async fn begin(&self, fingerprint: String, now: UtcMillis) -> anyhow::Result<()> {
        let installation = LinkId::random(&mut random::system()).to_string();
        self.store
            .write(move |tx| {
                store::mark_key(tx, KeyKind::Root.as_str(), "root", &fingerprint, now)?;
                store::set_installation(tx, &installation, now)?;
                store::set_generation(tx, 1, now)?;
                let event = AuditEvent::Initialised { installation: installation.clone() };
                store::record(tx, Chain::Installation, now, event)
            })
            .await?;
        self.raise_mark(now).await
    }

    async fn account_for(
        &self,
        remembered: u64,
        standing: Standing,
        audit_n: i64,
        now: UtcMillis,
    ) -> anyhow::Result<()> {
        let dead: Vec<LinkId> = self.died()?.into_iter().map(|death| death.link).collect();
        let (kept, lost) = self.dated_keys().await?;
        let has_key = |row: &LinkRow| kept.iter().any(|key| key.kind == EPOCH && key.name == row.epoch);
        let accounted = |row: &LinkRow| match standing {
            Standing::Current | Standing::Older => has_key(row),
            // What the journal does not know, nobody knows.
            Standing::KeysOlder => false,
        };
        let alive = self.store.read(store::live_links).await?;
        let unaccounted: Vec<LinkId> = alive.into_iter().filter(|row| !accounted(row)).map(|row| row.id).collect();
        // Before the numbers are given a second time.
        self.journal.append_anchor(&Anchor::restored(audit_n, now))?;
        let generation = i64::try_from(remembered).unwrap_or(i64::MAX - 1);
        let restored: Restored = self
            .store
            .write(move |tx| {
                for KeyMark { kind, name, .. } in lost {
                    store::forget_key(tx, &kind, &name)?;
                    store::record(tx, Chain::Installation, now, AuditEvent::KeyDestroyed { kind, name })?;
                }
                desk::after_restore(tx, &dead, &unaccounted, generation, now)
            })
            .await
            .context("the restored database could not be brought in line; nothing was changed")?;
        tracing::warn!(
            deaths_applied = restored.deaths_applied,
            links_ended = restored.links_ended,
            to_review = restored.to_review,
            "the restored database is in line again"
        );
        self.raise_mark(now).await
    }

    /// The journal is ours alone, so whoever held a lease in our name is dead.
    async fn take_up_again(&self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let leases = self.store.write(move |tx| store::give_back(tx, now)).await?;
        if leases > 0 {
            tracing::info!(leases, "what an earlier process of this name was at when it died is taken up again");
        }
        Ok(())
    }

    /// A link in the journal is dead. One that lives all the same comes from a copy of the database made moments before
    /// its death, which no mark tells apart, or from a commit that failed; in doubt it stays dead.
    async fn end_the_risen(&self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let alive = self.store.read(store::living_links).await?;
        let alive: HashMap<LinkId, bool> = alive.into_iter().map(|link| (link.id, link.given_out)).collect();
        let is_dead = |death: &Death| {
            alive.get(&death.link).is_some_and(|given_out| {
                // The last opening was given out and its lease may run.
                let runs_out = death.kind == DeathKind::Spent && *given_out;
                // A younger one another replica may be about to commit.
                !runs_out && now.since(death.at) > COMMIT_MAX
            })
        };
        let risen: BTreeSet<LinkId> = self.died()?.into_iter().filter(is_dead).map(|death| death.link).collect();
        let risen: Vec<LinkId> = risen.into_iter().collect();
        if risen.is_empty() {
            return Ok(());
        }
        tracing::warn!(links = risen.len(), "links that the death journal knows as dead were alive; they are ended");
        self.store.write(move |tx| desk::end_links(tx, &risen, now)).await?;
        Ok(())
    }

    /// The dated keys that the database relies on: those that are here, and those that are lost.
    async fn dated_keys(&self) -> anyhow::Result<(Vec<KeyMark>, Vec<KeyMark>)> {
        let held = self.vault.ring().list()?;
        let is_held = |mark: &KeyMark| {
            held.iter().any(|key| {
                (key.kind.as_str(), &key.name, key.fingerprint.to_string())
                    == (mark.kind.as_str(), &mark.name, mark.fingerprint.clone())
            })
        };
        let marks = self.store.read(store::key_marks).await?.into_iter();
        Ok(marks.filter(|mark| mark.kind != KeyKind::Root.as_str() && mark.destroyed_at.is_none()).partition(is_held))
    }

    /// The deliveries whose links live but open for nobody, since their epoch keys are gone.
    ///
    /// # Errors
    /// When keys or database cannot be read.
    pub async fn lost_deliveries(&self) -> anyhow::Result<Vec<DeliveryId>> {
        let (kept, _) = self.dated_keys().await?;
        let is_kept = move |epoch: &String| kept.iter().any(|key| key.kind == EPOCH && key.name == *epoch);
        let lost = move |conn: &mut Conn| {
            let mut epochs = store::epochs_in_use(conn)?;
            epochs.retain(|epoch| !is_kept(epoch));
            store::deliveries_under(conn, &epochs)
        };
        Ok(self.store.read(lost).await?)
    }

    /// Staff must hear of it before patients do.
    async fn tell_of_lost_keys(&self) -> anyhow::Result<()> {
        let lost = self.lost_deliveries().await?.len();
        if lost > 0 {
            tracing::error!(
                links = lost,
                "epoch keys of live links are missing, so nobody can open these links: {LOST_KEYS_REMEDY} \
                 (`chartseal check` names their deliveries)"
            );
        }
        Ok(())
    }

    fn died(&self) -> Result<Vec<Death>, KeyError> {
        let records = DeathJournal::read_all(&self.vault.ring().journal_dir(), self.vault.audit_key())?;
        Ok(records.into_iter().map(|record| record.death).collect())
    }

    /// Remembers beside the keys how far the database has come.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub async fn raise_mark(&self, now: UtcMillis) -> anyhow::Result<()> {
        let (generation, audit_n) =
            self.store.read(|conn| Ok((store::generation(conn)?.unwrap_or(0), store::highest_n(conn)?))).await?;
        self.journal.raise_mark(Mark { generation: u64::try_from(generation).unwrap_or(0), audit_n, at: now })?;
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Current,
    Older,
    KeysOlder,
}

fn is_behind(generation: i64, audit_n: i64, remembered: Option<&Mark>) -> Standing {
    let Some(mark) = remembered else { return Standing::KeysOlder };
    let remembered = (i64::try_from(mark.generation).unwrap_or(i64::MAX), mark.audit_n);
    if (generation, audit_n) < remembered {
        Standing::Older
    } else if generation > remembered.0 {
        Standing::KeysOlder
    } else {
        Standing::Current
    }
}

fn open_keys(dir: &Path) -> anyhow::Result<KeyRing> {
    match KeyRing::open(dir) {
        Ok(ring) => Ok(ring),
        Err(KeyError::RootMissing(_)) => bail!(
            "there are no keys in {}: run `chartseal init` for a new installation, or put the directory of the old one \
             back (without its root key nothing in the database can be read)",
            dir.display()
        ),
        Err(other) => Err(other).context("the keys cannot be opened"),
    }
}

async fn open_journal(vault: &Vault, part: Part) -> anyhow::Result<(DeathJournal, ReplicaName)> {
    let (dir, mac) = (vault.ring().journal_dir(), vault.audit_key());
    match part {
        Part::Service(replica) => {
            for _ in 0..JOURNAL_TRIES {
                match DeathJournal::open(&dir, &replica, mac) {
                    Ok(journal) => return Ok((journal, replica)),
                    Err(KeyError::InUse(_)) => tokio::time::sleep(JOURNAL_WAIT).await,
                    Err(other) => return Err(other).context("the death journal cannot be opened"),
                }
            }
            bail!(
                "another process of this installation runs as replica '{}': give this one its own name with --replica",
                replica.as_str()
            )
        }
        Part::Command => {
            for name in DESK_REPLICAS {
                let replica = ReplicaName::parse(name)?;
                match DeathJournal::open(&dir, &replica, mac) {
                    Ok(journal) => return Ok((journal, replica)),
                    Err(KeyError::InUse(_)) => {}
                    Err(other) => return Err(other).context("the death journal cannot be opened"),
                }
            }
            bail!("too many commands run at once; try again in a moment")
        }
    }
}

/// The address that the store opens, with its password.
///
/// # Errors
/// When the password cannot stand in an address.
pub fn store_url(url: &StoreUrl) -> anyhow::Result<String> {
    match url {
        StoreUrl::Sqlite(path) => Ok(format!("sqlite:{}", path.display())),
        StoreUrl::Postgres { url, password } => {
            let mut url = url.clone();
            if let Some(password) = password
                && url.set_password(Some(password.expose())).is_err()
            {
                bail!("[store] url takes no password");
            }
            Ok(url.to_string())
        }
    }
}

/// Writes deaths to the journal before their transaction commits.
struct Journalled(DeathJournal);

impl DeathWitness for Journalled {
    fn witness(&self, deaths: &[LinkDeath]) -> Result<(), String> {
        let deaths: Vec<Death> = deaths
            .iter()
            .map(|death| Death { link: death.link.clone(), kind: kind_of(death.death), at: death.at })
            .collect();
        self.0.append(&deaths).map_err(|error| error.to_string())
    }
}

const fn kind_of(death: record::Death) -> DeathKind {
    match death {
        record::Death::Spent => DeathKind::Spent,
        record::Death::Expired => DeathKind::Expired,
        record::Death::Revoked => DeathKind::Revoked,
        record::Death::Recalled => DeathKind::Recalled,
        record::Death::Superseded => DeathKind::Superseded,
        record::Death::Unsent => DeathKind::Shredded,
    }
}
