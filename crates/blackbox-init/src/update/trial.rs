//! What a boot is for updates: usual, the trial of one, or the return to what ran before one.

use std::path::Path;
use std::time::{Duration, Instant};

use appliance::boot_state::{Boot, BootState, Trial};
use appliance::paths;

use super::{Job, failure, holds_update};
use crate::boot::Facts;
use crate::data::Data;
use crate::log;
use crate::machine::Machine;

/// Time in which the daemon has to prove that it serves, counted from the boot: reading in a large catalog and checking
/// a large disk are in it.
const LIMIT: Duration = Duration::from_mins(10);

/// Ends of the daemon after which nothing good is to be expected.
const MAX_ENDS: u32 = 3;

/// The name under which people are told of the slots.
pub const SLOTS: &str = "Slots";

/// The trial of the update that runs.
#[derive(Debug)]
pub struct OnTrial {
    /// Which one.
    pub trial: Trial,
    /// When it has failed.
    pub until: Instant,
    ends: u32,
}

impl OnTrial {
    /// The trial begins.
    pub fn new(trial: Trial, limit: Option<Duration>, now: Instant) -> Self {
        Self { trial, until: now + limit.unwrap_or(LIMIT), ends: 0 }
    }

    /// The daemon has ended. Returns whether the update has failed with that.
    pub fn daemon_ended(&mut self) -> bool {
        self.ends += 1;
        self.ends >= MAX_ENDS
    }
}

/// The phase of the boot in which this is found out, and what follows from it is begun.
///
/// # Errors
/// A sentence when an update has failed, or one of the two slots has.
pub fn begin(machine: &mut Machine, facts: &mut Facts) -> Result<(), String> {
    let (Some(node), Some(slot)) = (facts.system_node.clone(), facts.cmdline.slot) else {
        log!("no updates: it is not known for sure what was booted from where");
        return Ok(());
    };
    machine.enable_updates(node, slot);
    let slots = facts.boot_state.map_or("nothing is known of them".into(), |state| describe(&state));
    machine.set_fact(SLOTS, slots);
    let boot = facts.boot_state.map(|state| state.judge(slot, facts.cmdline.trial));
    let result = match (boot, facts.boot_state) {
        (Some(Boot::Trial(trial)), _) => {
            log!("version {} is on trial", trial.release.version());
            machine.begin_trial(OnTrial::new(trial, facts.cmdline.trial_limit, Instant::now()));
            Ok(())
        }
        (Some(Boot::Fallen(trial)), _) => {
            machine.request_update_job(Job::Drop);
            Err(failure(trial.release))
        }
        (Some(Boot::Usual), Some(state)) if state.good != slot => Err(format!(
            "The system in slot {} on the disk can't be started, so the one in slot {slot} runs: install an update, or \
             write the image again.",
            state.good
        )),
        (Some(Boot::Usual), Some(state)) => state.failed.map_or(Ok(()), |failed| Err(failure(failed))),
        _ => {
            log!("the boot state can't be read; the next update writes it anew");
            Ok(())
        }
    };
    watch_folder(machine, facts);
    result
}

/// Looks at what is in the data partition's folder for updates, and what is put there from now on.
pub fn watch_folder(machine: &mut Machine, facts: &Facts) {
    if facts.data != Data::Missing {
        // In this order: what comes in between is found twice.
        machine.watch_updates(Path::new(paths::UPDATE));
        if holds_update(Path::new(paths::UPDATE)) {
            machine.request_update_job(Job::Folder);
        }
    }
}

/// What is known of the two slots, for people.
pub fn describe(state: &BootState) -> String {
    let trial = state
        .trial
        .map(|trial| format!("; version {} in slot {} is on trial", trial.release.version(), trial.slot));
    let failed = state.failed.map(|failed| format!("; version {} has failed", failed.version()));
    format!(
        "slot {} has proved itself{}{}",
        state.good,
        trial.unwrap_or_default(),
        failed.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance::boot_state::{Nonce, Slot};

    #[test]
    fn the_slots_are_described() {
        let state = BootState::new(Slot::A);
        assert_eq!(describe(&state), "slot a has proved itself");
        let trial = state.with_trial(Nonce(1), "1.0.0+1".parse().unwrap());
        let described = describe(&trial);
        assert!(described.ends_with("; version 1.0.0 in slot b is on trial"), "{described}");
    }

    #[test]
    fn a_daemon_that_ends_again_and_again_ends_the_trial() {
        let trial = Trial { slot: Slot::B, nonce: Nonce(1), release: "1.0.0+1".parse().unwrap() };
        let now = Instant::now();
        let mut on_trial = OnTrial::new(trial, None, now);
        assert_eq!(on_trial.until, now + LIMIT);
        assert_eq!([(); 3].map(|()| on_trial.daemon_ended()), [false, false, true]);
    }
}
