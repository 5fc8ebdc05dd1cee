//! The service as a process: it starts, drains, is killed, and starts again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chartseal::app::start::Restore;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::clinic::{Clinic, Wishes, real_now};
use crate::support::ehr::{self, LeasedEhr};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::service::{Installation, Service};
use crate::support::{pdf, program, wait};

const ONE_OPENING: &str = "4548-4";
const THREE_OPENINGS: &str = "24323-8";
/// How long the service lets requests under way finish.
const DRAIN: Duration = Duration::from_secs(30);

/// An installation on SQLite with nothing running yet.
struct Ground {
    installation: Arc<Installation>,
    ehr: LeasedEhr,
    mailbox: Mailbox,
}

impl Ground {
    async fn lay() -> Self {
        let (ehr, mailbox) = (ehr::lease().await, Mailbox::start(Manner::Plain).await);
        let wishes = Wishes { more: "connections_max = 4".to_owned(), ..Wishes::default() };
        let quick = [("CHARTSEAL__EHR__0__POLL_SECONDS", "1")];
        let installation = Installation::write(&wishes, ehr.base_url(), mailbox.port, &quick).await;
        Self { installation, ehr, mailbox }
    }

    async fn report(&self, email: &str, code: &str, paper: &[u8]) {
        let patient = ehr::new_patient_id();
        let lab = self.ehr.lab();
        lab.update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", email)).await;
        lab.post(&ehr::report(&patient, code, &real_now(), paper)).await;
    }

    async fn sent(&self, email: &str, code: &str) -> String {
        self.report(email, code, &paper()).await;
        self.mailbox.wait_for(email, 1).await.link()
    }

    fn run(&self, arguments: &[&str]) -> program::Ran {
        self.installation.command(arguments)
    }

    fn audit(&self) -> Vec<Value> {
        let ran = self.run(&["audit", "export"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn events(&self) -> Vec<String> {
        self.audit().iter().map(|line| line["event"]["event"].as_str().unwrap().to_owned()).collect()
    }

    fn assert_audit_verifies(&self) {
        let ran = self.run(&["audit", "verify"]);
        assert_eq!(ran.code, 0, "{}", ran.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sigterm_lets_a_download_under_way_finish_and_ends_with_0() {
    let ground = Ground::lay().await;
    let mut served = Service::start(&ground.installation).await;
    assert_eq!(served.status("healthz").await, Some(200));
    let large = [paper(), vec![b'\n'; 12 * 1024 * 1024]].concat();
    ground.report("ana@example.test", ONE_OPENING, &large).await;
    let link = ground.mailbox.wait_for("ana@example.test", 1).await.link();
    let mut reader = Holder::new(&link);
    let granted = reader.open().await.granted();
    let mut download = reader.start_file(1, None).await;
    let mut sealed = download.chunk().await.unwrap().unwrap().to_vec();

    served.terminate();
    wait::until_async("new visitors to be sent elsewhere", async || {
        (served.status("readyz").await != Some(200)).then_some(())
    })
    .await;
    while let Some(chunk) = download.chunk().await.expect("the download is not cut") {
        sealed.extend_from_slice(&chunk);
    }
    assert_eq!(reader.decrypt(&granted, &granted.files[0], &sealed).unwrap(), large);
    drop((download, reader));
    assert_eq!(served.ended().await, 0, "{}", served.log());

    let events = ground.events();
    assert_eq!(events.iter().filter(|event| *event == "started").count(), 1);
    assert_eq!(events.iter().filter(|event| *event == "stopped").count(), 1);
    ground.assert_audit_verifies();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_service_waits_for_nothing_after_a_sigterm() {
    let ground = Ground::lay().await;
    let mut served = Service::start(&ground.installation).await;
    let since = Instant::now();
    served.terminate();
    assert_eq!(served.ended().await, 0, "{}", served.log());
    assert!(since.elapsed() < DRAIN, "it waited for requests that nobody had sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_starts_again_and_has_lost_nothing() {
    let ground = Ground::lay().await;
    let served = Service::start(&ground.installation).await;
    let read = ground.sent("read@example.test", ONE_OPENING).await;
    let unread = ground.sent("unread@example.test", THREE_OPENINGS).await;
    let mut reader = Holder::new(&read);
    let (granted, _) = reader.claim_and_read().await;
    assert_eq!(ground.run(&["pause", "--why", "to have something queued"]).code, 0);
    ground.report("queued@example.test", THREE_OPENINGS, &paper()).await;
    wait::until("the notice to be queued", || {
        ground.run(&["deliveries", "list", "--json"]).out.contains("\"queued\"").then_some(())
    })
    .await;
    served.kill().await;

    let _served = Service::start(&ground.installation).await;
    assert_eq!(reader.look().await.says(), "yours");
    assert_eq!(reader.open().await.granted().lease_until_ms, granted.lease_until_ms);
    assert_eq!(reader.file(1, None).await.status, StatusCode::OK);
    assert_eq!(Holder::new(&read).open().await.says(), "opened_elsewhere");
    assert_eq!(Holder::new(&unread).read().await, paper());
    assert_eq!(ground.run(&["resume"]).code, 0);
    let queued = ground.mailbox.wait_for("queued@example.test", 1).await.link();
    assert_eq!(Holder::new(&queued).read().await, paper());
    assert_eq!(ground.mailbox.mails().len(), 3, "a message was sent twice");
    ground.assert_audit_verifies();
    assert_eq!(ground.events().iter().filter(|event| *event == "started").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_of_the_same_name_is_refused_with_the_remedy() {
    let ground = Ground::lay().await;
    let served = Service::start(&ground.installation).await;
    let twin = std::fs::read_to_string(&ground.installation.config).unwrap();
    let mut twin_lines: Vec<String> = twin.lines().map(str::to_owned).collect();
    for line in &mut twin_lines {
        for key in ["listen", "admin_listen"] {
            if line.starts_with(&format!("{key} = ")) {
                *line = format!("{key} = \"127.0.0.1:{}\"", ground.installation.folder.port());
            }
        }
    }
    let path = ground.installation.folder.join("twin.toml");
    std::fs::write(&path, twin_lines.join("\n")).unwrap();
    let second = Service::spawn(&ground.installation, &path, "main");
    assert_eq!(second.ended().await, 2);
    assert!(second.log().contains("give this one its own name with --replica"), "{}", second.log());

    let mut third = Service::spawn(&ground.installation, &path, "other");
    wait::until_async("the other replica", async || (third.status("readyz").await == Some(200)).then_some(())).await;
    third.terminate();
    assert_eq!(third.ended().await, 0, "{}", third.log());
    assert_eq!(served.status("readyz").await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_its_predecessor_to_let_go() {
    let mut clinic = Clinic::spawn(Wishes::default()).await;
    clinic.stop().await.unwrap();
    let journal = std::fs::File::open(clinic.folder.join("keys/journal/deaths-main.log")).unwrap();
    journal.lock().unwrap();
    let (started, ()) = tokio::join!(
        biased;
        clinic.start_again(Restore::NotSaid),
        // The start has found the journal locked by now.
        async { drop(journal) },
    );
    started.unwrap();
}

/// The handlers were once set only after the service had said that it is ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_sigterm_before_the_service_serves_ends_it_well() {
    let ground = Ground::lay().await;
    Service::start(&ground.installation).await.stop().await;
    let journal = ground.installation.folder.join("keys/journal/deaths-main.log");
    let journal = std::fs::File::open(journal).unwrap();
    journal.lock().unwrap();
    let address = chartseal::config::Config::load(&ground.installation.config, []).unwrap().server.admin_listen;
    let ended = loop {
        let mut service = Service::spawn(&ground.installation, &ground.installation.config, "main");
        // It listens, and waits for the journal.
        let gave_up = || service.log().contains("give this one its own name");
        let listens = || std::net::TcpStream::connect(address).is_ok();
        wait::until("the port", || (listens() || gave_up()).then_some(())).await;
        service.terminate();
        let code = service.ended().await;
        if code != 2 {
            break code;
        }
        // On a slow machine it may have given up before it was told to end: once more.
        assert!(service.log().contains("give this one its own name"), "{}", service.log());
    };
    assert_eq!(ended, 0);
    drop(journal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_told_with_its_key() {
    let ground = Ground::lay().await;
    let config = chartseal::config::Config::load(&ground.installation.config, []).unwrap();
    let _taken = std::net::TcpListener::bind(config.server.listen).unwrap();
    let ran = ground.run(&["serve"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("[server] listen"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_by_command_is_seen_by_the_running_service_at_once() {
    let ground = Ground::lay().await;
    let served = Service::start(&ground.installation).await;
    let link = ground.sent("ana@example.test", THREE_OPENINGS).await;
    let mut reader = Holder::new(&link);
    reader.claim_and_read().await;
    let reference = reader.look().await.body["reference"].as_str().unwrap().to_owned();
    let ran = ground.run(&["deliveries", "revoke", &reference, "--reason", "wrong patient", "--as", "Eve Admin"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(reader.file(1, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(Holder::new(&link).look().await.says(), "revoked");
    assert_eq!(ground.run(&["deliveries", "revoke", &reference]).code, 1, "twice");
    wait::until("the sealed file to be removed", || {
        let shown = ground.run(&["deliveries", "show", &reference, "--json"]);
        shown.out.contains("files_removed").then_some(())
    })
    .await;
    assert_eq!(served.status("healthz").await, Some(200));
    ground.assert_audit_verifies();
}

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}
