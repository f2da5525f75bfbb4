//! The testkit's process, as its starter holds it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::fail;

const BINARY: &str = if cfg!(windows) { "picobase-testkit.exe" } else { "picobase-testkit" };
/// How long the process may take to end once its stdin is closed.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// What a testkit says of itself when it is ready.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Info {
    /// The default proxy.
    pub url: String,
    /// The default server itself.
    pub direct_url: String,
    /// The control port.
    pub control: String,
    /// Id of the default server.
    pub server_id: String,
    /// Id of the default proxy.
    pub proxy_id: String,
    /// The superuser of every server.
    pub superuser: Superuser,
    /// The password of all seeded users.
    pub password: String,
    /// The e-mails of all seeded users.
    pub users: Vec<String>,
    /// The same by auth collection.
    pub accounts: std::collections::BTreeMap<String, Vec<String>>,
    /// The OAuth2 provider.
    pub oauth: OAuthInfo,
    /// The port of the mail server.
    pub smtp_port: u16,
    /// The PEM file of the authority that TLS proxies are signed by.
    pub tls_ca: PathBuf,
}

/// A superuser's credentials.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Superuser {
    /// E-mail.
    pub email: String,
    /// Password.
    pub password: String,
}

/// The OAuth2 provider that `users` is configured with.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct OAuthInfo {
    /// Its name at the server.
    pub provider: String,
    /// The collection that knows it.
    pub collection: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
    /// Where a user signs in; `login_hint` says who.
    pub authorize_url: String,
    /// Where codes are exchanged.
    pub token_url: String,
    /// Where the server learns who it was.
    pub userinfo_url: String,
}

/// The process; it ends when this is dropped, for its stdin closes then.
#[derive(Debug)]
pub(super) struct Process {
    id: u32,
    child: Mutex<Child>,
}

impl Process {
    pub(super) fn start(arguments: &[&str]) -> (Self, Info) {
        let binary = binary();
        let mut command = Command::new(&binary);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => fail(&format!("{} does not start: {error}", binary.display())),
        };
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        match serde_json::from_str(&line) {
            Ok(info) => (Self { id: child.id(), child: Mutex::new(child) }, info),
            Err(_) => fail(&format!("{} did not get ready (see stderr); it printed {line:?}", binary.display())),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Ok(child) = self.child.get_mut() else { return };
        drop(child.stdin.take());
        let end = Instant::now() + END_TIMEOUT;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Where the testkit's binary is.
fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("PICOBASE_TESTKIT_BIN") {
        return PathBuf::from(binary);
    }
    let executable = std::env::current_exe().unwrap_or_default();
    let found = executable.ancestors().skip(1).map(|folder: &Path| folder.join(BINARY)).find(|path| path.is_file());
    match found {
        Some(binary) => binary,
        None => fail(&format!(
            "no {BINARY} above {}: run `cargo build -p picobase-testkit`, or set PICOBASE_TESTKIT_BIN",
            executable.display()
        )),
    }
}
