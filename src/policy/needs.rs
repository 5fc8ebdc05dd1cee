//! What the rules in force look at beyond the report itself.
//!
//! Must stay true: what is not needed is not asked of the EHR; it then reads as [`super::facts::Lack::NotAsked`].

use std::collections::BTreeSet;

/// One kind of evidence that costs further questions to the EHR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Need {
    /// The result's members, their labels and whether one is critical.
    Members,
    /// The orders behind the report, their reasons and labels.
    Order,
    /// The encounter, its class and labels.
    Encounter,
    /// What kind of service made the report; asks for orders and encounters too.
    Specialty,
    /// The patient's consents in force.
    Consent,
    /// Texts of the report and of its members; asks for the members too.
    Text,
    /// The addresses of those who stand by the patient.
    RelatedContacts,
}

impl Need {
    pub const ALL: [Self; 7] = [
        Self::Members,
        Self::Order,
        Self::Encounter,
        Self::Specialty,
        Self::Consent,
        Self::Text,
        Self::RelatedContacts,
    ];
}

/// Everything that some rule looks at.
pub type Needs = BTreeSet<Need>;
