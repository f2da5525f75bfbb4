//! What a client listens to: the events of topics, the changes of live queries, the states of the stream. Python reads
//! all of them alike: it waits until something is there, and takes what is there at once.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use picobase::{
    Client, Error, ErrorKind, FromJson, Json,
    action::CallOptions,
    live::LiveEvent,
    realtime::{Event, NetworkHint, RealtimeOptions, RealtimeState, Subscribe},
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyMapping, PyString},
};
use tokio::sync::watch;

use crate::{
    client::{Handle, Live},
    error,
    fork::Owned,
    json::{Decoder, to_python},
    kept::{intern, once},
    live,
    options::{Limit, Named, Text, option, options, time, whole},
    run::Call,
};

/// How much is taken out of a stream before its reader has its turn.
const BATCH_MAX: usize = 256;

/// What comes, of whatever is listened to.
pub(crate) enum Delivery {
    Record { action: &'static str, origin: &'static str, topic: Arc<str>, id: String, json: Json },
    Message { topic: Arc<str>, data: Json },
    Resync(&'static str),
    Lagged(u64),
    Live(LiveEvent<Json>),
    State(RealtimeState),
}

type Delivered = Result<Delivery, Error>;
type Events = Pin<Box<dyn Stream<Item = Delivered> + Send>>;

/// Begins to listen.
type Open = Arc<dyn Fn() -> Call<Events> + Send + Sync>;

/// A stream of the core as deliveries.
struct Mapped<S: Stream>(S, fn(S::Item) -> Delivered);

impl<S: Stream + Unpin> Stream for Mapped<S> {
    type Item = Delivered;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivered>> {
        let item = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(item.map(self.1))
    }
}

impl<S: Stream + Unpin> Unpin for Mapped<S> {}

/// The stream, with each item as a delivery.
pub(crate) fn events<S: Stream + Unpin + Send + 'static>(stream: S, delivery: fn(S::Item) -> Delivered) -> Events {
    Box::pin(Mapped(stream, delivery))
}

fn of_topic<T>(event: Result<Event<T>, Error>) -> Delivered {
    Ok(match event? {
        Event::Record(event) => Delivery::Record {
            action: event.action.as_str(),
            origin: event.origin.as_str(),
            topic: event.topic,
            id: event.id,
            json: event.json,
        },
        Event::Message(message) => Delivery::Message { topic: message.topic, data: message.data },
        Event::Lagged { missed } => Delivery::Lagged(missed),
        Event::Resync(reason) => Delivery::Resync(reason.as_str()),
        // Of what comes later no more is known than that something has changed.
        _ => Delivery::Resync("unavailable"),
    })
}

/// A stream between the core and its reader. What was taken out of it stays here until Python has it: a reader that is
/// cancelled, or has waited long enough, loses nothing.
struct Feed {
    /// None after the end: it holds the client.
    open: Mutex<Option<Open>>,
    /// One reader waits at a time. None before it was begun, and after the end.
    events: tokio::sync::Mutex<Option<Events>>,
    taken: Mutex<Taken>,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Taken {
    items: VecDeque<Delivered>,
    /// Nothing comes any more.
    over: bool,
}

impl Feed {
    fn new(open: Open) -> Feed {
        let (events, taken) = (tokio::sync::Mutex::new(None), Mutex::default());
        Feed { open: Mutex::new(Some(open)), events, taken, closed: watch::Sender::new(false) }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        locked(&self.taken)
    }

    /// Begins, where it has not begun.
    async fn begin(&self) -> Result<(), Error> {
        let begun = self.unless_closed(async { self.opened().await.map(drop) }).await?;
        begun.ok_or_else(|| Error::new(ErrorKind::Cancelled, "it was closed before it had begun"))
    }

    /// Waits until something can be taken; false at the end.
    async fn ready(&self) -> Result<bool, Error> {
        let any = self.unless_closed(async {
            let mut events = self.opened().await?;
            Ok(poll_fn(|cx| self.poll_ready(&mut events, cx)).await)
        });
        Ok(any.await?.unwrap_or(false))
    }

    async fn opened(&self) -> Result<tokio::sync::MutexGuard<'_, Option<Events>>, Error> {
        let mut events = self.events.lock().await;
        let open = locked(&self.open).clone().filter(|_| events.is_none() && !self.taken().over);
        if let Some(open) = open {
            *events = Some(open().await?);
        }
        Ok(events)
    }

    fn poll_ready(&self, events: &mut Option<Events>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut items = VecDeque::new();
        let mut over = events.is_none();
        if self.taken().items.is_empty()
            && let Some(events) = events
        {
            while items.len() < BATCH_MAX {
                match events.as_mut().poll_next(cx) {
                    Poll::Ready(Some(item)) => items.push_back(item),
                    Poll::Ready(None) => {
                        over = true;
                        break;
                    }
                    Poll::Pending => break,
                }
            }
        }
        if over {
            *events = None;
        }
        let mut taken = self.taken();
        taken.over |= over;
        taken.items.append(&mut items);
        match (taken.items.is_empty(), taken.over) {
            (false, _) => Poll::Ready(true),
            (true, true) => Poll::Ready(false),
            (true, false) => Poll::Pending,
        }
    }

    /// Does it, unless it is closed meanwhile: then the stream is let go.
    async fn unless_closed<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<Option<T>, Error> {
        let mut closing = self.closed.subscribe();
        let done = {
            let (mut work, mut closed) = (pin!(work), pin!(closing.wait_for(|closed| *closed)));
            poll_fn(|cx| match closed.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(Ok(None)),
                Poll::Pending => work.as_mut().poll(cx).map(|result| result.map(Some)),
            })
            .await
        };
        if *self.closed.borrow() {
            drop(self.events.lock().await.take());
            return Ok(None);
        }
        done
    }

    /// Ends it: nothing can be taken any more.
    fn close(&self) {
        let items = {
            let mut taken = self.taken();
            taken.over = true;
            mem::take(&mut taken.items)
        };
        let open = locked(&self.open).take();
        drop((items, open));
        self.closed.send_replace(true);
        // Where somebody waits for it, he lets it go.
        if let Ok(mut events) = self.events.try_lock() {
            drop(events.take());
        }
    }

    /// What is there, and whether that is all that ever comes.
    fn take(&self) -> (VecDeque<Delivered>, bool) {
        let mut taken = self.taken();
        (mem::take(&mut taken.items), taken.over)
    }

    /// What could not be handed over yet comes first the next time.
    fn put_back(&self, mut rest: VecDeque<Delivered>) {
        let mut taken = self.taken();
        if !*self.closed.borrow() {
            rest.append(&mut taken.items);
            taken.items = rest;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is taken at once: what has come, an error, and whether nothing comes any more.
type Batch<'py> = (Vec<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>, bool);

/// Something that is listened to. It is begun when it is awaited or first read, and ends with its object.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeFeed {
    live: Arc<Live>,
    feed: Owned<Arc<Feed>>,
    decoder: Decoder,
    /// Does what cannot be decoded end it?
    strict: bool,
}

impl NativeFeed {
    pub(crate) fn new(live: Arc<Live>, decoder: Decoder, strict: bool, open: Open) -> NativeFeed {
        NativeFeed { live, feed: Owned::new(Arc::new(Feed::new(open))), decoder, strict }
    }

    /// What is heard of a topic.
    pub(crate) fn topic<T: FromJson + 'static>(
        live: Arc<Live>,
        decoder: Decoder,
        wanted: Wanted,
        subscribe: impl Fn(&Client) -> Subscribe<T> + Send + Sync + 'static,
    ) -> NativeFeed {
        let client = Client::clone(&live.client);
        let open: Open = Arc::new(move || {
            let subscribe = subscribe(&client).options(wanted.options.clone());
            let subscribe = if let Some(most) = wanted.queue_max { subscribe.queue_max(most) } else { subscribe };
            Box::pin(async move { Ok(events(subscribe.await?, of_topic)) })
        });
        NativeFeed::new(live, decoder, false, open)
    }

    fn feed(&self, py: Python<'_>) -> PyResult<&Arc<Feed>> {
        self.feed.get().ok_or_else(|| {
            let message = "what was subscribed before a fork belongs to the parent process";
            error::fail(py, ErrorKind::Configuration, message, "Subscribe in the child process anew.")
        })
    }
}

#[pymethods]
impl NativeFeed {
    /// Begins to listen; done when the server has acknowledged it.
    fn begin<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let feed = self.feed(py)?.clone();
        self.live.nothing(py, Box::pin(async move { feed.begin().await }))
    }

    /// Waits until something can be taken, so long at most; false at the end.
    fn ready<'py>(&self, py: Python<'py>, limit: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let feed = self.feed(py)?.clone();
        let limit = limit.map(|given| time(given, "timeout")).transpose()?.flatten();
        let call: Call<bool> = Box::pin(async move {
            let Some(limit) = limit else { return feed.ready().await };
            let nothing = || Error::new(ErrorKind::Timeout, "nothing came in time").with_fix("Go on waiting.");
            tokio::time::timeout(limit, feed.ready()).await.unwrap_or_else(|_| Err(nothing()))
        });
        self.live.run_next(py, call, |py, any| Ok(any.into_pyobject(py)?.to_owned().into_any().unbind()))
    }

    /// What is there, up to an error, which is told once: the rest comes the next time.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Batch<'py>> {
        let feed = self.feed(py)?;
        if self.live.closing().is_over() {
            feed.close();
        }
        let (mut items, over) = feed.take();
        let classes = Classes::get(py)?;
        let mut out = Vec::with_capacity(items.len());
        while let Some(item) = items.pop_front() {
            let object = match item {
                Ok(delivery) => classes.object(py, delivery, &self.decoder).inspect_err(|_| {
                    if self.strict {
                        feed.close();
                    }
                }),
                Err(error) => Err(error::raise(py, &error)),
            };
            match object {
                Ok(object) => out.push(object),
                Err(raised) => {
                    feed.put_back(items);
                    return Ok((out, Some(raised.into_value(py).into_bound(py).into_any()), over));
                }
            }
        }
        Ok((out, None, over))
    }

    /// Ends it: nothing comes any more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.feed(py)?.close();
        Ok(())
    }
}

/// What is wanted of a topic.
pub(crate) struct Wanted {
    options: CallOptions,
    queue_max: Option<u32>,
}

impl Wanted {
    pub(crate) fn read(
        filter: Option<&Bound<'_, PyAny>>,
        expand: Option<&Bound<'_, PyAny>>,
        fields: Option<&Bound<'_, PyAny>>,
        queue_max: Option<Limit>,
        given: &Bound<'_, PyDict>,
    ) -> PyResult<Wanted> {
        let options = options(given)?.named("filter", filter)?.named("expand", expand)?.named("fields", fields)?;
        Ok(Wanted { options, queue_max: queue_max.map(|most| most.0) })
    }
}

/// The settings of realtime: those that were given, in seconds where they are times.
pub(crate) fn settings(given: &Bound<'_, PyAny>) -> PyResult<RealtimeOptions> {
    let mut out = RealtimeOptions::default();
    for pair in given.cast::<PyMapping>()?.items()? {
        let (name, value): (String, Bound<'_, PyAny>) = pair.extract()?;
        if value.is_none() {
            continue;
        }
        let lasts = || PyResult::Ok(option(&value, &name)?.unwrap_or_default());
        let counts = || whole(&value, &name, ErrorKind::Configuration);
        match name.as_str() {
            "liveness" => out.liveness = lasts()?,
            "max_age" => out.max_age = lasts()?,
            "overlap" => out.overlap = lasts()?,
            "linger" => out.linger = lasts()?,
            "catch_up" => out.catch_up = value.extract()?,
            "catch_up_skew" => out.catch_up_skew = lasts()?,
            "catch_up_max" => out.catch_up_max = counts()?,
            "tracked_max" => out.tracked_max = counts()?,
            "queue_max" => out.queue_max = counts()?,
            _ => return Err(PyTypeError::new_err(format!("unexpected option of realtime '{name}'"))),
        }
    }
    Ok(out)
}

/// The classes of `picobase._events`.
pub(crate) struct Classes {
    record: Py<PyAny>,
    message: Py<PyAny>,
    resync: Py<PyAny>,
    lagged: Py<PyAny>,
    pub(crate) live: live::Classes,
}

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

impl Classes {
    /// They are imported when something has come.
    fn get(py: Python<'_>) -> PyResult<&Classes> {
        once(py, &CLASSES, || {
            let module = py.import(intern!(py, "picobase._events"))?;
            Ok(Classes {
                record: module.getattr("RecordEvent")?.unbind(),
                message: module.getattr("Message")?.unbind(),
                resync: module.getattr("Resync")?.unbind(),
                lagged: module.getattr("Lagged")?.unbind(),
                live: live::Classes::new(&module)?,
            })
        })
    }

    fn object<'py>(&self, py: Python<'py>, delivery: Delivery, decoder: &Decoder) -> PyResult<Bound<'py, PyAny>> {
        // They are few, and repeat with each event.
        let word = |word: &str| PyString::intern(py, word);
        match delivery {
            Delivery::Record { action, origin, topic, id, json } => {
                let record = match decoder.one(py, &json) {
                    Ok(record) => record,
                    // One that was found out later has no fields, which few types can be made of.
                    Err(_) if action == "delete" && origin == "catchup" => py.None().into_bound(py),
                    Err(raised) => return Err(raised),
                };
                self.record.bind(py).call1((word(action), record, word(origin), &*topic, id))
            }
            Delivery::Message { topic, data } => self.message.bind(py).call1((&*topic, to_python(py, &data)?)),
            Delivery::Resync(reason) => self.resync.bind(py).call1((word(reason),)),
            Delivery::Lagged(missed) => self.lagged.bind(py).call1((missed,)),
            Delivery::Live(event) => self.live.object(py, event, decoder),
            Delivery::State(state) => Ok(word(state.as_str()).into_any()),
        }
    }
}

/// The client's event stream.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeRealtime {
    handle: Handle,
}

impl NativeRealtime {
    pub(crate) fn new(handle: Handle) -> NativeRealtime {
        NativeRealtime { handle }
    }
}

#[pymethods]
impl NativeRealtime {
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn subscribe(
        &self,
        py: Python<'_>,
        topic: Text,
        filter: Option<&Bound<'_, PyAny>>,
        expand: Option<&Bound<'_, PyAny>>,
        fields: Option<&Bound<'_, PyAny>>,
        queue_max: Option<Limit>,
        given: &Bound<'_, PyDict>,
    ) -> PyResult<NativeFeed> {
        let wanted = Wanted::read(filter, expand, fields, queue_max, given)?;
        let subscribe = move |client: &Client| client.realtime().subscribe(&topic);
        Ok(NativeFeed::topic(self.handle.live(py)?, Decoder::default(), wanted, subscribe))
    }

    fn unsubscribe(&self, py: Python<'_>, topic: Text) -> PyResult<()> {
        self.handle.live(py)?.client.realtime().unsubscribe(&topic);
        Ok(())
    }

    fn unsubscribe_prefix(&self, py: Python<'_>, prefix: Text) -> PyResult<()> {
        self.handle.live(py)?.client.realtime().unsubscribe_prefix(&prefix);
        Ok(())
    }

    fn unsubscribe_all(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.live(py)?.client.realtime().unsubscribe_all();
        Ok(())
    }

    fn hint(&self, py: Python<'_>, hint: &str) -> PyResult<()> {
        let hint = match hint {
            "online" => NetworkHint::Online,
            "hidden" => NetworkHint::Hidden,
            "visible" => NetworkHint::Visible,
            _ => return Err(PyValueError::new_err("a hint is online, hidden or visible")),
        };
        self.handle.live(py)?.client.realtime().hint(hint);
        Ok(())
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.handle.live(py)?.client.realtime().state().as_str())
    }

    /// The state now, and then whenever it is another one.
    fn states(&self, py: Python<'_>) -> PyResult<NativeFeed> {
        let live = self.handle.live(py)?;
        let client = Client::clone(&live.client);
        let open: Open = Arc::new(move || {
            let states = client.realtime().states();
            Box::pin(async { Ok(events(states, |state| Ok(Delivery::State(state)))) })
        });
        Ok(NativeFeed::new(live, Decoder::default(), false, open))
    }
}
