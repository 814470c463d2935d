use std::borrow::Cow;

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
    /// The client made a mistake; it would make it again.
    pub(crate) fn malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), retry: Retry::Never }
    }
}
