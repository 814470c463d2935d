//! What HTTP and UDP tracker have in common: which torrents are tracked, and where the box itself is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use torrent::InfoHash;
use tracker::address::{Approach, seed_address};
use tracker::members::{MemberId, Passkey};
use tracker::{Announce, Answer, CHANGING, Event, Failure, NOT_A_MEMBER, NOT_PUBLISHED, RETIRED, Scrape};

use super::public_host::UrlHost;
use crate::app::SharedApp;
use crate::catalog::{Catalog, Content, Fate};
use crate::random;

/// The tracker of this box, independent of the protocol.
pub struct Tracker {
    app: SharedApp,
    random: Random,
}

/// What holds for requests that come at the same time.
pub struct Moment {
    /// When that is.
    pub now: Instant,
    catalog: Arc<Catalog>,
    /// The peer listener's addresses outside.
    public: Arc<[SocketAddr]>,
}

/// A torrent that is not here, and the tracker is not open to all.
struct NotTracked;

impl Tracker {
    /// A tracker for the swarms of `app`.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(app: SharedApp) -> std::io::Result<Self> {
        let seed = u64::from_ne_bytes(random::bytes()?);
        Ok(Self { app, random: Random(AtomicU64::new(seed)) })
    }

    /// What holds now, for all requests that have come at once.
    pub fn moment(&self) -> Moment {
        let (catalog, public) = (self.app.catalog.snapshot(), self.app.public_host.addresses());
        Moment { now: Instant::now(), catalog, public }
    }

    /// Whether somebody there may be answered: its network has not asked too often. Only for whom the source is proven.
    pub fn admits(&self, moment: &Moment, asker: IpAddr) -> bool {
        self.app.pace.admits(moment.now, asker)
    }

    /// Enters an announce and answers it, all but [`downloaded`](Self::downloaded).
    ///
    /// # Errors
    /// [`NOT_A_MEMBER`] where there are members and the asker is none; that there is no room for more of their clients; unless
    /// the torrent is in the catalog or the tracker is open to all torrents, what became of it.
    pub fn announce(
        &self,
        moment: &Moment,
        announce: &Announce,
        approach: &Approach,
    ) -> Result<Answer, Failure> {
        self.app.tracker_load.add();
        let member = match self.member(announce.passkey.as_ref()) {
            // Transmission first says that it stops, and never starts if it is refused that: which it is over UDP, where it
            // does not send the path. It tries HTTP when it is refused to start.
            Err(_) if announce.event == Event::Stopped => return Ok(Answer::to_nobody()),
            member => member?,
        };
        let content = self.content(&moment.catalog, &announce.info_hash);
        let content = content.map_err(|NotTracked| self.refusal(moment, &announce.info_hash, approach))?;
        let own = content.and_then(|_| seed_address(self.app.listeners.peer, &moment.public, approach));
        if let Some((member, content)) = member.zip(content) {
            // Before others are told of it and the box calls it.
            let interval = self.app.swarms.interval_of(&announce.info_hash);
            self.app.members.announced(moment.now, member, content.info_hash(), announce, interval)?;
        }
        let answer = self.app.swarms.announce(moment.now, announce, own, &mut self.random.stream());
        if let Some(content) = content {
            self.app.dialler.announced(announce);
            if answer.has_finished {
                content.counters.completed.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(answer)
    }

    /// Downloads of an item that finished. An answer over UDP has no place for them, and does without looking so far.
    pub fn downloaded(&self, moment: &Moment, info_hash: &InfoHash) -> Option<u32> {
        self.content(&moment.catalog, info_hash).ok().flatten().map(completed)
    }

    /// The figures of a swarm with the box as one of its seeders; `None` when it is not tracked.
    pub fn scrape(&self, moment: &Moment, info_hash: &InfoHash) -> Option<Scrape> {
        let content = self.content(&moment.catalog, info_hash).ok()?;
        let known = self.app.swarms.scrape(info_hash);
        let Some(content) = content else { return known };
        let mut scrape = known.unwrap_or_default();
        scrape.complete = scrape.complete.saturating_add(1);
        scrape.downloaded = completed(content);
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
    pub fn scrape_from(&self, moment: &Moment, asker: IpAddr, info_hash: &InfoHash) -> Option<Scrape> {
        let is_admitted = || {
            let content = self.content(&moment.catalog, info_hash).ok().flatten();
            content.is_some_and(|content| self.app.members.admitted(content.info_hash(), asker).is_some())
        };
        (self.app.is_public() || is_admitted()).then(|| self.scrape(moment, info_hash))?
    }

    /// The content of a torrent that is tracked; `None` for a foreign one on a tracker that is open to all.
    fn content<'a>(
        &self,
        catalog: &'a Catalog,
        info_hash: &InfoHash,
    ) -> Result<Option<&'a Content>, NotTracked> {
        match catalog.content(info_hash) {
            Some(content) => Ok(Some(content)),
            None if self.app.config.tracker.open => Ok(None),
            None => Err(NotTracked),
        }
    }

    /// Why a torrent is not tracked.
    fn refusal(&self, moment: &Moment, info_hash: &InfoHash, approach: &Approach) -> Failure {
        let item = match moment.catalog.fate(info_hash) {
            Some(Fate::Replaced(item)) => item,
            Some(Fate::Changing) => return CHANGING,
            Some(Fate::Retired) => return RETIRED,
            None => return NOT_PUBLISHED,
        };
        // What is for members has its name told to them alone, on the page.
        let successor =
            item.content.as_ref().filter(|_| self.app.is_public()).map(|content| content.info_hash());
        let url = successor.and_then(|new| Some(format!("{}/torrents/{new}.torrent", self.page(approach)?)));
        Failure::replaced(successor.map(|new| (item.name.as_str(), new)), url.as_deref())
    }

    /// The page as this asker reaches it.
    fn page(&self, approach: &Approach) -> Option<String> {
        let web = self.app.listeners.web;
        let Some(host) = &self.app.config.public_host else {
            return Some(format!("http://{}", seed_address(web, &[], approach)?));
        };
        Some(format!("http://{}:{}", UrlHost(host), web.port()))
    }
}

/// Downloads that finished; unlike the store's count this one outlives a restart.
fn completed(content: &Content) -> u32 {
    u32::try_from(content.counters.sums().completed).unwrap_or(u32::MAX)
}

/// Numbers that choose peers (`SplitMix64`): evenly spread, cheap, and shared without a lock. Who guesses them knows
/// which peers of a swarm come next, which is no secret.
struct Random(AtomicU64);

/// What is added between two numbers.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// Numbers for one announce, from where the ones before were begun.
    fn stream(&self) -> impl FnMut() -> u64 {
        let mut state = mix(self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA));
        move || {
            state = state.wrapping_add(GAMMA);
            mix(state)
        }
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use appliance::Config;
    use torrent::PeerId;
    use tracker::admission;

    use super::*;
    use crate::app::testing::app;
    use crate::catalog::testing::private;
    use crate::members::Members;

    #[test]
    fn who_can_not_be_admitted_is_told_to_nobody() {
        const KEY: &[u8; 16] = b"AAAABBBBCCCCDDDD";
        let folder = tempfile::tempdir().unwrap();
        let mut app = app(folder.path(), None);
        let settings = Arc::get_mut(&mut app).unwrap();
        settings.config = Config::parse(b"[members]\nalice = \"AAAABBBBCCCCDDDD\"\n").unwrap();
        settings.members = Members::new(&settings.config.members, &[1; 16], &BTreeMap::new());
        let publication = private("one", &[]);
        let info_hash = publication.content.info_hash();
        app.catalog.set_online(None).unwrap();
        app.catalog.publish("one", publication).unwrap();
        let tracker = Tracker::new(Arc::clone(&app)).unwrap();
        let announce = |client: usize| {
            let address: IpAddr = Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(client).unwrap()).into();
            let announce = Announce {
                info_hash,
                peer_id: PeerId([7; 20]),
                address,
                port: 6881,
                uploaded: 0,
                downloaded: 0,
                left: 1,
                event: Event::Started,
                numwant: Some(1),
                key: u32::try_from(client).unwrap(),
                compact: true,
                passkey: Passkey::parse(KEY),
            };
            let approach = Approach { asker: address, local: Ipv4Addr::LOCALHOST.into(), host: None };
            tracker.announce(&tracker.moment(), &announce, &approach)
        };
        let room = admission::Limits::default().per_member;
        assert!((0..room).all(|client| announce(client).is_ok()));
        assert!(announce(room).unwrap_err().reason.contains("as many members' clients"));
        assert_eq!(app.swarms.peer_count(), room);
        assert!(announce(0).is_ok(), "those who are known stay");
    }

    #[test]
    fn random_numbers_are_those_of_splitmix64() {
        // The first numbers after seed 1234567, as published with the algorithm.
        let random = Random(AtomicU64::new(1_234_567));
        assert_eq!(mix(1_234_567_u64.wrapping_add(GAMMA)), 6_457_827_717_110_365_317);
        assert_eq!(mix(1_234_567_u64.wrapping_add(GAMMA.wrapping_mul(2))), 3_203_168_211_198_807_973);
        let (mut first, mut second) = (random.stream(), random.stream());
        assert!((0..100).all(|_| first() != second()), "two announces draw different numbers");
    }
}
