//! Behaviour 15, its other half: `chartseal setup` leads through a new EHR and never overwrites.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use super::doctor::doctor;
use crate::support::ehr;
use crate::support::place::Place;
use crate::support::program::{self, Ran};

/// Runs it with these lines at its standard input.
fn answer(config: &Path, arguments: &[&str], lines: &str) -> Ran {
    let mut command = program::command(config);
    let child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: done.status.code().unwrap(), out: text(&done.stdout), err: text(&done.stderr) }
}

fn new_installation(folder: &Place) -> std::path::PathBuf {
    let config = folder.join("chartseal.toml");
    assert_eq!(program::run(&config, &["init", &folder.display().to_string()]).code, 0);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_setup_by_flags_writes_a_section_that_check_accepts_and_never_twice() {
    let (folder, leased) = (Place::new("setup"), ehr::lease().await);
    let config = new_installation(&folder);
    let before = std::fs::read_to_string(&config).unwrap();
    let url = leased.base_url();
    let arguments = ["setup", "lab", "--base-url", url, "--subscribe", "r4", "--yes", "--json"];
    let ran = doctor(&config, &arguments).await;
    let said = ran.json();
    assert_eq!((ran.code, &said["written"]), (0, &json!(true)), "{}", ran.all());
    assert!(said["findings"].to_string().contains("speaks R4"), "it looked at the EHR first: {said}");
    assert!(said["letter"].as_str().unwrap().contains("two rest-hook Subscriptions"));
    let after = std::fs::read_to_string(&config).unwrap();
    assert!(after.starts_with(&before) && after.ends_with(said["section"].as_str().unwrap()), "{after}");
    let checked = program::run(&config, &["check"]);
    assert!(checked.code == 0 && checked.out.contains("EHRs: 2"), "{}", checked.all());

    let again = doctor(&config, &arguments).await;
    let said = again.json();
    assert_eq!((again.code, &said["written"]), (1, &json!(false)), "{said}");
    assert!(said["mistakes"][0].as_str().unwrap().contains("nothing is overwritten"), "{said}");
    let letter = doctor(&config, &["setup", "lab"]).await;
    assert!(letter.code == 0 && letter.out.contains("system/Subscription.cruds"), "{}", letter.all());
    assert_eq!(std::fs::read_to_string(&config).unwrap(), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_setup_asks_a_person_shows_what_it_will_write_and_takes_no_for_an_answer() {
    let (folder, leased) = (Place::new("setup"), ehr::lease().await);
    let config = new_installation(&folder);
    let before = std::fs::read(&config).unwrap();
    let url = leased.base_url().to_owned();
    // Address; sign-in and calls as suggested; where it reaches us as suggested; and then no, or nobody there any more.
    for last in ["n\n", ""] {
        let (config, lines) = (config.clone(), format!("{url}\n\nr4\n\n{last}"));
        let ran = tokio::task::spawn_blocking(move || answer(&config, &["setup", "lab"], &lines)).await.unwrap();
        assert!(ran.code == 1 && ran.out.contains("Nothing was written"), "{}", ran.all());
        assert!(ran.err.contains("[[ehr]]") && ran.err.contains("Write it? [y/N]"), "{}", ran.err);
    }
    assert_eq!(std::fs::read(&config).unwrap(), before);
    let (at, lines) = (config.clone(), format!("{url}\n\nr4\n\ny\n"));
    let ran = tokio::task::spawn_blocking(move || answer(&at, &["setup", "lab"], &lines)).await.unwrap();
    assert!(ran.code == 0 && ran.out.contains("Written to"), "{}", ran.all());
    assert!(ran.out.contains("/fhir/hook/lab"), "the text for its staff: {}", ran.out);
    assert_eq!(program::run(&config, &["check"]).code, 0);

    // Nobody answers at all.
    let silent = program::run(&config, &["setup", "other"]);
    assert!(silent.code == 2 && silent.err.contains("--base-url"), "{}", silent.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn event_15_setup_writes_nothing_that_a_start_would_refuse_and_makes_a_secret_only_where_none_is() {
    let folder = Place::new("setup");
    let config = new_installation(&folder);
    let before = std::fs::read(&config).unwrap();
    let closed = format!("http://127.0.0.1:{}/fhir", folder.port());
    // Without a client id there is nothing to write yet; the text to ask for it is there all the same.
    let ran = doctor(&config, &["setup", "lab", "--base-url", &closed, "--auth", "smart", "--yes"]).await;
    assert!(ran.code == 1 && ran.out.contains("client_id: missing"), "{}", ran.all());
    assert!(ran.out.contains("Please give us a client id") && ran.out.contains(".well-known/jwks.json"), "{}", ran.out);
    assert!(ran.err.contains("nobody listens"), "{}", ran.err);
    let bad = doctor(&config, &["setup", "lab", "--base-url", "ftp://x", "--yes"]).await;
    assert!(bad.code == 1 && bad.out.contains("base_url"), "{}", bad.all());
    assert_eq!(std::fs::read(&config).unwrap(), before);

    // An address of this machine is no use to an EHR elsewhere, and is not taken for one.
    let far =
        ["setup", "lab", "--base-url", "https://203.0.113.7/fhir", "--auth", "none", "--subscribe", "r4", "--yes"];
    let judged = program::run(&config, &far);
    assert!(judged.code == 1 && judged.out.contains("hook_url: missing"), "{}", judged.all());
    assert_eq!(std::fs::read(&config).unwrap(), before);

    let with_hook = ["setup", "lab", "--base-url", &closed, "--hook-secret-file", "secrets/lab-hook", "--yes"];
    let ran = doctor(&config, &with_hook).await;
    assert_eq!(ran.code, 0, "{}", ran.all());
    let secret = folder.join("secrets/lab-hook");
    let made = std::fs::read_to_string(&secret).unwrap();
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(made.trim().len() >= 24 && !ran.all().contains(made.trim()), "a secret is not shown");
    assert!(ran.out.contains("X-Chartseal-Hook"), "{}", ran.out);
    assert_eq!(program::run(&config, &["check"]).code, 0);

    let other = ["setup", "lab2", "--base-url", &closed, "--hook-secret-file", "secrets/lab-hook", "--yes"];
    assert_eq!(doctor(&config, &other).await.code, 0);
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), made, "what was there is kept");
}
