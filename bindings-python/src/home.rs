//! The one interpreter of the process that may use the module.

use pyo3::{exceptions::PyImportError, prelude::*};

use crate::kept::{Kept, once};

/// What each interpreter has one of. It is held, so that no later one has its own in the same place.
static HOME: Kept<PyModule> = Kept::new();

/// Refuses an interpreter other than the first that has the module: what is kept here for good, types and functions, belongs to
/// that one. Python itself refuses those that have a lock of their own, and leaves those that share it (of mod_wsgi) to us.
pub(crate) fn check(py: Python<'_>) -> PyResult<()> {
    // Its name is not interned: that would be kept as well.
    let sys = py.import("sys")?;
    if once(py, &HOME, || Ok(sys.clone().unbind()))?.bind(py).is(&sys) {
        return Ok(());
    }
    let message = "picobase is in use by another interpreter of this process, and serves one only: run this one in a process of its own; \
        with mod_wsgi, in a daemon process and with `WSGIApplicationGroup %{GLOBAL}`";
    Err(PyImportError::new_err(message))
}
