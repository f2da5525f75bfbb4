//! What the shared test vectors need and users do not: a clock that only the test moves, a server that is a script, and
//! pure functions of the core. Only built with the feature `test-exports`.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use picobase::{
    ClientBuilder, Error, Json,
    files::BodyReader,
    runtime::{BoxFuture, Runtime, TokioRuntime},
    transport::{Body, Failure, Headers, Request, Response, ResponseBody, Transport, TransportError},
};
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::client::Native;

/// The module `picobase._native.testing`.
#[pymodule(gil_used = false)]
pub(crate) mod testing {
    #[pymodule_export]
    use super::{Clock, Script, Sent, drive, panic, pure, rest, stage};
}

/// Runs one case of a topic on the core alone: its `in` to its `out`, as JSON text. None for a topic that the core does
/// not tell.
#[pyfunction]
fn pure(topic: &str, given: String) -> PyResult<Option<String>> {
    let given = Json::parse(given).map_err(|e| PyValueError::new_err(e.to_string()))?;
    Ok(picobase::testing::run(topic, &given).map(|out| out.as_text().to_owned()))
}

/// A clock, and perhaps a script.
type Laid = (Arc<Time>, Option<Arc<Play>>);

thread_local! {
    /// What the next client of this thread is set up with.
    static STAGE: RefCell<Option<Laid>> = const { RefCell::new(None) };
}

/// The next client that this thread makes lives by `clock`, and sends to `script` if there is one.
#[pyfunction]
#[pyo3(signature = (clock, script=None))]
fn stage(clock: &Clock, script: Option<&Script>) {
    STAGE.set(Some((clock.0.clone(), script.map(|script| script.0.clone()))));
}

/// The builder, with what [`stage`] has laid ready.
pub(crate) fn staged(builder: ClientBuilder) -> ClientBuilder {
    match STAGE.take() {
        None => builder,
        Some((time, None)) => builder.runtime(time),
        Some((time, Some(play))) => builder.runtime(time.clone()).transport(Stage { time, play }),
    }
}

/// Makes a call that lasts until the client is closed. What a blocking client does in the background goes on while some
/// thread is in a call.
#[pyfunction]
fn drive<'py>(py: Python<'py>, native: &Native) -> PyResult<Bound<'py, PyAny>> {
    native.handle.live(py)?.nothing(py, Box::pin(std::future::pending()))
}

/// A call that panics.
#[pyfunction]
#[expect(clippy::panic, reason = "it is what is tested")]
fn panic<'py>(py: Python<'py>, native: &Native) -> PyResult<Bound<'py, PyAny>> {
    native.handle.live(py)?.nothing(py, Box::pin(async { panic!("the test's own") }))
}

/// How long there must be rest where the system does not tell which threads run.
#[cfg(not(target_os = "linux"))]
const QUIET: Duration = Duration::from_millis(30);

/// How often in a row all threads must have been seen asleep. Whoever wakes another is awake itself.
#[cfg(target_os = "linux")]
const SEEN: u32 = 3;

/// Waits until no other thread of this process has anything to do.
#[pyfunction]
fn rest(py: Python<'_>) {
    #[cfg(target_os = "linux")]
    py.detach(|| {
        let mut seen = 0u32;
        while seen < SEEN {
            seen = if others_sleep() { seen.saturating_add(1) } else { 0 };
            thread::sleep(Duration::from_micros(20));
        }
    });
    #[cfg(not(target_os = "linux"))]
    py.detach(|| thread::sleep(QUIET));
}

#[cfg(target_os = "linux")]
fn others_sleep() -> bool {
    use std::fs;
    let own = fs::read_link("/proc/thread-self").ok().and_then(|path| path.file_name().map(ToOwned::to_owned));
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return true };
    threads.filter_map(Result::ok).filter(|thread| Some(thread.file_name()) != own).all(|thread| {
        // The state stands behind the name, which may hold anything in its parentheses. A thread may have ended by now.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['S', 'Z', 'X']))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A clock that only the test moves. Every byte of its randomness is 7.
#[pyclass(frozen)]
struct Clock(Arc<Time>);

/// The time of a test, in Unix milliseconds.
struct Time {
    now: AtomicU64,
    start: u64,
    /// Without timers no time limit ever passes.
    has_timers: bool,
    is_browser: bool,
    timers: Mutex<Vec<Weak<Timer>>>,
    real: TokioRuntime,
}

/// When it is due, and who waits for it.
struct Timer {
    at: u64,
    waker: Mutex<Option<Waker>>,
}

impl Time {
    fn ms(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn timers(&self) -> Vec<Arc<Timer>> {
        lock(&self.timers).iter().filter_map(Weak::upgrade).collect()
    }
}

#[pymethods]
impl Clock {
    #[new]
    #[pyo3(signature = (now, *, timers=false, browser=false))]
    fn new(now: u64, timers: bool, browser: bool) -> Clock {
        Clock(Arc::new(Time {
            now: AtomicU64::new(now),
            start: now,
            has_timers: timers,
            is_browser: browser,
            timers: Mutex::default(),
            real: TokioRuntime::new(),
        }))
    }

    /// Unix milliseconds.
    #[getter]
    fn now(&self) -> u64 {
        self.0.ms()
    }

    /// Moves the clock; timers that are due by then go off.
    fn set(&self, now: u64) {
        self.0.now.store(now, Ordering::SeqCst);
        for timer in self.0.timers().into_iter().filter(|timer| timer.at <= now) {
            let waker = lock(&timer.waker).take();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// When the next timer is due.
    fn next_timer(&self) -> Option<u64> {
        let now = self.0.ms();
        lock(&self.0.timers).retain(|timer| timer.strong_count() > 0);
        self.0.timers().iter().map(|timer| timer.at).filter(|at| *at > now).min()
    }
}

impl Runtime for Time {
    fn now(&self) -> u64 {
        self.ms()
    }

    fn uptime(&self) -> Duration {
        let time = if self.has_timers { self.ms().saturating_sub(self.start) } else { 0 };
        Duration::from_millis(time)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        if !self.has_timers {
            return Box::pin(std::future::pending());
        }
        // A timer never goes off early.
        let wait = u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let timer = Arc::new(Timer { at: self.ms().saturating_add(wait), waker: Mutex::default() });
        lock(&self.timers).push(Arc::downgrade(&timer));
        let (over, mut waited) = (wait == 0, false);
        Box::pin(poll_fn(move |cx| {
            let mut waker = lock(&timer.waker);
            let woken = mem::replace(&mut waited, true) && waker.is_none();
            if over || woken {
                return Poll::Ready(());
            }
            *waker = Some(cx.waker().clone());
            Poll::Pending
        }))
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        bytes.fill(7);
        Ok(())
    }

    fn sha256(&self, data: &[u8]) -> BoxFuture<'static, Result<[u8; 32], Error>> {
        self.real.sha256(data)
    }

    fn spawn(&self, work: BoxFuture<'static, ()>) {
        self.real.spawn(work);
    }

    fn is_browser(&self) -> bool {
        self.is_browser
    }
}

/// A server that is a script. `on_sent` is called with each request, which may answer it at once.
#[pyclass(frozen)]
struct Script(Arc<Play>);

struct Play {
    sent: Mutex<Vec<Py<Sent>>>,
    on_sent: Option<Py<PyAny>>,
    /// Read each body before the request shows?
    takes: bool,
}

#[pymethods]
impl Script {
    #[new]
    #[pyo3(signature = (on_sent=None, *, takes=false))]
    fn new(on_sent: Option<Py<PyAny>>, takes: bool) -> Script {
        Script(Arc::new(Play { sent: Mutex::default(), on_sent, takes }))
    }

    /// All requests so far.
    #[getter]
    fn requests(&self, py: Python<'_>) -> Vec<Py<Sent>> {
        lock(&self.0.sent).iter().map(|sent| sent.clone_ref(py)).collect()
    }
}

struct Stage {
    time: Arc<Time>,
    play: Arc<Play>,
}

impl Transport for Stage {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            if self.play.takes {
                take(&request.body).await?;
            }
            let hold = Hold(Arc::default());
            self.play.show(self.time.ms(), &request, &hold).map_err(|raised| {
                let message = format!("the script failed: {raised}");
                Python::attach(|py| raised.write_unraisable(py, None));
                TransportError::new(Failure::Invalid, message)
            })?;
            let answer = poll_fn(|cx| hold.poll(cx, |exchange| exchange.answer.take())).await;
            let (status, headers) = answer.map_err(failed)?;
            let body: Box<dyn ResponseBody> = Box::new(hold);
            Ok(Response::new(status, headers, body))
        })
    }
}

/// Reads a body to its end.
async fn take(body: &Body) -> Result<(), TransportError> {
    let mut reader = match body {
        Body::Raw(source) => BodyReader::of_source(source),
        Body::Multipart(form) => form.encode("boundary"),
        _ => return Ok(()),
    };
    while poll_fn(|cx| reader.poll_piece(cx)).await.transpose()?.is_some() {}
    Ok(())
}

fn failed(failure: Failure) -> TransportError {
    TransportError::new(failure, "the connection failed")
}

impl Play {
    fn show(&self, at: u64, request: &Request, hold: &Hold) -> PyResult<()> {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let sent = Sent {
            at,
            method: request.method.as_str(),
            url: request.url.clone(),
            headers: request.headers.iter().map(own).collect(),
            json: if let Body::Json(json) = &request.body { Some(json.as_text().to_owned()) } else { None },
            exchange: hold.0.clone(),
        };
        Python::attach(|py| {
            let sent = Py::new(py, sent)?;
            lock(&self.sent).push(sent.clone_ref(py));
            self.on_sent.as_ref().map_or(Ok(()), |on_sent| on_sent.call1(py, (sent,)).map(drop))
        })
    }
}

/// A request as the client sent it, and what the script answers.
#[pyclass(frozen)]
struct Sent {
    /// By the test's clock, in Unix milliseconds.
    #[pyo3(get)]
    at: u64,
    #[pyo3(get)]
    method: &'static str,
    #[pyo3(get)]
    url: String,
    #[pyo3(get)]
    headers: Vec<(String, String)>,
    /// The text of a body that is JSON.
    #[pyo3(get)]
    json: Option<String>,
    exchange: Arc<Mutex<Exchange>>,
}

#[derive(Default)]
struct Exchange {
    answer: Option<Result<(u16, Headers), Failure>>,
    is_answered: bool,
    chunks: VecDeque<Result<Option<Bytes>, Failure>>,
    waker: Option<Waker>,
    /// It was answered to its end.
    over: bool,
    /// The client has given it up.
    dropped: bool,
}

#[pymethods]
impl Sent {
    /// Was it answered to its end?
    #[getter]
    fn over(&self) -> bool {
        lock(&self.exchange).over
    }

    /// Has the client given it up?
    #[getter]
    fn dropped(&self) -> bool {
        lock(&self.exchange).dropped
    }

    /// Does it still wait for an answer?
    #[getter]
    fn waits(&self) -> bool {
        let exchange = lock(&self.exchange);
        !exchange.is_answered && !exchange.dropped
    }

    /// The whole answer.
    #[pyo3(signature = (status, body="", headers=Vec::new()))]
    fn answer(&self, status: u16, body: &str, headers: Vec<(String, String)>) -> PyResult<()> {
        let whole = [Ok(Some(Bytes::from(body.to_owned()))), Ok(None)];
        self.respond(Ok((status, fields(headers))), whole.into())
    }

    /// The head of an answer whose body follows.
    #[pyo3(signature = (status, headers=Vec::new()))]
    fn stream(&self, status: u16, headers: Vec<(String, String)>) -> PyResult<()> {
        self.respond(Ok((status, fields(headers))), VecDeque::new())
    }

    /// No answer: the connection was `refused`, or it is `broken`, `tls`, an `unknown_host`.
    fn fail(&self, failure: &str) -> PyResult<()> {
        let failure = match failure {
            "refused" => Failure::Refused,
            "broken" => Failure::Broken,
            "tls" => Failure::Tls,
            "unknown_host" => Failure::UnknownHost,
            other => return Err(PyValueError::new_err(format!("no such failure: {other}"))),
        };
        self.respond(Err(failure), VecDeque::new())
    }

    /// A piece of the body.
    fn send(&self, text: &str) -> PyResult<()> {
        self.say(Ok(Some(Bytes::from(text.to_owned()))))
    }

    /// The end of the body.
    fn end(&self) -> PyResult<()> {
        self.say(Ok(None))
    }

    /// The connection breaks inside the body.
    fn cut(&self) -> PyResult<()> {
        self.say(Err(Failure::Broken))
    }
}

fn fields(given: Vec<(String, String)>) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in given {
        headers.set(&name, value);
    }
    headers
}

impl Sent {
    fn respond(
        &self,
        answer: Result<(u16, Headers), Failure>,
        chunks: VecDeque<Result<Option<Bytes>, Failure>>,
    ) -> PyResult<()> {
        self.change(|exchange| {
            if exchange.is_answered {
                return false;
            }
            exchange.is_answered = true;
            exchange.over = answer.is_err();
            exchange.answer = Some(answer);
            exchange.chunks = chunks;
            true
        })
    }

    fn say(&self, chunk: Result<Option<Bytes>, Failure>) -> PyResult<()> {
        self.change(|exchange| {
            if exchange.over {
                return false;
            }
            exchange.chunks.push_back(chunk);
            true
        })
    }

    /// It is an error of the client when nobody waits for what comes.
    fn change(&self, act: impl FnOnce(&mut Exchange) -> bool) -> PyResult<()> {
        let mut exchange = lock(&self.exchange);
        if exchange.dropped || !act(&mut exchange) {
            return Err(PyValueError::new_err(format!("nobody waits for {} {}", self.method, self.url)));
        }
        let waker = exchange.waker.take();
        drop(exchange);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

/// The client's end of an exchange; notes when the client gives it up.
struct Hold(Arc<Mutex<Exchange>>);

impl Hold {
    fn poll<T>(&self, cx: &Context<'_>, take: impl FnOnce(&mut Exchange) -> Option<T>) -> Poll<T> {
        let mut exchange = lock(&self.0);
        match take(&mut exchange) {
            Some(value) => Poll::Ready(value),
            None => {
                exchange.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.0).dropped = true;
    }
}

impl ResponseBody for Hold {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        Box::pin(async move {
            let next = |exchange: &mut Exchange| {
                let chunk = exchange.chunks.pop_front()?;
                exchange.over |= !matches!(chunk, Ok(Some(_)));
                Some(chunk)
            };
            poll_fn(|cx| self.poll(cx, next)).await.map_err(failed)
        })
    }
}
