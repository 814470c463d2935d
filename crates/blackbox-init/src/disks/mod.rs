//! How sound the disks of the box are: which of them is asked when. Pure: time is an argument.
//!
//! A child asks ([`ask`]), one disk at a time, and reads what comes back ([`smart`]): it is the disk's firmware that speaks.

pub mod ask;
mod smart;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use appliance::disk::{Disk, MAX_DISKS, Soundness};

/// A disk is left alone for so long after the boot, or after it came.
const FIRST: Duration = Duration::from_secs(3);

/// How often each is asked.
const INTERVAL: Duration = Duration::from_mins(30);

/// How the kernel's names of disks begin that may know SMART: SATA, SCSI and USB, and `NVMe`.
const KNOWING: [&str; 2] = ["sd", NVME];

/// How those of `NVMe` begin.
const NVME: &str = "nvme";

/// Longest name of a disk (bytes).
const MAX_NAME: usize = 32;

/// Whether `name` can be the kernel name of a disk that may know SMART: one plain path component.
pub fn may_know(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && KNOWING.iter().any(|kind| name.starts_with(kind))
}

/// Whether it is an `NVMe` disk.
pub fn is_nvme(name: &str) -> bool {
    name.starts_with(NVME)
}

/// The box's disks.
#[derive(Debug, Default)]
pub struct Disks {
    known: BTreeMap<String, Known>,
    /// Whether they are asked.
    enabled: bool,
    /// The one that is being asked.
    asked: Option<String>,
}

#[derive(Debug)]
struct Known {
    /// When it is asked next.
    due: Instant,
    /// What it said last.
    said: Disk,
}

impl Disks {
    /// A disk of the box's that is there.
    pub fn came(&mut self, name: &str, now: Instant) {
        if self.known.len() < MAX_DISKS {
            let known = || Known { due: now + FIRST, said: Disk::silent(name) };
            self.known.entry(name.to_owned()).or_insert_with(known);
        }
    }

    /// It is gone.
    pub fn gone(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// Has them asked from now on.
    pub fn enable(&mut self, now: Instant) {
        self.enabled = true;
        for known in self.known.values_mut() {
            known.due = now + FIRST;
        }
    }

    /// When [`Self::next`] has one.
    pub fn deadline(&self) -> Option<Instant> {
        self.first().map(|(_, known)| known.due)
    }

    /// The one to be asked now, which is then being asked until it [`ended`](Self::ended).
    pub fn next(&mut self, now: Instant) -> Option<String> {
        let name = self.first().filter(|(_, known)| known.due <= now).map(|(name, _)| name.clone())?;
        self.asked = Some(name.clone());
        Some(name)
    }

    fn first(&self) -> Option<(&String, &Known)> {
        let idle = self.enabled && self.asked.is_none();
        self.known.iter().filter(|(name, _)| idle && may_know(name)).min_by_key(|(_, known)| known.due)
    }

    /// Asking it has ended, with what it said, if that was anything. Returns it when it says something else than before. One that
    /// sleeps, or does not answer any more, is still what it said last.
    pub fn ended(&mut self, name: &str, said: Option<Disk>, now: Instant) -> Option<&Disk> {
        self.asked = None;
        let known = self.known.get_mut(name)?;
        known.due = now + INTERVAL;
        let said = said.filter(|said| said.name == name)?;
        let is_news = said.soundness != known.said.soundness;
        if is_news && said.soundness == Soundness::Silent {
            return None;
        }
        known.said = said;
        is_news.then_some(&known.said)
    }

    /// What each said last, by name.
    pub fn said(&self) -> Vec<Disk> {
        self.known.values().map(|known| known.said.clone()).collect()
    }

    /// What is wrong, where, and what to do.
    pub fn sentences(&self) -> Vec<String> {
        self.known.values().filter_map(|known| known.said.problem()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(name: &str, soundness: Soundness) -> Disk {
        Disk { soundness, power_on_hours: Some(7), ..Disk::silent(name) }
    }

    fn soundness(disks: &Disks) -> Vec<(String, Soundness)> {
        disks.said().into_iter().map(|disk| (disk.name, disk.soundness)).collect()
    }

    #[test]
    fn each_is_asked_in_its_turn_and_again_later() {
        let start = Instant::now();
        let mut disks = Disks::default();
        for name in ["sda", "vda", "nvme0n1", "mmcblk0"] {
            disks.came(name, start);
        }
        assert_eq!(disks.deadline(), None, "nobody is asked during the boot");
        disks.enable(start);
        let due = disks.deadline().unwrap();
        assert!(due > start && disks.next(start).is_none());
        let mut asked = Vec::new();
        while let Some(name) = disks.next(due) {
            assert_eq!((disks.deadline(), disks.next(due)), (None, None), "one at a time");
            disks.ended(&name, None, due);
            asked.push(name);
        }
        assert_eq!(asked, ["nvme0n1", "sda"]);
        assert_eq!(disks.deadline(), Some(due + INTERVAL));
        assert_eq!(disks.next(due + INTERVAL).as_deref(), Some("nvme0n1"));
        disks.gone("nvme0n1");
        assert_eq!(disks.ended("nvme0n1", Some(says("nvme0n1", Soundness::Failing)), due + INTERVAL), None);
        assert_eq!(disks.next(due + INTERVAL).as_deref(), Some("sda"), "one that is gone holds up nobody");
    }

    #[test]
    fn what_was_said_last_holds_until_something_else_is_said() {
        let now = Instant::now();
        let mut disks = Disks::default();
        disks.came("sda", now);
        assert_eq!(soundness(&disks), [("sda".to_owned(), Soundness::Silent)]);
        let is_news = |disks: &mut Disks, said| disks.ended("sda", said, now).is_some();
        // Who is silent may have a model.
        let silent = Disk { model: Some("X".into()), ..Disk::silent("sda") };
        assert!(!is_news(&mut disks, Some(silent.clone())));
        assert_eq!(disks.said(), [silent]);
        assert!(is_news(&mut disks, Some(says("sda", Soundness::Sound))));
        assert!(!is_news(&mut disks, Some(says("sda", Soundness::Sound))));
        assert_eq!(disks.sentences(), Vec::<String>::new());
        assert!(is_news(&mut disks, Some(says("sda", Soundness::Failing))));
        for nothing in [None, Some(says("sda", Soundness::Silent)), Some(says("sdb", Soundness::Sound))] {
            assert!(!is_news(&mut disks, nothing));
        }
        // Nor is it another one that is told of again.
        disks.came("sda", now);
        assert_eq!(disks.sentences().len(), 1);
        disks.gone("sda");
        assert_eq!((disks.sentences(), disks.said()), (vec![], vec![]));
    }

    #[test]
    fn names_are_plain() {
        for name in ["sda", "sdaa", "nvme0n1"] {
            assert!(may_know(name), "{name}");
        }
        for name in ["", "vda", "mmcblk0", "sd/../../etc", "sd a", &format!("sd{}", "a".repeat(MAX_NAME))] {
            assert!(!may_know(name), "{name}");
        }
        let mut disks = Disks::default();
        (0..100).for_each(|n| disks.came(&format!("sd{n}"), Instant::now()));
        assert_eq!(disks.said().len(), MAX_DISKS);
    }
}
