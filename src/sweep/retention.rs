//! Retention, by class, and the end of dated keys.

use std::time::Duration;

use super::{Sweep, SweepError};
use crate::audit::{AuditEvent, Chain};
use crate::base::{UtcMillis, hours};
use crate::keys::{KeyKind, KeyName};
use crate::record::{NOTICE_WAIT_MAX, OPENING_LEASE_MAX};
use crate::store::{self, StoreError, Tx};

/// What staff recorded of an address outlives the deliveries for which they did: a rule may ask for it a year later.
const CONTACT_STATES_KEPT: Duration = hours(3 * 365 * 24);
/// Patients forgotten in one turn.
const PATIENTS_BATCH: i64 = 500;
/// A dated key outlives its hour or day by this much, for work begun at its end.
const KEY_MARGIN: Duration = hours(1);

/// How long each class of data is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub raw_events: Duration,
    pub quarantine: Duration,
    pub contacts: Duration,
    pub facts: Duration,
    pub tombstones: Duration,
    pub audit: Duration,
}

impl Sweep {
    /// Each class by itself, so that one which fails holds up no other.
    ///
    /// # Errors
    /// The first, after every other class was done all the same.
    pub(super) async fn retain(&self, now: UtcMillis) -> Result<(), SweepError> {
        let keep = self.retention;
        let classes = [
            self.forget("events", now, move |tx| {
                store::delete_events_before(tx, now.minus(keep.raw_events), now.minus(keep.quarantine))
            })
            .await,
            self.forget("contacts", now, move |tx| store::forget_cards(tx, now.minus(keep.contacts))).await,
            self.forget("facts", now, move |tx| store::forget_facts(tx, now.minus(keep.facts))).await,
            self.forget("tombstones", now, move |tx| {
                let before = now.minus(keep.tombstones);
                store::forget_staff_mails(tx, before)?;
                Ok(store::forget_links_before(tx, before)? + store::forget_wishes(tx, before)?)
            })
            .await,
            self.forget("marks of documents", now, move |tx| store::forget_marks(tx, now.minus(store::MARKS_KEPT)))
                .await,
            self.forget("what EHRs were told", now, move |tx| store::forget_told(tx, now.minus(keep.facts))).await,
            self.forget("patients", now, move |tx| {
                let patients = store::patients_without_deliveries(tx.conn(), now.minus(keep.contacts), PATIENTS_BATCH)?;
                for patient in &patients {
                    store::forget_patient(tx, patient, now)?;
                }
                Ok(patients.len() as u64)
            })
            .await,
            self.forget("what was recorded of addresses", now, move |tx| {
                store::forget_contacts(tx, now.minus(CONTACT_STATES_KEPT))
            })
            .await,
            self.forget("audit lines", now, move |tx| store::remove_lines_before(tx, now.minus(keep.audit))).await,
        ];
        classes.into_iter().collect()
    }

    async fn forget(
        &self,
        what: &'static str,
        now: UtcMillis,
        class: impl FnOnce(&mut Tx) -> Result<u64, StoreError> + Send + 'static,
    ) -> Result<(), SweepError> {
        let forgotten = self.store.write(move |tx| {
            let removed = class(tx)?;
            note(tx, what, removed, now)
        });
        Ok(forgotten.await?)
    }

    /// Destroys dated keys whose time is over: this is the instant at which a backup of the database opens nothing
    /// any more.
    pub(super) async fn destroy_keys(&self, now: UtcMillis) -> Result<(), SweepError> {
        let ring = self.vault.ring().clone();
        let held = tokio::task::spawn_blocking(move || ring.list()).await.map_err(|_| SweepError::Stopped)??;
        let (in_use, marks) =
            self.store.read(|conn| Ok((store::epochs_in_use(conn)?, store::key_marks(conn)?))).await?;
        let is_over = |kind: KeyKind, name: &str| match kind {
            KeyKind::Root => false,
            KeyKind::Epoch => {
                name < now.minus(KEY_MARGIN + OPENING_LEASE_MAX).day().as_str()
                    && !in_use.iter().any(|used| used == name)
            }
            KeyKind::Outbox => name < now.minus(NOTICE_WAIT_MAX + KEY_MARGIN * 2).hour().as_str(),
            KeyKind::Intake => name < now.minus(self.retention.quarantine + KEY_MARGIN).day().as_str(),
        };
        for info in held.iter().filter(|info| is_over(info.kind, &info.name)) {
            let Ok(name) = KeyName::parse(info.kind, &info.name) else { continue };
            self.destroy(name).await?;
            self.note_destroyed(info.kind, info.name.clone(), now).await?;
        }
        // Its destroyer died, or met a full disk, before it could note it: what it left is wiped first.
        for mark in marks.into_iter().filter(|mark| mark.destroyed_at.is_none()) {
            let Some(kind) = KeyKind::ALL.into_iter().find(|kind| kind.as_str() == mark.kind) else { continue };
            let is_held = held.iter().any(|info| info.kind == kind && info.name == mark.name);
            let Ok(name) = KeyName::parse(kind, &mark.name) else { continue };
            if !is_held && is_over(kind, &mark.name) {
                self.destroy(name).await?;
                self.note_destroyed(kind, mark.name, now).await?;
            }
        }
        Ok(())
    }

    async fn destroy(&self, name: KeyName) -> Result<(), SweepError> {
        let ring = self.vault.ring().clone();
        tokio::task::spawn_blocking(move || ring.destroy(&name)).await.map_err(|_| SweepError::Stopped)??;
        Ok(())
    }

    /// Notes once that a key is gone, whoever destroyed it.
    async fn note_destroyed(&self, kind: KeyKind, name: String, now: UtcMillis) -> Result<(), SweepError> {
        let kind = kind.as_str();
        self.store
            .write(move |tx| match store::destroyed_key(tx, kind, &name, now)? {
                0 => Ok(()),
                _ => store::record(
                    tx,
                    Chain::Installation,
                    now,
                    AuditEvent::KeyDestroyed { kind: kind.to_owned(), name },
                ),
            })
            .await?;
        Ok(())
    }
}

fn note(tx: &mut Tx, what: &str, removed: u64, now: UtcMillis) -> Result<(), StoreError> {
    if removed == 0 {
        return Ok(());
    }
    store::record(tx, Chain::Installation, now, AuditEvent::Retained { what: what.to_owned(), removed })
}
