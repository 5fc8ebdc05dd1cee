//! What a health app is given of a link: its documents, as FHIR R4.
//!
//! Must stay true: nothing is said of the patient that the documents do not say themselves: no subject, no code, no title.
//!
//! A Bundle of the type `collection` (<https://hl7.org/fhir/R4/bundle.html>) with one `DocumentReference` for each document
//! (<https://hl7.org/fhir/R4/documentreference.html>), the PDF inside as `attachment.data`. SMART Health Links take a
//! resource, not a PDF, as a file.

use data_encoding::{BASE64, HEXLOWER};
use rand_core::CryptoRng;
use serde_json::json;
use zeroize::Zeroizing;

use crate::base::{MediaType, UtcMillis};

/// One document of a link.
pub struct BundledPdf<'a> {
    pub pdf: &'a [u8],
}

/// The Bundle as JSON. `author` is the clinic's name, where it has one.
pub fn health_bundle(
    documents: &[BundledPdf<'_>],
    author: Option<&str>,
    made_at: UtcMillis,
    rng: &mut impl CryptoRng,
) -> Zeroizing<Vec<u8>> {
    let made_at = made_at.to_rfc3339();
    let entries: Vec<_> = documents
        .iter()
        .map(|document| {
            let data = BASE64.encode(document.pdf);
            let mut resource = json!({
                "resourceType": "DocumentReference",
                "status": "current",
                "date": made_at,
                "content": [{"attachment": {"contentType": MediaType::Pdf.as_str(), "data": data}}],
            });
            if let (Some(author), Some(fields)) = (author, resource.as_object_mut()) {
                fields.insert("author".to_owned(), json!([{"display": author}]));
            }
            json!({"fullUrl": random_urn(rng), "resource": resource})
        })
        .collect();
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "timestamp": made_at, "entry": entries});
    Zeroizing::new(bundle.to_string().into_bytes())
}

/// A version 4 UUID (RFC 9562 §5.4) as a URN.
fn random_urn(rng: &mut impl CryptoRng) -> String {
    let mut bytes = [0_u8; 16];
    rng.fill_bytes(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) | (4 << 76);
    let number = number & !(0b11 << 62) | (0b10 << 62);
    let hex = HEXLOWER.encode(&number.to_be_bytes());
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    #[test]
    fn the_bundle_holds_the_very_bytes_and_says_nothing_of_the_patient() {
        let pdf = b"%PDF-1.7 one";
        let documents = [BundledPdf { pdf }, BundledPdf { pdf: b"%PDF-1.7 two" }];
        let made_at = UtcMillis(1_795_000_000_000);
        let bytes = health_bundle(&documents, Some("Clinic"), made_at, &mut random::system());
        let bundle: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let first = &bundle["entry"][0]["resource"];
        let data = first["content"][0]["attachment"]["data"].as_str().unwrap();
        assert_eq!(BASE64.decode(data.as_bytes()).unwrap(), pdf);
        let keys: Vec<_> = first.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["resourceType", "status", "date", "content", "author"]);
        assert_eq!(bundle["entry"].as_array().unwrap().len(), 2);
        assert_ne!(bundle["entry"][0]["fullUrl"], bundle["entry"][1]["fullUrl"]);
    }

    #[test]
    fn a_urn_is_a_uuid_of_the_fourth_version() {
        for _ in 0..100 {
            let urn = random_urn(&mut random::system());
            assert_eq!(urn.len(), "urn:uuid:".len() + 36);
            assert!(urn.as_bytes()[23] == b'4' && b"89ab".contains(&urn.as_bytes()[28]), "{urn}");
        }
    }
}
