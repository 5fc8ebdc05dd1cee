//! Which addresses Chartseal is willing to fetch from (server-side request forgery).
//!
//! Must stay true: an attachment's URL is data from outside. Only the EHR's own origin and the origins that the
//! clinic lists are followed; a listed name that resolves to the inside of a network is refused unless the EHR
//! itself lives there; link-local addresses (cloud metadata) never.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::error::EhrError;
use super::service::ServiceBase;

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: Host<String>,
    port: u16,
}

impl Origin {
    /// `None` for anything but http and https.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Self { scheme: url.scheme().to_owned(), host: url.host()?.to_owned(), port: url.port_or_known_default()? })
    }
}

/// Where a permitted URL lies, and so whether the token may go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ehr,
    Listed,
}

/// Where the EHR itself lives.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Home {
    Public,
    Inside,
    /// A name: looked up when it matters.
    Named(String, u16),
}

#[derive(Clone)]
pub(super) struct Guard {
    base: Origin,
    listed: Vec<Origin>,
    home: Home,
}

impl Guard {
    pub(super) fn new(base: &ServiceBase, listed: Vec<Origin>) -> Result<Self, EhrError> {
        let base = Origin::of(base.url()).ok_or(EhrError::Settings { why: "the FHIR base is not http or https" })?;
        let home = match &base.host {
            Host::Domain(name) => Home::Named(name.clone(), base.port),
            Host::Ipv4(ip) => Home::of((*ip).into()),
            Host::Ipv6(ip) => Home::of((*ip).into()),
        };
        Ok(Self { base, listed, home })
    }

    /// Judges `url` before any connection; names are judged again when they are resolved.
    pub(super) fn place(&self, url: &Url) -> Result<Place, EhrError> {
        let forbidden = |why| EhrError::ForbiddenUrl { why };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(forbidden("it carries a user name"));
        }
        let origin = Origin::of(url).ok_or_else(|| forbidden("it is neither http nor https"))?;
        if origin == self.base {
            return Ok(Place::Ehr);
        }
        if !self.listed.contains(&origin) {
            return Err(forbidden("its server is neither the EHR nor one of attachment_origins"));
        }
        let literal = match origin.host {
            Host::Domain(_) => return Ok(Place::Listed),
            Host::Ipv4(ip) => IpAddr::from(ip),
            Host::Ipv6(ip) => IpAddr::from(ip),
        };
        // A literal beside an EHR that is known by name is refused: nobody can tell here where that name leads.
        match (reach(literal), &self.home) {
            (Reach::Public, _) | (Reach::Inside, Home::Inside) => Ok(Place::Listed),
            (Reach::Inside, Home::Public | Home::Named(..)) => Err(forbidden("it leads into a private network")),
            (Reach::Never, _) => Err(forbidden("it leads to a link-local or reserved address")),
        }
    }

    /// True when the URL has the EHR's own origin.
    pub(super) fn is_ehr(&self, url: &Url) -> bool {
        Origin::of(url).as_ref() == Some(&self.base)
    }
}

impl Home {
    fn of(ip: IpAddr) -> Self {
        match reach(ip) {
            Reach::Public => Self::Public,
            Reach::Inside | Reach::Never => Self::Inside,
        }
    }

    async fn is_inside(&self) -> bool {
        match self {
            Self::Public => false,
            Self::Inside => true,
            Self::Named(name, port) => match tokio::net::lookup_host((name.as_str(), *port)).await {
                Ok(mut found) => found.any(|address| reach(address.ip()) == Reach::Inside),
                Err(_) => false,
            },
        }
    }
}

/// Resolves listed names and drops the addresses that must not be reached. The connection is made to the
/// addresses judged here, so a name cannot be swapped afterwards.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let home = Arc::new(self.home.clone());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut allowed = Vec::with_capacity(found.len());
            let mut inside = None;
            for address in found {
                match reach(address.ip()) {
                    Reach::Public => allowed.push(address),
                    Reach::Inside => {
                        let known = match inside {
                            Some(known) => known,
                            None => home.is_inside().await,
                        };
                        inside = Some(known);
                        if known {
                            allowed.push(address);
                        }
                    }
                    Reach::Never => {}
                }
            }
            if allowed.is_empty() {
                return Err(Box::new(io::Error::from(io::ErrorKind::PermissionDenied)) as _);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    /// Loopback and private networks.
    Inside,
    /// Link-local (169.254.169.254), unspecified, multicast, broadcast, reserved.
    Never,
}

fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => match embedded_v4(ip) {
            Some(v4) => reach_v4(v4),
            None => reach_v6(ip),
        },
    }
}

/// IANA IPv4 Special-Purpose Address Registry.
fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, c, _] = ip.octets();
    if ip.is_link_local() || ip.is_multicast() || a == 0 || a >= 240 || ip == Ipv4Addr::new(100, 100, 100, 200) {
        Reach::Never
    } else if ip.is_private()
        || ip.is_loopback()
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19))
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
    {
        Reach::Inside
    } else {
        Reach::Public
    }
}

/// IANA IPv6 Special-Purpose Address Registry: only `2000::/3` is public.
fn reach_v6(ip: Ipv6Addr) -> Reach {
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    // 2001::/23 is IETF protocol space (Teredo and the like), 2001:db8::/32 documentation.
    let public = match ip.segments() {
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [first, ..] => first & 0xe000 == 0x2000,
    };
    if ip.is_multicast() || ip.is_unspecified() || ip.is_unicast_link_local() || ip == METADATA {
        Reach::Never
    } else if public {
        Reach::Public
    } else {
        Reach::Inside
    }
}

/// The IPv4 address inside a mapped, NAT64 or 6to4 address.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = ip.octets();
    let four = |start: usize| -> Option<Ipv4Addr> {
        let four: [u8; 4] = octets.get(start..start + 4)?.try_into().ok()?;
        Some(four.into())
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => four(12),
        [0x2002, ..] => four(2),
        [..] => None,
    }
}

#[cfg(test)]
#[path = "tests/guard.rs"]
mod tests;
