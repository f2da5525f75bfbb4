//! Hooks around each call, and routes of one's own.

use std::{
    future::IntoFuture,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use picobase::{
    Client, Error, ErrorKind,
    client::CallReport,
    transport::{Headers, MemoryTransport, Method, Request, Response},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::common::{builder, client, kit, new_user, shown::Shown, within};

/// A client that gathers the reports of its calls.
fn reporting(url: &str) -> (Client, Arc<Mutex<Vec<CallReport>>>) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = reports.clone();
    let client = builder(url).after_call(move |report| sink.lock().unwrap().push(report.clone())).build().unwrap();
    (client, reports)
}

#[tokio::test]
async fn before_a_call_headers_and_query_can_be_set() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = builder(&proxy.url)
            .before_call(|call| {
                call.headers.set("X-Trace", call.endpoint);
                call.set_query("tenant", "a&b");
            })
            .build()
            .unwrap();
        client.collection("posts").get_list(1, 1).header("X-Own", "yes").await.unwrap();
        let request = proxy.requests().await.remove(0);
        assert_eq!((&request.headers["x-trace"][..], &request.headers["x-own"][..]), ("records.get_list", "yes"));
        assert!(request.query.contains("tenant=a%26b"), "{}", request.query);
    })
    .await;
}

#[tokio::test]
async fn a_hook_may_refuse_a_call() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = builder(&proxy.url)
            .before_call(|call| {
                if call.endpoint == "records.get_one" {
                    call.fail(Error::new(ErrorKind::Configuration, "there is no tenant yet"));
                }
            })
            .build()
            .unwrap();
        let refused = client.collection("posts").get_one("abc").await.unwrap_err();
        assert_eq!((refused.kind(), refused.message()), (ErrorKind::Configuration, "there is no tenant yet"));
        assert!(proxy.requests().await.is_empty());
        client.collection("posts").get_list(1, 1).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn after_a_call_there_is_a_report() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, reports) = reporting(&proxy.url);
        proxy.faults(json!([{"times": 1, "action": {"type": "respond", "status": 502}}])).await;
        client.collection("posts").get_list(1, 1).await.unwrap();
        let _ = client.collection("posts").get_one("missing").await;
        let _ = client.collection("posts").get_one("").await;
        let reports = reports.lock().unwrap();
        assert_eq!(reports.len(), 2, "what was never sent has no report");
        let first = &reports[0];
        assert_eq!(
            (first.endpoint, first.method, first.status, first.attempts),
            ("records.get_list", Method::Get, 200, 2)
        );
        assert_eq!(first.template, "/api/collections/{c}/records");
        assert!(
            first.url.ends_with("/records?page=1&perPage=1") && first.elapsed > Duration::ZERO && first.error.is_none()
        );
        assert_eq!((reports[1].status, reports[1].error.as_ref().unwrap().kind()), (404, ErrorKind::NotFound));
    })
    .await;
}

#[tokio::test]
async fn the_log_warns_of_trouble_alone() {
    within(60, async {
        let proxy = kit().proxy().await;
        let posts = builder(&proxy.url).max_retries(0).build().unwrap().collection("posts");
        for (status, level) in [(400, "DEBUG"), (401, "DEBUG"), (403, "DEBUG"), (404, "DEBUG"), (409, "DEBUG")]
            .into_iter()
            .chain([(429, " WARN"), (500, " WARN"), (302, " WARN")])
        {
            let shown = Shown::default();
            let _guard = shown.listen();
            proxy.faults(json!([{"action": {"type": "respond", "status": status}}])).await;
            posts.get_list(1, 1).await.unwrap_err();
            let said = shown.text();
            let line = said.lines().find(|line| line.contains("call failed")).unwrap();
            assert!(line.contains(level) && line.contains(&format!("status={status}")), "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_call_is_reported_as_such() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, reports) = reporting(&proxy.url);
        proxy.faults(json!([{"action": {"type": "delay", "ms": 5000}}])).await;
        let call = client.collection("posts").get_list(1, 1).into_future();
        assert!(tokio::time::timeout(Duration::from_millis(200), call).await.is_err());
        let late = client.collection("posts").get_list(1, 1).timeout(Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        let kinds: Vec<_> = reports.lock().unwrap().iter().map(|r| r.error.as_ref().unwrap().kind()).collect();
        assert_eq!(kinds, [ErrorKind::Cancelled, ErrorKind::Timeout]);
    })
    .await;
}

#[tokio::test]
async fn routes_of_ones_own() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        proxy.clear_requests().await;
        let health: Value = client.send(Method::Get, "/api/health").await.unwrap();
        assert_eq!(health["code"], 200);
        let path = "api/collections/posts/records?perPage=1";
        let made: Value =
            client.send(Method::Post, path).query("fields", "title").body(&json!({"title": "sent"})).await.unwrap();
        assert_eq!(made, json!({"title": "sent"}));
        client.send::<()>(Method::Head, "/api/health").await.unwrap();
        let missing = client.rpc::<Value>("a/b", &json!({"x": 1})).await.unwrap_err();
        assert_eq!(missing.status(), 404);
        let log = proxy.requests().await;
        let seen: Vec<_> = log.iter().map(|r| format!("{} {}?{}", r.method, r.path, r.query)).collect();
        let expected = [
            "GET /api/health?",
            "POST /api/collections/posts/records?perPage=1&fields=title",
            "HEAD /api/health?",
            "POST /api/rpc/a%2Fb?",
        ];
        assert_eq!(seen, expected);
        assert!(log.iter().all(|r| r.headers.contains_key("authorization")));
    })
    .await;
}

#[tokio::test]
async fn routes_that_leave_the_instance_are_refused() {
    within(60, async {
        let (proxy, other) = (kit().proxy().await, kit().proxy().await);
        let client = client(&proxy.url);
        let elsewhere = format!("{}/api/health", other.url);
        let double = format!("//{}", elsewhere.trim_start_matches("http://"));
        for path in [elsewhere.as_str(), &double, "/api/a b", "/api/#x", "/api\\x"] {
            let error = client.send::<Value>(Method::Get, path).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{path}");
        }
        for path in ["/api/../_/", "/api/%2e%2E/x", "/."] {
            let error = client.send::<Value>(Method::Delete, path).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{path}");
        }
        for name in ["", "..", "."] {
            assert_eq!(client.rpc::<Value>(name, &json!({})).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
        assert!(proxy.requests().await.is_empty() && other.requests().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_is_no_json_is_a_decode_error() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let html = json!({"type": "respond", "status": 200, "body": "<html>hello</html>", "content_type": "text/html"});
        proxy.faults(json!([{"action": html}])).await;
        let error = client.collection("posts").get_list(1, 1).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Decode, 200));
        assert_eq!(error.body(), Some("<html>hello</html>"));
        assert!(error.url().is_some_and(|url| url.contains("/posts/records")) && error.attempts() == 1, "{error:?}");
        let posts = client.collection("posts");
        let answers = [
            posts.delete("x").await,
            posts.create(&json!({"title": "x"})).await.map(drop),
            client.auth().sign_in("a@example.com", "x").await.map(drop),
            client.auth().request_verification("a@example.com").await,
            client.auth().confirm_verification("x").await,
            client.auth().confirm_password_reset("x", "y").await,
            client.auth().confirm_email_change("x", "y").await,
            client.collections().delete("posts").await,
            client.batch().send().await.map(drop).and(posts.get_full_list().await.map(drop)),
            client.files().get_token().await.map(drop),
            client.health().await.map(drop),
        ];
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Decode, "call {n}");
        }
    })
    .await;
}

#[tokio::test]
async fn json_of_another_shape_says_where_it_came_from() {
    within(60, async {
        let proxy = kit().proxy().await;
        let error = client(&proxy.url).send::<Vec<u8>>(Method::Get, "/api/health").await.unwrap_err();
        assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Decode, 200, 1));
        assert!(error.url().unwrap().ends_with("/api/health"), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn another_instance_is_another_session() {
    within(60, async {
        let (one, two) = (kit().server().await, kit().server().await);
        let (client, _) = new_user(&one.url).await;
        let token = client.files().get_token().await.unwrap();
        client.set_url(&format!("{}/", two.url)).await.unwrap();
        assert!(client.auth().session().is_none());
        let title = "moved";
        client.collection("posts").create(&json!({"title": title})).await.unwrap();
        assert_eq!(two.default_proxy().requests().await.len(), 1);
        client.set_url(&one.url).keep_session().await.unwrap();
        assert_ne!(client.files().get_token().await.map_err(|e| e.status()), Ok(token));
    })
    .await;
}

#[tokio::test]
async fn a_session_of_the_instance_before_does_not_begin_at_the_next() {
    within(60, async {
        let user = new_user(&kit().server().await.url).await.0.auth().session().unwrap();
        let session = json!({"token": user.token(), "record": user.record::<Value>().unwrap()}).to_string();
        let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, wanted) = (asked.clone(), answer.clone());
        let transport = MemoryTransport::new(move |_| {
            let (told, wanted, session) = (told.clone(), wanted.clone(), session.clone());
            async move {
                told.notify_one();
                wanted.notified().await;
                Ok(Response::new(200, Headers::new(), session))
            }
        });
        let client = Client::builder().url("http://one").transport(transport).build().unwrap();
        let signing_in = tokio::spawn(client.auth().sign_in("ada@example.com", "secret").into_future());
        asked.notified().await;
        client.set_url("http://two").await.unwrap();
        answer.notify_one();
        let error = signing_in.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
        assert!(client.auth().session().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_token_never_leaves_its_instance_with_a_call_that_begins_meanwhile() {
    within(60, async {
        let leaks = Arc::new(AtomicUsize::new(0));
        let seen = leaks.clone();
        let transport = MemoryTransport::new(move |request: Request| {
            let leaks = request.url.starts_with("http://two") && request.headers.get("authorization").is_some();
            seen.fetch_add(leaks.into(), Ordering::SeqCst);
            async { Ok(Response::new(200, Headers::new(), "{}")) }
        });
        let client = Client::builder().url("http://one").transport(transport).build().unwrap();
        let user = new_user(&kit().server().await.url).await.0.auth().session().unwrap();
        // Before its first call another address would only configure.
        client.send::<Value>(Method::Get, "/x").await.unwrap();
        let calls = [0; 2].map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                loop {
                    let _ = client.send::<Value>(Method::Get, "/x").await;
                    tokio::task::yield_now().await;
                }
            })
        });
        for _ in 0..5000 {
            client.set_url("http://one").await.unwrap();
            client.auth().set_session(user.clone()).await.unwrap();
            client.set_url("http://two").await.unwrap();
        }
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(leaks.load(Ordering::SeqCst), 0);
    })
    .await;
}
