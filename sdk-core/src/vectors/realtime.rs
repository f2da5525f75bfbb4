//! Whole histories of a client's event stream: what it sends and when, and what its listeners are told.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, future::poll_fn};
use serde_json::{Value, json};

use super::{
    sessions::{FakeRuntime, Tasks, rest},
    text,
};
use crate::{
    client::Client,
    error::Error,
    json::Json,
    realtime::{Event, NetworkHint, RealtimeOptions, Subscription},
    runtime::BoxFuture,
    transport::{Body, Failure, Headers, MemoryTransport, Request, Response, ResponseBody, TransportError},
};

pub(super) fn realtime(given: &Value, _: &Value) -> Result<Value, Error> {
    let mut world = World::new(given)?;
    for step in given["steps"].as_array().unwrap() {
        world.go_to(step["at"].as_u64().unwrap());
        world.step(step);
        world.rest();
    }
    Ok(world.outcome())
}

struct World {
    start: u64,
    /// Names and values.
    tokens: Vec<(String, String)>,
    runtime: Arc<FakeRuntime>,
    requests: Requests,
    client: Client,
    listeners: Vec<Listener>,
    tasks: Tasks,
}

type Requests = Arc<Mutex<Vec<Sent>>>;

/// A request of the client, and what the script answers.
struct Sent {
    shown: Value,
    exchange: Arc<Mutex<Exchange>>,
}

#[derive(Default)]
struct Exchange {
    answer: Option<Result<(u16, Headers), ()>>,
    chunks: VecDeque<Result<Option<Bytes>, ()>>,
    waker: Option<Waker>,
    /// It was answered to its end.
    over: bool,
    /// The client has given it up.
    dropped: bool,
}

/// Notes when the client gives up an exchange.
struct Hold(Arc<Mutex<Exchange>>);

impl Hold {
    fn poll<T>(&self, cx: &Context<'_>, take: impl FnOnce(&mut Exchange) -> Option<T>) -> Poll<T> {
        let mut exchange = self.0.lock().unwrap();
        match take(&mut exchange) {
            Some(value) => Poll::Ready(value),
            None => {
                exchange.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.lock().unwrap().dropped = true;
    }
}

fn broken(_: ()) -> TransportError {
    TransportError::new(Failure::Broken, "the connection broke")
}

impl ResponseBody for Hold {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        Box::pin(async move {
            let next = |exchange: &mut Exchange| {
                let chunk = exchange.chunks.pop_front()?;
                exchange.over |= !matches!(chunk, Ok(Some(_)));
                Some(chunk)
            };
            poll_fn(|cx| self.poll(cx, next)).await.map_err(broken)
        })
    }
}

type Outcome = Arc<Mutex<Option<Result<Subscription, Error>>>>;

struct Listener {
    name: String,
    /// What came of subscribing.
    outcome: Outcome,
    established: Value,
    got: Vec<Value>,
    reads: bool,
    /// One of many: only shown when something has become of it.
    one_of_many: bool,
    subscribing: tokio::sync::watch::Sender<bool>,
}

impl World {
    fn new(given: &Value) -> Result<World, Error> {
        let start = given["start"].as_u64().unwrap() * 1000;
        let runtime = FakeRuntime::with_timers(start);
        let tokens = given["tokens"].as_object().into_iter().flatten();
        let tokens: Vec<_> = tokens.map(|(name, token)| (name.clone(), token.as_str().unwrap().to_string())).collect();
        let requests = Requests::default();
        let (noted, clock, named) = (requests.clone(), runtime.clone(), tokens.clone());
        let transport = MemoryTransport::new(move |request| {
            let exchange = Arc::new(Mutex::new(Exchange::default()));
            let at = crate::runtime::Runtime::now(&*clock) - start;
            let shown = shown(&request, at, &named);
            noted.lock().unwrap().push(Sent { shown, exchange: exchange.clone() });
            exchanged(Hold(exchange))
        });
        let client = Client::builder()
            .url("https://h")
            .api_key(given["key"].as_str().unwrap_or_default())
            .runtime(runtime.clone())
            .transport(transport)
            .realtime(options(&given["options"]))
            .max_retries(0)
            .build()?;
        Ok(World { start, tokens, runtime, requests, client, listeners: Vec::new(), tasks: Tasks::new() })
    }

    fn now(&self) -> u64 {
        crate::runtime::Runtime::now(&*self.runtime) - self.start
    }

    /// Time passes, timer by timer.
    fn go_to(&mut self, at: u64) {
        while let Some(next) = self.runtime.next_timer().filter(|next| *next <= self.start + at) {
            self.runtime.set_now_ms(next);
            self.rest();
        }
        self.runtime.set_now_ms(self.start + at);
        self.rest();
    }

    fn rest(&mut self) {
        rest(&self.runtime, &mut self.tasks);
        let at = self.now();
        for listener in &mut self.listeners {
            listener.look(at);
        }
    }

    fn step(&mut self, step: &Value) {
        match text(step, "do") {
            "subscribe" => self.subscribe(step),
            "unsubscribe" => {
                let listener = self.listener(text(step, "name"));
                listener.subscribing.send_replace(false);
                *listener.outcome.lock().unwrap() = None;
            }
            "unsubscribe_topic" => self.client.realtime().unsubscribe(text(step, "topic")),
            "unsubscribe_prefix" => self.client.realtime().unsubscribe_prefix(text(step, "prefix")),
            "read" => self.listener(text(step, "name")).reads = true,
            "answer" => self.answer(step),
            "send" => self.say(step, Ok(Some(text(step, "text").to_string().into()))),
            "end" => self.say(step, Ok(None)),
            "break" => self.say(step, Err(())),
            "sign_in" => {
                let token = self.tokens.iter().find(|(name, _)| name == text(step, "token")).unwrap().1.clone();
                let session = crate::auth::Session::new(token, Json::encode(&step["record"]).unwrap());
                let client = self.client.clone();
                self.tasks.push(Box::pin(async move { client.auth().set_session(session).await.unwrap() }));
            }
            "sign_out" => {
                let client = self.client.clone();
                self.tasks.push(Box::pin(async move { client.auth().sign_out().await.unwrap() }));
            }
            "refresh" => {
                let client = self.client.clone();
                self.tasks.push(Box::pin(async move { drop(client.auth().refresh().await.unwrap()) }));
            }
            "hint" => self.client.realtime().hint(match text(step, "hint") {
                "online" => NetworkHint::Online,
                "hidden" => NetworkHint::Hidden,
                "visible" => NetworkHint::Visible,
                other => panic!("{other}"),
            }),
            "wait" => {}
            other => panic!("{other}"),
        }
    }

    fn listener(&mut self, name: &str) -> &mut Listener {
        self.listeners.iter_mut().find(|listener| listener.name == name).unwrap()
    }

    fn subscribe(&mut self, step: &Value) {
        for n in 0..step["times"].as_u64().unwrap_or(1) {
            let numbered = |text: &str| text.replace("{n}", &n.to_string());
            let topic = numbered(text(step, "topic"));
            let mut subscribe = match step["collection"].as_str() {
                Some(collection) => self.client.collection(collection).subscribe(&topic),
                None => self.client.realtime().subscribe(&topic),
            };
            for (name, value) in step["query"].as_object().into_iter().flatten() {
                subscribe = subscribe.query(name, value.as_str().unwrap());
            }
            for (name, value) in step["headers"].as_object().into_iter().flatten() {
                subscribe = subscribe.header(name, value.as_str().unwrap());
            }
            if let Some(max) = step["queue_max"].as_u64() {
                subscribe = subscribe.queue_max(u32::try_from(max).unwrap());
            }
            let outcome = Outcome::default();
            let (done, (subscribing, mut goes_on)) = (outcome.clone(), tokio::sync::watch::channel(true));
            self.tasks.push(Box::pin(async move {
                let mut subscribe = subscribe.into_future();
                let given_up = goes_on.wait_for(|goes_on| !goes_on);
                let mut given_up = std::pin::pin!(given_up);
                let result = poll_fn(|cx| {
                    if let Poll::Ready(result) = subscribe.as_mut().poll(cx) {
                        return Poll::Ready(Some(result));
                    }
                    given_up.as_mut().poll(cx).map(|_| None)
                });
                let result = result.await;
                *done.lock().unwrap() = result;
            }));
            self.listeners.push(Listener {
                name: numbered(text(step, "name")),
                outcome,
                established: Value::Null,
                got: Vec::new(),
                reads: step["reads"] != json!(false),
                one_of_many: step["times"].is_u64(),
                subscribing,
            });
        }
    }

    fn exchange(&self, step: &Value) -> Arc<Mutex<Exchange>> {
        let n = usize::try_from(step["request"].as_u64().unwrap()).unwrap();
        let requests = self.requests.lock().unwrap();
        let sent = requests.get(n).unwrap_or_else(|| panic!("no request {n} at {}", step["at"]));
        sent.exchange.clone()
    }

    fn answer(&mut self, step: &Value) {
        let exchange = self.exchange(step);
        let mut exchange = exchange.lock().unwrap();
        assert!(exchange.answer.is_none() && !exchange.dropped, "nobody waits for {step}");
        let mut headers = Headers::new();
        for (name, value) in step["headers"].as_object().into_iter().flatten() {
            headers.set(name, value.as_str().unwrap());
        }
        exchange.answer = Some(match step["status"].as_u64() {
            None => Err(()),
            Some(status) => Ok((u16::try_from(status).unwrap(), headers)),
        });
        if step["stream"] != json!(true) {
            let body = step.get("body").map(Value::to_string).unwrap_or_default();
            exchange.chunks = [Ok(Some(body.into())), Ok(None)].into();
        }
        let waker = exchange.waker.take();
        drop(exchange);
        waker.unwrap().wake();
    }

    fn say(&mut self, step: &Value, chunk: Result<Option<Bytes>, ()>) {
        let exchange = self.exchange(step);
        let mut exchange = exchange.lock().unwrap();
        assert!(!exchange.dropped, "nobody reads {step}");
        exchange.chunks.push_back(chunk);
        let waker = exchange.waker.take();
        drop(exchange);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn outcome(&self) -> Value {
        let requests = self.requests.lock().unwrap();
        let open = |(n, sent): (usize, &Sent)| {
            let exchange = sent.exchange.lock().unwrap();
            (!exchange.over && !exchange.dropped).then_some(n)
        };
        let is_shown = |listener: &&Listener| !listener.one_of_many || !listener.established.is_null();
        let listeners =
            self.listeners.iter().filter(is_shown).map(|listener| {
                (listener.name.clone(), json!({"subscribed": listener.established, "got": listener.got}))
            });
        json!({
            "requests": requests.iter().map(|sent| sent.shown.clone()).collect::<Value>(),
            "open": requests.iter().enumerate().filter_map(open).collect::<Value>(),
            "listeners": Value::Object(listeners.collect()),
            "state": self.client.realtime().state().as_str(),
        })
    }
}

impl Listener {
    fn look(&mut self, at: u64) {
        let mut outcome = self.outcome.lock().unwrap();
        match &mut *outcome {
            None => {}
            Some(Err(error)) if self.established.is_null() => {
                self.established = json!({"at": at, "error": error.kind().as_str()});
            }
            Some(Err(_)) => {}
            Some(Ok(subscription)) => {
                if self.established.is_null() {
                    self.established = json!({"at": at});
                }
                let mut cx = Context::from_waker(Waker::noop());
                while self.reads
                    && let Poll::Ready(event) = Pin::new(&mut *subscription).poll_next(&mut cx)
                {
                    self.got.push(event.as_ref().map_or(json!({"end": true}), told));
                    if event.is_none() {
                        self.reads = false;
                    }
                }
            }
        }
    }
}

fn told(event: &Result<Event, Error>) -> Value {
    let json = |json: &Json| json.decode::<Value>().unwrap();
    match event {
        Ok(Event::Record(event)) => json!({
            "action": event.action.as_str(), "id": event.id, "origin": event.origin.as_str(), "topic": &*event.topic,
            "record": json(&event.json),
        }),
        Ok(Event::Message(message)) => json!({"topic": &*message.topic, "data": json(&message.data)}),
        Ok(Event::Resync(reason)) => json!({"resync": reason.as_str()}),
        Ok(Event::Lagged { missed }) => json!({"lagged": missed}),
        Err(error) => json!({"error": error.kind().as_str()}),
    }
}

/// A request as the script sees it.
fn shown(request: &Request, at: u64, tokens: &[(String, String)]) -> Value {
    let sent = request.headers.get("Authorization");
    let authorization = match sent {
        None => "none",
        Some(sent) if sent.starts_with("Bearer ") => "key",
        Some(sent) => &tokens.iter().find(|(_, token)| token == sent).unwrap().0,
    };
    let url = request.url.strip_prefix("https://h").unwrap();
    let mut shown = json!({"at": at, "method": request.method.as_str(), "url": url, "authorization": authorization});
    if let Body::Json(body) = &request.body {
        shown["body"] = body.decode().unwrap();
    }
    shown
}

async fn exchanged(hold: Hold) -> Result<Response, TransportError> {
    let answered = poll_fn(|cx| hold.poll(cx, |exchange| exchange.answer.take())).await;
    let (status, headers) = answered.map_err(broken)?;
    let body: Box<dyn ResponseBody> = Box::new(hold);
    Ok(Response::new(status, headers, body))
}

fn options(given: &Value) -> RealtimeOptions {
    let mut options = RealtimeOptions::default();
    for (name, value) in given.as_object().into_iter().flatten() {
        let number = || value.as_u64().unwrap();
        let ms = || Duration::from_millis(number());
        let count = || u32::try_from(number()).unwrap();
        match name.as_str() {
            "liveness_ms" => options.liveness = ms(),
            "max_age_ms" => options.max_age = ms(),
            "overlap_ms" => options.overlap = ms(),
            "linger_ms" => options.linger = ms(),
            "catch_up" => options.catch_up = value.as_bool().unwrap(),
            "catch_up_skew_ms" => options.catch_up_skew = ms(),
            "catch_up_max" => options.catch_up_max = count(),
            "tracked_max" => options.tracked_max = count(),
            "queue_max" => options.queue_max = count(),
            other => panic!("{other}"),
        }
    }
    options
}
