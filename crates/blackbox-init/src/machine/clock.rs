//! Has the time asked for, and sets the clock.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use appliance::{message, paths};

use super::Machine;
use crate::boot;
use crate::children::{Finished, Role, Stream};
use crate::clock::policy::{Change, Policy, Reading};
use crate::log;
use crate::sys::{self, Identity};
use crate::tools;

/// Asking all servers takes less.
const LIMIT: Duration = Duration::from_mins(1);

/// Descriptors: a socket, and what looking up a name needs.
const MAX_FILES: u64 = 32;

/// Processes and threads of what is in the network: this, and the other that has no privileges.
const MAX_THREADS: u64 = 16;

/// Asked where neither the settings nor DHCP name a server.
const PUBLIC_SERVERS: [&str; 2] = ["0.pool.ntp.org", "1.pool.ntp.org"];

/// Servers that are asked, one after the other.
const MAX_SERVERS: usize = 4;

/// How far the clock may be off after it was set (microseconds), for the kernel.
const CLOCK_ERROR: i64 = 500_000;

/// What there is to know of the clock.
pub(super) struct Clock {
    policy: Policy,
    /// From the settings.
    servers: Vec<String>,
    /// Those that were asked last.
    asked: Vec<String>,
    is_running: bool,
    /// Who said last that the clock is right, and when: seconds since 1970.
    checked: Option<(IpAddr, u64)>,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            policy: Policy::new(boot::build_time(), now),
            servers: Vec::new(),
            asked: Vec::new(),
            is_running: false,
            checked: None,
        }
    }

    /// What the daemon is told.
    pub(super) fn state(&self) -> message::Clock {
        message::Clock {
            floor: self.policy.floor().as_secs(),
            source: self.checked.map(|(server, _)| server),
            checked: self.checked.map(|(_, time)| time),
        }
    }

    /// When the time is to be asked for; not while it is being asked for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.is_running).then(|| self.policy.next())
    }
}

impl Machine {
    /// Names the servers to ask.
    pub fn set_time_servers(&mut self, servers: Vec<String>) {
        self.clock.servers = servers;
    }

    pub(super) fn ask_for_time(&mut self, now: Instant) {
        let is_due = self.clock.deadline().is_some_and(|due| now >= due);
        if !is_due || !self.network.enabled || self.network.report.addresses.is_empty() {
            return;
        }
        let mut servers = self.clock.servers.clone();
        if servers.is_empty() {
            servers = self.network.report.time_servers.iter().map(ToString::to_string).collect();
        }
        if servers.is_empty() {
            servers = PUBLIC_SERVERS.map(str::to_owned).to_vec();
        }
        servers.truncate(MAX_SERVERS);
        let floor = self.clock.policy.floor().as_secs().to_string();
        let arguments: Vec<&str> =
            ["time", &floor].into_iter().chain(servers.iter().map(String::as_str)).collect();
        let mut command = tools::own_child(&arguments);
        sys::become_service(
            &mut command,
            Identity { id: paths::NETWORK_ID, files: MAX_FILES, threads: MAX_THREADS },
        );
        match self.children.spawn(command, Role::Time, "", Some(LIMIT)) {
            Ok(_) => (self.clock.is_running, self.clock.asked) = (true, servers),
            Err(error) => {
                log!("time: can't be asked for: {error}");
                self.clock.policy.failed(now);
            }
        }
    }

    /// Another network, another server.
    pub(super) fn network_changed(&mut self, now: Instant) {
        if !self.clock.is_running {
            self.clock.policy.hurry(now);
        }
    }

    pub(super) fn take_time(&mut self, finished: &Finished, now: Instant) {
        self.clock.is_running = false;
        let said = finished.text(Stream::Out);
        let Ok(reading) = serde_json::from_str::<Reading>(said.trim()) else {
            log!("time: asked {}: {}", self.clock.asked.join(", "), finished.reason());
            self.clock.policy.failed(now);
            return;
        };
        let change = self.clock.policy.judge(now, &reading, sys::clock(), sys::uptime());
        let done = match change {
            Change::None => Ok(()),
            Change::Step(time) => sys::set_clock(time),
            Change::Slew(microseconds) => sys::slew_clock(microseconds),
        };
        let done = done.and_then(|()| {
            if self.clock.policy.is_right() { sys::vouch_for_clock(CLOCK_ERROR) } else { Ok(()) }
        });
        match done {
            Ok(()) => {
                if self.clock.policy.is_right() {
                    self.clock.checked = Some((reading.server, sys::clock().as_secs()));
                }
                log!("time: {} says {} s since 1970: {change:?}", reading.server, reading.time.as_secs());
            }
            Err(error) => log!("time: the clock can't be set: {error}"),
        }
    }
}
