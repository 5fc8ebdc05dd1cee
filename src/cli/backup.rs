//! `chartseal backup`: a whole copy of the database, also of a running service.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Outcome;
use super::print::Print;
use crate::config::{Config, StoreUrl};
use crate::store;

#[derive(Args)]
pub(super) struct BackupArgs {
    /// The file to write; it must not be there yet.
    file: PathBuf,
}

pub(super) fn run(args: &BackupArgs, config: &Config, print: Print) -> anyhow::Result<Outcome> {
    let from: &Path = match &config.store {
        StoreUrl::Sqlite(path) => path,
        StoreUrl::Postgres { .. } => anyhow::bail!(
            "the database is PostgreSQL: copy it with `pg_dump --no-owner --file FILE`, which makes a whole copy while \
             the service runs"
        ),
    };
    store::backup(from, &args.file)?;
    let text = format!(
        "{} is a whole copy of the database. It holds sealed patient data: keep it as you keep the database, and \
         apart from the keys.",
        args.file.display()
    );
    print.done(&text, &serde_json::json!({"backup": args.file}));
    Ok(Outcome::Done)
}
