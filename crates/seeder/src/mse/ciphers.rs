//! The two directions of a connection.

use torrent::InfoHash;

use super::dh::Secret;
use super::rc4::Rc4;
use super::{Error, MAX_PADDING};

/// The zeros by which a side knows that it decrypts what it should, by the right key.
const VERIFICATION: [u8; 8] = [0; 8];

/// How the connection is encrypted after the exchange. The values are those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Plain = 1,
    Rc4 = 2,
}

impl Method {
    /// The bit that stands for it.
    pub(super) const fn bit(self) -> u32 {
        self as u32
    }
}

/// How the connection goes on. To the [session](crate::PeerSession) goes [`received`](Self::received) and then what
/// is read, once it is [decrypted](Decrypt::apply).
#[derive(Debug)]
pub struct Agreed {
    /// What the peer has sent of the connection itself already, decrypted.
    pub received: Vec<u8>,
    /// For everything that is read from now on.
    pub decrypt: Decrypt,
    /// For everything that is written from now on, if it is to be encrypted.
    pub encrypt: Option<Box<Rc4>>,
}

/// Decrypts what is read, as much of it as is encrypted. On a plain connection that is at most what the initiator
/// sent along with its offer.
#[derive(Debug)]
pub struct Decrypt {
    /// Boxed, since most connections need none.
    rc4: Option<Box<Rc4>>,
    /// Bytes after which the stream is plain.
    left: Option<usize>,
}

impl Decrypt {
    /// Decrypts the next bytes of the stream.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let Some(rc4) = &mut self.rc4 else { return };
        let encrypted = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        rc4.apply(&mut bytes[..encrypted]);
        if let Some(left) = &mut self.left {
            *left -= encrypted;
            if *left == 0 {
                self.rc4 = None;
            }
        }
    }
}

/// Both ciphers, which the rest of the exchange needs in any case.
#[derive(Debug)]
pub(super) struct Ciphers {
    pub(super) decrypt: Box<Rc4>,
    pub(super) encrypt: Box<Rc4>,
}

impl Ciphers {
    pub(super) fn of_initiator(secret: &Secret, info_hash: InfoHash) -> Self {
        let cipher = |label| Box::new(Rc4::new(&secret.key(label, info_hash)));
        Self { encrypt: cipher(*b"keyA"), decrypt: cipher(*b"keyB") }
    }

    pub(super) fn of_responder(secret: &Secret, info_hash: InfoHash) -> Self {
        let Self { decrypt, encrypt } = Self::of_initiator(secret, info_hash);
        Self { decrypt: encrypt, encrypt: decrypt }
    }

    /// What the peer's encrypted part begins with.
    pub(super) fn verification(&mut self) -> [u8; VERIFICATION.len()] {
        let mut bytes = VERIFICATION;
        self.decrypt.apply(&mut bytes);
        bytes
    }

    /// Reads the methods of an offer or a choice, and how much padding follows.
    pub(super) fn read_methods(&mut self, mut bytes: [u8; 6]) -> Result<(u32, usize), Error> {
        self.decrypt.apply(&mut bytes);
        let [a, b, c, d, length @ ..] = bytes;
        let padding = u16::from_be_bytes(length);
        if padding > MAX_PADDING {
            return Err(Error::TooMuchPadding(padding));
        }
        Ok((u32::from_be_bytes([a, b, c, d]), padding.into()))
    }

    /// Appends our encrypted part: an offer or a choice of methods, so many zeros as padding, and what follows.
    pub(super) fn write_methods(&mut self, methods: u32, zeros: u16, then: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(VERIFICATION);
        out.extend(methods.to_be_bytes());
        out.extend(zeros.to_be_bytes());
        out.resize(out.len() + usize::from(zeros), 0);
        out.extend_from_slice(then);
        self.encrypt.apply(&mut out[start..]);
    }

    /// The connection by this method, after which `received` has come. Of that and what is still to come at least
    /// `encrypted` bytes are.
    pub(super) fn agree(self, method: Method, encrypted: usize, mut received: Vec<u8>) -> Agreed {
        let Self { decrypt, encrypt } = self;
        let (left, encrypt) = match method {
            Method::Plain => (Some(encrypted), None),
            Method::Rc4 => (None, Some(encrypt)),
        };
        let mut decrypt = Decrypt { rc4: Some(decrypt), left };
        decrypt.apply(&mut received);
        Agreed { received, decrypt, encrypt }
    }
}
