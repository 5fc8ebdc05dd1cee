//! `chartseal rules explain`
//!
//! Must stay true: from files it needs neither configuration nor database; from a delivery it decides by the version that
//! decided then, and says so where that is not kept.

use std::path::PathBuf;

use anyhow::Context;
use chrono_tz::Tz;
use clap::Args;
use serde::Serialize;

use super::files::RulesText;
use super::{given, spoken};
use crate::app::rules_files;
use crate::base::{ClinicId, UtcMillis};
use crate::cli::print::Print;
use crate::cli::rules_versions::instant;
use crate::cli::{Acts, Outcome};
use crate::config::Config;
use crate::desk::{Desk, DeskError, Shown};
use crate::policy::case_text::as_test;
use crate::policy::explain::{Explanation, explain};
use crate::policy::facts::Facts;
use crate::policy::{Decision, Moment, RecipientRole, RuleSet};
use crate::store::{self, Bundle};

#[derive(Args)]
pub(in crate::cli) struct ExplainArgs {
    /// The rules file.
    #[arg(long, value_name = "FILE", required_unless_present = "delivery", conflicts_with = "delivery")]
    rules: Option<PathBuf>,
    /// Facts in JSON, as they are stored or as a person writes them: what is not mentioned is absent.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["report", "delivery"])]
    #[arg(conflicts_with_all = ["report", "patient", "with", "delivery"])]
    facts: Option<PathBuf>,
    /// A `DiagnosticReport` or `DocumentReference` in FHIR JSON, or a Bundle that holds one.
    #[arg(long, value_name = "FILE", conflicts_with = "delivery")]
    report: Option<PathBuf>,
    /// The Patient whom the report names.
    #[arg(long, value_name = "FILE", requires = "report")]
    patient: Option<PathBuf>,
    /// More resources that the report names: Observation, `ServiceRequest`, Encounter, `PractitionerRole`, Consent, or Bundles.
    #[arg(long, value_name = "FILE", requires = "report")]
    with: Vec<PathBuf>,
    /// For whom: patient, proxy, `ordering_provider`, `copy_to` or `third_party`.
    #[arg(long, value_name = "ROLE", value_parser = role, required_unless_present = "delivery")]
    #[arg(conflicts_with = "delivery")]
    recipient: Option<RecipientRole>,
    /// When, with its offset, as 2026-11-20T16:00:00-06:00.
    #[arg(long, value_name = "INSTANT", value_parser = instant, required_unless_present = "delivery")]
    #[arg(conflicts_with = "delivery")]
    at: Option<UtcMillis>,
    /// The clinic's time zone, as America/Chicago, where the rules name none. Default: UTC.
    #[arg(long, value_name = "ZONE", value_parser = zone, conflicts_with = "delivery")]
    zone: Option<Tz>,
    /// The clinic of the report, as the configuration names it.
    #[arg(long, value_name = "CLINIC", conflicts_with_all = ["facts", "delivery"])]
    clinic: Option<ClinicId>,
    /// The folder with code sets that the rules name.
    #[arg(long, value_name = "DIR")]
    sets: Option<PathBuf>,
    /// A delivery that was decided: its id, its link's id or its reference.
    #[arg(long, value_name = "ID")]
    pub(super) delivery: Option<String>,
    /// Print a ready [[test]] for these facts instead.
    #[arg(long, value_name = "NAME")]
    as_test: Option<String>,
}

fn role(text: &str) -> Result<RecipientRole, String> {
    let roles = RecipientRole::ALL.map(RecipientRole::as_str).join(", ");
    let found = RecipientRole::ALL.into_iter().find(|role| role.as_str() == text);
    found.ok_or_else(|| format!("write one of: {roles}"))
}

fn zone(text: &str) -> Result<Tz, &'static str> {
    text.parse().map_err(|_| "write a name of the IANA list, as America/Chicago")
}

impl ExplainArgs {
    /// Looking at a delivery changes nothing.
    pub(super) const ACTS: Acts = Acts::Looks;
}

pub(super) async fn of_files(args: &ExplainArgs, print: Print) -> anyhow::Result<Outcome> {
    let (Some(file), Some(recipient), Some(now)) = (&args.rules, args.recipient, args.at) else {
        anyhow::bail!("name the rules with --rules, for whom with --recipient and when with --at");
    };
    let rules = RulesText::read(file, args.sets.as_deref())?.compile(file)?;
    let moment = Moment { now, zone: args.zone.unwrap_or(Tz::UTC) };
    let facts = match (&args.facts, &args.report) {
        (Some(facts), None) => Facts { recipient, ..given::facts(facts, &rules)? },
        (None, Some(report)) => {
            let files = given::ReportFiles { report, patient: args.patient.as_deref(), with: &args.with };
            given::of_report(&files, &rules, recipient, args.clinic.clone(), moment).await?
        }
        (Some(_), Some(_)) | (None, None) => anyhow::bail!("give either --facts or --report"),
    };
    let mut explained = explain(&rules, &facts, moment);
    if args.report.is_some() {
        spoken::say_not_given(&mut explained);
    }
    Ok(told(args, &rules, &facts, &explained, None, print))
}

/// How the delivery and the explanation belong together.
#[derive(Serialize)]
pub(super) struct OfDelivery {
    pub(super) id: String,
    pub(super) state: &'static str,
    /// What was decided, with what else the service found.
    pub(super) decision: Decision,
    /// Whether the rules alone say the same.
    pub(super) same: bool,
    /// `kept`: by the version that decided; `file`: the rules file, which is that version; `in_force`: by other rules.
    pub(super) rules_from: &'static str,
}

pub(super) async fn of_delivery(
    id: &str,
    args: &ExplainArgs,
    config: &Config,
    desk: &Desk,
    print: Print,
) -> anyhow::Result<Outcome> {
    let shown = desk.show(id).await?;
    let facts = shown.facts.clone().ok_or(DeskError::Forgotten)?;
    let (rules, rules_from) = rules_of(&shown, config, desk).await?;
    let clinic = config.clinics.iter().find(|clinic| Some(clinic.id.as_str()) == shown.brief.clinic.as_deref());
    let moment = Moment { now: decided_at(&shown)?, zone: clinic.map_or(Tz::UTC, |clinic| clinic.timezone) };
    let explained = explain(&rules, &facts, moment);
    let delivery = OfDelivery {
        id: shown.brief.id.clone(),
        state: shown.brief.state,
        same: explained.recorded == shown.decision,
        decision: shown.decision,
        rules_from,
    };
    Ok(told(args, &rules, &facts, &explained, Some(&delivery), print))
}

/// When the delivery was decided; the schedule counts from the report's own time.
fn decided_at(shown: &Shown) -> anyhow::Result<UtcMillis> {
    let of_trace = shown.trace.get("decided_at").and_then(serde_json::Value::as_i64).map(UtcMillis);
    of_trace.or_else(|| UtcMillis::parse_rfc3339(&shown.brief.created_at)).context("nothing says when it was decided")
}

async fn rules_of(shown: &Shown, config: &Config, desk: &Desk) -> anyhow::Result<(RuleSet, &'static str)> {
    let hash = shown.rules_hash.clone();
    let now = desk.clock.now();
    let (kept, in_force) = desk
        .store
        .read(move |conn| {
            let in_force = match store::rules_in_force(conn, now)? {
                Some(row) => store::bundle_of(conn, &row.hash)?,
                None => None,
            };
            Ok((store::bundle_of(conn, &hash)?, in_force))
        })
        .await?;
    let compiled = |bundle: &Bundle| bundle.compile().ok();
    if let Some(rules) = kept.as_ref().and_then(compiled) {
        return Ok((rules, "kept"));
    }
    let file = rules_files::read_rules(config);
    match (file, in_force) {
        (Ok(rules), _) if rules.rules_hash_hex() == shown.rules_hash => Ok((rules, "file")),
        (_, Some(bundle)) => Ok((bundle.compile()?, "in_force")),
        (Ok(rules), None) => Ok((rules, "in_force")),
        (Err(error), None) => Err(error),
    }
}

fn told(
    args: &ExplainArgs,
    rules: &RuleSet,
    facts: &Facts,
    explained: &Explanation,
    delivery: Option<&OfDelivery>,
    print: Print,
) -> Outcome {
    #[derive(Serialize)]
    struct Whole<'e> {
        #[serde(flatten)]
        explained: &'e Explanation,
        #[serde(skip_serializing_if = "Option::is_none")]
        delivery: Option<&'e OfDelivery>,
    }
    match &args.as_test {
        Some(name) => {
            let text = as_test(rules, facts, name);
            print.done(&text, &serde_json::json!({"test": text}));
        }
        None => print.done(&spoken::lines(explained, delivery), &Whole { explained, delivery }),
    }
    let sends = explained.sends() && delivery.is_none_or(|delivery| matches!(delivery.decision, Decision::Send { .. }));
    if sends { Outcome::Done } else { Outcome::No }
}
