//! B6: every wait ends at its deadline, and at once when the caller goes away.

use std::{sync::Arc, time::Duration};

use picobase::{Client, Error, ErrorKind, InstanceState, auth::Store, files::FileSource, runtime::BoxFuture};
use picobase_testkit::Proxy;
use serde_json::json;

use crate::{
    common::{LATE, builder, client, clock::Skewed, password, within},
    session::stored,
    tools::{cancelled_after, ms, proxy, settled, timed, watched},
};

/// Where a call may be waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    Gate,
    Probe,
    Throttled,
    Backoff,
    Head,
    Body,
    ErrorBody,
    Upload,
    StreamUpload,
    Download,
    Resume,
    Load,
    Refresh,
    SignIn,
}

use Wait::{
    Backoff, Body, Download, ErrorBody, Gate, Head, Load, Probe, Refresh, Resume, SignIn, StreamUpload, Throttled,
    Upload,
};

const ALL: [Wait; 14] = [
    Gate,
    Probe,
    Throttled,
    Backoff,
    Head,
    Body,
    ErrorBody,
    Upload,
    StreamUpload,
    Download,
    Resume,
    Load,
    Refresh,
    SignIn,
];

/// A store that never answers, until it is told to.
#[derive(Clone)]
struct Stuck(Arc<tokio::sync::Semaphore>);

impl Store for Stuck {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(async {
            drop(self.0.acquire().await);
            Ok(None)
        })
    }

    fn save(&self, _: String) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

/// One wait: its client, and how it ends when the fault is gone.
struct Scene {
    proxy: Proxy,
    client: Client,
    store: Stuck,
    post: picobase::Record,
    file: String,
    other: Option<tokio::task::JoinHandle<Result<picobase::ListResult<picobase::Record>, Error>>>,
}

impl Scene {
    async fn new(wait: Wait) -> Scene {
        let proxy = proxy().await;
        let store = Stuck(Arc::new(tokio::sync::Semaphore::new(0)));
        let fresh = client(&proxy.url);
        let source = FileSource::bytes("file.bin", vec![b'x'; 400_000]);
        let post = fresh.collection("posts").create(&json!({"title": "x"})).file("attachments", source).await.unwrap();
        let file = post.get_list("attachments")[0].to_string();
        let client = match wait {
            Load => builder(&proxy.url).store(store.clone()).build().unwrap(),
            Refresh => {
                // By a clock that is wrong by more than the five days that its token lives.
                let session = fresh.auth().sign_in("alice@example.com", password()).await.unwrap();
                let clock = Skewed::new(10 * 24 * 3_600_000);
                builder(&proxy.url).store(stored(&session)).runtime(clock).build().unwrap()
            }
            SignIn => {
                let credentials = picobase::auth::Credentials::new("bob@example.com", password());
                builder(&proxy.url).credentials(credentials).build().unwrap()
            }
            _ => builder(&proxy.url).build().unwrap(),
        };
        proxy.clear_requests().await;
        Scene { proxy, client, store, post, file, other: None }
    }

    async fn begin(&mut self, wait: Wait) {
        let respond = |status: u16, after: u64| json!({"type": "respond", "status": status, "headers": {"Retry-After": after.to_string()}});
        let rules = match wait {
            Gate => json!([{"times": 1, "action": respond(503, 20)}]),
            // It asks a last time before its deadline.
            Probe => json!([{"action": respond(503, 20)}]),
            Throttled => json!([{"times": 1, "action": respond(429, 20)}]),
            Backoff => json!([{"times": 6, "action": {"type": "reset"}}]),
            Head => json!([{"action": {"type": "stall"}}]),
            Body => json!([{"action": {"type": "stall", "when": "after_response_bytes", "bytes": 10}}]),
            ErrorBody => json!([
                {"action": {"type": "slow", "bytes_per_sec": 10}},
                {"action": {"type": "respond", "status": 500, "body": "x".repeat(1000)}},
            ]),
            // A proxy that reads nothing would not see that the client goes.
            Upload | StreamUpload => {
                json!([{"action": {"type": "slow", "bytes_per_sec": 400_000, "direction": "request"}}])
            }
            Download => json!([{"action": {"type": "stall", "when": "after_response_bytes", "bytes": 100_000}}]),
            Resume => json!([{"action": {"type": "reset", "when": "after_response_bytes", "bytes": 10}}]),
            Load => json!([]),
            Refresh => json!([{"path_contains": "auth-refresh", "action": {"type": "stall"}}]),
            SignIn => json!([{"path_contains": "auth-with-password", "action": {"type": "stall"}}]),
        };
        self.proxy.faults(rules).await;
        if wait == Gate {
            // Another call has the turn.
            let (client, states) = watched(&self.proxy.url, |b| b);
            self.client = client;
            self.other = Some(tokio::spawn(self.client.collection("posts").get_list(1, 1).into_future()));
            states.are(&[InstanceState::Starting]).await;
        }
    }

    async fn call(&self, wait: Wait, timeout: Option<Duration>) -> Result<(), Error> {
        let posts = self.client.collection("posts");
        let timeout = timeout.unwrap_or(Duration::from_secs(30));
        match wait {
            Upload | StreamUpload => {
                let data = bytes::Bytes::from(vec![b'y'; 2_000_000]);
                let source = if wait == Upload {
                    FileSource::bytes("y.bin", data)
                } else {
                    FileSource::stream("y.bin", None, futures_util::stream::iter([Ok(data)]))
                };
                posts.create(&json!({"title": "y"})).file("attachments", source).timeout(timeout).await.map(|_| ())
            }
            Download | Resume => {
                self.client.files().download(&self.post, &self.file).timeout(timeout).bytes().await.map(|_| ())
            }
            _ => posts.get_one(self.post.id()).timeout(timeout).await.map(|_| ()),
        }
    }

    /// The fault goes, and all is as it was.
    async fn recover(&mut self, wait: Wait) {
        settled(&self.proxy).await;
        self.proxy.clear_faults().await;
        self.store.0.add_permits(1000);
        if matches!(wait, Gate | Probe) {
            self.client.health().await.unwrap();
        }
        let (result, took) = timed(self.client.collection("posts").get_one(self.post.id())).await;
        result.unwrap();
        assert!(took < LATE, "{wait:?} {took:?}");
        if let Some(other) = self.other.take() {
            other.await.unwrap().unwrap();
        }
        settled(&self.proxy).await;
    }
}

#[tokio::test]
async fn deadlines() {
    within(
        30,
        futures_util::future::join_all(ALL.map(|wait| async move {
            let mut scene = Scene::new(wait).await;
            scene.begin(wait).await;
            let (result, took) = timed(scene.call(wait, Some(ms(2500)))).await;
            let error = result.unwrap_err();
            assert!(took < LATE, "{wait:?} {took:?}");
            let kinds: &[ErrorKind] = match wait {
                // Where waiting would pass the deadline, the last answer stands.
                Throttled => &[ErrorKind::RateLimited],
                Backoff | Resume => &[ErrorKind::Network, ErrorKind::Timeout],
                _ => &[ErrorKind::Timeout],
            };
            assert!(kinds.contains(&error.kind()), "{wait:?} {error:?}");
            if error.kind() == ErrorKind::Timeout {
                assert!(took >= ms(2450), "{wait:?} {took:?}");
            }
            scene.recover(wait).await;
        })),
    )
    .await;
}

#[tokio::test]
async fn cancellations() {
    within(
        30,
        futures_util::future::join_all(ALL.map(|wait| async move {
            let mut scene = Scene::new(wait).await;
            scene.begin(wait).await;
            if matches!(wait, Backoff | Resume) {
                // The waits are random, so the call is left at random places.
                for _ in 0..5 {
                    let _ = tokio::time::timeout(ms(100), scene.call(wait, None)).await;
                }
            } else {
                cancelled_after(ms(400), scene.call(wait, None)).await;
            }
            scene.recover(wait).await;
        })),
    )
    .await;
}

#[tokio::test]
async fn a_hook_hears_of_a_cancelled_call() {
    within(10, async {
        let proxy = proxy().await;
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = seen.clone();
        let (client, _) = watched(&proxy.url, |b| b.after_call(move |r| sink.lock().unwrap().push(r.clone())));
        proxy.faults(json!([{"action": {"type": "stall"}}])).await;
        cancelled_after(ms(200), client.collection("posts").get_list(1, 1)).await;
        let reports = seen.lock().unwrap().clone();
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].error.as_ref().map(Error::kind), Some(ErrorKind::Cancelled));
        assert!(reports[0].elapsed >= ms(150));
    })
    .await;
}

#[tokio::test]
async fn a_deadline_after_the_instance_woke_up_is_a_timeout() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b.cold_start_timeout(ms(5000)));
        proxy
            .faults(json!([
                {"times": 1, "action": {"type": "respond", "status": 503, "headers": {"Retry-After": "1"}}},
                {"skip": 1, "action": {"type": "stall"}},
                {"times": 1, "action": {"type": "respond", "status": 429, "headers": {"Retry-After": "1"}}},
            ]))
            .await;
        let error = client.collection("posts").get_list(1, 1).timeout(ms(9000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert_eq!(states.all().len(), 2);
    })
    .await;
}
