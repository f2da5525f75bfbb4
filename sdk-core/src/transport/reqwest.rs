//! The transport on reqwest.

use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Frame;
use reqwest::redirect::Policy;

use super::{Body, Failure, Headers, Method, Request, Response, ResponseBody, Transport, TransportError};
use crate::{error::Error, files::BodyReader, runtime::BoxFuture};

/// After how long without a request the runtime may not have looked at idle connections.
const SETTLE_AFTER: Duration = Duration::from_millis(1);

/// The [`Transport`] on [`reqwest`], over HTTP/1.1 and HTTP/2. TLS is rustls with the system's roots; `SSL_CERT_FILE`
/// and the proxy variables are honoured.
///
/// It must be used within a tokio runtime.
#[derive(Debug)]
pub struct ReqwestTransport {
    client: reqwest::Client,
    last_use: Mutex<Option<Instant>>,
    origin: Mutex<Option<Arc<Origin>>>,
    boundaries: AtomicU64,
    /// May the client follow redirects? Those that are built here do not.
    may_redirect: bool,
}

/// Scheme, host and port of the last request: parsed once, and not again for every call.
#[derive(Debug)]
struct Origin {
    text: String,
    url: reqwest::Url,
}

impl ReqwestTransport {
    /// Uses a client of your own. Build it with `redirect(Policy::none())`: calls must follow no redirect, and one that
    /// was followed all the same is reported as an error, after reqwest has sent the headers along to the target.
    ///
    /// ```
    /// use picobase::{Client, transport::ReqwestTransport};
    /// let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    /// let client = Client::builder().url("http://127.0.0.1:8090").transport(ReqwestTransport::new(http)).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(client: reqwest::Client) -> Self {
        ReqwestTransport {
            client,
            last_use: Mutex::new(None),
            origin: Mutex::new(None),
            boundaries: AtomicU64::new(0),
            may_redirect: true,
        }
    }

    /// Finishes a client that is being built: no redirects, and a dead peer is noticed within 75 seconds.
    pub(crate) fn build(builder: reqwest::ClientBuilder) -> Result<Self, Error> {
        builder
            .redirect(Policy::none())
            .user_agent(concat!("picobase-rust/", env!("CARGO_PKG_VERSION")))
            .tcp_keepalive(Duration::from_secs(30))
            .tcp_keepalive_interval(Duration::from_secs(15))
            .tcp_keepalive_retries(3)
            .build()
            .map(|client| ReqwestTransport { may_redirect: false, ..ReqwestTransport::new(client) })
            .map_err(|e| {
                Error::configuration(format!("the HTTP client cannot be built: {}", root_cause(&e)))
                    .with_fix("Check SSL_CERT_FILE, the proxy variables, and the options of the HTTP client.")
            })
    }

    /// Lets the runtime look at idle connections before one is used again.
    ///
    /// On a runtime that runs on the calling thread nobody sees a server close an idle connection between two calls.
    /// A request on such a connection may be lost after it was sent, and a POST cannot be repeated. Giving way a few
    /// times lets the runtime poll its sockets and the connections notice that they are closed.
    async fn settle(&self) {
        let now = Instant::now();
        let last = self.last_use.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if last.is_some_and(|last| now.duration_since(last) >= SETTLE_AFTER) {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn used(&self) {
        *self.last_use.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Parses a URL, from its path on where its origin is known.
    fn url(&self, text: &str) -> Result<reqwest::Url, TransportError> {
        let known = self.origin.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known
            && let Some(path) = text.strip_prefix(known.text.as_str())
            && is_plain_path(path)
        {
            return known.url.join(path).map_err(|e| invalid("the URL", &e));
        }
        let url = parse(text)?;
        if let Some(origin) = plain_origin(text) {
            let fresh = Arc::new(Origin { text: origin.to_string(), url: parse(origin)? });
            *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        }
        Ok(url)
    }

    fn request(&self, request: Request) -> Result<reqwest::Request, TransportError> {
        let url = self.url(&request.url)?;
        let mut out = reqwest::Request::new(method(request.method), url);
        for (name, value) in request.headers.iter() {
            let name = reqwest::header::HeaderName::try_from(name).map_err(|e| invalid("a header's name", &e))?;
            let mut value = reqwest::header::HeaderValue::try_from(value).map_err(|_| {
                TransportError::new(Failure::Invalid, format!("the header {name} has a value that cannot be sent"))
            })?;
            value.set_sensitive(name == "authorization" || name == "x-picobase-key");
            out.headers_mut().insert(name, value);
        }
        self.set_body(&mut out, request.body)?;
        Ok(out)
    }

    fn set_body(&self, out: &mut reqwest::Request, body: Body) -> Result<(), TransportError> {
        match body {
            Body::Empty => return Ok(()),
            Body::Json(json) => {
                set_type(out, "application/json")?;
                *out.body_mut() = Some(json.into_bytes().into());
            }
            Body::Raw(source) => {
                set_type(out, "application/octet-stream")?;
                *out.body_mut() = Some(reqwest::Body::wrap(UploadBody::new(BodyReader::of_source(&source))));
            }
            Body::Multipart(form) => {
                let boundary = self.boundary();
                set_type(out, &format!("multipart/form-data; boundary={boundary}"))?;
                *out.body_mut() = Some(reqwest::Body::wrap(UploadBody::new(form.encode(&boundary))));
            }
        }
        Ok(())
    }

    /// A boundary that no file has in it by chance.
    fn boundary(&self) -> String {
        use std::hash::{BuildHasher, RandomState};
        let n = self.boundaries.fetch_add(1, Ordering::Relaxed);
        let salt = RandomState::new();
        format!("picobase-{:016x}{:016x}", salt.hash_one(n), salt.hash_one(!n))
    }
}

impl Transport for ReqwestTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let request = self.request(request)?;
            let asked = self.may_redirect.then(|| request.url().clone());
            self.settle().await;
            let answer = self.client.execute(request).await;
            self.used();
            let answer = answer.map_err(|e| failed(&e))?;
            if asked.is_some_and(|asked| *answer.url() != asked) {
                return Err(TransportError::new(
                    Failure::Redirected,
                    format!("the HTTP client followed a redirect to {}", crate::url::redact(answer.url().as_str())),
                ));
            }
            Ok(response(answer))
        })
    }
}

fn parse(url: &str) -> Result<reqwest::Url, TransportError> {
    reqwest::Url::parse(url).map_err(|e| invalid("the URL", &e))
}

/// The origin of an http(s) URL; none for URLs that a parser reads in ways of its own.
fn plain_origin(url: &str) -> Option<&str> {
    let host = if url.starts_with("https://") { 8 } else { "http://".len() };
    if !(url.starts_with("http://") || host == 8) {
        return None;
    }
    let length = url.get(host..)?.bytes().position(|b| matches!(b, b'/' | b'?' | b'#'))?;
    let (origin, path) = url.split_at_checked(host.checked_add(length)?)?;
    let plain = length > 0 && !origin.contains(['@', '\\']) && origin.bytes().all(|b| b.is_ascii_graphic());
    (plain && is_plain_path(path)).then_some(origin)
}

/// A path, with or without a query, that stays on its origin: a second slash, or what parsers take for one, would begin
/// another host, and blanks are dropped by them.
fn is_plain_path(path: &str) -> bool {
    // Not `all`: without the early exit the loop is done in a few wide steps.
    path.bytes().fold(true, |plain, b| plain & b.is_ascii_graphic() & (b != b'\\'))
        && path.starts_with('/')
        && !path.starts_with("//")
}

fn invalid(what: &str, e: &dyn StdError) -> TransportError {
    TransportError::new(Failure::Invalid, format!("{what} cannot be sent: {e}"))
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// The type of the body, unless the caller chose one.
fn set_type(out: &mut reqwest::Request, content_type: &str) -> Result<(), TransportError> {
    let value = reqwest::header::HeaderValue::try_from(content_type).map_err(|e| invalid("the content type", &e))?;
    out.headers_mut().entry(reqwest::header::CONTENT_TYPE).or_insert(value);
    Ok(())
}

/// The header fields that the core reads; the others are not worth a copy.
const READ: [reqwest::header::HeaderName; 6] = [
    reqwest::header::CONTENT_LENGTH,
    reqwest::header::RETRY_AFTER,
    reqwest::header::LOCATION,
    reqwest::header::CONTENT_RANGE,
    reqwest::header::ETAG,
    reqwest::header::LAST_MODIFIED,
];

fn response(answer: reqwest::Response) -> Response {
    let mut headers = Headers::new();
    for name in &READ {
        if let Some(value) = answer.headers().get(name)
            && let Ok(value) = value.to_str()
        {
            headers.append(name.as_str(), value);
        }
    }
    Response { status: answer.status().as_u16(), headers, body: Box::new(ReqwestBody(answer)) }
}

struct ReqwestBody(reqwest::Response);

impl ResponseBody for ReqwestBody {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        Box::pin(async { self.0.chunk().await.map_err(|e| failed(&e)) })
    }

    fn length(&self) -> Option<u64> {
        self.0.content_length()
    }
}

/// Sorts a failure. Messages are those of the innermost cause: the outer ones repeat the URL, which may hold a token.
fn failed(e: &reqwest::Error) -> TransportError {
    if let Some(ours) = find_source::<TransportError>(e) {
        return ours.clone();
    }
    let cause = root_cause(e);
    let chain = chain(e);
    let failure = if e.is_redirect() {
        Failure::Redirected
    } else if find_source::<io::Error>(e).is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
        Failure::Refused
    } else if e.is_connect() && chain.contains("dns error") {
        Failure::UnknownHost
    } else if e.is_connect()
        && ["certificate", "tls", "handshake", "received corrupt message"].iter().any(|word| chain.contains(word))
    {
        Failure::Tls
    } else if e.is_builder() {
        Failure::Invalid
    } else {
        Failure::Broken
    };
    TransportError::new(failure, cause)
}

fn find_source<'a, T: StdError + 'static>(e: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(e);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // An io::Error keeps what it wraps to itself.
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find_source::<T>(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn root_cause(e: &dyn StdError) -> String {
    let mut last: &dyn StdError = e;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}

fn chain(e: &dyn StdError) -> String {
    let mut out = String::new();
    let mut next = e.source();
    while let Some(error) = next {
        out.push_str(&error.to_string().to_lowercase());
        out.push('\n');
        next = error.source();
    }
    out
}

/// An upload as reqwest wants it: with its size, so that the server knows the length in advance.
struct UploadBody {
    reader: Mutex<BodyReader>,
    total: Option<u64>,
    done: u64,
}

impl UploadBody {
    fn new(reader: BodyReader) -> Self {
        UploadBody { total: reader.total(), reader: Mutex::new(reader), done: 0 }
    }
}

impl http_body::Body for UploadBody {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let this = &mut *self;
        let reader = this.reader.get_mut().unwrap_or_else(PoisonError::into_inner);
        match reader.poll_piece(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(e))),
            Poll::Ready(Some(Ok(piece))) => {
                this.done = this.done.saturating_add(piece.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.total {
            Some(total) => http_body::SizeHint::with_exact(total.saturating_sub(self.done)),
            None => http_body::SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(url: &str, transport: &ReqwestTransport) {
        let ours = transport.url(url).map(|url| url.to_string()).map_err(|e| e.to_string());
        assert_eq!(ours, parse(url).map(|url| url.to_string()).map_err(|e| e.to_string()), "{url}");
    }

    #[test]
    fn known_origins_change_nothing() {
        let transport = ReqwestTransport::new(reqwest::Client::new());
        for rest in
            ["", "/", "//b/c", "/a//b", "/a/../b", "/%2e%2e/b", "/\\b", "/\t/b", "/a?b=/../c#d", "?a", "#a", "/ä b"]
        {
            for origin in
                ["http://h:8090", "https://H", "http://h:80", "http://u@h", "http://[::1]:1", "http://", "ftp://h"]
            {
                for _ in 0..2 {
                    same(&format!("{origin}{rest}"), &transport);
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_path_is_read_as_in_the_whole(path in "[/a.%2e?#&=~:@\\\\ ]{0,16}") {
            static TRANSPORT: std::sync::OnceLock<ReqwestTransport> = std::sync::OnceLock::new();
            let transport = TRANSPORT.get_or_init(|| ReqwestTransport::new(reqwest::Client::new()));
            same(&format!("http://h:8090{path}"), transport);
            same(&format!("http://h:8090/{path}"), transport);
        }
    }
}
