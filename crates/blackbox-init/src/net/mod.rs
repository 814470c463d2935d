//! The network child, `blackbox-init net`: links on, DHCP or a static address, and a report to PID 1.
//!
//! Netlink messages and DHCP packets are hints and answers to this process alone; PID 1 sees only [`report`].

mod dhcp;
mod fallback;
mod link_local;
pub mod links;
pub mod report;
mod route;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use appliance::config::{Cidr, Network as Settings};

use crate::boot::HOST_NAME;
use crate::confine;
use crate::sys::{self, Received, Wait};
use dhcp::{Client, Lease, Output};
use fallback::Fallback;
use links::LinkFacts;
use report::{Report, Stage};

/// Where the resolver's settings are; `/etc/resolv.conf` points here.
const RESOLV_CONF: &str = "/run/network/resolv.conf";

/// Interface index that loopback always has.
const LOOPBACK: u32 = 1;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// The state is looked at this often even if nothing is heard.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Drivers load and links come up within a few seconds; before that nothing is missing.
const PATIENCE: Duration = Duration::from_secs(8);

/// DHCP packets taken from one link before the others have their turn.
const MAX_PACKETS: usize = 32;

/// Runs until it is killed, with the settings' part about the network as JSON.
///
/// # Errors
/// When the sockets it can't do without fail; PID 1 starts it again.
pub fn run(settings: &str) -> io::Result<()> {
    confine::network();
    let settings = serde_json::from_str(settings)?;
    let hints = sys::link_socket()?;
    let mut network =
        Network { settings, started: Instant::now(), links: Vec::new(), resolv_conf: String::new() };
    let mut last = None;
    loop {
        let now = Instant::now();
        network.look(now);
        network.handle_timeouts(now);
        network.write_resolv_conf();
        let report = network.report(now)?;
        if last.as_ref() != Some(&report) {
            let mut out = io::stdout().lock();
            serde_json::to_writer(&mut out, &report)?;
            out.write_all(b"\n")?;
            out.flush()?;
            last = Some(report);
        }
        network.wait(&hints, now + LOOK_INTERVAL)?;
    }
}

/// Switches the loopback interface on; the kernel gives it its addresses.
///
/// # Errors
/// When the kernel refuses.
pub fn loopback_up() -> io::Result<()> {
    route::link_up(LOOPBACK)
}

/// How a link gets its address.
enum Mode {
    /// Not at all: no cable, or the static address is on another link.
    Off,
    /// From the settings.
    Static(Cidr),
    /// From a server.
    Dhcp(Box<Client>, UdpSocket),
}

struct Link {
    facts: LinkFacts,
    /// When it was seen first, or had its cable last.
    plugged: Instant,
    mode: Mode,
    /// The address for a network without DHCP, once that has been silent for a while.
    fallback: Option<Fallback>,
    router: Option<IpAddr>,
}

struct Network {
    settings: Settings,
    started: Instant,
    links: Vec<Link>,
    resolv_conf: String,
}

impl Network {
    /// Compares the links with what they were and acts on cables that came and went.
    fn look(&mut self, now: Instant) {
        let facts = links::scan(Path::new("/sys"));
        self.links.retain(|link| facts.iter().any(|facts| facts.index == link.facts.index));
        for facts in facts {
            if !facts.up {
                check(&facts.name, "switching the link on", route::link_up(facts.index));
            }
            match self.links.iter_mut().find(|link| link.facts.index == facts.index) {
                Some(link) => link.facts = facts,
                None => self.links.push(Link::new(facts, now)),
            }
        }
        for link in self.links.iter_mut().filter(|link| link.facts.carrier) {
            link.plugged = now;
        }
        let chosen = self.links.iter().position(|link| link.facts.carrier);
        for (n, link) in self.links.iter_mut().enumerate() {
            let wanted = link.facts.carrier && (self.settings.address.is_none() || chosen == Some(n));
            match (&link.mode, wanted) {
                (Mode::Off, true) => link.start(&self.settings, now),
                (&Mode::Static(cidr), true)
                    if link.addresses(|address| address == cidr.address).is_empty() =>
                {
                    link.configure(cidr, self.settings.gateway);
                }
                (Mode::Static(_) | Mode::Dhcp(..), false) => {
                    eprintln!("{}: cable out", link.facts.name);
                    link.deconfigure();
                    (link.mode, link.fallback) = (Mode::Off, None);
                }
                _ => {}
            }
        }
    }

    fn handle_timeouts(&mut self, now: Instant) {
        for link in &mut self.links {
            if let Mode::Dhcp(client, _) = &mut link.mode {
                let outputs = client.handle_timeout(now);
                link.act(outputs);
            }
            link.fall_back(now);
        }
    }

    /// Waits for packets, changes and deadlines.
    fn wait(&mut self, hints: &OwnedFd, latest: Instant) -> io::Result<()> {
        let mut until = latest;
        let mut waited = vec![(hints.as_fd(), Wait::Read)];
        for link in &self.links {
            if let Mode::Dhcp(client, socket) = &link.mode {
                until = until.min(client.deadline());
                waited.push((socket.as_fd(), Wait::Read));
            }
            if let Some(fallback) = &link.fallback {
                until = fallback.deadline().map_or(until, |due| due.min(until));
                waited.push((fallback.as_fd(), Wait::Read));
            }
        }
        sys::poll(&waited, until)?;
        let mut buffer = [0; 16 * 1024];
        while matches!(sys::receive_netlink(hints, &mut buffer), Received::Message(_)) {}
        let now = Instant::now();
        for link in &mut self.links {
            link.receive(now);
        }
        Ok(())
    }

    fn report(&self, now: Instant) -> io::Result<Report> {
        let stages: Vec<_> =
            self.links.iter().map(|link| (link.facts.name.as_str(), link.stage(now))).collect();
        let addresses: Vec<_> = sys::addresses()?
            .into_iter()
            .filter(|(name, _)| self.links.iter().any(|link| link.facts.name == *name && link.facts.carrier))
            .map(|(_, address)| address)
            .collect();
        let mut report = Report::new(&stages, &addresses);
        let leases = self.links.iter().filter_map(Link::lease);
        report.time_servers = leases.flat_map(|lease| lease.time_servers.clone()).collect();
        if self.links.is_empty() && now.duration_since(self.started) < PATIENCE {
            report.problems.clear();
        }
        Ok(report)
    }

    fn write_resolv_conf(&mut self) {
        let leased =
            self.links.iter().filter_map(Link::lease).flat_map(|lease| &lease.dns).map(|ip| IpAddr::V4(*ip));
        let servers = self.settings.dns.iter().copied().chain(leased);
        let mut text = String::new();
        for server in servers {
            text.extend(["nameserver ", &server.to_string(), "\n"]);
        }
        if text != self.resolv_conf {
            let new = format!("{RESOLV_CONF}.new");
            check(
                "resolv.conf",
                "writing",
                fs::write(&new, &text).and_then(|()| fs::rename(&new, RESOLV_CONF)),
            );
            self.resolv_conf = text;
        }
    }
}

impl Link {
    fn new(facts: LinkFacts, now: Instant) -> Self {
        Self { facts, plugged: now, mode: Mode::Off, fallback: None, router: None }
    }

    fn start(&mut self, settings: &Settings, now: Instant) {
        let name = &self.facts.name;
        if let Some(cidr) = settings.address {
            eprintln!("{name}: cable in, static address {}/{}", cidr.address, cidr.prefix);
            self.configure(cidr, settings.gateway);
            self.mode = Mode::Static(cidr);
            return;
        }
        match sys::bind_dhcp(name, CLIENT_PORT) {
            Ok(socket) => {
                eprintln!("{name}: cable in, asking for an address");
                let host_name = settings.name.as_deref().unwrap_or(HOST_NAME);
                let client = Client::new(self.facts.mac, host_name, random(), now);
                self.mode = Mode::Dhcp(Box::new(client), socket);
            }
            Err(error) => eprintln!("{name}: no socket for DHCP: {error}"),
        }
    }

    fn lease(&self) -> Option<&Lease> {
        match &self.mode {
            Mode::Dhcp(client, _) => client.lease(),
            Mode::Off | Mode::Static(_) => None,
        }
    }

    fn stage(&self, now: Instant) -> Stage {
        match &self.mode {
            _ if !self.facts.carrier && now.duration_since(self.plugged) >= PATIENCE => Stage::NoCable,
            Mode::Dhcp(client, _) if client.is_silent(now) => Stage::Silent,
            _ => Stage::Fine,
        }
    }

    fn receive(&mut self, now: Instant) {
        let mut buffer = [0; dhcp::MAX_PACKET + 1];
        for _ in 0..MAX_PACKETS {
            let Mode::Dhcp(client, socket) = &mut self.mode else { return };
            let Ok(bytes) = socket.recv(&mut buffer) else { return };
            let outputs = client.receive(now, &buffer[..bytes]);
            self.act(outputs);
        }
    }

    fn act(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Broadcast(packet) => self.send(Ipv4Addr::BROADCAST, &packet),
                Output::Unicast(server, packet) => self.send(server, &packet),
                Output::Configure(lease) => {
                    self.fallback = None;
                    let cidr = Cidr { address: lease.address.into(), prefix: lease.prefix };
                    self.configure(cidr, lease.router.map(IpAddr::V4));
                }
                Output::Deconfigure => self.deconfigure(),
            }
        }
    }

    /// Claims an address where DHCP is silent, which is asked on all the while.
    fn fall_back(&mut self, now: Instant) {
        let Mode::Dhcp(client, _) = &self.mode else { return };
        if self.fallback.is_none() && client.is_silent(now) {
            match Fallback::start(&self.facts, now) {
                Ok(fallback) => self.fallback = Some(fallback),
                // It is tried again with the next look.
                Err(error) => eprintln!("{}: no socket for ARP: {error}", self.facts.name),
            }
        }
        let outputs = self.fallback.as_mut().map(|fallback| fallback.step(now)).unwrap_or_default();
        for output in outputs {
            match output {
                link_local::Output::Configure(address) => {
                    self.configure(Cidr { address: address.into(), prefix: link_local::PREFIX }, None);
                }
                link_local::Output::Deconfigure => self.deconfigure(),
                link_local::Output::Broadcast(_) => {}
            }
        }
    }

    fn send(&self, to: Ipv4Addr, packet: &[u8]) {
        if let Mode::Dhcp(_, socket) = &self.mode {
            check(
                &self.facts.name,
                "sending",
                socket.send_to(packet, SocketAddrV4::new(to, SERVER_PORT)).map(drop),
            );
        }
    }

    /// Makes `cidr` the link's only address of its family. One that it has already stays untouched, and with it
    /// every connection.
    fn configure(&mut self, cidr: Cidr, router: Option<IpAddr>) {
        let (name, index) = (&self.facts.name, self.facts.index);
        let have = self.addresses(|address| address.is_ipv4() == cidr.address.is_ipv4());
        if !have.contains(&cidr.address) {
            eprintln!("{name}: address {}/{}", cidr.address, cidr.prefix);
        }
        for old in have.into_iter().filter(|old| *old != cidr.address && old.is_ipv4()) {
            check(name, "removing an address", route::remove_address(index, old));
        }
        check(name, "setting the address", route::add_address(index, cidr));
        if let Some(old) = self.router.filter(|old| router != Some(*old)) {
            check(name, "removing the default route", route::remove_default(index, old));
        }
        if let Some(router) = router {
            check(name, "setting the default route", route::add_default(index, router));
        }
        self.router = router;
    }

    fn deconfigure(&mut self) {
        let (name, index) = (&self.facts.name, self.facts.index);
        if let Some(router) = self.router.take() {
            check(name, "removing the default route", route::remove_default(index, router));
        }
        let fixed = match self.mode {
            Mode::Static(cidr) => Some(cidr.address),
            Mode::Off | Mode::Dhcp(..) => None,
        };
        for address in self.addresses(|address| address.is_ipv4() || fixed == Some(address)) {
            check(name, "removing an address", route::remove_address(index, address));
        }
    }

    fn addresses(&self, wanted: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
        let all = sys::addresses().unwrap_or_default();
        all.into_iter()
            .filter(|(name, address)| *name == self.facts.name && wanted(*address))
            .map(|(_, a)| a)
            .collect()
    }
}

/// Logs what did not work; the next look, or the next renewal, tries again.
fn check(name: &str, what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("{name}: {what}: {error}");
    }
}

/// A number that differs between boxes and starts.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => u64::from(sys::uptime().subsec_nanos()),
    }
}
