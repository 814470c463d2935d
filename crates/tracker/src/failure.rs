use std::borrow::Cow;

use torrent::InfoHash;

/// Why a request gets no answer, in words for the person at the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// BEP 3 `failure reason`, BEP 15 error message.
    pub reason: Cow<'static, str>,
    /// Whether asking again can help; HTTP only, UDP has no place for it.
    pub retry: Retry,
}

/// When to ask again (BEP 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail forever.
    Never,
    /// After so many minutes.
    Minutes(u32),
}

/// The failure for a torrent that is not in the catalog. Deleted files may come back under the same info hash,
/// so clients are asked to look again.
pub const NOT_PUBLISHED: Failure =
    Failure { reason: Cow::Borrowed("this torrent is not published here"), retry: Retry::Minutes(5) };

/// The failure for a network that asks more often than anybody needs to (see [`prefix`](crate::prefix)).
pub const TOO_MANY: Failure =
    Failure { reason: Cow::Borrowed("too many requests from your network"), retry: Retry::Minutes(1) };

/// The failure for a torrent that was published and is not any more.
pub const RETIRED: Failure =
    Failure { reason: Cow::Borrowed("this torrent is no longer published here"), retry: Retry::Minutes(5) };

/// The failure for a torrent whose files have changed, before the new version is published.
pub const CHANGING: Failure = Failure {
    reason: Cow::Borrowed("the files of this torrent have changed; a new version is being made"),
    retry: Retry::Minutes(5),
};

/// The failure for who shows no member's passkey. Somebody who was removed by mistake may be a member again soon, so clients
/// are asked to look again.
pub const NOT_A_MEMBER: Failure = Failure {
    reason: Cow::Borrowed(
        "this tracker is for members: the torrent's tracker address has no passkey, or one that is not valid (any more); \
         get the torrent again from the box's page",
    ),
    retry: Retry::Minutes(30),
};

impl Failure {
    /// For a torrent whose files have changed. `successor` is what the new version is called, by name and info hash,
    /// and `url` where its `.torrent` is, as far as these may be told.
    pub fn replaced(successor: Option<(&str, InfoHash)>, url: Option<&str>) -> Self {
        let named = successor.map(|(name, info_hash)| format!(": {name:?}, info hash {info_hash}"));
        let place = url.map_or_else(|| "the page that this one is from".to_owned(), str::to_owned);
        let named = named.unwrap_or_default();
        let reason =
            format!("this torrent was replaced by a new version{named}; get its .torrent from {place}");
        // The old files may come back, but hardly soon.
        Self { reason: reason.into(), retry: Retry::Minutes(60) }
    }

    /// The client made a mistake; it would make it again.
    pub(crate) fn malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), retry: Retry::Never }
    }
}
