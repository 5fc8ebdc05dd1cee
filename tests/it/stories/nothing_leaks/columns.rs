//! Every column of the database, with what it may hold. A new column fails the test until somebody has thought about it.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::place::Place;
use crate::support::planted::{self, Planted};

use Class::{Code, Pseudonymous, Quiet, Sealed};

/// What a column may hold of patients.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing: ids, times, states and reasons of our own.
    Quiet,
    /// What tells one patient or report from another without saying who or what: keyed indexes, ids of resources.
    Pseudonymous,
    /// What the rules look at: codes, categories, status. No name, no display, no content.
    Code,
    /// Ciphertext.
    Sealed,
}

const COLUMNS: &[(&str, &[(&str, Class)])] = &[
    ("__diesel_schema_migrations", &[("version", Quiet), ("run_on", Quiet)]),
    ("sqlite_sequence", &[("name", Quiet), ("seq", Quiet)]),
    ("control", &[("name", Quiet), ("value", Quiet), ("set_at", Quiet), ("set_by", Quiet)]),
    (
        "key_mark",
        &[("kind", Quiet), ("name", Quiet), ("fingerprint", Quiet), ("made_at", Quiet), ("destroyed_at", Quiet)],
    ),
    (
        "audit_line",
        &[
            ("n", Quiet),
            ("chain", Quiet),
            ("seq", Quiet),
            ("at", Quiet),
            ("clinic", Quiet),
            ("body", Pseudonymous),
            ("prev", Quiet),
            ("hash", Quiet),
        ],
    ),
    (
        "event",
        &[
            ("id", Quiet),
            ("ehr", Quiet),
            ("received_at", Quiet),
            ("state", Quiet),
            ("method", Quiet),
            ("path_kind", Quiet),
            ("path_id", Pseudonymous),
            ("sha256", Pseudonymous),
            ("body_bytes", Quiet),
            ("body_sealed", Sealed),
            ("body_key", Quiet),
            ("due_at", Quiet),
            ("lease_until", Quiet),
            ("tries", Quiet),
            ("why", Quiet),
            ("lease_holder", Quiet),
        ],
    ),
    (
        "source",
        &[
            ("id", Quiet),
            ("ehr", Quiet),
            ("kind", Quiet),
            ("resource_id", Pseudonymous),
            ("clinic", Quiet),
            ("heard_at", Quiet),
            ("heard_count", Quiet),
            ("heard_version", Quiet),
            ("due_at", Quiet),
            ("lease_until", Quiet),
            ("tries", Quiet),
            ("read_at", Quiet),
            ("read_version", Quiet),
            ("status", Code),
            ("content_hash", Pseudonymous),
            ("subject_index", Pseudonymous),
            ("gone_at", Quiet),
            ("why", Quiet),
            ("lease_holder", Quiet),
            ("urgent_at", Quiet),
            ("backfilled_at", Quiet),
        ],
    ),
    (
        "write_back",
        &[
            ("id", Quiet),
            ("ehr", Quiet),
            ("delivery_id", Quiet),
            ("link_id", Quiet),
            ("fact", Quiet),
            ("resource", Quiet),
            ("at", Quiet),
            ("about", Pseudonymous),
            ("state", Quiet),
            ("due_at", Quiet),
            ("lease_until", Quiet),
            ("lease_holder", Quiet),
            ("tries", Quiet),
            ("over_at", Quiet),
            ("remote_id", Quiet),
            ("ended_at", Quiet),
            ("why", Quiet),
        ],
    ),
    ("paper", &[("delivery_id", Quiet), ("paper_index", Pseudonymous)]),
    ("paper_doubt", &[("delivery_id", Quiet), ("file_index", Pseudonymous), ("released_at", Quiet)]),
    (
        "likeness",
        &[
            ("mark", Pseudonymous),
            ("source_id", Quiet),
            ("kind", Quiet),
            ("content_hash", Pseudonymous),
            ("noted_at", Quiet),
        ],
    ),
    (
        "twin",
        &[
            ("source_id", Quiet),
            ("family", Quiet),
            ("decision", Quiet),
            ("trace", Code),
            ("rules_hash", Quiet),
            ("noted_at", Quiet),
        ],
    ),
    ("replacement", &[("ehr", Quiet), ("resource_id", Pseudonymous), ("by_source", Quiet)]),
    (
        "delivery",
        &[
            ("id", Quiet),
            ("source_id", Quiet),
            ("ehr", Quiet),
            ("clinic", Quiet),
            ("report_version", Quiet),
            ("content_hash", Pseudonymous),
            ("recipient", Quiet),
            ("issue_no", Quiet),
            ("mode", Quiet),
            ("kind", Quiet),
            ("row_version", Quiet),
            ("state", Quiet),
            ("state_detail", Quiet),
            ("state_at", Quiet),
            ("due_at", Quiet),
            ("lease_until", Quiet),
            ("tries", Quiet),
            ("decision", Quiet),
            ("facts", Code),
            ("trace", Code),
            ("rules_hash", Quiet),
            ("card_sealed", Sealed),
            ("contact_index", Pseudonymous),
            ("patient_index", Pseudonymous),
            ("link_id", Quiet),
            ("replaces", Quiet),
            ("created_at", Quiet),
            ("breaker_passed_at", Quiet),
            ("lease_holder", Quiet),
            ("kept_at", Quiet),
            ("group_index", Pseudonymous),
        ],
    ),
    (
        "link",
        &[
            ("id", Quiet),
            ("delivery_id", Quiet),
            ("reference", Quiet),
            ("report_version", Quiet),
            ("created_at", Quiet),
            ("life_seconds", Quiet),
            ("expires_at", Quiet),
            ("opens_max", Quiet),
            ("opened", Quiet),
            ("share_wrapped", Sealed),
            ("epoch", Quiet),
            ("auth_sealed", Sealed),
            ("receipt_sealed", Sealed),
            ("ended_at", Quiet),
            ("shredded_at", Quiet),
            ("files_removed_at", Quiet),
        ],
    ),
    ("former_link", &[("delivery_id", Quiet), ("link_id", Quiet)]),
    (
        "sealed_file",
        &[
            ("link_id", Quiet),
            ("number", Quiet),
            ("blob", Quiet),
            ("media", Quiet),
            ("plain_bytes", Quiet),
            ("sealed_bytes", Quiet),
            ("plain_index", Pseudonymous),
            ("delivery_id", Quiet),
            ("report_version", Quiet),
        ],
    ),
    (
        "opening",
        &[
            ("id", Quiet),
            ("link_id", Quiet),
            ("cookie_hash", Pseudonymous),
            ("state", Quiet),
            ("begun_at", Quiet),
            ("claimed_at", Quiet),
            ("lease_until", Quiet),
            ("ended_at", Quiet),
        ],
    ),
    (
        "notice",
        &[
            ("id", Quiet),
            ("delivery_id", Quiet),
            ("link_id", Quiet),
            ("kind", Quiet),
            ("channel", Quiet),
            ("state", Quiet),
            ("due_at", Quiet),
            ("lease_until", Quiet),
            ("attempts", Quiet),
            ("ambiguous", Quiet),
            ("created_at", Quiet),
            ("first_attempt_at", Quiet),
            ("ended_at", Quiet),
            ("secret_sealed", Sealed),
            ("secret_key", Quiet),
            ("why", Quiet),
            ("lease_holder", Quiet),
        ],
    ),
    (
        "patient",
        &[("patient_index", Pseudonymous), ("key_sealed", Sealed), ("created_at", Quiet), ("forgotten_at", Quiet)],
    ),
    (
        "contact",
        &[
            ("clinic", Quiet),
            ("patient_index", Pseudonymous),
            ("contact_index", Pseudonymous),
            ("state", Quiet),
            ("state_at", Quiet),
            ("set_by", Quiet),
            ("delivery_id", Quiet),
        ],
    ),
    ("preference", &[("patient_index", Pseudonymous), ("word", Quiet), ("set_at", Quiet), ("set_by", Quiet)]),
    (
        "poll",
        &[
            ("ehr", Quiet),
            ("kind", Quiet),
            ("started_at", Quiet),
            ("watermark", Quiet),
            ("next_at", Quiet),
            ("lease_until", Quiet),
            ("last_ok_at", Quiet),
            ("why", Quiet),
            ("search_from", Quiet),
            ("clock_off_ms", Quiet),
            ("lease_holder", Quiet),
        ],
    ),
    (
        "subscription",
        &[
            ("ehr", Quiet),
            ("kind", Quiet),
            ("remote_id", Quiet),
            ("status", Quiet),
            ("next_at", Quiet),
            ("lease_until", Quiet),
            ("tries", Quiet),
            ("why", Quiet),
            ("lease_holder", Quiet),
        ],
    ),
    (
        "signing_key",
        &[
            ("kid", Quiet),
            ("algorithm", Quiet),
            ("turn", Quiet),
            ("jwk", Quiet),
            ("key_sealed", Sealed),
            ("made_at", Quiet),
            ("signs_since", Quiet),
            ("ends_at", Quiet),
        ],
    ),
    (
        "look",
        &[
            ("ehr", Quiet),
            ("what", Quiet),
            ("watermark", Quiet),
            ("next_at", Quiet),
            ("lease_until", Quiet),
            ("lease_holder", Quiet),
            ("last_ok_at", Quiet),
            ("offered", Quiet),
            ("why", Quiet),
        ],
    ),
    (
        "panel_patient",
        &[
            ("ehr", Quiet),
            ("kind", Quiet),
            ("patient_index", Pseudonymous),
            ("id_sealed", Sealed),
            ("watermark", Quiet),
            ("next_at", Quiet),
            ("listed_at", Quiet),
            ("dated_at", Quiet),
            ("why", Quiet),
        ],
    ),
    (
        "past_search",
        &[
            ("ehr", Quiet),
            ("what", Quiet),
            ("state", Quiet),
            ("since_at", Quiet),
            ("until_at", Quiet),
            ("kind", Quiet),
            ("reached_at", Quiet),
            ("patient_index", Pseudonymous),
            ("seen", Quiet),
            ("heard", Quiet),
            ("asked_by", Quiet),
            ("asked_at", Quiet),
            ("next_at", Quiet),
            ("lease_until", Quiet),
            ("lease_holder", Quiet),
            ("ended_at", Quiet),
            ("why", Quiet),
            ("left_out", Quiet),
        ],
    ),
    (
        "topic",
        &[
            ("ehr", Quiet),
            ("remote_id", Quiet),
            ("status", Quiet),
            ("terms", Quiet),
            ("next_at", Quiet),
            ("lease_until", Quiet),
            ("lease_holder", Quiet),
            ("tries", Quiet),
            ("why", Quiet),
            ("asked_at", Quiet),
            ("heard_at", Quiet),
            ("beat_at", Quiet),
            ("numbered", Quiet),
            ("highest", Quiet),
        ],
    ),
    ("event_gap", &[("ehr", Quiet), ("first_number", Quiet), ("last_number", Quiet), ("due_at", Quiet)]),
    (
        "operator",
        &[
            ("name", Quiet),
            ("role", Quiet),
            ("key_mac", Quiet),
            ("key_made_at", Quiet),
            ("added_at", Quiet),
            ("added_by", Quiet),
            ("ended_at", Quiet),
            ("ended_by", Quiet),
            ("recovered_at", Quiet),
        ],
    ),
    (
        "rules_version",
        &[
            ("hash", Quiet),
            ("rules_id", Quiet),
            ("version", Quiet),
            ("bundle", Quiet),
            ("author", Quiet),
            ("proposed_at", Quiet),
            ("note", Quiet),
            ("state", Quiet),
            ("approver", Quiet),
            ("approved_at", Quiet),
        ],
    ),
    (
        "rules_activation",
        &[
            ("n", Quiet),
            ("hash", Quiet),
            ("effective_at", Quiet),
            ("made_at", Quiet),
            ("made_by", Quiet),
            ("kind", Quiet),
        ],
    ),
    (
        "rules_redecision",
        &[
            ("delivery_id", Quiet),
            ("rules_hash", Quiet),
            ("verdict", Quiet),
            ("decision", Code),
            ("trace", Code),
            ("state_detail", Quiet),
            ("noted_at", Quiet),
        ],
    ),
    (
        "incident",
        &[
            ("n", Quiet),
            ("why", Quiet),
            ("criteria", Quiet),
            ("proposed_by", Quiet),
            ("proposed_at", Quiet),
            ("approved_by", Quiet),
            ("approved_at", Quiet),
            ("ended_at", Quiet),
        ],
    ),
    (
        "incident_delivery",
        &[
            ("incident", Quiet),
            ("delivery_id", Quiet),
            ("state_before", Quiet),
            ("outcome", Quiet),
            ("opened", Quiet),
            ("settled_at", Quiet),
        ],
    ),
];

/// # Panics
/// When a column holds what its class forbids, by the column's name.
pub fn assert_classes_hold(rows: &BTreeMap<String, Vec<Vec<u8>>>, everything: &[Planted], everywhere: &[Planted]) {
    assert_all_are_listed(rows.keys().map(String::as_str));
    let filled = ["delivery.card_sealed", "delivery.facts", "audit_line.body", "event.why", "notice.why", "poll.why"];
    for column in filled {
        assert!(rows[column].iter().any(|value| !value.is_empty()), "the story left {column} empty");
    }
    for (table, columns) in COLUMNS {
        for (column, class) in *columns {
            let name = format!("{table}.{column}");
            let forbidden = match class {
                Quiet | Pseudonymous | Sealed => everywhere,
                Code => everything,
            };
            for value in rows.get(&name).into_iter().flatten() {
                planted::assert_absent(&name, value, forbidden);
            }
        }
    }
}

fn assert_all_are_listed<'a>(found: impl Iterator<Item = &'a str>) {
    let listed: BTreeSet<String> = COLUMNS
        .iter()
        .flat_map(|(table, columns)| columns.iter().map(move |(column, _)| format!("{table}.{column}")))
        .collect();
    let found: BTreeSet<String> = found.map(str::to_owned).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(unlisted.is_empty(), "say in this file what these columns may hold of patients: {unlisted:?}");
    assert!(gone.is_empty(), "these columns are listed and do not exist: {gone:?}");
}

#[test]
fn every_column_says_what_it_may_hold_of_patients() {
    let folder = Place::new("columns");
    let path = folder.join("chartseal.db");
    chartseal::store::Store::migrate(&format!("sqlite:{}", path.display())).unwrap();
    assert_all_are_listed(super::dump(&path).keys().map(String::as_str));
}

#[test]
fn what_is_sealed_is_named_so() {
    for (table, columns) in COLUMNS {
        for (column, class) in *columns {
            let named = column.ends_with("_sealed") || column.ends_with("_wrapped");
            assert_eq!(*class == Sealed, named, "{table}.{column}");
        }
    }
}
