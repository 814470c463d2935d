//! Child processes: they never outlive their test, and what they say is shown when it fails.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// How long the last lines of a process that has ended are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Lines a process has said so far, on both of its outputs.
type Said = Arc<Mutex<Vec<String>>>;

/// A running child.
#[derive(Debug)]
pub struct Process {
    pub(crate) name: String,
    child: Child,
    said: Said,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `command`; it dies with the thread that started it.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(command: Command) -> Self {
        Self::start_with(command, None)
    }

    /// As [`Process::start`]; the child also gets `descriptor`, under the number it has here.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start_with(mut command: Command, descriptor: Option<&OwnedFd>) -> Self {
        let name =
            Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let inherited = descriptor.map(AsRawFd::as_raw_fd);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[expect(unsafe_code, reason = "only code that runs between fork and exec can do these two")]
        // SAFETY: the closure only makes system calls, all of which are allowed after a fork.
        unsafe {
            command.pre_exec(move || {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                if let Some(raw) = inherited {
                    let descriptor = std::os::fd::BorrowedFd::borrow_raw(raw);
                    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
                }
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{name} can't be started ({error}); scripts/test installs what the tests need")
        });
        let said = Said::default();
        let readers = vec![
            read_lines(child.stdout.take().expect("piped"), &said),
            read_lines(child.stderr.take().expect("piped"), &said),
        ];
        Self { name, child, said, readers }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("no reader panics").clone()
    }

    /// Waits for a line that `pick` takes something from.
    ///
    /// # Panics
    /// When there is none in time, or the process has ended without it.
    #[track_caller]
    pub fn wait_for_line<T>(&mut self, what: &str, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> T {
        let mut ended = false;
        let found = wait::until(what, limit, || {
            // In this order: what it said before its end counts.
            let found = self.said().iter().find_map(|line| pick(line));
            if found.is_none() && ended {
                return Some(Err(self.said().join("\n")));
            }
            ended = found.is_none() && !self.is_running();
            found.map(Ok)
        });
        found.unwrap_or_else(|said| panic!("{} ended without {what}; it said:\n{said}", self.name))
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("a child of ours that was not waited for");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended in time.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("end of {}", self.name);
        let status = wait::until(&what, limit, || self.child.try_wait().expect("a child of ours"));
        // What it said last is still on its way, unless a process that it left behind holds the pipe.
        let _ =
            wait::try_until(LAST_WORDS, || self.readers.iter().all(JoinHandle::is_finished).then_some(()));
        status
    }

    /// Waits for its end and demands success.
    ///
    /// # Panics
    /// When it fails or has not ended in time.
    #[track_caller]
    pub fn succeed(mut self, limit: Duration) -> Vec<String> {
        let status = self.wait(limit);
        let said = self.said();
        assert!(status.success(), "{}: {status}; it said:\n{}", self.name, said.join("\n"));
        said
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.id()).expect("process ids are positive 32 bit numbers"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}\n---", self.name, self.said().join("\n"));
        }
        // Both fail only for a process that has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
///
/// # Panics
/// When it fails, or takes longer than a minute.
#[track_caller]
pub fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Vec<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    Process::start(command).succeed(Duration::from_mins(1))
}

/// Collects what a child says. Ends when the last process that holds the pipe has closed it.
fn read_lines(pipe: impl Read + Send + 'static, said: &Said) -> JoinHandle<()> {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            said.lock().expect("no reader panics").push(text);
            line.clear();
        }
    })
}
