//! How long a poll of very many resources takes, and how much memory beside a poll of fewer.

use std::time::Duration;

use crate::house::House;
use crate::measure::{Figure, Goal, Measure, Spread, millis, number, process, timed_async};
use crate::support::clinic::Database;

const GOAL: Goal = Goal::AtMost(16.0);
const NOTE: &str = "most memory resident from the first page to the last, above the most while a fifth as many were polled just before, which \
                    fills what SQLite's connections keep at hand; 200 a page, each resource noted durably with its audit line as its \
                    page comes, while those before are read (the double has none of them)";

pub async fn of_many(measure: &Measure) {
    let house = House::open(Database::Sqlite).await;
    let many: u32 = measure.count(5_000, 100_000);
    let idle = process::rss_mib(house.pid);
    let (fewer, _) = polled(&house, many / 5).await;
    let (most, took) = polled(&house, many).await;
    eprintln!("  idle {idle:.1} MiB, peak of {} {fewer:.1} MiB, peak of {many} {most:.1} MiB", many / 5);
    Figure::new(format!("memory for a poll of {many} resources, Sqlite"), "MiB", Spread::of(vec![most - fewer]))
        .goal(GOAL)
        .note(NOTE)
        .tell();
    let rate = number(many as usize) / (millis(took) / 1_000.0);
    Figure::new(format!("a poll of {many} resources, Sqlite"), "1/s", Spread::of(vec![rate])).tell();
}

/// The most memory meanwhile, and how long it took.
async fn polled(house: &House, many: u32) -> (f64, Duration) {
    process::forget_peak(house.pid);
    house.ehr.show(many);
    let ((), took) = timed_async(async {
        house.ping().await;
        while !house.ehr.has_shown_all() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    house.ehr.show(0);
    (process::peak_rss_mib(house.pid), took)
}
