//! The key ring: made, opened, rolled, destroyed.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;

use super::*;
use crate::base::{Key256, UtcMillis, random};

const NOON: UtcMillis = UtcMillis(1_795_348_800_000);

fn exists(found: &Found) -> bool {
    match found {
        Found::Existing(_) => true,
        Found::Missing => false,
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn init_makes_one_root_key_and_refuses_a_second() {
    let (_temp, dir, ring) = new_ring();
    let again = KeyRing::create(&dir, &mut random::system());
    assert!(matches!(again.err(), Some(KeyError::RootExists(_))));
    let opened = KeyRing::open(&dir).unwrap();
    assert!(opened.root().matches(ring.root().expose()));
    let text = fs::read_to_string(dir.join("root/root.key")).unwrap();
    assert!(text.starts_with("chartseal-key 1 root root ") && text.ends_with('\n'), "shape only");
}

#[test]
fn opening_without_a_root_key_says_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let empty = temp.path().join("empty");
    fs::create_dir(&empty).unwrap();
    chmod(&empty, 0o700);
    for dir in [temp.path().join("absent"), empty] {
        let error = KeyRing::open(&dir).err().unwrap();
        assert!(matches!(error, KeyError::RootMissing(_)));
        assert!(error.to_string().contains("restore root/ from your backup"));
    }
}

#[test]
fn a_folder_that_is_away_says_nothing_about_its_keys() {
    let (_temp, dir, ring) = new_ring();
    let name = KeyName::epoch(NOON);
    ring.find_or_create(&name, &mut random::system()).unwrap();
    fs::rename(dir.join("epoch"), dir.join("aside")).unwrap();
    assert!(matches!(ring.find(&name).err(), Some(KeyError::FolderAway(_))));
    fs::rename(dir.join("aside"), dir.join("epoch")).unwrap();
    assert!(exists(&ring.find(&name).unwrap()));
}

#[test]
fn a_restored_root_directory_is_enough_to_open() {
    let (_temp, dir, ring) = new_ring();
    for name in ["epoch", "outbox", "intake", "journal"] {
        fs::remove_dir_all(dir.join(name)).unwrap();
    }
    let opened = KeyRing::open(&dir).unwrap();
    assert!(opened.root().matches(ring.root().expose()));
    opened.find_or_create(&KeyName::epoch(NOON), &mut random::system()).unwrap();
}

#[test]
fn dated_keys_are_missing_then_made_then_found() {
    let (_temp, dir, ring) = new_ring();
    for (name, file) in [
        (KeyName::epoch(NOON), "epoch/2026-11-22.key"),
        (KeyName::outbox(NOON), "outbox/2026-11-22T12.key"),
        (KeyName::intake(NOON), "intake/2026-11-22.key"),
    ] {
        assert!(!exists(&ring.find(&name).unwrap()));
        let made = ring.find_or_create(&name, &mut random::system()).unwrap();
        let found = KeyRing::open(&dir).unwrap().find_or_create(&name, &mut random::system()).unwrap();
        assert!(made.matches(found.expose()));
        assert_eq!(fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(dir.join("epoch")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(dir.join("epoch")).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn many_creators_at_once_get_one_key() {
    let (_temp, dir, _ring) = new_ring();
    let threads = 16;
    let (barrier, name) = (Barrier::new(threads), KeyName::epoch(NOON));
    let keys: HashSet<[u8; 32]> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    // A ring of its own each, as separate processes have.
                    let ring = KeyRing::open(&dir).unwrap();
                    barrier.wait();
                    *ring.find_or_create(&name, &mut random::system()).unwrap().expose()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_key_that_another_process_destroyed_is_forgotten_here() {
    let (_temp, dir, ring) = new_ring();
    let name = KeyName::epoch(NOON);
    let first = ring.find_or_create(&name, &mut random::system()).unwrap();
    let other = KeyRing::open(&dir).unwrap();
    other.destroy(&name).unwrap();
    other.destroy(&name).unwrap();
    assert!(!exists(&ring.find(&name).unwrap()));
    assert_eq!(fs::read_dir(dir.join("epoch")).unwrap().count(), 0);
    let second = ring.find_or_create(&name, &mut random::system()).unwrap();
    assert!(!first.matches(second.expose()));
}

#[test]
fn a_key_replaced_by_another_process_is_read_again() {
    let (_temp, dir, ring) = new_ring();
    let name = KeyName::epoch(NOON);
    ring.find_or_create(&name, &mut random::system()).unwrap();
    let other = KeyRing::open(&dir).unwrap();
    other.destroy(&name).unwrap();
    let theirs = other.find_or_create(&name, &mut random::system()).unwrap();
    let mine = ring.find_or_create(&name, &mut random::system()).unwrap();
    assert!(mine.matches(theirs.expose()));
}

#[test]
fn destroying_overwrites_the_bytes_before_it_unlinks_them() {
    let (temp, dir, ring) = new_ring();
    let name = KeyName::epoch(NOON);
    ring.find_or_create(&name, &mut random::system()).unwrap();
    // A second link to the same bytes shows what became of them.
    let witness = temp.path().join("witness");
    fs::hard_link(dir.join("epoch/2026-11-22.key"), &witness).unwrap();
    ring.destroy(&name).unwrap();
    assert!(fs::read(&witness).unwrap().iter().all(|b| *b == 0));
}

#[test]
fn destroying_takes_the_copy_that_a_crashed_creator_left() {
    let (_temp, dir, ring) = new_ring();
    let name = KeyName::epoch(NOON);
    ring.find_or_create(&name, &mut random::system()).unwrap();
    fs::copy(dir.join("epoch/2026-11-22.key"), dir.join("epoch/2026-11-22.key.new-AAAAAAAA")).unwrap();
    ring.destroy(&name).unwrap();
    assert_eq!(fs::read_dir(dir.join("epoch")).unwrap().count(), 0);
}

#[test]
fn a_key_that_a_full_disk_left_half_destroyed_stayed_until_the_next_start() {
    let (_temp, dir, ring) = new_ring();
    let name = KeyName::epoch(NOON);
    ring.find_or_create(&name, &mut random::system()).unwrap();
    fs::rename(dir.join("epoch/2026-11-22.key"), dir.join("epoch/2026-11-22.key.doomed")).unwrap();
    ring.destroy(&name).unwrap();
    assert_eq!(fs::read_dir(dir.join("epoch")).unwrap().count(), 0);
}

#[test]
fn a_crash_while_destroying_is_finished_at_the_next_start() {
    let (_temp, dir, ring) = new_ring();
    let name = KeyName::epoch(NOON);
    ring.find_or_create(&name, &mut random::system()).unwrap();
    fs::rename(dir.join("epoch/2026-11-22.key"), dir.join("epoch/2026-11-22.key.doomed")).unwrap();
    assert!(!exists(&ring.find(&name).unwrap()));
    KeyRing::open(&dir).unwrap();
    assert_eq!(fs::read_dir(dir.join("epoch")).unwrap().count(), 0);
}

#[test]
fn keys_that_others_can_read_are_refused_with_the_command_that_helps() {
    let (_temp, dir, ring) = new_ring();
    let name = KeyName::epoch(NOON);
    ring.find_or_create(&name, &mut random::system()).unwrap();
    let key = dir.join("epoch/2026-11-22.key");
    chmod(&key, 0o640);
    let error = KeyRing::open(&dir).unwrap().find(&name).err().unwrap();
    assert_eq!(error.to_string(), format!("others can reach {0} (mode 640): run `chmod 600 {0}`", key.display()));
    chmod(&key, 0o600);
    chmod(&dir.join("epoch"), 0o755);
    assert!(matches!(KeyRing::open(&dir).err(), Some(KeyError::TooOpen { mode: 0o755, wanted: 0o700, .. })));
    chmod(&dir.join("epoch"), 0o700);
    chmod(&dir, 0o750);
    assert!(matches!(KeyRing::open(&dir).err(), Some(KeyError::TooOpen { mode: 0o750, .. })));
}

#[test]
fn a_key_file_must_be_exactly_what_its_name_says() {
    let (_temp, dir, ring) = new_ring();
    let key = Key256::new([7; 32]).to_base64url();
    let key = key.expose();
    let path = dir.join("epoch/2026-11-22.key");
    for text in [
        String::new(),
        format!("chartseal-key 1 epoch 2026-11-22 {key}"),
        format!("chartseal-key 1 epoch 2026-11-23 {key}\n"),
        format!("chartseal-key 1 intake 2026-11-22 {key}\n"),
        format!("chartseal-key 2 epoch 2026-11-22 {key}\n"),
        format!("chartseal-key 1 epoch 2026-11-22 {key}\n\n"),
        format!("chartseal-key 1 epoch 2026-11-22 {}\n", &key[1..]),
        format!("chartseal-key 1 epoch 2026-11-22 {key}{}\n", "A".repeat(4000)),
    ] {
        fs::write(&path, &text).unwrap();
        chmod(&path, 0o600);
        let error = ring.find(&KeyName::epoch(NOON)).err().unwrap();
        assert!(matches!(error, KeyError::Malformed(_)));
        assert!(!error.to_string().contains(key));
    }
    fs::write(&path, format!("chartseal-key 1 epoch 2026-11-22 {key}\n")).unwrap();
    assert!(exists(&ring.find(&KeyName::epoch(NOON)).unwrap()));
    fs::write(&path, b"chartseal-key \xff").unwrap();
    assert!(matches!(KeyRing::open(&dir).unwrap().list(), Err(KeyError::Malformed(_))));
}

#[test]
fn the_list_tells_keys_apart_without_showing_them() {
    let (_temp, _dir, ring) = new_ring();
    let epoch = ring.find_or_create(&KeyName::epoch(NOON), &mut random::system()).unwrap();
    ring.find_or_create(&KeyName::outbox(NOON), &mut random::system()).unwrap();
    let list = ring.list().unwrap();
    let names: Vec<_> = list.iter().map(|info| (info.kind, info.name.as_str())).collect();
    assert_eq!(names, [(KeyKind::Root, "root"), (KeyKind::Epoch, "2026-11-22"), (KeyKind::Outbox, "2026-11-22T12")]);
    assert_eq!(list[1].fingerprint, Fingerprint::of(&epoch));
    assert_ne!(list[0].fingerprint, list[1].fingerprint);
    assert!(!format!("{list:?}").contains(epoch.to_base64url().expose()));
}

#[test]
fn key_names_have_one_spelling() {
    for (kind, name) in [(KeyKind::Epoch, "2026-11-22"), (KeyKind::Outbox, "2026-11-22T09")] {
        assert_eq!(KeyName::parse(kind, name).unwrap().as_str(), name);
    }
    for (kind, name) in [
        (KeyKind::Root, "root"),
        (KeyKind::Epoch, "2026-11-2"),
        (KeyKind::Epoch, "2026-02-30"),
        (KeyKind::Epoch, "../x"),
        (KeyKind::Intake, "2026-11-22T09"),
        (KeyKind::Outbox, "2026-11-22T24"),
        (KeyKind::Outbox, "2026-11-22"),
    ] {
        assert_eq!(KeyName::parse(kind, name), Err(KeyNameError), "{kind} {name}");
    }
}

#[test]
fn a_fingerprint_is_the_published_hmac() {
    // hmac.new(bytes([7]) * 32, b"chartseal/1/fingerprint", "sha256").digest()[:16], from Python 3.
    assert_eq!(Fingerprint::of(&Key256::new([7; 32])).to_string(), "YHya4N1ila5cx54NiT94Aw");
}

#[test]
fn a_folder_that_takes_no_new_file_is_found_before_a_key_is_needed() {
    for name in ["epoch", "outbox", "intake", "journal"] {
        let (_temp, dir, ring) = new_ring();
        ring.try_writing(&mut random::system()).unwrap();
        assert_eq!(fs::read_dir(dir.join(name)).unwrap().count(), 0, "{name} holds what the trial left");
        fs::remove_dir(dir.join(name)).unwrap();
        let error = ring.try_writing(&mut random::system()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn nobody_is_told_to_remove_a_root_key() {
    let (_temp, dir, _ring) = new_ring();
    fs::write(dir.join("root/root.key"), "garbage").unwrap();
    let error = KeyRing::open(&dir).err().unwrap().to_string();
    assert!(error.contains("put the right file back") && error.contains("unless it is the root key"), "{error}");
}
