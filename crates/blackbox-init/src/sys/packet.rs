//! Packet sockets, for ARP.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv, sendto,
    socket,
};

/// `ETH_P_ARP`.
const ARP: u16 = 0x0806;

/// A socket for the ARP packets of one link.
pub fn arp_socket(link: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // Without a protocol it hears nothing before it is bound, and then that of the address.
    let fd = socket(AddressFamily::Packet, SockType::Datagram, flags, None::<SockProtocol>)?;
    bind(fd.as_raw_fd(), &address(link)?)?;
    Ok(fd)
}

/// Sends an ARP packet to everyone on the link.
pub fn broadcast_arp(fd: &OwnedFd, link: u32, packet: &[u8]) -> io::Result<()> {
    sendto(fd.as_raw_fd(), packet, &address(link)?, MsgFlags::empty())?;
    Ok(())
}

/// Takes the next packet; of a longer one what fits. `None` when there is none now.
pub fn receive_packet(fd: &OwnedFd, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match recv(fd.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(bytes) => return Some(bytes),
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Everybody on a link.
#[expect(unsafe_code, reason = "nix makes no addresses of links, it only reads them")]
fn address(link: u32) -> io::Result<LinkAddr> {
    let raw = libc::sockaddr_ll {
        sll_family: libc::sa_family_t::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: ARP.to_be(),
        sll_ifindex: i32::try_from(link).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).ok();
    // SAFETY: it points to a whole address of the family that it names, which is copied.
    let address = unsafe { LinkAddr::from_raw((&raw const raw).cast(), length) };
    address.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
