//! The rules as a clinic meets them.

mod basis;
mod behaviours;
mod calendar;
mod codes;
mod compare;
mod contacts;
mod decisions;
mod explained;
mod faults;
pub(in crate::policy) mod generate;
mod laws;
mod life;
mod lint;
mod mutation;
mod needless;
mod page;
mod properties;
mod sets;
mod starter;
mod starters;
mod value_sets;
mod vary;

use std::time::Duration;

use crate::base::{ClinicId, ResourceType, UtcMillis};
use crate::policy::facts::{Coding, Facts, RecipientRole, ReportStatus};
use crate::policy::{Decided, Moment, RuleSet, decide};

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);
const AT: Moment = Moment::utc(NOW);
const HEADER: &str = "[policy]\nid = \"test\"\nversion = \"1\"\n";

/// The processor time of this thread so far. Unlike the clock on the wall it stands still while others have the processor.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // proc(5): behind the name in parentheses, fields 14 and 15 are user and system time in hundredths of a second.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn rules(body: &str) -> RuleSet {
    RuleSet::parse(&format!("{HEADER}{body}")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn profile(id: &str, over: &str, when: &str, then: &str) -> String {
    format!("[[profile]]\nid = \"{id}\"\nover = [{over}]\nwhen = {{ {when} }}\nthen = {{ {then} }}\n")
        .replace("over = []\n", "")
}

fn coding(text: &str) -> Coding {
    match text.split_once('|') {
        Some((system, code)) => Coding { system: Some(system.into()), code: code.into() },
        None => Coding { system: None, code: text.into() },
    }
}

/// A final report with these codes and categories, each `system|code` or bare.
fn report(codes: &[&str], categories: &[&str]) -> Facts {
    Facts {
        recipient: RecipientRole::Patient,
        clinic: Some(ClinicId::parse("main").unwrap()),
        kind: ResourceType::DiagnosticReport,
        status: ReportStatus::Final,
        codes: codes.iter().map(|code| coding(code)).collect(),
        categories: categories.iter().map(|category| coding(category)).collect(),
        issued: Some(NOW),
        ..Facts::bare(ResourceType::DiagnosticReport, ReportStatus::Final)
    }
}

fn decided(body: &str, facts: &Facts) -> Decided {
    decide(&rules(body), facts, AT)
}
