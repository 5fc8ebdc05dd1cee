//! A new delivery, in the transaction of the reading that it comes from.

use data_encoding::BASE64URL_NOPAD;

use super::conclude::Ground;
use super::plan::{self, Doubt};
use super::prepare::Prepared;
use super::word::{self, schedule_of};
use crate::audit::{Actor, AuditEvent, Chain, Entry, Pseudonym};
use crate::base::{DeliveryId, Key256, random};
use crate::policy::ReviewReason;
use crate::sealing::{Purpose, hmac_sha256};
use crate::store::{self, DeliveryKind, NewDelivery, Said, SourceRow, StoreError, Tx};

/// What is wanted besides what was read.
pub(super) struct Wanted {
    pub(super) kind: DeliveryKind,
    pub(super) doubt: Doubt,
    pub(super) replaces: Option<DeliveryId>,
    /// The decision, perhaps stricter than that of the reading alone.
    pub(super) said: Said,
}

impl Wanted {
    /// A new one, as it was decided.
    pub(super) fn by_itself(prepared: &Prepared) -> Self {
        Self { kind: DeliveryKind::New, doubt: Doubt::None, replaces: None, said: word::by_itself(prepared) }
    }
}

pub(super) fn deliver(
    tx: &mut Tx,
    ground: &Ground<'_>,
    source: &SourceRow,
    prepared: &Prepared,
    wanted: &Wanted,
) -> Result<DeliveryId, StoreError> {
    let Wanted { kind, doubt, replaces, said } = wanted;
    let decision = said.decision.clone();
    let decision = match doubt {
        Doubt::None => decision,
        Doubt::SubjectChanged => plan::doubted(decision, Some(ReviewReason::SubjectChanged)),
        Doubt::PatientMerged => plan::doubted(decision, Some(ReviewReason::PatientMerged)),
        Doubt::Reinstated => plan::doubted(decision, Some(ReviewReason::Reinstated)),
        // What else a person must look at says more.
        Doubt::SameElsewhere => plan::object(decision, Some(ReviewReason::SameElsewhere)),
    };
    let id = DeliveryId::random(&mut random::system());
    let patient_index = prepared.now.patient_index.or(prepared.now.subject_index);
    let patient = match &patient_index {
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
        recipient: prepared.recipient,
        addressee: source.addressee,
        issue_no: store::next_issue_no(tx.conn(), &source.id, &prepared.version)?,
        mode: ground.mode,
        kind: *kind,
        state: plan::first_state(&decision, schedule_of(said).as_ref(), ground.now),
        decision: decision.clone(),
        facts: prepared.facts.clone(),
        trace: said.trace.clone(),
        rules_hash: prepared.rules_hash.clone(),
        card_sealed: prepared
            .card
            .as_ref()
            .map(|card| ground.vault.seal_record(Purpose::PatientCard, id.as_str(), &card.to_bytes())),
        contact_index: prepared.contact_index,
        patient_index,
        replaces: replaces.clone(),
        group_index: prepared.group_index,
    };
    let event = AuditEvent::Decided {
        version: prepared.version.to_string(),
        rules_hash: prepared.rules_hash.clone(),
        decision: serde_json::to_string(&decision).map_err(|_| StoreError::BadRow { column: "delivery.decision" })?,
        mode: ground.mode.as_str().to_owned(),
        patient,
        recipient: prepared.recipient,
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
