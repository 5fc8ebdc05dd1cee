//! One EHR, one event or one file that makes trouble delays nobody else's.

use std::sync::Arc;
use std::time::Duration;

use chartseal::app::steps::Steps;
use chartseal::base::{Bell, hours, minutes};
use chartseal::blobs::BlobKey;
use chartseal::desk::verify_audit;
use chartseal::fhir::{Auth, EhrClient, EhrConnection, Limits, ServiceBase};
use chartseal::intake::{HeardEhr, Intake, Seeks, StartFrom};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use reqwest::Method;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::clinic::{Clinic, Hears, Wishes, config_at};
use crate::support::ehr_double::{Act, EhrDouble};
use crate::support::{pdf, wait};

use super::{mails_to, poll};

/// Waits for as long as the EHR says nothing.
pub(super) fn patient_client(id: &str, double: &EhrDouble) -> EhrClient {
    client(id, double, patience())
}

fn patience() -> Limits {
    Limits { read_timeout: hours(24), answer_timeout: hours(24), attachment_timeout: hours(24), ..Limits::default() }
}

fn client(id: &str, double: &EhrDouble, limits: Limits) -> EhrClient {
    let connection = EhrConnection {
        id: id.parse().unwrap(),
        base: ServiceBase::new(double.base_url.parse().unwrap()).unwrap(),
        auth: Auth::None,
        attachment_origins: Vec::new(),
        limits,
    };
    EhrClient::new(connection).unwrap()
}

/// An EHR that is waited for as long as it says nothing.
pub(super) fn patiently(id: &str, double: &EhrDouble) -> HeardEhr {
    with_limits(id, double, patience())
}

/// An EHR that is polled every minute within these limits.
pub fn with_limits(id: &str, double: &EhrDouble, limits: Limits) -> HeardEhr {
    HeardEhr {
        client: Arc::new(client(id, double, limits)),
        hook: None,
        poll_every: minutes(1),
        start_from: StartFrom::Now,
        seeks: Seeks::Everybody,
        by_date_every: hours(6),
        report_age_max: hours(24),
        tells: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_hangs_delays_no_polls_of_another() {
    let (hangs, answers) = (EhrDouble::start().await, EhrDouble::start().await);
    hangs.behave(|_| Act::Silence);
    let clinic = Clinic::spawn(Wishes::default()).await;
    let ground = clinic.ground.clone();
    let mut steps = Steps::wire(&config_at(&clinic.config_path, []).unwrap(), &ground).unwrap();
    let ehrs = vec![patiently("hangs", &hangs), patiently("answers", &answers)];
    let (kept, due) = (Bell::default(), Bell::default());
    steps.intake = Arc::new(Intake::new(ground.store, ground.clock, ground.vault, ehrs, kept, due));
    steps.intake.begin().await.unwrap();
    let (workers, stop) = (TaskTracker::new(), CancellationToken::new());
    steps.spawn(&workers, &stop);

    for round in 1..=3 {
        let searches = || answers.asked().len();
        wait::until("both of its searches", || (searches() >= 2 * round).then_some(())).await;
        wait::until_async("the poll to be settled", async || {
            (poll(&clinic, "answers").await.next_at > clinic.now()).then_some(())
        })
        .await;
        clinic.forward(Duration::from_mins(10));
    }
    wait::until("the hanging EHR to be asked", || (!hangs.asked().is_empty()).then_some(())).await;
    assert_eq!(hangs.asked().len(), 1, "its first search still waits for the answer");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_concluded_holds_up_no_other() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    break_database(
        &clinic,
        "CREATE TRIGGER broken BEFORE INSERT ON source WHEN new.resource_id = 'cursed'
         BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    for id in ["cursed", "blessed"] {
        clinic.hook(Method::PUT, &format!("/DiagnosticReport/{id}"), "").await;
    }
    assert!(clinic.steps.intake.turn().await.is_err());
    let lab = "lab".parse().unwrap();
    let heard =
        clinic.ground.store.write(move |tx| chartseal::store::lease_sources(tx, &lab, FAR, FAR, 10)).await.unwrap();
    assert_eq!(heard.iter().map(|source| source.key.id.as_str()).collect::<Vec<_>>(), ["blessed"]);

    break_database(&clinic, "DROP TRIGGER broken");
    clinic.forward(Duration::from_mins(3));
    assert_eq!(clinic.steps.intake.turn().await.unwrap(), 1, "the other is taken up again");
}

const FAR: chartseal::base::UtcMillis = chartseal::base::UtcMillis(i64::MAX);

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_with_a_subscription_stops_no_poll() {
    let clinic = Clinic::spawn(Wishes { hears: Hears::Hooks, ..Wishes::default() }).await;
    break_database(&clinic, "CREATE TRIGGER broken BEFORE UPDATE ON subscription BEGIN SELECT RAISE(ABORT, 'no'); END");
    assert!(clinic.steps.run_until_idle().await.is_err());
    assert!(poll(&clinic, "lab").await.last_ok_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_file_that_cannot_be_removed_stops_no_other_part_of_the_sweep() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let mut folders = Vec::new();
    for email in ["stuck@example.test", "gone@example.test"] {
        clinic.sent(email, "4548-4", &pdf::with_pages(&["5.4 %"])).await;
        let name = clinic.blobs().into_iter().find(|name| !folders.contains(name)).unwrap();
        folders.push(name);
    }
    assert_eq!(mails_to(&clinic, "gone@example.test"), 1);
    let stuck = clinic.folder.join("blobs").join(&folders[0][..2]).join(&folders[0]);
    assert!(BlobKey::parse(&folders[0]).is_ok() && stuck.is_file());
    std::fs::remove_file(&stuck).unwrap();
    std::fs::create_dir_all(stuck.join("in-the-way")).unwrap();
    for delivery in clinic.deliveries().await.into_iter().rev() {
        clinic.desk().revoke(&delivery.id, None).await.unwrap();
    }
    let anchors = async || verify_audit(&clinic.ground.store, &clinic.ground.vault).await.unwrap().anchors;
    let before = anchors().await;
    for _ in 0..3 {
        assert!(clinic.steps.sweep.turn().await.is_err(), "the fault is told");
        clinic.forward(Duration::from_mins(2));
    }
    assert_eq!(clinic.blobs(), [folders[0].clone()], "the other file is gone");
    assert!(anchors().await > before, "the audit is anchored all the same");
    std::fs::remove_dir_all(&stuck).unwrap();
}

fn break_database(clinic: &Clinic, statement: &str) {
    let path = clinic.folder.join("chartseal.db").display().to_string();
    let mut conn = SqliteConnection::establish(&path).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 30000").unwrap();
    conn.batch_execute(statement).unwrap();
}
