//! What must be read beside the report before it can be decided.

use std::collections::BTreeSet;

/// One thing to read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Need {
    Members,
    Order,
    Encounter,
    Specialty,
    Consent,
    Text,
    RelatedContacts,
}

/// Everything that the rules in force look at.
pub type Needs = BTreeSet<Need>;
