//! The wiring: opens everything, starts everything, and ends everything in bounded time.

use std::io::Write;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use appliance::Config;
use appliance::message::ToInit;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracker::SwarmStore;
use tracker::prefix::Pace;
use tracker::swarm::Limits;

use crate::app::{App, Health, Listeners, SharedApp};
use crate::catalog;
use crate::history::Problems;
use crate::init_link::{self, InitLink, Screen};
use crate::limit::RateLimit;
use crate::members::Members;
use crate::net::discovery::{Dialler, dht, dial, local};
use crate::net::peers::{self, Peers};
use crate::net::port_mapping::{self, PortMapping};
use crate::net::public_host::PublicHost;
use crate::net::sockets::{self, Sockets};
use crate::net::tracker_load::Load;
use crate::net::{tracker_http, tracker_udp};
use crate::options::Options;
use crate::pulse;
use crate::random;
use crate::runtimes::{Runtimes, Signals};
use crate::scrub::{self, Suspects};
use crate::storage::Storage;
use crate::watch::Publisher;
use crate::web;

/// Connections and transfers get this long to end; SIGTERM promises 5 s in all.
const GRACE: Duration = Duration::from_secs(2);

/// Threads get this long, and then the catalog: one that waits for a disk that does not answer must not keep the daemon from ending.
const THREAD_GRACE: Duration = Duration::from_secs(1);

/// How often the counters are saved, in seconds: what a power cut may cost of them. The history has a sample of each minute.
const SAVE_COUNTERS: i64 = 60;

/// How often the screen may change.
const SCREEN: Duration = Duration::from_secs(1);

/// Runs the daemon until it is told to end.
///
/// # Errors
/// When a listener or the catalog can't be opened, or a part of the daemon fails.
pub fn run(options: &Options, config: Config, link: InitLink) -> anyhow::Result<()> {
    let publish = std::path::absolute(&options.publish)?;
    raise_file_limit();
    let runtimes = Runtimes::start()?;
    let (link, ending) = (Arc::new(link), CancellationToken::new());
    // From here on: loading a large catalog takes its time, and a daemon that loads is alive.
    pulse::start(&runtimes, &link, &ending)?;
    let mut signals = Signals::install(&runtimes.main)?;
    let with_dht = config.discovery.dht && config.members.is_empty();
    let sockets = sockets::open(&runtimes, options.web, options.tracker, options.peer, with_dht)?;
    let (catalog, owner) = catalog::open(&options.state, !config.members.is_empty())?;
    let accounts = catalog.accounts()?;
    let app = Arc::new(App {
        catalog,
        storage: Storage::new(publish.clone()),
        publish,
        state: options.state.clone(),
        upload: RateLimit::new(config.limits.upload_rate),
        members: Members::new(&config.members, &random::bytes()?, &accounts),
        peers: Peers::new(&config.limits),
        public_host: PublicHost::new(config.public_host.as_deref(), sockets.addresses.peer.port()),
        port_mapping: PortMapping::new(config.network.port_mapping),
        config,
        listeners: sockets.addresses,
        peer_id: seeder::peer_id(random::bytes()?),
        dialler: Dialler::default(),
        dht_told: dht::Told::default(),
        hashed_bytes: AtomicU64::new(0),
        scrubbed_bytes: AtomicU64::new(0),
        suspects: Suspects::default(),
        inbox: Arc::default(),
        swarms: SwarmStore::new(Limits::default(), &random::bytes()?, Instant::now()),
        pace: Pace::new(&random::bytes()?, Instant::now()),
        tracker_load: Load::default(),
        health: Health::default(),
        started: Instant::now(),
        ending,
    });
    app.catalog.history().started(env!("CARGO_PKG_VERSION"));
    // At once, or one that starts again and again would leave no trace.
    app.catalog.save_counters();
    let addresses = sockets.addresses;
    let mut tasks = JoinSet::new();
    spawn_tasks(&mut tasks, &runtimes, &app, sockets);
    let threads = Threads::start(&app, link)?;
    announce_ready(addresses);
    threads.link.send(&ToInit::Ready { web_port: addresses.web.port() });

    let result = runtimes.main.block_on(wait(&mut signals, &mut tasks));
    app.ending.cancel();
    runtimes.main.block_on(end(tasks));
    threads.end(owner);
    runtimes.abandon();
    result
}

/// Thousands of peers need thousands of descriptors.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!("the limit on open files can't be raised: {error}");
    }
}

/// A part of the daemon that has ended, with its name.
type Ended = (&'static str, std::io::Result<()>);

fn spawn_tasks(tasks: &mut JoinSet<Ended>, runtimes: &Runtimes, app: &SharedApp, sockets: Sockets) {
    let (net, tracker, peers) = (runtimes.net.handle(), runtimes.tracker.handle(), runtimes.peers.handle());
    let shared = || (Arc::clone(app), app.ending.clone());
    let (app, ending) = shared();
    tasks.spawn_on(async move { ("web", web::run(app, sockets.web, ending).await) }, net);
    let (app, ending) = shared();
    tasks.spawn_on(
        async move { ("HTTP tracker", tracker_http::run(app, sockets.tracker_http, ending).await) },
        tracker,
    );
    let (app, ending) = shared();
    tasks.spawn_on(
        async move { ("UDP tracker", tracker_udp::run(app, sockets.tracker_udp, ending).await) },
        tracker,
    );
    let (app, ending) = shared();
    tasks.spawn_on(
        async move {
            ending.run_until_cancelled(app.upload.run()).await;
            ("upload limit", Ok(()))
        },
        peers,
    );
    let (app, ending) = shared();
    tasks.spawn_on(async move { ("calls to peers", dial::run(app, ending).await) }, peers);
    let (app, ending) = shared();
    tasks.spawn_on(async move { ("port mapping", port_mapping::run(app, ending).await) }, net);
    let (app, ending) = shared();
    tasks.spawn_on(async move { ("local discovery", local::run(app, ending).await) }, net);
    let (app, ending) = shared();
    tasks.spawn_on(async move { ("DHT", dht::run(app, sockets.dht, ending).await) }, net);
    let (app, ending) = shared();
    tasks.spawn_on(
        async move { ("peers", peers::run(app, sockets.peer, sockets.peer_utp, ending).await) },
        peers,
    );
}

/// Waits for a signal to end, or for a part of the daemon that ends by itself, which is an error.
async fn wait(signals: &mut Signals, tasks: &mut JoinSet<Ended>) -> anyhow::Result<()> {
    tokio::select! {
        () = signals.any() => Ok(()),
        Some(ended) = tasks.join_next() => {
            let (part, result) = ended.context("a part of the daemon panicked")?;
            result.with_context(|| format!("{part} failed"))?;
            anyhow::bail!("{part} ended by itself")
        }
    }
}

/// Gives connections the time to end that they have.
async fn end(mut tasks: JoinSet<Ended>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("some connections did not end in {GRACE:?} and are cut");
    }
}

/// The one line that says that everything works and where; checks and scripts wait for it.
fn announce_ready(addresses: Listeners) {
    let Listeners { web, tracker, peer, .. } = addresses;
    let mut stdout = std::io::stdout().lock();
    // Nobody reads it: nobody misses it.
    let _ = writeln!(stdout, "ready web={web} tracker={tracker} peer={peer}").and_then(|()| stdout.flush());
}

/// What blocks: file work and the conversation with init.
struct Threads {
    app: SharedApp,
    link: Arc<InitLink>,
    publisher: JoinHandle<()>,
    listener: JoinHandle<()>,
    housekeeper: JoinHandle<()>,
    scrub: JoinHandle<()>,
}

impl Threads {
    fn start(app: &SharedApp, link: Arc<InitLink>) -> std::io::Result<Self> {
        let named = |name: &str| thread::Builder::new().name(name.into());
        let publisher = Publisher::new(Arc::clone(app));
        let publisher = named("publisher").spawn(|| publisher.run())?;
        let (shared, init) = (Arc::clone(app), Arc::clone(&link));
        let listener = named("init").spawn(move || init_link::listen(&shared, &init))?;
        let (shared, init) = (Arc::clone(app), Arc::clone(&link));
        let housekeeper = named("housekeeper").spawn(move || keep_house(&shared, &init))?;
        let shared = Arc::clone(app);
        let scrub = named("scrub").spawn(move || scrub::run(&shared))?;
        Ok(Self { app: Arc::clone(app), link, publisher, listener, housekeeper, scrub })
    }

    /// Ends all threads, and the catalog's `owner` after everything that these still had to say to it.
    fn end(self, owner: JoinHandle<()>) {
        self.app.inbox.stop();
        self.link.close();
        self.housekeeper.thread().unpark();
        self.scrub.thread().unpark();
        join_in_time([self.publisher, self.listener, self.housekeeper, self.scrub]);
        save_counters(&self.app);
        self.app.catalog.close();
        join_in_time([owner]);
    }
}

/// Waits for threads to end, but not for ever.
fn join_in_time<const N: usize>(threads: [JoinHandle<()>; N]) {
    let (all_ended, ended) = mpsc::channel();
    thread::spawn(move || {
        for thread in threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!("{name} panicked");
            }
        }
        // Nobody listens when it took too long.
        let _ = all_ended.send(());
    });
    if ended.recv_timeout(THREAD_GRACE).is_err() {
        tracing::warn!("a disk does not answer; what waits for it is left behind");
    }
}

/// Writes what was counted to disk.
fn save_counters(app: &App) {
    app.catalog.save_counters();
    // Where there are none, those of another time are kept.
    if !app.is_public() {
        app.catalog.save_accounts(app.members.accounts());
    }
}

/// Draws the screen, remembers what is wrong, and saves the counters as soon as a minute is over.
fn keep_house(app: &SharedApp, link: &InitLink) {
    let history = app.catalog.history();
    let (mut screen, mut problems) = (Screen::default(), Problems::default());
    let minute = || history.now().div_euclid(SAVE_COUNTERS);
    let mut saved = minute();
    while !app.is_ending() {
        screen.draw(app, link);
        for (kind, sentence) in problems.look(app.health.problems()) {
            history.note(kind, &sentence);
        }
        if minute() != saved {
            saved = minute();
            save_counters(app);
            app.members.expire(Instant::now());
        }
        thread::park_timeout(SCREEN);
    }
}
