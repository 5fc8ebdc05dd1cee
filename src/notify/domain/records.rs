//! SPF, DKIM and DMARC as they stand in DNS, read as far as a clinic can mend them.
//!
//! Sources: RFC 7208 (SPF), RFC 6376 §3.6.1 and RFC 8301 (DKIM keys), RFC 7489 §6.3 (DMARC).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// RFC 7208 §4.6.4: a receiver gives up after so many further questions.
pub const SPF_LOOKUPS_MAX: usize = 10;
/// A public key of 2048 bits (RFC 8301 §3.2 wants as many) takes 294 bytes in DER, one of 1024 bits 162.
const RSA_2048_DER_BYTES_MIN: usize = 290;

/// Who may send for a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spf {
    None,
    /// Receivers then judge by none (RFC 7208 §4.5).
    Several,
    One {
        others: Others,
        /// Questions that its own words ask; those of what it includes come on top.
        lookups: usize,
    },
}

/// What is said of everybody who is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// `-all`, `~all`.
    MayNot,
    /// `?all`, or nothing.
    NothingSaid,
    /// `+all`: anybody may send as this domain.
    May,
    /// `redirect=`: another domain says.
    SaidElsewhere,
}

/// A key by which signatures are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DkimKey {
    None,
    Several,
    Unreadable,
    /// An empty key: signatures by it no longer count.
    Withdrawn,
    /// RSA of fewer than 2048 bits.
    Short,
    Good,
}

/// What receivers shall do with mail that is not the domain's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dmarc {
    None,
    Several,
    Unreadable,
    /// `p=none`: reports only.
    Watches,
    /// `p=quarantine`, `p=reject`.
    Guards,
}

/// Reads the TXT records of a domain.
#[must_use]
pub fn spf(texts: &[String]) -> Spf {
    let is_spf = |text: &&String| {
        let text = text.to_ascii_lowercase();
        text == "v=spf1" || text.starts_with("v=spf1 ")
    };
    let mut found = texts.iter().filter(is_spf);
    let (Some(one), None) = (found.next(), found.next()) else {
        return if texts.iter().any(|text| is_spf(&text)) { Spf::Several } else { Spf::None };
    };
    let (mut lookups, mut others, mut redirects) = (0, Others::NothingSaid, false);
    for word in one.to_ascii_lowercase().split_ascii_whitespace().skip(1) {
        let (sign, mechanism) = match word.split_at_checked(1) {
            Some((sign @ ("+" | "-" | "~" | "?"), rest)) => (sign, rest),
            Some(_) | None => ("+", word),
        };
        let name = mechanism.split([':', '/', '=']).next().unwrap_or_default();
        match name {
            "include" | "a" | "mx" | "ptr" | "exists" => lookups += 1,
            "redirect" => (lookups, redirects) = (lookups + 1, true),
            "all" => {
                others = match sign {
                    "-" | "~" => Others::MayNot,
                    "?" => Others::NothingSaid,
                    _ => Others::May,
                };
            }
            _ => {}
        }
    }
    let others = if redirects && others == Others::NothingSaid { Others::SaidElsewhere } else { others };
    Spf::One { others, lookups }
}

/// Reads the TXT records of `SELECTOR._domainkey.DOMAIN`.
#[must_use]
pub fn dkim_key(texts: &[String]) -> DkimKey {
    let mut found = texts.iter().filter(|text| tag(text, "p").is_some());
    let (one, more) = (found.next(), found.next());
    let Some(one) = one else { return if texts.is_empty() { DkimKey::None } else { DkimKey::Unreadable } };
    if more.is_some() {
        return DkimKey::Several;
    }
    let key: String = tag(one, "p").unwrap_or_default().split_ascii_whitespace().collect();
    if key.is_empty() {
        return DkimKey::Withdrawn;
    }
    let Ok(key) = BASE64_STANDARD.decode(key) else { return DkimKey::Unreadable };
    match tag(one, "k").as_deref() {
        None | Some("rsa") if key.len() < RSA_2048_DER_BYTES_MIN => DkimKey::Short,
        None | Some("rsa" | "ed25519") => DkimKey::Good,
        Some(_) => DkimKey::Unreadable,
    }
}

/// Reads the TXT records of `_dmarc.DOMAIN`.
#[must_use]
pub fn dmarc(texts: &[String]) -> Dmarc {
    let mut found = texts.iter().filter(|text| tag(text, "v").is_some_and(|v| v == "DMARC1"));
    match (found.next(), found.next()) {
        (None, _) => Dmarc::None,
        (Some(_), Some(_)) => Dmarc::Several,
        (Some(one), None) => match tag(one, "p").map(|p| p.to_ascii_lowercase()).as_deref() {
            Some("none") => Dmarc::Watches,
            Some("quarantine" | "reject") => Dmarc::Guards,
            Some(_) | None => Dmarc::Unreadable,
        },
    }
}

/// Whether two domains count as one's own (relaxed alignment, RFC 7489 §3.1.1), as far as their names alone tell: they are one, or
/// one lies in the other.
#[must_use]
pub fn are_aligned(one: &str, other: &str) -> bool {
    let (one, other) =
        (one.trim_end_matches('.').to_ascii_lowercase(), other.trim_end_matches('.').to_ascii_lowercase());
    let lies_in = |inner: &str, outer: &str| inner.strip_suffix(outer).is_some_and(|rest| rest.ends_with('.'));
    one == other || lies_in(&one, &other) || lies_in(&other, &one)
}

/// `name=value` among what semicolons part (RFC 6376 §3.2).
fn tag(text: &str, name: &str) -> Option<String> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn spf_says_who_else_may_send_and_how_many_questions_it_costs() {
        let one = |others, lookups| Spf::One { others, lookups };
        for (records, expected) in [
            (&["google-site-verification=x"][..], Spf::None),
            (&["v=spf10 -all"], Spf::None),
            (&["v=spf1 -all", "V=SPF1 ~all"], Spf::Several),
            (&["x", "v=spf1 ip4:192.0.2.1 include:_spf.relay.example -all"], one(Others::MayNot, 1)),
            (&["v=spf1 a mx/24 exists:%{i}.x ptr ~ALL"], one(Others::MayNot, 4)),
            (&["v=spf1 +all"], one(Others::May, 0)),
            (&["v=spf1 all"], one(Others::May, 0)),
            (&["v=spf1 ip4:192.0.2.1 ?all"], one(Others::NothingSaid, 0)),
            (&["v=spf1"], one(Others::NothingSaid, 0)),
            (&["v=spf1 redirect=_spf.relay.example"], one(Others::SaidElsewhere, 1)),
        ] {
            assert_eq!(spf(&texts(records)), expected, "{records:?}");
        }
    }

    #[test]
    fn a_dkim_key_is_there_whole_long_enough_and_not_withdrawn() {
        let of_bytes = |bytes: usize| format!("v=DKIM1; k=rsa; p={}", BASE64_STANDARD.encode(vec![1; bytes]));
        for (record, expected) in [
            (of_bytes(294), DkimKey::Good),
            (of_bytes(162), DkimKey::Short),
            ("v=DKIM1; p=".to_owned(), DkimKey::Withdrawn),
            ("v=DKIM1; p=***".to_owned(), DkimKey::Unreadable),
            ("v=DKIM1".to_owned(), DkimKey::Unreadable),
            (format!("k=ed25519;p={}", BASE64_STANDARD.encode([1; 32])), DkimKey::Good),
            (format!("k=new;p={}", BASE64_STANDARD.encode([1; 300])), DkimKey::Unreadable),
        ] {
            assert_eq!(dkim_key(std::slice::from_ref(&record)), expected, "{record}");
        }
        assert_eq!(dkim_key(&[]), DkimKey::None);
        assert_eq!(dkim_key(&[of_bytes(294), of_bytes(294)]), DkimKey::Several);
    }

    #[test]
    fn dmarc_watches_or_guards() {
        for (records, expected) in [
            (&[][..], Dmarc::None),
            (&["v=spf1 -all"], Dmarc::None),
            (&["v=DMARC1; p=none; rua=mailto:x@y.example"], Dmarc::Watches),
            (&["v=DMARC1;p=Reject"], Dmarc::Guards),
            (&["v=DMARC1; p = quarantine"], Dmarc::Guards),
            (&["v=DMARC1"], Dmarc::Unreadable),
            (&["v=DMARC1; p=none", "v=DMARC1; p=reject"], Dmarc::Several),
        ] {
            assert_eq!(dmarc(&texts(records)), expected, "{records:?}");
        }
    }

    #[test]
    fn alignment_is_of_domains_and_not_of_endings() {
        assert!(are_aligned("clinic.example", "Clinic.Example."));
        assert!(are_aligned("notify.clinic.example", "clinic.example"));
        assert!(are_aligned("clinic.example", "notify.clinic.example"));
        assert!(!are_aligned("badclinic.example", "clinic.example"));
        assert!(!are_aligned("relay.example", "clinic.example"));
    }
}
