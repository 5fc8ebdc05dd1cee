//! Rows to begin a test with: a followed report, its delivery, its link and its notice.

use std::num::NonZeroU16;
use std::time::Duration;

use chartseal::audit::{Actor, AuditEvent, Chain, Entry};
use chartseal::base::{
    DeliveryId, EhrId, FhirId, LinkId, MediaType, NoticeId, OpeningId, OperatorName, ResourceKey, ResourceType,
    SourceId, UtcMillis, VersionId, hours, random, seconds,
};
use chartseal::policy::{
    Channel, Decision, Facts, OpeningTerms, Opens, RecipientRole, Release, ReportStatus, Terms, Wording,
};
use chartseal::record::{Link, LinkEvent, NoticeKind, RevokedBy};
use chartseal::store::{
    self, Claim, Delivery, DeliveryKind, LeasedNotice, Mode, NewChallenge, NewDelivery, NewFile, NewHealthLink,
    NewLink, NewNotice, NoticeSecret, SourceReading, StoreError, Tx,
};

use super::bed::Bed;

/// When most tests happen.
pub const NOW: UtcMillis = UtcMillis(1_795_000_000_000);
pub const LIFE: Duration = hours(72);

/// What the planted key material looks like, to be looked for where it must not be.
pub const SHARE: &[u8] = b"planted-share-5f0e1c";
pub const RECEIPT: &[u8] = b"planted-receipt-77ab02";
pub const SECRET: &[u8] = b"planted-secret-c9d441";
pub const AUTH: &[u8] = b"planted-auth-1b2e99";

pub fn ehr() -> EhrId {
    EhrId::parse("main").unwrap()
}

pub fn version(text: &str) -> VersionId {
    VersionId::parse(text).unwrap()
}

pub fn report(number: u16) -> ResourceKey {
    ResourceKey {
        ehr: ehr(),
        kind: ResourceType::DiagnosticReport,
        id: FhirId::parse(&format!("report-{number}")).unwrap(),
    }
}

/// A cookie's hash.
pub const fn browser(number: u8) -> [u8; 32] {
    [number; 32]
}

pub const fn after(n: u64) -> Duration {
    seconds(n)
}

pub fn reading(at: UtcMillis, read: &str) -> SourceReading {
    SourceReading {
        at,
        version: Some(version(read)),
        clinic: None,
        status: Some(ReportStatus::Final),
        content_hash: Some([1; 32]),
        subject_index: Some([2; 32]),
        gone_at: None,
        next_at: None,
        why: None,
    }
}

/// A report heard of and read at [`NOW`].
pub fn read_report(tx: &mut Tx, number: u16) -> Result<SourceId, StoreError> {
    let heard = store::hear(tx, &report(number), Some(&version("1")), NOW, &mut random::system())?;
    let (store::Hearing::Due(id) | store::Hearing::Known(id)) = heard;
    let leased = store::lease_sources(tx, &ehr(), NOW, NOW.plus(after(120)), 100)?;
    let seen = leased.into_iter().find(|row| row.id == id).ok_or(StoreError::Moved)?;
    store::finish_source(tx, &seen, &reading(NOW, "1"))?;
    Ok(id)
}

/// Leases what is due to be released.
pub fn lease_due(tx: &mut Tx, now: UtcMillis, until: UtcMillis, count: i64) -> Result<Vec<Delivery>, StoreError> {
    store::lease_due_deliveries(tx, &ehr(), now, until, count)
}

pub fn terms(opens: u16) -> Terms {
    Terms {
        expiry_seconds: LIFE.as_secs(),
        opens: Opens(NonZeroU16::new(opens).unwrap()),
        channels: [Channel::Email].into(),
        challenges: [].into(),
        release: Release::at_once(),
        wording: Wording::Generic,
        ..Terms::by_hand()
    }
}

pub fn new_delivery(source: &SourceId) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::random(&mut random::system()),
        source: source.clone(),
        ehr: ehr(),
        clinic: None,
        report_version: version("1"),
        content_hash: [1; 32],
        recipient: RecipientRole::Patient,
        addressee: chartseal::record::Addressee::Patient,
        issue_no: 1,
        mode: Mode::Live,
        kind: DeliveryKind::New,
        state: Link::Recorded,
        decision: Decision::Send { terms: terms(1) },
        facts: Facts {
            recipient: RecipientRole::Patient,
            clinic: None,
            kind: ResourceType::DiagnosticReport,
            status: ReportStatus::Final,
            codes: vec![],
            categories: vec![],
            issued: Some(NOW),
            ..Facts::bare(ResourceType::DiagnosticReport, ReportStatus::Final)
        },
        trace: "{}".to_owned(),
        rules_hash: "rules".to_owned(),
        card_sealed: Some(b"card".to_vec()),
        contact_index: Some([3; 32]),
        patient_index: Some([4; 32]),
        replaces: None,
        group_index: None,
    }
}

pub fn decided(new: &NewDelivery) -> Entry {
    let event = AuditEvent::Decided {
        version: "1".to_owned(),
        rules_hash: new.rules_hash.clone(),
        decision: "send".to_owned(),
        mode: new.mode.as_str().to_owned(),
        patient: None,
        recipient: RecipientRole::Patient,
    };
    Entry::by_system(Chain::Delivery(new.id.clone()), NOW, None, event)
}

/// Keeps `new` and reads it back.
pub fn keep(tx: &mut Tx, new: &NewDelivery) -> Result<Delivery, StoreError> {
    store::insert_delivery(tx, new, &decided(new))?;
    Ok(store::delivery(tx.conn(), &new.id)?.expect("what was inserted is there"))
}

/// A delivery that waits for its release.
pub fn recorded(tx: &mut Tx, number: u16) -> Result<Delivery, StoreError> {
    let source = read_report(tx, number)?;
    keep(tx, &new_delivery(&source))
}

/// What a release leaves behind.
#[derive(Clone)]
pub struct Released {
    pub delivery: DeliveryId,
    pub link: LinkId,
    pub notice: NoticeId,
}

/// A link with two files whose notice is queued.
pub fn released(tx: &mut Tx, number: u16, opens: u16) -> Result<Released, StoreError> {
    let delivery = recorded(tx, number)?;
    release(tx, &delivery, opens)
}

pub fn release(tx: &mut Tx, delivery: &Delivery, opens: u16) -> Result<Released, StoreError> {
    release_together(tx, delivery, &[], opens)
}

/// A link that asks something before it opens.
pub fn release_asking(
    tx: &mut Tx,
    delivery: &Delivery,
    opens: u16,
    challenge: Option<NewChallenge>,
) -> Result<Released, StoreError> {
    release_all(tx, Channel::Email, delivery, &[], opens, (challenge, None))
}

/// The same for one that offers a health link.
pub fn release_offering(
    tx: &mut Tx,
    delivery: &Delivery,
    opens: u16,
    health_link: (NewHealthLink, NewFile),
) -> Result<Released, StoreError> {
    release_all(tx, Channel::Email, delivery, &[], opens, (None, Some(health_link)))
}

/// The same for several in one link, which is the lead's.
pub fn release_together(
    tx: &mut Tx,
    delivery: &Delivery,
    companions: &[Delivery],
    opens: u16,
) -> Result<Released, StoreError> {
    release_all(tx, Channel::Email, delivery, companions, opens, (None, None))
}

/// A link whose notice goes by this channel.
pub fn release_by(
    tx: &mut Tx,
    channel: Channel,
    delivery: &Delivery,
    companions: &[Delivery],
    opens: u16,
) -> Result<Released, StoreError> {
    release_all(tx, channel, delivery, companions, opens, (None, None))
}

fn release_all(
    tx: &mut Tx,
    channel: Channel,
    delivery: &Delivery,
    companions: &[Delivery],
    opens: u16,
    (challenge, health_link): (Option<NewChallenge>, Option<(NewHealthLink, NewFile)>),
) -> Result<Released, StoreError> {
    let rng = &mut random::system();
    let (link, notice) = (LinkId::random(rng), NoticeId::random(rng));
    let files = (0..2).map(|number| NewFile {
        number,
        delivery: delivery.id.clone(),
        report_version: delivery.report_version.clone(),
        blob: format!("{}/{number}", link.as_str()),
        media: MediaType::Pdf,
        plain_bytes: 1000,
        sealed_bytes: 1100,
        plain_index: [0; 32],
    });
    let new = NewLink {
        id: link.clone(),
        delivery: delivery.id.clone(),
        companions: companions.iter().map(|one| one.id.clone()).collect(),
        challenge,
        secret_kept_sealed: None,
        opening: OpeningTerms::loosest(),
        contents: None,
        health_link,
        report_version: delivery.report_version.clone(),
        life_seconds: LIFE.as_secs(),
        opens_max: opens,
        share_wrapped: SHARE.to_vec(),
        epoch: NOW.day(),
        auth_sealed: AUTH.to_vec(),
        receipt_sealed: RECEIPT.to_vec(),
        files: files.collect(),
    };
    store::insert_link(tx, &new, NOW)?;
    let new = NewNotice {
        id: notice.clone(),
        delivery: delivery.id.clone(),
        link: link.clone(),
        kind: NoticeKind::Link,
        channel,
        secret: Some(NoticeSecret { sealed: SECRET.to_vec(), key: NOW.hour() }),
    };
    store::insert_notice(tx, &new, NOW)?;
    for sharer in std::iter::once(delivery).chain(companions) {
        step(tx, &sharer.id, LinkEvent::Released, NOW)?;
    }
    Ok(Released { delivery: delivery.id.clone(), link, notice })
}

/// A link whose life runs: its first attempt is leased at [`NOW`].
pub fn handed_over(tx: &mut Tx, number: u16, opens: u16) -> Result<Released, StoreError> {
    let released = released(tx, number, opens)?;
    store::lease_notices(tx, NOW, NOW, 100)?;
    Ok(released)
}

/// Takes the stored state one step on.
pub fn step(tx: &mut Tx, id: &DeliveryId, event: LinkEvent, at: UtcMillis) -> Result<(), StoreError> {
    let before = store::hold_delivery(tx, id)?.expect("the delivery is there");
    let step = before.state.clone().step(event, at)?;
    store::advance(tx, &before, &step, Actor::System, at)
}

pub fn revoke(tx: &mut Tx, id: &DeliveryId, at: UtcMillis) -> Result<(), StoreError> {
    let by = RevokedBy::Operator(OperatorName::parse("eve").unwrap());
    step(tx, id, LinkEvent::Revoke { by }, at)
}

pub fn begin(tx: &mut Tx, link: &LinkId, number: u8, at: UtcMillis) -> Result<Option<OpeningId>, StoreError> {
    store::begin_opening(tx, link, &browser(number), &OpeningId::random(&mut random::system()), at)
}

/// How a claim ended, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Won {
    Granted,
    Repeated,
    Refused(store::ClaimRefusal),
}

pub fn claim(tx: &mut Tx, link: &LinkId, number: u8, at: UtcMillis) -> Result<Won, StoreError> {
    Ok(match store::claim(tx, link, &browser(number), at)? {
        Claim::Granted { .. } => Won::Granted,
        Claim::Repeated { .. } => Won::Repeated,
        Claim::Refused(why) => Won::Refused(why),
    })
}

pub async fn lease(bed: &Bed, at: UtcMillis) -> Vec<LeasedNotice> {
    bed.write(move |tx| store::lease_notices(tx, at, NOW, 100)).await
}

pub async fn the_delivery(bed: &Bed, id: &DeliveryId) -> Delivery {
    let id = id.clone();
    bed.read(move |conn| store::delivery(conn, &id)).await.expect("the delivery is there")
}

pub async fn the_link(bed: &Bed, id: &LinkId) -> store::LinkRow {
    let id = id.clone();
    bed.read(move |conn| store::link(conn, &id)).await.expect("the link is there")
}

pub async fn the_notice(bed: &Bed, id: &NoticeId) -> store::NoticeRow {
    let id = id.clone();
    bed.read(move |conn| store::notice(conn, &id)).await.expect("the notice is there")
}

/// Verifies every chain and returns how many lines there are.
pub async fn verified_lines(bed: &Bed) -> usize {
    bed.read(|conn| {
        let mut count = 0;
        for name in store::chain_names(conn)? {
            let lines = store::chain_lines(conn, &name)?;
            chartseal::audit::verify_chain(&lines).expect("the chain verifies");
            count += lines.len();
        }
        Ok(count)
    })
    .await
}
