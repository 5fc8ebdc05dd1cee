//! Reports as several mail systems write them, and what only looks like one. Written for these tests in the shape of each.

use super::*;

const TOKEN: &str = "aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq";

fn ours() -> BounceAddress {
    BounceAddress::new(EmailAddress::parse("bounces@notify.lakeside.test").unwrap()).unwrap()
}

/// A report with `status` as its second part, and our message, link and all, as its third.
fn report(status: &str) -> String {
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.test (Mail Delivery System)\r\nTo: bounces+{TOKEN}@notify.lakeside.test\r\n\
         Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"B/1\"\r\n\r\n\
         --B/1\r\nContent-Type: text/plain\r\n\r\nI'm sorry to have to inform you...\r\n\r\n\
         --B/1\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n{}\r\n\r\n\
         --B/1\r\nContent-Type: message/rfc822\r\n\r\nFrom: notices@lakeside.test\r\nSubject: x\r\n\r\nhttps://r.test/r/id#secret\r\n\
         --B/1--\r\n",
        status.replace('\n', "\r\n")
    )
}

fn read(raw: &str) -> Result<Dsn, NotADsn> {
    Dsn::read(raw.as_bytes(), BounceEnvelope::default(), &ours())
}

fn fate(status: &str) -> (Fate, String) {
    let dsn = read(&report(status)).unwrap();
    assert_eq!(dsn.token, TOKEN);
    (dsn.fate, dsn.status.map_or_else(String::new, |status| status.to_string()))
}

const POSTFIX: &str = "Reporting-MTA: dns; relay.test\nX-Postfix-Queue-ID: 5E0719E0418\nArrival-Date: Sat, 21 Nov 2026 10:00:00 +0000 (UTC)\n\n\
    Final-Recipient: rfc822; ana@patient.test\nOriginal-Recipient: rfc822;ana@patient.test\nAction: failed\nStatus: 5.1.1\n\
    Remote-MTA: dns; mx.patient.test\nDiagnostic-Code: smtp; 550 5.1.1 <ana@patient.test>: Recipient address rejected:\n    User unknown";
const EXIM: &str = "Reporting-MTA: dns; mail.relay.test\n\nAction: failed\nFinal-Recipient: rfc822;ana@patient.test\nStatus: 5.0.0\n\
    Remote-MTA: dns; mx.patient.test\nDiagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist";
const EXCHANGE: &str = "Reporting-MTA: dns;AM0PR01.relay.test\nReceived-From-MTA: dns;relay.test\nArrival-Date: Sat, 21 Nov 2026 10:00:00 +0000\n\n\
    Final-Recipient: rfc822;ana@patient.test\nAction: failed\nStatus: 5.1.10\nDiagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found";
const GMAIL_FULL: &str = "Reporting-MTA: dns; googlemail.test\nArrival-Date: Sat, 21 Nov 2026 02:00:00 -0800 (PST)\n\n\
    Final-Recipient: rfc822; ana@patient.test\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552-5.2.2 The recipient's inbox is out of storage space\n\
    Last-Attempt-Date: Sat, 21 Nov 2026 02:00:01 -0800 (PST)";
const SENDMAIL: &str = "Reporting-MTA: dns; relay.test\nArrival-Date: Sat, 21 Nov 2026 10:00:00 GMT\n\nFinal-Recipient: RFC822; ana@patient.test\n\
    Action: failed\nStatus: 4.4.7\nLast-Attempt-Date: Wed, 25 Nov 2026 10:00:00 GMT";
const POLICY: &str = "Reporting-MTA: dns; relay.test\n\nFinal-Recipient: rfc822; ana@patient.test\nAction: failed\nStatus: 5.7.26\n\
    Diagnostic-Code: smtp; 550 5.7.26 Unauthenticated email is not accepted due to domain's DMARC policy";
const DELAYED: &str = "Reporting-MTA: dns; relay.test\n\nFinal-Recipient: rfc822; ana@patient.test\nAction: delayed\nStatus: 4.4.1\n\
    Will-Retry-Until: Wed, 25 Nov 2026 10:00:00 +0000";

#[test]
fn what_mail_systems_write_says_what_became_of_the_message() {
    for (status, expected) in [
        (POSTFIX, (Fate::NoMailbox, "5.1.1")),
        (EXIM, (Fate::NoMailbox, "5.1.1")),
        (EXCHANGE, (Fate::NoMailbox, "5.1.10")),
        (GMAIL_FULL, (Fate::Full, "5.2.2")),
        (SENDMAIL, (Fate::GaveUp, "4.4.7")),
        (POLICY, (Fate::Policy, "5.7.26")),
        (DELAYED, (Fate::Delayed, "4.4.1")),
    ] {
        let (fate, status) = fate(status);
        assert_eq!((fate, status.as_str()), expected);
    }
}

#[test]
fn each_code_has_its_consequence() {
    let of = |text: &str| Fate::of_failure(EnhancedStatus::leading(text));
    for (codes, expected) in [
        (&["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.1", "5.4.4"][..], Fate::NoMailbox),
        (&["5.2.2", "4.2.2"], Fate::Full),
        (&["5.7.1", "5.7.26", "4.7.1"], Fate::Policy),
        (&["4.4.1", "4.0.0", "5.4.7", "4.2.1"], Fate::GaveUp),
        (&["5.0.0", "5.1.8", "5.2.3", "5.3.4", "5.6.0", ""], Fate::Refused),
    ] {
        for code in codes {
            assert_eq!(of(code), expected, "{code}");
        }
    }
}

#[test]
fn a_message_that_reached_one_of_several_places_has_arrived() {
    let two = format!("{POSTFIX}\n\nFinal-Recipient: rfc822; other@elsewhere.test\nAction: delivered\nStatus: 2.0.0");
    assert_eq!(fate(&two).0, Fate::Arrived);
    let late = format!("{POSTFIX}\n\nFinal-Recipient: rfc822; other@elsewhere.test\nAction: delayed\nStatus: 4.0.0");
    assert_eq!(fate(&late).0, Fate::Delayed);
}

#[test]
fn what_only_looks_like_a_report_is_none() {
    let good = report(POSTFIX);
    assert!(read(&good).is_ok());
    for (from, to, expected) in [
        ("Return-Path: <>", "Return-Path: <eve@evil.test>", NotADsn::HasSender),
        ("Return-Path: <>\r\n", "", NotADsn::HasSender),
        ("multipart/report", "multipart/mixed", NotADsn::NotAReport),
        ("report-type=delivery-status", "report-type=disposition-notification", NotADsn::NotAReport),
        ("notify.lakeside.test", "elsewhere.test", NotADsn::NotToUs),
        ("bounces+", "bounces-", NotADsn::NotToUs),
        ("Content-Type: message/delivery-status", "Content-Type: text/plain", NotADsn::NoRecipient),
        ("Action: failed\r\n", "", NotADsn::NoRecipient),
    ] {
        assert!(good.contains(from), "{from}");
        assert_eq!(read(&good.replacen(from, to, 1)), Err(expected), "{from} -> {to}");
    }
    assert_eq!(read(""), Err(NotADsn::Unreadable));
}

#[test]
fn what_the_mail_system_says_of_sender_and_recipient_counts_before_what_is_written_in_the_report() {
    let forged = report(POSTFIX);
    let eve = BounceEnvelope { sender: Some("eve@evil.test"), recipient: None };
    assert_eq!(Dsn::read(forged.as_bytes(), eve, &ours()), Err(NotADsn::HasSender));
    let elsewhere = BounceEnvelope { sender: Some("MAILER-DAEMON"), recipient: Some("staff@lakeside.test") };
    assert_eq!(Dsn::read(forged.as_bytes(), elsewhere, &ours()), Err(NotADsn::NotToUs));
    let upper = format!("BOUNCES+{}@Notify.Lakeside.Test", TOKEN.to_uppercase());
    let bare = forged.replacen("Return-Path: <>\r\n", "", 1);
    let piped = BounceEnvelope { sender: Some(""), recipient: Some(&upper) };
    assert_eq!(Dsn::read(bare.as_bytes(), piped, &ours()).unwrap().token, TOKEN);
}

#[test]
fn an_address_for_reports_leaves_room_for_the_token() {
    assert!(ours().with(TOKEN).unwrap().expose() == format!("bounces+{TOKEN}@notify.lakeside.test"));
    for address in ["bounces+x@lakeside.test", "an-address-that-is-much-too-long@lakeside.test"] {
        assert!(BounceAddress::new(EmailAddress::parse(address).unwrap()).is_err());
    }
}
