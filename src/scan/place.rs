//! Where a scanner listens: a socket of this machine, or a port.

use std::fmt;
use std::path::{Path, PathBuf};

/// Reports go there in plain text, so that it must be this machine or a network that the clinic trusts with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Socket(PathBuf),
    Port { host: String, port: u16 },
}

/// Staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the socket of clamd, such as \"/run/clamav/clamd.ctl\", or its port, such as \"127.0.0.1:3310\" (TCPSocket in clamd.conf)"
)]
pub struct PlaceError;

impl Place {
    /// A path, taken from `base_dir` where it is relative and holds a `/`, or `host:port`.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, PlaceError> {
        let text = text.trim();
        if text.contains('/') {
            return Ok(Self::Socket(base_dir.join(text)));
        }
        let (host, port) = text.rsplit_once(':').ok_or(PlaceError)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b));
        match port.parse() {
            Ok(port) if is_host && port > 0 => Ok(Self::Port { host: host.to_owned(), port }),
            Ok(_) | Err(_) => Err(PlaceError),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Port { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Port { host, port } => write!(f, "{host}:{port}"),
        }
    }
}
