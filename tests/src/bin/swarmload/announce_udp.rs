//! Announces over UDP (BEP 15) through one socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg, setsockopt, sockopt};

use crate::announce::{self, Client, Clients, Load, SWITCHES, Tally, Task, VALUED};

/// Packets that are sent or read in one call.
pub const BATCH: usize = 32;

/// Bytes that the kernel keeps for us: no answer is lost because we are slow.
pub const KERNEL_BUFFER: usize = 4 << 20;

/// Longest packet, in bytes.
pub const LONGEST: usize = 2048;

/// Bytes of an announce.
const ANNOUNCE: usize = 98;

/// After so long an answer does not come any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked for answers that do not come.
const POLL: Duration = Duration::from_millis(100);

/// Measures and prints one line of JSON.
///
/// # Errors
/// A wrong option, or a tracker that does not answer.
pub fn run(arguments: impl IntoIterator<Item = String>) -> Result<(), String> {
    let task = Task::new(&crate::options(arguments, &VALUED, &SWITCHES)?)?;
    let mut load = UdpLoad::new(&task).map_err(|error| format!("{}: {error}", task.tracker))?;
    announce::measure(&task, &mut load);
    Ok(())
}

/// An announce under way. The lower half of its transaction id is its number, the upper half tells it from those that had
/// that number before.
#[derive(Clone, Copy, Default)]
struct Slot {
    turn: u16,
    sent: Option<Instant>,
}

struct UdpLoad<'a> {
    task: &'a Task,
    clients: Clients<'a>,
    socket: UdpSocket,
    connection_id: [u8; 8],
    slots: Vec<Slot>,
    free: Vec<u16>,
    tally: Tally,
    looked: Instant,
    headers: MultiHeaders<()>,
    buffers: Vec<[u8; LONGEST]>,
}

impl<'a> UdpLoad<'a> {
    fn new(task: &'a Task) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(task.tracker)?;
        setsockopt(&socket, sockopt::RcvBuf, &KERNEL_BUFFER)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut packet = 0x0417_2710_1980_u64.to_be_bytes().to_vec();
        packet.extend([0, 0, 0, 0, 1, 2, 3, 4]);
        socket.send(&packet)?;
        let mut answer = [0; 16];
        if socket.recv(&mut answer)? != 16 || answer[..8] != [0, 0, 0, 0, 1, 2, 3, 4] {
            return Err(std::io::Error::other("it answers a connect wrongly"));
        }
        socket.set_read_timeout(Some(POLL))?;
        Ok(Self {
            task,
            clients: Clients::new(task),
            socket,
            connection_id: answer[8..].try_into().expect("eight bytes"),
            slots: vec![Slot::default(); task.window.into()],
            free: (0..task.window).collect(),
            tally: Tally::default(),
            looked: Instant::now(),
            headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; LONGEST]; BATCH],
        })
    }

    fn packet(&self, slot: u16, client: &Client) -> [u8; ANNOUNCE] {
        let mut packet = [0; ANNOUNCE];
        packet[..8].copy_from_slice(&self.connection_id);
        packet[11] = 1;
        packet[12..14].copy_from_slice(&self.slots[usize::from(slot)].turn.to_be_bytes());
        packet[14..16].copy_from_slice(&slot.to_be_bytes());
        packet[16..36].copy_from_slice(client.info_hash.as_bytes());
        packet[36..56].copy_from_slice(&client.peer_id);
        packet[64..72].copy_from_slice(&client.left.to_be_bytes());
        packet[83] = if client.is_new { 2 } else { 0 };
        packet[92..96].copy_from_slice(&self.task.numwant.to_be_bytes());
        packet[96..].copy_from_slice(&client.port.to_be_bytes());
        packet
    }

    fn send(&mut self) {
        let mut packets = [[0; ANNOUNCE]; BATCH];
        let mut count = 0;
        let now = Instant::now();
        while count < BATCH && !self.free.is_empty() {
            let Some(client) = self.clients.next() else { break };
            let slot = self.free.pop().expect("it is not empty");
            let under_way = &mut self.slots[usize::from(slot)];
            *under_way = Slot { turn: under_way.turn.wrapping_add(1), sent: Some(now) };
            packets[count] = self.packet(slot, &client);
            count += 1;
        }
        let parts: Vec<_> = packets[..count].iter().map(|packet| [IoSlice::new(packet)]).collect();
        let mut sent = 0;
        while sent < count {
            let nowhere = [None; BATCH];
            let done = sendmmsg(
                self.socket.as_raw_fd(),
                &mut self.headers,
                &parts[sent..],
                &nowhere[..count - sent],
                [],
                MsgFlags::empty(),
            );
            match done {
                Ok(messages) => sent += messages.count(),
                Err(error) => return self.tally.failed(error.desc().as_bytes()),
            }
        }
    }

    fn receive(&mut self) {
        let mut buffers = mem::take(&mut self.buffers);
        let mut parts: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let received =
            recvmmsg(self.socket.as_raw_fd(), &mut self.headers, &mut parts, flags, None).map(|messages| {
                let mut lengths = [0; BATCH];
                messages.zip(&mut lengths).map(|(message, length)| *length = message.bytes).count();
                lengths
            });
        let now = Instant::now();
        for (buffer, length) in buffers.iter().zip(received.unwrap_or_default()) {
            self.take(&buffer[..length], now);
        }
        self.buffers = buffers;
    }

    fn take(&mut self, answer: &[u8], now: Instant) {
        let Some((&[.., action, turn_high, turn_low, high, low], rest)) = answer.split_first_chunk::<8>()
        else {
            return;
        };
        let (turn, number) = (u16::from_be_bytes([turn_high, turn_low]), u16::from_be_bytes([high, low]));
        let Some(slot) = self.slots.get_mut(usize::from(number)).filter(|slot| slot.turn == turn) else {
            return;
        };
        let Some(sent) = slot.sent.take() else { return };
        self.free.push(number);
        match (action, rest.len().checked_sub(12)) {
            (1, Some(peers)) => self.tally.answered(now - sent, peers / 6),
            _ => self.tally.failed(rest),
        }
    }

    fn give_up(&mut self, now: Instant) {
        self.looked = now;
        for (number, slot) in (0..).zip(&mut self.slots) {
            if slot.sent.take_if(|sent| now - *sent > PATIENCE).is_some() {
                self.tally.lost += 1;
                self.free.push(number);
            }
        }
    }
}

impl Load for UdpLoad<'_> {
    fn run(&mut self, end: Instant) {
        while Instant::now() < end {
            self.send();
            if self.free.len() == self.slots.len() {
                return;
            }
            self.receive();
            if self.looked.elapsed() > POLL {
                self.give_up(Instant::now());
            }
        }
    }

    fn tally(&mut self) -> Tally {
        mem::take(&mut self.tally)
    }
}
