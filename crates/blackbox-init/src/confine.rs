//! What each child takes from itself before it begins, and what is left to the tools. What this kernel can't limit stays as it is,
//! which the log says.
//!
//! Who mounts can't be kept in folders; what it starts can.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use ::confine::{Error, Group, Reach, Socket, limit_calls, limit_files};
use appliance::paths;

use crate::tools;

/// Figures of the kernel, and chance.
const FIGURES: [&str; 3] = ["/proc", "/sys", "/dev/urandom"];

/// What looking up a name takes.
const NAMES: [&str; 8] = ["/etc", "/run/network", "/usr", "/lib", "/lib64", "/proc", "/sys", "/dev/urandom"];

/// Where programs and what they need are.
const PROGRAMS: [&str; 3] = ["/usr", "/lib", "/lib64"];

/// What tools read: settings, figures of the kernel, and devices.
const TOOLS_READ: [&str; 4] = ["/etc", "/proc", "/sys", "/dev"];

/// The child that writes the log.
pub fn journal(folder: &str) {
    apply(&[(Reach::Write, &[folder])], &[], &[]);
}

/// The child that gives the box its name.
pub fn naming() {
    apply(&[(Reach::Read, &FIGURES)], &[], &[Socket::Udp, Socket::Routes]);
}

/// The child that asks for the time.
pub fn time() {
    apply(&[(Reach::Read, &NAMES)], &[], &[Socket::Udp, Socket::Tcp, Socket::Local, Socket::Routes]);
}

/// The network child.
pub fn network() {
    let reaches = [(Reach::Read, &FIGURES[..]), (Reach::Write, &[paths::NETWORK_RUN])];
    apply(&reaches, &[], &[Socket::Udp, Socket::Routes, Socket::Frames]);
}

/// The child that reads from a device.
pub fn reader(node: &str) {
    apply(&[(Reach::Read, &[node])], &[], &[]);
}

/// The child that asks a disk how sound it is, and the program that it starts for that: what raw commands could do to this disk
/// they can't do to another one, nor to a file.
pub fn asker(node: &str) {
    let reaches =
        [(Reach::Run, &PROGRAMS[..]), (Reach::Read, &[node, "/sys"]), (Reach::Write, &["/dev/null"])];
    apply(&reaches, &[Group::Programs], &[]);
}

/// Children that mount and unmount, and start programs for it.
pub fn mounter() {
    report("system calls", limit_calls(&[Group::Programs, Group::Mounts], &[]));
}

/// Becomes a tool: `blackbox-init tool PROGRAM ARGUMENT...`. It writes to no files but the devices that are named, if it is one
/// that writes.
///
/// # Errors
/// When it can't be started.
pub fn become_tool(program: &str, arguments: &[&str]) -> io::Result<()> {
    let mut written = vec!["/dev/null"];
    if ![tools::BLKID, tools::MODPROBE].contains(&program) {
        written.extend(arguments.iter().filter(|argument| argument.starts_with("/dev/")));
    }
    let groups = [Group::Programs, Group::Modules];
    let groups = if program == tools::MODPROBE { &groups[..] } else { &groups[..1] };
    let reaches = [(Reach::Run, &PROGRAMS[..]), (Reach::Read, &TOOLS_READ), (Reach::Write, &written)];
    apply(&reaches, groups, &[]);
    Err(Command::new(program).args(arguments).exec())
}

fn apply(reaches: &[(Reach, &[&str])], groups: &[Group], sockets: &[Socket]) {
    let paths: Vec<Vec<&Path>> =
        reaches.iter().map(|(_, paths)| paths.iter().map(Path::new).collect()).collect();
    let reaches: Vec<(Reach, &[&Path])> =
        reaches.iter().zip(&paths).map(|((reach, _), paths)| (*reach, paths.as_slice())).collect();
    report("files", limit_files(&reaches));
    report("system calls", limit_calls(groups, sockets));
}

fn report(what: &str, result: Result<(), Error>) {
    if let Err(error) = result {
        eprintln!("this kernel does not limit the {what} of this child: {error}");
    }
}
