//! `/files/{item}/` and the folders below: plain listings, so that a browser can find single files.

use std::ops::Range;

use askama::Template;
use hyper::StatusCode;

use super::links::{Links, files_path, segment};
use super::{files, reply};
use crate::catalog::Content;
use crate::listing::ListedFile;
use crate::net::http::{Request, Response};
use crate::words;

/// Entries on one page; a folder can have a million.
const MAX_ENTRIES: usize = 500;

#[derive(Debug, Template)]
#[template(path = "folder.html")]
struct FolderPage {
    /// What all paths begin with.
    base: String,
    /// The folders from the item down to this one.
    trail: Vec<Step>,
    entries: Vec<Entry>,
    files: String,
    /// Query of the page with the entries that follow.
    next: Option<String>,
}

#[derive(Debug)]
struct Step {
    name: String,
    path: String,
}

/// A file, or a folder with a slash at the end of its name.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    /// Relative to the folder.
    link: String,
    /// Size, or number of files.
    extent: String,
}

/// The listing of the folder with these names, the item's first; `files` are the indices of the files below it.
pub(super) fn respond(
    request: &Request,
    content: &Content,
    names: &[String],
    files: Range<usize>,
    links: &Links,
) -> Response {
    let Some(all) = content.listing.folder() else { return reply::not_found() };
    let from = request.head.uri.query().and_then(|query| query.strip_prefix("from="));
    let start = from.and_then(|from| from.parse().ok()).unwrap_or(files.start).clamp(files.start, files.end);
    let folder = &names[1..];
    let (entries, next) = entries(all, folder, start..files.end);
    let trail = (1..=names.len()).map(|depth| Step {
        name: names[depth - 1].clone(),
        path: links.path(&files_path(names[..depth].iter().map(String::as_str).chain([""]))),
    });
    let page = FolderPage {
        base: links.path(""),
        trail: trail.collect(),
        entries,
        files: words::count(files.len() as u64, "file", "files"),
        next: next.map(|index| format!("?from={index}")),
    };
    reply::page(StatusCode::OK, &page)
}

/// The entries of a folder made of the files with these indices, and the index to go on from if there are more.
fn entries(all: &[ListedFile], folder: &[String], range: Range<usize>) -> (Vec<Entry>, Option<usize>) {
    let mut entries = Vec::new();
    let mut index = range.start;
    while index < range.end {
        if entries.len() == MAX_ENTRIES {
            return (entries, Some(index));
        }
        let file = &all[index];
        let mut names = file.path.components().skip(folder.len());
        let name = names.next().expect("invariant: every file below a folder has a name there");
        if names.next().is_none() {
            entries.push(Entry {
                name: name.into(),
                link: segment(name),
                extent: words::bytes(file.identity.size),
            });
            index += 1;
        } else {
            let inner: Vec<&str> = folder.iter().map(String::as_str).chain([name]).collect();
            let count = files::below(&all[index..range.end], &inner).end;
            let extent = words::count(count as u64, "file", "files");
            entries.push(Entry { name: format!("{name}/"), link: format!("{}/", segment(name)), extent });
            index += count;
        }
    }
    (entries, None)
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::published;
    use super::*;

    fn listing(files: &[(&str, u64)], folder: &[&str]) -> Vec<(String, String, String)> {
        let listed = published("item", files);
        let all = listed.seeding().unwrap().listing.folder().unwrap();
        let folder: Vec<String> = folder.iter().map(|name| (*name).to_owned()).collect();
        let (entries, next) = entries(all, &folder, files::below(all, &folder));
        assert_eq!(next, None);
        entries.into_iter().map(|entry| (entry.name, entry.link, entry.extent)).collect()
    }

    #[test]
    fn a_folder_shows_what_is_directly_in_it() {
        let files = [("a/B", 1), ("a/z/deep", 2), ("a.txt", 3000), ("\u{fc} %/x", 1)];
        let entry =
            |name: &str, link: &str, extent: &str| (name.to_owned(), link.to_owned(), extent.to_owned());
        assert_eq!(
            listing(&files, &[]),
            [
                entry("a/", "a/", "2 files"),
                entry("a.txt", "a.txt", "3.0 kB"),
                entry("\u{fc} %/", "%C3%BC%20%25/", "1 file")
            ]
        );
        assert_eq!(listing(&files, &["a"]), [entry("B", "B", "1 byte"), entry("z/", "z/", "1 file")]);
    }

    #[test]
    fn a_long_listing_goes_on_where_it_stopped() {
        let names: Vec<String> = (0..=MAX_ENTRIES).map(|number| format!("{number:04}")).collect();
        let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let listed = published("item", &files);
        let all = listed.seeding().unwrap().listing.folder().unwrap();
        let (first, next) = entries(all, &[], 0..all.len());
        assert_eq!((first.len(), next), (MAX_ENTRIES, Some(MAX_ENTRIES)));
        let (rest, next) = entries(all, &[], MAX_ENTRIES..all.len());
        assert_eq!((rest.len(), next), (1, None));
        assert_eq!(rest[0].name, names[MAX_ENTRIES]);
    }
}
