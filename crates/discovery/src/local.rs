//! Local service discovery (BEP 14): who is on the same network tells all others, by multicast, what it has or wants.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use torrent::InfoHash;

/// Where messages are sent to over IPv4.
pub const GROUP_V4: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 192, 152, 143), PORT);

/// Where messages are sent to over IPv6.
pub const GROUP_V6: SocketAddrV6 =
    SocketAddrV6::new(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f), PORT, 0, 0);

const PORT: u16 = 6771;

/// Longest message (bytes), so that it is one packet everywhere.
pub const MAX_MESSAGE: usize = 1400;

/// Info hashes that fit into a message, whatever else is in it.
pub const MAX_HASHES: usize = (MAX_MESSAGE - 160) / (INFO_HASH.len() + 40 + LINE.len());

const METHOD: &str = "BT-SEARCH * HTTP/1.1";
const INFO_HASH: &str = "Infohash: ";
const LINE: &str = "\r\n";

/// A message: its sender takes part in these swarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Where the sender takes connections, at the address that the message comes from.
    pub port: u16,
    /// At least one and at most [`MAX_HASHES`] when written; as many as were in the packet when read.
    pub info_hashes: Vec<InfoHash>,
    /// What the sender knows its own messages by. It may be anything; ours is a number.
    pub cookie: Option<String>,
}

impl Search {
    /// Reads a packet. The names of headers are known in any case, and those that are not known are ignored, as are info
    /// hashes that are none; `None` for what is no message, has no port or no info hash.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(packet.get(..packet.len().min(MAX_MESSAGE))?).ok()?;
        let mut lines = text.split(LINE);
        // Whatever the version.
        let method = lines.next()?;
        let (known, _) = METHOD.rsplit_once('/')?;
        method.get(..known.len()).filter(|start| start.eq_ignore_ascii_case(known))?;
        let mut search = Self { port: 0, info_hashes: Vec::new(), cookie: None };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "port" => search.port = value.parse().ok()?,
                // In lower case, as some clients write it otherwise.
                "infohash" => search.info_hashes.extend(value.to_ascii_lowercase().parse::<InfoHash>()),
                "cookie" => search.cookie = Some(value.to_owned()),
                _ => {}
            }
        }
        (search.port != 0 && !search.info_hashes.is_empty()).then_some(search)
    }

    /// The packet, for one of the two groups.
    pub fn to_bytes(&self, group: SocketAddr) -> Vec<u8> {
        let mut lines = vec![METHOD.to_owned(), format!("Host: {group}"), format!("Port: {}", self.port)];
        lines.extend(self.info_hashes.iter().take(MAX_HASHES).map(|hash| format!("{INFO_HASH}{hash}")));
        lines.extend(self.cookie.iter().map(|cookie| format!("cookie: {cookie}")));
        // It ends with two empty lines.
        lines.extend([String::new(), String::new(), String::new()]);
        lines.join(LINE).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "6c5e61bdbb2f9bc0d4a8ab9e4b64b9a1d8d9c4f2";

    #[track_caller]
    fn check(packet: &str, port: u16, count: usize, cookie: Option<&str>) {
        let search = Search::parse(packet.as_bytes()).unwrap();
        assert_eq!((search.port, search.cookie.as_deref()), (port, cookie), "{packet:?}");
        assert_eq!(search.info_hashes, vec![HASH.parse().unwrap(); count], "{packet:?}");
    }

    #[test]
    fn messages_of_clients_are_read() {
        // libtorrent 2.0.
        check(
            &format!(
                "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: {HASH}\r\n\
                 cookie: 2f3a9c01\r\n\r\n\r\n"
            ),
            6881,
            1,
            Some("2f3a9c01"),
        );
        // Transmission 3.00.
        check(
            &format!(
                "BT-SEARCH * HTTP/1.0\r\nHost: 239.192.152.143:6771\r\nPort: 51413\r\nInfohash: {}\r\n\r\n\r\n",
                HASH.to_uppercase()
            ),
            51413,
            1,
            None,
        );
        check(
            &format!(
                "bt-search * http/1.1\r\nInfohash: {HASH}\r\nX: y\r\nINFOHASH:{HASH}\r\nport:1\r\nInfohash: z"
            ),
            1,
            2,
            None,
        );
    }

    #[test]
    fn what_is_no_message_is_ignored() {
        let whole = format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: {HASH}\r\n\r\n\r\n");
        assert!(Search::parse(whole.as_bytes()).is_some());
        for (from, to) in [
            ("BT-SEARCH", "M-SEARCH"),
            ("Port: 1", "Port: 0"),
            ("Port: 1", "Port: 65536"),
            ("Port: 1\r\n", ""),
            (HASH, &HASH[1..]),
            ("Infohash", "Hash"),
        ] {
            assert_eq!(Search::parse(whole.replace(from, to).as_bytes()), None, "{from} -> {to}");
        }
        for length in 0..whole.len() - 6 {
            assert_eq!(Search::parse(&whole.as_bytes()[..length]), None);
        }
        assert_eq!(Search::parse(b"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: \xff"), None);
        let flood =
            format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n{}", format!("Infohash: {HASH}\r\n").repeat(1000));
        assert!(Search::parse(flood.as_bytes()).unwrap().info_hashes.len() <= MAX_MESSAGE / HASH.len());
    }

    #[test]
    fn the_longest_message_is_read_again_and_fits_into_a_packet() {
        let most = Search {
            port: u16::MAX,
            info_hashes: (0..MAX_HASHES).map(|n| InfoHash([u8::try_from(n).unwrap(); 20])).collect(),
            cookie: Some(format!("{:x}", u64::MAX)),
        };
        for group in [SocketAddr::from(GROUP_V4), SocketAddr::from(GROUP_V6)] {
            let bytes = most.to_bytes(group);
            assert!(bytes.len() <= MAX_MESSAGE, "{} bytes", bytes.len());
            assert_eq!(Search::parse(&bytes).as_ref(), Some(&most));
        }
        let one = Search { port: 6881, info_hashes: vec![HASH.parse().unwrap()], cookie: None };
        let text = String::from_utf8(one.to_bytes(GROUP_V6.into())).unwrap();
        let want = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: [ff15::efc0:988f]:6771\r\nPort: 6881\r\nInfohash: {HASH}\r\n\r\n\r\n"
        );
        assert_eq!(text, want);
    }
}
