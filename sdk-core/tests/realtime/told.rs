//! Events as short lines, to be compared one by one, and streams that are cut or replaced in between.

use std::time::Duration;

use futures_util::StreamExt;
use picobase::{
    Client, Error,
    realtime::{Event, NetworkHint, Subscription},
};
use picobase_testkit::{Cut, LoggedRequest, Proxy, Server};
use serde_json::{Value, json};

use crate::{
    common::{PATIENCE, kit, superuser, within},
    tools::{is_stream, is_submit},
};

/// A server of a test's own, the proxy before it, and a superuser who writes past that proxy.
pub(crate) struct Ground {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) root: Client,
}

impl Ground {
    pub(crate) async fn new() -> Ground {
        let server = kit().server().await;
        Ground { proxy: server.proxy().await, root: superuser(&server.direct_url).await, server }
    }

    /// Makes a record; answers its id.
    pub(crate) async fn create(&self, collection: &str, record: &Value) -> String {
        let id = self.root.collection(collection).create(record).await.unwrap().id().to_string();
        next_millisecond().await;
        id
    }

    pub(crate) async fn update(&self, collection: &str, id: &str, change: &Value) {
        self.root.collection(collection).update(id, change).await.unwrap();
        next_millisecond().await;
    }

    pub(crate) async fn delete(&self, collection: &str, id: &str) {
        self.root.collection(collection).delete(id).await.unwrap();
    }

    /// A call as superuser that must be taken.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.server.admin(method, path, Some(body)).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.body);
        answer.body
    }

    /// Has the stream replaced, and waits until there is one again.
    pub(crate) async fn rotate(&self, client: &Client) {
        let ended = |r: &LoggedRequest| is_stream(r) && r.ended_ms.is_some();
        let before = self.proxy.requests().await.iter().filter(|r| ended(r)).count();
        client.realtime().hint(NetworkHint::Online);
        self.proxy.wait_for(before + 1, PATIENCE, ended).await;
    }

    /// Cuts the stream, and lets it come back when `work` is done: what that writes is missed.
    pub(crate) async fn gap<F: Future>(&self, work: F) -> F::Output {
        self.gap_then(json!([]), work).await
    }

    /// The same with faults from then on.
    pub(crate) async fn gap_then<F: Future>(&self, faults: Value, work: F) -> F::Output {
        let (streams, submits) = (self.streams().await, self.submits().await);
        let stall = json!([{"method": "GET", "path": "/api/realtime", "action": {"type": "stall"}}]);
        self.proxy.faults(stall).await;
        assert_eq!(self.proxy.cut_path(Cut::Reset, "/api/realtime").await, 1, "one stream");
        self.proxy.wait_for(streams + 1, PATIENCE, is_stream).await;
        let output = work.await;
        self.proxy.faults(faults).await;
        self.proxy.cut_path(Cut::Reset, "/api/realtime").await;
        self.proxy
            .wait_for(submits + 1, PATIENCE, |r| is_submit(r) && r.status.is_some() && r.ended_ms.is_some())
            .await;
        output
    }

    /// How many streams were opened.
    pub(crate) async fn streams(&self) -> usize {
        self.proxy.requests().await.iter().filter(|r| is_stream(r)).count()
    }

    /// How many submits were answered.
    pub(crate) async fn submits(&self) -> usize {
        self.proxy.requests().await.iter().filter(|r| is_submit(r) && r.status.is_some()).count()
    }

    /// Waits until so many lists have been answered with this status: baselines, or what was missed.
    pub(crate) async fn lists(&self, collection: &str, status: u16, count: usize) {
        let path = format!("/api/collections/{collection}/records");
        let fits = |r: &LoggedRequest| r.path == path && r.method == "GET";
        self.proxy.wait_for(count, PATIENCE, |r| fits(r) && r.status == Some(status) && r.ended_ms.is_some()).await;
    }
}

/// What comes next; the events may not have ended.
pub(crate) async fn item(events: &mut Subscription) -> Result<Event, Error> {
    within(20, events.next()).await.unwrap()
}

/// What comes next as a line, as `create live TITLE`, `resync auth_changed`, `error SessionExpired`. A record is called
/// by its title, body or text, and by its id where it has none of them.
pub(crate) async fn next(events: &mut Subscription) -> String {
    line(&item(events).await)
}

/// So many lines.
pub(crate) async fn lines<const N: usize>(events: &mut Subscription) -> [String; N] {
    let mut all = Vec::new();
    while all.len() < N {
        all.push(next(events).await);
    }
    all.try_into().unwrap()
}

pub(crate) fn line(item: &Result<Event, Error>) -> String {
    match item {
        Ok(Event::Record(change)) => {
            let name = ["title", "body", "text"].iter().find_map(|name| change.json.get(name)?.as_str());
            let name = name.unwrap_or_else(|| change.id.clone());
            format!("{} {} {name}", change.action.as_str(), change.origin.as_str())
        }
        Ok(Event::Message(message)) => format!("message {} {}", message.topic, message.data.as_text()),
        Ok(Event::Resync(reason)) => format!("resync {}", reason.as_str()),
        Ok(Event::Lagged { missed }) => format!("lagged {missed}"),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error {}", error.kind().as_str()),
    }
}

/// Lines whose order says nothing.
pub(crate) fn sorted<const N: usize>(mut lines: [String; N]) -> [String; N] {
    lines.sort_unstable();
    lines
}

/// The server tells the order of writes by milliseconds, so each has one of its own.
async fn next_millisecond() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}
