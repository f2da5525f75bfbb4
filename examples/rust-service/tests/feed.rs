//! The feed against a real server, with its faults.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test asserts by panicking"
)]

mod common;

use std::time::{Duration, Instant};

use picobase::Client;
use picobase_testkit::{Cut, Proxy, Testkit};
use serde_json::{Value, json};

use crate::common::{Home, json_of, serve};

const LIMIT: Duration = Duration::from_secs(20);

/// A client of the service that keeps a list as the feed says.
struct Viewer {
    answer: reqwest::Response,
    unread: String,
    list: Vec<Value>,
    snapshots: usize,
    errors: Vec<Value>,
}

impl Viewer {
    async fn join(url: &str) -> Viewer {
        let answer = reqwest::get(format!("{url}/posts/feed")).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Viewer { answer, unread: String::new(), list: Vec::new(), snapshots: 0, errors: Vec::new() }
    }

    /// Reads until the list is that of `GET /posts`, to which nobody writes any more.
    async fn converges(&mut self, url: &str) {
        let (_, page) = json_of(reqwest::Client::new().get(format!("{url}/posts"))).await;
        let wanted = page["posts"].as_array().unwrap();
        let end = Instant::now() + LIMIT;
        while self.snapshots == 0 || self.list != *wanted {
            let left = end.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, self.read()).await.is_err() {
                panic!("not within {LIMIT:?}: {wanted:?}, but {:?}", self.list);
            }
        }
    }

    /// Reads one event and applies it. What does not fit the list shows a gap or a double.
    async fn read(&mut self) {
        let (name, data) = self.event().await;
        let at = |name: &str| usize::try_from(data[name].as_u64().unwrap()).unwrap();
        match name.as_str() {
            "snapshot" => {
                self.snapshots += 1;
                self.list = data.as_array().unwrap().clone();
            }
            "enter" => {
                assert!(self.list.iter().all(|post| post["id"] != data["id"]), "entered twice: {data}");
                self.list.insert(at("index"), data["post"].clone());
            }
            "change" => {
                assert_eq!(self.list[at("index")]["id"], data["id"]);
                self.list[at("index")] = data["post"].clone();
            }
            "leave" => assert_eq!(self.list.remove(at("index"))["id"], data["id"]),
            "move" => {
                let post = self.list.remove(at("from"));
                assert_eq!(post["id"], data["id"]);
                self.list.insert(at("to"), post);
            }
            "error" => self.errors.push(data),
            other => panic!("{other}: {data}"),
        }
    }

    async fn event(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
                let found = field("event:").zip(field("data:"));
                let found = found.map(|(name, data)| (name.to_string(), serde_json::from_str(data).unwrap()));
                self.unread = rest.to_string();
                match found {
                    Some(event) => return event,
                    // A heartbeat.
                    None => continue,
                }
            }
            let chunk = self.answer.chunk().await.unwrap().expect("the feed has no end");
            self.unread += std::str::from_utf8(&chunk).unwrap();
        }
    }
}

/// The streams to the instance that are open.
async fn streams(proxy: &Proxy) -> usize {
    let requests = proxy.requests().await;
    requests.iter().filter(|r| r.method == "GET" && r.path == "/api/realtime" && r.ended_ms.is_none()).count()
}

async fn realtime_state(url: &str) -> String {
    let (_, health) = json_of(reqwest::Client::new().get(format!("{url}/health"))).await;
    health["realtime"].as_str().unwrap().to_string()
}

/// Creates 30 posts, and then changes, hides and deletes some of them.
async fn write(writer: &Client) {
    let posts = writer.collection("posts");
    let mut ids = Vec::new();
    for n in 0..30 {
        let post = posts.create(&json!({"title": format!("post {n}"), "status": "published"})).await.unwrap();
        ids.push(post.id().to_string());
    }
    for (n, id) in ids.iter().enumerate().skip(10) {
        match n % 4 {
            0 => posts.delete(id).await.unwrap(),
            1 => drop(posts.update(id, &json!({"status": "draft"})).await.unwrap()),
            2 => drop(posts.update(id, &json!({"title": format!("changed {n}")})).await.unwrap()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn all_clients_see_the_list_whatever_breaks() {
    let server = Testkit::shared().server().await;
    let proxy = server.default_proxy();
    let home = Home::new("feed", &proxy);
    let url = serve(&home.settings).await;
    let writer = Client::new(&server.direct_url, "").unwrap();
    assert_eq!((realtime_state(&url).await.as_str(), streams(&proxy).await), ("disconnected", 0));

    // The second joins in the middle of it.
    let mut one = Viewer::join(&url).await;
    one.converges(&url).await;
    let ((), mut two) = tokio::join!(write(&writer), async {
        while one.list.len() < 5 {
            one.read().await;
        }
        Viewer::join(&url).await
    });
    one.converges(&url).await;
    two.converges(&url).await;
    assert_eq!((one.list.len(), streams(&proxy).await), (20, 1), "one stream for both");

    // The stream to the instance is cut, and does not come back before more was written.
    proxy.faults(json!([{"path": "/api/realtime", "action": {"type": "respond", "status": 503}}])).await;
    assert_eq!(proxy.cut_path(Cut::Reset, "/api/realtime").await, 1);
    write(&writer).await;
    proxy.clear_faults().await;
    one.converges(&url).await;
    two.converges(&url).await;
    assert_eq!((one.snapshots, two.snapshots), (1, 1), "changes suffice");
    assert!(one.errors.is_empty() && two.errors.is_empty(), "{:?}", one.errors);

    // The last to go ends the stream to the instance, and who comes then starts it anew.
    drop(one);
    writer.collection("posts").create(&json!({"title": "for two alone", "status": "published"})).await.unwrap();
    two.converges(&url).await;
    assert_eq!(streams(&proxy).await, 1);
    drop(two);
    let end = Instant::now() + LIMIT;
    while proxy.stats().await.in_flight > 0 {
        assert!(Instant::now() < end, "a stream is left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((realtime_state(&url).await.as_str(), streams(&proxy).await), ("disconnected", 0));
    let mut three = Viewer::join(&url).await;
    three.converges(&url).await;
    assert_eq!(realtime_state(&url).await, "connected");
}

#[tokio::test]
async fn an_error_is_told_and_the_feed_goes_on() {
    let server = Testkit::shared().server().await;
    let proxy = server.default_proxy();
    let home = Home::new("feed-errors", &proxy);
    let url = serve(&home.settings).await;
    let refused = json!({"type": "respond", "status": 403, "body": {"message": "not now"}});
    proxy.faults(json!([{"method": "GET", "path_contains": "/posts/records", "times": 1, "action": refused}])).await;
    let mut viewer = Viewer::join(&url).await;
    tokio::time::timeout(LIMIT, viewer.read()).await.unwrap();
    assert_eq!(viewer.errors[0]["error"], "Forbidden");
    viewer.converges(&url).await;
    assert_eq!((viewer.errors.len(), viewer.snapshots), (1, 1));
}
