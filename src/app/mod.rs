//! The only wiring: a configuration becomes a running service.

pub mod start;
pub mod steps;
