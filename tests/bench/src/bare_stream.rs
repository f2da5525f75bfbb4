//! The peer for events: an event stream by reqwest, its lines cut and its JSON read by hand.

use std::str::from_utf8;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use crate::stage::Item;

/// A stream with its topics.
pub(crate) struct BareStream {
    response: reqwest::Response,
    /// What has come of a message that is not complete.
    rest: Vec<u8>,
}

/// What the server says first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hello {
    pub(crate) client_id: String,
}

/// What the server says of a record.
#[derive(Deserialize)]
pub(crate) struct Change {
    pub(crate) action: String,
    pub(crate) record: Item,
}

impl BareStream {
    /// Opens a stream and subscribes to these topics.
    pub(crate) async fn subscribe(http: &reqwest::Client, base: &str, topics: &[&str]) -> Result<Self> {
        let url = format!("{base}/api/realtime");
        let response = http.get(&url).send().await?.error_for_status()?;
        let mut stream = Self { response, rest: Vec::new() };
        let mut client_id = String::new();
        while client_id.is_empty() {
            let more = stream
                .read(|_, data| {
                    client_id = serde_json::from_slice::<Hello>(data)?.client_id;
                    Ok(())
                })
                .await?;
            ensure!(more, "the stream ended before it began");
        }
        submit(http, base, &client_id, topics).await?;
        Ok(stream)
    }

    /// Waits for the next piece and hands on the topic and the data of each message that it completes. False at the
    /// end of the stream.
    pub(crate) async fn read(&mut self, mut each: impl FnMut(&str, &[u8]) -> Result<()>) -> Result<bool> {
        let Some(chunk) = self.response.chunk().await? else { return Ok(false) };
        self.rest.extend_from_slice(&chunk);
        let (mut topic, mut data): (&[u8], &[u8]) = (b"", b"");
        let (mut length, mut complete) = (0, 0);
        for line in self.rest.split_inclusive(|byte| *byte == b'\n') {
            length += line.len();
            if line == b"\n" {
                each(from_utf8(topic).context("a topic is not UTF-8")?, data)?;
                complete = length;
            } else if let (Some(value), true) = (line.strip_prefix(b"data:"), line.ends_with(b"\n")) {
                data = value;
            } else if let Some(value) = line.strip_prefix(b"event:") {
                topic = value.trim_ascii();
            }
        }
        self.rest.drain(..complete);
        Ok(true)
    }
}

/// Tells the server which topics the stream is to bring.
pub(crate) async fn submit(http: &reqwest::Client, base: &str, client_id: &str, topics: &[&str]) -> Result<()> {
    let body = json!({"clientId": client_id, "subscriptions": topics});
    http.post(format!("{base}/api/realtime")).json(&body).send().await?.error_for_status()?;
    Ok(())
}
