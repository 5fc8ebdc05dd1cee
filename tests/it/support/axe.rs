//! axe-core, the accessibility checker, run inside the page (npm `axe-core`, see `scripts/test`).

use serde_json::Value;

use super::browser::Browser;
use super::part;

/// The standards that the page keeps: WCAG 2.2 to level AA.
const RUN: &str = "const done = arguments[arguments.length - 1]; \
    axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }) \
    .then((found) => done(found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target).join(' ')}`)), \
    (fault) => done([`axe failed: ${fault}`]))";

/// # Panics
/// When axe finds a fault, or is not installed.
pub async fn assert_accessible(browser: &Browser, what: &str) {
    let axe = part::installed(part::in_project("target/testbed/axe/axe.min.js"));
    if browser.run("return typeof axe").await == Value::from("undefined") {
        browser.run(&std::fs::read_to_string(axe).expect("axe can be read")).await;
    }
    let found = browser.execute_async(RUN, Vec::new()).await.expect("axe runs").json().clone();
    assert_eq!(found, Value::Array(Vec::new()), "{what} is not accessible");
}
