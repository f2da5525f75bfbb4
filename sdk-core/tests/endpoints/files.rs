//! Files: URLs, thumbs, protected ones, uploads and downloads.

use std::{
    future::IntoFuture,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use picobase::{
    Client, ErrorKind, Record,
    files::{FileSource, Progress},
};
use serde_json::json;

use crate::common::{address, calls, client, kit, new_post, new_user, password, within};

/// A picture of 4 by 4 pixels.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x04\0\0\0\x04\x08\x02\0\0\0\x26\x93\x09\x29\0\0\0\x10IDAT\
    \x78\x9c\x63\x50\x68\x38\0\x47\x0c\xc4\x71\0\x32\x52\x16\x01\xe7\x60\xbc\xc0\0\0\0\0IEND\xae\x42\x60\x82";

/// Bytes that repeat only after a long while.
fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from((n * n / 7 + n / 251) % 256).unwrap()).collect()
}

/// Gathers what a transfer tells.
fn progress() -> (Arc<Mutex<Vec<Progress>>>, impl Fn(&Progress) + Send + Sync + 'static) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    (seen, move |p: &Progress| sink.lock().unwrap().push(*p))
}

/// The progress only grows; answers its last value.
fn last(seen: &Mutex<Vec<Progress>>) -> Progress {
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted_by(|a, b| a.done < b.done), "{seen:?}");
    *seen.last().unwrap()
}

async fn with_attachment(client: &Client, source: FileSource) -> Record {
    client.collection("posts").create(&json!({"title": "files"})).file("attachments", source).await.unwrap()
}

#[tokio::test]
async fn urls_and_thumbs() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let cover = FileSource::bytes("cover.png", PNG).content_type("image/png");
        let post = client.collection("posts").create(&json!({"title": "cover"})).file("cover", cover).await.unwrap();
        let name = post.get_str("cover").unwrap();
        let url = client.files().url(&post, name);
        let plain = reqwest::get(url.build().unwrap()).await.unwrap();
        assert_eq!(plain.headers()["content-type"], "image/png");
        assert_eq!(plain.bytes().await.unwrap(), PNG);
        let by_names = client.files().url(("posts", post.id()), name).build().unwrap();
        assert_eq!(reqwest::get(by_names).await.unwrap().bytes().await.unwrap(), PNG);

        let thumb = reqwest::get(url.clone().thumb("100x100").build().unwrap()).await.unwrap().bytes().await.unwrap();
        assert!(thumb.starts_with(b"\x89PNG") && thumb != PNG);
        assert_eq!(client.files().download(&post, name).thumb("100x100").bytes().await.unwrap(), thumb);
        let saved = reqwest::get(url.download().build().unwrap()).await.unwrap();
        assert!(saved.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
        let missing = client.files().download(&post, "missing.png").bytes().await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn odd_names_reach_nothing_else() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        for name in ["", ".", ".."] {
            let error = client.files().download(("posts", "x"), name).bytes().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert_eq!(client.files().url(("posts", "x"), name).build().unwrap_err().kind(), ErrorKind::NotFound);
        }
        assert!(proxy.requests().await.is_empty());
        let error = client.files().download(("posts", "x"), "../../../health").bytes().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(proxy.requests().await.last().unwrap().path, "/api/files/posts/x/..%2F..%2F..%2Fhealth");
    })
    .await;
}

#[tokio::test]
async fn protected_files() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (owner, _) = new_user(&proxy.url).await;
        let upload = owner.files().upload("docs", FileSource::bytes("plan.txt", "secret plan"));
        let doc = upload.field("doc").data(&json!({"title": "Plan"})).await.unwrap();
        assert_eq!(doc.get_str("title"), Some("Plan"));
        let name = doc.get_str("doc").unwrap();
        let guest = client(&proxy.url);
        let refused = guest.files().download(&doc, name).bytes().await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::NotFound | ErrorKind::Forbidden), "{refused}");

        let url = owner.files().url(&doc, name).signed().await.unwrap();
        assert_eq!(reqwest::get(url).await.unwrap().text().await.unwrap(), "secret plan");
        assert_eq!(owner.files().download(&doc, name).protected().bytes().await.unwrap(), "secret plan");
        let token = owner.files().get_token().await.unwrap();
        let by_hand = guest.files().download(&doc, name).token(&token).bytes().await.unwrap();
        assert_eq!(by_hand, "secret plan");
        assert_eq!(calls(&proxy.requests().await, "/files/token").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_file_token_is_shared_and_dropped_with_the_session() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let files = client.files();
        let tokens = join_all((0..20).map(|_| files.get_token())).await;
        let first = tokens[0].as_ref().unwrap();
        assert!(tokens.iter().all(|token| token.as_ref().unwrap() == first));
        assert_eq!(calls(&proxy.requests().await, "/files/token").len(), 1);

        client.auth().sign_out().await.unwrap();
        let guest = files.get_token().await.unwrap_err();
        assert_eq!(guest.status(), 401, "{guest}");
        client.auth().sign_up(&address("files"), password()).await.unwrap();
        assert_ne!(files.get_token().await.unwrap(), *first);
        assert_eq!(calls(&proxy.requests().await, "/files/token").len(), 3);
    })
    .await;
}

#[tokio::test]
async fn upload_from_memory_path_and_stream() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let data = noise(3_000_000);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.bin");
        std::fs::write(&path, &data).unwrap();
        let parts = |step: usize| {
            let pieces: Vec<_> = data.chunks(step).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            futures_util::stream::iter(pieces)
        };
        let sources = [
            (FileSource::bytes("a.bin", data.clone()), true),
            (FileSource::path(&path), true),
            (FileSource::stream("c.bin", Some(3_000_000), parts(70_001)), true),
            (FileSource::stream("d.bin", None, parts(9_999)), false),
        ];
        for (source, length_known) in sources {
            let (seen, listener) = progress();
            let write = client.collection("posts").create(&json!({"title": "up"})).file("attachments", source);
            let post = write.on_progress(listener).await.unwrap();
            let end = last(&seen);
            assert!(end.done > 3_000_000 && end.done < 3_002_000, "{end:?}");
            assert_eq!(end.total, length_known.then_some(end.done));
            let name = post.get_list("attachments")[0];
            assert!(client.files().download(&post, name).bytes().await.unwrap() == data, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn download_to_memory_path_and_stream() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let data = noise(2_000_000);
        let post = with_attachment(&client, FileSource::bytes("data.bin", data.clone())).await;
        let name = post.get_list("attachments")[0];
        let (seen, listener) = progress();
        assert!(client.files().download(&post, name).on_progress(listener).bytes().await.unwrap() == data);
        let end = last(&seen);
        assert_eq!((end.done, end.total), (2_000_000, Some(2_000_000)));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.bin");
        assert_eq!(client.files().download(&post, name).to_path(&path).await.unwrap(), 2_000_000);
        assert!(std::fs::read(&path).unwrap() == data);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-done is left");
        let nowhere = client.files().download(&post, name).to_path("/nonexistent/folder/x").await.unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::Storage);

        let mut stream = client.files().download(&post, name).stream().await.unwrap();
        assert_eq!(stream.size(), Some(2_000_000));
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        assert!(all == data);
    })
    .await;
}

#[tokio::test]
async fn files_are_added_and_removed() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let posts = client.collection("posts");
        let body = json!({"title": "many", "meta": {"keep": [1, "2"]}, "n": 5, "tags": ["a", "b"]});
        let two = posts.create(&body).file("attachments", FileSource::bytes("ä \"1\".txt", "one"));
        let post = two.file("attachments", FileSource::bytes("2.txt", "two")).await.unwrap();
        assert_eq!(
            (post.get_i64("n"), post.get("meta"), post.get_list("tags")),
            (Some(5), body.get("meta"), vec!["a", "b"])
        );
        assert_eq!(post.get_list("attachments").len(), 2);

        let add = posts.update(post.id(), &json!({})).file("attachments+", FileSource::bytes("3.txt", "three"));
        let post = add.await.unwrap();
        assert_eq!(post.get_list("attachments").len(), 3);
        let gone = post.get_list("attachments")[0];
        let post = posts.update(post.id(), &json!({"attachments-": gone})).await.unwrap();
        assert!(post.get_list("attachments").len() == 2 && !post.get_list("attachments").contains(&gone));
    })
    .await;
}

#[tokio::test]
async fn sources_that_cannot_be_read() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let write = |source| client.collection("posts").create(&json!({"title": "no"})).file("attachments", source);
        let missing = write(FileSource::path("/nonexistent/file.bin")).await.unwrap_err();
        assert!(missing.message().contains("/nonexistent/file.bin"), "{missing}");
        let failing = futures_util::stream::iter([Ok(Bytes::from("a")), Err(std::io::Error::other("unplugged"))]);
        let failing = write(FileSource::stream("x.bin", None, failing)).await.unwrap_err();
        assert!(failing.message().contains("unplugged"), "{failing}");
        let refused = client.collection("posts").create(&json!({"title": "no"}));
        let refused = refused.file("cover", FileSource::bytes("a.png", "no picture")).await.unwrap_err();
        assert_eq!((refused.kind(), refused.field("cover").is_some()), (ErrorKind::Validation, true));
    })
    .await;
}

#[tokio::test]
async fn many_transfers_at_once() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let made = (0..10usize).map(|n| {
            let write = client.collection("posts").create(&json!({"title": n.to_string()}));
            write.file("attachments", FileSource::bytes("n.bin", noise(100_000 + n))).into_future()
        });
        for (n, post) in join_all(made).await.into_iter().enumerate() {
            let post = post.unwrap();
            let bytes = client.files().download(&post, post.get_list("attachments")[0]).bytes().await.unwrap();
            assert_eq!(bytes.len(), 100_000 + n);
        }
        assert_eq!(new_post(&client, "after").await.get_str("title"), Some("after"));
    })
    .await;
}
