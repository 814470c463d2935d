//! Serves peers: accepts them and calls them, lets a session of crate `seeder` decide what they get, and sends it.
//!
//! One task for each connection, so that a peer that reads slowly holds up nobody; one task that unchokes. What is in
//! memory the tasks send themselves; what is not is read by threads that may wait for a disk.

mod about;
mod acquaintance;
mod connection;
mod end;
mod greet;
mod hand_out;
mod identities;
mod metadata;
mod outgoing;
mod reads;
mod registry;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod wanted;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use appliance::ByteRate;
use appliance::config::Limits;
use librqbit_utp::UtpSocketUdp;
use nix::sys::resource::{Resource, getrlimit};
use seeder::subscriber;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use torrent::InfoHash;

use super::places::Places;
use crate::app::SharedApp;
pub use about::{Encryption, Seen};
use acquaintance::Rosters;
use end::End;
use greet::Greeted;
use hand_out::HandOuts;
use identities::Identities;
use reads::Reads;
use registry::Registry;
use stream::Stream;

/// Most connected peers. What they ask for is bounded for each, so that this many fit into the smallest machine.
const MAX_PEERS: u64 = 10_000;

/// The part of all connections that one address may have.
const ADDRESS_PART: usize = 10;

/// Rest after an accept that failed for want of descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The peers, and what they share.
#[derive(Debug)]
pub struct Peers {
    registry: Registry,
    identities: Identities,
    places: Places,
    reads: Reads,
    rosters: Rosters,
    hand_outs: HandOuts,
    /// Bytes of blocks that were sent to anybody.
    uploaded: AtomicU64,
    /// `None` until [`run`], and where there is no UDP.
    utp: OnceLock<Utp>,
}

/// The uTP socket.
struct Utp(Arc<UtpSocketUdp>);

impl std::fmt::Debug for Utp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Utp").field(&self.0.bind_addr()).finish()
    }
}

impl Peers {
    /// Nobody yet, and at most as many as these limits and the descriptors allow.
    pub fn new(limits: &Limits) -> Self {
        let all = limits.connections.unwrap_or(usize::MAX).min(descriptors());
        let per_address = limits.connections_per_address.unwrap_or(all / ADDRESS_PART);
        Self {
            registry: Registry::default(),
            identities: Identities::default(),
            places: Places::new(all, per_address, |address| Some(subscriber(address))),
            reads: Reads::default(),
            rosters: Rosters::default(),
            hand_outs: HandOuts::new(limits.upload_rate.map(ByteRate::bytes_per_second)),
            uploaded: AtomicU64::new(0),
            utp: OnceLock::new(),
        }
    }

    /// Number of connected peers.
    pub fn len(&self) -> usize {
        self.registry.len()
    }

    /// At most so many of them, those first that are served fastest.
    pub fn busiest(&self, count: usize) -> Vec<Seen> {
        self.registry.busiest(count)
    }

    fn utp(&self) -> Option<&Arc<UtpSocketUdp>> {
        self.utp.get().map(|utp| &utp.0)
    }
}

/// Accepts and serves peers until `ending` is cancelled.
///
/// # Errors
/// None: a peer that can't be accepted is no reason to end.
pub async fn run(
    app: SharedApp,
    tcp: TcpListener,
    utp: Arc<UtpSocketUdp>,
    ending: CancellationToken,
) -> io::Result<()> {
    let tasks = TaskTracker::new();
    tasks.spawn(registry::unchoke(Arc::clone(&app), ending.clone()));
    // Said once.
    let _ = app.peers.utp.set(Utp(Arc::clone(&utp)));
    let (tcp, utp) = (Listener::Tcp(tcp), Listener::Utp(utp));
    tokio::join!(accept_all(&app, &tasks, &ending, tcp), accept_all(&app, &tasks, &ending, utp));
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// Where peers connect to.
enum Listener {
    Tcp(TcpListener),
    Utp(Arc<UtpSocketUdp>),
}

impl Listener {
    /// The next peer.
    async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), address))
            }
            Self::Utp(socket) => {
                let stream = socket.accept().await.map_err(io::Error::other)?;
                let address = stream.remote_addr();
                Ok((Stream::Utp(stream), address))
            }
        }
    }
}

/// Accepts all who come over one transport.
async fn accept_all(app: &SharedApp, tasks: &TaskTracker, ending: &CancellationToken, listener: Listener) {
    let next = async || {
        // Those who find no place wait to be accepted. But nobody keeps a place free for who may never come.
        app.peers.places.free().await;
        listener.accept().await
    };
    while let Some(accepted) = ending.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, address)) => admit(app, tasks, ending, stream, address),
            Err(error) => {
                tracing::warn!("a peer could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Serves a peer that has connected, unless there are too many, in all or from its address.
fn admit(
    app: &SharedApp,
    tasks: &TaskTracker,
    ending: &CancellationToken,
    stream: Stream,
    address: SocketAddr,
) {
    let places = &app.peers.places;
    let Some(place) = places.try_take(address.ip()) else {
        tracing::debug!("{address}: {}", End::TooMany);
        return;
    };
    let (app, ending) = (Arc::clone(app), ending.clone());
    tasks.spawn(async move {
        let end = ending.run_until_cancelled(listen(&app, stream, address)).await;
        drop(place);
        if let Some(end) = end {
            tracing::debug!("{address}: {end}");
        }
    });
}

/// Serves a peer that has connected until one side has enough; tells why.
async fn listen(app: &SharedApp, stream: Stream, address: SocketAddr) -> End {
    match greet::answer(app, stream, address).await {
        Ok(greeted) => serve(app, greeted).await,
        Err(end) => end,
    }
}

/// Calls a peer that wants a torrent, and serves it until one side has enough; tells whether there was a place for it,
/// without which it is not called.
pub async fn connect(app: &SharedApp, info_hash: InfoHash, address: SocketAddr) -> bool {
    let end = match speak(app, info_hash, address).await {
        Ok(end) | Err(end) => end,
    };
    tracing::debug!("{address}: called: {end}");
    !matches!(end, End::TooMany)
}

async fn speak(app: &SharedApp, info_hash: InfoHash, address: SocketAddr) -> Result<End, End> {
    let place = app.peers.places.try_free().ok_or(End::TooMany)?;
    let _place = app.peers.places.take(place, address.ip()).ok_or(End::TooMany)?;
    let greeted = greet::call(app, info_hash, address).await?;
    Ok(serve(app, greeted).await)
}

/// Serves a peer, unless it is served over another connection.
async fn serve(app: &SharedApp, mut greeted: Greeted) -> End {
    match app.peers.identities.claim(&mut greeted).await {
        Ok(claim) => connection::serve(app, greeted, &claim).await,
        Err(end) => end,
    }
}

/// Half of the descriptors: the other half is for files, the page and the tracker.
fn descriptors() -> usize {
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from((descriptors / 2).min(MAX_PEERS)).unwrap_or(512)
}
