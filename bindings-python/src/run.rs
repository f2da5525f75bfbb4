//! Runs calls of the core: on the calling thread, with the interpreter detached and Ctrl-C heard, or for asyncio.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, pending, poll_fn},
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread::{self, LocalKey},
    time::Duration,
};

use picobase::{Error, ErrorKind, blocking, runtime::BoxFuture};
use pyo3::{
    IntoPyObjectExt,
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::PyCFunction,
};
use pyo3_async_runtimes::TaskLocals;
use tokio::{
    runtime::{Builder, Handle},
    sync::{mpsc, oneshot},
    task,
};

use crate::{
    beside::{Beside, Errands, Wanted},
    closing::closed,
    error, exit,
    kept::intern,
    logging,
};

/// What a call of the core gives.
pub(crate) type Call<T> = BoxFuture<'static, Result<T, Error>>;

/// How often a blocking call looks whether a signal has come.
const SIGNALS: Duration = Duration::from_millis(100);

/// Was [`rehearse`] called in this process, or in the one that it was forked from?
static HAS_REHEARSED: AtomicBool = AtomicBool::new(false);

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
        Ok(Driver::Thread(Arc::new(EventThread::start(py)?)))
    }

    /// This driver for a client of its family.
    pub(crate) fn of(&self, client: &picobase::Client) -> Driver {
        match self {
            Driver::Caller(caller) => Driver::Caller(caller.around(client.clone())),
            Driver::Thread(thread) => Driver::Thread(thread.clone()),
        }
    }

    /// Runs `call`, which may have errands for Python, and answers what `convert` makes of its result: at once, or as an awaitable.
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
        logging::refresh(py);
        let errands = beside.errands();
        match self {
            Driver::Caller(client) => {
                let result = wait(py, client, call, errands)?;
                Ok(convert(py, result)?.into_bound(py))
            }
            Driver::Thread(thread) => {
                let call = thread.run(py, call, convert)?;
                match errands {
                    Some(errands) => errands.attended(py, call, thread),
                    None => Ok(call),
                }
            }
        }
    }

    /// Lets the driver end with the calls that are under way; the answer is done then.
    pub(crate) fn end<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Driver::Caller(_) => Ok(py.None().into_bound(py)),
            Driver::Thread(thread) => thread.end(py),
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
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
    /// Do signal handlers of Python run on this thread? And in which process that was found out: a fork changes it.
    static HEARS_SIGNALS: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
}

/// Calls a function of the user's from inside a call.
pub(crate) fn in_hook<T>(work: impl FnOnce() -> T) -> T {
    let _inside = Flagged::set(&IN_HOOK);
    work()
}

/// A flag that is set for a while, also where a panic ends that.
pub(crate) struct Flagged {
    flag: &'static LocalKey<Cell<bool>>,
    before: bool,
}

impl Flagged {
    pub(crate) fn set(flag: &'static LocalKey<Cell<bool>>) -> Flagged {
        Flagged { flag, before: flag.replace(true) }
    }

    pub(crate) fn was_set(&self) -> bool {
        self.before
    }
}

impl Drop for Flagged {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}

/// Waits for the call on this thread, and does its errands. It leaves the runtime for each: what Python does then may be a
/// call too.
fn wait<T: Send + 'static>(
    py: Python<'_>,
    client: &blocking::Client,
    call: Call<T>,
    errands: Option<Errands>,
) -> PyResult<T> {
    if IN_HOOK.get() {
        let message = "a blocking call inside a hook or listener would wait for itself";
        return Err(error::fail(py, ErrorKind::Configuration, message, "Make it in a thread of its own."));
    }
    let (mut call, mut cause) = (Interruptible::new(py, call), None);
    let done = loop {
        let step = poll_fn(|cx| match Pin::new(&mut call).poll(cx) {
            Poll::Ready(done) => Poll::Ready(done.map(Step::Done)),
            Poll::Pending => match errands.as_ref().map(|errands| errands.poll(cx)) {
                Some(Poll::Ready(Some(wanted))) => Poll::Ready(Ok(Step::Errand(wanted))),
                _ => Poll::Pending,
            },
        });
        match drive(py, client, step) {
            Ok(Step::Errand(wanted)) => match Errands::served(py, wanted) {
                Ok(failed) => cause = failed.or(cause),
                // Its connection is let go in one more round.
                Err(raised) => _ = drive(py, client, async { Err::<(), _>(call.give_up(raised)) }),
            },
            Ok(Step::Done(value)) => break Ok(value),
            Err(error) => break Err(error),
        }
        if call.raised.is_some() {
            break Err(given_up());
        }
    };
    if let Some(raised) = call.raised {
        return Err(raised);
    }
    done.map_err(|error| {
        let raised = error::raise(py, &error);
        if cause.is_some() {
            raised.set_cause(py, cause);
        }
        raised
    })
}

/// How far a blocking call has come.
enum Step<T> {
    Errand(Wanted),
    Done(T),
}

/// Runs it on this thread, outside of the interpreter.
fn drive<T: Send>(
    py: Python<'_>,
    client: &blocking::Client,
    work: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    py.detach(|| {
        let done = client.run(work);
        exit::hold();
        done
    })
}

/// A call that ends when a signal handler of Python raises.
struct Interruptible<T> {
    call: Call<T>,
    /// Can a signal handler run on this thread?
    hears: bool,
    /// Made when the call has to wait; then it looks for signals now and then.
    tick: Option<Pin<Box<tokio::time::Sleep>>>,
    /// What Python raised, which ends the call.
    raised: Option<PyErr>,
}

impl<T: 'static> Interruptible<T> {
    fn new(py: Python<'_>, call: Call<T>) -> Interruptible<T> {
        Interruptible { call, hears: hears_signals(py), tick: None, raised: None }
    }

    /// Drops the call, which cancels it.
    fn give_up(&mut self, raised: PyErr) -> Error {
        self.call = Box::pin(pending());
        self.raised = Some(raised);
        given_up()
    }
}

fn given_up() -> Error {
    Error::new(ErrorKind::Cancelled, "Python raised something while the call was under way")
}

impl<T: 'static> Future for Interruptible<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(result) = self.call.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if !self.hears {
            return Poll::Pending;
        }
        let tick = self.tick.get_or_insert_with(|| Box::pin(tokio::time::sleep(SIGNALS)));
        while tick.as_mut().poll(cx).is_ready() {
            if let Some(Err(raised)) = exit::attach(|py| py.check_signals()) {
                return Poll::Ready(Err(self.give_up(raised)));
            }
            tick.set(tokio::time::sleep(SIGNALS));
        }
        Poll::Pending
    }
}

/// Do signal handlers of Python run on this thread?
fn hears_signals(py: Python<'_>) -> bool {
    let pid = process::id();
    match HEARS_SIGNALS.get() {
        Some((of, hears)) if of == pid => hears,
        _ => {
            let hears = may_set_handlers(py);
            HEARS_SIGNALS.set(Some((pid, hears)));
            hears
        }
    }
}

/// Where they run they may be set as well, and only there. Asked with a handler that is none, so that nothing is set: what
/// is wrong with it is only said on the right thread.
fn may_set_handlers(py: Python<'_>) -> bool {
    const SIGINT: u8 = 2;
    let signals = py.import(intern!(py, "_signal"));
    let asked = signals.and_then(|signals| signals.call_method1(intern!(py, "signal"), (SIGINT, py.None())));
    !asked.is_err_and(|refused| refused.is_instance_of::<PyValueError>(py))
}

/// A future of the loop that runs.
fn future(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    TaskLocals::with_running_loop(py)?.event_loop(py).call_method0(intern!(py, "create_future"))
}

/// Such a future that is done.
pub(crate) fn done(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let future = future(value.py())?;
    future.call_method1(intern!(value.py(), "set_result"), (&value,))?;
    Ok(future)
}

/// The loop and context of the call that this thread drives, where that is one of asyncio's.
pub(crate) fn locals() -> Option<TaskLocals> {
    LOCALS.try_with(Clone::clone).ok()
}

/// A thread that does the I/O of a client for asyncio. It ends with the client, and not before its calls.
pub(crate) struct EventThread {
    handle: Handle,
    /// The thread ends when this one, and that of each call, are gone; or at once when something is sent.
    alive: Mutex<Option<mpsc::UnboundedSender<()>>>,
    over: AtEnd,
}

/// What is done at the end of the thread; none after it.
type AtEnd = Arc<Mutex<Option<Vec<Over>>>>;
type Over = Box<dyn FnOnce(Python<'_>) + Send>;

impl EventThread {
    fn start(py: Python<'_>) -> PyResult<EventThread> {
        exit::check(py)?;
        let failed = |e: std::io::Error| PyRuntimeError::new_err(format!("the client has no thread: {e}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (alive, mut ended) = mpsc::unbounded_channel();
        let (gone, is_gone) = std::sync::mpsc::channel::<Infallible>();
        let (ready, is_ready) = std::sync::mpsc::channel::<Infallible>();
        let over: AtEnd = Arc::new(Mutex::new(Some(Vec::new())));
        let last = over.clone();
        let drive = move || {
            let _gone = gone;
            // The interpreter knows the thread from here on: to enter it is cheap then, which each call does.
            let _ = exit::attach(|py| {
                if !HAS_REHEARSED.swap(true, Ordering::AcqRel) {
                    // What fails here fails where it is needed too, and is told there.
                    let _ = rehearse(py, &runtime);
                }
                drop(ready);
                py.detach(|| {
                    // Sent or not: both mean the end.
                    let _ = runtime.block_on(ended.recv());
                    runtime.shutdown_background();
                    exit::hold_back();
                });
                let all = last.lock().unwrap_or_else(PoisonError::into_inner).take();
                all.into_iter().flatten().for_each(|over| over(py));
            });
        };
        thread::Builder::new().name("picobase".into()).spawn(drive).map_err(failed)?;
        exit::began(py, alive.downgrade(), is_gone);
        // It is dropped, and nothing is sent.
        let _ = py.detach(move || is_ready.recv());
        Ok(EventThread { handle, alive: Mutex::new(Some(alive)), over })
    }

    /// The thread ends after the calls that are under way; the future that is answered is done then.
    fn end<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let over = future(py)?;
        let running = TaskLocals::with_running_loop(py)?.event_loop(py).unbind();
        let set = over.getattr(intern!(py, "set_result"))?.unbind();
        let waited = over.clone().unbind();
        let tell: Over = Box::new(move |py| {
            // Who waited may have been cancelled, and the loop may be closed.
            let end = PyCFunction::new_closure(py, None, None, move |args, _| -> PyResult<()> {
                if !waited.bind(args.py()).call_method0("done")?.is_truthy()? {
                    set.bind(args.py()).call1((args.py().None(),))?;
                }
                Ok(())
            });
            let _ = end.and_then(|end| running.bind(py).call_method1("call_soon_threadsafe", (end,)));
        });
        match &mut *self.over.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(all) => all.push(tell),
            // With the interpreter it has ended before.
            None => return done(py.None().into_bound(py)),
        }
        drop(self.alive.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(over)
    }

    /// The call as something to await, which gives what `convert` makes of its result.
    pub(crate) fn run<'py, T, C>(
        &self,
        py: Python<'py>,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
        convert: C,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        T: Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        exit::check(py)?;
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| closed(py))?;
        let running = TaskLocals::with_running_loop(py)?.event_loop(py);
        let call = async move {
            let _alive = alive;
            let result = call.await;
            Ok(Outcome { result, convert })
        };
        awaitable(py, &self.handle, running, call)
    }
}

/// What is done on that thread, as something to await in a loop. Hooks see the context variables of who calls.
fn awaitable<'py, T>(
    py: Python<'py>,
    thread: &Handle,
    running: Bound<'py, PyAny>,
    work: impl Future<Output = PyResult<T>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'a> IntoPyObject<'a> + Send + 'static,
{
    let future = running.call_method0(intern!(py, "create_future"))?;
    let (gone, is_gone) = oneshot::channel();
    let done = Bound::new(py, NativeDone(Mutex::new(Some(gone))))?;
    future.call_method1(intern!(py, "add_done_callback"), (done,))?;
    let waiting = Waiting { running: running.clone().unbind(), future: future.clone().unbind() };
    let work = LOCALS.scope(TaskLocals::new(running).copy_context(py)?, work);
    thread.spawn(told(waiting, work, is_gone));
    Ok(future)
}

/// Does the work, unless nobody waits for it any more, and tells what came of it.
async fn told<T>(waiting: Waiting, work: impl Future<Output = PyResult<T>>, is_gone: oneshot::Receiver<()>)
where
    T: for<'a> IntoPyObject<'a>,
{
    let (mut work, mut is_gone) = (Box::pin(work), Some(is_gone));
    let result = poll_fn(|cx| {
        match panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Ready(result)) => return Poll::Ready(Some(result)),
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(Some(Err(PyRuntimeError::new_err("the call failed inside; report this")))),
        }
        match is_gone.as_mut().map(|gone| Pin::new(gone).poll(cx)) {
            Some(Poll::Ready(Ok(()))) => return Poll::Ready(None),
            Some(Poll::Ready(Err(_))) => is_gone = None,
            Some(Poll::Pending) | None => {}
        }
        Poll::Pending
    })
    .await;
    // What is Python's ends in here. Let go of outside it would wait behind a lock for somebody who is inside, and a fork at
    // that moment takes the lock along.
    let _ = exit::attach(move |py| {
        if let Some(Err(raised)) = result.map(|result| waiting.tell(py, result)) {
            raised.write_unraisable(py, None);
        }
        drop((work, waiting));
    });
}

/// A future of a loop, which somebody may wait for.
struct Waiting {
    running: Py<PyAny>,
    future: Py<PyAny>,
}

impl Waiting {
    fn tell<T>(&self, py: Python<'_>, result: PyResult<T>) -> PyResult<()>
    where
        T: for<'a> IntoPyObject<'a>,
    {
        let (running, future) = (self.running.bind(py), self.future.bind(py));
        if is_done(future)? {
            return Ok(());
        }
        let (how, value) = match result.and_then(|value| value.into_py_any(py)) {
            Ok(value) => (future.getattr(intern!(py, "set_result"))?, value),
            Err(raised) => (future.getattr(intern!(py, "set_exception"))?, raised.into_value(py).into_any()),
        };
        let settle = Bound::new(py, NativeSettle)?;
        match running.call_method1(intern!(py, "call_soon_threadsafe"), (settle, future, how, value)) {
            // In a loop that is closed nobody waits.
            Err(raised) if !running.call_method0(intern!(py, "is_closed"))?.is_truthy()? => Err(raised),
            _ => Ok(()),
        }
    }
}

fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future.call_method0(intern!(future.py(), "done"))?.is_truthy()
}

/// Called in the loop when the future is done; where it was cancelled the work ends.
#[pyclass(frozen, module = "picobase._native")]
struct NativeDone(Mutex<Option<oneshot::Sender<()>>>);

#[pymethods]
impl NativeDone {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        let gone = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = gone.map(|gone| gone.send(()));
    }
}

/// Called in the loop: the future may have been cancelled on the way.
#[pyclass(frozen, module = "picobase._native")]
struct NativeSettle;

#[pymethods]
impl NativeSettle {
    fn __call__(&self, future: &Bound<'_, PyAny>, how: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if !is_done(future)? {
            how.call1((value,))?;
        }
        Ok(())
    }
}

/// A call that does nothing, before any other: the bridge to asyncio has locks of its own for what it looks up once, see
/// [`kept`](crate::kept), and here no other thread is in it.
fn rehearse(py: Python<'_>, runtime: &tokio::runtime::Runtime) -> PyResult<()> {
    let running = py.import("asyncio")?.call_method0("new_event_loop")?;
    // There is none on this thread, but how to find out is kept from now on.
    let _ = TaskLocals::with_running_loop(py);
    let played = awaitable(py, runtime.handle(), running.clone(), async { Ok(()) }).and_then(|awaitable| {
        py.detach(|| {
            runtime.block_on(async {
                while runtime.metrics().num_alive_tasks() > 0 {
                    task::yield_now().await;
                }
            });
        });
        running.call_method1("run_until_complete", (awaitable,))
    });
    running.call_method0("close")?;
    played.map(drop)
}

/// The result of a call on its way to Python: it becomes an object where it is handed over, if anybody still waits for it.
struct Outcome<T, C> {
    result: Result<T, Error>,
    convert: C,
}

impl<'py, T, C> IntoPyObject<'py> for Outcome<T, C>
where
    C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>>,
{
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.result {
            Ok(value) => Ok((self.convert)(py, value)?.into_bound(py)),
            Err(e) => Err(error::raise(py, &e)),
        }
    }
}

tokio::task_local! {
    static LOCALS: TaskLocals;
}
