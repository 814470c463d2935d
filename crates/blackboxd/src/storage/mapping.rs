//! Parts of files as the kernel can send them from memory, many in one call.
//!
//! The bytes are never touched by this process: a mapping of a file that others may shorten at any time must not be, or the
//! process dies. Only the kernel reads them, on behalf of `writev`, and reports what is no longer there (`EFAULT`).

#![expect(unsafe_code, reason = "mmap, mincore and writev on addresses that are not dereferenced")]

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::null_mut;

use nix::libc::{self, c_void, iovec};
use rustix::param::page_size;

/// Pages that are asked for in one call: mostly 4 MiB.
const ASKED_PAGES: usize = 1024;

/// A part of a file in the address space.
#[derive(Debug)]
pub struct Mapping {
    start: *mut c_void,
    length: usize,
}

// SAFETY: nothing reads or writes through the address; it is handed to system calls only, from any thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes (more than 0) of `file` at `offset`, which is a multiple of the page size. What is behind the
    /// file's end can be mapped too, but not sent.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn new(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        let offset = offset.try_into().map_err(io::Error::other)?;
        let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED | libc::MAP_NORESERVE);
        // SAFETY: a new mapping at an address that the kernel chooses disturbs no other memory.
        let start = unsafe { libc::mmap(null_mut(), length, protection, flags, file.as_raw_fd(), offset) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self { start, length }) }
    }

    /// Whether these bytes are in memory, as far as the kernel tells: it says yes of all files that this process does not
    /// own and may not write.
    ///
    /// # Panics
    /// If they are not in the mapping.
    pub fn is_resident(&self, offset: usize, length: usize) -> bool {
        self.check(offset, length);
        let page = page_size();
        let (mut from, end) = (offset / page, (offset + length).div_ceil(page));
        let mut pages = [0_u8; ASKED_PAGES];
        while from < end {
            let count = (end - from).min(ASKED_PAGES);
            let start = self.start.wrapping_byte_add(from * page);
            // SAFETY: `pages` has a byte for each of the pages, which belong to the mapping.
            let asked = unsafe { libc::mincore(start, count * page, pages.as_mut_ptr()) };
            if asked != 0 || pages[..count].iter().any(|page| page & 1 == 0) {
                return false;
            }
            from += count;
        }
        true
    }

    fn check(&self, offset: usize, length: usize) {
        assert!(offset.checked_add(length).is_some_and(|end| end <= self.length), "not in the mapping");
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody has its address: `Slices` borrow it.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// Bytes of this process and of mappings, in the order in which they are to be sent.
#[derive(Debug)]
pub struct Slices<'a> {
    parts: Vec<iovec>,
    borrowed: PhantomData<&'a [u8]>,
}

impl<'a> Slices<'a> {
    /// Most parts that are sent in one call.
    pub const MAX: usize = 1024;

    /// None yet, with room for so many.
    pub fn with_capacity(parts: usize) -> Self {
        Self { parts: Vec::with_capacity(parts), borrowed: PhantomData }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &'a [u8]) {
        self.parts.push(iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
    }

    /// Adds a part of a mapping.
    ///
    /// # Panics
    /// If it is not in the mapping.
    pub fn push_mapped(&mut self, mapping: &'a Mapping, offset: usize, length: usize) {
        mapping.check(offset, length);
        let iov_base = mapping.start.wrapping_byte_add(offset);
        self.parts.push(iovec { iov_base, iov_len: length });
    }

    /// Sends as many bytes as the socket takes, and tells how many.
    ///
    /// # Errors
    /// Those of `writev`; `EFAULT` if the next bytes of a mapping can't be had.
    pub fn write_to(&self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let count = self.parts.len().min(Self::MAX).try_into().map_err(io::Error::other)?;
        // SAFETY: the parts point to bytes that live as long as this, and to addresses in mappings that do; what of these
        // has no bytes is the kernel's to find out.
        let written = unsafe { libc::writev(socket.as_fd().as_raw_fd(), self.parts.as_ptr(), count) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }
}

// SAFETY: as for `&[u8]` and `&Mapping`, of which this consists.
unsafe impl Send for Slices<'_> {}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use nix::errno::Errno;

    use super::*;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn bytes_and_parts_of_files_are_sent_in_order() {
        let page = page_size();
        let content: Vec<u8> =
            (0..page + 15_000).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
        let mapping = Mapping::new(&file_of(&content), page as u64, content.len() - page).unwrap();
        let mut slices = Slices::with_capacity(4);
        slices.push(b"first ");
        slices.push_mapped(&mapping, 1000, 9000);
        slices.push(b" then ");
        slices.push_mapped(&mapping, 0, 1);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let count = slices.write_to(ours.as_fd()).unwrap();
        let mut sent = vec![0; count];
        theirs.read_exact(&mut sent).unwrap();
        assert!(
            sent == [b"first ", &content[page + 1000..page + 10_000], b" then ", &content[page..=page]]
                .concat()
        );
    }

    #[test]
    fn what_was_cut_off_is_an_error_and_no_end() {
        let page = page_size();
        let file = file_of(&vec![7; 5 * page]);
        let mapping = Mapping::new(&file, 0, 5 * page).unwrap();
        file.set_len(page as u64 + 1).unwrap();
        assert!(!mapping.is_resident(0, 5 * page));
        let mut slices = Slices::with_capacity(1);
        slices.push_mapped(&mapping, 3 * page, 2 * page);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let error = slices.write_to(ours.as_fd()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EFAULT as i32));
    }

    #[test]
    fn what_was_just_written_is_resident() {
        let mapping = Mapping::new(&file_of(&vec![7; 20_000]), 0, 20_000).unwrap();
        assert!(
            mapping.is_resident(0, 20_000) && mapping.is_resident(19_999, 1) && mapping.is_resident(5, 0)
        );
    }

    #[test]
    #[should_panic(expected = "not in the mapping")]
    fn there_is_nothing_behind_a_mapping() {
        let mapping = Mapping::new(&file_of(&vec![7; 20_000]), 0, 20_000).unwrap();
        Slices::with_capacity(1).push_mapped(&mapping, 19_999, 2);
    }
}
