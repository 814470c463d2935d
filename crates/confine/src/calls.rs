//! Which system calls a process makes, by what it is for.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};

use crate::Error;

/// What everybody may call, with any arguments.
#[rustfmt::skip]
const COMMON: &[c_long] = &[
    // Memory, `mincore` before bytes are sent from it.
    libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_madvise,
    libc::SYS_mincore, libc::SYS_msync, libc::SYS_memfd_create,
    // Threads, and what they wait for.
    libc::SYS_futex, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_set_tid_address, libc::SYS_rseq,
    libc::SYS_membarrier, libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity,
    libc::SYS_getcpu, libc::SYS_gettid, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_prctl,
    // How nice a thread is, to others and at the disk.
    libc::SYS_getpriority, libc::SYS_setpriority, libc::SYS_ioprio_get, libc::SYS_ioprio_set,
    // Signals; to this process alone.
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigpending, libc::SYS_rt_sigsuspend, libc::SYS_sigaltstack, libc::SYS_tgkill, libc::SYS_restart_syscall,
    libc::SYS_signalfd4,
    // Clocks and figures of the machine.
    libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_clock_nanosleep, libc::SYS_nanosleep,
    libc::SYS_gettimeofday, libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_times, libc::SYS_getrusage, libc::SYS_getrandom,
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid,
    libc::SYS_prlimit64, libc::SYS_getrlimit, libc::SYS_setrlimit,
    // Descriptors: reading, writing, waiting.
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
    libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_close, libc::SYS_close_range,
    libc::SYS_dup, libc::SYS_dup3, libc::SYS_fcntl, libc::SYS_ioctl, libc::SYS_pipe2, libc::SYS_eventfd2,
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_ppoll,
    libc::SYS_pselect6, libc::SYS_timerfd_create, libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime,
    libc::SYS_sendfile, libc::SYS_splice, libc::SYS_copy_file_range,
    // Files: leases, locks, space, caches, attributes, identity.
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_lseek, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx,
    libc::SYS_statfs, libc::SYS_fstatfs, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_getdents64,
    libc::SYS_readlinkat, libc::SYS_getcwd, libc::SYS_flock, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_syncfs,
    libc::SYS_sync_file_range, libc::SYS_truncate, libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_fadvise64,
    libc::SYS_readahead, libc::SYS_mkdirat, libc::SYS_unlinkat, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_linkat,
    libc::SYS_utimensat, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_umask, libc::SYS_getxattr, libc::SYS_lgetxattr,
    libc::SYS_fgetxattr, libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_listxattr,
    libc::SYS_llistxattr, libc::SYS_flistxattr, libc::SYS_removexattr, libc::SYS_fremovexattr,
    libc::SYS_inotify_init1, libc::SYS_inotify_add_watch, libc::SYS_inotify_rm_watch,
];

/// Older forms of these, which this architecture has too.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const COMMON_OLDER: &[c_long] = &[
    libc::SYS_open, libc::SYS_creat, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_getdents,
    libc::SYS_readlink, libc::SYS_mkdir, libc::SYS_rmdir, libc::SYS_unlink, libc::SYS_rename, libc::SYS_link,
    libc::SYS_chmod, libc::SYS_utimes, libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_create, libc::SYS_epoll_wait,
    libc::SYS_eventfd, libc::SYS_inotify_init, libc::SYS_pipe, libc::SYS_dup2, libc::SYS_time, libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const COMMON_OLDER: &[c_long] = &[];

/// Sockets, once they are made.
#[rustfmt::skip]
const SOCKETS: &[c_long] = &[
    libc::SYS_socketpair, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_connect,
    libc::SYS_shutdown, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt, libc::SYS_setsockopt,
    libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_recvmmsg,
];

/// Other programs are started, waited for and ended, and what the box's own tools need to begin and end.
#[rustfmt::skip]
const PROGRAMS: &[c_long] = &[
    libc::SYS_execve, libc::SYS_wait4, libc::SYS_waitid, libc::SYS_kill, libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal,
    libc::SYS_setsid, libc::SYS_getsid, libc::SYS_setpgid, libc::SYS_getpgid, libc::SYS_chdir, libc::SYS_fchdir,
    libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getgroups, libc::SYS_capget, libc::SYS_setitimer, libc::SYS_getitimer,
    libc::SYS_sync,
    // Each has its own limits.
    libc::SYS_seccomp, libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self,
];

/// Older forms of these.
#[cfg(target_arch = "x86_64")]
const PROGRAMS_OLDER: &[c_long] = &[libc::SYS_fork, libc::SYS_vfork, libc::SYS_getpgrp, libc::SYS_alarm];
#[cfg(not(target_arch = "x86_64"))]
const PROGRAMS_OLDER: &[c_long] = &[];

/// File systems are mounted and unmounted, also out of sight of others, and device nodes get other owners.
#[rustfmt::skip]
const MOUNTS: &[c_long] = &[
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_unshare, libc::SYS_fchown, libc::SYS_fchownat,
    // ntfs-3g makes sure that it is who it is.
    libc::SYS_setgroups, libc::SYS_setresgid, libc::SYS_setresuid,
    #[cfg(target_arch = "x86_64")] libc::SYS_chown,
];

/// Drivers are loaded.
const MODULES: &[c_long] = &[libc::SYS_finit_module, libc::SYS_init_module];

/// What a process may call besides reading, writing and waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Threads of its own.
    Threads,
    /// Other programs.
    Programs,
    /// Mounting and unmounting.
    Mounts,
    /// Loading drivers.
    Modules,
}

/// A kind of socket that a process may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Between processes of this machine.
    Local,
    /// Asks for the machine's addresses and routes; who may, sets them.
    Routes,
    /// Frames of a network, as they are.
    Frames,
}

/// Limits this thread, and those and what else it starts, to the calls that everybody needs, these groups, and these sockets.
///
/// # Errors
/// When the kernel, or the library on this architecture, can't.
pub fn limit_calls(groups: &[Group], sockets: &[Socket]) -> Result<(), Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut allow = |calls: &[c_long]| rules.extend(calls.iter().map(|number| (*number, Vec::new())));
    allow(COMMON);
    allow(COMMON_OLDER);
    for group in groups {
        match group {
            Group::Threads => {}
            Group::Programs => {
                allow(PROGRAMS);
                allow(PROGRAMS_OLDER);
                allow(&[libc::SYS_clone]);
            }
            Group::Mounts => allow(MOUNTS),
            Group::Modules => allow(MODULES),
        }
    }
    if !sockets.is_empty() {
        allow(SOCKETS);
        let kinds: Result<Vec<_>, _> = sockets.iter().map(|socket| kinds(*socket)).collect();
        rules.insert(libc::SYS_socket, kinds?.into_iter().flatten().collect());
    }
    if groups.contains(&Group::Threads) && !groups.contains(&Group::Programs) {
        // A thread of this process, and no other process. (`clone3` has its arguments in memory; without it libraries take this.)
        let thread = u64::try_from(libc::CLONE_THREAD)?;
        rules.insert(libc::SYS_clone, vec![rule(&[(0, MaskedEq(thread), thread)])?]);
    }
    let unknown = SeccompAction::Errno(u32::try_from(libc::ENOSYS)?);
    let filter =
        SeccompFilter::new(rules, unknown, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    Ok(())
}

/// The arguments with which such a socket is made.
fn kinds(socket: Socket) -> Result<Vec<SeccompRule>, Error> {
    // Flags stand above the kind.
    let of = |family: i32, kind: i32| -> Result<SeccompRule, Error> {
        rule(&[(0, Eq, u64::try_from(family)?), (1, MaskedEq(0xf), u64::try_from(kind)?)])
    };
    Ok(match socket {
        Socket::Tcp => vec![of(libc::AF_INET, libc::SOCK_STREAM)?, of(libc::AF_INET6, libc::SOCK_STREAM)?],
        Socket::Udp => vec![of(libc::AF_INET, libc::SOCK_DGRAM)?, of(libc::AF_INET6, libc::SOCK_DGRAM)?],
        Socket::Local => vec![of(libc::AF_UNIX, libc::SOCK_STREAM)?, of(libc::AF_UNIX, libc::SOCK_DGRAM)?],
        Socket::Routes => {
            let (netlink, route) = (u64::try_from(libc::AF_NETLINK)?, u64::try_from(libc::NETLINK_ROUTE)?);
            vec![rule(&[(0, Eq, netlink), (2, Eq, route)])?]
        }
        Socket::Frames => {
            vec![of(libc::AF_PACKET, libc::SOCK_DGRAM)?, of(libc::AF_PACKET, libc::SOCK_RAW)?]
        }
    })
}

/// All of these: number of an argument, how it is compared, and with what.
fn rule(conditions: &[(u8, seccompiler::SeccompCmpOp, u64)]) -> Result<SeccompRule, Error> {
    let conditions: Result<Vec<_>, _> = conditions
        .iter()
        .map(|(argument, operator, value)| SeccompCondition::new(*argument, Dword, operator.clone(), *value))
        .collect();
    Ok(SeccompRule::new(conditions?)?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use nix::errno::Errno;

    use super::*;

    /// Runs `what` on a thread of its own, since there is no way back from the limits.
    fn confined(groups: &[Group], sockets: &[Socket], what: impl FnOnce() + Send) {
        thread::scope(|scope| {
            let run = || {
                limit_calls(groups, sockets).expect("a kernel without seccomp");
                what();
            };
            scope.spawn(run).join().unwrap();
        });
    }

    fn call(number: i64, a: i64, b: i64, c: i64) -> Result<(), Errno> {
        #[expect(unsafe_code, reason = "a system call that no library makes")]
        // SAFETY: all of them are refused, or take numbers only.
        Errno::result(unsafe { libc::syscall(number, a, b, c) }).map(drop)
    }

    const SOCKETS_OF_ALL: [Socket; 4] = [Socket::Tcp, Socket::Udp, Socket::Local, Socket::Routes];

    #[test]
    fn calls_that_are_not_on_the_list_are_unknown() {
        confined(&[Group::Threads], &SOCKETS_OF_ALL, || {
            for (name, number, a, b, c) in [
                ("ptrace", libc::SYS_ptrace, 0, 0, 0),
                ("execve", libc::SYS_execve, 0, 0, 0),
                ("mount", libc::SYS_mount, 0, 0, 0),
                ("bpf", libc::SYS_bpf, 0, 0, 0),
                ("io_uring_setup", libc::SYS_io_uring_setup, 1, 0, 0),
                ("unshare", libc::SYS_unshare, 0, 0, 0),
                ("fork", libc::SYS_clone, 17, 0, 0),
                ("kill", libc::SYS_kill, 1, 0, 0),
                ("a packet socket", libc::SYS_socket, libc::AF_PACKET.into(), libc::SOCK_DGRAM.into(), 0),
                ("a raw socket", libc::SYS_socket, libc::AF_INET.into(), libc::SOCK_RAW.into(), 1),
                ("netfilter", libc::SYS_socket, libc::AF_NETLINK.into(), libc::SOCK_RAW.into(), 12),
            ] {
                assert_eq!(call(number, a, b, c), Err(Errno::ENOSYS), "{name}");
            }
            assert!(Command::new("/bin/true").status().is_err());
            // And what is done all the time still works.
            assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
            assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
            assert_eq!(call(libc::SYS_socket, libc::AF_NETLINK.into(), libc::SOCK_RAW.into(), 0), Ok(()));
        });
    }

    #[test]
    fn who_starts_programs_has_no_network_and_who_has_it_starts_none() {
        let udp = || std::net::UdpSocket::bind("127.0.0.1:0");
        confined(&[Group::Programs], &[], || {
            assert!(Command::new("/bin/true").status().unwrap().success());
            let script = "exec 3<>/dev/null; mount -t tmpfs x /mnt 2>/dev/null && exit 1; exit 0";
            assert!(Command::new("/bin/sh").args(["-c", script]).status().unwrap().success());
            assert!(udp().is_err());
            assert_eq!(call(libc::SYS_finit_module, -1, 0, 0), Err(Errno::ENOSYS));
        });
        confined(&[], &[Socket::Udp], || {
            assert!(udp().is_ok() && std::net::TcpListener::bind("127.0.0.1:0").is_err());
            assert_eq!(call(libc::SYS_clone, 17, 0, 0), Err(Errno::ENOSYS));
        });
        confined(&[Group::Mounts], &[], || {
            assert_ne!(call(libc::SYS_umount2, 0, 0, 0), Err(Errno::ENOSYS));
        });
    }
}
