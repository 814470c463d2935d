//! What the boot loader makes of the boot state: the real one, with its real file, in which slots are named instead of
//! started. Whatever the state says, it goes on until both were tried.

use std::fs;
use std::time::Duration;

use appliance::boot_state::{BLOCK_BYTES, BootState, Nonce, STATE_FILE, Slot, TRIED_FILE};
use system_tests::content::Chance;
use system_tests::image::{Disk, image, is_of_packages};
use system_tests::vm::{Firmware, Hardware, Vm};
use system_tests::{figure, left_out};

use super::boot::bench;

/// Time for firmware and boot loader.
const LIMIT: Duration = Duration::from_mins(1);

/// What is shown when no slot could be started.
const END: &str = "Neither slot can be started.";

/// Has the boot loader name slots instead of starting them.
fn name_slots(disk: &Disk) {
    let menu = disk.read_boot_menu();
    let (before, rest) = menu.split_once("function start {\n").expect("a function that starts a slot");
    let (_, after) = rest.split_once("\n}\n").expect("its end");
    disk.write_boot_menu(&format!("{before}function start {{\n  echo \"start: $1 $2\"\n}}\n{after}"));
}

/// The slots that it would start, one after the other; the one on trial with its nonce.
fn order(disk: &Disk, hardware: &Hardware) -> Vec<String> {
    let mut vm = Vm::start(disk, hardware);
    vm.wait_for_console(END, LIMIT);
    let mut order = Vec::new();
    // With UEFI the firmware shows on the serial port too what is on its screen, and both in between each other.
    for (at, found) in vm.console().match_indices("start: ") {
        let rest: String = vm.console()[at + found.len()..].chars().take_while(|c| !c.is_control()).collect();
        let rest = rest.split("start: ").next().unwrap_or_default().trim().to_owned();
        if order.last() != Some(&rest) {
            order.push(rest);
        }
    }
    order
}

fn block(text: &str) -> [u8; BLOCK_BYTES] {
    let mut block = [b'#'; BLOCK_BYTES];
    let text = format!("# GRUB Environment Block\n{text}");
    block[..text.len()].copy_from_slice(text.as_bytes());
    block
}

#[test]
fn secure_boot_starts_what_is_signed_and_nothing_else() {
    let Some(bench) = bench() else { return };
    if !is_of_packages(&image()) {
        return left_out("Secure Boot", "this image was made of sources and is not signed");
    }
    let disk = Disk::flash(bench.path(), 1024);
    let secure = Hardware { firmware: Firmware::SecureBoot, ..Hardware::default() };
    let mut vm = Vm::start(&disk, &secure);
    figure("first boot, Secure Boot, to the ready line", vm.wait_until_ready());
    assert_eq!(vm.api.problems(), Vec::<String>::new());
    vm.power_off();
    // One bit of the kernel, in what it is padded with.
    let mut kernel = fs::read(image().with_file_name("bzImage")).unwrap();
    *kernel.last_mut().unwrap() ^= 1;
    disk.write_kernel(Slot::A, &kernel);
    let mut vm = Vm::start(&disk, &secure);
    vm.wait_for_console(END, LIMIT);
    drop(vm);
    assert!(disk.data_is_clean());
}

#[test]
fn every_boot_state_leads_to_both_slots() {
    let Some(bench) = bench() else { return };
    let disk = Disk::flash(bench.path(), 300);
    let bios = Hardware::default();
    let uefi = Hardware { firmware: Firmware::Uefi, ..Hardware::default() };
    let secure = Hardware { firmware: Firmware::strictest(), ..Hardware::default() };
    name_slots(&disk);
    assert_eq!(order(&disk, &bios), ["a", "b"], "as it was flashed");

    let check =
        |state: &[u8; BLOCK_BYTES], tried: &[u8; BLOCK_BYTES], hardware: &Hardware, expected: &[&str]| {
            disk.write_boot_state(STATE_FILE, state);
            disk.write_boot_state(TRIED_FILE, tried);
            let said =
                || format!("{:?} {:?}", String::from_utf8_lossy(state), String::from_utf8_lossy(tried));
            assert_eq!(order(&disk, hardware), expected, "{}", said());
        };
    let release = "1.0.0+1".parse().unwrap();
    let (a, b) = (BootState::new(Slot::A), BootState::new(Slot::B));
    let (nothing, nonce) = (block(""), Nonce(0x0123_4567_89ab_cdef));
    let tried = block(&format!("tried={nonce}\n"));
    let mut chance = Chance::fresh();
    let mut random = || chance.bytes(BLOCK_BYTES).try_into().unwrap();

    check(&a.to_block(), &nothing, &bios, &["a", "b"]);
    check(&b.to_block(), &tried, &bios, &["b", "a"]);
    for (hardware, state) in [(&bios, a), (&bios, b), (&uefi, a), (&secure, b)] {
        let (good, other) = (state.good.to_string(), state.good.other().to_string());
        let state = state.with_trial(nonce, release).to_block();
        let on_trial = format!("{other} blackbox.trial={nonce}");
        check(&state, &nothing, hardware, &[&on_trial, &good, &other]);
        assert!(disk.read_boot_state(TRIED_FILE).contains(&format!("\ntried={nonce}\n")));
        assert_eq!(order(&disk, hardware), [good, other], "a trial is started once");
    }
    // Another one is.
    let other = a.with_trial(Nonce(1), release).to_block();
    check(&other, &tried, &bios, &["b blackbox.trial=0000000000000001", "a", "b"]);
    // What can't be noted down is not started.
    let trial = a.with_trial(nonce, release).to_block();
    for unwritable in [[0; BLOCK_BYTES], random()] {
        check(&trial, &unwritable, &bios, &["a", "b"]);
    }
    for nonsense in [
        [0; BLOCK_BYTES],
        random(),
        block("good=c\n"),
        block("good=\"; halt; \"\n"),
        block("good=$trial\ntrial=a\n"),
        block("good=a\ntrial=b\n"),
        block("good=a\ntrial=a\nnonce=1\n"),
        block("good=a\ntrial=b c\nnonce=1\n"),
        block("good=a\ntrial=b\nnonce=0123456789abcdef\n"),
    ] {
        check(&nonsense, &tried, &bios, &["a", "b"]);
    }
}
