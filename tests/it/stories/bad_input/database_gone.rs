//! The database goes and comes back under the running program: what was refused meanwhile is taken when repeated.

use chartseal::app::watch::{Found, look};
use chartseal::store::{self, Conn, Tx};
use chartseal::web::Readiness;
use diesel::connection::SimpleConnection as _;
use reqwest::StatusCode;

use crate::support::clinic::{self, Clinic, Database, Wishes};
use crate::support::ehr;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::postgres::{self, Cluster};
use crate::support::service::{Installation, Service};
use crate::support::{pdf, wait, web_client};

const HOOK_SECRET: &str = "a-hook-secret-of-its-own";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_refused_while_the_database_is_gone_is_taken_when_repeated() {
    let lab_of = ehr::lease().await;
    let mailbox = Mailbox::start(Manner::Plain).await;
    let (cluster, database) = tokio::task::spawn_blocking(|| {
        let cluster = Cluster::start(postgres::Commits::Durable);
        let database = cluster.fresh_database();
        (cluster, database)
    })
    .await
    .unwrap();
    // The poll is an hour away: only the hook can tell of the report.
    let environment = [
        ("CHARTSEAL__STORE__URL", database.as_str()),
        ("CHARTSEAL__EHR__0__HOOK_SECRET", HOOK_SECRET),
        ("CHARTSEAL__EHR__0__POLL_SECONDS", "3600"),
    ];
    let installation = Installation::write(&Wishes::default(), lab_of.base_url(), mailbox.port, &environment).await;
    let service = Service::start(&installation).await;
    assert_eq!(hook(&service).await, StatusCode::OK);

    let mut cluster = tokio::task::spawn_blocking(move || {
        cluster.stop();
        cluster
    })
    .await
    .unwrap();
    let patient = ehr::patient("p-of-the-outage", "Garcia", "Ana", "1984-05-06", "outage@example.test");
    lab_of.lab().update(&patient).await;
    let paper = pdf::with_pages(&["5.4 %"]);
    lab_of.lab().post(&ehr::report("p-of-the-outage", "4548-4", &clinic::real_now(), &paper)).await;
    assert_eq!(hook(&service).await, StatusCode::SERVICE_UNAVAILABLE);
    service.assert_running();
    let page = web_client::new().get(format!("{}/r/BBBBBBBBBBBBBBBB", service.url)).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK, "the page needs no database");
    wait::until_async("readiness to be withdrawn", async || {
        (ready(&service).await == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;

    let cluster = tokio::task::spawn_blocking(move || {
        cluster.start_again();
        cluster
    })
    .await
    .unwrap();
    wait::until_async("the repeated event to be taken", async || {
        (hook(&service).await == StatusCode::OK).then_some(())
    })
    .await;
    let mail = mailbox.wait_for("outage@example.test", 1).await;
    assert!(mail.link().starts_with(&service.url));
    wait::until_async("readiness to come back", async || (ready(&service).await == StatusCode::OK).then_some(())).await;
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_reads_but_does_not_commit_withdraws_readiness_until_it_commits_again() {
    for database in [Database::Sqlite, Database::Postgres] {
        let clinic = Clinic::spawn(Wishes { database, ..Wishes::default() }).await;
        let readiness = Readiness::default();
        assert_eq!(look(&clinic.ground, &readiness).await, Found::Well);
        assert!(readiness.reasons().is_empty(), "{:?}", readiness.reasons());

        set_commits(&clinic, Commits::Refused).await;
        for _ in 0..3 {
            assert_eq!(look(&clinic.ground, &readiness).await, Found::Ailing);
            assert_eq!(readiness.reasons(), ["the database can be read but commits nothing"], "{database:?}");
            clinic.ground.store.read(store::paused).await.expect("it still reads");
        }
        set_commits(&clinic, Commits::Taken).await;
        assert_eq!(look(&clinic.ground, &readiness).await, Found::Well);
        assert!(readiness.reasons().is_empty(), "{database:?}: {:?}", readiness.reasons());
    }
}

#[derive(Clone, Copy)]
enum Commits {
    Taken,
    Refused,
}

/// As on a disk that is full, or on a standby: everything can be read, nothing is kept.
async fn set_commits(clinic: &Clinic, commits: Commits) {
    let deed = move |tx: &mut Tx| match tx.conn() {
        Conn::Sqlite(conn) => Ok(conn.batch_execute(match commits {
            Commits::Taken => "DROP TRIGGER full",
            Commits::Refused => {
                "CREATE TRIGGER full BEFORE UPDATE ON control
                 BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
            }
        })?),
        Conn::Postgres(conn) => {
            let (all, this) = match commits {
                Commits::Taken => ("off", "WRITE"),
                Commits::Refused => ("on", "ONLY"),
            };
            Ok(conn.batch_execute(&format!(
                "SET TRANSACTION READ WRITE;
                 DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {all}',
                     current_database()); END $$;
                 SET SESSION CHARACTERISTICS AS TRANSACTION READ {this};
                 SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ))?)
        }
    };
    clinic.ground.store.write(deed).await.unwrap();
}

async fn hook(service: &Service) -> StatusCode {
    let request = web_client::new().post(format!("{}/fhir/hook/lab", service.url));
    request.header("X-Chartseal-Hook", HOOK_SECRET).send().await.unwrap().status()
}

async fn ready(service: &Service) -> StatusCode {
    web_client::new().get(format!("{}/readyz", service.admin_url)).send().await.unwrap().status()
}
