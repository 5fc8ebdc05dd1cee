//! What becomes ready at night leaves in the morning, one after the other, and is no accident; a message that the night caught
//! half-way is made again.

use std::time::Duration;

use chartseal::base::UtcMillis;
use chartseal::policy::quiet::LEAVE_EVERY;
use chrono::TimeDelta;
use chrono_tz::Tz;
use diesel::connection::SimpleConnection as _;

use crate::support::clinic::{self, Clinic, RULES, Wishes};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{ehr, pdf, program};

const HBA1C: &str = "4548-4";
const ANA: &str = "ana@example.test";
const MINUTE_MILLIS: i64 = 60_000;

fn paper() -> Vec<u8> {
    pdf::with_pages(&["first"])
}

/// A clinic whose night begins and ends so long from now, to the minute.
struct Night {
    clinic: Clinic,
    begins: UtcMillis,
    ends: UtcMillis,
}

impl Night {
    async fn spawn(begins: TimeDelta, ends: TimeDelta) -> Self {
        // Other tests may have the EHR for a while.
        let (ehr, mailbox) = (ehr::lease().await, Mailbox::start(Manner::Plain).await);
        let now = clinic::now().to_datetime();
        let wall = |after: TimeDelta| (now + after).with_timezone(&Tz::America__Chicago).format("%H:%M");
        let rules = format!("{RULES}\n[quiet]\nhours = \"{}-{}\"\n", wall(begins), wall(ends));
        let clinic = Clinic::spawn_with(Wishes { rules, ..Wishes::default() }, ehr, mailbox).await;
        let minute = |after: TimeDelta| UtcMillis((now + after).timestamp_millis() / MINUTE_MILLIS * MINUTE_MILLIS);
        Self { clinic, begins: minute(begins), ends: minute(ends) }
    }

    /// It began an hour ago and ends in four.
    async fn at_its_deepest() -> Self {
        Self::spawn(TimeDelta::hours(-1), TimeDelta::hours(4)).await
    }

    /// It begins in five minutes and takes twelve hours: longer than any message waits.
    async fn soon() -> Self {
        Self::spawn(TimeDelta::minutes(5), TimeDelta::minutes(5 + 12 * 60)).await
    }

    /// A report that becomes ready before the next one does.
    async fn report(&self, email: &str) -> String {
        let (_, report) = self.clinic.report(email, HBA1C, &paper()).await;
        self.clinic.forward(Duration::from_mins(1));
        self.clinic.settle().await;
        report
    }

    async fn at(&self, moment: UtcMillis) {
        self.clinic.forward(moment.since(self.clinic.now()));
        self.clinic.settle().await;
    }

    fn sent_to(&self) -> Vec<String> {
        self.clinic.mailbox.mails().into_iter().map(|mail| mail.envelope_to[0].clone()).collect()
    }

    async fn sql(&self, text: String) {
        self.clinic.ground.store.write(move |tx| Ok(tx.conn().batch_execute(&text)?)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_small_clinic_kept_over_night_leaves_within_seconds_in_the_order_in_which_it_was_ready() {
    let night = Night::at_its_deepest().await;
    let all = [ANA, "ben@example.test", "cleo@example.test"];
    for one in all {
        night.report(one).await;
    }
    night.at(UtcMillis(night.ends.0 - 1)).await;
    assert_eq!(night.sent_to(), Vec::<String>::new(), "it is quiet");
    for sent in 1..=all.len() {
        let turn = night.ends.plus(LEAVE_EVERY * u32::try_from(sent - 1).unwrap());
        night.at(turn).await;
        assert_eq!(night.sent_to(), all[..sent], "each has its turn");
    }
    night.report("dora@example.test").await;
    assert_eq!(night.sent_to().len(), 4, "by day nothing waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_morning_that_carries_the_nights_messages_does_not_trip_the_breaker() {
    let night = Night::at_its_deepest().await;
    night.report(ANA).await;
    night.at(night.ends).await;
    assert_eq!(night.sent_to(), [ANA]);
    // As if so many others, which the night kept too, had left with it.
    let rest = "delivery_id, link_id, kind, channel, state, due_at, attempts, ambiguous, created_at, first_attempt_at";
    night.sql(copies_of("notice", rest, rest)).await;
    night.report("ben@example.test").await;
    assert_eq!(night.sent_to(), [ANA, "ben@example.test"], "an ordinary morning stopped all sending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_import_at_night_pauses_all_sending_before_anything_leaves() {
    let night = Night::at_its_deepest().await;
    night.report(ANA).await;
    // As if so many more had become ready with it.
    let rest = "source_id, ehr, clinic, content_hash, recipient, issue_no, mode, kind, row_version, state_detail, state_at, \
         tries, decision, facts, trace, rules_hash, created_at, kept_at";
    let copies = copies_of(
        "delivery",
        &format!("state, report_version, {rest}"),
        &format!("'blocked', report_version || i, {rest}"),
    );
    night.sql(copies).await;
    night.clinic.forward(Duration::from_mins(1));
    night.clinic.settle().await;
    let listed = program::run(&night.clinic.config_path, &["audit", "export"]).out;
    let paused: Vec<&str> = listed.lines().filter(|line| line.contains("\"paused\"")).collect();
    assert!(paused.len() == 1 && paused[0].contains("became ready"), "{paused:?}");
    night.at(night.ends).await;
    assert_eq!(night.sent_to(), Vec::<String>::new(), "the breaker did not trip");
    night.clinic.desk().resume().await.unwrap();
    night.clinic.settle().await;
    assert_eq!(night.sent_to(), [ANA], "the breaker undid what staff had decided");
}

/// 250 copies of the only row of a table, with other ids.
fn copies_of(table: &str, columns: &str, values: &str) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) \
         INSERT INTO {table} (id, {columns}) SELECT 'copy-of-night' || printf('%03d', i), {values} FROM {table}, n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_put_off_in_the_evening_is_made_again_and_leaves_in_the_morning() {
    let night = Night::soon().await;
    night.report("grey-ana@example.test").await;
    let evening = night.clinic.only_delivery().await;
    assert_eq!((evening.state, evening.notice), ("live", Some("queued")), "the relay put it off");
    let id = evening.id;
    night.at(night.begins).await;
    let caught = night.clinic.show(&id).await;
    assert_eq!((caught.brief.state, caught.brief.notice), ("recorded", Some("dead")));
    let told = serde_json::to_string(&caught.audit).unwrap();
    assert!(told.contains("quiet hours began"), "{told}");
    assert!(caught.shredded_at.is_some(), "no secret waits for the morning");
    night.at(UtcMillis(night.ends.0 - 1)).await;
    assert_eq!(night.sent_to(), Vec::<String>::new());
    night.at(night.ends).await;
    let mails = night.clinic.mailbox.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(Holder::new(&mails[0].link()).read().await, paper());
    let shown = night.clinic.show(&id).await;
    let lives = UtcMillis::parse_rfc3339(&shown.expires_at.unwrap()).unwrap().since(night.ends);
    assert_eq!(lives, Duration::from_hours(72), "the night took nothing of the link's life");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ehr_takes_back_at_night_does_not_leave_in_the_morning() {
    let night = Night::soon().await;
    let report = night.report("temp-ana@example.test").await;
    night.at(night.begins).await;
    assert_eq!(night.clinic.only_delivery().await.state, "recorded");
    let wrong = |report: &mut serde_json::Value| report["status"] = serde_json::json!("entered-in-error");
    night.clinic.lab().change("DiagnosticReport", &report, wrong).await;
    night.at(night.ends).await;
    night.clinic.hear_and_settle().await;
    assert_eq!((night.clinic.only_delivery().await.state, night.sent_to()), ("recalled", vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_unknown_fate_is_not_repeated_by_night_and_staff_are_told() {
    let night = Night::soon().await;
    night.report("lost-ana@example.test").await;
    night.at(night.begins).await;
    let brief = night.clinic.only_delivery().await;
    assert_eq!((brief.state, brief.notice), ("live", Some("unsure")));
    assert!(brief.note.contains("nobody can tell"), "{}", brief.note);
    night.at(night.ends).await;
    let mails = night.clinic.mailbox.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(Holder::new(&mails[0].link()).read().await, paper(), "it may have arrived, so it opens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_under_a_pause_makes_no_message_too_late() {
    let night = Night::soon().await;
    night.clinic.desk().pause("an incident").await.unwrap();
    night.report(ANA).await;
    assert_eq!(night.clinic.only_delivery().await.notice, Some("queued"));
    // Longer than a message waits, and all but five minutes of it quiet.
    night.at(night.begins.plus(Duration::from_hours(6))).await;
    assert_eq!(night.clinic.only_delivery().await.state, "recorded");
    night.at(night.ends.plus(Duration::from_hours(1))).await;
    let brief = night.clinic.only_delivery().await;
    assert_eq!((brief.state, brief.notice, night.sent_to()), ("live", Some("queued"), vec![]), "{}", brief.note);
    night.clinic.desk().resume().await.unwrap();
    night.clinic.settle().await;
    assert_eq!(night.sent_to(), [ANA]);
}
