//! Who holds the link: the proof, checked so that a stranger learns nothing from the answer or its time.

use super::{Holder, Nonce, Open, OpenError};
use crate::base::LinkId;
use crate::keys::VaultError;
use crate::record::Link;
use crate::sealing::{AuthKey, Purpose, verify_proof};
use crate::store::{self, Delivery, LinkRow};

/// The row name that the decoy is bound to. Sixteen characters like an id, but not one that is ever made.
pub(super) const DECOY: &str = "AAAAAAAAAAAAAAAA";

/// A request whose sender proved to hold the link's secret.
#[derive(Clone)]
pub(super) struct Proven {
    pub(super) link: LinkRow,
    /// The delivery that the link belongs to, as it stands now.
    pub(super) delivery: Delivery,
    pub(super) cookie_hash: [u8; 32],
}

impl Proven {
    /// Whether nothing can be opened by this link now, whatever its openings say: it was shredded, it is not its
    /// delivery's any more, or that does not stand open.
    pub(super) fn is_dead(&self) -> bool {
        let is_live = match self.delivery.state {
            Link::Live { .. } => true,
            Link::Recorded
            | Link::Held { .. }
            | Link::Review { .. }
            | Link::Blocked
            | Link::Suspended { .. }
            | Link::Spent
            | Link::Expired
            | Link::Revoked { .. }
            | Link::Recalled
            | Link::Superseded { .. } => false,
        };
        !is_live || self.link.shredded_at.is_some() || self.delivery.link.as_ref() != Some(&self.link.id)
    }
}

/// The id to look for: what was asked for, or the decoy's where that is no id, so that both cost the same work.
pub(super) fn asked_for(link: &str) -> Result<LinkId, OpenError> {
    LinkId::parse(link).or_else(|_| LinkId::parse(DECOY)).map_err(|_| OpenError::Stopped)
}

impl Open {
    pub(super) async fn prove(&self, holder: &Holder<'_>) -> Result<Proven, OpenError> {
        let cookie_hash = holder.cookie.and_then(super::nonce::hash_of).ok_or(OpenError::NoCookie)?;
        let now = self.clock.now();
        let nonce = Nonce::verify(holder.nonce, holder.link, &cookie_hash, self.vault.pepper(), now);
        let given = data_encoding::BASE64URL_NOPAD.decode(holder.proof.as_bytes()).unwrap_or_default();
        let asked = asked_for(holder.link)?;

        // The same reads and the same arithmetic whether the link exists or not.
        let id = asked.clone();
        let (row, delivery) = self
            .store
            .read(move |conn| {
                let row = store::link(conn, &id)?;
                let delivery = standing(conn, &id, row.as_ref())?;
                Ok((row, delivery))
            })
            .await?;
        let known = row.as_ref().and_then(|row| row.auth_sealed.clone());
        let key = match &known {
            Some(sealed) => self.vault.open_record(Purpose::AuthKey, asked.as_str(), sealed)?,
            None => self.vault.open_record(Purpose::AuthKey, DECOY, &self.decoys.auth)?,
        };
        let key = AuthKey::from_slice(&key).ok_or(VaultError::NotOurs)?;
        let proven = verify_proof(&key, nonce.as_deref().unwrap_or_default(), &asked, &cookie_hash, &given);
        match (proven, nonce, known, row, delivery) {
            (Some(_), Some(_), Some(_), Some(link), Some(delivery)) => Ok(Proven { link, delivery, cookie_hash }),
            (_, _, _, _, _) => Err(OpenError::NotHolder),
        }
    }

    /// The same holder's link and delivery as they stand now.
    pub(super) async fn reload(&self, proven: &Proven) -> Result<Proven, OpenError> {
        let id = proven.link.id.clone();
        let (row, delivery) = self
            .store
            .read(move |conn| {
                let row = store::link(conn, &id)?;
                let delivery = standing(conn, &id, row.as_ref())?;
                Ok((row, delivery))
            })
            .await?;
        match (row, delivery) {
            (Some(link), Some(delivery)) => Ok(Proven { link, delivery, cookie_hash: proven.cookie_hash }),
            (_, _) => Err(OpenError::NotHolder),
        }
    }
}

/// The delivery by which the link stands: that of its own report, unless another report in it is suspended.
fn standing(conn: &mut store::Conn, id: &LinkId, row: Option<&LinkRow>) -> Result<Option<Delivery>, store::StoreError> {
    let of_link = store::delivery_of_link(conn, id)?;
    if let Some(Delivery { state: Link::Suspended { .. }, .. }) = of_link {
        return Ok(of_link);
    }
    match row {
        Some(row) if of_link.as_ref().is_none_or(|of_link| of_link.id != row.delivery) => {
            store::delivery(conn, &row.delivery)
        }
        Some(_) | None => Ok(of_link),
    }
}
