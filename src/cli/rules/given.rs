//! Facts from files: written by hand, or made from FHIR resources as the service makes them.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::files::{read_bytes, read_text};
use crate::base::ClinicId;
use crate::fhir::{Circumstances, Given, GivenFile, facts_of};
use crate::policy::facts::{Facts, Gathered};
use crate::policy::{Moment, RecipientRole, RuleSet, facts_file};

/// Bytes of one file of facts or of FHIR.
const FILE_BYTES_MAX: usize = 24 * 1024 * 1024;

pub(super) fn facts(path: &Path, rules: &RuleSet) -> anyhow::Result<Facts> {
    let text = read_text(path, "the facts file", FILE_BYTES_MAX)?;
    facts_file::read(&text, rules).with_context(|| format!("the facts file {} cannot be used", path.display()))
}

/// A report and what belongs to it.
pub(super) struct ReportFiles<'f> {
    pub(super) report: &'f Path,
    pub(super) patient: Option<&'f Path>,
    pub(super) with: &'f [PathBuf],
}

/// As the service makes them from an EHR; nobody recorded a wish of this patient, or anything of their address. Files do not
/// say on what ground a proxy acts.
pub(super) async fn of_report(
    files: &ReportFiles<'_>,
    rules: &RuleSet,
    recipient: RecipientRole,
    clinic: Option<ClinicId>,
    moment: Moment,
) -> anyhow::Result<Facts> {
    let report = file(files.report, "the report")?;
    let patient = files.patient.map(|path| file(path, "the patient")).transpose()?;
    let with = files.with.iter().map(|path| file(path, "the resource")).collect::<anyhow::Result<Vec<_>>>()?;
    let given = Given::read(&report, patient.as_ref(), &with, moment.now)?;
    let evidence = given.gather(&rules.needs()).await;
    let zone = rules.timezone().unwrap_or(moment.zone);
    let around = Circumstances { recipient, clinic, now: moment.now, zone };
    let facts = facts_of(&given.report, evidence, given.patient.as_ref(), rules.patterns(), around);
    let basis = match recipient {
        RecipientRole::Proxy => Gathered::default(),
        RecipientRole::Patient
        | RecipientRole::OrderingProvider
        | RecipientRole::CopyTo
        | RecipientRole::ThirdParty => Gathered::none(),
    };
    Ok(Facts { basis, preferences: Gathered::none(), contact: Gathered::none(), ..facts })
}

fn file(path: &Path, what: &str) -> anyhow::Result<GivenFile> {
    Ok(GivenFile { name: path.display().to_string(), bytes: read_bytes(path, what, FILE_BYTES_MAX)? })
}
