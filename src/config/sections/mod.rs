//! Each section's keys, defaults and bounds, and what must hold between sections.

mod ehr;
mod ehr_auth;
mod mail;
mod panel;
mod scan;
mod server;
mod sms;
mod topic;
mod write_back;

use std::collections::BTreeSet;
use std::path::Path;

use chrono_tz::{TZ_VARIANTS, Tz};
use url::Url;

use super::mistake::{Mistakes, did_you_mean};
use super::section::{Context, Section, not_empty};
use super::source::{Source, Table};
use super::units;
use super::{Clinic, ClinicPhone, Config, ConfigError, Limits, Mode, Retention, StoreUrl};
use crate::base::{ClinicId, EmailAddress, Language, LanguageTag, hours, seconds};
use crate::blobs::BlobUrl;
use crate::cell::Reader;
use crate::notify::Messages;
use crate::policy::facts::ADULT_AT_YEARS;
use crate::signing::RotateEvery;
use crate::sweep::Reminders;
pub use ehr_auth::{SCOPE, SCOPE_TO_SUBSCRIBE};
use sms::{SmsRead, Texts};

/// Bounds of `rotate_signing_keys`: EHRs must have the time to read each next key.
const ROTATE_MIN: std::time::Duration = hours(24);
const ROTATE_MAX: std::time::Duration = hours(2 * 365 * 24);

pub(super) fn read(
    text: &str,
    path: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mistakes = Mistakes::default();
    let mut source = Source::read(text, &path.display().to_string(), variables, &mistakes);
    let context = Context { base_dir: path.parent().unwrap_or(Path::new("")), mistakes: &mistakes };
    let server = server::read(source.take("server"), context);
    let texts =
        if source.has("sms") { Texts::On { link_base: format!("{}r/", server.patient_url) } } else { Texts::Off };
    let (clinics, clinic_ids) = clinics(source.take_all("clinic"), &texts, context);
    let ehrs = ehr::read_all(source.take_all("ehr"), server.listen, &clinic_ids, context);
    let mail = if source.has("mail") { mail::read(source.take("mail"), context) } else { MailRead::Absent };
    let sms = match texts {
        Texts::On { .. } => sms::read(source.take("sms"), &server.patient_url, context),
        Texts::Off => SmsRead::Absent,
    };
    let mode = mode(source.take("mode"), &mail, &sms, context);
    let (keys_dir, rotate_signing_keys) = keys(source.take("keys"), context);
    let config = Config {
        server,
        store: store(source.take("store"), context),
        blobs: blobs(source.take("blobs"), context),
        keys_dir,
        rotate_signing_keys,
        mode,
        clinics,
        ehrs,
        mail: match mail {
            MailRead::Good(mail) => Some(*mail),
            MailRead::Absent | MailRead::Wrong => None,
        },
        sms: match sms {
            SmsRead::Good(sms) => Some(*sms),
            SmsRead::Absent | SmsRead::Wrong => None,
        },
        policy_file: policy_file(source.take("policy"), context),
        retention: retention(source.take("retention"), context),
        limits: limits(source.take("limits"), context),
        malware: scan::read(source.take("scan"), context),
        reader: Reader::default(),
    };
    mistakes.into_result()?;
    Ok(config)
}

/// Whether mail is missing or merely wrong decides what is said about `mode`.
enum MailRead {
    Absent,
    Good(Box<super::Mail>),
    Wrong,
}

fn mode(table: Table, mail: &MailRead, sms: &SmsRead, context: Context<'_>) -> Mode {
    let mut section = Section::new("mode", table, context);
    let mode = section.choice("send", &[("shadow", Mode::Shadow), ("live", Mode::Live)], Mode::Shadow);
    match (mode, mail, sms) {
        (Mode::Live, MailRead::Absent, SmsRead::Absent) => {
            section.complain(
                "send",
                "nothing can be sent without a [mail] or an [sms] section: write one, or stay in \"shadow\"",
            );
        }
        (Mode::Live, MailRead::Good(_) | MailRead::Wrong, _)
        | (Mode::Live, MailRead::Absent, SmsRead::Good(_) | SmsRead::Wrong)
        | (Mode::Shadow, _, _) => {}
    }
    section.finish();
    mode
}

fn store(table: Table, context: Context<'_>) -> StoreUrl {
    let mut section = Section::new("store", table, context);
    let parse = |text: &str| parse_store_url(text, context.base_dir);
    let url = section.optional("url", parse).unwrap_or_else(|| StoreUrl::Sqlite(context.base_dir.join("chartseal.db")));
    let password = section.secret("password", "password_file");
    let url = match url {
        StoreUrl::Postgres { url, password: _ } => StoreUrl::Postgres { url, password },
        StoreUrl::Sqlite(path) => {
            if password.is_some() {
                section.complain("password_file", "an SQLite database has no password: remove it");
            }
            StoreUrl::Sqlite(path)
        }
    };
    section.finish();
    url
}

fn parse_store_url(text: &str, base_dir: &Path) -> Result<StoreUrl, &'static str> {
    const EXPECTED: &str = "expected sqlite:PATH or postgres://USER@HOST/DATABASE";
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.is_empty() { Err(EXPECTED) } else { Ok(StoreUrl::Sqlite(base_dir.join(path))) };
    }
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    if !["postgres", "postgresql"].contains(&url.scheme()) || !url.has_host() {
        return Err(EXPECTED);
    }
    if url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password") {
        return Err(
            "the password must not stand here: put it in a file and name that as `password_file`, or set CHARTSEAL__STORE__PASSWORD",
        );
    }
    Ok(StoreUrl::Postgres { url, password: None })
}

fn blobs(table: Table, context: Context<'_>) -> BlobUrl {
    let mut section = Section::new("blobs", table, context);
    let url = section.optional("url", |text| BlobUrl::parse(text, context.base_dir));
    section.finish();
    url.unwrap_or_else(|| BlobUrl::File(context.base_dir.join("blobs")))
}

fn keys(table: Table, context: Context<'_>) -> (std::path::PathBuf, RotateEvery) {
    let mut section = Section::new("keys", table, context);
    let dir = section.path("dir", "keys");
    let rotate = section.optional("rotate_signing_keys", |text| match text {
        "never" => Ok(RotateEvery::Never),
        text => units::parse_duration(text)
            .filter(|span| (ROTATE_MIN..=ROTATE_MAX).contains(span))
            .map(RotateEvery::Every)
            .ok_or("expected \"never\", or a time from \"1d\" to \"2y\" after which the next key takes over by itself"),
    });
    section.finish();
    (dir, rotate.unwrap_or(RotateEvery::Never))
}

fn policy_file(table: Table, context: Context<'_>) -> std::path::PathBuf {
    let mut section = Section::new("policy", table, context);
    // The default file is looked for by the policy's own loader, which can say how to get one.
    let written = if section.is_written("file") { section.existing_file("file") } else { None };
    section.finish();
    written.unwrap_or_else(|| context.base_dir.join("policy.toml"))
}

fn clinics(tables: Vec<Table>, texts: &Texts, context: Context<'_>) -> (Vec<Clinic>, BTreeSet<ClinicId>) {
    let (mut clinics, mut ids) = (Vec::new(), BTreeSet::new());
    for (index, table) in tables.into_iter().enumerate() {
        let mut section = Section::numbered("clinic", index, table, context);
        let id = section.required("id", "1 to 40 of a-z, 0-9 and inner hyphens", ClinicId::parse);
        let name = section.required("name", "the clinic's name as patients know it", not_empty);
        let phone = section.required("phone", "a number that patients can call", ClinicPhone::parse);
        let timezone = section.required("timezone", "a time zone such as \"America/Chicago\"", parse_timezone);
        let language = section.optional("language", LanguageTag::parse).unwrap_or_else(|| Language::English.into());
        let from = section.required("from", "the address that its messages come from", EmailAddress::parse);
        let messages = messages(&mut section);
        let choices = [("sent", Reminders::Sent), ("none", Reminders::NotSent)];
        let reminders = section.choice("reminders", &choices, Reminders::Sent);
        let staff_email = section.optional("staff_email", EmailAddress::parse);
        let adult_at_years = section.number("adult_at_years", u64::from(ADULT_AT_YEARS), 16..=21);
        let (region, text_name) = sms::of_clinic(&mut section, name.as_deref(), texts);
        if id.clone().is_some_and(|id| !ids.insert(id)) {
            section.complain("id", "another clinic has this id: give each its own");
        }
        section.finish();
        if let (Some(id), Some(name), Some(phone), Some(timezone), Some(from)) = (id, name, phone, timezone, from) {
            let adult_at_years = u16::try_from(adult_at_years).unwrap_or(ADULT_AT_YEARS);
            clinics.push(Clinic {
                id,
                name,
                phone,
                timezone,
                language,
                from,
                messages,
                staff_email,
                reminders,
                adult_at_years,
                region,
                text_name,
            });
        }
    }
    (clinics, ids)
}

/// The clinic's own messages, each judged whole before anything starts.
fn messages(section: &mut Section<'_>) -> Messages {
    let Some(folder) = section.optional("messages", not_empty) else { return Messages::default() };
    let folder = section.base_dir().join(folder);
    if !folder.is_dir() {
        section.complain("messages", format!("there is no folder {}", folder.display()));
        return Messages::default();
    }
    Messages::read(&folder).unwrap_or_else(|errors| {
        for error in errors {
            section.complain("messages", error.to_string());
        }
        Messages::default()
    })
}

fn parse_timezone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| {
        let near = did_you_mean(text, TZ_VARIANTS.iter().map(|zone| zone.name()));
        format!("expected an IANA time zone such as \"America/Chicago\"{near}")
    })
}

fn retention(table: Table, context: Context<'_>) -> Retention {
    let mut section = Section::new("retention", table, context);
    let retention = Retention {
        raw_events: section.duration("raw_events", "1h", ("1m", "1h")),
        quarantine: section.duration("quarantine", "14d", ("1h", "90d")),
        contacts: section.duration("contacts", "90d", ("1d", "10y")),
        facts: section.duration("facts", "1y", ("1d", "30y")),
        tombstones: section.duration("tombstones", "1y", ("1d", "10y")),
        audit: section.duration("audit", "10y", ("1y", "50y")),
    };
    section.finish();
    retention
}

fn limits(table: Table, context: Context<'_>) -> Limits {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    let mut section = Section::new("limits", table, context);
    let limits = Limits {
        hook_body_bytes_max: section.bytes("hook_body_bytes_max", MIB, KIB..=64 * MIB),
        attachment_bytes_max: section.bytes("attachment_bytes_max", 64 * MIB, KIB..=2048 * MIB),
        inline_bytes_max: section.bytes("inline_bytes_max", 16 * MIB, KIB..=64 * MIB),
        notices_per_patient_day_max: section.number("notices_per_patient_day_max", 6, 1..=100),
        notices_per_address_day_max: section.number("notices_per_address_day_max", 6, 1..=100),
        breaker_hour_multiple: section.number("breaker_hour_multiple", 4, 2..=100),
        store_answer_max: seconds(section.number("store_answer_seconds", 60, 2..=600)),
    };
    section.finish();
    limits
}

/// A URL of one of `schemes` with a host and nothing that could hide a secret or a patient.
fn parse_web_url(text: &str, expected: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    let url = url.ok_or_else(|| format!("expected {expected}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("expected {expected} without a user or a password in it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("expected {expected} without ? and #"));
    }
    Ok(url)
}

/// An origin alone, `https://host`.
fn parse_origin(text: &str, expected: &str) -> Result<Url, String> {
    let url = parse_web_url(text, expected)?;
    if url.path() == "/" { Ok(url) } else { Err(format!("expected {expected} without a path")) }
}

/// Makes joining relative paths keep the whole of `url`.
fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => is_loopback_name(name),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn is_loopback_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}
