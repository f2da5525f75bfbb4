//! The options of a call as Python gives them: keyword arguments.

use std::{ops::Deref, time::Duration};

use picobase::{ErrorKind, action::CallOptions};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyInt, PyMapping, PyString},
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
                    out.headers.set(name, body::text(&value.str()?)?);
                }
                Ok(())
            })?,
            "timeout" => out.timeout = timeout(&value)?,
            _ => return Err(PyTypeError::new_err(format!("unexpected keyword argument '{name}'"))),
        }
    }
    Ok(out)
}

/// An argument that is text: an id, a filter, a password. What no text can say is told in words of our own, since an
/// exception of Python's would have the text in it.
pub(crate) struct Text(pub(crate) String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

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
        match integer(&given)? {
            Some(number) if number > 0 => Ok(Count(u32::try_from(number).unwrap_or(u32::MAX))),
            Some(number) => Err(error::fail(
                given.py(),
                ErrorKind::Validation,
                &format!("pages and sizes are counted from 1, so {number} is none"),
                "Pass a whole number above 0.",
            )),
            None => Err(PyTypeError::new_err(format!("expected a number, not {}", body::type_name(&given)))),
        }
    }
}

/// A keyword argument that says how many there may be; the core says where 0 is too few.
pub(crate) struct Limit(pub(crate) u32);

impl<'py> FromPyObject<'_, 'py> for Limit {
    type Error = PyErr;

    #[cfg(feature = "inspect")]
    const INPUT_TYPE: pyo3::inspect::PyStaticExpr = <u32 as FromPyObject<'_, '_>>::INPUT_TYPE;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Limit> {
        whole(&given, "a limit", ErrorKind::Validation).map(Limit)
    }
}

/// How many times or things `name` stands for.
pub(crate) fn whole(given: &Bound<'_, PyAny>, name: &str, kind: ErrorKind) -> PyResult<u32> {
    match integer(given)? {
        Some(number) if number >= 0 => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Some(number) => {
            let message = format!("{name} cannot be {number}");
            Err(error::fail(given.py(), kind, &message, "Pass a whole number, 0 or more."))
        }
        None => Err(PyTypeError::new_err(format!("{name} must be an int, not {}", body::type_name(given)))),
    }
}

/// The whole number that this is, or the nearest there is; none for anything else.
fn integer(given: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    match given.extract() {
        Ok(number) => Ok(Some(number)),
        Err(_) if given.is_instance_of::<PyInt>() => Ok(Some(if given.lt(0)? { i64::MIN } else { i64::MAX })),
        Err(_) => Ok(None),
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
    duration(given, "timeout", ErrorKind::Validation, "Pass a number of seconds or a timedelta; 0 for no limit.")
}

/// How long `name` lasts: seconds or a `timedelta`; none where the default is meant.
pub(crate) fn time(given: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<Duration>> {
    duration(given, name, ErrorKind::Validation, "Pass a number of seconds, 0 or more, or a timedelta.")
}

/// How long `name` lasts, an option of the client's.
pub(crate) fn option(given: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<Duration>> {
    let fix = "Pass a number of seconds or a timedelta, or leave it out for the default.";
    duration(given, name, ErrorKind::Configuration, fix)
}

fn duration(given: &Bound<'_, PyAny>, name: &str, kind: ErrorKind, fix: &str) -> PyResult<Option<Duration>> {
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
            Err(error::fail(given.py(), kind, &message, fix))
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
