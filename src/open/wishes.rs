//! What the holder of a link can say beside opening it: that it was not for them, and that they want another.
//!
//! Must stay true: whoever says that it was not for them ends it at once, with whatever else went to that address, which counts as
//! disputed until a person looked;
//! a new link goes to the address of the record alone, never to whoever asks for it.

use super::holder::Proven;
use super::{Holder, Looked, Open, OpenError};
use crate::audit::{Actor, AuditEvent};
use crate::base::{DeliveryId, LinkId, NoticeId, UtcMillis, random};
use crate::record::{Link, LinkEvent, LiveUntil, RevokedBy, StaffNews};
use crate::store::{self, ContactKey, Delivery, StoreError, Tx};

impl Open {
    /// Ends the link, since whoever has it says that it was not for them.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn disown(&self, holder: &Holder<'_>) -> Result<Looked, OpenError> {
        let proven = self.prove(holder).await?;
        let now = self.clock.now();
        let disowned = proven.clone();
        let is_news = self.store.write(move |tx| disown(tx, &disowned, now)).await?;
        if is_news {
            tracing::warn!(delivery = %proven.delivery.id, "whoever got a link says that it was not for them");
        }
        let again = self.reload(&proven).await?;
        self.looked(&again, self.clock.now()).await
    }

    /// Notes that the holder of a link that ended wants another, once.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn ask_for_another(&self, holder: &Holder<'_>) -> Result<Looked, OpenError> {
        let proven = self.prove(holder).await?;
        let now = self.clock.now();
        if let Looked::Ended(ended) = self.looked(&proven, now).await?
            && ended.kind.may_be_made_again()
        {
            let wishing = proven.clone();
            self.store.write(move |tx| wish(tx, &wishing, now)).await?;
            self.wished.ring();
        }
        let again = self.reload(&proven).await?;
        self.looked(&again, self.clock.now()).await
    }
}

/// Ends the link, and every other whose message went to the same address: whoever reads there is not who was meant.
fn disown(tx: &mut Tx, proven: &Proven, now: UtcMillis) -> Result<bool, StoreError> {
    let key = ContactKey::of(&proven.delivery);
    let beside = match &key {
        Some(key) => store::hold_open_deliveries_to(tx, &proven.delivery, key)?,
        None => Vec::new(),
    };
    let Some(owner) = store::hold_delivery(tx, &proven.delivery.id)? else { return Ok(false) };
    if owner.link.as_ref() != Some(&proven.link.id) {
        return Ok(false);
    }
    let was_out = end_sent(tx, &owner.id, now)?;
    for other in beside {
        if end_sent(tx, &other.id, now)?
            && let Some(link) = &other.link
        {
            note_disowned(tx, &other, link, now)?;
        }
    }
    let is_new_dispute = match &key {
        Some(key) => store::dispute_contact(tx, &owner, key, Actor::Holder, now)?,
        None => false,
    };
    // Of an address that was disputed before, a link that is closed is news all the same.
    if !was_out && !is_new_dispute {
        return Ok(false);
    }
    note_disowned(tx, &owner, &proven.link.id, now)?;
    Ok(true)
}

/// Each report that went to the wrong address is for staff to send anew.
fn note_disowned(tx: &mut Tx, delivery: &Delivery, link: &LinkId, now: UtcMillis) -> Result<(), StoreError> {
    let opened = store::opened_of(tx.conn(), &delivery.id)?;
    store::tell_staff(tx, &NoticeId::random(&mut random::system()), delivery, link, StaffNews::Disowned, now)?;
    let said = AuditEvent::Disowned { link: link.clone(), opened };
    store::append(tx, &delivery.entry(now, Actor::Holder, said))
}

/// Ends the link whose message left. Returns whether there was one. As it is now: it may have ended with another's. What has not left is
/// for the hand-over to stop.
fn end_sent(tx: &mut Tx, id: &DeliveryId, now: UtcMillis) -> Result<bool, StoreError> {
    let Some(delivery) = store::hold_delivery(tx, id)? else { return Ok(false) };
    let (Link::Live { until: LiveUntil::At(_) } | Link::Suspended { until: LiveUntil::At(_), .. }) = delivery.state
    else {
        return Ok(false);
    };
    let step = delivery.state.clone().step(LinkEvent::Revoke { by: RevokedBy::Recipient }, now)?;
    store::advance(tx, &delivery, &step, Actor::Holder, now)?;
    Ok(true)
}

fn wish(tx: &mut Tx, proven: &Proven, now: UtcMillis) -> Result<(), StoreError> {
    let Some(owner) = store::hold_delivery(tx, &proven.delivery.id)? else { return Ok(()) };
    if store::wish_for_link(tx, &proven.link.id, now)? {
        let wanted = AuditEvent::AnotherWanted { link: proven.link.id.clone() };
        store::append(tx, &owner.entry(now, Actor::Holder, wanted))?;
    }
    Ok(())
}
