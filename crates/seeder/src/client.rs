//! What a peer calls its program, for people to read.

use torrent::PeerId;

/// Longest name (characters) that is kept of a peer's program.
const MAX_NAME: usize = 48;

/// Name and version of this program, as peers are told (BEP 10).
pub const CLIENT: &str = concat!("P2P Black Box ", env!("CARGO_PKG_VERSION"));

/// Start of our own peer ids, in the common form: dash, two letters, four digits of version, dash.
const PEER_ID_PREFIX: &[u8; 8] = concat!(
    "-bB",
    env!("CARGO_PKG_VERSION_MAJOR"),
    env!("CARGO_PKG_VERSION_MINOR"),
    env!("CARGO_PKG_VERSION_PATCH"),
    "0-"
)
.as_bytes()
.first_chunk()
.expect("invariant: a version has at least three digits");

/// Programs by the two letters in their peer ids: those that are common today.
const PROGRAMS: &[(&[u8; 2], &str)] = &[
    (b"A2", "aria2"),
    (b"AZ", "Vuze"),
    (b"BC", "BitComet"),
    (b"BI", "BiglyBT"),
    (b"BT", "BitTorrent"),
    (b"DE", "Deluge"),
    (b"FD", "Free Download Manager"),
    (b"KT", "KTorrent"),
    (b"LT", "libtorrent"),
    (b"TR", "Transmission"),
    (b"TX", "Tixati"),
    (b"UM", "\u{b5}Torrent Mac"),
    (b"UT", "\u{b5}Torrent"),
    (b"UW", "\u{b5}Torrent Web"),
    (b"WD", "WebTorrent Desktop"),
    (b"WW", "WebTorrent"),
    (b"XL", "Xunlei"),
    (b"bB", "P2P Black Box"),
    (b"lt", "rTorrent"),
    (b"qB", "qBittorrent"),
    (b"rQ", "rqbit"),
];

/// A peer id for this program; `random` is drawn anew at each start, so that a restarted box is another peer.
pub fn peer_id(random: [u8; 12]) -> PeerId {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(PEER_ID_PREFIX);
    bytes[8..].copy_from_slice(&random);
    PeerId(bytes)
}

/// The program's name for itself, without what has no place in a line of text.
pub(crate) fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().filter(|c| is_visible(*c)).take(MAX_NAME).collect()
}

/// The program that a peer id tells of, or the peer id itself.
pub(crate) fn of_peer_id(peer_id: PeerId) -> String {
    let id = peer_id.as_bytes();
    let known = PROGRAMS.iter().find(|(letters, _)| id[0] == b'-' && id[1..3] == letters[..]);
    let Some((_, name)) = known else { return printable(peer_id.to_string().as_bytes()) };
    let version = &id[3..7];
    if !version.iter().all(u8::is_ascii_digit) {
        return (*name).to_owned();
    }
    let mut version: Vec<char> = version.iter().copied().map(char::from).collect();
    while version.len() > 2 && version.ends_with(&['0']) {
        version.pop();
    }
    let dotted: Vec<String> = version.iter().map(char::to_string).collect();
    format!("{name} {}", dotted.join("."))
}

/// Neither a control character nor one that changes the direction of the text after it.
fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_peer_ids() {
        for (id, name) in [
            (b"-TR4050-abcdefghijkl", "Transmission 4.0.5"),
            (b"-TR3000-abcdefghijkl", "Transmission 3.0"),
            (b"-qB4520-abcdefghijkl", "qBittorrent 4.5.2"),
            (b"-lt0D80-abcdefghijkl", "rTorrent"),
            (b"A2-1-36-0-abcdefghij", "A2-1-36-0-abcdefghij"),
            (b"-ZZ1234-abcdefghijkl", "-ZZ1234-abcdefghijkl"),
            (&[0xff; 20], "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff"),
        ] {
            assert_eq!(of_peer_id(PeerId(*id)), name);
        }
    }

    #[test]
    fn our_own_peer_id_tells_our_version() {
        let id = peer_id(*b"abcdefghijkl");
        assert!(id.as_bytes().ends_with(b"-abcdefghijkl"), "the version no longer fits the prefix: {id}");
        assert!(of_peer_id(id).starts_with("P2P Black Box"), "{id}");
    }

    #[test]
    fn names_are_one_short_line_of_text() {
        for (bytes, name) in [
            (&b"qBittorrent/4.5.2"[..], "qBittorrent/4.5.2"),
            ("\u{b5}Torrent 3.5".as_bytes(), "\u{b5}Torrent 3.5"),
            (b"a\0b\nc\x1b[2Jd\xff", "abc[2Jd\u{fffd}"),
            ("evil\u{202e}txt.exe\u{2066}".as_bytes(), "eviltxt.exe"),
            (&[b'x'; 1000], "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            (b"", ""),
        ] {
            assert_eq!(printable(bytes), name);
        }
    }
}
