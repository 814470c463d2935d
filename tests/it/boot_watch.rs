//! Who watches whom in the box: init the daemon, the watchdog init, and the kernel itself.

use std::time::{Duration, Instant};

use system_tests::image::{Disk, image, is_of_packages};
use system_tests::sabotage::{Victim, initramfs};
use system_tests::vm::{DISC, Hardware, READY, Vm};
use system_tests::{figure, wait};

use super::boot::{bench, burn};

/// A machine without the detour of a boot loader, for somebody to be attacked in it.
fn hardware(bench: &std::path::Path, victim: Victim, kernel_options: &'static str) -> Hardware {
    let initramfs = Some(initramfs(bench, victim));
    Hardware { direct: true, initramfs, kernel_options, ..Hardware::default() }
}

#[test]
fn a_daemon_that_is_frozen_is_started_anew_and_an_init_that_fails_starts_the_box_anew() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    let (frozen, _) = burn(bench, "FROZEN");
    // Every machine of QEMU's has a watchdog in its chipset, whose driver is a module or is none.
    let options = "blackbox.patience-seconds=30 modprobe.blacklist=iTCO_wdt initcall_blacklist=iTCO_wdt_driver_init \
                   blackbox.fault-on-button";
    let hardware = hardware(bench, Victim::Daemon, options);
    let mut vm = Vm::start(&disk, &hardware);
    vm.wait_until_ready();
    vm.press_power_button();
    vm.wait_for_story(&["demands this fault", "init failed", "] P2P Black Box "], READY);
    vm.wait_for_ready_lines(2);
    let expected = [
        "Slots: slot a has proved itself",
        "System: version ",
        "== Log",
        "kernel: Linux version",
        "demands this fault",
        "kernel: Linux version",
        "init: boot: daemon",
    ];
    // Init tells the daemon what it knows once that is ready.
    wait::until_holds("what init knows", READY, || vm.api.report().contains(expected[0]));
    assert_in_order(&vm.api.report(), &expected);

    let started = Instant::now();
    // Which freezes it.
    vm.insert(&frozen);
    vm.wait_for_console("it gives no sign of life; it is ended", READY);
    vm.wait_for_ready_lines(3);
    vm.api.seeding_within("FROZEN", DISC);
    vm.wait_for_open_tray(Duration::from_secs(20));
    figure("daemon frozen with a disc in the drive, until that is published", started.elapsed());
    let console = vm.console();
    assert!(
        console.contains("Software Watchdog, bites after 30 s"),
        "the kernel imitates a watchdog: {console}"
    );
    assert!(!console.contains("kernel setting /"), "the kernel takes them all: {console}");
    assert!(
        !is_of_packages(&image()) || !console.contains("this kernel has no /"),
        "nor does it lack any: {console}"
    );
    assert_in_order(
        &vm.api.report(),
        &["demands this fault", "init: blackboxd: it gives no sign of life; it is ended"],
    );
}

/// Demands that a text holds these one after the other.
#[track_caller]
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let (_, after) =
            rest.split_once(part).unwrap_or_else(|| panic!("no {part} where it should be: {text}"));
        rest = after;
    }
}

#[test]
fn a_box_whose_init_is_frozen_is_reset_by_its_watchdog() {
    let Some(bench) = bench() else { return };
    let disk = Disk::flash(bench.path(), 1024);
    let options = "saboteur=freeze blackbox.patience-seconds=30";
    let hardware = Hardware { watchdog: true, ..hardware(bench.path(), Victim::Init, options) };
    let mut vm = Vm::start(&disk, &hardware);
    vm.wait_for_console("i6300ESB timer, bites after 30 s", READY);
    let started = Instant::now();
    vm.wait_for_starts(2);
    figure("init frozen, until the box starts anew", started.elapsed());
    assert!(!vm.console().contains("shutdown: "), "nobody has asked init: {}", vm.console());
}

#[test]
fn a_box_whose_kernel_panics_starts_anew() {
    let Some(bench) = bench() else { return };
    let disk = Disk::flash(bench.path(), 1024);
    // No watchdog could do it in time.
    let hardware = hardware(bench.path(), Victim::Init, "saboteur=kill blackbox.patience-seconds=600");
    let mut vm = Vm::start(&disk, &hardware);
    vm.wait_for_console("Attempted to kill init!", READY);
    let panicked = Instant::now();
    vm.wait_for_starts(2);
    assert!(panicked.elapsed() < Duration::from_mins(2), "{:?}", panicked.elapsed());
}
