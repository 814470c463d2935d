//! The image on a machine: what its owner does with it, and what he does wrong.
//!
//! Machines take tens of seconds to boot without hardware acceleration, so each test is a story of several chapters.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use system_tests::api::Published;
use system_tests::clients::{COMMON, Client, DOWNLOAD, make_with_libtorrent};
use system_tests::content::{Chance, assert_downloaded, write_file, write_tree};
use system_tests::image::Disk;
use system_tests::peer::{BLOCK, Peer};
use system_tests::vm::{DISC, Firmware, Hardware, Quality, READY, Vm};
use system_tests::{browser, disc, figure, network, wait};
use tempfile::TempDir;
use torrent::Metainfo;

/// Bytes of the file that makes up most of a disc.
const FILM: u64 = 24 << 20;

/// Connections that a small machine holds.
const CONNECTIONS: u64 = 1000;

/// A folder for a machine, in a network where it can be reached; `None` where there is none.
pub(super) fn bench() -> Option<TempDir> {
    if network::make_lan() {
        // On disk: a machine's disk grows.
        return Some(system_tests::temporary_folder_on_disk());
    }
    system_tests::left_out("the image in QEMU", "no network of its own");
    None
}

/// A disc that holds a tree and a [`FILM`], and the folder it was burnt from.
fn make_disc(bench: &Path, label: &str) -> (PathBuf, PathBuf) {
    let mut chance = Chance::fresh();
    let folder = bench.join(label);
    write_tree(&mut chance, &folder.join("tree"));
    write_file(&mut chance, &folder.join("film.bin"), FILM);
    (disc::burn(&folder, label, &bench.join(format!("{label}.iso"))), folder)
}

/// Burns a disc with one file, and returns the file too.
pub(super) fn burn(bench: &Path, label: &str) -> (PathBuf, PathBuf) {
    let film = bench.join(label).join("film.bin");
    write_file(&mut Chance::fresh(), &film, 3 << 20);
    (disc::burn(&bench.join(label), label, &bench.join(format!("{label}.iso"))), film)
}

/// Inserts a disc and waits until its item is seeding and the tray is open.
#[track_caller]
pub(super) fn import(vm: &mut Vm, disc: &Path, label: &str, limit: Duration) -> (Published, Duration) {
    let inserted = Instant::now();
    vm.insert(disc);
    let item = vm.api.seeding_within(label, limit);
    let took = inserted.elapsed();
    vm.wait_for_open_tray(Duration::from_secs(20));
    (item, took)
}

#[test]
fn from_first_boot_to_power_cut() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 8192);
    let (items, booting) = first_boot(bench, &disk);
    // Three steps on one disk: off by the button, killed daemon, power cut.
    assert!(disk.data_is_clean(), "the power button leaves a clean file system");
    disk.write_settings("[limits]\nupload_rate = \"4 MiB/s\"\n");
    // Lets the kernel kill a process when asked by keyboard; the box itself has no shell to do that with.
    disk.add_kernel_option("sysrq_always_enabled");
    second_boot(bench, &disk, &items, booting);
    after_power_cut(&disk, &items, booting);
}

/// A new disk: two discs become two items, and every client has them. Returns these, and how much of the disk was read to
/// boot.
fn first_boot(bench: &Path, disk: &Disk) -> (Vec<Published>, u64) {
    let mut vm = Vm::start(disk, &Hardware::default());
    figure("first boot, BIOS, to the ready line", vm.wait_until_ready());
    vm.wait_for_console(&format!("P2P Black Box http://{}/", network::BOX), Duration::from_mins(1));
    assert_eq!(vm.api.problems(), Vec::<String>::new());
    let booting = vm.disk_bytes_read();
    figure("memory in use when idle (MiB)", memory_in_use(&vm));

    let (holiday, folder) = make_disc(bench, "HOLIDAY");
    let page = format!("http://{}/", network::BOX);
    let onlooker = browser::is_there("a disc that appears on the page in Chromium").then(|| {
        let mut onlooker = browser::start("live", &[&page, "HOLIDAY"]);
        onlooker.wait_for_line("the page", DISC, |line| (line == "looking").then_some(()));
        onlooker
    });
    let (item, took) = import(&mut vm, &holiday, "HOLIDAY", DISC);
    figure("disc of 24 MB from insertion to seeding", took);
    if let Some(onlooker) = onlooker {
        onlooker.succeed(DISC);
    }
    let mut downloads: Vec<_> = COMMON
        .iter()
        .map(|client| {
            let target = bench.join(format!("{client:?}"));
            (client.start(&item.torrent_url, &target), target)
        })
        .collect();
    let target = bench.join("magnet");
    downloads.push((Client::Libtorrent.start(&item.magnet, &target), target));
    let target = bench.join("peers");
    downloads.push((Client::Transmission.start(&item.torrent_without_web_seeds(bench), &target), target));
    let target = bench.join("more peers");
    downloads.push((Client::Libtorrent.start(&item.torrent_without_web_seeds(bench), &target), target));
    for (download, target) in downloads {
        download.finish(2 * DOWNLOAD);
        assert_downloaded(&folder, &target.join("HOLIDAY"));
    }

    let udf_folder = bench.join("udf");
    write_tree(&mut Chance::fresh(), &udf_folder);
    let udf = disc::burn_udf(&udf_folder, "UDF DISC", &bench.join("udf.iso"));
    let (udf_item, _) = import(&mut vm, &udf, "UDF DISC", DISC);
    let target = bench.join("udf download");
    Client::Aria2.download(&udf_item.torrent_url, &target, DOWNLOAD);
    assert_downloaded(&udf_folder, &target.join("UDF DISC"));

    // The first one again: known, and given back.
    vm.insert(&holiday);
    vm.wait_for_open_tray(DISC);
    assert_eq!(vm.api.items().len(), 2);
    vm.wait_for_console("2 items are published.", Duration::from_secs(20));
    super::pictures::take(&mut vm);
    vm.power_off();
    (vec![item, udf_item], booting)
}

/// Memory of the machine that is not to be had, in MiB.
fn memory_in_use(vm: &Vm) -> u64 {
    (vm.api.metric("blackbox_memory_size_bytes") - vm.api.metric("blackbox_memory_available_bytes")) >> 20
}

/// The same hashes at once; then the daemon is killed under a client that downloads.
fn second_boot(bench: &Path, disk: &Disk, items: &[Published], booting: u64) {
    let mut vm = Vm::start(disk, &Hardware::default());
    figure("second boot, BIOS, to the ready line", vm.wait_until_ready());
    assert_seeds_again(&mut vm, items, booting);

    let film = &items[0];
    let target = bench.join("killed");
    let download = Client::Libtorrent.start(&film.torrent_without_web_seeds(bench), &target);
    let uploaded = |vm: &Vm| vm.api.item(&film.name).unwrap()["uploaded_bytes"].as_u64().unwrap();
    let before = uploaded(&vm);
    wait::until_holds("the download is under way", DOWNLOAD, || uploaded(&vm) > before + (4 << 20));
    // The kernel's out-of-memory killer sends SIGKILL to the daemon once everything that the box can do without for a while is gone.
    wait::until_holds("the end of the daemon", Duration::from_mins(1), || {
        vm.press(&["alt", "sysrq", "f"]);
        vm.console().contains("blackboxd: ended")
    });
    vm.wait_for_ready_lines(2);
    // The log has it, though what writes that was killed too.
    wait::until_holds("the log of the end", Duration::from_mins(1), || {
        vm.api.report().contains("blackboxd: ended with signal 9")
    });
    download.finish(2 * DOWNLOAD);
    assert_downloaded(&bench.join("HOLIDAY"), &target.join("HOLIDAY"));
    // A power cut, in the middle of whatever it does.
    drop(vm);
}

fn after_power_cut(disk: &Disk, items: &[Published], booting: u64) {
    let mut vm = Vm::start(disk, &Hardware::default());
    vm.wait_until_ready();
    assert_seeds_again(&mut vm, items, booting);
    // The log of all three starts: the one before the button to its end, the one before the power cut to its last seconds.
    let report = vm.api.report();
    let parts = ["shutdown: processes ended", "init: blackboxd: ready", "init: boot: daemon"];
    let starts: Vec<_> = report.split("kernel: Linux version").skip(1).collect();
    assert_eq!(starts.len(), parts.len(), "{report}");
    for (start, part) in starts.iter().zip(parts) {
        assert!(start.contains(part), "{part}: {report}");
    }
    vm.power_off();
    assert!(disk.data_is_clean());
}

/// Within 2 s of the ready line, and without reading what is published: hardly more than on the first boot, when there was
/// nothing.
#[track_caller]
fn assert_seeds_again(vm: &mut Vm, items: &[Published], booting: u64) {
    let ready = Instant::now();
    for item in items {
        assert_eq!(vm.api.seeding_within(&item.name, Duration::from_secs(2)).info_hash, item.info_hash);
    }
    assert!(ready.elapsed() < Duration::from_secs(2), "{:?}", ready.elapsed());
    // A page of metrics is enough to see the first scan done.
    let metrics = vm.api.get("/metrics");
    let hashed = metrics.text().lines().find_map(|line| line.strip_prefix("blackbox_hashed_bytes_total "));
    assert_eq!(hashed, Some("0"), "files were hashed again");
    let read = vm.disk_bytes_read();
    assert!(read < booting + FILM / 2, "{read} bytes were read from the disk, {booting} on the first boot");
}

#[test]
fn bad_input_is_said_and_does_no_harm() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    // Room for a disc or two: 258 MB are the system's.
    let disk = Disk::flash(bench, 258 + 192);
    disk.write_settings("# Mine\n[limits]\nupload_rat = \"8 MiB/s\"\n");
    let mut vm = Vm::start(&disk, &Hardware { firmware: Firmware::Uefi, ..Hardware::default() });
    figure("first boot, UEFI, to the ready line", vm.wait_until_ready());

    let settings = "blackbox.toml: line 3";
    vm.wait_for_console(settings, Duration::from_secs(30));
    wait::until_holds("the problem is on the page", Duration::from_secs(30), || {
        vm.api.problems().iter().any(|problem| problem.contains(settings) && problem.contains("upload_rat"))
    });
    assert!(vm.api.get("/").text().contains(settings));

    let (good, folder) = make_disc(bench, "GOOD");
    let (item, _) = import(&mut vm, &good, "GOOD", DISC);
    let film = fs::read(folder.join("film.bin")).unwrap();
    // After each mishap the item is still there, and its bytes are the same.
    let still_serves = |vm: &Vm| {
        assert_eq!(vm.api.seeding_within("GOOD", Duration::from_secs(5)), item);
        assert!(vm.api.get("/files/GOOD/film.bin").body == film, "other bytes");
    };

    let zeros = disc::zeros(&bench.join("zeros.iso"));
    refused(&mut vm, |vm| vm.insert(&zeros), "no file system that is known");
    still_serves(&vm);

    let names = bench.join("names");
    fs::create_dir(&names).unwrap();
    fs::write(names.join(OsStr::from_bytes(b"caf\xe9.txt")), b"x").unwrap();
    let names = disc::burn_raw_names(&names, "LATIN", &bench.join("names.iso"));
    refused(&mut vm, |vm| vm.insert(&names), "UTF-8");
    still_serves(&vm);

    let (scratched, _) = make_disc(bench, "SCRATCHED");
    let scratch = Quality { scratch: Some((20_000, None)), speed: None };
    refused(&mut vm, |vm| vm.insert_of(&scratched, scratch), "can't be read at byte");
    let item = vm.api.item("SCRATCHED").unwrap();
    assert!(
        item["state"] == "failed" && item["error"].as_str().unwrap().starts_with("\"film.bin\" "),
        "{item}"
    );
    still_serves(&vm);

    let large = bench.join("large");
    write_file(&mut Chance::fresh(), &large.join("large.bin"), 200 << 20);
    let large = disc::burn(&large, "LARGE", &bench.join("large.iso"));
    refused(&mut vm, |vm| vm.insert(&large), "MB are free");
    still_serves(&vm);

    system_tests::left_out(
        "an audio CD in the drive",
        "QEMU's drive can't play one; what init and the page say is tested apart",
    );

    vm.set_cable(false);
    vm.wait_for_console("No network cable", Duration::from_mins(1));
    vm.set_cable(true);
    wait::until_holds("the box is back in the network", Duration::from_mins(2), || {
        vm.api.problems().iter().all(|problem| !problem.contains("cable"))
    });
    still_serves(&vm);
    vm.power_off();
    assert!(disk.data_is_clean());
}

/// Inserts a disc that can't be published: the page and the console say why, and the tray opens.
#[track_caller]
fn refused(vm: &mut Vm, insert: impl FnOnce(&mut Vm), words: &str) {
    insert(vm);
    let is_shown = || vm.api.get("/").text().replace("&#39;", "'").contains(words).then_some(());
    assert!(wait::try_until(DISC, is_shown).is_some(), "{words} is not shown of {:?}", vm.api.items());
    vm.wait_for_open_tray(Duration::from_secs(30));
    vm.wait_for_console(words, Duration::from_secs(30));
}

#[test]
fn a_machine_with_256_mb_publishes_a_disc_of_1_gib_and_holds_1000_connections() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 4096);
    let folder = bench.join("LARGE");
    write_file(&mut Chance::fresh(), &folder.join("film.bin"), 1 << 30);
    let large = disc::burn(&folder, "LARGE", &bench.join("large.iso"));
    // In this network all are at one address.
    disk.write_settings(&format!("[limits]\nconnections_per_address = {CONNECTIONS}\n"));
    let descriptors = system_tests::all_descriptors();
    let mut vm = Vm::start(&disk, &Hardware { memory: 256, ..Hardware::default() });
    vm.wait_until_ready();
    let (item, took) = import(&mut vm, &large, "LARGE", Duration::from_mins(6));
    figure("disc of 1 GiB from insertion to seeding, with 256 MB", took);
    let (_, info) = item.metainfo();
    let foreign = make_with_libtorrent(&folder, info.piece_length, &bench.join("foreign.torrent"));
    assert_eq!(Metainfo::parse(&foreign).unwrap().0.info_hash(), item.info_hash, "every byte was read right");
    if descriptors > 2 * CONNECTIONS {
        hold_connections(&vm, &item, (1 << 30) / info.piece_length);
    } else {
        system_tests::left_out(&format!("a machine with {CONNECTIONS} connections"), "too few descriptors");
    }
    assert!(!vm.console().contains("Out of memory"), "{}", vm.console());
    vm.power_off();
}

/// As many peers at once, each of which has been given something that had to be read from the disk.
fn hold_connections(vm: &Vm, item: &Published, pieces: u32) {
    figure("memory in use with 256 MB, without connections (MiB)", memory_in_use(vm));
    let address = SocketAddr::new(network::BOX.parse().unwrap(), 6881);
    let peers = (0..CONNECTIONS).map(|number| {
        let mut peer = Peer::connect(address, &item.info_hash, true).unwrap();
        peer.become_unchoked().unwrap();
        peer.block(u32::try_from(number).unwrap() % pieces, 0, BLOCK).unwrap();
        peer
    });
    let peers: Vec<_> = peers.collect();
    assert_eq!(vm.api.metric("blackbox_peers"), CONNECTIONS);
    figure(&format!("memory in use with 256 MB, with {CONNECTIONS} connections (MiB)"), memory_in_use(vm));
    drop(peers);
}

#[test]
fn a_network_without_a_dhcp_server_is_said_on_the_console_and_deleted_settings_come_back() {
    let Some(bench) = bench() else { return };
    let disk = Disk::flash(bench.path(), 1024);
    let settings = disk.read_settings();
    disk.remove_settings();
    let mut vm = Vm::start(&disk, &Hardware { network: false, ..Hardware::default() });
    vm.wait_until_ready();
    vm.wait_for_console("no answer from a DHCP server", READY);
    vm.set_cable(false);
    vm.wait_for_console("No network cable", Duration::from_mins(1));
    vm.power_off();
    assert!(disk.data_is_clean());
    assert!(
        !settings.is_empty() && disk.read_settings() == settings,
        "the file that was deleted is not as it was"
    );
    disk.assert_system_is_clean();
}
