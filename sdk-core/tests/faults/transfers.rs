//! B13: uploads and downloads that break.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use picobase::{
    Client, ErrorKind, Record,
    files::FileSource,
    runtime::BoxFuture,
    transport::{Failure, Headers, MemoryTransport, Response, ResponseBody, TransportError},
};
use picobase_testkit::{Cut, Proxy};
use serde_json::json;

use crate::{
    common::{client, kit, unique, within},
    tls::{child, is_child},
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

fn pieces(total: usize) -> FileSource {
    let data = Bytes::from(noise(total));
    let parts: Vec<_> = (0..total).step_by(50_000).map(|at| Ok(data.slice(at..(at + 50_000).min(total)))).collect();
    FileSource::stream("stream.bin", Some(total as u64), futures_util::stream::iter(parts))
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
async fn an_upload_is_cut() {
    within(40, async {
        let proxy = proxy().await;
        let client = client(&proxy.url);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.bin");
        std::fs::write(&path, noise(SIZE)).unwrap();
        let cut = json!([{"times": 1, "method": "POST", "action": {"type": "reset", "when": "after_request_bytes", "bytes": 400_000}}]);
        let sources = || [FileSource::bytes("file.bin", noise(SIZE)), FileSource::path(&path)];
        for source in sources() {
            proxy.faults(cut.clone()).await;
            proxy.clear_requests().await;
            let error = upload(&client, "cut", source).await.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{error:?}");
            assert_eq!(proxy.requests().await.len(), 1);
        }
        for source in sources() {
            let title = unique("repeated");
            proxy.faults(cut.clone()).await;
            proxy.clear_requests().await;
            upload(&client, &title, source).safe_retry().await.unwrap();
            assert_eq!(proxy.requests().await.len(), 2);
            stored_once(&client, &title).await;
        }
        // A stream is read once.
        proxy.faults(cut).await;
        proxy.clear_requests().await;
        let error = upload(&client, "stream", pieces(SIZE)).safe_retry().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{error:?}");
        assert_eq!(proxy.requests().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_upload_stalls() {
    within(30, async {
        let proxy = proxy().await;
        let (client, _) = watched(&proxy.url, |b| b.transfer_idle_timeout(ms(600)));
        let stall = json!([{"times": 1, "method": "POST", "action": {"type": "stall", "when": "after_request_bytes", "bytes": 400_000}}]);
        proxy.faults(stall).await;
        let (result, took) = timed(upload(&client, "stall", FileSource::bytes("file.bin", noise(SIZE)))).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(took >= ms(500) && took < ms(3000), "{took:?}");
        // A slow one goes on, for longer than that.
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 900_000, "direction": "request"}}])).await;
        let title = unique("slow");
        let (result, took) = timed(upload(&client, &title, FileSource::bytes("file.bin", noise(SIZE)))).await;
        result.unwrap();
        assert!(took > ms(1200), "{took:?}");
        proxy.clear_faults().await;
        stored_once(&client, &title).await;
    })
    .await;
}

#[tokio::test]
async fn the_server_is_killed_during_an_upload() {
    within(30, async {
        let server = kit().server().await;
        let proxy = server.default_proxy();
        let (client, _) = watched(&server.url, |b| b);
        let slow =
            json!([{"times": 2, "action": {"type": "slow", "bytes_per_sec": 1_000_000, "direction": "request"}}]);
        proxy.faults(slow).await;
        let title = unique("killed");
        let safe = upload(&client, &title, FileSource::bytes("file.bin", noise(SIZE))).safe_retry().into_future();
        let safe = tokio::spawn(safe);
        let unsafe_one = upload(&client, "lost", FileSource::bytes("file.bin", noise(SIZE))).into_future();
        let unsafe_one = tokio::spawn(unsafe_one);
        tokio::time::sleep(ms(500)).await;
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

/// Where the requests for the file began.
async fn ranges(proxy: &Proxy) -> Vec<Option<String>> {
    let log = proxy.requests().await;
    log.iter().filter(|r| r.path.contains("/api/files/")).map(|r| r.headers.get("range").cloned()).collect()
}

#[tokio::test]
async fn a_download_is_cut_or_stalls() {
    within(40, async {
        join_all(["reset", "close", "stall"].map(|kind| async move {
            let proxy = proxy().await;
            let (client, _) = watched(&proxy.url, |b| b.transfer_idle_timeout(ms(400)));
            let (post, name) = with_file(&client).await;
            let cuts = json!([
                {"times": 1, "action": {"type": kind, "when": "after_response_bytes", "bytes": 500_000}},
                {"times": 1, "action": {"type": kind, "when": "after_response_bytes", "bytes": 300_000}},
            ]);
            proxy.faults(cuts.clone()).await;
            proxy.clear_requests().await;
            whole(&client, &post, &name).await;
            let ranges = ranges(&proxy).await;
            assert_eq!(ranges.len(), 3, "{kind} {ranges:?}");
            assert!(ranges[0].is_none());
            let began = |range: &Option<String>| -> usize {
                range.as_ref().unwrap().strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap()
            };
            assert!(began(&ranges[1]) <= 500_000 && began(&ranges[1]) < began(&ranges[2]), "{ranges:?}");

            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("copy.bin");
            proxy.faults(cuts).await;
            let size = client.files().download(&post, &name).to_path(&path).await.unwrap();
            assert_eq!(size, SIZE as u64);
            assert!(std::fs::read(&path).unwrap() == noise(SIZE));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
            settled(&proxy).await;
        }))
        .await;
    })
    .await;
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
            assert!(took < ms(1100), "{took:?}");
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
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 700_000}}])).await;
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

#[tokio::test]
async fn fifty_megabytes_in_ten() {
    within(60, async {
        let server = kit().server().await;
        let output = child("transfers::child_of_fifty_megabytes", &[("PICOBASE_FAULTS_URL", &server.direct_url)]).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    })
    .await;
}

/// The most memory that this process ever had, in KB, as far as the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[tokio::test]
async fn child_of_fifty_megabytes() {
    if !is_child("transfers::child_of_fifty_megabytes") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("large.bin"), folder.path().join("copy.bin"));
    {
        use std::io::Write;
        let mut file = std::fs::File::create(&path).unwrap();
        for n in 0..50u8 {
            file.write_all(&vec![n; 1024 * 1024]).unwrap();
        }
    }
    let client = client(&std::env::var("PICOBASE_FAULTS_URL").unwrap());
    client.collection("posts").get_list(1, 1).await.unwrap();
    let idle = peak();
    let post = upload(&client, "large", FileSource::path(&path)).timeout(Duration::from_secs(50)).await.unwrap();
    let up = peak();
    let name = post.get_list("attachments")[0];
    let size = client.files().download(&post, name).to_path(&copy).await.unwrap();
    let down = peak();
    assert_eq!(size, 50 * 1024 * 1024);
    assert!(std::fs::read(&copy).unwrap() == std::fs::read(&path).unwrap());
    if let (Some(idle), Some(up), Some(down)) = (idle, up, down) {
        assert!(up - idle < 10 * 1024 && down - idle < 10 * 1024, "{idle} KB idle, {up} up, {down} down");
    }
}
