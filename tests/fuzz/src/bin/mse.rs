//! Both sides of an encrypted exchange, with a line between them that cuts what is said into pieces and damages it.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use seeder::mse::{Agreed, CHANCE, Error, Initiator, MAX_PADDING, Offer, Responder, req2};
use seeder::{Handshake, Reserved};
use torrent::{InfoHash, PeerId};

const HANDSHAKE: Handshake =
    Handshake { reserved: Reserved::OURS, info_hash: InfoHash([0xaa; 20]), peer_id: PeerId([0x2d; 20]) };

/// Most that a side says: a key, hashes, an offer with the handshake, and padding twice.
const MAX_SAID: usize = 96 + 40 + 16 + 68 + 2 * MAX_PADDING as usize;

#[derive(Debug, Arbitrary)]
struct Input {
    offers_plain: bool,
    /// Lengths of padding, which each side takes modulo the most.
    padding: [[u16; 2]; 2],
    /// Bytes of a piece on its way.
    piece: u8,
    /// To the responder and to the initiator.
    damage: [Vec<Damage>; 2],
    /// What is said after the exchange.
    content: Vec<u8>,
}

/// What happens to the byte at this place in all that a side is told.
#[derive(Debug, Arbitrary)]
struct Damage {
    at: u16,
    how: How,
}

#[derive(Debug, Arbitrary)]
enum How {
    Change(u8),
    Lose,
    Precede(Vec<u8>),
}

/// One direction of the line.
struct Line<'a> {
    damage: &'a [Damage],
    passed: usize,
}

impl Line<'_> {
    fn pass(&mut self, said: &mut Vec<u8>) -> Vec<u8> {
        let mut heard = Vec::new();
        for mut byte in said.drain(..) {
            let mut is_lost = false;
            for damage in self.damage.iter().filter(|damage| usize::from(damage.at) == self.passed) {
                match &damage.how {
                    How::Change(by) => byte ^= by,
                    How::Lose => is_lost = true,
                    How::Precede(bytes) => heard.extend_from_slice(bytes),
                }
            }
            heard.extend((!is_lost).then_some(byte));
            self.passed += 1;
        }
        heard
    }
}

fn chance([behind_key, behind_methods]: [u16; 2], key: u8) -> [u8; CHANCE] {
    let mut bytes = [key; CHANCE];
    bytes[20..22].copy_from_slice(&behind_key.to_be_bytes());
    bytes[22..24].copy_from_slice(&behind_methods.to_be_bytes());
    bytes
}

/// Gives a side what it hears, in pieces; what comes after the exchange is added to what it ended in.
fn hear(
    heard: &[u8],
    piece: u8,
    agreed: &mut Option<Agreed>,
    mut receive: impl FnMut(&[u8]) -> Result<Option<Agreed>, Error>,
) -> Result<(), Error> {
    for piece in heard.chunks(1 + usize::from(piece)) {
        if let Some(agreed) = agreed {
            let mut piece = piece.to_vec();
            agreed.decrypt.apply(&mut piece);
            agreed.received.extend(piece);
        } else {
            *agreed = receive(piece)?;
        }
    }
    Ok(())
}

/// What both sides ended in, if they did.
fn exchange(input: &Input) -> Result<[Option<Agreed>; 2], Error> {
    let offer = if input.offers_plain { Offer::PlainOrRc4 } else { Offer::Rc4 };
    let find = |name| (name == req2(HANDSHAKE.info_hash)).then_some(HANDSHAKE.info_hash);
    let (mut said, mut answer) = (Vec::new(), Vec::new());
    let mut initiator = Initiator::new(HANDSHAKE, offer, &chance(input.padding[0], 7), &mut said);
    let mut responder = Responder::new(&chance(input.padding[1], 9));
    let [mut there, mut back] = [0, 1].map(|way: usize| Line { damage: &input.damage[way], passed: 0 });
    let (mut by_initiator, mut by_responder) = (None, None);
    while !said.is_empty() || !answer.is_empty() {
        let heard = there.pass(&mut said);
        hear(&heard, input.piece, &mut by_responder, |piece| responder.receive(piece, find, &mut answer))?;
        let heard = back.pass(&mut answer);
        hear(&heard, input.piece, &mut by_initiator, |piece| initiator.receive(piece, &mut said))?;
        assert!(there.passed.max(back.passed) <= MAX_SAID, "too much was said");
    }
    Ok([by_initiator, by_responder])
}

fuzz_target!(|input: Input| {
    let result = exchange(&input);
    if input.damage.iter().any(|damage| !damage.is_empty()) {
        return;
    }
    let [Some(mut by_initiator), Some(mut by_responder)] = result.expect("nothing was damaged") else {
        panic!("nothing was damaged, and they do not agree");
    };
    assert_eq!(by_responder.received, HANDSHAKE.to_bytes());
    assert_eq!(by_initiator.received, b"");
    assert_eq!(by_initiator.encrypt.is_none(), input.offers_plain);
    check_content(&input.content, &mut by_initiator, &mut by_responder);
    check_content(&input.content, &mut by_responder, &mut by_initiator);
});

/// What one side says after the exchange is what the other one hears.
fn check_content(content: &[u8], from: &mut Agreed, to: &mut Agreed) {
    let mut bytes = content.to_vec();
    if let Some(encrypt) = &mut from.encrypt {
        encrypt.apply(&mut bytes);
    }
    to.decrypt.apply(&mut bytes);
    assert_eq!(bytes, content);
}
