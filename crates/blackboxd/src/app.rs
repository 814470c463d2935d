//! What all parts of the running daemon share.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use appliance::Config;
use appliance::disk::Disk;
use appliance::message::Machine;
use tokio_util::sync::CancellationToken;
use torrent::PeerId;
use tracker::SwarmStore;
use tracker::prefix::Pace;

use crate::catalog::{self, Content};
use crate::limit::RateLimit;
use crate::members::Members;
use crate::net::discovery::{Dialler, dht};
use crate::net::peers::Peers;
use crate::net::port_mapping::PortMapping;
use crate::net::public_host::PublicHost;
use crate::net::tracker_load::Load;
use crate::scrub::Suspects;
use crate::storage::{ServeError, Storage};
use crate::watch::Inbox;

/// Shared by the peers, the tracker and the web; one for each daemon.
pub struct App {
    /// What is published.
    pub catalog: catalog::Handle,
    /// The publish folder.
    pub publish: PathBuf,
    /// The folder of the box's own state.
    pub state: PathBuf,
    /// Its files, open for serving.
    pub storage: Storage,
    /// `blackbox.toml`, with `--public-host` put in.
    pub config: Config,
    /// The listeners' real addresses.
    pub listeners: Listeners,
    /// Where the peers' is for those outside.
    pub public_host: PublicHost,
    /// Whether a router forwards to them.
    pub port_mapping: PortMapping,
    /// Our name among peers, another at each start.
    pub peer_id: PeerId,
    /// Who may have what is published, unless everybody may.
    pub members: Members,
    /// The connected peers.
    pub peers: Peers,
    /// Whom the box is to connect to.
    pub dialler: Dialler,
    /// Nodes of the DHT that peers told of.
    pub dht_told: dht::Told,
    /// Bytes of content that were read to hash them since the start.
    pub hashed_bytes: AtomicU64,
    /// Bytes of content that were compared with what was hashed since the start.
    pub scrubbed_bytes: AtomicU64,
    /// What the disk failed to give.
    pub suspects: Suspects,
    /// Where to say that an item should be looked at again.
    pub inbox: Arc<Inbox>,
    /// All swarms, for HTTP and UDP alike.
    pub swarms: SwarmStore,
    /// How fast requests to the tracker may come from one network.
    pub pace: Pace,
    /// How much the tracker has to do.
    pub tracker_load: Load,
    /// The one limit on everything that is given away.
    pub upload: RateLimit,
    /// What is wrong with the box.
    pub health: Health,
    /// When the daemon started.
    pub started: Instant,
    /// Cancelled when the daemon ends.
    pub ending: CancellationToken,
}

/// Addresses the listeners are bound to.
#[derive(Debug, Clone, Copy)]
pub struct Listeners {
    /// The page.
    pub web: SocketAddr,
    /// HTTP and UDP tracker.
    pub tracker: SocketAddr,
    /// Peers.
    pub peer: SocketAddr,
    /// The node of the DHT, if the box is one.
    pub dht: Option<SocketAddr>,
}

/// Sentences for people about what is wrong with the box as a whole, and its addresses.
#[derive(Debug, Default)]
pub struct Health {
    state: RwLock<HealthState>,
}

#[derive(Debug, Default, Clone)]
struct HealthState {
    from_init: Vec<String>,
    /// `None` before it was looked at.
    publish_folder: Option<Result<(), String>>,
    addresses: Vec<IpAddr>,
    name: Option<String>,
    machine: Option<Machine>,
}

impl Health {
    /// Everything that is wrong with the box right now, worst first; empty when all is well.
    pub fn problems(&self) -> Vec<String> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let folder = state.publish_folder.as_ref().and_then(|folder| folder.as_ref().err());
        folder.into_iter().chain(&state.from_init).cloned().collect()
    }

    /// The box's own addresses as init sees them; empty on a hosted run.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).addresses.clone()
    }

    /// Replaces what init reported before.
    pub fn set_from_init(&self, sentences: Vec<String>) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).from_init = sentences;
    }

    /// The name by which the box is found in its networks, if it has one.
    pub fn name(&self) -> Option<String> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).name.clone()
    }

    /// Replaces the box's addresses and its name.
    pub fn set_addresses(&self, addresses: Vec<IpAddr>, name: Option<String>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        (state.addresses, state.name) = (addresses, name);
    }

    /// What init knows of the machine; `None` on a hosted run.
    pub fn machine(&self) -> Option<Machine> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).machine.clone()
    }

    /// What the box's disks tell of themselves; empty on a hosted run.
    pub fn disks(&self) -> Vec<Disk> {
        self.machine().unwrap_or_default().disks
    }

    /// Replaces what init knows of the machine.
    pub fn set_machine(&self, machine: Machine) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).machine = Some(machine);
    }

    /// Whether the publish folder can be trusted, or what is wrong with it; `None` before it was looked at.
    pub fn publish_folder(&self) -> Option<Result<(), String>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).publish_folder.clone()
    }

    /// Says whether the publish folder can be trusted, or what is wrong with it.
    pub fn set_publish_folder(&self, folder: Result<(), String>) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).publish_folder = Some(folder);
    }
}

impl App {
    /// Whether the daemon is ending.
    pub fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// Whether everybody may know of what is published: then peers are told of each other, and the box tells the local
    /// network and the DHT. What is for members is found by the box's tracker alone (BEP 27).
    pub fn is_public(&self) -> bool {
        self.config.members.is_empty()
    }

    /// A file of `content` can't be served: it is closed, and the publisher looks at the item again.
    pub fn look_again(&self, content: &Content, error: &ServeError) {
        if matches!(error, ServeError::Damaged(_)) {
            // That is known.
            return;
        }
        let name = &content.name;
        tracing::warn!("{name:?} is looked at again: {error}");
        self.storage.close(content);
        self.inbox.item(name.as_ref());
    }
}

/// How everybody holds it.
pub type SharedApp = Arc<App>;

#[cfg(test)]
pub mod testing {
    use std::collections::BTreeMap;
    use std::path::Path;

    use appliance::ByteRate;
    use tracker::swarm::Limits;

    use super::*;

    /// A box whose folders are in `folder` and that listens nowhere.
    pub fn app(folder: &Path, upload_rate: Option<ByteRate>) -> SharedApp {
        let (publish, state) = (folder.join("publish"), folder.join("state"));
        let (catalog, _owner) = catalog::open(&state, false).unwrap();
        let nowhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        Arc::new(App {
            catalog,
            storage: Storage::new(publish.clone()),
            publish,
            state,
            upload: RateLimit::new(upload_rate),
            config: Config::default(),
            members: Members::new(&BTreeMap::new(), &[0; 16], &BTreeMap::new()),
            listeners: Listeners { web: nowhere, tracker: nowhere, peer: nowhere, dht: None },
            public_host: PublicHost::new(None, nowhere.port()),
            port_mapping: PortMapping::new(false),
            peer_id: PeerId([1; 20]),
            peers: Peers::new(&Config::default().limits),
            dialler: Dialler::default(),
            dht_told: dht::Told::default(),
            hashed_bytes: AtomicU64::new(0),
            scrubbed_bytes: AtomicU64::new(0),
            suspects: Suspects::default(),
            inbox: Arc::default(),
            swarms: SwarmStore::new(Limits::default(), &[0; 16], Instant::now()),
            pace: Pace::new(&[0; 16], Instant::now()),
            tracker_load: Load::default(),
            health: Health::default(),
            started: Instant::now(),
            ending: CancellationToken::new(),
        })
    }
}
