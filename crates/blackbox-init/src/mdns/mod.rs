//! The child that gives the box a name in its networks, `blackbox-init mdns NAME`: `http://NAME.local/` leads to the page.
//!
//! It has no privileges. Its sockets are bound to the groups of multicast DNS: what is sent to the box itself, from
//! another network even, it does not hear, and what it sends leaves for no other network. PID 1 is told the name, one a line.

mod message;
mod records;
mod responder;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::confine;
use crate::net::links;
use crate::sys::{self, Received, Signals, Wait};
use message::MAX_MESSAGE;
use responder::{Family, Output, PORT, Responder};

/// The groups (RFC 6762 section 3).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// Port of the page.
const PAGE_PORT: u16 = 80;

/// Where the kernel says which addresses of IPv6 there are, and how far it has come with them.
const ADDRESSES_V6: &str = "/proc/net/if_inet6";

/// The links are looked at this often even if nothing is heard of them.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Packets taken from one link before the others have their turn.
const MAX_PACKETS: usize = 32;

/// Runs until it is asked to end.
///
/// # Errors
/// When it can't hear of changes or can't tell PID 1, which starts it again.
pub fn run(name: &str) -> io::Result<()> {
    confine::naming();
    let hints = sys::link_socket()?;
    let signals = Signals::open()?;
    let mut child = Child {
        responder: Responder::new(name, PAGE_PORT, u64::from_ne_bytes(sys::random()?)),
        sockets: BTreeMap::new(),
        told: None,
    };
    loop {
        let now = Instant::now();
        child.look(now)?;
        let outputs = child.responder.handle_timeout(now);
        child.send(outputs);
        child.tell()?;
        let until =
            child.responder.deadline().map_or(now + LOOK_INTERVAL, |due| due.min(now + LOOK_INTERVAL));
        child.wait(&hints, &signals, until)?;
        if signals.next().is_some() {
            child.send(child.responder.goodbye());
            return Ok(());
        }
    }
}

struct Child {
    responder: Responder,
    /// By link. A protocol that can't be used has none.
    sockets: BTreeMap<(u32, Family), UdpSocket>,
    /// What PID 1 was told last.
    told: Option<String>,
}

impl Child {
    /// Takes the links with a cable as they are now, with their addresses.
    fn look(&mut self, now: Instant) -> io::Result<()> {
        let unchecked = links::unchecked(&fs::read_to_string(ADDRESSES_V6).unwrap_or_default());
        let mut all = sys::addresses()?;
        // What is asked from an address that may not be used yet nobody hears, and so nobody objects.
        all.retain(|(_, address)| !unchecked.contains(address));
        let mut addresses = BTreeMap::new();
        let mut families = BTreeMap::new();
        for link in links::scan(Path::new("/sys")).into_iter().filter(|link| link.carrier) {
            let own: Vec<IpAddr> =
                all.iter().filter(|(name, _)| *name == link.name).map(|(_, address)| *address).collect();
            for address in &own {
                families
                    .entry((link.index, Family::of(*address)))
                    .or_insert_with(|| (link.name.clone(), *address));
            }
            addresses.insert(link.index, own);
        }
        self.sockets.retain(|key, _| families.contains_key(key));
        for (key, (name, own)) in families {
            if !self.sockets.contains_key(&key)
                && let Some(socket) = open(&name, key, own)
            {
                self.sockets.insert(key, socket);
            }
        }
        self.responder.set_links(now, &addresses);
        Ok(())
    }

    fn send(&self, outputs: Vec<Output>) {
        for Output { link, family, to, bytes } in outputs {
            let Some(socket) = self.sockets.get(&(link, family)) else { continue };
            let group = match family {
                Family::V4 => SocketAddr::from((GROUP_V4, PORT)),
                Family::V6 => SocketAddrV6::new(GROUP_V6, PORT, 0, link).into(),
            };
            // An address that is not checked yet can't be sent from: what is lost is said again, or asked for again.
            let _ = socket.send_to(&bytes, to.unwrap_or(group));
        }
    }

    /// An empty line stands for no name.
    fn tell(&mut self) -> io::Result<()> {
        let name = self.responder.name().unwrap_or_default();
        if self.told.as_ref() != Some(&name) {
            let mut out = io::stdout().lock();
            writeln!(out, "{name}")?;
            out.flush()?;
            self.told = Some(name);
        }
        Ok(())
    }

    fn wait(&mut self, hints: &OwnedFd, signals: &Signals, until: Instant) -> io::Result<()> {
        let mut waited = vec![(hints.as_fd(), Wait::Read), (signals.as_fd(), Wait::Read)];
        waited.extend(self.sockets.values().map(|socket| (socket.as_fd(), Wait::Read)));
        sys::poll(&waited, until)?;
        let mut buffer = vec![0; 16 * 1024];
        while matches!(sys::receive_netlink(hints, &mut buffer), Received::Message(_)) {}
        buffer.truncate(MAX_MESSAGE);
        let mut outputs = Vec::new();
        for ((link, _), socket) in &self.sockets {
            for _ in 0..MAX_PACKETS {
                let Ok((bytes, from)) = socket.recv_from(&mut buffer) else { break };
                outputs.extend(self.responder.receive(Instant::now(), *link, from, &buffer[..bytes]));
            }
        }
        self.send(outputs);
        Ok(())
    }
}

/// A socket of the group on one link. `own` is an address of the link's.
fn open(name: &str, (index, family): (u32, Family), own: IpAddr) -> Option<UdpSocket> {
    let group = match family {
        Family::V4 => SocketAddr::from((GROUP_V4, PORT)),
        Family::V6 => SocketAddrV6::new(GROUP_V6, PORT, 0, index).into(),
    };
    let opened = sys::bind_group(name, group).and_then(|socket| {
        match own {
            IpAddr::V4(own) => socket.join_multicast_v4(&GROUP_V4, &own)?,
            IpAddr::V6(_) => socket.join_multicast_v6(&GROUP_V6, index)?,
        }
        Ok(socket)
    });
    opened.inspect_err(|error| eprintln!("{name}: {group}: {error}")).ok()
}
