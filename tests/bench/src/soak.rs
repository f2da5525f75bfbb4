//! Half an hour of realtime under the real limits of the server: 5 minutes of silence, 30 minutes of age.
//!
//! Beside each client of ours runs a control, a plain reader of the same topics that the server does end: it shows that
//! the limit was there to be met.

mod busy;
mod quiet;

use std::{ffi::OsString, fmt::Display, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use futures_util::future::join5;
use lexopt::prelude::{Long, ValueExt as _};
use picobase_testkit::{Proxy, Server, Testkit};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{bare_stream::BareStream, machine, measure::kilobytes, stage::on_all_cores};

/// A little longer than the server lets any stream live.
const FULL: f64 = 31.5;
/// The server ends a stream on which nothing was said for so long.
const SILENCE_LIMIT: Duration = Duration::from_secs(5 * 60);
/// The server ends every stream at this age.
const AGE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How far a measured time may be off.
const TOLERANCE: Duration = Duration::from_secs(10);

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Passed,
    Failed,
    /// The run was too short for it.
    NotReached,
}

/// Something that must be so.
#[derive(Serialize)]
struct Check {
    what: String,
    must: String,
    found: String,
    outcome: Outcome,
}

/// What one part of the run has found.
#[derive(Default)]
struct Findings(Vec<Check>);

impl Findings {
    fn check(&mut self, what: &str, must: impl Display, found: impl Display, holds: bool) {
        self.add(what, must, found, if holds { Outcome::Passed } else { Outcome::Failed });
    }

    fn not_reached(&mut self, what: &str, must: impl Display) {
        self.add(what, must, "the run was too short", Outcome::NotReached);
    }

    /// A time that was measured, unless the run was too short to meet it.
    fn time(&mut self, what: &str, must: Duration, found: Option<Duration>, run: Duration) {
        let text = format!("{} s", must.as_secs());
        if run < must + TOLERANCE {
            return self.not_reached(what, text);
        }
        let near = found.is_some_and(|found| found.abs_diff(must) <= TOLERANCE);
        self.check(what, text, found.map_or("never".to_owned(), |found| format!("{:.1} s", found.as_secs_f64())), near);
    }

    fn add(&mut self, what: &str, must: impl Display, found: impl Display, outcome: Outcome) {
        self.0.push(Check { what: what.to_owned(), must: must.to_string(), found: found.to_string(), outcome });
    }
}

/// The whole run, as JSON.
#[derive(Serialize)]
struct Account {
    machine: String,
    minutes: f64,
    checks: Vec<Check>,
}

/// When it began and when it is to end.
#[derive(Clone, Copy)]
struct Run {
    start: Instant,
    length: Duration,
}

impl Run {
    fn end(self) -> Instant {
        self.start + self.length
    }

    /// That long after the start, but not after the end.
    fn at(self, time: Duration) -> Instant {
        self.start + time.min(self.length)
    }
}

/// Does what the arguments say.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let (mut minutes, mut out) = (FULL, None::<PathBuf>);
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("out") => out = Some(parser.value()?.into()),
            Long("minutes") => minutes = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let length = Duration::try_from_secs_f64(minutes * 60.0).context("so many minutes cannot be")?;
    let checks = on_all_cores()?.block_on(soak(length));
    let account = Account { machine: machine::describe(), minutes, checks };
    print(&account);
    if let Some(out) = out {
        let json = serde_json::to_string_pretty(&account)? + "\n";
        std::fs::write(&out, json).with_context(|| format!("cannot write {}", out.display()))?;
    }
    let failed = account.checks.iter().any(|check| check.outcome == Outcome::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All parts at once, on one server.
async fn soak(length: Duration) -> Vec<Check> {
    let kit = Testkit::spawn();
    let server = kit.server().await;
    let run = Run { start: Instant::now(), length };
    let parts = join5(
        whole("quiet", quiet::listen(&server, run)),
        whole("quiet, plain reader", control(&server, run, "posts/*", "silence", SILENCE_LIMIT)),
        whole("busy", busy::listen(&server, &kit.info().password, run)),
        whole("busy, plain reader", control(&server, run, "bulk/*", "age", AGE_LIMIT)),
        whole("process", growth(run)),
    );
    let (quiet, quiet_control, busy, busy_control, growth) = parts.await;
    [quiet, quiet_control, busy, busy_control, growth].into_iter().flatten().collect()
}

/// A part that broke off has failed.
async fn whole(part: &str, work: impl Future<Output = Result<Findings>>) -> Vec<Check> {
    let mut findings = work.await.unwrap_or_else(|error| {
        let mut findings = Findings::default();
        findings.check("goes to its end", "yes", format!("{error:#}"), false);
        findings
    });
    findings.0.iter_mut().for_each(|check| check.what = format!("{part}: {}", check.what));
    findings.0
}

/// A plain reader that stays until the server ends its stream.
async fn control(server: &Server, run: Run, topic: &str, limit: &str, must: Duration) -> Result<Findings> {
    let proxy = server.proxy().await;
    let mut stream = BareStream::subscribe(&reqwest::Client::new(), &proxy.url, &[topic]).await?;
    let start = Instant::now();
    let mut ended = None;
    while ended.is_none() {
        match timeout_at(run.end(), stream.read(|_, _| Ok(()))).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) => ended = Some(start.elapsed()),
            Err(_) => break,
        }
    }
    let mut findings = Findings::default();
    findings.time(&format!("the server ends it by its {limit}"), must, ended, run.length);
    Ok(findings)
}

/// What the process takes after a minute and at the end.
async fn growth(run: Run) -> Result<Findings> {
    const MEMORY_MAX: u32 = 8;
    const TASKS_MAX: usize = 4;
    let now =
        || anyhow::Ok((kilobytes("VmRSS")? / 1024, tokio::runtime::Handle::current().metrics().num_alive_tasks()));
    sleep_until(run.at(Duration::from_secs(60).min(run.length / 2))).await;
    let (memory, tasks) = now()?;
    sleep_until(run.end()).await;
    let (memory_end, tasks_end) = now()?;
    let mut findings = Findings::default();
    findings.check(
        "memory at the start and at the end",
        format!("{MEMORY_MAX} MB more at most"),
        format!("{memory} MB, {memory_end} MB"),
        memory_end <= memory + MEMORY_MAX,
    );
    findings.check(
        "tasks at the start and at the end",
        format!("{TASKS_MAX} more at most"),
        format!("{tasks}, {tasks_end}"),
        tasks_end <= tasks + TASKS_MAX,
    );
    Ok(findings)
}

/// One stream in the proxy's log: when it began and ended, from the first one's beginning on.
struct Life {
    began: Duration,
    ended: Option<Duration>,
}

/// All streams that a client has opened.
async fn lives(proxy: &Proxy) -> Vec<Life> {
    let mut log = proxy.requests().await;
    log.retain(|request| request.method == "GET" && request.path == "/api/realtime");
    let first = log.first().map_or(0.0, |request| request.started_ms);
    let since = |ms: f64| Duration::from_secs_f64((ms - first).max(0.0) / 1000.0);
    log.iter().map(|request| Life { began: since(request.started_ms), ended: request.ended_ms.map(since) }).collect()
}

/// Every stream but the last is followed by one that began before it ended.
fn make_before_break(findings: &mut Findings, lives: &[Life]) {
    let (what, must) = ("a new stream is there before the old one goes", "always");
    if lives.len() < 2 {
        return findings.not_reached(what, must);
    }
    let held = lives.windows(2).all(|pair| match pair {
        [before, after] => before.ended.is_some_and(|ended| ended > after.began),
        _ => true,
    });
    let begins: Vec<String> = lives.iter().map(|life| format!("{:.0}", life.began.as_secs_f64())).collect();
    let found = format!("{} streams, opened at {} s", lives.len(), begins.join(", "));
    findings.check(what, must, found, held);
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn print(account: &Account) {
    println!("{}\n{} minutes\n", account.machine, account.minutes);
    for check in &account.checks {
        let word = match check.outcome {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAILED",
            Outcome::NotReached => "not reached",
        };
        println!("{word:<11}  {}: {} (must: {})", check.what, check.found, check.must);
    }
    let count = |outcome| account.checks.iter().filter(|check| check.outcome == outcome).count();
    let (passed, failed) = (count(Outcome::Passed), count(Outcome::Failed));
    println!("\n{passed} passed, {failed} failed, {} not reached", count(Outcome::NotReached));
}
