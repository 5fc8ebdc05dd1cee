//! `chartseal prove-shred`: an honest attempt to open what should not open any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;

use super::Outcome;
use super::print::Print;
use crate::base::{Key256, LinkId, LinkSecret, UtcMillis, random};
use crate::blobs::{BlobError, BlobKey, BlobStore, BlobUrl};
use crate::config::Config;
use crate::keys::{KeyKind, KeyName, KeyRing, Vault, VaultError};
use crate::sealing::{self, ContentKey, FileContext, FileNumber, Purpose};
use crate::store::{self, FileRow, LinkRow, NoWitness, Store};

#[derive(Args)]
pub(super) struct ShredArgs {
    /// The id of the link (or the whole link with --link).
    id: String,
    /// A copy of the database: a SQLite file, or a postgres:// address.
    #[arg(long)]
    backup: String,
    /// A copy of the folder of the sealed files.
    #[arg(long)]
    blobs: PathBuf,
    /// The whole link, as the message had it.
    #[arg(long)]
    link: String,
}

/// The file for health apps, which nothing shreds.
#[derive(Clone, Copy)]
enum HealthFile {
    /// The copy of the database knows of none.
    None,
    InCopy,
    NotInCopy,
}

/// What the attempt came to.
enum Attempt {
    Opened { bytes: u64, epoch: String },
    Refused { why: String },
}

pub(super) async fn run(args: &ShredArgs, config: &Config, print: Print) -> anyhow::Result<Outcome> {
    let (id, secret) = parse_link(&args.link)?;
    if args.id != id.as_str() {
        bail!("the id and the link do not belong together");
    }
    if !args.blobs.is_dir() {
        bail!("there is no folder {}", args.blobs.display());
    }
    let vault = Vault::new(KeyRing::open(&config.keys_dir).context("the keys cannot be opened")?);
    let copy = Copy::of(&args.backup)?;
    let store = Store::open(&copy.url, Arc::new(NoWitness)).context("the copy of the database cannot be opened")?;
    let asked = id.clone();
    let (row, files, health_file) = store
        .read(move |conn| {
            Ok((store::link(conn, &asked)?, store::files_of(conn, &asked)?, store::health_file(conn, &asked)?))
        })
        .await?;
    let blobs = BlobStore::open(&BlobUrl::File(args.blobs.clone()))?;
    let attempt = match row {
        Some(row) => try_to_open(&vault, &blobs, &row, &files, &secret)?,
        None => Attempt::Refused { why: "this copy of the database does not know the link".to_owned() },
    };
    let health_file = HealthFile::look(&blobs, health_file.as_deref())?;
    drop(copy);
    Ok(tell(&attempt, health_file, print))
}

fn tell(attempt: &Attempt, health_file: HealthFile, print: Print) -> Outcome {
    let further = health_file.in_words(attempt);
    match attempt {
        Attempt::Opened { bytes, epoch } => {
            let text = format!(
                "It OPENS: with this copy, today's keys and the link, {bytes} bytes were decrypted. It stops opening \
                 when the epoch key {epoch} is destroyed: the day after {epoch} (UTC), two hours past midnight, while \
                 the service runs.{further}"
            );
            let value =
                serde_json::json!({"opens": true, "bytes": bytes, "epoch": epoch, "health_file": health_file.name()});
            print.done(&text, &value);
            Outcome::No
        }
        Attempt::Refused { why } => {
            let value = serde_json::json!({"opens": false, "why": why, "health_file": health_file.name()});
            print.done(&format!("It does not open: {why}.{further}"), &value);
            Outcome::Done
        }
    }
}

impl HealthFile {
    fn look(blobs: &BlobStore, name: Option<&str>) -> anyhow::Result<Self> {
        let Some(name) = name else { return Ok(Self::None) };
        match blobs.open_range(&BlobKey::parse(name)?, 0, 1) {
            Ok(_) => Ok(Self::InCopy),
            Err(BlobError::Missing) => Ok(Self::NotInCopy),
            Err(other) => Err(other.into()),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::InCopy => "in_copy",
            Self::NotInCopy => "not_in_copy",
        }
    }

    fn in_words(self, attempt: &Attempt) -> String {
        let card = match attempt {
            Attempt::Opened { .. } => "The card with that key opens with the rest",
            Attempt::Refused { .. } => "The card with that key does not open here",
        };
        match self {
            Self::None => String::new(),
            Self::InCopy => format!(
                "\nThe copy holds the file that the link offered to health apps (SMART Health Link), under a key of its own, in which no \
                 epoch key has a part. {card}; but whoever kept what it showed, such as an app, opens this copy of the file for ever. \
                 It ends by deletion, not by shredding: delete the copy."
            ),
            Self::NotInCopy => {
                "\nThe file that the link offered to health apps (SMART Health Link) is not in this copy of the sealed files.".to_owned()
            }
        }
    }
}

fn try_to_open(
    vault: &Vault,
    blobs: &BlobStore,
    row: &LinkRow,
    files: &[FileRow],
    secret: &LinkSecret,
) -> anyhow::Result<Attempt> {
    let refused = |why: String| Ok(Attempt::Refused { why });
    let Some(wrapped) = &row.share_wrapped else {
        let at = row.shredded_at.map(UtcMillis::to_rfc3339).unwrap_or_default();
        return refused(format!("this copy holds no share: it was destroyed at {at}, before the copy was made"));
    };
    let epoch = KeyName::parse(KeyKind::Epoch, &row.epoch).context("the link names no epoch key")?;
    let share = match vault.open_dated(&epoch, Purpose::Share, row.id.as_str(), wrapped) {
        Ok(share) => Key256::from_slice(&share).context("the share is not a key")?,
        Err(VaultError::KeyGone) => return refused(format!("the epoch key {} is destroyed", row.epoch)),
        Err(VaultError::NotOurs) => return refused("the share does not open with today's keys".to_owned()),
        Err(VaultError::Key(error)) => return Err(error.into()),
    };
    let key = ContentKey::derive(secret, &share, &row.id);
    // One file that opens is one too many, whatever became of the others.
    let (mut bytes, mut unopened) = (None, None);
    for file in files {
        let context = FileContext {
            link: row.id.clone(),
            number: FileNumber::new(file.number).context("a file number of 0")?,
            version: file.report_version.clone(),
            media: file.media,
        };
        let blob = BlobKey::parse(&file.blob)?;
        let reader = match blobs.open_range(&blob, 0, file.sealed_bytes) {
            Ok(reader) => reader,
            Err(BlobError::Missing) => {
                unopened = Some("the copy of the sealed files does not hold this one".to_owned());
                continue;
            }
            Err(other) => return Err(other.into()),
        };
        match sealing::open(&key, &context, reader, std::io::sink()) {
            Ok(length) => bytes = Some(bytes.unwrap_or(0) + length),
            Err(error) => unopened = Some(format!("the sealed file does not open with this link: {error}")),
        }
    }
    match bytes {
        Some(bytes) => Ok(Attempt::Opened { bytes, epoch: row.epoch.clone() }),
        None => refused(unopened.unwrap_or_else(|| "this copy knows no file of the link".to_owned())),
    }
}

fn parse_link(link: &str) -> anyhow::Result<(LinkId, LinkSecret)> {
    let wrong = "--link is not a whole link: https://…/r/{16 characters}#{22 characters}";
    let (address, secret) = link.split_once('#').context(wrong)?;
    let id = LinkId::parse(address.rsplit('/').next().unwrap_or("")).context(wrong)?;
    Ok((id, LinkSecret::from_base64url(secret).context(wrong)?))
}

/// A copy of the copy: looking at a backup must not write into it.
struct Copy {
    url: String,
    folder: Option<PathBuf>,
}

impl Copy {
    fn of(backup: &str) -> anyhow::Result<Self> {
        if backup.starts_with("postgres") {
            return Ok(Self { url: backup.to_owned(), folder: None });
        }
        let path = Path::new(backup.strip_prefix("sqlite:").unwrap_or(backup));
        let folder = std::env::temp_dir().join(format!("chartseal-proof-{}", LinkId::random(&mut random::system())));
        std::fs::create_dir(&folder).context("no temporary folder can be made")?;
        let target = folder.join("copy.db");
        let made = Self { url: format!("sqlite:{}", target.display()), folder: Some(folder) };
        std::fs::copy(path, &target).with_context(|| format!("the copy {backup} cannot be read"))?;
        let log = PathBuf::from(format!("{}-wal", path.display()));
        if log.exists() {
            std::fs::copy(&log, format!("{}-wal", target.display())).context("the copy's log cannot be read")?;
        }
        Ok(made)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder
            && std::fs::remove_dir_all(folder).is_err()
        {
            tracing::warn!("a temporary copy could not be removed");
        }
    }
}
