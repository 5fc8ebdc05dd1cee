//! A line to be written.

use super::{Actor, AuditEvent, Chain};
use crate::base::{ClinicId, UtcMillis};

/// One line to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub chain: Chain,
    pub at: UtcMillis,
    pub clinic: Option<ClinicId>,
    pub actor: Actor,
    pub event: AuditEvent,
}

impl Entry {
    #[must_use]
    pub fn by_system(chain: Chain, at: UtcMillis, clinic: Option<ClinicId>, event: AuditEvent) -> Self {
        Self { chain, at, clinic, actor: Actor::System, event }
    }
}
