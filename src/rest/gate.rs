//! Limits the number of connections: in total, per address, and beyond that in a small reserved
//! share for the probes. The connection that has waited longest for its client is
//! closed for the next one.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use connector_api::locks::TakeLock;

use super::activity::ConnectionActivity;

/// Number of additional connections for probes. For the next one, the oldest is closed of the
/// address that has most of them: a probe over TLS needs some round trips, and must not be driven
/// out meanwhile by those who connect all the time.
const RESERVED: usize = 64;
/// A connection that has waited this long for its client may be closed for another one.
const MAKES_ROOM_AFTER: Duration = Duration::from_secs(1);

/// Maximum numbers of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// `rowferry.rest.connections`.
    pub connections: usize,
    /// `rowferry.rest.connections.per.address`.
    pub per_address: usize,
}

/// Why a connection gets no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GateFull {
    /// The maximum for the worker is reached.
    Worker(usize),
    /// The maximum for the client's address is reached.
    Address(usize),
}

/// The slots of all connections.
pub(super) struct ConnectionGate {
    limits: ConnectionLimits,
    taken: Mutex<TakenPlaces>,
}

#[derive(Default)]
struct TakenPlaces {
    last: u64,
    seats: HashMap<u64, (IpAddr, Arc<ConnectionActivity>)>,
    by_address: HashMap<IpAddr, usize>,
    reserved: VecDeque<(IpAddr, Arc<ConnectionActivity>)>,
}

/// A connection's slot, which is freed when the permit is dropped.
pub(super) struct ConnectionPermit {
    gate: Arc<ConnectionGate>,
    number: u64,
}

impl ConnectionGate {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, TakenPlaces> {
        self.taken.take_lock()
    }

    /// Returns a slot for a connection from that address. Errors: only the reserved share has one.
    pub(super) fn seat(
        self: &Arc<Self>,
        from: IpAddr,
        activity: &Arc<ConnectionActivity>,
    ) -> Result<ConnectionPermit, GateFull> {
        let (from, mut taken) = (network(from), self.taken());
        let beside = taken.by_address.get(&from).copied().unwrap_or_default();
        let full = if beside >= self.limits.per_address {
            Some((GateFull::Address(self.limits.per_address), Some(from)))
        } else if taken.seats.len() >= self.limits.connections {
            Some((GateFull::Worker(self.limits.connections), None))
        } else {
            None
        };
        if let Some((full, among)) = full
            && !taken.make_room(among)
        {
            taken.reserve(from, activity);
            return Err(full);
        }
        taken.last += 1;
        let number = taken.last;
        taken.seats.insert(number, (from, Arc::clone(activity)));
        *taken.by_address.entry(from).or_default() += 1;
        Ok(ConnectionPermit {
            gate: Arc::clone(self),
            number,
        })
    }
}

impl TakenPlaces {
    /// Closes the connection that has waited longest for its client, if given, of those from one
    /// address.
    fn make_room(&mut self, among: Option<IpAddr>) -> bool {
        let seats = self
            .seats
            .iter()
            .filter(|(_, (from, _))| among.is_none_or(|address| address == *from));
        let waiting =
            seats.filter_map(|(number, (_, activity))| Some((activity.waits()?, *number)));
        let Some((_, number)) = waiting
            .filter(|(waits, _)| *waits >= MAKES_ROOM_AFTER)
            .max()
        else {
            return false;
        };
        if let Some(activity) = self.leave(number) {
            activity.unseat();
        }
        true
    }

    /// Lets a connection into the reserved share.
    fn reserve(&mut self, from: IpAddr, activity: &Arc<ConnectionActivity>) {
        self.reserved.push_back((from, Arc::clone(activity)));
        if self.reserved.len() <= RESERVED {
            return;
        }
        // those that have ended are used here alone
        self.reserved
            .retain(|(_, activity)| Arc::strong_count(activity) > 1);
        if self.reserved.len() <= RESERVED {
            return;
        }
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (address, _) in &self.reserved {
            *counts.entry(*address).or_default() += 1;
        }
        let has_most = counts.into_iter().max_by_key(|(_, count)| *count);
        let oldest = has_most.and_then(|(address, _)| {
            let is_its = |(from, _): &(IpAddr, _)| *from == address;
            self.reserved.iter().position(is_its)
        });
        if let Some((_, oldest)) = oldest.and_then(|at| self.reserved.remove(at)) {
            oldest.unseat();
        }
    }

    fn leave(&mut self, number: u64) -> Option<Arc<ConnectionActivity>> {
        let (from, activity) = self.seats.remove(&number)?;
        if let Some(count) = self.by_address.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&from);
            }
        }
        Some(activity)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.gate.taken().leave(self.number);
    }
}

/// The client that an address belongs to: one client can use any number of IPv6 addresses in its network.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            if v6.is_loopback() {
                address
            } else {
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{ConnectionGate, ConnectionLimits, GateFull, RESERVED, network};
    use crate::rest::activity::ConnectionActivity;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_has_its_share_and_leaves_the_rest_to_others() {
        let gate = ConnectionGate::new(ConnectionLimits {
            connections: 5,
            per_address: 3,
        });
        let seat = |from: &str| gate.seat(at(from), &ConnectionActivity::new());
        let mut seats: Vec<_> = (0..3).map(|_| seat("10.0.0.1").ok().unwrap()).collect();
        assert_eq!(seat("10.0.0.1").err(), Some(GateFull::Address(3)));
        seats.push(seat("10.0.0.2").ok().unwrap());
        seats.push(seat("2001:db8::1").ok().unwrap());
        assert_eq!(seat("10.0.0.3").err(), Some(GateFull::Worker(5)));
        seats.remove(0);
        seats.push(seat("10.0.0.1").ok().unwrap());
        drop(seats);
        assert!(gate.taken().by_address.is_empty() && gate.taken().seats.is_empty());
    }

    #[tokio::test]
    async fn who_waits_longest_for_its_client_makes_room_and_who_works_stays() {
        let gate = ConnectionGate::new(ConnectionLimits {
            connections: 2,
            per_address: 2,
        });
        let (works, waits) = (ConnectionActivity::new(), ConnectionActivity::new());
        works.serve();
        let _seats =
            [&works, &waits].map(|activity| gate.seat(at("10.0.0.1"), activity).ok().unwrap());
        assert!(
            gate.seat(at("10.0.0.1"), &ConnectionActivity::new())
                .is_err(),
            "nobody has waited for long"
        );
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let next = ConnectionActivity::new();
        next.serve();
        let _next = gate.seat(at("10.0.0.2"), &next).ok().unwrap();
        let ended = waits.exhausts(crate::rest::activity::USUAL);
        let why = tokio::time::timeout(Duration::from_millis(500), ended)
            .await
            .unwrap();
        assert_eq!(why, "its slot was needed");
        assert!(
            gate.seat(at("10.0.0.3"), &ConnectionActivity::new())
                .is_err(),
            "both are at work"
        );
    }

    #[tokio::test]
    async fn the_reserved_share_always_takes_the_next() {
        let gate = ConnectionGate::new(ConnectionLimits {
            connections: 0,
            per_address: 0,
        });
        let probes: Vec<_> = (0..=RESERVED).map(|_| ConnectionActivity::new()).collect();
        for probe in &probes {
            assert!(gate.seat(at("127.0.0.1"), probe).is_err());
        }
        let unseated = |probe: &Arc<ConnectionActivity>| {
            let probe = Arc::clone(probe);
            async move {
                let patience = crate::rest::activity::USUAL;
                tokio::time::timeout(Duration::from_millis(100), probe.exhausts(patience))
                    .await
                    .is_ok()
            }
        };
        assert!(unseated(&probes[0]).await && !unseated(&probes[1]).await);
    }

    #[tokio::test]
    async fn who_connects_all_the_time_drives_no_other_address_out_of_the_reserved_share() {
        let gate = ConnectionGate::new(ConnectionLimits {
            connections: 0,
            per_address: 0,
        });
        let probe = ConnectionActivity::new();
        assert!(gate.seat(at("10.0.0.2"), &probe).is_err());
        let flood: Vec<_> = (0..3 * RESERVED)
            .map(|_| ConnectionActivity::new())
            .collect();
        for (n, one) in flood.iter().enumerate() {
            let from = if n % 2 == 0 { "10.0.0.1" } else { "10.0.0.3" };
            assert!(gate.seat(at(from), one).is_err());
        }
        let unseated = |activity: &Arc<ConnectionActivity>| {
            let activity = Arc::clone(activity);
            async move {
                let ended = activity.exhausts(crate::rest::activity::USUAL);
                tokio::time::timeout(Duration::from_millis(100), ended)
                    .await
                    .is_ok()
            }
        };
        assert!(!unseated(&probe).await);
        assert!(unseated(&flood[0]).await && !unseated(&flood[3 * RESERVED - 1]).await);
        assert_eq!(gate.taken().reserved.len(), RESERVED);
        drop(flood);
        let next = ConnectionActivity::new();
        assert!(gate.seat(at("10.0.0.1"), &next).is_err());
        assert_eq!(gate.taken().reserved.len(), 2, "those that ended are gone");
    }

    #[test]
    fn a_network_is_one_client() {
        assert_eq!(network(at("::ffff:10.0.0.1")), at("10.0.0.1"));
        assert_eq!(
            network(at("2001:db8:1:2:3::4")),
            network(at("2001:db8:1:2::1"))
        );
        assert_ne!(
            network(at("2001:db8:1:2::1")),
            network(at("2001:db8:1:3::1"))
        );
        assert_eq!(network(at("::1")), at("::1"));
    }
}
