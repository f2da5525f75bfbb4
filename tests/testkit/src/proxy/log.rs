//! The log of requests and the counters of a proxy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};

use super::connection::Handle;
use crate::lock;

/// How much of a request's body is kept.
const KEPT_BODY: usize = 64 * 1024;
/// How many requests are kept.
const KEPT_REQUESTS: usize = 20_000;

/// One request as a test reads it.
#[derive(Clone, Debug, Serialize)]
struct Entry {
    n: u64,
    method: String,
    path: String,
    query: String,
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    #[serde(serialize_with = "lossy")]
    body: Vec<u8>,
    body_bytes: u64,
    connection: u64,
    started_ms: f64,
    ended_ms: Option<f64>,
    fault: Option<usize>,
    forwarded: bool,
}

fn lossy<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<u64, Entry>,
    last: u64,
    in_flight: u64,
    max_in_flight: u64,
    connections_open: u64,
    connections_total: u64,
}

/// The log of one proxy.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Inner>);

/// What is known of a request when its head has been read.
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) fault: Option<usize>,
}

impl Log {
    /// Begins an entry, which ends when the last clone of what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>, head: &Head<'_>, connection: &Arc<Handle>) -> Arc<Running> {
        let mut inner = lock(&self.0);
        inner.last += 1;
        inner.in_flight += 1;
        inner.max_in_flight = inner.max_in_flight.max(inner.in_flight);
        let n = inner.last;
        inner.entries.insert(
            n,
            Entry {
                n,
                method: head.method.to_owned(),
                path: head.path.to_owned(),
                query: head.query.to_owned(),
                status: None,
                headers: flatten(head.headers),
                body: Vec::new(),
                body_bytes: 0,
                connection: connection.number,
                started_ms: now_ms(),
                ended_ms: None,
                fault: head.fault,
                forwarded: false,
            },
        );
        if inner.entries.len() > KEPT_REQUESTS {
            inner.entries.pop_first();
        }
        connection.begin_request(head.path);
        Arc::new(Running { log: self.clone(), n, connection: connection.clone() })
    }

    pub(crate) fn connection_opened(&self) -> u64 {
        let mut inner = lock(&self.0);
        inner.connections_open += 1;
        inner.connections_total += 1;
        inner.connections_total
    }

    pub(crate) fn connection_closed(&self) {
        let mut inner = lock(&self.0);
        inner.connections_open = inner.connections_open.saturating_sub(1);
    }

    pub(crate) fn show(&self) -> Value {
        let inner = lock(&self.0);
        Value::Array(inner.entries.values().map(|entry| serde_json::to_value(entry).unwrap_or_default()).collect())
    }

    pub(crate) fn stats(&self) -> Value {
        let inner = lock(&self.0);
        json!({
            "connections_open": inner.connections_open,
            "connections_total": inner.connections_total,
            "in_flight": inner.in_flight,
            "max_in_flight": inner.max_in_flight,
        })
    }

    /// Forgets all requests; the greatest number in flight starts again from those that run.
    pub(crate) fn clear(&self) {
        let mut inner = lock(&self.0);
        inner.entries.clear();
        inner.max_in_flight = inner.in_flight;
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Running {
    log: Arc<Log>,
    n: u64,
    connection: Arc<Handle>,
}

impl Running {
    fn update(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = lock(&self.log.0).entries.get_mut(&self.n) {
            change(entry);
        }
    }

    pub(crate) fn forwarded(&self) {
        self.update(|entry| entry.forwarded = true);
    }

    pub(crate) fn status(&self, status: u16) {
        self.update(|entry| entry.status = Some(status));
    }

    pub(crate) fn body(&self, bytes: &[u8]) {
        self.update(|entry| {
            entry.body_bytes += bytes.len() as u64;
            let room = KEPT_BODY.saturating_sub(entry.body.len());
            entry.body.extend(bytes.iter().take(room));
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // First: who sees that it has ended may ask which connections answer something.
        self.connection.end_request();
        let mut inner = lock(&self.log.0);
        inner.in_flight = inner.in_flight.saturating_sub(1);
        if let Some(entry) = inner.entries.get_mut(&self.n) {
            entry.ended_ms = Some(now_ms());
        }
    }
}

fn flatten(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        flat.entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    flat
}

/// Milliseconds since 1970, with fractions.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
