//! Polling in depth: what an EHR's searches hide, repeat, drop or refuse is found all the same, and an EHR that wants to be left
//! alone is.
//!
//! The troubles of a plain poll are in `stories/ehr_trouble.rs`.

use std::time::Duration;

use chartseal::base::ResourceType;
use chartseal::desk::{Followed, HeardEhr, LookedAt, Subscribes, heard_ehrs};
use chartseal::store::{self, PollRow};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::stories::bad_input::OddClinic;
use crate::support::clinic::{Clinic, Wishes};
use crate::support::ehr;
use crate::support::ehr_double::{Act, Asked, EhrDouble, Reply, outcome};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::pdf;

pub(super) const PANEL: &str = "24323-8";

/// A clinic of which the double is the only EHR, polled every five seconds.
pub(super) async fn with_double(double: &EhrDouble, ehr_more: &str) -> Clinic {
    let wishes = Wishes { ehr_base: Some(double.base_url.clone()), ehr_more: ehr_more.to_owned(), ..Wishes::default() };
    Clinic::spawn_with(wishes, ehr::lease().await, Mailbox::start(Manner::Plain).await).await
}

/// Puts a report `r-{name}` of the patient `p-{name}`, who is written to at the address that comes back.
pub(super) fn put_report(double: &EhrDouble, name: &str, issued: &str) -> String {
    let email = format!("{name}@example.test");
    double.put(&ehr::patient(&format!("p-{name}"), "Garcia", "Ana", "1984-05-06", &email));
    double.put(&report(name, issued));
    email
}

pub(super) fn report(name: &str, issued: &str) -> Value {
    let mut report = ehr::report(&format!("p-{name}"), PANEL, issued, &pdf::with_pages(&["5.4 %"]));
    report["id"] = json!(format!("r-{name}"));
    report
}

/// The clinic's clock and the double's go on together.
pub(super) async fn go_on(clinic: &Clinic, double: &EhrDouble, span: Duration) {
    clinic.forward(span);
    let ahead = clinic.now().0 - crate::support::clinic::now().0;
    double.set_clock_off_seconds(ahead / 1000);
    clinic.settle().await;
}

pub(super) async fn heard(clinic: &Clinic) -> HeardEhr {
    let followed = Followed { ehr: "lab".parse().unwrap(), subscribes: Subscribes::Others };
    heard_ehrs(&clinic.ground.store, vec![followed], clinic.now()).await.unwrap().remove(0)
}

async fn poll_of(clinic: &Clinic, ehr: &str) -> PollRow {
    let rows = clinic.ground.store.read(store::polls).await.unwrap();
    let wanted = |row: &PollRow| row.ehr.as_str() == ehr && row.kind == ResourceType::DiagnosticReport;
    rows.into_iter().find(wanted).expect("the EHR is polled")
}

/// The EHR loses a page link on the way; the window begins again and nothing of it is lost.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_a_page_that_is_gone_lets_the_window_begin_again() {
    let double = EhrDouble::start().await;
    let clinic = with_double(&double, "").await;
    clinic.settle().await;
    let emails: Vec<String> =
        (0..4).map(|n| put_report(&double, &format!("page-{n}"), &crate::support::clinic::real_now())).collect();
    let all = double.searchset("DiagnosticReport")["entry"].clone();
    let lost = std::sync::atomic::AtomicUsize::new(0);
    double.behave(move |asked| {
        if !asked.searches("DiagnosticReport") {
            return Act::AsUsual;
        }
        // The second page is gone, once.
        if asked.target.contains("page=2") {
            if lost.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                return Act::Answer(Reply::fhir(410, &outcome("deleted")));
            }
            return Act::Answer(Reply::fhir(200, &json!({"resourceType": "Bundle", "entry": [all[2], all[3]]})));
        }
        let link = json!([{"relation": "next", "url": "DiagnosticReport?page=2"}]);
        let page = json!({"resourceType": "Bundle", "total": 4, "entry": [all[0], all[1]], "link": link});
        Act::Answer(Reply::fhir(200, &page))
    });
    go_on(&clinic, &double, Duration::from_secs(6)).await;
    let arrived: Vec<usize> = emails.iter().map(|email| clinic.mails_to(email).len()).collect();
    assert_eq!((arrived, poll_of(&clinic, "lab").await.why), (vec![1, 1, 1, 1], None), "at once, without another poll");
}

/// A server that counts more than it shows has dropped something: what it showed leaves, and nothing counts as seen.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_rows_that_the_server_counts_and_does_not_show_keep_the_watermark_where_it_is() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    let before = poll_of(&house.clinic, "odd").await.watermark;
    house.put_good_report("shown", "shown@example.test");
    let first = house.odd.searchset("DiagnosticReport")["entry"][0].clone();
    house.put_good_report("dropped", "dropped@example.test");
    house.odd.behave(move |asked| {
        if !asked.searches("DiagnosticReport") {
            return Act::AsUsual;
        }
        let page = json!({"resourceType": "Bundle", "total": 2, "entry": [first, first]});
        Act::Answer(Reply::fhir(200, &page))
    });
    house.clinic.hear_and_settle().await;
    let poll = poll_of(&house.clinic, "odd").await;
    assert!(poll.why.is_some_and(|why| why.contains("counted more than it showed")));
    assert_eq!(poll.watermark, before);
    assert_eq!(house.clinic.mails_to("shown@example.test").len(), 1);
    house.odd.behave_well();
    house.clinic.hear_and_settle().await;
    assert_eq!(house.clinic.mails_to("dropped@example.test").len(), 1);
    assert_eq!(poll_of(&house.clinic, "odd").await.why, None);
}

/// An outcome among the entries says that something is left out, whatever else the page holds.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_an_outcome_in_a_page_is_told_to_staff_and_moves_no_watermark() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    let before = poll_of(&house.clinic, "odd").await.watermark;
    house.put_good_report("beside", "beside@example.test");
    let mut page = house.odd.searchset("DiagnosticReport");
    let mut warning = outcome("suppressed");
    warning["issue"][0]["severity"] = json!("warning");
    page["entry"].as_array_mut().unwrap().push(json!({"resource": warning, "search": {"mode": "outcome"}}));
    house.odd.behave(move |asked| {
        if asked.searches("DiagnosticReport") { Act::Answer(Reply::fhir(200, &page)) } else { Act::AsUsual }
    });
    house.clinic.hear_and_settle().await;
    let poll = poll_of(&house.clinic, "odd").await;
    assert!(poll.why.is_some_and(|why| why.contains("not complete")));
    assert_eq!(poll.watermark, before);
    assert_eq!(house.clinic.mails_to("beside@example.test").len(), 1, "what was shown is not held back");
}

/// What is deleted is found by the history long before the sources of live links are read again; with a double, whose pace the
/// test sets, and with the real EHR.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_what_the_ehr_deletes_is_found_in_its_history() {
    let double = EhrDouble::start().await;
    double.offer(&["read", "history-type"]);
    let clinic = with_double(&double, "").await;
    let email = put_report(&double, "gone", &crate::support::clinic::real_now());
    go_on(&clinic, &double, Duration::from_secs(6)).await;
    let link = clinic.mailbox.wait_for(&email, 1).await.link();
    double.delete("DiagnosticReport", "r-gone");
    // Somebody else's, of which nobody here has ever heard.
    double.delete("DiagnosticReport", "r-unknown");
    go_on(&clinic, &double, Duration::from_secs(6)).await;
    assert_eq!(Holder::new(&link).look().await.says(), "suspended");
    go_on(&clinic, &double, Duration::from_secs(61)).await;
    assert_eq!(Holder::new(&link).look().await.says(), "recalled");
    assert!(double.asked().iter().all(|asked| !asked.target.contains("r-unknown")), "what was never followed was read");
    let looks = heard(&clinic).await.looks;
    let history = looks.iter().find(|look| look.what == LookedAt::History).unwrap();
    assert_eq!((history.offered, history.why.as_deref()), (Some(true), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_05_what_a_real_ehr_deletes_is_found_in_its_history() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.settle().await;
    let (_, report) = clinic.report("deleted@example.test", PANEL, &pdf::with_pages(&["5.4 %"])).await;
    clinic.forward(Duration::from_secs(6));
    clinic.settle().await;
    let link = clinic.mailbox.wait_for("deleted@example.test", 1).await.link();
    clinic.lab().delete("DiagnosticReport", &report).await;
    clinic.forward(Duration::from_secs(6));
    clinic.settle().await;
    assert_eq!(Holder::new(&link).look().await.says(), "suspended");
}

/// An EHR that leaves a change out of `_lastUpdated` shows it by the report's own date.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_a_report_that_last_updated_hides_is_found_by_its_own_date() {
    let double = EhrDouble::start().await;
    double.offer(&["read"]);
    let clinic = with_double(&double, "by_date_hours = 1").await;
    let hides = |asked: &Asked| {
        let is_hidden = asked.searches("DiagnosticReport") && asked.target.contains("_lastUpdated");
        let empty = json!({"resourceType": "Bundle", "entry": []});
        if is_hidden { Act::Answer(Reply::fhir(200, &empty)) } else { Act::AsUsual }
    };
    double.behave(hides);
    let email = put_report(&double, "hidden", &crate::support::clinic::real_now());
    for _ in 0..5 {
        go_on(&clinic, &double, Duration::from_mins(5)).await;
    }
    assert_eq!(clinic.mails_to(&email).len(), 0);
    go_on(&clinic, &double, Duration::from_mins(40)).await;
    assert_eq!(clinic.mails_to(&email).len(), 1);
    let by_date = double.asked().into_iter().filter(|asked| asked.target.contains("issued=ge")).count();
    assert!(by_date > 0, "the parameter that the statement offers was not used");
    go_on(&clinic, &double, Duration::from_mins(61)).await;
    assert_eq!(clinic.mails_to(&email).len(), 1, "sent twice");
    let told = heard(&clinic).await;
    assert!(told.looks.iter().any(|look| look.what == LookedAt::ByDate && look.offered == Some(true)));

    double.behave(|asked| {
        let refused = Reply::fhir(400, &outcome("not-supported"));
        if asked.target.contains("issued=ge") { Act::Answer(refused) } else { Act::AsUsual }
    });
    go_on(&clinic, &double, Duration::from_mins(61)).await;
    let told = heard(&clinic).await;
    let of =
        |look: &&chartseal::desk::HeardLook| look.what == LookedAt::ByDate && look.kind == Some("DiagnosticReport");
    let look = told.looks.iter().find(of).unwrap();
    assert_eq!((look.offered, look.why.as_deref()), (Some(false), None), "an EHR need not offer it");
}

/// While an EHR wants to be left alone nothing goes out: no search, and no reading that a hook calls for.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_a_pause_that_the_ehr_asks_for_holds_for_readings_too() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    for status in [429, 503] {
        let (id, email) = (format!("paused-{status}"), format!("paused-{status}@example.test"));
        let reply = move || Reply::fhir(status, &outcome("throttled")).with("Retry-After", "600");
        house.odd.behave(
            move |asked| {
                if asked.searches("DiagnosticReport") { Act::Answer(reply()) } else { Act::AsUsual }
            },
        );
        house.clinic.hear_and_settle().await;
        let asked = house.odd.asked().len();
        house.put_good_report(&id, &email);
        let hook = json!({"resourceType": "DiagnosticReport", "id": id}).to_string();
        assert_eq!(house.hook(Method::POST, "", &[], hook.as_bytes()).await, StatusCode::OK);
        for _ in 0..9 {
            house.clinic.forward(Duration::from_mins(1));
            house.clinic.settle().await;
        }
        assert_eq!(house.odd.asked().len(), asked, "{status}: something went out");
        let poll = poll_of(&house.clinic, "odd").await;
        assert!(poll.why.is_some_and(|why| why.contains("fewer requests")) && poll.next_at > house.clinic.now());
        house.odd.behave_well();
        house.clinic.hear_and_settle().await;
        assert_eq!(house.clinic.mails_to(&email).len(), 1, "{status}");
    }
}
