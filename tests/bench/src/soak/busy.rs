//! Fifty writes a second for longer than the server keeps any stream.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, future::try_join};
use picobase::{
    Client, Record,
    realtime::{Event, EventAction, Origin, RecordEvent, Subscription},
    records::Collection,
};
use picobase_testkit::Server;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{AGE_LIMIT, Findings, Run, lives, make_before_break};
use crate::{calls::ours, stage::Item};

/// One write.
const PACE: Duration = Duration::from_millis(20);
/// How many records there are at a time.
const ALIVE: usize = 500;
/// How many records are younger than the one that is changed.
const YOUNGER: usize = 50;
/// At what age the client replaces a stream.
const ROTATION: Duration = Duration::from_secs(25 * 60);
/// Nothing more is on its way after so long.
const CALM: Duration = Duration::from_secs(3);

/// What was written. Every version of a record has a number of its own.
#[derive(Default)]
struct Written {
    versions: usize,
    deletes: usize,
}

/// What has come of it.
struct Heard {
    /// How often each version came, and how often its deletion.
    versions: Vec<(u8, u8)>,
    state: HashMap<String, i64>,
    live: u64,
    caught_up: u64,
    /// Resync, Lagged and errors.
    interruptions: Vec<String>,
    longest_silence: Duration,
}

/// A signed-in client on the whole collection, and the writer.
pub(super) async fn listen(server: &Server, password: &str, run: Run) -> Result<Findings> {
    let proxy = server.proxy().await;
    let client = Client::new(&proxy.url, "")?;
    client.auth().sign_in("alice@example.com", password).await?;
    let mut events = client.collection("bulk").typed::<Item>().subscribe("*").await?;
    let writes = usize::try_from(run.length.as_millis() / PACE.as_millis())? + 1;
    let writer = Client::new(&server.direct_url, "")?.collection("bulk");
    let (written, heard) = try_join(write(&writer, run), hear(&mut events, writes, run)).await?;
    let mut findings = Findings::default();
    let list = ours(&server.direct_url)?.get_full_list().await?;
    let fresh: HashMap<String, i64> = list.into_iter().map(|item| (item.id, item.n)).collect();
    compare(&mut findings, &written, &heard, &fresh);
    let lives = lives(&proxy).await;
    make_before_break(&mut findings, &lives);
    findings.time("the stream is replaced by its age", ROTATION, lives.get(1).map(|life| life.began), run.length);
    let (oldest, must) = (lives.iter().filter_map(|life| Some(life.ended? - life.began)).max(), "less than 30 minutes");
    match oldest {
        Some(age) => findings.check("the oldest stream", must, format!("{:.1} s", age.as_secs_f64()), age < AGE_LIMIT),
        None => findings.not_reached("the oldest stream", must),
    }
    Ok(findings)
}

/// Makes, changes and deletes in turn, so that the collection keeps its size once it has it.
async fn write(records: &Collection<Record>, run: Run) -> Result<Written> {
    let mut written = Written::default();
    let mut alive: VecDeque<String> = VecDeque::new();
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for turn in 0_u64.. {
        ticks.tick().await;
        if Instant::now() >= run.end() {
            break;
        }
        let version = json!({"n": written.versions, "text": "x".repeat(100)});
        let changed = alive.len().checked_sub(YOUNGER).and_then(|at| alive.get(at));
        match (turn % 3, changed) {
            (1, Some(id)) => drop(records.update(id, &version).await?),
            (2, _) if alive.len() > ALIVE => {
                let id = alive.pop_front().context("there are records")?;
                records.delete(&id).await?;
                written.deletes += 1;
                continue;
            }
            _ => alive.push_back(records.create(&version).await?.id().to_owned()),
        }
        written.versions += 1;
    }
    Ok(written)
}

/// Listens until the writer has ended and nothing more comes.
async fn hear(events: &mut Subscription<Item>, writes: usize, run: Run) -> Result<Heard> {
    let mut heard = Heard {
        versions: vec![(0, 0); writes],
        state: HashMap::new(),
        live: 0,
        caught_up: 0,
        interruptions: Vec::new(),
        longest_silence: Duration::ZERO,
    };
    loop {
        let start = Instant::now();
        let event = timeout(CALM, events.next()).await;
        if Instant::now() < run.end() {
            heard.longest_silence = heard.longest_silence.max(start.elapsed());
        }
        match event {
            Ok(Some(Ok(Event::Record(change)))) => heard.take(&change)?,
            Ok(Some(other)) => heard.interruptions.push(format!("{other:?}")),
            Ok(None) => heard.interruptions.push("the end".to_owned()),
            Err(_) if Instant::now() > run.end() => return Ok(heard),
            Err(_) => {}
        }
        ensure!(heard.interruptions.len() < 100, "too many interruptions: {:?}", heard.interruptions);
    }
}

impl Heard {
    fn take(&mut self, change: &RecordEvent<Item>) -> Result<()> {
        match change.origin {
            Origin::Live => self.live += 1,
            _ => self.caught_up += 1,
        }
        if change.action == EventAction::Delete {
            self.state.remove(&change.id);
            // One that was found out later has no fields.
            if change.origin != Origin::Live {
                return Ok(());
            }
        }
        let item = change.record()?;
        let count = self.versions.get_mut(usize::try_from(item.n)?).context("nobody wrote this version")?;
        if change.action == EventAction::Delete {
            count.1 = count.1.saturating_add(1);
        } else {
            count.0 = count.0.saturating_add(1);
            self.state.insert(item.id, item.n);
        }
        Ok(())
    }
}

fn compare(findings: &mut Findings, written: &Written, heard: &Heard, fresh: &HashMap<String, i64>) {
    let same = heard.state == *fresh;
    let found = format!("{} records, {}", heard.state.len(), if same { "equal" } else { "others" });
    findings.check("what the events add up to", format!("the {} of a fresh list", fresh.len()), found, same);
    let writes = written.versions + written.deletes;
    let found = format!("{} live, {} caught up", heard.live, heard.caught_up);
    findings.check("events", format!("those of {writes} writes"), found, writes > 0 && heard.live > 0);
    let doubles = heard.versions.iter().filter(|(versions, deletes)| *versions > 1 || *deletes > 1).count();
    findings.check("doubles", 0, doubles, doubles == 0);
    let came = |count: u8| usize::from(count > 0);
    let versions: usize = heard.versions.iter().map(|(versions, _)| came(*versions)).sum();
    let deletes: usize = heard.versions.iter().map(|(_, deletes)| came(*deletes)).sum();
    let missing = writes.saturating_sub(versions + deletes);
    findings.check("writes without an event", 0, missing, missing == 0);
    let found = format!("{:?}", heard.interruptions);
    findings.check("resync, lagged, errors", "none", found, heard.interruptions.is_empty());
    let silence = heard.longest_silence;
    findings.check("the longest silence", "less than 3 s", format!("{silence:.1?}"), silence < CALM);
}
