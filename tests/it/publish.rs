//! From a file in the publish folder to a seeded item, and back.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use serde_json::Value;
use system_tests::api::{SETTLE, SOON};
use system_tests::content::{Chance, write_file, write_tree};
use system_tests::daemon::{Daemon, Site};
use system_tests::tracker::Announce;
use system_tests::wait;

/// What a test machine with other tests running may add to the times that are promised.
const BUSY: Duration = Duration::from_secs(3);

#[test]
fn a_copied_file_is_seeding_2_seconds_after_settling_and_hashing() {
    let site = Site::new();
    let daemon = site.start();
    let mut chance = Chance::fresh();
    // 64 MB: hashing takes a fraction of a second on any machine, and is allowed one.
    write_file(&mut chance, &site.publish().join("film.bin"), 64 << 20);
    let copied = Instant::now();
    let item = daemon.api.wait_for("film.bin", "settling", Duration::from_secs(3));
    assert_eq!(item["torrent_url"], Value::Null);
    daemon.api.seeding("film.bin");
    let took = copied.elapsed();
    let promised = SETTLE + Duration::from_secs(1 + 2);
    assert!(
        took >= SETTLE.checked_sub(Duration::from_secs(1)).unwrap(),
        "seeding after {took:?}: it had no time to settle"
    );
    assert!(took < promised + BUSY, "seeding after {took:?}");
    daemon.end();
}

#[test]
fn a_file_that_still_grows_is_not_published() {
    let site = Site::new();
    let daemon = site.start();
    let path = site.publish().join("growing");
    let mut chance = Chance::fresh();
    let mut file = File::create(&path).unwrap();
    // Windows Explorer gives a copy its full size first.
    file.set_len(900_000).unwrap();
    // One write every 2 s for longer than settling takes.
    for _ in 0..9 {
        file.write_all(&chance.bytes(100_000)).unwrap();
        wait::holds_for("not seeding", Duration::from_secs(2), || {
            daemon.api.item("growing").is_none_or(|item| item["state"] != "seeding")
        });
    }
    drop(file);
    daemon.api.seeding("growing");
    assert!(daemon.api.get("/files/growing").body == fs::read(path).unwrap(), "all of it is published");
}

#[test]
fn a_file_that_a_program_still_holds_open_is_not_published() {
    let site = Site::new();
    let daemon = site.start();
    let mut file = File::create(site.publish().join("open")).unwrap();
    file.write_all(b"content").unwrap();
    // Longer than settling takes.
    wait::holds_for("not seeding", SETTLE + Duration::from_secs(4), || {
        daemon.api.item("open").is_none_or(|item| item["state"] != "seeding")
    });
    let error = daemon.api.item("open").unwrap()["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains("open"), "{error:?} does not say what is waited for");
    drop(file);
    daemon.api.seeding("open");
}

#[test]
fn deleting_takes_back_and_the_same_bytes_give_the_same_hash() {
    let site = Site::new();
    let daemon = site.start();
    let mut chance = Chance::fresh();
    let folder = site.publish().join("folder");
    write_tree(&mut chance, &folder);
    let first = daemon.api.seeding("folder");
    let announce = Announce::new(first.info_hash, 1);
    assert_eq!(announce.http(daemon.tracker).failure, None);

    let aside = site.folder().join("aside");
    fs::rename(&folder, &aside).unwrap();
    wait::until_holds("the item is gone", Duration::from_secs(5), || daemon.api.item("folder").is_none());
    assert_eq!(system_tests::http::get_url(&first.torrent_url).status, 404);
    let failure = announce.http(daemon.tracker).failure;
    assert_eq!(failure.as_deref(), Some("this torrent is no longer published here"));

    // Copied, not moved back: other inodes and times, the same bytes.
    system_tests::process::run("cp", ["-r".as_ref(), aside.as_os_str(), folder.as_os_str()]);
    assert_eq!(daemon.api.seeding("folder"), first);
}

#[test]
fn a_changed_file_is_published_anew_under_another_hash() {
    let site = Site::new();
    let daemon = site.start();
    let path = site.publish().join("file");
    fs::write(&path, b"first").unwrap();
    let first = daemon.api.seeding("file");
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b" and second").unwrap();
    wait::until_holds("the old one is retired", Duration::from_secs(5), || {
        system_tests::http::get_url(&first.torrent_url).status == 404
    });
    let second = daemon.api.seeding("file");
    assert_ne!(second.info_hash, first.info_hash);
}

#[test]
fn what_can_not_be_published_is_said_and_the_rest_is_published() {
    let site = Site::new();
    let daemon = site.start();
    let publish = site.publish();
    fs::write(publish.join("good"), b"x").unwrap();
    fs::write(publish.join(OsStr::from_bytes(b"bad \xff name")), b"x").unwrap();
    fs::create_dir(publish.join("empty folder")).unwrap();
    fs::create_dir(publish.join("folder")).unwrap();
    fs::write(publish.join("folder").join(OsStr::from_bytes(b"inner \xe9")), b"x").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", publish.join("link")).unwrap();
    for hidden in [".hidden", "half.part", "Thumbs.db"] {
        fs::write(publish.join(hidden), b"x").unwrap();
    }
    daemon.api.seeding("good");

    let bad = daemon.api.wait_for("./bad \\xff name", "failed", SOON);
    assert!(bad["error"].as_str().unwrap().contains("UTF-8"), "{bad}");
    let folder = daemon.api.wait_for("folder", "failed", SOON);
    assert!(folder["error"].as_str().unwrap().contains("inner"), "{folder}");
    let empty = daemon.api.item("empty folder").expect("an empty folder is shown");
    assert_ne!(empty["state"], "seeding");
    assert!(empty["error"].as_str().unwrap().contains("empty"), "{empty}");
    let link = daemon.api.wait_for("link", "failed", SOON);
    assert!(!link["error"].as_str().unwrap().is_empty(), "{link}");
    let names: Vec<_> =
        daemon.api.items().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    // The page says so in words.
    let page = daemon.api.get("/");
    assert!(page.text().contains("UTF-8"), "{}", page.text());

    // What is mended is published.
    fs::rename(publish.join("folder").join(OsStr::from_bytes(b"inner \xe9")), publish.join("folder/inner"))
        .unwrap();
    daemon.api.seeding("folder");
}

#[test]
fn a_name_that_is_not_utf8_does_no_harm_to_one_that_looks_like_it() {
    let site = Site::new();
    let daemon = site.start();
    let publish = site.publish();
    fs::write(publish.join("caf\u{fffd}"), b"good").unwrap();
    let good = daemon.api.seeding("caf\u{fffd}");
    fs::write(publish.join(OsStr::from_bytes(b"caf\xe9")), b"bad").unwrap();
    daemon.api.wait_for("./caf\\xe9", "failed", Duration::from_secs(5));
    assert_eq!(daemon.api.seeding_within("caf\u{fffd}", Duration::from_secs(1)), good);
    fs::remove_file(publish.join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
    wait::until_holds("it is not shown any more", Duration::from_secs(5), || daemon.api.items().len() == 1);
}

#[test]
fn a_file_that_is_open_for_writing_is_not_published() {
    let site = Site::new();
    let daemon = site.start();
    let path = site.publish().join("slow copy");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"half of it").unwrap();
    // A copy that pauses for longer than settling takes.
    wait::until_holds("it is said what is missing", SOON, || {
        daemon.api.item("slow copy").is_some_and(|item| {
            item["error"].as_str().is_some_and(|error| error.contains("open in a program"))
        })
    });
    assert_ne!(daemon.api.item("slow copy").unwrap()["state"], "seeding");
    file.write_all(b", and the rest").unwrap();
    drop(file);
    daemon.api.seeding("slow copy");
    assert_eq!(daemon.api.get("/files/slow%20copy").body, b"half of it, and the rest");
}

#[test]
fn folders_that_are_seen_before_anything_is_in_them_are_published_too() {
    let site = Site::new();
    let daemon = site.start();
    // Filled while the daemon is about to hear of their being there.
    for number in 0..500 {
        let folder = site.publish().join(format!("folder {number}"));
        fs::create_dir(&folder).unwrap();
        File::create(folder.join("empty")).unwrap();
        std::thread::sleep(Duration::from_micros(number));
        fs::write(folder.join("file"), b"content").unwrap();
    }
    wait_for_all(&daemon, 500, 2);
}

#[test]
fn what_is_put_into_a_new_folder_of_a_published_item_is_published_too() {
    let site = Site::new();
    let folder = |number: u64| site.publish().join(format!("folder {number}"));
    for number in 0..500 {
        fs::create_dir(folder(number)).unwrap();
        fs::write(folder(number).join("file"), b"content").unwrap();
    }
    let daemon = site.start();
    wait_for_all(&daemon, 500, 1);
    // As above: while the daemon is about to hear of the new folder.
    for number in 0..500 {
        let more = folder(number).join("more");
        fs::create_dir(&more).unwrap();
        std::thread::sleep(Duration::from_micros(number));
        fs::write(more.join("file"), b"content").unwrap();
    }
    wait_for_all(&daemon, 500, 2);
}

/// Waits until so many items of so many files each are seeding, and nothing else is there.
#[track_caller]
fn wait_for_all(daemon: &Daemon, count: usize, files: usize) {
    let mut others = Vec::new();
    let published = wait::try_until(SOON, || {
        let is_right = |item: &Value| item["state"] == "seeding" && item["file_count"] == files;
        let (right, wrong): (Vec<_>, Vec<_>) = daemon.api.items().into_iter().partition(is_right);
        others = wrong;
        (others.is_empty() && right.len() == count).then_some(())
    });
    assert!(published.is_some(), "not all are published with {files} files: {others:#?}");
}

#[test]
fn a_rewrite_that_sets_the_time_back_is_noticed() {
    let site = Site::new();
    let daemon = site.start();
    let path = site.publish().join("file");
    fs::write(&path, b"first").unwrap();
    let first = daemon.api.seeding("file");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(b"other").unwrap();
    file.set_modified(time).unwrap();
    drop(file);
    wait::until_holds("the old one is retired", Duration::from_secs(5), || {
        system_tests::http::get_url(&first.torrent_url).status == 404
    });
    assert_ne!(daemon.api.seeding("file").info_hash, first.info_hash);
}

#[test]
fn a_small_item_does_not_wait_for_a_giant() {
    let site = Site::new();
    let daemon = site.start();
    let publish = site.publish();
    // 8 TiB of nothing: hours of hashing.
    for giant in ["giant 1", "giant 2"] {
        File::create(publish.join(giant)).unwrap().set_len(8 << 40).unwrap();
    }
    daemon.api.wait_for("giant 1", "hashing", SOON);
    let waits = || {
        let error = |name| daemon.api.item(name).and_then(|item| item["error"].as_str().map(str::to_owned));
        [error("giant 1"), error("giant 2")].into_iter().flatten().any(|error| error.contains("turn"))
    };
    wait::until_holds("the other giant says that it waits", Duration::from_secs(5), waits);
    fs::write(publish.join("small"), b"content").unwrap();
    daemon.api.seeding("small");
    // It ends in time, too.
    daemon.end();
}

#[test]
fn more_than_a_torrent_can_hold_is_refused_at_once() {
    let site = Site::new();
    let daemon = site.start();
    let folder = site.publish().join("folder");
    fs::create_dir(&folder).unwrap();
    for name in ["a", "b", "c"] {
        // In memory, a file can be as large as a number.
        File::create(folder.join(name)).unwrap().set_len(6 << 40).unwrap();
    }
    let item = daemon.api.wait_for("folder", "failed", Duration::from_secs(5));
    assert!(item["error"].as_str().unwrap().contains("larger than 16 TiB"), "{item}");
    fs::write(site.publish().join("good"), b"x").unwrap();
    daemon.api.seeding("good");
}

#[test]
fn a_missing_publish_folder_takes_nothing_back() {
    let site = Site::new();
    let daemon = site.start();
    fs::write(site.publish().join("kept"), b"content").unwrap();
    let before = daemon.api.seeding("kept");

    let away = site.folder().join("away");
    fs::rename(site.publish(), &away).unwrap();
    let item = daemon.api.wait_for("kept", "offline", Duration::from_secs(10));
    assert_eq!(item["info_hash_v1"], before.info_hash.to_string(), "it is still the same item");
    let problems = daemon.api.problems();
    assert!(problems.iter().any(|sentence| sentence.contains("publish folder")), "{problems:?}");
    assert!(daemon.api.get("/").text().contains("publish folder"));

    // An empty folder in its place, as when a disk is not mounted, is not taken for the real one.
    fs::create_dir(site.publish()).unwrap();
    wait::holds_for("offline", Duration::from_secs(5), || {
        daemon.api.item("kept").is_some_and(|item| item["state"] == "offline")
    });
    fs::remove_dir(site.publish()).unwrap();

    fs::rename(&away, site.publish()).unwrap();
    // Back without settling or hashing.
    assert_eq!(daemon.api.seeding_within("kept", Duration::from_secs(6)), before);
    wait::until_holds("no problem", Duration::from_secs(5), || daemon.api.problems().is_empty());
}

#[test]
fn a_missing_publish_folder_at_start_takes_nothing_back() {
    let site = Site::new();
    let daemon = site.start();
    fs::write(site.publish().join("kept"), b"content").unwrap();
    let before = daemon.api.seeding("kept").info_hash;
    daemon.end();
    let away = site.folder().join("away");
    fs::rename(site.publish(), &away).unwrap();
    let daemon = site.start();
    daemon.api.wait_for("kept", "offline", Duration::from_secs(5));
    fs::rename(&away, site.publish()).unwrap();
    assert_eq!(daemon.api.seeding_within("kept", Duration::from_secs(6)).info_hash, before);
}

#[test]
fn a_thousand_small_items_are_all_published() {
    let site = Site::new();
    for number in 0..1000 {
        fs::write(site.publish().join(format!("item {number:04}")), format!("content of {number}")).unwrap();
    }
    let daemon = site.start();
    let seeding = || daemon.api.items().iter().filter(|item| item["state"] == "seeding").count();
    wait::until_holds("all are seeding", Duration::from_mins(1), || seeding() == 1000);
    daemon.end();
}
