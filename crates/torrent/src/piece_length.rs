//! How long the pieces of a torrent are.

/// Shortest piece (bytes): one block.
pub const MIN_PIECE_LENGTH: u32 = 16 << 10;

/// Longest piece (bytes): some clients refuse longer ones.
pub const MAX_PIECE_LENGTH: u32 = 16 << 20;

/// With more pieces than this the next longer piece is taken, unless it is the longest already.
const MAX_PIECES: u64 = 2048;

/// The piece length for `total` bytes of content: the smallest power of two that makes at most 2048 pieces,
/// between [`MIN_PIECE_LENGTH`] and [`MAX_PIECE_LENGTH`].
///
/// So there are 1025 to 2048 pieces from 16 MiB to 32 GiB. More would make metainfo, magnet exchange and
/// bitfields longer; with fewer, peers would wait longer until they have a first whole piece to give on, and a
/// damaged byte would cost more to fetch again. Equal content always gets the equal length, hence the equal
/// info hash.
pub fn piece_length(total: u64) -> u32 {
    let wanted = total.div_ceil(MAX_PIECES).next_power_of_two();
    u32::try_from(wanted).unwrap_or(MAX_PIECE_LENGTH).clamp(MIN_PIECE_LENGTH, MAX_PIECE_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[track_caller]
    fn check(total: u64, want: u64) {
        assert_eq!(u64::from(piece_length(total)), want, "{total} bytes");
    }

    #[test]
    fn small_content_has_the_shortest_pieces() {
        check(0, 16 * KIB);
        check(1, 16 * KIB);
        check(700 * KIB, 16 * KIB);
        check(32 * MIB, 16 * KIB);
    }

    #[test]
    fn one_byte_more_than_2048_pieces_doubles_the_length() {
        check(32 * MIB + 1, 32 * KIB);
        check(64 * MIB, 32 * KIB);
        check(64 * MIB + 1, 64 * KIB);
        check(700 * MIB, 512 * KIB);
        check(4 * GIB, 2 * MIB);
        check(4 * GIB + 1, 4 * MIB);
        check(16 * GIB, 8 * MIB);
        check(16 * GIB + 1, 16 * MIB);
    }

    #[test]
    fn huge_content_has_the_longest_pieces() {
        check(32 * GIB, 16 * MIB);
        check(32 * GIB + 1, 16 * MIB);
        check(100 * GIB, 16 * MIB);
        check(u64::MAX, 16 * MIB);
    }
}
