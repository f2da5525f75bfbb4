//! Events: what they cost and how soon they come, against readers written by hand.

use std::{cell::RefCell, iter::once, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use eventsource_client::{Client as _, ClientBuilder, ReconnectOptions, SSE};
use futures_util::StreamExt as _;
use launchdarkly_sdk_transport::HyperTransport;
use picobase::{
    realtime::{Event, EventAction, Subscription},
    records::Collection,
};
use picobase_testkit::Testkit;
use tokio::{runtime::Runtime, time::timeout};

use crate::{
    bare_stream::{BareStream, Change, Hello, submit},
    calls::{self, CPU, check},
    measure::{Rounds, percentile, spread, take_turns},
    replay::{EVENTS, Replay, TOPIC, burst},
    report::{
        Budget::{self, AtMost},
        Report,
    },
    stage::{Item, on_this_thread},
    writer::{Writer, now},
};

const PEER: &str = "bare reader";
/// How long any batch may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Measures all rows about events.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    all_at_once(report)?;
    paced(report)
}

fn all_at_once(report: &mut Report) -> Result<()> {
    let row = format!("burst of {EVENTS} events");
    if !report.wants(&row) {
        return Ok(());
    }
    let (runtime, replay, http) = (on_this_thread()?, Replay::start()?, reqwest::Client::new());
    let records = calls::ours(&replay.url)?;
    let url = &replay.url;
    let ours = |_| run(&runtime, our_burst(&records, &http, url));
    let rounds = take_turns(20, EVENTS, ours, |_| run(&runtime, bare_burst(&http, url)))?;
    cpu(report, &row, PEER, &rounds, AtMost(1.5));
    let peer = "eventsource-client + serde";
    let rounds = take_turns(10, EVENTS, ours, |_| run(&runtime, eventsource_burst(&http, url)))?;
    cpu(report, &row, peer, &rounds, AtMost(1.5));
    Ok(())
}

/// Fifty writes a second on a real server, by another process.
fn paced(report: &mut Report) -> Result<()> {
    let row = "50 events a second";
    if !report.wants(row) {
        return Ok(());
    }
    let (runtime, http) = (on_this_thread()?, reqwest::Client::new());
    let kit = Testkit::spawn();
    let server = runtime.block_on(kit.server());
    let url = &server.direct_url;
    let records = calls::ours(url)?;
    let writer = RefCell::new(Writer::start(url)?);
    let (our_times, bare_times) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let late = |times: &RefCell<Vec<f64>>, item: &Item| times.borrow_mut().push(milliseconds(now() - item.n));
    // Subscribed first, then written.
    let ours = |events| {
        run(&runtime, async {
            let stream = records.subscribe("*").await?;
            writer.borrow_mut().write(events)?;
            take(stream, events, |item| late(&our_times, item)).await
        })
    };
    let bare = |events| {
        run(&runtime, async {
            let stream = BareStream::subscribe(&http, url, &[TOPIC]).await?;
            writer.borrow_mut().write(events)?;
            take_bare(stream, events, |item| late(&bare_times, item)).await
        })
    };
    let rounds = take_turns(8, 100, ours, bare)?;
    cpu(report, row, PEER, &rounds, AtMost(1.5));
    for (percent, budget) in [(50, AtMost(1.5)), (99, AtMost(2.0))] {
        let [ours, theirs] = [&our_times, &bare_times].map(|times| percentile(&times.borrow(), percent));
        let row = format!("{row}, p{percent} from write to event");
        report.compare((&row, PEER, "ms"), (ours, theirs), spread(once(ours / theirs)), budget);
    }
    Ok(())
}

fn run(runtime: &Runtime, batch: impl Future<Output = Result<()>>) -> Result<()> {
    runtime.block_on(async { timeout(LIMIT, batch).await }).context("not all events came")?
}

fn cpu(report: &mut Report, row: &str, peer: &str, rounds: &Rounds, budget: Budget) {
    report.compare((row, peer, "µs CPU"), rounds.micros(CPU), rounds.ratio(CPU), budget);
}

#[expect(clippy::cast_precision_loss, reason = "latencies are small")]
fn milliseconds(micros: i64) -> f64 {
    micros as f64 / 1000.0
}

/// By our client: subscribes and takes all events.
pub(crate) async fn our_burst(records: &Collection<Item>, http: &reqwest::Client, url: &str) -> Result<()> {
    let stream = records.subscribe("*").queue_max(EVENTS).await?;
    burst(http, url).await?;
    take(stream, EVENTS, |_| {}).await
}

async fn take(mut stream: Subscription<Item>, events: u32, mut each: impl FnMut(&Item)) -> Result<()> {
    for _ in 0..events {
        match stream.next().await {
            Some(Ok(Event::Record(change))) if change.action == EventAction::Create => {
                let item = change.record()?;
                check(&item)?;
                each(&item);
            }
            other => bail!("in place of a creation this came: {other:?}"),
        }
    }
    Ok(())
}

/// By hand: the same.
pub(crate) async fn bare_burst(http: &reqwest::Client, url: &str) -> Result<()> {
    let stream = BareStream::subscribe(http, url, &[TOPIC]).await?;
    burst(http, url).await?;
    take_bare(stream, EVENTS, |_| {}).await
}

async fn take_bare(mut stream: BareStream, events: u32, mut each: impl FnMut(&Item)) -> Result<()> {
    let mut count = 0;
    while count < events {
        let more = stream
            .read(|topic, data| {
                ensure!(topic == TOPIC, "an event of {topic} came");
                count += 1;
                creation(serde_json::from_slice(data)?, &mut each)
            })
            .await?;
        ensure!(more, "the stream ended after {count} events");
    }
    Ok(())
}

/// By a library that reads event streams, with the rest by hand.
async fn eventsource_burst(http: &reqwest::Client, url: &str) -> Result<()> {
    let transport = HyperTransport::builder().disable_proxy().build_http().map_err(|e| anyhow::anyhow!("{e}"))?;
    let client = ClientBuilder::for_url(&format!("{url}/api/realtime"))?
        .reconnect(ReconnectOptions::reconnect(false).build())
        .build_with_transport(transport);
    let (mut stream, mut count) = (client.stream(), 0);
    while count < EVENTS {
        let Some(SSE::Event(event)) = stream.next().await.transpose()? else { continue };
        if event.event_type == "PB_CONNECT" {
            let hello: Hello = serde_json::from_str(&event.data)?;
            submit(http, url, &hello.client_id, &[TOPIC]).await?;
            burst(http, url).await?;
            continue;
        }
        count += 1;
        creation(serde_json::from_str(&event.data)?, |_| {})?;
    }
    Ok(())
}

fn creation(change: Change, mut each: impl FnMut(&Item)) -> Result<()> {
    ensure!(change.action == "create", "in place of a creation came {}", change.action);
    check(&change.record)?;
    each(&change.record);
    Ok(())
}
