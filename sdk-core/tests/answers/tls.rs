//! Certificates, unknown hosts, and proxies of the network.

use std::{
    process::{Command, Output},
    time::Instant,
};

use picobase::{ErrorKind, InstanceState};
use serde_json::{Value, json};

use crate::{
    common::{LATE, builder, client, kit},
    tools::{Raw, assert_error, ms, timed},
};

/// Set in a child process: the URL that it asks for its health.
const CHILD: &str = "PICOBASE_ANSWERS_CHILD";

/// Runs a test of this binary again, as a process with variables of its own.
fn child(url: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tls::asks_in_a_child_process", "--nocapture"]).env(CHILD, url);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

#[track_caller]
fn assert_child(output: &Output, done: bool) {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), done, "{text}");
    assert!(text.contains("1 passed") || text.contains("1 failed"), "it ran no test: {text}");
}

/// Does something only as a child process.
#[tokio::test]
async fn asks_in_a_child_process() {
    if let Ok(url) = std::env::var(CHILD) {
        let client = builder(&url).max_retries(0).cold_start_timeout(ms(1000)).build().unwrap();
        client.health().await.unwrap_or_else(|e| panic!("{e}: {}", e.fix()));
        let posts = client.send::<Value>(picobase::transport::Method::Get, "/api/collections/posts/records").await;
        posts.unwrap_or_else(|e| panic!("{e}"));
    }
}

#[tokio::test]
async fn unknown_authorities() {
    let proxy = kit().tls_proxy().await;
    let states = std::sync::Arc::new(std::sync::Mutex::new(Vec::<InstanceState>::new()));
    let sink = states.clone();
    let watched = builder(&proxy.url).on_state(move |state| sink.lock().unwrap().push(*state)).build().unwrap();
    let (error, took) = timed(async { watched.collection("posts").get_list(1, 1).await.unwrap_err() }).await;
    assert_error(&error, ErrorKind::Network, 0, 1);
    assert!(error.fix().contains("certificate") && error.fix().contains("SSL_CERT_FILE"), "{}", error.fix());
    assert!(took < LATE, "{took:?}");
    assert_eq!(proxy.stats().await.connections_total, 1);
    let error = watched.collection("posts").create(&json!({"title": "x"})).safe_retry().await.unwrap_err();
    assert_error(&error, ErrorKind::Network, 0, 1);
    assert_eq!((error.maybe_created(), proxy.stats().await.connections_total), (None, 2));
    assert_eq!(
        (proxy.requests().await.len(), states.lock().unwrap().len()),
        (0, 0),
        "nothing was asked, nobody sleeps"
    );
}

#[tokio::test]
async fn known_authorities() {
    let proxy = kit().tls_proxy().await;
    let ca = kit().info().tls_ca.to_str().unwrap();
    let url = proxy.url.clone();
    let (with, without) =
        tokio::task::spawn_blocking(move || (child(&url, &[("SSL_CERT_FILE", ca)]), child(&url, &[]))).await.unwrap();
    assert_child(&with, true);
    assert_child(&without, false);
    assert_eq!(proxy.requests().await.len(), 2);
    // The same in the process itself, by the user's hand.
    let pem = std::fs::read(ca).unwrap();
    let http = reqwest::Client::builder().add_root_certificate(reqwest::Certificate::from_pem(&pem).unwrap());
    let trusting = builder(&proxy.url).http_client(http).build().unwrap();
    trusting.health().await.unwrap();
    // The certificate is one of 127.0.0.1, and of no other name.
    let files = ["/no/such/file.pem", "/dev/null"];
    for file in files {
        let url = proxy.url.clone();
        let output = tokio::task::spawn_blocking(move || child(&url, &[("SSL_CERT_FILE", file)])).await.unwrap();
        assert_child(&output, false);
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("SSL_CERT_FILE"), "{file}: {text}");
    }
}

#[tokio::test]
async fn plain_text_on_a_tls_port_and_the_reverse() {
    let tls = kit().tls_proxy().await;
    let plain = kit().proxy().await;
    let (error, _) = timed(async {
        let client = client(&plain.url.replace("http:", "https:"));
        client.collection("posts").get_list(1, 1).await.unwrap_err()
    })
    .await;
    assert_error(&error, ErrorKind::Network, 0, 1);
    assert!(error.fix().contains("certificate"), "{error}: {}", error.fix());
    let impatient = builder(&tls.url.replace("https:", "http:")).max_retries(0).build().unwrap();
    let (error, _) = timed(async { impatient.collection("posts").get_list(1, 1).await.unwrap_err() }).await;
    assert!(matches!(error.kind(), ErrorKind::Network | ErrorKind::Validation), "{error}");
}

#[tokio::test]
async fn unknown_hosts() {
    let start = Instant::now();
    let client = client("http://no-such-host.invalid");
    let error = client.collection("posts").get_list(1, 1).await.unwrap_err();
    assert_error(&error, ErrorKind::Network, 0, 1);
    assert!(error.fix().contains("host"), "{}", error.fix());
    let error = client.collection("posts").create(&json!({"title": "x"})).await.unwrap_err();
    assert_error(&error, ErrorKind::Network, 0, 1);
    assert!(start.elapsed() < 2 * LATE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn proxies_of_the_environment() {
    let health = r#"{"code":200,"message":"ok","data":{}}"#;
    let seen = Raw::sending(format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{health}",
        health.len()
    ));
    let asked = kit().proxy().await;
    let with_user = seen.url.replace("http://", "http://me:secret@");
    let (address, target) = (seen.url.clone(), asked.url.clone());
    let runs = tokio::task::spawn_blocking(move || {
        let far = "http://api.example.test:8090";
        vec![
            (child(far, &[("HTTP_PROXY", &address)]), true),
            (child(far, &[("http_proxy", &with_user)]), true),
            (child(far, &[("ALL_PROXY", &address)]), true),
            (child("https://api.example.test", &[("HTTPS_PROXY", &address)]), false),
            (child(&target, &[("HTTP_PROXY", &address), ("NO_PROXY", "127.0.0.1")]), true),
        ]
    })
    .await
    .unwrap();
    for (output, done) in &runs {
        assert_child(output, *done);
    }
    let heads = seen.seen();
    let first: Vec<_> = heads.iter().map(|head| head.lines().next().unwrap_or_default()).collect();
    let health = "GET http://api.example.test:8090/api/health HTTP/1.1";
    let list = "GET http://api.example.test:8090/api/collections/posts/records HTTP/1.1";
    assert_eq!(first[..6], [health, list, health, list, health, list]);
    assert!(first[6..].iter().all(|line| *line == "CONNECT api.example.test:443 HTTP/1.1"), "{first:?}");
    assert!(heads[2].to_lowercase().contains("proxy-authorization: basic bwu6c2vjcmv0"), "{}", heads[2]);
    assert_eq!(asked.requests().await.len(), 2, "NO_PROXY goes there directly");
}

#[tokio::test]
async fn a_broken_handshake_is_no_sleep() {
    // Whoever accepts and says nothing sensible is no instance that wakes up.
    let raw = Raw::sending("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let client = builder(&raw.url.replace("http:", "https:")).max_retries(1).build().unwrap();
    let (error, took) = timed(async { client.collection("posts").get_list(1, 1).await.unwrap_err() }).await;
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert!(took < LATE, "{took:?}");
}
