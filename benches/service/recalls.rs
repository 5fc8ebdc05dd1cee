//! How soon a report that its EHR takes back is refused, while the house is busy with others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ehr::report_id;
use crate::house::{House, REPORT_BYTES};
use crate::measure::{Figure, Goal, Measure, Spread, millis, percentile};
use crate::support::clinic::Database;

/// DESIGN and the contract: refused within five seconds of the event.
const GOAL: Goal = Goal::AtMost(5_000.0);
/// EHRs' connections in the burst.
const CALLERS: u32 = 12;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Links that patients have, taken back one after the other while a burst of new reports is heard, read and sealed.
pub async fn under_a_burst(measure: &Measure, database: Database) {
    let house = Arc::new(House::open(database).await);
    let (live, burst): (u32, u32) = (measure.count(10, 100), measure.count(300, 5_000));
    house.flood(1..live + 1, CALLERS).await;
    house.mailed(1 + live as usize).await;
    house.settled().await;

    let told = Arc::clone(&house);
    let flood = tokio::spawn(async move { told.flood(live + 1..live + 1 + burst, CALLERS).await });
    house.until("the burst to begin", || house.count("source") > live as usize + 100).await;
    let (mut took, before) = (Vec::new(), house.count("delivery"));
    for number in 1..=live {
        house.ehr.withdraw(&report_id(REPORT_BYTES, number));
        let since = Instant::now();
        house.hook(REPORT_BYTES, number).await;
        while !refused(&house, number) {
            house.service.assert_running();
            tokio::time::sleep(LOOK_EVERY).await;
        }
        took.push(millis(since.elapsed()));
    }
    flood.await.expect("the service answers");
    let meanwhile = house.count("delivery") - before;
    house.until("the burst's end", || house.count("delivery") > (live + burst) as usize).await;

    let note = format!(
        "from before the hook that tells of it until the database, which every request of the patient's page asks, refuses the \
         link; {live} of them, while {burst} new reports were heard, of which {meanwhile} were decided meanwhile"
    );
    let slowest = took.iter().copied().fold(0.0, f64::max);
    for (what, ms) in [("p50", percentile(&mut took, 50)), ("the slowest", slowest)] {
        Figure::new(format!("withdrawn to refused in a burst, {what}, {database:?}"), "ms", Spread::of(vec![ms]))
            .goal(GOAL)
            .note(note.clone())
            .tell();
    }
}

fn refused(house: &House, number: u32) -> bool {
    let id = report_id(REPORT_BYTES, number);
    house.count(&format!(
        "delivery JOIN source ON source.id = delivery.source_id \
         WHERE source.resource_id = '{id}' AND delivery.state NOT IN ('live', 'recorded')"
    )) > 0
}
