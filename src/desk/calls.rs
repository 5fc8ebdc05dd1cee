//! Calls to those who did not open what is sensitive.

use super::shown::Brief;
use super::wishes;
use super::{Desk, DeskError};
use crate::audit::{Actor, AuditEvent};
use crate::base::DeliveryId;
use crate::store::{self, Conn, Delivery, StoreError};

impl Desk {
    /// Whom somebody should call: nobody opened their link, and it ends soon or has ended. Who has waited longest comes first.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn to_call(&self, most: i64) -> Result<Vec<Brief>, DeskError> {
        let read = move |conn: &mut Conn| {
            let wanted = store::deliveries_to_call(conn, most)?;
            wanted.iter().map(|delivery| brief_of(conn, delivery)).collect::<Result<Vec<_>, _>>()
        };
        Ok(self.store.read(read).await?)
    }

    /// Notes that somebody called, and what was said, for the audit.
    ///
    /// # Errors
    /// [`DeskError::NoCallWanted`].
    pub async fn called(&self, asked: &str, said: Option<String>) -> Result<DeliveryId, DeskError> {
        let delivery = self.find(asked).await?;
        let (now, by, id) = (self.clock.now(), self.operator.clone(), delivery.id.clone());
        let Some(link) = delivery.link else { return Err(DeskError::NoCallWanted) };
        let noted = self
            .store
            .write(move |tx| {
                let Some(owner) = store::hold_delivery(tx, &delivery.id)? else { return Ok(false) };
                if !store::note_call(tx, &link, &by, now)? {
                    return Ok(false);
                }
                let event = AuditEvent::Called { link: link.clone(), said };
                store::append(tx, &owner.entry(now, Actor::Operator(by), event))?;
                Ok(true)
            })
            .await?;
        if noted { Ok(id) } else { Err(DeskError::NoCallWanted) }
    }
}

/// A delivery in one line, with what staff should do about it.
pub(super) fn brief_of(conn: &mut Conn, delivery: &Delivery) -> Result<Brief, StoreError> {
    let notices = store::notices_of(conn, &delivery.id)?;
    let source = store::source(conn, &delivery.source)?;
    let reminder = match &delivery.link {
        Some(link) => store::reminder_of(conn, link)?,
        None => None,
    };
    let brief = Brief::new(delivery, source.as_ref(), &notices).with_call(&delivery.state, reminder.as_ref());
    Ok(if wishes::is_open(conn, delivery)? { brief.with_wish() } else { brief })
}
