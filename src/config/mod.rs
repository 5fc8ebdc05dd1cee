//! The configuration: one strict parse of `chartseal.toml` and the environment.
//!
//! Job: turn both into typed values, with defaults on which one machine can run.
//! Must stay true: an unknown key, a bad value or a missing file is a mistake, and all mistakes are told
//! at once, each with its place and what would be right; secrets come from files and variables only and
//! are never shown; the environment is read by the caller, once, and passed in.
//! Must not know: what the values are used for.
//!
//! `CHARTSEAL__SECTION__KEY` overrides a key, `CHARTSEAL__EHR__0__BASE_URL` one of a list of sections;
//! a list of values is separated by commas. Relative paths start at the file's directory.

mod mistake;
mod section;
mod sections;
mod sms;
mod source;
mod starter;
#[cfg(test)]
mod tests;
mod units;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;
use url::Url;

use crate::base::{ClinicId, EhrId, EmailAddress, FhirId, LanguageTag, Region, SecretText, UtcMillis};
use crate::blobs::BlobUrl;
use crate::cell::Reader;
use crate::fhir::{TopicContent, TopicFilter, WithoutAttachment};
use crate::notify::text::TextName;
use crate::notify::{BounceAddress, Messages};
use crate::record::Told;
use crate::release::MalwareScan;
use crate::signing::{Algorithm, RotateEvery};
use crate::sweep::Reminders;
use crate::whose::Demand;

pub use mistake::{ConfigError, Mistake, Place};
pub use sections::{SCOPE, SCOPE_TO_SUBSCRIBE};
pub use sms::{Sms, SmsFrom, SmsGateway, SmsRecipients};
pub use starter::{Starter, starter_config};

/// Everything that an installation decides. Holds secrets: no Debug.
#[derive(Clone)]
pub struct Config {
    pub server: Server,
    pub store: StoreUrl,
    pub blobs: BlobUrl,
    pub keys_dir: PathBuf,
    /// How often the keys by which EHRs know us change by themselves.
    pub rotate_signing_keys: RotateEvery,
    pub mode: Mode,
    pub clinics: Vec<Clinic>,
    pub ehrs: Vec<Ehr>,
    /// In [`Mode::Live`] there is at least one of `mail` and `sms`.
    pub mail: Option<Mail>,
    pub sms: Option<Sms>,
    pub policy_file: PathBuf,
    pub retention: Retention,
    pub limits: Limits,
    pub malware: MalwareScan,
    /// Starts what reads strangers' documents. No key says how: who loads the configuration knows what it runs as.
    pub reader: Reader,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    /// Health and metrics.
    pub admin_listen: SocketAddr,
    /// What patients' links begin with; an origin, with `/` as its path.
    pub patient_url: Url,
    /// Where staff reach the console; an origin.
    pub staff_url: Url,
    /// Only these may say who the client is.
    pub trusted_proxies: Vec<IpNet>,
    /// What stands on pages that belong to no clinic.
    pub display_name: Option<String>,
}

#[derive(Clone)]
pub enum StoreUrl {
    Sqlite(PathBuf),
    /// `url` carries no password.
    Postgres {
        url: Url,
        password: Option<SecretText>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything is decided and shown; nothing leaves.
    Shadow,
    Live,
}

#[derive(Clone, Debug)]
pub struct Clinic {
    pub id: ClinicId,
    pub name: String,
    pub phone: ClinicPhone,
    pub timezone: Tz,
    /// Of messages and pages, where the patient's is none of those that we write.
    pub language: LanguageTag,
    /// The sender of its messages.
    pub from: EmailAddress,
    /// Its own words for them, where it has some.
    pub messages: Messages,
    /// Where its staff are told what they should know of single links; `None`: nowhere but in lists.
    pub staff_email: Option<EmailAddress>,
    /// Whether their recipients are reminded of links that nobody opened.
    pub reminders: Reminders,
    /// From this birthday on nobody stands by its patients by law.
    pub adult_at_years: u16,
    /// Where numbers without `+` are at home; always there beside `[sms]`.
    pub region: Option<Region>,
    /// How its texts call it; always there beside `[sms]`.
    pub text_name: Option<TextName>,
}

/// A phone number as the clinic prints it: digits, spaces, `+ - . / ( )`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClinicPhone(String);

#[derive(Clone)]
pub struct Ehr {
    pub id: EhrId,
    /// The FHIR base, with a `/` at its end.
    pub base_url: Url,
    pub auth: EhrAuth,
    pub tls: EhrTls,
    pub subscribe: Subscribe,
    pub events: Events,
    pub poll_every: Duration,
    pub hook_auth: HookAuth,
    /// For one answer, other than an attachment; no silence within any answer may be longer.
    pub answer_max: Duration,
    /// The address at which this EHR reaches `/fhir/hook/{ehr}`; an origin or a path prefix ending in `/`.
    pub hook_base: Url,
    pub start_from: StartFrom,
    /// An older report is never sent by itself.
    pub report_age_max: Duration,
    /// The clinic of reports that no mapping names; the only clinic when there is one.
    pub clinic: Option<ClinicId>,
    /// Where attachments may come from, besides the EHR itself.
    pub attachment_origins: Vec<url::Origin>,
    /// How often the sources of live links are read again.
    pub recheck_every: Duration,
    /// Calls that it allows us; `None`: it names no number.
    pub calls_per_minute: Option<NonZeroU32>,
    /// Who it is asked about one by one; empty where it lets itself be searched over all.
    pub panel: Vec<PanelList>,
    pub panel_refresh_every: Duration,
    /// How often the reports of late are searched by their own date; zero: never.
    pub by_date_every: Duration,
    pub without_attachment: WithoutAttachment,
    /// What an attachment must say of its patient.
    pub attachment_identity: Demand,
    /// What it is told of deliveries.
    pub write_back: Vec<Told>,
    pub completed_talk: CompletedTalk,
}

/// What a Task to talk with a patient means that was completed at the EHR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletedTalk {
    /// It is kept and shown.
    Noted,
    /// It is the record of the talk.
    Counts,
}

/// A list of the patients that an EHR is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PanelList {
    Group(FhirId),
    Appointments,
    Orders,
    /// With the id of one patient in the first column of each line.
    File(PathBuf),
}

#[derive(Clone)]
pub enum EhrAuth {
    None,
    Basic { user: String, password: SecretText },
    Bearer { token: SecretText },
    Token(TokenAuth),
}

/// A token of OAuth 2.0, as SMART Backend Services asks for it.
#[derive(Clone)]
pub struct TokenAuth {
    pub client_id: String,
    pub proof: ClientProof,
    /// As written; `None`: the EHR says it.
    pub token_url: Option<String>,
    /// Separated by spaces.
    pub scope: String,
}

/// How we show that we are the client.
#[derive(Clone)]
pub enum ClientProof {
    /// One of this installation's keys signs.
    Key(Algorithm),
    Secret {
        secret: SecretText,
        carried: SecretIn,
    },
    /// The one of [`EhrTls::identity`].
    Certificate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretIn {
    Basic,
    Post,
}

/// What connections to this EHR and its token endpoint need beside the system's certificates.
#[derive(Clone, Default)]
pub struct EhrTls {
    /// Our certificate and its key, PEM.
    pub identity: Option<SecretText>,
    /// Authorities to trust, PEM.
    pub authorities: Option<String>,
}

/// How this EHR shows that a hook call is its own.
#[derive(Clone)]
pub enum HookAuth {
    /// A header carries the secret. `None`: the caller derives one for this EHR from the root key.
    Secret(Option<SecretText>),
    /// A header carries the HMAC-SHA256 of the body under this key, as Medplum sends it.
    Medplum(SecretText),
    /// The same as `WebSub` sends it.
    WebSub(SecretText),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscribe {
    R4,
    Topic(Topic),
    Off,
}

/// The subscription to a topic that Chartseal keeps at an EHR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub form: TopicForm,
    /// The topic's canonical URL.
    pub topic: String,
    pub filters: Vec<TopicFilter>,
    pub content: TopicContent,
    /// Zero: none.
    pub heartbeat: Duration,
    /// Events in one notification at most.
    pub events_max: u32,
}

/// The release that the EHR speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicForm {
    R4,
    R4b,
    R5,
}

/// How an EHR numbers the events of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    Strict,
    Resetting,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// The moment at which the EHR was first met.
    Now,
    At(UtcMillis),
}

#[derive(Clone)]
pub struct Mail {
    pub host: String,
    pub port: u16,
    pub security: MailSecurity,
    pub login: Option<MailLogin>,
    /// Certificates to trust, PEM; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    pub recipients: Recipients,
    pub connections_max: u64,
    /// One message may take so long, from connecting to the last answer.
    pub attempt_max: Duration,
    /// Where reports of messages that did not arrive come to; `None`: to the sender, and nobody reads them.
    pub bounce_address: Option<BounceAddress>,
    /// By which a relay signs the reports that it posts.
    pub bounce_secret: Option<SecretText>,
}

#[derive(Clone)]
pub struct MailLogin {
    pub user: String,
    pub password: SecretText,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// To this machine only.
    Plain,
    /// `smtp://` with STARTTLS, which must succeed.
    StartTls,
    /// `smtps://`.
    Implicit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    Anyone,
    /// For a trial: mail to anybody else is not sent. Never empty.
    Only(Vec<EmailAddress>),
}

/// How long patient data of each class is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub raw_events: Duration,
    pub quarantine: Duration,
    pub contacts: Duration,
    pub facts: Duration,
    pub tombstones: Duration,
    pub audit: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A longer hook body is verified and treated as an empty ping.
    pub hook_body_bytes_max: u64,
    pub attachment_bytes_max: u64,
    /// Content carried inside JSON.
    pub inline_bytes_max: u64,
    pub notices_per_patient_day_max: u64,
    pub notices_per_address_day_max: u64,
    /// An hour with this many times the usual notices pauses sending.
    pub breaker_hour_multiple: u64,
    /// How long anybody waits for the database.
    pub store_answer_max: Duration,
}

impl Config {
    /// Reads the file at `path` with `variables` laid over it.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`], or all mistakes at once.
    pub fn load(path: &Path, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        Self::parse(&read_text(path)?, path, variables)
    }

    /// Reads `text` as the content of the file at `path`; the files it names are read from the disk.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(
        text: &str,
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        sections::read(text, path, variables)
    }
}

/// The text of a file that a person writes.
///
/// # Errors
/// [`ConfigError::Unreadable`], or where it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, ConfigError> {
    let bytes =
        std::fs::read(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), kind: error.kind() })?;
    String::from_utf8(bytes).map_err(|error| ConfigError::Mistakes(vec![source::not_utf8(path, &error)]))
}

macro_rules! visible_text {
    ($name:ident) => {
        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

visible_text!(ClinicPhone);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("expected a phone number of 3 to 32 digits, spaces and + - . / ( )")]
    Phone,
}

impl ClinicPhone {
    /// # Errors
    /// Says which shape was expected.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let text = text.trim();
        let is_phone = (3..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit() || b" +-./()".contains(&b))
            && text.bytes().filter(u8::is_ascii_digit).count() >= 3;
        if is_phone { Ok(Self(text.to_owned())) } else { Err(TextError::Phone) }
    }
}
