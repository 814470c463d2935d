//! What the daemon takes from itself before it talks to anybody: files outside of its folders, and the calls to the kernel that
//! it has no use for. All threads that are started from then on have the same limits.

use std::path::{Path, PathBuf};

use appliance::paths;
use confine::{Group, Reach, Socket, limit_calls, limit_files};

use crate::options::Options;

/// What is read besides: the kernel's figures, names and addresses, devices of discs, and what looking up a name takes.
const READ: [&str; 9] = [paths::MEDIA, "/dev", "/proc", "/sys", "/run", "/etc", "/usr", "/lib", "/lib64"];

/// TCP, UDP, this machine's own, and asking for its addresses.
const SOCKETS: [Socket; 4] = [Socket::Tcp, Socket::Udp, Socket::Local, Socket::Routes];

/// Limits this process for good. What this kernel can't limit stays as it is, which the log says.
pub fn confine(options: &Options) {
    let writable = writable(options);
    let reaches =
        [(Reach::Read, &READ.map(Path::new)[..]), (Reach::Write, &writable.each_ref().map(PathBuf::as_path))];
    if let Err(error) = limit_files(&reaches) {
        tracing::warn!("this kernel does not keep the daemon in its folders: {error:#}");
    }
    if let Err(error) = limit_calls(&[Group::Threads], &SOCKETS) {
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
