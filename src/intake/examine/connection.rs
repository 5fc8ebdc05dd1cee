//! The way to the EHR, its clock, and what it says of itself.

use std::time::Duration;

use super::Finding;
use crate::base::{ResourceType, UtcMillis, hours, seconds};
use crate::fhir::{CertificateSeen, Claims, EhrError, Interaction, ReachFault, Reached, Release, TopicForm, Way};
use crate::intake::{HeardEhr, Subscribe};
use crate::store::CLOCK_OFF_MAX;

/// An operator needs some days for a new certificate.
const CERTIFICATE_LEFT_MIN: Duration = hours(14 * 24);
/// HTTP tells the time in whole seconds, and an answer takes its time: less than this says nothing.
const CLOCK_BLUR: Duration = seconds(2);
/// From here on assertions of ours may be taken for too old or too new.
const CLOCK_NEAR: Duration = seconds(30);

const CONNECTION: &str = "connection";
const CLOCK: &str = "clock";
const FHIR: &str = "FHIR";

pub(super) fn reached(reached: &Result<Reached, ReachFault>, way: Way, now: UtcMillis) -> Finding {
    let reached = match reached {
        Ok(reached) => reached,
        Err(fault) => return Finding::fails(CONNECTION, format!("the EHR is not reached: {fault}"), fault.remedy()),
    };
    let answers = format!("the EHR answers in {} ms", reached.took.as_millis());
    if (300..400).contains(&reached.status) {
        return Finding::fails(
            CONNECTION,
            format!("{answers}, but with a redirect, which is not followed (status {})", reached.status),
            "set base_url to the address that it leads to, if the EHR's staff confirm that one",
        );
    }
    match (reached.certificate, way) {
        (CertificateSeen::EndsAt(at), _) => certificate(CONNECTION, &answers, at, now),
        (CertificateSeen::Unread, _) => {
            Finding::note(CONNECTION, format!("{answers}; when its certificate ends cannot be read"))
        }
        (CertificateSeen::None, Way::Open) => Finding::note(
            CONNECTION,
            format!("{answers}, unencrypted: whoever is on the way reads and changes what patients get"),
        )
        .with("have the EHR's operator offer https, and set base_url to it"),
        (CertificateSeen::None, Way::Encrypted | Way::Local) => Finding::works(CONNECTION, answers),
    }
}

/// What follows from the end of a certificate.
pub(super) fn certificate(what: &'static str, answers: &str, ends_at: UtcMillis, now: UtcMillis) -> Finding {
    const DAY_SECONDS: u64 = 86_400;
    let left = ends_at.since(now);
    let says = format!("{answers}; its certificate is good for {} more days", left.as_secs() / DAY_SECONDS);
    if left < CERTIFICATE_LEFT_MIN {
        Finding::note(what, says).with("see that it is renewed in time: nothing is heard or read once it has ended")
    } else {
        Finding::works(what, says)
    }
}

pub(super) fn clock(theirs: Option<UtcMillis>, ours: UtcMillis) -> Finding {
    let Some(theirs) = theirs else {
        return Finding::note(CLOCK, "the EHR does not say what time it has: how far its clock is off cannot be told");
    };
    let off_ms = theirs.0.saturating_sub(ours.0);
    let (off, side) = (Duration::from_millis(off_ms.unsigned_abs()), if off_ms < 0 { "behind" } else { "ahead of" });
    if off <= CLOCK_BLUR {
        return Finding::works(CLOCK, "the EHR's clock and ours agree");
    }
    let says = format!("the EHR's clock is {} s {side} ours", off.as_secs());
    let remedy = "have both machines follow a time server; ours is the database's";
    if off > CLOCK_OFF_MAX {
        Finding::fails(CLOCK, says, remedy)
    } else if off > CLOCK_NEAR {
        Finding::note(CLOCK, format!("{says}: signing in with a key may be refused because of it")).with(remedy)
    } else {
        Finding::works(CLOCK, says)
    }
}

/// Reads what the EHR claims; `None` where that cannot be read.
pub(super) async fn claims(ehr: &HeardEhr, findings: &mut Vec<Finding>) -> Option<Claims> {
    match ehr.client.claims().await {
        Ok(claims) => {
            findings.push(release(ehr, &claims));
            findings.push(claimed(&claims));
            Some(claims)
        }
        // Some keep it to those who sign in; whether that is the fault shows below.
        Err(error @ EhrError::Refused { .. }) => {
            findings.push(Finding::note(FHIR, format!("what the EHR can do is not told: {error}")));
            None
        }
        Err(EhrError::Malformed(_)) => {
            findings.push(Finding::fails(
                FHIR,
                "what the EHR answers at /metadata is no CapabilityStatement",
                "compare base_url with the FHIR base that its staff name",
            ));
            None
        }
        Err(error) => {
            findings.push(Finding::fault(FHIR, &error));
            None
        }
    }
}

fn release(ehr: &HeardEhr, claims: &Claims) -> Finding {
    let form = ehr.hook.as_ref().and_then(|hook| match &hook.subscribe {
        Subscribe::Topic(settings) => Some(settings.form),
        Subscribe::R4 | Subscribe::Off => None,
    });
    spoken(form, claims)
}

/// Whether the EHR's release is one that is read here, and fits the form in which topics are asked for.
pub(super) fn spoken(form: Option<TopicForm>, claims: &Claims) -> Finding {
    let software = if claims.software.is_empty() { String::new() } else { format!(", {}", claims.software) };
    let name = match &claims.release {
        Release::R4 => "R4",
        Release::R4b => "R4B",
        Release::R5 => "R5",
        Release::Other(version) => {
            let version = if version.is_empty() { "no release" } else { version.as_str() };
            return Finding::fails(
                FHIR,
                format!("the EHR says that it speaks {version}{software}"),
                "ask its staff for the address of its R4 interface, and set base_url to that",
            );
        }
    };
    let says = format!("the EHR speaks {name}{software}");
    match (form, &claims.release) {
        (Some(TopicForm::Native), Release::R4) => {
            Finding::fails(FHIR, format!("{says}, and `subscribe` is \"topic-r5\""), "set subscribe = \"topic-r4\"")
        }
        (Some(TopicForm::Native), Release::R4b) => {
            Finding::fails(FHIR, format!("{says}, and `subscribe` is \"topic-r5\""), "set subscribe = \"topic-r4b\"")
        }
        (Some(TopicForm::Backport), Release::R5) => {
            Finding::fails(FHIR, format!("{says}, and `subscribe` is for R4"), "set subscribe = \"topic-r5\"")
        }
        (None, Release::R5) => Finding::note(
            FHIR,
            format!("{says}; its reports are read as R4's, and what R5 calls otherwise is not seen"),
        )
        .with("use its R4 interface, if it has one"),
        (_, _) => Finding::works(FHIR, says),
    }
}

pub(super) fn claimed(claims: &Claims) -> Finding {
    const WHAT: &str = "claims";
    let words = |kind: &str| {
        let all = claims.of(kind).map(|all| all.iter().map(|one| one.word()).collect::<Vec<_>>().join(", "));
        all.filter(|all| !all.is_empty()).unwrap_or_else(|| "nothing".to_owned())
    };
    let reports: Vec<String> =
        ResourceType::ALL.iter().map(|kind| format!("{kind}: {}", words(kind.as_str()))).collect();
    let topics = if claims.names_topics { ", topics" } else { "" };
    let says = format!("it claims {}; Subscription: {}{topics}", reports.join("; "), words("Subscription"));
    let lacks = ResourceType::ALL.iter().any(|kind| {
        let all = claims.of(kind.as_str());
        ![Interaction::Read, Interaction::Search].iter().all(|one| all.is_some_and(|all| all.contains(one)))
    });
    if lacks {
        Finding::note(WHAT, says).with("a claim proves nothing, nor does a missing one: see below what it does")
    } else {
        Finding::works(WHAT, says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::minutes;
    use crate::fhir::CertificateFault;
    use crate::intake::examine::Verdict;

    const NOW: UtcMillis = UtcMillis(1_795_212_000_000);

    #[test]
    fn event_15_clocks_are_told_apart_by_how_far_they_are_off() {
        for (off_seconds, verdict, says) in [
            (0, Verdict::Works, "agree"),
            (-2, Verdict::Works, "agree"),
            (20, Verdict::Works, "20 s ahead of"),
            (-120, Verdict::Note, "120 s behind"),
            (301, Verdict::Fails, "301 s ahead of"),
            (-7200, Verdict::Fails, "7200 s behind"),
        ] {
            let found = clock(Some(UtcMillis(NOW.0 + off_seconds * 1000)), NOW);
            assert!(found.verdict == verdict && found.says.contains(says), "{off_seconds}: {found:?}");
            assert_eq!(found.remedy.is_some(), verdict != Verdict::Works);
        }
        assert_eq!(clock(None, NOW).verdict, Verdict::Note);
    }

    #[test]
    fn event_15_a_certificate_is_told_before_it_ends() {
        for (left, verdict, says) in [
            (hours(24 * 60), Verdict::Works, "60 more days"),
            (hours(24 * 13), Verdict::Note, "13 more days"),
            (minutes(5), Verdict::Note, "0 more days"),
        ] {
            let found = certificate(CONNECTION, "it answers", NOW.plus(left), NOW);
            assert!(found.verdict == verdict && found.says.contains(says), "{found:?}");
        }
        let ended = reached(&Err(ReachFault::Certificate(CertificateFault::Ended)), Way::Encrypted, NOW);
        assert!(ended.verdict == Verdict::Fails && ended.remedy.is_some(), "{ended:?}");
    }
}
