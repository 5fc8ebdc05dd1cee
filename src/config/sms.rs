//! What `[sms]` says.

use std::time::Duration;

use url::Url;

use crate::base::{PhoneNumber, SecretText};

/// The way of texts. Holds secrets: no Debug.
#[derive(Clone)]
pub struct Sms {
    pub gateway: SmsGateway,
    /// What the gateway's calls to us begin with; ends in `/`.
    pub public_url: Url,
    pub recipients: SmsRecipients,
    /// One message may take so long.
    pub attempt_max: Duration,
    /// Texts that one process hands over in a second.
    pub per_second: u32,
    /// Texts of any 24 hours, by number or by what they cost; `None`: as many as there are.
    pub per_day_max: Option<u64>,
}

#[derive(Clone)]
pub enum SmsGateway {
    Twilio { base_url: Url, account: String, token: SecretText, from: SmsFrom },
    Kannel { url: Url, user: String, password: SecretText, from: String, incoming_token: Option<SecretText> },
    Webhook { url: Url, secret: SecretText },
}

/// As whom Twilio writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SmsFrom {
    Sender(String),
    Service(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SmsRecipients {
    Anyone,
    /// For a trial: texts to anybody else are not sent. Never empty.
    Only(Vec<PhoneNumber>),
}
