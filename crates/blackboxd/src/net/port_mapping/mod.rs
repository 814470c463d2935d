//! Has the router forward ports to the box (`[network] port_mapping`), by PCP (RFC 6887), NAT-PMP (RFC 6886) or `UPnP`.
//!
//! Only the router of the default route is asked, over IPv4, where there is NAT. What it answers is believed as far as
//! it can be: an address that is of no use outside is told to nobody, and whatever goes wrong is only told on the page.

mod gateway;
mod router;
mod status;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracker::address::Scope;

use crate::app::{App, SharedApp};
use router::{Granted, Router, Transport, Trouble, Wanted};
pub use status::{Mapping, PortMapping, STATES, State};

/// Mappings are renewed at half their time, but at least so often, since a router that starts anew forgets them and may
/// have another address then; and at most so often, whatever time it gives.
const RENEW: Duration = Duration::from_mins(10);
const RENEW_LEAST: Duration = Duration::from_secs(2);

/// After so long a router that did not answer or refused is asked again; longer each time, up to the limit.
const RETRY: Duration = Duration::from_secs(30);
const RETRY_LIMIT: Duration = Duration::from_mins(10);

/// Time to take the mappings back when the daemon ends. What is left of them then ends by itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is held at a router.
struct Held {
    router: Router,
    wanted: [Wanted; 4],
}

/// Keeps the ports of peers and tracker mapped until `ending` is cancelled, if that is configured.
///
/// # Errors
/// When the system has no randomness. A router that does not do as it is asked is no reason to end.
pub async fn run(app: SharedApp, ending: CancellationToken) -> io::Result<()> {
    if !app.config.network.port_mapping {
        ending.cancelled().await;
        return Ok(());
    }
    let mut held = None;
    let mut retry = RETRY;
    loop {
        let Some(kept) = ending.run_until_cancelled(keep(&app, &mut held)).await else { break };
        let (state, pause) = match kept? {
            Ok((mapping, lifetime)) => {
                retry = RETRY;
                (judged(mapping), (lifetime / 2).clamp(RENEW_LEAST, RENEW))
            }
            Err(trouble) => {
                let pause = retry;
                retry = (2 * retry).min(RETRY_LIMIT);
                (State::Failed(trouble), pause)
            }
        };
        app.public_host.set_mapped(state.peers());
        app.port_mapping.set(state);
        if ending.run_until_cancelled(sleep(pause)).await.is_none() {
            break;
        }
    }
    if let Some(held) = held {
        let _ = timeout(FAREWELL, take_back(&held)).await;
    }
    Ok(())
}

/// Maps everything, or renews it: where to, and for how long.
async fn keep(app: &App, held: &mut Option<Held>) -> io::Result<Result<(Mapping, Duration), Trouble>> {
    let Some(gateway) = gateway::find(app.listeners).await else {
        *held = None;
        return Ok(Err(Trouble::NoRouter));
    };
    if let Some(before) = held.as_mut().filter(|held| held.router.gateway() == gateway)
        && let Ok(renewed) = map(before).await
    {
        return Ok(Ok(renewed));
    }
    *held = None;
    let [peers, tracker] = [app.listeners.peer, app.listeners.tracker].map(|listener| listener.port());
    let (Some(peers), Some(tracker)) = (NonZeroU16::new(peers), NonZeroU16::new(tracker)) else {
        return Ok(Err(Trouble::NoRouter));
    };
    let wanted = [peers, tracker]
        .map(|port| [Transport::Tcp, Transport::Udp].map(|transport| Wanted::new(transport, port)));
    let mut fresh = match Router::ask(gateway, wanted[0][0]).await? {
        Ok(router) => Held { router, wanted: wanted.as_flattened().try_into().expect("two by two") },
        Err(trouble) => return Ok(Err(trouble)),
    };
    let mapped = map(&mut fresh).await;
    // What was granted is held even if the rest was not, and taken back at the end.
    *held = Some(fresh);
    Ok(mapped)
}

/// Asks for every port. For UDP the one that TCP got is asked for: peers have one port for both.
async fn map(held: &mut Held) -> Result<(Mapping, Duration), Trouble> {
    let mut granted: Vec<Granted> = Vec::new();
    for number in 0..held.wanted.len() {
        if held.wanted[number].transport == Transport::Udp {
            held.wanted[number].external = held.wanted[number - 1].external;
        }
        let answer = held.router.map(held.wanted[number]).await?;
        held.wanted[number].external = answer.port;
        granted.push(answer);
    }
    let [peers, peers_udp, tracker, tracker_udp] = [0, 1, 2, 3].map(|number| held.wanted[number].external);
    if (peers, tracker) != (peers_udp, tracker_udp) {
        tracing::info!("the router has other ports for UDP ({peers_udp}, {tracker_udp}) than for TCP");
    }
    let lifetime = granted.iter().map(|granted| granted.lifetime).min().unwrap_or(RENEW);
    let address = match granted[0].address {
        Some(address) => address,
        None => held.router.address().await?,
    };
    let at = |port: NonZeroU16| SocketAddr::new(address, port.get());
    Ok((Mapping { way: held.router.way(), peers: at(peers), tracker: at(tracker) }, lifetime))
}

/// What an address that the router says it has outside means.
fn judged(mapping: Mapping) -> State {
    match Scope::of(mapping.peers.ip()).filter(|_| mapping.peers.is_ipv4()) {
        Some(Scope::Global) => State::Mapped(mapping),
        Some(Scope::Local) => State::DoubleNat(mapping),
        Some(Scope::Loopback) | None => State::Failed(Trouble::Nonsense),
    }
}

async fn take_back(held: &Held) {
    let [a, b, c, d] = held.wanted.each_ref().map(|wanted| held.router.unmap(*wanted));
    tokio::join!(a, b, c, d);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_works_outside_counts() {
        for (address, state) in [
            ("203.0.113.1", "mapped"),
            ("192.168.1.2", "double_nat"),
            ("100.64.3.4", "double_nat"),
            ("169.254.0.1", "double_nat"),
            ("0.0.0.0", "no_answer"),
            ("255.255.255.255", "no_answer"),
            ("127.0.0.1", "no_answer"),
            ("224.0.0.1", "no_answer"),
            ("2001:db8::1", "no_answer"),
        ] {
            let at = |port| SocketAddr::new(address.parse().unwrap(), port);
            let state_of = judged(Mapping { way: "PCP", peers: at(1), tracker: at(2) });
            assert_eq!(state_of.name(), state, "{address}");
            assert_eq!(state_of.peers().is_some(), state == "mapped", "{address}");
        }
    }
}
