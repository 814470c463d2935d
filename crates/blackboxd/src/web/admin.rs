//! `/admin`: how the box is doing, for those in its network. Read-only like everything else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use appliance::Config;
use appliance::config::HostPort;
use appliance::config::ImportMode;
use askama::Template;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use jiff::Timestamp;

use super::chart::{self, Chart};
use super::glance::{self, Glance};
use super::host::Host;
use super::links::page_path;
use super::machine;
use super::memory::{self, Memory};
use super::peers::PeerTable;
use super::space::{self, Space};
use super::view::{self, Listed, STATES, state_name};
use super::work::{self, Work};
use super::{access, basic_auth, reply, report};
use crate::app::{App, Listeners};
use crate::history::{Event, Member, Series};
use crate::members::Standing;
use crate::net::http::{Request, Response};
use crate::words;

/// What a wrong password costs, so that trying many takes long.
const WRONG_PASSWORD_PAUSE: Duration = Duration::from_secs(1);

/// Items that are shown one by one, those in trouble or in progress first.
const MAX_ITEMS: usize = 200;

/// Events that are shown; the report has all.
const MAX_EVENTS: usize = 40;

/// What the page shows.
struct Facts<'a> {
    listed: Vec<Listed>,
    problems: Vec<String>,
    /// What is wrong with the publish folder.
    folder: Option<String>,
    /// What was given away, and the time, in seconds since 1970.
    given: (Series, i64),
    /// Newest first.
    events: Vec<Event>,
    addresses: Vec<IpAddr>,
    name: Option<String>,
    listeners: Listeners,
    port_mapping: String,
    config: &'a Config,
    members: Vec<Standing>,
    member_series: BTreeMap<String, Member>,
    space: Option<Space>,
    memory: Option<Memory>,
    machine: machine::Facts,
    peer_table: PeerTable,
    peers: usize,
    uptime: Duration,
    system: Vec<(String, String)>,
}

#[derive(Debug, Template)]
#[template(path = "admin.html")]
pub(super) struct AdminPage {
    /// What all paths begin with.
    base: &'static str,
    pub(super) problems: Vec<String>,
    pub(super) glance: Glance,
    charts: Vec<Chart>,
    /// Newest first.
    pub(super) events: Vec<Event>,
    works: Vec<Work>,
    peers: PeerTable,
    pub(super) machine: machine::Facts,
    /// Name and value.
    pub(super) box_facts: Vec<(&'static str, String)>,
    /// What init knows of the system, the same way.
    pub(super) system: Vec<(String, String)>,
    pub(super) network: Vec<(&'static str, String)>,
    pub(super) config: Vec<(&'static str, String)>,
    members: Vec<MemberRow>,
    pub(super) items: Vec<Row>,
    pub(super) hidden: usize,
}

#[derive(Debug)]
struct MemberRow {
    name: String,
    last_seen: String,
    sent: String,
    claimed_downloaded: String,
    claimed_uploaded: String,
    clients: usize,
    /// What it was sent in the last month: a path, and words.
    month: (String, String),
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    /// Its own page.
    page: Option<String>,
    pub(super) state: &'static str,
    pub(super) size: String,
    uploaded: String,
    completed: u64,
    pub(super) standing: String,
    /// The first of what is said of its names, and how much more there is.
    warning: Option<String>,
}

/// Answers for `/admin`, if the asker may see it.
pub(super) async fn respond(app: &App, request: &Request, host: &Host) -> Response {
    if let Some(refusal) = refusal(app, request, host).await {
        return refusal;
    }
    let page = reply::page(StatusCode::OK, &AdminPage::of(app).await);
    reply::with(page, CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// Answers for `/admin/report`, if the asker may see it.
pub(super) async fn respond_with_report(app: &App, request: &Request, host: &Host) -> Response {
    if let Some(refusal) = refusal(app, request, host).await {
        return refusal;
    }
    report::respond(&AdminPage::of(app).await, app.health.machine().unwrap_or_default().logs).await
}

/// What an asker is answered who may not see it.
pub(super) async fn refusal(app: &App, request: &Request, host: &Host) -> Option<Response> {
    if let Err(refusal) = access::check(request.peer.ip(), host, app.config.public_host.as_deref()) {
        return Some(reply::error(StatusCode::FORBIDDEN, refusal.sentence()));
    }
    if let Some(password) = &app.config.admin.password {
        let presented = request.head.headers.get(AUTHORIZATION);
        if !presented.is_some_and(|field| basic_auth::is_password(field.as_bytes(), password)) {
            if presented.is_some() {
                tokio::time::sleep(WRONG_PASSWORD_PAUSE).await;
            }
            return Some(ask_for_password());
        }
    }
    None
}

fn ask_for_password() -> Response {
    let sentence = "This page needs the password from blackbox.toml; any user name will do.";
    let challenge = HeaderValue::from_static("Basic realm=\"P2P Black Box\", charset=\"UTF-8\"");
    reply::with(reply::error(StatusCode::UNAUTHORIZED, sentence), WWW_AUTHENTICATE, challenge)
}

impl AdminPage {
    /// Of the box as it is now.
    async fn of(app: &App) -> Self {
        Self::new(Facts {
            listed: view::listed(app),
            problems: app.health.problems(),
            folder: app.health.publish_folder().and_then(Result::err),
            given: app.catalog.history().of_the_box(app.catalog.snapshot().sums()),
            events: app.catalog.history().events(),
            addresses: app.health.addresses(),
            name: app.health.name(),
            listeners: app.listeners,
            port_mapping: app.port_mapping.state().sentence(),
            config: &app.config,
            members: app.members.standings(),
            member_series: app.catalog.history().members(),
            space: space::of(&app.publish).await,
            memory: memory::now(),
            machine: machine::of(app).await,
            peer_table: PeerTable::of(&app.peers),
            peers: app.peers.len(),
            uptime: app.started.elapsed(),
            system: app.health.machine().unwrap_or_default().facts,
        })
    }

    fn new(facts: Facts<'_>) -> Self {
        let mut items: Vec<&Listed> = facts.listed.iter().collect();
        // Stable: newest first among those in trouble, in progress, and the rest.
        items.sort_by_key(|listed| listed.seeding().is_some());
        Self {
            base: "",
            members: facts.members.iter().map(|member| MemberRow::new(member, &facts)).collect(),
            works: work::of(&facts.listed),
            glance: glance::of(&facts.listed, facts.folder.as_deref(), &facts.problems, facts.space),
            charts: charts(&facts.given),
            box_facts: box_facts(&facts),
            network: network(&facts),
            config: config(facts.config),
            hidden: items.len().saturating_sub(MAX_ITEMS),
            items: items.into_iter().take(MAX_ITEMS).map(Row::new).collect(),
            machine: facts.machine,
            peers: facts.peer_table,
            problems: facts.problems,
            events: facts.events,
            system: facts.system,
        }
    }
}

impl AdminPage {
    fn shown_events(&self) -> &[Event] {
        &self.events[..self.events.len().min(MAX_EVENTS)]
    }

    fn more_events(&self) -> usize {
        self.events.len().saturating_sub(MAX_EVENTS)
    }
}

fn charts((series, now): &(Series, i64)) -> Vec<Chart> {
    chart::OF_THE_BOX.iter().map(|span| span.chart(series, *now)).collect()
}

impl MemberRow {
    fn new(Standing { name, account, clients }: &Standing, facts: &Facts<'_>) -> Self {
        let (_, now) = facts.given;
        let series = facts.member_series.get(name).map(|member| chart::of_a_member(&member.series, now));
        let seen = Timestamp::from_second(account.last_seen).ok().filter(|_| account.last_seen > 0);
        Self {
            name: name.clone(),
            last_seen: seen.map_or("never".into(), |seen| seen.strftime("%Y-%m-%d %H:%M UTC").to_string()),
            sent: words::bytes(account.sent),
            claimed_downloaded: words::bytes(account.claimed_downloaded),
            claimed_uploaded: words::bytes(account.claimed_uploaded),
            clients: *clients,
            month: series.unwrap_or_else(|| (String::new(), words::bytes(0))),
        }
    }
}

impl Row {
    fn new(listed: &Listed) -> Self {
        Self {
            name: listed.item.name.clone(),
            page: listed.seeding().map(|content| page_path(content)),
            state: state_name(listed.item.state),
            size: words::bytes(listed.item.size_bytes),
            uploaded: words::bytes(listed.uploaded()),
            completed: listed.completed(),
            standing: listed.standing(),
            warning: warning(listed),
        }
    }
}

/// Names that make trouble on other systems.
fn warning(listed: &Listed) -> Option<String> {
    let warnings = &listed.item.content.as_ref()?.warnings;
    let first = words::sentence(warnings.first()?);
    let more = match warnings.len() - 1 {
        0 => String::new(),
        more => format!(" And {}; the API lists them.", words::count(more as u64, "more name", "more names")),
    };
    Some(format!("{first}{more}"))
}

fn box_facts(facts: &Facts<'_>) -> Vec<(&'static str, String)> {
    let states = STATES.into_iter().filter_map(|state| {
        let count = facts.listed.iter().filter(|listed| listed.item.state == state).count();
        (count > 0).then(|| format!("{count} {}", state_name(state)))
    });
    let states = states.collect::<Vec<_>>().join(", ");
    let space = match facts.space {
        Some(Space { free, total }) => free_of(free, total),
        None => "the volume of the publish folder can't be asked".into(),
    };
    let memory =
        facts.memory.map_or_else(|| "not known".into(), |memory| free_of(memory.available, memory.total));
    vec![
        ("Version", env!("CARGO_PKG_VERSION").into()),
        ("Running for", words::duration(facts.uptime)),
        ("Items", if states.is_empty() { "none".into() } else { states }),
        ("Connected peers", facts.peers.to_string()),
        ("Given away", words::bytes(facts.listed.iter().map(Listed::uploaded).sum())),
        ("Completed downloads", facts.listed.iter().map(Listed::completed).sum::<u64>().to_string()),
        ("Disk space", space),
        ("Memory", memory),
    ]
}

fn free_of(free: u64, total: u64) -> String {
    format!("{} free of {}", words::bytes(free), words::bytes(total))
}

fn network(facts: &Facts<'_>) -> Vec<(&'static str, String)> {
    let addresses: Vec<_> = facts.addresses.iter().map(IpAddr::to_string).collect();
    let Listeners { web, tracker, peer, dht } = facts.listeners;
    vec![
        ("Name", facts.name.clone().unwrap_or_else(|| "none".into())),
        ("Addresses", if addresses.is_empty() { "not known".into() } else { addresses.join(", ") }),
        ("Page and web seed", format!("TCP port {} on {}", web.port(), web.ip())),
        ("Tracker", format!("TCP and UDP port {} on {}", tracker.port(), tracker.ip())),
        ("Peers", format!("TCP and UDP port {} on {}", peer.port(), peer.ip())),
        ("Port mapping", facts.port_mapping.clone()),
        ("DHT", dht.map_or("not used".into(), |dht| format!("UDP port {} on {}", dht.port(), dht.ip()))),
    ]
}

/// The configuration in force, without its secrets.
fn config(config: &Config) -> Vec<(&'static str, String)> {
    let text = |value: Option<String>, otherwise: &str| value.unwrap_or_else(|| otherwise.to_owned());
    let number = |value: Option<usize>, otherwise| text(value.map(|value| value.to_string()), otherwise);
    let (limits, network) = (&config.limits, &config.network);
    let dns: Vec<_> = network.dns.iter().map(IpAddr::to_string).collect();
    let discovery = &config.discovery;
    let nodes: Vec<_> = discovery.dht_nodes.iter().map(HostPort::to_string).collect();
    vec![
        ("public_host", text(config.public_host.clone(), "not set: the host that a downloader asked for")),
        ("limits.upload_rate", text(limits.upload_rate.map(|rate| rate.to_string()), "not set: no limit")),
        ("limits.connections", number(limits.connections, "not set: as many as the machine can have")),
        ("limits.connections_per_address", number(limits.connections_per_address, "not set: a tenth of all")),
        ("members", words::count(config.members.len() as u64, "member", "members")),
        (
            "import.mode",
            match config.import.mode {
                ImportMode::Contents => "contents".into(),
                ImportMode::Image => "image".into(),
            },
        ),
        ("import.eject", config.import.eject.to_string()),
        ("import.from_folder", text(config.import.from_folder.clone(), "not set: all of a medium")),
        (
            "admin.password",
            if config.admin.password.is_some() { "set (not shown)" } else { "not set" }.into(),
        ),
        (
            "network.address",
            text(network.address.map(|cidr| format!("{}/{}", cidr.address, cidr.prefix)), "not set: DHCP"),
        ),
        ("network.gateway", text(network.gateway.map(|gateway| gateway.to_string()), "not set")),
        ("network.dns", if dns.is_empty() { "not set".into() } else { dns.join(", ") }),
        ("network.name", text(network.name.clone(), "not set: blackbox")),
        (
            "network.ntp",
            if network.ntp.is_empty() { "not set: as DHCP says".into() } else { network.ntp.join(", ") },
        ),
        ("network.port_mapping", network.port_mapping.to_string()),
        ("tracker.open", config.tracker.open.to_string()),
        ("scrub.days", config.scrub.days.to_string()),
        ("discovery.dht", discovery.dht.to_string()),
        ("discovery.dht_nodes", nodes.join(", ")),
        ("discovery.local", discovery.local.to_string()),
        ("discovery.exchange", discovery.exchange.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{published, unpublished};
    use super::*;
    use crate::catalog::State;
    use crate::history::{Kind, series};
    use crate::members::Account;
    use crate::net::peers::Peers;

    /// Who was sent something an hour ago.
    fn member() -> Member {
        let mut series = Series::new(&series::OF_ONE);
        series.add(chart::tests::some().1 - 3600, [1_500_000, 0, 0]);
        Member { gathered: [1_500_000, 0, 0], series }
    }

    fn html(config: &Config) -> String {
        let account =
            Account { sent: 2_000_000, claimed_uploaded: 7, claimed_downloaded: 3_000_000, last_seen: 1 };
        let facts = Facts {
            listed: vec![
                published("fine", &[("a:b", 1), ("c?", 1)]),
                unpublished("bad", State::Failed, Some("a name is odd.")),
            ],
            problems: vec!["The disk is full: delete something.".into()],
            folder: None,
            given: chart::tests::some(),
            events: vec![Event { time: 1, kind: Kind::Started, what: "1.2.3".into(), times: 1 }],
            addresses: vec!["192.0.2.7".parse().unwrap()],
            name: Some("attic.local".into()),
            listeners: Listeners {
                web: "[::]:80".parse().unwrap(),
                tracker: "[::]:6969".parse().unwrap(),
                peer: "[::]:6881".parse().unwrap(),
                dht: None,
            },
            port_mapping: "the router is being asked".into(),
            config,
            member_series: BTreeMap::from([("alice".into(), member())]),
            members: vec![Standing { name: "alice".into(), account, clients: 3 }],
            space: Some(Space { free: 1_000_000, total: 2_000_000 }),
            memory: Some(Memory { available: 1_000_000, total: 2_000_000 }),
            machine: vec![("Clock", "right".into())],
            peer_table: PeerTable::of(&Peers::new(&config.limits)),
            peers: 7,
            uptime: Duration::from_hours(1),
            system: vec![("Slot".into(), "a runs".into())],
        };
        AdminPage::new(facts).render().unwrap()
    }

    #[test]
    fn it_tells_how_the_box_is_doing() {
        let html = html(&Config::default());
        for part in [
            "The disk is full: delete something.",
            "<strong>Trouble:</strong> The disk is full: 1.0 MB are free.",
            "<li>The disk is full: delete something.</li>",
            "6.0 MB given away, 1.0 MB of that over HTTP; 2 downloads completed.",
            "<time datetime=\"1970-01-01T00:00:01Z\">1970-01-01 00:00 UTC</time> <span>Started: version 1.2.3.</span>",
            "192.0.2.7",
            "attic.local",
            "TCP and UDP port 6969",
            "TCP and UDP port 6881",
            "the router is being asked",
            "as many as the machine can have",
            "<dt>Clock</dt><dd>right</dd>",
            "Nobody is connected.",
            "1.0 MB free of 2.0 MB",
            "1 hour",
            "<dt>Slot</dt><dd>a runs</dd>",
            "1 seeding, 1 failed",
            "A name is odd.",
            "alice</td><td>1970-01-01 00:00 UTC</td><td>2.0 MB</td><td>3.0 MB</td><td>7 bytes</td><td>3</td><td>",
            "aria-label=\"Each of the last 31 days\"><path class=\"to-peers\" d=\"M301 180v-180h8v180z\"/></svg> 1.5 MB",
            "Windows can&#39;t have",
            "And 1 more name;",
            env!("CARGO_PKG_VERSION"),
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(html.find("bad").unwrap() < html.find("fine").unwrap(), "trouble comes first");
    }

    #[test]
    fn secrets_stay_secret() {
        let text = "public_host = \"files.example.org\"\n[limits]\nupload_rate = \"8 MiB/s\"\nconnections = 1234\nconnections_per_address = 56\n\
                    [members]\nalice = \"AAAABBBBCCCCDDDD\"\n[admin]\npassword = \"geheim\"\n";
        let html = html(&Config::parse(text.as_bytes()).unwrap());
        for part in ["files.example.org", "8 MiB/s", "1234", "56", "1 member", "set (not shown)"] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        for secret in ["AAAABBBBCCCCDDDD", "geheim"] {
            assert!(!html.contains(secret), "{html}");
        }
    }
}
