//! A seeder that does nothing but give: the limit of the machine, as far as one `writev` for all that was asked for shows it.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::thread;

use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use crate::Content;

/// Longest message and longest block that are taken, in bytes.
const LONGEST_MESSAGE: usize = 1024;
const LONGEST_BLOCK: u32 = 128 << 10;

/// Bytes that are read at a time: some two hundred requests.
const BUFFER: usize = 4096;

/// Bytes of a thread's stack.
const STACK: usize = 64 << 10;

/// Serves until it is killed.
///
/// # Errors
/// A wrong option, or files that do not fit each other.
pub fn run(arguments: impl IntoIterator<Item = String>) -> Result<(), String> {
    let options = crate::options(arguments, &["torrent", "data", "listen"], &[])?;
    let content: &'static Content =
        Box::leak(Box::new(Content::read(&options.required::<PathBuf>("torrent")?)?));
    let bytes = map(&options.required::<PathBuf>("data")?).map_err(|error| error.to_string())?;
    if bytes.len() as u64 != content.total {
        return Err("the file is not that of the torrent".to_owned());
    }
    let listen: SocketAddr = options.required("listen")?;
    let listener = TcpListener::bind(listen).map_err(|error| format!("{listen}: {error}"))?;
    println!("ready {}", listener.local_addr().map_err(|error| error.to_string())?);
    for stream in listener.incoming().flatten() {
        // One that ends, ends: there is nothing to be done about it.
        let serve = move || drop(serve(stream, content, bytes));
        thread::Builder::new().stack_size(STACK).spawn(serve).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A whole file, mapped for good.
fn map(path: &Path) -> io::Result<&'static [u8]> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).ok().and_then(NonZeroUsize::new);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    #[expect(unsafe_code, reason = "there is no other way to a mapping")]
    // SAFETY: the mapping is never undone, and whoever measures does not touch the file meanwhile.
    unsafe {
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
        let start: NonNull<u8> = mmap(None, length, ProtFlags::PROT_READ, flags, &file, 0)?.cast();
        Ok(std::slice::from_raw_parts(start.as_ptr(), length.get()))
    }
}

fn serve(mut stream: TcpStream, content: &Content, bytes: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut handshake = [0; 68];
    stream.read_exact(&mut handshake)?;
    if handshake[28..48] != content.info_hash.as_bytes()[..] {
        return Ok(());
    }
    handshake[48..].copy_from_slice(b"-SL0100-000000000000");
    stream.write_all(&handshake)?;
    // Have all, unchoke.
    stream.write_all(&[0, 0, 0, 1, 14, 0, 0, 0, 1, 1])?;
    let mut buffer = [0; BUFFER];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let (blocks, used) = requests(&buffer[..filled], content, bytes)?;
        let parts = blocks.iter().flat_map(|(header, block)| [IoSlice::new(header), IoSlice::new(block)]);
        let mut parts: Vec<_> = parts.collect();
        let mut rest = &mut parts[..];
        while !rest.is_empty() {
            let written = stream.write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, written);
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
}

/// The answers to all requests that are whole, and where what is not whole begins.
#[expect(clippy::type_complexity, reason = "a header and its block")]
fn requests<'a>(
    received: &[u8],
    content: &Content,
    bytes: &'a [u8],
) -> io::Result<(Vec<([u8; 13], &'a [u8])>, usize)> {
    let mut answers = Vec::new();
    let mut at = 0;
    while let Some(message) = received.get(at..).filter(|rest| rest.len() >= 4) {
        let number = |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().expect("four bytes"));
        let length = number(0) as usize;
        if length > LONGEST_MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if message.len() < 4 + length {
            break;
        }
        if length == 13 && message[4] == 6 {
            let (piece, begin, wanted) = (number(5), number(9), number(13));
            let start =
                usize::try_from(u64::from(piece) * u64::from(content.piece_length) + u64::from(begin));
            let start = start.map_err(io::Error::other)?;
            let block = bytes.get(start..start.saturating_add(wanted as usize));
            let block = block.filter(|_| wanted <= LONGEST_BLOCK).ok_or(io::ErrorKind::InvalidData)?;
            let mut header = [0; 13];
            header[..4].copy_from_slice(&(wanted + 9).to_be_bytes());
            header[4] = 7;
            header[5..].copy_from_slice(&message[5..13]);
            answers.push((header, block));
        }
        at += 4 + length;
    }
    Ok((answers, at))
}
