//! A leased notice becomes the message that leaves.
//!
//! Must stay true: it goes by the channel that was chosen when its link was made, and only while its rules allow that; nothing is
//! said that not every rule allowed.

use super::{Carried, Outbox, Prepared, Sender};
use crate::base::{Contact, EmailAddress, LinkSecret, PhoneNumber, SecretText};
use crate::notify::text::{Text, TextKind, TextNotice};
use crate::notify::{CodeNotice, ComposeError, LinkNotice, NoticeKind, Outgoing};
use crate::policy::{Channel, Decision, ReviewReason, Wording};
use crate::record::{CODE_LIFE, Card, NoticeKind as StoredKind};
use crate::store::{Delivery, LeasedNotice};

/// A message of either kind.
pub(super) enum Ready {
    Mail(Outgoing),
    Text(Text),
}

impl Outbox {
    pub(super) fn compose(&self, leased: &LeasedNotice, sender: Sender, card: &Card, carried: Carried) -> Prepared {
        let no_contact = |why: &str| Prepared::NotToBeSent(ReviewReason::NoContact { why: why.to_owned() });
        let to = match carried {
            Carried::Link(_) | Carried::Nothing if !is_allowed(leased) => {
                return Prepared::NotToBeSent(ReviewReason::DecidedOtherwise);
            }
            Carried::Link(_) | Carried::Nothing => card.to(),
            Carried::Code(_) => card.at(leased.notice.channel),
        };
        match (leased.notice.channel, to) {
            (Channel::Email, Some(Contact::Email(to))) => self.compose_mail(leased, sender, to, carried),
            (Channel::Sms, Some(Contact::Phone(to))) => self.compose_text(leased, &sender, to, carried),
            (Channel::Email, Some(Contact::Phone(_)) | None) => no_contact("the card holds no address"),
            (Channel::Sms, Some(Contact::Email(_)) | None) => no_contact("the card holds no number"),
        }
    }

    fn compose_mail(&self, leased: &LeasedNotice, sender: Sender, to: EmailAddress, carried: Carried) -> Prepared {
        let Some(expires_at) = leased.link.expires_at else { return not_fixed() };
        let Sender { name: clinic_name, phone: clinic_phone, from, zone, language, messages, staff: _, text_name: _ } =
            sender;
        let (notice, reference) = (leased.notice.id.clone(), leased.link.reference.clone());
        let (wording, created_at) = (wording_of(leased), leased.notice.created_at);
        let date = leased.notice.first_attempt_at.unwrap_or(created_at);
        let link = match &carried {
            Carried::Link(secret) => Some(self.link(leased, secret)),
            Carried::Code(_) | Carried::Nothing => None,
        };
        let mail = match carried {
            Carried::Link(_) | Carried::Nothing => LinkNotice {
                notice,
                clinic_name,
                clinic_phone,
                from,
                to,
                link,
                expires_at,
                sent_at: leased.link.created_at,
                zone,
                reference,
                language,
                wording,
                kind: match leased.notice.kind {
                    StoredKind::UpdatedLink => NoticeKind::Updated,
                    StoredKind::Reminder => NoticeKind::Reminder,
                    StoredKind::Waiting => NoticeKind::Waiting,
                    StoredKind::Link | StoredKind::Code => NoticeKind::New,
                },
                date,
            }
            .compose(&messages),
            Carried::Code(code) => {
                let until = created_at.plus(CODE_LIFE);
                CodeNotice {
                    notice,
                    clinic_name,
                    clinic_phone,
                    from,
                    to,
                    code,
                    until,
                    zone,
                    reference,
                    language,
                    wording,
                    date,
                }
                .compose()
            }
        };
        match mail.and_then(|mail| self.with_return_path(leased, mail)) {
            Ok(mail) => Prepared::Ready(Box::new(Ready::Mail(mail))),
            Err(error) => Prepared::NotToBeSent(ReviewReason::NoticeRefused { why: error.to_string() }),
        }
    }

    fn with_return_path(&self, leased: &LeasedNotice, mail: Outgoing) -> Result<Outgoing, ComposeError> {
        let Some(address) = &self.bounce_address else { return Ok(mail) };
        let return_path = address.with(&self.vault.token_of_notice(&leased.notice.id));
        Ok(mail.with_return_path(return_path.map_err(|_| ComposeError::Address)?))
    }

    fn compose_text(&self, leased: &LeasedNotice, sender: &Sender, to: PhoneNumber, carried: Carried) -> Prepared {
        let (Some(texts), Some(clinic)) = (&self.texts, &sender.text_name) else {
            return Prepared::NotToBeSent(ReviewReason::NotAvailable { what: "the channel sms".to_owned() });
        };
        let Some(expires_at) = leased.link.expires_at else { return not_fixed() };
        let (kind, ends_at) = match (carried, leased.notice.kind) {
            (Carried::Code(code), _) => (TextKind::Code { code }, leased.notice.created_at.plus(CODE_LIFE)),
            (Carried::Nothing, _) => (TextKind::Waiting { sent_at: leased.link.created_at }, expires_at),
            (Carried::Link(secret), StoredKind::UpdatedLink) => {
                (TextKind::Updated { link: self.link(leased, &secret) }, expires_at)
            }
            (Carried::Link(secret), StoredKind::Reminder) => {
                (TextKind::Reminder { link: self.link(leased, &secret) }, expires_at)
            }
            (Carried::Link(secret), StoredKind::Link | StoredKind::Code | StoredKind::Waiting) => {
                (TextKind::New { link: self.link(leased, &secret) }, expires_at)
            }
        };
        let notice = TextNotice {
            kind,
            clinic,
            wording: wording_of(leased),
            language: sender.language,
            ends_at,
            zone: sender.zone,
            reference: &leased.link.reference,
        };
        match notice.compose() {
            Ok(body) => Prepared::Ready(Box::new(Ready::Text(Text {
                id: leased.notice.id.clone(),
                to,
                body,
                report_to: texts.report_to(&self.vault, &leased.notice.id),
            }))),
            Err(error) => Prepared::NotToBeSent(ReviewReason::NoticeRefused { why: error.to_string() }),
        }
    }

    fn link(&self, leased: &LeasedNotice, secret: &LinkSecret) -> SecretText {
        SecretText::new(format!("{}{}#{}", self.link_base, leased.link.id, secret.to_base64url().expose()))
    }
}

fn not_fixed() -> Prepared {
    Prepared::Later("the end of the link's life is not fixed".to_owned())
}

/// Whether every report in the link may still leave by its channel: rules that came into force meanwhile may say otherwise.
fn is_allowed(leased: &LeasedNotice) -> bool {
    let mut all = std::iter::once(&leased.delivery).chain(&leased.companions);
    all.all(|one| one.decision.terms_to_leave_under().channels.contains(&leased.notice.channel))
}

fn wording_of(leased: &LeasedNotice) -> Wording {
    let of = |delivery: &Delivery| match &delivery.decision {
        Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => terms.wording,
        Decision::Review { terms: None, .. } | Decision::Block { .. } => Wording::Bare,
    };
    leased.companions.iter().map(of).fold(of(&leased.delivery), Wording::max)
}
