//! Where the callers, the machine and the worker meet.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    event::RealtimeState,
    machine::{Effect, Effects, Input, ListenerId, Machine},
    options::RealtimeOptions,
    queue::{Item, Queue},
    stream::no_tasks,
    topic::{TOPICS_MAX, Topic},
    worker::Worker,
};
use crate::{
    client::Client,
    error::Error,
    runtime::{BoxFuture, Lock, MaybeSend, random_fraction},
};

/// Realtime of one session: the machine, the queues of its listeners, and a worker while there is something to do.
pub(crate) struct Hub {
    /// Made when it is first needed.
    state: Lock<Option<Box<dyn Listening>>>,
    pub(crate) options: RealtimeOptions,
}

/// The state of a client that listens. The client knows it by this trait alone: one that never listens needs none of
/// the code behind it, and on the web, where that is a module of its own, does not load it.
trait Listening: MaybeSend {
    fn state(&mut self) -> &mut State;
    /// The base URL is another one. Answers whom to wake.
    fn moved(&mut self, now: Duration, random: u32) -> Option<Waker>;
}

struct State {
    machine: Machine,
    /// Sorted by listener.
    queues: Vec<(ListenerId, Arc<Queue>)>,
    last_id: ListenerId,
    running: bool,
    /// The worker's.
    waker: Option<Waker>,
    watchers: Vec<Waker>,
    /// To be spawned by the worker.
    spawned: Vec<BoxFuture<'static, ()>>,
}

impl Hub {
    pub(crate) fn new(options: RealtimeOptions) -> Arc<Hub> {
        Arc::new(Hub { state: Lock::new(None), options })
    }

    /// The base URL is another one.
    pub(crate) fn moved(&self, client: &Client) {
        let runtime = &client.shared.runtime;
        let (now, random) = (runtime.uptime(), random_fraction(&**runtime));
        // Whoever listens has a worker already.
        wake(self.state.with(|listening| listening.as_mut()?.moved(now, random)));
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(|listening| {
            let listening = listening.get_or_insert_with(|| Box::new(State::new(&self.options)));
            f(listening.state())
        })
    }

    /// Adds a listener.
    ///
    /// # Errors
    /// Kind `Validation` where there are too many topics.
    pub(crate) fn subscribe(
        &self,
        client: &Client,
        topic: Topic,
        raw: bool,
        queue_max: Option<u32>,
    ) -> Result<(ListenerId, Arc<Queue>), Error> {
        let queue = Arc::new(Queue::new(queue_max.unwrap_or(self.options.queue_max)));
        let viewer = client.session.viewer();
        let listener = self.change(client, |s, now, random| {
            let (count, known) = s.machine.topics(&topic.key);
            if count >= TOPICS_MAX && !known {
                return Err(Error::validation(
                    "the client listens to 1,000 topics already, which is the server's limit",
                )
                .with_fix("Subscribe to the whole collection (`*`), or unsubscribe from topics first."));
            }
            s.last_id += 1;
            let listener = s.last_id;
            s.queues.push((listener, queue.clone()));
            // While no worker was there nobody has told of sign-ins and sign-outs.
            s.machine.handle(now, random, Input::Viewer(viewer));
            s.machine.handle(now, random, Input::Subscribe { listener, topic, raw });
            Ok(listener)
        })?;
        Ok((listener, queue))
    }

    /// Removes a listener: nothing reaches it from now on.
    pub(crate) fn unsubscribe(&self, client: &Client, listener: ListenerId) {
        let queue = self.with(|s| s.take_queue(listener));
        if let Some(queue) = queue {
            wake(queue.end(None));
            self.send(client, Input::Unsubscribe { listener });
        }
    }

    /// Removes the listeners of the topics that `choose` takes, by their names without options.
    pub(crate) fn unsubscribe_where(&self, client: &Client, choose: &dyn Fn(&str) -> bool) {
        for listener in self.with(|s| s.machine.listeners_of(choose)) {
            self.unsubscribe(client, listener);
        }
    }

    /// Gives the machine an input.
    pub(crate) fn send(&self, client: &Client, input: Input) {
        self.change(client, |s, now, random| s.machine.handle(now, random, input));
    }

    /// Changes the machine at once, and starts the worker where there is something to do.
    fn change<R>(&self, client: &Client, change: impl FnOnce(&mut State, Duration, u32) -> R) -> R {
        let runtime = &client.shared.runtime;
        let (now, random) = (runtime.uptime(), random_fraction(&**runtime));
        let (done, waker, start) = self.with(|s| {
            let done = change(s, now, random);
            let start = !s.running && !s.machine.is_over();
            s.running |= start;
            (done, s.waker.take(), start)
        });
        wake(waker);
        if start {
            runtime.spawn(Box::pin(Worker::new(client)));
        }
        done
    }

    /// Runs `work` beside the worker, on its runtime: who asks may be outside of every runtime.
    pub(super) fn spawn(&self, client: &Client, work: BoxFuture<'static, ()>) {
        let asked = self.with(|s| {
            if !s.running {
                return Err(work);
            }
            s.spawned.push(work);
            Ok(s.waker.take())
        });
        match asked {
            Ok(waker) => wake(waker),
            Err(work) => client.shared.runtime.spawn(work),
        }
    }

    pub(crate) fn current_state(&self) -> RealtimeState {
        self.with(|s| s.machine.state())
    }

    /// Ready when the state is another one than `seen`.
    pub(crate) fn poll_state(&self, seen: Option<RealtimeState>, cx: &mut Context<'_>) -> Poll<RealtimeState> {
        self.with(|s| {
            let state = s.machine.state();
            if Some(state) != seen {
                return Poll::Ready(state);
            }
            if !s.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
                s.watchers.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Hands the worker's inputs to the machine, the deliveries to their queues, and the rest to the worker.
    pub(super) fn process(&self, client: &Client, inputs: Vec<Input>, cx: &Context<'_>) -> Todo {
        let runtime = &client.shared.runtime;
        let now = runtime.uptime();
        // Asking the system for it costs as much as the rest, and messages need none.
        let random = |input: &Input| match input {
            Input::Message { .. } => 0,
            _ => random_fraction(&**runtime),
        };
        let mut wakers = Vec::new();
        let (todo, spawned) = self.with(|s| {
            for input in inputs {
                s.machine.handle(now, random(&input), input);
            }
            let mut deadline = s.machine.deadline();
            if deadline.is_some_and(|at| at <= now) {
                s.machine.handle(now, random(&Input::Tick), Input::Tick);
                deadline = s.machine.deadline();
            }
            let mut effects = s.machine.take_effects();
            effects.retain_mut(|effect| !s.deliver(effect, &mut wakers));
            match &mut s.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            let over = s.machine.is_over();
            if over {
                s.running = false;
            }
            (Todo { effects, deadline, over }, core::mem::take(&mut s.spawned))
        });
        wakers.into_iter().for_each(Waker::wake);
        spawned.into_iter().for_each(|work| runtime.spawn(work));
        todo
    }

    /// The worker was dropped before it was done: the runtime has ended, or there was none.
    pub(super) fn abandoned(&self) {
        let (queues, watchers, spawned) = self.with(|s| {
            s.machine = Machine::new(&self.options);
            s.running = false;
            (core::mem::take(&mut s.queues), core::mem::take(&mut s.watchers), core::mem::take(&mut s.spawned))
        });
        // Outside the lock: it drops subscriptions.
        drop(spawned);
        queues.into_iter().for_each(|(_, queue)| wake(queue.end(Some(no_tasks()))));
        watchers.into_iter().for_each(Waker::wake);
    }
}

/// What the worker has to do.
pub(super) struct Todo {
    pub(super) effects: Effects,
    pub(super) deadline: Option<Duration>,
    pub(super) over: bool,
}

impl Listening for State {
    fn state(&mut self) -> &mut State {
        self
    }

    fn moved(&mut self, now: Duration, random: u32) -> Option<Waker> {
        self.machine.handle(now, random, Input::Moved);
        self.waker.take()
    }
}

impl State {
    fn new(options: &RealtimeOptions) -> State {
        State {
            machine: Machine::new(options),
            queues: Vec::new(),
            last_id: 0,
            running: false,
            waker: None,
            watchers: Vec::new(),
            spawned: Vec::new(),
        }
    }

    fn take_queue(&mut self, listener: ListenerId) -> Option<Arc<Queue>> {
        let at = self.queues.binary_search_by(|(other, _)| other.cmp(&listener)).ok()?;
        Some(self.queues.remove(at).1)
    }

    fn queue(&self, listener: ListenerId) -> Option<&Queue> {
        let at = self.queues.binary_search_by(|(other, _)| other.cmp(&listener)).ok()?;
        self.queues.get(at).map(|(_, queue)| &**queue)
    }

    /// Performs what needs no I/O; says whether it did.
    fn deliver(&mut self, effect: &mut Effect, wakers: &mut Vec<Waker>) -> bool {
        let waker = match effect {
            Effect::Deliver { listener, item } => {
                let item = core::mem::replace(item, Item::Stale);
                self.queue(*listener).and_then(|queue| queue.push(item))
            }
            Effect::Acknowledge { listener } => self.queue(*listener).and_then(Queue::establish),
            Effect::Fail { listener, error } => {
                self.take_queue(*listener).and_then(|queue| queue.end(Some(error.clone())))
            }
            Effect::State(_) => {
                wakers.append(&mut self.watchers);
                // The worker logs it: who hears of that may ask the hub.
                return false;
            }
            Effect::Open { .. } | Effect::Close { .. } | Effect::Submit { .. } | Effect::Fetch(_) => return false,
        };
        wakers.extend(waker);
        true
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
