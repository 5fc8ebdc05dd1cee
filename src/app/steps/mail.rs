//! The way of mail, wired from the configuration, and the clinics as messages name them.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use anyhow::Context;

use crate::base::ClinicId;
use crate::config::{self, Config, MailSecurity};
use crate::notify::{ClinicPhone, DisplayName, Login, MailRelay, Mailer, OnlyTo, RelayUrl, SmtpRelay, TlsMode, Via};
use crate::outbox::Sender;

/// What hands messages over, to those whom the configuration lets be written to.
///
/// # Errors
/// Settings that cannot be used.
pub fn mailer_of(config: &Config) -> anyhow::Result<Mailer> {
    let (Some(mail), Some(relay)) = (&config.mail, relay_of(config)?) else {
        // Shadow mode without a relay: nothing may leave, so nobody may be written to.
        return Ok(Mailer::new(Via::Memory(Arc::default()), OnlyTo::parse([])?));
    };
    let only_to = match &mail.recipients {
        config::Recipients::Anyone => OnlyTo::Everyone,
        config::Recipients::Only(list) => OnlyTo::parse(list.iter().map(crate::base::EmailAddress::expose))?,
    };
    Ok(Mailer::new(Via::Smtp(relay), only_to))
}

/// The relay, where one is configured.
///
/// # Errors
/// Settings that cannot be used.
pub fn relay_of(config: &Config) -> anyhow::Result<Option<SmtpRelay>> {
    let Some(mail) = &config.mail else { return Ok(None) };
    let (scheme, tls) = match mail.security {
        MailSecurity::Plain => ("smtp", TlsMode::None),
        MailSecurity::StartTls => ("smtp", TlsMode::Required),
        MailSecurity::Implicit => ("smtps", TlsMode::Required),
    };
    let host = if mail.host.contains(':') { format!("[{}]", mail.host) } else { mail.host.clone() };
    let relay = MailRelay {
        url: RelayUrl::parse(&format!("{scheme}://{host}:{}", mail.port))?,
        login: mail.login.as_ref().map(|login| Login { user: login.user.clone(), password: login.password.clone() }),
        tls,
        ca_file: mail.ca_file.clone(),
        hello_name: config.server.patient_url.host_str().unwrap_or("localhost").to_owned(),
        connections_max: u16::try_from(mail.connections_max).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN),
        attempt_timeout: mail.attempt_max,
    };
    Ok(Some(SmtpRelay::new(relay).context("[mail] cannot be used")?))
}

pub(super) fn senders(config: &Config) -> anyhow::Result<HashMap<ClinicId, Sender>> {
    config
        .clinics
        .iter()
        .map(|clinic| {
            let named = || format!("clinic '{}' cannot be shown in messages", clinic.id);
            let sender = Sender {
                name: DisplayName::parse(&clinic.name).with_context(named)?,
                phone: ClinicPhone::parse(clinic.phone.as_str()).with_context(named)?,
                from: clinic.from.clone(),
                staff: clinic.staff_email.clone(),
                zone: clinic.timezone,
                language: clinic.language.language(),
                messages: clinic.messages.clone(),
                text_name: clinic.text_name.clone(),
            };
            Ok((clinic.id.clone(), sender))
        })
        .collect()
}
