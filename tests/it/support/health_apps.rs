//! Foreign readers of SMART Health Links: kill-the-clipboard, jose and jsqr from npm, jwcrypto from `PyPI`.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use super::{part, python};

/// What kill-the-clipboard's viewer, unmodified, makes of a link: `pdfs` in base64, or the name of its `problem`.
pub async fn view(shlink: &str, passcode: Option<&str>) -> Value {
    npm(&[&["view", shlink], passcode.as_slice()].concat()).await
}

/// What jose finds in a file: `header` and `text`.
pub async fn decrypt_with_jose(key: &str, file: &Path) -> Value {
    npm(&["decrypt", key, &file.display().to_string()]).await
}

/// The text of the QR code in a picture, as jsqr reads it.
pub async fn read_square(picture: &Path) -> Option<String> {
    npm(&["square", &picture.display().to_string()]).await["text"].as_str().map(str::to_owned)
}

/// What jwcrypto finds in a file.
pub async fn decrypt_with_jwcrypto(key: &str, file: &Path) -> Vec<u8> {
    let mut command = Command::new(python::program("python"));
    command.arg(python::script("open_jwe.py")).arg(key).arg(file);
    let answer = command.output().await.expect("python can be run");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    answer.stdout
}

async fn npm(arguments: &[&str]) -> Value {
    let readers = part::installed(part::in_project("target/testbed/npm/node_modules"));
    let script = part::installed(part::in_project("tests/testbed/npm/read.mjs"));
    let mut command = Command::new(node());
    command.current_dir(readers.parent().expect("it lies in a folder")).args(["--input-type=module", "-"]);
    command.args(arguments).stdin(File::open(script).expect("the script is there"));
    let answer = command.output().await.expect("node can be run");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    serde_json::from_slice(&answer.stdout).expect("the script answers in JSON")
}

fn node() -> PathBuf {
    part::installed("/usr/bin/node".into())
}
