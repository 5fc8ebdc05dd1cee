//! Unlocking a link that took too many wrong answers, through the channel by which it did not come.
//!
//! Must stay true: once in a link's life; a code counts as wrong before it is hashed, and a few wrong ones leave it to staff; what was
//! asked is asked still.

use super::challenge::{AskedUnlock, Said, Verdict};
use super::holder::Proven;
use super::{Holder, Looked, Open, OpenError};
use crate::audit::{Actor, AuditEvent};
use crate::base::{SecretText, UtcMillis};
use crate::record::Ask;
use crate::store::{self, Attempt, ChallengeRow, LetIn, StoreError, Tx};

/// How a locked link can be unlocked now; `None` where it is not locked, was unlocked before, or has taken too many wrong codes.
pub(super) fn asked(row: &ChallengeRow, now: UtcMillis) -> Option<AskedUnlock> {
    let unlock = row.unlock.as_ref().filter(|unlock| unlock.left > 0)?;
    let is_locked = row.left == 0 && row.unlocked_at.is_none();
    let until = unlock.answer_at(now).and(unlock.until);
    is_locked.then_some(AskedUnlock { by: unlock.by, left: unlock.left, until })
}

impl Open {
    /// Takes the code that was sent through the other channel, and says how the link stands then.
    ///
    /// # Errors
    /// [`OpenError`]; what was counted before a fault stays counted.
    pub async fn unlock(&self, holder: &Holder<'_>, code: &SecretText) -> Result<(Said, Looked), OpenError> {
        let proven = self.prove(holder).await?;
        let now = self.clock.now();
        let said = match self.looked(&proven, now).await? {
            Looked::Ready(standing) if standing.asks.as_ref().is_some_and(|asks| asks.unlock.is_some()) => {
                self.judge_unlocking(&proven, code, now).await?
            }
            Looked::Ready(_) | Looked::Yours(_) | Looked::Ended(_) => Said::NotAsked,
        };
        let again = self.reload(&proven).await?;
        Ok((said, self.looked(&again, self.clock.now()).await?))
    }

    async fn judge_unlocking(&self, proven: &Proven, code: &SecretText, now: UtcMillis) -> Result<Said, OpenError> {
        let id = proven.link.id.clone();
        let row = self.store.read(move |conn| store::challenge_of(conn, &id)).await?;
        let Some(unlock) = row.and_then(|row| row.unlock) else { return Ok(Said::NotAsked) };
        let Some(sealed) = unlock.answer_at(now) else { return Ok(Said::NoCode) };
        let id = proven.link.id.clone();
        match self.store.write(move |tx| store::count_unlocking(tx, &id, now)).await? {
            Attempt::Refused => return Ok(Said::Locked),
            Attempt::Counted => {}
        }
        let ask = Ask::code_by(unlock.by);
        let verdict = self.is_right(&proven.link.id, ask, sealed, code).await?;
        let (proven, compared) = (proven.clone(), sealed.to_vec());
        Ok(self.store.write(move |tx| settle(tx, &proven, ask, &compared, verdict, now)).await?)
    }
}

fn settle(
    tx: &mut Tx,
    proven: &Proven,
    ask: Ask,
    compared: &[u8],
    verdict: Verdict,
    now: UtcMillis,
) -> Result<Said, StoreError> {
    store::hold_delivery(tx, &proven.delivery.id)?;
    let link = proven.link.id.clone();
    let (said, event) = match verdict {
        Verdict::Wrong => {
            let left =
                store::challenge_of(tx.conn(), &link)?.and_then(|row| row.unlock).map_or(0, |unlock| unlock.left);
            (Said::Wrong, AuditEvent::AnsweredWrong { link, asked: ask, left })
        }
        Verdict::Right => match store::unlock_by_code(tx, &link, compared, now)? {
            LetIn::Yes => (Said::Right, AuditEvent::Unlocked { link, reason: ask.spoken().to_owned() }),
            LetIn::TooLate => return Ok(Said::NoCode),
        },
    };
    store::append(tx, &proven.delivery.entry(now, Actor::Holder, event))?;
    Ok(said)
}
