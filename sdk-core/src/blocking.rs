//! The same calls without async: a client that drives its I/O on the calling thread.
//!
//! [`blocking::Client`](Client) is the async [`Client`](crate::Client) and a runtime of its own. Every call is the async
//! one, handed to [`Client::run`]; nothing is written twice, and no thread is started.
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

use std::{
    fmt,
    future::{Future, IntoFuture, poll_fn},
    ops::Deref,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Waker},
};

use futures_core::Stream;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::coop::consume_budget,
};

use crate::{client::ClientBuilder, error::Error};

/// A client for code that is not async. It derefs to the async [`Client`](crate::Client): set calls up there, run them
/// here. Clones share connections and session, and may be used from several threads at once.
#[derive(Clone)]
pub struct Client {
    inner: crate::Client,
    runtime: Arc<Driver>,
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
    /// this one only runs inside [`run`](Self::run).
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
        Ok(Client { inner: client, runtime: Arc::new(Driver(Some(runtime))) })
    }

    /// A client with a session of its own on the same connections. See [`Client::with_session`](crate::Client::with_session).
    ///
    /// ```
    /// # fn demo(db: picobase::blocking::Client, token: &str) {
    /// let visitor = db.with_session(token);
    /// # let _ = visitor; }
    /// ```
    pub fn with_session(&self, source: impl Into<crate::client::SessionSource>) -> Client {
        Client { inner: self.inner.with_session(source), runtime: self.runtime.clone() }
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
        self.runtime.drive(call.into_future())?
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
        Iter { runtime: self.runtime.clone(), stream: Some(stream) }
    }
}

/// The runtime behind a blocking client.
struct Driver(Option<Runtime>);

impl Driver {
    fn drive<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        match &self.0 {
            Some(runtime) if !is_polled() => Ok(runtime.block_on(future)),
            _ => Err(inside_async()),
        }
    }
}

/// A client may be dropped anywhere, also where waiting for the runtime's end is not allowed.
impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
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
    runtime: Arc<Driver>,
    stream: Option<S>,
}

impl<S> fmt::Debug for Iter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iter")
    }
}

impl<T, S: Stream<Item = Result<T, Error>> + Unpin> Iterator for Iter<S> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let stream = self.stream.as_mut()?;
        match self.runtime.drive(poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx))) {
            Ok(item) => item,
            Err(error) => {
                // An error ends the stream, so that a loop over it ends as well.
                self.stream = None;
                Some(Err(error))
            }
        }
    }
}
