//! Walking over what an EHR shows, and hearing of it page by page: however much there is, no more than a page is held.

use std::time::Duration;

use super::{HeardEhr, Intake, IntakeError};
use crate::audit::{Actor, AuditEvent, Chain, Entry, HeardBy};
use crate::base::{EhrId, FhirId, ResourceKey, ResourceType, UtcMillis, random};
use crate::fhir::{EhrError, Heard, Step, Walk, WalkEnd};
use crate::store::{self, Hearing, StoreError, Tx};

/// Resources noted in one transaction.
const CHUNK: usize = 200;

/// What hearing of a resource is to lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HearAs {
    /// The EHR says that it changed.
    Changed,
    /// The EHR shows it, whenever it changed.
    Shown,
    /// It is recorded, each `apart` after the one before.
    Past { apart: Duration },
    /// It is read once more, each `apart` after the one before.
    Again { apart: Duration },
}

/// How a walk went.
pub(super) enum Walked {
    Whole {
        /// The EHR's own time at its beginning.
        date: Option<UtcMillis>,
    },
    Incomplete {
        why: &'static str,
    },
    Forgotten,
    TooMuch,
    Failed(EhrError),
}

/// What a walk found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Resources that were shown.
    pub seen: u64,
    /// Of those, what is read because of it.
    pub due: u64,
}

impl Intake {
    /// Walks to the end.
    pub(super) async fn hear_walk(
        &self,
        ehr: &HeardEhr,
        kind: ResourceType,
        mut walk: Walk<'_>,
        how: HearAs,
        now: UtcMillis,
    ) -> Result<(Walked, Tally), IntakeError> {
        let first = walk.step().await;
        self.hear_on(ehr, kind, &mut walk, first, how, now).await
    }

    /// Goes on with a walk whose first step was taken.
    pub(super) async fn hear_on(
        &self,
        ehr: &HeardEhr,
        kind: ResourceType,
        walk: &mut Walk<'_>,
        first: Result<Step, EhrError>,
        how: HearAs,
        now: UtcMillis,
    ) -> Result<(Walked, Tally), IntakeError> {
        let (mut step, mut tally) = (first, Tally::default());
        let end = loop {
            match step {
                Ok(Step::Page { changed, deleted }) => {
                    self.hear_page(ehr.client.id(), changed, how, now, &mut tally).await?;
                    self.hear_deleted(ehr.client.id(), kind, deleted, now, &mut tally).await?;
                }
                Ok(Step::End(WalkEnd::Whole)) => break Walked::Whole { date: walk.server_date() },
                Ok(Step::End(WalkEnd::Incomplete { why })) => break Walked::Incomplete { why },
                Ok(Step::End(WalkEnd::Forgotten)) => break Walked::Forgotten,
                Ok(Step::End(WalkEnd::TooMuch)) => break Walked::TooMuch,
                Err(error) => break Walked::Failed(error),
            }
            step = walk.step().await;
        };
        Ok((end, tally))
    }

    async fn hear_page(
        &self,
        ehr: &EhrId,
        heard: Vec<Heard>,
        how: HearAs,
        now: UtcMillis,
        tally: &mut Tally,
    ) -> Result<(), IntakeError> {
        let mut heard = heard;
        // In one order everywhere: who hears the same in another order would wait for us, and we for them.
        heard.sort_by(|one, other| one.place().cmp(&other.place()));
        let before = tally.due;
        while !heard.is_empty() {
            let chunk: Vec<Heard> = heard.drain(..heard.len().min(CHUNK)).collect();
            tally.seen += chunk.len() as u64;
            let (ehr, first) = (ehr.clone(), tally.due);
            tally.due += self
                .store
                .write(move |tx| {
                    let mut due = 0;
                    for one in chunk {
                        due += u64::from(hear_one(tx, &ehr, one, how, first + due, now)?);
                    }
                    Ok(due)
                })
                .await?;
        }
        if tally.due > before {
            self.due.ring();
        }
        Ok(())
    }

    async fn hear_deleted(
        &self,
        ehr: &EhrId,
        kind: ResourceType,
        deleted: Vec<FhirId>,
        now: UtcMillis,
        tally: &mut Tally,
    ) -> Result<(), IntakeError> {
        let mut deleted = deleted;
        deleted.sort();
        tally.seen += deleted.len() as u64;
        // Most often nothing is news: a look costs no write.
        let mut followed = Vec::new();
        for id in deleted {
            let key = ResourceKey { ehr: ehr.clone(), kind, id };
            let asked = key.clone();
            if self.store.read(move |conn| store::is_followed(conn, &asked)).await? {
                followed.push(key);
            }
        }
        if followed.is_empty() {
            return Ok(());
        }
        let ehr = ehr.clone();
        let gone = move |tx: &mut Tx| {
            let mut due = 0;
            for key in followed {
                if let Some(source) = store::heard_to_be_gone(tx, &key, now)? {
                    due += 1;
                    note(tx, &ehr, Chain::Source(source), now)?;
                }
            }
            Ok(due)
        };
        tally.due += self.store.write(gone).await?;
        self.due.ring();
        Ok(())
    }
}

/// Whether it is read because of this.
fn hear_one(
    tx: &mut Tx,
    ehr: &EhrId,
    heard: Heard,
    how: HearAs,
    place: u64,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let key = ResourceKey { ehr: ehr.clone(), kind: heard.kind, id: heard.id };
    let (version, mut rng) = (heard.version.as_ref(), random::system());
    let later = |apart: Duration| now.plus(apart.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX)));
    let hearing = match how {
        HearAs::Changed => store::hear(tx, &key, version, now, &mut rng)?,
        HearAs::Shown => store::hear_if_new(tx, &key, version, now, &mut rng)?,
        HearAs::Past { apart } => store::hear_of_the_past(tx, &key, version, later(apart), now, &mut rng)?,
        HearAs::Again { apart } => store::hear_again_in_full(tx, &key, version, later(apart), now, &mut rng)?,
    };
    match hearing {
        Hearing::Due(source) => note(tx, ehr, Chain::Source(source), now).map(|()| true),
        Hearing::Known(_) => Ok(false),
    }
}

fn note(tx: &mut Tx, ehr: &EhrId, chain: Chain, now: UtcMillis) -> Result<(), StoreError> {
    let event = AuditEvent::Heard { sha256: String::new(), by: HeardBy::Poll };
    store::append(tx, &Entry { chain, at: now, clinic: None, actor: Actor::Ehr(ehr.clone()), event })
}
