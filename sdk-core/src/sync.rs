//! Two small tools for work that several calls share: a single flight and an unfolded stream.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::runtime::{BoxFuture, Lock, MaybeSend};

/// At most one run of a piece of work at a time; whoever asks meanwhile shares its result.
///
/// No task is spawned: the callers that wait poll the work themselves. When the caller that polled it last goes away,
/// the others are woken and one of them goes on, so a cancelled caller never cancels the work of the others. Work that
/// nobody waits for stays in place until the next caller polls it.
pub(crate) struct SingleFlight<T> {
    current: Lock<Option<Arc<Flight<T>>>>,
}

struct Flight<T> {
    state: Lock<FlightState<T>>,
}

struct FlightState<T> {
    work: Option<BoxFuture<'static, T>>,
    result: Option<T>,
    waiting: Vec<(u64, Waker)>,
    next_id: u64,
}

impl<T: Clone + MaybeSend + 'static> SingleFlight<T> {
    pub(crate) fn new() -> Self {
        SingleFlight { current: Lock::new(None) }
    }

    /// Joins the run that is under way, if one is.
    pub(crate) fn current(&self) -> Option<Joined<T>> {
        self.current.with(|slot| match slot {
            Some(flight) if !flight.finished() => Some(Joined::new(flight.clone())),
            _ => None,
        })
    }

    /// Joins the run that is under way, or starts one.
    pub(crate) fn join_or_start(&self, start: impl FnOnce() -> BoxFuture<'static, T>) -> Joined<T> {
        self.current.with(|slot| {
            if let Some(flight) = slot
                && !flight.finished()
            {
                return Joined::new(flight.clone());
            }
            let state = FlightState { work: Some(start()), result: None, waiting: Vec::new(), next_id: 0 };
            let flight = Arc::new(Flight { state: Lock::new(state) });
            *slot = Some(flight.clone());
            Joined::new(flight)
        })
    }

    /// Forgets the run that is under way: it goes on for those who wait, later callers start anew.
    pub(crate) fn forget(&self) {
        self.current.with(|slot| *slot = None);
    }
}

impl<T> Flight<T> {
    fn finished(&self) -> bool {
        self.state.with(|s| s.result.is_some())
    }

    fn wake_all(&self) {
        let waiting = self.state.with(|s| mem::take(&mut s.waiting));
        for (_, waker) in waiting {
            waker.wake();
        }
    }
}

/// One caller's share of a [`SingleFlight`] run.
pub(crate) struct Joined<T> {
    flight: Arc<Flight<T>>,
    id: u64,
}

impl<T> Joined<T> {
    fn new(flight: Arc<Flight<T>>) -> Self {
        let id = flight.state.with(|s| {
            s.next_id = s.next_id.wrapping_add(1);
            s.next_id
        });
        Joined { flight, id }
    }
}

impl<T: Clone> Future for Joined<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let id = self.id;
        // The work is polled outside the lock: it may wake, drop or start other callers.
        let mut work = match self.flight.state.with(|s| {
            if let Some(result) = &s.result {
                return Err(Some(result.clone()));
            }
            match s.waiting.iter_mut().find(|(other, _)| *other == id) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => s.waiting.push((id, cx.waker().clone())),
            }
            s.work.take().ok_or(None)
        }) {
            Ok(work) => work,
            Err(Some(result)) => return Poll::Ready(result),
            Err(None) => return Poll::Pending,
        };
        match work.as_mut().poll(cx) {
            Poll::Pending => {
                self.flight.state.with(|s| s.work = Some(work));
                Poll::Pending
            }
            Poll::Ready(result) => {
                self.flight.state.with(|s| s.result = Some(result.clone()));
                self.flight.wake_all();
                Poll::Ready(result)
            }
        }
    }
}

impl<T> Drop for Joined<T> {
    fn drop(&mut self) {
        // The work may hold this caller's waker: let the others poll it with theirs.
        self.flight.state.with(|s| s.waiting.retain(|(id, _)| *id != self.id));
        self.flight.wake_all();
    }
}

/// What a step of an [`Unfold`] gives: the next item, if any, and the state to go on with, if it should.
pub(crate) type Step<S, T> = BoxFuture<'static, (Option<T>, Option<S>)>;

/// A stream that is made by calling `step` on a state until it gives no item.
pub(crate) struct Unfold<S, T> {
    idle: Option<S>,
    running: Option<Step<S, T>>,
    step: fn(S) -> Step<S, T>,
}

// The future is boxed and the state is moved, never pinned.
impl<S, T> Unpin for Unfold<S, T> {}

/// See [`Unfold`].
pub(crate) fn unfold<S, T>(state: S, step: fn(S) -> Step<S, T>) -> Unfold<S, T> {
    Unfold { idle: Some(state), running: None, step }
}

impl<S, T> Stream for Unfold<S, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            let step = self.step;
            if let Some(state) = self.idle.take() {
                self.running = Some(step(state));
            }
            let Some(running) = self.running.as_mut() else { return Poll::Ready(None) };
            let (item, state) = match running.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(done) => done,
            };
            self.running = None;
            self.idle = state;
            if item.is_some() || self.idle.is_none() {
                return Poll::Ready(item);
            }
        }
    }
}

/// Collects a future in a box; saves a type annotation at each call.
pub(crate) fn boxed<'a, T>(future: impl Future<Output = T> + MaybeSend + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}

/// Lets other tasks of this thread run once.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    core::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
