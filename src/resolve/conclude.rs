//! One reading, concluded in one transaction.

use super::compare::{self, Fetched};
use super::deliver::{Wanted, deliver};
use super::document::{self, Document, Reading};
use super::names::{self, held_deliveries};
use super::others as other_recipients;
use super::plan::{self, Before, File, Now};
use super::prepare::{Prepared, unreadable};
use super::recipient;
use super::recipient::Recipient;
use super::scene::Scene;
use super::suspend::suspend;
use super::{GONE_AGAIN_AFTER, GONE_MAX, GONE_WINDOW, Read, ReadEhr, Resolve, ResolveError, back_off};
use crate::audit::{Actor, AuditEvent, Chain};
use crate::base::{DeliveryId, UtcMillis};
use crate::fhir::FhirBody;
use crate::keys::Vault;
use crate::policy::ReportStatus;
use crate::record::{Link, LinkEvent, SuspendedWhy};
use crate::store::{self, Delivery, Mark, MarkKind, NOTHING_READ, SourceReading, SourceRow, StoreError, Tx};

/// How often a report is read again before what the EHR did not show in time counts as unknown.
const WANTING_TRIES_MAX: i32 = 2;

impl Resolve {
    pub(super) async fn conclude_report(
        &self,
        ehr: &ReadEhr,
        source: SourceRow,
        read: Read,
        fetched: Fetched,
    ) -> Result<(), ResolveError> {
        let in_question = compare::is_in_question(&source, &read.report)?;
        let since = {
            let id = source.key.ehr.clone();
            self.store.read(move |conn| store::followed_since(conn, &id)).await?
        };
        for _ in 0..RULES_TRIES_MAX {
            let now = self.clock.now();
            let rules = self.rules.at(now);
            let looked_for = matches!(read.beside.recipient, Recipient::Patient);
            if looked_for && !rules.rules.further_roles().is_subset(&read.beside.sought) {
                let why = "other rules came into force, which send to others".to_owned();
                return self.fail(source, why, Some(now)).await;
            }
            let mut prepared = self.prepare(ehr, &source, &read, since, &rules)?;
            if let (Fetched::Whole(files), Some(patient)) = (&fetched, &prepared.now.subject_index)
                && let Some(file) = self.vault.files_index(files)
            {
                let theirs = self.vault.documents_index(patient, source.addressee);
                let mark = self.vault.file_likeness(&theirs, &file);
                prepared.marks.push(Mark { kind: MarkKind::Sha256, mark });
            }
            if source.tries < WANTING_TRIES_MAX && prepared.wants_time() {
                let why = "the EHR did not show everything that the rules look at".to_owned();
                let at = now.plus(back_off(source.tries));
                return self.fail(source, why, Some(at)).await;
            }
            let has_others = !prepared.others.is_empty();
            let conclusion = Conclusion {
                source: source.clone(),
                prepared,
                fetched: in_question.then(|| fetched.clone()),
                clinic: ehr.clinic.clone(),
                activation: rules.activation,
            };
            let (vault, mode) = (self.vault.clone(), self.mode_for(&source));
            let concluded =
                self.store.write(move |tx| conclusion.conclude(tx, &Ground { vault: &vault, mode, now })).await?;
            match concluded {
                Concluded::Done => {
                    if has_others {
                        ehr.called.ring();
                    }
                    return Ok(());
                }
                Concluded::AfterThePatients => {
                    ehr.alarmed.ring();
                    return Ok(());
                }
                Concluded::UnderOtherRules => self.rules.keep_up(&self.store, now).await?,
            }
        }
        Err(StoreError::Moved.into())
    }

    pub(super) async fn conclude_gone(
        &self,
        ehr: &ReadEhr,
        source: SourceRow,
        body: FhirBody,
    ) -> Result<(), ResolveError> {
        let now = self.clock.now();
        let recheck = ehr.recheck_every;
        self.store
            .write(move |tx| {
                let open = names::under_all_names(tx, &source)?;
                let first_seen = source.gone_at.unwrap_or(now);
                let settled = now.since(first_seen) >= GONE_AGAIN_AFTER;
                // Measured from when it vanished: an outage does not become a recall by lasting.
                let (from, until) = (first_seen.minus(GONE_WINDOW), first_seen.plus(GONE_WINDOW));
                let many = store::others_gone(tx.conn(), &source, from, until, GONE_MAX)? >= GONE_MAX;
                let next_at = match (settled, body, many) {
                    (true, FhirBody::Yes, false) => {
                        for delivery in &open {
                            step(tx, delivery, LinkEvent::Recall, now)?;
                        }
                        names::part(tx, &source, now)?;
                        None
                    }
                    (_, FhirBody::Yes | FhirBody::No, _) => {
                        let why = if many { SuspendedWhy::ManyGone } else { SuspendedWhy::Gone };
                        suspend(tx, &open, why, now)?;
                        if many {
                            tracing::error!(ehr = %source.key.ehr, "many reports vanished at once; their links are suspended until a person or the EHR settles it");
                        }
                        match (settled, open.is_empty()) {
                            (false, _) => Some(now.plus(GONE_AGAIN_AFTER)),
                            (true, false) => Some(now.plus(recheck)),
                            // Nothing is out that could be recalled.
                            (true, true) => None,
                        }
                    }
                };
                let event = AuditEvent::Gone { with_fhir_body: format!("{body:?}").to_lowercase() };
                store::record(tx, Chain::Source(source.id.clone()), now, event)?;
                let reading = SourceReading {
                    at: now,
                    version: source.read_version.clone(),
                    clinic: source.clinic.clone(),
                    status: source.status,
                    content_hash: source.content_hash,
                    subject_index: source.subject_index,
                    gone_at: Some(first_seen),
                    next_at,
                    why: Some("the EHR no longer has it".to_owned()),
                };
                store::finish_source(tx, &source, &reading)
            })
            .await?;
        Ok(())
    }

    /// Nothing is known of a report but that the EHR spoke of it: a person is told, and it is asked for on and on.
    pub(super) async fn conclude_never_read(&self, source: &SourceRow, why: &str) -> Result<(), ResolveError> {
        let now = self.clock.now();
        let prepared = unreadable(source, why);
        let (vault, mode, source) = (self.vault.clone(), self.mode_for(source), source.clone());
        self.store
            .write(move |tx| {
                let newest = store::latest_delivery_of(tx.conn(), &source.id)?;
                if newest.is_some_and(|newest| tells_of(&newest, &prepared)) {
                    return Ok(());
                }
                let ground = Ground { vault: &vault, mode, now };
                deliver(tx, &ground, &source, &prepared, &Wanted::by_itself(&prepared)).map(|_| ())
            })
            .await?;
        Ok(())
    }

    /// A report that cannot be read is not lost: a person sees it, and what is out is suspended.
    /// A recall is a recall, even in a resource that is otherwise broken.
    pub(super) async fn conclude_unreadable(
        &self,
        source: SourceRow,
        why: String,
        status: Option<ReportStatus>,
    ) -> Result<(), ResolveError> {
        let now = self.clock.now();
        let prepared = unreadable(&source, &why);
        let (vault, mode) = (self.vault.clone(), self.mode_for(&source));
        self.store
            .write(move |tx| {
                let open = names::under_all_names(tx, &source)?;
                if status == Some(ReportStatus::EnteredInError) {
                    for delivery in &open {
                        step(tx, delivery, LinkEvent::Recall, now)?;
                    }
                    names::part(tx, &source, now)?;
                } else {
                    suspend(tx, &open, SuspendedWhy::WentBack, now)?;
                }
                let newest = store::latest_delivery_of(tx.conn(), &source.id)?;
                // Staff are told once, for however many it is followed.
                if source.addressee.is_patient() && !newest.is_some_and(|newest| tells_of(&newest, &prepared)) {
                    let ground = Ground { vault: &vault, mode, now };
                    let entry = deliver(tx, &ground, &source, &prepared, &Wanted::by_itself(&prepared))?;
                    close_stand_ins(tx, &source, &entry, now)?;
                }
                store::record(tx, Chain::Source(source.id.clone()), now, AuditEvent::Unreadable { why: why.clone() })?;
                let reading = SourceReading {
                    at: now,
                    version: source.heard_version.clone(),
                    clinic: source.clinic.clone(),
                    status: source.status,
                    content_hash: source.content_hash,
                    subject_index: source.subject_index,
                    gone_at: None,
                    next_at: None,
                    why: Some(why),
                };
                store::finish_source(tx, &source, &reading)
            })
            .await?;
        Ok(())
    }
}

/// How often a reading is decided anew because other rules came into force meanwhile.
const RULES_TRIES_MAX: usize = 5;

/// What is committed of one reading.
struct Conclusion {
    source: SourceRow,
    prepared: Prepared,
    /// `None`: the file is not in question.
    fetched: Option<Fetched>,
    clinic: Option<crate::base::ClinicId>,
    /// Of the rules that decided.
    activation: Option<i64>,
}

enum Concluded {
    Done,
    /// Nothing was kept: the rules that decided are not those in force.
    UnderOtherRules,
    /// It was put off: the patient's own reading of this version comes first.
    AfterThePatients,
}

impl Conclusion {
    fn conclude(&self, tx: &mut Tx, ground: &Ground<'_>) -> Result<Concluded, StoreError> {
        let (source, prepared, now) = (&self.source, &self.prepared, ground.now);
        store::share_rules(tx)?;
        if store::rules_in_force(tx.conn(), now)?.map(|row| row.n) != self.activation {
            return Ok(Concluded::UnderOtherRules);
        }
        let keys = document::replaceable(source, prepared);
        let mut marks = store::marks_of(tx.conn(), &source.id, &prepared.now.content_hash)?;
        marks.extend(prepared.marks.iter().filter(|mark| !marks.contains(mark)).cloned().collect::<Vec<_>>());
        store::hold_documents(tx, &marks, keys.iter())?;
        let read = document::as_it_stands(tx, source, &prepared.now)?;
        let others = Document::gather(tx, source, prepared, &marks, &read, now)?;
        let newest = store::latest_delivery_of(tx.conn(), &source.id)?;
        let standing = standing_delivery(tx, source)?;
        let file = match &self.fetched {
            Some(fetched) => compare::judge(tx.conn(), standing.as_ref(), fetched, now)?,
            None => File::NotCompared,
        };
        let before = Before {
            file,
            content_hash: source.content_hash,
            subject_index: source.subject_index,
            status: source.status,
            newest: newest.as_ref().map(|newest| (&newest.state, newest.content_hash)),
            goes_to: newest.as_ref().filter(|newest| !newest.state.is_final()).and_then(|newest| newest.patient_index),
            standing: standing.as_ref().map(|standing| &standing.state),
        };
        let plan = plan::plan(&before, &read).or_no_longer_forbidden(&before, &prepared.decision);
        if recipient::comes_after_the_patients(tx, source, prepared, &plan, now)? {
            return Ok(Concluded::AfterThePatients);
        }
        let plan = recipient::under_the_patients_doubt(tx, source, prepared, plan)?;
        let open = held_deliveries(tx, &source.id)?;
        let lost: Vec<_> = recipient::no_longer_theirs(source, prepared, &plan, &open).into_iter().cloned().collect();
        let open: Vec<_> = open.into_iter().filter(|one| !lost.iter().any(|lost| lost.id == one.id)).collect();
        let plan_says_new = !matches!(plan, plan::Plan::Unchanged);
        let reading = Reading { source, prepared, read: &read, newest: newest.as_ref(), open: &open };
        let course = others.course(tx, ground, &reading, plan)?;
        let others_at = other_recipients::follow_for_others(tx, ground, source, prepared, &course, &read)?;
        let scene = Scene { ground, reading, standing: standing.as_ref(), others: &others };
        let concerns_others = other_recipients::concerns_others(source, &course, &read);
        // What they have would come back as if nothing had changed.
        if lost.is_empty() || plan_says_new {
            scene.apply(tx, course)?;
        }
        recipient::refuse(tx, &lost, now)?;
        suspend(tx, &others.disputed, SuspendedWhy::WentBack, now)?;
        names::note_replaced(tx, source, prepared, &read, now)?;
        let is_understood = plan::is_understood(read.status);
        // What was first heard of when it was taken back is known by its file alone.
        let is_refused_from_the_first = plan::is_refused(read.status) && source.content_hash.is_none();
        if is_understood || is_refused_from_the_first || names::is_unclear_from_the_first(source, Some(read.status)) {
            // What it has long said is as old as that: a later reading makes it no newer.
            let since = newest.as_ref().filter(|_| reading.is_known()).map_or(now, |newest| newest.created_at);
            if since >= now.minus(store::MARKS_KEPT) {
                store::note_marks(tx, &source.id, &prepared.marks, &read.content_hash, since)?;
            }
        }
        if is_understood {
            others.keep_word(tx, prepared, source, now)?;
        }
        let mut kept = reading_of(source, prepared, &read, self.clinic.clone(), now);
        kept.next_at = others_at;
        store::finish_source(tx, source, &kept)?;
        if concerns_others {
            store::catch_up_others(tx, &source.key, &prepared.version, now)?;
        }
        Ok(Concluded::Done)
    }
}

/// What every change in a conclusion stands on.
pub(super) struct Ground<'a> {
    pub(super) vault: &'a Vault,
    pub(super) mode: store::Mode,
    pub(super) now: UtcMillis,
}

fn reading_of(
    source: &SourceRow,
    prepared: &Prepared,
    read: &Now,
    clinic: Option<crate::base::ClinicId>,
    now: UtcMillis,
) -> SourceReading {
    // What a patient could read stays remembered while the report is unfinished, unclear or withdrawn, so that
    // its return can be told from a change.
    let status = read.status;
    let content_hash = if plan::is_understood(status) { Some(read.content_hash) } else { source.content_hash };
    let subject_index = read.subject_index.filter(|_| plan::may_leave(status)).or(source.subject_index);
    SourceReading {
        at: now,
        version: Some(prepared.version.clone()),
        clinic,
        status: Some(status),
        content_hash,
        subject_index,
        gone_at: None,
        // While something of it is under way, the sweep has it read again; after that only what the EHR says does.
        next_at: None,
        why: None,
    }
}

/// Takes a step from where the delivery is by now: one that shares its link may have moved it.
pub(super) fn step(tx: &mut Tx, seen: &Delivery, event: LinkEvent, now: UtcMillis) -> Result<(), StoreError> {
    let current = store::delivery(tx.conn(), &seen.id)?.filter(|current| !current.state.is_final());
    let Some(delivery) = current else { return Ok(()) };
    let step = delivery.state.clone().step(event, now)?;
    store::advance(tx, &delivery, &step, Actor::Ehr(delivery.ehr.clone()), now)
}

/// The delivery of what the report last said, as far as anybody could tell.
fn standing_delivery(tx: &mut Tx, source: &SourceRow) -> Result<Option<Delivery>, StoreError> {
    match &source.content_hash {
        Some(content) => store::latest_delivery_with(tx.conn(), &source.id, content),
        None => Ok(None),
    }
}

/// Whether staff were told of this very version already, by an entry that no later reading has closed.
fn tells_of(newest: &Delivery, unread: &Prepared) -> bool {
    newest.content_hash == NOTHING_READ
        && newest.report_version == unread.version
        && !matches!(newest.state, Link::Superseded { .. })
}

/// Ends the entries that asked a person about versions nobody understood: `by` now says what becomes of the report.
/// What stands for the content last understood is no such entry.
pub(super) fn close_stand_ins(
    tx: &mut Tx,
    source: &SourceRow,
    by: &DeliveryId,
    now: UtcMillis,
) -> Result<(), StoreError> {
    for delivery in held_deliveries(tx, &source.id)? {
        let asks = matches!(delivery.state, Link::Review { .. });
        if asks && delivery.id != *by && source.content_hash != Some(delivery.content_hash) {
            step(tx, &delivery, LinkEvent::Supersede { by: by.clone() }, now)?;
        }
    }
    Ok(())
}
