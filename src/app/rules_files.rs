//! The rules as files: the text, and the code sets beside it.
//!
//! Must stay true: the service and every command read the same files for the same rules; a file is read up to a bound; an
//! error names the file and what to do.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use crate::config::{self, Config, ConfigError};
use crate::policy::RuleSet;
use crate::policy::rules::SideFiles;
use crate::policy::sets::{FILE_BYTES_MAX, FILES_MAX};
use crate::store::Bundle;

/// The folder beside a rules file whose code sets belong to it.
pub const SETS_FOLDER: &str = "sets";
/// The endings of files of code sets.
const SET_ENDINGS: [&str; 2] = ["csv", "json"];

/// The rules of the configuration, for those that are in force as long as no version was ever approved.
///
/// # Errors
/// The file cannot be read, or has faults, each with its place.
pub fn read_rules(config: &Config) -> anyhow::Result<RuleSet> {
    let path = &config.policy_file;
    read_bundle(path)?
        .compile()
        .map_err(|errors| anyhow::anyhow!("the rules in {} are not in force:\n{errors}", path.display()))
}

/// The text of a rules file with the code sets beside it, understood or not.
///
/// # Errors
/// A file cannot be read.
pub fn read_bundle(path: &Path) -> anyhow::Result<Bundle> {
    let rules = config::read_text(path).map_err(|error| match error {
        ConfigError::Unreadable { kind: ErrorKind::NotFound, .. } => anyhow::anyhow!(
            "the rules file {} is not there: `chartseal init` writes a first one into a new folder",
            path.display()
        ),
        ConfigError::Unreadable { kind, .. } => {
            anyhow::anyhow!("the rules file {} cannot be read ({kind})", path.display())
        }
        mistakes @ ConfigError::Mistakes(_) => mistakes.into(),
    })?;
    Ok(Bundle { rules, files: sets_of(path, None)? })
}

/// The code sets of a rules file: those of the folder that is named, else of the folder `sets` beside the file, if there is
/// one.
///
/// # Errors
/// A folder or file cannot be read, or there are too many.
pub fn sets_of(rules: &Path, named: Option<&Path>) -> anyhow::Result<SideFiles> {
    if let Some(folder) = named {
        return read_sets(folder);
    }
    let beside = rules.parent().unwrap_or(Path::new("")).join(SETS_FOLDER);
    if beside.is_dir() { read_sets(&beside) } else { Ok(SideFiles::new()) }
}

/// Every table and value set of a folder, by the name of the file; other files are passed over.
///
/// # Errors
/// As [`sets_of`].
pub fn read_sets(folder: &Path) -> anyhow::Result<SideFiles> {
    let at = folder.display();
    let unreadable = |error: std::io::Error| {
        anyhow::anyhow!("the folder of code sets {at} (--sets) cannot be read ({})", error.kind())
    };
    let mut sets = SideFiles::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|_| SET_ENDINGS.contains(&ending.as_str()) && path.is_file()) {
            sets.insert(name.to_owned(), read_set(&path)?);
        }
        anyhow::ensure!(sets.len() <= FILES_MAX, "{at} has more than {FILES_MAX} files of code sets");
    }
    Ok(sets)
}

fn read_set(path: &Path) -> anyhow::Result<String> {
    let at = path.display();
    let unreadable = |error: std::io::Error| anyhow::anyhow!("the code set {at} cannot be read ({})", error.kind());
    let mut bytes = Vec::new();
    // One byte more, so that the set itself says that it is too long.
    let bytes_max = FILE_BYTES_MAX as u64 + 1;
    std::fs::File::open(path).map_err(unreadable)?.take(bytes_max).read_to_end(&mut bytes).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| {
        anyhow::anyhow!("the code set {at} is not text in UTF-8: save it as UTF-8 (in a spreadsheet: CSV UTF-8)")
    })
}
