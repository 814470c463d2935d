//! How many may be connected, in all and from one address or network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::lock;

/// Whose address it is; `None` for who is not counted.
pub type Owner = fn(IpAddr) -> Option<IpAddr>;

/// The places for those who are connected.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    each: usize,
    owner: Owner,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A free place, for whoever comes.
#[derive(Debug)]
pub struct FreePlace(OwnedSemaphorePermit);

/// The place of somebody, until it is dropped.
#[derive(Debug)]
pub struct TakenPlace {
    _place: OwnedSemaphorePermit,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    owner: Option<IpAddr>,
}

impl Places {
    /// So many places, of which `each` owner of addresses may have so many.
    pub fn new(all: usize, each: usize, owner: Owner) -> Self {
        let all = all.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(all)), each, owner, taken: Arc::default() }
    }

    /// Whether there is no free place.
    pub fn are_all_taken(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// Waits until there is a free place, and leaves it free.
    pub async fn free(&self) {
        drop(self.free.acquire().await);
    }

    /// A free place, if there is one.
    pub fn try_free(&self) -> Option<FreePlace> {
        Arc::clone(&self.free).try_acquire_owned().ok().map(FreePlace)
    }

    /// A place for who is at this address, if there is one.
    pub fn try_take(&self, address: IpAddr) -> Option<TakenPlace> {
        self.take(self.try_free()?, address)
    }

    /// Gives the place to who is at this address; `None` if as many are connected from there as may be.
    pub fn take(&self, place: FreePlace, address: IpAddr) -> Option<TakenPlace> {
        let owner = (self.owner)(address);
        if let Some(owner) = owner {
            let mut taken = lock(&self.taken);
            let count = taken.entry(owner).or_default();
            // Others of this owner keep the entry, as at least one place is for each.
            if *count >= self.each.max(1) {
                return None;
            }
            *count += 1;
        }
        Some(TakenPlace { _place: place.0, taken: Arc::clone(&self.taken), owner })
    }
}

impl Drop for TakenPlace {
    fn drop(&mut self) {
        let Some(owner) = self.owner else { return };
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracker::prefix::network;

    const SUBSCRIBER: Owner = |address| Some(seeder::subscriber(address));

    fn take(places: &Places, address: &str) -> Option<TakenPlace> {
        places.try_take(address.parse().unwrap())
    }

    #[test]
    fn one_address_may_not_take_all() {
        let places = Places::new(5, 2, SUBSCRIBER);
        let first = take(&places, "192.0.2.1").unwrap();
        let _second = take(&places, "::ffff:192.0.2.1").unwrap();
        assert!(take(&places, "192.0.2.1").is_none());
        let _other = take(&places, "192.0.2.2").unwrap();
        drop(first);
        assert!(take(&places, "192.0.2.1").is_some(), "it has left");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let places = Places::new(5, 1, SUBSCRIBER);
        let _first = take(&places, "2001:db8::1").unwrap();
        assert!(take(&places, "2001:db8::2").is_none());
        assert!(take(&places, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn networks_are_counted_and_this_machine_is_not() {
        let places = Places::new(5, 1, network);
        let _first = take(&places, "192.0.2.1").unwrap();
        assert!(take(&places, "::ffff:192.0.2.9").is_none());
        let _other = take(&places, "192.0.3.9").unwrap();
        let _here = ["127.0.0.1", "127.0.0.1"].map(|address| take(&places, address).unwrap());
        assert!(!places.are_all_taken());
        let _last = take(&places, "::1").unwrap();
        assert!(places.are_all_taken());
    }

    #[test]
    fn there_are_no_more_than_all() {
        let places = Places::new(2, 9, SUBSCRIBER);
        let taken: Vec<_> = ["192.0.2.1", "192.0.2.2"].map(|address| take(&places, address).unwrap()).into();
        assert!(take(&places, "192.0.2.3").is_none());
        drop(taken);
        assert!(take(&places, "192.0.2.3").is_some() && lock(&places.taken).is_empty());
    }
}
