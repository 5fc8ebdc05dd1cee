//! How often one network may ask, in memory that does not grow with the number of askers.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use actix_web::HttpRequest;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use ipnet::IpNet;

/// Requests of one network. A visit makes about six; a clinic's waiting room shares one address. For calls of hooks that
/// have proved nothing it is the same: see [`super::unproven`].
const PER_NETWORK_PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).unwrap();
const PER_NETWORK_BURST: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// References that one network may ask about: a family, or a waiting room with one poster. There are a million million.
const REFERENCES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6).unwrap();
const REFERENCES_BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// Answers to what links ask, and wishes for codes, of one network: a waiting room of people who mistype.
const ANSWERS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();
const ANSWERS_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Networks are spread over so many counters by a hash that no stranger can foresee. Two may share one: the limit is
/// generous enough for that, and the memory is bounded whatever comes.
const COUNTERS: u64 = 65_536;
/// Addresses of `X-Forwarded-For` that are looked at, from the right.
const FORWARDED_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Fine,
    TooFast,
}

/// Who asks, as far as a network can be told.
pub(super) struct Networks {
    trusted_proxies: Vec<IpNet>,
}

impl Networks {
    pub(super) const fn behind(trusted_proxies: Vec<IpNet>) -> Self {
        Self { trusted_proxies }
    }

    /// The network that `request` came from.
    pub(super) fn of(&self, request: &HttpRequest) -> IpAddr {
        let forwarded = request.headers().get_all("X-Forwarded-For").filter_map(|value| value.to_str().ok());
        let forwarded: Vec<&str> = forwarded.flat_map(|list| list.split(',')).collect();
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        network_of(client(peer, &forwarded, &self.trusted_proxies))
    }
}

pub(super) struct PerNetwork<C: Clock = DefaultClock> {
    counters: RateLimiter<u64, HashMapStateStore<u64>, C, NoOpMiddleware<C::Instant>>,
    spread: RandomState,
}

impl<C: Clock> PerNetwork<C> {
    pub(super) fn new(clock: C) -> Self {
        Self::with(Quota::per_minute(PER_NETWORK_PER_MINUTE).allow_burst(PER_NETWORK_BURST), clock)
    }

    pub(super) fn of_references(clock: C) -> Self {
        Self::with(Quota::per_minute(REFERENCES_PER_MINUTE).allow_burst(REFERENCES_BURST), clock)
    }

    pub(super) fn of_answers(clock: C) -> Self {
        Self::with(Quota::per_minute(ANSWERS_PER_MINUTE).allow_burst(ANSWERS_BURST), clock)
    }

    fn with(quota: Quota, clock: C) -> Self {
        Self { counters: RateLimiter::new(quota, HashMapStateStore::default(), clock), spread: RandomState::new() }
    }

    pub(super) fn admit(&self, network: IpAddr) -> Pace {
        let counter = self.spread.hash_one(network) % COUNTERS;
        match self.counters.check_key(&counter) {
            Ok(()) => Pace::Fine,
            Err(_) => Pace::TooFast,
        }
    }
}

/// The rightmost address that is not one of our proxies: everything left of it is the sender's own word.
fn client(peer: IpAddr, forwarded: &[&str], trusted: &[IpNet]) -> IpAddr {
    let is_ours = |ip: &IpAddr| trusted.iter().any(|network| network.contains(&ip.to_canonical()));
    let mut last = peer;
    for entry in forwarded.iter().rev().take(FORWARDED_MAX) {
        if !is_ours(&last) {
            break;
        }
        // What cannot be read was written by no proxy of ours.
        let Some(ip) = parse(entry.trim()) else { break };
        last = ip;
    }
    last.to_canonical()
}

/// Some proxies append the port.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').split(']').next().unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

/// One household or phone has a whole /64.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::base::seconds;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_may_burst_and_then_waits() {
        let clock = FakeRelativeClock::default();
        let limit = PerNetwork::new(clock.clone());
        let fine = (0..100).filter(|_| limit.admit(ip("192.0.2.1")) == Pace::Fine).count();
        assert_eq!(fine, 60);
        clock.advance(seconds(1));
        let fine = (0..100).filter(|_| limit.admit(ip("192.0.2.1")) == Pace::Fine).count();
        assert_eq!(fine, 2);
    }

    #[test]
    fn many_networks_cannot_fill_the_memory() {
        let limit = PerNetwork::new(FakeRelativeClock::default());
        for n in 0..200_000_u32 {
            let _ = limit.admit(IpAddr::V4(Ipv4Addr::from_bits(n)));
        }
        assert!(limit.counters.len() <= usize::try_from(COUNTERS).unwrap());
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let ours = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let table: [(&str, &[&str], &str); 9] = [
            ("192.0.2.9", &["198.51.100.1"], "192.0.2.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.7", " 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.7", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.7", "rubbish"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("fd00::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ];
        for (peer, forwarded, expected) in table {
            assert_eq!(client(ip(peer), forwarded, &ours), ip(expected), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn one_sixty_four_is_one_network() {
        assert_eq!(network_of(ip("2001:db8:0:1:aaaa::1")), network_of(ip("2001:db8:0:1:bbbb::2")));
        assert_ne!(network_of(ip("2001:db8:0:1::1")), network_of(ip("2001:db8:0:2::1")));
    }
}
