//! The box as a node of the DHT (BEP 5): everything that is for everybody is announced there, and found by a magnet link
//! alone.
//!
//! One task with one socket, which speaks for two nodes: that of IPv4 and that of IPv6 (BEP 32).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use appliance::config::HostPort;
use discovery::Turns;
use discovery::candidates::{Source, Tip};
use discovery::dht::{Config, Dht, Event, MAX_LOOKUPS, MAX_PACKET, NodeId, Random};
use tokio::net::{UdpSocket, lookup_host};
use tokio::task::spawn_blocking;
use tokio::time::{interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::nodes::{self, Family, Saved};
use super::{hear, public_names};
use crate::app::{App, SharedApp};
use crate::random;

/// How often each item is announced, if they are not too many for that; nodes forget after half an hour or more.
const PERIOD: Duration = Duration::from_mins(20);

/// How often is looked whose turn it is. About as long as an announcement takes, of which there are
/// [`MAX_LOOKUPS`] at a time: so this bounds the work, however many items there are.
const TURN: Duration = Duration::from_secs(5);

/// Wait after an attempt to enter the DHT, and the longest, as it is doubled each time.
const ENTER_AGAIN: Duration = Duration::from_secs(15);
const ENTER_AGAIN_LIMIT: Duration = Duration::from_mins(30);

/// How often the known nodes are kept.
const SAVE: Duration = Duration::from_mins(10);

/// Wait after a packet that could not be received, so that a lasting error does not keep the processor busy.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Nodes that peers told of and that are not asked yet.
const MAX_TOLD: usize = 32;

/// Nodes that peers have told of (BEP 5, the message "port").
#[derive(Debug, Default)]
pub struct Told(Mutex<Vec<SocketAddr>>);

impl Told {
    /// A peer says that there is a node.
    pub fn add(&self, node: SocketAddr) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MAX_TOLD {
            told.push(node);
        }
    }

    fn take(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes part in the DHT through `socket` until `ending` is cancelled; without a socket it only waits for that.
///
/// # Errors
/// When the system has no randomness.
pub async fn run(app: SharedApp, socket: Option<UdpSocket>, ending: CancellationToken) -> io::Result<()> {
    let Some(socket) = socket else {
        ending.cancelled().await;
        return Ok(());
    };
    let state = app.state.clone();
    let saved = spawn_blocking(move || nodes::load(&state)).await?;
    let mut nodes = Nodes::new(&app, &socket, &saved)?;
    let mut turn = interval_at((Instant::now() + TURN).into(), TURN);
    let mut saving = interval_at((Instant::now() + SAVE).into(), SAVE);
    let entrances: Vec<SocketAddr> = saved.v4.nodes.into_iter().chain(saved.v6.nodes).collect();
    let mut entering = Box::pin(entrances_after(Duration::ZERO, &app.config.discovery.dht_nodes));
    let mut pause = ENTER_AGAIN;
    nodes.enter(&entrances);
    let mut buffer = [0; MAX_PACKET];
    // From now on packets can be sent without waiting.
    socket.writable().await?;
    loop {
        nodes.flush(&app, &socket);
        if !nodes.is_any_alone() && pause > ENTER_AGAIN {
            // Should one be alone again, it does not wait for what was long ago.
            pause = ENTER_AGAIN;
            entering = Box::pin(entrances_after(pause, &app.config.discovery.dht_nodes));
        }
        tokio::select! {
            () = ending.cancelled() => break,
            received = socket.recv_from(&mut buffer) => match received {
                Ok((length, source)) => nodes.receive(&buffer[..length], source),
                Err(_) => tokio::time::sleep(ERROR_PAUSE).await,
            },
            () = sleep_until(nodes.next_deadline().into()) => nodes.handle_timeout(),
            _ = turn.tick() => nodes.announce(&app),
            _ = saving.tick() => save(&app, nodes.to_save()).await,
            found = &mut entering, if nodes.is_any_alone() => {
                nodes.enter(&found);
                nodes.enter(&entrances);
                entering = Box::pin(entrances_after(pause, &app.config.discovery.dht_nodes));
                pause = (2 * pause).min(ENTER_AGAIN_LIMIT);
            }
        }
    }
    save(&app, nodes.to_save()).await;
    Ok(())
}

/// Keeps the nodes that are known, if any are: otherwise those from before may be of more use.
async fn save(app: &SharedApp, known: Option<Saved>) {
    let Some(known) = known else { return };
    let app = Arc::clone(app);
    let saving = spawn_blocking(move || nodes::save(&app.state, &known));
    if let Ok(Err(error)) = saving.await {
        tracing::debug!("the nodes of the DHT are not kept: {error}");
    }
}

/// The addresses of these nodes, looked up after a while. What can't be looked up is left out: there may be no Internet.
async fn entrances_after(pause: Duration, nodes: &[HostPort]) -> Vec<SocketAddr> {
    tokio::time::sleep(pause).await;
    let mut found = Vec::new();
    for HostPort { host, port } in nodes {
        if let Ok(addresses) = lookup_host((host.as_str(), *port)).await {
            found.extend(addresses);
        }
    }
    found
}

/// The nodes of both address families, as far as the socket has them.
struct Nodes {
    nodes: Vec<(Dht, Turns)>,
    /// Whether IPv4 addresses have to be mapped for the socket.
    is_v6_socket: bool,
}

impl Nodes {
    fn new(app: &App, socket: &UdpSocket, saved: &Saved) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let is_v6_socket = address.is_ipv6();
        let mut nodes = Vec::new();
        for (v6, family) in [(false, &saved.v4), (true, &saved.v6)] {
            if v6 == is_v6_socket || (is_v6_socket && address.ip().is_unspecified()) {
                let id = family.id().map_or_else(|| random::bytes().map(NodeId), Ok)?;
                let port = app.listeners.peer.port();
                // Only the first use of it may find the system without.
                let chance: Random = Box::new(|| random::bytes().map_or(0, u64::from_ne_bytes));
                let config = Config { id, v6, port, key: random::bytes()?, random: chance };
                nodes.push((Dht::new(Instant::now(), config), Turns::new(PERIOD)));
            }
        }
        Ok(Self { nodes, is_v6_socket })
    }

    fn is_any_alone(&self) -> bool {
        self.nodes.iter().any(|(dht, _)| dht.is_alone())
    }

    /// Enters the DHT where no other node is known.
    fn enter(&mut self, entrances: &[SocketAddr]) {
        for (dht, _) in self.nodes.iter_mut().filter(|(dht, _)| dht.is_alone()) {
            dht.enter(Instant::now(), entrances.iter().copied());
        }
    }

    fn receive(&mut self, packet: &[u8], source: SocketAddr) {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        for (dht, _) in &mut self.nodes {
            dht.receive(Instant::now(), packet, source);
        }
    }

    fn next_deadline(&self) -> Instant {
        let deadlines = self.nodes.iter().map(|(dht, _)| dht.next_deadline());
        deadlines.min().unwrap_or_else(|| Instant::now() + TURN)
    }

    fn handle_timeout(&mut self) {
        for (dht, _) in &mut self.nodes {
            dht.handle_timeout(Instant::now());
        }
    }

    /// Announces those whose turn it is, and asks the nodes that peers have told of.
    fn announce(&mut self, app: &App) {
        let (now, names, told) = (Instant::now(), public_names(app), app.dht_told.take());
        for (dht, turns) in &mut self.nodes {
            for node in &told {
                dht.hear_of(now, *node);
            }
            let free = if dht.is_alone() { 0 } else { MAX_LOOKUPS.saturating_sub(dht.lookups()) };
            for info_hash in turns.take(now, &names, free) {
                dht.announce(now, info_hash);
            }
        }
    }

    /// Sends what there is to be sent, and takes note of what has happened.
    fn flush(&mut self, app: &App, socket: &UdpSocket) {
        for (dht, turns) in &mut self.nodes {
            while let Some((target, packet)) = dht.poll_transmit() {
                // A packet that can't be sent is lost like any other.
                let _ = socket.try_send_to(&packet, mapped(target, self.is_v6_socket));
            }
            while let Some(event) = dht.poll_event() {
                match event {
                    Event::Peer { info_hash, address, teller } => {
                        hear(app, &Tip { info_hash, address, source: Source::Dht, teller });
                    }
                    Event::Announced { info_hash, nodes: 0 } => turns.again(&info_hash),
                    Event::Announced { .. } => {}
                }
            }
        }
    }

    /// What is to be kept; `None` if no other nodes are known.
    fn to_save(&self) -> Option<Saved> {
        let family =
            |v6| self.nodes.iter().find(|(dht, _)| dht.is_v6() == v6).map(|(dht, _)| Family::of(dht));
        let is_any = self.nodes.iter().any(|(dht, _)| !dht.is_alone());
        is_any.then(|| Saved { v4: family(false).unwrap_or_default(), v6: family(true).unwrap_or_default() })
    }
}

/// The address as the socket takes it.
fn mapped(address: SocketAddr, is_v6_socket: bool) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if is_v6_socket => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}
