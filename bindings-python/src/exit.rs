//! The end of the interpreter. A thread that enters it while it is taken down crashes the process, or is ended in the
//! middle of what it does; so the threads of clients end before, and others do not come back.

use std::{
    convert::Infallible,
    process,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, TryRecvError},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use picobase::ErrorKind;
use pyo3::{prelude::*, wrap_pyfunction};
use tokio::sync::mpsc::WeakUnboundedSender;

use crate::{error, kept::intern};

/// How long a thread may take to end: a hook of the user's may be busy on it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The thread that ends the interpreter, once it does.
static ENDING: OnceLock<ThreadId> = OnceLock::new();
/// Has it waited for the threads of clients?
static HAS_WAITED: AtomicBool = AtomicBool::new(false);
/// The threads of clients. Locked only while attached to the interpreter, so never during a fork.
static THREADS: Mutex<Vec<Running>> = Mutex::new(Vec::new());

/// A thread: how to end it, and what is disconnected when it has ended.
struct Running {
    pid: u32,
    end: WeakUnboundedSender<()>,
    over: Receiver<Infallible>,
}

/// Has the interpreter tell of its end.
pub(crate) fn watch(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    py.import(intern!(py, "atexit"))?.call_method1(intern!(py, "register"), (wrap_pyfunction!(end, module)?,))?;
    Ok(())
}

/// Remembers a thread; those that have ended are forgotten.
pub(crate) fn began(_py: Python<'_>, end: WeakUnboundedSender<()>, over: Receiver<Infallible>) {
    let mut all = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|thread| !matches!(thread.over.try_recv(), Err(TryRecvError::Disconnected)));
    all.push(Running { pid: process::id(), end, over });
}

/// Ends the threads of all clients.
#[pyfunction]
fn end(py: Python<'_>) {
    let _ = ENDING.set(thread::current().id());
    let all = std::mem::take(&mut *THREADS.lock().unwrap_or_else(PoisonError::into_inner));
    let ours: Vec<Running> = all.into_iter().filter(|thread| thread.pid == process::id()).collect();
    for thread in &ours {
        if let Some(end) = thread.end.upgrade() {
            // Where nobody listens it has ended.
            let _ = end.send(());
        }
    }
    py.detach(|| {
        for thread in ours {
            let _ = thread.over.recv_timeout(PATIENCE);
        }
    });
    HAS_WAITED.store(true, Ordering::SeqCst);
}

/// Where the interpreter ends, the threads of clients have ended: what is asked of them would never come.
pub(crate) fn check(py: Python<'_>) -> PyResult<()> {
    if ENDING.get().is_none() {
        return Ok(());
    }
    let fix = "Make the call before; what `atexit` runs can use the blocking client.";
    Err(error::fail(py, ErrorKind::Configuration, "the program ends, and so has the thread that makes the calls", fix))
}

fn is_late() -> bool {
    ENDING.get().is_some_and(|ending| *ending != thread::current().id())
}

/// Enters the interpreter, unless it ends.
pub(crate) fn attach<R>(work: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    if is_late() { None } else { Python::try_attach(work) }
}

/// Before a thread of a client's comes back at its end: the interpreter waits for it, but not for long.
pub(crate) fn hold_back() {
    while HAS_WAITED.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Before a thread of the program comes back to an interpreter that ends: it stays here, for the process ends now.
pub(crate) fn hold() {
    while is_late() {
        thread::park();
    }
}
