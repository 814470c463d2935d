//! The first bytes of a connection.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seeder::{HANDSHAKE_LENGTH, Handshake, mse};

fuzz_target!(|bytes: &[u8]| {
    let parsed = Handshake::parse(bytes);
    assert_eq!(parsed.is_err(), mse::is_plain(bytes) == Some(false), "plain and encrypted are told apart");
    if let Ok(Some(handshake)) = parsed {
        assert_eq!(handshake.to_bytes(), bytes[..HANDSHAKE_LENGTH]);
    }
});
