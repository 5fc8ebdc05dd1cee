//! What a letter may say, and templates that go wrong.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;

const LINK: &str = "https://reports.clinic.test/r/AbCdEfGhIjKlMnOp#k=QUJDREVGR0hJSktMTU5PUA";

fn notice(kind: NoticeKind, wording: Wording) -> LinkNotice {
    LinkNotice {
        notice: NoticeId::parse("Nn0-_nNnNnNnNnNn").unwrap(),
        clinic_name: DisplayName::parse("Lakeside Clinic").unwrap(),
        clinic_phone: ClinicPhone::parse("+1 312 555 0148").unwrap(),
        from: EmailAddress::parse("notices@lakeside.test").unwrap(),
        to: EmailAddress::parse("ana.garcia@patient.test").unwrap(),
        link: match kind {
            NoticeKind::New | NoticeKind::Updated | NoticeKind::Reminder => Some(SecretText::new(LINK.to_owned())),
            NoticeKind::Waiting => None,
        },
        expires_at: UtcMillis::parse_rfc3339("2026-11-24T22:05:59Z").unwrap(),
        sent_at: UtcMillis::parse_rfc3339("2026-11-21T10:00:00Z").unwrap(),
        zone: chrono_tz::America::Chicago,
        reference: Reference::parse("K7Q4-MD2X").unwrap(),
        language: Language::English,
        wording,
        kind,
        date: UtcMillis::parse_rfc3339("2026-11-22T10:00:00Z").unwrap(),
    }
}

fn in_language(language: Language, kind: NoticeKind, wording: Wording) -> LinkNotice {
    LinkNotice { language, ..notice(kind, wording) }
}

fn composed(notice: &LinkNotice) -> String {
    String::from_utf8(notice.compose(&Messages::default()).unwrap().expose().to_vec()).unwrap()
}

/// Both parts as a reader decodes them: plain, HTML.
fn decoded(notice: &LinkNotice) -> (String, String) {
    let message = composed(notice);
    let parts: Vec<&str> = message.split("--=_Nn0-_nNnNnNnNnNn").collect();
    let read = |part: &str| {
        let (head, body) = part.split_once("\r\n\r\n").unwrap();
        if head.contains("quoted-printable") {
            unquoted(body)
        } else if head.contains("base64") {
            let packed = body.replace("\r\n", "");
            String::from_utf8(data_encoding::BASE64.decode(packed.as_bytes()).unwrap()).unwrap()
        } else {
            body.to_owned()
        }
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

fn every_notice() -> impl Iterator<Item = LinkNotice> {
    let wordings = [Wording::Full, Wording::Generic, Wording::Bare];
    let of_kind = move |language, kind| wordings.into_iter().map(move |wording| in_language(language, kind, wording));
    let in_each = move |language| NoticeKind::ALL.into_iter().flat_map(move |kind| of_kind(language, kind));
    Language::ALL.into_iter().flat_map(in_each)
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
fn every_message_of_a_language_reads_like_this() {
    for language in Language::ALL {
        let mut all = String::new();
        for kind in NoticeKind::ALL {
            for wording in [Wording::Generic, Wording::Bare] {
                let notice = in_language(language, kind, wording);
                let words = notice.words(&Messages::default()).unwrap();
                let (kind, from) = (kind.as_str(), notice.named_clinic().map_or("", DisplayName::as_str));
                writeln!(all, "## {kind} {wording:?}\nFrom: {from}\nSubject: {}\n\n{}", words.subject, words.plain)
                    .unwrap();
            }
        }
        insta::assert_snapshot!(format!("all_{language}"), all);
    }
}

#[test]
fn the_link_stands_unbroken_on_its_own_line_and_no_other_line_is_wide() {
    for mut notice in every_notice() {
        notice.clinic_name = DisplayName::parse(&"Ärzte am See ".repeat(4)).unwrap();
        let (plain, html) = decoded(&notice);
        let has_link = notice.link.is_some();
        assert_eq!(plain.lines().filter(|line| *line == LINK).count(), usize::from(has_link));
        assert!(plain.lines().all(|line| line == LINK || line.chars().count() <= 76), "{plain}");
        assert_eq!(html.matches(LINK).count(), if has_link { 3 } else { 0 }, "twice to press, once to read");
        assert!(composed(&notice).is_ascii());
        assert!(composed(&notice).split("\r\n").all(|line| line.len() <= 998));
    }
}

#[test]
fn a_bare_notice_does_not_name_the_clinic_anywhere() {
    for notice in every_notice().filter(|notice| notice.wording == Wording::Bare) {
        let (plain, html) = decoded(&notice);
        for text in [composed(&notice), plain, html] {
            assert!(!text.contains("Lakeside") && !text.to_lowercase().contains("clinic "), "{text}");
        }
    }
}

#[test]
fn each_message_says_its_end_and_the_reference_and_in_which_language_it_is() {
    for notice in every_notice() {
        let (plain, html) = decoded(&notice);
        let message = composed(&notice);
        let until = messages::day_and_time(notice.expires_at, notice.zone, notice.language);
        assert!(message.contains(&format!("\r\nContent-Language: {}\r\n", notice.language)), "{message}");
        assert!(html.contains(&format!("<html lang=\"{}\">", notice.language)));
        for text in [plain.replace("\r\n", " ").replace('\n', " "), html] {
            assert!(text.contains(&until) && text.contains("K7Q4-MD2X") && text.contains("555 0148"), "{text}");
        }
    }
}

#[test]
fn no_word_says_whom_or_what_it_is_about() {
    for notice in every_notice().filter(|notice| notice.language == Language::English) {
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
fn nothing_is_loaded_from_anywhere() {
    let template = include_str!("../../../templates/notify/letter.html");
    assert!(!template.contains("<img") && !template.contains("src=") && !template.contains("url("));
}

#[test]
fn the_same_notice_gives_the_same_bytes() {
    let notice = notice(NoticeKind::New, Wording::Full);
    assert_eq!(composed(&notice), composed(&notice));
    let id = notice.compose(&Messages::default()).unwrap().message_id().to_string();
    assert_eq!(id, "<Nn0-_nNnNnNnNnNn@lakeside.test>");
}

#[test]
fn a_name_cannot_leave_its_place() {
    for name in [
        "Dr. <b>X</b> & Co \"Y\"",
        "{{ link }}",
        "{link}",
        "a@b.test, Eve",
        "Praxis Ökologie für Männer und Frauen, Zürich",
    ] {
        let mut notice = notice(NoticeKind::New, Wording::Full);
        notice.clinic_name = DisplayName::parse(name).unwrap();
        let message = composed(&notice);
        let (head, _) = message.split_once("\r\n\r\n").unwrap();
        let fields: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|l| l.split(':').next().unwrap())
            .collect();
        let expected = [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "Content-Language",
            "MIME-Version",
            "Content-Type",
        ];
        assert_eq!(fields.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from(expected), "{head}");
        assert_eq!(fields.len(), expected.len());
        assert!(!decoded(&notice).1.contains("<b>"));
    }
}

#[test]
fn a_link_that_could_break_the_message_is_refused() {
    let links = ["", "javascript:alert(1)", "https://x.test/a b", "https://x.test/\r\n\r\nX", "https://x.test/é"];
    for link in links.map(|link| Some(SecretText::new(link.to_owned()))).into_iter().chain([None]) {
        let mut notice = notice(NoticeKind::New, Wording::Full);
        notice.link = link;
        assert_eq!(notice.compose(&Messages::default()).err(), Some(ComposeError::Link));
    }
}
