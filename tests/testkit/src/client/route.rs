//! Calls of the control port.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fail;

/// How long a call of the control port may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The control port.
#[derive(Clone, Debug)]
pub(super) struct Control {
    base: String,
    http: reqwest::Client,
}

impl Control {
    /// Keeps no connections: one that was made on the runtime of one test dies with it.
    pub(super) fn new(base: &str) -> Self {
        let builder = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().timeout(TIMEOUT);
        match builder.build() {
            Ok(http) => Self { base: base.to_owned(), http },
            Err(error) => fail(&format!("no HTTP client: {error}")),
        }
    }

    /// Runs a call that must succeed.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.send(method.clone(), path, body).await;
        if !(200..300).contains(&status) {
            fail(&format!("{method} {path} answered {status}: {answer}"));
        }
        answer
    }

    /// Runs a call.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => fail(&format!("{method} {path} failed: {error:?}")),
        };
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// Deletes something from a place that cannot await, and waits until it is gone.
    pub(super) fn delete_now(&self, path: &str) {
        let Some(address) = self.base.strip_prefix("http://") else { return };
        let Ok(mut stream) = TcpStream::connect(address) else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let head = format!("DELETE {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        if stream.write_all(head.as_bytes()).is_ok() {
            let _ = stream.read(&mut [0; 64]);
        }
    }
}

/// Reads an answer into its type.
pub(super) fn decode<T: DeserializeOwned>(value: Value) -> T {
    match serde_json::from_value(value) {
        Ok(decoded) => decoded,
        Err(error) => fail(&format!("the control port answered something else: {error}")),
    }
}
