//! `chartseal doctor`: what works and what does not, here and at each EHR, each fault with its remedy.
//!
//! Must stay true: without `--round-trip` nothing is written outside; what that will write is said before.

mod channels;
mod heard;
mod installation;
mod texts;

use std::io::Write as _;

use clap::{Args, Subcommand};
use futures_util::future::join_all;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::ehrs::followed;
use super::print::{Print, count};
use super::{Acts, Common, Outcome, acting};
use crate::app::steps::Steps;
use crate::base::{EhrId, OperatorName, seconds};
use crate::config::Config;
use crate::desk::{DeskError, Duty, heard_ehrs};
use crate::intake::{Finding, TRIAL_WAIT_MAX, TrialAsked, Verdict};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct DoctorArgs {
    #[command(subcommand)]
    of: Option<DoctorOf>,
    /// This EHR alone. Default: every configured one.
    ehr: Option<String>,
    /// Write a patient who is nobody and a report that is none to the EHR, see whether its call comes, and remove both. Where no
    /// subscription is active, one is made for the trial. For a test environment first.
    #[arg(long)]
    round_trip: bool,
    /// How long to wait for the subscription and for the call.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "round_trip",
          value_parser = clap::value_parser!(u64).range(1..=TRIAL_WAIT_MAX.as_secs()))]
    wait: u64,
}

#[derive(Subcommand)]
enum DoctorOf {
    /// Messages: the relay, what the world's DNS says of the sender's domain, the patients' address, the text gateway, and trials.
    Channels(channels::ChannelsArgs),
}

/// What must work before anything can be written.
const SHUT: [&str; 2] = ["connection", "sign-in"];

/// All that was found.
#[derive(Serialize)]
struct Report {
    /// Whether nothing fails.
    ok: bool,
    installation: Vec<Finding>,
    ehrs: Vec<OfEhr>,
}

#[derive(Serialize)]
struct OfEhr {
    ehr: String,
    findings: Vec<Finding>,
}

pub(super) async fn run(
    args: DoctorArgs,
    common: &Common,
    variables: Vec<(String, String)>,
    config: &Config,
    print: Print,
) -> anyhow::Result<Outcome> {
    let args = match args {
        DoctorArgs { of: Some(DoctorOf::Channels(args)), .. } => {
            return channels::run(args, common, variables, config, print).await;
        }
        args @ DoctorArgs { of: None, .. } => args,
    };
    let chosen: Vec<&EhrId> = config.ehrs.iter().map(|ehr| &ehr.id).filter(|id| is_chosen(&args, id)).collect();
    anyhow::ensure!(
        args.ehr.is_none() || !chosen.is_empty(),
        "no such EHR is configured: `chartseal ehrs list` shows them, `chartseal setup` writes one"
    );
    let acts = if args.round_trip { Acts::Changes } else { Acts::Looks };
    let (ground, by) = match acting(common, variables, config, acts).await {
        Ok(acting) => acting,
        // Who may not act is an answer of its own.
        Err(error) if error.downcast_ref::<DeskError>().is_some() => return Err(error),
        Err(error) => {
            let installation = vec![installation::unopened(&error)];
            return Ok(tell(&Report::new(installation, Vec::new()), print));
        }
    };
    if args.round_trip {
        by.may(Duty::Deliveries).map_err(DeskError::from)?;
    }
    let steps = Steps::wire(config, &ground)?;
    let ehrs = join_all(chosen.iter().map(|id| steps.intake.examine(id))).await;
    let mut ehrs: Vec<OfEhr> = chosen
        .iter()
        .zip(ehrs)
        .map(|(id, found)| OfEhr { ehr: id.to_string(), findings: found.unwrap_or_default() })
        .collect();
    if args.round_trip {
        round_trips(&args, by.name, &steps, &chosen, &mut ehrs).await?;
    }
    // After a trial, whose call is then the last.
    for heard in heard_ehrs(&ground.store, followed(config), ground.clock.now()).await? {
        if let Some(told) = ehrs.iter_mut().find(|one| one.ehr == heard.ehr) {
            told.findings.extend(heard::findings(&heard));
        }
    }
    let installation = installation::look(config, &ground).await;
    Ok(tell(&Report::new(installation, ehrs), print))
}

impl Report {
    fn new(installation: Vec<Finding>, ehrs: Vec<OfEhr>) -> Self {
        let all = || ehrs.iter().flat_map(|one| &one.findings).chain(&installation);
        Self { ok: all().all(|one| one.verdict != Verdict::Fails), installation, ehrs }
    }
}

fn is_chosen(args: &DoctorArgs, id: &EhrId) -> bool {
    args.ehr.as_deref().is_none_or(|wanted| wanted == id.as_str())
}

async fn round_trips(
    args: &DoctorArgs,
    by: OperatorName,
    steps: &Steps,
    chosen: &[&EhrId],
    ehrs: &mut [OfEhr],
) -> anyhow::Result<()> {
    let asked = TrialAsked { by, wait: seconds(args.wait), stop: CancellationToken::new() };
    let stop = asked.stop.clone();
    let listening = tokio::spawn(async move {
        crate::app::terminated().await;
        stop.cancel();
    });
    for (id, told) in chosen.iter().zip(ehrs) {
        // Whom it does not let in it lets write even less.
        if told.findings.iter().any(|one| one.verdict == Verdict::Fails && SHUT.contains(&one.what)) {
            told.findings.push(Finding::note("round trip", "it was not tried: mend the above first"));
            continue;
        }
        if let Some(plan) = steps.intake.will_write(id).await? {
            let _ = writeln!(std::io::stderr(), "{plan}");
        }
        told.findings.extend(steps.intake.try_whole_way(id, &asked).await?.unwrap_or_default());
    }
    listening.abort();
    Ok(())
}

fn tell(report: &Report, print: Print) -> Outcome {
    print.done(&in_words(report), report);
    if report.ok { Outcome::Done } else { Outcome::No }
}

fn in_words(report: &Report) -> String {
    let mut lines = vec!["This installation".to_owned()];
    let all = || report.installation.iter().chain(report.ehrs.iter().flat_map(|one| &one.findings));
    let width = all().map(|one| one.what.chars().count()).max().unwrap_or(0);
    lines.extend(report.installation.iter().flat_map(|one| line(one, width)));
    for of_ehr in &report.ehrs {
        lines.push(format!("EHR '{}'", of_ehr.ehr));
        lines.extend(of_ehr.findings.iter().flat_map(|one| line(one, width)));
    }
    let fails = all().filter(|one| one.verdict == Verdict::Fails).count();
    let notes = all().filter(|one| one.verdict == Verdict::Note).count();
    lines.push(match (fails, notes) {
        (0, 0) => "All of it works.".to_owned(),
        (0, notes) => format!("Nothing fails; {} should be known.", count(notes, "thing")),
        (fails, _) => format!("{} must be mended.", count(fails, "thing")),
    });
    lines.join("\n")
}

fn line(finding: &Finding, width: usize) -> Vec<String> {
    let word = match finding.verdict {
        Verdict::Works => "works",
        Verdict::Note => "note",
        Verdict::Fails => "FAILS",
    };
    let mut lines = vec![format!("  {word:<5}  {:<width$}  {}", finding.what, finding.says)];
    lines.extend(finding.remedy.as_ref().map(|remedy| format!("         {:<width$}  do: {remedy}", "")));
    lines
}
