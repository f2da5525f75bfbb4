//! Values of Python as parameters of queries and filters.

use picobase::url::QueryValue;
use pyo3::{
    prelude::*,
    types::{PyBool, PyFloat, PyInt, PyString},
};

use crate::body;

/// A parameter: text, numbers, booleans, `None`, dates, and whatever has a JSON form.
pub(crate) fn query_value(value: &Bound<'_, PyAny>) -> PyResult<QueryValue> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return Ok(QueryValue::Text(text.to_str()?.to_owned()));
    }
    if value.is_none() {
        return Ok(QueryValue::Null);
    }
    if let Ok(flag) = value.cast_exact::<PyBool>() {
        return Ok(QueryValue::Bool(flag.is_true()));
    }
    if value.is_exact_instance_of::<PyInt>()
        && let Ok(number) = value.extract::<i64>()
    {
        return Ok(QueryValue::Int(number));
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return Ok(QueryValue::Float(number.value()));
    }
    if let Some(moment) = body::moment(value)? {
        return Ok(QueryValue::Date(moment));
    }
    body::json(value).map(QueryValue::Json)
}
