//! `[[ehr]]`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::panel;
use super::server::reachable_locally;
use super::topic::{Asks, asks, events, subscribe};
use super::write_back;
use super::{did_you_mean, ehr_auth, is_loopback, parse_origin, parse_web_url, with_slash};
use crate::base::{ClinicId, EhrId, UtcMillis, hours, minutes, seconds};
use crate::config::section::{Context, Section};
use crate::config::source::Table;
use crate::config::{Ehr, HookAuth, StartFrom};
use crate::fhir::WithoutAttachment;
use crate::whose::Demand;

const BASE: &str = "the FHIR base, such as \"https://ehr.example/fhir/r4\"";
const ORIGIN: &str = "an origin, such as \"https://files.ehr.example\"";
/// Whoever sees one signed call can try out short secrets at leisure.
const SIGNING_SECRET_BYTES_MIN: usize = 24;
const SIGNING_SECRET_SHORT: &str =
    "expected a random secret of at least 24 characters: who sees one signed call can guess a shorter one in peace";
const SIGNS_AND_SUBSCRIBES: &str = "expected \"secret\" beside a subscription of ours; for signed calls let the EHR's staff make the Subscription, with its secret in it, and set subscribe = \"off\"";
const HOOK: &str = "the address at which the EHR reaches this server, such as \"https://hooks.clinic.example\"";

pub(super) fn read_all(
    tables: Vec<Table>,
    listen: SocketAddr,
    clinics: &BTreeSet<ClinicId>,
    context: Context<'_>,
) -> Vec<Ehr> {
    let (mut ehrs, mut ids) = (Vec::new(), BTreeSet::new());
    for (index, table) in tables.into_iter().enumerate() {
        let mut section = Section::numbered("ehr", index, table, context);
        let ehr = read(&mut section, listen, clinics);
        if ehr.as_ref().is_some_and(|ehr| !ids.insert(ehr.id.clone())) {
            section.complain("id", "another EHR has this id: give each its own");
        }
        section.finish();
        ehrs.extend(ehr);
    }
    ehrs
}

fn read(section: &mut Section<'_>, listen: SocketAddr, clinics: &BTreeSet<ClinicId>) -> Option<Ehr> {
    let id = section.required("id", "1 to 40 of a-z, 0-9 and inner hyphens", EhrId::parse);
    let base_url = section.required("base_url", BASE, |text| parse_web_url(text, BASE)).map(with_slash);
    let tls = ehr_auth::tls(section);
    let asks = asks(section);
    let subscribe = subscribe(section, asks);
    let events = events(section);
    let (write_back, completed_talk) = write_back::read(section);
    let auth = ehr_auth::read(section, asks, &write_back, &tls);
    let panel = panel::lists(section);
    let poll_every = seconds(section.number("poll_seconds", panel::poll_seconds(&panel), 1..=86_400));
    let hook_auth = hook_auth(section, asks);
    let answer_max = seconds(section.number("answer_seconds", 60, 1..=600));
    let hook_base = hook_base(section, listen, base_url.as_ref(), asks);
    let start_from = section.optional("start_from", parse_start).unwrap_or(StartFrom::Now);
    let report_age_max = section.duration("report_age_max", "7d", ("1h", "1y"));
    let clinic = clinic(section, clinics);
    let attachment_origins = section
        .list("attachment_origins", |text| parse_origin(text, ORIGIN).map(|url| url.origin()))
        .unwrap_or_default();
    let calls_per_minute = section.number("calls_per_minute", 0, 0..=100_000);
    let panel_refresh_every = minutes(section.number("panel_minutes", 60, 5..=1_440));
    let by_date_every = hours(section.number("by_date_hours", 6, 0..=168));
    let recheck_every = minutes(section.number("recheck_minutes", 15, 1..=1_440));
    let ways = [("write", WithoutAttachment::Write), ("review", WithoutAttachment::Review)];
    let without_attachment = section.choice("without_attachment", &ways, WithoutAttachment::Write);
    let demands =
        [("unchecked", Demand::Unchecked), ("uncontradicted", Demand::Uncontradicted), ("named", Demand::Named)];
    let attachment_identity = section.choice("attachment_identity", &demands, Demand::Uncontradicted);
    Some(Ehr {
        id: id?,
        base_url: base_url?,
        auth: auth?,
        tls,
        subscribe,
        events,
        poll_every,
        hook_auth: hook_auth?,
        answer_max,
        hook_base,
        start_from,
        report_age_max,
        clinic,
        attachment_origins,
        recheck_every,
        calls_per_minute: u32::try_from(calls_per_minute).ok().and_then(NonZeroU32::new),
        panel,
        panel_refresh_every,
        by_date_every,
        without_attachment,
        write_back,
        completed_talk,
        attachment_identity,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HookForm {
    Secret,
    Medplum,
    WebSub,
}

fn hook_auth(section: &mut Section<'_>, asks: Asks) -> Option<HookAuth> {
    let forms = [("secret", HookForm::Secret), ("medplum", HookForm::Medplum), ("websub", HookForm::WebSub)];
    let form = section.choice("hook_auth", &forms, HookForm::Secret);
    let secret = section.secret("hook_secret", "hook_secret_file");
    let complain = |remedy: &str| section.complain("hook_secret_file", remedy);
    match (form, secret) {
        // Some EHRs cut a header at its second colon.
        (_, Some(secret)) if secret.expose().contains(':') => complain("expected a secret without a colon"),
        (HookForm::Secret, secret) => return Some(HookAuth::Secret(secret)),
        (HookForm::Medplum | HookForm::WebSub, None) => {
            if !section.is_written("hook_secret_file") && !section.is_written("hook_secret") {
                complain("missing: a signature needs the secret that the EHR signs with");
            }
        }
        (HookForm::Medplum | HookForm::WebSub, Some(secret)) if secret.expose().len() < SIGNING_SECRET_BYTES_MIN => {
            complain(SIGNING_SECRET_SHORT);
        }
        (HookForm::Medplum | HookForm::WebSub, Some(_)) if asks != Asks::Nothing => {
            section.complain("hook_auth", SIGNS_AND_SUBSCRIBES);
        }
        (HookForm::Medplum, Some(secret)) => return Some(HookAuth::Medplum(secret)),
        (HookForm::WebSub, Some(secret)) => return Some(HookAuth::WebSub(secret)),
    }
    None
}

fn hook_base(section: &mut Section<'_>, listen: SocketAddr, base_url: Option<&url::Url>, asks: Asks) -> url::Url {
    let is_written = section.is_written("hook_url");
    let written = section.optional("hook_url", |text| parse_web_url(text, HOOK));
    let itself = reachable_locally(listen);
    let ehr_is_elsewhere = base_url.is_some_and(|url| !is_loopback(url));
    match asks {
        Asks::Classic | Asks::Topic(_) if !is_written && ehr_is_elsewhere && is_loopback(&itself) => {
            section
                .complain("hook_url", format!("missing, and {itself} cannot be reached from the EHR: expected {HOOK}"));
        }
        Asks::Classic | Asks::Topic(_) | Asks::Nothing => {}
    }
    with_slash(written.unwrap_or(itself))
}

fn clinic(section: &mut Section<'_>, clinics: &BTreeSet<ClinicId>) -> Option<ClinicId> {
    let parse = |text: &str| {
        clinics.iter().find(|id| id.as_str() == text).cloned().ok_or_else(|| {
            format!("no [[clinic]] has this id{}", did_you_mean(text, clinics.iter().map(ClinicId::as_str)))
        })
    };
    let written = section.optional("clinic", parse);
    if clinics.len() == 1 { written.or_else(|| clinics.first().cloned()) } else { written }
}

fn parse_start(text: &str) -> Result<StartFrom, &'static str> {
    if text == "now" {
        return Ok(StartFrom::Now);
    }
    let at = UtcMillis::parse_rfc3339(text).map(StartFrom::At);
    at.ok_or("expected \"now\" or an instant such as \"2026-11-22T00:00:00Z\"")
}
