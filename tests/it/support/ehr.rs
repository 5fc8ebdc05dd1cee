//! A real EHR: `sekmet-fhir` (`PyPI`), a FHIR R4 server that sends subscriptions, driven by plain JSON as a lab would.
//!
//! It cannot serve raw Binary, sign its pushes, or tell of deletes; a test that needs those needs a double, named as one.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::part::{EndWith, Part, Recipe};
use super::place::Place;
use super::{python, wait, web_client};

/// The driver's own token on an EHR that asks for credentials, next to the ones that the test chose.
const DRIVER_TOKEN: &str = "the-drivers-own-token";

/// How the server behaves; the default is an open server that pushes by PUT and refers relatively.
#[derive(Clone, Default)]
pub struct EhrOptions {
    pub pushes: Pushes,
    pub references: References,
    pub auth: EhrAuth,
    /// Where it listens, for a clinic that was set up before it; `None`: anywhere.
    pub port: Option<u16>,
}

/// How a classic subscription with a payload arrives.
#[derive(Clone, Copy, Default)]
pub enum Pushes {
    /// `PUT <endpoint>/<Type>/<id>`.
    #[default]
    Put,
    /// `POST <endpoint>`.
    Post,
}

#[derive(Clone, Copy, Default)]
pub enum References {
    #[default]
    Relative,
    Absolute,
}

/// What the server asks of a client.
#[derive(Clone, Default)]
pub enum EhrAuth {
    #[default]
    Open,
    Basic {
        user: String,
        password: String,
    },
    Bearer {
        token: String,
    },
    /// SMART Backend Services: a registered client, and tokens that live this long.
    Smart {
        client_id: String,
        registered: Registered,
        scopes: String,
        token_lifetime_seconds: u32,
    },
}

/// What the server was told of its client.
#[derive(Clone)]
pub enum Registered {
    /// Public keys, typed in by hand.
    Jwks(Value),
    /// Where the public keys are read.
    JwksUrl(String),
    Secret(String),
}

/// A running server with a store of its own; it ends when dropped or when the test process dies.
pub struct Ehr {
    base_url: String,
    part: Part,
    options: EhrOptions,
}

/// One test's hands on a server, whoever wrote it.
pub struct Lab<'ehr> {
    base_url: &'ehr str,
    credentials: Credentials,
    client: reqwest::Client,
}

#[derive(Clone, Copy)]
enum Credentials {
    None,
    DriverToken,
}

impl<'ehr> Lab<'ehr> {
    /// Hands on a server that asks for no credentials.
    pub fn at(base_url: &'ehr str) -> Self {
        Self { base_url, credentials: Credentials::None, client: web_client::new() }
    }
}

/// The server that tests share which need no options: use patient ids that no other test uses.
///
/// # Panics
/// When the server is not installed or does not start.
pub async fn shared() -> Lab<'static> {
    static SHARED: OnceCell<Ehr> = OnceCell::const_new();
    SHARED.get_or_init(|| Ehr::start(EhrOptions::default())).await.lab()
}

/// Servers that tests take in turns, one test at a time each: what one test's lab writes no other test's clinic hears.
const LEASED_EHRS: usize = 3;

/// A server that only this test uses until the lease is dropped.
pub struct LeasedEhr {
    ehr: &'static Ehr,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl LeasedEhr {
    pub fn base_url(&self) -> &str {
        self.ehr.base_url()
    }

    pub fn lab(&self) -> Lab<'_> {
        self.ehr.lab()
    }
}

/// Waits for a server that nobody uses, and removes the subscriptions and reports of whoever used it before: a clinic whose
/// clock was stepped ahead of the server's would take them for new.
///
/// # Panics
/// When the server is not installed or does not start.
pub async fn lease() -> LeasedEhr {
    static TURNS: [tokio::sync::Mutex<()>; LEASED_EHRS] = [const { tokio::sync::Mutex::const_new(()) }; LEASED_EHRS];
    static EHRS: [OnceCell<Ehr>; LEASED_EHRS] = [const { OnceCell::const_new() }; LEASED_EHRS];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let free = TURNS.iter().position(|turn| turn.try_lock().is_ok());
    let slot = free.unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed) % LEASED_EHRS);
    let turn = TURNS[slot].lock().await;
    let ehr = EHRS[slot].get_or_init(|| Ehr::start(EhrOptions::default())).await;
    let leased = LeasedEhr { ehr, _turn: turn };
    for kind in ["Subscription", "DiagnosticReport", "DocumentReference"] {
        for left in leased.lab().all(kind).await {
            leased.lab().delete(kind, &text(&left, "id")).await;
        }
    }
    leased
}

impl Ehr {
    /// Starts a server of one's own; it takes 2 to 10 seconds.
    ///
    /// # Panics
    /// When the server is not installed or does not start.
    pub async fn start(options: EhrOptions) -> Self {
        let place = Place::new("ehr");
        let port = options.port.unwrap_or_else(|| place.port());
        let base_url = format!("http://127.0.0.1:{port}/fhir");
        write_settings(&place, port, &base_url, &options);
        let recipe = Recipe {
            name: "sekmet",
            command: vec![python::program("sekmet").into(), "serve".into()],
            environment: vec![("SEKMET_CONFIG", "ehr.yaml".into())],
            end_with: EndWith::Terminate,
        };
        let ehr = Self { base_url, part: Part::start(recipe, place), options };
        let lab = ehr.lab();
        wait::until_async("the EHR", async || {
            ehr.part.assert_running();
            let answer = lab.client.get(format!("{}/metadata", ehr.base_url)).send().await;
            answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        drop(lab);
        ehr
    }

    /// The FHIR base, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// A driver for the calling test's runtime.
    pub fn lab(&self) -> Lab<'_> {
        let credentials = match self.options.auth {
            EhrAuth::Open => Credentials::None,
            EhrAuth::Basic { .. } | EhrAuth::Bearer { .. } | EhrAuth::Smart { .. } => Credentials::DriverToken,
        };
        Lab { credentials, ..Lab::at(&self.base_url) }
    }
}

impl Lab<'_> {
    /// One request as JSON: the status and the body (`Null` when there is none). `path` is below the base.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request =
            self.client.request(method, format!("{}/{path}", self.base_url)).header("Accept", "application/fhir+json");
        if let Some(body) = body {
            request = request.header("Content-Type", "application/fhir+json").body(body.to_string());
        }
        match self.credentials {
            Credentials::None => {}
            Credentials::DriverToken => request = request.bearer_auth(DRIVER_TOKEN),
        }
        let answer = request.send().await.expect("the EHR answers");
        let status = answer.status();
        let bytes = answer.bytes().await.expect("the EHR's answer is whole");
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Creates a resource; the id that the server gave it.
    pub async fn post(&self, resource: &Value) -> String {
        let kind = text(resource, "resourceType");
        let (status, made) = self.send(Method::POST, &kind, Some(resource)).await;
        assert_eq!(status, StatusCode::CREATED, "the EHR took no {kind}");
        text(&made, "id")
    }

    /// Creates or replaces a resource under its own id; the version that the server gave it.
    pub async fn update(&self, resource: &Value) -> String {
        let path = format!("{}/{}", text(resource, "resourceType"), text(resource, "id"));
        let (status, kept) = self.send(Method::PUT, &path, Some(resource)).await;
        assert!(status.is_success(), "the EHR took no {path}: {status}");
        text(&kept["meta"], "versionId")
    }

    /// The resource as the server has it now.
    pub async fn read(&self, kind: &str, id: &str) -> Value {
        let (status, resource) = self.send(Method::GET, &format!("{kind}/{id}"), None).await;
        assert_eq!(status, StatusCode::OK, "the EHR has no {kind}/{id}");
        resource
    }

    /// Reads the resource, lets `change` edit it, and writes it back as a new version.
    pub async fn change(&self, kind: &str, id: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut resource = self.read(kind, id).await;
        change(&mut resource);
        self.update(&resource).await
    }

    /// Deletes the resource; from then on the server answers 410. No subscription tells of it.
    pub async fn delete(&self, kind: &str, id: &str) {
        let (status, _) = self.send(Method::DELETE, &format!("{kind}/{id}"), None).await;
        assert!(status.is_success(), "the EHR did not delete {kind}/{id}: {status}");
    }

    /// All subscriptions, newest state.
    pub async fn subscriptions(&self) -> Vec<Value> {
        self.all("Subscription").await
    }

    /// Everything of one type, newest state.
    pub async fn all(&self, kind: &str) -> Vec<Value> {
        let (_, found) = self.send(Method::GET, &format!("{kind}?_count=1000"), None).await;
        let entries = found["entry"].as_array().cloned().unwrap_or_default();
        entries.into_iter().map(|mut entry| entry["resource"].take()).filter(|r| r["resourceType"] == kind).collect()
    }

    /// Sets a subscription's status, as an EHR administrator does (`off`) or a client that re-arms (`requested`).
    pub async fn set_subscription_status(&self, id: &str, status: &str) {
        self.change("Subscription", id, |subscription| subscription["status"] = json!(status)).await;
    }

    /// Waits until the subscription reaches `status` (`active` after creation, `error` after failed pushes).
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_for_subscription(&self, id: &str, status: &str) {
        wait::until_async(&format!("the subscription to become {status}"), async || {
            (self.read("Subscription", id).await["status"] == status).then_some(())
        })
        .await;
    }
}

/// An id that no other test of this run uses.
pub fn new_patient_id() -> String {
    static PATIENTS: AtomicU32 = AtomicU32::new(1);
    format!("p-{}", PATIENTS.fetch_add(1, Ordering::Relaxed))
}

/// A patient with an e-mail address; more can be set on the value.
pub fn patient(id: &str, family: &str, given: &str, birth_date: &str, email: &str) -> Value {
    json!({
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"system": "urn:oid:1.2.3.4.5.1", "value": format!("MRN-{id}")}],
        "name": [{"use": "official", "family": family, "given": [given]}],
        "birthDate": birth_date,
        "telecom": [{"system": "email", "value": email, "use": "home", "rank": 1}],
    })
}

/// A final laboratory report of one LOINC code for `patient_id`, issued at `issued` (an RFC 3339 instant), with the PDF inline.
pub fn report(patient_id: &str, loinc: &str, issued: &str, pdf: &[u8]) -> Value {
    json!({
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "subject": {"reference": format!("Patient/{patient_id}")},
        "effectiveDateTime": issued,
        "issued": issued,
        "presentedForm": [attachment(pdf)],
    })
}

/// A current, final document for `patient_id` with the PDF inline.
pub fn document(patient_id: &str, loinc: &str, date: &str, pdf: &[u8]) -> Value {
    json!({
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "subject": {"reference": format!("Patient/{patient_id}")},
        "date": date,
        "content": [{"attachment": attachment(pdf)}],
    })
}

/// A PDF as a resource of its own; `Binary/<id>` then stands in an attachment's `url`.
pub fn binary(pdf: &[u8]) -> Value {
    json!({"resourceType": "Binary", "contentType": "application/pdf", "data": BASE64.encode(pdf)})
}

/// A classic R4 rest-hook subscription with the whole resource as payload.
pub fn subscription(criteria: &str, endpoint: &str, header: &str) -> Value {
    json!({
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "result release",
        "criteria": criteria,
        "channel": {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json", "header": [header]},
    })
}

fn attachment(pdf: &[u8]) -> Value {
    json!({"contentType": "application/pdf", "data": BASE64.encode(pdf), "size": pdf.len(), "title": "Report"})
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("a resource has {key}")).to_owned()
}

/// The server reads YAML, of which JSON is a part.
fn write_settings(folder: &Path, port: u16, base_url: &str, options: &EhrOptions) {
    let pushes = match options.pushes {
        Pushes::Put => "put-resource",
        Pushes::Post => "post-endpoint",
    };
    let auth = match &options.auth {
        EhrAuth::Open => json!({"types": ["none"]}),
        EhrAuth::Basic { user, password } => {
            json!({"types": ["basic", "bearer"], "users": {user: password}, "tokens": [DRIVER_TOKEN]})
        }
        EhrAuth::Bearer { token } => json!({"types": ["bearer"], "tokens": [token, DRIVER_TOKEN]}),
        EhrAuth::Smart { client_id, registered, scopes, token_lifetime_seconds } => {
            let (how, what) = match registered {
                Registered::Jwks(set) => ("jwks", set.clone()),
                Registered::JwksUrl(url) => ("jwks_url", json!(url)),
                Registered::Secret(secret) => ("client_secret", json!(secret)),
            };
            let client = json!({"client_id": client_id, how: what, "scopes": scopes});
            json!({
                "types": ["smart", "bearer"],
                "tokens": [DRIVER_TOKEN],
                "token_lifetime": token_lifetime_seconds,
                "smart_clients": [client],
            })
        }
    };
    let settings = json!({
        "base_url": base_url,
        "host": "127.0.0.1",
        "port": port,
        "db_path": "ehr.db",
        "data_dir": "data",
        "simulator": {"enabled": false},
        "log_inbound": false,
        "subscriptions": {"notify_method": pushes, "retries": 3},
        "server_behaviour": {"absolute_references": matches!(options.references, References::Absolute)},
        "server_auth": auth,
    });
    std::fs::write(folder.join("ehr.yaml"), settings.to_string()).expect("the folder is ours");
}
