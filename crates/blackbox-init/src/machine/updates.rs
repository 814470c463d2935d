//! When updates are installed, kept and dropped. One job runs at a time, and during a trial none but its end.

use std::collections::VecDeque;
use std::time::Instant;

use appliance::boot_state::Slot;

use super::Machine;
use crate::children::{Finished, Role, Stream};
use crate::log;
use crate::media::drive::Input;
use crate::problems::Source;
use crate::sys::{self, Exit};
use crate::tools;
use crate::update::{self, Job, OnTrial, Outcome};

/// Jobs that wait at most: one for each drive, and a few more.
const MAX_WAITING: usize = 80;

/// What PID 1 knows of updates.
#[derive(Default)]
pub(super) struct Updates {
    /// Node of the system partition, and the slot that runs.
    place: Option<(String, Slot)>,
    trial: Option<OnTrial>,
    waiting: VecDeque<Job>,
    running: Option<Job>,
}

impl Updates {
    /// When the trial has failed, or at once if a job can be started.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let trial = self.trial.as_ref().map(|trial| trial.until);
        self.next_job().map(|_| now).or(trial)
    }

    /// The place in line of the job to be started now.
    fn next_job(&self) -> Option<usize> {
        let may_run = |job: &Job| self.trial.is_none() || matches!(job, Job::Keep(_));
        self.waiting.iter().position(may_run).filter(|_| self.running.is_none())
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

    /// What runs is an update that has to prove itself.
    pub fn begin_trial(&mut self, trial: OnTrial) {
        self.updates.trial = Some(trial);
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
                    log!("version {} has proved itself and is kept", trial.trial.release.version());
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
