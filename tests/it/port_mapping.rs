//! The box asks its router to forward its ports, and believes no more of the answers than it can.

use std::time::Duration;

use system_tests::api::Api;
use system_tests::daemon::{Daemon, Site};
use system_tests::gateway::{Asked, Gateway, Manners, Protocol};
use system_tests::rooms::{self, Home};
use system_tests::tracker::{Announce, UdpClient};
use system_tests::{left_out, wait};
use torrent::InfoHash;

/// Time in which a router is asked in every way there is.
const ASKED: Duration = Duration::from_secs(40);

const CONFIG: &str = "[network]\nport_mapping = true\n[discovery]\nlocal = false\ndht = false\n";

/// A box behind a router with these manners; the calling thread is with the box. `None` where there can be none.
struct Behind {
    home: Home,
    gateway: Gateway,
    site: Site,
    daemon: Daemon,
    info_hash: InfoHash,
}

fn behind(manners: Manners) -> Option<Behind> {
    let home = match Home::new() {
        Ok(home) => home,
        Err(reason) => {
            left_out("port mapping", reason);
            return None;
        }
    };
    let gateway = Gateway::start(&home, manners);
    home.r#box.enter();
    let anywhere = ["--web", "[::]:0", "--tracker", "[::]:0", "--peer", "[::]:0"];
    let site = Site::new().with_options(&anywhere).with_config(CONFIG);
    let (daemon, info_hash) = site.start_with_file();
    Some(Behind { home, gateway, site, daemon, info_hash })
}

impl Behind {
    fn api(&self) -> Api {
        self.daemon.api
    }

    /// Waits until the metrics say that it stands so, and returns what the page says.
    #[track_caller]
    fn stands(&self, state: &str) -> String {
        let name = format!("blackbox_port_mapping{{state=\"{state}\"}}");
        wait::until_holds(&format!("port mapping is {state}"), ASKED, || self.api().metric(&name) == 1);
        let page = self.api().get("/admin");
        assert_eq!(page.status, 200);
        let (_, rest) = page.text().split_once("<dt>Port mapping</dt><dd>").expect("a line on the page");
        rest.split_once("</dd>").expect("its end").0.to_owned()
    }

    /// What a stranger is told, who asks through a port that the owner has forwarded by hand.
    #[track_caller]
    fn told_to_a_stranger(&self) -> Vec<String> {
        const BY_HAND: u16 = 50_000;
        self.home.forward(BY_HAND, self.daemon.tracker.port());
        self.home.stranger.enter();
        let tracker = format!("{}:{BY_HAND}", rooms::OUTSIDE).parse().unwrap();
        let client = UdpClient::connect("0.0.0.0:0".parse().unwrap(), tracker);
        let answer = client.announce(&Announce::new(self.info_hash, 1)).unwrap();
        self.home.r#box.enter();
        answer.peers.iter().map(ToString::to_string).collect()
    }
}

/// The mappings that a box asks for, with its ports outside.
fn mappings(protocol: Protocol, daemon: &Daemon, shift: u16, is_end: bool) -> Vec<Asked> {
    let both = [daemon.peer.port(), daemon.tracker.port()].map(|inside| {
        ["tcp", "udp"].map(|transport| {
            let outside = inside.wrapping_add(shift);
            Asked { protocol, transport, inside, outside, is_end }
        })
    });
    both.as_flattened().to_vec()
}

/// A router of this protocol is asked, believed, and told when the box goes.
fn check(protocol: Protocol, shift: u16) {
    let Some(behind) = behind(Manners { knows: vec![protocol], shift, ..Manners::default() }) else { return };
    let line = behind.stands("mapped");
    let outside = |inside: u16| format!("{}:{}", rooms::OUTSIDE, inside.wrapping_add(shift));
    let [peers, tracker] = [behind.daemon.peer, behind.daemon.tracker].map(|address| outside(address.port()));
    assert!(line.contains(&peers) && line.contains(&tracker), "{line}");
    let asked = behind.gateway.asked();
    for mapping in mappings(protocol, &behind.daemon, shift, false) {
        assert!(asked.contains(&mapping), "{mapping:?} is not in {asked:?}");
    }
    assert_eq!(behind.told_to_a_stranger(), [peers]);
    let ends = mappings(protocol, &behind.daemon, shift, true);
    let Behind { daemon, gateway, .. } = behind;
    daemon.end();
    let asked = gateway.asked();
    for mapping in ends {
        let ended = |asked: &Asked| {
            asked.is_end && (asked.transport, asked.inside) == (mapping.transport, mapping.inside)
        };
        assert!(asked.iter().any(ended), "{mapping:?} is not taken back: {asked:?}");
    }
}

#[test]
fn a_router_that_knows_pcp_maps_the_ports() {
    check(Protocol::Pcp, 111);
}

#[test]
fn a_router_that_knows_nat_pmp_maps_the_ports() {
    check(Protocol::NatPmp, 111);
}

#[test]
fn a_router_that_knows_upnp_maps_the_ports() {
    check(Protocol::Upnp, 0);
}

#[test]
fn mappings_are_renewed_before_they_end() {
    let Some(behind) = behind(Manners { lifetime: 2, ..Manners::default() }) else { return };
    behind.stands("mapped");
    let peers = behind.daemon.peer.port();
    wait::until_holds("renewals", ASKED, || {
        behind
            .gateway
            .asked()
            .iter()
            .filter(|asked| (asked.transport, asked.inside) == ("udp", peers))
            .count()
            > 2
    });
    behind.stands("mapped");
}

#[test]
fn a_router_behind_another_one_is_told_and_its_address_is_not() {
    for address in ["100.64.1.2", "192.168.178.2"] {
        let Some(behind) = behind(Manners { address: address.parse().unwrap(), ..Manners::default() }) else {
            return;
        };
        let line = behind.stands("double_nat");
        assert!(line.contains("double NAT") && line.contains(address), "{line}");
        assert_eq!(behind.told_to_a_stranger(), [""; 0], "no address works for a stranger");
    }
}

#[test]
fn a_router_that_refuses_is_named_with_its_reason() {
    for protocol in [Protocol::Pcp, Protocol::Upnp] {
        let manners = Manners { knows: vec![protocol], refuses: true, ..Manners::default() };
        let Some(behind) = behind(manners) else { return };
        let line = behind.stands("refused");
        assert!(line.contains("its settings do not allow it"), "{line}");
        assert_eq!(behind.told_to_a_stranger(), [""; 0]);
    }
}

/// Whatever the router answers, nobody is told of it, and the box is well.
fn check_hostile(manners: Manners) {
    let what = format!("{manners:?}");
    let Some(behind) = behind(manners) else { return };
    let line = behind.stands("no_answer");
    assert!(line.len() < 300 && !line.contains('<'), "{what:.200}: {line}");
    assert_eq!(behind.told_to_a_stranger(), [""; 0], "{what:.200}");
    assert!(behind.daemon.most_memory() < 256 << 20, "{what:.200}: {} bytes", behind.daemon.most_memory());
    behind.daemon.end();
    drop(behind.site);
}

#[test]
fn a_router_without_an_address_maps_nothing() {
    check_hostile(Manners { address: [0, 0, 0, 0].into(), ..Manners::default() });
}

#[test]
fn an_answer_for_somebody_else_counts_for_nothing() {
    check_hostile(Manners { confuses: true, ..Manners::default() });
}

#[test]
fn mappings_that_last_no_time_are_no_reason_to_hurry() {
    let Some(behind) = behind(Manners { lifetime: 0, ..Manners::default() }) else { return };
    behind.stands("mapped");
    let before = behind.gateway.asked().len();
    wait::until_holds("a renewal", ASKED, || behind.gateway.asked().len() > before);
    behind.daemon.end();
}

#[test]
fn nonsense_is_withstood() {
    for nonsense in
        [vec![], vec![0xff; 1400], b"<?xml version=\"1.0\"?><a>".to_vec(), vec![2, 0x81, 0, 0, 0xff]]
    {
        check_hostile(Manners { nonsense: Some(nonsense), ..Manners::default() });
    }
}

#[test]
fn a_router_that_knows_nothing_is_not_waited_for() {
    let Some(behind) = behind(Manners { knows: Vec::new(), ..Manners::default() }) else { return };
    let line = behind.stands("no_answer");
    assert!(line.contains("neither PCP nor NAT-PMP nor UPnP"), "{line}");
    behind.daemon.end();
}
