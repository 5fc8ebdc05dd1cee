//! Audit events and their chains.
//!
//! Job: say what can be recorded, and link each line to the one before it in its chain.
//! Must stay true: a line's hash covers everything that is stored of it and the hash before it; a line
//! names a patient only by a pseudonym made with that patient's own key; no line carries a secret, an
//! address, a name or a way in.
//! Must not know: where lines are kept.

mod actor;
mod chain;
mod entry;
mod event;
mod how;

pub use actor::{Actor, Pseudonym};
pub use chain::{Broken, GENESIS, Hash, Line, anchor_digest, link, verify_chain};
pub use entry::{Chain, Entry};
pub use event::AuditEvent;
pub use how::{HealthLinkEvent, HeardBy, Redecided};
