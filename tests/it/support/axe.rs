//! Deque's axe-core, which finds what keeps people from using a page; from `PyPI`, by `tests/testbed/requirements.txt`.

use std::path::PathBuf;
use std::sync::LazyLock;

use super::browser::Browser;
use super::part;

static SOURCE: LazyLock<String> = LazyLock::new(|| {
    let libraries = part::installed(part::in_project("target/testbed/venv/lib"));
    let of_python = |folder: PathBuf| folder.join("site-packages/axe_playwright_python/axe.min.js");
    let mut found = std::fs::read_dir(libraries).unwrap().map(|folder| of_python(folder.unwrap().path()));
    let file = found.find(|file| file.exists()).expect("axe-core is there: scripts/test installs it");
    std::fs::read_to_string(file).unwrap()
});

/// What WCAG 2.2 AA says against the page as it stands, one line for each rule with the first element that breaks it.
pub async fn violations(browser: &Browser) -> Vec<String> {
    if browser.run("return typeof axe").await == "undefined" {
        browser.run(&SOURCE).await;
    }
    let tags = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']";
    let script = format!(
        "return axe.run(document, {{ runOnly: {tags}, resultTypes: ['violations'] }}).then((found) => found.violations.map( \
         (one) => `${{one.id}}: ${{one.help}}: ${{one.nodes[0].html.slice(0, 200)}}`))"
    );
    let found = browser.run(&script).await;
    found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// # Panics
/// When something stands against it, naming `what` was looked at.
pub async fn assert_accessible(browser: &Browser, what: &str) {
    assert_eq!(violations(browser).await, Vec::<String>::new(), "{what} is not accessible");
}
