//! `chartseal contacts …`

use clap::Subcommand;

use super::print::{Print, count, table};
use super::{Acts, Outcome};
use crate::desk::{ContactChanged, ContactShown, ContactWord, Desk, DeskError, Duty, LIST_MAX, Person};
use crate::record::ContactState;

#[derive(Subcommand)]
pub(super) enum ContactsCommand {
    /// List the addresses of which something is recorded, by a delivery that names each.
    List {
        /// `confirmed_by_staff`, `confirmed_by_patient`, `bounced`, `disputed` or `opted_out`.
        #[arg(long)]
        state: Option<String>,
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=LIST_MAX))]
        most: i64,
    },
    /// Show what is known of the address of one delivery: by its id, its link's id or the patient's reference.
    Show { id: String },
    /// Record that you asked the patient, and that this address reaches them.
    Confirm {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Record that this address is somebody else's, or may be: nothing more is sent there, and links sent there end.
    Dispute {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take back what is recorded of this address.
    Clear {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
}

impl ContactsCommand {
    pub(super) const fn acts(&self) -> Acts {
        match self {
            Self::List { .. } | Self::Show { .. } => Acts::Looks,
            Self::Confirm { .. } | Self::Dispute { .. } | Self::Clear { .. } => Acts::Changes,
        }
    }
}

pub(super) async fn run(command: ContactsCommand, desk: &Desk, by: &Person, print: Print) -> anyhow::Result<Outcome> {
    let (id, word, reason) = match command {
        ContactsCommand::List { state, most } => return list(desk, state, most, print).await,
        ContactsCommand::Show { id } => {
            let shown = desk.contact(&id).await?;
            print.done(&in_words(&shown), &shown);
            return Ok(Outcome::Done);
        }
        ContactsCommand::Confirm { id, reason } => (id, ContactWord::Confirm, reason),
        ContactsCommand::Dispute { id, reason } => (id, ContactWord::Dispute, reason),
        ContactsCommand::Clear { id, reason } => (id, ContactWord::Clear, reason),
    };
    by.may(Duty::Deliveries).map_err(DeskError::from)?;
    let changed = desk.say_of_contact(&id, word, reason).await?;
    print.done(&what_follows(&changed), &changed);
    Ok(Outcome::Done)
}

async fn list(desk: &Desk, state: Option<String>, most: i64, print: Print) -> anyhow::Result<Outcome> {
    let wanted = match state {
        None => None,
        Some(text) => Some(text.parse::<ContactState>().map_err(|()| {
            let known = ContactState::ALL.map(ContactState::as_str).join(", ");
            anyhow::anyhow!("there is no state '{text}'; the states are {known}")
        })?),
    };
    let briefs = desk.contacts(wanted, most).await?;
    let rows: Vec<Vec<String>> = briefs
        .iter()
        .map(|one| {
            let by = one.by.as_deref().unwrap_or("whoever carries messages, or has the number");
            vec![one.state.to_owned(), one.since.clone(), one.clinic.clone(), one.delivery.clone(), by.to_owned()]
        })
        .collect();
    let text = if rows.is_empty() {
        "Nothing of that kind is recorded of any address.".to_owned()
    } else {
        table(&["state", "since", "clinic", "delivery", "by"], &rows)
    };
    print.done(&text, &briefs);
    Ok(Outcome::Done)
}

fn in_words(shown: &ContactShown) -> String {
    let since = match (&shown.since, &shown.by) {
        (Some(since), Some(by)) => format!(" since {since}, by {by}"),
        (Some(since), None) => format!(" since {since}, by whoever carries messages, or has the number"),
        (None, _) => String::new(),
    };
    let mut lines = vec![
        format!("delivery   {}", shown.delivery),
        format!("address    {}", shown.address.as_deref().unwrap_or("not kept with this delivery")),
        format!("state      {}{since}", shown.state),
    ];
    lines.extend(shown.open.iter().map(|(id, state)| format!("open       {id} {state}")));
    lines.join("\n")
}

fn what_follows(changed: &ContactChanged) -> String {
    let said = format!("The address of {} is {}, and was {}.", changed.delivery, changed.state, changed.before);
    if changed.revoked.is_empty() {
        return format!("{said} What waits for them is read and decided again.");
    }
    format!(
        "{said} {} sent there {} refused from now on: {}. Mend the address in the EHR, then `chartseal deliveries resend`.",
        count(changed.revoked.len(), "link"),
        if changed.revoked.len() == 1 { "is" } else { "are" },
        changed.revoked.join(", ")
    )
}
