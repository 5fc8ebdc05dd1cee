//! The EHR takes longer over an answer than any lease lasts: it is waited for by one replica, and nothing stands still.

use std::sync::Arc;

use chartseal::app::steps::Steps;
use chartseal::base::{Bell, millis, minutes};
use chartseal::intake::Intake;
use chartseal::store::LEASE;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use tokio_util::sync::CancellationToken;

use super::one_for_all::patiently;
use super::{mails_to, poll};
use crate::stories::bad_input::{good_report, put_patient};
use crate::support::clinic::{Clinic, Wishes, config_at};
use crate::support::ehr_double::{Act, EhrDouble};
use crate::support::wait;

#[tokio::test(flavor = "multi_thread")]
async fn a_search_longer_than_its_lease_stays_with_one_replica_and_moves_the_watermark() {
    let slow = EhrDouble::start().await;
    let clinic = Clinic::spawn(Wishes::default()).await;
    let replica = || {
        let (ground, ehrs) = (clinic.ground.clone(), vec![patiently("slow", &slow)]);
        let (kept, due) = (Bell::default(), Bell::default());
        let mut intake = Intake::new(ground.store, ground.clock, ground.vault, ehrs, kept, due);
        intake.renew_every = millis(20);
        Arc::new(intake)
    };
    let (one, other) = (replica(), replica());
    one.begin().await.unwrap();
    let before = poll(&clinic, "slow").await.watermark;
    // Past what the watermark stays behind by.
    slow.set_clock_off_seconds(600);
    let word = CancellationToken::new();
    let held = word.clone();
    slow.behave(
        move |asked| {
            if asked.searches("DiagnosticReport") { Act::AsUsualAfter(held.clone()) } else { Act::AsUsual }
        },
    );
    let searches = || slow.asked().iter().filter(|asked| asked.searches("DiagnosticReport")).count();

    let ehr = "slow".parse().unwrap();
    let turn = tokio::spawn(async move { one.watch_turn(&ehr).await });
    wait::until("the search", || (searches() == 1).then_some(())).await;
    for _ in 0..5 {
        clinic.forward(minutes(1));
        wait::until_async("the lease to be renewed", async || {
            (poll(&clinic, "slow").await.next_at == clinic.now().plus(LEASE)).then_some(())
        })
        .await;
        other.watch_turn(&"slow".parse().unwrap()).await.unwrap();
        assert_eq!(searches(), 1, "another replica began the same search");
    }
    word.cancel();
    turn.await.unwrap().unwrap();
    assert!(poll(&clinic, "slow").await.watermark > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_longer_than_its_lease_stays_with_one_replica_and_is_concluded() {
    let odd = EhrDouble::start().await;
    let more = format!("\n[[ehr]]\nid = \"odd\"\nbase_url = \"{}\"\npoll_seconds = 60\n", odd.base_url);
    let clinic = Clinic::spawn(Wishes { more, ..Wishes::default() }).await;
    clinic.settle().await;
    let mut steps = Steps::wire(&config_at(&clinic.config_path, []).unwrap(), &clinic.ground).unwrap();
    Arc::get_mut(&mut steps.resolve).unwrap().renew_every = millis(20);
    let word = CancellationToken::new();
    let held = word.clone();
    odd.behave(move |asked| if asked.reads("Patient") { Act::AsUsualAfter(held.clone()) } else { Act::AsUsual });
    put_patient(&odd, "patient-of-slow", "patience@example.test");
    odd.put(&good_report("slow"));
    clinic.forward(minutes(2));
    clinic.steps.intake.watch_turn(&"odd".parse().unwrap()).await.unwrap();

    let resolve = Arc::clone(&steps.resolve);
    let turn = tokio::spawn(async move { resolve.turn().await });
    let readings = || odd.asked().iter().filter(|asked| asked.reads("Patient")).count();
    wait::until("the reading", || (readings() == 1).then_some(())).await;
    for _ in 0..5 {
        clinic.forward(minutes(1));
        wait::until("the lease to be renewed", || {
            (lease_of_the_source(&clinic) == Some(clinic.now().plus(LEASE).0)).then_some(())
        })
        .await;
        assert_eq!(clinic.steps.resolve.turn().await.unwrap(), 0, "another replica began the same reading");
    }
    word.cancel();
    assert_eq!(turn.await.unwrap().unwrap(), 1);
    clinic.settle().await;
    assert_eq!(mails_to(&clinic, "patience@example.test"), 1);
}

#[derive(QueryableByName)]
struct Lease {
    #[diesel(sql_type = Nullable<BigInt>)]
    lease_until: Option<i64>,
}

fn lease_of_the_source(clinic: &Clinic) -> Option<i64> {
    let path = clinic.folder.join("chartseal.db").display().to_string();
    let mut conn = SqliteConnection::establish(&path).unwrap();
    let row = diesel::sql_query("SELECT lease_until FROM source WHERE ehr = 'odd'").get_result::<Lease>(&mut conn);
    row.unwrap().lease_until
}
