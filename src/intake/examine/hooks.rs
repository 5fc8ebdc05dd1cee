//! The subscriptions that the EHR lists, and the addresses at which this server is to be reached.

use url::Url;

use super::connection::certificate;
use super::{Finding, Verdict};
use crate::base::UtcMillis;
use crate::fhir::{CertificateSeen, Claims, EhrError, Interaction, Knock, OwnAddress, ReachFault, own_address};
use crate::intake::{HeardEhr, Subscribe};

const SUBSCRIPTIONS: &str = "subscriptions";
const HOOK: &str = "hook address";
const PATIENT: &str = "patients' address";
/// Nobody answers a GET of a hook but with this.
const METHOD_NOT_ALLOWED: u16 = 405;
const TEXTS: &str = "gateway's calls";
const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;

/// Whether the EHR can be asked for subscriptions.
pub(super) async fn subscriptions(ehr: &HeardEhr, claims: Option<&Claims>) -> Option<Finding> {
    let hook = ehr.hook.as_ref()?;
    let is_wanted = is_wanted(ehr);
    let finding = match ehr.client.subscriptions_listed(&hook.endpoint).await {
        Ok(0) => Finding::works(SUBSCRIPTIONS, "the EHR lists Subscriptions, none to this server's address"),
        Ok(count) => Finding::works(SUBSCRIPTIONS, format!("the EHR lists {count} to this server's address")),
        Err(EhrError::Refused { status }) => Finding::fails(
            SUBSCRIPTIONS,
            format!("the EHR forbids this client to look at Subscriptions (status {status})"),
            "have its staff allow system/Subscription.cruds; or have them make the Subscription, and set subscribe = \"off\"",
        ),
        Err(EhrError::Rejected { status } | EhrError::Server { status: status @ 501 }) => Finding::fails(
            SUBSCRIPTIONS,
            format!("the EHR knows no Subscriptions, or not this search for them (status {status})"),
            "set subscribe = \"off\": polling finds everything without them",
        ),
        Err(error) => Finding::fault(SUBSCRIPTIONS, &error),
    };
    let claims_none =
        claims.is_some_and(|claims| !claims.of("Subscription").is_some_and(|all| all.contains(&Interaction::Create)));
    Some(match (is_wanted, finding.verdict) {
        // Nobody will ask.
        (Wanted::No, Verdict::Fails) => Finding { verdict: Verdict::Note, ..finding },
        (Wanted::Yes, Verdict::Works) if claims_none => Finding { verdict: Verdict::Note, ..finding }
            .with("it does not claim that it makes any: --round-trip shows it"),
        (Wanted::Yes | Wanted::No, _) => finding,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

fn is_wanted(ehr: &HeardEhr) -> Wanted {
    match ehr.hook.as_ref().map(|hook| &hook.subscribe) {
        Some(Subscribe::R4 | Subscribe::Topic(_)) => Wanted::Yes,
        Some(Subscribe::Off) | None => Wanted::No,
    }
}

/// Whether the hook's address leads to this program, seen from here. To which installation of it, only a call that it keeps
/// would show.
pub(super) async fn address(ehr: &HeardEhr, now: UtcMillis) -> Option<Finding> {
    let hook = ehr.hook.as_ref()?;
    let finding = match own_address(&hook.endpoint, Knock::Get).await {
        Ok(OwnAddress { status: METHOD_NOT_ALLOWED, is_ours: true, certificate }) => {
            answered(HOOK, "the hook's address leads to a running Chartseal", certificate, now)
        }
        other => elsewhere(HOOK, &other, "hook_url"),
    };
    Some(match (is_wanted(ehr), finding.verdict) {
        (Wanted::No, Verdict::Fails) => Finding { verdict: Verdict::Note, ..finding },
        (Wanted::Yes | Wanted::No, _) => finding,
    })
}

/// Whether patients' links lead to this program, seen from here.
pub async fn patient_address(patient_url: &Url, now: UtcMillis) -> Finding {
    let page = patient_url.join("robots.txt").unwrap_or_else(|_| patient_url.clone());
    match own_address(&page, Knock::Get).await {
        Ok(OwnAddress { status: 200, is_ours: true, certificate }) => {
            answered(PATIENT, "patients' links lead to a running Chartseal", certificate, now)
        }
        other => elsewhere(PATIENT, &other, "patient_url"),
    }
}

/// Whether a text gateway's calls come to this program, seen from here. `url` is an address as it calls them, of a text that there
/// never was: what proves nothing must be refused there.
pub async fn text_address(url: &Url, knock: Knock, now: UtcMillis) -> Finding {
    match own_address(url, knock).await {
        Ok(OwnAddress { status: FORBIDDEN, is_ours: true, certificate }) => {
            let says = "the gateway's calls come to a running Chartseal, which refuses what the gateway did not sign";
            answered(TEXTS, says, certificate, now)
        }
        Ok(OwnAddress { status: NOT_FOUND, is_ours: true, .. }) => Finding::fails(
            TEXTS,
            "the address leads to a Chartseal that sends no texts",
            "restart the service, which has not read [sms] yet; or compare [sms] public_url with where this one runs",
        ),
        other => elsewhere(TEXTS, &other, "[sms] public_url"),
    }
}

fn answered(what: &'static str, says: &str, seen: CertificateSeen, now: UtcMillis) -> Finding {
    match seen {
        CertificateSeen::EndsAt(at) => certificate(what, says, at, now),
        CertificateSeen::None | CertificateSeen::Unread => Finding::works(what, says),
    }
}

fn elsewhere(what: &'static str, answer: &Result<OwnAddress, ReachFault>, key: &str) -> Finding {
    match answer {
        Ok(OwnAddress { is_ours: true, status, .. }) => Finding::fails(
            what,
            format!("the address leads to a Chartseal that does not know what it is asked for (status {status})"),
            format!("compare {key} with the paths that the proxy passes on; restart the service after a change here"),
        ),
        Ok(OwnAddress { is_ours: false, status, .. }) => Finding::fails(
            what,
            format!(
                "something else answers at the address, or a proxy takes this program's headers away (status {status})"
            ),
            format!("compare {key} with the proxy's settings"),
        ),
        Err(ReachFault::Closed) => Finding::fails(
            what,
            "nobody listens at the address",
            format!("start the service; if it runs, compare {key} with `listen` and the proxy's settings"),
        ),
        Err(fault) => Finding::fails(
            what,
            format!("the address is not reached from here: {fault}"),
            format!("{}; compare {key}. From outside it may look otherwise", fault.remedy()),
        ),
    }
}
