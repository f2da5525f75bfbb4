//! Values of Python as parameters of queries and filters.

use picobase::url::QueryValue;
use pyo3::{
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple},
};

use crate::{body, error, options::Text};

/// A parameter: text, numbers, booleans, `None`, dates, and whatever has a JSON form.
pub(crate) fn query_value(value: &Bound<'_, PyAny>) -> PyResult<QueryValue> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return Ok(QueryValue::Text(body::text(text)?.to_owned()));
    }
    if value.is_none() {
        return Ok(QueryValue::Null);
    }
    if let Ok(flag) = value.cast_exact::<PyBool>() {
        return Ok(QueryValue::Bool(flag.is_true()));
    }
    if value.is_exact_instance_of::<PyInt>() {
        return match value.extract::<i64>() {
            Ok(number) => Ok(QueryValue::Int(number)),
            Err(_) => body::json(value).map(QueryValue::Json),
        };
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return Ok(QueryValue::Float(number.value()));
    }
    if let Some(moment) = body::moment(value)? {
        return Ok(QueryValue::Date(moment));
    }
    if is_tree(value) {
        return body::json(value).map(QueryValue::Json);
    }
    // Enums, identifiers, decimals, subclasses of str: what they stand for decides.
    let plain = body::plain(value)?;
    if is_tree(&plain) { body::json(&plain).map(QueryValue::Json) } else { query_value(&plain) }
}

fn is_tree(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyDict>() || value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>()
}

/// The values of a filter's placeholders.
pub(crate) fn params(given: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<(String, QueryValue)>> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for pair in given.cast::<PyMapping>()?.items()? {
        let (name, value): (String, Bound<'_, PyAny>) = pair.extract()?;
        out.push((name, query_value(&value)?));
    }
    Ok(out)
}

/// A filter with its values put in, for the newest servers.
#[pyfunction]
pub(crate) fn filter(py: Python<'_>, template: Text, given: Option<&Bound<'_, PyAny>>) -> PyResult<String> {
    let params = params(given)?;
    let params = params.iter().map(|(name, value)| (name.as_str(), value.clone()));
    picobase::filter(&template, params).map_err(|e| error::raise(py, &e))
}
