//! The members: whose passkey it is, which addresses are admitted, and what each of them has moved.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use torrent::InfoHash;
use tracker::admission::{self, Admissions};
use tracker::claims::{Claimed, Claims};
use tracker::members::{MemberId, Members as Keys, Passkey};
use tracker::{Announce, Failure};

/// All members of `[members]`; nobody where everything is public.
#[derive(Debug)]
pub struct Members {
    keys: Keys,
    known: Vec<Member>,
    clients: Mutex<Clients>,
}

#[derive(Debug)]
struct Member {
    name: String,
    passkey: appliance::Passkey,
    sent: AtomicU64,
    claimed_uploaded: AtomicU64,
    claimed_downloaded: AtomicU64,
    last_seen: AtomicI64,
}

#[derive(Debug)]
struct Clients {
    admissions: Admissions,
    claims: Claims,
}

/// What is known of a member; kept over restarts, as long as it is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Bytes of content that the box has sent to it: with its passkey over HTTP, and to peers at an address where it was the
    /// last to announce.
    pub sent: u64,
    /// Bytes that its clients say they have sent to others.
    pub claimed_uploaded: u64,
    /// Bytes that its clients say they have received, from the box and others.
    pub claimed_downloaded: u64,
    /// When it last showed its passkey, in seconds since 1970; 0 for never.
    pub last_seen: i64,
}

/// A member as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its name in `blackbox.toml`.
    pub name: String,
    /// What it has moved.
    pub account: Account,
    /// Its clients that are admitted, each once for every item and address.
    pub clients: usize,
}

impl Members {
    /// Members with what was known of them. `key` is secret and random.
    pub fn new(
        configured: &BTreeMap<String, appliance::Passkey>,
        key: &[u8; 16],
        accounts: &BTreeMap<String, Account>,
    ) -> Self {
        let clients =
            Clients { admissions: Admissions::new(admission::Limits::default()), claims: Claims::default() };
        let member = |(name, passkey): (&String, &appliance::Passkey)| {
            let account = accounts.get(name).copied().unwrap_or_default();
            Member {
                name: name.clone(),
                passkey: passkey.clone(),
                sent: account.sent.into(),
                claimed_uploaded: account.claimed_uploaded.into(),
                claimed_downloaded: account.claimed_downloaded.into(),
                last_seen: account.last_seen.into(),
            }
        };
        Self {
            keys: Keys::new(configured.values().map(appliance::Passkey::as_str), key),
            known: configured.iter().map(member).collect(),
            clients: Mutex::new(clients),
        }
    }

    /// The member whose passkey this is.
    pub fn find(&self, passkey: &Passkey) -> Option<MemberId> {
        let member = self.keys.find(passkey)?;
        self.known[member.0].last_seen.store(Timestamp::now().as_second(), Ordering::Relaxed);
        Some(member)
    }

    /// The passkey of a member, for URLs that nobody else is given.
    pub fn passkey(&self, member: MemberId) -> &str {
        self.known[member.0].passkey.as_str()
    }

    /// A member has announced an item, and was told to do so again after `interval`: its address is admitted.
    ///
    /// # Errors
    /// Words for the member when it can't be.
    pub fn announced(
        &self,
        now: Instant,
        member: MemberId,
        item: InfoHash,
        announce: &Announce,
        interval: Duration,
    ) -> Result<(), Failure> {
        let mut clients = self.clients();
        clients.admissions.announced(now, member, item, announce, interval)?;
        let Claimed { uploaded, downloaded } =
            clients.claims.hear(now, item, announce, admission::patience(interval));
        drop(clients);
        let member = &self.known[member.0];
        add(&member.claimed_uploaded, uploaded);
        add(&member.claimed_downloaded, downloaded);
        Ok(())
    }

    /// The member who is admitted at this address for an item.
    pub fn admitted(&self, item: InfoHash, address: IpAddr) -> Option<MemberId> {
        if self.known.is_empty() {
            return None;
        }
        self.clients().admissions.admitted(Instant::now(), item, address)
    }

    /// Bytes of content were sent to a member.
    pub fn sent(&self, member: MemberId, bytes: u64) {
        add(&self.known[member.0].sent, bytes);
    }

    /// Forgets clients that no longer announce. Due every minute or so.
    pub fn expire(&self, now: Instant) {
        let mut clients = self.clients();
        clients.admissions.expire(now);
        clients.claims.expire(now);
    }

    /// All members, by name.
    pub fn standings(&self) -> Vec<Standing> {
        let clients = self.clients();
        let standing = |(number, member): (usize, &Member)| Standing {
            name: member.name.clone(),
            account: member.account(),
            clients: clients.admissions.count(MemberId(number)),
        };
        self.known.iter().enumerate().map(standing).collect()
    }

    /// What is to be kept over a restart.
    pub fn accounts(&self) -> BTreeMap<String, Account> {
        self.known.iter().map(|member| (member.name.clone(), member.account())).collect()
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn account(&self) -> Account {
        Account {
            sent: self.sent.load(Ordering::Relaxed),
            claimed_uploaded: self.claimed_uploaded.load(Ordering::Relaxed),
            claimed_downloaded: self.claimed_downloaded.load(Ordering::Relaxed),
            last_seen: self.last_seen.load(Ordering::Relaxed),
        }
    }
}

/// Adds up to the largest number there is: what clients say can be anything.
fn add(sum: &AtomicU64, bytes: u64) {
    // Never fails: there is always another number.
    let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| Some(sum.saturating_add(bytes)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance::Config;

    #[test]
    fn every_key_that_can_be_set_can_be_shown() {
        assert_eq!(appliance::MIN_PASSKEY, tracker::members::MIN_PASSKEY);
        assert_eq!(appliance::MAX_PASSKEY, tracker::members::MAX_PASSKEY);
        let keys = ["AAAABBBBCCCCDDDD".to_owned(), format!("-_{}", "z9".repeat(31))];
        let text = format!("[members]\nzoe = \"{}\"\nalice = \"{}\"\n", keys[0], keys[1]);
        let members = Members::new(
            &Config::parse(text.as_bytes()).unwrap().members,
            &[1; 16],
            &BTreeMap::from([("zoe".to_owned(), Account { sent: 5, ..Account::default() })]),
        );
        for (key, name, sent) in [(&keys[0], "zoe", 5), (&keys[1], "alice", 0)] {
            let member = members.find(&Passkey::parse(key.as_bytes()).unwrap()).unwrap();
            assert_eq!(members.passkey(member), key);
            members.sent(member, 7);
            let account = members.accounts()[name];
            assert_eq!(account.sent, sent + 7);
            assert!(account.last_seen > 0);
        }
        let shown = format!("{members:?}");
        assert!(!shown.contains(&keys[0]) && !shown.contains(&keys[1]), "{shown}");
    }
}
