//! What staff do about what a link asks: a question of the clinic's own, a code told to somebody whom they know, a lock taken off.
//!
//! Must stay true: a code told here opens nothing without the link, and is told once; who told it after which check is in the audit; a
//! link is unlocked once in its life.

use super::{Desk, DeskError, held};
use crate::audit::{Actor, AuditEvent};
use crate::base::{DeliveryId, LinkId, SecretText, random};
use crate::policy::Challenge as Check;
use crate::record::{Checked, Link, STAFF_CODE_LIFE};
use crate::sealing::{AnswerHash, Purpose};
use crate::store::{self, Delivery, QuestionRow, StoreError, Tx, Unlocked};
use crate::whose::normal_form;

/// Digits of a code that staff tell.
const CODE_DIGITS: u32 = 8;
/// The longest question that a page shows well, in characters.
const QUESTION_CHARACTERS_MAX: usize = 200;

/// A question of the clinic's own and its answer. Patient data: no `Debug`.
pub struct OwnQuestion {
    text: SecretText,
    /// In its normal form.
    answer: SecretText,
}

impl OwnQuestion {
    /// # Errors
    /// [`DeskError::NoQuestion`] for a question that cannot be shown, or an answer that could not be told from another.
    pub fn new(text: &str, answer: &SecretText) -> Result<Self, DeskError> {
        let text = text.trim();
        let is_shown =
            (1..=QUESTION_CHARACTERS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        match normal_form(answer.expose()) {
            Some(answer) if is_shown => {
                Ok(Self { text: SecretText::new(text.to_owned()), answer: SecretText::new(answer) })
            }
            Some(_) | None => Err(DeskError::NoQuestion),
        }
    }
}

/// A code to be told, and of which delivery's link.
pub struct ToldCode {
    pub delivery: DeliveryId,
    pub code: SecretText,
    /// RFC 3339.
    pub until: String,
}

impl Desk {
    pub(super) async fn sealed_question(
        &self,
        delivery: &DeliveryId,
        question: OwnQuestion,
    ) -> Result<QuestionRow, DeskError> {
        let (vault, id) = (self.vault.clone(), delivery.clone());
        let sealed = tokio::task::spawn_blocking(move || {
            let hash = AnswerHash::of(vault.pepper(), question.answer.expose(), &mut random::system());
            let seal = |purpose, plain: &[u8]| vault.seal_record(purpose, id.as_str(), plain);
            QuestionRow {
                question_sealed: seal(Purpose::Question, question.text.expose().as_bytes()),
                answer_sealed: seal(Purpose::Answer, &hash.to_bytes()),
            }
        });
        sealed.await.map_err(|_| DeskError::Stopped)
    }

    /// The old delivery's own question for the new one; `None` where it has none.
    pub(super) async fn question_again(
        &self,
        old: &DeliveryId,
        new: &DeliveryId,
    ) -> Result<Option<QuestionRow>, DeskError> {
        let id = old.clone();
        let Some(kept) = self.store.read(move |conn| store::question_of(conn, &id)).await? else { return Ok(None) };
        let again = |purpose, sealed: &[u8]| {
            let plain = self.vault.open_record(purpose, old.as_str(), sealed).map_err(|_| DeskError::Stopped)?;
            Ok::<_, DeskError>(self.vault.seal_record(purpose, new.as_str(), &plain))
        };
        Ok(Some(QuestionRow {
            question_sealed: again(Purpose::Question, &kept.question_sealed)?,
            answer_sealed: again(Purpose::Answer, &kept.answer_sealed)?,
        }))
    }

    /// Makes a code for the link of a delivery, for whoever `checked` says how they were recognised. It ends the one before.
    ///
    /// # Errors
    /// [`DeskError::AsksNoCode`]; [`DeskError::Locked`] where no answer is taken any more.
    pub async fn code(&self, asked: &str, checked: Checked) -> Result<ToldCode, DeskError> {
        let delivery = self.find(asked).await?;
        let link = live_link(&delivery)?;
        let id = link.clone();
        let challenge = self.store.read(move |conn| store::challenge_of(conn, &id)).await?;
        match &challenge {
            Some(row) if row.asked(Check::Code).is_none() => return Err(DeskError::AsksNoCode),
            Some(row) if row.left == 0 => return Err(DeskError::Locked),
            Some(_) => {}
            None => return Err(DeskError::AsksNoCode),
        }
        let (now, actor) = (self.clock.now(), Actor::Operator(self.operator.clone()));
        let until = now.plus(STAFF_CODE_LIFE);
        let (vault, id) = (self.vault.clone(), link.clone());
        let made = tokio::task::spawn_blocking(move || {
            let code = random::digits(CODE_DIGITS, &mut random::system());
            let hash = AnswerHash::of(vault.pepper(), code.expose(), &mut random::system());
            (vault.seal_record(Purpose::Answer, id.as_str(), &hash.to_bytes()), code)
        });
        let (answer_sealed, code) = made.await.map_err(|_| DeskError::Stopped)?;
        let told = ToldCode { delivery: delivery.id.clone(), code, until: until.to_rfc3339() };
        self.store
            .write(move |tx| {
                let delivery = still_live(tx, &delivery.id, &link)?;
                store::set_code(tx, &link, &answer_sealed, until, now)?;
                store::append(tx, &delivery.entry(now, actor, AuditEvent::CodeTold { link, checked }))
            })
            .await?;
        Ok(told)
    }

    /// Lets a locked link take answers again, once in its life.
    ///
    /// # Errors
    /// [`DeskError::NotLocked`]; [`DeskError::UnlockedBefore`].
    pub async fn unlock(&self, asked: &str, reason: String) -> Result<DeliveryId, DeskError> {
        let delivery = self.find(asked).await?;
        let link = live_link(&delivery)?;
        let (now, actor, id) = (self.clock.now(), Actor::Operator(self.operator.clone()), delivery.id.clone());
        let done = self
            .store
            .write(move |tx| {
                let delivery = still_live(tx, &delivery.id, &link)?;
                let done = store::unlock(tx, &link, now)?;
                if done == Unlocked::Done {
                    store::append(tx, &delivery.entry(now, actor, AuditEvent::Unlocked { link, reason }))?;
                }
                Ok(done)
            })
            .await?;
        match done {
            Unlocked::Done => Ok(id),
            Unlocked::NotLocked => Err(DeskError::NotLocked),
            Unlocked::Before => Err(DeskError::UnlockedBefore),
        }
    }
}

fn live_link(delivery: &Delivery) -> Result<LinkId, DeskError> {
    match (&delivery.state, &delivery.link) {
        (Link::Live { .. }, Some(link)) => Ok(link.clone()),
        (_, _) => Err(DeskError::NotOut),
    }
}

fn still_live(tx: &mut Tx, id: &DeliveryId, link: &LinkId) -> Result<Delivery, StoreError> {
    let delivery = held(tx, id)?;
    let is_same = delivery.link.as_ref() == Some(link) && matches!(delivery.state, Link::Live { .. });
    if is_same { Ok(delivery) } else { Err(StoreError::Moved) }
}
