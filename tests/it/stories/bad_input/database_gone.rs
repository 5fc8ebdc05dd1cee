//! The database goes and comes back under the running program: what was refused meanwhile is taken when repeated.

use reqwest::StatusCode;

use crate::support::clinic::{self, Wishes};
use crate::support::ehr;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::postgres::{Cluster, Commits};
use crate::support::service::{Installation, Service};
use crate::support::{pdf, wait, web_client};

const HOOK_SECRET: &str = "a-hook-secret-of-its-own";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_refused_while_the_database_is_gone_is_taken_when_repeated() {
    let lab_of = ehr::lease().await;
    let mailbox = Mailbox::start(Manner::Plain).await;
    let (cluster, database) = tokio::task::spawn_blocking(|| {
        let cluster = Cluster::start(Commits::Durable);
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

async fn hook(service: &Service) -> StatusCode {
    let request = web_client::new().post(format!("{}/fhir/hook/lab", service.url));
    request.header("X-Chartseal-Hook", HOOK_SECRET).send().await.unwrap().status()
}

async fn ready(service: &Service) -> StatusCode {
    web_client::new().get(format!("{}/readyz", service.admin_url)).send().await.unwrap().status()
}
