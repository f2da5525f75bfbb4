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
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
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

impl InstanceState {
    /// The word for it that all languages use.
    ///
    /// ```
    /// assert_eq!(picobase::InstanceState::Starting.as_str(), "starting");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            InstanceState::Starting => "starting",
            InstanceState::Ready => "ready",
            InstanceState::Unreachable => "unreachable",
        }
    }
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
    /// How the instance is, and what the listeners have heard of it.
    instance: InstanceState,
    told: InstanceState,
    telling: bool,
}

struct Closed {
    failures: u32,
    /// When it was last found asleep.
    asked: Duration,
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
        let state = State {
            epoch: 0,
            next_ticket: 0,
            next_turn: 0,
            closed: None,
            instance: InstanceState::Ready,
            told: InstanceState::Ready,
            telling: false,
        };
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
    pub(crate) fn pass(self: &Arc<Self>, ticket: u64, can_probe: bool) -> Place {
        Place { gate: self.clone(), ticket, can_probe }
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
            let (asked, at) = (closed.asked, closed.next_try);
            Poll::Ready(Pass::Probe(Probe { gate: self.clone(), id, epoch, asked, at, settled: false }))
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
        self.state.with(|s| {
            if s.closed.is_some() || s.epoch != epoch {
                return;
            }
            s.epoch += 1;
            let next_try = now.saturating_add(delay(retry_after, 0, random));
            s.closed = Some(Closed { failures: 1, asked: now, next_try, turn: None, step: 0, waiting: Vec::new() });
            s.instance = InstanceState::Starting;
        });
        self.announce();
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
        let wakers: Vec<Waker> = self.state.with(|s| {
            if epoch.is_some_and(|epoch| epoch != s.epoch) {
                return Vec::new();
            }
            s.instance = InstanceState::Ready;
            let Some(closed) = s.closed.take() else {
                // Nothing to open. What was sent to another instance must not close it either.
                s.epoch += u64::from(epoch.is_none());
                return Vec::new();
            };
            s.epoch += 1;
            let turn = closed.turn.and_then(|turn| turn.waker);
            turn.into_iter().chain(closed.waiting.into_iter().map(|w| w.waker)).collect()
        });
        self.announce();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A call gave up waiting.
    pub(crate) fn gave_up(&self) {
        self.state.with(|s| {
            if s.closed.is_some() {
                s.instance = InstanceState::Unreachable;
            }
        });
        self.announce();
    }

    /// Tells the listeners what is new: in order, one teller at a time, outside the lock.
    fn announce(&self) {
        if self.state.with(|s| mem::replace(&mut s.telling, true)) {
            return;
        }
        while let Some(state) = self.state.with(State::next_news) {
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
                closed.asked = now;
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
    /// What the listeners do not know yet.
    fn next_news(&mut self) -> Option<InstanceState> {
        self.telling = self.told != self.instance;
        self.told = self.instance;
        self.telling.then_some(self.told)
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
pub(crate) struct Place {
    gate: Arc<Gate>,
    ticket: u64,
    can_probe: bool,
}

impl Future for Place {
    type Output = Pass;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Pass> {
        self.gate.poll_pass(self.ticket, self.can_probe, cx.waker())
    }
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
    asked: Duration,
    at: Duration,
    settled: bool,
}

impl Probe {
    /// When to ask, on the runtime's `uptime` clock. After `last` the caller has no time for an answer any more, so it
    /// asks then at the latest: not to have asked since the answer of before would be to give up too early.
    pub(crate) fn at(&self, last: Duration) -> Duration {
        if self.asked < last { self.at.min(last) } else { self.at }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::{boxed::Box, pin::Pin, sync::Mutex, task::Context};

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Notes that it was woken.
    struct Flag(AtomicBool);

    impl alloc::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// A call as the gate sees it: polled only when it was woken, and not at all while it is silent.
    struct Call {
        flag: Arc<Flag>,
        silent: bool,
        pass: Option<Pin<Box<dyn Future<Output = Pass> + Send>>>,
        probe: Option<Probe>,
        passed: bool,
    }

    impl Call {
        fn new(gate: &Arc<Gate>, can_probe: bool) -> Call {
            let pass = gate.pass(gate.ticket(), can_probe);
            let flag = Arc::new(Flag(AtomicBool::new(true)));
            Call { flag, silent: false, pass: Some(Box::pin(pass)), probe: None, passed: false }
        }

        /// Polls it if it was woken; says whether anything happened.
        fn run(&mut self) -> bool {
            if self.silent || !self.flag.0.swap(false, Ordering::SeqCst) {
                return false;
            }
            let waker = Waker::from(self.flag.clone());
            let mut cx = Context::from_waker(&waker);
            if let Some(probe) = &self.probe {
                if core::pin::pin!(probe.lost()).poll(&mut cx).is_pending() {
                    return true;
                }
                // As in a call: what lost its turn queues again.
                let (gate, ticket) = (probe.gate.clone(), probe.gate.ticket());
                self.probe = None;
                self.pass = Some(Box::pin(gate.pass(ticket, true)));
            }
            let Some(pass) = &mut self.pass else { return true };
            if let Poll::Ready(pass) = pass.as_mut().poll(&mut cx) {
                self.pass = None;
                match pass {
                    Pass::Open { .. } => self.passed = true,
                    Pass::Probe(probe) => {
                        self.probe = Some(probe);
                        self.flag.0.store(true, Ordering::SeqCst);
                    }
                }
            }
            true
        }

        /// Is it its turn, as far as it can still act on it?
        fn probes(&self) -> bool {
            self.probe.as_ref().is_some_and(|probe| probe.gate.turn(probe.id, |_| ()).is_some())
        }
    }

    struct World {
        gate: Arc<Gate>,
        calls: Vec<Call>,
        now: Duration,
        told: Arc<Mutex<Vec<InstanceState>>>,
    }

    impl World {
        fn closed() -> World {
            let gate = Gate::new();
            let told = Arc::new(Mutex::new(Vec::new()));
            let sink = told.clone();
            gate.add_listener(Arc::new(move |state: &InstanceState| {
                if let Ok(mut told) = sink.lock() {
                    told.push(*state);
                }
            }));
            gate.close(0, Duration::ZERO, Some(SECOND), 0);
            World { gate, calls: Vec::new(), now: Duration::ZERO, told }
        }

        fn is_closed(&self) -> bool {
            self.gate.open_pass().is_none()
        }

        /// Lets all calls run that were woken, until nothing happens any more.
        fn settle(&mut self) {
            // Whoever asks is woken again with each poll, so it does not count as busy.
            while self.calls.iter_mut().filter_map(|call| (call.run() && !call.probes()).then_some(())).count() > 0 {}
            for call in &mut self.calls {
                call.run();
            }
            self.calls.retain(|call| !call.passed);
        }

        fn act(&mut self, op: u8, who: usize, flag: bool) {
            self.now += SECOND / 4;
            let probing = self.calls.iter().position(Call::probes);
            match op {
                0..=3 => self.calls.push(Call::new(&self.gate, flag)),
                4 if !self.calls.is_empty() => drop(self.calls.swap_remove(who % self.calls.len())),
                5 => {
                    let Some(call) = probing.and_then(|at| self.calls.get_mut(at)) else { return };
                    let Some(probe) = call.probe.take() else { return };
                    probe.still_asleep(self.now, flag.then_some(SECOND), u32::MAX);
                    call.pass = Some(Box::pin(self.gate.pass(self.gate.ticket(), true)));
                    call.flag.0.store(true, Ordering::SeqCst);
                }
                6 => {
                    let Some(call) = probing.and_then(|at| self.calls.get_mut(at)) else { return };
                    if let Some(probe) = call.probe.take() {
                        probe.answered();
                    }
                    call.passed = true;
                }
                7 if !self.calls.is_empty() => {
                    let at = who % self.calls.len();
                    if let Some(call) = self.calls.get_mut(at) {
                        call.silent = !call.silent;
                    }
                }
                8 => self.gate.answered(self.gate.epoch()),
                9 => {
                    if let Some(call) = probing.and_then(|at| self.calls.get(at)) {
                        assert!(call.probe.as_ref().is_none_or(|probe| probe.asks(self.now + SECOND)));
                    }
                }
                _ => self.gate.close(self.gate.epoch(), self.now, None, 0),
            }
        }

        fn check(&mut self) {
            assert!(self.calls.iter().filter(|call| call.probes()).count() <= 1, "never two probes");
            let awake = self.calls.iter().filter(|call| !call.silent).count();
            if !self.is_closed() {
                assert_eq!(awake, 0, "all that are awake go when the gate opens");
                return;
            }
            // Whoever is silent loses the turn at last, where another one waits for it. Without such calls patience is
            // never needed.
            let silent = awake < self.calls.len();
            for _ in 0..2 {
                if silent && awake > 0 && !self.calls.iter().any(|call| call.probes() && !call.silent) {
                    let (step, _) = self.gate.patience(self.now);
                    self.gate.overdue(step);
                    self.settle();
                }
            }
            let asks = self.calls.iter().any(|call| call.probes() && !call.silent);
            assert!(awake == 0 || asks, "one of {awake} calls asks");
        }
    }

    proptest! {
        #[test]
        fn one_asks_and_all_go(history in prop::collection::vec((0u8..11, any::<u8>(), any::<bool>()), 1..60)) {
            let mut world = World::closed();
            for (op, who, flag) in history {
                world.act(op, usize::from(who), flag);
                world.settle();
                world.check();
            }
            world.calls.iter_mut().for_each(|call| call.silent = false);
            world.gate.open();
            world.settle();
            prop_assert!(world.calls.is_empty(), "all go in the end");
            let told = world.told.lock().map(|told| told.clone()).unwrap_or_default();
            prop_assert!(told.windows(2).all(|pair| matches!(pair, [a, b] if a != b)), "each state is told once");
        }
    }

    #[test]
    fn the_oldest_that_can_be_sent_again_asks() {
        let mut world = World::closed();
        for can_probe in [false, true, true] {
            world.calls.push(Call::new(&world.gate, can_probe));
        }
        // Polled in any order: the first to come takes the turn, the next turn goes by age.
        world.settle();
        let first = world.calls.iter().position(Call::probes);
        assert_eq!(first, Some(0), "it was the only one when it came");
        drop(world.calls.remove(0));
        world.settle();
        assert!(world.calls.first().is_some_and(Call::probes));
    }

    #[test]
    fn one_that_goes_away_before_its_turn_wakes_the_next() {
        let mut world = World::closed();
        for _ in 0..3 {
            world.calls.push(Call::new(&world.gate, true));
            world.settle();
        }
        // The probe goes, and the next one as well, before it could look.
        drop(world.calls.remove(0));
        drop(world.calls.remove(0));
        world.settle();
        assert!(world.calls.first().is_some_and(Call::probes));
    }

    #[test]
    fn an_answer_of_before_says_nothing() {
        let world = World::closed();
        world.gate.answered(0);
        assert!(world.is_closed(), "it was sent while the gate was open");
        let epoch = world.gate.epoch();
        world.gate.answered(epoch);
        assert!(!world.is_closed());
        world.gate.close(0, SECOND, None, 0);
        world.gate.close(epoch, SECOND, None, 0);
        assert!(!world.is_closed(), "both were sent before it opened");
        let moved = world.gate.epoch();
        world.gate.open();
        world.gate.close(moved, SECOND, None, 0);
        assert!(!world.is_closed(), "that was another instance");
    }

    #[test]
    fn all_listeners_hear_the_states_in_their_order() {
        let gate = Gate::new();
        let opens = Arc::downgrade(&gate);
        gate.add_listener(Arc::new(move |state: &InstanceState| {
            if *state == InstanceState::Starting
                && let Some(gate) = opens.upgrade()
            {
                gate.open();
            }
        }));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = heard.clone();
        gate.add_listener(Arc::new(move |state: &InstanceState| sink.lock().unwrap().push(*state)));
        gate.close(gate.epoch(), SECOND, None, 0);
        assert_eq!(*heard.lock().unwrap(), [InstanceState::Starting, InstanceState::Ready]);
    }

    #[test]
    fn a_delay_of_nothing_is_none() {
        assert_eq!(delay(Some(Duration::ZERO), 0, u32::MAX), backoff(0, u32::MAX));
        assert_eq!(delay(Some(SECOND), 0, u32::MAX), SECOND);
    }
}
