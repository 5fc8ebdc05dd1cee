//! Which address a link goes to, and when a person must say it.

use serde_json::{Value, json};

use super::*;
use crate::base::{Contact, Region, UtcMillis};
use crate::policy::Channel;

fn now() -> UtcMillis {
    UtcMillis::parse_rfc3339("2026-11-21T12:00:00Z").unwrap()
}

fn patient(changes: &[(&str, Value)]) -> Patient {
    read_patient(stored(PATIENT, changes).to_string().as_bytes(), &base()).unwrap()
}

/// The choice as text: the address, `tie`, or the reason.
fn choice(changes: &[(&str, Value)]) -> String {
    by(Channel::Email, changes)
}

fn by(channel: Channel, changes: &[(&str, Value)]) -> String {
    match choose(&patient(changes), Region::parse("US").ok(), now()).by(channel) {
        ContactChoice::One { contact: Contact::Email(address), explanation, .. } => {
            assert!(!explanation.contains('@'));
            format!("{} ({explanation})", address.expose())
        }
        ContactChoice::One { contact: Contact::Phone(number), explanation, .. } => {
            assert!(!explanation.contains("555"));
            format!("{} ({explanation})", number.expose())
        }
        ContactChoice::Tie => "tie".to_owned(),
        ContactChoice::None { why } => {
            assert!(!why.contains('@'));
            why.clone()
        }
        ContactChoice::PatientUnusable { why } => (*why).to_owned(),
    }
}

fn emails(entries: Value) -> String {
    let mut entries = entries;
    for entry in entries.as_array_mut().unwrap() {
        entry["system"] = json!("email");
    }
    choice(&[("telecom", entries)])
}

#[test]
fn a_real_patient_reads_as_the_record_states() {
    let read = patient(&[(
        "communication",
        json!([{"language": {"coding": [{"code": "en"}]}}, {"language": {"coding": [{"code": "es"}]}, "preferred": true}]),
    )]);
    assert_eq!(read.birth_date.unwrap().to_string(), "1984-05-06");
    assert!(read.active && !read.deceased && read.replaced == Replacement::No);
    assert_eq!(read.language.as_deref(), Some("es"));
    assert_eq!(read.telecoms.len(), 2);
}

#[test]
fn the_lowest_rank_in_use_wins() {
    assert_eq!(choice(&[]), "ana@example.test (rank 1)");
    assert_eq!(
        emails(json!([
            {"value": "old@x.test", "use": "old", "rank": 1},
            {"value": "past@x.test", "period": {"end": "2026-11-20"}, "rank": 1},
            {"value": "past2@x.test", "period": {"end": "2025"}, "rank": 1},
            {"value": "next@x.test", "period": {"start": "2026-12"}, "rank": 1},
            {"value": "temp@x.test", "use": "temp", "rank": 1},
            {"value": "call me", "rank": 1},
            {"value": "third@x.test", "rank": 3},
            {"value": "second@x.test", "rank": 2},
            {"value": "unranked@x.test"},
        ])),
        "second@x.test (rank 2; 1 address is marked old, 1 address is not in use yet, 2 addresses are no longer in use, \
         1 address is marked temporary without dates, 1 address is not written as an e-mail address)"
    );
    assert_eq!(
        emails(
            json!([{"value": "temp@x.test", "use": "temp", "period": {"start": "2026-11-21", "end": "2026-11-21"}}])
        ),
        "temp@x.test (the only address in use)"
    );
}

#[test]
fn equally_good_addresses_are_a_tie_unless_they_are_one_mailbox() {
    assert_eq!(emails(json!([{"value": "a@x.test"}, {"value": "b@x.test"}])), "tie");
    assert_eq!(
        emails(json!([{"value": "a@x.test", "rank": 2}, {"value": "b@x.test", "rank": 2}, {"value": "c@x.test"}])),
        "tie"
    );
    assert_eq!(
        emails(json!([{"value": "Ana@X.test", "rank": 2}, {"value": "ana@x.TEST", "rank": 2}])),
        "Ana@x.test (rank 2)"
    );
    assert_eq!(
        emails(json!([{"value": "a@x.test"}, {"value": "b@x.test"}, {"value": "c@x.test", "rank": 1}])),
        "c@x.test (rank 1)"
    );
}

#[test]
fn a_number_that_takes_texts_comes_first_and_ranks_decide_among_those() {
    let phones = |entries: Value| by(Channel::Sms, &[("telecom", entries)]);
    assert_eq!(
        phones(json!([
            {"system": "phone", "value": "(202) 555-0101", "use": "home", "rank": 1},
            {"system": "phone", "value": "(202) 555-0102", "use": "mobile"},
            {"system": "phone", "value": "(202) 555-0103", "use": "old"},
            {"system": "phone", "value": "202 555 0104", "use": "mobile", "period": {"end": "2026-01"}},
            {"system": "phone", "value": "1-800-FLOWERS", "use": "mobile"},
            {"system": "phone", "value": "900 234 5678", "use": "mobile"},
        ])),
        "+12025550102 (the only number in use; 1 number is marked old, 1 number is no longer in use, 1 number is written with \
         letters or an extension, 1 number is of a premium service)"
    );
    assert_eq!(
        phones(json!([
            {"system": "sms", "value": "+12025550101", "rank": 2},
            {"system": "phone", "value": "+12025550102", "use": "mobile", "rank": 1},
        ])),
        "+12025550102 (rank 1)"
    );
    assert_eq!(phones(json!([{"system": "phone", "value": "202-555-0101"}])), "+12025550101 (the only number in use)");
    assert_eq!(
        phones(json!([
            {"system": "sms", "value": "+1 202 555 0101"},
            {"system": "phone", "value": "(202) 555-0101", "use": "mobile"},
        ])),
        "+12025550101 (the only number in use)",
        "one number that is written twice"
    );
    let two = json!([{"system": "sms", "value": "+12025550101"}, {"system": "sms", "value": "+12025550102"}]);
    assert_eq!(phones(two), "tie");
    assert_eq!(phones(json!([{"system": "phone", "value": "+49 30 123456"}])), "1 number is of a landline");
    assert_eq!(phones(json!([{"system": "email", "value": "a@x.test"}])), "there is no phone entry");
}

#[test]
fn ranks_say_which_channel_a_patient_likes_better() {
    let order = |phone: Value, email: Value| {
        let entries = json!([
            {"system": "sms", "value": "+12025550101", "rank": phone},
            {"system": "email", "value": "a@x.test", "rank": email},
        ]);
        choose(&patient(&[("telecom", entries)]), None, now()).order()
    };
    let (texts, mail) = ([Channel::Sms, Channel::Email], [Channel::Email, Channel::Sms]);
    assert_eq!(order(json!(1), json!(2)), texts);
    assert_eq!(order(json!(1), json!(null)), texts);
    assert_eq!(order(json!(2), json!(1)), mail);
    assert_eq!(order(json!(1), json!(1)), mail);
    assert_eq!(order(json!(null), json!(null)), mail);
}

#[test]
fn nobody_is_written_to_on_a_guess() {
    assert_eq!(choice(&[("telecom", json!([]))]), "there is no e-mail entry");
    assert_eq!(
        choice(&[("telecom", json!([{"system": "phone", "value": "a@x.test"}, {"value": "b@x.test"}]))]),
        "there is no e-mail entry"
    );
    assert_eq!(
        choice(&[
            ("telecom", json!(null)),
            ("contact", json!([{"telecom": [{"system": "email", "value": "mum@x.test"}]}]))
        ]),
        "there is no e-mail entry"
    );
    assert_eq!(emails(json!([{"value": "a@x.test", "use": "old"}])), "1 address is marked old");
}

#[test]
fn a_record_out_of_force_is_unusable() {
    for (changes, why) in [
        (("deceasedBoolean", json!(true)), "it is marked deceased"),
        (("deceasedDateTime", json!("2026-01")), "it is marked deceased"),
        (("active", json!(false)), "it is marked inactive"),
        (
            ("link", json!([{"type": "replaced-by", "other": {"reference": "Patient/new"}}])),
            "it was replaced by another record",
        ),
        (
            ("link", json!([{"type": "replaced-by", "other": {"identifier": {"value": "1"}}}])),
            "it was replaced by a record that cannot be read",
        ),
        (
            ("modifierExtension", json!([{"url": "http://x.test/a"}])),
            "it uses an element that changes its meaning and that is not understood",
        ),
    ] {
        assert_eq!(choice(&[changes]), why);
    }
    for (changes, chosen) in [
        (("deceasedBoolean", json!(false)), "ana@example.test (rank 1)"),
        (("link", json!([{"type": "seealso", "other": {"reference": "Patient/new"}}])), "ana@example.test (rank 1)"),
    ] {
        assert_eq!(choice(&[changes]), chosen);
    }
}
