//! `chartseal ehrs …`

use anyhow::Context;
use clap::Subcommand;

use super::past::{self, BackfillArgs, ListenAgainArgs};
use super::print::{Print, count, span, table};
use super::write_backs::{self, WriteBacksArgs};
use super::{Acts, Outcome};
use crate::app::start::Ground;
use crate::app::steps::sign_in_of;
use crate::config::{Config, Ehr, Subscribe};
use crate::desk::{
    Desk, DeskError, Duty, Followed, HeardEhr, HeardKind, HeardLook, HeardPanel, HeardTopic, LookedAt, Person,
    Subscribes, heard_ehrs,
};
use crate::sign_in::{Haste, SignInError, jwk_set};
use crate::store::SigningTurn;

const HEAD: [&str; 7] = ["EHR", "reports", "subscription", "last hook", "last good poll", "behind", "note"];

#[derive(Subcommand)]
pub(super) enum EhrsCommand {
    /// List how each EHR is heard, and what is wrong with it.
    List,
    /// Have the service read the past: what is found is recorded, and nothing of it leaves by itself. It can be stopped and resumed.
    Backfill(BackfillArgs),
    /// Have the service read again what changed in a stretch of time: when something may have been missed. Nothing is sent twice.
    ListenAgain(ListenAgainArgs),
    /// List what an EHR is told of deliveries: what waits, what failed, and what its staff are asked to do.
    WriteBacks(WriteBacksArgs),
    /// Print the public keys by which EHRs know this installation, as the JWK Set that their staff may register by hand.
    Keys,
    /// Let the next key take over; EHRs that read /.well-known/jwks.json know it already.
    RotateKeys {
        /// The current key may be in wrong hands: also where the next one was published a moment ago.
        #[arg(long)]
        at_once: bool,
    },
}

impl EhrsCommand {
    pub(super) fn acts(&self) -> Acts {
        let of = |typed: past::Typed<'_>| if typed.only_looks() { Acts::Looks } else { Acts::Changes };
        match self {
            Self::List | Self::Keys => Acts::Looks,
            Self::WriteBacks(args) => args.acts(),
            Self::Backfill(args) => of(args.typed()),
            Self::ListenAgain(args) => of(args.typed()),
            Self::RotateKeys { .. } => Acts::Changes,
        }
    }
}

pub(super) async fn run(
    command: &EhrsCommand,
    config: &Config,
    ground: &Ground,
    desk: &Desk,
    by: &Person,
    print: Print,
) -> anyhow::Result<Outcome> {
    match command {
        EhrsCommand::List => list(config, ground, print).await,
        EhrsCommand::Backfill(args) => past::run(&args.typed(), config, desk, by, print).await,
        EhrsCommand::ListenAgain(args) => past::run(&args.typed(), config, desk, by, print).await,
        EhrsCommand::WriteBacks(args) => write_backs::run(args, config, desk, by, print).await,
        EhrsCommand::Keys => keys(config, ground, print).await,
        EhrsCommand::RotateKeys { at_once } => {
            let haste = if *at_once { Haste::AtOnce } else { Haste::WhenPublished };
            rotate_keys(haste, config, ground, by, print).await
        }
    }
}

async fn keys(config: &Config, ground: &Ground, print: Print) -> anyhow::Result<Outcome> {
    let rows = answer_or_fault(sign_in_of(config, ground).listed().await)?;
    let set = jwk_set(&rows);
    let told = rows.iter().map(|row| {
        let stands = match row.turn {
            SigningTurn::Current { signs_since } => format!("signs since {signs_since}"),
            SigningTurn::Next => format!("is next; published since {}", row.made_at),
            SigningTurn::Former { ends_at } => format!("signed before; is kept until {ends_at}"),
        };
        format!("{} {} {stands}", row.algorithm, row.kid)
    });
    let told: Vec<String> = told.collect();
    let served = config.server.patient_url.join(".well-known/jwks.json")?;
    let text = format!(
        "{}\n\nThe same is served at {served} (or at hook_url, if EHRs reach this server there): register that address \
         rather than the keys, and they can change without anybody's help.\n{}",
        serde_json::to_string_pretty(&set)?,
        told.join("\n")
    );
    print.done(&text, &set);
    Ok(Outcome::Done)
}

async fn rotate_keys(
    haste: Haste,
    config: &Config,
    ground: &Ground,
    by: &Person,
    print: Print,
) -> anyhow::Result<Outcome> {
    by.may(Duty::Deliveries).map_err(DeskError::from)?;
    let took_over = match sign_in_of(config, ground).rotate(haste, by.name.clone()).await {
        Err(SignInError::TooEarly { algorithm, at }) => {
            let error = SignInError::TooEarly { algorithm, at };
            let value = serde_json::json!({"rotated": [], "not_before": at.to_rfc3339()});
            print.done(&format!("Nothing was changed: {error}."), &value);
            return Ok(Outcome::No);
        }
        other => answer_or_fault(other)?,
    };
    let (former, within) = match haste {
        Haste::WhenPublished => ("is kept for a week", "within that week"),
        Haste::AtOnce => ("is published no more", "now"),
    };
    let lines: Vec<String> = took_over
        .iter()
        .map(|one| format!("{}: {} signs now, and {} {former}.", one.algorithm, one.kid, one.former))
        .collect();
    let rotated: Vec<_> = took_over
        .iter()
        .map(|one| serde_json::json!({"algorithm": one.algorithm.as_str(), "kid": one.kid, "former": one.former}))
        .collect();
    let text = format!(
        "{}\nAn EHR whose staff registered the keys by hand must be given the new next one {within}: `chartseal ehrs keys`.",
        lines.join("\n")
    );
    print.done(&text, &serde_json::json!({ "rotated": rotated }));
    Ok(Outcome::Done)
}

fn answer_or_fault<T>(answer: Result<T, SignInError>) -> anyhow::Result<T> {
    answer.context("the keys by which EHRs know this installation cannot be used")
}

async fn list(config: &Config, ground: &Ground, print: Print) -> anyhow::Result<Outcome> {
    let ehrs = heard_ehrs(&ground.store, followed(config), ground.clock.now()).await?;
    print.done(&in_words(&ehrs), &ehrs);
    Ok(Outcome::Done)
}

/// The configured EHRs, and who looks after the subscriptions there.
pub(super) fn followed(config: &Config) -> Vec<Followed> {
    let one = |ehr: &Ehr| Followed {
        ehr: ehr.id.clone(),
        subscribes: match &ehr.subscribe {
            Subscribe::R4 => Subscribes::Chartseal,
            Subscribe::Topic(_) => Subscribes::ChartsealByTopic,
            Subscribe::Off => Subscribes::Others,
        },
    };
    config.ehrs.iter().map(one).collect()
}

fn in_words(ehrs: &[HeardEhr]) -> String {
    if ehrs.is_empty() {
        return "No EHR is configured.".to_owned();
    }
    let rows: Vec<Vec<String>> = ehrs.iter().flat_map(|ehr| ehr.kinds.iter().map(|kind| row(ehr, kind))).collect();
    let mut lines = vec![table(&HEAD, &rows)];
    for ehr in ehrs {
        if !ehr.scope_lacking.is_empty() {
            lines.push(format!(
                "{}: it grants less than was asked for, without {}: have its staff allow that, or say in `scope` what \
                 Chartseal is to do without",
                ehr.ehr, ehr.scope_lacking
            ));
        }
        lines.extend(ehr.topic.as_ref().map(|topic| format!("{}: {}", ehr.ehr, topic_in_words(topic))));
        lines.extend(ehr.panel.as_ref().map(|panel| format!("{}: {}", ehr.ehr, panel_in_words(panel))));
        lines.extend(looks_in_words(&ehr.looks).into_iter().map(|told| format!("{}: {told}", ehr.ehr)));
        lines.extend(ehr.told.as_ref().map(|told| format!("{}: {}", ehr.ehr, write_backs::in_words(told))));
        lines.extend(ehr.past.iter().map(|one| format!("{}: {}", ehr.ehr, past::in_words(one))));
        for calls in &ehr.quarantined {
            lines.push(format!("{}: {} hook calls in quarantine: {}", ehr.ehr, calls.count, calls.why));
        }
    }
    lines.join("\n")
}

fn topic_in_words(topic: &HeardTopic) -> String {
    let heard = topic.last_heard_at.as_deref().map_or("never heard".to_owned(), |at| format!("last heard at {at}"));
    let mut told = format!("the topic's subscription is {}, {heard}", topic.status);
    if let Some(why) = &topic.why {
        told.push_str("; ");
        told.push_str(why);
    }
    if !topic.missing.is_empty() {
        let runs = topic
            .missing
            .iter()
            .map(|(first, last)| if first == last { first.to_string() } else { format!("{first} to {last}") });
        told.push_str("; events that did not arrive so far: ");
        told.push_str(&runs.collect::<Vec<_>>().join(", "));
    }
    told
}

fn panel_in_words(panel: &HeardPanel) -> String {
    let HeardPanel { patients, failing, seen_until } = panel;
    let seen =
        seen_until.as_deref().map_or_else(String::new, |at| format!(", everything of everybody seen up to {at}"));
    let failing = if *failing == 0 {
        String::new()
    } else {
        format!("; about {failing} of them it could not be asked the last time")
    };
    format!("it is asked about the {} of its panel one by one{seen}{failing}", count(*patients, "patient"))
}

fn looks_in_words(looks: &[HeardLook]) -> Vec<String> {
    let told = looks.iter().filter_map(|look| {
        let kind = look.kind.unwrap_or_default();
        let (is_done, is_not_offered, what) = match look.what {
            LookedAt::History => (
                format!("what it deletes is found in the history of {kind}"),
                format!("it offers no history of {kind}: what it deletes is found when the source of a live link is read again"),
                format!("the history of {kind}"),
            ),
            LookedAt::ByDate => (
                format!("each {kind} of late is searched by its own date too"),
                format!("it does not let a {kind} be searched by its own date"),
                format!("the search of {kind} by date"),
            ),
            LookedAt::Panel => {
                ("its patient panel is looked up".to_owned(), String::new(), "its patient panel".to_owned())
            }
        };
        match (&look.why, look.offered) {
            (Some(why), _) => Some(format!("{what}: {why}")),
            (None, Some(true)) => {
                let last = look.last_at.as_deref().map_or_else(String::new, |at| format!(", last at {at}"));
                Some(format!("{is_done}{last}"))
            }
            (None, Some(false)) => Some(is_not_offered),
            (None, None) => None,
        }
    });
    told.collect()
}

fn row(ehr: &HeardEhr, kind: &HeardKind) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let subscription = kind.subscription.as_ref();
    let topic = ehr.topic.as_ref().map_or("-", |topic| topic.status.as_str());
    vec![
        ehr.ehr.clone(),
        kind.kind.to_owned(),
        subscription.map_or(topic, |found| found.status.as_str()).to_owned(),
        or_dash(&ehr.last_hook_at),
        or_dash(&kind.last_poll_at),
        kind.behind_seconds.map_or_else(|| "-".to_owned(), span),
        note(kind),
    ]
}

fn note(kind: &HeardKind) -> String {
    if kind.seen_until.is_none() {
        return "not followed yet: start the service".to_owned();
    }
    let subscription = kind.subscription.as_ref().and_then(|found| found.why.as_deref());
    let again = kind.poll_again_at.as_deref().map(|at| format!("it is polled again at {at}"));
    let notes = [("subscription", subscription), ("poll", kind.poll_why.as_deref())];
    let told = notes.iter().filter_map(|(what, why)| Some(format!("{what}: {}", (*why)?)));
    told.chain(again).chain(kind.clock_off_seconds.map(clock)).collect::<Vec<_>>().join("; ")
}

fn clock(off_seconds: i64) -> String {
    let side = if off_seconds < 0 { "behind" } else { "ahead of" };
    format!("its clock is {} {side} ours: ask its staff to set it", span(off_seconds.unsigned_abs()))
}
