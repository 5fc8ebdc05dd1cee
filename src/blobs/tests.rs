//! Sealed files in a folder: whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::base::{minutes, random};

const FAR_FUTURE: UtcMillis = UtcMillis(4_102_444_800_000);

fn store(dir: &Path) -> BlobStore {
    BlobStore::open(&BlobUrl::File(dir.join("blobs"))).unwrap()
}

fn key() -> BlobKey {
    BlobKey::random(&mut random::system())
}

fn put(store: &BlobStore, key: &BlobKey, bytes: &[u8]) {
    let mut writer = store.create(key).unwrap();
    writer.write_all(bytes).unwrap();
    assert_eq!(writer.commit().unwrap(), bytes.len() as u64);
}

fn visible(store: &BlobStore) -> Vec<BlobKey> {
    let mut keys: Vec<_> = store.list_older_than(FAR_FUTURE).unwrap().map(|info| info.unwrap().key).collect();
    keys.sort();
    keys
}

fn unfinished(dir: &Path) -> usize {
    fs::read_dir(dir.join("blobs/tmp")).unwrap().count()
}

#[test]
fn a_committed_file_is_read_back_whole_and_by_range() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (store(dir.path()), key());
    put(&store, &key, b"0123456789");
    assert_eq!(store.length(&key).unwrap(), 10);
    for (start, length, expected) in [(0, 10, "0123456789"), (3, 4, "3456"), (9, 1, "9"), (10, 0, "")] {
        let mut range = store.open_range(&key, start, length).unwrap();
        assert_eq!(range.length_bytes(), length);
        let mut text = String::new();
        range.read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
    }
}

#[test]
fn a_range_beyond_the_end_is_refused_with_the_length() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (store(dir.path()), key());
    put(&store, &key, b"0123456789");
    for (start, length) in [(0, 11), (10, 1), (11, 0), (u64::MAX, 2)] {
        assert!(matches!(store.open_range(&key, start, length), Err(BlobError::OutOfRange { length: 10 })));
    }
}

#[test]
fn a_writer_dropped_half_way_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (store(dir.path()), key());
    let mut writer = store.create(&key).unwrap();
    writer.write_all(b"half").unwrap();
    assert!(matches!(store.length(&key), Err(BlobError::Missing)));
    drop(writer);
    assert_eq!(visible(&store), []);
    assert_eq!(unfinished(dir.path()), 0);
}

#[test]
fn a_crashed_writers_file_is_removed_and_a_living_writers_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let living = store.create(&key()).unwrap();
    fs::write(dir.path().join("blobs/tmp").join(key().as_str()), b"left by a crash").unwrap();
    assert_eq!(store.remove_abandoned(UtcMillis(0)).unwrap(), 0);
    assert_eq!(store.remove_abandoned(FAR_FUTURE).unwrap(), 1);
    assert_eq!(unfinished(dir.path()), 1);
    living.commit().unwrap();
    assert_eq!(visible(&store).len(), 1);
}

#[test]
fn a_missing_file_is_missing_and_removing_it_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (store(dir.path()), key());
    assert!(matches!(store.length(&key), Err(BlobError::Missing)));
    assert!(matches!(store.open_range(&key, 0, 1), Err(BlobError::Missing)));
    store.remove(&key).unwrap();
    put(&store, &key, b"x");
    store.remove(&key).unwrap();
    store.remove(&key).unwrap();
    assert!(matches!(store.length(&key), Err(BlobError::Missing)));
}

#[test]
fn a_key_is_used_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (store(dir.path()), key());
    let writer = store.create(&key).unwrap();
    assert!(matches!(store.create(&key), Err(BlobError::Taken)));
    writer.commit().unwrap();
    assert!(matches!(store.create(&key), Err(BlobError::Taken)));
}

#[test]
fn the_sweep_sees_every_file_older_than_it_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut keys: Vec<BlobKey> = (0..20).map(|_| key()).collect();
    keys.sort();
    for key in &keys {
        put(&store, key, b"x");
    }
    fs::write(dir.path().join("blobs/README"), "a stranger").unwrap();
    assert_eq!(visible(&store), keys);
    let old = dir.path().join("blobs").join(&keys[7].as_str()[..2]).join(keys[7].as_str());
    let file = OpenOptions::new().write(true).open(old).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + minutes(1)).unwrap();
    let found: Vec<_> = store.list_older_than(UtcMillis(60_001)).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, [BlobInfo { key: keys[7].clone(), length_bytes: 1, modified: UtcMillis(60_000) }]);
}

#[test]
fn only_the_owner_may_read_files_and_directories() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (store(dir.path()), key());
    put(&store, &key, b"x");
    let root = dir.path().join("blobs");
    let shard = root.join(&key.as_str()[..2]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&root), mode(&root.join("tmp")), mode(&shard)], [0o700; 3]);
    assert_eq!(mode(&shard.join(key.as_str())), 0o600);
}

#[test]
fn a_place_that_cannot_be_a_directory_is_denied() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(BlobStore::open(&BlobUrl::File(file.join("blobs"))), Err(BlobError::Denied)));
}

#[test]
fn a_disk_that_disappears_under_a_writer_shows_at_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (store(dir.path()), key());
    let writer = store.create(&key).unwrap();
    let root = dir.path().join("blobs");
    fs::remove_dir_all(&root).unwrap();
    fs::write(&root, "").unwrap();
    assert!(matches!(writer.commit(), Err(BlobError::Denied)));
}

#[test]
fn a_full_disk_is_told_apart_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (store(dir.path()), key());
    let mut writer = store.create(&key).unwrap();
    // The kernel's own "no space left" for every byte.
    writer.temp.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = writer.write_all(b"x").unwrap_err();
    assert!(matches!(BlobError::from(error), BlobError::DiskFull));
    drop(writer);
    assert_eq!(unfinished(dir.path()), 0);
    assert_eq!(visible(&store), []);
}

#[test]
fn keys_and_urls_are_parsed_strictly() {
    assert!(BlobKey::parse(key().as_str()).is_ok());
    assert!(BlobKey::parse("../../etc/passwd").is_err());
    assert!(BlobKey::parse(&"/".repeat(32)).is_err());
    let base = Path::new("/srv");
    assert_eq!(BlobUrl::parse("file:blobs", base), Ok(BlobUrl::File("/srv/blobs".into())));
    assert_eq!(BlobUrl::parse("file:///var/blobs", base), Ok(BlobUrl::File("/var/blobs".into())));
    assert_eq!(BlobUrl::parse("s3://bucket", base), Err(BlobUrlError));
    assert_eq!(BlobUrl::parse("file:", base), Err(BlobUrlError));
}

#[test]
fn a_place_that_takes_no_file_is_told_as_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    store.try_writing(&mut random::system()).unwrap();
    assert_eq!(unfinished(dir.path()), 0);
    fs::remove_dir(dir.path().join("blobs/tmp")).unwrap();
    assert!(matches!(store.try_writing(&mut random::system()), Err(BlobError::Denied)));
    fs::write(dir.path().join("blobs/tmp"), "").unwrap();
    assert!(matches!(BlobStore::open(&BlobUrl::File(dir.path().join("blobs"))).err(), Some(BlobError::Denied)));
    assert!(matches!(BlobStore::open(&BlobUrl::File("/proc/blobs".into())).err(), Some(BlobError::Denied)));
}
