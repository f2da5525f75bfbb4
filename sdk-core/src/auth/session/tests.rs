//! A store that somebody else writes to as well: another tab, another process.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;

use super::*;
use crate::{
    auth::{AuthListener, token::base64url_encode},
    transport::{Headers, MemoryTransport, Response},
};

/// A token of that user; `n` tells the tokens of one user apart.
fn token(user: &str, n: u32) -> String {
    let claims = format!(r#"{{"id":"{user}","collectionId":"c1","n":{n},"exp":4102444800}}"#);
    format!("h.{}.s", base64url_encode(claims.as_bytes()))
}

fn session(user: &str, n: u32, name: &str) -> Session {
    let record = Json::object([("id", Json::string(user)), ("name", Json::string(name))]);
    Session::new(token(user, n), record)
}

/// What both sides write to. A load or a save can be made to wait.
#[derive(Default)]
struct Shared {
    slot: Mutex<Option<String>>,
    loads: Mutex<u32>,
    /// Saves and removals of the client.
    writes: Mutex<u32>,
    unreadable: Mutex<bool>,
    slow_load: Mutex<Option<Arc<Notify>>>,
    slow_save: Mutex<Option<Arc<Notify>>>,
}

#[derive(Clone, Default)]
struct SharedStore(Arc<Shared>);

impl SharedStore {
    /// The other side writes.
    fn put(&self, session: Option<&Session>) {
        *self.0.slot.lock().unwrap() = session.map(Session::to_stored);
    }

    fn text(&self) -> Option<String> {
        self.0.slot.lock().unwrap().clone()
    }

    fn writes(&self) -> u32 {
        *self.0.writes.lock().unwrap()
    }

    async fn write(&self, session: Option<String>) {
        let slow = self.0.slow_save.lock().unwrap().take();
        if let Some(slow) = slow {
            slow.notified().await;
        }
        *self.0.slot.lock().unwrap() = session;
        *self.0.writes.lock().unwrap() += 1;
    }
}

impl Store for SharedStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(async {
            if *self.0.unreadable.lock().unwrap() {
                return Err(Error::new(ErrorKind::Storage, "unreadable"));
            }
            *self.0.loads.lock().unwrap() += 1;
            let text = self.text();
            let slow = self.0.slow_load.lock().unwrap().take();
            if let Some(slow) = slow {
                slow.notified().await;
            }
            Ok(text)
        })
    }

    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.write(Some(session)).await;
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.write(None).await;
            Ok(())
        })
    }
}

type Events = Arc<Mutex<Vec<(&'static str, Option<String>)>>>;

/// A client on that store, what the next refresh is answered when `answer` is told, and what a listener hears.
struct World {
    client: Client,
    store: SharedStore,
    answer: Arc<Notify>,
    events: Events,
    _listener: AuthListener,
}

async fn world(first: Option<&Session>, refreshed: Option<&Session>) -> World {
    let store = SharedStore::default();
    store.put(first);
    let answer = Arc::new(Notify::new());
    let (status, body) = match refreshed {
        Some(session) => (200, session.to_stored()),
        None => (401, "{}".to_string()),
    };
    let waiting = answer.clone();
    let transport = MemoryTransport::new(move |_| {
        let (waiting, body) = (waiting.clone(), body.clone());
        async move {
            waiting.notified().await;
            let mut headers = Headers::new();
            headers.set("content-type", "application/json");
            Ok(Response::new(status, headers, body))
        }
    });
    let builder = Client::builder().url("http://memory").transport(transport).store(store.clone());
    let client = builder.build().unwrap();
    let events = Events::default();
    let sink = events.clone();
    let listener = client.auth().on_change(move |change| {
        let token = change.session.as_ref().map(|session| session.token().to_string());
        sink.lock().unwrap().push((change.event.as_str(), token));
    });
    client.auth().ready().await.unwrap();
    events.lock().unwrap().clear();
    World { client, store, answer, events, _listener: listener }
}

impl World {
    fn events(&self) -> Vec<(&'static str, Option<String>)> {
        self.events.lock().unwrap().clone()
    }

    fn current(&self) -> Option<String> {
        self.client.auth().session().map(|session| session.to_stored())
    }

    /// Begins a refresh that waits for its answer.
    async fn begin_refresh(&self) -> tokio::task::JoinHandle<Result<Session, Error>> {
        let auth = self.client.auth();
        let running = tokio::spawn(async move { auth.refresh().await });
        settle().await;
        running
    }
}

/// Lets what has been spawned go as far as it can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn what_others_wrote_is_taken_over_and_told_once() {
    let (ada, bob) = (session("ada", 1, "Ada"), session("bob", 1, "Bob"));
    let (again, renamed, moved) = (session("ada", 2, "Ada"), session("ada", 1, "Ada L."), session("ada", 2, "Ada L."));
    let cases = [
        (None, None, None),
        (None, Some(&ada), Some("SIGNED_IN")),
        (Some(&ada), None, Some("SIGNED_OUT")),
        (Some(&ada), Some(&ada), None),
        (Some(&ada), Some(&bob), Some("SIGNED_IN")),
        (Some(&ada), Some(&again), Some("TOKEN_REFRESHED")),
        (Some(&ada), Some(&renamed), Some("USER_UPDATED")),
        (Some(&ada), Some(&moved), Some("USER_UPDATED")),
    ];
    for (before, after, event) in cases {
        let world = world(before, None).await;
        world.store.put(after);
        for _ in 0..2 {
            world.client.auth().sync_from_store().await.unwrap();
        }
        let told: Vec<_> = event.map(|e| (e, after.map(|s| s.token().to_string()))).into_iter().collect();
        assert_eq!(world.events(), told);
        assert_eq!(world.current(), after.map(Session::to_stored), "{event:?}");
        assert_eq!(world.store.writes(), 0, "what came from the store is not written to it: {event:?}");
    }
}

#[tokio::test]
async fn before_the_first_load_it_is_that_load() {
    let ada = session("ada", 1, "Ada");
    let store = SharedStore::default();
    store.put(Some(&ada));
    let client = Client::builder().url("http://memory").store(store.clone()).build().unwrap();
    let events = Events::default();
    let sink = events.clone();
    let _listener = client.auth().on_change(move |change| sink.lock().unwrap().push((change.event.as_str(), None)));
    client.auth().sync_from_store().await.unwrap();
    assert_eq!(*events.lock().unwrap(), [("INITIAL_SESSION", None)]);
    assert_eq!(client.auth().session().unwrap().token(), ada.token());
}

#[tokio::test]
async fn an_ended_session_goes_on_with_another_tabs_sign_in() {
    let (ada, again) = (session("ada", 1, "Ada"), session("ada", 2, "Ada"));
    let world = world(Some(&ada), None).await;
    world.answer.notify_one();
    assert!(world.client.auth().refresh().await.is_err());
    world.client.auth().sync_from_store().await.unwrap();
    assert_eq!(world.events(), [("SESSION_EXPIRED", None)], "that nothing is there is known");
    world.store.put(Some(&again));
    world.client.auth().sync_from_store().await.unwrap();
    assert_eq!(world.events()[1..], [("SIGNED_IN", Some(again.token().to_string()))]);
    assert!(!world.client.session.viewer().ended);
}

#[tokio::test]
async fn a_refresh_of_the_same_user_that_ends_later_wins_everywhere() {
    let (ada, theirs, ours) = (session("ada", 1, "Ada"), session("ada", 2, "Ada"), session("ada", 3, "Ada"));
    let world = world(Some(&ada), Some(&ours)).await;
    let refresh = world.begin_refresh().await;
    world.store.put(Some(&theirs));
    world.client.auth().sync_from_store().await.unwrap();
    assert_eq!(world.current(), Some(theirs.to_stored()));
    world.answer.notify_one();
    assert_eq!(refresh.await.unwrap().unwrap().token(), ours.token());
    assert_eq!((world.current(), world.store.text()), (Some(ours.to_stored()), Some(ours.to_stored())));
    let names: Vec<_> = world.events().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["TOKEN_REFRESHED", "TOKEN_REFRESHED"]);
}

#[tokio::test]
async fn a_refresh_of_a_user_who_is_gone_means_nothing() {
    let (ada, bob, ours) = (session("ada", 1, "Ada"), session("bob", 1, "Bob"), session("ada", 2, "Ada"));
    for (theirs, event) in [(Some(&bob), "SIGNED_IN"), (None, "SIGNED_OUT")] {
        let world = world(Some(&ada), Some(&ours)).await;
        let refresh = world.begin_refresh().await;
        world.store.put(theirs);
        world.client.auth().sync_from_store().await.unwrap();
        world.answer.notify_one();
        let _ = refresh.await.unwrap();
        assert_eq!(world.current(), theirs.map(Session::to_stored));
        assert_eq!(world.store.text(), theirs.map(Session::to_stored));
        assert_eq!(world.events().len(), 1, "{:?}", world.events());
        assert_eq!(world.events()[0].0, event);
    }
}

#[tokio::test]
async fn a_refused_refresh_of_an_old_token_does_not_end_what_was_taken_over() {
    // The password was changed in the other tab: new token, changed record.
    let (ada, theirs) = (session("ada", 1, "Ada"), session("ada", 2, "Ada, changed"));
    let world = world(Some(&ada), None).await;
    let refresh = world.begin_refresh().await;
    world.store.put(Some(&theirs));
    world.client.auth().sync_from_store().await.unwrap();
    world.answer.notify_one();
    let _ = refresh.await.unwrap();
    assert_eq!(world.current(), Some(theirs.to_stored()));
    assert_eq!(world.store.text(), Some(theirs.to_stored()));
    assert_eq!(world.events(), [("USER_UPDATED", Some(theirs.token().to_string()))]);
}

#[tokio::test]
async fn a_sign_in_while_the_store_is_read_wins() {
    let (ada, bob) = (session("ada", 1, "Ada"), session("bob", 1, "Bob"));
    let world = world(None, None).await;
    let read = Arc::new(Notify::new());
    *world.store.0.slow_load.lock().unwrap() = Some(read.clone());
    world.store.put(Some(&bob));
    let auth = world.client.auth();
    let sync = tokio::spawn(async move { auth.sync_from_store().await });
    settle().await;
    world.client.auth().set_session(ada.clone()).await.unwrap();
    read.notify_one();
    sync.await.unwrap().unwrap();
    assert_eq!((world.current(), world.store.text()), (Some(ada.to_stored()), Some(ada.to_stored())));
    assert_eq!(world.events(), [("SIGNED_IN", Some(ada.token().to_string()))]);
}

#[tokio::test]
async fn a_change_of_our_own_is_written_before_the_store_is_read() {
    let (ada, bob) = (session("ada", 1, "Ada"), session("bob", 1, "Bob"));
    let world = world(None, None).await;
    let write = Arc::new(Notify::new());
    *world.store.0.slow_save.lock().unwrap() = Some(write.clone());
    let (auth, ours) = (world.client.auth(), ada.clone());
    let sign_in = tokio::spawn(async move { auth.set_session(ours).await });
    settle().await;
    world.store.put(Some(&bob));
    let auth = world.client.auth();
    let sync = tokio::spawn(async move { auth.sync_from_store().await });
    settle().await;
    write.notify_one();
    sign_in.await.unwrap().unwrap();
    sync.await.unwrap().unwrap();
    assert_eq!((world.current(), world.store.text()), (Some(ada.to_stored()), Some(ada.to_stored())));
    assert_eq!(world.events().len(), 1);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_changes_nothing_and_a_damaged_one_signs_out() {
    let ada = session("ada", 1, "Ada");
    let world = world(Some(&ada), None).await;
    *world.store.0.unreadable.lock().unwrap() = true;
    assert_eq!(world.client.auth().sync_from_store().await.unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(world.current(), Some(ada.to_stored()));
    *world.store.0.unreadable.lock().unwrap() = false;
    *world.store.0.slot.lock().unwrap() = Some("{\"token\": \"ha".to_string());
    world.client.auth().sync_from_store().await.unwrap();
    assert_eq!(world.events(), [("SIGNED_OUT", None)]);
}

/// What an instance answers: a sign-in or a refresh with that session, all else with a token and an empty list.
fn answers(session: &Session, counts: &Arc<Mutex<Vec<String>>>) -> MemoryTransport {
    let (signed_in, counts) = (session.to_stored(), counts.clone());
    MemoryTransport::new(move |request| {
        let path = request.path().to_string();
        let body = match path.rsplit('/').next() {
            Some("auth-with-password" | "auth-refresh") => signed_in.clone(),
            _ => r#"{"token":"t","page":1,"perPage":1,"totalItems":0,"totalPages":0,"items":[]}"#.to_string(),
        };
        counts.lock().unwrap().push(path);
        async move {
            let mut headers = Headers::new();
            headers.set("content-type", "application/json");
            Ok(Response::new(200, headers, body))
        }
    })
}

/// Threads that come when the work of another has just ended find it done.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_come_together_do_each_thing_once() {
    for round in 0..2000 {
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let claims = format!(r#"{{"id":"ada","collectionId":"c1","refreshable":true,"exp":{}}}"#, now + 30);
        let old = Session::new(
            format!("h.{}.s", base64url_encode(claims.as_bytes())),
            Json::object([("id", Json::string("ada"))]),
        );
        let (store, requests) = (SharedStore::default(), Arc::default());
        let builder = Client::builder().url("http://memory").transport(answers(&session("ada", 1, "Ada"), &requests));
        let builder = builder.credentials(Credentials::new("ada@example.com", "secret"));
        let is_signed_in = round % 2 == 0;
        store.put(is_signed_in.then_some(&old));
        let client = builder.store(store.clone()).build().unwrap();
        let start = Arc::new(tokio::sync::Barrier::new(4));
        let calls = (0..4).map(|_| {
            let (client, start) = (client.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                client.collection("posts").get_list(1, 1).await.unwrap();
                start.wait().await;
                client.files().get_token().await.unwrap();
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        client.auth().settled().await;
        let requests = requests.lock().unwrap();
        let count = |end: &str| requests.iter().filter(|path| path.ends_with(end)).count();
        let (signs_in, refreshes) = if is_signed_in { (0, 1) } else { (1, 0) };
        let done =
            (count("auth-with-password"), count("auth-refresh"), count("files/token"), *store.0.loads.lock().unwrap());
        assert_eq!(done, (signs_in, refreshes, 1, 1));
        assert!(store.writes() <= 1);
    }
}
