//! A leased notice becomes the message that leaves.
//!
//! Must stay true: it goes by the channel that was chosen when its link was made, and only while its rules allow that; nothing is
//! said that not every rule allowed.

use super::{Outbox, Prepared, Sender};
use crate::base::{Contact, EmailAddress, Language, LinkSecret, PhoneNumber, SecretText};
use crate::notify::text::{Text, TextKind, TextNotice};
use crate::notify::{self, LinkNotice, NoticeKind, Outgoing};
use crate::policy::{Channel, Decision, ReviewReason, Wording};
use crate::record::{Card, NoticeKind as StoredKind};
use crate::store::{Delivery, LeasedNotice};

/// A message of either kind.
pub(super) enum Ready {
    Mail(Outgoing),
    Text(Text),
}

impl Outbox {
    pub(super) fn compose(&self, leased: &LeasedNotice, sender: Sender, card: &Card, secret: &LinkSecret) -> Prepared {
        let no_contact = |why: &str| Prepared::NotToBeSent(ReviewReason::NoContact { why: why.to_owned() });
        if !is_allowed(leased) {
            return Prepared::NotToBeSent(ReviewReason::DecidedOtherwise);
        }
        match (leased.notice.channel, card.to()) {
            (Channel::Email, Some(Contact::Email(to))) => self.compose_mail(leased, sender, to, secret),
            (Channel::Sms, Some(Contact::Phone(to))) => self.compose_text(leased, &sender, to, secret),
            (Channel::Email, Some(Contact::Phone(_)) | None) => no_contact("the card holds no address"),
            (Channel::Sms, Some(Contact::Email(_)) | None) => no_contact("the card holds no number"),
        }
    }

    fn compose_mail(&self, leased: &LeasedNotice, sender: Sender, to: EmailAddress, secret: &LinkSecret) -> Prepared {
        let Some(expires_at) = leased.link.expires_at else { return not_fixed() };
        let notice = LinkNotice {
            notice: leased.notice.id.clone(),
            clinic_name: sender.name,
            clinic_phone: sender.phone,
            from: sender.from,
            to,
            link: self.link(leased, secret),
            expires_at,
            zone: sender.zone,
            reference: leased.link.reference.clone(),
            language: sender.language,
            wording: wording_of(leased),
            kind: match leased.notice.kind {
                StoredKind::Link => NoticeKind::New,
                StoredKind::UpdatedLink => NoticeKind::Updated,
            },
            date: leased.notice.first_attempt_at.unwrap_or(leased.notice.created_at),
        };
        match notice.compose() {
            Ok(mail) => Prepared::Ready(Box::new(Ready::Mail(mail))),
            Err(error) => Prepared::NotToBeSent(ReviewReason::NoticeRefused { why: error.to_string() }),
        }
    }

    fn compose_text(&self, leased: &LeasedNotice, sender: &Sender, to: PhoneNumber, secret: &LinkSecret) -> Prepared {
        let (Some(texts), Some(clinic)) = (&self.texts, &sender.text_name) else {
            return Prepared::NotToBeSent(ReviewReason::NotAvailable { what: "the channel sms".to_owned() });
        };
        let Some(ends_at) = leased.link.expires_at else { return not_fixed() };
        let link = self.link(leased, secret);
        let notice = TextNotice {
            kind: match leased.notice.kind {
                StoredKind::Link => TextKind::New { link },
                StoredKind::UpdatedLink => TextKind::Updated { link },
            },
            clinic,
            wording: wording_of(leased),
            language: match sender.language {
                notify::Language::English => Language::English,
            },
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
