//! What the core needs from the platform it runs on: time, randomness, and futures that are `Send` where threads exist.
//!
//! This is one of the two files that may name `wasm32` (the other is `json.rs`). On the web everything runs on one
//! thread and host objects are not `Send`; everywhere else a client is shared between threads. Code elsewhere writes
//! [`MaybeSend`], [`BoxFuture`] and `Lock` and never asks which of the two it is.

use alloc::{boxed::Box, sync::Arc};
use core::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Poll, Waker},
    time::Duration,
};

use crate::error::Error;

/// Can another thread come between two steps that no await parts? On the web none can, so what looks for it is left out.
pub(crate) const THREADS: bool = cfg!(not(target_arch = "wasm32"));

/// `Send` off the web, nothing on it.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}
/// `Sync` off the web, nothing on it.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSync: Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Sync + ?Sized> MaybeSync for T {}
/// A boxed future; `Send` off the web.
#[cfg(not(target_arch = "wasm32"))]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A boxed stream; `Send` off the web.
#[cfg(not(target_arch = "wasm32"))]
pub type BoxStream<'a, T> = Pin<Box<dyn futures_core::Stream<Item = T> + Send + 'a>>;

/// A shared function that is told of something.
#[cfg(not(target_arch = "wasm32"))]
pub type Listener<T> = Arc<dyn Fn(&T) + Send + Sync>;
/// A shared function that may change something.
#[cfg(not(target_arch = "wasm32"))]
pub type Editor<T> = Arc<dyn Fn(&mut T) + Send + Sync>;

/// `Send` off the web, nothing on it.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}
/// `Sync` off the web, nothing on it.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSync {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSync for T {}
/// A boxed future; `Send` off the web.
#[cfg(target_arch = "wasm32")]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
/// A boxed stream; `Send` off the web.
#[cfg(target_arch = "wasm32")]
pub type BoxStream<'a, T> = Pin<Box<dyn futures_core::Stream<Item = T> + 'a>>;

/// A shared function that is told of something.
#[cfg(target_arch = "wasm32")]
pub type Listener<T> = Arc<dyn Fn(&T)>;
/// A shared function that may change something.
#[cfg(target_arch = "wasm32")]
pub type Editor<T> = Arc<dyn Fn(&mut T)>;

#[cfg(all(not(target_arch = "wasm32"), not(feature = "std")))]
compile_error!("picobase without its `std` feature is for wasm32 only; enable `std` or the default features");

/// A mutex whose lock can only be held inside a closure, so never across an await.
pub(crate) struct Lock<T> {
    #[cfg(not(target_arch = "wasm32"))]
    inner: std::sync::Mutex<T>,
    #[cfg(target_arch = "wasm32")]
    inner: core::cell::RefCell<T>,
}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Lock { inner: value.into() }
    }

    /// Runs `f` with the value. A panic of an earlier holder does not poison it: every holder leaves a valid state.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Runs `f` with the value. `f` must not lock the same value again.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.inner.borrow_mut())
    }
}

/// The clock, the timer and the random source of a platform.
///
/// [`TokioRuntime`] is the default off the web. Bring your own to run the client on another executor, or to test
/// with a clock of your own:
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use picobase::{Client, runtime::{BoxFuture, Runtime, TokioRuntime}};
///
/// /// A clock that is an hour fast.
/// struct FastClock(TokioRuntime);
///
/// impl Runtime for FastClock {
///     fn now(&self) -> u64 { self.0.now() + 3_600_000 }
///     fn uptime(&self) -> Duration { self.0.uptime() }
///     fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> { self.0.sleep(time) }
///     fn random(&self, bytes: &mut [u8]) -> Result<(), picobase::Error> { self.0.random(bytes) }
///     fn sha256(&self, data: &[u8]) -> BoxFuture<'static, Result<[u8; 32], picobase::Error>> { self.0.sha256(data) }
/// }
///
/// let client = Client::builder().url("http://127.0.0.1:8090").runtime(Arc::new(FastClock(TokioRuntime::new()))).build()?;
/// # Ok::<(), picobase::Error>(())
/// ```
pub trait Runtime: MaybeSend + MaybeSync + 'static {
    /// Wall-clock time in milliseconds since the Unix epoch. May be wrong or jump.
    fn now(&self) -> u64;
    /// Time since some fixed moment; never goes back.
    fn uptime(&self) -> Duration;
    /// Completes after `time`.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
    /// Fills `bytes` from a cryptographically secure source.
    ///
    /// # Errors
    /// Kind `Configuration` where the platform has no such source.
    fn random(&self, bytes: &mut [u8]) -> Result<(), Error>;
    /// The SHA-256 digest of `data`, for PKCE (RFC 7636 §4.2). Asynchronous because WebCrypto is.
    ///
    /// # Errors
    /// Kind `Configuration` where the platform has no such function.
    fn sha256(&self, data: &[u8]) -> BoxFuture<'static, Result<[u8; 32], Error>>;
    /// Runs `work` beside the calls, a refresh that is under way for example. By default it is dropped: then such work
    /// goes on with the next call.
    fn spawn(&self, work: BoxFuture<'static, ()>) {
        drop(work);
    }
    /// Does this run in a browser, where everyone can read what the client knows? Default: no. There a superuser's
    /// token as key, and credentials, are refused.
    fn is_browser(&self) -> bool {
        false
    }
}

/// A shared runtime.
pub(crate) type SharedRuntime = Arc<dyn Runtime>;

/// A random fraction in `[0, 1)` in units of 2⁻³², for jitter. Falls back to one half: jitter is no secret.
pub(crate) fn random_fraction(runtime: &dyn Runtime) -> u32 {
    let mut bytes = [0; 4];
    match runtime.random(&mut bytes) {
        Ok(()) => u32::from_le_bytes(bytes),
        Err(_) => u32::MAX / 2,
    }
}

/// The [`Runtime`] on tokio's timer and the operating system's clock and random source.
///
/// ```
/// use picobase::runtime::{Runtime, TokioRuntime};
/// assert!(TokioRuntime::new().now() > 1_700_000_000_000);
/// ```
#[cfg(feature = "reqwest")]
#[derive(Debug, Clone)]
pub struct TokioRuntime {
    start: std::time::Instant,
}

#[cfg(feature = "reqwest")]
impl TokioRuntime {
    /// A runtime whose [`uptime`](Runtime::uptime) starts now.
    ///
    /// ```
    /// let runtime = picobase::runtime::TokioRuntime::new();
    /// # let _ = runtime;
    /// ```
    pub fn new() -> Self {
        TokioRuntime { start: std::time::Instant::now() }
    }
}

#[cfg(feature = "reqwest")]
impl Default for TokioRuntime {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "reqwest")]
impl Runtime for TokioRuntime {
    fn now(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        getrandom::fill(bytes).map_err(|e| {
            Error::configuration(alloc::format!("the system has no random source: {e}"))
                .with_fix("Run where the operating system offers getrandom or /dev/urandom.")
        })
    }

    fn sha256(&self, data: &[u8]) -> BoxFuture<'static, Result<[u8; 32], Error>> {
        use sha2::Digest;
        let digest: [u8; 32] = sha2::Sha256::digest(data).into();
        Box::pin(core::future::ready(Ok(digest)))
    }

    fn spawn(&self, work: BoxFuture<'static, ()>) {
        // Outside of tokio there is nobody to run it.
        if let Ok(tokio) = tokio::runtime::Handle::try_current() {
            tokio.spawn(work);
        }
    }
}

/// A waker that calls `wake`, for work that several callers share. On the web, where everything that is alive is polled
/// again, it is the caller's own: nothing there may be shared between threads, as wakers must be.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn shared_waker(_own: &Waker, wake: impl Fn() + MaybeSend + MaybeSync + 'static) -> Waker {
    struct Call<F>(F);
    impl<F: Fn() + Send + Sync + 'static> alloc::task::Wake for Call<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }
    Waker::from(Arc::new(Call(wake)))
}

/// See above.
#[cfg(target_arch = "wasm32")]
pub(crate) fn shared_waker(own: &Waker, _wake: impl Fn() + 'static) -> Waker {
    own.clone()
}

/// A future that several others wait for. On the web it is boxed: then it is compiled and dropped in one place, not in
/// each of them, and a small module counts for more than an allocation. Elsewhere it is the future itself.
#[cfg(target_arch = "wasm32")]
pub(crate) fn compact<'a, T>(future: impl Future<Output = T> + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}

/// See above.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn compact<F: Future>(future: F) -> F {
    future
}

/// Which of two futures finished first.
pub(crate) enum Race<A, B> {
    First(A),
    Second(B),
}

/// Polls both futures and drops the slower one. The first is asked first, so a tie goes to it.
pub(crate) async fn race<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> Race<A, B> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(move |cx| {
        if let Poll::Ready(a) = first.as_mut().poll(cx) {
            return Poll::Ready(Race::First(a));
        }
        second.as_mut().poll(cx).map(Race::Second)
    })
    .await
}

/// `future`, or none if `limit` passes first. No limit waits for ever. What is ready at once costs no timer.
pub(crate) async fn within<T>(
    runtime: &dyn Runtime,
    limit: Option<Duration>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let Some(limit) = limit else { return Some(future.await) };
    let mut timer = None;
    poll_fn(move |cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        timer.get_or_insert_with(|| runtime.sleep(limit)).as_mut().poll(cx).map(|()| None)
    })
    .await
}
