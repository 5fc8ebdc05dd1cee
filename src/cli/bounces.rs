//! `chartseal bounces …`

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::Outcome;
use super::print::{Print, count};
use crate::app::steps;
use crate::config::Config;
use crate::outbox::{BounceEnvelope, Bounces, DSN_BYTES_MAX, Heard};

#[derive(Subcommand)]
pub(super) enum BouncesCommand {
    /// Take in one delivery report from standard input, as a mail system pipes it; or all that lie in a Maildir.
    Read {
        /// Who sent it, by the mail system's word: nobody, for a report.
        #[arg(long)]
        sender: Option<String>,
        /// Whom it came to, by the mail system's word.
        #[arg(long)]
        recipient: Option<String>,
        /// Read what is new in this Maildir instead, and put it among what was seen.
        #[arg(long, conflicts_with_all = ["sender", "recipient"])]
        maildir: Option<PathBuf>,
    },
}

pub(super) async fn run(command: BouncesCommand, config: &Config, print: Print) -> anyhow::Result<Outcome> {
    let ground = super::ground(config).await?;
    let Some(bounces) = steps::bounces(config, &ground) else {
        anyhow::bail!("[mail] bounce_address is not configured: there is no address that reports could come to")
    };
    let bounces = &bounces;
    let BouncesCommand::Read { sender, recipient, maildir } = command;
    if let Some(maildir) = maildir {
        return read_maildir(&maildir, bounces, print).await;
    }
    let raw = read_whole(std::io::stdin().lock()).context("the report cannot be read from standard input")?;
    let envelope = BounceEnvelope { sender: sender.as_deref(), recipient: recipient.as_deref() };
    let heard = bounces.hear(&raw, envelope).await?;
    let text = in_words(heard);
    print.done(&text, &serde_json::json!({ "heard": name(heard), "why": text }));
    Ok(match heard {
        Heard::Kept(_) | Heard::Known | Heard::Ignored(_) => Outcome::Done,
        Heard::TooEarly => Outcome::Later,
    })
}

async fn read_maildir(maildir: &Path, bounces: &Bounces, print: Print) -> anyhow::Result<Outcome> {
    let (new, seen) = (maildir.join("new"), maildir.join("cur"));
    let unreadable = || format!("{} is no Maildir that can be read", maildir.display());
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&new).with_context(unreadable)? {
        files.push(entry.with_context(unreadable)?.path());
    }
    files.sort();
    let (mut kept, mut ignored, mut early) = (0_u64, 0_u64, 0_u64);
    for file in files {
        let raw = fs::File::open(&file).and_then(read_whole).with_context(unreadable)?;
        match bounces.hear(&raw, BounceEnvelope::default()).await? {
            Heard::Kept(_) | Heard::Known => kept += 1,
            Heard::Ignored(_) => ignored += 1,
            Heard::TooEarly => {
                early += 1;
                continue;
            }
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::rename(&file, seen.join(format!("{name}:2,S"))).with_context(unreadable)?;
    }
    let text = format!("{} taken in, {ignored} not ours, {early} left for later.", count(kept, "report"));
    print.done(&text, &serde_json::json!({ "kept": kept, "ignored": ignored, "early": early }));
    Ok(Outcome::Done)
}

/// What is longer than any report is no report; the rest of it is not read.
fn read_whole(from: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    from.take(u64::try_from(DSN_BYTES_MAX).unwrap_or(u64::MAX)).read_to_end(&mut raw)?;
    Ok(raw)
}

fn in_words(heard: Heard) -> String {
    match heard {
        Heard::Kept(fate) => format!("Taken in: {fate}."),
        Heard::Known => "It is known already, or says nothing new.".to_owned(),
        Heard::Ignored(why) => format!("Nothing was done: {why}."),
        Heard::TooEarly => {
            "It came before its message was known to be handed over; give it back and try again.".to_owned()
        }
    }
}

const fn name(heard: Heard) -> &'static str {
    match heard {
        Heard::Kept(fate) => fate.as_str(),
        Heard::Known => "known",
        Heard::Ignored(_) => "ignored",
        Heard::TooEarly => "too_early",
    }
}
