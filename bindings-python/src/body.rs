//! Objects of Python as JSON: dicts and lists as they are, dates in the server's form, and whatever else
//! `picobase._encode` makes plain. The files of a body go beside it.

use std::fmt::Write as _;

use picobase::{ErrorKind, Json, files::FileSource, url::date};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};

use crate::{
    beside::Beside,
    error,
    kept::{Kept, member},
    source,
};

/// How deep a body may be nested; a list that holds itself ends here.
const DEPTH_MAX: usize = 100;

static PLAIN: Kept = Kept::new();
static FILE: Kept = Kept::new();
static MILLIS: Kept = Kept::new();
static DATE: Kept = Kept::new();

/// A function of `picobase._encode`, which is imported when it is first needed.
fn function<'py>(py: Python<'py>, kept: &Kept, name: &str) -> PyResult<Bound<'py, PyAny>> {
    member(py, kept, "picobase._encode", name)
}

/// What a record is created or changed with.
pub(crate) struct Body {
    pub(crate) json: Json,
    pub(crate) files: Vec<(String, FileSource)>,
}

/// Splits a body into its JSON and its files. Names of files that stand in a list with new ones stay in the JSON.
pub(crate) fn body(given: Option<&Bound<'_, PyAny>>, beside: &mut Beside) -> PyResult<Body> {
    split(given, false, beside)
}

/// [`body`] of a record that is there already: of a model only what was set.
pub(crate) fn changes(given: Option<&Bound<'_, PyAny>>, beside: &mut Beside) -> PyResult<Body> {
    split(given, true, beside)
}

fn split(given: Option<&Bound<'_, PyAny>>, is_partial: bool, beside: &mut Beside) -> PyResult<Body> {
    match given {
        Some(given) => Parts::of(given, is_partial)?.open(given.py(), beside),
        None => Ok(Body { json: Json::object::<&str>([]), files: Vec::new() }),
    }
}

/// A body as it was when it was given; its files are not opened.
pub(crate) struct Parts {
    json: Json,
    files: Vec<(String, Py<PyAny>)>,
}

impl Parts {
    /// Takes a body apart: into its JSON, and what `picobase._encode.file` says of each file.
    pub(crate) fn of(given: &Bound<'_, PyAny>, is_partial: bool) -> PyResult<Parts> {
        let py = given.py();
        let plain = match given.cast::<PyDict>() {
            Ok(dict) => dict.clone(),
            Err(_) => match function(py, &PLAIN, "plain")?.call1((given, is_partial))?.cast_into::<PyDict>() {
                Ok(dict) => dict,
                Err(_) => return Err(no_object(given)),
            },
        };
        let (mut out, mut files) = (Writer::default(), Vec::new());
        out.open('{');
        each(&plain, |name, value| field(&mut out, &mut files, name, value))?;
        out.close('}');
        Ok(Parts { json: out.finish(py)?, files })
    }

    /// The body for one call, which may read files of Python's meanwhile.
    pub(crate) fn open(&self, py: Python<'_>, beside: &mut Beside) -> PyResult<Body> {
        let open = |(name, file): &(String, Py<PyAny>)| Ok((name.clone(), source::source(file.bind(py), beside)?));
        Ok(Body { json: self.json.clone(), files: self.files.iter().map(open).collect::<PyResult<_>>()? })
    }
}

/// Goes through what the dict has now: what it holds may be asked for its value, and change the dict meanwhile.
fn each<'py>(
    dict: &Bound<'py, PyDict>,
    mut take: impl FnMut(&str, &Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    for pair in dict.items() {
        let (name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair.extract()?;
        take(text(name.cast::<PyString>().map_err(|_| no_name(&name))?)?, &value)?;
    }
    Ok(())
}

/// The text, if UTF-8 can say it.
pub(crate) fn text<'a>(value: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    value.to_str().map_err(|_| {
        let fix = "Pass whole characters: decode bytes as UTF-8, with errors=\"replace\" where they may be broken.";
        invalid(value, "the text has a lone surrogate, which is no character", fix)
    })
}

fn field(out: &mut Writer, files: &mut Vec<(String, Py<PyAny>)>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Some(file) = described(value)? {
        files.push((name.to_owned(), file.unbind()));
        return Ok(());
    }
    if !value.is_instance_of::<PyList>() && !value.is_instance_of::<PyTuple>() {
        out.key(name);
        return out.value(value, 1);
    }
    let (mut rest, before) = (Vec::new(), files.len());
    for item in value.try_iter()? {
        let item = item?;
        match described(&item)? {
            Some(file) => files.push((name.to_owned(), file.unbind())),
            None => rest.push(item),
        }
    }
    if files.len() > before && rest.is_empty() {
        return Ok(());
    }
    out.key(name);
    out.list(rest.into_iter(), 1)
}

/// What `picobase._encode.file` says of a file, if the value is one: bytes, a path, an open file, `picobase.File`, an
/// upload of a web framework.
fn described<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if is_scalar(value) || value.is_exact_instance_of::<PyDict>() || value.is_exact_instance_of::<PyList>() {
        return Ok(None);
    }
    let described = function(value.py(), &FILE, "file")?.call1((value,))?;
    Ok(Some(described).filter(|described| !described.is_none()))
}

/// The file, if the value is one.
pub(crate) fn file(value: &Bound<'_, PyAny>, beside: &mut Beside) -> PyResult<Option<FileSource>> {
    described(value)?.map(|described| source::source(&described, beside)).transpose()
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

/// The value as something that JSON has, by `picobase._encode.plain`.
pub(crate) fn plain<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    function(value.py(), &PLAIN, "plain")?.call1((value,))
}

/// The moment in milliseconds since the Unix epoch, if the value is a date or a datetime.
pub(crate) fn moment(value: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    let py = value.py();
    if !value.is_instance(&member(py, &DATE, "datetime", "date")?)? {
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
        if let Ok(string) = value.cast_exact::<PyString>() {
            self.string(text(string)?);
        } else if value.is_none() {
            self.text.push_str("null");
        } else if let Ok(flag) = value.cast_exact::<PyBool>() {
            self.text.push_str(if flag.is_true() { "true" } else { "false" });
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.integer(number)?;
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
        self.value(&plain(value)?, depth.saturating_add(1))
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> PyResult<()> {
        self.open('{');
        each(dict, |name, value| {
            self.key(name);
            self.value(value, depth.saturating_add(1))
        })?;
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

    fn integer(&mut self, number: &Bound<'_, PyInt>) -> PyResult<()> {
        match number.extract::<i64>() {
            Ok(number) => write!(self.text, "{number}").map_err(|e| PyValueError::new_err(e.to_string())),
            Err(_) => {
                let digits = number.str().map_err(|_| {
                    invalid(number, "the number has too many digits", "The server's numbers are doubles; pass text.")
                })?;
                self.text.push_str(digits.to_str()?);
                Ok(())
            }
        }
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
    PyTypeError::new_err(format!("names in JSON are str, not {}", type_name(name)))
}

fn no_object(given: &Bound<'_, PyAny>) -> PyErr {
    let message = format!("a record cannot be made of {}", type_name(given));
    invalid(given, &message, "Pass a dict, a dataclass, or a model of attrs, pydantic or msgspec.")
}

/// What the type of a value is called.
pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "this".to_owned(), |name| name.to_string())
}
