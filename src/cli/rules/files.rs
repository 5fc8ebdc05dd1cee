//! Files that a person names: the rules, the code sets beside them, tables, JSON.
//!
//! Must stay true: a file is read up to a bound; an error names the file and what to do, and nothing of its content.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use crate::app::rules_files::sets_of;
use crate::policy::rules::{RULES_BYTES_MAX, SideFiles};
use crate::policy::{RuleSet, RulesErrors};

/// A rules file and what stands beside it.
pub(super) struct RulesText {
    pub(super) text: String,
    pub(super) sets: SideFiles,
}

impl RulesText {
    pub(super) fn read(rules: &Path, sets: Option<&Path>) -> anyhow::Result<Self> {
        // One byte more, so that the rules themselves say that they are too long.
        let text = read_text(rules, "the rules file", RULES_BYTES_MAX + 1)?;
        let sets = sets_of(rules, sets)?;
        Ok(Self { text, sets })
    }

    /// Each fault beside the name of the file.
    pub(super) fn compile(&self, file: &Path) -> anyhow::Result<RuleSet> {
        RuleSet::load(&self.text, &self.sets).map_err(|errors| named(file, &errors))
    }
}

fn named(file: &Path, errors: &RulesErrors) -> anyhow::Error {
    let faults: Vec<String> = errors.0.iter().map(|fault| format!("  {}: {fault}", file.display())).collect();
    anyhow::anyhow!("the rules file has faults:\n{}", faults.join("\n"))
}

/// A whole text of at most `bytes_max` bytes.
pub(super) fn read_text(path: &Path, what: &str, bytes_max: usize) -> anyhow::Result<String> {
    let bytes = read_bytes(path, what, bytes_max)?;
    String::from_utf8(bytes).map_err(|_| {
        anyhow::anyhow!(
            "{what} {} is not text in UTF-8: save it as UTF-8 (in a spreadsheet: CSV UTF-8)",
            path.display()
        )
    })
}

pub(super) fn read_bytes(path: &Path, what: &str, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    let at = path.display();
    let unreadable = |error: std::io::Error| {
        let kind = error.kind();
        if kind == ErrorKind::NotFound {
            anyhow::anyhow!("{what} {at} is not there")
        } else {
            anyhow::anyhow!("{what} {at} cannot be read ({kind})")
        }
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    anyhow::ensure!(bytes.len() <= bytes_max, "{what} {at} is larger than {bytes_max} bytes");
    Ok(bytes)
}

/// Writes a new file; one that is there is not touched.
pub(super) fn write_new(path: &Path, flag: &str, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let at = path.display();
    let failed = |error: std::io::Error| {
        let kind = error.kind();
        if kind == ErrorKind::AlreadyExists {
            anyhow::anyhow!("{flag} {at} is there already: name a new file, or move the old one away")
        } else {
            anyhow::anyhow!("{flag} {at} cannot be written ({kind})")
        }
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
