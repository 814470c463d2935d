//! Discs that can't be published, and what else goes wrong: nothing half is published, and people are told why.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use appliance::message::{ToDaemon, ToInit};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::init::disc;
use system_tests::tracker::Announce;
use system_tests::volume::Volume;
use system_tests::wait;

use super::import::{IMPORT, assert_no_litter, disc_folder, start};

#[test]
fn two_drives_are_not_promised_the_same_room() {
    let site = Site::new();
    let Some(_volume) = Volume::mount(&site.publish(), 128) else {
        return system_tests::left_out("two discs for the room of one", "this machine allows no mounts");
    };
    let (daemon, mut init) = start(&site);
    let drives = ["sr0", "sr1"];
    for drive in drives {
        let mount = site.folder().join(drive);
        write_file(&mut Chance::fresh(), &mount.join("large"), 64 << 20);
        init.send(&ToDaemon::MediumInserted(disc(drive, Some(drive), &mount)));
    }
    for drive in drives {
        init.wait_for_eject_of(drive, IMPORT);
    }
    // What became of them may be on show a moment after they are given back.
    let failed = wait::until("one is published, the other fails", IMPORT, || {
        let items = daemon.api.items();
        let in_state = |state: &str| items.iter().find(|item| item["state"] == state).cloned();
        in_state("seeding").and(in_state("failed")).filter(|_| items.len() == 2)
    });
    assert!(failed["error"].as_str().unwrap().contains("are free"), "{failed}");
    daemon.end();
}

/// The disc `mount` publishes nothing; it is given back, and the page says why in words that contain `word`.
#[track_caller]
pub(super) fn assert_refused(site: &Site, mount: &Path, word: &str) {
    let (daemon, mut init) = start(site);
    fs::write(site.publish().join("good"), b"x").unwrap();
    daemon.api.seeding("good");
    init.insert(Some("BAD"), mount);
    init.wait_for_eject(IMPORT);
    let item = daemon.api.wait_for("BAD", "failed", Duration::from_secs(2));
    let error = item["error"].as_str().unwrap();
    assert!(error.contains(word) && error.contains(' '), "{error}");
    assert!(daemon.api.get("/").text().contains("BAD"));
    init.wait_for("the screen", IMPORT, |message| {
        matches!(message, ToInit::Screen { problems, .. } if problems.iter().any(|p| p.contains(word)))
            .then_some(())
    });
    daemon.api.seeding("good");
    assert!(!site.publish().join("BAD").exists());
    assert_no_litter(site);
    daemon.end();
}

#[test]
fn an_empty_disc_publishes_nothing_and_says_why() {
    let site = Site::new();
    let mount = site.folder().join("disc");
    fs::create_dir(&mount).unwrap();
    assert_refused(&site, &mount, "no files");
}

#[test]
fn a_name_that_is_not_utf_8_is_named() {
    let site = Site::new();
    let mount = site.folder().join("disc");
    fs::create_dir(&mount).unwrap();
    fs::write(mount.join(OsStr::from_bytes(b"caf\xe9.txt")), b"x").unwrap();
    assert_refused(&site, &mount, "UTF-8");
}

#[test]
fn a_disc_that_does_not_fit_publishes_nothing_and_says_why() {
    let site = Site::new();
    let mount = site.folder().join("disc");
    fs::create_dir(&mount).unwrap();
    // Sparse: larger than any disk that tests run on.
    let volume = nix::sys::statvfs::statvfs(site.folder()).unwrap();
    let size = volume.blocks() * volume.fragment_size() + (1 << 30);
    fs::File::create(mount.join("huge")).unwrap().set_len(size).unwrap();
    assert_refused(&site, &mount, "free");
}

#[test]
fn a_full_disk_takes_no_disc_and_keeps_what_is_published() {
    let site = Site::new();
    let Some(_volume) = Volume::mount(site.folder(), 64) else {
        return system_tests::left_out("a full disk", "this machine allows no mounts");
    };
    write_file(&mut Chance::fresh(), &site.publish().join("kept"), 8 << 20);
    let content = fs::read(site.publish().join("kept")).unwrap();
    let (daemon, _init) = start(&site);
    let kept = daemon.api.seeding("kept");
    let mount = site.folder().join("disc");
    write_file(&mut Chance::fresh(), &mount.join("file"), 1 << 20);
    // To the last byte.
    let filler = site.folder().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);

    let still_serves = |daemon: &Daemon| {
        assert_eq!(daemon.api.seeding_within("kept", Duration::from_secs(2)).info_hash, kept.info_hash);
        assert!(daemon.api.get("/files/kept").body == content);
        assert_eq!(Announce::new(kept.info_hash, 1).http(daemon.tracker).failure, None);
    };
    still_serves(&daemon);
    daemon.end();
    let (daemon, mut init) = start(&site);
    still_serves(&daemon);
    init.insert(Some("DISC"), &mount);
    init.wait_for_eject(IMPORT);
    let item = daemon.api.wait_for("DISC", "failed", Duration::from_secs(2));
    assert!(item["error"].as_str().unwrap().contains("free"), "{item}");
    still_serves(&daemon);

    fs::remove_file(filler).unwrap();
    init.insert(Some("DISC"), &mount);
    init.wait_for_eject(IMPORT);
    daemon.api.seeding_within("DISC", Duration::from_secs(2));
    daemon.end();
}

#[test]
fn a_disc_that_is_pulled_out_publishes_nothing_and_says_why() {
    let site = Site::new();
    let (daemon, mut init) = start(&site);
    let mount = site.folder().join("disc");
    // A sparse file takes long enough to be copied.
    fs::create_dir(&mount).unwrap();
    fs::File::create(mount.join("long")).unwrap().set_len(2 << 30).unwrap();
    init.insert(Some("PULLED"), &mount);
    let item = daemon.api.wait_for("PULLED", "copying", Duration::from_secs(10));
    assert!(item["progress"].as_f64().unwrap() < 1.0);
    init.send(&ToDaemon::MediumRemoved { drive: "sr0".into() });
    let item = daemon.api.wait_for("PULLED", "failed", Duration::from_secs(10));
    assert!(item["error"].as_str().unwrap().contains("taken out"), "{item}");
    wait::until_holds("the copy is gone", Duration::from_secs(5), || !site.publish().join("PULLED").exists());
    assert_no_litter(&site);
}

#[test]
fn a_copy_cut_off_by_kill_9_leaves_nothing_behind() {
    let site = Site::new();
    let (daemon, mut init) = start(&site);
    let mount = site.folder().join("disc");
    fs::create_dir(&mount).unwrap();
    fs::File::create(mount.join("long")).unwrap().set_len(2 << 30).unwrap();
    init.insert(Some("CUT"), &mount);
    daemon.api.wait_for("CUT", "copying", Duration::from_secs(10));
    daemon.kill();
    let (daemon, mut init) = start(&site);
    wait::until_holds("no litter", Duration::from_secs(5), || {
        fs::read_dir(site.publish())
            .unwrap()
            .all(|entry| !entry.unwrap().file_name().as_bytes().starts_with(b".import"))
    });
    // Init tells a restarted daemon of the disc again, and all is well.
    fs::File::create(mount.join("long")).unwrap().set_len(1 << 20).unwrap();
    init.insert(Some("CUT"), &mount);
    init.wait_for_eject(IMPORT);
    daemon.api.seeding("CUT");
}

#[test]
fn init_is_heard_and_its_mistakes_are_survived() {
    let site = Site::new();
    let (daemon, mut init) = start(&site);
    let sentence = "No network cable in eth0: plug one in.";
    init.send(&ToDaemon::Problems { sentences: vec![sentence.into()] });
    wait::until_holds("the problem is shown", Duration::from_secs(2), || daemon.api.problems() == [sentence]);
    assert!(daemon.api.get("/").text().contains(sentence));
    init.send(&ToDaemon::Problems { sentences: Vec::new() });
    wait::until_holds("it is solved", Duration::from_secs(2), || daemon.api.problems().is_empty());
    init.send(&ToDaemon::MediumUnusable {
        drive: "sr0".into(),
        reason: "This is an audio CD; it can't be published.".into(),
    });
    wait::until_holds("the reason is shown", Duration::from_secs(2), || {
        daemon.api.get("/").text().contains("audio CD")
    });
    init.wait_for("what makes the box hum", IMPORT, |message| {
        matches!(message, ToInit::Imported { published: false }).then_some(())
    });
    // The disc is given back at once, so the reason must outlast it, until the next one comes.
    init.send(&ToDaemon::MediumRemoved { drive: "sr0".into() });
    init.send(&ToDaemon::Addresses {
        addresses: vec!["192.0.2.1".parse().unwrap()],
        name: Some("attic.local".into()),
    });
    let mount = disc_folder(&site, "disc");
    assert!(daemon.api.get("/").text().contains("audio CD"));
    init.insert(Some("NEXT"), &mount);
    init.wait_for_eject(IMPORT);
    daemon.api.seeding("NEXT");
    assert!(!daemon.api.get("/").text().contains("audio CD"));
    // PID 1 dies only with the machine; a daemon that outlives it must not spin or fall.
    drop(init);
    wait::holds_for("it still answers", Duration::from_secs(2), || daemon.api.get("/healthz").status == 200);
    daemon.end();
}

#[test]
fn a_pipe_on_a_disc_does_not_block_the_box() {
    let site = Site::new();
    let mount = site.folder().join("disc");
    fs::create_dir(&mount).unwrap();
    mkfifo(&mount.join("pipe"), Mode::S_IRUSR).unwrap();
    assert_refused(&site, &mount, "pipe");
}
