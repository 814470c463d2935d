//! What init asks of the kernel: one list, with a reason for each. A boot test demands that Debian's kernel takes them all.

use std::fs;
use std::path::Path;

use crate::log;

/// A process that waits for a disk this long during a trial waits for a disk that the old version might have.
const HUNG_SECONDS: &str = "300";

/// Files below `/proc/sys` and `/sys`, and what is written there, before any driver is loaded.
///
/// Left as they are: `hung_task_panic`, since a bad disc or disk may hold up a process for minutes (but see [`panic_on_hung_tasks`]); `modules_disabled`, since what is
/// plugged in later needs drivers; `rp_filter`, since a DHCP server answers a box that has no route to it yet.
const SETTINGS: [(&str, &str); 41] = [
    // Only errors reach the screen, which shows the status.
    ("/proc/sys/kernel/printk", "4 4 1 4"),
    ("/proc/sys/kernel/printk_devkmsg", "on\n"),
    // Without polling no drive ever tells that a disc was inserted.
    ("/sys/module/block/parameters/events_dfl_poll_msecs", "1000"),
    // One watch for each folder; a published tree may have a million of them.
    ("/proc/sys/fs/inotify/max_user_watches", "1048576"),
    // The daemon serves on port 80 without any capability.
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "80"),
    // As much as the daemon asks for: a flood of packets waits for its turn and pushes nothing out.
    ("/proc/sys/net/core/rmem_max", "4194304"),
    ("/proc/sys/net/core/wmem_max", "4194304"),
    // A kernel that has lost its way starts anew after ten seconds, in which the screen can be photographed.
    ("/proc/sys/kernel/panic", "10"),
    // After an oops it goes on with locks held that nobody will open again: what needs them hangs, and no watchdog sees it.
    ("/proc/sys/kernel/panic_on_oops", "1"),
    // So does a processor that stays in the kernel (for twice this many seconds) or takes no interrupts. The times are long
    // because a virtual machine may not run for a while.
    ("/proc/sys/kernel/watchdog_thresh", "60"),
    ("/proc/sys/kernel/softlockup_panic", "1"),
    ("/proc/sys/kernel/hardlockup_panic", "1"),
    // Addresses in the kernel, and what it logs, are of use to attackers alone.
    ("/proc/sys/kernel/dmesg_restrict", "1"),
    ("/proc/sys/kernel/kptr_restrict", "2"),
    ("/proc/sys/kernel/perf_event_paranoid", "3"),
    // Nobody looks into another process; not even root, until the next start.
    ("/proc/sys/kernel/yama/ptrace_scope", "3"),
    // What compiles programs for it, such as a process's list of system calls, and terminals' line disciplines.
    ("/proc/sys/net/core/bpf_jit_harden", "1"),
    ("/proc/sys/dev/tty/ldisc_autoload", "0"),
    // Of the emergency keys those that save the disks and start the box anew.
    ("/proc/sys/kernel/sysrq", "176"),
    // Links, FIFOs and files that somebody else laid out in a shared folder are no traps.
    ("/proc/sys/fs/protected_symlinks", "1"),
    ("/proc/sys/fs/protected_hardlinks", "1"),
    ("/proc/sys/fs/protected_fifos", "2"),
    ("/proc/sys/fs/protected_regular", "2"),
    // The memory of a program that fails may hold passkeys: it goes nowhere.
    ("/proc/sys/fs/suid_dumpable", "0"),
    ("/proc/sys/kernel/core_pattern", "|/nonexistent"),
    // A flood of connections that nobody completes does not keep others out.
    ("/proc/sys/net/ipv4/tcp_syncookies", "1"),
    ("/proc/sys/net/ipv4/tcp_rfc1337", "1"),
    // Answers to broadcasts serve floods only.
    ("/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts", "1"),
    // Strangers do not choose the box's routes, and it is no router itself.
    ("/proc/sys/net/ipv4/conf/all/accept_redirects", "0"),
    ("/proc/sys/net/ipv4/conf/default/accept_redirects", "0"),
    ("/proc/sys/net/ipv4/conf/all/secure_redirects", "0"),
    ("/proc/sys/net/ipv4/conf/default/secure_redirects", "0"),
    ("/proc/sys/net/ipv4/conf/all/send_redirects", "0"),
    ("/proc/sys/net/ipv4/conf/default/send_redirects", "0"),
    ("/proc/sys/net/ipv4/conf/all/accept_source_route", "0"),
    ("/proc/sys/net/ipv4/conf/default/accept_source_route", "0"),
    ("/proc/sys/net/ipv6/conf/all/accept_redirects", "0"),
    ("/proc/sys/net/ipv6/conf/default/accept_redirects", "0"),
    ("/proc/sys/net/ipv6/conf/all/accept_source_route", "0"),
    ("/proc/sys/net/ipv6/conf/default/accept_source_route", "0"),
    ("/proc/sys/net/ipv4/ip_forward", "0"),
];

/// Ways into the kernel. One that is built without them has no such setting and needs none.
const DOORS: [(&str, &str); 4] = [
    // File systems and character sets load their modules through this.
    ("/proc/sys/kernel/modprobe", crate::tools::MODPROBE),
    // Nothing in the box takes these: programs for the kernel, another kernel, privileges in a namespace.
    ("/proc/sys/kernel/unprivileged_bpf_disabled", "1"),
    ("/proc/sys/kernel/kexec_load_disabled", "1"),
    ("/proc/sys/user/max_user_namespaces", "0"),
];

/// Writes them.
pub fn set() {
    for (path, value) in SETTINGS {
        write(path, value);
    }
    for (path, value) in DOORS {
        if Path::new(path).exists() {
            write(path, value);
        } else {
            log!("this kernel has no {path}");
        }
    }
}

/// Whether a process that waits without end starts the box anew: as long as an update is on trial, which may be the reason for it.
pub fn panic_on_hung_tasks(yes: bool) {
    write("/proc/sys/kernel/hung_task_timeout_secs", HUNG_SECONDS);
    write("/proc/sys/kernel/hung_task_panic", if yes { "1" } else { "0" });
}

/// Failures are logged only: a setting that this kernel does not have is not worth a line on the screen.
fn write(path: &str, value: &str) {
    if let Err(error) = fs::write(path, value) {
        log!("kernel setting {path}: {error}");
    }
}
