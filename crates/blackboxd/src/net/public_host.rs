//! Where the box's peer listener is for those outside: at the configured public host, and where a router maps it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::lookup_host;

/// Addresses of one host that are kept.
const MAX_ADDRESSES: usize = 8;

/// After so long a name is looked up again: dynamic DNS moves it with the router's address.
const REFRESH: Duration = Duration::from_mins(5);

/// After so long a failed look-up is tried again, with the addresses from before in use until then.
const RETRY: Duration = Duration::from_secs(30);

/// A host name or address from the configuration, or nothing, and what a router maps. Looked up in the background: who
/// announces never waits for a name server.
#[derive(Debug)]
pub struct PublicHost {
    name: Option<String>,
    /// The listener's.
    port: u16,
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    configured: Vec<IpAddr>,
    mapped: Option<SocketAddr>,
    /// Made of both.
    addresses: Arc<[SocketAddr]>,
}

impl PublicHost {
    /// Of a listener on `port`. An address is known at once, a name once [`PublicHost::watch`] has looked it up.
    pub fn new(host: Option<&str>, port: u16) -> Self {
        let address: Option<IpAddr> = host.and_then(|host| host.parse().ok());
        let name = host.filter(|_| address.is_none()).map(str::to_owned);
        let known = Known { configured: Vec::new(), mapped: None, addresses: Arc::default() };
        let public = Self { name, port, known: RwLock::new(known) };
        public.change(|known| known.configured = address.into_iter().collect());
        public
    }

    /// The listener's addresses outside, as far as known, the configured ones first. A router that maps it to another
    /// port is one of the reasons why a configured address may not have the listener's.
    pub fn addresses(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).addresses)
    }

    /// Whether the configured host is at this address.
    pub fn is_at(&self, ip: IpAddr) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).configured.contains(&ip)
    }

    /// Says where a router maps the listener, if one does.
    pub fn set_mapped(&self, mapped: Option<SocketAddr>) {
        self.change(|known| known.mapped = mapped);
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let mapped = known.mapped;
        let at = |ip: &IpAddr| {
            mapped.filter(|mapped| mapped.ip() == *ip).unwrap_or(SocketAddr::new(*ip, self.port))
        };
        let configured = known.configured.iter().map(at);
        let other = mapped.filter(|mapped| !known.configured.contains(&mapped.ip()));
        known.addresses = configured.chain(other).collect();
    }

    /// Keeps the addresses of the configured name up to date; never ends.
    pub async fn watch(&self) {
        let Some(name) = &self.name else { return std::future::pending().await };
        let mut told = false;
        loop {
            let pause = match lookup_host((name.as_str(), 0)).await {
                Ok(found) => {
                    let found =
                        found.map(|address| address.ip().to_canonical()).take(MAX_ADDRESSES).collect();
                    self.change(|known| known.configured = found);
                    told = false;
                    REFRESH
                }
                Err(error) => {
                    if !told {
                        tracing::warn!(
                            "the address of public_host {name} is not known: {error}; trying again"
                        );
                    }
                    told = true;
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn addresses_are_known_at_once_and_names_after_a_look_up() {
        assert!(PublicHost::new(None, 6881).addresses().is_empty());
        assert_eq!(*PublicHost::new(Some("2001:db8::1"), 6881).addresses(), [socket("[2001:db8::1]:6881")]);
        let host = PublicHost::new(Some("localhost"), 6881);
        assert!(host.addresses().is_empty());
        let known = async {
            while host.addresses().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = host.watch() => {}
            () = known => {}
        }
        assert!(host.addresses().iter().all(|address| address.ip().is_loopback() && address.port() == 6881));
    }

    #[test]
    fn what_a_router_maps_is_public_too() {
        for (configured, mapped, addresses) in [
            (None, "203.0.113.1:40001", &["203.0.113.1:40001"][..]),
            (Some("203.0.113.1"), "203.0.113.1:40001", &["203.0.113.1:40001"]),
            (Some("203.0.113.2"), "203.0.113.1:40001", &["203.0.113.2:6881", "203.0.113.1:40001"]),
            (Some("2001:db8::1"), "203.0.113.1:6881", &["[2001:db8::1]:6881", "203.0.113.1:6881"]),
        ] {
            let public = PublicHost::new(configured, 6881);
            let before = public.addresses();
            public.set_mapped(Some(socket(mapped)));
            assert_eq!(*public.addresses(), *addresses.iter().map(|text| socket(text)).collect::<Vec<_>>());
            public.set_mapped(None);
            assert_eq!(public.addresses(), before, "{configured:?}");
        }
    }
}
