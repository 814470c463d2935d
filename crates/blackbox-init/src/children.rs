//! The processes that init started: their output as lines, their deadlines, their ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::lines::{Line, Lines};
use crate::sys::{self, Exit};
use crate::update;

/// Longest line (bytes) taken from a child; the network child's report is the longest.
const MAX_LINE: usize = 16 * 1024;

/// Most lines kept of a child whose output is looked at when it has ended.
const MAX_KEPT: usize = 1000;

/// Read at once (bytes) from a child before the others have their turn.
const READ_BYTES: usize = 16 * 1024;

/// What a child is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A program that a phase waits for.
    Tool,
    /// Loads kernel modules.
    Modprobe,
    /// The network child.
    Network,
    /// The child that gives the box its name.
    Naming,
    /// Asks for the time.
    Time,
    /// Writes the log.
    Journal,
    /// The daemon.
    Daemon,
    /// Finds out what is in this drive.
    Look(String),
    /// Asks this disk how sound it is.
    Disk(String),
    /// Does something about updates.
    Update(update::Job),
    /// Unmounts this drive's medium and opens the tray.
    Eject(String),
}

impl Role {
    /// Whether lines are handed on as they come, instead of being kept until the end.
    fn is_streamed(&self) -> bool {
        matches!(self, Self::Modprobe | Self::Network | Self::Naming | Self::Daemon)
    }

    /// How readily the kernel ends it when memory runs out (`oom_score_adj`): tools first, since they can be called again,
    /// and what they have begun is finished at the next start. The network child comes last, as ending it would free nothing.
    fn oom_score(&self) -> i32 {
        match self {
            Self::Network => -900,
            Self::Daemon => -500,
            _ => 500,
        }
    }
}

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A child that ended.
#[derive(Debug)]
pub struct Finished {
    /// Its process id.
    pub pid: u32,
    /// What it was for.
    pub role: Role,
    /// How it ended.
    pub exit: Exit,
    /// Whether it was ended because it took too long.
    pub overdue: bool,
    /// What it wrote and nobody has had yet.
    pub lines: Vec<(Stream, Line)>,
}

impl Finished {
    /// The text written to one stream.
    pub fn text(&self, stream: Stream) -> String {
        let lines = self.lines.iter().filter(|(from, _)| *from == stream).map(|(_, line)| line.text());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The last words, for a sentence that says what went wrong.
    pub fn reason(&self) -> String {
        let last = self.lines.iter().rev().map(|(_, line)| line.text()).find(|text| !text.trim().is_empty());
        match (self.overdue, last) {
            (true, _) => "it took too long".into(),
            (false, Some(text)) => format!("{text} ({})", self.exit),
            (false, None) => self.exit.to_string(),
        }
    }
}

struct Pipe {
    file: File,
    lines: Lines,
}

impl Pipe {
    fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        let file = File::from(fd.into());
        sys::set_nonblocking(&file)?;
        Ok(Self { file, lines: Lines::new(MAX_LINE) })
    }

    /// Reads what is there, once; `None` when the other side is closed.
    fn read(&mut self) -> Option<Vec<Line>> {
        let mut buffer = [0; READ_BYTES];
        match self.file.read(&mut buffer) {
            Ok(0) => None,
            Ok(bytes) => Some(self.lines.push(&buffer[..bytes])),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Some(Vec::new())
            }
            Err(_) => None,
        }
    }
}

struct Child {
    role: Role,
    pipes: BTreeMap<Stream, Pipe>,
    deadline: Option<Instant>,
    overdue: bool,
    kept: Vec<(Stream, Line)>,
}

/// All children that run.
#[derive(Default)]
pub struct Children(BTreeMap<u32, Child>);

impl Children {
    /// Starts a program in a process group of its own. It is ended when it runs longer than `limit`.
    ///
    /// # Errors
    /// When the program can't be started.
    pub fn spawn(
        &mut self,
        mut command: Command,
        role: Role,
        input: &str,
        limit: Option<Duration>,
    ) -> io::Result<u32> {
        let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        sys::unblock_signals(&mut command);
        let mut process = command.spawn()?;
        if let Some(mut stdin) = process.stdin.take() {
            // Inputs are shorter than a pipe is deep, so this does not wait. A child that ended early says why itself.
            let _ = stdin.write_all(input.as_bytes());
        }
        let mut pipes = BTreeMap::new();
        if let Some(stdout) = process.stdout.take() {
            pipes.insert(Stream::Out, Pipe::new(stdout)?);
        }
        if let Some(stderr) = process.stderr.take() {
            pipes.insert(Stream::Err, Pipe::new(stderr)?);
        }
        let deadline = limit.map(|limit| Instant::now() + limit);
        let pid = process.id();
        // One that has ended already needs no memory.
        let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), role.oom_score().to_string());
        self.0.insert(pid, Child { role, pipes, deadline, overdue: false, kept: Vec::new() });
        Ok(pid)
    }

    /// What a child is for.
    pub fn role(&self, pid: u32) -> Option<&Role> {
        self.0.get(&pid).map(|child| &child.role)
    }

    /// Process ids of all that run.
    pub fn pids(&self) -> Vec<u32> {
        self.0.keys().copied().collect()
    }

    /// Every pipe that is still open.
    pub fn pipes(&self) -> impl Iterator<Item = (u32, Stream, BorrowedFd<'_>)> {
        self.0.iter().flat_map(|(pid, child)| {
            child.pipes.iter().map(|(stream, pipe)| (*pid, *stream, pipe.file.as_fd()))
        })
    }

    /// Reads a pipe that is ready; returns the lines to be handed on now.
    pub fn read(&mut self, pid: u32, stream: Stream) -> Vec<Line> {
        let Some(child) = self.0.get_mut(&pid) else { return Vec::new() };
        let Some(pipe) = child.pipes.get_mut(&stream) else { return Vec::new() };
        let lines = match pipe.read() {
            Some(lines) => lines,
            None => {
                child.pipes.remove(&stream).and_then(|mut pipe| pipe.lines.finish()).into_iter().collect()
            }
        };
        if child.role.is_streamed() {
            return lines;
        }
        let room = MAX_KEPT.saturating_sub(child.kept.len());
        child.kept.extend(lines.into_iter().take(room).map(|line| (stream, line)));
        Vec::new()
    }

    /// Collects the children that ended, with what they wrote last.
    pub fn reap(&mut self) -> Vec<Finished> {
        sys::reap()
            .into_iter()
            .filter_map(|(pid, exit)| {
                let mut child = self.0.remove(&pid)?;
                let mut lines = std::mem::take(&mut child.kept);
                for (stream, pipe) in &mut child.pipes {
                    // Bounded: grandchildren may hold the pipe open and go on writing.
                    while lines.len() < MAX_KEPT
                        && let Some(more) = pipe.read()
                        && !more.is_empty()
                    {
                        lines.extend(more.into_iter().map(|line| (*stream, line)));
                    }
                    lines.extend(pipe.lines.finish().map(|line| (*stream, line)));
                }
                Some(Finished { pid, role: child.role, exit, overdue: child.overdue, lines })
            })
            .collect()
    }

    /// The next deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.values().filter(|child| !child.overdue).filter_map(|child| child.deadline).min()
    }

    /// Ends those that took too long, with their own children; returns their roles.
    pub fn expire(&mut self, now: Instant) -> Vec<Role> {
        let late = |child: &Child| !child.overdue && child.deadline.is_some_and(|deadline| now >= deadline);
        let mut expired = Vec::new();
        for (pid, child) in self.0.iter_mut().filter(|(_, child)| late(child)) {
            child.overdue = true;
            sys::kill_group(*pid, true);
            expired.push(child.role.clone());
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a shell script to its end; also returns the lines that were handed on before.
    fn run(
        children: &mut Children,
        script: &str,
        role: Role,
        limit: Option<Duration>,
    ) -> (Finished, Vec<String>) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let pid = children.spawn(command, role, "input\n", limit).unwrap();
        let mut handed_on = Vec::new();
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            assert!(Instant::now() < end, "{script:?} does not end");
            let pipes: Vec<_> = children.pipes().map(|(pid, stream, _)| (pid, stream)).collect();
            let waited: Vec<_> = children.pipes().map(|(_, _, fd)| (fd, sys::Wait::Read)).collect();
            let ready = sys::poll(&waited, Instant::now() + Duration::from_millis(20)).unwrap();
            for ((pid, stream), _) in pipes.into_iter().zip(ready).filter(|(_, ready)| *ready) {
                handed_on.extend(children.read(pid, stream).iter().map(Line::text));
            }
            children.expire(Instant::now());
            if let Some(finished) = children.reap().into_iter().find(|finished| finished.pid == pid) {
                return (finished, handed_on);
            }
        }
    }

    /// One test, because ended children are collected for the whole process.
    #[test]
    fn children_are_heard_ended_and_collected() {
        // As in PID 1: a child that inherits these blocked can't be asked to end.
        let _signals = sys::Signals::open().unwrap();
        let mut children = Children::default();
        let script = "read line; echo \"out $line\"; echo err >&2; printf last; exit 3";
        let (finished, handed_on) = run(&mut children, script, Role::Tool, None);
        assert_eq!(finished.exit, Exit::Code(3));
        assert_eq!(finished.text(Stream::Out), "out input\nlast");
        assert_eq!(finished.text(Stream::Err), "err");
        assert!(handed_on.is_empty(), "a tool's output is kept for its end");

        // The score is set when the child runs already.
        let script = "until [ $(cat /proc/$$/oom_score_adj) = 500 ]; do :; done";
        let limit = Some(Duration::from_secs(30));
        let (finished, _) = run(&mut children, script, Role::Tool, limit);
        assert_eq!(finished.exit, Exit::Code(0), "when memory runs out, tools end first");

        let (finished, mut lines) = run(&mut children, "echo one; echo two", Role::Network, None);
        lines.extend(finished.lines.iter().map(|(_, line)| line.text()));
        assert_eq!(lines, ["one", "two"], "a service's output is handed on, and none of it is lost");

        // The grandchild holds the pipes open, which must not keep the end from being seen.
        let limit = Some(Duration::from_millis(100));
        let (finished, _) = run(&mut children, "sleep 1000 & sleep 1000", Role::Tool, limit);
        assert_eq!((finished.exit, finished.overdue), (Exit::Signal(9), true));
        assert_eq!(finished.reason(), "it took too long");

        let (finished, _) = run(&mut children, "kill -TERM $$; sleep 1000", Role::Tool, None);
        assert_eq!(finished.exit, Exit::Signal(15), "signals have their usual effect in children");
        assert!(children.pids().is_empty());
        assert!(children.spawn(Command::new("/nonexistent"), Role::Tool, "", None).is_err());
    }
}
