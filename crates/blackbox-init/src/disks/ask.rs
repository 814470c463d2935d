//! The child that asks a disk: `blackbox-init disk NAME`. It and the program that it starts reach this disk alone.

use std::io::{self, Read};
use std::process::Stdio;
use std::time::Duration;

use super::smart;
use crate::{confine, sys, tools};

/// How long it may take; a disk in trouble keeps a question for a minute.
pub const LIMIT: Duration = Duration::from_secs(150);

/// Longest answer (bytes) that is read; usual ones have 12 KiB.
const MAX_OUTPUT: u64 = 256 * 1024;

/// Memory in bytes, and processor time in seconds.
const MEMORY: u64 = 256 << 20;
const PROCESSOR_TIME: u64 = 30;

/// What it says of itself. One that sleeps is not woken up.
const QUESTION: [&str; 5] = ["--json=c", "--nocheck=standby,0", "--info", "--health", "--attributes"];

/// Asks a disk and writes what it told as one line.
///
/// # Errors
/// When it can't be asked, or what comes is not understood.
pub fn tell(name: &str) -> io::Result<()> {
    let node = format!("/dev/{name}");
    confine::asker(&node);
    sys::limit_resources(MEMORY, PROCESSOR_TIME)?;
    let mut command = tools::command(tools::SMARTCTL);
    let mut child = command.args(QUESTION).arg(&node).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_OUTPUT).read_to_end(&mut output)?;
    }
    // What it ends with is in the answer too; who has more to say than is read is ended by that.
    child.wait()?;
    let disk = smart::read(name, &output).map_err(io::Error::other)?;
    println!("{}", serde_json::to_string(&disk)?);
    Ok(())
}
