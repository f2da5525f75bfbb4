//! A client that sees the bytes and how a connection ends.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test file uses its part of it, and may panic")]

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a connection ended, or that it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
    /// Nothing came for that long.
    Silent,
    /// A whole answer came, and the connection is still open.
    Open,
}

/// What a client saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
    pub(crate) took: Duration,
}

impl Seen {
    /// A connection that was reset before anything could be sent.
    pub(crate) fn reset() -> Self {
        Self { head: String::new(), body: Vec::new(), end: End::Reset, took: Duration::ZERO }
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// One connection.
pub(crate) struct Raw<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl Raw<TcpStream> {
    pub(crate) async fn open(url: &str) -> Self {
        Self::try_open(url).await.unwrap()
    }

    pub(crate) async fn try_open(url: &str) -> std::io::Result<Self> {
        let address = url.split("//").nth(1).unwrap();
        Ok(Self::over(TcpStream::connect(address).await?))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a request with a JSON body, or with none where it is empty.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) {
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
        };
        let request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{length}\r\n{body}");
        // A peer that has reset the connection shows when it is read.
        let _ = self.write(request.as_bytes()).await;
    }

    /// Reads one answer, as far as it comes, and gives up after a silence of that length.
    pub(crate) async fn receive(&mut self, patience: Duration) -> Seen {
        self.read(|_| patience).await
    }

    /// The same, where the silence counts from when that much has come; until then it may last as long as it likes.
    pub(crate) async fn receive_after(&mut self, silence: Duration, enough: impl Fn(&str) -> bool) -> Seen {
        self.read(|there| if enough(&String::from_utf8_lossy(there)) { silence } else { PATIENCE }).await
    }

    async fn read(&mut self, patience: impl Fn(&[u8]) -> Duration) -> Seen {
        let started = Instant::now();
        let end = loop {
            if self.is_whole() {
                break End::Open;
            }
            let mut piece = [0; 16 * 1024];
            match tokio::time::timeout(patience(&self.buffer), self.stream.read(&mut piece)).await {
                Err(_) => break End::Silent,
                Ok(Ok(0)) => break End::Fin,
                Ok(Ok(n)) => self.buffer.extend(piece.iter().take(n)),
                Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Ok(Err(error)) => panic!("{error}"),
            }
        };
        let bytes = std::mem::take(&mut self.buffer);
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = match split {
            Some(at) => (bytes.get(..at).unwrap(), bytes.get(at + 4..).unwrap()),
            None => (bytes.as_slice(), [].as_slice()),
        };
        let head = String::from_utf8_lossy(head).into_owned();
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunk(body) } else { body.to_vec() };
        Seen { head, body, end, took: started.elapsed() }
    }

    /// How a connection without an answer under way ends.
    pub(crate) async fn end(&mut self, patience: Duration) -> (End, Duration) {
        let seen = self.receive(patience).await;
        (seen.end, seen.took)
    }

    /// Whether what has come is a whole answer.
    fn is_whole(&self) -> bool {
        let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
        let head = String::from_utf8_lossy(self.buffer.get(..at).unwrap()).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if head.contains("transfer-encoding: chunked") {
            return self.buffer.ends_with(b"\r\n0\r\n\r\n");
        }
        head.contains(" 204 ") || length.is_some_and(|length| self.buffer.len() >= at + 4 + length)
    }
}

/// What a chunked body carries, as far as it came.
fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = std::str::from_utf8(rest.get(..at).unwrap()).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let data = rest.get(at + 2..).unwrap();
        body.extend(data.iter().take(length));
        rest = data.get(length + 2..).unwrap_or_default();
    }
    body
}

/// How long to wait for such an end: only silence has none.
pub(crate) fn patience(end: End) -> Duration {
    if end == End::Silent { SILENCE } else { PATIENCE }
}

/// One request on a connection of its own.
pub(crate) async fn call(url: &str, method: &str, path: &str, body: &str) -> Seen {
    let mut raw = Raw::open(url).await;
    raw.send(method, path, body).await;
    raw.receive(PATIENCE).await
}

pub(crate) const HEALTH: &str = "/api/health";
pub(crate) const POSTS: &str = "/api/collections/posts/records";

/// How long tests wait to be sure that nothing comes.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);
/// How long tests wait for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
