//! A body that passes frames on as they come, and can be slowed, stopped and watched on the way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::connection::Handle;
use super::log::Running;
use super::rules::How;

/// Whatever goes wrong with a body.
pub(crate) type BodyError = anyhow::Error;
type Inner = UnsyncBoxBody<Bytes, BodyError>;

/// How long bytes that were passed on may take to leave, before their connection is cut.
const SETTLE: Duration = Duration::from_millis(30);
/// The pace at which slowed bodies send their pieces.
const PIECES_PER_SECOND: u64 = 20;

/// What happens at a place in a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    Cut(How),
    Pause(Option<Duration>),
}

/// What to do when a stream has been silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    pub(crate) limit: Duration,
    pub(crate) clean: bool,
}

/// What a body waits for.
enum Wait {
    Nothing,
    /// Then go on.
    Pause(Pin<Box<Sleep>>),
    /// Then cut the connection.
    Cut(Pin<Box<Sleep>>, How),
    Forever,
    Ended,
}

/// The body of a request or of an answer on its way through the proxy.
pub(crate) struct Passing {
    inner: Inner,
    connection: Arc<Handle>,
    running: Arc<Running>,
    /// Whether the log gets the bytes.
    recorded: bool,
    stop: Option<(u64, Stop)>,
    bytes_per_second: Option<u64>,
    silence: Option<(Silence, Pin<Box<Sleep>>)>,
    passed: u64,
    rest: Bytes,
    wait: Wait,
}

impl Passing {
    pub(crate) fn new<B>(inner: B, connection: Arc<Handle>, running: Arc<Running>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        Self {
            inner: inner.map_err(BodyError::new).boxed_unsync(),
            connection,
            running,
            recorded: false,
            stop: None,
            bytes_per_second: None,
            silence: None,
            passed: 0,
            rest: Bytes::new(),
            wait: Wait::Nothing,
        }
    }

    pub(crate) fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }

    /// Stops after that many bytes, or at the end where the body is shorter.
    pub(crate) fn stop_after(mut self, stop: Option<(u64, Stop)>) -> Self {
        self.stop = stop;
        self
    }

    pub(crate) fn slow(mut self, bytes_per_second: Option<u64>) -> Self {
        self.bytes_per_second = bytes_per_second;
        self
    }

    pub(crate) fn silence(mut self, silence: Option<Silence>) -> Self {
        self.silence = silence.map(|silence| (silence, Box::pin(sleep(silence.limit))));
        self
    }

    /// Reads everything and throws it away.
    pub(crate) async fn drain(mut self) -> Result<(), BodyError> {
        while let Some(frame) = self.frame().await {
            frame?;
        }
        Ok(())
    }

    /// Waits for whatever was begun; true where the body goes on.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.wait {
            Wait::Nothing => return Poll::Ready(true),
            Wait::Forever => return Poll::Pending,
            Wait::Ended => return Poll::Ready(false),
            Wait::Pause(sleep) => ready!(sleep.as_mut().poll(cx)),
            Wait::Cut(sleep, how) => {
                ready!(sleep.as_mut().poll(cx));
                self.connection.cut(*how);
                self.wait = Wait::Forever;
                return Poll::Pending;
            }
        }
        self.wait = Wait::Nothing;
        Poll::Ready(true)
    }

    /// Begins the stop whose place has been reached.
    fn begin_stop(&mut self, stop: Stop) {
        self.stop = None;
        self.wait = match stop {
            Stop::Cut(how) => Wait::Cut(Box::pin(sleep(SETTLE)), how),
            Stop::Pause(Some(time)) => Wait::Pause(Box::pin(sleep(time))),
            Stop::Pause(None) => Wait::Forever,
        };
    }

    /// Ends a stream that has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((silence, timer)) = &mut self.silence else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        if silence.clean {
            self.wait = Wait::Ended;
            return Poll::Ready(());
        }
        self.connection.cut(How::Close);
        self.wait = Wait::Forever;
        Poll::Pending
    }

    /// The next bytes, at most as many as may pass now.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.take(data),
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        let mut allowed = self.rest.len();
        if let Some((at, _)) = self.stop {
            allowed = allowed.min(usize::try_from(at - self.passed).unwrap_or(usize::MAX));
        }
        if let Some(rate) = self.bytes_per_second {
            let piece = (rate / PIECES_PER_SECOND).max(1);
            allowed = allowed.min(usize::try_from(piece).unwrap_or(usize::MAX));
            self.wait = Wait::Pause(Box::pin(sleep(Duration::from_secs_f64(allowed as f64 / rate as f64))));
        }
        let piece = self.rest.split_to(allowed);
        self.passed += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// Takes in what the other side has sent.
    fn take(&mut self, data: Bytes) {
        if self.recorded {
            self.running.body(&data);
        }
        if let Some((silence, timer)) = &mut self.silence {
            *timer = Box::pin(sleep_until(Instant::now() + silence.limit));
        }
        self.rest = data;
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            if !ready!(this.poll_wait(cx)) {
                return Poll::Ready(None);
            }
            if let Some((at, stop)) = this.stop
                && this.passed >= at
            {
                this.begin_stop(stop);
                continue;
            }
            match this.poll_bytes(cx) {
                Poll::Ready(None) => match this.stop {
                    Some((_, stop)) => this.begin_stop(stop),
                    None => return Poll::Ready(None),
                },
                Poll::Ready(frame) => return Poll::Ready(frame),
                Poll::Pending => {
                    ready!(this.poll_silence(cx));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.wait, Wait::Nothing) && self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        self.inner.size_hint().exact().map_or_else(SizeHint::default, |exact| SizeHint::with_exact(exact + rest))
    }
}

/// Bodies of known length are not asked for their end: whoever has all bytes drops them.
impl Drop for Passing {
    fn drop(&mut self) {
        if let Some((_, Stop::Cut(how))) = self.stop {
            self.connection.cut_in(SETTLE, how);
        }
    }
}
