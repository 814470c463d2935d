//! The system calls that the daemon and its libraries make.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};

/// Those that may be made with any arguments.
#[rustfmt::skip]
const ANY: &[c_long] = &[
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
    // Sockets, once they are made.
    libc::SYS_socketpair, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_connect,
    libc::SYS_shutdown, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt, libc::SYS_setsockopt,
    libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_recvmmsg,
];

/// Older forms of these, which this architecture has too.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLDER: &[c_long] = &[
    libc::SYS_open, libc::SYS_creat, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_getdents,
    libc::SYS_readlink, libc::SYS_mkdir, libc::SYS_rmdir, libc::SYS_unlink, libc::SYS_rename, libc::SYS_link,
    libc::SYS_chmod, libc::SYS_utimes, libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_create, libc::SYS_epoll_wait,
    libc::SYS_eventfd, libc::SYS_inotify_init, libc::SYS_pipe, libc::SYS_dup2, libc::SYS_time, libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Limits this thread, and those that it starts, to the list.
///
/// # Errors
/// When the kernel, or the library on this architecture, can't.
pub fn limit() -> anyhow::Result<()> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ANY.iter().chain(OLDER).map(|number| (*number, Vec::new())).collect();
    rules.insert(libc::SYS_socket, sockets()?);
    // A thread of this process, and no other process. (`clone3` has its arguments in memory; without it libraries take this.)
    let thread = u64::try_from(libc::CLONE_THREAD)?;
    rules.insert(libc::SYS_clone, vec![rule(&[(0, MaskedEq(thread), thread)])?]);
    let unknown = SeccompAction::Errno(u32::try_from(libc::ENOSYS)?);
    let filter =
        SeccompFilter::new(rules, unknown, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    Ok(())
}

/// TCP, UDP, this machine's own, and asking for its addresses.
fn sockets() -> anyhow::Result<Vec<SeccompRule>> {
    let mut rules = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX] {
        for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
            // Flags stand above the kind.
            rules.push(rule(&[(0, Eq, u64::try_from(family)?), (1, MaskedEq(0xf), u64::try_from(kind)?)])?);
        }
    }
    let (netlink, route) = (u64::try_from(libc::AF_NETLINK)?, u64::try_from(libc::NETLINK_ROUTE)?);
    rules.push(rule(&[(0, Eq, netlink), (2, Eq, route)])?);
    Ok(rules)
}

/// All of these: number of an argument, how it is compared, and with what.
fn rule(conditions: &[(u8, seccompiler::SeccompCmpOp, u64)]) -> anyhow::Result<SeccompRule> {
    let conditions: Result<Vec<_>, _> = conditions
        .iter()
        .map(|(argument, operator, value)| SeccompCondition::new(*argument, Dword, operator.clone(), *value))
        .collect();
    Ok(SeccompRule::new(conditions?)?)
}
