//! The end of a client, for the calls that are under way then.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use picobase::{Error, ErrorKind};
use pyo3::prelude::*;
use tokio::sync::{Notify, futures::OwnedNotified};

use crate::{error, run::Call};

/// Tells the calls of a client that it was closed.
#[derive(Default)]
pub(crate) struct Closing {
    is_over: AtomicBool,
    told: Arc<Notify>,
}

impl Closing {
    /// Ends what is under way.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The call, which fails when the client is closed before it is done.
    pub(crate) fn until<T: 'static>(self: &Arc<Self>, call: Call<T>) -> Call<T> {
        Box::pin(Until { call, closing: self.clone(), told: None })
    }
}

struct Until<T> {
    call: Call<T>,
    closing: Arc<Closing>,
    /// Made when the call has to wait.
    told: Option<Pin<Box<OwnedNotified>>>,
}

impl<T> Future for Until<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(result) = this.call.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        let told = this.told.get_or_insert_with(|| Box::pin(this.closing.told.clone().notified_owned()));
        // The word is asked for after one has begun to listen for it: in between it would be missed.
        if told.as_mut().poll(cx).is_ready() || this.closing.is_over() {
            let error = Error::new(ErrorKind::Cancelled, "the client was closed while the call was under way");
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

/// What calls of a closed client raise.
pub(crate) fn closed(py: Python<'_>) -> PyErr {
    error::fail(py, ErrorKind::Configuration, "the client is closed", "Make a new one, or close it later.")
}
