//! What the configuration says about the relay, parsed.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use crate::base::SecretText;

/// The port of mail submission (RFC 6409 §3.1), and of submission inside TLS (RFC 8314 §7.3).
const SUBMISSION_PORT: u16 = 587;
const SUBMISSIONS_PORT: u16 = 465;

/// A relay that takes mail for delivery.
pub struct MailRelay {
    pub url: RelayUrl,
    pub login: Option<Login>,
    pub tls: TlsMode,
    /// PEM file of the only certificate authorities to trust for this relay; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// This host's name in EHLO.
    pub hello_name: String,
    /// Most sockets open to the relay at a time.
    pub connections_max: NonZeroU16,
    /// Longest life of one attempt, from connecting to the last answer.
    pub attempt_timeout: Duration,
}

#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: SecretText,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsMode {
    /// `smtps://` from the first byte, `smtp://` by STARTTLS; no mail without a checked certificate.
    Required,
    /// Plain text, to a relay on this machine only.
    None,
}

/// `smtp://host:port` or `smtps://host:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayUrl {
    pub(super) security: Security,
    /// A name, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// When TLS starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Security {
    /// After the greeting, if at all.
    Later,
    AtOnce,
}

/// Why the mail settings cannot be used. All are for the staff who wrote them.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("the mail relay must be written smtp://host:port or smtps://host:port, without user, password or path")]
    Url,
    #[error("mail to another machine needs TLS: set tls to required, or use a relay on this machine")]
    PlainToAnotherMachine,
    #[error("smtps:// is TLS from the first byte: set tls to required, or write smtp://")]
    PlainInsideTls,
    #[error("hello_name must be a host name such as mail.example.org")]
    HelloName,
    #[error("the mail relay's ca_file cannot be read")]
    CaFile(#[source] std::io::Error),
    #[error("the mail relay's ca_file must hold at least one usable certificate in PEM form")]
    CaFileContent,
    #[error("the system's certificate store cannot be used; name the relay's authority in ca_file")]
    CertificateStore,
}

impl RelayUrl {
    /// Ports default to 587 for `smtp` and 465 for `smtps`.
    ///
    /// # Errors
    /// [`RelayError::Url`]; the text is not repeated, as it may hold a password.
    pub fn parse(text: &str) -> Result<Self, RelayError> {
        let url = Url::parse(text).map_err(|_| RelayError::Url)?;
        let (security, port) = match url.scheme() {
            "smtp" => (Security::Later, SUBMISSION_PORT),
            "smtps" => (Security::AtOnce, SUBMISSIONS_PORT),
            _ => return Err(RelayError::Url),
        };
        let bare = url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none();
        // A scheme that WHATWG does not list leaves even an IPv4 address as a name.
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_ascii_lowercase(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(_)) | None => return Err(RelayError::Url),
        };
        if !bare || url.port() == Some(0) {
            return Err(RelayError::Url);
        }
        Ok(Self { security, host, port: url.port().unwrap_or(port) })
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}
