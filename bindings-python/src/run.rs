//! Runs calls of the core: on the calling thread, with the interpreter detached and Ctrl-C heard, or for asyncio.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use picobase::{Error, ErrorKind, blocking, runtime::BoxFuture};
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use pyo3_async_runtimes::{
    TaskLocals,
    generic::{ContextExt, JoinError, Runtime, future_into_py_with_locals},
};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task,
};

use crate::error;

/// What a call of the core gives.
pub(crate) type Call<T> = BoxFuture<'static, Result<T, Error>>;

/// How often a blocking call looks whether a signal has come.
const SIGNALS: Duration = Duration::from_millis(100);

/// What drives the calls of a client and its family.
#[derive(Clone)]
pub(crate) enum Driver {
    /// The thread that calls.
    Caller(blocking::Client),
    /// A thread of the client's own, which tells asyncio.
    Thread(Arc<EventThread>),
}

impl Driver {
    pub(crate) fn new(py: Python<'_>, client: &picobase::Client, is_blocking: bool) -> PyResult<Driver> {
        if is_blocking {
            let made = blocking::Client::of(client.clone());
            return Ok(Driver::Caller(made.map_err(|e| error::raise(py, &e))?));
        }
        Ok(Driver::Thread(Arc::new(EventThread::start()?)))
    }

    /// Runs `call`, and answers what `convert` makes of its result: at once, or as an awaitable.
    pub(crate) fn run<'py, T, C>(&self, py: Python<'py>, call: Call<T>, convert: C) -> PyResult<Bound<'py, PyAny>>
    where
        T: Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        match self {
            Driver::Caller(client) => {
                let result = wait(py, client, call)?;
                Ok(convert(py, result)?.into_bound(py))
            }
            Driver::Thread(thread) => thread.run(py, async move {
                let result = call.await;
                Python::attach(|py| match result {
                    Ok(value) => convert(py, value),
                    Err(e) => Err(error::raise(py, &e)),
                })
            }),
        }
    }

    /// Does `work`, which may start something beside the calls.
    pub(crate) fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        match self {
            Driver::Caller(_) => work(),
            Driver::Thread(thread) => {
                let _guard = thread.handle.enter();
                work()
            }
        }
    }
}

thread_local! {
    /// Does this thread run a function of the user's inside a call?
    static IN_HOOK: RefCell<bool> = const { RefCell::new(false) };
    /// Where the futures go that are handed over next.
    static SPAWN_ON: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Calls a function of the user's from inside a call.
pub(crate) fn in_hook<T>(work: impl FnOnce() -> T) -> T {
    let before = IN_HOOK.replace(true);
    let out = work();
    IN_HOOK.set(before);
    out
}

/// Waits for the call on this thread.
fn wait<T: Send>(py: Python<'_>, client: &blocking::Client, call: Call<T>) -> PyResult<T> {
    if IN_HOOK.with_borrow(|inside| *inside) {
        let message = "a blocking call inside a hook or listener would wait for itself";
        return Err(error::fail(py, ErrorKind::Configuration, message, "Make it in a thread of its own."));
    }
    let done = py.detach(|| client.run(Interruptible { call, tick: None }));
    done.map_err(|e| error::raise(py, &e))??.map_err(|e| error::raise(py, &e))
}

/// A call that ends when a signal handler of Python raises: dropping it cancels it.
struct Interruptible<T> {
    call: Call<T>,
    /// Made when the call has to wait; then it looks for signals now and then.
    tick: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<T> Future for Interruptible<T> {
    /// The outer error is that of the runtime, the middle one the signal handler's.
    type Output = Result<PyResult<Result<T, Error>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(result) = self.call.as_mut().poll(cx) {
            return Poll::Ready(Ok(Ok(result)));
        }
        let tick = self.tick.get_or_insert_with(|| Box::pin(tokio::time::sleep(SIGNALS)));
        while tick.as_mut().poll(cx).is_ready() {
            if let Err(raised) = Python::attach(|py| py.check_signals()) {
                return Poll::Ready(Ok(Err(raised)));
            }
            tick.set(tokio::time::sleep(SIGNALS));
        }
        Poll::Pending
    }
}

/// A thread that does the I/O of a client for asyncio. It ends with the client.
pub(crate) struct EventThread {
    handle: Handle,
    _alive: oneshot::Sender<()>,
}

impl EventThread {
    fn start() -> PyResult<EventThread> {
        let failed = |e: std::io::Error| PyRuntimeError::new_err(format!("the client has no thread: {e}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel();
        let drive = move || {
            // The sender is dropped, never used: both mean the end.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        };
        thread::Builder::new().name("picobase".into()).spawn(drive).map_err(failed)?;
        Ok(EventThread { handle, _alive: alive })
    }

    fn run<'py>(
        &self,
        py: Python<'py>,
        call: impl Future<Output = PyResult<Py<PyAny>>> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>> {
        let locals = TaskLocals::with_running_loop(py)?;
        SPAWN_ON.set(Some(self.handle.clone()));
        let awaitable = future_into_py_with_locals::<Bridge, _, _>(py, locals, call);
        SPAWN_ON.set(None);
        awaitable
    }
}

tokio::task_local! {
    static LOCALS: TaskLocals;
}

/// Asyncio's view of [`EventThread`]: there is one for each client, so the thread that asks says which is meant.
pub(crate) struct Bridge;

impl Runtime for Bridge {
    type JoinError = Ended;
    type JoinHandle = Pin<Box<dyn Future<Output = Result<(), Ended>> + Send>>;

    fn spawn<F: Future<Output = ()> + Send + 'static>(future: F) -> Self::JoinHandle {
        let Some(handle) = SPAWN_ON.with_borrow(Clone::clone).or_else(|| Handle::try_current().ok()) else {
            return Box::pin(async { Err(Ended(None)) });
        };
        let task = handle.spawn(future);
        Box::pin(async move { task.await.map_err(|e| Ended(Some(e))) })
    }

    /// In place: the thread is there for Python, and has to wait for the interpreter anyway.
    fn spawn_blocking<F: FnOnce() + Send + 'static>(work: F) -> Self::JoinHandle {
        work();
        Box::pin(async { Ok(()) })
    }
}

impl ContextExt for Bridge {
    fn scope<F, R>(locals: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(LOCALS.scope(locals, future))
    }

    fn get_task_locals() -> Option<TaskLocals> {
        LOCALS.try_with(Clone::clone).ok()
    }
}

/// Why a task ended early.
pub(crate) struct Ended(Option<task::JoinError>);

impl JoinError for Ended {
    fn is_panic(&self) -> bool {
        self.0.as_ref().is_some_and(task::JoinError::is_panic)
    }

    fn into_panic(self) -> Box<dyn std::any::Any + Send + 'static> {
        match self.0 {
            Some(e) if e.is_panic() => e.into_panic(),
            _ => Box::new("the task was cancelled"),
        }
    }
}
