//! Functions of the user's that the core calls: before and after each call, and when the instance falls asleep.

use std::{
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use picobase::{
    ClientBuilder, Error, ErrorKind, InstanceState,
    client::{CallReport, Outgoing},
    transport::Headers,
};
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyException, PyTypeError},
    prelude::*,
    types::{PyCFunction, PyDict, PyMapping, PyString},
};

use crate::{
    error, exit,
    kept::{Kept, intern, member},
    run::{in_hook, locals},
    value::query_value,
};

/// A function of the user's.
type Function = Arc<Py<PyAny>>;

/// The hooks and listeners of a client and its family. The core knows them weakly: where a hook refers to the client that
/// it belongs to, the two are one circle of Python objects, which is collected as such.
#[derive(Default)]
pub(crate) struct Hooks {
    before: ArcSwapOption<Py<PyAny>>,
    after: ArcSwapOption<Py<PyAny>>,
    pub(crate) states: Arc<Listeners>,
    pub(crate) storage: Arc<Listeners>,
}

impl Hooks {
    /// Takes an option of the client, if it is one of these.
    pub(crate) fn take(&self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        if !matches!(name, "before_call" | "after_call" | "on_state" | "on_storage_error") {
            return Ok(false);
        }
        callable(name, value)?;
        match name {
            "before_call" => self.before.store(Some(Arc::new(value.clone().unbind()))),
            "after_call" => self.after.store(Some(Arc::new(value.clone().unbind()))),
            "on_state" => drop(self.states.add(value)),
            _ => drop(self.storage.add(value)),
        }
        Ok(true)
    }

    /// A builder whose client calls them.
    pub(crate) fn apply(self: &Arc<Self>, mut builder: ClientBuilder) -> ClientBuilder {
        if self.before.load().is_some() {
            let hooks = Arc::downgrade(self);
            builder = builder.before_call(move |call| with(&hooks, |hooks| hooks.before(call)));
        }
        if self.after.load().is_some() {
            let hooks = Arc::downgrade(self);
            builder = builder.after_call(move |report| with(&hooks, |hooks| hooks.after(report)));
        }
        let (states, storage) = (Arc::downgrade(&self.states), Arc::downgrade(&self.storage));
        builder
            .on_state(move |state| with(&states, |states| tell_state(states, *state)))
            .on_storage_error(move |error| with(&storage, |storage| tell_error(storage, error)))
    }

    fn before(&self, call: &mut Outgoing) {
        let done = exit::attach(|py| {
            let Some(hook) = self.before.load_full() else { return Ok(()) };
            in_hook(|| edit(py, &hook, call))
                .map_err(|raised| error::of_python(py, ErrorKind::Configuration, "`before_call`", &raised))
        });
        match done {
            Some(Ok(())) => {}
            Some(Err(error)) => call.fail(error),
            None => call.fail(Error::new(ErrorKind::Cancelled, "the program ends")),
        }
    }

    fn after(&self, report: &CallReport) {
        let _ = exit::attach(|py| {
            let Some(hook) = self.after.load_full() else { return };
            match described(py, report) {
                Ok(report) => Listener::of(hook).tell(py, &report),
                Err(broken) => broken.write_unraisable(py, None),
            }
        });
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for hook in [&self.before, &self.after] {
            if let Some(hook) = &*hook.load() {
                visit_unique(hook, visit)?;
            }
        }
        self.states.traverse(visit)?;
        self.storage.traverse(visit)
    }

    pub(crate) fn clear(&self) {
        self.before.store(None);
        self.after.store(None);
        self.states.clear();
        self.storage.clear();
    }
}

fn with<T>(owner: &Weak<T>, work: impl FnOnce(&T)) {
    if let Some(owner) = owner.upgrade() {
        work(&owner);
    }
}

fn callable(name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_callable() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!("{name} must be a function, not {}", value.get_type().name()?)))
}

/// Functions that are told of something, in the order in which they came.
#[derive(Default)]
pub(crate) struct Listeners {
    all: ArcSwap<Vec<Listener>>,
    last: AtomicU64,
}

#[derive(Clone)]
struct Listener {
    id: u64,
    call: Function,
    /// The loop that ran when it was added.
    event_loop: Option<Function>,
}

impl Listeners {
    /// Adds one; answers its number.
    fn add(&self, listener: &Bound<'_, PyAny>) -> u64 {
        let py = listener.py();
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let event_loop = running_loop(py).map(|running| Arc::new(running.unbind()));
        let added = Listener { id, call: Arc::new(listener.clone().unbind()), event_loop };
        self.all.rcu(|all| all.iter().cloned().chain([added.clone()]).collect::<Vec<_>>());
        id
    }

    /// Adds one; answers a function that takes it away again.
    pub(crate) fn listen<'py>(
        self: &Arc<Self>,
        what: &str,
        listener: &Bound<'py, PyAny>,
    ) -> PyResult<(u64, Bound<'py, PyCFunction>)> {
        callable(what, listener)?;
        let (id, listeners) = (self.add(listener), Arc::downgrade(self));
        let stop = PyCFunction::new_closure(listener.py(), None, None, move |_, _| -> PyResult<()> {
            with(&listeners, |listeners| listeners.remove(id));
            Ok(())
        })?;
        Ok((id, stop))
    }

    pub(crate) fn remove(&self, id: u64) {
        self.all.rcu(|all| all.iter().filter(|listener| listener.id != id).cloned().collect::<Vec<_>>());
    }

    /// Tells all what `make` makes, if there is any.
    fn tell(&self, make: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>) {
        if self.all.load().is_empty() {
            return;
        }
        let _ = exit::attach(|py| {
            // Held one by one, and from inside the interpreter: the collector takes none of them meanwhile.
            let all = Vec::clone(&self.all.load());
            match make(py) {
                Ok(news) => all.iter().for_each(|listener| listener.tell(py, news.bind(py))),
                Err(broken) => broken.write_unraisable(py, None),
            }
        });
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.all.load().iter().try_for_each(|listener| visit_unique(&listener.call, visit))
    }

    pub(crate) fn clear(&self) {
        drop(self.all.swap(Arc::default()));
    }
}

/// The collector may only count a reference that nothing else holds as well. Who takes another one is in the interpreter, so
/// that none appears while it counts.
fn visit_unique(function: &Function, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
    if Arc::strong_count(function) == 1 { visit.call(&**function) } else { Ok(()) }
}

pub(crate) fn tell_state(listeners: &Listeners, state: InstanceState) {
    listeners.tell(|py| Ok(PyString::new(py, state.as_str()).into_any().unbind()));
}

pub(crate) fn tell_error(listeners: &Listeners, failed: &Error) {
    listeners.tell(|py| Ok(error::exception(py, failed)?.unbind()));
}

impl Listener {
    fn of(call: Function) -> Listener {
        Listener { id: 0, call, event_loop: None }
    }

    /// Calls it: on the loop where it was added, else on that of the call, else here. What it raises breaks nothing.
    fn tell(&self, py: Python<'_>, news: &Bound<'_, PyAny>) {
        let function = self.call.bind(py);
        let locals = locals();
        let own = self.event_loop.as_ref().map(|running| running.bind(py).clone());
        let loops = own.into_iter().chain(locals.as_ref().map(|locals| locals.event_loop(py)));
        let context = locals.as_ref().map(|locals| locals.context(py));
        for running in loops {
            // A loop that was closed takes nothing.
            if soon(&running, context.as_ref(), function, news).is_ok() {
                return;
            }
        }
        if let Err(raised) = in_hook(|| function.call1((news,))) {
            unraisable(py, raised, function);
        }
    }
}

/// Has the loop call the function in a copy of the call's context.
fn soon(
    running: &Bound<'_, PyAny>,
    context: Option<&Bound<'_, PyAny>>,
    function: &Bound<'_, PyAny>,
    news: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = running.py();
    let given = PyDict::new(py);
    if let Some(context) = context.filter(|context| !context.is_none()) {
        given.set_item(intern!(py, "context"), context.call_method0(intern!(py, "copy"))?)?;
    }
    running.call_method(intern!(py, "call_soon_threadsafe"), (function, news), Some(&given))?;
    Ok(())
}

/// An exception that nobody can catch. Ctrl-C is none: it comes again after the call.
pub(crate) fn unraisable(py: Python<'_>, raised: PyErr, function: &Bound<'_, PyAny>) {
    if raised.is_instance_of::<PyException>(py) {
        return raised.write_unraisable(py, Some(function));
    }
    let again = py.import(intern!(py, "_thread")).and_then(|thread| thread.call_method0(intern!(py, "interrupt_main")));
    if again.is_err() {
        raised.write_unraisable(py, Some(function));
    }
}

/// The loop that runs on this thread. Where asyncio was not imported there is none.
fn running_loop(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let modules = py.import(intern!(py, "sys")).ok()?.getattr(intern!(py, "modules")).ok()?;
    modules.contains(intern!(py, "asyncio")).ok()?.then_some(())?;
    let asyncio = py.import(intern!(py, "asyncio")).ok()?;
    asyncio.call_method0(intern!(py, "_get_running_loop")).ok().filter(|running| !running.is_none())
}

/// Lets `before_call` see and change a call.
fn edit(py: Python<'_>, hook: &Py<PyAny>, call: &mut Outgoing) -> PyResult<()> {
    let headers = PyDict::new(py);
    for (name, value) in call.headers.iter() {
        headers.set_item(name, value)?;
    }
    let shown = outgoing_call(py)?.call1((call.endpoint, call.method.as_str(), headers))?;
    let context = locals().map(|locals| locals.context(py)).filter(|context| !context.is_none());
    let answer = match context {
        Some(context) => context.call_method1(intern!(py, "run"), (hook, &shown))?,
        None => hook.bind(py).call1((&shown,))?,
    };
    if answer.hasattr(intern!(py, "__await__"))? {
        let _ = answer.call_method0(intern!(py, "close"));
        return Err(PyTypeError::new_err("`before_call` must be a plain function: nothing awaits it"));
    }
    let mut changed = Headers::new();
    for pair in shown.getattr(intern!(py, "headers"))?.cast::<PyMapping>()?.items()? {
        let (name, value): (String, Bound<'_, PyAny>) = pair.extract()?;
        if !value.is_none() {
            changed.set(&name, value.str()?.to_str()?);
        }
    }
    let query = shown.getattr(intern!(py, "_query"))?;
    for pair in query.try_iter()? {
        let (name, value): (String, Bound<'_, PyAny>) = pair?.extract()?;
        call.set_query(&name, query_value(&value)?);
    }
    drop(mem::replace(&mut call.headers, changed));
    Ok(())
}

/// The report as Python sees it.
fn described<'py>(py: Python<'py>, report: &CallReport) -> PyResult<Bound<'py, PyAny>> {
    let error = report.error.as_ref().map(|failed| error::exception(py, failed)).transpose()?;
    call_report(py)?.call1((
        report.endpoint,
        report.method.as_str(),
        &report.template,
        &report.url,
        report.status,
        report.attempts,
        report.elapsed.as_secs_f64(),
        error,
    ))
}

fn outgoing_call(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: Kept = Kept::new();
    member(py, &CLASS, "picobase._hooks", "OutgoingCall")
}

fn call_report(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: Kept = Kept::new();
    member(py, &CLASS, "picobase._hooks", "CallReport")
}
