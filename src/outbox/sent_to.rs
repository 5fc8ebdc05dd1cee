//! Which address or number a message goes to.

use crate::base::Contact;
use crate::keys::Vault;
use crate::record::{Card, NoticeKind};
use crate::sealing::Purpose;
use crate::store::{ContactKey, Delivery, NoticeRow};

/// The one that the link was decided for; of a code the card says by its channel, since it may go the other way. `None` where that
/// cannot be known, or is past its retention.
pub(super) fn sent_to(vault: &Vault, notice: &NoticeRow, delivery: &Delivery) -> Option<ContactKey> {
    let of_link = ContactKey::of(delivery)?;
    if notice.kind != NoticeKind::Code {
        return Some(of_link);
    }
    let address = vault.contact_index(&contact_in_card(vault, notice, delivery)?);
    Some(ContactKey { address, ..of_link })
}

/// The address or number itself. Of a delivery that has another link by now the card may hold another.
pub(super) fn contact_in_card(vault: &Vault, notice: &NoticeRow, delivery: &Delivery) -> Option<Contact> {
    if delivery.link.as_ref() != Some(&notice.link) {
        return None;
    }
    let sealed = delivery.card_sealed.as_deref()?;
    let plain = vault.open_record(Purpose::PatientCard, delivery.id.as_str(), sealed).ok()?;
    Card::from_bytes(&plain)?.at(notice.channel)
}
