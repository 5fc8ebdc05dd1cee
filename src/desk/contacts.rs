//! What is known of patients' addresses: staff look, confirm, dispute, and take their word back.
//!
//! Must stay true: an address is named by a delivery that goes there, and shown by its outline alone; whoever disputes one ends
//! the links that were sent there, for whoever reads there may not be the patient; what waits for the patient is decided again.

use serde::Serialize;

use super::{Desk, DeskError, revoke_held};
use crate::base::{Contact, DeliveryId, EmailAddress, OperatorName, PhoneNumber, UtcMillis};
use crate::policy::contact::UNKNOWN;
use crate::record::{Card, ContactStanding, ContactState, Link, LiveUntil};
use crate::sealing::Purpose;
use crate::store::{self, ContactKey, ContactRow, ContactSaid, Delivery, StoreError, Tx};

/// What a person says of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContactWord {
    /// They asked the patient, who has it.
    Confirm,
    /// It is somebody else's, or may be.
    Dispute,
    /// What was recorded counts no more.
    Clear,
}

/// One line of a list.
#[derive(Clone, Debug, Serialize)]
pub struct ContactBrief {
    /// The delivery through which it was recorded: it names the address in every command.
    pub delivery: String,
    pub clinic: String,
    pub state: &'static str,
    pub since: String,
    /// `None`: the mail relay, the text gateway, or whoever has the number.
    pub by: Option<String>,
}

/// What is known of the address of one delivery.
#[derive(Clone, Debug, Serialize)]
pub struct ContactShown {
    pub delivery: String,
    /// Its outline; `None` where the card is past its retention or not written yet.
    pub address: Option<String>,
    pub state: &'static str,
    pub since: Option<String>,
    pub by: Option<String>,
    /// Deliveries of this patient that have not ended and go, or went, there, with their states.
    pub open: Vec<(String, &'static str)>,
}

/// What followed from a person's word.
#[derive(Clone, Debug, Serialize)]
pub struct ContactChanged {
    pub delivery: String,
    pub before: &'static str,
    pub state: &'static str,
    /// Links that were sent there and are refused from now on.
    pub revoked: Vec<String>,
}

/// How a word went.
enum Said {
    Changed(ContactChanged),
    /// It is so already, in the words of [`ContactShown::state`].
    Already(&'static str),
    /// Whoever has the number asked for no more texts.
    TheHolders,
}

impl Desk {
    /// Addresses of which something is recorded; what was recorded last comes first.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn contacts(&self, state: Option<ContactState>, most: i64) -> Result<Vec<ContactBrief>, DeskError> {
        let rows = self.store.read(move |conn| store::contacts(conn, state, most)).await?;
        Ok(rows.iter().map(brief).collect())
    }

    /// The address of one delivery, found by its id, its link's id or the patient's reference.
    ///
    /// # Errors
    /// [`DeskError::Unknown`]; [`DeskError::NoAddress`].
    pub async fn contact(&self, asked: &str) -> Result<ContactShown, DeskError> {
        let (delivery, key) = self.addressed(asked).await?;
        let (row, open) = self
            .store
            .read(move |conn| {
                let open = store::open_deliveries_to(conn, &key)?;
                Ok(((store::contact(conn, &key)?, store::contact_standing(conn, &key)?), open))
            })
            .await?;
        let (row, standing) = row;
        let is_the_holders = standing.is_some_and(|standing| standing.state == ContactState::OptedOut);
        Ok(ContactShown {
            delivery: delivery.id.to_string(),
            address: self.outline_of(&delivery),
            state: state_of(standing),
            since: standing.map(|standing| standing.since.to_rfc3339()),
            by: row.filter(|_| !is_the_holders).and_then(|row| row.set_by).map(|by| by.to_string()),
            open: open.iter().map(|one| (one.id.to_string(), one.state.name())).collect(),
        })
    }

    /// Records what a person says of the address of one delivery.
    ///
    /// # Errors
    /// [`DeskError::Unknown`]; [`DeskError::NoAddress`]; [`DeskError::ContactSo`] when it is so already.
    pub async fn say_of_contact(
        &self,
        asked: &str,
        word: ContactWord,
        reason: Option<String>,
    ) -> Result<ContactChanged, DeskError> {
        let (delivery, key) = self.addressed(asked).await?;
        let (now, by) = (self.clock.now(), self.operator.clone());
        let deed = Deed { delivery, key, word, reason, by };
        match self.store.write(move |tx| deed.do_it(tx, now)).await? {
            Said::Changed(changed) => Ok(changed),
            Said::Already(state) => Err(DeskError::ContactSo { state }),
            Said::TheHolders => Err(DeskError::TheHoldersWish),
        }
    }

    async fn addressed(&self, asked: &str) -> Result<(Delivery, ContactKey), DeskError> {
        let delivery = self.find(asked).await?;
        let key = ContactKey::of(&delivery).ok_or(DeskError::NoAddress)?;
        Ok((delivery, key))
    }

    fn outline_of(&self, delivery: &Delivery) -> Option<String> {
        let sealed = delivery.card_sealed.as_ref()?;
        let plain = self.vault.open_record(Purpose::PatientCard, delivery.id.as_str(), sealed).ok()?;
        Card::from_bytes(&plain)?.to().map(|contact| outline(&contact))
    }
}

struct Deed {
    delivery: Delivery,
    key: ContactKey,
    word: ContactWord,
    reason: Option<String>,
    by: OperatorName,
}

impl Deed {
    fn do_it(self, tx: &mut Tx, now: UtcMillis) -> Result<Said, StoreError> {
        let Self { delivery, key, word, reason, by } = self;
        let open = store::hold_open_deliveries_to(tx, &delivery, &key)?;
        let seen = store::contact_standing(tx.conn(), &key)?;
        if seen.is_some_and(|seen| seen.state == ContactState::OptedOut) {
            return Ok(Said::TheHolders);
        }
        let state = match word {
            ContactWord::Confirm => Some(ContactState::ConfirmedByStaff),
            ContactWord::Dispute => Some(ContactState::Disputed),
            ContactWord::Clear => None,
        };
        // Who confirms once more asked the patient once more: the date moves on.
        let is_so = match (word, seen) {
            (ContactWord::Confirm, _) => false,
            (ContactWord::Dispute | ContactWord::Clear, seen) => seen.map(|standing| standing.state) == state,
        };
        if is_so {
            return Ok(Said::Already(state_of(seen)));
        }
        let said = ContactSaid { seen, state, reason: reason.clone(), by: by.clone() };
        store::say_of_contact(tx, &delivery, said, now)?;
        let revoked = match word {
            ContactWord::Dispute => revoke_sent(tx, open, reason.as_ref(), &by, now)?,
            ContactWord::Confirm | ContactWord::Clear => Vec::new(),
        };
        for source in store::unreleased_sources_of(tx.conn(), &key.whose)? {
            store::read_again(tx, &source, now)?;
        }
        Ok(Said::Changed(ContactChanged {
            delivery: delivery.id.to_string(),
            before: state_of(seen),
            state: state_word(state),
            revoked: revoked.iter().map(ToString::to_string).collect(),
        }))
    }
}

/// Ends the links whose messages went to this address. Those that have not left are for the hand-over to stop.
fn revoke_sent(
    tx: &mut Tx,
    open: Vec<Delivery>,
    reason: Option<&String>,
    by: &OperatorName,
    now: UtcMillis,
) -> Result<Vec<DeliveryId>, StoreError> {
    let mut revoked = Vec::new();
    for seen in open {
        let current = store::delivery(tx.conn(), &seen.id)?.map(|delivery| delivery.state);
        let was_sent = match current {
            Some(Link::Live { until: LiveUntil::At(_) } | Link::Suspended { .. }) => true,
            Some(
                Link::Live { until: LiveUntil::NotHandedOver }
                | Link::Recorded
                | Link::Held { .. }
                | Link::Review { .. }
                | Link::Blocked
                | Link::Spent
                | Link::Expired
                | Link::Revoked { .. }
                | Link::Recalled
                | Link::Superseded { .. },
            )
            | None => false,
        };
        if was_sent && revoke_held(tx, &seen.id, reason.cloned(), by.clone(), now)?.is_ok() {
            revoked.push(seen.id);
        }
    }
    Ok(revoked)
}

fn brief(row: &ContactRow) -> ContactBrief {
    ContactBrief {
        delivery: row.delivery.to_string(),
        clinic: row.key.clinic.to_string(),
        state: row.standing.state.as_str(),
        since: row.standing.since.to_rfc3339(),
        by: row.set_by.as_ref().map(ToString::to_string),
    }
}

fn state_of(standing: Option<ContactStanding>) -> &'static str {
    state_word(standing.map(|standing| standing.state))
}

fn state_word(state: Option<ContactState>) -> &'static str {
    state.map_or(UNKNOWN, ContactState::as_str)
}

/// Enough to recognise an address or number that one has before one's eyes, and not to learn it.
fn outline(contact: &Contact) -> String {
    match contact {
        Contact::Email(address) => outline_of_address(address),
        Contact::Phone(number) => outline_of_number(number),
    }
}

/// `+…01`.
fn outline_of_number(number: &PhoneNumber) -> String {
    format!("+…{}", number.ending())
}

/// `a…@e….test`.
fn outline_of_address(address: &EmailAddress) -> String {
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    let (local, domain) = address.expose().rsplit_once('@').unwrap_or_default();
    let top = domain.rsplit_once('.').map_or("", |(_, top)| top);
    format!("{}…@{}….{top}", first(local), first(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_shows_neither_name_nor_domain() {
        let outlined = outline(&Contact::Email(EmailAddress::parse("ana.garcia@mail.example.test").unwrap()));
        assert_eq!(outlined, "a…@m….test");
        let outlined = outline(&Contact::Phone(PhoneNumber::from_e164("+12025550101").unwrap()));
        assert_eq!(outlined, "+…01");
    }
}
