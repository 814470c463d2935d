//! Hashing one item at a time, beside the publisher's thread.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::inbox::Inbox;
use crate::catalog::{Content, Progress};
use crate::listing::Listing;
use crate::publish::{PublishError, hash_item};

/// An item that is being hashed.
#[derive(Debug)]
pub(super) struct Job {
    pub name: OsString,
    pub fingerprint: u64,
    cancel: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// How hashing ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub name: OsString,
    pub read_bytes: u64,
    pub result: Result<Content, PublishError>,
}

impl Job {
    /// Starts to hash the item at `path`; the outcome arrives in the inbox.
    pub(super) fn start(
        path: PathBuf,
        name: &str,
        listing: Listing,
        progress: Arc<Progress>,
        inbox: &Arc<Inbox>,
    ) -> std::io::Result<Self> {
        let cancel = Arc::new(AtomicBool::new(false));
        let fingerprint = listing.fingerprint();
        let (flag, inbox, name) = (Arc::clone(&cancel), Arc::clone(inbox), name.to_owned());
        let os_name = OsString::from(&name);
        let thread = std::thread::Builder::new().name("hash".into()).spawn(move || {
            let result = hash_item(&path, &name, &listing, &progress, &flag);
            inbox.finished(Outcome { name: name.into(), read_bytes: progress.done(), result });
        })?;
        Ok(Self { name: os_name, fingerprint, cancel, thread })
    }

    /// Ends it soon; the outcome arrives all the same.
    pub(super) fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Waits for the thread's end.
    pub(super) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("hashing of {:?} panicked", self.name);
        }
    }
}
