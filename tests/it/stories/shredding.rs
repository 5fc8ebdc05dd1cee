//! After its end, neither the old message nor a copy of anything opens a document.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chartseal::base::Key256;
use chartseal::blobs::{BlobKey, BlobStore, BlobUrl};
use chartseal::keys::{KeyKind, KeyName, VaultError};
use chartseal::sealing::{self, ContentKey, FileContext, FileNumber, Purpose};
use chartseal::store::{self, FileRow, LinkRow, NoWitness, Store};
use hkdf::Hkdf;
use sha2::Sha256;

use super::health_links;
use crate::support::backup::Backup;
use crate::support::clinic::{Clinic, Database, Wishes};
use crate::support::holder::{Holder, WholeLink};
use crate::support::{health_apps, pdf, program, tink, wait};

const TWO_DAYS: &str = "24323-8";
const ONE_OPENING: &str = "4548-4";

/// The ways in which a link can end.
const ENDS: [&str; 4] = ["revoked", "recalled", "spent", "expired"];

#[tokio::test(flavor = "multi_thread")]
async fn link_08_shred_proof_a_copy_from_before_the_end_opens_only_until_its_epoch_key_goes_on_sqlite() {
    copies_and_keys(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn link_08_shred_proof_a_copy_from_before_the_end_opens_only_until_its_epoch_key_goes_on_postgresql() {
    copies_and_keys(Database::Postgres).await;
}

async fn copies_and_keys(database: Database) {
    let clinic = Clinic::spawn(Wishes { database, ..Wishes::default() }).await;
    let mut links = Vec::new();
    for (end, code) in ENDS.into_iter().zip([TWO_DAYS, TWO_DAYS, ONE_OPENING, TWO_DAYS]) {
        let address = format!("{end}@example.test");
        let (_, report) = clinic.report(&address, code, &paper(end)).await;
        clinic.hear_and_settle().await;
        links.push((end, clinic.mailbox.wait_for(&address, 1).await.link(), report));
    }
    let before = Backup::of(&clinic).await;
    for (end, link, _) in &links {
        assert_opens(&clinic, &before, link);
        assert_eq!(open_by_hand(&clinic, &before, link).await, Ok(paper(end)), "the control is not able to open");
    }

    let delivery = clinic.deliveries().await.pop().unwrap();
    clinic.desk().revoke(&delivery.id, Some("wrong patient".into())).await.unwrap();
    let recalled = &links[1].2;
    clinic.lab().change("DiagnosticReport", recalled, |report| report["status"] = "entered-in-error".into()).await;
    Holder::new(&links[2].1).read().await;
    clinic.forward(Duration::from_hours(49));
    clinic.settle().await;
    let mut states: Vec<_> = clinic.deliveries().await.iter().map(|delivery| delivery.state).collect();
    states.reverse();
    assert_eq!(states, ENDS);

    let after = Backup::of(&clinic).await;
    for (end, link, _) in &links {
        assert_refused(&clinic, &after.place, &after.blobs, link, "destroyed at");
        // A thief who has the sealed files from before, and the database of now.
        assert_refused(&clinic, &after.place, &before.blobs, link, "destroyed at");
        assert_eq!(open_by_hand(&clinic, &after, link).await, Err("no share".to_owned()), "{end}");
        // All that is old still opens: that is why the epoch key is destroyed.
        assert_opens(&clinic, &before, link);
        // The old database with the sealed files of now.
        assert_refused(&clinic, &before.place, &after.blobs, link, "does not hold this one");
    }

    clinic.forward(Duration::from_hours(72));
    clinic.settle().await;
    for (end, link, _) in &links {
        assert_refused(&clinic, &before.place, &before.blobs, link, "the epoch key");
        assert_eq!(open_by_hand(&clinic, &before, link).await, Err("epoch key".to_owned()), "{end}");
    }
}

/// Its key never was the server's to destroy: whoever kept it opens an old copy of the file, and the command does not deny that.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_health_app_was_offered_ends_by_deletion_and_the_proof_says_so() {
    let rules = "[policy]\nid = \"test\"\nversion = \"1\"\n[[profile]]\nid = \"offered\"\nwhen = { code = \"loinc|24323-8\" }\n\
                 then = { action = \"send\", expiry = \"48h\", opens = 3, health_link = \"plain\" }\n";
    let clinic = Clinic::spawn(Wishes { rules: rules.to_owned(), ..Wishes::default() }).await;
    let link = clinic.sent("ana@example.test", TWO_DAYS, &health_links::paper()).await;
    let key = health_links::payload(&health_links::offer_of(&link).await)["key"].as_str().unwrap().to_owned();
    let before = Backup::of(&clinic).await;
    assert_opens(&clinic, &before, &link);
    let told = prove(&clinic, &before.place, &before.blobs, &link);
    assert!(told.out.contains("The card with that key opens with the rest"), "{}", told.out);

    clinic.desk().revoke(&clinic.only_delivery().await.id, None).await.unwrap();
    clinic.settle().await;
    let after = Backup::of(&clinic).await;
    assert_refused(&clinic, &after.place, &after.blobs, &link, "destroyed at");
    let told = prove(&clinic, &after.place, &after.blobs, &link);
    assert!(!told.out.contains("SMART Health Link"), "its file was not removed: {}", told.out);
    assert_refused(&clinic, &before.place, &after.blobs, &link, "is not in this copy of the sealed files");

    clinic.forward(Duration::from_hours(121));
    clinic.settle().await;
    assert_refused(&clinic, &before.place, &before.blobs, &link, "the epoch key");
    assert_refused(&clinic, &before.place, &before.blobs, &link, "by deletion, not by shredding");
    let id = WholeLink::read(&link).id;
    let old = Store::open(&before.store_url(), Arc::new(NoWitness)).unwrap();
    let name = old.read(move |conn| store::health_file(conn, &id)).await.unwrap().expect("the old copy knows it");
    let file = before.blobs.join(&name[..2]).join(&name);
    let bundle = health_apps::decrypt_with_jwcrypto(&key, &file).await;
    let whole = data_encoding::BASE64.encode(&health_links::paper());
    assert!(String::from_utf8(bundle).unwrap().contains(&whole), "the words are not true");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_links_secret_or_share_opens_nothing() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let ana = clinic.sent("ana@example.test", TWO_DAYS, &paper("ana")).await;
    let ben = clinic.sent("ben@example.test", TWO_DAYS, &paper("ben")).await;
    let backup = Backup::of(&clinic).await;
    let mixed = format!("{}#{}", ana.split_once('#').unwrap().0, ben.split_once('#').unwrap().1);
    assert_refused(&clinic, &backup.place, &backup.blobs, &mixed, "does not open with this link");
    assert_opens(&clinic, &backup, &ana);
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_tink_opens_a_sealed_file_with_the_derived_key() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let link = clinic.sent("ana@example.test", TWO_DAYS, &paper("tink")).await;
    let mut holder = Holder::new(&link);
    let granted = holder.open().await.granted();
    let sealed = holder.file(1, None).await.bytes;
    let path = clinic.folder.join("fetched");
    std::fs::write(&path, &sealed).unwrap();

    // The key schedule once more, as docs/sealed-format.md says it, with nothing of ours.
    let halves = [holder.link.secret.expose().as_slice(), granted.share.expose()].concat();
    let mut key = [0; 32];
    let label = format!("chartseal/1/content{}", holder.link.id);
    Hkdf::<Sha256>::new(None, &halves).expand(label.as_bytes(), &mut key).unwrap();
    let context = format!("chartseal/1\n{}\n1\n{}\napplication/pdf", holder.link.id, granted.files[0].version);
    assert_eq!(tink::open(&key, context.as_bytes(), &path), Ok(paper("tink")));
    let other = format!("chartseal/1\n{}\n2\n{}\napplication/pdf", holder.link.id, granted.files[0].version);
    assert!(tink::open(&key, other.as_bytes(), &path).is_err(), "another file's place");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_the_disk_holds_neither_the_share_nor_the_secret() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let link = clinic.sent("ana@example.test", TWO_DAYS, &paper("scan")).await;
    let whole = WholeLink::read(&link);
    let (row, _) = rows(&clinic.ground.store, &whole).await.unwrap();
    let wrapped = row.share_wrapped.clone().unwrap();
    let share = share_of(&clinic, &row).unwrap();
    assert!(found_in(&clinic.folder, &wrapped), "the scan cannot find what is there");

    Holder::new(&link).claim_and_read().await;
    clinic.desk().revoke(&clinic.only_delivery().await.id, None).await.unwrap();
    clinic.settle().await;
    let receipt = row.receipt_sealed.clone().unwrap();
    let secret = whole.secret.to_base64url();
    let left: [(&str, Vec<u8>); 6] = [
        ("the wrapped share", wrapped),
        ("the share", share.expose().to_vec()),
        ("the share as text", share.to_base64url().expose().as_bytes().to_vec()),
        ("the secret", whole.secret.expose().to_vec()),
        ("the secret as text", secret.expose().as_bytes().to_vec()),
        ("the receipt key", receipt),
    ];
    for (what, bytes) in left {
        wait::until(&format!("{what} to be gone from the disk"), || (!found_in(&clinic.folder, &bytes)).then_some(()))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_hand_over_the_disk_holds_the_secret_in_no_form() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    clinic.desk().pause("to look at the outbox").await.unwrap();
    clinic.report("ana@example.test", TWO_DAYS, &paper("scan")).await;
    clinic.hear_and_settle().await;
    let sealed = clinic
        .ground
        .store
        .read(|conn| Ok(store::hold_unsent_notices(conn)?.remove(0).secret_sealed.unwrap()))
        .await
        .unwrap();
    assert!(found_in(&clinic.folder, &sealed), "the scan cannot find what is there");
    clinic.desk().resume().await.unwrap();
    clinic.settle().await;
    let link = clinic.mailbox.wait_for("ana@example.test", 1).await.link();
    let whole = WholeLink::read(&link);
    let secret = whole.secret.to_base64url();
    for bytes in [sealed.as_slice(), whole.secret.expose(), secret.expose().as_bytes()] {
        wait::until("the secret to be gone from the disk", || (!found_in(&clinic.folder, bytes)).then_some(())).await;
    }
}

fn paper(what: &str) -> Vec<u8> {
    pdf::with_pages(&[what])
}

fn assert_opens(clinic: &Clinic, backup: &Backup, link: &str) {
    let ran = prove(clinic, &backup.place, &backup.blobs, link);
    assert!(ran.code == 1 && ran.out.contains("It OPENS"), "{}: {}", ran.code, ran.all());
    assert_says_no_secret(&ran, link);
}

fn assert_refused(clinic: &Clinic, place: &str, blobs: &Path, link: &str, why: &str) {
    let ran = prove(clinic, place, blobs, link);
    assert!(ran.code == 0 && ran.out.contains("It does not open") && ran.out.contains(why), "{}", ran.all());
    assert_says_no_secret(&ran, link);
}

fn assert_says_no_secret(ran: &program::Ran, link: &str) {
    assert!(!ran.all().contains(link.split_once('#').unwrap().1), "the link's secret was printed");
}

fn prove(clinic: &Clinic, place: &str, blobs: &Path, link: &str) -> program::Ran {
    let id = WholeLink::read(link).id.to_string();
    let blobs = blobs.display().to_string();
    let arguments = ["prove-shred", &id, "--backup", place, "--blobs", &blobs, "--link", link];
    program::run(&clinic.config_path, &arguments)
}

async fn rows(store: &Store, link: &WholeLink) -> Option<(LinkRow, Vec<FileRow>)> {
    let id = link.id.clone();
    let (row, files) =
        store.read(move |conn| Ok((store::link(conn, &id)?, store::files_of(conn, &id)?))).await.unwrap();
    row.map(|row| (row, files))
}

/// The server's half, with the keys of now.
fn share_of(clinic: &Clinic, row: &LinkRow) -> Result<Key256, String> {
    let wrapped = row.share_wrapped.as_ref().ok_or("no share")?;
    let epoch = KeyName::parse(KeyKind::Epoch, &row.epoch).unwrap();
    match clinic.ground.vault.open_dated(&epoch, Purpose::Share, row.id.as_str(), wrapped) {
        Ok(share) => Ok(Key256::from_slice(&share).unwrap()),
        Err(VaultError::KeyGone) => Err("epoch key".to_owned()),
        Err(other) => panic!("{other}"),
    }
}

/// What somebody tries who has the copy, the keys of now, the message, and our source.
async fn open_by_hand(clinic: &Clinic, backup: &Backup, link: &str) -> Result<Vec<u8>, String> {
    let link = WholeLink::read(link);
    let store = Store::open(&backup.store_url(), Arc::new(NoWitness)).unwrap();
    let (row, files) = rows(&store, &link).await.ok_or("unknown")?;
    let share = share_of(clinic, &row)?;
    let file = files.first().unwrap();
    let context = FileContext {
        link: link.id.clone(),
        number: FileNumber::FIRST,
        version: row.report_version.clone(),
        media: file.media,
    };
    let blobs = BlobStore::open(&BlobUrl::File(backup.blobs.clone())).unwrap();
    let sealed = blobs.open_range(&BlobKey::parse(&file.blob).unwrap(), 0, file.sealed_bytes).unwrap();
    let mut plain = Vec::new();
    let content = ContentKey::derive(&link.secret, &share, &link.id);
    sealing::open(&content, &context, sealed, &mut plain).map_err(|error| error.to_string())?;
    Ok(plain)
}

/// Whether any file below `folder` holds these bytes.
fn found_in(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            return found_in(&entry.path(), bytes);
        }
        // It leads to the program.
        if entry.file_type().unwrap().is_symlink() {
            return false;
        }
        let content = std::fs::read(entry.path()).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}
