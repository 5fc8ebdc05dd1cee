//! Looking for deliveries.

use diesel::prelude::*;

use super::row::{Delivery, Row, columns};
use super::shared::sharers_of;
use crate::base::{ClinicId, DeliveryId, EhrId, LinkId, SourceId, VersionId};
use crate::record::{Addressee, Link};
use crate::store::conn::Conn;
use crate::store::contacts::ContactKey;
use crate::store::error::StoreError;
use crate::store::rows::parse;
use crate::store::schema::{delivery, former_link, link};

/// # Errors
/// [`StoreError`].
pub fn delivery(conn: &mut Conn, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let row: Option<Row> = delivery::table.find(id.as_str()).select(columns!()).first(conn).optional()?;
    row.map(Delivery::try_from).transpose()
}

/// The delivery by which `link` stands: of several that share it one that is suspended, if any; `None` when it is nobody's
/// current link.
///
/// # Errors
/// [`StoreError`].
pub fn delivery_of_link(conn: &mut Conn, link: &LinkId) -> Result<Option<Delivery>, StoreError> {
    let sharers = sharers_of(conn, link)?;
    let suspended = sharers.iter().find(|sharer| matches!(sharer.state, Link::Suspended { .. })).cloned();
    Ok(suspended.or_else(|| sharers.into_iter().next()))
}

/// The delivery in whose chain the message and the openings of a link are told of, whatever link it has by now.
///
/// # Errors
/// [`StoreError`].
pub fn owner_of_link(conn: &mut Conn, id: &LinkId) -> Result<Option<Delivery>, StoreError> {
    let row: Option<Row> = delivery::table
        .inner_join(link::table.on(link::delivery_id.eq(delivery::id)))
        .filter(link::id.eq(id.as_str()))
        .select(columns!())
        .first(conn)
        .optional()?;
    row.map(Delivery::try_from).transpose()
}

/// The links that a delivery had and has.
///
/// # Errors
/// [`StoreError`].
pub fn links_of(conn: &mut Conn, id: &DeliveryId) -> Result<Vec<LinkId>, StoreError> {
    let mut links: Vec<String> =
        former_link::table.filter(former_link::delivery_id.eq(id.as_str())).select(former_link::link_id).load(conn)?;
    let current: Option<Option<String>> =
        delivery::table.find(id.as_str()).select(delivery::link_id).first(conn).optional()?;
    links.extend(current.flatten());
    links.iter().map(|link| parse("delivery.link_id", link)).collect()
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

/// All deliveries that have not ended and go, or went, to this address; oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn open_deliveries_to(conn: &mut Conn, key: &ContactKey) -> Result<Vec<Delivery>, StoreError> {
    let of_patient =
        delivery::patient_index.eq(key.whose.to_vec()).and(delivery::addressee_index.eq(Addressee::Patient.to_bytes()));
    let rows: Vec<Row> = delivery::table
        .filter(of_patient.or(delivery::addressee_index.eq(key.whose.to_vec())))
        .filter(delivery::contact_index.eq(key.address.to_vec()))
        .filter(delivery::clinic.eq(key.clinic.as_str()))
        .filter(delivery::state.eq_any(["recorded", "held", "review", "live", "suspended"]))
        .order((delivery::created_at.asc(), delivery::id.asc()))
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

/// The newest delivery of a resource whose place no other took.
///
/// # Errors
/// [`StoreError`].
pub fn standing_delivery_of(conn: &mut Conn, source: &SourceId) -> Result<Option<Delivery>, StoreError> {
    let row: Option<Row> = delivery::table
        .filter(delivery::source_id.eq(source.as_str()))
        .filter(delivery::state.ne("superseded"))
        .order((delivery::created_at.desc(), delivery::issue_no.desc()))
        .select(columns!())
        .first(conn)
        .optional()?;
    row.map(Delivery::try_from).transpose()
}

/// The newest delivery of a resource that says this, whatever became of it.
///
/// # Errors
/// [`StoreError`].
pub fn latest_delivery_with(
    conn: &mut Conn,
    source: &SourceId,
    content_hash: &[u8; 32],
) -> Result<Option<Delivery>, StoreError> {
    let row: Option<Row> = delivery::table
        .filter(delivery::source_id.eq(source.as_str()))
        .filter(delivery::content_hash.eq(content_hash.to_vec()))
        .order((delivery::created_at.desc(), delivery::issue_no.desc()))
        .select(columns!())
        .first(conn)
        .optional()?;
    row.map(Delivery::try_from).transpose()
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

/// Those with these ids, in that order.
pub(in crate::store) fn by_ids(conn: &mut Conn, ids: &[String]) -> Result<Vec<Delivery>, StoreError> {
    let mut found = Vec::new();
    for id in ids {
        found.extend(super::delivery(conn, &parse("delivery.id", id)?)?);
    }
    Ok(found)
}
