//! Known patient data and secrets go through the real program, on good ways and bad ones, and are then looked for
//! everywhere that is not the patient's own message or sealed.

mod classes;
mod columns;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use data_encoding::HEXLOWER;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr::{self, Ehr, EhrAuth, EhrOptions};
use crate::support::ehr_double::{Act, EhrDouble, Reply, outcome};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mail, Mailbox, Manner};
use crate::support::planted::{self, *};
use crate::support::service::{Installation, Service};
use crate::support::{pdf, python, wait, web_client};

/// Not of patients but of their illness: these may stand in a column of class `Code`, and nowhere else.
const CODE: Planted = Planted { what: "the report's code", value: "ZQHIV-774130" };

/// The address of a patient whose mail server repeats it in its refusal.
const ECHOED: &str = "echo-thessa.quill@patient-mail.test";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_planted_is_found_outside_its_place_after_good_and_bad_ways() {
    let real =
        Ehr::start(EhrOptions { auth: EhrAuth::Bearer { token: EHR_TOKEN.value.to_owned() }, ..EhrOptions::default() })
            .await;
    let double = EhrDouble::start().await;
    let mailbox = Mailbox::start(Manner::Login).await;
    let service = start(&real, &double, &mailbox).await;
    let mut said = Vec::new();

    real.lab().update(&patient(PATIENT_ID.value, EMAIL.value)).await;
    real.lab().post(&report(PATIENT_ID.value)).await;
    let mail = mailbox.wait_for(EMAIL.value, 1).await;
    let (mut holder, cookie) = read_in_a_browser(&service, &mail, &mut said).await;
    let secrets = from_the_mail(&mail, &cookie);
    assert_mail_is_silent(&mail, &secrets);

    go_wrong_over_http(&service, &mut holder, &secrets, &mut said).await;
    go_wrong_at_the_mail_server(&service, &real).await;
    go_wrong_at_the_ehr(&service, &double).await;

    let everything = [PATIENT_DATA.as_slice(), SECRETS.as_slice(), secrets.as_slice()].concat();
    let everywhere = [everything.as_slice(), &[CODE]].concat();
    for (place, text) in &said {
        planted::assert_absent(place, text.as_bytes(), &everywhere);
    }
    for path in ["metrics", "healthz", "readyz"] {
        let answer = web_client::new().get(format!("{}/{path}", service.admin_url)).send().await.unwrap();
        planted::assert_absent(path, &whole(answer).await, &everywhere);
    }
    assert_commands_are_silent(&service, &everything, &everywhere);
    let targets: Vec<String> = double.asked().into_iter().map(|asked| asked.target).collect();
    planted::assert_absent("a URL asked of an EHR", targets.join("\n").as_bytes(), &everywhere);

    let rows = dump(&service.folder.join("chartseal.db"));
    classes::assert_classes_hold(&rows, &everything, &everywhere);
    planted::assert_absent_in_files(&[&service.folder], &everything);
    let installation = service.installation();
    let log = service.stop().await;
    assert!(log.contains("\"route\":\"/r/"), "the log was kept");
    planted::assert_absent("the log", log.as_bytes(), &everywhere);
    planted::assert_absent_in_files(&[&installation.folder], &everything);
}

async fn start(real: &Ehr, double: &EhrDouble, mailbox: &Mailbox) -> Service {
    let odd =
        format!("\n[[ehr]]\nid = \"odd\"\nauth = \"bearer\"\npoll_seconds = 1\nbase_url = \"{}\"\n", double.base_url);
    let wishes = Wishes { more: format!("user = \"chartseal\"\n{odd}"), ..Wishes::default() };
    let environment = [
        ("CHARTSEAL__EHR__0__AUTH", "bearer"),
        ("CHARTSEAL__EHR__0__TOKEN", EHR_TOKEN.value),
        ("CHARTSEAL__EHR__0__HOOK_SECRET", HOOK_SECRET.value),
        ("CHARTSEAL__EHR__0__POLL_SECONDS", "1"),
        ("CHARTSEAL__EHR__1__TOKEN", STAFF_PASSWORD.value),
        ("CHARTSEAL__MAIL__PASSWORD", SMTP_PASSWORD.value),
    ];
    Service::start(&Installation::write(&wishes, real.base_url(), mailbox.port, &environment).await).await
}

fn patient(id: &str, email: &str) -> Value {
    let mut patient = ehr::patient(id, FAMILY.value, GIVEN.value, BIRTH_DATE.value, email);
    patient["identifier"][0]["value"] = json!(MRN.value);
    patient["address"] = json!([{"line": [STREET.value], "text": STREET.value}]);
    patient["telecom"].as_array_mut().unwrap().push(json!({"system": "phone", "value": PHONE.value}));
    patient
}

fn report(patient_id: &str) -> Value {
    let paper = pdf::with_pages(&[REPORT_TEXT.value, FAMILY.value]);
    let mut report = ehr::report(patient_id, "58410-2", &clinic::real_now(), &paper);
    let local = json!({"system": "urn:oid:1.2.3.4", "code": CODE.value, "display": CODE_TEXT.value});
    report["code"]["coding"][0]["display"] = json!(REPORT_TITLE.value);
    report["code"]["coding"].as_array_mut().unwrap().push(local);
    report["code"]["text"] = json!(CODE_TEXT.value);
    report["conclusion"] = json!(REPORT_TEXT.value);
    report["text"] = json!({"status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{} {}</div>", FAMILY.value, REPORT_TEXT.value)});
    report["subject"]["display"] = json!(format!("{} {}", GIVEN.value, FAMILY.value));
    report["presentedForm"][0]["title"] = json!(REPORT_TITLE.value);
    report
}

/// The patient's whole visit; what the server said to it, and the cookie.
async fn read_in_a_browser(service: &Service, mail: &Mail, said: &mut Vec<(String, String)>) -> (Holder, String) {
    let client = web_client::new();
    let page = client.get(mail.link()).send().await.unwrap();
    said.push(("the page".to_owned(), String::from_utf8_lossy(&whole(page).await).into_owned()));
    let mut holder = Holder::new(&mail.link());
    let visit = holder.begin().await;
    let looked = holder.look().await;
    said.push(("the look".to_owned(), looked.body.to_string()));
    let plain = holder.read().await;
    assert!(plain.windows(REPORT_TEXT.value.len()).any(|part| part == REPORT_TEXT.value.as_bytes()));
    let again = holder.look().await;
    assert_eq!(again.says(), "spent");
    said.push(("the tombstone".to_owned(), again.body.to_string()));
    service.assert_running();
    (holder, visit.cookie)
}

/// What only the mail and the browser may know.
fn from_the_mail(mail: &Mail, cookie: &str) -> Vec<Planted> {
    let link = mail.link();
    let secret = link.split_once('#').unwrap().1.to_owned();
    [("the link's secret", secret), ("the browser's cookie", cookie.to_owned())]
        .map(|(what, value)| Planted { what, value: value.leak() })
        .to_vec()
}

fn assert_mail_is_silent(mail: &Mail, secrets: &[Planted]) {
    let head = mail.raw.split("\r\n\r\n").next().unwrap();
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let other_headers: Vec<&str> = unfolded.lines().filter(|line| !line.to_lowercase().starts_with("to:")).collect();
    let of_the_patient = [PATIENT_DATA.as_slice(), SECRETS.as_slice(), &[CODE]].concat();
    planted::assert_absent("a header of the mail", other_headers.join("\n").as_bytes(), &of_the_patient);
    planted::assert_absent("a header of the mail", unfolded.as_bytes(), secrets);
    planted::assert_absent("the mail's subject", mail.subject.as_bytes(), &of_the_patient);
    planted::assert_absent("the mail's text", mail.text.as_bytes(), &of_the_patient);
    planted::assert_absent("the mail's HTML", mail.html.as_bytes(), &of_the_patient);
}

/// What links, strangers and EHRs do wrong; every answer is kept in `said`.
async fn go_wrong_over_http(
    service: &Service,
    holder: &mut Holder,
    secrets: &[Planted],
    said: &mut Vec<(String, String)>,
) {
    let (id, secret, cookie) = (holder.link.id.to_string(), secrets[0].value, secrets[1].value);
    let person = json!({"name": FAMILY.value, "birthDate": BIRTH_DATE.value, "email": EMAIL.value}).to_string();
    let with_proof = json!({"nonce": "AAAA", "proof": secret}).to_string();
    let hooked = [("X-Chartseal-Hook", HOOK_SECRET.value)];
    let wrong = [("X-Chartseal-Hook", STAFF_PASSWORD.value)];
    let browser = format!("chartseal={cookie}");
    let browser = [("Cookie", browser.as_str()), ("Content-Type", "application/json")];
    let patient_body = patient(PATIENT_ID.value, EMAIL.value).to_string();
    let broken_body = format!("{{\"resourceType\":\"DiagnosticReport\",\"id\":\"{} {}", GIVEN.value, FAMILY.value);
    let calls: Vec<(Method, String, &[(&str, &str)], String)> = vec![
        (Method::GET, format!("/r/{id}%23{secret}"), &[], String::new()),
        (Method::GET, format!("/r/{id}%2523{secret}"), &[], String::new()),
        (Method::GET, format!("/r/{id}?{secret}={}", EMAIL.value), &[], String::new()),
        (Method::GET, format!("/r//{id}/{secret}"), &[], String::new()),
        (Method::GET, format!("/nothing/{secret}/{}", FAMILY.value), &browser, String::new()),
        (Method::POST, format!("/r/{id}%23{secret}/begin"), &browser, "{}".to_owned()),
        (Method::POST, format!("/r/{id}/look"), &browser, with_proof.clone()),
        (Method::POST, format!("/r/{id}/open"), &browser, with_proof),
        (Method::POST, format!("/r/{id}/open"), &browser, person.clone()),
        (Method::POST, format!("/r/{id}/receipt"), &browser, format!("{{\"outcome\":\"{}\"", FAMILY.value)),
        (Method::GET, format!("/r/{id}/files/{secret}"), &browser, String::new()),
        (Method::PUT, format!("/r/{id}%23{secret}"), &browser, person),
        (Method::POST, "/fhir/hook/lab".to_owned(), &wrong, patient_body.clone()),
        (Method::POST, "/fhir/hook/lab".to_owned(), &hooked, patient_body.clone()),
        (Method::PUT, format!("/fhir/hook/lab/Patient/{}", PATIENT_ID.value), &hooked, patient_body),
        (Method::POST, "/fhir/hook/lab".to_owned(), &hooked, broken_body),
        (Method::POST, "/fhir/hook/lab".to_owned(), &hooked, format!("\"{}\"", MRN.value)),
        (Method::POST, format!("/fhir/hook/{}", FAMILY.value), &hooked, String::new()),
        (Method::PATCH, format!("/fhir/hook/lab/{}/{}", FAMILY.value, GIVEN.value), &hooked, String::new()),
    ];
    for (number, (method, path, headers, body)) in calls.into_iter().enumerate() {
        let mut request = web_client::new().request(method, format!("{}{path}", service.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        // A cookie given back to the browser that has it tells nobody anything.
        let heads: String = answer
            .headers()
            .iter()
            .filter(|(name, _)| name.as_str() != "set-cookie")
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let status = answer.status();
        let body = String::from_utf8_lossy(&whole(answer).await).into_owned();
        assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "call {number} ended in {status}");
        said.push((format!("the answer to bad call {number}"), format!("{status}\n{heads}\n{body}")));
    }
    service.assert_running();
}

async fn go_wrong_at_the_mail_server(service: &Service, real: &Ehr) {
    real.lab().update(&patient("pat-echoed-1", ECHOED)).await;
    real.lab().post(&report("pat-echoed-1")).await;
    wait::until_async("the refused message to come to review", async || {
        service.log().contains("a message was refused for good").then_some(())
    })
    .await;
}

/// Reports with patient data where nobody expects it, then an EHR that refuses and repeats what it was told.
async fn go_wrong_at_the_ehr(service: &Service, double: &EhrDouble) {
    double.put(&patient("p1", EMAIL.value));
    let odd = |id: &str, change: &dyn Fn(&mut Value)| {
        let mut odd = report("p1");
        odd["id"] = json!(id);
        change(&mut odd);
        double.put(&odd);
    };
    odd("odd-status", &|r| r["status"] = json!(GIVEN.value));
    odd("odd-subject", &|r| r["subject"]["reference"] = json!(format!("mailto:{}", EMAIL.value)));
    odd("odd-subject-name", &|r| r["subject"]["reference"] = json!(format!("{}/{}", FAMILY.value, MRN.value)));
    odd("odd-issued", &|r| r["issued"] = json!(format!("{} {}", GIVEN.value, BIRTH_DATE.value)));
    odd("odd-member", &|r| r[GIVEN.value] = json!({"modifierExtension": [{"url": "http://x.test/a"}]}));
    odd("odd-modifier", &|r| {
        r["modifierExtension"] = json!([{"url": format!("http://x.test/{}", MRN.value), "valueString": PHONE.value}]);
    });
    odd("odd-rules", &|r| r["implicitRules"] = json!(format!("http://x.test/{}", FAMILY.value)));
    odd("odd-media", &|r| r["presentedForm"][0]["contentType"] = json!(format!("application/{}", FAMILY.value)));
    odd("odd-data", &|r| r["presentedForm"][0]["data"] = json!(format!("{} {}", GIVEN.value, FAMILY.value)));
    odd("odd-url", &|r| {
        r["presentedForm"][0]["data"].take();
        r["presentedForm"][0]["url"] = json!(format!("https://{}@files.test/{}", GIVEN.value, MRN.value));
    });
    odd("odd-form", &|r| r["presentedForm"] = json!(FAMILY.value));
    odd("odd-code", &|r| r["code"] = json!([{"coding": {FAMILY.value: MRN.value}}]));
    odd("odd-type", &|r| r["category"] = json!({"coding": FAMILY.value}));
    double.put_bytes("DiagnosticReport", "odd-id", report("p1").to_string().as_bytes());
    double.put_bytes("DiagnosticReport", "odd-json", format!("{{\"{}\": {}", GIVEN.value, MRN.value).as_bytes());
    double.put_bytes(
        "DiagnosticReport",
        "odd-twins",
        format!("{{\"resourceType\":\"DiagnosticReport\",\"{0}\":1,\"{0}\":2}}", FAMILY.value).as_bytes(),
    );
    let mut bad_patient = patient("p2", EMAIL.value);
    bad_patient["name"] = json!(FAMILY.value);
    bad_patient["birthDate"] = json!(format!("{} or so", BIRTH_DATE.value));
    double.put(&bad_patient);
    odd("odd-patient", &|r| r["subject"]["reference"] = json!("Patient/p2"));
    wait::until_async("every odd report to be concluded", async || {
        let listed = service.command(&["deliveries", "list", "--json", "--ehr", "odd"]);
        let listed: Value = serde_json::from_str(&listed.out).ok()?;
        (listed.as_array()?.len() >= 17).then_some(())
    })
    .await;

    let searches = || double.asked().iter().filter(|asked| asked.searches("DocumentReference")).count();
    let mut echo = outcome("login");
    echo["issue"][0]["diagnostics"] = json!(format!("{} of {} is not welcome", STAFF_PASSWORD.value, FAMILY.value));
    for status in [401, 403, 500, 200] {
        let (before, echo) = (searches(), echo.clone());
        double.behave(move |_| Act::Answer(Reply::fhir(status, &echo).with("Location", PHONE.value)));
        wait::until("the EHR to be asked again", || (searches() > before + 1).then_some(())).await;
    }
    service.assert_running();
}

fn assert_commands_are_silent(service: &Service, everything: &[Planted], everywhere: &[Planted]) {
    let listed = service.command(&["deliveries", "list", "--most", "200", "--json"]);
    assert_eq!(listed.code, 0, "{}", listed.all());
    let deliveries = listed.json();
    let ids: Vec<&str> = deliveries.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.len() >= 19, "all deliveries are listed");
    for id in ids {
        for arguments in [vec!["deliveries", "show", id, "--json"], vec!["deliveries", "show", id]] {
            let shown = service.command(&arguments);
            assert_eq!(shown.code, 0, "{arguments:?}: {}", shown.all());
            // Staff see the codes that the rules judged; nothing else of the report.
            planted::assert_absent("deliveries show", shown.all().as_bytes(), everything);
        }
    }
    for arguments in [
        vec!["deliveries", "list"],
        vec!["audit", "verify"],
        vec!["audit", "export"],
        vec!["keys", "list"],
        vec!["check"],
        vec!["deliveries", "show", FAMILY.value],
    ] {
        let said = service.command(&arguments);
        let known = arguments.contains(&FAMILY.value);
        // A command may repeat what the same person has just typed.
        if !known {
            planted::assert_absent(&arguments.join(" "), said.all().as_bytes(), everywhere);
        }
    }
}

async fn whole(answer: reqwest::Response) -> Vec<u8> {
    answer.bytes().await.unwrap().to_vec()
}

/// `table.column` → every value.
pub fn dump(database: &Path) -> BTreeMap<String, Vec<Vec<u8>>> {
    let made = Command::new(python::program("python")).arg(python::script("dump_sqlite.py")).arg(database).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let found: BTreeMap<String, Vec<String>> = serde_json::from_slice(&made.stdout).unwrap();
    let bytes = |values: Vec<String>| values.iter().map(|hex| HEXLOWER.decode(hex.as_bytes()).unwrap()).collect();
    found.into_iter().map(|(name, values)| (name, bytes(values))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_forgotten_and_the_audit_still_verifies() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.report("forgotten@example.test", "4548-4", &pdf::with_pages(&["5.4 %"])).await;
    clinic.hear_and_settle().await;
    let delivery = clinic.only_delivery().await;
    let before = clinic.show(&delivery.id).await.audit;
    assert!(serde_json::to_string(&before).unwrap().contains("\"patient\":\""), "the audit names a pseudonym");

    let index = dump(&clinic.folder.join("chartseal.db"))["patient.patient_index"][0].clone();
    let index: [u8; 32] = index.try_into().unwrap();
    let now = clinic.now();
    let store = &clinic.ground.store;
    store.write(move |tx| chartseal::store::forget_patient(tx, &index, now)).await.unwrap();
    let key = store.read(move |conn| chartseal::store::patient_key(conn, &index)).await.unwrap();
    assert!(key.is_none(), "the patient's key is gone");

    let verified = chartseal::desk::verify_audit(store, &clinic.ground.vault).await.unwrap();
    assert_eq!(verified.faults, Vec::<String>::new());
    assert_eq!(clinic.show(&delivery.id).await.audit, before, "no line changed");
}
