//! `chartseal rules …`
//!
//! Job: the commands about rules, each in a file of its own.
//! Must stay true: what only reads a rules file needs neither configuration nor database.

mod explain;
mod files;
mod given;
mod spoken;
mod table;
mod test;

use clap::Subcommand;

use super::print::Print;
use super::rules_versions::{self, VersionsCommand};
use super::{Common, Outcome, desk, load, rules_lint, rules_look};

/// What can be done with rules.
#[derive(Subcommand)]
pub(super) enum RulesCommand {
    #[command(flatten)]
    Versions(VersionsCommand),
    /// Look for what is wrong with rules files, and for what loads and is not what somebody meant.
    Lint(rules_lint::LintArgs),
    #[command(flatten)]
    Look(rules_look::LookCommand),
    /// Run the tests of a rules file, and tell which rows no test covers.
    Test(test::TestArgs),
    /// Tell what the rules say of one report, and why.
    Explain(Box<explain::ExplainArgs>),
    /// Write a rules file as a table for a spreadsheet.
    Export(table::ExportArgs),
    /// Make a rules file of such a table.
    Import(table::ImportArgs),
}

pub(super) async fn run(
    command: RulesCommand,
    common: &Common,
    variables: Vec<(String, String)>,
    print: Print,
) -> anyhow::Result<Outcome> {
    match command {
        RulesCommand::Versions(command) => {
            let config = load(common, variables.clone())?;
            let (desk, by) = desk(common, variables, command.acts()).await?;
            Box::pin(rules_versions::run(command, &config, &desk, &by, print)).await
        }
        RulesCommand::Lint(args) => rules_lint::run(&args, print),
        RulesCommand::Look(command) => Box::pin(rules_look::run(command, common, variables, print)).await,
        RulesCommand::Test(args) => test::run(&args, print),
        RulesCommand::Explain(args) => match &args.delivery {
            Some(id) => {
                let config = load(common, variables.clone())?;
                let (desk, _) = desk(common, variables, explain::ExplainArgs::ACTS).await?;
                Box::pin(explain::of_delivery(id, &args, &config, &desk, print)).await
            }
            None => Box::pin(explain::of_files(&args, print)).await,
        },
        RulesCommand::Export(args) => table::export(&args, print),
        RulesCommand::Import(args) => table::import(&args, print),
    }
}
