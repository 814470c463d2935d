//! Conversations as tables.

use seeder::{Close, Event, Message, Range, Reserved, Torrent};

use crate::support::{Connection, bytes, lengths};

/// A line of a script.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Line<'a> {
    /// The peer sends a message.
    Peer(Message<'a>),
    /// The session answers with a message that is not a block.
    Says(Message<'a>),
    /// The session hands out a block.
    Gives(Range),
    /// The driver has written the block.
    Sent(Range),
    /// The driver is told.
    Tells(Event),
    /// The choker decides.
    Choke(bool),
    /// These pieces are damaged, and no others.
    Withhold(&'a [u32]),
    /// Neither message nor block nor event is waiting.
    Quiet,
    /// What the peer sends closes the connection.
    Closes(Message<'a>, Close),
}

/// Goes through a script with a session over which all that comes first has been said.
#[track_caller]
pub(crate) fn check(reserved: Reserved, torrent: Torrent, script: &[Line]) {
    let mut connection = Connection::greeted(reserved, torrent);
    for (number, line) in script.iter().enumerate() {
        let place = format!("line {number}, {line:?}");
        match *line {
            Line::Peer(message) => connection.send(message).expect(&place),
            Line::Says(message) => assert_eq!(connection.said(), Some(bytes(&[message])), "{place}"),
            Line::Gives(range) => {
                let block = connection.session.poll_block(connection.now);
                assert_eq!(block.map(Range::from), Some(range), "{place}");
            }
            Line::Sent(Range { index, begin, length }) => {
                let block = lengths().block(index, begin, length).unwrap();
                connection.session.block_sent(connection.now, block);
            }
            Line::Tells(event) => assert_eq!(connection.session.poll_event(), Some(event), "{place}"),
            Line::Choke(choked) => connection.session.set_choked(connection.now, choked).expect(&place),
            Line::Withhold(pieces) => connection.withhold(pieces).expect(&place),
            Line::Quiet => {
                assert_eq!(connection.said(), None, "{place}");
                assert_eq!(connection.session.poll_transmit(connection.now), None, "{place}");
                assert_eq!(connection.session.poll_event(), None, "{place}");
            }
            Line::Closes(message, close) => assert_eq!(connection.send(message), Err(close), "{place}"),
        }
    }
}
