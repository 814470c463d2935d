//! What survives a restart, and what does not have to be done again.

use std::time::{Duration, Instant};

use system_tests::api::Published;
use system_tests::clients::{Client, DOWNLOAD};
use system_tests::content::{Chance, assert_same, write_file, write_tree};
use system_tests::daemon::{Daemon, Site};
use system_tests::network;

/// Far below the content, and above what starting takes: libraries, the catalog, `/proc`.
const STARTING: u64 = 8 << 20;

/// The same items at once: within a second of the ready line.
#[track_caller]
fn assert_seeds_again(daemon: &Daemon, before: &[Published]) {
    let ready = Instant::now();
    for item in before {
        let again = daemon.api.seeding_within(&item.name, Duration::from_secs(2));
        assert_eq!(again.info_hash, item.info_hash, "{}", item.name);
    }
    assert!(ready.elapsed() < Duration::from_secs(2));
    let read = daemon.bytes_read();
    assert!(read < STARTING, "{read} bytes were read: the files were hashed again");
}

#[test]
fn a_restart_seeds_the_same_hashes_without_reading_the_files() {
    let site = Site::on_disk();
    let daemon = site.start();
    let mut chance = Chance::fresh();
    write_file(&mut chance, &site.publish().join("film"), 100 << 20);
    write_tree(&mut chance, &site.publish().join("tree"));
    let before = ["film", "tree"].map(|name| daemon.api.seeding(name));
    assert!(daemon.bytes_read() > 100 << 20, "hashing reads, so the measure works");
    daemon.end();

    let daemon = site.start();
    assert_seeds_again(&daemon, &before);
    // And goes on to be so after the first look at the folder.
    std::thread::sleep(Duration::from_secs(3));
    assert_seeds_again(&daemon, &before);
    // As after a power cut.
    daemon.kill();
    assert_seeds_again(&site.start(), &before);
}

#[test]
fn a_file_that_changed_meanwhile_is_not_seeded_under_the_old_hash() {
    let site = Site::new();
    let daemon = site.start();
    let path = site.publish().join("file");
    std::fs::write(&path, b"first").unwrap();
    let first = daemon.api.seeding("file");
    daemon.end();
    std::fs::write(&path, b"other").unwrap();
    let daemon = site.start();
    system_tests::wait::until_holds("the old one is retired", Duration::from_secs(5), || {
        let old = format!("/torrents/{}.torrent", first.info_hash);
        daemon.api.get(&old).status == 404
    });
    assert_ne!(daemon.api.seeding("file").info_hash, first.info_hash);
}

#[test]
fn a_download_in_progress_survives_kill_9() {
    if !network::make_private() {
        return system_tests::left_out(
            "kill -9 while a client downloads",
            "no network of its own for fixed ports",
        );
    }
    // Slow enough to be in progress for a while, and ports that are the same after the restart.
    let site = Site::new().with_config("[limits]\nupload_rate = \"4 MiB/s\"\n").with_options(&[
        "--web",
        "127.0.0.1:8080",
        "--tracker",
        "127.0.0.1:6969",
        "--peer",
        "127.0.0.1:6881",
    ]);
    let daemon = site.start();
    write_file(&mut Chance::fresh(), &site.publish().join("film"), 32 << 20);
    let film = daemon.api.seeding("film");
    let torrent = film.torrent_without_web_seeds(site.folder());

    let folder = site.folder().join("download");
    let mut download = Client::Libtorrent.start(&torrent, &folder);
    system_tests::wait::until_holds("the download is under way", Duration::from_secs(20), || {
        daemon.api.item("film").is_some_and(|item| item["uploaded_bytes"].as_u64() > Some(4 << 20))
    });
    assert!(download.process.is_running());
    daemon.kill();
    let daemon = site.start();
    download.finish(DOWNLOAD);
    assert_same(&site.publish().join("film"), &folder.join("film"));
    daemon.end();
}

#[test]
fn sums_are_kept_over_a_restart() {
    let site = Site::new();
    let daemon = site.start();
    write_file(&mut Chance::fresh(), &site.publish().join("file"), 1 << 20);
    daemon.api.seeding("file");
    assert_eq!(daemon.api.get("/files/file").body.len(), 1 << 20);
    let sums = |daemon: &Daemon| {
        let item = daemon.api.item("file").unwrap();
        (item["uploaded_bytes"].clone(), item["added"].clone())
    };
    let before = sums(&daemon);
    assert_eq!(before.0, 1 << 20);
    daemon.end();
    assert_eq!(sums(&site.start()), before);
}

/// So much that hashing it is interrupted after some of it was kept, which happens every 20 seconds.
const GIANT: u64 = 96 << 30;

#[test]
fn hashing_a_giant_goes_on_where_it_was_when_the_daemon_was_killed() {
    if !system_tests::thorough() {
        return;
    }
    let site = Site::new();
    let path = site.publish().join("giant");
    std::fs::File::create(&path).unwrap().set_len(GIANT).unwrap();
    let daemon = site.start();
    let kept = || {
        let files = std::fs::read_dir(site.state().join("hashing")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).any(|metadata| metadata.len() > 1000)
    };
    system_tests::wait::until_holds("something is kept", Duration::from_mins(5), kept);
    daemon.kill();

    let daemon = site.start();
    let item = daemon.api.seeding_within("giant", Duration::from_mins(10));
    let read = daemon.api.metric("blackbox_hashed_bytes_total");
    // At least a second's work, of the 20 after which something is kept.
    assert!(read < GIANT - (1 << 30), "{read} of {GIANT} bytes were hashed again");
    system_tests::figure("per cent of a giant that are hashed again after a kill", read * 100 / GIANT);
    assert!(!kept(), "what was kept is not needed any more");
    let hash = std::process::Command::new(system_tests::daemon::program())
        .arg("--hash")
        .arg(&path)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&hash.stdout).starts_with(&item.info_hash.to_string()), "{hash:?}");
}
