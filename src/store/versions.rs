//! Versions of the rules, and from when on which of them is in force.
//!
//! Must stay true: what was written is never what approves it; what is in force at an instant is one version, the same for
//! every replica; whoever changes the timetable holds the rules alone, and whoever concludes under them holds them beside
//! others, so that no decision is committed under a version that was replaced before.
//! Must not know: what the rules say.

use std::collections::BTreeMap;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use super::conn::{Conn, Tx};
use super::control::{control, set_control};
use super::dialect;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::rows::{from_json, parse, parse_opt, to_json};
use super::schema::{rules_activation, rules_version};
use crate::base::{OperatorName, UtcMillis};
use crate::policy::{RuleSet, RulesErrors};

/// The lock of the timetable, and the row whose value changes with it.
const RULES: &str = "rules";
/// Versions before the present one that a timetable holds: one of them may have to stand in for a text that this program
/// cannot read.
const PAST_MAX: i64 = 3;

/// The text of a version with the files that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    pub rules: String,
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

impl Bundle {
    /// The only place where a version's text becomes rules.
    ///
    /// # Errors
    /// Every fault of the text.
    pub fn compile(&self) -> Result<RuleSet, RulesErrors> {
        RuleSet::load(&self.rules, &self.files)
    }
}

/// A version to be kept as a draft.
pub struct NewVersion {
    pub hash: String,
    pub rules_id: String,
    /// The clinic's own name for it.
    pub version: String,
    pub bundle: Bundle,
    pub author: OperatorName,
    pub note: Option<String>,
}

macro_rules! stored_as {
    ($(#[$doc:meta])* $type:ident { $($(#[$of:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $($(#[$of])* $variant),+ }

        impl $type {
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::str::FromStr for $type {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}
stored_as!(
    /// How far a version has come.
    VersionState { Draft = "draft", Approved = "approved", Withdrawn = "withdrawn" }
);
stored_as!(
    /// How a version came into force.
    ActivatedBy {
        /// A second person approved it.
        Normal = "normal",
        /// One person, since nothing became looser.
        Emergency = "emergency",
        /// It had been in force before.
        Rollback = "rollback",
    }
);

/// A version without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    pub hash: String,
    pub rules_id: String,
    pub version: String,
    pub author: OperatorName,
    pub proposed_at: UtcMillis,
    pub note: Option<String>,
    pub state: VersionState,
    pub approver: Option<OperatorName>,
    pub approved_at: Option<UtcMillis>,
}

/// From `effective_at` on, `hash` is in force, until the next one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationRow {
    /// Rises with each; of two with the same instant the later one holds.
    pub n: i64,
    pub hash: String,
    pub effective_at: UtcMillis,
    pub made_at: UtcMillis,
    pub made_by: String,
    pub kind: ActivatedBy,
}

type Version = (String, String, String, String, i64, Option<String>, String, Option<String>, Option<i64>);

macro_rules! version_columns {
    () => {
        (
            rules_version::hash,
            rules_version::rules_id,
            rules_version::version,
            rules_version::author,
            rules_version::proposed_at,
            rules_version::note,
            rules_version::state,
            rules_version::approver,
            rules_version::approved_at,
        )
    };
}

fn version_of(row: Version) -> Result<VersionRow, StoreError> {
    let (hash, rules_id, version, author, proposed_at, note, state, approver, approved_at) = row;
    Ok(VersionRow {
        hash,
        rules_id,
        version,
        author: parse("rules_version.author", &author)?,
        proposed_at: UtcMillis(proposed_at),
        note,
        state: parse("rules_version.state", &state)?,
        approver: parse_opt("rules_version.approver", approver.as_deref())?,
        approved_at: approved_at.map(UtcMillis),
    })
}

type Activation = (i64, String, i64, i64, String, String);

macro_rules! activation_columns {
    () => {
        (
            rules_activation::n,
            rules_activation::hash,
            rules_activation::effective_at,
            rules_activation::made_at,
            rules_activation::made_by,
            rules_activation::kind,
        )
    };
}

fn activation_of(row: Activation) -> Result<ActivationRow, StoreError> {
    let (n, hash, effective_at, made_at, made_by, kind) = row;
    Ok(ActivationRow {
        n,
        hash,
        effective_at: UtcMillis(effective_at),
        made_at: UtcMillis(made_at),
        made_by,
        kind: parse("rules_activation.kind", &kind)?,
    })
}

/// All versions, newest proposal first.
///
/// # Errors
/// [`StoreError`].
pub fn versions(conn: &mut Conn) -> Result<Vec<VersionRow>, StoreError> {
    let rows: Vec<Version> = rules_version::table
        .order((rules_version::proposed_at.desc(), rules_version::hash.asc()))
        .select(version_columns!())
        .load(conn)?;
    rows.into_iter().map(version_of).collect()
}

/// # Errors
/// [`StoreError`].
pub fn version(conn: &mut Conn, hash: &str) -> Result<Option<VersionRow>, StoreError> {
    let row: Option<Version> = rules_version::table.find(hash).select(version_columns!()).first(conn).optional()?;
    row.map(version_of).transpose()
}

/// # Errors
/// [`StoreError`].
pub fn bundle_of(conn: &mut Conn, hash: &str) -> Result<Option<Bundle>, StoreError> {
    let text: Option<String> = rules_version::table.find(hash).select(rules_version::bundle).first(conn).optional()?;
    text.map(|text| from_json("rules_version.bundle", &text)).transpose()
}

/// Everything that ever came or will come into force, oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn activations(conn: &mut Conn) -> Result<Vec<ActivationRow>, StoreError> {
    let rows: Vec<Activation> = rules_activation::table
        .order((rules_activation::effective_at.asc(), rules_activation::n.asc()))
        .select(activation_columns!())
        .load(conn)?;
    rows.into_iter().map(activation_of).collect()
}

/// What is in force at `now`; `None` as long as no version was.
///
/// # Errors
/// [`StoreError`].
pub fn rules_in_force(conn: &mut Conn, now: UtcMillis) -> Result<Option<ActivationRow>, StoreError> {
    Ok(past(conn, now, 1)?.pop())
}

fn past(conn: &mut Conn, now: UtcMillis, count: i64) -> Result<Vec<ActivationRow>, StoreError> {
    let rows: Vec<Activation> = rules_activation::table
        .filter(rules_activation::effective_at.le(now.0))
        .order((rules_activation::effective_at.desc(), rules_activation::n.desc()))
        .limit(count)
        .select(activation_columns!())
        .load(conn)?;
    rows.into_iter().map(activation_of).collect()
}

/// What is in force at `now`, what was lately, and all that is to come, oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn timetable(conn: &mut Conn, now: UtcMillis) -> Result<Vec<ActivationRow>, StoreError> {
    let mut rows = past(conn, now, PAST_MAX)?;
    rows.reverse();
    let coming: Vec<Activation> = rules_activation::table
        .filter(rules_activation::effective_at.gt(now.0))
        .order((rules_activation::effective_at.asc(), rules_activation::n.asc()))
        .select(activation_columns!())
        .load(conn)?;
    for row in coming {
        rows.push(activation_of(row)?);
    }
    Ok(rows)
}

/// Another value after each change of the timetable; `None` before the first.
///
/// # Errors
/// [`StoreError`].
pub fn rules_stamp(conn: &mut Conn) -> Result<Option<String>, StoreError> {
    control(conn, RULES)
}

/// Keeps the timetable as it is until the transaction ends, beside others who do.
///
/// # Errors
/// [`StoreError`].
pub fn share_rules(tx: &mut Tx) -> Result<(), StoreError> {
    dialect::lock_name_shared(tx.conn(), RULES)
}

/// Holds the timetable alone until the transaction ends: whoever concludes under the rules waits.
///
/// # Errors
/// [`StoreError`].
pub fn hold_rules(tx: &mut Tx) -> Result<(), StoreError> {
    dialect::lock_name(tx.conn(), RULES)
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposed {
    Done,
    /// The same rules are there already, as a draft or approved.
    AlreadyThere(VersionRow),
}

/// Keeps a draft. Rules that were withdrawn may be proposed anew, also by somebody else.
///
/// # Errors
/// [`StoreError`].
pub fn propose_version(tx: &mut Tx, new: &NewVersion, at: UtcMillis) -> Result<Proposed, StoreError> {
    hold_rules(tx)?;
    let of_row = (
        rules_version::rules_id.eq(&new.rules_id),
        rules_version::version.eq(&new.version),
        rules_version::bundle.eq(to_json("rules_version.bundle", &new.bundle)?),
        rules_version::author.eq(new.author.as_str()),
        rules_version::proposed_at.eq(at.0),
        rules_version::note.eq(&new.note),
        rules_version::state.eq(VersionState::Draft.as_str()),
        rules_version::approver.eq(None::<String>),
        rules_version::approved_at.eq(None::<i64>),
    );
    match version(tx.conn(), &new.hash)? {
        None => {
            diesel::insert_into(rules_version::table)
                .values((rules_version::hash.eq(&new.hash), of_row))
                .prepared()
                .execute(tx.conn())?;
            Ok(Proposed::Done)
        }
        Some(row) if row.state == VersionState::Withdrawn => {
            diesel::update(rules_version::table.find(&new.hash)).set(of_row).prepared().execute(tx.conn())?;
            Ok(Proposed::Done)
        }
        Some(row) => Ok(Proposed::AlreadyThere(row)),
    }
}

/// What became of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    Done {
        effective_at: UtcMillis,
    },
    Unknown,
    /// Nobody approves what they wrote.
    Own,
    NotADraft {
        state: VersionState,
    },
}

/// Approves a draft that somebody else wrote, in one guarded statement; in an emergency its author does, too. It is in force
/// from `effective_at` on, but never before `at`.
///
/// # Errors
/// [`StoreError`].
pub fn approve_version(
    tx: &mut Tx,
    hash: &str,
    approver: &OperatorName,
    effective_at: UtcMillis,
    kind: ActivatedBy,
    at: UtcMillis,
) -> Result<Approval, StoreError> {
    hold_rules(tx)?;
    // A name that no author has, where the author may approve.
    let not_by = match kind {
        ActivatedBy::Normal | ActivatedBy::Rollback => approver.as_str(),
        ActivatedBy::Emergency => "",
    };
    let changed = diesel::update(
        rules_version::table
            .find(hash)
            .filter(rules_version::state.eq(VersionState::Draft.as_str()))
            .filter(rules_version::author.ne(not_by)),
    )
    .set((
        rules_version::state.eq(VersionState::Approved.as_str()),
        rules_version::approver.eq(approver.as_str()),
        rules_version::approved_at.eq(at.0),
    ))
    .prepared()
    .execute(tx.conn())?;
    if changed == 1 {
        let effective_at = effective_at.max(at);
        activate(tx, hash, approver, effective_at, kind, at)?;
        return Ok(Approval::Done { effective_at });
    }
    Ok(match version(tx.conn(), hash)? {
        None => Approval::Unknown,
        Some(row) if row.state == VersionState::Draft => Approval::Own,
        Some(row) => Approval::NotADraft { state: row.state },
    })
}

fn activate(
    tx: &mut Tx,
    hash: &str,
    by: &OperatorName,
    effective_at: UtcMillis,
    kind: ActivatedBy,
    at: UtcMillis,
) -> Result<(), StoreError> {
    diesel::insert_into(rules_activation::table)
        .values((
            rules_activation::hash.eq(hash),
            rules_activation::effective_at.eq(effective_at.0),
            rules_activation::made_at.eq(at.0),
            rules_activation::made_by.eq(by.as_str()),
            rules_activation::kind.eq(kind.as_str()),
        ))
        .prepared()
        .execute(tx.conn())?;
    stamp(tx, at, by)
}

/// Tells every replica that the timetable changed.
fn stamp(tx: &mut Tx, at: UtcMillis, by: &OperatorName) -> Result<(), StoreError> {
    let before: u64 = rules_stamp(tx.conn())?.and_then(|text| text.parse().ok()).unwrap_or(0);
    set_control(tx, RULES, &(before + 1).to_string(), at, by.as_str())
}

/// What became of a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    Done,
    Unknown,
    /// It is or was in force: decisions name it.
    WasInForce,
    Already,
}

/// Takes back a draft, or an approved version that is not in force yet.
///
/// # Errors
/// [`StoreError`].
pub fn withdraw_version(tx: &mut Tx, hash: &str, by: &OperatorName, at: UtcMillis) -> Result<Withdrawn, StoreError> {
    hold_rules(tx)?;
    let Some(row) = version(tx.conn(), hash)? else { return Ok(Withdrawn::Unknown) };
    match row.state {
        VersionState::Withdrawn => return Ok(Withdrawn::Already),
        VersionState::Draft | VersionState::Approved => {}
    }
    if was_in_force(tx.conn(), hash, at)? {
        return Ok(Withdrawn::WasInForce);
    }
    diesel::update(rules_version::table.find(hash))
        .set(rules_version::state.eq(VersionState::Withdrawn.as_str()))
        .prepared()
        .execute(tx.conn())?;
    diesel::delete(rules_activation::table.filter(rules_activation::hash.eq(hash))).prepared().execute(tx.conn())?;
    stamp(tx, at, by)?;
    Ok(Withdrawn::Done)
}

fn was_in_force(conn: &mut Conn, hash: &str, now: UtcMillis) -> Result<bool, StoreError> {
    let count: i64 = rules_activation::table
        .filter(rules_activation::hash.eq(hash))
        .filter(rules_activation::effective_at.le(now.0))
        .count()
        .get_result(conn)?;
    Ok(count > 0)
}

/// What became of a wish to go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reactivated {
    Done,
    /// It was never in force.
    Never,
    /// It is in force now.
    InForce,
}

/// Brings a version into force again at `at` that had been before.
///
/// # Errors
/// [`StoreError`].
pub fn reactivate_version(
    tx: &mut Tx,
    hash: &str,
    by: &OperatorName,
    at: UtcMillis,
) -> Result<Reactivated, StoreError> {
    hold_rules(tx)?;
    if !was_in_force(tx.conn(), hash, at)? {
        return Ok(Reactivated::Never);
    }
    if rules_in_force(tx.conn(), at)?.is_some_and(|row| row.hash == hash) {
        return Ok(Reactivated::InForce);
    }
    activate(tx, hash, by, at, ActivatedBy::Rollback, at)?;
    Ok(Reactivated::Done)
}
