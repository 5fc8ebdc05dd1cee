//! A line to be written, and the chain that it goes to.

use std::fmt;

use super::{Actor, AuditEvent};
use crate::base::{ClinicId, DeliveryId, EhrId, SourceId, UtcMillis};

/// One line to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub chain: Chain,
    pub at: UtcMillis,
    pub clinic: Option<ClinicId>,
    pub actor: Actor,
    pub event: AuditEvent,
}

/// Which chain a line belongs to. One per delivery and per followed resource, so that writers do not
/// wait for each other, and a few for the installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    Delivery(DeliveryId),
    Source(SourceId),
    Ehr(EhrId),
    Installation,
}

impl Entry {
    #[must_use]
    pub fn by_system(chain: Chain, at: UtcMillis, clinic: Option<ClinicId>, event: AuditEvent) -> Self {
        Self { chain, at, clinic, actor: Actor::System, event }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivery(id) => write!(f, "delivery:{id}"),
            Self::Source(id) => write!(f, "source:{id}"),
            Self::Ehr(id) => write!(f, "ehr:{id}"),
            Self::Installation => f.write_str("installation"),
        }
    }
}
