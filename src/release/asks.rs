//! What a link will ask, by its rules and by what is known.
//!
//! Must stay true: what the rules ask is asked, or no link is made; an answer is kept hashed, and in plain nowhere.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::Hindrance;
use crate::base::{DeliveryId, LinkId, random};
use crate::keys::{Vault, VaultError};
use crate::policy::{Challenge, Channel, CodeWay, ReviewReason, Terms};
use crate::record::{Ask, Card, RecipientRole};
use crate::sealing::{AnswerHash, Purpose};
use crate::store::{NewAsk, NewChallenge, QuestionRow, SlipRow};

/// What a question can be about. Patient data: no `Debug`.
#[derive(Clone)]
pub(super) struct Answers {
    /// The patient's day of birth, where the record has all of it.
    pub(super) born: Option<NaiveDate>,
    /// The clinic's own goes before it.
    pub(super) question: Option<QuestionRow>,
    /// The one that is bound to its order.
    pub(super) slip: Option<SlipRow>,
}

/// Whose link asks.
pub(super) struct Asker<'a> {
    pub(super) delivery: &'a DeliveryId,
    pub(super) recipient: RecipientRole,
    /// Where the link goes, and where else a code can.
    pub(super) card: &'a Card,
    pub(super) link: &'a LinkId,
}

impl Answers {
    /// Whether both are for one slip, or for none.
    pub(super) fn has_slip_of(&self, other: &Self) -> bool {
        let name = |answers: &Self| answers.slip.as_ref().map(|slip| slip.reference.clone());
        name(self) == name(other)
    }

    /// Refuses where the rules ask for what nobody could answer.
    pub(super) fn suffice(&self, terms: &Terms, card: &Card) -> Result<(), Hindrance> {
        if terms.challenges.contains(&Challenge::Question) && self.born.is_none() && self.question.is_none() {
            return Err(Hindrance::Review(ReviewReason::NothingToAsk));
        }
        if terms.challenges.contains(&Challenge::Code) {
            let ask = code_ask(terms, card).map_err(Hindrance::Review)?;
            if ask == Ask::CodeOnSlip && self.slip.is_none() {
                return Err(Hindrance::Review(ReviewReason::NoSlip));
            }
        }
        Ok(())
    }

    /// `None` for a link that asks nothing. Takes the time of a slow hash.
    pub(super) fn challenge(
        &self,
        terms: &Terms,
        asker: &Asker<'_>,
        vault: &Vault,
    ) -> Result<Option<NewChallenge>, VaultError> {
        let mut asks = Vec::new();
        if terms.challenges.contains(&Challenge::Question) {
            asks.push(self.question(asker, vault)?);
        }
        if terms.challenges.contains(&Challenge::Code) {
            // Looked at when it was judged.
            let ask = code_ask(terms, asker.card).map_err(|_| VaultError::NotOurs)?;
            let answer_sealed = if ask == Ask::CodeOnSlip { Some(self.slips_code(asker, vault)?) } else { None };
            asks.push(NewAsk { ask, question_sealed: None, answer_sealed });
        }
        let unlock_by = unlocking_channel(terms, asker.card);
        Ok((!asks.is_empty()).then_some(NewChallenge { attempts: terms.attempts, asks, unlock_by }))
    }

    fn slips_code(&self, asker: &Asker<'_>, vault: &Vault) -> Result<Vec<u8>, VaultError> {
        let slip = self.slip.as_ref().ok_or(VaultError::NotOurs)?;
        let hash = vault.open_record(Purpose::Answer, slip.reference.as_str(), &slip.code_sealed)?;
        Ok(vault.seal_record(Purpose::Answer, asker.link.as_str(), &hash))
    }

    fn question(&self, asker: &Asker<'_>, vault: &Vault) -> Result<NewAsk, VaultError> {
        let seal_answer = |hash: &[u8]| Some(vault.seal_record(Purpose::Answer, asker.link.as_str(), hash));
        if let Some(own) = &self.question {
            let open = |purpose, sealed: &[u8]| vault.open_record(purpose, asker.delivery.as_str(), sealed);
            let text = open(Purpose::Question, &own.question_sealed)?;
            return Ok(NewAsk {
                ask: Ask::OwnQuestion,
                question_sealed: Some(vault.seal_record(Purpose::Question, asker.link.as_str(), &text)),
                answer_sealed: seal_answer(&open(Purpose::Answer, &own.answer_sealed)?),
            });
        }
        let born = self.born.ok_or(VaultError::NotOurs)?.to_string();
        let hash = AnswerHash::of(vault.pepper(), &born, &mut random::system());
        Ok(NewAsk {
            ask: match asker.recipient {
                RecipientRole::Patient => Ask::BirthDate,
                RecipientRole::Proxy
                | RecipientRole::OrderingProvider
                | RecipientRole::CopyTo
                | RecipientRole::ThirdParty => Ask::PatientsBirthDate,
            },
            question_sealed: None,
            answer_sealed: seal_answer(&hash.to_bytes()),
        })
    }
}

/// By which channel beside the link's a code can unlock it, should it be locked: one that the rules allow for it.
fn unlocking_channel(terms: &Terms, card: &Card) -> Option<Channel> {
    let link = card.channel()?;
    card.channels().find(|channel| *channel != link && terms.channels.contains(channel))
}

fn code_ask(terms: &Terms, card: &Card) -> Result<Ask, ReviewReason> {
    let reachable: BTreeSet<Channel> = card.channels().collect();
    let Some(link) = card.channel() else {
        return Err(ReviewReason::NoContact { why: "the card holds no address".to_owned() });
    };
    match terms.code_way(link, &reachable) {
        CodeWay::Sent(channel) => Ok(Ask::code_by(channel)),
        CodeWay::Staff => Ok(Ask::CodeByStaff),
        CodeWay::Slip => Ok(Ask::CodeOnSlip),
        CodeWay::PickUp => Err(ReviewReason::PickUp),
        CodeWay::None => Err(ReviewReason::NotAvailable {
            what: "a code by another channel than the link's, and names no other way (code_else)".to_owned(),
        }),
    }
}
