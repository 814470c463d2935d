//! The conversation with PID 1 (see [`appliance::message`]); a hosted run has none.

use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use appliance::message::{MAX_LINE, ToDaemon, ToInit, decode, encode};
use appliance::paths::INIT_FD_VAR;

use crate::app::{App, SharedApp};
use crate::catalog::{Catalog, State};
use crate::import::Importer;
use crate::proof;
use crate::traffic::Traffic;

/// How long init may take to read a line before it is dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// Problems that fit on the screen.
const MAX_PROBLEMS: usize = 3;

/// Sends to init; without an init it does nothing.
#[derive(Debug, Default)]
pub struct InitLink {
    stream: Option<Mutex<UnixStream>>,
}

impl InitLink {
    /// The socket that init left open for us, if there is one.
    ///
    /// # Errors
    /// A sentence when the environment names something that is not a descriptor of a socket.
    pub fn from_environment() -> Result<Self, String> {
        let Ok(value) = env::var(INIT_FD_VAR) else { return Ok(Self::default()) };
        let bad = || format!("{INIT_FD_VAR}={value} is not the descriptor of a socket");
        let descriptor: RawFd = value.parse().ok().filter(|fd| *fd > 2).ok_or_else(bad)?;
        #[expect(unsafe_code, reason = "a descriptor inherited from init can't be had in another way")]
        // SAFETY: init opened this descriptor for us and nothing else in the process knows of it: this function is called
        // once, before any other thread runs.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let stream = UnixStream::from(descriptor);
        stream.set_write_timeout(Some(PATIENCE)).map_err(|_| bad())?;
        Ok(Self { stream: Some(Mutex::new(stream)) })
    }

    /// Tells init, and whether it took it in time; what it did not take is dropped.
    pub fn send(&self, message: &ToInit) -> bool {
        let Some(stream) = &self.stream else { return true };
        let Ok(line) = encode(message) else { return false };
        let sent = stream.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
        sent.inspect_err(|error| tracing::warn!("init does not listen: {error}")).is_ok()
    }

    /// Ends the conversation; [`listen`] returns.
    pub fn close(&self) {
        if let Some(stream) = &self.stream {
            // Already closed is closed too.
            let _ = stream.lock().unwrap_or_else(PoisonError::into_inner).shutdown(std::net::Shutdown::Both);
        }
    }

    fn reader(&self) -> Option<BufReader<UnixStream>> {
        let stream = self.stream.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).try_clone().ok()?;
        Some(BufReader::new(stream))
    }
}

/// Does what init says until the conversation ends. Runs on a thread of its own.
pub fn listen(app: &SharedApp, link: &Arc<InitLink>) {
    let Some(mut reader) = link.reader() else { return };
    let mut importer = Importer::new(Arc::clone(app), Arc::clone(link));
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        match decode(&line) {
            Ok(ToDaemon::MediumInserted(medium)) => importer.inserted(medium),
            Ok(ToDaemon::MediumUnusable { drive, reason }) => importer.unusable(&drive, &reason),
            Ok(ToDaemon::MediumRemoved { drive }) => importer.removed(&drive),
            Ok(ToDaemon::Problems { sentences }) => app.health.set_from_init(sentences),
            Ok(ToDaemon::Addresses { addresses, name }) => app.health.set_addresses(addresses, name),
            Ok(ToDaemon::Machine(machine)) => app.health.set_machine(machine),
            Ok(ToDaemon::ProveYourself) => start_proof(app, link),
            Err(error) => tracing::warn!("init said something that is not understood: {error}"),
        }
    }
    importer.stop();
}

/// The proof waits for what is still to come, and ends with the daemon.
fn start_proof(app: &SharedApp, link: &Arc<InitLink>) {
    let (app, link) = (Arc::clone(app), Arc::clone(link));
    let started = thread::Builder::new().name("proof".into()).spawn(move || proof::give(&app, &link));
    if let Err(error) = started {
        tracing::warn!("there is no proof that the daemon serves: {error}");
    }
}

/// Keeps what init shows on the screen true.
#[derive(Debug, Default)]
pub struct Screen {
    shown: Option<ToInit>,
    traffic: Traffic,
}

impl Screen {
    /// Tells init, if there is something new to show.
    pub fn draw(&mut self, app: &App, link: &InitLink) {
        let catalog = app.catalog.snapshot();
        let traffic = self.traffic.sentence(Instant::now(), &catalog, app.peers.len());
        let screen = screen(&catalog, traffic, app.health.problems());
        if self.shown.as_ref() != Some(&screen) && link.send(&screen) {
            self.shown = Some(screen);
        }
    }
}

fn screen(catalog: &Catalog, traffic: String, mut problems: Vec<String>) -> ToInit {
    let seeding = catalog.items().iter().filter(|item| item.state == State::Seeding).count();
    let activity = catalog.items().iter().find_map(|item| item.activity());
    let failed = catalog.items().iter().filter(|item| item.state == State::Failed);
    problems.extend(failed.filter_map(|item| Some(format!("{}: {}", item.name, item.error.as_ref()?))));
    problems.truncate(MAX_PROBLEMS);
    ToInit::Screen { seeding, activity, traffic, problems }
}
