//! A relay refuses, delays, breaks off or says nothing: each message ends in a known state.

use std::time::Duration;

use chartseal::base::{DeliveryId, UtcMillis};
use chartseal::desk::Brief;
use chartseal::store::{self, NoticeRow};

use crate::support::clinic::{Clinic, Wishes};
use crate::support::ehr;
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::pdf;
use crate::support::place::Place;

const HBA1C: &str = "4548-4";
const ANA: &str = "ana@example.test";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

/// A clinic that has made its first attempt to write to `address`.
async fn attempted(address: &str) -> Clinic {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.report(address, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    clinic
}

async fn notice(clinic: &Clinic) -> NoticeRow {
    let id = DeliveryId::parse(&clinic.only_delivery().await.id).unwrap();
    clinic.ground.store.read(move |conn| store::notices_of(conn, &id)).await.unwrap().remove(0)
}

async fn dead_in_review(clinic: &Clinic) -> Brief {
    let brief = clinic.only_delivery().await;
    assert_eq!(brief.state, "review");
    let shown = clinic.show(&brief.id).await;
    assert!(shown.shredded_at.is_some(), "the link of a message that never left lives on");
    assert_eq!(clinic.blobs(), Vec::<String>::new());
    assert_eq!(notice(clinic).await.secret_sealed, None);
    brief
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_refused_for_good_is_bounced_its_link_dies_and_a_person_looks() {
    for address in ["perm-ana@example.test", "full-ana@example.test", "data5-ana@example.test"] {
        let clinic = attempted(address).await;
        let brief = dead_in_review(&clinic).await;
        assert_eq!(brief.notice, Some("bounced"), "{address}");
        assert!(brief.note.contains("refused for good") && !brief.note.contains('@'), "{}", brief.note);
        clinic.hear_and_settle().await;
        assert!(clinic.mailbox.mails().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_refusal_the_address_is_mended_in_the_ehr_and_staff_send_to_the_new_one() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let (patient, _) = clinic.report("perm-ana@example.test", HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.hear_and_settle().await;
    let mail = clinic.mailbox.wait_for(ANA, 1).await;
    assert_eq!(Holder::new(&mail.link()).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greylisted_message_is_tried_again_and_sent_once() {
    let clinic = attempted("grey-ana@example.test").await;
    assert_eq!(clinic.only_delivery().await.notice, Some("queued"));
    assert!(clinic.mailbox.mails().is_empty());
    clinic.settle().await;
    assert!(clinic.mailbox.mails().is_empty(), "it was tried again before its time");
    clinic.forward(Duration::from_secs(15));
    clinic.settle().await;
    clinic.hear_and_settle().await;
    let mails = clinic.mailbox.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].message_id.starts_with(notice(&clinic).await.id.as_str()));
    assert_eq!(Holder::new(&mails[0].link()).read().await, paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_put_off_for_too_long_goes_to_review_and_its_end_of_life_never_moves() {
    let clinic = attempted("temp-ana@example.test").await;
    let id = clinic.only_delivery().await.id;
    let expires_at = clinic.show(&id).await.expires_at;
    assert!(expires_at.is_some());
    for _ in 0..5 {
        clinic.hear_and_settle().await;
        let shown = clinic.show(&id).await;
        assert_eq!((shown.brief.state, shown.brief.notice), ("live", Some("queued")));
        assert_eq!(shown.expires_at, expires_at, "a retry moved the end of the link's life");
    }
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    let brief = dead_in_review(&clinic).await;
    assert!(brief.note.contains("waited too long"), "{}", brief.note);
    assert_eq!(brief.notice, Some("dead"));
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_unknown_fate_is_repeated_twice_under_one_id_and_then_staff_are_told() {
    let clinic = attempted("lost-ana@example.test").await;
    for _ in 0..4 {
        clinic.hear_and_settle().await;
    }
    let mails = clinic.mailbox.mails();
    assert_eq!(mails.len(), 3, "at most three attempts");
    assert!(mails.iter().all(|mail| mail.message_id == mails[0].message_id && mail.link() == mails[0].link()));
    let dates = |raw: &str| raw.lines().find(|line| line.starts_with("Date:")).map(str::to_owned);
    assert!(mails.iter().all(|mail| dates(&mail.raw) == dates(&mails[0].raw)), "one message has one date");
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, brief.notice), ("live", Some("unsure")));
    assert!(brief.note.contains("nobody can tell"), "{}", brief.note);
    assert_eq!(notice(&clinic).await.secret_sealed, None);
    assert_eq!(Holder::new(&mails[0].link()).read().await, paper(), "it may have arrived, so it opens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_in_the_message_never_ends_in_silence() {
    let clinic = attempted("drop-ana@example.test").await;
    for _ in 0..7 {
        clinic.hear_and_settle().await;
    }
    let brief = clinic.only_delivery().await;
    // Whether the end of the message was on its way when the line broke is a race that both ends may lose.
    match brief.notice {
        Some("unsure") => assert_eq!(brief.state, "live"),
        Some("dead") => drop(dead_in_review(&clinic).await),
        other => panic!("{other:?}"),
    }
    assert!(!brief.note.is_empty() && clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_relay_times_out_and_the_message_waits() {
    let wishes = Wishes { more: "attempt_seconds = 2".to_owned(), ..Wishes::default() };
    let clinic = Clinic::spawn_with(wishes, ehr::lease().await, Mailbox::start(Manner::Silent).await).await;
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, brief.notice), ("live", Some("queued")));
    clinic.forward(Duration::from_hours(6) + Duration::from_secs(1));
    clinic.settle().await;
    dead_in_review(&clinic).await;
}

/// A clinic whose message has met a relay of this manner once, and cannot be handed over.
async fn refused_by(manner: Manner, mail_tls: &'static str, ca_file: Option<&std::path::Path>) -> Clinic {
    let more = ca_file.map(|path| format!("ca_file = \"{}\"", path.display())).unwrap_or_default();
    let wishes = Wishes { mail_tls, more, ..Wishes::default() };
    let clinic = Clinic::spawn_with(wishes, ehr::lease().await, Mailbox::start(manner).await).await;
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    clinic
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_cannot_be_used_gets_nothing_and_the_message_waits_and_then_goes_to_review() {
    let place = Place::new("authority");
    let stranger = Mailbox::start(Manner::StartTls).await;
    let other_authority = place.join("other.pem");
    std::fs::write(&other_authority, stranger.certificate_pem()).unwrap();
    for (manner, tls, ca_file, why) in [
        (Manner::Greets("421 4.3.2 too many connections"), "none", None, "not ready (421 4.3.2)"),
        (Manner::Greets("554 5.7.1 not for you"), "none", None, "refuses to talk to us (554 5.7.1)"),
        (Manner::Greets("purple monkey dishwasher"), "none", None, "the connection broke"),
        // Someone on the way took STARTTLS out of the relay's offer.
        (Manner::Plain, "required", Some(&other_authority), "does not offer STARTTLS"),
        (Manner::StartTls, "required", Some(&other_authority), "certificate is not trusted"),
    ] {
        let clinic = refused_by(manner, tls, ca_file.map(std::path::PathBuf::as_path)).await;
        let brief = clinic.only_delivery().await;
        assert_eq!((brief.state, brief.notice), ("live", Some("queued")), "{why}");
        let told = notice(&clinic).await.why.unwrap();
        assert!(told.contains(why), "{told}");
        clinic.forward(Duration::from_hours(6) + Duration::from_secs(1));
        clinic.settle().await;
        let brief = dead_in_review(&clinic).await;
        assert!(brief.note.contains("waited too long"), "{}", brief.note);
        assert!(clinic.mailbox.mails().is_empty(), "something was said in spite of it: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_right_authority_the_message_leaves_encrypted() {
    let place = Place::new("authority");
    let (mailbox, authority) = (Mailbox::start(Manner::StartTls).await, place.join("ca.pem"));
    std::fs::write(&authority, mailbox.certificate_pem()).unwrap();
    let more = format!("ca_file = \"{}\"", authority.display());
    let wishes = Wishes { mail_tls: "required", more, ..Wishes::default() };
    let clinic = Clinic::spawn_with(wishes, ehr::lease().await, mailbox).await;
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    assert!(clinic.mailbox.wait_for(ANA, 1).await.came_over_tls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_full_for_the_moment_and_a_line_cut_before_the_message_are_tried_again() {
    for (address, why) in [
        ("tight-ana@example.test", "put off the recipient (452 4.2.2)"),
        ("gone-ana@example.test", "the connection broke before the end of the message"),
    ] {
        let clinic = attempted(address).await;
        for _ in 0..3 {
            let waiting = notice(&clinic).await;
            assert_eq!(waiting.state.name(), "queued", "what certainly was not sent is not of unknown fate");
            let told = waiting.why.unwrap();
            assert!(told.contains(why), "{told}");
            clinic.hear_and_settle().await;
        }
        clinic.forward(Duration::from_hours(6));
        clinic.settle().await;
        assert_eq!(dead_in_review(&clinic).await.notice, Some("dead"));
        assert!(clinic.mailbox.mails().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_smtp_after_the_whole_message_leaves_its_fate_unknown() {
    let clinic = attempted("babble-ana@example.test").await;
    assert_eq!(notice(&clinic).await.state.name(), "queued");
    for _ in 0..4 {
        clinic.hear_and_settle().await;
    }
    let mails = clinic.mailbox.mails();
    assert_eq!(mails.len(), 3, "at most three attempts");
    assert!(mails.iter().all(|mail| mail.message_id == mails[0].message_id && mail.link() == mails[0].link()));
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, brief.notice), ("live", Some("unsure")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_relay_gets_the_message_once() {
    let clinic = attempted("slow-2-ana@example.test").await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mailbox.mails().len(), 1);
    assert_eq!(clinic.only_delivery().await.notice, Some("sent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_accepts_and_then_resets_the_connection_has_accepted() {
    let wishes = Wishes { more: "connections_max = 1".to_owned(), ..Wishes::default() };
    let clinic = Clinic::spawn(wishes).await;
    for name in ["rude-ana@example.test", "rude-bea@example.test", "rude-cleo@example.test"] {
        clinic.report(name, HBA1C, &paper()).await;
    }
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    let deliveries = clinic.deliveries().await;
    assert_eq!(deliveries.len(), 3);
    assert!(deliveries.iter().all(|brief| (brief.state, brief.notice) == ("live", Some("sent"))));
    assert_eq!(clinic.mailbox.mails().len(), 3, "each was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_address_delays_no_other_message_over_the_same_connection() {
    let wishes = Wishes { more: "connections_max = 1".to_owned(), ..Wishes::default() };
    let clinic = Clinic::spawn(wishes).await;
    let bad = ["perm-eve", "temp-eve", "data5-eve", "gone-eve", "lost-eve"];
    let good = ["ana", "bea", "cleo", "dora", "emma"];
    for name in bad.iter().zip(&good).flat_map(|(bad, good)| [bad, good]) {
        clinic.report(&format!("{name}@example.test"), HBA1C, &paper()).await;
    }
    clinic.hear_and_settle().await;
    for name in good {
        assert_eq!(clinic.mails_to(&format!("{name}@example.test")).len(), 1, "{name}");
    }
    let sent = clinic.deliveries().await.iter().filter(|brief| brief.notice == Some("sent")).count();
    assert_eq!(sent, 5);
    for _ in 0..8 {
        clinic.hear_and_settle().await;
    }
}

/// Takes the due message as a worker would that dies at once.
async fn lease_and_die(clinic: &Clinic) -> usize {
    let now = clinic.now();
    let read_since = UtcMillis(now.0 - 900_000);
    clinic.ground.store.write(move |tx| store::lease_notices(tx, now, read_since, 32)).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_worker_died_counts_as_of_unknown_fate_and_is_sent_again() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.desk().pause("to die in time").await.unwrap();
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    clinic.desk().resume().await.unwrap();
    assert_eq!(lease_and_die(&clinic).await, 1);
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.notice, Some("leased"), "a lease that runs is not taken over");
    clinic.forward(Duration::from_mins(2));
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.notice, Some("queued"));
    assert!(notice(&clinic).await.why.unwrap().contains("worker"));
    clinic.forward(Duration::from_secs(15));
    clinic.settle().await;
    assert_eq!(clinic.mails_to(ANA).len(), 1);
    assert_eq!(clinic.only_delivery().await.notice, Some("sent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_three_dead_workers_nobody_knows_and_staff_are_told() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.desk().pause("to die in time").await.unwrap();
    clinic.report(ANA, HBA1C, &paper()).await;
    clinic.hear_and_settle().await;
    clinic.desk().resume().await.unwrap();
    for _ in 0..3 {
        assert_eq!(lease_and_die(&clinic).await, 1);
        clinic.forward(Duration::from_mins(2));
        clinic.steps.outbox.turn().await.unwrap();
        clinic.forward(Duration::from_mins(1));
    }
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, brief.notice), ("live", Some("unsure")));
    assert!(brief.note.contains("nobody can tell"));
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_hand_over_the_links_secret_is_gone_from_the_database() {
    let clinic = attempted(ANA).await;
    let notice = notice(&clinic).await;
    assert_eq!((notice.state.name(), notice.secret_sealed), ("sent", None));
    let secret = clinic.mailbox.wait_for(ANA, 1).await.link().split_once('#').unwrap().1.to_owned();
    for file in std::fs::read_dir(&clinic.folder).unwrap().flatten() {
        if file.file_name().to_string_lossy().starts_with("chartseal.db") {
            let bytes = std::fs::read(file.path()).unwrap();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}
