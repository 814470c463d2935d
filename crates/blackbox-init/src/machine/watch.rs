//! Who watches whom: init the daemon, and the watchdog init.

use std::time::{Duration, Instant};

use super::Machine;
use crate::children::Role;
use crate::log;
use crate::pulse::Verdict;
use crate::sys::{self, Reboot};
use crate::tools::{self, Tool};
use crate::watchdog::{self, Watchdog};

/// Drivers of watchdogs are loaded within this time, like all others.
const DRIVER_LIMIT: Duration = Duration::from_secs(10);

/// Loading a driver that needs no hardware.
const SOFTDOG_LIMIT: Duration = Duration::from_secs(30);

impl Machine {
    /// Has the daemon watched more impatiently than usual, and then the watchdog too.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
        if let Some(patience) = patience {
            self.daemon.set_patience(patience);
        }
    }

    /// Starts the watchdog, the kernel's imitation where there is none. A machine without either does its work too.
    pub fn start_watchdog(&mut self) {
        let drivers_loaded = |machine: &mut Self| {
            let is_loading = |pid: &u32| machine.children.role(*pid) == Some(&Role::Modprobe);
            let idle = machine.aliases.is_empty() && !machine.children.pids().iter().any(is_loading);
            (watchdog::is_there() || idle).then_some(())
        };
        // Slow hardware is not waited for.
        let _ = self.wait_for(DRIVER_LIMIT, drivers_loaded);
        if !watchdog::is_there() {
            let softdog = Tool::new(tools::MODPROBE, &["-q", "--", "softdog"], SOFTDOG_LIMIT);
            if let Err(error) = self.run(&softdog) {
                log!("softdog: {error}");
            }
        }
        self.watchdog = Watchdog::open(self.patience, Instant::now());
        if self.watchdog.is_none() {
            log!("there is no watchdog");
        }
    }

    /// Feeds the watchdog, until the daemon is given up, and looks at the daemon.
    pub(super) fn watch(&mut self, now: Instant) {
        if !self.is_halting() {
            match self.daemon.look(now, sys::uptime()) {
                Verdict::Wait | Verdict::End => {}
                Verdict::GiveUp(why) => {
                    self.given_up = true;
                    self.halt(Reboot::Restart, why);
                }
            }
        }
        if let Some(watchdog) = self.watchdog.as_mut().filter(|_| !self.given_up) {
            watchdog.feed(now);
        }
    }

    /// When either is due.
    pub(super) fn watch_deadline(&self) -> Option<Instant> {
        let meal = self.watchdog.as_ref().filter(|_| !self.given_up).map(Watchdog::deadline);
        let look = self.daemon.look_deadline().filter(|_| !self.is_halting());
        meal.into_iter().chain(look).min()
    }

    /// The box is about to end in this way, which the watchdog is told.
    pub fn release_watchdog(&mut self, how: Reboot) {
        match (self.watchdog.take(), how) {
            (Some(watchdog), Reboot::PowerOff) => watchdog.stop(),
            (Some(watchdog), Reboot::Restart) => watchdog.leave(),
            (None, _) => {}
        }
    }
}
