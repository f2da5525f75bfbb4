//! The records of a collection.

use std::{future::IntoFuture, sync::Arc};

use picobase::{
    ErrorKind, Json,
    action::CallOptions,
    endpoints::RECORDS_LIST,
    records::{Collection, FullList, RecordStream, Write},
};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyString},
};
use tokio::sync::Mutex;

use crate::{
    beside::Beside,
    body::{self, Body},
    client::{Handle, Live},
    error,
    fork::Owned,
    json::{self, Decoder},
    live,
    options::{Count, Limit, Named, Text, options, time},
    progress::{self, Watched},
    realtime::{NativeFeed, Wanted},
};

/// A collection of records, and how they become objects.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeRecords {
    handle: Handle,
    name: String,
    decoder: Decoder,
}

pub(crate) type Maybe<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

impl NativeRecords {
    pub(crate) fn new(handle: Handle, name: String, decoder: Decoder) -> NativeRecords {
        NativeRecords { handle, name, decoder }
    }

    /// The collection in this process, and what runs its calls.
    fn open(&self, py: Python<'_>) -> PyResult<(Arc<Live>, Collection<Json>)> {
        let live = self.handle.live(py)?;
        let records = live.client.collection(&self.name).typed::<Json>();
        Ok((live, records))
    }

    fn write<'py>(
        &self,
        py: Python<'py>,
        live: &Live,
        write: Write<Json>,
        files: Vec<(String, picobase::files::FileSource)>,
        how: How<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut write = write.options(how.options);
        for (field, source) in files {
            write = write.file(&field, source);
        }
        if how.safe_retry {
            write = write.safe_retry();
        }
        let watched = Watched::new(py, how.on_progress, self.handle.is_blocking())?;
        if let Some(watched) = &watched {
            write = write.on_progress(watched.listener(py));
        }
        let decoder = self.decoder.clone_ref(py);
        progress::run(live, py, write.into_future(), how.beside, watched, move |py, record| {
            Ok(decoder.one(py, &record)?.unbind())
        })
    }
}

/// How a record is written.
struct How<'a, 'py> {
    options: CallOptions,
    safe_retry: bool,
    on_progress: Maybe<'a, 'py>,
    beside: Beside,
}

#[pymethods]
impl NativeRecords {
    fn get_one<'py>(
        &self,
        py: Python<'py>,
        id: Text,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.named("expand", expand)?.named("fields", fields)?;
        let decoder = self.decoder.clone_ref(py);
        let call = records.get_one(&id.0).options(options).into_future();
        live.run(py, call, move |py, record| Ok(decoder.one(py, &record)?.unbind()))
    }

    /// A page: its numbers and its records.
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn get_list<'py>(
        &self,
        py: Python<'py>,
        page: Count,
        per_page: Count,
        filter: Maybe<'_, 'py>,
        sort: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        skip_total: bool,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.listed(filter, sort, expand, fields)?;
        let decoder = self.decoder.clone_ref(py);
        if decoder.is_plain() {
            // The page as it came, read in one pass.
            let call = live.client.row::<Json>(RECORDS_LIST.number, &[&self.name]);
            let call = call.query("page", page.0).query("perPage", per_page.0);
            let call = if skip_total { call.query("skipTotal", true) } else { call };
            return live
                .run(py, call.options(options).into_future(), |py, page| Ok(json::to_python(py, &page)?.unbind()));
        }
        let call = records.get_list(page.0, per_page.0);
        let call = if skip_total { call.skip_total() } else { call };
        live.run(py, call.options(options).into_future(), move |py, page| {
            let out = PyDict::new(py);
            out.set_item("page", page.page)?;
            out.set_item("perPage", page.per_page)?;
            out.set_item("totalItems", page.total_items)?;
            out.set_item("totalPages", page.total_pages)?;
            out.set_item("items", decoder.all(py, &page.items)?)?;
            Ok(out.into_any().unbind())
        })
    }

    fn get_first_list_item<'py>(
        &self,
        py: Python<'py>,
        filter: Text,
        sort: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.listed(None, sort, expand, fields)?;
        let decoder = self.decoder.clone_ref(py);
        let call = records.get_first_list_item(&filter.0).options(options).into_future();
        live.run(py, call, move |py, record| Ok(decoder.one(py, &record)?.unbind()))
    }

    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn get_full_list<'py>(
        &self,
        py: Python<'py>,
        batch_size: Option<Count>,
        filter: Maybe<'_, 'py>,
        sort: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.listed(filter, sort, expand, fields)?;
        let decoder = self.decoder.clone_ref(py);
        let list = sized(records.get_full_list().options(options), batch_size);
        live.run(py, list.into_future(), move |py, items| Ok(decoder.all(py, &items)?.into_any().unbind()))
    }

    /// A walk through all records, which asks for nothing yet.
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn iterate(
        &self,
        py: Python<'_>,
        batch_size: Option<Count>,
        filter: Maybe<'_, '_>,
        sort: Maybe<'_, '_>,
        expand: Maybe<'_, '_>,
        fields: Maybe<'_, '_>,
        given: &Bound<'_, PyDict>,
    ) -> PyResult<NativeWalk> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.listed(filter, sort, expand, fields)?;
        let walk = sized(records.iterate().options(options), batch_size).stream();
        let walk = Owned::new((live, Arc::new(Mutex::new(Some(walk)))));
        Ok(NativeWalk { walk, decoder: self.decoder.clone_ref(py) })
    }

    /// The records of these ids, and the ids that are missing.
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if ids.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("expected several ids, not a str; for one there is get_one"));
        }
        let (live, records) = self.open(py)?;
        let options = options(given)?.named("expand", expand)?.named("fields", fields)?;
        let ids: Vec<String> = ids.try_iter()?.map(|id| Ok(id?.extract::<Text>()?.0)).collect::<PyResult<_>>()?;
        let decoder = self.decoder.clone_ref(py);
        live.run(py, records.get_many(ids).options(options).into_future(), move |py, many| {
            Ok((decoder.all(py, &many.records)?, many.missing).into_pyobject(py)?.into_any().unbind())
        })
    }

    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn create<'py>(
        &self,
        py: Python<'py>,
        body: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        safe_retry: bool,
        on_progress: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.named("expand", expand)?.named("fields", fields)?;
        let mut beside = Beside::default();
        let Body { json, files } = body::body(body, &mut beside)?;
        self.write(py, &live, records.create(&json), files, How { options, safe_retry, on_progress, beside })
    }

    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn update<'py>(
        &self,
        py: Python<'py>,
        id: Text,
        body: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        safe_retry: bool,
        on_progress: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.named("expand", expand)?.named("fields", fields)?;
        let mut beside = Beside::default();
        let Body { json, files } = body::changes(body, &mut beside)?;
        self.write(py, &live, records.update(&id.0, &json), files, How { options, safe_retry, on_progress, beside })
    }

    fn delete<'py>(&self, py: Python<'py>, id: Text, given: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        live.nothing(py, records.delete(&id.0).options(options(given)?).into_future())
    }

    /// The events of a record, or of all of them: `*`.
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn subscribe<'py>(
        &self,
        py: Python<'py>,
        topic: Text,
        filter: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        queue_max: Option<Limit>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<NativeFeed> {
        let (live, records) = self.open(py)?;
        let wanted = Wanted::read(filter, expand, fields, queue_max, given)?;
        Ok(NativeFeed::topic(live, self.decoder.clone_ref(py), wanted, move |_| records.subscribe(&topic)))
    }

    /// Ends the subscriptions of a topic, or all of this collection.
    fn unsubscribe(&self, py: Python<'_>, topic: Option<Text>) -> PyResult<()> {
        let (_, records) = self.open(py)?;
        match topic {
            Some(topic) => records.unsubscribe(&topic),
            None => records.unsubscribe_all(),
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn live<'py>(
        &self,
        py: Python<'py>,
        filter: Maybe<'_, 'py>,
        sort: Maybe<'_, 'py>,
        limit: Option<Limit>,
        recheck_every: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<NativeFeed> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.listed(filter, sort, expand, fields)?;
        let recheck_every = recheck_every.map(|given| time(given, "recheck_every")).transpose()?.flatten();
        let asked = live::Asked { options, limit: limit.map(|limit| limit.0), recheck_every };
        Ok(live::live(live, records, self.decoder.clone_ref(py), asked))
    }
}

fn sized(list: FullList<Json>, batch_size: Option<Count>) -> FullList<Json> {
    match batch_size {
        Some(size) => list.batch_size(size.0),
        None => list,
    }
}

/// What is left of a walk; one page at a time is asked for. Whoever waits for a page has it: if that is cancelled, the
/// requests end with it, whatever holds on to the walk.
type Walk = Arc<Mutex<Option<RecordStream<Json>>>>;

/// A walk through all records, page by page.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeWalk {
    walk: Owned<(Arc<Live>, Walk)>,
    decoder: Decoder,
}

#[pymethods]
impl NativeWalk {
    /// The records that are there, at least one; `None` at the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some((live, walk)) = self.walk.get() else {
            let message = "a walk that was begun before a fork belongs to the parent process";
            return Err(error::fail(py, ErrorKind::Configuration, message, "Begin it in the child process anew."));
        };
        let (walk, decoder) = (walk.clone(), self.decoder.clone_ref(py));
        let page = Box::pin(async move {
            let mut place = walk.lock().await;
            let Some(mut walk) = place.take() else { return Ok(Vec::new()) };
            let page = walk.next_page().await?;
            *place = Some(walk);
            Ok(page)
        });
        live.run(py, page, move |py, records| {
            if records.is_empty() { Ok(py.None()) } else { Ok(decoder.all(py, &records)?.into_any().unbind()) }
        })
    }
}
