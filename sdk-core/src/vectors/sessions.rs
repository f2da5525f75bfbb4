//! Tokens, cookies, and whole histories of a session.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::poll_fn, stream::FuturesUnordered};
use serde_json::{Value, json};

use super::text;
use crate::{
    auth::{
        AuthListener, CookieOptions, SameSite, Session, Store,
        token::{Claims, RefreshAction, refresh_action},
    },
    client::Client,
    error::Error,
    json::Json,
    runtime::{BoxFuture, Runtime},
    transport::{Failure, Headers, MemoryTransport, Method, Request, Response, TransportError},
};

pub(super) fn tokens(given: &Value, _: &Value) -> Result<Value, Error> {
    let claims = Claims::read(text(given, "token"));
    let now = given["now"].as_i64().unwrap();
    Ok(match claims {
        None => json!({
            "valid_shape": false, "exp": null, "id": null, "collection_id": null, "type": null, "refreshable": true,
            "expired": true,
        }),
        Some(claims) => json!({
            "valid_shape": true,
            "exp": claims.exp,
            "id": claims.id,
            "collection_id": claims.collection_id,
            "type": claims.kind,
            "refreshable": claims.refreshable,
            "expired": claims.expired(now),
        }),
    })
}

pub(super) fn refresh(given: &Value, _: &Value) -> Result<Value, Error> {
    let number = |name: &str| given[name].as_i64();
    let claims = Claims {
        exp: number("exp"),
        id: None,
        collection_id: None,
        kind: None,
        refreshable: given["refreshable"].as_bool().unwrap(),
    };
    let (received, now) = (number("received_at").unwrap(), number("now").unwrap());
    let loaded = given["loaded"].as_bool().unwrap();
    let action = match refresh_action(&claims, received, loaded, now, number("last_attempt_at")) {
        RefreshAction::None => "none",
        RefreshAction::Refresh => "refresh",
        RefreshAction::AskFirst => "ask_first",
        RefreshAction::Ended => "ended",
    };
    Ok(json!({"action": action}))
}

pub(super) fn cookies(given: &Value, wanted: &Value) -> Result<Value, Error> {
    if given.get("cookie_header").is_some() { Ok(imported(given)) } else { Ok(exported(given, wanted)) }
}

fn imported(given: &Value) -> Value {
    let name = given["name"].as_str().unwrap_or("pb_auth");
    let session = Session::from_cookies(text(given, "cookie_header"), name);
    let shown = |s: Session| json!({"token": s.token(), "record": s.record_json().decode::<Value>().unwrap()});
    json!({"session": session.map(shown)})
}

fn exported(given: &Value, wanted: &Value) -> Value {
    let options = cookie_options(&given["options"]);
    let existing = super::texts(&given["existing"]);
    let session = &given["session"];
    let cookies = match session.is_object() {
        true => {
            let record = Json::encode(&session["record"]).unwrap();
            Session::new(text(session, "token").to_string(), record).to_cookies(&options, &existing)
        }
        false => options.removal(&existing),
    };
    let read = |cookie: &String| {
        assert!(cookie.len() <= 4096, "a cookie of {} bytes", cookie.len());
        let mut parts = cookie.split("; ");
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let attributes: Vec<&str> = parts.collect();
        json!({"name": name, "value": value, "attributes": attributes})
    };
    let mut cookies: Vec<Value> = cookies.iter().map(read).collect();
    // Attributes are a set: those that are the wanted ones stand in the wanted order.
    for (came, wanted) in cookies.iter_mut().zip(wanted["cookies"].as_array().into_iter().flatten()) {
        let sorted = |list: &Value| {
            let mut list: Vec<String> = super::texts(list).into_iter().map(str::to_string).collect();
            list.sort_unstable();
            list
        };
        if sorted(&came["attributes"]) == sorted(&wanted["attributes"]) {
            came["attributes"] = wanted["attributes"].clone();
        }
    }
    json!({"cookies": cookies})
}

fn cookie_options(given: &Value) -> CookieOptions {
    given.as_object().into_iter().flatten().fold(CookieOptions::default(), |options, (name, value)| {
        let text = value.as_str().unwrap_or_default();
        match name.as_str() {
            "name" => options.name(text),
            "path" => options.path(text),
            "domain" => options.domain(text),
            "max_age" => options.max_age(Duration::from_secs(value.as_u64().unwrap())),
            "secure" => options.secure(value.as_bool().unwrap()),
            "http_only" => options.http_only(value.as_bool().unwrap()),
            "same_site" => options.same_site(match text {
                "strict" => SameSite::Strict,
                "lax" => SameSite::Lax,
                "none" => SameSite::None,
                other => panic!("{other}"),
            }),
            other => panic!("{other}"),
        }
    })
}

/// A clock that only the test moves. Time limits never pass, unless it has timers; work that is spawned waits to be
/// polled.
#[derive(Default)]
pub(super) struct FakeRuntime {
    now: AtomicU64,
    /// Since when the client runs, in Unix milliseconds, where there are timers.
    timers_since: Option<u64>,
    timers: Mutex<Vec<Weak<Timer>>>,
    browser: AtomicBool,
    spawned: Mutex<Vec<BoxFuture<'static, ()>>>,
}

/// When it is due, and who waits for it.
struct Timer {
    at: u64,
    waker: Mutex<Option<Waker>>,
}

impl FakeRuntime {
    /// `now` in Unix seconds.
    pub(super) fn new(now: u64) -> Arc<FakeRuntime> {
        let runtime = FakeRuntime::default();
        runtime.set_now(now);
        Arc::new(runtime)
    }

    /// One whose timers go off when the test has moved the clock there. `now` in Unix milliseconds.
    pub(super) fn with_timers(now: u64) -> Arc<FakeRuntime> {
        let runtime = FakeRuntime { timers_since: Some(now), ..FakeRuntime::default() };
        runtime.set_now_ms(now);
        Arc::new(runtime)
    }

    /// When the next timer is due.
    pub(super) fn next_timer(&self) -> Option<u64> {
        let mut timers = self.timers.lock().unwrap();
        timers.retain(|timer| timer.strong_count() > 0);
        let due = |timer: &Weak<Timer>| Some(timer.upgrade()?.at).filter(|at| *at > self.now());
        timers.iter().filter_map(due).min()
    }

    pub(super) fn set_now(&self, seconds: u64) {
        self.set_now_ms(seconds * 1000);
    }

    pub(super) fn set_now_ms(&self, ms: u64) {
        self.now.store(ms, Ordering::Relaxed);
        for timer in self.timers.lock().unwrap().iter().filter_map(Weak::upgrade).filter(|timer| timer.at <= ms) {
            if let Some(waker) = timer.waker.lock().unwrap().take() {
                waker.wake();
            }
        }
    }

    pub(super) fn set_browser(&self, browser: bool) {
        self.browser.store(browser, Ordering::Relaxed);
    }
}

impl Runtime for FakeRuntime {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.timers_since.map_or(0, |since| self.now() - since))
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        if self.timers_since.is_none() {
            return Box::pin(std::future::pending());
        }
        // A timer never goes off early.
        let wait = u64::try_from(time.as_micros().div_ceil(1000)).unwrap();
        let timer = Arc::new(Timer { at: self.now() + wait, waker: Mutex::new(None) });
        self.timers.lock().unwrap().push(Arc::downgrade(&timer));
        let over = wait == 0;
        let mut waited = false;
        Box::pin(poll_fn(move |cx| {
            let woken = waited && timer.waker.lock().unwrap().is_none();
            waited = true;
            if over || woken {
                return Poll::Ready(());
            }
            *timer.waker.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        }))
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        bytes.fill(7);
        Ok(())
    }

    fn sha256(&self, _: &[u8]) -> BoxFuture<'static, Result<[u8; 32], Error>> {
        Box::pin(std::future::ready(Ok([0; 32])))
    }

    fn spawn(&self, work: BoxFuture<'static, ()>) {
        self.spawned.lock().unwrap().push(work);
    }

    fn is_browser(&self) -> bool {
        self.browser.load(Ordering::Relaxed)
    }
}

pub(super) fn session_life(given: &Value, wanted: &Value) -> Result<Value, Error> {
    let mut world = World::new(given);
    let start = given["start"].as_u64().unwrap();
    for step in given["steps"].as_array().unwrap() {
        world.runtime.set_now(start + step["at"].as_u64().unwrap());
        world.step(step);
        world.rest();
    }
    Ok(world.outcome(wanted))
}

/// A client, what it sends to, and the tasks that use it.
struct World {
    /// Names and values.
    tokens: Vec<(String, String)>,
    key: Option<String>,
    runtime: Arc<FakeRuntime>,
    server: Arc<Mutex<Server>>,
    stored: Slot,
    client: Option<Client>,
    listeners: Vec<(AuthListener, Events)>,
    tasks: Tasks,
    calls: Vec<Arc<Mutex<Value>>>,
}

pub(super) type Tasks = FuturesUnordered<Pin<Box<dyn Future<Output = ()>>>>;
type Slot = Arc<Mutex<Option<String>>>;
type Events = Arc<Mutex<Vec<(&'static str, Option<String>)>>>;

/// The server of a script.
#[derive(Default)]
struct Server {
    /// The Authorization of the calls, by their number.
    authorizations: Vec<(String, Option<String>)>,
    /// Path and Authorization of each auth-refresh.
    refreshes: Vec<(String, String)>,
    waiting: Vec<Weak<Mutex<Waiting>>>,
    /// What the next sign-in, update or delete is answered.
    answers: VecDeque<(u16, String)>,
}

/// An auth-refresh that waits for its answer.
#[derive(Default)]
struct Waiting {
    answer: Option<Result<(u16, String), ()>>,
    waker: Option<Waker>,
}

/// A store that the test can look into.
struct PeekStore(Slot);

impl Store for PeekStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(std::future::ready(Ok(self.0.lock().unwrap().clone())))
    }

    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
        *self.0.lock().unwrap() = Some(session);
        Box::pin(std::future::ready(Ok(())))
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        *self.0.lock().unwrap() = None;
        Box::pin(std::future::ready(Ok(())))
    }
}

impl World {
    fn new(given: &Value) -> World {
        let tokens = given["tokens"].as_object().unwrap();
        World {
            tokens: tokens.iter().map(|(name, token)| (name.clone(), token.as_str().unwrap().to_string())).collect(),
            key: given["key"].as_str().map(str::to_string),
            runtime: FakeRuntime::new(0),
            server: Arc::default(),
            stored: Arc::default(),
            client: None,
            listeners: Vec::new(),
            tasks: FuturesUnordered::new(),
            calls: Vec::new(),
        }
    }

    fn step(&mut self, step: &Value) {
        match text(step, "do") {
            "load" => self.load(&step["stored"]),
            "listen" => self.listen(),
            "call" => self.call(|client, n| {
                let call = client.collection("posts").get_list(1, 30).header("X-Call", n);
                Box::pin(async move { call.await.map(|_| ()) })
            }),
            "health" => self.call(|client, n| {
                let call = client.health().header("X-Call", n);
                Box::pin(async move { call.await.map(|_| ()) })
            }),
            "refresh_answer" => self.answer_refresh(step),
            "sign_in" => {
                self.answers_next(200, &self.auth_answer(step));
                self.run(|client| {
                    Box::pin(async move { client.auth().sign_in("a@example.com", "secret").await.map(|_| ()) })
                });
            }
            "sign_out" => self.run(|client| Box::pin(async move { client.auth().sign_out().await })),
            "update_record" => {
                self.answers_next(200, &step["answer"]);
                let (collection, id) = (text(step, "collection").to_string(), text(step, "id").to_string());
                self.run(|client| {
                    let update = client.collection(&collection).update(&id, &json!({"name": "new"}));
                    Box::pin(async move { update.await.map(|_| ()) })
                });
            }
            "delete_record" => {
                self.server.lock().unwrap().answers.push_back((204, String::new()));
                let (collection, id) = (text(step, "collection").to_string(), text(step, "id").to_string());
                self.run(|client| {
                    let delete = client.collection(&collection).delete(&id);
                    Box::pin(async move { delete.await })
                });
            }
            other => panic!("{other}"),
        }
    }

    fn load(&mut self, stored: &Value) {
        if stored.is_object() {
            let token = self.token(text(stored, "token"));
            *self.stored.lock().unwrap() = Some(json!({"token": token, "record": stored["record"]}).to_string());
        }
        let server = self.server.clone();
        let client = Client::builder()
            .url("https://h")
            .api_key(self.key.as_deref().unwrap_or_default())
            .runtime(self.runtime.clone())
            .store(PeekStore(self.stored.clone()))
            .transport(MemoryTransport::new(move |request| answer(server.clone(), request)))
            .max_retries(0)
            .build()
            .unwrap();
        self.client = Some(client);
        self.listen();
    }

    fn listen(&mut self) {
        let events = Events::default();
        let told = events.clone();
        let listener = self.client().auth().on_change(move |change| {
            let token = change.session.as_ref().map(|session| session.token().to_string());
            told.lock().unwrap().push((change.event.as_str(), token));
        });
        self.listeners.push((listener, events));
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    fn token(&self, name: &str) -> String {
        self.tokens.iter().find(|(other, _)| other == name).unwrap().1.clone()
    }

    fn name(&self, token: &str) -> String {
        match self.tokens.iter().find(|(_, other)| other == token) {
            Some((name, _)) => name.clone(),
            None => panic!("an unknown token"),
        }
    }

    fn auth_answer(&self, step: &Value) -> Value {
        json!({"token": self.token(text(step, "token")), "record": step["record"]})
    }

    fn answers_next(&self, status: u16, answer: &Value) {
        self.server.lock().unwrap().answers.push_back((status, answer.to_string()));
    }

    /// Work that must succeed.
    fn run(&mut self, work: impl FnOnce(Client) -> BoxFuture<'static, Result<(), Error>>) {
        let work = work(self.client().clone());
        self.tasks.push(Box::pin(async move { work.await.unwrap() }));
    }

    /// A call whose outcome is asked for.
    fn call(&mut self, make: impl FnOnce(Client, String) -> BoxFuture<'static, Result<(), Error>>) {
        let n = self.calls.len().to_string();
        let outcome = Arc::new(Mutex::new(json!("still waiting")));
        self.calls.push(outcome.clone());
        let (server, key) = (self.server.clone(), self.key.clone());
        let tokens = self.tokens.clone();
        let work = make(self.client().clone(), n.clone());
        self.tasks.push(Box::pin(async move {
            let result = work.await;
            *outcome.lock().unwrap() = match result {
                Err(error) => json!({"error": error.kind().as_str()}),
                Ok(()) => {
                    let server = server.lock().unwrap();
                    let sent = server.authorizations.iter().find(|(call, _)| *call == n).unwrap().1.as_deref();
                    let bearer = key.map(|key| format!("Bearer {key}"));
                    let named = |sent: &str| tokens.iter().find(|(_, token)| token == sent).unwrap().0.clone();
                    json!({"authorization": match sent {
                        None => "none".to_string(),
                        Some(sent) if Some(sent) == bearer.as_deref() => "key".to_string(),
                        Some(sent) => named(sent),
                    }})
                }
            };
        }));
    }

    fn answer_refresh(&mut self, step: &Value) {
        let answer = match step["status"].as_u64() {
            None => Err(()),
            Some(200) => Ok((200, self.auth_answer(step).to_string())),
            Some(status) => Ok((u16::try_from(status).unwrap(), json!({"message": "no", "data": {}}).to_string())),
        };
        let mut server = self.server.lock().unwrap();
        let waits = |waiting: &Arc<Mutex<Waiting>>| waiting.lock().unwrap().answer.is_none();
        let waiting = server.waiting.iter().filter_map(Weak::upgrade).find(waits).expect("no auth-refresh waits");
        let mut waiting = waiting.lock().unwrap();
        waiting.answer = Some(answer);
        let waker = waiting.waker.take();
        drop(waiting);
        server.waiting.retain(|waiting| waiting.strong_count() > 0);
        drop(server);
        waker.unwrap().wake();
    }

    fn rest(&mut self) {
        rest(&self.runtime, &mut self.tasks);
    }

    fn outcome(&self, wanted: &Value) -> Value {
        let server = self.server.lock().unwrap();
        let events = |n: usize| -> Value {
            let Some((_, events)) = self.listeners.get(n) else { return Value::Null };
            let shown = |(event, token): &(&str, Option<String>)| json!({"event": event, "token": token.as_deref().map(|token| self.name(token))});
            events.lock().unwrap().iter().map(shown).collect()
        };
        let stored = self.stored.lock().unwrap().as_deref().map(|text| {
            let stored: Value = serde_json::from_str(text).unwrap();
            self.name(stored["token"].as_str().unwrap())
        });
        let refreshed_in = |(n, (path, _)): (usize, &(String, String))| {
            let name = path.split('/').nth(3).unwrap();
            let allowed = &wanted["refresh_collections"][n];
            if super::texts(allowed).contains(&name) { allowed.clone() } else { json!([name]) }
        };
        json!({
            "events": events(0),
            "late_events": events(1),
            "calls": self.calls.iter().map(|call| call.lock().unwrap().clone()).collect::<Value>(),
            "refreshes": server.refreshes.iter().map(|(_, token)| json!(self.name(token))).collect::<Value>(),
            "refresh_collections": server.refreshes.iter().enumerate().map(refreshed_in).collect::<Value>(),
            "stored": stored,
            "user": self.client().auth().session().map(|s| s.record_json().decode::<Value>().unwrap()),
        })
    }
}

/// Polls whoever was woken, until nobody is.
pub(super) fn rest(runtime: &FakeRuntime, tasks: &mut Tasks) {
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        let spawned = std::mem::take(&mut *runtime.spawned.lock().unwrap());
        let news = !spawned.is_empty();
        for work in spawned {
            tasks.push(work);
        }
        let done = matches!(tasks.poll_next_unpin(&mut cx), Poll::Ready(Some(())));
        if !news && !done && !flag.0.swap(false, Ordering::Relaxed) {
            return;
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers a request of the client.
async fn answer(server: Arc<Mutex<Server>>, request: Request) -> Result<Response, TransportError> {
    let sent = request.headers.get("Authorization").map(str::to_string);
    if request.path().ends_with("/auth-refresh") {
        assert_eq!(request.method, Method::Post);
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        {
            let mut server = server.lock().unwrap();
            server.refreshes.push((request.path().to_string(), sent.unwrap()));
            server.waiting.push(Arc::downgrade(&waiting));
        }
        let answered = poll_fn(|cx| {
            let mut waiting = waiting.lock().unwrap();
            waiting.waker = Some(cx.waker().clone());
            waiting.answer.take().map_or(Poll::Pending, Poll::Ready)
        });
        let broken = |()| TransportError::new(Failure::Broken, "the connection broke");
        let (status, body) = answered.await.map_err(broken)?;
        return Ok(Response::new(status, Headers::new(), body));
    }
    let mut server = server.lock().unwrap();
    if let Some(call) = request.headers.get("X-Call") {
        server.authorizations.push((call.to_string(), sent));
        let page = r#"{"page":1,"perPage":30,"totalItems":0,"totalPages":0,"items":[]}"#;
        let health = r#"{"code":200,"message":"API is healthy.","data":{}}"#;
        let body = if request.path() == "/api/health" { health } else { page };
        return Ok(Response::new(200, Headers::new(), body));
    }
    let (status, body) = server.answers.pop_front().expect("an unexpected request");
    Ok(Response::new(status, Headers::new(), body))
}

#[test]
fn a_refresh_goes_on_when_the_call_that_began_it_was_dropped() {
    let token = |exp: u64| {
        let payload = crate::auth::token::base64url_encode(
            json!({"id": "u1", "collectionId": "_pb_users_auth_", "type": "auth", "exp": exp}).to_string().as_bytes(),
        );
        format!("h.{payload}.s")
    };
    let record = json!({"id": "u1", "collectionId": "_pb_users_auth_"});
    let mut world = World::new(&json!({"tokens": {"A": token(1000), "B": token(2000)}}));
    world.runtime.set_now(0);
    world.step(&json!({"do": "load", "stored": {"token": "A", "record": record}}));
    world.rest();
    world.runtime.set_now(950);
    let mut call = Box::pin(world.client().collection("posts").get_list(1, 30).header("X-Call", "0").into_future());
    assert!(call.as_mut().now_or_never().is_some());
    drop(call);
    world.step(&json!({"do": "refresh_answer", "status": 200, "token": "B", "record": record}));
    world.rest();
    assert_eq!(world.client().auth().session().unwrap().token(), token(2000));
}
