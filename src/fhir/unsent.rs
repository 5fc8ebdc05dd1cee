//! What a file that is not delivered looks like, and what staff can do about it.
//!
//! Must stay true: the words are ours alone; nothing of the file or of the sender's word is in them.

use super::sniff::{SNIFF_BYTES, is_markup, turns_letters_round};

const ASK: &str = "ask whoever writes the reports for a PDF, or give it to the patient in another way";

/// Why a file that begins with `first` (up to [`SNIFF_BYTES`]) is not delivered.
#[must_use]
pub fn why_unsent(first: &[u8]) -> String {
    match looks_like(first) {
        Some(what) => format!("it is {what}, which is not sent: {ASK}"),
        None => format!(
            "it is neither PDF, PNG, JPEG, plain text, RTF, HTML nor CDA, or not what it is declared to be: {ASK}"
        ),
    }
}

fn looks_like(first: &[u8]) -> Option<&'static str> {
    let lower = first.get(..SNIFF_BYTES.min(first.len())).unwrap_or_default().to_ascii_lowercase();
    let start = lower.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&lower).trim_ascii_start();
    let holds = |needle: &[u8]| lower.windows(needle.len()).any(|window| window == needle);
    if start.starts_with(b"%pdf") && is_markup(first) {
        return Some("a PDF with markup in its first lines");
    }
    // Before what may merely be mentioned in it.
    if let Some(kind) = infer::get(first).map(|kind| kind.mime_type()).and_then(known) {
        return Some(kind);
    }
    let is_page = [&b"<html"[..], b"<script", b"<!doctype html"].into_iter().any(holds);
    if holds(b"<svg") && !holds(b"<html") {
        Some("an SVG picture")
    } else if is_page {
        Some("a web page (HTML) that the report does not announce as one")
    } else if start.starts_with(b"<?xml") {
        Some("XML")
    } else if std::str::from_utf8(first).is_ok_and(turns_letters_round) {
        Some("a text with characters that turn letters round, so that it reads differently from what it says")
    } else {
        None
    }
}

/// The words for what `infer` knows.
fn known(mime: &str) -> Option<&'static str> {
    Some(match mime {
        "application/vnd.microsoft.portable-executable" => "a Windows program",
        "application/x-executable" | "application/x-mach-binary" | "application/wasm" | "application/java" => {
            "a program"
        }
        "text/x-shellscript" => "a script",
        "application/dicom" => "a DICOM image",
        "image/gif" => "a GIF picture",
        "image/webp" => "a WebP picture",
        "image/tiff" => "a TIFF picture",
        "image/bmp" => "a BMP picture",
        "image/heif" | "image/avif" => "a HEIF or AVIF picture",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
        | "application/vnd.oasis.opendocument.text" => "a text document of an office",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        | "application/vnd.oasis.opendocument.spreadsheet" => "a spreadsheet",
        "application/msword"
        | "application/vnd.ms-excel"
        | "application/vnd.ms-powerpoint"
        | "application/x-ole-storage" => "an old Office document",
        "application/zip"
        | "application/gzip"
        | "application/vnd.rar"
        | "application/x-7z-compressed"
        | "application/x-bzip2"
        | "application/x-xz"
        | "application/x-tar"
        | "application/zstd" => "an archive",
        "application/postscript" => "PostScript",
        _ => return None,
    })
}
