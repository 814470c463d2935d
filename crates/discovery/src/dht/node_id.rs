//! Where nodes and torrents are in the DHT.

use std::fmt;
use std::net::IpAddr;

use torrent::InfoHash;

use crate::crc32c::crc32c;

/// Bits in an id.
pub(crate) const BITS: usize = 160;

/// A place in the space that nodes and info hashes share (BEP 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub [u8; 20]);

/// How far two places are apart: their exclusive or.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Distance([u8; 20]);

impl NodeId {
    /// An id that a node at `address` may have (BEP 42): nobody can choose where in the space it is. All else of it is
    /// from `random`.
    pub fn at(address: IpAddr, mut random: [u8; 20]) -> Self {
        let seed = random[19] & 7;
        let mut masked = match address.to_canonical() {
            IpAddr::V4(ip) => mask(&ip.octets(), &[0x03, 0x0f, 0x3f, 0xff]),
            IpAddr::V6(ip) => mask(&ip.octets(), &[0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff]),
        };
        masked[0] |= seed << 5;
        let [first, second, third, _] = crc32c(&masked).to_be_bytes();
        (random[0], random[1], random[2]) = (first, second, (third & 0xf8) | (random[2] & 7));
        Self(random)
    }

    /// Whether a node at `address` may have this id (BEP 42).
    pub fn fits(&self, address: IpAddr) -> bool {
        Self::at(address, self.0) == *self
    }

    pub(crate) fn distance(&self, other: &Self) -> Distance {
        Distance(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }
}

impl Distance {
    /// How many leading bits the two places have in common.
    pub(crate) fn common_bits(&self) -> usize {
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        8 * zeros + self.0.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize)
    }
}

impl From<InfoHash> for NodeId {
    fn from(info_hash: InfoHash) -> Self {
        Self(info_hash.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InfoHash(self.0).fmt(f)
    }
}

fn mask(address: &[u8], mask: &[u8]) -> Vec<u8> {
    address.iter().zip(mask).map(|(byte, mask)| byte & mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_specification() {
        // The first 21 bits and the last byte, as BEP 42 lists them.
        for (address, last, first) in [
            ("124.31.75.21", 1, [0x5f, 0xbf, 0xbf]),
            ("21.75.31.124", 86, [0x5a, 0x3c, 0xe9]),
            ("65.23.51.170", 22, [0xa5, 0xd4, 0x32]),
            ("84.124.73.14", 65, [0x1b, 0x03, 0x21]),
            ("43.213.53.83", 90, [0xe5, 0x6f, 0x6c]),
        ] {
            let address = address.parse().unwrap();
            let mut random = [0; 20];
            random[19] = last;
            let id = NodeId::at(address, random);
            assert_eq!(
                [id.0[0], id.0[1], id.0[2] & 0xf8],
                [first[0], first[1], first[2] & 0xf8],
                "{address}"
            );
            assert_eq!(id.0[19], last);
            assert!(id.fits(address) && !id.fits("198.51.100.1".parse().unwrap()));
        }
        let v6 = "2001:db8::1".parse().unwrap();
        assert!(NodeId::at(v6, [7; 20]).fits(v6));
    }

    #[test]
    fn distances_tell_common_bits() {
        let zero = NodeId([0; 20]);
        for (byte, value, bits) in [(0, 0x80, 0), (0, 0x40, 1), (1, 0x80, 8), (19, 1, 159)] {
            let mut other = [0; 20];
            other[byte] = value;
            assert_eq!(zero.distance(&NodeId(other)).common_bits(), bits);
        }
        assert_eq!(zero.distance(&zero).common_bits(), BITS);
    }
}
