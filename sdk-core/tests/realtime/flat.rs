//! Memory, tasks and sockets stay the same over many events and many reconnects. Measured in a process of its own, where
//! no other test allocates, against a server that does nothing but speak.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use futures_util::StreamExt;
use picobase::realtime::{Event, RealtimeOptions, RealtimeState, Subscription};

use crate::{
    common::{builder, within},
    tools::{Tasks, s, until},
};

const CHILD: &str = "PICOBASE_REALTIME_CHILD";
/// Events before the first measurement, and between the two.
const EVENTS: [u64; 2] = [20_000, 100_000];
/// Streams that end before the first measurement, and between the two.
const CUTS: [u64; 2] = [100, 1000];
/// How many records the events are about: more than are kept in mind.
const RECORDS: u64 = 20_000;

#[tokio::test]
async fn nothing_grows() {
    let (flood, cuts) = (Raw::start(Kind::Flood), Raw::start(Kind::Cuts));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "flat::child_listens", "--nocapture"]);
    command.env(CHILD, format!("{} {}", flood.address, cuts.address));
    let output = within(120, tokio::task::spawn_blocking(move || command.output().unwrap())).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{told}");
    let streams = |raw: &Raw| raw.state.lock().unwrap().streams;
    assert_eq!((streams(&flood), streams(&cuts)), (1, CUTS[0] + CUTS[1] + 2));
}

#[tokio::test]
async fn child_listens() {
    let Ok(addresses) = std::env::var(CHILD) else { return };
    let (flood, cuts) = addresses.split_once(' ').unwrap();
    let (tasks, sockets) = listen(flood, 1).await;
    // The waits between two streams are shorter by that much.
    let (tasks_of_cuts, sockets_of_cuts) = listen(cuts, 50).await;
    assert_eq!((tasks, tasks_of_cuts, sockets, sockets_of_cuts), (0, 0, 0, 0));
}

/// Listens until the server has said all; what is left after that, in tasks and in sockets.
async fn listen(address: &str, speed: u32) -> (usize, usize) {
    let tasks = Tasks::new(speed);
    let sockets = open_sockets();
    let mut options = RealtimeOptions::default();
    options.tracked_max = 2000;
    let builder = builder(&format!("http://{address}")).realtime(options).runtime(tasks.platform());
    // Where the clock is fast so is the deadline.
    let client = builder.timeout(s(1000)).build().unwrap();
    let mut events = client.collection("posts").subscribe("*").await.unwrap();
    let mut before = None;
    for round in 1..=2 {
        within(100, hold(&mut events, &format!("hold{round}"))).await;
        let (memory, alive, open) = (resident(), tasks.alive(), open_sockets());
        let (memory_before, alive_before, open_before) = *before.get_or_insert((memory, alive, open));
        assert!(memory <= memory_before + 4 * 1024, "{memory_before} KB, then {memory} KB");
        // Of what the pool keeps there may be one more or less.
        assert!(alive <= alive_before + 2 && open <= open_before + 2, "{alive_before} {open_before}, {alive} {open}");
        go_on(address);
    }
    drop(events);
    until(s(5), "disconnected", || async { client.realtime().state() == RealtimeState::Disconnected }).await;
    drop(client);
    until(s(5), "no task is left", || async { tasks.alive() == 0 }).await;
    (tasks.alive(), open_sockets().saturating_sub(sockets))
}

/// Reads up to the record with this id.
async fn hold(events: &mut Subscription, id: &str) {
    loop {
        if let Event::Record(change) = events.next().await.unwrap().unwrap()
            && change.id == id
        {
            return;
        }
    }
}

fn go_on(address: &str) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"POST /go HTTP/1.1\r\nContent-Length: 0\r\n\r\n").unwrap();
    connection.read_exact(&mut [0; 12]).unwrap();
}

/// The memory of this process, in KB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
}

fn open_sockets() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One stream with many events.
    Flood,
    /// Many streams with few.
    Cuts,
}

/// A server that speaks as much of the protocol as a client needs.
struct Raw {
    address: SocketAddr,
    kind: Kind,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    streams: u64,
    /// How many lists were asked for.
    lists: u64,
    /// The streams that have their topics, with how many that were then.
    submitted: HashMap<String, u64>,
    events: u64,
    /// How often it was told to go on.
    gone_on: u64,
}

impl Raw {
    fn start(kind: Kind) -> Arc<Raw> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let raw = Arc::new(Raw { address, kind, state: Mutex::default(), changed: Condvar::new() });
        let server = raw.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (server, connection) = (server.clone(), connection.unwrap());
                // A client that goes away ends no more than this.
                std::thread::spawn(move || server.serve(&connection).ok());
            }
        });
        raw
    }

    fn serve(&self, connection: &TcpStream) -> std::io::Result<()> {
        connection.set_nodelay(true)?;
        let mut input = BufReader::new(connection);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if input.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            let mut body = vec![0; length.parse().unwrap()];
            input.read_exact(&mut body)?;
            let mut output = connection;
            match head.split("HTTP/").next().unwrap().trim() {
                "GET /api/realtime" => return self.stream(connection),
                "POST /api/realtime" => {
                    let submit: serde_json::Value = serde_json::from_slice(&body)?;
                    let name = submit["clientId"].as_str().unwrap().to_string();
                    self.change(|state| _ = state.submitted.insert(name, state.lists));
                    output.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                }
                "POST /go" => {
                    self.change(|state| state.gone_on += 1);
                    output.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                }
                _ => {
                    self.change(|state| state.lists += 1);
                    let page = r#"{"page":1,"perPage":1,"totalItems":-1,"totalPages":-1,"items":[]}"#;
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len());
                    output.write_all(answer.as_bytes())?;
                }
            }
        }
    }

    fn stream(&self, connection: &TcpStream) -> std::io::Result<()> {
        let mut output = BufWriter::with_capacity(65_536, connection);
        let number = self.change(|state| {
            state.streams += 1;
            state.streams
        });
        let name = format!("stream{number}");
        output.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
        write!(output, "id:{name}\nevent:PB_CONNECT\ndata:{{\"clientId\":\"{name}\"}}\n\n")?;
        output.flush()?;
        // The client knows of its acknowledgement when it asks for what it has missed.
        self.wait(|state| state.submitted.get(&name).is_some_and(|lists| state.lists > *lists));
        match self.kind {
            Kind::Flood => {
                for (round, events) in (1..).zip(EVENTS) {
                    self.tell(&mut output, &name, events)?;
                    self.hold(&mut output, &name, round)?;
                }
            }
            Kind::Cuts if number == CUTS[0] + 1 => self.hold(&mut output, &name, 1)?,
            Kind::Cuts if number == CUTS[0] + CUTS[1] + 2 => self.hold(&mut output, &name, 2)?,
            Kind::Cuts => self.tell(&mut output, &name, 3)?,
        }
        output.flush()
    }

    /// Tells so many events, each of a moment of its own.
    fn tell(&self, output: &mut impl Write, name: &str, events: u64) -> std::io::Result<()> {
        for _ in 0..events {
            let number = self.change(|state| {
                state.events += 1;
                state.events
            });
            event(output, name, &format!("record{}", number % RECORDS), number)?;
        }
        Ok(())
    }

    /// Tells that it waits, and waits until it is told to go on.
    fn hold(&self, output: &mut impl Write, name: &str, round: u64) -> std::io::Result<()> {
        let number = self.change(|state| state.events);
        event(output, name, &format!("hold{round}"), number)?;
        output.flush()?;
        self.wait(|state| state.gone_on >= round);
        Ok(())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
        answer
    }

    fn wait(&self, until: impl Fn(&State) -> bool) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_timeout_while(state, Duration::from_secs(100), |state| !until(state)).unwrap());
    }
}

fn event(output: &mut impl Write, name: &str, id: &str, number: u64) -> std::io::Result<()> {
    let (seconds, millis) = (number / 1000, number % 1000);
    let mut updated = String::from("2026-01-01 00:");
    write!(updated, "{:02}:{:02}.{millis:03}Z", seconds / 60, seconds % 60).unwrap();
    let record = format!(r#"{{"collectionName":"posts","id":"{id}","n":{number},"updated":"{updated}"}}"#);
    write!(output, "id:{name}\nevent:posts/*\ndata:{{\"action\":\"update\",\"record\":{record}}}\n\n")
}
