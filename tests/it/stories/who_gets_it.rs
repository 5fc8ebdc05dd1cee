//! Whose address, and whether at all: doubt is a review with its reason, never a guess.

use serde_json::{Value, json};

use crate::support::clinic::{Clinic, RULES, Wishes, real_now};
use crate::support::{ehr, pdf};

const HBA1C: &str = "4548-4";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

fn patient(id: &str, telecom: &Value) -> Value {
    let mut patient = ehr::patient(id, "Garcia", "Ana", "1984-05-06", "unused@example.test");
    patient["telecom"] = telecom.clone();
    patient
}

/// Posts a report of this patient; its id.
async fn report_for(clinic: &Clinic, patient: &Value, loinc: &str) -> String {
    clinic.lab().update(patient).await;
    let id = patient["id"].as_str().unwrap();
    clinic.lab().post(&ehr::report(id, loinc, &real_now(), &paper())).await
}

fn email(value: &str) -> Value {
    json!({"system": "email", "value": value})
}

fn with(value: &str, more: &[(&str, Value)]) -> Value {
    let mut entry = email(value);
    for (key, value) in more {
        entry[*key] = value.clone();
    }
    entry
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_chosen_as_the_record_says() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let ended = json!({"end": "2020-01-01"});
    let future = json!({"start": "2999-01-01"});
    let cases = [
        (
            "ranked@example.test",
            json!([
                with("third@example.test", &[("rank", json!(3))]),
                with("ranked@example.test", &[("rank", json!(1))]),
                email("unranked@example.test"),
            ]),
        ),
        (
            "current@example.test",
            json!([
                with("old@example.test", &[("use", json!("old"))]),
                with("ended@example.test", &[("period", ended.clone()), ("rank", json!(1))]),
                with("future@example.test", &[("period", future), ("rank", json!(1))]),
                email("current@example.test"),
            ]),
        ),
        (
            "valid@example.test",
            json!([with("not an address", &[("rank", json!(1))]), with("valid@example.test", &[("rank", json!(2))]),]),
        ),
        ("Twice@example.test", json!([email("Twice@example.test"), email("twice@EXAMPLE.test")])),
        (
            "after-phone@example.test",
            json!([
                {"system": "phone", "value": "+1 555 0100", "rank": 1},
                email("after-phone@example.test"),
            ]),
        ),
    ];
    for (number, (_, telecom)) in cases.iter().enumerate() {
        report_for(&clinic, &patient(&format!("chosen-{number}"), telecom), HBA1C).await;
    }
    clinic.hear_and_settle().await;
    let mut to: Vec<_> = clinic.mailbox.mails().into_iter().flat_map(|mail| mail.envelope_to).collect();
    let mut expected: Vec<_> = cases.iter().map(|(address, _)| (*address).to_owned()).collect();
    to.sort();
    expected.sort();
    assert_eq!(to, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_good_address_a_person_looks_and_hears_why() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let cases = [
        ("no e-mail entry", json!([{"system": "phone", "value": "+1 555 0100"}])),
        ("several equally good", json!([email("one@example.test"), email("other@example.test")])),
        ("marked old", json!([with("old@example.test", &[("use", json!("old"))])])),
        ("no longer in use", json!([with("past@example.test", &[("period", json!({"end": "2020-01-01"}))])])),
        ("not in use yet", json!([with("soon@example.test", &[("period", json!({"start": "2999-01-01"}))])])),
        ("temporary without dates", json!([with("temp@example.test", &[("use", json!("temp"))])])),
        ("not written as an e-mail address", json!([email("ana at example.test")])),
        ("not written as an e-mail address", json!([email("ana@example.test\r\nBcc: eve@example.test")])),
        ("not written as an e-mail address", json!([email("a@example.test, b@example.test")])),
    ];
    let mut reports = Vec::new();
    for (number, (_, telecom)) in cases.iter().enumerate() {
        reports.push(report_for(&clinic, &patient(&format!("doubt-{number}"), telecom), HBA1C).await);
    }
    clinic.hear_and_settle().await;
    for ((why, _), report) in cases.iter().zip(&reports) {
        let brief = clinic.delivery_of(report).await;
        assert_eq!(brief.state, "review", "{why}");
        assert!(brief.note.contains(why), "{why}: {}", brief.note);
        assert!(!brief.note.contains('@'), "{}", brief.note);
    }
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_mended_in_the_ehr_is_used_when_staff_release_and_not_before() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let report = report_for(&clinic, &patient("mended", &json!([email("ana at example.test")])), HBA1C).await;
    clinic.hear_and_settle().await;
    let brief = clinic.delivery_of(&report).await;
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.settle().await;
    let still = clinic.delivery_of(&report).await;
    assert_eq!((still.state, still.note.contains("not written")), ("review", true), "nothing was mended yet");

    clinic.lab().update(&patient("mended", &json!([email("ana@example.test")]))).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.delivery_of(&report).await.state, "review");
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.settle().await;
    clinic.mailbox.wait_for("ana@example.test", 1).await;
    assert_eq!(clinic.mailbox.mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_the_dead_the_inactive_and_the_merged_get_no_mail() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let address = json!([email("ana@example.test")]);
    let mut reports = Vec::new();
    for (number, (key, value, why)) in [
        ("deceasedBoolean", json!(true), "deceased"),
        ("deceasedDateTime", json!("2026-01-01"), "deceased"),
        ("active", json!(false), "inactive"),
        ("link", json!([{"other": {"reference": "Patient/other"}, "type": "replaced-by"}]), "merged"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut patient = patient(&format!("unusable-{number}"), &address);
        patient[key] = value;
        reports.push((report_for(&clinic, &patient, HBA1C).await, why));
    }
    let mut nobodys = ehr::report("nobody", HBA1C, &real_now(), &paper());
    nobodys.as_object_mut().unwrap().remove("subject");
    reports.push((clinic.lab().post(&nobodys).await, "names no patient"));
    clinic.hear_and_settle().await;
    for (report, why) in &reports {
        let brief = clinic.delivery_of(report).await;
        assert_eq!(brief.state, "review", "{why}");
        assert!(brief.note.contains(why), "{why}: {}", brief.note);
        // Not even a person's word sends it while the record stays so.
        clinic.desk().release(&brief.id, None).await.unwrap();
        clinic.settle().await;
        assert_eq!(clinic.delivery_of(report).await.state, "review", "{why}");
    }
    assert!(clinic.mailbox.mails().is_empty());
}

const ASKING: &str = r#"
[[profile]]
id = "by-text"
when = { code = "loinc|718-7" }
then = { action = "send", channel = ["sms"] }

[[profile]]
id = "with-a-code"
when = { code = "loinc|2093-3" }
then = { action = "send", channel = ["email"], verify = ["code"], code_via = "other" }

[[profile]]
id = "by-hand"
when = { code = "loinc|2345-7" }
then = { action = "manual_review" }

[[profile]]
id = "never"
when = { code = "loinc|7917-8" }
then = { action = "block" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_asks_and_this_installation_lacks_is_never_left_out() {
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{ASKING}"), ..Wishes::default() }).await;
    let ana = patient("asking", &json!([email("ana@example.test")]));
    let by_text = report_for(&clinic, &ana, "718-7").await;
    let with_code = report_for(&clinic, &ana, "2093-3").await;
    clinic.hear_and_settle().await;
    for (report, why) in [(&by_text, "the channel sms"), (&with_code, "a code by another channel")] {
        for _ in 0..2 {
            let brief = clinic.delivery_of(report).await;
            assert_eq!(brief.state, "review");
            assert!(brief.note.contains(why) && brief.note.contains("does not offer"), "{}", brief.note);
            // Released by a person, it would go out by mail and without the check.
            clinic.desk().release(&brief.id, Some("the patient called".to_owned())).await.unwrap();
            clinic.hear_and_settle().await;
        }
        assert_eq!(clinic.delivery_of(report).await.state, "review");
    }
    assert!(clinic.mailbox.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_no_rule_names_waits_for_a_person_and_a_blocked_one_for_nobody() {
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{ASKING}"), ..Wishes::default() }).await;
    let ana = patient("unnamed", &json!([email("ana@example.test")]));
    let unnamed = report_for(&clinic, &ana, "99999-9").await;
    let by_hand = report_for(&clinic, &ana, "2345-7").await;
    let blocked = report_for(&clinic, &ana, "7917-8").await;
    clinic.hear_and_settle().await;
    assert!(clinic.mailbox.mails().is_empty());
    let brief = clinic.delivery_of(&unnamed).await;
    assert!(brief.state == "review" && brief.note.contains("no rule matches"), "{}", brief.note);
    let brief = clinic.delivery_of(&by_hand).await;
    assert!(brief.state == "review" && brief.note.contains("'by-hand'"), "{}", brief.note);
    let brief = clinic.delivery_of(&blocked).await;
    assert_eq!(brief.state, "blocked");
    let refused = clinic.desk().release(&brief.id, None).await.unwrap_err().to_string();
    assert!(refused.contains("the rules forbid it"), "{refused}");

    for (count, report) in [(1, &unnamed), (2, &by_hand)] {
        clinic.desk().release(&clinic.delivery_of(report).await.id, None).await.unwrap();
        clinic.settle().await;
        clinic.mailbox.wait_for("ana@example.test", count).await;
    }
}

const NO_PROXY: &str = r#"
[[restrict]]
id = "no-proxy"
when = { recipient = "proxy" }
then = { action = "block" }
"#;

/// What the lab files of who pays for `patient`: the parent's own record is a patient's too.
async fn file_payers(clinic: &Clinic, patient: &str, parent: &str) -> [Value; 2] {
    let parents_record = clinic.lab().post(&patient_of(parent)).await;
    let of_patient = json!({"reference": format!("Patient/{patient}")});
    let by_parent = json!({"reference": format!("Patient/{parents_record}")});
    let account = json!({"resourceType": "Account", "status": "active", "subject": [of_patient],
        "guarantor": [{"party": by_parent}]});
    let coverage = json!({"resourceType": "Coverage", "status": "active", "beneficiary": of_patient,
        "payor": [{"display": "Insurer"}], "policyHolder": by_parent});
    [account, coverage]
}

fn patient_of(address: &str) -> Value {
    let mut parent = patient("unused", &json!([email(address)]));
    parent.as_object_mut().unwrap().remove("id");
    parent
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pays_for_a_minor_is_a_guardian_though_no_relative_is_filed() {
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{NO_PROXY}"), ..Wishes::default() }).await;
    for (number, typed) in ["mum@example.test", "mum+lena@example.test"].into_iter().enumerate() {
        for which in 0..2 {
            let id = format!("paid-for-{number}-{which}");
            let mut teen = patient(&id, &json!([email(typed)]));
            teen["birthDate"] = json!("2012-05-06");
            let report = report_for(&clinic, &teen, HBA1C).await;
            let payers = file_payers(&clinic, &id, "Mum@example.test").await;
            clinic.lab().post(&payers[which]).await;
            clinic.hear_and_settle().await;
            let brief = clinic.delivery_of(&report).await;
            assert_eq!((brief.state, clinic.mailbox.mails().len()), ("blocked", 0), "{typed}: {}", brief.note);
        }
    }
    // Nobody pays for this one with that address.
    let mut teen = patient("pays-herself", &json!([email("lena@example.test")]));
    teen["birthDate"] = json!("2012-05-06");
    let report = report_for(&clinic, &teen, HBA1C).await;
    let payers = file_payers(&clinic, "pays-herself", "mum@example.test").await;
    clinic.lab().post(&payers[0]).await;
    clinic.hear_and_settle().await;
    let brief = clinic.delivery_of(&report).await;
    assert_eq!((brief.state, clinic.mails_to("lena@example.test").len()), ("live", 1), "{}", brief.note);
}

const PROXIES_TOO: &str = r#"
[[profile]]
id = "guardians"
when = { recipient = "proxy", code = "loinc|4548-4" }
then = { action = "send" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_gets_what_the_rules_allow_while_they_are_one_and_nobody_else_around_a_minor_does() {
    let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{PROXIES_TOO}"), ..Wishes::default() }).await;
    let until = |end: &str| json!({"period": {"end": end}});
    for (name, as_contact, more, sent) in [
        ("guardian", false, until("2999-01-01"), true),
        ("former", false, until("2026-01-01"), false),
        ("inactive", false, json!({"active": false}), false),
        ("emergency-contact", true, json!({}), false),
    ] {
        let address = format!("{name}@example.test");
        let mut teen = patient(&format!("ward-of-a-{name}"), &json!([email(&address)]));
        teen["birthDate"] = json!("2012-05-06");
        if as_contact {
            teen["contact"] = json!([{"telecom": [email(&address)]}]);
        } else {
            let mut person = json!({"resourceType": "RelatedPerson", "telecom": [email(&address)],
                "patient": {"reference": format!("Patient/ward-of-a-{name}")}});
            person.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            clinic.lab().update(&teen).await;
            clinic.lab().post(&person).await;
        }
        let report = report_for(&clinic, &teen, HBA1C).await;
        clinic.hear_and_settle().await;
        let brief = clinic.delivery_of(&report).await;
        let expected = if sent { ("live", 1) } else { ("review", 0) };
        assert_eq!((brief.state, clinic.mails_to(&address).len()), expected, "{name}: {}", brief.note);
        assert!(sent || brief.note.contains("act for the patient now"), "{name}: {}", brief.note);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_who_is_filed_or_ends_while_the_report_waits_counts_before_it_leaves() {
    let held = "[[restrict]]\nid = \"wait\"\nwhen = { recipient = [\"patient\", \"proxy\"], code = \"loinc|4548-4\" }\n\
                then = { hold = \"12h\" }\n";
    for (rules, name, filed_at_first, filed_later) in [
        (NO_PROXY, "filed-later", None, Some(json!({"active": true}))),
        (PROXIES_TOO, "ended-later", Some(json!({"active": true})), Some(json!({"active": false}))),
    ] {
        let clinic = Clinic::spawn(Wishes { rules: format!("{RULES}{rules}{held}"), ..Wishes::default() }).await;
        let (id, mum) = (format!("teen-{name}"), format!("{name}@example.test"));
        let mut teen = patient(&id, &json!([email(&mum)]));
        teen["birthDate"] = json!("2012-05-06");
        clinic.lab().update(&teen).await;
        let relative = |changes: &Value| {
            let mut person = json!({"resourceType": "RelatedPerson", "id": format!("mum-{name}"),
                "patient": {"reference": format!("Patient/{id}")}, "telecom": [email(&mum)]});
            person.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            person
        };
        if let Some(changes) = &filed_at_first {
            clinic.lab().update(&relative(changes)).await;
        }
        let report = report_for(&clinic, &teen, HBA1C).await;
        clinic.hear_and_settle().await;
        assert_eq!(clinic.delivery_of(&report).await.state, "held", "{name}");
        if let Some(changes) = &filed_later {
            clinic.lab().update(&relative(changes)).await;
        }
        for _ in 0..14 {
            clinic.hear_and_settle().await;
        }
        let brief = clinic.delivery_of(&report).await;
        assert!(["review", "blocked"].contains(&brief.state), "{name}: {} {}", brief.state, brief.note);
        assert!(clinic.mailbox.mails().is_empty(), "{name}");
    }
}
