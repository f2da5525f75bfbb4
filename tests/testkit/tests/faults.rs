//! Every fault as a client sees it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests assert by panicking")]

mod common;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use common::{End, HEALTH, PATIENCE, POSTS, Raw, SILENCE, Seen, call, patience};
use picobase_testkit::{Proxy, Testkit};
use serde_json::{Value, json};

async fn proxy_with(rules: Value) -> Proxy {
    let proxy = Testkit::shared().proxy().await;
    proxy.faults(rules).await;
    proxy
}

/// One GET through a proxy with one rule.
async fn get_with(action: Value, path: &str, patience: Duration) -> (Proxy, Seen) {
    let proxy = proxy_with(json!([{"action": action}])).await;
    let mut raw = match Raw::try_open(&proxy.url).await {
        Ok(raw) => raw,
        // A reset at accept can be as quick as the connect itself.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return (proxy, Seen::reset()),
        Err(error) => panic!("{error}"),
    };
    raw.send("GET", path, "").await;
    let seen = raw.receive(patience).await;
    (proxy, seen)
}

async fn count_posts(title: &str) -> Value {
    let path = format!("{POSTS}?filter=title%3D%22{title}%22");
    call(&Testkit::shared().info().direct_url, "GET", &path, "").await.json()["totalItems"].clone()
}

#[tokio::test]
async fn without_rules_everything_passes() {
    let proxy = Testkit::shared().proxy().await;
    let mut raw = Raw::open(&proxy.url).await;
    for path in [HEALTH, "/api/collections/posts/records?page=1&x=%2F%20", "/nowhere"] {
        raw.send("GET", path, "").await;
        let (through, direct) =
            (raw.receive(PATIENCE).await, call(&Testkit::shared().info().direct_url, "GET", path, "").await);
        assert_eq!((through.status(), through.text()), (direct.status(), direct.text()), "{path}");
        assert_eq!(through.end, End::Open);
    }
    let log = proxy.requests().await;
    assert_eq!(log.iter().map(|entry| entry.connection).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(log.iter().map(|entry| entry.n).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((log[1].path.as_str(), log[1].query.as_str()), (POSTS, "page=1&x=%2F%20"));
    assert_eq!((log[2].status, log[2].forwarded, log[2].fault), (Some(404), true, None));
    assert_eq!(log[0].headers.get("host").map(String::as_str), Some("test"));
    assert!(log[0].ended_ms.unwrap() >= log[0].started_ms);
}

#[tokio::test]
async fn respond_keeps_the_request_from_the_server() {
    let answer = json!({"type": "respond", "status": 503, "headers": {"Retry-After": "1"}, "body": {"a": 1}});
    let proxy = proxy_with(json!([{"times": 1, "method": "POST", "path": POSTS, "action": answer}])).await;
    let title = "respond_keeps";
    let body = json!({"title": title}).to_string();
    let seen = call(&proxy.url, "POST", POSTS, &body).await;
    assert_eq!((seen.status(), seen.header("retry-after"), seen.json()), (503, Some("1"), json!({"a": 1})));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(count_posts(title).await, 0);
    assert_eq!(call(&proxy.url, "POST", POSTS, &body).await.status(), 200);
    assert_eq!(count_posts(title).await, 1);
    let log = proxy.requests().await;
    assert_eq!((log[0].forwarded, log[0].fault, log[0].status), (false, Some(0), Some(503)));
    assert_eq!((log[0].body.as_str(), log[0].body_bytes), (body.as_str(), body.len() as u64));
    let rules = proxy.show_faults().await;
    assert_eq!((&rules[0]["hits"], &rules[0]["active"]), (&json!(1), &json!(false)));
}

#[tokio::test]
async fn conditions_skip_and_time_decide_which_requests_a_rule_takes() {
    let teapot = json!({"type": "respond", "status": 418});
    let proxy = proxy_with(json!([
        {"path_prefix": "/api/coll", "path_contains": "posts", "query_contains": "page=2", "action": teapot},
        {"path": HEALTH, "skip": 1, "for_ms": 300, "from": "first_hit", "action": teapot},
    ]))
    .await;
    let status = async |method: &str, path: &str| call(&proxy.url, method, path, "").await.status();
    assert_eq!(status("GET", &format!("{POSTS}?page=1")).await, 200);
    assert_eq!(status("GET", &format!("{POSTS}?page=2")).await, 418);
    assert_eq!(status("OPTIONS", &format!("{POSTS}?page=2")).await, 204, "preflights pass");
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(status("GET", HEALTH).await, 200, "skipped");
    assert_eq!(status("GET", HEALTH).await, 418);
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(status("GET", HEALTH).await, 200, "its time is over");
    proxy.clear_faults().await;
    assert_eq!(status("GET", &format!("{POSTS}?page=2")).await, 200);
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused() {
    let kit = Testkit::shared();
    let path = format!("{}/proxies/default/faults", kit.info().control);
    for rule in [
        json!({"path": "/x", "action": {"type": "reset", "when": "accept"}}),
        json!({"action": {"type": "slow", "bytes_per_sec": 0}}),
        json!({"action": {"type": "refuse"}, "times": 1}),
        json!({"action": {"type": "explode"}}),
        json!({"pfad": "/x", "action": {"type": "delay", "ms": 1}}),
    ] {
        let address = path.split("/proxies").next().unwrap();
        let seen = call(address, "PUT", "/proxies/default/faults", &json!([rule]).to_string()).await;
        assert_eq!(seen.status(), 400, "{rule}");
        assert!(seen.json()["error"].is_string());
    }
}

#[tokio::test]
async fn lost_answers_were_processed() {
    let proxy = proxy_with(json!([
        {"times": 1, "action": {"type": "lose_answer"}},
        {"times": 1, "action": {"type": "respond_after_forward", "status": 502, "body": "<html>", "content_type": "text/html"}},
    ]))
    .await;
    let body = json!({"title": "lost_answers"}).to_string();
    assert_eq!(call(&proxy.url, "POST", POSTS, &body).await.end, End::Reset);
    assert_eq!(count_posts("lost_answers").await, 1);
    let seen = call(&proxy.url, "POST", POSTS, &body).await;
    assert_eq!((seen.status(), seen.text().as_str()), (502, "<html>"));
    assert_eq!(count_posts("lost_answers").await, 2);
    let log = proxy.requests().await;
    assert_eq!((log[0].status, log[0].forwarded), (None, true));
    assert_eq!((log[1].status, log[1].forwarded), (Some(502), true));
}

#[tokio::test]
async fn connections_end_at_accept_and_before_the_server_sees_anything() {
    for (how, end) in [("reset", End::Reset), ("close", End::Fin), ("stall", End::Silent)] {
        for when in ["accept", "before_forward"] {
            let (proxy, seen) = get_with(json!({"type": how, "when": when}), HEALTH, patience(end)).await;
            assert_eq!((seen.end, seen.head.as_str()), (end, ""), "{how} {when}");
            let log = proxy.requests().await;
            assert_eq!(log.len(), usize::from(when == "before_forward"));
            assert!(log.iter().all(|entry| !entry.forwarded && entry.status.is_none()));
        }
    }
}

#[tokio::test]
async fn connections_end_in_the_midst_of_a_request() {
    let title = "midst_of_a_request";
    let body = json!({"title": title, "body": "x".repeat(5000)}).to_string();
    for (how, end) in [("reset", End::Reset), ("close", End::Fin), ("stall", End::Silent)] {
        let rule = json!([{"action": {"type": how, "when": "after_request_bytes", "bytes": 1000}}]);
        let proxy = proxy_with(rule).await;
        let mut raw = Raw::open(&proxy.url).await;
        raw.send("POST", POSTS, &body).await;
        let seen = raw.receive(patience(end)).await;
        assert_eq!((seen.end, seen.head.as_str()), (end, ""), "{how}");
        proxy.wait_for(1, PATIENCE, |request| request.forwarded).await;
    }
    assert_eq!(count_posts(title).await, 0);
}

#[tokio::test]
async fn a_request_shorter_than_its_cut_is_processed() {
    let title = "shorter_request";
    for (how, end) in [("reset", End::Reset), ("close", End::Fin), ("stall", End::Silent)] {
        let rule = json!([{"action": {"type": how, "when": "after_request_bytes", "bytes": 1000}}]);
        let proxy = proxy_with(rule).await;
        let mut raw = Raw::open(&proxy.url).await;
        raw.send("POST", POSTS, &json!({"title": title}).to_string()).await;
        let seen = raw.receive(patience(end)).await;
        assert_eq!((seen.end, seen.head.as_str()), (end, ""), "{how}");
    }
    let started = Instant::now();
    while count_posts(title).await != 3 {
        assert!(started.elapsed() < PATIENCE, "what is silent was processed too");
    }
}

#[tokio::test]
async fn connections_end_in_the_midst_of_an_answer() {
    for (how, end) in [("reset", End::Reset), ("close", End::Fin), ("stall", End::Silent), ("truncate", End::Fin)] {
        for bytes in [0, 10] {
            let action = if how == "truncate" {
                json!({"type": how, "bytes": bytes})
            } else {
                json!({"type": how, "when": "after_response_bytes", "bytes": bytes})
            };
            let proxy = proxy_with(json!([{"action": action}])).await;
            let mut raw = Raw::open(&proxy.url).await;
            raw.send("GET", HEALTH, "").await;
            let there = |text: &str| text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() == bytes);
            let seen = raw.receive_after(patience(end), there).await;
            assert_eq!((seen.status(), seen.body.len(), seen.end), (200, bytes, end), "{how} {bytes}");
            assert!(seen.header("content-length").unwrap().parse::<usize>().unwrap() > bytes, "left as it is");
        }
    }
}

#[tokio::test]
async fn an_answer_shorter_than_its_cut_arrives_whole() {
    let action = json!({"type": "reset", "when": "after_response_bytes", "bytes": 100_000});
    let proxy = proxy_with(json!([{"action": action}])).await;
    let mut raw = Raw::open(&proxy.url).await;
    raw.send("GET", HEALTH, "").await;
    let seen = raw.receive(PATIENCE).await;
    assert_eq!((seen.status(), seen.end), (200, End::Open));
    assert_eq!(raw.end(PATIENCE).await.0, End::Reset);
}

#[tokio::test]
async fn a_stall_can_end() {
    for when in ["accept", "before_forward", "after_response_bytes"] {
        let action = json!({"type": "stall", "when": when, "bytes": 5, "ms": 200});
        let (_proxy, seen) = get_with(action, HEALTH, PATIENCE).await;
        assert_eq!((seen.status(), seen.end), (200, End::Open), "{when}");
        assert!(seen.took >= Duration::from_millis(195), "{when} {:?}", seen.took);
    }
}

#[tokio::test]
async fn delay_slow_and_headers_apply_together() {
    let proxy = proxy_with(json!([
        {"action": {"type": "delay", "ms": 200}},
        {"action": {"type": "headers", "set": {"X-Test": "1", "Retry-After": 3}, "remove": ["X-Frame-Options"]}},
        {"path": "/slow", "action": {"type": "slow", "bytes_per_sec": 1000}},
        {"path": "/slow", "action": {"type": "respond", "status": 200, "body": "y".repeat(500)}},
    ]))
    .await;
    let seen = call(&proxy.url, "GET", HEALTH, "").await;
    assert!(seen.took >= Duration::from_millis(195));
    assert_eq!((seen.header("x-test"), seen.header("retry-after")), (Some("1"), Some("3")));
    assert_eq!(seen.header("x-frame-options"), None);
    let slow = call(&proxy.url, "GET", "/slow", "").await;
    assert_eq!((slow.body.len(), slow.header("x-test")), (500, Some("1")));
    assert!(slow.took >= Duration::from_millis(600), "{:?}", slow.took);
    assert_eq!(proxy.requests().await.iter().map(|entry| entry.fault).collect::<Vec<_>>(), [Some(0), Some(3)]);
}

#[tokio::test]
async fn slow_uploads() {
    let action = json!({"type": "slow", "bytes_per_sec": 10_000, "direction": "request"});
    let proxy = proxy_with(json!([{"action": action}])).await;
    let body = json!({"title": "slow_uploads", "body": "z".repeat(5000)}).to_string();
    let seen = call(&proxy.url, "POST", POSTS, &body).await;
    assert_eq!(seen.status(), 200);
    assert!(seen.took >= Duration::from_millis(450), "{:?}", seen.took);
}

#[tokio::test]
async fn redirect() {
    let action = json!({"type": "redirect", "status": 301, "location": "http://elsewhere.example/x"});
    let (_proxy, seen) = get_with(action, HEALTH, PATIENCE).await;
    assert_eq!((seen.status(), seen.header("location")), (301, Some("http://elsewhere.example/x")));
}

#[tokio::test]
async fn refuse_closes_the_listener_until_it_is_cleared_or_over() {
    let proxy = Testkit::shared().proxy().await;
    let mut raw = Raw::open(&proxy.url).await;
    raw.send("GET", HEALTH, "").await;
    assert_eq!(raw.receive(PATIENCE).await.status(), 200);
    proxy.faults(json!([{"action": {"type": "refuse"}}])).await;
    let refused = Raw::try_open(&proxy.url).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(raw.end(PATIENCE).await.0, End::Fin);
    proxy.clear_faults().await;
    assert_eq!(call(&proxy.url, "GET", HEALTH, "").await.status(), 200);
    let started = Instant::now();
    proxy.faults(json!([{"for_ms": 200, "action": {"type": "refuse"}}])).await;
    while Raw::try_open(&proxy.url).await.is_err() {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
}

#[tokio::test]
async fn idle_and_old_connections_are_closed() {
    let proxy = proxy_with(json!([{"action": {"type": "idle_close", "ms": 2000}}])).await;
    let mut raw = Raw::open(&proxy.url).await;
    for _ in 0..3 {
        raw.send("GET", HEALTH, "").await;
        assert_eq!(raw.receive(PATIENCE).await.end, End::Open);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (end, took) = raw.end(PATIENCE).await;
    assert_eq!(end, End::Fin);
    assert!(took >= Duration::from_millis(500), "{took:?}");
    let proxy = proxy_with(json!([{"action": {"type": "max_age", "ms": 200, "how": "reset"}}])).await;
    let started = Instant::now();
    let mut raw = Raw::open(&proxy.url).await;
    assert_eq!(raw.end(PATIENCE).await.0, End::Reset);
    assert!(started.elapsed() >= Duration::from_millis(190), "{:?}", started.elapsed());
}

/// Opens an event stream and reads its first event.
async fn open_stream(proxy: &Proxy) -> Raw<tokio::net::TcpStream> {
    let mut raw = Raw::open(&proxy.url).await;
    raw.send("GET", "/api/realtime", "").await;
    let seen = raw.receive_after(SILENCE, |text| text.contains("PB_CONNECT")).await;
    assert!(seen.text().contains("PB_CONNECT"), "{seen:?}");
    raw
}

#[tokio::test]
async fn streams_pass_at_once_and_can_be_cut() {
    use picobase_testkit::Cut;
    let proxy = Testkit::shared().proxy().await;
    for (how, end) in [(Cut::Reset, End::Reset), (Cut::Close, End::Fin), (Cut::Stall, End::Silent)] {
        let mut stream = open_stream(&proxy).await;
        let mut idle = Raw::open(&proxy.url).await;
        idle.send("GET", HEALTH, "").await;
        assert_eq!(idle.receive(PATIENCE).await.status(), 200);
        assert_eq!(proxy.cut_path(how, "/realtime").await, 1, "{how:?}");
        assert_eq!(stream.end(patience(end)).await.0, end);
        idle.send("GET", HEALTH, "").await;
        assert_eq!(idle.receive(PATIENCE).await.status(), 200, "{how:?} leaves others alone");
        proxy.cut(Cut::Reset).await;
        assert_eq!(idle.end(PATIENCE).await.0, End::Reset);
    }
}

#[tokio::test]
async fn silent_streams_and_old_streams_are_closed() {
    for (action, whole) in [
        (json!({"type": "stream_idle_close", "ms": 500}), false),
        (json!({"type": "stream_idle_close", "ms": 500, "clean": true}), true),
        (json!({"type": "max_age", "ms": 600}), false),
    ] {
        let proxy = proxy_with(json!([{"path_contains": "realtime", "action": action}])).await;
        let started = Instant::now();
        let mut raw = Raw::open(&proxy.url).await;
        raw.send("GET", "/api/realtime", "").await;
        let seen = raw.receive(PATIENCE).await;
        assert_eq!(seen.end, if whole { End::Open } else { End::Fin }, "{action}");
        assert!(seen.text().contains("PB_CONNECT"));
        assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn the_counters_count() {
    let proxy = proxy_with(json!([{"action": {"type": "stall"}}])).await;
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let url = proxy.url.clone();
            tokio::spawn(async move { call(&url, "GET", HEALTH, "").await.end })
        })
        .collect();
    proxy.wait_for(5, PATIENCE, |_| true).await;
    assert_eq!(proxy.stats().await.in_flight, 5);
    proxy.cut(picobase_testkit::Cut::Reset).await;
    for one in calls {
        assert_eq!(one.await.unwrap(), End::Reset);
    }
    let started = Instant::now();
    // Who is reset may know it sooner than the proxy is done with it.
    while proxy.stats().await.in_flight > 0 {
        assert!(started.elapsed() < PATIENCE);
    }
    let stats = proxy.stats().await;
    assert_eq!((stats.max_in_flight, stats.connections_total), (5, 5));
    proxy.clear_requests().await;
    assert_eq!((proxy.requests().await.len(), proxy.stats().await.max_in_flight), (0, 0));
}

#[tokio::test]
async fn the_proxy_adds_little_time() {
    let kit = Testkit::shared();
    let proxy = kit.proxy().await;
    let mut connections = [Raw::open(&kit.info().direct_url).await, Raw::open(&proxy.url).await];
    let mut times = [Vec::new(), Vec::new()];
    // In turn: a machine that is busy for a while is so for both.
    for _ in 0..200 {
        for (raw, times) in connections.iter_mut().zip(&mut times) {
            let started = Instant::now();
            raw.send("GET", HEALTH, "").await;
            assert_eq!(raw.receive(PATIENCE).await.status(), 200);
            times.push(started.elapsed());
        }
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[100]
    });
    // Less than where small packets wait for each other; a busy machine gives both their turn late.
    assert!(medians[1] < medians[0] * 4 + Duration::from_millis(25), "direct and through the proxy: {medians:?}");
}
