//! B7 and B17: certificates, names, and proxies of the environment.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Output},
};

use picobase::ErrorKind;

use crate::{
    common::{client, kit, within},
    tools::{ms, timed, watched},
};

/// Runs a test of this binary in a process of its own.
pub(crate) async fn child(test: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("PICOBASE_FAULTS_CHILD", test);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Is this the process for that test?
pub(crate) fn is_child(test: &str) -> bool {
    std::env::var("PICOBASE_FAULTS_CHILD").is_ok_and(|name| name == test)
}

fn assert_success(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn a_certificate_that_nobody_knows() {
    within(20, async {
        let proxy = kit().tls_proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        let (result, took) = timed(client.collection("posts").get_list(1, 1)).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{error:?}");
        assert!(error.fix().contains("SSL_CERT_FILE"), "{}", error.fix());
        assert!(took < ms(3000), "{took:?}");
        assert_eq!(proxy.stats().await.connections_total, 1);
        assert_eq!(states.all(), []);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_authority_of_ones_own() {
    within(30, async {
        let proxy = kit().tls_proxy().await;
        let ca = kit().info().tls_ca.clone();
        let environment = [("SSL_CERT_FILE", ca.to_str().unwrap()), ("PICOBASE_FAULTS_URL", &proxy.url)];
        assert_success(&child("tls::child_of_a_certificate_authority", &environment).await);
        assert_eq!(proxy.requests().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn child_of_a_certificate_authority() {
    if is_child("tls::child_of_a_certificate_authority") {
        let url = std::env::var("PICOBASE_FAULTS_URL").unwrap();
        client(&url).collection("posts").get_list(1, 1).await.unwrap();
    }
}

#[tokio::test]
async fn a_host_that_nobody_knows() {
    within(20, async {
        let (client, states) = watched("http://no-such-host.invalid", |b| b);
        let (result, took) = timed(client.collection("posts").get_list(1, 1)).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{error:?}");
        assert!(took < ms(6000), "{took:?}");
        assert_eq!(states.all(), []);
    })
    .await;
}

#[tokio::test]
async fn plain_http_where_tls_was_expected() {
    within(20, async {
        let proxy = kit().proxy().await;
        let (client, states) = watched(&proxy.url.replace("http://", "https://"), |b| b);
        let error = client.collection("posts").get_list(1, 1).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{error:?}");
        assert_eq!(states.all(), []);
    })
    .await;
}

#[tokio::test]
async fn the_proxy_of_the_environment() {
    within(30, async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let body = r#"{"code":200,"message":"by proxy","data":{}}"#;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            line
        });
        let environment = [("HTTP_PROXY", address.as_str()), ("http_proxy", address.as_str())];
        assert_success(&child("tls::child_of_a_proxy", &environment).await);
        assert_eq!(seen.join().unwrap().trim(), "GET http://picobase.example/api/health HTTP/1.1");
    })
    .await;
}

#[tokio::test]
async fn child_of_a_proxy() {
    if is_child("tls::child_of_a_proxy") {
        assert_eq!(client("http://picobase.example").health().await.unwrap().message, "by proxy");
    }
}
