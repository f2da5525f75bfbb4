//! What waits for a consumer.

use alloc::{collections::VecDeque, string::String, sync::Arc};
use core::task::{Context, Poll, Waker};

use super::event::{EventAction, Origin, ResyncReason};
use crate::{error::Error, json::Json, runtime::Lock};

/// One delivery.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Record {
        action: EventAction,
        id: String,
        origin: Origin,
        topic: Arc<str>,
        json: Json,
    },
    Message {
        topic: Arc<str>,
        data: Json,
    },
    Resync(ResyncReason),
    /// For live queries: what they show may be old.
    Stale,
    /// So many of the oldest were dropped.
    Lagged(u64),
    Error(Error),
}

/// Where a listener stands.
#[derive(Debug, Clone)]
enum Status {
    Waiting,
    Established,
    /// Nothing comes any more; the error is told once.
    Ended(Option<Error>),
}

/// The queue of one listener, bounded.
pub(crate) struct Queue {
    state: Lock<State>,
}

struct State {
    items: VecDeque<Item>,
    max: usize,
    missed: u64,
    status: Status,
    waker: Option<Waker>,
}

impl Queue {
    pub(crate) fn new(max: u32) -> Queue {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let state = State { items: VecDeque::new(), max, missed: 0, status: Status::Waiting, waker: None };
        Queue { state: Lock::new(state) }
    }

    /// Adds an item; where there is no room the oldest goes. Answers whom to wake.
    pub(crate) fn push(&self, item: Item) -> Option<Waker> {
        self.state.with(|s| {
            if matches!(s.status, Status::Ended(_)) {
                return None;
            }
            if s.items.len() >= s.max {
                s.items.pop_front();
                s.missed += 1;
            }
            s.items.push_back(item);
            s.waker.take()
        })
    }

    /// The server has acknowledged the topic.
    pub(crate) fn establish(&self) -> Option<Waker> {
        self.state.with(|s| {
            if matches!(s.status, Status::Waiting) {
                s.status = Status::Established;
            }
            s.waker.take()
        })
    }

    /// Ends it. What waits is still read after an error, and nothing after an unsubscribe.
    pub(crate) fn end(&self, error: Option<Error>) -> Option<Waker> {
        self.state.with(|s| {
            if matches!(s.status, Status::Ended(_)) {
                return None;
            }
            if error.is_none() {
                (s.items, s.missed) = (VecDeque::new(), 0);
            }
            s.status = Status::Ended(error);
            s.waker.take()
        })
    }

    /// Ready when the server has acknowledged the topic, or refused it.
    pub(crate) fn poll_established(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.state.with(|s| match &mut s.status {
            Status::Established => Poll::Ready(Ok(())),
            Status::Ended(error) => Poll::Ready(Err(error.take().unwrap_or_else(ended))),
            Status::Waiting => {
                s.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.state.with(|s| {
            if s.missed > 0 {
                return Poll::Ready(Some(Item::Lagged(core::mem::take(&mut s.missed))));
            }
            if let Some(item) = s.items.pop_front() {
                return Poll::Ready(Some(item));
            }
            if let Status::Ended(error) = &mut s.status {
                return Poll::Ready(error.take().map(Item::Error));
            }
            s.waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

fn ended() -> Error {
    Error::new(crate::error::ErrorKind::Cancelled, "it was unsubscribed before the server had acknowledged it")
}
