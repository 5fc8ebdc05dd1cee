//! One EHR hangs for ever: the places that it takes are its own.

use std::sync::Arc;

use chartseal::app::start::Restore;
use chartseal::app::steps::{EHR_WORKERS_MAX, Steps};
use chartseal::base::{EhrId, hours};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::mails_to;
use super::one_for_all::patient_client;
use crate::stories::bad_input::{good_report, put_patient};
use crate::support::clinic::{Clinic, Database, RULES, Wishes, config_at};
use crate::support::ehr_double::{Act, Asked, EhrDouble};
use crate::support::place::Place;
use crate::support::{ehr, pdf, wait, web_client};

const HOOK_SECRET: &str = "the-doubles-hook-secret";
const BOTH: [Database; 2] = [Database::Sqlite, Database::Postgres];
/// What [`good_report`]s are not.
const KEPT_BACK: &str = "24323-8";

/// A clinic with two EHRs, at work; one of them is waited for as long as it says nothing.
struct House {
    clinic: Clinic,
    hangs: EhrDouble,
    answers: EhrDouble,
    stop: CancellationToken,
}

impl House {
    async fn spawn(database: Database) -> Self {
        let (hangs, answers) = (EhrDouble::start().await, EhrDouble::start().await);
        let place = Place::new("secret");
        let more = [section("hangs", &hangs, &place), section("answers", &answers, &place)].concat();
        let kept_back = format!(
            "[[profile]]\nid = \"kept-back\"\nwhen = {{ code = \"loinc|{KEPT_BACK}\" }}\n\
             then = {{ action = \"send\", hold = \"1h\", basis = \"clinic_policy\" }}\n"
        );
        let rules = format!("{}{kept_back}", RULES.split("[[profile]]\nid = \"several").next().unwrap());
        let clinic = Clinic::spawn(Wishes { database, rules, more, ..Wishes::default() }).await;
        let mut steps = Steps::wire(&config_at(&clinic.config_path, []).unwrap(), &clinic.ground).unwrap();
        let client = Arc::new(patient_client("hangs", &hangs));
        for ehr in &mut Arc::get_mut(&mut steps.resolve).unwrap().ehrs {
            if ehr.client.id() == client.id() {
                ehr.client = Arc::clone(&client);
            }
        }
        for ehr in &mut Arc::get_mut(&mut steps.release).unwrap().ehrs {
            if ehr.client.id() == client.id() {
                ehr.client = Arc::clone(&client);
            }
        }
        let stop = CancellationToken::new();
        steps.spawn(&TaskTracker::new(), &stop);
        Self { clinic, hangs, answers, stop }
    }

    /// Puts a report into an EHR, whose hook tells of it.
    async fn report(&self, ehr: &str, id: &str, change: impl FnOnce(&mut Value)) {
        let double = if ehr == "hangs" { &self.hangs } else { &self.answers };
        let mut report = good_report(id);
        change(&mut report);
        put_patient(double, &format!("patient-of-{id}"), &address(id));
        double.put(&report);
        let url = format!("{}/fhir/hook/{ehr}/DiagnosticReport/{id}", self.clinic.url);
        let call = web_client::new().request(Method::PUT, url).header(chartseal::intake::HOOK_HEADER, HOOK_SECRET);
        assert_eq!(call.send().await.unwrap().status(), StatusCode::OK);
    }

    /// Puts ten reports into the EHR that hangs at `what`, and sees that a report of the other arrives meanwhile.
    async fn ten_hang_and_hold_up_nobody(&self, what: fn(&Asked) -> bool, change: impl Fn(&mut Value)) {
        self.hangs.behave(move |asked| if what(asked) { Act::Silence } else { Act::AsUsual });
        let asked = || self.hangs.asked().iter().filter(|asked| what(asked)).count();
        for number in 1..=10 {
            self.report("hangs", &format!("stuck-{number}"), &change).await;
            // One after the other, so that each takes a place of its own.
            let taken = number.min(EHR_WORKERS_MAX);
            wait::until("the next place to be taken", || (asked() >= taken).then_some(())).await;
        }
        self.report("answers", "well", |_| {}).await;
        wait::until("the other's report", || (mails_to(&self.clinic, &address("well")) == 1).then_some(())).await;
        assert_eq!(asked(), EHR_WORKERS_MAX, "it took more places than are its own");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn section(id: &str, double: &EhrDouble, place: &Place) -> String {
    let secret = place.join(id);
    std::fs::write(&secret, HOOK_SECRET).unwrap();
    let (base, secret) = (&double.base_url, secret.display());
    format!("\n[[ehr]]\nid = \"{id}\"\nbase_url = \"{base}\"\nsubscribe = \"off\"\nhook_secret_file = \"{secret}\"\n")
}

fn address(report: &str) -> String {
    format!("{report}@example.test")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_never_answers_a_reading_holds_up_no_other_ehrs_report() {
    for database in BOTH {
        let house = House::spawn(database).await;
        house.ten_hang_and_hold_up_nobody(|asked| asked.reads("DiagnosticReport"), |_| {}).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_never_gives_a_file_holds_up_no_other_ehrs_report_and_no_hold() {
    for database in BOTH {
        let house = House::spawn(database).await;
        let held = |report: &mut Value| report["code"]["coding"][0]["code"] = json!(KEPT_BACK);
        house.report("hangs", "held", held).await;
        let mut file = ehr::binary(&pdf::with_pages(&["5.4 %"]));
        file["id"] = json!("paper");
        house.hangs.put(&file);
        let form = json!([{"contentType": "application/pdf", "url": "Binary/paper"}]);
        let beside = |report: &mut Value| report["presentedForm"] = form.clone();
        house.ten_hang_and_hold_up_nobody(|asked| asked.reads("Binary"), beside).await;

        let state = async || house.clinic.deliveries_of("held").await.first().map(|brief| brief.state);
        wait::until_async("its decision", async || (state().await == Some("held")).then_some(())).await;
        house.clinic.forward(hours(2));
        wait::until_async("its hold to end", async || (state().await == Some("recorded")).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_ehr_that_is_no_longer_configured_goes_to_a_person() {
    let (gone, place) = (EhrDouble::start().await, Place::new("secret"));
    let id: EhrId = "gone".parse().unwrap();
    let more = section("gone", &gone, &place);
    let mut clinic = Clinic::spawn(Wishes { more: more.clone(), ..Wishes::default() }).await;
    clinic.steps.intake.watch_turn(&id).await.unwrap();
    let hear = async |clinic: &Clinic, report: &str| {
        put_patient(&gone, &format!("patient-of-{report}"), &address(report));
        gone.put(&good_report(report));
        clinic.forward(hours(1));
        clinic.steps.intake.watch_turn(&id).await.unwrap();
    };
    hear(&clinic, "decided").await;
    assert_eq!(clinic.steps.resolve.turn_of(&id).await.unwrap(), 1);
    hear(&clinic, "heard-of").await;
    clinic.stop().await.unwrap();
    let text = std::fs::read_to_string(&clinic.config_path).unwrap();
    std::fs::write(&clinic.config_path, text.replace(&more, "")).unwrap();
    clinic.start_again(Restore::NotSaid).await.unwrap();

    clinic.settle().await;
    let told = clinic.only_delivery().await;
    assert!(told.state == "review" && told.note.contains("no longer configured"), "{told:?}");
    let due =
        clinic.ground.store.read(|conn| chartseal::store::due_sources(conn, chartseal::base::UtcMillis(i64::MAX), 10));
    assert_eq!(due.await.unwrap().iter().filter(|due| due.ehr == id).count(), 0, "nobody takes it up");
    assert_eq!(mails_to(&clinic, &address("decided")), 0);

    // Nor is it lost: a process that knows the EHR takes it up, a replica that was told later, or after a mistake.
    clinic.stop().await.unwrap();
    std::fs::write(&clinic.config_path, text).unwrap();
    clinic.start_again(Restore::NotSaid).await.unwrap();
    clinic.settle().await;
    assert_eq!(mails_to(&clinic, &address("heard-of")), 1);
}
