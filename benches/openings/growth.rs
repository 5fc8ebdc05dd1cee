//! What a growing number of living links costs: starting, opening, sweeping, and doing nothing.
//!
//! Two installations of the same make, one with a thousand living links and as many deaths in the journal, one with a
//! hundred times as many (in the long form a thousand times). The program is started on each by turns; never are both up.

use std::time::{Duration, Instant};

use chartseal::app::start::store_url;
use chartseal::base::{LinkId, random};
use chartseal::keys::{Death, DeathKind};
use chartseal::store::{NoWitness, Store};
use tokio::runtime::Runtime;

use crate::ground::visitor::{Letter, Visit, Visitor};
use crate::ground::{House, crowd, stage};
use crate::measure::{Extent, Figure, Goal, Measure, Pair, millis, percentile, process};
use crate::support::clinic::{self, Database, Wishes};
use crate::support::ehr_double::EhrDouble;
use crate::support::service::Service;

const FEW: usize = 1_000;
/// Links whose lives end at once.
const DUE: usize = 1_000;
/// Visits of one round, before the sweep.
const VISITS: usize = 60;
/// Visits kept for the time of the sweep; when they are used up no more come.
const VISITS_MEANWHILE: usize = 150;
/// How long the program is watched doing nothing.
const IDLE: Duration = Duration::from_secs(3);
/// Deaths told to the journal at once.
const DEATHS_AT_ONCE: usize = 1_000;

/// An installation with so many links.
struct Town {
    house: House,
    store: Store,
    letters: Vec<Letter>,
    /// How many of the letters one round uses: before its sweep, and at most during it.
    visits: (usize, usize),
    /// Links of the crowd that have ended.
    ended: usize,
}

/// What one start of the program gave.
struct Round {
    start_ms: f64,
    idle_cpu: f64,
    claim_ms: f64,
    visit_ms: f64,
    sweep_ms: f64,
    claim_meanwhile_ms: f64,
    claim_meanwhile_worst_ms: f64,
}

pub fn measure(measure: &Measure, runtime: &Runtime, database: Database) {
    let many = match measure.extent {
        Extent::Quick => 5_000,
        Extent::Full => 100_000,
        Extent::Long => 1_000_000,
    };
    let ehr = runtime.block_on(EhrDouble::start());
    let rounds = measure.rounds();
    let mut small = runtime.block_on(settle(measure, &ehr, database, FEW + DUE * rounds, rounds));
    let mut large = runtime.block_on(settle(measure, &ehr, database, many, rounds));
    let mut both = Vec::new();
    for round in 0..rounds {
        let pair = if round % 2 == 0 {
            let large = runtime.block_on(one_round(&mut large));
            (large, runtime.block_on(one_round(&mut small)))
        } else {
            let small = runtime.block_on(one_round(&mut small));
            (runtime.block_on(one_round(&mut large)), small)
        };
        both.push(pair);
    }
    tell(&both, database, many);
}

fn tell(rounds: &[(Round, Round)], database: Database, many: usize) {
    let few = "the same with 1,000 links";
    let pair = |of: fn(&Round) -> f64| {
        Pair::of(&rounds.iter().map(|(large, small)| (of(large), of(small))).collect::<Vec<_>>())
    };
    let name = |what: &str| format!("{what}, {many} living links, {database:?}");
    Figure::beside(name("a claim, p50"), "ms", pair(|r| r.claim_ms), few).goal(Goal::RatioAtMost(1.3)).tell();
    Figure::beside(name("a whole visit, p50"), "ms", pair(|r| r.visit_ms), few).goal(Goal::RatioAtMost(1.3)).tell();
    Figure::beside(name("from the start until it is ready"), "ms", pair(|r| r.start_ms), few)
        .goal(Goal::RatioAtMost(2.0))
        .note("the death journal has as many lines as there are links")
        .tell();
    Figure::beside(name("doing nothing"), "CPU-ms per s", pair(|r| r.idle_cpu), few).tell();
    Figure::beside(name("1,000 lives end at once, until all are swept"), "ms", pair(|r| r.sweep_ms), few)
        .goal(Goal::RatioAtMost(1.5))
        .note("shredded, journalled, audited, files removed; one patient after the other opens meanwhile")
        .tell();
    let meanwhile =
        Pair::of(&rounds.iter().map(|(large, _)| (large.claim_meanwhile_ms, large.claim_ms)).collect::<Vec<_>>());
    Figure::beside(name("a claim during that sweep, p50"), "ms", meanwhile, "the same without a sweep").tell();
    let worst = Pair::of(
        &rounds
            .iter()
            .map(|(large, small)| (large.claim_meanwhile_worst_ms, small.claim_meanwhile_worst_ms))
            .collect::<Vec<_>>(),
    );
    Figure::beside(name("a claim during that sweep, the slowest"), "ms", worst, few).tell();
}

/// Plants the links that are opened, and gathers the crowd.
async fn settle(measure: &Measure, ehr: &EhrDouble, database: Database, links: usize, rounds: usize) -> Town {
    // Nothing of the crowd is in the EHR: none may be looked for while this runs.
    let wishes = Wishes { database, ehr_more: "recheck_minutes = 1440".to_owned(), ..Wishes::default() };
    let house = House::build(&wishes, &ehr.base_url, 1).await;
    let inside = house.enter().await;
    let visits = (measure.count(10, VISITS), measure.count(10, VISITS_MEANWHILE));
    let (store, vault, now) = (inside.ground.store.clone(), inside.ground.vault.clone(), inside.now());
    let report = vec![b'x'; 10_000];
    let mut letters = Vec::new();
    for number in 0..rounds * (visits.0 + visits.1) {
        let (vault, blobs, report) = (vault.clone(), inside.blobs.clone(), report.clone());
        let make = move || stage::make_sealed(&vault, &blobs, &report, number, now);
        let made = tokio::task::spawn_blocking(make).await.expect("it is sealed");
        letters.push(Letter { id: made.id.clone(), secret: made.secret_text.clone() });
        let vault = inside.ground.vault.clone();
        let plant = move |tx: &mut chartseal::store::Tx| {
            stage::decide(tx, &vault, number, now)?;
            let leased = stage::lease(tx, now)?;
            stage::release(tx, &vault, &leased, &made, now)?;
            stage::hand_over(tx, now)
        };
        store.write(plant).await.expect("the link is planted");
    }
    let of = letters.first().expect("some are planted").id.clone();
    crowd::gather(&store, &of, 1, links + 1).await;
    let deaths: Vec<Death> = (0..links)
        .map(|_| Death { link: LinkId::random(&mut random::system()), kind: DeathKind::Spent, at: now })
        .collect();
    for some in deaths.chunks(DEATHS_AT_ONCE) {
        inside.ground.journal.append(some).expect("the disk takes it");
    }
    inside.leave().await;
    let store = Store::open(&store_url(&house.config.store).expect("an address"), std::sync::Arc::new(NoWitness))
        .expect("the database is open to two");
    Town { house, store, letters, visits, ended: 0 }
}

async fn one_round(town: &mut Town) -> Round {
    let server = &town.house.config.server;
    let since = Instant::now();
    let service = Service::spawn(&town.house.installation, &town.house.installation.config, "main");
    let ready = format!("{}/readyz", service.admin_url);
    let client = crate::support::web_client::new();
    while !client.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200) {
        service.assert_running();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let start_ms = millis(since.elapsed());
    let pid = process::listening_on(server.listen.port());
    let before = process::cpu_ms(pid);
    tokio::time::sleep(IDLE).await;
    let idle_cpu = (process::cpu_ms(pid) - before) / IDLE.as_secs_f64();

    let visitor = Visitor::new(&service.url);
    let mut visits = Vec::new();
    for letter in town.letters.split_off(town.letters.len() - town.visits.0) {
        visits.push(visitor.visit(&letter).await);
    }
    let (sweep_ms, meanwhile) = sweep(town, &visitor).await;
    service.stop().await;
    let p50 = |visits: &[Visit], of: fn(&Visit) -> Duration| {
        percentile(&mut visits.iter().map(|visit| millis(of(visit))).collect::<Vec<_>>(), 50)
    };
    let round = Round {
        start_ms,
        idle_cpu,
        claim_ms: p50(&visits, |visit| visit.claim),
        visit_ms: p50(&visits, |visit| visit.whole),
        sweep_ms,
        claim_meanwhile_ms: p50(&meanwhile, |visit| visit.claim),
        claim_meanwhile_worst_ms: meanwhile.iter().map(|visit| millis(visit.claim)).fold(0.0, f64::max),
    };
    eprintln!(
        "  start {start_ms:.0} ms; idle {idle_cpu:.1} CPU-ms/s; claim {:.2} ms, visit {:.2} ms; sweep {sweep_ms:.0} ms, claim {:.2} ms (worst {:.1} of {})",
        round.claim_ms,
        round.visit_ms,
        round.claim_meanwhile_ms,
        round.claim_meanwhile_worst_ms,
        meanwhile.len()
    );
    round
}

/// Lets [`DUE`] lives end and waits until the program has ended them all, opening other links meanwhile.
async fn sweep(town: &mut Town, visitor: &Visitor) -> (f64, Vec<Visit>) {
    let now = clinic::now();
    let (from, to) = (town.ended + 1, town.ended + 1 + DUE);
    town.ended += DUE;
    town.store.write(move |tx| crowd::let_expire(tx.conn(), from, to, now.0 - 1)).await.expect("their lives end");
    let since = Instant::now();
    let store = town.store.clone();
    let watching = tokio::spawn(async move {
        while store.read(move |conn| crowd::still_to_end(conn, now.0)).await.expect("the database answers") > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        millis(since.elapsed())
    });
    let mut letters = town.letters.split_off(town.letters.len() - town.visits.1);
    let mut visits = Vec::new();
    while let Some(letter) = letters.pop() {
        visits.push(visitor.visit(&letter).await);
        if watching.is_finished() {
            break;
        }
    }
    town.letters.extend(letters);
    (watching.await.expect("it ends"), visits)
}
