//! `chartseal rules export` and `chartseal rules import`: rules as a table for a spreadsheet, and back.

use std::path::PathBuf;

use clap::Args;

use super::files::{RulesText, read_text, write_new};
use crate::app::rules_files::read_sets;
use crate::cli::Outcome;
use crate::cli::print::{Print, count};
use crate::policy::csv_table::{self, ExportError};
use crate::policy::rules::SideFiles;

/// Bytes of a table: its cells repeat what a rules file says once, and quote it.
const TABLE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Args)]
pub(in crate::cli) struct ExportArgs {
    /// The rules file.
    file: PathBuf,
    /// The table to be written, CSV in UTF-8.
    #[arg(long, value_name = "OUT.csv")]
    csv: PathBuf,
    /// The folder with code sets that the rules name.
    #[arg(long, value_name = "DIR")]
    sets: Option<PathBuf>,
}

#[derive(Args)]
pub(in crate::cli) struct ImportArgs {
    /// The table, as `rules export` wrote it or a spreadsheet saved it.
    file: PathBuf,
    /// The rules file to be written.
    #[arg(long, value_name = "OUT.toml")]
    toml: PathBuf,
    /// The folder with code sets that the rules name.
    #[arg(long, value_name = "DIR")]
    sets: Option<PathBuf>,
}

pub(super) fn export(args: &ExportArgs, print: Print) -> anyhow::Result<Outcome> {
    let text = RulesText::read(&args.file, args.sets.as_deref())?;
    let exported = match csv_table::export(&text.text, &text.sets) {
        Ok(exported) => exported,
        // In the words of every other command.
        Err(ExportError::Faulty(_)) => return text.compile(&args.file).map(|_| Outcome::No),
        Err(error @ ExportError::NotTheSame) => return Err(error.into()),
    };
    write_new(&args.csv, "--csv", &exported.csv)?;
    let hash = exported.rules.rules_hash_hex();
    let told = format!(
        "Written to {}: read back, it gives the same rules ({hash}). Remarks (lines with #) are not in it.",
        args.csv.display()
    );
    print.done(&told, &serde_json::json!({"csv": args.csv, "rules_hash": hash, "remarks_kept": false}));
    Ok(Outcome::Done)
}

pub(super) fn import(args: &ImportArgs, print: Print) -> anyhow::Result<Outcome> {
    let csv = read_text(&args.file, "the table", TABLE_BYTES_MAX)?;
    let sets = args.sets.as_deref().map_or_else(|| Ok(SideFiles::new()), read_sets)?;
    let imported = csv_table::import(&csv, &sets).map_err(|errors| {
        let faults: Vec<String> = errors.0.iter().map(|fault| format!("  {}: {fault}", args.file.display())).collect();
        anyhow::anyhow!("the table has faults and nothing was made of it:\n{}", faults.join("\n"))
    })?;
    write_new(&args.toml, "--toml", &imported.toml)?;
    let hash = imported.rules.rules_hash_hex();
    let rows = count(imported.rules.profiles().len(), "profile");
    let told = format!(
        "Written to {}: rules '{}' {} with {rows} ({hash}). A table has no remarks: write them anew where they are needed.",
        args.toml.display(),
        imported.rules.id(),
        imported.rules.version()
    );
    print.done(&told, &serde_json::json!({"toml": args.toml, "rules_hash": hash, "remarks_kept": false}));
    Ok(Outcome::Done)
}
