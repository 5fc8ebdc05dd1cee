//! A foreign reader of our sealed files: Google's Tink, in Python.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use super::{part, python};

/// Opens a sealed file with Tink: the plaintext, or what Tink said.
///
/// # Errors
/// When Tink refuses the file: the last line of its complaint.
///
/// # Panics
/// When the Python environment or the script is not there.
pub fn open(key: &[u8], associated_data: &[u8], sealed: &Path) -> Result<Vec<u8>, String> {
    let hex = data_encoding::HEXLOWER;
    let answer = Command::new(python::program("python"))
        .arg(part::installed(part::in_project("tests/vectors/open_with_tink.py")))
        .args([hex.encode(key), hex.encode(associated_data)])
        .stdin(File::open(sealed).expect("the sealed file is there"))
        .output()
        .expect("python can be run");
    if answer.status.success() {
        return Ok(answer.stdout);
    }
    let complaint = String::from_utf8_lossy(&answer.stderr);
    Err(complaint.lines().next_back().unwrap_or("no reason given").to_owned())
}
