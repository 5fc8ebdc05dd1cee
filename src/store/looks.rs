//! Where the further ways to look at an EHR stand: the history of a type, a search by the reports' own date, the patient panel.

use std::fmt;
use std::str::FromStr;

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::lease::Renewed;
use super::prepared::Prepare as _;
use super::rows::parse;
use super::schema::look;
use crate::base::{EhrId, ResourceType, UtcMillis};

/// One way to look at an EHR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The history of a type: what was deleted.
    History(ResourceType),
    /// The reports of late, by their own date, whenever they changed.
    ByDate(ResourceType),
    /// Who the patients are that are asked about one by one.
    Panel,
}

const HISTORY: &str = "history ";
const BY_DATE: &str = "by-date ";
const PANEL: &str = "panel";

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History(kind) => write!(f, "{HISTORY}{kind}"),
            Self::ByDate(kind) => write!(f, "{BY_DATE}{kind}"),
            Self::Panel => f.write_str(PANEL),
        }
    }
}

impl FromStr for Look {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let kind = |kind: &str| kind.parse().map_err(|_| StoreError::BadRow { column: "look.what" });
        match (text.strip_prefix(HISTORY), text.strip_prefix(BY_DATE), text) {
            (Some(of), _, _) => Ok(Self::History(kind(of)?)),
            (_, Some(of), _) => Ok(Self::ByDate(kind(of)?)),
            (None, None, PANEL) => Ok(Self::Panel),
            (None, None, _) => Err(StoreError::BadRow { column: "look.what" }),
        }
    }
}

/// Whether the EHR can be looked at in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It was not asked yet, or did not answer.
    Unknown,
    Yes,
    No,
}

impl Offered {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Yes => "yes",
            Self::No => "no",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let all = [Self::Unknown, Self::Yes, Self::No];
        let found = all.into_iter().find(|one| one.as_str() == text);
        found.ok_or(StoreError::BadRow { column: "look.offered" })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookRow {
    pub ehr: EhrId,
    pub what: Look,
    /// Everything up to here has been seen in this way.
    pub watermark: UtcMillis,
    pub next_at: UtcMillis,
    /// The lease under which it was handed out.
    pub lease_until: Option<UtcMillis>,
    pub last_ok_at: Option<UtcMillis>,
    pub offered: Offered,
    /// What is wrong with the last look.
    pub why: Option<String>,
}

type Row = (String, String, i64, i64, Option<i64>, Option<i64>, String, Option<String>);

macro_rules! columns {
    () => {
        (
            look::ehr,
            look::what,
            look::watermark,
            look::next_at,
            look::lease_until,
            look::last_ok_at,
            look::offered,
            look::why,
        )
    };
}

fn typed(row: Row) -> Result<LookRow, StoreError> {
    let (ehr, what, watermark, next_at, lease_until, last_ok_at, offered, why) = row;
    Ok(LookRow {
        ehr: parse("look.ehr", &ehr)?,
        what: what.parse()?,
        watermark: UtcMillis(watermark),
        next_at: UtcMillis(next_at),
        lease_until: lease_until.map(UtcMillis),
        last_ok_at: last_ok_at.map(UtcMillis),
        offered: Offered::parse(&offered)?,
        why,
    })
}

/// Begins to look in this way from `watermark` on, for the first time at `first_at`, unless that was begun before.
///
/// # Errors
/// [`StoreError`].
pub fn ensure_look(
    tx: &mut Tx,
    ehr: &EhrId,
    what: Look,
    watermark: UtcMillis,
    first_at: UtcMillis,
) -> Result<(), StoreError> {
    tx.insert_unless_there(|conn| {
        diesel::insert_into(look::table)
            .values((
                look::ehr.eq(ehr.as_str()),
                look::what.eq(what.to_string()),
                look::watermark.eq(watermark.0),
                look::next_at.eq(first_at.0),
                look::offered.eq(Offered::Unknown.as_str()),
            ))
            .prepared()
            .execute(conn)
    })
}

/// Whether a lease would be given: a look at this costs no write.
///
/// # Errors
/// [`StoreError`].
pub fn is_look_due(conn: &mut Conn, ehr: &EhrId, what: Look, now: UtcMillis) -> Result<bool, StoreError> {
    let row: Option<Row> =
        look::table.find((ehr.as_str(), what.to_string())).select(columns!()).first(conn).optional()?;
    let row = row.map(typed).transpose()?;
    Ok(row.is_some_and(|row| row.next_at <= now && row.lease_until.is_none_or(|until| until <= now)))
}

/// Leases one look if it is due.
///
/// # Errors
/// [`StoreError`].
pub fn lease_look(
    tx: &mut Tx,
    ehr: &EhrId,
    what: Look,
    now: UtcMillis,
    until: UtcMillis,
) -> Result<Option<LookRow>, StoreError> {
    let rows: Vec<Row> = diesel::update(
        look::table
            .find((ehr.as_str(), what.to_string()))
            .filter(look::next_at.le(now.0))
            .filter(look::lease_until.is_null().or(look::lease_until.le(now.0))),
    )
    .set((look::lease_until.eq(until.0), look::lease_holder.eq(tx.holder())))
    .returning(columns!())
    .prepared()
    .load(tx.conn())?;
    rows.into_iter().next().map(typed).transpose()
}

/// Lengthens the lease of `row`, unless another worker has it.
///
/// # Errors
/// [`StoreError`].
pub fn renew_look(tx: &mut Tx, row: LookRow, until: UtcMillis) -> Result<Renewed<LookRow>, StoreError> {
    let this = look::table.find((row.ehr.as_str(), row.what.to_string()));
    let renewed = diesel::update(this.filter(look::lease_until.eq(row.lease_until.map(|at| at.0))))
        .set(look::lease_until.eq(until.0))
        .prepared()
        .execute(tx.conn())?;
    Ok(if renewed == 1 { Renewed::Kept(LookRow { lease_until: Some(until), ..row }) } else { Renewed::Lost })
}

/// How a look ended.
pub struct LookEnd {
    /// `Some`: it was whole, and everything up to here has been seen.
    pub watermark: Option<UtcMillis>,
    pub offered: Offered,
    pub next_at: UtcMillis,
    pub why: Option<String>,
}

/// Ends the lease of `row`.
///
/// # Errors
/// [`StoreError::Moved`] when it ran out and another worker has it.
pub fn settle_look(tx: &mut Tx, row: &LookRow, end: &LookEnd, at: UtcMillis) -> Result<(), StoreError> {
    let this = look::table.find((row.ehr.as_str(), row.what.to_string()));
    let ended = diesel::update(this.filter(look::lease_until.eq(row.lease_until.map(|at| at.0))))
        .set((
            look::watermark.eq(end.watermark.unwrap_or(row.watermark).0),
            look::lease_until.eq(None::<i64>),
            look::last_ok_at.eq(end.watermark.map_or(row.last_ok_at, |_| Some(at)).map(|at| at.0)),
            look::offered.eq(end.offered.as_str()),
            look::next_at.eq(end.next_at.0),
            look::why.eq(end.why.as_deref()),
        ))
        .prepared()
        .execute(tx.conn())?;
    if ended == 1 { Ok(()) } else { Err(StoreError::Moved) }
}

/// # Errors
/// [`StoreError`].
pub fn looks_of(conn: &mut Conn, ehr: &EhrId) -> Result<Vec<LookRow>, StoreError> {
    let rows: Vec<Row> =
        look::table.filter(look::ehr.eq(ehr.as_str())).order(look::what.asc()).select(columns!()).load(conn)?;
    rows.into_iter().map(typed).collect()
}
