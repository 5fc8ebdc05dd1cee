//! What one reading changes, under all the names of its document.
//!
//! Must stay true: what the EHR takes back is refused under every name that says it, and each of those is read again; what is newer
//! under another name is nobody else's to end.

use super::conclude::{Ground, close_stand_ins, step};
use super::deliver::{Wanted, deliver};
use super::document::{Course, Document, Reading};
use super::learnt::learn;
use super::names::{self, held_deliveries};
use super::plan::{self, Doubt, OldLinks, Plan};
use super::suspend::{is_suspended, restore, suspend};
use super::word;
use crate::audit::{AuditEvent, Chain};
use crate::record::{Link, LinkEvent, RevokedBy, SuspendedWhy};
use crate::store::{self, Delivery, DeliveryKind, StoreError, Tx};

/// One reading with all that it may change. `standing`: the delivery of what the report last said.
pub(super) struct Scene<'a> {
    pub(super) ground: &'a Ground<'a>,
    pub(super) reading: Reading<'a>,
    pub(super) standing: Option<&'a Delivery>,
    pub(super) others: &'a Document,
}

impl Scene<'_> {
    pub(super) fn apply(&self, tx: &mut Tx, course: Course) -> Result<(), StoreError> {
        let Self { ground: Ground { now, .. }, reading: Reading { source, prepared, read, open, .. }, others, .. } =
            *self;
        let now = *now;
        let under_all = || others.open.iter().chain(open);
        let note = |tx: &mut Tx, event| store::record(tx, Chain::Source(source.id.clone()), now, event);
        let (version, status) = (prepared.version.to_string(), format!("{:?}", read.status));
        match course {
            Course::AsPlanned(Plan::Recall) => {
                for delivery in under_all() {
                    step(tx, delivery, LinkEvent::Recall, now)?;
                }
                self.part(tx)?;
                note(tx, AuditEvent::NotForSending { version, status })
            }
            Course::AsPlanned(Plan::Revoke(by)) => {
                // What is newer under another name is not what was replaced.
                let is_meant = |one: &&Delivery| by != RevokedBy::Replaced || others.is_of_it(one, now);
                for delivery in others.open.iter().filter(is_meant).chain(open) {
                    step(tx, delivery, LinkEvent::Revoke { by: by.clone() }, now)?;
                }
                match by {
                    // What takes its place says what becomes of what it replaced.
                    RevokedBy::Replaced => names::leave(tx, source, now)?,
                    RevokedBy::Cancelled
                    | RevokedBy::Operator(_)
                    | RevokedBy::SubjectChanged
                    | RevokedBy::PatientMerged
                    | RevokedBy::Restore
                    | RevokedBy::Recipient => self.part(tx)?,
                }
                note(tx, AuditEvent::NotForSending { version, status })
            }
            Course::AsPlanned(Plan::NotForSending) => {
                suspend(tx, &under_all().cloned().collect::<Vec<_>>(), SuspendedWhy::WentBack, now)?;
                note(tx, AuditEvent::NotForSending { version, status })
            }
            Course::AsPlanned(Plan::Unchanged) => {
                self.unchanged(tx)?;
                note(tx, AuditEvent::Unchanged { version })
            }
            Course::AsPlanned(Plan::Deliver { kind, old, doubt }) => self.deliver(tx, (kind, old, doubt)),
            Course::SameAs { lead, old } => self.same_as(tx, &lead, old),
        }
    }

    /// What was taken back under this name counts no more for the others: a person sees what they say by themselves.
    fn part(&self, tx: &mut Tx) -> Result<(), StoreError> {
        for delivery in &self.others.open {
            store::read_again(tx, &delivery.source, self.ground.now)?;
        }
        names::part(tx, self.reading.source, self.ground.now)
    }

    /// The document has its link under another name, or will.
    fn same_as(&self, tx: &mut Tx, lead: &Delivery, old: OldLinks) -> Result<(), StoreError> {
        let Self { ground: Ground { now, .. }, reading, others, .. } = *self;
        let now = *now;
        let stays = |delivery: &&Delivery| old == OldLinks::Keep && matches!(delivery.state, Link::Live { .. });
        let own = reading.open.iter().filter(|delivery| !stays(delivery));
        for delivery in own.chain(others.replaced.iter().filter(|delivery| delivery.id != lead.id)) {
            step(tx, delivery, LinkEvent::Supersede { by: lead.id.clone() }, now)?;
        }
        word::tighten_lead(tx, &reading, lead, now)?;
        self.return_all(tx)?;
        if reading.is_known() && reading.open.is_empty() {
            let unchanged = AuditEvent::Unchanged { version: reading.prepared.version.to_string() };
            return store::record(tx, Chain::Source(reading.source.id.clone()), now, unchanged);
        }
        reading.note_same(tx, lead, now)
    }

    /// The report reads the same: what was suspended comes back, and what has not left is looked at once more.
    fn unchanged(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let Self { ground: Ground { now, .. }, reading: Reading { source, prepared, read, newest, .. }, .. } = *self;
        let now = *now;
        if plan::is_understood(read.status) {
            self.return_all(tx)?;
            if let Some(standing) = self.standing {
                close_stand_ins(tx, source, &standing.id, now)?;
            }
        }
        for delivery in &self.others.replaced {
            let event = match newest {
                Some(newest) => LinkEvent::Supersede { by: newest.id.clone() },
                None => LinkEvent::Revoke { by: RevokedBy::Replaced },
            };
            step(tx, delivery, event, now)?;
        }
        for delivery in held_deliveries(tx, &source.id)? {
            let mut delivery = learn(tx, delivery, prepared, now)?;
            if let Some(index) = prepared.paper_index.as_ref().filter(|_| !delivery.state.is_final()) {
                delivery = store::set_paper(tx, delivery, index)?;
            }
            if !delivery.state.is_final() {
                store::set_report_version(tx, &delivery, &prepared.version)?;
            }
        }
        Ok(())
    }

    /// What was suspended comes back, unless the EHR still says something against it under another name; what was stopped
    /// under another name before it left is decided again.
    fn return_all(&self, tx: &mut Tx) -> Result<(), StoreError> {
        if !self.others.is_in_good_standing(tx)? {
            return Ok(());
        }
        let (source, now) = (self.reading.source, self.ground.now);
        for delivery in names::under_all_names(tx, source)? {
            if is_suspended(&delivery) {
                restore(tx, &delivery, now)?;
            } else if delivery.source != source.id && plan::was_stopped_before_it_left(&delivery.state) {
                store::read_again(tx, &delivery.source, now)?;
            }
        }
        Ok(())
    }

    fn deliver(&self, tx: &mut Tx, (kind, old, doubt): (DeliveryKind, OldLinks, Doubt)) -> Result<(), StoreError> {
        let Self { ground, reading: Reading { source, prepared, open, .. }, others, .. } = *self;
        let now = ground.now;
        // What only a reading of the past told of, or a rehearsal, takes no link's place under another name.
        let may_replace = |other: &&Delivery| ground.mode == store::Mode::Live || other.mode == store::Mode::Shadow;
        let goes_along = |other: &&Delivery| others.goes_along(source, other, old, now);
        let named_otherwise = others.open.iter().filter(may_replace).filter(goes_along);
        let instead: Vec<&Delivery> = named_otherwise.chain(&others.replaced).chain(open).collect();
        let (said, doubt) = others.under_all(tx, prepared, (old, doubt))?;
        let replaces = instead.last().map(|delivery| delivery.id.clone());
        let wanted = Wanted { kind, doubt, replaces, said };
        let made = deliver(tx, ground, source, prepared, &wanted)?;
        for delivery in instead {
            store::wait_no_longer_than(tx, delivery, &made)?;
            match old {
                OldLinks::Keep if is_suspended(delivery) => restore(tx, delivery, now)?,
                OldLinks::Keep if matches!(delivery.state, Link::Live { .. }) => {}
                // What was not handed out yet is part of the new one.
                OldLinks::Supersede | OldLinks::Keep => {
                    step(tx, delivery, LinkEvent::Supersede { by: made.clone() }, now)?;
                }
                OldLinks::Revoke => {
                    step(tx, delivery, LinkEvent::Revoke { by: RevokedBy::SubjectChanged }, now)?;
                }
                OldLinks::RevokeMerged => {
                    step(tx, delivery, LinkEvent::Revoke { by: RevokedBy::PatientMerged }, now)?;
                }
                OldLinks::Suspend => suspend(tx, std::slice::from_ref(delivery), SuspendedWhy::WentBack, now)?,
            }
        }
        for delivery in &others.anothers {
            step(tx, delivery, LinkEvent::Revoke { by: RevokedBy::SubjectChanged }, now)?;
        }
        if others.has_parted(tx, old)? {
            store::leave_family(tx, &source.id)?;
        }
        match old {
            OldLinks::Suspend => close_stand_ins(tx, source, &made, now),
            // Whose it is under its other names is not known from here.
            OldLinks::Revoke => names::part(tx, source, now),
            OldLinks::Supersede | OldLinks::Keep | OldLinks::RevokeMerged => Ok(()),
        }
    }
}
