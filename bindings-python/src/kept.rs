//! What is looked up once and then kept: names, functions, classes.
//!
//! pyo3 looks such things up while it holds a lock, and lets other threads run meanwhile. Where one of them forks just then, the lock is
//! taken for ever in the child, which would wait for it. So here nothing is locked during a lookup, which at worst happens twice.

use pyo3::{prelude::*, sync::PyOnceLock, types::PyString};

/// Where an object is kept.
pub(crate) type Kept<T = PyAny> = PyOnceLock<Py<T>>;

/// What is kept there, or is made now.
pub(crate) fn once<'a, T>(py: Python<'_>, kept: &'a PyOnceLock<T>, make: impl Fn() -> PyResult<T>) -> PyResult<&'a T> {
    loop {
        match kept.get(py) {
            Some(there) => return Ok(there),
            // Another thread may be quicker.
            None => drop(kept.set(py, make()?)),
        }
    }
}

/// The member of a module, which is imported for it.
pub(crate) fn member<'py>(py: Python<'py>, kept: &Kept, module: &str, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let found = once(py, kept, || Ok(py.import(module)?.getattr(name)?.unbind()))?;
    Ok(found.bind(py).clone())
}

/// What [`intern!`] gives.
pub(crate) fn name<'py>(py: Python<'py>, kept: &Kept<PyString>, text: &str) -> Bound<'py, PyString> {
    match kept.get(py) {
        Some(there) => there.bind(py).clone(),
        None => {
            let made = PyString::intern(py, text);
            let _ = kept.set(py, made.clone().unbind());
            made
        }
    }
}

/// A name as an object of Python, which is made once.
macro_rules! intern {
    ($py:expr, $text:literal) => {{
        static KEPT: $crate::kept::Kept<pyo3::types::PyString> = $crate::kept::Kept::new();
        $crate::kept::name($py, &KEPT, $text)
    }};
}
pub(crate) use intern;
