//! Sizes and times as people write them.

use std::time::Duration;

const BYTE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const TIME_UNITS: [(&str, u64); 5] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("y", 365 * 86_400)];

/// `16MiB`, `4096`.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text);
    let factor = if unit.is_empty() { 1 } else { factor_of(unit, &BYTE_UNITS)? };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// `90s`, `15m`, `1h`, `14d`, `2y` (years of 365 days).
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text);
    number.parse::<u64>().ok()?.checked_mul(factor_of(unit, &TIME_UNITS)?).map(Duration::from_secs)
}

/// In the largest unit that divides it.
pub(super) fn bytes_text(bytes: u64) -> String {
    let unit = BYTE_UNITS.iter().find(|(_, factor)| bytes.is_multiple_of(*factor)).copied();
    let (unit, factor) = unit.unwrap_or(("B", 1));
    format!("{}{unit}", bytes / factor)
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

fn factor_of(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}
