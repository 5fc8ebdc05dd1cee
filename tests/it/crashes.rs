//! `kill -9` in the middle of the work, again and again: whatever the program was at, nothing is lost, and nothing is sent
//! twice but what nobody can know.
//!
//! `CHARTSEAL_KILLS` (per run, by default [`KILLS`]) makes it longer, `CHARTSEAL_SEED` brings other moments:
//! `CHARTSEAL_KILLS=40 CHARTSEAL_SEED=7 cargo test --test it crashes`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

use chartseal::app::Workers;
use chartseal::app::start::{Restore, TimeFrom, store_url};
use chartseal::base::hours;
use chartseal::config::Config;
use chartseal::desk::verify_audit;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::support::clinic::{self, Database};
use crate::support::dice::{self, Dice};
use crate::support::holder::Holder;
use crate::support::mailbox::Mail;
use crate::support::service::Service;
use crate::support::under_fire::{Sign, UnderFire, address_of, paper_of, ready};
use crate::support::wait;

const REPORTS: usize = 100;
const KILLS: u64 = 7;
/// Each new report makes the program ask the EHR four times at least, and speak to the relay as often.
const SIGNS_PER_REPORT: usize = 4;
/// Messages that one process has under way: four workers with eight each.
const UNDER_WAY_MAX: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_100_reports_survives_being_killed_again_and_again_on_sqlite() {
    killed_again_and_again(Database::Sqlite, &["main"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_100_reports_survives_being_killed_again_and_again_on_postgresql() {
    killed_again_and_again(Database::Postgres, &["main"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_100_reports_survives_its_two_replicas_being_killed_in_turn() {
    killed_again_and_again(Database::Postgres, &["main", "other"]).await;
}

async fn killed_again_and_again(database: Database, names: &[&'static str]) {
    let mut dice = Dice::cast(20_261_122);
    let kills = usize::try_from(dice::number("CHARTSEAL_KILLS", KILLS)).unwrap();
    let fire = UnderFire::lay(database, "1").await;
    let configs: Vec<PathBuf> = names
        .iter()
        .map(|name| if *name == "main" { fire.installation.config.clone() } else { fire.second_config() })
        .collect();
    let mut lives = Vec::new();
    for (name, config) in names.iter().zip(&configs) {
        let life = Service::spawn(&fire.installation, config, name);
        ready(&life).await;
        lives.push(life);
    }
    let urls: Vec<String> = lives.iter().map(|life| life.url.clone()).collect();
    let mut put = 0;
    for kill in 0..kills {
        // Shared out among the lives to come.
        let news = ((REPORTS - put) / (kills - kill + 1)).max(2);
        let victim = dice.below(names.len());
        let sign = *dice.one_of(&[Sign::EhrAsked, Sign::RelaySpokenTo, Sign::HookAcknowledged]);
        let most = if sign == Sign::HookAcknowledged { news / 2 } else { news * SIGNS_PER_REPORT };
        let count = 1 + dice.below(most);
        println!("kill {kill}: '{}' at {sign:?} {count}, with {news} new reports", names[victim]);
        wait::until("no message to be at its last attempt", || (at_last_attempt(&fire) == 0).then_some(())).await;
        fire.signs.expect(sign, count);
        let ((), ()) = tokio::join!(arrive(&fire, put..put + news, &urls), async {
            fire.signs.come().await;
            lives.remove(victim).kill().await;
            let next = Service::spawn(&fire.installation, &configs[victim], names[victim]);
            ready(&next).await;
            lives.insert(victim, next);
        });
        put += news;
    }
    arrive(&fire, put..REPORTS.max(put), &urls).await;
    let count = REPORTS.max(put);
    fire.all_mailed(count).await;
    wait::until("every message's fate to be known", || (unsettled(&fire) == 0).then_some(())).await;
    wait::until("every lease to end", || (leases(&fire) == 0).then_some(())).await;
    let mails = fire.mailbox.mails();
    assert_none_was_sent_twice_but_in_doubt(&fire, &mails, count, kills * UNDER_WAY_MAX);
    assert_every_link_opens(&mails, count).await;
    let audit = fire.verified_audit();
    let times = |name: &str| audit.iter().filter(|line| line["event"]["event"] == *name).count();
    assert_eq!((times("started"), times("stopped")), (names.len() + kills, 0));
    for life in lives {
        life.stop().await;
    }
    assert_nothing_is_left_on_the_disk(&fire).await;
}

/// Every second one is also said by hook.
async fn arrive(fire: &UnderFire, numbers: Range<usize>, urls: &[String]) {
    for number in numbers {
        let report = fire.put_report(number);
        if number % 2 == 0 {
            fire.say_by_hook(&report, urls).await;
        }
    }
}

/// The same message, with the same link, may come again where its process died before it knew; never otherwise.
fn assert_none_was_sent_twice_but_in_doubt(fire: &UnderFire, mails: &[Mail], count: usize, doubts_max: usize) {
    let mut told: BTreeMap<&str, BTreeSet<(&str, String)>> = BTreeMap::new();
    for mail in mails {
        told.entry(&mail.envelope_to[0]).or_default().insert((&mail.message_id, mail.link()));
    }
    assert_eq!(told.len(), count);
    assert!(told.values().all(|same| same.len() == 1), "a patient was sent two different messages");
    let distinct: BTreeSet<_> = told.values().flatten().collect();
    assert_eq!(distinct.len(), count, "two patients were sent the same message");

    let (mut attempts, mut doubts, mut sent) = (0, 0, BTreeSet::new());
    for line in fire.verified_audit() {
        let event = &line["event"];
        let notice = event["notice"].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str().unwrap() {
            "notice_attempted" => {
                attempts += 1;
                assert!(!sent.contains(&notice), "a message that was known to be sent was sent again");
            }
            "notice_stepped" if event["to"]["state"] == "sent" => assert!(sent.insert(notice), "sent twice"),
            "notice_stepped" => doubts += 1,
            _ => {}
        }
    }
    println!("{} mails for {count} reports, {attempts} attempts, {doubts} in doubt", mails.len());
    assert_eq!(sent.len(), count);
    assert_eq!(attempts, count + doubts, "an attempt is made again only when it was in doubt");
    assert!(mails.len() <= attempts && doubts <= doubts_max, "{} mails, {doubts} doubts", mails.len());
}

async fn assert_every_link_opens(mails: &[Mail], count: usize) {
    for number in 0..count {
        let to = address_of(number);
        let mail = mails.iter().find(|mail| mail.envelope_to[0] == to).unwrap();
        assert!(Holder::new(&mail.link()).read().await == paper_of(number), "another report was opened");
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Leases of work that nobody should be at any more.
fn leases(fire: &UnderFire) -> i64 {
    let each = ["event", "source", "delivery", "notice"]
        .map(|table| format!("(SELECT count(*) FROM {table} WHERE lease_until IS NOT NULL)"));
    count(fire, &format!("SELECT {} AS count", each.join(" + ")))
}

/// A message that has come and whose fate is not known waits to be sent again.
fn unsettled(fire: &UnderFire) -> i64 {
    count(fire, "SELECT count(*) AS count FROM notice WHERE state IN ('queued', 'leased')")
}

/// A message that was in doubt twice goes to staff when it is so once more.
fn at_last_attempt(fire: &UnderFire) -> i64 {
    count(fire, "SELECT count(*) AS count FROM notice WHERE ambiguous >= 2 AND state IN ('queued', 'leased')")
}

fn count(fire: &UnderFire, query: &str) -> i64 {
    let query = diesel::sql_query(query);
    let url = store_url(&Config::load(&fire.installation.config, []).unwrap().store).unwrap();
    let counted = match url.strip_prefix("sqlite:") {
        Some(path) => query.get_result::<Count>(&mut SqliteConnection::establish(path).unwrap()),
        None => query.get_result::<Count>(&mut PgConnection::establish(&url).unwrap()),
    };
    // SQLite may be busy: then it is not known yet.
    counted.map_or(i64::MAX, |row| row.count)
}

/// Every link was opened for the last time, so the sweep has no sealed file to leave; an orphan of a kill least of all.
async fn assert_nothing_is_left_on_the_disk(fire: &UnderFire) {
    let later = TimeFrom::Steps(clinic::now().plus(hours(3)));
    let started = clinic::start(&fire.installation.config, later, Restore::NotSaid, Workers::ByHand).await.unwrap();
    started.steps.sweep.turn().await.unwrap();
    let folders = std::fs::read_dir(fire.installation.folder.join("blobs")).unwrap();
    let left: Vec<_> = folders
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
    let verified = verify_audit(&started.ground.store, &started.ground.vault).await.unwrap();
    assert_eq!(verified.faults, Vec::<String>::new());
    let _ = started.stop.send(());
    started.served.await.unwrap().unwrap();
}
