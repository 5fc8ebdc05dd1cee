//! A delivery as a row, and back.

use diesel::prelude::*;

use crate::base::{ClinicId, DeliveryId, EhrId, LinkId, SourceId, UtcMillis, VersionId};
use crate::policy::schedule::Schedule;
use crate::policy::{Decision, Facts, RecipientRole, Trace};
use crate::record::{Addressee, Link};
use crate::store::error::StoreError;
use crate::store::rows::{addressee, from_json, hash32, parse, parse_opt};

/// Whether anything may leave because of this delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Decided and shown; nothing leaves.
    Shadow,
    Live,
}

/// Whether the patient gets a report or a newer version of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryKind {
    New,
    Updated,
}

macro_rules! stored_as {
    ($type:ident { $($variant:ident = $text:literal),+ }) => {
        impl $type {
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::str::FromStr for $type {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}
stored_as!(Mode { Shadow = "shadow", Live = "live" });
stored_as!(DeliveryKind { New = "new", Updated = "updated" });

/// The content hash of a delivery that stands for a version of the report that could not be read.
pub const NOTHING_READ: [u8; 32] = [0; 32];

/// A delivery as stored.
#[derive(Clone)]
pub struct Delivery {
    pub id: DeliveryId,
    pub source: SourceId,
    pub ehr: EhrId,
    pub clinic: Option<ClinicId>,
    pub report_version: VersionId,
    pub content_hash: [u8; 32],
    pub recipient: RecipientRole,
    pub addressee: Addressee,
    pub issue_no: i32,
    pub mode: Mode,
    pub kind: DeliveryKind,
    pub(super) row_version: i64,
    pub state: Link,
    pub state_at: UtcMillis,
    pub tries: i32,
    pub decision: Decision,
    pub facts: Option<Facts>,
    /// Why the rules decided so, as JSON.
    pub trace: String,
    pub rules_hash: String,
    /// Contact and patient card, under the records key.
    pub card_sealed: Option<Vec<u8>>,
    pub contact_index: Option<[u8; 32]>,
    pub patient_index: Option<[u8; 32]>,
    pub link: Option<LinkId>,
    pub replaces: Option<DeliveryId>,
    pub created_at: UtcMillis,
    /// Staff released it although the breaker had tripped: the breaker has no further say about it.
    pub breaker_passed_at: Option<UtcMillis>,
    /// What it has in common with others that its rules let share a link, as a keyed hash.
    pub group_index: Option<[u8; 32]>,
    /// When the release step looks at it next.
    pub due_at: Option<UtcMillis>,
}

impl Delivery {
    /// When its decision lets it leave, and the laws behind that; `None` where no rules decided.
    #[must_use]
    pub fn schedule(&self) -> Option<Schedule> {
        serde_json::from_str::<Trace>(&self.trace).ok().and_then(|trace| trace.schedule)
    }
}

/// A delivery to be kept. Its first state comes from the decision.
pub struct NewDelivery {
    pub id: DeliveryId,
    pub source: SourceId,
    pub ehr: EhrId,
    pub clinic: Option<ClinicId>,
    pub report_version: VersionId,
    pub content_hash: [u8; 32],
    pub recipient: RecipientRole,
    pub addressee: Addressee,
    pub issue_no: i32,
    pub mode: Mode,
    pub kind: DeliveryKind,
    pub state: Link,
    pub decision: Decision,
    pub facts: Facts,
    pub trace: String,
    pub rules_hash: String,
    pub card_sealed: Option<Vec<u8>>,
    pub contact_index: Option<[u8; 32]>,
    pub patient_index: Option<[u8; 32]>,
    pub replaces: Option<DeliveryId>,
    pub group_index: Option<[u8; 32]>,
}

#[derive(Queryable)]
pub(super) struct Row {
    id: String,
    source_id: String,
    ehr: String,
    clinic: Option<String>,
    report_version: String,
    content_hash: Vec<u8>,
    recipient: String,
    issue_no: i32,
    mode: String,
    kind: String,
    version: i64,
    state_detail: String,
    state_at: i64,
    tries: i32,
    decision: String,
    facts: String,
    trace: String,
    rules_hash: String,
    card_sealed: Option<Vec<u8>>,
    contact_index: Option<Vec<u8>>,
    patient_index: Option<Vec<u8>>,
    link_id: Option<String>,
    replaces: Option<String>,
    created_at: i64,
    breaker_passed_at: Option<i64>,
    group_index: Option<Vec<u8>>,
    due_at: Option<i64>,
    addressee_index: Vec<u8>,
}

macro_rules! columns {
    () => {
        (
            delivery::id,
            delivery::source_id,
            delivery::ehr,
            delivery::clinic,
            delivery::report_version,
            delivery::content_hash,
            delivery::recipient,
            delivery::issue_no,
            delivery::mode,
            delivery::kind,
            delivery::row_version,
            delivery::state_detail,
            delivery::state_at,
            delivery::tries,
            delivery::decision,
            delivery::facts,
            delivery::trace,
            delivery::rules_hash,
            delivery::card_sealed,
            delivery::contact_index,
            delivery::patient_index,
            delivery::link_id,
            delivery::replaces,
            delivery::created_at,
            delivery::breaker_passed_at,
            delivery::group_index,
            delivery::due_at,
            delivery::addressee_index,
        )
    };
}
pub(super) use columns;

impl TryFrom<Row> for Delivery {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let index = |column, bytes: Option<Vec<u8>>| bytes.map(|bytes| hash32(column, &bytes)).transpose();
        Ok(Self {
            id: parse("delivery.id", &row.id)?,
            source: parse("delivery.source_id", &row.source_id)?,
            ehr: parse("delivery.ehr", &row.ehr)?,
            clinic: parse_opt("delivery.clinic", row.clinic.as_deref())?,
            report_version: parse("delivery.report_version", &row.report_version)?,
            content_hash: hash32("delivery.content_hash", &row.content_hash)?,
            recipient: from_json("delivery.recipient", &row.recipient)?,
            addressee: addressee("delivery.addressee_index", &row.addressee_index)?,
            issue_no: row.issue_no,
            mode: parse_word("delivery.mode", &row.mode)?,
            kind: parse_word("delivery.kind", &row.kind)?,
            row_version: row.version,
            state: from_json("delivery.state_detail", &row.state_detail)?,
            state_at: UtcMillis(row.state_at),
            tries: row.tries,
            decision: from_json("delivery.decision", &row.decision)?,
            facts: if row.facts.is_empty() { None } else { Some(from_json("delivery.facts", &row.facts)?) },
            trace: row.trace,
            rules_hash: row.rules_hash,
            card_sealed: row.card_sealed,
            contact_index: index("delivery.contact_index", row.contact_index)?,
            patient_index: index("delivery.patient_index", row.patient_index)?,
            link: parse_opt("delivery.link_id", row.link_id.as_deref())?,
            replaces: parse_opt("delivery.replaces", row.replaces.as_deref())?,
            created_at: UtcMillis(row.created_at),
            breaker_passed_at: row.breaker_passed_at.map(UtcMillis),
            group_index: index("delivery.group_index", row.group_index)?,
            due_at: row.due_at.map(UtcMillis),
        })
    }
}

fn parse_word<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    parse(column, text)
}
