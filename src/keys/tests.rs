//! Keys in their folder: kept, chained, destroyed.

mod journal;
mod ring;

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::base::random;

fn new_ring() -> (TempDir, PathBuf, KeyRing) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("keys");
    let ring = KeyRing::create(&dir, &mut random::system()).unwrap();
    (temp, dir, ring)
}
