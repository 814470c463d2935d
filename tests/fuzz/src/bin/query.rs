//! What follows the `?` of an announce and of a scrape over HTTP, and what is answered.

#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use torrent::bencode::{Limits, scan};
use tracker::http::{self, MAX_QUERY};
use tracker::swarm::MAX_NUMWANT;
use tracker::{MAX_SCRAPE, SwarmStore};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    /// Where it comes from.
    source: IpAddr,
    /// An announce as clients write it, with this in place of some values.
    values: [Option<&'a str>; 5],
    /// What else is in it.
    more: &'a str,
}

impl Input<'_> {
    /// A query that is good where it is not told otherwise.
    fn query(&self) -> String {
        let escaped = "%ff%00abcdefghijklmnopqr";
        let good = [escaped, "-XX0000-abcdefghijkl", "6881", "1", "50"];
        let keys = ["info_hash", "peer_id", "port", "left", "numwant"];
        let parameters = keys.iter().zip(good).zip(self.values);
        let parameters = parameters.map(|((key, good), value)| format!("{key}={}&", value.unwrap_or(good)));
        parameters.collect::<String>() + self.more
    }
}

/// Known to all inputs, as to all clients.
static STORE: LazyLock<(SwarmStore, Instant)> = LazyLock::new(|| {
    let start = Instant::now();
    (SwarmStore::new(tracker::swarm::Limits::default(), &[7; 16], start), start)
});

fuzz_target!(|input: Input| {
    let query = input.query();
    if let Ok(hashes) = http::parse_scrape(&query) {
        assert!((1..=MAX_SCRAPE).contains(&hashes.len()) && query.len() <= MAX_QUERY);
    }
    let announce = match http::parse_announce(&query, input.source) {
        Ok(announce) => announce,
        Err(failure) => {
            let body = http::failure(&failure);
            scan(&body, Limits { bytes: body.len(), depth: 2 }).expect("canonical");
            assert!(failure.reason.len() < 200, "{failure}");
            return;
        }
    };
    assert_eq!(
        announce.address,
        input.source.to_canonical(),
        "what it says of its address counts for nothing"
    );
    let (store, start) = &*STORE;
    let mut chance = 0_u64;
    let mut random = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        chance.rotate_left(32)
    };
    let answer = store.announce(*start + Duration::from_secs(1), &announce, None, &mut random);
    let told = answer.peers_v4.len() + answer.peers_v6.len();
    assert!(told <= announce.numwant.unwrap_or(MAX_NUMWANT).min(MAX_NUMWANT) as usize);
    let body = http::announce_response(&answer, &announce);
    scan(&body, Limits { bytes: body.len(), depth: 4 }).expect("canonical");
});
