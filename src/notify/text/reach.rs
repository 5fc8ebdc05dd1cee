//! Whether a gateway lets us in, asked in ways in which nothing is sent.
//!
//! Must stay true: no question names a number or a text; a gateway that takes any password is not said to know ours.

use reqwest::{Client, StatusCode};
use serde::Deserialize;

use super::outcome::{Fault, TextOutcome, TextWhy};
use super::{Gateway, Kannel, TextLimits, Texter, Twilio, Webhook, wire};
use crate::base::{Key256, random};

/// What a gateway answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextReach {
    /// It knows us.
    SignedIn,
    /// Somebody answers, with this status; whether it takes a text, only a text shows.
    Answers { status: u16 },
    /// It cannot be used as it is configured, or not now.
    Fails { why: TextWhy },
}

/// How a gateway calls us when it tells what became of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallsBy {
    Get,
    Post,
}

/// The part of an account that says whether it is in use
/// (<https://www.twilio.com/docs/iam/api/account>).
#[derive(Deserialize)]
struct Account {
    status: String,
}

impl Texter {
    /// Asks the gateway whether it knows us. Ends within twice an attempt's time.
    pub async fn reach(&self) -> TextReach {
        match &self.gateway {
            Gateway::Twilio(twilio) => twilio.reach(&self.http, self.limits).await,
            Gateway::Kannel(kannel) => kannel.reach(&self.http, self.limits).await,
            Gateway::Webhook(webhook) => webhook.reach(&self.http, self.limits).await,
            Gateway::Memory(_) => TextReach::SignedIn,
        }
    }

    #[must_use]
    pub const fn calls_by(&self) -> CallsBy {
        match &self.gateway {
            Gateway::Kannel(_) => CallsBy::Get,
            Gateway::Twilio(_) | Gateway::Webhook(_) | Gateway::Memory(_) => CallsBy::Post,
        }
    }
}

impl Twilio {
    /// Reads the account, which needs its token.
    async fn reach(&self, http: &Client, limits: TextLimits) -> TextReach {
        let Ok(url) = self.base_url.join(&format!("2010-04-01/Accounts/{}.json", self.account)) else {
            return fails(Fault::Account, "base_url takes no path");
        };
        let request = http.get(url).basic_auth(&self.account, Some(self.token.expose()));
        let answer = match wire::ask(request, limits.attempt_timeout).await {
            Ok(answer) => answer,
            Err(outcome) => return of_attempt(outcome),
        };
        if !answer.status.is_success() {
            return refused(answer.status);
        }
        match serde_json::from_slice::<Account>(&answer.body) {
            Ok(account) if account.status == "active" => TextReach::SignedIn,
            Ok(_) => fails(Fault::Account, "the account is suspended or closed"),
            Err(_) => fails(Fault::Account, "what answers at base_url is not this API"),
        }
    }
}

impl Kannel {
    /// Asks for a text to nobody: refused for that where the password is right, and for the password where it is wrong. With a
    /// wrong one, made for this, the answer must be another.
    async fn reach(&self, http: &Client, limits: TextLimits) -> TextReach {
        let wrong = Key256::random(&mut random::system()).to_base64url();
        let mut statuses = [StatusCode::OK; 2];
        for (status, password) in statuses.iter_mut().zip([&self.password, &wrong]) {
            let Some(request) = self.request(http, password, &[]) else {
                return of_attempt(super::kannel::wrong_setting());
            };
            match wire::ask(request, limits.attempt_timeout).await {
                Ok(answer) => *status = answer.status,
                Err(outcome) => return of_attempt(outcome),
            }
        }
        let [ours, others] = statuses;
        let is_refusal = |status: StatusCode| matches!(status.as_u16(), 401 | 403);
        match ours {
            // Sendsms says so of what lacks its receiver.
            StatusCode::BAD_REQUEST if is_refusal(others) => TextReach::SignedIn,
            _ if ours == others && !is_refusal(ours) && !ours.is_server_error() => {
                fails(Fault::Account, "what answers at url does not tell a right password from a wrong one")
            }
            _ => refused(ours),
        }
    }
}

impl Webhook {
    /// Nothing but a text is agreed upon, so only who answers is looked at.
    async fn reach(&self, http: &Client, limits: TextLimits) -> TextReach {
        match wire::ask(http.head(self.url.clone()), limits.attempt_timeout).await {
            Ok(answer) => TextReach::Answers { status: answer.status.as_u16() },
            Err(outcome) => of_attempt(outcome),
        }
    }
}

/// Nothing was asked to be sent, so nothing can have been.
fn refused(status: StatusCode) -> TextReach {
    if status.is_server_error() {
        let why = TextWhy::new(Fault::Gateway, "the gateway failed").with(u32::from(status.as_u16()));
        return TextReach::Fails { why };
    }
    match wire::usual(status) {
        Some(outcome) => of_attempt(outcome),
        None => TextReach::Fails {
            why: TextWhy::new(Fault::Account, "the gateway refuses what it was asked").with(u32::from(status.as_u16())),
        },
    }
}

const fn of_attempt(outcome: TextOutcome) -> TextReach {
    match outcome {
        TextOutcome::Transient { why }
        | TextOutcome::Permanent { why }
        | TextOutcome::Ambiguous { why }
        | TextOutcome::Misconfigured { why } => TextReach::Fails { why },
        TextOutcome::Accepted | TextOutcome::Withheld => TextReach::SignedIn,
    }
}

const fn fails(fault: Fault, what: &'static str) -> TextReach {
    TextReach::Fails { why: TextWhy::new(fault, what) }
}
