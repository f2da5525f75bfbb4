//! B9: sessions whose time runs out, and clocks that are wrong.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use futures_util::{FutureExt, future::join_all};
use picobase::{
    Client, Error, ErrorKind,
    auth::{
        AuthEvent::{self, InitialSession, SessionExpired, SignedIn, SignedOut, TokenRefreshed},
        AuthListener, MemoryStore, Session, Store,
    },
};
use picobase_testkit::{Cut, LoggedRequest, Proxy};
use serde_json::{Value, json};

use crate::{
    common::{PATIENCE, calls, client, clock::Skewed, kit, password, within},
    tools::{ms, proxy, watched},
};

/// A store that holds this session.
pub(crate) fn stored(session: &Session) -> MemoryStore {
    let store = MemoryStore::new();
    let text = json!({"token": session.token(), "record": session.record::<Value>().unwrap()}).to_string();
    store.save(text).now_or_never().unwrap().unwrap();
    store
}

/// What happened to a session.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<AuthEvent>>>);

impl Events {
    fn of(client: &Client) -> (Events, AuthListener) {
        let events = Events::default();
        let sink = events.0.clone();
        let listener = client.auth().on_change(move |change| sink.lock().unwrap().push(change.event));
        (events, listener)
    }

    fn all(&self) -> Vec<AuthEvent> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until these and no others have come.
    async fn are(&self, wanted: &[AuthEvent]) {
        let end = Instant::now() + PATIENCE;
        while self.all() != wanted {
            assert!(Instant::now() < end, "{:?} are not {wanted:?}", self.all());
            tokio::time::sleep(ms(20)).await;
        }
    }
}

/// Signs in with a token that lives 20 s, so that every call finds it near its end.
async fn short(client: &Client) -> Session {
    client.collection("shortlived").auth().sign_in("shortlived@example.com", password()).await.unwrap()
}

async fn list(client: &Client) -> Result<(), Error> {
    client.collection("posts").get_list(1, 1).await.map(|_| ())
}

async fn refreshes(proxy: &Proxy) -> usize {
    calls(&proxy.requests().await, "auth-refresh").len()
}

/// The lists, and whether each was sent as a user.
async fn lists(proxy: &Proxy) -> Vec<bool> {
    let log = proxy.requests().await;
    log.iter().filter(|r| r.path.ends_with("posts/records")).map(|r| r.headers.contains_key("authorization")).collect()
}

fn refresh_answers(action: Value) -> Value {
    json!([{"path_contains": "auth-refresh", "action": action}])
}

/// Lets a refresh go on that the proxy holds: its connection ends, and it is asked again. How often it was asked before.
async fn release_refresh(proxy: &Proxy, faults: Value) -> usize {
    let held = |r: &LoggedRequest| r.path.contains("auth-refresh") && r.status.is_none();
    let asked = proxy.wait_for(1, PATIENCE, held).await.len();
    proxy.faults(faults).await;
    proxy.cut_path(Cut::Reset, "auth-refresh").await;
    asked
}

#[tokio::test]
async fn one_refresh_beside_thirty_calls() {
    within(20, async {
        let proxy = proxy().await;
        let client = client(&proxy.url);
        let old = short(&client).await;
        let (events, _listener) = Events::of(&client);
        proxy.faults(refresh_answers(json!({"type": "stall"}))).await;
        // The server gives the same token again within the same second.
        tokio::time::sleep(ms(1000)).await;
        join_all((0..30).map(|_| list(&client))).await.into_iter().for_each(Result::unwrap);
        assert_eq!(events.all(), [InitialSession], "no call waits for it");
        assert_eq!(refreshes(&proxy).await, 1);
        let log = proxy.requests().await;
        let sent = log.iter().filter(|r| r.path.ends_with("posts/records"));
        assert!(sent.into_iter().all(|r| r.headers["authorization"] == old.token()));
        // It comes in the end, although no call waits for it.
        let asked = release_refresh(&proxy, json!([])).await;
        events.are(&[InitialSession, TokenRefreshed]).await;
        assert_ne!(client.auth().session().unwrap().token(), old.token());
        list(&client).await.unwrap();
        assert_eq!(refreshes(&proxy).await, asked + 1, "the same once more");
    })
    .await;
}

#[tokio::test]
async fn a_refresh_that_is_refused_ends_the_session() {
    within(20, async {
        join_all([401, 403, 404].map(|status| async move {
            let proxy = proxy().await;
            let client = client(&proxy.url);
            short(&client).await;
            let (events, _listener) = Events::of(&client);
            proxy
                .faults(refresh_answers(json!({"type": "respond", "status": status, "body": {"message": "no"}})))
                .await;
            join_all((0..10).map(|_| list(&client))).await;
            // It runs beside them.
            events.are(&[InitialSession, SessionExpired]).await;
            let refused = join_all((0..10).map(|_| list(&client))).await;
            for error in refused.into_iter().map(Result::unwrap_err) {
                assert_eq!(error.kind(), ErrorKind::SessionExpired);
            }
            assert_eq!(events.all(), [InitialSession, SessionExpired]);
            assert!(client.auth().session().is_none());
            let before = proxy.requests().await.len();
            // Nothing is sent for those that fail, and some calls go all the same.
            assert_eq!(list(&client).await.unwrap_err().attempts(), 0);
            assert_eq!(proxy.requests().await.len(), before);
            client.health().await.unwrap();
            client.auth().methods::<Value>().await.unwrap();
            // Out, and a guest; in, and a user.
            client.auth().sign_out().await.unwrap();
            list(&client).await.unwrap();
            client.auth().sign_in("alice@example.com", password()).await.unwrap();
            list(&client).await.unwrap();
            assert_eq!(events.all(), [InitialSession, SessionExpired, SignedOut, SignedIn]);
            assert_eq!(lists(&proxy).await.iter().rev().take(2).collect::<Vec<_>>(), [&true, &false]);
        }))
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_refresh_that_fails_keeps_the_session() {
    within(30, async {
        let actions = [
            json!({"type": "respond", "status": 500}),
            json!({"type": "respond", "status": 429}),
            json!({"type": "respond", "status": 400}),
            json!({"type": "respond", "status": 200, "body": "<html>"}),
            json!({"type": "respond", "status": 200, "body": {"token": "abc", "record": {}}}),
            json!({"type": "reset"}),
        ];
        join_all(actions.map(|action| async move {
            let proxy = proxy().await;
            let (client, _) = watched(&proxy.url, |b| b.max_retries(1));
            let session = short(&client).await;
            let (events, _listener) = Events::of(&client);
            proxy.faults(refresh_answers(action.clone())).await;
            for _ in 0..5 {
                list(&client).await.unwrap();
                tokio::time::sleep(ms(200)).await;
            }
            tokio::time::sleep(ms(300)).await;
            assert_eq!(events.all(), [InitialSession], "{action}");
            assert_eq!(client.auth().session().unwrap().token(), session.token());
            assert!(lists(&proxy).await.iter().all(|user| *user), "{action}");
            assert!(refreshes(&proxy).await <= 2, "{action}");
        }))
        .await;
    })
    .await;
}

#[tokio::test]
async fn clocks_that_are_wrong() {
    within(30, async {
        join_all([3_600_000, -3_600_000].map(|skew| async move {
            let proxy = proxy().await;
            let (client, _) = watched(&proxy.url, |b| b.runtime(Skewed::new(skew)));
            let session = short(&client).await;
            let (events, _listener) = Events::of(&client);
            join_all((0..10).map(|_| list(&client))).await.into_iter().for_each(Result::unwrap);
            tokio::time::sleep(ms(1200)).await;
            join_all((0..10).map(|_| list(&client))).await.into_iter().for_each(Result::unwrap);
            assert!(lists(&proxy).await.iter().all(|user| *user));
            assert!(refreshes(&proxy).await <= 1);
            assert!(!events.all().contains(&SessionExpired));
            // Loaded from a store: the server is asked, and says that it lives.
            proxy.clear_requests().await;
            let (again, _) = watched(&proxy.url, |b| b.runtime(Skewed::new(skew)).store(stored(&session)));
            let (events, _listener) = Events::of(&again);
            join_all((0..10).map(|_| list(&again))).await.into_iter().for_each(Result::unwrap);
            assert!(lists(&proxy).await.iter().all(|user| *user));
            assert!(refreshes(&proxy).await <= 1);
            assert_eq!(events.all()[0], InitialSession);
            assert!(!events.all().contains(&SessionExpired));
        }))
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_stored_session_that_cannot_be_asked_about_is_no_guest() {
    within(20, async {
        let proxy = proxy().await;
        let session = short(&client(&proxy.url)).await;
        let (client, _) =
            watched(&proxy.url, |b| b.runtime(Skewed::new(3_600_000)).store(stored(&session)).max_retries(0));
        proxy.faults(refresh_answers(json!({"type": "respond", "status": 500}))).await;
        proxy.clear_requests().await;
        for _ in 0..3 {
            assert_eq!(list(&client).await.unwrap_err().kind(), ErrorKind::Server);
        }
        assert!(lists(&proxy).await.is_empty());
        proxy.clear_faults().await;
        list(&client).await.unwrap();
        assert_eq!(lists(&proxy).await, [true]);
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    within(60, async {
        // Tokens of ten seconds, the shortest that the server allows.
        let server = kit().server().await;
        let change = json!({"authToken": {"duration": 10}});
        let changed = server.admin("PATCH", "/api/collections/shortlived", Some(change)).await;
        assert_eq!(changed.status, 200, "{}", changed.body);
        let proxy = server.default_proxy();
        let client = client(&server.url);
        short(&client).await;
        let (events, _listener) = Events::of(&client);
        let start = Instant::now();
        let mut ended = None;
        while start.elapsed() < PATIENCE && ended.is_none() {
            ended = list(&client).await.err();
            tokio::time::sleep(ms(500)).await;
        }
        assert_eq!(ended.unwrap().kind(), ErrorKind::SessionExpired);
        assert!(lists(&proxy).await.iter().all(|user| *user), "never a guest by accident");
        assert_eq!(events.all().iter().filter(|event| **event == SessionExpired).count(), 1);
        assert_eq!(list(&client).await.unwrap_err().kind(), ErrorKind::SessionExpired);
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_an_earlier_session_is_dropped() {
    within(20, async {
        join_all([200, 401].map(|status| async move {
            let proxy = proxy().await;
            let client = client(&proxy.url);
            short(&client).await;
            let (events, _listener) = Events::of(&client);
            proxy.faults(refresh_answers(json!({"type": "stall"}))).await;
            list(&client).await.unwrap();
            proxy.wait_for(1, PATIENCE, |r| r.path.contains("auth-refresh")).await;
            let alice = client.auth().sign_in("alice@example.com", password()).await.unwrap();
            let refused = refresh_answers(json!({"type": "respond", "status": 401}));
            release_refresh(&proxy, if status == 401 { refused } else { json!([]) }).await;
            let answered = |r: &LoggedRequest| r.path.contains("auth-refresh") && r.status == Some(status);
            proxy.wait_for(1, PATIENCE, answered).await;
            tokio::time::sleep(ms(200)).await;
            assert_eq!(client.auth().session().unwrap().token(), alice.token());
            assert_eq!(events.all(), [InitialSession, SignedIn]);
            list(&client).await.unwrap();
        }))
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_sign_out_during_a_refresh_is_final() {
    within(20, async {
        let proxy = proxy().await;
        let client = client(&proxy.url);
        short(&client).await;
        proxy.faults(refresh_answers(json!({"type": "delay", "ms": 800}))).await;
        list(&client).await.unwrap();
        client.auth().sign_out().await.unwrap();
        tokio::time::sleep(ms(1300)).await;
        assert!(client.auth().session().is_none());
        list(&client).await.unwrap();
        assert_eq!(lists(&proxy).await, [true, false]);
    })
    .await;
}
