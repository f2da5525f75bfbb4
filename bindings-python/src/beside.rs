//! What a call needs of Python while it is under way: the next piece of an upload.
//!
//! It is not read where the core asks for it. A connection may be driven by another thread of the program than the one
//! that made the call, and what an iterator waits for may be a call of the same client. So it becomes an errand, done by
//! whoever waits for the call: the calling thread while it is not in the runtime, or a task of asyncio.

use std::{
    future::poll_fn,
    io, mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use picobase::files::FileSource;
use pyo3::{prelude::*, pybacked::PyBackedBytes, types::PyBytes};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::{
    kept::{Kept, member},
    run::EventThread,
};

type Piece = io::Result<Option<Bytes>>;

/// What a call may need of Python; most need nothing.
#[derive(Default)]
pub(crate) struct Beside {
    channel: Option<(UnboundedSender<Wanted>, UnboundedReceiver<Wanted>)>,
}

impl Beside {
    /// A file that `pieces`, one of `picobase._sources`, has the bytes of.
    pub(crate) fn file(
        &mut self,
        pieces: &Bound<'_, PyAny>,
        name: &str,
        length: Option<u64>,
        is_repeatable: bool,
    ) -> FileSource {
        let sender = self.channel.get_or_insert_with(unbounded_channel).0.clone();
        let pieces = Arc::new(pieces.clone().unbind());
        let open = move || Feed { sender: sender.clone(), pieces: pieces.clone(), is_begun: false, asked: None };
        if is_repeatable { FileSource::reopened(name, length, open) } else { FileSource::stream(name, length, open()) }
    }

    /// The errands, if there can be any. They end when the call does.
    pub(crate) fn errands(self) -> Option<Errands> {
        let (_, receiver) = self.channel?;
        Some(Errands { receiver: Mutex::new(receiver), thread: None })
    }
}

/// The errands of a call that is under way, for `picobase._beside`.
#[pyclass(frozen, module = "picobase._native", name = "NativeErrands")]
pub(crate) struct Errands {
    receiver: Mutex<UnboundedReceiver<Wanted>>,
    /// What drives the client of asyncio.
    thread: Option<Arc<EventThread>>,
}

impl Errands {
    /// The call with its errands, as something to await.
    pub(crate) fn attended<'py>(
        self,
        py: Python<'py>,
        call: Bound<'py, PyAny>,
        thread: &Arc<EventThread>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let errands = Errands { thread: Some(thread.clone()), ..self };
        static ATTENDED: Kept = Kept::new();
        member(py, &ATTENDED, "picobase._beside", "attended")?.call1((call, errands))
    }

    /// Reads the piece on this thread; answers what its source raised.
    pub(crate) fn served(py: Python<'_>, wanted: Wanted) -> PyResult<Option<PyErr>> {
        static SERVE: Kept = Kept::new();
        let raised = member(py, &SERVE, "picobase._beside", "serve")?.call1((wanted,))?;
        Ok((!raised.is_none()).then(|| PyErr::from_value(raised)))
    }

    /// The next errand; none when the call is over.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Wanted>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(cx)
    }
}

#[pymethods]
impl Errands {
    /// Awaits the next piece that is wanted; `None` when there is no more.
    fn next<'py>(slf: &Bound<'py, Self>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let errands = slf.clone().unbind();
        let Some(thread) = &slf.get().thread else { return Ok(py.None().into_bound(py)) };
        let next = async move { Ok(poll_fn(|cx| errands.get().poll(cx)).await) };
        thread.run(py, next, |py, wanted| match wanted {
            Some(wanted) => Ok(Bound::new(py, wanted)?.into_any().unbind()),
            None => Ok(py.None()),
        })
    }
}

/// A piece that an upload waits for.
#[pyclass(frozen, module = "picobase._native", name = "NativeWanted")]
pub(crate) struct Wanted {
    pieces: Arc<Py<PyAny>>,
    is_first: bool,
    reply: Mutex<Option<oneshot::Sender<Piece>>>,
}

impl Wanted {
    fn answer(&self, piece: Piece) {
        let reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nobody waits for it any more when the sending broke off.
        let _ = reply.map(|reply| reply.send(piece));
    }
}

#[pymethods]
impl Wanted {
    /// What has the bytes.
    #[getter]
    fn pieces(&self, py: Python<'_>) -> Py<PyAny> {
        self.pieces.clone_ref(py)
    }

    /// Is it the first piece of a sending? Then it is read from the start.
    #[getter]
    fn is_first(&self) -> bool {
        self.is_first
    }

    /// The piece; an empty one is the end.
    fn give(&self, piece: &Bound<'_, PyBytes>) {
        let piece = Bytes::from_owner(PyBackedBytes::from(piece.clone()));
        self.answer(Ok(Some(piece).filter(|piece| !piece.is_empty())));
    }

    /// Why there is none.
    fn fail(&self, why: String) {
        self.answer(Err(io::Error::other(why)));
    }
}

/// One sending of an upload, as the core reads it.
struct Feed {
    sender: UnboundedSender<Wanted>,
    pieces: Arc<Py<PyAny>>,
    is_begun: bool,
    asked: Option<oneshot::Receiver<Piece>>,
}

impl Stream for Feed {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut asked = match self.asked.take() {
            Some(asked) => asked,
            None => {
                let (reply, asked) = oneshot::channel();
                let wanted = Wanted {
                    pieces: self.pieces.clone(),
                    is_first: !mem::replace(&mut self.is_begun, true),
                    reply: Mutex::new(Some(reply)),
                };
                if self.sender.send(wanted).is_err() {
                    return Poll::Ready(Some(Err(over())));
                }
                asked
            }
        };
        match Pin::new(&mut asked).poll(cx) {
            Poll::Ready(piece) => Poll::Ready(piece.unwrap_or_else(|_| Err(over())).transpose()),
            Poll::Pending => {
                self.asked = Some(asked);
                Poll::Pending
            }
        }
    }
}

fn over() -> io::Error {
    io::Error::other("the call that reads it is over")
}
