//! B2: the key and the token never leave the instance.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use picobase::{ErrorKind, transport::Method};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    common::{builder, new_user, within},
    tools::proxy,
};

/// Another host, and how many connections reached it.
async fn elsewhere() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            seen.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (format!("http://localhost:{}", address.port()), count)
}

#[tokio::test]
async fn no_call_follows_a_redirect() {
    within(30, async {
        let proxy = proxy().await;
        let (other, reached) = elsewhere().await;
        let (user, _) = new_user(&proxy.url).await;
        let client = builder(&proxy.url).api_key("pk_secret_key").build().unwrap();
        client.auth().set_session(user.auth().session().unwrap()).await.unwrap();
        let posts = client.collection("posts");
        for status in [301, 302, 303, 307, 308] {
            for target in
                [format!("{other}/api/x?token=hidden"), format!("{}/api/health", proxy.url), "/api/health".into()]
            {
                proxy.faults(json!([{"action": {"type": "redirect", "status": status, "location": target}}])).await;
                proxy.clear_requests().await;
                let errors = [
                    posts.get_list(1, 1).await.map(|_| ()).unwrap_err(),
                    posts.create(&json!({"title": "x"})).await.map(|_| ()).unwrap_err(),
                    posts.delete("abc").await.unwrap_err(),
                    client.files().download(("posts", "abc"), "a.txt").bytes().await.map(|_| ()).unwrap_err(),
                ];
                for error in errors {
                    assert_eq!((error.kind(), error.status()), (ErrorKind::Configuration, status), "{error:?}");
                    let shown = target.split('?').next().unwrap();
                    assert!(error.message().contains(shown), "{error:?}");
                    let all = format!("{error:?} {}", error.fix());
                    assert!(!all.contains("hidden") && !all.contains("pk_secret_key"), "{all}");
                }
                assert_eq!(proxy.requests().await.len(), 4);
            }
        }
        // 304 and the like are no redirects that anyone asked for, and no success either.
        proxy.faults(json!([{"action": {"type": "respond", "status": 304}}])).await;
        assert_eq!(posts.get_list(1, 1).await.unwrap_err().kind(), ErrorKind::Configuration);
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    })
    .await;
}

#[tokio::test]
async fn send_goes_nowhere_else() {
    within(10, async {
        let proxy = proxy().await;
        let (other, reached) = elsewhere().await;
        let host = other.strip_prefix("http:").unwrap();
        let client = builder(&proxy.url).api_key("pk_secret_key").build().unwrap();
        for url in [other.as_str(), host, &format!("HTTP:{host}/x"), &format!("\\\\{host}"), &format!("/\\{host}")] {
            let error = client.send::<Value>(Method::Get, url).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{url}");
        }
        for path in ["http:localhost/x", "@localhost/x", ":80/x", "localhost:1/x"] {
            let error = client.send::<Value>(Method::Get, path).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Configuration | ErrorKind::NotFound), "{path} {error:?}");
        }
        let log = proxy.requests().await;
        assert!(log.iter().all(|r| r.path.starts_with('/')), "{log:#?}");
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    })
    .await;
}
