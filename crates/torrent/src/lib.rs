//! What a torrent is.
//!
//! Pure: bytes in, values out. No socket, no file, no clock.
//!
//! - [`InfoHash`], [`PeerId`]: the names of the peer protocol

pub mod bencode;
mod ids;
#[cfg(test)]
mod xorshift;

pub use ids::{InfoHash, ParseInfoHashError, PeerId};
