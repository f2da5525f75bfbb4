//! B13 and B7: files on their way to the server.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use futures_util::future::join_all;
use picobase::{ErrorKind, files::FileSource};
use serde_json::{Value, json};

use crate::{
    common::{LATE, calls, client, kit, new_user, unique, within},
    tools::{
        SIZE, attempts, dropped_after, impatient, ms, noise, on_disk, progress, settled, stored, stored_once, stream,
        timed, upload,
    },
};

/// The connection is reset in the middle of the first request's body.
fn reset_once() -> Value {
    let action = json!({"type": "reset", "when": "after_request_bytes", "bytes": 400_000});
    json!([{"times": 1, "method": "POST", "action": action}])
}

/// More than all buffers on the way can take.
fn large() -> FileSource {
    FileSource::bytes("large.bin", vec![7; 24 * 1024 * 1024])
}

/// The file from memory, from a path, and from a stream that can be opened again.
fn repeatable(path: &std::path::Path) -> [FileSource; 3] {
    let data = Bytes::from(noise(SIZE));
    let parts = move || futures_util::stream::iter([Ok(data.slice(..SIZE / 2)), Ok(data.slice(SIZE / 2..))]);
    let reopened = FileSource::reopened("file.bin", Some(SIZE as u64), parts);
    [FileSource::bytes("file.bin", noise(SIZE)), FileSource::path(path), reopened]
}

#[tokio::test]
async fn a_reset_upload_is_not_repeated() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (_folder, path) = on_disk();
        for (n, source) in repeatable(&path).into_iter().enumerate() {
            let title = unique("reset");
            proxy.faults(reset_once()).await;
            let error = upload(&client, &title, source).await.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{error:?}");
            assert!(error.url().is_some_and(|url| url.ends_with("/api/collections/posts/records")), "{error:?}");
            assert_eq!(proxy.requests().await.len(), n + 1);
            assert!(stored(&title).await.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_reset_upload_that_is_safe_is_repeated() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (_folder, path) = on_disk();
        for source in repeatable(&path) {
            let title = unique("safe");
            proxy.faults(reset_once()).await;
            proxy.clear_requests().await;
            upload(&client, &title, source).safe_retry().await.unwrap();
            assert_eq!(proxy.requests().await.len(), 2);
            stored_once(&title).await;
        }
        let title = unique("builder");
        proxy.faults(reset_once()).await;
        let post = client.files().upload("posts", FileSource::path(&path)).field("attachments").safe_retry();
        post.data(&json!({"title": title})).await.unwrap();
        stored_once(&title).await;
    })
    .await;
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (_folder, path) = on_disk();
        for source in repeatable(&path) {
            let title = unique("lost");
            proxy.faults(json!([{"times": 1, "method": "POST", "action": {"type": "lose_answer"}}])).await;
            let post = upload(&client, &title, source).safe_retry().await.unwrap();
            assert_eq!(post.get_str("title"), Some(title.as_str()));
            stored_once(&title).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_sent_once() {
    within(30, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let title = unique("stream");
        proxy.faults(reset_once()).await;
        let error = upload(&client, &title, stream(Some(SIZE), SIZE)).safe_retry().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 1), "{error:?}");
        proxy.faults(json!([{"times": 1, "action": {"type": "respond", "status": 503}}])).await;
        let error = upload(&client, &title, stream(None, SIZE)).safe_retry().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::InstanceUnavailable, 1), "{error:?}");
        assert_eq!(calls(&proxy.requests().await, "/records").len(), 2);
        assert!(stored(&title).await.is_empty());
        // Where no byte was taken, it can wait for the instance.
        proxy.faults(json!([{"for_ms": 400, "action": {"type": "refuse"}}])).await;
        upload(&client, &title, stream(Some(SIZE), SIZE)).await.unwrap();
        stored_once(&title).await;
    })
    .await;
}

#[tokio::test]
async fn a_path_that_is_no_file() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url).with_session("not-a-token");
        let folder = tempfile::tempdir().unwrap();
        let mut paths = vec![folder.path().join("missing.bin"), folder.path().to_path_buf()];
        if cfg!(unix) {
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            paths.extend(made.is_ok_and(|made| made.success()).then_some(pipe));
        }
        for path in paths {
            for write in [upload(&client, "no", FileSource::path(&path)), {
                upload(&client, "no", FileSource::bytes("a.txt", "a")).file("attachments", FileSource::path(&path))
            }] {
                let error = write.safe_retry().await.unwrap_err();
                assert_eq!((error.kind(), error.attempts()), (ErrorKind::Storage, 0), "{error:?}");
                assert!(error.message().contains(&*path.to_string_lossy()), "{error}");
                assert!(!format!("{error:?}").contains("not-a-token") && error.maybe_created().is_none(), "{error:?}");
            }
        }
        assert_eq!(proxy.stats().await.connections_total, 0);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_fails_or_lies() {
    within(30, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let failing = |said: Option<u64>| {
            let parts = [Ok(Bytes::from(noise(300_000))), Err(std::io::Error::other("the tape tore"))];
            FileSource::stream("x.bin", said, futures_util::stream::iter(parts))
        };
        let one_piece = FileSource::stream("x.bin", Some(5), futures_util::stream::iter([Ok(Bytes::from("123456"))]));
        let cases = [
            (failing(None), "the tape tore"),
            (failing(Some(900_000)), "the tape tore"),
            (stream(Some(SIZE + 1), SIZE), "fewer bytes than the 1500001"),
            (stream(Some(SIZE - 1), SIZE), "more bytes than the 1499999"),
            (stream(Some(SIZE / 2), SIZE), "more bytes than the 750000"),
            (stream(Some(3), 0), "fewer bytes than the 3"),
            (one_piece, "more bytes than the 5"),
        ];
        for (source, message) in cases {
            let title = unique("lies");
            let (result, took) = timed(upload(&client, &title, source).safe_retry()).await;
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Storage, 1), "{error:?}");
            assert!(error.message().contains(message), "{error}");
            assert!(took < LATE, "{took:?}");
            settled(&proxy).await;
            assert!(stored(&title).await.is_empty());
        }
        // Empty pieces are no end.
        let title = unique("gaps");
        let parts: Vec<_> =
            noise(SIZE).chunks(100_000).flat_map(|p| [Bytes::new(), p.to_vec().into()]).map(Ok).collect();
        let gaps = FileSource::stream("x.bin", Some(SIZE as u64), futures_util::stream::iter(parts));
        upload(&client, &title, gaps).await.unwrap();
        stored_once(&title).await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_changes() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        for longer in [true, false] {
            let (_folder, path) = on_disk();
            let title = unique("changing");
            let change = {
                let path = Arc::new(path.clone());
                move |done: u64| {
                    if done > 500_000 && std::fs::metadata(&*path).unwrap().len() == SIZE as u64 {
                        let mut file = std::fs::OpenOptions::new().append(true).open(&*path).unwrap();
                        if longer { file.write_all(b"more").unwrap() } else { file.set_len(800_000).unwrap() }
                    }
                }
            };
            let write = upload(&client, &title, FileSource::path(&path)).on_progress(move |p| change(p.done));
            let error = write.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
            assert!(error.message().contains("changed while it was sent"), "{error}");
            assert!(error.message().contains(&*path.to_string_lossy()), "{error}");
            settled(&proxy).await;
            assert!(stored(&title).await.is_empty());
        }
        // What happens to it before it is sent is no mistake.
        let (_folder, path) = on_disk();
        std::fs::write(&path, "short").unwrap();
        let source = FileSource::path(&path);
        std::fs::write(&path, noise(SIZE)).unwrap();
        let title = unique("changed");
        upload(&client, &title, source).await.unwrap();
        stored_once(&title).await;
    })
    .await;
}

#[tokio::test]
async fn an_upload_wakes_the_instance() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (_folder, path) = on_disk();
        let asleep =
            json!([{"times": 2, "action": {"type": "respond", "status": 503, "headers": {"Retry-After": "0"}}}]);
        for source in repeatable(&path) {
            let title = unique("waking");
            proxy.faults(asleep.clone()).await;
            proxy.clear_requests().await;
            upload(&client, &title, source).await.unwrap();
            assert_eq!(proxy.requests().await.len(), 3);
            stored_once(&title).await;
        }
    })
    .await;
}

#[tokio::test]
async fn progress_of_a_repeated_upload() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (_folder, path) = on_disk();
        for source in repeatable(&path) {
            proxy.faults(reset_once()).await;
            let (seen, listener) = progress();
            upload(&client, "progress", source).safe_retry().on_progress(listener).await.unwrap();
            let attempts = attempts(&seen);
            assert_eq!(attempts.len(), 2, "it only falls where the upload begins anew");
            let last = attempts[1].last().unwrap();
            assert!(last.done > SIZE as u64 && last.total == Some(last.done), "{last:?}");
            assert!(attempts.iter().flatten().all(|p| p.total == last.total && p.done <= last.done));
        }
    })
    .await;
}

#[tokio::test]
async fn a_stalled_upload_and_a_slow_one() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = impatient(&proxy.url, ms(600));
        let title = unique("stalled");
        let stall = json!({"type": "stall", "when": "after_request_bytes", "bytes": 400_000});
        proxy.faults(json!([{"times": 1, "method": "POST", "action": stall}])).await;
        let (result, took) = timed(upload(&client, &title, large())).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 1), "{error:?}");
        assert!(error.message().contains("no progress") && error.url().is_some(), "{error:?}");
        assert!(took >= ms(500) && took < LATE, "{took:?}");
        assert!(stored(&title).await.is_empty());

        // In all it takes longer than the client would wait for nothing. What the system's buffers take at once looks like
        // no progress, but only for a small part of that.
        let client = impatient(&proxy.url, ms(5000));
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 3_500_000, "direction": "request"}}])).await;
        let title = unique("slow");
        let (result, took) = timed(upload(&client, &title, large())).await;
        result.unwrap();
        assert!(took > ms(5000), "{took:?}");
        assert_eq!(stored(&title).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_upload_with_a_deadline() {
    within(20, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        proxy.faults(json!([{"action": {"type": "slow", "bytes_per_sec": 1_000_000, "direction": "request"}}])).await;
        let title = unique("late");
        let data = json!({"title": title});
        let by_files = client.files().upload("posts", large()).field("attachments");
        let by_write = upload(&client, &title, large());
        for (result, took) in
            [timed(by_files.data(&data).timeout(ms(500))).await, timed(by_write.safe_retry().timeout(ms(500))).await]
        {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout);
            assert!(took >= ms(500) && took < LATE, "{took:?}");
        }
        // And one that nobody waits for any more.
        dropped_after(ms(300), upload(&client, &title, large())).await;
        settled(&proxy).await;
        assert!(stored(&title).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn odd_names_and_sizes() {
    within(20, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ein Bild – größer \"als\" 木.txt");
        for data in [Vec::new(), noise(1), noise(65_536), noise(65_537)] {
            std::fs::write(&path, &data).unwrap();
            let (seen, listener) = progress();
            let post = upload(&client, "odd", FileSource::path(&path)).on_progress(listener).await.unwrap();
            let name = post.get_list("attachments")[0];
            assert!(client.files().download(&post, name).bytes().await.unwrap() == data, "{name}");
            let copy = folder.path().join("copy 木.txt");
            assert_eq!(client.files().download(&post, name).to_path(&copy).await.unwrap(), data.len() as u64);
            assert!(std::fs::read(&copy).unwrap() == data);
            let last = *seen.lock().unwrap().last().unwrap();
            assert_eq!(last.total, Some(last.done));
        }
    })
    .await;
}

#[tokio::test]
async fn twenty_uploads_at_once() {
    within(30, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (_folder, path) = on_disk();
        let flaky = json!({"type": "reset", "when": "after_request_bytes", "bytes": 200_000});
        proxy.faults(json!([{"times": 5, "skip": 3, "method": "POST", "action": flaky}])).await;
        let titles: Vec<_> = (0..20).map(|_| unique("many")).collect();
        let all = titles.iter().map(|title| upload(&client, title, FileSource::path(&path)).safe_retry().into_future());
        for result in join_all(all).await {
            result.unwrap();
        }
        for title in &titles {
            assert_eq!(stored(title).await.len(), 1);
        }
        stored_once(&titles[19]).await;
    })
    .await;
}
