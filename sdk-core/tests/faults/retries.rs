//! B7: what is tried again, and what is not.

use std::time::Duration;

use futures_util::future::join_all;
use picobase::{Client, Error, ErrorKind, transport::Method};
use picobase_testkit::Proxy;
use serde_json::{Value, json};

use crate::{
    common::{client, kit, new_post, password, record_id, unique, within},
    tools::{ms, proxy, timed, watched},
};

fn throttled(times: u64, headers: Value) -> Value {
    let action = json!({"type": "respond", "status": 429, "headers": headers, "body": {"message": "slow down"}});
    json!([{"method": "POST", "times": times, "action": action}])
}

async fn posts_titled(client: &Client, title: &str) -> usize {
    let filter = client.filter("title = {:t}", picobase::params! { "t" => title }).unwrap();
    client.collection("posts").get_full_list().filter(filter).await.unwrap().len()
}

#[tokio::test]
async fn too_many_requests_hold_up_nobody_else() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        for headers in [json!({"Retry-After": "1"}), json!({})] {
            let said = headers != json!({});
            proxy.faults(throttled(1, headers)).await;
            let create = client.collection("posts").create(&json!({"title": unique("throttled")})).into_future();
            let create = tokio::spawn(timed(create));
            proxy.wait_for(1, ms(2000), |r| r.status == Some(429)).await;
            let (list, took) = timed(client.collection("posts").get_list(1, 1)).await;
            list.unwrap();
            assert!(took < ms(400), "{took:?}");
            let (created, took) = create.await.unwrap();
            created.unwrap();
            assert!(if said { took >= ms(990) && took < ms(2000) } else { took < ms(1500) }, "{took:?}");
            proxy.clear_requests().await;
        }
        assert_eq!(states.all(), []);
    })
    .await;
}

#[tokio::test]
async fn throttled_for_good() {
    within(20, async {
        let proxy = proxy().await;
        let (client, _) = watched(&proxy.url, |b| b.max_retries(2));
        let create = || client.collection("posts").create(&json!({"title": "x"}));
        proxy.faults(throttled(100, json!({}))).await;
        let error = create().await.unwrap_err();
        assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::RateLimited, 429, 3));
        assert_eq!(proxy.requests().await.len(), 3);
        // Where the wait would pass the deadline nobody waits.
        proxy.faults(throttled(100, json!({"Retry-After": "3600"}))).await;
        let (result, took) = timed(create()).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(3600))));
        assert!(took < ms(500), "{took:?}");
        // "Now" is what it said, and it was not true.
        proxy.clear_requests().await;
        proxy.faults(throttled(100, json!({"Retry-After": "0"}))).await;
        assert_eq!(create().await.unwrap_err().kind(), ErrorKind::RateLimited);
        assert_eq!(proxy.requests().await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn the_servers_own_rate_limits() {
    within(40, async {
        // Two sign-ins in three seconds.
        let server = kit().server_with(json!({"rate_limits": true})).await;
        let client = client(&server.url);
        let visitors: Vec<_> = (0..3).map(|_| client.with_session("")).collect();
        let sign_ins = visitors.iter().map(|v| {
            let auth = v.auth();
            async move { auth.sign_in("alice@example.com", password()).timeout(Duration::from_secs(30)).await }
        });
        let lists = async {
            for _ in 0..10 {
                let (list, took) = timed(client.collection("posts").get_list(1, 1)).await;
                list.unwrap();
                assert!(took < ms(400), "{took:?}");
                tokio::time::sleep(ms(50)).await;
            }
        };
        let (sessions, ()) = tokio::join!(join_all(sign_ins), lists);
        for session in sessions {
            session.unwrap();
        }
        let log = server.default_proxy().requests().await;
        assert!(log.iter().any(|r| r.status == Some(429)));
    })
    .await;
}

async fn get(client: &Client, id: &str) -> Result<(), Error> {
    client.collection("posts").get_one(id).await.map(|_| ())
}

/// The requests of one kind since the last look.
async fn asked(proxy: &Proxy, method: &str) -> usize {
    let count = proxy.requests().await.iter().filter(|r| r.method == method).count();
    proxy.clear_requests().await;
    count
}

#[tokio::test]
async fn bad_gateways_and_broken_connections() {
    within(30, async {
        let actions = [
            json!({"type": "respond", "status": 502, "body": "<html>bad gateway</html>"}),
            json!({"type": "respond", "status": 504}),
            json!({"type": "reset"}),
            json!({"type": "close"}),
            json!({"type": "lose_answer"}),
            json!({"type": "respond_after_forward", "status": 502}),
        ];
        join_all(actions.map(|action| async move {
            let proxy = proxy().await;
            let (client, states) = watched(&proxy.url, |b| b);
            let post = new_post(&client, "here").await;
            let status = action["status"].as_u64().unwrap_or(0);
            let once = json!([{"times": 1, "action": action}]);
            asked(&proxy, "GET").await;
            proxy.faults(once.clone()).await;
            get(&client, post.id()).await.unwrap();
            assert_eq!(asked(&proxy, "GET").await, 2, "{action}");

            proxy.faults(once.clone()).await;
            let error = client.collection("posts").create(&json!({"title": "once"})).await.unwrap_err();
            assert_eq!((u64::from(error.status()), error.attempts()), (status, 1), "{action}");
            let kind = if status == 0 { ErrorKind::Network } else { ErrorKind::Server };
            assert_eq!(error.kind(), kind, "{action}");
            assert!(error.maybe_created().is_none());
            assert_eq!(asked(&proxy, "POST").await, 1, "{action}");

            proxy.faults(once.clone()).await;
            let update = client.collection("posts").update(post.id(), &json!({"n": 1}));
            assert_eq!(update.await.unwrap_err().attempts(), 1);
            assert_eq!(asked(&proxy, "PATCH").await, 1, "{action}");

            proxy.faults(once.clone()).await;
            client.collection("posts").update(post.id(), &json!({"n": 2})).safe_retry().await.unwrap();
            assert_eq!(asked(&proxy, "PATCH").await, 2, "{action}");

            proxy.faults(once).await;
            let path = "/api/collections/posts/records";
            let safe = client.send::<Value>(Method::Post, path).body(&json!({"title": "safe"})).safe();
            safe.await.unwrap();
            assert_eq!(asked(&proxy, "POST").await, 2, "{action}");
            assert_eq!(states.all(), []);
        }))
        .await;
    })
    .await;
}

#[tokio::test]
async fn lost_for_good() {
    within(20, async {
        let proxy = proxy().await;
        let (client, _) = watched(&proxy.url, |b| b.max_retries(2));
        proxy.faults(json!([{"action": {"type": "reset"}}])).await;
        let error = get(&client, &record_id()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 3));
        assert_eq!(asked(&proxy, "GET").await, 3);
        assert!(error.url().unwrap().starts_with(&proxy.url));
    })
    .await;
}

#[tokio::test]
async fn a_safe_create_after_a_lost_answer() {
    within(20, async {
        let proxy = proxy().await;
        let client = client(&proxy.url);
        for body in [json!({"title": unique("safe")}), json!({"title": unique("safe"), "slug": unique("slug")})] {
            proxy.clear_requests().await;
            proxy.faults(json!([{"times": 1, "method": "POST", "action": {"type": "lose_answer"}}])).await;
            let post = client.collection("posts").create(&body).safe_retry().expand("author").await.unwrap();
            let title = body["title"].as_str().unwrap();
            assert_eq!(post.get_str("title"), Some(title));
            assert_eq!(posts_titled(&client, title).await, 1);
            let log = proxy.requests().await;
            let posts: Vec<_> = log.iter().filter(|r| r.method == "POST").collect();
            assert_eq!((posts.len(), posts[1].status), (2, Some(400)), "{posts:#?}");
            assert!(posts.iter().all(|r| r.body.contains(post.id())));
        }
    })
    .await;
}

#[tokio::test]
async fn a_safe_create_that_cannot_be_read_back() {
    within(20, async {
        let proxy = proxy().await;
        let (client, _) = watched(&proxy.url, |b| b.max_retries(1));
        // Hidden by a rule.
        proxy
            .faults(json!([
                {"times": 1, "method": "POST", "action": {"type": "lose_answer"}},
                {"times": 1, "method": "GET", "action": {"type": "respond", "status": 404}},
            ]))
            .await;
        let title = unique("hidden");
        let error = client.collection("posts").create(&json!({"title": title})).safe_retry().await.unwrap_err();
        let id = error.maybe_created().unwrap();
        assert_eq!(client.collection("posts").get_one(id).await.unwrap().get_str("title"), Some(title.as_str()));
        // All answers are lost.
        proxy.faults(json!([{"method": "POST", "action": {"type": "lose_answer"}}])).await;
        let error = client.collection("posts").create(&json!({"title": title})).safe_retry().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 2));
        let id = error.maybe_created().unwrap();
        assert_eq!(client.collection("posts").get_one(id).await.unwrap().get_str("title"), Some(title.as_str()));
        // The deadline passes while the answer is on its way.
        proxy.faults(json!([{"method": "POST", "action": {"type": "stall", "when": "after_request_bytes", "bytes": 10_000_000}}])).await;
        let create = client.collection("posts").create(&json!({"title": title})).safe_retry().timeout(ms(500));
        let error = create.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let id = error.maybe_created().unwrap();
        proxy.clear_faults().await;
        client.collection("posts").get_one(id).await.unwrap();
        // A refusal says that nothing was created.
        let error = client.collection("posts").create(&json!({"title": ""})).safe_retry().await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_created()), (ErrorKind::Validation, None));
    })
    .await;
}

#[tokio::test]
async fn an_id_of_ones_own_that_is_taken_is_no_success() {
    within(20, async {
        let proxy = proxy().await;
        let client = client(&proxy.url);
        let taken = new_post(&client, "taken").await;
        let create = client.collection("posts").create(&json!({"id": taken.id(), "title": "other"})).safe_retry();
        let error = create.await.unwrap_err();
        assert!(error.field("id").is_some(), "{error:?}");
        assert_eq!((error.attempts(), error.maybe_created()), (1, None));
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_costs_nothing() {
    within(20, async {
        let proxy = proxy().await;
        let client = client(&proxy.url);
        proxy.faults(json!([{"action": {"type": "idle_close", "ms": 50}}])).await;
        for n in 0..5 {
            client.collection("posts").create(&json!({"title": "after a pause", "n": n})).await.unwrap();
            tokio::time::sleep(ms(150)).await;
        }
    })
    .await;
}
