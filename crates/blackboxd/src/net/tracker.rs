//! What HTTP and UDP tracker have in common: which torrents are tracked, and where the box itself is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use torrent::InfoHash;
use tracker::address::{Approach, seed_address};
use tracker::members::{MemberId, Passkey};
use tracker::{Announce, Answer, Event, Failure, NOT_A_MEMBER, NOT_PUBLISHED, Scrape};

use super::public_host::PublicHost;
use crate::app::SharedApp;
use crate::catalog::Content;
use crate::random;

/// The tracker of this box, independent of the protocol.
pub struct Tracker {
    app: SharedApp,
    /// Where the box is for those outside.
    pub public_host: PublicHost,
    random: Random,
}

impl Tracker {
    /// A tracker for the swarms of `app`.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(app: SharedApp) -> std::io::Result<Self> {
        let public_host = PublicHost::new(app.config.public_host.as_deref());
        let seed = u64::from_ne_bytes(random::bytes()?);
        Ok(Self { app, public_host, random: Random(AtomicU64::new(seed)) })
    }

    /// Enters an announce and answers it.
    ///
    /// # Errors
    /// [`NOT_A_MEMBER`] where there are members and the asker is none; [`NOT_PUBLISHED`] unless the torrent is in the catalog
    /// or the tracker is open to all torrents.
    pub fn announce(
        &self,
        now: std::time::Instant,
        announce: &Announce,
        approach: &Approach,
    ) -> Result<Answer, Failure> {
        let member = match self.member(announce.passkey.as_ref()) {
            // Transmission first says that it stops, and never starts if it is refused that: which it is over UDP, where it
            // does not send the path. It tries HTTP when it is refused to start.
            Err(_) if announce.event == Event::Stopped => return Ok(Answer::to_nobody()),
            member => member?,
        };
        let content = self.content(&announce.info_hash)?;
        let own = content.as_ref().and_then(|_| self.own_address(approach));
        let mut swarms = self.app.swarms();
        let downloaded = |scrape: Option<Scrape>| scrape.unwrap_or_default().downloaded;
        let before = downloaded(swarms.scrape(&announce.info_hash));
        let mut answer = swarms.announce(now, announce, own, &mut || self.random.next());
        let after = downloaded(swarms.scrape(&announce.info_hash));
        drop(swarms);
        if let Some(content) = content {
            if let Some(member) = member {
                // Before it is called.
                let item = content.info_hash();
                self.app.members.announced(now, member, item, announce, answer.interval)?;
            }
            self.app.dialler.announced(announce);
            let finished = u64::from(after.saturating_sub(before));
            content.counters.completed.fetch_add(finished, Ordering::Relaxed);
            answer.scrape.downloaded = completed(&content);
        }
        Ok(answer)
    }

    /// The figures of a swarm with the box as one of its seeders; `None` when it is not tracked.
    pub fn scrape(&self, info_hash: &InfoHash) -> Option<Scrape> {
        let content = self.content(info_hash).ok()?;
        let known = self.app.swarms().scrape(info_hash);
        let Some(content) = content else { return known };
        let mut scrape = known.unwrap_or_default();
        scrape.complete = scrape.complete.saturating_add(1);
        scrape.downloaded = completed(&content);
        Some(scrape)
    }

    /// The member whose passkey this is; `None` where everything is public.
    ///
    /// # Errors
    /// [`NOT_A_MEMBER`]
    pub fn member(&self, passkey: Option<&Passkey>) -> Result<Option<MemberId>, Failure> {
        if self.app.is_public() {
            return Ok(None);
        }
        let member = passkey.and_then(|passkey| self.app.members.find(passkey));
        member.map(Some).ok_or(NOT_A_MEMBER)
    }

    /// As [`scrape`](Self::scrape), for who has no way to show a passkey (BEP 41 has none for a scrape): of what is for
    /// members, those at addresses where one has announced it are told.
    pub fn scrape_from(&self, asker: IpAddr, info_hash: &InfoHash) -> Option<Scrape> {
        let content = || self.content(info_hash).ok()?;
        let may_know = self.app.is_public()
            || content()
                .is_some_and(|content| self.app.members.admitted(content.info_hash(), asker).is_some());
        may_know.then(|| self.scrape(info_hash))?
    }

    /// The content of a torrent that is tracked; `None` for a foreign one on a tracker that is open to all.
    fn content(&self, info_hash: &InfoHash) -> Result<Option<Arc<Content>>, Failure> {
        match self.app.catalog.snapshot().seeding(info_hash) {
            Some(item) => Ok(item.content.clone()),
            None if self.app.config.tracker.open => Ok(None),
            None => Err(NOT_PUBLISHED),
        }
    }

    fn own_address(&self, approach: &Approach) -> Option<SocketAddr> {
        seed_address(self.app.listeners.peer, &self.public_host.addresses(), approach)
    }
}

/// Downloads that finished; unlike the store's count this one outlives a restart.
fn completed(content: &Content) -> u32 {
    u32::try_from(content.counters.sums().completed).unwrap_or(u32::MAX)
}

/// Numbers that choose peers (`SplitMix64`): evenly spread, cheap, and shared without a lock. Who guesses them knows
/// which peers of a swarm come next, which is no secret.
struct Random(AtomicU64);

impl Random {
    fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_those_of_splitmix64() {
        // The first numbers after seed 1234567, as published with the algorithm.
        let random = Random(AtomicU64::new(1_234_567));
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }
}
