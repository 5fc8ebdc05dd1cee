//! One document under several names: a report and a document with one file, another form of it, or its replacement.
//!
//! Must stay true: one document makes one link, under the stricter of what the rules say of each of its names; what the EHR
//! takes back under one name is refused under all that say the same; what a document was replaced by takes its place, whichever
//! was heard first. A name that says something else than the others by now ends nothing of theirs, and a doubt is a review.

use std::collections::BTreeSet;

use super::conclude::Ground;
use super::names::{
    held_deliveries, is_in_good_standing, is_put_aside, is_taken_back, is_unclear_from_the_first, still_says,
    waits_unheard,
};
use super::plan::{self, Doubt, Now, OldLinks, Plan, TakenBack};
use super::prepare::Prepared;
use super::word::{self, word_of};
use crate::audit::{Actor, AuditEvent, Chain};
use crate::base::{ResourceKey, ResourceType, SourceId, UtcMillis};
use crate::policy::{Decision, ReportStatus, ReviewReason};
use crate::record::Link;
use crate::store::{self, Alike, Delivery, DeliveryKind, Mark, Mode, Place, Said, SourceRow, StoreError, Tx};

/// What else is the document that was read, or makes room for it.
pub(super) struct Document {
    /// Its other names.
    others: Vec<SourceId>,
    /// What is under way of them; of what is taken back, also of those that say the same and were never known to be one with it.
    pub(super) open: Vec<Delivery>,
    /// What is under way of documents that it replaces.
    pub(super) replaced: Vec<Delivery>,
    /// The same, where nobody can say whether it is finished.
    pub(super) disputed: Vec<Delivery>,
    /// The same, of another patient's.
    pub(super) anothers: Vec<Delivery>,
    /// Who says the same, or said it before.
    alike: Vec<Alike>,
    /// Who ever said what this name says or ever said, or what it replaces said.
    said: Vec<Alike>,
    /// Who may say the same, for all that is known of their files.
    perhaps: Vec<Alike>,
    /// Whether the EHR took it back under a name that says the same.
    is_taken_back: bool,
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
/// Where nobody can say whether the other is finished, neither is this one.
pub(super) fn as_it_stands(tx: &mut Tx, source: &SourceRow, now: &Now) -> Result<Now, StoreError> {
    if !plan::may_leave(now.status) {
        return Ok(now.clone());
    }
    Ok(match store::place_of(tx.conn(), &source.key)? {
        Place::Kept => now.clone(),
        Place::Disputed => Now { status: ReportStatus::Unfinished, ..now.clone() },
        Place::Taken => Now { status: ReportStatus::Superseded, ..now.clone() },
    })
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
            disputed: Vec::new(),
            anothers: Vec::new(),
            alike: Vec::new(),
            said: Vec::new(),
            perhaps: Vec::new(),
            is_taken_back: false,
            before: DeliveryKind::New,
        };
        found.make_room(tx, source, prepared, read, now)?;
        let of = (&source.id, source.key.kind);
        let store::Found { same: alike, perhaps } = store::find_alike(tx.conn(), of, marks)?;
        if plan::may_leave(read.status) {
            found.join(tx, source, alike.clone(), read, now)?;
            found.perhaps = still_the_same(tx, perhaps, read, now)?;
        } else if plan::is_refused(read.status) {
            for one in alike.iter().filter(|one| !found.others.contains(&one.source)) {
                found.open.extend(held_deliveries(tx, &one.source)?.into_iter().filter(|open| one.is_what(open)));
            }
        }
        found.said.extend(alike);
        let mut earlier = store::marks_ever_of(tx.conn(), &source.id)?;
        earlier.retain(|mark| !marks.contains(mark));
        found.said.extend(store::alike(tx.conn(), of, &earlier)?);
        for other in found.others.clone() {
            let latest = store::latest_delivery_of(tx.conn(), &other)?;
            found.open.extend(held_deliveries(tx, &other)?);
            found.note_before(latest.as_ref());
        }
        Ok(found)
    }

    /// What it says that it replaces makes room for it; while nobody can say whether it is finished, it waits.
    fn make_room(
        &mut self,
        tx: &mut Tx,
        source: &SourceRow,
        prepared: &Prepared,
        read: &Now,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let is_unclear = read.status == ReportStatus::Unknown && !is_put_aside(tx, source, read)?;
        for key in replaced_keys(source, prepared) {
            let Some(old) = store::source_of(tx.conn(), &key, source.addressee)? else { continue };
            if plan::is_understood(read.status) {
                self.take_the_place_of(tx, source, &old, read, now)?;
            } else if is_unclear {
                self.note_before(store::latest_delivery_of(tx.conn(), &old.id)?.as_ref());
                for one in store::under_way_of(tx.conn(), &old, &source.id)? {
                    self.disputed.extend(store::hold_delivery(tx, &one.id)?.filter(|open| !open.state.is_final()));
                }
            }
        }
        Ok(())
    }

    fn join(
        &mut self,
        tx: &mut Tx,
        source: &SourceRow,
        alike: Vec<Alike>,
        read: &Now,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let speaks = plan::is_understood(read.status) || is_unclear_from_the_first(source, Some(read.status));
        for one in alike {
            let is_known = self.others.contains(&one.source);
            if !is_known && !store::is_still_the_same(tx.conn(), &one, now)? {
                continue;
            }
            if speaks && !is_known && still_says(tx, &one)? {
                store::make_one(tx, &source.id, &one.source, now)?;
            }
            self.is_taken_back |= is_taken_back(tx, &one)?;
            self.alike.push(one);
        }
        self.others = store::hold_family(tx, &source.id)?;
        Ok(())
    }

    /// What was one document with a replaced one is by now one with what replaces it.
    fn take_the_place_of(
        &mut self,
        tx: &mut Tx,
        source: &SourceRow,
        old: &SourceRow,
        read: &Now,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let open = held_deliveries(tx, &old.id)?;
        if matches!((old.subject_index, read.subject_index), (Some(was), Some(is)) if was != is) {
            self.anothers.extend(open);
            return Ok(());
        }
        let latest = store::latest_delivery_of(tx.conn(), &old.id)?;
        self.note_before(latest.as_ref());
        self.replaced.extend(open);
        let said = store::who_said_the_same(tx.conn(), old)?;
        let mut names: BTreeSet<SourceId> = store::hold_family(tx, &old.id)?.into_iter().collect();
        // One that read as replaced before this was heard of is one with nothing any more.
        if old.status == Some(ReportStatus::Superseded) {
            for one in &said {
                if still_says(tx, one)? {
                    names.insert(one.source.clone());
                }
            }
        }
        store::leave_family(tx, &old.id)?;
        for other in names.iter().filter(|other| **other != source.id) {
            store::make_one(tx, &source.id, other, now)?;
        }
        self.said.extend(said);
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
        if !is_settled && self.disputed.is_empty() {
            return Ok(Course::AsPlanned(Plan::Deliver { kind, old, doubt }));
        }
        let kind = if self.before == DeliveryKind::Updated { DeliveryKind::Updated } else { kind };
        let as_planned = |doubt| Ok(Course::AsPlanned(Plan::Deliver { kind, old, doubt }));
        if !is_settled {
            return as_planned(doubt);
        }
        // It came under another name before, and says what it said: nothing new is known.
        let is_old_news = newest.is_none() && is_known && !self.others.is_empty();
        match self.lead(tx, ground, &source.id)? {
            None if is_old_news => Ok(Course::AsPlanned(Plan::Unchanged)),
            None if self.is_taken_back => as_planned(Doubt::Reinstated),
            None if self.is_perhaps_elsewhere(tx, ground, &source.id)? => as_planned(Doubt::SameElsewhere),
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
        // Of what nobody understands only a person says that it leaves: until then it waits for them by itself.
        let is_understood = plan::is_understood(reading.read.status);
        let is_unsent = |own: &&Delivery| match own.state {
            Link::Recorded => true,
            Link::Held { .. } | Link::Review { .. } => is_understood,
            Link::Live { .. }
            | Link::Suspended { .. }
            | Link::Blocked
            | Link::Spent
            | Link::Expired
            | Link::Revoked { .. }
            | Link::Recalled
            | Link::Superseded { .. } => false,
        };
        let lead = match reading.newest {
            Some(own) if reading.open.iter().any(|open| open.id == own.id) => match Some(own).filter(is_unsent) {
                Some(own) => store::lead_elsewhere(tx.conn(), &self.alike, own)?,
                None => None,
            },
            Some(_) if is_understood && reading.open.is_empty() && !self.others.is_empty() => {
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
        let found = sent_alike(tx, ground, &self.alike, id)?;
        Ok(found.into_iter().max_by_key(|delivery| (!delivery.state.is_final(), delivery.created_at)))
    }

    /// Whether it may be the document of another name about which the rules speak.
    fn is_perhaps_elsewhere(&self, tx: &mut Tx, ground: &Ground<'_>, id: &SourceId) -> Result<bool, StoreError> {
        Ok(sent_alike(tx, ground, &self.perhaps, id)?.iter().any(|delivery| !is_unspoken(delivery)))
    }

    /// Whether what is under way under another name ends with what this name said before.
    pub(super) fn goes_along(&self, source: &SourceRow, other: &Delivery, old: OldLinks, now: UtcMillis) -> bool {
        if waits_unheard(other) {
            return false;
        }
        match old {
            OldLinks::Supersede | OldLinks::Keep => self.is_of_it(other, now),
            OldLinks::Revoke | OldLinks::RevokeMerged => true,
            // It never said anything that could be in doubt now.
            OldLinks::Suspend => source.content_hash.is_some(),
        }
    }

    /// Whether this name ever said what `other` brings, as far as that is still known.
    pub(super) fn is_of_it(&self, other: &Delivery, now: UtcMillis) -> bool {
        let is_too_old_to_tell = other.created_at < now.minus(store::MARKS_KEPT);
        is_too_old_to_tell || self.said.iter().any(|one| one.is_what(other))
    }

    /// Whether another name says by now what this one never said: they are one document no longer.
    pub(super) fn has_parted(&self, tx: &mut Tx, old: OldLinks) -> Result<bool, StoreError> {
        match old {
            OldLinks::Supersede | OldLinks::Keep => {}
            OldLinks::Revoke | OldLinks::RevokeMerged | OldLinks::Suspend => return Ok(false),
        }
        for other in &self.others {
            let Some(content) = store::source(tx.conn(), other)?.and_then(|row| row.content_hash) else { continue };
            let says_the_same = self.said.iter().any(|one| one.source == *other && one.content_hash == content);
            if !says_the_same && !store::marks_of(tx.conn(), other, &content)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Under which word it is delivered. What is a document of its own by now is forbidden by nobody else's rules: a person
    /// looks.
    pub(super) fn under_all(
        &self,
        tx: &mut Tx,
        prepared: &Prepared,
        (old, doubt): (OldLinks, Doubt),
    ) -> Result<(Said, Doubt), StoreError> {
        let said = word::under_all(tx, prepared, &self.others)?;
        let is_forbidden = |decision: &Decision| matches!(decision, Decision::Block { .. });
        let is_by_others = is_forbidden(&said.decision) && !is_forbidden(&prepared.decision);
        if !is_by_others || !self.has_parted(tx, old)? {
            return Ok((said, doubt));
        }
        let doubt = if doubt == Doubt::None { Doubt::SameElsewhere } else { doubt };
        Ok((word::by_itself(prepared), doubt))
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

/// Those that still count, beside a name that says what may be read.
fn still_the_same(tx: &mut Tx, alike: Vec<Alike>, read: &Now, now: UtcMillis) -> Result<Vec<Alike>, StoreError> {
    let mut found = Vec::new();
    if plan::is_understood(read.status) {
        for one in alike {
            if store::is_still_the_same(tx.conn(), &one, now)? {
                found.push(one);
            }
        }
    }
    Ok(found)
}

/// What became of the document under those names; what nothing leaves of is the document of no message, and what nobody
/// understands says nothing of others.
fn sent_alike(tx: &mut Tx, ground: &Ground<'_>, alike: &[Alike], id: &SourceId) -> Result<Vec<Delivery>, StoreError> {
    let mut found = store::deliveries_alike(tx.conn(), alike, id)?;
    found.retain(|delivery| (delivery.mode == Mode::Live || ground.mode == Mode::Shadow) && !waits_unheard(delivery));
    Ok(found)
}

/// Whether it waits for a person because no rule speaks of it.
fn is_unspoken(lead: &Delivery) -> bool {
    matches!((&lead.state, &lead.decision), (Link::Review { .. }, Decision::Review { why: ReviewReason::NoRule, .. }))
}
