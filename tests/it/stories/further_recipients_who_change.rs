//! Others than the patient who are struck off, lose what gave them the right, and come back.

use serde_json::json;

use super::further_recipients::{
    CHILD, DAD, HBA1C, MUM, PROXIES, ROLE_CODES, clinic, family, files, mails, person, reports, says,
    settle_for_minutes,
};
use crate::support::clinic::{Database, real_now};
use crate::support::{ehr, pdf};

async fn who_acts_no_more_is_refused(database: Database) {
    let clinic = clinic(database, PROXIES).await;
    let (child, [_, dad]) = family(&clinic).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    clinic.lab().change("RelatedPerson", &dad, |dad| dad["active"] = json!(false)).await;
    settle_for_minutes(&clinic, 18).await;
    assert_eq!([says(&clinic, MUM).await, says(&clinic, DAD).await], ["ready", "suspended"].map(str::to_owned));
    let notes: Vec<_> = clinic.deliveries_for(&report, "proxy").await.into_iter().map(|one| one.note).collect();
    assert!(notes.iter().any(|note| note.contains("no longer names its recipient")), "{notes:?}");

    // An EHR that forgot him for a while.
    clinic.lab().change("RelatedPerson", &dad, |dad| dad["active"] = json!(true)).await;
    settle_for_minutes(&clinic, 18).await;
    assert_eq!(says(&clinic, DAD).await, "ready");
    assert_eq!(mails(&clinic, [CHILD, MUM, DAD]), [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_somebody_who_acts_for_the_child_no_more_is_refused_and_comes_back_with_them() {
    for database in [Database::Sqlite, Database::Postgres] {
        who_acts_no_more_is_refused(database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_guardian_who_is_gone_does_not_leave_and_is_decided_again_when_they_are_back() {
    let hold = "[[restrict]]\nid = \"wait\"\nwhen = { recipient = \"proxy\", code = \"loinc|4548-4\" }\nthen = { hold = \"12h\" }\n";
    let clinic = clinic(Database::Sqlite, &format!("{PROXIES}{hold}")).await;
    let child = person(&clinic, "2017-05-06", CHILD).await;
    let dad = files(&clinic, &child, "FTH", DAD).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.deliveries_for(&report, "proxy").await[0].state, "held");
    clinic.lab().change("RelatedPerson", &dad, |dad| dad["active"] = json!(false)).await;
    for _ in 0..14 {
        clinic.hear_and_settle().await;
    }
    let waits = &clinic.deliveries_for(&report, "proxy").await[0];
    assert!(waits.state == "review" && waits.note.contains("no longer names its recipient"), "{waits:?}");
    // Not even a person's word sends it meanwhile.
    clinic.desk().release(&waits.id, None).await.unwrap();
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, DAD]), [1, 0]);
    clinic.lab().change("RelatedPerson", &dad, |dad| dad["active"] = json!(true)).await;
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(mails(&clinic, [CHILD, DAD]), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_ground_while_it_waits_gets_nothing_whoever_releases_it() {
    let rules = "[[profile]]\nid = \"guardians\"\nwhen = { recipient = \"proxy\", basis = \"guardian\", code = \"loinc|4548-4\" }\n\
                 then = { action = \"manual_review\" }\n";
    let clinic = clinic(Database::Sqlite, rules).await;
    let child = person(&clinic, "2017-05-06", CHILD).await;
    let mum = files(&clinic, &child, "MTH", MUM).await;
    let coding = |code: &str| json!({"coding": [{"system": ROLE_CODES, "code": code}]});
    let both = json!([coding("MTH"), coding("GUARD")]);
    clinic.lab().change("RelatedPerson", &mum, |mum| mum["relationship"] = both).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    let waits = clinic.deliveries_for(&report, "proxy").await[0].clone();
    assert_eq!(waits.state, "review");
    clinic.lab().change("RelatedPerson", &mum, |mum| mum["relationship"] = json!([coding("MTH")])).await;
    clinic.desk().release(&waits.id, None).await.unwrap();
    for _ in 0..3 {
        clinic.hear_and_settle().await;
    }
    assert_eq!(mails(&clinic, [CHILD, MUM]), [1, 0]);
    assert_eq!(clinic.deliveries_for(&report, "proxy").await[0].state, "blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addendum_gives_nobody_back_what_they_may_not_have() {
    let guardians = "[[profile]]\nid = \"guardians\"\nwhen = { recipient = \"proxy\", basis = \"guardian\", code = \"loinc|4548-4\" }\n\
                     then = { action = \"send\", opens = 3 }\n";
    let clinic = clinic(Database::Sqlite, guardians).await;
    let child = person(&clinic, "2017-05-06", CHILD).await;
    let mum = files(&clinic, &child, "MTH", MUM).await;
    let coding = |code: &str| json!({"coding": [{"system": ROLE_CODES, "code": code}]});
    let both = json!([coding("MTH"), coding("GUARD")]);
    clinic.lab().change("RelatedPerson", &mum, |mum| mum["relationship"] = both).await;
    let report = reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM]), [1, 1]);
    clinic.lab().change("RelatedPerson", &mum, |mum| mum["relationship"] = json!([coding("MTH")])).await;
    let appended = ehr::report(&child, HBA1C, &real_now(), &pdf::with_pages(&["HbA1c 5.4 %", "and a note"]));
    clinic
        .lab()
        .change("DiagnosticReport", &report, |old| {
            old["presentedForm"] = appended["presentedForm"].clone();
            old["status"] = json!("appended");
        })
        .await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM]), [2, 1]);
    assert_eq!(says(&clinic, MUM).await, "suspended");
    clinic.hear_and_settle().await;
    assert_eq!(says(&clinic, MUM).await, "suspended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ground_that_is_gone_takes_the_link_with_it_though_the_person_is_still_named() {
    let guardians = "[[profile]]\nid = \"guardians\"\nwhen = { recipient = \"proxy\", basis = \"guardian\", code = \"loinc|4548-4\" }\n\
                     then = { action = \"send\", opens = 3 }\n";
    let clinic = clinic(Database::Sqlite, guardians).await;
    let child = person(&clinic, "2017-05-06", CHILD).await;
    let mum = files(&clinic, &child, "MTH", MUM).await;
    let coding = |code: &str| json!({"coding": [{"system": ROLE_CODES, "code": code}]});
    let both = json!([coding("MTH"), coding("GUARD")]);
    clinic.lab().change("RelatedPerson", &mum, |mum| mum["relationship"] = both.clone()).await;
    reports(&clinic, &child).await;
    clinic.hear_and_settle().await;
    assert_eq!(mails(&clinic, [CHILD, MUM]), [1, 1]);
    clinic.lab().change("RelatedPerson", &mum, |mum| mum["relationship"] = json!([coding("MTH")])).await;
    settle_for_minutes(&clinic, 18).await;
    assert_eq!(says(&clinic, MUM).await, "suspended");
    settle_for_minutes(&clinic, 18).await;
    assert_eq!(says(&clinic, MUM).await, "suspended", "and stays so");
    clinic.lab().change("RelatedPerson", &mum, |mum| mum["relationship"] = both.clone()).await;
    settle_for_minutes(&clinic, 18).await;
    assert_eq!(says(&clinic, MUM).await, "ready");
}
