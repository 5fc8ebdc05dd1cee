//! Figures of the real program over HTTP: reports stored and opened, and what a growing number of links costs.

#![allow(clippy::expect_used, reason = "a bench that meets the unexpected should end there and say so")]
#![allow(clippy::indexing_slicing, clippy::panic, clippy::missing_panics_doc, clippy::unwrap_used, reason = "as above")]

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
