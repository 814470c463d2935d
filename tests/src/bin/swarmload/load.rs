//! All connections, worked by one thread.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::Content;
use crate::connection::Connection;

/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;

/// How often deadlines are looked at when nothing comes in.
const POLL: Duration = Duration::from_millis(10);

/// Connections, those that ended included.
pub struct Load<'a> {
    content: &'a Content,
    pipeline: usize,
    epoll: Epoll,
    buffer: Vec<u8>,
    is_asking: bool,
    /// Those that were opened.
    pub connections: Vec<Connection>,
    is_open: Vec<bool>,
    /// How many ended or never began, by the reason.
    pub lost: BTreeMap<String, u64>,
}

impl<'a> Load<'a> {
    /// Without connections. Each will have `pipeline` requests outstanding.
    ///
    /// # Errors
    /// The kernel has no poll for us.
    pub fn new(content: &'a Content, pipeline: usize) -> Result<Self, String> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|error| error.to_string())?;
        Ok(Self {
            content,
            pipeline,
            epoll,
            buffer: vec![0; BUFFER],
            is_asking: false,
            connections: Vec::new(),
            is_open: Vec::new(),
            lost: BTreeMap::new(),
        })
    }

    /// Takes connections until there will be no more; reads from those that are there.
    pub fn fill(&mut self, incoming: &Receiver<Result<Connection, String>>) {
        loop {
            match incoming.try_recv() {
                Ok(Ok(connection)) => self.add(connection),
                Ok(Err(why)) => *self.lost.entry(why).or_default() += 1,
                Err(TryRecvError::Empty) => self.turn(),
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    fn add(&mut self, connection: Connection) {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, self.connections.len() as u64);
        self.epoll.add(&connection.stream, event).expect("a descriptor of ours");
        self.connections.push(connection);
        self.is_open.push(true);
        self.work(self.connections.len() - 1, false);
    }

    /// Whether all that are open have been unchoked.
    pub fn are_unchoked(&self) -> bool {
        self.connections.iter().zip(&self.is_open).all(|(connection, open)| connection.was_unchoked || !open)
    }

    /// From now on asks for blocks.
    pub fn start_asking(&mut self) {
        self.is_asking = true;
        for number in 0..self.connections.len() {
            self.work(number, false);
        }
    }

    /// Works until `end`, or until `is_done`.
    pub fn run(&mut self, end: Instant, is_done: impl Fn(&Self) -> bool) {
        while Instant::now() < end && !is_done(self) {
            self.turn();
        }
    }

    fn turn(&mut self) {
        let mut events = [EpollEvent::empty(); 256];
        let timeout = EpollTimeout::try_from(POLL).expect("a few milliseconds");
        let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
        for event in &events[..count] {
            self.work(usize::try_from(event.data()).expect("an index"), true);
        }
    }

    /// Reads if there is something to be read, asks and sends.
    fn work(&mut self, number: usize, is_readable: bool) {
        if !self.is_open[number] {
            return;
        }
        let connection = &mut self.connections[number];
        let received = if is_readable { connection.receive(&mut self.buffer, self.content) } else { Ok(()) };
        if self.is_asking {
            connection.ask(self.pipeline, self.content);
        }
        if let Err(why) = received.and_then(|()| connection.send()) {
            *self.lost.entry(why).or_default() += 1;
            self.is_open[number] = false;
            self.epoll.delete(&connection.stream).expect("it was added");
        }
    }
}
