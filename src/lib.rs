//! Chartseal: the map of the house is written here as the rooms are built.

pub mod app;
pub mod audit;
pub mod base;
pub mod blobs;
pub mod cli;
pub mod config;
pub mod desk;
pub mod fhir;
pub mod intake;
pub mod keys;
pub mod notify;
pub mod open;
pub mod outbox;
pub mod policy;
pub mod record;
pub mod release;
pub mod resolve;
pub mod sealing;
pub mod store;
pub mod sweep;
pub mod web;
