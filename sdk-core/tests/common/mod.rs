//! What every test binary uses: clients that record which endpoints they called, and small helpers.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod clock;
pub(crate) mod shown;

use std::{
    collections::HashSet,
    fs::OpenOptions,
    future::IntoFuture,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use picobase::{Client, ClientBuilder, Record, client::CallReport};
use picobase_testkit::{LoggedRequest, Testkit};
use serde_json::json;

/// The version of the server under test.
pub(crate) fn server_version() -> String {
    std::env::var("PICOBASE_TEST_SERVER").ok().filter(|v| !v.is_empty()).unwrap_or_else(|| "0.40.6".to_string())
}

/// Has the server under test what came with this version? An empty one says that all have it.
pub(crate) fn server_has(since: &str) -> bool {
    let parts = |version: &str| version.split('.').map(|n| n.parse().unwrap_or(0)).collect::<Vec<u32>>();
    since.is_empty() || parts(&server_version()) >= parts(since)
}

/// Says, by name, that the server under test lacks a capability, so that a test can return.
#[expect(clippy::print_stderr, reason = "the run's output names what was not tested")]
pub(crate) fn capability(name: &str, since: &str) -> bool {
    let has = server_has(since);
    if !has {
        eprintln!("capability lacking: {name} came with server {since}, this is {}", server_version());
    }
    has
}

/// For what never comes. A machine that does other things too is slow, and that is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Far more than a slow machine needs, far less than what would end without what is tested.
pub(crate) const LATE: Duration = Duration::from_secs(15);

/// The testkit that all tests of a process share.
pub(crate) fn kit() -> &'static Testkit {
    Testkit::shared()
}

/// The password of every seeded user.
pub(crate) fn password() -> &'static str {
    &kit().info().password
}

/// A client's builder: the only one that tests use, so that no call escapes the coverage.
pub(crate) fn builder(url: &str) -> ClientBuilder {
    let builder = Client::builder().url(url).api_key("").server_version(&server_version());
    match coverage_file() {
        Some(file) => {
            let seen = Mutex::new(HashSet::new());
            builder.after_call(move |report| record_call(&file, &seen, report))
        }
        None => builder,
    }
}

/// A client.
pub(crate) fn client(url: &str) -> Client {
    builder(url).build().unwrap()
}

/// A client signed in as superuser, on any server of the testkit.
pub(crate) async fn superuser(url: &str) -> Client {
    client(url).with_session(kit().superuser_token().await)
}

/// A client signed in as a new user of `users`, with the user's address.
pub(crate) async fn new_user(url: &str) -> (Client, String) {
    let client = client(url);
    let email = address("user");
    let session = client.auth().sign_up(&email, password()).await.unwrap();
    assert!(session.is_some(), "users may sign in without verification");
    (client, email)
}

/// The id of the signed-in user.
pub(crate) fn user_id(client: &Client) -> String {
    client.auth().session().unwrap().user_id()
}

/// A post with this title.
pub(crate) async fn new_post(client: &Client, title: &str) -> Record {
    client.collection("posts").create(&json!({"title": title})).await.unwrap()
}

/// Waits for `work` that takes so long at most where nothing else is to be done, but not for ever.
///
/// # Panics
/// When it takes far longer.
pub(crate) async fn within<F: IntoFuture>(seconds: u64, work: F) -> F::Output {
    let limit = (Duration::from_secs(seconds) * 3).max(PATIENCE);
    match tokio::time::timeout(limit, work.into_future()).await {
        Ok(output) => output,
        Err(_) => panic!("not done within {limit:?}"),
    }
}

/// A name that no other test of this or another process uses.
pub(crate) fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{prefix}{:x}n{now:x}n{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A mail address that no other test uses.
pub(crate) fn address(prefix: &str) -> String {
    format!("{}@example.com", unique(prefix))
}

/// A name for a record's id, 15 characters.
pub(crate) fn record_id() -> String {
    let name = unique("");
    name.chars().rev().filter(char::is_ascii_alphanumeric).chain("0".repeat(15).chars()).take(15).collect()
}

/// `METHOD path` of each logged request whose path contains `part`.
pub(crate) fn calls(log: &[LoggedRequest], part: &str) -> Vec<String> {
    log.iter().filter(|r| r.path.contains(part)).map(|r| format!("{} {}", r.method, r.path)).collect()
}

fn coverage_file() -> Option<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let folder = std::env::var_os("PICOBASE_COVERAGE_DIR").filter(|folder| !folder.is_empty())?;
    let name = format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    Some(Path::new(&folder).join(name))
}

/// Appends the endpoint's name, once for each client. What got no answer was not called.
fn record_call(file: &Path, seen: &Mutex<HashSet<&'static str>>, report: &CallReport) {
    if report.status == 0 || !seen.lock().unwrap().insert(report.endpoint) {
        return;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    writeln!(file, "{}", report.endpoint).unwrap();
}
