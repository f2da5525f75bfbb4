//! Errors of the core as exceptions of Python. Their classes are written in Python (`picobase/_errors.py`), since a stable
//! ABI knows no exceptions with fields.

use picobase::{Error, ErrorKind, FieldError};
use pyo3::{exceptions::PyException, prelude::*, types::PyDict};

use crate::{
    json,
    kept::{Kept, intern, member},
};

/// `picobase._errors.make`: the exception of these parts.
static MAKE: Kept = Kept::new();

/// The exception that says what the error says.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    // What ends a program, Ctrl-C for example, is no error of a call.
    if let Some(raised) = cause(error).filter(|raised| !raised.is_instance_of::<PyException>(py)) {
        return raised.clone_ref(py);
    }
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(broken) => broken,
    }
}

/// An error of the binding's own.
pub(crate) fn fail(py: Python<'_>, kind: ErrorKind, message: &str, fix: &str) -> PyErr {
    raise(py, &Error::new(kind, message).with_fix(fix))
}

/// The exception itself, to be kept rather than raised.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let make = member(py, &MAKE, "picobase._errors", "make")?;
    let fields = PyDict::new(py);
    for (name, field) in error.fields() {
        fields.set_item(name, described(py, field)?)?;
    }
    let parts = PyDict::new(py);
    parts.set_item(intern!(py, "message"), error.message())?;
    parts.set_item(intern!(py, "status"), error.status())?;
    parts.set_item(intern!(py, "code"), error.code())?;
    parts.set_item(intern!(py, "fields"), fields)?;
    parts.set_item(intern!(py, "fix"), error.fix())?;
    parts.set_item(intern!(py, "url"), error.url())?;
    parts.set_item(intern!(py, "attempts"), error.attempts())?;
    parts.set_item(intern!(py, "retry_after"), error.retry_after().map(|time| time.as_secs_f64()))?;
    parts.set_item(intern!(py, "mfa_id"), error.mfa_id())?;
    parts.set_item(intern!(py, "body"), error.body())?;
    parts.set_item(intern!(py, "item"), error.item())?;
    parts.set_item(intern!(py, "maybe_created"), error.maybe_created())?;
    let exception = make.call1((error.kind().as_str(), parts))?;
    if let Some(raised) = cause(error) {
        exception.setattr(intern!(py, "__cause__"), raised.value(py))?;
    }
    Ok(exception)
}

/// What a function of the user's raised.
fn cause(error: &Error) -> Option<&PyErr> {
    std::error::Error::source(error)?.downcast_ref::<PyErr>()
}

/// Code, message and parameters of a refused field.
fn described<'py>(py: Python<'py>, field: &FieldError) -> PyResult<(String, String, Bound<'py, PyAny>)> {
    let params = match &field.params {
        Some(params) => json::to_python(py, params)?,
        None => PyDict::new(py).into_any(),
    };
    Ok((field.code.clone(), field.message.clone(), params))
}

/// What a Python function of the user raised, as an error of the core: `kind` says where it happened. One that came from
/// us is that error again. The exception itself is its cause.
pub(crate) fn of_python(py: Python<'_>, kind: ErrorKind, doing: &str, raised: &PyErr) -> Error {
    let value = raised.value(py);
    let text = |name: &str| value.getattr(name).ok().and_then(|value| value.extract::<String>().ok());
    let error = match (text("kind").as_deref().and_then(ErrorKind::named), text("message"), text("fix")) {
        (Some(kind), Some(message), Some(fix)) => Error::new(kind, message).with_fix(fix),
        _ => Error::new(kind, format!("{doing} failed: {raised}")),
    };
    error.with_source(raised.clone_ref(py))
}
