//! Who is not to know of a report cannot tell that there is one: a world with it and a world without look the same to them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::clinic::{Clinic, Wishes, real_now};
use crate::support::holder::Holder;
use crate::support::mailbox::Mail;
use crate::support::{ehr, pdf};

const MUM: &str = "mum@example.test";
/// May go to a guardian.
const CBC: &str = "58410-2";
/// May not.
const HIV: &str = "56888-1";

const RULES: &str = r#"
[policy]
id = "test"
version = "1"

[[profile]]
id = "of-one-day"
when = { recipient = ["patient", "proxy"], code = ["loinc|58410-2", "loinc|56888-1"] }
then = { action = "send", expiry = "72h", opens = 3, wording = "generic", group_by = "day", wait = "2h" }

[[restrict]]
id = "minor-no-proxy"
when = { recipient = "proxy", age = "12..18", set = "HIV" }
then = { action = "block" }
"#;

/// What a guardian can see of one world.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Each message without what differs between any two: sender, subject, text, and how long after the report it came.
    mails: Vec<(String, String, String, String, u32)>,
    /// What each link says of itself, and its files with their types and sizes.
    links: Vec<(String, Vec<(u16, String, u64)>)>,
}

/// What the lab files of the teenager, in this order.
async fn world(codes: &[&str]) -> (Seen, Vec<&'static str>) {
    let clinic = Clinic::spawn(Wishes { rules: RULES.to_owned(), ..Wishes::default() }).await;
    let teen = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&teen, "Garcia", "Lena", "2012-05-06", MUM)).await;
    let mother = json!({"resourceType": "RelatedPerson", "active": true, "patient": {"reference": format!("Patient/{teen}")},
        "telecom": [{"system": "email", "value": MUM}]});
    clinic.lab().post(&mother).await;
    let own = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&own, "Garcia", "Rosa", "1980-05-06", MUM)).await;
    for code in codes {
        let paper = pdf::with_pages(&[&format!("a result for {code}")]);
        clinic.lab().post(&ehr::report(&teen, code, &real_now(), &paper)).await;
    }
    // The mother's own report comes as ever.
    clinic.lab().post(&ehr::report(&own, CBC, &real_now(), &pdf::with_pages(&["her own result"]))).await;
    let mut came = Vec::new();
    for round in 0..16 {
        clinic.forward(Duration::from_mins(15));
        clinic.settle().await;
        let mails = clinic.mails_to(MUM).len();
        came.resize(mails, round);
    }
    let mails = clinic.mails_to(MUM);
    let mut links = Vec::new();
    for mail in &mails {
        let mut holder = Holder::new(&mail.link());
        let before = holder.look().await.says();
        let granted = holder.open().await.granted();
        let files = granted.files.iter().map(|file| (file.number, file.media.to_string(), file.plain_bytes));
        links.push((before, files.collect()));
    }
    let mut seen = Seen { mails: mails.iter().zip(came).map(|(mail, round)| plain(mail, round)).collect(), links };
    seen.mails.sort();
    seen.links.sort();
    let states = clinic.deliveries().await.iter().map(|brief| brief.state).collect();
    (seen, states)
}

/// A message without its link, reference and times.
fn plain(mail: &Mail, round: u32) -> (String, String, String, String, u32) {
    let link = mail.link();
    let without = |text: &str| {
        let text = text.replace(&link, "LINK");
        let lines = text.lines().filter(|line| !line.to_lowercase().contains("reference"));
        let lines = lines.map(|line| line.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
        lines.collect::<Vec<_>>().join("\n")
    };
    (mail.envelope_from.clone(), mail.subject.clone(), without(&mail.text), without(&mail.html), round)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_who_may_not_know_of_a_report_sees_a_world_in_which_there_is_none() {
    let (without, states) = world(&[CBC]).await;
    assert_eq!((without.mails.len(), states.len()), (2, 2), "the world without it: {without:?}");
    for order in [[HIV, CBC], [CBC, HIV]] {
        let (with, states) = world(&order).await;
        assert!(states.contains(&"blocked"), "{states:?}");
        assert_eq!(with, without, "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_who_may_not_know_of_the_only_report_hears_nothing_at_all() {
    let (none, _) = world(&[]).await;
    let (only, states) = world(&[HIV]).await;
    assert!(states.contains(&"blocked"), "{states:?}");
    assert_eq!(only, none);
}

/// The sensitive report asks for care from the moment it is there; a person who mends the address may release nothing either.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_blocked_for_a_guardian_stays_so_whoever_releases_it_and_leaves_no_file() {
    let clinic = Clinic::spawn(Wishes { rules: RULES.to_owned(), ..Wishes::default() }).await;
    let teen = ehr::new_patient_id();
    clinic.lab().update(&ehr::patient(&teen, "Garcia", "Lena", "2012-05-06", MUM)).await;
    let mother: Value = json!({"resourceType": "RelatedPerson", "patient": {"reference": format!("Patient/{teen}")},
        "telecom": [{"system": "email", "value": MUM.to_uppercase()}]});
    clinic.lab().post(&mother).await;
    let report = clinic.lab().post(&ehr::report(&teen, HIV, &real_now(), &pdf::with_pages(&["x"]))).await;
    clinic.hear_and_settle().await;
    let brief = clinic.delivery_of(&report).await;
    assert_eq!(brief.state, "blocked", "{}", brief.note);
    clinic.desk().release(&brief.id, None).await.unwrap_err();
    clinic.desk().resend(&brief.id, None).await.unwrap_err();
    clinic.hear_and_settle().await;
    assert_eq!((clinic.mailbox.mails().len(), clinic.blobs().len()), (0, 0));
}
