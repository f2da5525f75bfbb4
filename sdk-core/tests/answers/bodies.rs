//! Bodies that are not what they should be, of answers and of refusals.

use std::{io::Write, net::TcpStream, time::Instant};

use picobase::{Client, Error, ErrorKind, Json, ListResult, Record, transport::Method};
use serde_json::{Value, json};

use crate::{
    common::{LATE, PATIENCE, builder, client, kit, new_post, record_id, unique, within},
    tools::{Raw, answering, assert_error, faulty, ms, timed},
};

const ID: &str = "abcdefghijklmno";
const PAGE: &str = "<!DOCTYPE html>\n<title>Welcome</title>";

async fn get(client: &Client) -> Error {
    within(20, client.collection("posts").get_one(ID)).await.unwrap_err()
}

async fn post(client: &Client) -> Error {
    within(20, client.collection("posts").create(&json!({"title": "x"}))).await.unwrap_err()
}

/// Every way to read an answer that should be JSON.
async fn each_reader(client: &Client) -> Vec<(&'static str, Error)> {
    let posts = client.collection("posts");
    vec![
        ("get_one", get(client).await),
        ("create", post(client).await),
        ("update", posts.update(ID, &json!({"n": 1})).await.unwrap_err()),
        ("get_list", posts.get_list(1, 1).await.unwrap_err()),
        ("get_full_list", posts.get_full_list().await.unwrap_err()),
        ("get_first_list_item", posts.get_first_list_item("n = 1").await.unwrap_err()),
        ("health", client.health().await.unwrap_err()),
        ("sign_in", client.auth().sign_in("a@example.com", "secret-word").await.unwrap_err()),
        ("methods", client.auth().methods::<Value>().await.unwrap_err()),
        ("send", client.send::<Record>(Method::Post, "/api/x").await.unwrap_err()),
        ("batch", {
            let mut batch = client.batch();
            batch.collection("posts").create(&json!({"title": "x"}));
            batch.send().await.unwrap_err()
        }),
    ]
}

#[tokio::test]
async fn answers_that_are_no_json() {
    let latin = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{\"id\":\"caf\xe9!\"}";
    let nul = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\0\0\0\0";
    let raw = [Raw::sending(latin.as_slice()), Raw::sending(nul)];
    let proxies = [
        answering(200, "text/html", PAGE).await,
        answering(200, "application/json", PAGE).await,
        answering(200, "application/json", "{\"id\":\"abc\"").await,
        answering(200, "application/json", "{\"id\":\"abc\"}{}").await,
        answering(200, "text/plain", "OK").await,
        answering(200, "application/json", "   ").await,
    ];
    for url in raw.iter().map(|raw| &raw.url).chain(proxies.iter().map(|proxy| &proxy.url)) {
        for (name, error) in each_reader(&client(url)).await {
            assert_eq!(error.kind(), ErrorKind::Decode, "{name}: {error}");
            assert_error(&error, ErrorKind::Decode, 200, 1);
            assert!(error.body().is_some_and(|body| body.chars().count() <= 200), "{name}: {:?}", error.body());
            assert!(error.fix().contains("URL"), "{}", error.fix());
        }
        assert_eq!(client(url).collection("posts").delete(ID).await.unwrap_err().kind(), ErrorKind::Decode);
    }
    let error = get(&client(&proxies[0].url)).await;
    assert_eq!(error.body(), Some("<!DOCTYPE html> <title>Welcome</title>"));
    assert!(error.url().is_some_and(|url| url.ends_with("/api/collections/posts/records/abcdefghijklmno")));
}

#[tokio::test]
async fn empty_answers() {
    for status in [200, 201, 204] {
        let proxy = answering(status, "application/json", "").await;
        let client = client(&proxy.url);
        for (name, error) in each_reader(&client).await {
            if !(name == "send" && status == 204) {
                assert_eq!(error.kind(), ErrorKind::Decode, "{status} {name}: {error}");
                assert_error(&error, ErrorKind::Decode, status, 1);
            }
        }
        client.collection("posts").delete(ID).await.unwrap();
    }
    let proxy = answering(204, "application/json", "").await;
    let nothing: Option<Value> = client(&proxy.url).send(Method::Post, "/api/x").await.unwrap();
    assert_eq!(nothing, None);
}

#[tokio::test]
async fn json_of_another_shape() {
    #[derive(Debug, serde::Deserialize)]
    struct Post {
        #[expect(dead_code, reason = "it is never read")]
        title: u32,
    }
    for body in ["[]", "\"text\"", "7", "true", "{\"title\":\"x\"}", "null"] {
        let proxy = answering(200, "application/json", body).await;
        let client = client(&proxy.url);
        let one = client.collection("posts").typed::<Post>().get_one(ID).await.unwrap_err();
        let list: Error = client.send::<ListResult<Json>>(Method::Get, "/api/x").await.unwrap_err();
        let page = client.collection("posts").get_list(1, 1).await.unwrap_err();
        let full = client.collection("posts").get_full_list().await.unwrap_err();
        let first = client.collection("posts").get_first_list_item("n = 1").await.unwrap_err();
        let methods = client.auth().sign_in("a@example.com", "secret-word").await.unwrap_err();
        for (n, error) in [one, list, page, full, first, methods].into_iter().enumerate() {
            assert_eq!(error.kind(), ErrorKind::Decode, "{n} {body}: {error}");
            assert_error(&error, ErrorKind::Decode, 200, 1);
        }
        let root = client.with_session(kit().superuser_token().await);
        let mut batch = root.batch();
        batch.collection("posts").create(&json!({"title": "x"}));
        let batch = batch.send().await.unwrap_err();
        let collection = root.collections().get_first_list_item::<Value>("name = 'x'").await.unwrap_err();
        let token = root.files().get_token().await.unwrap_err();
        for (n, error) in [batch, collection, token].into_iter().enumerate() {
            assert_eq!(error.kind(), ErrorKind::Decode, "{n} {body}: {error}");
            assert_error(&error, ErrorKind::Decode, 200, 1);
        }
        assert_eq!(proxy.requests().await.len(), 9);
    }
    for items in ["{}", "null", "7", "[7]", "[null]"] {
        let body = format!("{{\"page\":1,\"perPage\":1,\"totalItems\":1,\"totalPages\":1,\"items\":{items}}}");
        let proxy = answering(200, "application/json", &body).await;
        let client = client(&proxy.url);
        let error = client.collection("posts").get_list(1, 1).await.unwrap_err();
        assert_error(&error, ErrorKind::Decode, 200, 1);
        let error = within(20, client.collection("posts").get_full_list()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{items}: {error}");
    }
}

#[tokio::test]
async fn answers_that_are_cut_short() {
    let proxy = kit().proxy().await;
    let client = builder(&proxy.url).max_retries(2).build().unwrap();
    let record = new_post(&client, &unique("cut")).await;
    for bytes in [0, 1, 30] {
        proxy.faults(json!([{"times": 1, "action": {"type": "truncate", "bytes": bytes}}])).await;
        proxy.clear_requests().await;
        let again = within(20, client.collection("posts").get_one(record.id())).await.unwrap();
        assert_eq!(again.id(), record.id());
        assert_eq!(proxy.requests().await.len(), 2);

        proxy.faults(json!([{"action": {"type": "truncate", "bytes": bytes}}])).await;
        proxy.clear_requests().await;
        let id = record_id();
        let made = client.collection("posts").create(&json!({"id": id, "title": "x"})).await.unwrap_err();
        assert_error(&made, ErrorKind::Network, 0, 1);
        assert_eq!(proxy.requests().await.len(), 1);
        proxy.clear_faults().await;
        client.collection("posts").get_one(&id).await.unwrap();
    }
}

#[tokio::test]
async fn chunked_answers_that_are_cut_short() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    // Without its last chunk even a body that is JSON already is not complete.
    for chunks in
        ["", "5\r\n{\"id\"", "2\r\n{}\r\n", "2\r\n{}\r\n0", "zz\r\n{}\r\n0\r\n\r\n", "ffffffffffffffffff\r\n{}"]
    {
        let raw = Raw::sending(format!("{head}{chunks}"));
        let client = builder(&raw.url).max_retries(1).build().unwrap();
        assert_error(&get(&client).await, ErrorKind::Network, 0, 2);
        assert_error(&post(&client).await, ErrorKind::Network, 0, 1);
        assert_eq!(raw.seen().len(), 3, "{chunks:?}");
    }
    let raw = Raw::sending(format!("{head}2\r\n{{}}\r\n0\r\n\r\n"));
    let whole: Value = client(&raw.url).send(Method::Get, "/api/x").await.unwrap();
    assert_eq!(whole, json!({}));
}

#[tokio::test]
async fn no_http_at_all() {
    for answer in ["", "SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nBroken", "\0\0\0\0"] {
        let raw = Raw::sending(answer);
        let client = builder(&raw.url).max_retries(0).build().unwrap();
        for error in [get(&client).await, post(&client).await] {
            assert_error(&error, ErrorKind::Network, 0, 1);
            assert!(!error.message().is_empty());
        }
        assert_eq!(raw.seen().len(), 2, "{answer:?}");
    }
}

#[tokio::test]
async fn slow_answers() {
    let proxy = faulty(json!([{"action": {"type": "slow", "bytes_per_sec": 400}}])).await;
    let client = client(&proxy.url);
    let record = new_post(&self::client(&kit().info().direct_url), &unique("slow")).await;
    let posts = client.collection("posts");
    let (read, took) = timed(posts.get_one(record.id()).timeout(PATIENCE)).await;
    assert_eq!(read.unwrap().id(), record.id());
    assert!(took > ms(400), "it was not slow: {took:?}");
    proxy.clear_requests().await;
    for (error, took) in [
        timed(async { posts.get_one(record.id()).timeout(ms(300)).await.unwrap_err() }).await,
        timed(async { posts.create(&json!({"title": "x"})).timeout(ms(300)).await.unwrap_err() }).await,
    ] {
        assert_error(&error, ErrorKind::Timeout, 0, 1);
        assert!((ms(300)..LATE).contains(&took), "{took:?}");
    }
    assert_eq!(proxy.requests().await.len(), 2);
}

#[tokio::test]
async fn refusals_that_never_end() {
    // A head, and then a byte now and again.
    let trickle = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(ms(50));
        }
    };
    let raw = Raw::serving(trickle);
    let client = builder(&raw.url).timeout(ms(700)).build().unwrap();
    let (error, took) = timed(get(&client)).await;
    assert_error(&error, ErrorKind::Timeout, 0, 1);
    assert!(took < LATE, "{took:?}");
    // As much as anyone could want, as fast as it goes.
    let flood = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\n");
        let piece = vec![b'x'; 65_536];
        while stream.write_all(&piece).is_ok() {}
    };
    let raw = Raw::serving(flood);
    let (error, took) = timed(get(&self::client(&raw.url))).await;
    assert_error(&error, ErrorKind::Server, 500, 1);
    assert!(took < LATE && error.body() == Some("x".repeat(200).as_str()), "{took:?}");
}

#[tokio::test]
async fn refusals_of_pages() {
    let long = format!("<html>{}</html>", "ä\u{1b}\n".repeat(3000));
    for (status, kind) in [
        (400, ErrorKind::Validation),
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Forbidden),
        (404, ErrorKind::NotFound),
        (405, ErrorKind::Server),
        (409, ErrorKind::Conflict),
        (413, ErrorKind::Validation),
        (500, ErrorKind::Server),
        (502, ErrorKind::Server),
        (599, ErrorKind::Server),
    ] {
        for body in
            [long.as_str(), "", "null", "[]", "\"no\"", "{}", "{\"message\":7,\"data\":[1],\"error\":null}", "{\"a\":"]
        {
            let proxy = answering(status, "text/html", body).await;
            let error = post(&client(&proxy.url)).await;
            assert_error(&error, kind, status, 1);
            assert_eq!(error.message(), format!("the server answered HTTP {status}"), "{body:.20}");
            if body.len() > 200 {
                let excerpt = error.body().unwrap();
                assert!(excerpt.chars().count() == 200 && !excerpt.contains(char::is_control), "{excerpt:?}");
            }
            assert_eq!(error.body().is_none(), body.is_empty(), "{body:.20}");
        }
    }
}

#[tokio::test]
async fn refusals_of_five_megabytes() {
    let text = "x".repeat(5_000_000);
    for body in [text.clone(), json!({"status": 400, "message": text, "data": {}}).to_string()] {
        let raw = Raw::sending(format!("HTTP/1.1 400 No\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let start = Instant::now();
        let error = post(&client(&raw.url)).await;
        assert_error(&error, ErrorKind::Validation, 400, 1);
        assert!(start.elapsed() < LATE, "{:?}", start.elapsed());
        assert!(error.body().unwrap_or_default().len() <= 200 && error.to_string().len() < 1000);
    }
}

#[tokio::test]
async fn refusals_in_other_encodings() {
    let raw =
        Raw::sending(b"HTTP/1.1 400 No\r\nContent-Length: 7\r\nConnection: close\r\n\r\ncaf\xe9 \xff\xfe".as_slice());
    let error = post(&client(&raw.url)).await;
    assert_error(&error, ErrorKind::Validation, 400, 1);
    assert_eq!(error.body(), Some("caf\u{fffd} \u{fffd}\u{fffd}"));
    let body = b"{\"message\":\"caf\xe9\",\"data\":{\"title\":{\"code\":\"c\",\"message\":\"m\"}}}";
    let mut answer =
        format!("HTTP/1.1 400 No\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    let error = post(&client(&Raw::sending(answer).url)).await;
    assert_eq!((error.message(), error.field("title").map(|f| f.code.as_str())), ("caf\u{fffd}", Some("c")));
    // A refusal whose body breaks off is still that refusal.
    let raw = Raw::sending("HTTP/1.1 404 No\r\nContent-Length: 500\r\n\r\n{\"message\":");
    assert_error(&get(&client(&raw.url)).await, ErrorKind::NotFound, 404, 1);
}

#[tokio::test]
async fn refusals_of_the_gateway() {
    let says = |code: &str| {
        json!({"error": {"code": code, "message": "It says no.", "details": {"plan": "free"}}}).to_string()
    };
    for (status, code, kind) in [
        (401, "invalid_api_key", ErrorKind::InvalidApiKey),
        (403, "invalid_api_key", ErrorKind::InvalidApiKey),
        (404, "unknown_instance", ErrorKind::NotFound),
        (401, "other", ErrorKind::Unauthorized),
        (429, "quota", ErrorKind::RateLimited),
        (500, "oops", ErrorKind::Server),
        (504, "gateway_timeout", ErrorKind::Server),
        (413, "too_large", ErrorKind::Validation),
    ] {
        let proxy = answering(status, "application/json", &says(code)).await;
        let client = builder(&proxy.url).api_key("pk_live_0123456789").max_retries(0).build().unwrap();
        for error in [get(&client).await, post(&client).await, client.health().await.unwrap_err()] {
            assert_error(&error, kind, status, 1);
            assert_eq!((error.code(), error.message()), (Some(code), "It says no."));
            let shown = format!("{error} {error:?} {}", error.fix());
            assert!(error.fields().len() == 1 && !shown.contains("pk_live"), "{shown}");
        }
    }
    // Asleep, in the gateway's words, until the time is over.
    let proxy = answering(503, "application/json", &says("instance_starting")).await;
    let client = builder(&proxy.url).cold_start_timeout(ms(600)).build().unwrap();
    let error = get(&client).await;
    assert_eq!((error.kind(), error.status()), (ErrorKind::InstanceUnavailable, 503), "{error}");
}

#[tokio::test]
async fn batches_that_fail() {
    let client = client(&kit().info().url);
    let title = unique("batch");
    let mut batch = client.batch();
    batch.collection("posts").create(&json!({"title": title}));
    batch.collection("posts").create(&json!({"title": ""}));
    batch.collection("posts").update("no_such_record_", &json!({"n": 1}));
    let error = batch.send().await.unwrap_err();
    assert_error(&error, ErrorKind::Validation, 400, 1);
    assert_eq!((error.item(), error.field("title").map(|f| f.code.as_str())), (Some(1), Some("validation_required")));
    let filter = client.filter("title = {:t}", [("t", title.as_str().into())]).unwrap();
    let list = client.collection("posts").get_list(1, 1).filter(filter).await.unwrap();
    assert_eq!(list.total_items, 0, "a batch is all or nothing");

    let mut batch = client.batch();
    batch.collection("posts").create(&json!({"title": title}));
    batch.collection("posts").delete("no_such_record_");
    let error = batch.send().await.unwrap_err();
    assert_error(&error, ErrorKind::NotFound, 404, 1);
    assert_eq!(error.item(), Some(1));

    let post = new_post(&client, &title).await;
    let mut batch = client.batch();
    batch.collection("posts").create(&json!({"id": post.id(), "title": "again"}));
    let error = batch.send().await.unwrap_err();
    assert_error(&error, ErrorKind::Conflict, 400, 1);
    assert_eq!(error.item(), Some(0));
}
