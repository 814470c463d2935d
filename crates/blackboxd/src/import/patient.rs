//! Reading what may be scratched: what can't be read is tried again, sector by sector and with pauses, before it is given up.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Bytes of a sector of a data disc: the least that a drive reads.
pub(super) const SECTOR: u64 = 2048;

/// Pauses between tries. The drive itself has tried many times, so these are for dust that turns away, a disc that spins up
/// again, a loose plug.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// How long one place is tried, as a drive may need half a minute for each answer.
const PLACE_LIMIT: Duration = Duration::from_mins(1);

/// How soon a pause ends when the medium is taken out.
const REMOVED_INTERVAL: Duration = Duration::from_millis(50);

/// Time, and whether there is a point in waiting.
pub(super) trait Patience {
    /// The time now.
    fn now(&self) -> Instant;

    /// Waits; `false` when there is nothing to wait for any more.
    fn wait(&self, time: Duration) -> bool;
}

/// Waits until the medium is removed.
impl Patience for &AtomicBool {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.load(Ordering::Relaxed) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(REMOVED_INTERVAL));
        }
        false
    }
}

/// Tries until it succeeds, or fails with an error that does not pass, or all the patience is gone.
///
/// # Errors
/// The last error.
pub(super) fn retry<T, E>(
    patience: &impl Patience,
    passes: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let end = patience.now() + PLACE_LIMIT;
    let mut pauses = PAUSES.iter();
    loop {
        let error = match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match pauses.next() {
            Some(pause) if passes(&error) && patience.now() + *pause < end && patience.wait(*pause) => {}
            _ => return Err(error),
        }
    }
}

/// Whether another try may end better.
pub(super) fn passes(error: &io::Error) -> bool {
    !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::IsADirectory)
}

/// Something on a medium to be read.
pub(super) trait ReadAt {
    /// Reads what is at `offset` (bytes); fewer bytes than there is room for are no error, 0 is the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Says whether single sectors are read from now on, and nothing that is near them, or all of it in order.
    fn expect_single_sectors(&self, single: bool);
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn expect_single_sectors(&self, single: bool) {
        let advice = if single {
            PosixFadviseAdvice::POSIX_FADV_RANDOM
        } else {
            PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL
        };
        // Only advice.
        let _ = posix_fadvise(self, 0, 0, advice);
    }
}

/// Reads in large steps, and in sectors where these fail.
pub(super) struct PatientReader<R, P> {
    from: R,
    patience: P,
    /// Up to here (bytes) only sectors are read; 0 for none.
    sectors_until: u64,
}

impl<R: ReadAt, P: Patience> PatientReader<R, P> {
    pub(super) fn new(from: R, patience: P) -> Self {
        from.expect_single_sectors(false);
        Self { from, patience, sectors_until: 0 }
    }

    /// Reads the next bytes at `offset`; 0 is the end.
    ///
    /// # Errors
    /// When the sector at `offset` can't be read for all the patience.
    pub(super) fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.sectors_until {
            if self.sectors_until > 0 {
                self.sectors_until = 0;
                self.from.expect_single_sectors(false);
            }
            if let Ok(count) = self.from.read_at(buffer, offset) {
                return Ok(count);
            }
            self.sectors_until = offset + buffer.len() as u64;
            self.from.expect_single_sectors(true);
        }
        let left = usize::try_from(SECTOR - offset % SECTOR).unwrap_or(usize::MAX).min(buffer.len());
        retry(&self.patience, passes, || self.from.read_at(&mut buffer[..left], offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    const SECTOR_LENGTH: usize = 2048;

    /// Time that passes only when somebody waits or reads.
    #[derive(Default)]
    struct Time {
        passed: Cell<Duration>,
        removed_after: Option<Duration>,
    }

    impl Patience for &Time {
        fn now(&self) -> Instant {
            // Any instant will do, as long as it is the same one.
            thread_local!(static START: Instant = Instant::now());
            START.with(|start| *start + self.passed.get())
        }

        fn wait(&self, time: Duration) -> bool {
            self.passed.set(self.passed.get() + time);
            self.removed_after.is_none_or(|limit| self.passed.get() < limit)
        }
    }

    /// A disc whose byte n is n / SECTOR, with sectors that fail so many times.
    struct Scratched<'a> {
        sectors: u64,
        time: &'a Time,
        read_takes: Duration,
        fails: RefCell<Vec<(u64, usize)>>,
        /// Lengths of the reads, in sectors.
        reads: RefCell<Vec<usize>>,
        single: Cell<bool>,
    }

    impl<'a> Scratched<'a> {
        fn new(time: &'a Time, sectors: u64, fails: &[(u64, usize)]) -> Self {
            Self {
                sectors,
                time,
                read_takes: Duration::ZERO,
                fails: RefCell::new(fails.to_vec()),
                reads: RefCell::default(),
                single: Cell::new(false),
            }
        }
    }

    impl ReadAt for &Scratched<'_> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.time.passed.set(self.time.passed.get() + self.read_takes);
            let end = (self.sectors * SECTOR).min(offset + buffer.len() as u64);
            self.reads.borrow_mut().push(buffer.len() / SECTOR_LENGTH);
            assert!(!self.single.get() || buffer.len() as u64 <= SECTOR);
            for (sector, left) in self.fails.borrow_mut().iter_mut() {
                if (offset / SECTOR..end.div_ceil(SECTOR)).contains(sector) && *left > 0 {
                    *left -= 1;
                    return Err(io::Error::from_raw_os_error(5));
                }
            }
            for (byte, at) in buffer.iter_mut().zip(offset..end) {
                *byte = u8::try_from(at / SECTOR).unwrap();
            }
            Ok(usize::try_from(end - offset).unwrap())
        }

        fn expect_single_sectors(&self, single: bool) {
            self.single.set(single);
        }
    }

    /// Reads all of it in steps of 16 sectors; returns where it failed.
    fn read_all(disc: &Scratched) -> Result<(), u64> {
        let mut reader = PatientReader::new(disc, disc.time);
        let (mut buffer, mut offset) = (vec![0; 16 * SECTOR_LENGTH], 0);
        while let count @ 1.. = reader.read_at(&mut buffer, offset).map_err(|_| offset)? {
            for (byte, at) in buffer[..count].iter().zip(offset..) {
                assert_eq!(u64::from(*byte), at / SECTOR, "at {at}");
            }
            offset += count as u64;
        }
        assert_eq!(offset, disc.sectors * SECTOR);
        Ok(())
    }

    #[test]
    fn a_good_disc_is_read_in_large_steps_without_waiting() {
        let time = Time::default();
        let disc = Scratched::new(&time, 40, &[]);
        assert_eq!(read_all(&disc), Ok(()));
        assert_eq!(*disc.reads.borrow(), [16, 16, 16, 16]);
        assert_eq!(time.passed.get(), Duration::ZERO);
    }

    #[test]
    fn a_place_that_is_read_at_last_costs_only_time() {
        for tries in 1..=1 + PAUSES.len() {
            let time = Time::default();
            let disc = Scratched::new(&time, 40, &[(17, tries)]);
            assert_eq!(read_all(&disc), Ok(()), "{tries} tries");
            let expected: Duration = PAUSES.iter().take(tries - 1).sum();
            assert_eq!(time.passed.get(), expected, "{tries} tries");
            // Large steps again behind it.
            assert_eq!(disc.reads.borrow().last(), Some(&16));
            assert!(!disc.single.get());
        }
    }

    #[test]
    fn a_place_that_can_not_be_read_is_named_by_its_first_byte() {
        for sector in [0, 17, 39] {
            let time = Time::default();
            let disc = Scratched::new(&time, 40, &[(sector, usize::MAX)]);
            assert_eq!(read_all(&disc), Err(sector * SECTOR));
            assert_eq!(time.passed.get(), PAUSES.iter().sum());
        }
    }

    #[test]
    fn a_slow_drive_is_not_waited_for_beyond_the_limit() {
        let time = Time::default();
        let mut disc = Scratched::new(&time, 40, &[(0, usize::MAX)]);
        disc.read_takes = Duration::from_secs(25);
        assert_eq!(read_all(&disc), Err(0));
        assert!(time.passed.get() < PLACE_LIMIT + 2 * disc.read_takes, "{:?}", time.passed);
    }

    #[test]
    fn nobody_waits_for_a_disc_that_was_taken_out() {
        let time = Time { removed_after: Some(Duration::from_millis(1)), ..Time::default() };
        let disc = Scratched::new(&time, 40, &[(3, usize::MAX)]);
        assert_eq!(read_all(&disc), Err(3 * SECTOR));
        assert_eq!(time.passed.get(), PAUSES[0]);
    }

    #[test]
    fn what_does_not_pass_is_not_tried_again() {
        let (time, mut tries) = (Time::default(), 0);
        let result: io::Result<()> = retry(&&time, passes, || {
            tries += 1;
            Err(ErrorKind::PermissionDenied.into())
        });
        assert!(result.is_err());
        assert_eq!((tries, time.passed.get()), (1, Duration::ZERO));
    }
}
