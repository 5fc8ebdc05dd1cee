//! `chartseal slips …`

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use askama::Template;
use clap::Subcommand;

use super::print::Print;
use super::{Acts, Outcome};
use crate::base::{ClinicId, EhrId};
use crate::config::Config;
use crate::desk::{Desk, DeskError, Duty, Order, Person, SLIPS_MAX, Slip};

#[derive(Subcommand)]
pub(super) enum SlipsCommand {
    /// Write slips with codes into a page to be printed (HTML). The codes stand there alone, and only once.
    Print {
        /// The new file. Print it, and delete it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(SLIPS_MAX)))]
        count: u16,
        /// Whose name stands on them. Default: the only clinic.
        #[arg(long)]
        clinic: Option<ClinicId>,
        /// The id of the order's `ServiceRequest` in the EHR.
        #[arg(long = "for", value_name = "ORDER", requires = "ehr")]
        order: Option<String>,
        #[arg(long)]
        ehr: Option<EhrId>,
    },
    /// Say for which order a slip is that was printed for nobody.
    Bind {
        /// What stands at the foot of the slip.
        reference: String,
        /// The id of the order's `ServiceRequest` in the EHR.
        #[arg(long = "for", value_name = "ORDER")]
        order: String,
        #[arg(long)]
        ehr: EhrId,
    },
}

impl SlipsCommand {
    #[expect(clippy::unused_self, reason = "as every command says it")]
    pub(super) const fn acts(&self) -> Acts {
        Acts::Changes
    }
}

pub(super) async fn run(
    command: SlipsCommand,
    config: &Config,
    desk: &Desk,
    by: &Person,
    print: Print,
) -> anyhow::Result<Outcome> {
    by.may(Duty::Deliveries).map_err(DeskError::from)?;
    match command {
        SlipsCommand::Print { out, count, clinic, order, ehr } => {
            let clinic = clinic_of(config, clinic)?;
            let order = order.zip(ehr).map(|(id, ehr)| known_order(config, ehr, id)).transpose()?;
            // Before any code is made: what could not be written would be lost.
            let mut file = new_file(&out)?;
            let slips = desk.print_slips(count, clinic.id.clone(), order).await?;
            let page = Page::of(&clinic.name, clinic.phone.as_str(), &slips).render()?;
            file.write_all(page.as_bytes()).with_context(|| format!("{} cannot be written", out.display()))?;
            let references: Vec<&String> = slips.iter().map(|slip| &slip.reference).collect();
            let text = format!(
                "{} slips are in {}. Print it and delete it: the codes are kept nowhere else.",
                slips.len(),
                out.display()
            );
            print.done(&text, &serde_json::json!({"references": references, "file": out}));
        }
        SlipsCommand::Bind { reference, order, ehr } => {
            let reference = desk.bind_slip(&reference, known_order(config, ehr, order)?).await?;
            print.done(&format!("Slip {reference} is for that order now."), &serde_json::json!({"bound": reference}));
        }
    }
    Ok(Outcome::Done)
}

fn clinic_of(config: &Config, asked: Option<ClinicId>) -> anyhow::Result<&crate::config::Clinic> {
    match (asked, config.clinics.as_slice()) {
        (Some(asked), clinics) => clinics
            .iter()
            .find(|clinic| clinic.id == asked)
            .with_context(|| format!("there is no clinic '{asked}' in the configuration")),
        (None, [only]) => Ok(only),
        (None, _) => anyhow::bail!("say with --clinic whose name stands on the slips"),
    }
}

fn known_order(config: &Config, ehr: EhrId, id: String) -> anyhow::Result<Order> {
    anyhow::ensure!(config.ehrs.iter().any(|known| known.id == ehr), "there is no EHR '{ehr}' in the configuration");
    let id = id.strip_prefix("ServiceRequest/").map(str::to_owned).unwrap_or(id);
    Ok(Order { ehr, id })
}

/// For its owner alone, and never over another.
fn new_file(path: &Path) -> anyhow::Result<std::fs::File> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} cannot be made anew", path.display()))
}

#[derive(Template)]
#[template(path = "slips/slips.en.html")]
struct Page<'a> {
    clinic: &'a str,
    phone: &'a str,
    slips: Vec<Printed<'a>>,
}

struct Printed<'a> {
    reference: &'a str,
    code: &'a str,
}

impl<'a> Page<'a> {
    fn of(clinic: &'a str, phone: &'a str, slips: &'a [Slip]) -> Self {
        let slips = slips.iter().map(|slip| Printed { reference: &slip.reference, code: slip.code.expose() });
        Self { clinic, phone, slips: slips.collect() }
    }
}
