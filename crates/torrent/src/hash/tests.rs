use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::*;
use crate::xorshift::Xorshift;

/// As many messages as any test needs, of which no two are the same or aligned alike.
struct Content(Vec<u8>);

impl Content {
    const MESSAGES: usize = 40;
    const STEP: usize = 7919;

    fn new(longest: usize) -> Self {
        let mut chance = Xorshift::new(52);
        let words = (longest + Self::MESSAGES * Self::STEP).div_ceil(8);
        Self((0..words).flat_map(|_| chance.next().to_le_bytes()).collect())
    }

    fn message(&self, number: usize, length: usize) -> &[u8] {
        &self.0[number * Self::STEP..][..length]
    }
}

fn available() -> impl Iterator<Item = Method> {
    Method::ALL.into_iter().filter(|method| method.is_available())
}

/// Every method of this processor, and what is chosen, say what the crates `sha1` and `sha2` say.
#[track_caller]
fn check(messages: &[&[u8]]) {
    let sha1: Vec<[u8; 20]> = messages.iter().map(|message| Sha1::digest(message).into()).collect();
    let sha256: Vec<[u8; 32]> = messages.iter().map(|message| Sha256::digest(message).into()).collect();
    let lengths = || messages.iter().map(|message| message.len()).collect::<Vec<_>>();
    for method in available() {
        assert!(method.sha1(messages) == sha1, "SHA-1, {method:?}, lengths {:?}", lengths());
        assert!(method.sha256(messages) == sha256, "SHA-256, {method:?}, lengths {:?}", lengths());
    }
    assert!(hash_pieces(messages) == sha1, "SHA-1, lengths {:?}", lengths());
    assert!(sha256_blocks(messages) == sha256, "SHA-256, lengths {:?}", lengths());
}

#[test]
fn any_number_of_messages_of_every_length_at_the_edges_of_blocks() {
    let content = Content::new(16 << 10);
    for length in [0, 1, 55, 56, 63, 64, 65, 119, 120, 16 << 10] {
        for count in 0..=40 {
            let messages: Vec<&[u8]> = (0..count).map(|number| content.message(number, length)).collect();
            check(&messages);
        }
    }
}

#[test]
fn long_messages() {
    let content = Content::new(1 << 20);
    for count in [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 40] {
        let messages: Vec<&[u8]> = (0..count).map(|number| content.message(number, 1 << 20)).collect();
        check(&messages);
    }
}

#[test]
fn a_shorter_last_piece() {
    let content = Content::new(16 << 10);
    for last in [0, 1, 64, 16_383] {
        let length = |number| if number == 32 { last } else { 16 << 10 };
        let messages: Vec<&[u8]> = (0..33).map(|number| content.message(number, length(number))).collect();
        check(&messages);
    }
}

#[test]
fn messages_of_different_lengths_in_any_order() {
    let content = Content::new(4096);
    let mut chance = Xorshift::new(256);
    for _ in 0..200 {
        let count = chance.below(Content::MESSAGES);
        let messages: Vec<&[u8]> =
            (0..count).map(|number| content.message(number, chance.below(4096))).collect();
        check(&messages);
    }
}

#[test]
fn nodes_in_pairs() {
    let nodes: Vec<[u8; 32]> = (0..80).map(|number| [number; 32]).collect();
    let parents = sha256_blocks(nodes.as_flattened().as_chunks::<64>().0);
    assert_eq!(parents.len(), 40);
    for (number, parent) in parents.iter().enumerate() {
        assert_eq!(parent[..], Sha256::digest(nodes[2 * number..][..2].as_flattened())[..]);
    }
}

/// Every method gives these hashes for one message and for many.
#[track_caller]
fn check_known(message: &[u8], sha1: &str, sha256: &str) {
    for method in available() {
        for count in [1, method.lanes()] {
            let messages = vec![message; count];
            assert!(method.sha1(&messages).iter().all(|hash| hex(hash) == sha1), "SHA-1, {method:?}");
            assert!(method.sha256(&messages).iter().all(|hash| hex(hash) == sha256), "SHA-256, {method:?}");
        }
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[test]
fn examples_of_the_standard() {
    check_known(
        b"",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
    check_known(
        b"abc",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    check_known(
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    );
    check_known(
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        "a49b2446a02c645bf419f995b67091253a04a259",
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
    );
    check_known(
        &vec![b'a'; 1_000_000],
        "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
    );
}

#[test]
fn batches_are_as_wide_as_the_method_that_is_told() {
    assert!((1..=16).contains(&lanes()));
    assert!(lanes() == 1 || description().contains(&lanes().to_string()), "{}", description());
}
