//! Figures of the service as a whole: the released program as a process, with doubles of an EHR and a mail relay beside it
//! that answer faster than any real one, so that what is measured is ours.
//!
//! Must stay true: configuration goes through the configuration file alone, and each figure says what it changes.

#![allow(clippy::expect_used, reason = "a bench that meets the unexpected should end there and say so")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::missing_panics_doc, reason = "as above")]
#![allow(
    clippy::similar_names,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::duration_suboptimal_units,
    clippy::single_match_else,
    reason = "the tests' support"
)]

mod attachments;
mod ehr;
mod events;
mod house;
mod mails;
mod poll;
mod recalls;
mod sink;

#[path = "../measure/mod.rs"]
mod measure;
#[path = "../../tests/it/support/mod.rs"]
mod support;

use measure::Measure;
use support::clinic::Database;

fn main() {
    let Some(measure) = Measure::begin() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads can be started");
    for database in [Database::Sqlite, Database::Postgres] {
        if measure.wants(&format!("mails, {database:?}")) {
            mails::into_a_sink(&measure, &runtime, database);
        }
        if measure.wants(&format!("event to mail, {database:?}")) {
            runtime.block_on(events::to_mails(&measure, database));
        }
        if measure.wants(&format!("recalls, {database:?}")) {
            runtime.block_on(recalls::under_a_burst(&measure, database));
        }
    }
    if measure.wants("hooks") {
        runtime.block_on(events::acknowledged(&measure));
    }
    if measure.wants("attachments") {
        runtime.block_on(attachments::memory(&measure));
    }
    if measure.wants("poll") {
        runtime.block_on(poll::of_many(&measure));
    }
}
