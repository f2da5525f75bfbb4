//! How soon events come again after a failure, with fifty writes a second throughout.
//!
//! Each record carries the time at which its write began, so that it is known what was written after the failure.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{StreamExt as _, future::join};
use picobase::{
    Client,
    realtime::{Event, RealtimeOptions, Subscription},
};
use picobase_testkit::{Cut, Proxy, Server, Testkit};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    calls,
    measure::percentile,
    report::{Budget::AtMost, Report},
    stage::{Item, on_all_cores},
    writer::{now, write_on},
};

const RESTARTS: usize = 12;
const CUTS: usize = 20;
const STALLS: usize = 3;
/// How long the server is away.
const DOWNTIME: Duration = Duration::from_millis(500);
/// How long all goes well between two failures, in microseconds.
const CALM: i64 = 1_000_000;
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How much silence a client takes that is to notice a stall.
const LIVENESS: Duration = Duration::from_secs(10);
/// The writes of this time after a moment, in microseconds, have the first one among them.
const FIRST: i64 = 200_000;

/// Measures all rows about failures.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let runtime = on_all_cores()?;
    let kit = Testkit::spawn();
    let server = runtime.block_on(kit.server());
    let writer = runtime.spawn(write_on(server.direct_url.clone()));
    let measured = runtime.block_on(async {
        restarts(&server, report).await?;
        cuts(&server, report).await?;
        stalls(&server, report).await
    });
    writer.abort();
    measured
}

async fn restarts(server: &Server, report: &mut Report) -> Result<()> {
    let row = "server restarts, live again";
    if !report.wants(row) {
        return Ok(());
    }
    let mut follower = Follower::new(&server.direct_url, RealtimeOptions::default()).await?;
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        follower.hear(now() + CALM, i64::MAX).await?;
        server.kill().await;
        sleep(DOWNTIME).await;
        let live = async {
            let up = healthy(&server.direct_url).await?;
            Ok::<_, anyhow::Error>(follower.hear(up, i64::MAX).await? - up)
        };
        times.push(join(server.start(), live).await.1?);
    }
    tell(report, row, "healthy server", &times, 1.0);
    follower.compare(server, report, "state after restarts").await
}

async fn cuts(server: &Server, report: &mut Report) -> Result<()> {
    let row = "cut streams, live again";
    if !report.wants(row) {
        return Ok(());
    }
    let proxy = server.proxy().await;
    let mut follower = Follower::new(&proxy.url, RealtimeOptions::default()).await?;
    let mut times = Vec::new();
    for _ in 0..CUTS {
        follower.hear(now() + CALM, i64::MAX).await?;
        let (before, after) = cut(&proxy, Cut::Reset).await?;
        times.push(follower.hear(after, i64::MAX).await? - before);
    }
    tell(report, row, "cut", &times, 1.0);
    follower.compare(server, report, "state after cuts").await
}

async fn stalls(server: &Server, report: &mut Report) -> Result<()> {
    let row = "stall with a liveness of 10 s, its first write comes";
    if !report.wants(row) {
        return Ok(());
    }
    let proxy = server.proxy().await;
    let mut options = RealtimeOptions::default();
    options.liveness = LIVENESS;
    let mut follower = Follower::new(&proxy.url, options).await?;
    let mut times = Vec::new();
    for _ in 0..STALLS {
        follower.hear(now() + CALM, i64::MAX).await?;
        let (before, after) = cut(&proxy, Cut::Stall).await?;
        times.push(follower.hear(after, after + FIRST).await? - before);
    }
    tell(report, row, "stall", &times, LIVENESS.as_secs_f64() + 1.0);
    follower.compare(server, report, "state after stalls").await
}

/// Median in the table, all of them below it.
fn tell(report: &mut Report, row: &str, peer: &str, micros: &[i64], budget: f64) {
    let seconds: Vec<f64> = micros
        .iter()
        .filter_map(|micros| Some(Duration::from_micros(u64::try_from(*micros).ok()?).as_secs_f64()))
        .collect();
    report.absolute((row, peer, "s"), percentile(&seconds, 50), AtMost(budget));
    let [least, most] = [0, 100].map(|percent| percentile(&seconds, percent));
    report.note(format!("{row}: {} times, {least:.2} to {most:.2} s", seconds.len()));
}

/// Cuts the stream: when it was cut at the earliest and at the latest.
async fn cut(proxy: &Proxy, how: Cut) -> Result<(i64, i64)> {
    let before = now();
    ensure!(proxy.cut_path(how, "/api/realtime").await > 0, "there was no stream to cut");
    Ok((before, now()))
}

/// When the server answers again.
async fn healthy(url: &str) -> Result<i64> {
    let http = reqwest::Client::new();
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        let answer = http.get(format!("{url}/api/health")).timeout(Duration::from_secs(1)).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(now());
        }
        sleep(Duration::from_millis(5)).await;
    }
    bail!("the server did not come back")
}

/// A client that follows the collection.
struct Follower {
    events: Subscription<Item>,
    /// Number by id.
    state: HashMap<String, i64>,
}

impl Follower {
    async fn new(url: &str, options: RealtimeOptions) -> Result<Self> {
        let client = Client::builder().url(url).api_key("").realtime(options).build()?;
        let state = all(url).await?;
        let events = client.collection("bulk").typed::<Item>().subscribe("*").await?;
        let mut follower = Self { events, state };
        // What was written between.
        follower.state.extend(all(url).await?);
        Ok(follower)
    }

    /// Waits for a record that was written in that time; when it came.
    async fn hear(&mut self, since: i64, until: i64) -> Result<i64> {
        let heard = async {
            loop {
                let written = self.next().await?;
                if written >= since && written <= until {
                    return Ok(now());
                }
            }
        };
        timeout(LIMIT, heard).await.context("no event came")?
    }

    /// The next event: when its record was written.
    async fn next(&mut self) -> Result<i64> {
        match self.events.next().await {
            Some(Ok(Event::Record(change))) => {
                let item = change.record()?;
                self.state.insert(item.id, item.n);
                Ok(item.n)
            }
            other => bail!("in place of a record this came: {other:?}"),
        }
    }

    /// What a list gives that was written before now, the events have told.
    async fn compare(&mut self, server: &Server, report: &mut Report, row: &str) -> Result<()> {
        let fresh = all(&server.direct_url).await?;
        let newest = fresh.values().max().copied().unwrap_or_default();
        self.hear(newest + CALM, i64::MAX).await?;
        let wrong = fresh.iter().filter(|(id, n)| self.state.get(*id) != Some(n)).count();
        let wrong = u32::try_from(wrong).unwrap_or(u32::MAX);
        report.absolute((row, "fresh list", "records off"), f64::from(wrong), AtMost(0.0));
        Ok(())
    }
}

/// The numbers of all records.
async fn all(url: &str) -> Result<HashMap<String, i64>> {
    let items = calls::ours(url)?.get_full_list().await?;
    Ok(items.into_iter().map(|item| (item.id, item.n)).collect())
}
