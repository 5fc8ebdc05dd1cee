//! The way of texts, wired from the configuration.

use anyhow::Context;

use crate::config::{Config, SmsFrom, SmsGateway, SmsRecipients};
use crate::notify::text::{Gateway, Kannel, OnlyToNumbers, TextLimits, Texter, Twilio, TwilioFrom, Webhook};
use crate::outbox::{TextPace, Texts};

/// `None` where none is configured.
///
/// # Errors
/// Where TLS cannot be set up.
pub fn texts(config: &Config) -> anyhow::Result<Option<Texts>> {
    let Some(sms) = &config.sms else { return Ok(None) };
    let gateway = match sms.gateway.clone() {
        SmsGateway::Twilio { base_url, account, token, from } => Gateway::Twilio(Twilio {
            base_url,
            account,
            token,
            from: match from {
                SmsFrom::Sender(sender) => TwilioFrom::Sender(sender),
                SmsFrom::Service(id) => TwilioFrom::Service(id),
            },
        }),
        SmsGateway::Kannel { url, user, password, from, incoming_token } => {
            Gateway::Kannel(Kannel { url, user, password, from, incoming_token })
        }
        SmsGateway::Webhook { url, secret } => Gateway::Webhook(Webhook { url, secret }),
    };
    let only_to = match &sms.recipients {
        SmsRecipients::Anyone => OnlyToNumbers::Everyone,
        SmsRecipients::Only(numbers) => OnlyToNumbers::listed(numbers),
    };
    let texter = Texter::new(gateway, only_to, TextLimits::with_attempt(sms.attempt_max));
    let texter = texter.context("[sms] cannot be used")?;
    let pace = TextPace::new(sms.per_second, sms.per_day_max);
    Ok(Some(Texts { texter, public_url: sms.public_url.clone(), pace }))
}
