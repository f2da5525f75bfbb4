//! A server that repeats real events as fast as they are read, in a process of its own so that its CPU does not count.
//!
//! It has the events from a real server, and sends them when it is asked to: the same bytes in the same HTTP chunks, one
//! for each message.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use picobase_testkit::Testkit;
use serde_json::Value;

use crate::{bare_stream::BareStream, stage::on_this_thread};

pub(crate) const COMMAND: &str = "replay";
/// How many events a burst has.
pub(crate) const EVENTS: u32 = 18_000;
/// The topic of all of them.
pub(crate) const TOPIC: &str = "bulk/*";

/// The server's process. It ends with this.
pub(crate) struct Replay {
    pub(crate) url: String,
    _stdin: ChildStdin,
    child: Child,
}

impl Replay {
    /// Starts it; it records the events first, which takes some seconds.
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take().context("no stdin")?, child.stdout.take().context("no stdout")?);
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        ensure!(!url.is_empty(), "the replay did not start");
        Ok(Self { url: url.trim().to_owned(), _stdin: stdin, child })
    }
}

/// Has the replay at this URL send all events to the stream that has subscribed last.
pub(crate) async fn burst(http: &reqwest::Client, url: &str) -> Result<()> {
    http.post(format!("{url}/burst")).send().await?.error_for_status()?;
    Ok(())
}

impl Drop for Replay {
    fn drop(&mut self) {
        // It holds nothing that would be lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the child does: serve until its input ends.
#[expect(clippy::print_stdout, reason = "the parent reads the URL from it")]
pub(crate) fn child() -> Result<()> {
    let events = on_this_thread()?.block_on(record())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    let server = Arc::new(Server { events, streams: Mutex::default(), last: Mutex::default() });
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let server = server.clone();
            // A client that went away ends its thread with an error.
            std::thread::spawn(move || server.serve(connection));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The data of real events.
async fn record() -> Result<Vec<String>> {
    let kit = Testkit::spawn();
    let server = kit.server().await;
    let mut stream = BareStream::subscribe(&reqwest::Client::new(), &server.direct_url, &[TOPIC]).await?;
    server.seed("bulk", u64::from(EVENTS)).await;
    let mut events = Vec::new();
    while events.len() < EVENTS as usize {
        let more = stream
            .read(|_, data| {
                events.push(String::from_utf8(data.to_vec())?);
                Ok(())
            })
            .await?;
        ensure!(more, "the server ended the stream");
    }
    Ok(events)
}

const DONE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

struct Server {
    events: Vec<String>,
    streams: Mutex<HashMap<String, TcpStream>>,
    /// Which stream has subscribed last.
    last: Mutex<String>,
}

impl Server {
    /// The requests of one connection, until it becomes a stream.
    fn serve(&self, mut connection: TcpStream) -> Result<()> {
        connection.set_nodelay(true)?;
        let mut reader = BufReader::new(connection.try_clone()?);
        loop {
            let (first, body) = request(&mut reader)?;
            if first.starts_with("POST /api/realtime") {
                let submit: Value = serde_json::from_slice(&body)?;
                let id = submit.get("clientId").and_then(Value::as_str).unwrap_or_default();
                id.clone_into(&mut locked(&self.last));
                connection.write_all(DONE)?;
            } else if first.starts_with("POST /burst") {
                connection.write_all(DONE)?;
                self.burst()?;
            } else if first.starts_with("GET /api/realtime") {
                return self.begin(connection);
            } else {
                let body = r#"{"page":1,"perPage":1,"totalItems":-1,"totalPages":-1,"items":[]}"#;
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
                connection.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes())?;
            }
        }
    }

    fn begin(&self, mut stream: TcpStream) -> Result<()> {
        let mut streams = locked(&self.streams);
        let id = format!("{:0>40}", streams.len());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let hello = chunk(&id, "PB_CONNECT", &format!("{{\"clientId\":\"{id}\"}}\n"));
        stream.write_all(format!("{head}{hello}").as_bytes())?;
        streams.insert(id, stream);
        Ok(())
    }

    /// Sends all events to the stream that has subscribed last.
    fn burst(&self) -> Result<()> {
        let id = locked(&self.last).clone();
        let stream = locked(&self.streams).get(&id).map(TcpStream::try_clone);
        let bytes: String = self.events.iter().map(|data| chunk(&id, TOPIC, data)).collect();
        Ok(stream.context("no such stream")??.write_all(bytes.as_bytes())?)
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message as one chunk, in PocketBase's form.
fn chunk(id: &str, topic: &str, data: &str) -> String {
    let message = format!("id:{id}\nevent:{topic}\ndata:{data}\n");
    format!("{:x}\r\n{message}\r\n", message.len())
}

/// The first line and the body.
fn request(reader: &mut BufReader<TcpStream>) -> Result<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    ensure!(reader.read_line(&mut first)? > 0, "the client has gone");
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the client has gone");
        if line.trim().is_empty() {
            break;
        }
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((first, body))
}
