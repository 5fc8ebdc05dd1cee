//! What a link asks before it opens: answers taken and judged, codes sent when the page asks for one.
//!
//! Must stay true: nothing is counted, hashed or sent for whoever has not proved to hold the link, so a stranger's answer takes the
//! same time whether there is such a link or not; an answer counts as wrong before it is hashed, and is given back when it is right;
//! no more answers are hashed at once than the machine can bear.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::holder::Proven;
use super::unlocking;
use super::{Holder, Looked, Open, OpenError};
use crate::audit::{Actor, AuditEvent};
use crate::base::{LinkId, NoticeId, SecretText, SlipCode, UtcMillis, hours, random};
use crate::keys::{KeyName, VaultError};
use crate::policy::{Challenge as Check, Channel};
use crate::record::{Ask, CODE_LIFE, CODES_AN_HOUR_MAX, NoticeKind};
use crate::sealing::{AnswerHash, Purpose};
use crate::store::{self, AskedRow, Attempt, ChallengeRow, LetIn, NewNotice, NoticeSecret, Tx};
use crate::whose::{Form, code_form, forms_of};

/// Answers that are hashed at the same time: each takes a fifth of a second of a core, and 19 MiB.
pub(super) const HASHED_AT_ONCE: usize = 2;
/// Digits of a code that is sent.
const CODE_DIGITS: u32 = 6;

/// What a link still asks of this browser.
#[derive(Clone)]
pub struct Asks {
    /// Wrong answers that it still takes; none: it is locked.
    pub left: u8,
    pub attempts: u8,
    pub question: Option<AskedQuestion>,
    pub code: Option<AskedCode>,
    /// Of a locked link that a code through the other channel unlocks.
    pub unlock: Option<AskedUnlock>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedUnlock {
    pub by: Channel,
    /// Codes that may still be wrong.
    pub left: u8,
    /// Until when the code counts that is out; `None` where none is.
    pub until: Option<UtcMillis>,
}

#[derive(Clone)]
pub enum AskedQuestion {
    BirthDate,
    PatientsBirthDate,
    /// As the clinic wrote it.
    Own(SecretText),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedCode {
    pub by: Ask,
    /// Until when the code counts that is out; `None` where none is.
    pub until: Option<UtcMillis>,
}

/// How an answer fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Right,
    Wrong,
    /// No code counts now: it ran out, was used, or none was made. Nothing is counted.
    NoCode,
    /// A code that is no slip's: a character is wrong or missing. Nothing is counted.
    Mistyped,
    /// No answer is left.
    Locked,
    /// The link does not ask this, or not now.
    NotAsked,
}

/// How the wish for a code fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeSaid {
    Sent,
    /// So many were sent that the next one waits until then.
    TooMany {
        until: UtcMillis,
    },
    NotAsked,
}

impl Said {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::NoCode => "no_code",
            Self::Mistyped => "mistyped",
            Self::Locked => "locked",
            Self::NotAsked => "not_asked",
        }
    }
}

impl CodeSaid {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::TooMany { .. } => "too_many_codes",
            Self::NotAsked => "not_asked",
        }
    }
}

impl Asks {
    /// What is left to be asked; `None` where nothing is.
    pub(super) fn of(
        open: &Open,
        link: &LinkId,
        row: &ChallengeRow,
        answered: &BTreeSet<Check>,
        now: UtcMillis,
    ) -> Result<Option<Self>, OpenError> {
        let left_of = |check| row.asked(check).filter(|_| !answered.contains(&check));
        let question = left_of(Check::Question).map(|asked| open.question(link, asked)).transpose()?;
        let code =
            left_of(Check::Code).map(|asked| AskedCode { by: asked.ask, until: asked.answer_at(now).and(asked.until) });
        let asks = Self { left: row.left, attempts: row.attempts, question, code, unlock: unlocking::asked(row, now) };
        Ok((asks.question.is_some() || asks.code.is_some()).then_some(asks))
    }

    /// The code that can be sent now: by which channel, and what for.
    fn wanted_code(&self) -> Option<(Channel, CodeFor)> {
        match self.left {
            0 => self.unlock.map(|unlock| (unlock.by, CodeFor::Unlocking)),
            _ => Some((self.code?.by.channel()?, CodeFor::Opening)),
        }
    }
}

impl Open {
    fn question(&self, link: &LinkId, asked: &AskedRow) -> Result<AskedQuestion, OpenError> {
        match asked.ask {
            Ask::PatientsBirthDate => Ok(AskedQuestion::PatientsBirthDate),
            Ask::OwnQuestion => {
                let sealed = asked.question_sealed.as_deref().unwrap_or_default();
                let text = self.vault.open_record(Purpose::Question, link.as_str(), sealed)?;
                let text = String::from_utf8(text.to_vec()).map_err(|_| VaultError::NotOurs)?;
                Ok(AskedQuestion::Own(SecretText::new(text)))
            }
            Ask::BirthDate | Ask::CodeByEmail | Ask::CodeBySms | Ask::CodeByStaff | Ask::CodeOnSlip => {
                Ok(AskedQuestion::BirthDate)
            }
        }
    }

    /// Takes this browser's answer to what the link asks, and says how the link stands then.
    ///
    /// # Errors
    /// [`OpenError`]; what was counted before a fault stays counted.
    pub async fn answer(
        &self,
        holder: &Holder<'_>,
        check: Check,
        answer: &SecretText,
    ) -> Result<(Said, Looked), OpenError> {
        let proven = self.prove(holder).await?;
        let now = self.clock.now();
        let said = match self.looked(&proven, now).await? {
            Looked::Ready(standing) => match &standing.asks {
                Some(asks) if asks.left == 0 => Said::Locked,
                Some(_) => self.judge_answer(&proven, check, answer, now).await?,
                None => Said::NotAsked,
            },
            Looked::Yours(_) | Looked::Ended(_) => Said::NotAsked,
        };
        let again = self.reload(&proven).await?;
        Ok((said, self.looked(&again, self.clock.now()).await?))
    }

    async fn judge_answer(
        &self,
        proven: &Proven,
        check: Check,
        answer: &SecretText,
        now: UtcMillis,
    ) -> Result<Said, OpenError> {
        let (id, cookie) = (proven.link.id.clone(), proven.cookie_hash);
        let (row, answered) = self
            .store
            .read(move |conn| Ok((store::challenge_of(conn, &id)?, store::answered_by(conn, &id, &cookie)?)))
            .await?;
        let Some(asked) = row.as_ref().and_then(|row| row.asked(check)) else { return Ok(Said::NotAsked) };
        if answered.contains(&check) {
            return Ok(Said::Right);
        }
        let Some(sealed) = asked.answer_at(now) else { return Ok(Said::NoCode) };
        if asked.ask == Ask::CodeOnSlip && SlipCode::parse_typed(answer.expose()).is_none() {
            return Ok(Said::Mistyped);
        }
        let id = proven.link.id.clone();
        match self.store.write(move |tx| store::count_attempt(tx, &id, now)).await? {
            Attempt::Refused => return Ok(Said::Locked),
            Attempt::Counted => {}
        }
        let is_right = self.is_right(&proven.link.id, asked.ask, sealed, answer).await?;
        let (ask, compared, proven) = (asked.ask, sealed.to_vec(), proven.clone());
        Ok(self.store.write(move |tx| settle(tx, &proven, ask, &compared, is_right, now)).await?)
    }

    pub(super) async fn is_right(
        &self,
        link: &LinkId,
        ask: Ask,
        sealed: &[u8],
        answer: &SecretText,
    ) -> Result<Verdict, OpenError> {
        let kept = self.vault.open_record(Purpose::Answer, link.as_str(), sealed)?;
        let kept = AnswerHash::from_bytes(&kept).ok_or(VaultError::NotOurs)?;
        let forms = match ask {
            Ask::BirthDate | Ask::PatientsBirthDate => forms_of(answer.expose(), Form::BirthDate),
            Ask::OwnQuestion => forms_of(answer.expose(), Form::Words),
            Ask::CodeByEmail | Ask::CodeBySms | Ask::CodeByStaff => vec![code_form(answer.expose())],
            Ask::CodeOnSlip => {
                SlipCode::parse_typed(answer.expose()).iter().map(|code| code.expose().to_owned()).collect()
            }
        };
        // What cannot be right is hashed all the same: how long an answer takes says nothing of it.
        let forms = Zeroizing::new(if forms.is_empty() { vec![String::new()] } else { forms });
        let pepper = self.vault.pepper().clone();
        let is_right = self.hashing(move || kept.is_any_of(&pepper, &forms)).await?;
        Ok(if is_right { Verdict::Right } else { Verdict::Wrong })
    }

    pub(super) async fn hashing<T: Send + 'static>(
        &self,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OpenError> {
        let _place = self.hashed_at_once.acquire().await.map_err(|_| OpenError::Stopped)?;
        tokio::task::spawn_blocking(hash).await.map_err(|_| OpenError::Stopped)
    }

    /// Makes a code and has it sent by the channel that the link was given for that, or, where it is locked, by the one that unlocks
    /// it; the one before ends.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn send_code(&self, holder: &Holder<'_>) -> Result<(CodeSaid, Looked), OpenError> {
        let proven = self.prove(holder).await?;
        let now = self.clock.now();
        let looked = self.looked(&proven, now).await?;
        let Looked::Ready(standing) = &looked else { return Ok((CodeSaid::NotAsked, looked)) };
        let Some((channel, purpose)) = standing.asks.as_ref().and_then(Asks::wanted_code) else {
            return Ok((CodeSaid::NotAsked, looked));
        };
        let id = proven.link.id.clone();
        let sent = self.store.read(move |conn| store::codes_sent_since(conn, &id, now.minus(hours(1)))).await?;
        if let Some(until) = next_after(&sent) {
            return Ok((CodeSaid::TooMany { until }, looked));
        }
        let made = self.make_code(&proven, channel, now).await?;
        let owner = proven.clone();
        let said = self.store.write(move |tx| queue_code(tx, &owner, &made, purpose, now)).await?;
        self.queued.ring();
        let again = self.reload(&proven).await?;
        Ok((said, self.looked(&again, now).await?))
    }

    async fn make_code(&self, proven: &Proven, channel: Channel, now: UtcMillis) -> Result<MadeCode, OpenError> {
        let (vault, link, delivery) = (self.vault.clone(), proven.link.id.clone(), proven.link.delivery.clone());
        let made = self
            .hashing(move || {
                let mut rng = random::system();
                let code = random::digits(CODE_DIGITS, &mut rng);
                let hash = AnswerHash::of(vault.pepper(), code.expose(), &mut rng);
                let (notice, key) = (NoticeId::random(&mut rng), KeyName::outbox(now));
                let sealed = vault.seal_dated(&key, Purpose::Code, notice.as_str(), code.expose().as_bytes())?;
                Ok::<_, VaultError>(MadeCode {
                    answer_sealed: vault.seal_record(Purpose::Answer, link.as_str(), &hash.to_bytes()),
                    fingerprint: sealed.fingerprint.to_string(),
                    notice: NewNotice {
                        id: notice,
                        delivery,
                        link,
                        kind: NoticeKind::Code,
                        channel,
                        secret: Some(NoticeSecret { sealed: sealed.bytes, key: key.as_str().to_owned() }),
                    },
                    key,
                })
            })
            .await??;
        Ok(made)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CodeFor {
    Opening,
    Unlocking,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
}

struct MadeCode {
    answer_sealed: Vec<u8>,
    notice: NewNotice,
    key: KeyName,
    fingerprint: String,
}

/// When one more may be sent; `None`: now.
fn next_after(sent: &[UtcMillis]) -> Option<UtcMillis> {
    let max = usize::try_from(CODES_AN_HOUR_MAX).unwrap_or(usize::MAX);
    let oldest_of_last = sent.len().checked_sub(max).and_then(|at| sent.get(at))?;
    Some(oldest_of_last.plus(hours(1)))
}

fn queue_code(
    tx: &mut Tx,
    owner: &Proven,
    made: &MadeCode,
    purpose: CodeFor,
    now: UtcMillis,
) -> Result<CodeSaid, store::StoreError> {
    store::hold_delivery(tx, &owner.delivery.id)?;
    // Asked again where nobody else can send one meanwhile.
    if let Some(until) = next_after(&store::codes_sent_since(tx.conn(), &owner.link.id, now.minus(hours(1)))?) {
        return Ok(CodeSaid::TooMany { until });
    }
    store::use_dated_key(tx, made.key.kind().as_str(), made.key.as_str(), &made.fingerprint, now)?;
    let (link, until) = (&owner.link.id, now.plus(CODE_LIFE));
    match purpose {
        CodeFor::Opening => store::set_code(tx, link, &made.answer_sealed, until, now)?,
        CodeFor::Unlocking => store::set_unlock_code(tx, link, &made.answer_sealed, until, now)?,
    }
    store::insert_notice(tx, &made.notice, now)?;
    let event = AuditEvent::CodeAsked { link: owner.link.id.clone(), notice: made.notice.id.clone() };
    store::append(tx, &owner.delivery.entry(now, Actor::Holder, event))?;
    Ok(CodeSaid::Sent)
}

fn settle(
    tx: &mut Tx,
    proven: &Proven,
    ask: Ask,
    compared: &[u8],
    verdict: Verdict,
    now: UtcMillis,
) -> Result<Said, store::StoreError> {
    let link = proven.link.id.clone();
    let said = match verdict {
        Verdict::Wrong => Said::Wrong,
        Verdict::Right => match store::let_in(tx, &link, &proven.cookie_hash, ask, compared, now)? {
            LetIn::Yes => Said::Right,
            LetIn::TooLate => Said::NoCode,
        },
    };
    store::hold_delivery(tx, &proven.delivery.id)?;
    let left = store::challenge_of(tx.conn(), &link)?.map_or(0, |row| row.left);
    let event = match said {
        Said::Right => AuditEvent::AnsweredRight { link, asked: ask },
        Said::Wrong | Said::NoCode | Said::Mistyped | Said::Locked | Said::NotAsked => {
            AuditEvent::AnsweredWrong { link, asked: ask, left }
        }
    };
    store::append(tx, &proven.delivery.entry(now, Actor::Holder, event))?;
    Ok(said)
}
