//! What a health app fetches by the SMART Health Link that the opened page offers.
//!
//! Must stay true: it answers exactly while the link is live, and ids that are unknown, malformed or dead alike; a passcode
//! counts as wrong before it is hashed, and is given back when it is right; where the file lies is told for an hour at most.
//! Nothing that an app says of itself is kept.

use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq as _;

use super::{Open, OpenError, SealedFile};
use crate::audit::{Actor, AuditEvent, HealthLinkEvent};
use crate::base::{Key256, LinkId, SecretText, UtcMillis, minutes};
use crate::blobs::BlobKey;
use crate::keys::VaultError;
use crate::sealing::{AnswerHash, Purpose, hmac_sha256};
use crate::store::{self, Attempt, HealthLinkRow, StoreError, Tx};
use crate::whose::code_form;

/// For so long an app may fetch the file from where it was told that it lies; the standard allows an hour.
const PLACE_LIFE: std::time::Duration = minutes(30);
/// The largest file that is given at once to an app that wants that.
const EMBEDDED_BYTES_MAX: u64 = 1024 * 1024;
const INDEX_BYTES: usize = 32;
const TIME_BYTES: usize = 8;
const MAC_BYTES: usize = 16;

/// What an app is told that asks for the manifest.
pub enum Manifest {
    Given(HealthFile),
    /// So many more wrong passcodes are taken.
    WrongPasscode {
        left: u8,
    },
    /// There is none, or it answers no more.
    Inactive,
}

/// The encrypted file, or where it is.
pub enum HealthFile {
    Embedded(String),
    /// The end of its URL.
    At(SecretText),
}

impl Open {
    /// Answers whoever asks for the manifest of `id`. A file of up to `embed_max` bytes is wanted at once.
    ///
    /// # Errors
    /// [`OpenError`]; what was counted before a fault stays counted.
    pub async fn manifest(
        &self,
        id: &str,
        passcode: Option<&SecretText>,
        embed_max: u64,
    ) -> Result<Manifest, OpenError> {
        let now = self.clock.now();
        let index = self.vault.health_link_index(id);
        let row = self.store.read(move |conn| store::standing_health_link(conn, &index, now)).await?;
        let Some(row) = row else { return Ok(Manifest::Inactive) };
        if let Some(sealed) = &row.passcode_sealed {
            match self.judge_passcode(&row, sealed, passcode, now).await? {
                Judged::Right => {}
                Judged::Wrong { left } => return Ok(Manifest::WrongPasscode { left }),
                Judged::Dead => return Ok(Manifest::Inactive),
            }
        }
        let is_embedded = row.file_bytes <= embed_max.min(EMBEDDED_BYTES_MAX);
        let given = HealthLinkEvent::Given { embedded: is_embedded };
        let link = row.link.clone();
        self.store.write(move |tx| note(tx, &link, given, now)).await?;
        Ok(Manifest::Given(if is_embedded {
            let bytes = self.read(blob_of(&row)?, 0, row.file_bytes).await?;
            HealthFile::Embedded(String::from_utf8(bytes).map_err(|_| VaultError::NotOurs)?)
        } else {
            HealthFile::At(self.place(&index, now.plus(PLACE_LIFE)))
        }))
    }

    async fn judge_passcode(
        &self,
        row: &HealthLinkRow,
        sealed: &[u8],
        passcode: Option<&SecretText>,
        now: UtcMillis,
    ) -> Result<Judged, OpenError> {
        if row.left == 0 {
            return Ok(Judged::Dead);
        }
        // An app that does not know yet that there is one is told so; that is no wrong one.
        let Some(passcode) = passcode else { return Ok(Judged::Wrong { left: row.left }) };
        let kept = self.vault.open_record(Purpose::Passcode, row.link.as_str(), sealed)?;
        let kept = AnswerHash::from_bytes(&kept).ok_or(VaultError::NotOurs)?;
        let link = row.link.clone();
        match self.store.write(move |tx| store::count_passcode(tx, &link, now)).await? {
            Attempt::Refused => return Ok(Judged::Dead),
            Attempt::Counted => {}
        }
        let (pepper, forms) = (self.vault.pepper().clone(), vec![code_form(passcode.expose())]);
        let is_right = self.hashing(move || kept.is_any_of(&pepper, &forms)).await?;
        let link = row.link.clone();
        if is_right {
            self.store.write(move |tx| store::give_back_passcode(tx, &link)).await?;
            return Ok(Judged::Right);
        }
        Ok(self.store.write(move |tx| refuse(tx, &link, now)).await?)
    }

    /// The encrypted file at `place`, if that was told lately and the link is still live.
    ///
    /// # Errors
    /// [`OpenError::NotHolder`] for everything else.
    pub async fn health_file(&self, place: &str) -> Result<SealedFile, OpenError> {
        let now = self.clock.now();
        let index = read_place(place, self.vault.pepper(), now).ok_or(OpenError::NotHolder)?;
        let row = self.store.read(move |conn| store::standing_health_link(conn, &index, now)).await?;
        let row = row.ok_or(OpenError::NotHolder)?;
        Ok(SealedFile { blob: blob_of(&row)?, sealed_bytes: row.file_bytes, etag: format!("\"{}\"", row.blob) })
    }

    /// `index ‖ end ‖ mac`: it does not tell the id, so that whoever sees it cannot ask for the manifest.
    fn place(&self, index: &[u8; INDEX_BYTES], end: UtcMillis) -> SecretText {
        let end = end.0.to_be_bytes();
        let mac = place_mac(self.vault.pepper(), index, end);
        SecretText::new(BASE64URL_NOPAD.encode(&[index.as_slice(), &end, &mac].concat()))
    }
}

enum Judged {
    Right,
    Wrong { left: u8 },
    Dead,
}

fn refuse(tx: &mut Tx, link: &LinkId, now: UtcMillis) -> Result<Judged, StoreError> {
    let left = store::passcodes_left(tx.conn(), link)?;
    note(tx, link, HealthLinkEvent::Refused { left }, now)?;
    Ok(Judged::Wrong { left })
}

fn note(tx: &mut Tx, link: &LinkId, what: HealthLinkEvent, now: UtcMillis) -> Result<(), StoreError> {
    let Some(owner) = store::owner_of_link(tx.conn(), link)? else { return Ok(()) };
    let Some(owner) = store::hold_delivery(tx, &owner.id)? else { return Ok(()) };
    let event = AuditEvent::HealthLink { link: link.clone(), what };
    store::append(tx, &owner.entry(now, Actor::Holder, event))
}

fn blob_of(row: &HealthLinkRow) -> Result<BlobKey, StoreError> {
    BlobKey::parse(&row.blob).map_err(|_| StoreError::BadRow { column: "health_link.blob" })
}

fn read_place(place: &str, pepper: &Key256, now: UtcMillis) -> Option<[u8; INDEX_BYTES]> {
    let bytes = BASE64URL_NOPAD.decode(place.as_bytes()).ok()?;
    let (index, rest) = bytes.split_first_chunk::<INDEX_BYTES>()?;
    let (end, given) = rest.split_first_chunk::<TIME_BYTES>()?;
    let is_ours: bool = place_mac(pepper, index, *end).ct_eq(given).into();
    (is_ours && now < UtcMillis(i64::from_be_bytes(*end))).then_some(*index)
}

fn place_mac(pepper: &Key256, index: &[u8; INDEX_BYTES], end: [u8; TIME_BYTES]) -> Vec<u8> {
    let full = hmac_sha256(pepper, &[b"chartseal/1/health-link-file", index, &end]);
    full.iter().copied().take(MAC_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(index: [u8; 32], end: i64, pepper: &Key256) -> String {
        let end = end.to_be_bytes();
        BASE64URL_NOPAD.encode(&[index.as_slice(), &end, &place_mac(pepper, &index, end)].concat())
    }

    #[test]
    fn a_place_is_believed_until_its_end_and_only_as_it_was_told() {
        let (pepper, index) = (Key256::new([1; 32]), [7; 32]);
        let told = place(index, 1000, &pepper);
        assert_eq!(read_place(&told, &pepper, UtcMillis(999)), Some(index));
        assert_eq!(read_place(&told, &pepper, UtcMillis(1000)), None);
        assert_eq!(read_place(&told, &Key256::new([2; 32]), UtcMillis(999)), None);
        let mut bytes = BASE64URL_NOPAD.decode(told.as_bytes()).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(read_place(&BASE64URL_NOPAD.encode(&bytes), &pepper, UtcMillis(999)), None, "{at}");
            bytes[at] ^= 1;
        }
        for cut in 0..told.len() {
            assert_eq!(read_place(&told[..cut], &pepper, UtcMillis(999)), None);
        }
    }
}
