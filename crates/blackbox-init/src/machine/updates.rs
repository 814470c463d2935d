//! When updates are installed, kept and dropped. One job runs at a time, and during a trial none but its end.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use appliance::boot_state::{BootState, Slot};

use super::Machine;
use crate::children::{Finished, Role, Stream};
use crate::kernel;
use crate::log;
use crate::media::drive::Input;
use crate::problems::Source;
use crate::sys::{self, Exit, FolderWatch, Rights};
use crate::tools;
use crate::update::{self, Job, OnTrial, Outcome};

/// Jobs that wait at most: one for each drive, and a few more.
const MAX_WAITING: usize = 80;

/// How long nothing must have been written to the folder for updates before it is looked at.
const SETTLED: Duration = Duration::from_secs(10);

/// What PID 1 knows of updates.
#[derive(Default)]
pub(super) struct Updates {
    /// Node of the system partition, and the slot that runs.
    place: Option<(String, Slot)>,
    trial: Option<OnTrial>,
    waiting: VecDeque<Job>,
    running: Option<Job>,
    /// The data partition's folder for updates, and when it is to be looked at.
    folder: Option<FolderWatch>,
    look: Option<Instant>,
}

impl Updates {
    /// When the trial has failed, when the folder has settled, or at once if a job can be started.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let trial = self.trial.as_ref().map(|trial| trial.until);
        let job = self.next_job().map(|_| now);
        [job, self.look, trial].into_iter().flatten().min()
    }

    /// What tells of the folder for updates.
    pub(super) fn folder(&self) -> Option<BorrowedFd<'_>> {
        self.folder.as_ref().map(FolderWatch::as_fd)
    }

    /// Takes note of what is written to the folder.
    pub(super) fn folder_told(&mut self, now: Instant) {
        if self.folder.as_ref().is_some_and(FolderWatch::has_changed) {
            self.look = Some(now + SETTLED);
        }
    }

    /// Whether the folder is to be looked at, once.
    fn folder_has_settled(&mut self, now: Instant) -> bool {
        self.look.take_if(|look| now >= *look).is_some()
    }

    /// The place in line of the job to be started now.
    fn next_job(&self) -> Option<usize> {
        let may_run = |job: &Job| self.trial.is_none() || matches!(job, Job::Keep(_));
        self.waiting.iter().position(may_run).filter(|_| self.running.is_none())
    }

    /// The slot that runs, where there is one.
    pub(super) fn slot(&self) -> Option<Slot> {
        self.place.as_ref().map(|(_, slot)| *slot)
    }

    /// Whether the daemon has to prove itself.
    pub(super) fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// What is going on, for the screen.
    pub(super) fn activity(&self) -> Option<String> {
        match (&self.running, &self.trial) {
            (Some(Job::Medium(_) | Job::Folder), _) => Some("Looking at an update ...".into()),
            (_, Some(trial)) => Some(format!("Version {} is on trial.", trial.trial.release.version())),
            _ => None,
        }
    }
}

impl Machine {
    /// Updates can be installed from now on: the system partition is at `node`, and this slot runs.
    pub fn enable_updates(&mut self, node: String, slot: Slot) {
        self.updates.place = Some((node, slot));
    }

    /// What is put into this folder from now on is looked at when it has settled.
    pub fn watch_updates(&mut self, folder: &Path) {
        match FolderWatch::open(folder) {
            Ok(watch) => self.updates.folder = Some(watch),
            Err(error) => log!("{}: {error}; it is looked at when the box starts", folder.display()),
        }
    }

    /// What runs is an update that has to prove itself. If the kernel hangs meanwhile the box starts again.
    pub fn begin_trial(&mut self, trial: OnTrial) {
        self.updates.trial = Some(trial);
        kernel::panic_on_hung_tasks(true);
    }

    /// Has a job done when it is its turn.
    pub fn request_update_job(&mut self, job: Job) {
        let waiting = &mut self.updates.waiting;
        if waiting.len() < MAX_WAITING && !waiting.contains(&job) {
            waiting.push_back(job);
        }
    }

    /// Starts the next job, and ends a trial that takes too long.
    pub(super) fn keep_up_with_updates(&mut self, now: Instant) {
        if self.updates.trial.as_ref().is_some_and(|trial| now >= trial.until) {
            self.trial_failed("it does not come to serve");
            return;
        }
        if self.updates.folder_has_settled(now) {
            self.request_update_job(Job::Folder);
        }
        let Some(job) = self.updates.next_job().and_then(|at| self.updates.waiting.remove(at)) else {
            return;
        };
        let Some((node, slot)) = &self.updates.place else {
            let why = "it is not known which disk the box was started from";
            self.update_job_ended(&job, Err(why.into()));
            return;
        };
        let slot = slot.to_string();
        let mut command = tools::own_child(&["update"]);
        match &job {
            Job::Folder => command.args(["folder", node, &slot]),
            Job::Medium(drive) => command.args(["medium", node, &slot]).arg(crate::media::mount_point(drive)),
            Job::Keep(nonce) => command.args(["keep", node, &slot, &nonce.to_string()]),
            Job::Drop => command.args(["drop", node, &slot]),
        };
        sys::stay_root(&mut command, Rights::UPDATES);
        match self.children.spawn(command, Role::Update(job.clone()), "", Some(update::LIMIT)) {
            Ok(_) => {
                log!("update: {job:?} begins");
                self.updates.running = Some(job);
            }
            Err(error) => self.update_job_ended(&job, Err(error.to_string())),
        }
    }

    /// The child that did a job has ended.
    pub(super) fn take_update_end(&mut self, job: &Job, finished: &Finished) {
        self.updates.running = None;
        for (_, line) in finished.lines.iter().filter(|(stream, _)| *stream == Stream::Err) {
            log!("update: {}", line.text());
        }
        let outcome = match finished.exit {
            Exit::Code(0) => {
                serde_json::from_str(&finished.text(Stream::Out)).map_err(|error| error.to_string())
            }
            _ => Err(finished.reason()),
        };
        self.update_job_ended(job, outcome);
    }

    fn update_job_ended(&mut self, job: &Job, outcome: Result<Outcome, String>) {
        log!("update: {job:?}: {outcome:?}");
        let problem = |what: &str, why: String| format!("{what} ({why}).");
        match (job, outcome) {
            (Job::Medium(drive), outcome) => {
                let failed = |why| Outcome {
                    sentences: vec![problem("The update on this medium can't be installed", why)],
                    restart: false,
                };
                let outcome = outcome.unwrap_or_else(failed);
                self.step(drive, Input::Judged(outcome.sentences.join(" ")));
                self.restart_into(&outcome);
            }
            (Job::Folder, Ok(outcome)) => {
                if !outcome.restart {
                    outcome.sentences.iter().for_each(|text| self.problems.add(Source::Update, text.clone()));
                }
                self.restart_into(&outcome);
            }
            (Job::Keep(_), Ok(_)) => {
                if let Some(trial) = self.updates.trial.take() {
                    // From now on a disc that can't be read is a more likely reason.
                    kernel::panic_on_hung_tasks(false);
                    log!("version {} has proved itself and is kept", trial.trial.release.version());
                    self.set_fact(update::SLOTS, update::describe(&BootState::new(trial.trial.slot)));
                }
            }
            (Job::Drop, Ok(_)) => {}
            (Job::Folder, Err(why)) => {
                self.problems.add(Source::Update, problem("The updates can't be looked at", why));
            }
            (Job::Keep(_), Err(why)) => {
                self.problems.add(Source::Update, problem("The update that runs can't be kept", why));
            }
            (Job::Drop, Err(why)) => {
                self.problems.add(Source::Update, problem("The boot state can't be written", why));
            }
        }
    }

    fn restart_into(&mut self, outcome: &Outcome) {
        if outcome.restart {
            self.halt(sys::Reboot::Restart, "an update is installed");
        }
    }

    /// The daemon serves, which is what a trial is about.
    pub(super) fn proved(&mut self) {
        if let Some(trial) = &self.updates.trial {
            let job = Job::Keep(trial.trial.nonce);
            self.request_update_job(job);
        }
    }

    /// The daemon has ended, which it should not do during a trial.
    pub(super) fn daemon_ended_on_trial(&mut self) {
        if self.updates.trial.as_mut().is_some_and(OnTrial::daemon_ended) && !self.is_halting() {
            self.trial_failed("the publishing service stops again and again");
        }
    }

    fn trial_failed(&mut self, why: &str) {
        self.halt(sys::Reboot::Restart, &format!("the update on trial has failed: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{self, Wait};
    use std::fs;

    #[test]
    fn the_folder_is_looked_at_once_when_what_is_put_there_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let mut updates = Updates::default();
        let mut now = Instant::now();
        updates.folder = Some(FolderWatch::open(folder.path()).unwrap());
        // What comes with an event is taken when poll says that there is one.
        let take = |updates: &mut Updates, now| {
            let ready = sys::poll(&[(updates.folder().unwrap(), Wait::Read)], Instant::now()).unwrap();
            updates.folder_told(now);
            ready[0]
        };
        assert!(!take(&mut updates, now));
        assert_eq!(updates.deadline(now), None);
        let file = folder.path().join("x.update");
        for part in ["one", "one, two"] {
            fs::write(&file, part).unwrap();
            assert!(take(&mut updates, now));
            assert!(!take(&mut updates, now), "it is told once");
            assert_eq!(updates.deadline(now), Some(now + SETTLED));
            now += SETTLED / 2;
            assert!(!updates.folder_has_settled(now));
        }
        now += SETTLED / 2;
        assert!(updates.folder_has_settled(now));
        assert!(!updates.folder_has_settled(now + SETTLED));
        // A name that is given when everything is there is told of too; one that is taken away is not.
        fs::rename(&file, folder.path().join("y.update")).unwrap();
        assert!(take(&mut updates, now));
        assert!(updates.folder_has_settled(now + SETTLED));
        fs::remove_file(folder.path().join("y.update")).unwrap();
        assert!(!take(&mut updates, now));
    }
}
