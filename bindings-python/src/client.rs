//! The client: how it is set up, what it shares with its family, and how it begins anew in a child process.

use std::{mem, process, sync::Arc};

use arc_swap::ArcSwap;
use picobase::{
    Client, Error, Json,
    auth::{Session, Store},
    client::SessionSource,
};
use pyo3::{prelude::*, types::PyDict};

use crate::{
    error,
    json::Decoder,
    options,
    records::NativeRecords,
    run::{Call, Driver},
    setup::Setup,
    store::Kept,
    value::query_value,
};

/// A client of the core, and what runs its calls.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct Native {
    handle: Handle,
}

/// What all nouns of a client hold.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Inner>);

struct Inner {
    family: Arc<Family>,
    /// What the session begins with, here and in a child process; none for the family's first client.
    origin: Option<Origin>,
    live: ArcSwap<Live>,
}

/// Clients that share connections, gate and options.
struct Family {
    setup: Setup,
    root: ArcSwap<Live>,
}

/// A session of one's own: where it is kept, and what it was when it was handed over.
struct Origin {
    store: Arc<dyn Store>,
    kept: Option<Kept>,
}

/// A client in the process that it was made in.
pub(crate) struct Live {
    pid: u32,
    pub(crate) client: Client,
    driver: Driver,
}

impl Live {
    pub(crate) fn run<'py, T, C>(&self, py: Python<'py>, call: Call<T>, convert: C) -> PyResult<Bound<'py, PyAny>>
    where
        T: Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        self.driver.run(py, call, convert)
    }

    /// Runs a call that answers nothing.
    pub(crate) fn nothing<'py>(&self, py: Python<'py>, call: Call<()>) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, call, |py, ()| Ok(py.None()))
    }

    pub(crate) fn driver(&self) -> &Driver {
        &self.driver
    }

    fn is_ours(&self) -> bool {
        self.pid == process::id()
    }
}

impl Family {
    fn new(py: Python<'_>, setup: Setup) -> PyResult<Family> {
        let root = setup.live(py)?;
        Ok(Family { setup, root: ArcSwap::from_pointee(root) })
    }

    /// The first client, made anew in a child process: its connections and threads are the parent's.
    fn root(&self, py: Python<'_>) -> PyResult<Arc<Live>> {
        let live = self.root.load_full();
        if live.is_ours() {
            return Ok(live);
        }
        // One thread is left after a fork, and others that it starts meanwhile make a client too many at worst.
        leave(self.root.swap(Arc::new(self.setup.live(py)?)));
        leave(live);
        Ok(self.root.load_full())
    }
}

/// Lets go of what belongs to another process without dropping it: its locks may be held by threads that are not here.
fn leave<T>(of_parent: Arc<T>) {
    mem::forget(of_parent);
}

impl Setup {
    fn live(&self, py: Python<'_>) -> PyResult<Live> {
        let client = self.builder(py)?.build().map_err(|e| error::raise(py, &e))?;
        let driver = Driver::new(py, &client, self.is_blocking)?;
        Ok(Live { pid: process::id(), client, driver })
    }
}

impl Origin {
    /// A client that begins here.
    fn live(&self, root: &Live) -> Live {
        let client = root.client.with_session(self.source());
        Live { pid: process::id(), client, driver: root.driver.clone() }
    }

    /// What was kept in memory is there at once; other stores are read with the first call.
    fn source(&self) -> SessionSource {
        let session = self.kept.as_ref().and_then(Kept::session);
        match session {
            Some(session) => SessionSource::Kept(session, self.store.clone()),
            None => SessionSource::Store(self.store.clone()),
        }
    }
}

impl Handle {
    /// The client, in this process.
    pub(crate) fn live(&self, py: Python<'_>) -> PyResult<Arc<Live>> {
        let live = self.0.live.load_full();
        if live.is_ours() {
            return Ok(live);
        }
        let root = self.0.family.root(py)?;
        let fresh = match &self.0.origin {
            Some(origin) => Arc::new(origin.live(&root)),
            None => root,
        };
        leave(self.0.live.swap(fresh));
        leave(live);
        Ok(self.0.live.load_full())
    }

    /// A client of the family with a session of its own.
    pub(crate) fn with_origin(&self, py: Python<'_>, store: Arc<dyn Store>, kept: Option<Kept>) -> PyResult<Handle> {
        let origin = Origin { store, kept };
        let live = origin.live(&*self.0.family.root(py)?);
        let family = self.0.family.clone();
        Ok(Handle(Arc::new(Inner { family, origin: Some(origin), live: ArcSwap::from_pointee(live) })))
    }

    /// A client of the family with this session, in memory.
    pub(crate) fn with_session(&self, py: Python<'_>, session: &Session) -> PyResult<Handle> {
        let kept = Kept::holding(session);
        self.with_origin(py, Arc::new(kept.clone()), Some(kept))
    }

    pub(crate) fn is_blocking(&self) -> bool {
        self.0.family.setup.is_blocking
    }
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
        let family = Family::new(py, Setup::read(blocking, options)?)?;
        let live = ArcSwap::new(family.root(py)?);
        Ok(Native::of(Handle(Arc::new(Inner { family: Arc::new(family), origin: None, live }))))
    }

    /// The base URL, if one is set.
    #[getter]
    fn url(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.handle.live(py)?.client.url())
    }

    fn set_url<'py>(&self, py: Python<'py>, url: &str, keep_session: bool) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let set = live.client.set_url(url);
        let set = if keep_session { set.keep_session() } else { set };
        live.nothing(py, set.into_future())
    }

    /// A client with a session of its own, of a token and perhaps a record.
    fn with_session(&self, py: Python<'_>, token: Option<&str>, record: Option<&Bound<'_, PyAny>>) -> PyResult<Native> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            let kept = Kept::empty();
            return Ok(Native::of(self.handle.with_origin(py, Arc::new(kept.clone()), Some(kept))?));
        };
        let record = record.filter(|record| !record.is_none()).map(crate::body::json).transpose()?;
        let session = match record {
            Some(record) => Session::new(token.to_owned(), record),
            None => Session::from_token(token),
        };
        Ok(Native::of(self.handle.with_session(py, &session)?))
    }

    /// The records of a collection; `decode` makes them of their bytes.
    fn records(&self, py: Python<'_>, name: &str, decode: Option<Py<PyAny>>) -> NativeRecords {
        let _ = py;
        NativeRecords::new(self.handle.clone(), name, Decoder::new(decode))
    }

    fn health<'py>(&self, py: Python<'py>, given: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        self.row(py, picobase::endpoints::HEALTH.name, Vec::new(), None, given)
    }

    /// Any row of the endpoint table that answers JSON, by its name.
    fn row<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        params: Vec<String>,
        body: Option<&Bound<'py, PyAny>>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let params: Vec<&str> = params.iter().map(String::as_str).collect();
        let call = live.client.row::<Json>(number(name), &params).options(options::options(given)?);
        let call = match body {
            Some(body) => call.body(&crate::body::json(body)?),
            None => call,
        };
        live.run(py, call.into_future(), |py, json| Ok(crate::json::to_python(py, &json)?.unbind()))
    }

    /// Any row of the endpoint table that answers nothing, by its name.
    fn row_nothing<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        params: Vec<String>,
        body: Option<&Bound<'py, PyAny>>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let params: Vec<&str> = params.iter().map(String::as_str).collect();
        let call = live.client.row_nothing(number(name), &params).options(options::options(given)?);
        let call = match body {
            Some(body) => call.body(&crate::body::json(body)?),
            None => call,
        };
        live.nothing(py, call.into_future())
    }

    /// A filter with its values put in.
    fn filter(&self, py: Python<'_>, template: &str, params: &Bound<'_, PyDict>) -> PyResult<String> {
        let live = self.handle.live(py)?;
        let mut values: Vec<(String, picobase::url::QueryValue)> = Vec::with_capacity(params.len());
        for (name, value) in params {
            values.push((name.extract()?, query_value(&value)?));
        }
        let values = values.iter().map(|(name, value)| (name.as_str(), value.clone()));
        live.client.filter(template, values).map_err(|e: Error| error::raise(py, &e))
    }
}

/// The number of a row of the endpoint table; 0, which is none, for a name that is not there.
fn number(name: &str) -> u8 {
    picobase::endpoints::ALL.iter().find(|row| row.name == name).map_or(0, |row| row.number)
}
