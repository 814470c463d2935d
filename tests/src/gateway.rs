//! A router that maps ports, as PCP (RFC 6887), NAT-PMP (RFC 6886) and `UPnP` have it, written apart from the box's own
//! code. It can misbehave.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::process::run;
use crate::rooms::{self, Home, ROUTER};

/// How often a thread of the router looks whether it is to end.
const TICK: Duration = Duration::from_millis(100);

/// How a router behaves.
#[derive(Debug, Clone)]
pub struct Manners {
    /// Which protocols it knows.
    pub knows: Vec<Protocol>,
    /// Its address outside, as it says.
    pub address: Ipv4Addr,
    /// By how much the ports that it gives are higher than the box's; others than those it gives as it is asked.
    pub shift: u16,
    /// Seconds that a mapping lasts, as it says.
    pub lifetime: u32,
    /// Whether it says no.
    pub refuses: bool,
    /// Whether it answers as if somebody else had asked (PCP).
    pub confuses: bool,
    /// What it answers to every packet and every HTTP request instead.
    pub nonsense: Option<Vec<u8>>,
    /// Whether it does as it says.
    pub forwards: bool,
}

/// A protocol for mapping ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 6887
    Pcp,
    /// RFC 6886
    NatPmp,
    /// `UPnP` IGD
    Upnp,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            knows: vec![Protocol::Pcp],
            address: rooms::OUTSIDE.parse().expect("an address"),
            shift: 0,
            lifetime: 3600,
            refuses: false,
            confuses: false,
            nonsense: None,
            forwards: false,
        }
    }
}

/// Something that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// How.
    pub protocol: Protocol,
    /// `tcp` or `udp`
    pub transport: &'static str,
    /// The box's port.
    pub inside: u16,
    /// The port outside that was given.
    pub outside: u16,
    /// Whether the mapping was to end.
    pub is_end: bool,
}

/// A router at work, in the room of [`Home::router`].
#[derive(Debug)]
pub struct Gateway {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    manners: Manners,
    asked: Mutex<Vec<Asked>>,
    is_ending: AtomicBool,
}

impl Gateway {
    /// Starts it. The calling thread is in the room of the router then.
    ///
    /// # Panics
    /// When its ports are in use.
    pub fn start(home: &Home, manners: Manners) -> Self {
        home.router.enter();
        let state = Arc::new(State { manners, asked: Mutex::default(), is_ending: AtomicBool::new(false) });
        let ports = UdpSocket::bind((ROUTER, 5351)).expect("a port of ours");
        let search = UdpSocket::bind("0.0.0.0:1900").expect("a port of ours");
        let inside = ROUTER.parse().expect("an address");
        search.join_multicast_v4(&Ipv4Addr::new(239, 255, 255, 250), &inside).expect("a group");
        let pages = TcpListener::bind((ROUTER, 0)).expect("a port of ours");
        let page = pages.local_addr().expect("bound");
        let threads = vec![
            spawn(&state, move |state| serve_packets(state, &ports, State::answer)),
            spawn(&state, move |state| {
                serve_packets(state, &search, |state, packet| state.answer_search(packet, page));
            }),
            spawn(&state, move |state| serve_pages(state, &pages)),
        ];
        Self { state, threads }
    }

    /// Everything that was asked for so far.
    ///
    /// # Panics
    /// When a thread of it has panicked.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("no thread panics").clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.state.is_ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let result = thread.join();
            assert!(result.is_ok() || thread::panicking(), "the router panicked");
        }
    }
}

fn spawn(state: &Arc<State>, work: impl FnOnce(&State) + Send + 'static) -> JoinHandle<()> {
    let state = Arc::clone(state);
    thread::spawn(move || work(&state))
}

fn serve_packets(state: &State, socket: &UdpSocket, answer: impl Fn(&State, &[u8]) -> Option<Vec<u8>>) {
    socket.set_read_timeout(Some(TICK)).expect("a time above zero");
    let mut buffer = [0; 2048];
    while !state.is_ending.load(Ordering::Relaxed) {
        let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(state, &buffer[..length]) {
            // Some of what it says does not fit into a packet.
            let _ = socket.send_to(&answer, source);
        }
    }
}

fn serve_pages(state: &State, listener: &TcpListener) {
    listener.set_nonblocking(true).expect("a socket");
    while !state.is_ending.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => state.answer_page(stream),
            Err(_) => thread::sleep(TICK),
        }
    }
}

impl State {
    fn knows(&self, protocol: Protocol) -> bool {
        self.manners.knows.contains(&protocol)
    }

    /// Notes what is asked for, and does it. Returns the port outside.
    fn note(&self, protocol: Protocol, transport: &'static str, inside: u16, wish: u16, is_end: bool) -> u16 {
        let mut asked = self.asked.lock().expect("no thread panics");
        let same =
            |before: &&Asked| (before.transport, before.inside) == (transport, inside) && !before.is_end;
        let before = asked.iter().rev().find(same).map(|before| before.outside);
        let outside = before.unwrap_or_else(|| {
            let taken = wish == inside;
            if taken { wish.wrapping_add(self.manners.shift) } else { wish }
        });
        if self.manners.forwards && before.is_none() {
            run("nft", [rooms::forwarding(transport, outside, rooms::BOX, inside)]);
        }
        asked.push(Asked { protocol, transport, inside, outside, is_end });
        outside
    }

    fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        if let Some(nonsense) = &self.manners.nonsense {
            return Some(nonsense.clone());
        }
        match packet {
            [2, 1, ..] if self.knows(Protocol::Pcp) => Some(self.answer_pcp(packet)),
            // The version that it knows instead.
            [2, operation, ..] if self.knows(Protocol::NatPmp) => {
                Some(vec![0, 128 | operation, 0, 1, 0, 0, 0, 1])
            }
            [0, ..] if self.knows(Protocol::NatPmp) => self.answer_nat_pmp(packet),
            _ => None,
        }
    }

    fn answer_pcp(&self, request: &[u8]) -> Vec<u8> {
        assert_eq!(request.len(), 60, "a MAP request");
        let lifetime = number(&request[4..8]);
        let transport = if request[36] == 6 { "tcp" } else { "udp" };
        let (inside, wish) = (port(&request[40..42]), port(&request[42..44]));
        let outside = self.note(Protocol::Pcp, transport, inside, wish, lifetime == 0);
        let given = if lifetime == 0 { 0 } else { self.manners.lifetime };
        let mut answer = vec![2, 0x81, 0, if self.manners.refuses { 2 } else { 0 }];
        answer.extend(given.to_be_bytes());
        answer.extend(1_u32.to_be_bytes());
        answer.resize(24, 0);
        answer.extend(&request[24..42]);
        answer.extend(outside.to_be_bytes());
        answer.extend(self.manners.address.to_ipv6_mapped().octets());
        if self.manners.confuses {
            answer[24] ^= 1;
        }
        answer
    }

    fn answer_nat_pmp(&self, request: &[u8]) -> Option<Vec<u8>> {
        let result = if self.manners.refuses { 2 } else { 0 };
        let mut answer = vec![0, 128 | request[1], 0, result, 0, 0, 0, 1];
        match request {
            [0, 0] => answer.extend(self.manners.address.octets()),
            [0, operation @ 1..=2, ..] if request.len() == 12 => {
                let transport = if *operation == 2 { "tcp" } else { "udp" };
                let lifetime = number(&request[8..12]);
                let (inside, wish) = (port(&request[4..6]), port(&request[6..8]));
                let outside = self.note(Protocol::NatPmp, transport, inside, wish, lifetime == 0);
                let [outside, given] =
                    if lifetime == 0 { [0; 2] } else { [outside.into(), self.manners.lifetime] };
                answer.extend(inside.to_be_bytes());
                answer.extend(u16::try_from(outside).expect("a port").to_be_bytes());
                answer.extend(given.to_be_bytes());
            }
            _ => return None,
        }
        Some(answer)
    }

    fn answer_search(&self, packet: &[u8], page: SocketAddr) -> Option<Vec<u8>> {
        let is_search = packet.starts_with(b"M-SEARCH * HTTP/1.1\r\n");
        let wanted = is_search && (self.knows(Protocol::Upnp) || self.manners.nonsense.is_some());
        wanted.then(|| {
            format!("HTTP/1.1 200 OK\r\nST: {SERVICE}\r\nLocation: http://{page}/description.xml\r\n\r\n")
                .into_bytes()
        })
    }

    fn answer_page(&self, mut stream: TcpStream) {
        stream.set_nonblocking(false).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time above zero");
        let Some((head, body)) = read_request(&mut stream) else { return };
        let (status, page) = match head.split(' ').nth(1) {
            _ if self.manners.nonsense.is_some() => {
                let nonsense = self.manners.nonsense.clone().expect("there is some");
                // As much as anybody would take.
                (200, nonsense.into_iter().cycle().take(8 << 20).collect())
            }
            Some("/description.xml") => (200, description().into_bytes()),
            Some("/actions.xml") => (200, actions().into_bytes()),
            _ => self.act(&body),
        };
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.len());
        // Whoever has heard enough hangs up.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&page));
    }

    /// Does what a SOAP message says.
    fn act(&self, body: &str) -> (u16, Vec<u8>) {
        let field = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            rest.split_once('<').map(|(value, _)| value.to_owned())
        };
        let number = |name: &str| field(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let action = ["GetExternalIPAddress", "AddPortMapping", "DeletePortMapping"]
            .into_iter()
            .find(|action| body.contains(&format!(":{action} ")))
            .expect("an action that it has");
        let transport = if field("NewProtocol").as_deref() == Some("TCP") { "tcp" } else { "udp" };
        let result = match action {
            "GetExternalIPAddress" => {
                format!("<NewExternalIPAddress>{}</NewExternalIPAddress>", self.manners.address)
            }
            _ if self.manners.refuses => {
                let fault = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><s:Fault>\
                    <faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
                    <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>606</errorCode>\
                    <errorDescription>&lt;b&gt;no</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>";
                return (500, fault.into());
            }
            "AddPortMapping" => {
                assert_eq!(field("NewInternalClient").as_deref(), Some(rooms::BOX));
                let (inside, wish) = (number("NewInternalPort"), number("NewExternalPort"));
                self.note(Protocol::Upnp, transport, inside, wish, false);
                String::new()
            }
            _ => {
                let outside = number("NewExternalPort");
                self.note(Protocol::Upnp, transport, outside, outside, true);
                String::new()
            }
        };
        let answer = format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
             <u:{action}Response xmlns:u=\"{SERVICE}\">{result}</u:{action}Response></s:Body></s:Envelope>"
        );
        (200, answer.into_bytes())
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

fn port(bytes: &[u8]) -> u16 {
    u16::from_be_bytes(bytes.try_into().expect("two bytes"))
}

/// The first line of a request, and its body.
fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let expected = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:").map(|value| value.trim().parse().ok())
        });
        if body.len() >= expected.flatten().unwrap_or(0) {
            return Some((head.lines().next()?.to_owned(), body.to_owned()));
        }
    }
}

const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

fn description() -> String {
    let device = |kind: &str, inner: &str| {
        format!("<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType>{inner}</device>")
    };
    let service = format!(
        "<serviceList><service><serviceType>{SERVICE}</serviceType><controlURL>/control</controlURL>\
         <SCPDURL>/actions.xml</SCPDURL></service></serviceList>"
    );
    let connection = format!("<deviceList>{}</deviceList>", device("WANConnectionDevice", &service));
    let wan = format!("<deviceList>{}</deviceList>", device("WANDevice", &connection));
    format!("<?xml version=\"1.0\"?><root>{}</root>", device("InternetGatewayDevice", &wan))
}

fn actions() -> String {
    let action = |name: &str, arguments: &[&str]| {
        let argument =
            |name: &&str| format!("<argument><name>{name}</name><direction>in</direction></argument>");
        let arguments: String = arguments.iter().map(argument).collect();
        format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
    };
    let mapping = ["NewRemoteHost", "NewExternalPort", "NewProtocol"];
    let add = [
        "NewInternalPort",
        "NewInternalClient",
        "NewEnabled",
        "NewPortMappingDescription",
        "NewLeaseDuration",
    ];
    format!(
        "<?xml version=\"1.0\"?><scpd><actionList>{}{}{}</actionList></scpd>",
        action("GetExternalIPAddress", &[]),
        action("AddPortMapping", &[&mapping[..], &add].concat()),
        action("DeletePortMapping", &mapping)
    )
}
