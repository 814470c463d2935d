//! Reads for connections what is not in memory, on threads that may wait for a disk.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::app::SharedApp;
use crate::catalog::Content;
use crate::storage::ServeError;

/// Blocks that are read at the same time: enough for a disk to sort them, few enough that a disk which does not answer
/// costs no more than this many threads.
const MAX_READS: usize = 32;

/// The places of those who read.
#[derive(Debug)]
pub(super) struct Reads {
    places: Arc<Semaphore>,
}

impl Default for Reads {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_READS)) }
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
        let place = Arc::clone(&self.places).acquire_owned().await.expect("invariant: it is never closed");
        let (app, shared, online) = (Arc::clone(app), Arc::clone(content), online.clone());
        let read = spawn_blocking(move || {
            // It ends with the read, not with who waits for it.
            let _place = place;
            let read = app.storage.read(&shared, &online, offset, length as usize);
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
}
