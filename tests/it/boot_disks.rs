//! What becomes of the data when the image is flashed again, when no tool can repair it, and when it is on another disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use system_tests::content::{Chance, write_file};
use system_tests::disc;
use system_tests::image::Disk;
use system_tests::process::run;
use system_tests::vm::{DISC, Hardware, Vm};

use super::boot::{bench, import};

/// Time in which what was published before is seeding again, on a busy test machine; it is not hashed for that.
const AGAIN: Duration = Duration::from_secs(20);

/// Time in which it is when it has to be hashed first.
const ANEW: Duration = Duration::from_mins(1);

/// What a file system has in its beginning, in bytes, without which nobody can tell what it is.
const HEADER: usize = 1 << 20;

/// Burns a disc with one file, and returns the file too.
fn burn(bench: &Path, label: &str) -> (PathBuf, PathBuf) {
    let film = bench.join(label).join("film.bin");
    write_file(&mut Chance::fresh(), &film, 3 << 20);
    (disc::burn(&bench.join(label), label, &bench.join(format!("{label}.iso"))), film)
}

fn start(disk: &Disk, others: &[&Path]) -> Vm {
    let others = others.iter().map(|other| other.to_path_buf()).collect();
    let mut vm = Vm::start(disk, &Hardware { others, direct: true, ..Hardware::default() });
    vm.wait_until_ready();
    vm
}

/// Demands that the page and the screen tell what is wrong, in these words.
#[track_caller]
fn assert_problem(vm: &mut Vm, words: &[&str]) {
    let problems = vm.api.problems();
    let is_it = |problem: &String| words.iter().all(|words| problem.contains(words));
    assert!(problems.iter().any(is_it), "{words:?}: {problems:?}");
    vm.wait_for_story(&["ready web=", words[0]], ANEW);
}

#[test]
fn data_outlives_a_new_image_and_what_no_tool_can_repair() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    let mut vm = start(&disk, &[]);
    let (kept, film) = burn(bench, "KEPT");
    let (spoilt, _) = burn(bench, "SPOILT");
    let (item, _) = import(&mut vm, &kept, "KEPT", DISC);
    import(&mut vm, &spoilt, "SPOILT", DISC);
    vm.power_off();
    let identity = disk.data_identity();

    disk.flash_again();
    let vm = start(&disk, &[]);
    assert_eq!(vm.api.seeding_within("KEPT", AGAIN), item);
    assert_eq!(vm.api.metric("blackbox_hashed_bytes_total"), 0, "it was hashed again");
    assert_eq!(vm.api.problems(), Vec::<String>::new());
    vm.power_off();
    assert_eq!(disk.data_identity(), identity);
    assert!(disk.data_is_clean());

    // What can still be read is served.
    disk.spoil_file("publish/SPOILT/film.bin");
    let mut vm = start(&disk, &[]);
    assert_problem(&mut vm, &["is damaged", "is only read", "repair or replace the disk"]);
    assert_eq!(vm.api.seeding_within("KEPT", ANEW).hashes, item.hashes);
    assert!(vm.api.get("/files/KEPT/film.bin").body == fs::read(film).unwrap(), "other bytes");
    assert!(vm.api.item("SPOILT").is_none_or(|item| item["state"] != "seeding"));
    vm.power_off();
    assert_eq!(disk.data_identity(), identity);

    // What can't even be told to be a file system is not formatted either.
    let header = disk.read_data(HEADER);
    disk.write_data(&vec![0; HEADER]);
    let mut vm = start(&disk, &[]);
    assert_problem(&mut vm, &["its file system is not recognised", "It stays untouched"]);
    assert_eq!(vm.api.items(), Vec::<serde_json::Value>::new());
    vm.power_off();
    assert!(disk.read_data(HEADER) == vec![0; HEADER], "something was written");
    disk.write_data(&header);
    assert_eq!(disk.data_identity(), identity);
}

#[test]
fn data_on_another_disk_is_used_unless_there_are_two_and_foreign_disks_are_not_touched() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    let (other, foreign) = (make_disk(bench, "BLACKBOX-DATA"), make_disk(bench, "holiday"));
    let before = fs::read(&foreign).unwrap();
    let mut vm = start(&disk, &[&foreign, &other]);
    assert_eq!(vm.api.problems(), Vec::<String>::new());
    let (content, _) = burn(bench, "CONTENT");
    let (item, _) = import(&mut vm, &content, "CONTENT", DISC);
    vm.power_off();
    assert!(!disk.has_data_partition());
    run("e2fsck", ["-f".as_ref(), "-n".as_ref(), other.as_os_str()]);

    // In another order, and then with the one that a box makes which has none.
    let vm = start(&disk, &[&other, &foreign]);
    assert_eq!(vm.api.seeding_within("CONTENT", AGAIN), item);
    assert_eq!(vm.api.metric("blackbox_hashed_bytes_total"), 0, "it was hashed again");
    vm.power_off();
    let vm = start(&disk, &[&foreign]);
    assert_eq!(vm.api.items(), Vec::<serde_json::Value>::new());
    vm.power_off();
    assert!(disk.has_data_partition());
    let both = (fs::read(&other).unwrap(), disk.data_identity());
    let mut vm = start(&disk, &[&other]);
    assert_problem(
        &mut vm,
        &["Several data partitions are connected", "vda3", "vdb", "nothing is published"],
    );
    assert_eq!(vm.api.items(), Vec::<serde_json::Value>::new());
    vm.power_off();
    assert!((fs::read(&other).unwrap(), disk.data_identity()) == both, "something was written");
    assert!(fs::read(&foreign).unwrap() == before, "something was written");
}

/// A disk with one file system and no partitions, as people make it who have read that there can be a second one.
fn make_disk(bench: &Path, label: &str) -> PathBuf {
    let path = bench.join(format!("{label}.img"));
    File::create(&path).and_then(|file| file.set_len(300 << 20)).unwrap();
    run(
        "mke2fs",
        ["-q".as_ref(), "-t".as_ref(), "ext4".as_ref(), "-L".as_ref(), label.as_ref(), path.as_os_str()],
    );
    path
}
