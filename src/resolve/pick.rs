//! By which channel a report would go, and to which address or number of its recipient.
//!
//! Must stay true: only by a channel that the rules allow for that very address; among those the one that the recipient likes
//! better, e-mail first where nobody says so; one of which something is held against it only where nothing else is left, so that
//! a person hears what that is.

use super::contact::objection_to;
use super::facts::{self, Beside, Owner};
use super::recipient::as_fact;
use super::{Read, ReadEhr, Resolve};
use crate::base::{Contact, UtcMillis};
use crate::fhir::{Choices, ContactChoice};
use crate::policy::decide::DEFAULT_RULE;
use crate::policy::{self, Channel, Decided, Decision, Facts, Moment, RecipientRole, ReviewReason, RuleSet};

/// What the rules say of the address or number to which it would go.
pub(super) struct Picked<'a> {
    pub(super) facts: Facts,
    pub(super) decided: Decided,
    /// What is held against the address: whose it is, or what is recorded of it.
    pub(super) objection: Option<ReviewReason>,
    pub(super) choice: Option<&'a ContactChoice>,
    /// Where else the same person can be reached.
    pub(super) other: Option<&'a Contact>,
    /// Why it goes by this channel; empty where there was nothing to choose.
    pub(super) why_so: String,
}

struct Tried<'a> {
    channel: Channel,
    choice: &'a ContactChoice,
    facts: Facts,
    decided: Decided,
    of_contact: Option<ReviewReason>,
    of_owner: Option<ReviewReason>,
}

impl Resolve {
    pub(super) fn pick<'a>(
        &self,
        ehr: &ReadEhr,
        read: &Read,
        choices: Option<&'a Choices>,
        rules: &RuleSet,
        now: UtcMillis,
    ) -> Picked<'a> {
        let Some(choices) = choices else {
            let contact = read.beside.standings.by(Channel::Email).clone();
            let facts = Facts { contact, ..facts::facts(ehr, read, rules, now) };
            let decided = policy::decide_for_the_record(rules, &facts, Moment { now, zone: ehr.zone });
            let why_so = String::new();
            return Picked { facts, decided, objection: None, choice: None, other: None, why_so };
        };
        let offered = choices.order().into_iter().filter(|channel| self.available.channels.contains(channel));
        let tried: Vec<Tried<'_>> = offered.map(|channel| try_by(channel, choices, ehr, read, rules, now)).collect();
        let at = tried
            .iter()
            .position(|one| one.is_allowed() && one.is_clean())
            .or_else(|| tried.iter().position(Tried::is_allowed))
            .unwrap_or(0);
        conclude(tried, at, choices, (ehr, read, rules, now))
    }
}

fn conclude<'a>(
    mut tried: Vec<Tried<'a>>,
    at: usize,
    choices: &'a Choices,
    (ehr, read, rules, now): (&ReadEhr, &Read, &RuleSet, UtcMillis),
) -> Picked<'a> {
    let why_so = why_so(&tried, at);
    let picked = if at < tried.len() {
        tried.swap_remove(at)
    } else {
        // No channel is offered: it is said of e-mail.
        try_by(Channel::Email, choices, ehr, read, rules, now)
    };
    let is_same_person = |one: &&Tried<'_>| one.is_clean() && one.facts.recipient == picked.facts.recipient;
    let other = tried.iter().find(is_same_person).and_then(|one| match one.choice {
        ContactChoice::One { contact, .. } => Some(contact),
        ContactChoice::Tie | ContactChoice::None { .. } | ContactChoice::PatientUnusable { .. } => None,
    });
    let Tried { choice, facts, decided, of_contact, of_owner, .. } = picked;
    Picked { facts, decided, objection: of_contact.or(of_owner), choice: Some(choice), other, why_so }
}

fn try_by<'a>(
    channel: Channel,
    choices: &'a Choices,
    ehr: &ReadEhr,
    read: &Read,
    rules: &RuleSet,
    now: UtcMillis,
) -> Tried<'a> {
    let choice = choices.by(channel);
    let standing = read.beside.standings.by(channel);
    let facts = Facts { contact: standing.clone(), ..facts::facts(ehr, read, rules, now) };
    let Answer { facts, decided, objection } = answer(ehr, facts, choice, &read.beside, rules, now);
    let of_contact = objection_to(standing, facts.recipient);
    Tried { channel, choice, facts, decided, of_contact, of_owner: objection }
}

impl Tried<'_> {
    /// Whether the rules let what goes to this address go by this channel.
    fn is_allowed(&self) -> bool {
        match &self.decided.decision {
            Decision::Block { .. } => true,
            decision @ (Decision::Send { .. } | Decision::Review { .. }) => {
                decision.terms_to_leave_under().channels.contains(&self.channel)
            }
        }
    }

    /// Whether there is one address, and nothing is held against it.
    fn is_clean(&self) -> bool {
        let is_blocked = matches!(self.decided.decision, Decision::Block { .. });
        let is_one = matches!(self.choice, ContactChoice::One { .. });
        is_one && !is_blocked && self.of_contact.is_none() && self.of_owner.is_none()
    }

    /// Why it does not go there, without the address.
    fn why_not(&self) -> String {
        let what = match self.channel {
            Channel::Email => "the e-mail address",
            Channel::Sms => "the number",
        };
        match (self.choice, &self.of_contact) {
            (ContactChoice::None { why }, _) => why.clone(),
            (ContactChoice::Tie, _) => "several are equally good".to_owned(),
            (ContactChoice::PatientUnusable { why }, _) => (*why).to_owned(),
            (ContactChoice::One { .. }, Some(ReviewReason::ContactBounced { .. })) => {
                format!("{what} refused a message for good")
            }
            (ContactChoice::One { .. }, Some(ReviewReason::ContactDisputed { .. })) => format!("{what} is disputed"),
            (ContactChoice::One { .. }, Some(ReviewReason::ContactOptedOut { .. })) => {
                format!("whoever has {what} asked for no more texts")
            }
            (ContactChoice::One { .. }, _) => format!("{what} may be somebody else's"),
        }
    }
}

fn why_so(tried: &[Tried<'_>], at: usize) -> String {
    let Some(picked) = tried.get(at).filter(|picked| picked.is_allowed()) else { return String::new() };
    let word = match picked.channel {
        Channel::Email => "e-mail",
        Channel::Sms => "text message",
    };
    let mut allowed = tried.iter().filter(|one| one.is_allowed());
    let first = allowed.next();
    match first {
        Some(first) if first.channel != picked.channel => {
            let instead = match first.channel {
                Channel::Email => "e-mail",
                Channel::Sms => "text message",
            };
            format!("by {word} and not by {instead}: {}", first.why_not())
        }
        Some(_) if picked.channel == Channel::Sms && allowed.next().is_some() => {
            format!("by {word}, which the patient ranks first")
        }
        Some(_) | None => String::new(),
    }
}

/// What the rules say, for whoever has the address.
struct Answer {
    facts: Facts,
    decided: Decided,
    objection: Option<ReviewReason>,
}

fn answer(
    ehr: &ReadEhr,
    facts: Facts,
    choice: &ContactChoice,
    beside: &Beside,
    rules: &RuleSet,
    now: UtcMillis,
) -> Answer {
    let moment = Moment { now, zone: ehr.zone };
    let decided = policy::decide_for_the_record(rules, &facts, moment);
    if facts.recipient != RecipientRole::Patient {
        return Answer { facts, decided, objection: None };
    }
    let ContactChoice::One { contact, .. } = choice else { return Answer { facts, decided, objection: None } };
    match facts::owner_of(contact, facts.age, ehr.adult_at_years, &beside.related) {
        Owner::Patient => Answer { facts, decided, objection: None },
        owner @ (Owner::Guardian | Owner::Bystander) => {
            let basis = as_fact(&facts::basis_of(contact, &beside.related));
            let of_proxy = Facts { recipient: RecipientRole::Proxy, basis, ..facts.clone() };
            let for_proxy = policy::decide_for_the_record(rules, &of_proxy, moment);
            let is_default = matches!(&for_proxy.decision, Decision::Block { rule } if rule == DEFAULT_RULE);
            if is_default {
                return Answer { facts, decided, objection: Some(ReviewReason::GuardiansAddress) };
            }
            let objection = (owner == Owner::Bystander).then_some(ReviewReason::NoGuardianNow);
            Answer { facts: of_proxy, decided: for_proxy, objection }
        }
        Owner::Unclear => {
            let is_sensitive = policy::decide::may_be_tagged(rules, &facts, now);
            let why = beside.related.lacking.iter().next().map_or("", |lack| lack.as_str()).to_owned();
            let objection = is_sensitive.then_some(ReviewReason::AddressUnclear { why });
            Answer { facts, decided, objection }
        }
    }
}
