//! What the scenarios share.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use picobase::{Error, ErrorKind};
use picobase_testkit::{LoggedRequest, Proxy};
use serde_json::json;

use crate::common::{kit, within};

/// A proxy before the shared server that does this to requests.
pub(crate) async fn faulty(rules: serde_json::Value) -> Proxy {
    let proxy = kit().proxy().await;
    proxy.faults(rules).await;
    proxy
}

/// A proxy that answers every request with that text.
pub(crate) async fn answering(status: u16, content_type: &str, body: &str) -> Proxy {
    let action = json!({"type": "respond", "status": status, "content_type": content_type, "body": body});
    faulty(json!([{"action": action}])).await
}

/// Milliseconds as a duration.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Runs something, and says how long it took.
pub(crate) async fn timed<F: IntoFuture>(work: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = within(20, work).await;
    (output, start.elapsed())
}

/// The methods and statuses of a log, in order.
pub(crate) fn outline(log: &[LoggedRequest]) -> Vec<String> {
    let status = |r: &LoggedRequest| r.status.map_or("-".to_string(), |status| status.to_string());
    log.iter().map(|r| format!("{} {}", r.method, status(r))).collect()
}

/// Kind, status and number of requests, and that the error says where it was and what to do.
#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, status: u16, attempts: u32) {
    assert_eq!((error.kind(), error.status(), error.attempts()), (kind, status, attempts), "{error}: {error:?}");
    assert!(error.url().is_some_and(|url| url.starts_with("http")) && !error.fix().is_empty(), "{error:?}");
}

/// A listener that answers every connection with the same bytes, whatever it is asked.
pub(crate) struct Raw {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    /// Sends these bytes and ends the connection.
    pub(crate) fn sending(answer: impl Into<Vec<u8>>) -> Raw {
        let answer = answer.into();
        Raw::serving(move |stream| {
            let _ = stream.write_all(&answer);
        })
    }

    /// Answers as it likes once the head of the request is there.
    pub(crate) fn serving(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (sink, answer) = (sink.clone(), answer.clone());
                thread::spawn(move || serve(stream, &sink, &*answer));
            }
        });
        Raw { url, seen }
    }

    /// The heads of the requests; empty ones where a connection sent none.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<String>>, answer: &dyn Fn(&mut TcpStream)) {
    let _ = stream.set_read_timeout(Some(ms(5000)));
    let place = {
        let mut seen = seen.lock().unwrap();
        seen.push(String::new());
        seen.len() - 1
    };
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.to_lowercase().split_once("content-length: ").and_then(|(_, rest)| {
        let digits = rest.split("\r\n").next()?;
        digits.parse().ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = stream.read_exact(&mut body);
    seen.lock().unwrap()[place] = head;
    answer(&mut stream);
}
