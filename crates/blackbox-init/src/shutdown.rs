//! The end: every step bounded and logged, so that the box is off in any case.

use std::path::Path;
use std::time::{Duration, Instant};

use appliance::paths::DATA;

use crate::machine::Machine;
use crate::media;
use crate::sys::{self, Reboot};
use crate::{alarm, confine, log};

/// The daemon ends within 5 s of being asked; twice that for slow disks.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Killed processes are gone at once, unless they hang in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Writing the last lines of the log.
const JOURNAL_LIMIT: Duration = Duration::from_secs(5);

/// Writing back everything in memory to a slow disk.
const UNMOUNT_LIMIT: Duration = Duration::from_mins(1);

/// What went wrong can be read on the screen for this long.
const FAULT_PAUSE: Duration = Duration::from_secs(5);

/// Ends all processes, unmounts, and switches off or starts again.
pub fn shut_down(machine: &mut Machine, how: Reboot) -> ! {
    let start = Instant::now();
    machine.stop_services();
    machine.activity = Some(match how {
        Reboot::PowerOff => "Switching off ...".into(),
        Reboot::Restart => "Restarting ...".into(),
    });
    sys::kill_all(false);
    let alone = machine.turn_until(END_LIMIT, Machine::is_alone);
    log!("shutdown: processes ended: {alone}, {} ms", start.elapsed().as_millis());
    if !alone {
        sys::kill_all(true);
        let alone = machine.turn_until(KILL_LIMIT, Machine::is_alone);
        log!("shutdown: processes killed: {alone}, {} ms", start.elapsed().as_millis());
    }
    machine.close_journal(JOURNAL_LIMIT);
    machine.unmount_all(UNMOUNT_LIMIT);
    log!("shutdown: {how:?} after {} ms", start.elapsed().as_millis());
    machine.release_watchdog(how);
    end(how)
}

/// Saves what can be saved after a fault in init itself, and starts again.
pub fn restart_after_fault(what: &str) -> ! {
    alarm!("init failed: {what}; the box starts again");
    sys::sync();
    std::thread::sleep(FAULT_PAUSE);
    end(Reboot::Restart)
}

fn end(how: Reboot) -> ! {
    let error = sys::reboot(how);
    log!("reboot: {error}");
    // PID 1 must not end, or the kernel panics; that would restart the box too, but without the line above.
    loop {
        std::thread::sleep(FAULT_PAUSE);
    }
}

/// The child that writes everything back and unmounts: `blackbox-init unmount`. A disk that hangs stops only it.
///
/// # Errors
/// What could not be unmounted.
pub fn unmount() -> std::io::Result<()> {
    confine::mounter();
    sys::sync();
    media::detach_all();
    let data = Path::new(DATA);
    if !media::is_mounted(data) {
        return Ok(());
    }
    sys::unmount(data).or_else(|error| {
        eprintln!("{DATA}: {error}; made read-only instead");
        sys::remount_read_only(data)
    })
}
