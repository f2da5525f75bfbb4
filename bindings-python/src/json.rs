//! JSON of the core as Python objects, in one pass.

use jiter::{PartialMode, PythonParse, StringCacheMode};
use picobase::{Error, ErrorKind, Json};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyTuple},
};

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
    parsed(py, json.as_text().as_bytes())
}

fn parsed<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    PARSE.python_parse(py, text).map_err(|e| {
        let message = format!("the answer is not JSON: {}", e.description(text));
        error::raise(py, &Error::new(ErrorKind::Decode, message))
    })
}

/// The JSON of these bytes as dicts and lists, for decoders that are written in Python.
#[pyfunction]
pub(crate) fn loads<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    parsed(py, text)
}

/// The record with null for the empty text of members that have no value. `members` names them: true, or those inside a
/// member, whose lists and maps may hold several. None where nothing is to be changed.
#[pyfunction]
pub(crate) fn without_unset<'py>(
    py: Python<'py>,
    text: &[u8],
    members: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let json = Json::parse(text.to_vec()).map_err(|e| error::raise(py, &e))?;
    Ok(nulled(&json, members)?.map(|json| PyBytes::new(py, json.as_text().as_bytes())))
}

fn nulled(json: &Json, members: &Bound<'_, PyDict>) -> PyResult<Option<Json>> {
    let mut is_changed = false;
    let mut changed = |value: Json, inside: Option<Bound<'_, PyAny>>| -> PyResult<Json> {
        let new = match inside {
            Some(inside) => nulled_member(&value, &inside)?,
            None => None,
        };
        is_changed |= new.is_some();
        Ok(new.unwrap_or(value))
    };
    let mut out = Vec::new();
    for (name, value) in json.members() {
        let value = changed(value, members.get_item(&name)?)?;
        out.push((name, value));
    }
    Ok(is_changed.then(|| Json::object(out)))
}

/// A member, or what is in it. `inside` is true, the members of the object, or in a list what all its items are.
fn nulled_member(value: &Json, inside: &Bound<'_, PyAny>) -> PyResult<Option<Json>> {
    if let Ok(members) = inside.cast::<PyDict>() {
        return nulled(value, members);
    }
    if let Ok(each) = inside.cast::<PyTuple>() {
        return nulled_items(value, &each.get_item(0)?);
    }
    Ok((value.as_text() == "\"\"").then(Json::null))
}

/// The items of a list, or the values of a map.
fn nulled_items(value: &Json, each: &Bound<'_, PyAny>) -> PyResult<Option<Json>> {
    let mut is_changed = false;
    let mut changed = |value: Json| -> PyResult<Json> {
        let new = nulled_member(&value, each)?;
        is_changed |= new.is_some();
        Ok(new.unwrap_or(value))
    };
    let new = if value.is_object() {
        let members: PyResult<Vec<_>> =
            value.members().into_iter().map(|(name, item)| Ok((name, changed(item)?))).collect();
        Json::object(members?)
    } else {
        Json::array(value.items().into_iter().map(changed).collect::<PyResult<Vec<_>>>()?)
    };
    Ok(is_changed.then_some(new))
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
        let Some(function) = &self.0 else { return to_python(py, json) };
        function.bind(py).call1((PyBytes::new(py, json.as_text().as_bytes()),))
    }

    /// The records as a list.
    pub(crate) fn all<'py>(&self, py: Python<'py>, items: &[Json]) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for item in items {
            list.append(self.one(py, item)?)?;
        }
        Ok(list)
    }
}
