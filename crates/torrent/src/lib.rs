//! What a torrent is.
//!
//! Pure: bytes in, values out. No socket, no file, no clock.
//!
//! - [`InfoHash`], [`PeerId`]: the names of the peer protocol

mod ids;

pub use ids::{InfoHash, ParseInfoHashError, PeerId};
