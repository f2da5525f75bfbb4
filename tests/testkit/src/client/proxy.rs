//! A fault proxy, as a test holds it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fail;
use super::route::{self, Control};

/// A fault proxy. One that a test opened closes when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Its address, for the client under test.
    pub url: String,
    /// Its id.
    pub id: String,
    control: Control,
    owned: bool,
}

/// One request that reached a proxy.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct LoggedRequest {
    /// Its number, from 1, in the order of arrival.
    pub n: u64,
    /// GET, POST, …
    pub method: String,
    /// The path, encoded as it came.
    pub path: String,
    /// The query, encoded as it came, without its question mark.
    pub query: String,
    /// What the client got, if it got anything.
    pub status: Option<u16>,
    /// The headers as the server gets them, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The first 64 KB of the body that the proxy read.
    pub body: String,
    /// How much of the body the proxy read.
    pub body_bytes: u64,
    /// Number of the connection, from 1.
    pub connection: u64,
    /// When its head had been read, in milliseconds since 1970.
    pub started_ms: f64,
    /// When its answer had been passed on or given up.
    pub ended_ms: Option<f64>,
    /// Index of the rule that it met.
    pub fault: Option<usize>,
    /// Whether it was sent on to the server.
    pub forwarded: bool,
}

/// The counters of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open now.
    pub connections_open: u64,
    /// Connections that were ever accepted.
    pub connections_total: u64,
    /// Requests that are being answered now.
    pub in_flight: u64,
    /// The most requests that were ever being answered at once.
    pub max_in_flight: u64,
}

/// How live connections are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// By RST.
    Reset,
    /// By FIN.
    Close,
    /// Not at all: nothing is said on them any more, as when a peer has lost its power.
    Stall,
}

impl Proxy {
    pub(super) fn borrowed(control: Control, id: &str, url: &str) -> Self {
        Self { url: url.to_owned(), id: id.to_owned(), control, owned: false }
    }

    pub(super) async fn open(control: &Control, options: &Value) -> Self {
        let opened = control.call(Method::POST, "/proxies", Some(options)).await;
        let text = |name: &str| opened.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { url: text("url"), id: text("proxy_id"), control: control.clone(), owned: true }
    }

    fn path(&self, end: &str) -> String {
        format!("/proxies/{}{end}", self.id)
    }

    /// Replaces the rules; they are in force when this returns.
    pub async fn faults(&self, rules: Value) {
        self.control.call(Method::PUT, &self.path("/faults"), Some(&rules)).await;
    }

    /// Adds rules behind those that are there.
    pub async fn add_faults(&self, rules: Value) {
        self.control.call(Method::POST, &self.path("/faults"), Some(&rules)).await;
    }

    /// Removes all rules.
    pub async fn clear_faults(&self) {
        self.control.call(Method::DELETE, &self.path("/faults"), None).await;
    }

    /// The rules, each with `hits` and `active`.
    pub async fn show_faults(&self) -> Vec<Value> {
        route::decode(self.control.call(Method::GET, &self.path("/faults"), None).await)
    }

    /// What has arrived, in its order.
    pub async fn requests(&self) -> Vec<LoggedRequest> {
        route::decode(self.control.call(Method::GET, &self.path("/requests"), None).await)
    }

    /// Waits until at least that many requests fit, and returns those.
    pub async fn wait_for(
        &self,
        count: usize,
        limit: Duration,
        fits: impl Fn(&LoggedRequest) -> bool,
    ) -> Vec<LoggedRequest> {
        let end = Instant::now() + limit;
        loop {
            let mut all = self.requests().await;
            all.retain(&fits);
            if all.len() >= count {
                return all;
            }
            if Instant::now() > end {
                fail(&format!("{} of {count} requests arrived within {limit:?}", all.len()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Forgets what has arrived; `max_in_flight` starts anew.
    pub async fn clear_requests(&self) {
        self.control.call(Method::DELETE, &self.path("/requests"), None).await;
    }

    /// The counters.
    pub async fn stats(&self) -> Stats {
        route::decode(self.control.call(Method::GET, &self.path("/stats"), None).await)
    }

    /// Cuts all live connections now, and says how many there were.
    pub async fn cut(&self, how: Cut) -> u64 {
        self.cut_where(how, None).await
    }

    /// Cuts the connections that are serving such a path now.
    pub async fn cut_path(&self, how: Cut, path_contains: &str) -> u64 {
        self.cut_where(how, Some(path_contains)).await
    }

    async fn cut_where(&self, how: Cut, path_contains: Option<&str>) -> u64 {
        let how = match how {
            Cut::Reset => "reset",
            Cut::Close => "close",
            Cut::Stall => "stall",
        };
        let wanted = json!({"how": how, "path_contains": path_contains});
        let answer = self.control.call(Method::POST, &self.path("/cut"), Some(&wanted)).await;
        answer.get("connections").and_then(Value::as_u64).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if self.owned {
            self.control.delete_now(&self.path(""));
        }
    }
}
