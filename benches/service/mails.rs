//! How many messages a second leave, when thousands wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::house::{BREAKER, House};
use crate::measure::{Figure, Goal, Measure, Spread, number, process};
use crate::sink::plain_client;
use crate::support::clinic::Database;

/// `[mail] connections_max` by default.
const CONNECTIONS: usize = 4;
/// EHRs' connections in the burst.
const CALLERS: u32 = 12;

pub fn into_a_sink(measure: &Measure, runtime: &Runtime, database: Database) {
    let count: u32 = measure.count(600, 10_000);
    let house = Arc::new(runtime.block_on(House::open(database)));
    assert_eq!(house.service.command(&["pause", "--why", "a figure"]).code, 0, "sending can be paused");
    prepare(runtime, &house, count, database);

    let (each, cpu_before) = (count as usize / measure.rounds(), process::cpu_ms(house.pid));
    let before = house.sink.arrivals().len();
    let message = house.sink.last();
    let pair = measure.alternate(
        || runtime.block_on(drain(&house, each)),
        || runtime.block_on(plain_client(house.sink.port, CONNECTIONS, each, &message)),
    );
    assert_eq!(house.service.command(&["resume"]).code, 0, "the rest can leave");
    runtime.block_on(house.mailed(count as usize + before));
    runtime.block_on(house.settled());
    let cpu = (process::cpu_ms(house.pid) - cpu_before) / f64::from(count);

    let name = |what: &str| format!("{what}, {database:?}");
    let settled =
        "settled durably (SQLite: synchronous = FULL; PostgreSQL: fsync and synchronous commit, on the same machine)";
    let note = format!("{count} due; each leased, looked at again, sent and {settled}; {BREAKER}");
    let beside = "a plain client's same dialogue with the same sink, on as many connections";
    Figure::beside(name("messages a second into a local sink"), "1/s", pair, beside)
        .goal(Goal::AtLeast(1_000.0))
        .note(note)
        .tell();
    Figure::new(name("CPU of the service for one message"), "ms", Spread::of(vec![cpu])).tell();
    let mut who: Vec<_> = house.sink.arrivals().iter().skip(before).filter_map(|arrival| arrival.patient).collect();
    let sent = who.len();
    who.sort_unstable();
    who.dedup();
    let twice = Spread::of(vec![number(sent - who.len()) + number(count as usize - who.len())]);
    Figure::new(name(&format!("messages lost or doubled of a burst of {count} events")), "", twice)
        .goal(Goal::AtMost(0.0))
        .tell();
}

/// All events at once, acknowledged; then all reports sealed, while sending is paused.
fn prepare(runtime: &Runtime, house: &Arc<House>, count: u32, database: Database) {
    let since = Instant::now();
    runtime.block_on(house.flood(1..count + 1, CALLERS));
    let acknowledged = f64::from(count) / since.elapsed().as_secs_f64();
    let queued = || house.count("notice WHERE state = 'queued'") >= count as usize;
    runtime.block_on(house.until("the sealed reports", queued));
    let sealed = f64::from(count) / since.elapsed().as_secs_f64();
    let name = |what: &str| format!("{what} of a burst of {count}, {database:?}");
    Figure::new(name("events acknowledged a second"), "1/s", Spread::of(vec![acknowledged]))
        .note(format!("{CALLERS} connections at once, while what came before is worked on"))
        .tell();
    Figure::new(name("reports decided and sealed a second"), "1/s", Spread::of(vec![sealed]))
        .note("from the first event to the last queued message; 10 KB each, fetched from a double of an EHR")
        .tell();
}

/// Lets `count` messages leave; how many did each second.
async fn drain(house: &House, count: usize) -> f64 {
    let before = house.sink.arrivals().len();
    assert_eq!(house.service.command(&["resume"]).code, 0, "sending can be resumed");
    house.until("messages", || house.sink.arrivals().len() >= before + count).await;
    assert_eq!(house.service.command(&["pause", "--why", "a figure"]).code, 0, "sending can be paused");
    // What was leased still leaves.
    house.until("what is under way", || house.count("notice WHERE state = 'leased'") == 0).await;
    let times = &house.sink.arrivals()[before..];
    let took: Duration = times[times.len() - 1].at - times[0].at;
    number(times.len() - 1) / took.as_secs_f64()
}
