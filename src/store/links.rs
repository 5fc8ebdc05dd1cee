//! Links: key material, life and files. At a link's death everything that can open it is emptied.

use std::time::Duration;

use diesel::prelude::*;

use super::challenges::{self, NewChallenge};
use super::conn::{Conn, Tx};
use super::deliveries;
use super::dialect;
use super::error::StoreError;
use super::health_links::{self, NewHealthLink};
use super::prepared::Prepare as _;
use super::reminders;
use super::rows::{from_json, hash32, parse, signed, to_json, unsigned};
use super::schema::{link, reminder, sealed_file};
use crate::base::{DeliveryId, LinkId, MediaType, Reference, UtcMillis, VersionId};
use crate::policy::OpeningTerms;

/// A link to be kept with its files.
pub struct NewLink {
    pub id: LinkId,
    pub delivery: DeliveryId,
    pub report_version: VersionId,
    pub life_seconds: u64,
    pub opens_max: u16,
    /// The server's half of the key, under the epoch key named `epoch`.
    pub share_wrapped: Vec<u8>,
    pub epoch: String,
    pub auth_sealed: Vec<u8>,
    pub receipt_sealed: Vec<u8>,
    pub files: Vec<NewFile>,
    /// Other deliveries that share it.
    pub companions: Vec<DeliveryId>,
    /// What is asked before it opens.
    pub challenge: Option<NewChallenge>,
    /// Its secret under the same epoch key, where the rules keep it for a reminder until somebody opens it.
    pub secret_kept_sealed: Option<Vec<u8>>,
    pub opening: OpeningTerms,
    /// What the documents are called and what staff say of them.
    pub contents: Option<NewFile>,
    /// What it offers to a health app, and the sealed file that says so to whoever opens it.
    pub health_link: Option<(NewHealthLink, NewFile)>,
}

pub struct NewFile {
    pub number: u16,
    /// Whose file it is.
    pub delivery: DeliveryId,
    pub report_version: VersionId,
    pub blob: String,
    pub media: MediaType,
    pub plain_bytes: u64,
    pub sealed_bytes: u64,
    /// The keyed hash of what was sealed.
    pub plain_index: [u8; 32],
}

/// A link as stored.
#[derive(Clone)]
pub struct LinkRow {
    pub id: LinkId,
    pub delivery: DeliveryId,
    pub reference: Reference,
    pub report_version: VersionId,
    pub created_at: UtcMillis,
    pub life_seconds: u64,
    /// `None` until the first attempt to hand it over.
    pub expires_at: Option<UtcMillis>,
    pub opens_max: u16,
    pub opened: u16,
    pub share_wrapped: Option<Vec<u8>>,
    pub epoch: String,
    pub auth_sealed: Option<Vec<u8>>,
    pub receipt_sealed: Option<Vec<u8>>,
    pub shredded_at: Option<UtcMillis>,
    pub opening: OpeningTerms,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    pub number: u16,
    pub report_version: VersionId,
    pub blob: String,
    pub media: MediaType,
    pub plain_bytes: u64,
    pub sealed_bytes: u64,
}

/// Keeps a link and its files and makes it the delivery's current one.
///
/// # Errors
/// [`StoreError`].
pub fn insert_link(tx: &mut Tx, new: &NewLink, at: UtcMillis) -> Result<(), StoreError> {
    deliveries::hold(tx, &new.delivery)?;
    diesel::insert_into(link::table)
        .values((
            link::id.eq(new.id.as_str()),
            link::delivery_id.eq(new.delivery.as_str()),
            link::reference.eq(Reference::of(&new.id).as_str()),
            link::report_version.eq(new.report_version.as_str()),
            link::created_at.eq(at.0),
            link::life_seconds.eq(signed("link.life_seconds", new.life_seconds)?),
            link::opens_max.eq(i32::from(new.opens_max)),
            link::share_wrapped.eq(&new.share_wrapped),
            link::epoch.eq(&new.epoch),
            link::auth_sealed.eq(&new.auth_sealed),
            link::receipt_sealed.eq(&new.receipt_sealed),
            link::view_seconds.eq(i32::try_from(new.opening.view.as_secs()).unwrap_or(i32::MAX)),
            link::download.eq(to_json("link.download", &new.opening.download)?),
            link::notify.eq(to_json("link.notify", &new.opening.notify)?),
        ))
        .prepared()
        .execute(tx.conn())?;
    for file in new.files.iter().chain(&new.contents).chain(new.health_link.iter().map(|(_, card)| card)) {
        diesel::insert_into(sealed_file::table)
            .values((
                sealed_file::link_id.eq(new.id.as_str()),
                sealed_file::number.eq(i32::from(file.number)),
                sealed_file::blob.eq(&file.blob),
                sealed_file::media.eq(file.media.as_str()),
                sealed_file::plain_bytes.eq(signed("sealed_file.plain_bytes", file.plain_bytes)?),
                sealed_file::sealed_bytes.eq(signed("sealed_file.sealed_bytes", file.sealed_bytes)?),
                sealed_file::plain_index.eq(file.plain_index.to_vec()),
                sealed_file::delivery_id.eq(file.delivery.as_str()),
                sealed_file::report_version.eq(file.report_version.as_str()),
            ))
            .prepared()
            .execute(tx.conn())?;
    }
    if let Some(challenge) = &new.challenge {
        challenges::insert_challenge(tx, &new.id, challenge)?;
    }
    reminders::insert_reminder(tx, &new.id, new.secret_kept_sealed.as_deref())?;
    if let Some((health_link, _)) = &new.health_link {
        health_links::insert_health_link(tx, &new.id, health_link)?;
    }
    for sharer in std::iter::once(&new.delivery).chain(&new.companions) {
        deliveries::attach_link(tx, sharer, &new.id)?;
    }
    Ok(())
}

#[derive(Queryable)]
struct Row {
    id: String,
    delivery_id: String,
    reference: String,
    report_version: String,
    created_at: i64,
    life_seconds: i64,
    expires_at: Option<i64>,
    opens_max: i32,
    opened: i32,
    share_wrapped: Option<Vec<u8>>,
    epoch: String,
    auth_sealed: Option<Vec<u8>>,
    receipt_sealed: Option<Vec<u8>>,
    shredded_at: Option<i64>,
    view_seconds: i32,
    download: String,
    notify: String,
}

macro_rules! columns {
    () => {
        (
            link::id,
            link::delivery_id,
            link::reference,
            link::report_version,
            link::created_at,
            link::life_seconds,
            link::expires_at,
            link::opens_max,
            link::opened,
            link::share_wrapped,
            link::epoch,
            link::auth_sealed,
            link::receipt_sealed,
            link::shredded_at,
            link::view_seconds,
            link::download,
            link::notify,
        )
    };
}

impl TryFrom<Row> for LinkRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: parse("link.id", &row.id)?,
            delivery: parse("link.delivery_id", &row.delivery_id)?,
            reference: parse("link.reference", &row.reference)?,
            report_version: parse("link.report_version", &row.report_version)?,
            created_at: UtcMillis(row.created_at),
            life_seconds: unsigned("link.life_seconds", row.life_seconds)?,
            expires_at: row.expires_at.map(UtcMillis),
            opens_max: unsigned("link.opens_max", row.opens_max.into())?,
            opened: unsigned("link.opened", row.opened.into())?,
            share_wrapped: row.share_wrapped,
            epoch: row.epoch,
            auth_sealed: row.auth_sealed,
            receipt_sealed: row.receipt_sealed,
            shredded_at: row.shredded_at.map(UtcMillis),
            opening: OpeningTerms {
                view: Duration::from_secs(unsigned("link.view_seconds", row.view_seconds.into())?),
                download: from_json("link.download", &row.download)?,
                notify: from_json("link.notify", &row.notify)?,
            },
        })
    }
}

/// How long one opening of a link lasts.
pub(super) fn view_of(conn: &mut Conn, id: &LinkId) -> Result<Duration, StoreError> {
    let seconds: Option<i32> = link::table.find(id.as_str()).select(link::view_seconds).first(conn).optional()?;
    Ok(Duration::from_secs(unsigned("link.view_seconds", seconds.unwrap_or(0).into())?))
}

/// # Errors
/// [`StoreError`].
pub fn link(conn: &mut Conn, id: &LinkId) -> Result<Option<LinkRow>, StoreError> {
    let row: Option<Row> = link::table.find(id.as_str()).select(columns!()).first(conn).optional()?;
    row.map(LinkRow::try_from).transpose()
}

/// The links a patient's reference may mean: nearly always one.
///
/// # Errors
/// [`StoreError`].
pub fn link_by_reference(conn: &mut Conn, reference: &Reference) -> Result<Vec<LinkRow>, StoreError> {
    let rows: Vec<Row> =
        link::table.filter(link::reference.eq(reference.as_str())).select(columns!()).limit(10).load(conn)?;
    rows.into_iter().map(LinkRow::try_from).collect()
}

/// How often the links that a delivery had and has were opened.
///
/// # Errors
/// [`StoreError`].
pub fn opened_of(conn: &mut Conn, id: &DeliveryId) -> Result<u64, StoreError> {
    let links = deliveries::links_of(conn, id)?;
    let opened: Vec<i32> =
        link::table.filter(link::id.eq_any(links.iter().map(LinkId::as_str))).select(link::opened).load(conn)?;
    opened.into_iter().try_fold(0, |sum, count| Ok(sum + unsigned::<u64>("link.opened", count.into())?))
}

/// # Errors
/// [`StoreError`].
pub fn files_of(conn: &mut Conn, id: &LinkId) -> Result<Vec<FileRow>, StoreError> {
    type Row = (i32, Option<String>, String, String, String, i64, i64);
    let rows: Vec<Row> = sealed_file::table
        .inner_join(link::table.on(link::id.eq(sealed_file::link_id)))
        .filter(sealed_file::link_id.eq(id.as_str()))
        .order(sealed_file::number.asc())
        .select((
            sealed_file::number,
            sealed_file::report_version,
            link::report_version,
            sealed_file::blob,
            sealed_file::media,
            sealed_file::plain_bytes,
            sealed_file::sealed_bytes,
        ))
        .load(conn)?;
    rows.into_iter()
        .map(|(number, version, of_link, blob, media, plain, sealed)| {
            Ok(FileRow {
                number: unsigned("sealed_file.number", number.into())?,
                report_version: parse("sealed_file.report_version", version.as_ref().unwrap_or(&of_link))?,
                blob,
                media: parse("sealed_file.media", &media)?,
                plain_bytes: unsigned("sealed_file.plain_bytes", plain)?,
                sealed_bytes: unsigned("sealed_file.sealed_bytes", sealed)?,
            })
        })
        .collect()
}

/// The keyed hashes of a delivery's documents, in their order, in a link that was made at `since` or later; none where that is
/// not known any more.
///
/// # Errors
/// [`StoreError`].
pub fn sealed_since(
    conn: &mut Conn,
    id: &LinkId,
    delivery: &DeliveryId,
    since: UtcMillis,
) -> Result<Vec<[u8; 32]>, StoreError> {
    let found: Vec<(String, Option<Vec<u8>>)> = sealed_file::table
        .inner_join(link::table.on(link::id.eq(sealed_file::link_id)))
        .filter(link::id.eq(id.as_str()))
        .filter(sealed_file::delivery_id.is_null().or(sealed_file::delivery_id.eq(delivery.as_str())))
        .filter(link::created_at.ge(since.0))
        .order(sealed_file::number.asc())
        .select((sealed_file::media, sealed_file::plain_index))
        .load(conn)?;
    let mut indexes = Vec::new();
    for (media, index) in found {
        let Some(index) = index else { return Ok(Vec::new()) };
        let media: MediaType = parse("sealed_file.media", &media)?;
        if media.is_document() {
            indexes.push(hash32("sealed_file.plain_index", &index)?);
        }
    }
    Ok(indexes)
}

/// Holds the deliveries that share `id`: see `audit_log::hold`. An unknown link has nothing to hold.
pub(super) fn hold(tx: &mut Tx, id: &LinkId) -> Result<(), StoreError> {
    if !dialect::has_many_writers(tx.conn()) {
        return Ok(());
    }
    let owner: Option<String> = link::table.find(id.as_str()).select(link::delivery_id).first(tx.conn()).optional()?;
    match owner {
        Some(owner) => deliveries::hold_link(tx, id, &parse("link.delivery_id", &owner)?),
        None => Ok(()),
    }
}

/// Empties everything of a link that can open anything. Idempotent.
///
/// # Errors
/// [`StoreError`].
pub fn shred_link(tx: &mut Tx, id: &LinkId, at: UtcMillis) -> Result<(), StoreError> {
    hold(tx, id)?;
    diesel::update(link::table.find(id.as_str()).filter(link::shredded_at.is_null()))
        .set((
            link::share_wrapped.eq(None::<Vec<u8>>),
            link::receipt_sealed.eq(None::<Vec<u8>>),
            link::ended_at.eq(at.0),
            link::shredded_at.eq(at.0),
        ))
        .prepared()
        .execute(tx.conn())?;
    reminders::end_reminder(tx, id)?;
    health_links::end_health_link(tx, id)?;
    challenges::forget_answers(tx, id)
}

/// Fixes the end of a link's life; refuses to move it.
///
/// # Errors
/// [`StoreError::Moved`] when it is fixed already.
pub(super) fn fix_expiry(tx: &mut Tx, id: &LinkId, expires_at: UtcMillis) -> Result<(), StoreError> {
    let changed = diesel::update(link::table.find(id.as_str()).filter(link::expires_at.is_null()))
        .set(link::expires_at.eq(expires_at.0))
        .prepared()
        .execute(tx.conn())?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Moved) }
}

/// Links whose life ended by `now` and that are not shredded yet.
///
/// # Errors
/// [`StoreError`].
pub fn links_due_to_expire(conn: &mut Conn, now: UtcMillis, count: i64) -> Result<Vec<LinkId>, StoreError> {
    let rows: Vec<String> = link::table
        .filter(link::expires_at.le(now.0))
        .filter(link::shredded_at.is_null())
        .order(link::expires_at.asc())
        .limit(count)
        .select(link::id)
        .load(conn)?;
    rows.iter().map(|id| parse("link.id", id)).collect()
}

/// Shredded links whose sealed files still lie in the blob store, with those files.
///
/// # Errors
/// [`StoreError`].
pub fn dead_links_with_files(
    conn: &mut Conn,
    count: i64,
) -> Result<Vec<(LinkId, DeliveryId, Vec<String>)>, StoreError> {
    let rows: Vec<(String, String)> = link::table
        .filter(link::shredded_at.is_not_null())
        .filter(link::files_removed_at.is_null())
        .limit(count)
        .select((link::id, link::delivery_id))
        .load(conn)?;
    rows.iter()
        .map(|(id, delivery)| {
            let mut blobs: Vec<String> =
                sealed_file::table.filter(sealed_file::link_id.eq(id)).select(sealed_file::blob).load(conn)?;
            blobs.extend(health_links::health_file_of(conn, id)?);
            Ok((parse("link.id", id)?, parse("link.delivery_id", delivery)?, blobs))
        })
        .collect()
}

/// # Errors
/// [`StoreError`].
pub fn files_removed(tx: &mut Tx, id: &LinkId, at: UtcMillis) -> Result<(), StoreError> {
    health_links::forget_health_link(tx, id)?;
    diesel::update(link::table.find(id.as_str())).set(link::files_removed_at.eq(at.0)).prepared().execute(tx.conn())?;
    Ok(())
}

/// Which of `blobs` belong to a link that is kept: all others are orphans of a release that died half-way.
///
/// # Errors
/// [`StoreError`].
pub fn known_blobs(conn: &mut Conn, blobs: &[String]) -> Result<Vec<String>, StoreError> {
    let mut known = health_links::known_health_files(conn, blobs)?;
    known.extend(
        sealed_file::table
            .filter(sealed_file::blob.eq_any(blobs.to_vec()))
            .select(sealed_file::blob)
            .load::<String>(conn)?,
    );
    Ok(known)
}

/// The epoch keys that a link still needs.
///
/// # Errors
/// [`StoreError`].
pub fn epochs_in_use(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    Ok(link::table.filter(link::shredded_at.is_null()).select(link::epoch).distinct().load(conn)?)
}

/// The deliveries whose living links need one of these epoch keys.
///
/// # Errors
/// [`StoreError`].
pub fn deliveries_under(conn: &mut Conn, epochs: &[String]) -> Result<Vec<DeliveryId>, StoreError> {
    let rows: Vec<String> = link::table
        .filter(link::shredded_at.is_null())
        .filter(link::epoch.eq_any(epochs.to_vec()))
        .select(link::delivery_id)
        .load(conn)?;
    rows.iter().map(|id| parse("link.delivery_id", id)).collect()
}

/// A link that can still open something, and whether all its openings were given out.
pub struct LivingLink {
    pub id: LinkId,
    pub given_out: bool,
}

/// Every link that can still open something, to be compared with what is remembered outside the database: no more of
/// each than that takes, since there may be a million.
///
/// # Errors
/// [`StoreError`].
pub fn living_links(conn: &mut Conn) -> Result<Vec<LivingLink>, StoreError> {
    let rows: Vec<(String, i32, i32)> =
        link::table.filter(link::shredded_at.is_null()).select((link::id, link::opened, link::opens_max)).load(conn)?;
    rows.into_iter()
        .map(|(id, opened, opens_max)| Ok(LivingLink { id: parse("link.id", &id)?, given_out: opened >= opens_max }))
        .collect()
}

/// Every link that can still open something, whole.
///
/// # Errors
/// [`StoreError`].
pub fn live_links(conn: &mut Conn) -> Result<Vec<LinkRow>, StoreError> {
    let rows: Vec<Row> = link::table.filter(link::shredded_at.is_null()).select(columns!()).load(conn)?;
    rows.into_iter().map(LinkRow::try_from).collect()
}

/// Retention: removes what is left of links that ended before `before`. Their pages then answer as unknown.
///
/// # Errors
/// [`StoreError`].
pub fn forget_links_before(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    tx.erased();
    let ended =
        link::table.filter(link::ended_at.lt(before.0)).filter(link::auth_sealed.is_not_null()).select(link::id);
    diesel::delete(reminder::table.filter(reminder::link_id.eq_any(ended))).prepared().execute(tx.conn())?;
    diesel::update(sealed_file::table.filter(sealed_file::link_id.eq_any(ended)))
        .set(sealed_file::plain_index.eq(None::<Vec<u8>>))
        .prepared()
        .execute(tx.conn())?;
    let changed =
        diesel::update(link::table.filter(link::ended_at.lt(before.0)).filter(link::auth_sealed.is_not_null()))
            .set(link::auth_sealed.eq(None::<Vec<u8>>))
            .prepared()
            .execute(tx.conn())?;
    Ok(changed as u64)
}
