//! What an EHR answers when it goes wrong once.

use std::sync::Arc;

use serde_json::json;

use super::plan::Trigger;
use crate::support::ehr_double::{Act, Asked, EhrDouble, Reply, outcome};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fails.
    HangsUp,
    Status500,
    Busy,
    Denied,
    /// Hangs.
    Silent,
    /// Is cut: nothing or a part of the promised body.
    CutAtOnce,
    Cut,
    /// Lies.
    Html,
    Nothing,
    HalfJson,
    Another,
    OfSomebodyElse,
    NothingFound,
    Older,
    Gone,
}

impl Kind {
    pub const ALL: [Self; 15] = [
        Self::HangsUp,
        Self::Status500,
        Self::Busy,
        Self::Denied,
        Self::Silent,
        Self::CutAtOnce,
        Self::Cut,
        Self::Html,
        Self::Nothing,
        Self::HalfJson,
        Self::Another,
        Self::OfSomebodyElse,
        Self::NothingFound,
        Self::Older,
        Self::Gone,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::HangsUp => "hangs-up",
            Self::Status500 => "500",
            Self::Busy => "503",
            Self::Denied => "401",
            Self::Silent => "hang",
            Self::CutAtOnce => "cut-at-once",
            Self::Cut => "cut",
            Self::Html => "html",
            Self::Nothing => "nothing",
            Self::HalfJson => "half-json",
            Self::Another => "another",
            Self::OfSomebodyElse => "somebody-else",
            Self::NothingFound => "nothing-found",
            Self::Older => "older",
            Self::Gone => "gone",
        }
    }

    fn act(self, asked: &Asked) -> Act {
        let fhir = |text: &str| Act::Answer(Reply::new(200, "application/fhir+json", text));
        match self {
            Self::HangsUp => Act::HangUp,
            Self::Status500 => Act::Answer(Reply::fhir(500, &outcome("exception"))),
            Self::Busy => Act::Answer(Reply::fhir(503, &outcome("transient")).with("Retry-After", "20")),
            Self::Denied => Act::Answer(Reply::fhir(401, &outcome("login"))),
            Self::Silent => Act::Silence,
            Self::CutAtOnce => Act::CutAfter(0),
            Self::Cut => Act::CutAfter(150),
            Self::Html => Act::Answer(Reply::new(200, "text/html", "<form>Log in")),
            Self::Nothing => fhir(""),
            Self::HalfJson => fhir(r#"{"resourceType":"DiagnosticReport","id":"r"#),
            Self::Another => Act::Answer(Reply::fhir(200, &json!({"resourceType": "Observation", "id": "1"}))),
            Self::OfSomebodyElse => Act::Answer(Reply::fhir(200, &of_somebody_else(asked))),
            Self::NothingFound => {
                Act::Answer(Reply::fhir(200, &json!({"resourceType": "Bundle", "type": "searchset", "total": 0})))
            }
            Self::Older => older(asked),
            Self::Gone => Act::Answer(Reply::fhir(404, &outcome("not-found"))),
        }
    }
}

/// At the use that the trigger waits for, the double does as `kind` says.
pub fn arrange(double: &EhrDouble, kind: Kind, trigger: Arc<Trigger>) {
    double.behave(move |asked| {
        let target = asked.target.split('?').next().unwrap_or_default();
        if trigger.pulled(|| format!("{} {target}", asked.method)) { kind.act(asked) } else { Act::AsUsual }
    });
}

/// The type that was asked for, of somebody who has nothing to do with it.
fn of_somebody_else(asked: &Asked) -> serde_json::Value {
    let kind = asked.target.trim_start_matches("/fhir/").split(['/', '?']).next().unwrap_or("Patient");
    json!({
        "resourceType": kind,
        "id": "somebody-else",
        "status": "final",
        "name": [{"family": "Other"}],
        "telecom": [{"system": "email", "value": super::life::SOMEBODY_ELSE}],
    })
}

/// A replica that lags behind: the report as it was when it was first heard of.
fn older(asked: &Asked) -> Act {
    match asked.target.strip_prefix("/fhir/DiagnosticReport/") {
        Some(id) => match super::life::first_version(id) {
            Some(report) => Act::Answer(Reply::fhir(200, &report)),
            None => Act::AsUsual,
        },
        None => Act::AsUsual,
    }
}
