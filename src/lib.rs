//! Chartseal: the map of the house is written here as the rooms are built.

pub mod base;
pub mod blobs;
pub mod config;
pub mod keys;
pub mod policy;
