//! What the scenarios share: a writer, watches that fold events into a state, and what may be left at the end.
//!
//! ```text
//! let stage = Stage::new(|options| options.liveness = s(5)).await;
//! let watch = stage.watch().await;
//! stage.proxy.cut(Cut::Reset).await;
//! let told = stage.finish([watch]).await;
//! ```
#![allow(dead_code, reason = "each suite uses its own part of this")]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::Stream;
use picobase::{
    Client, ClientBuilder, Error, Json, ListResult,
    action::Action,
    live::{Live, LiveEvent},
    realtime::{Event, EventAction, Origin, RealtimeOptions, RealtimeState, RecordEvent, ResyncReason, Subscription},
    runtime::{BoxFuture, Runtime, TokioRuntime},
};
use picobase_testkit::{Cut, LoggedRequest, Proxy, Server};
use serde_json::{Value, json};
use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

use crate::common::{PATIENCE, builder, client, kit, within};

/// How long a state may take to be that of the server once nothing is written any more.
const CONVERGES_IN: Duration = PATIENCE;
/// How many operations a second the writer does.
const WRITES: u64 = 50;

/// Seconds as a duration.
pub(crate) const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Milliseconds as a duration.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Now, as the server writes dates.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Waits until something is so.
///
/// # Panics
/// When it does not become so in time, and a slow machine would have had time enough.
pub(crate) async fn until<F: Future<Output = bool>>(limit: Duration, what: &str, mut check: impl FnMut() -> F) {
    let limit = limit.max(PATIENCE);
    let end = Instant::now() + limit;
    while !check().await {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(ms(20)).await;
    }
}

/// A tokio runtime for what a client spawns, so that its tasks can be counted. Its clock may be fast.
pub(crate) struct Tasks {
    tokio: Option<tokio::runtime::Runtime>,
    speed: u32,
}

impl Tasks {
    pub(crate) fn new(speed: u32) -> Tasks {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Tasks { tokio: Some(tokio), speed }
    }

    /// What a client's builder is given.
    pub(crate) fn platform(&self) -> Arc<dyn Runtime> {
        let spawner = self.tokio.as_ref().unwrap().handle().clone();
        Arc::new(Platform { clock: TokioRuntime::new(), spawner, speed: self.speed })
    }

    /// How many tasks there are: workers, and connections of the transport.
    pub(crate) fn alive(&self) -> usize {
        self.tokio.as_ref().unwrap().metrics().num_alive_tasks()
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // An async test may not wait for its end.
        if let Some(tokio) = self.tokio.take() {
            tokio.shutdown_background();
        }
    }
}

struct Platform {
    clock: TokioRuntime,
    spawner: Handle,
    speed: u32,
}

impl Runtime for Platform {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn uptime(&self) -> Duration {
        self.clock.uptime() * self.speed
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(time / self.speed)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.clock.random(bytes)
    }

    fn sha256(&self, data: &[u8]) -> BoxFuture<'static, Result<[u8; 32], Error>> {
        self.clock.sha256(data)
    }

    fn spawn(&self, work: BoxFuture<'static, ()>) {
        self.spawner.spawn(work);
    }
}

/// Makes, changes and deletes records in `posts`, straight at the server, whether that answers or not.
pub(crate) struct Writer {
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<u64>>>,
}

impl Writer {
    /// One that writes all the time.
    pub(crate) fn start(direct_url: &str) -> Writer {
        Writer::paced(direct_url, ms(1000 / WRITES))
    }

    /// One that writes once in such a time.
    pub(crate) fn paced(direct_url: &str, beat: Duration) -> Writer {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(write(format!("{direct_url}/api/collections/posts/records"), beat, stopped));
        Writer { stop, task: Mutex::new(Some(task)) }
    }

    /// Ends it, and says how many writes the server has taken. The last is done when this returns.
    pub(crate) async fn stop(&self) -> u64 {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap().take();
        match task {
            Some(task) => task.await.unwrap(),
            None => 0,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn write(url: String, beat: Duration, stopped: watch::Receiver<bool>) -> u64 {
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let mut beat = tokio::time::interval(beat);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut ids, mut taken): (Vec<String>, u64) = (Vec::new(), 0);
    for n in 0_u64.. {
        beat.tick().await;
        if *stopped.borrow() {
            break;
        }
        // Spread over all that is there, and the same in every run.
        let at = usize::try_from(n * 7919).unwrap() % ids.len().max(1);
        let body = json!({"title": format!("title {n}"), "n": n, "status": "draft"});
        let request = match n % 5 {
            2 | 3 if !ids.is_empty() => http.patch(format!("{url}/{}", ids[at])).json(&body),
            4 if ids.len() > 5 => http.delete(format!("{url}/{}", ids.swap_remove(at))),
            _ => http.post(&url).json(&body),
        };
        let Ok(answer) = request.send().await else { continue };
        taken += u64::from(answer.status().is_success());
        let made: Value = answer.json().await.unwrap_or_default();
        if let Some(id) = made["id"].as_str().filter(|id| !ids.iter().any(|other| other == id)) {
            ids.push(id.to_string());
        }
    }
    taken
}

/// The records that are there, by id.
pub(crate) type State = BTreeMap<String, Value>;

/// A full list.
pub(crate) async fn listed(client: &Client, collection: &str) -> State {
    let records = client.collection(collection).get_full_list().await.unwrap();
    records.into_iter().map(|record| (record.id().to_string(), Value::Object(record.fields().clone()))).collect()
}

/// Something that shows the state of a collection: a [`Watch`], a live query.
pub(crate) trait Shows {
    fn shown(&self) -> State;

    /// May a record be shown that is gone? After a gap a subscription finds out about those that it has told of, no
    /// others.
    fn may_keep(&self, _id: &str) -> bool {
        false
    }
}

/// Waits until all show what the server has. Nothing may be written any more.
///
/// # Panics
/// When they do not in time; says by how much.
pub(crate) async fn converged(shows: &[&dyn Shows], fresh: &State) {
    let end = Instant::now() + CONVERGES_IN;
    for (n, one) in shows.iter().enumerate() {
        loop {
            let mut shown = one.shown();
            shown.retain(|id, _| fresh.contains_key(id) || !one.may_keep(id));
            if shown == *fresh {
                break;
            }
            assert!(Instant::now() < end, "number {n} does not converge: {}", difference(&shown, fresh));
            tokio::time::sleep(ms(20)).await;
        }
    }
}

fn difference(shown: &State, fresh: &State) -> String {
    let only = |a: &State, b: &State| a.keys().filter(|id| !b.contains_key(*id)).cloned().collect::<Vec<_>>();
    let other = |(id, record): &(&String, &Value)| fresh.get(*id).is_some_and(|other| other != *record);
    let differ: Vec<_> = shown.iter().filter(other).map(|(id, record)| (id, record, &fresh[id])).take(3).collect();
    let (missing, gone) = (only(fresh, shown), only(shown, fresh));
    format!("{} of {}; missing {missing:?}, gone {gone:?}, other {differ:?}", shown.len(), fresh.len())
}

/// One event, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) at: Instant,
    pub(crate) action: EventAction,
    pub(crate) origin: Origin,
    pub(crate) id: String,
    /// Unix milliseconds; none for a delete that was found out.
    pub(crate) updated: Option<u64>,
}

/// What a watch was told in all.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) events: Vec<Told>,
    pub(crate) resyncs: Vec<ResyncReason>,
    /// How many events were dropped, each time.
    pub(crate) lagged: Vec<u64>,
    pub(crate) errors: Vec<Error>,
    /// What must not have happened.
    wrong: Vec<String>,
}

impl Report {
    /// Was nothing told but events?
    pub(crate) fn only_events(&self) -> bool {
        self.resyncs.is_empty() && self.lagged.is_empty() && self.errors.is_empty()
    }

    /// The longest time between two events.
    pub(crate) fn longest_silence(&self) -> Duration {
        self.events.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap_or_default()
    }

    /// The longest time between two writes that it was told of, by the server's clock: however late it was told.
    pub(crate) fn longest_pause(&self) -> Duration {
        let mut written: Vec<u64> = self.events.iter().filter_map(|event| event.updated).collect();
        written.sort_unstable();
        ms(written.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default())
    }

    /// How many events were fetched.
    pub(crate) fn caught_up(&self) -> usize {
        self.events.iter().filter(|event| event.origin == Origin::CatchUp).count()
    }
}

/// A subscription to a whole collection, folded into a state by its events.
pub(crate) struct Watch {
    fold: Arc<Mutex<Fold>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Fold {
    shown: State,
    known: HashMap<String, Known>,
    report: Report,
    unsubscribed: bool,
}

/// What the events have said of a record.
#[derive(Default)]
struct Known {
    updated: String,
    versions: HashSet<String>,
    deleted: bool,
}

/// What comes next.
enum Next {
    Event,
    List,
    End,
}

impl Watch {
    /// Starts from a full list that is taken now, after the subscription is there. `direct` lists past all proxies.
    pub(crate) async fn start(mut events: Subscription, direct: &Client, collection: &str) -> Watch {
        let fold = Arc::new(Mutex::new(Fold { shown: listed(direct, collection).await, ..Fold::default() }));
        let (shared, direct, collection) = (fold.clone(), direct.clone(), collection.to_string());
        let task = tokio::spawn(async move {
            loop {
                match next(&shared, &mut events).await {
                    Next::Event => {}
                    Next::List => {
                        let state = listed(&direct, &collection).await;
                        shared.lock().unwrap().shown = state;
                    }
                    Next::End => return,
                }
            }
        });
        Watch { fold, task }
    }

    /// How many events have come.
    pub(crate) fn count(&self) -> usize {
        self.fold.lock().unwrap().report.events.len()
    }

    /// Does any event fit?
    pub(crate) fn any(&self, fits: impl Fn(&Told) -> bool) -> bool {
        self.fold.lock().unwrap().report.events.iter().any(fits)
    }

    /// Waits until so many more events have come.
    pub(crate) async fn more(&self, events: usize) {
        let wanted = self.count() + events;
        until(s(20), "more events", || async { self.count() >= wanted }).await;
    }

    /// Waits for an event that was written after that moment, and says when it came.
    pub(crate) async fn written_after(&self, moment: u64, limit: Duration) -> Instant {
        let fits = |event: &Told| event.updated.is_some_and(|updated| updated > moment);
        until(limit, "an event of what was written since", || async { self.any(fits) }).await;
        self.fold.lock().unwrap().report.events.iter().find(|event| fits(event)).unwrap().at
    }

    /// Says that it was unsubscribed: from now on no event may come.
    pub(crate) fn unsubscribed(&self) {
        self.fold.lock().unwrap().unsubscribed = true;
    }

    /// Ends it, and says what it was told.
    ///
    /// # Panics
    /// When an event came twice, or out of order, or after it was unsubscribed.
    pub(crate) async fn end(mut self) -> Report {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.report()
    }

    /// Waits for the end of the events, which somebody has unsubscribed.
    pub(crate) async fn ended(mut self) -> Report {
        within(5, &mut self.task).await.unwrap();
        self.report()
    }

    fn report(&self) -> Report {
        let report = mem::take(&mut self.fold.lock().unwrap().report);
        assert!(
            report.wrong.is_empty(),
            "{} wrong: {:#?}",
            report.wrong.len(),
            &report.wrong[..report.wrong.len().min(5)]
        );
        report
    }
}

impl Shows for Watch {
    fn shown(&self) -> State {
        self.fold.lock().unwrap().shown.clone()
    }

    fn may_keep(&self, id: &str) -> bool {
        let fold = self.fold.lock().unwrap();
        fold.report.caught_up() > 0 && !fold.known.contains_key(id)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The next event, folded under one lock: what is known as unsubscribed then cannot be under way.
async fn next(fold: &Mutex<Fold>, events: &mut Subscription) -> Next {
    poll_fn(|cx| {
        let mut fold = fold.lock().unwrap();
        Pin::new(&mut *events).poll_next(cx).map(|event| fold.take(event))
    })
    .await
}

impl Fold {
    fn take(&mut self, event: Option<Result<Event, Error>>) -> Next {
        let Some(event) = event else { return Next::End };
        if self.unsubscribed {
            self.report.wrong.push(format!("after it was unsubscribed: {event:?}"));
        }
        match event {
            Ok(Event::Record(change)) => self.change(&change),
            Ok(Event::Resync(reason)) => {
                self.report.resyncs.push(reason);
                if matches!(reason, ResyncReason::AuthChanged | ResyncReason::TooMuch) {
                    self.known.clear();
                }
                return Next::List;
            }
            Ok(Event::Lagged { missed }) => {
                self.report.lagged.push(missed);
                return Next::List;
            }
            Ok(other) => self.report.wrong.push(format!("unexpected: {other:?}")),
            Err(error) => self.report.errors.push(error),
        }
        Next::Event
    }

    fn change(&mut self, change: &RecordEvent) {
        let record: Value = serde_json::from_str(change.json.as_text()).unwrap();
        let updated = record["updated"].as_str().unwrap_or_default().to_string();
        let told = Told {
            at: Instant::now(),
            action: change.action,
            origin: change.origin,
            id: change.id.clone(),
            updated: (!updated.is_empty()).then(|| parse_ms(&updated)),
        };
        self.check(change, &updated);
        self.report.events.push(told);
        if change.action == EventAction::Delete {
            self.shown.remove(&change.id);
            return;
        }
        // The list that this began with may be newer than what was on its way then.
        let newer = self.shown.get(&change.id).is_some_and(|known| known["updated"].as_str() > Some(&updated));
        if !newer {
            self.shown.insert(change.id.clone(), record);
        }
    }

    /// No double, and no way back.
    fn check(&mut self, change: &RecordEvent, updated: &str) {
        let known = self.known.entry(change.id.clone()).or_default();
        let version = format!("{} {}", change.action == EventAction::Delete, change.json.as_text());
        let found_out = change.action == EventAction::Delete && updated.is_empty();
        let wrong = match () {
            () if !known.versions.insert(version) => "twice",
            () if found_out && known.deleted => "deleted twice",
            () if !found_out && updated < &*known.updated => "older than before",
            () if known.deleted && updated == known.updated => "after its deletion",
            () => "",
        };
        if !wrong.is_empty() {
            let (before, json) = (&known.updated, change.json.as_text());
            self.report.wrong.push(format!("{wrong}: {change:?} {json}, before: {before}"));
        }
        known.deleted = change.action == EventAction::Delete;
        if !found_out {
            known.updated = updated.to_string();
        }
    }
}

/// `2026-11-21 13:00:30.123Z` as Unix milliseconds.
fn parse_ms(date: &str) -> u64 {
    let numbers: Vec<i64> =
        date.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect();
    let [year, month, day, hour, minute, second, milli] = numbers[..] else { panic!("no date: {date}") };
    // Days since 1970 by way of March, when the year begins.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 719_469;
    u64::try_from((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + milli).unwrap()
}

/// A server with a proxy, a client behind it, and a writer at it.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    /// The client under test.
    pub(crate) client: Client,
    /// A client straight at the server, which is not under test.
    pub(crate) direct: Client,
    pub(crate) writer: Writer,
    pub(crate) tasks: Tasks,
    lives: Mutex<Vec<LiveList>>,
}

impl Stage {
    /// Sets all up; `set` changes the options of realtime.
    pub(crate) async fn new(set: impl FnOnce(&mut RealtimeOptions)) -> Stage {
        Stage::with(set, |builder| builder).await
    }

    /// The same with the client's tasks on the test's thread, so that nothing goes out between calls made together.
    pub(crate) async fn on_this_thread() -> Stage {
        Stage::with(|_| {}, |builder| builder.runtime(Arc::new(TokioRuntime::new()))).await
    }

    /// The same with other settings of the client.
    pub(crate) async fn with(
        set: impl FnOnce(&mut RealtimeOptions),
        build: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Stage {
        let server = kit().server().await;
        let (proxy, tasks) = (server.proxy().await, Tasks::new(1));
        let mut options = RealtimeOptions::default();
        options.linger = ms(200);
        set(&mut options);
        let client = build(builder(&proxy.url).realtime(options).runtime(tasks.platform())).build().unwrap();
        let (direct, writer) = (self::client(&server.direct_url), Writer::start(&server.direct_url));
        Stage { server, proxy, client, direct, writer, tasks, lives: Mutex::default() }
    }

    /// A watch on all posts.
    pub(crate) async fn watch(&self) -> Watch {
        let events = self.client.collection("posts").subscribe("*").await.unwrap();
        Watch::start(events, &self.direct, "posts").await
    }

    /// Holds a live query of all posts beside the watches, which in the end must have the same list.
    pub(crate) async fn live(&self) {
        let live = self.client.collection("posts").typed::<Json>().live().await.unwrap();
        self.lives.lock().unwrap().push(LiveList::start(live));
    }

    /// How many streams have been asked for.
    pub(crate) async fn streams(&self) -> usize {
        self.proxy.requests().await.into_iter().filter(is_stream).count()
    }

    /// Waits until so many streams have been asked for.
    pub(crate) async fn wait_for_streams(&self, count: usize) {
        self.proxy.wait_for(count, PATIENCE, is_stream).await;
    }

    /// Cuts the stream, and one that it has just replaced: waits until the client is connected by it, however long it
    /// takes to come back.
    pub(crate) async fn cut(&self, how: Cut) {
        until(s(20), "a stream to cut", || async {
            let connected = self.client.realtime().state() == RealtimeState::Connected;
            connected && self.proxy.cut_path(how, "/api/realtime").await > 0
        })
        .await;
    }

    /// The submits so far: status and topics.
    pub(crate) async fn submits(&self) -> Vec<(Option<u16>, Vec<String>)> {
        submits(&self.proxy.requests().await)
    }

    /// Stops the writer, waits until all show what the server has, and says what that is.
    pub(crate) async fn converge(&self, shows: &[&dyn Shows]) -> State {
        self.writer.stop().await;
        let fresh = listed(&self.direct, "posts").await;
        let lives = mem::take(&mut *self.lives.lock().unwrap());
        let beside = lives.iter().map(|live| live as &dyn Shows);
        converged(&shows.iter().copied().chain(beside).collect::<Vec<_>>(), &fresh).await;
        fresh
    }

    /// The end of a scenario: the watches show what the server has, nothing comes after they are unsubscribed, and
    /// nothing is left. What each watch was told.
    pub(crate) async fn finish<const N: usize>(self, watches: [Watch; N]) -> [Report; N] {
        let shows: Vec<&dyn Shows> = watches.iter().map(|watch| watch as &dyn Shows).collect();
        let fresh = self.converge(&shows).await;
        assert!(N == 0 || !fresh.is_empty(), "nothing was written");
        self.client.realtime().unsubscribe_all();
        watches.iter().for_each(Watch::unsubscribed);
        self.direct.collection("posts").create(&json!({"title": "nobody hears of this"})).await.unwrap();
        let mut reports = Vec::new();
        for watch in watches {
            reports.push(watch.ended().await);
        }
        self.nothing_left().await;
        reports.try_into().unwrap()
    }

    /// All subscriptions are gone: so are the stream, the worker, and with the client all connections.
    pub(crate) async fn nothing_left(self) {
        let realtime = self.client.realtime();
        until(s(5), "disconnected", || async { realtime.state() == RealtimeState::Disconnected }).await;
        drop((realtime, self.client));
        until(s(5), "no task is left", || async { self.tasks.alive() == 0 }).await;
        until(s(5), "no connection is left", || async {
            let stats = self.proxy.stats().await;
            (stats.connections_open, stats.in_flight) == (0, 0)
        })
        .await;
    }
}

/// Is this the opening of a stream?
pub(crate) fn is_stream(request: &LoggedRequest) -> bool {
    request.method == "GET" && request.path == "/api/realtime"
}

/// Is this a submit?
pub(crate) fn is_submit(request: &LoggedRequest) -> bool {
    request.method == "POST" && request.path == "/api/realtime"
}

/// The submits of a log: status and topics.
pub(crate) fn submits(log: &[LoggedRequest]) -> Vec<(Option<u16>, Vec<String>)> {
    let topics = |request: &LoggedRequest| {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        serde_json::from_value(body["subscriptions"].clone()).unwrap()
    };
    // What has no body yet has not arrived.
    let arrived = |request: &&LoggedRequest| is_submit(request) && !request.body.is_empty();
    log.iter().filter(arrived).map(|request| (request.status, topics(request))).collect()
}

/// A live query, folded into a list by its changes.
pub(crate) struct LiveList {
    fold: Arc<Mutex<LiveFold>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct LiveFold {
    list: Vec<Json>,
    changes: usize,
    errors: usize,
}

impl LiveList {
    pub(crate) fn start(mut live: Live<Json>) -> LiveList {
        let fold = Arc::new(Mutex::new(LiveFold::default()));
        let shared = fold.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = poll_fn(|cx| Pin::new(&mut live).poll_next(cx)).await {
                shared.lock().unwrap().take(event);
            }
        });
        LiveList { fold, task }
    }

    /// How many changes have come.
    pub(crate) fn changes(&self) -> usize {
        self.fold.lock().unwrap().changes
    }

    /// How many errors have come.
    pub(crate) fn errors(&self) -> usize {
        self.fold.lock().unwrap().errors
    }

    /// Waits until it is, byte by byte, what the server lists. Nothing may be written any more.
    ///
    /// # Panics
    /// When it does not become so in time.
    pub(crate) async fn becomes(&self, fresh: impl Fn() -> Action<ListResult<Json>>) {
        let fresh = fresh().await.unwrap().items;
        let end = Instant::now() + CONVERGES_IN;
        while self.fold.lock().unwrap().list != fresh {
            let texts = |list: &[Json]| list.iter().map(|record| record.as_text().to_string()).collect::<Vec<_>>();
            assert!(Instant::now() < end, "{:#?} is not {:#?}", texts(&self.fold.lock().unwrap().list), texts(&fresh));
            tokio::time::sleep(ms(20)).await;
        }
    }
}

impl LiveFold {
    fn take(&mut self, event: Result<LiveEvent<Json>, Error>) {
        match event {
            Ok(LiveEvent::Snapshot(list)) => self.list = list,
            Ok(LiveEvent::Change(change)) => {
                self.changes += 1;
                change.apply(&mut self.list);
            }
            Ok(other) => panic!("unexpected: {other:?}"),
            Err(_) => self.errors += 1,
        }
    }
}

impl Shows for LiveList {
    fn shown(&self) -> State {
        let list = self.fold.lock().unwrap().list.clone();
        let values = list.iter().map(|record| serde_json::from_str::<Value>(record.as_text()).unwrap());
        values.map(|record| (record["id"].as_str().unwrap().to_string(), record)).collect()
    }
}

impl Drop for LiveList {
    fn drop(&mut self) {
        self.task.abort();
    }
}
