//! Every outside call goes wrong once: at its first use, its second, its third, until a whole life meets no fault.
//!
//! A life ([`life`]) is a small clinic's: reports are heard, sent, read, corrected, recalled, revoked, run out. One use of one
//! outside part goes wrong in one way; then that part is well again, time goes on, and the invariants must hold.
//!
//! `cargo test --test it faults` takes a spread of uses that `CHARTSEAL_SEED` draws (always the same unless set).
//! `CHARTSEAL_FAULTS=all` takes every use of every part, `ehr` or `ehr:hang` those of one, `ehr:hang:17` that one life;
//! `CHARTSEAL_FAULTS_EVERY=20` besides takes each twentieth.

mod clock;
mod database;
mod disk;
mod ehr;
mod life;
mod mail;
mod patient;
mod plan;
mod relay;
mod replicas;

use std::sync::Arc;

use plan::{Part, Trigger};

/// How a life gets a part that goes wrong.
#[derive(Clone)]
pub enum Fault {
    Ehr(ehr::Kind, Arc<Trigger>),
    Mail(mail::Kind, Arc<Trigger>),
    Database(database::Kind, Arc<Trigger>),
    /// The life is led in a process of its own.
    Disk(disk::Kind, Arc<Trigger>),
    /// This is that process.
    OfThisDisk,
    Clock(clock::Kind, Arc<Trigger>),
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_answer_of_the_ehr_is_no_report_is_lost_or_sent_twice() {
    plan::run(Part::Ehr, &ehr::Kind::ALL, ehr::Kind::name, Fault::Ehr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_answer_of_the_relay_is_no_report_is_lost_or_sent_twice() {
    plan::run(Part::Mail, &mail::Kind::ALL, mail::Kind::name, Fault::Mail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_database_is_cut_off_or_hangs_no_report_is_lost_or_sent_twice() {
    plan::run(Part::Database, &database::Kind::ALL, database::Kind::name, Fault::Database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_disk_refuses_no_report_is_lost_or_sent_twice() {
    plan::run(Part::Disk, &disk::Kind::ALL, disk::Kind::name, Fault::Disk).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the test of the disk leads it, in a process of its own"]
async fn a_life_on_a_disk_that_fails() {
    if disk::is_life() {
        life::lead(&Fault::OfThisDisk).await;
    }
}

#[test]
fn a_full_disk_keeps_the_death_journals_of_two_replicas_whole_and_no_death_untold() {
    let (done, told) = disk::in_a_process("faults::two_replicas_on_a_full_disk", "full:1", "/keys/journal/");
    assert_eq!(done, Ok(()));
    assert!(told.contains("deaths-main") && told.contains("deaths-second"), "no journal met the full disk: {told}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the test above leads it, in a process of its own"]
async fn two_replicas_on_a_full_disk() {
    if disk::is_life() {
        replicas::lead().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_clock_jumps_no_report_is_lost_or_sent_twice() {
    plan::run(Part::Clock, &clock::Kind::ALL, clock::Kind::name, Fault::Clock).await;
}
