//! One call of a hook: authenticated, kept, acknowledged.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Intake, IntakeError};
use crate::base::{EhrId, EventId, FhirId, ResourceType, random};
use crate::keys::{KeyName, VaultError};
use crate::sealing::Purpose;
use crate::store::{self, NewEvent, StoreError};

/// The header that carries an EHR's hook secret.
pub const HOOK_HEADER: &str = "X-Chartseal-Hook";

/// A call as the web layer received it.
pub struct HookCall {
    pub ehr: EhrId,
    pub method: &'static str,
    /// What the address named after the EHR.
    pub path: Option<(String, String)>,
    pub body: HookBody,
}

pub enum HookBody {
    Whole(Vec<u8>),
    /// Larger than the limit, or in an encoding that is not read: kept as if it were an empty ping.
    Unread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookAnswer {
    /// Kept; it will be looked into.
    Kept,
    /// The secret is missing or wrong, or no such EHR is configured: the same to a stranger.
    Unauthenticated,
}

impl Intake {
    /// Whether `secret` is the one configured for `ehr`. Constant time for configured EHRs.
    #[must_use]
    pub fn authenticate(&self, ehr: &EhrId, secret: Option<&[u8]>) -> HookAnswer {
        let expected = self.ehr(ehr).and_then(|ehr| ehr.hook.as_ref()).map(|hook| &hook.secret);
        match (expected, secret) {
            (Some(expected), Some(given)) if expected.matches(given) => HookAnswer::Kept,
            (Some(_) | None, Some(_) | None) => HookAnswer::Unauthenticated,
        }
    }

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
            let key = KeyName::intake(now);
            let sealed = vault.seal_dated(&key, Purpose::RawEvent, id.as_str(), &body)?;
            let event = NewEvent {
                id,
                ehr: call.ehr,
                at: now,
                method: call.method,
                path: call.path.and_then(named_resource),
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
                if store::mark_key(tx, key.kind().as_str(), key.as_str(), &fingerprint, now)? != fingerprint {
                    return Err(StoreError::Refused { why: "an intake key that was replaced" });
                }
                store::hook_called(tx, &event.ehr, now)?;
                store::insert_event(tx, &event)
            })
            .await?;
        self.kept.ring();
        Ok(())
    }
}

/// A path that names no resource of ours is no fault: the body may.
fn named_resource((kind, id): (String, String)) -> Option<(ResourceType, FhirId)> {
    Some((kind.parse().ok()?, FhirId::parse(&id).ok()?))
}
