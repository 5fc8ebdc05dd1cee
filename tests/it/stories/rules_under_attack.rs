//! Where rules, laws, people and changes of the EHR meet: nothing leaves too soon, and nothing waits for ever.

use std::time::Duration;

use chartseal::desk::DeskError;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Wishes, real_now};
use crate::support::staff::{APPROVER, LEAD, Staff};
use crate::support::{ehr, pdf};

const PANEL: &str = "24323-8";
const ANA: &str = "ana@example.test";
const PARENT: &str = "parent@example.test";
/// Kentucky keeps reports of this category back for 72 hours.
const GENETICS: &str = "GE";

/// One rule for panels, with more in the header and after it.
fn panels(version: &str, header: &str, then: &str, rest: &str) -> String {
    format!(
        "[policy]\nid = \"test\"\nversion = \"{version}\"\n{header}\n[[profile]]\nid = \"panels\"\n\
         when = {{ code = \"loinc|24323-8\" }}\nthen = {{ action = \"send\", expiry = \"48h\", opens = 3{then} }}\n{rest}"
    )
}

const KENTUCKY: &str = "timezone = \"America/Chicago\"\nlaws = [\"us-ky\"]\n";
const HELD_FOR_A_DAY: &str = ", hold = \"24h\", basis = \"clinic_policy\"";
const TALK_FIRST: &str = ", requires = \"discussed\"";

fn paper() -> Vec<u8> {
    pdf::with_pages(&["first"])
}

async fn clinic_with(rules: String) -> Clinic {
    Clinic::spawn(Wishes { rules, ..Wishes::default() }).await
}

fn category(code: &str) -> Value {
    json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": code}]}])
}

/// A panel of somebody born then, in this category; the ids of patient and report.
async fn panel(clinic: &Clinic, born: &str, of: &str) -> (String, String) {
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", born, ANA)).await;
    let mut report = ehr::report(&patient, PANEL, &real_now(), &paper());
    report["category"] = category(of);
    let report = clinic.lab().post(&report).await;
    clinic.hear_and_settle().await;
    (patient, report)
}

async fn after(clinic: &Clinic, hours: u64) -> (&'static str, usize, String) {
    clinic.forward(Duration::from_hours(hours));
    clinic.hear_and_settle().await;
    let brief = clinic.only_delivery().await;
    (brief.state, clinic.mailbox.mails().len(), brief.note)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_law_that_comes_into_force_holds_what_is_held_already() {
    let clinic = clinic_with(panels("1", "timezone = \"America/Chicago\"\n", HELD_FOR_A_DAY, "")).await;
    let staff = Staff::hire(&clinic.config_path);
    panel(&clinic, "1984-05-06", GENETICS).await;
    assert_eq!(clinic.only_delivery().await.state, "held");
    staff.brings_into_force(&panels("2", KENTUCKY, HELD_FOR_A_DAY, ""));
    clinic.settle().await;
    let (state, mails, note) = after(&clinic, 25).await;
    assert_eq!((state, mails), ("held", 0), "it left before the law's moment: {note}");
    let id = clinic.only_delivery().await.id;
    clinic.desk().release(&id, None).await.unwrap();
    let (state, mails, note) = after(&clinic, 1).await;
    assert_eq!((state, mails), ("held", 0), "nobody's word ends the law's wait: {note}");
    let (state, mails, note) = after(&clinic, 48).await;
    assert_eq!((state, mails), ("live", 1), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_report_that_a_law_newly_speaks_of_does_not_leave_as_first_decided() {
    let clinic = clinic_with(panels("1", KENTUCKY, HELD_FOR_A_DAY, "")).await;
    let (_, report) = panel(&clinic, "1984-05-06", "LAB").await;
    clinic.lab().change("DiagnosticReport", &report, |report| report["category"] = category(GENETICS)).await;
    clinic.hear_and_settle().await;
    let (state, mails, note) = after(&clinic, 25).await;
    assert_eq!((state, mails), ("review", 0), "{note}");
}

/// Panels are for a person, and their links' lives count from the reports' own time.
fn counted_from_issue(header: &str, expiry: &str) -> String {
    let counted = format!("\"manual_review\", expiry = \"{expiry}\", expiry_from = \"issued\"");
    panels("1", header, "", "").replace("\"send\", expiry = \"48h\"", &counted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_would_leave_too_little_of_a_links_life_is_refused_at_once() {
    let clinic = clinic_with(counted_from_issue("", "48h")).await;
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA)).await;
    let issued = clinic.now().minus(Duration::from_hours(30)).to_rfc3339();
    clinic.lab().post(&ehr::report(&patient, PANEL, &issued, &paper())).await;
    let (before, id) = (after(&clinic, 0).await, clinic.only_delivery().await.id);
    let release = ["deliveries", "release", &id, "--as", "Eve Admin"];
    let said = crate::support::program::run(&clinic.config_path, &release);
    assert!(said.code == 1 && said.err.contains("fewer than 12 waking hours"), "{}", said.all());
    assert_eq!((after(&clinic, 0).await, before.0), (before.clone(), "review"), "a refused release changed something");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_sent_again_with_too_little_of_its_life_keeps_its_old_link() {
    let clinic = clinic_with(panels("1", "", ", expiry_from = \"issued\"", "")).await;
    panel(&clinic, "1984-05-06", "LAB").await;
    let (sent, id) = (after(&clinic, 30).await, clinic.only_delivery().await.id);
    let again = clinic.desk().resend(&id, None).await;
    assert!(matches!(again, Err(DeskError::TooShort { hours: 12 })), "{again:?}");
    assert_eq!((after(&clinic, 0).await, sent.0), (sent.clone(), "live"), "a refused resend ended the link");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_before_a_laws_moment_counts_by_what_is_left_of_the_life_then() {
    for (expiry, is_refused) in [("80h", true), ("100h", false)] {
        let clinic = clinic_with(counted_from_issue(KENTUCKY, expiry)).await;
        panel(&clinic, "1984-05-06", GENETICS).await;
        let released = clinic.desk().release(&clinic.only_delivery().await.id, None).await;
        assert_eq!(released.is_err(), is_refused, "by the law's moment {expiry} are 72 hours less: {released:?}");
        let (state, mails, note) = after(&clinic, 73).await;
        assert_eq!((state, mails), if is_refused { ("review", 0) } else { ("live", 1) }, "{note}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ehr_adds_to_a_report_in_review_counts_when_a_person_releases_it() {
    let asks =
        "[[profile]]\nid = \"asks\"\nwhen = { code = \"loinc|24323-8\" }\nthen = { action = \"manual_review\" }\n";
    let talk = "[[restrict]]\nid = \"talk\"\nwhen = { recipient = \"patient\", category = \"v2-0074|GE\" }\nthen = { requires = \"discussed\" }\n";
    let clinic = clinic_with(panels("1", "", "", &format!("{asks}{talk}"))).await;
    let (_, report) = panel(&clinic, "1984-05-06", "LAB").await;
    assert_eq!(clinic.only_delivery().await.state, "review");
    clinic.lab().change("DiagnosticReport", &report, |report| report["category"] = category(GENETICS)).await;
    clinic.hear_and_settle().await;
    let id = clinic.only_delivery().await.id;
    clinic.desk().release(&id, None).await.unwrap();
    let (state, mails, note) = after(&clinic, 1).await;
    assert_eq!((state, mails), ("held", 0), "it left without the talk: {note}");
    assert!(note.contains("deliveries discussed"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_has_not_left_waits_for_the_talk_that_other_rules_ask_for() {
    let clinic = clinic_with(panels("1", "", "", "")).await;
    let staff = Staff::hire(&clinic.config_path);
    clinic.desk().pause("an incident").await.unwrap();
    panel(&clinic, "1984-05-06", "LAB").await;
    assert_eq!(clinic.only_delivery().await.notice, Some("queued"));
    staff.brings_into_force(&panels("2", "", TALK_FIRST, ""));
    clinic.settle().await;
    clinic.desk().resume().await.unwrap();
    let (state, mails, note) = after(&clinic, 1).await;
    assert_eq!((state, mails), ("review", 0), "{note}");
    clinic.desk().release(&clinic.only_delivery().await.id, None).await.unwrap();
    assert_eq!(after(&clinic, 1).await.0, "held", "it leaves without the talk");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_proxies_get_nothing_a_guardians_address_gets_nothing() {
    let nothing = "[[restrict]]\nid = \"no-proxy\"\nwhen = { recipient = \"proxy\" }\nthen = { action = \"block\" }\n";
    let clinic = clinic_with(panels("1", "", "", nothing)).await;
    let patient = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "2012-05-06", PARENT)).await;
    let mother = json!({
        "resourceType": "RelatedPerson", "patient": {"reference": format!("Patient/{patient}")}, "active": true,
        "telecom": [{"system": "email", "value": PARENT}],
    });
    clinic.lab().post(&mother).await;
    clinic.lab().post(&ehr::report(&patient, PANEL, &real_now(), &paper())).await;
    clinic.hear_and_settle().await;
    assert_eq!(clinic.mails_to(PARENT).len(), 0, "{}", clinic.only_delivery().await.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_ends_neither_a_laws_wait_nor_the_clinics_hold() {
    for (rules, of) in [
        (panels("1", KENTUCKY, TALK_FIRST, ""), GENETICS),
        (
            panels(
                "1",
                "",
                &format!("{TALK_FIRST}, release = \"auto\", hold = \"72h\", basis = \"clinic_policy\""),
                "",
            ),
            "LAB",
        ),
    ] {
        let clinic = clinic_with(rules).await;
        let staff = Staff::hire(&clinic.config_path);
        panel(&clinic, "1984-05-06", of).await;
        let id = clinic.only_delivery().await.id;
        staff.does(LEAD, &["deliveries", "discussed", &id]);
        let (state, mails, note) = after(&clinic, 1).await;
        assert_eq!((state, mails), ("held", 0), "the talk let it leave too soon: {note}");
        let (state, mails, note) = after(&clinic, 72).await;
        assert_eq!((state, mails), ("live", 1), "{note}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_after_the_back_stop_still_lets_the_report_leave() {
    let clinic =
        clinic_with(panels("1", "", &format!("{TALK_FIRST}, auto_release = \"3d\", backstop = \"escalate\""), ""))
            .await;
    let staff = Staff::hire(&clinic.config_path);
    panel(&clinic, "1984-05-06", "LAB").await;
    assert_eq!(after(&clinic, 73).await.0, "review");
    let id = clinic.only_delivery().await.id;
    let early = staff.says(LEAD, &["deliveries", "discussed", &id]);
    assert!(early.code == 1 && early.err.contains("release it first"), "{}", early.all());
    clinic.desk().release(&id, None).await.unwrap();
    let (state, _, note) = after(&clinic, 1).await;
    assert_eq!(state, "held", "it is back in review before anybody could record the talk: {note}");
    staff.does(LEAD, &["deliveries", "discussed", &id]);
    let (state, mails, note) = after(&clinic, 1).await;
    assert_eq!((state, mails), ("live", 1), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minors_changed_address_is_asked_about_once_and_then_a_persons_word_counts() {
    let clinic = clinic_with(panels("1", "", ", hold = \"1h\", basis = \"clinic_policy\"", "")).await;
    let (patient, _) = panel(&clinic, "2012-05-06", "LAB").await;
    assert_eq!(clinic.only_delivery().await.state, "held");
    clinic.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "2012-05-06", PARENT)).await;
    clinic.forward(Duration::from_mins(61));
    clinic.settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, clinic.mailbox.mails().len()), ("review", 0), "{}", brief.note);
    clinic.desk().release(&brief.id, None).await.unwrap();
    clinic.settle().await;
    let brief = clinic.only_delivery().await;
    assert_eq!((brief.state, clinic.mails_to(PARENT).len()), ("live", 1), "{}", brief.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minors_report_that_is_sent_again_asks_too_when_the_address_is_another() {
    for born in ["2012-05-06", ""] {
        let clinic = clinic_with(panels("1", "", "", "")).await;
        let patient = ehr::new_patient_id();
        let person = |email| {
            let mut patient = ehr::patient(&patient, "Garcia", "Ana", born, email);
            if born.is_empty() {
                patient.as_object_mut().unwrap().remove("birthDate");
            }
            patient
        };
        clinic.lab().update(&person(ANA)).await;
        clinic.lab().post(&ehr::report(&patient, PANEL, &real_now(), &paper())).await;
        clinic.hear_and_settle().await;
        assert_eq!(clinic.mails_to(ANA).len(), 1);
        let id = clinic.only_delivery().await.id;
        clinic.lab().update(&person(PARENT)).await;
        clinic.desk().resend(&id, None).await.unwrap();
        clinic.settle().await;
        assert_eq!(clinic.mails_to(PARENT).len(), 0, "born '{born}': it went to an address that nobody looked at");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_forbade_is_decided_anew_when_they_changed_and_the_ehr_announces_it() {
    let forbids = "[[restrict]]\nid = \"never\"\nwhen = { recipient = \"patient\", code = \"loinc|24323-8\" }\nthen = { action = \"block\" }\n";
    let clinic = clinic_with(panels("1", "", "", forbids)).await;
    let staff = Staff::hire(&clinic.config_path);
    let (_, report) = panel(&clinic, "1984-05-06", "LAB").await;
    assert_eq!(clinic.only_delivery().await.state, "blocked");
    let announced = format!("/DiagnosticReport/{report}");
    clinic.hook(Method::PUT, &announced, "").await;
    clinic.settle().await;
    assert_eq!((clinic.only_delivery().await.state, clinic.deliveries().await.len()), ("blocked", 1));
    let hash = staff.proposes(&panels("2", "", "", ""));
    staff.does(APPROVER, &["rules", "approve", &hash, "--accept-looser", "1"]);
    clinic.settle().await;
    clinic.forward(Duration::from_mins(1));
    clinic.hook(Method::PUT, &announced, "").await;
    clinic.settle().await;
    assert_eq!(clinic.mails_to(ANA).len(), 1, "the remedy that the words name does nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_that_staff_record_holds_what_waits_and_what_comes() {
    let wish = "[[restrict]]\nid = \"phone-first\"\nwhen = { recipient = \"patient\", preference = \"phone_first\" }\n\
                then = { release = \"manual\", auto_release = \"5d\" }\n";
    let clinic = clinic_with(panels("1", "", HELD_FOR_A_DAY, wish)).await;
    let (patient, _) = panel(&clinic, "1984-05-06", "LAB").await;
    assert_eq!(clinic.only_delivery().await.state, "held");
    let prefer = ["patients", "prefer", "lab", &patient, "phone_first", "--as", "Eve Admin"];
    assert_eq!(crate::support::program::run(&clinic.config_path, &prefer).code, 0);
    let (state, mails, note) = after(&clinic, 25).await;
    assert_eq!((state, mails), ("review", 0), "it left by itself although the patient asked for a call: {note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_releases_by_a_channel_that_a_row_forbids_which_may_apply() {
    let minors = "[[restrict]]\nid = \"minors\"\nwhen = { age = \"12..18\" }\nthen = { channel = \"sms\" }\n";
    for (channel, refused_at_once) in [("\"email\"", true), ("[\"email\", \"sms\"]", false)] {
        let clinic = clinic_with(panels("1", "", &format!(", channel = {channel}"), minors)).await;
        let patient = ehr::new_patient_id();
        let mut person = ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", ANA);
        person.as_object_mut().unwrap().remove("birthDate");
        clinic.lab().update(&person).await;
        clinic.lab().post(&ehr::report(&patient, PANEL, &real_now(), &paper())).await;
        clinic.hear_and_settle().await;
        let brief = clinic.only_delivery().await;
        assert_eq!(brief.state, "review", "{}", brief.note);
        let released = clinic.desk().release(&brief.id, None).await;
        let names_the_rows =
            matches!(&released, Err(DeskError::NoChannel { rules }) if rules.contains("minors (not known"));
        assert_eq!((names_the_rows, released.is_err()), (refused_at_once, refused_at_once), "{released:?}");
        let (state, mails, note) = after(&clinic, 1).await;
        assert_eq!((state, mails), ("review", 0), "it left by a channel that a row forbids: {note}");
    }
}
