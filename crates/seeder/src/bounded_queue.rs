//! Requests that wait for the driver, of which a peer can make only so many.

use std::collections::VecDeque;

/// A queue that is bounded twice: in what waits, and in what is taken on over the life of the connection.
#[derive(Debug)]
pub(crate) struct BoundedQueue<T> {
    waiting: VecDeque<T>,
    max_waiting: usize,
    /// How many will still be taken on.
    left: usize,
}

impl<T> BoundedQueue<T> {
    /// An empty queue, in which at most `max_waiting` wait at a time and `total` in all.
    pub(crate) fn new(max_waiting: usize, total: usize) -> Self {
        Self { waiting: VecDeque::new(), max_waiting, left: total }
    }

    /// Queues a request; `false` when there are too many.
    pub(crate) fn push(&mut self, request: T) -> bool {
        let accept = self.waiting.len() < self.max_waiting && self.left > 0;
        if accept {
            self.left -= 1;
            self.waiting.push_back(request);
        }
        accept
    }

    /// The request that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.waiting.pop_front()
    }

    /// Forgets all requests.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold() {
        let mut queue = BoundedQueue::new(2, 3);
        assert!(queue.push(1) && queue.push(2) && !queue.push(3));
        assert_eq!(queue.pop(), Some(1));
        assert!(queue.push(4) && !queue.push(5));
        queue.clear();
        assert!(queue.is_empty() && !queue.push(6));
        assert_eq!(queue.pop(), None);
    }
}
