//! How many may be connected, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seeder::subscriber;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for connected peers.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    per_address: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A free place, for whoever comes.
#[derive(Debug)]
pub(super) struct FreePlace(OwnedSemaphorePermit);

/// The place of a peer, until it is dropped.
#[derive(Debug)]
pub(super) struct TakenPlace {
    _place: OwnedSemaphorePermit,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Places {
    /// So many places, of which one address may have so many.
    pub fn new(all: usize, per_address: usize) -> Self {
        let free = Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS)));
        Self { free, per_address, taken: Arc::default() }
    }

    /// Waits until there is a free place, and leaves it free.
    pub(super) async fn free(&self) {
        drop(self.free.acquire().await);
    }

    /// A free place, if there is one.
    pub(super) fn try_free(&self) -> Option<FreePlace> {
        Arc::clone(&self.free).try_acquire_owned().ok().map(FreePlace)
    }

    /// Gives the place to a peer at this address; `None` if as many are connected from there as may be.
    pub(super) fn take(&self, place: FreePlace, address: IpAddr) -> Option<TakenPlace> {
        let address = subscriber(address);
        let mut taken = lock(&self.taken);
        let count = taken.entry(address).or_default();
        // Others of this address keep the entry, as at least one place is for each.
        if *count >= self.per_address.max(1) {
            return None;
        }
        *count += 1;
        Some(TakenPlace { _place: place.0, taken: Arc::clone(&self.taken), address })
    }
}

impl Drop for TakenPlace {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

fn lock(taken: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(places: &Places, address: &str) -> Option<TakenPlace> {
        places.take(places.try_free()?, address.parse().unwrap())
    }

    #[test]
    fn one_address_may_not_take_all() {
        let places = Places::new(5, 2);
        let first = take(&places, "192.0.2.1").unwrap();
        let _second = take(&places, "::ffff:192.0.2.1").unwrap();
        assert!(take(&places, "192.0.2.1").is_none());
        let _other = take(&places, "192.0.2.2").unwrap();
        drop(first);
        assert!(take(&places, "192.0.2.1").is_some(), "it has left");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let places = Places::new(5, 1);
        let _first = take(&places, "2001:db8::1").unwrap();
        assert!(take(&places, "2001:db8::2").is_none());
        assert!(take(&places, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn there_are_no_more_than_all() {
        let places = Places::new(2, 9);
        let taken: Vec<_> = ["192.0.2.1", "192.0.2.2"].map(|address| take(&places, address).unwrap()).into();
        assert!(take(&places, "192.0.2.3").is_none());
        drop(taken);
        assert!(take(&places, "192.0.2.3").is_some() && lock(&places.taken).is_empty());
    }
}
