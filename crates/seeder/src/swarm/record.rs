//! What is remembered of members that have left.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::subscriber::subscriber;

/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 1024;

/// Time in which a debt fades by half.
const HALF_LIFE: Duration = Duration::from_mins(1);

/// A debt that is not worth remembering.
const NO_DEBT: f64 = 0.5;

/// What is left of a debt after some time.
pub(super) fn fade(debt: f64, after: Duration) -> f64 {
    debt * (-after.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
}

/// Debts by address; who leaves and comes back still has them.
#[derive(Debug, Default)]
pub(super) struct Record {
    debts: BTreeMap<IpAddr, (f64, Instant)>,
}

impl Record {
    /// The debt of a member at this address.
    pub(super) fn debt(&self, now: Instant, address: IpAddr) -> f64 {
        let debt = self.debts.get(&subscriber(address));
        debt.map_or(0.0, |(debt, since)| fade(*debt, now.saturating_duration_since(*since)))
    }

    /// Remembers the debt of a member that leaves, at the price of the smallest ones.
    pub(super) fn put(&mut self, now: Instant, address: IpAddr, debt: f64) {
        if debt >= NO_DEBT {
            self.debts.insert(subscriber(address), (debt, now));
        }
        if self.debts.len() > MAX_ADDRESSES {
            let left = |(debt, since): &(f64, Instant)| fade(*debt, now.saturating_duration_since(*since));
            self.debts.retain(|_, debt| left(debt) >= NO_DEBT);
            let least = self.debts.iter().min_by(|(_, a), (_, b)| left(a).total_cmp(&left(b)));
            if let Some((&address, _)) = least.filter(|_| self.debts.len() > MAX_ADDRESSES) {
                self.debts.remove(&address);
            }
        }
    }
}
