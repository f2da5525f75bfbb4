//! Tells a function of the user's how a transfer goes on.
//!
//! It is called with the bytes since the last call, so that their sum is what has gone over; a transfer that begins anew
//! takes back what did not count. With asyncio it is called on the thread of the event loop, otherwise on the one that
//! transfers. What it raises ends the transfer and comes out of the call.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release},
    },
    task::Poll,
};

use picobase::files::Progress;
use pyo3::{prelude::*, types::PyDict};
use pyo3_async_runtimes::TaskLocals;
use tokio::sync::{oneshot, watch};

use crate::{
    beside::Beside,
    client::Live,
    exit,
    kept::intern,
    run::{Call, in_hook},
};

/// What is between a transfer and the function.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct Teller {
    function: Py<PyAny>,
    /// Where the function is called; none for the thread that transfers.
    locals: Option<TaskLocals>,
    done: AtomicU64,
    told: AtomicU64,
    /// Does the event loop know that there is something to tell? It is asked once, however fast bytes go.
    is_due: AtomicBool,
    /// How often the event loop still has to tell.
    left: watch::Sender<usize>,
    failed: Mutex<Option<oneshot::Sender<PyErr>>>,
}

#[pymethods]
impl Teller {
    /// What the event loop calls.
    fn __call__(&self, py: Python<'_>) {
        self.tell(py);
        self.left.send_modify(|left| *left = left.saturating_sub(1));
    }
}

impl Teller {
    /// Tells what there is to tell.
    fn tell(&self, py: Python<'_>) {
        self.is_due.store(false, Release);
        let done = self.done.load(Acquire);
        let step = i128::from(done).saturating_sub(i128::from(self.told.swap(done, AcqRel)));
        // What it raised once ends the transfer, soon: it is not told what goes over until then.
        if step == 0 || self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return;
        }
        if let Err(raised) = self.function.call1(py, (step,)) {
            self.fail(py, raised);
        }
    }

    fn hear(&self, py: Python<'_>, this: &Py<Teller>) {
        let Some(locals) = &self.locals else { return in_hook(|| self.tell(py)) };
        if self.is_due.swap(true, AcqRel) {
            return;
        }
        let ask = || {
            let named = PyDict::new(py);
            named.set_item(intern!(py, "context"), locals.context(py))?;
            locals.event_loop(py).call_method(intern!(py, "call_soon_threadsafe"), (this,), Some(&named))
        };
        self.left.send_modify(|left| *left = left.saturating_add(1));
        if let Err(raised) = ask() {
            self.left.send_modify(|left| *left = left.saturating_sub(1));
            self.fail(py, raised);
        }
    }

    fn fail(&self, py: Python<'_>, raised: PyErr) {
        let first = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let left = match first {
            Some(sender) => sender.send(raised).err(),
            None => Some(raised),
        };
        // The call is over, or ends already: nobody is there to raise it to.
        if let Some(raised) = left {
            raised.write_unraisable(py, Some(self.function.bind(py)));
        }
    }
}

/// One transfer that a function is told of.
pub(crate) struct Watched {
    teller: Py<Teller>,
    left: watch::Receiver<usize>,
    failed: oneshot::Receiver<PyErr>,
}

impl Watched {
    /// For this function, if there is one.
    pub(crate) fn new(
        py: Python<'_>,
        function: Option<&Bound<'_, PyAny>>,
        is_blocking: bool,
    ) -> PyResult<Option<Watched>> {
        let Some(function) = function else { return Ok(None) };
        let locals = if is_blocking { None } else { Some(TaskLocals::with_running_loop(py)?.copy_context(py)?) };
        let (sender, failed) = oneshot::channel();
        let (to_tell, left) = watch::channel(0);
        let teller = Teller {
            function: function.clone().unbind(),
            locals,
            done: AtomicU64::new(0),
            told: AtomicU64::new(0),
            is_due: AtomicBool::new(false),
            left: to_tell,
            failed: Mutex::new(Some(sender)),
        };
        Ok(Some(Watched { teller: Py::new(py, teller)?, left, failed }))
    }

    /// What the core calls.
    pub(crate) fn listener(&self, py: Python<'_>) -> impl Fn(&Progress) + Send + Sync + 'static {
        let teller = self.teller.clone_ref(py);
        move |progress: &Progress| {
            let heard = teller.get();
            heard.done.store(progress.done, Release);
            let _ = exit::attach(|py| heard.hear(py, &teller));
        }
    }

    /// The call, which ends with what the function raises.
    fn guard<T: Send + 'static>(self, mut call: Call<T>) -> Call<PyResult<T>> {
        let Watched { teller, mut left, mut failed } = self;
        Box::pin(async move {
            let done = poll_fn(|cx| {
                if let Poll::Ready(done) = call.as_mut().poll(cx) {
                    return Poll::Ready(done.map(Ok));
                }
                match Pin::new(&mut failed).poll(cx) {
                    Poll::Ready(Ok(raised)) => Poll::Ready(Ok(Err(raised))),
                    Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
                }
            });
            let done = match done.await? {
                Ok(done) => done,
                Err(raised) => return Ok(Err(raised)),
            };
            // The last of it may not have been told yet, and what that raises comes out of the call too. Where the event loop
            // is closed it is never told: then the teller goes.
            drop((call, teller));
            let _ = left.wait_for(|left| *left == 0).await;
            Ok(failed.try_recv().map_or(Ok(done), Err))
        })
    }
}

/// [`Live::run_beside`] for a call that may be watched.
pub(crate) fn run<'py, T, C>(
    live: &Live,
    py: Python<'py>,
    call: Call<T>,
    beside: Beside,
    watched: Option<Watched>,
    convert: C,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    match watched {
        Some(watched) => live.run_beside(py, watched.guard(call), beside, |py, done| convert(py, done?)),
        None => live.run_beside(py, call, beside, convert),
    }
}
