//! Deliveries: one report on its way to one recipient under one decision.

use diesel::prelude::*;

use super::audit_log;
use super::conn::{Conn, LinkDeath, Tx};
use super::error::StoreError;
use super::links;
use super::rows::{from_json, hash32, parse, parse_opt, to_json};
use super::schema::delivery;
use super::{notices, openings};
use crate::audit::{Actor, AuditEvent, Chain, Entry};
use crate::base::{ClinicId, DeliveryId, EhrId, LinkId, SourceId, UtcMillis, VersionId};
use crate::policy::{Decision, Facts, RecipientRole};
use crate::record::{HoldEnd, Link, Step};

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
    pub issue_no: i32,
    pub mode: Mode,
    pub kind: DeliveryKind,
    row_version: i64,
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
}

/// # Errors
/// [`StoreError::Duplicate`] when this report version already has a delivery of that number.
pub fn insert_delivery(tx: &mut Tx, new: &NewDelivery, entry: &Entry) -> Result<(), StoreError> {
    diesel::insert_into(delivery::table)
        .values((
            (
                delivery::id.eq(new.id.as_str()),
                delivery::source_id.eq(new.source.as_str()),
                delivery::ehr.eq(new.ehr.as_str()),
                delivery::clinic.eq(new.clinic.as_ref().map(ClinicId::as_str)),
                delivery::report_version.eq(new.report_version.as_str()),
                delivery::content_hash.eq(new.content_hash.to_vec()),
                delivery::recipient.eq(to_json("delivery.recipient", &new.recipient)?),
                delivery::issue_no.eq(new.issue_no),
                delivery::mode.eq(new.mode.as_str()),
                delivery::kind.eq(new.kind.as_str()),
                delivery::row_version.eq(1_i64),
                delivery::state.eq(new.state.name()),
                delivery::state_detail.eq(to_json("delivery.state_detail", &new.state)?),
            ),
            (
                delivery::state_at.eq(entry.at.0),
                delivery::due_at.eq(due_at(&new.state, entry.at).map(|at| at.0)),
                delivery::decision.eq(to_json("delivery.decision", &new.decision)?),
                delivery::facts.eq(to_json("delivery.facts", &new.facts)?),
                delivery::trace.eq(&new.trace),
                delivery::rules_hash.eq(&new.rules_hash),
                delivery::card_sealed.eq(&new.card_sealed),
                delivery::contact_index.eq(new.contact_index.map(|index| index.to_vec())),
                delivery::patient_index.eq(new.patient_index.map(|index| index.to_vec())),
                delivery::replaces.eq(new.replaces.as_ref().map(DeliveryId::as_str)),
                delivery::created_at.eq(entry.at.0),
            ),
        ))
        .execute(tx.conn())?;
    audit_log::append(tx, entry)
}

/// When the release step must look at a delivery in this state.
const fn due_at(state: &Link, now: UtcMillis) -> Option<UtcMillis> {
    match state {
        Link::Recorded => Some(now),
        Link::Held { until: HoldEnd::At(at), .. } => Some(*at),
        Link::Held { until: HoldEnd::Person, .. }
        | Link::Review { .. }
        | Link::Live { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => None,
    }
}

/// Writes a step that the table allows, its audit line, and what must go with it: a death wipes the link's
/// keys, ends its openings and cancels its notices in the same transaction. The only writer of a delivery's state.
///
/// # Errors
/// [`StoreError::Moved`] when `before` is no longer what is stored.
pub fn advance(
    tx: &mut Tx,
    before: &Delivery,
    step: &Step<Link>,
    actor: Actor,
    at: UtcMillis,
) -> Result<(), StoreError> {
    if step.from() != &before.state {
        return Err(StoreError::Moved);
    }
    let changed =
        diesel::update(delivery::table.find(before.id.as_str()).filter(delivery::row_version.eq(before.row_version)))
            .set((
                delivery::row_version.eq(before.row_version + 1),
                delivery::state.eq(step.to().name()),
                delivery::state_detail.eq(to_json("delivery.state_detail", step.to())?),
                delivery::state_at.eq(at.0),
                delivery::due_at.eq(due_at(step.to(), at).map(|at| at.0)),
                delivery::lease_until.eq(None::<i64>),
                delivery::tries.eq(0),
            ))
            .execute(tx.conn())?;
    if changed != 1 {
        return Err(StoreError::Moved);
    }
    if let (Some(death), Some(link)) = (step.death(), &before.link) {
        links::shred_link(tx, link, at)?;
        openings::end_openings(tx, link, at)?;
        notices::cancel_notices(tx, link, at)?;
        tx.died(LinkDeath { link: link.clone(), death, at });
        audit_log::append(tx, &entry_for(before, at, Actor::System, AuditEvent::Shredded { link: link.clone() }))?;
    }
    let event = AuditEvent::Stepped { from: before.state.name().to_owned(), to: step.to().clone() };
    audit_log::append(tx, &entry_for(before, at, actor, event))
}

/// A line for the delivery's own chain.
fn entry_for(delivery: &Delivery, at: UtcMillis, actor: Actor, event: AuditEvent) -> Entry {
    Entry { chain: Chain::Delivery(delivery.id.clone()), at, clinic: delivery.clinic.clone(), actor, event }
}

impl Delivery {
    /// A line for this delivery's chain.
    #[must_use]
    pub fn entry(&self, at: UtcMillis, actor: Actor, event: AuditEvent) -> Entry {
        entry_for(self, at, actor, event)
    }
}

pub(super) fn attach_link(tx: &mut Tx, delivery_id: &DeliveryId, link: &LinkId) -> Result<(), StoreError> {
    diesel::update(delivery::table.find(delivery_id.as_str()))
        .set(delivery::link_id.eq(link.as_str()))
        .execute(tx.conn())?;
    Ok(())
}

#[derive(Queryable)]
struct Row {
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
    row_version: i64,
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
        )
    };
}

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
            issue_no: row.issue_no,
            mode: parse_word("delivery.mode", &row.mode)?,
            kind: parse_word("delivery.kind", &row.kind)?,
            row_version: row.row_version,
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
        })
    }
}

fn parse_word<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    parse(column, text)
}

/// # Errors
/// [`StoreError`].
pub fn delivery(conn: &mut Conn, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let row: Option<Row> = delivery::table.find(id.as_str()).select(columns!()).first(conn).optional()?;
    row.map(Delivery::try_from).transpose()
}

/// The delivery whose current link is `link`.
///
/// # Errors
/// [`StoreError`].
pub fn delivery_of_link(conn: &mut Conn, link: &LinkId) -> Result<Option<Delivery>, StoreError> {
    let row: Option<Row> =
        delivery::table.filter(delivery::link_id.eq(link.as_str())).select(columns!()).first(conn).optional()?;
    row.map(Delivery::try_from).transpose()
}

/// All deliveries of a resource that are not in a final state.
///
/// # Errors
/// [`StoreError`].
pub fn open_deliveries_of(conn: &mut Conn, source: &SourceId) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<Row> = delivery::table
        .filter(delivery::source_id.eq(source.as_str()))
        .filter(delivery::state.eq_any(["recorded", "held", "review", "live", "suspended"]))
        .order(delivery::created_at.asc())
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// The newest delivery of a resource, whatever became of it.
///
/// # Errors
/// [`StoreError`].
pub fn latest_delivery_of(conn: &mut Conn, source: &SourceId) -> Result<Option<Delivery>, StoreError> {
    let row: Option<Row> = delivery::table
        .filter(delivery::source_id.eq(source.as_str()))
        .order((delivery::created_at.desc(), delivery::issue_no.desc()))
        .select(columns!())
        .first(conn)
        .optional()?;
    row.map(Delivery::try_from).transpose()
}

/// Whether this very version of the report already has a delivery.
///
/// # Errors
/// [`StoreError`].
pub fn delivery_exists(conn: &mut Conn, source: &SourceId, version: &VersionId) -> Result<bool, StoreError> {
    let count: i64 = delivery::table
        .filter(delivery::source_id.eq(source.as_str()))
        .filter(delivery::report_version.eq(version.as_str()))
        .count()
        .get_result(conn)?;
    Ok(count > 0)
}

/// The number that the next delivery of this report version gets.
///
/// # Errors
/// [`StoreError`].
pub fn next_issue_no(conn: &mut Conn, source: &SourceId, version: &VersionId) -> Result<i32, StoreError> {
    let last: Option<i32> = delivery::table
        .filter(delivery::source_id.eq(source.as_str()))
        .filter(delivery::report_version.eq(version.as_str()))
        .select(diesel::dsl::max(delivery::issue_no))
        .first(conn)?;
    Ok(last.unwrap_or(0) + 1)
}

/// Keeps the card of the address that the link goes to.
///
/// # Errors
/// [`StoreError`].
pub fn set_card(tx: &mut Tx, id: &DeliveryId, sealed: &[u8], contact_index: &[u8; 32]) -> Result<(), StoreError> {
    diesel::update(delivery::table.find(id.as_str()))
        .set((delivery::card_sealed.eq(sealed.to_vec()), delivery::contact_index.eq(contact_index.to_vec())))
        .execute(tx.conn())?;
    Ok(())
}

/// A new version said the same: the delivery now stands for it, beside others that already do.
///
/// # Errors
/// [`StoreError`].
pub fn set_report_version(tx: &mut Tx, delivery: &Delivery, version: &VersionId) -> Result<(), StoreError> {
    if delivery.report_version == *version {
        return Ok(());
    }
    let issue_no = next_issue_no(tx.conn(), &delivery.source, version)?;
    diesel::update(delivery::table.find(delivery.id.as_str()).filter(delivery::row_version.eq(delivery.row_version)))
        .set((delivery::report_version.eq(version.as_str()), delivery::issue_no.eq(issue_no)))
        .execute(tx.conn())?;
    Ok(())
}

/// Leases up to `count` live deliveries whose release is due, until `until`.
///
/// # Errors
/// [`StoreError`].
pub fn lease_due_deliveries(
    tx: &mut Tx,
    now: UtcMillis,
    until: UtcMillis,
    count: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let candidate = diesel::alias!(delivery as candidate);
    let due = candidate
        .filter(candidate.field(delivery::due_at).le(now.0))
        .filter(candidate.field(delivery::mode).eq(Mode::Live.as_str()))
        .filter(candidate.field(delivery::lease_until).is_null().or(candidate.field(delivery::lease_until).le(now.0)))
        .order(candidate.field(delivery::due_at).asc())
        .limit(count)
        .select(candidate.field(delivery::id));
    let rows: Vec<Row> = diesel::update(
        delivery::table
            .filter(delivery::id.eq_any(due))
            .filter(delivery::due_at.le(now.0))
            .filter(delivery::lease_until.is_null().or(delivery::lease_until.le(now.0))),
    )
    .set((delivery::lease_until.eq(until.0), delivery::tries.eq(delivery::tries + 1)))
    .returning(columns!())
    .get_results(tx.conn())?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// Gives a leased delivery back, due again at `at`.
///
/// # Errors
/// [`StoreError`].
pub fn postpone_delivery(tx: &mut Tx, delivery: &Delivery, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(delivery::table.find(delivery.id.as_str()).filter(delivery::row_version.eq(delivery.row_version)))
        .set((delivery::lease_until.eq(None::<i64>), delivery::due_at.eq(at.0)))
        .execute(tx.conn())?;
    Ok(())
}

/// Which deliveries a list shows.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// A state's name.
    pub state: Option<String>,
    pub clinic: Option<ClinicId>,
    pub ehr: Option<EhrId>,
    pub count_max: i64,
}

/// Newest first.
///
/// # Errors
/// [`StoreError`].
pub fn deliveries(conn: &mut Conn, filter: &DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
    let mut query = delivery::table.select(columns!()).into_boxed();
    if let Some(state) = &filter.state {
        query = query.filter(delivery::state.eq(state.clone()));
    }
    if let Some(clinic) = &filter.clinic {
        query = query.filter(delivery::clinic.eq(clinic.as_str().to_owned()));
    }
    if let Some(ehr) = &filter.ehr {
        query = query.filter(delivery::ehr.eq(ehr.as_str().to_owned()));
    }
    let rows: Vec<Row> = query.order(delivery::created_at.desc()).limit(filter.count_max).load(conn)?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// Retention: empties the contact cards of deliveries that ended before `before`.
///
/// # Errors
/// [`StoreError`].
pub fn forget_cards(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    let changed = diesel::update(
        delivery::table
            .filter(delivery::state.eq_any(["blocked", "spent", "expired", "revoked", "recalled", "superseded"]))
            .filter(delivery::state_at.lt(before.0))
            .filter(delivery::card_sealed.is_not_null().or(delivery::contact_index.is_not_null())),
    )
    .set((delivery::card_sealed.eq(None::<Vec<u8>>), delivery::contact_index.eq(None::<Vec<u8>>)))
    .execute(tx.conn())?;
    Ok(changed as u64)
}

/// Retention: empties the facts and traces of deliveries that ended before `before`.
///
/// # Errors
/// [`StoreError`].
pub fn forget_facts(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    let changed = diesel::update(
        delivery::table
            .filter(delivery::state.eq_any(["blocked", "spent", "expired", "revoked", "recalled", "superseded"]))
            .filter(delivery::state_at.lt(before.0))
            .filter(delivery::facts.ne("")),
    )
    .set((delivery::facts.eq(""), delivery::trace.eq("")))
    .execute(tx.conn())?;
    Ok(changed as u64)
}
