//! What the disks of the box tell of themselves, by SMART.

use serde::{Deserialize, Serialize};

/// Disks that are spoken of; the rest is ignored.
pub const MAX_DISKS: usize = 16;

/// Longest model (characters).
pub const MAX_MODEL: usize = 64;

/// How sound a disk says it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Soundness {
    /// It does not tell: it knows no SMART, or was not asked yet.
    #[default]
    Silent,
    /// It says that it is sound.
    Sound,
    /// It says that it is about to fail.
    Failing,
}

/// A disk of the box. What it does not tell is null. The API shows it as it is here, so its fields are a promise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Kernel name, such as `sda`.
    pub name: String,
    /// As the disk spells it, at most [`MAX_MODEL`] characters, none of which controls anything.
    pub model: Option<String>,
    /// What it says of itself.
    pub soundness: Soundness,
    /// Hours that it has been running in its life.
    pub power_on_hours: Option<u64>,
    /// Sectors that it has replaced by spare ones.
    pub reallocated_sectors: Option<u64>,
    /// Sectors that it could not read and has not replaced yet.
    pub pending_sectors: Option<u64>,
    /// How much of the life that its maker promised is behind it, in percent; may be more than 100.
    pub wear_percent: Option<u64>,
    /// Spare blocks that are left, in percent.
    pub spare_percent: Option<u64>,
    /// Times that it could not give back what was stored.
    pub media_errors: Option<u64>,
}

impl Disk {
    /// One that has not told anything.
    pub fn silent(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Its name, and its model if it is known, for people.
    pub fn title(&self) -> String {
        match &self.model {
            Some(model) => format!("{} ({model})", self.name),
            None => self.name.clone(),
        }
    }

    /// What is wrong, where, and what to do, if it is failing.
    pub fn problem(&self) -> Option<String> {
        (self.soundness == Soundness::Failing).then(|| {
            format!(
                "The disk {} says that it is about to fail: copy what is on it elsewhere and replace it.",
                self.title()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failing_disk_is_a_problem_and_it_is_named() {
        let disk = |soundness| Disk { model: Some("WDC WD40".into()), soundness, ..Disk::silent("sda") };
        for soundness in [Soundness::Silent, Soundness::Sound] {
            assert_eq!(disk(soundness).problem(), None);
        }
        let problem = disk(Soundness::Failing).problem().unwrap();
        assert!(problem.starts_with("The disk sda (WDC WD40) says that it is about to fail"), "{problem}");
        let problem = Disk { model: None, ..disk(Soundness::Failing) }.problem().unwrap();
        assert!(problem.starts_with("The disk sda says "), "{problem}");
    }
}
