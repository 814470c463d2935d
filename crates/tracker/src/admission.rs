//! Whom the seeder may give what is for members: who announced it with a member's passkey, at the address where it did.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use torrent::{InfoHash, PeerId};

use crate::members::MemberId;
use crate::{Announce, Event, Failure, Retry};

/// Clients of one address that want the same item and are told apart; of more, those are forgotten that announced first.
pub const MAX_CLIENTS: usize = 32;

/// Widespread clients don't announce more often than this, whatever interval they are given.
const CLIENTS_MIN_INTERVAL: Duration = Duration::from_mins(5);

/// How long who has stopped may come back: some clients stop and start while they go from one tracker to another.
const GRACE: Duration = Duration::from_mins(1);

/// The failure when there is no room to remember who is admitted.
const FULL: Failure = Failure {
    reason: std::borrow::Cow::Borrowed(
        "as many members' clients are here as this box can remember; try again later",
    ),
    retry: Retry::Minutes(10),
};

/// What is remembered, at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Clients of all members, each once for every item and address.
    pub clients: usize,
    /// Of these, those of one member: no member can keep the others out.
    pub per_member: usize,
}

impl Default for Limits {
    /// About 25 MB when full.
    fn default() -> Self {
        Self { clients: 200_000, per_member: 50_000 }
    }
}

/// Who announced what as a member, and where.
///
/// An address counts as a whole, whatever the port: a client connects from another than it listens at. It is exactly the one
/// that announced: whoever announces over IPv4 alone is not admitted over IPv6, nor are its neighbours in the same /64.
/// Clients of members behind one router are admitted together; they can't be told apart.
#[derive(Debug)]
pub struct Admissions {
    clients: BTreeMap<(InfoHash, IpAddr, PeerId), Client>,
    /// Number of clients by member.
    counts: BTreeMap<MemberId, usize>,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Client {
    member: MemberId,
    announced: Instant,
    /// From then on it counts as gone.
    expires: Instant,
}

impl Admissions {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Self {
        Self { clients: BTreeMap::new(), counts: BTreeMap::new(), limits }
    }

    /// A member has announced an item, by whichever of its torrents, and was told to do so again after `interval`.
    ///
    /// # Errors
    /// Words for the member when there is no room for its client, which is not admitted then.
    pub fn announced(
        &mut self,
        now: Instant,
        member: MemberId,
        item: InfoHash,
        announce: &Announce,
        interval: Duration,
    ) -> Result<(), Failure> {
        let address = announce.address.to_canonical();
        let key = (item, address, announce.peer_id);
        if announce.event == Event::Stopped {
            if let Some(client) = self.clients.get_mut(&key) {
                client.expires = client.expires.min(now + GRACE);
            }
            return Ok(());
        }
        if !self.clients.contains_key(&key) {
            self.make_room(item, address);
        }
        // After that: if it is another member's now, it does not count for the one before.
        let before = self.remove(&key);
        if !self.has_room_for(member) {
            return Err(FULL);
        }
        let expires = now + patience(interval);
        let expires = before.map_or(expires, |before| before.expires.max(expires));
        self.clients.insert(key, Client { member, announced: now, expires });
        *self.counts.entry(member).or_default() += 1;
        Ok(())
    }

    /// The member who may have this item at this address; of several the one that announced last. `None` if nobody may.
    pub fn admitted(&self, now: Instant, item: InfoHash, address: IpAddr) -> Option<MemberId> {
        let clients = self.at(item, address.to_canonical()).filter(|(_, client)| now < client.expires);
        clients.max_by_key(|(_, client)| client.announced).map(|(_, client)| client.member)
    }

    /// Forgets those whose time is over. Due every minute or so.
    pub fn expire(&mut self, now: Instant) {
        self.clients.retain(|_, client| now < client.expires);
        self.counts.clear();
        for client in self.clients.values() {
            *self.counts.entry(client.member).or_default() += 1;
        }
    }

    /// The clients of a member, each once for every item and address.
    pub fn count(&self, member: MemberId) -> usize {
        self.counts.get(&member).copied().unwrap_or_default()
    }

    fn has_room_for(&self, member: MemberId) -> bool {
        self.clients.len() < self.limits.clients && self.count(member) < self.limits.per_member
    }

    /// Those who announced an item at an address.
    fn at(
        &self,
        item: InfoHash,
        address: IpAddr,
    ) -> impl Iterator<Item = (&(InfoHash, IpAddr, PeerId), &Client)> {
        self.clients.range((item, address, PeerId([0; 20]))..=(item, address, PeerId([u8::MAX; 20])))
    }

    /// Forgets who announced an item first at an address, if there are too many.
    fn make_room(&mut self, item: InfoHash, address: IpAddr) {
        if self.at(item, address).count() >= MAX_CLIENTS {
            let first =
                self.at(item, address).min_by_key(|(_, client)| client.announced).map(|(key, _)| *key);
            first.map(|key| self.remove(&key));
        }
    }

    fn remove(&mut self, key: &(InfoHash, IpAddr, PeerId)) -> Option<Client> {
        let client = self.clients.remove(key)?;
        if let Some(count) = self.counts.get_mut(&client.member) {
            *count = count.saturating_sub(1);
        }
        Some(client)
    }
}

/// How long after an announce a client is still there that was told this interval: it may be late once, or not announce as
/// often as it is told.
pub fn patience(interval: Duration) -> Duration {
    2 * interval.max(CLIENTS_MIN_INTERVAL) + Duration::from_mins(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const ITEM: InfoHash = InfoHash([7; 20]);
    const OTHER: InfoHash = InfoHash([8; 20]);
    const ALICE: MemberId = MemberId(0);
    const BOB: MemberId = MemberId(1);
    const INTERVAL: Duration = Duration::from_mins(10);

    struct Door {
        admissions: Admissions,
        now: Instant,
    }

    impl Door {
        fn new() -> Self {
            Self { admissions: Admissions::new(Limits::default()), now: testing::start() }
        }

        fn announce(&mut self, member: MemberId, client: u16, address: &str) {
            let announce = testing::announce(client, address);
            self.admissions.announced(self.now, member, ITEM, &announce, INTERVAL).unwrap();
        }

        fn stop(&mut self, member: MemberId, client: u16, address: &str) {
            let announce = Announce { event: Event::Stopped, ..testing::announce(client, address) };
            self.admissions.announced(self.now, member, ITEM, &announce, INTERVAL).unwrap();
        }

        fn wait(&mut self, minutes: u64) {
            self.now += Duration::from_mins(minutes);
        }

        #[track_caller]
        fn check(&mut self, address: &str, member: Option<MemberId>) {
            let address = address.parse().unwrap();
            assert_eq!(self.admissions.admitted(self.now, ITEM, address), member);
            // Nothing changes by forgetting.
            self.admissions.expire(self.now);
            assert_eq!(self.admissions.admitted(self.now, ITEM, address), member);
        }
    }

    #[test]
    fn who_announced_is_admitted_at_that_address_for_that_item() {
        let mut door = Door::new();
        door.check("198.51.100.1", None);
        door.announce(ALICE, 1, "198.51.100.1");
        door.check("198.51.100.1", Some(ALICE));
        door.check("::ffff:198.51.100.1", Some(ALICE));
        for other in ["198.51.100.2", "2001:db8::1", "::1", "0.0.0.0"] {
            door.check(other, None);
        }
        assert_eq!(door.admissions.admitted(door.now, OTHER, "198.51.100.1".parse().unwrap()), None);
        door.announce(BOB, 2, "2001:db8::1");
        door.check("2001:db8::1", Some(BOB));
        door.check("2001:db8::2", None);
    }

    #[test]
    fn admission_ends_some_time_after_the_next_announce_is_due() {
        let mut door = Door::new();
        door.announce(ALICE, 1, "198.51.100.1");
        door.wait(20);
        door.check("198.51.100.1", Some(ALICE));
        door.announce(ALICE, 1, "198.51.100.1");
        door.wait(20);
        door.check("198.51.100.1", Some(ALICE));
        door.wait(1);
        door.check("198.51.100.1", None);
    }

    #[test]
    fn who_stops_has_a_minute_unless_another_client_is_there() {
        let mut door = Door::new();
        door.announce(ALICE, 1, "198.51.100.1");
        door.announce(BOB, 2, "198.51.100.1");
        door.check("198.51.100.1", Some(BOB));
        door.stop(BOB, 2, "198.51.100.1");
        door.check("198.51.100.1", Some(BOB));
        door.wait(1);
        door.check("198.51.100.1", Some(ALICE));
        door.stop(ALICE, 1, "198.51.100.1");
        door.wait(1);
        door.check("198.51.100.1", None);
        door.stop(ALICE, 3, "198.51.100.1");
        door.check("198.51.100.1", None);
        door.announce(ALICE, 1, "198.51.100.1");
        door.check("198.51.100.1", Some(ALICE));
    }

    #[test]
    fn many_clients_of_one_address_are_admitted_but_not_all_remembered() {
        let mut door = Door::new();
        for client in 0..u16::try_from(2 * MAX_CLIENTS).unwrap() {
            door.announce(ALICE, client, "198.51.100.1");
            door.now += Duration::from_secs(1);
        }
        assert_eq!(door.admissions.count(ALICE), MAX_CLIENTS);
        door.check("198.51.100.1", Some(ALICE));
        // It is none of those that are remembered.
        door.stop(ALICE, 0, "198.51.100.1");
        door.wait(2);
        door.check("198.51.100.1", Some(ALICE));
    }

    #[test]
    fn no_member_keeps_the_others_out() {
        let mut admissions = Admissions::new(Limits { clients: 5, per_member: 3 });
        let now = testing::start();
        let mut announced = |member, client| {
            let announce = testing::announce(client, &format!("198.51.100.{client}"));
            admissions.announced(now, member, ITEM, &announce, INTERVAL).is_ok()
        };
        assert!((0..3).all(|client| announced(ALICE, client)));
        assert!(!announced(ALICE, 3) && announced(ALICE, 2), "those that are known stay");
        assert!(announced(BOB, 4) && announced(BOB, 5));
        assert!(!announced(BOB, 6), "there is no more room at all");
        assert!(announced(BOB, 2), "a client can change hands");
        assert!(!announced(ALICE, 6));
        assert_eq!((admissions.count(ALICE), admissions.count(BOB)), (2, 3));
        admissions.expire(now + 3 * INTERVAL);
        assert_eq!((admissions.count(ALICE), admissions.count(BOB)), (0, 0));
    }
}
