//! The addresses behind the configured public host.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::lookup_host;

/// Addresses of one host that are kept.
const MAX_ADDRESSES: usize = 8;

/// After so long a name is looked up again: dynamic DNS moves it with the router's address.
const REFRESH: Duration = Duration::from_mins(5);

/// After so long a failed look-up is tried again, with the addresses from before in use until then.
const RETRY: Duration = Duration::from_secs(30);

/// A host name or address from the configuration, or nothing. Looked up in the background: who announces never
/// waits for a name server.
#[derive(Debug)]
pub struct PublicHost {
    name: Option<String>,
    addresses: RwLock<Arc<[IpAddr]>>,
}

impl PublicHost {
    /// An address is known at once, a name once [`PublicHost::watch`] has looked it up.
    pub fn new(host: Option<&str>) -> Self {
        let address = host.and_then(|host| host.parse().ok());
        let name = host.filter(|_| address.is_none()).map(str::to_owned);
        Self { name, addresses: RwLock::new(address.into_iter().collect()) }
    }

    /// The addresses, as far as known.
    pub fn addresses(&self) -> Arc<[IpAddr]> {
        Arc::clone(&self.addresses.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the addresses up to date; never ends.
    pub async fn watch(&self) {
        let Some(name) = &self.name else { return std::future::pending().await };
        let mut told = false;
        loop {
            let pause = match lookup_host((name.as_str(), 0)).await {
                Ok(found) => {
                    let found =
                        found.map(|address| address.ip().to_canonical()).take(MAX_ADDRESSES).collect();
                    *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = found;
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

    #[tokio::test]
    async fn addresses_are_known_at_once_and_names_after_a_look_up() {
        assert!(PublicHost::new(None).addresses().is_empty());
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(*PublicHost::new(Some("2001:db8::1")).addresses(), [address]);
        let host = PublicHost::new(Some("localhost"));
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
        assert!(host.addresses().iter().all(IpAddr::is_loopback));
    }
}
