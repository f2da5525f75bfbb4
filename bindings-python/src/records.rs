//! The records of a collection.

use std::{future::IntoFuture, sync::Arc};

use picobase::{
    Json,
    endpoints::RECORDS_LIST,
    records::{Collection, Write},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};

use crate::{
    body,
    client::{Handle, Live},
    json::{self, Decoder},
    options::{Named, options},
};

/// A collection of records, and how they become objects.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeRecords {
    handle: Handle,
    name: String,
    decoder: Decoder,
}

type Maybe<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

impl NativeRecords {
    pub(crate) fn new(handle: Handle, name: &str, decoder: Decoder) -> NativeRecords {
        NativeRecords { handle, name: name.to_owned(), decoder }
    }

    /// The collection in this process, and what runs its calls.
    fn open(&self, py: Python<'_>) -> PyResult<(Arc<Live>, Collection<Json>)> {
        let live = self.handle.live(py)?;
        let records = live.client.collection(&self.name).typed::<Json>();
        Ok((live, records))
    }
}

#[pymethods]
impl NativeRecords {
    fn get_one<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.named("expand", expand)?.named("fields", fields)?;
        let decoder = self.decoder.clone_ref(py);
        let call = records.get_one(id).options(options).into_future();
        live.run(py, call, move |py, record| Ok(decoder.one(py, &record)?.unbind()))
    }

    /// A page: its numbers and its records.
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn get_list<'py>(
        &self,
        py: Python<'py>,
        page: u32,
        per_page: u32,
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
            let call = call.query("page", page).query("perPage", per_page);
            let call = if skip_total { call.query("skipTotal", true) } else { call };
            return live
                .run(py, call.options(options).into_future(), |py, page| Ok(json::to_python(py, &page)?.unbind()));
        }
        let call = records.get_list(page, per_page);
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
        filter: &str,
        sort: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.listed(None, sort, expand, fields)?;
        let decoder = self.decoder.clone_ref(py);
        let call = records.get_first_list_item(filter).options(options).into_future();
        live.run(py, call, move |py, record| Ok(decoder.one(py, &record)?.unbind()))
    }

    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn get_full_list<'py>(
        &self,
        py: Python<'py>,
        batch_size: Option<u32>,
        filter: Maybe<'_, 'py>,
        sort: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.listed(filter, sort, expand, fields)?;
        let decoder = self.decoder.clone_ref(py);
        let list = records.get_full_list().options(options);
        let list = if let Some(size) = batch_size { list.batch_size(size) } else { list };
        live.run(py, list.into_future(), move |py, items| {
            Ok(PyList::new(py, decoder.all(py, &items)?)?.into_any().unbind())
        })
    }

    fn create<'py>(
        &self,
        py: Python<'py>,
        body: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        safe_retry: bool,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.named("expand", expand)?.named("fields", fields)?;
        let body = body::body(body)?;
        let write = files(records.create(&body.json).options(options), body.files, safe_retry);
        let decoder = self.decoder.clone_ref(py);
        live.run(py, write.into_future(), move |py, record| Ok(decoder.one(py, &record)?.unbind()))
    }

    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn update<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        body: Maybe<'_, 'py>,
        expand: Maybe<'_, 'py>,
        fields: Maybe<'_, 'py>,
        safe_retry: bool,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        let options = options(given)?.named("expand", expand)?.named("fields", fields)?;
        let body = body::body(body)?;
        let write = files(records.update(id, &body.json).options(options), body.files, safe_retry);
        let decoder = self.decoder.clone_ref(py);
        live.run(py, write.into_future(), move |py, record| Ok(decoder.one(py, &record)?.unbind()))
    }

    fn delete<'py>(&self, py: Python<'py>, id: &str, given: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let (live, records) = self.open(py)?;
        live.nothing(py, records.delete(id).options(options(given)?).into_future())
    }
}

fn files(mut write: Write<Json>, files: Vec<(String, picobase::files::FileSource)>, safe_retry: bool) -> Write<Json> {
    for (field, source) in files {
        write = write.file(&field, source);
    }
    if safe_retry { write.safe_retry() } else { write }
}
