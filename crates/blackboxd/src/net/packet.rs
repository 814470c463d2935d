//! UDP packets with both of their addresses.
//!
//! A socket bound to all addresses does not tell by itself which of them a packet was sent to. The tracker must know:
//! it hands that address out as the box's own, and the answer must leave from it or the client does not take it.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A packet's addresses; its bytes are in the buffer.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Number of bytes.
    pub length: usize,
    /// Where it came from, as the socket sees it (IPv4 may be mapped).
    pub source: SocketAddr,
    /// Which of our addresses it was sent to, likewise.
    pub local: IpAddr,
}

/// Makes the socket tell where packets were sent to.
///
/// # Errors
/// When the system can't.
pub fn prepare(socket: &UdpSocket) -> io::Result<()> {
    if socket.local_addr()?.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    } else {
        // Also tells it of IPv4 packets, as mapped addresses.
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    Ok(())
}

/// Waits for a packet. What does not fit into `buffer` is lost.
///
/// # Errors
/// As the system says; the next packet may be fine.
pub async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    socket.async_io(Interest::READABLE, || receive_now(socket, buffer)).await
}

fn receive_now(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = cmsg_space!(in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let source = message.address.as_ref().and_then(socket_address);
    let source = source.ok_or_else(|| io::Error::other("a packet without a source"))?;
    let mut local = None;
    for info in message.cmsgs()? {
        match info {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                local = Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            _ => {}
        }
    }
    let local = local.ok_or_else(|| io::Error::other("a packet without a destination"))?;
    Ok(Received { length: message.bytes, source, local })
}

/// Sends an answer from the address that the packet came to. Does not wait: when the queue is full the answer is lost,
/// as any packet may be.
///
/// # Errors
/// As the system says.
pub fn answer(socket: &UdpSocket, to: &Received, bytes: &[u8]) -> io::Result<()> {
    let parts = [IoSlice::new(bytes)];
    let send = |info: ControlMessage<'_>| {
        let target = SockaddrStorage::from(to.source);
        sendmsg(socket.as_raw_fd(), &parts, &[info], MsgFlags::empty(), Some(&target))
    };
    match to.local {
        IpAddr::V4(local) => {
            let local = in_addr { s_addr: u32::from_ne_bytes(local.octets()) };
            let any = in_addr { s_addr: 0 };
            send(ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: local,
                ipi_addr: any,
            }))?
        }
        IpAddr::V6(local) => {
            let local = in6_addr { s6_addr: local.octets() };
            send(ControlMessage::Ipv6PacketInfo(&in6_pktinfo { ipi6_addr: local, ipi6_ifindex: 0 }))?
        }
    };
    Ok(())
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet sent to `target` is answered from there, through a socket bound to `bound`.
    async fn check(bound: &str, target: IpAddr) {
        let server = UdpSocket::bind((bound, 0)).await.unwrap();
        prepare(&server).unwrap();
        let target = SocketAddr::new(target, server.local_addr().unwrap().port());
        let client = UdpSocket::bind((target.ip(), 0)).await.unwrap();
        client.connect(target).await.unwrap();
        client.send(b"ask").await.unwrap();
        let mut buffer = [0; 8];
        let received = receive(&server, &mut buffer).await.unwrap();
        assert_eq!(&buffer[..received.length], b"ask");
        assert_eq!(received.local.to_canonical(), target.ip(), "{bound}");
        assert_eq!(received.source.port(), client.local_addr().unwrap().port());
        answer(&server, &received, b"told").unwrap();
        // A connected socket takes nothing from another address.
        let length = client.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"told");
    }

    #[tokio::test]
    async fn answers_leave_from_the_address_that_was_asked() {
        let second = Ipv4Addr::new(127, 0, 0, 2);
        check("0.0.0.0", second.into()).await;
        check("127.0.0.2", second.into()).await;
        if UdpSocket::bind("[::1]:0").await.is_ok() {
            check("::", second.into()).await;
            check("::", Ipv6Addr::LOCALHOST.into()).await;
        }
    }
}
