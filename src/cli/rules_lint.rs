//! `chartseal rules lint`: what is wrong with rules files, for people, for programs and for code scanning.
//!
//! Must stay true: a file that cannot be read ends with 2, a fault with 1; warnings count with `--strict` alone.

mod picture;
mod sarif;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::Outcome;
use super::print::{Print, count};
use crate::app::rules_files::sets_of;
use crate::base::UtcMillis;
use crate::policy::RuleSet;
use crate::policy::errors::{Code, RulesError, Severity};
use crate::policy::lint::lint_with;
use crate::policy::lint::seen::Seen;
use crate::policy::rules::RULES_BYTES_MAX;
use picture::{Paint, picture};

/// Bytes of a census, with fifty thousand codes.
const CENSUS_BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Args)]
pub(super) struct LintArgs {
    /// The rules files.
    #[arg(required_unless_present = "explain", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A folder with the clinic's own code sets, as CSV tables or FHIR value sets.
    #[arg(long, value_name = "DIR")]
    sets: Option<PathBuf>,
    /// What came, as `chartseal rules census --rules FILE --json` counted it by this file: codes that often met no profile are told.
    #[arg(long, value_name = "FILE")]
    census: Option<PathBuf>,
    /// Print SARIF 2.1.0, for code scanning.
    #[arg(long)]
    sarif: bool,
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
    /// Say what a code such as `polarity-leak` means, and what to do.
    #[arg(long, value_name = "CODE", conflicts_with = "files")]
    explain: Option<String>,
}

/// One file and what was found in it.
struct Linted<'a> {
    file: &'a Path,
    text: String,
    faults: Vec<RulesError>,
}

pub(super) fn run(args: &LintArgs, print: Print) -> anyhow::Result<Outcome> {
    if let Some(word) = &args.explain {
        return explain(word, print);
    }
    let (now, seen) = (now(), seen(args.census.as_deref())?);
    let mut linted = Vec::new();
    for file in &args.files {
        let text = read(file, RULES_BYTES_MAX)?;
        let sets = sets_of(file, args.sets.as_deref())?;
        let faults = lint_with(&text, &sets, now, &seen).faults;
        if let (Some(census), Ok(rules)) = (&args.census, RuleSet::load(&text, &sets)) {
            let is_of_these = rules.rules_hash_hex() == seen.rules_hash;
            let (census, file) = (census.display(), file.display());
            anyhow::ensure!(
                is_of_these,
                "{census} was counted by other rules; count by these: chartseal rules census --since 90d --rules {file} --json"
            );
        }
        linted.push(Linted { file, text, faults });
    }
    if args.sarif {
        Print::Json.done("", &sarif::log(&linted));
    } else {
        print.done(&in_words(&linted), &in_json(&linted));
    }
    let has_any = |severity| linted.iter().any(|one| one.faults.iter().any(|fault| fault.code.severity() == severity));
    let is_no = has_any(Severity::Error) || (args.strict && has_any(Severity::Warning));
    Ok(if is_no { Outcome::No } else { Outcome::Done })
}

/// What a census found; nothing where none is given.
fn seen(census: Option<&Path>) -> anyhow::Result<Seen> {
    let Some(file) = census else { return Ok(Seen::default()) };
    let text = read(file, CENSUS_BYTES_MAX)?;
    serde_json::from_str(&text).with_context(|| format!("{} is no census as JSON", file.display()))
}

fn explain(word: &str, print: Print) -> anyhow::Result<Outcome> {
    let Some(code) = Code::parse(word) else {
        let near = Code::ALL.into_iter().map(Code::as_str).min_by_key(|known| strsim::osa_distance(word, known));
        anyhow::bail!("there is no code '{word}'; did you mean '{}'?", near.unwrap_or_default());
    };
    let severity = code.severity().as_str();
    let value = serde_json::json!({ "code": code.as_str(), "severity": severity, "about": code.about() });
    print.done(&format!("{severity}[{}]\n{}", code.as_str(), code.about()), &value);
    Ok(Outcome::Done)
}

fn in_words(linted: &[Linted<'_>]) -> String {
    let paint = if std::io::stdout().is_terminal() { Paint::Colours } else { Paint::Plain };
    let mut parts = Vec::new();
    for one in linted {
        let name = one.file.display().to_string();
        parts.extend(one.faults.iter().map(|fault| picture(&name, &one.text, fault, paint)));
        let told = |severity: Severity| one.faults.iter().filter(|fault| fault.code.severity() == severity).count();
        parts.push(match (told(Severity::Error), told(Severity::Warning)) {
            (0, 0) => format!("{name}: nothing to say against it."),
            (errors, warnings) => format!("{name}: {}, {}.", count(errors, "error"), count(warnings, "warning")),
        });
    }
    parts.join("\n\n")
}

fn in_json(linted: &[Linted<'_>]) -> Vec<serde_json::Value> {
    let of = |one: &Linted<'_>, fault: &RulesError| {
        serde_json::json!({
            "file": one.file.display().to_string(), "line": fault.line, "column": fault.column, "width": fault.width,
            "code": fault.code.as_str(), "severity": fault.code.severity().as_str(), "what": fault.what,
            "remedy": fault.remedy,
        })
    };
    linted.iter().flat_map(|one| one.faults.iter().map(move |fault| of(one, fault))).collect()
}

fn read(file: &Path, bytes_max: usize) -> anyhow::Result<String> {
    let told = || format!("{} cannot be read", file.display());
    let size = std::fs::metadata(file).with_context(told)?.len();
    // One byte more than allowed is enough for the fault that says so; more is not even read.
    let is_small = usize::try_from(size).is_ok_and(|size| size <= bytes_max.saturating_mul(2));
    anyhow::ensure!(is_small, "{} has {size} bytes; {bytes_max} are allowed", file.display());
    std::fs::read_to_string(file).with_context(told)
}

/// No database is opened to look at a file.
#[expect(clippy::disallowed_methods, reason = "lint runs without the service, whose clock is the store's")]
fn now() -> UtcMillis {
    UtcMillis::from_datetime(chrono::Utc::now())
}
