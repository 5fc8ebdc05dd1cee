//! `chartseal init`: a folder that can be started.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::Outcome;
use super::print::Print;
use crate::base::random;
use crate::config::{Config, Starter, starter_config};
use crate::keys::KeyRing;
use crate::policy::STARTER_RULES;

#[derive(Args)]
pub(super) struct InitArgs {
    /// The folder; made when it does not exist.
    #[arg(default_value = ".")]
    folder: PathBuf,
    #[arg(long, default_value = "main")]
    clinic_id: String,
    #[arg(long, default_value = "Your Clinic")]
    clinic_name: String,
    /// The number that patients call.
    #[arg(long, default_value = "+1 555 0100")]
    phone: String,
    #[arg(long, default_value = "America/Chicago")]
    timezone: String,
    /// The address that messages come from.
    #[arg(long, default_value = "results@clinic.example")]
    from: String,
    #[arg(long, default_value = "ehr")]
    ehr_id: String,
    /// The FHIR base address of the EHR.
    #[arg(long, default_value = "http://127.0.0.1:18090/fhir")]
    ehr_base_url: String,
}

pub(super) fn run(args: &InitArgs, print: Print) -> anyhow::Result<Outcome> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let config_path = folder.join("chartseal.toml");
    let text = starter_config(&Starter {
        clinic_id: &args.clinic_id,
        clinic_name: &args.clinic_name,
        phone: &args.phone,
        timezone: &args.timezone,
        language: "en",
        from: &args.from,
        ehr_id: &args.ehr_id,
        ehr_base_url: &args.ehr_base_url,
    });
    // Judged before anything is written, so that a bad value leaves no half-made folder.
    let config = Config::parse(&text, &config_path, [])?;
    write_new(&config_path, &text)?;
    write_new(&config.policy_file, STARTER_RULES)?;
    KeyRing::create(&config.keys_dir, &mut random::system()).context("the keys were not made")?;
    let next = format!(
        "Made {}, {} and the keys in {}.\n\
         Back up {} now, apart from the database: without it nothing can be read. Do not back up the other keys.\n\
         Next: `chartseal check --config {}`, then `chartseal serve --config {}`. It starts in shadow mode: \
         everything is decided and shown, nothing leaves.",
        config_path.display(),
        config.policy_file.display(),
        config.keys_dir.display(),
        config.keys_dir.join("root").display(),
        config_path.display(),
        config_path.display()
    );
    let value = serde_json::json!({"config": config_path, "rules": config.policy_file, "keys": config.keys_dir});
    print.done(&next, &value);
    Ok(Outcome::Done)
}

/// Never overwrites: a second `init` must not cost anybody a configuration.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).with_context(|| {
        format!("{} is there already or cannot be written; nothing was overwritten", path.display())
    })?;
    file.write_all(text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(())
}
