//! Small wrongs that the rules must catch, and rights that they must leave alone.

use super::Source;
use super::rules::complaints;

/// The complaints about a file with this code below a proper first line.
fn about(path: &str, code: &str) -> Vec<String> {
    complaints(&Source { path: path.into(), text: format!("//! Job: a sample.\n{code}\n") })
}

#[test]
fn a_wrong_import_is_caught_in_every_spelling() {
    for (path, code, wrong) in [
        ("src/base/ids.rs", "use crate::policy::Terms;", "base may not import policy"),
        ("src/policy/mod.rs", "use crate::{base::UtcMillis, store::Row};", "policy may not import store"),
        ("src/policy/mod.rs", "use crate::{\n    base::{UtcMillis, ids},\n    fhir,\n};", "policy may not import fhir"),
        ("src/policy/mod.rs", "fn f() { crate :: store :: open(); }", "policy may not import store"),
        ("src/store/mod.rs", "use super::web;", "store may not import web"),
        ("src/store/mod.rs", "use crate::fhir::Ehr;", "store may not import fhir"),
        ("src/intake.rs", "use crate::release::go;", "intake may not import release"),
        ("src/web/patient.rs", "use crate::store::Store;", "web may not import store"),
        ("src/web/mod.rs", "use crate::cli;", "web may not import cli"),
        ("src/web/mod.rs", "use crate::config::Config;", "web may not import config"),
        ("src/app/mod.rs", "use crate::cli::run;", "app may not import cli"),
        ("src/record/mod.rs", "use crate::audit::AuditEvent;", "record may not import audit"),
        ("src/sealing/mod.rs", "let c = '\"'; use crate::store; let d = '\"';", "sealing may not import store"),
    ] {
        assert_eq!(about(path, code), [format!("{path}: {wrong}")], "{code}");
    }
}

#[test]
fn a_right_import_is_left_alone() {
    for (path, code) in [
        ("src/policy/mod.rs", "use crate::base::UtcMillis; use crate::policy::facts;"),
        ("src/record/mod.rs", "use crate::{base, policy::Terms};"),
        ("src/audit/mod.rs", "use crate::record::Step;"),
        ("src/release/mod.rs", "use crate::{base, policy, store, fhir, blobs, keys, notify};"),
        ("src/cli/mod.rs", "use crate::store::Store;"),
        ("src/app.rs", "use crate::{config::Config, web, store};"),
        ("src/main.rs", "use chartseal::app::App;"),
        (
            "src/policy/mod.rs",
            "// use crate::store;\n/* crate::fhir */ const A: &str = \"crate::web\"; const B: &str = r#\"crate::web \"quoted\" \"#;",
        ),
        ("src/policy/mod.rs", "mod tests { use super::*; }"),
        ("src/policy/rules/mod.rs", "use super::store_nothing;"),
        ("src/policy/mod.rs", "fn f<'a>(x: &'a str) -> &'a str { x }"),
    ] {
        assert_eq!(about(path, code), Vec::<String>::new(), "{code}");
    }
}

#[test]
fn a_crate_outside_its_room_is_caught() {
    for (path, code, name) in [
        ("src/desk/mod.rs", "use diesel::prelude::*;", "diesel"),
        ("src/audit/mod.rs", "#[derive(A)] #[diesel(table_name = x)] struct B;", "diesel"),
        ("src/outbox/sms.rs", "fn f() { ::reqwest::get(1); }", "reqwest"),
        ("src/intake/mod.rs", "use fhirbolt::element::Element;", "fhirbolt"),
        ("src/open/mod.rs", "use actix_web::HttpResponse;", "actix_web"),
        ("src/outbox/mod.rs", "use lettre::Message;", "lettre"),
        ("src/keys/mod.rs", "use aes_gcm::Aes256Gcm;", "aes_gcm"),
        ("src/blobs/mod.rs", "use aead_stream as a;", "aead_stream"),
        ("src/base/mod.rs", "fn f() { unsafe { g() } }", "unsafe"),
    ] {
        let wrongs = about(path, code);
        assert_eq!(wrongs.len(), 1, "{code}");
        assert!(wrongs[0].ends_with(&format!("may not use {name}")));
    }
    assert!(about("src/store/mod.rs", "use diesel::prelude::*; use diesel_migrations::x;").is_empty());
    assert!(about("src/desk/mod.rs", "/// Unlike diesel, …\nconst A: &str = \"reqwest\";").is_empty());
}

#[test]
fn a_bad_shape_is_caught() {
    let task = concat!("// TO", "DO: later");
    let owned = concat!("// FIX", "ME(ana): later");
    for (path, code, wrong) in [
        ("src/store/mod.rs", "\n".repeat(500), "lines; 500 are allowed"),
        ("src/web/page.css", "\n".repeat(500), "lines; 500 are allowed"),
        ("src/store/mod.rs", task.to_owned(), "nobody's task"),
        ("src/store/mod.rs", "pub struct LinkManager;".to_owned(), "struct LinkManager says nothing"),
        ("src/store/mod.rs", "pub fn get_link() {}".to_owned(), "fn get_link says nothing"),
        ("src/store/mod.rs", "mod util;".to_owned(), "mod util says nothing"),
        ("src/store/utils.rs", String::new(), "is called util"),
        ("src/spare/mod.rs", String::new(), "the room spare has no layer"),
        ("src/store/a.rs", "use super::super::web;".to_owned(), "says super::super"),
    ] {
        let wrongs = about(path, &code);
        assert!(wrongs.iter().any(|w| w.contains(wrong)), "{path} {wrong}: {wrongs:?}");
    }
    assert!(about("src/store/mod.rs", owned).is_empty());
    let headless = Source { path: "src/store/mod.rs".into(), text: "use crate::base;\n//! Late.\n".into() };
    assert_eq!(complaints(&headless), ["src/store/mod.rs: does not begin with `//!` and its job"]);
}
