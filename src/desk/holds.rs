//! What ends a hold: a person's word, a clinician's talk, a law that somebody may waive.
//!
//! Must stay true: nobody's word lets a report leave before a law's moment, unless the law says that they may; each waiver
//! has its person and reason in the audit; a report that must be talked about first leaves after that talk alone; what could
//! get no link any more is refused at once, rather than returned minutes later.

use super::{Desk, DeskError, Duty, Impossible, OwnQuestion, Person, StaffNote, held, not_possible};
use crate::audit::{Actor, AuditEvent};
use std::time::Duration;

use crate::base::{DeliveryId, UtcMillis, hours};
use crate::policy::laws::Waiver;
use crate::policy::life::WAKING_FLOOR_HOURS;
use crate::policy::schedule::{LegalWait, Schedule, Timing};
use crate::policy::vocabulary::Backstop;
use crate::policy::{Decision, ReviewReason};
use crate::record::{BackstopAt, Let, Link, LinkEvent};
use crate::store::{self, Delivery, Mode, StoreError, Tx};

/// A report that a person lets go for its talk waits for that so long at least.
const TALK_WAIT_MIN: Duration = hours(72);

/// Whether a release ends a law's wait too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waives {
    Nothing,
    By(Waiver),
}

/// How a release went.
enum Released {
    Done,
    No(Impossible),
    NotWaivable(String),
    /// No link could be made.
    Never(Never),
}

/// Why no link of a report can be made, whoever asks for it.
enum Never {
    TooShort,
    NoChannel { rules: String },
}

impl From<Never> for DeskError {
    fn from(never: Never) -> Self {
        match never {
            Never::TooShort => Self::TooShort { hours: WAKING_FLOOR_HOURS },
            Never::NoChannel { rules } => Self::NoChannel { rules },
        }
    }
}

/// How the record of a talk went.
enum Talked {
    Done,
    /// The rules ask for it, but a person looks at the report first.
    InReview,
    NotNeeded,
}

/// What a person adds to what they let go.
#[derive(Default)]
pub struct Beside {
    pub question: Option<OwnQuestion>,
    pub note: Option<StaffNote>,
}

impl Desk {
    /// Sends what was held or in review; before a law's moment it then waits for that.
    ///
    /// # Errors
    /// [`DeskError`]; [`DeskError::TooShort`] and [`DeskError::NoChannel`] where no link could be made.
    pub async fn release(&self, asked: &str, reason: Option<String>) -> Result<DeliveryId, DeskError> {
        self.release_as(asked, reason, Waives::Nothing, Beside::default()).await
    }

    /// [`Desk::release`], with a question of the clinic's own that its link asks in place of the birth date, or with a note that
    /// stands beside the document.
    ///
    /// # Errors
    /// As [`Desk::release`].
    pub async fn release_with(
        &self,
        asked: &str,
        reason: Option<String>,
        beside: Beside,
    ) -> Result<DeliveryId, DeskError> {
        self.release_as(asked, reason, Waives::Nothing, beside).await
    }

    /// Sends what was held, and ends a law's wait before its time as far as the law lets `waiver` do so.
    ///
    /// # Errors
    /// [`DeskError::NotWaivable`] names the law; [`DeskError::Staff`] when a clinician must say it and `person` is none.
    pub async fn waive(
        &self,
        asked: &str,
        waiver: Waiver,
        reason: String,
        person: &Person,
    ) -> Result<DeliveryId, DeskError> {
        match waiver {
            Waiver::Clinician => person.may(Duty::Clinical)?,
            Waiver::Patient => person.may(Duty::Deliveries)?,
        }
        self.release_as(asked, Some(reason), Waives::By(waiver), Beside::default()).await
    }

    async fn release_as(
        &self,
        asked: &str,
        reason: Option<String>,
        waives: Waives,
        beside: Beside,
    ) -> Result<DeliveryId, DeskError> {
        let delivery = self.find(asked).await?;
        if self.mode == Mode::Shadow {
            return Err(DeskError::Shadow);
        }
        let (now, actor, id) = (self.clock.now(), Actor::Operator(self.operator.clone()), delivery.id.clone());
        let note = beside.note.map(|note| self.sealed_note(&delivery.id, &note));
        let question = match beside.question {
            Some(question) => Some(self.sealed_question(&delivery.id, question).await?),
            None => None,
        };
        let release = move |tx: &mut Tx| {
            let done = release_held(tx, &delivery.id, reason, waives, actor.clone(), now)?;
            if let (Released::Done, Some(note)) = (&done, &note) {
                store::set_note(tx, &delivery.id, note)?;
                store::append(tx, &delivery.entry(now, actor.clone(), AuditEvent::NoteSet))?;
            }
            if let (Released::Done, Some(question)) = (&done, &question) {
                store::set_question(tx, &delivery.id, question)?;
                store::append(tx, &delivery.entry(now, actor, AuditEvent::QuestionSet))?;
            }
            if let (Released::Done, true) = (&done, note.is_some() || question.is_some()) {
                store::outdate_preparations(tx, &delivery.id)?;
            }
            Ok(done)
        };
        let done = self.store.write(release).await?;
        match done {
            Released::Done => Ok(id),
            Released::No(state) => Err(not_possible("released", &state)),
            Released::NotWaivable(rule) => Err(DeskError::NotWaivable { rule }),
            Released::Never(why) => Err(why.into()),
        }
    }

    /// Records that `person` talked with the patient about a report that the rules hold for that. It then leaves by itself, or
    /// still waits for a release, as the rules say.
    ///
    /// # Errors
    /// [`DeskError::NoTalkNeeded`]; [`DeskError::ReleaseBeforeTalk`]; [`DeskError::Staff`] when `person` is no clinician.
    pub async fn discussed(
        &self,
        asked: &str,
        reason: Option<String>,
        person: &Person,
    ) -> Result<DeliveryId, DeskError> {
        person.may(Duty::Clinical)?;
        let delivery = self.find(asked).await?;
        let (now, actor, id) = (self.clock.now(), Actor::Operator(self.operator.clone()), delivery.id.clone());
        let done = self
            .store
            .write(move |tx| {
                let delivery = held(tx, &delivery.id)?;
                let Ok(step) = delivery.state.clone().step(LinkEvent::Discussed, now) else {
                    return Ok(if is_for_a_talk(&delivery) { Talked::InReview } else { Talked::NotNeeded });
                };
                store::append(tx, &delivery.entry(now, actor.clone(), AuditEvent::Discussed { reason }))?;
                store::advance(tx, &delivery, &step, actor, now)?;
                Ok(Talked::Done)
            })
            .await?;
        match done {
            Talked::Done => Ok(id),
            Talked::InReview => Err(DeskError::ReleaseBeforeTalk),
            Talked::NotNeeded => Err(DeskError::NoTalkNeeded),
        }
    }
}

fn release_held(
    tx: &mut Tx,
    id: &DeliveryId,
    reason: Option<String>,
    waives: Waives,
    actor: Actor,
    now: UtcMillis,
) -> Result<Released, StoreError> {
    let mut delivery = held(tx, id)?;
    let said = reason.clone();
    let asked = delivery.entry(now, actor.clone(), AuditEvent::ReleaseAsked { reason });
    if delivery.state == Link::Recorded && delivery.mode == Mode::Shadow {
        if let Some(why) = never(&delivery, now) {
            return Ok(Released::Never(why));
        }
        store::append(tx, &asked)?;
        store::set_mode(tx, id, Mode::Live)?;
        store::postpone_delivery(tx, &delivery, now)?;
        return Ok(Released::Done);
    }
    if delivery.state == Link::Recorded && delivery.due_at.is_some_and(|due| due > now) {
        // It only waits for others of its group, or to be tried again.
        store::append(tx, &asked)?;
        store::postpone_delivery(tx, &delivery, now)?;
        return Ok(Released::Done);
    }
    let schedule = delivery.schedule();
    let floors: Vec<LegalWait> = schedule.iter().flat_map(|schedule| &schedule.floors).cloned().collect();
    let (ended, standing) = ended_by(floors, waives, now);
    if let (Waives::By(_), Some(floor)) = (waives, standing.first()) {
        return Ok(Released::NotWaivable(floor.rule.clone()));
    }
    let floor = standing.iter().map(|floor| floor.until).max();
    let to = let_go(&delivery, schedule.as_ref(), floor, now);
    let Ok(step) = delivery.state.clone().step(LinkEvent::ReleasedByStaff { to }, now) else {
        return Ok(Released::No(delivery.state));
    };
    if let Some(why) = never(&delivery, floor.unwrap_or(now)) {
        return Ok(Released::Never(why));
    }
    store::append(tx, &asked)?;
    if let Waives::By(by) = waives {
        for floor in ended {
            let event = AuditEvent::FloorWaived { rule: floor.rule, by, reason: said.clone().unwrap_or_default() };
            store::append(tx, &delivery.entry(now, actor.clone(), event))?;
        }
    }
    store::set_mode(tx, id, Mode::Live)?;
    if let Link::Review { why: ReviewReason::Breaker { .. } } = delivery.state {
        store::pass_breaker(tx, id, now)?;
    }
    if let Link::Review {
        why: ReviewReason::AnothersPaper { .. } | ReviewReason::NobodysPaper | ReviewReason::PaperUnread { .. },
    } = delivery.state
    {
        store::release_doubted(tx, id, now)?;
    }
    delivery.mode = Mode::Live;
    store::advance(tx, &delivery, &step, actor, now)?;
    Ok(Released::Done)
}

/// Why a report that may leave from `at` on, or later, could get no link.
fn never(delivery: &Delivery, at: UtcMillis) -> Option<Never> {
    let terms = delivery.decision.terms_to_leave_under();
    if terms.channels.is_empty() {
        return Some(Never::NoChannel { rules: rules_apart(&delivery.decision) });
    }
    let issued = delivery.facts.as_ref().and_then(|facts| facts.issued);
    terms.are_too_late(issued, at).then_some(Never::TooShort)
}

/// The rules that have no channel in common.
fn rules_apart(decision: &Decision) -> String {
    match decision {
        Decision::Review { why: ReviewReason::NoCommonChannel { rules }, .. } => rules.clone(),
        Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. } => "that decided it".to_owned(),
    }
}

/// The laws' waits that still run: those that this release ends, and those that stand.
fn ended_by(floors: Vec<LegalWait>, release: Waives, now: UtcMillis) -> (Vec<LegalWait>, Vec<LegalWait>) {
    let is_ended = |floor: &LegalWait| match release {
        Waives::Nothing => false,
        Waives::By(who) => floor.waived_by.contains(&who),
    };
    floors.into_iter().filter(|floor| floor.until > now).partition(is_ended)
}

/// Whether a report in review would wait for a talk next.
fn is_for_a_talk(delivery: &Delivery) -> bool {
    let schedule = delivery.schedule();
    let timing = schedule.as_ref().map(|schedule| &schedule.timing);
    let requires = matches!(timing, Some(Timing::ByAPerson { requires, .. }) if !requires.is_empty());
    requires && matches!(delivery.state, Link::Review { .. })
}

/// What a release leads to, by the talk and the laws that the decision found.
fn let_go(delivery: &Delivery, schedule: Option<&Schedule>, floor: Option<UtcMillis>, now: UtcMillis) -> Let {
    match delivery.state {
        Link::Review { .. } => talk_or_floor(schedule, floor, now),
        Link::Recorded
        | Link::Held { .. }
        | Link::Live { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => floor.map_or(Let::Go, Let::GoAt),
    }
}

/// What a person's word leads to where nothing waited before.
pub(super) fn after_a_persons_word(schedule: Option<&Schedule>, now: UtcMillis) -> Let {
    let floors = schedule.into_iter().flat_map(|schedule| &schedule.floors);
    talk_or_floor(schedule, floors.map(|floor| floor.until).filter(|until| *until > now).max(), now)
}

fn talk_or_floor(schedule: Option<&Schedule>, floor: Option<UtcMillis>, now: UtcMillis) -> Let {
    if let Some(Timing::ByAPerson { requires, backstop_at, then, .. }) = schedule.map(|schedule| &schedule.timing)
        && !requires.is_empty()
    {
        // Whoever lets it go after its back-stop needs time for the talk.
        let at = match then {
            Backstop::Release => *backstop_at,
            Backstop::Escalate => (*backstop_at).max(now.plus(TALK_WAIT_MIN)),
        };
        return Let::Talk { before: BackstopAt { at, then: *then }, not_before: floor.unwrap_or(now) };
    }
    floor.map_or(Let::Go, Let::GoAt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ResourceType;
    use crate::policy::{Coding, Facts, Moment, ReportStatus, RuleSet, decide};

    /// Nothing of when a report would leave by itself counts for one in review, as `Column::counts_for_a_person` says.
    #[test]
    fn a_persons_word_ends_every_wait_but_a_talk_and_a_law() {
        let now = UtcMillis(1_795_000_000_000);
        let code = Coding { system: Some("http://loinc.org".into()), code: "4548-4".into() };
        let bare = Facts::bare(ResourceType::DiagnosticReport, ReportStatus::Final);
        let facts = Facts { codes: vec![code], issued: Some(now), ..bare };
        let word = |then: &str| {
            let text = format!(
                "[policy]\nid = \"t\"\nversion = \"1\"\n[[profile]]\nid = \"a\"\nwhen = {{ code = \"loinc|4548-4\" }}\n\
                 then = {{ action = \"manual_review\"{then} }}\n"
            );
            let decided = decide(&RuleSet::parse(&text).unwrap(), &facts, Moment::utc(now));
            after_a_persons_word(decided.schedule.as_ref(), now)
        };
        for then in [
            "",
            ", hold = \"72h\"",
            ", release = \"manual\"",
            ", release = \"manual\", auto_release = \"5d\", backstop = \"release\"",
        ] {
            assert_eq!(word(then), Let::Go, "{then}");
        }
        for (then, end) in
            [("", Backstop::Escalate), (", auto_release = \"5d\", backstop = \"release\"", Backstop::Release)]
        {
            let Let::Talk { before, .. } = word(&format!(", requires = \"discussed\"{then}")) else {
                panic!("no talk")
            };
            assert_eq!(before.then, end);
        }
    }
}
