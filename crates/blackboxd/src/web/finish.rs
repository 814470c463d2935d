//! What every answer that is here as a whole goes through before it is sent: 304 for who has it already, and gzip.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, VARY,
};
use hyper::http::response::Parts;

use super::conditional::Version;
use super::reply;
use crate::net::http::{Body, Request, Response};

/// Shorter answers (bytes) fit into a packet or two as they are.
const MIN_COMPRESSED: usize = 1400;

/// Longer ones (bytes) take so long that other requests should not wait for it.
const MAX_IN_PLACE: usize = 128 * 1024;

/// An answer that is here as a whole, ready for everybody who asks for the same.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    head: Parts,
    content: Bytes,
    /// Of an answer that clients may keep.
    version: Option<Version>,
}

impl Finished {
    /// Bytes of its content.
    pub(super) fn len(&self) -> usize {
        self.content.len()
    }

    /// What the client is sent.
    pub(super) fn answer(self, request: &Request) -> Response {
        if !self.version.is_some_and(|version| version.is_had(&request.head.headers)) {
            return Response::from_parts(self.head, Body::Whole(self.content));
        }
        let (mut response, mut head) = (reply::not_modified(), self.head);
        for name in [ETAG, VARY, CACHE_CONTROL] {
            response.headers_mut().extend(head.headers.remove(&name).map(|value| (name, value)));
        }
        response
    }
}

/// Whether who asks takes compressed answers.
pub(super) fn takes_compressed(request: &Request) -> bool {
    request.head.headers.get(ACCEPT_ENCODING).is_some_and(takes_gzip)
}

/// Finishes an answer, if it is one that is here as a whole; others are sent as they are.
///
/// # Errors
/// The answer itself, when there is nothing to be done.
pub(super) async fn finish(request: &Request, response: Response) -> Result<Finished, Response> {
    let (mut head, body) = response.into_parts();
    let content = match body {
        Body::Whole(content) if head.status == StatusCode::OK && !content.is_empty() => content,
        body => return Err(Response::from_parts(head, body)),
    };
    let is_compressed = content.len() >= MIN_COMPRESSED
        && head.headers.get(CONTENT_TYPE).is_some_and(is_compressible)
        && takes_compressed(request);
    let is_kept = head.headers.get(CACHE_CONTROL).is_some_and(|it| it != "no-store");
    let version = is_kept.then(|| Version::of(&content));
    if let Some(version) = &version {
        // Compressed it is the same, but not byte for byte (RFC 9110, section 8.8.1).
        let etag = if is_compressed { format!("W/{}", version.etag) } else { version.etag.clone() };
        head.headers.insert(ETAG, reply::value(&etag));
        head.headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    let compressed = match content.len() {
        _ if !is_compressed => None,
        ..=MAX_IN_PLACE => gzip(&content),
        _ => {
            let whole = content.clone();
            tokio::task::spawn_blocking(move || gzip(&whole)).await.unwrap_or(None)
        }
    };
    if compressed.is_some() {
        head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(Finished { head, content: compressed.map_or(content, Bytes::from), version })
}

/// Texts, and what is written as text. A `.torrent` is mostly hashes.
fn is_compressible(content_type: &HeaderValue) -> bool {
    let kind = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.starts_with("text/") || kind.ends_with("+xml") || kind == "application/json"
}

/// Whether the client says so itself; one that says nothing may be too simple for it.
fn takes_gzip(accepted: &HeaderValue) -> bool {
    accepted.to_str().unwrap_or_default().split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

fn gzip(content: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 3), Compression::fast());
    encoder.write_all(content).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_for_gzip_gets_it() {
        for (field, takes) in [
            ("gzip, deflate, br", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, br", false),
            ("gzip;q=many", false),
            ("identity", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&HeaderValue::from_static(field)), takes, "{field:?}");
        }
    }

    #[test]
    fn texts_are_compressed_and_torrents_are_not() {
        for (kind, is) in [
            ("text/html; charset=utf-8", true),
            ("application/json", true),
            ("application/rss+xml; charset=utf-8", true),
            ("image/svg+xml", true),
            ("application/x-bittorrent", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(is_compressible(&HeaderValue::from_static(kind)), is, "{kind}");
        }
    }
}
