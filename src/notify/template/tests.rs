//! What a letter may say, and templates that go wrong.

use std::collections::BTreeSet;

use super::*;

const LINK: &str = "https://reports.clinic.test/r/AbCdEfGhIjKlMnOp#k=QUJDREVGR0hJSktMTU5PUA";

fn notice(kind: NoticeKind, wording: Wording) -> LinkNotice {
    LinkNotice {
        notice: NoticeId::parse("Nn0-_nNnNnNnNnNn").unwrap(),
        clinic_name: DisplayName::parse("Lakeside Clinic").unwrap(),
        clinic_phone: ClinicPhone::parse("+1 312 555 0148").unwrap(),
        from: EmailAddress::parse("notices@lakeside.test").unwrap(),
        to: EmailAddress::parse("ana.garcia@patient.test").unwrap(),
        link: SecretText::new(LINK.to_owned()),
        expires_at: UtcMillis::parse_rfc3339("2026-11-24T22:05:59Z").unwrap(),
        zone: chrono_tz::America::Chicago,
        reference: Reference::parse("K7Q4-MD2X").unwrap(),
        language: Language::English,
        wording,
        kind,
        date: UtcMillis::parse_rfc3339("2026-11-22T10:00:00Z").unwrap(),
    }
}

fn composed(notice: &LinkNotice) -> String {
    String::from_utf8(notice.compose().unwrap().expose().to_vec()).unwrap()
}

/// Both parts as a reader decodes them: plain, HTML.
fn decoded(notice: &LinkNotice) -> (String, String) {
    let message = composed(notice);
    let parts: Vec<&str> = message.split("--=_Nn0-_nNnNnNnNnNn").collect();
    let read = |part: &str| {
        let (head, body) = part.split_once("\r\n\r\n").unwrap();
        if head.contains("quoted-printable") { unquoted(body) } else { body.to_owned() }
    };
    (read(parts[1]), read(parts[2]))
}

/// Undoes quoted-printable (RFC 2045 §6.7).
fn unquoted(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'=' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
        } else {
            byte
        };
        out.push(byte);
    }
    String::from_utf8(out).unwrap()
}

fn every_kind() -> impl Iterator<Item = LinkNotice> {
    [NoticeKind::New, NoticeKind::Updated]
        .into_iter()
        .flat_map(|kind| [Wording::Full, Wording::Generic, Wording::Bare].map(|wording| notice(kind, wording)))
}

#[test]
fn a_new_document_is_announced_in_these_words() {
    let notice = notice(NoticeKind::New, Wording::Generic);
    let message = composed(&notice);
    let (head, _) = message.split_once("\r\n\r\n").unwrap();
    let (plain, html) = decoded(&notice);
    insta::assert_snapshot!("new_head", head.replace("\r\n", "\n"));
    insta::assert_snapshot!("new_plain", plain.replace("\r\n", "\n"));
    insta::assert_snapshot!("new_html", html.replace("\r\n", "\n"));
}

#[test]
fn an_updated_document_is_announced_in_these_words() {
    let notice = notice(NoticeKind::Updated, Wording::Bare);
    let message = composed(&notice);
    let (head, _) = message.split_once("\r\n\r\n").unwrap();
    let (plain, html) = decoded(&notice);
    insta::assert_snapshot!("updated_bare_head", head.replace("\r\n", "\n"));
    insta::assert_snapshot!("updated_bare_plain", plain.replace("\r\n", "\n"));
    insta::assert_snapshot!("updated_bare_html", html.replace("\r\n", "\n"));
}

#[test]
fn the_link_stands_unbroken_on_its_own_line_and_no_other_line_is_wide() {
    for mut notice in every_kind() {
        notice.clinic_name = DisplayName::parse(&"Ärzte am See ".repeat(4)).unwrap();
        let (plain, html) = decoded(&notice);
        assert!(plain.lines().any(|line| line == LINK));
        assert!(plain.lines().all(|line| line == LINK || line.chars().count() <= 76), "{plain}");
        assert_eq!(html.matches(LINK).count(), 3, "twice to press, once to read");
        assert!(composed(&notice).is_ascii());
        assert!(composed(&notice).split("\r\n").all(|line| line.len() <= 998));
    }
}

#[test]
fn a_bare_notice_does_not_name_the_clinic_anywhere() {
    for kind in [NoticeKind::New, NoticeKind::Updated] {
        let notice = notice(kind, Wording::Bare);
        let (plain, html) = decoded(&notice);
        for text in [composed(&notice), plain, html] {
            assert!(!text.contains("Lakeside") && !text.to_lowercase().contains("clinic "), "{text}");
        }
    }
}

#[test]
fn no_word_says_whom_or_what_it_is_about() {
    for notice in every_kind() {
        let (plain, html) = decoded(&notice);
        let message = composed(&notice);
        let (head, _) = message.split_once("\r\n\r\n").unwrap();
        let head: String = head.lines().filter(|line| !line.starts_with("To:")).collect();
        for text in [head, plain, html] {
            let text = text.replace(LINK, "").replace("lakeside.test", "").to_lowercase();
            for word in ["ana", "garcia", "patient", "result", "report", "test", "lab", "doctor", "diagnos", "health"] {
                assert!(!text.split(|c: char| !c.is_alphabetic()).any(|w| w.starts_with(word)), "{word}: {text}");
            }
        }
    }
}

#[test]
fn templates_ask_for_nothing_but_the_allowed_facts() {
    let allowed = BTreeSet::from(["clinic", "phone", "link", "until", "reference"]);
    for template in [
        include_str!("../../../templates/notify/link_notice.en.txt"),
        include_str!("../../../templates/notify/link_notice.en.html"),
    ] {
        let asked: BTreeSet<&str> =
            template.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().trim()).collect();
        assert_eq!(asked, allowed);
        assert!(
            !template.contains("<img") && !template.contains("src=") && !template.contains("url("),
            "nothing is loaded"
        );
    }
}

#[test]
fn the_same_notice_gives_the_same_bytes() {
    let notice = notice(NoticeKind::New, Wording::Full);
    assert_eq!(composed(&notice), composed(&notice));
    assert_eq!(notice.compose().unwrap().message_id().to_string(), "<Nn0-_nNnNnNnNnNn@lakeside.test>");
}

#[test]
fn a_name_cannot_leave_its_place() {
    for name in
        ["Dr. <b>X</b> & Co \"Y\"", "{{ link }}", "a@b.test, Eve", "Praxis Ökologie für Männer und Frauen, Zürich"]
    {
        let mut notice = notice(NoticeKind::New, Wording::Full);
        notice.clinic_name = DisplayName::parse(name).unwrap();
        let message = composed(&notice);
        let (head, _) = message.split_once("\r\n\r\n").unwrap();
        let fields: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|l| l.split(':').next().unwrap())
            .collect();
        let expected =
            ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"];
        assert_eq!(fields.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from(expected), "{head}");
        assert_eq!(fields.len(), expected.len());
        assert!(!decoded(&notice).1.contains("<b>"));
    }
}

#[test]
fn a_link_that_could_break_the_message_is_refused() {
    for link in ["", "javascript:alert(1)", "https://x.test/a b", "https://x.test/\r\n\r\nX", "https://x.test/é"] {
        let mut notice = notice(NoticeKind::New, Wording::Full);
        notice.link = SecretText::new(link.to_owned());
        assert_eq!(notice.compose().err(), Some(ComposeError::Link), "{link:?}");
    }
}

#[test]
fn the_end_is_told_in_the_clinics_time() {
    let at = |text| UtcMillis::parse_rfc3339(text).unwrap();
    for (instant, zone, expected) in [
        ("2026-11-24T22:05:59Z", chrono_tz::America::Chicago, "Tuesday, 24 November 2026, 16:05 (Chicago time)"),
        ("2026-07-01T04:30:00Z", chrono_tz::America::New_York, "Wednesday, 1 July 2026, 00:30 (New York time)"),
        ("2026-11-24T22:05:00Z", chrono_tz::Europe::Berlin, "Tuesday, 24 November 2026, 23:05 (Berlin time)"),
        ("2026-11-24T22:05:00Z", chrono_tz::America::Sao_Paulo, "Tuesday, 24 November 2026, 19:05 (Sao Paulo time)"),
        ("2026-11-01T06:30:00Z", chrono_tz::America::Chicago, "Sunday, 1 November 2026, 01:30 (CDT)"),
        ("2026-11-01T07:30:00Z", chrono_tz::America::Chicago, "Sunday, 1 November 2026, 01:30 (CST)"),
        ("2026-11-01T08:30:00Z", chrono_tz::America::Chicago, "Sunday, 1 November 2026, 02:30 (Chicago time)"),
        ("2026-11-24T22:05:00Z", chrono_tz::UTC, "Tuesday, 24 November 2026, 22:05 (UTC)"),
        ("2026-11-24T22:05:00Z", chrono_tz::Etc::UTC, "Tuesday, 24 November 2026, 22:05 (UTC)"),
    ] {
        assert_eq!(english_time(at(instant), zone), expected);
    }
}
