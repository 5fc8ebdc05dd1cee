//! Google's Tink as the other end. Needs `python3` with `tink` on the path:
//! `cargo test --lib sealing::tests::tink -- --ignored`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use super::*;

const FIRST_SEGMENT_PLAIN_BYTES: usize = (1 << 20) - 40 - 16;

fn sizes() -> [usize; 8] {
    let first = FIRST_SEGMENT_PLAIN_BYTES;
    let second = first + (1 << 20) - 16;
    [0, 1, first - 1, first, first + 1, second, second + 1, (3 << 20) + 5]
}

fn plain_of(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// `None` when Tink refuses.
fn tink(options: &[&str], input: Vec<u8>) -> Option<Vec<u8>> {
    let mut child = Command::new("python3")
        .arg(vectors_folder().join("open_with_tink.py"))
        .args(options)
        .arg(HEXLOWER.encode(content_key().key().expose()))
        .arg(HEXLOWER.encode(context().associated_data().as_bytes()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 on the path");
    let mut stdin = child.stdin.take().unwrap();
    let feeder = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    output.status.success().then_some(output.stdout)
}

#[test]
#[ignore = "needs python3 with tink"]
fn tink_opens_what_we_seal() {
    for length in sizes() {
        let plain = plain_of(length);
        let mut rng = crate::base::random::system();
        let mut sealer = Sealer::new(&content_key(), &context(), &mut rng, Vec::new()).unwrap();
        sealer.write(&plain).unwrap();
        let (mut file, _) = sealer.finish().unwrap();
        assert!(tink(&[], file.clone()) == Some(plain), "{length} bytes");
        file[45] ^= 1;
        assert!(tink(&[], file).is_none(), "{length} bytes, changed");
    }
}

#[test]
#[ignore = "needs python3 with tink"]
fn we_open_what_tink_seals() {
    for length in sizes() {
        let plain = plain_of(length);
        let sealed = tink(&["--seal"], plain.clone()).expect("tink to seal");
        assert_eq!(sealed.len() as u64, sealed_length(length as u64));
        let mut opened = Vec::new();
        open(&content_key(), &context(), sealed.as_slice(), &mut opened).unwrap();
        assert!(opened == plain, "{length} bytes");
    }
}
