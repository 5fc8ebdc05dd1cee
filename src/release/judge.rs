//! Whether a report may leave now: as the EHR shows it, to the address that its patient has now, or whoever else it goes to.

use std::collections::BTreeSet;

use super::asks::Answers;
use super::{Hindrance, Release, SourceEhr, failed};
use crate::base::{Contact, Language, SecretText};
use crate::fhir::{
    Choices, ContactChoice, Further, Patient, PatientStanding, ReadAnswer, Report, Subject, WhoElse, Written, age_of,
    choose, may_hide_somebody,
};
use crate::paper::{self, Person, Sheet};
use crate::policy::contact::{is_less_sure, standing_objection};
use crate::policy::life::WAKING_FLOOR_HOURS;
use crate::policy::{Challenge, Channel, Decision, ReportStatus, ReviewReason, Terms};
use crate::record::{Addressee, Card, Link};
use crate::store::{self, ContactKey, Delivery, QuestionRow, SlipRow, SourceRow};
use crate::whose::Known;

/// A report that may leave.
pub(super) struct Judged<'a> {
    pub(super) ehr: &'a SourceEhr,
    pub(super) report: Report,
    /// Where it carries no attachment.
    pub(super) written: Option<Sheet>,
    /// What its attachment may say of whose it is.
    pub(super) known: Known,
    /// The keyed hash of the file that a person let go, whatever it says.
    pub(super) let_go: BTreeSet<[u8; 32]>,
    /// What staff say beside it.
    pub(super) note: Option<SecretText>,
    pub(super) card: Card,
    pub(super) contact_index: [u8; 32],
    /// With the life that its link may have from now on.
    pub(super) terms: Terms,
    /// What a question of its link can be about.
    pub(super) answers: Answers,
}

/// What is kept of a delivery's document.
pub(super) struct Kept {
    /// The one that was decided about, where Chartseal writes it.
    pub(super) paper: Option<[u8; 32]>,
    /// The files that a person let go although they were doubted.
    pub(super) let_go: BTreeSet<[u8; 32]>,
    /// The question of the clinic's own.
    pub(super) question: Option<QuestionRow>,
    /// What staff say beside it, sealed.
    pub(super) note: Option<Vec<u8>>,
}

impl Release {
    /// Reads report and patient once more, and says under which terms it may leave now.
    pub(super) async fn judge(
        &self,
        delivery: &Delivery,
        source: Option<&SourceRow>,
        Kept { paper, let_go, question, note }: Kept,
    ) -> Result<Judged<'_>, Hindrance> {
        let terms = match &delivery.decision {
            Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => terms.clone(),
            Decision::Review { why: why @ ReviewReason::NoCommonChannel { .. }, terms: None } => {
                return Err(Hindrance::Review(why.clone()));
            }
            Decision::Review { terms: None, .. } | Decision::Block { .. } => self.terms_by_hand.clone(),
        };
        if terms.channels.is_empty() {
            let rules = "that were in force".to_owned();
            return Err(Hindrance::Review(ReviewReason::NoCommonChannel { rules }));
        }
        let terms = if question.is_some() { terms.asking(Challenge::Question) } else { terms };
        let terms = match (Decision::Send { terms }).within(&self.available) {
            Decision::Send { terms } => terms,
            Decision::Review { why, .. } => return Err(Hindrance::Review(why)),
            Decision::Block { rule } => return Err(Hindrance::Review(ReviewReason::RuleAsks { rule })),
        };
        let now = self.clock.now();
        if let Some(end) = terms.quiet.as_ref().and_then(|quiet| quiet.end(now)) {
            return Err(Hindrance::Quiet { end });
        }
        let issued = delivery.facts.as_ref().and_then(|facts| facts.issued);
        let Some(life_seconds) = terms.life_seconds(issued, now) else {
            return Err(Hindrance::Review(ReviewReason::TooShort { hours: WAKING_FLOOR_HOURS }));
        };
        let terms = Terms { expiry_seconds: life_seconds, ..terms };
        let unreadable = |why: &str| Hindrance::Review(ReviewReason::Unreadable { why: why.to_owned() });
        let source = source.ok_or_else(|| unreadable("its resource is no longer followed"))?;
        let ehr = self.ehrs.iter().find(|ehr| *ehr.client.id() == delivery.ehr);
        let ehr = ehr.ok_or_else(|| unreadable("its EHR is no longer configured"))?;
        let report = self.reread(ehr, source, delivery).await?;
        let Whom { card, contact_index, patient } = self.choose_contact(ehr, &report, delivery, &terms).await?;
        if is_anothers_address(delivery, ehr.adult_at_years, &contact_index) {
            return Err(Hindrance::Elsewhere { card: Box::new(card), contact_index });
        }
        if let Some(why) = report.why_nothing() {
            return Err(Hindrance::Review(ReviewReason::Attachment { why }));
        }
        let written = write(ehr, &report, &patient.person())?;
        // Of another version of a result, or under another name: what the rules look at may be different too.
        if written.as_ref().map(|sheet| self.vault.file_index(&sheet.binding)) != paper {
            return Err(Hindrance::Changed);
        }
        let slip = self.slip_of(delivery, &report).await?;
        let answers = Answers { born: patient.birth_date, question, slip };
        answers.suffice(&terms, &card)?;
        let note = note.map(|sealed| self.open_note(&delivery.id, &sealed)).transpose()?;
        let known = patient.known();
        Ok(Judged { ehr, report, written, known, let_go, note, card, contact_index, terms, answers })
    }

    /// The report as it is now, if it still says what was decided about.
    async fn reread(&self, ehr: &SourceEhr, source: &SourceRow, delivery: &Delivery) -> Result<Report, Hindrance> {
        match ehr.client.read(source.key.kind, &source.key.id).await {
            Ok(ReadAnswer::Report { mut report, .. }) => {
                if let Written::Unread { why } = &report.written {
                    return Err(Hindrance::Later { why: why.clone() });
                }
                report.key_content(|hash| self.vault.content_index(hash));
                let same = report.content_hash == delivery.content_hash
                    && (report.version.is_none() || report.version.as_ref() == Some(&delivery.report_version));
                let unreadable_before =
                    matches!(delivery.state, Link::Recorded) && delivery.content_hash == store::NOTHING_READ;
                // Resolving has concluded about what the EHR shows now, and left this delivery for what it showed before:
                // looking again would find the same for ever.
                let outdated =
                    report.content_hash != delivery.content_hash && source.content_hash == Some(report.content_hash);
                match report.status {
                    ReportStatus::Final
                    | ReportStatus::Amended
                    | ReportStatus::Corrected
                    | ReportStatus::Appended
                    | ReportStatus::Unknown
                        if same || unreadable_before =>
                    {
                        Ok(*report)
                    }
                    ReportStatus::Final
                    | ReportStatus::Amended
                    | ReportStatus::Corrected
                    | ReportStatus::Appended
                    | ReportStatus::Unknown
                        if outdated =>
                    {
                        Err(Hindrance::Review(ReviewReason::Outdated))
                    }
                    ReportStatus::Final
                    | ReportStatus::Amended
                    | ReportStatus::Corrected
                    | ReportStatus::Appended
                    | ReportStatus::Unknown
                    | ReportStatus::Unfinished
                    | ReportStatus::Superseded
                    | ReportStatus::Cancelled
                    | ReportStatus::EnteredInError => Err(Hindrance::Changed),
                }
            }
            Ok(ReadAnswer::Gone { .. }) => Err(Hindrance::Changed),
            Ok(ReadAnswer::Unreadable { why, .. }) => {
                Err(Hindrance::Review(ReviewReason::Unreadable { why: why.to_string() }))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Where to write: to the record that the decision was about, which a person saw if it is not the report's own.
    async fn choose_contact(
        &self,
        ehr: &SourceEhr,
        report: &Report,
        delivery: &Delivery,
        terms: &Terms,
    ) -> Result<Whom, Hindrance> {
        let unusable = |why: &str| Hindrance::Review(ReviewReason::Patient { why: why.to_owned() });
        let id = match &report.subject {
            Subject::Patient(id) => id,
            Subject::None => return Err(unusable("the report names no patient")),
            Subject::Unusable { why } => return Err(unusable(why)),
        };
        let patient = match ehr.client.read_standing_patient(id).await {
            Ok(PatientStanding::Own(patient) | PatientStanding::Merged { into: Some(patient) }) => patient,
            Ok(PatientStanding::Merged { into: None }) => {
                return Err(unusable("it was replaced by a record that cannot be read"));
            }
            Ok(PatientStanding::Unusable { why }) => return Err(unusable(&why)),
            Err(error) => return Err(failed(&error)),
        };
        let index = self.vault.patient_index(&delivery.ehr, &patient.id);
        // Of what could not be read nobody knows whose it is: a person looked.
        if delivery.patient_index.is_some_and(|decided| decided != index) {
            return Err(Hindrance::Changed);
        }
        let choices = match delivery.addressee {
            Addressee::Patient => choose(&patient, ehr.client.region(), self.clock.now()),
            Addressee::Further(_) => self.choices_of_other(ehr, report, &patient, delivery).await?,
        };
        let picked = self.pick(delivery, &patient, &choices, terms).await?;
        let because = if picked.why_so.is_empty() {
            picked.explanation.to_owned()
        } else {
            format!("{}; {}", picked.explanation, picked.why_so)
        };
        let other = self.other_way(delivery, &patient, &choices, (picked.channel, ehr.adult_at_years)).await;
        let card = Card::new(Some(picked.contact), other, patient.id.clone(), because)
            .in_language(language_for(delivery.addressee, &patient));
        Ok(Whom { card, contact_index: self.vault.contact_index(picked.contact), patient: *patient })
    }

    /// The channel that was decided about, else the first that the terms allow by which somebody can be reached; of those by which
    /// not, what is wrong with the first.
    async fn pick<'a>(
        &self,
        delivery: &Delivery,
        patient: &Patient,
        choices: &'a Choices,
        terms: &Terms,
    ) -> Result<Picked<'a>, Hindrance> {
        let allowed = choices.order().into_iter().filter(|channel| terms.channels.contains(channel));
        let liked: Vec<Channel> = allowed.collect();
        let mut in_turn = liked.clone();
        in_turn.sort_by_key(|channel| !self.is_decided(delivery, choices.by(*channel)));
        let mut hindrance = None;
        for channel in in_turn {
            match self.reach(delivery, patient, choices.by(channel)).await {
                Ok((contact, explanation)) => {
                    let why_so = match liked.first().filter(|first| **first != channel) {
                        Some(first) => self.reach(delivery, patient, choices.by(*first)).await.err(),
                        None => None,
                    };
                    let why_so = why_so.map(|why| why_so_by(channel, &why)).unwrap_or_default();
                    return Ok(Picked { channel, contact, explanation, why_so });
                }
                Err(why @ (Hindrance::Review(_) | Hindrance::Changed)) => hindrance = hindrance.or(Some(why)),
                Err(why) => return Err(why),
            }
        }
        let nothing = || ReviewReason::NoContact { why: "no channel of its rules can be used".to_owned() };
        Err(hindrance.unwrap_or_else(|| Hindrance::Review(nothing())))
    }

    fn is_decided(&self, delivery: &Delivery, choice: &ContactChoice) -> bool {
        match choice {
            ContactChoice::One { contact, .. } => delivery.contact_index == Some(self.vault.contact_index(contact)),
            ContactChoice::Tie | ContactChoice::None { .. } | ContactChoice::PatientUnusable { .. } => false,
        }
    }

    async fn reach<'a>(
        &self,
        delivery: &Delivery,
        patient: &Patient,
        choice: &'a ContactChoice,
    ) -> Result<(&'a Contact, &'a str), Hindrance> {
        match choice {
            ContactChoice::One { contact, explanation, .. } => {
                self.look_at_contact(delivery, patient, self.vault.contact_index(contact)).await?;
                Ok((contact, explanation))
            }
            ContactChoice::Tie => Err(Hindrance::Review(ReviewReason::ContactTie)),
            ContactChoice::None { why } => Err(Hindrance::Review(ReviewReason::NoContact { why: why.clone() })),
            ContactChoice::PatientUnusable { why } => {
                Err(Hindrance::Review(ReviewReason::Patient { why: (*why).to_owned() }))
            }
        }
    }

    /// Where else the same person can be reached, for a code. Of one who may be a minor nobody has looked whose it is.
    async fn other_way<'a>(
        &self,
        delivery: &Delivery,
        patient: &Patient,
        choices: &'a Choices,
        (taken, adult_at): (Channel, u16),
    ) -> Option<&'a Contact> {
        let may_be_minor = delivery.facts.as_ref().is_none_or(|facts| facts.age.may_be_below(adult_at));
        if may_be_minor && matches!(delivery.addressee, Addressee::Patient) {
            return None;
        }
        let others = choices.order().into_iter().filter(|channel| *channel != taken);
        let mut offered = others.filter(|channel| self.available.channels.contains(channel));
        let choice = choices.by(offered.next()?);
        self.reach(delivery, patient, choice).await.ok().map(|(contact, _)| contact)
    }

    /// The addresses of somebody else than the patient, while the EHR names them.
    async fn choices_of_other(
        &self,
        ehr: &SourceEhr,
        report: &Report,
        patient: &Patient,
        delivery: &Delivery,
    ) -> Result<Choices, Hindrance> {
        let age = age_of(patient, self.clock.now(), ehr.zone);
        let roles = BTreeSet::from([delivery.recipient]);
        let sought = WhoElse { roles, age, adult_at_years: ehr.adult_at_years };
        let found = ehr.client.further_recipients(report, patient, &sought, self.clock.now()).await;
        let is_they = |one: &Further| self.vault.addressee(&delivery.ehr, one.role, &one.who) == delivery.addressee;
        let lack = found.lacking.iter().copied().find(|lack| may_hide_somebody(*lack));
        let was_on = delivery.facts.iter().flat_map(|facts| facts.basis.values());
        let grounds: Vec<_> = was_on.collect();
        match (found.found.into_iter().map(|sighted| sighted.value).find(is_they), lack) {
            (Some(further), _) if grounds.iter().all(|ground| further.basis.contains(*ground)) => Ok(further.choices),
            // Not named, or on another ground by now: resolving says whether that suffices.
            (Some(_), _) | (None, None) => Err(Hindrance::Changed),
            (None, Some(lack)) => Err(Hindrance::Later { why: format!("its recipient is unknown: {}", lack.as_str()) }),
        }
    }

    /// The slip that its patient was given for its order.
    async fn slip_of(&self, delivery: &Delivery, report: &Report) -> Result<Option<SlipRow>, Hindrance> {
        let orders: Vec<[u8; 32]> =
            report.orders().map(|order| self.vault.order_index(&delivery.ehr, &order)).collect();
        if orders.is_empty() {
            return Ok(None);
        }
        let read = self.store.read(move |conn| store::slip_of(conn, &orders)).await;
        read.map_err(|_| Hindrance::Later { why: "the slips could not be looked through".to_owned() })
    }

    /// What is recorded of the address by now: nothing goes to one that bounced or is disputed, and what the rules were told of
    /// it must still be so.
    async fn look_at_contact(
        &self,
        delivery: &Delivery,
        patient: &Patient,
        address: [u8; 32],
    ) -> Result<(), Hindrance> {
        let Some(clinic) = delivery.clinic.clone() else { return Ok(()) };
        let patient = self.vault.patient_index(&delivery.ehr, &patient.id);
        let Some(whose) = store::whose(delivery.addressee, Some(patient)) else { return Ok(()) };
        let key = ContactKey { clinic, whose, address };
        let read = self.store.read(move |conn| store::contact_standing(conn, &key)).await;
        let unread = |_| Hindrance::Later { why: "what is recorded of the address could not be read".to_owned() };
        let standing = read.map_err(unread)?;
        if let Some(why) = standing_objection(standing, delivery.recipient) {
            return Err(Hindrance::Review(why));
        }
        let then = delivery.facts.as_ref().map(|facts| &facts.contact);
        match (&delivery.decision, then) {
            (Decision::Send { .. }, Some(then)) if is_less_sure(then, standing) => Err(Hindrance::Changed),
            // What a person released, they released as it is.
            (Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. }, _) => Ok(()),
        }
    }
}

/// To whom it goes.
struct Whom {
    card: Card,
    contact_index: [u8; 32],
    patient: Patient,
}

struct Picked<'a> {
    channel: Channel,
    contact: &'a Contact,
    explanation: &'a str,
    why_so: String,
}

fn why_so_by(channel: Channel, hindrance: &Hindrance) -> String {
    let (word, instead) = match channel {
        Channel::Email => ("e-mail", "text message"),
        Channel::Sms => ("text message", "e-mail"),
    };
    let why = match hindrance {
        Hindrance::Review(ReviewReason::NoContact { why }) => why.clone(),
        Hindrance::Review(ReviewReason::ContactTie) => "several are equally good".to_owned(),
        Hindrance::Review(ReviewReason::ContactBounced { .. }) => "a message was refused for good".to_owned(),
        Hindrance::Review(ReviewReason::ContactDisputed { .. }) => "it is disputed".to_owned(),
        Hindrance::Review(ReviewReason::ContactOptedOut { .. }) => "its holder asked for no more texts".to_owned(),
        Hindrance::Review(_)
        | Hindrance::Changed
        | Hindrance::Later { .. }
        | Hindrance::Quiet { .. }
        | Hindrance::Doubt { .. }
        | Hindrance::Unread { .. }
        | Hindrance::Elsewhere { .. } => "it is not confirmed any more".to_owned(),
    };
    format!("by {word} and not by {instead}: {why}")
}

/// The document that Chartseal writes itself, where the report carries none.
fn write(ehr: &SourceEhr, report: &Report, person: &Person) -> Result<Option<Sheet>, Hindrance> {
    let Written::Paper(written) = &report.written else { return Ok(None) };
    let head = ehr.letterhead.as_ref().ok_or(Hindrance::Review(ReviewReason::NoClinic))?;
    let sheet = paper::write(written, head, person);
    sheet.map(Some).map_err(|why| Hindrance::Review(ReviewReason::Attachment { why: why.to_string() }))
}

/// A further recipient is written to in the clinic's language: the patient's record says nothing of theirs.
fn language_for(addressee: Addressee, patient: &Patient) -> Option<Language> {
    match addressee {
        Addressee::Patient => patient.language.as_deref().and_then(Language::of_tag),
        Addressee::Further(_) => None,
    }
}

/// Whether a minor's report would go to another address than the one that was looked at.
fn is_anothers_address(delivery: &Delivery, adult_at: u16, chosen: &[u8; 32]) -> bool {
    let may_be_minor = delivery.facts.as_ref().is_some_and(|facts| facts.age.may_be_below(adult_at));
    may_be_minor && delivery.contact_index.is_some_and(|decided| decided != *chosen)
}
