//! Calls follow no redirect, and nothing but the right path is ever asked for.

use std::sync::Arc;

use picobase::{
    Client, Error, ErrorKind, Record,
    transport::{Method, ReqwestTransport},
};
use picobase_testkit::Proxy;
use serde_json::{Value, json};

use crate::{
    common::{builder, client, kit, superuser, within},
    tools::{Raw, faulty, outline},
};

const KEY: &str = "pk_live_0123456789";
const ID: &str = "abcdefghijklmno";

fn redirecting(status: u16, location: &str) -> Value {
    json!([{"action": {"type": "redirect", "status": status, "location": location}}])
}

/// One call of each method, that all must fail.
async fn each_method(client: &Client) -> Vec<Error> {
    let posts = client.collection("posts");
    vec![
        posts.get_one(ID).await.unwrap_err(),
        posts.create(&json!({"title": "x"})).safe_retry().await.unwrap_err(),
        posts.update(ID, &json!({"n": 1})).await.unwrap_err(),
        posts.delete(ID).await.unwrap_err(),
        client.files().download(("posts", ID), "a.txt").bytes().await.unwrap_err(),
        client.health().await.unwrap_err(),
    ]
}

#[tokio::test]
async fn none_is_followed() {
    let elsewhere = Raw::sending("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let token = kit().superuser_token().await;
    for status in [301, 302, 303, 307, 308] {
        let proxy = kit().proxy().await;
        let client = builder(&proxy.url).api_key(KEY).build().unwrap().with_session(token.clone());
        for target in [format!("{}/api/health", elsewhere.url), format!("{}/api/health", proxy.url), "/login".into()] {
            proxy.faults(redirecting(status, &target)).await;
            proxy.clear_requests().await;
            for error in within(20, each_method(&client)).await {
                assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Configuration, status, 1));
                assert!(error.message().contains(&target) && error.fix().contains("URL"), "{error}: {}", error.fix());
                assert_eq!(error.maybe_created(), None);
            }
            let methods = ["GET", "POST", "PATCH", "DELETE", "GET", "GET"].map(|method| format!("{method} {status}"));
            assert_eq!(outline(&proxy.requests().await), methods);
        }
    }
    assert_eq!(elsewhere.seen(), [""; 0], "nothing is sent to another host");
}

#[tokio::test]
async fn secrets_in_targets_are_not_shown() {
    let token = kit().superuser_token().await;
    let proxy = kit().proxy().await;
    let client = builder(&proxy.url).api_key(KEY).build().unwrap().with_session(token.clone());
    for target in [
        format!("https://login.example/?token={token}&next=%2Fhome"),
        format!("https://login.example/?key={KEY}&next=%2Fhome"),
        format!("https://login.example/?access_token={token}"),
        format!("https://login.example/#access_token={token}"),
        format!("https://login.example/#/sign-in?token={token}"),
        format!("https://login.example/?next=%2Fapi%2Ffiles%2Fa%2Fb%2Fc.txt%3Ftoken%3D{token}"),
        format!("https://login.example/?next=https%3A%2F%2Fh%2F%3Fkey%3D{KEY}"),
        format!("https://login.example/{KEY}/home"),
        format!("https://me:{KEY}@login.example/home"),
        format!("https://login.example/?Authorization=Bearer%20{token}"),
    ] {
        proxy.faults(redirecting(302, &target)).await;
        for error in [
            client.collection("posts").get_one(ID).await.unwrap_err(),
            client.files().download(("posts", ID), "a.txt").token(&token).bytes().await.unwrap_err(),
        ] {
            let shown = format!("{error} {error:?} {} {:?} {:?}", error.fix(), error.body(), error.url());
            assert!(error.kind() == ErrorKind::Configuration && shown.contains("login.example"), "{shown}");
            assert!(!shown.contains(&token) && !shown.contains(KEY), "{target}: {shown}");
        }
    }
}

#[tokio::test]
async fn clients_that_follow_are_found_out() {
    let elsewhere = Raw::sending("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
    let proxy = kit().proxy().await;
    let transport = ReqwestTransport::new(reqwest::Client::new());
    let client = builder(&proxy.url).transport(transport).build().unwrap();
    let to = |path: &str, target: &str| json!([{"path": path, "action": {"type": "redirect", "status": 307, "location": target}}]);
    let health = format!("{}/api/health?token=abc", proxy.url);
    let away = format!("{}/x", elsewhere.url);
    let path = "/api/collections/posts/records/abcdefghijklmno";
    for target in [health.as_str(), &away, "/api/health", path] {
        proxy.faults(to(path, target)).await;
        proxy.clear_requests().await;
        let error = within(20, client.collection("posts").get_one(ID)).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Configuration, 1), "{target}: {error}");
        assert!(error.fix().contains("redirect") && !error.to_string().contains("abc\""), "{error}: {}", error.fix());
        assert!(!error.to_string().contains("token=abc"), "{error}");
    }
    // The default client of the builder has redirects turned off, whatever the user's said before.
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::limited(5));
    let client = builder(&proxy.url).http_client(http).build().unwrap();
    proxy.faults(to(path, &health)).await;
    proxy.clear_requests().await;
    assert_eq!(client.collection("posts").get_one(ID).await.unwrap_err().kind(), ErrorKind::Configuration);
    assert_eq!(outline(&proxy.requests().await), ["GET 307"]);
}

#[tokio::test]
async fn send_goes_nowhere_else() {
    let elsewhere = Raw::sending("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let host = elsewhere.url.trim_start_matches("http:");
    let proxy = kit().proxy().await;
    let client = builder(&proxy.url).api_key(KEY).build().unwrap();
    for path in [
        &elsewhere.url,
        host,
        &format!("/{host}/x"),
        &format!("\\\\{}", host.trim_start_matches('/')),
        &format!("/\\{}", host.trim_start_matches('/')),
        &format!("\t{host}"),
        &format!(" {}", elsewhere.url),
        "HTTPS://other.example/",
        "/api/../_/",
        "/../x",
        "../x",
        "..",
        "/api/%2e%2e/x",
        "/api/.%2E",
        "/api/./x",
        "/a b",
        "/a\tb",
        "/a\r\nX-Evil: 1",
        "/a?q=b c",
        "/a#b",
        "/a?q=#b",
        "/a\\b",
        "/a\u{a0}b",
        "/a\0b",
    ] {
        for method in [Method::Get, Method::Post, Method::Delete] {
            let error = client.send::<Value>(method, path).await.unwrap_err();
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Configuration | ErrorKind::NotFound), "{path:?}: {error}");
            let status = if kind == ErrorKind::NotFound { 404 } else { 0 };
            assert_eq!((error.attempts(), error.status()), (0, status), "{path:?}");
            assert!(!error.fix().is_empty());
        }
    }
    assert_eq!((proxy.requests().await.len(), elsewhere.seen().len()), (0, 0));
    // What looks odd but is a path of this instance.
    for path in ["@other.example/x", ":80/x", "/api//x", "/a?next=https://x/../y", "/%2F%2Fx", "/..a", "/a?b&c=%20"] {
        let _ = client.send::<Value>(Method::Get, path).await;
        let log = proxy.requests().await;
        let asked = log.last().unwrap();
        let asked = if asked.query.is_empty() { asked.path.clone() } else { format!("{}?{}", asked.path, asked.query) };
        assert_eq!(asked.trim_start_matches('/'), path.trim_start_matches('/'));
    }
    assert_eq!(elsewhere.seen().len(), 0);
}

/// Odd ids, and how they must be asked for; nothing where they must not.
const ODD: [(&str, &str); 15] = [
    ("", ""),
    (".", ""),
    ("..", ""),
    ("a/b", "a%2Fb"),
    ("../../../settings", "..%2F..%2F..%2Fsettings"),
    ("?", "%3F"),
    ("a?b=c", "a%3Fb%3Dc"),
    ("#", "%23"),
    ("a#b", "a%23b"),
    ("%2e%2e", "%252e%252e"),
    ("%2F", "%252F"),
    ("...", "..."),
    ("ä/日本😀", "%C3%A4%2F%E6%97%A5%E6%9C%AC%F0%9F%98%80"),
    ("a b\\c", "a%20b%5Cc"),
    ("a\r\nb\0;,:@+&='\"", "a%0D%0Ab%00%3B%2C%3A%40%2B%26%3D%27%22"),
];

/// Makes a call with each odd name, and checks which path was asked for.
async fn asks_only<T, F: Future<Output = Result<T, Error>>>(
    proxy: &Proxy,
    method: &str,
    path: &str,
    call: impl Fn(&'static str) -> F,
) {
    for (name, encoded) in ODD {
        proxy.clear_requests().await;
        let error = within(20, call(name)).await.err().unwrap();
        let log = proxy.requests().await;
        let asked: Vec<_> = log.iter().map(|r| format!("{} {}", r.method, r.path)).collect();
        if encoded.is_empty() {
            assert_eq!(asked, [""; 0], "{method} {path} {name:?}");
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotFound, 0), "{name:?}: {error}");
            assert!(!error.fix().is_empty());
        } else {
            assert_eq!(asked, [format!("{method} {}", path.replace("{}", encoded))], "{name:?}");
            assert!(log[0].query.is_empty() && matches!(log[0].status, Some(400..500)), "{name:?}: {:?}", log[0]);
        }
    }
}

#[tokio::test]
async fn ids_of_records() {
    let proxy = faulty(json!([])).await;
    let client = client(&proxy.url);
    let posts = client.collection("posts");
    let record = "/api/collections/posts/records/{}";
    asks_only(&proxy, "GET", record, |id| posts.get_one(id).into_future()).await;
    asks_only(&proxy, "PATCH", record, |id| posts.update(id, &json!({"n": 1})).into_future()).await;
    asks_only(&proxy, "DELETE", record, |id| posts.delete(id).into_future()).await;
    let list = "/api/collections/{}/records";
    let named = |name| client.collection(name);
    asks_only(&proxy, "GET", list, |name| {
        named(name).get_list(1, 1).query("page", None::<&str>).query("perPage", None::<&str>).into_future()
    })
    .await;
    asks_only(&proxy, "POST", list, |name| named(name).create(&json!({"n": 1})).into_future()).await;
    let files = client.files();
    asks_only(&proxy, "GET", "/api/files/posts/abc/{}", |name| files.download(("posts", "abc"), name).bytes()).await;
    asks_only(&proxy, "GET", "/api/files/posts/{}/a.txt", |id| files.download(("posts", id), "a.txt").bytes()).await;
    asks_only(&proxy, "GET", "/api/files/{}/abc/a.txt", |name| files.download((name, "abc"), "a.txt").bytes()).await;
    for (name, encoded) in ODD {
        let url = files.url(("posts", "abc"), name).build();
        assert_eq!(url.ok(), (!encoded.is_empty()).then(|| format!("{}/api/files/posts/abc/{encoded}", proxy.url)));
    }
}

#[tokio::test]
async fn names_of_what_superusers_manage() {
    let proxy = Arc::new(faulty(json!([])).await);
    let root = superuser(&proxy.url).await;
    let (all, backups) = (root.collections(), root.backups());
    let path = "/api/collections/{}";
    asks_only(&proxy, "GET", path, |name| all.get_one::<Value>(name).into_future()).await;
    asks_only(&proxy, "PATCH", path, |name| all.update::<Value>(name, &json!({})).into_future()).await;
    asks_only(&proxy, "DELETE", path, |name| all.delete(name).into_future()).await;
    asks_only(&proxy, "DELETE", "/api/collections/{}/truncate", |name| all.truncate(name).into_future()).await;
    asks_only(&proxy, "DELETE", "/api/backups/{}", |key| backups.delete(key).into_future()).await;
    asks_only(&proxy, "POST", "/api/backups/{}/restore", |key| backups.restore(key).into_future()).await;
    asks_only(&proxy, "GET", "/api/logs/{}", |id| root.logs().get_one::<Value>(id).into_future()).await;
    asks_only(&proxy, "POST", "/api/crons/{}", |id| root.crons().run(id).into_future()).await;
    asks_only(&proxy, "POST", "/api/rpc/{}", |name| root.rpc::<Record>(name, &json!({})).into_future()).await;
}
