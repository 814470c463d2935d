//! Announces over HTTP (BEP 3 and 23), through connections that are kept or with one for each announce.

use std::io::{ErrorKind, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use system_tests::tracker::escape;

use crate::announce::{self, Client, Clients, Load, SWITCHES, Tally, Task, VALUED};

/// After so long an answer does not come any more.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often it is looked for answers that do not come.
const POLL: Duration = Duration::from_millis(100);

/// Longest answer, in bytes.
const LONGEST: usize = 16 << 10;

/// Measures and prints one line of JSON.
///
/// # Errors
/// A wrong option, or a tracker that can't be reached.
pub fn run(arguments: impl IntoIterator<Item = String>) -> Result<(), String> {
    let options = crate::options(arguments, &VALUED, &SWITCHES)?;
    let task = Task::new(&options)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|error| error.to_string())?;
    let mut load = HttpLoad {
        task: &task,
        clients: Clients::new(&task),
        close: options.has("close"),
        epoll,
        connections: (0..task.window).map(|_| None).collect(),
        tally: Tally::default(),
    };
    announce::measure(&task, &mut load);
    Ok(())
}

/// A connection with an announce under way.
struct Connection {
    stream: TcpStream,
    /// When the announce, or the connection for it, was begun.
    begun: Instant,
    received: Vec<u8>,
}

struct HttpLoad<'a> {
    task: &'a Task,
    clients: Clients<'a>,
    /// Whether each announce has a connection of its own.
    close: bool,
    epoll: Epoll,
    connections: Vec<Option<Connection>>,
    tally: Tally,
}

impl HttpLoad<'_> {
    fn request(&self, client: &Client) -> String {
        let Client { info_hash, peer_id, port, left, is_new } = client;
        let (hash, peer_id) = (escape(info_hash.as_bytes()), String::from_utf8_lossy(peer_id));
        let (numwant, tracker) = (self.task.numwant, self.task.tracker);
        let event = if *is_new { "&event=started" } else { "" };
        let close = if self.close { "Connection: close\r\n" } else { "" };
        format!(
            "GET /announce?info_hash={hash}&peer_id={peer_id}&port={port}&uploaded=0&downloaded=0&left={left}&compact=1\
             &numwant={numwant}{event} HTTP/1.1\r\nHost: {tracker}\r\n{close}\r\n"
        )
    }

    /// Announces the next client in this place, through the connection that is there or a new one.
    fn ask(&mut self, place: usize) {
        let Some(client) = self.clients.next() else {
            self.connections[place] = None;
            return;
        };
        let request = self.request(&client);
        let begun = Instant::now();
        let asked = match self.connections[place].take() {
            Some(kept) => Ok(kept),
            None => self.open(place),
        };
        let asked = asked.and_then(|mut connection| {
            connection.begun = begun;
            connection.received.clear();
            connection.stream.write_all(request.as_bytes())?;
            Ok(connection)
        });
        match asked {
            Ok(connection) => self.connections[place] = Some(connection),
            Err(error) => self.tally.failed(error.to_string().as_bytes()),
        }
    }

    fn open(&self, place: usize) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(self.task.tracker)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, place as u64))?;
        Ok(Connection { stream, begun: Instant::now(), received: Vec::new() })
    }

    /// Reads what has come, and goes on when that is a whole answer.
    fn work(&mut self, place: usize) {
        let Some(connection) = &mut self.connections[place] else { return };
        let mut buffer = [0; LONGEST];
        let has_ended = match connection.stream.read(&mut buffer) {
            Ok(count) => {
                connection.received.extend_from_slice(&buffer[..count]);
                count == 0
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => true,
        };
        match Answer::parse(&connection.received) {
            Some(Answer { peers: Some(peers), is_last }) => {
                self.tally.answered(connection.begun.elapsed(), peers);
                if self.close || is_last {
                    self.connections[place] = None;
                }
            }
            None if !has_ended && connection.received.len() < LONGEST => return,
            _ => {
                self.tally.failed(&connection.received);
                self.connections[place] = None;
            }
        }
        self.ask(place);
    }
}

/// What is needed of an answer that is whole.
struct Answer {
    /// How many peers it names; `None` if it is a failure.
    peers: Option<usize>,
    /// Whether the connection ends with it.
    is_last: bool,
}

impl Answer {
    fn parse(received: &[u8]) -> Option<Self> {
        let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = field("content-length:")?.parse().ok()?;
        let body = received.get(end..end + length)?;
        let peers = || {
            let rest = &body[body.windows(7).position(|bytes| bytes == b"5:peers")? + 7..];
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            let bytes = digits.fold(0, |number, digit| 10 * number + usize::from(digit - b'0'));
            Some(bytes / 6)
        };
        let is_last = field("connection:").is_some_and(|value| value == "close");
        Some(Self { peers: peers().filter(|_| head.contains(" 200 ")), is_last })
    }
}

impl Load for HttpLoad<'_> {
    fn run(&mut self, end: Instant) {
        let mut events = [EpollEvent::empty(); 64];
        while Instant::now() < end {
            for place in 0..self.connections.len() {
                if self.connections[place].is_none() {
                    self.ask(place);
                }
            }
            if self.clients.have_ended() && self.connections.iter().all(Option::is_none) {
                return;
            }
            let timeout = EpollTimeout::try_from(POLL).expect("a tenth of a second");
            let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
            for event in &events[..count] {
                self.work(usize::try_from(event.data()).expect("an index"));
            }
            for connection in &mut self.connections {
                let late = connection.take_if(|connection| connection.begun.elapsed() > PATIENCE);
                self.tally.lost += u64::from(late.is_some());
            }
        }
    }

    fn tally(&mut self) -> Tally {
        mem::take(&mut self.tally)
    }
}
