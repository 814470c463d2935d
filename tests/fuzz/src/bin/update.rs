//! What may be found in an update file before its signature was verified, and in the boot state.

#![no_main]

use appliance::boot_state::BootState;
use appliance::update::{self, ENVELOPE_BYTES, Header, MAX_INITRAMFS, MAX_KERNEL};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((envelope, rest)) = bytes.split_first_chunk::<ENVELOPE_BYTES>() {
        if let Ok(signature) = update::signature(envelope) {
            assert_eq!(signature.lines().count(), 4);
        }
        if let Some(Ok(header)) = rest.first_chunk().map(Header::parse) {
            assert!((1..=MAX_KERNEL).contains(&header.kernel_bytes));
            assert!((1..=MAX_INITRAMFS).contains(&header.initramfs_bytes));
        }
    }
    if let Ok(state) = BootState::parse(bytes) {
        assert_eq!(state.to_block(), bytes, "there is one way to write a state");
        assert!(state.trial.is_none_or(|trial| trial.slot != state.good));
    }
});
