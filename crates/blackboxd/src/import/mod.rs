//! Inserted discs and sticks: copied into the publish folder and hashed in the same pass, published, ejected.
//!
//! One thread for each drive. Until everything is copied and on disk, all of it is in a staging folder that nobody
//! publishes; one rename puts it in its place.
//!
//! - `source`: what is to be copied of a medium; `known`: whether that was done before; `space`: whether there is room
//! - `ahead` reads, with the patience of `patient`, while `copy` writes and hashes; `place` publishes
//! - `name`, `outcome`: what people read

mod ahead;
mod copy;
mod known;
mod name;
mod outcome;
mod patient;
mod place;
mod source;
mod space;

use std::collections::HashMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use appliance::message::{Medium, ToInit};
use jiff::Timestamp;

use crate::app::{App, SharedApp};
use crate::catalog::{Item, State};
use crate::history::Kind;
use crate::init_link::InitLink;
use crate::priority;
use name::ItemName;
use outcome::{ImportError, Imported};
use source::Source;
use space::Space;

/// Staging folders start with this; being dotfiles, they are never published.
const STAGING: &str = ".import-";

/// Imports what init mounts.
pub struct Importer {
    app: SharedApp,
    init: Arc<InitLink>,
    space: Arc<Space>,
    running: HashMap<String, Running>,
    /// Imports whose medium was taken out, until their threads have noticed.
    ending: Vec<JoinHandle<()>>,
    /// What is shown of the last medium in each drive.
    shown: HashMap<String, String>,
}

struct Running {
    removed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Importer {
    /// An importer; what an interrupted import left behind is deleted.
    pub fn new(app: SharedApp, init: Arc<InitLink>) -> Self {
        for entry in fs::read_dir(&app.publish).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(STAGING)
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!("{:?} can't be deleted: {error}", entry.path());
            }
        }
        let space = Arc::default();
        Self { app, init, space, running: HashMap::new(), ending: Vec::new(), shown: HashMap::new() }
    }

    /// A medium is mounted: import it.
    pub fn inserted(&mut self, medium: Medium) {
        self.removed(&medium.drive);
        let name = ItemName::of_label(medium.label.as_deref(), self.app.config.import.mode);
        self.clear(&medium.drive);
        self.shown.insert(medium.drive.clone(), name.of_medium().to_owned());
        let removed = Arc::new(AtomicBool::new(false));
        let drive = medium.drive.clone();
        let (app, init, space) = (Arc::clone(&self.app), Arc::clone(&self.init), Arc::clone(&self.space));
        let flag = Arc::clone(&removed);
        let thread = std::thread::Builder::new().name(format!("import {drive}")).spawn(move || {
            priority::lower();
            let run = || run(&app, &space, &medium, &name, &flag);
            let published = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                let sentence = "It could not be copied, by a fault of the box itself.";
                show_failed(&app, name.of_medium(), &medium.drive, sentence)
            });
            if !app.is_ending() {
                init.send(&ToInit::Imported { published });
            }
            // Another one may be in the drive when this one was taken out. What has no tray is only unmounted.
            if !flag.load(Ordering::Relaxed) && (app.config.import.eject || !medium.ejectable) {
                init.send(&ToInit::Eject { drive: medium.drive });
            }
        });
        match thread {
            Ok(thread) => drop(self.running.insert(drive, Running { removed, thread })),
            Err(error) => tracing::error!("no thread to import {drive}: {error}"),
        }
    }

    /// Something that can't be mounted was inserted.
    pub fn unusable(&mut self, drive: &str, reason: &str) {
        self.removed(drive);
        self.clear(drive);
        self.shown.insert(drive.to_owned(), drive.to_owned());
        let published = show_failed(&self.app, drive, drive, reason);
        self.init.send(&ToInit::Imported { published });
        if self.app.config.import.eject {
            self.init.send(&ToInit::Eject { drive: drive.to_owned() });
        }
    }

    /// The medium is gone; an import that still reads it ends as soon as the drive answers. Why it failed stays on show.
    pub fn removed(&mut self, drive: &str) {
        if let Some(running) = self.running.remove(drive) {
            running.removed.store(true, Ordering::Relaxed);
            self.ending.push(running.thread);
        }
        let (ended, ending): (Vec<_>, Vec<_>) = self.ending.drain(..).partition(JoinHandle::is_finished);
        self.ending = ending;
        ended.into_iter().for_each(join);
    }

    /// Ends all imports; they begin anew when the daemon is back.
    pub fn stop(mut self) {
        let drives: Vec<String> = self.running.keys().cloned().collect();
        for drive in drives {
            self.removed(&drive);
        }
        self.ending.into_iter().for_each(join);
    }

    fn clear(&mut self, drive: &str) {
        if let Some(name) = self.shown.remove(drive) {
            self.app.catalog.hide_medium(&name, drive);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("an import panicked");
    }
}

/// Says whether it is published now.
fn run(app: &SharedApp, space: &Space, medium: &Medium, name: &ItemName, removed: &AtomicBool) -> bool {
    let shown = name.of_medium();
    tracing::info!("importing {shown:?} from {}", medium.drive);
    // Nothing is copied into a folder that can't be trusted: it may be the empty mount point of the right one.
    if let Some(Err(sentence)) = app.health.publish_folder() {
        return show_failed(app, shown, &medium.drive, &sentence);
    }
    let staging = match tempfile::Builder::new().prefix(STAGING).tempdir_in(&app.publish) {
        Ok(staging) => staging,
        Err(error) => {
            let sentence = format!("The publish folder can't be written: {error}.");
            return show_failed(app, shown, &medium.drive, &sentence);
        }
    };
    let result = import(app, space, medium, name, staging.path(), removed);
    if let Err(error) = staging.close() {
        tracing::warn!("what is left of an import can't be deleted: {error}");
    }
    match result {
        Ok(imported) => {
            tracing::info!("{}: {imported}", medium.drive);
            let sentence = format!("The disc or stick {shown} was {imported}");
            app.catalog.history().note(Kind::Imported, &sentence);
            app.catalog.hide_medium(shown, &medium.drive);
            true
        }
        Err(ImportError::Removed) if app.is_ending() => {
            app.catalog.hide_medium(shown, &medium.drive);
            false
        }
        Err(error) => show_failed(app, shown, &medium.drive, &error.to_string()),
    }
}

/// Copies, hashes and publishes `medium` under the first of its names that no other item has.
fn import(
    app: &App,
    space: &Space,
    medium: &Medium,
    name: &ItemName,
    staging: &Path,
    removed: &AtomicBool,
) -> Result<Imported, ImportError> {
    let source = Source::of(medium, &app.config.import, removed)?;
    let volume = medium.uuid.as_deref();
    if let Some(item) = known::known(app, name, volume, &source, removed) {
        return Ok(Imported::Known(item.name.clone()));
    }
    let progress = space.claim(&app.publish, source.size_bytes())?;
    app.catalog.show(Item {
        size_bytes: source.size_bytes(),
        file_count: source.files.len(),
        progress: Arc::clone(&progress),
        medium: Some(medium.drive.clone()),
        ..Item::unpublished(name.of_medium(), Timestamp::now(), State::Copying)
    });
    let staged = staging.join(name.numbered(1));
    let pieces = copy::copy(&source, &staged, removed, &progress)?;
    known::remember(&staged, volume);
    place::place(app, &staged, name, &pieces)
}

/// Shows why a medium is not published. Returns false, which is what [`run`] says then.
fn show_failed(app: &SharedApp, name: &str, drive: &str, reason: &str) -> bool {
    tracing::warn!("{drive}: {reason}");
    let mut item = Item::unpublished(name, Timestamp::now(), State::Failed);
    item.medium = Some(drive.to_owned());
    item.error = Some(reason.to_owned());
    app.catalog.show(item);
    false
}
