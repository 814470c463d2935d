//! Info hashes are those that foreign torrent makers give the same content.

use std::fs;
use std::time::Duration;

use system_tests::api::Published;
use system_tests::clients::make_with_mktorrent;
use system_tests::content::{Chance, write_file, write_tree};
use system_tests::daemon::{Daemon, Site};
use system_tests::foreign::Foreign;
use system_tests::http;
use torrent::Metainfo;

/// Trees of chance; each is small, the number finds what single cases miss.
const TREES: usize = 24;

/// All items are published, and libtorrent agrees with the info hashes of each; so does what the `.torrent` files hold.
#[track_caller]
fn assert_foreign_maker_agrees(site: &Site, daemon: &Daemon, names: &[String]) -> Vec<Published> {
    let foreign = Foreign::of(names.iter().map(|name| site.publish().join(name)));
    let check = |name: &String| {
        let item = daemon.api.seeding_within(name, Duration::from_secs(40));
        assert!(foreign.agrees(&site.publish().join(name), &item.hashes), "{name}: {:?}", item.hashes);
        assert_eq!(item.metainfo().0.info_hash(), item.info_hash, "{name}");
        let second =
            item.torrent_url_v2.as_ref().map(|url| Metainfo::parse(&http::get_url(url).body).unwrap());
        assert_eq!(second.map(|(metainfo, _)| metainfo.info_hash_v2()), item.hashes.v2, "{name}");
        item
    };
    names.iter().map(check).collect()
}

#[test]
fn libtorrent_makes_the_same_info_hashes_of_random_trees() {
    let site = Site::new();
    let mut chance = Chance::fresh();
    let names: Vec<_> = (0..TREES).map(|number| format!("tree {number}")).collect();
    for name in &names {
        write_tree(&mut chance, &site.publish().join(name));
    }
    let daemon = site.start();
    assert_foreign_maker_agrees(&site, &daemon, &names);
}

#[test]
fn foreign_makers_make_the_same_info_hashes_of_files_around_the_edges_of_pieces() {
    let site = Site::new();
    let mut chance = Chance::fresh();
    // Pieces of 16 KiB, and of the 32 KiB that are the least mktorrent can do.
    let small = [1, 16_383, 16_384, 16_385, 32_768];
    let large = [(48 << 20) - 1, 48 << 20, (48 << 20) + 1, (48 << 20) + 32_769];
    let names: Vec<_> = small.iter().chain(&large).map(u64::to_string).collect();
    for name in &names {
        write_file(&mut chance, &site.publish().join(name), name.parse().unwrap());
    }
    let daemon = site.start();
    for item in &assert_foreign_maker_agrees(&site, &daemon, &names)[small.len()..] {
        let (_, info) = item.metainfo();
        let output = site.folder().join("foreign.torrent");
        let foreign = make_with_mktorrent(&site.publish().join(&item.name), info.piece_length, &output);
        fs::remove_file(output).unwrap();
        let (foreign, _) = Metainfo::parse(&foreign).unwrap();
        assert_eq!(foreign.info_hash(), item.info_hash, "{}", item.name);
    }
}
