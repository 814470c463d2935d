//! Which connections wait for a request. Where all places are taken, the one that has waited longest gives way to who
//! comes: however many are opened to ask for nothing, or for something a byte at a time, nobody is kept out.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::body::{Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio_util::sync::CancellationToken;

use super::lock;

/// All that wait, by the turns in which they began to.
#[derive(Debug, Default)]
pub struct Queue(Mutex<Turns>);

#[derive(Debug, Default)]
struct Turns {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Queue {
    /// Has the one that has waited longest give way, if any waits.
    pub fn make_room(&self) {
        if let Some((_, dismissed)) = lock(&self.0).waiting.pop_first() {
            dismissed.cancel();
        }
    }

    fn enter(&self, dismissed: CancellationToken) -> u64 {
        let mut turns = lock(&self.0);
        turns.next += 1;
        let turn = turns.next;
        turns.waiting.insert(turn, dismissed);
        turn
    }

    fn leave(&self, turn: u64) {
        lock(&self.0).waiting.remove(&turn);
    }
}

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A request has not come, or not all of its head. With its turn.
    Waiting(u64),
    /// It is being answered.
    Answering,
    /// The answer is complete, but may not have been sent to its end.
    Sending,
}

/// A connection, from request to request.
#[derive(Debug)]
pub struct Conversation {
    queue: Arc<Queue>,
    stage: Mutex<Stage>,
    dismissed: CancellationToken,
}

impl Conversation {
    /// A connection that nothing has come over yet.
    pub fn new(queue: Arc<Queue>) -> Arc<Self> {
        let dismissed = CancellationToken::new();
        let stage = Mutex::new(Stage::Waiting(queue.enter(dismissed.clone())));
        Arc::new(Self { queue, stage, dismissed })
    }

    /// Returns when it has to give way.
    pub async fn dismissed(&self) {
        self.dismissed.cancelled().await;
    }

    /// A request has come; it is being answered until what this returns is dropped.
    pub fn answering(self: &Arc<Self>) -> Answering {
        self.enter(Stage::Answering);
        Answering(Arc::clone(self))
    }

    fn enter(&self, stage: Stage) {
        if let Stage::Waiting(turn) = std::mem::replace(&mut *lock(&self.stage), stage) {
            self.queue.leave(turn);
        }
    }

    /// Everything that was to be sent has been.
    fn has_sent(&self) {
        let mut stage = lock(&self.stage);
        if *stage == Stage::Sending {
            *stage = Stage::Waiting(self.queue.enter(self.dismissed.clone()));
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.enter(Stage::Sending);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Answering(Arc<Conversation>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.enter(Stage::Sending);
    }
}

/// The content of an answer, which is complete when it is dropped.
#[derive(Debug)]
pub struct Content<B> {
    body: B,
    _answering: Answering,
}

impl<B> Content<B> {
    /// The answer to that request.
    pub fn new(body: B, answering: Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl<B: hyper::body::Body + Unpin> hyper::body::Body for Content<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The stream under a connection. It is flushed whenever all that there is to be sent has been.
#[derive(Debug)]
pub struct Stream<S> {
    stream: S,
    conversation: Arc<Conversation>,
}

impl<S> Stream<S> {
    /// The stream of this connection.
    pub fn new(stream: S, conversation: &Arc<Conversation>) -> Self {
        Self { stream, conversation: Arc::clone(conversation) }
    }
}

impl<S: Read + Unpin> Read for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: Write + Unpin> Write for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conversation.has_sent();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_waited_longest_gives_way_and_who_is_being_answered_does_not() {
        let queue = Arc::new(Queue::default());
        let [first, second, third] = [(); 3].map(|()| Conversation::new(Arc::clone(&queue)));
        let left = |all: [&Arc<Conversation>; 3]| all.map(|it| it.dismissed.is_cancelled());
        let answering = first.answering();
        queue.make_room();
        assert_eq!(left([&first, &second, &third]), [false, true, false]);
        drop(answering);
        // Some of the answer is still to be sent, and a third request comes meanwhile.
        drop(third.answering());
        third.has_sent();
        queue.make_room();
        queue.make_room();
        assert_eq!(left([&first, &second, &third]), [false, true, true]);
        first.has_sent();
        queue.make_room();
        assert_eq!(left([&first, &second, &third]), [true; 3]);
    }

    #[test]
    fn who_has_left_is_not_waited_for() {
        let queue = Arc::new(Queue::default());
        drop(Conversation::new(Arc::clone(&queue)));
        let other = Conversation::new(Arc::clone(&queue));
        queue.make_room();
        assert!(other.dismissed.is_cancelled());
    }
}
