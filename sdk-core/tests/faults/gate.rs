//! B7: instances that sleep.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use picobase::{
    Client, Error, ErrorKind,
    InstanceState::{Ready, Starting, Unreachable},
    auth::Store,
    files::FileSource,
    runtime::BoxFuture,
    transport::{Headers, MemoryTransport, Response},
};
use picobase_testkit::{LoggedRequest, Proxy};
use serde_json::{Value, json};

use crate::{
    common::{LATE, PATIENCE, client, clock::Skewed, kit, new_post, password, unique, within},
    tools::{States, cancelled_after, ms, one_at_a_time, proxy, settled, timed, watched},
};

/// 503 for a while from the first request on.
fn asleep(time: u64, headers: Value) -> Value {
    let action = json!({"type": "respond", "status": 503, "headers": headers, "body": "waking up"});
    json!([{"for_ms": time, "from": "first_hit", "action": action}])
}

/// 50 calls at once: reads, creates, updates, each with a name. Answers the title that the creates had.
async fn fifty(client: &Client) -> String {
    let title = unique("fifty");
    let calls = (0..50).map(|n| {
        let (posts, title) = (client.collection("posts"), title.clone());
        async move {
            let name = n.to_string();
            match n % 3 {
                0 => posts.get_list(1, 1).header("X-Call", &name).await.map(|_| ()),
                1 => posts.create(&json!({"title": title, "n": n})).header("X-Call", &name).await.map(|_| ()),
                _ => {
                    let list = posts.get_list(1, 1).sort("created").header("X-Call", &name).await?;
                    let update = posts.update(list.items[0].id(), &json!({"flag": true}));
                    update.header("X-Call", format!("{name}, update")).await.map(|_| ())
                }
            }
        }
    });
    for result in join_all(calls).await {
        result.unwrap();
    }
    title
}

/// The requests that found the instance asleep, without the first of each call: those may have been under way together.
fn probes(log: &[LoggedRequest]) -> Vec<&LoggedRequest> {
    let mut calls = HashSet::new();
    log.iter().filter(|r| !calls.insert(&r.headers["x-call"]) && r.status == Some(503)).collect()
}

async fn created_once(client: &Client, title: &str) {
    let filter = client.filter("title = {:t}", picobase::params! { "t" => title }).unwrap();
    let posts = client.collection("posts").get_full_list().filter(filter).await.unwrap();
    let mut numbers: Vec<_> = posts.iter().map(|p| p.get_i64("n")).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!((posts.len(), numbers.len()), (17, 17), "every create happens exactly once");
}

async fn sleeps_for_six_seconds(headers: Value, most_probes: usize) {
    within(30, async {
        let proxy = proxy().await;
        new_post(&client(&proxy.url), "there is one").await;
        proxy.clear_requests().await;
        proxy.faults(asleep(6000, headers)).await;
        let (client, states) = watched(&proxy.url, |b| b);
        let (title, took) = timed(fifty(&client)).await;
        assert!(took >= ms(5900) && took < PATIENCE, "{took:?}");
        assert_eq!(states.all(), [Starting, Ready]);
        let log = proxy.requests().await;
        let probes = probes(&log);
        assert!(one_at_a_time(&probes), "{probes:#?}");
        assert!((1..=most_probes).contains(&probes.len()), "{} probes", probes.len());
        created_once(&client, &title).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_calls_wait_for_an_instance_that_sleeps() {
    // In the end the date has passed and says nothing any more.
    let date = http_date(SystemTime::now() + ms(3000));
    tokio::join!(
        sleeps_for_six_seconds(json!({"Retry-After": "1"}), 7),
        // Full jitter may choose short waits, but not many in a row: they add up to six seconds.
        sleeps_for_six_seconds(json!({}), 40),
        sleeps_for_six_seconds(json!({"Retry-After": date}), 40),
        refuses_for_a_while(),
    );
}

#[tokio::test]
async fn an_answer_that_says_now_is_no_reason_to_hammer() {
    within(10, async {
        let proxy = proxy().await;
        proxy.faults(asleep(1500, json!({"Retry-After": "0"}))).await;
        client(&proxy.url).collection("posts").get_list(1, 1).await.unwrap();
        let asked = proxy.requests().await.len();
        assert!(asked < 30, "{asked} requests in 1.5 s");
    })
    .await;
}

/// An HTTP date (RFC 9110 §5.6.7), by way of the server's own clock format.
fn http_date(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(days % 7).unwrap()];
    let (mut year, mut day) = (1970u64, days);
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut month = 0;
    while day >= months[month] {
        day -= months[month];
        month += 1;
    }
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{weekday}, {:02} {} {year} {h:02}:{m:02}:{s:02} GMT", day + 1, names[month])
}

async fn refuses_for_a_while() {
    within(30, async {
        let proxy = proxy().await;
        new_post(&client(&proxy.url), "there is one").await;
        proxy.faults(json!([{"action": {"type": "refuse"}}])).await;
        let (client, states) = watched(&proxy.url, |b| b);
        let (title, ()) = tokio::join!(fifty(&client), async {
            states.are(&[Starting]).await;
            tokio::time::sleep(ms(4000)).await;
            proxy.clear_faults().await;
        });
        assert_eq!(states.all(), [Starting, Ready]);
        created_once(&client, &title).await;
    })
    .await;
}

/// A client whose gate is closed: the instance sleeps until the faults are others.
async fn behind_a_closed_gate(proxy: &Proxy, client: &Client, states: &States, retry_after: &str) {
    let headers = json!({"Retry-After": retry_after});
    proxy.faults(json!([{"action": {"type": "respond", "status": 503, "headers": headers}}])).await;
    tokio::select! {
        result = client.collection("posts").get_list(1, 1).into_future() => panic!("{result:?}"),
        () = states.are(&[Starting]) => {}
    }
    proxy.clear_requests().await;
}

#[tokio::test]
async fn the_next_takes_over_from_a_cancelled_probe() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        behind_a_closed_gate(&proxy, &client, &states, "1").await;
        // The first one sleeps before its turn, the second one is asking: both go away.
        proxy.faults(json!([{"times": 1, "action": {"type": "stall"}}])).await;
        let posts = client.collection("posts");
        let oldest = tokio::spawn(posts.get_list(1, 1).into_future());
        tokio::time::sleep(ms(100)).await;
        let others: Vec<_> = (0..5).map(|_| tokio::spawn(posts.get_list(1, 1).into_future())).collect();
        tokio::time::sleep(ms(100)).await;
        oldest.abort();
        proxy.wait_for(1, PATIENCE, |r| r.status.is_none()).await;
        others[0].abort();
        for other in others.into_iter().skip(1) {
            other.await.unwrap().unwrap();
        }
        assert_eq!(states.all(), [Starting, Ready]);
        settled(&proxy).await;
    })
    .await;
}

#[tokio::test]
async fn the_next_takes_over_from_a_probe_that_timed_out() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        behind_a_closed_gate(&proxy, &client, &states, "0").await;
        proxy.faults(json!([{"times": 1, "action": {"type": "stall"}}])).await;
        let posts = client.collection("posts");
        let oldest = tokio::spawn(posts.get_list(1, 1).timeout(ms(4000)).into_future());
        proxy.wait_for(1, PATIENCE, |r| r.status.is_none()).await;
        let (next, took) = timed(posts.get_list(1, 1)).await;
        next.unwrap();
        assert!(took < LATE, "{took:?}");
        let error = oldest.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(one_at_a_time(&proxy.requests().await.iter().collect::<Vec<_>>()));
    })
    .await;
}

#[tokio::test]
async fn it_does_not_wake_up() {
    within(20, async {
        let proxy = proxy().await;
        proxy.faults(json!([{"action": {"type": "respond", "status": 503, "headers": {"Retry-After": "1"}}}])).await;
        let (client, states) = watched(&proxy.url, |b| b.cold_start_timeout(ms(2500)));
        let posts = client.collection("posts");
        let (results, took) = timed(join_all((0..5).map(|_| posts.get_list(1, 1).into_future()))).await;
        assert!(took >= ms(2400) && took < LATE, "{took:?}");
        for error in results.into_iter().map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::InstanceUnavailable);
            assert_eq!((error.status(), error.retry_after()), (503, Some(ms(1000))));
            assert!(error.attempts() >= 1 && error.attempts() < 6, "{}", error.attempts());
            assert!(error.url().unwrap().starts_with(&proxy.url));
        }
        assert_eq!(states.all(), [Starting, Unreachable]);
        // Back again: the next call asks, and all is well.
        proxy.clear_faults().await;
        posts.get_list(1, 1).await.unwrap();
        assert_eq!(states.all(), [Starting, Unreachable, Ready]);
    })
    .await;
}

#[tokio::test]
async fn a_long_retry_after_does_not_lock_a_client_out() {
    within(60, async {
        let proxy = proxy().await;
        let (client, _) = watched(&proxy.url, |b| b.cold_start_timeout(ms(8000)));
        proxy.faults(json!([{"times": 2, "action": {"type": "respond", "status": 503, "headers": {"Retry-After": "86400"}}}])).await;
        let error = client.collection("posts").get_list(1, 1).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)));
        // The instance came back meanwhile; nobody waits a day to find out.
        client.collection("posts").get_list(1, 1).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn it_is_asked_once_more_before_a_call_gives_up() {
    // One that waits as long as the client says, and one that has a deadline of its own.
    within(30, join_all([None, Some(ms(8000))].map(asked_once_more))).await;
}

async fn asked_once_more(own: Option<Duration>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let transport = MemoryTransport::new(move |_| {
        let mut headers = Headers::new();
        headers.set("Retry-After", "60");
        let page = json!({"page": 1, "perPage": 1, "totalItems": 0, "totalPages": 0, "items": []});
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let response = Response::new(if first { 503 } else { 200 }, headers, page.to_string());
        async { Ok(response) }
    });
    let limit = own.map_or(ms(8000), |_| ms(60_000));
    let (client, states) = watched("http://memory", |b| b.transport(transport).cold_start_timeout(limit));
    let list = client.collection("posts").get_list(1, 1);
    let (result, took) = timed(if let Some(own) = own { list.timeout(own) } else { list }).await;
    result.unwrap();
    assert!(took >= ms(6900), "{took:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(states.all(), [Starting, Ready]);
}

#[tokio::test]
async fn many_that_give_up_ask_once_for_all() {
    within(60, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b.cold_start_timeout(ms(8000)));
        behind_a_closed_gate(&proxy, &client, &states, "60").await;
        let action = json!({"type": "respond", "status": 503, "headers": {"Retry-After": "60"}});
        proxy.faults(json!([{"action": action}])).await;
        proxy.clear_requests().await;
        let posts = client.collection("posts");
        let (results, took) = timed(join_all((0..30).map(|_| posts.get_list(1, 1).into_future()))).await;
        assert!(took >= ms(7900), "{took:?}");
        for error in results.into_iter().map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::InstanceUnavailable);
        }
        assert_eq!(proxy.requests().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn explicit_deadlines_hold_and_the_default_is_outlasted() {
    within(20, async {
        let proxy = proxy().await;
        proxy.faults(json!([{"action": {"type": "respond", "status": 503, "headers": {"Retry-After": "1"}}}])).await;
        let (client, _) = watched(&proxy.url, |b| b);
        let posts = client.collection("posts");
        let patient = tokio::spawn(posts.get_list(1, 1).into_future());
        let (result, took) = timed(posts.get_list(1, 1).timeout(ms(2500))).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(took >= ms(2450) && took < LATE, "{took:?}");
        assert_eq!(error.retry_after(), Some(ms(1000)));
        let (strict, _) = watched(&proxy.url, |b| b.timeout(ms(1200)));
        let (result, took) = timed(strict.collection("posts").get_list(1, 1)).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(took >= ms(1150) && took < LATE, "{took:?}");
        proxy.clear_faults().await;
        patient.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn health_passes_the_gate_and_opens_it() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        behind_a_closed_gate(&proxy, &client, &states, "50").await;
        let error = client.health().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::InstanceUnavailable, 1));
        let waiting = tokio::spawn(client.collection("posts").get_list(1, 1).into_future());
        tokio::time::sleep(ms(50)).await;
        assert_eq!(states.all(), [Starting]);
        proxy.clear_faults().await;
        client.health().await.unwrap();
        let (result, took) = timed(waiting).await;
        result.unwrap().unwrap();
        assert!(took < LATE, "{took:?}");
        assert_eq!(states.all(), [Starting, Ready]);
    })
    .await;
}

#[tokio::test]
async fn any_answer_to_health_opens_the_gate() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        behind_a_closed_gate(&proxy, &client, &states, "50").await;
        let rule = json!([{"path": "/api/health", "action": {"type": "respond", "status": 500}}]);
        proxy.faults(rule).await;
        client.health().await.unwrap_err();
        assert_eq!(states.all(), [Starting, Ready]);
        client.collection("posts").get_list(1, 1).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn siblings_share_the_gate() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        behind_a_closed_gate(&proxy, &client, &states, "1").await;
        proxy.faults(asleep(1500, json!({"Retry-After": "1"}))).await;
        let siblings: Vec<_> = (0..10).map(|_| client.with_session("")).collect();
        let lists = siblings.iter().map(|s| s.collection("posts").get_list(1, 1).into_future());
        for result in join_all(lists).await {
            result.unwrap();
        }
        let log = proxy.requests().await;
        let sleeping: Vec<_> = log.iter().filter(|r| r.status == Some(503)).collect();
        assert!(one_at_a_time(&sleeping) && sleeping.len() <= 3, "{sleeping:#?}");
        assert_eq!(states.all(), [Starting, Ready]);
    })
    .await;
}

#[tokio::test]
async fn only_streams_wait() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        behind_a_closed_gate(&proxy, &client, &states, "1").await;
        proxy.faults(asleep(1500, json!({"Retry-After": "1"}))).await;
        let uploads = (0..3).map(|n| {
            let pieces = futures_util::stream::iter((0..4).map(|_| Ok(bytes::Bytes::from(vec![b'x'; 10_000]))));
            let file = FileSource::stream(&format!("{n}.bin"), Some(40_000), pieces);
            client.collection("posts").create(&json!({"title": "stream"})).file("attachments", file).into_future()
        });
        for result in join_all(uploads).await {
            result.unwrap();
        }
        let log = proxy.requests().await;
        let posts: Vec<_> = log.iter().filter(|r| r.method == "POST").collect();
        assert!(posts.len() == 3 && posts.iter().all(|r| r.status == Some(200)), "{posts:#?}");
        let health: Vec<_> = log.iter().filter(|r| r.path == "/api/health").collect();
        assert!(!health.is_empty() && one_at_a_time(&health), "{health:#?}");
    })
    .await;
}

#[tokio::test]
async fn sign_in_behind_a_closed_gate() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        behind_a_closed_gate(&proxy, &client, &states, "1").await;
        proxy.faults(asleep(1200, json!({"Retry-After": "1"}))).await;
        let auth = client.auth();
        let (session, list) = tokio::join!(
            auth.sign_in("alice@example.com", password()).into_future(),
            client.collection("posts").get_list(1, 1).into_future()
        );
        session.unwrap();
        list.unwrap();
    })
    .await;
}

#[tokio::test]
async fn credentials_sign_in_while_the_gate_is_closed() {
    within(20, async {
        let proxy = proxy().await;
        let credentials = picobase::auth::Credentials::new("bob@example.com", password());
        let (client, _) = watched(&proxy.url, |b| b.credentials(credentials));
        // The call that needs the session is the one that would be the probe.
        proxy.faults(asleep(1500, json!({"Retry-After": "1"}))).await;
        let posts = client.collection("posts");
        for result in join_all((0..10).map(|_| posts.get_list(1, 1).into_future())).await {
            result.unwrap();
        }
        let log = proxy.requests().await;
        let signed_in = log.iter().filter(|r| r.path.contains("auth-with-password") && r.status == Some(200)).count();
        assert_eq!(signed_in, 1);
        assert!(log.iter().filter(|r| r.path.ends_with("records")).all(|r| r.headers.contains_key("authorization")));
    })
    .await;
}

/// Longer than a token lives, by a clock that is wrong.
const TEN_DAYS: i64 = 10 * 24 * 3_600_000;

/// A session as a store holds it.
async fn stored_session(url: &str) -> String {
    let session = client(url).auth().sign_in("alice@example.com", password()).await.unwrap();
    json!({"token": session.token(), "record": session.record::<Value>().unwrap()}).to_string()
}

/// A store that takes its time.
struct SlowStore(Option<String>, Duration);

impl Store for SlowStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(async {
            tokio::time::sleep(self.1).await;
            Ok(self.0.clone())
        })
    }

    fn save(&self, _: String) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn the_first_load_asks_while_the_gate_is_closed() {
    within(40, async {
        let proxy = proxy().await;
        let text = stored_session(&proxy.url).await;
        let runtime = Skewed::new(TEN_DAYS);
        let (client, states) = watched(&proxy.url, |b| b.store(SlowStore(Some(text), ms(200))).runtime(runtime));
        behind_a_closed_gate(&proxy, &client.with_session(""), &states, "1").await;
        proxy.faults(asleep(1500, json!({"Retry-After": "1"}))).await;
        let posts = client.collection("posts");
        for result in join_all((0..10).map(|_| posts.get_list(1, 1).into_future())).await {
            result.unwrap();
        }
        let log = proxy.requests().await;
        assert_eq!(log.iter().filter(|r| r.path.contains("auth-refresh") && r.status == Some(200)).count(), 1);
        assert!(log.iter().filter(|r| r.path.ends_with("records")).all(|r| r.headers.contains_key("authorization")));
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_question_does_not_keep_its_place_in_the_queue() {
    within(20, async {
        let proxy = proxy().await;
        let text = stored_session(&proxy.url).await;
        let runtime = Skewed::new(TEN_DAYS);
        let (client, states) = watched(&proxy.url, |b| b.store(SlowStore(Some(text), ms(1))).runtime(runtime));
        let sibling = client.with_session("");
        behind_a_closed_gate(&proxy, &sibling, &states, "1").await;
        // Its refresh waits at the gate, as the oldest, when the caller goes away.
        cancelled_after(ms(200), client.collection("posts").get_list(1, 1)).await;
        proxy.clear_faults().await;
        let (result, took) = timed(sibling.collection("posts").get_list(1, 1)).await;
        result.unwrap();
        assert!(took < LATE, "{took:?}");
        client.collection("posts").get_list(1, 1).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_call_that_nobody_polls_does_not_block_the_others() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        behind_a_closed_gate(&proxy, &client, &states, "1").await;
        let posts = client.collection("posts");
        // It takes the turn, and then its owner is busy elsewhere.
        let mut silent = posts.get_list(1, 1).into_future();
        assert!(tokio::time::timeout(ms(50), &mut silent).await.is_err());
        proxy.clear_faults().await;
        let (result, took) = timed(posts.get_list(1, 1)).await;
        result.unwrap();
        assert!(took < LATE, "{took:?}");
        silent.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_late_answer_of_before_does_not_close_the_gate_again() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b);
        // One answer is on its way for a while; meanwhile the instance wakes up.
        proxy
            .faults(json!([
                {"times": 1, "query_contains": "page=7", "action": {"type": "delay", "ms": 3000}},
                {"times": 1, "query_contains": "page=7", "action": {"type": "respond", "status": 503}},
                {"times": 1, "query_contains": "page=1", "action": {"type": "respond", "status": 503}},
            ]))
            .await;
        let posts = client.collection("posts");
        let late = tokio::spawn(posts.get_list(7, 1).into_future());
        proxy.wait_for(1, PATIENCE, |r| r.query.contains("page=7")).await;
        posts.get_list(1, 1).await.unwrap();
        assert_eq!(states.all(), [Starting, Ready]);
        late.await.unwrap().unwrap();
        assert_eq!(states.all(), [Starting, Ready]);
    })
    .await;
}

#[tokio::test]
async fn a_probe_that_breaks_is_followed_at_a_distance() {
    within(20, async {
        let proxy = proxy().await;
        let (client, states) = watched(&proxy.url, |b| b.cold_start_timeout(ms(15_000)));
        behind_a_closed_gate(&proxy, &client, &states, "0").await;
        proxy.faults(json!([{"for_ms": 2000, "action": {"type": "reset"}}])).await;
        let posts = client.collection("posts");
        let results = join_all((0..30).map(|_| posts.get_list(1, 1).into_future())).await;
        let log = proxy.requests().await;
        let broken: Vec<_> = log.iter().filter(|r| r.status.is_none()).collect();
        assert!(broken.len() < 20 && one_at_a_time(&broken), "{} requests", broken.len());
        assert!(results.iter().any(Result::is_ok));
    })
    .await;
}

#[tokio::test]
async fn the_server_is_killed_and_restarted_in_the_middle_of_calls() {
    within(40, async {
        let server = kit().server().await;
        let (client, states) = watched(&server.url, |b| b);
        let title = unique("restart");
        let workers = (0..10).map(|n| {
            let (posts, title) = (client.collection("posts"), title.clone());
            async move {
                for round in 0..40 {
                    let body = json!({"title": title, "slug": format!("{title}-{n}-{round}")});
                    posts.create(&body).safe_retry().await.unwrap();
                    tokio::time::sleep(ms(20)).await;
                }
            }
        });
        let work = tokio::spawn(join_all(workers));
        tokio::time::sleep(ms(300)).await;
        server.restart(ms(700), true).await;
        work.await.unwrap();
        let filter = client.filter("title = {:t}", picobase::params! { "t" => title.as_str() }).unwrap();
        let posts = client.collection("posts").get_full_list().filter(filter).await.unwrap();
        assert_eq!(posts.len(), 400);
        assert_eq!(states.all(), [Starting, Ready]);
    })
    .await;
}
