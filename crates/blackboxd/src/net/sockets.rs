//! The listening sockets.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Context;
use librqbit_utp::{SocketOpts, UtpSocketUdp, UtpSocketUdpOpts};
use seeder::SILENCE_LIMIT;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;

use crate::app::Listeners;
use crate::runtimes::Runtimes;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// Free ports tried until one is free for TCP and UDP alike.
const MAX_TRIES: usize = 32;

/// Connections over uTP at most. Each has buffers in this process.
const UTP_CONNECTIONS: usize = 1000;

/// Bytes that each of them may have on the way here, where only requests come from, and to the peer.
const UTP_RECEIVE: usize = 32 * 1024;
const UTP_SEND: usize = 128 * 1024;

/// Everything the daemon listens on.
pub struct Sockets {
    /// The page.
    pub web: TcpListener,
    /// HTTP tracker.
    pub tracker_http: TcpListener,
    /// UDP tracker, on the same port. A thread waits for it.
    pub tracker_udp: std::net::UdpSocket,
    /// Peers over TCP.
    pub peer: TcpListener,
    /// Peers over uTP, on the same port.
    pub peer_utp: Arc<UtpSocketUdp>,
    /// The node of the DHT, if there is to be one and a port can be had.
    pub dht: Option<UdpSocket>,
    /// Where they really are.
    pub addresses: Listeners,
}

/// Opens all listeners; port 0 picks a free port. They belong to these runtimes.
///
/// # Errors
/// With the option and address that can't be had.
pub fn open(
    runtimes: &Runtimes,
    web: SocketAddr,
    tracker: SocketAddr,
    peer: SocketAddr,
    with_dht: bool,
) -> anyhow::Result<Sockets> {
    let _entered = runtimes.net.enter();
    let web = tcp(web).with_context(|| format!("--web {web} can't be used"))?;
    let (tracker_http, tracker_udp) = {
        let _entered = runtimes.tracker.enter();
        pair(tracker, udp_of_a_thread).with_context(|| format!("--tracker {tracker} can't be used"))?
    };
    let (peer, peer_utp) = pair(peer, |address| utp(&runtimes.peers, address))
        .with_context(|| format!("--peer {peer} can't be used"))?;
    let dht = with_dht.then(|| beside(peer.local_addr()?)).transpose().unwrap_or_else(|error| {
        tracing::warn!("there is no port for the DHT: {error}");
        None
    });
    let addresses = Listeners {
        web: web.local_addr()?,
        tracker: tracker_http.local_addr()?,
        peer: peer.local_addr()?,
        dht: dht.as_ref().map(UdpSocket::local_addr).transpose()?,
    };
    Ok(Sockets { web, tracker_http, tracker_udp, peer, peer_utp, dht, addresses })
}

/// A socket on the port after this one, or on any.
fn beside(address: SocketAddr) -> io::Result<UdpSocket> {
    let next = address.port().checked_add(1).unwrap_or(0);
    udp(SocketAddr::new(address.ip(), next)).or_else(|_| udp(SocketAddr::new(address.ip(), 0)))
}

/// TCP and something over UDP on the same port.
fn pair<T>(
    address: SocketAddr,
    over_udp: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<(TcpListener, T)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let tcp = tcp(address)?;
        match over_udp(tcp.local_addr()?) {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && address.port() == 0 && tries < MAX_TRIES => {}
            result => return Ok((tcp, result?)),
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::from_std(udp_of_a_thread(address)?)
}

fn udp_of_a_thread(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    Ok(bind(address, Type::DGRAM, Protocol::UDP)?.into())
}

fn utp(runtime: &Runtime, address: SocketAddr) -> io::Result<Arc<UtpSocketUdp>> {
    let options = SocketOpts {
        max_live_vsocks: NonZeroUsize::new(UTP_CONNECTIONS),
        vsock_rx_bufsize_bytes: NonZeroUsize::new(UTP_RECEIVE),
        vsock_tx_bufsize_bytes_max: NonZeroUsize::new(UTP_SEND),
        // Peers say something every two minutes (BEP 3); the session decides who has been silent for too long.
        remote_inactivity_timeout: Some(2 * SILENCE_LIMIT),
        ..SocketOpts::default()
    };
    // It binds by itself, and does not say so plainly whether the port is taken.
    drop(udp(address)?);
    let opened = UtpSocketUdp::new_udp_with_opts(address, options, UtpSocketUdpOpts::default());
    runtime.block_on(opened).map_err(io::Error::other)
}

/// A bound socket. An IPv6 wildcard serves IPv4 too, whatever the system's default is; where there is no IPv6 it serves
/// IPv4 alone.
fn bind(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let open = |address: SocketAddr| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        if kind == Type::STREAM {
            socket.set_reuse_address(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    match open(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != ErrorKind::AddrInUse => {
            open((Ipv4Addr::UNSPECIFIED, address.port()).into()).map_err(|_| error)
        }
        result => result,
    }
}
