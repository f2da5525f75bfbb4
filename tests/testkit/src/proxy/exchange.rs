//! One request and its answer on their way through the proxy.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::Proxy;
use super::body::{Passing, Silence, Stop};
use super::connection::Handle;
use super::log::{Head, Running};
use super::rules::{Action, Answer, Direction, How, Plan, Point, When};
use crate::lock;

/// Headers that belong to one hop.
const HOP_HEADERS: [HeaderName; 3] = [header::CONNECTION, header::EXPECT, HeaderName::from_static("keep-alive")];

/// Carries the requests of one client connection to the server, over one connection of its own.
pub(crate) struct Exchanger {
    proxy: Arc<Proxy>,
    connection: Arc<Handle>,
    upstream: Mutex<Option<SendRequest<Passing>>>,
}

/// One request with all that belongs to it.
struct Exchange {
    request: Request<Incoming>,
    running: Arc<Running>,
    modifiers: Vec<Action>,
}

impl Exchanger {
    pub(crate) fn new(proxy: Arc<Proxy>, connection: Arc<Handle>) -> Self {
        Self { proxy, connection, upstream: Mutex::new(None) }
    }

    /// Answers a request.
    pub(crate) async fn exchange(&self, mut request: Request<Incoming>) -> Response<Passing> {
        for name in &HOP_HEADERS {
            request.headers_mut().remove(name);
        }
        let (method, path) = (request.method().as_str(), request.uri().path());
        let query = request.uri().query().unwrap_or_default();
        let Plan { fault, modifiers, deciding } = lock(&self.proxy.rules).plan(method, path, query);
        let head = Head { method, path, query, headers: request.headers(), fault };
        let running = self.proxy.log.begin(&head, &self.connection);
        self.begin_modifiers(&modifiers).await;
        let exchange = Exchange { request, running, modifiers };
        match self.decide(exchange, deciding).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "the server is gone");
                self.cut(How::Reset).await
            }
        }
    }

    /// Starts the modifiers that do not wait for the answer.
    async fn begin_modifiers(&self, modifiers: &[Action]) {
        for modifier in modifiers {
            match modifier {
                Action::Delay { ms } => sleep(Duration::from_millis(*ms)).await,
                Action::IdleClose { ms } => self.connection.close_when_idle(Duration::from_millis(*ms)),
                Action::MaxAge { ms, how } => self.connection.cut_at_age(Duration::from_millis(*ms), *how),
                _ => {}
            }
        }
    }

    /// Does what the deciding rule wants.
    async fn decide(&self, exchange: Exchange, action: Option<Action>) -> Result<Response<Passing>> {
        match action {
            None => self.pass(exchange, None).await,
            Some(Action::Respond(answer)) => {
                let own = self.own_answer(&exchange, &answer)?;
                self.drain_request(exchange).await?;
                Ok(own)
            }
            Some(Action::Redirect { status, location }) => {
                let mut headers = Map::new();
                headers.insert("location".into(), Value::String(location));
                let answer = Answer { status, headers, body: Value::Null, content_type: None };
                let own = self.own_answer(&exchange, &answer)?;
                self.drain_request(exchange).await?;
                Ok(own)
            }
            Some(Action::RespondAfterForward(answer)) => {
                let own = self.own_answer(&exchange, &answer)?;
                self.swallow(exchange).await?;
                Ok(own)
            }
            Some(Action::LoseAnswer {}) => {
                self.swallow(exchange).await?;
                Ok(self.cut(How::Reset).await)
            }
            Some(Action::Truncate { bytes }) => self.pass(exchange, Some((bytes, Stop::Cut(How::Close)))).await,
            Some(Action::Reset(point)) => self.stop(exchange, point, Stop::Cut(How::Reset)).await,
            Some(Action::Close(point)) => self.stop(exchange, point, Stop::Cut(How::Close)).await,
            Some(Action::Stall(point)) => {
                self.stop(exchange, point, Stop::Pause(point.ms.map(Duration::from_millis))).await
            }
            Some(other) => anyhow::bail!("{other:?} decides nothing"),
        }
    }

    /// Cuts or stalls at the wanted place. A request that has no more bytes than that is cut when it was processed.
    async fn stop(&self, exchange: Exchange, point: Point, stop: Stop) -> Result<Response<Passing>> {
        let at = Some((point.bytes, stop));
        let known = exchange.request.body().size_hint().exact();
        match point.when {
            When::AfterResponseBytes => self.pass(exchange, at).await,
            When::AfterRequestBytes if known.is_none_or(|length| length > point.bytes) => {
                let answer = self.forward(exchange.request, &exchange.running, &exchange.modifiers, at).await?;
                self.hand_on(answer, exchange.running, &exchange.modifiers, None)
            }
            When::AfterRequestBytes => {
                let answer = self.forward(exchange.request, &exchange.running, &exchange.modifiers, None).await?;
                self.halt(stop).await;
                self.hand_on(answer, exchange.running, &exchange.modifiers, None)
            }
            When::Accept | When::BeforeForward => {
                self.halt(stop).await;
                self.pass(exchange, None).await
            }
        }
    }

    /// Waits, or ends the connection and never returns.
    async fn halt(&self, stop: Stop) {
        match stop {
            Stop::Pause(Some(time)) => sleep(time).await,
            Stop::Pause(None) => std::future::pending().await,
            Stop::Cut(how) => {
                self.cut(how).await;
            }
        }
    }

    /// Ends the connection; what it returns is never sent.
    async fn cut(&self, how: How) -> Response<Passing> {
        self.connection.cut(how);
        std::future::pending().await
    }

    /// Reads the request's body and throws it away.
    async fn drain_request(&self, exchange: Exchange) -> Result<()> {
        let body = Passing::new(exchange.request.into_body(), self.connection.clone(), exchange.running).recorded();
        body.drain().await
    }

    /// Lets the server answer, and throws the answer away.
    async fn swallow(&self, exchange: Exchange) -> Result<()> {
        let running = exchange.running.clone();
        let answer = self.forward(exchange.request, &running, &exchange.modifiers, None).await?;
        let body = Passing::new(answer.into_body(), self.connection.clone(), running);
        body.drain().await
    }

    /// Passes request and answer on, the answer up to the place where it stops.
    async fn pass(&self, exchange: Exchange, stop: Option<(u64, Stop)>) -> Result<Response<Passing>> {
        let Exchange { request, running, modifiers } = exchange;
        let answer = self.forward(request, &running, &modifiers, None).await?;
        self.hand_on(answer, running, &modifiers, stop)
    }

    /// Passes an answer on, up to the place where it stops.
    fn hand_on(
        &self,
        answer: Response<Incoming>,
        running: Arc<Running>,
        modifiers: &[Action],
        stop: Option<(u64, Stop)>,
    ) -> Result<Response<Passing>> {
        let (mut head, body) = answer.into_parts();
        change_headers(&mut head, modifiers)?;
        running.status(head.status.as_u16());
        let body = Passing::new(body, self.connection.clone(), running)
            .stop_after(stop)
            .slow(rate(modifiers, Direction::Response))
            .silence(silence(modifiers));
        Ok(Response::from_parts(head, body))
    }

    /// Sends a request to the server.
    async fn forward(
        &self,
        request: Request<Incoming>,
        running: &Arc<Running>,
        modifiers: &[Action],
        stop: Option<(u64, Stop)>,
    ) -> Result<Response<Incoming>> {
        let (mut head, body) = request.into_parts();
        // The request target in its origin form, as the server would get it.
        if let Some(target) = head.uri.path_and_query().cloned() {
            head.uri = target.into();
        }
        let body = Passing::new(body, self.connection.clone(), running.clone())
            .recorded()
            .stop_after(stop)
            .slow(rate(modifiers, Direction::Request));
        running.forwarded();
        self.send(Request::from_parts(head, body)).await
    }

    /// Sends over the connection at hand, or over a new one where that has gone.
    async fn send(&self, mut request: Request<Passing>) -> Result<Response<Incoming>> {
        let mut upstream = self.upstream.lock().await;
        if let Some(sender) = upstream.as_mut()
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok(answer),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let sender = upstream.insert(self.connect().await?);
        sender.send_request(request).await.context("the answer")
    }

    async fn connect(&self) -> Result<SendRequest<Passing>> {
        let stream = TcpStream::connect(("127.0.0.1", self.proxy.server_port())).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// An answer of the proxy's own.
    fn own_answer(&self, exchange: &Exchange, answer: &Answer) -> Result<Response<Passing>> {
        let (bytes, default_type) = match &answer.body {
            Value::Null => (Bytes::new(), None),
            Value::String(text) => (Bytes::from(text.clone()), Some("text/plain; charset=utf-8")),
            json => (Bytes::from(json.to_string()), Some("application/json")),
        };
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = StatusCode::from_u16(answer.status)?;
        if let Some(content_type) = answer.content_type.as_deref().or(default_type) {
            head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type)?);
        }
        // Browsers hide an answer without it from the page, and the real server always sends it.
        head.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        set_headers(&mut head.headers, &answer.headers)?;
        change_headers(&mut head, &exchange.modifiers)?;
        exchange.running.status(answer.status);
        let (connection, running) = (self.connection.clone(), exchange.running.clone());
        let body = if exchange.request.method() == Method::HEAD {
            Passing::new(Empty::new(), connection, running)
        } else {
            Passing::new(Full::new(bytes), connection, running)
        };
        Ok(Response::from_parts(head, body.slow(rate(&exchange.modifiers, Direction::Response))))
    }
}

/// How fast that direction may be.
fn rate(modifiers: &[Action], wanted: Direction) -> Option<u64> {
    modifiers.iter().find_map(|modifier| match modifier {
        Action::Slow { bytes_per_sec, direction } if *direction == wanted || *direction == Direction::Both => {
            Some(*bytes_per_sec)
        }
        _ => None,
    })
}

fn silence(modifiers: &[Action]) -> Option<Silence> {
    modifiers.iter().find_map(|modifier| match modifier {
        Action::StreamIdleClose { ms, clean } => Some(Silence { limit: Duration::from_millis(*ms), clean: *clean }),
        _ => None,
    })
}

fn change_headers(head: &mut Parts, modifiers: &[Action]) -> Result<()> {
    for name in &HOP_HEADERS {
        head.headers.remove(name);
    }
    for modifier in modifiers {
        if let Action::Headers { set, remove } = modifier {
            for name in remove {
                head.headers.remove(name.as_str());
            }
            set_headers(&mut head.headers, set)?;
        }
    }
    Ok(())
}

/// Sets headers whose values are strings, or anything else in its JSON form.
fn set_headers(headers: &mut HeaderMap, wanted: &Map<String, Value>) -> Result<()> {
    for (name, value) in wanted {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(&value)?);
    }
    Ok(())
}
