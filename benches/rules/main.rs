//! Figures of the rules: deciding from ready facts, from stored facts and from a report's bytes, reading a large file, and a
//! dry-run. One core, no database, no EHR.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a bench that meets the unexpected should end there and say so"
)]

#[path = "../measure/mod.rs"]
mod measure;
mod world;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use chartseal::base::UtcMillis;
use chartseal::fhir::{ServiceBase, read_report};
use chartseal::policy::compare::changes;
use chartseal::policy::judge::Ready;
use chartseal::policy::lint::lint;
use chartseal::policy::{Facts, Moment, RuleSet, decide, decide_for_the_record};
use measure::{Figure, Goal, Measure, millis, number, percentile, process, timed};

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);
const AT: Moment = Moment::utc(NOW);
/// One of the contract's example and more like it.
const CLINIC: (usize, usize) = (200, 3_750);
/// The largest that the contract speaks of.
const LARGE: (usize, usize) = (1_000, 10_000);
const BY_CORE: &str = "by the time the thread had a core";

fn main() {
    let Some(measure) = Measure::begin() else { return };
    let (clinic, large) = (world::policy(CLINIC), world::policy(LARGE));
    let rules = RuleSet::parse(&clinic).unwrap_or_else(|errors| panic!("{errors}"));
    let big = RuleSet::parse(&large).unwrap_or_else(|errors| panic!("{errors}"));
    let facts = world::facts();
    if measure.wants("decisions") {
        decisions(&measure, &rules, &facts);
    }
    if measure.wants("decision, p99") {
        slowest(&measure, &big, &facts);
    }
    if measure.wants("reading rules") {
        reading(&measure, &large);
    }
    if measure.wants("dry-run") {
        dry_run(&measure, &rules, &clinic, &facts);
    }
}

fn decisions(measure: &Measure, rules: &RuleSet, facts: &[Facts]) {
    let ready: Vec<Ready> = facts.iter().map(|facts| rules.ready(facts)).collect();
    let times = measure.count(100, 10_000);
    let shape = format!("{} rows, {} codes", CLINIC.0, CLINIC.1);
    let rate = measure.repeat(|| per_second(times, &ready, |ready| rules.judge(ready, NOW)));
    Figure::new("decisions from ready facts, without trace, one core", "per s", rate)
        .goal(Goal::AtLeast(1e6))
        .note(format!("{shape}; {BY_CORE}"))
        .tell();

    let times = measure.count(10, 1_000);
    let rate = measure.repeat(|| per_second(times, facts, |facts| decide_for_the_record(rules, facts, AT)));
    Figure::new("decisions with the trace that is kept, one core", "per s", rate)
        .goal(Goal::AtLeast(1e5))
        .note(format!("{shape}; from stored facts: rows that match or may, columns worth telling, schedule; {BY_CORE}"))
        .tell();
    let rate = measure.repeat(|| per_second(times, facts, |facts| decide(rules, facts, AT)));
    Figure::new("decisions with every row explained, one core", "per s", rate)
        .note(format!("{shape}; what `rules explain` tells; {BY_CORE}"))
        .tell();

    let base = ServiceBase::new("https://ehr.example/fhir".parse().unwrap()).unwrap();
    let body = world::REPORT.as_bytes();
    let decide_bytes = |body: &&[u8]| {
        let report = read_report(chartseal::base::ResourceType::DiagnosticReport, body, &base).expect("a report");
        rules.judge(&rules.ready(&world::facts_of(report)), NOW)
    };
    let bodies = [body; 16];
    let rate = measure.repeat(|| per_second(times, &bodies, decide_bytes));
    Figure::new("decisions from a report's bytes, one core", "per s", rate)
        .goal(Goal::AtLeast(5e4))
        .note(format!(
            "{shape}; a blood count of {} bytes after US Core, its members and order not read; {BY_CORE}",
            body.len()
        ))
        .tell();
    let rate = measure.repeat(|| {
        per_second(times, &bodies, |body| {
            read_report(chartseal::base::ResourceType::DiagnosticReport, body, &base).is_ok()
        })
    });
    Figure::new("the same bytes read as a report", "per s", rate)
        .note(format!("JSON, projection, fhirbolt's element, hash, evidence; {BY_CORE}"))
        .tell();
    let rate = measure.repeat(|| per_second(times, &bodies, |body| serde_json::from_slice::<serde_json::Value>(body)));
    Figure::new("the same bytes by serde_json alone", "per s", rate).note(BY_CORE).tell();
}

fn slowest(measure: &Measure, big: &RuleSet, facts: &[Facts]) {
    let ready: Vec<Ready> = facts.iter().map(|facts| big.ready(facts)).collect();
    let times = measure.count(20, 1_000);
    let shape = format!("{} rows, {} codes; by the wall clock", LARGE.0, LARGE.1);
    let spread = measure.repeat(|| p99_micros(times, &ready, |ready| big.judge(ready, NOW)));
    Figure::new("one decision, p99, from ready facts", "µs", spread)
        .goal(Goal::AtMost(20.0))
        .note(shape.clone())
        .tell();
    let spread = measure.repeat(|| p99_micros(times, facts, |facts| big.judge(&big.ready(facts), NOW)));
    Figure::new("one decision, p99, from stored facts", "µs", spread).goal(Goal::AtMost(20.0)).note(shape).tell();
    let crowded = [world::crowded(10_000)];
    let spread = measure.repeat(|| p99_micros(times.min(20), &crowded, |facts| decide(big, facts, AT)) / 1e3);
    Figure::new("a report of 10,000 codings, explained", "ms", spread).goal(Goal::AtMost(50.0)).tell();
}

fn reading(measure: &Measure, large: &str) {
    let spread = measure.repeat(|| millis(process::on_core(|| black_box(RuleSet::parse(large).is_ok())).1));
    Figure::new("reading rules", "ms", spread)
        .goal(Goal::AtMost(1_000.0))
        .note(format!(
            "{} rows, {} codes, {} KB; every fault that refuses a file; {BY_CORE}",
            LARGE.0,
            LARGE.1,
            large.len() / 1_000
        ))
        .tell();
    let files = BTreeMap::new();
    let spread = measure.repeat(|| millis(process::on_core(|| black_box(lint(large, &files, NOW))).1));
    Figure::new("reading rules and linting them", "ms", spread)
        .goal(Goal::AtMost(1_000.0))
        .note(format!("{} rows, {} codes; what `rules lint` does; {BY_CORE}", LARGE.0, LARGE.1))
        .tell();
}

fn dry_run(measure: &Measure, before: &RuleSet, text: &str, facts: &[Facts]) {
    let after = RuleSet::parse(&text.replace("expiry = \"72h\"", "expiry = \"48h\"")).expect("as sound as before");
    let count = measure.count(10_000, 100_000);
    let stored: Vec<String> = facts.iter().map(|facts| serde_json::to_string(facts).expect("facts are kept")).collect();
    let spread = measure.repeat(|| {
        let (differ, took) = timed(|| {
            let read = |line| serde_json::from_str::<Facts>(line).expect("facts are kept");
            let kept = stored.iter().cycle().take(count).map(|line| read(line));
            changes(before, &after, kept.enumerate(), |_| AT).tighter.count
        });
        assert!(differ > 0, "the versions differ");
        took.as_secs_f64()
    });
    Figure::new(format!("dry-run of {count} stored facts against two versions"), "s", spread)
        .goal(Goal::AtMost(5.0))
        .note(format!("each read from its JSON; {} rows, {} codes; by the wall clock", CLINIC.0, CLINIC.1))
        .tell();
}

/// Of every one of `cases`, `times` times.
fn per_second<C, R>(times: usize, cases: &[C], mut work: impl FnMut(&C) -> R) -> f64 {
    let ((), took) = process::on_core(|| {
        for case in (0..times).flat_map(|_| cases) {
            black_box(work(case));
        }
    });
    number(times * cases.len()) / took.as_secs_f64()
}

fn p99_micros<C, R>(times: usize, cases: &[C], mut work: impl FnMut(&C) -> R) -> f64 {
    let mut taken = Vec::with_capacity(times * cases.len());
    for _ in 0..times {
        for case in cases {
            let since = Instant::now();
            black_box(work(case));
            taken.push(since.elapsed().as_secs_f64() * 1e6);
        }
    }
    percentile(&mut taken, 99)
}
