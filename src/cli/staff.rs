//! `chartseal staff …`

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};

use super::print::{Print, table};
use super::{Acts, Outcome};
use crate::base::{OperatorName, UtcMillis};
use crate::desk::{Desk, DeskError, OperatorKey, Person};
use crate::store::Role;

#[derive(Subcommand)]
pub(super) enum StaffCommand {
    /// Add a person and show their key, once. The first has to be a lead.
    Add {
        /// As the audit will name them.
        name: OperatorName,
        #[arg(long, value_enum)]
        role: RoleWord,
        /// Write the key into this new file, for its owner alone, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List everybody who may act, and who could.
    List,
    /// End a person's time: their key proves nothing any more.
    End { name: OperatorName },
    /// Give a person another key; the old one proves nothing any more.
    Rekey {
        name: OperatorName,
        /// Write the key into this new file, for its owner alone, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Give a lead who lost their key another, by what root of this machine wrote beside the keys. Takes no key.
    Recover {
        name: OperatorName,
        /// Write the key into this new file, for its owner alone, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What a person is for.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum RoleWord {
    /// Sees to deliveries.
    Desk,
    /// A desk that is also a treating professional.
    Clinician,
    /// Writes rules.
    Author,
    /// Approves rules that others wrote.
    Approver,
    /// Says who may act, and may do all that the others may.
    Lead,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Desk => Self::Desk,
            RoleWord::Clinician => Self::Clinician,
            RoleWord::Author => Self::Author,
            RoleWord::Approver => Self::Approver,
            RoleWord::Lead => Self::Lead,
        }
    }
}

impl StaffCommand {
    pub(super) const fn acts(&self) -> Acts {
        match self {
            Self::List => Acts::Looks,
            Self::Add { .. } | Self::End { .. } | Self::Rekey { .. } => Acts::Changes,
            Self::Recover { .. } => Acts::ByRootsWord,
        }
    }
}

pub(super) async fn run(command: StaffCommand, desk: &Desk, by: &Person, print: Print) -> anyhow::Result<Outcome> {
    match command {
        StaffCommand::Add { name, role, out } => {
            let role = Role::from(role);
            let place = KeyPlace::make_ready(out.as_deref())?;
            let made = desk.add_person(by, name.clone(), role).await;
            let text = format!("{name} may act as {}.", role.as_str());
            hand_over(&place, made, &text, &name, print)
        }
        StaffCommand::Rekey { name, out } => {
            let place = KeyPlace::make_ready(out.as_deref())?;
            let made = desk.rekey_person(by, name.clone()).await;
            let text = format!("{name} has another key; the old one proves nothing any more.");
            hand_over(&place, made, &text, &name, print)
        }
        StaffCommand::Recover { name, out } => {
            let place = KeyPlace::make_ready(out.as_deref())?;
            let made = desk.recover_lead(by.name.clone(), name.clone()).await;
            let text = format!(
                "{name} has another key by root's word; the old one proves nothing any more, and the audit and `chartseal \
                 staff list` say so. Add a second lead now."
            );
            hand_over(&place, made, &text, &name, print)
        }
        StaffCommand::End { name } => {
            desk.end_person(by, name.clone()).await?;
            print.done(&format!("{name} may act no more."), &serde_json::json!({"ended": name}));
            Ok(Outcome::Done)
        }
        StaffCommand::List => list(desk, print).await,
    }
}

/// Where a new key goes. The file is made before the deed: a key that could not be written would be lost.
enum KeyPlace<'p> {
    Shown,
    File { path: &'p Path, file: std::fs::File },
}

impl<'p> KeyPlace<'p> {
    fn make_ready(out: Option<&'p Path>) -> anyhow::Result<Self> {
        let Some(path) = out else { return Ok(Self::Shown) };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(|| {
            format!(
                "--out {} cannot be made: it has to be a new file in a folder that you may write to",
                path.display()
            )
        })?;
        Ok(Self::File { path, file })
    }
}

fn hand_over(
    place: &KeyPlace<'_>,
    made: Result<OperatorKey, DeskError>,
    text: &str,
    name: &OperatorName,
    print: Print,
) -> anyhow::Result<Outcome> {
    match (place, made) {
        (KeyPlace::Shown, Ok(key)) => {
            let key = key.to_text();
            let told = format!("{text} Their key, which is not shown again:\n{}", key.expose());
            print.done(&told, &serde_json::json!({"name": name, "key": key.expose()}));
            Ok(Outcome::Done)
        }
        (KeyPlace::File { path, file }, Ok(key)) => {
            let mut file = file;
            writeln!(file, "{}", key.to_text().expose()).and_then(|()| file.sync_all()).with_context(|| {
                format!("the key could not be written to {}: say `chartseal staff rekey` for another", path.display())
            })?;
            let told = format!("{text} Their key is in {}.", path.display());
            print.done(&told, &serde_json::json!({"name": name, "key_file": path}));
            Ok(Outcome::Done)
        }
        (KeyPlace::Shown, Err(error)) => Err(error.into()),
        (KeyPlace::File { path, .. }, Err(error)) => {
            // Made a moment ago, and empty.
            let _ = std::fs::remove_file(path);
            Err(error.into())
        }
    }
}

async fn list(desk: &Desk, print: Print) -> anyhow::Result<Outcome> {
    let people = desk.people().await?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for person in &people {
        let ended = person.ended_at.map(UtcMillis::to_rfc3339);
        let recovered = person.recovered_at.map(UtcMillis::to_rfc3339);
        let standing = ended.as_deref().map_or("may act".to_owned(), |at| format!("ended {at}"));
        let by_root = recovered.as_deref().map(|at| format!("; KEY BY ROOT'S WORD {at}")).unwrap_or_default();
        rows.push(vec![
            person.name.to_string(),
            person.role.as_str().to_owned(),
            person.added_at.to_rfc3339(),
            person.added_by.clone(),
            person.key_made_at.to_rfc3339(),
            format!("{standing}{by_root}"),
        ]);
        values.push(serde_json::json!({
            "name": person.name, "role": person.role.as_str(), "added_at": person.added_at.to_rfc3339(),
            "added_by": person.added_by, "key_made_at": person.key_made_at.to_rfc3339(), "ended_at": ended,
            "recovered_at": recovered,
        }));
    }
    let text = if rows.is_empty() {
        "Nobody has a key yet: whoever runs a command may act under any name. Begin with `chartseal staff add NAME --role \
         lead`."
            .to_owned()
    } else {
        table(&["name", "role", "added at", "by", "key of", "standing"], &rows)
    };
    print.done(&text, &values);
    Ok(Outcome::Done)
}
