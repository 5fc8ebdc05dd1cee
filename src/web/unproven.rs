//! The places of calls whose signature is still to be judged, while their bodies arrive.
//!
//! Job: let strangers, who can send anything that looks like a signature, hold up nobody but themselves.
//! Must stay true: each EHR has places of its own; a full house takes a newcomer in only for a body that has long been
//! arriving; whoever leaves, however it leaves, gives its place back.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::base::seconds;

/// Bodies of one EHR that arrive unproven at the same time. Each may take `limits.hook_body_bytes_max` of memory.
pub(super) const PLACES: usize = 8;
/// A body that has been arriving for so long gives way to a newcomer when all places are taken: an EHR's own is here in a
/// moment, one that drips was sent to keep the place. To keep all taken with younger ones, a network of strangers would
/// need eight calls a second, and [`super::limits`] allows it two.
const GIVES_WAY_AFTER: Duration = seconds(1);
/// Networks that an EHR is known to call from. More than it has; a call that somebody recorded and sends again can be sent
/// from anywhere.
const NETWORKS_KNOWN_MAX: usize = 16;

/// One EHR's places.
#[derive(Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    next: u64,
    /// The one that came first is at the front.
    waiting: VecDeque<Waiting>,
    /// Where calls came from whose signature was right. The latest is at the back.
    known: VecDeque<IpAddr>,
}

struct Waiting {
    number: u64,
    since: Instant,
    /// Dropped to ask for the place back.
    _may_stay: oneshot::Sender<()>,
}

/// A place that is taken, until this is dropped.
pub(super) struct Place<'a> {
    all: &'a Places,
    number: u64,
    may_stay: oneshot::Receiver<()>,
}

impl Places {
    /// `None`: all are taken, and nobody has had one for long.
    pub(super) fn take(&self) -> Option<Place<'_>> {
        let mut taken = self.taken();
        if taken.waiting.len() >= PLACES {
            let first = taken.waiting.front()?;
            if first.since.elapsed() < GIVES_WAY_AFTER {
                return None;
            }
            taken.waiting.pop_front();
        }
        let (sender, may_stay) = oneshot::channel();
        let number = taken.next;
        taken.next = taken.next.wrapping_add(1);
        taken.waiting.push_back(Waiting { number, since: Instant::now(), _may_stay: sender });
        Some(Place { all: self, number, may_stay })
    }

    /// Whether a call from there has proved to be the EHR's.
    pub(super) fn know(&self, network: IpAddr) -> bool {
        self.taken().known.contains(&network)
    }

    /// A call from there has proved to be the EHR's.
    pub(super) fn learn(&self, network: IpAddr) {
        let mut taken = self.taken();
        taken.known.retain(|known| *known != network);
        if taken.known.len() >= NETWORKS_KNOWN_MAX {
            taken.known.pop_front();
        }
        taken.known.push_back(network);
    }

    /// What is inside is right after a panic elsewhere too.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Ends when the place is given to another.
    pub(super) async fn lost(&mut self) {
        // Nothing is ever sent: the sender's end is the message.
        let _ = (&mut self.may_stay).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.all.taken().waiting.retain(|waiting| waiting.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn age(places: &Places, by: Duration) {
        for waiting in &mut places.taken().waiting {
            waiting.since = waiting.since.checked_sub(by).unwrap();
        }
    }

    #[test]
    fn a_place_is_free_again_once_its_call_has_gone() {
        let places = Places::default();
        let mut taken: Vec<_> = (0..PLACES).map(|_| places.take().unwrap()).collect();
        assert!(places.take().is_none());
        taken.remove(3);
        assert!(places.take().is_some());
    }

    #[test]
    fn only_who_has_been_there_for_long_gives_way_the_first_first() {
        let places = Places::default();
        let mut taken: Vec<_> = (0..PLACES).map(|_| places.take().unwrap()).collect();
        age(&places, GIVES_WAY_AFTER);
        let newcomer = places.take();
        assert!(newcomer.is_some() && taken[0].lost().now_or_never().is_some());
        assert!(taken[1].lost().now_or_never().is_none());
        drop(taken);
        assert_eq!(places.taken().waiting.len(), 1, "the newcomer's is still taken");
    }

    #[test]
    fn the_networks_of_an_ehr_are_known_and_no_more_than_it_has() {
        let places = Places::default();
        let network = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..1000 {
            places.learn(network(7));
            places.learn(network(n));
        }
        assert!(places.know(network(7)) && places.know(network(999)) && !places.know(network(0)));
        assert_eq!(places.taken().known.len(), NETWORKS_KNOWN_MAX);
    }
}
