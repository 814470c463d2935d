//! What a torrent is: version 1 (BEP 3), version 2 (BEP 52) and hybrid ones, which are both.
//!
//! Pure: bytes in, values out. No socket, no file, no clock. Bytes from outside are seen only through the
//! bounded scanner of [`bencode`]; a path in a torrent can't lead out of it, a piece index or a block that was
//! made by [`Lengths`] exists.
//!
//! - [`InfoHash`], [`InfoHashV2`], [`PeerId`]: the names of the peer protocol
//! - [`bencode`]: scanner for bytes from outside, writer for our own
//! - [`Metainfo`], [`Info`], [`piece_layers`]: the content of a `.torrent` file
//! - [`FilePath`]: where a file is in its torrent
//! - [`piece_length()`], [`PieceHasher`], [`hash_piece`]: cutting content into pieces
//! - [`hash`]: many pieces or merkle blocks hashed side by side
//! - [`MerkleHasher`], [`FileTrees`]: the hash trees of files in version 2
//! - [`Lengths`], [`Block`], [`FileSpans`]: arithmetic of pieces, blocks and files
//! - [`Magnet`]: magnet links
//! - [`lint`]: warnings about names that other systems can't have

pub mod bencode;
mod file_path;
pub mod hash;
mod ids;
mod info;
mod lengths;
pub mod lint;
mod magnet;
mod merkle;
mod metainfo;
mod piece_hasher;
mod piece_length;
#[cfg(test)]
mod xorshift;

pub use file_path::{FilePath, FilePathError, MAX_NAME, MAX_NAMES, MAX_PATH};
pub use ids::{InfoHash, InfoHashV2, InfoHashes, ParseInfoHashError, PeerId};
pub use info::{File, Hashes, Info, InfoError, Mode};
pub use lengths::{Block, FileSpans, Lengths, MAX_BLOCK, PieceIndex, Span};
pub use magnet::Magnet;
pub use merkle::{BLOCK_LENGTH, FileRoot, FileTrees, MerkleHasher, NodeHash, PieceLayers, hash_block};
pub use metainfo::{LIMITS as METAINFO_LIMITS, Metainfo, MetainfoError, piece_layers};
pub use piece_hasher::{PieceHash, PieceHasher, hash_piece};
pub use piece_length::{MAX_PIECE_LENGTH, MIN_PIECE_LENGTH, piece_length};
