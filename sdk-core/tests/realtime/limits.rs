//! Many topics, many subscriptions at once, slow consumers, and the ways to unsubscribe.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{join_all, try_join_all},
};
use picobase::{
    Client, Error, ErrorKind, Record,
    realtime::{Event, EventAction, Subscription},
};
use picobase_testkit::Cut;
use serde_json::json;

use crate::{
    common::within,
    tools::{Stage, Watch, ms, now_ms, s, until},
};

/// Subscriptions to topics of one's own, asked for together.
async fn customs(client: &Client, names: impl Iterator<Item = String>) -> Vec<Subscription> {
    let realtime = client.realtime();
    try_join_all(names.map(|name| realtime.subscribe(&name).into_future())).await.unwrap()
}

/// Waits until the last submit was taken and has exactly these topics.
async fn submitted(stage: &Stage, mut topics: Vec<String>) {
    topics.sort_unstable();
    until(s(5), "the last submit has what is wanted", || async {
        let submits = stage.submits().await;
        submits.last().is_some_and(|(status, last)| (*status, last) == (Some(204), &topics))
    })
    .await;
}

/// Waits for the next change of the one record that a subscription is about.
async fn changed(events: &mut Subscription, title: &str) {
    loop {
        let event = within(10, events.next()).await.unwrap().unwrap();
        let Event::Record(change) = event else { panic!("{event:?}") };
        assert_eq!(change.action, EventAction::Update);
        if change.record().unwrap().get_str("title") == Some(title) {
            return;
        }
    }
}

#[tokio::test]
async fn a_thousand_topics_and_one_more() {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    let (posts, realtime) = (stage.direct.collection("posts"), stage.client.realtime());
    let records: Vec<Record> =
        join_all((0..60).map(|n| posts.create(&json!({"title": format!("one of many {n}")})).into_future()))
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
    let ours = stage.client.collection("posts");
    let mut ones = try_join_all(records.iter().map(|one| ours.subscribe(one.id()).into_future())).await.unwrap();
    let others = customs(&stage.client, (0..939).map(|n| format!("custom {n}"))).await;
    for one_more in ["one more", "posts/one-more"] {
        let error = realtime.subscribe(one_more).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Validation, "{error:?}");
    }
    // One that is there already is no new topic.
    drop(realtime.subscribe("custom 1").await.unwrap());
    for round in ["before the cut", "after the cut"] {
        for (record, events) in records.iter().zip(&mut ones) {
            posts.update(record.id(), &json!({"title": round})).await.unwrap();
            changed(events, round).await;
        }
        assert_eq!(stage.submits().await.last().unwrap().1.len(), 1000);
        if round == "before the cut" {
            stage.proxy.cut_path(Cut::Reset, "/api/realtime").await;
            watch.written_after(now_ms(), s(10)).await;
        }
    }
    drop((others, ones, realtime, ours));
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events());
}

#[tokio::test]
async fn what_is_acknowledged_is_what_is_wanted_in_the_end() {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    let realtime = stage.client.realtime();
    let mut held: BTreeMap<String, Vec<Subscription>> = BTreeMap::new();
    let (start, mut asked) = (Instant::now(), Vec::new());
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for n in 0..200_u32 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let topic = format!("topic {:02}", (random >> 33) % 20);
        if (random >> 40).is_multiple_of(2) {
            let subscribing = tokio::spawn(realtime.subscribe(&topic).into_future());
            asked.push((topic, subscribing));
        } else if let Some(subscriptions) = held.get_mut(&topic) {
            subscriptions.pop();
        } else if !asked.is_empty() {
            // One that may still be waiting.
            asked.swap_remove(0).1.abort();
        }
        for (topic, done) in asked.extract_if(.., |(_, subscribing)| subscribing.is_finished()) {
            held.entry(topic).or_default().push(done.await.unwrap().unwrap());
        }
        tokio::time::sleep_until((start + ms(10) * n).into()).await;
    }
    for (topic, subscribing) in asked {
        held.entry(topic).or_default().push(subscribing.await.unwrap().unwrap());
    }
    held.retain(|_, subscriptions| !subscriptions.is_empty());
    assert!(!held.is_empty());
    submitted(&stage, held.keys().cloned().chain(["posts/*".to_string()]).collect()).await;
    watch.more(10).await;
    drop((held, realtime));
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events());
}

#[tokio::test]
async fn many_at_once_are_one_submit() {
    let stage = Stage::on_this_thread().await;
    let first = customs(&stage.client, (0..50).map(|n| format!("first {n}"))).await;
    let topics = |submits: Vec<(Option<u16>, Vec<String>)>| submits.iter().map(|s| s.1.len()).collect::<Vec<_>>();
    assert_eq!(topics(stage.submits().await), [50]);
    let second = customs(&stage.client, (0..50).map(|n| format!("second {n}"))).await;
    assert_eq!(topics(stage.submits().await), [50, 100]);
    // So are those that end together.
    let kept = second.into_iter().next();
    drop(first);
    submitted(&stage, vec!["second 0".into()]).await;
    assert_eq!(topics(stage.submits().await), [50, 100, 1]);
    drop(kept);
    stage.nothing_left().await;
}

#[tokio::test]
async fn one_that_is_dropped_before_it_is_there_leaves_nothing() {
    let stage = Stage::new(|_| {}).await;
    let realtime = stage.client.realtime();
    stage.proxy.faults(json!([{"path": "/api/realtime", "action": {"type": "delay", "ms": 300}}])).await;
    // Never polled; polled once; dropped while the stream is being opened; and while it is being submitted.
    drop(realtime.subscribe("never"));
    assert!(realtime.subscribe("once").into_future().now_or_never().is_none());
    for wait in [100, 450] {
        let subscribing = tokio::time::timeout(ms(wait), realtime.subscribe("soon").into_future()).await;
        assert!(subscribing.is_err(), "it was there too soon");
    }
    stage.proxy.clear_faults().await;
    let watch = stage.watch().await;
    watch.more(10).await;
    submitted(&stage, vec!["posts/*".into()]).await;
    drop(realtime);
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events());
}

#[tokio::test]
async fn a_client_that_never_got_through_leaves_nothing() {
    let stage = Stage::new(|_| {}).await;
    stage.proxy.faults(json!([{"action": {"type": "respond", "status": 503}}])).await;
    let subscribing = tokio::time::timeout(s(1), stage.client.realtime().subscribe("news").into_future()).await;
    assert!(subscribing.is_err());
    stage.nothing_left().await;
}

#[tokio::test]
async fn a_slow_consumer_is_told_and_catches_up() {
    let stage = Stage::new(|_| {}).await;
    let fast = stage.watch().await;
    let slow = stage.client.collection("posts").subscribe("*").queue_max(20).await.unwrap();
    fast.more(100).await;
    let slow = Watch::start(slow, &stage.direct, "posts").await;
    slow.more(50).await;
    let [fast, slow] = stage.finish([fast, slow]).await;
    assert!(fast.only_events());
    // Of the hundred the last twenty are kept; both are not told at the same moment.
    assert!(slow.lagged[0] >= 60, "{:?}", slow.lagged);
    assert!(slow.resyncs.is_empty() && slow.errors.is_empty());
}

/// The end of the events, and none before it.
async fn over(mut events: Subscription) {
    assert!(within(5, events.next()).await.is_none());
}

#[tokio::test]
async fn ways_to_unsubscribe() {
    let stage = Stage::new(|_| {}).await;
    let (watch, realtime) = (stage.watch().await, stage.client.realtime());
    let names = ["a", "a", "b/1", "b/2", "c", "d"];
    let mut all = customs(&stage.client, names.iter().map(ToString::to_string)).await.into_iter();
    let mut next = || all.next().unwrap();
    let left = |names: &[&str]| names.iter().chain(&["posts/*"]).map(ToString::to_string).collect();
    // A handle owns one listener.
    next().unsubscribe();
    submitted(&stage, left(&["a", "b/1", "b/2", "c", "d"])).await;
    realtime.unsubscribe("a");
    over(next()).await;
    submitted(&stage, left(&["b/1", "b/2", "c", "d"])).await;
    realtime.unsubscribe_prefix("b/");
    over(next()).await;
    over(next()).await;
    submitted(&stage, left(&["c", "d"])).await;
    drop(next());
    submitted(&stage, left(&["d"])).await;
    // `posts` names `posts/*`, with whatever options.
    let filtered = stage.client.collection("posts").subscribe("*").filter("n < 0").await.unwrap();
    realtime.unsubscribe("posts");
    watch.unsubscribed();
    over(filtered).await;
    assert!(watch.ended().await.only_events());
    submitted(&stage, vec!["d".into()]).await;
    realtime.unsubscribe_all();
    over(next()).await;
    drop(realtime);
    stage.nothing_left().await;
}

#[tokio::test]
async fn a_collection_ends_its_own_subscriptions() {
    let stage = Stage::new(|_| {}).await;
    let (posts, realtime) = (stage.client.collection("posts"), stage.client.realtime());
    let (all, one) = (posts.subscribe("*").await.unwrap(), posts.subscribe("r1").await.unwrap());
    let (bare, other) = (realtime.subscribe("posts").await.unwrap(), realtime.subscribe("posts2/x/y").await.unwrap());
    let left = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    posts.unsubscribe("");
    posts.unsubscribe("r1");
    over(one).await;
    submitted(&stage, left(&["posts", "posts/*", "posts2/x/y"])).await;
    posts.unsubscribe_all();
    over(all).await;
    over(bare).await;
    submitted(&stage, left(&["posts2/x/y"])).await;
    drop((posts, realtime, other));
    stage.nothing_left().await;
}

#[tokio::test]
async fn a_callback_is_not_called_after_its_end() {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    for by_name in [false, true] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        let events = stage.client.collection("posts").subscribe("*").await.unwrap();
        let handle = events.on(move |event: Result<Event, Error>| {
            assert!(matches!(event, Ok(Event::Record(_))), "{event:?}");
            counter.fetch_add(1, Ordering::SeqCst);
        });
        until(s(10), "calls", || async { calls.load(Ordering::SeqCst) >= 20 }).await;
        let (kept, count) = if by_name {
            stage.client.realtime().unsubscribe("posts/*");
            (Some(handle), calls.load(Ordering::SeqCst))
        } else {
            handle.unsubscribe();
            (None, calls.load(Ordering::SeqCst))
        };
        if by_name {
            watch.unsubscribed();
        } else {
            watch.more(20).await;
        }
        // At most the one that was under way.
        assert!(calls.load(Ordering::SeqCst) <= count + 1);
        drop(kept);
    }
    assert!(watch.ended().await.only_events());
    stage.nothing_left().await;
}
