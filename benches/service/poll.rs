//! How long a poll of very many resources takes, and how much memory.

use std::time::Duration;

use crate::house::House;
use crate::measure::{Figure, Goal, Measure, Spread, millis, number, process, timed_async};
use crate::support::clinic::Database;

const GOAL: Goal = Goal::AtMost(32.0);
const NOTE: &str = "most memory resident from the first page to the last, above what was resident before; 200 a page, each resource noted \
                    durably with its audit line as its page comes, while those before are read (the double has none of them)";

pub async fn of_many(measure: &Measure) {
    let house = House::open(Database::Sqlite).await;
    let many: u32 = measure.count(5_000, 100_000);
    let idle = process::rss_mib(house.pid);
    process::forget_peak(house.pid);
    house.ehr.show(many);
    let ((), took) = timed_async(async {
        house.ping().await;
        while !house.ehr.has_shown_all() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let above = process::peak_rss_mib(house.pid) - idle;
    house.ehr.show(0);
    Figure::new(format!("memory for a poll of {many} resources, Sqlite"), "MiB", Spread::of(vec![above]))
        .goal(GOAL)
        .note(NOTE)
        .tell();
    let rate = number(many as usize) / (millis(took) / 1_000.0);
    Figure::new(format!("a poll of {many} resources, Sqlite"), "1/s", Spread::of(vec![rate])).tell();
}
