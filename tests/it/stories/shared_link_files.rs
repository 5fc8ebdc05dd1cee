//! What one report's file, large, slow or missing, does to the other reports that could share its link.

use std::sync::Arc;
use std::time::Duration;

use chartseal::app::steps::Steps;
use chartseal::base::millis;
use chartseal::release::{Company, Release};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bad_input::put_patient;
use super::shared_link::{ANA, GLUCOSE, PANEL, RULES, paper};
use crate::support::clinic::{Clinic, Wishes, config_at, real_now};
use crate::support::ehr;
use crate::support::ehr_double::{Act, Asked, EhrDouble, Reply};
use crate::support::holder::Holder;
use crate::support::mailbox::Mail;
use crate::support::wait;

/// A clinic whose reports come from a double.
struct OddDraw {
    clinic: Clinic,
    odd: EhrDouble,
}

impl OddDraw {
    async fn under(rules: &str) -> Self {
        let odd = EhrDouble::start().await;
        let more = format!(
            "\n[[ehr]]\nid = \"odd\"\nbase_url = \"{}\"\nclinic = \"riverside\"\npoll_seconds = 60\n",
            odd.base_url
        );
        let clinic = Clinic::spawn(Wishes { more, rules: rules.to_owned(), ..Wishes::default() }).await;
        put_patient(&odd, "ana", ANA);
        Self { clinic, odd }
    }

    /// A final report of one order whose file lies apart, in `Binary/{id}`.
    fn put(&self, id: &str, loinc: &str) {
        let mut report = ehr::report("ana", loinc, &real_now(), &paper("apart"));
        report["id"] = json!(id);
        report["basedOn"] = json!([{"reference": "ServiceRequest/draw-1"}]);
        report["presentedForm"] = json!([{"contentType": "application/pdf", "url": format!("Binary/{id}")}]);
        self.odd.put(&report);
    }

    async fn hear(&self, id: &str, loinc: &str) {
        self.put(id, loinc);
        self.clinic.hear_and_settle().await;
        assert_eq!(self.state_of(id).await, "recorded");
    }

    async fn state_of(&self, id: &str) -> &'static str {
        self.clinic.delivery_of(id).await.state
    }

    async fn after(&self, hours: u64) {
        self.clinic.forward(Duration::from_hours(hours));
        self.clinic.settle().await;
    }

    fn links(&self) -> Vec<String> {
        self.clinic.mails_to(ANA).iter().map(Mail::link).collect()
    }

    fn asked_for(&self, id: &str) -> bool {
        self.odd.asked().iter().any(|asked| is_file_of(asked, id))
    }
}

fn is_file_of(asked: &Asked, id: &str) -> bool {
    asked.method == Method::GET.as_str() && asked.target.ends_with(&format!("/Binary/{id}"))
}

fn file(text: &str) -> Act {
    Act::Answer(Reply::new(200, "application/pdf", paper(text)))
}

/// Every report's file, with its id on the page.
fn files(asked: &Asked) -> Act {
    match asked.target.rsplit_once("/Binary/") {
        Some((_, id)) => file(id),
        None => Act::AsUsual,
    }
}

impl OddDraw {
    /// The release step of a replica that goes no further than this for others.
    fn release(&self, company: Company) -> Arc<Release> {
        let mut steps = Steps::wire(&config_at(&self.clinic.config_path, []).unwrap(), &self.clinic.ground).unwrap();
        Arc::get_mut(&mut steps.release).unwrap().company = company;
        steps.release
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_too_large_together_leave_in_two_links_whichever_is_due_first() {
    let sooner = RULES.replacen(
        "bare\", group_by = \"order\", wait = \"12h\"",
        "bare\", group_by = \"order\", wait = \"2h\"",
        1,
    );
    let draw = OddDraw::under(&sooner).await;
    draw.odd.behave(files);
    draw.hear("oldest", PANEL).await;
    draw.hear("first-due", GLUCOSE).await;
    let bytes = |id: &str| paper(id).len() as u64;
    let release = draw.release(Company { bytes_max: bytes("oldest") + bytes("first-due") - 1, ..Company::default() });
    draw.clinic.forward(Duration::from_hours(3));
    assert_eq!(release.turn().await.unwrap(), 1);
    assert_eq!((draw.state_of("first-due").await, draw.state_of("oldest").await), ("live", "recorded"));
    draw.clinic.settle().await;
    assert_eq!(Holder::new(&draw.links()[0]).look().await.body["sizes"], json!([bytes("first-due")]));
    draw.after(13).await;
    assert_eq!(Holder::new(&draw.links()[1]).look().await.body["sizes"], json!([bytes("oldest")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_companion_that_staff_take_away_meanwhile_hinders_nobody() {
    let draw = OddDraw::under(RULES).await;
    let word = CancellationToken::new();
    let held = word.clone();
    draw.odd.behave(files);
    for id in ["first", "broken", "slow"] {
        draw.hear(id, PANEL).await;
    }
    let mut binary = ehr::binary(&paper("slow"));
    binary["id"] = json!("slow");
    draw.odd.put(&binary);
    draw.odd.behave(move |asked| {
        let is_broken = asked.reads("DiagnosticReport") && asked.target.ends_with("/broken");
        match (is_broken, is_file_of(asked, "slow")) {
            (true, _) => Act::Answer(Reply::fhir(200, &not_a_report())),
            (false, true) => Act::AsUsualAfter(held.clone()),
            (false, false) => files(asked),
        }
    });
    draw.clinic.forward(Duration::from_hours(11));
    let release = Arc::clone(&draw.clinic.steps.release);
    let turn = tokio::spawn(async move { release.turn().await });
    wait::until("the slow file to be asked for", || draw.asked_for("slow").then_some(())).await;
    let id = draw.clinic.delivery_of("broken").await.id;
    draw.clinic.desk().revoke(&id, None).await.unwrap();
    word.cancel();
    turn.await.unwrap().unwrap();
    assert_eq!((draw.state_of("first").await, draw.state_of("broken").await), ("live", "revoked"));
    draw.clinic.settle().await;
    assert_eq!(Holder::new(&draw.links()[0]).look().await.body["files"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_companion_whose_file_does_not_come_is_not_waited_for_long() {
    let draw = OddDraw::under(RULES).await;
    draw.odd.behave(files);
    for id in ["first", "slow"] {
        draw.hear(id, PANEL).await;
    }
    draw.odd.behave(|asked| if is_file_of(asked, "slow") { Act::Silence } else { files(asked) });
    let release = draw.release(Company { wait: millis(200), ..Company::default() });
    draw.clinic.forward(Duration::from_hours(11));
    assert_eq!(release.turn().await.unwrap(), 1);
    assert_eq!(draw.state_of("first").await, "live");
    let slow = draw.clinic.delivery_of("slow").await;
    assert!(
        slow.state == "recorded" && slow.note.contains("others"),
        "it does not wait for its own time: {}",
        slow.note
    );
    draw.clinic.settle().await;
    draw.odd.behave(files);
    draw.after(13).await;
    assert_eq!(draw.links().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_file_does_not_come_keeps_none_that_could_join_it_waiting() {
    let draw = OddDraw::under(RULES).await;
    draw.odd.behave(files);
    for id in ["slow", "other"] {
        draw.hear(id, PANEL).await;
    }
    draw.odd.behave(|asked| if is_file_of(asked, "slow") { Act::Silence } else { files(asked) });
    draw.clinic.forward(Duration::from_hours(12));
    let release = draw.release(Company { wait: millis(200), ..Company::default() });
    let slow = tokio::spawn(async move { release.turn().await });
    wait::until("the slow file to be asked for", || draw.asked_for("slow").then_some(())).await;
    let release = draw.release(Company::default());
    wait::until_async("the other to be free", async || (release.turn().await.unwrap() == 1).then_some(())).await;
    assert!(!slow.is_finished(), "it was waited for");
    assert_eq!(draw.state_of("other").await, "live");
    slow.abort();
    draw.clinic.settle().await;
}

fn not_a_report() -> Value {
    json!({"resourceType": "DiagnosticReport", "id": "another", "status": "final"})
}
