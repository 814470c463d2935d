//! Peer exchange, `ut_pex` (BEP 11): peers of a swarm tell each other of further ones.
//!
//! A [`Roster`] holds the peers of a swarm that can be told of; a [`Telling`] what one of them has been told. Both
//! cost the same for each peer, however many there are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::ops::BitOr;
use std::time::{Duration, Instant};

use torrent::bencode::{self, Error, Limits, dictionary};
use tracker::address::Scope;

use crate::compact::{self, canonical};

/// Peers that come or go in one message, both address families together.
pub const MAX_CHANGES: usize = 50;

/// Peers in the first message, which may be longer.
pub const MAX_FIRST: usize = 100;

/// How often a peer may be sent a message.
pub const INTERVAL: Duration = Duration::from_mins(1);

/// What a peer tells sooner than this after what it told before is ignored.
pub const LEAST_INTERVAL: Duration = Duration::from_secs(30);

/// Peers that a peer knows from us at a time. It can find many more by itself.
const MAX_TOLD: usize = 200;

/// Limits on the dictionary of a message: several times what may be in one, as some clients send more.
const LIMITS: Limits = Limits { bytes: 16 * 1024, depth: 4 };

/// What is told of a peer besides its address: a set of bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// It prefers encryption.
    pub const ENCRYPTION: Self = Self(0x01);
    /// It uploads only: a seed, or a partial one that wants no more.
    pub const SEED: Self = Self(0x02);
    /// It takes connections over uTP (BEP 29).
    pub const UTP: Self = Self(0x04);
    /// The sender connected to it: it can be reached.
    pub const REACHABLE: Self = Self(0x10);

    /// Whether all of these are set.
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A peer that can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// Where it takes connections.
    pub address: SocketAddr,
    /// What is known of it.
    pub flags: Flags,
}

/// A message: who has come and who has gone since the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PexMessage {
    /// Peers that the receiver has not been told of, or no longer knows.
    pub added: Vec<Contact>,
    /// Peers that the sender is no longer connected to.
    pub dropped: Vec<SocketAddr>,
}

impl PexMessage {
    /// Reads the payload of an extension message. Of each kind and address family the first [`MAX_FIRST`] are taken;
    /// unknown keys, values of other types, and a missing flag count as nothing.
    ///
    /// # Errors
    /// When the payload does not begin with a bencoded value within 16 KiB and 4 levels.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let (value, _) = bencode::scan_prefix(payload, LIMITS)?;
        let bytes = |key: &[u8]| value.as_dictionary()?.get(key)?.as_bytes();
        let addresses = |key: &[u8], size| {
            compact::list(bytes(key).unwrap_or_default(), size).take(MAX_FIRST).collect::<Vec<_>>()
        };
        let contacts = |key: &[u8], flags: &[u8], size| {
            let flags = bytes(flags).unwrap_or_default().iter().copied().chain(std::iter::repeat(0));
            let contact = |(address, flags)| Contact { address, flags: Flags(flags) };
            addresses(key, size).into_iter().zip(flags).map(contact).collect::<Vec<_>>()
        };
        let mut added = contacts(b"added", b"added.f", compact::V4);
        added.extend(contacts(b"added6", b"added6.f", compact::V6));
        let mut dropped = addresses(b"dropped", compact::V4);
        dropped.extend(addresses(b"dropped6", compact::V6));
        Ok(Self { added, dropped })
    }

    /// The payload of the extension message.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (added, flags) = pack(&self.added, SocketAddr::is_ipv4);
        let (added6, flags6) = pack(&self.added, SocketAddr::is_ipv6);
        let gone: Vec<Contact> =
            self.dropped.iter().map(|address| Contact { address: *address, flags: Flags(0) }).collect();
        // All keys, always: some clients expect those of version 4.
        dictionary(|d| {
            d.bytes(b"added", added);
            d.bytes(b"added.f", flags);
            d.bytes(b"added6", added6);
            d.bytes(b"added6.f", flags6);
            d.bytes(b"dropped", pack(&gone, SocketAddr::is_ipv4).0);
            d.bytes(b"dropped6", pack(&gone, SocketAddr::is_ipv6).0);
        })
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }
}

/// The addresses and flags of the contacts of one address family.
fn pack(contacts: &[Contact], family: impl Fn(&SocketAddr) -> bool) -> (Vec<u8>, Vec<u8>) {
    let (mut addresses, mut flags) = (Vec::new(), Vec::new());
    for contact in contacts.iter().filter(|contact| family(&contact.address)) {
        compact::put(&mut addresses, contact.address);
        flags.push(contact.flags.0);
    }
    (addresses, flags)
}

/// The connected peers of a swarm that others can be told of.
#[derive(Debug, Default)]
pub struct Roster {
    contacts: Vec<Contact>,
    index: BTreeMap<SocketAddr, Listed>,
}

/// An address in a [`Roster`].
#[derive(Debug, Clone, Copy)]
struct Listed {
    /// Where among the contacts it is.
    at: usize,
    /// How many connections claim it: a peer's word is all there is.
    connections: usize,
}

impl Roster {
    /// Enters a peer for each of its connections, with all that is known of it by them; one that nobody could be told
    /// of is left out.
    pub fn insert(&mut self, contact: Contact) {
        let address = canonical(contact.address);
        if Scope::of(address.ip()).is_none() || address.port() == 0 {
            return;
        }
        let at = self.contacts.len();
        let listed = self.index.entry(address).or_insert(Listed { at, connections: 0 });
        listed.connections += 1;
        if listed.at == at {
            self.contacts.push(Contact { address, ..contact });
        } else {
            let known = &mut self.contacts[listed.at];
            known.flags = known.flags | contact.flags;
        }
    }

    /// Takes out a peer that is no longer connected, with the last of its connections.
    pub fn remove(&mut self, address: SocketAddr) {
        let Entry::Occupied(mut entry) = self.index.entry(canonical(address)) else { return };
        entry.get_mut().connections -= 1;
        if entry.get().connections > 0 {
            return;
        }
        let Listed { at, .. } = entry.remove();
        self.contacts.swap_remove(at);
        if let Some(moved) = self.contacts.get(at).and_then(|moved| self.index.get_mut(&moved.address)) {
            moved.at = at;
        }
    }

    /// Number of peers.
    pub fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }

    /// All of them, each once, from the one at a place that `random` chooses.
    fn starting_anywhere(&self, random: u64) -> impl Iterator<Item = &Contact> {
        let start = usize::try_from(random % self.contacts.len().max(1) as u64).unwrap_or(0);
        let (before, after) = self.contacts.split_at(start.min(self.contacts.len()));
        after.iter().chain(before)
    }
}

/// What one peer tells.
#[derive(Debug, Default)]
pub struct Hearing {
    last: Option<Instant>,
}

impl Hearing {
    /// Reads a message of the peer; `None` if it comes less than [`LEAST_INTERVAL`] after the last one that was read, or
    /// [can't be](PexMessage::parse).
    pub fn message(&mut self, now: Instant, payload: &[u8]) -> Option<PexMessage> {
        if self.last.is_some_and(|last| now < last + LEAST_INTERVAL) {
            return None;
        }
        self.last = Some(now);
        PexMessage::parse(payload).ok()
    }
}

/// What one peer has been told.
#[derive(Debug, Default)]
pub struct Telling {
    /// Sorted; at most [`MAX_TOLD`].
    told: Vec<SocketAddr>,
    last: Option<Instant>,
}

impl Telling {
    /// When [`message`](Self::message) may be asked for next; `None` for at once.
    pub fn next(&self) -> Option<Instant> {
        self.last.map(|last| last + INTERVAL)
    }

    /// The next message for a peer; `None` if there is no news or it had a message less than [`INTERVAL`] ago.
    ///
    /// `itself` is where this peer takes connections, if that is known, otherwise where it connects from: it is never
    /// told of its own address, nor of addresses that it can't reach from there. Looks at no more of the roster than a
    /// few times what a peer may know; `random` says from where.
    pub fn message(
        &mut self,
        now: Instant,
        roster: &Roster,
        itself: SocketAddr,
        random: u64,
    ) -> Option<PexMessage> {
        if self.next().is_some_and(|next| now < next) {
            return None;
        }
        let limit = if self.last.is_some() { MAX_CHANGES } else { MAX_FIRST };
        let mut message = PexMessage::default();
        self.told.retain(|address| {
            let is_gone = !roster.index.contains_key(address) && message.dropped.len() < limit;
            if is_gone {
                message.dropped.push(*address);
            }
            !is_gone
        });
        let itself = canonical(itself);
        let is_news = |contact: &&Contact| {
            let reachable =
                Scope::of(contact.address.ip()).is_some_and(|scope| scope.is_told_to(itself.ip()));
            contact.address != itself && reachable && self.told.binary_search(&contact.address).is_err()
        };
        let room = limit.min(MAX_TOLD.saturating_sub(self.told.len()));
        let looked_at = roster.starting_anywhere(random).take(2 * MAX_TOLD);
        message.added = looked_at.filter(is_news).take(room).copied().collect();
        if message.is_empty() {
            return None;
        }
        self.told.extend(message.added.iter().map(|contact| contact.address));
        self.told.sort_unstable();
        self.last = Some(now);
        Some(message)
    }
}

#[cfg(test)]
mod tests;
