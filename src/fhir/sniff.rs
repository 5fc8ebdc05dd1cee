//! What an attachment is, judged by its first bytes.

use crate::base::MediaType;
use crate::foreign::Foreign;

/// As many first bytes as [`sniff`] wants to see (fewer when the file is shorter).
pub const SNIFF_BYTES: usize = 8 * 1024;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// The patient's page shows it as it is.
    Shown(MediaType),
    /// It must be carried over first.
    Foreign(Foreign),
}

/// The type of a file that begins with `first` (up to [`SNIFF_BYTES`]), or `None`: then it is
/// not delivered.
///
/// Bytes outweigh `declared`; only for text, which has no signature, and for HTML, which EHRs also answer where they have
/// something else to say (a login page, an error), must the sender's word agree.
#[must_use]
pub fn sniff(first: &[u8], declared: Option<&str>) -> Option<Sniffed> {
    const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    if infer::image::is_jpeg(first) {
        return Some(Sniffed::Shown(MediaType::Jpeg));
    }
    if infer::image::is_png(first) && first.starts_with(PNG_SIGNATURE) {
        return Some(Sniffed::Shown(MediaType::Png));
    }
    if let Some(foreign) = foreign(first, declared) {
        return Some(Sniffed::Foreign(foreign));
    }
    // infer looks for the mark in the first kilobyte; a page of HTML that mentions it is no PDF.
    if infer::archive::is_pdf(first) {
        let is_only_pdf = !is_markup(first) && !begins_as_another(first);
        return is_only_pdf.then_some(Sniffed::Shown(MediaType::Pdf));
    }
    let said_text = declared.is_none_or(|declared| declared.parse() == Ok(MediaType::Text));
    if said_text && is_plain_text(first) { Some(Sniffed::Shown(MediaType::Text)) } else { None }
}

/// Whether what stands before a PDF's mark is the beginning of a file of another kind: readers look for the mark in the first
/// kilobyte, whatever stands before it.
fn begins_as_another(first: &[u8]) -> bool {
    const MARK: &[u8] = b"%PDF";
    let before = first.windows(MARK.len()).position(|window| window == MARK);
    let before = before.and_then(|at| first.get(..at)).unwrap_or_default();
    infer::get(before).is_some()
}

/// The declared type without its parameters, small.
fn essence(declared: Option<&str>) -> String {
    declared.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn foreign(first: &[u8], declared: Option<&str>) -> Option<Foreign> {
    let lower = first.to_ascii_lowercase();
    let start = lower.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&lower).trim_ascii_start();
    if start.starts_with(b"{\\rtf") {
        return Some(Foreign::Rtf);
    }
    let holds = |needle: &[u8]| lower.windows(needle.len()).any(|window| window == needle);
    if start.starts_with(b"<") && holds(b"clinicaldocument") && holds(b"urn:hl7-org:v3") {
        return Some(Foreign::Cda);
    }
    let is_html = start.starts_with(b"<!doctype html") || start.starts_with(b"<html") || holds(b"<html");
    let said_html = matches!(essence(declared).as_str(), "text/html" | "application/xhtml+xml");
    (said_html && start.starts_with(b"<") && (is_html || !start.starts_with(b"<?"))).then_some(Foreign::Html)
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
        && !is_markup(first)
        && !turns_letters_round(text)
}

/// Characters that turn the order of all letters and digits round (Unicode UAX #9, "explicit directional overrides"): "140" could
/// read "041". Marks and isolates, which languages written from the right need, are none.
pub(super) fn turns_letters_round(text: &str) -> bool {
    text.contains(['\u{202d}', '\u{202e}'])
}

/// HTML, XML, SVG and RTF: active or structured content that must not be shown as text.
pub(super) fn is_markup(first: &[u8]) -> bool {
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
            assert_eq!(sniff(first, declared), kind.map(Sniffed::Shown), "{declared:?}");
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
            ("<html>%PDF-1.4".as_bytes(), None, None),
            (b"Gr\xfc\xdfe", None, None),
            (b"a\0b", None, None),
            (b"cut \xc3", None, None),
            (b"  \n", None, None),
        ] {
            assert_eq!(sniff(first, declared), kind.map(Sniffed::Shown), "{}", String::from_utf8_lossy(first));
        }
        let mut long = vec![b'a'; SNIFF_BYTES - 1];
        long.push(0xc3);
        assert_eq!(sniff(&long, None), Some(Sniffed::Shown(MediaType::Text)), "a character cut by the sample's end");
    }

    #[test]
    fn what_must_be_carried_over_is_told_by_its_bytes_and_html_by_the_senders_word_too() {
        let cda = "<?xml version=\"1.0\"?>\n<ClinicalDocument xmlns=\"urn:hl7-org:v3\">";
        for (first, declared, kind) in [
            ("{\\rtf1\\ansi x}", None, Some(Foreign::Rtf)),
            ("{\\rtf1\\ansi x}", Some("application/pdf"), Some(Foreign::Rtf)),
            (cda, Some("text/xml"), Some(Foreign::Cda)),
            (cda, None, Some(Foreign::Cda)),
            ("<?xml version='1.0'?><Bundle xmlns='http://hl7.org/fhir'/>", Some("application/xml"), None),
            ("<!DOCTYPE html><html><body>x", Some("text/html; charset=utf-8"), Some(Foreign::Html)),
            ("<div>x</div>", Some("text/html"), Some(Foreign::Html)),
            // What is not announced may be a login page.
            ("<!DOCTYPE html><html><body>x", Some("application/pdf"), None),
            ("<!DOCTYPE html><html><body>x", None, None),
            ("<svg xmlns='http://www.w3.org/2000/svg'/>", Some("image/svg+xml"), None),
            ("HbA1c", Some("text/html"), None),
        ] {
            assert_eq!(sniff(first.as_bytes(), declared), kind.map(Sniffed::Foreign), "{first}");
        }
    }
}
