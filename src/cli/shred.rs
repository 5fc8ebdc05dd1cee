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
    let (row, files) = store.read(move |conn| Ok((store::link(conn, &asked)?, store::files_of(conn, &asked)?))).await?;
    let attempt = match row {
        Some(row) => try_to_open(&vault, &args.blobs, &row, &files, &secret)?,
        None => Attempt::Refused { why: "this copy of the database does not know the link".to_owned() },
    };
    drop(copy);
    match attempt {
        Attempt::Opened { bytes, epoch } => {
            let text = format!(
                "It OPENS: with this copy, today's keys and the link, {bytes} bytes were decrypted. It stops opening \
                 when the epoch key {epoch} is destroyed: the day after {epoch} (UTC), two hours past midnight, while \
                 the service runs."
            );
            print.done(&text, &serde_json::json!({"opens": true, "bytes": bytes, "epoch": epoch}));
            Ok(Outcome::No)
        }
        Attempt::Refused { why } => {
            print.done(&format!("It does not open: {why}."), &serde_json::json!({"opens": false, "why": why}));
            Ok(Outcome::Done)
        }
    }
}

fn try_to_open(
    vault: &Vault,
    blobs: &Path,
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
    let store = BlobStore::open(&BlobUrl::File(blobs.to_owned()))?;
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
        let reader = match store.open_range(&blob, 0, file.sealed_bytes) {
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
