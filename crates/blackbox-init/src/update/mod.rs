//! Updates: found, judged, written to the slot that does not run, and kept or dropped.
//!
//! PID 1 decides when ([`crate::machine`]). Everything else happens in children of the same program, which have a deadline
//! and little memory: `blackbox-init update JOB NODE SLOT ...`, with the system partition's node and the slot that runs.
//!
//! - `folder`: installs what is in the data partition's folder for updates, or marks it with the reason why not
//! - `medium PATH`: installs what is on the medium that is mounted there
//! - `keep NONCE`: the update that runs has proved itself
//! - `drop`: the update that was on trial has not

mod folder;
mod install;
mod package;
mod system_partition;
mod trial;

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use appliance::boot_state::{BootState, Nonce, Slot};
use appliance::{Release, paths};
use serde::{Deserialize, Serialize};

pub use folder::holds_update;
use folder::{Mark, UpdateFile};
use install::Target;
pub use system_partition::read_state;
use system_partition::{Access, SystemPartition};
pub use trial::{OnTrial, SLOTS, begin, describe, watch_folder};

use crate::{confine, screen, sys};

/// How long a job may take: a slow stick is read twice.
pub const LIMIT: Duration = Duration::from_mins(20);

/// Memory (bytes) of a child. It holds no file whole.
const MEMORY: u64 = 256 << 20;

/// Processor time (seconds) of a child: hashing three times what fits into a slot, on the slowest machine.
const PROCESSOR_TIME: u64 = 600;

/// Something that a child is started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Install from the data partition's folder.
    Folder,
    /// Install from the medium in this drive.
    Medium(String),
    /// The update with this nonce, which runs, is kept.
    Keep(Nonce),
    /// The update that was on trial is dropped.
    Drop,
}

/// What a child has done, as it tells PID 1 in one line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// For people: what became of each update.
    pub sentences: Vec<String>,
    /// Whether an update is installed, and to be started.
    pub restart: bool,
}

/// Does a job and writes its outcome as one line.
///
/// # Errors
/// With the reason, when the job could not be done.
pub fn run(job: &[&str]) -> Result<(), String> {
    confine::mounter();
    let context = "its memory can't be limited";
    sys::limit_resources(MEMORY, PROCESSOR_TIME).map_err(|error| format!("{context}: {error}"))?;
    // What is mounted by the child is seen by nobody else, and gone with it.
    sys::hide_mounts().map_err(|error| format!("its mounts can't be hidden: {error}"))?;
    let outcome = match *job {
        ["folder", node, slot] => install_from_folder(&target(node, slot)?),
        ["medium", node, slot, path] => install_from_medium(&target(node, slot)?, Path::new(path)),
        ["keep", node, slot, nonce] => keep(node, parsed(slot)?, parsed(nonce)?)?,
        ["drop", node, slot] => drop_trial(node, parsed(slot)?)?,
        _ => return Err(format!("there is no job {job:?}")),
    };
    println!("{}", serde_json::to_string(&outcome).map_err(|error| error.to_string())?);
    Ok(())
}

/// The release that runs; `None` when the image does not name it.
pub fn running_release() -> Option<Release> {
    Release::of_os_release(&fs::read_to_string(paths::OS_RELEASE).ok()?)
}

fn parsed<T: std::str::FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn target(node: &str, slot: &str) -> Result<Target, String> {
    let running = running_release().ok_or("the image does not say which release it is")?;
    Ok(Target { node: node.to_owned(), slot: parsed(slot)?, running })
}

fn install_from_folder(target: &Target) -> Outcome {
    let files = folder::updates(Path::new(paths::UPDATE));
    let mut outcome = Outcome::default();
    if files.is_empty() {
        return outcome;
    }
    // What can't be marked might be tried again and again.
    if sys::is_read_only(Path::new(paths::UPDATE)).unwrap_or(true) {
        let sentence = "Updates on the data partition are refused: it can only be read.";
        outcome.sentences.push(sentence.into());
        return outcome;
    }
    for file in files {
        // One at a time: the next one is compared with what runs then.
        if outcome.restart {
            break;
        }
        match install::install(target, &file.path, None) {
            Ok(install::Installed::Now(release)) => outcome.installed(&file, &release),
            Ok(install::Installed::Before) => {
                let sentence = format!("Version {} runs.", target.running.version());
                file.mark(Mark::Applied, &sentence).unwrap_or_else(|error| eprintln!("{error}"));
            }
            Err(reason) => {
                let sentence = format!("The update {} is refused: {reason}.", file.name());
                if let Err(error) = file.mark(Mark::Refused, &sentence) {
                    eprintln!("{error}");
                }
                outcome.sentences.push(sentence);
            }
        }
    }
    outcome
}

fn install_from_medium(target: &Target, medium: &Path) -> Outcome {
    let mut outcome = Outcome::default();
    let state = SystemPartition::mount(&target.node, Access::Read).ok().and_then(|system| system.state());
    let failed = state.and_then(|state| state.failed);
    for file in folder::updates(medium) {
        match install::install(target, &file.path, failed) {
            Ok(install::Installed::Now(release)) => {
                outcome.installed(&file, &release);
                break;
            }
            Ok(install::Installed::Before) => outcome.sentences.push(format!(
                "The update {} holds version {}, which runs.",
                file.name(),
                target.running.version()
            )),
            Err(reason) => {
                outcome.sentences.push(format!("The update {} is refused: {reason}.", file.name()));
            }
        }
    }
    outcome
}

impl Outcome {
    fn installed(&mut self, file: &UpdateFile, release: &Release) {
        let (name, version) = (file.name(), release.version());
        self.sentences
            .push(format!("The update {name} to version {version} is installed; the box restarts."));
        self.restart = true;
    }
}

/// From now on the slot that runs is the good one.
fn keep(node: &str, slot: Slot, nonce: Nonce) -> Result<Outcome, String> {
    let system = SystemPartition::mount(node, Access::Write).map_err(|error| error.to_string())?;
    let state = system.state().ok_or("the boot state can't be read")?;
    let trial = state.trial.filter(|trial| trial.slot == slot && trial.nonce == nonce);
    let trial = trial.ok_or("the boot state tells of another update")?;
    system
        .set_state(&state.kept(trial))
        .and_then(|()| system.unmount())
        .map_err(|error| error.to_string())?;
    Ok(Outcome::default())
}

/// Marks the files of the update that failed, and only then forgets that it was on trial.
fn drop_trial(node: &str, slot: Slot) -> Result<Outcome, String> {
    let system = SystemPartition::mount(node, Access::Write).map_err(|error| error.to_string())?;
    let state = system.state().unwrap_or(BootState::new(slot));
    let Some(trial) = state.trial else { return Ok(Outcome::default()) };
    let sentence = failure(trial.release);
    for file in folder::updates(Path::new(paths::UPDATE)) {
        if file.release == Some(trial.release)
            && let Err(error) = file.mark(Mark::Refused, &sentence)
        {
            eprintln!("{error}");
        }
    }
    let state = BootState { good: slot, ..state.dropped(trial) };
    system.set_state(&state).and_then(|()| system.unmount()).map_err(|error| error.to_string())?;
    Ok(Outcome::default())
}

/// Says that a release did not prove itself.
pub fn failure(release: Release) -> String {
    let running = running_release().map_or("the version before".into(), |running| running.version());
    format!(
        "The update to version {} failed: it did not come to serve. Version {running} runs instead.",
        release.version()
    )
}

/// The release for people, as far as it is known.
pub fn running_version() -> String {
    running_release().map_or_else(|| screen::BUILT_AS.into(), |release| release.version())
}

/// The folder for what a child mounts.
fn mount_point() -> io::Result<PathBuf> {
    let point = PathBuf::from("/run/blackbox/update");
    fs::create_dir_all(&point)?;
    Ok(point)
}
