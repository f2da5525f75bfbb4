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
    current: Lock<Option<Shared<T>>>,
}

/// A run and the place of its result. The run itself knows nothing of `T`, so it is compiled once.
struct Shared<T> {
    flight: Arc<Flight>,
    result: Arc<Lock<Option<T>>>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared { flight: self.flight.clone(), result: self.result.clone() }
    }
}

struct Flight {
    state: Lock<FlightState>,
}

#[derive(Default)]
struct FlightState {
    work: Option<BoxFuture<'static, ()>>,
    done: bool,
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
            let result = Arc::new(Lock::new(None));
            let (work, place) = (start(), result.clone());
            let work = Box::pin(async move {
                let result = work.await;
                place.with(|place| *place = Some(result));
            });
            let shared = Shared { flight: Flight::new(work), result };
            *slot = Some(shared.clone());
            Joined { shared, id: 0 }
        })
    }

    /// Forgets the run that is under way: it goes on for those who wait, later callers start anew.
    pub(crate) fn forget(&self) {
        let forgotten = self.current.with(Option::take);
        drop(forgotten);
    }
}

impl Flight {
    fn new(work: BoxFuture<'static, ()>) -> Arc<Flight> {
        let state = FlightState { work: Some(work), joined: 1, ..FlightState::default() };
        Arc::new(Flight { state: Lock::new(state) })
    }

    /// A number for one more caller; none where the run is over.
    fn join(&self) -> Option<u64> {
        self.state.with(|s| {
            if s.over {
                return None;
            }
            s.joined += 1;
            s.next_id += 1;
            Some(s.next_id)
        })
    }

    fn wake_all(&self) {
        let waiting = self.state.with(|s| mem::take(&mut s.waiting));
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// Polls the work for one caller. Ready when the result is there.
    fn poll(self: &Arc<Self>, id: u64, cx: &mut Context<'_>) -> Poll<()> {
        // The work is polled outside the lock: it may wake, drop or start other callers.
        let (done, work) = self.state.with(|s| {
            if s.done {
                return (true, None);
            }
            match s.waiting.iter_mut().find(|(other, _)| *other == id) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => s.waiting.push((id, cx.waker().clone())),
            }
            (false, s.work.take())
        });
        let mut polled = Polled { flight: self, work, returned: false };
        let Some(work) = polled.work.as_mut() else { return if done { Poll::Ready(()) } else { Poll::Pending } };
        let weak = Arc::downgrade(self);
        let waker = shared_waker(cx.waker(), move || {
            if let Some(flight) = weak.upgrade() {
                flight.wake_all();
            }
        });
        let outcome = work.as_mut().poll(&mut Context::from_waker(&waker));
        polled.returned = true;
        if outcome.is_ready() {
            let work = polled.work.take();
            self.state.with(|s| (s.done, s.over) = (true, true));
            drop(work);
            self.wake_all();
        }
        outcome
    }

    fn leave(&self, id: u64) {
        let abandoned = self.state.with(|s| {
            s.waiting.retain(|(other, _)| *other != id);
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
        self.wake_all();
    }
}

/// One caller's share of a [`SingleFlight`] run.
pub(crate) struct Joined<T> {
    shared: Shared<T>,
    id: u64,
}

impl<T> Joined<T> {
    /// None where the run is over.
    fn new(shared: &Shared<T>) -> Option<Self> {
        let id = shared.flight.join()?;
        Some(Joined { shared: shared.clone(), id })
    }

    /// Lets the work stay in its place when nobody waits for it any more.
    pub(crate) fn keep(&self) {
        self.shared.flight.state.with(|s| s.kept = true);
    }
}

/// Work that is being polled. It goes back to its place also where polling it panics: then those who wait are not left
/// in the dark but run into the panic as well, and later callers start anew.
struct Polled<'a> {
    flight: &'a Flight,
    work: Option<BoxFuture<'static, ()>>,
    returned: bool,
}

impl Drop for Polled<'_> {
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
        if self.shared.flight.poll(self.id, cx).is_pending() {
            return Poll::Pending;
        }
        // The result is there: the run is done when it has been put there.
        self.shared.result.with(|result| result.clone()).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Drop for Joined<T> {
    fn drop(&mut self) {
        self.shared.flight.leave(self.id);
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

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use proptest::prelude::*;

    use super::*;

    struct Flag(AtomicBool);

    impl alloc::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// Work that others move on: done when the counter is at zero.
    #[derive(Clone, Default)]
    struct Work {
        left: Arc<AtomicUsize>,
        waker: Arc<std::sync::Mutex<Option<Waker>>>,
        alive: Arc<AtomicUsize>,
        started: Arc<AtomicUsize>,
    }

    struct Alive(Arc<AtomicUsize>);

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Work {
        fn start(&self) -> BoxFuture<'static, usize> {
            let (work, number) = (self.clone(), self.started.fetch_add(1, Ordering::SeqCst));
            self.alive.fetch_add(1, Ordering::SeqCst);
            let alive = Alive(self.alive.clone());
            Box::pin(async move {
                core::future::poll_fn(|cx| {
                    work.set(cx.waker());
                    if work.left.load(Ordering::SeqCst) == 0 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                drop(alive);
                number
            })
        }

        fn set(&self, waker: &Waker) {
            if let Ok(mut slot) = self.waker.lock() {
                *slot = Some(waker.clone());
            }
        }

        /// One step, told to whoever polled last.
        fn step(&self) {
            let _ = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if let Some(waker) = self.waker.lock().ok().and_then(|mut slot| slot.take()) {
                waker.wake();
            }
        }
    }

    /// A caller that is polled only when it was woken.
    struct Caller {
        joined: Joined<usize>,
        flag: Arc<Flag>,
        silent: bool,
    }

    impl Caller {
        fn new(joined: Joined<usize>) -> Caller {
            Caller { joined, flag: Arc::new(Flag(AtomicBool::new(true))), silent: false }
        }

        fn run(&mut self) -> Option<usize> {
            if self.silent || !self.flag.0.swap(false, Ordering::SeqCst) {
                return None;
            }
            let waker = Waker::from(self.flag.clone());
            match Pin::new(&mut self.joined).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(number) => Some(number),
                Poll::Pending => None,
            }
        }
    }

    fn settle(callers: &mut Vec<Caller>) {
        for _ in 0..3 {
            callers.retain_mut(|caller| caller.run().is_none());
        }
    }

    proptest! {
        #[test]
        fn nobody_waits_for_ever(history in prop::collection::vec((0u8..6, any::<u8>()), 1..60), steps in 1usize..6) {
            let (flight, work) = (SingleFlight::new(), Work::default());
            work.left.store(steps, Ordering::SeqCst);
            let mut callers = Vec::new();
            for (op, who) in history {
                match op {
                    0 | 1 => callers.push(Caller::new(flight.join_or_start(|| work.start()))),
                    2 if !callers.is_empty() => drop(callers.swap_remove(usize::from(who) % callers.len())),
                    3 => work.step(),
                    4 => callers.iter_mut().for_each(|c| c.silent = who % 2 == 0),
                    _ => {
                        let at = usize::from(who).checked_rem(callers.len()).unwrap_or(0);
                        callers.get_mut(at).into_iter().for_each(|caller| caller.silent = !caller.silent);
                    }
                }
                settle(&mut callers);
                prop_assert!(work.alive.load(Ordering::SeqCst) <= 1, "one run at a time");
                prop_assert!(!callers.is_empty() || work.alive.load(Ordering::SeqCst) == 0, "nobody waits for it");
                let awake = callers.iter().any(|caller| !caller.silent);
                prop_assert!(!awake || work.left.load(Ordering::SeqCst) > 0, "it is done, and the callers know");
            }
            callers.iter_mut().for_each(|caller| caller.silent = false);
            (0..steps).for_each(|_| work.step());
            settle(&mut callers);
            prop_assert!(callers.is_empty());
        }
    }

    #[test]
    fn work_ends_with_its_last_caller_unless_it_is_kept() {
        let (flight, work) = (SingleFlight::new(), Work::default());
        work.left.store(1, Ordering::SeqCst);
        let mut first = Caller::new(flight.join_or_start(|| work.start()));
        assert_eq!(first.run(), None);
        drop(first);
        assert_eq!(work.alive.load(Ordering::SeqCst), 0);
        assert!(flight.current().is_none());
        let mut second = Caller::new(flight.join_or_start(|| work.start()));
        assert_eq!(second.run(), None);
        second.joined.keep();
        drop(second);
        work.step();
        let mut third = Caller::new(flight.join_or_start(|| work.start()));
        assert_eq!((third.run(), work.started.load(Ordering::SeqCst)), (Some(1), 2), "the second run went on");
    }

    #[test]
    fn a_panic_leaves_nobody_waiting() {
        let flight: SingleFlight<usize> = SingleFlight::new();
        let broken = || -> BoxFuture<'static, usize> {
            Box::pin(async {
                yield_now().await;
                std::panic::panic_any("broken")
            })
        };
        let mut callers = [Caller::new(flight.join_or_start(broken)), Caller::new(flight.join_or_start(broken))];
        let mut ends = Vec::new();
        for at in [0, 1, 0] {
            let Some(caller) = callers.get_mut(at) else { continue };
            caller.flag.0.store(true, Ordering::SeqCst);
            ends.push(catch_unwind(AssertUnwindSafe(|| caller.run())).map_err(drop));
        }
        assert_eq!(ends, [Ok(None), Err(()), Err(())], "who waits runs into it as well");
        let mut next = Caller::new(flight.join_or_start(|| Box::pin(async { 7 })));
        assert_eq!(next.run(), Some(7));
    }
}
