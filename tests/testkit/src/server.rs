//! The real server as a child process: start, stop, kill, start again with the same data.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};

use crate::lock;

/// How long a server may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a server may take to end after SIGTERM, before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// On how many processors Go runs a server. On several, two writes made one after the other come as events in the wrong
/// order about twice in a hundred; on one, twice in ten thousand.
const PROCESSORS: (&str, &str) = ("GOMAXPROCS", "1");
/// How many lines of a server's output are kept for error messages.
const KEPT_LINES: usize = 40;

/// How server processes are made.
pub(crate) struct Launcher {
    binary: PathBuf,
    setpriv: Option<PathBuf>,
}

impl Launcher {
    pub(crate) fn new(binary: PathBuf) -> Self {
        Self { binary, setpriv: find_on_path("setpriv").filter(|setpriv| can_set_death_signal(setpriv)) }
    }

    /// A command of the server binary that the kernel kills when this process dies.
    fn command(&self, dir: &Path) -> Command {
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
        let (name, one) = PROCESSORS;
        if std::env::var_os(name).is_none() {
            command.env(name, one);
        }
        for (flag, folder) in
            [("--dir", "data"), ("--hooksDir", "hooks"), ("--publicDir", "public"), ("--migrationsDir", "migrations")]
        {
            command.arg(flag).arg(dir.join(folder));
        }
        command
    }

    /// Makes the superuser in a data folder.
    pub(crate) async fn upsert_superuser(&self, dir: &Path, email: &str, password: &str) -> Result<()> {
        let output = self.command(dir).args(["superuser", "upsert", email, password]).output().await;
        let output = output.with_context(|| format!("running {}", self.binary.display()))?;
        if !output.status.success() {
            bail!("superuser upsert failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

/// Not every `setpriv` can (BusyBox's cannot), and only Linux's kernel can.
fn can_set_death_signal(setpriv: &Path) -> bool {
    let mut probe = std::process::Command::new(setpriv);
    probe.args(["--pdeathsig", "KILL", "--", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// The first file of that name on PATH.
pub(crate) fn find_on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// What a server process does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Down,
    Starting,
    Ready(u32),
}

/// How a server process ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Kill,
    Terminate,
}

/// One server: a data folder, a port, and most of the time a process.
pub(crate) struct Server {
    pub(crate) id: String,
    pub(crate) port: u16,
    dir: PathBuf,
    launcher: Arc<Launcher>,
    state: watch::Sender<State>,
    end: Mutex<Option<mpsc::UnboundedSender<End>>>,
    changing: tokio::sync::Mutex<()>,
}

impl Server {
    pub(crate) fn new(id: String, port: u16, dir: PathBuf, launcher: Arc<Launcher>) -> Self {
        let (state, _) = watch::channel(State::Down);
        Self { id, port, dir, launcher, state, end: Mutex::new(None), changing: tokio::sync::Mutex::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Starts the process and waits until it listens. Does nothing when it runs.
    pub(crate) async fn start(&self) -> Result<()> {
        let _changing = self.changing.lock().await;
        if self.state() != State::Down {
            return Ok(());
        }
        self.state.send_replace(State::Starting);
        let started = self.launch().await;
        if started.is_err() {
            self.state.send_replace(State::Down);
        }
        started
    }

    async fn launch(&self) -> Result<()> {
        let mut command = self.launcher.command(&self.dir);
        command.args(["serve", "--automigrate=false", "--http"]).arg(format!("127.0.0.1:{}", self.port));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("starting the server")?;
        let pid = child.id().context("the server ended at once")?;
        let output = Output::of(&mut child);
        tokio::time::timeout(START_TIMEOUT, output.listening)
            .await
            .ok()
            .and_then(Result::ok)
            .with_context(|| format!("the server did not start: {}", output.tail.text()))?;
        let (end, ends) = mpsc::unbounded_channel();
        *lock(&self.end) = Some(end);
        tokio::spawn(supervise(child, ends, self.state.clone()));
        self.state.send_if_modified(|state| {
            let up = *state == State::Starting;
            if up {
                *state = State::Ready(pid);
            }
            up
        });
        Ok(())
    }

    /// Ends the process and waits until it is gone. Does nothing when it does not run.
    pub(crate) async fn end(&self, how: End) {
        let _changing = self.changing.lock().await;
        if let Some(end) = lock(&self.end).take() {
            let _ = end.send(how);
        }
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| *state == State::Down).await;
    }

    /// Kills the process and deletes its data.
    pub(crate) async fn remove(&self) {
        self.end(End::Kill).await;
        let _ = tokio::fs::remove_dir_all(&self.dir).await;
    }
}

/// Owns the process until its end.
async fn supervise(mut child: Child, mut ends: mpsc::UnboundedReceiver<End>, state: watch::Sender<State>) {
    tokio::select! {
        status = child.wait() => tracing::warn!(?status, "the server ended by itself"),
        how = ends.recv() => {
            if !(matches!(how, Some(End::Terminate)) && terminate(&mut child).await) {
                let _ = child.kill().await;
            }
        }
    }
    state.send_replace(State::Down);
}

/// Asks the process to end; false when it did not.
async fn terminate(child: &mut Child) -> bool {
    #[cfg(unix)]
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        return tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_ok();
    }
    false
}

/// The last lines that a server printed.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = lock(&self.0);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        lock(&self.0).iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// What a server prints, and the moment at which it says that it listens.
struct Output {
    tail: Tail,
    listening: oneshot::Receiver<()>,
}

impl Output {
    fn of(child: &mut Child) -> Self {
        let tail = Tail::default();
        let (started, listening) = oneshot::channel();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read_output(stdout, tail.clone(), Some(started)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(read_output(stderr, tail.clone(), None));
        }
        Self { tail, listening }
    }
}

async fn read_output(pipe: impl AsyncRead + Unpin, tail: Tail, mut started: Option<oneshot::Sender<()>>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::debug!(target: "server", "{line}");
        if line.contains("Server started")
            && let Some(started) = started.take()
        {
            let _ = started.send(());
        }
        tail.push(line);
    }
}
