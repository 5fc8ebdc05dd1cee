//! The connections to the EHRs, wired from the configuration.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::app::start::Ground;
use crate::base::{Region, minutes};
use crate::config::{self, Config, EhrAuth, SecretIn};
use crate::fhir::{
    AssertionKeys, Auth, ClientProof, EhrClient, EhrConnection, Limits, Origin, OwnTls, Pace, PanelSource,
    SecretCarried, ServiceBase, TokenAuth,
};
use crate::intake::{Panel, PanelList, Seeks};
use crate::sign_in::SignIn;

/// Calls that one EHR's readings may have waiting at the same time.
const CALLS_IN_FLIGHT: u32 = 200;
/// Beyond this a fact counts as unknown.
const GATHER_WAIT_MAX: Duration = minutes(10);

/// The keys by which EHRs know us.
#[must_use]
pub fn sign_in(config: &Config, ground: &Ground) -> SignIn {
    let algorithm = |ehr: &config::Ehr| match &ehr.auth {
        EhrAuth::Token(config::TokenAuth { proof: config::ClientProof::Key(algorithm), .. }) => Some(*algorithm),
        EhrAuth::Token(_) | EhrAuth::None | EhrAuth::Basic { .. } | EhrAuth::Bearer { .. } => None,
    };
    SignIn {
        store: ground.store.clone(),
        clock: ground.clock.clone(),
        vault: ground.vault.clone(),
        algorithms: config.ehrs.iter().filter_map(algorithm).collect(),
        rotate_every: config.rotate_signing_keys,
        looked: tokio::sync::Mutex::default(),
        published: std::sync::Mutex::default(),
    }
}

pub(super) fn all(config: &Config, ground: &Ground, keys: &Arc<SignIn>) -> anyhow::Result<Vec<Arc<EhrClient>>> {
    config
        .ehrs
        .iter()
        .map(|ehr| {
            let base = ServiceBase::new(ehr.base_url.clone())
                .with_context(|| format!("the base_url of EHR '{}' is not an http(s) address", ehr.id))?;
            let usual = Limits::default();
            let limits = Limits {
                connect_timeout: usual.connect_timeout.min(ehr.answer_max),
                read_timeout: usual.read_timeout.min(ehr.answer_max),
                answer_timeout: ehr.answer_max,
                gather_timeout: gather_timeout(usual.gather_timeout, ehr.calls_per_minute),
                attachment_bytes_max: config.limits.attachment_bytes_max,
                inline_bytes_max: usize::try_from(config.limits.inline_bytes_max).unwrap_or(usize::MAX),
                ..usual
            };
            let attachment_origins = ehr.attachment_origins.iter().filter_map(origin).collect();
            let auth = auth(&ehr.auth, ground, keys);
            let connection = EhrConnection { id: ehr.id.clone(), base, auth, attachment_origins, limits };
            let tls = OwnTls { identity: ehr.tls.identity.clone(), authorities: ehr.tls.authorities.clone() };
            let client = EhrClient::with_tls(connection, &tls);
            let client = client.with_context(|| format!("EHR '{}' cannot be used", ehr.id))?;
            let client = client.with_numbers_of(region_of(config, ehr));
            let client = client.at_pace(Pace::new(ground.clock.clone(), ehr.calls_per_minute));
            Ok(Arc::new(client.with_reports_without_attachment(ehr.without_attachment)))
        })
        .collect()
}

/// Where the clinic of an EHR is at home.
fn region_of(config: &Config, ehr: &config::Ehr) -> Option<Region> {
    let clinic = config.clinics.iter().find(|clinic| Some(&clinic.id) == ehr.clinic.as_ref())?;
    clinic.region
}

/// Over whom the EHR is searched.
pub(super) fn seeks(ehr: &config::Ehr) -> Seeks {
    if ehr.panel.is_empty() {
        return Seeks::Everybody;
    }
    let list = |list: &config::PanelList| match list {
        config::PanelList::Group(id) => PanelList::Ehr(PanelSource::Group(id.clone())),
        config::PanelList::Appointments => PanelList::Ehr(PanelSource::Appointments),
        config::PanelList::Orders => PanelList::Ehr(PanelSource::Orders),
        config::PanelList::File(path) => PanelList::File(path.clone()),
    };
    Seeks::Patients(Panel { lists: ehr.panel.iter().map(list).collect(), refresh_every: ehr.panel_refresh_every })
}

/// What is read beside one report may wait for its turn as long as the calls of a whole turn take.
fn gather_timeout(usual: Duration, calls_per_minute: Option<NonZeroU32>) -> Duration {
    let waits = |calls: NonZeroU32| (minutes(1) * CALLS_IN_FLIGHT / calls.get()).min(GATHER_WAIT_MAX);
    usual + calls_per_minute.map_or(Duration::ZERO, waits)
}

fn auth(auth: &EhrAuth, ground: &Ground, keys: &Arc<SignIn>) -> Auth {
    match auth {
        EhrAuth::None => Auth::None,
        EhrAuth::Basic { user, password } => Auth::Basic { user: user.clone(), password: password.clone() },
        EhrAuth::Bearer { token } => Auth::Bearer(token.clone()),
        EhrAuth::Token(token) => Auth::Token(TokenAuth {
            client_id: token.client_id.clone(),
            proof: match &token.proof {
                config::ClientProof::Key(algorithm) => {
                    ClientProof::Assertion { algorithm: *algorithm, keys: Arc::clone(keys) as Arc<dyn AssertionKeys> }
                }
                config::ClientProof::Secret { secret, carried } => ClientProof::Secret {
                    secret: secret.clone(),
                    carried: match carried {
                        SecretIn::Basic => SecretCarried::Header,
                        SecretIn::Post => SecretCarried::Body,
                    },
                },
                config::ClientProof::Certificate => ClientProof::Certificate,
            },
            token_url: token.token_url.clone(),
            scope: token.scope.clone(),
            clock: ground.clock.clone(),
        }),
    }
}

fn origin(origin: &url::Origin) -> Option<Origin> {
    url::Url::parse(&origin.ascii_serialization()).ok().and_then(|url| Origin::of(&url))
}
