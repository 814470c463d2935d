//! The extended handshake (BEP 10): which extensions a peer knows and how it numbers them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use torrent::bencode::{self, Error, Limits, dictionary};

use crate::message::MAX_MESSAGE;

/// Number of the extended handshake itself in [`Message::Extended`](crate::Message::Extended).
pub const HANDSHAKE_ID: u8 = 0;

/// Name of the extension that hands out metadata (BEP 9).
const UT_METADATA: &[u8] = b"ut_metadata";

/// Name of the extension that tells peers of each other (BEP 11).
const UT_PEX: &[u8] = b"ut_pex";

/// Limits on the dictionaries of extension messages. Two levels are needed; clients may add some of their own.
pub(crate) const LIMITS: Limits = Limits { bytes: MAX_MESSAGE, depth: 8 };

/// What of an extended handshake matters between a seeder and its peers. Each item may be missing.
///
/// A handshake may be sent again; what it does not mention stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// The sender's number for metadata messages (BEP 9); 0 turns them off.
    pub ut_metadata: Option<u8>,
    /// The sender's number for peer exchange (BEP 11); 0 turns it off.
    pub ut_pex: Option<u8>,
    /// Where the sender takes connections, at the address that it is seen at; never 0.
    pub port: Option<u16>,
    /// The address at which the sender sees the receiver.
    pub your_ip: Option<IpAddr>,
    /// Size (bytes) of the info dictionary (BEP 9).
    pub metadata_size: Option<u32>,
    /// How many requests the sender keeps without dropping any.
    pub reqq: Option<u32>,
    /// Whether the sender downloads nothing, be it complete or not (BEP 21).
    pub upload_only: Option<bool>,
    /// Name and version of the sender's program, as it was written.
    pub client: Option<Vec<u8>>,
}

impl ExtendedHandshake {
    /// Reads the payload of the message. Unknown keys, values of other types and numbers that are out of range
    /// count as missing, as does anything after the dictionary.
    ///
    /// # Errors
    /// When the payload does not begin with a bencoded value within [`MAX_MESSAGE`] and 8 levels.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let (value, _) = bencode::scan_prefix(payload, LIMITS)?;
        let Some(top) = value.as_dictionary() else { return Ok(Self::default()) };
        let integer = |key| top.get(key)?.as_integer();
        let extension = |name| top.get(b"m")?.as_dictionary()?.get(name)?.as_integer();
        let port = integer(b"p").and_then(|port| port.try_into().ok());
        Ok(Self {
            ut_metadata: extension(UT_METADATA).and_then(|id| id.try_into().ok()),
            ut_pex: extension(UT_PEX).and_then(|id| id.try_into().ok()),
            port: port.filter(|port| *port != 0),
            your_ip: top.get(b"yourip").and_then(bencode::Value::as_bytes).and_then(parse_ip),
            metadata_size: integer(b"metadata_size").and_then(|size| size.try_into().ok()),
            reqq: integer(b"reqq").and_then(|reqq| reqq.try_into().ok()),
            upload_only: integer(b"upload_only").map(|value| value != 0),
            client: top.get(b"v").and_then(bencode::Value::as_bytes).map(<[u8]>::to_vec),
        })
    }

    /// The payload of the message.
    pub fn to_bytes(&self) -> Vec<u8> {
        dictionary(|top| {
            top.dictionary(b"m", |m| {
                if let Some(id) = self.ut_metadata {
                    m.integer(UT_METADATA, id);
                }
                if let Some(id) = self.ut_pex {
                    m.integer(UT_PEX, id);
                }
            });
            if let Some(size) = self.metadata_size {
                top.integer(b"metadata_size", size);
            }
            if let Some(port) = self.port {
                top.integer(b"p", port);
            }
            if let Some(reqq) = self.reqq {
                top.integer(b"reqq", reqq);
            }
            if let Some(upload_only) = self.upload_only {
                top.integer(b"upload_only", u8::from(upload_only));
            }
            if let Some(client) = &self.client {
                top.bytes(b"v", client);
            }
            match self.your_ip.map(|ip| ip.to_canonical()) {
                Some(IpAddr::V4(ip)) => top.bytes(b"yourip", ip.octets()),
                Some(IpAddr::V6(ip)) => top.bytes(b"yourip", ip.octets()),
                None => {}
            }
        })
    }
}

/// The 4 or 16 bytes of an address; an IPv4 one may be mapped.
fn parse_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into());
    let v6 = || Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical());
    v4().or_else(v6)
}

#[cfg(test)]
mod tests {
    use torrent::bencode::Problem;

    use super::*;

    #[track_caller]
    fn check(payload: &[u8], want: &ExtendedHandshake) {
        assert_eq!(&ExtendedHandshake::parse(payload).unwrap(), want, "{}", payload.escape_ascii());
    }

    #[test]
    fn handshakes_of_clients_are_read() {
        check(
            b"d12:complete_agoi-1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e12:ut_holepunchi4e\
              11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei5012e4:reqqi500e11:upload_onlyi1e\
              1:v17:qBittorrent/4.5.26:yourip4:\x7f\0\0\x01e",
            &ExtendedHandshake {
                ut_metadata: Some(2),
                ut_pex: Some(1),
                port: None,
                your_ip: Some(Ipv4Addr::LOCALHOST.into()),
                metadata_size: Some(5012),
                reqq: Some(500),
                upload_only: Some(true),
                client: Some(b"qBittorrent/4.5.2".to_vec()),
            },
        );
        check(
            b"d1:ei0e1:md11:ut_metadatai3e6:ut_pexi1ee1:pi51413e4:reqqi512e11:upload_onlyi0e\
              1:v17:Transmission 3.00e",
            &ExtendedHandshake {
                ut_metadata: Some(3),
                ut_pex: Some(1),
                port: Some(51413),
                reqq: Some(512),
                upload_only: Some(false),
                client: Some(b"Transmission 3.00".to_vec()),
                ..Default::default()
            },
        );
        check(
            b"d1:md11:ut_metadatai0eee trailing",
            &ExtendedHandshake { ut_metadata: Some(0), ..Default::default() },
        );
    }

    #[test]
    fn nonsense_counts_as_missing() {
        for payload in [
            &b"de"[..],
            b"le",
            b"d1:mlee",
            b"d1:md11:ut_metadata1:3ee",
            b"d1:md11:ut_metadatai256eee",
            b"d1:md11:ut_metadatai-1eee",
            b"d13:metadata_sizei4294967296e4:reqqi-1e11:upload_only1:11:vi4ee",
            b"d1:md6:ut_pexi256ee1:pi0e6:yourip5:abcdee",
            b"d1:pi65536e6:youripi4ee",
        ] {
            check(payload, &ExtendedHandshake::default());
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let handshake = ExtendedHandshake {
            ut_metadata: Some(1),
            ut_pex: Some(2),
            port: Some(6881),
            your_ip: Some("2001:db8::1".parse().unwrap()),
            metadata_size: Some(3425),
            reqq: Some(250),
            upload_only: Some(true),
            client: Some(b"x 1".to_vec()),
        };
        let bytes = handshake.to_bytes();
        assert_eq!(
            bytes.escape_ascii().to_string(),
            "d1:md11:ut_metadatai1e6:ut_pexi2ee13:metadata_sizei3425e1:pi6881e4:reqqi250e11:upload_onlyi1e\
             1:v3:x 16:yourip16: \\x01\\r\\xb8\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01e"
        );
        check(&bytes, &handshake);
        assert_eq!(ExtendedHandshake::default().to_bytes(), b"d1:mdee");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = [&b"d1:x"[..], &b"l".repeat(10_000)].concat();
        assert_eq!(ExtendedHandshake::parse(&deep).unwrap_err().problem, Problem::TooDeep);
    }
}
