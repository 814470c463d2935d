//! The child that gives the box its name in its networks, and the name that it found.

use std::time::Instant;

use appliance::config::is_host;
use appliance::paths;

use super::Machine;
use crate::boot::HOST_NAME;
use crate::children::Role;
use crate::lines::Line;
use crate::log;
use crate::supervisor::Supervisor;
use crate::sys::{self, Identity};
use crate::tools;

/// Descriptors for two sockets on each of more links than a box has.
const MAX_FILES: u64 = 128;

/// Processes and threads of what is in the network: this, and the other that has no privileges.
const MAX_THREADS: u64 = 16;

/// The child, running or not.
pub(super) struct Naming {
    supervisor: Supervisor,
    /// What the box is to be called.
    wanted: String,
    /// What it is called, once that is certain.
    pub(super) name: Option<String>,
}

impl Naming {
    pub(super) fn new(now: Instant) -> Self {
        Self { supervisor: Supervisor::new(now), wanted: HOST_NAME.into(), name: None }
    }

    /// When the child is to be started, while it does not run.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.supervisor.deadline()
    }
}

impl Machine {
    /// Says what the box is to be called.
    pub fn set_name(&mut self, name: String) {
        self.naming.wanted = name;
    }

    pub(super) fn start_naming(&mut self, now: Instant) {
        if !self.network.enabled || !self.naming.supervisor.is_due(now) {
            return;
        }
        let mut command = tools::own_child(&["mdns", &self.naming.wanted]);
        sys::become_service(
            &mut command,
            Identity { id: paths::NETWORK_ID, files: MAX_FILES, threads: MAX_THREADS },
        );
        match self.children.spawn(command, Role::Naming, "", None) {
            Ok(_) => self.naming.supervisor.started(now),
            Err(error) => {
                self.naming.supervisor.ended(now);
                log!("mdns: can't be started: {error}");
            }
        }
    }

    /// A box without a name can be reached by its addresses, so this is no problem that people need to hear of.
    pub(super) fn naming_ended(&mut self, reason: &str, now: Instant) {
        self.naming.name = None;
        let wait = self.naming.supervisor.ended(now);
        log!("mdns: ended ({reason}); if needed, next start in {} s", wait.as_secs());
    }

    pub(super) fn take_name(&mut self, line: &Line) {
        let name = Some(line.text()).filter(|name| is_host(name));
        if name != self.naming.name {
            log!("mdns: the box is called {}", name.as_deref().unwrap_or("nothing yet"));
            self.naming.name = name;
        }
    }
}
