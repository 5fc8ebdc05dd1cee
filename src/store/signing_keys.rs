//! The key pairs by which all replicas show EHRs who they are.
//!
//! Must stay true: of each algorithm there is at most one current and one next pair, whoever makes or changes them at once.

use diesel::prelude::*;

use super::audit_log::append;
use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::parse;
use super::schema::signing_key;
use crate::audit::{Actor, AuditEvent, Chain, Entry};
use crate::base::UtcMillis;
use crate::signing::Algorithm;

/// Where a pair stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningTurn {
    /// Published, and signs nothing yet.
    Next,
    Current {
        signs_since: UtcMillis,
    },
    /// Signs only where an EHR knows no other.
    Former {
        ends_at: UtcMillis,
    },
}

/// One pair.
pub struct SigningKeyRow {
    pub kid: String,
    pub algorithm: Algorithm,
    pub turn: SigningTurn,
    /// The public half as JSON.
    pub jwk: String,
    /// The private half.
    pub sealed: Vec<u8>,
    pub made_at: UtcMillis,
}

/// A pair that was just made.
#[derive(Clone)]
pub struct NewSigningKey {
    pub kid: String,
    pub algorithm: Algorithm,
    pub jwk: String,
    pub sealed: Vec<u8>,
}

const NEXT: &str = "next";
const CURRENT: &str = "current";
const FORMER: &str = "former";

type Row = (String, String, String, String, Vec<u8>, i64, Option<i64>, Option<i64>);

fn typed(row: Row) -> Result<SigningKeyRow, StoreError> {
    let (kid, algorithm, turn, jwk, sealed, made_at, signs_since, ends_at) = row;
    let turn = match (turn.as_str(), signs_since, ends_at) {
        (NEXT, None, None) => SigningTurn::Next,
        (CURRENT, Some(at), None) => SigningTurn::Current { signs_since: UtcMillis(at) },
        (FORMER, Some(_), Some(at)) => SigningTurn::Former { ends_at: UtcMillis(at) },
        _ => return Err(StoreError::BadRow { column: "signing_key.turn" }),
    };
    let algorithm = parse("signing_key.algorithm", &algorithm)?;
    Ok(SigningKeyRow { kid, algorithm, turn, jwk, sealed, made_at: UtcMillis(made_at) })
}

/// All pairs, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn signing_keys(conn: &mut Conn) -> Result<Vec<SigningKeyRow>, StoreError> {
    let rows: Vec<Row> = signing_key::table.order((signing_key::made_at.asc(), signing_key::kid.asc())).load(conn)?;
    rows.into_iter().map(typed).collect()
}

/// Keeps a pair as the current one where there is none, else as the next one where there is none. `false`: both were there.
///
/// # Errors
/// [`StoreError`].
pub fn add_signing_key(tx: &mut Tx, key: &NewSigningKey, at: UtcMillis, by: &Actor) -> Result<bool, StoreError> {
    let kept = insert(tx, key, CURRENT, at)? || insert(tx, key, NEXT, at)?;
    if kept {
        let event = AuditEvent::SigningKeyMade { algorithm: key.algorithm.to_string(), kid: key.kid.clone() };
        note(tx, at, by, event)?;
    }
    Ok(kept)
}

/// What one change of turns needs.
#[derive(Clone)]
pub struct TurnOver {
    pub algorithm: Algorithm,
    /// The pair that is current now, and the one that takes over.
    pub current: String,
    pub next: String,
    /// The pair that is published as the next one from now on.
    pub after: NewSigningKey,
    /// When the current one ends for good.
    pub former_ends_at: UtcMillis,
}

/// Lets the next pair take over.
///
/// # Errors
/// [`StoreError::Moved`] when somebody else changed the turns meanwhile.
pub fn turn_signing_keys(tx: &mut Tx, turn: &TurnOver, at: UtcMillis, by: &Actor) -> Result<(), StoreError> {
    let of = |kid: &str, stood: &'static str| {
        signing_key::table
            .filter(signing_key::kid.eq(kid.to_owned()))
            .filter(signing_key::algorithm.eq(turn.algorithm.as_str()))
            .filter(signing_key::turn.eq(stood))
    };
    let left = diesel::update(of(&turn.current, CURRENT))
        .set((signing_key::turn.eq(FORMER), signing_key::ends_at.eq(turn.former_ends_at.0)))
        .prepared()
        .execute(tx.conn())?;
    let came = diesel::update(of(&turn.next, NEXT))
        .set((signing_key::turn.eq(CURRENT), signing_key::signs_since.eq(at.0)))
        .prepared()
        .execute(tx.conn())?;
    if (left, came) != (1, 1) {
        return Err(StoreError::Moved);
    }
    let algorithm = turn.algorithm.to_string();
    let event = AuditEvent::SigningKeyTookOver {
        algorithm: algorithm.clone(),
        kid: turn.next.clone(),
        from: turn.current.clone(),
    };
    note(tx, at, by, event)?;
    if !insert(tx, &turn.after, NEXT, at)? {
        return Err(StoreError::Moved);
    }
    note(tx, at, by, AuditEvent::SigningKeyMade { algorithm, kid: turn.after.kid.clone() })
}

/// Removes the pairs whose time is over. Returns how many.
///
/// # Errors
/// [`StoreError`].
pub fn end_signing_keys(tx: &mut Tx, now: UtcMillis) -> Result<usize, StoreError> {
    let ended: Vec<(String, String)> =
        diesel::delete(signing_key::table.filter(signing_key::turn.eq(FORMER)).filter(signing_key::ends_at.le(now.0)))
            .returning((signing_key::algorithm, signing_key::kid))
            .prepared()
            .load(tx.conn())?;
    let count = ended.len();
    for (algorithm, kid) in ended {
        note(tx, now, &Actor::System, AuditEvent::SigningKeyEnded { algorithm, kid })?;
    }
    Ok(count)
}

/// `false` when another pair stands there.
fn insert(tx: &mut Tx, key: &NewSigningKey, turn: &'static str, at: UtcMillis) -> Result<bool, StoreError> {
    let signs_since = (turn == CURRENT).then_some(at.0);
    let inserted = tx.conn().transaction(|conn| {
        diesel::insert_into(signing_key::table)
            .values((
                signing_key::kid.eq(&key.kid),
                signing_key::algorithm.eq(key.algorithm.as_str()),
                signing_key::turn.eq(turn),
                signing_key::jwk.eq(&key.jwk),
                signing_key::key_sealed.eq(&key.sealed),
                signing_key::made_at.eq(at.0),
                signing_key::signs_since.eq(signs_since),
            ))
            .prepared()
            .execute(conn)
            .map_err(StoreError::from)
    });
    match inserted {
        Ok(_) => Ok(true),
        Err(StoreError::Duplicate) => Ok(false),
        Err(other) => Err(other),
    }
}

fn note(tx: &mut Tx, at: UtcMillis, by: &Actor, event: AuditEvent) -> Result<(), StoreError> {
    append(tx, &Entry { chain: Chain::Installation, at, clinic: None, actor: by.clone(), event })
}
