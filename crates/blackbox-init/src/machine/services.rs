//! The network child, the daemon, and what they are told and say.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Instant;

use appliance::message::{self, ToDaemon};
use appliance::paths;

use super::{Machine, Told};
use crate::children::{Finished, Role, Stream};
use crate::daemon::News;
use crate::lines::Line;
use crate::log;
use crate::media::drive::Input;
use crate::media::finding::Finding;
use crate::net::report::Report;
use crate::problems::Source;
use crate::screen::View;
use crate::speaker::Tune;
use crate::sys::{self, Identity};
use crate::tools;

/// Descriptors for a few sockets on each of more links than a box has.
const MAX_FILES: u64 = 256;

/// Processes and threads of what is in the network: this, and the others that have no privileges.
const MAX_THREADS: u64 = 16;

impl Machine {
    /// What the settings say about the network.
    pub fn set_network(&mut self, settings: appliance::config::Network) {
        self.network.settings = settings;
    }

    /// Has the network child started.
    pub fn enable_network(&mut self) {
        self.network.enabled = true;
    }

    /// Notes what people may want to know of the system, in place of what was noted under this name.
    pub fn set_fact(&mut self, name: &str, value: String) {
        match self.facts.iter_mut().find(|(known, _)| known == name) {
            Some(fact) => fact.1 = value,
            None => self.facts.push((name.to_owned(), value)),
        }
    }

    /// Has the daemon started, with its state in this folder.
    pub fn enable_daemon(&mut self, state: &'static str) {
        self.daemon.enable(state);
    }

    /// Starts nothing any more. What is in the drives does not matter from now on.
    pub fn stop_services(&mut self) {
        self.network.enabled = false;
        self.daemon.disable();
        self.drives = None;
    }

    pub(super) fn start_network(&mut self, now: Instant) {
        if !self.network.enabled || !self.network.supervisor.is_due(now) {
            return;
        }
        match self.spawn_network() {
            Ok(_) => self.network.supervisor.started(now),
            Err(error) => {
                self.network.supervisor.ended(now);
                log!("net: can't be started: {error}");
            }
        }
    }

    fn spawn_network(&mut self) -> io::Result<u32> {
        let folder = Path::new(paths::NETWORK_RUN);
        fs::create_dir_all(folder)?;
        chown(folder, Some(paths::NETWORK_ID), Some(paths::NETWORK_ID))?;
        let settings = serde_json::to_string(&self.network.settings)?;
        let mut command = tools::own_child(&["net", &settings]);
        let identity = Identity { id: paths::NETWORK_ID, files: MAX_FILES, threads: MAX_THREADS };
        sys::become_network_service(&mut command, identity);
        self.children.spawn(command, Role::Network, "", None)
    }

    pub(super) fn take_end(&mut self, finished: Finished) {
        let now = Instant::now();
        match finished.role.clone() {
            Role::Tool => {
                self.finished.insert(finished.pid, finished);
            }
            // It fails for every device without a driver, which is normal.
            Role::Modprobe => {}
            Role::Network => {
                let wait = self.network.supervisor.ended(now);
                log!("net: ended ({}); if needed, next start in {} s", finished.reason(), wait.as_secs());
                let sentence = "The network part stopped and is being started again.".into();
                self.problems.set(Source::Network, vec![sentence]);
            }
            Role::Time => self.take_time(&finished, now),
            Role::Journal => self.journal_ended(&finished.reason(), now),
            Role::Naming => self.naming_ended(&finished.reason(), now),
            Role::Daemon => {
                for (_, line) in &finished.lines {
                    self.daemon.wrote(line.text());
                }
                let sentence = self.daemon.ended(finished.exit, now);
                self.problems.set(Source::Daemon, vec![sentence]);
                self.daemon_ended_on_trial();
            }
            Role::Update(job) => self.take_update_end(&job, &finished),
            Role::Look(drive) => {
                let finding = finding(&drive, &finished);
                self.step(&drive, Input::Looked(finding));
            }
            Role::Disk(name) => self.take_answer(&name, &finished),
            Role::Eject(drive) => {
                log!("{drive}: ejected: {}", finished.reason());
                self.step(&drive, Input::Ejected);
            }
        }
    }

    pub(super) fn take_output(&mut self, pid: u32, stream: Stream) {
        let lines = self.children.read(pid, stream);
        let Some(role) = self.children.role(pid).cloned() else { return };
        for line in lines {
            match (&role, stream) {
                (Role::Daemon, _) => self.daemon.wrote(line.text()),
                (Role::Network, Stream::Out) => self.take_report(&line),
                (Role::Naming, Stream::Out) => self.take_name(&line),
                (Role::Naming, Stream::Err) => log!("mdns: {}", line.text()),
                (Role::Network, Stream::Err) => log!("net: {}", line.text()),
                _ => {}
            }
        }
    }

    fn take_report(&mut self, line: &Line) {
        match serde_json::from_slice::<Report>(&line.bytes) {
            Ok(report) => {
                if report.addresses != self.network.report.addresses {
                    log!("net: addresses {:?}", report.addresses);
                    self.network_changed(Instant::now());
                }
                self.problems.set(Source::Network, report.problems.clone());
                self.network.report = report;
            }
            Err(error) => log!("net: a report that can't be read: {error}"),
        }
    }

    pub(super) fn converse(&mut self) {
        for news in self.daemon.converse() {
            match news {
                News::Ready => {
                    self.activity = None;
                    self.problems.set(Source::Daemon, Vec::new());
                }
                News::Serves => self.proved(),
                News::Imported(true) => self.console.play(Tune::Published),
                News::Imported(false) => self.console.play(Tune::Failed),
                News::Eject(drive) => self.step(&drive, Input::Done),
            }
        }
    }

    /// Tells a daemon that was started anew what is in the drives; the rest it has missed counts as changed.
    pub(super) fn tell_everything(&mut self) {
        self.told = Told::default();
        let media: Vec<_> = self.drives.iter().flatten().filter_map(|(_, drive)| drive.news()).collect();
        for message in media {
            self.daemon.tell(&message);
        }
    }

    /// Tells the daemon what changed since it was told last.
    pub(super) fn tell_changes(&mut self) {
        if self.told.problems != Some(self.problems.revision()) {
            self.told.problems = Some(self.problems.revision());
            self.daemon.tell(&ToDaemon::Problems { sentences: self.problems.sentences() });
        }
        let (addresses, name) = (self.network.report.addresses.clone(), self.naming.name.clone());
        if self.told.addresses.as_ref() != Some(&(addresses.clone(), name.clone())) {
            self.told.addresses = Some((addresses.clone(), name.clone()));
            self.daemon.tell(&ToDaemon::Addresses { addresses, name });
        }
        let machine = message::Machine {
            version: self.version.clone(),
            slot: self.updates.slot().map(|slot| slot.to_string()),
            is_trial: self.updates.is_trial(),
            clock: self.clock.state(),
            facts: self.facts.clone(),
            disks: self.disks.said(),
            logs: [paths::LOG, paths::LOG_IN_MEMORY].map(PathBuf::from).to_vec(),
        };
        if self.told.machine.as_ref() != Some(&machine) {
            self.told.machine = Some(machine.clone());
            self.daemon.tell(&ToDaemon::Machine(machine));
        }
        if self.updates.is_trial() && !std::mem::replace(&mut self.told.trial, true) {
            self.daemon.tell(&ToDaemon::ProveYourself);
        }
    }

    pub(super) fn view(&self) -> View {
        let status = &self.daemon.status;
        let mut problems = self.problems.sentences();
        if status.web_port.is_none() {
            // A daemon that runs reports these itself.
            problems.extend(
                self.drives.iter().flatten().filter_map(|(_, drive)| drive.unusable()).map(str::to_owned),
            );
        }
        for problem in &status.problems {
            // The daemon repeats what init told it.
            if !problems.contains(problem) {
                problems.push(problem.clone());
            }
        }
        View {
            version: self.version.clone(),
            name: self.naming.name.clone(),
            addresses: self.network.report.addresses.clone(),
            web_port: status.web_port,
            seeding: status.seeding,
            traffic: status.traffic.clone(),
            activity: status
                .activity
                .clone()
                .or_else(|| self.activity.clone())
                .or_else(|| self.updates.activity()),
            problems,
        }
    }
}

/// What the child that looked into a drive said, or that it said nothing.
fn finding(drive: &str, finished: &Finished) -> Finding {
    let said = finished.lines.iter().rev().find(|(stream, _)| *stream == Stream::Out);
    said.and_then(|(_, line)| serde_json::from_slice(&line.bytes).ok()).unwrap_or_else(|| {
        let reason = finished.reason();
        Finding::Unusable(format!(
            "The medium in {drive} can't be read ({reason}): it may be damaged; try another one."
        ))
    })
}
