//! The network interfaces of this machine.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};

/// An interface that is up, at one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the system numbers it.
    pub index: u32,
    /// One of its addresses.
    pub address: IpAddr,
}

/// All addresses of all interfaces that are up.
///
/// # Errors
/// As the system says.
pub fn all() -> io::Result<Vec<Interface>> {
    let up = getifaddrs()?.filter(|found| found.flags.contains(InterfaceFlags::IFF_UP));
    let interface = |found: nix::ifaddrs::InterfaceAddress| {
        let address = found.address.as_ref()?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        let address = v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))?;
        Some(Interface { index: if_nametoindex(found.interface_name.as_str()).ok()?, address })
    };
    Ok(up.filter_map(interface).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_them() {
        assert!(
            all().unwrap().iter().any(|interface| interface.address.is_loopback() && interface.index > 0)
        );
    }
}
