//! Which rules are in force when, as this replica knows it.
//!
//! Must stay true: there are always rules; a version that this program cannot read changes nothing but the log. What is said
//! here is a copy: whoever concludes compares it with the database in the same transaction.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::base::UtcMillis;
use crate::policy::RuleSet;
use crate::store::{self, ActivationRow, Store, StoreError};

/// No activation has this number.
const NONE: i64 = 0;

/// The versions in force and to come, over the rules file. Shared by all who decide.
pub struct Timetable {
    /// In force as long as no version was ever approved.
    file: Arc<RuleSet>,
    loaded: RwLock<Loaded>,
    /// The last activation after which all deliveries were decided again.
    redecided: AtomicI64,
}

#[derive(Default)]
struct Loaded {
    stamp: Option<String>,
    /// Oldest first.
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    row: ActivationRow,
    /// `None`: this program cannot read it.
    rules: Option<Arc<RuleSet>>,
}

/// The rules at one instant.
#[derive(Clone)]
pub struct InForce {
    pub at: UtcMillis,
    /// The activation that the database names; `None`: none, so the file holds.
    pub activation: Option<i64>,
    /// The version that decides.
    pub hash: String,
    pub rules: Arc<RuleSet>,
    /// What these rules are to what the database names.
    pub standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Itself,
    /// This program cannot read what the database names; the version before it decides in its place.
    StandIn,
}

impl Timetable {
    /// Knows the rules file, and nothing of the database yet.
    #[must_use]
    pub fn of_file(file: RuleSet) -> Self {
        Self { file: Arc::new(file), loaded: RwLock::default(), redecided: AtomicI64::new(NONE) }
    }

    #[must_use]
    pub fn file(&self) -> &RuleSet {
        &self.file
    }

    /// What is in force at `now`, as far as this replica knows.
    #[must_use]
    pub fn at(&self, now: UtcMillis) -> InForce {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let mut past = loaded.entries.iter().rev().filter(|entry| entry.row.effective_at <= now).peekable();
        let activation = past.peek().map(|entry| entry.row.n);
        let read = past.find_map(|entry| Some((&entry.row, Arc::clone(entry.rules.as_ref()?))));
        let (decides, hash, rules) = match read {
            Some((row, rules)) => (Some(row.n), row.hash.clone(), rules),
            None => (None, self.file.rules_hash_hex(), Arc::clone(&self.file)),
        };
        let standing = if decides == activation { Standing::Itself } else { Standing::StandIn };
        InForce { at: now, activation, hash, rules, standing }
    }

    /// Reads the timetable again if it changed since.
    ///
    /// # Errors
    /// [`StoreError`]; what was known stays known.
    pub async fn keep_up(&self, store: &Store, now: UtcMillis) -> Result<(), StoreError> {
        let known = self.loaded.read().unwrap_or_else(PoisonError::into_inner).stamp.clone();
        let stamp = store.read(store::rules_stamp).await?;
        if stamp == known { Ok(()) } else { self.load(store, now).await }
    }

    async fn load(&self, store: &Store, now: UtcMillis) -> Result<(), StoreError> {
        // The stamp first: what changes in between is read again at the next turn.
        let (stamp, rows) =
            store.read(move |conn| Ok((store::rules_stamp(conn)?, store::timetable(conn, now)?))).await?;
        let known = self.loaded.read().unwrap_or_else(PoisonError::into_inner).entries.clone();
        let mut entries: Vec<Entry> = Vec::new();
        for row in rows {
            let same = |entry: &&Entry| entry.row.hash == row.hash;
            let rules = match known.iter().find(same).or_else(|| entries.iter().find(same)) {
                Some(entry) => entry.rules.clone(),
                None => read_version(store, &row.hash).await?,
            };
            entries.push(Entry { row, rules });
        }
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Loaded { stamp, entries };
        Ok(())
    }

    pub(super) fn is_redecided(&self, activation: i64) -> bool {
        self.redecided.load(Ordering::Relaxed) == activation
    }

    pub(super) fn redecided(&self, activation: i64) {
        self.redecided.store(activation, Ordering::Relaxed);
    }
}

/// `None` for a version that this program cannot read: an older one may not know what a newer one wrote.
async fn read_version(store: &Store, hash: &str) -> Result<Option<Arc<RuleSet>>, StoreError> {
    let wanted = hash.to_owned();
    let bundle = match store.read(move |conn| store::bundle_of(conn, &wanted)).await {
        Ok(bundle) => bundle,
        Err(StoreError::BadRow { .. }) => None,
        Err(other) => return Err(other),
    };
    let compiled = match bundle {
        Some(bundle) => tokio::task::spawn_blocking(move || bundle.compile().map_err(|faults| faults.to_string()))
            .await
            .unwrap_or_else(|_| Err("its reading stopped unexpectedly".to_owned())),
        None => Err("its text is not kept in a form that this program knows".to_owned()),
    };
    match compiled {
        Ok(rules) => {
            if rules.rules_hash_hex() != hash {
                tracing::warn!(
                    hash,
                    "this program reads a version of the rules otherwise than the one that approved it"
                );
            }
            Ok(Some(Arc::new(rules)))
        }
        Err(why) => {
            tracing::error!(
                hash,
                why,
                "a version of the rules cannot be read by this program; the one before it stays in force here"
            );
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::STARTER_RULES;
    use crate::store::ActivatedBy;

    fn rules(version: &str) -> RuleSet {
        let text = format!(
            "[policy]\nid = \"clinic\"\nversion = \"{version}\"\n\n[[profile]]\nid = \"all\"\nwhen = {{ code = \"loinc|4548-4\" }}\nthen = {{ action = \"send\" }}\n"
        );
        RuleSet::parse(&text).unwrap()
    }

    fn entry(n: i64, at: i64, readable: Option<RuleSet>) -> Entry {
        let row = ActivationRow {
            n,
            hash: format!("hash-{n}"),
            effective_at: UtcMillis(at),
            made_at: UtcMillis(0),
            made_by: "Bob".to_owned(),
            kind: ActivatedBy::Normal,
        };
        Entry { row, rules: readable.map(Arc::new) }
    }

    #[test]
    fn there_are_always_rules_and_an_unreadable_version_leaves_the_one_before_it() {
        let timetable = Timetable::of_file(RuleSet::parse(STARTER_RULES).unwrap());
        let of_file = timetable.file().rules_hash_hex();
        assert_eq!((timetable.at(UtcMillis(0)).activation, timetable.at(UtcMillis(0)).hash), (None, of_file.clone()));
        *timetable.loaded.write().unwrap() = Loaded {
            stamp: Some("3".to_owned()),
            entries: vec![entry(1, 10, None), entry(2, 20, Some(rules("2"))), entry(3, 30, None)],
        };
        let seen = |at| {
            let found = timetable.at(UtcMillis(at));
            (found.activation, found.hash)
        };
        assert_eq!(seen(9), (None, of_file.clone()));
        assert_eq!(seen(10), (Some(1), of_file), "the first one cannot be read: the file stays");
        assert_eq!(seen(20), (Some(2), "hash-2".to_owned()));
        assert_eq!(seen(30), (Some(3), "hash-2".to_owned()));
        let standing = [9, 10, 20, 30].map(|at| timetable.at(UtcMillis(at)).standing);
        assert_eq!(standing, [Standing::Itself, Standing::StandIn, Standing::Itself, Standing::StandIn]);
    }
}
