//! Store and open, 10 KB: a report comes all the way to its patient, and is opened once, by the real program over real
//! connections.
//!
//! Storing is everything that Chartseal does for a report: it is found in the EHR, read, decided about, read again,
//! fetched, sealed, stored, committed with its audit, and its message handed over. Opening is what the page asks for:
//! begin, look, open, file, receipt. Every step is durable before it is acknowledged.

use serde_json::json;
use tokio::runtime::Runtime;

use crate::ground::House;
use crate::ground::sink::Sink;
use crate::ground::visitor::{Letter, visit_all};
use crate::measure::{Figure, Goal, Measure, Spread, millis, number, percentile, process, timed_async};
use crate::support::clinic::{self, Wishes};
use crate::support::ehr;
use crate::support::ehr_double::EhrDouble;
use crate::support::holder::WholeLink;
use crate::support::service::Service;
use crate::support::wait;

const REPORT_BYTES: usize = 10_000;
/// Connections on which patients come.
const AT_ONCE: usize = 8;
/// As many messages as the breaker lets through in an hour when there is no usual number.
const REPORTS: usize = 190;
/// Measured on another day (2026-11-21), on a machine with as many cores and other work on it, with each peer's own way
/// of asking.
const PEERS: &str = "peers, measured earlier and at another moment, not here: cryptgeon 0.6 CPU-ms a pair and 1100 to 1200 \
    pairs/s (memory only), PrivateBin 2.4 and 240, Enclosed 3 to 4 and 180 to 290; none of them makes a pair durable";

/// What one round gave.
struct Round {
    store_cpu_ms: f64,
    open_cpu_ms: f64,
    stored_per_s: f64,
    opened_per_s: f64,
    claim_p50_ms: f64,
    visit_p50_ms: f64,
}

pub fn measure(measure: &Measure, runtime: &Runtime) {
    let reports = measure.count(24, REPORTS);
    let rounds: Vec<Round> = (0..measure.rounds()).map(|_| runtime.block_on(round(reports))).collect();
    let spread = |of: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(of).collect());
    let size = "10 KB";
    Figure::new(
        format!("store and open, {size}: CPU of a pair"),
        "CPU-ms",
        spread(&|r| r.store_cpu_ms + r.open_cpu_ms),
    )
    .goal(Goal::AtMost(1.2))
    .note(format!("of which storing and opening stand below; goal: half of PrivateBin's, twice cryptgeon's; {PEERS}"))
    .tell();
    Figure::new(format!("storing, {size}: CPU of a report"), "CPU-ms", spread(&|r| r.store_cpu_ms))
        .note("from the EHR's search to the message handed over")
        .tell();
    Figure::new(format!("opening, {size}: CPU of a visit"), "CPU-ms", spread(&|r| r.open_cpu_ms))
        .note("five requests, four durable commits, one journal line")
        .tell();
    let pairs = |r: &Round| 1.0 / (1.0 / r.stored_per_s + 1.0 / r.opened_per_s);
    Figure::new(format!("store and open, {size}, {AT_ONCE} connections"), "pairs/s", spread(&pairs))
        .goal(Goal::AtLeast(480.0))
        .note("storing and opening one after the other; the EHR, the mail server and the patients share the cores; goal: twice PrivateBin's, measured earlier")
        .tell();
    Figure::new(format!("storing, {size}"), "per s", spread(&|r| r.stored_per_s)).tell();
    Figure::new(format!("opening, {size}, {AT_ONCE} connections"), "per s", spread(&|r| r.opened_per_s)).tell();
    Figure::new(format!("a claim, p50, {AT_ONCE} connections"), "ms", spread(&|r| r.claim_p50_ms)).tell();
    Figure::new(format!("a whole visit, p50, {AT_ONCE} connections"), "ms", spread(&|r| r.visit_p50_ms)).tell();
}

async fn round(reports: usize) -> Round {
    let (ehr, sink) = (EhrDouble::start().await, Sink::start().await);
    let house = House::build(&Wishes::default(), &ehr.base_url, sink.port).await;
    let service = Service::start(&house.installation).await;
    let pid = process::listening_on(house.config.server.listen.port());

    let pdf = [b"%PDF-1.4\n".as_slice(), &vec![b'x'; REPORT_BYTES - 9]].concat();
    let issued = clinic::real_now();
    let before = process::cpu_ms(pid);
    for patient in 0..reports {
        let name = format!("p-{patient}");
        ehr.put(&ehr::patient(&name, "Garcia", "Ana", "1984-05-06", &format!("{name}@patients.test")));
        let mut report = ehr::report(&name, "58410-2", &issued, &pdf);
        report["id"] = json!(format!("r-{patient}"));
        ehr.put(&report);
    }
    wait::until("every message", || (sink.count() >= reports).then_some(())).await;
    let store_cpu_ms = (process::cpu_ms(pid) - before) / number(reports);
    let links = sink.links();
    let (first, last) = (links.iter().map(|(at, _)| *at).min(), links.iter().map(|(at, _)| *at).max());
    let span = last.zip(first).map(|(last, first)| last.duration_since(first)).expect("there are messages");
    let letters: Vec<Letter> = links.iter().map(|(_, link)| letter(link)).collect();

    let before = process::cpu_ms(pid);
    let (visits, took) = timed_async(visit_all(&service.url, letters, AT_ONCE)).await;
    let open_cpu_ms = (process::cpu_ms(pid) - before) / number(reports);
    let round = Round {
        store_cpu_ms,
        open_cpu_ms,
        stored_per_s: number(reports - 1) / span.as_secs_f64(),
        opened_per_s: number(reports) / took.as_secs_f64(),
        claim_p50_ms: percentile(&mut visits.iter().map(|visit| millis(visit.claim)).collect::<Vec<_>>(), 50),
        visit_p50_ms: percentile(&mut visits.iter().map(|visit| millis(visit.whole)).collect::<Vec<_>>(), 50),
    };
    service.stop().await;
    eprintln!(
        "  storing {:.2} CPU-ms, {:.0}/s; opening {:.2} CPU-ms, {:.0}/s",
        round.store_cpu_ms, round.stored_per_s, round.open_cpu_ms, round.opened_per_s
    );
    round
}

fn letter(link: &str) -> Letter {
    let link = WholeLink::read(link);
    Letter { id: link.id, secret: link.secret.to_base64url().expose().to_owned() }
}
