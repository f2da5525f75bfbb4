//! What superusers do: collections, settings, logs, backups, crons, SQL. Each on a server of its own.

use std::time::Duration;

use bytes::Bytes;
use picobase::{Client, ErrorKind, Record, files::FileSource};
use picobase_testkit::Server;
use serde_json::{Value, json};

use crate::common::{address, capability, client, kit, new_post, superuser, unique, within};

/// A server of the test's own and a superuser's client.
async fn own_server() -> (Server, Client) {
    let server = kit().server().await;
    let root = superuser(&server.url).await;
    (server, root)
}

fn collection(name: &str) -> Value {
    json!({"name": name, "type": "base", "listRule": "", "fields": [{"type": "text", "name": "title"}]})
}

#[tokio::test]
async fn collections_from_create_to_delete() {
    within(60, async {
        let (_server, root) = own_server().await;
        let all = root.collections();
        let made: Value = all.create(&collection("things")).await.unwrap();
        let got: Value = all.get_one("things").await.unwrap();
        assert_eq!(made["id"], got["id"]);
        let same: Value = all.get_one(got["id"].as_str().unwrap()).await.unwrap();
        assert_eq!(same["name"], "things");
        let twice = all.create::<Value>(&collection("things")).await.unwrap_err();
        assert!(twice.field("name").is_some() && twice.status() == 400, "{twice}");

        let changed: Value = all.update("things", &json!({"listRule": null, "createRule": ""})).await.unwrap();
        assert_eq!((&changed["listRule"], &changed["createRule"]), (&Value::Null, &json!("")));
        for n in 0..3 {
            root.collection("things").create(&json!({"title": n.to_string()})).await.unwrap();
        }
        all.truncate("things").await.unwrap();
        assert_eq!(root.collection("things").get_list(1, 1).await.unwrap().total_items, 0);
        all.delete("things").await.unwrap();
        assert_eq!(all.get_one::<Value>("things").await.unwrap_err().kind(), ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn collections_listed_and_imported() {
    within(60, async {
        let (_server, root) = own_server().await;
        let all = root.collections();
        let page = all.get_list::<Value>(1, 3).filter("type = 'auth'").sort("name").await.unwrap();
        assert_eq!((page.page, page.per_page, page.items.len()), (1, 3, 3));
        let view: Value = all.get_first_list_item("type = 'view'").await.unwrap();
        assert_eq!(view["name"], "posts_view");
        let none = all.get_first_list_item::<Value>("name = 'nothing'").await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);

        let before: Vec<Value> = all.get_full_list().query("sort", "name").await.unwrap();
        assert!(before.iter().any(|c| c["name"] == "posts") && before.is_sorted_by_key(|c| c["name"].to_string()));
        all.import(&[collection("imported")], false).await.unwrap();
        let after: Vec<Value> = all.get_full_list().await.unwrap();
        assert_eq!(after.len(), before.len() + 1);
        all.import(&before, true).await.unwrap();
        assert_eq!(all.get_one::<Value>("imported").await.unwrap_err().kind(), ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn more_collections_than_a_page_has() {
    within(60, async {
        let (server, root) = own_server().await;
        let extra: Vec<Value> = (0..205).map(|n| collection(&format!("extra{n}"))).collect();
        root.collections().import(&extra, false).timeout(Duration::from_secs(40)).await.unwrap();
        let all: Vec<Value> = root.collections().get_full_list().query("filter", "name ~ 'extra'").await.unwrap();
        assert_eq!(all.len(), 205);
        let pages = server.default_proxy().requests().await.iter().filter(|r| r.method == "GET").count();
        assert_eq!(pages, 2);
    })
    .await;
}

#[tokio::test]
async fn scaffolds_have_every_type() {
    within(60, async {
        let (_server, root) = own_server().await;
        let scaffolds: Value = root.collections().get_scaffolds().await.unwrap();
        assert_eq!(scaffolds["auth"]["passwordAuth"]["enabled"], true);
        assert!(scaffolds["base"].is_object() && scaffolds["view"].is_object());
        let guest = client(&root.url().unwrap());
        let refused = guest.collections().get_scaffolds::<Value>().await.unwrap_err();
        assert_eq!(refused.status(), 401, "{refused}");
    })
    .await;
}

#[tokio::test]
async fn oauth2_providers_that_the_server_knows() {
    if !capability("collections.get_oauth2_providers", "0.37.0") {
        return;
    }
    within(60, async {
        let (_server, root) = own_server().await;
        let providers = root.collections().get_oauth2_providers().await.unwrap();
        let google = providers.iter().find(|p| p.name == "google").unwrap();
        assert!(google.display_name == "Google" && google.logo.contains("<svg"), "{google:?}");
    })
    .await;
}

#[tokio::test]
async fn a_view_tried_before_it_is_made() {
    if !capability("collections.dry_run_view", "0.37.0") {
        return;
    }
    within(60, async {
        let (_server, root) = own_server().await;
        new_post(&root, "seen").await;
        let tried: Value = root.collections().dry_run_view("SELECT id, title FROM posts").await.unwrap();
        assert_eq!((tried["fields"].as_array().unwrap().len(), tried["sample"].as_array().unwrap().len()), (2, 1));
        let wrong = root.collections().dry_run_view::<Value>("SELECT nothing").await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Validation);
    })
    .await;
}

#[tokio::test]
async fn settings_are_read_and_changed() {
    within(60, async {
        let (_server, root) = own_server().await;
        let all: Value = root.settings().get_all().await.unwrap();
        assert_eq!(all["meta"]["appName"], "Testkit");
        let changed: Value = root.settings().update(&json!({"meta": {"appName": "Renamed"}})).await.unwrap();
        assert_eq!((&changed["meta"]["appName"], &changed["batch"]["enabled"]), (&json!("Renamed"), &json!(true)));
        let wrong = root.settings().update::<Value>(&json!({"meta": {"appName": ""}})).await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Validation);
        assert!(wrong.body().unwrap().contains("appName"));
        let guest = client(&root.url().unwrap()).settings().get_all::<Value>().await.unwrap_err();
        assert_eq!(guest.status(), 401);
    })
    .await;
}

#[tokio::test]
async fn settings_are_tried() {
    within(60, async {
        let (_server, root) = own_server().await;
        let to = address("test");
        root.settings().test_email("users", &to, "verification").await.unwrap();
        assert!(kit().mail(&to).await.subject.contains("Verify"));
        let wrong = root.settings().test_email("users", "nobody", "verification").await.unwrap_err();
        assert!(wrong.kind() == ErrorKind::Validation && wrong.field("email").is_some(), "{wrong}");
        let no_s3 = root.settings().test_s3("storage").await.unwrap_err();
        assert_eq!((no_s3.kind(), no_s3.status()), (ErrorKind::Validation, 400));
    })
    .await;
}

/// Made for this test; it opens nothing.
const APPLE_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxGAixQrT7pZqIkeR
K8ObbQXsF0Pbc71fUYrBy20trKahRANCAARkauGfEUf7K3QcVc9FGezXO2ygs+/B
C5ZFBsteJECO7H65OL7Qz0/+8RnIFGpjXGpwHY4yy7HdtD7QPh8nixvY";

#[tokio::test]
async fn apple_client_secret() {
    within(60, async {
        let (_server, root) = own_server().await;
        let key = format!("-----BEGIN {0}-----\n{APPLE_KEY}\n-----END {0}-----", "PRIVATE KEY");
        let (team, id, life) = ("TEAM567890", "KEY4567890", Duration::from_secs(3600));
        let made = root.settings().generate_apple_client_secret("com.example.app", team, id, &key, life).await.unwrap();
        assert_eq!(made.secret.split('.').count(), 3, "a JWT");
        assert!(!format!("{made:?}").contains(&made.secret));
        let wrong = root.settings().generate_apple_client_secret("a", "b", "c", "no key", life).await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Validation);
    })
    .await;
}

#[tokio::test]
async fn logs_are_read() {
    within(60, async {
        let (_server, root) = own_server().await;
        let mark = unique("mark");
        let _ = client(&root.url().unwrap()).collection(&mark).get_list(1, 1).await;
        let filter = format!("data.url ~ '{mark}'");
        // The server writes its logs a few seconds later.
        let found = loop {
            let page = root.logs().get_list::<Value>(1, 5).filter(filter.as_str()).sort("-created").await.unwrap();
            if let Some(first) = page.items.into_iter().next() {
                break first;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let one: Value = root.logs().get_one(found["id"].as_str().unwrap()).await.unwrap();
        assert_eq!((&one["data"]["method"], &one["data"]["status"]), (&json!("GET"), &json!(404)));
        let stats = root.logs().get_stats().query("filter", filter.as_str()).await.unwrap();
        assert_eq!(stats.iter().map(|hour| hour.total).sum::<i64>(), 1);
        assert_eq!(root.logs().get_one::<Value>("nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn logs_are_deleted() {
    if !capability("logs.delete_all", "0.40.0") {
        return;
    }
    within(60, async {
        let (_server, root) = own_server().await;
        root.logs().delete_all().await.unwrap();
        assert!(client(&root.url().unwrap()).logs().delete_all().await.unwrap_err().status() >= 401);
    })
    .await;
}

#[tokio::test]
async fn backups_are_made_moved_and_deleted() {
    within(60, async {
        let (_server, root) = own_server().await;
        let backups = root.backups();
        backups.create("one.zip").await.unwrap();
        let wrong = backups.create("No Name").await.unwrap_err();
        assert!(wrong.kind() == ErrorKind::Validation && wrong.field("name").is_some(), "{wrong}");
        let listed = backups.get_full_list().await.unwrap();
        assert_eq!((listed.len(), listed[0].key.as_str()), (1, "one.zip"));

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("copy.zip");
        assert_eq!(backups.download("one.zip").to_path(&file).await.unwrap(), listed[0].size);
        assert!(std::fs::read(&file).unwrap().starts_with(b"PK"));
        let url = backups.get_download_url("one.zip", &root.files().get_token().await.unwrap()).unwrap();
        assert_eq!(reqwest::get(url).await.unwrap().content_length(), Some(listed[0].size));

        backups.upload(FileSource::path(&file)).await.unwrap();
        backups.upload(FileSource::stream("streamed.zip", None, pieces(&file))).await.unwrap();
        let wrong = backups.upload(FileSource::bytes("no.zip", "no zip")).await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Validation);
        backups.delete("one.zip").await.unwrap();
        let mut keys: Vec<_> = backups.get_full_list().await.unwrap().into_iter().map(|b| b.key).collect();
        keys.sort();
        assert_eq!(keys, ["copy.zip", "streamed.zip"]);
        assert!(backups.delete("one.zip").await.unwrap_err().status() >= 400);
        assert_eq!(backups.download("one.zip").bytes().await.unwrap_err().kind(), ErrorKind::NotFound);
    })
    .await;
}

/// A file as a stream of small pieces.
fn pieces(file: &std::path::Path) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + use<> {
    let data = std::fs::read(file).unwrap();
    let pieces: Vec<_> = data.chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    futures_util::stream::iter(pieces)
}

#[tokio::test]
async fn a_backup_is_restored() {
    within(60, async {
        let (_server, root) = own_server().await;
        let kept = new_post(&root, "before").await;
        root.backups().create("before.zip").await.unwrap();
        let lost = new_post(&root, "after").await;
        let missing = root.backups().restore("missing.zip").await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Validation);
        root.backups().restore("before.zip").await.unwrap();
        let posts = root.collection("posts");
        loop {
            match posts.get_one(lost.id()).await {
                Err(e) if e.kind() == ErrorKind::NotFound => break,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        let kept: Record = posts.get_one(kept.id()).await.unwrap();
        assert_eq!(kept.get_str("title"), Some("before"));
        assert_eq!(root.health().await.unwrap().code, 200);
    })
    .await;
}

#[tokio::test]
async fn crons_are_listed_and_run() {
    within(60, async {
        let (_server, root) = own_server().await;
        let jobs = root.crons().get_full_list().await.unwrap();
        let cleanup = jobs.iter().find(|job| job.id == "__pbLogsCleanup__").unwrap();
        assert_eq!(cleanup.expression.split(' ').count(), 5);
        root.crons().run(&cleanup.id).await.unwrap();
        assert_eq!(root.crons().run("nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn sql_is_run() {
    if !capability("sql.run", "0.39.0") {
        return;
    }
    within(60, async {
        let (_server, root) = own_server().await;
        let post = new_post(&root, "by sql").await;
        let answer = root.sql().run("SELECT id, title, NULL AS gap FROM posts").await.unwrap();
        assert_eq!(answer.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["id", "title", "gap"]);
        assert_eq!(answer.rows, [[Some(post.id().to_string()), Some("by sql".to_string()), None]]);
        let changed = root.sql().run("UPDATE posts SET title = 'changed'").await.unwrap();
        assert_eq!(changed.affected_rows, 1);
        let wrong = root.sql().run("SELECT FROM").await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Validation);
    })
    .await;
}

#[tokio::test]
async fn health_for_guests_and_superusers() {
    within(60, async {
        let (_server, root) = own_server().await;
        let guest = client(&root.url().unwrap()).health().await.unwrap();
        assert_eq!((guest.code, guest.message.as_str()), (200, "API is healthy."));
        // A session that was handed over is there from the first call on.
        let seen = root.health().await.unwrap();
        assert!(seen.data.get("canBackup").is_some(), "{}", seen.data.as_text());
        assert!(guest.data.get("canBackup").is_none());
    })
    .await;
}
