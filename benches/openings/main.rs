//! Figures of the real program over HTTP: reports stored and opened, and what a growing number of links costs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::similar_names,
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::duration_suboptimal_units,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::single_match_else,
    reason = "a bench that meets the unexpected should end there and say so; it shares the tests' support"
)]

#[path = "../ground/mod.rs"]
mod ground;
mod growth;
#[path = "../measure/mod.rs"]
mod measure;
mod pairs;
#[path = "../../tests/it/support/mod.rs"]
mod support;

use measure::Measure;
use support::clinic::Database;

fn main() {
    let Some(measure) = Measure::begin() else { return };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    if measure.wants("store and open") {
        pairs::measure(&measure, &runtime);
    }
    for database in [Database::Sqlite, Database::Postgres] {
        if measure.wants(&format!("growth on {database:?}")) {
            growth::measure(&measure, &runtime, database);
        }
    }
}
