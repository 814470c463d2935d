//! Answers: header fields, the fixed files, and what is said when there is nothing to show.

use askama::Template;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::conditional::Version;
use crate::net::http::{self, Response};

/// The style sheet of all pages.
pub(super) const STYLE: &str = include_str!("../../templates/style.css");

/// The icon of all pages.
pub(super) const ICON: &str = include_str!("../../templates/icon.svg");

/// The script of all pages, which does nothing that can't be done without.
pub(super) const SCRIPT: &str = include_str!("../../templates/script.js");

/// Nothing but our own style sheet, script and icon is loaded, nobody else is asked or told anything, nobody frames the page.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What may stand unquoted in an extended parameter (RFC 8187, `attr-char`), as far as it is worth it.
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The page of an answer that is not what was asked for.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    /// What all paths begin with.
    base: &'static str,
    title: &'a str,
    sentence: &'a str,
}

/// A header value made of text that is known to fit.
pub(super) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Adds a header field.
pub(super) fn with(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// A short text that is made anew for every request.
pub(super) fn text(content_type: &'static str, text: impl Into<Bytes>) -> Response {
    let response = http::response(StatusCode::OK, content_type, text);
    with(guarded(response), CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// An HTML page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(mut html) => {
            // Names of files can hold control characters, HTML can't.
            html.retain(|char| char == '\n' || !char.is_control());
            let response = guarded(http::response(status, "text/html; charset=utf-8", html));
            let response = with(response, CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            with(response, CACHE_CONTROL, HeaderValue::from_static("no-cache"))
        }
        Err(error) => {
            tracing::error!("a page could not be made: {error}");
            http::response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "This page could not be made.\n")
        }
    }
}

/// A text that the client may keep as long as it asks whether it still holds.
pub(super) fn cacheable(content_type: &'static str, text: impl Into<Bytes>) -> Response {
    let response = guarded(http::response(StatusCode::OK, content_type, text));
    with(response, CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

/// 304, to be completed with the version.
pub(super) fn not_modified() -> Response {
    let mut response = Response::new(http::Body::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// Says which version the answer is of.
pub(super) fn versioned(response: Response, version: &Version) -> Response {
    let response = with(response, ETAG, value(&version.etag));
    match &version.modified {
        Some(date) => with(response, LAST_MODIFIED, value(date)),
        None => response,
    }
}

/// Browsers take the content type for what it is and tell other sites nothing of ours.
pub(super) fn guarded(response: Response) -> Response {
    let response = with(response, X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    with(response, REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
}

/// An error as a page with one sentence.
pub(super) fn error(status: StatusCode, sentence: &str) -> Response {
    page(status, &ErrorPage { base: "", title: status.canonical_reason().unwrap_or("Error"), sentence })
}

/// 404
pub(super) fn not_found() -> Response {
    error(
        StatusCode::NOT_FOUND,
        "There is nothing here. It may have been taken back, or the address is mistyped.",
    )
}

/// 400 for a `Host` that is none.
pub(super) fn bad_host() -> Response {
    error(StatusCode::BAD_REQUEST, "The request does not say in a proper way which host it is for.")
}

/// `Content-Disposition` for saving under `name` (RFC 6266): plain ASCII for clients that know no better, and the
/// real name for all others.
pub(super) fn attachment(name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|c| if (c.is_ascii_graphic() || c == ' ') && !"\"\\%/;".contains(c) { c } else { '_' })
        .collect();
    let extended = utf8_percent_encode(name, ATTRIBUTE);
    value(&format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_header_field() {
        for (name, expected) in [
            ("a b-1.iso", "attachment; filename=\"a b-1.iso\"; filename*=UTF-8''a%20b-1.iso"),
            ("\u{fc}.iso", "attachment; filename=\"_.iso\"; filename*=UTF-8''%C3%BC.iso"),
            (
                "a\"; x=\"\r\n/",
                "attachment; filename=\"a__ x=____\"; filename*=UTF-8''a%22%3B%20x%3D%22%0D%0A%2F",
            ),
        ] {
            assert_eq!(attachment(name), expected, "{name:?}");
        }
    }

    #[test]
    fn errors_are_pages_that_load_nothing_foreign() {
        let response = not_found();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("default-src 'none'"));
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
