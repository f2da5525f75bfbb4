//! The cold-start gate: while an instance wakes up, one call at a time asks for it and all others wait.
//!
//! A paused instance answers 503 or refuses connections. The first such answer closes the gate. Of the calls that wait,
//! the oldest one that can be sent again becomes the probe; it waits for the delay and goes. If the instance still
//! sleeps it queues again, if it is cancelled the next takes over, and any other answer opens the gate for all.
//!
//! A future that nobody polls any more, while its owner keeps it, can neither ask nor say so. So the calls that wait look
//! after each other: where nothing has happened for [`PATIENCE`] though it should have, one that is awake takes the turn.
//!
//! The gate holds no clock and does no I/O: callers say what time it is and sleep themselves.

use alloc::{sync::Arc, vec::Vec};
use core::{
    future::{Future, poll_fn},
    task::{Poll, Waker},
    time::Duration,
};

use crate::{
    retry::backoff,
    runtime::{Listener, Lock},
};

/// How long a call whose turn it is may be late.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an app may want to show while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceState {
    /// The instance is waking up; calls wait for it.
    Starting,
    /// The instance answers.
    Ready,
    /// The instance did not wake up within `cold_start_timeout`.
    Unreachable,
}

/// One per client and its `with_session` family.
pub(crate) struct Gate {
    state: Lock<State>,
    listeners: Lock<Vec<Listener<InstanceState>>>,
}

struct State {
    /// Counts openings and closings: an answer to a request that was sent before the last one says nothing new.
    epoch: u64,
    next_ticket: u64,
    next_turn: u64,
    closed: Option<Closed>,
    told: InstanceState,
}

struct Closed {
    failures: u32,
    next_try: Duration,
    turn: Option<Turn>,
    /// Counts what happened: where it stands still for too long, a call is silent.
    step: u64,
    waiting: Vec<Waiting>,
}

/// The turn of one probe.
struct Turn {
    id: u64,
    /// Until when its request may take, once it was sent.
    asks_until: Option<Duration>,
    waker: Option<Waker>,
}

struct Waiting {
    ticket: u64,
    can_probe: bool,
    /// It was its turn and it did not come: it is passed over until it is polled again.
    silent: bool,
    waker: Waker,
}

/// How a call passes the gate.
pub(crate) enum Pass {
    /// Go ahead.
    Open { epoch: u64 },
    /// The instance sleeps and it is this call's turn to ask, at the probe's time.
    Probe(Probe),
}

impl Gate {
    pub(crate) fn new() -> Arc<Gate> {
        let state = State { epoch: 0, next_ticket: 0, next_turn: 0, closed: None, told: InstanceState::Ready };
        Arc::new(Gate { state: Lock::new(state), listeners: Lock::new(Vec::new()) })
    }

    pub(crate) fn add_listener(&self, listener: Listener<InstanceState>) {
        self.listeners.with(|listeners| listeners.push(listener));
    }

    /// A place in the order of calls.
    pub(crate) fn ticket(&self) -> u64 {
        self.state.with(|s| {
            s.next_ticket += 1;
            s.next_ticket
        })
    }

    /// The leave to go ahead, if the gate is open.
    pub(crate) fn open_pass(&self) -> Option<Pass> {
        self.state.with(|s| s.closed.is_none().then_some(Pass::Open { epoch: s.epoch }))
    }

    /// Waits until the gate is open or the caller becomes the probe. `can_probe`: its body can be sent again; calls
    /// that cannot are asked last, and ask by other means than their body.
    pub(crate) fn pass(self: &Arc<Self>, ticket: u64, can_probe: bool) -> impl Future<Output = Pass> + use<> {
        let place = Place { gate: self.clone(), ticket };
        poll_fn(move |cx| place.gate.poll_pass(place.ticket, can_probe, cx.waker()))
    }

    fn poll_pass(self: &Arc<Self>, ticket: u64, can_probe: bool, waker: &Waker) -> Poll<Pass> {
        self.state.with(|s| {
            let epoch = s.epoch;
            let Some(closed) = &mut s.closed else { return Poll::Ready(Pass::Open { epoch }) };
            match closed.waiting.iter_mut().find(|w| w.ticket == ticket) {
                Some(waiting) => {
                    waiting.silent = false;
                    waiting.waker.clone_from(waker);
                }
                None => closed.waiting.push(Waiting { ticket, can_probe, silent: false, waker: waker.clone() }),
            }
            if closed.turn.is_some() || closed.candidate() != Some(ticket) {
                return Poll::Pending;
            }
            closed.step += 1;
            closed.waiting.retain(|w| w.ticket != ticket);
            s.next_turn += 1;
            let id = s.next_turn;
            closed.turn = Some(Turn { id, asks_until: None, waker: None });
            Poll::Ready(Pass::Probe(Probe { gate: self.clone(), id, epoch, at: closed.next_try, settled: false }))
        })
    }

    /// How long a call that waits should be patient, and the step that it sees now, for [`overdue`](Self::overdue).
    pub(crate) fn patience(&self, now: Duration) -> (u64, Duration) {
        self.state.with(|s| {
            let Some(closed) = &s.closed else { return (0, PATIENCE) };
            let due = match &closed.turn {
                None => now,
                Some(turn) => turn.asks_until.unwrap_or(closed.next_try),
            };
            (closed.step, due.saturating_sub(now).saturating_add(PATIENCE))
        })
    }

    /// Patience is over. Where nothing has happened since that step, whose turn it is does not come: it loses the turn,
    /// and of the others the first that is awake gets it.
    pub(crate) fn overdue(&self, step: u64) {
        let wakers: Vec<Waker> = self.state.with(|s| {
            let Some(closed) = s.closed.as_mut().filter(|closed| closed.step == step) else { return Vec::new() };
            closed.step += 1;
            let turn = closed.turn.take().and_then(|turn| turn.waker);
            closed.waiting.iter_mut().for_each(|w| w.silent = true);
            turn.into_iter().chain(closed.waiting.iter().map(|w| w.waker.clone())).collect()
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A call that went through while the gate was open found the instance asleep.
    pub(crate) fn close(&self, epoch: u64, now: Duration, retry_after: Option<Duration>, random: u32) {
        let news = self.state.with(|s| {
            if s.closed.is_some() || s.epoch != epoch {
                return None;
            }
            s.epoch += 1;
            let next_try = now.saturating_add(delay(retry_after, 0, random));
            s.closed = Some(Closed { failures: 1, next_try, turn: None, step: 0, waiting: Vec::new() });
            s.tell(InstanceState::Starting)
        });
        self.announce(news);
    }

    /// The epoch of now, for [`answered`](Self::answered).
    pub(crate) fn epoch(&self) -> u64 {
        self.state.with(|s| s.epoch)
    }

    /// The instance answered a request that was sent in that epoch: all proceed.
    pub(crate) fn answered(&self, epoch: u64) {
        self.reopen(Some(epoch));
    }

    /// Opens the gate, whatever is known.
    pub(crate) fn open(&self) {
        self.reopen(None);
    }

    fn reopen(&self, epoch: Option<u64>) {
        let (wakers, news) = self.state.with(|s| {
            if epoch.is_some_and(|epoch| epoch != s.epoch) {
                return (Vec::new(), None);
            }
            let Some(closed) = s.closed.take() else {
                // Nothing to open. What was sent to another instance must not close it either.
                s.epoch += u64::from(epoch.is_none());
                return (Vec::new(), s.tell(InstanceState::Ready));
            };
            s.epoch += 1;
            let turn = closed.turn.and_then(|turn| turn.waker);
            let wakers: Vec<Waker> = turn.into_iter().chain(closed.waiting.into_iter().map(|w| w.waker)).collect();
            (wakers, s.tell(InstanceState::Ready))
        });
        self.announce(news);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A call gave up waiting.
    pub(crate) fn gave_up(&self) {
        let news = self.state.with(|s| s.closed.is_some().then(|| s.tell(InstanceState::Unreachable)).flatten());
        self.announce(news);
    }

    fn announce(&self, news: Option<InstanceState>) {
        if let Some(state) = news {
            for listener in self.listeners.with(|listeners| listeners.clone()) {
                listener(&state);
            }
        }
    }

    /// The probe failed or went away: the next one in the queue may go.
    fn release(&self, id: u64, failed: Option<(Duration, Option<Duration>, u32)>) {
        let next = self.state.with(|s| {
            let closed = s.closed.as_mut()?;
            closed.turn.take_if(|turn| turn.id == id)?;
            closed.step += 1;
            if let Some((now, retry_after, random)) = failed {
                closed.next_try = now.saturating_add(delay(retry_after, closed.failures, random));
                closed.failures = closed.failures.saturating_add(1);
            }
            closed.candidate_waker()
        });
        if let Some(waker) = next {
            waker.wake();
        }
    }

    /// Does the turn still belong to this probe? If so, `f` sees it.
    fn turn<R>(&self, id: u64, f: impl FnOnce(&mut Turn) -> R) -> Option<R> {
        self.state.with(|s| {
            let closed = s.closed.as_mut()?;
            let turn = closed.turn.as_mut().filter(|turn| turn.id == id)?;
            closed.step += 1;
            Some(f(turn))
        })
    }
}

/// What the server said, unless it says "now" and sleeps on; else the backoff.
fn delay(retry_after: Option<Duration>, failures: u32, random: u32) -> Duration {
    retry_after.filter(|delay| !delay.is_zero()).unwrap_or_else(|| backoff(failures, random))
}

impl State {
    /// Notes what listeners are told; none where they know it.
    fn tell(&mut self, state: InstanceState) -> Option<InstanceState> {
        let news = self.told != state;
        self.told = state;
        news.then_some(state)
    }
}

impl Closed {
    /// Whose turn it is next: the oldest call that can be sent again, else the oldest.
    fn candidate(&self) -> Option<u64> {
        self.waiting.iter().filter(|w| !w.silent).min_by_key(|w| (!w.can_probe, w.ticket)).map(|w| w.ticket)
    }

    fn candidate_waker(&self) -> Option<Waker> {
        let ticket = self.candidate()?;
        self.waiting.iter().find(|w| w.ticket == ticket).map(|w| w.waker.clone())
    }
}

/// A call's place in the queue; given up when the call goes away.
struct Place {
    gate: Arc<Gate>,
    ticket: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = self.gate.state.with(|s| {
            let closed = s.closed.as_mut()?;
            closed.waiting.retain(|w| w.ticket != self.ticket);
            if closed.turn.is_some() { None } else { closed.candidate_waker() }
        });
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

/// The one call that asks a sleeping instance. Dropped without a word it leaves the turn to the next.
pub(crate) struct Probe {
    gate: Arc<Gate>,
    id: u64,
    epoch: u64,
    at: Duration,
    settled: bool,
}

impl Probe {
    /// When to ask, on the runtime's `uptime` clock.
    pub(crate) fn at(&self) -> Duration {
        self.at
    }

    /// Completes when there is nothing to ask any more: the gate was opened, or another call took the turn.
    pub(crate) fn lost(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            let noted = self.gate.turn(self.id, |turn| match &mut turn.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            });
            if noted.is_some() { Poll::Pending } else { Poll::Ready(()) }
        })
    }

    /// The request is sent now and takes until then at most. False where the turn was lost: then it must not be sent.
    pub(crate) fn asks(&self, until: Duration) -> bool {
        self.gate.turn(self.id, |turn| turn.asks_until = Some(until)).is_some()
    }

    /// The instance still sleeps, or could not be asked: the next one asks after a delay.
    pub(crate) fn still_asleep(mut self, now: Duration, retry_after: Option<Duration>, random: u32) {
        self.settled = true;
        self.gate.release(self.id, Some((now, retry_after, random)));
    }

    /// The instance answered.
    pub(crate) fn answered(mut self) {
        self.settled = true;
        self.gate.answered(self.epoch);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.settled {
            self.gate.release(self.id, None);
        }
    }
}
