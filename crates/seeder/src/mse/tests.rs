//! Both sides against bytes that another implementation made, against each other, and against what goes wrong.

use torrent::PeerId;

use super::chance::CHANCE;
use super::ciphers::Ciphers;
use super::dh::{KEY, PrivateKey, Secret};
use super::*;
use crate::handshake::{Handshake, LENGTH, Reserved};

const INFO_HASH: InfoHash = InfoHash([0xaa; 20]);

const HANDSHAKE: Handshake =
    Handshake { reserved: Reserved::OURS, info_hash: INFO_HASH, peer_id: PeerId(*b"-TR4050-theirpeerid1") };

/// An exchange from the outside, with `pow` and `hashlib` of Python: private keys are 0xa0a1.. and 0xf0ef..
const KEY_A: &str = "472755eaef101b0593e052e0cc3c29eac6eb14f921961204166f5cbeebb0f834d604d061141382c504\
    2202c1033f2879e84ca468dc0cf6d8739cc2a089a0c02ba15a0cc3041ee85574b9a61fbc3db7262331897272c312aeb88da27c\
    33ce3477";
const KEY_B: &str = "bb3af18641bc0a0f49e0f735768790948250d8e1b0916c2808b2708adc6a06dadd7a1ed8e0bd130bfc\
    b01b5088e1e874c1582dc5e68e3ce661f8adca75e9823b0b185ba9fca103cccc9767368416e0f597244c14fddc8565371e5e9b\
    3e27181a";
const HASHES: &str = "1c72b2024b7cb48868d8707b4f45ed2e4cf1ff41d3be7aad69765aab9651233f1592ed4231d6812d";
const OFFER_OF_BOTH: &str = "0b3c1086c8d1f58a1eb2b70e";
const OFFER_OF_RC4: &str = "0b3c1086c8d1f58a1eb2b70f";
const BEHIND_THE_OFFER: &str = "4fba2dd49a5d40c9acfbb71540a674a4f137ede63b379da93113ba6d6a407944b379e1bb532dee\
    6f15593bb2bcd21877dd0bc8a792c8851f004580c094cf47b105acfcddb8c4ba1626b4a0";
const CHOICE_OF_PLAIN: &str = "5bbb11028ebb31d9a51045247554283ffe4f81";
const CHOICE_OF_RC4: &str = "5bbb11028ebb31d9a51045277554283ffe4f81";

fn unhex(digits: &[&str]) -> Vec<u8> {
    let digits = digits.concat();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Chance that comes out as this.
fn chance(private_key: [u8; 20], padding: &[u8], zeros: u16) -> [u8; CHANCE] {
    let mut bytes = [0; CHANCE];
    bytes[..20].copy_from_slice(&private_key);
    bytes[20..22].copy_from_slice(&u16::try_from(padding.len()).unwrap().to_be_bytes());
    bytes[22..24].copy_from_slice(&zeros.to_be_bytes());
    bytes[24..24 + padding.len()].copy_from_slice(padding);
    bytes
}

fn chance_a() -> [u8; CHANCE] {
    chance(
        *b"\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf\xa0\xa1\xa2\xa3",
        b"padding of A",
        3,
    )
}

fn chance_b() -> [u8; CHANCE] {
    chance(
        *b"\xf0\xef\xee\xed\xec\xeb\xea\xe9\xe8\xe7\xe6\xe5\xe4\xe3\xe2\xe1\xe0\xdf\xde\xdd",
        b"and of B",
        5,
    )
}

fn find(name: [u8; 20]) -> Option<InfoHash> {
    (name == req2(INFO_HASH)).then_some(INFO_HASH)
}

/// What a side says, and what it has got of the connection itself after being given these parts of a stream.
struct Heard {
    said: Vec<u8>,
    received: Vec<u8>,
    encrypt: Option<Box<Rc4>>,
}

fn hear(
    said: Vec<u8>,
    parts: &[&[u8]],
    mut receive: impl FnMut(&[u8], &mut Vec<u8>) -> Result<Option<Agreed>, Error>,
) -> Result<Heard, Error> {
    let mut heard = Heard { said, received: Vec::new(), encrypt: None };
    let mut decrypt = None::<Decrypt>;
    for part in parts {
        if let Some(decrypt) = &mut decrypt {
            let mut part = part.to_vec();
            decrypt.apply(&mut part);
            heard.received.extend(part);
        } else if let Some(agreed) = receive(part, &mut heard.said)? {
            decrypt = Some(agreed.decrypt);
            heard.received = agreed.received;
            heard.encrypt = agreed.encrypt;
        }
    }
    assert!(decrypt.is_some(), "the exchange is not at its end");
    Ok(heard)
}

fn respond(chance: &[u8; CHANCE], parts: &[&[u8]]) -> Result<Heard, Error> {
    let mut responder = Responder::new(chance);
    hear(Vec::new(), parts, |part, out| responder.receive(part, find, out))
}

fn initiate(offer: Offer, chance: &[u8; CHANCE], parts: &[&[u8]]) -> Result<Heard, Error> {
    let mut said = Vec::new();
    let mut initiator = Initiator::new(HANDSHAKE, offer, chance, &mut said);
    hear(said, parts, |part, out| initiator.receive(part, out))
}

/// Either side, given what the other says in two parts of all sizes and byte by byte.
fn check_vector(offer: Offer, offered: &str, choice: &str, then: [&[u8]; 2]) {
    let from_a = [
        unhex(&[KEY_A]),
        b"padding of A".to_vec(),
        unhex(&[HASHES, offered, BEHIND_THE_OFFER]),
        then[0].to_vec(),
    ]
    .concat();
    let from_b = [unhex(&[KEY_B]), b"and of B".to_vec(), unhex(&[choice]), then[1].to_vec()].concat();
    let splits = |stream: &[u8]| -> Vec<Vec<Vec<u8>>> {
        let bytes = stream.chunks(1).map(<[u8]>::to_vec).collect();
        let pairs = (0..=stream.len()).map(|at| vec![stream[..at].to_vec(), stream[at..].to_vec()]);
        pairs.chain([bytes]).collect()
    };
    let check = |heard: Heard, said: &[u8], received: &[u8], then: &[u8]| {
        assert_eq!(heard.said, said[..said.len() - 5]);
        assert_eq!(heard.received, received);
        let mut next = [0, 0, 0, 1, received[received.len() - 1] ^ 3];
        assert_eq!(heard.encrypt.is_some(), choice == CHOICE_OF_RC4);
        if let Some(mut encrypt) = heard.encrypt {
            encrypt.apply(&mut next);
        }
        assert_eq!(next, then);
    };
    for parts in splits(&from_a) {
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        let received = [&HANDSHAKE.to_bytes()[..], b"\0\0\0\x01\x02"].concat();
        check(respond(&chance_b(), &parts).unwrap(), &from_b, &received, then[1]);
    }
    for parts in splits(&from_b) {
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        check(initiate(offer, &chance_a(), &parts).unwrap(), &from_a, b"\0\0\0\x01\x01", then[0]);
    }
}

#[test]
fn both_sides_speak_as_another_implementation_does() {
    let plain = [&b"\0\0\0\x01\x02"[..], b"\0\0\0\x01\x01"];
    let [a, b] = ["6dbcf499d6", "708c8b8fae"].map(|digits| unhex(&[digits]));
    check_vector(Offer::PlainOrRc4, OFFER_OF_BOTH, CHOICE_OF_PLAIN, plain);
    check_vector(Offer::Rc4, OFFER_OF_RC4, CHOICE_OF_RC4, [&a, &b]);
}

#[test]
fn padding_may_have_any_length_and_content() {
    for length in 0..=MAX_PADDING {
        let other = MAX_PADDING - length;
        let chances = [length, other].map(|length| chance([1; 20], &vec![0x5a; length.into()], length));
        let offer = if length.is_multiple_of(2) { Offer::Rc4 } else { Offer::PlainOrRc4 };
        let mut said = Vec::new();
        let mut initiator = Initiator::new(HANDSHAKE, offer, &chances[0], &mut said);
        let mut responder = Responder::new(&chances[1]);
        let (mut to_initiator, mut ends) = (Vec::new(), (None, None));
        while !said.is_empty() || !to_initiator.is_empty() {
            let to_responder = std::mem::take(&mut said);
            ends.1 = ends.1.or(responder.receive(&to_responder, find, &mut to_initiator).unwrap());
            ends.0 = ends.0.or(initiator.receive(&std::mem::take(&mut to_initiator), &mut said).unwrap());
        }
        let (a, b) = (ends.0.unwrap(), ends.1.unwrap());
        assert_eq!((a.received, b.received), (Vec::new(), HANDSHAKE.to_bytes().to_vec()), "{length}");
        assert_eq!([a.encrypt.is_some(), b.encrypt.is_some()], [offer == Offer::Rc4; 2]);
    }
}

/// A peer that says what it likes.
struct Forger {
    key: PrivateKey,
    secret: Secret,
    ciphers: Ciphers,
    said: Vec<u8>,
}

impl Forger {
    /// One that has got as far as the end of its padding, and names this torrent.
    fn new(padding: usize, info_hash: InfoHash) -> Self {
        let key = PrivateKey::new([7; 20]);
        let theirs: [u8; KEY] = unhex(&[KEY_B]).try_into().unwrap();
        let secret = key.secret(&theirs).unwrap();
        let mut said = key.public_key().to_vec();
        said.resize(KEY + padding, 0);
        said.extend(secret.hash(*b"req1"));
        said.extend(xor(req2(info_hash), secret.hash(*b"req3")));
        Self { key, secret, ciphers: Ciphers::of_initiator(&secret, info_hash), said }
    }

    /// Offers these methods and sends so many zeros along.
    fn offer(mut self, methods: u32, padding: u16, initial: u16) -> Vec<u8> {
        let then = [&initial.to_be_bytes()[..], &vec![0; initial.into()]].concat();
        self.ciphers.write_methods(methods, padding, &then, &mut self.said);
        self.said
    }
}

#[track_caller]
fn check_refused(stream: &[u8], want: Error) {
    assert_eq!(respond(&chance_b(), &[stream]).map(|_| ()), Err(want));
    assert!(!want.to_string().is_empty());
}

#[test]
fn the_responder_refuses_what_breaks_the_rules() {
    let unknown = InfoHash([0xbb; 20]);
    check_refused(&Forger::new(0, unknown).offer(3, 0, 0), Error::UnknownTorrent);
    let mut other_key = Forger::new(0, INFO_HASH);
    other_key.ciphers = Ciphers::of_initiator(&other_key.secret, unknown);
    check_refused(&other_key.offer(3, 0, 0), Error::WrongKey);
    for methods in [0, 4, 0xffff_fffc] {
        check_refused(&Forger::new(0, INFO_HASH).offer(methods, 0, 0), Error::NothingInCommon(methods));
    }
    for padding in [513, u16::MAX] {
        check_refused(&Forger::new(0, INFO_HASH).offer(3, padding, 0), Error::TooMuchPadding(padding));
    }
    check_refused(&Forger::new(513, INFO_HASH).offer(3, 0, 0), Error::NotFound);
    assert!(respond(&chance_b(), &[&Forger::new(512, INFO_HASH).offer(3, 512, 0)]).is_ok());
}

#[test]
fn what_is_no_bittorrent_at_all_is_noticed_at_the_earliest() {
    let mut responder = Responder::new(&chance_b());
    let key = Forger::new(0, INFO_HASH).key.public_key();
    let mut out = Vec::new();
    assert!(responder.receive(&key[..95], find, &mut out).unwrap().is_none());
    assert!(out.is_empty());
    assert!(responder.receive(&[&key[95..], &[0; 531]].concat(), find, &mut out).unwrap().is_none());
    assert_eq!(responder.receive(&[0], find, &mut out).map(|_| ()), Err(Error::NotFound));
}

#[test]
fn keys_that_give_no_secret_are_refused() {
    let prime = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a0879\
        8e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a362100000000000905";
    let small = |last| [&[0; KEY - 1][..], &[last]].concat();
    for (key, refused) in [
        (small(0), true),
        (small(1), true),
        (small(2), false),
        (unhex(&[prime, "61"]), false),
        (unhex(&[prime, "62"]), true),
        (unhex(&[prime, "63"]), true),
        (unhex(&[prime, "64"]), true),
        (vec![0xff; KEY], true),
    ] {
        let responder = Responder::new(&chance_b()).receive(&key, find, &mut Vec::new());
        let initiator = Initiator::new(HANDSHAKE, Offer::Rc4, &chance_a(), &mut Vec::new())
            .receive(&key, &mut Vec::new());
        let want = if refused { Err(Error::BadPublicKey) } else { Ok(true) };
        for got in [responder, initiator] {
            assert_eq!(got.map(|agreed| agreed.is_none()), want, "{key:x?}");
        }
    }
}

#[test]
fn the_connection_may_begin_with_as_much_as_the_peer_likes() {
    for (methods, initial) in [(3, 0), (3, 1), (3, u16::MAX), (1, 1000), (2, 0), (2, 1000), (2, u16::MAX)] {
        let mut forger = Forger::new(0, INFO_HASH).offer(methods, 9, initial);
        let mut stream = forger.split_off(300.min(forger.len()));
        let mut parts = vec![forger.as_slice()];
        stream.extend(b"plain, and read as such only if that was agreed on");
        parts.extend(stream.chunks(1000));
        let heard = respond(&chance_b(), &parts).unwrap();
        let (begin, then) = heard.received.split_at(initial.into());
        assert!(begin.iter().all(|byte| *byte == 0), "{methods} {initial}");
        assert_eq!(then.starts_with(b"plain, and read"), methods != 2, "{methods} {initial}");
        assert_eq!(heard.received.len(), usize::from(initial) + 50);
    }
}

#[test]
fn the_initiator_takes_nothing_that_it_has_not_offered() {
    for (offer, method, padding, want) in [
        (Offer::PlainOrRc4, 1, 512, None),
        (Offer::PlainOrRc4, 2, 0, None),
        (Offer::PlainOrRc4, 0, 0, Some(Error::NotOffered(0))),
        (Offer::PlainOrRc4, 3, 0, Some(Error::NotOffered(3))),
        (Offer::PlainOrRc4, 4, 0, Some(Error::NotOffered(4))),
        (Offer::PlainOrRc4, 1, 513, Some(Error::TooMuchPadding(513))),
        (Offer::Rc4, 2, 0, None),
        (Offer::Rc4, 1, 0, Some(Error::NotOffered(1))),
    ] {
        let key = PrivateKey::new([9; 20]);
        let secret = key.secret(&unhex(&[KEY_A]).try_into().unwrap()).unwrap();
        for before in [0, 512, 513] {
            let mut stream = key.public_key().to_vec();
            stream.resize(KEY + before, 0);
            Ciphers::of_responder(&secret, INFO_HASH).write_methods(method, padding, &[], &mut stream);
            let want = if before > 512 { Some(Error::NotFound) } else { want };
            let got = initiate(offer, &chance_a(), &[&stream]).err();
            assert_eq!(got, want, "{offer:?}, {method} chosen, {padding} behind it, {before} before");
        }
    }
}

#[test]
fn plain_connections_are_told_at_the_first_byte_that_differs() {
    let plain = HANDSHAKE.to_bytes();
    for length in 0..LENGTH {
        assert_eq!(is_plain(&plain[..length]), (length >= 20).then_some(true), "{length} bytes");
    }
    for at in 0..20 {
        let mut key = plain;
        key[at] ^= 0x80;
        assert_eq!(is_plain(&key[..=at]), Some(false), "byte {at}");
        assert_eq!(is_plain(&key), Some(false), "byte {at}");
    }
}

/// Streams that begin like those of peers, and go wrong somewhere.
#[test]
fn no_bytes_make_either_side_panic_or_wait_for_ever() {
    let good = [
        [unhex(&[KEY_A, HASHES, OFFER_OF_BOTH, BEHIND_THE_OFFER]), vec![0; 700]].concat(),
        [unhex(&[KEY_B, CHOICE_OF_PLAIN]), vec![0; 700]].concat(),
    ];
    let mut random = 0x5eed_u64;
    let mut below = |end: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % end as u64).unwrap()
    };
    let (mut agreed, mut refused) = (0, 0);
    for round in 0..1000 {
        let mut stream = good[round % 2].clone();
        for _ in 0..below(3) {
            let at = below(240);
            match below(4) {
                0 => stream[at] = below(256).to_le_bytes()[0],
                1 => stream.insert(at, 0),
                2 => drop(stream.remove(at)),
                _ => stream.splice(at..at, vec![0x5a; below(600)]).for_each(drop),
            }
        }
        let part = 1 + below(stream.len());
        let mut responder = Responder::new(&chance_b());
        let mut initiator = Initiator::new(HANDSHAKE, Offer::PlainOrRc4, &chance_a(), &mut Vec::new());
        let mut out = Vec::new();
        let end = stream.chunks(part).find_map(|part| {
            if round % 2 == 0 {
                responder.receive(part, find, &mut out).transpose()
            } else {
                initiator.receive(part, &mut out).transpose()
            }
        });
        assert!(
            out.len() <= 2 * (KEY + usize::from(MAX_PADDING)),
            "{} bytes for {}",
            out.len(),
            stream.len()
        );
        match end.expect("neither agreed nor refused after all that") {
            Ok(_) => agreed += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(agreed > 100 && refused > 100, "{agreed} agreed, {refused} were refused: too much alike");
}
