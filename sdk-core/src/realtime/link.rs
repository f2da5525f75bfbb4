//! The streams: opened, subscribed, replaced before the server ends them, and opened again after a failure.
//!
//! Pure: no clock and no connection of its own. There is one stream, and a second one for as long as it takes to put it
//! in the first one's place.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};

use super::{
    event::RealtimeState,
    feed::Source,
    machine::{Effect, Effects, StreamId, Timing},
    moment::Moment,
    stream::no_stream,
};
use crate::{
    auth::session::session_expired,
    error::{Error, ErrorKind},
    retry::backoff,
    url::behind_last,
};

/// How long the server may take from the head of its answer to its first event.
const CONNECT_MAX: Moment = Moment::ms(15_000);
/// After so many failures in a row those who wait for their first acknowledgement are refused.
const FAILURES_MAX: u32 = 3;

/// Sorted keys of topics.
pub(super) type Topics = Vec<Arc<str>>;

struct Stream {
    id: StreamId,
    /// The server's name for it, once it has said so.
    client_id: Option<String>,
    /// By when it must have said so.
    connect_by: Moment,
    /// What is being submitted, and its version.
    submitting: Option<(u64, Topics)>,
    /// When a submit that failed is tried again.
    submit_at: Moment,
    /// What was acknowledged last.
    acked: Option<(u64, Topics)>,
    opened: Moment,
    heard: Moment,
}

/// A stream that has been replaced and is heard to its end.
struct Old {
    id: StreamId,
    until: Moment,
    heard: Moment,
    /// It has said something since: so all that was sent before has arrived.
    proved: bool,
}

/// What the feeds must know.
pub(super) enum Notice {
    /// These topics are acknowledged. On a stream that came after a gap, what was established before has missed
    /// something since then.
    Acknowledged { topics: Topics, gap: Moment },
    /// One stream is left of two. Unless the first has proved to be alive to its end, since when it may have been dead.
    OverlapOver { gap: Moment },
    /// The server refuses these topics.
    Refused { topics: Topics, error: Error },
    /// Those who wait have waited long enough.
    GiveUp(Error),
    /// The session has ended: nothing comes until somebody signs in or out.
    SessionEnded(Error),
}

pub(super) struct Link {
    timing: Timing,
    wanted: Topics,
    version: u64,
    current: Option<Box<Stream>>,
    next: Option<Box<Stream>>,
    old: Option<Old>,
    /// Since when there is nothing to listen to.
    idle_since: Moment,
    retry_at: Moment,
    failures: u32,
    /// The session has ended, and nobody has signed in or out since.
    ended: bool,
    /// Nobody looks at the page.
    hidden: bool,
    /// A stream was there, and something may have been missed since it was heard.
    gap: Moment,
    connected_once: bool,
    rotate_now: bool,
    last_id: StreamId,
}

impl Link {
    pub(super) fn new(timing: Timing) -> Link {
        Link {
            timing,
            wanted: Vec::new(),
            version: 0,
            current: None,
            next: None,
            old: None,
            idle_since: Moment::NEVER,
            retry_at: Moment::NEVER,
            failures: 0,
            ended: false,
            hidden: false,
            gap: Moment::NEVER,
            connected_once: false,
            rotate_now: false,
            last_id: 0,
        }
    }

    /// Sets what is to be listened to.
    pub(super) fn want(&mut self, topics: Topics) {
        if topics != self.wanted {
            self.wanted = topics;
            self.version += 1;
        }
    }

    /// Has the current stream acknowledged the topic?
    pub(super) fn has_acknowledged(&self, topic: &str) -> bool {
        let acked = self.current.as_ref().and_then(|stream| stream.acked.as_ref());
        acked.is_some_and(|(_, topics)| topics.binary_search_by(|other| (**other).cmp(topic)).is_ok())
    }

    /// Nothing to do any more.
    pub(super) fn is_over(&self) -> bool {
        self.wanted.is_empty() && self.current.is_none() && self.next.is_none() && self.old.is_none()
    }

    /// There is no stream on purpose.
    fn is_paused(&self) -> bool {
        self.ended || self.hidden
    }

    pub(super) fn state(&self) -> RealtimeState {
        let there = self.current.as_ref().is_some_and(|stream| stream.acked.is_some());
        match (self.wanted.is_empty(), self.is_paused(), there) {
            (true, _, _) if self.current.is_none() => RealtimeState::Disconnected,
            (_, true, _) => RealtimeState::Suspended,
            (_, false, true) => RealtimeState::Connected,
            (_, false, false) if self.connected_once => RealtimeState::Reconnecting,
            (_, false, false) => RealtimeState::Connecting,
        }
    }

    /// The head of the answer is there.
    pub(super) fn opened(&mut self, id: StreamId, now: Moment) {
        if let Some(stream) = self.stream(id) {
            stream.connect_by = now.plus(CONNECT_MAX);
        }
    }

    /// The server has said its name for the stream.
    pub(super) fn connected(&mut self, id: StreamId, client_id: String, now: Moment) {
        if let Some(stream) = self.stream(id) {
            (stream.client_id, stream.connect_by) = (Some(client_id), Moment::NEVER);
            (stream.opened, stream.heard) = (now, now);
        }
    }

    /// A message has come. None where the stream is no longer listened to.
    pub(super) fn heard(&mut self, id: StreamId, now: Moment) -> Option<Source> {
        if let Some(old) = self.old.as_mut().filter(|old| old.id == id) {
            old.proved = true;
            return Some(Source::Older);
        }
        let two = self.old.is_some() || self.next.is_some();
        if let Some(next) = self.next.as_mut().filter(|next| next.id == id) {
            next.heard = now;
            return Some(Source::Newer);
        }
        let current = self.current.as_mut().filter(|current| current.id == id)?;
        current.heard = now;
        Some(match (&self.old, two) {
            (Some(_), _) => Source::Newer,
            (None, true) => Source::Older,
            (None, false) if current.acked.is_none() => Source::Early,
            (None, false) => Source::Only,
        })
    }

    /// A stream has ended, or could not be opened; without an error the server ended it in order.
    pub(super) fn closed(
        &mut self,
        id: StreamId,
        error: Option<Error>,
        now: Moment,
        random: u32,
        out: &mut Effects,
    ) -> Option<Notice> {
        if let Some(old) = self.old.take_if(|old| old.id == id) {
            // Ended in order: all that it had to say has arrived.
            return Some(old.over(error.is_none()));
        }
        let is_current = self.current.as_ref().is_some_and(|stream| stream.id == id);
        let is_next = self.next.as_ref().is_some_and(|stream| stream.id == id);
        if !is_current && !is_next {
            return None;
        }
        let greeted = self.stream(id).is_some_and(|stream| stream.client_id.is_some());
        if is_current {
            if let Some(lost) = self.current.take() {
                self.lost(&lost, if error.is_none() { now } else { lost.heard });
            }
            self.current = self.next.take();
        } else {
            self.next = None;
        }
        if error.as_ref().is_some_and(|error| error.kind() == ErrorKind::SessionExpired) {
            return Some(self.session_ended(error.unwrap_or_else(lost_stream), out));
        }
        if self.current.is_some() && is_current {
            return None;
        }
        self.fail(error.unwrap_or_else(if greeted { lost_stream } else { no_stream }), now, random)
    }

    fn fail(&mut self, error: Error, now: Moment, random: u32) -> Option<Notice> {
        self.retry_at = now.plus(self.next_wait(&error, random));
        (self.failures >= FAILURES_MAX).then_some(Notice::GiveUp(error))
    }

    fn session_ended(&mut self, error: Error, out: &mut Effects) -> Notice {
        self.ended = true;
        self.close_all(out);
        Notice::SessionEnded(error)
    }

    /// A submit has been answered.
    pub(super) fn submitted(
        &mut self,
        id: StreamId,
        result: Result<(), Error>,
        now: Moment,
        random: u32,
        out: &mut Effects,
    ) -> Option<Notice> {
        let stream = self.stream(id)?;
        let (version, topics) = stream.submitting.take()?;
        match result {
            Ok(()) => {
                stream.acked = Some((version, topics.clone()));
                (self.failures, self.retry_at) = (0, Moment::NEVER);
                self.connected_once = true;
                self.acknowledged(id, topics, now)
            }
            Err(error) => self.submit_failed(id, topics, error, now, random, out),
        }
    }

    fn acknowledged(&mut self, id: StreamId, topics: Topics, now: Moment) -> Option<Notice> {
        if let Some(next) = self.next.as_ref().filter(|next| next.id == id) {
            // Until it hears all that is wanted, the first stream does.
            if next.acked.as_ref().is_none_or(|(version, _)| *version != self.version) {
                return None;
            }
            let old = self.current.take();
            self.current = self.next.take();
            let until = now.plus(self.timing.overlap);
            self.old = old.map(|old| Old { id: old.id, until, heard: old.heard, proved: false });
            return Some(Notice::Acknowledged { topics, gap: Moment::NEVER });
        }
        Some(Notice::Acknowledged { topics, gap: self.gap.take() })
    }

    /// A stream is gone: what it would have brought since then is missed.
    fn lost(&mut self, stream: &Stream, since: Moment) {
        if stream.acked.is_some() {
            self.gap = self.gap.min(since);
        }
    }

    fn submit_failed(
        &mut self,
        id: StreamId,
        topics: Topics,
        error: Error,
        now: Moment,
        random: u32,
        out: &mut Effects,
    ) -> Option<Notice> {
        if error.kind() == ErrorKind::SessionExpired {
            return Some(self.session_ended(error, out));
        }
        match error.status() {
            400 if !error.fields().is_empty() => {
                // What is refused need not be what is new: it is asked for again, but not in a hurry.
                self.submit_later(id, &error, now, random);
                return Some(Notice::Refused { topics: blamed(&topics, &error), error });
            }
            // The server does not know the stream, or not for this user.
            400 | 403 | 404 => {
                out.push(Effect::Close { stream: id });
                return self.closed(id, Some(error), now, random, out);
            }
            _ => {}
        }
        self.submit_later(id, &error, now, random);
        (self.failures >= FAILURES_MAX).then_some(Notice::GiveUp(error))
    }

    fn submit_later(&mut self, id: StreamId, error: &Error, now: Moment, random: u32) {
        let wait = self.next_wait(error, random);
        if let Some(stream) = self.stream(id) {
            stream.submit_at = now.plus(wait);
        }
    }

    /// Counts a failure; how long to wait after it.
    fn next_wait(&mut self, error: &Error, random: u32) -> Moment {
        let wait = backoff(self.failures, random).max(error.retry_after().unwrap_or_default());
        self.failures += 1;
        Moment::of(wait)
    }

    /// A guest has signed in: the server takes that on the same stream.
    pub(super) fn signed_in(&mut self) {
        self.ended = false;
        self.version += 1;
        // What was submitted before, or is on its way, is a guest's: of that user it says nothing.
        for stream in self.current.iter_mut().chain(&mut self.next) {
            for (_, topics) in stream.acked.iter_mut().chain(&mut stream.submitting) {
                topics.clear();
            }
        }
        (self.failures, self.retry_at) = (0, Moment::NEVER);
    }

    /// Another user, or none any more: the server takes that on a new stream only.
    pub(super) fn identity_changed(&mut self, out: &mut Effects) {
        self.ended = false;
        self.moved(out);
    }

    /// The server is another one.
    pub(super) fn moved(&mut self, out: &mut Effects) {
        self.close_all(out);
        self.gap = Moment::NEVER;
        (self.failures, self.retry_at) = (0, Moment::NEVER);
    }

    /// The session has ended, and nobody signs in again by itself.
    pub(super) fn suspend(&mut self, out: &mut Effects) -> Notice {
        self.session_ended(session_expired(), out)
    }

    /// Why nobody can subscribe now.
    pub(super) fn refusal(&self) -> Option<Error> {
        self.ended.then(session_expired)
    }

    /// The network has changed: what is there may be dead, and there is no need to wait any longer.
    pub(super) fn online(&mut self) {
        self.retry_at = Moment::NEVER;
        for stream in self.current.iter_mut().chain(&mut self.next) {
            stream.submit_at = Moment::NEVER;
        }
        self.rotate_now = true;
    }

    /// Nobody looks: the stream would keep the instance awake.
    pub(super) fn hide(&mut self, out: &mut Effects) {
        self.hidden = true;
        self.close_all(out);
    }

    /// Somebody looks again.
    pub(super) fn show(&mut self) {
        if core::mem::take(&mut self.hidden) {
            self.retry_at = Moment::NEVER;
        }
    }

    fn close_all(&mut self, out: &mut Effects) {
        if let Some(stream) = self.current.take() {
            self.lost(&stream, stream.heard);
            out.push(Effect::Close { stream: stream.id });
        }
        if let Some(stream) = self.next.take() {
            out.push(Effect::Close { stream: stream.id });
        }
        if let Some(old) = self.old.take() {
            out.push(Effect::Close { stream: old.id });
        }
    }

    /// Does what is due.
    pub(super) fn advance(&mut self, now: Moment, random: u32, out: &mut Effects) -> Option<Notice> {
        if self.old.as_ref().is_some_and(|old| old.until <= now) {
            let old = self.old.take()?;
            out.push(Effect::Close { stream: old.id });
            return Some(old.over(false));
        }
        let late = self.current.iter().chain(&self.next).find(|stream| stream.connect_by <= now);
        if let Some(id) = late.map(|stream| stream.id) {
            out.push(Effect::Close { stream: id });
            let notice = self.closed(id, Some(silent_stream()), now, random, out);
            if notice.is_some() {
                return notice;
            }
        }
        if self.wanted.is_empty() {
            self.wind_up(now, out);
            return None;
        }
        self.idle_since = Moment::NEVER;
        if self.is_paused() {
            return None;
        }
        self.submit(now, out);
        self.open(now, out);
        None
    }

    fn wind_up(&mut self, now: Moment, out: &mut Effects) {
        self.idle_since = self.idle_since.min(now);
        let acked = self.current.as_ref().is_some_and(|stream| stream.acked.is_some());
        if !acked || now.since(self.idle_since) >= self.timing.linger {
            self.close_all(out);
            (self.gap, self.retry_at) = (Moment::NEVER, Moment::NEVER);
            (self.connected_once, self.failures) = (false, 0);
        }
    }

    fn submit(&mut self, now: Moment, out: &mut Effects) {
        let (version, wanted) = (self.version, &self.wanted);
        for stream in self.current.iter_mut().chain(&mut self.next) {
            let Some(client_id) = &stream.client_id else { continue };
            if let Some(topics) = waiting_submit(stream.id, out) {
                // It has not gone yet, so it takes along what has come to be wanted since.
                topics.clone_from(wanted);
                stream.submitting = Some((version, wanted.clone()));
                continue;
            }
            let has = stream.acked.as_ref().is_some_and(|(acked, _)| *acked == version);
            if has || stream.submitting.is_some() || stream.submit_at.is_ahead(now) {
                continue;
            }
            stream.submit_at = Moment::NEVER;
            stream.submitting = Some((version, wanted.clone()));
            out.push(Effect::Submit { stream: stream.id, client_id: client_id.clone(), topics: wanted.clone() });
        }
    }

    fn open(&mut self, now: Moment, out: &mut Effects) {
        let replaces = self.current.is_some();
        if self.retry_at.is_ahead(now) || (replaces && self.rotation_at() > now) {
            return;
        }
        self.rotate_now = false;
        self.last_id += 1;
        let place = if replaces { &mut self.next } else { &mut self.current };
        *place = Some(Box::new(Stream::new(self.last_id, now)));
        out.push(Effect::Open { stream: self.last_id, ask: replaces || self.connected_once });
    }

    /// When the stream is to be replaced.
    fn rotation_at(&self) -> Moment {
        let Some(current) = self.current.as_ref().filter(|stream| stream.acked.is_some()) else { return Moment::NEVER };
        if self.next.is_some() || self.old.is_some() {
            return Moment::NEVER;
        }
        if self.rotate_now {
            return Moment::ZERO;
        }
        current.heard.plus(self.timing.liveness).min(current.opened.plus(self.timing.max_age))
    }

    /// When [`advance`](Self::advance) has something to do again.
    pub(super) fn deadline(&self) -> Moment {
        let is_idle = self.wanted.is_empty() || self.is_paused();
        let mut due = self.old.as_ref().map_or(Moment::NEVER, |old| old.until);
        for stream in self.current.iter().chain(&self.next) {
            due = due.min(stream.connect_by);
            if !is_idle {
                due = due.min(stream.submit_at);
            }
        }
        due.min(match (is_idle, &self.current) {
            (true, None) => Moment::NEVER,
            (true, Some(_)) => self.idle_since.plus(self.timing.linger),
            (false, None) => self.retry_at,
            (false, Some(_)) => self.rotation_at().max(self.retry_at.or_zero()),
        })
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut Stream> {
        let stream = self.current.iter_mut().chain(&mut self.next).find(|stream| stream.id == id)?;
        Some(stream)
    }
}

impl Stream {
    fn new(id: StreamId, now: Moment) -> Stream {
        Stream {
            id,
            client_id: None,
            connect_by: Moment::NEVER,
            submitting: None,
            submit_at: Moment::NEVER,
            acked: None,
            opened: now,
            heard: now,
        }
    }
}

/// The topics of a submit that has not gone yet.
fn waiting_submit(of: StreamId, out: &mut Effects) -> Option<&mut Topics> {
    out.iter_mut().find_map(|effect| match effect {
        Effect::Submit { stream, topics, .. } if *stream == of => Some(topics),
        _ => None,
    })
}

impl Old {
    fn over(&self, in_order: bool) -> Notice {
        Notice::OverlapOver { gap: if self.proved || in_order { Moment::NEVER } else { self.heard } }
    }
}

/// Which topics the server has complained about; all of them where it does not say.
fn blamed(topics: &Topics, error: &Error) -> Topics {
    let named: Topics = error
        .fields()
        .iter()
        .filter_map(|(name, _)| behind_last(name, b'.').unwrap_or(name).parse::<usize>().ok())
        .filter_map(|at| topics.get(at).cloned())
        .collect();
    if named.is_empty() { topics.clone() } else { named }
}

fn lost_stream() -> Error {
    Error::new(ErrorKind::Network, "the event stream has ended")
}

fn silent_stream() -> Error {
    Error::new(ErrorKind::Timeout, "the event stream is open but says nothing")
        .with_fix("Check that no proxy on the way holds back text/event-stream answers.")
}
