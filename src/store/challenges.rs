//! What links ask before they open: the count of wrong answers, the answers' hashes, and who answered.
//!
//! Must stay true: an answer is counted before it is looked at, in the statement that looks whether one is left; a code is taken
//! once; what a dead link asked is emptied.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::links;
use super::notices::cancel_codes;
use super::prepared::Prepare as _;
use super::rows::{parse, to_json, unsigned};
use super::schema::{answered, asked, challenge, link, notice, question};
use crate::base::{DeliveryId, LinkId, UtcMillis};
use crate::policy::{Challenge as Check, Channel};
use crate::record::{Ask, Challenge, ChallengeEvent, NoticeKind, Series, Step, UNLOCK_ATTEMPTS_MAX};

/// What a new link asks.
#[derive(Clone)]
pub struct NewChallenge {
    /// Wrong answers that it takes in its life.
    pub attempts: u8,
    pub asks: Vec<NewAsk>,
    /// By which other channel a code can unlock it.
    pub unlock_by: Option<Channel>,
}

#[derive(Clone)]
pub struct NewAsk {
    pub ask: Ask,
    /// The text of a question of the clinic's own.
    pub question_sealed: Option<Vec<u8>>,
    /// `None` for a code that is made later.
    pub answer_sealed: Option<Vec<u8>>,
}

/// What a link asks, as stored.
#[derive(Clone)]
pub struct ChallengeRow {
    pub attempts: u8,
    pub left: u8,
    pub unlocked_at: Option<UtcMillis>,
    pub asks: Vec<AskedRow>,
    /// `None` where nothing but staff unlocks it.
    pub unlock: Option<UnlockRow>,
}

/// How a locked link can be unlocked through the other channel.
#[derive(Clone)]
pub struct UnlockRow {
    pub by: Channel,
    /// Codes that may still be wrong.
    pub left: u8,
    /// The code that is out.
    pub answer_sealed: Option<Vec<u8>>,
    pub until: Option<UtcMillis>,
}

#[derive(Clone)]
pub struct AskedRow {
    pub ask: Ask,
    pub question_sealed: Option<Vec<u8>>,
    pub answer_sealed: Option<Vec<u8>>,
    /// Until when the answer counts; `None` where that has no end of its own.
    pub until: Option<UtcMillis>,
}

impl ChallengeRow {
    /// The state of a browser that has not passed.
    #[must_use]
    pub const fn state(&self) -> Challenge {
        let series = if self.unlocked_at.is_some() { Series::Last } else { Series::First };
        Challenge::of_count(self.left, series)
    }

    #[must_use]
    pub fn asked(&self, check: Check) -> Option<&AskedRow> {
        self.asks.iter().find(|asked| asked.ask.check() == check)
    }
}

impl AskedRow {
    /// The hash of an answer that counts now.
    #[must_use]
    pub fn answer_at(&self, now: UtcMillis) -> Option<&[u8]> {
        counts_at(self.answer_sealed.as_deref(), self.until, now)
    }
}

impl UnlockRow {
    /// The hash of a code that counts now.
    #[must_use]
    pub fn answer_at(&self, now: UtcMillis) -> Option<&[u8]> {
        counts_at(self.answer_sealed.as_deref(), self.until, now)
    }
}

fn counts_at(sealed: Option<&[u8]>, until: Option<UtcMillis>, now: UtcMillis) -> Option<&[u8]> {
    if until.is_some_and(|until| until <= now) { None } else { sealed }
}

/// A question of the clinic's own, with the hash of its answer.
#[derive(Clone)]
pub struct QuestionRow {
    pub question_sealed: Vec<u8>,
    pub answer_sealed: Vec<u8>,
}

/// # Errors
/// [`StoreError`].
pub(super) fn insert_challenge(tx: &mut Tx, id: &LinkId, new: &NewChallenge) -> Result<(), StoreError> {
    diesel::insert_into(challenge::table)
        .values((
            challenge::link_id.eq(id.as_str()),
            challenge::attempts.eq(i32::from(new.attempts)),
            challenge::attempts_left.eq(i32::from(new.attempts)),
            challenge::unlock_by.eq(new.unlock_by.map(Channel::as_str)),
            challenge::unlock_left.eq(i32::from(UNLOCK_ATTEMPTS_MAX)),
        ))
        .prepared()
        .execute(tx.conn())?;
    for ask in &new.asks {
        diesel::insert_into(asked::table)
            .values((
                asked::link_id.eq(id.as_str()),
                asked::kind.eq(ask.ask.check().as_str()),
                asked::how.eq(ask.ask.as_str()),
                asked::question_sealed.eq(&ask.question_sealed),
                asked::answer_sealed.eq(&ask.answer_sealed),
            ))
            .prepared()
            .execute(tx.conn())?;
    }
    Ok(())
}

/// `None` for a link that asks nothing.
///
/// # Errors
/// [`StoreError`].
pub fn challenge_of(conn: &mut Conn, id: &LinkId) -> Result<Option<ChallengeRow>, StoreError> {
    type Asked = (String, Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>);
    type Unlocking = (Option<String>, i32, Option<Vec<u8>>, Option<i64>);
    let row: Option<(i32, i32, Option<i64>, Unlocking)> = challenge::table
        .find(id.as_str())
        .select((
            challenge::attempts,
            challenge::attempts_left,
            challenge::unlocked_at,
            (challenge::unlock_by, challenge::unlock_left, challenge::unlock_sealed, challenge::unlock_until),
        ))
        .first(conn)
        .optional()?;
    let Some((attempts, left, unlocked_at, unlock)) = row else { return Ok(None) };
    let rows: Vec<Asked> = asked::table
        .filter(asked::link_id.eq(id.as_str()))
        .order(asked::kind.desc())
        .select((asked::how, asked::question_sealed, asked::answer_sealed, asked::until_at))
        .load(conn)?;
    let asks = rows.into_iter().map(|(how, question_sealed, answer_sealed, until)| {
        Ok(AskedRow { ask: parse("asked.how", &how)?, question_sealed, answer_sealed, until: until.map(UtcMillis) })
    });
    Ok(Some(ChallengeRow {
        attempts: unsigned("challenge.attempts", attempts.into())?,
        left: unsigned("challenge.attempts_left", left.into())?,
        unlocked_at: unlocked_at.map(UtcMillis),
        asks: asks.collect::<Result<_, StoreError>>()?,
        unlock: unlocking(unlock)?,
    }))
}

fn unlocking(
    (by, left, answer_sealed, until): (Option<String>, i32, Option<Vec<u8>>, Option<i64>),
) -> Result<Option<UnlockRow>, StoreError> {
    let Some(by) = by else { return Ok(None) };
    let known = Channel::ALL.into_iter().find(|channel| channel.as_str() == by);
    Ok(Some(UnlockRow {
        by: known.ok_or(StoreError::BadRow { column: "challenge.unlock_by" })?,
        left: unsigned("challenge.unlock_left", left.into())?,
        answer_sealed,
        until: until.map(UtcMillis),
    }))
}

/// What this browser has answered.
///
/// # Errors
/// [`StoreError`].
pub fn answered_by(conn: &mut Conn, id: &LinkId, cookie: &[u8; 32]) -> Result<BTreeSet<Check>, StoreError> {
    let kinds: Vec<String> = answered::table
        .filter(answered::link_id.eq(id.as_str()))
        .filter(answered::cookie_hash.eq(cookie.to_vec()))
        .select(answered::kind)
        .load(conn)?;
    let known = |kind: &String| Check::ALL.into_iter().find(|check| check.as_str() == kind);
    kinds.iter().map(|kind| known(kind).ok_or(StoreError::BadRow { column: "answered.kind" })).collect()
}

macro_rules! alive {
    ($id:expr, $now:expr) => {
        link::table
            .filter(link::id.eq($id.as_str()))
            .filter(link::shredded_at.is_null())
            .filter(link::expires_at.gt($now.0))
            .select(link::id)
    };
}

/// Whether one more answer may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is counted as wrong already.
    Counted,
    /// None is left, or the link does not stand open.
    Refused,
}

/// Takes one of the answers that a link still takes.
///
/// # Errors
/// [`StoreError`].
pub fn count_attempt(tx: &mut Tx, id: &LinkId, now: UtcMillis) -> Result<Attempt, StoreError> {
    let counted = diesel::update(
        challenge::table
            .find(id.as_str())
            .filter(challenge::attempts_left.gt(0))
            .filter(challenge::link_id.eq_any(alive!(id, now))),
    )
    .set(challenge::attempts_left.eq(challenge::attempts_left - 1))
    .prepared()
    .execute(tx.conn())?;
    Ok(if counted == 1 { Attempt::Counted } else { Attempt::Refused })
}

/// Whether a right answer let this browser in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetIn {
    Yes,
    /// The code was used or replaced meanwhile, or the link died.
    TooLate,
}

/// Keeps that this browser gave the right answer, whose hash was `compared`, and gives the counted attempt back. A code that was
/// told is used up by it; the one on a slip is not.
///
/// # Errors
/// [`StoreError`].
pub fn let_in(
    tx: &mut Tx,
    id: &LinkId,
    cookie: &[u8; 32],
    ask: Ask,
    compared: &[u8],
    now: UtcMillis,
) -> Result<LetIn, StoreError> {
    links::hold(tx, id)?;
    let row = asked::table
        .find((id.as_str(), ask.check().as_str()))
        .filter(asked::answer_sealed.eq(compared.to_vec()))
        .filter(asked::until_at.is_null().or(asked::until_at.gt(now.0)));
    let taken = match ask {
        Ask::CodeByEmail | Ask::CodeBySms | Ask::CodeByStaff => diesel::update(row)
            .set((asked::answer_sealed.eq(None::<Vec<u8>>), asked::until_at.eq(None::<i64>)))
            .prepared()
            .execute(tx.conn())?,
        Ask::BirthDate | Ask::PatientsBirthDate | Ask::OwnQuestion | Ask::CodeOnSlip => {
            usize::from(row.select(asked::kind).first::<String>(tx.conn()).optional()?.is_some())
        }
    };
    if taken != 1 {
        return Ok(LetIn::TooLate);
    }
    let values = (
        answered::link_id.eq(id.as_str()),
        answered::cookie_hash.eq(cookie.to_vec()),
        answered::kind.eq(ask.check().as_str()),
        answered::answered_at.eq(now.0),
    );
    tx.insert_unless_there(|conn| diesel::insert_into(answered::table).values(values).prepared().execute(conn))?;
    diesel::update(challenge::table.find(id.as_str()).filter(challenge::attempts_left.lt(challenge::attempts)))
        .set(challenge::attempts_left.eq(challenge::attempts_left + 1))
        .prepared()
        .execute(tx.conn())?;
    Ok(LetIn::Yes)
}

/// How an unlocking went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocked {
    Done,
    /// Answers are left, or it asks nothing.
    NotLocked,
    /// It was unlocked before.
    Before,
}

/// Begins the count of a locked link anew, once.
///
/// # Errors
/// [`StoreError`].
pub fn unlock(tx: &mut Tx, id: &LinkId, now: UtcMillis) -> Result<Unlocked, StoreError> {
    links::hold(tx, id)?;
    let Some(row) = challenge_of(tx.conn(), id)? else { return Ok(Unlocked::NotLocked) };
    let Ok(step) = row.state().step(ChallengeEvent::Unlock { attempts: row.attempts }) else {
        return Ok(if row.left == 0 { Unlocked::Before } else { Unlocked::NotLocked });
    };
    let changed = write_unlocked(tx, id, &step, now)?;
    Ok(if changed == 1 { Unlocked::Done } else { Unlocked::NotLocked })
}

/// Takes one of the codes that a locked link still takes for its unlocking.
///
/// # Errors
/// [`StoreError`].
pub fn count_unlocking(tx: &mut Tx, id: &LinkId, now: UtcMillis) -> Result<Attempt, StoreError> {
    let counted = diesel::update(
        challenge::table
            .find(id.as_str())
            .filter(challenge::attempts_left.eq(0))
            .filter(challenge::unlocked_at.is_null())
            .filter(challenge::unlock_left.gt(0))
            .filter(challenge::link_id.eq_any(alive!(id, now))),
    )
    .set(challenge::unlock_left.eq(challenge::unlock_left - 1))
    .prepared()
    .execute(tx.conn())?;
    Ok(if counted == 1 { Attempt::Counted } else { Attempt::Refused })
}

/// Begins the count of a locked link anew, once, for the code whose hash was `compared`; uses that up.
///
/// # Errors
/// [`StoreError`].
pub fn unlock_by_code(tx: &mut Tx, id: &LinkId, compared: &[u8], now: UtcMillis) -> Result<LetIn, StoreError> {
    links::hold(tx, id)?;
    let taken = diesel::update(
        challenge::table
            .find(id.as_str())
            .filter(challenge::unlock_sealed.eq(compared.to_vec()))
            .filter(challenge::unlock_until.gt(now.0)),
    )
    .set((challenge::unlock_sealed.eq(None::<Vec<u8>>), challenge::unlock_until.eq(None::<i64>)))
    .prepared()
    .execute(tx.conn())?;
    if taken != 1 {
        return Ok(LetIn::TooLate);
    }
    Ok(match unlock(tx, id, now)? {
        Unlocked::Done => LetIn::Yes,
        Unlocked::NotLocked | Unlocked::Before => LetIn::TooLate,
    })
}

fn write_unlocked(tx: &mut Tx, id: &LinkId, step: &Step<Challenge>, now: UtcMillis) -> Result<usize, StoreError> {
    let Challenge::Asked { left, .. } = *step.to() else { return Err(StoreError::Moved) };
    Ok(diesel::update(
        challenge::table
            .find(id.as_str())
            .filter(challenge::attempts_left.eq(0))
            .filter(challenge::unlocked_at.is_null()),
    )
    .set((challenge::attempts_left.eq(i32::from(left)), challenge::unlocked_at.eq(now.0)))
    .prepared()
    .execute(tx.conn())?)
}

/// Keeps the hash of a new code, which ends the one before, and its message if that has not left.
///
/// # Errors
/// [`StoreError::Moved`] when the link asks for none.
pub fn set_code(
    tx: &mut Tx,
    id: &LinkId,
    answer_sealed: &[u8],
    until: UtcMillis,
    now: UtcMillis,
) -> Result<(), StoreError> {
    links::hold(tx, id)?;
    cancel_codes(tx, id, now)?;
    let changed = diesel::update(asked::table.find((id.as_str(), Check::Code.as_str())))
        .set((asked::answer_sealed.eq(answer_sealed.to_vec()), asked::until_at.eq(until.0)))
        .prepared()
        .execute(tx.conn())?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Moved) }
}

/// [`set_code`] for the unlocking of a link that is locked.
///
/// # Errors
/// [`StoreError::Moved`] when it is not, or cannot be unlocked so.
pub fn set_unlock_code(
    tx: &mut Tx,
    id: &LinkId,
    answer_sealed: &[u8],
    until: UtcMillis,
    now: UtcMillis,
) -> Result<(), StoreError> {
    links::hold(tx, id)?;
    cancel_codes(tx, id, now)?;
    let locked = challenge::table
        .find(id.as_str())
        .filter(challenge::attempts_left.eq(0))
        .filter(challenge::unlocked_at.is_null())
        .filter(challenge::unlock_by.is_not_null());
    let changed = diesel::update(locked)
        .set((challenge::unlock_sealed.eq(answer_sealed.to_vec()), challenge::unlock_until.eq(until.0)))
        .prepared()
        .execute(tx.conn())?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Moved) }
}

/// When the codes were made that a link sent after `since`, oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn codes_sent_since(conn: &mut Conn, id: &LinkId, since: UtcMillis) -> Result<Vec<UtcMillis>, StoreError> {
    let made: Vec<i64> = notice::table
        .filter(notice::link_id.eq(id.as_str()))
        .filter(notice::kind.eq(to_json("notice.kind", &NoticeKind::Code)?))
        .filter(notice::created_at.gt(since.0))
        .order(notice::created_at.asc())
        .select(notice::created_at)
        .load(conn)?;
    Ok(made.into_iter().map(UtcMillis).collect())
}

/// Empties what a dead link asked.
pub(super) fn forget_answers(tx: &mut Tx, id: &LinkId) -> Result<(), StoreError> {
    diesel::update(asked::table.filter(asked::link_id.eq(id.as_str())))
        .set((asked::question_sealed.eq(None::<Vec<u8>>), asked::answer_sealed.eq(None::<Vec<u8>>)))
        .prepared()
        .execute(tx.conn())?;
    diesel::delete(answered::table.filter(answered::link_id.eq(id.as_str()))).prepared().execute(tx.conn())?;
    diesel::update(challenge::table.find(id.as_str()))
        .set(challenge::unlock_sealed.eq(None::<Vec<u8>>))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// Keeps the clinic's own question for a report's next link, in place of one before.
///
/// # Errors
/// [`StoreError`].
pub fn set_question(tx: &mut Tx, id: &DeliveryId, new: &QuestionRow) -> Result<(), StoreError> {
    tx.erased();
    diesel::delete(question::table.find(id.as_str())).prepared().execute(tx.conn())?;
    diesel::insert_into(question::table)
        .values((
            question::delivery_id.eq(id.as_str()),
            question::question_sealed.eq(&new.question_sealed),
            question::answer_sealed.eq(&new.answer_sealed),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// # Errors
/// [`StoreError`].
pub fn question_of(conn: &mut Conn, id: &DeliveryId) -> Result<Option<QuestionRow>, StoreError> {
    let row: Option<(Vec<u8>, Vec<u8>)> = question::table
        .find(id.as_str())
        .select((question::question_sealed, question::answer_sealed))
        .first(conn)
        .optional()?;
    Ok(row.map(|(question_sealed, answer_sealed)| QuestionRow { question_sealed, answer_sealed }))
}
