//! Realtime without async: one thread drives it, as long as something is subscribed.

use std::{
    fs,
    future::Future,
    sync::{
        Barrier, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use picobase::{
    Error, ErrorKind, Record, blocking,
    blocking::Iter,
    realtime::{Event, RealtimeOptions, Subscription},
};
use picobase_testkit::Proxy;
use serde_json::json;
use tokio::runtime::Builder;

use crate::common::{LATE, PATIENCE, address, builder, calls, kit, password, unique};

const LONG: Duration = PATIENCE;

/// One of these tests at a time: they count the threads of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the testkit from code that is not async.
fn wait<T>(work: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// How many threads of this process drive realtime.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end between the listing and the reading.
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "picobase-events").count()
}

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !check() {
        assert!(Instant::now() < end, "not within {LONG:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn until_no_thread() {
    until("the thread ends", || threads() == 0);
}

/// A client whose stream ends soon after its last subscription.
fn client(proxy: &Proxy, options: impl FnOnce(&mut RealtimeOptions)) -> blocking::Client {
    let mut realtime = RealtimeOptions::default();
    realtime.linger = Duration::from_millis(50);
    options(&mut realtime);
    blocking::Client::build(builder(&proxy.url).realtime(realtime)).unwrap()
}

/// A server that nobody else writes to, and a client of it.
fn stage() -> (picobase_testkit::Server, Proxy, blocking::Client) {
    let server = wait(kit().server());
    let proxy = server.default_proxy();
    let db = client(&proxy, |_| {});
    (server, proxy, db)
}

/// Writes with a client of its own.
fn create(proxy: &Proxy, title: &str) -> Record {
    let db = client(proxy, |_| {});
    db.run(db.collection("posts").create(&json!({"title": title}))).unwrap()
}

fn title_of(event: Event<Record>) -> String {
    let Event::Record(change) = event else { panic!("{event:?}") };
    change.record().unwrap().get_str("title").unwrap().to_string()
}

type Events = Iter<Subscription<Record>>;

fn events(db: &blocking::Client) -> Events {
    db.iter(db.run(db.collection("posts").subscribe("*")).unwrap())
}

/// A listener's titles, and what keeps it in place.
fn listen(db: &blocking::Client) -> (picobase::realtime::SubscriptionHandle, Receiver<String>) {
    let (sender, receiver) = channel();
    let posts = db.run(db.collection("posts").subscribe("*")).unwrap();
    let handle = posts.on(move |event| drop(sender.send(title_of(event.unwrap()))));
    (handle, receiver)
}

#[test]
fn a_listener_is_called_while_the_caller_does_something_else() {
    let _alone = alone();
    let (_server, proxy, db) = stage();
    db.run(db.health()).unwrap();
    assert_eq!(threads(), 0, "calls start no thread");
    let (handle, titles) = listen(&db);
    for title in ["one", "two"] {
        create(&proxy, title);
        assert_eq!(titles.recv_timeout(LONG).unwrap(), title);
    }
    assert_eq!(threads(), 1);
    handle.unsubscribe();
    until_no_thread();
    assert!(titles.recv_timeout(LONG).is_err(), "the listener is gone");
    let (_handle, titles) = listen(&db);
    create(&proxy, "three");
    assert_eq!(titles.recv_timeout(LONG).unwrap(), "three");
    assert_eq!(threads(), 1, "it is started again");
}

#[test]
fn an_iterator_with_a_limit() {
    let _alone = alone();
    let (_server, proxy, db) = stage();
    let mut posts = events(&db);
    let start = Instant::now();
    let nothing = posts.next_within(Duration::from_millis(200)).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Timeout);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(posts.next_within(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
    create(&proxy, "one");
    assert_eq!(title_of(posts.next_within(LONG).unwrap().unwrap()), "one");
    create(&proxy, "two");
    assert_eq!(title_of(posts.next().unwrap().unwrap()), "two");
    db.realtime().unsubscribe_all();
    assert!(posts.next_within(LONG).unwrap().is_none(), "the end is no timeout");
    assert!(posts.next().is_none());
}

#[test]
fn the_stream_is_replaced_while_nobody_calls() {
    let _alone = alone();
    let (_server, proxy, _) = stage();
    let db = client(&proxy, |options| {
        options.liveness = Duration::from_millis(300);
        options.overlap = Duration::from_millis(50);
    });
    let mut posts = events(&db);
    let streams = || calls(&wait(proxy.requests()), "/api/realtime").iter().filter(|c| c.starts_with("GET")).count();
    until("three streams, one after another", || streams() >= 3);
    create(&proxy, "after");
    assert_eq!(title_of(posts.next_within(LONG).unwrap().unwrap()), "after");
}

#[test]
fn one_thread_for_the_whole_family() {
    let _alone = alone();
    let (_server, proxy, db) = stage();
    db.run(db.auth().sign_up(&address("family"), password())).unwrap();
    let visitor = db.with_session("");
    let many: Vec<_> = (0..5).map(|_| events(&db)).chain((0..5).map(|_| events(&visitor))).collect();
    // An async client of the family, as `impersonate` gives one.
    let inner = (*db).with_session("");
    let mut last = db.iter(db.run(inner.collection("posts").subscribe("*")).unwrap());
    assert_eq!(threads(), 1);
    drop((many, visitor));
    create(&proxy, "one");
    assert_eq!(title_of(last.next_within(LONG).unwrap().unwrap()), "one");
    assert_eq!(threads(), 1);
    drop(last);
    until_no_thread();
}

#[test]
fn the_client_may_be_dropped_first_and_nothing_hangs() {
    let _alone = alone();
    let (_server, proxy, db) = stage();
    let (handle, titles) = listen(&db);
    let posts = events(&db);
    let start = Instant::now();
    drop((db, posts));
    assert!(start.elapsed() < LATE);
    create(&proxy, "after");
    assert_eq!(titles.recv_timeout(LONG).unwrap(), "after", "the listener goes on");
    drop(handle);
    until_no_thread();
    until("no connection is left", || wait(proxy.stats()).connections_open == 0);
}

#[test]
fn all_dropped_at_once_in_async_code() {
    let _alone = alone();
    let (_server, _proxy, db) = stage();
    let all = (listen(&db), events(&db), db);
    wait(async move { drop(all) });
    until_no_thread();
}

#[test]
fn a_blocking_call_in_a_listener_is_an_error() {
    let _alone = alone();
    let (_server, proxy, db) = stage();
    let (sender, errors) = channel::<Error>();
    let posts = db.run(db.collection("posts").subscribe("*")).unwrap();
    let inside = db.clone();
    let handle = posts.on(move |_| drop(sender.send(inside.run(inside.health()).unwrap_err())));
    for title in ["one", "two"] {
        create(&proxy, title);
        let error = errors.recv_timeout(LONG).unwrap();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    }
    assert_eq!(db.run(db.health()).unwrap().code, 200, "beside it, calls go on");
    drop(handle);
    until_no_thread();
}

#[test]
fn a_listener_that_panics_ends_alone() {
    let _alone = alone();
    let (_server, proxy, db) = stage();
    let posts = db.run(db.collection("posts").subscribe("*")).unwrap();
    let _broken = posts.on(|event| assert!(event.is_err(), "this listener is broken"));
    let (_handle, titles) = listen(&db);
    for title in ["one", "two"] {
        create(&proxy, title);
        assert_eq!(titles.recv_timeout(LONG).unwrap(), title);
    }
}

#[test]
fn several_threads_call_and_listen_at_once() {
    const EACH: usize = 20;
    let _alone = alone();
    let (_server, _proxy, db) = stage();
    let (_handle, titles) = listen(&db);
    let ready = Barrier::new(3);
    let listen = || {
        let mut posts = events(&db);
        ready.wait();
        let titles: Vec<_> = (0..3 * EACH).map(|_| title_of(posts.next_within(LONG).unwrap().unwrap())).collect();
        (titles, posts.next_within(Duration::ZERO).unwrap_err().kind())
    };
    let write = || {
        for n in 0..EACH {
            let post = db.run(db.collection("posts").create(&json!({"title": unique("t"), "n": n}))).unwrap();
            assert_eq!(db.run(db.collection("posts").get_one(post.id())).unwrap().id(), post.id());
        }
    };
    thread::scope(|scope| {
        let listeners = [scope.spawn(listen), scope.spawn(listen)];
        // Only from then on do they hear all.
        ready.wait();
        let writers = [scope.spawn(write), scope.spawn(write), scope.spawn(write)];
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let mut all: Vec<_> = (0..3 * EACH).map(|_| titles.recv_timeout(LONG).unwrap()).collect();
        all.sort_unstable();
        for listener in listeners {
            let (mut heard, after) = listener.join().unwrap();
            heard.sort_unstable();
            assert_eq!((heard, after), (all.clone(), ErrorKind::Timeout));
        }
    });
    assert_eq!(threads(), 1);
}

#[test]
fn the_thread_is_there_whenever_it_is_needed() {
    let _alone = alone();
    let (_server, proxy, _) = stage();
    let db = client(&proxy, |options| options.linger = Duration::ZERO);
    let writer = client(&proxy, |_| {});
    for n in 0..100 {
        // The last thread may just be about to end.
        let (handle, titles) = listen(&db);
        writer.run(writer.collection("posts").create(&json!({"title": n.to_string()}))).unwrap();
        assert_eq!(titles.recv_timeout(LONG).unwrap(), n.to_string());
        assert_eq!(threads(), 1);
        drop(handle);
        if n % 3 == 0 {
            thread::sleep(Duration::from_micros(n * 20));
        }
    }
    drop(db);
    until_no_thread();
}
