//! The audit lines as stored: appended, read back, anchored, pruned.

use diesel::dsl::max;
use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::dialect;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::hash32;
use super::schema::audit_line;
use crate::audit::{self, Chain, Entry, GENESIS, Line};
use crate::base::UtcMillis;

/// Lines that are read in one piece.
const LINES_AT_ONCE: i64 = 4096;

type Row = (String, i64, i64, String, Vec<u8>, Vec<u8>);

/// Holds what `chain` tells of until the transaction ends. Whoever changes the rows of a delivery (its link, openings
/// and notices too) or of a source takes this first: steps that meet then wait for each other in one order, instead
/// of each for the other.
pub(super) fn hold(conn: &mut Conn, chain: &Chain) -> Result<(), StoreError> {
    dialect::lock_name(conn, &chain.to_string())
}

/// [`hold`], unless another transaction holds it: `false` then, at once.
pub(super) fn try_hold(conn: &mut Conn, chain: &Chain) -> Result<bool, StoreError> {
    dialect::try_lock_name(conn, &chain.to_string())
}

/// Writes `entry` behind the last line of its chain, in the transaction of the change it tells of.
///
/// # Errors
/// [`StoreError`]; the change must not be kept without its line.
pub fn append(tx: &mut Tx, entry: &Entry) -> Result<(), StoreError> {
    let chain = entry.chain.to_string();
    let conn = tx.conn();
    dialect::lock_chain_for_line(conn, &chain)?;
    let last: Option<(i64, Vec<u8>)> = audit_line::table
        .filter(audit_line::chain.eq(&chain))
        .order(audit_line::seq.desc())
        .select((audit_line::seq, audit_line::hash))
        .first(conn)
        .optional()?;
    let (seq, prev) = match last {
        Some((seq, hash)) => (seq + 1, hash32("audit_line.hash", &hash)?),
        None => (1, GENESIS),
    };
    let line =
        audit::link(entry, seq, prev).map_err(|_| StoreError::Refused { why: "an audit event that is not JSON" })?;
    diesel::insert_into(audit_line::table)
        .values((
            audit_line::chain.eq(&line.chain),
            audit_line::seq.eq(line.seq),
            audit_line::at.eq(line.at.0),
            audit_line::clinic.eq(entry.clinic.as_ref().map(ToString::to_string)),
            audit_line::body.eq(&line.body),
            audit_line::prev.eq(line.prev.to_vec()),
            audit_line::hash.eq(line.hash.to_vec()),
        ))
        .prepared()
        .execute(conn)?;
    Ok(())
}

/// [`append`] for an event of the system itself.
///
/// # Errors
/// As [`append`].
pub fn record(tx: &mut Tx, chain: Chain, at: UtcMillis, event: audit::AuditEvent) -> Result<(), StoreError> {
    append(tx, &Entry::by_system(chain, at, None, event))
}

/// The store-wide number of the newest line; 0 when there is none. No line with a lower number appears any more: it
/// waits for the transactions that may have taken one, so it must not be asked inside a [`Tx`].
///
/// # Errors
/// [`StoreError`].
pub fn highest_n(conn: &mut Conn) -> Result<i64, StoreError> {
    let newest = newest_n(conn)?;
    dialect::wait_for_lines(conn)?;
    Ok(newest)
}

/// [`highest_n`] without waiting: a lower number may still appear. Enough for a mark of how far the database has come.
///
/// # Errors
/// [`StoreError`].
pub fn newest_n(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(audit_line::table.select(max(audit_line::n)).first::<Option<i64>>(conn)?.unwrap_or(0))
}

/// What an anchor covers: a line's store-wide number and its hash.
pub type Anchorable = (i64, [u8; 32]);

/// The lines numbered `after < n <= until`, in order.
///
/// # Errors
/// [`StoreError`].
pub fn lines_between(conn: &mut Conn, after: i64, until: i64) -> Result<Vec<Anchorable>, StoreError> {
    let mut found: Vec<Anchorable> = Vec::new();
    loop {
        // A busy minute has a hundred thousand lines: as rows they take several times the room of what is kept of them.
        let rows: Vec<(i64, Vec<u8>)> = audit_line::table
            .filter(audit_line::n.gt(found.last().map_or(after, |(n, _)| *n)).and(audit_line::n.le(until)))
            .order(audit_line::n.asc())
            .limit(LINES_AT_ONCE)
            .select((audit_line::n, audit_line::hash))
            .load(conn)?;
        if rows.is_empty() {
            return Ok(found);
        }
        for (n, hash) in rows {
            found.push((n, hash32("audit_line.hash", &hash)?));
        }
    }
}

/// The names of all chains.
///
/// # Errors
/// [`StoreError`].
pub fn chain_names(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    Ok(audit_line::table.select(audit_line::chain).distinct().order(audit_line::chain.asc()).load(conn)?)
}

/// One chain, in order.
///
/// # Errors
/// [`StoreError`].
pub fn chain_lines(conn: &mut Conn, chain: &str) -> Result<Vec<Line>, StoreError> {
    let rows: Vec<Row> = audit_line::table
        .filter(audit_line::chain.eq(chain))
        .order(audit_line::seq.asc())
        .select(columns())
        .load(conn)?;
    rows.into_iter().map(line).collect()
}

/// Up to `count` lines after number `after`, with their numbers, for an export in pages.
///
/// # Errors
/// [`StoreError`].
pub fn export_after(conn: &mut Conn, after: i64, count: i64) -> Result<Vec<(i64, Line)>, StoreError> {
    let rows: Vec<(i64, Row)> = audit_line::table
        .filter(audit_line::n.gt(after))
        .order(audit_line::n.asc())
        .limit(count)
        .select((audit_line::n, columns()))
        .load(conn)?;
    rows.into_iter().map(|(n, row)| Ok((n, line(row)?))).collect()
}

/// Retention: removes lines older than `before`, chains' beginnings only: a line stays when an earlier one of its
/// chain is young enough to stay. The newest line of all stays too, so that an older copy of the database can always
/// be told from this one.
///
/// # Errors
/// [`StoreError`].
pub fn remove_lines_before(tx: &mut Tx, before: UtcMillis) -> Result<u64, StoreError> {
    let newest = newest_n(tx.conn())?;
    let kept = diesel::alias!(audit_line as kept);
    let follows_a_kept_one = diesel::dsl::exists(
        kept.filter(kept.field(audit_line::chain).eq(audit_line::chain))
            .filter(kept.field(audit_line::seq).lt(audit_line::seq))
            .filter(kept.field(audit_line::at).ge(before.0)),
    );
    let removed = diesel::delete(
        audit_line::table
            .filter(audit_line::at.lt(before.0))
            .filter(audit_line::n.lt(newest))
            .filter(diesel::dsl::not(follows_a_kept_one)),
    )
    .prepared()
    .execute(tx.conn())?;
    Ok(removed as u64)
}

type Columns =
    (audit_line::chain, audit_line::seq, audit_line::at, audit_line::body, audit_line::prev, audit_line::hash);

const fn columns() -> Columns {
    (audit_line::chain, audit_line::seq, audit_line::at, audit_line::body, audit_line::prev, audit_line::hash)
}

fn line((chain, seq, at, body, prev, hash): Row) -> Result<Line, StoreError> {
    Ok(Line {
        chain,
        seq,
        at: UtcMillis(at),
        body,
        prev: hash32("audit_line.prev", &prev)?,
        hash: hash32("audit_line.hash", &hash)?,
    })
}
