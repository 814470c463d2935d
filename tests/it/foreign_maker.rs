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
fn mktorrent_makes_the_same_info_hashes_of_files_around_the_edges_of_pieces() {
    let site = Site::new();
    let mut chance = Chance::fresh();
    let piece = 16_384;
    let sizes = [1, piece - 1, piece, piece + 1, 2 * piece, 16 << 20, (16 << 20) + 1, (40 << 20) - 1];
    for size in sizes {
        write_file(&mut chance, &site.publish().join(size.to_string()), size);
    }
    let daemon = site.start();
    for size in sizes {
        let item = daemon.api.seeding_within(&size.to_string(), Duration::from_secs(40));
        let (_, info) = item.metainfo();
        let output = site.folder().join(format!("{size}.torrent"));
        let foreign = make_with_mktorrent(&site.publish().join(size.to_string()), info.piece_length, &output);
        // mktorrent writes keys in an order of its own around the info dictionary, which is what counts.
        let hash = Metainfo::parse(&foreign).map(|(metainfo, _)| metainfo.info_hash());
        assert_eq!(hash.unwrap(), item.info_hash, "{size} bytes");
        fs::remove_file(output).unwrap();
    }
}
