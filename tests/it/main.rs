//! Every test that needs more than one module: one binary, so that its outside parts are started once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test that meets the unexpected should end there and say so"
)]

mod licences;
mod store;
mod stories;
mod support;
mod testbed_works;
mod tidy;
mod web;
