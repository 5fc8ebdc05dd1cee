//! What opens an EHR: nothing, a fixed header, or a token that is asked for.

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Request, Response, StatusCode};

use super::client::Limits;
use super::error::EhrError;
use super::service::ServiceBase;
use super::sign_in::{AfterRefusal, Granted, SignIn, TokenAuth, sensitive};
use super::transport;
use crate::base::SecretText;

/// How Chartseal shows an EHR who it is.
pub enum Auth {
    None,
    /// RFC 7617.
    Basic {
        user: String,
        password: SecretText,
    },
    /// RFC 6750.
    Bearer(SecretText),
    /// RFC 6749, as SMART Backend Services asks.
    Token(TokenAuth),
}

/// What a connection needs beside the system's certificates; PEM.
#[derive(Default)]
pub struct OwnTls {
    /// Our certificate with its chain, and its key: shown to the EHR and its token endpoint, and to nobody else.
    pub identity: Option<SecretText>,
    /// Authorities that are trusted beside the system's.
    pub authorities: Option<String>,
}

/// What signing in gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedIn {
    /// No way to sign in is configured.
    Nothing,
    /// What is shown goes along with each request: whether it is taken shows there.
    WithEachRequest,
    Token(Granted),
}

pub(super) enum Door {
    Open,
    Fixed(HeaderValue),
    Token(Arc<SignIn>),
}

impl Door {
    pub(super) fn new(auth: Auth, base: &ServiceBase, http: &Client, limits: &Limits) -> Result<Self, EhrError> {
        use base64::Engine as _;
        let text = match auth {
            Auth::None => return Ok(Self::Open),
            Auth::Token(auth) => {
                return Ok(Self::Token(Arc::new(SignIn::new(auth, base.clone(), http.clone(), limits))));
            }
            Auth::Basic { user, .. } if user.contains(':') => {
                return Err(EhrError::Settings { why: "a Basic user name cannot hold a colon" });
            }
            Auth::Basic { user, password } => {
                let pair = zeroize::Zeroizing::new(format!("{user}:{}", password.expose()));
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()))
            }
            Auth::Bearer(token) => format!("Bearer {}", token.expose()),
        };
        Ok(Self::Fixed(sensitive(&zeroize::Zeroizing::new(text))?))
    }

    /// Sends to the EHR's own origin, which the caller has made sure of.
    pub(super) async fn send(&self, http: &Client, mut request: Request) -> Result<Response, EhrError> {
        let sign_in = match self {
            Self::Open => return transport::execute(http, request).await,
            Self::Fixed(header) => {
                request.headers_mut().insert(AUTHORIZATION, header.clone());
                return transport::execute(http, request).await;
            }
            Self::Token(sign_in) => sign_in,
        };
        let header = sign_in.header().await?;
        let again = request.try_clone();
        request.headers_mut().insert(AUTHORIZATION, header.clone());
        let response = transport::execute(http, request).await?;
        let Some(mut again) = again.filter(|_| response.status() == StatusCode::UNAUTHORIZED) else {
            return Ok(response);
        };
        match sign_in.refused(&header) {
            AfterRefusal::InVain => Ok(response),
            AfterRefusal::TryAgain => {
                drop(response);
                again.headers_mut().insert(AUTHORIZATION, sign_in.header().await?);
                transport::execute(http, again).await
            }
        }
    }

    /// Signs in now, where that is done apart from the requests themselves.
    pub(super) async fn sign_in(&self) -> Result<SignedIn, EhrError> {
        match self {
            Self::Open => Ok(SignedIn::Nothing),
            Self::Fixed(_) => Ok(SignedIn::WithEachRequest),
            Self::Token(sign_in) => {
                sign_in.header().await?;
                Ok(SignedIn::Token(sign_in.news().unwrap_or(Granted::AsAsked)))
            }
        }
    }

    pub(super) fn granted_news(&self) -> Option<Granted> {
        match self {
            Self::Open | Self::Fixed(_) => None,
            Self::Token(sign_in) => sign_in.news(),
        }
    }

    pub(super) fn granted_noted(&self, granted: &Granted) {
        match self {
            Self::Open | Self::Fixed(_) => {}
            Self::Token(sign_in) => sign_in.told(granted),
        }
    }
}
