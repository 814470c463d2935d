//! The address of a link on which nobody gives one: the socket under [`super::link_local`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use super::link_local::{Claim, Output, PACKET};
use super::links::LinkFacts;
use crate::sys;

/// Packets taken before others have their turn.
const MAX_PACKETS: usize = 32;

/// Longest packet that is read: what follows an ARP packet is padding.
const MAX_BYTES: usize = 64;

/// An address that is being claimed, or was.
pub struct Fallback {
    link: u32,
    claim: Claim,
    socket: OwnedFd,
}

impl Fallback {
    /// Starts to claim one.
    ///
    /// # Errors
    /// When the kernel gives no socket for ARP.
    pub fn start(facts: &LinkFacts, now: Instant) -> io::Result<Self> {
        // The same address after each start, if nobody has it: from what no other machine has.
        let chance = facts.mac.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let claim = Claim::new(facts.mac, chance, now);
        Ok(Self { link: facts.index, claim, socket: sys::arp_socket(facts.index)? })
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.claim.deadline()
    }

    /// Takes what has come, does what is due, and returns what is to become of the address.
    pub fn step(&mut self, now: Instant) -> Vec<Output> {
        let mut outputs = Vec::new();
        let mut buffer = [0; MAX_BYTES];
        for _ in 0..MAX_PACKETS {
            let Some(bytes) = sys::receive_packet(&self.socket, &mut buffer) else { break };
            outputs.extend(self.claim.receive(now, &buffer[..bytes.min(PACKET)]));
        }
        outputs.extend(self.claim.handle_timeout(now));
        outputs.retain(|output| match output {
            Output::Broadcast(packet) => {
                // A packet that is lost is one of several.
                let _ = sys::broadcast_arp(&self.socket, self.link, packet);
                false
            }
            Output::Configure(_) | Output::Deconfigure => true,
        });
        outputs
    }
}

impl AsFd for Fallback {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
