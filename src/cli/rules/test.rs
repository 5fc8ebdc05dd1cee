//! `chartseal rules test FILE`

use std::path::PathBuf;

use clap::Args;

use super::files::RulesText;
use crate::cli::Outcome;
use crate::cli::print::{Print, count};
use crate::policy::cases::{self, Ran};
use crate::policy::lint::{self, OwnRow};

#[derive(Args)]
pub(in crate::cli) struct TestArgs {
    /// The rules file.
    file: PathBuf,
    /// The folder with code sets that the rules name: CSV tables and FHIR value sets.
    #[arg(long, value_name = "DIR")]
    sets: Option<PathBuf>,
}

pub(super) fn run(args: &TestArgs, print: Print) -> anyhow::Result<Outcome> {
    let rules = RulesText::read(&args.file, args.sets.as_deref())?.compile(&args.file)?;
    let ran = cases::run_all(&rules);
    let uncovered = lint::untested(&rules);
    let failed = ran.iter().filter(|test| !test.misses.is_empty()).count();
    let value = serde_json::json!({
        "rules_hash": rules.rules_hash_hex(),
        "passed": ran.len() - failed, "failed": failed,
        "tests": ran.iter().map(value_of).collect::<Vec<_>>(),
        "uncovered": uncovered.iter().map(row_of).collect::<Vec<_>>(),
    });
    print.done(&in_words(&ran, failed, &uncovered), &value);
    Ok(if failed == 0 { Outcome::Done } else { Outcome::No })
}

fn value_of(test: &Ran) -> serde_json::Value {
    serde_json::json!({
        "name": test.name, "line": test.line, "passed": test.misses.is_empty(), "misses": test.misses,
    })
}

fn row_of(row: &OwnRow) -> serde_json::Value {
    serde_json::json!({ "layer": row.section(), "id": row.id, "line": row.spot.line })
}

fn in_words(ran: &[Ran], failed: usize, uncovered: &[OwnRow]) -> String {
    let mut lines = Vec::new();
    for test in ran {
        let verdict = if test.misses.is_empty() { "passed" } else { "FAILED" };
        lines.push(format!("{verdict}  line {}: {}", test.line, test.name));
        for miss in &test.misses {
            let (expected, got) = (shown(&miss.expected), shown(&miss.got));
            lines.push(format!("        {}: expected {expected}, got {got}", miss.what));
        }
    }
    lines.push(match (ran.len(), failed) {
        (0, _) => "There are no tests: add a [[test]] for each kind of report that the clinic has.".to_owned(),
        (all, 0) => format!("{} passed.", count(all, "test")),
        (all, failed) => format!("{failed} of {} failed.", count(all, "test")),
    });
    if uncovered.is_empty() {
        lines.push("Every row is covered: without it some test would come out otherwise.".to_owned());
    } else {
        lines.push(format!(
            "No test comes out otherwise without {}; add a [[test]] for each:",
            count(uncovered.len(), "row")
        ));
        lines.extend(uncovered.iter().map(|row| format!("  line {}: {} '{}'", row.spot.line, row.section(), row.id)));
    }
    lines.join("\n")
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}
