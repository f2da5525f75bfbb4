//! Who listens: guests, users who come and go, sessions that end, and other servers.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use futures_util::{StreamExt, future::join_all};
use picobase::{
    Client, ErrorKind,
    auth::{
        AuthEvent::{self, InitialSession, SessionExpired, SignedIn, TokenRefreshed},
        AuthListener, Credentials, MemoryStore, Session, Store,
    },
    client::SessionSource,
    params,
    realtime::{NetworkHint, RealtimeOptions, RealtimeState, Subscription},
};
use picobase_testkit::{Cut, LoggedRequest};
use serde_json::{Value, json};

use crate::{
    common::{
        LATE, PATIENCE, address, builder, calls, client, clock::Skewed, new_user, password, shown::Shown, user_id,
        within,
    },
    told::{Ground, item, lines, next, sorted},
    tools::{is_stream, is_submit, ms, s, until},
};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";

/// Signs in, and answers the session.
async fn sign_in(client: &Client, email: &str) -> Session {
    client.auth().sign_in(email, password()).await.unwrap()
}

/// Publishes something for users, or for all.
async fn publish(ground: &Ground, title: &str, public: bool) {
    ground.create("published_only", &json!({"title": title, "public": public})).await;
}

/// A note that only its owner sees.
async fn note(ground: &Ground, owner: &str, body: &str) {
    ground.create("private_notes", &json!({"owner": owner, "body": body})).await;
}

async fn subscribe(client: &Client, collection: &str) -> Subscription {
    client.collection(collection).subscribe("*").await.unwrap()
}

/// The user of that address, as the server knows it.
async fn id_of(ground: &Ground, email: &str) -> String {
    let filter = ground.root.filter("email = {:e}", params! { "e" => email }).unwrap();
    ground.root.collection("users").get_first_list_item(&filter).await.unwrap().id().to_string()
}

/// Makes all tokens of a user worthless: a new password does.
async fn revoke(ground: &Ground, user: &str, password: &str) {
    let change = json!({"password": password, "passwordConfirm": password});
    ground.admin("PATCH", &format!("/api/collections/users/records/{user}"), change).await;
}

/// What the session was told of.
fn heard(client: &Client) -> (Arc<Mutex<Vec<AuthEvent>>>, AuthListener) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = events.clone();
    let listener = client.auth().on_change(move |change| sink.lock().unwrap().push(change.event));
    (events, listener)
}

/// The requests for streams and submits: which, and as whom.
async fn realtime_log(ground: &Ground) -> Vec<(&'static str, Option<String>)> {
    let log = ground.proxy.requests().await;
    let which = |r: &LoggedRequest| match (is_stream(r), is_submit(r)) {
        (true, _) => Some("stream"),
        (_, true) => Some("submit"),
        _ => None,
    };
    log.iter().filter_map(|r| Some((which(r)?, r.headers.get("authorization").cloned()))).collect()
}

async fn refreshes(ground: &Ground) -> usize {
    calls(&ground.proxy.requests().await, "auth-refresh").len()
}

#[tokio::test]
async fn a_guest_signs_in_on_the_same_stream() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let mut one = subscribe(&client, "published_only").await;
        let mut two = client.collection("published_only").subscribe("*").filter("title != 'x'").await.unwrap();
        publish(&ground, "users 1", false).await;
        publish(&ground, "all 1", true).await;
        assert_eq!(next(&mut one).await, "create live all 1");
        assert_eq!(next(&mut two).await, "create live all 1");
        ground.proxy.clear_requests().await;
        let token = sign_in(&client, ALICE).await.token().to_string();
        assert_eq!(next(&mut one).await, "resync auth_changed");
        assert_eq!(next(&mut two).await, "resync auth_changed");
        publish(&ground, "users 2", false).await;
        assert_eq!(next(&mut one).await, "create live users 2");
        assert_eq!(next(&mut two).await, "create live users 2");
        assert_eq!(realtime_log(&ground).await, [("submit", Some(token))]);
    })
    .await;
}

#[tokio::test]
async fn who_signs_out_hears_nothing_more_of_the_users() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let token = sign_in(&client, ALICE).await.token().to_string();
        let mut events = subscribe(&client, "published_only").await;
        publish(&ground, "users 1", false).await;
        assert_eq!(next(&mut events).await, "create live users 1");
        client.auth().sign_out().await.unwrap();
        publish(&ground, "users 2", false).await;
        assert_eq!(next(&mut events).await, "resync auth_changed");
        publish(&ground, "all 1", true).await;
        assert_eq!(next(&mut events).await, "create live all 1");
        let user = Some(token);
        let expected = [("stream", user.clone()), ("submit", user), ("stream", None), ("submit", None)];
        assert_eq!(realtime_log(&ground).await, expected);
        let closed = |r: &LoggedRequest| is_stream(r) && r.ended_ms.is_some();
        let streams = ground.proxy.wait_for(1, PATIENCE, closed).await;
        assert_eq!(streams.len(), 1, "the old one is closed, the new one is not");
        // A guest's session cannot have ended.
        assert_eq!(refreshes(&ground).await, 0);
    })
    .await;
}

#[tokio::test]
async fn another_user_hears_of_that_users_records() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let alice = sign_in(&client, ALICE).await;
        let bob = id_of(&ground, BOB).await;
        let mut events = subscribe(&client, "private_notes").await;
        note(&ground, &bob, "bob 1").await;
        note(&ground, &alice.user_id(), "alice 1").await;
        assert_eq!(next(&mut events).await, "create live alice 1");
        sign_in(&client, BOB).await;
        note(&ground, &alice.user_id(), "alice 2").await;
        assert_eq!(next(&mut events).await, "resync auth_changed");
        note(&ground, &alice.user_id(), "alice 3").await;
        note(&ground, &bob, "bob 2").await;
        assert_eq!(next(&mut events).await, "create live bob 2");
        assert_eq!(ground.streams().await, 2);
        // The same user once more is another session.
        sign_in(&client, BOB).await;
        assert_eq!(next(&mut events).await, "resync auth_changed");
        note(&ground, &bob, "bob 3").await;
        assert_eq!(next(&mut events).await, "create live bob 3");
    })
    .await;
}

#[tokio::test]
async fn a_new_token_changes_nothing() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let alice = sign_in(&client, ALICE).await.user_id();
        let mut events = subscribe(&client, "private_notes").await;
        let (told, _listener) = heard(&client);
        for n in ["1", "2", "3"] {
            client.auth().refresh().await.unwrap();
            note(&ground, &alice, n).await;
            assert_eq!(next(&mut events).await, format!("create live {n}"));
        }
        assert_eq!(*told.lock().unwrap(), [InitialSession, TokenRefreshed, TokenRefreshed, TokenRefreshed]);
        assert_eq!((ground.streams().await, ground.submits().await), (1, 1));
        // Nor does the user's own record.
        client.collection("users").update(&alice, &json!({"name": "Alice"})).await.unwrap();
        note(&ground, &alice, "4").await;
        assert_eq!(next(&mut events).await, "create live 4");
        assert_eq!((ground.streams().await, ground.submits().await), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_session_from_a_store_is_there_from_the_first_stream() {
    within(60, async {
        let ground = Ground::new().await;
        let alice = sign_in(&client(&ground.server.direct_url), ALICE).await;
        let store = MemoryStore::new();
        let kept = json!({"token": alice.token(), "record": alice.record::<Value>().unwrap()});
        store.save(kept.to_string()).await.unwrap();
        let client = builder(&ground.proxy.url).store(store).build().unwrap();
        let mut events = subscribe(&client, "private_notes").await;
        note(&ground, &alice.user_id(), "one").await;
        assert_eq!(next(&mut events).await, "create live one");
        let token = Some(alice.token().to_string());
        assert_eq!(realtime_log(&ground).await, [("stream", token.clone()), ("submit", token)]);
    })
    .await;
}

#[tokio::test]
async fn credentials_sign_in_by_themselves() {
    within(60, async {
        let ground = Ground::new().await;
        let client = builder(&ground.proxy.url).credentials(Credentials::new(ALICE, password())).build().unwrap();
        let mut events = subscribe(&client, "private_notes").await;
        let first = client.auth().session().unwrap();
        let alice = first.user_id();
        note(&ground, &alice, "one").await;
        assert_eq!(next(&mut events).await, "create live one");
        let token = Some(first.token().to_string());
        assert_eq!(realtime_log(&ground).await, [("stream", token.clone()), ("submit", token)]);
        // The session ends elsewhere, the password stays: the handles go on, as another session.
        revoke(&ground, &alice, password()).await;
        let (told, _listener) = heard(&client);
        ground.proxy.clear_requests().await;
        client.realtime().hint(NetworkHint::Online);
        assert_eq!(next(&mut events).await, "resync auth_changed");
        note(&ground, &alice, "two").await;
        assert_eq!(next(&mut events).await, "create live two");
        assert_eq!(*told.lock().unwrap(), [InitialSession, SessionExpired, SignedIn]);
        assert_ne!(client.auth().session().unwrap().token(), first.token());
        let log = realtime_log(&ground).await;
        let token = Some(client.auth().session().unwrap().token().to_string());
        assert!(log.iter().all(|(_, sent)| *sent == token), "never a guest: {}", log.len());
    })
    .await;
}

/// How the end of a session is found out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FoundBy {
    Liveness,
    Cut,
}

#[tokio::test]
async fn a_session_that_ended_elsewhere_is_told_once_and_events_go_on_after_the_next() {
    within(120, async {
        use FoundBy::{Cut, Liveness};
        let cases = [(Liveness, true), (Liveness, false), (Cut, true), (Cut, false)];
        join_all(cases.map(|(by, back)| ended_elsewhere(by, back))).await;
    })
    .await;
}

async fn ended_elsewhere(by: FoundBy, back: bool) {
    let ground = Ground::new().await;
    let mut options = RealtimeOptions::default();
    if by == FoundBy::Liveness {
        // Longer than a slow machine takes to the first event: one for which the stream was replaced might come as
        // `catchup`.
        options.liveness = s(6);
    }
    let client = builder(&ground.proxy.url).realtime(options).build().unwrap();
    let email = address("ends");
    client.auth().sign_up(&email, password()).await.unwrap();
    let user = user_id(&client);
    let mut notes = subscribe(&client, "private_notes").await;
    let mut published = subscribe(&client, "published_only").await;
    note(&ground, &user, "one").await;
    assert_eq!(next(&mut notes).await, "create live one");
    let (told, _listener) = heard(&client);
    let new_password = format!("{}New", password());
    revoke(&ground, &user, &new_password).await;
    if by == FoundBy::Cut {
        ground.proxy.cut_path(Cut::Reset, "/api/realtime").await;
    }
    assert_eq!(next(&mut notes).await, "error SessionExpired", "{by:?}");
    assert_eq!(next(&mut published).await, "error SessionExpired", "{by:?}");
    assert_eq!(client.realtime().state(), RealtimeState::Suspended);
    assert_eq!(*told.lock().unwrap(), [InitialSession, SessionExpired]);
    let before = realtime_log(&ground).await;
    let start = Instant::now();
    for _ in 0..3 {
        let refused = client.collection("posts").subscribe("*").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::SessionExpired);
    }
    assert!(start.elapsed() < LATE, "{:?}", start.elapsed());
    assert!(before.iter().all(|(_, token)| token.is_some()), "never a guest by accident");
    assert_eq!(realtime_log(&ground).await.len(), before.len());
    if back {
        client.auth().sign_in(&email, &new_password).await.unwrap();
    } else {
        client.auth().sign_out().await.unwrap();
    }
    assert_eq!(next(&mut notes).await, "resync auth_changed", "the error came once");
    assert_eq!(next(&mut published).await, "resync auth_changed");
    until(s(5), "connected", || async { client.realtime().state() == RealtimeState::Connected }).await;
    if back {
        note(&ground, &user, "two").await;
        assert_eq!(next(&mut notes).await, "create live two");
    } else {
        note(&ground, &user, "not for guests").await;
        publish(&ground, "users", false).await;
        publish(&ground, "all", true).await;
        assert_eq!(next(&mut published).await, "create live all");
    }
    subscribe(&client, "posts").await;
}

#[tokio::test]
async fn what_is_hidden_when_the_session_has_just_ended_is_not_gone() {
    within(60, async {
        let ground = Ground::new().await;
        let (client, _) = new_user(&ground.proxy.url).await;
        let user = user_id(&client);
        note(&ground, &user, "one").await;
        let mine = client.collection("private_notes").get_list(1, 1).await.unwrap().items;
        let mut notes = subscribe(&client, "private_notes").await;
        let mut this = client.collection("private_notes").subscribe(mine[0].id()).await.unwrap();
        ground.update("private_notes", mine[0].id(), &json!({"body": "two"})).await;
        assert_eq!(next(&mut notes).await, "update live two");
        assert_eq!(next(&mut this).await, "update live two");
        // The list above, and the baselines.
        ground.lists("private_notes", 200, 3).await;
        // The session still lives when the stream comes back, and no longer when what was missed is listed.
        let list = "/api/collections/private_notes/records";
        let held = json!([{"method": "GET", "path": list, "action": {"type": "stall"}}]);
        ground.gap_then(held, async {}).await;
        ground.proxy.wait_for(2, PATIENCE, |r| r.path == list && r.method == "GET" && r.status.is_none()).await;
        revoke(&ground, &user, "AnotherPassword1").await;
        ground.proxy.faults(json!([])).await;
        ground.proxy.cut_path(Cut::Reset, list).await;
        assert_eq!(next(&mut notes).await, "error SessionExpired");
        assert_eq!(next(&mut this).await, "error SessionExpired");
    })
    .await;
}

#[tokio::test]
async fn a_session_that_ended_says_so_to_later_subscriptions_too() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let session = sign_in(&client, ALICE).await;
        let mut events = subscribe(&client, "private_notes").await;
        revoke(&ground, &session.user_id(), "AnotherPassword1").await;
        client.realtime().hint(NetworkHint::Online);
        assert_eq!(next(&mut events).await, "error SessionExpired");
        drop(events);
        until(s(5), "disconnected", || async { client.realtime().state() == RealtimeState::Disconnected }).await;
        for _ in 0..2 {
            let refused = within(2, client.collection("posts").subscribe("*")).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::SessionExpired);
            let disconnected = || async { client.realtime().state() == RealtimeState::Disconnected };
            until(s(5), "disconnected", disconnected).await;
        }
        client.auth().sign_in(ALICE, "AnotherPassword1").await.unwrap();
        let mut events = within(5, client.collection("private_notes").subscribe("*")).await.unwrap();
        note(&ground, &session.user_id(), "one").await;
        assert_eq!(next(&mut events).await, "create live one");
    })
    .await;
}

#[tokio::test]
async fn ones_own_new_password_goes_on_with_another_stream() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let old = sign_in(&client, ALICE).await;
        let alice = old.user_id();
        let mut events = subscribe(&client, "private_notes").await;
        let change =
            json!({"oldPassword": password(), "password": "OneOfOnesOwn1", "passwordConfirm": "OneOfOnesOwn1"});
        client.collection("users").update(&alice, &change).await.unwrap();
        assert_eq!(next(&mut events).await, "resync auth_changed");
        note(&ground, &alice, "one").await;
        assert_eq!(next(&mut events).await, "create live one");
        let (old, new) = (old.token().to_string(), client.auth().session().unwrap().token().to_string());
        assert_ne!(old, new);
        let (old, new) = (Some(old), Some(new));
        let expected = [("stream", old.clone()), ("submit", old), ("stream", new.clone()), ("submit", new)];
        assert!(realtime_log(&ground).await == expected, "two streams, the second with the new token");
    })
    .await;
}

#[tokio::test]
async fn a_user_who_was_deleted_elsewhere() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        client.auth().sign_up(&address("gone"), password()).await.unwrap();
        let mut events = subscribe(&client, "published_only").await;
        publish(&ground, "users 1", false).await;
        assert_eq!(next(&mut events).await, "create live users 1");
        ground.delete("users", &user_id(&client)).await;
        client.realtime().hint(NetworkHint::Online);
        assert_eq!(next(&mut events).await, "error SessionExpired");
        assert_eq!(client.realtime().state(), RealtimeState::Suspended);
        client.auth().sign_out().await.unwrap();
        assert_eq!(next(&mut events).await, "resync auth_changed");
        publish(&ground, "users 2", false).await;
        publish(&ground, "all 1", true).await;
        assert_eq!(next(&mut events).await, "create live all 1");
    })
    .await;
}

#[tokio::test]
async fn key_and_token_go_with_streams_and_submits_and_are_shown_nowhere() {
    const KEY: &str = "pb_SentinelKey0123456789";
    const SECRET: &str = "SentinelSecret0123";
    within(60, async {
        let ground = Ground::new().await;
        let shown = Shown::default();
        let _guard = shown.listen();
        let client = builder(&ground.proxy.url).api_key(KEY).build().unwrap();
        let ask = client.collection("private_notes").subscribe("*").query("secret", SECRET).header("X-Secret", SECRET);
        shown.add(&ask);
        let mut events = ask.await.unwrap();
        shown.add(&events);
        let session = sign_in(&client, ALICE).await;
        assert_eq!(next(&mut events).await, "resync auth_changed");
        note(&ground, &session.user_id(), SECRET).await;
        shown.add(&item(&mut events).await.unwrap());
        ground.rotate(&client).await;
        ground.proxy.cut_path(Cut::Reset, "/api/realtime").await;
        let streams = ground.proxy.wait_for(3, PATIENCE, is_stream).await;
        let submits = ground.proxy.wait_for(4, PATIENCE, is_submit).await;
        let (bearer, token) = (format!("Bearer {KEY}"), session.token());
        assert!(streams.iter().chain(&submits).all(|r| r.headers["x-picobase-key"] == KEY));
        let sent = |log: &[LoggedRequest]| log.iter().map(|r| r.headers["authorization"].clone()).collect::<Vec<_>>();
        assert!(sent(&streams) == [bearer.as_str(), token, token], "the streams");
        assert!(sent(&submits) == [bearer.as_str(), token, token, token], "the submits");
        revoke(&ground, &session.user_id(), SECRET).await;
        client.realtime().hint(NetworkHint::Online);
        let mut last = item(&mut events).await;
        while last.is_ok() {
            last = item(&mut events).await;
        }
        shown.add(&last);
        shown.add(&last.unwrap_err().to_string());
        shown.add(&(client.realtime(), client.realtime().states(), &client));
        let handle = events.on(|_| {});
        shown.add(&handle);
        shown.has_none_of(&[("key", KEY), ("token", token), ("secret", SECRET)]);
        assert!(shown.text().contains("realtime"), "tracing was heard");
    })
    .await;
}

#[tokio::test]
async fn clients_of_one_family_have_streams_and_events_of_their_own() {
    within(60, async {
        let ground = Ground::new().await;
        let guest = client(&ground.proxy.url);
        let (alice, bob) = (guest.with_session(SessionSource::Guest), guest.with_session(SessionSource::Guest));
        let ids = [sign_in(&alice, ALICE).await.user_id(), sign_in(&bob, BOB).await.user_id()];
        let mut notes = [subscribe(&alice, "private_notes").await, subscribe(&bob, "private_notes").await];
        let mut nobodys = subscribe(&guest, "private_notes").await;
        let mut published = subscribe(&guest, "published_only").await;
        for (id, body) in [(&ids[0], "alice 1"), (&ids[1], "bob 1"), (&ids[0], "alice 2"), (&ids[1], "bob 2")] {
            note(&ground, id, body).await;
        }
        publish(&ground, "all", true).await;
        let [alices, bobs] = &mut notes;
        assert_eq!(sorted(lines(alices).await), ["create live alice 1", "create live alice 2"]);
        assert_eq!(sorted(lines(bobs).await), ["create live bob 1", "create live bob 2"]);
        assert_eq!(next(&mut published).await, "create live all");
        assert_eq!(ground.streams().await, 3);
        // One who leaves takes nobody along.
        alice.auth().sign_out().await.unwrap();
        assert_eq!(next(alices).await, "resync auth_changed");
        note(&ground, &ids[1], "bob 3").await;
        assert_eq!(next(bobs).await, "create live bob 3");
        assert_eq!(ground.streams().await, 4);
        guest.realtime().unsubscribe_all();
        assert!(nobodys.next().await.is_none());
        assert_eq!(bob.realtime().state(), RealtimeState::Connected);
    })
    .await;
}

#[tokio::test]
async fn a_new_stream_asks_whether_the_session_lives_and_keeps_its_token() {
    within(60, async {
        let ground = Ground::new().await;
        let clock = Skewed::new(0);
        let client = builder(&ground.proxy.url).runtime(clock.clone()).build().unwrap();
        let first = sign_in(&client, ALICE).await;
        let mut events = subscribe(&client, "private_notes").await;
        assert_eq!(refreshes(&ground).await, 0, "the first stream asks nothing");
        let (told, _listener) = heard(&client);
        // Within the same second the server gives the same token again.
        tokio::time::sleep(ms(1000)).await;
        ground.rotate(&client).await;
        assert_eq!(refreshes(&ground).await, 1);
        ground.gap(note(&ground, &first.user_id(), "one")).await;
        assert_eq!(next(&mut events).await, "create catchup one");
        assert!(refreshes(&ground).await >= 2);
        assert!(client.auth().session().unwrap().token() == first.token(), "the token is kept");
        assert_eq!(*told.lock().unwrap(), [InitialSession]);
        // After most of the token's five days a refresh is due, and its answer is kept.
        clock.set(1000 * 3600 * 24 * 119 / 25);
        let (asked, sent) = (refreshes(&ground).await, realtime_log(&ground).await.len());
        ground.rotate(&client).await;
        let new = client.auth().session().unwrap();
        assert!(new.token() != first.token(), "the new token is kept");
        assert_eq!(*told.lock().unwrap(), [InitialSession, TokenRefreshed]);
        assert_eq!(refreshes(&ground).await, asked + 1);
        let token = Some(new.token().to_string());
        let log = realtime_log(&ground).await.split_off(sent);
        assert!(log == [("stream", token.clone()), ("submit", token)], "one submit");
        note(&ground, &first.user_id(), "two").await;
        assert_eq!(next(&mut events).await, "create live two");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_never_sees_the_token_of_the_first() {
    within(60, async {
        let (first, second) = (Ground::new().await, Ground::new().await);
        for n in 0..10 {
            let client = client(&first.proxy.url);
            sign_in(&client, ALICE).await;
            let mut events = subscribe(&client, "published_only").await;
            client.set_url(&second.proxy.url).await.unwrap();
            assert!(client.auth().session().is_none());
            publish(&first, "elsewhere", true).await;
            assert_eq!(next(&mut events).await, "resync auth_changed");
            publish(&second, "users", false).await;
            let title = format!("all {n}");
            publish(&second, &title, true).await;
            assert_eq!(next(&mut events).await, format!("create live {title}"));
        }
        let log = second.proxy.requests().await;
        assert!(log.iter().all(|r| !r.headers.contains_key("authorization")), "the token went to another server");
        assert!(calls(&log, "auth-refresh").is_empty());
    })
    .await;
}

#[tokio::test]
async fn another_server_with_the_session_kept() {
    within(60, async {
        let (first, second) = (Ground::new().await, Ground::new().await);
        let client = client(&first.proxy.url);
        let alice = sign_in(&client, ALICE).await;
        let mut events = subscribe(&client, "private_notes").await;
        note(&first, &alice.user_id(), "one").await;
        assert_eq!(next(&mut events).await, "create live one");
        client.set_url(&second.proxy.url).keep_session().await.unwrap();
        assert_eq!(next(&mut events).await, "resync auth_changed");
        note(&first, &alice.user_id(), "two").await;
        note(&second, &alice.user_id(), "three").await;
        assert_eq!(next(&mut events).await, "create live three");
        first.proxy.wait_for(1, PATIENCE, |r| is_stream(r) && r.ended_ms.is_some()).await;
        assert_eq!((first.streams().await, second.streams().await), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn the_url_is_set_before_the_first_use() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client("http://127.0.0.1:9");
        client.set_url(&ground.proxy.url).await.unwrap();
        let mut events = subscribe(&client, "published_only").await;
        publish(&ground, "all", true).await;
        assert_eq!(next(&mut events).await, "create live all");
        assert_eq!(realtime_log(&ground).await, [("stream", None), ("submit", None)]);
    })
    .await;
}
