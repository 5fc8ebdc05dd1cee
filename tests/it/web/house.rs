//! A whole house under the routes: `SQLite`, keys and sealed files in a directory that goes with the test.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::support::clinic;
use crate::support::place::Place;
use crate::support::service::Installation;

use chartseal::audit::{Actor, AuditEvent, Chain, Entry};
use chartseal::base::{
    Bell, Clock, DeliveryId, EhrId, FhirId, Key256, Language, LinkId, LinkSecret, MediaType, NoticeId, ResourceKey,
    ResourceType, SecretText, UtcMillis, VersionId, hours, minutes, random,
};
use chartseal::blobs::{BlobKey, BlobStore, BlobUrl};
use chartseal::config::Config;
use chartseal::fhir::{Auth, EhrClient, EhrConnection, Limits, ServiceBase};
use chartseal::intake::{HeardEhr, Hook, HookAuth, Intake, Numbering, Seeks, SignatureForm, StartFrom, Subscribe};
use chartseal::keys::{KeyName, KeyRing, Vault};
use chartseal::open::{ClinicCard, Open};
use chartseal::policy::{
    Channel, Decision, Facts, OpeningTerms, Opens, RecipientRole, Release, ReportStatus, Terms, Wording,
};
use chartseal::record::{Link, LinkEvent, NoticeKind};
use chartseal::sealing::{AuthKey, ContentKey, FileContext, FileNumber, Purpose, ReceiptKey, Sealer};
use chartseal::store::{
    self, Delivery, DeliveryKind, Mode, NewDelivery, NewFile, NewLink, NewNotice, NoWitness, NoticeSecret, Store,
};
use chartseal::web::{HookLimits, Hooks, Patient, Traffic};

pub(super) const ORIGIN: &str = "https://r.clinic.example";
pub(super) const HOOK_SECRET: &str = "hook-secret-of-the-test";
/// What the EHRs `medplum` and `websub` sign with.
pub(super) const SIGNING_SECRET: &str = "signing-secret-of-the-test";
pub(super) const HOOK_BODY_BYTES_MAX: u64 = 2048;
const NOW: UtcMillis = UtcMillis(1_800_000_000_000);

fn heard(id: &str, auth: HookAuth) -> HeardEhr {
    let client = EhrClient::new(EhrConnection {
        id: EhrId::parse(id).unwrap(),
        base: ServiceBase::new(Url::parse("https://ehr.example/fhir").unwrap()).unwrap(),
        auth: Auth::None,
        attachment_origins: Vec::new(),
        limits: Limits::default(),
    });
    let endpoint = Url::parse(&format!("{ORIGIN}/fhir/hook/{id}")).unwrap();
    HeardEhr {
        client: Arc::new(client.unwrap()),
        hook: Some(Hook { auth, endpoint, subscribe: Subscribe::Off, numbering: Numbering::None }),
        poll_every: minutes(5),
        start_from: StartFrom::Now,
        seeks: Seeks::Everybody,
        by_date_every: hours(6),
        report_age_max: hours(24),
        tells: Vec::new(),
    }
}

/// Ends the writer's thread at the first death, as a failing disk or an out-of-memory killer may.
struct FatalWitness;

impl store::DeathWitness for FatalWitness {
    fn witness(&self, _deaths: &[store::LinkDeath]) -> Result<(), String> {
        panic!("the writer dies, as this test wants")
    }
}

pub(crate) struct House {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub blobs: BlobStore,
    pub traffic: Arc<Traffic>,
    /// For a body to arrive.
    pub body_wait_max: Duration,
    /// `None` when the house is another's.
    _dir: Option<Place>,
}

/// A link that was handed over, and what its message and its document hold.
pub(crate) struct Handed {
    pub id: LinkId,
    pub secret: LinkSecret,
    pub delivery: DeliveryId,
    pub plain: Vec<u8>,
    pub sealed: Vec<u8>,
}

impl House {
    pub(super) fn new() -> Self {
        Self::witnessed_by(Arc::new(NoWitness))
    }

    /// A house whose store stops for good when a first link dies.
    pub(super) fn whose_store_will_die() -> Self {
        Self::witnessed_by(Arc::new(FatalWitness))
    }

    fn witnessed_by(witness: Arc<dyn store::DeathWitness>) -> Self {
        let dir = Place::new("house");
        let url = format!("sqlite:{}", dir.join("test.db").display());
        Store::migrate(&url).unwrap();
        let ring = KeyRing::create(&dir.join("keys"), &mut random::system()).unwrap();
        Self {
            store: Store::open(&url, witness).unwrap(),
            clock: Clock::stepped(NOW),
            vault: Vault::new(ring),
            blobs: BlobStore::open(&BlobUrl::File(dir.join("blobs"))).unwrap(),
            traffic: Arc::default(),
            body_wait_max: minutes(10),
            _dir: Some(dir),
        }
    }

    /// A hand in the house of an installation whose processes run: what they serve can be made and looked at here. Its
    /// clock stands still at this machine's time.
    pub(crate) fn of(installation: &Installation) -> Self {
        let config = Config::load(&installation.config, []).unwrap();
        let url = chartseal::app::start::store_url(&config.store).unwrap();
        Self {
            store: Store::open(&url, Arc::new(NoWitness)).unwrap(),
            clock: Clock::stepped(clinic::now()),
            vault: Vault::new(KeyRing::open(&config.keys_dir).unwrap()),
            blobs: BlobStore::open(&config.blobs).unwrap(),
            traffic: Arc::default(),
            body_wait_max: minutes(10),
            _dir: None,
        }
    }

    pub(super) fn patient(&self) -> Arc<Patient> {
        let card = ClinicCard {
            name: "Riverside <Clinic>".to_owned(),
            phone: "+1 312 555 0100".to_owned(),
            zone: "America/Chicago".to_owned(),
            language: Language::English.into(),
        };
        let (store, blobs) = (self.store.clone(), self.blobs.clone());
        let open = Open::new(
            store,
            self.clock.clone(),
            self.vault.clone(),
            blobs,
            HashMap::new(),
            card,
            (Bell::default(), Bell::default()),
        );
        let (url, traffic) = (Url::parse(ORIGIN).unwrap(), self.traffic.clone());
        Arc::new(Patient::new(Arc::new(open), &url, Vec::new(), self.body_wait_max, traffic))
    }

    pub(super) fn hooks(&self) -> Arc<Hooks> {
        let signed = |form, key: &str| HookAuth::Signature { form, key: SecretText::new(key.to_owned()) };
        let heard = vec![
            heard("main", HookAuth::Secret(SecretText::new(HOOK_SECRET.to_owned()))),
            heard("medplum", signed(SignatureForm::Medplum, SIGNING_SECRET)),
            heard("websub", signed(SignatureForm::WebSub, SIGNING_SECRET)),
        ];
        let (kept, due) = (Bell::default(), Bell::default());
        let (store, vault) = (self.store.clone(), self.vault.clone());
        let intake = Intake::new(store, self.clock.clone(), vault, heard, kept, due);
        let url = Url::parse(ORIGIN).unwrap();
        let limits = HookLimits { body_bytes_max: HOOK_BODY_BYTES_MAX, body_wait_max: self.body_wait_max };
        Arc::new(Hooks::new(Arc::new(intake), limits, &url, self.traffic.clone()))
    }

    /// Seals `plain` and hands its link over.
    pub(crate) async fn hand_over(&self, plain: Vec<u8>, opens_max: u16) -> Handed {
        let mut rng = random::system();
        let (id, secret, share) = (LinkId::random(&mut rng), LinkSecret::random(&mut rng), Key256::random(&mut rng));
        let now = self.clock.now();
        let delivery = self.deliver(opens_max).await;
        let (file, sealed) = self.seal(&plain, &ContentKey::derive(&secret, &share, &id), &id, &delivery.id);
        let epoch = KeyName::epoch(now.plus(hours(100)));
        let wrapped = self.vault.seal_dated(&epoch, Purpose::Share, id.as_str(), share.expose()).unwrap();
        let sealed_record = |purpose, key: &[u8]| self.vault.seal_record(purpose, id.as_str(), key);
        let link = NewLink {
            id: id.clone(),
            delivery: delivery.id.clone(),
            companions: Vec::new(),
            challenge: None,
            secret_kept_sealed: None,
            opening: OpeningTerms::loosest(),
            contents: None,
            health_link: None,
            report_version: version(),
            life_seconds: 72 * 3600,
            opens_max,
            share_wrapped: wrapped.bytes,
            epoch: epoch.as_str().to_owned(),
            auth_sealed: sealed_record(Purpose::AuthKey, AuthKey::derive(&secret, &id).expose()),
            receipt_sealed: sealed_record(Purpose::ReceiptKey, ReceiptKey::derive(&secret, &id).expose()),
            files: vec![file],
        };
        let notice = NewNotice {
            id: NoticeId::random(&mut rng),
            delivery: delivery.id.clone(),
            link: id.clone(),
            kind: NoticeKind::Link,
            channel: Channel::Email,
            secret: Some(NoticeSecret { sealed: Vec::new(), key: "none".to_owned() }),
        };
        let delivery_id = delivery.id.clone();
        let leased = self.store.write(move |tx| {
            let step = delivery.state.clone().step(LinkEvent::Released, now)?;
            store::advance(tx, &delivery, &step, Actor::System, now)?;
            store::insert_link(tx, &link, now)?;
            store::insert_notice(tx, &notice, now)?;
            store::lease_notices(tx, now, UtcMillis(0), 1)
        });
        assert_eq!(leased.await.unwrap().len(), 1);
        Handed { id, secret, delivery: delivery_id, plain, sealed }
    }

    async fn deliver(&self, opens_max: u16) -> Delivery {
        let now = self.clock.now();
        let resource =
            FhirId::parse(&format!("r-{}", LinkId::random(&mut random::system()).as_str().replace('_', "-")));
        let key = ResourceKey {
            ehr: EhrId::parse("main").unwrap(),
            kind: ResourceType::DiagnosticReport,
            id: resource.unwrap(),
        };
        let stored = self.store.write(move |tx| {
            let source = match store::hear(tx, &key, None, now, &mut random::system())? {
                store::Hearing::Due(id) | store::Hearing::Known(id) => id,
            };
            let seen = store::lease_sources(tx, &key.ehr, now, now.plus(chartseal::base::minutes(1)), 1)?.remove(0);
            assert_eq!(seen.id, source);
            let reading = store::SourceReading {
                at: now,
                version: Some(version()),
                clinic: None,
                status: Some(ReportStatus::Final),
                content_hash: None,
                subject_index: None,
                gone_at: None,
                next_at: None,
                why: None,
            };
            store::finish_source(tx, &seen, &reading)?;
            let new = new_delivery(source, opens_max);
            let entry = Entry {
                chain: Chain::Delivery(new.id.clone()),
                at: now,
                clinic: None,
                actor: Actor::System,
                event: AuditEvent::Unchanged { version: "1".to_owned() },
            };
            store::insert_delivery(tx, &new, &entry)?;
            Ok(store::delivery(tx.conn(), &new.id)?.unwrap())
        });
        stored.await.unwrap()
    }

    fn seal(&self, plain: &[u8], content: &ContentKey, link: &LinkId, delivery: &DeliveryId) -> (NewFile, Vec<u8>) {
        let sealed_to =
            FileContext { link: link.clone(), number: FileNumber::FIRST, version: version(), media: MediaType::Pdf };
        let mut sealer = Sealer::new(content, &sealed_to, &mut random::system(), Vec::new()).unwrap();
        sealer.write(plain).unwrap();
        let (bytes, length) = sealer.finish().unwrap();
        let blob = BlobKey::random(&mut random::system());
        let mut writer = self.blobs.create(&blob).unwrap();
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
        writer.commit().unwrap();
        let file = NewFile {
            number: 1,
            delivery: delivery.clone(),
            report_version: version(),
            blob: blob.as_str().to_owned(),
            media: MediaType::Pdf,
            plain_bytes: length.plain,
            plain_index: [0; 32],
            sealed_bytes: length.sealed,
        };
        (file, bytes)
    }

    /// Ends a delivery the way that `event` says.
    pub(crate) async fn end(&self, delivery: &DeliveryId, event: LinkEvent) {
        self.try_to_end(delivery, event).await.unwrap();
    }

    pub(super) async fn try_to_end(&self, delivery: &DeliveryId, event: LinkEvent) -> Result<(), store::StoreError> {
        let (id, now) = (delivery.clone(), self.clock.now());
        let ended = self.store.write(move |tx| {
            let current = store::delivery(tx.conn(), &id)?.unwrap();
            let step = current.state.clone().step(event, now)?;
            store::advance(tx, &current, &step, Actor::System, now)
        });
        ended.await
    }

    pub(super) async fn audit_lines(&self) -> usize {
        self.store.read(|conn| Ok(store::export_after(conn, 0, 1000)?.len())).await.unwrap()
    }

    /// What openings and looks have left behind: nothing, until somebody proved something.
    pub(crate) async fn opened(&self, link: &LinkId) -> (u16, usize) {
        let link = link.clone();
        let row = self
            .store
            .read(move |conn| Ok((store::link(conn, &link)?.unwrap().opened, store::openings_of(conn, &link)?.len())));
        row.await.unwrap()
    }
}

pub(super) fn version() -> VersionId {
    VersionId::parse("1").unwrap()
}

fn new_delivery(source: chartseal::base::SourceId, opens_max: u16) -> NewDelivery {
    let terms = Terms {
        expiry_seconds: 72 * 3600,
        opens: Opens(NonZeroU16::new(opens_max).unwrap()),
        channels: BTreeSet::from([Channel::Email]),
        challenges: BTreeSet::new(),
        release: Release::at_once(),
        wording: Wording::Generic,
        ..Terms::by_hand()
    };
    let facts = Facts {
        recipient: RecipientRole::Patient,
        clinic: None,
        kind: ResourceType::DiagnosticReport,
        status: ReportStatus::Final,
        codes: Vec::new(),
        categories: Vec::new(),
        issued: None,
        ..Facts::bare(ResourceType::DiagnosticReport, ReportStatus::Final)
    };
    NewDelivery {
        id: DeliveryId::random(&mut random::system()),
        source,
        ehr: EhrId::parse("main").unwrap(),
        clinic: None,
        report_version: version(),
        content_hash: [0; 32],
        recipient: RecipientRole::Patient,
        addressee: chartseal::record::Addressee::Patient,
        issue_no: 1,
        mode: Mode::Live,
        kind: DeliveryKind::New,
        state: Link::Recorded,
        decision: Decision::Send { terms },
        facts,
        trace: "{}".to_owned(),
        rules_hash: "none".to_owned(),
        card_sealed: None,
        contact_index: None,
        patient_index: None,
        replaces: None,
        group_index: None,
    }
}
