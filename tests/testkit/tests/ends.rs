//! Nothing is left of a testkit, however it ends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A testkit that keeps its data in a folder of its own, by which its processes are known.
struct Started {
    child: Child,
    root: tempfile::TempDir,
    info: Value,
}

impl Started {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_picobase-testkit"));
        command.arg("--data-root").arg(root.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let info = serde_json::from_str(&line).expect("one line of JSON");
        let started = Self { child, root, info };
        assert_eq!(servers_below(started.root.path()).len(), 1);
        started
    }

    fn folders(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.root.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// The processes whose command line names that folder, but the testkit itself.
fn servers_below(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains(folder) && !line.contains("--data-root")
    })
    .collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_ends_with_stdin() {
    let mut started = Started::new();
    drop(started.child.stdin.take());
    assert!(started.child.wait().unwrap().success());
    assert_eq!((servers_below(started.root.path()), started.folders()), (vec![], vec![]));
}

#[test]
fn it_ends_on_signals() {
    for name in ["TERM", "INT"] {
        let mut started = Started::new();
        started.signal(name);
        assert!(started.child.wait().unwrap().success(), "{name}");
        assert_eq!((servers_below(started.root.path()), started.folders()), (vec![], vec![]), "{name}");
    }
}

#[test]
fn it_ends_with_stdin_before_it_is_ready() {
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_picobase-testkit"));
    let mut child =
        command.arg("--data-root").arg(root.path()).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    eventually("no server is left", || servers_below(root.path()).is_empty());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_killed_testkit_takes_its_servers_with_it() {
    let mut started = Started::new();
    started.signal("KILL");
    started.child.wait().unwrap();
    eventually("no server is left", || servers_below(started.root.path()).is_empty());
    assert_eq!(started.folders().len(), 1, "its data stay until the next testkit comes");
    let old = std::time::SystemTime::now() - Duration::from_secs(120);
    std::fs::File::open(started.folders().first().unwrap()).unwrap().set_modified(old).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_picobase-testkit"));
    command.arg("--data-root").arg(started.root.path()).stdin(Stdio::null()).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    assert_eq!(started.folders().len(), 0, "the next testkit removes it");
}

#[test]
fn a_killed_parent_takes_the_testkit_and_its_servers_with_it() {
    let executable = std::env::current_exe().unwrap();
    let hold = executable.ancestors().map(|folder| folder.join("examples/hold")).find(|path| path.is_file());
    let hold = hold.expect("cargo test builds examples");
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new(hold);
    command.env("TMPDIR", root.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut parent = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let testkit = PathBuf::from(format!("/proc/{}", line.split(' ').next().unwrap()));
    assert!(testkit.exists());
    assert_eq!(servers_below(root.path()).len(), 1);
    signal(parent.id(), "KILL");
    assert_eq!(parent.wait().unwrap().signal(), Some(9));
    eventually("the testkit ends", || !testkit.exists());
    assert_eq!(servers_below(root.path()), Vec::<u32>::new());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn the_line_says_where_everything_is() {
    let started = Started::new();
    for name in ["url", "direct_url", "control", "server_id", "proxy_id", "password", "tls_ca"] {
        assert!(started.info.get(name).is_some_and(Value::is_string), "{name}");
    }
    assert!(Path::new(started.info.get("tls_ca").unwrap().as_str().unwrap()).is_file());
    let missing = Command::new(env!("CARGO_BIN_EXE_picobase-testkit")).args(["--server-binary", "/nowhere"]).output();
    let missing = missing.unwrap();
    assert!(!missing.status.success() && missing.stdout.is_empty());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere"));
}
