//! By what resources of an EHR are recognised as one document.
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
use super::rows::{hash32, parse};
use super::schema::{likeness, source, twin};
use crate::base::{ResourceKey, ResourceType, SourceId, UtcMillis, hours};
use crate::policy::{Decision, ReviewReason};
use crate::record::Link;

/// A file that comes again under another name after this time, when nothing of it is under way any more, is another document: its
/// report would be too old by then to leave by itself.
const SAME_FOR: Duration = hours(7 * 24);

/// What documents are recognised by is kept so long after they said something new: several times [`SAME_FOR`], for corrections
/// that come late under another name.
pub const MARKS_KEPT: Duration = hours(30 * 24);

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

impl Alike {
    /// Whether it is what this delivery brings.
    #[must_use]
    pub fn is_what(&self, delivery: &Delivery) -> bool {
        self.source == delivery.source && self.content_hash == delivery.content_hash
    }
}

/// Other resources that are, or were, the document with certain marks.
#[derive(Default)]
pub struct Found {
    pub same: Vec<Alike>,
    /// It, or another about it: nothing tells, since the digests of both files were never learnt.
    pub perhaps: Vec<Alike>,
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
                    .execute(tx.conn())
                    .map_err(by_somebody_else)?;
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
    typed(rows)
}

/// What `id` was ever recognised by, as far as it is still kept.
///
/// # Errors
/// [`StoreError`].
pub fn marks_ever_of(conn: &mut Conn, id: &SourceId) -> Result<Vec<Mark>, StoreError> {
    let rows: Vec<(String, Vec<u8>)> = likeness::table
        .filter(likeness::source_id.eq(id.as_str()))
        .order(likeness::mark.asc())
        .select((likeness::kind, likeness::mark))
        .load(conn)?;
    typed(rows)
}

/// The other resources that are, or were, the document with these marks.
///
/// # Errors
/// [`StoreError`].
pub fn alike(conn: &mut Conn, of: (&SourceId, ResourceType), marks: &[Mark]) -> Result<Vec<Alike>, StoreError> {
    Ok(find_alike(conn, of, marks)?.same)
}

/// Whether some other's digest is known, so that one's own would tell whether they are one document.
///
/// # Errors
/// [`StoreError`].
pub fn would_digest_tell(conn: &mut Conn, of: (&SourceId, ResourceType), marks: &[Mark]) -> Result<bool, StoreError> {
    let is_by_name = |mark: &&Mark| mark.kind != MarkKind::Address;
    let marks: Vec<Mark> = marks.iter().filter(is_by_name).cloned().collect();
    for one in find_alike(conn, of, &marks)?.perhaps {
        if marks_of(conn, &one.source, &one.content_hash)?.iter().any(|mark| mark.kind == MarkKind::Sha256) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The other resources that are, were or may be the document with these marks.
///
/// # Errors
/// [`StoreError`].
pub fn find_alike(conn: &mut Conn, (id, kind): (&SourceId, ResourceType), marks: &[Mark]) -> Result<Found, StoreError> {
    let mut found = Found::default();
    for mark in marks {
        let rows: Vec<(String, String, String, Vec<u8>, i64)> = likeness::table
            .inner_join(source::table.on(source::id.eq(likeness::source_id)))
            .filter(likeness::mark.eq(mark.mark.to_vec()))
            .filter(likeness::source_id.ne(id.as_str()))
            .order(likeness::noted_at.asc())
            .select((likeness::source_id, source::kind, likeness::kind, likeness::content_hash, likeness::noted_at))
            .load(conn)?;
        for (other, other_kind, other_mark, content, noted_at) in rows {
            let other_kind: ResourceType = parse("source.kind", &other_kind)?;
            let alike = Alike {
                source: parse("likeness.source_id", &other)?,
                content_hash: hash32("likeness.content_hash", &content)?,
                noted_at: UtcMillis(noted_at),
            };
            let bond = bond(mark.kind, MarkKind::parse(&other_mark)?);
            let list = match bond {
                Bond::None => continue,
                Bond::SameFile | Bond::SameAddress if other_kind == kind => continue,
                Bond::SameFile | Bond::SameDocument => &mut found.same,
                Bond::SameAddress | Bond::Unless => match (digests(conn, marks, &alike)?, bond) {
                    (Digests::Differ, _) => continue,
                    (Digests::NotComparable, Bond::Unless) => &mut found.perhaps,
                    (Digests::NotComparable | Digests::Same, _) => &mut found.same,
                },
            };
            if !list.iter().any(|one| one.source == alike.source && one.content_hash == alike.content_hash) {
                list.push(alike);
            }
        }
    }
    found.perhaps.retain(|one| !found.same.iter().any(|same| same.source == one.source));
    Ok(found)
}

/// Whether what comes now under another name is this document again: it was heard lately, or is still under way.
///
/// # Errors
/// [`StoreError`].
pub fn is_still_the_same(conn: &mut Conn, alike: &Alike, now: UtcMillis) -> Result<bool, StoreError> {
    let is_recent = alike.noted_at >= now.minus(SAME_FOR);
    Ok(is_recent || !deliveries::open_deliveries_of(conn, &alike.source)?.is_empty())
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
        Link::Review { .. } if other.decision.is_of_unclear_status() => false,
        Link::Recalled | Link::Revoked { .. } | Link::Superseded { .. } => false,
        Link::Recorded | Link::Held { .. } | Link::Review { .. } | Link::Blocked => {
            let is_first = (other.created_at, other.id.as_str()) < (own.created_at, own.id.as_str());
            is_first && (is_unspoken(&own.decision) || !is_unspoken(&other.decision))
        }
        Link::Live { .. } | Link::Suspended { .. } | Link::Spent | Link::Expired => true,
    }
}

fn typed(rows: Vec<(String, Vec<u8>)>) -> Result<Vec<Mark>, StoreError> {
    rows.into_iter()
        .map(|(kind, mark)| Ok(Mark { kind: MarkKind::parse(&kind)?, mark: hash32("likeness.mark", &mark)? }))
        .collect()
}

/// What one mark in common means.
#[derive(Clone, Copy)]
enum Bond {
    /// One file: of a report and a document these are two words for one thing.
    SameFile,
    /// One file, unless their digests tell that another lay there when the other was read.
    SameAddress,
    SameDocument,
    /// One document where their files are one: what belongs to a report may be it, or about it.
    Unless,
    None,
}

const fn bond(one: MarkKind, other: MarkKind) -> Bond {
    match (one, other) {
        (MarkKind::Sha256 | MarkKind::Sha1, _) => Bond::SameFile,
        (MarkKind::Address, _) => Bond::SameAddress,
        (MarkKind::Itself, MarkKind::Restates) | (MarkKind::Restates, MarkKind::Itself) => Bond::SameDocument,
        (MarkKind::Itself, MarkKind::BelongsTo) | (MarkKind::BelongsTo, MarkKind::Itself) => Bond::Unless,
        (MarkKind::Itself | MarkKind::Restates | MarkKind::BelongsTo, _) => Bond::None,
    }
}

enum Digests {
    Same,
    Differ,
    /// There are none of one kind.
    NotComparable,
}

/// The digests of a file with these marks, against those that another had when it said what it did.
fn digests(conn: &mut Conn, marks: &[Mark], other: &Alike) -> Result<Digests, StoreError> {
    let theirs = marks_of(conn, &other.source, &other.content_hash)?;
    for kind in [MarkKind::Sha256, MarkKind::Sha1] {
        let of_kind = |all: &'_ [Mark]| all.iter().filter(|mark| mark.kind == kind).cloned().collect::<Vec<_>>();
        let (own, theirs) = (of_kind(marks), of_kind(&theirs));
        if !own.is_empty() && !theirs.is_empty() {
            let is_same = own.iter().any(|mark| theirs.contains(mark));
            return Ok(if is_same { Digests::Same } else { Digests::Differ });
        }
    }
    Ok(Digests::NotComparable)
}

/// What another transaction kept at this moment is seen at the next try.
pub(super) fn by_somebody_else(error: diesel::result::Error) -> StoreError {
    let error = StoreError::from(error);
    if matches!(error, StoreError::Duplicate) { StoreError::Moved } else { error }
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
