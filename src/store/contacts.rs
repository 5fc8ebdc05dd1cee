//! What was recorded of patients' addresses: confirmed, bounced, disputed.
//!
//! Must stay true: one clinic's word about one address of one patient, or of one other who gets reports, each named by a keyed index alone; a change and its line
//! in the audit are one transaction; staff change what they saw, and nothing else.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::audit_log;
use super::conn::{Conn, Tx};
use super::deliveries::{self, Delivery};
use super::error::StoreError;
use super::opt_outs;
use super::prepared::Prepare as _;
use super::rows::{hash32, parse, parse_opt};
use super::schema::{contact, delivery};
use crate::audit::{Actor, AuditEvent};
use crate::base::{ClinicId, DeliveryId, OperatorName, UtcMillis};
use crate::record::{Addressee, ContactStanding, ContactState};

/// One address of one patient, or of somebody else who gets reports, at one clinic.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactKey {
    pub clinic: ClinicId,
    pub whose: [u8; 32],
    pub address: [u8; 32],
}

impl ContactKey {
    /// The address to which a delivery goes; `None` where it has none, or it is past its retention.
    #[must_use]
    pub fn of(delivery: &Delivery) -> Option<Self> {
        let whose = whose(delivery.addressee, delivery.patient_index)?;
        Some(Self { clinic: delivery.clinic.clone()?, whose, address: delivery.contact_index? })
    }

    /// The key of the table.
    fn id(&self) -> (Vec<u8>, Vec<u8>, String) {
        (self.whose.to_vec(), self.address.to_vec(), self.clinic.to_string())
    }
}

/// Whose address it is to which a delivery goes.
#[must_use]
pub const fn whose(addressee: Addressee, patient: Option<[u8; 32]>) -> Option<[u8; 32]> {
    match addressee {
        Addressee::Patient => patient,
        Addressee::Further(index) => Some(index),
    }
}

/// An address of which something is recorded.
#[derive(Clone)]
pub struct ContactRow {
    pub key: ContactKey,
    pub standing: ContactStanding,
    /// `None`: the mail relay or the text gateway said so, or whoever has the number.
    pub set_by: Option<OperatorName>,
    /// The delivery through which it was recorded.
    pub delivery: DeliveryId,
}

/// What somebody recorded of an address; `None`: nothing.
///
/// # Errors
/// [`StoreError`].
pub fn contact(conn: &mut Conn, key: &ContactKey) -> Result<Option<ContactRow>, StoreError> {
    let row: Option<Row> = contact::table.find(key.id()).first(conn).optional()?;
    row.as_ref().map(typed).transpose()
}

/// What is known of an address; `None`: nothing. That whoever has a number wants no more texts comes before what anybody recorded.
///
/// # Errors
/// [`StoreError`].
pub fn contact_standing(conn: &mut Conn, key: &ContactKey) -> Result<Option<ContactStanding>, StoreError> {
    match opt_outs::opted_out(conn, &key.address)? {
        Some(since) => Ok(Some(ContactStanding { state: ContactState::OptedOut, since })),
        None => Ok(contact(conn, key)?.map(|row| row.standing)),
    }
}

/// Those of which something is recorded, or this; what was recorded last comes first.
///
/// # Errors
/// [`StoreError`].
pub fn contacts(conn: &mut Conn, state: Option<ContactState>, count: i64) -> Result<Vec<ContactRow>, StoreError> {
    let mut query = contact::table.into_boxed();
    if let Some(state) = state {
        query = query.filter(contact::state.eq(state.as_str()));
    }
    let rows: Vec<Row> = query.order((contact::state_at.desc(), contact::delivery_id.asc())).limit(count).load(conn)?;
    let mut found = rows.iter().map(typed).collect::<Result<Vec<_>, _>>()?;
    if state.is_none_or(|state| state == ContactState::OptedOut) {
        for (number, since) in opt_outs::opt_outs(conn, count)? {
            found.extend(opted_out_row(conn, number, since)?);
        }
        found.sort_by_key(|row| std::cmp::Reverse(row.standing.since));
        found.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }
    Ok(found)
}

/// An opt-out, with the newest delivery to its number; `None` where no delivery is known.
fn opted_out_row(conn: &mut Conn, number: [u8; 32], since: UtcMillis) -> Result<Option<ContactRow>, StoreError> {
    let newest = opt_outs::deliveries_to_number(conn, &number, 1)?.into_iter().next();
    Ok(newest.and_then(|delivery| {
        let key = ContactKey::of(&delivery)?;
        let standing = ContactStanding { state: ContactState::OptedOut, since };
        Some(ContactRow { key, standing, set_by: None, delivery: delivery.id })
    }))
}

/// A mail relay said that a mailbox to which this delivery's message went does not exist, or a text gateway that a number takes no
/// texts. Whatever was recorded before counts no more.
///
/// # Errors
/// [`StoreError`].
pub fn note_bounce(tx: &mut Tx, delivery: &Delivery, key: &ContactKey, at: UtcMillis) -> Result<(), StoreError> {
    let before = contact(tx.conn(), key)?.map(|row| row.standing);
    put(tx, &New { key, state: ContactState::Bounced, at, by: None, delivery: &delivery.id })?;
    note(tx, delivery, before, Some(ContactState::Bounced), None, Actor::System, at)
}

/// All deliveries that have not ended and go, or went, to this address, and this one: held at once with whatever shares their links,
/// in everybody's order, so that a step of one of them meets nobody half-way.
///
/// # Errors
/// [`StoreError`].
pub fn hold_open_deliveries_to(
    tx: &mut Tx,
    delivery: &Delivery,
    key: &ContactKey,
) -> Result<Vec<Delivery>, StoreError> {
    let open = deliveries::open_deliveries_to(tx.conn(), key)?;
    let mut ids = BTreeSet::from([delivery.id.clone()]);
    for one in std::iter::once(delivery).chain(&open) {
        ids.insert(one.id.clone());
        if let Some(link) = &one.link {
            ids.extend(deliveries::sharers_of(tx.conn(), link)?.into_iter().map(|sharer| sharer.id));
        }
    }
    deliveries::hold_deliveries(tx, ids.iter())?;
    Ok(open)
}

/// Whoever got a message says that it was not for them. Returns whether the address was not disputed before.
///
/// # Errors
/// [`StoreError`].
pub fn dispute_contact(
    tx: &mut Tx,
    delivery: &Delivery,
    key: &ContactKey,
    by: Actor,
    at: UtcMillis,
) -> Result<bool, StoreError> {
    let before = contact(tx.conn(), key)?.map(|row| row.standing);
    if before.is_some_and(|standing| standing.state == ContactState::Disputed) {
        return Ok(false);
    }
    put(tx, &New { key, state: ContactState::Disputed, at, by: None, delivery: &delivery.id })?;
    note(tx, delivery, before, Some(ContactState::Disputed), None, by, at)?;
    Ok(true)
}

/// What staff say of the address of a delivery, having seen what was recorded; `None` as the new state: nothing is.
pub struct ContactSaid {
    pub seen: Option<ContactStanding>,
    pub state: Option<ContactState>,
    pub reason: Option<String>,
    pub by: OperatorName,
}

/// # Errors
/// [`StoreError::Moved`] when something else is recorded by now.
pub fn say_of_contact(tx: &mut Tx, delivery: &Delivery, said: ContactSaid, at: UtcMillis) -> Result<(), StoreError> {
    let key = ContactKey::of(delivery).ok_or(StoreError::Moved)?;
    let changed = match (said.seen, said.state) {
        (seen, Some(state)) => {
            let new = New { key: &key, state, at, by: Some(&said.by), delivery: &delivery.id };
            match seen {
                Some(_) => update(tx, &new, seen)?,
                None => match insert(tx, &new) {
                    Err(StoreError::Duplicate) => 0,
                    other => other.map(|()| 1)?,
                },
            }
        }
        (Some(seen), None) => {
            let as_seen = contact::state.eq(seen.state.as_str()).and(contact::state_at.eq(seen.since.0));
            diesel::delete(contact::table.find(key.id()).filter(as_seen)).prepared().execute(tx.conn())?
        }
        (None, None) => return Ok(()),
    };
    if changed == 0 {
        return Err(StoreError::Moved);
    }
    note(tx, delivery, said.seen, said.state, said.reason, Actor::Operator(said.by), at)
}

/// Retention: what was recorded before `before` of people of whom no delivery holds a contact any more.
///
/// # Errors
/// [`StoreError`].
pub fn forget_contacts(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    use diesel::dsl::{exists, not};
    tx.erased();
    let held = || delivery::table.filter(delivery::card_sealed.is_not_null());
    let as_patients = held().filter(delivery::patient_index.eq(contact::patient_index.nullable()));
    let as_others = held().filter(delivery::addressee_index.eq(contact::patient_index));
    let old = contact::table
        .filter(contact::state_at.lt(before.0))
        .filter(not(exists(as_patients)))
        .filter(not(exists(as_others)));
    Ok(diesel::delete(old).prepared().execute(tx.conn())? as u64)
}

struct New<'a> {
    key: &'a ContactKey,
    state: ContactState,
    at: UtcMillis,
    by: Option<&'a OperatorName>,
    delivery: &'a DeliveryId,
}

/// Whatever stands there.
fn put(tx: &mut Tx, new: &New<'_>) -> Result<(), StoreError> {
    if update(tx, new, None)? > 0 {
        return Ok(());
    }
    match insert(tx, new) {
        // Somebody recorded something meanwhile.
        Err(StoreError::Duplicate) => update(tx, new, None).map(drop),
        other => other,
    }
}

fn insert(tx: &mut Tx, new: &New<'_>) -> Result<(), StoreError> {
    tx.conn().transaction(|conn| {
        diesel::insert_into(contact::table)
            .values((
                contact::clinic.eq(new.key.clinic.as_str()),
                contact::patient_index.eq(new.key.whose.to_vec()),
                contact::contact_index.eq(new.key.address.to_vec()),
                contact::state.eq(new.state.as_str()),
                contact::state_at.eq(new.at.0),
                contact::set_by.eq(new.by.map(OperatorName::as_str)),
                contact::delivery_id.eq(new.delivery.as_str()),
            ))
            .prepared()
            .execute(conn)
            .map(drop)
            .map_err(StoreError::from)
    })
}

/// `seen`: only what says so still.
fn update(tx: &mut Tx, new: &New<'_>, seen: Option<ContactStanding>) -> Result<usize, StoreError> {
    let change = (
        contact::state.eq(new.state.as_str()),
        contact::state_at.eq(new.at.0),
        contact::set_by.eq(new.by.map(OperatorName::as_str)),
        contact::delivery_id.eq(new.delivery.as_str()),
    );
    let row = contact::table.find(new.key.id());
    Ok(match seen {
        Some(seen) => {
            let as_seen = contact::state.eq(seen.state.as_str()).and(contact::state_at.eq(seen.since.0));
            diesel::update(row.filter(as_seen)).set(change).prepared().execute(tx.conn())?
        }
        None => diesel::update(row).set(change).prepared().execute(tx.conn())?,
    })
}

fn note(
    tx: &mut Tx,
    delivery: &Delivery,
    before: Option<ContactStanding>,
    state: Option<ContactState>,
    reason: Option<String>,
    actor: Actor,
    at: UtcMillis,
) -> Result<(), StoreError> {
    let before = before.map(|standing| standing.state);
    let event = match state {
        Some(state) => AuditEvent::ContactSet { before, state, reason },
        None => AuditEvent::ContactCleared { before, reason },
    };
    audit_log::append(tx, &delivery.entry(at, actor, event))
}

#[derive(Queryable)]
struct Row {
    clinic: String,
    patient_index: Vec<u8>,
    contact_index: Vec<u8>,
    state: String,
    state_at: i64,
    set_by: Option<String>,
    delivery_id: String,
}

fn typed(row: &Row) -> Result<ContactRow, StoreError> {
    Ok(ContactRow {
        key: ContactKey {
            clinic: parse("contact.clinic", &row.clinic)?,
            whose: hash32("contact.patient_index", &row.patient_index)?,
            address: hash32("contact.contact_index", &row.contact_index)?,
        },
        standing: ContactStanding { state: parse("contact.state", &row.state)?, since: UtcMillis(row.state_at) },
        set_by: parse_opt("contact.set_by", row.set_by.as_deref())?,
        delivery: parse("contact.delivery_id", &row.delivery_id)?,
    })
}
