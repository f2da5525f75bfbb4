//! The client: how it is set up, what it shares with its family, and how it begins anew in a child process.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwapOption, ArcSwapWeak};
use bytes::Bytes;
use picobase::{
    Client, ErrorKind, Json, action::Action, auth::Session, client::SessionSource, files::Source, transport::Method,
};
use pyo3::{
    PyTraverseError, PyVisit,
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyCFunction, PyDict},
};

use crate::{
    auth::{self, NativeAuth},
    batch::NativeBatch,
    beside::Beside,
    closing::{Closing, closed},
    error,
    files::NativeFiles,
    fork::Ours,
    hooks::{Listeners, tell_error},
    json::Decoder,
    logging,
    options::{Text, options},
    realtime::NativeRealtime,
    records::NativeRecords,
    run::{self, Call, Driver},
    setup::Setup,
    store::Keeper,
    value,
};

/// A client of the core, and what runs its calls.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct Native {
    pub(crate) handle: Handle,
}

/// What all nouns of a client hold.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Inner>);

struct Inner {
    family: Arc<Family>,
    /// Where the session is kept, here and in a child process; none for the family's first client.
    keeper: Option<Keeper>,
    /// None when it was closed.
    live: ArcSwapOption<Live>,
    /// The URL that it had when it was closed.
    url: ArcSwapOption<String>,
    /// Which of the family's listeners came from this client.
    states: Mutex<Vec<u64>>,
    /// Who hears of this client's own store.
    storage: Arc<Listeners>,
}

/// Clients that share connections, gate and options.
struct Family {
    setup: Setup,
    /// The URL that was set later, for a child process.
    url: ArcSwapOption<String>,
    base: ArcSwapWeak<Base>,
}

/// What the clients of a family share in the process that it was made in, while one of them is open.
struct Base {
    client: Ours<Client>,
    is_blocking: bool,
    /// None when the last client was closed; others may still hold on to what is here.
    driver: Ours<ArcSwapOption<Driver>>,
    open: AtomicUsize,
}

/// A client in the process that it was made in.
pub(crate) struct Live {
    pub(crate) client: Ours<Client>,
    base: Arc<Base>,
    closing: Arc<Closing>,
    /// Is its session one of many, which is written down when its calls are done? So it is with the visitors of a site.
    is_visitor: bool,
}

impl Live {
    pub(crate) fn run<'py, T, C>(&self, py: Python<'py>, call: Call<T>, convert: C) -> PyResult<Bound<'py, PyAny>>
    where
        T: Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        self.run_beside(py, call, Beside::default(), convert)
    }

    /// [`run`](Self::run) for a call that uploads what Python has.
    pub(crate) fn run_beside<'py, T, C>(
        &self,
        py: Python<'py>,
        call: Call<T>,
        beside: Beside,
        convert: C,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        T: Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        self.check(py)?;
        let call = self.settled(self.closing.until(call));
        self.driver(py)?.run_beside(py, call, beside, convert)
    }

    /// The call, and what has to be known of a visitor's session when it is done; who blocks waits for that anyway.
    fn settled<T: Send + 'static>(&self, call: Call<T>) -> Call<T> {
        if self.base.is_blocking || !self.is_visitor {
            return call;
        }
        let client = Client::clone(&self.client);
        Box::pin(async move {
            let result = call.await;
            client.auth().settled().await;
            result
        })
    }

    /// Runs a call that answers nothing.
    pub(crate) fn nothing<'py>(&self, py: Python<'py>, call: Call<()>) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, call, |py, ()| Ok(py.None()))
    }

    /// [`run`](Self::run) for what a loop waits for: where the client is closed it gets the default, which is its end.
    pub(crate) fn run_next<'py, T, C>(&self, py: Python<'py>, call: Call<T>, convert: C) -> PyResult<Bound<'py, PyAny>>
    where
        T: Default + Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        if self.closing.is_over() {
            let end = convert(py, T::default())?.into_bound(py);
            return if self.base.is_blocking { Ok(end) } else { run::done(end) };
        }
        let closing = self.closing.clone();
        let call = Box::pin(async move {
            closing.until(call).await.or_else(|error| if closing.is_over() { Ok(T::default()) } else { Err(error) })
        });
        self.driver(py)?.run_beside(py, call, Beside::default(), convert)
    }

    fn driver(&self, py: Python<'_>) -> PyResult<Driver> {
        let driver = self.base.driver.load();
        Ok(driver.as_ref().ok_or_else(|| closed(py))?.of(&self.client))
    }

    fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.closing.is_over() { Err(closed(py)) } else { Ok(()) }
    }

    /// Does `work`, which may start something beside the calls.
    pub(crate) fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        match self.base.driver.load_full() {
            Some(driver) => driver.enter(work),
            None => work(),
        }
    }

    pub(crate) fn closing(&self) -> &Arc<Closing> {
        &self.closing
    }

    /// The client is closed. Answers the driver, where this was the last client of its family.
    fn end(&self) -> Option<Arc<Driver>> {
        self.client.realtime().unsubscribe_all();
        self.closing.end();
        if self.base.open.fetch_sub(1, Ordering::AcqRel) == 1 { self.base.driver.swap(None) } else { None }
    }
}

impl Family {
    /// What the clients share, made anew in a child process: its connections and threads are the parent's.
    fn base(&self, py: Python<'_>) -> PyResult<Arc<Base>> {
        loop {
            let there = self.base.load_full();
            if let Some(base) = there.upgrade().filter(|base| base.client.is_ours()) {
                return Ok(base);
            }
            let fresh = self.fresh(py)?;
            // Another thread may have been quicker.
            if Weak::ptr_eq(&self.base.compare_and_swap(&there, Arc::downgrade(&fresh)), &there) {
                return Ok(fresh);
            }
        }
    }

    fn fresh(&self, py: Python<'_>) -> PyResult<Arc<Base>> {
        let mut builder = self.setup.builder();
        if let Some(url) = self.url.load_full() {
            builder = builder.url(&url);
        }
        let client = builder.build().map_err(|e| error::raise(py, &e))?;
        let driver = Driver::new(py, &client, self.setup.is_blocking)?;
        logging::refresh(py);
        Ok(Arc::new(Base {
            client: Ours::new(client),
            is_blocking: self.setup.is_blocking,
            driver: Ours::new(ArcSwapOption::from_pointee(driver)),
            open: AtomicUsize::new(0),
        }))
    }
}

impl Inner {
    fn new(family: Arc<Family>, keeper: Option<Keeper>, base: Arc<Base>) -> Inner {
        let (live, url, storage) = (ArcSwapOption::empty(), ArcSwapOption::empty(), Arc::default());
        let inner = Inner { family, keeper, live, url, states: Mutex::default(), storage };
        let live = Arc::new(inner.open(base));
        inner.listen(&live);
        inner.live.store(Some(live));
        inner
    }

    /// The client, on connections of this process. What can be read of its session without waiting is there at once.
    fn open(&self, base: Arc<Base>) -> Live {
        let client = match &self.keeper {
            None => Client::clone(&base.client),
            Some(keeper) => base.client.with_session(match keeper.held() {
                Some(held) => SessionSource::Kept(held, keeper.store()),
                None => SessionSource::Store(keeper.store()),
            }),
        };
        base.open.fetch_add(1, Ordering::AcqRel);
        Live { client: Ours::new(client), base, closing: Arc::default(), is_visitor: self.keeper.is_some() }
    }

    /// Hears of its store from now on.
    fn listen(&self, live: &Live) {
        let storage = Arc::downgrade(&self.storage);
        live.client.on_storage_error(move |failed| {
            if let Some(storage) = Weak::upgrade(&storage) {
                tell_error(&storage, failed);
            }
        });
    }

    /// Its listeners hear nothing from now on.
    fn silence(&self) {
        let states = std::mem::take(&mut *self.states.lock().unwrap_or_else(PoisonError::into_inner));
        states.into_iter().for_each(|id| self.family.setup.hooks.states.remove(id));
        self.storage.clear();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.silence();
        // What was opened here, a subscription for example, goes on without it.
        if let Some(live) = self.live.swap(None).filter(|live| live.client.is_ours()) {
            live.base.open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Handle {
    /// The client, in this process.
    ///
    /// # Errors
    /// Kind `Configuration` where it is closed.
    pub(crate) fn live(&self, py: Python<'_>) -> PyResult<Arc<Live>> {
        self.0.keeper.as_ref().unwrap_or(&self.0.family.setup.keeper).called(py);
        loop {
            let there = self.0.live.load_full();
            match &there {
                None => return Err(closed(py)),
                Some(live) if live.client.is_ours() => return Ok(live.clone()),
                Some(_) => {}
            }
            let fresh = Arc::new(self.0.open(self.0.family.base(py)?));
            let before = self.0.live.compare_and_swap(&there, Some(fresh.clone()));
            if before.as_ref().map(Arc::as_ptr) == there.as_ref().map(Arc::as_ptr) {
                self.0.listen(&fresh);
                return Ok(fresh);
            }
            // Another thread was quicker, or has closed the client.
            fresh.base.open.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// A client of the family with a session of its own, which is kept there.
    fn with_store(&self, py: Python<'_>, keeper: Keeper) -> PyResult<Handle> {
        let base = self.live(py)?.base.clone();
        Ok(Handle(Arc::new(Inner::new(self.0.family.clone(), Some(keeper), base))))
    }

    /// A client of the family with this session, in memory.
    pub(crate) fn with_session(&self, py: Python<'_>, session: Option<&Session>) -> PyResult<Handle> {
        self.with_store(py, Keeper::holding(session))
    }

    pub(crate) fn is_blocking(&self) -> bool {
        self.0.family.setup.is_blocking
    }
}

/// A body that goes as it is.
#[derive(FromPyObject)]
enum Raw {
    Bytes(PyBackedBytes),
    Text(String),
}

impl Native {
    pub(crate) fn of(handle: Handle) -> Native {
        Native { handle }
    }
}

#[pymethods]
impl Native {
    /// A client: blocking or for asyncio, and its options.
    #[new]
    fn new(py: Python<'_>, blocking: bool, options: &Bound<'_, PyDict>) -> PyResult<Native> {
        let setup = Setup::read(blocking, options)?;
        let family = Family { setup, url: ArcSwapOption::empty(), base: ArcSwapWeak::default() };
        let base = family.base(py)?;
        Ok(Native::of(Handle(Arc::new(Inner::new(Arc::new(family), None, base)))))
    }

    /// The base URL, if one is set.
    #[getter]
    fn url(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let inner = &self.handle.0;
        if inner.live.load().is_none() {
            return Ok(inner.url.load().as_deref().cloned());
        }
        Ok(self.handle.live(py)?.client.url())
    }

    fn set_url<'py>(&self, py: Python<'py>, url: Text, keep_session: bool) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let set = live.client.set_url(&url);
        let set = if keep_session { set.keep_session() } else { set };
        let (family, url) = (self.handle.0.family.clone(), Arc::new(url.0));
        live.run(py, set.into_future(), move |py, ()| {
            family.url.store(Some(url));
            Ok(py.None())
        })
    }

    /// Closes the client. For asyncio the answer is a future that is done when its thread has ended too.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let inner = &self.handle.0;
        inner.silence();
        let Some(live) = inner.live.swap(None).filter(|live| live.client.is_ours()) else {
            return ended(py, self.handle.is_blocking(), None);
        };
        inner.url.store(live.client.url().map(Arc::new));
        ended(py, self.handle.is_blocking(), live.end())
    }

    /// Calls `listener` when the instance falls asleep, wakes up, or does not; answers how to stop that.
    fn on_state<'py>(&self, py: Python<'py>, listener: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyCFunction>> {
        self.handle.live(py)?;
        let inner = &self.handle.0;
        let (id, stop) = inner.family.setup.hooks.states.listen("listener", listener)?;
        inner.states.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        Ok(stop)
    }

    /// Calls `listener` with errors of this client's own store that no call can report; answers how to stop that.
    fn on_storage_error<'py>(
        &self,
        py: Python<'py>,
        listener: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyCFunction>> {
        self.handle.live(py)?;
        Ok(self.handle.0.storage.listen("listener", listener)?.1)
    }

    /// A hook may refer to the client that it belongs to. While another object of the client's is there nothing is
    /// counted, and nothing collected.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let inner = &self.handle.0;
        if Arc::strong_count(inner) > 1 {
            return Ok(());
        }
        inner.storage.traverse(&visit)?;
        if Arc::strong_count(&inner.family) > 1 {
            return Ok(());
        }
        inner.family.setup.hooks.traverse(&visit)
    }

    fn __clear__(&self) {
        self.handle.0.storage.clear();
        self.handle.0.family.setup.hooks.clear();
    }

    /// A client with a session of its own, of a token and perhaps a record; without a token a guest's.
    fn with_session(&self, py: Python<'_>, token: Text, record: Option<&Bound<'_, PyAny>>) -> PyResult<Native> {
        let session = if token.is_empty() { None } else { Some(auth::session(&token, record)?) };
        Ok(Native::of(self.handle.with_session(py, session.as_ref())?))
    }

    /// A client with a session of its own, in a store.
    fn with_store(&self, py: Python<'_>, store: &Bound<'_, PyAny>) -> PyResult<Native> {
        let keeper = Keeper::read(store, self.handle.is_blocking())?;
        Ok(Native::of(self.handle.with_store(py, keeper)?))
    }

    /// Sign-up, sign-in and the session; of a collection, or of the client's `auth_collection`.
    fn auth(&self, collection: Option<Text>) -> NativeAuth {
        NativeAuth::new(self.handle.clone(), collection.map(|name| name.0))
    }

    /// The records of a collection; `decode` makes them of their bytes.
    fn records(&self, name: Text, decode: Option<Py<PyAny>>) -> NativeRecords {
        NativeRecords::new(self.handle.clone(), name.0, Decoder::new(decode))
    }

    /// The event stream.
    fn realtime(&self) -> NativeRealtime {
        NativeRealtime::new(self.handle.clone())
    }

    /// URLs and downloads of files.
    fn files(&self) -> NativeFiles {
        NativeFiles::new(self.handle.clone())
    }

    /// Writes that are sent together.
    fn batch(&self) -> NativeBatch {
        NativeBatch::new(self.handle.clone())
    }

    fn health<'py>(&self, py: Python<'py>, given: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        self.row(py, picobase::endpoints::HEALTH.name, Vec::new(), None, given)
    }

    /// Any row of the endpoint table that answers JSON, by its name.
    fn row<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        params: Vec<Text>,
        body: Option<&Bound<'py, PyAny>>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let call = asked(live.client.row::<Json>(number(name), &borrowed(&params)), body, given)?;
        live.run(py, call.into_future(), |py, json| Ok(crate::json::to_python(py, &json)?.unbind()))
    }

    /// Any row of the endpoint table that answers nothing, by its name.
    fn row_nothing<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        params: Vec<Text>,
        body: Option<&Bound<'py, PyAny>>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let call = asked(live.client.row_nothing(number(name), &borrowed(&params)), body, given)?;
        live.nothing(py, call.into_future())
    }

    /// All collections.
    fn collections<'py>(&self, py: Python<'py>, given: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let call = live.client.collections().get_full_list::<Json>().options(options(given)?);
        live.run(py, call.into_future(), |py, all| Ok(crate::json::to_python(py, &Json::array(all))?.unbind()))
    }

    /// The first collection that a filter finds.
    fn first_collection<'py>(
        &self,
        py: Python<'py>,
        filter: Text,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let call = live.client.collections().get_first_list_item::<Json>(&filter).options(options(given)?);
        live.run(py, call.into_future(), |py, json| Ok(crate::json::to_python(py, &json)?.unbind()))
    }

    /// Any other route: `raw` is a body that goes as it is, `body` one that becomes JSON.
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn send<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        path: Text,
        body: Option<&Bound<'py, PyAny>>,
        raw: Option<Raw>,
        safe: bool,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let Some(method) = Method::named(method) else {
            let fix = "Use GET, HEAD, POST, PUT, PATCH or DELETE.";
            return Err(error::fail(py, ErrorKind::Validation, "the method is none that can be sent", fix));
        };
        let call = live.client.send::<Json>(method, &path);
        let mut options = options(given)?;
        let call = match (raw, body) {
            (Some(Raw::Bytes(raw)), _) => call.raw(Source::bytes(Bytes::from_owner(raw))),
            (Some(Raw::Text(raw)), _) => {
                if options.headers.get("Content-Type").is_none() {
                    options.headers.set("Content-Type", "application/json");
                }
                call.raw(Source::bytes(raw))
            }
            (None, Some(body)) => call.body(&crate::body::json(body)?),
            (None, None) => call,
        };
        let call = if safe { call.safe() } else { call }.options(options);
        live.run(py, call.into_future(), |py, json| Ok(crate::json::to_python(py, &json)?.unbind()))
    }

    /// A function of the instance.
    fn rpc<'py>(
        &self,
        py: Python<'py>,
        name: Text,
        data: &Bound<'py, PyAny>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let call = live.client.rpc::<Json>(&name, &crate::body::json(data)?).options(options(given)?);
        live.run(py, call.into_future(), |py, json| Ok(crate::json::to_python(py, &json)?.unbind()))
    }

    /// A filter with its values put in.
    fn filter(&self, py: Python<'_>, template: Text, given: Option<&Bound<'_, PyAny>>) -> PyResult<String> {
        let live = self.handle.live(py)?;
        let params = value::params(given)?;
        let params = params.iter().map(|(name, value)| (name.as_str(), value.clone()));
        live.client.filter(&template, params).map_err(|e| error::raise(py, &e))
    }
}

/// The end of closing: where this was the last client of its family, the driver ends as well.
fn ended<'py>(py: Python<'py>, is_blocking: bool, last: Option<Arc<Driver>>) -> PyResult<Bound<'py, PyAny>> {
    let none = py.None().into_bound(py);
    match last {
        _ if is_blocking => Ok(none),
        Some(driver) => driver.end(py),
        None => run::done(none),
    }
}

fn borrowed(params: &[Text]) -> Vec<&str> {
    params.iter().map(Deref::deref).collect()
}

/// A row's call with its body and its options.
fn asked<T>(call: Action<T>, body: Option<&Bound<'_, PyAny>>, given: &Bound<'_, PyDict>) -> PyResult<Action<T>> {
    let call = call.options(options(given)?);
    Ok(match body {
        Some(body) => call.body(&crate::body::json(body)?),
        None => call,
    })
}

/// The number of a row of the endpoint table; 0, which is none, for a name that is not there.
pub(crate) fn number(name: &str) -> u8 {
    picobase::endpoints::ALL.iter().find(|row| row.name == name).map_or(0, |row| row.number)
}
