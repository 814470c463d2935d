//! Discs that init has mounted: copied, published, known again, ejected.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::import_mishaps::assert_refused;
use appliance::message::{Medium, ToDaemon, ToInit};
use system_tests::content::{Chance, assert_same, write_file, write_tree};
use system_tests::daemon::{Daemon, Site};
use system_tests::init::{Init, disc};
use system_tests::wait;

/// A disc of a few megabytes is read, published and given back within this.
pub(super) const IMPORT: Duration = Duration::from_secs(20);

/// What was shown of the medium itself goes this soon after.
pub(super) const AFTERWARDS: Duration = Duration::from_secs(1);

pub(super) fn start(site: &Site) -> (Daemon, Init) {
    let (daemon, mut init) = site.start_with_init();
    let port = init.wait_for("ready", IMPORT, |message| match message {
        ToInit::Ready { web_port } => Some(*web_port),
        _ => None,
    });
    assert_eq!(port, daemon.api.address.port());
    (daemon, init)
}

/// A folder that stands for a mounted disc.
pub(super) fn disc_folder(site: &Site, name: &str) -> PathBuf {
    let mount = site.folder().join(name);
    write_tree(&mut Chance::fresh(), &mount);
    mount
}

/// Nothing that is half done is left in the publish folder.
pub(super) fn assert_no_litter(site: &Site) {
    let litter: Vec<_> = fs::read_dir(site.publish())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".import"))
        .collect();
    assert!(litter.is_empty(), "{litter:?}");
}

#[test]
fn a_disc_is_published_under_its_label_and_ejected() {
    let site = Site::new();
    let (daemon, mut init) = start(&site);
    let mount = disc_folder(&site, "disc");
    write_file(&mut Chance::fresh(), &mount.join("big"), 20 << 20);
    init.insert(Some("HOLIDAY_2024"), &mount);
    init.wait_for_eject(IMPORT);
    // The tray opens when the world can download it, not before; and without settling.
    let item = daemon.api.seeding_within("HOLIDAY_2024", Duration::from_millis(100));
    assert_same(&mount, &site.publish().join("HOLIDAY_2024"));
    assert_eq!(item.metainfo().1.name, "HOLIDAY_2024");
    init.wait_for("what makes the box chime", IMPORT, |message| {
        matches!(message, ToInit::Imported { published: true }).then_some(())
    });
    // It is on the screen.
    init.wait_for("the screen", IMPORT, |message| {
        matches!(message, ToInit::Screen { seeding: 1, activity: None, .. }).then_some(())
    });
    assert_no_litter(&site);

    // The watch sees the copy too, and makes nothing new of it.
    let hash = item.info_hash;
    wait::holds_for("published once", Duration::from_secs(13), || {
        let items = daemon.api.items();
        items.len() == 1 && items[0]["info_hash_v1"] == hash.to_string() && items[0]["state"] == "seeding"
    });
    // And so does a restart.
    daemon.end();
    let (daemon, mut init) = start(&site);
    assert_eq!(daemon.api.seeding_within("HOLIDAY_2024", Duration::from_secs(2)).info_hash, hash);
    // The same disc again is known, and given back at once.
    init.insert(Some("HOLIDAY_2024"), &mount);
    init.wait_for_eject(IMPORT);
    wait::until_holds("still one item", AFTERWARDS, || daemon.api.items().len() == 1);
}

#[test]
fn a_second_disc_of_the_same_label_gets_a_name_of_its_own() {
    let site = Site::new();
    let (daemon, mut init) = start(&site);
    let mut names = std::collections::HashSet::new();
    for number in 0..3 {
        let mount = disc_folder(&site, &format!("disc {number}"));
        init.insert(Some("BACKUP"), &mount);
        init.wait_for_eject(IMPORT);
        init.send(&ToDaemon::MediumRemoved { drive: "sr0".into() });
        wait::until_holds("one more item", AFTERWARDS, || daemon.api.items().len() == number + 1);
        names.extend(daemon.api.items().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
    }
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn labels_that_are_no_names_become_names() {
    let site = Site::new();
    let (daemon, mut init) = start(&site);
    for label in
        [None, Some(""), Some(".."), Some("a/../../b"), Some(".hidden"), Some("x\n\u{1}y"), Some("  ")]
    {
        let mount = disc_folder(&site, "disc");
        init.insert(label, &mount);
        init.wait_for_eject(IMPORT);
        init.send(&ToDaemon::MediumRemoved { drive: "sr0".into() });
        wait::until_holds("published, and nothing else", AFTERWARDS, || {
            daemon.api.items().iter().all(|item| item["state"] == "seeding")
        });
        fs::remove_dir_all(mount).unwrap();
    }
    assert_eq!(daemon.api.items().len(), 7);
    for item in daemon.api.items() {
        let name = item["name"].as_str().unwrap();
        assert!(
            !name.contains(['/', '\n', '\u{1}']) && !name.starts_with('.') && !name.trim().is_empty(),
            "{name:?}"
        );
        assert!(site.publish().join(name).is_dir(), "{name:?}");
    }
}

/// Gives every file below `folder` the same time, as makers of discs do that must be reproducible.
fn set_times(folder: &Path) {
    for path in system_tests::content::files(folder).values() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
}

/// Inserts a medium, waits until it is given back, and returns how many bytes the daemon read meanwhile.
fn bytes_read_of(daemon: &Daemon, init: &mut Init, medium: Medium) -> u64 {
    let (before, drive) = (daemon.bytes_read(), medium.drive.clone());
    init.send(&ToDaemon::MediumInserted(medium));
    init.wait_for_eject_of(&drive, IMPORT);
    let read = daemon.bytes_read() - before;
    init.send(&ToDaemon::MediumRemoved { drive });
    read
}

/// Names of all items, sorted.
fn names(daemon: &Daemon) -> Vec<String> {
    let mut names: Vec<_> =
        daemon.api.items().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn discs_that_differ_in_nothing_but_content_are_told_apart() {
    const SIZE: u64 = 48 << 20;
    let site = Site::new();
    let (daemon, mut init) = start(&site);
    let [first, second, third] = ["first", "second", "third"].map(|name| {
        let mount = site.folder().join(name);
        write_file(&mut Chance::fresh(), &mount.join("large"), SIZE);
        fs::write(mount.join("name"), &name[..4]).unwrap();
        mount
    });
    // This one is as the first but for one byte, as containers of encrypted files are.
    fs::remove_file(third.join("large")).unwrap();
    fs::copy(first.join("large"), third.join("large")).unwrap();
    let file = fs::File::options().read(true).write(true).open(third.join("large")).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 12_345_679).unwrap();
    file.write_all_at(&[!byte[0]], 12_345_679).unwrap();
    fs::write(third.join("name"), "firs").unwrap();
    for mount in [&first, &second, &third] {
        set_times(mount);
    }

    let volume = |mount, uuid: &str| Medium { uuid: Some(uuid.into()), ..disc("sr0", Some("SAME"), mount) };
    for (mount, uuid, expected) in [
        (&first, "1", &["SAME"][..]),
        (&second, "1", &["SAME", "SAME (2)"]),
        (&third, "3", &["SAME", "SAME (2)", "SAME (3)"]),
    ] {
        let read = bytes_read_of(&daemon, &mut init, volume(mount, uuid));
        assert!(read > SIZE, "{read} bytes were read of a new disc");
        wait::until_holds("one more item", AFTERWARDS, || names(&daemon) == expected);
    }
    assert_same(&third, &site.publish().join("SAME (3)"));
    // Each of them again: known, and given back without being read. A restart forgets none of that.
    daemon.end();
    let (daemon, mut init) = start(&site);
    wait::until_holds("seeding again", AFTERWARDS, || names(&daemon).len() == 3);
    for (mount, uuid) in [(&first, "1"), (&second, "1"), (&third, "3")] {
        let read = bytes_read_of(&daemon, &mut init, volume(mount, uuid));
        assert!(read < SIZE / 2, "{read} bytes were read of a known disc");
    }
    // The same files on another disc are read, as only that can tell; and are no other item.
    let read = bytes_read_of(&daemon, &mut init, volume(&first, "4"));
    assert!(read > SIZE, "{read}");
    wait::until_holds("nothing new", AFTERWARDS, || names(&daemon) == ["SAME", "SAME (2)", "SAME (3)"]);
}

#[test]
fn a_disc_can_become_one_image() {
    const SIZE: u64 = 30 << 20;
    let site = Site::new().with_config("[import]\nmode = \"image\"\n");
    let (daemon, mut init) = start(&site);
    let insert = |name: &str| {
        let device = site.folder().join(name);
        if !device.exists() {
            write_file(&mut Chance::fresh(), &device, SIZE + (1 << 20));
        }
        // The drive may have more than the volume.
        let device = device.to_str().unwrap().to_owned();
        Medium { device, size_bytes: SIZE, ..disc("sr0", Some("DISC"), site.folder()) }
    };
    bytes_read_of(&daemon, &mut init, insert("one"));
    bytes_read_of(&daemon, &mut init, insert("two"));
    for (name, device) in [("DISC.iso", "one"), ("DISC (2).iso", "two")] {
        daemon.api.seeding(name);
        let image = fs::read(site.publish().join(name)).unwrap();
        assert!(image == fs::read(site.folder().join(device)).unwrap()[..image.len()], "{name}");
        assert_eq!(image.len() as u64, SIZE);
    }
    let read = bytes_read_of(&daemon, &mut init, insert("two"));
    assert!(read < SIZE, "{read} bytes were read of a known disc");
    wait::until_holds("nothing new", AFTERWARDS, || names(&daemon) == ["DISC (2).iso", "DISC.iso"]);
    // Nothing changed behind the back of the watch.
    wait::holds_for("both are seeding", Duration::from_secs(13), || {
        daemon.api.items().iter().all(|item| item["state"] == "seeding")
    });
}

#[test]
fn only_one_folder_of_a_medium_is_published_if_so_configured() {
    let site = Site::new().with_config("[import]\nfrom_folder = \"PUBLIC\"\n");
    let (daemon, mut init) = start(&site);
    let mount = disc_folder(&site, "stick");
    write_tree(&mut Chance::fresh(), &mount.join("PUBLIC"));
    write_tree(&mut Chance::fresh(), &mount.join("private"));
    init.insert(Some("STICK"), &mount);
    init.wait_for_eject(IMPORT);
    daemon.api.seeding_within("STICK", Duration::from_millis(100));
    assert_same(&mount.join("PUBLIC"), &site.publish().join("STICK"));
    daemon.end();
    fs::remove_dir_all(mount.join("PUBLIC")).unwrap();
    fs::create_dir(mount.join("private/PUBLIC")).unwrap();
    assert_refused(&site, &mount, "no folder PUBLIC");
}

#[test]
fn a_tray_stays_closed_if_so_configured() {
    let site = Site::new().with_config("[import]\neject = false\n");
    let (daemon, mut init) = start(&site);
    init.insert(Some("DISC"), &disc_folder(&site, "disc"));
    daemon.api.seeding_within("DISC", IMPORT);
    init.send(&ToDaemon::MediumUnusable { drive: "sr1".into(), reason: "It is blank.".into() });
    // A stick has no tray, and is let go.
    let stick = Medium { ejectable: false, ..disc("sdb1", Some("STICK"), &disc_folder(&site, "stick")) };
    init.send(&ToDaemon::MediumInserted(stick));
    init.wait_for_eject_of("sdb1", IMPORT);
    assert!(!init.has_heard_eject_of("sr0") && !init.has_heard_eject_of("sr1"));
    assert_eq!(daemon.api.item("DISC").unwrap()["state"], "seeding");
}

#[test]
fn several_drives_are_read_at_once() {
    let site = Site::new();
    let (daemon, mut init) = start(&site);
    let drives = ["sr0", "sr1", "sdb1", "sdc"];
    for drive in drives {
        let mount = disc_folder(&site, drive);
        write_file(&mut Chance::fresh(), &mount.join("large"), 8 << 20);
        init.send(&ToDaemon::MediumInserted(disc(drive, Some("SAME"), &mount)));
    }
    for drive in drives {
        init.wait_for_eject_of(drive, IMPORT);
    }
    let expected = ["SAME", "SAME (2)", "SAME (3)", "SAME (4)"];
    wait::until_holds("one item for each", AFTERWARDS, || names(&daemon) == expected);
    assert_no_litter(&site);
}
