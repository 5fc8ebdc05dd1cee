//! The tests' own HTTP client.

use std::time::Duration;

/// How long one request of a test may take; a laboratory report with its PDF takes seconds on a loaded machine.
const REQUEST_LIMIT: Duration = Duration::from_mins(1);

/// Our clients are built without a cryptography provider of their own; the process needs one before the first.
pub fn install_cryptography() {
    // An error means that another test was quicker.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client without redirects, bound to the calling test's runtime.
///
/// # Panics
/// Never in practice: the settings are constant.
pub fn new() -> reqwest::Client {
    install_cryptography();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST_LIMIT)
        .build()
        .expect("a plain client can be built")
}
