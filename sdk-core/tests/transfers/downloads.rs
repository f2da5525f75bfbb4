//! B13: files on their way back.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt};
use picobase::{Client, ErrorKind, Record, files::FileSource};
use picobase_testkit::{Cut, LoggedRequest, Proxy, Server};
use serde_json::{Value, json};

use crate::{
    common::{LATE, PATIENCE, builder, client, kit, new_user, password, within},
    tools::{SIZE, dropped_after, impatient, ms, names, noise, on_disk, progress, settled, timed, upload, with_file},
};

/// A picture of 4 by 4 pixels.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x04\0\0\0\x04\x08\x02\0\0\0\x26\x93\x09\x29\0\0\0\x10IDAT\
    \x78\x9c\x63\x50\x68\x38\0\x47\x0c\xc4\x71\0\x32\x52\x16\x01\xe7\x60\xbc\xc0\0\0\0\0IEND\xae\x42\x60\x82";

/// Answers end so, one after the other, each after that many bytes.
fn breaks(how: &str, after: &[u64]) -> Value {
    let action = |bytes: &u64| match how {
        "truncate" => json!({"type": how, "bytes": bytes}),
        _ => json!({"type": how, "when": "after_response_bytes", "bytes": bytes}),
    };
    after.iter().map(|bytes| json!({"times": 1, "path_contains": "/api/files/", "action": action(bytes)})).collect()
}

/// The requests for files.
async fn asked(proxy: &Proxy) -> Vec<LoggedRequest> {
    let mut log = proxy.requests().await;
    log.retain(|r| r.path.starts_with("/api/files/") && r.method == "GET");
    log
}

/// Where the requests for files began.
async fn starts(proxy: &Proxy) -> Vec<usize> {
    let start = |range: &String| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
    asked(proxy).await.iter().map(|r| r.headers.get("range").map_or(0, start)).collect()
}

async fn whole(client: &Client, post: &Record, name: &str) {
    let (seen, listener) = progress();
    let file = client.files().download(post, name).on_progress(listener).bytes().await.unwrap();
    assert!(file == noise(SIZE), "{} bytes", file.len());
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted_by(|a, b| a.done < b.done), "a resumed download goes on where it was");
    let last = seen.last().unwrap();
    assert_eq!((last.done, last.total), (SIZE as u64, Some(SIZE as u64)));
}

#[tokio::test]
async fn broken_downloads_go_on() {
    within(30, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (post, name) = with_file(&client, noise(SIZE)).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.bin");
        for how in ["reset", "close", "truncate", "stall"] {
            proxy.faults(breaks(how, &[500_000, 0, 300_000, 70_001])).await;
            proxy.clear_requests().await;
            if how == "stall" {
                whole(&impatient(&proxy.url, ms(800)), &post, &name).await;
            } else {
                whole(&client, &post, &name).await;
            }
            let log = asked(&proxy).await;
            let starts = starts(&proxy).await;
            // To who is impatient a busy machine may look like one more that stalls.
            assert!(starts.len() == 5 || (how == "stall" && starts.len() > 5), "{how} {starts:?}");
            assert!(starts.is_sorted() && starts[1] <= 500_000 && starts[4] > starts[1], "{how} {starts:?}");
            let resumed = |r: &LoggedRequest| r.headers.contains_key("if-range") == r.headers.contains_key("range");
            assert!(log.iter().all(resumed), "{log:?}");
        }
        proxy.faults(breaks("reset", &[500_000, 0])).await;
        assert_eq!(client.files().download(&post, &name).to_path(&path).await.unwrap(), SIZE as u64);
        assert!(std::fs::read(&path).unwrap() == noise(SIZE));
        assert_eq!(names(folder.path()), ["file.bin"]);
        settled(&proxy).await;
    })
    .await;
}

#[tokio::test]
async fn a_resume_that_gets_no_answer() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = impatient(&proxy.url, ms(800));
        let (post, name) = with_file(&client, noise(SIZE)).await;
        let mut faults = breaks("reset", &[500_000]);
        let silent = json!({"type": "stall", "when": "after_request_bytes"});
        faults.as_array_mut().unwrap().push(json!({"times": 2, "path_contains": "/api/files/", "action": silent}));
        proxy.faults(faults).await;
        whole(&client, &post, &name).await;
        let starts = starts(&proxy).await;
        assert!(starts.len() >= 4, "{starts:?}");
        assert!(starts[1] == starts[2] && starts[2] == starts[3], "{starts:?}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_ignores_ranges() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let text: String = (0..40_000).map(|n| format!("{n:>9}\n")).collect();
        let (post, name) = with_file(&client, text.clone().into_bytes()).await;
        let url = client.files().url(&post, &name).build().unwrap();
        let date = reqwest::get(url).await.unwrap().headers()["last-modified"].to_str().unwrap().to_string();
        let all = json!({"type": "respond", "status": 200, "body": text, "headers": {"Last-Modified": date}});
        let mut faults = breaks("reset", &[150_000]);
        let slow = json!({"type": "slow", "bytes_per_sec": 1_000_000});
        faults
            .as_array_mut()
            .unwrap()
            .extend([json!({"action": slow}), json!({"times": 1, "path_contains": "/api/files/", "action": all})]);
        proxy.faults(faults).await;
        proxy.clear_requests().await;
        let got = client.files().download(&post, &name).bytes().await.unwrap();
        assert!(got == text, "{} bytes", got.len());
        let starts = starts(&proxy).await;
        assert!(starts.len() == 2 && starts[1] > 0 && starts[1] <= 150_000, "{starts:?}");
    })
    .await;
}

/// Waits until some of a file has arrived, beside the one of that name.
async fn half_done(folder: &Path, name: &str) {
    let some = || {
        let mut files =
            std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|file| *file.file_name() != *name);
        files.any(|file| file.metadata().is_ok_and(|file| file.len() > 0))
    };
    let end = Instant::now() + PATIENCE;
    while !some() {
        assert!(Instant::now() < end, "nothing arrives");
        tokio::time::sleep(ms(5)).await;
    }
}

/// Where a server keeps the file of a record.
async fn file_of(server: &Server, post: &Record, name: &str) -> PathBuf {
    let folder = server.status().await.data_dir.join("storage").join(post.collection_id()).join(post.id());
    let path = folder.join(name);
    assert!(path.is_file(), "{}", path.display());
    path
}

#[tokio::test]
async fn a_file_that_is_replaced_in_between() {
    within(30, async {
        let server = kit().server().await;
        let proxy = server.default_proxy();
        let client = client(&server.url);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        std::fs::write(&target, "as it was").unwrap();
        for length in [SIZE, SIZE + 1, 10] {
            let (post, name) = with_file(&client, noise(SIZE)).await;
            let path = file_of(&server, &post, &name).await;
            proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 200_000}}])).await;
            let download = tokio::spawn(client.files().download(&post, &name).to_path(target.clone()));
            half_done(folder.path(), "file.bin").await;
            std::fs::write(&path, vec![9; length]).unwrap();
            let later = std::time::SystemTime::now() + Duration::from_secs(60);
            std::fs::File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
            proxy.clear_faults().await;
            assert_eq!(proxy.cut_path(Cut::Reset, "/api/files/").await, 1);
            let error = download.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode, "{length} {error:?}");
            assert!(error.message().contains("changed") && error.url().is_some(), "{error:?}");
            assert_eq!(std::fs::read(&target).unwrap(), b"as it was");
            assert_eq!(names(folder.path()), ["file.bin"]);
        }
        // Gone altogether.
        let (post, name) = with_file(&client, noise(SIZE)).await;
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 1_000_000}}])).await;
        let mut pieces = client.files().download(&post, &name).stream().await.unwrap();
        pieces.next().await.unwrap().unwrap();
        client.collection("posts").delete(post.id()).await.unwrap();
        proxy.cut(Cut::Reset).await;
        assert_eq!(pieces.try_fold((), |(), _| async { Ok(()) }).await.unwrap_err().kind(), ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn nothing_half_done_is_left() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = builder(&proxy.url).max_retries(1).build().unwrap();
        let (post, name) = with_file(&client, noise(SIZE)).await;
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        let download = || client.files().download(&post, &name).to_path(target.clone());
        for there in [None, Some("as it was")] {
            if let Some(text) = there {
                std::fs::write(&target, text).unwrap();
            }
            let as_before = || {
                assert_eq!(std::fs::read_to_string(&target).ok().as_deref(), there);
                assert_eq!(names(folder.path()).len(), usize::from(there.is_some()));
            };
            // It breaks for good.
            let mut faults = breaks("reset", &[500_000]);
            let never = json!({"type": "reset", "when": "after_response_bytes", "bytes": 0});
            faults.as_array_mut().unwrap().push(json!({"path_contains": "/api/files/", "action": never}));
            proxy.faults(faults).await;
            let error = download().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Network, "{error:?}");
            assert!(error.url().is_some() && error.attempts() == 2, "{error:?}");
            as_before();
            // There is no such file.
            let missing = client.files().download(&post, "none.bin").to_path(&target).await.unwrap_err();
            assert_eq!(missing.kind(), ErrorKind::NotFound);
            as_before();
            // It is dropped in the middle, with the new bytes beside the old file.
            proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 200_000}}])).await;
            let running = tokio::spawn(download());
            half_done(folder.path(), "file.bin").await;
            assert_eq!(std::fs::read_to_string(&target).ok().as_deref(), there);
            assert_eq!(names(folder.path()).len(), usize::from(there.is_some()) + 1);
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled());
            settled(&proxy).await;
            as_before();
        }
        proxy.clear_faults().await;
        download().await.unwrap();
        assert!(std::fs::read(&target).unwrap() == noise(SIZE));
        let error = client.files().download(&post, &name).to_path(folder.path()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
        assert!(error.message().contains(&*folder.path().to_string_lossy()), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_download_with_a_deadline() {
    within(30, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let (post, name) = with_file(&client, noise(SIZE)).await;
        let late = |result: Result<bytes::Bytes, picobase::Error>, took: Duration| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
            assert!(took >= ms(500) && took < LATE, "{took:?}");
        };
        let stall = json!({"type": "stall", "when": "after_response_bytes", "bytes": 100_000});
        for action in [json!({"type": "slow", "bytes_per_sec": 30_000}), stall, json!({"type": "delay", "ms": 30_000})]
        {
            proxy.faults(json!([{"path_contains": "/api/files/", "action": action}])).await;
            let (result, took) = timed(client.files().download(&post, &name).timeout(ms(500)).bytes()).await;
            late(result, took);
            let shy = builder(&proxy.url).timeout(ms(500)).build().unwrap();
            let (result, took) = timed(shy.files().download(&post, &name).bytes()).await;
            late(result, took);
        }
        // The file token has to come within it as well.
        let (result, took) = timed(client.files().download(&post, &name).protected().timeout(ms(500)).bytes()).await;
        late(result, took);
        settled(&proxy).await;
        // Without one it takes as long as it takes, if something comes.
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 700_000}}])).await;
        let (_, took) = timed(whole(&impatient(&proxy.url, ms(500)), &post, &name)).await;
        assert!(took > ms(1500), "{took:?}");
    })
    .await;
}

#[tokio::test]
async fn dropped_downloads_end() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (post, name) = with_file(&client, noise(SIZE)).await;
        let stall = json!({"type": "stall", "when": "after_response_bytes", "bytes": 100_000});
        for action in [json!({"type": "slow", "bytes_per_sec": 200_000}), stall] {
            proxy.faults(json!([{"path_contains": "/api/files/", "action": action}])).await;
            dropped_after(ms(200), client.files().download(&post, &name).bytes()).await;
            settled(&proxy).await;
            let mut pieces = client.files().download(&post, &name).stream().await.unwrap();
            pieces.next().await.unwrap().unwrap();
            assert_eq!(proxy.stats().await.in_flight, 1);
            drop(pieces);
            settled(&proxy).await;
        }
        proxy.clear_faults().await;
        whole(&client, &post, &name).await;
    })
    .await;
}

#[tokio::test]
async fn a_protected_file_outlives_its_token() {
    within(40, async {
        let server = kit().server().await;
        let short = json!({"fileToken": {"duration": 10}});
        assert_eq!(server.admin("PATCH", "/api/collections/users", Some(short)).await.status, 200);
        let proxy = server.default_proxy();
        let client = client(&server.url);
        client.auth().sign_in("alice@example.com", password()).await.unwrap();
        let source = FileSource::bytes("plan.bin", noise(SIZE));
        let doc = client.files().upload("docs", source).field("doc").data(&json!({"title": "Plan"})).await.unwrap();
        let name = doc.get_str("doc").unwrap();
        proxy
            .faults(json!([{"path_contains": "/api/files/", "action": {"type": "slow", "bytes_per_sec": 50_000}}]))
            .await;
        let mut pieces = client.files().download(&doc, name).protected().stream().await.unwrap();
        let mut all = pieces.next().await.unwrap().unwrap().to_vec();
        let token_of = |r: &LoggedRequest| r.query.split_once("token=").unwrap().1.to_string();
        let first = token_of(&asked(&proxy).await[0]);
        tokio::time::sleep(ms(11_200)).await;
        proxy.clear_faults().await;
        proxy.cut_path(Cut::Reset, "/api/files/").await;
        let expired = client.files().download(&doc, name).token(&first).bytes().await.unwrap_err();
        assert_eq!(expired.kind(), ErrorKind::NotFound);
        assert!(!format!("{expired:?}").contains(&first));
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        assert!(all == noise(SIZE), "{} bytes", all.len());
        let log = asked(&proxy).await;
        let last = log.last().unwrap();
        assert!(last.headers.contains_key("range") && token_of(last) != first);
    })
    .await;
}

#[tokio::test]
async fn thumbs_and_parts() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let cover = FileSource::bytes("a cover – 木.png", PNG).content_type("image/png");
        let post = client.collection("posts").create(&json!({"title": "cover"})).file("cover", cover).await.unwrap();
        let name = post.get_str("cover").unwrap();
        let thumb = client.files().download(&post, name).thumb("100x100").bytes().await.unwrap();
        assert!(thumb.starts_with(b"\x89PNG") && thumb != PNG);
        proxy.faults(breaks("truncate", &[20, 30])).await;
        proxy.clear_requests().await;
        assert_eq!(client.files().download(&post, name).thumb("100x100").bytes().await.unwrap(), thumb);
        let log = asked(&proxy).await;
        assert!(log.len() == 3 && log.iter().all(|r| r.query == "thumb=100x100"), "{log:?}");

        // A part that was asked for by hand is what comes; it cannot be resumed by a range of ours.
        let (_folder, path) = on_disk();
        let post = upload(&client, "part", FileSource::path(path)).await.unwrap();
        let name = post.get_list("attachments")[0];
        let part = || client.files().download(&post, name).header("Range", "bytes=1000-600999").bytes();
        assert!(part().await.unwrap() == noise(SIZE)[1000..601_000]);
        proxy.faults(breaks("reset", &[200_000])).await;
        let error = part().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{error:?}");
    })
    .await;
}
