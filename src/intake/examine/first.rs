//! A first look at an EHR that is not configured yet, as a stranger.
//!
//! Must stay true: what is suggested is only a default for a person's answer.

use url::Url;

use super::{Finding, connection};
use crate::base::{EhrId, ResourceType, UtcMillis};
use crate::fhir::{
    Access, Auth, Claims, EhrClient, EhrConnection, Interaction, Limits, Offered, OfferedProof, Release, ServiceBase,
};

/// What a stranger learns, and what follows for the settings, in the words of the configuration.
#[derive(Default)]
pub struct FirstLook {
    pub findings: Vec<Finding>,
    /// `auth`.
    pub auth: Option<&'static str>,
    /// `subscribe`.
    pub subscribe: Option<&'static str>,
    /// `token_url`, once its staff have confirmed it.
    pub token_url: Option<Url>,
}

/// Looks at the EHR behind `base_url`; an address that cannot be one leads to nothing.
pub async fn first_look(id: &EhrId, base_url: &Url, now: UtcMillis) -> FirstLook {
    let mut look = FirstLook::default();
    let Some(client) = stranger(id, base_url) else { return look };
    let reached = client.reach().await;
    look.findings.push(connection::reached(&reached, client.way(), now));
    if reached.is_err() {
        return look;
    }
    match client.claims().await {
        Ok(claims) => {
            look.findings.extend([connection::spoken(None, &claims), connection::claimed(&claims)]);
            look.subscribe = Some(subscribe(&claims));
        }
        Err(error) => look.findings.push(Finding::note("FHIR", format!("what the EHR can do is not told: {error}"))),
    }
    // Some publish how to sign in, and ask nobody to.
    if let Ok(Access::Allowed) = client.may_read(ResourceType::DiagnosticReport.as_str()).await {
        look.auth = Some("none");
        return look;
    }
    // Whatever went wrong here, a person knows it, or asks.
    if let Ok(Some(Offered { proofs, token_url_elsewhere })) = client.sign_in_offered().await {
        look.auth = Some(if proofs.contains(&OfferedProof::Secret) && !proofs.contains(&OfferedProof::Key) {
            "client_secret"
        } else if proofs.contains(&OfferedProof::Certificate) && !proofs.contains(&OfferedProof::Key) {
            "client_certificate"
        } else {
            "smart"
        });
        look.token_url = token_url_elsewhere;
    }
    look
}

fn stranger(id: &EhrId, base_url: &Url) -> Option<EhrClient> {
    let connection = EhrConnection {
        id: id.clone(),
        base: ServiceBase::new(base_url.clone())?,
        auth: Auth::None,
        attachment_origins: Vec::new(),
        limits: Limits::default(),
    };
    EhrClient::new(connection).ok()
}

/// The simplest that it claims to take.
fn subscribe(claims: &Claims) -> &'static str {
    let takes = claims.of("Subscription").is_some_and(|all| all.contains(&Interaction::Create));
    match (&claims.release, takes) {
        (Release::R4b, true) if claims.names_topics => "topic-r4b",
        (Release::R4 | Release::R4b, true) => "r4",
        (Release::R5, true) => "topic-r5",
        (Release::R4 | Release::R4b | Release::R5, false) | (Release::Other(_), _) => "off",
    }
}
