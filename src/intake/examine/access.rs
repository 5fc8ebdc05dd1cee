//! Signing in, what may be read, and how searches are answered.

use super::{Finding, Verdict};
use crate::base::{ResourceType, UtcMillis};
use crate::fhir::{Access, EhrError, Granted, Honoured, Obedience, PanelRead, PatientNeeded, SignedIn};
use crate::intake::listing::{Unlisted, read_list};
use crate::intake::{HeardEhr, Seeks};

const SIGN_IN: &str = "sign-in";
const READING: &str = "reading";
const PANEL: &str = "patient panel";
const NO_FHIR: &str = "see that base_url is the FHIR base itself, and that no login page or proxy stands before it";
/// Without these nothing can be delivered.
const NEEDED: [&str; 4] = ["DiagnosticReport", "DocumentReference", "Patient", "Binary"];
/// What some rules look at.
const LOOKED_AT: [&str; 10] = [
    "Observation",
    "ServiceRequest",
    "Encounter",
    "PractitionerRole",
    "Practitioner",
    "Organization",
    "RelatedPerson",
    "Consent",
    "Account",
    "Coverage",
];

/// Nothing further can be asked.
pub(super) struct ShutOut;

/// Whether the EHR lets us in at all; wrong credentials are told apart from too small rights.
pub(super) async fn sign_in(ehr: &HeardEhr, findings: &mut Vec<Finding>) -> Result<(), ShutOut> {
    let signed_in = match ehr.client.sign_in_now().await {
        Ok(signed_in) => signed_in,
        Err(error) => {
            findings.push(Finding::fault(SIGN_IN, &error));
            return Err(ShutOut);
        }
    };
    let access = ehr.client.may_read(ResourceType::DiagnosticReport.as_str()).await;
    let finding = judge(&signed_in, &access);
    let is_out = finding.verdict == Verdict::Fails;
    findings.push(finding);
    if is_out { Err(ShutOut) } else { Ok(()) }
}

fn judge(signed_in: &SignedIn, access: &Result<Access, EhrError>) -> Finding {
    let access = match access {
        Ok(access) => access,
        Err(error) => return Finding::fault(SIGN_IN, error),
    };
    match (signed_in, access) {
        (SignedIn::Nothing, Access::Unknown) => Finding::fails(
            SIGN_IN,
            "the EHR wants to know who asks (401), and this EHR has no `auth`",
            "ask its staff how programs sign in, and set `auth` and what belongs to it",
        ),
        (SignedIn::WithEachRequest, Access::Unknown) => Finding::fails(
            SIGN_IN,
            "the EHR does not accept the user and password, or the token, that it is shown (401)",
            "compare user and password_file, or token_file, with what its staff gave out; a token may have ended",
        ),
        (SignedIn::Token(_), Access::Unknown) => Finding::fails(
            SIGN_IN,
            "the token endpoint gives a token, and the EHR does not accept it (401)",
            "see that token_url and base_url belong to the same environment (test or live), and show it to the EHR's staff",
        ),
        (SignedIn::Token(Granted::Less { lacking }), Access::Allowed | Access::Forbidden | Access::Unclear) => {
            Finding::note(SIGN_IN, format!("the EHR gives a token, without {}", lacking.join(" ")))
                .with("have its staff allow that, or say in `scope` what Chartseal is to do without")
        }
        (SignedIn::Token(Granted::AsAsked), Access::Allowed | Access::Forbidden) => {
            Finding::works(SIGN_IN, "the EHR gives a token with the scopes that were asked for")
        }
        (SignedIn::WithEachRequest, Access::Allowed | Access::Forbidden) => {
            Finding::works(SIGN_IN, "the EHR accepts what it is shown")
        }
        (SignedIn::Token(Granted::AsAsked), Access::Unclear) => Finding::note(
            SIGN_IN,
            "the token endpoint gives a token; whether the EHR accepts it cannot be told, for what it answers is no FHIR",
        )
        .with(NO_FHIR),
        (SignedIn::WithEachRequest | SignedIn::Nothing, Access::Unclear) => Finding::note(
            SIGN_IN,
            "whether the EHR accepts what it is shown cannot be told, for what it answers is no FHIR",
        )
        .with(NO_FHIR),
        (SignedIn::Nothing, Access::Allowed) => {
            Finding::note(SIGN_IN, "no sign-in is configured, and the EHR asks for none")
                .with("let nobody but this machine reach it, or have it ask who comes")
        }
        (SignedIn::Nothing, Access::Forbidden) => Finding::fails(
            SIGN_IN,
            "the EHR forbids it to strangers (403), and this EHR has no `auth`",
            "ask its staff how programs sign in, and set `auth` and what belongs to it",
        ),
    }
}

/// What may be read, by asking for what is not there.
pub(super) async fn reading(ehr: &HeardEhr) -> Vec<Finding> {
    let (mut forbidden, mut dimmed, mut unclear, mut findings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for kind in NEEDED.into_iter().chain(LOOKED_AT) {
        match ehr.client.may_read(kind).await {
            Ok(Access::Forbidden | Access::Unknown) if NEEDED.contains(&kind) => forbidden.push(kind),
            Ok(Access::Forbidden | Access::Unknown) => dimmed.push(kind),
            Ok(Access::Unclear) => unclear.push(kind),
            Ok(Access::Allowed) => {}
            Err(error) => {
                findings.push(Finding::fault(READING, &error));
                return findings;
            }
        }
    }
    let scopes = |kinds: &[&str]| kinds.iter().map(|kind| format!("system/{kind}.rs")).collect::<Vec<_>>().join(" ");
    let is_unclear = unclear.iter().any(|kind| NEEDED.contains(kind));
    if !unclear.is_empty() {
        let says =
            format!("whether {} may be read cannot be told, for what the EHR answers is no FHIR", unclear.join(", "));
        findings.push(Finding::note(READING, says).with(NO_FHIR));
    }
    if forbidden.is_empty() && is_unclear {
        // Said above.
    } else if forbidden.is_empty() {
        let says = "reports, patients and attachments may be read, as far as asking for what is not there can show it";
        findings.push(Finding::works(READING, says));
    } else {
        findings.push(Finding::fails(
            READING,
            format!(
                "the EHR knows who asks, and forbids {}: rights are lacking, not credentials",
                forbidden.join(", ")
            ),
            format!("have its staff allow {}", scopes(&forbidden)),
        ));
    }
    if !dimmed.is_empty() {
        let says = format!("the EHR forbids {}: a rule that looks there leads to a review", dimmed.join(", "));
        findings.push(Finding::note(READING, says).with(format!("have its staff allow {}", scopes(&dimmed))));
    }
    findings
}

/// `now` by the EHR's own clock, as far as it is known.
pub(super) async fn searching(ehr: &HeardEhr, now: UtcMillis, findings: &mut Vec<Finding>) {
    for kind in ResourceType::ALL {
        let what = match kind {
            ResourceType::DiagnosticReport => "search for DiagnosticReport",
            ResourceType::DocumentReference => "search for DocumentReference",
        };
        findings.extend(match ehr.client.obedience(kind, now).await {
            Ok(obedience) => obeyed(what, &obedience, over(ehr)),
            Err(EhrError::Refused { status: 403 }) => vec![Finding::fails(
                what,
                "the EHR forbids the search (403), also for one patient",
                format!("have its staff allow system/{kind}.s"),
            )],
            Err(error) => vec![Finding::fault(what, &error)],
        });
    }
}

/// Over whom this EHR is searched, as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Everybody,
    Panel,
}

const fn over(ehr: &HeardEhr) -> Over {
    match ehr.seeks {
        Seeks::Everybody => Over::Everybody,
        Seeks::Patients(_) => Over::Panel,
    }
}

/// Whether the lists of patients can be read that this EHR is asked about one by one. Nobody on them is named.
pub(super) async fn panel(ehr: &HeardEhr, now: UtcMillis) -> Vec<Finding> {
    let Seeks::Patients(panel) = &ehr.seeks else { return Vec::new() };
    let mut findings = Vec::new();
    for list in &panel.lists {
        findings.push(match read_list(ehr, list, now).await {
            Ok(PanelRead { named, incomplete: Some(why) }) => {
                let says = format!("{list}: {why}; {} on what it shows", patients(named.len()));
                let remedy = "ask its staff what the answer leaves out: whom no list names is not asked about";
                Finding::fails(PANEL, says, remedy)
            }
            Ok(PanelRead { named, incomplete: None }) if named.is_empty() => {
                Finding::note(PANEL, format!("{list}: nobody is on it"))
                    .with("see that it is the list that was meant; whom no list names is not asked about")
            }
            Ok(PanelRead { named, incomplete: None }) => {
                Finding::works(PANEL, format!("{list}: {} on it", patients(named.len())))
            }
            Err(Unlisted::Ehr(error)) => {
                Finding::told(PANEL, &format!("{list}: {error}"), "have its staff allow that list")
            }
            Err(Unlisted::File(why)) => {
                Finding::fails(PANEL, format!("{list}: {why}"), "mend the file that `panel` names")
            }
        });
    }
    findings
}

fn patients(count: usize) -> String {
    if count == 1 { "1 patient is".to_owned() } else { format!("{count} patients are") }
}

fn obeyed(what: &'static str, obedience: &Obedience, over: Over) -> Vec<Finding> {
    match (obedience.patient, over) {
        (PatientNeeded::Yes { status }, Over::Everybody) => {
            return vec![Finding::fails(
                what,
                format!(
                    "the EHR refuses a search that names no patient (status {status}): polling finds nothing there"
                ),
                "set `panel`, so that it is asked about each patient; or have its staff allow this client searches over all",
            )];
        }
        (PatientNeeded::Yes { status }, Over::Panel) => {
            let says = format!("the EHR wants each search to name a patient (status {status}), as `panel` provides");
            return vec![Finding::works(what, says)];
        }
        (PatientNeeded::No, Over::Everybody | Over::Panel) => {}
    }
    let mut findings = vec![by_time(what, obedience.last_updated)];
    if over == Over::Panel {
        let says = "the EHR answers searches over all patients, and is asked about each patient of a panel";
        findings.push(Finding::note(what, says).with("leave `panel` out: polling is quicker then, and misses nobody"));
    }
    let mut note = |says: &str| findings.push(Finding::note(what, says));
    match obedience.count {
        Honoured::No => note("the EHR ignores _count: it chooses itself how many a page holds"),
        Honoured::Refused { .. } => note("the EHR refuses _count"),
        Honoured::Yes | Honoured::CannotTell => {}
    }
    match obedience.sort {
        Honoured::No | Honoured::Refused { .. } => {
            note("the EHR does not sort by _lastUpdated as asked; Chartseal does not rely on it");
        }
        Honoured::Yes | Honoured::CannotTell => {}
    }
    match obedience.elements {
        Honoured::No => note("the EHR ignores _elements: each search brings whole reports where their ids would do"),
        // The search is then made without it.
        Honoured::Refused { .. } | Honoured::Yes | Honoured::CannotTell => {}
    }
    if obedience.undated > 0 {
        note("the EHR's resources bear no meta.lastUpdated, so its word alone says which are new");
    }
    findings
}

fn by_time(what: &'static str, last_updated: Honoured) -> Finding {
    match last_updated {
        Honoured::Yes => Finding::works(what, "the EHR finds what changed in a stretch of time, over all patients"),
        Honoured::No => Finding::fails(
            what,
            "the EHR ignores _lastUpdated: windows in the past, in the future and long ago do not lead to what lies in them",
            "have its operator switch on searches by _lastUpdated: without them each poll reads everything or misses something",
        ),
        Honoured::CannotTell => Finding::note(
            what,
            "the EHR answers; whether it honours _lastUpdated shows only once it holds such a resource",
        ),
        Honoured::Refused { status } => Finding::fails(
            what,
            format!("the EHR refuses a search by _lastUpdated (status {status})"),
            "have its operator switch on searches by _lastUpdated: polling has nothing else to go by",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_15_wrong_credentials_are_told_apart_from_too_small_rights() {
        let less = Granted::Less { lacking: vec!["system/Patient.rs".to_owned()] };
        for (signed_in, access, verdict, says) in [
            (SignedIn::Nothing, Access::Unknown, Verdict::Fails, "has no `auth`"),
            (SignedIn::Nothing, Access::Allowed, Verdict::Note, "asks for none"),
            (SignedIn::WithEachRequest, Access::Unknown, Verdict::Fails, "does not accept the user"),
            (SignedIn::WithEachRequest, Access::Forbidden, Verdict::Works, "accepts what it is shown"),
            (SignedIn::Token(Granted::AsAsked), Access::Unknown, Verdict::Fails, "does not accept it"),
            (SignedIn::Token(Granted::AsAsked), Access::Forbidden, Verdict::Works, "gives a token"),
            (SignedIn::Token(less), Access::Allowed, Verdict::Note, "without system/Patient.rs"),
            (SignedIn::Nothing, Access::Unclear, Verdict::Note, "cannot be told"),
            (SignedIn::WithEachRequest, Access::Unclear, Verdict::Note, "cannot be told"),
            (
                SignedIn::Token(Granted::AsAsked),
                Access::Unclear,
                Verdict::Note,
                "whether the EHR accepts it cannot be told",
            ),
        ] {
            let found = judge(&signed_in, &Ok(access.clone()));
            assert!(found.verdict == verdict && found.says.contains(says), "{signed_in:?} {access:?}: {found:?}");
            assert!(verdict != Verdict::Fails || found.remedy.is_some());
        }
        let failed = judge(&SignedIn::WithEachRequest, &Err(EhrError::NotFhir));
        assert!(failed.verdict == Verdict::Fails && failed.remedy.unwrap().contains("login page"));
    }

    #[test]
    fn event_15_a_server_that_ignores_what_it_is_asked_is_said_so() {
        let all = |honoured| Obedience {
            patient: PatientNeeded::No,
            last_updated: honoured,
            count: honoured,
            sort: honoured,
            elements: honoured,
            undated: 0,
        };
        let told = |obedience: &Obedience| {
            let found = obeyed("search", obedience, Over::Everybody);
            let fails = found.iter().filter(|one| one.verdict == Verdict::Fails).count();
            (found.len(), fails, found.iter().map(|one| one.says.as_str()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(told(&all(Honoured::Yes)).0, 1);
        let (count, fails, says) = told(&all(Honoured::No));
        assert_eq!((count, fails), (4, 1));
        for word in ["_lastUpdated", "_count", "sort", "_elements"] {
            assert!(says.contains(word), "{says}");
        }
        assert_eq!(told(&all(Honoured::CannotTell)).1, 0);
        assert_eq!(told(&all(Honoured::Refused { status: 400 })).1, 1);
        let (count, fails, says) =
            told(&Obedience { patient: PatientNeeded::Yes { status: 422 }, ..all(Honoured::Yes) });
        assert!((count, fails) == (1, 1) && says.contains("names no patient (status 422)"), "{says}");
        let by_panel = |patient| obeyed("search", &Obedience { patient, ..all(Honoured::Yes) }, Over::Panel);
        let asked = by_panel(PatientNeeded::Yes { status: 400 });
        assert!(asked.len() == 1 && asked[0].verdict == Verdict::Works, "{asked:?}");
        assert!(by_panel(PatientNeeded::No).iter().any(|one| one.says.contains("each patient of a panel")));
        assert!(told(&Obedience { undated: 2, ..all(Honoured::Yes) }).2.contains("meta.lastUpdated"));
    }
}
