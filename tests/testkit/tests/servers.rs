//! The server: what it starts with, and how it comes and goes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use common::{End, HEALTH, PATIENCE, POSTS, Raw, call};
use picobase_testkit::Testkit;
use serde_json::{Value, json};

async fn sign_in(url: &str, collection: &str, email: &str) -> (u16, Value) {
    let body = json!({"identity": email, "password": Testkit::shared().info().password}).to_string();
    let seen = call(url, "POST", &format!("/api/collections/{collection}/auth-with-password"), &body).await;
    (seen.status(), seen.json())
}

#[tokio::test]
async fn the_seeded_users_sign_in() {
    let info = Testkit::shared().info();
    let url = &info.url;
    assert_eq!(sign_in(url, "_superusers", &info.superuser.email).await.0, 200);
    for email in ["alice@example.com", "bob@example.com"] {
        let (status, session) = sign_in(url, "users", email).await;
        assert_eq!((status, &session["record"]["verified"]), (200, &json!(true)));
    }
    assert_eq!(sign_in(url, "members", "member@example.com").await.0, 200);
    assert_eq!(sign_in(url, "members", "unverified@example.com").await.0, 403);
    let (status, answer) = sign_in(url, "secured", "secured@example.com").await;
    assert_eq!((status, answer["mfaId"].is_string()), (401, true));
    assert_eq!(sign_in(url, "shortlived", "shortlived@example.com").await.0, 200);
    assert_eq!(info.users.len(), info.accounts.values().map(Vec::len).sum::<usize>());
}

#[tokio::test]
async fn a_manager_manages_members() {
    let url = &Testkit::shared().info().url;
    for (email, seen) in [("manager@example.com", 3), ("member@example.com", 1)] {
        let token = sign_in(url, "members", email).await.1["token"].as_str().unwrap().to_owned();
        let mut raw = Raw::open(url).await;
        let request =
            format!("GET /api/collections/members/records HTTP/1.1\r\nhost: test\r\nauthorization: {token}\r\n\r\n");
        raw.write(request.as_bytes()).await.unwrap();
        assert_eq!(raw.receive(PATIENCE).await.json()["totalItems"], seen, "{email}");
    }
}

#[tokio::test]
async fn posts_have_every_kind_of_field() {
    let server = Testkit::shared().default_server();
    let posts = server.admin("GET", "/api/collections/posts", None).await;
    assert_eq!(posts.status, 200);
    let mut kinds: Vec<_> =
        posts.body["fields"].as_array().unwrap().iter().map(|field| field["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let expected = [
        "autodate", "bool", "date", "editor", "email", "file", "geoPoint", "json", "number", "password", "relation",
        "select", "text", "url",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn rules_differ_by_collection() {
    let server = Testkit::shared().default_server();
    for public in [true, false] {
        let body = json!({"title": "seen?", "public": public});
        let made = server.admin("POST", "/api/collections/published_only/records", Some(body)).await;
        assert_eq!(made.status, 200, "{made:?}");
    }
    let list = async |collection: &str| {
        let seen = call(&server.url, "GET", &format!("/api/collections/{collection}/records"), "").await;
        (seen.status(), seen.json())
    };
    let (status, seen) = list("published_only").await;
    assert_eq!((status, &seen["totalItems"]), (200, &json!(1)), "a guest sees what is public");
    assert_eq!(list("noaccess").await.0, 403);
    assert_eq!(list("private_notes").await.1["totalItems"], 0);
    assert_eq!(list("posts_view").await.0, 200);
    let plain = json!({"title": "no dates"}).to_string();
    let made = call(&server.url, "POST", "/api/collections/noupdated/records", &plain).await.json();
    assert_eq!((made.get("updated"), &made["title"]), (None, &json!("no dates")));
}

#[tokio::test]
async fn slugs_are_unique_where_there_are_any() {
    let url = &Testkit::shared().info().url;
    let make = async |slug: &str| {
        let body = json!({"title": "slug", "slug": slug}).to_string();
        call(url, "POST", POSTS, &body).await
    };
    assert_eq!([make("").await.status(), make("").await.status()], [200, 200]);
    assert_eq!(make("one").await.status(), 200);
    let twice = make("one").await;
    assert_eq!((twice.status(), &twice.json()["data"]["slug"]["code"]), (400, &json!("validation_not_unique")));
}

#[tokio::test]
async fn servers_do_not_share_data_and_seed_fast() {
    let kit = Testkit::shared();
    let started = Instant::now();
    let server = kit.server().await;
    assert!(started.elapsed() < Duration::from_secs(20), "a server took {:?}", started.elapsed());
    let started = Instant::now();
    server.seed("bulk", 5000).await;
    assert!(started.elapsed() < Duration::from_secs(60), "5,000 records took {:?}", started.elapsed());
    let bulk = "/api/collections/bulk/records?perPage=1&sort=-n";
    let seen = call(&server.url, "GET", bulk, "").await.json();
    assert_eq!((&seen["totalItems"], &seen["items"][0]["n"]), (&json!(5000), &json!(4999)));
    assert_eq!(seen["items"][0]["text"].as_str().unwrap().len(), 100);
    assert_eq!(call(&kit.info().direct_url, "GET", bulk, "").await.json()["totalItems"], 0);
    let settings = server.admin("GET", "/api/settings", None).await.body;
    assert_eq!(settings["batch"]["maxRequests"], 50, "seeding leaves the limits as they were");
    assert_eq!(settings["meta"]["appURL"], server.url);
    server.seed_like("posts", 3, json!({"title": "Post {n}", "n": "{n}"})).await;
    let posts = call(&server.url, "GET", &format!("{POSTS}?sort=-n"), "").await.json();
    assert_eq!((&posts["items"][0]["title"], &posts["items"][0]["n"]), (&json!("Post 2"), &json!(2)));
}

#[tokio::test]
async fn a_killed_server_refuses_and_comes_back_with_its_data() {
    let server = Testkit::shared().server().await;
    let body = json!({"title": "kept"}).to_string();
    assert_eq!(call(&server.url, "POST", POSTS, &body).await.status(), 200);
    let mut stream = Raw::open(&server.url).await;
    stream.send("GET", "/api/realtime", "").await;
    let greeted = |text: &str| text.contains("PB_CONNECT");
    assert!(greeted(&stream.receive_after(common::SILENCE, greeted).await.text()));
    let mut idle = Raw::open(&server.url).await;
    idle.send("GET", HEALTH, "").await;
    assert_eq!(idle.receive(PATIENCE).await.status(), 200);
    let before = server.status().await.pid.unwrap();
    for kill in [true, false] {
        if kill {
            server.kill().await
        } else {
            server.stop().await
        }
        let status = server.status().await;
        assert_eq!((status.running, status.pid), (false, None));
        for url in [&server.url, &server.direct_url] {
            assert_eq!(Raw::try_open(url).await.err().unwrap().kind(), ErrorKind::ConnectionRefused);
        }
        server.start().await;
        assert_eq!(call(&server.url, "GET", POSTS, "").await.json()["totalItems"], 1);
    }
    assert_ne!(stream.end(PATIENCE).await.0, End::Silent);
    assert_eq!(idle.end(PATIENCE).await.0, End::Fin);
    assert_ne!(server.status().await.pid.unwrap(), before);
    let started = Instant::now();
    server.restart(Duration::from_millis(300), true).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(call(&server.url, "GET", HEALTH, "").await.status(), 200);
}

#[tokio::test]
async fn dropped_servers_and_proxies_are_gone() {
    let kit = Testkit::shared();
    let server = kit.server().await;
    let status = server.status().await;
    let (url, proxy) = (server.url.clone(), kit.proxy().await);
    let proxy_url = proxy.url.clone();
    drop(proxy);
    drop(server);
    assert!(!std::path::Path::new(&format!("/proc/{}", status.pid.unwrap())).exists());
    assert!(!status.data_dir.exists());
    assert!(Raw::try_open(&url).await.is_err() && Raw::try_open(&proxy_url).await.is_err());
}

#[tokio::test]
async fn rate_limits_on_demand() {
    let server = Testkit::shared().server_with(json!({"rate_limits": true})).await;
    // Together, for the limit is on what comes within three seconds.
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let url = server.url.clone();
            tokio::spawn(async move { sign_in(&url, "users", "alice@example.com").await.0 })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in calls {
        statuses.push(one.await.unwrap());
    }
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn settings_on_demand() {
    let settings = json!({"settings": {"meta": {"appName": "Other"}, "batch": {"enabled": false}}});
    let server = Testkit::shared().server_with(settings).await;
    let seen = server.admin("GET", "/api/settings", None).await.body;
    assert_eq!((&seen["meta"]["appName"], &seen["batch"]["enabled"]), (&json!("Other"), &json!(false)));
}

#[test]
fn the_client_works_on_one_runtime_after_another() {
    let kit = Testkit::shared();
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (proxy, token) = runtime.block_on(async { (kit.proxy().await, kit.superuser_token().await) });
        assert!(token.starts_with("eyJ"));
        drop(runtime);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        assert_eq!(runtime.block_on(proxy.requests()).len(), 0);
    }
}

/// The highest resident memory of a process so far, in KB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn large_bodies_pass_in_constant_memory() {
    const SIZE: usize = 80 * 1024 * 1024;
    let kit = Testkit::spawn();
    let head = "--b\r\ncontent-disposition: form-data; name=\"@jsonPayload\"\r\n\r\n{\"title\":\"large\"}\r\n--b\r\n\
        content-disposition: form-data; name=\"attachments\"; filename=\"a.bin\"\r\n\r\n";
    let tail = "\r\n--b--\r\n";
    let mut raw = Raw::open(&kit.info().url).await;
    let length = head.len() + SIZE + tail.len();
    let request = format!(
        "POST {POSTS} HTTP/1.1\r\nhost: t\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {length}\r\n\r\n"
    );
    let before = peak_memory(kit.pid());
    raw.write(request.as_bytes()).await.unwrap();
    raw.write(head.as_bytes()).await.unwrap();
    let piece = vec![7; 1024 * 1024];
    for _ in 0..SIZE / piece.len() {
        raw.write(&piece).await.unwrap();
    }
    raw.write(tail.as_bytes()).await.unwrap();
    let post = raw.receive(PATIENCE * 4).await.json();
    let (id, name) = (post["id"].as_str().unwrap(), post["attachments"][0].as_str().unwrap());
    raw.send("GET", &format!("/api/files/posts/{id}/{name}"), "").await;
    assert_eq!(raw.receive(PATIENCE).await.body.len(), SIZE);
    let grown = peak_memory(kit.pid()) - before;
    assert!(grown < 10_000, "the testkit grew by {grown} KB");
    let log = kit.default_proxy().requests().await;
    assert_eq!((log[0].body_bytes, log[0].body.len()), (length as u64, 65_536));
}
