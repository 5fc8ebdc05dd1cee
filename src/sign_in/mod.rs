//! Who we are to EHRs: the key pairs that all replicas share, in turn.
//!
//! Job: see that each algorithm in use has a current and a next pair, let the next one take over, by a person's word or by time,
//! end what has had its time, and publish the public halves.
//! Must stay true: what signs was published before for long enough; who asks a replica that knows of no change gets a pair that
//! EHRs still take; a private half is in the database sealed, and nowhere else.
//! Must not know: FHIR, tokens, HTTP, which EHR asks.

mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::audit::Actor;
use crate::base::{Clock, OperatorName, UtcMillis, minutes};
use crate::fhir::{AssertionKeys, KeysAway, KeysNow};
use crate::keys::{Vault, VaultError};
use crate::signing::{
    Algorithm, FORMER_KEPT, JWKS_KEPT_BY_READERS, PUBLISHED_MIN, RotateEvery, SigningError, TakeOver, take_over,
};
use crate::store::{self, NewSigningKey, SigningKeyRow, SigningTurn, Store, StoreError, TurnOver};

/// How often a running service looks whether a turn is due.
const LOOK_EVERY: std::time::Duration = minutes(1);
/// How long a replica answers strangers without asking the database again.
const PUBLISHED_KEPT: std::time::Duration = minutes(1);

/// The keys' step.
pub struct SignIn {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    /// What the configured EHRs are shown.
    pub algorithms: BTreeSet<Algorithm>,
    pub rotate_every: RotateEvery,
    pub looked: tokio::sync::Mutex<Option<UtcMillis>>,
    pub published: Mutex<Option<Published>>,
}

/// The public halves as they were read last.
#[derive(Clone)]
pub struct Published {
    at: UtcMillis,
    set: Value,
}

/// Whether a person waits until EHRs can know the next pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    WhenPublished,
    /// The current one may be in wrong hands. EHRs that have not read the set again refuse us until they do.
    AtOnce,
}

/// One pair that took over.
#[derive(Clone, Debug)]
pub struct TookOver {
    pub algorithm: Algorithm,
    pub kid: String,
    pub former: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a signing key in the database cannot be used: {0}")]
    Key(#[from] VaultError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Staff.
    #[error("no EHR is signed in to by a key: set auth = \"smart\" in its [[ehr]] section first")]
    NoneNeeded,
    /// Staff.
    #[error(
        "the next {algorithm} key has not been published for long enough, so EHRs may not know it; wait until {at}, or say \
         --at-once where the current key may be in wrong hands"
    )]
    TooEarly { algorithm: Algorithm, at: UtcMillis },
    /// Us.
    #[error("a part of the keys' step stopped unexpectedly")]
    Stopped,
}

impl SignIn {
    /// Makes what is missing, changes turns where that is due, ends what has had its time. Returns how much was done.
    ///
    /// # Errors
    /// [`SignInError`]; what was not done stays due.
    pub async fn turn(&self) -> Result<usize, SignInError> {
        if self.algorithms.is_empty() {
            return Ok(0);
        }
        let mut looked = self.looked.lock().await;
        let now = self.clock.now();
        if looked.is_some_and(|last| now.since(last) < LOOK_EVERY) {
            return Ok(0);
        }
        let mut done = self.make_missing(&Actor::System).await?;
        for row in self.rows().await?.into_iter().filter(|row| self.algorithms.contains(&row.algorithm)) {
            let SigningTurn::Current { signs_since } = row.turn else { continue };
            let Some(next) = self.next_of(row.algorithm).await? else { continue };
            match take_over(self.rotate_every, signs_since, next.made_at, now) {
                TakeOver::NotDue | TakeOver::TooEarly { .. } => {}
                TakeOver::Now => {
                    self.take_over(row, next, Haste::WhenPublished, &Actor::System).await?;
                    done += 1;
                }
            }
        }
        let ended = self.store.write(move |tx| store::end_signing_keys(tx, now)).await?;
        *looked = Some(now);
        drop(looked);
        if done + ended > 0 {
            self.forget_published();
        }
        Ok(done + ended)
    }

    /// Lets the next pair of each algorithm in use take over, by a person's word.
    ///
    /// # Errors
    /// [`SignInError::TooEarly`], before anything is changed.
    pub async fn rotate(&self, haste: Haste, by: OperatorName) -> Result<Vec<TookOver>, SignInError> {
        if self.algorithms.is_empty() {
            return Err(SignInError::NoneNeeded);
        }
        let (actor, now) = (Actor::Operator(by), self.clock.now());
        self.make_missing(&actor).await?;
        let mut turns = Vec::new();
        for row in self.rows().await?.into_iter().filter(|row| self.algorithms.contains(&row.algorithm)) {
            let SigningTurn::Current { .. } = row.turn else { continue };
            let next = self.next_of(row.algorithm).await?.ok_or(StoreError::Moved)?;
            let at = next.made_at.plus(PUBLISHED_MIN);
            if haste == Haste::WhenPublished && now < at {
                return Err(SignInError::TooEarly { algorithm: row.algorithm, at });
            }
            turns.push((row, next));
        }
        let mut took_over = Vec::new();
        for (row, next) in turns {
            took_over.push(TookOver { algorithm: row.algorithm, kid: next.kid.clone(), former: row.kid.clone() });
            self.take_over(row, next, haste, &actor).await?;
        }
        self.forget_published();
        Ok(took_over)
    }

    /// All pairs with their turns, those of algorithms in use made where they were missing.
    ///
    /// # Errors
    /// [`SignInError::NoneNeeded`] where no EHR takes keys.
    pub async fn listed(&self) -> Result<Vec<SigningKeyRow>, SignInError> {
        if self.algorithms.is_empty() {
            return Err(SignInError::NoneNeeded);
        }
        self.make_missing(&Actor::System).await?;
        let rows = self.rows().await?;
        // That they open is what an operator wants to know who looks because signing in fails.
        for row in &rows {
            keys::open(&self.vault, row)?;
        }
        Ok(rows)
    }

    /// The public halves as a JWK Set (RFC 7517 §5); `None` where no EHR takes keys. A database that is away does not take
    /// away what was read before.
    ///
    /// # Errors
    /// [`SignInError::Store`].
    pub async fn published(&self) -> Result<Option<Value>, SignInError> {
        if self.algorithms.is_empty() {
            return Ok(None);
        }
        let (now, kept) = (self.clock.now(), self.kept_published());
        if let Some(kept) = kept.as_ref().filter(|kept| now.since(kept.at) < PUBLISHED_KEPT) {
            return Ok(Some(kept.set.clone()));
        }
        match self.rows().await {
            Ok(rows) => {
                let set = jwk_set(&rows);
                let published = Published { at: now, set: set.clone() };
                *self.published.lock().unwrap_or_else(PoisonError::into_inner) = Some(published);
                Ok(Some(set))
            }
            Err(error) => kept.map(|kept| Some(kept.set)).ok_or(error),
        }
    }

    fn kept_published(&self) -> Option<Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget_published(&self) {
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What signs first, then what will, then what did and has not ended.
    async fn rows(&self) -> Result<Vec<SigningKeyRow>, SignInError> {
        let (mut rows, now) = (self.store.read(store::signing_keys).await?, self.clock.now());
        rows.retain(|row| match row.turn {
            SigningTurn::Current { .. } | SigningTurn::Next => true,
            SigningTurn::Former { ends_at } => now < ends_at,
        });
        rows.sort_by_key(|row| match row.turn {
            SigningTurn::Current { .. } => 0,
            SigningTurn::Next => 1,
            SigningTurn::Former { .. } => 2,
        });
        Ok(rows)
    }

    async fn next_of(&self, algorithm: Algorithm) -> Result<Option<SigningKeyRow>, SignInError> {
        let rows = self.rows().await?;
        Ok(rows.into_iter().find(|row| row.algorithm == algorithm && row.turn == SigningTurn::Next))
    }

    /// Two pairs of each algorithm in use. Other replicas may be at the same: whoever comes first is right.
    async fn make_missing(&self, by: &Actor) -> Result<usize, SignInError> {
        let mut there: BTreeMap<Algorithm, usize> = BTreeMap::new();
        for row in self.rows().await? {
            match row.turn {
                SigningTurn::Next | SigningTurn::Current { .. } => *there.entry(row.algorithm).or_default() += 1,
                SigningTurn::Former { .. } => {}
            }
        }
        let mut made = 0;
        for algorithm in self.algorithms.clone() {
            for _ in there.get(&algorithm).copied().unwrap_or(0)..2 {
                let (key, now, by) = (self.make(algorithm).await?, self.clock.now(), by.clone());
                made += usize::from(self.store.write(move |tx| store::add_signing_key(tx, &key, now, &by)).await?);
            }
        }
        Ok(made)
    }

    async fn take_over(
        &self,
        row: SigningKeyRow,
        next: SigningKeyRow,
        haste: Haste,
        by: &Actor,
    ) -> Result<(), SignInError> {
        // Before it takes over: a pair that cannot sign would lock us out everywhere.
        keys::open(&self.vault, &next)?;
        let now = self.clock.now();
        let turn = TurnOver {
            algorithm: row.algorithm,
            current: row.kid,
            next: next.kid,
            after: self.make(row.algorithm).await?,
            former_ends_at: match haste {
                Haste::WhenPublished => now.plus(FORMER_KEPT),
                // Nobody is told to trust any longer what may be in other hands.
                Haste::AtOnce => now,
            },
        };
        let by = by.clone();
        match self.store.write(move |tx| store::turn_signing_keys(tx, &turn, now, &by)).await {
            // Another replica was quicker.
            Ok(()) | Err(StoreError::Moved) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn make(&self, algorithm: Algorithm) -> Result<NewSigningKey, SignInError> {
        let vault = self.vault.clone();
        spawn_blocking(move || keys::make(&vault, algorithm)).await.map_err(|_| SignInError::Stopped)?
    }

    async fn keys_now(&self, algorithm: Algorithm) -> Result<KeysNow, SignInError> {
        let mut rows = self.rows().await?;
        if !rows.iter().any(|row| row.algorithm == algorithm && keys::is_current(row)) {
            self.make_missing(&Actor::System).await?;
            rows = self.rows().await?;
        }
        let vault = self.vault.clone();
        spawn_blocking(move || keys::choose(&vault, &rows, algorithm)).await.map_err(|_| SignInError::Stopped)?
    }
}

impl AssertionKeys for SignIn {
    fn keys(&self, algorithm: Algorithm) -> BoxFuture<'_, Result<KeysNow, KeysAway>> {
        Box::pin(async move {
            self.keys_now(algorithm).await.map_err(|error| {
                tracing::error!(%error, %algorithm, "the key that signs for this installation cannot be used");
                KeysAway
            })
        })
    }
}

/// Seconds for which whoever reads the set may keep it.
#[must_use]
pub const fn published_for_seconds() -> u64 {
    JWKS_KEPT_BY_READERS.as_secs()
}

/// The public halves of `rows`.
#[must_use]
pub fn jwk_set(rows: &[SigningKeyRow]) -> Value {
    let keys: Vec<Value> = rows.iter().filter_map(|row| serde_json::from_str(&row.jwk).ok()).collect();
    json!({ "keys": keys })
}
