//! A peer is served over one connection at a time. It has two when it calls while it is called, and when it comes back
//! before it is known to have left.

use std::collections::HashMap;
use std::future::pending;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use torrent::{InfoHash, PeerId};

use super::end::End;
use super::greet::{Greeted, receive};

/// Time for a peer to close one of its two connections, since clients choose by different rules, and for the earlier one to
/// show that it lives.
const CHOICE: Duration = Duration::from_secs(2);

/// Reads from a peer that waits: what it has said is kept until it is served.
const MAX_READS: usize = 32;

/// What tells peers apart. A peer id is whatever somebody says, so it counts for its own address alone: nobody can take the
/// place of somebody elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    info_hash: InfoHash,
    address: IpAddr,
    peer_id: PeerId,
}

/// The peers that are served.
#[derive(Debug, Default)]
pub(super) struct Identities {
    served: Mutex<HashMap<Identity, Arc<Served>>>,
}

/// The connection over which a peer is served.
#[derive(Debug, Default)]
struct Served {
    /// How often something came from the peer.
    heard: AtomicUsize,
    ended: Notify,
    replaced: Notify,
}

/// The right of a connection to serve its peer, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    identities: &'a Identities,
    identity: Identity,
    served: Arc<Served>,
}

impl Identities {
    /// Waits until the peer may be served over this connection. When it is served over another one, that is if the peer
    /// closes the other in time, or is silent there.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) async fn claim(&self, greeted: &mut Greeted) -> Result<Claim<'_>, End> {
        let identity = Identity {
            info_hash: greeted.wanted.torrent.info_hash(),
            address: greeted.address.ip().to_canonical(),
            peer_id: greeted.session.peer_id().ok_or(End::Hangup)?,
        };
        let earlier = match self.try_claim(identity) {
            Ok(claim) => return Ok(claim),
            Err(earlier) => earlier,
        };
        let heard = earlier.heard.load(Ordering::Relaxed);
        // The peer needs it to choose.
        timeout(CHOICE, greet(greeted)).await.map_err(|_| End::Twice)??;
        tokio::select! {
            end = hang_up(greeted) => return Err(end),
            () = earlier.ended.notified() => {}
            () = sleep(CHOICE) => if earlier.heard.load(Ordering::Relaxed) == heard {
                self.replace(&identity, &earlier);
            },
        }
        // Another one that came later may have been quicker.
        self.try_claim(identity).map_err(|_| End::Twice)
    }

    /// The claim, or who has it.
    fn try_claim(&self, identity: Identity) -> Result<Claim<'_>, Arc<Served>> {
        let mut all = self.lock();
        if let Some(earlier) = all.get(&identity) {
            return Err(Arc::clone(earlier));
        }
        let served = Arc::<Served>::default();
        all.insert(identity, Arc::clone(&served));
        Ok(Claim { identities: self, identity, served })
    }

    /// Takes the claim from who has it, if that is still the one.
    fn replace(&self, identity: &Identity, served: &Arc<Served>) {
        let mut all = self.lock();
        if all.get(identity).is_some_and(|now| Arc::ptr_eq(now, served)) {
            all.remove(identity);
            served.replaced.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, Arc<Served>>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    /// Something came from the peer.
    pub(super) fn heard(&self) {
        self.served.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until another connection of the peer takes the place of this one.
    pub(super) async fn replaced(&self) {
        self.served.replaced.notified().await;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut all = self.identities.lock();
        if all.get(&self.identity).is_some_and(|now| Arc::ptr_eq(now, &self.served)) {
            all.remove(&self.identity);
        }
        drop(all);
        // For one of those who wait: it may take this place, and no other.
        self.served.ended.notify_one();
    }
}

/// Sends what goes first.
async fn greet(greeted: &mut Greeted) -> Result<(), End> {
    let Greeted { session, writer, .. } = greeted;
    let mut greeting = session.poll_control(Instant::now()).unwrap_or_default();
    writer.apply(&mut greeting);
    Ok(writer.write_all(&greeting).await?)
}

/// Waits until one side has enough; tells why. Nothing is lost when it is dropped.
async fn hang_up(greeted: &mut Greeted) -> End {
    for _ in 0..MAX_READS {
        if let Err(end) = receive(&mut greeted.reader, &mut greeted.session).await {
            return end;
        }
    }
    pending().await
}
