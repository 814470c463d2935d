//! PID 1 of the appliance, and its children for everything that may hang or parses what comes from outside.
//!
//! - without arguments, as PID 1: boot, supervise, shut down. It parses nothing from the network and has one thread,
//!   which waits in `poll` alone, but for mounting the box's own two partitions during the boot.
//! - `net SETTINGS`: links, DHCP, addresses
//! - `mdns NAME`: the box's name in its networks
//! - `time FLOOR SERVER...`: asks for the time
//! - `media NAME`, `eject NAME`: finds out what is in a drive and mounts it; unmounts it and opens the tray
//! - `readable NODE`: tells an empty partition from one that can't be read
//! - `disk NAME`: asks a disk how sound it is
//! - `tool PROGRAM ...`: becomes a program of the image, with what that may do
//! - `update JOB NODE SLOT ...`: verifies and installs updates, keeps or drops the one on trial
//! - `journal FOLDER BYTES ...`: writes the log
//! - `unmount`: writes everything back at shutdown

mod blkid;
mod block;
mod boot;
mod button;
mod children;
mod clock;
mod cmdline;
mod confine;
mod console;
mod daemon;
mod data;
mod data_disk;
mod disks;
mod journal;
mod kernel;
mod layout;
mod lines;
mod link;
mod log;
mod machine;
mod mdns;
mod media;
mod modules;
mod net;
mod problems;
mod pulse;
mod qr;
mod screen;
mod settings;
mod shutdown;
mod speaker;
mod supervisor;
mod sys;
mod system;
mod tools;
mod uevent;
mod update;
mod watchdog;

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use machine::Machine;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // The kernel hands on words of its command line that it does not know, so PID 1 ignores them.
        _ if sys::is_first_process() => first_process(),
        ["net", settings] => exit(net::run(settings)),
        ["mdns", name] => exit(mdns::run(name)),
        ["time", floor, ref servers @ ..] => exit(clock::run(floor, servers)),
        ["tool", program, ref arguments @ ..] => exit(confine::become_tool(program, arguments)),
        ["media", drive] if media::is_drive_name(drive) => exit(media::look::tell(drive, false)),
        ["media", drive, "briefly"] if media::is_drive_name(drive) => exit(media::look::tell(drive, true)),
        ["eject", drive] if media::is_drive_name(drive) => exit(media::eject::eject(drive)),
        ["readable", node] => exit(data::readable(node)),
        ["disk", name] if disks::may_know(name) => exit(disks::ask::tell(name)),
        ["update", ref job @ ..] => exit(update::run(job)),
        ["journal", folder, bytes, kernel, life] => exit(journal::run(folder, bytes, kernel, life)),
        ["unmount"] => exit(shutdown::unmount()),
        _ => {
            eprintln!("blackbox-init is PID 1 of the P2P Black Box and does nothing elsewhere.");
            ExitCode::from(appliance::exit::USAGE)
        }
    }
}

fn exit(result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole life of PID 1. A fault in it ends in a restart of the box, never in a kernel panic.
fn first_process() -> ! {
    std::panic::set_hook(Box::new(|info| alarm!("{info}")));
    let result = catch_unwind(AssertUnwindSafe(|| -> std::io::Result<()> {
        let mut machine = Machine::new()?;
        let how = boot::live(&mut machine);
        shutdown::shut_down(&mut machine, how)
    }));
    match result {
        Ok(Err(error)) => shutdown::restart_after_fault(&error.to_string()),
        Ok(Ok(())) | Err(_) => shutdown::restart_after_fault("see above"),
    }
}
