//! What is kept of the reports of a stretch of time: their facts, page by page.

use diesel::prelude::*;

use crate::base::{ClinicId, DeliveryId, EhrId, ResourceType, UtcMillis};
use crate::policy::{Decision, Facts};
use crate::store::conn::Conn;
use crate::store::error::StoreError;
use crate::store::rows::{from_json, parse, parse_opt};
use crate::store::schema::{delivery, source};

/// The newest delivery of one report for one recipient. No patient data.
#[derive(Clone, Debug)]
pub struct FactsSeen {
    pub delivery: DeliveryId,
    pub ehr: EhrId,
    pub clinic: Option<ClinicId>,
    pub kind: ResourceType,
    /// The resource's id in its EHR.
    pub resource_id: String,
    pub created_at: UtcMillis,
    /// Empty: no rules decided.
    pub rules_hash: String,
    pub decision: Decision,
    /// `None`: past their retention.
    pub facts: Option<Facts>,
}

type Row = (String, String, Option<String>, String, String, i64, String, String, String);

/// The newest delivery of every report and recipient since `since`, oldest first, behind the one `after`.
///
/// # Errors
/// [`StoreError`].
pub fn facts_seen(
    conn: &mut Conn,
    since: UtcMillis,
    after: Option<&FactsSeen>,
    count: i64,
) -> Result<Vec<FactsSeen>, StoreError> {
    let newer = diesel::alias!(delivery as newer);
    let (newer_at, newer_no) = (newer.field(delivery::created_at), newer.field(delivery::issue_no));
    let newer_id = newer.field(delivery::id);
    // Each version of a report has numbers of its own, so of two that are alike in both one is taken.
    let is_behind = newer_no.gt(delivery::issue_no).or(newer_no.eq(delivery::issue_no).and(newer_id.gt(delivery::id)));
    let is_newer = newer_at.gt(delivery::created_at).or(newer_at.eq(delivery::created_at).and(is_behind));
    let replaced = newer
        .filter(newer.field(delivery::source_id).eq(delivery::source_id))
        .filter(newer.field(delivery::recipient).eq(delivery::recipient))
        .filter(is_newer);
    let (at, id) = after.map_or((since.0 - 1, String::new()), |one| (one.created_at.0, one.delivery.to_string()));
    let rows: Vec<Row> = delivery::table
        .inner_join(source::table.on(source::id.eq(delivery::source_id)))
        .filter(delivery::created_at.gt(at).or(delivery::created_at.eq(at).and(delivery::id.gt(id))))
        .filter(delivery::created_at.ge(since.0))
        .filter(diesel::dsl::not(diesel::dsl::exists(replaced)))
        .order((delivery::created_at.asc(), delivery::id.asc()))
        .limit(count)
        .select((
            delivery::id,
            delivery::ehr,
            delivery::clinic,
            source::kind,
            source::resource_id,
            delivery::created_at,
            delivery::rules_hash,
            delivery::decision,
            delivery::facts,
        ))
        .load(conn)?;
    rows.into_iter().map(seen).collect()
}

fn seen(
    (id, ehr, clinic, kind, resource_id, created_at, rules_hash, decision, facts): Row,
) -> Result<FactsSeen, StoreError> {
    Ok(FactsSeen {
        delivery: parse("delivery.id", &id)?,
        ehr: parse("delivery.ehr", &ehr)?,
        clinic: parse_opt("delivery.clinic", clinic.as_deref())?,
        kind: parse("source.kind", &kind)?,
        resource_id,
        created_at: UtcMillis(created_at),
        rules_hash,
        decision: from_json("delivery.decision", &decision)?,
        facts: if facts.is_empty() { None } else { Some(from_json("delivery.facts", &facts)?) },
    })
}
