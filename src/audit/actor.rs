//! Who did something, and to whom.

use serde::{Deserialize, Serialize};

use crate::base::{EhrId, OperatorName};

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// Chartseal itself, by rule or by time.
    System,
    Ehr(EhrId),
    Operator(OperatorName),
    /// Whoever holds the link.
    Holder,
}

/// A patient as the audit names them: HMAC of the patient under a key of their own. Destroying the key
/// forgets them while every hash still verifies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pseudonym(pub String);
