//! The death journal: appended, cut short, tampered with.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Barrier;

use super::*;
use crate::base::{Key256, LinkId, UtcMillis, random};

const LOG: &str = "deaths-a.log";

fn mac_key() -> Key256 {
    Key256::new([9; 32])
}

fn replica(name: &str) -> ReplicaName {
    ReplicaName::parse(name).unwrap()
}

fn open(dir: &Path, name: &str) -> DeathJournal {
    DeathJournal::open(dir, &replica(name), &mac_key()).unwrap()
}

fn death(kind: DeathKind) -> Death {
    Death { link: LinkId::random(&mut random::system()), kind, at: UtcMillis(1_795_348_800_000) }
}

fn deaths() -> Vec<Death> {
    DeathKind::ALL.into_iter().map(death).collect()
}

fn recorded(dir: &Path) -> Vec<Death> {
    DeathJournal::read_all(dir, &mac_key()).unwrap().into_iter().map(|record| record.death).collect()
}

fn anchor(n: i64) -> Anchor {
    Anchor { from_n: n, to_n: n + 9, at: UtcMillis(n), digest: [3; 32] }
}

fn mark(generation: u64, audit_n: i64) -> Mark {
    Mark { generation, audit_n, at: UtcMillis(5) }
}

#[test]
fn every_death_is_read_back_in_order_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let all = deaths();
    open(dir.path(), "a").append(&all[..4]).unwrap();
    open(dir.path(), "a").append(&all[4..]).unwrap();
    assert_eq!(recorded(dir.path()), all);
    let seqs: Vec<u64> = DeathJournal::read_all(dir.path(), &mac_key()).unwrap().iter().map(|r| r.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_line_torn_anywhere_is_ignored_and_cut_off_by_the_next_writer() {
    let dir = tempfile::tempdir().unwrap();
    let all = deaths();
    open(dir.path(), "a").append(&all[..2]).unwrap();
    let path = dir.path().join(LOG);
    let whole = fs::read(&path).unwrap();
    let second_line = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    for length in second_line..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(recorded(dir.path()), all[..1], "{length} bytes");
        open(dir.path(), "a").append(&all[2..3]).unwrap();
        assert_eq!(recorded(dir.path()), [all[0].clone(), all[2].clone()], "{length} bytes");
    }
}

#[test]
fn a_flipped_bit_in_a_whole_line_is_damage_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), "a").append(&deaths()[..3]).unwrap();
    let path = dir.path().join(LOG);
    let whole = fs::read(&path).unwrap();
    // The last byte is left out: without its line feed the last line is a torn one.
    for at in 0..whole.len() - 1 {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        let line = whole[..at].split(|b| *b == b'\n').count();
        let read = DeathJournal::read_all(dir.path(), &mac_key());
        assert!(matches!(read, Err(KeyError::Damaged { line: found, .. }) if found == line), "byte {at}");
    }
    assert!(DeathJournal::open(dir.path(), &replica("a"), &mac_key()).is_err());
}

#[test]
fn a_line_lost_doubled_or_moved_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), "a").append(&deaths()[..3]).unwrap();
    let path = dir.path().join(LOG);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for order in [vec![1, 2], vec![0, 2], vec![0, 0, 1, 2], vec![1, 0, 2]] {
        fs::write(&path, order.iter().map(|i| lines[*i]).collect::<String>()).unwrap();
        assert!(matches!(DeathJournal::read_all(dir.path(), &mac_key()), Err(KeyError::Damaged { .. })), "{order:?}");
    }
}

#[test]
fn two_replicas_write_two_files_and_are_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let (all, a, b) = (deaths(), open(dir.path(), "a"), open(dir.path(), "b"));
    b.append(&all[2..]).unwrap();
    a.append(&all[..2]).unwrap();
    assert_eq!(recorded(dir.path()), all);
    let second = DeathJournal::open(dir.path(), &replica("a"), &mac_key());
    assert!(matches!(second.err(), Some(KeyError::InUse(_))));
}

#[test]
fn one_replicas_file_cannot_pass_for_anothers() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), "a").append(&deaths()).unwrap();
    fs::rename(dir.path().join(LOG), dir.path().join("deaths-b.log")).unwrap();
    assert!(matches!(DeathJournal::read_all(dir.path(), &mac_key()), Err(KeyError::Damaged { line: 1, .. })));
    fs::rename(dir.path().join("deaths-b.log"), dir.path().join("deaths-A b.log")).unwrap();
    assert!(matches!(DeathJournal::read_all(dir.path(), &mac_key()), Err(KeyError::Malformed(_))));
}

#[test]
fn threads_that_append_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, threads) = (open(dir.path(), "a"), 8);
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                for death in deaths() {
                    journal.append(std::slice::from_ref(&death)).unwrap();
                    assert!(recorded(dir.path()).contains(&death), "recorded before it is acknowledged");
                }
            });
        }
    });
    assert_eq!(recorded(dir.path()).len(), threads * DeathKind::ALL.len());
}

#[test]
fn a_full_disk_refuses_the_batch_and_the_next_one_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, all) = (open(dir.path(), "a"), deaths());
    journal.append(&all[..1]).unwrap();
    let file = journal.swap_file(OpenOptions::new().append(true).open("/dev/full").unwrap());
    assert!(matches!(journal.append(&all[1..2]), Err(KeyError::DiskFull(_))));
    journal.swap_file(file);
    // What a write that failed half-way leaves behind.
    OpenOptions::new().append(true).open(dir.path().join(LOG)).unwrap().write_all(b"2 AAAA").unwrap();
    journal.append(&all[2..]).unwrap();
    assert_eq!(recorded(dir.path()), [&all[..1], &all[2..]].concat());
}

#[test]
fn the_mark_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(highest_mark(dir.path(), &mac_key()).unwrap(), None);
    let (a, b) = (open(dir.path(), "a"), open(dir.path(), "b"));
    a.raise_mark(mark(1, 900)).unwrap();
    a.raise_mark(mark(1, 800)).unwrap();
    a.raise_mark(mark(0, 2000)).unwrap();
    b.raise_mark(mark(1, 850)).unwrap();
    assert_eq!(highest_mark(dir.path(), &mac_key()).unwrap(), Some(mark(1, 900)));
    drop(a);
    open(dir.path(), "a").raise_mark(mark(1, 899)).unwrap();
    assert_eq!(highest_mark(dir.path(), &mac_key()).unwrap(), Some(mark(1, 900)));
    b.raise_mark(mark(2, 850)).unwrap();
    assert_eq!(highest_mark(dir.path(), &mac_key()).unwrap(), Some(mark(2, 850)));
}

#[test]
fn a_changed_or_torn_mark_is_damage_and_its_temporary_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), "a").raise_mark(mark(1, 900)).unwrap();
    let path = dir.path().join("mark-a");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(dir.path().join("mark-a.new"), "1 95").unwrap();
    assert_eq!(highest_mark(dir.path(), &mac_key()).unwrap(), Some(mark(1, 900)));
    for text in [whole.replace("900", "100"), whole[..whole.len() - 1].to_owned(), String::new(), whole.repeat(2)] {
        fs::write(&path, text).unwrap();
        assert!(matches!(highest_mark(dir.path(), &mac_key()), Err(KeyError::Damaged { .. })));
    }
}

#[test]
fn anchors_are_read_back_and_a_changed_one_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path(), "a"), open(dir.path(), "b"));
    for n in [1, 11, 21] {
        a.append_anchor(&anchor(n)).unwrap();
    }
    b.append_anchor(&anchor(5)).unwrap();
    let read = || read_anchors(dir.path(), &mac_key());
    let found: Vec<(String, i64)> =
        read().unwrap().iter().map(|r| (r.replica.as_str().to_owned(), r.anchor.from_n)).collect();
    assert_eq!(found, [("a".into(), 1), ("a".into(), 11), ("a".into(), 21), ("b".into(), 5)]);
    assert_eq!(read().unwrap()[1].anchor, anchor(11));
    let path = dir.path().join("anchors-a.log");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replacen("11 20", "11 21", 1)).unwrap();
    assert!(matches!(read(), Err(KeyError::Damaged { line: 2, .. })));
    fs::write(&path, format!("{whole}31 40 3")).unwrap();
    assert_eq!(read().unwrap().len(), 4);
}

#[test]
fn a_journal_that_root_begins_beside_another_users_service_is_that_users() {
    const NOBODY: u32 = 65534;
    let dir = tempfile::tempdir().unwrap();
    if std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).is_err() {
        return; // Only root can make files for others, and only root's would lock them out.
    }
    let journal = open(dir.path(), "a");
    journal.append(&deaths()).unwrap();
    journal.raise_mark(mark(1, 1)).unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().uid(), NOBODY, "{}", path.display());
    }
}
