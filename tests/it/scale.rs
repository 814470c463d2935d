//! Ten thousand items, and one of two hundred thousand files: published, and seeding again at once after a restart.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use system_tests::api::{Hashes, SETTLE};
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::{figure, wait};

const ITEMS: usize = 10_000;

/// Files in one item.
const FILES: usize = 200_000;

/// Bytes of each item where there is time to hash them.
const THOROUGH_SIZE: u64 = 10 << 20;

/// Memory that the daemon takes at most, in bytes, whatever it publishes.
const MEMORY: u64 = 512 << 20;

/// Time in which everything is seeding again after a restart; the figure is what is aimed at, this is for a busy machine.
const AGAIN: Duration = Duration::from_secs(20);

/// Waits until so many items are seeding.
#[track_caller]
fn wait_for_seeding(daemon: &Daemon, count: usize, limit: Duration) {
    // The list itself is long.
    wait::until_holds("all are seeding", limit, || {
        daemon.api.get("/api/v1/status").json()["items"]["seeding"] == count
    });
}

/// The names of all items with their info hashes.
fn all(daemon: &Daemon) -> BTreeSet<(String, Hashes)> {
    let items = daemon.api.items();
    let named = |item: &serde_json::Value| Some((item["name"].as_str()?.to_owned(), Hashes::of(item)?));
    items.iter().map(|item| named(item).expect("a published item")).collect()
}

/// Ends the daemon, starts it, and waits until the same is seeding; nothing is hashed for that.
#[track_caller]
fn restart(site: &Site, daemon: Daemon, what: &str) -> Daemon {
    let before = all(&daemon);
    daemon.end();
    let started = Instant::now();
    let daemon = site.start();
    let ready = started.elapsed();
    wait_for_seeding(&daemon, before.len(), AGAIN);
    figure(&format!("{what}, restart to the ready line and to seeding"), (ready, started.elapsed()));
    assert!(all(&daemon) == before, "other items than before");
    // Also after the first look at all files.
    wait::holds_for("seeding", SETTLE + Duration::from_secs(2), || {
        daemon.api.get("/api/v1/status").json()["items"]["seeding"] == before.len()
    });
    assert_eq!(daemon.bytes_hashed(), 0, "something was hashed again");
    daemon
}

#[test]
fn ten_thousand_items_seed_again_without_being_read() {
    let thorough = system_tests::thorough();
    let site = Site::new();
    let mut chance = Chance::fresh();
    for number in 0..ITEMS {
        let path = site.publish().join(format!("item {number:05}"));
        if thorough {
            sparse(&path, THOROUGH_SIZE, number);
        } else {
            let magnitude = chance.below(17);
            let size = 1 + chance.below(1 << magnitude);
            write_file(&mut chance, &path, size);
        }
    }
    let daemon = site.start();
    let started = Instant::now();
    wait_for_seeding(&daemon, ITEMS, Duration::from_mins(if thorough { 20 } else { 5 }));
    figure("10000 items, publishing them", started.elapsed());
    let daemon = restart(&site, daemon, "10000 items");
    figure("10000 items, memory after a restart (MiB)", daemon.most_memory() >> 20);
    assert!(daemon.most_memory() < MEMORY, "{} bytes", daemon.most_memory());
    // A page and a list of that length are still made at once.
    for target in ["/", "/api/v1/items", "/feed.xml", "/metrics"] {
        let asked = Instant::now();
        assert_eq!(daemon.api.get(target).status, 200, "{target}");
        assert!(asked.elapsed() < Duration::from_secs(3), "{target} took {:?}", asked.elapsed());
    }
    daemon.end();
}

/// A file of zeros that takes no room but for a number at its start.
fn sparse(path: &Path, length: u64, number: usize) {
    fs::write(path, number.to_string()).unwrap();
    File::options().write(true).open(path).and_then(|file| file.set_len(length)).unwrap();
}

#[test]
fn two_hundred_thousand_files_in_one_item_are_published_in_bounded_memory() {
    let site = Site::new();
    let item = site.publish().join("item");
    for folder in 0..FILES / 1000 {
        let folder = item.join(format!("folder {folder:03}"));
        fs::create_dir_all(&folder).unwrap();
        for number in 0..1000 {
            fs::write(folder.join(format!("file with a name of some length {number:03}")), [0; 40]).unwrap();
        }
    }
    let daemon = site.start();
    let started = Instant::now();
    wait_for_seeding(&daemon, 1, Duration::from_mins(5));
    assert_eq!(daemon.api.item("item").unwrap()["file_count"], FILES);
    figure("200000 files in one item, publishing it", started.elapsed());
    figure("200000 files in one item, most memory (MiB)", daemon.most_memory() >> 20);
    assert!(daemon.most_memory() < MEMORY, "{} bytes", daemon.most_memory());
    let daemon = restart(&site, daemon, "200000 files in one item");
    assert!(daemon.most_memory() < MEMORY, "{} bytes", daemon.most_memory());
    daemon.end();
}
