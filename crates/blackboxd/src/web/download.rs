//! The bytes of a file on their way to one client.
//!
//! A task for each download reads ahead of the client by a part or two. Each part is read and *then* the file is
//! compared with what was hashed, before anything of the part is sent; so a change is noticed no later than its bytes.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use seeder::Standing;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracker::members::MemberId;

use crate::app::SharedApp;
use crate::catalog::Content;
use crate::net::http::Body;
use crate::net::places::TakenPlace;
use crate::storage::{OpenFile, ServeError, check_damage};

/// Bytes that are read at once: enough that the switch to a reading thread costs little, small enough that hundreds
/// of slow clients, for each of which three parts can be in memory, fit into the smallest machine.
const MAX_PART: u32 = 64 * 1024;

/// With an upload limit, parts are not smaller than a block of the peer protocol.
const MIN_PART: u32 = 16 * 1024;

/// With an upload limit, a part is what it lets through in this fraction of a second, so that a download does not
/// hold up the peers by large portions.
const PARTS_PER_SECOND: u64 = 64;

/// What is downloaded.
pub(super) struct Download {
    pub(super) app: SharedApp,
    pub(super) content: Arc<Content>,
    /// Who downloads, where that matters.
    pub(super) member: Option<MemberId>,
    /// Cancelled when the content is no longer served.
    pub(super) online: CancellationToken,
    pub(super) file: Arc<OpenFile>,
    /// Where the file begins in the content.
    pub(super) start: u64,
}

/// Why the rest of a file is not sent.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error("{0:?} is no longer served")]
    Offline(String),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("reading was given up: {0}")]
    Reader(#[from] tokio::task::JoinError),
}

impl Download {
    /// Sends bytes `range` of the file. `place` is given back at the end.
    pub(super) fn start(self, range: Range<u64>, place: TakenPlace) -> Body {
        let (parts, body) = mpsc::channel(1);
        tokio::spawn(async move {
            if let Err(error) = self.run(range, &parts).await {
                tracing::info!("a download was broken off: {error}");
                if let BrokenOff::Serve(error) = &error {
                    self.app.look_again(&self.content, error);
                }
                // Tells the connection to end without pretending that all is there.
                let _ = parts.send(Err(io::Error::other(error))).await;
            }
            drop(place);
        });
        Body::Stream(body)
    }

    /// Ends when all is sent or the client is gone.
    async fn run(&self, range: Range<u64>, parts: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), BrokenOff> {
        let part_size = u64::from(part_size(self.app.upload.bytes_per_second()));
        let mut offset = range.start;
        while offset < range.end {
            let length = part_size.min(range.end - offset);
            let size = usize::try_from(length).expect("invariant: at most MAX_PART");
            tokio::select! {
                turn = self.app.upload.turn(self.content.info_hash(), Standing::default()) => turn.spend(size),
                () = parts.closed() => return Ok(()),
            }
            let file = Arc::clone(&self.file);
            let part = tokio::task::spawn_blocking(move || {
                let mut part = vec![0; size];
                file.read(&mut part, offset).map(|()| Bytes::from(part))
            });
            let part = part.await??;
            check_damage(&self.content, self.start + offset, length)?;
            if self.online.is_cancelled() {
                return Err(BrokenOff::Offline(self.content.name.clone()));
            }
            if parts.send(Ok(part)).await.is_err() {
                return Ok(());
            }
            self.content.counters.uploaded.fetch_add(length, Ordering::Relaxed);
            self.content.counters.over_http.fetch_add(length, Ordering::Relaxed);
            if let Some(member) = self.member {
                self.app.members.sent(member, length);
            }
            offset += length;
        }
        Ok(())
    }
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
