//! Resources that are one document, what the rules last said of each, and documents that take another's place.
//!
//! Must stay true: nobody is one document with two families; a document whose place another takes is known by its name alone,
//! whether it was ever heard of or not.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::dialect;
use super::documents::{self, Alike, by_somebody_else};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::{from_json, parse, to_json};
use super::schema::{replacement, source, twin};
use super::sources::{self, SourceRow};
use crate::base::{EhrId, FhirId, ResourceKey, ResourceType, SourceId, UtcMillis};
use crate::policy::{Decision, ReportStatus};
use crate::record::Addressee;

/// The other resources that are one document with `id`, by their ids; held until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub fn hold_family(tx: &mut Tx, id: &SourceId) -> Result<Vec<SourceId>, StoreError> {
    let Some(family) = family_name(tx.conn(), id)? else { return Ok(Vec::new()) };
    dialect::lock_name(tx.conn(), &format!("family:{family}"))?;
    family_of(tx.conn(), id)
}

/// The other resources that are one document with `id`, by their ids.
///
/// # Errors
/// [`StoreError`].
pub fn family_of(conn: &mut Conn, id: &SourceId) -> Result<Vec<SourceId>, StoreError> {
    let Some(family) = family_name(conn, id)? else { return Ok(Vec::new()) };
    let members: Vec<String> = twin::table
        .filter(twin::family.eq(family))
        .filter(twin::source_id.ne(id.as_str()))
        .order(twin::source_id.asc())
        .select(twin::source_id)
        .load(conn)?;
    members.iter().map(|member| parse("twin.source_id", member)).collect()
}

/// The other names of each of these resources that has any, all by their ids.
///
/// # Errors
/// [`StoreError`].
pub(super) fn other_names(conn: &mut Conn, ids: &[&str]) -> Result<HashMap<String, Vec<String>>, StoreError> {
    let of: Vec<(String, String)> =
        twin::table.filter(twin::source_id.eq_any(ids)).select((twin::source_id, twin::family)).load(conn)?;
    let families: BTreeSet<&str> = of.iter().map(|(_, family)| family.as_str()).collect();
    let members: Vec<(String, String)> =
        twin::table.filter(twin::family.eq_any(families)).select((twin::source_id, twin::family)).load(conn)?;
    let others = |id: &String, family: &String| {
        let kin = members.iter().filter(|(other, theirs)| theirs == family && other != id);
        kin.map(|(other, _)| other.clone()).collect::<Vec<_>>()
    };
    Ok(of.iter().map(|(id, family)| (id.clone(), others(id, family))).collect())
}

fn family_name(conn: &mut Conn, id: &SourceId) -> Result<Option<String>, StoreError> {
    Ok(twin::table.find(id.as_str()).select(twin::family).first(conn).optional()?)
}

/// From now on both are one document, with whatever each was one with before.
///
/// # Errors
/// [`StoreError`].
pub fn make_one(tx: &mut Tx, id: &SourceId, other: &SourceId, at: UtcMillis) -> Result<(), StoreError> {
    let (own, theirs) = (family_name(tx.conn(), id)?, family_name(tx.conn(), other)?);
    let family = theirs.clone().or_else(|| own.clone()).unwrap_or_else(|| other.to_string());
    match own {
        Some(own) if own == family => {}
        Some(own) => {
            diesel::update(twin::table.filter(twin::family.eq(own)))
                .set(twin::family.eq(&family))
                .prepared()
                .execute(tx.conn())?;
        }
        None => add_member(tx, id, &family, at)?,
    }
    if theirs.is_none() { add_member(tx, other, &family, at) } else { Ok(()) }
}

fn add_member(tx: &mut Tx, id: &SourceId, family: &str, at: UtcMillis) -> Result<(), StoreError> {
    diesel::insert_into(twin::table)
        .values((twin::source_id.eq(id.as_str()), twin::family.eq(family), twin::noted_at.eq(at.0)))
        .prepared()
        .execute(tx.conn())
        .map_err(by_somebody_else)?;
    Ok(())
}

/// `id` is one document with no other any more.
///
/// # Errors
/// [`StoreError`].
pub fn leave_family(tx: &mut Tx, id: &SourceId) -> Result<(), StoreError> {
    diesel::delete(twin::table.find(id.as_str())).execute(tx.conn())?;
    Ok(())
}

/// What the rules last said of one of several resources that are one document.
#[derive(Clone, Debug)]
pub struct Said {
    pub decision: Decision,
    pub trace: String,
    pub rules_hash: String,
}

/// Keeps what the rules say of `id`, if it is one document with others.
///
/// # Errors
/// [`StoreError`].
pub fn note_said(tx: &mut Tx, id: &SourceId, said: &Said, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(twin::table.find(id.as_str()))
        .set((
            twin::decision.eq(to_json("twin.decision", &said.decision)?),
            twin::trace.eq(&said.trace),
            twin::rules_hash.eq(&said.rules_hash),
            twin::noted_at.eq(at.0),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// What the rules last said of `id` as one of several resources that are one document.
///
/// # Errors
/// [`StoreError`].
pub fn said_of(conn: &mut Conn, id: &SourceId) -> Result<Option<Said>, StoreError> {
    type Row = (Option<String>, Option<String>, Option<String>);
    let row: Option<Row> =
        twin::table.find(id.as_str()).select((twin::decision, twin::trace, twin::rules_hash)).first(conn).optional()?;
    let Some((Some(decision), Some(trace), Some(rules_hash))) = row else { return Ok(None) };
    Ok(Some(Said { decision: from_json("twin.decision", &decision)?, trace, rules_hash }))
}

/// Keeps which documents `by` says that it replaces. Returns those that it newly does or no longer does.
///
/// # Errors
/// [`StoreError`].
pub fn set_replaced(tx: &mut Tx, by: &SourceId, ehr: &EhrId, replaced: &[FhirId]) -> Result<Vec<FhirId>, StoreError> {
    let before: Vec<String> = replacement::table
        .filter(replacement::by_source.eq(by.as_str()))
        .select(replacement::resource_id)
        .load(tx.conn())?;
    let before: BTreeSet<FhirId> =
        before.iter().map(|id| parse("replacement.resource_id", id)).collect::<Result<_, _>>()?;
    let now: BTreeSet<FhirId> = replaced.iter().cloned().collect();
    for new in now.difference(&before) {
        diesel::insert_into(replacement::table)
            .values((
                replacement::ehr.eq(ehr.as_str()),
                replacement::resource_id.eq(new.as_str()),
                replacement::by_source.eq(by.as_str()),
            ))
            .prepared()
            .execute(tx.conn())?;
    }
    for old in before.difference(&now) {
        diesel::delete(replacement::table.find((ehr.as_str(), old.as_str(), by.as_str()))).execute(tx.conn())?;
    }
    Ok(now.symmetric_difference(&before).cloned().collect())
}

/// What other documents leave of one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Kept,
    /// A document of which nobody can say whether it is finished says that it replaces this one.
    Disputed,
    Taken,
}

/// Whether another document says that it replaces this one. One of unclear status that staff put aside does not.
///
/// # Errors
/// [`StoreError`].
pub fn place_of(conn: &mut Conn, key: &ResourceKey) -> Result<Place, StoreError> {
    if key.kind != ResourceType::DocumentReference {
        return Ok(Place::Kept);
    }
    let by: Vec<(String, Option<String>)> = replacement::table
        .inner_join(source::table.on(source::id.eq(replacement::by_source)))
        .filter(replacement::ehr.eq(key.ehr.as_str()))
        .filter(replacement::resource_id.eq(key.id.as_str()))
        .select((source::id, source::status))
        .load(conn)?;
    let mut place = Place::Kept;
    for (by, status) in by {
        let status: Option<ReportStatus> = status.map(|status| from_json("source.status", &status)).transpose()?;
        if status != Some(ReportStatus::Unknown) {
            return Ok(Place::Taken);
        }
        let latest = deliveries::latest_delivery_of(conn, &parse("replacement.by_source", &by)?)?;
        if !latest.is_some_and(|latest| latest.state.is_put_aside()) {
            place = Place::Disputed;
        }
    }
    Ok(place)
}

/// The documents that `by` says it replaces, as far as they were heard of; nothing where `by` is followed for another than its
/// patient.
///
/// # Errors
/// [`StoreError`].
pub fn replaced_by(conn: &mut Conn, by: &SourceId) -> Result<Vec<SourceRow>, StoreError> {
    let ids: Vec<String> = replacement::table
        .inner_join(
            source::table.on(source::ehr.eq(replacement::ehr).and(source::resource_id.eq(replacement::resource_id))),
        )
        .filter(replacement::by_source.eq(by.as_str()))
        .filter(source::kind.eq(ResourceType::DocumentReference.as_str()))
        .filter(source::addressee_index.eq(Addressee::Patient.to_bytes()))
        .filter(source::id.ne(by.as_str()))
        .order(source::id.asc())
        .select(source::id)
        .load(conn)?;
    let mut rows = Vec::new();
    for id in ids {
        rows.extend(sources::source(conn, &parse("source.id", &id)?)?);
    }
    Ok(rows)
}

/// Who says, or said, what `old` ever said.
///
/// # Errors
/// [`StoreError`].
pub fn who_said_the_same(conn: &mut Conn, old: &SourceRow) -> Result<Vec<Alike>, StoreError> {
    let marks = documents::marks_ever_of(conn, &old.id)?;
    documents::alike(conn, (&old.id, old.key.kind), &marks)
}

/// What is under way of the document that `old` is, under all its names but `besides`: of those others what brings what `old`
/// ever said.
///
/// # Errors
/// [`StoreError`].
pub fn under_way_of(conn: &mut Conn, old: &SourceRow, besides: &SourceId) -> Result<Vec<Delivery>, StoreError> {
    let mut open = deliveries::open_deliveries_of(conn, &old.id)?;
    let said = who_said_the_same(conn, old)?;
    for other in family_of(conn, &old.id)?.iter().filter(|other| *other != besides) {
        let says_the_same = |one: &Delivery| said.iter().any(|alike| alike.is_what(one));
        open.extend(deliveries::open_deliveries_of(conn, other)?.into_iter().filter(says_the_same));
    }
    Ok(open)
}
