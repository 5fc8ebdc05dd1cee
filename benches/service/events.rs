//! How soon what an EHR says is acknowledged, and how soon it has become a message.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::ehr::asked_for;
use crate::house::{BREAKER, House, REPORT_BYTES, kept_connections};
use crate::measure::{Figure, Goal, Measure, Pair, millis, percentile};
use crate::support::clinic::Database;

const REPORTS_PER_SECOND: u32 = 50;
const HOOKS_PER_SECOND: u32 = 200;
/// The EHR is asked by the way, so rarely that nothing else feels it.
const PROBES_PER_SECOND: u32 = 5;

/// 50 reports a second, each heard by a hook; how long until its message was accepted.
pub async fn to_mails(measure: &Measure, database: Database) {
    let house = Arc::new(House::open(database).await);
    let seconds: u32 = measure.count(9, 60);
    let count = seconds * REPORTS_PER_SECOND;
    let probes = tokio::spawn(probe(house.ehr.base_url.clone(), seconds * PROBES_PER_SECOND));
    let told = at_a_pace(REPORTS_PER_SECOND, 1..count + 1, |number, due| {
        let house = Arc::clone(&house);
        async move {
            house.hook(REPORT_BYTES, number).await;
            due
        }
    })
    .await;
    let mut probes = probes.await.expect("the EHR answers");
    house.mailed(count as usize + 1).await;

    let arrivals = house.sink.arrivals();
    let mut took: Vec<f64> = Vec::new();
    for (told, number) in told.iter().zip(1..) {
        let arrival = arrivals.iter().find(|arrival| arrival.patient == Some(number)).expect("each has its message");
        took.push(millis(Instant::from_std(arrival.at).saturating_duration_since(*told)));
    }
    let beside = "what the double of the EHR takes for the five requests of one delivery, asked meanwhile";
    for (percent, goal_ms) in [(50, 1_000.0), (99, 5_000.0)] {
        let pair = by_rounds(measure, &mut took, &mut probes, percent);
        let name = format!("event to message handed over, p{percent} at {REPORTS_PER_SECOND} reports/s, {database:?}");
        Figure::beside(name, "ms", pair, beside)
            .goal(Goal::AtMost(goal_ms))
            .note(format!("{seconds} s without a pause, counted from the moment at which each was due; {BREAKER}"))
            .tell();
    }
}

/// 200 hooks a second while the service works on what they tell; how long until each is acknowledged.
pub async fn acknowledged(measure: &Measure) {
    let house = Arc::new(House::open(Database::Sqlite).await);
    let each: u32 = measure.count(2, 6) * HOOKS_PER_SECOND;
    let (health, client) = (format!("{}/healthz", house.service.admin_url), kept_connections());
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    let rounds = u32::try_from(measure.rounds()).expect("a few");
    for round in 0..rounds {
        let first = 1 + round * each;
        let hooks = at_a_pace(HOOKS_PER_SECOND, first..first + each, |number, due| {
            let house = Arc::clone(&house);
            async move {
                house.hook(REPORT_BYTES, number).await;
                millis(due.elapsed())
            }
        });
        ours.extend(hooks.await);
        let plain = at_a_pace(HOOKS_PER_SECOND, 0..each, |_, due| {
            let request = client.get(&health);
            async move {
                request.send().await.expect("the service answers").bytes().await.expect("a whole answer");
                millis(due.elapsed())
            }
        });
        reference.extend(plain.await);
        eprintln!("  round {}: {} messages so far", round + 1, house.sink.arrivals().len());
    }
    let beside = "actix-web's plain answer to /healthz of the same process, at the same pace";
    for (percent, goal) in [(50, None), (99, Some(Goal::AtMost(500.0)))] {
        let pair = by_rounds(measure, &mut ours, &mut reference, percent);
        let name = format!("hook acknowledged, p{percent} at {HOOKS_PER_SECOND} hooks/s");
        let note = "kept durably (SQLite, synchronous = FULL) before it is acknowledged, while the reports told of are read, \
                    sealed and sent; counted from the moment at which each was due";
        let figure = Figure::beside(name, "ms", pair, beside).note(note);
        match goal {
            Some(goal) => figure.goal(goal).tell(),
            None => figure.tell(),
        }
    }
}

/// Begins `act` for each number at its moment, whether or not those before are done: who waits is counted.
async fn at_a_pace<T, A>(
    per_second: u32,
    numbers: std::ops::Range<u32>,
    mut act: impl FnMut(u32, Instant) -> A,
) -> Vec<T>
where
    T: Send + 'static,
    A: Future<Output = T> + Send + 'static,
{
    let (start, mut begun) = (Instant::now(), Vec::new());
    for (number, nth) in numbers.zip(0..) {
        let due = start + Duration::from_secs(1) * nth / per_second;
        tokio::time::sleep_until(due).await;
        begun.push(tokio::spawn(act(number, due)));
    }
    let mut done = Vec::new();
    for act in begun {
        done.push(act.await.expect("it is answered"));
    }
    done
}

/// Asks the EHR for what a delivery asks for, again and again; milliseconds of each.
async fn probe(base_url: String, count: u32) -> Vec<f64> {
    let client = kept_connections();
    at_a_pace(PROBES_PER_SECOND, 0..count, |number, _| {
        let (client, base_url) = (client.clone(), base_url.clone());
        async move {
            let since = Instant::now();
            for what in asked_for(REPORT_BYTES, number) {
                let answer = client.get(format!("{base_url}/{what}")).send().await.expect("the EHR answers");
                answer.bytes().await.expect("a whole answer");
            }
            millis(since.elapsed())
        }
    })
    .await
}

/// The percentile of each stretch of time, ours beside the reference.
fn by_rounds(measure: &Measure, ours: &mut [f64], reference: &mut [f64], percent: usize) -> Pair {
    let rounds = measure.rounds();
    let (our_round, their_round) = (ours.len() / rounds, reference.len() / rounds);
    let stretches = ours.chunks_mut(our_round).zip(reference.chunks_mut(their_round)).take(rounds);
    let rounds: Vec<_> =
        stretches.map(|(ours, theirs)| (percentile(ours, percent), percentile(theirs, percent))).collect();
    Pair::of(&rounds)
}
