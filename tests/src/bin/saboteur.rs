//! Runs in the box's stead of init or the daemon, becomes what it replaces, and leaves a child behind that attacks it at the
//! right moment. [`system_tests::sabotage`] builds this file by itself, so it uses the standard library alone.
//!
//! As `/init`: stops (`saboteur=freeze`) or kills (`saboteur=kill`, on the kernel's command line) PID 1 once the network is up; or
//! watches what rights the other processes have, and how file systems are mounted, and tells the kernel's log (`saboteur=watch`).
//! As the daemon: stops it, the first time it is started, once a disc is inserted.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_int, c_long, c_uint};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

const INIT: &str = "/usr/sbin/blackbox-init";
const DAEMON: &str = "/usr/bin/blackboxd";
const REAL_DAEMON: &str = "/usr/bin/blackboxd.real";

/// Init's network child writes it when there is an address, which is after init has started the watchdog.
const NETWORK_IS_UP: &str = "/run/network/resolv.conf";

/// Init makes it for the first disc.
const DISC_IS_INSERTED: &str = "/media/sr0";

/// Where the daemon was stopped before.
const MARK: &str = "/tmp/saboteur";

const PTRACE_SEIZE: c_uint = 0x4206;
const PTRACE_INTERRUPT: c_uint = 0x4207;
const PTRACE_POKEUSER: c_uint = 6;
const PTRACE_DETACH: c_uint = 17;
/// Where the instruction pointer is in x86-64's `struct user`.
const RIP: usize = 16 * 8;
const WALL: c_int = 1 << 30;
const SIGSTOP: c_int = 19;

#[expect(unsafe_code, reason = "the standard library has neither")]
unsafe extern "C" {
    fn ptrace(request: c_uint, pid: c_int, address: usize, data: usize) -> c_long;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failed = match words[..] {
        ["attack", "init"] if is_told("watch") => watch().err(),
        ["attack", "init"] => attack_init(),
        ["attack", "daemon"] => attack_daemon(),
        _ if std::process::id() == 1 => {
            start_attack("/init", "init").err().or_else(|| Some(become_real(INIT, &words)))
        }
        _ => {
            let is_first = File::create_new(MARK).is_ok();
            let attack = if is_first { start_attack(DAEMON, "daemon") } else { Ok(()) };
            attack.err().or_else(|| Some(become_real(REAL_DAEMON, &words)))
        }
    };
    failed.map_or(ExitCode::SUCCESS, |error| {
        eprintln!("saboteur: {error}");
        ExitCode::FAILURE
    })
}

/// Starts the child and waits until it says that it is ready.
fn start_attack(this: &str, whom: &str) -> io::Result<()> {
    let mut child = Command::new(this).arg0("attack").arg(whom).stdout(Stdio::piped()).spawn()?;
    let mut ready = [0];
    child.stdout.take().map_or(Ok(()), |mut stdout| stdout.read_exact(&mut ready))
}

fn become_real(program: &str, words: &[&str]) -> io::Error {
    Command::new(program).args(&words[1..]).exec()
}

fn say_ready() -> io::Result<()> {
    io::stdout().write_all(b"r")?;
    io::stdout().flush()
}

fn wait_for(path: &str) {
    while !Path::new(path).exists() {
        sleep(Duration::from_millis(200));
    }
}

fn is_told(what: &str) -> bool {
    std::env::var("saboteur").is_ok_and(|how| how == what)
}

/// Whatever rights a process has, as far as they can be told when it has just begun and has not given them up yet.
fn watch() -> io::Result<()> {
    say_ready()?;
    wait_for("/proc/self");
    wait_for("/dev/kmsg");
    let (mut known, mut mounts) = (BTreeMap::new(), BTreeSet::new());
    loop {
        for mount in fs::read_to_string("/proc/self/mounts")?.lines() {
            if mounts.insert(mount.to_owned()) {
                fs::write("/dev/kmsg", format!("<6>watch: mount {mount}\n"))?;
            }
        }
        for entry in fs::read_dir("/proc")?.flatten() {
            let path = entry.path();
            let Some(rights) = rights(&path) else { continue };
            if known.insert(path, rights.clone()).as_ref() != Some(&rights) {
                fs::write("/dev/kmsg", format!("<6>watch: {rights}\n"))?;
            }
        }
        sleep(Duration::from_millis(10));
    }
}

/// A line about a process of the box; `None` of what is none, PID 1, threads of the kernel's, and this.
fn rights(process: &Path) -> Option<String> {
    let id: u32 = process.file_name()?.to_str()?.parse().ok()?;
    let program = fs::read_link(process.join("exe")).ok()?;
    let words = fs::read(process.join("cmdline")).ok()?;
    // The kernel's log takes short lines only.
    let words: String = String::from_utf8_lossy(&words).replace('\0', " ").chars().take(100).collect();
    let status = fs::read_to_string(process.join("status")).ok()?;
    if [1, std::process::id()].contains(&id) || program.ends_with("init") || status.contains("\nState:\tZ") {
        return None;
    }
    let of_interest = ["Uid:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"];
    let rights: Vec<String> = status
        .lines()
        .filter(|line| of_interest.iter().any(|key| line.starts_with(key)))
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().concat())
        .collect();
    Some(format!("{} {} ({words})", program.display(), rights.join(" ")))
}

/// The only way to stop PID 1: no signal does, nor is there one that kills it. Later on init has this forbidden.
fn attack_init() -> Option<io::Error> {
    let kills = is_told("kill");
    // SAFETY: of these requests none has the kernel read or write memory of ours.
    #[expect(unsafe_code, reason = "ptrace")]
    let call = |request, address, data| match unsafe { ptrace(request, 1, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    let stop = || {
        call(PTRACE_SEIZE, 0, 0)?;
        say_ready()?;
        wait_for(NETWORK_IS_UP);
        call(PTRACE_INTERRUPT, 0, 0)?;
        let mut status = 0;
        // SAFETY: the kernel writes one number, which is what the argument points to.
        #[expect(unsafe_code, reason = "waitpid")]
        let stopped = unsafe { waitpid(1, &raw mut status, WALL) };
        if stopped == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    let failed = match stop() {
        // It goes on where there is nothing, and nobody holds back the signal.
        Ok(()) if kills => call(PTRACE_POKEUSER, RIP, 0).and_then(|()| call(PTRACE_DETACH, 0, 0)).err(),
        stopped => stopped.err(),
    };
    while failed.is_none() {
        sleep(Duration::from_hours(1));
    }
    failed
}

fn attack_daemon() -> Option<io::Error> {
    let Ok(daemon) = c_int::try_from(parent_id()) else { return Some(io::ErrorKind::InvalidData.into()) };
    if let Err(error) = say_ready() {
        return Some(error);
    }
    wait_for(DISC_IS_INSERTED);
    // SAFETY: the call takes numbers only.
    #[expect(unsafe_code, reason = "kill")]
    let result = unsafe { kill(daemon, SIGSTOP) };
    (result != 0).then(io::Error::last_os_error)
}
