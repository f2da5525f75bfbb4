//! The machine against a simulated server: random histories of subscriptions, writes, faults, sign-ins and hints, in
//! virtual time.
//!
//! The server sends a stream's messages out of order within [`REORDER_MS`], as the real one does; its streams end in
//! order, break, or fall silent for good; its submits and fetches are late, refused or lost. After every step what must
//! always hold is checked; in the end everything is mended, and once it is quiet every listener must know the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::{Value, json};

use super::*;
use crate::{
    error::ErrorKind,
    json::Json,
    realtime::event::{EventAction, Origin, ResyncReason},
    transport::Headers,
    url::{Query, date},
};

/// How many histories, unless `PICOBASE_HISTORIES` says so.
const HISTORIES: u64 = 300;
const STEPS: u64 = 60;
/// Unix milliseconds at the beginning.
const EPOCH: u64 = 1_800_000_000_000;
/// By how much messages overtake each other.
const REORDER_MS: u64 = 300;
/// How long a transaction may take, so that `updated` is older than its event.
const LAG_MS: u64 = 2000;
/// How long a message is on its way.
const WAY: Duration = Duration::from_millis(20);
const IDS: [&str; 4] = ["r1", "r2", "r3", "r4"];
/// What may be listened to. `shut` may not be listed, `plain` has no `updated`, `bad` is refused, `moody` now and then.
const TOPICS: [&str; 12] = [
    "open/*", "open/*", "open/r1", "open/r2", "open", "shut/*", "shut/r1", "plain/*", "plain/r1", "a/b/c", "bad/*",
    "moody/*",
];
const COLLECTIONS: [&str; 4] = ["open", "shut", "plain", "moody"];

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

#[derive(Clone)]
struct Rec {
    id: &'static str,
    created: u64,
    updated: u64,
    /// The number of the write that made it so.
    write: u64,
    alive: bool,
}

impl Rec {
    fn json(&self, collection: &str) -> Value {
        let text = |ms: u64| date(i64::try_from(ms).unwrap()).unwrap();
        let mut json = json!({"id": self.id, "created": text(self.created), "write": self.write});
        if collection != "plain" {
            json["updated"] = json!(text(self.updated));
        }
        json
    }
}

fn parsed(value: &Value) -> Json {
    Json::parse(value.to_string().into_bytes()).unwrap()
}

/// A stream, as the server sees it.
#[derive(Default)]
struct Conn {
    client_id: String,
    topics: Vec<String>,
    /// Who submitted last.
    user: Option<Option<&'static str>>,
    /// The server has closed it, or it broke: nothing is sent any more.
    ended: bool,
    /// Nothing arrives any more, and neither side knows.
    silent: bool,
    /// When the last message arrives: they do not overtake each other once they are sent.
    last: Duration,
}

/// What happens later.
enum Later {
    Opening {
        stream: StreamId,
        ask: bool,
    },
    Connected {
        stream: StreamId,
    },
    Submit {
        stream: StreamId,
        topics: Vec<String>,
        user: Option<&'static str>,
    },
    Submitted {
        stream: StreamId,
        result: Result<(), Error>,
    },
    /// A message leaves the server.
    Sent {
        stream: StreamId,
        topic: String,
        data: String,
    },
    Arrived {
        stream: StreamId,
        topic: String,
        data: String,
    },
    Ended {
        stream: StreamId,
        error: Option<Error>,
    },
    List {
        fetch: Fetch,
    },
    ListGone {
        fetch: Fetch,
        found: Found,
    },
    Fetched {
        fetch: FetchId,
        result: Result<Found, Error>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Acked,
    Failed,
    Gone,
}

#[derive(Debug, Clone, Copy)]
struct Shown {
    write: u64,
    there: bool,
    /// Known from a list, not from an event.
    listed: bool,
}

/// One listener and what it knows.
struct Ear {
    id: ListenerId,
    key: String,
    raw: bool,
    phase: Phase,
    /// The last write before the acknowledgement.
    acked: u64,
    shown: BTreeMap<String, Shown>,
    floor: BTreeMap<String, u64>,
    live: BTreeSet<(String, u64, &'static str)>,
    /// For raw listeners: when they were told of a record, or of all.
    told: BTreeMap<String, Duration>,
    told_all: Option<Duration>,
    errors: u64,
    messages: u64,
}

struct World {
    random: Random,
    now: Duration,
    machine: Machine,
    max: usize,
    /// The table of records is too small for the guard to be exact.
    tiny: bool,
    queue: BTreeMap<(Duration, u64), Later>,
    queued: u64,
    running: bool,
    /// Streams that the client has opened and not closed.
    open: BTreeSet<StreamId>,
    conns: BTreeMap<StreamId, Conn>,
    db: BTreeMap<(&'static str, &'static str), Rec>,
    wrote_at: BTreeMap<(&'static str, &'static str), Duration>,
    writes: u64,
    sent: u64,
    ears: Vec<Ear>,
    last_ear: ListenerId,
    viewer: Viewer,
    user: Option<&'static str>,
    /// The server has ended the session; the client does not know yet.
    revoked: bool,
    ends: u64,
    faults: bool,
    moody: bool,
    /// When something was sent last, to find busy loops.
    requests: Vec<Duration>,
    log: Vec<String>,
}

fn refusal(status: u16) -> Error {
    Error::from_answer(status, None, r#"{"message":"no","data":{}}"#)
}

fn network() -> Error {
    Error::new(ErrorKind::Network, "broken")
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed);
        let tiny = random.chance(10);
        let options = RealtimeOptions {
            liveness: random.ms(3000, 40_000),
            max_age: random.ms(10_000, 90_000),
            catch_up: random.chance(90),
            catch_up_max: random.pick(&[2, 1000, 1000, 1000]),
            tracked_max: if tiny { 2 } else { 1000 },
            ..RealtimeOptions::default()
        };
        World {
            random,
            now: Duration::from_millis(5),
            max: usize::try_from(options.catch_up_max).unwrap(),
            machine: Machine::new(&options),
            tiny,
            queue: BTreeMap::new(),
            queued: 0,
            running: false,
            open: BTreeSet::new(),
            conns: BTreeMap::new(),
            db: BTreeMap::new(),
            wrote_at: BTreeMap::new(),
            writes: 0,
            sent: 0,
            ears: Vec::new(),
            last_ear: 0,
            viewer: Viewer { user: None, generation: 1, ended: false },
            user: None,
            revoked: false,
            ends: 0,
            faults: false,
            moody: false,
            requests: Vec::new(),
            log: Vec::new(),
        }
    }

    fn note(&mut self, what: impl Into<String>) {
        self.log.push(format!("{:>9.3} {}", self.now.as_secs_f64(), what.into()));
    }

    fn later(&mut self, wait: Duration, later: Later) {
        self.queued += 1;
        self.queue.insert((self.now + wait, self.queued), later);
    }

    fn fault(&mut self, percent: u64) -> bool {
        self.faults && self.random.chance(percent)
    }

    /// What the hub and the worker do with an input.
    fn input(&mut self, input: Input) {
        let random = u32::try_from(self.random.next() >> 32).unwrap();
        self.machine.handle(self.now, random, input);
        if !self.running && !self.machine.is_over() {
            self.running = true;
            let viewer = self.viewer.clone();
            self.machine.handle(self.now, random, Input::Viewer(viewer));
        }
        self.perform();
    }

    fn perform(&mut self) {
        for effect in self.machine.take_effects() {
            self.effect(effect);
        }
        assert!(self.machine.take_effects().is_empty());
        assert!(self.open.len() <= 2, "more than two streams");
        if self.machine.is_over() && self.running {
            self.note("over");
            self.running = false;
            // The worker ends, and with it all that is under way.
            self.open.clear();
            self.conns.clear();
            self.queue.clear();
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Open { stream, ask } => {
                self.note(format!("open {stream} ask={ask}"));
                self.requested();
                assert!(self.open.insert(stream), "opened twice");
                let wait = if self.fault(20) { self.random.ms(1000, 8000) } else { self.random.ms(5, 100) };
                self.later(wait, Later::Opening { stream, ask });
            }
            Effect::Close { stream } => {
                self.note(format!("close {stream}"));
                assert!(self.open.remove(&stream), "closes a stream that is not open");
                self.conns.remove(&stream);
            }
            Effect::Submit { stream, client_id, topics } => {
                let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
                self.note(format!("submit {stream} {topics:?}"));
                self.requested();
                assert!(self.open.contains(&stream), "submits for a stream that is not open");
                assert_eq!(client_id, format!("c{stream}"));
                assert!(topics.is_sorted() && !topics.is_empty());
                let wait = if self.fault(10) { self.random.ms(500, 5000) } else { self.random.ms(5, 60) };
                let user = self.user.filter(|_| !self.revoked);
                self.later(wait, Later::Submit { stream, topics, user });
            }
            Effect::Fetch(fetch) => {
                self.note(format!("fetch {} {} {}", fetch.id, fetch.collection(), wanted(&fetch.wanted)));
                self.requested();
                let wait = if self.fault(10) { self.random.ms(8000, 40_000) } else { self.random.ms(5, 200) };
                self.later(wait, Later::List { fetch: *fetch });
            }
            Effect::Deliver { listener, item } => self.deliver(listener, item),
            Effect::Acknowledge { listener } => {
                self.note(format!("ack of {listener}"));
                let writes = self.writes;
                let ear = self.ears.iter_mut().find(|ear| ear.id == listener).unwrap();
                assert_eq!(ear.phase, Phase::Waiting);
                (ear.phase, ear.acked) = (Phase::Acked, writes);
                if ear.is_of_one() {
                    // Whoever listens to one record has read it.
                    ear.list(&self.db);
                }
            }
            Effect::Fail { listener, error } => {
                self.note(format!("fail of {listener}: {error}"));
                let ear = self.ear(listener);
                assert_eq!(ear.phase, Phase::Waiting);
                ear.phase = Phase::Failed;
            }
            Effect::State(state) => self.note(state.as_str()),
        }
    }

    /// A busy loop would send very many requests.
    fn requested(&mut self) {
        let now = self.now;
        self.requests.retain(|at| now - *at < Duration::from_secs(1));
        self.requests.push(now);
        assert!(self.requests.len() < 80, "a flood of requests");
    }

    fn ear(&mut self, id: ListenerId) -> &mut Ear {
        self.ears.iter_mut().find(|ear| ear.id == id).unwrap()
    }

    fn deliver(&mut self, listener: ListenerId, item: Item) {
        self.note(format!("to {listener}: {}", short(&item)));
        let (now, tiny, ends, sent) = (self.now, self.tiny, self.ends, self.sent);
        let ear = self.ears.iter_mut().find(|ear| ear.id == listener).unwrap();
        assert_eq!(ear.phase, Phase::Acked, "delivered to one who does not listen");
        match item {
            Item::Record { action, id, origin, topic, json } => {
                assert_eq!(*topic, *ear.key, "another topic's event");
                if let Some((_, own)) = ear.key.split_once('/').filter(|(_, own)| *own != "*") {
                    assert_eq!(own, id, "another record's event");
                }
                ear.told.insert(id.clone(), now);
                if !ear.raw {
                    ear.record(action, id, origin, &json.decode::<Value>().unwrap(), tiny);
                }
            }
            Item::Message { topic, data } => {
                assert_eq!((&*topic, ear.key.as_str()), ("a/b/c", "a/b/c"), "another topic's message");
                assert!(data.as_text().parse::<u64>().unwrap() <= sent);
                ear.messages += 1;
            }
            Item::Resync(reason) => {
                assert!(!ear.raw, "a live query is told that it is stale");
                if reason == ResyncReason::AuthChanged {
                    (ear.floor, ear.live) = (BTreeMap::new(), BTreeSet::new());
                }
                ear.list(&self.db);
            }
            Item::Stale => {
                assert!(ear.raw, "only a live query is stale");
                ear.told_all = Some(now);
            }
            Item::Error(error) => {
                assert_eq!(error.kind(), ErrorKind::SessionExpired);
                ear.errors += 1;
                assert!(ear.errors <= ends, "the end of a session is told once");
            }
            Item::Lagged(_) => panic!("the machine has no queues"),
        }
    }

    fn send_viewer(&mut self) {
        self.note(format!("viewer {:?} revoked={}", self.viewer, self.revoked));
        if self.running {
            let viewer = self.viewer.clone();
            self.input(Input::Viewer(viewer));
        }
    }

    fn sign(&mut self, user: Option<&'static str>) {
        (self.user, self.revoked) = (user, false);
        self.viewer =
            Viewer { user: user.map(ToString::to_string), generation: self.viewer.generation + 1, ended: false };
        self.send_viewer();
    }

    fn end_session(&mut self) {
        self.ends += 1;
        self.user = None;
        self.viewer = Viewer { user: None, generation: self.viewer.generation + 1, ended: true };
        self.send_viewer();
    }

    /// What was due happens.
    fn happen(&mut self, later: Later) {
        match later {
            Later::Opening { stream, ask } => {
                if !self.open.contains(&stream) {
                    return;
                }
                let over = self.viewer.ended || (ask && self.revoked);
                if over {
                    if !self.viewer.ended {
                        self.end_session();
                    }
                    let error = Some(Error::new(ErrorKind::SessionExpired, "over"));
                    self.open.remove(&stream);
                    return self.input(Input::Closed { stream, error });
                }
                if self.fault(40) {
                    self.open.remove(&stream);
                    let wait = Duration::from_secs(self.random.below(4));
                    let error = if wait.is_zero() { network() } else { refusal(503).with_retry_after(Some(wait)) };
                    return self.input(Input::Closed { stream, error: Some(error) });
                }
                self.conns.insert(stream, Conn { client_id: format!("c{stream}"), ..Conn::default() });
                self.input(Input::Opened { stream });
                if !self.fault(5) {
                    self.later(WAY, Later::Connected { stream });
                }
            }
            Later::Connected { stream } => {
                if let Some(conn) = self.conns.get(&stream).filter(|conn| !conn.ended) {
                    let client_id = conn.client_id.clone();
                    self.input(Input::Connected { stream, client_id });
                }
            }
            Later::Submit { stream, topics, user } => self.submit(stream, topics, user),
            Later::Submitted { stream, result } => {
                if self.open.contains(&stream) {
                    self.note(format!("submitted {stream} {result:?}"));
                    // The machine closes some streams itself, others it does not know any more.
                    self.input(Input::Submitted { stream, result });
                }
            }
            Later::Sent { stream, topic, data } => {
                let now = self.now;
                let Some(conn) = self.conns.get_mut(&stream).filter(|conn| !conn.ended && !conn.silent) else { return };
                conn.last = conn.last.max(now + WAY);
                let wait = conn.last - now;
                self.later(wait, Later::Arrived { stream, topic, data });
            }
            Later::Arrived { stream, topic, data } => {
                if self.conns.contains_key(&stream) {
                    self.input(Input::Message { stream, topic: topic.into(), data });
                }
            }
            Later::Ended { stream, error } => {
                if self.conns.remove(&stream).is_some() {
                    self.note(format!("ended {stream} {error:?}"));
                    assert!(self.open.remove(&stream));
                    self.input(Input::Closed { stream, error });
                }
            }
            Later::List { fetch } => self.list(fetch),
            Later::ListGone { fetch, mut found } => {
                let known: &[String] = match &fetch.wanted {
                    Wanted::Newest => &[],
                    Wanted::Since(_, ids) | Wanted::Records(ids) => ids,
                };
                let has = |id: &str| found.records.iter().any(|json| json.get_str("id").as_deref() == Some(id));
                let there = |id: &str| {
                    self.db
                        .iter()
                        .any(|((collection, own), rec)| *collection == fetch.collection() && *own == id && rec.alive)
                };
                found.gone = known.iter().filter(|id| !has(id) && !there(id)).cloned().collect();
                let wait = self.random.ms(1, 100);
                self.later(wait, Later::Fetched { fetch: fetch.id, result: Ok(found) });
            }
            Later::Fetched { fetch, result } => {
                self.note(format!(
                    "fetched {fetch} {:?}",
                    result.as_ref().map(|f| (f.records.len(), &f.gone, f.newest))
                ));
                self.input(Input::Fetched { fetch, result });
            }
        }
    }

    fn submit(&mut self, stream: StreamId, topics: Vec<String>, user: Option<&'static str>) {
        let field = |at: usize| {
            let body =
                json!({"message": "no", "data": {"subscriptions": {at.to_string(): {"code": "x", "message": "y"}}}});
            Error::from_answer(400, None, &body.to_string())
        };
        let refused = topics.iter().position(|topic| topic == "bad/*" || (self.moody && topic == "moody/*"));
        let (lost, fault, kind) = (self.fault(5), self.fault(30), self.random.below(5));
        let result = match self.conns.get_mut(&stream).filter(|conn| !conn.ended) {
            None => Err(refusal(404)),
            Some(conn) if conn.user.flatten().is_some_and(|known| Some(known) != user) => Err(refusal(403)),
            Some(_) if refused.is_some() => Err(field(refused.unwrap())),
            Some(_) if fault => Err(match kind {
                0 => refusal(400),
                1 => refusal(503).with_retry_after(Some(Duration::from_secs(2))),
                2 => refusal(503),
                3 => network(),
                _ => field(0),
            }),
            Some(conn) => {
                (conn.topics, conn.user) = (topics, Some(user));
                if lost { Err(network()) } else { Ok(()) }
            }
        };
        let wait = self.random.ms(1, 60);
        self.later(wait, Later::Submitted { stream, result });
    }

    fn list(&mut self, fetch: Fetch) {
        let lasting = match fetch.collection() {
            "shut" => Some(403),
            "plain" if !matches!(fetch.wanted, Wanted::Records(_)) => Some(400),
            "open" | "moody" | "plain" => None,
            _ => Some(404),
        };
        let failure = match lasting {
            Some(status) => Some(refusal(status)),
            None if self.fault(30) => Some(network()),
            None => None,
        };
        if let Some(error) = failure {
            let wait = self.random.ms(1, 100);
            return self.later(wait, Later::Fetched { fetch: fetch.id, result: Err(error) });
        }
        let mut records: Vec<&Rec> =
            self.db.iter().filter(|((c, _), rec)| *c == fetch.collection() && rec.alive).map(|(_, rec)| rec).collect();
        records.sort_by_key(|rec| (rec.updated, rec.id));
        let mut found = Found::default();
        match &fetch.wanted {
            Wanted::Newest => {
                found.newest = records.iter().map(|rec| rec.updated).max();
                records.clear();
            }
            Wanted::Since(since, _) => {
                records.retain(|rec| rec.updated >= *since);
                found.cut = records.len() >= self.max;
                records.truncate(self.max);
            }
            Wanted::Records(ids) => records.retain(|rec| ids.iter().any(|id| id == rec.id)),
        }
        found.newest = found.newest.max(records.iter().map(|rec| rec.updated).max());
        found.records = records.iter().map(|rec| parsed(&rec.json(fetch.collection()))).collect();
        let wait = self.random.ms(1, 50);
        self.later(wait, Later::ListGone { fetch, found });
    }

    /// Virtual time goes on.
    fn run_until(&mut self, end: Duration) {
        loop {
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let due = self.machine.deadline().filter(|_| self.running);
            let next = [queued, due].into_iter().flatten().min().filter(|at| *at <= end);
            let Some(next) = next else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if due.is_some_and(|due| due <= next) {
                self.tick();
            } else if let Some((_, later)) = self.queue.pop_first() {
                self.happen(later);
            }
        }
    }

    fn tick(&mut self) {
        let random = u32::try_from(self.random.next() >> 32).unwrap();
        self.machine.handle(self.now, random, Input::Tick);
        let idle = self.machine.effects.is_empty();
        let due = self.machine.deadline().is_some_and(|at| at <= self.now);
        assert!(!(idle && due && !self.machine.is_over()), "a deadline at which nothing is to be done");
        self.perform();
    }

    fn subscribe(&mut self) {
        let name = self.random.pick(&TOPICS);
        self.last_ear += 1;
        let (id, raw) = (self.last_ear, self.random.chance(20));
        let topic = Topic::new(name, Query::new(), Headers::new()).unwrap();
        let key = topic.key.to_string();
        self.note(format!("subscribe {id} {key} raw={raw}"));
        self.ears.push(Ear {
            id,
            key,
            raw,
            phase: Phase::Waiting,
            acked: 0,
            shown: BTreeMap::new(),
            floor: BTreeMap::new(),
            live: BTreeSet::new(),
            told: BTreeMap::new(),
            told_all: None,
            errors: 0,
            messages: 0,
        });
        let viewer = self.viewer.clone();
        self.input(Input::Viewer(viewer));
        self.input(Input::Subscribe { listener: id, topic, raw });
    }

    fn unsubscribe(&mut self, id: ListenerId) {
        self.note(format!("unsubscribe {id}"));
        self.ear(id).phase = Phase::Gone;
        self.input(Input::Unsubscribe { listener: id });
    }

    fn listening(&self) -> Vec<ListenerId> {
        self.ears.iter().filter(|ear| matches!(ear.phase, Phase::Waiting | Phase::Acked)).map(|ear| ear.id).collect()
    }

    fn write(&mut self) {
        let (collection, id) = (self.random.pick(&COLLECTIONS), self.random.pick(&IDS));
        let clock = EPOCH + u64::try_from(self.now.as_millis()).unwrap();
        let lag = if self.random.chance(20) { self.random.below(LAG_MS) } else { 0 };
        let old = self.db.get(&(collection, id)).cloned();
        let updated = (clock - lag).max(old.as_ref().map_or(0, |old| old.updated));
        let (action, rec) = match old {
            // By the contract only a later one passes a delete.
            Some(old) if !old.alive && updated <= old.updated => return,
            Some(old) if old.alive && self.random.chance(25) => ("delete", Rec { alive: false, ..old }),
            Some(old) if old.alive => ("update", Rec { updated, ..old }),
            _ => ("create", Rec { id, created: updated, updated, write: 0, alive: true }),
        };
        self.writes += 1;
        let sent = rec.json(collection);
        let rec = Rec { write: self.writes, ..rec };
        // A deleted record is sent as it was.
        let record = if rec.alive { rec.json(collection) } else { sent };
        self.note(format!("write {} {action} {collection} {record}", self.writes));
        self.db.insert((collection, id), rec);
        self.wrote_at.insert((collection, id), self.now);
        let data = json!({"action": action, "record": record}).to_string();
        let topics = [collection.to_string(), format!("{collection}/*"), format!("{collection}/{id}")];
        // Where there is no `updated`, nothing but the order of the messages tells which is the later.
        let reorder = if collection == "plain" { 0 } else { REORDER_MS };
        self.broadcast(&topics, &data, reorder);
    }

    fn broadcast(&mut self, topics: &[String], data: &str, reorder: u64) {
        let mut messages = Vec::new();
        for (stream, conn) in self.conns.iter().filter(|(_, conn)| !conn.ended) {
            for topic in conn.topics.iter().filter(|topic| topics.contains(topic)) {
                messages.push((*stream, topic.clone()));
            }
        }
        for (stream, topic) in messages {
            let wait = self.random.ms(0, reorder);
            self.later(wait, Later::Sent { stream, topic, data: data.to_string() });
        }
    }

    /// Something goes wrong with a stream.
    fn harm(&mut self) {
        let streams: Vec<StreamId> = self.conns.iter().filter(|(_, c)| !c.ended).map(|(id, _)| *id).collect();
        if streams.is_empty() {
            return;
        }
        let stream = self.random.pick(&streams);
        let how = self.random.below(3);
        self.note(format!("harm {stream} {}", ["in order", "broken", "silent"][usize::try_from(how).unwrap()]));
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&stream) else { return };
        match how {
            0 => {
                // What it was about to say is said first.
                let wait = Duration::from_millis(REORDER_MS) + WAY * 2;
                conn.topics = Vec::new();
                let at = conn.last.max(now + wait) - now;
                self.later(at, Later::Ended { stream, error: None });
            }
            1 => {
                conn.ended = true;
                let silent = conn.silent;
                let wait = if silent { Duration::from_secs(3) } else { Duration::ZERO };
                // What was on its way is lost.
                let lost = |later: &Later| matches!(later, Later::Arrived { stream: own, .. } if *own == stream);
                self.queue.retain(|_, later| !lost(later));
                self.later(wait, Later::Ended { stream, error: Some(network()) });
            }
            _ => conn.silent = true,
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=15 => self.subscribe(),
            16..=22 => {
                let all = self.listening();
                if !all.is_empty() {
                    let id = self.random.pick(&all);
                    self.unsubscribe(id);
                }
            }
            23..=59 => {
                for _ in 0..=self.random.below(4) {
                    self.write();
                }
            }
            60..=64 => {
                self.sent += 1;
                let (topic, data) = ("a/b/c".to_string(), self.sent.to_string());
                self.broadcast(&[topic], &data, REORDER_MS);
            }
            65..=74 => self.harm(),
            75..=78 => {
                let user = self.random.pick(&[None, Some("ada"), Some("bob")]);
                self.sign(user);
            }
            79 => self.send_viewer(),
            80..=81 => self.revoked |= self.user.is_some(),
            82 if self.user.is_some() => self.end_session(),
            83..=85 => {
                let hint = self.random.pick(&[NetworkHint::Online, NetworkHint::Hidden, NetworkHint::Visible]);
                self.note(format!("{hint:?}"));
                self.input(Input::Hint(hint));
            }
            86 => {
                self.note("moved");
                // The other server is asked, and may say so again.
                self.ends += u64::from(self.viewer.ended);
                self.input(Input::Moved);
            }
            87..=93 => {
                self.faults = !self.faults;
                self.note(format!("faults {}", self.faults));
            }
            94..=96 => self.moody = !self.moody,
            _ => {
                for id in self.listening() {
                    self.unsubscribe(id);
                }
            }
        }
        let wait = match self.random.below(10) {
            0..=2 => Duration::ZERO,
            3..=5 => self.random.ms(1, 50),
            6..=7 => self.random.ms(50, 1500),
            8 => self.random.ms(1500, 12_000),
            _ => self.random.ms(12_000, 60_000),
        };
        self.run_until(self.now + wait);
    }

    /// Everything is well again, and after a while it is quiet.
    fn mend(&mut self) {
        self.note("mended");
        (self.faults, self.moody) = (false, false);
        if self.revoked || self.viewer.ended {
            self.sign(Some("ada"));
        }
        self.input(Input::Hint(NetworkHint::Visible));
        for _ in 0..3 {
            self.run_until(self.now + Duration::from_secs(50));
            self.write();
        }
        self.run_until(self.now + Duration::from_secs(100));
        for _ in 0..200 {
            if self.is_quiet() {
                return;
            }
            self.run_until(self.now + Duration::from_millis(500));
        }
        panic!("it never gets quiet");
    }

    fn is_quiet(&self) -> bool {
        let soon = self.now + Duration::from_secs(1);
        self.queue.is_empty()
            && self.open.len() <= 1
            && self.conns.values().all(|conn| !conn.silent)
            && self.machine.deadline().is_none_or(|at| at > soon)
    }

    fn check_the_truth(&mut self) {
        let wanted: BTreeSet<&str> = self
            .ears
            .iter()
            .filter(|ear| matches!(ear.phase, Phase::Waiting | Phase::Acked))
            .map(|ear| ear.key.as_str())
            .collect();
        let ears = || self.ears.iter().filter(|ear| ear.phase != Phase::Gone && ear.phase != Phase::Failed);
        assert!(ears().all(|ear| ear.phase == Phase::Acked), "somebody waits although the server is well");
        if wanted.is_empty() {
            assert!(self.machine.is_over() && self.open.is_empty());
        } else {
            assert_eq!((self.open.len(), self.conns.len()), (1, 1), "one stream is left");
            let conn = self.conns.values().next().unwrap();
            assert_eq!(conn.topics.iter().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
            assert_eq!(conn.user.flatten(), self.user, "of another user");
            assert_eq!(self.machine.state(), RealtimeState::Connected);
        }
        assert!(self.machine.running.is_empty(), "fetches are still counted");
        assert_eq!(self.machine.feeds.len(), wanted.len());
        assert_eq!(self.machine.listeners.len(), ears().count());
        for ear in ears() {
            for ((collection, id), rec) in self.db.iter().filter(|((collection, id), _)| ear.hears(collection, id)) {
                let since = rec.write > ear.acked;
                if ear.raw {
                    let told = ear.told.get(*id).copied().max(ear.told_all);
                    let wrote = self.wrote_at[&(*collection, *id)];
                    assert!(!since || told.is_some_and(|at| at >= wrote), "{} missed {} of {id}", ear.id, rec.write);
                    continue;
                }
                match ear.shown.get(*id) {
                    Some(shown) if shown.there && !rec.alive => {
                        assert!(shown.listed && !ear.is_of_one(), "{} does not know that {id} is gone", ear.id);
                    }
                    Some(shown) if shown.there => assert_eq!(shown.write, rec.write, "{} has an old {id}", ear.id),
                    Some(_) => assert!(!rec.alive, "{} does not know that {id} is there", ear.id),
                    None => assert!(!since || !rec.alive, "{} does not know {id}", ear.id),
                }
            }
        }
    }

    fn wind_up(&mut self) {
        for id in self.listening() {
            self.unsubscribe(id);
        }
        self.run_until(self.now + Duration::from_secs(60));
        assert!(self.machine.is_over() && !self.running, "nobody listens, and it is not over");
        assert_eq!((self.machine.feeds.len(), self.machine.listeners.len(), self.machine.running.len()), (0, 0, 0));
        assert_eq!(self.machine.deadline(), None);
        assert_eq!(self.machine.state(), RealtimeState::Disconnected);
    }
}

impl Ear {
    fn hears(&self, collection: &str, id: &str) -> bool {
        let (own, what) = self.key.split_once('/').unwrap_or((&self.key, "*"));
        own == collection && (what == "*" || what == id)
    }

    fn is_of_one(&self) -> bool {
        !self.key.ends_with("/*") && self.key.contains('/')
    }

    fn list(&mut self, db: &BTreeMap<(&'static str, &'static str), Rec>) {
        let listed = db.iter().filter(|((collection, id), _)| self.hears(collection, id));
        let shown = |rec: &Rec| Shown { write: rec.write, there: rec.alive, listed: true };
        self.shown = listed.map(|((_, id), rec)| ((*id).to_string(), shown(rec))).collect();
    }

    fn record(&mut self, action: EventAction, id: String, origin: Origin, json: &Value, tiny: bool) {
        let write = json["write"].as_u64();
        if let Some(write) = write
            && origin == Origin::Live
        {
            let first = self.live.insert((id.clone(), write, action.as_str()));
            assert!(first || tiny, "the same twice");
        }
        let shown = self.shown.get(&id).copied();
        if action == EventAction::Delete {
            let overtaken = shown.is_some_and(|shown| shown.listed && write.is_some_and(|write| shown.write > write));
            if !overtaken {
                self.shown.insert(id, Shown { write: write.unwrap_or_default(), there: false, listed: false });
            }
            return;
        }
        let write = write.unwrap();
        if let Some(updated) = json["updated"].as_str().and_then(crate::url::parse_date) {
            let floor = self.floor.insert(id.clone(), updated).unwrap_or_default();
            assert!(tiny || updated >= floor, "{id} goes back");
            let double = shown.is_some_and(|shown| shown.there && !shown.listed && shown.write == write);
            assert!(tiny || !double, "{id} is what it was");
        }
        // Whoever lists anew keeps the later of what is listed and what comes.
        if shown.is_none_or(|shown| !shown.listed || shown.write < write) {
            self.shown.insert(id, Shown { write, there: true, listed: false });
        }
    }
}

fn wanted(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Newest => "newest".to_string(),
        Wanted::Since(since, ids) => format!("since {:?} {ids:?}", date(i64::try_from(*since).unwrap())),
        Wanted::Records(ids) => format!("{ids:?}"),
    }
}

fn short(item: &Item) -> String {
    match item {
        Item::Record { action, origin, json, .. } => {
            format!("{} {} {}", origin.as_str(), action.as_str(), json.as_text())
        }
        other => format!("{other:?}"),
    }
}

fn history(seed: u64) -> Result<(), Vec<String>> {
    let mut world = World::new(seed);
    let result = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..STEPS {
            world.step();
        }
        world.mend();
        world.check_the_truth();
        world.wind_up();
    }));
    result.map_err(|_| world.log)
}

#[test]
fn whatever_happens_every_listener_knows_the_truth_in_the_end() {
    let number = |name: &str| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let first = number("PICOBASE_HISTORY").unwrap_or_default();
    for seed in first..first + number("PICOBASE_HISTORIES").unwrap_or(HISTORIES) {
        if let Err(log) = history(seed) {
            let from = log.len().saturating_sub(800);
            panic!("history {seed}:\n{}", log[from..].join("\n"));
        }
    }
}

/// A machine that a guest uses, in words.
struct Guest(Machine);

impl Guest {
    /// Listener 1 has subscribed, and the submit is on its way.
    fn submitting() -> Guest {
        let mut guest = Guest(Machine::new(&RealtimeOptions::default()));
        assert_eq!(guest.viewer(None, 1), "");
        assert_eq!(guest.subscribe(1), "connecting, open");
        assert_eq!(guest.input(Input::Opened { stream: 1 }), "");
        assert_eq!(guest.input(Input::Connected { stream: 1, client_id: "c".to_string() }), "submit");
        guest
    }

    fn input(&mut self, input: Input) -> String {
        self.0.handle(Duration::from_secs(1), 0, input);
        let mut told: Vec<String> = self.0.take_effects().into_iter().map(in_words).collect();
        told.sort_unstable();
        told.join(", ")
    }

    fn subscribe(&mut self, listener: ListenerId) -> String {
        let topic = Topic::new("open/*", Query::new(), Headers::new()).unwrap();
        self.input(Input::Subscribe { listener, topic, raw: false })
    }

    fn submitted(&mut self) -> String {
        self.input(Input::Submitted { stream: 1, result: Ok(()) })
    }

    fn viewer(&mut self, user: Option<&str>, generation: u64) -> String {
        let user = user.map(str::to_string);
        self.input(Input::Viewer(Viewer { user, generation, ended: false }))
    }
}

fn in_words(effect: Effect) -> String {
    match effect {
        Effect::Open { .. } => "open".to_string(),
        Effect::Close { .. } => "close".to_string(),
        Effect::Submit { .. } => "submit".to_string(),
        Effect::Fetch(_) => "fetch".to_string(),
        Effect::Deliver { listener, item } => format!("{listener}: {}", short(&item)),
        Effect::Acknowledge { listener } => format!("{listener}: acknowledged"),
        Effect::Fail { listener, .. } => format!("{listener}: failed"),
        Effect::State(state) => state.as_str().to_string(),
    }
}

#[test]
fn what_a_guest_submitted_acknowledges_nothing_to_the_user() {
    let mut guest = Guest::submitting();
    assert_eq!(guest.viewer(Some("u"), 2), "");
    assert_eq!(guest.submitted(), "connected, submit", "the server knows the guest");
    assert_eq!(guest.submitted(), "1: acknowledged, fetch", "now it knows the user");

    let mut guest = Guest::submitting();
    assert_eq!(guest.submitted(), "1: acknowledged, connected, fetch");
    assert_eq!(guest.viewer(Some("u"), 2), "submit");
    assert_eq!(guest.subscribe(2), "", "also on a topic that the guest had");
    assert_eq!(guest.submitted(), "1: Resync(AuthChanged), 2: acknowledged, fetch");
}
