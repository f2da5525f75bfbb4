//! Live queries.

use std::{sync::Arc, time::Duration};

use picobase::{
    Error, ErrorKind, Json,
    action::CallOptions,
    live::{LiveChange, LiveEvent},
    records::Collection,
};
use pyo3::{
    prelude::*,
    types::{PyList, PyModule},
};

use crate::{
    client::Live,
    json::Decoder,
    realtime::{Delivery, NativeFeed, events},
};

/// What a live query is asked with, beside the options of a list.
pub(crate) struct Asked {
    pub(crate) options: CallOptions,
    pub(crate) limit: Option<u32>,
    pub(crate) recheck_every: Option<Duration>,
}

/// The live query of a collection.
pub(crate) fn live(live: Arc<Live>, records: Collection<Json>, decoder: Decoder, asked: Asked) -> NativeFeed {
    let open = Arc::new(move || {
        let query = records.live().options(asked.options.clone());
        let query = if let Some(limit) = asked.limit { query.limit(limit) } else { query };
        let query = if let Some(time) = asked.recheck_every { query.recheck_every(time) } else { query };
        let opened = async move { Ok(events(query.await?, |event| Ok(Delivery::Live(event?)))) };
        Box::pin(opened) as crate::run::Call<_>
    });
    // A list that a change is missing from is no list any more.
    NativeFeed::new(live, decoder, true, open)
}

/// The classes of changes in `picobase._events`.
pub(crate) struct Classes {
    snapshot: Py<PyAny>,
    enter: Py<PyAny>,
    change: Py<PyAny>,
    leave: Py<PyAny>,
    moved: Py<PyAny>,
}

impl Classes {
    pub(crate) fn new(module: &Bound<'_, PyModule>) -> PyResult<Classes> {
        let class = |name: &str| PyResult::Ok(module.getattr(name)?.unbind());
        Ok(Classes {
            snapshot: class("Snapshot")?,
            enter: class("Enter")?,
            change: class("Change")?,
            leave: class("Leave")?,
            moved: class("Move")?,
        })
    }

    pub(crate) fn object<'py>(
        &self,
        py: Python<'py>,
        event: LiveEvent<Json>,
        decoder: &Decoder,
    ) -> PyResult<Bound<'py, PyAny>> {
        let change = match event {
            LiveEvent::Snapshot(records) => {
                let records = PyList::new(py, decoder.all(py, &records)?)?;
                return self.snapshot.bind(py).call1((records,));
            }
            LiveEvent::Change(change) => change,
            _ => return Err(crate::error::raise(py, &unknown())),
        };
        match change {
            LiveChange::Enter { index, id, record } => {
                self.enter.bind(py).call1((index, id, decoder.one(py, &record)?))
            }
            LiveChange::Change { index, id, record } => {
                self.change.bind(py).call1((index, id, decoder.one(py, &record)?))
            }
            LiveChange::Leave { index, id } => self.leave.bind(py).call1((index, id)),
            LiveChange::Move { from, to, id } => self.moved.bind(py).call1((from, to, id)),
        }
    }
}

fn unknown() -> Error {
    Error::new(ErrorKind::Decode, "a live query told something that this version does not know")
}
