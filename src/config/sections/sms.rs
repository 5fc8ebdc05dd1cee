//! `[sms]`, and what texts need of each clinic.

use url::Url;

use super::{is_loopback, parse_web_url, with_slash};
use crate::base::{PhoneNumber, Region, SecretText, seconds};
use crate::config::section::{Context, Section, not_empty};
use crate::config::source::Table;
use crate::config::{Sms, SmsFrom, SmsGateway, SmsRecipients};
use crate::notify::text::{TextName, too_long_by};

const TWILIO: &str = "https://api.twilio.com/";
/// Longest word that names a sender (3GPP TS 23.040 §9.1.2.5), and longest number.
const SENDER_CHARACTERS_MAX: usize = 16;
/// Whoever sees one signed call can try out short secrets at leisure.
const SECRET_BYTES_MIN: usize = 24;

/// Whether texts are sent, and what their links begin with.
pub(super) enum Texts {
    Off,
    On { link_base: String },
}

/// Whether `[sms]` is missing or merely wrong decides what is said about `mode`.
pub(super) enum SmsRead {
    Absent,
    Good(Box<Sms>),
    Wrong,
}

#[derive(Clone, Copy)]
enum Kind {
    Twilio,
    Kannel,
    Webhook,
}

pub(super) fn read(table: Table, patient_url: &Url, context: Context<'_>) -> SmsRead {
    let mut section = Section::new("sms", table, context);
    let kinds = [("twilio", Kind::Twilio), ("kannel", Kind::Kannel), ("webhook", Kind::Webhook)];
    let kind = section.required("gateway", "\"twilio\", \"kannel\" or \"webhook\"", |text| {
        let found = kinds.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind);
        found.ok_or("expected \"twilio\", \"kannel\" or \"webhook\"")
    });
    let gateway = match kind {
        // Nobody knows which keys are right.
        None => return SmsRead::Wrong,
        Some(Kind::Twilio) => twilio(&mut section),
        Some(Kind::Kannel) => kannel(&mut section),
        Some(Kind::Webhook) => webhook(&mut section),
    };
    let public_url = section.optional("public_url", |text| address(text, PUBLIC)).map(with_slash);
    let only_to = section.list("only_to", |text| {
        PhoneNumber::parse(text, None).map_err(|error| format!("{error}: expected a number as \"+12025550123\""))
    });
    let recipients = match only_to {
        Some(only_to) if only_to.is_empty() => {
            section.complain("only_to", "expected at least one number: without the key texts go to anyone");
            SmsRecipients::Anyone
        }
        Some(only_to) => SmsRecipients::Only(only_to),
        None => SmsRecipients::Anyone,
    };
    // Less than a notice's lease.
    let attempt_max = seconds(section.number("attempt_seconds", 20, 2..=60));
    let per_second = u32::try_from(section.number("per_second", 10, 1..=1000)).unwrap_or(1);
    let per_day_max = per_day_max(&mut section);
    section.finish();
    let public_url = public_url.unwrap_or_else(|| patient_url.clone());
    match gateway {
        Some(gateway) => {
            SmsRead::Good(Box::new(Sms { gateway, public_url, recipients, attempt_max, per_second, per_day_max }))
        }
        None => SmsRead::Wrong,
    }
}

/// What texts need of a clinic: where its patients' numbers are at home, and a name that leaves room for the link.
pub(super) fn of_clinic(
    section: &mut Section<'_>,
    name: Option<&str>,
    texts: &Texts,
) -> (Option<Region>, Option<TextName>) {
    let is_named = section.is_written("sms_name");
    let region = section.optional("region", Region::parse);
    let written = section.optional("sms_name", TextName::parse);
    let Texts::On { link_base } = texts else { return (region, written) };
    if region.is_none() && !section.is_written("region") {
        section.complain(
            "region",
            "missing: [sms] needs the country in which numbers without + are at home, as \"US\" or \"DE\"",
        );
    }
    let key = if is_named { "sms_name" } else { "name" };
    let text_name = match (is_named, name) {
        (true, _) => written,
        (false, None) => None,
        (false, Some(name)) => match TextName::parse(name) {
            Ok(name) => Some(name),
            Err(error) => {
                section.complain("name", format!("{error}: write an sms_name, by which texts call the clinic"));
                None
            }
        },
    };
    if let Some(over) = text_name.as_ref().and_then(|name| too_long_by(name, link_base)) {
        section.complain(
            key,
            format!(
                "a text with this name and a link is {over} characters too long for one message, of which more cost more and may \
                 arrive apart: write a shorter sms_name, or take a shorter patient_url"
            ),
        );
    }
    (region, text_name)
}

/// The day's number: as written, and by what a text costs and a day may cost.
fn per_day_max(section: &mut Section<'_>) -> Option<u64> {
    const PRICE: &str = "expected money as text, such as \"0.0079\", of whatever currency the gateway counts in";
    let by_number = section.is_written("per_day_max").then(|| section.number("per_day_max", 0, 1..=10_000_000));
    let price = |text: &str| millionths(text).filter(|price| *price > 0).ok_or(PRICE);
    let per_text = section.optional("cost_per_text", price);
    let per_day = section.optional("cost_per_day_max", price);
    for (key, other) in [("cost_per_text", "cost_per_day_max"), ("cost_per_day_max", "cost_per_text")] {
        if section.is_written(key) && !section.is_written(other) {
            section.complain(key, format!("counts for nothing alone: write `{other}`, too"));
        }
    }
    let by_cost = match (per_text, per_day) {
        (Some(per_text), Some(per_day)) if per_day < per_text => {
            section.complain("cost_per_day_max", "is less than one text costs: nothing could be sent");
            None
        }
        (Some(per_text), Some(per_day)) => Some(per_day / per_text),
        (_, _) => None,
    };
    by_number.into_iter().chain(by_cost).min()
}

/// `0.0079` as 7900.
fn millionths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = [whole, part].iter().all(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if whole.is_empty() || part.len() > 6 || !are_digits {
        return None;
    }
    let (whole, part): (u64, u64) = (whole.parse().ok()?, format!("{part:0<6}").parse().ok()?);
    whole.checked_mul(1_000_000)?.checked_add(part)
}

const BASE: &str = "the gateway's address, such as \"https://api.twilio.com\"";
const SENDSMS: &str = "the address of sendsms, such as \"http://127.0.0.1:13013/cgi-bin/sendsms\"";
const HOOK: &str = "the address that takes our calls, such as \"https://sms.clinic.example/send\"";
const PUBLIC: &str = "the address at which the gateway reaches this server, such as \"https://r.clinic.example\"";

fn twilio(section: &mut Section<'_>) -> Option<SmsGateway> {
    let is_written = section.is_written("base_url");
    let base_url = section.optional("base_url", |text| address(text, BASE)).map(with_slash);
    let base_url = if is_written { base_url } else { Url::parse(TWILIO).ok() };
    let account = section.required("account", "the account's id, which begins with AC", |text| {
        let is_id = (2..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_id { Ok(text.to_owned()) } else { Err("expected the account's id: letters and digits") }
    });
    let token = needed(section, ("token", "token_file"), "the account's primary auth token", 1);
    let from = section.optional("from", sender);
    let service = section.optional("service", |text| {
        let is_id = text.starts_with("MG") && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_id { Ok(text.to_owned()) } else { Err("expected a messaging service's id, which begins with MG") }
    });
    let from = match (from, service) {
        (Some(_), Some(_)) => {
            section.complain("service", "expected either `from` or `service`: the service chooses among its senders");
            None
        }
        (Some(from), None) => Some(SmsFrom::Sender(from)),
        (None, Some(service)) => Some(SmsFrom::Service(service)),
        (None, None) => {
            if !section.is_written("from") && !section.is_written("service") {
                section.complain(
                    "from",
                    "missing: expected the sender's number, or `service` with a messaging service's id",
                );
            }
            None
        }
    };
    Some(SmsGateway::Twilio { base_url: base_url?, account: account?, token: token?, from: from? })
}

fn kannel(section: &mut Section<'_>) -> Option<SmsGateway> {
    let url = section.required("url", SENDSMS, |text| address(text, SENDSMS));
    let user = section.required("user", "the name of a group sendsms-user", not_empty);
    let password = needed(section, ("password", "password_file"), "the password of that user", 1);
    let from = section.required("from", "the sender's number or name", sender);
    let incoming_token = if section.is_written("incoming_token") || section.is_written("incoming_token_file") {
        needed(
            section,
            ("incoming_token", "incoming_token_file"),
            "what stands behind /sms/incoming/",
            SECRET_BYTES_MIN,
        )
    } else {
        None
    };
    let is_path = |token: &SecretText| token.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if incoming_token.as_ref().is_some_and(|token| !is_path(token)) {
        section.complain("incoming_token_file", "expected letters, digits, - and _ alone: it is a part of an address");
    }
    Some(SmsGateway::Kannel { url: url?, user: user?, password: password?, from: from?, incoming_token })
}

fn webhook(section: &mut Section<'_>) -> Option<SmsGateway> {
    let url = section.required("url", HOOK, |text| address(text, HOOK));
    let secret = needed(section, ("secret", "secret_file"), "the secret that signs our calls", SECRET_BYTES_MIN);
    Some(SmsGateway::Webhook { url: url?, secret: secret? })
}

/// A secret without which there is no gateway.
fn needed(
    section: &mut Section<'_>,
    (key, file_key): (&'static str, &'static str),
    expected: &str,
    bytes_min: usize,
) -> Option<SecretText> {
    let is_written = section.is_written(key) || section.is_written(file_key);
    let secret = section.secret(key, file_key);
    if secret.is_none() && !is_written {
        section.complain(file_key, format!("missing: expected a file with {expected}"));
    }
    if secret.as_ref().is_some_and(|secret| secret.expose().len() < bytes_min) {
        section.complain(
            file_key,
            format!("expected a random secret of at least {bytes_min} characters: a shorter one can be guessed"),
        );
        return None;
    }
    secret
}

/// An address that links and numbers may cross the network to.
fn address(text: &str, expected: &str) -> Result<Url, String> {
    let url = parse_web_url(text, expected)?;
    if url.scheme() == "https" || is_loopback(&url) {
        Ok(url)
    } else {
        Err(format!(
            "links would cross the network in the clear: expected {expected}, by https unless it is this machine"
        ))
    }
}

fn sender(text: &str) -> Result<String, &'static str> {
    let is_sender = (1..=SENDER_CHARACTERS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+ -_".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphanumeric());
    if is_sender {
        Ok(text.to_owned())
    } else {
        Err("expected a number, a short code, or a name of at most 11 letters")
    }
}
