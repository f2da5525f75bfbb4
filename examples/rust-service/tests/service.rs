//! The service against a real server, from start to end.
#![expect(clippy::unwrap_used, reason = "a test asserts by panicking")]

mod common;

use picobase_testkit::Testkit;
use serde_json::{Value, json};

use crate::common::{Home, json_of, serve};

fn body(value: &Value) -> String {
    value.to_string()
}

#[tokio::test]
async fn the_service_does_its_work() {
    let kit = Testkit::shared();
    let server = kit.server().await;
    let proxy = server.default_proxy();
    let home = Home::new("service", &proxy);
    let url = serve(&home.settings).await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let post = |path: &str, value: &Value| {
        http.post(format!("{url}{path}")).header("content-type", "application/json").body(body(value))
    };

    // Create, and be told what is wrong.
    let (status, created) = json_of(post("/posts", &json!({"title": "Rust \"quoted\"", "status": "published"}))).await;
    assert_eq!(status, 201, "{created}");
    let (status, refused) = json_of(post("/posts", &json!({"title": ""}))).await;
    assert_eq!((status, refused["error"].as_str()), (400, Some("Validation")));
    assert!(refused["fields"]["title"].is_string(), "{refused}");

    // Find it; a quote in the search stays a value.
    let (_, found) = json_of(http.get(format!("{url}/posts?q=%22quoted%22"))).await;
    assert_eq!(found["posts"].as_array().unwrap().len(), 1, "{found}");
    let (_, none) = json_of(http.get(format!("{url}/posts?q=%22%20%7C%7C%201%3D1%20%7C%7C%20%22"))).await;
    assert_eq!(none["posts"].as_array().unwrap().len(), 0, "{none}");

    // Stream a file into it.
    let id = created["id"].as_str().unwrap();
    let bytes = vec![7u8; 3_000_000];
    let (status, attached) = json_of(http.put(format!("{url}/posts/{id}/attachments/film.bin")).body(bytes)).await;
    assert_eq!((status, attached["attachments"].as_array().unwrap().len()), (200, 1), "{attached}");

    // A protected file opens by the URL that the service hands out, and by no other.
    let (status, document) = json_of(http.post(format!("{url}/docs/secret.txt")).body("for your eyes only")).await;
    assert_eq!(status, 201, "{document}");
    let answer = http.get(format!("{url}/docs/{}/file", document["id"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(answer.status(), 307);
    let signed = answer.headers()["location"].to_str().unwrap().to_string();
    assert_eq!(http.get(&signed).send().await.unwrap().text().await.unwrap(), "for your eyes only");
    let unsigned = signed.split('?').next().unwrap();
    assert_eq!(http.get(unsigned).send().await.unwrap().status(), 404);

    // The service is restarted while the instance sleeps: it goes on with its session and waits for the instance.
    proxy.clear_requests().await;
    let again = serve(&home.settings).await;
    proxy.faults(json!([{"for_ms": 1500, "action": {"type": "respond", "status": 503}}])).await;
    let (status, found) = json_of(http.get(format!("{again}/posts"))).await;
    assert_eq!((status, found["posts"].as_array().unwrap().len()), (200, 1), "{found}");
    let signed_in_again = proxy.requests().await.iter().any(|r| r.path.ends_with("auth-with-password"));
    assert!(!signed_in_again, "the session of before is in the file");
    let (_, health) = json_of(http.get(format!("{again}/health"))).await;
    assert!(health["user"].is_string(), "{health}");
    assert_eq!(health["realtime"], "disconnected");
}
