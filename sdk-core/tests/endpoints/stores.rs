//! Stores: a session that outlives the client, and sessions side by side.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use picobase::{
    Client, Error, ErrorKind,
    auth::{FileStore, Session, Store},
    client::SessionSource,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{address, builder, kit, new_user, password, user_id, within};

/// A client with a file store, and what it reports.
fn stored(url: &str, path: &Path) -> (Client, Arc<Mutex<Vec<Error>>>) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = reports.clone();
    let client = builder(url)
        .store(FileStore::new(path))
        .on_storage_error(move |error| sink.lock().unwrap().push(error.clone()))
        .build()
        .unwrap();
    (client, reports)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_session_outlives_the_client() {
    within(60, async {
        let proxy = kit().proxy().await;
        let folder = folder();
        let path = folder.path().join("deep/er/session.json");
        let (first, reports) = stored(&proxy.url, &path);
        first.auth().sign_up(&address("store"), password()).await.unwrap();
        let kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(kept["token"], first.auth().session().unwrap().token());
        assert_eq!(kept["record"]["id"], user_id(&first));
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);

        let (second, _) = stored(&proxy.url, &path);
        let note = json!({"owner": user_id(&first), "body": "mine"});
        second.collection("private_notes").create(&note).await.unwrap();
        assert_eq!(user_id(&second), user_id(&first));
        second.auth().sign_out().await.unwrap();
        assert!(!path.exists() && reports.lock().unwrap().is_empty());
        let (third, _) = stored(&proxy.url, &path);
        third.auth().ready().await.unwrap();
        assert!(third.auth().session().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_client_hears_of_its_own_store_and_the_family_of_all() {
    within(60, async {
        let folder = folder();
        let [one, two] = ["one.json", "two.json"].map(|name| folder.path().join(name));
        fs::write(&two, "no session").unwrap();
        let (client, family) = stored("http://127.0.0.1:9", &one);
        let visitor = client.with_session(SessionSource::Store(Arc::new(FileStore::new(&two))));
        let own = [&client, &visitor].map(|client| {
            let reports = Arc::new(Mutex::new(0));
            let sink = reports.clone();
            client.on_storage_error(move |_| *sink.lock().unwrap() += 1);
            reports
        });
        client.auth().ready().await.unwrap();
        visitor.auth().ready().await.unwrap();
        assert_eq!(own.map(|reports| *reports.lock().unwrap()), [0, 1]);
        assert_eq!(family.lock().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_corrupt_file_is_set_aside() {
    within(60, async {
        let proxy = kit().proxy().await;
        for content in [&b"{\"token\": \"half"[..], b"", b"\xff\xfe\0", b"[]", b"{\"token\": \"\"}"] {
            let folder = folder();
            let path = folder.path().join("session.json");
            fs::write(&path, content).unwrap();
            let (client, reports) = stored(&proxy.url, &path);
            client.collection("posts").get_list(1, 1).await.unwrap();
            assert!(client.auth().session().is_none());
            let report = reports.lock().unwrap().first().cloned().unwrap();
            assert_eq!(report.kind(), ErrorKind::Storage);
            let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
            assert!(names.len() == 1 && names[0].to_string_lossy().contains("corrupt"), "{names:?}");
            assert!(report.message().contains("corrupt"), "{report}");
            client.auth().sign_in("alice@example.com", password()).await.unwrap();
            assert!(path.exists());
        }
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written() {
    within(60, async {
        let proxy = kit().proxy().await;
        let folder = folder();
        // A file in place of the folder stops root as well.
        fs::write(folder.path().join("file"), "x").unwrap();
        let (client, _) = stored(&proxy.url, &folder.path().join("file/session.json"));
        let error = client.auth().sign_in("alice@example.com", password()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
        assert!(client.auth().session().is_some(), "live all the same");
        assert_eq!(client.collection("users").get_list(1, 5).await.unwrap().total_items, 1);
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_not_followed() {
    within(60, async {
        let proxy = kit().proxy().await;
        let folder = folder();
        let (target, link) = (folder.path().join("target"), folder.path().join("session.json"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let (client, _) = stored(&proxy.url, &link);
        assert_eq!(client.auth().ready().await.unwrap_err().kind(), ErrorKind::Storage);
        let error = client.auth().sign_in("alice@example.com", password()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Storage && error.message().contains("symbolic link"), "{error}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_never_tear_the_file() {
    within(60, async {
        let proxy = kit().proxy().await;
        let folder = folder();
        let path = folder.path().join("session.json");
        let (one, _) = new_user(&proxy.url).await;
        let (two, _) = new_user(&proxy.url).await;
        let sessions = [one.auth().session().unwrap(), two.auth().session().unwrap()];
        let writers = sessions.clone().map(|session| tokio::spawn(write_often(stored(&proxy.url, &path).0, session)));
        let reader = tokio::task::spawn_blocking(move || read_often(&path, &sessions));
        for writer in writers {
            writer.await.unwrap();
        }
        assert!(reader.await.unwrap() > 50);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    })
    .await;
}

async fn write_often(client: Client, session: Session) {
    for _ in 0..200 {
        client.auth().set_session(session.clone()).await.unwrap();
    }
}

/// Reads until nothing changes any more; answers how often it read one session or the other.
fn read_often(path: &Path, sessions: &[Session]) -> usize {
    let mut reads = 0;
    for _ in 0..1000 {
        if let Ok(text) = fs::read(path) {
            let kept: Value = serde_json::from_slice(&text).unwrap();
            let whose = sessions.iter().find(|s| kept["token"] == s.token()).unwrap();
            assert_eq!(kept["record"]["id"], whose.user_id());
            reads += 1;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    reads
}

#[tokio::test]
async fn visitors_do_not_see_each_other() {
    within(60, async {
        let proxy = kit().proxy().await;
        let app = builder(&proxy.url).build().unwrap();
        let (one, two, guest) = (app.with_session(""), app.with_session(""), app.with_session(""));
        for visitor in [&one, &two] {
            visitor.auth().sign_up(&address("visitor"), password()).await.unwrap();
            let note = json!({"owner": user_id(visitor), "body": "mine"});
            visitor.collection("private_notes").create(&note).await.unwrap();
        }
        assert_ne!(user_id(&one), user_id(&two));
        assert!(app.auth().session().is_none() && guest.auth().session().is_none());
        for (client, notes) in [(&one, 1), (&two, 1), (&app, 0), (&guest, 0)] {
            assert_eq!(client.collection("private_notes").get_list(1, 5).await.unwrap().total_items, notes);
        }
        let again = app.with_session(one.auth().session().unwrap().token());
        assert_eq!(again.collection("private_notes").get_list(1, 5).await.unwrap().total_items, 1);
        again.auth().sign_out().await.unwrap();
        assert!(one.auth().session().is_some(), "signing out one visitor's copy leaves the other");
    })
    .await;
}

#[tokio::test]
async fn a_store_for_a_visitor() {
    within(60, async {
        let proxy = kit().proxy().await;
        let folder = folder();
        let path = folder.path().join("visitor.json");
        let app = builder(&proxy.url).build().unwrap();
        let store: Arc<dyn Store> = Arc::new(FileStore::new(&path));
        app.with_session(store.clone()).auth().sign_up(&address("visitor"), password()).await.unwrap();
        let later = app.with_session(store);
        later.auth().ready().await.unwrap();
        assert!(later.auth().session().is_some() && app.auth().session().is_none());
    })
    .await;
}
