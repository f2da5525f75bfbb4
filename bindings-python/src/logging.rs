//! What the core tells of its calls, for Python's `logging`, under the name `picobase`.
//!
//! Nothing happens while nobody listens: whether `logging` is there and which level it has is looked up when a call
//! begins, and all else asks an atomic. The core tells nothing while it holds a lock, so Python may be entered from there.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use pyo3::{prelude::*, types::PyDict};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

use crate::{
    exit,
    fork::Owned,
    kept::{Kept, intern, member},
    run::{Flagged, in_hook},
};

/// What hands on to `logging`.
const MODULE: &str = "picobase._logging";
/// The least level of Python's that is listened to; 0 is none.
static LEVEL: AtomicU8 = AtomicU8::new(0);
/// `sys.modules`.
static MODULES: Kept = Kept::new();
/// `picobase._logging.level`.
static ASK: Kept = Kept::new();
/// `picobase._logging.emit`.
static EMIT: Kept = Kept::new();

/// Begins to hear the core. Whoever hears it already in this process goes on.
pub(crate) fn start() {
    // There is one for each module, and another cannot be there before.
    let _ = tracing::subscriber::set_global_default(Ear { last: AtomicU64::new(0) });
}

/// Looks up who listens: at the beginning of a call, and when a client is made, so that what is imported for it is not
/// imported by a thread beside which another one forks.
pub(crate) fn refresh(py: Python<'_>) {
    LEVEL.store(level(py).unwrap_or(0), Ordering::Relaxed);
}

fn level(py: Python<'_>) -> PyResult<u8> {
    let modules = member(py, &MODULES, "sys", "modules")?;
    // Where the program does not use it, neither do we.
    if !modules.contains(intern!(py, "logging"))? {
        return Ok(0);
    }
    member(py, &ASK, MODULE, "level")?.call0()?.extract()
}

/// Python's number for a level.
fn number(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

thread_local! {
    /// The spans that this thread is in.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// Does this thread hand something to `logging`? A handler that makes calls must not hear of them again.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// The spans that are there: their fields, and how many know them. In a child process the table begins anew: the lock of
/// this one may be held by a thread that is not there.
type Table = HashMap<u64, (Fields, usize)>;
type Spans = Owned<Mutex<Table>>;
static SPANS: ArcSwapOption<Spans> = ArcSwapOption::const_empty();

fn spans<R>(work: impl FnOnce(&mut Table) -> R) -> Option<R> {
    let mut spans = SPANS.load();
    if let Some(table) = table(&spans) {
        return Some(work(&mut table.lock().unwrap_or_else(PoisonError::into_inner)));
    }
    SPANS.compare_and_swap(&spans, Some(Arc::new(Owned::new(Mutex::default()))));
    spans = SPANS.load();
    let mut table = table(&spans)?.lock().unwrap_or_else(PoisonError::into_inner);
    Some(work(&mut table))
}

/// The table of this process.
fn table(spans: &Option<Arc<Spans>>) -> Option<&Mutex<Table>> {
    spans.as_ref()?.get()
}

/// Hears the core.
struct Ear {
    last: AtomicU64,
}

impl Subscriber for Ear {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target().starts_with("picobase") { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let least = LEVEL.load(Ordering::Relaxed);
        // A span says which call it is, which belongs to warnings as well.
        least > 0 && (metadata.is_span() || number(metadata.level()) >= least)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.last.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut fields = Fields::default();
        span.record(&mut fields);
        spans(|all| all.insert(id, (fields, 1)));
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        spans(|all| all.get_mut(&span.into_u64()).map(|(fields, _)| values.record(fields)));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let telling = Flagged::set(&TELLING);
        if telling.was_set() {
            return;
        }
        let span = match event.parent() {
            Some(span) => Some(span.into_u64()),
            None => INSIDE.with_borrow(|inside| inside.last().copied()),
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(call) = span.and_then(|span| spans(|all| all.get(&span).map(|(call, _)| call.clone()))).flatten() {
            fields.0.extend(call.0);
        }
        let level = number(event.metadata().level());
        // Where the interpreter ends nobody listens.
        let _ = exit::attach(|py| {
            if let Err(broken) = in_hook(|| fields.tell(py, level)) {
                broken.write_unraisable(py, None);
            }
        });
    }

    fn enter(&self, span: &Id) {
        INSIDE.with_borrow_mut(|inside| inside.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let id = span.into_u64();
        INSIDE.with_borrow_mut(|inside| {
            if let Some(at) = inside.iter().rposition(|inner| *inner == id) {
                inside.remove(at);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        spans(|all| all.get_mut(&span.into_u64()).map(|(_, holders)| *holders = holders.saturating_add(1)));
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let id = span.into_u64();
        let is_last = spans(|all| {
            let (_, holders) = all.get_mut(&id)?;
            *holders = holders.saturating_sub(1);
            (*holders == 0).then(|| all.remove(&id))
        });
        is_last.flatten().is_some()
    }
}

/// Names and values of a span or event.
#[derive(Clone, Default)]
struct Fields(Vec<(&'static str, Value)>);

#[derive(Clone)]
enum Value {
    Text(String),
    Number(i64),
    Bool(bool),
}

impl Fields {
    fn text(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
    }

    /// Hands it to `logging`: the call, what happened, and the rest in brackets; all of it as attributes of the record too.
    fn tell(&self, py: Python<'_>, level: u8) -> PyResult<()> {
        let mut message = self.text("message").unwrap_or_default();
        if let (Some(method), Some(template)) = (self.text("method"), self.text("template")) {
            message = format!("{method} {template}: {message}");
        }
        let extra = PyDict::new(py);
        let mut rest = Vec::new();
        for (name, value) in &self.0 {
            match value {
                _ if *name == "message" => continue,
                Value::Text(text) => extra.set_item(name, text)?,
                Value::Number(number) => extra.set_item(name, number)?,
                Value::Bool(is_so) => extra.set_item(name, is_so)?,
            }
            if !matches!(*name, "method" | "template" | "endpoint") {
                rest.push(format!("{name}={value}"));
            }
        }
        if !rest.is_empty() {
            message = format!("{message} ({})", rest.join(", "));
        }
        member(py, &EMIT, MODULE, "emit")?.call1((level, message, extra))?;
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => number.fmt(f),
            Value::Bool(is_so) => is_so.fmt(f),
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.name(), Value::Number(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), Value::Number(i64::try_from(value).unwrap_or(i64::MAX))));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push((field.name(), Value::Bool(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), Value::Text(value.to_owned())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), Value::Text(format!("{value:?}"))));
    }
}
