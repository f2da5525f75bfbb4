//! The same calls without async: a client that drives its I/O on the calling thread.
//!
//! [`blocking::Client`](Client) is the async [`Client`](crate::Client) and a runtime of its own. Every call is the async
//! one, handed to [`Client::run`]; nothing is written twice, and no thread is started before something is subscribed.
//!
//! ```no_run
//! use picobase::blocking;
//! let db = blocking::Client::new("http://127.0.0.1:8090", "")?;
//! db.run(db.auth().sign_in("ada@example.com", "correct horse"))?;
//! let posts = db.run(db.collection("posts").get_list(1, 20).sort("-created"))?;
//! for post in db.iter(db.collection("posts").iterate().stream()) {
//!     println!("{}", post?.id());
//! }
//! # Ok::<(), picobase::Error>(())
//! ```
//!
//! # Realtime
//!
//! What is subscribed must be heard while the calling thread does something else. So with the first subscription of a
//! client, or of its [`with_session`](Client::with_session) family, one thread begins to drive the runtime: it reads
//! the event stream, replaces it in time, and calls the listeners of [`on`](crate::realtime::Subscription::on). It ends
//! a moment after the last subscription has gone, and is started again with the next. It belongs to the subscriptions,
//! not to the client: they go on when the client was dropped.
//!
//! While it is there, it does the I/O of all calls: each is handed over to it and back, which costs CPU and a little
//! time. Where calls must be as fast as can be, subscribe with a client of its own.
//!
//! ```no_run
//! use std::time::Duration;
//! use picobase::{ErrorKind, blocking};
//! let db = blocking::Client::new("http://127.0.0.1:8090", "")?;
//! // Either a listener, which that thread calls; a blocking call in it is an error.
//! let handle = db.run(db.collection("posts").subscribe("*"))?.on(|event| println!("{event:?}"));
//! // Or an iterator.
//! let mut notes = db.iter(db.run(db.collection("notes").subscribe("*"))?);
//! match notes.next_within(Duration::from_secs(5)) {
//!     Ok(Some(event)) => println!("{event:?}"),
//!     Ok(None) => println!("it was unsubscribed"),
//!     Err(e) if e.kind() == ErrorKind::Timeout => println!("nothing yet"),
//!     Err(e) => println!("{e}"),
//! }
//! # Ok::<(), picobase::Error>(())
//! ```

use std::{
    fmt,
    future::{Future, IntoFuture, poll_fn},
    ops::Deref,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use futures_core::Stream;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::coop::consume_budget,
};

use crate::{
    client::{ClientBuilder, Shared},
    error::{Error, ErrorKind},
    runtime::within,
};

/// How often the tasks of connections get their turn after a call that failed: enough for each to see its end.
const ROUNDS: usize = 3;

/// The name of the thread that drives realtime; Linux shows 15 characters.
const THREAD: &str = "picobase-events";

/// A client for code that is not async. It derefs to the async [`Client`](crate::Client): set calls up there, run them
/// here. Clones share connections and session, and may be used from several threads at once.
#[derive(Clone)]
pub struct Client {
    inner: crate::Client,
    driver: Arc<Driver>,
}

impl Client {
    /// A client of the instance at `url`, with its API key; an empty key means none.
    ///
    /// # Errors
    /// Kind `Configuration` where the URL is not one of an instance.
    ///
    /// ```
    /// let db = picobase::blocking::Client::new("http://127.0.0.1:8090", "")?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn new(url: &str, api_key: &str) -> Result<Client, Error> {
        Client::build(crate::Client::builder().url(url).api_key(api_key))
    }

    /// A client with options.
    ///
    /// # Errors
    /// Kind `Configuration` where an option is wrong, or the system gives no timer or socket.
    ///
    /// ```
    /// use std::time::Duration;
    /// use picobase::{Client, blocking};
    /// let builder = Client::builder().url("http://127.0.0.1:8090").timeout(Duration::from_secs(5));
    /// let db = blocking::Client::build(builder)?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn build(builder: ClientBuilder) -> Result<Client, Error> {
        Client::of(builder.build()?)
    }

    /// A blocking client around an async one. From then on only this client may make its calls, and those of its
    /// [`with_session`](crate::Client::with_session) family: a connection is driven by the runtime that opened it, and
    /// this one only runs inside [`run`](Self::run), and while something is subscribed.
    ///
    /// # Errors
    /// Kind `Configuration` where the system gives no timer or socket.
    ///
    /// ```
    /// let db = picobase::blocking::Client::of(picobase::Client::new("http://127.0.0.1:8090", "")?)?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn of(client: crate::Client) -> Result<Client, Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| {
            Error::configuration(format!("the blocking client has no runtime: {e}"))
                .with_fix("Check the limits on open files of this process.")
        })?;
        let driver =
            Driver { runtime: Some(runtime), shared: client.shared.clone(), has_thread: AtomicBool::new(false) };
        Ok(Client { inner: client, driver: Arc::new(driver) })
    }

    /// A client with a session of its own on the same connections. See [`Client::with_session`](crate::Client::with_session).
    ///
    /// ```
    /// # fn demo(db: picobase::blocking::Client, token: &str) {
    /// let visitor = db.with_session(token);
    /// # let _ = visitor; }
    /// ```
    pub fn with_session(&self, source: impl Into<crate::client::SessionSource>) -> Client {
        self.around(self.inner.with_session(source))
    }

    /// Another client of the same family, driven like this one.
    ///
    /// ```
    /// # fn demo(db: picobase::blocking::Client, token: &str) {
    /// let visitor: picobase::Client = (*db).with_session(token);
    /// let visitor = db.around(visitor);
    /// # let _ = visitor; }
    /// ```
    pub fn around(&self, client: crate::Client) -> Client {
        Client { inner: client, driver: self.driver.clone() }
    }

    /// Makes a call on this thread and waits for its result.
    ///
    /// # Errors
    /// Those of the call; kind `Configuration` inside async code, which it would block: use the async client there.
    ///
    /// ```no_run
    /// # fn demo(db: picobase::blocking::Client) -> Result<(), picobase::Error> {
    /// let post = db.run(db.collection("posts").get_one("abc123"))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn run<T>(&self, call: impl IntoFuture<Output = Result<T, Error>>) -> Result<T, Error> {
        let call = call.into_future();
        self.driver.drive(async {
            let result = call.await;
            // What began beside the call goes on only while somebody drives it. A visitor's client may never make
            // another call, and its cookie is written now.
            self.inner.session.settled(&self.inner.shared.runtime).await;
            if result.is_err() {
                // So does the end of a connection whose request was given up.
                for _ in 0..ROUNDS {
                    tokio::task::yield_now().await;
                }
            }
            result
        })?
    }

    /// Reads a stream on this thread, item by item.
    ///
    /// ```no_run
    /// # fn demo(db: picobase::blocking::Client) -> Result<(), picobase::Error> {
    /// for post in db.iter(db.collection("posts").iterate().stream()) {
    ///     println!("{}", post?.id());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn iter<T, S: Stream<Item = Result<T, Error>> + Unpin>(&self, stream: S) -> Iter<S> {
        Iter { driver: self.driver.clone(), stream: Some(stream) }
    }
}

/// The runtime behind a blocking client.
struct Driver {
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
    /// Is a thread there that drives it while workers run?
    has_thread: AtomicBool,
}

impl Driver {
    /// Drives `future` on this thread, and sees to it that what it has left running goes on.
    fn drive<F: Future>(self: &Arc<Self>, future: F) -> Result<F::Output, Error> {
        match &self.runtime {
            Some(runtime) if !is_polled() => {
                let output = runtime.block_on(future);
                self.go_on();
                Ok(output)
            }
            _ => Err(inside_async()),
        }
    }

    /// Starts the thread where one is needed and none is there.
    fn go_on(self: &Arc<Self>) {
        if !self.takes_over() {
            return;
        }
        let driver = self.clone();
        if let Err(error) = thread::Builder::new().name(THREAD.to_string()).spawn(move || driver.drive_workers()) {
            // The next call tries again; until then events come in during calls only.
            self.has_thread.store(false, Ordering::SeqCst);
            tracing::warn!(%error, "no thread for realtime");
        }
    }

    /// Do workers run that no thread drives? Then the caller has to.
    fn takes_over(&self) -> bool {
        self.shared.workers.any() && !self.has_thread.swap(true, Ordering::SeqCst)
    }

    /// Drives the runtime while there are workers. Several threads may do so at once: tokio lets one of them do the
    /// I/O and wakes the others.
    fn drive_workers(&self) {
        let Some(runtime) = &self.runtime else { return };
        loop {
            runtime.block_on(poll_fn(|cx| self.shared.workers.poll_over(cx)));
            self.has_thread.store(false, Ordering::SeqCst);
            // One may have begun before that, when there was still a thread to rely on.
            if !self.takes_over() {
                return;
            }
        }
    }
}

/// A client may be dropped anywhere, also where waiting for the runtime's end is not allowed.
impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How often a task may go on before it has to let others run; tokio gives 128.
const BUDGET_MAX: u32 = 1024;

/// Is a runtime polling this code, so that waiting would stop it? There tasks have a budget, which this uses up. A
/// thread of `spawn_blocking` knows its runtime as well, but has no budget: it may wait.
fn is_polled() -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    Handle::try_current().is_ok() && (0..BUDGET_MAX).any(|_| pin!(consume_budget()).poll(&mut cx).is_pending())
}

fn inside_async() -> Error {
    Error::configuration("a blocking call inside async code would stop the runtime")
        .with_fix("Use the async `picobase::Client` there, or run the blocking call in `spawn_blocking`.")
}

impl Deref for Client {
    type Target = crate::Client;

    fn deref(&self) -> &crate::Client {
        &self.inner
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A stream as an iterator. See [`Client::iter`].
pub struct Iter<S> {
    driver: Arc<Driver>,
    stream: Option<S>,
}

impl<S> fmt::Debug for Iter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iter")
    }
}

impl<T, S: Stream<Item = Result<T, Error>> + Unpin> Iter<S> {
    /// The next item, if it comes within `limit`; none at the end of the stream. Items that come later are not lost:
    /// the next call has them.
    ///
    /// # Errors
    /// Kind `Timeout` where nothing came in time; what the stream says.
    ///
    /// ```no_run
    /// # fn demo(db: picobase::blocking::Client) -> Result<(), picobase::Error> {
    /// use std::time::Duration;
    /// use picobase::ErrorKind;
    /// let mut posts = db.iter(db.run(db.collection("posts").subscribe("*"))?);
    /// match posts.next_within(Duration::from_secs(1)) {
    ///     Err(e) if e.kind() == ErrorKind::Timeout => println!("nothing new"),
    ///     event => println!("{event:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_within(&mut self, limit: Duration) -> Result<Option<T>, Error> {
        self.step(Some(limit)).transpose()
    }

    fn step(&mut self, limit: Option<Duration>) -> Option<Result<T, Error>> {
        let stream = self.stream.as_mut()?;
        let next = poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx));
        match self.driver.drive(within(&*self.driver.shared.runtime, limit, next)) {
            Ok(Some(item)) => item,
            Ok(None) => Some(Err(Error::new(ErrorKind::Timeout, "nothing came in time").with_fix("Go on waiting."))),
            Err(error) => {
                // An error ends the stream, so that a loop over it ends as well.
                self.stream = None;
                Some(Err(error))
            }
        }
    }
}

impl<T, S: Stream<Item = Result<T, Error>> + Unpin> Iterator for Iter<S> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(None)
    }
}
