//! Text messages: what they say, and how they are handed to the clinic's gateway.
//!
//! Job: compose a text of one message, hand it over once, say truthfully what became of it, and read what the gateway says of it
//! later, once it was proved that the gateway says so.
//! Must stay true: what may have been sent is never called unsent, and nobody's number or text leaves here in words of a gateway;
//! what proves nothing says nothing; every call ends in bounded time.
//! Must not know: the store, patients, reports, retries.

mod call;
mod gsm7;
mod incoming;
mod kannel;
mod only_to;
mod outcome;
mod reach;
mod sender;
mod twilio;
mod webhook;
mod wire;
mod words;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use call::TextCall;
pub use incoming::{Incoming, Wish};
pub use kannel::Kannel;
pub use only_to::OnlyToNumbers;
pub use outcome::{Fault, TextOutcome, TextReport, TextWhy};
pub use reach::{CallsBy, TextReach};
pub use sender::{Plus, SenderShape};
pub use twilio::{Twilio, TwilioFrom};
pub use webhook::Webhook;
pub use words::{TextBody, TextError, TextKind, TextName, TextNameError, TextNotice, too_long_by, trial};

use url::Url;

use crate::base::{LinkId, NoticeId, PhoneNumber, UtcMillis, seconds};

/// A text ready to hand over. Patient data: no `Debug`.
#[derive(Clone)]
pub struct Text {
    pub id: NoticeId,
    pub to: PhoneNumber,
    pub body: TextBody,
    /// Our public address that hears what became of it; nobody can guess it.
    pub report_to: Url,
}

/// Where texts go.
pub enum Gateway {
    Twilio(Twilio),
    Kannel(Kannel),
    Webhook(Webhook),
    /// Kept in order of sending; for tests.
    Memory(Arc<Mutex<Vec<Text>>>),
}

#[derive(Clone, Copy, Debug)]
pub struct TextLimits {
    pub connect_timeout: Duration,
    /// One whole attempt.
    pub attempt_timeout: Duration,
    /// An idle connection is not used again after this.
    pub idle_connection: Duration,
}

impl TextLimits {
    /// An attempt may take so long; the rest as usual.
    #[must_use]
    pub const fn with_attempt(attempt_timeout: Duration) -> Self {
        Self { connect_timeout: seconds(10), attempt_timeout, idle_connection: seconds(4) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct TextGatewayError;

/// What a look-up found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookedUp {
    Found(TextReport),
    /// The gateway has no such message.
    NotThere,
    /// It cannot be asked, or did not answer.
    Unknown,
}

/// Hands over texts, to those it is allowed to reach.
pub struct Texter {
    gateway: Gateway,
    only_to: OnlyToNumbers,
    limits: TextLimits,
    http: reqwest::Client,
}

impl Texter {
    /// # Errors
    /// [`TextGatewayError`].
    pub fn new(gateway: Gateway, only_to: OnlyToNumbers, limits: TextLimits) -> Result<Self, TextGatewayError> {
        Ok(Self { gateway, only_to, limits, http: wire::client(limits)? })
    }

    /// Makes one attempt. Ends within the attempt's time. Whoever calls has written down before that it is made, and never makes
    /// it again when it ended as [`TextOutcome::Ambiguous`].
    pub async fn send(&self, text: &Text, now: UtcMillis) -> TextOutcome {
        if !self.only_to.allows(&text.to) {
            return TextOutcome::Withheld;
        }
        match &self.gateway {
            Gateway::Twilio(twilio) => twilio.send(&self.http, text, self.limits).await,
            Gateway::Kannel(kannel) => kannel.send(&self.http, text, self.limits).await,
            Gateway::Webhook(webhook) => webhook.send(&self.http, text, now, self.limits).await,
            Gateway::Memory(kept) => {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
                TextOutcome::Accepted
            }
        }
    }

    /// Asks the gateway what became of the text with this link. Only some can be asked.
    pub async fn look_up(&self, to: &PhoneNumber, link: &LinkId, since: UtcMillis) -> LookedUp {
        match &self.gateway {
            Gateway::Twilio(twilio) => twilio.look_up(&self.http, to, link, since, self.limits).await,
            Gateway::Kannel(_) | Gateway::Webhook(_) | Gateway::Memory(_) => LookedUp::Unknown,
        }
    }

    /// What a call at the address of one text says of it; `None` where it does not prove to come from the gateway.
    #[must_use]
    pub fn report(&self, call: &TextCall<'_>, now: UtcMillis) -> Option<TextReport> {
        match &self.gateway {
            Gateway::Twilio(twilio) => {
                let parameters = call.form()?;
                twilio.is_signed(call.url, &parameters, call.twilio_signature?).then(|| twilio::report_in(&parameters))
            }
            // Its address is all that it can show, and it showed that.
            Gateway::Kannel(_) => Some(kannel::report_in(&call.asked()?)),
            Gateway::Webhook(webhook) => {
                let signed = call.signed()?;
                webhook.is_signed(&signed, call.body, now).then(|| webhook::report_in(call.body))
            }
            Gateway::Memory(_) => None,
        }
    }

    /// What somebody wrote to us; the outer `None` where the call does not prove to come from the gateway. `token` is what stands
    /// behind the address, where the gateway shows nothing else.
    #[must_use]
    pub fn incoming(&self, call: &TextCall<'_>, token: Option<&str>, now: UtcMillis) -> Option<Option<Incoming>> {
        match &self.gateway {
            Gateway::Twilio(twilio) => {
                let parameters = call.form()?;
                let is_signed = twilio.is_signed(call.url, &parameters, call.twilio_signature?);
                is_signed.then(|| Incoming::in_parameters(&parameters, "From", "Body"))
            }
            Gateway::Kannel(kannel) => {
                let is_right = kannel.incoming_token.as_ref()?.matches(token?.as_bytes());
                let parameters = call.asked()?;
                is_right.then(|| Incoming::in_parameters(&parameters, "from", "text"))
            }
            Gateway::Webhook(webhook) => {
                let signed = call.signed()?;
                webhook.is_signed(&signed, call.body, now).then(|| webhook::incoming_in(call.body))
            }
            Gateway::Memory(_) => None,
        }
    }
}
