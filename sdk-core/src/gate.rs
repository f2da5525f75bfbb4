//! The cold-start gate: while an instance wakes up, one call at a time asks for it and all others wait.
//!
//! A paused instance answers 503 or refuses connections. The first such answer closes the gate. Of the calls that wait,
//! the oldest one that can be sent again becomes the probe; it waits for the delay and goes. If the instance still
//! sleeps it queues again, if it is cancelled the next takes over, and any other answer opens the gate for all.
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
    closed: Option<Closed>,
    told: InstanceState,
}

struct Closed {
    failures: u32,
    next_try: Duration,
    probing: bool,
    waiting: Vec<Waiting>,
}

struct Waiting {
    ticket: u64,
    can_probe: bool,
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
        let state = State { epoch: 0, next_ticket: 0, closed: None, told: InstanceState::Ready };
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
                Some(waiting) => waiting.waker.clone_from(waker),
                None => closed.waiting.push(Waiting { ticket, can_probe, waker: waker.clone() }),
            }
            if closed.probing || closed.candidate() != Some(ticket) {
                return Poll::Pending;
            }
            closed.probing = true;
            closed.waiting.retain(|w| w.ticket != ticket);
            Poll::Ready(Pass::Probe(Probe { gate: self.clone(), at: closed.next_try, settled: false }))
        })
    }

    /// A call that went through while the gate was open found the instance asleep.
    pub(crate) fn close(&self, epoch: u64, now: Duration, retry_after: Option<Duration>, random: u32) {
        let news = self.state.with(|s| {
            if s.closed.is_some() || s.epoch != epoch {
                return None;
            }
            s.epoch += 1;
            let next_try = now.saturating_add(retry_after.unwrap_or_else(|| backoff(0, random)));
            s.closed = Some(Closed { failures: 1, next_try, probing: false, waiting: Vec::new() });
            s.tell(InstanceState::Starting)
        });
        self.announce(news);
    }

    /// The instance answered: all proceed.
    pub(crate) fn open(&self) {
        let (waiting, news) = self.state.with(|s| {
            let Some(closed) = s.closed.take() else { return (Vec::new(), s.tell(InstanceState::Ready)) };
            s.epoch += 1;
            (closed.waiting, s.tell(InstanceState::Ready))
        });
        self.announce(news);
        for waiting in waiting {
            waiting.waker.wake();
        }
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
    fn release(&self, failed: Option<(Duration, Option<Duration>, u32)>) {
        let next = self.state.with(|s| {
            let closed = s.closed.as_mut()?;
            closed.probing = false;
            if let Some((now, retry_after, random)) = failed {
                let delay = retry_after.unwrap_or_else(|| backoff(closed.failures, random));
                closed.failures = closed.failures.saturating_add(1);
                closed.next_try = now.saturating_add(delay);
            }
            closed.candidate_waker()
        });
        if let Some(waker) = next {
            waker.wake();
        }
    }
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
    /// Whose turn it is: the oldest call that can be sent again, else the oldest.
    fn candidate(&self) -> Option<u64> {
        self.waiting.iter().min_by_key(|w| (!w.can_probe, w.ticket)).map(|w| w.ticket)
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
            if closed.probing { None } else { closed.candidate_waker() }
        });
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

/// The one call that asks a sleeping instance. Dropped without a word it leaves the turn to the next.
pub(crate) struct Probe {
    gate: Arc<Gate>,
    at: Duration,
    settled: bool,
}

impl Probe {
    /// When to ask, on the runtime's `uptime` clock.
    pub(crate) fn at(&self) -> Duration {
        self.at
    }

    /// The instance still sleeps.
    pub(crate) fn still_asleep(mut self, now: Duration, retry_after: Option<Duration>, random: u32) {
        self.settled = true;
        self.gate.release(Some((now, retry_after, random)));
    }

    /// The instance answered.
    pub(crate) fn answered(mut self) {
        self.settled = true;
        self.gate.open();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.settled {
            self.gate.release(None);
        }
    }
}
