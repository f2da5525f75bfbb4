//! One topic: its listeners, the order of its events, and what must be fetched after a gap.
//!
//! Pure: what happened goes in, deliveries and the wish to fetch something come out.

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use bytes::Bytes;

use super::{
    event::{EventAction, Origin, ResyncReason},
    machine::{Effect, Effects, ListenerId, Timing},
    moment::Moment,
    overlap::Overlap,
    queue::Item,
    seen::{Seen, Verdict, Version, hash},
    topic::{Target, Topic},
};
use crate::{
    error::Error,
    json::{Json, peek_into, string_in},
    retry::backoff,
    url::parse_date,
};

/// How often a fetch is tried while the stream is there.
const FETCHES_MAX: u32 = 4;
/// How long to wait before the server is asked which of several versions is the last: more may be on their way.
const UNSURE_WAIT: Moment = Moment::ms(250);

/// A message of the stream, as far as the client looks into it.
pub(super) struct Incoming {
    /// What happened to which record; none for a message of one's own.
    record: Option<(EventAction, String)>,
    updated: Option<u64>,
    hash: u64,
    /// The record, or the message.
    json: Json,
}

impl Incoming {
    pub(super) fn read(data: String) -> Incoming {
        let data = Bytes::from(data);
        if let Some(event) = Incoming::event(&data) {
            return event;
        }
        // A message of one's own may be any text, also one that only begins like JSON.
        let json = Json::parse(data.clone()).unwrap_or_else(|_| Json::string(&String::from_utf8_lossy(&data)));
        Incoming { record: None, updated: None, hash: hash(&data), json }
    }

    /// What happened to a record, if it says that.
    fn event(data: &Bytes) -> Option<Incoming> {
        let (action, record, [id, updated]) = peek_into(data, "action", "record", &Peeked::FIELDS)?;
        let action = EventAction::read(&string_in(action)?)?;
        let id = string_in(id?)?.into_owned();
        let updated = updated.and_then(|updated| parse_date(&string_in(updated)?));
        Some(Incoming { record: Some((action, id)), updated, hash: hash(record), json: Json::part(data, record) })
    }
}

/// The few fields of a record that the client looks at.
struct Peeked {
    id: String,
    updated: Option<u64>,
    hash: u64,
}

impl Peeked {
    const FIELDS: [&str; 2] = ["id", "updated"];

    /// `shuffled`: the order of the members means nothing.
    fn at(record: &Json, shuffled: bool) -> Option<Peeked> {
        let hash = if shuffled { hash_sorted(record) } else { hash(record.as_bytes()) };
        let [id, updated] = record.peek(Peeked::FIELDS);
        let updated = updated.and_then(|updated| parse_date(&updated.str()?));
        Some(Peeked { id: id?.as_str()?, updated, hash })
    }

    fn version(&self) -> Version<'_> {
        Version { id: &self.id, updated: self.updated.unwrap_or_default(), hash: self.hash }
    }
}

fn hash_sorted(record: &Json) -> u64 {
    hash(record.sorted().as_bytes())
}

/// Which stream a message came from, while one takes the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Only,
    Older,
    Newer,
    /// The only one, and not acknowledged yet: there may be a gap before it.
    Early,
}

/// Can what was missed be fetched?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum History {
    Maybe,
    No(ResyncReason),
}

/// What was there when the topic was acknowledged.
struct Baseline {
    at: Moment,
    /// The newest `updated` of the collection.
    newest: u64,
    /// The record of a topic of one record: `updated` and hash, or none if there was none.
    record: Option<(u64, u64)>,
}

/// What a feed wants to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Baseline,
    CatchUp,
    Recheck,
}

struct Listener {
    id: ListenerId,
    /// The feed's turn when it joined: of what was before it knows nothing.
    since: u64,
    /// Gets every event at once and is told of gaps instead of what is fetched: live queries ask for themselves.
    raw: bool,
    waiting: bool,
}

pub(super) struct Feed {
    pub(super) topic: Arc<Topic>,
    listeners: Vec<Listener>,
    /// The server has acknowledged it once.
    established: bool,
    auth_changed: bool,
    seen: Seen,
    /// The newest `updated` seen, in Unix milliseconds.
    cursor: Option<u64>,
    /// The same of a stream before which something may have been missed.
    ahead: Option<u64>,
    /// From where on events may have been missed.
    since: Option<u64>,
    /// When the stream that was lost was last heard.
    heard: Moment,
    gap: bool,
    baseline: Option<Baseline>,
    /// Since when, so that what is newest then can be told from what came later.
    wants_baseline: Moment,
    baseline_since: Moment,
    history: History,
    overlap: Overlap,
    unsure: Vec<String>,
    unsure_at: Moment,
    /// Of which the server is being asked.
    asked: Vec<String>,
    /// The turn at which the fetch began.
    asked_at: u64,
    fetching: bool,
    fetches: u32,
    fetch_at: Moment,
}

impl Feed {
    pub(super) fn new(topic: Topic, timing: &Timing) -> Feed {
        let history = match topic.target {
            Target::Custom => History::No(ResyncReason::NoHistory),
            _ if !timing.catch_up => History::No(ResyncReason::Unavailable),
            _ => History::Maybe,
        };
        Feed {
            topic: Arc::new(topic),
            listeners: Vec::new(),
            established: false,
            auth_changed: false,
            seen: Seen::new(timing.tracked_max),
            cursor: None,
            ahead: None,
            since: None,
            heard: Moment::NEVER,
            gap: false,
            baseline: None,
            wants_baseline: Moment::NEVER,
            baseline_since: Moment::ZERO,
            history,
            overlap: Overlap::default(),
            unsure: Vec::new(),
            unsure_at: Moment::NEVER,
            asked: Vec::new(),
            asked_at: 0,
            fetching: false,
            fetches: 0,
            fetch_at: Moment::NEVER,
        }
    }

    pub(super) fn join(&mut self, id: ListenerId, raw: bool, now: Moment) {
        self.listeners.push(Listener { id, since: self.seen.turn(), raw, waiting: true });
        if self.established && !raw && self.cursor.is_none() && self.baseline.is_none() {
            self.wants_baseline = self.wants_baseline.min(now);
        }
    }

    pub(super) fn leave(&mut self, id: ListenerId) {
        self.listeners.retain(|listener| listener.id != id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = ListenerId> {
        self.listeners.iter().map(|listener| listener.id)
    }

    pub(super) fn is_established(&self) -> bool {
        self.established
    }

    /// Takes those out that wait for the acknowledgement.
    pub(super) fn take_waiting(&mut self) -> Vec<ListenerId> {
        let waiting = self.listeners.iter().filter(|listener| listener.waiting).map(|listener| listener.id).collect();
        self.listeners.retain(|listener| !listener.waiting);
        waiting
    }

    /// Has it been acknowledged, and is it still the same user's?
    pub(super) fn goes_on(&self) -> bool {
        self.established && !self.auth_changed
    }

    /// The server has acknowledged the topic. Says whether it goes on from before.
    pub(super) fn acknowledged(&mut self, now: Moment, out: &mut Effects) -> bool {
        let goes_on = self.goes_on();
        if core::mem::take(&mut self.auth_changed) {
            self.begin_anew();
            self.tell_all(out, Item::Resync(ResyncReason::AuthChanged));
            self.tell_raw(out);
            self.established = false;
        }
        for listener in self.listeners.iter_mut().filter(|listener| listener.waiting) {
            listener.waiting = false;
            out.push(Effect::Acknowledge { listener: listener.id });
        }
        if !self.established {
            self.established = true;
            self.settle();
            let is_wanted = self.listeners.iter().any(|listener| !listener.raw);
            self.wants_baseline = if is_wanted { now } else { Moment::NEVER };
        }
        goes_on
    }

    /// Another user, or none: what was seen says nothing any more. Until the server knows that too, the stream may go
    /// on, in its order.
    pub(super) fn forget(&mut self) {
        self.auth_changed = self.established;
        if !self.established {
            self.begin_anew();
        }
        (self.fetching, self.fetches, self.fetch_at) = (false, 0, Moment::NEVER);
        if self.history == History::No(ResyncReason::NoListAccess) {
            self.history = History::Maybe;
        }
    }

    fn begin_anew(&mut self) {
        self.seen.clear();
        (self.cursor, self.ahead, self.since, self.baseline) = (None, None, None, None);
        (self.gap, self.heard, self.wants_baseline) = (false, Moment::NEVER, Moment::NEVER);
        (self.unsure, self.unsure_at, self.asked) = (Vec::new(), Moment::NEVER, Vec::new());
    }

    /// Events may have been missed since the stream was `heard`; it is there again.
    pub(super) fn missed(&mut self, heard: Moment, now: Moment, skew: Moment, out: &mut Effects) {
        let cursor = self.cursor;
        self.settle();
        self.tell_raw(out);
        if self.listeners.iter().all(|listener| listener.raw || listener.waiting) {
            return;
        }
        if let History::No(reason) = self.history {
            self.tell_all(out, Item::Resync(reason));
            if reason == ResyncReason::NoListAccess {
                // Rules change: what was refused may be allowed at the next gap.
                (self.history, self.wants_baseline) = (History::Maybe, now);
            }
            return;
        }
        if let Target::All { .. } = self.topic.target {
            let Some(cursor) = cursor else {
                self.tell_all(out, Item::Resync(ResyncReason::Unavailable));
                self.wants_baseline = now;
                return;
            };
            // A gap within a gap: what the first fetch has not brought yet is still wanted.
            let since = cursor.saturating_sub(crate::call::millis(skew.duration()));
            self.since = Some(self.since.map_or(since, |before| before.min(since)));
        }
        self.heard = self.heard.min(heard);
        (self.gap, self.fetches, self.fetch_at) = (true, 0, Moment::NEVER);
    }

    /// Nothing is missing before what the newer stream has brought.
    pub(super) fn settle(&mut self) {
        self.cursor = self.cursor.max(self.ahead.take());
    }

    /// There is one stream again.
    pub(super) fn end_overlap(&mut self, now: Moment, late: Moment) {
        self.overlap.end(now, late);
    }

    pub(super) fn message(&mut self, source: Source, incoming: Incoming, now: Moment, out: &mut Effects) {
        let Incoming { record, updated, hash, json } = incoming;
        let Some((action, id)) = record else {
            if self.overlap.is_first(source, hash, now) {
                self.tell(out, Whom::Everyone, Item::Message { topic: self.topic.name.clone(), data: json });
            }
            return;
        };
        let hash = if self.topic.shuffles() { hash_sorted(&json) } else { hash };
        let topic = self.topic.name.clone();
        let verdict = match updated {
            Some(updated) => {
                let is_ahead = matches!(source, Source::Newer | Source::Early);
                let cursor = if is_ahead { &mut self.ahead } else { &mut self.cursor };
                *cursor = (*cursor).max(Some(updated));
                let version = Version { id: &id, updated, hash };
                if action == EventAction::Delete { self.seen.delete(version) } else { self.seen.change(version) }
            }
            None => {
                self.has_no_history();
                if self.overlap.is_first(source, hash, now) { Verdict::Later } else { Verdict::Old }
            }
        };
        if verdict == Verdict::Unsure {
            self.doubt(id.clone(), now);
        }
        let item = Item::Record { action, id, origin: Origin::Live, topic, json };
        // A live query does not look at the order: that something happened is enough for it.
        self.tell(out, if verdict.is_news() { Whom::Everyone } else { Whom::Raw }, item);
    }

    /// Its records cannot be told by their age.
    fn has_no_history(&mut self) {
        if self.history == History::Maybe {
            self.history = History::No(ResyncReason::NoHistory);
        }
    }

    fn doubt(&mut self, id: String, now: Moment) {
        // Live queries ask for themselves.
        if self.listeners.iter().all(|listener| listener.raw) {
            return;
        }
        self.unsure.push(id);
        self.unsure_at = now.plus(UNSURE_WAIT);
    }

    /// What should be fetched now.
    pub(super) fn need(&self, now: Moment) -> Option<Need> {
        let due = self.goes_on() && !self.fetching && !self.fetch_at.is_ahead(now);
        if !due {
            return None;
        }
        if self.gap {
            return Some(Need::CatchUp);
        }
        if self.needs_baseline() {
            return Some(Need::Baseline);
        }
        (self.unsure_at <= now).then_some(Need::Recheck)
    }

    /// When [`need`](Self::need) should be asked again.
    pub(super) fn deadline(&self) -> Moment {
        if self.fetching || !self.goes_on() {
            return Moment::NEVER;
        }
        if self.gap || self.needs_baseline() { self.fetch_at } else { self.unsure_at.max(self.fetch_at.or_zero()) }
    }

    fn needs_baseline(&self) -> bool {
        self.wants_baseline.is_set() && self.history == History::Maybe
    }

    /// The fetch begins; what it is to fetch.
    pub(super) fn begin_fetch(&mut self, need: Need) -> Wanted {
        (self.fetching, self.asked_at) = (true, self.seen.turn());
        if need == Need::Baseline {
            self.baseline_since = self.wants_baseline.take();
        }
        match (need, &self.topic.target) {
            (Need::Recheck, _) => {
                self.unsure_at = Moment::NEVER;
                self.asked = core::mem::take(&mut self.unsure);
                self.asked.sort_unstable();
                self.asked.dedup();
                Wanted::Records(self.asked.clone())
            }
            (Need::CatchUp, Target::All { .. }) => {
                self.gap = false;
                Wanted::Since(self.since.unwrap_or_default(), self.seen.alive().map(ToString::to_string).collect())
            }
            (_, Target::One { id, .. }) => {
                // To catch up with one record is to learn how it is.
                (self.gap, self.wants_baseline) = (false, Moment::NEVER);
                Wanted::Records(alloc::vec![id.clone()])
            }
            (_, _) => Wanted::Newest,
        }
    }

    /// A fetch has brought something.
    pub(super) fn fetched(&mut self, need: Need, found: &Found, now: Moment, skew: Moment, out: &mut Effects) {
        self.fetching = false;
        (self.fetches, self.fetch_at) = (0, Moment::NEVER);
        match need {
            // What came so late may hold what a stream that has died meanwhile has swallowed.
            Need::Baseline if now.since(self.baseline_since) > skew => {}
            Need::Baseline => self.set_baseline(found, now),
            Need::CatchUp => self.catch_up(found, now, skew, out),
            Need::Recheck => self.recheck(found, skew, out),
        }
    }

    fn set_baseline(&mut self, found: &Found, now: Moment) {
        let own = self.own(found);
        if own.as_ref().is_some_and(|own| own.updated.is_none()) {
            self.has_no_history();
        }
        let record = own.map(|own| (own.updated.unwrap_or_default(), own.hash));
        let newest = found.newest.unwrap_or_default();
        if let Target::All { .. } = self.topic.target {
            self.cursor = self.cursor.max(Some(newest));
        }
        self.baseline = Some(Baseline { at: now, newest, record });
    }

    fn catch_up(&mut self, found: &Found, now: Moment, skew: Moment, out: &mut Effects) {
        for record in &found.records {
            let Some(peeked) = self.peek(record) else { continue };
            if !self.is_own(&peeked.id) || self.was_before(&peeked, skew) {
                continue;
            }
            let verdict = self.seen.change(peeked.version());
            if verdict == Verdict::Unsure {
                self.doubt(peeked.id.clone(), now);
            }
            match verdict {
                Verdict::Old => {}
                Verdict::New => self.tell_found(out, self.action(record), peeked.id, record),
                _ => self.tell_found(out, EventAction::Update, peeked.id, record),
            }
        }
        self.tell_gone(found, skew, out);
        if let Target::One { .. } = self.topic.target {
            self.set_baseline(found, now);
        }
        if !self.gap {
            self.cursor = self.cursor.max(found.newest);
            (self.since, self.heard) = (None, Moment::NEVER);
        }
        if found.cut || self.seen.forgot() {
            self.tell_all(out, Item::Resync(ResyncReason::TooMuch));
        }
    }

    fn recheck(&mut self, found: &Found, skew: Moment, out: &mut Effects) {
        for record in &found.records {
            let Some(peeked) = self.peek(record) else { continue };
            if self.seen.correct(peeked.version()).is_news() {
                self.tell_found(out, EventAction::Update, peeked.id, record);
            }
        }
        self.tell_gone(found, skew, out);
    }

    /// Those that are no longer there, for those who knew of them.
    fn tell_gone(&mut self, found: &Found, skew: Moment, out: &mut Effects) {
        for id in &found.gone {
            if !self.is_own(id) {
                continue;
            }
            let known = match self.seen.gone(id, self.asked_at) {
                Some(turn) if self.is_all() => turn,
                // Whoever asks for one record knows of it, unless it was not there in the beginning.
                Some(_) => u64::MAX,
                None if !self.is_all() && !self.seen.knows(id) && !self.was_absent(skew) => {
                    self.seen.delete(Version { id, updated: 0, hash: 0 });
                    u64::MAX
                }
                None => continue,
            };
            let json = Json::object([
                ("id", Json::string(id)),
                ("collectionName", Json::string(self.topic.target.collection())),
            ]);
            let item = found_item(EventAction::Delete, id.clone(), self.topic.name.clone(), json);
            self.tell(out, Whom::Knowing(known), item);
        }
    }

    /// What was there when the topic was acknowledged. That can only be told where the stream was heard a while later:
    /// else an event may have been on its way when it was lost.
    fn proved_baseline(&self, skew: Moment) -> Option<&Baseline> {
        self.baseline.as_ref().filter(|baseline| self.heard.is_set() && self.heard.since(baseline.at) >= skew)
    }

    fn was_absent(&self, skew: Moment) -> bool {
        self.proved_baseline(skew).is_some_and(|baseline| baseline.record.is_none())
    }

    /// Was the record like this when the topic was acknowledged?
    fn was_before(&self, peeked: &Peeked, skew: Moment) -> bool {
        let Some(baseline) = self.proved_baseline(skew).filter(|_| !self.seen.knows(&peeked.id)) else { return false };
        match self.topic.target {
            Target::One { .. } => baseline.record == Some((peeked.updated.unwrap_or_default(), peeked.hash)),
            _ => peeked.updated.is_some_and(|updated| updated <= baseline.newest),
        }
    }

    /// What has happened to a record that was not seen before: if it was created after the last event, that.
    fn action(&self, record: &Json) -> EventAction {
        let created = record.get_str("created").and_then(|text| parse_date(&text));
        let start = self.baseline.as_ref().map(|baseline| baseline.newest);
        match (created, start) {
            (Some(created), Some(start)) if created > start && self.is_all() => EventAction::Create,
            _ => EventAction::Update,
        }
    }

    fn is_all(&self) -> bool {
        matches!(self.topic.target, Target::All { .. })
    }

    fn peek(&self, record: &Json) -> Option<Peeked> {
        Peeked::at(record, self.topic.shuffles())
    }

    fn own(&self, found: &Found) -> Option<Peeked> {
        let Target::One { id, .. } = &self.topic.target else { return None };
        found.records.iter().find_map(|json| self.peek(json).filter(|peeked| peeked.id == *id))
    }

    /// Several topics of one record each are fetched together.
    fn is_own(&self, id: &str) -> bool {
        match &self.topic.target {
            Target::One { id: own, .. } => own == id,
            _ => true,
        }
    }

    /// A fetch has failed.
    pub(super) fn fetch_failed(&mut self, need: Need, error: &Error, now: Moment, random: u32, out: &mut Effects) {
        self.fetching = false;
        let lasting = match error.status() {
            403 => Some(ResyncReason::NoListAccess),
            400 | 404 => Some(ResyncReason::NoHistory),
            _ => None,
        };
        self.fetches += 1;
        if lasting.is_none() && self.fetches < FETCHES_MAX {
            self.fetch_at = now.plus(Moment::of(backoff(self.fetches, random)));
            self.fetch_again(need);
            return;
        }
        (self.fetches, self.fetch_at) = (0, Moment::NEVER);
        if let Some(reason) = lasting.filter(|_| need != Need::Recheck) {
            self.history = History::No(reason);
        }
        if need != Need::Baseline {
            self.tell_all(out, Item::Resync(lasting.unwrap_or(ResyncReason::Unavailable)));
        }
        if need == Need::CatchUp && !self.gap {
            (self.since, self.heard) = (None, Moment::NEVER);
        }
    }

    /// What a fetch was to bring is still wanted.
    fn fetch_again(&mut self, need: Need) {
        match need {
            Need::CatchUp => self.gap = true,
            Need::Baseline => {
                if !self.wants_baseline.is_set() {
                    self.wants_baseline = self.baseline_since;
                }
            }
            Need::Recheck => {
                self.unsure.append(&mut self.asked);
                self.unsure_at = self.fetch_at;
            }
        }
    }

    fn tell_found(&self, out: &mut Effects, action: EventAction, id: String, record: &Json) {
        self.tell_all(out, found_item(action, id, self.topic.name.clone(), record.clone()));
    }

    /// To those that do not ask for themselves.
    fn tell_all(&self, out: &mut Effects, item: Item) {
        self.tell(out, Whom::Knowing(u64::MAX), item);
    }

    fn tell_raw(&self, out: &mut Effects) {
        self.tell(out, Whom::Raw, Item::Stale);
    }

    /// To those of the established that are meant.
    pub(super) fn tell(&self, out: &mut Effects, whom: Whom, item: Item) {
        let mut chosen = self.listeners.iter().filter(|listener| !listener.waiting && whom.means(listener));
        let Some(mut listener) = chosen.next() else { return };
        for next in chosen {
            out.push(Effect::Deliver { listener: listener.id, item: item.clone() });
            listener = next;
        }
        // Mostly there is one, and nothing is copied.
        out.push(Effect::Deliver { listener: listener.id, item });
    }
}

/// Which listeners are told something.
#[derive(Clone, Copy)]
pub(super) enum Whom {
    Everyone,
    /// Those that ask for themselves.
    Raw,
    /// The others, if they had joined by this turn.
    Knowing(u64),
}

impl Whom {
    fn means(self, listener: &Listener) -> bool {
        match self {
            Whom::Everyone => true,
            Whom::Raw => listener.raw,
            Whom::Knowing(turn) => !listener.raw && listener.since <= turn,
        }
    }
}

fn found_item(action: EventAction, id: String, topic: Arc<str>, json: Json) -> Item {
    Item::Record { action, id, origin: Origin::CatchUp, topic, json }
}

/// What a feed wants to know.
pub(super) enum Wanted {
    /// The newest `updated` of the collection.
    Newest,
    /// What has changed since then, in Unix milliseconds, and which of these are gone.
    Since(u64, Vec<String>),
    /// These records.
    Records(Vec<String>),
}

impl Wanted {
    /// This and that, where both are records; else that.
    pub(super) fn and(self, more: Wanted) -> Wanted {
        match (self, more) {
            (Wanted::Records(mut all), Wanted::Records(more)) => {
                all.extend(more);
                Wanted::Records(all)
            }
            (_, more) => more,
        }
    }
}

/// What a fetch has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) records: Vec<Json>,
    /// Which of those that were asked for are not there.
    pub(crate) gone: Vec<String>,
    /// The newest `updated` among the records, or of the collection.
    pub(crate) newest: Option<u64>,
    /// There was more than may be fetched.
    pub(crate) cut: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{realtime::RealtimeOptions, transport::Headers, url::Query};

    /// How many of these two reach a listener that asked for such `fields`.
    fn delivered(fields: Option<&str>, records: [&str; 2]) -> usize {
        let mut query = Query::new();
        query.set("fields", fields);
        let mut feed =
            Feed::new(Topic::new("posts/*", query, Headers::new()).unwrap(), &Timing::of(&RealtimeOptions::default()));
        feed.join(1, false, Moment::ZERO);
        let mut out = Effects::new();
        feed.acknowledged(Moment::ZERO, &mut out);
        for record in records {
            let data = alloc::format!(r#"{{"action":"update","record":{record}}}"#);
            feed.message(Source::Only, Incoming::read(data), Moment::ZERO, &mut out);
        }
        out.iter().filter(|effect| matches!(effect, Effect::Deliver { .. })).count()
    }

    #[test]
    fn where_fields_are_picked_the_order_of_members_means_nothing() {
        let one = r#"{"id":"a","updated":"2026-01-01 00:00:00.001Z","meta":{"x":1,"y":[{"p":1,"q":2}]}}"#;
        let same = r#"{"meta":{"y":[{"q":2,"p":1}],"x":1},"updated":"2026-01-01 00:00:00.001Z","id":"a"}"#;
        let other = r#"{"meta":{"y":[{"q":1,"p":2}],"x":1},"updated":"2026-01-01 00:00:00.001Z","id":"a"}"#;
        assert_eq!(delivered(Some("meta"), [one, same]), 1);
        assert_eq!(delivered(Some("meta"), [one, other]), 2);
        assert_eq!(delivered(None, [one, one]), 1);
    }
}
