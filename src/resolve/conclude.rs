//! One reading, concluded in one transaction.

use data_encoding::BASE64URL_NOPAD;

use super::compare::{self, Fetched};
use super::learnt::learn;
use super::plan::{self, Before, Doubt, File, OldLinks, Plan};
use super::prepare::{Prepared, unreadable};
use super::suspend::{is_suspended, restore, suspend};
use super::{GONE_AGAIN_AFTER, GONE_MAX, GONE_WINDOW, Read, ReadEhr, Resolve, ResolveError, back_off};
use crate::audit::{Actor, AuditEvent, Chain, Entry, Pseudonym};
use crate::base::{DeliveryId, Key256, UtcMillis, random};
use crate::fhir::FhirBody;
use crate::keys::Vault;
use crate::policy::{RecipientRole, ReportStatus, ReviewReason};
use crate::record::{Link, LinkEvent, RevokedBy, SuspendedWhy};
use crate::sealing::{Purpose, hmac_sha256};
use crate::store::{self, Delivery, DeliveryKind, NOTHING_READ, NewDelivery, SourceReading, SourceRow, StoreError, Tx};

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
            let prepared = self.prepare(ehr, &source, &read, since, &rules)?;
            if source.tries < WANTING_TRIES_MAX && prepared.wants_time() {
                let why = "the EHR did not show everything that the rules look at".to_owned();
                let at = now.plus(back_off(source.tries));
                return self.fail(source, why, Some(at)).await;
            }
            let conclusion = Conclusion {
                source: source.clone(),
                prepared,
                fetched: in_question.then(|| fetched.clone()),
                clinic: ehr.clinic.clone(),
                activation: rules.activation,
            };
            let (vault, mode) = (self.vault.clone(), self.mode);
            let concluded =
                self.store.write(move |tx| conclusion.conclude(tx, &Ground { vault: &vault, mode, now })).await?;
            match concluded {
                Concluded::Done => return Ok(()),
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
                let open = held_deliveries(tx, &source)?;
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

    /// A report that cannot be read is not lost: a person sees it, and what is out is suspended.
    /// A recall is a recall, even in a resource that is otherwise broken.
    pub(super) async fn conclude_unreadable(
        &self,
        source: SourceRow,
        why: String,
        status: Option<ReportStatus>,
    ) -> Result<(), ResolveError> {
        let now = self.clock.now();
        let prepared = unreadable(&source, &why)?;
        let (vault, mode) = (self.vault.clone(), self.mode);
        self.store
            .write(move |tx| {
                let open = held_deliveries(tx, &source)?;
                if status == Some(ReportStatus::EnteredInError) {
                    for delivery in &open {
                        step(tx, delivery, LinkEvent::Recall, now)?;
                    }
                } else {
                    suspend(tx, &open, SuspendedWhy::WentBack, now)?;
                }
                let newest = store::latest_delivery_of(tx.conn(), &source.id)?;
                if !newest.is_some_and(|newest| tells_of(&newest, &prepared)) {
                    let ground = Ground { vault: &vault, mode, now };
                    let entry = deliver(tx, &ground, &source, &prepared, DeliveryKind::New, Doubt::None, None)?;
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
}

impl Conclusion {
    fn conclude(&self, tx: &mut Tx, ground: &Ground<'_>) -> Result<Concluded, StoreError> {
        let (source, prepared, now) = (&self.source, &self.prepared, ground.now);
        store::share_rules(tx)?;
        if store::rules_in_force(tx.conn(), now)?.map(|row| row.n) != self.activation {
            return Ok(Concluded::UnderOtherRules);
        }
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
            standing: standing.as_ref().map(|standing| &standing.state),
        };
        let plan = plan::plan(&before, &prepared.now).or_no_longer_forbidden(&before, &prepared.decision);
        let reading = reading_of(source, prepared, self.clinic.clone(), now);
        apply(tx, ground, source, standing.as_ref(), prepared, plan)?;
        store::finish_source(tx, source, &reading).map(|()| Concluded::Done)
    }
}

/// What every change in a conclusion stands on.
struct Ground<'a> {
    vault: &'a Vault,
    mode: store::Mode,
    now: UtcMillis,
}

fn reading_of(
    source: &SourceRow,
    prepared: &Prepared,
    clinic: Option<crate::base::ClinicId>,
    now: UtcMillis,
) -> SourceReading {
    // What a patient could read stays remembered while the report is unfinished, unclear or withdrawn, so that
    // its return can be told from a change.
    let status = prepared.now.status;
    let content_hash = if plan::is_understood(status) { Some(prepared.now.content_hash) } else { source.content_hash };
    let subject_index = prepared.now.subject_index.filter(|_| plan::may_leave(status)).or(source.subject_index);
    SourceReading {
        at: now,
        version: Some(prepared.version.clone()),
        clinic,
        status: Some(prepared.now.status),
        content_hash,
        subject_index,
        gone_at: None,
        // While something of it is under way, the sweep has it read again; after that only what the EHR says does.
        next_at: None,
        why: None,
    }
}

fn apply(
    tx: &mut Tx,
    ground: &Ground<'_>,
    source: &SourceRow,
    standing: Option<&Delivery>,
    prepared: &Prepared,
    plan: Plan,
) -> Result<(), StoreError> {
    let now = ground.now;
    let open = held_deliveries(tx, source)?;
    let note = |tx: &mut Tx, event| store::record(tx, Chain::Source(source.id.clone()), now, event);
    let (version, status) = (prepared.version.to_string(), format!("{:?}", prepared.now.status));
    match plan {
        Plan::Recall => {
            for delivery in &open {
                step(tx, delivery, LinkEvent::Recall, now)?;
            }
            note(tx, AuditEvent::NotForSending { version, status })
        }
        Plan::Revoke(by) => {
            for delivery in &open {
                step(tx, delivery, LinkEvent::Revoke { by: by.clone() }, now)?;
            }
            note(tx, AuditEvent::NotForSending { version, status })
        }
        Plan::NotForSending => {
            suspend(tx, &open, SuspendedWhy::WentBack, now)?;
            note(tx, AuditEvent::NotForSending { version, status })
        }
        Plan::Unchanged => {
            unchanged(tx, ground, source, standing, prepared, &open)?;
            note(tx, AuditEvent::Unchanged { version })
        }
        Plan::Deliver { kind, old, doubt } => {
            let replaces = open.last().map(|delivery| delivery.id.clone());
            let made = deliver(tx, ground, source, prepared, kind, doubt, replaces)?;
            for delivery in &open {
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
                    OldLinks::Suspend => suspend(tx, std::slice::from_ref(delivery), SuspendedWhy::WentBack, now)?,
                }
            }
            match old {
                OldLinks::Suspend => close_stand_ins(tx, source, &made, now),
                OldLinks::Supersede | OldLinks::Keep | OldLinks::Revoke => Ok(()),
            }
        }
    }
}

/// The report reads the same: what was suspended comes back, and what has not left is looked at once more.
fn unchanged(
    tx: &mut Tx,
    ground: &Ground<'_>,
    source: &SourceRow,
    standing: Option<&Delivery>,
    prepared: &Prepared,
    open: &[Delivery],
) -> Result<(), StoreError> {
    let now = ground.now;
    if plan::is_understood(prepared.now.status) {
        for delivery in open.iter().filter(|delivery| is_suspended(delivery)) {
            restore(tx, delivery, now)?;
        }
        if let Some(standing) = standing {
            close_stand_ins(tx, source, &standing.id, now)?;
        }
    }
    for delivery in held_deliveries(tx, source)? {
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

fn deliver(
    tx: &mut Tx,
    ground: &Ground<'_>,
    source: &SourceRow,
    prepared: &Prepared,
    kind: DeliveryKind,
    doubt: Doubt,
    replaces: Option<DeliveryId>,
) -> Result<DeliveryId, StoreError> {
    let doubt = match doubt {
        Doubt::None => None,
        Doubt::SubjectChanged => Some(ReviewReason::SubjectChanged),
        Doubt::Reinstated => Some(ReviewReason::Reinstated),
    };
    let decision = plan::doubted(prepared.decision.clone(), doubt);
    let id = DeliveryId::random(&mut random::system());
    let patient = match &prepared.now.subject_index {
        Some(index) => Some(pseudonym(tx, ground, index)?),
        None => None,
    };
    let new = NewDelivery {
        id: id.clone(),
        source: source.id.clone(),
        ehr: source.key.ehr.clone(),
        clinic: prepared.facts.clinic.clone(),
        report_version: prepared.version.clone(),
        content_hash: prepared.now.content_hash,
        recipient: RecipientRole::Patient,
        issue_no: store::next_issue_no(tx.conn(), &source.id, &prepared.version)?,
        mode: ground.mode,
        kind,
        state: plan::first_state(&decision, prepared.schedule.as_ref(), ground.now),
        decision: decision.clone(),
        facts: prepared.facts.clone(),
        trace: prepared.trace.clone(),
        rules_hash: prepared.rules_hash.clone(),
        card_sealed: prepared
            .card
            .as_ref()
            .map(|card| ground.vault.seal_record(Purpose::PatientCard, id.as_str(), &card.to_bytes())),
        contact_index: prepared.contact_index,
        patient_index: prepared.now.subject_index,
        replaces,
        group_index: prepared.group_index,
    };
    let event = AuditEvent::Decided {
        version: prepared.version.to_string(),
        rules_hash: prepared.rules_hash.clone(),
        decision: serde_json::to_string(&decision).map_err(|_| StoreError::BadRow { column: "delivery.decision" })?,
        mode: ground.mode.as_str().to_owned(),
        patient,
    };
    let entry = Entry {
        chain: Chain::Delivery(id.clone()),
        at: ground.now,
        clinic: new.clinic.clone(),
        actor: Actor::System,
        event,
    };
    store::insert_delivery(tx, &new, &entry)?;
    if let Some(index) = &prepared.paper_index {
        store::insert_paper(tx, &id, index)?;
    }
    Ok(id)
}

/// The patient as the audit names them, under a key of their own.
fn pseudonym(tx: &mut Tx, ground: &Ground<'_>, index: &[u8; 32]) -> Result<Pseudonym, StoreError> {
    let context = BASE64URL_NOPAD.encode(index);
    let fresh = Key256::random(&mut random::system());
    let sealed = ground.vault.seal_record(Purpose::Record, &context, fresh.expose());
    let kept = store::remember_patient(tx, index, sealed, ground.now)?;
    let bad = StoreError::BadRow { column: "patient.key_sealed" };
    let Ok(plain) = ground.vault.open_record(Purpose::Record, &context, &kept) else { return Err(bad) };
    let Some(key) = Key256::from_slice(&plain) else { return Err(bad) };
    let mac = hmac_sha256(&key, &[b"chartseal/1/pseudonym", index]);
    Ok(Pseudonym(BASE64URL_NOPAD.encode(mac.get(..16).unwrap_or_default())))
}

pub(super) fn step(tx: &mut Tx, delivery: &Delivery, event: LinkEvent, now: UtcMillis) -> Result<(), StoreError> {
    let step = delivery.state.clone().step(event, now)?;
    store::advance(tx, delivery, &step, Actor::Ehr(delivery.ehr.clone()), now)
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
fn close_stand_ins(tx: &mut Tx, source: &SourceRow, by: &DeliveryId, now: UtcMillis) -> Result<(), StoreError> {
    for delivery in held_deliveries(tx, source)? {
        let asks = matches!(delivery.state, Link::Review { .. });
        if asks && delivery.id != *by && source.content_hash != Some(delivery.content_hash) {
            step(tx, &delivery, LinkEvent::Supersede { by: by.clone() }, now)?;
        }
    }
    Ok(())
}

/// What is under way of this resource, held until the transaction ends.
fn held_deliveries(tx: &mut Tx, source: &SourceRow) -> Result<Vec<Delivery>, StoreError> {
    let mut held = Vec::new();
    for delivery in store::open_deliveries_of(tx.conn(), &source.id)? {
        held.extend(store::hold_delivery(tx, &delivery.id)?.filter(|delivery| !delivery.state.is_final()));
    }
    Ok(held)
}
