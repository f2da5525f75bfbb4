//! What the scenarios share.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use picobase::{
    Client, Record,
    files::{FileSource, Progress},
    records::Write,
};
use picobase_testkit::Proxy;
use serde_json::json;

use crate::common::{PATIENCE, builder, client, kit};

/// The size of most files here: more than the buffers of a connection hold back from a fault.
pub(crate) const SIZE: usize = 1_500_000;

/// Milliseconds as a duration.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Bytes that repeat only after a long while.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from((n * n / 7 + n / 251) % 256).unwrap()).collect()
}

/// A client whose transfers may be still for this long.
pub(crate) fn impatient(url: &str, idle: Duration) -> Client {
    builder(url).transfer_idle_timeout(idle).build().unwrap()
}

/// A file of noise in a folder of its own.
pub(crate) fn on_disk() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.bin");
    std::fs::write(&path, noise(SIZE)).unwrap();
    (folder, path)
}

/// The creation of a post with a file.
pub(crate) fn upload(client: &Client, title: &str, source: FileSource) -> Write<Record> {
    client.collection("posts").create(&json!({"title": title})).file("attachments", source)
}

/// A post with such a file, and the file's name.
pub(crate) async fn with_file(client: &Client, data: Vec<u8>) -> (Record, String) {
    let post = upload(client, "file", FileSource::bytes("file.bin", data)).await.unwrap();
    let name = post.get_list("attachments")[0].to_string();
    (post, name)
}

/// A stream that has some bytes and says that it has others.
pub(crate) fn stream(said: Option<usize>, length: usize) -> FileSource {
    let data = Bytes::from(noise(length));
    let parts: Vec<_> = (0..length).step_by(50_000).map(|at| Ok(data.slice(at..(at + 50_000).min(length)))).collect();
    FileSource::stream("stream.bin", said.map(|said| said as u64), futures_util::stream::iter(parts))
}

/// The posts of this title, asked of the server itself.
pub(crate) async fn stored(title: &str) -> Vec<Record> {
    let client = client(&kit().info().direct_url);
    let filter = client.filter("title = {:t}", picobase::params! { "t" => title }).unwrap();
    client.collection("posts").get_full_list().filter(filter).await.unwrap()
}

/// The post of this title is there once, and its only file is whole.
pub(crate) async fn stored_once(title: &str) {
    let found = stored(title).await;
    assert_eq!(found.len(), 1, "{title}");
    let names = found[0].get_list("attachments");
    assert_eq!(names.len(), 1, "{title}");
    let direct = client(&kit().info().direct_url);
    let file = direct.files().download(&found[0], names[0]).bytes().await.unwrap();
    assert!(file == noise(SIZE), "{title}: {} bytes", file.len());
}

/// Runs something and says how long it took.
pub(crate) async fn timed<F: IntoFuture>(work: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = work.into_future().await;
    (output, start.elapsed())
}

/// Polls something for a while, and then drops it.
pub(crate) async fn dropped_after<F: IntoFuture>(time: Duration, work: F) {
    assert!(tokio::time::timeout(time, work.into_future()).await.is_err(), "it was done before it could be dropped");
}

/// Waits until no request is being answered any more.
pub(crate) async fn settled(proxy: &Proxy) {
    let end = Instant::now() + PATIENCE;
    while proxy.stats().await.in_flight > 0 {
        assert!(Instant::now() < end, "requests are still in flight");
        tokio::time::sleep(ms(20)).await;
    }
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Gathers what a transfer tells.
pub(crate) fn progress() -> (Arc<Mutex<Vec<Progress>>>, impl Fn(&Progress) + Send + Sync + 'static) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    (seen, move |p: &Progress| sink.lock().unwrap().push(*p))
}

/// The progress of each attempt: one that is sent again begins anew.
pub(crate) fn attempts(seen: &Mutex<Vec<Progress>>) -> Vec<Vec<Progress>> {
    let seen = seen.lock().unwrap();
    seen.chunk_by(|a, b| a.done < b.done).map(<[Progress]>::to_vec).collect()
}
