//! Updates of the image: a good one runs from then on, a bad one is refused or taken back, and nothing that is done to the
//! boot state or to the power keeps the box from starting.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use appliance::boot_state::{BLOCK_BYTES, BootState, Nonce, STATE_FILE, Slot, TRIED_FILE};
use appliance::paths;
use system_tests::content::Chance;
use system_tests::image::Disk;
use system_tests::stick::{self, Kind};
use system_tests::update::{
    NEWER, OLDER, Update, initramfs, other_key, program_that_ends, program_that_hangs, program_that_renames,
};
use system_tests::vm::{DISC, Firmware, Hardware, Quality, READY, Vm};
use system_tests::{disc, figure, left_out, thorough, wait};

use super::boot::{self, bench, import};

/// The version that was built.
const BUILT: &str = env!("CARGO_PKG_VERSION");

/// Time in which an update on a disc is read, installed and started, and the box is ready again.
pub(super) const UPDATE: Duration = Duration::from_mins(6);

/// What the box says when it begins to look at an update on a disc.
pub(super) const BEGINS: &str = "update: Medium(\"sr0\") begins";

/// What the box says when an update is on trial no more.
pub(super) const KEPT: &str = "has proved itself and is kept";

/// A file's name, what is in it, and what is done to it then.
type OnDisc<'a> = (&'a str, &'a Update, fn(&mut Vec<u8>));

/// Burns update files to a disc.
fn burn(bench: &Path, label: &str, updates: &[OnDisc<'_>]) -> PathBuf {
    let folder = bench.join(label);
    for (name, update, change) in updates {
        let path = update.make(&folder, name);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }
    disc::burn(&folder, label, &bench.join(format!("{label}.iso")))
}

/// Waits until the page shows this of the medium in the drive.
#[track_caller]
fn wait_for_verdict(vm: &Vm, words: &str) -> String {
    let verdict = || {
        let items = vm.api.items();
        items
            .iter()
            .filter_map(|item| item["error"].as_str())
            .find(|error| error.contains(words))
            .map(str::to_owned)
    };
    wait::try_until(DISC, verdict).unwrap_or_else(|| panic!("{words} is not shown: {:?}", vm.api.items()))
}

/// Waits until this version says that it runs, as often as it does when it has started so many times.
#[track_caller]
fn wait_for_start(vm: &mut Vm, version: &str, slot: Slot) {
    vm.wait_for_console(&format!("P2P Black Box {version}, slot {slot}"), UPDATE);
}

#[test]
fn a_good_update_runs_from_then_on_and_bad_ones_are_refused() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 2048);
    let (good, older) = (Update::default(), Update { version: OLDER.into(), ..Update::default() });
    let foreign = Update { key: Some(other_key(bench)), ..Update::default() };
    let bad = burn(
        bench,
        "BAD",
        &[
            ("truncated.update", &good, |bytes| bytes.truncate(bytes.len() - 1000)),
            ("flipped.update", &good, |bytes| *bytes.last_mut().unwrap() ^= 4),
            ("unsigned.update", &good, |bytes| bytes[23..1024].fill(0)),
            ("foreign.update", &foreign, |_| ()),
            ("older.update", &older, |_| ()),
        ],
    );
    let good = burn(bench, "GOOD", &[("good.update", &good, |_| ())]);
    let (content, _) = boot::burn(bench, "CONTENT");

    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();
    let (item, _) = import(&mut vm, &content, "CONTENT", DISC);
    vm.insert(&bad);
    let verdict = wait_for_verdict(&vm, "truncated.update");
    for (name, reason) in [
        ("truncated", "it is cut short"),
        ("flipped", "it is damaged, or was changed after it was signed"),
        ("unsigned", "it is not signed"),
        ("foreign", "it is signed with another key"),
        ("older", &format!("version {OLDER} is older than {BUILT}")),
    ] {
        let expected = format!("The update {name}.update is refused: {reason}");
        assert!(verdict.contains(&expected), "{expected}: {verdict}");
    }
    vm.wait_for_open_tray(DISC);
    assert_eq!(
        vm.api.items().iter().filter(|item| item["state"] == "seeding").count(),
        1,
        "nothing of it is published"
    );

    let inserted = Instant::now();
    vm.insert(&good);
    wait_for_start(&mut vm, NEWER, Slot::B);
    vm.wait_for_console(KEPT, READY);
    figure("update on a disc, from insertion until it is kept", inserted.elapsed());
    assert_eq!(vm.api.seeding_within("CONTENT", Duration::from_secs(10)), item);
    wait_for_verdict(&vm, &format!("holds version {NEWER}, which runs"));
    vm.wait_for_open_tray(DISC);
    assert_eq!(vm.api.problems(), Vec::<String>::new());
    vm.power_off();

    let mut vm = Vm::start(&disk, &Hardware { firmware: Firmware::strictest(), ..Hardware::default() });
    vm.wait_until_ready();
    wait_for_start(&mut vm, NEWER, Slot::B);
    assert_eq!(vm.api.seeding_within("CONTENT", Duration::from_secs(10)), item);
    assert!(!vm.console().contains("on trial"), "{}", vm.console());
    vm.power_off();
    assert!(disk.data_is_clean());
}

/// Boots with this update in the folder for updates, and demands that the version before is back, says so, and is still
/// there after another start.
fn fails(disk: &Disk, bench: &Path, name: &str, update: &Update, hardware: &Hardware) {
    let started = Instant::now();
    disk.drop_update(&update.make(bench, &format!("{name}.update")));
    let mut vm = Vm::start(disk, hardware);
    let failure = format!("The update to version {NEWER} failed");
    // An earlier failure is told of on every start, and it is the one after the update that counts.
    let installed = format!("The update {name}.update to version {NEWER} is installed; the box restarts.");
    vm.wait_for_story(&[&installed, &failure, "ready web="], 2 * UPDATE);
    let said = |problem: &String| problem.contains(&failure) && problem.contains(BUILT);
    wait::until_holds("the page says so", Duration::from_secs(30), || vm.api.problems().iter().any(said));
    figure(&format!("update, {name}: until the version before is back"), started.elapsed());
    vm.power_off();
    let (marked, reason) = (format!("{name}.update.refused"), format!("{name}.update.refused.txt"));
    let names = disk.updates();
    assert!(names.contains(&marked) && names.contains(&reason), "{names:?}");
    assert!(!names.contains(&format!("{name}.update")), "{names:?}");
    assert!(disk.read_update_text(&reason).contains(&failure));
}

#[test]
fn an_update_that_does_not_come_to_serve_is_taken_back() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 2048);
    disk.add_kernel_option("blackbox.trial-seconds=40");
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();
    vm.power_off();
    let (bios, uefi) = (Hardware::default(), Hardware { firmware: Firmware::Uefi, ..Hardware::default() });
    let update = Update::default();
    let daemon_ends = Update { programs: vec![(paths::DAEMON, program_that_ends())], ..update.clone() };
    fails(&disk, bench, "daemon-ends", &daemon_ends, &bios);
    let kernel_panics = Update { is_empty: true, ..update.clone() };
    fails(&disk, bench, "kernel-panics", &kernel_panics, &uefi);
    if thorough() {
        let daemon_hangs = Update { programs: vec![(paths::DAEMON, program_that_hangs())], ..update.clone() };
        fails(&disk, bench, "daemon-hangs", &daemon_hangs, &bios);
        let init_ends = Update { programs: vec![("/init", program_that_ends())], ..update.clone() };
        fails(&disk, bench, "init-ends", &init_ends, &bios);
        for hardware in [&bios, &uefi] {
            let kernel_is_none = Update { kernel: Some(Chance::fresh().bytes(1 << 20)), ..update.clone() };
            fails(&disk, bench, "kernel-is-none", &kernel_is_none, hardware);
        }
        finds_no_room(&disk, bench);
    }
    assert!(disk.data_is_clean());
}

#[test]
fn an_update_whose_kernel_panics_while_it_runs_is_taken_back() {
    let Some(bench) = bench() else { return };
    if !thorough() {
        return left_out("an update whose kernel panics while it runs", "only with BLACKBOX_THOROUGH=1");
    }
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    // Lets the kernel panic when asked by keyboard.
    disk.add_kernel_option("sysrq_always_enabled");
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();
    // So that the trial lasts.
    let update = Update { programs: vec![(paths::DAEMON, program_that_hangs())], ..Update::default() };
    vm.insert(&burn(bench, "NEW", &[("new.update", &update, |_| ())]));
    vm.wait_for_story(&["is on trial", "blackboxd: started"], UPDATE);
    vm.press(&["alt", "sysrq", "c"]);
    let failure = format!("The update to version {NEWER} failed");
    vm.wait_for_story(&["is on trial", &failure, "ready web="], UPDATE);
    // The disc with it is still in the drive.
    wait_for_verdict(&vm, "was started before and did not come to serve");
    vm.power_off();
    assert!(disk.data_is_clean());
}

#[test]
fn an_update_that_is_put_into_the_folder_of_a_running_box_is_found() {
    let Some(bench) = bench() else { return };
    if !thorough() {
        return left_out("an update in the folder of a running box", "only with BLACKBOX_THOROUGH=1");
    }
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();
    vm.power_off();
    disk.drop_update(&Update::default().make(bench, "new.part"));
    // Nobody else writes there while it runs.
    let [from, to] = ["new.part", "new.update"].map(|name| format!("{}/{name}", paths::UPDATE));
    disk.write_initramfs(
        Slot::A,
        &initramfs(&[(paths::DAEMON.to_owned(), program_that_renames(20, &from, &to))]),
    );
    let mut vm = Vm::start(&disk, &Hardware::default());
    // What runs then finds its own file there, and marks it.
    vm.wait_for_story(&["boot: media:", "update: Folder begins", KEPT, "update: Folder: Ok"], 2 * UPDATE);
    wait_for_start(&mut vm, NEWER, Slot::B);
    vm.power_off();
    assert!(disk.updates().contains(&"new.update.applied".to_owned()), "{:?}", disk.updates());
}

#[test]
fn an_update_on_a_stick_is_installed() {
    let Some(bench) = bench() else { return };
    if !thorough() {
        return left_out("an update on a stick", "only with BLACKBOX_THOROUGH=1");
    }
    let bench = bench.path();
    let folder = bench.join("NEW");
    Update::default().make(&folder, "new.update");
    let stick = stick::make(Kind::Fat, &folder, "NEW", &bench.join("stick"));
    let disk = Disk::flash(bench, 1024);
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();
    vm.plug(&stick, Quality::default());
    // It stays in, and is no update any more then.
    wait_for_start(&mut vm, NEWER, Slot::B);
    vm.wait_for_console(KEPT, READY);
    wait_for_verdict(&vm, &format!("holds version {NEWER}, which runs"));
    vm.power_off();
    assert!(disk.data_is_clean());
}

#[test]
fn an_update_in_a_folder_that_can_only_be_read_is_refused() {
    let Some(bench) = bench() else { return };
    if !thorough() {
        return left_out("an update in a folder that can only be read", "only with BLACKBOX_THOROUGH=1");
    }
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();
    import(&mut vm, &boot::burn(bench, "CONTENT").0, "CONTENT", DISC);
    vm.power_off();
    disk.drop_update(&Update::default().make(bench, "new.update"));
    disk.spoil_file("publish/CONTENT/film.bin");
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_for_story(&["Updates on the data partition are refused: it can only be read."], UPDATE);
    vm.wait_until_ready();
    wait_for_start(&mut vm, BUILT, Slot::A);
    vm.power_off();
    assert!(disk.updates().contains(&"new.update".to_owned()), "{:?}", disk.updates());
}

/// Boots with a good update, and a system partition that is nearly full.
fn finds_no_room(disk: &Disk, bench: &Path) {
    disk.fill_system_partition(2 << 20);
    disk.drop_update(&Update::default().make(bench, "no-room.update"));
    let mut vm = Vm::start(disk, &Hardware::default());
    let refused = "The update no-room.update is refused: it needs";
    vm.wait_for_story(&[refused, "MB of the system partition, which has"], UPDATE);
    vm.wait_until_ready();
    vm.power_off();
    assert!(disk.updates().contains(&"no-room.update.refused".to_owned()), "{:?}", disk.updates());
}

#[test]
fn no_boot_state_keeps_the_box_from_starting() {
    let Some(bench) = bench() else { return };
    let disk = Disk::flash(bench.path(), 1024);
    let block = |bytes: &[u8]| {
        let mut block = [b'#'; BLOCK_BYTES];
        block[..bytes.len()].copy_from_slice(bytes);
        block
    };
    // There is nothing in slot B: all that a state can say of it has to lead back to slot A.
    let trial = |good| BootState::new(good).with_trial(Nonce(1), "98.0.0+1".parse().unwrap());
    let tried = block(b"# GRUB Environment Block\ntried=0000000000000001\n");
    let mut states = vec![(trial(Slot::B).to_block(), tried, "both slots are used up")];
    if thorough() {
        let random = block(&Chance::fresh().bytes(BLOCK_BYTES));
        states.extend([
            (random, random, "neither file is one"),
            (trial(Slot::A).to_block(), block(b"# GRUB Environment Block\n"), "the slot on trial is empty"),
            (BootState::new(Slot::B).to_block(), tried, "the good slot is empty"),
        ]);
    }
    for (number, (state, tried, what)) in states.into_iter().enumerate() {
        disk.write_boot_state(STATE_FILE, &state);
        disk.write_boot_state(TRIED_FILE, &tried);
        let hardware =
            Hardware { firmware: [Firmware::Bios, Firmware::Uefi][number % 2], ..Hardware::default() };
        let mut vm = Vm::start(&disk, &hardware);
        figure(&format!("boot where {what}"), vm.wait_until_ready());
        wait_for_start(&mut vm, BUILT, Slot::A);
        vm.power_off();
    }
    assert!(disk.data_is_clean());
}

/// A disc with an update, each later than those of lower numbers.
pub(super) fn burn_version(bench: &Path, number: u32) -> PathBuf {
    let label = format!("V{number}");
    let update = Update { version: format!("98.0.{number}"), ..Update::default() };
    burn(bench, &label, &[("new.update", &update, |_| ())])
}

/// Inserts an update and waits until it is kept.
#[track_caller]
pub(super) fn update_from_disc(vm: &mut Vm, bench: &Path, number: u32) {
    vm.insert(&burn_version(bench, number));
    vm.wait_for_story(&[&format!("P2P Black Box 98.0.{number}, slot"), KEPT], UPDATE);
}
