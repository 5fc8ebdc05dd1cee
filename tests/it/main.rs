//! Every test that needs more than one module: one binary, so that its outside parts are started once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::similar_names,
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::duration_suboptimal_units,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::single_match_else,
    reason = "a test that meets the unexpected should end there and say so; its tables are long and its names short"
)]

mod behaviours;
mod cell;
mod crashes;
mod docker;
mod docs;
mod faults;
mod licences;
mod profiles;
mod races;
mod second_ehr;
mod store;
mod stories;
mod support;
mod testbed_works;
mod tidy;
mod web;
