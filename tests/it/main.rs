//! Every test that needs more than one module: one binary, so that its outside parts are started once.

mod licences;
mod support;
mod testbed_works;
mod tidy;
