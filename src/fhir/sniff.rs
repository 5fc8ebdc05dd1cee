//! What an attachment is, judged by its first bytes.

use crate::base::MediaType;

/// As many first bytes as [`sniff`] wants to see (fewer when the file is shorter).
pub const SNIFF_BYTES: usize = 8 * 1024;

/// The deliverable type of a file that begins with `first` (up to [`SNIFF_BYTES`]), or `None`: then it is
/// not delivered.
///
/// Bytes outweigh `declared`; only for text, which has no signature, must the sender's word agree.
#[must_use]
pub fn sniff(first: &[u8], declared: Option<&str>) -> Option<MediaType> {
    const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    if infer::image::is_jpeg(first) {
        return Some(MediaType::Jpeg);
    }
    if infer::image::is_png(first) && first.starts_with(PNG_SIGNATURE) {
        return Some(MediaType::Png);
    }
    // infer looks for the mark in the first kilobyte; a page of HTML that mentions it is no PDF.
    if infer::archive::is_pdf(first) {
        return if looks_like_markup(first) { None } else { Some(MediaType::Pdf) };
    }
    let said_text = declared.is_none_or(|declared| declared.parse() == Ok(MediaType::Text));
    if said_text && is_plain_text(first) { Some(MediaType::Text) } else { None }
}

/// UTF-8 (a character may be cut at the end of the sample) without control characters or markup.
fn is_plain_text(first: &[u8]) -> bool {
    let first = first.get(..SNIFF_BYTES.min(first.len())).unwrap_or_default();
    let text = match std::str::from_utf8(first) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && first.len() == SNIFF_BYTES => {
            std::str::from_utf8(first.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.trim().is_empty()
        && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}'))
        && !looks_like_markup(first)
}

/// HTML, XML, SVG and RTF: active or structured content that must not be shown as text.
fn looks_like_markup(first: &[u8]) -> bool {
    let lower = first.to_ascii_lowercase();
    let start = lower.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&lower).trim_ascii_start();
    let opens_a_tag = start.first() == Some(&b'<')
        && start.get(1).is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'!' | b'?' | b'/'));
    let holds = |needle: &[u8]| lower.windows(needle.len()).any(|window| window == needle);
    opens_a_tag
        || start.starts_with(b"{\\rtf")
        || [&b"<!doctype"[..], b"<html", b"<script", b"<svg", b"<?xml"].into_iter().any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide_and_not_the_senders_word() {
        let pdf = include_bytes!("../../tests/fixtures/fhir/r.pdf");
        for (first, declared, kind) in [
            (&pdf[..], None, Some(MediaType::Pdf)),
            (&pdf[..], Some("text/plain"), Some(MediaType::Pdf)),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None, Some(MediaType::Png)),
            (b"\x89PNG not quite", None, None),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Some("application/pdf"), Some(MediaType::Jpeg)),
            (b"GIF89a", Some("image/png"), None),
            (b"PK\x03\x04", Some("application/pdf"), None),
            (b"", Some("application/pdf"), None),
        ] {
            assert_eq!(sniff(first, declared), kind, "{declared:?}");
        }
    }

    #[test]
    fn text_is_only_what_is_plainly_text() {
        for (first, declared, kind) in [
            ("HbA1c 5.4 %\r\nGrüße".as_bytes(), Some("text/plain; charset=utf-8"), Some(MediaType::Text)),
            ("Sodium <5 mmol/l".as_bytes(), None, Some(MediaType::Text)),
            ("<5 mmol/l".as_bytes(), None, Some(MediaType::Text)),
            ("HbA1c".as_bytes(), Some("text/html"), None),
            ("HbA1c".as_bytes(), Some("application/pdf"), None),
            ("<html><body>x".as_bytes(), Some("text/plain"), None),
            (" \n<?xml version='1.0'?><a/>".as_bytes(), None, None),
            ("hello <ScRiPt>".as_bytes(), None, None),
            ("{\\rtf1 x}".as_bytes(), None, None),
            ("<html>%PDF-1.4".as_bytes(), None, None),
            (b"Gr\xfc\xdfe", None, None),
            (b"a\0b", None, None),
            (b"cut \xc3", None, None),
            (b"  \n", None, None),
        ] {
            assert_eq!(sniff(first, declared), kind, "{}", String::from_utf8_lossy(first));
        }
        let mut long = vec![b'a'; SNIFF_BYTES - 1];
        long.push(0xc3);
        assert_eq!(sniff(&long, None), Some(MediaType::Text), "a character cut by the sample's end");
    }
}
