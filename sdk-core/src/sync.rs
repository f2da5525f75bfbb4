//! Two small tools for work that several calls share: a single flight and an unfolded stream.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::runtime::{BoxFuture, Lock, MaybeSend, shared_waker};

/// At most one run of a piece of work at a time; whoever asks meanwhile shares its result.
///
/// No task is spawned: the callers that wait poll the work themselves, all of them are woken for it, and whoever comes
/// first goes on. So a caller that is cancelled, or that nobody polls, never holds up the others. When the last one
/// goes away the work is dropped, unless it is [kept](Joined::keep): then it stays until the next caller polls it.
pub(crate) struct SingleFlight<T> {
    current: Lock<Option<Arc<Flight<T>>>>,
}

struct Flight<T> {
    state: Lock<FlightState<T>>,
}

struct FlightState<T> {
    work: Option<BoxFuture<'static, T>>,
    result: Option<T>,
    /// Nobody may join any more: it has its result, was dropped, or panicked.
    over: bool,
    kept: bool,
    joined: usize,
    waiting: Vec<(u64, Waker)>,
    next_id: u64,
}

impl<T: Clone + MaybeSend + 'static> SingleFlight<T> {
    pub(crate) fn new() -> Self {
        SingleFlight { current: Lock::new(None) }
    }

    /// Joins the run that is under way, if one is.
    pub(crate) fn current(&self) -> Option<Joined<T>> {
        self.current.with(|slot| slot.as_ref().and_then(Joined::new))
    }

    /// Joins the run that is under way, or starts one.
    pub(crate) fn join_or_start(&self, start: impl FnOnce() -> BoxFuture<'static, T>) -> Joined<T> {
        self.current.with(|slot| {
            if let Some(joined) = slot.as_ref().and_then(Joined::new) {
                return joined;
            }
            let state = FlightState {
                work: Some(start()),
                result: None,
                over: false,
                kept: false,
                joined: 1,
                waiting: Vec::new(),
                next_id: 0,
            };
            let flight = Arc::new(Flight { state: Lock::new(state) });
            *slot = Some(flight.clone());
            Joined { flight, id: 0 }
        })
    }

    /// Forgets the run that is under way: it goes on for those who wait, later callers start anew.
    pub(crate) fn forget(&self) {
        let forgotten = self.current.with(Option::take);
        drop(forgotten);
    }
}

impl<T> Flight<T> {
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
    /// None where the run is over.
    fn new(flight: &Arc<Flight<T>>) -> Option<Self> {
        let id = flight.state.with(|s| {
            if s.over {
                return None;
            }
            s.joined += 1;
            s.next_id += 1;
            Some(s.next_id)
        })?;
        Some(Joined { flight: flight.clone(), id })
    }

    /// Lets the work stay in its place when nobody waits for it any more.
    pub(crate) fn keep(&self) {
        self.flight.state.with(|s| s.kept = true);
    }
}

/// Work that is being polled. It goes back to its place also where polling it panics: then those who wait are not left
/// in the dark but run into the panic as well, and later callers start anew.
struct Polled<'a, T> {
    flight: &'a Flight<T>,
    work: Option<BoxFuture<'static, T>>,
    returned: bool,
}

impl<T> Drop for Polled<'_, T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.flight.state.with(|s| {
                s.work = Some(work);
                s.over |= !self.returned;
            });
        }
    }
}

impl<T: Clone + MaybeSend + 'static> Future for Joined<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let (id, flight) = (self.id, &self.flight);
        // The work is polled outside the lock: it may wake, drop or start other callers.
        let mut polled = match flight.state.with(|s| {
            if let Some(result) = &s.result {
                return Err(Some(result.clone()));
            }
            match s.waiting.iter_mut().find(|(other, _)| *other == id) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => s.waiting.push((id, cx.waker().clone())),
            }
            s.work.take().ok_or(None)
        }) {
            Ok(work) => Polled { flight, work: Some(work), returned: false },
            Err(Some(result)) => return Poll::Ready(result),
            Err(None) => return Poll::Pending,
        };
        let Some(work) = polled.work.as_mut() else { return Poll::Pending };
        let weak = Arc::downgrade(flight);
        let waker = shared_waker(cx.waker(), move || {
            if let Some(flight) = weak.upgrade() {
                flight.wake_all();
            }
        });
        let outcome = work.as_mut().poll(&mut Context::from_waker(&waker));
        polled.returned = true;
        if let Poll::Ready(result) = &outcome {
            let work = polled.work.take();
            flight.state.with(|s| (s.result, s.over) = (Some(result.clone()), true));
            drop(work);
            flight.wake_all();
        }
        outcome
    }
}

impl<T> Drop for Joined<T> {
    fn drop(&mut self) {
        let abandoned = self.flight.state.with(|s| {
            s.waiting.retain(|(id, _)| *id != self.id);
            s.joined = s.joined.saturating_sub(1);
            if s.joined > 0 || s.kept {
                return None;
            }
            s.over = true;
            s.work.take()
        });
        // Dropped outside the lock: it may do anything.
        drop(abandoned);
        // On the web the work may hold this caller's waker: let the others poll it with theirs.
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
