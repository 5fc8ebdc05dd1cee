//! Chartseal: the map of the house is written here as the rooms are built.

pub mod base;
pub mod fhir;
pub mod policy;
