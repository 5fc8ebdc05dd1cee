//! How a link stands, said to its holder: ready, theirs already, or what ended it.

use std::time::Duration;

use super::holder::Proven;
use super::{Asks, ClinicCard, Open, OpenError};
use crate::base::{Language, Reference, UtcMillis};
use crate::policy::vocabulary::Download;
use crate::record::{Card, Link, LiveUntil, Opening, RevokedBy};
use crate::sealing::Purpose;
use crate::store::{self, Delivery, OpeningRow};

/// What the holder is told. May hold a question of the clinic's own: no `Debug`.
#[derive(Clone)]
pub enum Looked {
    /// One press opens it.
    Ready(Standing),
    /// This browser has opened it and may go on.
    Yours(Standing),
    Ended(Ended),
}

/// A live link.
#[derive(Clone)]
pub struct Standing {
    pub clinic: ClinicCard,
    pub reference: Reference,
    pub expires_at: UtcMillis,
    pub opens_left: u16,
    pub opens_max: u16,
    /// What each file will take of the browser's memory, so that it can say before anything is spent that it has not
    /// the room.
    pub file_bytes: Vec<u64>,
    /// How long one opening lasts, where the rules say so.
    pub ends_after: Option<Duration>,
    pub download: Download,
    /// What is asked before it opens; nothing of a browser that answered, or opened it.
    pub asks: Option<Asks>,
}

/// A tombstone: what happened, when, whom to call. No patient data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub kind: EndedKind,
    pub at: Option<UtcMillis>,
    pub clinic: ClinicCard,
    pub reference: Reference,
    pub another: Another,
}

/// Whether the holder of a link that ended can ask for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Another {
    NotOffered,
    Offered,
    /// They did.
    Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedKind {
    Expired,
    Revoked,
    Recalled,
    Superseded,
    /// This browser has opened it before.
    Spent,
    OpenedElsewhere,
    Suspended,
    /// Whoever got it said that it was not for them.
    Disowned,
    /// Its epoch key is lost: nobody can open it any more, and "later" would be a lie.
    Lost,
}

impl EndedKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Recalled => "recalled",
            Self::Superseded => "superseded",
            Self::Spent => "spent",
            Self::OpenedElsewhere => "opened_elsewhere",
            Self::Suspended => "suspended",
            Self::Disowned => "disowned",
            Self::Lost => "lost",
        }
    }

    /// Whether another link could be made in its place.
    #[must_use]
    pub const fn may_be_made_again(self) -> bool {
        match self {
            Self::Expired | Self::Revoked | Self::Spent | Self::OpenedElsewhere | Self::Lost => true,
            Self::Recalled | Self::Superseded | Self::Suspended | Self::Disowned => false,
        }
    }
}

impl Open {
    pub(super) async fn looked(&self, proven: &Proven, now: UtcMillis) -> Result<Looked, OpenError> {
        let id = proven.link.id.clone();
        let cookie = proven.cookie_hash;
        let (openings, files, challenge, answered, is_wished_for) = self
            .store
            .read(move |conn| {
                let (openings, files) = (store::openings_of(conn, &id)?, store::files_of(conn, &id)?);
                let challenge = store::challenge_of(conn, &id)?;
                let answered = store::answered_by(conn, &id, &cookie)?;
                let is_wished_for = store::is_wished_for(conn, &id)?;
                Ok((openings, files, challenge, answered, is_wished_for))
            })
            .await?;
        let judged = match judge(proven, &openings, now) {
            Judged::Ready(_) | Judged::Yours(_) if self.is_lost(&proven.link).await? => {
                Judged::Ended(EndedKind::Lost, None)
            }
            judged @ (Judged::Ready(_) | Judged::Yours(_) | Judged::Ended(..)) => judged,
        };
        let standing = |expires_at, asks| Standing {
            clinic: self.clinic_of(proven),
            reference: proven.link.reference.clone(),
            expires_at,
            opens_left: proven.link.opens_max.saturating_sub(proven.link.opened),
            opens_max: proven.link.opens_max,
            file_bytes: files.iter().filter(|file| file.media.is_document()).map(|file| file.plain_bytes).collect(),
            ends_after: proven.link.opening.ends_after(),
            download: proven.link.opening.download,
            asks,
        };
        Ok(match judged {
            Judged::Ready(expires_at) => {
                let asks =
                    challenge.as_ref().map(|row| Asks::of(self, &proven.link.id, row, &answered, now)).transpose()?;
                Looked::Ready(standing(expires_at, asks.flatten()))
            }
            Judged::Yours(expires_at) => Looked::Yours(standing(expires_at, None)),
            Judged::Ended(kind, at) => {
                let another = match kind.may_be_made_again() {
                    false => Another::NotOffered,
                    true if is_wished_for => Another::Asked,
                    true => Another::Offered,
                };
                Looked::Ended(Ended { another, ..self.ended(proven, kind, at) })
            }
        })
    }

    pub(super) fn ended(&self, proven: &Proven, kind: EndedKind, at: Option<UtcMillis>) -> Ended {
        let (clinic, reference) = (self.clinic_of(proven), proven.link.reference.clone());
        Ended { kind, at, clinic, reference, another: Another::NotOffered }
    }

    /// In the language of the message, which is the recipient's where we write that.
    fn clinic_of(&self, proven: &Proven) -> ClinicCard {
        let clinic = proven.delivery.clinic.as_ref().and_then(|id| self.clinics.get(id)).unwrap_or(&self.house);
        match self.language_of(&proven.delivery) {
            Some(language) if language != clinic.language.language() => {
                ClinicCard { language: language.into(), ..clinic.clone() }
            }
            Some(_) | None => clinic.clone(),
        }
    }

    fn language_of(&self, delivery: &Delivery) -> Option<Language> {
        let sealed = delivery.card_sealed.as_deref()?;
        let plain = self.vault.open_record(Purpose::PatientCard, delivery.id.as_str(), sealed).ok()?;
        Card::from_bytes(&plain)?.language
    }
}

enum Judged {
    Ready(UtcMillis),
    Yours(UtcMillis),
    Ended(EndedKind, Option<UtcMillis>),
}

fn judge(proven: &Proven, openings: &[OpeningRow], now: UtcMillis) -> Judged {
    let delivery = &proven.delivery;
    let at = Some(delivery.state_at);
    if delivery.link.as_ref() != Some(&proven.link.id) {
        return Judged::Ended(EndedKind::Superseded, at);
    }
    match &delivery.state {
        Link::Live { until: LiveUntil::At(expires_at) } => judge_live(proven, openings, *expires_at, now),
        // Nobody can hold the secret of a message that was not handed over; fail closed.
        Link::Live { until: LiveUntil::NotHandedOver } | Link::Suspended { .. } => {
            Judged::Ended(EndedKind::Suspended, at)
        }
        Link::Spent => opened_by(proven, openings),
        Link::Expired => Judged::Ended(EndedKind::Expired, proven.link.expires_at.or(at)),
        Link::Revoked { by } => match by {
            RevokedBy::Operator(_) | RevokedBy::Restore => Judged::Ended(EndedKind::Revoked, at),
            RevokedBy::Cancelled | RevokedBy::SubjectChanged | RevokedBy::PatientMerged => {
                Judged::Ended(EndedKind::Recalled, at)
            }
            RevokedBy::Recipient => Judged::Ended(EndedKind::Disowned, at),
            RevokedBy::Replaced => Judged::Ended(EndedKind::Superseded, at),
        },
        Link::Recalled => Judged::Ended(EndedKind::Recalled, at),
        // Recorded and held: another link is on its way.
        Link::Superseded { .. } | Link::Recorded | Link::Held { .. } => Judged::Ended(EndedKind::Superseded, at),
        Link::Review { .. } | Link::Blocked => Judged::Ended(EndedKind::Revoked, at),
    }
}

fn judge_live(proven: &Proven, openings: &[OpeningRow], expires_at: UtcMillis, now: UtcMillis) -> Judged {
    let mine = |row: &&OpeningRow| row.cookie_hash == proven.cookie_hash;
    let running = openings.iter().filter(mine).any(|row| match row.state {
        Opening::Claimed { lease_until, .. } => now < lease_until,
        Opening::Begun | Opening::Received | Opening::Lapsed => false,
    });
    if running {
        Judged::Yours(expires_at)
    } else if expires_at <= now {
        Judged::Ended(EndedKind::Expired, Some(expires_at))
    } else if proven.link.opened >= proven.link.opens_max {
        opened_by(proven, openings)
    } else {
        Judged::Ready(expires_at)
    }
}

/// Tells the browser that opened it from every other.
fn opened_by(proven: &Proven, openings: &[OpeningRow]) -> Judged {
    let claimed = |row: &OpeningRow| row.claimed_at.map(|at| (at, row.cookie_hash));
    let last = openings.iter().filter_map(claimed).max_by_key(|(at, _)| *at);
    let mine = openings.iter().filter_map(claimed).filter(|(_, cookie)| *cookie == proven.cookie_hash).max();
    match (mine, last) {
        (Some((at, _)), _) => Judged::Ended(EndedKind::Spent, Some(at)),
        (None, Some((at, _))) => Judged::Ended(EndedKind::OpenedElsewhere, Some(at)),
        (None, None) => Judged::Ended(EndedKind::Revoked, Some(proven.delivery.state_at)),
    }
}
