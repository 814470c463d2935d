//! Inserted discs and sticks: copied into the publish folder and hashed in the same pass, published, ejected.
//!
//! One thread for each drive. Until everything is copied and on disk, all of it is in a staging folder that nobody
//! publishes; one rename puts it in its place.

mod copy;
mod name;

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use appliance::message::{Medium, ToInit};
use jiff::Timestamp;

use crate::app::SharedApp;
use crate::catalog::{Item, Progress, State};
use crate::init_link::InitLink;
use copy::ImportError;

/// Staging folders start with this; being dotfiles, they are never published.
const STAGING: &str = ".import-";

/// Imports what init mounts.
pub struct Importer {
    app: SharedApp,
    init: Arc<InitLink>,
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
        Self { app, init, running: HashMap::new(), ending: Vec::new(), shown: HashMap::new() }
    }

    /// A medium is mounted: import it.
    pub fn inserted(&mut self, medium: Medium) {
        self.removed(&medium.drive);
        let name = name::of_label(medium.label.as_deref());
        self.clear(&medium.drive);
        self.shown.insert(medium.drive.clone(), name.clone());
        let removed = Arc::new(AtomicBool::new(false));
        let drive = medium.drive.clone();
        let (app, init, flag) = (Arc::clone(&self.app), Arc::clone(&self.init), Arc::clone(&removed));
        let thread = std::thread::Builder::new().name(format!("import {drive}")).spawn(move || {
            run(&app, &medium, &name, &flag);
            // Another one may be in the drive when this one was taken out.
            if !flag.load(Ordering::Relaxed) {
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
        show_failed(&self.app, drive, drive, reason);
        self.init.send(&ToInit::Eject { drive: drive.to_owned() });
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

fn run(app: &SharedApp, medium: &Medium, name: &str, removed: &AtomicBool) {
    tracing::info!("importing {name:?} from {}", medium.drive);
    // Nothing is copied into a folder that can't be trusted: it may be the empty mount point of the right one.
    if let Some(Err(sentence)) = app.health.publish_folder() {
        return show_failed(app, name, &medium.drive, &sentence);
    }
    let staging = match tempfile::Builder::new().prefix(STAGING).tempdir_in(&app.publish) {
        Ok(staging) => staging,
        Err(error) => {
            let sentence = format!("The publish folder can't be written: {error}.");
            return show_failed(app, name, &medium.drive, &sentence);
        }
    };
    let show = |size_bytes, file_count| {
        let progress = Progress::of(size_bytes);
        app.catalog.show(Item {
            size_bytes,
            file_count,
            progress: Arc::clone(&progress),
            medium: Some(medium.drive.clone()),
            ..Item::unpublished(name, Timestamp::now(), State::Copying)
        });
        progress
    };
    let result = copy::import(app, medium, name, staging.path(), removed, show);
    if let Err(error) = staging.close() {
        tracing::warn!("what is left of an import can't be deleted: {error}");
    }
    match result {
        Ok(imported) => {
            tracing::info!("{}: {imported}", medium.drive);
            app.catalog.hide_medium(name, &medium.drive);
        }
        Err(ImportError::Removed) if app.is_ending() => app.catalog.hide_medium(name, &medium.drive),
        Err(error) => show_failed(app, name, &medium.drive, &error.to_string()),
    }
}

fn show_failed(app: &SharedApp, name: &str, drive: &str, reason: &str) {
    tracing::warn!("{drive}: {reason}");
    let mut item = Item::unpublished(name, Timestamp::now(), State::Failed);
    item.medium = Some(drive.to_owned());
    item.error = Some(reason.to_owned());
    app.catalog.show(item);
}
