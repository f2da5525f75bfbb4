//! JSON of the core as Python objects, in one pass.

use jiter::{PartialMode, PythonParse, StringCacheMode};
use picobase::{Error, ErrorKind, Json};
use pyo3::{prelude::*, types::PyBytes};

use crate::error;

/// How answers are read: names of members are shared, for they repeat with each record; values are not.
const PARSE: PythonParse = PythonParse {
    allow_inf_nan: false,
    cache_mode: StringCacheMode::Keys,
    partial_mode: PartialMode::Off,
    catch_duplicate_keys: false,
    float_mode: jiter::FloatMode::Float,
};

/// The value as `json.loads` would give it.
pub(crate) fn to_python<'py>(py: Python<'py>, json: &Json) -> PyResult<Bound<'py, PyAny>> {
    let text = json.as_text();
    PARSE.python_parse(py, text.as_bytes()).map_err(|e| {
        let message = format!("the answer is not JSON: {}", e.description(text.as_bytes()));
        error::raise(py, &Error::new(ErrorKind::Decode, message))
    })
}

/// How the records of a collection become objects: dicts, or whatever a function of Python makes of their bytes.
#[derive(Default)]
pub(crate) struct Decoder(Option<Py<PyAny>>);

impl Decoder {
    pub(crate) fn new(function: Option<Py<PyAny>>) -> Decoder {
        Decoder(function)
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Decoder {
        Decoder(self.0.as_ref().map(|function| function.clone_ref(py)))
    }

    /// Are records plain dicts, so that a page can be read as a whole?
    pub(crate) fn is_plain(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn one<'py>(&self, py: Python<'py>, json: &Json) -> PyResult<Bound<'py, PyAny>> {
        match &self.0 {
            None => to_python(py, json),
            Some(function) => function.bind(py).call1((PyBytes::new(py, json.as_text().as_bytes()),)),
        }
    }

    pub(crate) fn all<'py>(&self, py: Python<'py>, items: &[Json]) -> PyResult<Vec<Bound<'py, PyAny>>> {
        items.iter().map(|item| self.one(py, item)).collect()
    }
}
