//! The commands.
//!
//! Job: parse arguments, open what a command needs, print for people or as JSON, choose the exit code: 0 done, 1 the
//! answer is no, 2 wrong usage or configuration.
//! Must stay true: no command prints a secret (but a person's new key, or a code that they tell, once), an address or a usable
//! link; a key is never an argument.
//! Must not know: SQL, FHIR, HTTP.

mod audit;
mod backup;
mod bounces;
mod check;
mod contacts;
mod deliveries;
mod demo;
mod doctor;
mod ehrs;
mod incident;
mod init;
mod keys;
mod messages;
mod past;
mod patients;
mod pause;
mod print;
mod rehearse;
mod rules;
mod rules_lint;
mod rules_look;
mod rules_versions;
mod setup;
mod shred;
mod slips;
mod staff;
mod write_backs;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::app::start::{Ground, Part, Restore, TimeFrom};
use crate::app::{App, Workers, steps};
use crate::base::{OperatorName, SecretText};
use crate::cell::{CellLimits, Program, Reader};
use crate::config::{Config, ConfigError};
use crate::desk::{self, Desk, DeskError, Duty, Person, StaffRefusal, Standing};
use crate::keys::ReplicaName;
use crate::store::{Store, StoreError};

use print::Print;

/// Delivers final clinical reports from a FHIR server to patients as sealed, policy-bound links.
#[derive(Parser)]
#[command(name = "chartseal", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// The configuration file.
    #[arg(long, global = true, default_value = "chartseal.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON value instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    /// Who acts, as the audit will name them. Default: the name of the logged-in user.
    #[arg(long = "as", global = true, value_name = "NAME")]
    operator: Option<String>,
    /// The file with the key of the person who acts; or set `CHARTSEAL_OPERATOR_KEY`.
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Write a first configuration, rules and keys into a folder.
    Init(init::InitArgs),
    /// Run the service.
    Serve {
        /// The database was restored from a backup: end what died since, take unsent messages to review.
        #[arg(long)]
        after_restore: bool,
        /// This process's own name among several on one database: a-z, 0-9 and hyphens.
        #[arg(long, default_value = "main")]
        replica: String,
    },
    /// Try it: the service between a stand-in EHR and a mail catcher, with sample reports, until Ctrl-C. Leaves nothing.
    Demo(demo::DemoArgs),
    /// Read configuration and rules and tell every mistake; then look whether database, keys and folders can be used.
    Check,
    /// Lead through a new EHR: what its staff are to be told, and its section of the configuration.
    Setup(setup::SetupArgs),
    /// Look at this installation and at each EHR, and say what works, what does not, and what to do.
    Doctor(doctor::DoctorArgs),
    /// Bring the database up to date.
    Migrate,
    /// Copy the SQLite database, also of a running service, into a new file.
    Backup(backup::BackupArgs),
    /// Stop all messages, on every replica.
    Pause {
        /// Why, for the audit and for the colleague who finds it paused.
        #[arg(long)]
        why: String,
    },
    /// End the pause.
    Resume,
    /// Look at deliveries, release, revoke, send again.
    #[command(subcommand)]
    Deliveries(deliveries::DeliveriesCommand),
    /// Look at what is known of patients' addresses; confirm one, or say that it is not the patient's.
    #[command(subcommand)]
    Contacts(contacts::ContactsCommand),
    /// Take in reports of messages that did not arrive.
    #[command(subcommand)]
    Bounces(bounces::BouncesCommand),
    /// Look at the messages that patients get, and at clinics' own words for them.
    #[command(subcommand)]
    Messages(messages::MessagesCommand),
    /// Look at how the EHRs are heard, what is wrong with them, and by which keys they know us.
    #[command(subcommand)]
    Ehrs(ehrs::EhrsCommand),
    /// Print slips with codes for patients to keep, and say for which order each is.
    #[command(subcommand)]
    Slips(slips::SlipsCommand),
    /// Verify or export the audit.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look at the keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// What patients asked for.
    #[command(subcommand)]
    Patients(patients::PatientsCommand),
    /// When something went wrong: choose deliveries, and revoke them all.
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// Look for mistakes in the rules, test and explain them; change them: propose, approve, go back.
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Read the EHR's reports of the past and say what would have become of them. Sends nothing.
    Rehearse(rehearse::RehearseArgs),
    /// Say who may act: people with keys of their own.
    #[command(subcommand)]
    Staff(staff::StaffCommand),
    /// Try to open a link from a copy of the database and the sealed files, and say what stands in the way.
    ProveShred(shred::ShredArgs),
}

impl Cli {
    /// What is logged where nobody says what: a newcomer reads the demo's page, not its log.
    #[must_use]
    pub const fn usual_log_level(&self) -> &'static str {
        if let Command::Demo(_) = self.command { "warn" } else { "info" }
    }
}

/// How a command ended, where it did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Done,
    /// The answer is no.
    No,
    /// Try the same again: `EX_TEMPFAIL` of `sysexits.h`, by which mail systems know it.
    Later,
}

const TRY_AGAIN: u8 = 75;

/// Runs the command that the arguments name.
pub async fn run(cli: Cli, variables: Vec<(String, String)>) -> ExitCode {
    let is_piped = matches!(cli.command, Command::Bounces(_));
    let print = if cli.common.json { Print::Json } else { Print::Text };
    match Box::pin(dispatch(cli, print, variables)).await {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Ok(Outcome::Later) => ExitCode::from(TRY_AGAIN),
        Err(error) => {
            // A mail system would throw the report away at any other code.
            let code = if is_piped { TRY_AGAIN } else { exit_code(&error) };
            print.error(&plainly(error));
            ExitCode::from(code)
        }
    }
}

/// A service tries again by itself; a person's deed is done or not, and must not be hoped for.
fn plainly(error: anyhow::Error) -> anyhow::Error {
    let store = error.chain().find_map(|cause| match cause.downcast_ref::<DeskError>() {
        Some(DeskError::Store(store)) => Some(store),
        Some(_) | None => cause.downcast_ref::<StoreError>(),
    });
    match store {
        Some(StoreError::Unavailable { .. } | StoreError::JournalRefused { .. }) => {
            anyhow::anyhow!("{error:#}; nothing was changed: mend that and run the command again")
        }
        Some(_) | None => error,
    }
}

/// What staff asked for and cannot have is an answer; everything else is usage, configuration or a fault.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<DeskError>() {
        Some(
            DeskError::Store(_)
            | DeskError::Journal(_)
            | DeskError::RootsWord(_)
            | DeskError::Stopped
            | DeskError::Staff(StaffRefusal::KeyNeeded { .. }),
        )
        | None => 2,
        Some(
            DeskError::Unknown { .. }
            | DeskError::NotPossible { .. }
            | DeskError::Shadow
            | DeskError::Outdated { .. }
            | DeskError::Forgotten
            | DeskError::NoPreference
            | DeskError::NoAddress
            | DeskError::ContactSo { .. }
            | DeskError::TheHoldersWish
            | DeskError::NotWaivable { .. }
            | DeskError::NoTalkNeeded
            | DeskError::ForbiddenNow { .. }
            | DeskError::TooShort { .. }
            | DeskError::NoChannel { .. }
            | DeskError::ReleaseBeforeTalk
            | DeskError::NoQuestion
            | DeskError::NoNote { .. }
            | DeskError::AsksNoCode
            | DeskError::Locked
            | DeskError::NotLocked
            | DeskError::UnlockedBefore
            | DeskError::NotOut
            | DeskError::NoCallWanted
            | DeskError::NoSlip
            | DeskError::SlipBound
            | DeskError::Staff(_)
            | DeskError::Rules(_)
            | DeskError::Incident(_),
        ) => 1,
    }
}

async fn dispatch(cli: Cli, print: Print, variables: Vec<(String, String)>) -> anyhow::Result<Outcome> {
    let Cli { common, command } = cli;
    match command {
        Command::Init(args) => init::run(&args, print),
        Command::Serve { after_restore, replica } => {
            let restore = if after_restore { Restore::Said } else { Restore::NotSaid };
            serve(&load(&common, variables)?, &replica, restore).await
        }
        Command::Demo(args) => demo::run(&args, print).await,
        Command::Check => check::check(&load(&common, variables)?, print).await,
        Command::Setup(args) => Box::pin(setup::run(args, &common, variables, print)).await,
        Command::Doctor(args) => {
            let config = load(&common, variables.clone())?;
            Box::pin(doctor::run(args, &common, variables, &config, print)).await
        }
        Command::Migrate => migrate(&load(&common, variables)?, print).await,
        Command::Backup(args) => backup::run(&args, &load(&common, variables)?, print),
        Command::Pause { why } => {
            let (desk, by) = desk(&common, variables, Acts::Changes).await?;
            by.may(Duty::Deliveries).map_err(DeskError::from)?;
            pause::pause(&desk, &why, print).await
        }
        Command::Resume => {
            let (desk, by) = desk(&common, variables, Acts::Changes).await?;
            by.may(Duty::Deliveries).map_err(DeskError::from)?;
            pause::resume(&desk, print).await
        }
        Command::Deliveries(command) => {
            let (desk, by) = desk(&common, variables, command.acts()).await?;
            deliveries::run(command, &desk, &by, print).await
        }
        Command::Contacts(command) => {
            let (desk, by) = desk(&common, variables, command.acts()).await?;
            contacts::run(command, &desk, &by, print).await
        }
        Command::Bounces(command) => bounces::run(command, &load(&common, variables)?, print).await,
        Command::Messages(command) => messages::run(command, &load(&common, variables)?, print),
        Command::Slips(command) => {
            let config = load(&common, variables.clone())?;
            let (desk, by) = desk(&common, variables, command.acts()).await?;
            slips::run(command, &config, &desk, &by, print).await
        }
        Command::Patients(command) => {
            let acts = if command.only_looks() { Acts::Looks } else { Acts::Changes };
            let (desk, _) = desk(&common, variables, acts).await?;
            patients::run(command, &desk, print).await
        }
        Command::Incident(command) => {
            let (desk, by) = desk(&common, variables, command.acts()).await?;
            incident::run(command, &desk, &by, print).await
        }
        Command::Rules(command) => Box::pin(rules::run(command, &common, variables, print)).await,
        Command::Rehearse(args) => Box::pin(rehearse::run(args, &load(&common, variables)?, print)).await,
        Command::Staff(command) => {
            let (desk, by) = desk(&common, variables, command.acts()).await?;
            staff::run(command, &desk, &by, print).await
        }
        Command::Ehrs(command) => of_ehrs(&command, &common, variables, print).await,
        Command::Audit(command) => audit::run(command, &ground(&load(&common, variables)?).await?, print).await,
        Command::Keys(command) => keys::run(&command, &ground(&load(&common, variables)?).await?, print).await,
        Command::ProveShred(args) => shred::run(&args, &load(&common, variables)?, print).await,
    }
}

async fn of_ehrs(
    command: &ehrs::EhrsCommand,
    common: &Common,
    variables: Vec<(String, String)>,
    print: Print,
) -> anyhow::Result<Outcome> {
    let config = load(common, variables.clone())?;
    let (ground, by) = acting(common, variables, &config, command.acts()).await?;
    let (mode, operator) = (steps::mode_of(&config), by.name.clone());
    let (store, clock, vault) = (ground.store.clone(), ground.clock.clone(), ground.vault.clone());
    let desk = Desk { store, clock, vault, operator, mode };
    ehrs::run(command, &config, &ground, &desk, &by, print).await
}

fn load(common: &Common, variables: Vec<(String, String)>) -> anyhow::Result<Config> {
    match Config::load(&common.config, variables) {
        Ok(config) => Ok(Config { reader: Reader::new(Program::installed(), CellLimits::default()), ..config }),
        Err(ConfigError::Unreadable { path, kind }) => Err(anyhow::anyhow!(
            "the configuration {} cannot be read ({kind}): name it with --config, or write a first one with \
             `chartseal init`",
            path.display()
        )),
        Err(mistakes @ ConfigError::Mistakes(_)) => Err(mistakes.into()),
    }
}

async fn ground(config: &Config) -> anyhow::Result<Ground> {
    Ground::open(config, Part::Command, TimeFrom::TheStore, Restore::NotSaid).await
}

/// Whether a command needs a name, and a key.
#[derive(Clone, Copy)]
enum Acts {
    Looks,
    Changes,
    /// A name that nobody proves: what root wrote beside the keys counts instead.
    ByRootsWord,
}

/// The variable that may hold the key of the person who acts.
const KEY_VARIABLE: &str = "CHARTSEAL_OPERATOR_KEY";
/// Bytes of a file that may hold a key: it is one line.
const KEY_FILE_BYTES_MAX: u64 = 4096;

async fn desk(common: &Common, variables: Vec<(String, String)>, acts: Acts) -> anyhow::Result<(Desk, Person)> {
    let config = load(common, variables.clone())?;
    let (ground, person) = acting(common, variables, &config, acts).await?;
    let (mode, operator) = (steps::mode_of(&config), person.name.clone());
    Ok((Desk { store: ground.store, clock: ground.clock, vault: ground.vault, operator, mode }, person))
}

/// What a command stands on, and who acts.
async fn acting(
    common: &Common,
    variables: Vec<(String, String)>,
    config: &Config,
    acts: Acts,
) -> anyhow::Result<(Ground, Person)> {
    let variable = |wanted: &str| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let (logged_in, key) = (variable("USER"), variable(KEY_VARIABLE).map(SecretText::new));
    let name = match (common.operator.clone().or(logged_in), acts) {
        (Some(name), Acts::Changes | Acts::Looks | Acts::ByRootsWord) => name,
        // Looking leaves no line in the audit.
        (None, Acts::Looks) => "nobody".to_owned(),
        (None, Acts::Changes | Acts::ByRootsWord) => {
            anyhow::bail!("say who acts with --as NAME: the audit names a person")
        }
    };
    let operator = OperatorName::parse(&name).context("--as is not a name")?;
    let ground = ground(config).await?;
    let person = match acts {
        Acts::Looks | Acts::ByRootsWord => Person { name: operator, standing: Standing::Believed },
        Acts::Changes => {
            let key = match &common.key_file {
                Some(path) => Some(key_in(path)?),
                None => key,
            };
            desk::prove(&ground.store, &ground.vault, operator, key, ground.clock.now()).await?
        }
    };
    Ok((ground, person))
}

fn key_in(path: &Path) -> anyhow::Result<SecretText> {
    let read = || {
        let mut text = String::new();
        std::fs::File::open(path)?.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
        std::io::Result::Ok(SecretText::new(text))
    };
    read().with_context(|| format!("--key-file {} cannot be read", path.display()))
}

async fn serve(config: &Config, replica: &str, restore: Restore) -> anyhow::Result<Outcome> {
    let replica = ReplicaName::parse(replica).context("--replica is not a name")?;
    let mut stop = std::pin::pin!(crate::app::terminated());
    let app = tokio::select! {
        app = App::build(config, replica, TimeFrom::TheStore, restore) => app?,
        () = &mut stop => return Ok(Outcome::Done),
    };
    app.run(Workers::Spawned, stop).await?;
    Ok(Outcome::Done)
}

async fn migrate(config: &Config, print: Print) -> anyhow::Result<Outcome> {
    let ran = Store::migrate(&crate::app::start::store_url(&config.store)?)?;
    if !ran.is_empty()
        && let Err(error) = ground(config).await
    {
        tracing::warn!(error = format!("{error:#}"), "the audit is told of the migrations at the next start");
    }
    let text = if ran.is_empty() {
        "The database is up to date.".to_owned()
    } else {
        format!("The database is up to date; ran: {}.", ran.join(", "))
    };
    print.done(&text, &serde_json::json!({ "ran": ran }));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_that_the_database_did_not_take_is_not_said_to_be_waiting() {
        let lost = || StoreError::Unavailable { why: "the disk is full" };
        for error in [anyhow::Error::new(lost()), DeskError::Store(lost()).into()] {
            let said = plainly(error).to_string();
            assert!(said.contains("the disk is full; ") || said.contains("the disk is full); "), "{said}");
            assert!(said.contains("nothing was changed") && said.contains("run the command again"), "{said}");
        }
        let other = plainly(DeskError::Shadow.into()).to_string();
        assert!(!other.contains("run the command again"), "{other}");
    }
}
