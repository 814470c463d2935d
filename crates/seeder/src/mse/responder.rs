//! The side that was connected to.

use torrent::InfoHash;

use super::chance::{CHANCE, Chance};
use super::ciphers::{Agreed, Ciphers, Method};
use super::dh::{PrivateKey, Secret};
use super::inbox::Inbox;
use super::step::{Step, run};
use super::{Error, xor};

/// Our side of the exchange over a connection that a peer has opened.
///
/// Where the peer offers it the connection is plain after the exchange: the handshake, by which it could be told, is
/// hidden all the same, and content costs no more than without encryption.
#[derive(Debug)]
pub struct Responder {
    chance: Chance,
    inbox: Inbox,
    /// What is waited for, until the end.
    phase: Option<Phase>,
}

#[derive(Debug)]
enum Phase {
    /// The peer's public key.
    Key,
    /// The end of the padding behind it.
    Sync(Secret),
    /// Which torrent it is about.
    Torrent(Secret),
    /// The methods that the peer offers.
    Offer(Ciphers),
    /// The padding behind these, and how much of the connection itself comes along.
    Initial { ciphers: Ciphers, methods: u32, padding: usize },
}

impl Responder {
    /// For a connection whose first bytes are not [plain](super::is_plain).
    pub fn new(chance: &[u8; CHANCE]) -> Self {
        Self { chance: Chance::new(chance), inbox: Inbox::default(), phase: Some(Phase::Key) }
    }

    /// Takes bytes from the peer, in pieces of any size, and appends to `out` what is to be sent. `None` as long as
    /// the exchange is not at its end.
    ///
    /// `find` is asked once, for the torrent whose [`req2`](super::req2) this is.
    ///
    /// # Errors
    /// When the connection is to be closed.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        find: impl Fn([u8; 20]) -> Option<InfoHash>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Agreed>, Error> {
        self.inbox.push(bytes);
        let mut phase = self.phase.take();
        let agreed = run(&mut phase, |phase| self.step(phase, &find, out));
        self.phase = phase;
        agreed
    }

    fn step(
        &mut self,
        phase: Phase,
        find: impl Fn([u8; 20]) -> Option<InfoHash>,
        out: &mut Vec<u8>,
    ) -> Result<Step<Phase>, Error> {
        Ok(Step::Next(match phase {
            Phase::Key => {
                let Some(theirs) = self.inbox.take() else { return Ok(Step::Wait(phase)) };
                let ours = PrivateKey::new(self.chance.private_key);
                let secret = ours.secret(&theirs)?;
                out.extend(ours.public_key());
                out.append(&mut self.chance.padding);
                Phase::Sync(secret)
            }
            Phase::Sync(secret) => {
                if !self.inbox.pass(&secret.hash(*b"req1"))? {
                    return Ok(Step::Wait(phase));
                }
                Phase::Torrent(secret)
            }
            Phase::Torrent(secret) => {
                let Some((hidden, verification)) = self.inbox.take_two() else {
                    return Ok(Step::Wait(phase));
                };
                let info_hash = find(xor(hidden, secret.hash(*b"req3"))).ok_or(Error::UnknownTorrent)?;
                let mut ciphers = Ciphers::of_responder(&secret, info_hash);
                if verification != ciphers.verification() {
                    return Err(Error::WrongKey);
                }
                Phase::Offer(ciphers)
            }
            Phase::Offer(mut ciphers) => {
                let Some(offer) = self.inbox.take() else { return Ok(Step::Wait(Phase::Offer(ciphers))) };
                let (methods, padding) = ciphers.read_methods(offer)?;
                Phase::Initial { ciphers, methods, padding }
            }
            Phase::Initial { mut ciphers, methods, padding } => {
                let Some(mut bytes) = self.inbox.take_some(padding + 2) else {
                    return Ok(Step::Wait(Phase::Initial { ciphers, methods, padding }));
                };
                ciphers.decrypt.apply(&mut bytes);
                let initial = usize::from(u16::from_be_bytes([bytes[padding], bytes[padding + 1]]));
                let method =
                    [Method::Plain, Method::Rc4].into_iter().find(|method| methods & method.bit() != 0);
                let method = method.ok_or(Error::NothingInCommon(methods))?;
                ciphers.write_methods(method.bit(), self.chance.zeros, &[], out);
                return Ok(Step::Done(ciphers.agree(method, initial, self.inbox.rest())));
            }
        }))
    }
}
