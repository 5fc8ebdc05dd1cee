//! What the tests stand on: real outside parts, started on loopback and gone when the tests are.
//!
//! Must stay true: a missing part fails the test and names the command that installs it; nothing is skipped. Every part
//! has a folder of its own and dies with the test process, however that ends.

#![allow(dead_code, reason = "the test bed offers more than the tests of any one day use")]

pub mod axe;
pub mod backup;
pub mod browser;
pub mod clinic;
pub mod dice;
pub mod ehr;
pub mod ehr_double;
pub mod front;
pub mod hapi;
pub mod health_apps;
pub mod holder;
pub mod hooks;
pub mod hostile;
pub mod mailbox;
pub mod malware_scanner;
pub mod name_server;
pub mod part;
pub mod pdf;
pub mod place;
pub mod planted;
pub mod postfix;
pub mod postgres;
pub mod program;
pub mod python;
pub mod reader;
pub mod senders;
pub mod service;
pub mod staff;
pub mod texts;
pub mod tink;
pub mod told_keeper;
pub mod under_fire;
pub mod validator;
pub mod wait;
pub mod web_client;
pub mod wire;
