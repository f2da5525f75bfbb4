//! The session as cookies.

use picobase::{
    Json,
    auth::{CookieOptions, SameSite, Session},
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PyString},
};

use crate::{
    auth,
    body::json,
    options::{Text, time},
};

/// The options of a cookie as Python gives them.
fn options(given: &Bound<'_, PyDict>) -> PyResult<CookieOptions> {
    let mut out = CookieOptions::default();
    for (name, value) in given {
        let name = name.cast::<PyString>()?.to_str()?;
        if value.is_none() {
            continue;
        }
        out = match name {
            "name" => out.name(value.extract()?),
            "path" => out.path(value.extract()?),
            "domain" => out.domain(value.extract()?),
            "max_age" => time(&value, name)?.map_or(out.clone(), |age| out.max_age(age)),
            "secure" => out.secure(value.extract()?),
            "http_only" => out.http_only(value.extract()?),
            "same_site" => out.same_site(same_site(value.extract()?)?),
            _ => return Err(PyTypeError::new_err(format!("unexpected keyword argument '{name}'"))),
        };
    }
    Ok(out)
}

fn same_site(given: &str) -> PyResult<SameSite> {
    match given.to_ascii_lowercase().as_str() {
        "strict" => Ok(SameSite::Strict),
        "lax" => Ok(SameSite::Lax),
        "none" => Ok(SameSite::None),
        _ => Err(PyValueError::new_err("same_site is strict, lax or none")),
    }
}

fn names(existing: &[String]) -> Vec<&str> {
    existing.iter().map(String::as_str).collect()
}

/// The `Set-Cookie` values of a session.
#[pyfunction]
pub(crate) fn to_cookies(
    token: Text,
    record: Option<&Bound<'_, PyAny>>,
    existing: Vec<String>,
    given: &Bound<'_, PyDict>,
) -> PyResult<Vec<String>> {
    let record = record.map_or_else(|| Ok(Json::null()), json)?;
    Ok(Session::new(token.0, record).to_cookies(&options(given)?, &names(&existing)))
}

/// The `Set-Cookie` values that remove a session.
#[pyfunction]
pub(crate) fn removal_cookies(existing: Vec<String>, given: &Bound<'_, PyDict>) -> PyResult<Vec<String>> {
    Ok(options(given)?.removal(&names(&existing)))
}

/// What the session in a `Cookie` header is made of, or none.
#[pyfunction]
pub(crate) fn from_cookies(py: Python<'_>, header: &Bound<'_, PyString>, name: Text) -> PyResult<Py<PyAny>> {
    // Whoever sends it: what is no text in it is damaged, and its session with it.
    match Session::from_cookies(&header.to_string_lossy(), &name) {
        Some(session) => auth::parts(py, &session),
        None => Ok(py.None()),
    }
}

/// What a token says without being asked for: the record as far as it is known, and the expiry in Unix milliseconds.
#[pyfunction]
pub(crate) fn token_record(py: Python<'_>, token: Text) -> PyResult<Py<PyAny>> {
    Ok(crate::json::to_python(py, Session::from_token(&token).record_json())?.unbind())
}

#[pyfunction]
pub(crate) fn token_expiry(token: &Bound<'_, PyString>) -> Option<u64> {
    Session::from_token(&token.to_string_lossy()).expires_at()
}
