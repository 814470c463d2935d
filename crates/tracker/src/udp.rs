//! The UDP tracker protocol (BEP 15): packets in, packets out. All numbers are big-endian.
//!
//! A packet with a forged source must not make us send anything worth sending to its victim. So whoever has not
//! shown a connection id that was sent to that source gets at most 16 bytes for 16 bytes.

mod options;

use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};

use torrent::{InfoHash, PeerId};

use crate::connection_id::ConnectionId;
use crate::{Announce, Answer, Event, Failure, MAX_SCRAPE, Scrape};

/// Longest packet (bytes) that is read: a full scrape has 1,496, an announce 98 and its options (BEP 41).
pub const MAX_PACKET: usize = 2048;

/// Longest packet (bytes) that is sent: what IPv6 carries everywhere without fragments (1,280 - 40 - 8).
pub const MAX_RESPONSE: usize = 1232;

/// Opens every connect request.
const PROTOCOL_ID: u64 = 0x0417_2710_1980;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// Chosen by the client; comes back with the answer so that it knows which request is answered.
pub type TransactionId = u32;

/// A packet that deserves an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Asks for a connection id.
    Connect(TransactionId),
    /// The sender has proved that it receives at its source address.
    Announce(TransactionId, Announce),
    /// The sender has proved that it receives at its source address.
    Scrape(TransactionId, Vec<InfoHash>),
}

/// A packet that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reject {
    /// The sender is who it says; it may be told what is wrong.
    Answer(TransactionId, Failure),
    /// It may be anybody, so nothing is sent.
    Silent,
}

/// Reads a packet from `source`; `accepts` says whether a connection id was issued to that source.
///
/// Of the options after an announce (BEP 41) only a passkey in the URL's path counts.
///
/// # Errors
/// [`Reject::Answer`] only if the connection id was accepted.
pub fn parse(
    packet: &[u8],
    source: IpAddr,
    accepts: impl FnOnce(ConnectionId) -> bool,
) -> Result<Request, Reject> {
    let mut fields = Fields(packet);
    let header = (fields.u64(), fields.u32(), fields.u32());
    let (Some(id), Some(action), Some(transaction)) = header else {
        return Err(Reject::Silent);
    };
    if packet.len() > MAX_PACKET {
        return Err(Reject::Silent);
    }
    if action == CONNECT && id == PROTOCOL_ID {
        return Ok(Request::Connect(transaction));
    }
    if !accepts(ConnectionId(id)) {
        return Err(Reject::Silent);
    }
    let reject = |reason| Reject::Answer(transaction, Failure::malformed(reason));
    match action {
        ANNOUNCE => {
            let announce = fields.announce(source).ok_or_else(|| reject("the announce is cut short"))?;
            Ok(Request::Announce(transaction, announce))
        }
        SCRAPE => match fields.0.as_chunks::<20>() {
            ([], _) => Err(reject("the scrape names no info hash")),
            (hashes, []) if hashes.len() <= MAX_SCRAPE => {
                Ok(Request::Scrape(transaction, hashes.iter().copied().map(InfoHash).collect()))
            }
            (_, []) => Err(reject("the scrape names more than 74 info hashes")),
            (_, _) => Err(reject("the scrape is cut short")),
        },
        _ => Err(reject("the action is not known")),
    }
}

/// Answers a connect. `packet`, here and below, is empty; the answer is written into it, and its memory can be used again.
pub fn connect_response(packet: &mut Vec<u8>, transaction: TransactionId, id: ConnectionId) {
    header(packet, CONNECT, transaction);
    packet.extend_from_slice(&id.0.to_be_bytes());
}

/// Answers an announce. Only peers of the asker's address family have a place in it, and no more than fit into
/// [`MAX_RESPONSE`].
pub fn announce_response(packet: &mut Vec<u8>, transaction: TransactionId, answer: &Answer, asker: IpAddr) {
    header(packet, ANNOUNCE, transaction);
    let interval = u32::try_from(answer.interval.as_secs()).unwrap_or(u32::MAX);
    for number in [interval, answer.scrape.incomplete, answer.scrape.complete] {
        packet.extend_from_slice(&number.to_be_bytes());
    }
    let room = MAX_RESPONSE - packet.len();
    if asker.to_canonical().is_ipv4() {
        answer.peers_v4.iter().take(room / 6).for_each(|peer| packet.extend_from_slice(&compact_v4(*peer)));
    } else {
        answer.peers_v6.iter().take(room / 18).for_each(|peer| packet.extend_from_slice(&compact_v6(peer)));
    }
}

/// Answers a scrape, one entry for each info hash in the order of the request (zeros for torrents that are not
/// tracked).
pub fn scrape_response(packet: &mut Vec<u8>, transaction: TransactionId, swarms: &[Scrape]) {
    header(packet, SCRAPE, transaction);
    for swarm in swarms.iter().take(MAX_SCRAPE) {
        for number in [swarm.complete, swarm.downloaded, swarm.incomplete] {
            packet.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// Says why there is no answer.
pub fn error_response(packet: &mut Vec<u8>, transaction: TransactionId, failure: &Failure) {
    header(packet, ERROR, transaction);
    packet.extend(failure.reason.bytes().take(MAX_RESPONSE - packet.len()));
}

/// An IPv4 peer in 6 bytes (BEP 15 and 23).
pub(crate) fn compact_v4(peer: SocketAddrV4) -> [u8; 6] {
    let mut bytes = [0; 6];
    bytes[..4].copy_from_slice(&peer.ip().octets());
    bytes[4..].copy_from_slice(&peer.port().to_be_bytes());
    bytes
}

/// An IPv6 peer in 18 bytes (BEP 15 and 7).
pub(crate) fn compact_v6(peer: &SocketAddrV6) -> [u8; 18] {
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&peer.ip().octets());
    bytes[16..].copy_from_slice(&peer.port().to_be_bytes());
    bytes
}

fn header(packet: &mut Vec<u8>, action: u32, transaction: TransactionId) {
    packet.extend_from_slice(&action.to_be_bytes());
    packet.extend_from_slice(&transaction.to_be_bytes());
}

/// What is left of a packet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// What follows the header of an announce, in the order of the fields; `None` if bytes are missing.
    fn announce(&mut self, source: IpAddr) -> Option<Announce> {
        let info_hash = InfoHash(self.take()?);
        let peer_id = PeerId(self.take()?);
        let downloaded = self.u64()?;
        let left = self.u64()?;
        let uploaded = self.u64()?;
        let event = match self.u32()? {
            1 => Event::Completed,
            2 => Event::Started,
            3 => Event::Stopped,
            _ => Event::None,
        };
        let _claimed_address = self.u32()?;
        let key = self.u32()?;
        // A signed number; negative (-1 by convention) leaves it to the tracker.
        let numwant =
            self.u32().map(|numwant| Some(numwant).filter(|count| *count <= i32::MAX.cast_unsigned()))?;
        let port = u16::from_be_bytes(self.take()?);
        Some(Announce {
            info_hash,
            peer_id,
            address: source.to_canonical(),
            port,
            uploaded,
            downloaded,
            left,
            event,
            numwant,
            key,
            compact: true,
            passkey: options::passkey(self.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::time::Duration;

    const ID: u64 = 0x1122_3344_5566_7788;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |byte: &u8| u8::try_from(char::from(*byte).to_digit(16).unwrap()).unwrap();
        hex.as_bytes().chunks(2).map(|pair| 16 * digit(&pair[0]) + digit(&pair[1])).collect()
    }

    fn read(packet: &[u8]) -> Result<Request, Reject> {
        parse(packet, "::ffff:198.51.100.1".parse().unwrap(), |id| id == ConnectionId(ID))
    }

    fn info_hash() -> InfoHash {
        "fd73c78cab3dc023aa7e8e57dbae797b71011389".parse().unwrap()
    }

    /// A request as a client would write it.
    fn write(request: &Request) -> Vec<u8> {
        let open = |id: u64, action: u32, transaction: &u32| {
            [&id.to_be_bytes()[..], &action.to_be_bytes(), &transaction.to_be_bytes()].concat()
        };
        match request {
            Request::Connect(transaction) => open(PROTOCOL_ID, CONNECT, transaction),
            Request::Announce(transaction, announce) => {
                let event = match announce.event {
                    Event::None => 0_u32,
                    Event::Completed => 1,
                    Event::Started => 2,
                    Event::Stopped => 3,
                };
                let mut packet = open(ID, ANNOUNCE, transaction);
                packet.extend(announce.info_hash.as_bytes());
                packet.extend(announce.peer_id.as_bytes());
                for number in [announce.downloaded, announce.left, announce.uploaded] {
                    packet.extend(number.to_be_bytes());
                }
                let claimed_address = 0x0102_0304;
                for number in [event, claimed_address, announce.key, announce.numwant.unwrap_or(u32::MAX)] {
                    packet.extend(number.to_be_bytes());
                }
                packet.extend(announce.port.to_be_bytes());
                packet
            }
            Request::Scrape(transaction, hashes) => {
                let mut packet = open(ID, SCRAPE, transaction);
                packet.extend(hashes.iter().flat_map(|hash| hash.0));
                packet
            }
        }
    }

    #[test]
    fn packets_of_real_clients_are_read() {
        let announce = |peer_id: &[u8; 20], port, key, numwant| Announce {
            info_hash: info_hash(),
            peer_id: PeerId(*peer_id),
            left: 100_000,
            port,
            key,
            numwant: Some(numwant),
            ..testing::announce(0, "198.51.100.1")
        };
        for (client, packet, request) in [
            ("transmission 3.00", "0000041727101980000000000a2222d8", Request::Connect(0x0a22_22d8)),
            (
                "transmission 3.00",
                "112233445566778800000001144a1f7cfd73c78cab3dc023aa7e8e57dbae797b71011389\
                 2d5452333030302d327879756c7a3532347a6879000000000000000000000000000186a0\
                 0000000000000000000000020000\
                 00000a2da3bd00000050c8d5",
                Request::Announce(0x144a_1f7c, announce(b"-TR3000-2xyulz524zhy", 51413, 0x0a2d_a3bd, 80)),
            ),
            (
                "libtorrent 2.1.1, with the options of BEP 41",
                "1122334455667788000000018d5731f4fd73c78cab3dc023aa7e8e57dbae797b71011389\
                 2d4c54323131302d562a51677974444e30574d5f000000000000000000000000000186a0\
                 00000000000000000000000200000000f2eea129000000c8426702092f616e6e6f756e6365",
                Request::Announce(0x8d57_31f4, announce(b"-LT2110-V*QgytDN0WM_", 16999, 0xf2ee_a129, 200)),
            ),
            (
                "qBittorrent's peer id, libtorrent 2.1.1",
                "11223344556677880000000144390078fd73c78cab3dc023aa7e8e57dbae797b71011389\
                 2d7142343532302d5557494568654928546b6b64000000000000000000000000000186a0\
                 00000000000000000000000200000000a4f9caf9000000c8426702092f616e6e6f756e6365",
                Request::Announce(0x4439_0078, announce(b"-qB4520-UWIEheI(Tkkd", 16999, 0xa4f9_caf9, 200)),
            ),
            (
                "transmission 3.00",
                "1122334455667788000000024f002d67fd73c78cab3dc023aa7e8e57dbae797b71011389",
                Request::Scrape(0x4f00_2d67, vec![info_hash()]),
            ),
        ] {
            assert_eq!(read(&bytes(packet)), Ok(request), "{client}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut random = testing::random(1);
        for turn in 0..1_000 {
            let mut number = || u32::try_from(random() >> 32).unwrap();
            let transaction = number();
            let announce = Announce {
                uploaded: u64::from(number()) << 20,
                downloaded: u64::from(number()),
                left: u64::from(number()),
                key: number(),
                numwant: Some(number() / 2).filter(|_| turn % 5 != 0),
                event: [Event::None, Event::Completed, Event::Started, Event::Stopped][turn % 4],
                ..testing::announce(u16::try_from(turn).unwrap(), "198.51.100.1")
            };
            let hashes = (0..=turn % MAX_SCRAPE).map(|byte| InfoHash([u8::try_from(byte).unwrap(); 20]));
            for request in [
                Request::Connect(transaction),
                Request::Announce(transaction, announce),
                Request::Scrape(transaction, hashes.collect()),
            ] {
                assert_eq!(read(&write(&request)), Ok(request));
            }
        }
    }

    #[test]
    fn only_proven_senders_are_told_what_is_wrong() {
        let announce = write(&Request::Announce(5, testing::announce(1, "198.51.100.1")));
        let scrape = |count| write(&Request::Scrape(5, vec![info_hash(); count]));
        let mut unknown_action = scrape(1);
        unknown_action[11] = 9;
        for (name, packet, words) in [
            ("an announce without its last byte", &announce[..97], "cut short"),
            ("an announce of the header only", &announce[..16], "cut short"),
            ("no info hash", &scrape(0)[..], "no info hash"),
            ("half an info hash", &scrape(2)[..46], "cut short"),
            ("many info hashes", &scrape(75)[..], "more than 74"),
            ("unknown action", &unknown_action[..], "action"),
        ] {
            match read(packet) {
                Err(Reject::Answer(5, failure)) => {
                    assert!(failure.reason.contains(words), "{name}: {failure}");
                }
                other => panic!("{name}: {other:?}"),
            }
            let mut forged = packet.to_vec();
            forged[7] ^= 1;
            assert_eq!(read(&forged), Err(Reject::Silent), "{name}, wrong connection id");
        }
        let mut forged = announce.clone();
        forged[0] ^= 0x80;
        assert_eq!(read(&forged), Err(Reject::Silent), "a good announce with a wrong connection id");
        let connect = write(&Request::Connect(5));
        assert_eq!(read(&connect[..15]), Err(Reject::Silent), "a connect without its last byte");
        let mut other_protocol = connect;
        other_protocol[7] ^= 1;
        assert_eq!(read(&other_protocol), Err(Reject::Silent), "a connect of another protocol");
        let long = [&announce[..], &[0; MAX_PACKET]].concat();
        assert_eq!(read(&long), Err(Reject::Silent), "too long");
    }

    #[test]
    fn no_input_panics_and_short_ones_stay_unanswered() {
        let mut random = testing::random(2);
        for length in 0..300 {
            for action in [0, 1, 2, 3, 255] {
                let noise: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[0]).collect();
                assert_eq!(read(&noise), Err(Reject::Silent), "noise");
                let mut packet = [&ID.to_be_bytes()[..], &[0, 0, 0, action], &noise].concat();
                // With a good connection id anything may come out, except a panic.
                let _ = read(&packet);
                packet.truncate(length.min(15));
                assert_eq!(read(&packet), Err(Reject::Silent), "{length} bytes");
            }
        }
    }

    fn answer(peers: u16) -> Answer {
        let scrape = Scrape { complete: 3, incomplete: 2, downloaded: 1 };
        Answer {
            interval: Duration::from_mins(2),
            min_interval: Duration::from_mins(1),
            scrape,
            has_finished: false,
            peers_v4: (0..peers).map(|port| SocketAddrV4::new([192, 0, 2, 1].into(), port)).collect(),
            peers_v6: (0..peers).map(|port| SocketAddrV6::new([0xffff; 8].into(), port, 0, 0)).collect(),
        }
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut packet = Vec::new();
        write(&mut packet);
        packet
    }

    #[test]
    fn responses_have_the_layout_of_bep_15() {
        let (v4, v6) = ("198.51.100.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        for (name, packet, hex) in [
            (
                "connect",
                written(|packet| connect_response(packet, 7, ConnectionId(ID))),
                "00000000000000071122334455667788",
            ),
            (
                "announce",
                written(|packet| announce_response(packet, 7, &answer(2), v4)),
                "0000000100000007000000780000000200000003c00002010000c00002010001",
            ),
            (
                "announce, IPv6",
                written(|packet| announce_response(packet, 7, &answer(1), v6)),
                "0000000100000007000000780000000200000003ffffffffffffffffffffffffffffffff0000",
            ),
            (
                "scrape",
                written(|packet| scrape_response(packet, 7, &[answer(0).scrape, Scrape::default()])),
                "0000000200000007000000030000000100000002000000000000000000000000",
            ),
            (
                "error",
                written(|packet| error_response(packet, 7, &Failure::malformed("no"))),
                "00000003000000076e6f",
            ),
        ] {
            assert_eq!(packet, bytes(hex), "{name}");
        }
    }

    #[test]
    fn no_response_needs_fragments() {
        let (v4, v6) = ("198.51.100.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let most = u16::try_from(crate::swarm::MAX_NUMWANT).unwrap();
        assert_eq!(
            written(|packet| announce_response(packet, 7, &answer(most), v4)).len(),
            20 + 6 * 200,
            "all IPv4 peers fit"
        );
        assert_eq!(written(|packet| announce_response(packet, 7, &answer(most), v6)).len(), 20 + 18 * 67);
        assert_eq!(written(|packet| announce_response(packet, 7, &answer(2000), v4)).len(), 20 + 6 * 202);
        assert_eq!(
            written(|packet| scrape_response(packet, 7, &[Scrape::default(); 100])).len(),
            8 + 12 * MAX_SCRAPE
        );
        assert!(
            written(|packet| error_response(packet, 7, &Failure::malformed("no".repeat(1000)))).len()
                <= MAX_RESPONSE
        );
    }
}
