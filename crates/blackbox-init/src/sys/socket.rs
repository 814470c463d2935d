//! Sockets: uevents, route netlink, DHCP, and the pair that joins init and daemon.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrStorage,
    bind, recvmsg, sendto, setsockopt, socket, sockopt,
};

/// Kernel buffer (bytes) for uevents: a coldplug of a large machine sends about 1 MB at once.
const UEVENT_BUFFER: usize = 8 << 20;

/// Multicast group of the kernel's own uevents (2 would be udev's).
const KERNEL_GROUP: u32 = 1;

/// Groups for links, IPv4 and IPv6 addresses (`RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`).
const ADDRESS_GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// The outcome of a look into a socket.
pub enum Received {
    /// So many bytes of a message.
    Message(usize),
    /// The kernel had to drop messages: look at the state itself.
    Lost,
    /// Nothing more now.
    Nothing,
}

/// The kernel's uevents.
pub struct UeventSocket(OwnedFd);

impl UeventSocket {
    /// Subscribes.
    pub fn open() -> io::Result<Self> {
        let fd = netlink(SockProtocol::NetlinkKObjectUEvent, KERNEL_GROUP)?;
        setsockopt(&fd, sockopt::RcvBufForce, &UEVENT_BUFFER)?;
        Ok(Self(fd))
    }

    /// Takes the next message of the kernel; those of anyone else are dropped.
    pub fn receive(&self, buffer: &mut [u8]) -> Received {
        loop {
            let mut parts = [IoSliceMut::new(buffer)];
            match recvmsg::<NetlinkAddr>(self.0.as_raw_fd(), &mut parts, None, MsgFlags::empty()) {
                Ok(message) if message.address.is_some_and(|address| address.pid() == 0) => {
                    return Received::Message(message.bytes);
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => return Received::Lost,
                Err(_) => return Received::Nothing,
            }
        }
    }
}

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn netlink(protocol: SockProtocol, groups: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// A route netlink socket that hears of changes to links and addresses.
pub fn link_socket() -> io::Result<OwnedFd> {
    netlink(SockProtocol::NetlinkRoute, ADDRESS_GROUPS)
}

/// Takes the next message from a netlink socket.
pub fn receive_netlink(fd: &OwnedFd, buffer: &mut [u8]) -> Received {
    loop {
        match nix::sys::socket::recv(fd.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(bytes) => return Received::Message(bytes),
            Err(Errno::EINTR) => {}
            Err(Errno::ENOBUFS) => return Received::Lost,
            Err(_) => return Received::Nothing,
        }
    }
}

/// Sends a route request and returns the kernel's answer, which it has ready at once.
pub fn request_netlink(request: &[u8]) -> io::Result<Vec<u8>> {
    let fd = netlink(SockProtocol::NetlinkRoute, 0)?;
    sendto(fd.as_raw_fd(), request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = vec![0; 8 * 1024];
    match receive_netlink(&fd, &mut answer) {
        Received::Message(bytes) => {
            answer.truncate(bytes);
            Ok(answer)
        }
        Received::Lost | Received::Nothing => Err(io::Error::other("no answer from the kernel")),
    }
}

/// A socket for DHCP on one link (RFC 2131): it sends and receives there even while the link has no address.
pub fn bind_dhcp(link: &str, port: u16) -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::Broadcast, &true)?;
    setsockopt(&fd, sockopt::BindToDevice, &OsString::from(link))?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
    Ok(fd.into())
}

/// A socket for multicast on one link: bound to the group, so that it receives nothing else. What it sends reaches only who
/// is on the link itself, at the hop limit that shows it comes from there (RFC 6762 section 11).
pub fn bind_group(link: &str, group: SocketAddr) -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let family = if group.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Datagram, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::BindToDevice, &OsString::from(link))?;
    setsockopt(&fd, sockopt::DontRoute, &true)?;
    if group.is_ipv4() {
        setsockopt(&fd, sockopt::IpMulticastTtl, &255)?;
        setsockopt(&fd, sockopt::Ipv4Ttl, &255)?;
        setsockopt(&fd, sockopt::IpMulticastLoop, &false)?;
    } else {
        setsockopt(&fd, sockopt::Ipv6MulticastHops, &255)?;
        setsockopt(&fd, sockopt::Ipv6Ttl, &255)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(group))?;
    let socket = UdpSocket::from(fd);
    if group.is_ipv6() {
        socket.set_multicast_loop_v6(false)?;
    }
    Ok(socket)
}

/// Every address of every interface, by interface name.
pub fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let found = nix::ifaddrs::getifaddrs()?;
    Ok(found
        .filter_map(|interface| {
            let storage = interface.address?;
            let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            let v6 = || storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
            Some((interface.interface_name, v4.or_else(v6)?))
        })
        .collect())
}
