//! The tests' own HTTP client.

use std::sync::OnceLock;

use super::wait;

/// Our clients are built without a cryptography provider of their own; the process needs one before the first.
pub fn install_cryptography() {
    // An error means that another test was quicker.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// How every client of the tests behaves: no redirects, no proxy of whoever runs the tests, and a connection of its own
/// for each request. A kept one may be closed by the server in the moment in which it is used again, and nobody can tell
/// whether the request was heard.
pub fn settings() -> reqwest::ClientBuilder {
    install_cryptography();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(wait::HANGS)
}

/// The client that all tests share: one that was built while a connection of another waits for its first request may
/// keep that waiting for longer than a server does.
///
/// # Panics
/// Never in practice: the settings are constant.
pub fn new() -> reqwest::Client {
    static SHARED: OnceLock<reqwest::Client> = OnceLock::new();
    SHARED.get_or_init(|| settings().build().expect("a plain client can be built")).clone()
}
