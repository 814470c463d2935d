//! The bytes of a file on their way to one client.
//!
//! A task for each download reads ahead of the client by a part or two. Each part is read and *then* the file is
//! compared with what was hashed, before anything of the part is sent; so a change is noticed no later than its bytes.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::app::SharedApp;
use crate::catalog::Content;
use crate::net::http::Body;
use crate::storage::{OpenFile, ServeError};

/// Bytes that are read at once: enough that the switch to a reading thread costs little, small enough that hundreds
/// of slow clients, for each of which three parts can be in memory, fit into the smallest machine.
const MAX_PART: u32 = 64 * 1024;

/// With an upload limit, parts are not smaller than a block of the peer protocol.
const MIN_PART: u32 = 16 * 1024;

/// With an upload limit, a part is what it lets through in this fraction of a second, so that a download does not
/// hold up the peers by large portions.
const PARTS_PER_SECOND: u64 = 64;

/// Sends bytes `range` of `file`. `place` is given back at the end.
pub(super) fn start(
    app: SharedApp,
    content: Arc<Content>,
    file: Arc<OpenFile>,
    range: Range<u64>,
    place: OwnedSemaphorePermit,
) -> Body {
    let (parts, body) = mpsc::channel(1);
    let download = Download { app, content, file, parts };
    tokio::spawn(async move {
        if let Err(error) = download.run(range).await {
            tracing::info!("a download was broken off: {error}");
            download.app.inbox.item(download.content.info.name.as_ref());
            // Tells the connection to end without pretending that all is there.
            let _ = download.parts.send(Err(io::Error::other(error))).await;
        }
        drop(place);
    });
    Body::Stream(body)
}

struct Download {
    app: SharedApp,
    content: Arc<Content>,
    file: Arc<OpenFile>,
    parts: mpsc::Sender<io::Result<Bytes>>,
}

/// Why the rest of a file is not sent.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error("{0:?} is no longer published")]
    Retired(String),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("reading was given up: {0}")]
    Reader(#[from] tokio::task::JoinError),
}

impl Download {
    /// Ends when all is sent or the client is gone.
    async fn run(&self, range: Range<u64>) -> Result<(), BrokenOff> {
        let part_size = u64::from(part_size(self.app.upload.bytes_per_second()));
        let mut offset = range.start;
        while offset < range.end {
            let length = part_size.min(range.end - offset);
            #[expect(clippy::cast_possible_truncation, reason = "at most MAX_PART")]
            if !self.wait_for_turn(length as u32).await {
                return Ok(());
            }
            let file = Arc::clone(&self.file);
            let part = tokio::task::spawn_blocking(move || read(&file, offset, length)).await??;
            if self.content.retired.is_cancelled() {
                return Err(BrokenOff::Retired(self.content.info.name.clone()));
            }
            if self.parts.send(Ok(part)).await.is_err() {
                return Ok(());
            }
            self.content.counters.uploaded.fetch_add(length, Ordering::Relaxed);
            offset += length;
        }
        Ok(())
    }

    /// Waits until the upload limit lets `bytes` through; false when the client is gone.
    async fn wait_for_turn(&self, bytes: u32) -> bool {
        let Some(due) = self.app.upload.reserve(Instant::now(), bytes) else {
            return !self.parts.is_closed();
        };
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => true,
            () = self.parts.closed() => false,
        }
    }
}

/// Reads a part and makes sure that it is of the file that was hashed.
fn read(file: &OpenFile, offset: u64, length: u64) -> Result<Bytes, ServeError> {
    let mut part = vec![0; usize::try_from(length).expect("invariant: at most MAX_PART")];
    file.file().read_exact_at(&mut part, offset).map_err(|error| file.unreadable(error))?;
    file.check()?;
    Ok(part.into())
}

fn part_size(bytes_per_second: Option<u64>) -> u32 {
    let share = bytes_per_second.map_or(u64::MAX, |rate| rate / PARTS_PER_SECOND);
    u32::try_from(share).unwrap_or(u32::MAX).clamp(MIN_PART, MAX_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_the_upload_limit_between_their_bounds() {
        for (rate, size) in
            [(None, MAX_PART), (Some(1024), MIN_PART), (Some(2 << 20), 32 * 1024), (Some(1 << 30), MAX_PART)]
        {
            assert_eq!(part_size(rate), size, "{rate:?}");
        }
    }
}
