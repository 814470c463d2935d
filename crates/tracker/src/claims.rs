//! What clients say they have sent and received, in sums.
//!
//! An announce says how much it was since the client started. What it was since the announce before is the difference, which
//! is counted once, whether it comes over HTTP or UDP, IPv4 or IPv6.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use torrent::{InfoHash, PeerId};

use crate::{Announce, Event};

/// Clients that are remembered, each once for every item, in about 20 MB. Of more nothing is counted.
const MAX_CLIENTS: usize = 200_000;

/// Bytes that clients say they have moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claimed {
    /// To other peers.
    pub uploaded: u64,
    /// From other peers, the box included.
    pub downloaded: u64,
}

/// What was last said by each client of each item.
#[derive(Debug, Default)]
pub struct Claims {
    last: BTreeMap<(InfoHash, PeerId), (Claimed, Instant)>,
}

impl Claims {
    /// What an announce of an item says beyond what was known; it is remembered for `patience`. Of a client that is not
    /// known, because it has been away or because the box has, only what comes later is counted.
    pub fn hear(&mut self, now: Instant, item: InfoHash, announce: &Announce, patience: Duration) -> Claimed {
        let key = (item, announce.peer_id);
        let said = Claimed { uploaded: announce.uploaded, downloaded: announce.downloaded };
        let known = self.last.get(&key).map(|(known, _)| *known);
        let before =
            if announce.event == Event::Started { Claimed::default() } else { known.unwrap_or(said) };
        if announce.event == Event::Stopped {
            self.last.remove(&key);
        } else if known.is_some() || self.last.len() < MAX_CLIENTS {
            self.last.insert(key, (said, now + patience));
        }
        Claimed {
            uploaded: said.uploaded.saturating_sub(before.uploaded),
            downloaded: said.downloaded.saturating_sub(before.downloaded),
        }
    }

    /// Forgets those who have not announced for their time. Due every minute or so.
    pub fn expire(&mut self, now: Instant) {
        self.last.retain(|_, (_, expires)| now < *expires);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const ITEM: InfoHash = InfoHash([7; 20]);
    const PATIENCE: Duration = Duration::from_mins(20);

    #[test]
    fn what_is_said_twice_is_counted_once() {
        let mut claims = Claims::default();
        let start = testing::start();
        for (minute, client, address, event, said, counted) in [
            (0, 1, "198.51.100.1", Event::Started, (0, 0), (0, 0)),
            (0, 1, "2001:db8::1", Event::Started, (0, 0), (0, 0)),
            (5, 1, "198.51.100.1", Event::None, (10, 100), (10, 100)),
            (5, 1, "2001:db8::1", Event::None, (10, 100), (0, 0)),
            (9, 1, "198.51.100.1", Event::Completed, (30, 120), (20, 20)),
            (9, 2, "198.51.100.1", Event::None, (1000, 1000), (0, 0)),
            (10, 2, "198.51.100.1", Event::None, (1001, 1002), (1, 2)),
            // A number that shrinks is a new beginning.
            (11, 2, "198.51.100.1", Event::None, (5, 5), (0, 0)),
            (12, 2, "198.51.100.1", Event::None, (6, 5), (1, 0)),
            (13, 1, "198.51.100.1", Event::Stopped, (31, 120), (1, 0)),
            (13, 1, "2001:db8::1", Event::Stopped, (31, 120), (0, 0)),
            (14, 1, "198.51.100.1", Event::Started, (0, 0), (0, 0)),
            // It comes back after it was forgotten.
            (40, 1, "198.51.100.1", Event::None, (7, 7), (0, 0)),
        ] {
            let now = start + Duration::from_mins(minute);
            claims.expire(now);
            let announce = Announce {
                event,
                uploaded: said.0,
                downloaded: said.1,
                ..testing::announce(client, address)
            };
            let Claimed { uploaded, downloaded } = claims.hear(now, ITEM, &announce, PATIENCE);
            assert_eq!((uploaded, downloaded), counted, "client {client} in minute {minute}");
        }
    }

    #[test]
    fn items_are_apart() {
        let mut claims = Claims::default();
        let announce =
            |downloaded| Announce { event: Event::None, downloaded, ..testing::announce(1, "198.51.100.1") };
        let mut hear = |item, said| claims.hear(testing::start(), item, &announce(said), PATIENCE).downloaded;
        assert_eq!(hear(ITEM, 5), 0);
        assert_eq!(hear(InfoHash([8; 20]), 9), 0);
        assert_eq!(hear(ITEM, 6), 1);
        assert_eq!(hear(InfoHash([8; 20]), 11), 2);
    }
}
