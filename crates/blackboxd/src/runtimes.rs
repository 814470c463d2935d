//! The runtimes: what one of them waits for must not hold up the others.

use std::io;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Who runs where.
#[derive(Debug)]
pub struct Runtimes {
    /// On the thread that calls it: signals, and the end of everything. It never touches a disk.
    pub main: Runtime,
    /// The page, and how peers are found.
    pub net: Runtime,
    /// The tracker, on two threads: one for HTTP and, apart from the runtime, one for UDP. Each answers tens of thousands in
    /// a second.
    pub tracker: Runtime,
    /// Peers. They ask whether bytes are in memory before they send them; should a disk hold them up all the same, then
    /// nobody else.
    pub peers: Runtime,
}

impl Runtimes {
    /// Starts them.
    ///
    /// # Errors
    /// When there are no threads or descriptors to be had.
    pub fn start() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, usize::from);
        let threads = |name: &str, count: usize| {
            Builder::new_multi_thread().worker_threads(count).thread_name(name).enable_all().build()
        };
        Ok(Self {
            main: Builder::new_current_thread().enable_all().build()?,
            net: threads("net", cores.max(2))?,
            tracker: threads("tracker", 1)?,
            peers: threads("peers", cores.max(2))?,
        })
    }

    /// Leaves them behind with whatever they still do: the process is about to end, and its threads with it.
    pub fn abandon(self) {
        self.peers.shutdown_background();
        self.tracker.shutdown_background();
        self.net.shutdown_background();
    }
}

/// What tells the daemon to end.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on signals end the daemon in an orderly manner. `main` is who will wait for them.
    ///
    /// # Errors
    /// When the handlers can't be installed.
    pub fn install(main: &Runtime) -> io::Result<Self> {
        let _entered = main.enter();
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
