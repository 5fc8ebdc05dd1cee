//! Whether the EHR lets itself be told of deliveries, as far as it claims that.

use super::Finding;
use crate::fhir::{Claims, Interaction, Release};
use crate::intake::HeardEhr;
use crate::record::Told;

const WRITE_BACK: &str = "write-back";

/// Nothing is written to find out: what the EHR claims is compared with `write_back`.
pub(super) fn write_back(ehr: &HeardEhr, claims: Option<&Claims>) -> Vec<Finding> {
    if ehr.tells.is_empty() {
        return vec![Finding::works(WRITE_BACK, possible(claims))];
    }
    let Some(claims) = claims else {
        let says = "what the EHR takes is not told, so nothing is written: only what it offers is";
        let remedy = "have its staff let /metadata be read, or leave `write_back` out";
        return vec![Finding::fails(WRITE_BACK, says, remedy)];
    };
    ehr.tells.iter().map(|told| of(*told, claims)).collect()
}

fn of(told: Told, claims: &Claims) -> Finding {
    let kind = told.type_name();
    if told == Told::AuditEvent && claims.release == Release::R5 {
        return Finding::fails(
            WRITE_BACK,
            "AuditEvent is written as R4 knows it, and the EHR speaks R5: none is written",
            "take \"audit_event\" out of `write_back`",
        );
    }
    let may = |wanted| claims.of(kind).is_some_and(|all| all.contains(&wanted));
    match (may(Interaction::Create), may(Interaction::Update), told) {
        (false, _, _) => Finding::fails(
            WRITE_BACK,
            format!("the EHR does not offer to create a {kind}: none is written"),
            format!("have its staff switch that on and allow {}, or take it out of `write_back`", told.scope()),
        ),
        (true, false, Told::Communication) => Finding::note(
            WRITE_BACK,
            "a Communication is written; when it was opened is not, for the EHR lets none be changed",
        )
        .with("add \"audit_event\", which tells of openings too"),
        (true, false, Told::Task) => {
            let says =
                "a Task is written; one that was settled here stays open there, for the EHR lets none be changed";
            Finding::note(WRITE_BACK, says).with("have its staff end them by hand, or leave \"task\" out")
        }
        (true, _, _) => {
            let says = format!("the EHR offers to take a {kind}; whether its rights allow it shows at the first one");
            Finding::works(WRITE_BACK, says)
        }
    }
}

fn possible(claims: Option<&Claims>) -> String {
    let may = |told: &Told| {
        claims.and_then(|claims| claims.of(told.type_name())).is_some_and(|all| all.contains(&Interaction::Create))
    };
    let offered: Vec<&str> = Told::ALL.iter().filter(|told| may(told)).map(|told| told.as_str()).collect();
    if offered.is_empty() {
        "nothing is written to the EHR, and it offers nothing of what could be".to_owned()
    } else {
        format!("nothing is written to the EHR; it offers to take: {}", offered.join(", "))
    }
}
