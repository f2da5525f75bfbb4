//! How requests reach the server.
//!
//! The core knows no HTTP library: it hands a [`Request`] to a [`Transport`] and reads a [`Response`].
//! `ReqwestTransport` is the default off the web, [`MemoryTransport`] answers from a closure in tests, and you can
//! bring another.

mod memory;
#[cfg(feature = "reqwest")]
mod reqwest;

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use bytes::Bytes;

pub use self::memory::MemoryTransport;
#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestTransport;
use crate::{
    error::{Error, ErrorKind},
    files::{Form, Source},
    json::Json,
    runtime::{BoxFuture, MaybeSend, MaybeSync},
    url::{cut, split_at_text},
};

/// An HTTP method (RFC 9110 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// The method as it is sent.
    ///
    /// ```
    /// assert_eq!(picobase::transport::Method::Patch.as_str(), "PATCH");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// The method of that name, in capitals or not; none where it is another.
    ///
    /// ```
    /// use picobase::transport::Method;
    /// assert_eq!((Method::named("patch"), Method::named("TRACE")), (Some(Method::Patch), None));
    /// ```
    pub fn named(name: &str) -> Option<Method> {
        let all = [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete];
        all.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(name))
    }

    /// May it be repeated because it changes nothing?
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }
}

/// Header fields in their order; names compare without case.
#[derive(Clone, Default)]
pub struct Headers {
    /// All names and values, one behind the other: as strings of their own they would be twenty for every answer.
    text: String,
    fields: Vec<Field>,
}

/// Where a field is in the text: its name, and its value right behind.
#[derive(Clone, Copy)]
struct Field {
    start: usize,
    middle: usize,
    end: usize,
}

impl Field {
    fn name(self, text: &str) -> &str {
        text.get(self.start..self.middle).unwrap_or_default()
    }

    fn value(self, text: &str) -> &str {
        text.get(self.middle..self.end).unwrap_or_default()
    }
}

impl Headers {
    /// No fields.
    ///
    /// ```
    /// assert_eq!(picobase::transport::Headers::new().iter().count(), 0);
    /// ```
    pub fn new() -> Self {
        Headers::default()
    }

    /// The first value of a name.
    ///
    /// ```
    /// let mut headers = picobase::transport::Headers::new();
    /// headers.set("Retry-After", "1");
    /// assert_eq!(headers.get("retry-after"), Some("1"));
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Sets a field, in place of any of that name.
    ///
    /// ```
    /// let mut headers = picobase::transport::Headers::new();
    /// headers.set("X-A", "1");
    /// headers.set("x-a", "2");
    /// assert_eq!(headers.iter().collect::<Vec<_>>(), [("x-a", "2")]);
    /// ```
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.fields.retain(|field| !field.name(&self.text).eq_ignore_ascii_case(name));
        self.append(name, &value.into());
    }

    /// Sets all fields that others have.
    pub(crate) fn merge(&mut self, others: &Headers) {
        for (name, value) in others.iter() {
            self.set(name, value);
        }
    }

    /// Adds a field behind the others.
    pub(crate) fn append(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.fields.push(Field { start, middle, end: self.text.len() });
    }

    /// Makes room for some more.
    pub(crate) fn reserve(&mut self, fields: usize, bytes: usize) {
        self.fields.reserve(fields);
        self.text.reserve(bytes);
    }

    /// Sets a field unless there is one of that name.
    pub(crate) fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.append(name, value);
        }
    }

    /// All fields.
    ///
    /// ```
    /// let headers = picobase::transport::Headers::new();
    /// for (name, value) in headers.iter() {
    ///     println!("{name}: {value}");
    /// }
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (field.name(&self.text), field.value(&self.text)))
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

/// Names only: values hold keys and tokens.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// What a request carries.
#[derive(Clone)]
#[non_exhaustive]
pub enum Body {
    /// Nothing.
    Empty,
    /// JSON, sent as `application/json`.
    Json(Json),
    /// Bytes, from memory, a file or a stream.
    Raw(Source),
    /// A `multipart/form-data` form (RFC 7578).
    Multipart(Form),
}

impl Body {
    /// Can it be sent once more? A stream can, until a byte of it was taken.
    pub(crate) fn replayable(&self) -> bool {
        match self {
            Body::Empty | Body::Json(_) => true,
            Body::Raw(source) => source.replayable(),
            Body::Multipart(form) => form.replayable(),
        }
    }

    /// Can it be sent any number of times?
    pub(crate) fn repeatable(&self) -> bool {
        match self {
            Body::Empty | Body::Json(_) => true,
            Body::Raw(source) => source.repeatable(),
            Body::Multipart(form) => form.repeatable(),
        }
    }

    /// Can its files be read?
    pub(crate) fn check(&self) -> Result<(), TransportError> {
        match self {
            Body::Empty | Body::Json(_) => Ok(()),
            Body::Raw(source) => source.check(),
            Body::Multipart(form) => form.check(),
        }
    }

    /// Is it large enough to have progress of its own?
    pub(crate) fn is_upload(&self) -> bool {
        matches!(self, Body::Raw(_) | Body::Multipart(_))
    }
}

/// The variant only: bodies hold passwords.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Body::Empty => "Empty",
            Body::Json(_) => "Json",
            Body::Raw(_) => "Raw",
            Body::Multipart(_) => "Multipart",
        })
    }
}

/// One request, ready to be sent.
#[derive(Clone)]
#[non_exhaustive]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL. It may hold a file token: do not log it, see [`redact`](crate::url::redact).
    pub url: String,
    /// The header fields. Content-Type is the transport's for JSON and forms.
    pub headers: Headers,
    /// The body.
    pub body: Body,
    /// How the answer's body is going to be read.
    pub reading: Reading,
    /// With an upload: the URL of a GET that says whether the server redirects; else empty. For transports that cannot
    /// refuse to follow redirects, which would take key and token along.
    pub probe: String,
}

/// How the body of an answer is going to be read. A platform that decodes JSON itself can make use of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Reading {
    /// As one JSON value: see [`ResponseBody::value`].
    #[default]
    Value,
    /// As the bytes that came, all at once.
    Text,
    /// As the bytes come.
    Stream,
}

/// The URL with its secrets taken out, the names of the headers, the kind of the body.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &crate::url::redact(&self.url))
            .field("headers", &self.headers)
            .field("body", &self.body)
            .finish()
    }
}

impl Request {
    /// A request without a body.
    ///
    /// ```
    /// use picobase::transport::{Method, Request};
    /// let request = Request::new(Method::Get, "http://127.0.0.1:8090/api/health");
    /// # let _ = request;
    /// ```
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Request {
            method,
            url: url.into(),
            headers: Headers::new(),
            body: Body::Empty,
            reading: Reading::Value,
            probe: String::new(),
        }
    }

    /// The path, without scheme, host and query.
    ///
    /// ```
    /// use picobase::transport::{Method, Request};
    /// assert_eq!(Request::new(Method::Get, "http://h:1/api/health?x=1").path(), "/api/health");
    /// ```
    pub fn path(&self) -> &str {
        let rest = split_at_text(&self.url, "://").map_or(self.url.as_str(), |(_, rest)| rest);
        let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
        cut(path, "?#").0
    }
}

/// One answer whose body has not been read yet.
#[non_exhaustive]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header fields, as far as the platform shows them.
    pub headers: Headers,
    /// The body, to be read.
    pub body: Box<dyn ResponseBody>,
}

impl Response {
    /// An answer.
    ///
    /// ```
    /// use picobase::transport::{Headers, Response};
    /// let response = Response::new(200, Headers::new(), r#"{"code":200}"#);
    /// assert_eq!(response.status, 200);
    /// ```
    pub fn new(status: u16, headers: Headers, body: impl IntoBody) -> Self {
        Response { status, headers, body: body.into_body() }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A body that arrives piece by piece.
pub trait ResponseBody: MaybeSend {
    /// The next piece, none at the end.
    ///
    /// # Errors
    /// What broke the connection.
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>>;

    /// The whole body as a value, where the platform has decoded it. Asked once, before any [`chunk`](Self::chunk), and
    /// only for [`Reading::Value`]; where this is none, the body is read and decoded as bytes.
    ///
    /// # Errors
    /// Kind `Decode` where the body is not JSON.
    fn value(&mut self) -> Option<Result<Json, Error>> {
        None
    }

    /// What the host knows the body by, where it reads it itself.
    #[cfg(not(feature = "std"))]
    fn handle(&self) -> Option<u32> {
        None
    }

    /// How many bytes the answer said will come, where it did.
    fn length(&self) -> Option<u64> {
        None
    }
}

/// What can be read as a body: a [`ResponseBody`], or text and bytes that are there already.
pub trait IntoBody {
    /// The body.
    fn into_body(self) -> Box<dyn ResponseBody>;
}

impl IntoBody for Box<dyn ResponseBody> {
    fn into_body(self) -> Box<dyn ResponseBody> {
        self
    }
}

impl IntoBody for &'static str {
    fn into_body(self) -> Box<dyn ResponseBody> {
        Bytes::from_static(self.as_bytes()).into_body()
    }
}

impl IntoBody for String {
    fn into_body(self) -> Box<dyn ResponseBody> {
        Bytes::from(self).into_body()
    }
}

impl IntoBody for Bytes {
    fn into_body(self) -> Box<dyn ResponseBody> {
        Box::new(Whole(Some(self)))
    }
}

/// A body that is there already.
struct Whole(Option<Bytes>);

impl ResponseBody for Whole {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        let chunk = self.0.take().filter(|bytes| !bytes.is_empty());
        Box::pin(core::future::ready(Ok(chunk)))
    }

    fn length(&self) -> Option<u64> {
        self.0.as_ref().map(|bytes| bytes.len() as u64)
    }
}

/// Why a request got no answer, as far as the platform can tell. What may be retried follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The connection was refused: nothing was sent, so every call may be repeated.
    Refused,
    /// The connection broke, or the platform cannot tell: the server may have acted on the request.
    Broken,
    /// The certificate or the handshake failed; repeating does not help.
    Tls,
    /// The host name is unknown; repeating does not help.
    UnknownHost,
    /// The answer was redirected by the transport's own client, which it must not do.
    Redirected,
    /// A local source, a file that is uploaded, could not be read.
    Source,
    /// The request cannot be sent as it is.
    Invalid,
}

/// A request that got no answer, or whose answer broke off.
#[derive(Debug, Clone)]
pub struct TransportError {
    failure: Failure,
    message: String,
}

impl TransportError {
    /// A failure with a sentence about it that holds no secret.
    ///
    /// ```
    /// use picobase::transport::{Failure, TransportError};
    /// let error = TransportError::new(Failure::Refused, "connection refused");
    /// assert_eq!(error.failure(), Failure::Refused);
    /// ```
    pub fn new(failure: Failure, message: impl Into<String>) -> Self {
        TransportError { failure, message: message.into() }
    }

    /// What failed.
    ///
    /// ```
    /// # use picobase::transport::{Failure, TransportError};
    /// assert_eq!(TransportError::new(Failure::Tls, "expired").failure(), Failure::Tls);
    /// ```
    pub fn failure(&self) -> Failure {
        self.failure
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for TransportError {}

impl From<TransportError> for Error {
    fn from(e: TransportError) -> Error {
        let kind = match e.failure {
            Failure::Redirected => ErrorKind::Configuration,
            Failure::Invalid => ErrorKind::Validation,
            Failure::Source => ErrorKind::Storage,
            _ => ErrorKind::Network,
        };
        let error = Error::new(kind, e.message);
        match e.failure {
            Failure::Tls => error.with_fix(
                "Check the server's certificate and the clock; for a private certificate authority set SSL_CERT_FILE.",
            ),
            Failure::Invalid => error.with_fix("Correct what the message names."),
            Failure::UnknownHost => error.with_fix("Check the host in the URL, and the network's name service."),
            #[cfg(feature = "reqwest")]
            Failure::Redirected => error.with_fix(
                "Use the target as the URL, and build the HTTP client with redirects turned off (`redirect::Policy::none()`).",
            ),
            _ => error,
        }
    }
}

/// Sends requests. It follows no redirects, keeps no cookies, and retries nothing: the core decides on all of that.
pub trait Transport: MaybeSend + MaybeSync + 'static {
    /// Sends one request and answers when the head of the response is there. Dropping the future, or the response's
    /// body, cancels the request.
    ///
    /// # Errors
    /// Only where there is no answer: every status is an answer.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>>;
}
