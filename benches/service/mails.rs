//! How many messages a second leave, when thousands wait.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;

use crate::house::{BREAKER, House};
use crate::measure::{Figure, Goal, Measure, Pair, Spread, number, process};
use crate::sink::{Arrival, plain_client};
use crate::support::clinic::Database;

/// `[mail] connections_max` by default.
const CONNECTIONS: usize = 4;
/// EHRs' connections in the burst.
const CALLERS: u32 = 12;
const DURABLE_WRITES: u32 = 2_000;

pub fn into_a_sink(measure: &Measure, runtime: &Runtime, database: Database) {
    let count: u32 = measure.count(600, 10_000);
    let house = Arc::new(runtime.block_on(House::open(database)));
    assert_eq!(house.service.command(&["pause", "--why", "a figure"]).code, 0, "sending can be paused");
    prepare(runtime, &house, count, database);

    let (cpu_before, message) = (process::cpu_ms(house.pid), house.sink.last());
    let before = house.sink.arrivals().len();
    assert_eq!(house.service.command(&["resume"]).code, 0, "sending can be resumed");
    runtime.block_on(house.mailed(before + count as usize));
    runtime.block_on(house.settled());
    let cpu = (process::cpu_ms(house.pid) - cpu_before) / f64::from(count);

    let each = count as usize / measure.rounds();
    let arrivals = house.sink.arrivals();
    let turns: Vec<_> = arrivals[before..]
        .chunks_exact(each)
        .map(|part| (rate_of(part), runtime.block_on(plain_client(house.sink.port, CONNECTIONS, each, &message))))
        .collect();
    let name = |what: &str| format!("{what}, {database:?}");
    let settled =
        "settled durably (SQLite: synchronous = FULL; PostgreSQL: fsync and synchronous commit, on the same machine)";
    let note = format!(
        "{count} due, the rounds are consecutive parts of one going; each leased, looked at again, sent and {settled}; {BREAKER}"
    );
    let beside = "a plain client's same dialogue with the same sink, on as many connections, afterwards";
    Figure::beside(name("messages a second into a local sink"), "1/s", Pair::of(&turns), beside)
        .goal(Goal::AtLeast(1_000.0))
        .note(note)
        .tell();
    Figure::new(name("CPU of the service for one message"), "ms", Spread::of(vec![cpu])).tell();
    let mut who: Vec<_> = arrivals.iter().skip(before).filter_map(|arrival| arrival.patient).collect();
    let sent = who.len();
    who.sort_unstable();
    who.dedup();
    let twice = Spread::of(vec![number(sent - who.len()) + number(count as usize - who.len())]);
    Figure::new(name(&format!("messages lost or doubled of a burst of {count} events")), "", twice)
        .goal(Goal::AtMost(0.0))
        .tell();
}

/// All events at once, acknowledged; then all reports decided and sealed, while sending is paused.
fn prepare(runtime: &Runtime, house: &Arc<House>, count: u32, database: Database) {
    let (idle, decided_before) = (process::rss_mib(house.pid), house.count("delivery"));
    process::forget_peak(house.pid);
    let since = Instant::now();
    let rate = || f64::from(count) / since.elapsed().as_secs_f64();
    runtime.block_on(house.flood(1..count + 1, CALLERS));
    let acknowledged = rate();
    let all = |what: &str, before: usize| house.count(what) >= before + count as usize;
    runtime.block_on(house.until("the decided reports", || all("delivery", decided_before)));
    let decided = rate();
    runtime.block_on(house.until("the sealed reports", || all("notice WHERE state = 'queued'", 0)));
    let sealed = rate();
    let most = process::peak_rss_mib(house.pid) - idle;
    let commits = durable_writes_a_second(&house.service.installation().folder);

    let name = |what: &str| format!("{what} of a burst of {count}, {database:?}");
    let beside = "durable writes of 4 KiB one after another, each with its fdatasync, on the same disk: what one writer could commit";
    let tell = |what: &str, rate: f64, note: &str| {
        Figure::beside(name(what), "1/s", Pair::of(&[(rate, commits)]), beside).note(note).tell();
    };
    tell(
        "events acknowledged a second",
        acknowledged,
        &format!("{CALLERS} connections at once, while what came before is worked on"),
    );
    tell(
        "reports read and decided a second",
        decided,
        "from the first event to the last decision, while those before are fetched and sealed",
    );
    tell(
        "reports decided and sealed a second",
        sealed,
        "from the first event to the last queued message; 10 KB each, fetched from a double of an EHR",
    );
    Figure::new(name("memory"), "MiB", Spread::of(vec![most]))
        .note("most memory resident from the first event to the last sealed report, above what was resident before")
        .tell();
}

/// How often a second this disk takes four kilobytes for good.
fn durable_writes_a_second(folder: &Path) -> f64 {
    let path = folder.join("durable-writes");
    let mut file = std::fs::File::create(&path).expect("the folder can be written to");
    let since = Instant::now();
    for _ in 0..DURABLE_WRITES {
        file.write_all(&[0x5a; 4096]).and_then(|()| file.sync_data()).expect("the disk takes it");
    }
    let rate = f64::from(DURABLE_WRITES) / since.elapsed().as_secs_f64();
    std::fs::remove_file(path).expect("it was just written");
    rate
}

/// Messages a second.
fn rate_of(arrivals: &[Arrival]) -> f64 {
    let took = arrivals[arrivals.len() - 1].at - arrivals[0].at;
    number(arrivals.len() - 1) / took.as_secs_f64()
}
