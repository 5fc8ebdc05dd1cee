//! The routes as a browser, a stranger, an EHR and an operator meet them.

mod browser;
mod hooks;
pub(crate) mod house;
mod opening;
mod operators;
mod signed_hooks;
mod strangers;
mod wire;
