//! Operators: the people who may act, their roles, and the keyed hashes of their keys.
//!
//! Must stay true: a key itself is never here; a name that was ever used is never given to somebody else; there is always a
//! lead from the first operator on.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::dialect;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::{hash32, parse};
use super::schema::operator;
use crate::base::{OperatorName, UtcMillis};

/// Those who change who may act do so one after the other.
const OPERATORS: &str = "operators";

/// What a person is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks after deliveries.
    Desk,
    /// A desk that is also a treating professional.
    Clinician,
    /// Writes rules.
    Author,
    /// Approves what others propose.
    Approver,
    /// Says who may act, and may do all that the others may.
    Lead,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Desk, Self::Clinician, Self::Author, Self::Approver, Self::Lead];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Desk => "desk",
            Self::Clinician => "clinician",
            Self::Author => "author",
            Self::Approver => "approver",
            Self::Lead => "lead",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// A person to be added.
pub struct NewOperator {
    pub name: OperatorName,
    pub role: Role,
    /// The keyed hash of name and key.
    pub key_mac: [u8; 32],
}

/// A person as stored.
#[derive(Clone)]
pub struct OperatorRow {
    pub name: OperatorName,
    pub role: Role,
    pub key_mac: [u8; 32],
    pub key_made_at: UtcMillis,
    pub added_at: UtcMillis,
    pub added_by: String,
    /// From then on the name may do nothing.
    pub ended_at: Option<UtcMillis>,
    /// When root's word last gave them a key; it stands for good.
    pub recovered_at: Option<UtcMillis>,
}

#[derive(Queryable)]
struct Row {
    name: String,
    role: String,
    key_mac: Vec<u8>,
    key_made_at: i64,
    added_at: i64,
    added_by: String,
    ended_at: Option<i64>,
    recovered_at: Option<i64>,
}

macro_rules! columns {
    () => {
        (
            operator::name,
            operator::role,
            operator::key_mac,
            operator::key_made_at,
            operator::added_at,
            operator::added_by,
            operator::ended_at,
            operator::recovered_at,
        )
    };
}

impl TryFrom<Row> for OperatorRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            name: parse("operator.name", &row.name)?,
            role: parse("operator.role", &row.role)?,
            key_mac: hash32("operator.key_mac", &row.key_mac)?,
            key_made_at: UtcMillis(row.key_made_at),
            added_at: UtcMillis(row.added_at),
            added_by: row.added_by,
            ended_at: row.ended_at.map(UtcMillis),
            recovered_at: row.recovered_at.map(UtcMillis),
        })
    }
}

/// Everybody who ever could act, by name.
///
/// # Errors
/// [`StoreError`].
pub fn operators(conn: &mut Conn) -> Result<Vec<OperatorRow>, StoreError> {
    let rows: Vec<Row> = operator::table.order(operator::name.asc()).select(columns!()).load(conn)?;
    rows.into_iter().map(OperatorRow::try_from).collect()
}

/// # Errors
/// [`StoreError`].
pub fn operator(conn: &mut Conn, name: &OperatorName) -> Result<Option<OperatorRow>, StoreError> {
    let row: Option<Row> = operator::table.find(name.as_str()).select(columns!()).first(conn).optional()?;
    row.map(OperatorRow::try_from).transpose()
}

/// # Errors
/// [`StoreError::Duplicate`] when the name was used before, also by somebody whose time has ended;
/// [`StoreError::Moved`] when the first of all would not be a lead.
pub fn add_operator(tx: &mut Tx, new: &NewOperator, at: UtcMillis, by: &str) -> Result<(), StoreError> {
    dialect::lock_name(tx.conn(), OPERATORS)?;
    let known: i64 = operator::table.count().get_result(tx.conn())?;
    if known == 0 && new.role != Role::Lead {
        return Err(StoreError::Moved);
    }
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(operator::table)
            .values((
                operator::name.eq(new.name.as_str()),
                operator::role.eq(new.role.as_str()),
                operator::key_mac.eq(new.key_mac.to_vec()),
                operator::key_made_at.eq(at.0),
                operator::added_at.eq(at.0),
                operator::added_by.eq(by),
            ))
            .prepared()
            .execute(conn)
            .map_err(StoreError::from)
    });
    inserted.map(|_| ())
}

/// What became of a wish for another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rekeyed {
    Done,
    /// There is nobody of that name who may act.
    Nobody,
}

/// From this commit on the old key proves nothing.
///
/// # Errors
/// [`StoreError`].
pub fn rekey_operator(
    tx: &mut Tx,
    name: &OperatorName,
    key_mac: &[u8; 32],
    at: UtcMillis,
) -> Result<Rekeyed, StoreError> {
    let changed = diesel::update(operator::table.find(name.as_str()).filter(operator::ended_at.is_null()))
        .set((operator::key_mac.eq(key_mac.to_vec()), operator::key_made_at.eq(at.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(if changed == 1 { Rekeyed::Done } else { Rekeyed::Nobody })
}

/// [`rekey_operator`] of a lead, by root's word.
///
/// # Errors
/// [`StoreError`].
pub fn recover_lead(
    tx: &mut Tx,
    name: &OperatorName,
    key_mac: &[u8; 32],
    at: UtcMillis,
) -> Result<Rekeyed, StoreError> {
    let lead = operator::table
        .find(name.as_str())
        .filter(operator::ended_at.is_null())
        .filter(operator::role.eq(Role::Lead.as_str()));
    let changed = diesel::update(lead)
        .set((operator::key_mac.eq(key_mac.to_vec()), operator::key_made_at.eq(at.0), operator::recovered_at.eq(at.0)))
        .prepared()
        .execute(tx.conn())?;
    Ok(if changed == 1 { Rekeyed::Done } else { Rekeyed::Nobody })
}

/// What became of a wish that a person's time ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Done,
    Nobody,
    /// Nobody would be left who says who may act.
    LastLead,
}

/// From this commit on the name may do nothing.
///
/// # Errors
/// [`StoreError`].
pub fn end_operator(tx: &mut Tx, name: &OperatorName, at: UtcMillis, by: &str) -> Result<Ended, StoreError> {
    dialect::lock_name(tx.conn(), OPERATORS)?;
    let Some(row) = operator(tx.conn(), name)?.filter(|row| row.ended_at.is_none()) else { return Ok(Ended::Nobody) };
    if row.role == Role::Lead {
        let others: i64 = operator::table
            .filter(operator::role.eq(Role::Lead.as_str()))
            .filter(operator::ended_at.is_null())
            .filter(operator::name.ne(name.as_str()))
            .count()
            .get_result(tx.conn())?;
        if others == 0 {
            return Ok(Ended::LastLead);
        }
    }
    diesel::update(operator::table.find(name.as_str()))
        .set((operator::ended_at.eq(at.0), operator::ended_by.eq(by)))
        .prepared()
        .execute(tx.conn())?;
    Ok(Ended::Done)
}
