//! Behaviour 15, the part of write-back, at an EHR that refuses, hangs, lies and dies half-way. A double, named as one: no
//! real server fails on demand.

use std::time::Duration;

use serde_json::{Value, json};

use super::doctor::{Bare, doctor};
use super::told::ALL;
use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr;
use crate::support::ehr_double::{Act, Asked, EhrDouble, Reply, outcome};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::planted::{self, assert_absent};
use crate::support::program;
use crate::support::told_keeper::{Answers, Keeper, statement, written_to};
use crate::support::{pdf, wait};

const ANA: &str = "ana@example.test";
const PANEL: &str = "24323-8";

struct Beside {
    clinic: Clinic,
    double: EhrDouble,
    keeper: Keeper,
}

impl Beside {
    async fn new(more: &str) -> Self {
        Self::keeping(more, Keeper::default()).await
    }

    async fn keeping(more: &str, keeper: Keeper) -> Self {
        let double = EhrDouble::start().await;
        let wishes = Wishes { ehr_base: Some(double.base_url.clone()), ehr_more: more.to_owned(), ..Wishes::default() };
        takes_well(&double, &keeper, Answers::Whole);
        let clinic = Clinic::spawn_with(wishes, ehr::lease().await, Mailbox::start(Manner::Plain).await).await;
        Self { clinic, double, keeper }
    }

    /// A report whose link is out.
    async fn sent(&self) -> String {
        self.double.put(&ehr::patient("p-1", "Garcia", "Ana", "1984-05-06", ANA));
        let mut report = ehr::report("p-1", PANEL, &clinic::real_now(), &pdf::with_pages(&["first"]));
        report["id"] = json!("r-1");
        self.double.put(&report);
        self.clinic.hear_and_settle().await;
        self.clinic.mailbox.wait_for(ANA, 1).await.link()
    }

    /// Whatever is created is answered so.
    fn answers_creates(&self, reply: impl Fn() -> Act + Send + Sync + 'static) {
        let keeper = self.keeper.clone();
        self.double.behave(move |asked| {
            if creates(asked) { reply() } else { keeper.takes(asked, Answers::Whole).unwrap_or(Act::AsUsual) }
        });
    }

    async fn entries(&self) -> Vec<(&'static str, &'static str, String)> {
        let shown = self.clinic.show(&self.clinic.only_delivery().await.id).await;
        shown.told.into_iter().map(|one| (one.resource, one.state, one.why.unwrap_or_default())).collect()
    }

    async fn later(&self, span: Duration) {
        self.clinic.forward(span);
        self.clinic.settle().await;
    }
}

fn takes_well(double: &EhrDouble, keeper: &Keeper, answers: Answers) {
    let keeper = keeper.clone();
    double.behave(move |asked| keeper.takes(asked, answers).unwrap_or(Act::AsUsual));
}

fn creates(asked: &Asked) -> bool {
    asked.method == "POST" && asked.header("If-None-Exist").is_some()
}

const MESSAGES: &str = "write_back = [\"communication\"]";

#[tokio::test(flavor = "multi_thread")]
async fn event_15_an_ehr_that_hangs_holds_up_no_revoke() {
    let beside = Beside::new(MESSAGES).await;
    beside.answers_creates(|| Act::Silence);
    // The message goes out although nobody at the EHR takes the word of it.
    beside.double.put(&ehr::patient("p-1", "Garcia", "Ana", "1984-05-06", ANA));
    let mut report = ehr::report("p-1", PANEL, &clinic::real_now(), &pdf::with_pages(&["first"]));
    report["id"] = json!("r-1");
    beside.double.put(&report);
    beside.clinic.forward(Duration::from_hours(1));
    let steps = std::sync::Arc::clone(&beside.clinic.steps);
    let turning = tokio::spawn(async move { steps.run_until_idle().await });
    wait::until("the EHR to be asked to take it", || written_to(&beside.double).first().map(|_| ())).await;
    let link = beside.clinic.mailbox.wait_for(ANA, 1).await.link();
    let id = beside.clinic.only_delivery().await.id;
    let began = std::time::Instant::now();
    beside.clinic.desk().revoke(&id, None).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "the revoke waited for the EHR: {:?}", began.elapsed());
    assert_eq!(Holder::new(&link).look().await.says(), "revoked");
    assert!(!turning.is_finished(), "the EHR hangs still");
    turning.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_what_an_ehr_refuses_for_now_is_told_later_and_staff_see_it_meanwhile() {
    for (what, reply) in [
        ("status 403", (|| Act::Answer(Reply::fhir(403, &outcome("security")))) as fn() -> Act),
        ("status 500", || Act::Answer(Reply::fhir(500, &outcome("exception")))),
        ("not FHIR JSON", || Act::Answer(Reply::new(200, "text/html", "<!doctype html><form action=\"/login\">"))),
        ("not FHIR JSON", || Act::Answer(Reply::new(201, "text/html", "<p>made"))),
        ("fewer requests", || Act::Answer(Reply::fhir(503, &outcome("throttled")).with("Retry-After", "5"))),
        ("cannot be reached", || Act::HangUp),
    ] {
        let beside = Beside::new(MESSAGES).await;
        beside.answers_creates(reply);
        beside.sent().await;
        let entries = beside.entries().await;
        assert!(entries[0].1 == "waiting" && entries[0].2.contains(what), "{what}: {entries:?}");
        let listed = program::run(&beside.clinic.config_path, &["ehrs", "list"]);
        assert!(listed.out.contains("1 to be written") && listed.out.contains(what), "{}", listed.all());
        takes_well(&beside.double, &beside.keeper, Answers::Whole);
        beside.later(Duration::from_secs(15)).await;
        assert_eq!(beside.entries().await[0].1, "written", "{what}");
        assert_eq!(beside.keeper.all("Communication").len(), 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_what_an_ehr_refuses_for_good_is_shown_and_told_again_by_a_persons_word() {
    let beside = Beside::new(MESSAGES).await;
    beside.answers_creates(|| Act::Answer(Reply::fhir(422, &outcome("invalid"))));
    beside.sent().await;
    let entries = beside.entries().await;
    assert!(entries[0].1 == "failed" && entries[0].2.contains("status 422"), "{entries:?}");
    beside.later(Duration::from_hours(72)).await;
    assert_eq!(written_to(&beside.double).len(), 1, "it is not asked again and again");
    let config = &beside.clinic.config_path;
    let listed = program::run(config, &["ehrs", "write-backs", "lab"]);
    assert!(listed.code == 0 && listed.out.contains("failed"), "{}", listed.all());
    takes_well(&beside.double, &beside.keeper, Answers::Whole);
    let again = program::run(config, &["ehrs", "write-backs", "lab", "--again", "--json"]);
    assert_eq!((again.code, again.json()["again"].as_u64()), (0, Some(1)), "{}", again.all());
    beside.clinic.settle().await;
    assert_eq!(beside.entries().await[0].1, "written");
    let nothing = program::run(config, &["ehrs", "write-backs", "lab", "--again"]);
    assert_eq!(nothing.code, 1, "{}", nothing.all());
    let unknown = program::run(config, &["ehrs", "write-backs", "nowhere"]);
    assert!(unknown.code == 2 && unknown.err.contains("ehrs list"), "{}", unknown.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_tries_end_after_two_days_and_then_staff_see_it() {
    let beside = Beside::new(MESSAGES).await;
    beside.answers_creates(|| Act::Answer(Reply::fhir(500, &outcome("exception"))));
    beside.sent().await;
    for _ in 0..10 {
        beside.later(Duration::from_hours(25)).await;
    }
    let entries = beside.entries().await;
    assert_eq!(entries[0].1, "failed", "{entries:?}");
    assert_eq!(written_to(&beside.double).len(), 10);
    let shown = beside.clinic.show(&beside.clinic.only_delivery().await.id).await;
    assert_eq!(shown.audit.iter().filter(|line| line["event"] == "ehr_not_told").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_a_create_whose_answer_is_lost_is_made_once() {
    for answers in [Answers::Half, Answers::Nothing] {
        let beside = Beside::new(ALL).await;
        takes_well(&beside.double, &beside.keeper, answers);
        let link = beside.sent().await;
        Holder::new(&link).claim_and_read().await;
        beside.clinic.settle().await;
        beside.later(Duration::from_mins(2)).await;
        beside.later(Duration::from_mins(2)).await;
        beside.later(Duration::from_mins(2)).await;
        for kind in ["Communication", "AuditEvent", "Provenance"] {
            assert_eq!(beside.keeper.all(kind).len(), 1, "{kind}");
        }
        let message = &beside.keeper.all("Communication")[0];
        assert!(message["received"].is_string(), "it is found by its identifier: {message}");
        let entries = beside.entries().await;
        assert!(entries.iter().all(|(_, state, _)| *state == "written"), "{entries:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_what_others_write_into_our_communication_stays() {
    let beside = Beside::new(MESSAGES).await;
    let link = beside.sent().await;
    beside.keeper.change("Communication", |one| one["note"] = json!([{"text": "called as well"}]));
    Holder::new(&link).claim_and_read().await;
    beside.clinic.settle().await;
    let message = &beside.keeper.all("Communication")[0];
    assert!(message["received"].is_string() && message["note"][0]["text"] == "called as well", "{message}");

    let beside = Beside::new(MESSAGES).await;
    let link = beside.sent().await;
    beside.keeper.forget("Communication");
    Holder::new(&link).claim_and_read().await;
    beside.clinic.settle().await;
    assert_eq!(beside.keeper.all("Communication").len(), 0, "what somebody removed is not made again");
    assert!(beside.entries().await.iter().any(|(_, state, why)| *state == "skipped" && why.contains("gone")));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_only_what_an_ehr_offers_is_written() {
    let beside = Beside::keeping(ALL, Keeper::stating("5.0.0", &["create"])).await;
    let link = beside.sent().await;
    Holder::new(&link).claim_and_read().await;
    beside.clinic.settle().await;
    let entries = beside.entries().await;
    let mut skipped: Vec<_> =
        entries.iter().filter(|(_, state, _)| *state == "skipped").map(|(kind, ..)| *kind).collect();
    skipped.sort_unstable();
    assert_eq!(skipped, ["AuditEvent", "Communication"], "the opening, and what R5 knows otherwise: {entries:?}");
    assert_eq!(beside.keeper.all("Communication").len(), 1);
    assert_eq!(beside.keeper.all("AuditEvent").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_no_body_that_an_ehr_is_sent_holds_an_address_a_link_or_a_secret() {
    let beside = Beside::new(ALL).await;
    let mut patient =
        ehr::patient("p-1", planted::FAMILY.value, planted::GIVEN.value, "1953-02-27", planted::EMAIL.value);
    patient["identifier"][0]["value"] = json!(planted::MRN.value);
    beside.double.put(&patient);
    let mut report = ehr::report("p-1", PANEL, &clinic::real_now(), &pdf::with_pages(&["first"]));
    report["id"] = json!("r-1");
    report["code"]["text"] = json!(planted::CODE_TEXT.value);
    beside.double.put(&report);
    beside.clinic.hear_and_settle().await;
    let link = beside.clinic.mailbox.wait_for(planted::EMAIL.value, 1).await.link();
    Holder::new(&link).claim_and_read().await;
    report["status"] = json!("entered-in-error");
    beside.double.put(&report);
    beside.clinic.hear_and_settle().await;
    let (address, secret) = link.split_once('#').unwrap();
    let id = address.rsplit_once('/').unwrap().1;
    let written = written_to(&beside.double);
    assert!(written.len() >= 5, "a message, its opening, a disclosure, where it went, and a task: {}", written.len());
    for asked in &written {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        let text = format!("{} {body} {:?}", asked.target, asked.headers);
        let planted =
            [planted::FAMILY, planted::GIVEN, planted::BIRTH_DATE, planted::MRN, planted::EMAIL, planted::CODE_TEXT];
        assert_absent("what the EHR is sent", text.as_bytes(), &planted);
        for (what, value) in [("link", id), ("secret", secret), ("link", "/r/")] {
            assert!(!text.contains(value), "a {what} is in {}", body["resourceType"]);
        }
        assert!(!body.to_string().contains(&beside.clinic.url), "our address is told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_doctor_says_what_an_ehr_can_be_told_and_what_its_staff_must_allow() {
    let double = EhrDouble::start().await;
    let bare = Bare::new(&double.base_url, ALL).await;
    let says = |version: &'static str, may: &'static [&'static str]| {
        double.behave(move |asked| match asked.target.as_str() {
            "/fhir/metadata" => Act::Answer(Reply::fhir(200, &statement(version, may))),
            _ => Act::AsUsual,
        });
    };
    let found = async || {
        let said = doctor(&bare.config, &["doctor", "lab", "--json"]).await.json();
        let all = said["ehrs"][0]["findings"].as_array().unwrap().clone();
        let of = all.into_iter().filter(|one| one["what"] == "write-back");
        of.map(|one| (one["verdict"].as_str().unwrap().to_owned(), one.to_string())).collect::<Vec<_>>()
    };
    says("4.0.1", &["create", "update"]);
    let all = found().await;
    assert!(all.len() == 4 && all.iter().all(|(verdict, _)| verdict == "works"), "{all:?}");
    says("4.0.1", &["create"]);
    let notes = found().await.iter().filter(|(verdict, _)| verdict == "note").count();
    assert_eq!(notes, 2, "a Communication that stays as it is, and Tasks that stay open");
    says("4.0.1", &["read"]);
    let all = found().await;
    assert!(all.iter().all(|(verdict, _)| verdict == "fails"), "{all:?}");
    assert!(all[0].1.contains("system/Communication.crus") && all[1].1.contains("system/AuditEvent.cs"), "{all:?}");
    says("5.0.0", &["create", "update"]);
    assert!(found().await.iter().any(|(verdict, said)| verdict == "fails" && said.contains("R5")));
}
