//! The program: arguments in, exit code out.

use std::alloc::System;
use std::process::ExitCode;

use chartseal::cell;
use chartseal::cli::{self, Cli};
use clap::Parser as _;
use zeroizing_alloc::ZeroAlloc;

/// What is freed is overwritten: no report and no link's secret waits in unused memory for a core dump or for swap.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    // Before there is a second thread, which could keep what the first gives up.
    if arguments.next().as_deref() == Some(cell::COMMAND) {
        return cell::serve(arguments);
    }
    command()
}

#[tokio::main]
async fn command() -> ExitCode {
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let cli = Cli::parse();
    chartseal::app::log::begin(&variables, cli.usual_log_level());
    cli::run(cli, variables).await
}
