//! B13: uploads and downloads that break.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::StreamExt;
use picobase::{
    Client, ErrorKind, Record,
    files::FileSource,
    runtime::BoxFuture,
    transport::{Failure, Headers, MemoryTransport, Response, ResponseBody, TransportError},
};
use picobase_testkit::Cut;
use serde_json::json;

use crate::{
    common::{LATE, PATIENCE, kit, unique, within},
    tools::{cancelled_after, ms, proxy, settled, timed, watched},
};

const SIZE: usize = 1_500_000;

/// Bytes that repeat only after a long while.
fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from((n * n / 7 + n / 251) % 256).unwrap()).collect()
}

fn upload(client: &Client, title: &str, source: FileSource) -> picobase::records::Write<Record> {
    client.collection("posts").create(&json!({"title": title})).file("attachments", source)
}

/// A post with a file of that size, and the file's name.
async fn with_file(client: &Client) -> (Record, String) {
    let post = upload(client, "file", FileSource::bytes("file.bin", noise(SIZE))).await.unwrap();
    let name = post.get_list("attachments")[0].to_string();
    (post, name)
}

/// The record of this title is there once, and its file is whole.
async fn stored_once(client: &Client, title: &str) {
    let filter = client.filter("title = {:t}", picobase::params! { "t" => title }).unwrap();
    let found = client.collection("posts").get_full_list().filter(filter).await.unwrap();
    assert_eq!(found.len(), 1);
    let file = client.files().download(&found[0], found[0].get_list("attachments")[0]).bytes().await.unwrap();
    assert!(file == noise(SIZE), "{} bytes", file.len());
}

#[tokio::test]
async fn the_server_is_killed_during_an_upload() {
    within(30, async {
        let server = kit().server().await;
        let proxy = server.default_proxy();
        let (client, _) = watched(&server.url, |b| b);
        let slow = json!([{"times": 2, "action": {"type": "slow", "bytes_per_sec": 200_000, "direction": "request"}}]);
        proxy.faults(slow).await;
        let title = unique("killed");
        let safe = upload(&client, &title, FileSource::bytes("file.bin", noise(SIZE))).safe_retry().into_future();
        let safe = tokio::spawn(safe);
        let unsafe_one = upload(&client, "lost", FileSource::bytes("file.bin", noise(SIZE))).into_future();
        let unsafe_one = tokio::spawn(unsafe_one);
        proxy.wait_for(2, PATIENCE, |r| r.method == "POST" && r.body_bytes > 0).await;
        server.restart(ms(500), true).await;
        safe.await.unwrap().unwrap();
        let error = unsafe_one.await.unwrap().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Network | ErrorKind::Server), "{error:?}");
        stored_once(&client, &title).await;
    })
    .await;
}

async fn whole(client: &Client, post: &Record, name: &str) {
    let file = client.files().download(post, name).bytes().await.unwrap();
    assert!(file == noise(SIZE), "{} bytes", file.len());
}

#[tokio::test]
async fn a_download_that_breaks_for_good() {
    within(40, async {
        let proxy = proxy().await;
        let (client, _) = watched(&proxy.url, |b| b.max_retries(2));
        let (post, name) = with_file(&client).await;
        proxy
            .faults(json!([
                {"times": 1, "action": {"type": "reset", "when": "after_response_bytes", "bytes": 500_000}},
                {"action": {"type": "reset", "when": "after_response_bytes", "bytes": 0}},
            ]))
            .await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.bin");
        std::fs::write(&path, "what was there").unwrap();
        let error = client.files().download(&post, &name).to_path(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network, "{error:?}");
        assert!(error.url().is_some() && error.attempts() > 1, "{error:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "what was there");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        // With a deadline it ends in time, whatever it waits for.
        for fault in [
            json!({"type": "reset", "when": "after_response_bytes", "bytes": 1000}),
            json!({"type": "stall", "when": "after_response_bytes", "bytes": 1000}),
        ] {
            proxy.faults(json!([{"action": fault}])).await;
            let (result, took) = timed(client.files().download(&post, &name).timeout(ms(700)).bytes()).await;
            let kind = result.unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::Timeout | ErrorKind::Network), "{kind}");
            assert!(took < LATE, "{took:?}");
        }
        // Dropped in the middle.
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 100_000}}])).await;
        cancelled_after(ms(300), client.files().download(&post, &name).to_path(&path)).await;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        settled(&proxy).await;
        proxy.clear_faults().await;
        whole(&client, &post, &name).await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_falls_asleep_during_a_download() {
    within(30, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        let (post, name) = with_file(&client).await;
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 50_000}}])).await;
        let mut stream = client.files().download(&post, &name).stream().await.unwrap();
        assert_eq!(stream.size(), Some(SIZE as u64));
        let mut all = stream.next().await.unwrap().unwrap().to_vec();
        proxy.faults(json!([{"for_ms": 1000, "action": {"type": "respond", "status": 503}}])).await;
        proxy.cut(Cut::Reset).await;
        while let Some(piece) = stream.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        assert!(all == noise(SIZE));
        assert_eq!(states.all().len(), 2);
    })
    .await;
}

/// Pieces of a body, and how it ends.
struct Pieces(VecDeque<Bytes>, Option<u64>, bool);

impl ResponseBody for Pieces {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        let next = match self.0.pop_front() {
            None if self.2 => Err(TransportError::new(Failure::Broken, "cut")),
            piece => Ok(piece),
        };
        Box::pin(async { next })
    }

    fn length(&self) -> Option<u64> {
        self.1
    }
}

/// A server that answers these in turn, each with status, headers, pieces, and whether it breaks off.
type Script = Vec<(u16, Vec<(&'static str, &'static str)>, Vec<&'static str>, bool)>;

/// Downloads from a server of that script; answers the text, or the error, and the ranges that were asked.
async fn scripted(script: Script) -> (Result<String, picobase::Error>, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (script, seen) = (Arc::new(Mutex::new(VecDeque::from(script))), asked.clone());
    let transport = MemoryTransport::new(move |request| {
        seen.lock().unwrap().push(request.headers.get("Range").unwrap_or("all").to_string());
        let (status, pairs, pieces, breaks) = script.lock().unwrap().pop_front().unwrap();
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.set(name, value);
        }
        let body: Box<dyn ResponseBody> = Box::new(Pieces(pieces.into_iter().map(Bytes::from).collect(), None, breaks));
        async move { Ok(Response::new(status, headers, body)) }
    });
    let client = Client::builder().url("http://memory").transport(transport).max_retries(3).build().unwrap();
    let result = client.files().download(("posts", "abc"), "a.txt").bytes().await;
    let asked = asked.lock().unwrap().clone();
    (result.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()), asked)
}

#[tokio::test]
async fn servers_with_ranges_of_their_own() {
    within(30, async {
        let head = || vec![("Content-Length", "10"), ("ETag", "\"a\"")];
        let part = |range: &'static str| vec![("Content-Range", range), ("ETag", "\"a\"")];
        let first = || (200, head(), vec!["0123"], true);
        // Resumed as it should be.
        let (text, asked) = scripted(vec![first(), (206, part("bytes 4-9/10"), vec!["456", "789"], false)]).await;
        assert_eq!((text.unwrap().as_str(), asked), ("0123456789", vec!["all".to_string(), "bytes=4-".to_string()]));
        // It ignores the range: what is there already is read over, also where a piece has both.
        let (text, _) = scripted(vec![first(), (200, head(), vec!["01", "2345", "6789"], false)]).await;
        assert_eq!(text.unwrap(), "0123456789");
        // And breaks off again while it is read over.
        let (text, asked) = scripted(vec![
            first(),
            (200, head(), vec!["01"], true),
            (206, part("bytes 4-9/10"), vec!["456789"], false),
        ])
        .await;
        assert_eq!((text.unwrap().as_str(), asked.len()), ("0123456789", 3));
        // All bytes had come before it broke.
        let (text, asked) = scripted(vec![(200, head(), vec!["0123456789"], true)]).await;
        assert_eq!((text.unwrap().as_str(), asked.len()), ("0123456789", 1));
        // The file is another one now.
        let changed: Vec<Script> = vec![
            vec![first(), (200, vec![("Content-Length", "10"), ("ETag", "\"b\"")], vec!["xxxxxxxxxx"], false)],
            vec![first(), (200, vec![("Content-Length", "9"), ("ETag", "\"a\"")], vec!["xxxxxxxxx"], false)],
            vec![first(), (206, vec![("Content-Range", "bytes 4-9/10"), ("ETag", "\"b\"")], vec!["xxxxxx"], false)],
            vec![first(), (206, part("bytes 4-20/21"), vec!["xxxxxx"], false)],
            vec![first(), (206, part("bytes 0-9/10"), vec!["0123456789"], false)],
            vec![first(), (416, vec![("Content-Range", "bytes */2")], vec![], false)],
        ];
        for script in changed {
            let (result, asked) = scripted(script).await;
            let error = result.unwrap_err();
            assert_eq!((error.kind(), asked.len()), (ErrorKind::Decode, 2), "{error:?}");
            assert!(error.message().contains("changed"), "{error:?}");
        }
        // It ends in order, but too early; or it never ends where it should.
        let (text, _) =
            scripted(vec![(200, head(), vec!["0123"], false), (206, part("bytes 4-9/10"), vec!["456789"], false)])
                .await;
        assert_eq!(text.unwrap(), "0123456789");
        let (result, _) = scripted(vec![(200, head(), vec!["0123456789", "and more"], false)]).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Decode);
    })
    .await;
}
