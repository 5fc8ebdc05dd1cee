//! A link that has ended is refused at once, everywhere, and says kindly why.

use std::time::Duration;

use chartseal::app::Workers;
use chartseal::app::start::{Restore, TimeFrom};
use chartseal::base::{LinkId, Reference, UtcMillis};
use chartseal::keys::{DeathJournal, DeathKind};
use chartseal::sealing::ReceiptOutcome;
use chartseal::store::{self, LinkRow, NoticeRow};
use reqwest::StatusCode;

use crate::support::clinic::{self, Clinic, Database, Started, Wishes};
use crate::support::holder::{Answer, Holder, WholeLink};
use crate::support::pdf;

const ONE_OPENING: &str = "4548-4";
const THREE_OPENINGS: &str = "24323-8";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Two replicas on one database, one directory of keys and one of sealed files; their clocks go together.
struct Both {
    clinic: Clinic,
    second: Started,
    second_url: String,
}

impl Both {
    async fn start() -> Self {
        let clinic = Clinic::spawn(Wishes { database: Database::Postgres, ..Wishes::default() }).await;
        let address = || format!("127.0.0.1:{}", clinic.folder.port());
        let variables = [("LISTEN", address()), ("ADMIN_LISTEN", address())]
            .map(|(key, value)| (format!("CHARTSEAL__SERVER__{key}"), value));
        let second = clinic::start_replica(
            &clinic.config_path,
            "second",
            variables,
            TimeFrom::Steps(clinic.now()),
            Restore::NotSaid,
            Workers::ByHand,
        )
        .await
        .unwrap();
        let second_url = format!("http://{}", second.addr);
        Self { clinic, second, second_url }
    }

    fn urls(&self) -> [&str; 2] {
        [&self.clinic.url, &self.second_url]
    }

    /// A mailed link; afterwards both clocks show the same.
    async fn sent(&self, loinc: &str) -> String {
        let link = self.clinic.sent("ana@example.test", loinc, &paper()).await;
        self.forward(Duration::ZERO);
        link
    }

    fn forward(&self, span: Duration) {
        self.clinic.forward(span);
        let ahead = self.clinic.now().since(self.second.ground.clock.now());
        self.second.ground.clock.forward(ahead);
    }

    fn forward_to(&self, at: UtcMillis) {
        self.forward(at.since(self.clinic.now()));
    }

    /// A new browser is told the same end everywhere, and gets nothing.
    async fn ended_everywhere(&self, link: &str, kind: &str, at: UtcMillis) {
        for url in self.urls() {
            let mut holder = Holder::new(link);
            holder.ask_at(url);
            assert_ended(&holder.look().await, link, kind, at);
            let opened = holder.open().await;
            assert_eq!(opened.status, StatusCode::CONFLICT, "open");
            assert_ended(&opened, link, kind, at);
            assert_eq!(holder.file(1, None).await.status, StatusCode::NOT_FOUND, "files");
            let receipt = holder.receipt(ReceiptOutcome::Decrypted).await;
            assert!([StatusCode::NOT_FOUND, StatusCode::NO_CONTENT].contains(&receipt), "receipt: {receipt}");
        }
    }
}

fn paper() -> Vec<u8> {
    pdf::with_pages(&["HbA1c 5.4 %"])
}

fn assert_ended(answer: &Answer, link: &str, kind: &str, at: UtcMillis) {
    let body = &answer.body;
    assert_eq!(answer.says(), kind);
    assert_eq!(body["at"], at.0, "the time of the end");
    assert_eq!(body["clinic"]["phone"], "+1 555 0100");
    assert_eq!(body["reference"], Reference::of(&WholeLink::read(link).id).as_str());
    assert!(body.get("share").is_none());
}

async fn row(clinic: &Clinic, link: &str) -> LinkRow {
    let id = WholeLink::read(link).id;
    clinic.ground.store.read(move |conn| store::link(conn, &id)).await.unwrap().unwrap()
}

async fn notices(clinic: &Clinic) -> Vec<NoticeRow> {
    let deliveries = clinic.deliveries().await;
    let mut all = Vec::new();
    for delivery in deliveries {
        let id = delivery.id.parse().unwrap();
        all.extend(clinic.ground.store.read(move |conn| store::notices_of(conn, &id)).await.unwrap());
    }
    all
}

/// Nothing that could open the document is left: not in the database, not on the disk.
async fn assert_shredded(clinic: &Clinic, link: &str) {
    let row = row(clinic, link).await;
    assert!(row.shredded_at.is_some() && row.share_wrapped.is_none() && row.receipt_sealed.is_none());
    assert_eq!(clinic.blobs(), Vec::<String>::new(), "sealed files on the disk");
    for notice in notices(clinic).await {
        assert!(notice.secret_sealed.is_none(), "a notice still holds the link's secret");
    }
}

fn journalled(clinic: &Clinic, link: &LinkId) -> Vec<DeathKind> {
    let vault = &clinic.ground.vault;
    let all = DeathJournal::read_all(&vault.ring().journal_dir(), vault.audit_key()).unwrap();
    all.into_iter().filter(|record| record.death.link == *link).map(|record| record.death.kind).collect()
}

async fn expires_at(clinic: &Clinic, link: &str) -> UtcMillis {
    row(clinic, link).await.expires_at.expect("the message was handed over")
}

#[tokio::test(flavor = "multi_thread")]
async fn link_10_expiry_to_the_second_on_every_replica_lets_only_a_running_lease_finish() {
    let both = Both::start().await;
    let link = both.sent(THREE_OPENINGS).await;
    let end = expires_at(&both.clinic, &link).await;

    both.forward_to(end.minus(SECOND));
    let mut in_time = Holder::new(&link);
    let (granted, plain) = in_time.claim_and_read().await;
    assert_eq!(plain, paper());

    both.forward_to(end.plus(SECOND));
    both.ended_everywhere(&link, "expired", end).await;
    for url in both.urls() {
        in_time.ask_at(url);
        assert_eq!(in_time.look().await.says(), "yours");
        assert_eq!(in_time.open().await.granted().lease_until_ms, granted.lease_until_ms);
        assert_eq!(in_time.file(1, None).await.status, StatusCode::OK);
    }
    both.clinic.settle().await;
    assert!(row(&both.clinic, &link).await.shredded_at.is_none(), "the sweep waits for the running lease");
    assert_eq!(in_time.file(1, None).await.status, StatusCode::OK);

    both.forward_to(UtcMillis(granted.lease_until_ms).plus(SECOND));
    for url in both.urls() {
        in_time.ask_at(url);
        assert_eq!(in_time.file(1, None).await.status, StatusCode::NOT_FOUND);
        assert_eq!(in_time.look().await.says(), "expired");
    }
    both.clinic.settle().await;
    both.ended_everywhere(&link, "expired", end).await;
    assert_shredded(&both.clinic, &link).await;
    assert_eq!(journalled(&both.clinic, &WholeLink::read(&link).id), [DeathKind::Expired]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_link_is_refused_at_once_on_every_replica_and_its_running_lease_is_cut() {
    let both = Both::start().await;
    let link = both.sent(THREE_OPENINGS).await;
    let mut reader = Holder::new(&link);
    reader.claim_and_read().await;
    both.forward(MINUTE);

    let at = both.clinic.now();
    both.clinic.desk().revoke(&both.clinic.only_delivery().await.id, None).await.unwrap();
    for url in both.urls() {
        reader.ask_at(url);
        assert_eq!(reader.file(1, None).await.status, StatusCode::NOT_FOUND);
        assert_ended(&reader.look().await, &link, "revoked", at);
        assert_eq!(reader.open().await.status, StatusCode::CONFLICT);
    }
    both.ended_everywhere(&link, "revoked", at).await;
    assert!(row(&both.clinic, &link).await.share_wrapped.is_none(), "the share outlived the revocation");
    both.clinic.settle().await;
    assert_shredded(&both.clinic, &link).await;
    assert_eq!(journalled(&both.clinic, &WholeLink::read(&link).id), [DeathKind::Revoked]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recalled_report_is_refused_at_once_on_every_replica_and_its_running_lease_is_cut() {
    let both = Both::start().await;
    let (_, report) = both.clinic.report("ana@example.test", THREE_OPENINGS, &paper()).await;
    both.clinic.hear_and_settle().await;
    let link = both.clinic.mailbox.wait_for("ana@example.test", 1).await.link();
    both.forward(Duration::ZERO);
    let mut reader = Holder::new(&link);
    reader.claim_and_read().await;

    both.clinic.lab().change("DiagnosticReport", &report, |report| report["status"] = "entered-in-error".into()).await;
    both.forward(Duration::from_secs(10));
    let at = both.clinic.now();
    both.clinic.settle().await;
    for url in both.urls() {
        reader.ask_at(url);
        assert_eq!(reader.file(1, None).await.status, StatusCode::NOT_FOUND);
        assert_ended(&reader.look().await, &link, "recalled", at);
    }
    both.ended_everywhere(&link, "recalled", at).await;
    assert_shredded(&both.clinic, &link).await;
    assert_eq!(journalled(&both.clinic, &WholeLink::read(&link).id), [DeathKind::Recalled]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_opening_is_refused_to_everybody_else_at_once_and_journalled_before_it_is_given() {
    let both = Both::start().await;
    let link = both.sent(ONE_OPENING).await;
    let id = WholeLink::read(&link).id;
    let at = both.clinic.now();
    let mut reader = Holder::new(&link);
    reader.claim_and_read().await;
    assert_eq!(journalled(&both.clinic, &id), [DeathKind::Spent], "an older database could give it again");

    both.forward(MINUTE);
    both.ended_everywhere(&link, "opened_elsewhere", at).await;
    assert_eq!(both.clinic.only_delivery().await.state, "live", "the lease is running");
    reader.ask_at(&both.second_url);
    assert_eq!(reader.receipt(ReceiptOutcome::Decrypted).await, StatusCode::NO_CONTENT);
    assert_eq!(both.clinic.only_delivery().await.state, "spent");
    for url in both.urls() {
        reader.ask_at(url);
        assert_eq!(reader.file(1, None).await.status, StatusCode::NOT_FOUND);
        assert_ended(&reader.look().await, &link, "spent", at);
    }
    both.ended_everywhere(&link, "opened_elsewhere", at).await;
    both.clinic.settle().await;
    assert_shredded(&both.clinic, &link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resent_link_takes_the_place_of_the_old_one_at_once() {
    let both = Both::start().await;
    let old = both.sent(THREE_OPENINGS).await;
    let mut reader = Holder::new(&old);
    reader.claim_and_read().await;
    let at = both.clinic.now();
    both.clinic.desk().resend(&both.clinic.only_delivery().await.id, None).await.unwrap();
    assert_eq!(reader.file(1, None).await.status, StatusCode::NOT_FOUND);
    both.ended_everywhere(&old, "superseded", at).await;
    both.clinic.settle().await;
    let new = both.clinic.mailbox.wait_for("ana@example.test", 2).await.link();
    assert_ne!(WholeLink::read(&old).id, WholeLink::read(&new).id);
    assert_eq!(Holder::new(&new).read().await, paper());
    both.ended_everywhere(&old, "superseded", at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_stretches_a_lease_up_to_an_hour_and_no_further() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let link = clinic.sent("ana@example.test", ONE_OPENING, &paper()).await;
    let mut reader = Holder::new(&link);
    let claimed_at = clinic.now();
    reader.claim_and_read().await;
    for minutes in [14, 28, 42, 56] {
        clinic.forward(claimed_at.plus(MINUTE * minutes).since(clinic.now()));
        clinic.settle().await;
        assert_eq!(reader.file(1, Some("0-0")).await.status, StatusCode::PARTIAL_CONTENT, "after {minutes} minutes");
    }
    clinic.forward(claimed_at.plus(MINUTE * 60).minus(SECOND).since(clinic.now()));
    assert_eq!(reader.file(1, Some("0-0")).await.status, StatusCode::PARTIAL_CONTENT);
    clinic.forward(SECOND);
    assert_eq!(reader.file(1, Some("0-0")).await.status, StatusCode::NOT_FOUND, "after an hour");
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "spent");
    assert_shredded(&clinic, &link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_lease_spends_the_opening_without_a_receipt() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let link = clinic.sent("ana@example.test", ONE_OPENING, &paper()).await;
    let at = clinic.now();
    let mut reader = Holder::new(&link);
    let granted = reader.open().await.granted();
    assert_eq!(UtcMillis(granted.lease_until_ms), at.plus(MINUTE * 15));

    clinic.forward(MINUTE * 15);
    assert_eq!(reader.file(1, None).await.status, StatusCode::NOT_FOUND, "before the sweep has looked");
    assert_eq!(reader.open().await.status, StatusCode::CONFLICT, "before the sweep has looked");
    clinic.settle().await;
    assert_eq!(clinic.only_delivery().await.state, "spent");
    assert_ended(&reader.look().await, &link, "spent", at);
    assert_ended(&Holder::new(&link).open().await, &link, "opened_elsewhere", at);
    assert_shredded(&clinic, &link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_receipt_of_the_claims_own_browser_ends_it_early() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let link = clinic.sent("ana@example.test", ONE_OPENING, &paper()).await;
    let mut reader = Holder::new(&link);
    reader.claim_and_read().await;

    assert_eq!(reader.receipt(ReceiptOutcome::Failed).await, StatusCode::NO_CONTENT);
    assert_eq!(reader.file(1, None).await.status, StatusCode::OK, "a failed attempt may be tried again");
    let mut other = Holder::new(&link);
    other.begin().await;
    other.receipt(ReceiptOutcome::Decrypted).await;
    assert_eq!(reader.file(1, None).await.status, StatusCode::OK, "another browser's receipt ends nothing");
    assert_eq!(clinic.only_delivery().await.state, "live");

    assert_eq!(reader.receipt(ReceiptOutcome::Decrypted).await, StatusCode::NO_CONTENT);
    assert_eq!(reader.file(1, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(clinic.only_delivery().await.state, "spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_read_now_costs_the_patient_no_opening() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let link = clinic.sent("ana@example.test", ONE_OPENING, &paper()).await;
    let (keys, aside) = (clinic.folder.join("keys/epoch"), clinic.folder.join("aside"));
    std::fs::rename(&keys, &aside).unwrap();
    let mut reader = Holder::new(&link);
    assert_eq!(reader.open().await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(row(&clinic, &link).await.opened, 0);
    std::fs::rename(&aside, &keys).unwrap();
    assert_eq!(Holder::new(&link).read().await, paper(), "in another browser");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_openings_serve_three_browsers_and_refuse_the_fourth() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let link = clinic.sent("ana@example.test", THREE_OPENINGS, &paper()).await;
    let id = WholeLink::read(&link).id;
    let mut readers = Vec::new();
    for left in [3, 2, 1] {
        clinic.forward(SECOND);
        assert_eq!(journalled(&clinic, &id), [], "journalled with {left} openings left");
        let mut reader = Holder::new(&link);
        assert_eq!(reader.look().await.body["opens_left"], left);
        assert_eq!(reader.claim_and_read().await.1, paper());
        assert_eq!(reader.open().await.status, StatusCode::OK, "a lost answer costs nothing");
        readers.push(reader);
    }
    let at = clinic.now();
    clinic.forward(SECOND);
    assert_ended(&Holder::new(&link).open().await, &link, "opened_elsewhere", at);
    for reader in &readers {
        assert_eq!(clinic.only_delivery().await.state, "live", "a lease is running");
        assert_eq!(reader.receipt(ReceiptOutcome::Decrypted).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(clinic.only_delivery().await.state, "spent");
    clinic.settle().await;
    assert_shredded(&clinic, &link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_under_way_is_cut_by_a_revocation() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    // Far more than the sockets between the two can hold.
    let large = [paper(), vec![b'\n'; 12 * 1024 * 1024]].concat();
    let link = clinic.sent("ana@example.test", THREE_OPENINGS, &large).await;
    let mut reader = Holder::new(&link);
    let sealed_bytes = reader.open().await.granted().files[0].sealed_bytes;
    let mut download = reader.start_file(1, None).await;
    let mut got = download.chunk().await.unwrap().unwrap().len() as u64;
    clinic.desk().revoke(&clinic.only_delivery().await.id, None).await.unwrap();
    while let Ok(Some(chunk)) = download.chunk().await {
        got += chunk.len() as u64;
    }
    assert!(got < sealed_bytes, "the whole file came after the revocation");
}
