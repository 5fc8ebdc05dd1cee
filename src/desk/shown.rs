//! What staff see of a delivery: states, times, reasons. No name, no address, no way in.

use serde::Serialize;

use super::calls::brief_of;
use super::told::{ToldEntry, told_of_delivery};
use super::words;
use crate::base::UtcMillis;
use crate::keys::Vault;
use crate::policy::{Decision, Facts};
use crate::record::{Card, Link, Notice, Opening, RevokedBy, SuspendedWhy};
use crate::sealing::Purpose;
use crate::store::{self, Conn, ContactKey, Delivery, NoticeRow, ReminderRow, SourceRow, StoreError};

/// One line of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Brief {
    pub id: String,
    pub state: &'static str,
    /// What a person must know or do; empty when nothing.
    pub note: String,
    pub clinic: Option<String>,
    pub ehr: String,
    pub resource: Option<String>,
    /// Whom it goes to, in the rules' word.
    pub recipient: &'static str,
    pub version: String,
    pub mode: &'static str,
    pub created_at: String,
    pub state_at: String,
    pub notice: Option<&'static str>,
    /// By which channel its message goes.
    pub channel: Option<&'static str>,
}

impl Brief {
    pub(super) fn new(delivery: &Delivery, source: Option<&SourceRow>, notices: &[NoticeRow]) -> Self {
        Self {
            id: delivery.id.to_string(),
            state: delivery.state.name(),
            note: note_of(delivery, notices),
            clinic: delivery.clinic.as_ref().map(ToString::to_string),
            ehr: delivery.ehr.to_string(),
            resource: source.map(|source| format!("{}/{}", source.key.kind, source.key.id)),
            recipient: delivery.recipient.as_str(),
            version: delivery.report_version.to_string(),
            mode: delivery.mode.as_str(),
            created_at: delivery.created_at.to_rfc3339(),
            state_at: delivery.state_at.to_rfc3339(),
            notice: notices.iter().rfind(|notice| notice.kind.brings_the_link()).map(|notice| notice.state.name()),
            channel: notices.iter().rfind(|notice| notice.kind.brings_the_link()).map(|notice| notice.channel.as_str()),
        }
    }
}

impl Brief {
    /// With the word that whoever holds its link wants another.
    pub(super) fn with_wish(self) -> Self {
        self.noting("its holder asks for another link: make sure that it reaches the right one, then `chartseal deliveries resend`")
    }

    fn noting(self, more: &str) -> Self {
        let note = if self.note.is_empty() { more.to_owned() } else { format!("{}; {more}", self.note) };
        Self { note, ..self }
    }

    /// With the word that somebody should call, where that is so.
    pub(super) fn with_call(self, state: &Link, reminder: Option<&ReminderRow>) -> Self {
        let is_wanted = reminder.is_some_and(|row| row.call_since.is_some() && row.called_at.is_none());
        let why = match state {
            Link::Live { .. } | Link::Suspended { .. } => "nobody opened it, and its link ends soon",
            Link::Expired => "its link ended and nobody had opened it",
            Link::Recorded
            | Link::Held { .. }
            | Link::Review { .. }
            | Link::Blocked
            | Link::Spent
            | Link::Revoked { .. }
            | Link::Recalled
            | Link::Superseded { .. } => return self,
        };
        if !is_wanted {
            return self;
        }
        let call = format!("{why}: call them, and note it with `chartseal deliveries called {}`", self.id);
        self.noting(&call)
    }
}

fn note_of(delivery: &Delivery, notices: &[NoticeRow]) -> String {
    match &delivery.state {
        Link::Live { .. } => {
            notices.iter().rfind(|notice| notice.kind.brings_the_link()).map(note_of_notice).unwrap_or_default()
        }
        Link::Review { why } => why.to_string(),
        Link::Suspended { why, .. } => note_of_suspension(*why).to_owned(),
        Link::Revoked { by: RevokedBy::Restore } => {
            "ended by a restore or a lost key: if the patient still needs it, send it again".to_owned()
        }
        Link::Revoked { by: RevokedBy::Recipient } => {
            "whoever got it says that it was not for them: find out whose address that is, and mend it in the EHR; if it was opened, \
             somebody read what is not theirs, which may have to be reported"
                .to_owned()
        }
        Link::Revoked { by: RevokedBy::SubjectChanged } => {
            "the EHR says by now that it is another patient's: if it was opened, somebody read what is not theirs, which may \
             have to be reported"
                .to_owned()
        }
        Link::Revoked { by: RevokedBy::PatientMerged } => {
            "the patient's record was merged into another, or parted from it: see who had the link, and whether it was opened"
                .to_owned()
        }
        Link::Recalled => {
            "the EHR took the report back: find out why, and tell the patient if it was opened".to_owned()
        }
        Link::Held { until, basis } => words::of_hold(*until, *basis),
        Link::Recorded => words::of_gathering(delivery),
        Link::Blocked | Link::Spent | Link::Expired | Link::Revoked { .. } | Link::Superseded { .. } => String::new(),
    }
}

/// Of a live link's message.
fn note_of_notice(notice: &NoticeRow) -> String {
    match (notice.state, &notice.why) {
        (Notice::Queued { due, .. }, Some(why)) => {
            format!("the message is not handed over yet: {why}; tried again at {due}")
        }
        (Notice::Unsure, _) => {
            "nobody can tell whether the message arrived: ask the patient, or send it again".to_owned()
        }
        (Notice::Queued { .. } | Notice::Leased { .. } | Notice::Sent | Notice::Bounced | Notice::Dead, _) => {
            String::new()
        }
    }
}

const fn note_of_suspension(why: SuspendedWhy) -> &'static str {
    match why {
        SuspendedWhy::Gone => {
            "the EHR no longer shows the report: the link is refused while Chartseal asks again, and comes back with it"
        }
        SuspendedWhy::WentBack => {
            "the EHR no longer shows the report as final and readable, or a document that may not be finished says that it \
             replaces it: the link is refused until that is settled"
        }
        SuspendedWhy::RecipientGone => {
            "the EHR no longer names its recipient as one who gets the report, or the rules would not let them have it any more, or \
             neither can be learnt: the link is refused, and comes back when they may have it; revoke it to end it"
        }
        SuspendedWhy::ManyGone => {
            "many reports vanished from the EHR at once, which is more likely its failure than so many recalls: \
             see to the EHR; the link comes back with the report, or revoke it"
        }
    }
}

/// One delivery, whole.
#[derive(Serialize)]
pub struct Shown {
    #[serde(flatten)]
    pub brief: Brief,
    pub link_state: Link,
    pub reference: Option<String>,
    pub expires_at: Option<String>,
    pub opened: Option<u16>,
    /// How often the links were opened that it had before.
    pub opened_before: u64,
    pub opens_max: Option<u16>,
    /// What the link asks before it opens.
    pub asks: Option<ShownAsks>,
    pub shredded_at: Option<String>,
    /// The end of the day after which the epoch key, and with it every backup's copy of the share, is destroyed.
    pub epoch: Option<String>,
    /// How the address was chosen, without the address.
    pub contact: String,
    pub decision: Decision,
    pub facts: Option<Facts>,
    pub trace: serde_json::Value,
    pub rules_hash: String,
    pub replaces: Option<String>,
    /// Whether its document is one that Chartseal writes from the report's results.
    pub is_written_from_results: bool,
    /// Other deliveries whose reports are in the same link.
    pub shares_link_with: Vec<String>,
    /// Other resources of the EHR that are the same document.
    pub also_heard_as: Vec<String>,
    /// The newest delivery of the same report to each of its other recipients.
    pub also_for: Vec<AlsoFor>,
    pub notices: Vec<ShownNotice>,
    pub openings: Vec<ShownOpening>,
    /// What its EHR is or was told of it.
    pub told: Vec<ToldEntry>,
    pub audit: Vec<serde_json::Value>,
}

/// What a link asks, and how many wrong answers it still takes.
#[derive(Clone, Debug, Serialize)]
pub struct ShownAsks {
    pub what: Vec<&'static str>,
    pub left: u8,
    pub attempts: u8,
    pub unlocked_at: Option<String>,
}

/// What became of a report for another of its recipients.
#[derive(Serialize)]
pub struct AlsoFor {
    pub delivery: String,
    pub recipient: &'static str,
    pub state: &'static str,
}

#[derive(Serialize)]
pub struct ShownNotice {
    pub id: String,
    /// `email` or `sms`.
    pub channel: &'static str,
    pub state: &'static str,
    pub created_at: String,
    pub first_attempt_at: Option<String>,
    /// When the network said that a text was there.
    pub arrived_at: Option<String>,
    pub why: Option<String>,
}

#[derive(Serialize)]
pub struct ShownOpening {
    pub state: Opening,
    pub begun_at: String,
    pub claimed_at: Option<String>,
    pub ended_at: Option<String>,
}

impl Shown {
    pub(super) fn load(conn: &mut Conn, vault: &Vault, delivery: Delivery) -> Result<Self, StoreError> {
        let notices = store::notices_of(conn, &delivery.id)?;
        let source = store::source(conn, &delivery.source)?;
        let link = match &delivery.link {
            Some(id) => store::link(conn, id)?,
            None => None,
        };
        let mut openings = Vec::new();
        for id in store::links_of(conn, &delivery.id)? {
            openings.extend(store::openings_of(conn, &id)?);
        }
        let sharers = match &delivery.link {
            Some(id) => store::sharers_of(conn, id)?,
            None => Vec::new(),
        };
        let mut also_heard_as = Vec::new();
        for other in store::family_of(conn, &delivery.source)? {
            also_heard_as.extend(store::source(conn, &other)?.map(|other| other.key.to_string()));
        }
        let lines = store::chain_lines(conn, &format!("delivery:{}", delivery.id))?;
        let text = |at: Option<UtcMillis>| at.map(UtcMillis::to_rfc3339);
        Ok(Self {
            brief: brief_of(conn, &delivery)?,
            reference: link.as_ref().map(|link| link.reference.to_string()),
            expires_at: text(link.as_ref().and_then(|link| link.expires_at)),
            opened: link.as_ref().map(|link| link.opened),
            opened_before: store::opened_of(conn, &delivery.id)?
                .saturating_sub(link.as_ref().map_or(0, |link| link.opened.into())),
            opens_max: link.as_ref().map(|link| link.opens_max),
            asks: asks_of(conn, &delivery)?,
            shredded_at: text(link.as_ref().and_then(|link| link.shredded_at)),
            epoch: link.as_ref().map(|link| link.epoch.clone()),
            contact: contact_of(conn, vault, &delivery)?,
            trace: serde_json::from_str(&delivery.trace).unwrap_or(serde_json::Value::Null),
            rules_hash: delivery.rules_hash.clone(),
            replaces: delivery.replaces.as_ref().map(ToString::to_string),
            is_written_from_results: store::paper_of(conn, &delivery.id)?.is_some(),
            shares_link_with: sharers
                .iter()
                .map(|other| other.id.to_string())
                .filter(|id| *id != delivery.id.as_str())
                .collect(),
            also_heard_as,
            also_for: also_for(conn, source.as_ref())?,
            notices: notices.iter().map(shown_notice).collect(),
            openings: openings
                .iter()
                .map(|opening| ShownOpening {
                    state: opening.state,
                    begun_at: opening.begun_at.to_rfc3339(),
                    claimed_at: text(opening.claimed_at),
                    ended_at: text(opening.ended_at),
                })
                .collect(),
            told: told_of_delivery(conn, &delivery.id)?,
            audit: lines.iter().map(audit_line).collect(),
            link_state: delivery.state,
            decision: delivery.decision,
            facts: delivery.facts,
        })
    }
}

fn asks_of(conn: &mut Conn, delivery: &Delivery) -> Result<Option<ShownAsks>, StoreError> {
    let Some(link) = &delivery.link else { return Ok(None) };
    let row = store::challenge_of(conn, link)?;
    Ok(row.map(|row| ShownAsks {
        what: row.asks.iter().map(|asked| asked.ask.spoken()).collect(),
        left: row.left,
        attempts: row.attempts,
        unlocked_at: row.unlocked_at.map(UtcMillis::to_rfc3339),
    }))
}

fn also_for(conn: &mut Conn, source: Option<&SourceRow>) -> Result<Vec<AlsoFor>, StoreError> {
    let Some(source) = source else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for other in store::followed_for_others(conn, source)? {
        let latest = store::latest_delivery_of(conn, &other)?;
        found.extend(latest.map(|latest| AlsoFor {
            delivery: latest.id.to_string(),
            recipient: latest.recipient.as_str(),
            state: latest.state.name(),
        }));
    }
    Ok(found)
}

fn shown_notice(notice: &NoticeRow) -> ShownNotice {
    ShownNotice {
        id: notice.id.to_string(),
        channel: notice.channel.as_str(),
        state: notice.state.name(),
        created_at: notice.created_at.to_rfc3339(),
        first_attempt_at: notice.first_attempt_at.map(UtcMillis::to_rfc3339),
        arrived_at: notice.arrived_at.map(UtcMillis::to_rfc3339),
        why: notice.why.clone(),
    }
}

/// How the address was chosen, and what is recorded of it.
fn contact_of(conn: &mut Conn, vault: &Vault, delivery: &Delivery) -> Result<String, StoreError> {
    let Some(sealed) = &delivery.card_sealed else { return Ok("none is kept".to_owned()) };
    let opened = vault.open_record(Purpose::PatientCard, delivery.id.as_str(), sealed);
    let chosen = match opened.ok().and_then(|plain| Card::from_bytes(&plain)) {
        Some(card) if card.to().is_some() => card.chosen_because,
        Some(_) => "no usable address".to_owned(),
        None => "the card does not open with this installation's keys".to_owned(),
    };
    let standing = match ContactKey::of(delivery) {
        Some(key) => store::contact_standing(conn, &key)?,
        None => None,
    };
    Ok(match standing {
        Some(standing) => format!("{chosen}; {} since {}", standing.state.as_str(), standing.since),
        None => chosen,
    })
}

fn audit_line(line: &crate::audit::Line) -> serde_json::Value {
    let mut body: serde_json::Value = serde_json::from_str(&line.body).unwrap_or(serde_json::Value::Null);
    if let Some(object) = body.as_object_mut() {
        object.insert("at".to_owned(), line.at.to_rfc3339().into());
        object.insert("seq".to_owned(), line.seq.into());
    }
    body
}
