//! Packets to the UDP tracker, from senders that have a connection id and from others, with options behind announces
//! (BEP 41).

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use tracker::MAX_SCRAPE;
use tracker::connection_id::ConnectionId;
use tracker::udp::{self, MAX_PACKET, MAX_RESPONSE, Reject, Request};

/// The id that was issued.
const ID: u64 = 0x1122_3344_5566_7788;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    /// Whatever it is.
    Bytes(&'a [u8]),
    /// From a sender that has proved where it is.
    Proven { action: u8, body: &'a [u8] },
    /// An announce with these fields and these options.
    Announce { fields: [u8; 82], options: Vec<PacketOption<'a>> },
}

#[derive(Debug, Arbitrary)]
enum PacketOption<'a> {
    End,
    Nothing,
    /// A part of the URL; the length may be another.
    Url {
        length: Option<u8>,
        data: &'a [u8],
    },
    Other {
        kind: u8,
        length: u8,
        data: &'a [u8],
    },
}

impl PacketOption<'_> {
    fn write(&self, packet: &mut Vec<u8>) {
        match self {
            Self::End => packet.push(0),
            Self::Nothing => packet.push(1),
            Self::Url { length, data } => {
                packet.extend([2, length.unwrap_or(u8::try_from(data.len()).unwrap_or(u8::MAX))]);
                packet.extend_from_slice(data);
            }
            Self::Other { kind, length, data } => {
                packet.extend([*kind, *length]);
                packet.extend_from_slice(data);
            }
        }
    }
}

fn proven(action: u32, body: &[u8]) -> Vec<u8> {
    [&ID.to_be_bytes()[..], &action.to_be_bytes(), &7_u32.to_be_bytes(), body].concat()
}

fuzz_target!(|input: Input| {
    let source = IpAddr::from(Ipv4Addr::new(198, 51, 100, 1));
    let (packet, is_proven) = match input {
        Input::Bytes(bytes) => (bytes.to_vec(), false),
        Input::Proven { action, body } => (proven(action.into(), body), true),
        Input::Announce { fields, options } => {
            let mut packet = proven(1, &fields);
            for option in options {
                option.write(&mut packet);
            }
            (packet, true)
        }
    };
    let is_whole = packet.len() <= MAX_PACKET;
    match udp::parse(&packet, source, |id| is_proven && id == ConnectionId(ID)) {
        Ok(Request::Connect(_)) => assert!(packet.len() >= 16 && is_whole),
        Ok(Request::Announce(_, announce)) => {
            assert!(is_proven && packet.len() >= 98 && is_whole);
            assert_eq!(announce.address, source);
        }
        Ok(Request::Scrape(_, hashes)) => {
            assert!(is_proven && (1..=MAX_SCRAPE).contains(&hashes.len()));
        }
        Err(Reject::Answer(transaction, failure)) => {
            assert!(is_proven && transaction == 7);
            let mut answer = Vec::new();
            udp::error_response(&mut answer, transaction, &failure);
            assert!(answer.len() <= MAX_RESPONSE);
        }
        Err(Reject::Silent) => assert!(!is_proven || !is_whole),
    }
});
