//! From kept events to resources that are due.

use futures_util::{StreamExt as _, stream};

use super::count::Numbering;
use super::topic::note;
use super::{Intake, IntakeError, LEASE};
use crate::audit::{Actor, AuditEvent, Chain, Entry, HeardBy};
use crate::base::{EhrId, FhirId, ResourceKey, ResourceType, UtcMillis, minutes, random};
use crate::fhir::{BROKEN_RESOURCE, Beside, Heard, HookContent, HookMethod, HookPath, HookSaid, read_hook};
use crate::keys::{KeyKind, KeyName, VaultError};
use crate::sealing::Purpose;
use crate::store::{self, EventEnd, Hearing, StoreError, StoredEvent, Tx};

/// Events in one turn.
const BATCH: i64 = 64;
/// Of these, so many are under way at once, so that many share a commit.
const AT_ONCE: usize = 8;
/// A larger body is read alone.
const SMALL_BODY_BYTES_MAX: u64 = 64 * 1024;

impl Intake {
    pub(super) async fn extract_turn(&self) -> Result<usize, IntakeError> {
        let now = self.clock.now();
        let events = self.store.write(move |tx| store::lease_events(tx, now, now.plus(LEASE), BATCH)).await?;
        let count = events.len();
        let (small, large): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|one| one.body_bytes <= SMALL_BODY_BYTES_MAX);
        let mut fault = None;
        for (events, at_once) in [(small, AT_ONCE), (large, 1)] {
            let mut under_way = stream::iter(events).map(|event| self.extract(event, now)).buffer_unordered(at_once);
            while let Some(end) = under_way.next().await {
                match end {
                    Ok(()) => {}
                    Err(outage) if outage.is_outage() => return Err(outage),
                    // It comes again when its lease ends; the others need not wait for it.
                    Err(one) => fault = fault.or(Some(one)),
                }
            }
        }
        if count > 0 {
            self.due.ring();
        }
        fault.map_or(Ok(count), Err)
    }

    async fn extract(&self, event: StoredEvent, now: UtcMillis) -> Result<(), IntakeError> {
        let (vault, id) = (self.vault.clone(), event.id.clone());
        // Somebody else ended it: their end stands.
        let Some(kept) = self.store.read(move |conn| store::event_body(conn, &id)).await? else { return Ok(()) };
        // A body is opened and read away from the async workers.
        let (event, said) = tokio::task::spawn_blocking(move || {
            let body = KeyName::parse(KeyKind::Intake, &kept.key)
                .map_err(|_| VaultError::NotOurs)
                .and_then(|key| vault.open_dated(&key, Purpose::RawEvent, event.id.as_str(), &kept.sealed));
            let said = body.map(|body| said_by(&event.method, event.path.as_ref(), &body));
            (event, said)
        })
        .await
        .map_err(|_| IntakeError::Stopped)?;
        let said = match said {
            Ok(said) => said,
            Err(VaultError::KeyGone | VaultError::NotOurs) => HookSaid::unreadable("the key of the kept body is gone"),
            Err(VaultError::Key(error)) => {
                tracing::error!(%error, "an intake key cannot be read");
                let retry = now.plus(minutes(1));
                return Ok(self.store.write(move |tx| store::retry_event(tx, &event.id, retry)).await?);
            }
        };
        let hook = self.ehr(&event.ehr).and_then(|ehr| ehr.hook.as_ref());
        let numbering = hook.map_or(Numbering::None, |hook| hook.numbering);
        Ok(self.store.write(move |tx| conclude(tx, &event, said, numbering, now)).await?)
    }
}

/// What a call says: its method, what its address named, its body.
pub(super) fn said_by(method: &str, path: Option<&(ResourceType, FhirId)>, body: &[u8]) -> HookSaid {
    let method = match method {
        "PUT" => HookMethod::Put,
        "DELETE" => HookMethod::Delete,
        _ => HookMethod::Post,
    };
    let path = match path {
        Some((kind, id)) => HookPath::Resource { kind: kind.as_str(), id: id.as_str() },
        None => HookPath::Bare,
    };
    read_hook(body, path, method)
}

fn conclude(
    tx: &mut Tx,
    event: &StoredEvent,
    said: HookSaid,
    numbering: Numbering,
    now: UtcMillis,
) -> Result<(), StoreError> {
    // First: whoever looks after the subscription takes its row before any other.
    if let Some(notification) = &said.notification {
        note(tx, &event.ehr, notification, numbering, now)?;
    }
    let end = match said.content {
        content @ (HookContent::Changed(_) | HookContent::Ping | HookContent::Other(_)) => {
            let beside = said.beside;
            conclude_heard(tx, event, content, now)?;
            conclude_beside(tx, event, beside, now)?
        }
        HookContent::Unreadable { why } => quarantined(tx, event, why, now)?,
    };
    store::finish_event(tx, &event.id, &end)
}

fn conclude_heard(tx: &mut Tx, event: &StoredEvent, content: HookContent, now: UtcMillis) -> Result<(), StoreError> {
    match content {
        HookContent::Changed(mut changed) => {
            // In one order everywhere: who hears the same in another order would wait for us, and we for them.
            changed.sort_by(|one, other| one.place().cmp(&other.place()));
            for heard in changed {
                let by_hook = AuditEvent::Heard { sha256: event.sha256.clone(), by: HeardBy::Hook };
                hear_one(tx, &event.ehr, heard, by_hook, now)?;
            }
            Ok(())
        }
        HookContent::Ping => store::poll_sooner(tx, &event.ehr, now),
        HookContent::Other(_) | HookContent::Unreadable { .. } => Ok(()),
    }
}

/// What stood beside it and could not be read may have been a recall.
fn conclude_beside(tx: &mut Tx, event: &StoredEvent, beside: Beside, now: UtcMillis) -> Result<EventEnd, StoreError> {
    match beside {
        Beside::Nothing => Ok(EventEnd::Done),
        // Some EHRs name what changed by identifiers of their own, always: nothing for staff to look at.
        Beside::UnnamedEvent => {
            store::poll_sooner(tx, &event.ehr, now)?;
            Ok(EventEnd::Done)
        }
        Beside::BrokenResource => quarantined(tx, event, BROKEN_RESOURCE, now),
    }
}

fn quarantined(tx: &mut Tx, event: &StoredEvent, why: &str, now: UtcMillis) -> Result<EventEnd, StoreError> {
    store::record(tx, Chain::Ehr(event.ehr.clone()), now, AuditEvent::Quarantined { why: why.to_owned() })?;
    // Whatever it meant to say, the search will find it.
    store::poll_sooner(tx, &event.ehr, now)?;
    Ok(EventEnd::Quarantined { why: why.to_owned() })
}

/// Makes one resource due, and says by `event` in its chain how it was heard of.
pub(super) fn hear_one(
    tx: &mut Tx,
    ehr: &EhrId,
    heard: Heard,
    event: AuditEvent,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let key = ResourceKey { ehr: ehr.clone(), kind: heard.kind, id: heard.id };
    match store::hear(tx, &key, heard.version.as_ref(), now, &mut random::system())? {
        Hearing::Due(source) => store::append(
            tx,
            &Entry { chain: Chain::Source(source), at: now, clinic: None, actor: Actor::Ehr(ehr.clone()), event },
        ),
        Hearing::Known(_) => Ok(()),
    }
}
