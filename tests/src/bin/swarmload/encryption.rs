//! Message stream encryption, the side of who connects, RC4 only.

use std::io::{Error, ErrorKind, Read, Result, Write};

use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{U192, U768, const_monty_params};
use sha1::{Digest, Sha1};
use system_tests::content::Chance;
use torrent::InfoHash;

const_monty_params!(
    Prime,
    U768,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74\
     020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
     4fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563"
);

/// A number modulo the prime of the key exchange.
type Number = ConstMontyForm<Prime, { U768::LIMBS }>;

/// Bytes of a public key, and of the shared secret.
const KEY: usize = 96;

/// Longest padding that either side may send, in bytes.
const LONGEST_PADDING: usize = 512;

/// `crypto_provide` and `crypto_select` for RC4.
const RC4: u8 = 2;

/// The stream cipher RC4; the first 1024 bytes of its key stream are thrown away.
pub struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    fn new(key: &[u8]) -> Self {
        let mut state: [u8; 256] = std::array::from_fn(|i| u8::try_from(i).expect("below 256"));
        let mut j = 0_u8;
        for i in 0..state.len() {
            j = j.wrapping_add(state[i]).wrapping_add(key[i % key.len()]);
            state.swap(i, j.into());
        }
        let mut rc4 = Self { state, i: 0, j: 0 };
        rc4.apply(&mut [0; 1024]);
        rc4
    }

    /// Encrypts or decrypts the next bytes.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.i = self.i.wrapping_add(1);
            let x = self.state[usize::from(self.i)];
            self.j = self.j.wrapping_add(x);
            let y = self.state[usize::from(self.j)];
            self.state[usize::from(self.i)] = y;
            self.state[usize::from(self.j)] = x;
            *byte ^= self.state[usize::from(x.wrapping_add(y))];
        }
    }
}

/// Both directions of a stream.
pub struct Ciphers {
    /// What comes in.
    pub incoming: Rc4,
    /// What goes out.
    pub outgoing: Rc4,
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn power(base: U768, exponent: &U192) -> [u8; KEY] {
    let mut bytes = [0; KEY];
    bytes.copy_from_slice(Number::new(&base).pow_vartime(exponent).retrieve().to_be_bytes().as_ref());
    bytes
}

/// Agrees on keys; `first` goes out with the last step.
pub fn initiate(
    stream: &mut (impl Read + Write),
    info_hash: &InfoHash,
    first: &[u8],
    chance: &mut Chance,
) -> Result<Ciphers> {
    let private = U192::from_be_slice(&chance.bytes(U192::BYTES));
    stream.write_all(&power(U768::from_u8(2), &private))?;
    let mut theirs = [0; KEY];
    stream.read_exact(&mut theirs)?;
    let secret = power(U768::from_be_slice(&theirs), &private);

    let hash = info_hash.as_bytes();
    let mut ciphers = Ciphers {
        incoming: Rc4::new(&sha1(&[b"keyB", &secret, hash])),
        outgoing: Rc4::new(&sha1(&[b"keyA", &secret, hash])),
    };
    // Verification constant, crypto_provide, no padding.
    let mut offer = [&[0; 8][..], &[0, 0, 0, RC4], &[0, 0]].concat();
    offer.extend(u16::try_from(first.len()).expect("a handshake is short").to_be_bytes());
    offer.extend(first);
    ciphers.outgoing.apply(&mut offer);
    let which = std::iter::zip(sha1(&[b"req2", hash]), sha1(&[b"req3", &secret])).map(|(a, b)| a ^ b);
    let mut message = sha1(&[b"req1", &secret]).to_vec();
    message.extend(which);
    message.extend(offer);
    stream.write_all(&message)?;
    read_answer(stream, &mut ciphers.incoming)?;
    Ok(ciphers)
}

/// Reads up to where the other side's stream begins.
fn read_answer(stream: &mut impl Read, incoming: &mut Rc4) -> Result<()> {
    // Padding of unknown length comes first: its end is known by the verification constant.
    let mut sought = [0; 8];
    incoming.apply(&mut sought);
    let mut seen = [0; 8];
    stream.read_exact(&mut seen)?;
    for _ in 0..LONGEST_PADDING {
        if seen == sought {
            break;
        }
        seen.rotate_left(1);
        stream.read_exact(&mut seen[7..])?;
    }
    let mut chosen = [0; 6];
    stream.read_exact(&mut chosen)?;
    incoming.apply(&mut chosen);
    if seen != sought || chosen[3] != RC4 {
        return Err(Error::new(ErrorKind::InvalidData, "RC4 was not chosen"));
    }
    let mut padding = vec![0; u16::from_be_bytes([chosen[4], chosen[5]]).into()];
    stream.read_exact(&mut padding)?;
    incoming.apply(&mut padding);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc4_skips_the_first_kibibyte() {
        // RFC 6229, 40 bit key, offset 1024.
        let mut bytes = [0; 8];
        Rc4::new(&[1, 2, 3, 4, 5]).apply(&mut bytes);
        assert_eq!(bytes, [0x30, 0xab, 0xbc, 0xc7, 0xc2, 0x0b, 0x01, 0x60]);
    }
}
