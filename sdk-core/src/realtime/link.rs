//! The streams: opened, subscribed, replaced before the server ends them, and opened again after a failure.
//!
//! Pure: no clock and no connection of its own. There is one stream, and a second one for as long as it takes to put it
//! in the first one's place.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use super::{
    event::RealtimeState,
    feed::Source,
    machine::{Effect, Effects, StreamId, Timing},
    stream::no_stream,
};
use crate::{
    auth::session::session_expired,
    error::{Error, ErrorKind},
    retry::backoff,
};

/// How long the server may take from the head of its answer to its first event.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// After so many failures in a row those who wait for their first acknowledgement are refused.
const FAILURES_MAX: u32 = 3;

/// Sorted keys of topics.
pub(super) type Topics = Vec<Arc<str>>;

struct Stream {
    id: StreamId,
    /// The server's name for it, once it has said so.
    client_id: Option<String>,
    /// By when it must have said so.
    connect_by: Option<Duration>,
    /// What is being submitted, and its version.
    submitting: Option<(u64, Topics)>,
    /// When a submit that failed is tried again.
    submit_at: Option<Duration>,
    /// What was acknowledged last.
    acked: Option<(u64, Topics)>,
    opened: Duration,
    heard: Duration,
}

/// A stream that has been replaced and is heard to its end.
struct Old {
    id: StreamId,
    until: Duration,
    heard: Duration,
    /// It has said something since: so all that was sent before has arrived.
    proved: bool,
}

/// What the feeds must know.
pub(super) enum Notice {
    /// These topics are acknowledged. On a stream that came after a gap, what was established before has missed
    /// something.
    Acknowledged { topics: Topics, gap: Option<Duration> },
    /// One stream is left of two. Unless the first has proved to be alive to its end, since when it may have been dead.
    OverlapOver { gap: Option<Duration> },
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
    current: Option<Stream>,
    next: Option<Stream>,
    old: Option<Old>,
    /// Since when there is nothing to listen to.
    idle_since: Option<Duration>,
    retry_at: Option<Duration>,
    failures: u32,
    /// The session has ended, and nobody has signed in or out since.
    ended: bool,
    /// Nobody looks at the page.
    hidden: bool,
    /// A stream was there, and something may have been missed since it was heard.
    gap: Option<Duration>,
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
            idle_since: None,
            retry_at: None,
            failures: 0,
            ended: false,
            hidden: false,
            gap: None,
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
    pub(super) fn opened(&mut self, id: StreamId, now: Duration) {
        if let Some(stream) = self.stream(id) {
            stream.connect_by = Some(now.saturating_add(CONNECT_MAX));
        }
    }

    /// The server has said its name for the stream.
    pub(super) fn connected(&mut self, id: StreamId, client_id: String, now: Duration) {
        if let Some(stream) = self.stream(id) {
            (stream.client_id, stream.connect_by) = (Some(client_id), None);
            (stream.opened, stream.heard) = (now, now);
        }
    }

    /// A message has come. None where the stream is no longer listened to.
    pub(super) fn heard(&mut self, id: StreamId, now: Duration) -> Option<Source> {
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
        now: Duration,
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
                self.lost(&lost, error.is_none().then_some(now));
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

    fn fail(&mut self, error: Error, now: Duration, random: u32) -> Option<Notice> {
        self.retry_at = Some(now.saturating_add(self.next_wait(&error, random)));
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
        now: Duration,
        random: u32,
        out: &mut Effects,
    ) -> Option<Notice> {
        let stream = self.stream(id)?;
        let (version, topics) = stream.submitting.take()?;
        match result {
            Ok(()) => {
                stream.acked = Some((version, topics.clone()));
                (self.failures, self.retry_at) = (0, None);
                self.connected_once = true;
                self.acknowledged(id, topics, now)
            }
            Err(error) => self.submit_failed(id, topics, error, now, random, out),
        }
    }

    fn acknowledged(&mut self, id: StreamId, topics: Topics, now: Duration) -> Option<Notice> {
        let complete = |stream: &Stream| stream.acked.as_ref().is_some_and(|(version, _)| *version == self.version);
        if self.next.as_ref().is_some_and(|next| next.id == id) {
            // Until it hears all that is wanted, the first stream does.
            if !self.next.as_ref().is_some_and(complete) {
                return None;
            }
            let old = self.current.take();
            self.current = self.next.take();
            let until = now.saturating_add(self.timing.overlap);
            self.old = old.map(|old| Old { id: old.id, until, heard: old.heard, proved: false });
            return Some(Notice::Acknowledged { topics, gap: None });
        }
        Some(Notice::Acknowledged { topics, gap: self.gap.take() })
    }

    /// A stream is gone: what it would have brought is missed. Where it ended in order that begins at the end.
    fn lost(&mut self, stream: &Stream, ended: Option<Duration>) {
        if stream.acked.is_some() {
            let heard = ended.unwrap_or(stream.heard);
            self.gap = Some(self.gap.map_or(heard, |before| before.min(heard)));
        }
    }

    fn submit_failed(
        &mut self,
        id: StreamId,
        topics: Topics,
        error: Error,
        now: Duration,
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

    fn submit_later(&mut self, id: StreamId, error: &Error, now: Duration, random: u32) {
        let wait = self.next_wait(error, random);
        if let Some(stream) = self.stream(id) {
            stream.submit_at = Some(now.saturating_add(wait));
        }
    }

    /// Counts a failure; how long to wait after it.
    fn next_wait(&mut self, error: &Error, random: u32) -> Duration {
        let wait = backoff(self.failures, random).max(error.retry_after().unwrap_or_default());
        self.failures += 1;
        wait
    }

    /// A guest has signed in: the server takes that on the same stream.
    pub(super) fn signed_in(&mut self) {
        self.ended = false;
        self.version += 1;
        // What was submitted before, or is on its way, is a guest's: of that user it says nothing.
        for stream in [&mut self.current, &mut self.next].into_iter().flatten() {
            let submits = [&mut stream.acked, &mut stream.submitting];
            submits.into_iter().flatten().for_each(|(_, topics)| topics.clear());
        }
        (self.failures, self.retry_at) = (0, None);
    }

    /// Another user, or none any more: the server takes that on a new stream only.
    pub(super) fn identity_changed(&mut self, out: &mut Effects) {
        self.ended = false;
        self.moved(out);
    }

    /// The server is another one.
    pub(super) fn moved(&mut self, out: &mut Effects) {
        self.close_all(out);
        self.gap = None;
        (self.failures, self.retry_at) = (0, None);
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
        self.retry_at = None;
        for stream in [&mut self.current, &mut self.next].into_iter().flatten() {
            stream.submit_at = None;
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
            self.retry_at = None;
        }
    }

    fn close_all(&mut self, out: &mut Effects) {
        let current = self.current.take();
        if let Some(stream) = &current {
            self.lost(stream, None);
        }
        let ids = [current.map(|s| s.id), self.next.take().map(|s| s.id), self.old.take().map(|s| s.id)];
        for stream in ids.into_iter().flatten() {
            out.push(Effect::Close { stream });
        }
    }

    /// Does what is due.
    pub(super) fn advance(&mut self, now: Duration, random: u32, out: &mut Effects) -> Option<Notice> {
        if self.old.as_ref().is_some_and(|old| old.until <= now) {
            let old = self.old.take()?;
            out.push(Effect::Close { stream: old.id });
            return Some(old.over(false));
        }
        let late = [&self.current, &self.next].into_iter().flatten();
        let late = late.filter(|stream| stream.connect_by.is_some_and(|by| by <= now)).map(|stream| stream.id).next();
        if let Some(id) = late {
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
        self.idle_since = None;
        if self.is_paused() {
            return None;
        }
        self.submit(now, out);
        self.open(now, out);
        None
    }

    fn wind_up(&mut self, now: Duration, out: &mut Effects) {
        let since = *self.idle_since.get_or_insert(now);
        let acked = self.current.as_ref().is_some_and(|stream| stream.acked.is_some());
        if !acked || now.saturating_sub(since) >= self.timing.linger {
            self.close_all(out);
            (self.gap, self.connected_once, self.failures, self.retry_at) = (None, false, 0, None);
        }
    }

    fn submit(&mut self, now: Duration, out: &mut Effects) {
        let (version, wanted) = (self.version, &self.wanted);
        for stream in [&mut self.current, &mut self.next].into_iter().flatten() {
            let Some(client_id) = &stream.client_id else { continue };
            if let Some(topics) = waiting_submit(stream.id, out) {
                // It has not gone yet, so it takes along what has come to be wanted since.
                topics.clone_from(wanted);
                stream.submitting = Some((version, wanted.clone()));
                continue;
            }
            let has = stream.acked.as_ref().is_some_and(|(acked, _)| *acked == version);
            if has || stream.submitting.is_some() || stream.submit_at.is_some_and(|at| at > now) {
                continue;
            }
            stream.submit_at = None;
            stream.submitting = Some((version, wanted.clone()));
            out.push(Effect::Submit { stream: stream.id, client_id: client_id.clone(), topics: wanted.clone() });
        }
    }

    fn open(&mut self, now: Duration, out: &mut Effects) {
        if self.retry_at.is_some_and(|at| at > now) {
            return;
        }
        match &self.current {
            None => {
                self.rotate_now = false;
                self.last_id += 1;
                self.current = Some(Stream::new(self.last_id, now));
                out.push(Effect::Open { stream: self.last_id, ask: self.connected_once });
            }
            Some(_) if self.rotation_at().is_some_and(|at| at <= now) => {
                self.rotate_now = false;
                self.last_id += 1;
                self.next = Some(Stream::new(self.last_id, now));
                out.push(Effect::Open { stream: self.last_id, ask: true });
            }
            Some(_) => {}
        }
    }

    /// When the stream is to be replaced.
    fn rotation_at(&self) -> Option<Duration> {
        let current = self.current.as_ref().filter(|stream| stream.acked.is_some())?;
        if self.next.is_some() || self.old.is_some() {
            return None;
        }
        if self.rotate_now {
            return Some(Duration::ZERO);
        }
        let quiet = current.heard.saturating_add(self.timing.liveness);
        Some(quiet.min(current.opened.saturating_add(self.timing.max_age)))
    }

    /// When [`advance`](Self::advance) has something to do again.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let old = self.old.as_ref().map(|old| old.until);
        let streams = [&self.current, &self.next].into_iter().flatten();
        let connect = streams.clone().filter_map(|stream| stream.connect_by).min();
        let idle = self.idle_since.filter(|_| self.current.is_some()).map(|at| at.saturating_add(self.timing.linger));
        if self.wanted.is_empty() || self.is_paused() {
            return [old, connect, idle].into_iter().flatten().min();
        }
        let submit = streams.filter_map(|stream| stream.submit_at).min();
        let open = match (&self.current, self.rotation_at()) {
            (None, _) => self.retry_at,
            (Some(_), at) => at.map(|at| at.max(self.retry_at.unwrap_or_default())),
        };
        [old, connect, submit, open].into_iter().flatten().min()
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut Stream> {
        [&mut self.current, &mut self.next].into_iter().flatten().find(|stream| stream.id == id)
    }
}

impl Stream {
    fn new(id: StreamId, now: Duration) -> Stream {
        Stream {
            id,
            client_id: None,
            connect_by: None,
            submitting: None,
            submit_at: None,
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
        Notice::OverlapOver { gap: (!self.proved && !in_order).then_some(self.heard) }
    }
}

/// Which topics the server has complained about; all of them where it does not say.
fn blamed(topics: &Topics, error: &Error) -> Topics {
    let named: Topics = error
        .fields()
        .iter()
        .filter_map(|(name, _)| name.rsplit('.').next()?.parse::<usize>().ok())
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
