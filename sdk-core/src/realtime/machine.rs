//! The realtime session as a state machine: inputs in, effects out; no I/O, no clock, no randomness of its own.
//!
//! [`Link`] keeps the streams, one [`Feed`] for each topic keeps its listeners and their events in order. The worker
//! performs the effects and brings what comes of them as the next inputs.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use super::{
    event::RealtimeState,
    feed::{Feed, Found, Incoming, Need, Wanted, Whom},
    link::{Link, Notice, Topics},
    moment::Moment,
    options::RealtimeOptions,
    queue::Item,
    topic::Topic,
};
use crate::error::Error;

pub(crate) type ListenerId = u64;
pub(crate) type StreamId = u32;
pub(crate) type FetchId = u64;
/// What is to be done, in this order.
pub(crate) type Effects = Vec<Effect>;

/// How many fetches go on at a time.
const FETCHES_MAX: usize = 4;
/// How many topics of one record each are fetched in one go.
const TOGETHER_MAX: usize = 100;

/// The options as the machine needs them.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    pub(super) liveness: Moment,
    pub(super) max_age: Moment,
    pub(super) overlap: Moment,
    pub(super) linger: Moment,
    pub(super) skew: Moment,
    pub(super) catch_up: bool,
    pub(super) tracked_max: u32,
}

impl Timing {
    pub(super) fn of(options: &RealtimeOptions) -> Timing {
        Timing {
            liveness: Moment::of(options.liveness),
            max_age: Moment::of(options.max_age),
            overlap: Moment::of(options.overlap),
            linger: Moment::of(options.linger),
            skew: Moment::of(options.catch_up_skew),
            catch_up: options.catch_up,
            tracked_max: options.tracked_max,
        }
    }
}

/// What has happened.
pub(crate) enum Input {
    Subscribe {
        listener: ListenerId,
        topic: Topic,
        raw: bool,
    },
    Unsubscribe {
        listener: ListenerId,
    },
    /// The head of the stream's answer is there.
    Opened {
        stream: StreamId,
    },
    Connected {
        stream: StreamId,
        client_id: String,
    },
    Message {
        stream: StreamId,
        topic: Arc<str>,
        data: String,
    },
    /// The stream has ended, or could not be opened.
    Closed {
        stream: StreamId,
        error: Option<Error>,
    },
    Submitted {
        stream: StreamId,
        result: Result<(), Error>,
    },
    Fetched {
        fetch: FetchId,
        result: Result<Found, Error>,
    },
    /// Who is signed in.
    Viewer(Viewer),
    Hint(NetworkHint),
    /// The base URL is another one.
    Moved,
    /// Time has passed.
    Tick,
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Viewer {
    pub(crate) user: Option<String>,
    pub(crate) generation: u64,
    /// The session has ended, and nobody has signed in or out since.
    pub(crate) ended: bool,
}

/// What a platform knows of network and page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkHint {
    /// The network is there again, or is another one.
    Online,
    /// The page has been hidden for long.
    Hidden,
    /// The page is looked at again.
    Visible,
}

/// What is to be done.
pub(crate) enum Effect {
    /// Open a stream; first ask whether the session still lives.
    Open {
        stream: StreamId,
        ask: bool,
    },
    Close {
        stream: StreamId,
    },
    Submit {
        stream: StreamId,
        client_id: String,
        topics: Topics,
    },
    Fetch(Box<Fetch>),
    Deliver {
        listener: ListenerId,
        item: Item,
    },
    Acknowledge {
        listener: ListenerId,
    },
    Fail {
        listener: ListenerId,
        error: Error,
    },
    State(RealtimeState),
}

/// Something to be fetched from the server.
pub(crate) struct Fetch {
    pub(crate) id: FetchId,
    /// Whose records; of several topics that are fetched together, any.
    pub(crate) topic: Arc<Topic>,
    pub(crate) wanted: Wanted,
}

impl Fetch {
    pub(crate) fn collection(&self) -> &str {
        self.topic.target.collection()
    }
}

struct Running {
    id: FetchId,
    need: Need,
    feeds: Topics,
}

pub(crate) struct Machine {
    timing: Timing,
    link: Link,
    /// Sorted by key.
    feeds: Vec<Feed>,
    /// Which feed each listener is on, sorted.
    listeners: Vec<(ListenerId, Arc<str>)>,
    running: Vec<Running>,
    last_fetch: FetchId,
    viewer: Option<Viewer>,
    state: RealtimeState,
    effects: Effects,
}

impl Machine {
    pub(crate) fn new(options: &RealtimeOptions) -> Machine {
        let timing = Timing::of(options);
        Machine {
            link: Link::new(timing),
            timing,
            feeds: Vec::new(),
            listeners: Vec::new(),
            running: Vec::new(),
            last_fetch: 0,
            viewer: None,
            state: RealtimeState::Disconnected,
            effects: Vec::new(),
        }
    }

    /// Takes an input. `now` never goes back; `random` is a fraction in units of 2⁻³², for jitter.
    pub(crate) fn handle(&mut self, now: Duration, random: u32, input: Input) {
        let now = Moment::of(now);
        let notice = match input {
            Input::Subscribe { listener, topic, raw } => self.subscribe(listener, topic, raw, now),
            Input::Unsubscribe { listener } => self.unsubscribe(listener),
            Input::Opened { stream } => {
                self.link.opened(stream, now);
                None
            }
            Input::Connected { stream, client_id } => {
                self.link.connected(stream, client_id, now);
                None
            }
            Input::Message { stream, topic, data } => {
                // The hot path: nothing else changes by a message.
                self.message(stream, &topic, data, now);
                return;
            }
            Input::Closed { stream, error } => self.link.closed(stream, error, now, random, &mut self.effects),
            Input::Submitted { stream, result } => self.link.submitted(stream, result, now, random, &mut self.effects),
            Input::Fetched { fetch, result } => {
                self.fetched(fetch, result, now, random);
                None
            }
            Input::Viewer(viewer) => self.identify(viewer),
            Input::Hint(hint) => {
                self.hint(hint);
                None
            }
            Input::Moved => {
                self.link.moved(&mut self.effects);
                self.forget();
                None
            }
            Input::Tick => None,
        };
        self.notice(notice, now);
        self.advance(now, random);
    }

    /// What is to be done, in order.
    pub(crate) fn take_effects(&mut self) -> Effects {
        core::mem::take(&mut self.effects)
    }

    /// When a tick is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let mut due = self.link.deadline();
        if self.can_fetch() {
            for feed in &self.feeds {
                due = due.min(feed.deadline());
            }
        }
        due.is_set().then(|| due.duration())
    }

    fn can_fetch(&self) -> bool {
        self.is_connected() && self.running.len() < FETCHES_MAX
    }

    /// Nobody listens, no stream is there, and nothing is left to be done.
    pub(crate) fn is_over(&self) -> bool {
        self.listeners.is_empty() && self.link.is_over() && self.effects.is_empty()
    }

    pub(crate) fn state(&self) -> RealtimeState {
        self.state
    }

    /// How many topics there are, and whether this one is among them.
    pub(crate) fn topics(&self, key: &str) -> (usize, bool) {
        (self.feeds.len(), self.find(key).is_ok())
    }

    /// The listeners of the topics that `choose` takes, by what they were called when they were asked for.
    pub(crate) fn listeners_of(&self, choose: &dyn Fn(&str) -> bool) -> Vec<ListenerId> {
        self.feeds.iter().filter(|feed| choose(&feed.topic.name)).flat_map(Feed::listeners).collect()
    }

    fn is_connected(&self) -> bool {
        self.state == RealtimeState::Connected
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        place(&self.feeds, key)
    }

    fn subscribe(&mut self, listener: ListenerId, topic: Topic, raw: bool, now: Moment) -> Option<Notice> {
        let key = topic.key.clone();
        if let Err(at) = self.find(&key) {
            self.feeds.insert(at, Feed::new(topic, &self.timing));
            self.want();
        }
        let at = self.listeners.partition_point(|(other, _)| *other < listener);
        self.listeners.insert(at, (listener, key.clone()));
        feed(&mut self.feeds, &key)?.join(listener, raw, now);
        if let Some(error) = self.link.refusal() {
            return Some(Notice::GiveUp(error));
        }
        let acknowledged = self.link.has_acknowledged(&key) && feed(&mut self.feeds, &key)?.is_established();
        acknowledged.then(|| Notice::Acknowledged { topics: alloc::vec![key], gap: Moment::NEVER })
    }

    fn unsubscribe(&mut self, listener: ListenerId) -> Option<Notice> {
        let at = self.listeners.binary_search_by(|(other, _)| other.cmp(&listener)).ok()?;
        let (_, key) = self.listeners.remove(at);
        feed(&mut self.feeds, &key)?.leave(listener);
        self.sweep();
        None
    }

    /// Drops the topics that nobody listens to.
    fn sweep(&mut self) {
        let before = self.feeds.len();
        self.feeds.retain(|feed| !feed.is_empty());
        if self.feeds.len() == before {
            return;
        }
        self.want();
        // What was fetched for them is not for those who ask for the topic anew.
        let feeds = &self.feeds;
        let is_there = |key: &Arc<str>| place(feeds, key).is_ok();
        self.running.retain_mut(|running| {
            running.feeds.retain(is_there);
            !running.feeds.is_empty()
        });
    }

    fn want(&mut self) {
        self.link.want(self.feeds.iter().map(|feed| feed.topic.key.clone()).collect());
    }

    fn message(&mut self, stream: StreamId, topic: &str, data: String, now: Moment) {
        let Some(source) = self.link.heard(stream, now) else { return };
        if let Some(feed) = feed(&mut self.feeds, topic) {
            feed.message(source, Incoming::read(data), now, &mut self.effects);
        }
    }

    fn notice(&mut self, notice: Option<Notice>, now: Moment) {
        let Some(notice) = notice else { return };
        let (skew, out) = (self.timing.skew, &mut self.effects);
        match notice {
            Notice::Acknowledged { topics, gap } => {
                for key in topics {
                    let Some(feed) = feed(&mut self.feeds, &key) else { continue };
                    if feed.acknowledged(now, out) && gap.is_set() {
                        feed.missed(gap, now, skew, out);
                    }
                }
            }
            Notice::OverlapOver { gap } => {
                let late = self.timing.overlap.half();
                for feed in self.feeds.iter_mut() {
                    feed.end_overlap(now, late);
                    if gap.is_set() && feed.goes_on() {
                        feed.missed(gap, now, skew, out);
                    } else {
                        feed.settle();
                    }
                }
            }
            Notice::Refused { topics, error } => self.refuse(&error, Some(&topics)),
            Notice::GiveUp(error) => self.refuse(&error, None),
            Notice::SessionEnded(error) => {
                for feed in &self.feeds {
                    feed.tell(out, Whom::Everyone, Item::Error(error.clone()));
                }
                self.refuse(&error, None);
            }
        }
    }

    /// Ends those who wait for the acknowledgement of these topics, or of any.
    fn refuse(&mut self, error: &Error, topics: Option<&Topics>) {
        for feed in &mut self.feeds {
            if topics.is_some_and(|topics| !topics.contains(&feed.topic.key)) {
                continue;
            }
            for listener in feed.take_waiting() {
                self.listeners.retain(|(other, _)| *other != listener);
                self.effects.push(Effect::Fail { listener, error: error.clone() });
            }
        }
        self.sweep();
    }

    fn identify(&mut self, viewer: Viewer) -> Option<Notice> {
        if self.viewer.as_ref().is_some_and(|known| known.generation > viewer.generation) {
            // It was overtaken on its way here.
            return None;
        }
        let before = self.viewer.replace(viewer.clone());
        let Some(before) = before.filter(|before| before.generation != viewer.generation) else {
            // The first word on it, or a refreshed token.
            return (viewer.ended && !self.listeners.is_empty()).then(|| self.suspend()).flatten();
        };
        if viewer.ended {
            return self.suspend();
        }
        self.forget();
        if before.user.is_none() && !before.ended && viewer.user.is_some() {
            self.link.signed_in();
        } else {
            self.link.identity_changed(&mut self.effects);
        }
        None
    }

    /// The session has ended, which is told once.
    fn suspend(&mut self) -> Option<Notice> {
        self.link.refusal().is_none().then(|| self.link.suspend(&mut self.effects))
    }

    fn forget(&mut self) {
        // What is being fetched is another user's.
        self.running.clear();
        self.feeds.iter_mut().for_each(Feed::forget);
    }

    fn hint(&mut self, hint: NetworkHint) {
        match hint {
            NetworkHint::Online => self.link.online(),
            NetworkHint::Hidden => self.link.hide(&mut self.effects),
            NetworkHint::Visible => self.link.show(),
        }
    }

    fn advance(&mut self, now: Moment, random: u32) {
        while let Some(notice) = self.link.advance(now, random, &mut self.effects) {
            self.notice(Some(notice), now);
        }
        let state = self.link.state();
        if state != self.state {
            self.state = state;
            self.effects.push(Effect::State(state));
        }
        if self.is_connected() {
            self.fetch(now);
        }
    }

    /// Begins what is to be fetched, a few at a time.
    fn fetch(&mut self, now: Moment) {
        while self.running.len() < FETCHES_MAX {
            let wish = self.feeds.iter().find_map(|feed| Some((feed.topic.clone(), feed.need(now)?)));
            let Some((topic, need)) = wish else { return };
            let together = topic.is_one() && need != Need::Recheck;
            let (mut mates, mut wanted) = (Topics::new(), Wanted::Newest);
            for feed in &mut self.feeds {
                let is_mate = together && feed.need(now) == Some(need) && feed.topic.fetches_with(&topic);
                if mates.len() < TOGETHER_MAX && (is_mate || feed.topic.key == topic.key) {
                    mates.push(feed.topic.key.clone());
                    wanted = wanted.and(feed.begin_fetch(need));
                }
            }
            self.last_fetch += 1;
            let id = self.last_fetch;
            self.running.push(Running { id, need, feeds: mates });
            self.effects.push(Effect::Fetch(Box::new(Fetch { id, topic, wanted })));
        }
    }

    fn fetched(&mut self, id: FetchId, result: Result<Found, Error>, now: Moment, random: u32) {
        let Some(at) = self.running.iter().position(|running| running.id == id) else { return };
        let running = self.running.swap_remove(at);
        let (skew, out) = (self.timing.skew, &mut self.effects);
        for key in &running.feeds {
            let Some(feed) = feed(&mut self.feeds, key) else { continue };
            match &result {
                Ok(found) => feed.fetched(running.need, found, now, skew, out),
                Err(error) => feed.fetch_failed(running.need, error, now, random, out),
            }
        }
    }
}

/// Where the topic's feed is, or where it would be.
fn place(feeds: &[Feed], key: &str) -> Result<usize, usize> {
    feeds.binary_search_by(|feed| (*feed.topic.key).cmp(key))
}

fn feed<'a>(feeds: &'a mut [Feed], key: &str) -> Option<&'a mut Feed> {
    let at = place(feeds, key).ok()?;
    feeds.get_mut(at)
}

#[cfg(test)]
mod tests;
