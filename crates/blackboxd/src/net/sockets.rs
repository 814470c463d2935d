//! The listening sockets.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::app::Listeners;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// Free ports tried until one is free for TCP and UDP alike.
const MAX_TRIES: usize = 32;

/// Everything the daemon listens on.
pub struct Sockets {
    /// The page.
    pub web: TcpListener,
    /// HTTP tracker.
    pub tracker_http: TcpListener,
    /// UDP tracker, on the same port.
    pub tracker_udp: UdpSocket,
    /// Peers.
    pub peer: TcpListener,
    /// Where they really are.
    pub addresses: Listeners,
}

/// Opens all listeners; port 0 picks a free port. Needs a runtime to be entered.
///
/// # Errors
/// With the option and address that can't be had.
pub fn open(web: SocketAddr, tracker: SocketAddr, peer: SocketAddr) -> anyhow::Result<Sockets> {
    let web = tcp(web).with_context(|| format!("--web {web} can't be used"))?;
    let (tracker_http, tracker_udp) =
        pair(tracker).with_context(|| format!("--tracker {tracker} can't be used"))?;
    let peer = tcp(peer).with_context(|| format!("--peer {peer} can't be used"))?;
    let addresses =
        Listeners { web: web.local_addr()?, tracker: tracker_http.local_addr()?, peer: peer.local_addr()? };
    Ok(Sockets { web, tracker_http, tracker_udp, peer, addresses })
}

/// TCP and UDP on the same port.
fn pair(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let tcp = tcp(address)?;
        match udp(tcp.local_addr()?) {
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
    UdpSocket::from_std(bind(address, Type::DGRAM, Protocol::UDP)?.into())
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
