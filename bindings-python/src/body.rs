//! Objects of Python as JSON: dicts and lists as they are, dates in the server's form, and whatever else
//! `picobase._encode` makes plain. The files of a body go beside it.

use picobase::{Error, ErrorKind, Json, files::FileSource, url::date};
use pyo3::{
    exceptions::PyTypeError,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType},
};

use crate::{error, source};

/// How deep a body may be nested; a list that holds itself ends here.
const DEPTH_MAX: usize = 100;

static PLAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static FILE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static MILLIS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static DATE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// A function of `picobase._encode`, which is imported when it is first needed.
fn function<'py>(py: Python<'py>, kept: &PyOnceLock<Py<PyAny>>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let found =
        kept.get_or_try_init(py, || PyResult::Ok(py.import(intern!(py, "picobase._encode"))?.getattr(name)?.unbind()))?;
    Ok(found.bind(py).clone())
}

/// What a record is created or changed with.
pub(crate) struct Body {
    pub(crate) json: Json,
    pub(crate) files: Vec<(String, FileSource)>,
}

/// Splits a body into its JSON and its files. Names of files that stand in a list with new ones stay in the JSON.
pub(crate) fn body(given: Option<&Bound<'_, PyAny>>) -> PyResult<Body> {
    let Some(given) = given else { return Ok(Body { json: Json::object::<&str>([]), files: Vec::new() }) };
    let py = given.py();
    let plain = match given.cast::<PyDict>() {
        Ok(dict) => dict.clone(),
        Err(_) => match function(py, &PLAIN, "plain")?.call1((given,))?.cast_into::<PyDict>() {
            Ok(dict) => dict,
            Err(_) => return Err(no_object(given)),
        },
    };
    let (mut out, mut files) = (Writer::default(), Vec::new());
    out.open('{');
    for (name, value) in &plain {
        let name = name.cast::<PyString>().map_err(|_| no_name(&name))?;
        field(&mut out, &mut files, name.to_str()?, &value)?;
    }
    out.close('}');
    Ok(Body { json: out.finish(py)?, files })
}

fn field(
    out: &mut Writer,
    files: &mut Vec<(String, FileSource)>,
    name: &str,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    if let Some(file) = file(value, name)? {
        files.push((name.to_owned(), file));
        return Ok(());
    }
    let Ok(list) = value.cast::<PyList>() else {
        out.key(name);
        return out.value(value, 1);
    };
    let mut rest = Vec::with_capacity(list.len());
    let before = files.len();
    for item in list {
        match file(&item, name)? {
            Some(file) => files.push((name.to_owned(), file)),
            None => rest.push(item),
        }
    }
    if files.len() > before && rest.is_empty() {
        return Ok(());
    }
    out.key(name);
    out.list(rest.into_iter(), 1)
}

/// The file, if the value is one: bytes, a path, an open file, `picobase.File`, an upload of a web framework.
pub(crate) fn file(value: &Bound<'_, PyAny>, field: &str) -> PyResult<Option<FileSource>> {
    if is_scalar(value) || value.is_exact_instance_of::<PyDict>() || value.is_exact_instance_of::<PyList>() {
        return Ok(None);
    }
    let described = function(value.py(), &FILE, "file")?.call1((value, field))?;
    if described.is_none() { Ok(None) } else { source::source(&described).map(Some) }
}

fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || value.is_none()
        || value.is_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
}

/// Any value as JSON.
pub(crate) fn json(value: &Bound<'_, PyAny>) -> PyResult<Json> {
    let mut out = Writer::default();
    out.value(value, 0)?;
    out.finish(value.py())
}

/// The moment in milliseconds since the Unix epoch, if the value is a date or a datetime.
pub(crate) fn moment(value: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    let py = value.py();
    if !value.is_instance(DATE.import(py, "datetime", "date")?)? {
        return Ok(None);
    }
    function(py, &MILLIS, "millis")?.call1((value,))?.extract().map(Some)
}

/// JSON text as it is written.
#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        if depth > DEPTH_MAX {
            return Err(invalid(
                value,
                "the body is nested too deep",
                "Pass less than 100 levels, none of them inside itself.",
            ));
        }
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.string(text.to_str()?);
        } else if value.is_none() {
            self.text.push_str("null");
        } else if let Ok(flag) = value.cast_exact::<PyBool>() {
            self.text.push_str(if flag.is_true() { "true" } else { "false" });
        } else if value.is_exact_instance_of::<PyInt>() {
            self.text.push_str(value.str()?.to_str()?);
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            self.number(value, number.value())?;
        } else if let Ok(dict) = value.cast::<PyDict>() {
            self.dict(dict, depth)?;
        } else if let Ok(list) = value.cast::<PyList>() {
            self.list(list.iter(), depth)?;
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.list(tuple.iter(), depth)?;
        } else {
            self.other(value, depth)?;
        }
        Ok(())
    }

    fn other(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        if let Some(moment) = moment(value)? {
            let Some(text) = date(moment) else {
                return Err(invalid(value, "the date has no form on the server", "Pass one of the years 1 to 9999."));
            };
            self.string(&text);
            return Ok(());
        }
        if let Ok(number) = value.cast::<PyBytes>() {
            let message = format!("{} stands where JSON is expected", number.get_type().name()?);
            return Err(invalid(value, &message, "Put files into fields of the record itself, not deeper."));
        }
        let plain = function(value.py(), &PLAIN, "plain")?.call1((value,))?;
        self.value(&plain, depth.saturating_add(1))
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> PyResult<()> {
        self.open('{');
        for (name, value) in dict {
            let name = name.cast::<PyString>().map_err(|_| no_name(&name))?;
            self.key(name.to_str()?);
            self.value(&value, depth.saturating_add(1))?;
        }
        self.close('}');
        Ok(())
    }

    fn list<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> PyResult<()> {
        self.open('[');
        for item in items {
            self.comma();
            self.value(&item, depth.saturating_add(1))?;
        }
        self.close(']');
        Ok(())
    }

    fn number(&mut self, value: &Bound<'_, PyAny>, number: f64) -> PyResult<()> {
        if !number.is_finite() {
            return Err(invalid(value, "JSON has no NaN and no infinity", "Pass None, or a finite number."));
        }
        self.text.push_str(value.repr()?.to_str()?);
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.text.push_str(Json::string(text).as_text());
    }

    fn key(&mut self, name: &str) {
        self.comma();
        self.string(name);
        self.text.push(':');
    }

    fn comma(&mut self) {
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
    }

    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
    }

    fn close(&mut self, bracket: char) {
        self.text.push(bracket);
    }

    fn finish(self, py: Python<'_>) -> PyResult<Json> {
        Json::parse(self.text).map_err(|e| error::raise(py, &e))
    }
}

fn invalid(value: &Bound<'_, PyAny>, message: &str, fix: &str) -> PyErr {
    error::fail(value.py(), ErrorKind::Validation, message, fix)
}

fn no_name(name: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("names in JSON are strings, not {}", name.get_type()))
}

fn no_object(given: &Bound<'_, PyAny>) -> PyErr {
    let message = format!("a record cannot be made of {}", given.get_type());
    let error = Error::new(ErrorKind::Validation, message).with_fix("Pass a dict, a dataclass or a model.");
    error::raise(given.py(), &error)
}
