//! `chartseal demo`

use std::time::Duration;

use clap::Args;

use super::Outcome;
use super::print::Print;
use crate::demo::{self, Addresses, Wishes};

#[derive(Args)]
pub(super) struct DemoArgs {
    /// The port of the page to open. Default: a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Seconds between two things that happen.
    #[arg(long, default_value_t = 4, value_name = "SECONDS")]
    pause: u64,
}

pub(super) async fn run(args: &DemoArgs, print: Print) -> anyhow::Result<Outcome> {
    let wishes = Wishes { port: args.port, pause: Duration::from_secs(args.pause) };
    demo::run(wishes, |addresses| print.line(&in_words(addresses), addresses)).await?;
    Ok(Outcome::Done)
}

fn in_words(addresses: &Addresses) -> String {
    // `cargo run` puts it on no PATH.
    let program = std::env::current_exe().unwrap_or_else(|_| "chartseal".into());
    format!(
        "Chartseal's demo runs: the service itself, between a stand-in EHR and a mail catcher, with sample reports of \
         invented people.\n\n  Open {}\n\nCtrl-C ends it and leaves nothing. Meanwhile every command can be tried beside \
         it, such as\n  {} --config {} deliveries list",
        addresses.demo,
        program.display(),
        addresses.config.display()
    )
}
