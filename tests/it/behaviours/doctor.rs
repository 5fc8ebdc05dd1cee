//! Behaviour 15: `chartseal doctor`, run as an operator runs it, at a real EHR and at doubles that lie.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use chartseal::app::Workers;
use chartseal::fhir::TRIAL_SYSTEM;
use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Hears, Wishes};
use crate::support::ehr_double::{Act, Asked, Certificates, EhrDouble, Reply, outcome};
use crate::support::place::Place;
use crate::support::planted::{self, assert_absent};
use crate::support::program::{self, Ran};
use crate::support::{ehr, mailbox, pdf, wait};

const PLANTED: [planted::Planted; 4] = [planted::FAMILY, planted::EMAIL, planted::PATIENT_ID, planted::EHR_TOKEN];

type Behaviour = Box<dyn Fn(&Asked) -> Act + Send + Sync>;

/// An installation that no service runs on.
pub(super) struct Bare {
    pub(super) config: PathBuf,
    _folder: Place,
}

impl Bare {
    pub(super) async fn new(base_url: &str, ehr_more: &str) -> Self {
        Self::with_files(base_url, ehr_more, &[]).await
    }

    async fn with_files(base_url: &str, ehr_more: &str, files: &[(&str, &str)]) -> Self {
        let folder = Place::new("doctor");
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let wishes = Wishes { send: "shadow", ehr_more: ehr_more.to_owned(), ..Wishes::default() };
        let config = clinic::write_installation(&folder, &wishes, base_url, folder.port()).await;
        assert_eq!(program::run(&config, &["migrate"]).code, 0);
        Self { config, _folder: folder }
    }

    /// What it finds at the EHR.
    async fn findings(&self) -> Vec<Value> {
        let ran = doctor(&self.config, &["doctor", "lab", "--json"]).await;
        let said = ran.json();
        assert_eq!(said["ok"], json!(ran.code == 0), "{said}");
        said["ehrs"][0]["findings"].as_array().unwrap().clone()
    }
}

/// Runs it beside the doubles, which live on this test's threads.
pub(super) async fn doctor(config: &std::path::Path, arguments: &[&str]) -> Ran {
    let (config, arguments): (_, Vec<String>) =
        (config.to_owned(), arguments.iter().map(|one| (*one).to_owned()).collect());
    let ran = tokio::task::spawn_blocking(move || {
        program::run(&config, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let ran = ran.await.unwrap();
    assert_absent("doctor", ran.all().as_bytes(), &PLANTED);
    ran
}

/// A good server's word about itself.
fn capable(asked: &Asked) -> Option<Act> {
    let all = json!([{"code": "read"}, {"code": "search-type"}]);
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "software": {"name": "A double"},
        "rest": [{"mode": "server", "resource": [
            {"type": "DiagnosticReport", "interaction": all},
            {"type": "DocumentReference", "interaction": all},
            {"type": "Subscription", "interaction": [{"code": "create"}]},
        ]}],
    });
    (asked.target == "/fhir/metadata").then(|| Act::Answer(Reply::fhir(200, &statement)))
}

fn html(status: u16) -> Act {
    Act::Answer(Reply::new(status, "text/html", "<!doctype html><form action=\"/login\">"))
}

fn fhir(status: u16) -> Act {
    Act::Answer(Reply::fhir(status, &outcome("security")))
}

/// Everything of this type, whatever was asked.
fn all_of(double_base: &str, kind: &str, ids: &[&str]) -> Act {
    let entries: Vec<Value> = ids
        .iter()
        .map(|id| {
            json!({"fullUrl": format!("{double_base}/{kind}/{id}"), "resource": {
                "resourceType": kind, "id": id, "status": "final", "presentedForm": [{"contentType": "text/plain"}],
                "subject": {"reference": format!("Patient/{}", planted::PATIENT_ID.value)},
                "meta": {"lastUpdated": "2026-01-02T03:04:05Z", "versionId": "1"},
            }})
        })
        .collect();
    Act::Answer(Reply::fhir(200, &json!({"resourceType": "Bundle", "type": "searchset", "entry": entries})))
}

fn searches_reports(asked: &Asked) -> bool {
    asked.searches("DiagnosticReport") || asked.searches("DocumentReference")
}

fn finding<'a>(found: &'a [Value], what: &str) -> &'a Value {
    found.iter().find(|one| one["what"] == what).unwrap_or_else(|| panic!("nothing on {what}: {found:#?}"))
}

fn assert_finding(case: &str, found: &[Value], what: &str, verdict: &str, says: &str) {
    let one = finding(found, what);
    let text = one["says"].as_str().unwrap();
    assert!(one["verdict"] == verdict && text.contains(says), "{case}: wanted {verdict} '{says}', found {one}");
    for one in found.iter().filter(|one| one["verdict"] == "fails") {
        assert!(one["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{case}: no remedy in {one}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_doctor_says_of_each_lie_of_an_ehr_what_it_is() {
    let double = EhrDouble::start().await;
    let bare = Bare::new(&double.base_url, "").await;
    let base = double.base_url.clone();
    let usual = |asked: &Asked| capable(asked).unwrap_or(Act::AsUsual);
    let ignoring = move |asked: &Asked| {
        let kind = if asked.searches("DiagnosticReport") { "DiagnosticReport" } else { "DocumentReference" };
        if searches_reports(asked) { all_of(&base, kind, &["r1", "r2", "r3"]) } else { usual(asked) }
    };
    let needing_a_patient = move |asked: &Asked| {
        if searches_reports(asked) && !asked.target.contains("patient=") { fhir(400) } else { usual(asked) }
    };
    let forbidding = move |asked: &Asked| {
        let reads = ["DocumentReference", "Patient", "Consent"].into_iter().any(|kind| asked.reads(kind));
        if reads { fhir(403) } else { usual(asked) }
    };
    let cases: Vec<(&str, Behaviour, &str, &str, &str)> = vec![
        ("a login page", Box::new(|_| html(200)), "FHIR", "fails", "not FHIR JSON"),
        ("an error page", Box::new(|_| html(500)), "FHIR", "fails", "failed with status 500"),
        (
            "a redirect",
            Box::new(|_| Act::Answer(Reply::new(302, "text/html", "").with("Location", "http://127.0.0.1:9/"))),
            "connection",
            "fails",
            "redirect",
        ),
        ("no answer", Box::new(|_| Act::HangUp), "connection", "fails", "breaks the connection off"),
        (
            "asking who comes",
            Box::new(move |asked| capable(asked).unwrap_or(fhir(401))),
            "sign-in",
            "fails",
            "has no `auth`",
        ),
        ("small rights", Box::new(forbidding), "reading", "fails", "forbids DocumentReference, Patient"),
        (
            "a search without a patient",
            Box::new(needing_a_patient),
            "search for DiagnosticReport",
            "fails",
            "names no patient (status 400)",
        ),
        ("ignoring", Box::new(ignoring), "search for DiagnosticReport", "fails", "ignores _lastUpdated"),
        (
            "no subscriptions",
            Box::new(move |asked| if asked.searches("Subscription") { fhir(404) } else { usual(asked) }),
            "subscriptions",
            "note",
            "knows no Subscriptions",
        ),
    ];
    for (case, behaviour, what, verdict, says) in cases {
        double.behave(behaviour);
        assert_finding(case, &bare.findings().await, what, verdict, says);
    }
    double.behave(move |asked| usual(asked));
    for (off_seconds, verdict, says) in
        [(-600, "fails", "behind ours"), (60, "note", "ahead of ours"), (0, "works", "agree")]
    {
        double.set_clock_off_seconds(off_seconds);
        assert_finding("a clock", &bare.findings().await, "clock", verdict, says);
    }
    // A good server is not slandered, and what cannot be told is not made up.
    let found = bare.findings().await;
    assert_finding("good", &found, "search for DiagnosticReport", "note", "shows only once");
    double.put(&json!({"resourceType": "DiagnosticReport", "id": "r1", "status": "final"}));
    let found = bare.findings().await;
    assert_finding("good", &found, "search for DiagnosticReport", "works", "finds what changed");
    assert_finding("good", &found, "FHIR", "works", "speaks R4, A double");
    assert!(double.asked().iter().all(|asked| asked.method == "GET"), "doctor wrote something without being told to");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_doctor_tells_where_the_way_to_an_ehr_ends() {
    let closed = Place::new("closed");
    let nobody = Bare::new(&format!("http://127.0.0.1:{}/fhir", closed.port()), "").await;
    assert_finding("closed", &nobody.findings().await, "connection", "fails", "nobody listens");
    // No resolver is asked for a name with a part of 64 characters.
    let unknown = Bare::new(&format!("http://{}.test/fhir", "x".repeat(64)), "").await;
    assert_finding("unknown", &unknown.findings().await, "connection", "fails", "name is not known");

    let strange = EhrDouble::start_self_signed().await;
    let bare = Bare::new(&strange.base_url, "").await;
    let found = bare.findings().await;
    assert_finding("self-signed", &found, "connection", "fails", "an authority that nobody here trusts");
    assert!(finding(&found, "connection")["remedy"].as_str().unwrap().contains("ca_file"));

    let (known, Certificates { authority, client, client_key }) = EhrDouble::start_asking_for_certificates().await;
    known.behave(|asked| capable(asked).unwrap_or(Act::AsUsual));
    let settings = "ca_file = \"ca.pem\"\ncertificate_file = \"ours.pem\"\ncertificate_key_file = \"ours.key\"\n";
    let files = [("ca.pem", authority.as_str()), ("ours.pem", client.as_str()), ("ours.key", client_key.as_str())];
    let bare = Bare::with_files(&known.base_url, settings, &files).await;
    assert_finding("known", &bare.findings().await, "connection", "works", "its certificate is good for");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_doctor_tells_a_wrong_secret_from_too_few_scopes() {
    let place = Place::new("scopes");
    let real = ehr::Ehr::start(ehr::EhrOptions {
        auth: ehr::EhrAuth::Smart {
            client_id: "link-svc".to_owned(),
            registered: ehr::Registered::Secret(planted::EHR_TOKEN.value.to_owned()),
            scopes: "system/DiagnosticReport.rs system/DocumentReference.rs system/Binary.rs".to_owned(),
            token_lifetime_seconds: 300,
        },
        port: Some(place.port()),
        ..ehr::EhrOptions::default()
    })
    .await;
    let settings = "auth = \"client_secret\"\nclient_id = \"link-svc\"\nclient_secret_file = \"secret\"\n\
                    scope = \"system/DiagnosticReport.rs system/DocumentReference.rs system/Binary.rs\"\n";
    let right = Bare::with_files(real.base_url(), settings, &[("secret", planted::EHR_TOKEN.value)]).await;
    let found = right.findings().await;
    assert_finding("few scopes", &found, "sign-in", "works", "gives a token");
    assert_finding("few scopes", &found, "reading", "fails", "forbids Patient: rights are lacking, not credentials");
    let wrong = Bare::with_files(real.base_url(), settings, &[("secret", "another")]).await;
    let found = wrong.findings().await;
    assert_finding("wrong secret", &found, "sign-in", "fails", "does not know this client");
    assert!(!found.iter().any(|one| one["what"] == "reading"), "nothing was left to be asked: {found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_the_whole_way_is_tried_at_a_real_ehr_and_nothing_is_left_there() {
    // Polls: the trial makes a Subscription of its own. Hooks: it goes through the one that is kept.
    for hears in [Hears::Polls, Hears::Hooks] {
        let clinic = Clinic::spawn(Wishes { hears, workers: Workers::Spawned, ..Wishes::default() }).await;
        if hears == Hears::Hooks {
            wait_until_active(&clinic).await;
        }
        let kept = clinic.lab().subscriptions().await.len();
        let ran = doctor(&clinic.config_path, &["doctor", "--round-trip", "--wait", "60", "--json"]).await;
        let said = ran.json();
        let found = said["ehrs"][0]["findings"].as_array().unwrap();
        assert_finding(&format!("{hears:?}"), found, "round trip", "works", "");
        assert_finding(&format!("{hears:?}"), found, "last call", "works", "last called");
        if hears == Hears::Polls {
            assert_finding("made", found, "trial subscription", "works", "calls it active");
        } else {
            assert_finding("kept", found, "subscription", "works", "is active");
        }
        assert_eq!((ran.code, &said["ok"]), (0, &json!(true)), "{said:#}");
        assert!(ran.err.contains("will be written, and removed again"), "said before: {}", ran.err);
        assert_eq!(clinic.lab().subscriptions().await.len(), kept);
        for kind in ["Patient", "DiagnosticReport"] {
            let left = clinic.lab().all(kind).await.into_iter().filter(|one| one.to_string().contains(TRIAL_SYSTEM));
            assert_eq!(left.count(), 0, "{kind}");
        }
        clinic.hear_and_settle().await;
        assert!(clinic.deliveries().await.is_empty(), "{:#?}", clinic.deliveries().await);
        assert_eq!(clinic.mailbox.mails().len(), 0);
    }
}

async fn wait_until_active(clinic: &Clinic) {
    wait::until_async("an active subscription", async || {
        clinic.forward(std::time::Duration::from_secs(1));
        let rows = clinic.ground.store.read(chartseal::store::subscriptions).await.unwrap();
        (!rows.is_empty() && rows.iter().all(|row| row.status == "active")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_a_trial_that_fails_half_way_removes_what_it_wrote_or_names_it() {
    let double = EhrDouble::start().await;
    let bare = Bare::new(&double.base_url, "").await;
    let created = |kind: &str, id: &str| {
        let made = json!({"resourceType": kind, "id": id, "status": "active"});
        Act::Answer(Reply::fhir(201, &made))
    };
    // A report is refused; then also the removal of the patient.
    for (delete_status, left) in [(204, false), (405, true)] {
        let removed: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&removed);
        double.behave(move |asked| match (asked.method.as_str(), asked.target.as_str()) {
            ("POST", "/fhir/Subscription") | ("GET", "/fhir/Subscription/s1") => created("Subscription", "s1"),
            ("POST", "/fhir/Patient") => created("Patient", "p1"),
            ("POST", "/fhir/DiagnosticReport") => fhir(403),
            ("DELETE", target) => {
                seen.lock().unwrap().push(target.to_owned());
                if target.contains("Patient") { fhir(delete_status) } else { fhir(204) }
            }
            (_, _) => capable(asked).unwrap_or(Act::AsUsual),
        });
        let ran = doctor(&bare.config, &["doctor", "lab", "--round-trip", "--wait", "1", "--json"]).await;
        let said = ran.json();
        let found = said["ehrs"][0]["findings"].as_array().unwrap();
        assert_eq!(ran.code, 1);
        assert_finding("refused", found, "trial subscription", "works", "active");
        assert_finding("refused", found, "round trip", "fails", "refused access with status 403");
        assert_eq!(*removed.lock().unwrap(), ["/fhir/Patient/p1", "/fhir/Subscription/s1"], "the last first");
        assert_eq!(found.iter().any(|one| one["what"] == "left behind"), left, "{found:#?}");
        if left {
            assert_finding("left", found, "left behind", "fails", "Patient/p1 stays in the EHR");
        }
    }
    // Nobody hears of it: no service runs here.
    double.behave(move |asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", "/fhir/Subscription") => created("Subscription", "s1"),
        ("POST", "/fhir/Patient") => created("Patient", "p1"),
        ("POST", "/fhir/DiagnosticReport") => created("DiagnosticReport", "r1"),
        ("GET", "/fhir/Subscription/s1") => {
            Act::Answer(Reply::fhir(200, &json!({"resourceType": "Subscription", "id": "s1", "status": "error"})))
        }
        ("DELETE", _) => fhir(204),
        (_, _) => capable(asked).unwrap_or(Act::AsUsual),
    });
    let ran = doctor(&bare.config, &["doctor", "lab", "--round-trip", "--wait", "1", "--json"]).await;
    let said = ran.json();
    let found = said["ehrs"][0]["findings"].as_array().unwrap();
    assert_finding("unheard", found, "trial subscription", "fails", "puts it to \"error\"");
    assert_finding("unheard", found, "round trip", "fails", "was not heard of within 1 s");
    let report = double.asked().into_iter().rfind(|asked| asked.method == "POST" && asked.target.ends_with("Report"));
    let report: Value = serde_json::from_slice(&report.unwrap().body).unwrap();
    assert_eq!(report["status"], "entered-in-error", "nobody may take it for a result");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_doctor_looks_at_this_side_too_and_speaks_to_people() {
    let double = EhrDouble::start().await;
    double.behave(|asked| capable(asked).unwrap_or(Act::AsUsual));
    let place = Place::new("this-side");
    let wishes = Wishes { send: "shadow", ..Wishes::default() };
    let config = clinic::write_installation(&place, &wishes, &double.base_url, place.port()).await;
    let ran = doctor(&config, &["doctor"]).await;
    assert!(ran.code == 1 && ran.out.contains("chartseal migrate"), "{}", ran.all());
    assert_eq!(program::run(&config, &["migrate"]).code, 0);

    let ran = doctor(&config, &["doctor", "--json"]).await;
    let said = ran.json();
    let found = said["installation"].as_array().unwrap();
    assert_eq!((ran.code, &said["ok"]), (1, &json!(false)));
    assert_finding("nobody", found, "relay", "fails", "the relay cannot be reached");
    assert_finding("nobody", found, "patients' address", "fails", "nobody listens");
    for (what, says) in
        [("database", "written"), ("keys", "can be made"), ("clock", "agree"), ("time zone", "riverside")]
    {
        assert_finding("this side", found, what, "works", says);
    }
    let words = doctor(&config, &["doctor"]).await;
    assert!(words.code == 1 && words.out.contains("FAILS  relay") && words.out.contains("do: "), "{}", words.all());
    assert!(words.out.ends_with("2 things must be mended.\n"), "{}", words.out);

    let mailbox = mailbox::Mailbox::start(mailbox::Manner::Plain).await;
    let text = std::fs::read_to_string(&config).unwrap();
    let url = text.lines().find(|line| line.starts_with("url = \"smtp:")).unwrap().to_owned();
    std::fs::write(&config, text.replace(&url, &format!("url = \"smtp://127.0.0.1:{}\"", mailbox.port))).unwrap();
    let said = doctor(&config, &["doctor", "--json"]).await.json();
    assert_finding("relay", said["installation"].as_array().unwrap(), "relay", "works", "no message was sent");
    assert_eq!(mailbox.mails().len(), 0);

    let other = doctor(&config, &["doctor", "nobody"]).await;
    assert!(other.code == 2 && other.err.contains("no such EHR"), "{}", other.all());
    let keys = place.join("keys");
    std::fs::rename(&keys, place.join("elsewhere")).unwrap();
    let lost = doctor(&config, &["doctor"]).await;
    assert!(lost.code == 1 && lost.out.contains("database and keys"), "{}", lost.all());
}

/// A real EHR with reports of real shape: what it honours is said, and nothing of a patient is.
#[tokio::test(flavor = "multi_thread")]
async fn event_15_what_a_real_ehr_honours_is_found_and_no_patient_is_shown() {
    let leased = ehr::lease().await;
    let lab = leased.lab();
    let patient = planted::PATIENT_ID.value;
    lab.update(&ehr::patient(patient, planted::FAMILY.value, "Ana", "1984-05-06", planted::EMAIL.value)).await;
    for _ in 0..3 {
        lab.post(&ehr::report(patient, "4548-4", &clinic::real_now(), &pdf::with_pages(&["5.4 %"]))).await;
    }
    let bare = Bare::new(leased.base_url(), "").await;
    let found = bare.findings().await;
    assert_finding("sekmet", &found, "search for DiagnosticReport", "works", "finds what changed");
    assert_finding("sekmet", &found, "claims", "works", "DiagnosticReport: read, search, history");
    let notes = found.iter().filter(|one| one["what"] == "search for DiagnosticReport").count();
    assert_eq!(notes, 1, "it honours _count, _sort and _elements: {found:#?}");
}
