//! `/files/{item}/{path}`: the files themselves, as web seed (BEP 19) and for plain browsers.
//!
//! A path from outside never reaches the file system: it is looked up among the files of the published info
//! dictionary, and what that names is opened. `..`, links and files beside the item can't be asked for at all.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, LOCATION,
    RANGE, RETRY_AFTER,
};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use torrent::FilePath;
use tracker::members::MemberId;

use super::conditional::{Version, http_date};
use super::download::Download;
use super::links::{Links, files_path};
use super::range::{self, Selection};
use super::{Web, folder, reply};
use crate::catalog::{Content, State};
use crate::listing::ListedFile;
use crate::net::http::{self, Body, Request, Response};
use crate::storage::check_damage;

/// Seconds after which a download that found all places taken may be tried again.
const RETRY_SECONDS: u32 = 30;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// The file with this index in the info dictionary.
    File(usize),
    /// A folder: the indices of all files below it.
    Folder(Range<usize>),
    /// A folder without the slash at the end.
    FolderWithoutSlash,
}

/// Answers for the part of the path after `/files/`.
pub(super) async fn respond(
    web: &Web,
    request: &Request,
    path: &str,
    links: &Links,
    member: Option<MemberId>,
) -> Response {
    let Some(names) = decode(path) else { return reply::not_found() };
    let catalog = web.app.catalog.snapshot();
    let item = names.first().and_then(|name| catalog.named(name));
    let content = item.filter(|item| item.state == State::Seeding).and_then(|item| item.content.clone());
    let Some(content) = content else { return reply::not_found() };
    match find(&content, &names[1..]) {
        Some(Found::File(index)) => file(web, request, content, index, member).await,
        Some(Found::Folder(files)) => {
            folder::respond(request, &content, &names[..names.len() - 1], files, links)
        }
        Some(Found::FolderWithoutSlash) => {
            let location = links.path(&files_path(names.iter().map(String::as_str).chain([""])));
            let mut response =
                reply::error(StatusCode::MOVED_PERMANENTLY, "A folder's address ends in a slash.");
            response.headers_mut().insert(LOCATION, reply::value(&location));
            response
        }
        None => reply::not_found(),
    }
}

/// The names in a path; `None` if one is not UTF-8.
fn decode(path: &str) -> Option<Vec<String>> {
    path.split('/').map(|name| Some(percent_decode_str(name).decode_utf8().ok()?.into_owned())).collect()
}

/// Looks up what is below the item.
fn find(content: &Content, names: &[String]) -> Option<Found> {
    let Some(files) = content.listing.folder() else { return names.is_empty().then_some(Found::File(0)) };
    match names {
        [] => Some(Found::FolderWithoutSlash),
        [folder @ .., last] if last.is_empty() => {
            let below = below(files, folder);
            (!below.is_empty()).then_some(Found::Folder(below))
        }
        _ => {
            let path = FilePath::from_components(names).ok()?;
            match files.binary_search_by(|file| file.path.cmp(&path)) {
                Ok(index) => Some(Found::File(index)),
                Err(_) => (!below(files, names).is_empty()).then_some(Found::FolderWithoutSlash),
            }
        }
    }
}

/// The indices of the files below a folder. They are next to each other because publishing sorts the files by their
/// names, bytewise.
pub(super) fn below(files: &[ListedFile], folder: &[impl AsRef<str>]) -> Range<usize> {
    let order = |file: &ListedFile| -> Ordering {
        let mut names = file.path.components();
        let differing =
            folder.iter().map(|name| names.next().cmp(&Some(name.as_ref()))).find(|order| order.is_ne());
        // A file of that very name is not below it, and would come before what is.
        let itself = || if names.next().is_none() { Ordering::Less } else { Ordering::Equal };
        differing.unwrap_or_else(itself)
    };
    let start = files.partition_point(|file| order(file).is_lt());
    let count = files[start..].partition_point(|file| order(file).is_eq());
    start..start + count
}

async fn file(
    web: &Web,
    request: &Request,
    content: Arc<Content>,
    index: usize,
    member: Option<MemberId>,
) -> Response {
    let (path, identity) = content.file(index);
    let headers = &request.head.headers;
    // Equal bytes under an equal info hash are the same file, whenever they were published.
    let version = Version {
        etag: format!("\"{}-{index}\"", content.info_hash()),
        modified: Some(http_date(identity.mtime)),
    };
    if version.is_had(headers) {
        return reply::versioned(reply::not_modified(), &version);
    }
    let length = identity.size;
    let is_get = request.head.method == Method::GET;
    let selection = match headers.get(RANGE).and_then(|field| field.to_str().ok()) {
        Some(field) if is_get && version.fits_part(headers) => range::parse(field, length),
        _ => Selection::Whole,
    };
    let (status, range) = match selection {
        Selection::Whole => (StatusCode::OK, 0..length),
        Selection::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Selection::Unsatisfiable => return unsatisfiable(length),
    };
    let body = match body(web, request, &content, index, range.clone(), member).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let mut response = reply::guarded(http::response(status, "application/octet-stream", ""));
    *response.body_mut() = body;
    let fields = response.headers_mut();
    fields.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // What is published is data: no browser may take it for a page of this box.
    fields.insert(CONTENT_DISPOSITION, reply::attachment(&name));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if status == StatusCode::PARTIAL_CONTENT {
        fields.insert(
            CONTENT_RANGE,
            reply::value(&format!("bytes {}-{}/{length}", range.start, range.end - 1)),
        );
    }
    reply::versioned(response, &version)
}

/// Opens the file, which tells whether it can be served at all, and starts the download.
async fn body(
    web: &Web,
    request: &Request,
    content: &Arc<Content>,
    index: usize,
    range: Range<u64>,
    member: Option<MemberId>,
) -> Result<Body, Response> {
    let start = content.spans.start(index);
    if check_damage(content, start + range.start, range.end - range.start).is_err() {
        return Err(damaged());
    }
    // Before the file is opened, which may take its time: so many wait for a disk and no more.
    let Some(place) = web.downloads.try_take(request.peer.ip()) else { return Err(busy()) };
    let online = content.online();
    let (app, opened, token) = (Arc::clone(&web.app), Arc::clone(content), online.clone());
    let file = tokio::task::spawn_blocking(move || {
        let file = app.storage.open(&opened, &token, index)?;
        file.check()?;
        Ok((file, place))
    });
    let (file, place) = match file.await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => {
            web.app.look_again(content, &error);
            return Err(gone());
        }
        Err(_) => return Err(gone()),
    };
    if range.is_empty() || request.head.method != Method::GET {
        return Ok(Body::Whole(bytes::Bytes::new()));
    }
    let (app, content) = (Arc::clone(&web.app), Arc::clone(content));
    let download = Download { app, content, member, online, file, start };
    Ok(download.start(range, place))
}

fn unsatisfiable(length: u64) -> Response {
    let sentence = "The file does not have the bytes that were asked for.";
    let mut response = reply::error(StatusCode::RANGE_NOT_SATISFIABLE, sentence);
    response.headers_mut().insert(CONTENT_RANGE, reply::value(&format!("bytes */{length}")));
    response
}

fn damaged() -> Response {
    let sentence = "The disk of the box is damaged there. Other parts of the file, and other files, can be downloaded; with the torrent, \
                    other downloaders may have the rest.";
    reply::error(StatusCode::GONE, sentence)
}

fn gone() -> Response {
    let sentence = "This file can't be read, or it is no longer what was published. The box looks into it; try again later.";
    reply::error(StatusCode::GONE, sentence)
}

fn busy() -> Response {
    let sentence =
        "Too many downloads at once. Try again in a moment, or use the torrent, which has no such limit.";
    let mut response = reply::error(StatusCode::SERVICE_UNAVAILABLE, sentence);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    response
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::published;
    use super::*;
    use Found::{File, Folder, FolderWithoutSlash};

    fn check(files: &[(&str, u64)], path: &str, expected: Option<&Found>) {
        let listed = published("item", files);
        let names = decode(path).expect("UTF-8");
        assert_eq!(find(listed.seeding().unwrap(), &names[1..]).as_ref(), expected, "{path:?}");
    }

    #[test]
    fn a_single_file_is_the_item_itself() {
        for (path, expected) in
            [("item", Some(File(0))), ("item/", None), ("item/item", None), ("item//", None)]
        {
            check(&[], path, expected.as_ref());
        }
    }

    #[test]
    fn only_what_was_published_is_found() {
        let files =
            [("a/B", 1), ("a/z/deep", 1), ("a-", 1), ("a.txt", 1), ("b c", 1), ("e/f", 1), ("\u{fc}/%2F", 1)];
        for (path, expected) in [
            ("item", Some(FolderWithoutSlash)),
            ("item/", Some(Folder(0..7))),
            ("item/a", Some(FolderWithoutSlash)),
            ("item/a/", Some(Folder(0..2))),
            ("item/a/z/", Some(Folder(1..2))),
            ("item/e/", Some(Folder(5..6))),
            ("item/a/B", Some(File(0))),
            ("item/a/z/deep", Some(File(1))),
            ("item/a-", Some(File(2))),
            ("item/%61.txt", Some(File(3))),
            ("item/b%20c", Some(File(4))),
            ("item/%C3%BC/%252F", Some(File(6))),
            ("item/\u{fc}/%252F", Some(File(6))),
            ("item/a/b", None),
            ("item/a/B/", None),
            ("item/a/B/x", None),
            ("item//a/B", None),
            ("item/a//B", None),
            ("item/a%2FB", None),
            ("item/./a/B", None),
            ("item/x/../a/B", None),
            ("item/..", None),
            ("item/../", None),
            ("item/%2e%2e/item/a/B", None),
            ("item/%2fetc%2fpasswd", None),
            ("item/a/B%00", None),
            ("item/zz/", None),
            ("item//", None),
        ] {
            check(&files, path, expected.as_ref());
        }
    }

    #[test]
    fn paths_must_be_utf8() {
        assert_eq!(decode("item/%ff"), None);
        assert_eq!(decode("%"), Some(vec!["%".to_owned()]));
    }
}
