//! Law packs: what a state's law asks of a report, as data.
//!
//! Job: hand out the packs that Chartseal ships, and read one into floors, ceilings, rows and the vectors that prove
//! its arithmetic.
//! Must stay true: a pack that is read keeps its own vectors; every fault has a place and a remedy.
//! Must not know: the language of `when` and `then` (whoever reads a pack brings the readers), or which clinic uses
//! which pack.

mod pack;
mod read;

use super::rules::Restrict;
use super::when::When;

pub use pack::{Ceiling, Floor, Header, Pack, Standing, Vector, Verified, Waiver};
pub(in crate::policy) use read::parse_pack;

/// The packs that Chartseal ships, by the names under which a rules file asks for them (`laws = ["us-ky"]`).
pub const NAMES: [&str; 7] = ["eu-ehds", "pl", "us-ca", "us-co-sb26-162", "us-ky", "us-mt", "us-tx-sb922"];

/// The text of a shipped pack.
#[must_use]
pub fn shipped(name: &str) -> Option<&'static str> {
    match name {
        "eu-ehds" => Some(include_str!("../../../policies/laws/eu-ehds.toml")),
        "pl" => Some(include_str!("../../../policies/laws/pl.toml")),
        "us-ca" => Some(include_str!("../../../policies/laws/us-ca.toml")),
        "us-co-sb26-162" => Some(include_str!("../../../policies/laws/us-co-sb26-162.toml")),
        "us-ky" => Some(include_str!("../../../policies/laws/us-ky.toml")),
        "us-mt" => Some(include_str!("../../../policies/laws/us-mt.toml")),
        "us-tx-sb922" => Some(include_str!("../../../policies/laws/us-tx-sb922.toml")),
        _ => None,
    }
}

/// A law pack in the language of the rules file.
pub type Law = Pack<When, Restrict>;

impl Law {
    /// The conditions of all its rows.
    pub fn whens(&self) -> impl Iterator<Item = &When> {
        let floors = self.floors.iter().map(|floor| &floor.when);
        let ceilings = self.ceilings.iter().map(|ceiling| &ceiling.when);
        floors.chain(ceilings).chain(self.restricts.iter().map(|row| &row.when))
    }
}
