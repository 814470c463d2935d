//! Announce and scrape over HTTP: query string in, bencode out (BEP 3, 7, 23, 24, 31, 48).
//!
//! Failures are answered with status 200 like everything else; clients look into the body.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use torrent::bencode::{DictionaryWriter, dictionary};
use torrent::{InfoHash, PeerId};

use crate::udp::{compact_v4, compact_v6};
use crate::{Announce, Answer, Event, Failure, MAX_SCRAPE, Retry, Scrape};

/// Longest query string (bytes) that is read: a scrape of [`MAX_SCRAPE`] info hashes with every byte escaped has
/// 5.3 KB, an announce below 1 KB.
pub const MAX_QUERY: usize = 8 * 1024;

/// Reads the query of `/announce` (what follows the `?`). `source` is the address the request came from.
///
/// # Errors
/// What is missing, given twice or malformed, in words for the person at the client.
pub fn parse_announce(query: &str, source: IpAddr) -> Result<Announce, Failure> {
    check_length(query)?;
    let required = |key| one(query, key)?.ok_or_else(|| Failure::malformed(format!("{key} is missing")));
    let optional = |key| one(query, key)?.map(|value| number(key, value)).transpose();
    let port = required("port")?;
    let port = port.parse().map_err(|_| Failure::malformed("port is not a number from 0 to 65535"))?;
    Ok(Announce {
        info_hash: InfoHash(twenty_bytes("info_hash", required("info_hash")?)?),
        peer_id: PeerId(twenty_bytes("peer_id", required("peer_id")?)?),
        address: source.to_canonical(),
        port,
        uploaded: optional("uploaded")?.flatten().unwrap_or(0),
        downloaded: optional("downloaded")?.flatten().unwrap_or(0),
        left: number("left", required("left")?)?.unwrap_or(u64::MAX),
        event: match one(query, "event")? {
            Some("started") => Event::Started,
            Some("stopped") => Event::Stopped,
            Some("completed") => Event::Completed,
            // Extensions such as "paused" (BEP 21) change nothing here.
            _ => Event::None,
        },
        numwant: optional("numwant")?.flatten().map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        // A hexadecimal number, the same that these clients send over UDP; some send a part of their peer id,
        // which is no secret.
        key: one(query, "key")?.and_then(|key| u32::from_str_radix(key, 16).ok()).unwrap_or(0),
        compact: one(query, "compact")? != Some("0"),
        passkey: None,
    })
}

/// Reads the query of `/scrape`.
///
/// # Errors
/// When it names no torrent (nobody gets a list of everything), too many, or malformed ones.
pub fn parse_scrape(query: &str) -> Result<Vec<InfoHash>, Failure> {
    check_length(query)?;
    let values = || pairs(query).filter(|(key, _)| *key == "info_hash");
    match values().count() {
        0 => Err(Failure::malformed("info_hash is missing")),
        1..=MAX_SCRAPE => values().map(|(key, value)| Ok(InfoHash(twenty_bytes(key, value)?))).collect(),
        count => {
            Err(Failure::malformed(format!("{count} info hashes at once; at most {MAX_SCRAPE} are answered")))
        }
    }
}

/// The body that answers `announce`.
pub fn announce_response(answer: &Answer, announce: &Announce) -> Vec<u8> {
    dictionary(|d| {
        d.integer(b"complete", answer.scrape.complete);
        d.integer(b"downloaded", answer.scrape.downloaded);
        match announce.address.to_canonical() {
            IpAddr::V4(ip) => d.bytes(b"external ip", ip.octets()),
            IpAddr::V6(ip) => d.bytes(b"external ip", ip.octets()),
        }
        d.integer(b"incomplete", answer.scrape.incomplete);
        d.integer(b"interval", answer.interval.as_secs());
        d.integer(b"min interval", answer.min_interval.as_secs());
        if announce.compact { compact_peers(d, answer) } else { peer_dictionaries(d, answer) }
    })
}

/// The body that answers a scrape. Torrents that are not tracked are left out of `swarms`.
pub fn scrape_response(swarms: &[(InfoHash, Scrape)]) -> Vec<u8> {
    // In order, and each once.
    let swarms: BTreeMap<_, _> = swarms.iter().copied().collect();
    dictionary(|d| {
        d.dictionary(b"files", |files| {
            for (info_hash, scrape) in swarms {
                files.dictionary(info_hash.as_bytes(), |d| {
                    d.integer(b"complete", scrape.complete);
                    d.integer(b"downloaded", scrape.downloaded);
                    d.integer(b"incomplete", scrape.incomplete);
                });
            }
        });
    })
}

/// The body that says why there is no answer.
pub fn failure(failure: &Failure) -> Vec<u8> {
    dictionary(|d| {
        d.bytes(b"failure reason", failure.reason.as_bytes());
        match failure.retry {
            Retry::Minutes(minutes) => d.integer(b"retry in", minutes),
            Retry::Never => d.bytes(b"retry in", b"never"),
        }
    })
}

/// BEP 23 and, for IPv6, BEP 7.
fn compact_peers(d: &mut DictionaryWriter<'_>, answer: &Answer) {
    let v4: Vec<u8> = answer.peers_v4.iter().copied().flat_map(compact_v4).collect();
    d.bytes(b"peers", v4);
    if !answer.peers_v6.is_empty() {
        let v6: Vec<u8> = answer.peers_v6.iter().flat_map(compact_v6).collect();
        d.bytes(b"peers6", v6);
    }
}

/// BEP 3, for clients that ask for `compact=0`. Without peer ids, which are not kept; no client needs them.
fn peer_dictionaries(d: &mut DictionaryWriter<'_>, answer: &Answer) {
    let v4 = answer.peers_v4.iter().copied().map(SocketAddr::V4);
    let v6 = answer.peers_v6.iter().copied().map(SocketAddr::V6);
    d.list(b"peers", |peers| {
        for peer in v4.chain(v6) {
            peers.dictionary(|d| {
                d.bytes(b"ip", peer.ip().to_string());
                d.integer(b"port", peer.port());
            });
        }
    });
}

fn check_length(query: &str) -> Result<(), Failure> {
    if query.len() > MAX_QUERY {
        return Err(Failure::malformed(format!("a query of more than {MAX_QUERY} bytes is not read")));
    }
    Ok(())
}

/// The parameters, still escaped; keys never are.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The value of a parameter that may be given once.
fn one<'a>(query: &'a str, key: &str) -> Result<Option<&'a str>, Failure> {
    let mut values = pairs(query).filter(|(name, _)| *name == key).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(Failure::malformed(format!("{key} is given twice"))),
        (value, _) => Ok(value),
    }
}

/// `None` for a negative number, by which clients say that they don't know or don't care.
fn number(key: &str, value: &str) -> Result<Option<u64>, Failure> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| plain);
    let number = number.ok_or_else(|| Failure::malformed(format!("{key} is not a number")))?;
    Ok(Some(number).filter(|_| digits.len() == value.len()))
}

/// Undoes the escaping of 20 binary bytes.
fn twenty_bytes(key: &str, value: &str) -> Result<[u8; 20], Failure> {
    let mut bytes = [0; 20];
    let mut length = 0;
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).and_then(|(high, low)| u8::try_from(16 * high + low).ok());
                value.ok_or_else(|| Failure::malformed(format!("{key} has a % without two hex digits")))?
            }
            // As form encoders write a space. A plus itself is escaped by all clients.
            b'+' => b' ',
            byte => byte,
        };
        if let Some(place) = bytes.get_mut(length) {
            *place = byte;
        }
        length += 1;
    }
    if length != bytes.len() {
        return Err(Failure::malformed(format!("{key} has {length} bytes, not 20")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NOT_PUBLISHED, testing};
    use std::net::{SocketAddrV4, SocketAddrV6};
    use std::time::Duration;
    use torrent::bencode::{Limits, scan};

    const GOOD: &str = "info_hash=%fds%c7%8c%ab%3d%c0%23%aa~%8eW%db%aey%7bq%01%13%89\
        &peer_id=-TR3000-9xcwx0v1tde9&port=51413&uploaded=0&downloaded=0&left=100000";

    fn read(query: &str) -> Result<Announce, Failure> {
        parse_announce(query, "::ffff:198.51.100.1".parse().unwrap())
    }

    /// What the parameters in GOOD stand for.
    fn good() -> Announce {
        Announce {
            info_hash: "fd73c78cab3dc023aa7e8e57dbae797b71011389".parse().unwrap(),
            peer_id: PeerId(*b"-TR3000-9xcwx0v1tde9"),
            port: 51413,
            left: 100_000,
            event: Event::None,
            ..testing::announce(0, "198.51.100.1")
        }
    }

    #[test]
    fn queries_of_real_clients_are_read() {
        let numwant = Some(200);
        for (client, query, announce) in [
            (
                "aria2 1.36.0",
                "info_hash=%FDs%C7%8C%AB%3D%C0%23%AA~%8EW%DB%AEy%7Bq%01%13%89&peer_id=A2-1-36-0-%A9%40%F8%A0%A4\
                 %15%846%CFZ&uploaded=0&downloaded=0&left=100000&compact=1&key=%F8%A0%A4%15%846%CFZ&numwant=50\
                 &no_peer_id=1&port=6953&event=started&supportcrypto=1",
                Announce {
                    peer_id: PeerId(*b"A2-1-36-0-\xa9\x40\xf8\xa0\xa4\x15\x84\x36\xcf\x5a"),
                    port: 6953,
                    numwant: Some(50),
                    event: Event::Started,
                    ..good()
                },
            ),
            (
                "transmission 3.00",
                "info_hash=%fds%c7%8c%ab%3d%c0%23%aa~%8eW%db%aey%7bq%01%13%89&peer_id=-TR3000-9xcwx0v1tde9\
                 &port=51413&uploaded=0&downloaded=0&left=100000&numwant=0&key=665f0c17&compact=1\
                 &supportcrypto=1&event=stopped",
                Announce { numwant: Some(0), key: 0x665f_0c17, event: Event::Stopped, ..good() },
            ),
            (
                "libtorrent 2.1.1",
                "info_hash=%fds%c7%8c%ab%3d%c0%23%aa~%8eW%db%aey%7bq%01%13%89&peer_id=-LT2110-!~WgrzJ!cOa0\
                 &port=16999&uploaded=0&downloaded=0&left=100000&corrupt=0&key=FCB043F7&event=started\
                 &numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0",
                Announce {
                    peer_id: PeerId(*b"-LT2110-!~WgrzJ!cOa0"),
                    port: 16999,
                    key: 0xfcb0_43f7,
                    event: Event::Started,
                    numwant,
                    ..good()
                },
            ),
            (
                "qBittorrent's peer id, libtorrent 2.1.1",
                "info_hash=%fds%c7%8c%ab%3d%c0%23%aa~%8eW%db%aey%7bq%01%13%89&peer_id=-qB4520-!QxIlAsp28V*\
                 &port=16999&uploaded=0&downloaded=0&left=100000&corrupt=0&key=030E736A&event=started\
                 &numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0",
                Announce {
                    peer_id: PeerId(*b"-qB4520-!QxIlAsp28V*"),
                    port: 16999,
                    key: 0x030e_736a,
                    event: Event::Started,
                    numwant,
                    ..good()
                },
            ),
        ] {
            assert_eq!(read(query), Ok(announce), "{client}");
        }
    }

    #[test]
    fn unusual_but_clear_queries_are_read() {
        for (more, announce) in [
            ("", good()),
            ("&ip=192.0.2.9&ipv4=192.0.2.9&ipv6=2001:db8::9", good()),
            ("&event=paused", good()),
            ("&event=", good()),
            ("&event=completed", Announce { event: Event::Completed, ..good() }),
            ("&compact=0", Announce { compact: false, ..good() }),
            ("&numwant=-1", good()),
            ("&numwant=99999999999", Announce { numwant: Some(u32::MAX), ..good() }),
            ("&unknown&=&&unknown=%zz", good()),
        ] {
            assert_eq!(read(&format!("{GOOD}{more}")), Ok(announce), "{more}");
        }
        let with = |from: &str, to: &str| read(&GOOD.replace(from, to));
        assert_eq!(with("&uploaded=0&downloaded=0", ""), Ok(good()), "statistics may be missing");
        assert_eq!(with("left=100000", "left=-1").unwrap().left, u64::MAX, "not known yet");
        assert_eq!(with("port=51413", "port=0").unwrap().port, 0, "takes no connections");
        let spaced = with("3000-9xc", "3000+9%2Bc").unwrap();
        assert_eq!(spaced.peer_id.as_bytes(), b"-TR3000 9+cwx0v1tde9", "as form encoders write it");
    }

    #[test]
    fn failures_say_what_is_wrong() {
        for (from, to, words) in [
            ("info_hash=", "hash=", "info_hash is missing"),
            ("peer_id=", "id=", "peer_id is missing"),
            ("port=", "p=", "port is missing"),
            ("left=", "l=", "left is missing"),
            ("&port", "&port=1&port", "port is given twice"),
            ("&port", "&numwant=1&numwant=1&port", "numwant is given twice"),
            ("info_hash=", "info_hash=x&info_hash=", "info_hash is given twice"),
            ("%89", "", "info_hash has 19 bytes, not 20"),
            ("%89", "%89a", "info_hash has 21 bytes, not 20"),
            ("%89", "%8", "info_hash has a % without two hex digits"),
            ("%89", "%", "info_hash has a % without two hex digits"),
            ("%89", "%+9", "info_hash has a % without two hex digits"),
            ("tde9", "tde", "peer_id has 19 bytes, not 20"),
            ("port=51413", "port=65536", "port is not a number from 0 to 65535"),
            ("port=51413", "port=", "port is not a number from 0 to 65535"),
            ("left=100000", "left=", "left is not a number"),
            ("left=100000", "left=-", "left is not a number"),
            ("left=100000", "left=1e5", "left is not a number"),
            ("left=100000", "left=+1", "left is not a number"),
            ("left=100000", "left=99999999999999999999", "left is not a number"),
            ("uploaded=0", "uploaded=x", "uploaded is not a number"),
        ] {
            let said = read(&GOOD.replacen(from, to, 1)).map_err(|failure| failure.to_string());
            assert_eq!(said, Err(words.to_owned()), "{from} -> {to}");
        }
        let long = format!("{GOOD}&x={}", "x".repeat(MAX_QUERY));
        assert!(read(&long).unwrap_err().reason.contains("8192"));
    }

    #[test]
    fn scrapes_name_their_torrents() {
        let hash = |byte: u8| format!("info_hash=%{byte:02x}{}", "%00".repeat(19));
        let query = |count: u8| (0..count).map(hash).collect::<Vec<_>>().join("&");
        for (query, result) in [
            (hash(1), Ok(1)),
            (query(74), Ok(74)),
            (query(75), Err("75 info hashes at once; at most 74 are answered")),
            (String::new(), Err("info_hash is missing")),
            ("x=1".into(), Err("info_hash is missing")),
            (format!("{}&info_hash=abc", hash(1)), Err("info_hash has 3 bytes, not 20")),
            ("x".repeat(MAX_QUERY + 1), Err("a query of more than 8192 bytes is not read")),
        ] {
            let hashes = parse_scrape(&query).map_err(|failure| failure.to_string());
            assert_eq!(hashes.as_ref().map(Vec::len).map_err(String::as_str), result, "{query}");
        }
    }

    #[test]
    fn no_query_panics() {
        const PIECES: [&str; 12] =
            ["info_hash", "peer_id", "port", "left", "=", "&", "%", "%f", "%ff", "-1", "é", "51413"];
        let mut random = testing::random(3);
        for _ in 0..20_000 {
            let length = random() % 16;
            let mut piece = || PIECES[usize::try_from(random() % 12).unwrap()];
            let query: String = (0..length).map(|_| piece()).collect();
            let _ = (read(&query), parse_scrape(&query));
        }
        for end in (0..=GOOD.len()).filter(|end| *end < GOOD.len() - 5) {
            assert!(read(&GOOD[..end]).is_err(), "{end} bytes of a query");
        }
    }

    fn answer() -> Answer {
        Answer {
            interval: Duration::from_mins(2),
            min_interval: Duration::from_mins(1),
            scrape: Scrape { complete: 3, incomplete: 2, downloaded: 1 },
            has_finished: false,
            peers_v4: vec![SocketAddrV4::new([97, 98, 99, 100].into(), 0x6566)],
            peers_v6: vec![SocketAddrV6::new([0x3031; 8].into(), 0x6566, 0, 0)],
        }
    }

    #[test]
    fn responses_are_canonical_bencode() {
        let without_v6 = Answer { peers_v6: Vec::new(), ..answer() };
        let v6 = Announce { address: "3031:3031:3031:3031:3031:3031:3031:3031".parse().unwrap(), ..good() };
        let here = Announce { address: "97.98.99.100".parse().unwrap(), ..good() };
        let start = "d8:completei3e10:downloadedi1e11:external ip";
        let middle = "10:incompletei2e8:intervali120e12:min intervali60e";
        for (name, body, text) in [
            (
                "compact",
                announce_response(&without_v6, &here),
                format!("{start}4:abcd{middle}5:peers6:abcdefe"),
            ),
            (
                "compact with IPv6",
                announce_response(&answer(), &v6),
                format!("{start}16:0101010101010101{middle}5:peers6:abcdef6:peers618:0101010101010101efe"),
            ),
            (
                "dictionaries",
                announce_response(&answer(), &Announce { compact: false, ..here }),
                format!(
                    "{start}4:abcd{middle}5:peersld2:ip12:97.98.99.1004:porti25958eed2:ip39:3031:3031:3031:3031:\
                     3031:3031:3031:30314:porti25958eeee"
                ),
            ),
            (
                "scrape, in the order of the info hashes, each once",
                scrape_response(&[
                    (InfoHash([b'b'; 20]), answer().scrape),
                    (InfoHash([b'a'; 20]), Scrape::default()),
                    (InfoHash([b'b'; 20]), answer().scrape),
                ]),
                "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:downloadedi0e10:incompletei0ee\
                 20:bbbbbbbbbbbbbbbbbbbbd8:completei3e10:downloadedi1e10:incompletei2eeee"
                    .into(),
            ),
            ("empty scrape", scrape_response(&[]), "d5:filesdee".into()),
            (
                "not published",
                failure(&NOT_PUBLISHED),
                "d14:failure reason34:this torrent is not published here8:retry ini5ee".into(),
            ),
            (
                "malformed",
                failure(&Failure::malformed("no")),
                "d14:failure reason2:no8:retry in5:nevere".into(),
            ),
        ] {
            assert_eq!(String::from_utf8(body.clone()).unwrap(), text, "{name}");
            scan(&body, Limits { bytes: body.len(), depth: 4 }).unwrap();
        }
    }
}
