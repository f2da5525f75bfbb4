//! The world as JavaScript brings it: transport, clock, timers, randomness, stores.

use alloc::{
    boxed::Box,
    rc::Rc,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;
use picobase::{
    Error, ErrorKind, Json, JsonView,
    auth::Store,
    files::Source,
    runtime::{BoxFuture, Runtime},
    transport::{Body, Failure, Headers, Reading, Request, Response, ResponseBody, Transport, TransportError},
};

use crate::{
    abi,
    executor::{self, Wish, wish},
    frame::{Args, Frame, Value},
    host::Handle,
};

/// JavaScript, as the core needs it.
pub(crate) struct Platform {
    pub(crate) is_browser: bool,
}

impl Runtime for Platform {
    fn now(&self) -> u64 {
        abi::now()
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(abi::uptime())
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let mut frame = Frame::new();
        frame.int(executor::millis(time));
        Box::pin(async move {
            wish(Wish::Sleep, frame, None).await;
        })
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        abi::random(bytes);
        Ok(())
    }

    fn sha256(&self, data: &[u8]) -> BoxFuture<'static, Result<[u8; 32], Error>> {
        let mut frame = Frame::new();
        frame.raw(data);
        Box::pin(async move {
            let digest = match wish(Wish::Sha256, frame, None).await.next() {
                Value::Bytes(digest) => digest.try_into().ok(),
                _ => None,
            };
            digest.ok_or_else(|| {
                Error::new(ErrorKind::Configuration, "this page has no WebCrypto")
                    .with_fix("Serve the page over https, or from localhost.")
            })
        })
    }

    fn spawn(&self, work: BoxFuture<'static, ()>) {
        executor::spawn_job(work);
    }

    fn is_browser(&self) -> bool {
        self.is_browser
    }
}

impl Transport for Platform {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let frame = written(&request);
        let upload = matches!(request.body, Body::Raw(_) | Body::Multipart(_)).then_some(request.body);
        Box::pin(async move { answered(wish(Wish::Fetch, frame, upload).await) })
    }
}

fn written(request: &Request) -> Frame {
    let mut frame = Frame::new();
    frame.text(request.method.as_str()).text(&request.url).headers(&request.headers);
    frame.int(match request.reading {
        Reading::Text => 1,
        Reading::Stream => 2,
        _ => 0,
    });
    // JSON, files, and a source alone; what is not there at the end is left out.
    match &request.body {
        Body::Json(json) => write_json(frame.list(1), json),
        Body::Raw(source) => _ = frame.list(3).null().null().handle(source.handle().unwrap_or_default()),
        Body::Multipart(form) => {
            let mut files = 0;
            form.each_file(|_, _, _, _| files += 1);
            frame.list(2);
            match form.json() {
                Some(json) => write_json(&mut frame, json),
                None => _ = frame.null(),
            }
            frame.list(files);
            form.each_file(|field, name, content_type, source| {
                frame.list(4).text(field).text(name).text(content_type).handle(source.handle().unwrap_or_default());
            });
        }
        _ => return frame,
    }
    frame.text(&request.probe);
    frame
}

/// JSON that is going to be sent: what is text already stays it.
fn write_json(frame: &mut Frame, json: &Json) {
    match json.view() {
        JsonView::Text(text) => frame.text(text),
        _ => frame.json(json),
    };
}

fn answered(mut answer: Args) -> Result<Response, TransportError> {
    let Some(status) = answer.int() else {
        let failure = match answer.text().as_str() {
            "refused" => Failure::Refused,
            "tls" => Failure::Tls,
            "unknown_host" => Failure::UnknownHost,
            "source" => Failure::Source,
            "invalid" => Failure::Invalid,
            _ => Failure::Broken,
        };
        return Err(TransportError::new(failure, answer.text()));
    };
    let mut headers = Headers::new();
    let mut pairs = Args::new(answer.list());
    while let (Some(name), value) = (pairs.some(), pairs.text()) {
        headers.set(&name, value);
    }
    let body: Box<dyn ResponseBody> = match answer.next() {
        Value::Null => Box::new(Given { value: None, text: None }),
        Value::Text(text) => Box::new(Given { value: None, text: Some(text) }),
        // What JavaScript could not decode.
        Value::Bytes(text) => Box::new(Given { value: Some(Json::parse(text).and_then(|_| not_json())), text: None }),
        Value::Source(source) => Box::new(Stream(source)),
        value => Box::new(Given { value: Some(Ok(value.json())), text: None }),
    };
    Ok(Response::new(u16::try_from(status).unwrap_or(0), headers, body))
}

/// JavaScript's decoder is the stricter one.
fn not_json() -> Result<Json, Error> {
    Json::parse("")
}

/// A body that is there.
struct Given {
    value: Option<Result<Json, Error>>,
    text: Option<String>,
}

impl ResponseBody for Given {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        let text = self.text.take().map(Bytes::from);
        Box::pin(core::future::ready(Ok(text)))
    }

    fn value(&mut self) -> Option<Result<Json, Error>> {
        self.value.take()
    }
}

/// A body that comes piece by piece: the stream of JavaScript, alive as long as its source.
struct Stream(Source);

impl ResponseBody for Stream {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        let mut frame = Frame::new();
        frame.handle(self.0.handle().unwrap_or_default());
        Box::pin(async move {
            match wish(Wish::Read, frame, None).await.next() {
                Value::Bytes(bytes) => Ok(Some(Bytes::from(bytes))),
                Value::Text(message) => Err(TransportError::new(Failure::Broken, message)),
                _ => Ok(None),
            }
        })
    }

    fn handle(&self) -> Option<u32> {
        self.0.handle()
    }
}

/// A store of JavaScript.
pub(crate) struct JsStore(pub(crate) Rc<Handle>);

impl JsStore {
    fn ask(&self, what: &str, session: Option<&str>) -> BoxFuture<'_, Result<Option<String>, Error>> {
        let mut frame = Frame::new();
        frame.handle(self.0.id()).text(what).some(session);
        Box::pin(async move {
            let mut answer = wish(Wish::Store, frame, None).await;
            match answer.next() {
                Value::Bool(false) => Err(Error::new(ErrorKind::Storage, answer.text())),
                value => Ok(value.text()),
            }
        })
    }
}

impl Store for JsStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        self.ask("load", None)
    }

    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
        let saving = self.ask("save", Some(&session));
        Box::pin(async move { saving.await.map(drop) })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        let clearing = self.ask("clear", None);
        Box::pin(async move { clearing.await.map(drop) })
    }
}

/// Names and values, one behind the other, without those that are null.
pub(crate) fn pairs(list: Vec<Value>) -> Vec<(String, Value)> {
    let mut rest = Args::new(list);
    let mut all = Vec::new();
    while let Some(name) = rest.some() {
        match rest.next() {
            Value::Null => {}
            value => all.push((name, value)),
        }
    }
    all
}

/// The text of a header value.
pub(crate) fn header(value: Value) -> String {
    match value {
        Value::Number(text) => text,
        Value::Bool(value) => if value { "true" } else { "false" }.to_string(),
        value => value.text().unwrap_or_default(),
    }
}
