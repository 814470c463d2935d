//! PID 1's one loop: everything the box reacts to, one thread, one `poll`.
//!
//! A phase of the boot that has to wait calls [`Machine::wait_for`] or [`Machine::run`], which turn this loop
//! until what they wait for has come, so that the power button works at any time.

mod clock;
mod devices;
mod disks;
mod journal;
mod naming;
mod services;
mod updates;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use appliance::message;

use crate::children::{Children, Finished, Role, Stream};
use crate::console::Console;
use crate::daemon::Daemon;
use crate::disks::Disks;
use crate::log;
use crate::media::drive::Drive;
use crate::modules::Aliases;
use crate::net::report::Report;
use crate::problems::{Problems, Source};
use crate::supervisor::Supervisor;
use crate::sys::{self, Rights, Signal, Signals, UeventSocket, Wait};
use crate::tools::{self, Tool};
use crate::update;
use crate::watchdog::Watchdog;

pub use journal::make_folder as make_journal_folder;

/// Where sysfs is mounted.
pub const SYS: &str = "/sys";

/// Nothing happens for longer than this without the loop coming by.
const LONGEST_TURN: Duration = Duration::from_mins(1);

/// A disk that has come is looked at after this time, when its partitions have come too.
const DISK_SETTLES: Duration = Duration::from_secs(2);

/// A tool that was ended for taking too long gets this long to be gone.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Why a wait ended without what it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It took too long.
    Late,
    /// The box is being switched off.
    Halting,
}

/// The network child and what it said last.
struct Network {
    enabled: bool,
    settings: appliance::config::Network,
    supervisor: Supervisor,
    report: Report,
}

/// What the daemon was told last.
#[derive(Default, PartialEq, Eq)]
struct Told {
    problems: Option<u64>,
    /// With the name.
    addresses: Option<(Vec<IpAddr>, Option<String>)>,
    machine: Option<message::Machine>,
    /// That it has to prove itself.
    trial: bool,
}

/// Everything PID 1 looks after.
pub struct Machine {
    signals: Signals,
    uevents: UeventSocket,
    last_uevent: Instant,
    /// When a block device came last, unless it was looked at since.
    disk_came: Option<Instant>,
    children: Children,
    finished: BTreeMap<u32, Finished>,
    aliases: Aliases,
    buttons: BTreeMap<String, File>,
    /// `None` until media are looked for.
    drives: Option<BTreeMap<String, Drive>>,
    next_look: Instant,
    own_disks: BTreeSet<String>,
    disks: Disks,
    network: Network,
    naming: naming::Naming,
    clock: clock::Clock,
    journal: journal::Journal,
    daemon: Daemon,
    updates: updates::Updates,
    console: Console,
    halt: Option<sys::Reboot>,
    told: Told,
    version: String,
    /// What is known of the system, for people: names and values.
    facts: Vec<(String, String)>,
    watchdog: Option<Watchdog>,
    /// Whether nothing more is expected of the daemon, so that the watchdog goes hungry.
    given_up: bool,
    /// How long daemon and init may be silent, if not as long as usual.
    patience: Option<Duration>,
    /// Whether init fails when the power button is pressed.
    fault_on_button: bool,
    /// What is wrong.
    pub problems: Problems,
    /// What the boot is doing, while the daemon says nothing yet.
    pub activity: Option<String>,
}

/// Something `poll` waits for.
enum Event {
    Signal,
    Uevent,
    Pipe(u32, Stream),
    Link,
    Button(String),
    UpdateFolder,
}

impl Machine {
    /// Subscribes to signals and uevents; nothing is lost from here on.
    ///
    /// # Errors
    /// When the kernel refuses either.
    pub fn new() -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            signals: Signals::open()?,
            uevents: UeventSocket::open()?,
            last_uevent: now,
            disk_came: None,
            children: Children::default(),
            finished: BTreeMap::new(),
            aliases: Aliases::default(),
            buttons: BTreeMap::new(),
            drives: None,
            next_look: now,
            own_disks: BTreeSet::new(),
            disks: Disks::default(),
            network: Network {
                enabled: false,
                settings: appliance::config::Network::default(),
                supervisor: Supervisor::new(now),
                report: Report::default(),
            },
            naming: naming::Naming::new(now),
            clock: clock::Clock::new(now),
            journal: journal::Journal::new(now),
            daemon: Daemon::new(now),
            updates: updates::Updates::default(),
            console: Console::default(),
            halt: None,
            told: Told::default(),
            version: update::running_version(),
            facts: Vec::new(),
            watchdog: None,
            given_up: false,
            patience: None,
            fault_on_button: false,
            problems: Problems::default(),
            activity: None,
        })
    }

    /// Turns the loop until the box is to be switched off or started again. If a disk is waited for, also until one has come:
    /// then returns `None`.
    pub fn serve(&mut self, waits_for_disk: bool) -> Option<sys::Reboot> {
        loop {
            if self.halt.is_some() {
                return self.halt;
            }
            let now = Instant::now();
            let settled = self.disk_came.map(|came| came + DISK_SETTLES).filter(|_| waits_for_disk);
            if settled.is_some_and(|settled| now >= settled) {
                self.disk_came = None;
                return None;
            }
            self.turn(settled.unwrap_or(now + LONGEST_TURN).min(now + LONGEST_TURN));
        }
    }

    /// Whether the box is being switched off.
    pub fn is_halting(&self) -> bool {
        self.halt.is_some()
    }

    /// Opens the screen.
    pub fn open_console(&mut self) {
        self.console.open();
    }

    /// Turns the loop until `found` returns something.
    ///
    /// # Errors
    /// When that takes longer than `limit`, or the box is being switched off.
    pub fn wait_for<T>(
        &mut self,
        limit: Duration,
        mut found: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Ended> {
        let end = Instant::now() + limit;
        loop {
            if let Some(value) = found(self) {
                return Ok(value);
            }
            if self.is_halting() {
                return Err(Ended::Halting);
            }
            if Instant::now() >= end {
                return Err(Ended::Late);
            }
            self.turn(end);
        }
    }

    /// Turns the loop until no device came or went for `quiet`, at most for `limit`.
    pub fn settle(&mut self, quiet: Duration, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.is_halting() && Instant::now() < end.min(self.last_uevent + quiet) {
            self.turn(end.min(self.last_uevent + quiet));
        }
    }

    /// Calls a program and turns the loop until it has ended.
    ///
    /// # Errors
    /// With the reason when it could not be started or did not end.
    pub fn run(&mut self, tool: &Tool) -> Result<Finished, String> {
        let program = tool.program;
        let pid = self
            .children
            .spawn(tool.command(), Role::Tool, &tool.input, Some(tool.limit))
            .map_err(|error| format!("{program} can't be started: {error}"))?;
        match self.wait_for(tool.limit + KILL_GRACE, |machine| machine.finished.remove(&pid)) {
            Ok(finished) if finished.overdue => Err(format!("{program} took too long")),
            Ok(finished) => Ok(finished),
            Err(Ended::Late) => Err(format!("{program} does not end")),
            Err(Ended::Halting) => Err("the box is being switched off".into()),
        }
    }

    /// Starts the child that unmounts everything and turns the loop until it has ended or `limit` is over.
    pub fn unmount_all(&mut self, limit: Duration) {
        let mut command = tools::own_child(&["unmount"]);
        sys::stay_root(&mut command, Rights::DISKS);
        let Ok(pid) = self.children.spawn(command, Role::Tool, "", Some(limit)) else { return };
        self.turn_until(limit, |machine| machine.finished.contains_key(&pid));
        match self.finished.remove(&pid) {
            Some(finished) => log!("unmount: {} {}", finished.text(Stream::Err), finished.exit),
            None => log!("unmount: it does not end"),
        }
    }

    /// Like [`Self::wait_for`], but also while the box is being switched off.
    pub fn turn_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + limit;
        while !done(self) && Instant::now() < end {
            self.turn(end);
        }
        done(self)
    }

    /// Does what is due, waits until something happens, at most until `until`, and deals with it.
    pub fn turn(&mut self, until: Instant) {
        let now = Instant::now();
        self.keep_up(now);
        let until = self.deadlines(now).fold(until, Instant::min);
        match self.poll(until) {
            Ok(events) => events.into_iter().for_each(|event| self.handle(event)),
            Err(error) => {
                log!("poll: {error}");
                // Better slow than busy: this can only be a fault of init itself.
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }

    fn deadlines(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let network =
            [self.network.supervisor.deadline(), self.naming.deadline()].into_iter().flatten().min();
        let time = self.clock.deadline().filter(|_| !self.network.report.addresses.is_empty());
        let network = network.into_iter().chain(time).min().filter(|_| self.network.enabled);
        let look = self.drives.is_some().then_some(self.next_look);
        let updates = self.updates.deadline(now).filter(|_| !self.is_halting());
        let others = [self.children.deadline(), self.daemon.deadline(), self.console.deadline(now), updates];
        let journal = self.journal.deadline().filter(|_| !self.is_halting());
        let disks = self.disks.deadline().filter(|_| !self.is_halting());
        others.into_iter().chain([network, look, journal, disks, self.watch_deadline()]).flatten()
    }

    fn poll(&self, until: Instant) -> io::Result<Vec<Event>> {
        let mut events = vec![Event::Signal, Event::Uevent];
        let mut waited: Vec<(BorrowedFd<'_>, Wait)> =
            vec![(self.signals.as_fd(), Wait::Read), (self.uevents.as_fd(), Wait::Read)];
        for (pid, stream, fd) in self.children.pipes() {
            events.push(Event::Pipe(pid, stream));
            waited.push((fd, Wait::Read));
        }
        if let Some(link) = self.daemon.link() {
            events.push(Event::Link);
            waited.push((link.as_fd(), if link.is_waiting() { Wait::ReadWrite } else { Wait::Read }));
        }
        for (name, file) in &self.buttons {
            events.push(Event::Button(name.clone()));
            waited.push((file.as_fd(), Wait::Read));
        }
        if let Some(folder) = self.updates.folder() {
            events.push(Event::UpdateFolder);
            waited.push((folder, Wait::Read));
        }
        let ready = sys::poll(&waited, until)?;
        Ok(events.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(event, _)| event).collect())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Signal => self.take_signals(),
            Event::Uevent => self.take_uevents(),
            Event::Pipe(pid, stream) => self.take_output(pid, stream),
            Event::Link => self.converse(),
            Event::Button(name) => self.take_button(&name),
            Event::UpdateFolder => self.updates.folder_told(Instant::now()),
        }
    }

    /// Does what is due, and passes on what changed.
    fn keep_up(&mut self, now: Instant) {
        self.watch(now);
        for role in self.children.expire(now) {
            log!("{role:?} took too long and is ended");
        }
        if !self.is_halting() {
            self.start_journal(now);
            self.load_modules();
            self.look_routinely(now);
            self.ask_disks(now);
            self.start_network(now);
            self.start_naming(now);
            self.ask_for_time(now);
            self.keep_up_with_updates(now);
            match self.daemon.start_if_due(&mut self.children, now) {
                Ok(true) => self.tell_everything(),
                Ok(false) => {}
                Err(sentence) => drop(self.problems.set(Source::Daemon, vec![sentence])),
            }
        }
        self.tell_changes();
        self.console.show(&self.view(), now);
    }

    fn halt(&mut self, how: sys::Reboot, why: &str) {
        log!("{why}");
        self.halt.get_or_insert(how);
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                Signal::Child => {
                    for finished in self.children.reap() {
                        self.take_end(finished);
                    }
                }
                Signal::PowerOff => self.halt(sys::Reboot::PowerOff, "asked to switch off"),
                Signal::Reboot => self.halt(sys::Reboot::Restart, "asked to start again"),
            }
        }
    }
}
