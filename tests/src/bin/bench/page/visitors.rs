//! Visitors of the page: so many requests a second over connections that are kept, as browsers and feed readers make them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What they look at, by turns.
pub const TARGETS: [&str; 4] = ["index", "item page", "API", "feed"];

/// How many there are.
const VISITORS: u32 = 8;

/// Longer than this no answer takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Visitors at work.
pub struct Visitors {
    started: Instant,
    ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Duration>>>,
}

/// What they have seen.
pub struct Visits {
    took: Duration,
    /// How long each waited from when it was due, in order.
    waits: Vec<Duration>,
}

impl Visitors {
    /// Has so many requests made in a second, evenly, until [`end`](Self::end).
    pub fn start(address: SocketAddr, item: &str, rate: u32) -> Self {
        let (started, ending) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let visitor = |number: u32| {
            let (item, ending) = (item.to_owned(), Arc::clone(&ending));
            let step = Duration::from_secs(1) / rate * VISITORS;
            let first = started + step / VISITORS * number;
            std::thread::spawn(move || visit(address, &item, number as usize, first, step, &ending))
        };
        let threads = if rate == 0 { Vec::new() } else { (0..VISITORS).map(visitor).collect() };
        Self { started, ending, threads }
    }

    /// Ends them.
    ///
    /// # Panics
    /// When one of them was not answered.
    pub fn end(self) -> Visits {
        self.ending.store(true, Ordering::Relaxed);
        let took = self.started.elapsed();
        let each = self.threads.into_iter().map(|thread| thread.join().expect("an answer to each request"));
        let mut waits: Vec<Duration> = each.flatten().collect();
        waits.sort();
        Visits { took, waits }
    }
}

impl Visits {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.waits.len() as f64 / self.took.as_secs_f64()
    }

    /// Milliseconds in which so many in a hundred were answered.
    pub fn wait_ms(&self, percent: usize) -> f64 {
        let place = self.waits.len() * percent / 100;
        self.waits.get(place).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    }
}

/// One visitor: a request whenever one is due, whatever the one before took.
fn visit(
    address: SocketAddr,
    item: &str,
    number: usize,
    first: Instant,
    step: Duration,
    ending: &AtomicBool,
) -> Vec<Duration> {
    let stream = TcpStream::connect(address).expect("the page takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time above 0");
    stream.set_nodelay(true).expect("a connection");
    let mut stream = BufReader::new(stream);
    let targets = ["/", item, "/api/v1/items", "/feed.xml"];
    let (mut due, mut waits) = (first, Vec::new());
    for target in targets.iter().cycle().skip(number) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if ending.load(Ordering::Relaxed) {
            break;
        }
        ask(&mut stream, target).unwrap_or_else(|error| panic!("{target}: {error}"));
        waits.push(due.elapsed());
        due += step;
    }
    waits
}

/// Asks, and reads the answer.
fn ask(stream: &mut BufReader<TcpStream>, target: &str) -> io::Result<()> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: box.local\r\nAccept-Encoding: gzip\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    let (mut length, mut line) = (None, String::new());
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with("HTTP/") && !line.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(line));
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    let length = length.ok_or_else(|| io::Error::other("no length"))?;
    let read = io::copy(&mut stream.take(length), &mut io::sink())?;
    if read == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
