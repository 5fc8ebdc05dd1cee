//! The program: arguments in, exit code out.

use std::process::ExitCode;

use chartseal::cli::{self, Cli};
use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let cli = Cli::parse();
    chartseal::app::log::begin(&variables, cli.usual_log_level());
    cli::run(cli, variables).await
}
