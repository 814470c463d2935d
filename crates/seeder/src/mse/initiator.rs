//! The side that connects.

use super::chance::{CHANCE, Chance};
use super::ciphers::{Agreed, Ciphers, Method};
use super::dh::PrivateKey;
use super::inbox::Inbox;
use super::step::{Step, run};
use super::{Error, req2, xor};
use crate::handshake::{self, Handshake};

/// What the peer may choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// A connection that is plain after the exchange, or encrypted.
    PlainOrRc4,
    /// An encrypted one.
    Rc4,
}

/// Our side of the exchange over a connection that we have opened.
#[derive(Debug)]
pub struct Initiator {
    handshake: Handshake,
    offer: Offer,
    chance: Chance,
    inbox: Inbox,
    /// What is waited for, until the end.
    phase: Option<Phase>,
}

#[derive(Debug)]
enum Phase {
    /// The peer's public key.
    Key(PrivateKey),
    /// The end of the padding behind it, which is the start of what is encrypted.
    Sync { ciphers: Ciphers, verification: [u8; 8] },
    /// The method that the peer has chosen.
    Choice(Ciphers),
    /// The padding behind that.
    Padding { ciphers: Ciphers, method: Method, padding: usize },
}

impl Initiator {
    /// For a connection that is to begin with this handshake, which is sent along with the offer: it is not to be
    /// sent again. Appends to `out` what is to be sent first.
    pub fn new(handshake: Handshake, offer: Offer, chance: &[u8; CHANCE], out: &mut Vec<u8>) -> Self {
        let mut chance = Chance::new(chance);
        let ours = PrivateKey::new(chance.private_key);
        out.extend(ours.public_key());
        out.append(&mut chance.padding);
        Self { handshake, offer, chance, inbox: Inbox::default(), phase: Some(Phase::Key(ours)) }
    }

    /// Takes bytes from the peer, in pieces of any size, and appends to `out` what is to be sent. `None` as long as
    /// the exchange is not at its end.
    ///
    /// # Errors
    /// When the connection is to be closed.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<Agreed>, Error> {
        self.inbox.push(bytes);
        let mut phase = self.phase.take();
        let agreed = run(&mut phase, |phase| self.step(phase, out));
        self.phase = phase;
        agreed
    }

    fn step(&mut self, phase: Phase, out: &mut Vec<u8>) -> Result<Step<Phase>, Error> {
        Ok(Step::Next(match phase {
            Phase::Key(ours) => {
                let Some(theirs) = self.inbox.take() else { return Ok(Step::Wait(Phase::Key(ours))) };
                let secret = ours.secret(&theirs)?;
                let info_hash = self.handshake.info_hash;
                out.extend(secret.hash(*b"req1"));
                out.extend(xor(req2(info_hash), secret.hash(*b"req3")));
                let mut ciphers = Ciphers::of_initiator(&secret, info_hash);
                ciphers.write_methods(self.offer.bits(), self.chance.zeros, &self.initial(), out);
                let verification = ciphers.verification();
                Phase::Sync { ciphers, verification }
            }
            Phase::Sync { ciphers, verification } => {
                if !self.inbox.pass(&verification)? {
                    return Ok(Step::Wait(Phase::Sync { ciphers, verification }));
                }
                Phase::Choice(ciphers)
            }
            Phase::Choice(mut ciphers) => {
                let Some(choice) = self.inbox.take() else { return Ok(Step::Wait(Phase::Choice(ciphers))) };
                let (method, padding) = ciphers.read_methods(choice)?;
                let method = self.offer.allows(method).ok_or(Error::NotOffered(method))?;
                Phase::Padding { ciphers, method, padding }
            }
            Phase::Padding { mut ciphers, method, padding } => {
                let Some(mut bytes) = self.inbox.take_some(padding) else {
                    return Ok(Step::Wait(Phase::Padding { ciphers, method, padding }));
                };
                ciphers.decrypt.apply(&mut bytes);
                return Ok(Step::Done(ciphers.agree(method, 0, self.inbox.rest())));
            }
        }))
    }

    /// What is sent of the connection itself with the offer: its length and the handshake.
    fn initial(&self) -> Vec<u8> {
        let length = u16::try_from(handshake::LENGTH).expect("invariant: a handshake is short");
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(self.handshake.to_bytes());
        bytes
    }
}

impl Offer {
    const fn methods(self) -> &'static [Method] {
        match self {
            Self::PlainOrRc4 => &[Method::Plain, Method::Rc4],
            Self::Rc4 => &[Method::Rc4],
        }
    }

    fn bits(self) -> u32 {
        self.methods().iter().map(|method| method.bit()).sum()
    }

    /// The method of this number, if it is one of the offer.
    fn allows(self, number: u32) -> Option<Method> {
        self.methods().iter().copied().find(|method| method.bit() == number)
    }
}
