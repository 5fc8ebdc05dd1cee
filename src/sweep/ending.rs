//! Leases, lives and files that have ended.

use super::{Sweep, SweepError};
use crate::audit::{Actor, AuditEvent};
use crate::base::{DeliveryId, LinkId, UtcMillis, hours};
use crate::blobs::{BlobError, BlobKey};
use crate::record::LinkEvent;
use crate::store::{self, Delivery, StoreError, Tx};

/// Links handled in one turn.
const BATCH: i64 = 200;
/// Leases ended in one transaction, and in one turn: their links are held until it commits, and patients wait for them.
const LAPSE_BATCH: i64 = 50;
/// A stored file that no link knows of after this time is what a release left that died half-way.
const ORPHAN_AGE: std::time::Duration = hours(2);
/// Files asked about at once.
const ORPHAN_BATCH: usize = 500;

impl Sweep {
    /// Ends some of the leases that ran out; a link whose last opening that was is spent.
    pub(super) async fn lapse(&self, now: UtcMillis) -> Result<usize, SweepError> {
        let lapsed = self
            .store
            .write(move |tx| {
                let lapsed = store::lapse_openings(tx, now, LAPSE_BATCH)?;
                for opening in &lapsed {
                    note_lapse(tx, &opening.link, now)?;
                }
                Ok(lapsed.len())
            })
            .await?;
        Ok(lapsed)
    }

    /// Ends lives that ran out, once no claim is running.
    pub(super) async fn expire(&self, now: UtcMillis) -> Result<usize, SweepError> {
        let links = self.store.read(move |conn| store::links_due_to_expire(conn, now, BATCH)).await?;
        let mut ended = Vec::new();
        for link in links {
            ended.push(self.store.write(move |tx| expire_one(tx, &link, now)).await);
        }
        Ok(ended.into_iter().sum::<Result<_, _>>()?)
    }

    /// Removes the sealed files of dead links.
    pub(super) async fn remove_files(&self, now: UtcMillis) -> Result<usize, SweepError> {
        let dead = self.store.read(|conn| store::dead_links_with_files(conn, BATCH)).await?;
        let mut removed = Vec::new();
        for (link, owner, files) in dead {
            removed.push(self.remove_files_of(link, owner, files, now).await.map(|()| 1));
        }
        removed.into_iter().sum()
    }

    async fn remove_files_of(
        &self,
        link: LinkId,
        owner: DeliveryId,
        files: Vec<String>,
        now: UtcMillis,
    ) -> Result<(), SweepError> {
        let blobs = self.blobs.clone();
        tokio::task::spawn_blocking(move || {
            for file in &files {
                if let Ok(key) = BlobKey::parse(file) {
                    blobs.remove(&key)?;
                }
            }
            Ok::<_, BlobError>(())
        })
        .await
        .map_err(|_| SweepError::Stopped)??;
        self.store
            .write(move |tx| {
                store::files_removed(tx, &link, now)?;
                match store::delivery(tx.conn(), &owner)? {
                    Some(owner) => {
                        store::append(tx, &owner.entry(now, Actor::System, AuditEvent::FilesRemoved { link }))
                    }
                    None => Ok(()),
                }
            })
            .await?;
        Ok(())
    }

    /// Removes stored files that no link knows of.
    pub(super) async fn remove_orphans(&self, now: UtcMillis) -> Result<(), SweepError> {
        let blobs = self.blobs.clone();
        let old = tokio::task::spawn_blocking(move || {
            blobs.remove_abandoned(now.minus(ORPHAN_AGE))?;
            let found: Result<Vec<_>, _> = blobs.list_older_than(now.minus(ORPHAN_AGE))?.collect();
            found
        })
        .await
        .map_err(|_| SweepError::Stopped)??;
        for chunk in old.chunks(ORPHAN_BATCH) {
            let names: Vec<String> = chunk.iter().map(|info| info.key.as_str().to_owned()).collect();
            let known = self.store.read(move |conn| store::known_blobs(conn, &names)).await?;
            for info in chunk.iter().filter(|info| !known.iter().any(|name| name == info.key.as_str())) {
                tracing::info!("removed a sealed file that no link knows of");
                self.blobs.remove(&info.key)?;
            }
        }
        Ok(())
    }
}

fn note_lapse(tx: &mut Tx, link: &LinkId, now: UtcMillis) -> Result<(), StoreError> {
    let Some(owner) = store::owner_of_link(tx.conn(), link)? else { return Ok(()) };
    store::append(tx, &owner.entry(now, Actor::System, AuditEvent::Lapsed { link: link.clone() }))?;
    store::spend_if_used_up(tx, link, Actor::System, now)
}

fn expire_one(tx: &mut Tx, link: &LinkId, now: UtcMillis) -> Result<usize, StoreError> {
    let Some(owner) = owner_of(tx, link)? else {
        return store::shred_link(tx, link, now).map(|()| 0);
    };
    if store::running_claims(tx.conn(), link, now)? > 0 {
        return Ok(0);
    }
    match owner.state.clone().step(LinkEvent::LifeEnded, now) {
        Ok(step) => store::advance(tx, &owner, &step, Actor::System, now).map(|()| 1),
        Err(_) => Ok(0),
    }
}

/// The delivery that a link belongs to, held until the transaction ends.
fn owner_of(tx: &mut Tx, link: &LinkId) -> Result<Option<Delivery>, StoreError> {
    match store::delivery_of_link(tx.conn(), link)? {
        Some(owner) => store::hold_delivery(tx, &owner.id),
        None => Ok(None),
    }
}
