//! A server, as a test holds it.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::process::Info;
use super::proxy::Proxy;
use super::route::{self, Control};

/// A server with its own data. One that a test opened ends when it is dropped, with its proxies.
#[derive(Debug)]
pub struct Server {
    /// The address of the proxy that came with it.
    pub url: String,
    /// The address of the server itself.
    pub direct_url: String,
    /// Its id.
    pub id: String,
    /// The id of the proxy that came with it.
    pub proxy_id: String,
    control: Control,
    owned: bool,
}

/// What a server does now.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Whether it listens.
    pub running: bool,
    /// Its process.
    pub pid: Option<u32>,
    /// Its data folder.
    pub data_dir: PathBuf,
}

/// The answer to a call that ran as superuser.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct AdminAnswer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

impl Server {
    pub(super) fn borrowed(control: Control, info: &Info) -> Self {
        Self {
            url: info.url.clone(),
            direct_url: info.direct_url.clone(),
            id: info.server_id.clone(),
            proxy_id: info.proxy_id.clone(),
            control,
            owned: false,
        }
    }

    pub(super) async fn open(control: &Control, options: &Value) -> Self {
        let opened = control.call(Method::POST, "/servers", Some(options)).await;
        let text = |name: &str| opened.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            url: text("url"),
            direct_url: text("direct_url"),
            id: text("server_id"),
            proxy_id: text("proxy_id"),
            control: control.clone(),
            owned: true,
        }
    }

    async fn act(&self, what: &str, body: Option<&Value>) -> Value {
        self.control.call(Method::POST, &format!("/servers/{}/{what}", self.id), body).await
    }

    /// The proxy that came with it.
    #[must_use]
    pub fn default_proxy(&self) -> Proxy {
        Proxy::borrowed(self.control.clone(), &self.proxy_id, &self.url)
    }

    /// A new proxy in front of it.
    pub async fn proxy(&self) -> Proxy {
        Proxy::open(&self.control, &json!({"server_id": self.id})).await
    }

    /// A new proxy in front of it that speaks TLS.
    pub async fn tls_proxy(&self) -> Proxy {
        Proxy::open(&self.control, &json!({"server_id": self.id, "tls": true})).await
    }

    /// Kills it (SIGKILL). Its proxies refuse connections until it runs again.
    pub async fn kill(&self) {
        self.act("kill", None).await;
    }

    /// Ends it in order (SIGTERM).
    pub async fn stop(&self) {
        self.act("stop", None).await;
    }

    /// Starts it again, on the same port, with the same data.
    pub async fn start(&self) {
        self.act("start", None).await;
    }

    /// Kills it, or ends it in order, and starts it again after a while.
    pub async fn restart(&self, downtime: Duration, kill: bool) {
        let downtime = u64::try_from(downtime.as_millis()).unwrap_or(u64::MAX);
        self.act("restart", Some(&json!({"downtime_ms": downtime, "kill": kill}))).await;
    }

    /// Whether it runs.
    pub async fn status(&self) -> ServerStatus {
        route::decode(self.control.call(Method::GET, &format!("/servers/{}", self.id), None).await)
    }

    /// Makes many records: what `bulk` takes there, elsewhere a title and a number.
    pub async fn seed(&self, collection: &str, count: u64) {
        self.act("seed", Some(&json!({"collection": collection, "count": count}))).await;
    }

    /// Makes many records like this one, where `{n}` in strings becomes the number of the record.
    pub async fn seed_like(&self, collection: &str, count: u64, record: Value) {
        self.act("seed", Some(&json!({"collection": collection, "count": count, "record": record}))).await;
    }

    /// Runs a call as superuser.
    pub async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> AdminAnswer {
        let call = json!({"method": method, "path": path, "body": body});
        route::decode(self.act("admin", Some(&call)).await)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.owned {
            self.control.delete_now(&format!("/servers/{}", self.id));
        }
    }
}
