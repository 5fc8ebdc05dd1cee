//! Others than the patient while the EHR fails, lies or refuses: nobody waits for them, nobody is forgotten, nobody blocked learns of
//! anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::bad_input::{good_report, put_patient};
use crate::support::clinic::{Clinic, Database, RULES, Wishes, real_now};
use crate::support::ehr_double::{Act, EhrDouble, Reply, outcome};
use crate::support::holder::Holder;
use crate::support::{ehr, pdf, program};

const MUM: &str = "mum@example.test";

const PROXIES: &str = r#"
[[profile]]
id = "attorneys"
when = { recipient = "proxy", basis = ["representative", "parent"], code = ["loinc|4548-4", "loinc|56888-1"] }
then = { action = "send", opens = 3 }

[[restrict]]
id = "minor-no-proxy"
when = { recipient = "proxy", age = "12..18", set = "HIV" }
then = { action = "block" }
"#;

fn attorney_of(patient: &str, email: &str) -> Value {
    let coding = json!({"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "HPOWATT"});
    json!({"resourceType": "RelatedPerson", "id": format!("of-{patient}"), "relationship": [{"coding": [coding]}],
        "patient": {"reference": format!("Patient/{patient}")}, "telecom": [{"system": "email", "value": email}]})
}

fn found(person: &Value) -> Reply {
    let entry = json!([{"resource": person, "search": {"mode": "match"}}]);
    Reply::fhir(200, &json!({"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": entry}))
}

/// A clinic whose EHR is the double.
async fn clinic_of(double: &EhrDouble) -> Clinic {
    let rules = format!("{RULES}{PROXIES}");
    Clinic::spawn(Wishes { rules, ehr_base: Some(double.base_url.clone()), ..Wishes::default() }).await
}

fn mails<const N: usize>(clinic: &Clinic, addresses: [&str; N]) -> [usize; N] {
    addresses.map(|address| clinic.mails_to(address).len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_does_not_wait_for_a_search_that_fails_and_the_others_get_theirs_when_it_works() {
    type Fails = fn() -> Act;
    let ways: [(&str, Fails); 5] = [
        ("500", || Act::Answer(Reply::fhir(500, &outcome("exception")))),
        ("429", || Act::Answer(Reply::fhir(429, &outcome("throttled")))),
        ("hangs up", || Act::HangUp),
        ("half a body", || Act::CutAfter(20)),
        ("503 in HTML", || Act::Answer(Reply::new(503, "text/html", "<html>down</html>"))),
    ];
    for (what, fails) in ways {
        let double = EhrDouble::start().await;
        let clinic = clinic_of(&double).await;
        put_patient(&double, "patient-of-r1", "ana@example.test");
        double.put(&good_report("r1"));
        double.behave(move |asked| if asked.searches("RelatedPerson") { fails() } else { Act::AsUsual });
        clinic.hear_and_settle().await;
        assert_eq!(mails(&clinic, ["ana@example.test", MUM]), [1, 0], "{what}");
        // Also half a day later.
        for _ in 0..12 {
            clinic.hear_and_settle().await;
        }
        let attorney = attorney_of("patient-of-r1", MUM);
        double.behave(
            move |asked| {
                if asked.searches("RelatedPerson") { Act::Answer(found(&attorney)) } else { Act::AsUsual }
            },
        );
        clinic.hear_and_settle().await;
        clinic.hear_and_settle().await;
        assert_eq!(mails(&clinic, ["ana@example.test", MUM]), [1, 1], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_shows_no_relatives_is_told_of_in_the_audit_and_not_asked_for_ever() {
    let double = EhrDouble::start().await;
    let clinic = clinic_of(&double).await;
    put_patient(&double, "patient-of-r1", "ana@example.test");
    double.put(&good_report("r1"));
    let asked_for = Arc::new(AtomicUsize::new(0));
    let counted = asked_for.clone();
    double.behave(move |asked| {
        if asked.searches("RelatedPerson") {
            counted.fetch_add(1, Ordering::SeqCst);
            return Act::Answer(Reply::fhir(403, &outcome("forbidden")));
        }
        Act::AsUsual
    });
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, ["ana@example.test"]), [1]);
    let audit = program::run(&clinic.config_path, &["audit", "export"]).out;
    assert!(audit.contains("others_unlearnt") && audit.contains("refused to show"), "{audit}");
    clinic.desk().revoke(&clinic.delivery_of("r1").await.id, None).await.unwrap();
    let before = asked_for.load(Ordering::SeqCst);
    for _ in 0..5 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(asked_for.load(Ordering::SeqCst), before, "nothing is under way any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_the_filter_makes_nobody_a_recipient_of_anothers_report() {
    let double = EhrDouble::start().await;
    let clinic = clinic_of(&double).await;
    put_patient(&double, "patient-of-r1", "ana@example.test");
    double.put(&good_report("r1"));
    let anothers = attorney_of("somebody-else", MUM);
    double.behave(
        move |asked| {
            if asked.searches("RelatedPerson") { Act::Answer(found(&anothers)) } else { Act::AsUsual }
        },
    );
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, ["ana@example.test", MUM]), [1, 0]);
    assert_eq!(clinic.deliveries().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_say_whether_a_recipient_still_is_one_nothing_new_leaves_and_what_changed_is_refused() {
    let double = EhrDouble::start().await;
    let clinic = clinic_of(&double).await;
    put_patient(&double, "patient-of-r1", "ana@example.test");
    double.put(&good_report("r1"));
    let attorney = attorney_of("patient-of-r1", MUM);
    let shown = attorney.clone();
    double.behave(move |asked| if asked.searches("RelatedPerson") { Act::Answer(found(&shown)) } else { Act::AsUsual });
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, ["ana@example.test", MUM]), [1, 1]);
    let link = clinic.mails_to(MUM)[0].link();
    double.behave(|asked| if asked.searches("RelatedPerson") { Act::HangUp } else { Act::AsUsual });
    // A moment's failure takes nothing from anybody.
    clinic.forward(Duration::from_mins(16));
    clinic.settle().await;
    assert_eq!(Holder::new(&link).look().await.says(), "ready");
    double.put(&corrected());
    // At its first reading, of many that it may fail.
    clinic.forward(Duration::from_mins(16));
    clinic.settle().await;
    assert_eq!(mails(&clinic, ["ana@example.test", MUM]), [2, 1], "the patient has the correction");
    assert_eq!(Holder::new(&link).look().await.says(), "suspended", "what was corrected is read by nobody");
    double.behave(
        move |asked| {
            if asked.searches("RelatedPerson") { Act::Answer(found(&attorney)) } else { Act::AsUsual }
        },
    );
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, ["ana@example.test", MUM]), [2, 2]);
}

fn corrected() -> Value {
    let mut corrected = good_report("r1");
    corrected["status"] = json!("corrected");
    corrected["presentedForm"] =
        ehr::report("unused", "4548-4", &real_now(), &pdf::with_pages(&["6.4 %"]))["presentedForm"].clone();
    corrected
}

/// Nobody told the others: the patient's link was looked at by itself, and the poll that comes after it brings nothing new.
#[tokio::test(flavor = "multi_thread")]
async fn a_correction_that_was_found_when_a_link_was_looked_at_again_reaches_everybody() {
    let double = EhrDouble::start().await;
    let clinic = clinic_of(&double).await;
    put_patient(&double, "patient-of-r1", "ana@example.test");
    double.put(&good_report("r1"));
    let attorney = attorney_of("patient-of-r1", MUM);
    let shown = attorney.clone();
    double.behave(move |asked| if asked.searches("RelatedPerson") { Act::Answer(found(&shown)) } else { Act::AsUsual });
    clinic.hear_and_settle().await;
    // Hers has ended: nothing of it is looked at again.
    let proxys = clinic.deliveries_for("r1", "proxy").await[0].id.clone();
    clinic.desk().revoke(&proxys, None).await.unwrap();
    double.put(&corrected());
    double.behave(move |asked| match asked {
        asked if asked.searches("RelatedPerson") => Act::Answer(found(&attorney)),
        asked if asked.searches("DiagnosticReport") => Act::HangUp,
        _ => Act::AsUsual,
    });
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(mails(&clinic, ["ana@example.test"]), [2]);
    let theirs = clinic.deliveries_for("r1", "proxy").await;
    assert!(theirs.len() == 2 && theirs[0].state == "review", "{theirs:?}");
}

/// What a guardian with an address of her own can see of a world.
async fn seen_by_mum(codes: &[&str]) -> Vec<(String, Vec<usize>)> {
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{PROXIES}"), ..Wishes::default() }).await;
    let teen = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&teen, "Garcia", "Lena", "2012-05-06", "lena@example.test")).await;
    let mut mother = attorney_of(&teen, MUM);
    mother["relationship"][0]["coding"][0]["code"] = json!("MTH");
    clinic.lab().update(&mother).await;
    for code in codes {
        let paper = pdf::with_pages(&[&format!("a result for {code}")]);
        clinic.lab().post(&ehr::report(&teen, code, &real_now(), &paper)).await;
    }
    let mut seen = Vec::new();
    for _ in 0..8 {
        clinic.forward(Duration::from_mins(15));
        clinic.settle().await;
    }
    for mail in clinic.mails_to(MUM) {
        let granted = Holder::new(&mail.link()).open().await.granted();
        let bytes = granted.files.iter().map(|file| usize::try_from(file.plain_bytes).unwrap()).collect();
        seen.push((mail.subject.clone(), bytes));
    }
    seen.sort();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_with_an_address_of_her_own_sees_nothing_of_a_report_that_is_blocked_for_her() {
    let without = seen_by_mum(&["4548-4"]).await;
    assert_eq!(without.len(), 1);
    assert_eq!(seen_by_mum(&["56888-1", "4548-4"]).await, without);
    assert_eq!(seen_by_mum(&["56888-1"]).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_ask_and_nobody_can_give_here_waits_for_nobody_and_stands_in_the_audit() {
    let asks = "[[profile]]\nid = \"coded\"\nwhen = { recipient = \"proxy\", basis = \"representative\", code = \"loinc|4548-4\" }\n\
                then = { action = \"send\", verify = \"code\", code_via = \"other\" }\n";
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{asks}"), ..Wishes::default() }).await;
    let (patient, report) = clinic.report("ana@example.test", "4548-4", &pdf::with_pages(&["x"])).await;
    clinic.lab().update(&attorney_of(&patient, MUM)).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, ["ana@example.test", MUM]), [1, 0]);
    assert_eq!(clinic.deliveries_of(&report).await.len(), 1, "no review for each report");
    let audit = program::run(&clinic.config_path, &["audit", "export"]).out;
    assert!(audit.contains("not_followed_for") && audit.contains("names no other way (code_else)"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_counts_what_would_go_to_others() {
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{PROXIES}"), ..Wishes::default() }).await;
    let (patient, _) = clinic.report("ana@example.test", "4548-4", &pdf::with_pages(&["x"])).await;
    clinic.lab().update(&attorney_of(&patient, MUM)).await;
    let found = program::run(&clinic.config_path, &["rehearse", "--since", "1d", "--json"]).json();
    assert_eq!((&found["sent"], &found["for_others"]), (&json!(1), &json!({"sent at once": 1})), "{found}");
    assert_eq!(found["messages"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 2);
    let page = program::run(&clinic.config_path, &["rehearse", "--since", "1d"]).out;
    assert!(page.contains("for others than the patient"), "{page}");
}

async fn both_survive_a_death(database: Database) {
    let mut clinic = Clinic::spawn(Wishes { database, rules: format!("{RULES}{PROXIES}"), ..Wishes::default() }).await;
    let (patient, report) = clinic.report("ana@example.test", "4548-4", &pdf::with_pages(&["x"])).await;
    clinic.lab().update(&attorney_of(&patient, MUM)).await;
    clinic.desk().pause("a look").await.unwrap();
    clinic.hear_and_settle().await;
    clinic.stop().await.unwrap();
    clinic.start_again(chartseal::app::start::Restore::NotSaid).await.unwrap();
    clinic.desk().resume().await.unwrap();
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, ["ana@example.test", MUM]), [1, 1]);
    assert_eq!(clinic.deliveries_of(&report).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_again_goes_on_for_everybody() {
    for database in [Database::Sqlite, Database::Postgres] {
        both_survive_a_death(database).await;
    }
}
