//! One small life of a clinic, with staff and patients, in which one use of an outside part may go wrong.
//!
//! Must stay true: nobody here knows whether and where the fault comes. Staff do what the product tells them to, patients
//! try again when told to, and time goes on; then everything must be as if nothing had happened.

use std::sync::Mutex;
use std::time::Duration;

use chartseal::app::Workers;
use chartseal::app::start::{Restore, TimeFrom};
use chartseal::app::watch::look;
use chartseal::desk::{Brief, Desk, verify_audit};
use chartseal::store::DeliveryFilter;
use chartseal::web::Readiness;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::database::Wire;
use super::patient::{PRESSES_MAX, confirm, fetch, press, says};
use super::relay::Relay;
use super::{Fault, clock, disk, ehr as wrong_ehr};
use crate::support::clinic::{self, Started, Wishes};
use crate::support::ehr_double::EhrDouble;
use crate::support::holder::Holder;
use crate::support::mailbox::Mail;
use crate::support::place::Place;
use crate::support::{ehr, pdf, postgres, wait, web_client};

/// Nobody may ever write to it.
pub const SOMEBODY_ELSE: &str = "somebody-else@example.test";
const ONE_OPENING: &str = "4548-4";
const THREE_OPENINGS: &str = "24323-8";
/// On every page of every paper, and never in a file.
const MARK: &str = "PLANTED-FINDING";
/// Rounds of two minutes in which the clinic must come to itself. The longest wait after one fault is well below.
const ROUNDS_MAX: usize = 60;
/// A database that is slow to answer may refuse a start.
const STARTS_MAX: usize = 5;
const ROUND: Duration = Duration::from_mins(2);

struct Life {
    fault: Fault,
    /// What the last turn said that failed.
    trouble: Mutex<String>,
    /// Kept for as long as the clinic speaks to its database.
    _wire: Option<Wire>,
    started: Started,
    url: String,
    ehr: EhrDouble,
    relay: Relay,
    // Given back last.
    place: Place,
}

/// One report and what it is there for.
struct Plot {
    report: &'static str,
    address: &'static str,
    loinc: &'static str,
}

const READ: Plot = Plot { report: "r-read", address: "read@example.test", loinc: ONE_OPENING };
const CORRECTED: Plot = Plot { report: "r-corrected", address: "corrected@example.test", loinc: THREE_OPENINGS };
const RECALLED: Plot = Plot { report: "r-recalled", address: "recalled@example.test", loinc: THREE_OPENINGS };
const REVOKED: Plot = Plot { report: "r-revoked", address: "revoked@example.test", loinc: THREE_OPENINGS };
const EXPIRED: Plot = Plot { report: "r-expired", address: "expired@example.test", loinc: THREE_OPENINGS };
const PLOTS: [&Plot; 5] = [&READ, &CORRECTED, &RECALLED, &REVOKED, &EXPIRED];

impl Plot {
    fn paper(&self) -> Vec<u8> {
        pdf::with_pages(&[MARK, self.report])
    }

    fn patient(&self) -> String {
        format!("patient-of-{}", self.report)
    }

    fn resource(&self) -> Value {
        let mut report = ehr::report(&self.patient(), self.loinc, &clinic::real_now(), &self.paper());
        report["id"] = json!(self.report);
        report
    }
}

fn corrected_paper() -> Vec<u8> {
    pdf::with_pages(&[MARK, "corrected"])
}

/// The report as it was when it was new; `None` for a stranger.
pub fn first_version(report: &str) -> Option<Value> {
    let plot = PLOTS.into_iter().find(|plot| plot.report == report)?;
    let mut resource = plot.resource();
    resource["meta"] = json!({"versionId": "1", "lastUpdated": clinic::real_now()});
    Some(resource)
}

/// Leads one life to its end.
///
/// # Panics
/// When an invariant does not hold.
pub async fn lead(fault: &Fault) {
    let life = Life::begin(fault).await;
    life.put(&READ);
    life.put(&RECALLED);
    life.put(&REVOKED);
    life.put(&EXPIRED);
    life.put_with_binary(&CORRECTED);
    life.tell(&CORRECTED).await;
    life.mails(&READ, 1).await;
    life.read_once().await;
    life.correct().await;
    life.recall().await;
    life.revoke().await;
    life.expire().await;
    life.close().await;
}

impl Life {
    async fn begin(fault: &Fault) -> Self {
        let place = Place::new("faults");
        let ehr = EhrDouble::start().await;
        let relay = Relay::start(match fault {
            Fault::Mail(kind, trigger) => Some((*kind, trigger.clone())),
            Fault::Ehr(..) | Fault::Database(..) | Fault::Disk(..) | Fault::OfThisDisk | Fault::Clock(..) => None,
        })
        .await;
        // Nobody waits for long for the part that may hang; the others may be as slow as this machine is.
        let (more, ehr_more) = match fault {
            Fault::Ehr(..) => ("", "answer_seconds = 2"),
            Fault::Mail(..) => ("attempt_seconds = 2", ""),
            Fault::Database(..) => ("[limits]\nstore_answer_seconds = 5", ""),
            Fault::Disk(..) | Fault::OfThisDisk | Fault::Clock(..) => ("", ""),
        };
        let wishes = Wishes { more: more.to_owned(), ehr_more: ehr_more.to_owned(), ..Wishes::default() };
        let config = clinic::write_installation(&place, &wishes, &ehr.base_url, relay.port).await;
        let wire = match fault {
            Fault::Database(kind, trigger) => {
                let url = tokio::task::spawn_blocking(postgres::fresh_database).await.unwrap();
                Some(Wire::start(&url, Some((*kind, trigger.clone()))).await)
            }
            Fault::Ehr(..) | Fault::Mail(..) | Fault::Disk(..) | Fault::OfThisDisk | Fault::Clock(..) => None,
        };
        let variables: Vec<_> =
            wire.iter().map(|wire| ("CHARTSEAL__STORE__URL".to_owned(), wire.url.clone())).collect();
        let (time, restore) = (TimeFrom::Steps(clinic::now()), Restore::NotSaid);
        let mut started = None;
        for _ in 0..STARTS_MAX {
            let variables = variables.clone();
            started = clinic::start_replica(&config, "main", variables, time, restore, Workers::ByHand).await.ok();
            if started.is_some() {
                break;
            }
        }
        let started = started.expect("the clinic starts");
        let url = format!("http://{}", started.addr);
        wait::until_async("the page", async || {
            let page = web_client::new().get(format!("{url}/r/BBBBBBBBBBBBBBBB")).send().await.ok()?;
            (page.status() == StatusCode::OK).then_some(())
        })
        .await;
        // Before the clock is stepped: whoever first hears of an EHR takes its clock's distance for its own.
        let lab = "lab".parse().unwrap();
        wait::until_async("the first look at the EHR", async || started.steps.intake.watch_turn(&lab).await.ok()).await;
        match fault {
            Fault::Ehr(kind, trigger) => {
                wrong_ehr::arrange(&ehr, *kind, trigger.clone());
                trigger.arm();
            }
            Fault::Mail(_, trigger) | Fault::Database(_, trigger) => trigger.arm(),
            Fault::OfThisDisk => disk::arm(),
            Fault::Disk(..) => panic!("it is led in a process of its own"),
            Fault::Clock(kind, trigger) => {
                clock::arrange(&started.ground.clock, *kind, trigger.clone());
                trigger.arm();
            }
        }
        Self { fault: fault.clone(), trouble: Mutex::default(), _wire: wire, started, url, ehr, relay, place }
    }

    fn put(&self, plot: &Plot) {
        self.ehr.put(&ehr::patient(&plot.patient(), "Garcia", "Ana", "1984-05-06", plot.address));
        self.ehr.put(&plot.resource());
    }

    /// The paper lies beside the report, and is fetched by its address.
    fn put_with_binary(&self, plot: &Plot) {
        self.put(plot);
        self.put_binary("paper-1", &plot.paper());
        self.ehr.put(&with_binary(plot.resource(), "paper-1"));
    }

    fn put_binary(&self, id: &str, paper: &[u8]) {
        let mut binary = ehr::binary(paper);
        binary["id"] = json!(id);
        self.ehr.put(&binary);
    }

    /// Calls the hook as the EHR would; what is not taken is called again.
    async fn tell(&self, plot: &Plot) {
        let mac = chartseal::sealing::hmac_sha256(self.started.ground.vault.pepper(), &[b"chartseal/1/hook", b"lab"]);
        let secret = chartseal::base::Key256::new(mac).to_base64url();
        let body = json!({"resourceType": "DiagnosticReport", "id": plot.report}).to_string();
        for _ in 0..PRESSES_MAX {
            let request = web_client::new()
                .post(format!("{}/fhir/hook/lab", self.url))
                .header(chartseal::intake::HOOK_HEADER, secret.expose())
                .header("Content-Type", "application/fhir+json")
                .body(body.clone());
            match request.send().await.expect("the hook answers").status() {
                StatusCode::OK => return,
                StatusCode::SERVICE_UNAVAILABLE => {}
                other => panic!("the hook answers {other}"),
            }
        }
        panic!("the hook took nothing");
    }

    fn forward(&self, span: Duration) {
        self.started.ground.clock.forward(span);
    }

    /// Turns every step until nothing is left to do. One may fail; nothing of ours may panic.
    async fn turn(&self) {
        if let Err(error) = self.started.steps.run_until_idle().await {
            let said = format!("{error:#}");
            assert!(!said.contains("panicked") && !said.contains("unexpectedly"), "{said}");
            *self.trouble.lock().expect("no test panics here") = said;
        }
        let _ = look(&self.started.ground, &Readiness::default()).await;
    }

    /// Goes on until `done`.
    async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        for _ in 0..ROUNDS_MAX {
            self.turn().await;
            if done().await {
                return;
            }
            self.release_reviewed().await;
            self.forward(ROUND);
        }
        let told: Vec<String> = self.deliveries().await.iter().map(|brief| format!("{brief:?}")).collect();
        let trouble = self.trouble.lock().expect("no test panics here").clone();
        panic!("{what}: never; a turn said last '{trouble}'; {}", told.join("; "));
    }

    /// Staff look at what waits for them, find it good and send it; what says nothing of why it waits fails the life.
    async fn release_reviewed(&self) {
        for brief in self.deliveries().await {
            if brief.state == "review" {
                assert!(!brief.note.is_empty(), "{} waits for a person and nobody says why", brief.id);
                let _ = self.desk().release(&brief.id, None).await;
            }
        }
    }

    fn desk(&self) -> Desk {
        clinic::desk_at(&self.started.ground)
    }

    /// All deliveries, newest first.
    async fn deliveries(&self) -> Vec<Brief> {
        let filter = || DeliveryFilter { count_max: 1000, ..DeliveryFilter::default() };
        for _ in 0..PRESSES_MAX {
            if let Ok(all) = self.desk().list(filter()).await {
                return all;
            }
        }
        panic!("the deliveries cannot be read");
    }

    async fn deliveries_of(&self, plot: &Plot) -> Vec<Brief> {
        let all = self.deliveries().await;
        let of = |brief: &Brief| brief.resource.as_deref().is_some_and(|name| name.ends_with(plot.report));
        all.into_iter().filter(of).collect()
    }

    /// The different messages that arrived for a plot, in order. One may arrive twice when nobody could tell whether it had.
    fn messages(&self, plot: &Plot) -> Vec<Mail> {
        let mut all: Vec<Mail> = Vec::new();
        // Where a clock jumps, somebody may be reminded of what they have.
        for mail in self.relay.mails_to(plot.address).into_iter().filter(|mail| mail.text.contains("/r/")) {
            match all.iter().find(|other| other.message_id == mail.message_id) {
                Some(other) => assert_eq!(other.link(), mail.link(), "one message with two links"),
                None => all.push(mail),
            }
        }
        all
    }

    /// Goes on until a plot has its `count` messages, and the clinic knows it.
    async fn mails(&self, plot: &Plot, count: usize) -> String {
        let are_settled = async || {
            let waits = |brief: &Brief| matches!(brief.notice, Some("queued" | "leased"));
            self.messages(plot).len() >= count && !self.deliveries_of(plot).await.iter().any(waits)
        };
        self.until(&format!("message {count} of {}", plot.report), are_settled).await;
        let messages = self.messages(plot);
        assert_eq!(messages.len(), count, "{} was sent more often than it may be", plot.report);
        messages[count - 1].link()
    }

    /// One opening: whoever is first has it, and nobody else ever.
    async fn read_once(&self) {
        let link = self.mails(&READ, 1).await;
        let (mut first, mut second) = (Holder::new(&link), Holder::new(&link));
        let mut granted = None;
        for _ in 0..PRESSES_MAX {
            // Told to come later, the first presses again; the second tries in between.
            granted = press(&mut first).await;
            if granted.is_some() {
                break;
            }
            assert!(press(&mut second).await.is_none() || press(&mut first).await.is_none(), "two have the share");
        }
        assert!(press(&mut second).await.is_none() || granted.is_none(), "two browsers have the share");
        let (winner, granted) = match granted {
            Some(granted) => (first, granted),
            None => {
                let granted = press(&mut second).await.expect("nobody may open a link that was sent");
                (second, granted)
            }
        };
        match fetch(&winner, &granted).await {
            Some(paper) => assert_eq!(paper, READ.paper()),
            None => assert!(self.time_may_jump(), "the file cannot be fetched"),
        }
        confirm(&winner).await;
        self.until("the last opening to end", async || self.states(&READ).await.contains(&"spent")).await;
    }

    /// An opening may then run out before the file is fetched.
    const fn time_may_jump(&self) -> bool {
        matches!(self.fault, Fault::Clock(..))
    }

    async fn states(&self, plot: &Plot) -> Vec<&'static str> {
        self.deliveries_of(plot).await.into_iter().map(|brief| brief.state).collect()
    }

    /// A browser of its own reads the whole paper.
    async fn reads(&self, link: &str) -> Vec<u8> {
        let mut holder = Holder::new(link);
        for _ in 0..PRESSES_MAX {
            if let Some(granted) = press(&mut holder).await {
                let paper = fetch(&holder, &granted).await;
                confirm(&holder).await;
                match paper {
                    Some(paper) => return paper,
                    None => assert!(self.time_may_jump(), "the file cannot be fetched"),
                }
            }
        }
        panic!("a link that stands does not open: {}", says(link).await);
    }

    async fn correct(&self) {
        let old = self.mails(&CORRECTED, 1).await;
        assert_eq!(self.reads(&old).await, CORRECTED.paper());
        self.put_binary("paper-2", &corrected_paper());
        let mut report = with_binary(CORRECTED.resource(), "paper-2");
        report["status"] = json!("corrected");
        self.ehr.put(&report);
        self.tell(&CORRECTED).await;
        let new = self.mails(&CORRECTED, 2).await;
        assert_eq!(self.reads(&new).await, corrected_paper());
        assert_eq!(says(&old).await, "superseded");
    }

    async fn recall(&self) {
        let link = self.mails(&RECALLED, 1).await;
        assert_eq!(self.reads(&link).await, RECALLED.paper());
        let mut report = RECALLED.resource();
        report["status"] = json!("entered-in-error");
        self.ehr.put(&report);
        self.tell(&RECALLED).await;
        self.until("the recall", async || says(&link).await == "recalled").await;
        assert!(press(&mut Holder::new(&link)).await.is_none(), "a recalled link opens");
    }

    async fn revoke(&self) {
        let link = self.mails(&REVOKED, 1).await;
        let id = self.deliveries_of(&REVOKED).await.remove(0).id;
        self.until("the revocation", async || {
            // Not done, or done and not told: staff press again, and are told that it has ended.
            let _ = self.desk().revoke(&id, None).await;
            says(&link).await == "revoked"
        })
        .await;
        assert!(press(&mut Holder::new(&link)).await.is_none(), "a revoked link opens");
    }

    async fn expire(&self) {
        let link = self.mails(&EXPIRED, 1).await;
        self.forward(Duration::from_hours(49));
        self.until("the end of a life", async || says(&link).await == "expired").await;
        assert!(press(&mut Holder::new(&link)).await.is_none(), "an expired link opens");
        self.forward(Duration::from_hours(96));
        let keys = self.place.join("keys");
        self.until("the end of the epoch keys", async || epoch_keys(&keys) == 0).await;
        assert_eq!(says(&link).await, "expired", "the tombstone is gone");
    }

    /// Whatever has not come yet never comes.
    fn mend(&self) {
        match &self.fault {
            Fault::Ehr(_, trigger)
            | Fault::Mail(_, trigger)
            | Fault::Database(_, trigger)
            | Fault::Clock(_, trigger) => {
                trigger.disarm();
            }
            Fault::OfThisDisk => disk::disarm(),
            Fault::Disk(..) => {}
        }
    }

    /// What must be true at the end of every life.
    async fn close(&self) {
        self.mend();
        self.forward(Duration::from_mins(10));
        self.turn().await;
        for (plot, sent, ended) in [
            (&READ, 1, "spent"),
            (&CORRECTED, 2, "expired"),
            (&RECALLED, 1, "recalled"),
            (&REVOKED, 1, "revoked"),
            (&EXPIRED, 1, "expired"),
        ] {
            let messages = self.messages(plot);
            assert_eq!(messages.len(), sent, "{}: messages", plot.report);
            let all = self.deliveries_of(plot).await;
            // By version first: where the clock was set back, the newest is not the youngest.
            let age = |brief: &&Brief| (brief.version.parse::<u32>().ok(), brief.created_at.clone());
            let newest = all.iter().max_by_key(age).expect("it was delivered");
            assert_eq!(newest.state, ended, "{}: {all:?}", plot.report);
            for brief in &all {
                let notice = brief.notice.unwrap_or("none");
                assert!(!["queued", "leased"].contains(&notice), "{}: a message is {notice} for ever", plot.report);
            }
            for mail in messages {
                assert!(press(&mut Holder::new(&mail.link())).await.is_none(), "{}: opens for ever", plot.report);
            }
        }
        assert!(!self.relay.addresses().iter().any(|to| to == SOMEBODY_ELSE), "a stranger was written to");
        let ground = &self.started.ground;
        let verified =
            wait::until_async("the audit to be read", async || verify_audit(&ground.store, &ground.vault).await.ok())
                .await;
        assert!(verified.faults.is_empty(), "the audit does not verify: {:?}", verified.faults);
        self.nothing_leaked();
    }

    fn nothing_leaked(&self) {
        let mut planted = vec![MARK.to_owned(), "Garcia".to_owned()];
        planted.extend(PLOTS.map(|plot| plot.address.to_owned()));
        for plot in PLOTS {
            planted
                .extend(self.messages(plot).iter().filter_map(|mail| Some(mail.link().split_once('#')?.1.to_owned())));
        }
        for (path, bytes) in files_below(&self.place) {
            for text in &planted {
                let is_there = bytes.windows(text.len()).any(|window| window == text.as_bytes());
                assert!(!is_there, "{} lies open in {}", text.split('@').next().unwrap_or_default(), path.display());
            }
        }
        let blobs = files_below(&self.place.join("blobs"));
        assert!(blobs.is_empty(), "{} sealed files of dead links are left", blobs.len());
    }
}

fn with_binary(mut report: Value, id: &str) -> Value {
    report["presentedForm"] = json!([{"contentType": "application/pdf", "url": format!("Binary/{id}")}]);
    report
}

fn epoch_keys(keys: &std::path::Path) -> usize {
    let is_epoch = |path: &std::path::PathBuf| path.to_string_lossy().contains("epoch");
    files_below(keys).into_iter().filter(|(path, _)| is_epoch(path)).count()
}

fn files_below(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // What only leads to the program is none of its files.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path, bytes));
        }
    }
    found
}
