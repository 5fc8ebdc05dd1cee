//! The keys at work: what is sealed for the database, and under which key.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Fingerprint, Found, KeyError, KeyName, KeyRing};
use crate::base::{Contact, EhrId, EmailAddress, FhirId, Key256, NoticeId, PhoneNumber};
use crate::policy::RecipientRole;
use crate::record::Addressee;
use crate::sealing::{self, Purpose, RootUse};

/// Bytes by which a token is known to be ours.
const TOKEN_PROOF_BYTES: usize = 10;

/// The ring and the keys derived from its root. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    ring: KeyRing,
    records: Key256,
    index: Key256,
    pepper: Key256,
    audit: Key256,
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// By design: what the key sealed cannot be opened any more.
    #[error("the key is gone: it was destroyed, or the key directory was replaced")]
    KeyGone,
    /// Us or an intruder: the database holds what this installation's keys did not seal.
    #[error("a sealed value does not open with this installation's keys")]
    NotOurs,
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A value sealed under a dated key, and that key's fingerprint for the database to compare.
pub struct DatedSealed {
    pub bytes: Vec<u8>,
    pub fingerprint: Fingerprint,
}

impl Vault {
    #[must_use]
    pub fn new(ring: KeyRing) -> Self {
        let subkey = |root_use| sealing::subkey(ring.root(), root_use);
        Self {
            records: subkey(RootUse::Records),
            index: subkey(RootUse::BlindIndex),
            pepper: subkey(RootUse::Pepper),
            audit: subkey(RootUse::AuditMac),
            ring,
        }
    }

    #[must_use]
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    #[must_use]
    pub fn audit_key(&self) -> &Key256 {
        &self.audit
    }

    #[must_use]
    pub fn pepper(&self) -> &Key256 {
        &self.pepper
    }

    /// Where two rows name the same person or address without saying whom.
    #[must_use]
    pub fn blind_index(&self, domain: &str, value: &str) -> [u8; 32] {
        sealing::blind_index(&self.index, domain, value)
    }

    /// A mailbox, however it is spelled.
    #[must_use]
    pub fn address_index(&self, address: &EmailAddress) -> [u8; 32] {
        self.blind_index("email", &address.comparison_form())
    }

    /// A phone number.
    #[must_use]
    pub fn number_index(&self, number: &PhoneNumber) -> [u8; 32] {
        self.blind_index("phone", number.expose())
    }

    /// A mailbox or a number, however it is written.
    #[must_use]
    pub fn contact_index(&self, contact: &Contact) -> [u8; 32] {
        match contact {
            Contact::Email(address) => self.address_index(address),
            Contact::Phone(number) => self.number_index(number),
        }
    }

    /// Where somebody reads: see [`Contact::reader_form`].
    #[must_use]
    pub fn reader_index(&self, contact: &Contact) -> [u8; 32] {
        match contact {
            Contact::Email(address) => self.mailbox_index(address),
            Contact::Phone(number) => self.number_index(number),
        }
    }

    /// A mailbox, however it is addressed.
    #[must_use]
    pub fn mailbox_index(&self, address: &EmailAddress) -> [u8; 32] {
        self.blind_index("mailbox", &address.mailbox_form())
    }

    /// One patient of one EHR: what deliveries, pseudonyms and recorded wishes have in common.
    #[must_use]
    pub fn patient_index(&self, ehr: &EhrId, patient: &FhirId) -> [u8; 32] {
        self.blind_index("patient", &format!("{ehr}/{patient}"))
    }

    /// Whoever took a patient's place in a record that cannot be read: nobody's [`Self::patient_index`].
    #[must_use]
    pub fn lost_patient_index(&self, ehr: &EhrId, patient: &FhirId) -> [u8; 32] {
        self.blind_index("patient lost in a merge", &format!("{ehr}/{patient}"))
    }

    /// Somebody of one EHR who gets a report besides its patient, and as what.
    #[must_use]
    pub fn addressee(&self, ehr: &EhrId, role: RecipientRole, who: impl fmt::Display) -> Addressee {
        Addressee::Further(self.blind_index("addressee", &format!("{ehr}/{}/{who}", role.as_str())))
    }

    /// What a patient's documents have in common as they go to one recipient: those of another are apart.
    #[must_use]
    pub fn documents_index(&self, patient: &[u8; 32], addressee: Addressee) -> [u8; 32] {
        let encode = |index: &[u8; 32]| data_encoding::HEXLOWER.encode(index);
        match addressee {
            Addressee::Patient => *patient,
            Addressee::Further(index) => {
                self.blind_index("documents", &format!("{}/{}", encode(patient), encode(&index)))
            }
        }
    }

    /// What reports of one patient that may share a link have in common.
    #[must_use]
    pub fn group_index(&self, patient: &[u8; 32], belonging: &str) -> [u8; 32] {
        self.blind_index("group", &format!("{}/{belonging}", data_encoding::HEXLOWER.encode(patient)))
    }

    /// An order of one EHR: what a report and the slip for it have in common.
    #[must_use]
    pub fn order_index(&self, ehr: &EhrId, order: &str) -> [u8; 32] {
        self.blind_index("order", &format!("{ehr}/{order}"))
    }

    /// Tells whether two files are the same, to whoever holds the root key and nobody else. From the file's SHA-256.
    #[must_use]
    pub fn file_index(&self, sha256: &[u8; 32]) -> [u8; 32] {
        self.blind_index("file", &data_encoding::HEXLOWER.encode(sha256))
    }

    /// [`Self::file_index`] of what a report consists of: of its only file, or of all of them in their order. `None` for nothing.
    #[must_use]
    pub fn files_index(&self, files: &[[u8; 32]]) -> Option<[u8; 32]> {
        match files {
            [] => None,
            [only] => Some(*only),
            several => Some(self.blind_index("files", &data_encoding::HEXLOWER.encode(several.as_flattened()))),
        }
    }

    /// What tells one patient's document from every other, by one of its features.
    #[must_use]
    pub fn likeness_index(&self, patient: &[u8; 32], feature: &str) -> [u8; 32] {
        self.blind_index("likeness", &format!("{}/{feature}", data_encoding::HEXLOWER.encode(patient)))
    }

    /// [`Self::likeness_index`] of a file, from its [`Self::file_index`].
    #[must_use]
    pub fn file_likeness(&self, patient: &[u8; 32], file_index: &[u8; 32]) -> [u8; 32] {
        self.likeness_index(patient, &format!("sha256/{}", data_encoding::HEXLOWER.encode(file_index)))
    }

    /// A health link's id, as it stands in its URL.
    #[must_use]
    pub fn health_link_index(&self, id: &str) -> [u8; 32] {
        self.blind_index("health-link", id)
    }

    /// The hash of a report's content, where it could be guessed from that hash alone.
    #[must_use]
    pub fn content_index(&self, hash: &[u8; 32]) -> [u8; 32] {
        self.blind_index("content", &data_encoding::HEXLOWER.encode(hash))
    }

    /// Names a message to those who report of it, and to nobody else: for the address that its bounces come to. Small letters and
    /// digits, which mail systems leave alone.
    #[must_use]
    pub fn token_of_notice(&self, notice: &NoticeId) -> String {
        let proof = self.blind_index("bounce", notice.as_str());
        let mut whole = data_encoding::BASE64URL_NOPAD.decode(notice.as_str().as_bytes()).unwrap_or_default();
        whole.extend_from_slice(proof.get(..TOKEN_PROOF_BYTES).unwrap_or_default());
        data_encoding::BASE32_NOPAD.encode(&whole).to_ascii_lowercase()
    }

    /// The message that [`Vault::token_of_notice`] named; `None` for what was not made by it.
    #[must_use]
    pub fn notice_of_token(&self, token: &str) -> Option<NoticeId> {
        let whole = data_encoding::BASE32_NOPAD.decode(token.to_ascii_uppercase().as_bytes()).ok()?;
        let (id, given) = whole.split_at_checked(whole.len().checked_sub(TOKEN_PROOF_BYTES)?)?;
        let notice = NoticeId::parse(&data_encoding::BASE64URL_NOPAD.encode(id)).ok()?;
        let proof = self.blind_index("bounce", notice.as_str());
        bool::from(given.ct_eq(proof.get(..TOKEN_PROOF_BYTES)?)).then_some(notice)
    }

    /// Seals a column under the records key; `context` binds it to its row.
    #[must_use]
    pub fn seal_record(&self, purpose: Purpose, context: &str, plain: &[u8]) -> Vec<u8> {
        sealing::wrap(&self.records, purpose, context.as_bytes(), plain, &mut crate::base::random::system())
    }

    /// # Errors
    /// [`VaultError::NotOurs`].
    pub fn open_record(
        &self,
        purpose: Purpose,
        context: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        sealing::unwrap(&self.records, purpose, context.as_bytes(), sealed).map_err(|_| VaultError::NotOurs)
    }

    /// Seals under a dated key, which is made when it is missing. Blocks on the disk.
    ///
    /// # Errors
    /// [`VaultError::Key`].
    pub fn seal_dated(
        &self,
        name: &KeyName,
        purpose: Purpose,
        context: &str,
        plain: &[u8],
    ) -> Result<DatedSealed, VaultError> {
        let mut rng = crate::base::random::system();
        let key = self.ring.find_or_create(name, &mut rng)?;
        Ok(DatedSealed {
            bytes: sealing::wrap(&key, purpose, context.as_bytes(), plain, &mut rng),
            fingerprint: Fingerprint::of(&key),
        })
    }

    /// Opens what [`Vault::seal_dated`] sealed. Blocks on the disk.
    ///
    /// # Errors
    /// [`VaultError::KeyGone`] once the key was destroyed.
    pub fn open_dated(
        &self,
        name: &KeyName,
        purpose: Purpose,
        context: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        match self.ring.find(name)? {
            Found::Existing(key) => {
                sealing::unwrap(&key, purpose, context.as_bytes(), sealed).map_err(|_| VaultError::NotOurs)
            }
            Found::Missing => Err(VaultError::KeyGone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    #[test]
    fn a_token_names_its_message_and_cannot_be_made_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::new(KeyRing::create(&dir.path().join("keys"), &mut random::system()).unwrap());
        let other = Vault::new(KeyRing::create(&dir.path().join("other"), &mut random::system()).unwrap());
        let notice = NoticeId::random(&mut random::system());
        let token = vault.token_of_notice(&notice);
        assert!(token.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) && token.len() <= 36, "{token}");
        assert_eq!(vault.notice_of_token(&token), Some(notice.clone()));
        assert_eq!(vault.notice_of_token(&token.to_uppercase()), Some(notice));
        assert_eq!(other.notice_of_token(&token), None);
        for at in 0..token.len() {
            let flipped = if token.as_bytes()[at] == b'a' { "b" } else { "a" };
            let forged = format!("{}{flipped}{}", &token[..at], &token[at + 1..]);
            assert_eq!(vault.notice_of_token(&forged), None, "{forged}");
        }
        for rubbish in ["", "a", "aaaaaaaaaaaaaaaa", "!!", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\u{e9}"] {
            assert_eq!(vault.notice_of_token(rubbish), None);
        }
    }
}
