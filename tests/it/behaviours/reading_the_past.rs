//! The past, because a person asks for it: a backfill records and sends nothing; listening again finds what was missed, and sends
//! nothing twice.

use std::time::Duration;

use chartseal::base::{Bell, UtcMillis};
use chartseal::desk::{PastBegun, Stretch};
use chartseal::fhir::Limits;
use chartseal::intake::Intake;
use chartseal::store::{Mode, Past};
use serde_json::{Value, json};

use super::polling::{go_on, put_report, report, with_double};
use crate::stories::ehr_trouble::one_for_all;
use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr;
use crate::support::ehr_double::{Act, Asked, EhrDouble, Reply, outcome};
use crate::support::place::Place;
use crate::support::program;

const DAY_SECONDS: i64 = 86_400;

fn ago(days: i64) -> UtcMillis {
    UtcMillis(clinic::now().0 - days * DAY_SECONDS * 1000)
}

/// A report of so many days ago, by all its times.
fn put_old(double: &EhrDouble, name: &str, days: i64) -> String {
    let email = format!("{name}@example.test");
    double.put(&ehr::patient(&format!("p-{name}"), "Garcia", "Ana", "1984-05-06", &email));
    double.put_late(&report(name, &ago(days).to_rfc3339()), days * DAY_SECONDS);
    email
}

async fn begin(clinic: &Clinic, what: Past, since: UtcMillis, until: UtcMillis) -> PastBegun {
    clinic.desk().begin_past(&"lab".parse().unwrap(), what, Stretch { since, until }).await.unwrap()
}

/// (state, percent, seen, heard)
async fn progress(clinic: &Clinic) -> (&'static str, u64, u64, u64) {
    let past = clinic.desk().past(&"lab".parse().unwrap()).await.unwrap().remove(0);
    (past.state, past.percent, past.seen, past.heard)
}

/// The days of which reports were searched, oldest first.
fn searched(double: &EhrDouble, from: usize) -> Vec<String> {
    let asked = double.asked().into_iter().skip(from).filter(|asked| asked.searches("DiagnosticReport"));
    asked.map(|asked| asked.target).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn event_05_a_backfill_records_what_was_before_and_sends_nothing_by_itself() {
    let double = EhrDouble::start().await;
    let emails = [(1, "one"), (3, "three"), (20, "twenty")].map(|(days, name)| put_old(&double, name, days));
    let clinic = with_double(&double, "by_date_hours = 0").await;
    clinic.settle().await;
    assert_eq!(clinic.deliveries().await.len(), 0, "the past is not asked for by itself");

    let begun = begin(&clinic, Past::Backfill, ago(30), clinic.now()).await;
    let PastBegun::Begun(stretch) = begun else { panic!("{begun:?}") };
    assert!(stretch.until < clinic.now(), "what polling has not passed is polling's own");
    assert_eq!(begin(&clinic, Past::Backfill, ago(60), clinic.now()).await, PastBegun::Runs);
    for _ in 0..10 {
        go_on(&clinic, &double, Duration::from_mins(1)).await;
    }
    assert_eq!(progress(&clinic).await, ("done", 100, 3, 3));
    let recorded = clinic.deliveries().await;
    assert_eq!(recorded.iter().map(|one| one.state).collect::<Vec<_>>(), ["recorded"; 3], "{recorded:#?}");
    assert!(recorded.iter().all(|one| one.mode == Mode::Shadow.as_str()));
    clinic.hear_and_settle().await;
    assert!(emails.iter().all(|email| clinic.mails_to(email).is_empty()));

    // What is new leaves as ever; what was recorded leaves by a person's word, and then once.
    let fresh = put_report(&double, "fresh", &clinic::real_now());
    go_on(&clinic, &double, Duration::from_secs(6)).await;
    assert_eq!(clinic.mails_to(&fresh).len(), 1);
    let three = clinic.delivery_of("r-three").await;
    clinic.desk().release(&three.id, None).await.unwrap();
    go_on(&clinic, &double, Duration::from_mins(1)).await;
    assert_eq!(emails.each_ref().map(|email| clinic.mails_to(email).len()), [0, 1, 0]);

    // Once more it finds all of them known.
    assert!(matches!(begin(&clinic, Past::Backfill, ago(30), clinic.now()).await, PastBegun::Begun(_)));
    for _ in 0..10 {
        go_on(&clinic, &double, Duration::from_mins(1)).await;
    }
    let (state, percent, _, heard) = progress(&clinic).await;
    assert_eq!((state, percent, heard), ("done", 100, 0));
    assert_eq!(emails.each_ref().map(|email| clinic.mails_to(email).len()), [0, 1, 0]);
}

/// A correction of what was only recorded is the EHR's own word: it is judged as any, and this one leaves.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_a_correction_of_what_a_backfill_recorded_is_heard_as_any_other() {
    let double = EhrDouble::start().await;
    put_old(&double, "old", 3);
    let clinic = with_double(&double, "by_date_hours = 0").await;
    clinic.settle().await;
    begin(&clinic, Past::Backfill, ago(5), clinic.now()).await;
    for _ in 0..3 {
        go_on(&clinic, &double, Duration::from_mins(1)).await;
    }
    assert_eq!(clinic.delivery_of("r-old").await.state, "recorded");
    let mut corrected = report("old", &clinic::real_now());
    corrected["status"] = json!("corrected");
    corrected["presentedForm"][0]["data"] =
        ehr::report("x", "x", "x", &crate::support::pdf::with_pages(&["5.5 %"]))["presentedForm"][0]["data"].clone();
    double.put(&corrected);
    go_on(&clinic, &double, Duration::from_secs(6)).await;
    let states: Vec<&str> = clinic.deliveries_of("r-old").await.iter().map(|one| one.state).collect();
    assert_eq!(states, ["live", "superseded"]);
    assert_eq!(clinic.mails_to("old@example.test").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_05_a_backfill_can_be_stopped_goes_on_where_it_was_and_waits_out_what_fails() {
    let double = EhrDouble::start().await;
    put_old(&double, "twelve", 12);
    put_old(&double, "two", 2);
    let clinic = with_double(&double, "by_date_hours = 0").await;
    clinic.settle().await;
    // The EHR fails from ten days ago on.
    let limit = ago(10).day();
    let fails = move |asked: &Asked| {
        let since = asked.target.split("_lastUpdated=ge").nth(1).map_or("", |since| &since[..10]).to_owned();
        let is_polled = since.as_str() >= ago(1).day().as_str();
        if asked.searches("DiagnosticReport") && !is_polled && since >= limit {
            Act::Answer(Reply::fhir(500, &outcome("exception")))
        } else {
            Act::AsUsual
        }
    };
    double.behave(fails);
    begin(&clinic, Past::Backfill, ago(15), clinic.now()).await;
    // After a step that found something it waits until that is read.
    go_on(&clinic, &double, Duration::from_mins(1)).await;
    go_on(&clinic, &double, Duration::from_mins(1)).await;
    let past = clinic.desk().past(&"lab".parse().unwrap()).await.unwrap().remove(0);
    assert_eq!((past.state, past.seen, past.heard), ("running", 1, 1));
    assert!(past.why.as_deref().is_some_and(|why| why.contains("failed with status 500")), "{past:?}");
    assert!((10..50).contains(&past.percent), "{past:?}");

    let (config, as_eve) = (&clinic.config_path, ["--as", "Eve Admin"]);
    let run = |words: &[&str]| program::run(config, &[words, &as_eve].concat());
    let ran = run(&["ehrs", "backfill", "lab", "--stop"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    double.behave_well();
    let asked = double.asked().len();
    go_on(&clinic, &double, Duration::from_mins(5)).await;
    assert_eq!(progress(&clinic).await.0, "stopped");
    let polls_alone = |target: &String| target.contains(&ago(0).day()) || target.contains(&ago(1).day());
    assert!(searched(&double, asked).iter().all(polls_alone), "a stopped one went on");
    assert_eq!(run(&["ehrs", "backfill", "lab", "--stop"]).code, 1, "nothing runs");

    let asked = double.asked().len();
    assert_eq!(run(&["ehrs", "backfill", "lab", "--resume"]).code, 0);
    for _ in 0..3 {
        go_on(&clinic, &double, Duration::from_mins(1)).await;
    }
    assert_eq!(progress(&clinic).await, ("done", 100, 2, 2));
    let again = searched(&double, asked).into_iter().filter(|target| target.contains(&ago(14).day())).count();
    assert_eq!(again, 0, "it began again from the beginning");
    let ran = run(&["ehrs", "backfill", "lab"]);
    assert!(ran.code == 0 && ran.out.contains("asked for by Eve Admin: done, 100 %"), "{}", ran.out);
    assert!(run(&["ehrs", "list"]).out.contains("lab: backfill of "));
    assert_eq!(run(&["ehrs", "backfill", "nobody", "--since", "3d"]).code, 2);
    assert_eq!(run(&["ehrs", "backfill", "lab", "--since", "soon"]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_05_listening_again_finds_what_was_missed_and_sends_nothing_twice() {
    let double = EhrDouble::start().await;
    let clinic = with_double(&double, "by_date_hours = 0").await;
    clinic.settle().await;
    let began = clinic.now();
    let heard = put_report(&double, "heard", &clinic::real_now());
    let missed = put_report(&double, "missed", &clinic::real_now());
    // For an hour the EHR leaves one of them out.
    let mut without: Value = double.searchset("DiagnosticReport");
    without["entry"].as_array_mut().unwrap().retain(|entry| entry["resource"]["id"] != "r-missed");
    without["total"] = json!(1);
    double.behave(move |asked| {
        if asked.searches("DiagnosticReport") { Act::Answer(Reply::fhir(200, &without)) } else { Act::AsUsual }
    });
    for _ in 0..3 {
        go_on(&clinic, &double, Duration::from_mins(20)).await;
    }
    double.behave_well();
    go_on(&clinic, &double, Duration::from_mins(1)).await;
    assert_eq!((clinic.mails_to(&heard).len(), clinic.mails_to(&missed).len()), (1, 0));

    let (from, to) =
        (began.minus(Duration::from_mins(5)).to_rfc3339(), began.plus(Duration::from_mins(5)).to_rfc3339());
    let words = ["ehrs", "listen-again", "lab", "--from", &from, "--to", &to, "--as", "Eve Admin"];
    for _ in 0..2 {
        let ran = program::run(&clinic.config_path, &words);
        assert_eq!(ran.code, 0, "{}", ran.err);
        for _ in 0..2 {
            go_on(&clinic, &double, Duration::from_mins(1)).await;
        }
        assert_eq!((clinic.mails_to(&heard).len(), clinic.mails_to(&missed).len()), (1, 1));
        let (state, _, seen, heard) = progress(&clinic).await;
        assert_eq!((state, seen, heard), ("done", 2, 2), "both were read again");
    }
    assert_eq!(clinic.deliveries().await.len(), 2);
}

/// One patient about whom the EHR fails: the others are asked about, and nobody is told that it was whole.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_patients_who_could_not_be_asked_about_are_counted_and_told() {
    let double = EhrDouble::start().await;
    let place = Place::new("panel");
    let file = place.join("patients.csv");
    std::fs::write(&file, "p-one\np-two\n").unwrap();
    put_old(&double, "one", 3);
    put_old(&double, "two", 3);
    let more = format!("panel = [\"file:{}\"]", file.display());
    let clinic = with_double(&double, &more).await;
    clinic.settle().await;
    let (from, to) = (ago(10).day(), ago(1).day());
    double.behave(move |asked| {
        if asked.target.contains("patient=p-one") && asked.target.contains(&format!("ge{from}")) {
            Act::Answer(Reply::fhir(500, &outcome("exception")))
        } else {
            Act::AsUsual
        }
    });
    let at = |day: &str| UtcMillis::parse_rfc3339(&format!("{day}T00:00:00Z")).unwrap();
    begin(&clinic, Past::Backfill, at(&ago(10).day()), at(&to)).await;
    for _ in 0..4 {
        go_on(&clinic, &double, Duration::from_mins(2)).await;
    }
    let past = clinic.desk().past(&"lab".parse().unwrap()).await.unwrap().remove(0);
    assert_eq!((past.state, past.seen, past.left_out), ("done", 1, 2), "of either type");
    let ran = program::run(&clinic.config_path, &["ehrs", "backfill", "lab"]);
    assert!(ran.out.contains("failed and were left out, so that it is not whole"), "{}", ran.out);
}

/// An EHR that shows the same without an end, whatever time it is asked about.
#[tokio::test(flavor = "multi_thread")]
async fn event_05_a_backfill_of_which_no_part_is_small_enough_never_says_that_it_is_done() {
    let (double, clinic) = (EhrDouble::start().await, Clinic::spawn(Wishes::default()).await);
    double.behave(|asked| {
        if !asked.searches("DiagnosticReport") {
            return Act::AsUsual;
        }
        let entry = |n: u32| json!({"resource": {"resourceType": "DiagnosticReport", "id": format!("r-{n}")}});
        let bundle = json!({"resourceType": "Bundle", "total": 3, "entry": [entry(1), entry(2), entry(3)]});
        Act::Answer(Reply::fhir(200, &bundle))
    });
    let limits = Limits { found_max: 2, ..Limits::default() };
    let heard = one_for_all::with_limits("lab", &double, limits);
    let ground = clinic.ground.clone();
    let (kept, due) = (Bell::default(), Bell::default());
    let intake = Intake::new(ground.store.clone(), ground.clock, ground.vault, vec![heard], kept, due);
    begin(&clinic, Past::Backfill, ago(30), clinic.now()).await;
    for _ in 0..3 {
        clinic.forward(Duration::from_mins(5));
        intake.look_back_turn(&"lab".parse().unwrap()).await.unwrap();
    }
    let past = clinic.desk().past(&"lab".parse().unwrap()).await.unwrap().remove(0);
    assert_eq!((past.state, past.percent), ("running", 0));
    assert!(past.why.as_deref().is_some_and(|why| why.contains("more at once than is taken")), "{past:?}");
}
