//! Who may act: people with keys of their own, and what each role may do.
//!
//! Must stay true: a key leaves this module once, when it is made; a wrong key and an unknown name get the same answer; as
//! long as nobody was ever added, a name is believed, and from the first person on it never is again; a key is given without
//! another's being shown only to a lead, by a word that root of this machine wrote beside the keys. Neither the network nor
//! whoever can write the database alone gives one: the hash of a key takes the root key, and the name is a part of it.

use std::path::PathBuf;

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::{Desk, DeskError, installation};
use crate::audit::{AuditEvent, Chain};
use crate::base::{Key256, OperatorName, SecretText, UtcMillis, random};
use crate::keys::{KeyError, Vault};
use crate::store::{self, Conn, Ended, NewOperator, OperatorRow, Rekeyed, Role, Store, StoreError};

/// How a key begins, so that whoever finds one knows what it is.
const KEY_PREFIX: &str = "chartseal-key-";
/// Where two operators have the same key, their hashes differ all the same: the name is part of what is hashed.
const KEY_DOMAIN: &str = "operator-key";

/// The key of one person.
pub struct OperatorKey(Key256);

impl OperatorKey {
    fn random() -> Self {
        Self(Key256::random(&mut random::system()))
    }

    /// Reads what a person keeps: any case, blanks at either end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let head = text.get(..KEY_PREFIX.len()).filter(|head| head.eq_ignore_ascii_case(KEY_PREFIX))?;
        let tail = Zeroizing::new(text.get(head.len()..)?.to_ascii_uppercase());
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(tail.as_bytes()).ok()?);
        Key256::from_slice(&bytes).map(Self)
    }

    /// `chartseal-key-` and 52 characters.
    #[must_use]
    pub fn to_text(&self) -> SecretText {
        SecretText::new(format!("{KEY_PREFIX}{}", BASE32_NOPAD.encode(self.0.expose())))
    }

    fn mac(&self, vault: &Vault, name: &OperatorName) -> [u8; 32] {
        let value = Zeroizing::new(format!("{name}\n{}", BASE32_NOPAD.encode(self.0.expose())));
        vault.blind_index(KEY_DOMAIN, &value)
    }
}

/// Who acts, and how far that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub name: OperatorName,
    pub standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody was ever added, so a name is believed.
    Believed,
    Proven(Role),
}

/// What a role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Release, revoke, send again, pause, resume, propose and approve what an incident revokes.
    Deliveries,
    WriteRules,
    ApproveRules,
    /// Talk with patients, and end a law's wait where the law leaves that to a professional.
    Clinical,
    /// Add, end, and give other keys.
    People,
}

impl Duty {
    const fn as_words(self) -> &'static str {
        match self {
            Self::Deliveries => "see to deliveries",
            Self::WriteRules => "propose rules; an author, an approver or a lead may",
            Self::ApproveRules => "approve rules; an approver or a lead may",
            Self::Clinical => "speak as a treating professional; a clinician or a lead may",
            Self::People => "say who may act; a lead may",
        }
    }

    #[must_use]
    pub const fn is_of(self, role: Role) -> bool {
        match (self, role) {
            (Self::Deliveries, Role::Desk | Role::Clinician | Role::Author | Role::Approver | Role::Lead)
            | (Self::WriteRules, Role::Author | Role::Approver | Role::Lead)
            | (Self::ApproveRules, Role::Approver | Role::Lead)
            | (Self::Clinical, Role::Clinician | Role::Lead)
            | (Self::People, Role::Lead) => true,
            (Self::WriteRules, Role::Desk | Role::Clinician)
            | (Self::ApproveRules, Role::Desk | Role::Clinician | Role::Author)
            | (Self::Clinical, Role::Desk | Role::Author | Role::Approver)
            | (Self::People, Role::Desk | Role::Clinician | Role::Author | Role::Approver) => false,
        }
    }
}

/// Why a person may not do what they asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaffRefusal {
    #[error(
        "people have keys of their own here: give the key of {name} with --key-file FILE or in CHARTSEAL_OPERATOR_KEY"
    )]
    KeyNeeded { name: OperatorName },
    #[error(
        "that is not the key of a person who may act under the name {name}; nothing was done, and the audit keeps that it was tried"
    )]
    NotProven { name: OperatorName },
    #[error("a person with the role '{}' may not {what}", role.as_str())]
    NotTheirs { role: Role, what: &'static str },
    #[error(
        "this takes people with keys of their own, and there are none yet: add the first with `chartseal staff add NAME --role lead`"
    )]
    NobodyYet,
    #[error("the first person has to be a lead, since only a lead may add others: say --role lead")]
    FirstIsLead,
    #[error(
        "the name {name} was used before, and a name stays one person's for ever: take another; for a new key say `chartseal staff rekey`"
    )]
    NameTaken { name: OperatorName },
    #[error("nobody who may act is called {name}; `chartseal staff list` shows who is")]
    Nobody { name: OperatorName },
    #[error(
        "only root of this machine gives a lead a key without another's being shown: as root, write the lead's name into the new file {}, and say this again within the hour", path.display()
    )]
    NoWord { path: PathBuf },
    #[error("root's word names '{named}', and not {name}: nothing was done, and the word still counts")]
    OthersWord { named: String, name: OperatorName },
    #[error(
        "nobody who may act as lead is called {name}; `chartseal staff list` shows who is, and any lead gives the others keys"
    )]
    NoLead { name: OperatorName },
    #[error("{name} is the last lead, and without one nobody could say who may act: add another lead first")]
    LastLead { name: OperatorName },
}

/// Recognises a person, where people have keys, and believes the name where nobody was ever added.
///
/// # Errors
/// [`StaffRefusal`], in the audit where a key was shown.
pub async fn prove(
    store: &Store,
    vault: &Vault,
    name: OperatorName,
    shown: Option<SecretText>,
    now: UtcMillis,
) -> Result<Person, DeskError> {
    let asked = name.clone();
    let (is_anybody, row) =
        store.read(move |conn| Ok((!store::operators(conn)?.is_empty(), store::operator(conn, &asked)?))).await?;
    if !is_anybody {
        return Ok(Person { name, standing: Standing::Believed });
    }
    let Some(shown) = shown else { return Err(StaffRefusal::KeyNeeded { name }.into()) };
    // An unknown name costs as much as a wrong key.
    let key = OperatorKey::parse(shown.expose());
    let is_key = key.is_some();
    let mac = Key256::new(key.unwrap_or_else(OperatorKey::random).mac(vault, &name));
    let row = row.filter(|row| row.ended_at.is_none());
    let is_same = mac.matches(&row.as_ref().map_or([0; 32], |row| row.key_mac));
    match row {
        Some(row) if is_same && is_key => Ok(Person { name, standing: Standing::Proven(row.role) }),
        Some(_) | None => {
            let event = AuditEvent::OperatorRefused { name: name.clone() };
            store.write(move |tx| store::record(tx, Chain::Installation, now, event)).await?;
            Err(StaffRefusal::NotProven { name }.into())
        }
    }
}

impl Person {
    /// # Errors
    /// [`StaffRefusal::NotTheirs`].
    pub const fn may(&self, duty: Duty) -> Result<(), StaffRefusal> {
        match self.standing {
            Standing::Proven(role) if !duty.is_of(role) => Err(StaffRefusal::NotTheirs { role, what: duty.as_words() }),
            Standing::Proven(_) | Standing::Believed => Ok(()),
        }
    }

    /// [`Person::may`] of somebody who showed a key.
    ///
    /// # Errors
    /// [`StaffRefusal`].
    pub const fn may_by_key(&self, duty: Duty) -> Result<(), StaffRefusal> {
        match self.standing {
            Standing::Proven(_) => self.may(duty),
            Standing::Believed => Err(StaffRefusal::NobodyYet),
        }
    }

    /// Whether this is still so in the transaction that acts on it.
    pub(super) fn still_may(&self, conn: &mut Conn, duty: Duty) -> Result<bool, StoreError> {
        Ok(match self.standing {
            Standing::Proven(_) => {
                store::operator(conn, &self.name)?.is_some_and(|row| row.ended_at.is_none() && duty.is_of(row.role))
            }
            Standing::Believed => store::operators(conn)?.is_empty(),
        })
    }
}

impl Desk {
    /// Adds a person; returns their key, which nobody can show again.
    ///
    /// # Errors
    /// [`DeskError::Staff`].
    pub async fn add_person(&self, by: &Person, name: OperatorName, role: Role) -> Result<OperatorKey, DeskError> {
        by.may(Duty::People)?;
        let (key, now, by) = (OperatorKey::random(), self.clock.now(), by.clone());
        let new = NewOperator { key_mac: key.mac(&self.vault, &name), name: name.clone(), role };
        let added = self
            .store
            .write(move |tx| {
                if !by.still_may(tx.conn(), Duty::People)? {
                    return Ok(Err(StaffRefusal::NotProven { name: by.name }));
                }
                match store::add_operator(tx, &new, now, by.name.as_str()) {
                    Ok(()) => {}
                    Err(StoreError::Duplicate) => return Ok(Err(StaffRefusal::NameTaken { name: new.name })),
                    Err(StoreError::Moved) => return Ok(Err(StaffRefusal::FirstIsLead)),
                    Err(other) => return Err(other),
                }
                let event = AuditEvent::OperatorAdded { name: new.name, role: role.as_str().to_owned() };
                store::append(tx, &installation(now, by.name, event)).map(Ok)
            })
            .await?;
        Ok(added.map(|()| key)?)
    }

    /// Gives a person another key; the old one proves nothing from this commit on. Everybody may ask for their own.
    ///
    /// # Errors
    /// [`DeskError::Staff`].
    pub async fn rekey_person(&self, by: &Person, name: OperatorName) -> Result<OperatorKey, DeskError> {
        let duty = if by.name == name { Duty::Deliveries } else { Duty::People };
        by.may_by_key(duty)?;
        let (key, now, by) = (OperatorKey::random(), self.clock.now(), by.clone());
        let mac = key.mac(&self.vault, &name);
        let done = self
            .store
            .write(move |tx| {
                if !by.still_may(tx.conn(), duty)? {
                    return Ok(Err(StaffRefusal::NotProven { name: by.name }));
                }
                match store::rekey_operator(tx, &name, &mac, now)? {
                    Rekeyed::Nobody => Ok(Err(StaffRefusal::Nobody { name })),
                    Rekeyed::Done => {
                        store::append(tx, &installation(now, by.name, AuditEvent::OperatorRekeyed { name })).map(Ok)
                    }
                }
            })
            .await?;
        Ok(done.map(|()| key)?)
    }

    /// Gives a lead another key by root's word, which is used up: for a clinic whose only lead lost theirs.
    ///
    /// # Errors
    /// [`DeskError::Staff`], [`DeskError::RootsWord`].
    pub async fn recover_lead(&self, said_by: OperatorName, name: OperatorName) -> Result<OperatorKey, DeskError> {
        let now = self.clock.now();
        let ring = self.vault.ring().clone();
        let (path, word) = on_the_disk(move || Ok((ring.roots_word_path(), ring.roots_word(now)?))).await?;
        let Some(word) = word else { return Err(StaffRefusal::NoWord { path }.into()) };
        if word.names() != name.as_str() {
            return Err(StaffRefusal::OthersWord { named: word.names().to_owned(), name }.into());
        }
        let asked = name.clone();
        let row = self.store.read(move |conn| store::operator(conn, &asked)).await?;
        if !row.is_some_and(|row| row.role == Role::Lead && row.ended_at.is_none()) {
            return Err(StaffRefusal::NoLead { name }.into());
        }
        on_the_disk(move || word.use_up()).await?;
        let key = OperatorKey::random();
        let mac = key.mac(&self.vault, &name);
        let done = self
            .store
            .write(move |tx| match store::recover_lead(tx, &name, &mac, now)? {
                Rekeyed::Nobody => Ok(Err(StaffRefusal::NoLead { name })),
                Rekeyed::Done => {
                    tracing::warn!(%name, %said_by, "a lead got another key by root's word");
                    store::record(tx, Chain::Installation, now, AuditEvent::LeadRecovered { name, said_by }).map(Ok)
                }
            })
            .await?;
        Ok(done.map(|()| key)?)
    }

    /// Ends a person's time: from this commit on their key proves nothing.
    ///
    /// # Errors
    /// [`DeskError::Staff`].
    pub async fn end_person(&self, by: &Person, name: OperatorName) -> Result<(), DeskError> {
        by.may_by_key(Duty::People)?;
        let (now, by) = (self.clock.now(), by.clone());
        let done = self
            .store
            .write(move |tx| {
                if !by.still_may(tx.conn(), Duty::People)? {
                    return Ok(Err(StaffRefusal::NotProven { name: by.name }));
                }
                match store::end_operator(tx, &name, now, by.name.as_str())? {
                    Ended::Nobody => Ok(Err(StaffRefusal::Nobody { name })),
                    Ended::LastLead => Ok(Err(StaffRefusal::LastLead { name })),
                    Ended::Done => {
                        store::append(tx, &installation(now, by.name, AuditEvent::OperatorEnded { name })).map(Ok)
                    }
                }
            })
            .await?;
        Ok(done?)
    }

    /// Everybody who ever could act, by name.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn people(&self) -> Result<Vec<OperatorRow>, DeskError> {
        Ok(self.store.read(store::operators).await?)
    }
}

async fn on_the_disk<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, KeyError> + Send + 'static,
) -> Result<T, DeskError> {
    let looked = tokio::task::spawn_blocking(look).await.map_err(|_| DeskError::Stopped)?;
    looked.map_err(DeskError::RootsWord)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_in_any_case_and_nothing_else_is_one() {
        let key = OperatorKey::random();
        let text = key.to_text();
        assert!(text.expose().starts_with("chartseal-key-") && text.expose().len() == 14 + 52);
        for typed in [text.expose().to_owned(), format!(" {}\n", text.expose().to_lowercase())] {
            assert!(OperatorKey::parse(&typed).is_some_and(|read| read.0.matches(key.0.expose())));
        }
        for wrong in ["", "chartseal-key-", "chartseal-key-AAAA", &text.expose()[1..], "ééééééééééééééé"]
        {
            assert!(OperatorKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
