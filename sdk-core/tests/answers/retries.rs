//! What is tried again and what is not: throttled calls, lost answers, creates that must not happen twice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use picobase::{
    Client, ErrorKind, Record,
    files::FileSource,
    runtime::BoxFuture,
    transport::{Method, Request, ReqwestTransport, Response, Transport, TransportError},
};
use picobase_testkit::Proxy;
use serde_json::{Value, json};

use crate::{
    common::{LATE, PATIENCE, address, builder, client, kit, new_post, password, record_id, superuser, unique, within},
    tools::{assert_error, faulty, ms, outline, timed},
};

fn throttle(retry_after: Option<&str>) -> Value {
    let headers = retry_after.map_or(json!({}), |value| json!({"Retry-After": value}));
    json!({"type": "respond", "status": 429, "headers": headers, "body": {"status": 429, "message": "Slow down.", "data": {}}})
}

/// The posts with this title, past the proxies.
async fn posts(title: &str) -> Vec<Record> {
    let direct = client(&kit().info().direct_url);
    let filter = direct.filter("title = {:t}", [("t", title.into())]).unwrap();
    direct.collection("posts").get_full_list().filter(filter).await.unwrap()
}

fn few_retries(proxy: &Proxy) -> Client {
    builder(&proxy.url).max_retries(2).build().unwrap()
}

#[tokio::test]
async fn throttled_calls_wait_alone() {
    let proxy = faulty(json!([{"times": 1, "path_contains": "/posts/", "action": throttle(Some("5"))}])).await;
    let client = client(&proxy.url);
    let throttled = tokio::spawn({
        let client = client.clone();
        async move { timed(client.collection("posts").get_list(1, 1)).await }
    });
    proxy.wait_for(1, PATIENCE, |r| r.path.contains("/posts/")).await;
    client.collection("bulk").get_list(1, 1).await.unwrap();
    assert!(!throttled.is_finished(), "the other call waited");
    let (list, took) = throttled.await.unwrap();
    list.unwrap();
    assert!((ms(5000)..PATIENCE).contains(&took), "{took:?}");
    assert_eq!(outline(&proxy.requests().await), ["GET 429", "GET 200", "GET 200"]);
}

#[tokio::test]
async fn throttled_writes_are_repeated_too() {
    let proxy = faulty(json!([{"times": 1, "action": throttle(None)}])).await;
    let client = client(&proxy.url);
    let title = unique("throttled");
    let (post, took) = timed(client.collection("posts").create(&json!({"title": title}))).await;
    post.unwrap();
    assert!(took < LATE, "the first wait is at most half a second, this was {took:?}");
    assert_eq!(outline(&proxy.requests().await), ["POST 429", "POST 200"]);
    assert_eq!(posts(&title).await.len(), 1);
}

#[tokio::test]
async fn throttled_for_good() {
    let proxy = faulty(json!([{"action": throttle(Some("1"))}])).await;
    let once = builder(&proxy.url).max_retries(1).build().unwrap();
    let (error, took) = timed(once.collection("posts").get_list(1, 1)).await;
    let error = error.unwrap_err();
    assert_error(&error, ErrorKind::RateLimited, 429, 2);
    assert_eq!((error.retry_after(), error.message()), (Some(Duration::from_secs(1)), "Slow down."));
    assert!((ms(1000)..LATE).contains(&took), "{took:?}");

    proxy.faults(json!([{"action": throttle(Some("25"))}])).await;
    proxy.clear_requests().await;
    let never = builder(&proxy.url).max_retries(0).build().unwrap();
    let (error, took) = timed(never.collection("posts").create(&json!({"title": "x"}))).await;
    assert_error(&error.unwrap_err(), ErrorKind::RateLimited, 429, 1);
    assert!(took < LATE, "{took:?}");
    assert_eq!(outline(&proxy.requests().await), ["POST 429"]);
}

#[tokio::test]
async fn throttled_past_the_deadline() {
    let proxy = faulty(json!([{"action": throttle(Some("60"))}])).await;
    let client = client(&proxy.url);
    let (error, took) = timed(client.collection("posts").get_list(1, 1).timeout(Duration::from_secs(25))).await;
    let error = error.unwrap_err();
    assert_error(&error, ErrorKind::RateLimited, 429, 1);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    assert!(took < LATE, "{took:?}");
    // The default deadline is one, too.
    let (error, took) = timed(client.collection("posts").get_list(1, 1)).await;
    assert_error(&error.unwrap_err(), ErrorKind::RateLimited, 429, 1);
    assert!(took < LATE, "{took:?}");
    // A transfer may take as long as it makes progress, and waiting is none.
    let (error, took) = timed(client.files().download(("posts", "abc"), "a.txt").bytes()).await;
    assert_error(&error.unwrap_err(), ErrorKind::RateLimited, 429, 1);
    assert!(took < LATE, "{took:?}");
    let file = FileSource::bytes("a.txt", "a");
    let (error, took) =
        timed(client.collection("posts").create(&json!({"title": "x"})).file("attachments", file)).await;
    assert_error(&error.unwrap_err(), ErrorKind::RateLimited, 429, 1);
    assert!(took < LATE, "{took:?}");
}

#[tokio::test]
async fn throttled_until_a_date() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let proxy = faulty(json!([{"times": 1, "action": throttle(Some(&http_date(now + 3)))}])).await;
    timed(client(&proxy.url).collection("posts").get_list(1, 1)).await.0.unwrap();
    let date = UNIX_EPOCH + Duration::from_secs(now + 3);
    assert!((date..date + LATE).contains(&SystemTime::now()));
}

/// A moment of this century as HTTP writes it.
fn http_date(at: u64) -> String {
    let (mut days, mut year, mut month) = (at / 86_400 - 10_957, 2000, 0);
    let leap = |year: u64| year.is_multiple_of(4);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month];
    let (h, m, s) = (at / 3600 % 24, at / 60 % 60, at % 60);
    format!("Mon, {:02} {name} {year} {h:02}:{m:02}:{s:02} GMT", days + 1)
}

#[tokio::test]
async fn rate_limits_of_the_server() {
    let server = kit().server_with(json!({"rate_limits": true})).await;
    let impatient = builder(&server.url).max_retries(0).build().unwrap();
    let sign_in = |client: &Client| {
        let auth = client.auth();
        async move { auth.sign_in("alice@example.com", password()).await }
    };
    let mut refused = None;
    for _ in 0..4 {
        refused = sign_in(&impatient).await.err().or(refused);
    }
    assert_error(&refused.unwrap(), ErrorKind::RateLimited, 429, 1);
    let patient = builder(&server.url).max_retries(20).build().unwrap();
    within(20, sign_in(&patient)).await.unwrap();
    let log = server.default_proxy().requests().await;
    assert_eq!(log.last().unwrap().status, Some(200));
}

#[tokio::test]
async fn gateway_errors() {
    for status in [502, 504] {
        let proxy = faulty(json!([])).await;
        let client = few_retries(&proxy);
        let post = new_post(&client, &unique("gateway")).await;
        let once =
            json!([{"times": 1, "action": {"type": "respond", "status": status, "body": "<h1>Bad gateway</h1>"}}]);
        let posts = client.collection("posts");

        proxy.faults(once.clone()).await;
        proxy.clear_requests().await;
        posts.get_one(post.id()).await.unwrap();
        assert_eq!(outline(&proxy.requests().await), [format!("GET {status}"), "GET 200".to_string()]);

        proxy.faults(once.clone()).await;
        proxy.clear_requests().await;
        let route = "/api/collections/posts/records";
        let made: Value = client.send(Method::Post, route).body(&json!({"title": "safe"})).safe().await.unwrap();
        assert_eq!(made["title"], "safe");
        assert_eq!(outline(&proxy.requests().await), [format!("POST {status}"), "POST 200".to_string()]);

        proxy.faults(json!([{"action": {"type": "respond", "status": status, "body": "<h1>Bad gateway</h1>"}}])).await;
        proxy.clear_requests().await;
        let created = posts.create(&json!({"title": "x"})).await.unwrap_err();
        let updated = posts.update(post.id(), &json!({"title": "y"})).await.unwrap_err();
        let deleted = posts.delete(post.id()).await.unwrap_err();
        let sent = client.send::<Value>(Method::Put, "/api/x").body(&json!({})).await.unwrap_err();
        for error in [created, updated, deleted, sent] {
            assert_error(&error, ErrorKind::Server, status, 1);
            assert_eq!((error.maybe_created(), error.body()), (None, Some("<h1>Bad gateway</h1>")));
        }
        let methods = ["POST", "PATCH", "DELETE", "PUT"].map(|method| format!("{method} {status}"));
        assert_eq!(outline(&proxy.requests().await), methods);
    }
}

#[tokio::test]
async fn errors_of_the_server_stand() {
    for status in [500, 501, 505, 400, 403, 404, 408, 418] {
        let proxy =
            faulty(json!([{"action": {"type": "respond", "status": status, "body": {"message": "No."}}}])).await;
        let client = client(&proxy.url);
        let error = client.collection("posts").get_one("abc").await.unwrap_err();
        assert_eq!((error.status(), error.attempts(), error.message()), (status, 1, "No."));
        let error = client.send::<Value>(Method::Post, "/api/x").safe().await.unwrap_err();
        assert_eq!((error.status(), error.attempts()), (status, 1));
        assert_eq!(proxy.requests().await.len(), 2);
    }
}

#[tokio::test]
async fn broken_connections() {
    for action in [
        json!({"type": "reset", "when": "before_forward"}),
        json!({"type": "close", "when": "before_forward"}),
        json!({"type": "lose_answer"}),
        json!({"type": "reset", "when": "after_response_bytes", "bytes": 20}),
    ] {
        let proxy = faulty(json!([{"times": 1, "action": action}])).await;
        let client = few_retries(&proxy);
        client.collection("posts").get_list(1, 5).await.unwrap_or_else(|e| panic!("{action}: {e}"));
        assert_eq!(outline(&proxy.requests().await).last().unwrap(), "GET 200", "{action}");
        assert_eq!(proxy.requests().await.len(), 2, "{action}");

        // The connection has been in use: the one that breaks is not a fresh one.
        proxy.clear_requests().await;
        proxy.faults(json!([{"action": action}])).await;
        let title = unique("broken");
        let error = client.collection("posts").create(&json!({"title": title})).await.unwrap_err();
        assert_error(&error, ErrorKind::Network, 0, 1);
        assert_eq!(error.maybe_created(), None);
        let log = proxy.requests().await;
        assert_eq!((log.len(), posts(&title).await.len()), (1, usize::from(log[0].forwarded)), "{action}");
        let post = new_post(&self::client(&kit().info().direct_url), &title).await;
        let error = client.collection("posts").update(post.id(), &json!({"n": 1})).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{action}");
        let error = client.collection("posts").get_list(1, 5).await.unwrap_err();
        assert_error(&error, ErrorKind::Network, 0, 3);
    }
}

#[tokio::test]
async fn safe_create_after_a_lost_answer() {
    let proxy = faulty(json!([])).await;
    let client = few_retries(&proxy);
    let lose = json!([{"method": "POST", "times": 1, "action": {"type": "lose_answer"}}]);
    for with_file in [false, true] {
        proxy.faults(lose.clone()).await;
        proxy.clear_requests().await;
        let title = unique("safe");
        let mut create = client.collection("posts").create(&json!({"title": title, "slug": title})).safe_retry();
        if with_file {
            create = create.file("attachments", FileSource::bytes("a.txt", "hello"));
        }
        let post = create.fields("id,title,attachments").header("X-Mine", "1").await.unwrap();
        let there = posts(&title).await;
        assert_eq!((there.len(), there[0].id()), (1, post.id()));
        assert_eq!((post.get_str("title"), post.fields().len()), (Some(title.as_str()), 3));
        assert_eq!(post.get_list("attachments").len(), usize::from(with_file));
        let log = proxy.requests().await;
        assert_eq!(outline(&log), ["POST -", "POST 400", "GET 200"]);
        assert!(log.iter().all(|r| r.headers.get("x-mine").is_some_and(|v| v == "1")), "{log:?}");
    }
    // An answer of a gateway that gave up waiting is a lost one.
    proxy
        .faults(json!([{"method": "POST", "times": 1, "action": {"type": "respond_after_forward", "status": 504}}]))
        .await;
    let title = unique("safe");
    let post = client.collection("posts").create(&json!({"title": title})).safe_retry().await.unwrap();
    assert_eq!(posts(&title).await.iter().map(Record::id).collect::<Vec<_>>(), [post.id()]);
}

#[tokio::test]
async fn safe_create_of_a_user() {
    let proxy = faulty(json!([{"method": "POST", "times": 1, "action": {"type": "lose_answer"}}])).await;
    let root = superuser(&proxy.url).await;
    let body = json!({"email": address("safe"), "password": password(), "passwordConfirm": password()});
    let user = root.collection("users").create(&body).safe_retry().await.unwrap();
    assert_eq!(user.get_str("email"), body["email"].as_str());
}

#[tokio::test]
async fn safe_create_that_cannot_be_read() {
    let server = kit().server().await;
    let root = superuser(&server.direct_url).await;
    let hidden =
        json!({"name": "drop_box", "type": "base", "createRule": "", "fields": [{"type": "text", "name": "t"}]});
    root.collections().create::<Value>(&hidden).await.unwrap();
    let proxy = server.default_proxy();
    proxy.faults(json!([{"method": "POST", "times": 1, "action": {"type": "lose_answer"}}])).await;
    let error = few_retries(&proxy).collection("drop_box").create(&json!({"t": "x"})).safe_retry().await.unwrap_err();
    assert_error(&error, ErrorKind::Conflict, 400, 2);
    let there = root.collection("drop_box").get_full_list().await.unwrap();
    assert_eq!((there.len(), error.maybe_created()), (1, Some(there[0].id())));
}

#[tokio::test]
async fn safe_create_whose_answers_stay_lost() {
    let proxy = faulty(json!([{"method": "POST", "action": {"type": "lose_answer"}}])).await;
    let client = builder(&proxy.url).max_retries(1).build().unwrap();
    let title = unique("lost");
    let error = client.collection("posts").create(&json!({"title": title})).safe_retry().await.unwrap_err();
    assert_error(&error, ErrorKind::Network, 0, 2);
    let there = posts(&title).await;
    assert_eq!((there.len(), error.maybe_created()), (1, Some(there[0].id())));

    // Nothing came in time.
    let stall = json!({"type": "stall", "when": "after_response_bytes", "bytes": 0});
    proxy.faults(json!([{"method": "POST", "action": stall}])).await;
    let title = unique("stalled");
    let create = client.collection("posts").create(&json!({"title": title})).safe_retry().timeout(ms(3000));
    let (error, took) = timed(create).await;
    let error = error.unwrap_err();
    assert_error(&error, ErrorKind::Timeout, 0, 1);
    assert!(took < LATE, "{took:?}");
    assert_eq!(posts(&title).await.first().map(Record::id), error.maybe_created());
    assert!(error.maybe_created().is_some());
}

#[tokio::test]
async fn safe_create_before_the_instance_fell_asleep() {
    for (status, kind) in [(503, ErrorKind::InstanceUnavailable), (401, ErrorKind::Unauthorized)] {
        let proxy = faulty(json!([
            {"method": "POST", "times": 1, "action": {"type": "lose_answer"}},
            {"action": {"type": "respond", "status": status, "body": {"message": "no"}}},
        ]))
        .await;
        let client = builder(&proxy.url).cold_start_timeout(ms(1500)).build().unwrap();
        let title = unique("asleep");
        let error = client.collection("posts").create(&json!({"title": title})).safe_retry().await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, status), "{error}");
        assert_eq!(posts(&title).await.first().map(Record::id), error.maybe_created());
        assert!(error.maybe_created().is_some(), "{error:?}");
    }
}

#[tokio::test]
async fn safe_create_reads_back_within_its_deadline() {
    let proxy = faulty(json!([
        {"method": "POST", "times": 1, "action": {"type": "lose_answer"}},
        {"method": "GET", "action": {"type": "stall", "when": "after_response_bytes", "bytes": 0}},
    ]))
    .await;
    let client = few_retries(&proxy);
    let create = client.collection("posts").create(&json!({"title": "late"})).safe_retry().timeout(ms(8000));
    let (error, took) = timed(create).await;
    let error = error.unwrap_err();
    assert!(error.maybe_created().is_some(), "{error}");
    assert!(took < ms(15_000), "{took:?}: as if reading back had a deadline of its own");
}

#[tokio::test]
async fn the_record_of_another_is_not_ours() {
    let asleep = json!({"type": "respond", "status": 503, "headers": {"Retry-After": "0"}});
    for first in [asleep, throttle(Some("0"))] {
        let proxy = faulty(json!([{"method": "POST", "times": 1, "action": first}])).await;
        let client = few_retries(&proxy);
        let (id, theirs) = (record_id(), unique("theirs"));
        let direct = self::client(&kit().info().direct_url);
        direct.collection("posts").create(&json!({"id": id, "title": theirs})).await.unwrap();
        // The first request was not processed, so the record was there before.
        let ours = client.collection("posts").create(&json!({"id": id, "title": "ours"})).safe_retry().await;
        let error = ours.unwrap_err();
        assert_error(&error, ErrorKind::Conflict, 400, 2);
        assert_eq!(error.maybe_created(), None);
    }
}

/// Sends each POST twice and tells of the second time only, as browsers do where a connection that they kept breaks.
struct Twice(ReqwestTransport);

impl Transport for Twice {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            if request.method == Method::Post {
                self.0.send(request.clone()).await?;
            }
            self.0.send(request).await
        })
    }
}

#[tokio::test]
async fn safe_create_that_the_transport_repeats_by_itself() {
    let transport = Twice(ReqwestTransport::new(reqwest::Client::new()));
    let client = builder(&kit().info().direct_url).transport(transport).build().unwrap();
    let title = unique("twice");
    let post = client.collection("posts").create(&json!({"title": title})).safe_retry().await.unwrap();
    assert_eq!(post.get_str("title"), Some(title.as_str()));
    assert_eq!(posts(&title).await.len(), 1);
    let own = json!({"id": record_id(), "title": "x"});
    let error = client.collection("posts").create(&own).safe_retry().await.unwrap_err();
    assert_error(&error, ErrorKind::Conflict, 400, 1);
}

#[tokio::test]
async fn safe_create_that_is_refused() {
    let proxy = faulty(json!([{"method": "POST", "times": 1, "action": {"type": "lose_answer"}}])).await;
    let error = few_retries(&proxy).collection("posts").create(&json!({"title": ""})).safe_retry().await.unwrap_err();
    assert_error(&error, ErrorKind::Validation, 400, 2);
    assert!(error.field("title").is_some() && error.maybe_created().is_none(), "{error:?}");
    let closed = client("http://no-such-host.invalid");
    let error = closed.collection("posts").create(&json!({"title": "x"})).safe_retry().await.unwrap_err();
    assert_error(&error, ErrorKind::Network, 0, 1);
    assert_eq!(error.maybe_created(), None, "nothing was sent");
}

#[tokio::test]
async fn creates_through_a_cold_start_happen_once() {
    let asleep = json!({"type": "respond", "status": 503, "headers": {"Retry-After": "0"}, "body": "asleep"});
    let proxy = faulty(json!([{"times": 2, "action": asleep}])).await;
    let title = unique("cold");
    let made = within(15, client(&proxy.url).collection("posts").create(&json!({"title": title}))).await.unwrap();
    assert_eq!(outline(&proxy.requests().await), ["POST 503", "POST 503", "POST 200"]);
    assert_eq!(posts(&title).await.iter().map(Record::id).collect::<Vec<_>>(), [made.id()]);
}
