//! Several writes in one request.

use picobase::{ErrorKind, Record, files::FileSource};
use serde_json::json;

use crate::common::{calls, client, kit, new_post, new_user, record_id, superuser, unique, within};

#[tokio::test]
async fn every_kind_of_write() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let (changed, deleted) = (new_post(&client, "old").await, new_post(&client, "gone").await);
        let (id, author) = (record_id(), client.auth().session().unwrap().user_id());
        let mut batch = client.batch();
        batch.collection("posts").create(&json!({"title": "new", "author": author})).expand("author");
        batch.collection("posts").update(changed.id(), &json!({"title": "changed", "n+": 2})).fields("title,n");
        batch.collection("posts").upsert(&json!({"id": id, "title": "made"}));
        batch.collection("posts").upsert(&json!({"id": id, "title": "made again"}));
        batch.collection("posts").delete(deleted.id());
        assert_eq!(batch.len(), 5);
        let results = batch.send().await.unwrap();
        assert_eq!(results.iter().map(|r| r.status).collect::<Vec<_>>(), [200, 200, 200, 200, 204]);
        let records: Vec<Record> = results[..4].iter().map(|r| r.record().unwrap()).collect();
        assert_eq!(records[0].expand("author")[0].id(), author);
        assert_eq!(serde_json::to_value(records[1].fields()).unwrap(), json!({"title": "changed", "n": 2}));
        assert_eq!((records[3].id(), records[3].get_str("title")), (id.as_str(), Some("made again")));
        assert!(results[4].body.is_null());
        assert_eq!(client.collection("posts").get_one(deleted.id()).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(calls(&proxy.requests().await, "/api/batch").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn files_in_a_batch() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let old = client.collection("posts").create(&json!({"title": "old"}));
        let old = old.file("attachments", FileSource::bytes("0.txt", "zero")).await.unwrap();
        let mut batch = client.batch();
        let two = batch.collection("posts").create(&json!({"title": "two", "n": 3}));
        two.file("attachments", FileSource::bytes("1.txt", "one"))
            .file("attachments", FileSource::bytes("2.txt", "two"));
        batch.collection("posts").create(&json!({"title": "none"}));
        let add = batch.collection("posts").update(old.id(), &json!({"n": 1}));
        add.file("attachments+", FileSource::bytes("3.txt", "three"));
        let results = batch.send().await.unwrap();
        let records: Vec<Record> = results.iter().map(|r| r.record().unwrap()).collect();
        assert_eq!(records.iter().map(|r| r.get_list("attachments").len()).collect::<Vec<_>>(), [2, 0, 2]);
        assert_eq!((records[0].get_i64("n"), records[2].get_i64("n")), (Some(3), Some(1)));
        let name = records[0].get_list("attachments")[1];
        assert_eq!(client.files().download(&records[0], name).bytes().await.unwrap(), "two");
    })
    .await;
}

#[tokio::test]
async fn all_or_nothing_and_which_write_failed() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let slug = unique("slug");
        let id = record_id();
        let mut batch = client.batch();
        batch.collection("posts").create(&json!({"id": id, "title": "one", "slug": slug}));
        batch.collection("posts").create(&json!({"title": ""}));
        let refused = batch.send().await.unwrap_err();
        assert_eq!((refused.kind(), refused.item()), (ErrorKind::Validation, Some(1)));
        assert_eq!(refused.field("title").unwrap().code, "validation_required");
        assert_eq!(client.collection("posts").get_one(&id).await.unwrap_err().kind(), ErrorKind::NotFound);

        let mut batch = client.batch();
        batch.collection("posts").create(&json!({"title": "one", "slug": slug}));
        batch.collection("posts").create(&json!({"title": "two", "slug": slug}));
        let twice = batch.send().await.unwrap_err();
        assert_eq!((twice.kind(), twice.item()), (ErrorKind::Conflict, Some(1)));
        let mut batch = client.batch();
        batch.collection("posts").delete(&record_id());
        let missing = batch.send().await.unwrap_err();
        assert_eq!((missing.kind(), missing.item()), (ErrorKind::NotFound, Some(0)));
        let mut batch = client.batch();
        batch.collection("noaccess").create(&json!({"title": "x"}));
        let forbidden = batch.send().await.unwrap_err();
        assert_eq!((forbidden.kind(), forbidden.item()), (ErrorKind::Forbidden, Some(0)));
    })
    .await;
}

#[tokio::test]
async fn mistakes_are_found_before_anything_is_sent() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        assert!(client.batch().send().await.unwrap().is_empty());
        let mut batch = client.batch();
        batch.collection("posts").create(&json!({"title": "x"}));
        batch.collection("posts").delete("..");
        let error = batch.send().await.unwrap_err();
        assert_eq!((error.kind(), error.item()), (ErrorKind::NotFound, Some(1)));
        assert!(proxy.requests().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn more_writes_than_the_server_takes_at_once() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let mark = unique("chunk");
        let mut batch = client.batch();
        for n in 0..120 {
            batch.collection("noupdated").create(&json!({"title": mark, "n": n}));
        }
        let chunked = batch.send_chunked().await;
        assert!(chunked.error.is_none() && chunked.results.len() == 120, "{:?}", chunked.error);
        let numbers: Vec<_> = chunked.results.iter().map(|r| r.record::<Record>().unwrap().get_i64("n")).collect();
        assert_eq!(numbers, (0..120).map(Some).collect::<Vec<_>>());
        assert_eq!(calls(&proxy.requests().await, "/api/batch").len(), 3);

        let mut batch = client.batch();
        for n in 0..120 {
            batch.collection("posts").create(&json!({"title": if n == 70 { "" } else { mark.as_str() }}));
        }
        let chunked = batch.send_chunked().await;
        let error = chunked.error.unwrap();
        assert_eq!((chunked.results.len(), error.item(), error.kind()), (50, Some(70), ErrorKind::Validation));
        let filter = client.filter("title = {:t}", picobase::params! { "t" => mark.as_str() }).unwrap();
        assert_eq!(client.collection("posts").get_list(1, 1).filter(filter).await.unwrap().total_items, 50);
    })
    .await;
}

#[tokio::test]
async fn a_server_with_other_limits() {
    within(60, async {
        let server = kit().server().await;
        let root = superuser(&server.url).await;
        let limit = json!({"batch": {"enabled": true, "maxRequests": 7}});
        root.settings().update::<serde_json::Value>(&limit).await.unwrap();
        let full = |count: usize| {
            let mut batch = root.batch();
            for _ in 0..count {
                batch.collection("noupdated").create(&json!({"title": "x"}));
            }
            batch
        };
        let chunked = full(20).send_chunks_of(7).await;
        assert_eq!((chunked.results.len(), chunked.error.is_none()), (20, true));
        let too_many = full(8).send().await.unwrap_err();
        assert_eq!((too_many.kind(), too_many.item()), (ErrorKind::Validation, None));

        root.settings().update::<serde_json::Value>(&json!({"batch": {"enabled": false}})).await.unwrap();
        let disabled = full(1).send().await.unwrap_err();
        assert_eq!(disabled.kind(), ErrorKind::Forbidden);
        assert!(disabled.fix().contains("Enable batches"), "{}", disabled.fix());
    })
    .await;
}
