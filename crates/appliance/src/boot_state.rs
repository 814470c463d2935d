//! Which slot is started: what init and the boot loader tell each other over a restart, in two files on the system
//! partition that are GRUB environment blocks.
//!
//! [`STATE_FILE`] is written by init alone: the slot that has proved itself (`good`), and an update that has not yet
//! (`trial`, with a `nonce` that no other update had). [`TRIED_FILE`] is written by the boot loader alone: the nonce of the
//! update that it started last. An update whose nonce is there is not started again, so there is nothing to be counted, and
//! no state in which neither slot is started; `image/board/x86_64/system-partition/grub/grub.cfg` is the other half of this.
//!
//! Each file is made with the image and overwritten in place. All that ever changes is in its first sector, which a disk
//! writes whole or not at all.

use std::fmt;
use std::str::FromStr;

use crate::Release;

/// Where init writes, below the root of the system partition.
pub const STATE_FILE: &str = "boot/state.env";

/// Where the boot loader writes, below the root of the system partition.
pub const TRIED_FILE: &str = "boot/tried.env";

/// Length of either file (bytes), which GRUB demands.
pub const BLOCK_BYTES: usize = 1024;

/// The part of a block that ever changes: a sector of any disk that the system can be on.
pub const SECTOR_BYTES: usize = 512;

/// First line of a GRUB environment block.
const MAGIC: &str = "# GRUB Environment Block\n";

/// One of the two places for a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// `slots/a`, which an image comes with.
    A,
    /// `slots/b`
    B,
}

impl Slot {
    /// The one that an update is written to while this one runs.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

impl FromStr for Slot {
    type Err = Nonsense;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "a" => Ok(Self::A),
            "b" => Ok(Self::B),
            _ => Err(Nonsense),
        }
    }
}

/// What tells one try of an update from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub u64);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Nonce {
    type Err = Nonsense;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let nonce = u64::from_str_radix(text, 16).map(Self).map_err(|_| Nonsense)?;
        if nonce.to_string() == text { Ok(nonce) } else { Err(Nonsense) }
    }
}

/// An update that is to be started once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// Where it is.
    pub slot: Slot,
    /// Which try it is.
    pub nonce: Nonce,
    /// What it is.
    pub release: Release,
}

/// What is in [`STATE_FILE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootState {
    /// The slot that has proved itself.
    pub good: Slot,
    /// The update in the other slot, until it has proved itself or failed.
    pub trial: Option<Trial>,
    /// The latest release that was tried and failed, until a later one proves itself.
    pub failed: Option<Release>,
}

/// Not a boot state that init has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the boot state can't be read")]
pub struct Nonsense;

/// Which boot this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// Nothing is on trial.
    Usual,
    /// The update runs, and has to prove itself.
    Trial(Trial),
    /// There is an update on trial, but it is not what runs: it was started and failed, or could not be started.
    Fallen(Trial),
}

impl BootState {
    /// A disk on which this slot runs and of which nothing else is known.
    pub fn new(good: Slot) -> Self {
        Self { good, trial: None, failed: None }
    }

    /// The state with an update in the slot that does not run.
    #[must_use]
    pub fn with_trial(self, nonce: Nonce, release: Release) -> Self {
        Self { trial: Some(Trial { slot: self.good.other(), nonce, release }), ..self }
    }

    /// The update has proved itself.
    #[must_use]
    pub fn kept(self, trial: Trial) -> Self {
        Self { good: trial.slot, trial: None, failed: self.failed.filter(|failed| *failed > trial.release) }
    }

    /// The update has failed.
    #[must_use]
    pub fn dropped(self, trial: Trial) -> Self {
        Self { trial: None, failed: self.failed.max(Some(trial.release)), ..self }
    }

    /// Which boot it is when this slot runs, and the boot loader has named this nonce.
    pub fn judge(&self, running: Slot, nonce: Option<Nonce>) -> Boot {
        match self.trial {
            None => Boot::Usual,
            Some(trial) if trial.slot == running && nonce == Some(trial.nonce) => Boot::Trial(trial),
            Some(trial) => Boot::Fallen(trial),
        }
    }

    /// Reads a block.
    ///
    /// # Errors
    /// When it is not one that [`BootState::to_block`] makes.
    pub fn parse(block: &[u8]) -> Result<Self, Nonsense> {
        let text = std::str::from_utf8(block.strip_prefix(MAGIC.as_bytes()).ok_or(Nonsense)?);
        let text = text.map_err(|_| Nonsense)?.trim_end_matches('#');
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let good: Slot = field("good").ok_or(Nonsense)?.parse()?;
        let mut state = Self::new(good);
        if let Some(slot) = field("trial") {
            let nonce = field("nonce").ok_or(Nonsense)?.parse()?;
            let release = field("release").ok_or(Nonsense)?.parse().map_err(|_| Nonsense)?;
            state.trial =
                Some(Trial { slot: slot.parse()?, nonce, release }).filter(|trial| trial.slot != good);
        }
        if let Some(failed) = field("failed") {
            state.failed = Some(failed.parse().map_err(|_| Nonsense)?);
        }
        if state.to_block() == block { Ok(state) } else { Err(Nonsense) }
    }

    /// The block to be written; only its first [`SECTOR_BYTES`] differ from those of other states.
    pub fn to_block(&self) -> [u8; BLOCK_BYTES] {
        let good = self.good;
        let trial = self.trial.map_or(String::new(), |Trial { slot, nonce, release }| {
            format!("trial={slot}\nnonce={nonce}\nrelease={release}\n")
        });
        let failed = self.failed.map_or(String::new(), |release| format!("failed={release}\n"));
        let text = format!("{MAGIC}good={good}\n{trial}{failed}");
        let mut block = [b'#'; BLOCK_BYTES];
        // The longest state has less than 240 bytes.
        block[..text.len()].copy_from_slice(text.as_bytes());
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: &str = "4294967295.4294967295.4294967295+18446744073709551615";

    fn release(text: &str) -> Release {
        text.parse().unwrap()
    }

    fn states() -> Vec<BootState> {
        let mut states = Vec::new();
        for good in [Slot::A, Slot::B] {
            for failed in [None, Some(release("0.1.0+5")), Some(release(LONGEST))] {
                let state = BootState { failed, ..BootState::new(good) };
                states.push(state);
                states.push(state.with_trial(Nonce(0), release("0.2.0+6")));
                states.push(state.with_trial(Nonce(u64::MAX), release(LONGEST)));
            }
        }
        states
    }

    #[test]
    fn a_state_survives_and_changes_one_sector_only() {
        for state in states() {
            let block = state.to_block();
            assert_eq!(BootState::parse(&block), Ok(state));
            assert_eq!(block[SECTOR_BYTES..], [b'#'; BLOCK_BYTES - SECTOR_BYTES]);
            assert_eq!(block[SECTOR_BYTES - 1], b'#', "there is room");
        }
    }

    #[test]
    fn nonsense_is_known() {
        for state in states() {
            let block = state.to_block();
            for end in 0..BLOCK_BYTES {
                assert_eq!(BootState::parse(&block[..end]), Err(Nonsense), "cut at {end}");
            }
            for bit in 0..BLOCK_BYTES * 8 {
                let mut bad = block;
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(BootState::parse(&bad), Ok(state), "bit {bit}");
            }
        }
        for text in [
            "",
            "good=a",
            "good=c\n",
            "good=a\ntrial=b\n",
            "good=a\ntrial=a\nnonce=0000000000000001\nrelease=1.0.0+1\n",
        ] {
            let mut block = [b'#'; BLOCK_BYTES];
            let text = format!("{MAGIC}{text}");
            block[..text.len()].copy_from_slice(text.as_bytes());
            assert_eq!(BootState::parse(&block), Err(Nonsense), "{text}");
        }
        assert_eq!(BootState::parse(&[0; BLOCK_BYTES]), Err(Nonsense));
    }

    #[test]
    fn an_update_is_kept_or_dropped() {
        let state = BootState::new(Slot::A).with_trial(Nonce(7), release("0.2.0+1"));
        let trial = state.trial.unwrap();
        assert_eq!(trial.slot, Slot::B);
        for (running, nonce, boot) in [
            (Slot::B, Some(Nonce(7)), Boot::Trial(trial)),
            (Slot::B, Some(Nonce(8)), Boot::Fallen(trial)),
            (Slot::B, None, Boot::Fallen(trial)),
            (Slot::A, None, Boot::Fallen(trial)),
            (Slot::A, Some(Nonce(7)), Boot::Fallen(trial)),
        ] {
            assert_eq!(state.judge(running, nonce), boot, "{running} {nonce:?}");
        }
        assert_eq!(state.kept(trial), BootState::new(Slot::B));
        assert_eq!(state.kept(trial).judge(Slot::B, None), Boot::Usual);
        let dropped = state.dropped(trial);
        assert_eq!(dropped, BootState { failed: Some(trial.release), ..BootState::new(Slot::A) });
        // An older release proves itself: the later one has failed all the same. And one that is later than both.
        for (next, failed) in [("0.1.5+1", Some(trial.release)), ("0.2.0+2", None)] {
            let next = dropped.with_trial(Nonce(9), release(next));
            assert_eq!(next.kept(next.trial.unwrap()).failed, failed);
        }
    }
}
