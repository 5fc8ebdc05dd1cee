//! Retention, by class, and the end of dated keys.

use std::time::Duration;

use super::{Sweep, SweepError};
use crate::audit::{AuditEvent, Chain};
use crate::base::{UtcMillis, hours};
use crate::keys::{KeyKind, KeyName};
use crate::record::{NOTICE_WAIT_MAX, OPENING_LEASE_MAX};
use crate::store::{self, StoreError, Tx};

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
    pub(super) async fn retain(&self, now: UtcMillis) -> Result<(), SweepError> {
        let keep = self.retention;
        self.store
            .write(move |tx| {
                let events = store::delete_events_before(tx, now.minus(keep.raw_events), now.minus(keep.quarantine))?;
                note(tx, "events", events, now)?;
                let cards = store::forget_cards(tx, now.minus(keep.contacts))?;
                note(tx, "contacts", cards, now)?;
                let facts = store::forget_facts(tx, now.minus(keep.facts))?;
                note(tx, "facts", facts, now)?;
                let tombstones = store::forget_links_before(tx, now.minus(keep.tombstones))?;
                note(tx, "tombstones", tombstones, now)?;
                let patients = store::patients_without_deliveries(tx.conn(), now.minus(keep.contacts), PATIENTS_BATCH)?;
                for patient in &patients {
                    store::forget_patient(tx, patient, now)?;
                }
                note(tx, "patients", patients.len() as u64, now)?;
                let lines = store::remove_lines_before(tx, now.minus(keep.audit))?;
                note(tx, "audit lines", lines, now)
            })
            .await?;
        Ok(())
    }

    /// Destroys dated keys whose time is over: this is the instant at which a backup of the database opens nothing
    /// any more.
    pub(super) async fn destroy_keys(&self, now: UtcMillis) -> Result<(), SweepError> {
        let ring = self.vault.ring().clone();
        let keys = tokio::task::spawn_blocking(move || ring.list()).await.map_err(|_| SweepError::Stopped)??;
        let in_use = self.store.read(store::epochs_in_use).await?;
        for info in keys {
            let over = match info.kind {
                KeyKind::Root => false,
                KeyKind::Epoch => {
                    info.name < now.minus(KEY_MARGIN + OPENING_LEASE_MAX).day() && !in_use.contains(&info.name)
                }
                KeyKind::Outbox => info.name < now.minus(NOTICE_WAIT_MAX + KEY_MARGIN * 2).hour(),
                KeyKind::Intake => info.name < now.minus(self.retention.quarantine + KEY_MARGIN).day(),
            };
            if !over {
                continue;
            }
            let Ok(name) = KeyName::parse(info.kind, &info.name) else { continue };
            let ring = self.vault.ring().clone();
            let gone = name.clone();
            tokio::task::spawn_blocking(move || ring.destroy(&gone)).await.map_err(|_| SweepError::Stopped)??;
            self.store
                .write(move |tx| {
                    store::destroyed_key(tx, name.kind().as_str(), name.as_str(), now)?;
                    let event = AuditEvent::KeyDestroyed {
                        kind: name.kind().as_str().to_owned(),
                        name: name.as_str().to_owned(),
                    };
                    store::record(tx, Chain::Installation, now, event)
                })
                .await?;
        }
        Ok(())
    }
}

fn note(tx: &mut Tx, what: &str, removed: u64, now: UtcMillis) -> Result<(), StoreError> {
    if removed == 0 {
        return Ok(());
    }
    store::record(tx, Chain::Installation, now, AuditEvent::Retained { what: what.to_owned(), removed })
}
