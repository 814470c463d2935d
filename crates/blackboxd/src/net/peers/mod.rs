//! Serves peers: accepts them, lets a session of crate `seeder` decide what they get, and sends it.
//!
//! One task for each connection, so that a peer that reads slowly holds up nobody; one task that unchokes. What is in
//! memory the tasks send themselves; what is not is read by threads that may wait for a disk.

mod connection;
mod metadata;
mod outgoing;
mod reads;
mod registry;
mod source;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::SharedApp;
use reads::Reads;
pub use registry::Registry;
use stream::Stream;

/// Most connected peers. What they ask for is bounded for each, so that this many fit into the smallest machine.
const MAX_PEERS: u64 = 10_000;

/// Rest after an accept that failed for want of descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Accepts and serves peers until `ending` is cancelled.
///
/// # Errors
/// None: a peer that can't be accepted is no reason to end.
pub async fn run(app: SharedApp, listener: TcpListener, ending: CancellationToken) -> io::Result<()> {
    let tasks = TaskTracker::new();
    tasks.spawn(registry::unchoke(Arc::clone(&app), ending.clone()));
    let places = Arc::new(Semaphore::new(places()));
    let reads = Arc::new(Reads::default());
    while let Some(accepted) = ending.run_until_cancelled(accept(&listener, &places)).await {
        match accepted {
            Ok((stream, address, place)) => {
                let (app, reads, ending) = (Arc::clone(&app), Arc::clone(&reads), ending.clone());
                tasks.spawn(async move {
                    let served = connection::serve(&app, &reads, Stream::Tcp(stream), address);
                    if let Some(end) = ending.run_until_cancelled(served).await {
                        tracing::debug!("{address}: {end}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("a peer could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, std::net::SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, place))
}

/// Half of the descriptors: the other half is for files, the page and the tracker.
fn places() -> usize {
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from((descriptors / 2).min(MAX_PEERS)).unwrap_or(512)
}
