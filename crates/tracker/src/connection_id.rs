//! Connection ids of BEP 15 that need no memory.
//!
//! An id proves that its sender receives what is sent to its source address. It is a keyed hash of that address
//! and the time, so a flood of connects costs nothing but the hashes. The hash is SipHash-2-4, a MAC made for
//! short inputs, from the crate `siphasher` because the standard library no longer lets its own be keyed. All 64
//! bits are MAC: nobody without the key guesses one in fewer than about 2^63 packets.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher24;

/// Ids of the current and the previous window are accepted, so one lives for 5 to 10 minutes. BEP 15 asks for 2;
/// widespread clients go on using an id for 5.
pub const WINDOW: Duration = Duration::from_mins(5);

/// What a client got from its connect and shows with every further request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

/// Mints and checks connection ids.
#[derive(Debug, Clone)]
pub struct ConnectionIds {
    mac: SipHasher24,
    start: Instant,
}

impl ConnectionIds {
    /// `key` is secret and random; a new one at each start merely makes clients connect again. No later time
    /// may be before `start`.
    pub fn new(key: &[u8; 16], start: Instant) -> Self {
        Self { mac: SipHasher24::new_with_key(key), start }
    }

    /// The id for a client at `source`.
    pub fn issue(&self, now: Instant, source: IpAddr) -> ConnectionId {
        self.mint(self.window(now), source)
    }

    /// Whether `id` was issued to `source` not long ago.
    pub fn accepts(&self, now: Instant, source: IpAddr, id: ConnectionId) -> bool {
        let window = self.window(now);
        id == self.mint(window, source)
            || window.checked_sub(1).is_some_and(|last| id == self.mint(last, source))
    }

    fn window(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / WINDOW.as_secs()
    }

    fn mint(&self, window: u64, source: IpAddr) -> ConnectionId {
        // An IPv4 client is the same client whether its packet came through an IPv4 or a dual-stack socket.
        let address = match source {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut input = [0; 24];
        input[..8].copy_from_slice(&window.to_le_bytes());
        input[8..].copy_from_slice(&address.octets());
        ConnectionId(self.mac.hash(&input))
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn an_id_lives_for_five_to_ten_minutes() {
        let start = testing::start();
        let ids = ConnectionIds::new(&[1; 16], start);
        let source = "198.51.100.1".parse().unwrap();
        for (issued, shown, accepted) in [
            (0, 0, true),
            (0, 120, true),
            (0, 599, true),
            (0, 600, false),
            (299, 599, true),
            (299, 600, false),
            (300, 899, true),
            (300, 900, false),
            (86_400, 86_700, true),
            (86_400, 90_000, false),
            (600, 0, false),
        ] {
            let at = |seconds| start + Duration::from_secs(seconds);
            let id = ids.issue(at(issued), source);
            assert_eq!(ids.accepts(at(shown), source, id), accepted, "issued {issued}, shown {shown}");
        }
    }

    #[test]
    fn an_id_is_good_for_one_address_under_one_key() {
        let start = testing::start();
        let source: IpAddr = "198.51.100.1".parse().unwrap();
        let ids = ConnectionIds::new(&[1; 16], start);
        let id = ids.issue(start, source);
        assert!(
            ids.accepts(start, "::ffff:198.51.100.1".parse().unwrap(), id),
            "the same client, dual-stack"
        );
        for other in ["198.51.100.2", "::1", "::198.51.100.1", "2001:db8::1"] {
            assert!(!ids.accepts(start, other.parse().unwrap(), id), "{other}");
        }
        assert!(!ConnectionIds::new(&[2; 16], start).accepts(start, source, id), "another key");
        for bit in 0..64 {
            assert!(!ids.accepts(start, source, ConnectionId(id.0 ^ (1 << bit))), "bit {bit}");
        }
    }
}
