//! Writes at a pace, each record with the time at which its request began.

use std::{
    ffi::OsString,
    io::{BufRead as _, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::stage::on_this_thread;

pub(crate) const COMMAND: &str = "write";
/// Fifty a second.
const PACE: Duration = Duration::from_millis(20);

/// A writer in a process of its own, so that its CPU does not count.
pub(crate) struct Writer {
    stdin: ChildStdin,
    child: Child,
}

impl Writer {
    pub(crate) fn start(url: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?).args([COMMAND, url]).stdin(Stdio::piped()).spawn()?;
        Ok(Self { stdin: child.stdin.take().context("no stdin")?, child })
    }

    /// Has it make so many records.
    pub(crate) fn write(&mut self, count: u32) -> Result<()> {
        Ok(writeln!(self.stdin, "{count}")?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It holds nothing that would be lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the child does: make as many records as each line of its input says.
pub(crate) fn child(arguments: &[OsString]) -> Result<()> {
    let [url] = arguments else { bail!("write: a URL is needed") };
    let (http, url) = (reqwest::Client::new(), url.to_string_lossy());
    for line in std::io::stdin().lock().lines() {
        let count: u32 = line?.trim().parse()?;
        on_this_thread()?.block_on(async {
            let mut ticks = interval(PACE);
            for _ in 0..count {
                ticks.tick().await;
                create(&http, &url).await?;
            }
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

/// Makes records for ever; where the server is away, some are not made.
pub(crate) async fn write_on(url: String) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap_or_default();
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        // The next one tries again.
        let _ = create(&http, &url).await;
    }
}

async fn create(http: &reqwest::Client, url: &str) -> Result<()> {
    let record = json!({"n": now(), "text": "x".repeat(100)});
    http.post(format!("{url}/api/collections/bulk/records")).json(&record).send().await?.error_for_status()?;
    Ok(())
}

/// Microseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
