//! Watches the server for a live query: hears what may have changed, asks how it is now.

use alloc::{string::String, vec::Vec};
use core::{
    future::{Future, poll_fn},
    task::Poll,
    time::Duration,
};

use super::{
    LiveChange,
    bodies::{Dirty, known},
    view::{Entry, Places, changes},
};
use crate::{
    call::{Call, Limit, execute},
    client::Client,
    error::{Error, ErrorKind},
    json::Json,
    realtime::{Handle, Item, RealtimeState, Topic, moment::Moment},
    records::{
        items,
        list::{MANY_MAX, id_filters},
    },
    retry::backoff,
    runtime::{Race, compact, race, random_fraction},
    sync::{Step, boxed},
};

/// How long to wait for more after the first event: writes come in flocks.
const GATHER: Moment = Moment::ms(50);
/// After a check twice its own time is free of checks, but no longer than this.
const REST_MAX: Moment = Moment::ms(5000);

/// What a check has brought, in order.
pub(super) type Changes = Vec<LiveChange<Json>>;

/// Why something was not brought to its end.
enum Stop {
    /// A call has failed.
    Failed(Error),
    /// Something is to be told.
    Told(Error),
    /// It was unsubscribed.
    Over,
}

impl Stop {
    fn error(self) -> Option<Error> {
        match self {
            Stop::Failed(error) | Stop::Told(error) => Some(error),
            Stop::Over => None,
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// What was heard since the last check.
struct Signals {
    handle: Handle,
    dirty: Dirty,
    dirty_max: usize,
    /// The server answers members in any order.
    shuffled: bool,
    /// More may have changed than the events say: the whole list is wanted.
    stale: bool,
    /// The stream is there again, or somebody else is signed in: there is no need to wait any longer.
    renewed: bool,
    /// The session has ended, and nobody has signed in or out since.
    ended: bool,
}

impl Signals {
    fn is_quiet(&self) -> bool {
        self.dirty.is_empty() && !self.stale
    }

    /// Waits for signals and takes all that are there.
    async fn hear(&mut self) -> Result<(), Stop> {
        let mut any = false;
        poll_fn(|cx| {
            loop {
                match self.handle.poll_next(cx) {
                    Poll::Ready(Some(item)) => self.take(item)?,
                    Poll::Ready(None) => return Poll::Ready(Err(Stop::Over)),
                    Poll::Pending if any => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                }
                any = true;
            }
        })
        .await
    }

    fn take(&mut self, item: Item) -> Result<(), Stop> {
        match item {
            // The whole list is going to be asked for anyway.
            Item::Record { .. } if self.stale => {}
            Item::Record { action, id, json, .. } => {
                self.dirty.mark(action, id, if self.shuffled { json.sorted() } else { json });
                if self.dirty.len() > self.dirty_max {
                    self.stale = true;
                }
            }
            Item::Stale | Item::Resync(_) => (self.stale, self.renewed, self.ended) = (true, true, false),
            Item::Lagged(_) => self.stale = true,
            Item::Error(error) if error.kind() == ErrorKind::SessionExpired => self.end(error)?,
            Item::Error(error) => return Err(Stop::Told(error)),
            Item::Message { .. } => {}
        }
        Ok(())
    }

    /// The session has ended: that is told once.
    fn end(&mut self, error: Error) -> Result<(), Stop> {
        if core::mem::replace(&mut self.ended, true) { Ok(()) } else { Err(Stop::Told(error)) }
    }

    /// Does something while signals go on being heard, so that none are dropped.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let hear = async {
            loop {
                if let Err(stop) = self.hear().await {
                    return stop;
                }
            }
        };
        match race(work, hear).await {
            Race::First(done) => Ok(done),
            Race::Second(stop) => Err(stop),
        }
    }
}

/// A list that is being watched.
pub(super) struct Watch {
    client: Client,
    /// The query without filter and sort.
    plain: Call,
    /// The query.
    full: Call,
    signals: Signals,
    list: Vec<Entry>,
    recheck: Moment,
    recheck_at: Moment,
    /// When the first signal since the last check was found.
    since: Moment,
    /// No check before that.
    rest_until: Moment,
    failures: u32,
}

impl Watch {
    /// Subscribes, then takes the first list.
    pub(super) async fn begin(client: Client, query: Call, limit: u32, recheck: Duration) -> Result<Watch, Error> {
        let (start, time) = (client.shared.runtime.uptime(), query.limit);
        let mut watch = Watch::new(client, query, limit, Moment::of(recheck))?;
        watch.signals.handle.established(time).await?;
        let mut first = watch.full.clone();
        if let Limit::After(time) = time {
            let gone = watch.client.shared.runtime.uptime().saturating_sub(start);
            first.limit = Limit::After(time.saturating_sub(gone));
        }
        watch.list = watch.ask(first).await.map_err(|stop| stop.error().unwrap_or_else(unsubscribed))?;
        watch.recheck_at = watch.now().plus(watch.recheck);
        Ok(watch)
    }

    fn new(client: Client, query: Call, limit: u32, recheck: Moment) -> Result<Watch, Error> {
        let mut heard = query.query.clone();
        for name in ["filter", "sort", "page", "perPage", "skipTotal"] {
            heard.set(name, None::<&str>);
        }
        // Without the filter, or nothing would be heard of what no longer passes it. The topic completes the fields by
        // those that tell versions apart.
        let topic = Topic::new(&[query.param("c"), "/*"].concat(), heard, query.headers.clone())?;
        let shuffled = topic.shuffles();
        let mut plain = query.clone();
        plain.query = topic.query.clone();
        plain.query.set("page", 1).set("perPage", limit).set("skipTotal", true);
        let mut full = plain.clone();
        for name in ["filter", "sort"] {
            full.query.set(name, query.query.get(name));
        }
        let signals = Signals {
            handle: Handle::new(&client, topic, true, None)?,
            dirty: Dirty::default(),
            dirty_max: usize::try_from(limit).unwrap_or(usize::MAX),
            shuffled,
            stale: false,
            renewed: false,
            ended: false,
        };
        Ok(Watch {
            client,
            plain,
            full,
            signals,
            list: Vec::new(),
            recheck,
            recheck_at: Moment::ZERO,
            since: Moment::NEVER,
            rest_until: Moment::ZERO,
            failures: 0,
        })
    }

    /// The list as it is.
    pub(super) fn bodies(&self) -> Vec<Json> {
        self.list.iter().map(|entry| entry.body.clone()).collect()
    }

    fn now(&self) -> Moment {
        Moment::of(self.client.shared.runtime.uptime())
    }

    /// The next changes.
    async fn next(&mut self) -> Result<Changes, Stop> {
        loop {
            self.wait().await?;
            let start = self.now();
            let checked = self.check().await;
            let now = self.now();
            self.since = Moment::NEVER;
            let took = now.since(start);
            self.rest_until = now.plus(took.plus(took).min(REST_MAX));
            match checked {
                Ok(list) => {
                    self.failures = 0;
                    let changes = changes(&self.list, &list);
                    self.list = list;
                    if !changes.is_empty() {
                        return Ok(changes);
                    }
                }
                Err(Stop::Failed(error)) => self.failed(error, now)?,
                Err(stop) => {
                    self.signals.stale = true;
                    return Err(stop);
                }
            }
        }
    }

    /// Waits until a check is due.
    async fn wait(&mut self) -> Result<(), Stop> {
        loop {
            let now = self.now();
            if core::mem::take(&mut self.signals.renewed) {
                (self.failures, self.rest_until) = (0, now);
            }
            if !self.signals.is_quiet() {
                self.since = self.since.min(now);
            }
            if self.is_suspended() {
                self.signals.hear().await?;
                continue;
            }
            let due = self.due();
            let mut timer = self.client.shared.runtime.sleep(due.since(now).duration());
            // Of many events only the first says anything about when the check is due.
            while !self.signals.renewed && !self.signals.ended && (self.since.is_set() || self.signals.is_quiet()) {
                match race(&mut timer, self.signals.hear()).await {
                    Race::First(()) if self.is_suspended() => break,
                    Race::First(()) => {
                        self.signals.stale |= self.recheck_at <= due;
                        return Ok(());
                    }
                    Race::Second(heard) => heard?,
                }
            }
        }
    }

    /// Nothing is asked while the session has ended, or while nobody looks at the page, which would keep the instance
    /// awake. Afterwards the stream comes back, which is a signal.
    fn is_suspended(&self) -> bool {
        self.signals.ended || self.client.realtime.current_state() == RealtimeState::Suspended
    }

    fn due(&self) -> Moment {
        self.recheck_at.min(self.since.plus(GATHER)).max(self.rest_until)
    }

    /// A check has failed: it is made again, unless that is of no use.
    fn failed(&mut self, error: Error, now: Moment) -> Result<(), Stop> {
        match (error.kind(), error.status()) {
            // Somebody may have signed in since the call was made.
            (ErrorKind::SessionExpired, _) if self.signals.renewed => {}
            (ErrorKind::SessionExpired, _) => self.signals.end(error)?,
            (_, 400 | 401 | 403 | 404) => return Err(Stop::Told(error)),
            _ => {}
        }
        self.signals.stale = true;
        let wait = backoff(self.failures, random_fraction(&*self.client.shared.runtime));
        self.failures = self.failures.saturating_add(1);
        self.rest_until = now.plus(Moment::of(wait).max(GATHER));
        Ok(())
    }

    /// How the list is now.
    async fn check(&mut self) -> Result<Vec<Entry>, Stop> {
        loop {
            let generation = self.client.session.generation();
            let (list, whole) = self.list_again().await?;
            let check = self.client.session.check(&self.client);
            if !self.is_doubtful(&list, whole) || self.signals.during(check).await?? == generation {
                self.signals.dirty.end();
                return Ok(list);
            }
            self.signals.stale = true;
        }
    }

    /// The list, and whether all of it was asked for.
    async fn list_again(&mut self) -> Result<(Vec<Entry>, bool), Stop> {
        if !core::mem::take(&mut self.signals.stale) {
            self.signals.dirty.begin();
            if let Some(list) = self.check_ids().await? {
                return Ok((list, false));
            }
        } else {
            self.signals.dirty.clear();
        }
        let list = self.ask(self.full.clone()).await?;
        self.recheck_at = self.now().plus(self.recheck);
        Ok((list, true))
    }

    /// Has a record left that no event told of? Then it may only be hidden. Off the end of a full list they fall all the
    /// time, so there that counts for the whole only, which is seldom asked for.
    fn is_doubtful(&self, list: &[Entry], whole: bool) -> bool {
        let there = Places::of(list);
        let has_left = |entry: &Entry| there.find(&entry.id).is_none() && self.signals.dirty.get(&entry.id).is_none();
        (whole || list.len() < self.signals.dirty_max) && self.list.iter().any(has_left)
    }

    /// The list by its ids, with bodies that are known or are fetched; none where too many would have to be.
    async fn check_ids(&mut self) -> Result<Option<Vec<Entry>>, Stop> {
        let mut call = self.full.clone();
        call.query.set("fields", "id,updated").set("expand", None::<&str>);
        let mut list = self.ask(call).await?;
        let unknown = self.fill(&mut list);
        if unknown.len().saturating_mul(3) > list.len() {
            return Ok(None);
        }
        let fetched = self.fetch(&unknown).await?;
        complete(&mut list, &unknown, &fetched);
        Ok(Some(list))
    }

    /// Puts in the bodies that are known; the ids of the others, sorted.
    fn fill(&self, list: &mut [Entry]) -> Vec<String> {
        let held = Places::of(&self.list);
        let mut unknown: Vec<String> = Vec::new();
        for entry in list {
            match known(&entry.updated, held.entry(&entry.id), self.signals.dirty.get(&entry.id)) {
                Some(body) => entry.body = body.clone(),
                None => unknown.push(entry.id.clone()),
            }
        }
        unknown.sort_unstable();
        unknown
    }

    /// Records by their ids.
    async fn fetch(&mut self, ids: &[String]) -> Result<Vec<Entry>, Stop> {
        let mut all = Vec::new();
        for filter in id_filters(&self.client, ids)? {
            let mut call = self.plain.clone();
            call.query.set("perPage", MANY_MAX).set("filter", filter);
            all.extend(self.ask(call).await?);
        }
        Ok(all)
    }

    /// Makes a list call.
    fn ask(&mut self, mut call: Call) -> impl Future<Output = Result<Vec<Entry>, Stop>> {
        call.verbatim = true;
        compact(async move {
            let client = self.client.clone();
            let answer = self.signals.during(execute(&client, call)).await?;
            let bodies = answer?.read(|page| items(&page))?;
            Ok(entries(bodies, self.signals.shuffled))
        })
    }
}

/// The next changes, for a stream.
pub(super) fn step(mut watch: Watch) -> Step<Watch, Result<Changes, Error>> {
    boxed(async move {
        match watch.next().await {
            Ok(changes) => (Some(Ok(changes)), Some(watch)),
            Err(stop) => {
                let error = stop.error();
                let goes_on = error.as_ref().is_some_and(|error| error.kind() == ErrorKind::SessionExpired);
                (error.map(Err), goes_on.then_some(watch))
            }
        }
    })
}

/// Puts in what was fetched of those that were unknown.
fn complete(list: &mut Vec<Entry>, unknown: &[String], fetched: &[Entry]) {
    let places = Places::of(fetched);
    // What is gone by now has sent an event.
    list.retain_mut(|entry| match places.entry(&entry.id) {
        Some(found) => {
            *entry = found.clone();
            true
        }
        None => unknown.binary_search(&entry.id).is_err(),
    });
}

/// The entries of a page; no id twice, whatever a join may bring.
fn entries(bodies: Vec<Json>, shuffled: bool) -> Vec<Entry> {
    let mut list: Vec<Entry> = Vec::with_capacity(bodies.len());
    for body in bodies {
        list.extend(Entry::read(if shuffled { body.sorted() } else { body }));
    }
    let places = Places::of(&list);
    let first: Vec<bool> = list.iter().enumerate().map(|(at, entry)| places.find(&entry.id) == Some(at)).collect();
    let mut first = first.into_iter();
    list.retain(|_| first.next().unwrap_or(true));
    list
}

fn unsubscribed() -> Error {
    Error::new(ErrorKind::Cancelled, "it was unsubscribed before the first list was there")
}
