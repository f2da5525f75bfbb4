//! One client's connection: its life, its timers and its end.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::Proxy;
use super::exchange::Exchanger;
use super::rules::{Action, How};
use crate::lock;

/// How long the rest of what a client sends is read after a FIN, so that no RST follows it.
const DRAIN: Duration = Duration::from_millis(500);

/// What a connection's task is told.
#[derive(Debug)]
enum Event {
    Cut(How),
    CutAt(Instant, How),
    IdleClose(Duration),
    Begin,
    End,
}

/// What others hold of a connection.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) number: u64,
    accepted: Instant,
    events: mpsc::UnboundedSender<Event>,
    /// The path of the request that is being answered.
    path: Mutex<Option<String>>,
}

impl Handle {
    /// Ends the connection now.
    pub(crate) fn cut(&self, how: How) {
        let _ = self.events.send(Event::Cut(how));
    }

    /// Ends the connection in a while.
    pub(crate) fn cut_in(&self, time: Duration, how: How) {
        let _ = self.events.send(Event::CutAt(Instant::now() + time, how));
    }

    /// Ends the connection when it gets that old.
    pub(crate) fn cut_at_age(&self, age: Duration, how: How) {
        let _ = self.events.send(Event::CutAt(self.accepted + age, how));
    }

    /// From now on closes the connection when it has been without a request for that long.
    pub(crate) fn close_when_idle(&self, time: Duration) {
        let _ = self.events.send(Event::IdleClose(time));
    }

    pub(crate) fn begin_request(&self, path: &str) {
        *lock(&self.path) = Some(path.to_owned());
        let _ = self.events.send(Event::Begin);
    }

    pub(crate) fn end_request(&self) {
        *lock(&self.path) = None;
        let _ = self.events.send(Event::End);
    }

    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.path).is_none()
    }

    /// Whether it answers a request whose path contains that.
    pub(crate) fn serves(&self, part: &str) -> bool {
        lock(&self.path).as_ref().is_some_and(|path| path.contains(part))
    }
}

/// Counts the connection as open while it lives.
struct Open {
    proxy: Arc<Proxy>,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.proxy.connections).remove(&self.number);
        self.proxy.log.connection_closed();
    }
}

/// Serves a connection from its accept to its end.
pub(crate) async fn serve(proxy: Arc<Proxy>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(socket) = SockRef::from(&stream).try_clone() else { return };
    let (events, told) = mpsc::unbounded_channel();
    let handle = Arc::new(Handle {
        number: proxy.log.connection_opened(),
        accepted: Instant::now(),
        events,
        path: Mutex::new(None),
    });
    let _open = Open { proxy: proxy.clone(), number: handle.number };
    lock(&proxy.connections).insert(handle.number, handle.clone());
    let (accept_rule, max_age) = {
        let mut rules = lock(&proxy.rules);
        (rules.at_accept(), rules.max_age())
    };
    let mut life = Life { told, socket, cuts: Vec::new(), idle_after: None, idle_since: None };
    if let Some((ms, how)) = max_age {
        handle.cut_at_age(Duration::from_millis(ms), how);
    }
    if let Some(action) = accept_rule
        && !life.at_accept(&action, &stream).await
    {
        return;
    }
    match &proxy.tls {
        None => life.run(&proxy, &handle, stream).await,
        Some(tls) => {
            // A client that speaks no TLS, or trusts no unknown authority, ends here.
            if let Ok(Ok(stream)) = timeout(Duration::from_secs(10), tls.accept(stream)).await {
                life.run(&proxy, &handle, stream).await;
            }
        }
    }
}

/// The timers and the socket of a connection.
struct Life {
    told: mpsc::UnboundedReceiver<Event>,
    socket: Socket,
    cuts: Vec<(Instant, How)>,
    idle_after: Option<Duration>,
    idle_since: Option<Instant>,
}

impl Life {
    /// Does what a rule wants before a byte is read; false when the connection is over.
    async fn at_accept(&mut self, action: &Action, stream: &TcpStream) -> bool {
        match action {
            Action::Reset(_) => reset(&self.socket),
            Action::Close(_) => {
                let _ = self.socket.shutdown(std::net::Shutdown::Write);
                let _ = timeout(DRAIN, stream.readable()).await;
            }
            Action::Stall(point) => {
                let end = point.ms.map(|ms| Instant::now() + Duration::from_millis(ms));
                return self.freeze(end).await;
            }
            _ => return true,
        }
        false
    }

    /// Says and reads nothing until then; false when the connection is to end.
    async fn freeze(&mut self, until: Option<Instant>) -> bool {
        let far = Instant::now() + Duration::from_secs(86_400);
        loop {
            tokio::select! {
                () = sleep_until(until.unwrap_or(far)) => return true,
                event = self.told.recv() => match event {
                    Some(Event::Cut(How::Reset)) => {
                        reset(&self.socket);
                        return false;
                    }
                    None | Some(Event::Cut(How::Close)) => return false,
                    Some(Event::CutAt(at, how)) => self.cuts.push((at, how)),
                    Some(_) => {}
                },
            }
        }
    }

    /// Serves requests until the client, the server or a fault ends it.
    async fn run<IO>(mut self, proxy: &Arc<Proxy>, handle: &Arc<Handle>, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let exchanger = Arc::new(Exchanger::new(proxy.clone(), handle.clone()));
        let service = service_fn(move |request| {
            let exchanger = exchanger.clone();
            async move { Ok::<_, Infallible>(exchanger.exchange(request).await) }
        });
        let mut server = hyper::server::conn::http1::Builder::new();
        server.header_read_timeout(None).max_headers(256);
        let mut connection = server.serve_connection(TokioIo::new(io), service);
        let how = tokio::select! {
            biased;
            how = self.next_cut() => how,
            done = &mut connection => {
                if let Err(error) = done {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
        };
        match how {
            How::Reset => reset(&self.socket),
            How::Close => {
                let mut io = connection.into_parts().io.into_inner();
                let _ = self.socket.shutdown(std::net::Shutdown::Write);
                let _ = timeout(DRAIN, drain(&mut io)).await;
            }
            How::Stall => {
                self.freeze(None).await;
            }
        }
    }

    /// Waits until the connection has to end.
    async fn next_cut(&mut self) -> How {
        let far = Instant::now() + Duration::from_secs(86_400);
        loop {
            let idle = self.idle_since.zip(self.idle_after).map(|(since, after)| (since + after, How::Close));
            let next = self.cuts.iter().copied().chain(idle).min_by_key(|(at, _)| *at);
            let (at, how) = next.unwrap_or((far, How::Close));
            tokio::select! {
                biased;
                event = self.told.recv() => match event {
                    None => return How::Close,
                    Some(Event::Cut(how)) => return how,
                    Some(Event::CutAt(at, how)) => self.cuts.push((at, how)),
                    Some(Event::IdleClose(after)) => self.idle_after = Some(after),
                    Some(Event::Begin) => self.idle_since = None,
                    Some(Event::End) => self.idle_since = Some(Instant::now()),
                },
                () = sleep_until(at) => return how,
            }
        }
    }
}

/// Makes the close of this socket a RST.
fn reset(socket: &Socket) {
    let _ = socket.set_linger(Some(Duration::ZERO));
}

async fn drain(io: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; 16 * 1024];
    while matches!(io.read(&mut buffer).await, Ok(n) if n > 0) {}
}
