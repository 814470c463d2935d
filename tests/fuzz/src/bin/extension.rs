//! Payloads of extension messages, and requests for hashes.

#![no_main]

use discovery::exchange::{MAX_FIRST, PexMessage};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use seeder::{ExtendedHandshake, HashRequest, MAX_HASHES, MetadataMessage};

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Handshake(&'a [u8]),
    Metadata(&'a [u8]),
    Exchange(&'a [u8]),
    Hashes { pieces: u8, base_layer: u32, index: u32, length: u32, proof_layers: u32 },
}

fuzz_target!(|input: Input| match input {
    // What was understood is said again in a way that is understood the same.
    Input::Handshake(payload) => {
        if let Ok(handshake) = ExtendedHandshake::parse(payload) {
            assert_eq!(ExtendedHandshake::parse(&handshake.to_bytes()), Ok(handshake));
        }
    }
    Input::Metadata(payload) => {
        if let Ok(Some(message)) = MetadataMessage::parse(payload) {
            assert_eq!(MetadataMessage::parse(&message.to_bytes()), Ok(Some(message)));
        }
    }
    Input::Exchange(payload) => {
        if let Ok(message) = PexMessage::parse(payload) {
            assert!(message.added.len().max(message.dropped.len()) <= 2 * MAX_FIRST);
            // IPv4 addresses that came as mapped ones go to the others.
            let sorted = PexMessage::parse(&message.to_bytes()).expect("our own message");
            assert_eq!(PexMessage::parse(&sorted.to_bytes()), Ok(sorted));
        }
    }
    Input::Hashes { pieces, base_layer, index, length, proof_layers } => {
        let request = HashRequest { pieces_root: [0; 32], base_layer, index, length, proof_layers };
        let layer: Vec<_> = (0..pieces).map(|piece| [piece; 32]).collect();
        if let Some(answer) = request.answer(&layer, 0x8000) {
            assert!(length <= MAX_HASHES && answer.len() <= length as usize + 8, "{} hashes", answer.len());
        }
    }
});
