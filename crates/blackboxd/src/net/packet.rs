//! UDP packets with both of their addresses, many at a time.
//!
//! A socket bound to all addresses does not tell by itself which of them a packet was sent to. The tracker must know:
//! it hands that address out as the box's own, and the answer must leave from it or the client does not take it. One that
//! is bound to an address has no other, and is not asked.
//!
//! Most of what a packet costs is the way into the kernel and back, so as many as there are go through it at once.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg,
    setsockopt, sockopt,
};

/// Packets that are received, or sent, at once.
const BATCH: usize = 32;

/// Bytes that the kernel may keep for the socket in each direction, if it is allowed that many: small packets of a tenth of
/// a second at 100,000 a second, so that none is lost while the thread waits for its turn.
const KERNEL_BUFFER: usize = 4 << 20;

/// A packet's addresses.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Where it came from, as the socket sees it (IPv4 may be mapped).
    pub source: SocketAddr,
    /// Which of our addresses it was sent to, likewise.
    pub local: IpAddr,
}

/// Makes the socket tell where packets were sent to, and wait no longer than `patience` for one.
///
/// # Errors
/// When the system can't.
pub fn prepare(socket: &UdpSocket, patience: Duration) -> io::Result<()> {
    match socket.local_addr()?.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        // Also tells it of IPv4 packets, as mapped addresses.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        _ => {}
    }
    setsockopt(socket, sockopt::RcvBuf, &KERNEL_BUFFER)?;
    setsockopt(socket, sockopt::SndBuf, &KERNEL_BUFFER)?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(patience))
}

/// Receives packets and sends the answers. Keeps the memory for both.
pub struct Exchange<'a, const LONGEST: usize> {
    socket: &'a UdpSocket,
    /// What it is bound to, if that is one address.
    bound: Option<IpAddr>,
    incoming: MultiHeaders<SockaddrStorage>,
    outgoing: MultiHeaders<SockaddrStorage>,
    buffers: Box<[[u8; LONGEST]; BATCH]>,
    /// Lengths and addresses of the packets in the first buffers.
    packets: Vec<(usize, Addresses)>,
    answers: [Vec<u8>; BATCH],
    /// Where the first of the answers go to, and which of our addresses they leave from.
    targets: Vec<Option<SockaddrStorage>>,
    locals: Vec<IpAddr>,
}

impl<'a, const LONGEST: usize> Exchange<'a, LONGEST> {
    /// For packets of at most so many bytes; what is longer comes without its end.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn new(socket: &'a UdpSocket) -> io::Result<Self> {
        let address = socket.local_addr()?.ip();
        let bound = Some(address).filter(|address| !address.is_unspecified());
        Ok(Self {
            socket,
            bound,
            incoming: headers(address),
            outgoing: headers(address),
            buffers: vec![[0; LONGEST]; BATCH].try_into().expect("invariant: as many as that"),
            packets: Vec::with_capacity(BATCH),
            answers: [const { Vec::new() }; BATCH],
            targets: Vec::with_capacity(BATCH),
            locals: Vec::with_capacity(BATCH),
        })
    }

    /// Waits for packets and answers them: `answer` gets each and writes what is to be sent, or nothing. An answer leaves
    /// from the address that the packet came to. What can't be sent at once is lost, as any packet may be.
    ///
    /// # Errors
    /// As the system says when it has received nothing, [`io::ErrorKind::WouldBlock`] after the socket's patience; the
    /// next packets may be fine.
    pub fn turn(&mut self, mut answer: impl FnMut(&[u8], &Addresses, &mut Vec<u8>)) -> io::Result<()> {
        self.receive()?;
        self.targets.clear();
        self.locals.clear();
        for (buffer, (length, addresses)) in self.buffers.iter().zip(&self.packets) {
            let packet = &mut self.answers[self.targets.len()];
            packet.clear();
            answer(&buffer[..*length], addresses, packet);
            if !packet.is_empty() {
                self.targets.push(Some(addresses.source.into()));
                self.locals.push(addresses.local);
            }
        }
        self.send();
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        self.packets.clear();
        let mut parts = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let flags = MsgFlags::MSG_WAITFORONE;
        let messages = recvmmsg(self.socket.as_raw_fd(), &mut self.incoming, &mut parts, flags, None)?;
        for message in messages {
            let source = message.address.as_ref().and_then(socket_address);
            let told = || message.cmsgs().ok().into_iter().flatten().find_map(|told| local_address(&told));
            let Some((source, local)) = source.zip(self.bound.or_else(told)) else {
                // The headers tell the kernel next time how much it said this time.
                self.incoming = headers(self.socket.local_addr()?.ip());
                return Err(io::Error::other("a packet without source or destination"));
            };
            self.packets.push((message.bytes, Addresses { source, local }));
        }
        Ok(())
    }

    fn send(&mut self) {
        let parts = self.answers.each_ref().map(|answer| [IoSlice::new(answer)]);
        let mut at = 0;
        for group in self.locals.chunk_by(|one, other| one == other) {
            let end = at + group.len();
            while at < end {
                let sent = with_source(group[0], |source| {
                    let (parts, targets) = (&parts[at..end], &self.targets[at..end]);
                    let descriptor = self.socket.as_raw_fd();
                    let source = if self.bound.is_some() { &[] } else { &[source][..] };
                    sendmmsg(descriptor, &mut self.outgoing, parts, targets, source, MsgFlags::MSG_DONTWAIT)
                        .map_or(0, Iterator::count)
                });
                // If it can't send the first it sends none; then that one is given up.
                at += sent.max(1);
            }
        }
    }
}

/// For a batch through a socket that is bound to this, with room for what the kernel says of a packet, or is told.
fn headers(bound: IpAddr) -> MultiHeaders<SockaddrStorage> {
    let control = if bound.is_ipv4() { cmsg_space!(in_pktinfo) } else { cmsg_space!(in6_pktinfo) };
    MultiHeaders::preallocate(BATCH, bound.is_unspecified().then_some(control))
}

/// What makes a packet leave from `local`.
fn with_source<T>(local: IpAddr, send: impl FnOnce(ControlMessage<'_>) -> T) -> T {
    match local {
        IpAddr::V4(local) => {
            let local = in_addr { s_addr: u32::from_ne_bytes(local.octets()) };
            let any = in_addr { s_addr: 0 };
            let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: local, ipi_addr: any };
            send(ControlMessage::Ipv4PacketInfo(&info))
        }
        IpAddr::V6(local) => {
            let local = in6_addr { s6_addr: local.octets() };
            send(ControlMessage::Ipv6PacketInfo(&in6_pktinfo { ipi6_addr: local, ipi6_ifindex: 0 }))
        }
    }
}

fn local_address(message: &ControlMessageOwned) -> Option<IpAddr> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
        _ => None,
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn client(target: SocketAddr) -> UdpSocket {
        let client = UdpSocket::bind((target.ip(), 0)).unwrap();
        client.connect(target).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// Packets sent to `targets` are answered from there, through a socket bound to `bound`.
    fn check(bound: &str, targets: &[IpAddr]) {
        let server = UdpSocket::bind((bound, 0)).unwrap();
        prepare(&server, PATIENCE).unwrap();
        let port = server.local_addr().unwrap().port();
        let clients: Vec<_> = targets.iter().map(|target| client(SocketAddr::new(*target, port))).collect();
        // The same exchange does it again and again.
        let mut exchange = Exchange::<8>::new(&server).unwrap();
        for round in 0..3 {
            for client in &clients {
                client.send(b"ask").unwrap();
                client.send(b"silence").unwrap();
            }
            let mut asked = 0;
            while asked < 2 * clients.len() {
                let turn = exchange.turn(|packet, addresses, answer| {
                    asked += 1;
                    if packet == b"ask" {
                        answer.extend_from_slice(addresses.local.to_canonical().to_string().as_bytes());
                    }
                });
                turn.unwrap();
            }
            for (client, target) in clients.iter().zip(targets) {
                let mut buffer = [0; 64];
                // A connected socket takes nothing from another address.
                let length = client.recv(&mut buffer).unwrap();
                assert_eq!(buffer[..length], *target.to_string().as_bytes(), "{bound}, round {round}");
            }
        }
    }

    #[test]
    fn answers_leave_from_the_address_that_was_asked() {
        let second = IpAddr::from([127, 0, 0, 2]);
        check("0.0.0.0", &[second, Ipv4Addr::LOCALHOST.into(), second]);
        check("127.0.0.2", &[second]);
        if UdpSocket::bind("[::1]:0").is_ok() {
            check("::", &[second, Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
        }
    }

    #[test]
    fn more_packets_than_fit_into_a_batch_are_all_answered() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        prepare(&server, PATIENCE).unwrap();
        let client = client(server.local_addr().unwrap());
        let count = u8::try_from(2 * BATCH + 1).unwrap();
        (0..count).for_each(|number| assert_eq!(client.send(&[number]).unwrap(), 1));
        let mut exchange = Exchange::<8>::new(&server).unwrap();
        let mut asked = 0;
        while asked < count {
            let turn = exchange.turn(|packet, _, answer| {
                asked += 1;
                answer.extend_from_slice(packet);
            });
            turn.unwrap();
        }
        let mut buffer = [0; 8];
        for number in 0..count {
            assert_eq!((client.recv(&mut buffer).unwrap(), buffer[0]), (1, number));
        }
    }

    #[test]
    fn patience_ends() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        prepare(&server, Duration::from_millis(1)).unwrap();
        let turn = Exchange::<8>::new(&server).unwrap().turn(|_, _, _| {});
        assert_eq!(turn.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
