//! Which resources of an EHR are one document, and which documents others replace.
//!
//! Must stay true: only the marks of one patient are ever equal, since the patient is part of each; whoever concludes about a
//! document holds its marks first ([`hold_documents`]), so that of two resources that are read at once the second sees the
//! first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use data_encoding::HEXLOWER;
use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::dialect;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::{from_json, hash32, parse, to_json};
use super::schema::{likeness, replacement, source, twin};
use crate::base::{FhirId, ResourceKey, ResourceType, SourceId, UtcMillis, hours};
use crate::policy::{Decision, ReviewReason};
use crate::record::Link;

/// A file that comes again under another name after this time is another document: its report would be too old by then to
/// leave by itself.
pub const SAME_FOR: Duration = hours(7 * 24);

/// So many deliveries that took each other's place are followed.
const REPLACED_IN_TURN_MAX: usize = 16;

/// What a mark is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    Sha256,
    Sha1,
    Address,
    /// The resource itself.
    Itself,
    /// The resource that it is another form of.
    Restates,
    /// The resource that it belongs to.
    BelongsTo,
}

impl MarkKind {
    const ALL: [Self; 6] = [Self::Sha256, Self::Sha1, Self::Address, Self::Itself, Self::Restates, Self::BelongsTo];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Address => "address",
            Self::Itself => "itself",
            Self::Restates => "restates",
            Self::BelongsTo => "belongs_to",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or(StoreError::BadRow { column: "likeness.kind" })
    }
}

/// A keyed hash of something by which a patient's document is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub kind: MarkKind,
    pub mark: [u8; 32],
}

/// Another resource that is the same document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alike {
    pub source: SourceId,
    /// What that resource said when it was.
    pub content_hash: [u8; 32],
    /// When it began to say that.
    pub noted_at: UtcMillis,
}

/// Holds documents by their marks, and those of `ehr` that are replaced, in an order that is everybody's, until the transaction
/// ends.
///
/// # Errors
/// [`StoreError`].
pub fn hold_documents<'a>(
    tx: &mut Tx,
    marks: &[Mark],
    replaceable: impl Iterator<Item = &'a ResourceKey>,
) -> Result<(), StoreError> {
    if !dialect::has_many_writers(tx.conn()) {
        return Ok(());
    }
    let of_marks = marks.iter().map(|mark| format!("document:{}", HEXLOWER.encode(&mark.mark)));
    let names: BTreeSet<String> = of_marks.chain(replaceable.map(|key| format!("replaced:{key}"))).collect();
    names.iter().try_for_each(|name| dialect::lock_name(tx.conn(), name))
}

/// Keeps what `id` is recognised by, for what it says now. What it was recognised by before stays with what it said then.
///
/// # Errors
/// [`StoreError`].
pub fn note_marks(
    tx: &mut Tx,
    id: &SourceId,
    marks: &[Mark],
    content_hash: &[u8; 32],
    at: UtcMillis,
) -> Result<(), StoreError> {
    let known: Vec<(Vec<u8>, Vec<u8>)> = likeness::table
        .filter(likeness::source_id.eq(id.as_str()))
        .select((likeness::mark, likeness::content_hash))
        .load(tx.conn())?;
    let known: BTreeMap<Vec<u8>, Vec<u8>> = known.into_iter().collect();
    let unique: BTreeMap<[u8; 32], MarkKind> = marks.iter().map(|mark| (mark.mark, mark.kind)).collect();
    for (mark, kind) in unique {
        match known.get(mark.as_slice()) {
            Some(content) if *content == content_hash => {}
            Some(_) => {
                diesel::update(likeness::table.find((mark.to_vec(), id.as_str())))
                    .set((likeness::content_hash.eq(content_hash.to_vec()), likeness::noted_at.eq(at.0)))
                    .prepared()
                    .execute(tx.conn())?;
            }
            None => {
                diesel::insert_into(likeness::table)
                    .values((
                        likeness::mark.eq(mark.to_vec()),
                        likeness::source_id.eq(id.as_str()),
                        likeness::kind.eq(kind.as_str()),
                        likeness::content_hash.eq(content_hash.to_vec()),
                        likeness::noted_at.eq(at.0),
                    ))
                    .prepared()
                    .execute(tx.conn())?;
            }
        }
    }
    Ok(())
}

/// What `id` is recognised by while it says this, as far as it was learnt.
///
/// # Errors
/// [`StoreError`].
pub fn marks_of(conn: &mut Conn, id: &SourceId, content_hash: &[u8; 32]) -> Result<Vec<Mark>, StoreError> {
    let rows: Vec<(String, Vec<u8>)> = likeness::table
        .filter(likeness::source_id.eq(id.as_str()))
        .filter(likeness::content_hash.eq(content_hash.to_vec()))
        .order(likeness::mark.asc())
        .select((likeness::kind, likeness::mark))
        .load(conn)?;
    rows.into_iter()
        .map(|(kind, mark)| Ok(Mark { kind: MarkKind::parse(&kind)?, mark: hash32("likeness.mark", &mark)? }))
        .collect()
}

/// The other resources that are, or were, the document with these marks.
///
/// # Errors
/// [`StoreError`].
pub fn alike(conn: &mut Conn, (id, kind): (&SourceId, ResourceType), marks: &[Mark]) -> Result<Vec<Alike>, StoreError> {
    let mut found: Vec<Alike> = Vec::new();
    for mark in marks {
        let rows: Vec<(String, String, String, Vec<u8>, i64)> = likeness::table
            .inner_join(source::table.on(source::id.eq(likeness::source_id)))
            .filter(likeness::mark.eq(mark.mark.to_vec()))
            .filter(likeness::source_id.ne(id.as_str()))
            .order(likeness::noted_at.asc())
            .select((likeness::source_id, source::kind, likeness::kind, likeness::content_hash, likeness::noted_at))
            .load(conn)?;
        for (other, other_kind, other_mark, content, noted_at) in rows {
            let other: SourceId = parse("likeness.source_id", &other)?;
            let other_kind: ResourceType = parse("source.kind", &other_kind)?;
            let is_alike = match bond(mark.kind, MarkKind::parse(&other_mark)?) {
                Bond::SameFile => other_kind != kind,
                Bond::SameDocument => true,
                Bond::Unless => !differ(conn, marks, &other)?,
                Bond::None => false,
            };
            let content_hash = hash32("likeness.content_hash", &content)?;
            let is_new = !found.iter().any(|one| one.source == other && one.content_hash == content_hash);
            if is_alike && is_new {
                found.push(Alike { source: other, content_hash, noted_at: UtcMillis(noted_at) });
            }
        }
    }
    Ok(found)
}

/// The deliveries of the same document under other names than `id`, each as what took its place by now.
///
/// # Errors
/// [`StoreError`].
pub fn deliveries_alike(conn: &mut Conn, alike: &[Alike], id: &SourceId) -> Result<Vec<Delivery>, StoreError> {
    let mut found = Vec::new();
    for one in alike {
        let mut current = deliveries::latest_delivery_with(conn, &one.source, &one.content_hash)?;
        for _ in 0..REPLACED_IN_TURN_MAX {
            let Some(Link::Superseded { by }) = current.as_ref().map(|current| &current.state) else { break };
            let by = by.clone();
            current = deliveries::delivery(conn, &by)?;
        }
        found.extend(current.filter(|current| current.source != *id));
    }
    Ok(found)
}

/// The delivery that the same document has under another name, if `own` has none to make beside it: that one left or was decided
/// first, nobody took it back, and something speaks of it where something speaks of `own`. What a person sends again is sent.
///
/// # Errors
/// [`StoreError`].
pub fn lead_elsewhere(conn: &mut Conn, alike: &[Alike], own: &Delivery) -> Result<Option<Delivery>, StoreError> {
    let before = match &own.replaces {
        Some(before) => deliveries::delivery(conn, before)?,
        None => None,
    };
    if before.is_some_and(|before| before.source == own.source && before.content_hash == own.content_hash) {
        return Ok(None);
    }
    let mut found = deliveries_alike(conn, alike, &own.source)?;
    found.retain(|other| other.mode == own.mode && comes_before(other, own));
    Ok(found.into_iter().max_by_key(|delivery| (!delivery.state.is_final(), delivery.created_at)))
}

fn comes_before(other: &Delivery, own: &Delivery) -> bool {
    let is_unspoken = |decision: &Decision| matches!(decision, Decision::Review { why: ReviewReason::NoRule, .. });
    match other.state {
        Link::Recalled | Link::Revoked { .. } | Link::Superseded { .. } => false,
        Link::Recorded | Link::Held { .. } | Link::Review { .. } | Link::Blocked => {
            let is_first = (other.created_at, other.id.as_str()) < (own.created_at, own.id.as_str());
            is_first && (is_unspoken(&own.decision) || !is_unspoken(&other.decision))
        }
        Link::Live { .. } | Link::Suspended { .. } | Link::Spent | Link::Expired => true,
    }
}

/// What one mark in common means.
enum Bond {
    /// One file: of a report and a document these are two words for one thing.
    SameFile,
    SameDocument,
    /// One document, unless their files are known to differ.
    Unless,
    None,
}

const fn bond(one: MarkKind, other: MarkKind) -> Bond {
    match (one, other) {
        (MarkKind::Sha256 | MarkKind::Sha1 | MarkKind::Address, _) => Bond::SameFile,
        (MarkKind::Itself, MarkKind::Restates) | (MarkKind::Restates, MarkKind::Itself) => Bond::SameDocument,
        (MarkKind::Itself, MarkKind::BelongsTo) | (MarkKind::BelongsTo, MarkKind::Itself) => Bond::Unless,
        (MarkKind::Itself | MarkKind::Restates | MarkKind::BelongsTo, _) => Bond::None,
    }
}

/// Whether both have a digest of one kind, and not the same.
fn differ(conn: &mut Conn, marks: &[Mark], other: &SourceId) -> Result<bool, StoreError> {
    for kind in [MarkKind::Sha256, MarkKind::Sha1] {
        let of_other: Vec<Vec<u8>> = likeness::table
            .filter(likeness::source_id.eq(other.as_str()))
            .filter(likeness::kind.eq(kind.as_str()))
            .select(likeness::mark)
            .load(conn)?;
        let own: Vec<&Mark> = marks.iter().filter(|mark| mark.kind == kind).collect();
        let is_same = own.iter().any(|mark| of_other.iter().any(|other| *other == mark.mark));
        if !own.is_empty() && !of_other.is_empty() {
            return Ok(!is_same);
        }
    }
    Ok(false)
}

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
        .execute(tx.conn())?;
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
pub fn set_replaced(
    tx: &mut Tx,
    by: &SourceId,
    ehr: &crate::base::EhrId,
    replaced: &[FhirId],
) -> Result<Vec<FhirId>, StoreError> {
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

/// Whether another document says that it replaces this one.
///
/// # Errors
/// [`StoreError`].
pub fn is_replaced(conn: &mut Conn, key: &ResourceKey) -> Result<bool, StoreError> {
    let by: Option<String> = replacement::table
        .filter(replacement::ehr.eq(key.ehr.as_str()))
        .filter(replacement::resource_id.eq(key.id.as_str()))
        .select(replacement::by_source)
        .first(conn)
        .optional()?;
    Ok(by.is_some() && key.kind == ResourceType::DocumentReference)
}

/// Retention: what documents are recognised by is needed no longer than another of the same kind may be heard.
///
/// # Errors
/// [`StoreError`].
pub fn forget_marks(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    let marks = diesel::delete(likeness::table.filter(likeness::noted_at.lt(before.0))).execute(tx.conn())?;
    let said = diesel::update(twin::table.filter(twin::noted_at.lt(before.0)).filter(twin::decision.is_not_null()))
        .set((twin::decision.eq(None::<String>), twin::trace.eq(None::<String>), twin::rules_hash.eq(None::<String>)))
        .prepared()
        .execute(tx.conn())?;
    Ok((marks + said) as u64)
}
