//! Has the box's disks asked how sound they are, and says which is about to fail.

use std::time::Instant;

use appliance::disk::{Disk, Soundness};

use super::Machine;
use crate::children::{Finished, Role, Stream};
use crate::disks::{self, ask};
use crate::problems::Source;
use crate::sys::{self, Rights};
use crate::{alarm, log, tools};

impl Machine {
    /// Has the disks asked from now on.
    pub fn enable_disks(&mut self) {
        self.disks.enable(Instant::now());
    }

    pub(super) fn ask_disks(&mut self, now: Instant) {
        let Some(name) = self.disks.next(now) else { return };
        let mut command = tools::own_child(&["disk", &name]);
        // The kernel passes on NVMe's commands for this one alone.
        let rights = if disks::is_nvme(&name) { Rights::DISKS } else { Rights::COMMANDS };
        sys::stay_root(&mut command, rights);
        if let Err(error) = self.children.spawn(command, Role::Disk(name.clone()), "", Some(ask::LIMIT)) {
            log!("{name}: can't be asked how sound it is: {error}");
            self.disks.ended(&name, None, now);
        }
    }

    /// Takes what a disk has answered. Many know no SMART, which is nothing to be written down each time.
    pub(super) fn take_answer(&mut self, name: &str, finished: &Finished) {
        let said = serde_json::from_str::<Disk>(finished.text(Stream::Out).trim()).ok();
        let trouble = if said.is_some() { finished.text(Stream::Err) } else { finished.reason() };
        let trouble = trouble.replace('\n', "; ");
        if self.disks.is_new_trouble(name, trouble.clone()) {
            log!("{name}: asked how sound it is: {trouble}");
        }
        if let Some(disk) = self.disks.ended(name, said, Instant::now()) {
            match disk.soundness {
                Soundness::Failing => alarm!("{} says that it is about to fail: {disk:?}", disk.title()),
                Soundness::Sound => log!("{} says that it is sound: {disk:?}", disk.title()),
                Soundness::Silent => log!("{} does not tell any more how sound it is", disk.title()),
            }
        }
        self.problems.set(Source::Disks, self.disks.sentences());
    }

    /// What is gone is wrong no more.
    pub(super) fn lose_disk(&mut self, name: &str) {
        self.disks.gone(name);
        self.problems.set(Source::Disks, self.disks.sentences());
    }
}
