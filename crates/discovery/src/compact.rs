//! Addresses as they are packed into strings of bytes (BEP 23, 7, 5): address, then port, in network order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of an IPv4 address with its port.
pub(crate) const V4: usize = 6;

/// Bytes of an IPv6 address with its port.
pub(crate) const V6: usize = 18;

/// An IPv4 address that is mapped is the IPv4 address.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Appends an address; an IPv4 one that is mapped is packed as what it is.
pub(crate) fn put(out: &mut Vec<u8>, address: SocketAddr) {
    match canonical(address).ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

/// The address in [`V4`] or [`V6`] bytes; `None` for other lengths.
pub(crate) fn get(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let v4 = || Some(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?).into());
    let v6 = || Some(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).to_canonical());
    Some(SocketAddr::new(v4().or_else(v6)?, u16::from_be_bytes(*port)))
}

/// The addresses of `size` bytes each that `bytes` consists of; what is over at the end is left out.
pub(crate) fn list(bytes: &[u8], size: usize) -> impl Iterator<Item = SocketAddr> {
    bytes.chunks_exact(size).filter_map(get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_again() {
        for (text, size) in [("192.0.2.1:6881", V4), ("[2001:db8::1]:80", V6)] {
            let mut bytes = Vec::new();
            put(&mut bytes, text.parse().unwrap());
            assert_eq!(bytes.len(), size);
            assert_eq!(get(&bytes), text.parse().ok());
            bytes.pop();
            assert_eq!(get(&bytes), None);
        }
        let mut mapped = Vec::new();
        put(&mut mapped, "[::ffff:192.0.2.1]:1".parse().unwrap());
        assert_eq!(mapped, [192, 0, 2, 1, 0, 1]);
        assert_eq!((get(b""), get(b"a")), (None, None));
    }
}
