//! Conditional requests (RFC 9110, section 13): whether the client has it already, and whether its part still fits.

use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE};

/// What tells one version of a resource from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// Strong entity tag, with its quotes.
    pub(super) etag: String,
    /// `Last-Modified`, where there is such a time.
    pub(super) modified: Option<String>,
}

impl Version {
    /// The version of a text made for this answer. The tag only has to differ where the text does, also by accident
    /// and not against somebody's will, so 64 bits of any good hash do.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(text);
        Self { etag: format!("\"{:016x}\"", hasher.finish()), modified: None }
    }

    /// Whether the client has this version: the answer is 304 then.
    pub(super) fn is_had(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            return tags.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(',')).any(
                |tag| {
                    let tag = tag.trim();
                    tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag
                },
            );
        }
        let since = text(headers, &IF_MODIFIED_SINCE).and_then(|field| httpdate::parse_http_date(field).ok());
        let modified = self.modified.as_deref().and_then(|date| httpdate::parse_http_date(date).ok());
        matches!((modified, since), (Some(modified), Some(since)) if modified <= since)
    }

    /// Whether a part may be sent: there is no `If-Range`, or it names this very version.
    pub(super) fn fits_part(&self, headers: &HeaderMap) -> bool {
        match headers.get(IF_RANGE).map(|field| field.to_str()) {
            None => true,
            Some(Ok(field)) => field == self.etag || Some(field) == self.modified.as_deref(),
            Some(Err(_)) => false,
        }
    }
}

/// An HTTP date; times before 1970, which it can't express, become the first that it can.
pub(super) fn http_date(nanoseconds_since_1970: i64) -> String {
    let seconds = u64::try_from(nanoseconds_since_1970 / 1_000_000_000).unwrap_or(0);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn version() -> Version {
        Version { etag: "\"a\"".into(), modified: Some(DATE.into()) }
    }

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_client_has_it_when_tag_or_date_says_so() {
        for (fields, had) in [
            (&[][..], false),
            (&[(IF_NONE_MATCH, "\"a\"")], true),
            (&[(IF_NONE_MATCH, "\"b\", W/\"a\"")], true),
            (&[(IF_NONE_MATCH, "*")], true),
            (&[(IF_NONE_MATCH, "\"b\"")], false),
            (&[(IF_NONE_MATCH, "a")], false),
            (&[(IF_MODIFIED_SINCE, DATE)], true),
            (&[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:38 GMT")], true),
            (&[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")], false),
            (&[(IF_MODIFIED_SINCE, "yesterday")], false),
            // The tag decides when both are there.
            (&[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, DATE)], false),
        ] {
            assert_eq!(version().is_had(&headers(fields)), had, "{fields:?}");
        }
    }

    #[test]
    fn a_part_is_sent_only_of_the_version_that_the_client_has() {
        for (fields, fits) in [
            (&[][..], true),
            (&[(IF_RANGE, "\"a\"")], true),
            (&[(IF_RANGE, DATE)], true),
            (&[(IF_RANGE, "W/\"a\"")], false),
            (&[(IF_RANGE, "\"b\"")], false),
            (&[(IF_RANGE, "Sun, 06 Nov 1994 08:49:38 GMT")], false),
        ] {
            assert_eq!(version().fits_part(&headers(fields)), fits, "{fields:?}");
        }
    }

    #[test]
    fn dates_stay_in_range() {
        for (nanoseconds, date) in [
            (784_111_777_999_999_999, DATE),
            (-1, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (i64::MIN, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (i64::MAX, "Fri, 11 Apr 2262 23:47:16 GMT"),
        ] {
            assert_eq!(http_date(nanoseconds), date);
        }
    }
}
