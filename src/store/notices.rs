//! Notices: the outbox.

pub(super) mod reported;
mod turns;

use diesel::prelude::*;

pub use turns::{LeasedNotice, lease_notices, lease_notices_within};

use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::{from_json, parse, to_json};
use super::schema::notice;
use super::write_backs;
use crate::audit::{Actor, AuditEvent};
use crate::base::{DeliveryId, LinkId, NoticeId, UtcMillis};
use crate::policy::Channel;
use crate::record::{Notice, NoticeKind, Step};

/// A message to be queued.
pub struct NewNotice {
    pub id: NoticeId,
    pub delivery: DeliveryId,
    pub link: LinkId,
    pub kind: NoticeKind,
    pub channel: Channel,
    /// What it carries, until hand-over. `None`: nothing that opens anything.
    pub secret: Option<NoticeSecret>,
}

/// A link's secret or a code.
pub struct NoticeSecret {
    /// Under the outbox key of this name.
    pub sealed: Vec<u8>,
    pub key: String,
}

/// A notice as stored.
#[derive(Clone)]
pub struct NoticeRow {
    pub id: NoticeId,
    pub delivery: DeliveryId,
    pub link: LinkId,
    pub kind: NoticeKind,
    pub channel: Channel,
    pub state: Notice,
    pub created_at: UtcMillis,
    pub first_attempt_at: Option<UtcMillis>,
    pub secret_sealed: Option<Vec<u8>>,
    pub secret_key: Option<String>,
    pub why: Option<String>,
    /// When the network said that it was there.
    pub arrived_at: Option<UtcMillis>,
}

/// # Errors
/// [`StoreError`].
pub fn insert_notice(tx: &mut Tx, new: &NewNotice, at: UtcMillis) -> Result<(), StoreError> {
    diesel::insert_into(notice::table)
        .values((
            notice::id.eq(new.id.as_str()),
            notice::delivery_id.eq(new.delivery.as_str()),
            notice::link_id.eq(new.link.as_str()),
            notice::kind.eq(to_json("notice.kind", &new.kind)?),
            notice::channel.eq(to_json("notice.channel", &new.channel)?),
            notice::state.eq("queued"),
            notice::due_at.eq(at.0),
            notice::attempts.eq(0),
            notice::ambiguous.eq(0),
            notice::created_at.eq(at.0),
            notice::secret_sealed.eq(new.secret.as_ref().map(|secret| &secret.sealed)),
            notice::secret_key.eq(new.secret.as_ref().map(|secret| &secret.key)),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

#[derive(Queryable)]
struct Row {
    id: String,
    delivery_id: String,
    link_id: String,
    kind: String,
    channel: String,
    state: String,
    due_at: i64,
    lease_until: Option<i64>,
    attempts: i32,
    ambiguous: i32,
    created_at: i64,
    first_attempt_at: Option<i64>,
    secret_sealed: Option<Vec<u8>>,
    secret_key: Option<String>,
    why: Option<String>,
    arrived_at: Option<i64>,
}

macro_rules! columns {
    () => {
        (
            notice::id,
            notice::delivery_id,
            notice::link_id,
            notice::kind,
            notice::channel,
            notice::state,
            notice::due_at,
            notice::lease_until,
            notice::attempts,
            notice::ambiguous,
            notice::created_at,
            notice::first_attempt_at,
            notice::secret_sealed,
            notice::secret_key,
            notice::why,
            notice::arrived_at,
        )
    };
}
use columns;

impl TryFrom<Row> for NoticeRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let count = |column, number: i32| u32::try_from(number).map_err(|_| StoreError::BadRow { column });
        let attempts = count("notice.attempts", row.attempts)?;
        let ambiguous = count("notice.ambiguous", row.ambiguous)?;
        let state = match (row.state.as_str(), row.lease_until) {
            ("queued", _) => Notice::Queued { due: UtcMillis(row.due_at), attempts, ambiguous },
            ("leased", Some(until)) => Notice::Leased { until: UtcMillis(until), attempts, ambiguous },
            ("sent", _) => Notice::Sent,
            ("unsure", _) => Notice::Unsure,
            ("bounced", _) => Notice::Bounced,
            ("dead", _) => Notice::Dead,
            _ => return Err(StoreError::BadRow { column: "notice.state" }),
        };
        Ok(Self {
            id: parse("notice.id", &row.id)?,
            delivery: parse("notice.delivery_id", &row.delivery_id)?,
            link: parse("notice.link_id", &row.link_id)?,
            kind: from_json("notice.kind", &row.kind)?,
            channel: from_json("notice.channel", &row.channel)?,
            state,
            created_at: UtcMillis(row.created_at),
            first_attempt_at: row.first_attempt_at.map(UtcMillis),
            secret_sealed: row.secret_sealed,
            secret_key: row.secret_key,
            why: row.why,
            arrived_at: row.arrived_at.map(UtcMillis),
        })
    }
}

/// # Errors
/// [`StoreError`].
pub fn notice(conn: &mut Conn, id: &NoticeId) -> Result<Option<NoticeRow>, StoreError> {
    let row: Option<Row> = notice::table.find(id.as_str()).select(columns!()).first(conn).optional()?;
    row.map(NoticeRow::try_from).transpose()
}

/// The messages of a delivery and of the links that it shared.
///
/// # Errors
/// [`StoreError`].
pub fn notices_of(conn: &mut Conn, delivery: &DeliveryId) -> Result<Vec<NoticeRow>, StoreError> {
    // Asked for in two steps: in one, PostgreSQL would look through all messages.
    let links = deliveries::links_of(conn, delivery)?;
    let of_links = notice::link_id.eq_any(links.iter().map(LinkId::as_str));
    let rows: Vec<Row> = notice::table
        .filter(notice::delivery_id.eq(delivery.as_str()).or(of_links))
        .order(notice::created_at.asc())
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// Writes the outcome of an attempt, guarded by that very attempt; empties the secret at any end.
///
/// # Errors
/// [`StoreError::Moved`] when another worker has taken the notice since.
pub fn settle_notice(
    tx: &mut Tx,
    before: &NoticeRow,
    owner: &Delivery,
    step: &Step<Notice>,
    why: Option<&str>,
    at: UtcMillis,
) -> Result<(), StoreError> {
    tx.erased();
    deliveries::hold(tx, &before.delivery)?;
    let attempts = match before.state {
        Notice::Queued { attempts, .. } | Notice::Leased { attempts, .. } => attempts,
        Notice::Sent | Notice::Unsure | Notice::Bounced | Notice::Dead => return Err(StoreError::Moved),
    };
    let row = notice::table
        .find(before.id.as_str())
        .filter(notice::state.eq(before.state.name()))
        .filter(notice::attempts.eq(i32::try_from(attempts).unwrap_or(i32::MAX)));
    let changed = match *step.to() {
        Notice::Queued { due, ambiguous, .. } => diesel::update(row)
            .set((
                notice::state.eq("queued"),
                notice::due_at.eq(due.0),
                notice::ambiguous.eq(i32::try_from(ambiguous).unwrap_or(i32::MAX)),
                notice::lease_until.eq(None::<i64>),
                notice::why.eq(why),
            ))
            .prepared()
            .execute(tx.conn())?,
        Notice::Leased { .. } => return Err(StoreError::Moved),
        end @ (Notice::Sent | Notice::Unsure | Notice::Bounced | Notice::Dead) => diesel::update(row)
            .set((
                notice::state.eq(end.name()),
                notice::ended_at.eq(at.0),
                notice::lease_until.eq(None::<i64>),
                notice::secret_sealed.eq(None::<Vec<u8>>),
                notice::why.eq(why),
            ))
            .prepared()
            .execute(tx.conn())?,
    };
    if changed != 1 {
        return Err(StoreError::Moved);
    }
    if *step.to() == Notice::Sent && before.kind.brings_the_link() {
        write_backs::note_sent(tx, owner, &before.link, at)?;
    }
    let event = AuditEvent::NoticeStepped { notice: before.id.clone(), to: *step.to(), why: why.map(str::to_owned) };
    super::append(tx, &owner.entry(at, Actor::System, event))
}

/// Notices whose lease ran out: their worker died, and whether they were sent is unknown.
///
/// # Errors
/// [`StoreError`].
pub fn leased_notices_lost(conn: &mut Conn, now: UtcMillis, count: i64) -> Result<Vec<NoticeRow>, StoreError> {
    let rows: Vec<Row> = notice::table
        .filter(notice::state.eq("leased"))
        .filter(notice::lease_until.le(now.0))
        .limit(count)
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// Queued notices made before `made_before`: they waited too long to tell the truth.
///
/// # Errors
/// [`StoreError`].
pub fn stale_notices(conn: &mut Conn, made_before: UtcMillis, count: i64) -> Result<Vec<NoticeRow>, StoreError> {
    let rows: Vec<Row> = notice::table
        .filter(notice::state.eq("queued"))
        .filter(notice::created_at.lt(made_before.0))
        .limit(count)
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// Every notice that has not come to an end.
///
/// # Errors
/// [`StoreError`].
pub fn hold_unsent_notices(conn: &mut Conn) -> Result<Vec<NoticeRow>, StoreError> {
    let rows: Vec<Row> =
        notice::table.filter(notice::state.eq_any(["queued", "leased"])).select(columns!()).load(conn)?;
    rows.into_iter().map(NoticeRow::try_from).collect()
}

/// Ends the codes of a link whose messages nobody has begun to send: a newer one takes their place.
pub(super) fn cancel_codes(tx: &mut Tx, link: &LinkId, at: UtcMillis) -> Result<(), StoreError> {
    tx.erased();
    diesel::update(
        notice::table
            .filter(notice::link_id.eq(link.as_str()))
            .filter(notice::kind.eq(to_json("notice.kind", &NoticeKind::Code)?))
            .filter(notice::state.eq("queued")),
    )
    .set((
        notice::state.eq("dead"),
        notice::ended_at.eq(at.0),
        notice::lease_until.eq(None::<i64>),
        notice::secret_sealed.eq(None::<Vec<u8>>),
        notice::why.eq("a newer code took its place"),
    ))
    .prepared()
    .execute(tx.conn())?;
    Ok(())
}

/// Ends every unsent notice of a dead link and empties its secret.
pub(super) fn cancel_notices(tx: &mut Tx, link: &LinkId, at: UtcMillis) -> Result<(), StoreError> {
    tx.erased();
    diesel::update(
        notice::table.filter(notice::link_id.eq(link.as_str())).filter(notice::state.eq_any(["queued", "leased"])),
    )
    .set((
        notice::state.eq("dead"),
        notice::ended_at.eq(at.0),
        notice::lease_until.eq(None::<i64>),
        notice::secret_sealed.eq(None::<Vec<u8>>),
    ))
    .prepared()
    .execute(tx.conn())?;
    Ok(())
}
