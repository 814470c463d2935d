//! Whether a medium was published already, found out at once: by what its file system says, and samples of its content.
//!
//! This can take a new medium for a known one only if everything that is looked at is equal. The other way round nothing is
//! lost but time: what is the same after all has the same info hash, and is not published twice.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::name::{ItemName, MAX_NUMBER};
use super::source::Source;
use crate::app::App;
use crate::catalog::{Content, Item};

/// Extended attribute of a published file or folder that holds the identity of the volume it was copied from. It is not in the
/// catalog, because it is of no use without the copy and needed as long as that is there.
const VOLUME: &str = "user.blackbox.volume";

/// Longest identity (bytes) that is remembered: more than any file system has.
const MAX_VOLUME: usize = 128;

/// Bytes of a sample: what an error correction block of a DVD holds, so it is read as fast as a single byte.
const SAMPLE: u64 = 32 << 10;

/// Samples that are compared in any case. A drive needs a tenth of a second to go to another place.
const MIN_SAMPLES: u32 = 8;

/// Samples that are compared at most.
const MAX_SAMPLES: u32 = 256;

/// No further sample is begun after this time.
const LIMIT: Duration = Duration::from_secs(1);

/// The item under one of `name`'s names that is this medium.
pub(super) fn known(
    app: &App,
    name: &ItemName,
    volume: Option<&str>,
    source: &Source,
    removed: &AtomicBool,
) -> Option<Arc<Item>> {
    let catalog = app.catalog.snapshot();
    (1..=MAX_NUMBER)
        .filter_map(|number| catalog.named(&name.numbered(number)))
        .find(|item| {
            item.content.as_deref().is_some_and(|content| {
                // What the disk has damaged can be mended from the medium.
                content.damage.ranges().is_empty()
                    && same_files(content, source)
                    && same_volume(&app.publish.join(&item.name), volume)
                    && same_samples(&app.publish, content, source, removed)
            })
        })
        .cloned()
}

/// Remembers from which volume the copy at `path` is. Where the file system can't hold that, samples have to do.
pub(super) fn remember(path: &Path, volume: Option<&str>) {
    let Some(volume) = volume.filter(|volume| volume.len() <= MAX_VOLUME) else { return };
    if let Err(error) = rustix::fs::setxattr(path, VOLUME, volume.as_bytes(), rustix::fs::XattrFlags::empty())
    {
        tracing::debug!("{path:?}: {error}");
    }
}

/// Whether the two may be of the same volume: where either is not known, they may.
fn same_volume(path: &Path, volume: Option<&str>) -> bool {
    let mut buffer = [0; MAX_VOLUME];
    match (rustix::fs::getxattr(path, VOLUME, &mut buffer[..]), volume) {
        (Ok(length), Some(volume)) => &buffer[..length] == volume.as_bytes(),
        _ => true,
    }
}

/// Whether paths, sizes and times are the same. (The copies have the times of their originals.)
fn same_files(content: &Content, source: &Source) -> bool {
    content.file_count() == source.files.len()
        && content.listing.paths(Path::new("")).iter().zip(&source.files).all(|((path, ours), theirs)| {
            *path == theirs.to
                && ours.size == theirs.size
                && theirs.mtime.is_none_or(|mtime| mtime == ours.mtime)
        })
}

/// Whether the same bytes are found in some places; the files are the same in number and size.
fn same_samples(publish: &Path, content: &Content, source: &Source, removed: &AtomicBool) -> bool {
    let sizes: Vec<u64> = source.files.iter().map(|file| file.size).collect();
    let end = Instant::now() + LIMIT;
    samples(&sizes).zip(0..).take_while(|(_, number)| *number < MIN_SAMPLES || Instant::now() < end).all(
        |((file, offset), _)| {
            let length = usize::try_from((sizes[file] - offset).min(SAMPLE)).unwrap_or(0);
            let (mut ours, mut theirs) = (vec![0; length], vec![0; length]);
            let copy = File::open(publish.join(content.file(file).0));
            let is_read = copy.and_then(|copy| copy.read_exact_at(&mut ours, offset)).is_ok()
                && source.files[file].read_exact_at(&mut theirs, offset, removed).is_ok();
            is_read && ours == theirs
        },
    )
}

/// Places for samples as file and offset (bytes), spread over the content, ever more densely; in turn at equal distances in
/// all bytes, which finds the large files, and at the ends of files at equal distances, which finds the small ones.
fn samples(sizes: &[u64]) -> impl Iterator<Item = (usize, u64)> {
    let ends: Vec<u64> = sizes
        .iter()
        .scan(0, |end, size| {
            *end += size;
            Some(*end)
        })
        .collect();
    let total = ends.last().copied().unwrap_or(0);
    let count = if total == 0 { 0 } else { MAX_SAMPLES };
    (0..count).map(move |number| {
        // 0, 1/2, 1/4, 3/4, 1/8, ...
        let part = |whole: u64| {
            let part = (u128::from(whole) * u128::from((number / 2).reverse_bits())) >> u32::BITS;
            u64::try_from(part).unwrap_or(0)
        };
        let file = if number % 2 == 0 {
            ends.partition_point(|end| *end <= part(total))
        } else {
            usize::try_from(part(ends.len() as u64)).unwrap_or(0)
        };
        let last = sizes[file].saturating_sub(SAMPLE);
        let start = ends[file] - sizes[file];
        (file, if number % 2 == 0 { (part(total) - start).min(last) } else { last })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn samples_are_in_the_files_and_everywhere() {
        for (sizes, least) in [
            (&[1][..], 1),
            (&[0, 5, 0], 1),
            (&[SAMPLE - 1, SAMPLE, SAMPLE + 1], 3),
            (&[4 << 30], 100),
            (&[10, 4 << 30, 10], 100),
            (&[0, 0, u64::from(u32::MAX) << 16], 100),
            (&[7; 1000], 100),
        ] {
            let places: Vec<_> = samples(sizes).collect();
            assert_eq!(places.len(), MAX_SAMPLES as usize);
            for (file, offset) in &places {
                assert!(*offset <= sizes[*file].saturating_sub(SAMPLE), "{file} {offset} of {sizes:?}");
            }
            let distinct = places.iter().collect::<BTreeSet<_>>().len();
            assert!(distinct >= least, "{distinct} of {sizes:?}");
        }
        assert_eq!(samples(&[]).count(), 0);
        assert_eq!(samples(&[0, 0]).count(), 0);
    }

    #[test]
    fn the_first_samples_find_the_beginning_the_middle_and_the_end() {
        let (large, first) = (4 << 30, MIN_SAMPLES as usize);
        let places: Vec<_> = samples(&[large]).take(first).collect();
        for place in [0, large / 2, large - SAMPLE] {
            assert!(places.contains(&(0, place)), "{place}: {places:?}");
        }
        let small: BTreeSet<_> = samples(&[10, large, 10, 10]).take(first).map(|(file, _)| file).collect();
        assert_eq!(small.len(), 4, "every file is looked at");
    }

    #[test]
    fn a_volume_is_another_only_if_both_are_known() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = folder.path();
        assert!(same_volume(path, Some("a")) && same_volume(path, None));
        remember(path, Some("a"));
        if rustix::fs::getxattr(path, VOLUME, &mut [0; MAX_VOLUME][..]).is_err() {
            // Older kernels have none in memory.
            return;
        }
        assert!(same_volume(path, Some("a")) && same_volume(path, None));
        assert!(!same_volume(path, Some("b")));
    }
}
