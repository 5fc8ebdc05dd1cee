//! `[mail]`.

use url::Url;

use super::{MailRead, is_loopback_name};
use crate::base::{EmailAddress, seconds};
use crate::config::section::{Context, Section, not_empty};
use crate::config::source::Table;
use crate::config::{Mail, MailLogin, MailSecurity, Recipients};
use crate::notify::BounceAddress;

const EXPECTED: &str = "expected smtp://HOST:PORT or smtps://HOST:PORT";
/// RFC 6409 §3.1 and RFC 8314 §3.3.
const SUBMISSION_PORT: u16 = 587;
const SUBMISSIONS_PORT: u16 = 465;

struct Relay {
    host: String,
    port: u16,
    is_implicit_tls: bool,
}

#[derive(Clone, Copy)]
enum Tls {
    Required,
    None,
}

pub(super) fn read(table: Table, context: Context<'_>) -> MailRead {
    let mut section = Section::new("mail", table, context);
    let relay = section.required("url", "smtp://HOST:PORT or smtps://HOST:PORT", parse_relay);
    let tls = section.choice("tls", &[("required", Tls::Required), ("none", Tls::None)], Tls::Required);
    let user = section.optional("user", not_empty);
    let password = section.secret("password", "password_file");
    let login = match (user, password) {
        (Some(user), Some(password)) => Some(MailLogin { user, password }),
        (Some(_), None) => {
            if !section.is_written("password_file") && !section.is_written("password") {
                section.complain("password_file", "missing: `user` needs it");
            }
            None
        }
        (None, Some(_)) => {
            section.complain("user", "missing: the password needs it");
            None
        }
        (None, None) => None,
    };
    let ca_file = section.existing_file("ca_file");
    let only_to = section.list("only_to", EmailAddress::parse);
    let recipients = match only_to {
        Some(only_to) if only_to.is_empty() => {
            section.complain("only_to", "expected at least one address: without the key mail goes to anyone");
            Recipients::Anyone
        }
        Some(only_to) => Recipients::Only(only_to),
        None => Recipients::Anyone,
    };
    let connections_max = section.number("connections_max", 4, 1..=100);
    // Twice the longest is less than a notice's lease.
    let attempt_max = seconds(section.number("attempt_seconds", 40, 2..=55));
    let bounce_address = section.optional("bounce_address", parse_bounce_address);
    let bounce_secret = section.secret("bounce_secret", "bounce_secret_file");
    if bounce_secret.is_some() && bounce_address.is_none() {
        section.complain("bounce_address", "missing: the secret is of no use without it");
    }
    let security = relay.as_ref().and_then(|relay| security(&section, relay, tls));
    section.finish();
    let (Some(Relay { host, port, is_implicit_tls: _ }), Some(security)) = (relay, security) else {
        return MailRead::Wrong;
    };
    MailRead::Good(Box::new(Mail {
        host,
        port,
        security,
        login,
        ca_file,
        recipients,
        connections_max,
        attempt_max,
        bounce_address,
        bounce_secret,
    }))
}

fn security(section: &Section<'_>, relay: &Relay, tls: Tls) -> Option<MailSecurity> {
    match tls {
        Tls::Required if relay.is_implicit_tls => Some(MailSecurity::Implicit),
        Tls::Required => Some(MailSecurity::StartTls),
        Tls::None if relay.is_implicit_tls => {
            section.complain("tls", "an smtps:// relay always uses TLS: expected \"required\"");
            None
        }
        Tls::None if is_loopback_host(&relay.host) => Some(MailSecurity::Plain),
        Tls::None => {
            section.complain(
                "tls",
                "links would cross the network in the clear: expected \"required\", or a relay on this machine",
            );
            None
        }
    }
}

fn parse_bounce_address(text: &str) -> Result<BounceAddress, String> {
    let address = EmailAddress::parse(text).map_err(|error| error.to_string())?;
    BounceAddress::new(address).map_err(str::to_owned)
}

fn parse_relay(text: &str) -> Result<Relay, &'static str> {
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected no user or password here: use `user` and `password_file`, or CHARTSEAL__MAIL__PASSWORD");
    }
    let is_implicit_tls = match url.scheme() {
        "smtp" => false,
        "smtps" => true,
        _ => return Err(EXPECTED),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(EXPECTED)?;
    if !["", "/"].contains(&url.path()) || url.query().is_some() || url.fragment().is_some() {
        return Err(EXPECTED);
    }
    let port = url.port().unwrap_or(if is_implicit_tls { SUBMISSIONS_PORT } else { SUBMISSION_PORT });
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Relay { host, port, is_implicit_tls })
}

fn is_loopback_host(host: &str) -> bool {
    is_loopback_name(host) || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
