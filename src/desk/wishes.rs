//! Holders of ended links who want another: some get it by themselves, of the others staff decide.
//!
//! Must stay true: a new link goes to the address of the record, as any does; by itself only where the rules say so (`reissue =
//! "self"`), and once for each link; what cannot be made again so is left to staff.

use super::shown::Brief;
use super::{Desk, DeskError, calls};
use crate::audit::Actor;
use crate::base::{NoticeId, UtcMillis, random};
use crate::policy::Decision;
use crate::policy::vocabulary::Reissue;
use crate::record::{Link, StaffNews};
use crate::store::{self, Conn, Delivery, StoreError, Tx};

/// Wishes looked at in one turn.
const BATCH: i64 = 20;

impl Desk {
    /// Whose holders want another link and have none; who has waited longest comes first.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn wished_for(&self, most: i64) -> Result<Vec<Brief>, DeskError> {
        let read = move |conn: &mut Conn| {
            let wished = store::deliveries_wished_for(conn, most)?;
            wished.iter().map(|delivery| calls::brief_of(conn, delivery)).collect::<Result<Vec<_>, _>>()
        };
        Ok(self.store.read(read).await?)
    }
}

/// The step that gives links to those who may have them by themselves.
pub struct Wishes {
    pub desk: Desk,
}

impl Wishes {
    /// Looks at each new wish once. Returns at how many.
    ///
    /// # Errors
    /// [`DeskError::Store`]; what was not looked at is found again.
    pub async fn turn(&self) -> Result<usize, DeskError> {
        let new = self.desk.store.read(|conn| store::new_wishes(conn, BATCH)).await?;
        let mut looked = 0;
        for delivery in new {
            looked += self.look_at(delivery).await?;
        }
        Ok(looked)
    }

    async fn look_at(&self, delivery: Delivery) -> Result<usize, DeskError> {
        let now = self.desk.clock.now();
        let Some(link) = delivery.link.clone() else { return Ok(0) };
        let has_it_by_itself = may_have_it(&delivery);
        let seen = delivery.clone();
        // Before it is made: after a crash staff see it, and nobody gets two.
        let is_first = self
            .desk
            .store
            .write(move |tx| {
                let is_first = store::note_wish_seen(tx, &link, now)?;
                if is_first && !has_it_by_itself {
                    tell_staff(tx, &seen, now)?;
                }
                Ok(is_first)
            })
            .await?;
        if !is_first || !has_it_by_itself {
            return Ok(usize::from(is_first));
        }
        match self.desk.resend_for(delivery.id.as_str(), None, Actor::Holder).await {
            Ok(_) => Ok(1),
            Err(DeskError::Store(error)) => Err(error.into()),
            Err(why) => {
                tracing::warn!(delivery = %delivery.id, %why, "a link cannot be made again by itself; see `chartseal deliveries list --wished`");
                self.desk.store.write(move |tx| tell_staff(tx, &delivery, now)).await?;
                Ok(1)
            }
        }
    }
}

fn tell_staff(tx: &mut Tx, delivery: &Delivery, now: UtcMillis) -> Result<(), StoreError> {
    let Some(link) = &delivery.link else { return Ok(()) };
    store::tell_staff(tx, &NoticeId::random(&mut random::system()), delivery, link, StaffNews::AnotherWanted, now)
}

/// Whether its rules let a new link be made without staff. Of one that staff or its recipient ended, staff decide.
fn may_have_it(delivery: &Delivery) -> bool {
    let is_used_up = match delivery.state {
        Link::Spent | Link::Expired => true,
        Link::Recorded
        | Link::Held { .. }
        | Link::Review { .. }
        | Link::Live { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => false,
    };
    let reissue = match &delivery.decision {
        Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => terms.reissue,
        Decision::Review { terms: None, .. } | Decision::Block { .. } => Reissue::Staff,
    };
    is_used_up && reissue == Reissue::Patient
}

/// Whether the holder of its link waits for another.
pub(super) fn is_open(conn: &mut Conn, delivery: &Delivery) -> Result<bool, StoreError> {
    match &delivery.link {
        Some(link) => store::is_wish_open(conn, link),
        None => Ok(false),
    }
}
