//! The program as one or two processes that are killed at chosen moments of their work, while reports arrive.
//!
//! A moment is something that shows from outside: the k-th request to the EHR, the k-th word to the mail server, the k-th
//! hook acknowledged. The signal lands a little later, wherever the program is by then.

use std::sync::{Arc, Mutex};

use chartseal::base::Key256;
use chartseal::keys::{KeyRing, Vault};
use chartseal::sealing::hmac_sha256;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::clinic::{Database, Wishes, real_now};
use super::ehr_double::{Act, EhrDouble};
use super::mailbox::{Mail, Mailbox, Manner};
use super::service::{Installation, Service};
use super::wire::Wire;
use super::{ehr, pdf, wait, web_client};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    EhrAsked,
    RelaySpokenTo,
    HookAcknowledged,
}

/// Counts signs, and calls when the awaited one has come.
#[derive(Clone, Default)]
pub struct Signs(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The sign and how often it must still come.
    awaited: Mutex<Option<(Sign, usize)>>,
    come: Notify,
}

impl Signs {
    fn tell(&self, sign: Sign) {
        let mut awaited = self.0.awaited.lock().expect("no test panics here");
        if let Some((wanted, left)) = awaited.as_mut()
            && *wanted == sign
        {
            *left -= 1;
            if *left == 0 {
                *awaited = None;
                self.0.come.notify_one();
            }
        }
    }

    /// From now on: the `count`-th `sign` is awaited.
    pub fn expect(&self, sign: Sign, count: usize) {
        *self.0.awaited.lock().expect("no test panics here") = Some((sign, count));
    }

    /// Waits for what is expected.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn come(&self) {
        tokio::time::timeout(wait::HANGS, self.0.come.notified()).await.expect("the awaited sign comes");
    }
}

/// An installation with its EHR and its relay, both of which tell what they see.
pub struct UnderFire {
    pub installation: Arc<Installation>,
    pub ehr: EhrDouble,
    pub mailbox: Mailbox,
    pub signs: Signs,
    hook_secret: String,
    _wire: Wire,
}

impl UnderFire {
    /// Hears by hooks alone when `poll_seconds` is out of reach, else by both.
    pub async fn lay(database: Database, poll_seconds: &'static str) -> Self {
        let (ehr, mailbox, signs) = (EhrDouble::start().await, Mailbox::start(Manner::Plain).await, Signs::default());
        let seen = signs.clone();
        ehr.behave(move |_| {
            seen.tell(Sign::EhrAsked);
            Act::AsUsual
        });
        let seen = signs.clone();
        let wire = Wire::lay(mailbox.port, move |_| {
            seen.tell(Sign::RelaySpokenTo);
            None
        })
        .await;
        let wishes = Wishes { database, more: "connections_max = 4".to_owned(), ..Wishes::default() };
        let variables = [("CHARTSEAL__EHR__0__POLL_SECONDS", poll_seconds)];
        let installation = Installation::write(&wishes, &ehr.base_url, wire.port, &variables).await;
        let vault = Vault::new(KeyRing::open(&installation.folder.join("keys")).expect("the keys are there"));
        let mac = hmac_sha256(vault.pepper(), &[b"chartseal/1/hook", b"lab"]);
        let hook_secret = Key256::new(mac).to_base64url().expose().to_owned();
        Self { installation, ehr, mailbox, signs, hook_secret, _wire: wire }
    }

    /// Puts the final report of this number and its patient into the EHR.
    pub fn put_report(&self, number: usize) -> Value {
        let patient = format!("p-{number}");
        self.ehr.put(&ehr::patient(&patient, "Garcia", "Ana", "1984-05-06", &address_of(number)));
        let mut report = ehr::report(&patient, "4548-4", &real_now(), &paper_of(number));
        report["id"] = json!(format!("r-{number}"));
        self.ehr.put(&report);
        report
    }

    /// What an EHR with a hook does: it says so again until it is acknowledged, at whichever of `urls` answers.
    pub async fn say_by_hook(&self, report: &Value, urls: &[String]) {
        let id = report["id"].as_str().expect("a report has an id");
        let mut turn = 0;
        wait::until_async("the hook to be acknowledged", async || {
            turn += 1;
            let url = &urls[turn % urls.len()];
            let request = web_client::new()
                .put(format!("{url}/fhir/hook/lab/DiagnosticReport/{id}"))
                .header(chartseal::intake::HOOK_HEADER, &self.hook_secret)
                .header("Content-Type", "application/fhir+json")
                .body(report.to_string());
            let status = request.send().await.ok()?.status();
            assert_ne!(status, StatusCode::UNAUTHORIZED, "the secret is the right one");
            (status == StatusCode::OK).then_some(())
        })
        .await;
        self.signs.tell(Sign::HookAcknowledged);
    }

    /// Waits until every report below `count` was mailed at least once; all mails.
    ///
    /// # Panics
    /// When one is not.
    pub async fn all_mailed(&self, count: usize) -> Vec<Mail> {
        wait::until("every report to be mailed", || {
            let mut mailed = self.mailbox.recipients();
            mailed.sort();
            mailed.dedup();
            (mailed.len() == count).then_some(())
        })
        .await;
        self.mailbox.mails()
    }

    /// A configuration of another replica of the same installation, and its addresses.
    ///
    /// # Panics
    /// When the installation has no configuration.
    pub fn second_config(&self) -> std::path::PathBuf {
        second_config(&self.installation)
    }

    /// Every line of the audit.
    ///
    /// # Panics
    /// When it does not verify.
    pub fn verified_audit(&self) -> Vec<Value> {
        let verified = self.installation.command(&["audit", "verify"]);
        assert_eq!(verified.code, 0, "{}", verified.all());
        let exported = self.installation.command(&["audit", "export"]);
        assert_eq!(exported.code, 0, "{}", exported.err);
        exported.out.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }
}

/// The same installation at other addresses, for a replica beside the first.
///
/// # Panics
/// When the installation has no configuration.
pub fn second_config(installation: &Installation) -> std::path::PathBuf {
    let text = std::fs::read_to_string(&installation.config).expect("there is a configuration");
    let moved = |line: &str| {
        let key = ["listen", "admin_listen"].into_iter().find(|key| line.starts_with(&format!("{key} = ")));
        key.map_or_else(|| line.to_owned(), |key| format!("{key} = \"127.0.0.1:{}\"", installation.folder.port()))
    };
    let path = installation.folder.join(format!("replica-{}.toml", installation.folder.port()));
    std::fs::write(&path, text.lines().map(moved).collect::<Vec<_>>().join("\n")).expect("the folder is ours");
    path
}

/// Waits until this process says that it is ready.
///
/// # Panics
/// When it ends or does not become ready.
pub async fn ready(service: &Service) {
    wait::until_async("the service to be ready", async || {
        service.assert_running();
        (service.status("readyz").await == Some(200)).then_some(())
    })
    .await;
}

pub fn address_of(number: usize) -> String {
    format!("patient-{number}@example.test")
}

/// Of the report of this number, and of no other.
pub fn paper_of(number: usize) -> Vec<u8> {
    pdf::with_pages(&[&format!("Report {number}: HbA1c 5.4 %")])
}
