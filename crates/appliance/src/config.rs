//! The grammar of `blackbox.toml`, the one file in which the box can be configured.
//!
//! Unknown keys are errors that name the line. Windows line ends and a byte order mark are accepted.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

pub use crate::cidr::Cidr;
use crate::{ByteRate, Passkey};

/// Largest configuration file (bytes) that is read.
pub const MAX_BYTES: usize = 256 * 1024;

/// Longest time (days) in which everything may be read once.
pub const MAX_SCRUB_DAYS: f64 = 3650.0;

/// Longest name (bytes) of a folder, on every file system that media have.
const MAX_FOLDER: usize = 255;

/// Longest name (bytes) of the box in its networks: a number has room behind it.
const MAX_LABEL: usize = 50;

/// Everything that can be configured. [`Config::default`] is an empty file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Host name or address under which downloaders outside reach the box; without it the host they asked for.
    #[serde(deserialize_with = "host")]
    pub public_host: Option<String>,
    /// Limits on what the box gives away.
    pub limits: Limits,
    /// Members by name with their passkeys; empty means public.
    #[serde(deserialize_with = "members")]
    pub members: BTreeMap<String, Passkey>,
    /// What happens with inserted discs and sticks.
    pub import: Import,
    /// The admin page.
    pub admin: Admin,
    /// Static addresses, without them DHCP; and what is asked of the router.
    pub network: Network,
    /// Which swarms the tracker serves.
    pub tracker: Tracker,
    /// Reading again what is published.
    pub scrub: Scrub,
    /// How peers find the box other than by its tracker.
    pub discovery: Discovery,
}

/// `[limits]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// All that is sent to peers and as web seed together, LAN included; without it no limit.
    pub upload_rate: Option<ByteRate>,
    /// Connected peers at most; without it as many as the machine can have.
    #[serde(deserialize_with = "at_least_one")]
    pub connections: Option<usize>,
    /// Connected peers of one address at most (of one /64 in IPv6): many may be behind one router. Without it a tenth of
    /// all.
    #[serde(deserialize_with = "at_least_one")]
    pub connections_per_address: Option<usize>,
}

/// `[import]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "ImportTable")]
pub struct Import {
    /// Files or image.
    pub mode: ImportMode,
    /// Whether the tray opens when the disc is published, or can't be.
    pub eject: bool,
    /// Only the content of the top-level folder of this name is published, and nothing of a medium without one.
    pub from_folder: Option<String>,
}

impl Default for Import {
    fn default() -> Self {
        Self { mode: ImportMode::default(), eject: true, from_folder: None }
    }
}

/// `[import]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ImportTable {
    mode: ImportMode,
    eject: bool,
    #[serde(deserialize_with = "folder")]
    from_folder: Option<String>,
}

impl Default for ImportTable {
    fn default() -> Self {
        let Import { mode, eject, from_folder } = Import::default();
        Self { mode, eject, from_folder }
    }
}

impl TryFrom<ImportTable> for Import {
    type Error = &'static str;

    fn try_from(table: ImportTable) -> Result<Self, Self::Error> {
        let ImportTable { mode, eject, from_folder } = table;
        if mode == ImportMode::Image && from_folder.is_some() {
            return Err("[import] mode = \"image\" publishes all of a medium, which from_folder forbids; \
                        remove one of the two");
        }
        Ok(Self { mode, eject, from_folder })
    }
}

/// How a medium becomes an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportMode {
    /// The files on it, as a folder named after its label.
    #[default]
    Contents,
    /// The medium byte for byte, as one `.iso` file.
    Image,
}

/// `[admin]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Password of the admin page (HTTP Basic, any user name); without it the LAN may look.
    pub password: Option<String>,
}

/// `[network]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// What the box is called in its own networks, without what follows: a label of the DNS.
    #[serde(deserialize_with = "label", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address with prefix length, such as `192.0.2.10/24`; switches DHCP off.
    pub address: Option<Cidr>,
    /// Default route.
    pub gateway: Option<IpAddr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Servers that tell the time (NTP), names or addresses; without them those that DHCP names, or else public ones.
    #[serde(deserialize_with = "hosts")]
    pub ntp: Vec<String>,
    /// Whether the router is asked to forward the ports of peers and tracker (PCP, NAT-PMP, `UPnP`).
    pub port_mapping: bool,
}

/// `[tracker]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracker {
    /// Whether swarms of torrents that are not in the catalog are tracked too.
    pub open: bool,
}

/// `[scrub]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scrub {
    /// In how many days everything is read once and compared with what was hashed; 0 for never.
    #[serde(deserialize_with = "days")]
    pub days: f64,
}

impl Default for Scrub {
    fn default() -> Self {
        Self { days: 30.0 }
    }
}

impl Scrub {
    /// The time in which everything is read once; `None` if nothing is to be.
    pub fn period(&self) -> Option<Duration> {
        const DAY: f64 = 86_400.0;
        Duration::try_from_secs_f64(self.days * DAY).ok().filter(|period| !period.is_zero())
    }
}

/// `[discovery]`: for what everybody may have; members' items use none of these.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Discovery {
    /// Whether the box is a node of the DHT (BEP 5).
    pub dht: bool,
    /// Nodes by which the DHT is entered.
    pub dht_nodes: Vec<HostPort>,
    /// Whether it tells the local network what it has (BEP 14).
    pub local: bool,
    /// Whether it tells peers of each other (BEP 11).
    pub exchange: bool,
}

impl Default for Discovery {
    fn default() -> Self {
        let nodes = ["router.bittorrent.com", "dht.transmissionbt.com", "dht.libtorrent.org"];
        let ports = [6881, 6881, 25401];
        let dht_nodes = nodes.into_iter().zip(ports).map(|(host, port)| HostPort { host: host.into(), port });
        Self { dht: true, dht_nodes: dht_nodes.collect(), local: true, exchange: true }
    }
}

/// A host and a port, written `host:port`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// A configuration that can't be used; prints as one line that says where, what and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ConfigError {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong, without line breaks.
    pub message: String,
}

impl Config {
    /// Reads the text of a `blackbox.toml`.
    ///
    /// # Errors
    /// Syntax, unknown keys and values out of range, with the line they stand in.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > MAX_BYTES {
            let message = format!("the file has {} bytes; more than {MAX_BYTES} are not read", bytes.len());
            return Err(ConfigError { line: 1, message });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| ConfigError {
            line: line_of(bytes, error.valid_up_to()),
            message: "not UTF-8 text; save the file as UTF-8".into(),
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let config: Self = toml::from_str(text).map_err(|error| ConfigError {
            line: error.span().map_or(1, |span| line_of(text.as_bytes(), span.start)),
            message: in_plain_words(&error.message().replace(['\n', '\r'], " ")),
        })?;
        match (config.network.address, config.network.gateway) {
            (None, Some(_)) => Err(ConfigError {
                line: 1,
                message: "[network] has a gateway but no address; add address = \"192.0.2.10/24\"".into(),
            }),
            _ => Ok(config),
        }
    }
}

/// What the parser says, and what people mostly did when it says so.
fn in_plain_words(message: &str) -> String {
    let hint = if message.starts_with("unknown field") {
        "; look at how it is spelt, and whether the [heading] above it still has a # in front"
    } else if ["must be quoted", "invalid basic string", "key with no value", "expected a string"]
        .iter()
        .any(|said| message.contains(said))
    {
        "; a text has \"straight quotes\" around it, numbers and true and false have none, and there is no space in what is in \
         front of the ="
    } else {
        ""
    };
    format!(
        "{}{hint}",
        message.replace("expected f64", "expected a number").replace("expected u64", "expected a number")
    )
}

/// Line (from 1) of the byte at `offset`.
fn line_of(bytes: &[u8], offset: usize) -> usize {
    1 + bytes.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let days = f64::deserialize(deserializer)?;
    if (0.0..=MAX_SCRUB_DAYS).contains(&days) {
        Ok(days)
    } else {
        Err(de::Error::custom(format!("{days} is not between 0 (never) and {MAX_SCRUB_DAYS} days")))
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let number = usize::try_from(number).ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| de::Error::custom("not a number of connections; write 1 or more"))
}

fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_host(&text) {
        Ok(Some(text))
    } else {
        Err(de::Error::custom(format!(
            "{text:?} is not a host name or address; write it without http:// and without a port, like \"files.example.org\""
        )))
    }
}

fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let hosts = Vec::<String>::deserialize(deserializer)?;
    match hosts.iter().find(|host| !is_host(host)) {
        Some(host) => Err(de::Error::custom(format!("{host:?} is not a host name or address"))),
        None => Ok(hosts),
    }
}

fn label<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
    {
        return Ok(Some(text));
    }
    Err(de::Error::custom(format!(
        "{text:?} is not a name for the box; write letters, digits and hyphens without .local, like \"blackbox\""
    )))
}

fn folder<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?;
    // With a dot in front are also the two that lead elsewhere; none of these is ever published.
    if name.is_empty() || name.len() > MAX_FOLDER || name.starts_with('.') || name.contains(['/', '\\', '\0'])
    {
        return Err(de::Error::custom(format!(
            "{name:?} is not the name of a top-level folder; write it without slashes, like \"PUBLIC\""
        )));
    }
    Ok(Some(name))
}

/// Whether `text` can stand for a host in a URL: a DNS name, an IPv4 address, or an IPv6 address without brackets.
pub fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    text.parse::<Ipv6Addr>().is_ok()
        || text.parse::<Ipv4Addr>().is_ok()
        || (text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label))
}

fn members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Passkey>, D::Error> {
    let members = BTreeMap::<String, Passkey>::deserialize(deserializer)?;
    let mut owners = BTreeMap::new();
    for (name, key) in &members {
        if let Some(other) = owners.insert(key, name) {
            return Err(de::Error::custom(format!("members {other:?} and {name:?} have the same passkey")));
        }
    }
    Ok(members)
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = || {
            let (host, port) = text.rsplit_once(':')?;
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let host = bare
                .filter(|host| host.parse::<Ipv6Addr>().is_ok())
                .or_else(|| (bare.is_none() && !host.contains(':') && is_host(host)).then_some(host))?;
            Some(Self { host: host.to_owned(), port: port.parse().ok().filter(|port| *port != 0)? })
        };
        parse().ok_or_else(|| {
            de::Error::custom(format!("{text:?} is not a host with a port, like \"dht.example.org:6881\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        for text in ["", "\u{feff}", "# nothing\r\n", "[limits]\n[members]\n"] {
            assert_eq!(Config::parse(text.as_bytes()), Ok(Config::default()), "{text:?}");
        }
    }

    #[test]
    fn every_key_is_read() {
        let text = "\u{feff}public_host = \"files.example.org\"\r\n\
            [limits]\r\nupload_rate = \"8 MiB/s\"\r\nconnections = 500\r\nconnections_per_address = 7\r\n\
            [members]\r\nalice = \"AAAABBBBCCCCDDDD\"\r\n\
            [import]\r\nmode = \"image\"\r\neject = false\r\n\
            [admin]\r\npassword = \"x\"\r\n\
            [network]\r\naddress = \"192.0.2.10/24\"\r\ngateway = \"192.0.2.1\"\r\ndns = [\"2001:db8::1\"]\r\n\
            port_mapping = true\r\nname = \"attic\"\r\nntp = [\"ntp.example.org\", \"192.0.2.1\"]\r\n\
            [tracker]\r\nopen = true\r\n\
            [scrub]\r\ndays = 7\r\n\
            [discovery]\r\ndht = false\r\ndht_nodes = [\"dht.example.org:6881\", \"[2001:db8::1]:1\"]\r\n\
            local = false\r\nexchange = false\r\n";
        let config = Config::parse(text.as_bytes()).unwrap();
        assert_eq!(config.public_host.as_deref(), Some("files.example.org"));
        assert_eq!(config.limits.upload_rate.unwrap().bytes_per_second(), 8 << 20);
        assert_eq!((config.limits.connections, config.limits.connections_per_address), (Some(500), Some(7)));
        assert_eq!(config.members["alice"].as_str(), "AAAABBBBCCCCDDDD");
        assert_eq!(config.import, Import { mode: ImportMode::Image, eject: false, from_folder: None });
        assert_eq!(config.admin.password.as_deref(), Some("x"));
        assert_eq!(config.network.address, Some(Cidr { address: "192.0.2.10".parse().unwrap(), prefix: 24 }));
        assert_eq!(config.network.dns.len(), 1);
        assert!(config.network.port_mapping);
        assert_eq!(config.network.name.as_deref(), Some("attic"));
        assert_eq!(config.network.ntp, ["ntp.example.org", "192.0.2.1"]);
        assert!(config.tracker.open);
        assert_eq!(config.scrub.period(), Some(Duration::from_hours(7 * 24)));
        assert_eq!(Config::parse(b"[scrub]\ndays = 0").unwrap().scrub.period(), None);
        let Discovery { dht, dht_nodes, local, exchange } = config.discovery;
        assert!(!dht && !local && !exchange);
        let node = |host: &str, port| HostPort { host: host.into(), port };
        assert_eq!(dht_nodes, [node("dht.example.org", 6881), node("2001:db8::1", 1)]);
        assert_eq!(dht_nodes[1].to_string(), "[2001:db8::1]:1");
    }

    #[test]
    fn media_are_given_back_and_published_whole_unless_it_says_otherwise() {
        let import = |text: &str| Config::parse(text.as_bytes()).unwrap().import;
        assert_eq!(import("[import]"), Import::default());
        assert!(import("[import]\nmode = \"image\"").eject);
        assert_eq!(import("[import]\nfrom_folder = \"PUBLIC\"").from_folder.as_deref(), Some("PUBLIC"));
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        for (text, line, word) in [
            ("publik_host = \"x\"", 1, "publik_host"),
            ("\n[limits]\nupload = \"8 MiB/s\"\n", 3, "upload"),
            ("[limits]\nupload_rate = \"fast\"\n", 2, "fast"),
            ("[limits]\r\n\r\nupload_rate = 8\r\n", 3, "string"),
            ("[import]\nmode = \"files\"\n", 2, "files"),
            ("[import]\nejekt = true\n", 2, "ejekt"),
            ("[import]\neject = \"no\"\n", 2, "boolean"),
            ("[import]\nfrom_folder = \"a/b\"\n", 2, "top-level folder"),
            ("[import]\n\nfrom_folder = \"..\"\n", 3, "without slashes"),
            ("[import]\nfrom_folder = \"\"\n", 2, "PUBLIC"),
            ("\n[import]\nfrom_folder = \"PUBLIC\"\nmode = \"image\"\n", 2, "remove one"),
            ("[network]\naddress = \"192.0.2.10\"\n", 2, "192.0.2.10"),
            ("[network]\naddress = \"192.0.2.10/33\"\n", 2, "/33"),
            ("[network]\ngateway = \"192.0.2.1\"\n", 1, "no address"),
            ("[network]\nname = \"attic.local\"\n", 2, "without .local"),
            ("[network]\nname = \"\"\n", 2, "letters"),
            ("[network]\nntp = [\"ntp.example.org\", \"a b\"]\n", 2, "a b"),
            ("public_host = \"http://x\"\n", 1, "http://"),
            ("[limits]\nconnections = 0\n", 2, "1 or more"),
            ("[limits]\nconnections_per_address = -5\n", 2, "1 or more"),
            ("[scrub]\ndays = -1\n", 2, "between 0"),
            ("[scrub]\ndays = \"30\"\n", 2, "a number"),
            ("[limits]\nupload_rate = 8 MB/s\n", 2, "straight quotes"),
            ("[discovery]\ndht = yes\n", 2, "true and false"),
            ("[members]\nalice smith = \"AAAABBBBCCCCDDDD\"\n", 2, "no space"),
            ("alice = \"AAAABBBBCCCCDDDD\"\n", 1, "[heading]"),
            ("[scrub]\ndays = nan\n", 2, "between 0"),
            ("[discovery]\ndht_nodes = [\"dht.example.org\"]\n", 2, "dht.example.org"),
            ("[discovery]\ndht_nodes = [\"2001:db8::1:6881\"]\n", 2, "2001"),
            ("[discovery]\ndht_nodes = [\"192.0.2.1:0\"]\n", 2, "192.0.2.1:0"),
            ("public_host = \"x:80\"\n", 1, "without a port"),
            ("[members]\nbob = \"short\"\n", 2, "16 to 64"),
            ("[members]\nbob = 1234567890123456\n", 2, "in quotes"),
            ("[members]\na = \"AAAABBBBCCCCDDDD\"\nb = \"AAAABBBBCCCCDDDD\"\n", 1, "same passkey"),
            ("x = [\n", 1, ""),
        ] {
            let error = Config::parse(text.as_bytes()).unwrap_err();
            let said = error.to_string();
            assert!(said.contains(word) && !said.contains('\n'), "{text:?}: {said}");
            if word != "same passkey" {
                assert!(said.starts_with(&format!("line {line}: ")), "{text:?}: {said}");
            }
        }
        assert!(Config::parse(b"# \xff").unwrap_err().to_string().contains("UTF-8"));
        assert!(Config::parse(&vec![b'\n'; MAX_BYTES + 1]).is_err());
    }

    #[test]
    fn keys_are_not_shown() {
        let text = "[members]\nalice = \"AAAABBBBCCCCDDDD\"\n";
        assert!(!format!("{:?}", Config::parse(text.as_bytes()).unwrap()).contains("AAAA"));
        for wrong in
            ["\"AAAABBBBCCCCDDDD+\"", "12345678901234567", "[\"AAAABBBBCCCCDDDD\"]", "AAAABBBBCCCCDDDD"]
        {
            let error = Config::parse(format!("[members]\nalice = {wrong}\n").as_bytes()).unwrap_err();
            assert!(!error.to_string().contains(&wrong[2..10]), "{error}");
        }
    }

    #[test]
    fn what_is_said_of_the_network_can_be_handed_on() {
        for text in
            ["", "name = \"attic\"\naddress = \"192.0.2.10/24\"\ndns = [\"::1\"]\nntp = [\"a.example\"]\n"]
        {
            let network = Config::parse(format!("[network]\n{text}").as_bytes()).unwrap().network;
            let handed_on = serde_json::to_string(&network).unwrap();
            assert_eq!(serde_json::from_str::<Network>(&handed_on).unwrap(), network);
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for good in
            ["a", "files.example.org", "files.example.org.", "192.0.2.1", "2001:db8::1", "box_1.local"]
        {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", ".", "a b", "a/b", "[::1]", "a:80", "-a", "a..b", "http://a", "a\"b", "<x>"] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
