//! A stream of messages, behind the number of pieces that the torrent has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seeder::{MAX_MESSAGE, Message, PIECE_HEADER};

fuzz_target!(|input: (u16, &[u8])| {
    let (pieces, mut stream) = input;
    let pieces = u32::from(pieces) * 64;
    let longest = PIECE_HEADER + MAX_MESSAGE.max(1 + pieces.div_ceil(8) as usize);
    loop {
        match Message::decode(stream, pieces) {
            Ok(Some((message, size))) => {
                if !matches!(message, Message::Unknown(_)) {
                    let mut bytes = Vec::new();
                    message.encode(&mut bytes);
                    assert_eq!(bytes, stream[..size], "{message:?}");
                }
                stream = &stream[size..];
            }
            Ok(None) => {
                assert!(stream.len() < longest, "{} bytes, and still no message", stream.len());
                break;
            }
            Err(_) => break,
        }
    }
});
