//! The network interfaces of this machine.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

/// An interface that is up, at one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the system numbers it.
    pub index: u32,
    /// One of its addresses.
    pub address: IpAddr,
    /// Which bits of the address all in its network have in common.
    pub netmask: IpAddr,
}

impl Interface {
    /// Whether this address is in the interface's network.
    pub fn is_on_network(&self, ip: IpAddr) -> bool {
        match (self.address, self.netmask, ip) {
            (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(ip)) => own & mask == ip & mask,
            (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(ip)) => own & mask == ip & mask,
            _ => false,
        }
    }
}

/// All addresses of all interfaces that are up.
///
/// # Errors
/// As the system says.
pub fn all() -> io::Result<Vec<Interface>> {
    let up = getifaddrs()?.filter(|found| found.flags.contains(InterfaceFlags::IFF_UP));
    let interface = |found: nix::ifaddrs::InterfaceAddress| {
        let index = if_nametoindex(found.interface_name.as_str()).ok()?;
        Some(Interface { index, address: ip(found.address)?, netmask: ip(found.netmask)? })
    };
    Ok(up.filter_map(interface).collect())
}

fn ip(address: Option<SockaddrStorage>) -> Option<IpAddr> {
    let address = address?;
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_them() {
        let interfaces = all().unwrap();
        let loopback = interfaces.iter().find(|interface| interface.address.is_loopback()).unwrap();
        assert!(loopback.index > 0 && loopback.is_on_network(loopback.address));
    }

    #[test]
    fn the_mask_says_what_is_on_the_network() {
        for (address, netmask, ip, is_there) in [
            ("192.168.1.2", "255.255.255.0", "192.168.1.99", true),
            ("192.168.1.2", "255.255.255.0", "192.168.2.99", false),
            ("10.0.0.1", "255.255.255.255", "10.0.0.2", false),
            ("fd00::1", "ffff:ffff:ffff:ffff::", "fd00::2:3", true),
            ("fd00::1", "ffff:ffff:ffff:ffff::", "fd00:0:0:1::1", false),
            ("192.168.1.2", "0.0.0.0", "fd00::1", false),
        ] {
            let [address, netmask, ip] = [address, netmask, ip].map(|text| text.parse().unwrap());
            let interface = Interface { index: 1, address, netmask };
            assert_eq!(interface.is_on_network(ip), is_there, "{ip} from {address}/{netmask}");
        }
    }
}
