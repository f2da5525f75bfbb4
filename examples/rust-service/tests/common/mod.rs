//! What the tests share: the service on a port of its own.

use std::{path::PathBuf, time::Duration};

use picobase_testkit::{Proxy, Testkit};
use rust_service::{Settings, app};
use serde_json::Value;

/// Settings for a service of this test's own, behind that proxy. The folder of its session goes when this is dropped.
pub(crate) struct Home {
    pub(crate) settings: Settings,
    folder: PathBuf,
}

impl Home {
    pub(crate) fn new(name: &str, proxy: &Proxy) -> Home {
        let folder = std::env::temp_dir().join(format!("rust-service-{name}-{}", std::process::id()));
        let settings = Settings {
            url: proxy.url.clone(),
            email: "alice@example.com".into(),
            password: Testkit::shared().info().password.clone(),
            session_file: folder.join("session.json"),
        };
        Home { settings, folder }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts the service, and says where it is.
pub(crate) async fn serve(settings: &Settings) -> String {
    let app = app(settings).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}")
}

/// Status and JSON of an answer.
pub(crate) async fn json_of(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.timeout(Duration::from_secs(60)).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}
