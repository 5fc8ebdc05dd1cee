//! The commits of one delivery's way through the store, as resolving, releasing and the outbox make them.

use std::io::Write as _;
use std::num::NonZeroU16;

use chartseal::audit::{Actor, AuditEvent, Chain, Entry};
use chartseal::base::{
    Contact, DeliveryId, EhrId, EmailAddress, FhirId, Key256, LinkId, LinkSecret, MediaType, NoticeId, ResourceKey,
    ResourceType, UtcMillis, VersionId, random,
};
use chartseal::blobs::{BlobKey, BlobStore};
use chartseal::keys::{KeyName, Vault};
use chartseal::policy::{
    Channel, Decision, Facts, OpeningTerms, Opens, RecipientRole, Release, ReportStatus, Terms, Wording,
};
use chartseal::record::{Card, Link, LinkEvent, NOTICE_WAIT_MAX, NoticeEvent, NoticeKind, OPENING_LEASE_MAX};
use chartseal::sealing::{AuthKey, ContentKey, FileContext, FileNumber, Purpose, ReceiptKey, Sealer};
use chartseal::store::{
    self, Delivery, DeliveryKind, Mode, NewDelivery, NewFile, NewLink, NewNotice, NoticeSecret, SourceReading,
    StoreError, Tx,
};

/// How long the links live.
pub const LIFE_SECONDS: u64 = 72 * 3600;

/// What a release has made before it commits.
#[derive(Clone)]
pub struct Made {
    pub secret_text: String,
    pub id: LinkId,
    card: Vec<u8>,
    link: LinkParts,
    notice_id: NoticeId,
    secret_sealed: Vec<u8>,
    secret_key: String,
    fingerprints: Vec<(KeyName, String)>,
}

#[derive(Clone)]
struct LinkParts {
    share_wrapped: Vec<u8>,
    epoch: String,
    auth_sealed: Vec<u8>,
    receipt_sealed: Vec<u8>,
    blob: BlobKey,
    plain_bytes: u64,
    sealed_bytes: u64,
    plain_index: [u8; 32],
}

pub fn version() -> VersionId {
    VersionId::parse("1").expect("a version")
}

fn ehr() -> EhrId {
    EhrId::parse("lab").expect("an id")
}

/// One commit: a report is heard of, read and decided about.
pub fn decide(tx: &mut Tx, vault: &Vault, number: usize, now: UtcMillis) -> Result<DeliveryId, StoreError> {
    let id = FhirId::parse(&format!("report-{number}")).expect("an id");
    let key = ResourceKey { ehr: ehr(), kind: ResourceType::DiagnosticReport, id };
    let (store::Hearing::Due(source) | store::Hearing::Known(source)) =
        store::hear(tx, &key, Some(&version()), now, &mut random::system())?;
    let leased = store::lease_sources(tx, &ehr(), now, now.plus(store::LEASE), 1)?;
    let seen = leased.into_iter().find(|row| row.id == source).ok_or(StoreError::Moved)?;
    let index = |what| Some(vault.blind_index(what, &number.to_string()));
    let reading = SourceReading {
        at: now,
        version: Some(version()),
        clinic: None,
        status: Some(ReportStatus::Final),
        content_hash: Some([1; 32]),
        subject_index: index("patient"),
        gone_at: None,
        next_at: None,
        why: None,
    };
    store::finish_source(tx, &seen, &reading)?;
    let new = NewDelivery {
        id: DeliveryId::random(&mut random::system()),
        source,
        ehr: ehr(),
        clinic: None,
        report_version: version(),
        content_hash: [1; 32],
        recipient: RecipientRole::Patient,
        addressee: chartseal::record::Addressee::Patient,
        issue_no: 1,
        mode: Mode::Live,
        kind: DeliveryKind::New,
        state: Link::Recorded,
        decision: Decision::Send { terms: terms() },
        facts: facts(now),
        // As long as the trace of a small set of rules.
        trace: format!("{{\"rules\":\"{}\"}}", "x".repeat(400)),
        rules_hash: "0".repeat(64),
        card_sealed: None,
        contact_index: index("email"),
        patient_index: index("patient"),
        replaces: None,
        group_index: None,
    };
    let event = AuditEvent::Decided {
        version: "1".to_owned(),
        rules_hash: new.rules_hash.clone(),
        decision: "send".to_owned(),
        mode: new.mode.as_str().to_owned(),
        patient: None,
        recipient: RecipientRole::Patient,
    };
    let entry = Entry::by_system(Chain::Delivery(new.id.clone()), now, None, event);
    store::insert_delivery(tx, &new, &entry)?;
    Ok(new.id)
}

/// Draws the keys of a link and wraps them, without a file.
///
/// # Panics
/// When the keys cannot be used.
pub fn make_keys(vault: &Vault, number: usize, now: UtcMillis) -> Made {
    make(vault, number, now, |_, _| (BlobKey::random(&mut random::system()), 10_000, 10_056))
}

/// [`make_keys`] with `report` sealed and stored.
///
/// # Panics
/// When keys or disk cannot be used.
pub fn make_sealed(vault: &Vault, blobs: &BlobStore, report: &[u8], number: usize, now: UtcMillis) -> Made {
    make(vault, number, now, |content, id| {
        let blob = BlobKey::random(&mut random::system());
        let about =
            FileContext { link: id.clone(), number: FileNumber::FIRST, version: version(), media: MediaType::Text };
        let writer = blobs.create(&blob).expect("the disk takes a file");
        let mut sealer = Sealer::new(content, &about, &mut random::system(), writer).expect("the disk takes it");
        sealer.write(report).expect("the disk takes it");
        let (mut writer, length) = sealer.finish().expect("the disk takes it");
        writer.flush().expect("the disk takes it");
        writer.commit().expect("the disk keeps it");
        (blob, length.plain, length.sealed)
    })
}

fn make(
    vault: &Vault,
    number: usize,
    now: UtcMillis,
    file: impl FnOnce(&ContentKey, &LinkId) -> (BlobKey, u64, u64),
) -> Made {
    let mut rng = random::system();
    let (id, secret, share) = (LinkId::random(&mut rng), LinkSecret::random(&mut rng), Key256::random(&mut rng));
    let (blob, plain_bytes, sealed_bytes) = file(&ContentKey::derive(&secret, &share, &id), &id);
    let life = std::time::Duration::from_secs(LIFE_SECONDS);
    let epoch = KeyName::epoch(now.plus(NOTICE_WAIT_MAX).plus(life).plus(OPENING_LEASE_MAX));
    let outbox = KeyName::outbox(now);
    let notice_id = NoticeId::random(&mut rng);
    let share = vault.seal_dated(&epoch, Purpose::Share, id.as_str(), share.expose()).expect("the keys are here");
    let sealed =
        vault.seal_dated(&outbox, Purpose::LinkSecret, notice_id.as_str(), secret.expose()).expect("the keys are here");
    let address = EmailAddress::parse(&format!("patient-{number}@patients.test")).expect("an address");
    let patient = FhirId::parse(&format!("patient-{number}")).expect("an id");
    let card = Card::new(Some(&Contact::Email(address)), None, patient, "the only address".to_owned());
    let (auth, receipt) = (AuthKey::derive(&secret, &id), ReceiptKey::derive(&secret, &id));
    Made {
        secret_text: secret.to_base64url().expose().to_owned(),
        card: card.to_bytes().to_vec(),
        link: LinkParts {
            share_wrapped: share.bytes,
            epoch: epoch.as_str().to_owned(),
            auth_sealed: vault.seal_record(Purpose::AuthKey, id.as_str(), auth.expose()),
            receipt_sealed: vault.seal_record(Purpose::ReceiptKey, id.as_str(), receipt.expose()),
            blob,
            plain_bytes,
            sealed_bytes,
            plain_index: vault.file_index(&[7; 32]),
        },
        id,
        notice_id,
        secret_sealed: sealed.bytes,
        secret_key: outbox.as_str().to_owned(),
        fingerprints: vec![(epoch, share.fingerprint.to_string()), (outbox, sealed.fingerprint.to_string())],
    }
}

/// One commit: this delivery is leased for its release.
pub fn lease(tx: &mut Tx, now: UtcMillis) -> Result<Delivery, StoreError> {
    let leased = store::lease_due_deliveries(tx, &ehr(), now, now.plus(store::LEASE), 1)?;
    leased.into_iter().next().ok_or(StoreError::Moved)
}

/// One commit: link and notice stand, with their audit lines.
pub fn release(tx: &mut Tx, vault: &Vault, before: &Delivery, made: &Made, now: UtcMillis) -> Result<(), StoreError> {
    for (key, fingerprint) in &made.fingerprints {
        store::mark_key(tx, key.kind().as_str(), key.as_str(), fingerprint, now)?;
    }
    let step = before.state.clone().step(LinkEvent::Released, now)?;
    store::advance(tx, before, &step, Actor::System, now)?;
    let card = vault.seal_record(Purpose::PatientCard, before.id.as_str(), &made.card);
    store::set_card(tx, &before.id, &card, &before.contact_index.unwrap_or_default())?;
    let link = NewLink {
        id: made.id.clone(),
        delivery: before.id.clone(),
        companions: Vec::new(),
        challenge: None,
        secret_kept_sealed: None,
        opening: OpeningTerms::loosest(),
        contents: None,
        health_link: None,
        report_version: before.report_version.clone(),
        life_seconds: LIFE_SECONDS,
        opens_max: 1,
        share_wrapped: made.link.share_wrapped.clone(),
        epoch: made.link.epoch.clone(),
        auth_sealed: made.link.auth_sealed.clone(),
        receipt_sealed: made.link.receipt_sealed.clone(),
        files: vec![NewFile {
            number: FileNumber::FIRST.as_u16(),
            delivery: before.id.clone(),
            report_version: before.report_version.clone(),
            blob: made.link.blob.as_str().to_owned(),
            media: MediaType::Text,
            plain_bytes: made.link.plain_bytes,
            sealed_bytes: made.link.sealed_bytes,
            plain_index: made.link.plain_index,
        }],
    };
    store::insert_link(tx, &link, now)?;
    let notice = NewNotice {
        id: made.notice_id.clone(),
        delivery: before.id.clone(),
        link: made.id.clone(),
        kind: NoticeKind::Link,
        channel: Channel::Email,
        secret: Some(NoticeSecret { sealed: made.secret_sealed.clone(), key: made.secret_key.clone() }),
    };
    store::insert_notice(tx, &notice, now)?;
    let epoch = made.link.epoch.clone();
    let sealed = AuditEvent::Sealed { link: made.id.clone(), files: 1, bytes: made.link.plain_bytes, epoch };
    store::append(tx, &before.entry(now, Actor::System, sealed))?;
    let queued = AuditEvent::NoticeQueued { notice: made.notice_id.clone(), channel: Channel::Email };
    store::append(tx, &before.entry(now, Actor::System, queued))
}

/// The message is leased and was accepted: the link's life runs.
pub fn hand_over(tx: &mut Tx, now: UtcMillis) -> Result<(), StoreError> {
    for leased in store::lease_notices(tx, now, now, 1)? {
        let step = leased.notice.state.step(NoticeEvent::Accepted, now)?;
        store::settle_notice(tx, &leased.notice, &leased.delivery, &step, None, now)?;
    }
    Ok(())
}

fn terms() -> Terms {
    Terms {
        expiry_seconds: LIFE_SECONDS,
        opens: Opens(NonZeroU16::MIN),
        channels: [Channel::Email].into(),
        challenges: [].into(),
        release: Release::at_once(),
        wording: Wording::Generic,
        ..Terms::by_hand()
    }
}

fn facts(now: UtcMillis) -> Facts {
    Facts {
        recipient: RecipientRole::Patient,
        clinic: None,
        kind: ResourceType::DiagnosticReport,
        status: ReportStatus::Final,
        codes: vec![],
        categories: vec![],
        issued: Some(now),
        ..Facts::bare(ResourceType::DiagnosticReport, ReportStatus::Final)
    }
}
