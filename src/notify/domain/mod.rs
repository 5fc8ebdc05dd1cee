//! What the world can learn of the domain that messages come from.
//!
//! Job: ask DNS for SPF, DKIM and DMARC, and say what receivers will make of it.
//! Must stay true: a name server that cannot be asked is never taken for one that knows of nothing.
//! Must not know: who is written to.

mod records;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use crate::base::seconds;
pub use records::{DkimKey, Dmarc, Others, SPF_LOOKUPS_MAX, Spf, are_aligned, dkim_key, dmarc, spf};

/// For one question.
const WAIT_MAX: Duration = seconds(5);
const TRIES: usize = 2;

/// Asks name servers.
pub struct NameServer {
    resolver: TokioResolver,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Those of this machine's `/etc/resolv.conf`.
    System,
    /// This one: inside a clinic the own ones may say something else than the world hears.
    This(SocketAddr),
}

/// Outside, or staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsFault {
    #[error("this machine's name servers are not known (/etc/resolv.conf)")]
    NoServers,
    #[error("no name server answers")]
    NoAnswer,
    #[error("that is no domain name")]
    NoName,
}

impl NameServer {
    /// # Errors
    /// [`DnsFault::NoServers`].
    pub fn new(asked: Asked) -> Result<Self, DnsFault> {
        let builder = match asked {
            Asked::System => TokioResolver::builder_tokio().map_err(|_| DnsFault::NoServers)?,
            Asked::This(address) => TokioResolver::builder_with_config(only(address), TokioRuntimeProvider::default()),
        };
        let mut options = ResolverOpts::default();
        (options.timeout, options.attempts) = (WAIT_MAX, TRIES);
        let resolver = builder.with_options(options).build().map_err(|_| DnsFault::NoServers)?;
        Ok(Self { resolver })
    }

    /// The TXT records of a name, each put together from its parts (RFC 7208 §3.3); none where there are none.
    ///
    /// # Errors
    /// [`DnsFault`].
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, DnsFault> {
        // From the root: the machine's own domain is never tried behind it.
        let name = format!("{}.", name.trim_end_matches('.'));
        let found = match self.resolver.txt_lookup(name).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(_) => return Err(DnsFault::NoAnswer),
        };
        let text = |data: &RData| {
            let RData::TXT(text) = data else { return None };
            let whole: Vec<u8> = text.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
            Some(String::from_utf8_lossy(&whole).into_owned())
        };
        Ok(found.answers().iter().filter_map(|record| text(&record.data)).collect())
    }
}

fn only(address: SocketAddr) -> ResolverConfig {
    let (ip, port): (IpAddr, u16) = (address.ip(), address.port());
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = port;
    }
    ResolverConfig::from_parts(None, Vec::new(), vec![NameServerConfig::new(ip, true, connections)])
}
