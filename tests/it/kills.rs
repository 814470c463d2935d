//! `kill -9` at any instant: after each, what was published and has not changed is seeding at once, nothing is published in
//! part, and nothing is hashed that was hashed before.

mod lane;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use system_tests::api::Published;
use system_tests::content::{Chance, write_file, write_tree};
use system_tests::daemon::{Daemon, Site};
use system_tests::foreign::Foreign;
use system_tests::{figure, wait};

use lane::Lane;

/// Boxes that are killed again and again at the same time: most of the time, each waits for files to settle.
const LANES: usize = 8;

#[test]
fn whenever_it_is_killed_items_are_published_whole_or_not_at_all() {
    let kills = if system_tests::thorough() { 300 } else { 60 };
    let mut chance = Chance::fresh();
    let started = Instant::now();
    let lanes: Vec<Lane> = thread::scope(|scope| {
        let run = |number| {
            let mut lane = Lane::new(chance.fork());
            let rounds = kills / LANES + usize::from(number < kills % LANES);
            scope.spawn(move || {
                for _ in 0..rounds {
                    lane.round();
                }
                lane.finish();
                lane
            })
        };
        let threads: Vec<_> = (0..LANES).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("a lane that ends well")).collect()
    });
    figure(&format!("{kills} kills"), started.elapsed());
    let claims: Vec<_> = lanes.iter().flat_map(|lane| &lane.claims).collect();
    assert!(claims.len() > LANES, "hardly anything was published: {claims:?}");
    let foreign = Foreign::of(claims.iter().map(|(source, _)| source.clone()));
    for (source, hashes) in claims {
        assert!(foreign.agrees(source, hashes), "{source:?} was published as {hashes:?}");
    }
}

/// A box with a file, a tree and a film, and these as they are published.
fn published(site: &Site) -> (Daemon, Vec<Published>) {
    let mut chance = Chance::fresh();
    write_file(&mut chance, &site.publish().join("file"), 100_000);
    write_file(&mut chance, &site.publish().join("film"), 40 << 20);
    write_tree(&mut chance, &site.publish().join("tree"));
    let daemon = site.start();
    let items = ["file", "film", "tree"].map(|name| daemon.api.seeding(name)).to_vec();
    (daemon, items)
}

#[test]
fn a_lost_state_folder_is_made_anew_with_the_same_info_hashes() {
    let site = Site::new();
    let (daemon, before) = published(&site);
    daemon.kill();
    fs::remove_dir_all(site.state()).unwrap();
    let daemon = site.start();
    for item in &before {
        assert_eq!(daemon.api.seeding(&item.name).hashes, item.hashes, "{}", item.name);
    }
}

#[test]
fn nothing_is_hashed_when_the_publish_folder_comes_back() {
    let site = Site::new();
    let (daemon, before) = published(&site);
    let away = site.folder().join("away");
    let states = |daemon: &Daemon, state: &str| {
        wait::until_holds(state, Duration::from_secs(10), || {
            daemon.api.items().iter().filter(|item| item["state"] == state).count() == before.len()
        });
    };
    let hashed = daemon.bytes_hashed();
    fs::rename(site.publish(), &away).unwrap();
    states(&daemon, "offline");
    fs::rename(&away, site.publish()).unwrap();
    states(&daemon, "seeding");
    assert_eq!(daemon.bytes_hashed(), hashed);

    // And when it is away over a crash.
    fs::rename(site.publish(), &away).unwrap();
    daemon.kill();
    let daemon = site.start();
    states(&daemon, "offline");
    fs::rename(&away, site.publish()).unwrap();
    states(&daemon, "seeding");
    for item in &before {
        assert_eq!(daemon.api.seeding(&item.name).hashes, item.hashes, "{}", item.name);
    }
    assert_eq!(daemon.bytes_hashed(), 0);
}
