//! Info hashes are those that foreign torrent makers give the same content.

use std::fs;
use std::time::Duration;

use system_tests::clients::{make_with_libtorrent, make_with_mktorrent};
use system_tests::content::{Chance, write_file, write_tree};
use system_tests::daemon::Site;
use torrent::Metainfo;

/// Trees of chance; each is small, the number finds what single cases miss.
const TREES: usize = 24;

#[test]
fn libtorrent_makes_the_same_info_hashes_of_random_trees() {
    let site = Site::new();
    let mut chance = Chance::fresh();
    let names: Vec<_> = (0..TREES).map(|number| format!("tree {number}")).collect();
    for name in &names {
        write_tree(&mut chance, &site.publish().join(name));
    }
    let daemon = site.start();
    for name in &names {
        let item = daemon.api.seeding_within(name, Duration::from_secs(40));
        let (_, info) = item.metainfo();
        let output = site.folder().join("foreign.torrent");
        let foreign = make_with_libtorrent(&site.publish().join(name), info.piece_length, &output);
        let (foreign, foreign_info) = Metainfo::parse(&foreign).unwrap();
        assert_eq!(foreign_info, info, "{name}");
        assert_eq!(foreign.info_hash(), item.info_hash, "{name}");
    }
}

#[test]
fn foreign_makers_make_the_same_info_hashes_of_files_around_the_edges_of_pieces() {
    let site = Site::new();
    let mut chance = Chance::fresh();
    // Pieces of 16 KiB, and of the 32 KiB that are the least mktorrent can do.
    let small = [1, 16_383, 16_384, 16_385, 32_768];
    let large = [(48 << 20) - 1, 48 << 20, (48 << 20) + 1, (48 << 20) + 32_769];
    for size in small.iter().chain(&large) {
        write_file(&mut chance, &site.publish().join(size.to_string()), *size);
    }
    let daemon = site.start();
    for size in small.iter().chain(&large) {
        let name = size.to_string();
        let item = daemon.api.seeding_within(&name, Duration::from_secs(40));
        let (_, info) = item.metainfo();
        let (path, output) = (site.publish().join(&name), site.folder().join("foreign.torrent"));
        let mut foreign = vec![make_with_libtorrent(&path, info.piece_length, &output)];
        fs::remove_file(&output).unwrap();
        if large.contains(size) {
            foreign.push(make_with_mktorrent(&path, info.piece_length, &output));
            fs::remove_file(&output).unwrap();
        }
        for metainfo in foreign {
            let (metainfo, _) = Metainfo::parse(&metainfo).unwrap();
            assert_eq!(metainfo.info_hash(), item.info_hash, "{size} bytes");
        }
    }
}
