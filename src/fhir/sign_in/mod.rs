//! Signing in to an EHR by a token of OAuth 2.0 (`client_credentials`, RFC 6749 §4.4), as SMART Backend Services asks.
//!
//! Must stay true: at any time at most one request for a token is under way; a secret, an assertion and a token go to the
//! token endpoint and to the EHR's own origin alone; nothing of them reaches a log, an error or a `Debug`.

mod answer;
mod cache;
mod discover;
mod fault;
mod scope;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use futures_util::future::BoxFuture;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use url::Url;
use zeroize::Zeroizing;

use super::client::Limits;
use super::error::EhrError;
use super::service::ServiceBase;
use super::transport;
use crate::base::{Clock, SecretText, random, seconds};
use crate::signing::{Algorithm, Claims, SigningKey};
use answer::{Granted as Answered, judge};
use cache::{Dropped, Held, Plan, Token};
use discover::{Endpoint, Found};

pub use fault::{Proof, SignInFault};
pub use scope::Granted;

/// For one answer of a token endpoint, also where the EHR's answers may take longer: everything else waits for it.
const TOKEN_ANSWER_MAX: Duration = seconds(30);
const JSON: &str = "application/json";
/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// A clock that is off by less is not why a client is refused.
const CLOCK_OFF_MIN: Duration = seconds(30);

/// How a token is asked for.
pub struct TokenAuth {
    pub client_id: String,
    pub proof: ClientProof,
    /// As the EHR's operator writes it; `None`: as its `.well-known/smart-configuration` says, within its own origin.
    pub token_url: Option<String>,
    /// What is asked for, separated by spaces.
    pub scope: String,
    pub clock: Clock,
}

/// How we show that we are the client.
pub enum ClientProof {
    /// An assertion signed by this installation's key.
    Assertion { algorithm: Algorithm, keys: Arc<dyn AssertionKeys> },
    /// RFC 6749 §2.3.1.
    Secret { secret: SecretText, carried: SecretCarried },
    /// The certificate of the connection (RFC 8705 §2.1).
    Certificate,
}

/// Where a client secret stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretCarried {
    /// `client_secret_basic`.
    Header,
    /// `client_secret_post`.
    Body,
}

/// The pairs that sign now. `former`: the one before, as long as an EHR may know no other.
#[derive(Clone)]
pub struct KeysNow {
    pub current: Arc<SigningKey>,
    pub former: Option<Arc<SigningKey>>,
}

/// The installation's keys cannot be had now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysAway;

/// Where the keys come from. Asked before each assertion, so that all replicas sign with the same pair.
pub trait AssertionKeys: Send + Sync {
    fn keys(&self, algorithm: Algorithm) -> BoxFuture<'_, Result<KeysNow, KeysAway>>;
}

/// One client at one EHR, and the token it holds.
pub(super) struct SignIn {
    auth: TokenAuth,
    base: ServiceBase,
    http: reqwest::Client,
    answer_max: Duration,
    held: Mutex<Held>,
    /// Held by whoever asks for a token; all others wait for what comes of it.
    flight: Arc<tokio::sync::Mutex<()>>,
    found: Mutex<Option<Found>>,
    granted: Mutex<scope::News>,
    /// How far the EHR's clock is ahead of ours, by its last answer here.
    clock_off_ms: AtomicI64,
}

impl SignIn {
    pub(super) fn new(auth: TokenAuth, base: ServiceBase, http: reqwest::Client, limits: &Limits) -> Self {
        Self {
            auth,
            base,
            http,
            answer_max: limits.answer_timeout.min(TOKEN_ANSWER_MAX),
            held: Mutex::default(),
            flight: Arc::default(),
            found: Mutex::default(),
            granted: Mutex::default(),
            clock_off_ms: AtomicI64::new(0),
        }
    }

    /// The header that opens the EHR.
    pub(super) async fn header(self: &Arc<Self>) -> Result<HeaderValue, EhrError> {
        match self.plan() {
            Plan::Use(header) => Ok(header),
            Plan::Refuse(error) => Err(error),
            Plan::UseAndRenew(header) => {
                // Whoever else renews it does; the old one is good until then, and nobody waits.
                if let Ok(flight) = Arc::clone(&self.flight).try_lock_owned() {
                    drop(self.take_off(flight));
                }
                Ok(header)
            }
            Plan::Ask => {
                let flight = Arc::clone(&self.flight).lock_owned().await;
                match self.plan() {
                    Plan::Use(header) | Plan::UseAndRenew(header) => Ok(header),
                    Plan::Refuse(error) => Err(error),
                    // A task that broke off has asked for nothing.
                    Plan::Ask => self.take_off(flight).await.unwrap_or(Err(SignInFault::Unreachable.into())),
                }
            }
        }
    }

    /// Asks for a token by itself: who waits for it may give up, and others have it all the same.
    fn take_off(self: &Arc<Self>, flight: OwnedMutexGuard<()>) -> JoinHandle<Result<HeaderValue, EhrError>> {
        let sign_in = Arc::clone(self);
        tokio::spawn(async move {
            let renewed = sign_in.renew().await;
            drop(flight);
            renewed
        })
    }

    /// The EHR answered 401 to `header`. Whether there is any use in trying once more.
    pub(super) fn refused(&self, header: &HeaderValue) -> Dropped {
        self.held().refused(header, self.auth.clock.now())
    }

    pub(super) fn news(&self) -> Option<Granted> {
        lock(&self.granted).untold()
    }

    pub(super) fn told(&self, granted: &Granted) {
        lock(&self.granted).told(granted);
    }

    fn plan(&self) -> Plan {
        self.held().plan(self.auth.clock.now())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }

    /// Asks for a token; only under the flight.
    async fn renew(&self) -> Result<HeaderValue, EhrError> {
        // By the moment of asking: at the EHR it is never younger than we think.
        let asked_at = self.auth.clock.now();
        match self.ask().await {
            Ok(Answered { header, life, scope }) => {
                let granted = Granted::of(&self.auth.scope, scope.as_deref());
                lock(&self.granted).heard(granted);
                self.held().keep(Token::new(header.clone(), asked_at, life));
                Ok(header)
            }
            Err(error) => {
                // The EHR may have moved its endpoint.
                *lock(&self.found) = None;
                self.held().failed(&error, self.auth.clock.now());
                Err(error)
            }
        }
    }

    async fn ask(&self) -> Result<Answered, EhrError> {
        let endpoint = self.endpoint().await?;
        let off_ms = self.clock_off_ms.load(Ordering::Relaxed);
        let first = self.ask_with(&endpoint, Which::Current).await;
        let Err(EhrError::SignIn(SignInFault::RefusedClient { .. })) = &first else { return first };
        let ClientProof::Assertion { algorithm, keys } = &self.auth.proof else { return first };
        let learnt = self.clock_off_ms.load(Ordering::Relaxed);
        let mut last = first;
        if Duration::from_millis(learnt.abs_diff(off_ms)) > CLOCK_OFF_MIN {
            // By our clock the assertion ended in its past, or too far in its future.
            last = self.ask_with(&endpoint, Which::Current).await;
        }
        let has_former = keys.keys(*algorithm).await.is_ok_and(|now| now.former.is_some());
        if matches!(&last, Err(EhrError::SignIn(SignInFault::RefusedClient { .. }))) && has_former {
            last = match self.ask_with(&endpoint, Which::Former).await {
                Ok(answered) => {
                    tracing::warn!("an EHR knows only the former of our keys: it has not read our JWK Set again");
                    Ok(answered)
                }
                Err(_) => last,
            };
        }
        last
    }

    async fn ask_with(&self, endpoint: &Endpoint, which: Which) -> Result<Answered, EhrError> {
        let mut form = vec![("grant_type", Zeroizing::new("client_credentials".to_owned()))];
        if !self.auth.scope.is_empty() {
            form.push(("scope", Zeroizing::new(self.auth.scope.clone())));
        }
        let mut request = self.http.post(endpoint.url.clone()).header(ACCEPT, JSON);
        let client_id = || Zeroizing::new(self.auth.client_id.clone());
        match &self.auth.proof {
            ClientProof::Assertion { algorithm, keys } => {
                let assertion = self.assertion(endpoint, *algorithm, keys.as_ref(), which).await?;
                form.push(("client_assertion_type", Zeroizing::new(ASSERTION_TYPE.to_owned())));
                form.push(("client_assertion", Zeroizing::new(assertion.expose().to_owned())));
            }
            ClientProof::Secret { secret, carried: SecretCarried::Body } => {
                form.push(("client_id", client_id()));
                form.push(("client_secret", Zeroizing::new(secret.expose().to_owned())));
            }
            ClientProof::Secret { secret, carried: SecretCarried::Header } => {
                request = request.header(AUTHORIZATION, basic(&self.auth.client_id, secret)?);
            }
            ClientProof::Certificate => form.push(("client_id", client_id())),
        }
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(encoded(&form));
        let response = transport::send_raw(request, self.answer_max).await.map_err(fault::of_connection)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let off = self.learn_clock(&headers);
        let body = match transport::body(response, answer::BYTES_MAX).await {
            Ok(body) => body,
            Err(EhrError::TooLarge { .. }) => return Err(SignInFault::NoToken { why: "it is too large" }.into()),
            Err(error) => return Err(fault::of_connection(error)),
        };
        judge(status, &headers, &body, self.proof(), off)
    }

    async fn assertion(
        &self,
        endpoint: &Endpoint,
        algorithm: Algorithm,
        keys: &dyn AssertionKeys,
        which: Which,
    ) -> Result<SecretText, EhrError> {
        let KeysNow { current, former } = keys.keys(algorithm).await.map_err(|KeysAway| SignInFault::KeysAway)?;
        let key = match which {
            Which::Current => current,
            Which::Former => former.unwrap_or(current),
        };
        let off_ms = self.clock_off_ms.load(Ordering::Relaxed);
        let mut now = self.auth.clock.now();
        if Duration::from_millis(off_ms.unsigned_abs()) > CLOCK_OFF_MIN {
            now.0 = now.0.saturating_add(off_ms);
        }
        let claims = Claims { client_id: &self.auth.client_id, audience: &endpoint.text, now };
        key.assertion(&claims, &mut random::system()).map_err(|_| SignInFault::KeysAway.into())
    }

    async fn endpoint(&self) -> Result<Endpoint, EhrError> {
        if let Some(text) = &self.auth.token_url {
            let url = Url::parse(text).map_err(|_| EhrError::Settings { why: "token_url is not a URL" })?;
            return Ok(Endpoint { url, text: text.clone() });
        }
        let now = self.auth.clock.now();
        if let Some(found) = lock(&self.found).as_ref().filter(|found| found.is_fresh(now)) {
            return Ok(found.endpoint.clone());
        }
        let (endpoint, headers) = discover::ask(&self.http, &self.base, self.answer_max).await?;
        self.learn_clock(&headers);
        *lock(&self.found) = Some(Found { endpoint: endpoint.clone(), at: now });
        Ok(endpoint)
    }

    /// Returns how far the EHR's clock is ahead of ours.
    fn learn_clock(&self, headers: &HeaderMap) -> i64 {
        if let Some(theirs) = transport::server_date(headers) {
            let off = theirs.0.saturating_sub(self.auth.clock.now().0);
            self.clock_off_ms.store(off, Ordering::Relaxed);
        }
        self.clock_off_ms.load(Ordering::Relaxed)
    }

    const fn proof(&self) -> Proof {
        match &self.auth.proof {
            ClientProof::Assertion { .. } => Proof::Key,
            ClientProof::Secret { .. } => Proof::Secret,
            ClientProof::Certificate => Proof::Certificate,
        }
    }
}

#[derive(Clone, Copy)]
enum Which {
    Current,
    Former,
}

fn encoded(form: &[(&str, Zeroizing<String>)]) -> String {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form.iter().map(|(name, value)| (*name, value.as_str()))).finish()
}

/// Both halves are form-encoded first (RFC 6749 §2.3.1).
fn basic(client_id: &str, secret: &SecretText) -> Result<HeaderValue, EhrError> {
    let encoded =
        |text: &str| Zeroizing::new(url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let pair = Zeroizing::new(format!("{}:{}", *encoded(client_id), *encoded(secret.expose())));
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()));
    sensitive(&Zeroizing::new(text))
}

/// A header's value that no `Debug` shows.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, EhrError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| EhrError::Settings { why: "the token holds a character that a header cannot carry" })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What is held is whole after each change, also after a panic elsewhere.
fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) use cache::Dropped as AfterRefusal;
