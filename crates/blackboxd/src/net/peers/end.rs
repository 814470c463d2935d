//! Why a connection ended.

use std::io;

use seeder::{Close, mse};
use torrent::InfoHash;

use crate::storage::ServeError;

/// Why a connection ended, or came to nothing. As text it is a clause for a log line.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the peer closed the connection")]
    Hangup,
    #[error("the peer does not answer")]
    Unreachable,
    #[error("as many are connected from this address as may be")]
    TooMany,
    #[error("the peer has another connection")]
    Twice,
    #[error("{0} is not published here")]
    Unknown(InfoHash),
    #[error("no member has announced {0} there")]
    NotAdmitted(InfoHash),
    #[error("the item is no longer served")]
    Offline,
    #[error(transparent)]
    Protocol(#[from] Close),
    #[error(transparent)]
    Encryption(#[from] mse::Error),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Utp(#[from] librqbit_utp::Error),
}
