//! Local service discovery (BEP 14): tells the networks that the box is in what it has, and hears what others there want.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use discovery::Turns;
use discovery::candidates::{Source, Tip};
use discovery::local::{GROUP_V4, GROUP_V6, MAX_HASHES, MAX_MESSAGE, Search};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tracker::address::Scope;

use super::interfaces::{self, Interface};
use super::{hear, public_names};
use crate::app::{App, SharedApp};
use crate::random;

/// Time between two messages on a network, however many items there are (BEP 14).
const MESSAGE: Duration = Duration::from_mins(1);

/// How often each item is announced, if they are not too many for that. Whoever wants one of those that are announced
/// less often says so and is called.
const PERIOD: Duration = Duration::from_mins(5);

/// Wait after a message that could not be received, so that a lasting error does not keep the processor busy.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// Speaks and listens until `ending` is cancelled.
///
/// # Errors
/// When the system has no randomness. A network that can't be used is no reason to end.
pub async fn run(app: SharedApp, ending: CancellationToken) -> io::Result<()> {
    let listener = app.listeners.peer.ip();
    if !app.config.discovery.local || !app.is_public() || listener.is_loopback() {
        ending.cancelled().await;
        return Ok(());
    }
    let cookie = format!("{:08x}", u32::from_ne_bytes(random::bytes()?));
    let open = |group: SocketAddr| {
        let opened = Group::open(group, listener);
        opened.inspect_err(|error| tracing::info!("there is no local discovery over {group}: {error}")).ok()
    };
    let v4 = (listener.is_ipv4() || listener.is_unspecified()).then(|| open(GROUP_V4.into())).flatten();
    let v6 = listener.is_ipv6().then(|| open(GROUP_V6.into())).flatten();
    let both = [v4.as_ref(), v6.as_ref()];
    tokio::select! {
        () = listen(&app, both[0], &cookie) => {}
        () = listen(&app, both[1], &cookie) => {}
        () = speak(&app, both, &cookie) => {}
        () = ending.cancelled() => {}
    }
    Ok(())
}

/// Never ends.
async fn listen(app: &App, group: Option<&Group>, cookie: &str) {
    let Some(group) = group else { return std::future::pending().await };
    let mut buffer = [0; MAX_MESSAGE];
    loop {
        let Ok((length, source)) = group.receiver.recv_from(&mut buffer).await else {
            tokio::time::sleep(ERROR_PAUSE).await;
            continue;
        };
        let search = Search::parse(&buffer[..length]);
        let Some(search) = search.filter(|search| search.cookie.as_deref() != Some(cookie)) else { continue };
        let (teller, address) = (source.ip(), SocketAddr::new(source.ip(), search.port));
        if !group.is_near(teller) {
            continue;
        }
        for info_hash in search.info_hashes {
            hear(app, &Tip { info_hash, address, source: Source::Local, teller });
        }
    }
}

/// Never ends.
async fn speak(app: &App, groups: [Option<&Group>; 2], cookie: &str) {
    let mut turns = Turns::new(PERIOD);
    loop {
        let networks = interfaces::all().unwrap_or_default();
        for group in groups.iter().flatten() {
            group.join(&networks);
        }
        let info_hashes = turns.take(Instant::now(), &public_names(app), MAX_HASHES);
        if !info_hashes.is_empty() {
            let port = app.listeners.peer.port();
            let search = Search { port, info_hashes, cookie: Some(cookie.to_owned()) };
            for group in groups.iter().flatten() {
                group.send(&networks, &search).await;
            }
        }
        tokio::time::sleep(MESSAGE).await;
    }
}

/// One of the two groups.
struct Group {
    address: SocketAddr,
    /// At the group's own address, so that nothing arrives that was sent to the box alone, from wherever; with the same
    /// port as those of all clients on this machine.
    receiver: UdpSocket,
    /// At the address where the box takes connections, which is what receivers see.
    sender: UdpSocket,
    /// Where it listens.
    networks: Mutex<Vec<Interface>>,
}

impl Group {
    fn open(address: SocketAddr, listener: IpAddr) -> io::Result<Self> {
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let from = if listener.is_unspecified() { any } else { listener };
        let receiver = Self::bind(address, true)?;
        let sender = Self::bind(SocketAddr::new(from, 0), false)?;
        let socket = SockRef::from(&sender);
        if address.is_ipv4() {
            socket.set_multicast_ttl_v4(1)?;
        } else {
            socket.set_multicast_hops_v6(1)?;
        }
        Ok(Self { address, receiver, sender, networks: Mutex::default() })
    }

    fn bind(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(shared)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    }

    /// Listens on these networks too. It fails on those where it does so already, and on those without multicast.
    fn join(&self, networks: &[Interface]) {
        let socket = SockRef::from(&self.receiver);
        for (index, _) in self.of_family(networks) {
            let _ = match self.address.ip() {
                IpAddr::V4(group) => {
                    socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
                }
                IpAddr::V6(group) => socket.join_multicast_v6(&group, index),
            };
        }
        *self.networks.lock().unwrap_or_else(PoisonError::into_inner) = networks.to_vec();
    }

    /// Whether an address can be that of a neighbour, who would be called there. Anything can be written into a packet
    /// as its source: nobody may have strangers called by that.
    fn is_near(&self, source: IpAddr) -> bool {
        let is_local = matches!(Scope::of(source), Some(Scope::Loopback | Scope::Local));
        let networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        is_local && networks.iter().any(|network| network.is_on_network(source))
    }

    /// Sends a message on each of these networks. One that can't be sent is lost like any other packet.
    async fn send(&self, networks: &[Interface], search: &Search) {
        let packet = search.to_bytes(self.address);
        for (index, address) in self.of_family(networks) {
            let socket = SockRef::from(&self.sender);
            let chosen = match address {
                IpAddr::V4(address) => socket.set_multicast_if_v4(&address),
                IpAddr::V6(_) => socket.set_multicast_if_v6(index),
            };
            if chosen.is_ok() {
                let _ = self.sender.send_to(&packet, self.address).await;
            }
        }
    }

    /// The networks of this address family: index and one address of each.
    fn of_family(&self, networks: &[Interface]) -> BTreeMap<u32, IpAddr> {
        let family = |address: &IpAddr| address.is_ipv4() == self.address.is_ipv4() && !address.is_loopback();
        networks.iter().filter(|it| family(&it.address)).map(|it| (it.index, it.address)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        Group::open(SocketAddr::new((*GROUP_V4.ip()).into(), 0), Ipv4Addr::LOCALHOST.into()).unwrap()
    }

    #[tokio::test]
    async fn only_what_is_sent_to_the_group_arrives() {
        let group = group();
        let target = group.receiver.local_addr().unwrap();
        SockRef::from(&group.receiver).join_multicast_v4(GROUP_V4.ip(), &Ipv4Addr::LOCALHOST).unwrap();
        SockRef::from(&group.sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        group.sender.send_to(b"to the box", (Ipv4Addr::LOCALHOST, target.port())).await.unwrap();
        group.sender.send_to(b"to the group", target).await.unwrap();
        let mut buffer = [0; 64];
        let (length, _) = group.receiver.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..length].escape_ascii().to_string(), "to the group");
    }

    #[tokio::test]
    async fn only_neighbours_are_believed() {
        let group = group();
        let network = |address: &str, netmask: &str| Interface {
            index: 1,
            address: address.parse().unwrap(),
            netmask: netmask.parse().unwrap(),
        };
        let own = [network("192.168.1.2", "255.255.255.0"), network("203.0.113.2", "255.255.255.0")];
        assert!(!group.is_near("192.168.1.9".parse().unwrap()), "it listens nowhere yet");
        group.join(&own);
        for (source, is_near) in
            [("192.168.1.9", true), ("192.168.2.9", false), ("203.0.113.9", false), ("127.0.0.1", false)]
        {
            assert_eq!(group.is_near(source.parse().unwrap()), is_near, "{source}");
        }
    }
}
