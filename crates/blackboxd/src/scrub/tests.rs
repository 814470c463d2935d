use std::fs;
use std::sync::Arc;

use super::*;
use crate::app::testing::app;
use crate::catalog::Publication;
use crate::catalog::testing::folder;
use crate::hash::{self, Done, Source};
use crate::storage::tests::bytes;
use crate::torrents;

/// Bytes in a piece of so little content.
const PIECE: usize = 16 << 10;

/// The content as it was when it was hashed.
struct Memory<'a>(&'a [u8]);

impl Source for Memory<'_> {
    type Error = std::convert::Infallible;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let count = self.0.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// Publishes a folder of files of these sizes, of which the disk has forgotten some bytes: file, offset.
fn publish(app: &App, name: &str, sizes: &[usize], forgotten: &[(usize, usize)]) -> Publication {
    let files: Vec<_> =
        sizes.iter().enumerate().map(|(at, size)| (format!("{at:03}"), bytes(*size))).collect();
    let mut damaged = files.clone();
    for (file, offset) in forgotten {
        damaged[*file].1[*offset] ^= 1;
    }
    let listing = folder(&app.publish, name, &damaged).content.listing.clone();
    let all = files.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect::<Vec<_>>();
    let done = Done::nothing(torrents::layout(listing.lengths().collect()));
    let Ok(hashes) = hash::hash(done, hash::MEDIUM_MEMORY, &mut Memory(&all));
    let publication = torrents::publication(name, listing, hashes, false).unwrap();
    app.catalog.publish(name, publication.clone()).unwrap();
    app.catalog.set_online(None).unwrap();
    publication
}

/// Reads everything once.
fn scrub_once(app: &App) {
    let all: u64 = app.catalog.snapshot().by_name().map(|item| item.size_bytes).sum();
    let mut scrub = Scrub::new(app, Some(Duration::ZERO));
    let before = app.scrubbed_bytes.load(Ordering::Relaxed);
    while app.scrubbed_bytes.load(Ordering::Relaxed) < before + all {
        scrub.step();
    }
}

#[test]
fn what_the_disk_forgot_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path(), None);
    // A file of many pieces, small ones that share a piece, one that lies across pieces.
    let sizes = [5 * PIECE + 3, 100, 100, 100, 2 * PIECE];
    for (number, (forgotten, start, length)) in [
        (None, 0, 0),
        (Some((0, 2 * PIECE + 7)), 2 * PIECE, PIECE),
        (Some((0, 5 * PIECE)), 5 * PIECE, 3),
        (Some((2, 0)), 5 * PIECE + 103, 100),
        // The piece before it is good, though a part of the file's own piece is in it.
        (Some((4, PIECE - 1)), 6 * PIECE, 303),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("item {number}");
        let content = publish(&app, &name, &sizes, forgotten.as_slice()).content;
        scrub_once(&app);
        let damaged: Vec<_> = content.damage.ranges();
        let expected = (length > 0).then(|| start as u64..(start + length) as u64);
        assert_eq!(damaged, Vec::from_iter(expected), "{forgotten:?}");
        app.catalog.retire(&name).unwrap();
    }
}

#[test]
fn a_changed_file_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path(), None);
    let content = publish(&app, "changed", &[PIECE], &[]).content;
    fs::write(app.publish.join("changed/000"), "something else").unwrap();
    let mut scrub = Scrub::new(&app, Some(Duration::ZERO));
    scrub.step();
    assert!(content.damage.ranges().is_empty());
    let wanted = app.inbox.take_names();
    assert!(wanted.contains("changed".as_ref() as &std::ffi::OsStr), "it is looked at again: {wanted:?}");
}

#[test]
fn reading_goes_on_where_it_was_interrupted_and_takes_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path(), None);
    for (name, size) in [("a", 3 * PIECE), ("b", 1), ("c", 5 * PIECE)] {
        publish(&app, name, &[size], &[]);
    }
    let mut read = Vec::new();
    while read.len() < 9 {
        let mut scrub = Scrub::new(&app, Some(Duration::from_hours(1)));
        // The first piece after a start, or what is behind the last one of an item.
        while scrub.step().is_zero() && scrub.last.1 == 0 {}
        read.push(scrub.last.1);
        assert!(!scrub.step().is_zero(), "the next one has to wait");
        scrub.save();
    }
    let piece = PIECE as u64;
    assert_eq!(read, [piece, piece, piece, 1, piece, piece, piece, piece, piece]);
}

#[test]
fn what_can_not_be_read_now_is_no_damage_and_not_tried_all_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path(), None);
    let content = publish(&app, "item", &[PIECE], &[]).content;
    fs::rename(app.publish.join("item"), app.publish.join("away")).unwrap();
    let mut scrub = Scrub::new(&app, Some(Duration::ZERO));
    assert!((0..10).all(|_| scrub.step() == LOOK));
    assert!(content.damage.ranges().is_empty());
}

#[test]
fn what_a_peer_could_not_be_given_is_read_first_and_even_if_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path(), None);
    let content = publish(&app, "item", &[9 * PIECE], &[(0, 5 * PIECE + 9)]).content;
    let mut scrub = Scrub::new(&app, None);
    scrub.step();
    assert!(content.damage.ranges().is_empty());
    app.suspects.add(&content, 5 * PIECE as u64);
    scrub.step();
    assert!(content.damage.touches(&(5 * PIECE as u64..6 * PIECE as u64)));
}

#[test]
fn after_the_last_item_comes_the_first() {
    let item = |name: &str| Arc::new(Item::unpublished(name, jiff::Timestamp::UNIX_EPOCH, State::Seeding));
    let items = [item("a"), item("c d")];
    let items: Vec<_> = items.iter().collect();
    for (text, name, piece) in
        [("", "a", 0), ("7 a", "a", 7), ("7 b", "c d", 0), ("2 c d", "c d", 2), ("7 e", "a", 0)]
    {
        let mut cursor = Cursor::read(text);
        assert_eq!(cursor.find(&items).map(|item| item.name.as_str()), Some(name), "{text}");
        assert_eq!(cursor.piece, piece, "{text}");
        assert_eq!(Cursor::read(&cursor.to_string()), cursor);
    }
    assert!(Cursor::default().find(&[]).is_none());
}
