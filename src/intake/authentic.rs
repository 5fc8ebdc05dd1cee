//! Who calls a hook: shown by a secret in a header, or proven by a signature over the body.
//!
//! Must stay true: compared in constant time; a signature is judged over the bytes as they came, before anybody reads
//! them; one that is not exactly of its form proves nothing; only [`Proving::finish`] makes an [`Authentic`].
//! Must not know: what the body means. A signature speaks of the body alone: what address and headers name beside it is
//! a hint, and no scheme here forbids that a call is sent again. Neither matters, for a hook grants nothing but "please look".

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Intake;
use crate::base::{EhrId, FhirId, ResourceType, SecretText};

/// The header that carries an EHR's hook secret.
pub const HOOK_HEADER: &str = "X-Chartseal-Hook";
const MEDPLUM_SIGNATURE: &str = "X-Signature";
const WEBSUB_SIGNATURE: &str = "X-Hub-Signature";
/// Medplum tells of a delete by this header and the body `{}`: `DiagnosticReport/f3b6…`
/// (<https://www.medplum.com/docs/subscriptions>).
const MEDPLUM_DELETED: &str = "X-Medplum-Deleted-Resource";

/// How an EHR shows that a call is its own.
pub enum HookAuth {
    /// [`HOOK_HEADER`] carries the secret.
    Secret(SecretText),
    /// A header carries the HMAC-SHA256 of the raw body under `key`'s bytes, in lower-case hexadecimal.
    Signature { form: SignatureForm, key: SecretText },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureForm {
    /// `X-Signature: <hex>`.
    Medplum,
    /// `X-Hub-Signature: sha256=<hex>` (<https://www.w3.org/TR/websub/#authenticated-content-distribution>). Its weaker
    /// `sha1` is refused, and so is what no EHR that we know sends.
    WebSub,
}

/// The headers of a call that anybody here listens to; all others stay outside.
#[derive(Clone, Copy, Default)]
pub struct HookHeaders<'a> {
    secret: Option<&'a [u8]>,
    medplum_signature: Option<&'a [u8]>,
    websub_signature: Option<&'a [u8]>,
    medplum_deleted: Option<&'a [u8]>,
}

impl<'a> HookHeaders<'a> {
    /// `once` gives the value of the header of that name, if it came exactly once.
    pub fn listen(once: impl Fn(&'static str) -> Option<&'a [u8]>) -> Self {
        Self {
            secret: once(HOOK_HEADER),
            medplum_signature: once(MEDPLUM_SIGNATURE),
            websub_signature: once(WEBSUB_SIGNATURE),
            medplum_deleted: once(MEDPLUM_DELETED),
        }
    }

    /// The resource that a header says was deleted. No signature covers it.
    #[must_use]
    pub fn deleted(&self) -> Option<(ResourceType, FhirId)> {
        let (kind, id) = std::str::from_utf8(self.medplum_deleted?).ok()?.split_once('/')?;
        Some((kind.parse().ok()?, FhirId::parse(id).ok()?))
    }
}

/// A call whose caller is being judged while its body arrives.
#[must_use]
pub struct Proving {
    ehr: EhrId,
    owed: Owed,
}

/// What the body must still prove.
enum Owed {
    Nothing,
    Signature { mac: Box<Hmac<Sha256>>, claimed: [u8; 32] },
}

/// The EHR that a call came from.
pub struct Authentic(EhrId);

impl Intake {
    /// Judges what a call shows before its body. `None`: what it shows is missing, wrong or not of its form, or no such
    /// EHR is configured, all the same to a stranger. Constant time for a secret of the right length.
    #[must_use]
    pub fn authenticate(&self, ehr: &EhrId, headers: &HookHeaders<'_>) -> Option<Proving> {
        let owed = match &self.ehr(ehr)?.hook.as_ref()?.auth {
            HookAuth::Secret(secret) => secret.matches(headers.secret?).then_some(Owed::Nothing)?,
            HookAuth::Signature { form, key } => {
                let claimed = match form {
                    SignatureForm::Medplum => headers.medplum_signature?,
                    SignatureForm::WebSub => headers.websub_signature?.strip_prefix(b"sha256=")?,
                };
                let claimed = HEXLOWER.decode(claimed).ok()?.try_into().ok()?;
                let mac = Hmac::new_from_slice(key.expose().as_bytes()).ok()?;
                Owed::Signature { mac: Box::new(mac), claimed }
            }
        };
        Some(Proving { ehr: ehr.clone(), owed })
    }
}

impl Proving {
    /// The EHR that the call says it comes from.
    #[must_use]
    pub const fn claimed(&self) -> &EhrId {
        &self.ehr
    }

    /// The next bytes of the body, as they came.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.owed {
            Owed::Nothing => {}
            Owed::Signature { mac, .. } => mac.update(bytes),
        }
    }

    /// Whether the rest of the body matters to the proof.
    #[must_use]
    pub const fn owes_body(&self) -> bool {
        match self.owed {
            Owed::Nothing => false,
            Owed::Signature { .. } => true,
        }
    }

    /// After the whole body. `None`: the signature is of another body or another key.
    #[must_use]
    pub fn finish(self) -> Option<Authentic> {
        match self.owed {
            Owed::Nothing => {}
            Owed::Signature { mac, claimed } => mac.verify_slice(&claimed).ok()?,
        }
        Some(Authentic(self.ehr))
    }
}

impl Authentic {
    #[must_use]
    pub fn ehr(&self) -> &EhrId {
        &self.0
    }
}
