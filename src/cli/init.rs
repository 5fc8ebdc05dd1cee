//! `chartseal init`: a folder that can be started.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Outcome;
use super::print::Print;
use crate::base::random;
use crate::config::{Config, Starter, starter_config};
use crate::keys::KeyRing;
use crate::policy::STARTER_RULES;
use crate::policy::starters::{STARTERS, starter};

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
    /// The rules to begin with, by the kind of clinic.
    #[arg(long, default_value = SHORTEST, value_parser = PossibleValuesParser::new(rules_names()))]
    rules: String,
}

/// The rules that `init` writes where nothing is said.
const SHORTEST: &str = "starter";

fn rules_names() -> impl Iterator<Item = &'static str> {
    [SHORTEST].into_iter().chain(STARTERS.into_iter().map(|(name, _)| name))
}

pub(super) fn run(args: &InitArgs, print: Print) -> anyhow::Result<Outcome> {
    let folder = &args.folder;
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
    for path in [&config_path, &config.policy_file] {
        let is_there = path.symlink_metadata().is_ok();
        anyhow::ensure!(!is_there, "{} is there already; nothing was overwritten", path.display());
    }
    KeyRing::require_none(&config.keys_dir)?;
    let rules = starter(&args.rules).unwrap_or(STARTER_RULES);
    let mut made = Made::default();
    if let Err(error) = write(&config_path, &text, &config, rules, &mut made) {
        made.undo();
        return Err(error);
    }
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

fn write(config_path: &Path, text: &str, config: &Config, rules: &str, made: &mut Made) -> anyhow::Result<()> {
    if let Some(folder) = config_path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        made.will_make_folder(folder);
        std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    made.write_new(config_path, text)?;
    made.write_new(&config.policy_file, rules)?;
    for folder in KeyRing::folders(&config.keys_dir) {
        made.will_make_folder(&folder);
    }
    KeyRing::create(&config.keys_dir, &mut random::system()).context("the keys were not made")?;
    Ok(())
}

/// What this run made, to be taken back when it fails.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    /// The outer ones first.
    folders: Vec<PathBuf>,
}

impl Made {
    /// Notes the folder and those around it that are not there yet.
    fn will_make_folder(&mut self, folder: &Path) {
        let is_new = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let mut missing: Vec<PathBuf> = folder.ancestors().take_while(is_new).map(Path::to_owned).collect();
        missing.reverse();
        self.folders.extend(missing);
    }

    /// Never overwrites: a second `init` must not cost anybody a configuration.
    fn write_new(&mut self, path: &Path, text: &str) -> anyhow::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path).with_context(|| {
            format!("{} is there already or cannot be written; nothing was overwritten", path.display())
        })?;
        self.files.push(path.to_owned());
        file.write_all(text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(())
    }

    /// A folder into which somebody else put something stays: only empty ones can be removed.
    fn undo(self) {
        for file in self.files {
            let _ = std::fs::remove_file(file);
        }
        for folder in self.folders.into_iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
