//! The state of one drive. Pure: what happened goes in, what is to be done comes out.

use appliance::message::{Medium, ToDaemon};

use super::finding::Finding;

/// Something that happened to a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// There may be something new in it: an event, or it was found at start.
    Changed,
    /// It is time for a look even without an event: drives keep blank or damaged discs to themselves.
    Routine,
    /// Its eject button was pressed.
    ButtonPressed,
    /// The daemon is done with the medium.
    Done,
    /// A look into it ended.
    Looked(Finding),
    /// What became of the update on its medium, as a sentence for people.
    Judged(String),
    /// Ejecting ended, one way or the other.
    Ejected,
    /// The drive itself is gone.
    Gone,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Start the child that looks.
    Look {
        /// Whether it is enough to see that something is still in the drive, without reading it.
        briefly: bool,
    },
    /// Start the child that unmounts and opens the tray.
    Eject,
    /// Take the mount out of the tree at once.
    Detach,
    /// Look at the update on the medium.
    Update,
    /// Tell the daemon.
    Tell(ToDaemon),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Idle,
    Looking,
    Ejecting,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Holds {
    Nothing,
    Medium(Medium),
    /// A medium with an update, and what became of that.
    Update(Option<String>),
    Unusable(String),
}

/// One drive, stick or partition.
#[derive(Debug)]
pub struct Drive {
    name: String,
    holds: Holds,
    work: Work,
    /// Something happened during work, so look again after it.
    again: bool,
}

impl Drive {
    /// A drive nobody has looked into.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), holds: Holds::Nothing, work: Work::Idle, again: false }
    }

    /// What the daemon must know of this drive, for one that was started anew.
    pub fn news(&self) -> Option<ToDaemon> {
        match &self.holds {
            Holds::Nothing | Holds::Update(None) => None,
            Holds::Medium(medium) => Some(ToDaemon::MediumInserted(medium.clone())),
            Holds::Unusable(reason) | Holds::Update(Some(reason)) => {
                Some(ToDaemon::MediumUnusable { drive: self.name.clone(), reason: reason.clone() })
            }
        }
    }

    /// Why what is in it can't be used.
    pub fn unusable(&self) -> Option<&str> {
        match &self.holds {
            Holds::Unusable(reason) | Holds::Update(Some(reason)) => Some(reason),
            _ => None,
        }
    }

    /// Takes one input.
    pub fn step(&mut self, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Changed if self.work == Work::Idle => self.look(false, &mut outputs),
            Input::Changed => self.again = true,
            Input::Routine if self.work == Work::Idle => {
                self.look(self.holds != Holds::Nothing, &mut outputs);
            }
            Input::ButtonPressed | Input::Done => self.eject(&mut outputs),
            Input::Looked(finding) if self.work == Work::Looking => self.looked(finding, &mut outputs),
            Input::Judged(sentence) if self.holds == Holds::Update(None) => {
                self.holds = Holds::Update(Some(sentence));
                outputs.extend(self.news().map(Output::Tell));
            }
            // Answers that ejecting has overtaken. The mount of a look, if any, is the eject child's to undo.
            Input::Looked(_) | Input::Judged(_) | Input::Routine => {}
            Input::Ejected => {
                self.work = Work::Idle;
                // A tray that closed again while it was opening holds perhaps another disc.
                if std::mem::take(&mut self.again) {
                    self.look(false, &mut outputs);
                }
            }
            Input::Gone => self.replace(Holds::Nothing, &mut outputs),
        }
        outputs
    }

    fn look(&mut self, briefly: bool, outputs: &mut Vec<Output>) {
        self.work = Work::Looking;
        outputs.push(Output::Look { briefly });
    }

    fn eject(&mut self, outputs: &mut Vec<Output>) {
        if self.work == Work::Ejecting {
            return;
        }
        self.work = Work::Ejecting;
        // The daemon has to close its files before the file system can be unmounted.
        if self.holds != Holds::Nothing {
            self.holds = Holds::Nothing;
            outputs.push(self.removed());
        }
        outputs.push(Output::Eject);
    }

    fn looked(&mut self, finding: Finding, outputs: &mut Vec<Output>) {
        self.work = Work::Idle;
        let mut again = std::mem::take(&mut self.again);
        match finding {
            Finding::Found(medium) => {
                let old = match &self.holds {
                    Holds::Medium(known) => *known != medium,
                    Holds::Update(_) => true,
                    Holds::Nothing | Holds::Unusable(_) => false,
                };
                if old {
                    // The look mounts nothing over the old medium: take that away, then look again.
                    self.replace(Holds::Nothing, outputs);
                    again = true;
                } else {
                    self.replace(Holds::Medium(medium), outputs);
                }
            }
            Finding::Update if matches!(self.holds, Holds::Medium(_)) => {
                self.replace(Holds::Nothing, outputs);
                again = true;
            }
            Finding::Update if !matches!(self.holds, Holds::Update(_)) => {
                self.replace(Holds::Update(None), outputs);
                outputs.push(Output::Update);
            }
            Finding::Unchanged | Finding::Update => {}
            Finding::Nothing => self.replace(Holds::Nothing, outputs),
            Finding::Unusable(reason) => self.replace(Holds::Unusable(reason), outputs),
        }
        if again {
            self.look(false, outputs);
        }
    }

    fn replace(&mut self, holds: Holds, outputs: &mut Vec<Output>) {
        if self.holds == holds {
            return;
        }
        let old = std::mem::replace(&mut self.holds, holds);
        if matches!(old, Holds::Medium(_) | Holds::Update(_)) {
            outputs.push(Output::Detach);
        }
        match self.news() {
            Some(news) => outputs.push(Output::Tell(news)),
            None => outputs.push(self.removed()),
        }
    }

    fn removed(&self) -> Output {
        Output::Tell(ToDaemon::MediumRemoved { drive: self.name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(label: &str) -> Medium {
        Medium {
            drive: "sr0".into(),
            device: "/dev/sr0".into(),
            mount: "/media/sr0".into(),
            label: Some(label.into()),
            uuid: None,
            size_bytes: 1,
            ejectable: true,
        }
    }

    fn looked(label: &str) -> Input {
        Input::Looked(Finding::Found(found(label)))
    }

    fn unusable() -> Input {
        Input::Looked(Finding::Unusable("blank".into()))
    }

    const NOTHING: Input = Input::Looked(Finding::Nothing);

    /// Feeds a fresh drive and writes each step's outputs in short.
    fn check(steps: &[(Input, &str)]) {
        let mut drive = Drive::new("sr0");
        for (n, (input, expected)) in steps.iter().enumerate() {
            let words: Vec<_> = drive
                .step(input.clone())
                .into_iter()
                .map(|output| match output {
                    Output::Look { briefly: false } => "look".to_owned(),
                    Output::Look { briefly: true } => "glance".to_owned(),
                    Output::Eject => "eject".to_owned(),
                    Output::Detach => "detach".to_owned(),
                    Output::Update => "update".to_owned(),
                    Output::Tell(ToDaemon::MediumInserted(medium)) => format!("+{}", medium.label.unwrap()),
                    Output::Tell(ToDaemon::MediumUnusable { reason, .. }) => format!("?{reason}"),
                    Output::Tell(ToDaemon::MediumRemoved { .. }) => "-".to_owned(),
                    Output::Tell(other) => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(words.join(" "), *expected, "step {n} of {steps:?}");
        }
    }

    #[test]
    fn a_disc_is_announced_imported_and_ejected() {
        check(&[
            (Input::Changed, "look"),
            (looked("A"), "+A"),
            (Input::Done, "- eject"),
            (Input::Changed, ""),
            (Input::Ejected, "look"),
            (NOTHING, ""),
        ]);
    }

    #[test]
    fn an_empty_drive_says_nothing() {
        check(&[(Input::Changed, "look"), (NOTHING, ""), (Input::Changed, "look"), (NOTHING, "")]);
    }

    #[test]
    fn repeated_events_announce_a_disc_once() {
        check(&[
            (Input::Changed, "look"),
            (Input::Changed, ""),
            (Input::Changed, ""),
            (looked("A"), "+A look"),
            (looked("A"), ""),
            (Input::Changed, "look"),
            (looked("A"), ""),
        ]);
    }

    #[test]
    fn a_disc_that_was_swapped_is_seen_as_another() {
        check(&[
            (Input::Changed, "look"),
            (looked("A"), "+A"),
            (Input::Changed, "look"),
            (looked("B"), "detach - look"),
            (looked("B"), "+B"),
        ]);
    }

    #[test]
    fn a_disc_that_is_gone_is_detached() {
        check(&[
            (Input::Changed, "look"),
            (looked("A"), "+A"),
            (Input::Changed, "look"),
            (NOTHING, "detach -"),
        ]);
        check(&[(Input::Changed, "look"), (looked("A"), "+A"), (Input::Gone, "detach -")]);
        check(&[
            (Input::Changed, "look"),
            (looked("A"), "+A"),
            (Input::Changed, "look"),
            (unusable(), "detach ?blank"),
        ]);
    }

    #[test]
    fn an_unusable_disc_is_told_once_and_taken_back() {
        check(&[
            (Input::Changed, "look"),
            (unusable(), "?blank"),
            (Input::Changed, "look"),
            (unusable(), ""),
            (Input::ButtonPressed, "- eject"),
            (Input::Ejected, ""),
        ]);
        check(&[(Input::Changed, "look"), (unusable(), "?blank"), (Input::Changed, "look"), (NOTHING, "-")]);
    }

    #[test]
    fn an_update_is_looked_at_once_and_what_became_of_it_is_told() {
        const UPDATE: Input = Input::Looked(Finding::Update);
        let judged = || Input::Judged("too old".into());
        check(&[
            (Input::Changed, "look"),
            (UPDATE, "- update"),
            (Input::Changed, "look"),
            (UPDATE, ""),
            (judged(), "?too old"),
            (Input::Changed, "look"),
            (UPDATE, ""),
            (Input::Done, "- eject"),
            (Input::Ejected, ""),
        ]);
        check(&[(Input::Changed, "look"), (UPDATE, "- update"), (Input::Gone, "detach -"), (judged(), "")]);
        // Swapped for one to be published, and the other way round.
        check(&[
            (Input::Changed, "look"),
            (UPDATE, "- update"),
            (Input::Changed, "look"),
            (looked("A"), "detach - look"),
            (looked("A"), "+A"),
            (Input::Changed, "look"),
            (UPDATE, "detach - look"),
            (UPDATE, "- update"),
        ]);
    }

    #[test]
    fn the_button_works_with_and_without_a_medium() {
        check(&[
            (Input::Changed, "look"),
            (looked("A"), "+A"),
            (Input::ButtonPressed, "- eject"),
            (Input::ButtonPressed, ""),
            (Input::Done, ""),
            (Input::Ejected, ""),
        ]);
        check(&[(Input::ButtonPressed, "eject"), (Input::Ejected, "")]);
        check(&[
            (Input::Changed, "look"),
            (Input::ButtonPressed, "eject"),
            (looked("A"), ""),
            (Input::Ejected, ""),
        ]);
    }

    #[test]
    fn a_routine_look_finds_what_no_event_told_and_leaves_the_rest_alone() {
        const UNCHANGED: Input = Input::Looked(Finding::Unchanged);
        check(&[
            (Input::Routine, "look"),
            (Input::Routine, ""),
            (NOTHING, ""),
            (Input::Routine, "look"),
            (looked("A"), "+A"),
            (Input::Routine, "glance"),
            (UNCHANGED, ""),
            (Input::Routine, "glance"),
            (NOTHING, "detach -"),
        ]);
        check(&[
            (Input::Routine, "look"),
            (unusable(), "?blank"),
            (Input::Routine, "glance"),
            (UNCHANGED, ""),
        ]);
    }

    #[test]
    fn a_restarted_daemon_hears_what_is_in_the_drive() {
        let mut drive = Drive::new("sr0");
        assert_eq!(drive.news(), None);
        drive.step(Input::Changed);
        drive.step(looked("A"));
        assert_eq!(drive.news(), Some(ToDaemon::MediumInserted(found("A"))));
        drive.step(Input::Changed);
        drive.step(unusable());
        assert!(matches!(drive.news(), Some(ToDaemon::MediumUnusable { .. })));
        assert_eq!(drive.unusable(), Some("blank"));
    }
}
