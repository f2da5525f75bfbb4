//! Live queries: the list that their changes make is the one that the server has.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use picobase::{
    Client, ErrorKind, Json, Record,
    action::Action,
    live::{Live, LiveChange, LiveEvent, LiveQuery},
    realtime::{NetworkHint, RealtimeOptions, RealtimeState},
    records::ListResult,
    runtime::BoxFuture,
    transport::{Headers, MemoryTransport, Method, Response, ResponseBody, TransportError},
};
use picobase_testkit::{Cut, LoggedRequest, Proxy, Server};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    common::{PATIENCE, builder, client, kit, new_user, password, superuser, user_id, within},
    tools::{LiveList, Writer, is_stream, ms, s, submits, until},
};

/// A server of the test's own, the client under test behind a proxy, and another client that writes past it.
struct Scene {
    server: Server,
    proxy: Proxy,
    client: Client,
    other: Client,
}

impl Scene {
    async fn new() -> Scene {
        Scene::with(|_| {}).await
    }

    async fn with(set: impl FnOnce(&mut RealtimeOptions)) -> Scene {
        let server = kit().server().await;
        let proxy = server.proxy().await;
        let mut options = RealtimeOptions::default();
        options.linger = ms(100);
        set(&mut options);
        let client = builder(&proxy.url).realtime(options).build().unwrap();
        let other = superuser(&server.direct_url).await;
        Scene { server, proxy, client, other }
    }

    fn live(&self, collection: &str) -> LiveQuery<Json> {
        self.client.collection(collection).typed::<Json>().live()
    }

    async fn post(&self, body: Value) -> String {
        self.create("posts", body).await
    }

    async fn create(&self, collection: &str, body: Value) -> String {
        self.other.collection(collection).create(&body).await.unwrap().id().to_string()
    }

    async fn update(&self, id: &str, body: Value) {
        self.other.collection("posts").update(id, &body).await.unwrap();
    }

    async fn delete(&self, id: &str) {
        self.other.collection("posts").delete(id).await.unwrap();
    }

    /// What a list has now, straight from the server.
    fn fresh(&self, collection: &str) -> Action<ListResult<Json>> {
        client(&self.server.direct_url).collection(collection).typed::<Json>().get_list(1, 500)
    }

    /// The list calls so far, those for ids alone among them.
    async fn list_calls(&self, collection: &str) -> (usize, usize) {
        let path = format!("/api/collections/{collection}/records");
        let mut log = self.proxy.requests().await;
        log.retain(|request| request.method == "GET" && request.path == path);
        (log.len(), log.iter().filter(|request| request.query.contains("fields=id%2Cupdated")).count())
    }
}

/// A live query that is read step by step.
struct Story {
    live: Live<Json>,
    list: Vec<Json>,
}

impl Story {
    async fn begin(query: LiveQuery<Json>) -> Story {
        let mut live = within(10, query).await.unwrap();
        let Some(Ok(LiveEvent::Snapshot(list))) = within(1, live.next()).await else { panic!("no snapshot") };
        Story { live, list }
    }

    /// The next change in words, with the title of the record: `enter 0 a`, `change 0 a`, `move 0 2 a`, `leave 2 a`.
    async fn next(&mut self) -> String {
        let change = match within(10, self.live.next()).await {
            Some(Ok(LiveEvent::Change(change))) => change,
            other => panic!("{other:?}"),
        };
        let title = |json: &Json| text(json, "title");
        let words = match &change {
            LiveChange::Enter { index, record, .. } => format!("enter {index} {}", title(record)),
            LiveChange::Change { index, record, .. } => format!("change {index} {}", title(record)),
            LiveChange::Leave { index, .. } => format!("leave {index} {}", title(&self.list[*index])),
            LiveChange::Move { from, to, .. } => format!("move {from} {to} {}", title(&self.list[*from])),
        };
        change.apply(&mut self.list);
        words
    }

    /// These changes and, as a record of the other client shows, none before that.
    async fn tells(&mut self, words: &[&str]) {
        for expected in words {
            assert_eq!(self.next().await, *expected);
        }
    }

    async fn is(&self, fresh: Action<ListResult<Json>>) {
        assert_eq!(texts(&self.list), texts(&fresh.await.unwrap().items));
    }
}

fn is_list(request: &LoggedRequest) -> bool {
    request.method == "GET" && request.path == "/api/collections/posts/records"
}

fn text(json: &Json, name: &str) -> String {
    json.get(name).and_then(|value| value.as_str()).unwrap_or_default()
}

fn texts(list: &[Json]) -> Vec<&str> {
    list.iter().map(Json::as_text).collect()
}

fn titles(list: &[Json]) -> Vec<String> {
    list.iter().map(|record| text(record, "title")).collect()
}

#[tokio::test]
async fn records_enter_change_move_and_leave() {
    let scene = Scene::new().await;
    let a = scene.post(json!({"title": "a", "n": 1})).await;
    let mut story = Story::begin(scene.live("posts").sort("n")).await;
    assert_eq!(titles(&story.list), ["a"]);
    let b = scene.post(json!({"title": "b", "n": 2})).await;
    story.tells(&["enter 1 b"]).await;
    scene.post(json!({"title": "c", "n": 0})).await;
    story.tells(&["enter 0 c"]).await;
    scene.update(&b, json!({"body": "other"})).await;
    story.tells(&["change 2 b"]).await;
    scene.update(&a, json!({"n": 9})).await;
    story.tells(&["move 1 2 a", "change 2 a"]).await;
    scene.delete(&b).await;
    story.tells(&["leave 1 b"]).await;
    story.is(scene.fresh("posts").sort("n")).await;
}

#[tokio::test]
async fn records_leave_the_filter_and_come_back() {
    let scene = Scene::new().await;
    let a = scene.post(json!({"title": "a", "status": "published"})).await;
    let mut story = Story::begin(scene.live("posts").filter("status = 'published'").sort("title")).await;
    scene.update(&a, json!({"status": "draft"})).await;
    story.tells(&["leave 0 a"]).await;
    scene.post(json!({"title": "b", "status": "draft"})).await;
    scene.post(json!({"title": "c", "status": "published"})).await;
    story.tells(&["enter 0 c"]).await;
    scene.update(&a, json!({"status": "published"})).await;
    story.tells(&["enter 0 a"]).await;
    story.is(scene.fresh("posts").filter("status = 'published'").sort("title")).await;
}

#[tokio::test]
async fn who_stands_behind_the_limit_enters_when_one_leaves() {
    let scene = Scene::new().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(scene.post(json!({"title": format!("t{n}"), "n": n})).await);
    }
    let mut story = Story::begin(scene.live("posts").sort("n").limit(3)).await;
    assert_eq!(titles(&story.list), ["t0", "t1", "t2"]);
    scene.delete(&ids[1]).await;
    story.tells(&["leave 1 t1", "enter 2 t3"]).await;
    scene.post(json!({"title": "first", "n": -1})).await;
    story.tells(&["leave 2 t3", "enter 0 first"]).await;
    let refused = |limit| scene.live("posts").limit(limit).into_future();
    for limit in [0, 1001] {
        assert_eq!(refused(limit).await.unwrap_err().kind(), ErrorKind::Validation);
    }
    assert_eq!(scene.live("posts").sort("@random").await.unwrap_err().kind(), ErrorKind::Validation);
}

#[tokio::test]
async fn the_order_is_the_servers_also_where_the_sort_does_not_decide() {
    let scene = Scene::new().await;
    for sort in ["n", "-n,id", ""] {
        let query = || if sort.is_empty() { scene.live("posts") } else { scene.live("posts").sort(sort) };
        let fresh = || if sort.is_empty() { scene.fresh("posts") } else { scene.fresh("posts").sort(sort) };
        let list = LiveList::start(query().await.unwrap());
        let mut ids = Vec::new();
        for n in 0..12 {
            ids.push(scene.post(json!({"title": format!("t{n}"), "n": n % 3})).await);
        }
        for id in ids.iter().step_by(2) {
            scene.update(id, json!({"n": 1})).await;
        }
        scene.delete(&ids[5]).await;
        list.becomes(fresh).await;
    }
}

#[tokio::test]
async fn relations_come_along_and_are_looked_at_again() {
    let scene = Scene::new().await;
    let user = scene
        .create(
            "users",
            json!({"email": "eve@example.com", "password": password(), "passwordConfirm": password(), "name": "Eve"}),
        )
        .await;
    scene.server.admin("PATCH", "/api/collections/users", Some(json!({"listRule": "", "viewRule": ""}))).await;
    let query = scene.live("posts").expand("author").sort("title").recheck_every(ms(500));
    let mut story = Story::begin(query).await;
    scene.post(json!({"title": "a", "author": user})).await;
    story.tells(&["enter 0 a"]).await;
    let name = |json: &Json| json.get("expand").and_then(|e| e.get("author")).map(|a| text(&a, "name"));
    assert_eq!(name(&story.list[0]).as_deref(), Some("Eve"));
    story.is(scene.fresh("posts").expand("author")).await;
    scene.other.collection("users").update(&user, &json!({"name": "Eva"})).await.unwrap();
    story.tells(&["change 0 a"]).await;
    assert_eq!(name(&story.list[0]).as_deref(), Some("Eva"));
}

#[tokio::test]
async fn fields_without_id_are_completed() {
    let scene = Scene::new().await;
    let mut story = Story::begin(scene.live("posts").fields("title").sort("title")).await;
    let a = scene.post(json!({"title": "a"})).await;
    story.tells(&["enter 0 a"]).await;
    scene.update(&a, json!({"title": "b"})).await;
    story.tells(&["change 0 b"]).await;
    let [b, now] = [story.list[0].clone(), scene.fresh("posts").await.unwrap().items[0].clone()];
    let names: Vec<String> = b.members().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["id", "title", "updated"]);
    assert_eq!(["id", "updated"].map(|name| text(&b, name)), ["id", "updated"].map(|name| text(&now, name)));
}

#[tokio::test]
async fn the_order_of_members_is_no_change() {
    // Where fields are picked the server writes them in another order each time.
    let scene = Scene::new().await;
    for n in 0..20 {
        scene.post(json!({"title": format!("t{n}"), "n": n, "meta": {"x": 1, "y": {"p": 1, "q": 2}}})).await;
    }
    let query = scene.live("posts").fields("*,expand.author.name").sort("n").recheck_every(ms(100));
    let mut story = Story::begin(query).await;
    let (change, ()) = tokio::join!(story.next(), async {
        scene.proxy.wait_for(5, PATIENCE, is_list).await;
        scene.post(json!({"title": "last", "n": 100})).await;
    });
    assert_eq!(change, "enter 20 last");
}

#[tokio::test]
async fn a_collection_without_dates_is_fetched_where_events_name_a_record() {
    let scene = Scene::new().await;
    let notes = scene.other.collection("noupdated");
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(scene.create("noupdated", json!({"title": format!("t{n}"), "n": n})).await);
    }
    let mut story = Story::begin(scene.live("noupdated").sort("n")).await;
    notes.update(&ids[3], &json!({"title": "x"})).await.unwrap();
    story.tells(&["change 3 x"]).await;
    notes.update(&ids[3], &json!({"n": 100})).await.unwrap();
    story.tells(&["move 3 7 x", "change 7 x"]).await;
    notes.delete(&ids[0]).await.unwrap();
    story.tells(&["leave 0 t0"]).await;
    story.is(scene.fresh("noupdated").sort("n")).await;
}

#[tokio::test]
async fn who_loses_access_by_a_rule_leaves_with_the_next_recheck() {
    let scene = Scene::new().await;
    let session = scene.client.auth().sign_up("owner@example.com", password()).await.unwrap().unwrap();
    let (own, stranger) = (session.user_id(), new_user(&scene.server.direct_url).await.0);
    let note = scene.create("private_notes", json!({"owner": own, "body": "mine"})).await;
    let mut story = Story::begin(scene.live("private_notes").recheck_every(ms(300))).await;
    assert_eq!(story.list.len(), 1);
    let theirs = json!({"owner": user_id(&stranger)});
    scene.other.collection("private_notes").update(&note, &theirs).await.unwrap();
    story.tells(&["leave 0 "]).await;
}

#[tokio::test]
async fn twenty_updates_in_a_batch_become_one_state() {
    let scene = Scene::new().await;
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(scene.post(json!({"title": format!("t{n}"), "n": n})).await);
    }
    let list = LiveList::start(scene.live("posts").sort("-n").await.unwrap());
    let mut batch = scene.other.batch();
    for (n, id) in ids.iter().take(10).enumerate() {
        batch.collection("posts").update(id, &json!({"title": "first"}));
        batch.collection("posts").update(id, &json!({"n": 100 - n}));
    }
    batch.send().await.unwrap();
    list.becomes(|| scene.fresh("posts").sort("-n")).await;
    assert_eq!(list.errors(), 0);
}

#[tokio::test]
async fn signing_in_and_out_turns_the_list_into_that_of_the_user() {
    let scene = Scene::new().await;
    scene.create("published_only", json!({"title": "open", "public": true})).await;
    scene.create("published_only", json!({"title": "closed", "public": false})).await;
    scene.client.auth().sign_up("ada@example.com", password()).await.unwrap();
    scene.client.auth().sign_out().await.unwrap();
    let mut story = Story::begin(scene.live("published_only").sort("title")).await;
    assert_eq!(titles(&story.list), ["open"]);
    scene.client.auth().sign_in("ada@example.com", password()).await.unwrap();
    story.tells(&["enter 0 closed"]).await;
    scene.client.auth().sign_out().await.unwrap();
    story.tells(&["leave 0 closed"]).await;
    scene.client.auth().sign_in("ada@example.com", password()).await.unwrap();
    story.tells(&["enter 0 closed"]).await;
    let late = scene.create("published_only", json!({"title": "late", "public": false})).await;
    story.tells(&["enter 1 late"]).await;
    assert_eq!(text(&story.list[1], "id"), late);
}

/// A list of what only users see, and a session that the server has made void.
async fn void_session() -> (Scene, Story) {
    void_session_of(|query| query).await
}

async fn void_session_of(set: impl FnOnce(LiveQuery<Json>) -> LiveQuery<Json>) -> (Scene, Story) {
    let scene = Scene::new().await;
    let session = scene.client.auth().sign_up("ada@example.com", password()).await.unwrap().unwrap();
    scene.create("published_only", json!({"title": "closed", "public": false})).await;
    scene.create("published_only", json!({"title": "open", "public": true})).await;
    let story = Story::begin(set(scene.live("published_only").sort("title"))).await;
    assert_eq!(titles(&story.list), ["closed", "open"]);
    // Another password makes all tokens of the user void.
    let other = json!({"password": "another password", "passwordConfirm": "another password"});
    scene.other.collection("users").update(&session.user_id(), &other).await.unwrap();
    (scene, story)
}

async fn told_that_the_session_has_ended(story: &mut Story) {
    let error = within(20, story.live.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionExpired);
    assert!(tokio::time::timeout(ms(300), story.live.next()).await.is_err(), "once");
}

#[tokio::test]
async fn a_session_that_ends_is_told_once_and_the_list_goes_on_after_the_next_sign_in() {
    let (scene, mut story) = void_session().await;
    scene.proxy.cut(Cut::Reset).await;
    told_that_the_session_has_ended(&mut story).await;
    scene.create("published_only", json!({"title": "also", "public": false})).await;
    scene.client.auth().sign_in("ada@example.com", "another password").await.unwrap();
    story.tells(&["enter 0 also"]).await;
}

#[tokio::test]
async fn what_is_hidden_from_a_guest_does_not_leave_because_the_session_has_ended() {
    let (scene, mut story) = void_session().await;
    scene.create("published_only", json!({"title": "also", "public": true})).await;
    told_that_the_session_has_ended(&mut story).await;
    scene.client.auth().sign_in("ada@example.com", "another password").await.unwrap();
    story.tells(&["enter 0 also"]).await;
    // The whole list, of which no event tells anything, is no different, even where it is full.
    let (_scene, mut story) = void_session_of(|query| query.recheck_every(ms(300)).limit(2)).await;
    told_that_the_session_has_ended(&mut story).await;
}

#[tokio::test]
async fn a_session_that_ends_during_a_check_is_told_too_and_a_guest_sees_less() {
    let (scene, mut story) = void_session().await;
    let path = "/api/collections/published_only/records";
    scene.proxy.faults(json!([{"method": "GET", "path": path, "times": 1, "action": {"type": "stall"}}])).await;
    scene.create("published_only", json!({"title": "also", "public": true})).await;
    tokio::join!(told_that_the_session_has_ended(&mut story), async {
        // The second list call after that of the snapshot is the check.
        scene.proxy.wait_for(2, PATIENCE, |request| request.path == path).await;
        scene.proxy.cut_path(Cut::Reset, "/realtime").await;
    });
    scene.client.auth().sign_out().await.unwrap();
    story.tells(&["leave 0 closed", "enter 0 also"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_and_cuts_while_another_client_writes() {
    let scene = Scene::with(|options| options.liveness = s(3)).await;
    let writer = Writer::start(&scene.server.direct_url);
    let filtered = || scene.fresh("posts").filter("n < 400").sort("-updated,id");
    let lists = [
        LiveList::start(scene.live("posts").filter("n < 400").sort("-updated,id").await.unwrap()),
        LiveList::start(scene.live("posts").sort("n,id").limit(50).await.unwrap()),
    ];
    for cut in [Some(Cut::Reset), None, Some(Cut::Stall), Some(Cut::Close)] {
        let so_far = lists[0].changes();
        match cut {
            Some(cut) => drop(scene.proxy.cut_path(cut, "/realtime").await),
            None => scene.server.restart(s(1), true).await,
        }
        until(s(20), "more changes", || async { lists[0].changes() > so_far + 20 }).await;
    }
    writer.stop().await;
    lists[0].becomes(filtered).await;
    let first = || client(&scene.server.direct_url).collection("posts").typed::<Json>().get_list(1, 50).sort("n,id");
    lists[1].becomes(first).await;
    assert_eq!(lists.iter().map(LiveList::errors).sum::<usize>(), 0);
}

/// Filter, sort and limit.
type Wish = (&'static str, &'static str, u32);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_calls_that_break_all_the_time() {
    let scene = Scene::with(|options| {
        (options.liveness, options.max_age, options.overlap, options.queue_max) = (ms(700), ms(1500), ms(100), 40);
    })
    .await;
    let wishes: [Wish; 4] = [
        ("n < 300", "-updated,id", 500),
        ("n > 20 && title ~ '1'", "title,id", 100),
        ("id != ''", "-created,-n,id", 5),
        ("status = 'draft'", "@rowid", 500),
    ];
    let writers = [7, 8, 9].map(|beat| Writer::paced(&scene.server.direct_url, ms(beat)));
    let mut lists = Vec::new();
    for (filter, sort, limit) in wishes {
        let query = scene.live("posts").filter(filter).sort(sort).limit(limit);
        // Nothing may be owed to a recheck; a call that is stalled is given up after this time.
        lists.push(LiveList::start(query.recheck_every(s(3600)).timeout(s(10)).await.unwrap()));
    }
    for (how, path) in
        [(Cut::Reset, "realtime"), (Cut::Close, "records"), (Cut::Stall, "realtime"), (Cut::Stall, "records")]
    {
        let before: Vec<usize> = lists.iter().map(LiveList::changes).collect();
        until(s(20), "more changes of all", || async {
            lists.iter().zip(&before).all(|(list, before)| list.changes() > before + 5)
        })
        .await;
        scene.proxy.cut_path(how, path).await;
    }
    for writer in &writers {
        writer.stop().await;
    }
    for (list, (filter, sort, limit)) in lists.iter().zip(wishes) {
        let other = client(&scene.server.direct_url).collection("posts").typed::<Json>();
        list.becomes(|| other.get_list(1, limit).filter(filter).sort(sort)).await;
        assert_eq!(list.errors(), 0);
    }
}

#[tokio::test]
async fn many_live_queries_share_one_stream_and_one_topic() {
    let scene = Scene::new().await;
    let queries = (0..20).map(|n| scene.live("posts").filter(format!("n >= {n}")).sort("n").into_future());
    let lists: Vec<LiveList> = join_all(queries).await.into_iter().map(|live| LiveList::start(live.unwrap())).collect();
    for n in 0..20 {
        scene.post(json!({"title": format!("t{n}"), "n": n})).await;
    }
    for (n, list) in lists.iter().enumerate() {
        list.becomes(|| scene.fresh("posts").filter(format!("n >= {n}")).sort("n")).await;
    }
    let log = scene.proxy.requests().await;
    assert_eq!(log.iter().filter(|request| is_stream(request)).count(), 1);
    assert_eq!(submits(&log), [(Some(204), vec!["posts/*".to_string()])]);
}

#[tokio::test]
async fn a_slow_consumer_gets_the_same_list_later() {
    let scene = Scene::with(|options| options.queue_max = 10).await;
    let live = scene.live("posts").sort("n").await.unwrap();
    let mut fast = scene.client.collection("posts").subscribe("*").queue_max(1000).await.unwrap();
    for chunk in 0..4 {
        let mut batch = scene.other.batch();
        for n in 0..50 {
            batch.collection("posts").create(&json!({"title": "t", "n": chunk * 50 + n}));
        }
        batch.send().await.unwrap();
    }
    // What the fast one has heard, the slow one has missed or still has.
    for _ in 0..200 {
        within(20, fast.next()).await.unwrap().unwrap();
    }
    drop(fast);
    let before = scene.list_calls("posts").await.0;
    let list = LiveList::start(live);
    list.becomes(|| scene.fresh("posts").sort("n")).await;
    assert_eq!(list.changes(), 200);
    assert!(scene.list_calls("posts").await.0 - before <= 2);
}

#[tokio::test]
async fn a_burst_of_writes_costs_a_bounded_number_of_calls() {
    let scene = Scene::new().await;
    scene.server.seed_like("posts", 200, json!({"title": "old {n}", "n": "{n}"})).await;
    let list = LiveList::start(scene.live("posts").sort("-n,id").await.unwrap());
    let ids: Vec<String> = {
        let old = scene.other.collection("posts").get_full_list().await.unwrap();
        old.iter().map(|post| post.id().to_string()).collect()
    };
    let start = std::time::Instant::now();
    for (n, id) in ids.iter().enumerate() {
        scene.update(id, json!({"body": format!("new {n}")})).await;
    }
    list.becomes(|| scene.fresh("posts").sort("-n,id")).await;
    let took = start.elapsed();
    let (all, ids_only) = scene.list_calls("posts").await;
    // A check begins at most every 50 ms; besides the ids, some ask for bodies.
    let checks = usize::try_from(took.as_millis() / 50).unwrap() + 3;
    assert!(ids_only <= checks && all <= 2 * checks, "{ids_only} of ids, {all} in all, {checks} checks in {took:?}");
    // Events brought most of the bodies.
    let fetches = |request: &LoggedRequest| request.query.contains("filter=id");
    let fetched = scene.proxy.requests().await.iter().filter(|request| fetches(request)).count();
    assert!(all - ids_only - fetched <= 2, "{all} calls, {ids_only} for ids, {fetched} for some bodies");
}

#[tokio::test]
async fn what_events_bring_is_not_fetched() {
    let scene = Scene::new().await;
    let mut story = Story::begin(scene.live("posts").sort("title")).await;
    for n in 0..5 {
        scene.post(json!({"title": format!("t{n}")})).await;
        story.tells(&[&format!("enter {n} t{n}")]).await;
    }
    let (all, ids_only) = scene.list_calls("posts").await;
    assert_eq!(all - ids_only, 1, "only the snapshot has bodies");
    assert_eq!(ids_only, 5);
}

#[tokio::test]
async fn checks_that_fail_are_made_again() {
    let scene = Scene::new().await;
    let mut story = Story::begin(scene.live("posts").sort("title")).await;
    let failing = json!({"type": "respond", "status": 500, "body": {"status": 500, "message": "broken", "data": {}}});
    let path = "/api/collections/posts/records";
    scene.proxy.faults(json!([{"method": "GET", "path": path, "times": 3, "action": failing}])).await;
    scene.post(json!({"title": "a"})).await;
    story.tells(&["enter 0 a"]).await;
    assert_eq!(scene.proxy.show_faults().await[0]["hits"], 3);
}

#[tokio::test]
async fn what_the_server_refuses_ends_it() {
    let scene = Scene::new().await;
    let wrong = scene.live("posts").filter("no such field = 1").await.unwrap_err();
    assert_eq!((wrong.kind(), wrong.status()), (ErrorKind::Validation, 400));
    assert_eq!(scene.live("nosuchthing").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(scene.live("..").await.unwrap_err().kind(), ErrorKind::NotFound);
    let mut story = Story::begin(scene.live("posts").recheck_every(ms(200))).await;
    scene.server.admin("PATCH", "/api/collections/posts", Some(json!({"listRule": null}))).await;
    let error = within(10, story.live.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(within(1, story.live.next()).await.is_none());
}

#[tokio::test]
async fn a_record_that_does_not_fit_ends_it() {
    #[derive(Debug, serde::Deserialize)]
    struct Numbered {
        #[expect(dead_code, reason = "it is only decoded")]
        title: u32,
    }
    let scene = Scene::new().await;
    let mut live = scene.client.collection("posts").typed::<Numbered>().live().await.unwrap();
    assert!(matches!(within(5, live.next()).await, Some(Ok(LiveEvent::Snapshot(list))) if list.is_empty()));
    scene.post(json!({"title": "no number"})).await;
    let error = within(5, live.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(within(1, live.next()).await.is_none());
}

#[tokio::test]
async fn nothing_is_left_of_a_live_query_that_is_dropped() {
    let scene = Scene::new().await;
    let gone = || async {
        scene.client.realtime().state() == RealtimeState::Disconnected && scene.proxy.stats().await.in_flight == 0
    };
    // While it subscribes, while it asks for the first list, while it waits, while it checks.
    let stall = |method: &str, path: &str| json!([{"method": method, "path": path, "action": {"type": "stall"}}]);
    let path = "/api/collections/posts/records";
    for faults in [stall("POST", "/api/realtime"), stall("GET", path)] {
        scene.proxy.faults(faults).await;
        let starting = tokio::time::timeout(ms(300), scene.live("posts").into_future()).await;
        assert!(starting.is_err());
        until(s(5), "nothing is left", gone).await;
    }
    scene.proxy.clear_faults().await;
    drop(Story::begin(scene.live("posts")).await);
    until(s(5), "nothing is left", gone).await;
    let mut story = Story::begin(scene.live("posts")).await;
    scene.proxy.faults(stall("GET", path)).await;
    scene.post(json!({"title": "a"})).await;
    scene.proxy.clear_requests().await;
    tokio::select! {
        change = story.live.next() => panic!("{change:?}"),
        _ = scene.proxy.wait_for(1, PATIENCE, is_list) => {}
    }
    drop(story);
    until(s(5), "nothing is left", gone).await;
}

#[tokio::test]
async fn nothing_is_asked_while_nobody_looks() {
    let scene = Scene::new().await;
    let mut story = Story::begin(scene.live("posts").recheck_every(ms(100))).await;
    scene.client.realtime().hint(NetworkHint::Hidden);
    let realtime = scene.client.realtime();
    until(s(5), "suspended", || async { realtime.state() == RealtimeState::Suspended }).await;
    scene.proxy.clear_requests().await;
    scene.post(json!({"title": "a"})).await;
    assert!(tokio::time::timeout(ms(500), story.live.next()).await.is_err());
    assert_eq!(scene.list_calls("posts").await.0, 0);
    scene.client.realtime().hint(NetworkHint::Visible);
    story.tells(&["enter 0 a"]).await;
}

#[tokio::test]
async fn unsubscribing_the_topic_ends_it() {
    let scene = Scene::new().await;
    let mut story = Story::begin(scene.live("posts")).await;
    scene.client.realtime().unsubscribe_all();
    assert!(within(5, story.live.next()).await.is_none());
}

#[tokio::test]
async fn the_timeout_is_for_subscription_and_list_together() {
    let scene = Scene::new().await;
    let rule = |method: &str, path: &str, wait: u64| json!({"method": method, "path": path, "action": {"type": "delay", "ms": wait}});
    let path = "/api/collections/posts/records";
    scene.proxy.faults(json!([rule("POST", "/api/realtime", 400), rule("GET", path, 400)])).await;
    let error = scene.live("posts").timeout(ms(600)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(scene.live("posts").timeout(PATIENCE).await.unwrap().next().await.is_some());
}

#[tokio::test]
async fn typed_records_are_decoded() {
    let scene = Scene::new().await;
    scene.post(json!({"title": "a"})).await;
    let mut live = scene.client.collection("posts").live().query("filter", "title = 'a'").await.unwrap();
    let Some(Ok(LiveEvent::Snapshot(list))) = live.next().await else { panic!("no snapshot") };
    assert_eq!(list.iter().map(|post: &Record| post.get_str("title")).collect::<Vec<_>>(), [Some("a")]);
}

/// The body of a stream that the test writes.
struct Written(mpsc::UnboundedReceiver<String>);

impl ResponseBody for Written {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        Box::pin(async { Ok(self.0.recv().await.map(Bytes::from)) })
    }
}

#[tokio::test]
async fn a_record_whose_change_overtakes_its_creation_enters_as_it_is_now() {
    let (stream, written) = mpsc::unbounded_channel();
    let (written, items) = (Mutex::new(Some(Written(written))), Arc::new(Mutex::new(json!([]))));
    let listed = items.clone();
    let transport = MemoryTransport::new(move |request| {
        let mut headers = Headers::new();
        let response = if request.path() == "/api/realtime" {
            headers.set("Content-Type", "text/event-stream");
            match written.lock().unwrap().take_if(|_| request.method == Method::Get) {
                Some(written) => Response::new(200, headers, Box::new(written) as Box<dyn ResponseBody>),
                None => Response::new(204, Headers::new(), ""),
            }
        } else {
            let items = listed.lock().unwrap();
            let page = json!({"page": 1, "perPage": 500, "totalItems": -1, "totalPages": -1, "items": *items});
            Response::new(200, headers, page.to_string())
        };
        async { Ok(response) }
    });
    let client = Client::builder().url("http://memory").transport(transport).build().unwrap();
    let say = |event: &str, data: Value| stream.send(format!("id:c1\nevent:{event}\ndata:{data}\n\n")).unwrap();
    say("PB_CONNECT", json!({"clientId": "c1"}));
    let mut story = Story::begin(client.collection("posts").typed::<Json>().live()).await;
    let record =
        |title: &str, at: u8| json!({"id": "r1", "title": title, "updated": format!("2027-01-15 08:00:00.00{at}Z")});
    *items.lock().unwrap() = json!([record("new", 2)]);
    say("posts/*", json!({"action": "update", "record": record("new", 2)}));
    say("posts/*", json!({"action": "create", "record": record("old", 1)}));
    story.tells(&["enter 0 new"]).await;
    *items.lock().unwrap() = json!([record("newer", 3)]);
    say("posts/*", json!({"action": "update", "record": record("newer", 3)}));
    story.tells(&["change 0 newer"]).await;
    assert_eq!(titles(&story.list), ["newer"]);
}
