//! What the daemon takes from itself before it talks to anybody: files outside of its folders (Landlock), and the calls
//! to the kernel that it has no use for (seccomp). All threads that are started from then on have the same limits.
//!
//! A call that is not on the list fails as if the kernel did not know it (`ENOSYS`): libraries then take an older one, and a
//! stranger who runs code in the daemon gets as little of it. Killing the process would take the box off the net for a call
//! that a later version of a library makes first, and somebody would have to come.

mod calls;

use std::path::{Path, PathBuf};

use anyhow::Context;
use appliance::paths;
use landlock::{
    Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, path_beneath_rules,
};

use crate::options::Options;

/// What is read besides: the kernel's figures, names and addresses, devices of discs, and what looking up a name takes.
const READ: [&str; 9] = [paths::MEDIA, "/dev", "/proc", "/sys", "/run", "/etc", "/usr", "/lib", "/lib64"];

/// Limits this process for good. What this kernel can't limit stays as it is, which the log says.
pub fn confine(options: &Options) {
    if let Err(error) = limit_files(&writable(options)) {
        tracing::warn!("this kernel does not keep the daemon in its folders: {error:#}");
    }
    if let Err(error) = calls::limit() {
        tracing::warn!("this kernel does not limit the daemon's system calls: {error:#}");
    }
}

/// Folders in which everything may be done with files. Of the publish folder it is the one that it is in: a disk that is
/// mounted there later, and a folder that is made anew, are other ones for the kernel.
fn writable(options: &Options) -> [PathBuf; 2] {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let publish = absolute(&options.publish);
    [existing(publish.parent().unwrap_or(&publish)), existing(&absolute(&options.state))]
}

/// The path, or what of it is there.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn limit_files(writable: &[PathBuf]) -> anyhow::Result<()> {
    let all = AccessFs::from_all(landlock::ABI::V3);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write: BitFlags<AccessFs> = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let status = Ruleset::default()
        // Without it nothing could be moved from one folder to another.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .create()?
        .add_rules(path_beneath_rules(READ, read))?
        .add_rules(path_beneath_rules(writable, write))?
        .restrict_self()?;
    (status.ruleset != RulesetStatus::NotEnforced).then_some(()).context("it has no Landlock")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::process::Command;
    use std::thread;

    use nix::errno::Errno;
    use nix::libc;

    use super::*;

    /// Runs `what` on a thread of its own, since there is no way back from the limits.
    fn confined<T: Send>(
        limit: impl FnOnce() -> anyhow::Result<()> + Send,
        what: impl FnOnce() -> T + Send,
    ) -> Option<T> {
        thread::scope(|scope| {
            let run = || limit().is_ok().then(what);
            scope.spawn(run).join().unwrap()
        })
    }

    #[test]
    fn files_outside_of_its_folders_are_out_of_reach() {
        let folder = tempfile::tempdir().unwrap();
        let (own, foreign) = (folder.path().join("own"), folder.path().join("foreign"));
        for folder in [&own, &foreign] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("file"), b"content").unwrap();
        }
        let limit = || limit_files(std::slice::from_ref(&own));
        let done = confined(limit, || {
            assert_eq!(fs::read(own.join("file")).unwrap(), b"content");
            fs::create_dir(own.join("folder")).unwrap();
            fs::rename(own.join("file"), own.join("folder/moved")).unwrap();
            fs::remove_dir_all(own.join("folder")).unwrap();
            assert!(
                File::open("/proc/meminfo").is_ok() && File::create("/dev/shm/blackbox-confined").is_err()
            );
            let read = fs::read(foreign.join("file")).unwrap_err();
            let write = fs::write(foreign.join("new"), b"").unwrap_err();
            let run = Command::new("/bin/true").status().unwrap_err();
            [read, write, run].map(|error| error.kind())
        });
        // A kernel without Landlock limits nothing, and says so.
        assert!(done.is_none_or(|errors| errors == [ErrorKind::PermissionDenied; 3]), "{done:?}");
    }

    #[test]
    fn calls_that_are_not_on_the_list_are_unknown() {
        let done = confined(calls::limit, || {
            let result = |number: i64, a: i64, b: i64, c: i64| {
                #[expect(unsafe_code, reason = "a system call that no library makes")]
                // SAFETY: all of them are refused, or take numbers only.
                Errno::result(unsafe { libc::syscall(number, a, b, c) }).map(drop)
            };
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
                assert_eq!(result(number, a, b, c), Err(Errno::ENOSYS), "{name}");
            }
            assert!(Command::new("/bin/true").status().is_err());
            // And what it does all the time still works.
            assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
            assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
            assert!(nix::ifaddrs::getifaddrs().is_ok());
        });
        assert!(done.is_some(), "a kernel without seccomp");
    }
}
