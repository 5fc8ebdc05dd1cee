//! A whole clinic for one test: Chartseal over HTTP on a free port, a real EHR, a real mailbox, a clock that the test steps.
//!
//! Must stay true: when a test ends well, no message is left unsent and the audit verifies, or the test fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chartseal::app::start::{Ground, Restore, TimeFrom};
use chartseal::app::steps::Steps;
use chartseal::app::{App, Workers};
use chartseal::base::{Clock, OperatorName, UtcMillis};
use chartseal::cell::{CellLimits, Program, Reader};
use chartseal::config::{Config, ConfigError};
use chartseal::desk::{Brief, Desk, Shown, verify_audit};
use chartseal::keys::ReplicaName;
use chartseal::store::{self, DeliveryFilter, Mode};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::ehr::{self, Lab, LeasedEhr};
use super::mailbox::{Mailbox, Manner};
use super::place::Place;
use super::{postgres, wait};

/// Which database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// How the clinic hears of reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hears {
    /// By its own subscription; polling is an hour away.
    Hooks,
    /// By its own subscription to a topic; polling is an hour away.
    Topic,
    /// By polling alone.
    Polls,
    /// As the lines for the EHR's section say; polling is an hour away.
    SaidBelow,
}

/// What a test wants to be different.
#[derive(Clone)]
pub struct Wishes {
    pub database: Database,
    pub hears: Hears,
    pub send: &'static str,
    pub workers: Workers,
    pub rules: String,
    /// Lines for the clinic's own section.
    pub clinic_more: String,
    /// How the relay is spoken to.
    pub mail_tls: &'static str,
    /// Where the relay listens; `None`: mail goes to the mailbox at once.
    pub relay_port: Option<u16>,
    /// Lines for the end of the configuration.
    pub more: String,
    /// Where the clinic believes the EHR to be; `None`: where it is.
    pub ehr_base: Option<String>,
    /// Lines for the EHR's section.
    pub ehr_more: String,
    /// How long the process that reads attachments may take.
    pub reading: CellLimits,
}

pub const RULES: &str = r#"
[policy]
id = "test"
version = "1"

[[profile]]
id = "routine"
when = { code = ["loinc|58410-2", "loinc|4548-4", "loinc|11502-2"] }
then = { action = "send", expiry = "72h", opens = 1, channel = ["email"] }

[[profile]]
id = "several-openings"
when = { code = "loinc|24323-8" }
then = { action = "send", expiry = "48h", opens = 3, channel = ["email"] }
"#;

impl Default for Wishes {
    fn default() -> Self {
        Self {
            database: Database::Sqlite,
            hears: Hears::Polls,
            send: "live",
            workers: Workers::ByHand,
            rules: RULES.to_owned(),
            clinic_more: String::new(),
            mail_tls: "none",
            relay_port: None,
            more: String::new(),
            ehr_base: None,
            ehr_more: String::new(),
            reading: CellLimits::default(),
        }
    }
}

/// A running clinic.
pub struct Clinic {
    pub ehr: LeasedEhr,
    pub mailbox: Mailbox,
    pub config_path: PathBuf,
    pub leaves: Leaves,
    pub database: Database,
    clock: Clock,
    /// `None` after [`Clinic::stop`]: a stopped service holds no lock and no connection.
    running: Option<Running>,
    // Given back last.
    pub folder: Place,
}

/// What a clinic has while its service runs; reached as if it were the clinic's own.
pub struct Running {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    pub admin_url: String,
    pub ground: Ground,
    pub steps: Arc<Steps>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl std::ops::Deref for Clinic {
    type Target = Running;

    fn deref(&self) -> &Running {
        self.running.as_ref().expect("the service runs")
    }
}

impl From<Started> for Running {
    fn from(started: Started) -> Self {
        Self {
            url: format!("http://{}", started.addr),
            admin_url: format!("http://{}", started.admin_addr),
            ground: started.ground,
            steps: started.steps,
            stop: started.stop,
            served: started.served,
        }
    }
}

/// What a test may leave behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    Nothing,
    UnsentNotices,
}

impl Clinic {
    pub async fn spawn(wishes: Wishes) -> Self {
        let ehr = ehr::lease().await;
        let mailbox = Mailbox::start(Manner::Plain).await;
        Self::spawn_with(wishes, ehr, mailbox).await
    }

    pub async fn spawn_with(wishes: Wishes, ehr: LeasedEhr, mailbox: Mailbox) -> Self {
        let folder = Place::new("clinic");
        let config_path = write_installation(&folder, &wishes, ehr.base_url(), mailbox.port).await;
        let started = start(&config_path, TimeFrom::Steps(now()), Restore::NotSaid, wishes.workers).await.unwrap();
        if (wishes.hears, wishes.workers) == (Hears::Polls, Workers::ByHand) {
            // Before the test steps the clock: whoever first hears of an EHR takes its clock's distance for its own.
            let _ = started.steps.intake.watch_turn(&"lab".parse().unwrap()).await;
        }
        Self {
            folder,
            ehr,
            mailbox,
            config_path,
            leaves: Leaves::Nothing,
            database: wishes.database,
            clock: started.ground.clock.clone(),
            running: Some(started.into()),
        }
    }

    pub fn lab(&self) -> Lab<'_> {
        self.ehr.lab()
    }

    pub fn now(&self) -> UtcMillis {
        self.clock.now()
    }

    pub fn forward(&self, span: std::time::Duration) {
        self.clock.forward(span);
    }

    /// Looks at the EHR again and turns every step until none finds work.
    pub async fn hear_and_settle(&self) {
        self.forward(std::time::Duration::from_hours(1));
        self.settle().await;
    }

    pub async fn settle(&self) {
        self.steps.run_until_idle().await.unwrap();
    }

    pub fn desk(&self) -> Desk {
        desk_at(&self.ground)
    }

    /// All deliveries, newest first.
    pub async fn deliveries(&self) -> Vec<Brief> {
        self.desk().list(DeliveryFilter { count_max: 1000, ..DeliveryFilter::default() }).await.unwrap()
    }

    /// The only delivery.
    pub async fn only_delivery(&self) -> Brief {
        let mut all = self.deliveries().await;
        assert_eq!(all.len(), 1, "expected one delivery, found {all:#?}");
        all.remove(0)
    }

    pub async fn show(&self, id: &str) -> Shown {
        self.desk().show(id).await.unwrap()
    }

    /// Posts a patient and a final report of theirs; returns both ids.
    pub async fn report(&self, email: &str, loinc: &str, pdf: &[u8]) -> (String, String) {
        let patient = ehr::new_patient_id();
        self.lab().update(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", email)).await;
        let report = self.lab().post(&ehr::report(&patient, loinc, &real_now(), pdf)).await;
        (patient, report)
    }

    /// Ends the service as SIGTERM would, and returns what the drain said.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(Running { stop, served, .. }) = self.running.take() else { return Ok(()) };
        let _ = stop.send(());
        let drained = served.await.unwrap();
        self.let_go().await;
        drained
    }

    /// Waits until the journal is free: the store's writer, the last to hold it, has then closed its connection.
    pub async fn let_go(&self) {
        let journal = self.folder.join("keys/journal/deaths-main.log");
        wait::until("the stopped service to let go", || std::fs::File::open(&journal).ok()?.try_lock().ok()).await;
    }

    /// Starts the same installation again (after [`Clinic::stop`]), at the time at which it stopped.
    pub async fn start_again(&mut self, restore: Restore) -> anyhow::Result<()> {
        let started = start(&self.config_path, TimeFrom::Steps(self.now()), restore, Workers::ByHand).await?;
        self.clock = started.ground.clock.clone();
        self.running = Some(started.into());
        Ok(())
    }

    /// Posts a report and turns the steps until its message is there: the link, whole with its secret.
    pub async fn sent(&self, email: &str, loinc: &str, pdf: &[u8]) -> String {
        let before = self.mailbox.mails().iter().filter(|mail| mail.envelope_to.iter().any(|to| to == email)).count();
        self.report(email, loinc, pdf).await;
        self.hear_and_settle().await;
        self.mailbox.wait_for(email, before + 1).await.link()
    }

    /// The names of the sealed files that lie on the disk.
    pub fn blobs(&self) -> Vec<String> {
        let shards = std::fs::read_dir(self.folder.join("blobs")).unwrap().map(|entry| entry.unwrap().path());
        let files = shards.filter(|shard| shard.file_name().unwrap().len() == 2).flat_map(|shard| {
            std::fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap())
        });
        files.collect()
    }

    /// Calls the hook as the EHR would, with its secret; sends again while told to come later.
    pub async fn hook(&self, method: reqwest::Method, path: &str, body: &str) -> reqwest::StatusCode {
        self.hook_at(&self.url, method, path, body).await
    }

    /// [`Clinic::hook`] at another replica.
    pub async fn hook_at(&self, url: &str, method: reqwest::Method, path: &str, body: &str) -> reqwest::StatusCode {
        let mac = chartseal::sealing::hmac_sha256(self.ground.vault.pepper(), &[b"chartseal/1/hook", b"lab"]);
        let secret = chartseal::base::Key256::new(mac).to_base64url();
        wait::until_async("the hook to be taken", async || {
            let request = super::web_client::new()
                .request(method.clone(), format!("{url}/fhir/hook/lab{path}"))
                .header(chartseal::intake::HOOK_HEADER, secret.expose())
                .header("Content-Type", "application/fhir+json")
                .body(body.to_owned());
            let status = request.send().await.expect("the hook answers").status();
            (status != reqwest::StatusCode::SERVICE_UNAVAILABLE).then_some(status)
        })
        .await
    }

    /// The deliveries of one report, newest first.
    pub async fn deliveries_of(&self, report: &str) -> Vec<Brief> {
        let all = self.deliveries().await;
        all.into_iter().filter(|brief| brief.resource.as_deref().is_some_and(|name| name.ends_with(report))).collect()
    }

    /// The newest delivery of one report to its patient.
    pub async fn delivery_of(&self, report: &str) -> Brief {
        let found = self.deliveries_for(report, "patient").await.into_iter().next();
        found.unwrap_or_else(|| panic!("{report} has no delivery"))
    }

    /// The deliveries of one report to recipients of one kind, newest first.
    pub async fn deliveries_for(&self, report: &str, recipient: &str) -> Vec<Brief> {
        self.deliveries_of(report).await.into_iter().filter(|brief| brief.recipient == recipient).collect()
    }

    /// All mails to one address.
    pub fn mails_to(&self, address: &str) -> Vec<super::mailbox::Mail> {
        let to = |mail: &super::mailbox::Mail| mail.envelope_to.iter().any(|one| one == address);
        self.mailbox.mails().into_iter().filter(to).collect()
    }
}

impl Drop for Clinic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let Some(running) = &self.running else { return };
        let (store, vault, leaves) = (running.ground.store.clone(), running.ground.vault.clone(), self.leaves);
        let checked = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let verified = verify_audit(&store, &vault).await.unwrap();
                let left = store.read(store::hold_unsent_notices).await.unwrap().len();
                (verified.faults, if leaves == Leaves::Nothing { left } else { 0 })
            })
        });
        let (faults, left) = checked.join().unwrap();
        assert!(faults.is_empty(), "the audit does not verify: {faults:?}");
        assert_eq!(left, 0, "messages were left unsent");
    }
}

/// A started service.
pub struct Started {
    pub addr: std::net::SocketAddr,
    pub admin_addr: std::net::SocketAddr,
    pub ground: Ground,
    pub steps: Arc<Steps>,
    pub stop: oneshot::Sender<()>,
    pub served: JoinHandle<anyhow::Result<()>>,
}

/// The desk of Eve Admin.
pub fn desk_at(ground: &Ground) -> Desk {
    Desk {
        store: ground.store.clone(),
        clock: ground.clock.clone(),
        vault: ground.vault.clone(),
        operator: OperatorName::parse("Eve Admin").unwrap(),
        mode: Mode::Live,
    }
}

/// The configuration, with what starts the reader beside it: see [`place_reader`].
pub fn config_at(
    config_path: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let folder = config_path.parent().unwrap();
    let said = std::fs::read_to_string(folder.join("reading")).unwrap_or_default();
    let work_max = said.parse().map_or(CellLimits::default().work_max, Duration::from_millis);
    let program = Program::At(folder.join("reader"));
    let reader = Reader::new(program, CellLimits { work_max, swallow_max: work_max, ..CellLimits::default() });
    Ok(Config { reader, ..Config::load(config_path, variables)? })
}

/// Puts the program that reads attachments into an installation's folder.
pub fn place_reader(folder: &Path) {
    let place = folder.join("reader");
    let _ = std::fs::remove_file(&place);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_chartseal-reader"), place).unwrap();
}

/// Puts this shell script in the reader's place.
pub fn place_false_reader(folder: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let (new, place) = (folder.join("reader.new"), folder.join("reader"));
    std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(new, place).unwrap();
}

/// Starts the installation at `config_path` in this process, as replica `main`.
pub async fn start(
    config_path: &std::path::Path,
    time: TimeFrom,
    restore: Restore,
    workers: Workers,
) -> anyhow::Result<Started> {
    start_replica(config_path, "main", [], time, restore, workers).await
}

pub async fn start_replica(
    config_path: &std::path::Path,
    replica: &str,
    variables: impl IntoIterator<Item = (String, String)>,
    time: TimeFrom,
    restore: Restore,
    workers: Workers,
) -> anyhow::Result<Started> {
    let config = config_at(config_path, variables)?;
    // A child that another test started may hold copies of the sockets of an earlier service until it runs its own program.
    for address in [config.server.listen, config.server.admin_listen] {
        wait::until("the addresses of an earlier service", || std::net::TcpListener::bind(address).ok()).await;
    }
    let app = App::build(&config, ReplicaName::parse(replica)?, time, restore).await?;
    let (addr, admin_addr) = (app.addr, app.admin_addr);
    let (ground, steps) = (app.ground.clone(), Arc::clone(&app.steps));
    steps.intake.begin().await?;
    steps.write_back.begin().await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(app.run(workers, async {
        let _ = stopped.await;
    }));
    Ok(Started { addr, admin_addr, ground, steps, stop, served })
}

/// Writes configuration, rules and keys into `folder`.
pub async fn write_installation(folder: &Place, wishes: &Wishes, ehr_base: &str, mail_port: u16) -> PathBuf {
    let (port, admin_port) = (folder.port(), folder.port());
    let store = match wishes.database {
        Database::Sqlite => "sqlite:chartseal.db".to_owned(),
        Database::Postgres => tokio::task::spawn_blocking(postgres::fresh_database).await.unwrap(),
    };
    let (subscribe, poll_seconds) = match wishes.hears {
        Hears::Hooks => ("subscribe = \"r4\"", 3600),
        Hears::Topic => ("subscribe = \"topic-r4\"", 3600),
        Hears::Polls => ("subscribe = \"off\"", 5),
        Hears::SaidBelow => ("", 3600),
    };
    let (send, mail_tls) = (wishes.send, wishes.mail_tls);
    let (more, ehr_more, clinic_more) = (&wishes.more, &wishes.ehr_more, &wishes.clinic_more);
    let mail_port = wishes.relay_port.unwrap_or(mail_port);
    let ehr_base = wishes.ehr_base.as_deref().unwrap_or(ehr_base);
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:{admin_port}"
patient_url = "http://127.0.0.1:{port}"
staff_url = "http://127.0.0.1:{port}"

[store]
url = "{store}"

[mode]
send = "{send}"

[[clinic]]
id = "riverside"
name = "Riverside Clinic"
phone = "+1 555 0100"
timezone = "America/Chicago"
language = "en"
from = "results@riverside.example"
region = "US"
{clinic_more}

[[ehr]]
id = "lab"
base_url = "{ehr_base}"
{subscribe}
poll_seconds = {poll_seconds}
{ehr_more}

[mail]
url = "smtp://127.0.0.1:{mail_port}"
tls = "{mail_tls}"
{more}
"#
    );
    let path = folder.join("chartseal.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.join("policy.toml"), &wishes.rules).unwrap();
    if !folder.join("reader").exists() {
        place_reader(folder);
        std::fs::write(folder.join("reading"), wishes.reading.work_max.as_millis().to_string()).unwrap();
    }
    if !folder.join("keys").exists() {
        chartseal::keys::KeyRing::create(&folder.join("keys"), &mut chartseal::base::random::system()).unwrap();
    }
    path
}

/// The machine's time, for the clock's first reading and for what the lab writes.
pub fn now() -> UtcMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UtcMillis(i64::try_from(since.as_millis()).unwrap())
}

pub fn real_now() -> String {
    now().to_rfc3339()
}
