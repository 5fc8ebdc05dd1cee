//! One document under several names: a report and a document with one file, another form of it, or its replacement.
//!
//! Must stay true: one document makes one link, under the stricter of what the rules say of each of its names; what the EHR
//! takes back under one name is refused under all; what a document was replaced by takes its place, whichever was heard first.

use super::again::{self, Afresh, course_of};
use super::conclude::Ground;
use super::plan::{self, Bearing, Doubt, Now, OldLinks, Plan, TakenBack, bearing_of};
use super::prepare::Prepared;
use super::redecide::{self, Verdict};
use crate::audit::{Actor, AuditEvent, Chain};
use crate::base::{ResourceKey, ResourceType, SourceId, UtcMillis};
use crate::policy::schedule::Schedule;
use crate::policy::{Decision, ReportStatus, ReviewReason, Trace};
use crate::record::{Link, LiveUntil};
use crate::store::{self, Alike, Delivery, DeliveryKind, Mark, Said, SourceRow, StoreError, Tx};

/// What else is the document that was read, or makes room for it.
pub(super) struct Document {
    /// Its other names.
    others: Vec<SourceId>,
    /// What is under way of them.
    pub(super) open: Vec<Delivery>,
    /// What is under way of documents that it replaces.
    pub(super) replaced: Vec<Delivery>,
    /// The same, of another patient's.
    pub(super) anothers: Vec<Delivery>,
    /// Who says the same, or said it before.
    alike: Vec<Alike>,
    /// Whether the patient has one that it takes the place of.
    before: DeliveryKind,
}

/// What becomes of a reading.
pub(super) enum Course {
    AsPlanned(Plan),
    /// It is on its way, or came, under another name.
    SameAs {
        lead: Box<Delivery>,
        /// What becomes of its own links.
        old: OldLinks,
    },
}

/// The keys of all that may be replaced by what was read, or is itself.
pub(super) fn replaceable(source: &SourceRow, prepared: &Prepared) -> Vec<ResourceKey> {
    let own = (source.key.kind == ResourceType::DocumentReference).then(|| source.key.clone());
    own.into_iter().chain(replaced_keys(source, prepared)).collect()
}

fn replaced_keys<'a>(source: &'a SourceRow, prepared: &'a Prepared) -> impl Iterator<Item = ResourceKey> + 'a {
    let key = |id: &crate::base::FhirId| ResourceKey {
        ehr: source.key.ehr.clone(),
        kind: ResourceType::DocumentReference,
        id: id.clone(),
    };
    prepared.replaces.iter().map(key).filter(|key| *key != source.key)
}

/// What was read, as other documents let it stand: one that another replaces says so itself, though the EHR left it as it was.
pub(super) fn as_it_stands(tx: &mut Tx, source: &SourceRow, now: &Now) -> Result<Now, StoreError> {
    let is_replaced = plan::may_leave(now.status) && store::is_replaced(tx.conn(), &source.key)?;
    Ok(if is_replaced { Now { status: ReportStatus::Superseded, ..now.clone() } } else { now.clone() })
}

impl Document {
    /// Learns what else is the document, and makes it one with what has the same marks.
    pub(super) fn gather(
        tx: &mut Tx,
        source: &SourceRow,
        prepared: &Prepared,
        marks: &[Mark],
        read: &Now,
        now: UtcMillis,
    ) -> Result<Self, StoreError> {
        let mut found = Self {
            others: store::hold_family(tx, &source.id)?,
            open: Vec::new(),
            replaced: Vec::new(),
            anothers: Vec::new(),
            alike: Vec::new(),
            before: DeliveryKind::New,
        };
        if plan::is_understood(read.status) {
            for key in replaced_keys(source, prepared) {
                found.take_the_place_of(tx, source, &key, read, now)?;
            }
            for one in store::alike(tx.conn(), (&source.id, source.key.kind), marks)? {
                let is_known = found.others.contains(&one.source);
                if !is_known && one.noted_at < now.minus(store::SAME_FOR) {
                    continue;
                }
                if !is_known && is_to_be_had(tx, &one.source)? {
                    store::make_one(tx, &source.id, &one.source, now)?;
                }
                found.alike.push(one);
            }
            found.others = store::hold_family(tx, &source.id)?;
        }
        for other in found.others.clone() {
            let latest = store::latest_delivery_of(tx.conn(), &other)?;
            found.open.extend(held_deliveries(tx, &other)?);
            found.note_before(latest.as_ref());
        }
        Ok(found)
    }

    /// What was one document with a replaced one is by now one with what replaces it.
    fn take_the_place_of(
        &mut self,
        tx: &mut Tx,
        source: &SourceRow,
        key: &ResourceKey,
        read: &Now,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let Some(old) = store::source_of(tx.conn(), key)? else { return Ok(()) };
        let open = held_deliveries(tx, &old.id)?;
        if matches!((old.subject_index, read.subject_index), (Some(was), Some(is)) if was != is) {
            self.anothers.extend(open);
            return Ok(());
        }
        let latest = store::latest_delivery_of(tx.conn(), &old.id)?;
        self.note_before(latest.as_ref());
        self.replaced.extend(open);
        let family = store::hold_family(tx, &old.id)?;
        store::leave_family(tx, &old.id)?;
        for other in family.iter().filter(|other| **other != source.id) {
            store::make_one(tx, &source.id, other, now)?;
        }
        Ok(())
    }

    fn note_before(&mut self, latest: Option<&Delivery>) {
        if latest.is_some_and(|latest| latest.state.was_released()) {
            self.before = DeliveryKind::Updated;
        }
    }

    /// What becomes of the plan for one name when there are others.
    pub(super) fn course(
        &self,
        tx: &mut Tx,
        ground: &Ground<'_>,
        reading: &Reading<'_>,
        plan: Plan,
    ) -> Result<Course, StoreError> {
        let Reading { source, prepared, read, newest, .. } = *reading;
        let is_known = source.content_hash == Some(read.content_hash);
        let (kind, old, doubt) = match plan {
            Plan::Recall | Plan::Revoke(_) | Plan::NotForSending => return Ok(Course::AsPlanned(plan)),
            Plan::Unchanged => return self.fold(tx, ground, reading),
            Plan::Deliver { kind, old, doubt } => (kind, old, doubt),
        };
        if !self.anothers.is_empty() {
            return Ok(Course::AsPlanned(Plan::Deliver { kind, old, doubt: Doubt::SubjectChanged }));
        }
        let is_anothers = matches!((source.subject_index, read.subject_index), (Some(was), Some(is)) if was != is);
        if newest.is_none() && !self.others.is_empty() && is_anothers {
            let plan = Plan::Deliver { kind, old: OldLinks::Revoke, doubt: Doubt::SubjectChanged };
            return Ok(Course::AsPlanned(plan));
        }
        let is_settled = match (old, doubt) {
            (OldLinks::Supersede | OldLinks::Keep, Doubt::None) => true,
            (
                OldLinks::Supersede | OldLinks::Keep | OldLinks::Revoke | OldLinks::RevokeMerged | OldLinks::Suspend,
                _,
            ) => false,
        };
        if !is_settled {
            return Ok(Course::AsPlanned(Plan::Deliver { kind, old, doubt }));
        }
        let kind = if self.before == DeliveryKind::Updated { DeliveryKind::Updated } else { kind };
        let as_planned = |doubt| Ok(Course::AsPlanned(Plan::Deliver { kind, old, doubt }));
        // It came under another name before, and says what it said: nothing new is known.
        let is_old_news = newest.is_none() && is_known && !self.others.is_empty();
        match self.lead(tx, ground, &source.id)? {
            None if is_old_news => Ok(Course::AsPlanned(Plan::Unchanged)),
            None => as_planned(doubt),
            Some(lead) => match plan::is_taken_back(&lead.state) {
                TakenBack::ByStaff if is_old_news => Ok(Course::AsPlanned(Plan::Unchanged)),
                TakenBack::ByTheEhr | TakenBack::ByStaff => as_planned(Doubt::Reinstated),
                // Nothing speaks of the other name: the rules for this one say what becomes of the document.
                TakenBack::No if is_unspoken(&lead) && word_of(&prepared.decision).is_some() => as_planned(doubt),
                TakenBack::No => Ok(Course::SameAs { lead: Box::new(lead), old }),
            },
        }
    }

    /// What was found to be the same only when its file was fetched joins the other, unless that is for the other to do. What has
    /// its link under another name may ask for more than it did.
    fn fold(&self, tx: &mut Tx, ground: &Ground<'_>, reading: &Reading<'_>) -> Result<Course, StoreError> {
        let is_unsent = |own: &&Delivery| matches!(own.state, Link::Recorded | Link::Held { .. } | Link::Review { .. });
        let lead = match reading.newest {
            Some(own) if reading.open.iter().any(|open| open.id == own.id) => match Some(own).filter(is_unsent) {
                Some(own) => store::lead_elsewhere(tx.conn(), &self.alike, own)?,
                None => None,
            },
            Some(_) if reading.open.is_empty() && !self.others.is_empty() => {
                self.lead(tx, ground, &reading.source.id)?.filter(|lead| !lead.state.is_final())
            }
            Some(_) | None => None,
        };
        Ok(match lead {
            Some(lead) => Course::SameAs { lead: Box::new(lead), old: OldLinks::Supersede },
            None => Course::AsPlanned(Plan::Unchanged),
        })
    }

    /// The delivery of the same document under another name: one that is under way before one that has ended, the newest first.
    fn lead(&self, tx: &mut Tx, ground: &Ground<'_>, id: &SourceId) -> Result<Option<Delivery>, StoreError> {
        let mut found = store::deliveries_alike(tx.conn(), &self.alike, id)?;
        found.retain(|delivery| delivery.mode == ground.mode);
        Ok(found.into_iter().max_by_key(|delivery| (!delivery.state.is_final(), delivery.created_at)))
    }

    /// Whether nothing speaks against it under another name.
    pub(super) fn is_in_good_standing(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        for other in &self.others {
            if !is_in_good_standing(tx, other)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keeps what the rules say of this name, for what comes under another.
    pub(super) fn keep_word(
        &self,
        tx: &mut Tx,
        prepared: &Prepared,
        source: &SourceRow,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        if self.others.is_empty() {
            return Ok(());
        }
        let Some(decision) = word_of(&prepared.decision) else { return Ok(()) };
        let said = Said { decision, trace: prepared.trace.clone(), rules_hash: prepared.rules_hash.clone() };
        store::note_said(tx, &source.id, &said, now)
    }

    /// Under the stricter of what the rules say of this name and what they said of the others.
    pub(super) fn under_all(&self, tx: &mut Tx, prepared: &Prepared) -> Result<Said, StoreError> {
        let mut strictest = Said {
            decision: prepared.decision.clone(),
            trace: prepared.trace.clone(),
            rules_hash: prepared.rules_hash.clone(),
        };
        for other in &self.others {
            let Some(said) = said_by(tx, other)? else { continue };
            match compare(&strictest, &said) {
                Verdict::Tighter(decision) | Verdict::Mixed(decision) => {
                    let is_longer = schedule_of(&said)
                        .is_some_and(|schedule| schedule.has_more_floor_than(schedule_of(&strictest).as_ref()));
                    let trace = if is_longer || decision == said.decision { said.trace } else { strictest.trace };
                    strictest = Said { decision, trace, rules_hash: strictest.rules_hash };
                }
                Verdict::Same | Verdict::Looser => {}
            }
        }
        Ok(strictest)
    }
}

/// What is under way of the document under all its names, this one's last: a recall under one refuses all.
pub(super) fn under_all_names(tx: &mut Tx, source: &SourceRow) -> Result<Vec<Delivery>, StoreError> {
    let mut open = Vec::new();
    for other in store::hold_family(tx, &source.id)? {
        open.extend(held_deliveries(tx, &other)?);
    }
    open.extend(held_deliveries(tx, &source.id)?);
    Ok(open)
}

/// It was taken back under this name, which counts no more for the others, nor for what it replaced: they are read again, and
/// a person sees what they say by themselves.
pub(super) fn part(tx: &mut Tx, source: &SourceRow, open: &[Delivery], now: UtcMillis) -> Result<(), StoreError> {
    for other in open.iter().filter(|delivery| delivery.source != source.id) {
        store::read_again(tx, &other.source, now)?;
    }
    store::leave_family(tx, &source.id)?;
    replace(tx, source, &[], now)
}

/// Keeps what this document replaces. What it newly replaces, or no longer does, is read again.
pub(super) fn replace(
    tx: &mut Tx,
    source: &SourceRow,
    replaced: &[crate::base::FhirId],
    now: UtcMillis,
) -> Result<(), StoreError> {
    if source.key.kind != ResourceType::DocumentReference {
        return Ok(());
    }
    for id in store::set_replaced(tx, &source.id, &source.key.ehr, replaced)? {
        let key = ResourceKey { id, ..source.key.clone() };
        if let Some(other) = store::source_of(tx.conn(), &key)? {
            store::read_again(tx, &other.id, now)?;
        }
    }
    Ok(())
}

/// One reading, to be set beside what else is the document.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) source: &'a SourceRow,
    pub(super) prepared: &'a Prepared,
    pub(super) read: &'a Now,
    /// The newest delivery under this name.
    pub(super) newest: Option<&'a Delivery>,
    /// What is under way of it.
    pub(super) open: &'a [Delivery],
}

/// The link that the document has under another name becomes as strict as this one asks, and ends if it could not be out.
pub(super) fn tighten_lead(
    tx: &mut Tx,
    reading: &Reading<'_>,
    lead: &Delivery,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let prepared = reading.prepared;
    let Some(word) = word_of(&prepared.decision) else { return Ok(()) };
    let Some(lead) = store::hold_delivery(tx, &lead.id)?.filter(|lead| !lead.state.is_final()) else { return Ok(()) };
    // What is out gives less under other rules, and ends only by a person's word.
    let by_rules_alone = store::said_of(tx.conn(), &reading.source.id)?
        .is_some_and(|said| said.rules_hash != prepared.rules_hash && reading.is_known());
    let afresh = |decision: &Decision| Afresh {
        decision: decision.clone(),
        schedule: prepared.schedule.clone(),
        trace: prepared.trace.clone(),
        rules_hash: prepared.rules_hash.clone(),
    };
    let is_longer = afresh(&word).is_kept_longer_by_law(&lead);
    let verdict = redecide::compare(&lead.decision, &word);
    let verdict = if is_longer { verdict.under_a_stricter_law(&lead.decision, &word) } else { verdict };
    let (Verdict::Tighter(stricter) | Verdict::Mixed(stricter)) = verdict else { return Ok(()) };
    let both = afresh(&stricter);
    let waits = plan::first_state(&word, prepared.schedule.as_ref(), now) != Link::Recorded;
    let could_not_be_out = redecide::would_not_be_out(&lead.decision, &word)
        || redecide::asks_for_a_check(&lead.decision, &word)
        || waits && (is_longer || redecide::asks_for_more_first(&lead.decision, &word));
    match lead.state.lives_until() {
        None if course_of(&lead).is_released_by_a_person(&lead.decision) => Ok(()),
        None => again::tighten(tx, now, &lead, &stricter, &both).map(|_| ()),
        Some(until) if could_not_be_out && !(by_rules_alone && matches!(until, LiveUntil::At(_))) => {
            let why = again::why_not_out(&stricter, ReviewReason::SameElsewhere);
            again::keep_back(tx, now, &lead, why, &both)
        }
        Some(_) => match redecide::live_link(&lead.decision, &stricter) {
            Some(less) => again::lower(tx, now, &lead, less, &prepared.rules_hash),
            None => Ok(()),
        },
    }
}

impl Reading<'_> {
    /// Whether it says what it said when it was last understood.
    pub(super) fn is_known(&self) -> bool {
        self.source.content_hash == Some(self.read.content_hash)
    }

    /// Notes that the document is `lead`'s.
    pub(super) fn note_same(&self, tx: &mut Tx, lead: &Delivery, now: UtcMillis) -> Result<(), StoreError> {
        let version = self.prepared.version.to_string();
        let of_name = AuditEvent::SameDocument { version, delivery: lead.id.clone() };
        store::record(tx, Chain::Source(self.source.id.clone()), now, of_name)?;
        let of_lead = AuditEvent::AlsoHeardAs { source: self.source.id.clone() };
        store::append(tx, &lead.entry(now, Actor::Ehr(lead.ehr.clone()), of_lead))
    }
}

/// Whether the EHR shows it, and not as taken back.
fn is_to_be_had(tx: &mut Tx, id: &SourceId) -> Result<bool, StoreError> {
    let row = store::source(tx.conn(), id)?;
    Ok(row.is_some_and(|row| row.status.is_some_and(plan::is_understood) && row.gone_at.is_none()))
}

/// Whether nothing was to be said against it when it was last read.
fn is_in_good_standing(tx: &mut Tx, id: &SourceId) -> Result<bool, StoreError> {
    let Some(row) = store::source(tx.conn(), id)? else { return Ok(false) };
    Ok(row.status.is_some_and(plan::is_understood) && row.gone_at.is_none() && row.why.is_none())
}

/// What the rules say of one name of a document; `None`: nothing. What stands against the address or the time is no word about
/// the document: the other name, of the same patient, has its own.
fn word_of(decision: &Decision) -> Option<Decision> {
    match decision {
        Decision::Send { .. } | Decision::Block { .. } => Some(decision.clone()),
        Decision::Review { why: ReviewReason::NoRule, .. } => None,
        Decision::Review { why, terms } => match bearing_of(why) {
            Bearing::Itself | Bearing::Rules => Some(decision.clone()),
            Bearing::Address | Bearing::Time => terms.clone().map(|terms| Decision::Send { terms }),
        },
    }
}

/// What the rules said of another name, when it was last read or when it was decided.
fn said_by(tx: &mut Tx, other: &SourceId) -> Result<Option<Said>, StoreError> {
    if let Some(said) = store::said_of(tx.conn(), other)? {
        return Ok(Some(said));
    }
    let latest = store::latest_delivery_of(tx.conn(), other)?.filter(|latest| !latest.rules_hash.is_empty());
    Ok(latest.and_then(|Delivery { decision, trace, rules_hash, .. }| {
        word_of(&decision).map(|decision| Said { decision, trace, rules_hash })
    }))
}

/// Whether it waits for a person because no rule speaks of it.
fn is_unspoken(lead: &Delivery) -> bool {
    matches!((&lead.state, &lead.decision), (Link::Review { .. }, Decision::Review { why: ReviewReason::NoRule, .. }))
}

fn compare(then: &Said, now: &Said) -> Verdict {
    let verdict = redecide::compare(&then.decision, &now.decision);
    let is_longer = schedule_of(now).is_some_and(|schedule| schedule.has_more_floor_than(schedule_of(then).as_ref()));
    if is_longer { verdict.under_a_stricter_law(&then.decision, &now.decision) } else { verdict }
}

pub(super) fn schedule_of(said: &Said) -> Option<Schedule> {
    serde_json::from_str::<Trace>(&said.trace).ok().and_then(|trace| trace.schedule)
}

/// What is under way of a resource, held until the transaction ends.
pub(super) fn held_deliveries(tx: &mut Tx, source: &SourceId) -> Result<Vec<Delivery>, StoreError> {
    let mut held = Vec::new();
    for delivery in store::open_deliveries_of(tx.conn(), source)? {
        held.extend(store::hold_delivery(tx, &delivery.id)?.filter(|delivery| !delivery.state.is_final()));
    }
    Ok(held)
}
