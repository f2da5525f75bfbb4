//! The options of a call as Python gives them: keyword arguments.

use std::time::Duration;

use picobase::{ErrorKind, action::CallOptions};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyMapping, PyString},
};

use crate::{body, error, kept::intern, value::query_value};

/// Reads `query`, `headers` and `timeout`; anything else is a mistake in the call, which Python's own words tell.
pub(crate) fn options(given: &Bound<'_, PyDict>) -> PyResult<CallOptions> {
    let mut out = CallOptions::default();
    for (name, value) in given {
        let name = name.cast::<PyString>()?.to_str()?;
        match name {
            "query" => each(&value, |name, value| {
                out.query.append(name, query_value(&value)?);
                Ok(())
            })?,
            "headers" => each(&value, |name, value| {
                if !value.is_none() {
                    out.headers.set(name, value.str()?.to_str()?);
                }
                Ok(())
            })?,
            "timeout" => out.timeout = timeout(&value)?,
            _ => return Err(PyTypeError::new_err(format!("unexpected keyword argument '{name}'"))),
        }
    }
    Ok(out)
}

/// A positional argument that is text: an id, a filter.
pub(crate) struct Text(pub(crate) String);

impl<'py> FromPyObject<'_, 'py> for Text {
    type Error = PyErr;

    #[cfg(feature = "inspect")]
    const INPUT_TYPE: pyo3::inspect::PyStaticExpr = <String as FromPyObject<'_, '_>>::INPUT_TYPE;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Text> {
        match given.cast::<PyString>() {
            Ok(given) => Ok(Text(body::text(&given)?.to_owned())),
            Err(_) => Err(PyTypeError::new_err(format!("expected a str, not {}", body::type_name(&given)))),
        }
    }
}

/// A positional argument that is a number of things: a page, a size.
pub(crate) struct Count(pub(crate) u32);

impl<'py> FromPyObject<'_, 'py> for Count {
    type Error = PyErr;

    #[cfg(feature = "inspect")]
    const INPUT_TYPE: pyo3::inspect::PyStaticExpr = <u32 as FromPyObject<'_, '_>>::INPUT_TYPE;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Count> {
        match given.extract::<i64>() {
            Ok(number) if number > 0 => Ok(Count(u32::try_from(number).unwrap_or(u32::MAX))),
            Ok(number) => Err(error::fail(
                given.py(),
                ErrorKind::Validation,
                &format!("pages and sizes are counted from 1, so {number} is none"),
                "Pass a whole number above 0.",
            )),
            Err(_) => Err(PyTypeError::new_err(format!("expected a number, not {}", body::type_name(&given)))),
        }
    }
}

/// A query parameter that has a keyword of its own; none is left out.
pub(crate) trait Named: Sized {
    fn named(self, name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Self>;

    /// The keywords of lists.
    fn listed<'a, 'py: 'a>(
        self,
        filter: Option<&'a Bound<'py, PyAny>>,
        sort: Option<&'a Bound<'py, PyAny>>,
        expand: Option<&'a Bound<'py, PyAny>>,
        fields: Option<&'a Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        self.named("filter", filter)?.named("sort", sort)?.named("expand", expand)?.named("fields", fields)
    }
}

impl Named for CallOptions {
    fn named(mut self, name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        if let Some(value) = value {
            // A list would be sent as JSON, of which the server makes an error, or nothing at all.
            if !value.is_instance_of::<PyString>() {
                let hint = if name == "filter" { "" } else { ": names with commas between them" };
                let message = format!("{name} must be a str, not {}{hint}", body::type_name(value));
                return Err(PyTypeError::new_err(message));
            }
            // What stands under `query` was named there by whoever wrote the call, and wins.
            if self.query.get(name).is_none() {
                self.query.set(name, query_value(value)?);
            }
        }
        Ok(self)
    }
}

/// Names and values of a mapping, or pairs of both: there a name may stand several times.
fn each(given: &Bound<'_, PyAny>, mut take: impl FnMut(&str, Bound<'_, PyAny>) -> PyResult<()>) -> PyResult<()> {
    if given.is_none() {
        return Ok(());
    }
    let pairs = match given.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) => given.clone(),
    };
    for pair in pairs.try_iter()? {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
        take(name.cast::<PyString>()?.to_str()?, value)?;
    }
    Ok(())
}

/// How long a call may take: seconds or a `timedelta`; none where the default is meant. 0 is without end.
pub(crate) fn timeout(given: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    duration(given, "timeout", "Pass a number of seconds or a timedelta; 0 for no limit.")
}

/// How long `name` lasts: seconds or a `timedelta`; none where the default is meant.
pub(crate) fn time(given: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<Duration>> {
    duration(given, name, "Pass a number of seconds, 0 or more, or a timedelta.")
}

fn duration(given: &Bound<'_, PyAny>, name: &str, fix: &str) -> PyResult<Option<Duration>> {
    if given.is_none() {
        return Ok(None);
    }
    let Some(seconds) = seconds(given)? else {
        let message = format!("{name} is a number of seconds or a timedelta, not {}", body::type_name(given));
        return Err(PyTypeError::new_err(message));
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) => Ok(Some(time)),
        Err(_) => {
            let message = format!("{name} cannot be {seconds} seconds");
            Err(error::fail(given.py(), ErrorKind::Validation, &message, fix))
        }
    }
}

fn seconds(given: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    if let Ok(seconds) = given.extract::<f64>() {
        return Ok(Some(seconds));
    }
    let total = given.getattr_opt(intern!(given.py(), "total_seconds"))?;
    total.map(|total| total.call0()?.extract()).transpose()
}
