//! Bytes that are certainly these letters.

use encoding_rs::Encoding;

use super::Obstacle;

/// How far into a page its encoding must be said.
const SAID_BYTES_MAX: usize = 1024;

/// The text of a page of HTML.
pub(super) fn of_html(bytes: &[u8]) -> Result<String, Obstacle> {
    let head = bytes.get(..SAID_BYTES_MAX.min(bytes.len())).unwrap_or_default().to_ascii_lowercase();
    let head = String::from_utf8_lossy(&head);
    let said = head.split_once("charset=").map(|(_, after)| {
        let after = after.trim_start_matches(['"', '\'', ' ']);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).unwrap_or(after.len());
        after.get(..end).unwrap_or_default()
    });
    of_label(bytes, said)
}

/// The text of an XML document.
pub(super) fn of_xml(bytes: &[u8]) -> Result<String, Obstacle> {
    let head = bytes.get(..SAID_BYTES_MAX.min(bytes.len())).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let declaration = head.split_once("?>").map(|(declaration, _)| declaration).filter(|text| text.contains("<?xml"));
    let said = declaration.and_then(|text| text.split_once("encoding=")).and_then(|(_, after)| {
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        after.get(1..)?.split(quote).next()
    });
    of_label(bytes, said)
}

/// By the encoding that is said; without one only UTF-8 is certain.
fn of_label(bytes: &[u8], said: Option<&str>) -> Result<String, Obstacle> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let utf8 = std::str::from_utf8(bytes);
    let said = match said {
        Some(label) => Some(Encoding::for_label(label.as_bytes()).ok_or(Obstacle::Encoding)?),
        None => None,
    };
    match (utf8, said) {
        (Ok(text), None) => Ok(text.to_owned()),
        (Ok(text), Some(said)) if text.is_ascii() || said == encoding_rs::UTF_8 => Ok(text.to_owned()),
        (Err(_), Some(said)) if said.is_single_byte() => decode(bytes, said),
        // Letters of two bytes that are said to be of one: one of both is wrong.
        (Ok(_), Some(_)) | (Err(_), Some(_) | None) => Err(Obstacle::Encoding),
    }
}

pub(super) fn decode(bytes: &[u8], encoding: &'static Encoding) -> Result<String, Obstacle> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    text.map(std::borrow::Cow::into_owned).ok_or(Obstacle::Encoding)
}
