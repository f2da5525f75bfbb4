//! Several writes in one request.

use std::{
    future::IntoFuture,
    sync::{Arc, Mutex, PoisonError},
};

use picobase::{
    Json,
    action::CallOptions,
    records::{Batch, BatchResult},
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};

use crate::{
    beside::Beside,
    body::{Body, Parts},
    client::Handle,
    error,
    json::to_python,
    options::{Count, Named, Text, options},
    records::Maybe,
};

/// Writes that wait to be sent. Their values are those of when they were added; files are read when they are sent.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeBatch {
    handle: Handle,
    writes: Mutex<Vec<Arc<Write>>>,
}

struct Write {
    kind: Kind,
    collection: String,
    id: String,
    body: Option<Parts>,
    options: CallOptions,
}

#[derive(Clone, Copy)]
enum Kind {
    Create,
    Update,
    Upsert,
    Delete,
}

impl Kind {
    fn named(name: &str) -> PyResult<Kind> {
        match name {
            "create" => Ok(Kind::Create),
            "update" => Ok(Kind::Update),
            "upsert" => Ok(Kind::Upsert),
            "delete" => Ok(Kind::Delete),
            other => Err(PyValueError::new_err(format!("a batch cannot {other}"))),
        }
    }

    /// Is the record perhaps there already, so that what a model leaves unset stays?
    fn is_partial(self) -> bool {
        matches!(self, Kind::Update | Kind::Upsert)
    }
}

impl NativeBatch {
    pub(crate) fn new(handle: Handle) -> NativeBatch {
        NativeBatch { handle, writes: Mutex::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Arc<Write>>) -> T) -> T {
        work(&mut self.writes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The batch as the core has it.
    fn filled(&self, py: Python<'_>, mut batch: Batch, beside: &mut Beside) -> PyResult<Batch> {
        let writes = self.with(|writes| writes.clone());
        writes.iter().try_for_each(|write| write.put(py, &mut batch, beside))?;
        Ok(batch)
    }
}

impl Write {
    fn put(&self, py: Python<'_>, batch: &mut Batch, beside: &mut Beside) -> PyResult<()> {
        let body = self.body.as_ref().map(|parts| parts.open(py, beside)).transpose()?;
        let Body { json, files } = body.unwrap_or_else(|| Body { json: Json::null(), files: Vec::new() });
        let collection = batch.collection(&self.collection);
        let mut write = match self.kind {
            Kind::Create => collection.create(&json),
            Kind::Update => collection.update(&self.id, &json),
            Kind::Upsert => collection.upsert(&json),
            Kind::Delete => collection.delete(&self.id),
        };
        for (field, file) in files {
            write = write.file(&field, file);
        }
        write.options(self.options.clone());
        Ok(())
    }
}

#[pymethods]
impl NativeBatch {
    fn __len__(&self) -> usize {
        self.with(|writes| writes.len())
    }

    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the write")]
    fn add(
        &self,
        kind: &str,
        collection: Text,
        id: Text,
        body: Maybe<'_, '_>,
        expand: Maybe<'_, '_>,
        fields: Maybe<'_, '_>,
        given: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        if given.contains("timeout")? {
            return Err(PyTypeError::new_err("a write has no timeout of its own; pass it to send"));
        }
        let kind = Kind::named(kind)?;
        let options = options(given)?.named("expand", expand)?.named("fields", fields)?;
        let body = body.map(|body| Parts::of(body, kind.is_partial())).transpose()?;
        let write = Write { kind, collection: collection.0, id: id.0, body, options };
        self.with(|writes| writes.push(Arc::new(write)));
        Ok(())
    }

    /// All or none; pairs of status and body.
    fn send<'py>(&self, py: Python<'py>, given: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let options = options(given)?;
        let mut beside = Beside::default();
        let batch = self.filled(py, live.client.batch(), &mut beside)?;
        let call = batch.send().options(options).into_future();
        live.run_beside(py, call, beside, |py, done| Ok(results(py, &done)?.into_any().unbind()))
    }

    /// Chunk by chunk; what was done, and the error that ended it.
    fn send_chunked<'py>(
        &self,
        py: Python<'py>,
        size: Option<Count>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let options = options(given)?;
        let mut beside = Beside::default();
        let batch = self.filled(py, live.client.batch(), &mut beside)?;
        let size = size.map(|size| usize::try_from(size.0).unwrap_or(usize::MAX));
        let call = Box::pin(async move { Ok(batch.send_chunks_with(size, options).await) });
        live.run_beside(py, call, beside, |py, sent| {
            let error = sent.error.map(|error| error::exception(py, &error)).transpose()?;
            Ok(PyTuple::new(py, [results(py, &sent.results)?.into_any(), error.into_pyobject(py)?])?
                .into_any()
                .unbind())
        })
    }
}

fn results<'py>(py: Python<'py>, done: &[BatchResult]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for result in done {
        list.append((result.status, to_python(py, &result.body)?))?;
    }
    Ok(list)
}
