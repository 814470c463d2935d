//! Message Stream Encryption, also called Protocol Encryption (MSE/PE): connections that look like noise to
//! those who only pass them on. The "`BitTorrent` encryption" page of the Vuze wiki is its specification.
//!
//! It hides, no more: it proves nothing about who the other side is, its cipher is RC4, and whoever knows the info
//! hash and stands in the middle can read everything. So nothing here takes care to run in constant time.
//!
//! - [`is_plain`]: whether a peer that connected needs none of this
//! - [`Responder`]: our side of a connection that a peer opened; [`Initiator`]: of one that we opened
//! - [`Agreed`]: what they end in; the same on both sides
//!
//! Invariants: a side holds no more than one read and [`MAX_PADDING`] and some bytes; it makes two modular
//! exponentiations, one before the peer has sent anything when it is the initiator, and both after 96 bytes when it
//! is the responder. How long a peer may take is the driver's matter.
//!
//! What goes over the wire, where A is the initiator and S the secret of both:
//!
//! ```text
//! A: public key, padding                                     96 + 0..=512 bytes
//! B: public key, padding                                     96 + 0..=512 bytes
//! A: H("req1", S), H("req2", info hash) ^ H("req3", S)       20 + 20 bytes
//!    RC4(zeros, methods, length + padding, length + initial) 8 + 4 + 2 + 0..=512 + 2 + 0..=65535 bytes
//! B: RC4(zeros, method, length + padding)                    8 + 4 + 2 + 0..=512 bytes
//! both: the connection, by the method that B has chosen
//! ```

mod chance;
mod ciphers;
mod dh;
mod inbox;
mod initiator;
mod rc4;
#[cfg(target_arch = "x86_64")]
mod rc4_x86_64;
mod responder;
mod step;

use sha1::{Digest, Sha1};
use torrent::InfoHash;

use crate::handshake::PROTOCOL;

pub use chance::CHANCE;
pub use ciphers::{Agreed, Decrypt};
pub use initiator::{Initiator, Offer};
pub use rc4::Rc4;
pub use responder::Responder;

/// Most bytes of padding in each of the four places where there may be some.
pub const MAX_PADDING: u16 = 512;

/// Why there will be no connection. As text it is a clause for a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A public key from which everybody could tell the secret, or none at all: 0, 1, the prime less one, or more.
    #[error("the peer's public key is good for nothing")]
    BadPublicKey,
    /// What has to follow the padding is not there: mostly another protocol.
    #[error("the peer speaks neither BitTorrent nor its encryption")]
    NotFound,
    /// The torrent that the peer wants is not here.
    #[error("the peer wants a torrent that is not here")]
    UnknownTorrent,
    /// What was decrypted is not what it should be.
    #[error("the peer encrypts by another key")]
    WrongKey,
    /// More padding than there may be.
    #[error("{0} bytes of padding, at most {MAX_PADDING} are accepted")]
    TooMuchPadding(u16),
    /// What the peer offers is nothing that we know.
    #[error("the peer offers methods {0:#x} of encryption, none of which is known")]
    NothingInCommon(u32),
    /// What the peer has chosen was not offered to it.
    #[error("the peer has chosen method {0:#x} of encryption, which was not offered")]
    NotOffered(u32),
}

/// Whether a stream begins with a handshake: `None` as long as its first bytes, given here, could be either. If it is
/// not, it is for a [`Responder`], from its first byte on.
pub fn is_plain(first: &[u8]) -> Option<bool> {
    if first.starts_with(PROTOCOL) {
        return Some(true);
    }
    (!PROTOCOL.starts_with(first)).then_some(false)
}

/// What an initiator says to name its torrent: the hash that [`Responder::receive`] has looked up.
pub fn req2(info_hash: InfoHash) -> [u8; 20] {
    hash(*b"req2", &[info_hash.as_bytes()])
}

fn hash(label: [u8; 4], parts: &[&[u8]]) -> [u8; 20] {
    parts.iter().fold(Sha1::new_with_prefix(label), Sha1::chain_update).finalize().into()
}

fn xor(a: [u8; 20], b: [u8; 20]) -> [u8; 20] {
    std::array::from_fn(|at| a[at] ^ b[at])
}

#[cfg(test)]
mod tests;
