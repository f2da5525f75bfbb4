//! What breaks streams: servers that end, connections that are cut or say nothing, answers that are none.
//!
//! A writer goes on throughout. In the end the state is the server's, no event came twice, and nothing is left.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use picobase::{
    Error, ErrorKind,
    realtime::{RealtimeState, ResyncReason},
};
use picobase_testkit::Cut;
use serde_json::{Value, json};

use crate::{
    common::LATE,
    tools::{Report, Stage, Watch, Writer, is_stream, is_submit, ms, now_ms, s, until},
};

/// A rule for the requests that open a stream (GET) or submit to one (POST).
fn realtime(method: &str, times: Option<u32>, action: Value) -> Value {
    json!([{"method": method, "path": "/api/realtime", "times": times, "action": action}])
}

fn answer(status: u16, data: Value) -> Value {
    json!({"type": "respond", "status": status, "body": {"status": status, "message": "refused", "data": data}})
}

/// Nothing but events, of which some were fetched.
fn caught_up(report: &Report) {
    assert!(report.only_events(), "{:?} {:?} {:?}", report.resyncs, report.lagged, report.errors);
    assert!(report.caught_up() > 0, "nothing was fetched");
}

async fn restart(downtime: Duration, kill: bool) {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    stage.live().await;
    watch.more(30).await;
    stage.server.restart(downtime, kill).await;
    // The longest wait between two attempts is 8 s.
    watch.written_after(now_ms(), s(15)).await;
    watch.more(30).await;
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events(), "{:?} {:?} {:?}", report.resyncs, report.lagged, report.errors);
    assert!(report.longest_pause() >= downtime, "{:?}", report.longest_pause());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_end_and_come_back() {
    let none = Duration::ZERO;
    tokio::join!(
        restart(none, false),
        restart(s(2), false),
        restart(s(15), false),
        restart(none, true),
        restart(s(2), true)
    );
}

#[tokio::test]
async fn cut_connections() {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    stage.live().await;
    for how in [Cut::Reset, Cut::Close, Cut::Reset, Cut::Close] {
        watch.more(30).await;
        stage.cut(how).await;
    }
    watch.more(30).await;
    let [report] = stage.finish([watch]).await;
    caught_up(&report);
}

/// The stream says nothing for 20 s and then goes on.
async fn stall_for_a_while(liveness: Duration) -> Report {
    let stage = Stage::new(|options| options.liveness = liveness).await;
    let stall = json!({"type": "stall", "when": "after_response_bytes", "bytes": 10_000, "ms": 20_000});
    stage.proxy.faults(realtime("GET", Some(1), stall)).await;
    let watch = stage.watch().await;
    stage.live().await;
    watch.more(10).await;
    tokio::time::sleep(s(23)).await;
    watch.more(30).await;
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events(), "{:?} {:?} {:?}", report.resyncs, report.lagged, report.errors);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalls_that_end() {
    let (noticed, slept_over) = tokio::join!(stall_for_a_while(s(5)), stall_for_a_while(s(60)));
    let silence = noticed.longest_silence();
    assert!((s(4)..s(15)).contains(&silence), "{silence:?}");
    let silence = slept_over.longest_silence();
    assert!((s(19)..s(45)).contains(&silence), "{silence:?}");
    assert_eq!(slept_over.caught_up(), 0, "all of it came on the stream itself");
}

#[tokio::test]
async fn a_stall_for_good_is_noticed() {
    let stage = Stage::new(|options| options.liveness = s(2)).await;
    let watch = stage.watch().await;
    stage.live().await;
    for _ in 0..2 {
        watch.more(20).await;
        stage.cut(Cut::Stall).await;
        let (start, moment) = (Instant::now(), now_ms());
        let noticed = watch.written_after(moment, s(10)).await - start;
        assert!(noticed <= LATE, "{noticed:?}");
    }
    // The proxy does not see by itself that nobody holds on to what is stalled.
    stage.proxy.cut_path(Cut::Reset, "/api/realtime").await;
    watch.more(20).await;
    let [report] = stage.finish([watch]).await;
    caught_up(&report);
}

async fn closed_when_idle(clean: bool) {
    let mut stage = Stage::new(|_| {}).await;
    stage.proxy.faults(json!([{"action": {"type": "stream_idle_close", "ms": 300, "clean": clean}}])).await;
    let watch = stage.watch().await;
    stage.live().await;
    watch.more(20).await;
    stage.writer.stop().await;
    stage.wait_for_streams(4).await;
    stage.writer = Writer::start(&stage.server.direct_url);
    watch.more(50).await;
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events(), "{:?} {:?} {:?}", report.resyncs, report.lagged, report.errors);
}

async fn closed_when_old(how: &str) {
    let stage = Stage::new(|_| {}).await;
    stage.proxy.faults(json!([{"action": {"type": "max_age", "ms": 1500, "how": how}}])).await;
    let watch = stage.watch().await;
    stage.live().await;
    stage.wait_for_streams(4).await;
    stage.proxy.clear_faults().await;
    watch.more(50).await;
    let [report] = stage.finish([watch]).await;
    caught_up(&report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_that_close() {
    tokio::join!(closed_when_idle(true), closed_when_idle(false), closed_when_old("close"), closed_when_old("reset"));
}

/// Every write is told exactly once, whichever stream brings it.
async fn rotation(max_age: Duration, liveness: Duration, overlap: Duration, beat: Duration) -> Report {
    let mut stage = Stage::new(|options| {
        (options.max_age, options.liveness, options.overlap) = (max_age, liveness, overlap);
    })
    .await;
    stage.writer.stop().await;
    let watch = stage.watch().await;
    stage.live().await;
    stage.writer = Writer::paced(&stage.server.direct_url, beat);
    stage.wait_for_streams(9).await;
    let written = stage.writer.stop().await;
    until(s(5), "every write is told", || async { watch.count() as u64 >= written }).await;
    let [report] = stage.finish([watch]).await;
    assert_eq!(report.events.len() as u64, written);
    assert!(report.only_events(), "{:?} {:?} {:?}", report.resyncs, report.lagged, report.errors);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_replacement_has_no_gap_and_no_double() {
    let (by_age, by_silence) = tokio::join!(
        // In the overlap the old one must speak, also where each write takes its time.
        rotation(s(1), s(100), s(2), ms(20)),
        // A write a second, and silence in between.
        rotation(s(100), ms(300), ms(200), s(1)),
    );
    assert_eq!(by_age.caught_up(), 0, "a stream that still speaks has missed nothing");
    assert!(by_silence.events.len() >= 3);
}

#[tokio::test]
async fn a_server_that_asks_for_patience() {
    let stage = Stage::new(|_| {}).await;
    let sleepy = json!({"type": "respond", "status": 503, "headers": {"Retry-After": "1"}});
    for method in ["GET", "POST"] {
        stage.proxy.faults(realtime(method, Some(2), sleepy.clone())).await;
        stage.proxy.clear_requests().await;
        if method == "GET" {
            // Also the first subscription waits.
            let watch = stage.watch().await;
            watch.more(10).await;
            watch.end().await;
        }
        let watch = stage.watch().await;
        watch.more(10).await;
        let asked: Vec<f64> =
            stage.proxy.requests().await.iter().filter(|r| r.status == Some(503)).map(|r| r.started_ms).collect();
        assert_eq!(asked.len(), 2, "{method}");
        assert!(asked[1] - asked[0] >= 990.0, "{method}: {asked:?}");
        watch.end().await;
        until(s(5), "disconnected", || async { stage.client.realtime().state() == RealtimeState::Disconnected }).await;
    }
    let watch = stage.watch().await;
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events());
}

#[tokio::test]
async fn patience_after_a_cut() {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    stage.live().await;
    for method in ["GET", "POST"] {
        let sleepy = json!({"type": "respond", "status": 503, "headers": {"Retry-After": "1"}});
        stage.proxy.faults(realtime(method, Some(2), sleepy)).await;
        watch.more(10).await;
        stage.proxy.cut_path(Cut::Reset, "/api/realtime").await;
        let (start, moment) = (Instant::now(), now_ms());
        let back = watch.written_after(moment, s(10)).await - start;
        assert!(back >= ms(1990), "{method}: {back:?}");
    }
    let [report] = stage.finish([watch]).await;
    caught_up(&report);
}

#[tokio::test]
async fn streams_that_the_server_does_not_know() {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    for status in [404, 403, 400] {
        watch.more(10).await;
        let streams = stage.streams().await;
        stage.proxy.faults(realtime("POST", Some(1), answer(status, json!({})))).await;
        let news = stage.client.realtime().subscribe(&format!("news{status}")).await.unwrap();
        assert_eq!(stage.streams().await, streams + 1, "{status}");
        watch.written_after(now_ms(), s(5)).await;
        drop(news);
    }
    let [report] = stage.finish([watch]).await;
    caught_up(&report);
}

#[tokio::test]
async fn a_topic_that_is_refused_fails_alone() {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    let invalid = json!({"code": "validation_invalid", "message": "Invalid."});
    for data in [json!({"subscriptions": {"1": invalid}}), json!({"subscriptions": invalid})] {
        stage.proxy.faults(realtime("POST", Some(1), answer(400, data))).await;
        let error = stage.client.realtime().subscribe("wrong").await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Validation, 400), "{error:?}");
        let right = stage.client.realtime().subscribe("right").await.unwrap();
        assert_eq!(stage.submits().await.last().unwrap().1, ["posts/*", "right"]);
        watch.more(10).await;
        drop(right);
        until(s(5), "it is no longer asked for", || async {
            stage.submits().await.last().unwrap() == &(Some(204), vec!["posts/*".to_string()])
        })
        .await;
    }
    // What was acknowledged before is asked for again, but not in a hurry.
    stage.proxy.clear_requests().await;
    stage.proxy.faults(realtime("POST", Some(3), answer(400, json!({"subscriptions": invalid})))).await;
    stage.proxy.cut_path(Cut::Close, "/api/realtime").await;
    watch.written_after(now_ms(), s(15)).await;
    let asked: Vec<f64> = stage.proxy.requests().await.iter().filter(|r| is_submit(r)).map(|r| r.started_ms).collect();
    assert!(asked.len() == 4 && asked[3] - asked[0] > 50.0, "{asked:?}");
    assert_eq!(stage.streams().await, 1);
    let [report] = stage.finish([watch]).await;
    caught_up(&report);
}

/// One of several at once is refused, by its place in the list.
#[tokio::test]
async fn of_many_topics_the_refused_one_fails() {
    let stage = Stage::on_this_thread().await;
    let refused = json!({"subscriptions": {"1": {"code": "validation_invalid", "message": "Invalid."}}});
    stage.proxy.faults(realtime("POST", Some(1), answer(400, refused))).await;
    let realtime = stage.client.realtime();
    let (a, b, c) = tokio::join!(realtime.subscribe("a"), realtime.subscribe("b"), realtime.subscribe("c"));
    assert_eq!(b.unwrap_err().kind(), ErrorKind::Validation);
    let kept = (a.unwrap(), c.unwrap());
    assert_eq!(stage.submits().await.last().unwrap().1, ["a", "c"]);
    drop((realtime, kept));
    stage.nothing_left().await;
}

async fn three_failures(method: &str, action: Value) -> Error {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    stage.live().await;
    watch.more(10).await;
    stage.proxy.clear_requests().await;
    stage.proxy.faults(realtime(method, None, action)).await;
    stage.proxy.cut_path(Cut::Reset, "/api/realtime").await;
    until(s(5), "reconnecting", || async { stage.client.realtime().state() == RealtimeState::Reconnecting }).await;
    let error = stage.client.realtime().subscribe("news").await.unwrap_err();
    let failures = stage.proxy.requests().await.iter().filter(|request| request.fault.is_some()).count();
    // The cut itself is the first of the three.
    assert!(failures >= 2, "{failures}");
    // What is there already waits for ever.
    stage.proxy.clear_faults().await;
    watch.written_after(now_ms(), s(15)).await;
    let [report] = stage.finish([watch]).await;
    caught_up(&report);
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_three_failures_those_who_wait_are_told() {
    let html = json!({"type": "respond", "status": 200, "content_type": "text/html", "body": "<h1>Welcome</h1>"});
    let (broken, refused, html) = tokio::join!(
        three_failures("GET", answer(500, json!({}))),
        three_failures("POST", answer(404, json!({}))),
        three_failures("GET", html),
    );
    assert_eq!((broken.kind(), broken.status()), (ErrorKind::Server, 500));
    assert_eq!((refused.kind(), refused.status()), (ErrorKind::NotFound, 404));
    assert_eq!(html.kind(), ErrorKind::Decode, "{html:?}");
}

#[tokio::test]
async fn html_in_place_of_a_stream() {
    let stage = Stage::new(|_| {}).await;
    let html = json!({"type": "respond", "status": 200, "content_type": "text/html", "body": "<h1>Welcome</h1>"});
    stage.proxy.faults(realtime("GET", Some(2), html.clone())).await;
    let watch = stage.watch().await;
    stage.live().await;
    watch.more(10).await;
    stage.proxy.faults(realtime("GET", Some(2), html)).await;
    stage.proxy.cut_path(Cut::Close, "/api/realtime").await;
    watch.written_after(now_ms(), s(10)).await;
    let [report] = stage.finish([watch]).await;
    caught_up(&report);
}

/// Events that come in pieces.
#[tokio::test]
async fn a_slow_line() {
    let stage = Stage::new(|_| {}).await;
    stage.proxy.faults(realtime("GET", None, json!({"type": "slow", "bytes_per_sec": 40_000}))).await;
    let watch = stage.watch().await;
    watch.more(150).await;
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events());
    assert!(report.longest_silence() < LATE, "{:?}", report.longest_silence());
}

#[tokio::test]
async fn a_subscription_that_is_not_acknowledged_in_time_is_gone() {
    let stage = Stage::new(|_| {}).await;
    let watch = stage.watch().await;
    let slow = json!({"type": "stall", "when": "before_forward", "ms": 1500});
    stage.proxy.faults(realtime("POST", Some(1), slow)).await;
    let error = stage.client.realtime().subscribe("late").timeout(ms(500)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    watch.more(10).await;
    let news = stage.client.realtime().subscribe("news").await.unwrap();
    let submits = stage.submits().await;
    assert_eq!(submits.last().unwrap().1, ["news", "posts/*"], "{submits:?}");
    drop(news);
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events());
}

#[tokio::test]
async fn an_instance_that_sleeps_while_one_subscribes() {
    let stage = Stage::new(|_| {}).await;
    stage
        .proxy
        .faults(json!([{"for_ms": 4000, "from": "first_hit", "action": {"type": "respond", "status": 503}}]))
        .await;
    let start = Instant::now();
    let watch: Watch = stage.watch().await;
    stage.live().await;
    assert!(start.elapsed() >= ms(3900));
    watch.more(20).await;
    let [report] = stage.finish([watch]).await;
    assert!(report.only_events());
}

#[tokio::test]
async fn without_catching_up_a_gap_is_told() {
    let stage = Stage::new(|options| options.catch_up = false).await;
    let watch = stage.watch().await;
    watch.more(20).await;
    stage.proxy.cut_path(Cut::Reset, "/api/realtime").await;
    watch.written_after(now_ms(), s(5)).await;
    watch.more(20).await;
    let [report] = stage.finish([watch]).await;
    assert_eq!((report.resyncs, report.errors.len()), (vec![ResyncReason::Unavailable], 0));
}

#[tokio::test]
async fn states_tell_of_a_cut() {
    let stage = Stage::new(|_| {}).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let (sink, mut states) = (told.clone(), stage.client.realtime().states());
    let listener = tokio::spawn(async move {
        while let Some(state) = states.next().await {
            sink.lock().unwrap().push(state);
        }
    });
    until(s(5), "the first state", || async { !told.lock().unwrap().is_empty() }).await;
    // A slow reader would be told the latest only, so each state stays until it was seen.
    let seen = async |state: RealtimeState| {
        until(s(10), "the next state", || async { told.lock().unwrap().last() == Some(&state) }).await;
    };
    stage.proxy.faults(realtime("GET", None, answer(503, json!({})))).await;
    let (watch, ()) = tokio::join!(stage.watch(), async {
        seen(RealtimeState::Connecting).await;
        stage.proxy.clear_faults().await;
    });
    watch.more(5).await;
    seen(RealtimeState::Connected).await;
    stage.proxy.clear_requests().await;
    stage.proxy.faults(realtime("GET", None, answer(500, json!({})))).await;
    stage.proxy.cut_path(Cut::Reset, "/api/realtime").await;
    stage.wait_for_streams(1).await;
    seen(RealtimeState::Reconnecting).await;
    stage.proxy.clear_faults().await;
    watch.written_after(now_ms(), s(10)).await;
    seen(RealtimeState::Connected).await;
    watch.end().await;
    let last = || async { told.lock().unwrap().last() == Some(&RealtimeState::Disconnected) };
    until(s(5), "disconnected", last).await;
    listener.abort();
    assert!(listener.await.unwrap_err().is_cancelled());
    use RealtimeState::{Connected, Connecting, Disconnected, Reconnecting};
    assert_eq!(*told.lock().unwrap(), [Disconnected, Connecting, Connected, Reconnecting, Connected, Disconnected]);
    let log = stage.proxy.requests().await;
    assert!(log.iter().filter(|r| is_stream(r)).count() >= 2 && log.iter().any(is_submit));
    stage.nothing_left().await;
}
