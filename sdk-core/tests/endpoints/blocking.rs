//! The blocking client, and a runtime that nobody drives between calls.

use std::{
    future::{Future, IntoFuture},
    thread,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use picobase::{Error, ErrorKind, Record, blocking, files::FileSource, params};
use picobase_testkit::Proxy;
use serde_json::json;
use tokio::runtime::Builder;

use crate::common::{PATIENCE, address, builder, kit, password, unique};

/// Waits for the testkit from code that is not async.
fn wait<T>(work: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn proxy() -> Proxy {
    wait(kit().proxy())
}

fn client(url: &str) -> blocking::Client {
    blocking::Client::build(builder(url)).unwrap()
}

#[test]
fn the_same_calls() {
    let proxy = proxy();
    let db = client(&proxy.url);
    let email = address("blocking");
    assert!(db.run(db.auth().sign_up(&email, password())).unwrap().is_some());
    let posts = db.collection("posts");
    let made: Record = db.run(posts.create(&json!({"title": "blocking"}))).unwrap();
    db.run(posts.update(made.id(), &json!({"n": 1}))).unwrap();
    assert_eq!(db.run(posts.get_one(made.id())).unwrap().get_i64("n"), Some(1));
    assert_eq!(db.run(posts.get_one("nothing")).unwrap_err().kind(), ErrorKind::NotFound);
    let file = posts.update(made.id(), &json!({})).file("attachments", FileSource::bytes("a.txt", "hello"));
    let made = db.run(file).unwrap();
    assert_eq!(db.run(db.files().download(&made, made.get_list("attachments")[0]).bytes()).unwrap(), "hello");
    let mut batch = db.batch();
    batch.collection("posts").delete(made.id());
    assert_eq!(db.run(batch.send()).unwrap()[0].status, 204);
    let other = db.with_session("");
    assert!(other.auth().session().is_none() && db.auth().session().is_some());
    db.run(db.auth().sign_out()).unwrap();
    assert_eq!(db.run(db.health()).unwrap().code, 200);
}

#[test]
fn a_walk_as_an_iterator() {
    let server = wait(kit().server());
    wait(server.seed("bulk", 250));
    let db = client(&server.url);
    let rows: Result<Vec<Record>, Error> = db.iter(db.collection("bulk").iterate().batch_size(100).stream()).collect();
    assert_eq!(rows.unwrap().len(), 250);
    let errors: Vec<_> = db.iter(db.collection("nothing").iterate().stream()).collect();
    assert_eq!((errors.len(), errors[0].as_ref().unwrap_err().kind()), (1, ErrorKind::NotFound));
}

const CREATES: usize = 20;

/// The server closes each connection that has been idle for a moment.
fn closes_idle_connections(proxy: &Proxy) {
    wait(proxy.faults(json!([{"action": {"type": "idle_close", "ms": 30}}])));
}

/// Waits until the connection has been closed; on a busy machine that takes longer than it should.
fn until_closed(proxy: &Proxy) {
    let end = Instant::now() + PATIENCE;
    while wait(proxy.stats()).connections_open > 0 {
        assert!(Instant::now() < end, "the proxy closes no connection");
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(20));
}

fn one_of_each(proxy: &Proxy, title: &str) {
    let client = builder(&proxy.url).build().unwrap();
    let filter = client.filter("title = {:t}", params! { "t" => title }).unwrap();
    let found = wait(client.collection("posts").get_full_list().filter(filter).into_future()).unwrap();
    let mut numbers: Vec<_> = found.iter().map(|r| r.get_i64("n").unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    let sent = wait(proxy.requests()).iter().filter(|r| r.method == "POST" && r.forwarded).count();
    assert_eq!(sent, CREATES);
    assert!(wait(proxy.stats()).connections_total >= 20, "each create had a connection of its own");
}

#[test]
fn writes_after_the_server_closed_the_idle_connection() {
    let proxy = proxy();
    closes_idle_connections(&proxy);
    let db = client(&proxy.url);
    let title = unique("idle");
    for n in 0..CREATES {
        let made = db.run(db.collection("posts").create(&json!({"title": title, "n": n})));
        assert!(made.is_ok(), "create {n}: {made:?}");
        until_closed(&proxy);
    }
    one_of_each(&proxy, &title);
}

#[test]
fn writes_on_a_runtime_that_nobody_drives_in_between() {
    let proxy = proxy();
    closes_idle_connections(&proxy);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let client = builder(&proxy.url).build().unwrap();
    let title = unique("parked");
    for n in 0..CREATES {
        let create = client.collection("posts").create(&json!({"title": title, "n": n})).into_future();
        let made = runtime.block_on(create);
        assert!(made.is_ok(), "create {n}: {made:?}");
        until_closed(&proxy);
    }
    one_of_each(&proxy, &title);
}

#[test]
fn one_client_on_a_runtime_after_another() {
    let proxy = proxy();
    let client = builder(&proxy.url).build().unwrap();
    for n in 0..5 {
        let made = wait(client.collection("posts").create(&json!({"title": n.to_string()})).into_future());
        assert!(made.is_ok(), "create {n}: {made:?}");
    }
}

#[test]
fn many_threads_share_one_client() {
    let proxy = proxy();
    let db = client(&proxy.url);
    let title = unique("threads");
    let work = |thread: usize| {
        for n in 0..5 {
            let made = db.run(db.collection("posts").create(&json!({"title": title, "n": thread * 10 + n}))).unwrap();
            assert_eq!(db.run(db.collection("posts").get_one(made.id())).unwrap().id(), made.id());
        }
    };
    let work = &work;
    thread::scope(|scope| {
        for thread in 0..32 {
            scope.spawn(move || work(thread));
        }
    });
    let filter = db.filter("title = {:t}", params! { "t" => title.as_str() }).unwrap();
    assert_eq!(db.run(db.collection("posts").get_list(1, 1).filter(filter)).unwrap().total_items, 160);
}

#[tokio::test]
async fn a_blocking_call_inside_async_code_says_what_to_do() {
    let db = client("http://127.0.0.1:9");
    let error = db.run(db.health()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.fix().contains("spawn_blocking"), "{}", error.fix());
    let mut walk = db.iter(db.collection("posts").iterate().stream());
    assert_eq!(walk.next().unwrap().unwrap_err().kind(), ErrorKind::Configuration);
    assert!(walk.next().is_none());
    // And the client may be dropped here.
    drop((walk, db));
}

#[tokio::test]
async fn a_blocking_call_beside_async_code() {
    let proxy = kit().proxy().await;
    let db = client(&proxy.url);
    let beside = db.clone();
    let health = tokio::task::spawn_blocking(move || beside.run(beside.health())).await.unwrap();
    assert_eq!(health.unwrap().code, 200);
    let on_a_thread = thread::spawn(move || db.run(db.health()));
    assert!(on_a_thread.join().unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_runtime_of_many_threads() {
    let proxy = kit().proxy().await;
    let client = builder(&proxy.url).build().unwrap();
    let work = (0..64).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.collection("posts").create(&json!({"title": n.to_string()})).await })
    });
    let done: Vec<_> = futures_util::stream::iter(work).buffer_unordered(64).collect().await;
    assert!(done.into_iter().all(|made| made.unwrap().is_ok()));
}

/// As a site makes it: a client for one request, whose cookie is written when the call is over.
#[test]
fn a_refresh_that_began_beside_the_only_call_is_done_with_it() {
    let proxy = proxy();
    let db = client(&proxy.url);
    let short = db.collection("shortlived").auth();
    let session = db.run(short.sign_in("shortlived@example.com", password())).unwrap();
    // The server gives the same token twice within a second.
    thread::sleep(Duration::from_millis(1100));
    for _ in 0..10 {
        let visitor = db.with_session(session.clone());
        visitor.run(visitor.collection("posts").get_list(1, 1)).unwrap();
        assert_ne!(visitor.auth().session().unwrap().token(), session.token());
    }
}
