//! `chartseal deliveries …`

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::print::{Print, table};
use super::{Acts, Outcome};
use crate::base::{ClinicId, DeliveryId, EhrId, SecretText};
use crate::desk::{Beside, Brief, Desk, LIST_MAX, OwnQuestion, Person, Shown, StaffNote, words};
use crate::policy::laws::Waiver;
use crate::record::{Checked, HoldEnd, Link};
use crate::store::{self, DeliveryFilter, Pause};

#[derive(Subcommand)]
pub(super) enum DeliveriesCommand {
    /// List deliveries, newest first.
    List {
        /// recorded, held, review, live, suspended, blocked, spent, expired, revoked, recalled or superseded.
        #[arg(long)]
        state: Option<String>,
        #[arg(long)]
        clinic: Option<ClinicId>,
        #[arg(long)]
        ehr: Option<EhrId>,
        /// Only those whose patients somebody should call, since nobody opened what is sensitive.
        #[arg(long, conflicts_with_all = ["state", "clinic", "ehr"])]
        to_call: bool,
        /// Only those whose holders ask for another link.
        #[arg(long, conflicts_with_all = ["state", "clinic", "ehr", "to_call"])]
        wished: bool,
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=LIST_MAX))]
        most: i64,
    },
    /// Show everything that is known of one: by its id, its link's id or the reference that the patient reads out.
    Show { id: String },
    /// Send what is held or in review.
    Release {
        id: String,
        #[arg(long)]
        reason: Option<String>,
        /// End a law's wait too, where the law lets this person: `clinician` or `patient`. Needs a --reason.
        #[arg(long, requires = "reason", value_parser = ["clinician", "patient"])]
        waive: Option<String>,
        /// Ask this before the link opens, in place of the date of birth. The patient sees it as you write it.
        #[arg(long, requires = "answer_file", conflicts_with = "waive")]
        question: Option<String>,
        /// The file with the answer, in its first line; `-` for standard input. It is kept only as a hash.
        #[arg(long, requires = "question", value_name = "FILE")]
        answer_file: Option<PathBuf>,
        /// A file with what the patient reads above the document, once it is open; `-` for standard input.
        #[arg(long, conflicts_with = "waive", value_name = "FILE")]
        note_file: Option<PathBuf>,
    },
    /// Record that you talked with the patient about a report that the rules hold for that.
    Discussed {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Refuse the link at once and destroy the server's half of its key.
    Revoke {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Make a new link for the same report; the old one is refused at once.
    Resend {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Make a code for a link that asks for one, and show it once, to be told to somebody whom you know. It counts for an hour.
    Code {
        id: String,
        /// How you made sure who they are: id-document, known-in-person, called-back (at the number of the record) or
        /// record-questions (at least two).
        #[arg(long, value_parser = ["id-document", "known-in-person", "called-back", "record-questions"])]
        checked: String,
    },
    /// Note that you called somebody who did not open their link.
    Called {
        id: String,
        /// What came of it, for the audit: nothing about the patient or the report.
        #[arg(long)]
        said: Option<String>,
    },
    /// Let a link that was locked after too many wrong answers take as many again, once.
    Unlock {
        id: String,
        /// Why, for the audit.
        #[arg(long)]
        why: String,
    },
    /// Let the rules in force count for one that was decided before, though they are looser.
    Redecide { id: String },
}

impl DeliveriesCommand {
    pub(super) const fn acts(&self) -> Acts {
        match self {
            Self::List { .. } | Self::Show { .. } => Acts::Looks,
            Self::Release { .. }
            | Self::Discussed { .. }
            | Self::Revoke { .. }
            | Self::Resend { .. }
            | Self::Code { .. }
            | Self::Called { .. }
            | Self::Unlock { .. }
            | Self::Redecide { .. } => Acts::Changes,
        }
    }
}

const STATES: [&str; 11] = [
    "recorded",
    "held",
    "review",
    "live",
    "suspended",
    "blocked",
    "spent",
    "expired",
    "revoked",
    "recalled",
    "superseded",
];

pub(super) async fn run(command: DeliveriesCommand, desk: &Desk, by: &Person, print: Print) -> anyhow::Result<Outcome> {
    match command {
        DeliveriesCommand::List { to_call: true, most, .. } => list(desk, desk.to_call(most).await?, print).await,
        DeliveriesCommand::List { wished: true, most, .. } => list(desk, desk.wished_for(most).await?, print).await,
        DeliveriesCommand::List { state, clinic, ehr, most, to_call: false, wished: false } => {
            if let Some(unknown) = state.as_deref().filter(|state| !STATES.contains(state)) {
                anyhow::bail!("there is no state '{unknown}'; the states are {}", STATES.join(", "));
            }
            let filter = DeliveryFilter { state, clinic, ehr, count_max: most };
            list(desk, desk.list(filter).await?, print).await
        }
        DeliveriesCommand::Show { id } => {
            let shown = desk.show(&id).await?;
            print.done(&in_words(&shown), &shown);
            Ok(Outcome::Done)
        }
        DeliveriesCommand::Release { id, reason, waive, question, answer_file, note_file } => {
            release(desk, by, (&id, reason, waive), (question.zip(answer_file), note_file), print).await
        }
        DeliveriesCommand::Discussed { id, reason } => {
            let id = desk.discussed(&id, reason, by).await?;
            let text = format!("The talk about {id} is recorded. {}", what_follows(desk, &id).await?);
            print.done(&text, &serde_json::json!({"discussed": id}));
            Ok(Outcome::Done)
        }
        DeliveriesCommand::Revoke { id, reason } => {
            let old = desk.show(&id).await?;
            let id = desk.revoke(&id, reason).await?;
            let others = of_others_revoked(&old);
            let text = format!("{id} is refused from now on; the server's half of its key is destroyed.{others}");
            print.done(&text, &serde_json::json!({"revoked": id}));
            Ok(Outcome::Done)
        }
        DeliveriesCommand::Resend { id, reason } => {
            let old = desk.show(&id).await?;
            let id = desk.resend(&id, reason).await?;
            let others = of_others_left(&old);
            let text = format!("It will be sent again as {id}: {}{others}", what_follows(desk, &id).await?);
            print.done(&text, &serde_json::json!({"delivery": id}));
            Ok(Outcome::Done)
        }
        DeliveriesCommand::Code { id, checked } => {
            let checked = Checked::ALL.into_iter().find(|one| one.as_str() == checked);
            let checked = checked.context("say with --checked how you made sure who they are")?;
            tell_code(desk, &id, checked, print).await
        }
        DeliveriesCommand::Called { id, said } => {
            let id = desk.called(&id, said).await?;
            let text = format!("The call about {id} is noted.");
            print.done(&text, &serde_json::json!({"called": id}));
            Ok(Outcome::Done)
        }
        DeliveriesCommand::Unlock { id, why } => {
            let id = desk.unlock(&id, why).await?;
            let text = format!("The link of {id} takes answers again, for the last time.");
            print.done(&text, &serde_json::json!({"unlocked": id}));
            Ok(Outcome::Done)
        }
        DeliveriesCommand::Redecide { id } => {
            let id = desk.redecide(&id).await?;
            let text =
                format!("The rules in force count for {id} now: `chartseal deliveries show {id}` tells what follows.");
            print.done(&text, &serde_json::json!({"redecided": id}));
            Ok(Outcome::Done)
        }
    }
}

/// Lets one leave: past a law's wait, with a question of the clinic's own or a note, or as it is.
async fn release(
    desk: &Desk,
    by: &Person,
    (id, reason, waive): (&str, Option<String>, Option<String>),
    (question, note): (Option<(String, PathBuf)>, Option<PathBuf>),
    print: Print,
) -> anyhow::Result<Outcome> {
    let waiver = waive.and_then(|word| Waiver::ALL.into_iter().find(|waiver| waiver.as_str() == word));
    let id = match (waiver, reason) {
        (Some(waiver), Some(reason)) => desk.waive(id, waiver, reason, by).await?,
        (_, reason) => {
            let question = match question {
                Some((text, file)) => Some(OwnQuestion::new(&text, &first_line_of(&file)?)?),
                None => None,
            };
            let note = match note {
                Some(file) => Some(StaffNote::new(text_of(&file)?.expose())?),
                None => None,
            };
            desk.release_with(id, reason, Beside { question, note }).await?
        }
    };
    let text = format!("{id} is released: {}", what_follows(desk, &id).await?);
    print.done(&text, &serde_json::json!({"released": id}));
    Ok(Outcome::Done)
}

/// A code goes to a person's eyes alone: not into a file, a pipe or a programme.
async fn tell_code(desk: &Desk, id: &str, checked: Checked, print: Print) -> anyhow::Result<Outcome> {
    if print == Print::Json || !std::io::stdout().is_terminal() {
        anyhow::bail!("a code is shown on a terminal only, and never as JSON");
    }
    let told = desk.code(id, checked).await?;
    let text = format!(
        "Tell this code to the person whom you checked, and to nobody else: {}\nIt opens the link of {} once, until {}, and is \
         not shown again.",
        told.code.expose(),
        told.delivery,
        told.until
    );
    print.done(&text, &serde_json::Value::Null);
    Ok(Outcome::Done)
}

fn text_of(file: &Path) -> anyhow::Result<SecretText> {
    let text =
        if file == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    Ok(SecretText::new(text.with_context(|| format!("{} cannot be read", file.display()))?))
}

fn first_line_of(file: &Path) -> anyhow::Result<SecretText> {
    let text = text_of(file)?;
    let first = text.expose().lines().next().unwrap_or_default().trim().to_owned();
    Ok(SecretText::new(first))
}

/// What a person may expect after a release, so that nobody waits for a message in vain.
async fn what_follows(desk: &Desk, id: &DeliveryId) -> anyhow::Result<String> {
    let then = format!("`chartseal deliveries show {id}` tells how it went.");
    let delivery = desk.show(id.as_str()).await?;
    if let Link::Held { until: HoldEnd::At(at), .. } = delivery.link_state {
        return Ok(format!("it leaves by itself at {at}, not before. {then}"));
    }
    if let Link::Held { until: HoldEnd::Talk { .. }, .. } = delivery.link_state {
        return Ok(format!(
            "a clinician talks with the patient first, and records it with `chartseal deliveries discussed {id}`."
        ));
    }
    if let Link::Held { .. } = delivery.link_state {
        return Ok(format!("it still waits for a person: see `chartseal deliveries show {id}`."));
    }
    Ok(match desk.store.read(store::paused).await? {
        Pause::Running => format!("the service reads its report once more, and sends it. {then}"),
        Pause::Paused { .. } => format!("its message waits until `chartseal resume` ends the pause. {then}"),
    })
}

async fn list(desk: &Desk, briefs: Vec<Brief>, print: Print) -> anyhow::Result<Outcome> {
    let rows: Vec<Vec<String>> = briefs
        .iter()
        .map(|brief| {
            vec![
                brief.id.clone(),
                brief.state.to_owned(),
                brief.mode.to_owned(),
                brief.created_at.clone(),
                brief.resource.clone().unwrap_or_default(),
                brief.recipient.to_owned(),
                brief.notice.zip(brief.channel).map_or("-".to_owned(), |(state, by)| format!("{state} by {by}")),
                brief.note.clone(),
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        "There are no such deliveries.".to_owned()
    } else {
        table(&["delivery", "state", "mode", "made at", "report", "for", "message", "note"], &rows)
    };
    let text = match desk.store.read(store::paused).await? {
        Pause::Running => text,
        Pause::Paused { why, since, by } => {
            format!("Messages are PAUSED by {by} since {since} ({why}); `chartseal resume` ends the pause.\n{text}")
        }
    };
    print.done(&text, &briefs);
    Ok(Outcome::Done)
}

fn in_words(shown: &Shown) -> String {
    let brief = &shown.brief;
    let mut lines = vec![
        format!("delivery   {}", brief.id),
        format!("state      {} since {}{}", brief.state, brief.state_at, note(&brief.note)),
        format!("mode       {}", brief.mode),
        format!("report     {} version {}", brief.resource.as_deref().unwrap_or("?"), brief.version),
        format!("for        {}", brief.recipient),
        format!("clinic     {}", brief.clinic.as_deref().unwrap_or("none configured")),
        format!("contact    {}", shown.contact),
    ];
    if let Some(reference) = &shown.reference {
        lines.push(format!("reference  {reference}"));
    }
    for name in &shown.also_heard_as {
        lines.push(format!("also       {name}: the same document; what the EHR says of either counts for both"));
    }
    for other in &shown.also_for {
        lines.push(format!("also for   {}: {} {}", other.recipient, other.delivery, other.state));
    }
    if shown.is_written_from_results {
        lines.push("document   written by Chartseal from the report's results".to_owned());
    }
    for other in &shown.shares_link_with {
        lines.push(format!("with       {other} in the same link"));
    }
    if let (Some(opened), Some(max)) = (shown.opened, shown.opens_max) {
        let until = shown.expires_at.as_deref().unwrap_or("not handed over yet");
        lines.push(format!("link       opened {opened} of {max}, ends {until}"));
    }
    if let Some(asks) = &shown.asks {
        let locked = if asks.left == 0 { ": LOCKED" } else { "" };
        let what = asks.what.join(", then ");
        lines.push(format!("asks       {what}; {} of {} wrong answers left{locked}", asks.left, asks.attempts));
    }
    if shown.opened_before > 0 {
        lines.push(format!("before     opened {} in links that it had before", shown.opened_before));
    }
    if let Some(at) = &shown.shredded_at {
        lines.push(format!("shredded   {at}"));
    }
    lines.push(format!("decision   {}", words::of_decision(&shown.decision)));
    lines.push(format!("rules      {}", shown.rules_hash));
    for notice in &shown.notices {
        let why = notice.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        lines.push(format!("message    {} {} by {}{why}", notice.id, notice.state, notice.channel));
        if let Some(at) = &notice.arrived_at {
            lines.push(format!("arrived    {at}, says the network"));
        }
    }
    for told in &shown.told {
        let why = told.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        lines.push(format!("at the EHR {} that tells of '{}': {}{why}", told.resource, told.fact, told.state));
    }
    lines.push("what happened:".to_owned());
    lines.extend(shown.audit.iter().map(|line| format!("  {}", words::of_line(line))));
    lines.join("\n")
}

fn note(note: &str) -> String {
    if note.is_empty() { String::new() } else { format!(": {note}") }
}

/// What becomes of the others in a link that a person ended.
fn of_others_revoked(old: &Shown) -> String {
    if old.link_state.is_final() || !old.link_state.was_released() || old.shares_link_with.is_empty() {
        return String::new();
    }
    format!(" Its link held others, too, which wait in review for you: {}.", old.shares_link_with.join(", "))
}

/// What a new link leaves out; those in a link that still stood open leave again by themselves.
fn of_others_left(old: &Shown) -> String {
    if !old.link_state.is_final() || old.shares_link_with.is_empty() {
        return String::new();
    }
    format!(" Its old link held others, too, which are not sent again by this: {}.", old.shares_link_with.join(", "))
}
