//! Which bytes of a file a request wants (RFC 9110 §13 and §14). Pure.

/// `length` bytes from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(Part),
    Unsatisfiable,
    /// The asker has these very bytes.
    Unchanged,
}

/// One range is served; several, another unit or rubbish are ignored, as the RFC allows.
pub(super) fn wanted(
    length: u64,
    etag: &str,
    range: Option<&str>,
    if_range: Option<&str>,
    if_none_match: Option<&str>,
) -> Wanted {
    if if_none_match.is_some_and(|list| names(list, etag)) {
        return Wanted::Unchanged;
    }
    // A date, a weak tag or another file: send it whole.
    if if_range.is_some_and(|tag| tag.trim() != etag) {
        return Wanted::Whole;
    }
    match range.and_then(parse) {
        None => Wanted::Whole,
        Some(asked) => asked.within(length),
    }
}

fn names(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

enum Asked {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

fn parse(range: &str) -> Option<Asked> {
    let (unit, set) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    match (first, last) {
        ("", last) => number(last).map(Asked::Last),
        (first, "") => number(first).map(Asked::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Asked::Between(first, last))
        }
    }
}

/// A number too large for us lies past every end.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

impl Asked {
    fn within(self, length: u64) -> Wanted {
        let (start, end) = match self {
            Self::From(start) => (start, length),
            Self::Between(start, last) => (start, last.saturating_add(1).min(length)),
            Self::Last(count) => (length.saturating_sub(count), length),
        };
        if start < end { Wanted::Part(Part { start, length: end - start }) } else { Wanted::Unsatisfiable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let part = |start, length| Wanted::Part(Part { start, length });
        let table = [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-99", part(0, 100)),
            ("bytes=10-19", part(10, 10)),
            ("bytes=10-", part(10, 90)),
            ("bytes=-10", part(90, 10)),
            ("bytes=-1000", part(0, 100)),
            ("bytes=90-1000", part(90, 10)),
            ("Bytes=99-", part(99, 1)),
            ("bytes=0-99999999999999999999999999", part(0, 100)),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=100-200", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=20-10", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("pages=1-2", Wanted::Whole),
        ];
        for (range, expected) in table {
            assert_eq!(wanted(100, ETAG, Some(range), None, None), expected, "{range}");
        }
        assert_eq!(wanted(100, ETAG, None, None, None), Wanted::Whole);
    }

    #[test]
    fn a_part_is_sent_only_of_the_file_that_the_asker_has_begun() {
        let part = Wanted::Part(Part { start: 10, length: 90 });
        let after = |if_range| wanted(100, ETAG, Some("bytes=10-"), Some(if_range), None);
        assert_eq!(after("\"abc\""), part);
        assert_eq!(after("W/\"abc\""), Wanted::Whole);
        assert_eq!(after("\"other\""), Wanted::Whole);
        assert_eq!(after("Sun, 22 Nov 2026 11:00:00 GMT"), Wanted::Whole);
    }

    #[test]
    fn whoever_has_the_bytes_is_not_sent_them_again() {
        let given = |list| wanted(100, ETAG, Some("bytes=10-"), None, Some(list));
        assert_eq!(given("\"x\", W/\"abc\""), Wanted::Unchanged);
        assert_eq!(given("*"), Wanted::Unchanged);
        assert_ne!(given("\"x\""), Wanted::Unchanged);
    }
}
