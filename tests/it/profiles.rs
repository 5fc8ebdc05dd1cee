//! `fhir-profiles/`: what it says is what the program does, by a validator that nobody here wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chartseal::base::{FhirId, ResourceType, SecretText, ToldId, UtcMillis};
use chartseal::config::{SCOPE, SCOPE_TO_SUBSCRIBE};
use chartseal::fhir::{
    Auth, EhrClient, EhrConnection, HookHeader, Limits, ServiceBase, Telling, TopicContent, TopicFilter, TopicForm,
    TopicWish, Wish, Word,
};
use chartseal::policy::{Channel, RecipientRole};
use chartseal::record::{ToDo, Told};
use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr_double::{Act, EhrDouble, Reply};
use crate::support::holder::Holder;
use crate::support::place::Place;
use crate::support::told_keeper::{Answers, Keeper, written_to};
use crate::support::validator::{Asked, complaints, files_in, keep, profile};
use crate::support::{ehr, part, pdf};

const ISSUED: &str = "2026-11-22T09:00:00Z";
/// 2026-11-22T10:00:00Z
const AT: UtcMillis = UtcMillis(1_795_341_600_000);
const TOPIC: &str = "http://hl7.org/fhir/us/core/SubscriptionTopic/patient-data-feed";

/// What the program wrote, by the file that shows it, and the profile that it follows; empty: none of ours.
async fn examples() -> BTreeMap<&'static str, (Value, &'static str)> {
    let mut all = BTreeMap::new();
    let paper = b"%PDF-1.4\n%%EOF\n";
    let report = ehr::report("example", "24323-8", ISSUED, paper);
    all.insert("examples/delivered-report", (report, "delivered-report"));
    let document = ehr::document("example", "11502-2", ISSUED, paper);
    all.insert("examples/delivered-document", (document, "delivered-document"));
    for (file, word, profile) in [
        ("examples/message", Word::Message, "message"),
        ("examples/disclosure", Word::Disclosure, "disclosure"),
        ("examples/sending", Word::Sending, "sending"),
        ("examples/to-do-talk", Word::ToDo(ToDo::Talk), "to-do"),
        ("examples/to-do-taken-back", Word::ToDo(ToDo::ReadThenTakenBack), "to-do"),
    ] {
        all.insert(file, (written(word).await, profile));
    }
    all.insert("examples/message-opened", (opened().await, "message"));
    all.insert("examples/subscription", (subscribed().await, ""));
    all.insert("examples/subscription-topic", (subscribed_to_a_topic(TopicForm::Backport).await, ""));
    all.insert("r5/subscription", (subscribed_to_a_topic(TopicForm::Native).await, ""));
    all
}

fn client(double: &EhrDouble) -> EhrClient {
    let connection = EhrConnection {
        id: "lab".parse().unwrap(),
        base: ServiceBase::new(double.base_url.parse().unwrap()).unwrap(),
        auth: Auth::None,
        attachment_origins: Vec::new(),
        limits: Limits::default(),
    };
    EhrClient::new(connection).unwrap()
}

/// The body of the last request that wrote something.
fn last_written(double: &EhrDouble) -> Value {
    let written = written_to(double);
    serde_json::from_slice(&written.last().expect("something was written").body).unwrap()
}

async fn written(word: Word) -> Value {
    let (double, keeper) = (EhrDouble::start().await, Keeper::default());
    double.behave(move |asked| keeper.takes(asked, Answers::Whole).unwrap_or(Act::AsUsual));
    let (id, patient) = (ToldId::of(&[b"example"]), FhirId::parse("example").unwrap());
    let about = ["DiagnosticReport/example/_history/2".to_owned()];
    let base = ServiceBase::new("https://ehr.example/fhir".parse().unwrap()).unwrap();
    let telling = Telling {
        id: &id,
        word,
        patient: Some(&patient),
        recipient: RecipientRole::Patient,
        channel: Channel::Email,
        about: &about,
        at: AT,
        base: &base,
    };
    client(&double).tell(&telling).await.unwrap();
    last_written(&double)
}

async fn opened() -> Value {
    let (double, keeper) = (EhrDouble::start().await, Keeper::default());
    let (id, message) = (ToldId::of(&[b"example"]), written(Word::Message).await);
    let mut kept = message.clone();
    kept["id"] = json!("example");
    double.put(&kept);
    double.behave(move |asked| match asked.method.as_str() {
        "PUT" => Act::Answer(Reply::fhir(200, &json!({"resourceType": "Communication", "id": "example"}))),
        _ => keeper.takes(asked, Answers::Whole).filter(|_| asked.method == "POST").unwrap_or(Act::AsUsual),
    });
    let remote = FhirId::parse("example").unwrap();
    client(&double).tell_received(&id, Some(&remote), AT.plus(Duration::from_hours(2))).await.unwrap();
    let mut opened = last_written(&double);
    // The server's own stamps.
    opened["meta"] = message["meta"].clone();
    opened
}

fn header() -> HookHeader {
    HookHeader { name: "X-Chartseal-Hook".to_owned(), secret: SecretText::new("example-secret".to_owned()) }
}

/// A server that takes Subscriptions.
async fn taking_subscriptions() -> EhrDouble {
    let double = EhrDouble::start().await;
    double.behave(|asked| match asked.method.as_str() {
        "POST" => {
            let mut made: Value = serde_json::from_slice(&asked.body).unwrap();
            made["id"] = json!("example");
            Act::Answer(Reply::fhir(201, &made))
        }
        _ => Act::AsUsual,
    });
    double
}

async fn subscribed() -> Value {
    let (double, header) = (taking_subscriptions().await, header());
    let endpoint = "https://hooks.clinic.example/fhir/hook/lab".parse().unwrap();
    let kind = ResourceType::DiagnosticReport;
    let wish = Wish { kind, endpoint: &endpoint, header: &header, reason: "Chartseal", known: None };
    client(&double).create_subscription(&wish).await.unwrap();
    last_written(&double)
}

async fn subscribed_to_a_topic(form: TopicForm) -> Value {
    let (double, header) = (taking_subscriptions().await, header());
    let endpoint = "https://hooks.clinic.example/fhir/hook/lab".parse().unwrap();
    let filters = [TopicFilter::parse("DiagnosticReport?category=LAB").unwrap()];
    let wish = TopicWish {
        form,
        topic: TOPIC,
        filters: &filters,
        content: TopicContent::IdOnly,
        heartbeat: Duration::from_mins(1),
        events_max: 20,
        endpoint: &endpoint,
        header: &header,
        reason: "Chartseal",
        known: None,
        asked: None,
    };
    client(&double).create_topic(&wish).await.unwrap();
    last_written(&double)
}

fn pretty(value: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profiles_examples_are_what_the_program_writes() {
    for (file, (resource, _)) in examples().await {
        let path = part::in_project(&format!("fhir-profiles/{file}.json"));
        if std::env::var_os("CHARTSEAL_PROFILES").is_some_and(|wish| wish == "write") {
            std::fs::write(&path, pretty(&resource)).unwrap();
        }
        let shown = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            shown,
            pretty(&resource),
            "{file} is not what the program writes; CHARTSEAL_PROFILES=write mends it"
        );
    }
    let shown: usize = files_in("fhir-profiles/examples").len() + files_in("fhir-profiles/r5").len();
    assert_eq!(shown, examples().await.len() + 1, "an example that nothing writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profiles_pass_a_validator_that_nobody_here_wrote_and_what_is_broken_on_purpose_fails() {
    let folder = Place::new("profiles");
    let plain = |file| Asked { file, profile: String::new() };
    let mut good: Vec<Asked> = files_in("fhir-profiles/definitions").into_iter().map(plain).collect();
    let mut broken = BTreeMap::new();
    for (file, (resource, name)) in examples().await.iter().filter(|(file, _)| file.starts_with("examples/")) {
        let profile = if name.is_empty() { String::new() } else { profile(name) };
        let mut resource = resource.clone();
        if resource["meta"]["profile"].is_array() {
            // Of an implementation guide that is not here.
            resource.as_object_mut().unwrap().remove("meta");
        }
        let whole = keep(&folder, &file.replace('/', "-"), &resource);
        good.push(Asked { file: whole, profile: profile.clone() });
        for (number, (what, wrong)) in broken_on_purpose(&resource, name).into_iter().enumerate() {
            let name = format!("{}-{number}", file.replace('/', "-"));
            let file = keep(&folder, &name, &wrong);
            broken.insert(file.clone(), what);
            good.push(Asked { file, profile: profile.clone() });
        }
    }
    assert!(broken.len() > 30, "only {} ways to break them", broken.len());
    let found = complaints("r4", &good);
    let (of_broken, of_good): (Vec<_>, Vec<_>) = found.into_iter().partition(|(file, _)| broken.contains_key(file));
    assert!(of_good.is_empty(), "{of_good:#?}");
    let noticed: BTreeSet<_> = of_broken.into_iter().map(|(file, _)| file).collect();
    let missed: Vec<_> = broken.iter().filter(|(file, _)| !noticed.contains(*file)).collect();
    assert!(missed.is_empty(), "the validator let these pass: {missed:#?}");
    let r5: Vec<Asked> = files_in("fhir-profiles/r5").into_iter().map(plain).collect();
    assert_eq!(complaints("r5", &r5), []);
}

/// One change each, with its name.
fn broken_on_purpose(good: &Value, profile: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut without = |pointer: &str| {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut wrong = good.clone();
        let parent = wrong.pointer_mut(parent).unwrap_or_else(|| panic!("{profile} has no {pointer}"));
        if let Value::Array(items) = parent {
            items.remove(name.parse().unwrap());
        } else {
            parent.as_object_mut().unwrap().remove(name).expect("it is there to be removed");
        }
        all.push((format!("{profile} without {pointer}"), wrong));
    };
    for pointer in match profile {
        "delivered-report" => &["/status", "/code", "/subject"][..],
        "delivered-document" => &["/docStatus", "/subject", "/content/0/attachment/contentType"],
        "message" => &["/meta/tag/0", "/identifier", "/subject", "/about", "/sent", "/recipient"],
        "disclosure" => &[
            "/meta/tag/1",
            "/type",
            "/subtype",
            "/action",
            "/agent/0",
            "/agent/1",
            "/agent/1/network",
            "/entity/0",
            "/entity/1",
        ],
        "sending" => &["/meta/tag/1", "/target", "/occurredDateTime", "/activity", "/agent"],
        "to-do" => &["/meta/tag/0", "/identifier", "/code", "/focus", "/authoredOn", "/requester"],
        _ => &["/status", "/channel", "/channel/type"],
    } {
        without(pointer);
    }
    for (pointer, value) in match profile {
        "message" => vec![("/status", json!("in-progress")), ("/payload", json!([{"contentString": "open it here"}]))],
        "disclosure" => vec![("/action", json!("U")), ("/source/observer/display", json!("somebody else"))],
        "sending" => vec![("/activity/coding/0/code", json!("receive"))],
        "to-do" => vec![("/code/coding/0/code", json!("dance")), ("/intent", json!("plan"))],
        _ => vec![("/status", json!("no-such-status"))],
    } {
        let mut wrong = good.clone();
        match wrong.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => drop(wrong.as_object_mut().unwrap().insert(pointer.trim_start_matches('/').to_owned(), value)),
        }
        all.push((format!("{profile} with another {pointer}"), wrong));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_clinic_really_wrote_to_an_ehr_follows_the_profiles() {
    let rules = format!(
        "{}\n[[profile]]\nid = \"by-hand\"\nwhen = {{ code = \"loinc|718-7\" }}\nthen = {{ action = \"manual_review\" }}\n",
        clinic::RULES
    );
    let ehr_more = "write_back = [\"communication\", \"audit_event\", \"provenance\", \"task\"]".to_owned();
    let clinic = Clinic::spawn(Wishes { rules, ehr_more, ..Wishes::default() }).await;
    let email = "profiles@example.test";
    let (patient, report) = clinic.report(email, "24323-8", &pdf::with_pages(&["first"])).await;
    clinic.lab().post(&ehr::report(&patient, "718-7", &clinic::real_now(), &pdf::with_pages(&["by hand"]))).await;
    clinic.hear_and_settle().await;
    Holder::new(&clinic.mailbox.wait_for(email, 1).await.link()).claim_and_read().await;
    clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = json!("entered-in-error")).await;
    clinic.hear_and_settle().await;

    let (folder, mut asked) = (Place::new("written"), Vec::new());
    for (kind, name, count) in [
        ("Communication", "message", 1),
        ("AuditEvent", "disclosure", 1),
        ("Provenance", "sending", 1),
        ("Task", "to-do", 2),
    ] {
        let about = |one: &Value| one.to_string().contains(&patient) || one.to_string().contains(&report);
        let kept: Vec<Value> = clinic.lab().all(kind).await.into_iter().filter(about).collect();
        assert_eq!(kept.len(), count, "{kind}: {kept:#?}");
        for (number, one) in kept.iter().enumerate() {
            asked.push(Asked { file: keep(&folder, &format!("{kind}-{number}"), one), profile: profile(name) });
        }
    }
    assert_eq!(complaints("r4", &asked), []);
}

#[test]
fn what_chartseal_asks_of_an_ehr_is_what_its_scopes_say() {
    let file = part::in_project("fhir-profiles/definitions/CapabilityStatement-chartseal.json");
    let said: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let resources = said["rest"][0]["resource"].as_array().unwrap();
    let stated: BTreeSet<&str> = resources.iter().map(|one| one["type"].as_str().unwrap()).collect();
    let told = Told::ALL.map(Told::scope).join(" ");
    let scopes = format!("{SCOPE} {SCOPE_TO_SUBSCRIBE} {told}");
    let kinds = scopes.split(' ').map(|scope| scope.trim_start_matches("system/").split('.').next().unwrap());
    assert_eq!(kinds.collect::<BTreeSet<_>>(), stated);
    for told in Told::ALL {
        let one = resources.iter().find(|one| one["type"] == told.type_name()).unwrap();
        let codes: Vec<&str> =
            one["interaction"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
        let letters = told.scope().split_once('.').unwrap().1.to_owned();
        for (code, letter) in [("create", 'c'), ("read", 'r'), ("update", 'u'), ("search-type", 's')] {
            assert_eq!(codes.contains(&code), letters.contains(letter), "{told:?} {code}");
        }
    }
}
