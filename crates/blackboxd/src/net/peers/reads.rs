//! Reads for connections what is not in memory, on threads that may wait for a disk.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::app::SharedApp;
use crate::catalog::Content;
use crate::storage::{ServeError, Storage};

/// Blocks that are read at the same time: enough for a disk to sort them, few enough that a disk which does not answer
/// costs no more than this many threads.
const MAX_READS: usize = 32;

/// Files that are opened at the same time.
const MAX_OPENING: usize = 32;

/// The places of those who read.
#[derive(Debug)]
pub(super) struct Reads {
    places: Arc<Semaphore>,
    /// Of those whose files have to be opened first: what is in memory must not wait behind what is not.
    opening: Arc<Semaphore>,
}

impl Default for Reads {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { places: places(MAX_READS), opening: places(MAX_OPENING) }
    }
}

impl Reads {
    /// Reads `length` bytes of `content` at `offset`. Who drops the future leaves the queue; a read that has begun goes on
    /// without it.
    pub(super) async fn read(
        &self,
        app: &SharedApp,
        content: &Arc<Content>,
        online: &CancellationToken,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, ServeError> {
        let bytes = length as usize;
        if !app.storage.is_open(content, offset, length.into()) {
            let (shared, online) = (Arc::clone(content), online.clone());
            let read = move |storage: &Storage| storage.read_present(&shared, &online, offset, bytes);
            if let Some(bytes) = at(&self.opening, app, content, offset, read).await? {
                return Ok(bytes);
            }
        }
        let (shared, online) = (Arc::clone(content), online.clone());
        let read = move |storage: &Storage| storage.read(&shared, &online, offset, bytes);
        at(&self.places, app, content, offset, read).await
    }
}

/// Reads at one of these places.
async fn at<T: Send + 'static>(
    places: &Arc<Semaphore>,
    app: &SharedApp,
    content: &Arc<Content>,
    offset: u64,
    read: impl FnOnce(&Storage) -> Result<T, ServeError> + Send + 'static,
) -> Result<T, ServeError> {
    let place = Arc::clone(places).acquire_owned().await.expect("invariant: it is never closed");
    let (app, shared) = (Arc::clone(app), Arc::clone(content));
    let read = spawn_blocking(move || {
        // It ends with the read, not with who waits for it.
        let _place = place;
        let read = read(&app.storage);
        if read.as_ref().is_err_and(ServeError::is_of_the_disk) {
            app.suspects.add(&shared, offset);
        }
        read
    });
    read.await.unwrap_or_else(|given_up| {
        let path = PathBuf::from(&content.name);
        Err(ServeError::Unreadable { path, source: io::Error::other(given_up) })
    })
}
