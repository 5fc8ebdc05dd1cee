//! One authenticated call of a hook: kept, so that it can be acknowledged.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::authentic::{Authentic, HookHeaders};
use super::extract::said_by;
use super::{Intake, IntakeError};
use crate::base::{EventId, FhirId, ResourceType, random};
use crate::fhir::HookContent;
use crate::keys::{KeyName, VaultError};
use crate::sealing::Purpose;
use crate::store::{self, NewEvent};

/// Only of a body up to this size is it looked at the door what it speaks of.
const ABOUT_BODY_BYTES_MAX: usize = 64 * 1024;
/// Of one call so many resources are looked up at the door, whether links are out to them.
const ABOUT_MAX: usize = 16;

/// A call as the web layer received it.
pub struct HookCall {
    pub from: Authentic,
    pub method: &'static str,
    /// What it names outside its body, if anything.
    pub named: Option<Named>,
    pub body: HookBody,
}

/// The resource that a call names outside its body. A hint, like all of a call.
pub struct Named(ResourceType, FhirId);

impl Named {
    /// From the address after the EHR's id, else from the header of a delete. Naming no resource of ours is no fault:
    /// the body may.
    #[must_use]
    pub fn by(path: Option<(&str, &str)>, headers: &HookHeaders<'_>) -> Option<Self> {
        let in_path = path.and_then(|(kind, id)| Some((kind.parse().ok()?, FhirId::parse(id).ok()?)));
        in_path.or_else(|| headers.deleted()).map(|(kind, id)| Self(kind, id))
    }
}

pub enum HookBody {
    Whole(Vec<u8>),
    /// Larger than the limit, or in an encoding that is not read: kept as if it were an empty ping.
    Unread,
}

impl Intake {
    /// Keeps an authenticated call, sealed; returns after it is durable.
    ///
    /// # Errors
    /// [`IntakeError`]: the EHR must be told to try again.
    pub async fn keep(&self, call: HookCall) -> Result<(), IntakeError> {
        let now = self.clock.now();
        let vault = self.vault.clone();
        let id = EventId::random(&mut random::system());
        let (event, fingerprint, key) = tokio::task::spawn_blocking(move || {
            let body = match call.body {
                HookBody::Whole(body) => body,
                HookBody::Unread => Vec::new(),
            };
            let path = call.named.map(|Named(kind, id)| (kind, id));
            let about = about(call.method, path.as_ref(), &body);
            let key = KeyName::intake(now);
            let sealed = vault.seal_dated(&key, Purpose::RawEvent, id.as_str(), &body)?;
            let event = NewEvent {
                id,
                ehr: call.from.ehr().clone(),
                at: now,
                method: call.method,
                path,
                about,
                sha256: HEXLOWER.encode(&Sha256::digest(&body)),
                body_bytes: body.len() as u64,
                body_sealed: sealed.bytes,
                body_key: key.as_str().to_owned(),
            };
            Ok::<_, VaultError>((event, sealed.fingerprint.to_string(), key))
        })
        .await
        .map_err(|_| IntakeError::Stopped)??;
        self.store
            .write(move |tx| {
                store::use_dated_key(tx, key.kind().as_str(), key.as_str(), &fingerprint, now)?;
                store::hook_called(tx, &event.ehr, now)?;
                store::insert_event(tx, &event)
            })
            .await?;
        self.kept.ring();
        Ok(())
    }
}

/// What a call speaks of: it is looked into afterwards, and sooner where that concerns a link that is out.
fn about(method: &str, path: Option<&(ResourceType, FhirId)>, body: &[u8]) -> Vec<(ResourceType, FhirId)> {
    if let Some(named) = path {
        return vec![named.clone()];
    }
    if body.len() > ABOUT_BODY_BYTES_MAX {
        return Vec::new();
    }
    match said_by(method, None, body).content {
        HookContent::Changed(changed) => changed.into_iter().take(ABOUT_MAX).map(|one| (one.kind, one.id)).collect(),
        HookContent::Ping | HookContent::Other(_) | HookContent::Unreadable { .. } => Vec::new(),
    }
}
