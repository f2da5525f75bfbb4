//! B5: answers that are not what they should be.

use futures_util::future::join_all;
use picobase::{ErrorKind, transport::Method};
use serde_json::{Value, json};

use crate::{
    common::{client, kit, new_post, unique, within},
    tools::{ms, proxy, timed, watched},
};

fn answer(status: u16, body: Value) -> Value {
    json!([{"action": {"type": "respond", "status": status, "body": body, "content_type": "text/html"}}])
}

#[tokio::test]
async fn pages_and_nothing_in_place_of_json() {
    within(20, async {
        let proxy = proxy().await;
        let client = client(&proxy.url);
        let posts = client.collection("posts");
        let bodies = ["<html><body>Welcome</body></html>", "", "{\"id\": \"cut", "nul", "{}}", "\u{feff}x"];
        for body in bodies {
            proxy.faults(answer(200, json!(body))).await;
            proxy.clear_requests().await;
            let errors = [
                posts.get_one("abc").await.map(|_| ()).unwrap_err(),
                posts.get_list(1, 1).await.map(|_| ()).unwrap_err(),
                client.send::<Value>(Method::Get, "/api/x").await.map(|_| ()).unwrap_err(),
                client.auth().sign_in("a", "b").await.map(|_| ()).unwrap_err(),
            ];
            for error in errors {
                assert_eq!((error.kind(), error.status()), (ErrorKind::Decode, 200), "{body:?} {error:?}");
                assert_eq!(error.attempts(), 1, "{body:?} {error:?}");
                assert!(error.url().unwrap().starts_with(&proxy.url));
            }
            assert_eq!(posts.create(&json!({"title": "x"})).await.unwrap_err().kind(), ErrorKind::Decode);
            assert_eq!(proxy.requests().await.len(), 5);
        }
        proxy.faults(answer(200, json!("<html>"))).await;
        assert_eq!(posts.delete("abc").await.unwrap_err().kind(), ErrorKind::Decode);
        proxy.faults(answer(204, json!(""))).await;
        posts.delete("abc").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn json_of_another_shape() {
    within(20, async {
        let proxy = proxy().await;
        let client = client(&proxy.url);
        for body in [json!([]), json!({}), json!({"items": 5}), json!("text"), json!({"items": [1, 2]}), Value::Null] {
            let text = Value::String(body.to_string());
            proxy.faults(answer(200, text)).await;
            let list = client.collection("posts").get_list(1, 1).await.unwrap_err();
            assert_eq!(list.kind(), ErrorKind::Decode, "{body}");
            let all = client.collection("posts").get_full_list().await.unwrap_err();
            assert_eq!(all.kind(), ErrorKind::Decode, "{body}");
            let session = client.auth().sign_in("a", "b").await.unwrap_err();
            assert_eq!(session.kind(), ErrorKind::Decode, "{body}");
            assert!(client.auth().session().is_none());
        }
        // A token that is none begins no session.
        proxy.faults(answer(200, json!({"token": "abc", "record": {"id": "x"}}))).await;
        assert_eq!(client.auth().sign_in("a", "b").await.unwrap_err().kind(), ErrorKind::Decode);
        assert!(client.auth().session().is_none());
    })
    .await;
}

#[tokio::test]
async fn truncated_answers() {
    within(30, async {
        let server = kit().server().await;
        server.seed("bulk", 500).await;
        let server = &server;
        let cuts = [
            json!({"type": "truncate", "bytes": 10}),
            json!({"type": "reset", "when": "after_response_bytes", "bytes": 10}),
            json!({"type": "close", "when": "after_response_bytes", "bytes": 10}),
            json!({"type": "reset", "when": "after_response_bytes", "bytes": 0}),
        ];
        join_all(cuts.map(|cut| async move {
            let proxy = server.proxy().await;
            let (client, _) = watched(&proxy.url, |b| b.max_retries(1));
            let post = new_post(&client, "here").await;
            // Short answers have a length, long ones come in chunks.
            proxy.faults(json!([{"times": 1, "action": cut}])).await;
            client.collection("posts").get_one(post.id()).await.unwrap();
            proxy.faults(json!([{"times": 1, "action": cut}])).await;
            assert_eq!(client.collection("bulk").get_list(1, 500).await.unwrap().items.len(), 500, "{cut}");
            proxy.faults(json!([{"action": cut}])).await;
            let error = client.collection("bulk").get_list(1, 500).await.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 2), "{cut} {error:?}");
            proxy.clear_requests().await;
            let error = client.collection("posts").create(&json!({"title": unique("cut")})).await.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{cut} {error:?}");
            assert_eq!(proxy.requests().await.len(), 1);
        }))
        .await;
    })
    .await;
}

#[tokio::test]
async fn slow_answers() {
    within(30, async {
        let proxy = proxy().await;
        let client = client(&proxy.url);
        let post = new_post(&client, "slow").await;
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 1000}}])).await;
        let posts = client.collection("posts");
        posts.get_one(post.id()).await.unwrap();
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 20}}])).await;
        let (result, took) = timed(posts.get_one(post.id()).timeout(ms(500))).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(took >= ms(450) && took < ms(900), "{took:?}");
    })
    .await;
}

#[tokio::test]
async fn errors_with_odd_bodies() {
    within(40, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        let create = || client.collection("posts").create(&json!({"title": "x"})).into_future();
        let html = format!("<html>{}</html>", "oops ".repeat(1000));
        for (status, kind) in [(500, ErrorKind::Server), (403, ErrorKind::Forbidden), (400, ErrorKind::Validation)] {
            proxy.faults(answer(status, json!(html))).await;
            let error = create().await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (kind, status));
            assert!(error.body().unwrap().starts_with("<html>") && error.body().unwrap().len() < 300);
            assert!(error.message().len() < 200);
        }
        // Larger than an error may be: the rest is not read.
        let huge = Value::String(format!("{{\"message\": \"{}\"}}", "x".repeat(1_600_000)));
        proxy.faults(answer(500, huge)).await;
        let (result, took) = timed(create()).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Server, 500));
        assert!(error.body().unwrap().len() < 300 && took < ms(3000), "{took:?}");
        // It never ends.
        let endless = json!([
            {"action": {"type": "slow", "bytes_per_sec": 10}},
            {"action": {"type": "respond", "status": 500, "body": "x".repeat(100_000)}},
        ]);
        proxy.faults(endless).await;
        let (result, took) = timed(create()).await;
        assert_eq!(result.unwrap_err().status(), 500);
        assert!(took < ms(8000), "{took:?}");
        // A 503 in a page is a 503.
        proxy.clear_requests().await;
        proxy
            .faults(json!([{"times": 1, "action": {"type": "respond", "status": 503, "body": html, "content_type": "text/html"}}]))
            .await;
        create().await.unwrap();
        assert_eq!(states.all().len(), 2);
    })
    .await;
}
