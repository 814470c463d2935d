//! Canonical peer priority (BEP 40): both ends of a connection rank it alike, and nobody can choose a rank.

use std::net::{IpAddr, SocketAddr};

use crate::crc32c::crc32c;

/// What of the bytes after the network counts: half of their bits, so that a neighbourhood has few ranks.
const MASK: u8 = 0x55;

/// The priority of a connection between two addresses of one family; higher ones are preferred. Which is whose makes
/// no difference.
pub fn priority(one: SocketAddr, other: SocketAddr) -> u32 {
    match (one.ip().to_canonical(), other.ip().to_canonical()) {
        (a, b) if a == b => of_pair(one.port().to_be_bytes(), other.port().to_be_bytes()),
        (IpAddr::V4(a), IpAddr::V4(b)) => of_addresses(a.octets(), b.octets(), 2),
        (IpAddr::V6(a), IpAddr::V6(b)) => of_addresses(a.octets(), b.octets(), 6),
        // There is no such connection.
        _ => 0,
    }
}

/// The first `network` bytes count in full, or those that both have in common and the one after them.
fn of_addresses<const N: usize>(a: [u8; N], b: [u8; N], network: usize) -> u32 {
    let common = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let masked = |mut address: [u8; N]| {
        address.iter_mut().skip(network.max(common + 1)).for_each(|byte| *byte &= MASK);
        address
    };
    of_pair(masked(a), masked(b))
}

fn of_pair<const N: usize>(a: [u8; N], b: [u8; N]) -> u32 {
    crc32c([a.min(b), a.max(b)].as_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_the_specification() {
        let crc = |hex: u128, bytes: usize| crc32c(&hex.to_be_bytes()[16 - bytes..]);
        for (one, other, want) in [
            // The examples of BEP 40.
            ("123.213.32.10:1", "98.76.54.32:2", 0xec2d_7224),
            ("123.213.32.10:1", "123.213.32.234:2", 0x9956_8189),
            // One network of 16 bits, and one address.
            ("10.1.255.255:1", "10.1.2.255:2", crc(0x0a01_0255_0a01_ff55, 8)),
            ("10.1.2.3:258", "10.1.2.3:257", crc(0x0101_0102, 4)),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(priority(one, other), want, "{one} {other}");
            assert_eq!(priority(other, one), want, "{other} {one}");
        }
        for (one, other, masked) in [
            ("2001:db8::ffff:ffff", "2001:db9::", ["2001:db8::5555:5555", "2001:db9::"]),
            ("2001:db8:1:ffff:ffff::", "2001:db8:1::", ["2001:db8:1:ff55:5555::", "2001:db8:1::"]),
            ("2001:db8:1:ff:ffff::", "2001:db8:1::", ["2001:db8:1:ff:5555::", "2001:db8:1::"]),
        ] {
            let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 1);
            let mut masked = masked.map(|text| text.parse::<std::net::Ipv6Addr>().unwrap().octets());
            masked.sort_unstable();
            assert_eq!(
                priority(address(one), address(other)),
                crc32c(masked.as_flattened()),
                "{one} {other}"
            );
        }
        assert_eq!(priority("10.0.0.1:1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()), 0);
    }
}
