//! What becomes of the data when the image is flashed again, when no tool can repair it, and when it is on another disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use appliance::paths;
use system_tests::image::{Disk, image, is_of_packages};
use system_tests::network::BOX;
use system_tests::process::run;
use system_tests::sabotage::{Victim, initramfs};
use system_tests::vm::{Bus, DISC, Hardware, Quality, Vm};
use system_tests::wait;

use super::boot::{bench, burn, import};

/// Time in which what was published before is seeding again, on a busy test machine; it is not hashed for that.
const AGAIN: Duration = Duration::from_secs(20);

/// Time in which it is when it has to be hashed first.
const ANEW: Duration = Duration::from_mins(1);

/// What a file system has in its beginning, in bytes, without which nobody can tell what it is.
const HEADER: usize = 1 << 20;

fn start(disk: &Disk, others: &[&Path]) -> Vm {
    let others = others.iter().map(|other| other.to_path_buf()).collect();
    let mut vm = Vm::start(disk, &Hardware { others, direct: true, ..Hardware::default() });
    vm.wait_until_ready();
    vm
}

/// Demands that the page and the screen tell what is wrong, in these words.
#[track_caller]
fn assert_problem(vm: &mut Vm, words: &[&str]) {
    let is_it = |problem: &String| words.iter().all(|words| problem.contains(words));
    // Init tells the daemon a moment after that is ready.
    let is_said = || vm.api.problems().iter().any(is_it).then_some(());
    assert!(wait::try_until(AGAIN, is_said).is_some(), "{words:?}: {:?}", vm.api.problems());
    vm.wait_for_story(&["ready web=", words[0]], ANEW);
}

/// Demands that the report has the log of so many starts, the last of them this one, and nobody has tried in vain to write it.
#[track_caller]
fn assert_log_is_in_memory(vm: &Vm, starts: usize) {
    let report = vm.api.report();
    let logs: Vec<_> = report.split("kernel: Linux version").skip(1).collect();
    assert_eq!(logs.len(), starts, "{report}");
    let last = logs.last().expect("some");
    assert!(last.contains("init: boot: daemon") && !last.contains("init: journal: "), "{report}");
}

/// Demands that no process has more rights than it needs, by what the saboteur has written into the log. Those of init's that do
/// not become another program are judged by what they have kept: they give up the rest themselves.
#[track_caller]
fn assert_rights(report: &str) {
    let seen = |what: &str| -> Vec<&str> {
        report.lines().filter(|line| line.contains("watch: ") && line.contains(what)).collect()
    };
    let limits = |uid: u32, capabilities: u64| {
        format!("Uid:{uid} CapEff:{capabilities:016x} CapBnd:{capabilities:016x} NoNewPrivs:1 Seccomp:2 ")
    };
    let (network, administration, modules, commands) = (0x3400, 1 << 21, 1 << 16, 1 << 17);
    let (reads, gives, leaves) = (1 << 2, 1, 1 << 6);
    for (child, limits) in [
        ("exe net {", limits(paths::NETWORK_ID, network)),
        ("exe mdns ", limits(paths::NETWORK_ID, 0)),
        ("exe journal ", limits(paths::LOG_ID, 0)),
        (paths::DAEMON, limits(paths::DAEMON_ID, 0)),
    ] {
        let last = seen(child).pop();
        assert!(last.is_some_and(|line| line.contains(&limits)), "{child}: {limits}: {:#?}", seen("watch: "));
    }
    // Many, each for a moment: of some nothing is seen but how they begin.
    let medium = limits(0, administration | reads | gives | leaves);
    let media = seen("exe media sr0 ");
    assert!(media.iter().any(|line| line.contains(&medium)), "{medium}: {media:#?}");
    // A kernel of sources has no modules to load.
    let loads = is_of_packages(&image()).then(|| (" -a -b -q -- ", limits(0, modules)));
    let tools = [
        ("/usr/sbin/sfdisk Uid", limits(0, administration)),
        ("/usr/sbin/e2fsck Uid", limits(0, 0)),
        ("/usr/sbin/smartctl Uid", limits(0, commands)),
    ];
    for (tool, limits) in tools.into_iter().chain(loads) {
        let seen: Vec<_> = seen(tool).into_iter().filter(|line| !line.contains("exe tool ")).collect();
        assert!(!seen.is_empty(), "{tool}: {report}");
        assert!(seen.iter().all(|line| line.contains(&limits)), "{tool}: {limits}: {seen:#?}");
    }
    for (place, options) in
        [(" /data ext4 ", "rw,nosuid,nodev,noexec,"), (" /media/sr0 iso9660 ", "ro,nosuid,nodev,noexec,")]
    {
        let seen = seen(place);
        assert!(!seen.is_empty(), "{place}: {report}");
        assert!(seen.iter().all(|line| line.contains(&format!("{place}{options}"))), "{seen:#?}");
    }
}

/// Waits until a disk has said how sound it is.
#[track_caller]
fn wait_for_answer_of(vm: &Vm, disk: &str) {
    let metric = format!("blackbox_disk_failing{{disk=\"{disk}\"}}");
    let has_answered = || vm.api.get("/metrics").text().contains(&metric).then_some(());
    assert!(wait::try_until(AGAIN, has_answered).is_some(), "{disk} has not answered: {}", vm.api.report());
}

/// Demands that the box tells how sound its own two disks are, and of no other one.
#[track_caller]
fn assert_disks_are_told_of(vm: &mut Vm) {
    assert_problem(vm, &["says that it is about to fail", "copy what is on it elsewhere and replace it"]);
    let problem = vm.api.problems().join(" ");
    let failing = problem.strip_prefix("The disk ").and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(problem.contains(&format!("{failing} (QEMU NVMe Ctrl) says that")), "{problem}");
    wait_for_answer_of(vm, "sda");
    assert_eq!(vm.api.metric("blackbox_disk_failing{disk=\"sda\"}"), 0);
    assert_eq!(vm.api.metric(&format!("blackbox_disk_failing{{disk=\"{failing}\"}}")), 1);

    let status = vm.api.get("/api/v1/status").json();
    let told: Vec<_> = status["disks"].as_array().unwrap().iter().collect();
    let [nvme, sata] = told[..] else { panic!("the box has two disks: {status}") };
    assert_eq!((&nvme["name"], &nvme["soundness"]), (&failing.into(), &"failing".into()), "{nvme}");
    assert_eq!((&sata["soundness"], &sata["model"]), (&"sound".into(), &"QEMU HARDDISK".into()), "{sata}");
    // As QEMU's disks have it.
    assert_eq!((&sata["power_on_hours"], &sata["reallocated_sectors"]), (&1.into(), &0.into()), "{sata}");
    assert_eq!((&nvme["wear_percent"], &nvme["media_errors"]), (&0.into(), &0.into()), "{nvme}");

    let admin = vm.api.get("/admin");
    for words in [
        format!("<strong>Attention:</strong> {problem}"),
        "sda (QEMU HARDDISK) says that it is sound; 1 hour of running; 0 sectors replaced".into(),
        format!("{failing} (QEMU NVMe Ctrl) says that it is about to fail; 0 hours of running"),
    ] {
        assert!(admin.text().contains(&words), "{words}: {}", admin.text());
    }
    assert!(vm.api.report().contains("Disk health: sda (QEMU HARDDISK) says that it is sound"));
}

#[test]
fn data_outlives_a_new_image_and_what_no_tool_can_repair() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    // Somebody watches the processes of the box.
    let initramfs = Some(initramfs(bench, Victim::Init));
    let watched = Hardware {
        direct: true,
        bus: Bus::Sata,
        initramfs,
        kernel_options: "saboteur=watch",
        ..Hardware::default()
    };
    let mut vm = Vm::start(&disk, &watched);
    vm.wait_until_ready();
    let (kept, film) = burn(bench, "KEPT");
    let (spoilt, _) = burn(bench, "SPOILT");
    let (item, _) = import(&mut vm, &kept, "KEPT", DISC);
    import(&mut vm, &spoilt, "SPOILT", DISC);
    // It is asked a few seconds after the start.
    wait_for_answer_of(&vm, "sda");
    assert_rights(&vm.api.report());
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
    assert_log_is_in_memory(&vm, 3);
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
    assert_log_is_in_memory(&vm, 1);
    vm.power_off();
    assert!(disk.read_data(HEADER) == vec![0; HEADER], "something was written");
    disk.write_data(&header);
    assert_eq!(disk.data_identity(), identity);
}

#[test]
fn data_on_another_disk_is_used_and_waited_for_unless_there_are_two_and_foreign_disks_are_not_touched() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    let (other, foreign) = (make_disk(bench, "BLACKBOX-DATA"), make_disk(bench, "holiday"));
    let before = fs::read(&foreign).unwrap();
    // By the way: one of the box's disks is about to fail, which it says while it still works.
    let others = vec![foreign.clone(), other.clone()];
    let hardware = Hardware {
        bus: Bus::Sata,
        others,
        others_bus: Bus::FailingNvme,
        direct: true,
        ..Hardware::default()
    };
    let mut vm = Vm::start(&disk, &hardware);
    vm.wait_until_ready();
    assert_disks_are_told_of(&mut vm);
    let (content, _) = burn(bench, "CONTENT");
    let (item, _) = import(&mut vm, &content, "CONTENT", DISC);
    vm.power_off();
    assert!(!disk.has_data_partition());
    run("e2fsck", ["-f".as_ref(), "-n".as_ref(), other.as_os_str()]);

    // It is missing, and then it is plugged in.
    let mut vm = start(&disk, &[&foreign]);
    assert_problem(&mut vm, &["The data disk of this box is missing", "connect it", "data-disk.txt"]);
    assert_eq!(vm.api.items(), Vec::<serde_json::Value>::new());
    vm.plug(&other, Quality::default());
    vm.wait_for_ready_lines(2);
    assert_eq!(vm.api.seeding_within("CONTENT", AGAIN), item);
    assert_eq!(vm.api.metric("blackbox_hashed_bytes_total"), 0, "it was hashed again");
    wait::until_holds("all is well", AGAIN, || vm.api.problems().is_empty());
    assert_eq!(vm.api.items().len(), 1, "the disk is not taken for something to be published");
    vm.power_off();
    assert!(!disk.has_data_partition(), "a rival was made");
    run("e2fsck", ["-f".as_ref(), "-n".as_ref(), other.as_os_str()]);
    disk.assert_system_is_clean();

    let second = bench.join("second.img");
    fs::copy(&other, &second).unwrap();
    let content = fs::read(&other).unwrap();
    // By the way: it has the address that it is given, on one of its cards.
    disk.write_settings(&format!("[network]\naddress = \"{BOX}/29\"\ngateway = \"192.168.7.2\"\n"));
    let others = vec![other.clone(), second.clone()];
    let hardware = Hardware { others, direct: true, other_cards: 1, ..Hardware::default() };
    let mut vm = Vm::start(&disk, &hardware);
    vm.wait_until_ready();
    let report = vm.api.report();
    for part in [format!("network.address: {BOX}/29"), format!("cable in, static address {BOX}/29")] {
        assert_eq!(report.matches(&part).count(), 1, "{part}: {report}");
    }
    assert_problem(&mut vm, &["Several data partitions are connected", "vdb, vdc", "nothing is published"]);
    assert_eq!(vm.api.items(), Vec::<serde_json::Value>::new());
    vm.power_off();
    for disk in [&other, &second] {
        assert!(fs::read(disk).unwrap() == content, "something was written");
    }
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
