//! The realtime session as a state machine: inputs in, effects out; no I/O, no clock, no randomness of its own.
//!
//! [`Link`] keeps the streams, one [`Feed`] for each topic keeps its listeners and their events in order. The worker
//! performs the effects and brings what comes of them as the next inputs.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use super::{
    event::RealtimeState,
    feed::{Feed, Found, Incoming, Need, Wanted},
    link::{Link, Notice, Topics},
    options::RealtimeOptions,
    queue::Item,
    topic::{Target, Topic},
};
use crate::{error::Error, transport::Headers, url::Query};

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
pub(crate) type Timing = RealtimeOptions;

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
    Fetch(Fetch),
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
    pub(crate) collection: String,
    pub(crate) query: Query,
    pub(crate) headers: Headers,
    pub(crate) wanted: Wanted,
    /// For topics of one record, which the view rule is for.
    pub(crate) of_one: bool,
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
    pub(crate) fn new(timing: Timing) -> Machine {
        Machine {
            link: Link::new(timing.clone()),
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
        let can_fetch = self.is_connected() && self.running.len() < FETCHES_MAX;
        let feeds = self.feeds.iter().filter(|_| can_fetch).filter_map(Feed::deadline).min();
        [self.link.deadline(), feeds].into_iter().flatten().min()
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
    pub(crate) fn listeners_of(&self, choose: impl Fn(&str) -> bool) -> Vec<ListenerId> {
        self.feeds.iter().filter(|feed| choose(&feed.topic.name)).flat_map(Feed::listeners).collect()
    }

    fn is_connected(&self) -> bool {
        self.state == RealtimeState::Connected
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.feeds.binary_search_by(|feed| (*feed.topic.key).cmp(key))
    }

    fn feed(&mut self, key: &str) -> Option<&mut Feed> {
        let at = self.find(key).ok()?;
        self.feeds.get_mut(at)
    }

    fn subscribe(&mut self, listener: ListenerId, topic: Topic, raw: bool, now: Duration) -> Option<Notice> {
        let key = topic.key.clone();
        if let Err(at) = self.find(&key) {
            self.feeds.insert(at, Feed::new(topic, &self.timing));
            self.want();
        }
        let at = self.listeners.partition_point(|(other, _)| *other < listener);
        self.listeners.insert(at, (listener, key.clone()));
        self.feed(&key)?.join(listener, raw, now);
        if let Some(error) = self.link.refusal() {
            return Some(Notice::GiveUp(error));
        }
        let acknowledged = self.link.has_acknowledged(&key) && self.feed(&key)?.is_established();
        acknowledged.then(|| Notice::Acknowledged { topics: alloc::vec![key], gap: None })
    }

    fn unsubscribe(&mut self, listener: ListenerId) -> Option<Notice> {
        let at = self.listeners.binary_search_by(|(other, _)| other.cmp(&listener)).ok()?;
        let (_, key) = self.listeners.remove(at);
        self.feed(&key)?.leave(listener);
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
        let is_there = |key: &Arc<str>| feeds.binary_search_by(|feed| feed.topic.key.cmp(key)).is_ok();
        self.running.retain_mut(|running| {
            running.feeds.retain(is_there);
            !running.feeds.is_empty()
        });
    }

    fn want(&mut self) {
        self.link.want(self.feeds.iter().map(|feed| feed.topic.key.clone()).collect());
    }

    fn message(&mut self, stream: StreamId, topic: &str, data: String, now: Duration) {
        let Some(source) = self.link.heard(stream, now) else { return };
        let Ok(at) = self.find(topic) else { return };
        if let Some(feed) = self.feeds.get_mut(at) {
            feed.message(source, Incoming::read(data), now, &mut self.effects);
        }
    }

    fn notice(&mut self, notice: Option<Notice>, now: Duration) {
        let Some(notice) = notice else { return };
        let (skew, out) = (self.timing.catch_up_skew, &mut self.effects);
        match notice {
            Notice::Acknowledged { topics, gap } => {
                for key in topics {
                    let Ok(at) = self.feeds.binary_search_by(|feed| feed.topic.key.cmp(&key)) else { continue };
                    let Some(feed) = self.feeds.get_mut(at) else { continue };
                    if let (true, Some(heard)) = (feed.acknowledged(now, out), gap) {
                        feed.missed(heard, now, skew, out);
                    }
                }
            }
            Notice::OverlapOver { gap } => {
                let late = self.timing.overlap / 2;
                for feed in self.feeds.iter_mut() {
                    feed.end_overlap(now, late);
                    match gap {
                        Some(heard) if feed.goes_on() => feed.missed(heard, now, skew, out),
                        _ => feed.settle(),
                    }
                }
            }
            Notice::Refused { topics, error } => self.refuse(&error, |feed| topics.contains(&feed.topic.key)),
            Notice::GiveUp(error) => self.refuse(&error, |_| true),
            Notice::SessionEnded(error) => {
                for feed in &self.feeds {
                    feed.tell_everyone(out, Item::Error(error.clone()));
                }
                self.refuse(&error, |_| true);
            }
        }
    }

    /// Ends those who wait for the acknowledgement of such topics.
    fn refuse(&mut self, error: &Error, choose: impl Fn(&Feed) -> bool) {
        for feed in self.feeds.iter_mut().filter(|feed| choose(feed)) {
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

    fn advance(&mut self, now: Duration, random: u32) {
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
    fn fetch(&mut self, now: Duration) {
        while self.running.len() < FETCHES_MAX {
            let wish = self.feeds.iter().find_map(|feed| Some((feed.topic.clone(), feed.need(now)?)));
            let Some((topic, need)) = wish else { return };
            let together = need != Need::Recheck && matches!(topic.target, Target::One { .. });
            let mates: Topics = self
                .feeds
                .iter()
                .filter(|feed| feed.topic.key == topic.key || (together && feed.need(now) == Some(need)))
                .filter(|feed| feed.topic.key == topic.key || feed.topic.fetches_with(&topic))
                .map(|feed| feed.topic.key.clone())
                .take(TOGETHER_MAX)
                .collect();
            let mut wanted = None;
            for key in &mates {
                let Some(feed) = self.feed(key) else { continue };
                wanted = Some(match (wanted, feed.begin_fetch(need)) {
                    (Some(Wanted::Records(mut all)), Wanted::Records(more)) => {
                        all.extend(more);
                        Wanted::Records(all)
                    }
                    (_, first) => first,
                });
            }
            let Some(wanted) = wanted else { return };
            self.last_fetch += 1;
            let id = self.last_fetch;
            self.running.push(Running { id, need, feeds: mates });
            let collection = topic.target.collection().into();
            let of_one = matches!(topic.target, Target::One { .. });
            self.effects.push(Effect::Fetch(Fetch {
                id,
                collection,
                query: topic.query,
                headers: topic.headers,
                wanted,
                of_one,
            }));
        }
    }

    fn fetched(&mut self, id: FetchId, result: Result<Found, Error>, now: Duration, random: u32) {
        let Some(at) = self.running.iter().position(|running| running.id == id) else { return };
        let running = self.running.swap_remove(at);
        let (skew, out) = (self.timing.catch_up_skew, &mut self.effects);
        for key in &running.feeds {
            let Ok(at) = self.feeds.binary_search_by(|feed| feed.topic.key.cmp(key)) else { continue };
            let Some(feed) = self.feeds.get_mut(at) else { continue };
            match &result {
                Ok(found) => feed.fetched(running.need, found, now, skew, out),
                Err(error) => feed.fetch_failed(running.need, error, now, random, out),
            }
        }
    }
}

#[cfg(test)]
mod tests;
