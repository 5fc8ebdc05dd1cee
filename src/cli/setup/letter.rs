//! What the EHR's staff or its vendor are to be told: made to be copied into a ticket.
//!
//! Must stay true: no secret is in it; it says where one is handed over apart.

use url::Url;

use super::draft::{Calls, Draft};
use crate::config::{SCOPE, SCOPE_TO_SUBSCRIBE};
use crate::intake::HOOK_HEADER;

/// `reached_at`: the address at which the EHR reaches this server.
pub(super) fn letter(draft: &Draft, reached_at: &Url) -> String {
    let parts = [
        format!("To whom it may concern at the EHR {}:", draft.base_url),
        "Chartseal delivers final reports to patients as sealed links. To connect it we ask for the following.".to_owned(),
        sign_in(draft, reached_at),
        rights(draft),
        searches(),
        calls(draft, reached_at),
        "Please tell us: how many requests a minute we may make, whom we reach when something fails, and whether a test \
         environment with test patients is there."
            .to_owned(),
    ];
    parts.join("\n\n")
}

fn sign_in(draft: &Draft, reached_at: &Url) -> String {
    let jwks = reached_at.join(".well-known/jwks.json").map_or_else(|_| reached_at.to_string(), String::from);
    let known = match &draft.client_id {
        Some(id) => format!("We have the client id {id}."),
        None => "Please give us a client id.".to_owned(),
    };
    let endpoint =
        "The token endpoint we read from .well-known/smart-configuration; please tell us if it is elsewhere.";
    match draft.auth.as_str() {
        "smart" => format!(
            "Sign-in: SMART Backend Services (grant client_credentials, private_key_jwt, RS384 or ES384). {known}\n\
             Our public keys are at {jwks} (a JWK Set of two keys; please read it anew at least once a day). Where keys are \
             registered by hand, we send them: `chartseal ehrs keys` prints them.\n{endpoint}"
        ),
        "client_secret" => format!(
            "Sign-in: OAuth 2.0, grant client_credentials with a client secret, client_secret_basic or client_secret_post. \
             {known} Please hand over the secret by a safe way, not in this ticket.\n{endpoint}"
        ),
        "client_certificate" => format!(
            "Sign-in: OAuth 2.0, grant client_credentials with our certificate on the connection (RFC 8705). {known} We send \
             our certificate.\n{endpoint}"
        ),
        "basic" => "Sign-in: a user and a password of its own for this program (HTTP Basic). Please hand over the password by a \
                    safe way, not in this ticket."
            .to_owned(),
        "bearer" => "Sign-in: a fixed bearer token for this program. Please hand it over by a safe way, not in this ticket, \
                     and tell us when it ends."
            .to_owned(),
        _ => "Sign-in: none. Please see that only our server reaches the interface.".to_owned(),
    }
}

fn rights(draft: &Draft) -> String {
    let subscribes = match draft.calls() {
        Calls::AskedByUs => Some(("its Subscriptions".to_owned(), SCOPE_TO_SUBSCRIBE.to_owned())),
        Calls::MadeByTheirStaff | Calls::None => None,
    };
    let told = draft.tells.iter().map(|told| {
        (format!("a {} where the clinic wants the EHR to know of a delivery", told.type_name()), told.scope())
    });
    let (writes, scopes): (Vec<String>, Vec<String>) = subscribes.into_iter().chain(told).unzip();
    let usual = std::iter::once(SCOPE.to_owned()).chain(scopes).collect::<Vec<_>>().join(" ");
    let writes = if writes.is_empty() {
        "It writes nothing.".to_owned()
    } else {
        format!("It writes nothing but {}.", writes.join(", "))
    };
    let scope = draft.scope.clone().unwrap_or(usual);
    format!(
        "Rights, as a program without a user: {scope}\n\
         It reads reports, what they are attached to, and the patient's address; rules may look at members, order, encounter, \
         consent. {writes}"
    )
}

fn searches() -> String {
    "Searches: DiagnosticReport and DocumentReference over all patients by _lastUpdated (ge and lt), about once a minute each, \
     also beside calls. Without them reports are lost whenever a call fails."
        .to_owned()
}

fn calls(draft: &Draft, reached_at: &Url) -> String {
    let hook =
        reached_at.join(&format!("fhir/hook/{}", draft.id)).map_or_else(|_| reached_at.to_string(), String::from);
    match draft.calls() {
        Calls::None => "Calls: none. We ask for changes ourselves.".to_owned(),
        Calls::AskedByUs => {
            let what = if draft.subscribe == "r4" {
                "two rest-hook Subscriptions, to DiagnosticReport and to DocumentReference"
            } else {
                "one topic-based rest-hook Subscription, id-only, with a heartbeat of 60 s"
            };
            format!(
                "Calls: we make {what}. Please let your server reach {hook} by POST and PUT. A call is answered within half a \
                 second; 503 asks for it again. Please do not switch a Subscription off without a word to us."
            )
        }
        Calls::MadeByTheirStaff => format!(
            "Calls: please make two rest-hook Subscriptions, with the criteria `DiagnosticReport?` and `DocumentReference?` (no \
             status: what is taken back must be told, too), the endpoint {hook}, the payload application/fhir+json and the \
             header {HOOK_HEADER}. Its value we hand over by a safe way. Please tell of deletes as well, if you can."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(auth: &str, subscribe: &str, hook_secret_file: Option<&str>) -> Draft {
        Draft {
            id: "lab".to_owned(),
            base_url: "https://ehr.test/fhir".to_owned(),
            auth: auth.to_owned(),
            secret_file: Some("secrets/lab".to_owned()),
            subscribe: subscribe.to_owned(),
            hook_secret_file: hook_secret_file.map(str::to_owned),
            ..Draft::default()
        }
    }

    #[test]
    fn event_15_the_letter_asks_for_what_the_settings_need_and_for_nothing_else() {
        let reached_at: Url = "https://hooks.test/a/".parse().unwrap();
        let with = |auth, subscribe, file| letter(&draft(auth, subscribe, file), &reached_at);
        let smart = with("smart", "r4", None);
        for said in [
            "https://hooks.test/a/.well-known/jwks.json",
            "Please give us a client id",
            "system/Subscription.cruds",
            "https://hooks.test/a/fhir/hook/lab",
            "two rest-hook",
            "_lastUpdated",
        ] {
            assert!(smart.contains(said), "{said} is missing: {smart}");
        }
        let off = with("bearer", "off", None);
        assert!(!off.contains("Subscription") && !off.contains("jwks") && off.contains("bearer token"), "{off}");
        let theirs = with("client_secret", "off", Some("secrets/lab-hook"));
        assert!(theirs.contains("X-Chartseal-Hook") && !theirs.contains("Subscription.cruds"), "{theirs}");
        assert!(!theirs.contains("secrets/"), "where our secrets lie is nobody's affair: {theirs}");
        assert!(with("basic", "topic-r4", None).contains("topic-based"));
        assert!(off.contains("It writes nothing.") && smart.contains("nothing but its Subscriptions."), "{smart}");
        let tells = vec![crate::record::Told::AuditEvent, crate::record::Told::Task];
        let told = letter(&Draft { tells, ..draft("bearer", "off", None) }, &reached_at);
        assert!(told.contains("system/AuditEvent.cs system/Task.crus") && told.contains("a Task where"), "{told}");
    }
}
