//! A collection that nobody writes to for longer than the server keeps a silent stream.

use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::{
    StreamExt as _,
    stream::{Select, select},
};
use picobase::{
    Client, Record,
    realtime::{Event, EventAction, Origin, Subscription},
};
use picobase_testkit::Server;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{Findings, Life, Run, SILENCE_LIMIT, lives, make_before_break};

/// When the first write is made: a plain stream would be gone.
const WRITE_AT: Duration = Duration::from_secs(6 * 60);
/// After how much silence the client replaces a stream.
const ROTATION: Duration = Duration::from_secs(270);
/// How long an event may take.
const PROMPT: Duration = Duration::from_secs(5);

type Events = Select<Subscription<Record>, Subscription<Record>>;

/// A subscription to all posts and one to a single post, with a write after six minutes and one at the end.
pub(super) async fn listen(server: &Server, run: Run) -> Result<Findings> {
    let mut findings = Findings::default();
    let proxy = server.proxy().await;
    let writer = Client::new(&server.direct_url, "")?.collection("posts");
    let post = writer.create(&json!({"title": "quiet"})).await?;
    let posts = Client::new(&proxy.url, "")?.collection("posts");
    let mut events = select(posts.subscribe("*").await?, posts.subscribe(post.id()).await?);
    let first = run.at(WRITE_AT);
    let told = nothing_before(&mut events, first, "quiet").await?;
    writer.update(post.id(), &json!({"title": "one"})).await?;
    let came = both(&mut events, "one").await;
    let (what, must) = ("a write after more than 5 minutes", "reaches both topics");
    if run.length > SILENCE_LIMIT {
        findings.check(what, must, &came, came == "both");
    } else {
        findings.not_reached(what, must);
    }
    let later = nothing_before(&mut events, run.end(), "one").await?;
    let told = format!("{told} topics, and {later} later");
    findings.check("unchanged records told as caught up", "once a topic at most, never later", &told, later == 0);
    writer.update(post.id(), &json!({"title": "two"})).await?;
    let came = both(&mut events, "two").await;
    findings.check("a write at the end", "reaches both topics", &came, came == "both");
    rotations(&mut findings, &lives(&proxy).await, first - run.start, run);
    Ok(findings)
}

/// Nobody writes, so nothing new comes. Where a stream was silent from its first moment on, nobody knows whether an event
/// was lost right after the acknowledgement: so its replacement may tell each topic once how its record stands. Says how
/// many were told.
async fn nothing_before(events: &mut Events, end: Instant, title: &str) -> Result<usize> {
    let mut told = Vec::new();
    while let Ok(event) = timeout_at(end, events.next()).await {
        let Some(Ok(Event::Record(change))) = event else { bail!("nobody wrote, but this came: {event:?}") };
        let unchanged = change.record().is_ok_and(|record| record.get_str("title") == Some(title));
        if change.origin != Origin::CatchUp || !unchanged || told.contains(&change.topic) {
            bail!("nobody wrote, but this came: {change:?}");
        }
        told.push(change.topic);
    }
    Ok(told.len())
}

/// Does the update come once to both topics, live and before long?
async fn both(events: &mut Events, title: &str) -> String {
    let end = Instant::now() + PROMPT;
    let mut topics = Vec::new();
    while topics.len() < 2 {
        let event = match timeout_at(end, events.next()).await {
            Ok(Some(Ok(Event::Record(change)))) if change.action == EventAction::Update => change,
            other => return format!("{} of 2 topics, then {other:?}", topics.len()),
        };
        let fits = event.record().is_ok_and(|record| record.get_str("title") == Some(title));
        if !fits || event.origin != Origin::Live || topics.contains(&event.topic) {
            return format!("{title:?} was to come, but this did: {event:?}");
        }
        topics.push(event.topic);
    }
    "both".to_owned()
}

/// Streams are replaced after 4.5 minutes of silence, and no later.
fn rotations(findings: &mut Findings, lives: &[Life], write: Duration, run: Run) {
    make_before_break(findings, lives);
    let second = lives.get(1).map(|life| life.began);
    findings.time("the first stream is replaced by its silence", ROTATION, second, run.length);
    let expected = expected(write, run.length);
    let found = lives.len().saturating_sub(1);
    findings.check("streams replaced", expected, found, found == expected);
}

/// How often the silence lasts long enough, with one write in a run of this length.
fn expected(write: Duration, length: Duration) -> usize {
    let (mut count, mut heard) = (0, Duration::ZERO);
    while heard + ROTATION < length {
        let next = heard + ROTATION;
        if heard < write && write < next {
            heard = write;
        } else {
            (count, heard) = (count + 1, next);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_puts_the_next_replacement_off() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        assert_eq!(expected(minutes(1), minutes(1)), 0);
        assert_eq!(expected(minutes(5), minutes(5)), 1);
        // At 4.5, and from the write on at 10.5, 15, 19.5, 24 and 28.5.
        assert_eq!(expected(minutes(6), minutes(31)), 6);
    }
}
