//! Where sessions are kept: in memory, in a file, or in an object of the user's.

use std::{
    path::PathBuf,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use arc_swap::ArcSwapOption;
use picobase::{
    Error, ErrorKind,
    auth::{FileStore, Session, Store},
    runtime::BoxFuture,
};
use pyo3::{exceptions::PyTypeError, prelude::*};
use pyo3_async_runtimes::{TaskLocals, into_future_with_locals};

use crate::{error, exit, kept::intern, run::in_hook};

/// The store of a client's session.
#[derive(Clone)]
pub(crate) enum Keeper {
    Memory(Kept),
    File(Arc<FileStore>),
    Python(Arc<PyStore>),
}

impl Default for Keeper {
    fn default() -> Self {
        Keeper::Memory(Kept::default())
    }
}

impl Keeper {
    /// A store of `picobase.stores`, or any object that has its methods.
    pub(crate) fn read(given: &Bound<'_, PyAny>, is_blocking: bool) -> PyResult<Keeper> {
        if let Some(own) = own(given) {
            return Ok(own);
        }
        for method in ["load", "save", "clear"] {
            if !given.getattr(method).is_ok_and(|method| method.is_callable()) {
                let message =
                    format!("a store has the methods load, save and clear; {} has no {method}", given.get_type());
                return Err(PyTypeError::new_err(message));
            }
        }
        Ok(Keeper::Python(Arc::new(PyStore {
            object: given.clone().unbind(),
            is_blocking,
            home: ArcSwapOption::empty(),
        })))
    }

    /// A session in memory, of nobody else's.
    pub(crate) fn holding(session: Option<&Session>) -> Keeper {
        let kept = Kept::default();
        kept.0.store(session.map(|session| Arc::new(session.to_stored())));
        Keeper::Memory(kept)
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Keeper::Memory(kept) => Arc::new(kept.clone()),
            Keeper::File(file) => file.clone(),
            Keeper::Python(object) => object.clone(),
        }
    }

    /// What it holds, a session or none, where that can be said without waiting. What cannot be read is left to the
    /// first call, which says so.
    pub(crate) fn held(&self) -> Option<Option<Session>> {
        let text = match self {
            Keeper::Memory(kept) => now(kept.load()),
            Keeper::File(file) => now(file.load()),
            Keeper::Python(_) => return None,
        };
        match text?.ok()? {
            None => Some(None),
            Some(text) => Some(Some(Session::from_stored(&text)?)),
        }
    }

    /// A call is made here: coroutines of a store run on the event loop of whoever called last.
    pub(crate) fn called(&self, py: Python<'_>) {
        if let Keeper::Python(object) = self
            && !object.is_blocking
            && let Ok(home) = TaskLocals::with_running_loop(py)
        {
            object.home.store(Some(Arc::new(home)));
        }
    }
}

/// What `future` gives, if it need not wait.
fn now<T>(mut future: BoxFuture<'_, T>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// The store behind an object of `picobase.stores`. Subclasses have methods of their own, which count.
fn own(given: &Bound<'_, PyAny>) -> Option<Keeper> {
    let module = given.get_type().module().ok()?;
    if module.to_str().ok()? != "picobase.stores" {
        return None;
    }
    let native = given.getattr(intern!(given.py(), "_native")).ok()?;
    Some(native.cast::<NativeStore>().ok()?.get().0.clone())
}

/// The stores of `picobase.stores`.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeStore(Keeper);

#[pymethods]
impl NativeStore {
    /// In the file of that path; without one in memory.
    #[new]
    fn new(path: Option<PathBuf>) -> NativeStore {
        NativeStore(path.map_or_else(Keeper::default, |path| Keeper::File(Arc::new(FileStore::new(path)))))
    }

    fn load(&self, py: Python<'_>) -> PyResult<Option<String>> {
        done(py, now(self.0.store().load()))
    }

    fn save(&self, py: Python<'_>, session: String) -> PyResult<()> {
        done(py, now(self.0.store().save(session)))
    }

    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        done(py, now(self.0.store().clear()))
    }
}

/// The stores of the core's never wait.
fn done<T>(py: Python<'_>, result: Option<Result<T, Error>>) -> PyResult<T> {
    let result = result.unwrap_or_else(|| Err(Error::new(ErrorKind::Storage, "the store is not done")));
    result.map_err(|e| error::raise(py, &e))
}

/// A session in memory. Unlike the core's own store it holds no lock, so that a child process can read what its parent
/// had at the fork.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<ArcSwapOption<String>>);

impl Store for Kept {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(async { Ok(self.0.load_full().map(|text| text.as_ref().clone())) })
    }

    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.0.store(Some(Arc::new(session)));
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.0.store(None);
            Ok(())
        })
    }
}

/// A store of the user's. Its methods are called on the thread that does the I/O; coroutines run on the event loop.
pub(crate) struct PyStore {
    object: Py<PyAny>,
    is_blocking: bool,
    /// The event loop that the client was used on last.
    home: ArcSwapOption<TaskLocals>,
}

impl PyStore {
    async fn ask(&self, method: &'static str, session: Option<String>) -> Result<Py<PyAny>, Error> {
        let asked = exit::attach(|py| {
            let home = self.home.load_full();
            let object = self.object.bind(py);
            let called = in_hook(|| match session {
                Some(session) => object.call_method1(method, (session,)),
                None => object.call_method0(method),
            });
            settle(called, home.as_deref())
        });
        let Some(asked) = asked else { return Err(Error::new(ErrorKind::Storage, "Python is ending")) };
        asked.await.map_err(|raised| failed(method, &raised))
    }
}

impl Store for PyStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(async {
            let held = self.ask("load", None).await?;
            let text = exit::attach(|py| held.extract::<Option<String>>(py).map_err(|raised| failed("load", &raised)));
            text.unwrap_or(Ok(None))
        })
    }

    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { self.ask("save", Some(session)).await.map(|_| ()) })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { self.ask("clear", None).await.map(|_| ()) })
    }
}

/// What a method of the user's raised. Its text may hold what was to be kept, so it stays with the exception.
fn failed(method: &str, raised: &PyErr) -> Error {
    let said = exit::attach(|py| {
        let kind = raised.get_type(py).qualname().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
        Error::new(ErrorKind::Storage, format!("`{method}` of the session store raised {kind}"))
            .with_fix("Mend the store; the exception is the cause of this one.")
            .with_source(raised.clone_ref(py))
    });
    said.unwrap_or_else(|| Error::new(ErrorKind::Storage, "Python is ending"))
}

/// What a function of the user's answers in the end.
pub(crate) type Answer = BoxFuture<'static, PyResult<Py<PyAny>>>;

/// A coroutine is awaited on the event loop; anything else is the answer.
pub(crate) fn settle(called: PyResult<Bound<'_, PyAny>>, home: Option<&TaskLocals>) -> Answer {
    let answer = called.and_then(|answer| {
        if !answer.hasattr(intern!(answer.py(), "__await__"))? {
            return Ok(Err(answer.unbind()));
        }
        match home {
            // A loop that was closed takes nothing.
            Some(home) => into_future_with_locals(home, answer.clone()).map(Ok).inspect_err(|_| close(&answer)),
            None => Err(nobody_awaits(&answer)),
        }
    });
    match answer {
        Ok(Ok(awaited)) => Box::pin(awaited),
        Ok(Err(plain)) => Box::pin(async { Ok(plain) }),
        Err(raised) => Box::pin(async { Err(raised) }),
    }
}

fn nobody_awaits(coroutine: &Bound<'_, PyAny>) -> PyErr {
    close(coroutine);
    error::fail(
        coroutine.py(),
        ErrorKind::Configuration,
        "an async function needs an event loop, and there is none here",
        "Use AsyncClient, or a function that is not async.",
    )
}

/// Else Python warns, at a moment of its own, that nobody has awaited it.
fn close(coroutine: &Bound<'_, PyAny>) {
    drop(coroutine.call_method0(intern!(coroutine.py(), "close")));
}
