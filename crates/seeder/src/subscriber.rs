//! What counts as one address.

use std::net::{IpAddr, Ipv6Addr};

/// One subscriber's addresses are one: of IPv6 those of a /64. An IPv4 address that is mapped is the IPv4 address.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}
