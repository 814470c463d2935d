//! Processes and signals.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::reboot::{RebootMode, set_cad_enabled};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{self, SigSet};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, getpid, setgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities,
};

/// Whether this process is PID 1.
pub fn is_first_process() -> bool {
    getpid().as_raw() == 1
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// Killed by the signal of this number.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// Collects every child that ended, orphans included.
pub fn reap() -> Vec<(u32, Exit)> {
    let mut ended = Vec::new();
    loop {
        let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return ended,
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => return ended,
        };
        ended.extend(u32::try_from(pid.as_raw()).map(|pid| (pid, exit)));
    }
}

/// The signals init knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A child ended.
    Child,
    /// Asked to switch off (`SIGTERM`, `SIGPWR`).
    PowerOff,
    /// Asked to start again (`SIGINT`: Ctrl-Alt-Del).
    Reboot,
}

/// Signals as a descriptor to poll.
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals' usual effect in this process; [`unblock_signals`] gives it back to children.
    pub fn open() -> io::Result<Self> {
        use signal::Signal::{SIGCHLD, SIGINT, SIGPWR, SIGTERM};
        let set: SigSet = [SIGCHLD, SIGINT, SIGPWR, SIGTERM].into_iter().collect();
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next signal that came.
    pub fn next(&self) -> Option<Signal> {
        let info = self.0.read_signal().ok().flatten()?;
        let number = i32::try_from(info.ssi_signo).ok()?;
        Some(match signal::Signal::try_from(number).ok()? {
            signal::Signal::SIGCHLD => Signal::Child,
            signal::Signal::SIGINT => Signal::Reboot,
            _ => Signal::PowerOff,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives `command`'s program the signals that [`Signals::open`] blocks here; a blocked signal is inherited.
#[expect(unsafe_code, reason = "pre_exec")]
pub fn unblock_signals(command: &mut Command) {
    // SAFETY: between fork and exec only a system call is made: no allocation, no lock.
    unsafe {
        command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?));
    }
}

/// Turns Ctrl-Alt-Del from an instant reset into `SIGINT` for PID 1.
pub fn catch_keyboard_reboot() -> io::Result<()> {
    Ok(set_cad_enabled(false)?)
}

/// Asks (`SIGTERM`) a process to end, or ends (`SIGKILL`) it.
pub fn kill(pid: u32, force: bool) {
    send(i32::try_from(pid).ok(), force);
}

/// The same for a process and the children in its group.
pub fn kill_group(pid: u32, force: bool) {
    send(i32::try_from(pid).ok().map(|pid| -pid), force);
}

/// The same for every process but this one.
pub fn kill_all(force: bool) {
    send(Some(-1), force);
}

fn send(pid: Option<i32>, force: bool) {
    let signal = if force { signal::Signal::SIGKILL } else { signal::Signal::SIGTERM };
    if let Some(pid) = pid {
        // It may have ended already, which is as well.
        let _ = signal::kill(Pid::from_raw(pid), signal);
    }
}

/// What a service may do.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// User and group id; no other groups, no capabilities.
    pub id: u32,
    /// Most descriptors it may open.
    pub files: u64,
    /// Most threads it may have.
    pub threads: u64,
}

impl Identity {
    /// Gives up root for good.
    fn assume(self) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.id), Gid::from_raw(self.id));
        setrlimit(Resource::RLIMIT_NOFILE, self.files, self.files)?;
        setrlimit(Resource::RLIMIT_NPROC, self.threads, self.threads)?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        setgroups(&[gid])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        Ok(())
    }
}

/// What a child may do that stays root, besides what root may do with its own files.
#[derive(Debug, Clone, Copy)]
pub struct Rights(CapabilitySet);

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(CapabilitySet::empty());
    /// Load drivers.
    pub const MODULES: Self = Self(CapabilitySet::SYS_MODULE);
    /// Change what the kernel knows of disks, mount and unmount.
    pub const DISKS: Self = Self(CapabilitySet::SYS_ADMIN);
    /// Send commands to a SATA or SCSI disk that the kernel does not know.
    pub const COMMANDS: Self = Self(CapabilitySet::SYS_RAWIO);
    /// Read everything, change what the kernel knows of disks, mount and unmount, give nodes of devices to the daemon, and leave groups, as ntfs-3g does.
    pub const MEDIA: Self = Self(
        CapabilitySet::SYS_ADMIN
            .union(CapabilitySet::DAC_READ_SEARCH)
            .union(CapabilitySet::CHOWN)
            .union(CapabilitySet::SETGID),
    );
    /// Mount and unmount, and do everything with anybody's files.
    pub const UPDATES: Self =
        Self(CapabilitySet::SYS_ADMIN.union(CapabilitySet::DAC_OVERRIDE).union(CapabilitySet::FOWNER));
}

/// Leaves `command`'s program, which runs as root, these rights and no others, now and whatever it starts.
#[expect(unsafe_code, reason = "pre_exec")]
pub fn stay_root(command: &mut Command, rights: Rights) {
    // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            bound_capabilities(rights.0)?;
            nix::sys::prctl::set_no_new_privs()?;
            Ok(())
        });
    }
}

/// Like [`become_service`], but that the service sets up the network.
#[expect(unsafe_code, reason = "pre_exec")]
pub fn become_network_service(command: &mut Command, identity: Identity) {
    let kept = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW | CapabilitySet::NET_BIND_SERVICE;
    // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            bound_capabilities(kept)?;
            set_keep_capabilities(true)?;
            identity.assume()?;
            let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
            set_capabilities(None, sets)?;
            for capability in kept {
                configure_capability_in_ambient_set(capability, true)?;
            }
            nix::sys::prctl::set_no_new_privs()?;
            Ok(())
        });
    }
}

/// Makes all other capabilities impossible for this process and its children, from the next program on.
fn bound_capabilities(kept: CapabilitySet) -> io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if !kept.contains(capability) {
            match remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // This kernel has no more.
                Err(rustix::io::Errno::INVAL) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Makes `command` give up root for good before it starts its program.
#[expect(unsafe_code, reason = "pre_exec")]
pub fn become_service(command: &mut Command, identity: Identity) {
    // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            bound_capabilities(CapabilitySet::empty())?;
            identity.assume()?;
            nix::sys::prctl::set_no_new_privs()?;
            Ok(())
        });
    }
}

/// Limits this process and its children: memory in bytes, and processor time in seconds for each.
pub fn limit_resources(memory: u64, processor_time: u64) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_AS, memory, memory)?;
    setrlimit(Resource::RLIMIT_CPU, processor_time, processor_time)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

/// Lets `command`'s program keep `fd` open under the same number.
#[expect(unsafe_code, reason = "pre_exec")]
pub fn inherit(command: &mut Command, fd: &impl AsFd) -> RawFd {
    let number = fd.as_fd().as_raw_fd();
    // SAFETY: one system call; the caller keeps `fd` open until the command has started, so the number is its own.
    unsafe {
        command.pre_exec(move || {
            fcntl(BorrowedFd::borrow_raw(number), FcntlArg::F_SETFD(FdFlag::empty()))?;
            Ok(())
        });
    }
    number
}

/// A descriptor that [`inherit`] left open for this program.
///
/// # Errors
/// When it can't be one.
#[expect(unsafe_code, reason = "a descriptor inherited from init can't be had in another way")]
pub fn inherited(number: RawFd) -> io::Result<File> {
    if number <= 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: init opened this descriptor for this program, which asks for it once.
    Ok(unsafe { File::from_raw_fd(number) })
}

/// Has this process take no notice of being asked to end.
pub fn ignore_end() -> io::Result<()> {
    Ok(SigSet::from(signal::Signal::SIGTERM).thread_block()?)
}

/// The end of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    /// Switch off.
    PowerOff,
    /// Start again.
    Restart,
}

/// Ends the kernel; returns only if it refuses.
pub fn reboot(how: Reboot) -> io::Error {
    let mode = match how {
        Reboot::PowerOff => RebootMode::RB_POWER_OFF,
        Reboot::Restart => RebootMode::RB_AUTOBOOT,
    };
    match nix::sys::reboot::reboot(mode) {
        Ok(never) => match never {},
        Err(error) => error.into(),
    }
}
