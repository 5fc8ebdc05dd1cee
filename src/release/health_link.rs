//! What a health app may fetch of a link: made beside it, of the very bytes that were sealed.
//!
//! Job: where the terms offer it, a SMART Health Link (HL7 SMART Health Cards and Links STU 1): id, key, passcode, one encrypted
//! file, and the card by which the opened page offers it.
//! Must stay true: the key and the passcode leave in the card alone, which is sealed like a document; what the server keeps
//! opens nothing. Where nothing can be offered, the report leaves all the same.

use data_encoding::BASE64URL_NOPAD;
use qrcode::{Color, EcLevel, QrCode};
use serde_json::json;
use zeroize::Zeroizing;

use super::link::Making;
use super::{Hindrance, Release};
use crate::base::{Key256, MediaType, SecretText, UtcMillis, random};
use crate::fhir::{BundledPdf, health_bundle};
use crate::policy::{HealthLink, Terms};
use crate::sealing::{AnswerHash, HealthLinkKey, Purpose};
use crate::store::{NewFile, NewHealthLink};

/// What all documents of one may have together.
pub(super) const PDF_BYTES_MAX: usize = 5 * 1024 * 1024;
/// The longest URL and the longest label that the standard allows.
const URL_CHARACTERS_MAX: usize = 128;
const LABEL_CHARACTERS_MAX: usize = 80;
const PASSCODE_DIGITS: u32 = 8;
/// Wrong passcodes in the life of one.
const PASSCODE_ATTEMPTS: u8 = 5;

/// A copy of a document for a health app, as it passes to be sealed.
pub(super) enum PdfCopy {
    Unwanted,
    Of(Zeroizing<Vec<u8>>),
}

impl PdfCopy {
    pub(super) fn begin(terms: &Terms, media: MediaType) -> Self {
        match (terms.health_link(), media) {
            (HealthLink::Plain | HealthLink::Passcode, MediaType::Pdf) => Self::Of(Zeroizing::new(Vec::new())),
            (HealthLink::Never, _)
            | (
                _,
                MediaType::Png
                | MediaType::Jpeg
                | MediaType::Text
                | MediaType::Html
                | MediaType::HealthLink
                | MediaType::Contents,
            ) => Self::Unwanted,
        }
    }

    pub(super) fn give(&mut self, bytes: &[u8]) {
        match self {
            Self::Of(copy) if copy.len() + bytes.len() <= PDF_BYTES_MAX => copy.extend_from_slice(bytes),
            Self::Of(_) | Self::Unwanted => *self = Self::Unwanted,
        }
    }

    const fn pdf(&self) -> Option<&Zeroizing<Vec<u8>>> {
        match self {
            Self::Of(copy) => Some(copy),
            Self::Unwanted => None,
        }
    }
}

/// What stands in the link and beside it.
struct Secrets {
    id: SecretText,
    key: HealthLinkKey,
    passcode: Option<SecretText>,
}

impl Release {
    /// What the link offers, and its card; `None` where it offers nothing.
    pub(super) async fn make_health_link(
        &self,
        making: &Making<'_>,
        now: UtcMillis,
    ) -> Result<Option<(NewHealthLink, NewFile)>, Hindrance> {
        let mut rng = random::system();
        let passcode = match making.health_link() {
            HealthLink::Never => return Ok(None),
            HealthLink::Plain => None,
            HealthLink::Passcode => Some(random::digits(PASSCODE_DIGITS, &mut rng)),
        };
        let id = Key256::random(&mut rng).to_base64url();
        let secrets = Secrets { id, key: HealthLinkKey::random(&mut rng), passcode };
        let Some(pdfs) = making.copies().map(PdfCopy::pdf).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let (Some(card), Some((about, lead))) =
            (self.card(&secrets, making.clinic()), making.next(MediaType::HealthLink))
        else {
            return Ok(None);
        };
        if pdfs.iter().map(|pdf| pdf.len()).sum::<usize>() > PDF_BYTES_MAX {
            return Ok(None);
        }
        let documents: Vec<_> = pdfs.iter().map(|pdf| BundledPdf { pdf: pdf.as_slice() }).collect();
        let bundle = health_bundle(&documents, making.clinic(), now, &mut rng);
        let file = secrets.key.encrypt(&bundle, &mut rng);
        let file_bytes = file.len() as u64;
        let blob = self.store_blob(file.into_bytes()).await?;
        let link = about.link.clone();
        let card = self.seal_bytes(&card, making.content(), about, lead).await?;
        let passcode_sealed = self.sealed_passcode(link.as_str(), secrets.passcode).await?;
        let id_index = self.vault.health_link_index(secrets.id.expose());
        let offered = NewHealthLink {
            id_index,
            passcode_sealed,
            attempts: PASSCODE_ATTEMPTS,
            blob: blob.as_str().to_owned(),
            file_bytes,
        };
        Ok(Some((offered, card)))
    }

    async fn sealed_passcode(&self, link: &str, passcode: Option<SecretText>) -> Result<Option<Vec<u8>>, Hindrance> {
        let Some(passcode) = passcode else { return Ok(None) };
        let (vault, link) = (self.vault.clone(), link.to_owned());
        let sealed = tokio::task::spawn_blocking(move || {
            let hash = AnswerHash::of(vault.pepper(), passcode.expose(), &mut random::system());
            vault.seal_record(Purpose::Passcode, &link, &hash.to_bytes())
        });
        let stopped = |_| Hindrance::Later { why: "hashing a passcode stopped unexpectedly".to_owned() };
        sealed.await.map(Some).map_err(stopped)
    }

    /// What the page is told: the link as text, as rows of a square code, and the passcode. `None` where the address of this
    /// installation is too long for the standard.
    fn card(&self, secrets: &Secrets, clinic: Option<&str>) -> Option<Zeroizing<Vec<u8>>> {
        let url = Zeroizing::new(format!("{}{}", self.health_links_at, secrets.id.expose()));
        if url.len() > URL_CHARACTERS_MAX {
            tracing::info!("no health link is offered: server.patient_url is too long for one");
            return None;
        }
        let link = shlink(&url, secrets, clinic);
        let square = rows_of(link.as_bytes())?;
        let passcode = secrets.passcode.as_ref().map(SecretText::expose);
        let card = json!({"shlink": *link, "passcode": passcode, "square": square});
        Some(Zeroizing::new(card.to_string().into_bytes()))
    }
}

/// The link as text. It never says `L`: what it gives does not change. Nor `U`: that is one without a manifest.
fn shlink(url: &str, secrets: &Secrets, clinic: Option<&str>) -> Zeroizing<String> {
    let mut payload = json!({"url": url, "key": secrets.key.to_base64url().expose(), "v": 1});
    if let Some(fields) = payload.as_object_mut() {
        if secrets.passcode.is_some() {
            fields.insert("flag".to_owned(), json!("P"));
        }
        if let Some(clinic) = clinic {
            let label: String = clinic.chars().take(LABEL_CHARACTERS_MAX).collect();
            fields.insert("label".to_owned(), json!(label));
        }
    }
    let payload = Zeroizing::new(payload.to_string());
    Zeroizing::new(format!("shlink:/{}", BASE64URL_NOPAD.encode(payload.as_bytes())))
}

/// A QR code with medium error correction, as the standard asks for: a text of `0` and `1` for each row.
fn rows_of(text: &[u8]) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let sign = |color: &Color| match color {
        Color::Dark => '1',
        Color::Light => '0',
    };
    Some(code.to_colors().chunks(code.width()).map(|row| row.iter().map(sign).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(passcode: Option<SecretText>) -> Secrets {
        let mut rng = random::system();
        let id = Key256::random(&mut rng).to_base64url();
        Secrets { id, key: HealthLinkKey::random(&mut rng), passcode }
    }

    fn payload(link: &str) -> serde_json::Value {
        let text = link.strip_prefix("shlink:/").unwrap();
        serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_link_says_what_the_standard_asks_for_and_no_more() {
        let keys = |link: &str| payload(link).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let plain = shlink("https://r.clinic.example/shl/x", &secrets(None), None);
        assert_eq!(keys(&plain), ["url", "key", "v"]);
        let passcode = Some(random::digits(PASSCODE_DIGITS, &mut random::system()));
        let named = shlink("https://r.clinic.example/shl/x", &secrets(passcode), Some(&"ü".repeat(200)));
        assert_eq!(keys(&named), ["url", "key", "v", "flag", "label"]);
        let said = payload(&named);
        assert_eq!((&said["flag"], &said["v"]), (&json!("P"), &json!(1)));
        assert_eq!(said["label"].as_str().unwrap().chars().count(), LABEL_CHARACTERS_MAX);
        assert_eq!(said["key"].as_str().unwrap().len(), 43);
    }

    #[test]
    fn the_longest_link_fits_into_a_square_of_equal_rows() {
        let rows = rows_of(&[b'x'; 600]).unwrap();
        assert!(rows.iter().all(|row| row.len() == rows.len()));
        assert!(rows[0].starts_with("1111111") && rows[1].starts_with("1000001"), "the corner by which it is found");
    }

    #[test]
    fn a_copy_ends_where_it_grows_too_large() {
        let mut copy = PdfCopy::Of(Zeroizing::new(Vec::new()));
        copy.give(&vec![1; PDF_BYTES_MAX]);
        assert_eq!(copy.pdf().unwrap().len(), PDF_BYTES_MAX);
        copy.give(&[1]);
        assert!(copy.pdf().is_none());
        copy.give(&[1]);
        assert!(copy.pdf().is_none());
    }
}
