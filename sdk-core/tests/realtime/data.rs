//! What is listened to: topics and their options, kinds of collections, and what a gap swallows of each.

use std::{cell::Cell, collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, future::join_all};
use picobase::{
    Client, Record,
    realtime::{Event, RealtimeOptions, RealtimeState, Subscription},
};
use serde_json::{Value, json};

use crate::{
    common::{PATIENCE, builder, client, clock::Skewed, new_user, password, superuser, user_id, within},
    told::{Ground, item, line, lines, next, sorted},
    tools::ms,
};

/// How far behind the last event `exact` clients fetch.
const SKEW: Duration = ms(300);

/// A client that soon knows what was there before.
fn exact(url: &str) -> Client {
    tuned(url, |options| options.catch_up_skew = SKEW)
}

fn tuned(url: &str, set: impl FnOnce(&mut RealtimeOptions)) -> Client {
    let mut options = RealtimeOptions::default();
    set(&mut options);
    builder(url).realtime(options).build().unwrap()
}

/// Waits until a stream that is heard from now on is known to have been alive since the baseline.
async fn later() {
    tokio::time::sleep(SKEW + ms(50)).await;
}

/// Subscribes, and waits for the baseline.
async fn subscribe(ground: &Ground, client: &Client, collection: &str) -> Subscription {
    let events = client.collection(collection).subscribe("*").await.unwrap();
    ground.lists(collection, 200, 1).await;
    events
}

/// Ground where a client listens to the posts.
async fn listening() -> (Ground, Client, Subscription) {
    let ground = Ground::new().await;
    let client = client(&ground.proxy.url);
    let events = subscribe(&ground, &client, "posts").await;
    (ground, client, events)
}

/// The JSON of the next event, which must be of a record.
async fn record(events: &mut Subscription) -> Value {
    match item(events).await {
        Ok(Event::Record(change)) => serde_json::from_str(change.json.as_text()).unwrap(),
        other => panic!("no record: {other:?}"),
    }
}

/// The id of a collection.
async fn collection_id(ground: &Ground, name: &str) -> String {
    let answer = ground.server.admin("GET", &format!("/api/collections/{name}"), None).await;
    answer.body["id"].as_str().unwrap().to_string()
}

#[tokio::test]
async fn topics_of_a_record_of_a_collection_and_by_its_id() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let one = ground.create("posts", &json!({"title": "one"})).await;
        let by_id = collection_id(&ground, "posts").await;
        let posts = client.collection("posts");
        let mut record = posts.subscribe(&one).await.unwrap();
        let mut all = [
            posts.subscribe("*").await.unwrap(),
            client.realtime().subscribe("posts").await.unwrap(),
            client.realtime().subscribe("posts/*").await.unwrap(),
            client.collection(&by_id).subscribe("*").await.unwrap(),
        ];
        ground.lists("posts", 200, 3).await;
        ground.lists(&by_id, 200, 1).await;
        ground.create("posts", &json!({"title": "two"})).await;
        for events in &mut all {
            assert_eq!(next(events).await, "create live two");
        }
        ground.update("posts", &one, &json!({"title": "one a"})).await;
        let topics = ["posts/*".to_string(), "posts".into(), "posts/*".into(), format!("{by_id}/*")];
        for (events, topic) in all.iter_mut().zip(topics) {
            let Ok(Event::Record(change)) = item(events).await else { panic!("no record") };
            assert_eq!((&*change.topic, change.id), (topic.as_str(), one.clone()));
        }
        assert_eq!(next(&mut record).await, "update live one a");
        ground
            .gap(async {
                ground.create("posts", &json!({"title": "three"})).await;
                ground.update("posts", &one, &json!({"title": "one b"})).await;
            })
            .await;
        for events in &mut all {
            assert_eq!(lines(events).await, ["create catchup three", "update catchup one b"]);
        }
        assert_eq!(next(&mut record).await, "update catchup one b");
        ground.delete("posts", &one).await;
        for events in &mut all {
            assert_eq!(next(events).await, "delete live one b");
        }
        assert_eq!(next(&mut record).await, "delete live one b");
    })
    .await;
}

#[tokio::test]
async fn topics_of_one_record_each_catch_up_together() {
    within(60, async {
        let ground = Ground::new().await;
        let client = exact(&ground.proxy.url);
        let mut ids = Vec::new();
        for title in ["one", "two", "three"] {
            ids.push(ground.create("posts", &json!({"title": title})).await);
        }
        let posts = client.collection("posts");
        let mut events = join_all(ids.iter().map(|id| async { posts.subscribe(id).await.unwrap() })).await;
        ground.lists("posts", 200, 1).await;
        later().await;
        ground.update("posts", &ids[0], &json!({"title": "one a"})).await;
        assert_eq!(next(&mut events[0]).await, "update live one a");
        ground.proxy.clear_requests().await;
        ground
            .gap(async {
                ground.update("posts", &ids[0], &json!({"title": "one b"})).await;
                ground.delete("posts", &ids[1]).await;
            })
            .await;
        assert_eq!(next(&mut events[0]).await, "update catchup one b");
        // It was there when it was subscribed, so it is known although no event told of it.
        assert_eq!(next(&mut events[1]).await, format!("delete catchup {}", ids[1]));
        ground.update("posts", &ids[2], &json!({"title": "three a"})).await;
        assert_eq!(next(&mut events[2]).await, "update live three a");
        let log = ground.proxy.requests().await;
        let lists: Vec<_> = log.iter().filter(|r| r.path.ends_with("/posts/records")).collect();
        assert_eq!(lists.len(), 1);
        assert!(ids.iter().all(|id| lists[0].query.contains(id.as_str())), "{}", lists[0].query);
    })
    .await;
}

#[tokio::test]
async fn a_filter_an_expansion_and_fields_hold_for_events_and_for_what_was_missed() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let (user, _) = new_user(&ground.server.direct_url).await;
        let author = user_id(&user);
        user.collection("users").update(&author, &json!({"name": "Ada"})).await.unwrap();
        user.collection("users").update(&author, &json!({"emailVisibility": true})).await.unwrap();
        ground.admin("PATCH", "/api/collections/users", json!({"listRule": "", "viewRule": ""})).await;
        let posts = client.collection("posts");
        let topic = posts.subscribe("*").filter("status = 'published'").expand("author");
        let mut events = topic.fields("title,expand.author.name").await.unwrap();
        let mut whole = posts.subscribe("*").expand("author").await.unwrap();
        ground.lists("posts", 200, 2).await;
        let make = async |title: &str, status: &str| {
            ground.create("posts", &json!({"title": title, "status": status, "author": author})).await
        };
        // The server may tell of a later write first, so each is waited for.
        make("draft 1", "draft").await;
        let draft = record(&mut whole).await;
        make("one", "published").await;
        let one = record(&mut whole).await;
        ground.gap(async { (make("draft 2", "draft").await, make("two", "published").await) }).await;
        for title in ["one", "two"] {
            let told = record(&mut events).await;
            let (id, updated) = (&told["id"], &told["updated"]);
            assert!(id.is_string() && updated.is_string(), "{told}");
            let expected = json!({"title": title, "expand": {"author": {"name": "Ada"}}, "id": id, "updated": updated});
            assert_eq!(told, expected);
        }
        let missed = [record(&mut whole).await, record(&mut whole).await];
        for (title, told) in
            ["draft 1", "one", "draft 2", "two"].into_iter().zip([draft, one].into_iter().chain(missed))
        {
            assert_eq!((&told["title"], &told["expand"]["author"]["name"]), (&json!(title), &json!("Ada")));
            assert!(told["created"].is_string() && told["place"].is_object(), "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_rule_reads_the_query_and_the_headers_of_a_topic() {
    within(60, async {
        let ground = Ground::new().await;
        let rule = "@request.query.room = room && @request.headers.x_team = 'red'";
        let date = |name: &str, update: bool| json!({"type": "autodate", "name": name, "onCreate": true, "onUpdate": update});
        let fields = json!([
            {"type": "text", "name": "title"}, {"type": "text", "name": "room"}, date("created", false), date("updated", true),
        ]);
        let collection = json!({"name": "rooms", "type": "base", "fields": fields, "listRule": rule, "viewRule": rule});
        ground.admin("POST", "/api/collections", collection).await;
        let client = client(&ground.proxy.url);
        let rooms = client.collection("rooms");
        let mut red = rooms.subscribe("*").query("room", "a").header("X-Team", "red").await.unwrap();
        let mut blue = rooms.subscribe("*").query("room", "a").header("X-Team", "blue").await.unwrap();
        let mut other = rooms.subscribe("*").query("room", "b").header("X-Team", "red").await.unwrap();
        ground.lists("rooms", 200, 3).await;
        let make = async |title: &str, room: &str| ground.create("rooms", &json!({"title": title, "room": room})).await;
        make("a 1", "a").await;
        make("b 1", "b").await;
        assert_eq!((next(&mut red).await, next(&mut other).await), ("create live a 1".into(), "create live b 1".into()));
        ground.gap(async { (make("a 2", "a").await, make("b 2", "b").await) }).await;
        assert_eq!(next(&mut red).await, "create catchup a 2");
        assert_eq!(next(&mut other).await, "create catchup b 2");
        client.realtime().unsubscribe_all();
        assert!(blue.next().await.is_none(), "nothing was said to the wrong team");
    })
    .await;
}

/// A route of the server's own that says something to all who listen to a topic.
const SAY: &str = r#"
routerAdd("POST", "/api/say", (e) => {
    const said = e.requestInfo().body;
    const message = new SubscriptionMessage({name: said.topic, data: said.data});
    const clients = $app.subscriptionsBroker().clients();
    for (const id in clients) {
        if (clients[id].hasSubscription(said.topic)) {
            clients[id].send(message);
        }
    }
    return e.noContent(204);
});
"#;

/// A server whose hooks can say something.
async fn talking() -> Ground {
    let ground = Ground::new().await;
    let hooks = ground.server.status().await.data_dir.parent().unwrap().join("hooks");
    ground.server.stop().await;
    std::fs::create_dir_all(&hooks).unwrap();
    std::fs::write(hooks.join("say.pb.js"), SAY).unwrap();
    ground.server.start().await;
    ground
}

async fn say(ground: &Ground, topic: &str, data: &str) {
    ground.admin("POST", "/api/say", json!({"topic": topic, "data": data})).await;
}

#[tokio::test]
async fn messages_of_ones_own() {
    within(60, async {
        let ground = talking().await;
        let client = client(&ground.proxy.url);
        let mut news = client.realtime().subscribe("news").await.unwrap();
        let mut deep = client.realtime().subscribe("a/b/c").await.unwrap();
        say(&ground, "news", r#"{"a": [1, "ü"]}"#).await;
        assert_eq!(next(&mut news).await, r#"message news {"a": [1, "ü"]}"#);
        say(&ground, "news", "no \"JSON\"").await;
        assert_eq!(next(&mut news).await, r#"message news "no \"JSON\"""#);
        // Two that say the same are two.
        say(&ground, "news", "1").await;
        say(&ground, "news", "1").await;
        assert_eq!(lines(&mut news).await, ["message news 1", "message news 1"]);
        say(&ground, "news", r#"{"action": "create", "record": {}}"#).await;
        assert_eq!(next(&mut news).await, r#"message news {"action": "create", "record": {}}"#);
        say(&ground, "a/b/c", "null").await;
        assert_eq!(next(&mut deep).await, "message a/b/c null");
        ground.gap(say(&ground, "news", "2")).await;
        assert_eq!(next(&mut news).await, "resync no_history");
        assert_eq!(next(&mut deep).await, "resync no_history");
        say(&ground, "news", "3").await;
        assert_eq!(next(&mut news).await, "message news 3");
    })
    .await;
}

/// A client that hears a replaced stream longer than a slow machine takes to tell something on both.
fn patient(url: &str) -> Client {
    tuned(url, |options| options.overlap = Duration::from_secs(3))
}

/// Has the stream replaced three times, and meanwhile does `work`, with the numbers from 0 on, some 30 times at least.
/// Says how many there were.
async fn while_rotating(ground: &Ground, client: &Client, work: impl AsyncFn(u32)) -> u32 {
    let rotated = Cell::new(false);
    let rotate = async {
        for _ in 0..3 {
            ground.rotate(client).await;
        }
        rotated.set(true);
    };
    let keep_working = async {
        let mut done = 0;
        while !rotated.get() || done <= 30 {
            work(done).await;
            done += 1;
        }
        done
    };
    let ((), done) = tokio::join!(rotate, keep_working);
    done
}

/// The lines of all events but the last, which is that.
async fn lines_before(events: &mut Subscription, last: &str, count: usize) -> Vec<String> {
    let mut heard = Vec::new();
    // Events of several records may overtake each other.
    while !heard.iter().any(|line| line == last) || heard.len() <= count {
        heard.push(next(events).await);
    }
    heard.retain(|line| line != last);
    heard.sort_unstable();
    heard
}

/// # Panics
/// Where they differ, and says where first.
fn same_lines(heard: &[String], wanted: &[String]) {
    let at = heard.iter().zip(wanted).position(|(a, b)| a != b);
    assert!(heard == wanted, "{} of {}, from {:?}", heard.len(), wanted.len(), at.map(|at| (&heard[at], &wanted[at])));
}

#[tokio::test]
async fn messages_of_ones_own_are_heard_once_while_streams_are_replaced() {
    within(60, async {
        let ground = talking().await;
        let client = patient(&ground.proxy.url);
        let mut events = client.realtime().subscribe("a/b/c").queue_max(100_000).await.unwrap();
        // Every other one says the same as the one before.
        let text = |n: u32| format!("{:05}", n / 2);
        let said =
            while_rotating(&ground, &client, async |n| say(&ground, "a/b/c", &format!("\"{}\"", text(n))).await).await;
        say(&ground, "a/b/c", "\"over\"").await;
        let heard = lines_before(&mut events, "message a/b/c \"over\"", said as usize).await;
        let wanted: Vec<String> = (0..said).map(|n| format!("message a/b/c \"{}\"", text(n))).collect();
        same_lines(&heard, &wanted);
    })
    .await;
}

#[tokio::test]
async fn records_without_dates() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let mut events = client.collection("noupdated").subscribe("*").await.unwrap();
        ground.lists("noupdated", 400, 1).await;
        let id = ground.create("noupdated", &json!({"title": "one", "n": 1})).await;
        assert_eq!(next(&mut events).await, "create live one");
        ground.update("noupdated", &id, &json!({"title": "two"})).await;
        assert_eq!(next(&mut events).await, "update live two");
        ground.update("noupdated", &id, &json!({"title": "one"})).await;
        assert_eq!(next(&mut events).await, "update live one");
        for title in ["three", "four"] {
            ground.gap(ground.update("noupdated", &id, &json!({"title": title}))).await;
            assert_eq!(next(&mut events).await, "resync no_history");
            ground.update("noupdated", &id, &json!({"title": "five"})).await;
            assert_eq!(next(&mut events).await, "update live five", "one resync for each gap");
        }
        ground.delete("noupdated", &id).await;
        assert_eq!(next(&mut events).await, "delete live five");
    })
    .await;
}

#[tokio::test]
async fn records_without_dates_are_heard_once_while_streams_are_replaced() {
    within(60, async {
        let ground = Ground::new().await;
        let client = patient(&ground.proxy.url);
        let mut events = client.collection("noupdated").subscribe("*").queue_max(100_000).await.unwrap();
        let title = |n: u32| format!("{n:05}");
        let made = while_rotating(&ground, &client, async |n| {
            ground.create("noupdated", &json!({"title": title(n)})).await;
        })
        .await;
        ground.create("noupdated", &json!({"title": "over"})).await;
        let heard = lines_before(&mut events, "create live over", made as usize).await;
        let wanted: Vec<String> = (0..made).map(|n| format!("create live {}", title(n))).collect();
        same_lines(&heard, &wanted);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_may_be_seen_but_not_listed_is_not_gone() {
    within(60, async {
        let ground = Ground::new().await;
        let client = exact(&ground.proxy.url);
        let id = ground.create("posts", &json!({"title": "one"})).await;
        ground.admin("PATCH", "/api/collections/posts", json!({"listRule": "title = 'none'"})).await;
        let mut events = client.collection("posts").subscribe(&id).await.unwrap();
        ground.lists("posts", 200, 1).await;
        ground.update("posts", &id, &json!({"title": "two"})).await;
        assert_eq!(next(&mut events).await, "update live two");
        ground.gap(ground.update("posts", &id, &json!({"title": "three"}))).await;
        assert_eq!(next(&mut events).await, "update catchup three");
        ground.gap(ground.delete("posts", &id)).await;
        assert!(next(&mut events).await.starts_with("delete catchup"));
    })
    .await;
}

#[tokio::test]
async fn a_collection_that_may_not_be_listed() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let id = ground.create("noaccess", &json!({"title": "zero"})).await;
        let mut all = client.collection("noaccess").subscribe("*").await.unwrap();
        let mut one = client.collection("noaccess").subscribe(&id).await.unwrap();
        ground.lists("noaccess", 403, 2).await;
        ground.create("noaccess", &json!({"title": "one"})).await;
        ground.gap(ground.create("noaccess", &json!({"title": "two"}))).await;
        assert_eq!(next(&mut all).await, "resync no_list_access");
        assert_eq!(next(&mut one).await, "resync no_list_access");
        // A superuser hears of it, and has no dates to catch up by.
        drop((all, one));
        let root = superuser(&ground.proxy.url).await;
        let mut events = root.collection("noaccess").subscribe("*").await.unwrap();
        ground.lists("noaccess", 400, 1).await;
        ground.create("noaccess", &json!({"title": "three"})).await;
        assert_eq!(next(&mut events).await, "create live three");
    })
    .await;
}

#[tokio::test]
async fn rules_change_under_a_subscription() {
    within(60, async {
        let ground = Ground::new().await;
        let client = exact(&ground.proxy.url);
        let mut events = subscribe(&ground, &client, "posts").await;
        ground.create("posts", &json!({"title": "one"})).await;
        assert_eq!(next(&mut events).await, "create live one");
        let rule = async |rule: Value| ground.admin("PATCH", "/api/collections/posts", json!({"listRule": rule})).await;
        rule(Value::Null).await;
        ground.create("posts", &json!({"title": "two"})).await;
        ground.gap(ground.create("posts", &json!({"title": "three"}))).await;
        assert_eq!(next(&mut events).await, "resync no_list_access");
        rule(json!("")).await;
        ground.create("posts", &json!({"title": "four"})).await;
        assert_eq!(next(&mut events).await, "create live four");
        // What was refused is asked for again after the next gap.
        ground.proxy.clear_requests().await;
        ground.gap(ground.create("posts", &json!({"title": "five"}))).await;
        assert_eq!(next(&mut events).await, "resync no_list_access");
        ground.lists("posts", 200, 1).await;
        later().await;
        ground.create("posts", &json!({"title": "six"})).await;
        assert_eq!(next(&mut events).await, "create live six");
        ground.gap(ground.create("posts", &json!({"title": "seven"}))).await;
        assert_eq!(next(&mut events).await, "create catchup seven");
    })
    .await;
}

#[tokio::test]
async fn a_record_leaves_the_filter_and_comes_back() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let mut events = client.collection("posts").subscribe("*").filter("status = 'published'").await.unwrap();
        ground.lists("posts", 200, 1).await;
        let id = ground.create("posts", &json!({"title": "one", "status": "published"})).await;
        assert_eq!(next(&mut events).await, "create live one");
        let change = async |title: &str, status: &str| {
            ground.update("posts", &id, &json!({"title": title, "status": status})).await;
        };
        change("two", "draft").await;
        change("three", "published").await;
        assert_eq!(next(&mut events).await, "update live three");
        // It is not gone, so nothing is said.
        ground.gap(change("four", "draft")).await;
        let other = ground.gap(ground.create("posts", &json!({"title": "other", "status": "published"}))).await;
        assert_eq!(next(&mut events).await, "create catchup other");
        ground.gap(change("five", "published")).await;
        assert_eq!(next(&mut events).await, "update catchup five");
        change("six", "draft").await;
        ground.gap(async { (ground.delete("posts", &id).await, ground.delete("posts", &other).await) }).await;
        let mut expected = [format!("delete catchup {id}"), format!("delete catchup {other}")];
        expected.sort_unstable();
        assert_eq!(sorted(lines(&mut events).await), expected);
    })
    .await;
}

#[tokio::test]
async fn what_was_missed_comes_with_the_right_words() {
    within(60, async {
        let ground = Ground::new().await;
        missed_and_caught_up(&ground, &exact(&ground.proxy.url)).await;
    })
    .await;
}

async fn missed_and_caught_up(ground: &Ground, client: &Client) {
    let post = async |title: &str| ground.create("posts", &json!({"title": title})).await;
    let change = async |id: &str, title: &str| ground.update("posts", id, &json!({"title": title})).await;
    let (old, untouched, unseen) = (post("old").await, post("untouched").await, post("unseen").await);
    let mut events = subscribe(ground, client, "posts").await;
    later().await;
    let (seen, doomed) = (post("seen").await, post("doomed").await);
    assert_eq!(sorted(lines(&mut events).await), ["create live doomed", "create live seen"]);
    let created = ground
        .gap(async {
            change(&seen, "seen 2").await;
            let created = post("created").await;
            change(&old, "old 2").await;
            ground.delete("posts", &doomed).await;
            // Nobody has heard of these.
            ground.delete("posts", &unseen).await;
            let brief = post("brief").await;
            ground.delete("posts", &brief).await;
            change(&seen, "seen 3").await;
            created
        })
        .await;
    let doomed = format!("delete catchup {doomed}");
    let expected = ["create catchup created", "update catchup old 2", "update catchup seen 3", &doomed];
    assert_eq!(lines(&mut events).await, expected);
    // Once more, from there.
    ground
        .gap(async {
            change(&created, "created 2").await;
            ground.delete("posts", &old).await;
        })
        .await;
    let gone = format!("delete catchup {old}");
    assert_eq!(lines(&mut events).await, ["update catchup created 2".to_string(), gone]);
    // And a gap in which nothing happens says nothing.
    ground.gap(async {}).await;
    ground.gap(change(&untouched, "touched")).await;
    assert_eq!(next(&mut events).await, "update catchup touched");
}

#[tokio::test]
async fn clocks_that_are_wrong_change_nothing() {
    within(90, async {
        join_all([3_600_000, -3_600_000].map(|skew| async move {
            let ground = Ground::new().await;
            let mut options = RealtimeOptions::default();
            options.catch_up_skew = SKEW;
            let client = builder(&ground.proxy.url).realtime(options).runtime(Skewed::new(skew)).build().unwrap();
            client.auth().sign_in("alice@example.com", password()).await.unwrap();
            missed_and_caught_up(&ground, &client).await;
        }))
        .await;
    })
    .await;
}

#[tokio::test]
async fn more_was_missed_than_is_fetched() {
    within(60, async {
        let ground = Ground::new().await;
        let client = tuned(&ground.proxy.url, |options| options.catch_up_max = 3);
        let mut events = subscribe(&ground, &client, "posts").await;
        let post = async |title: &str| ground.create("posts", &json!({"title": title})).await;
        let first = post("zero").await;
        assert_eq!(next(&mut events).await, "create live zero");
        ground
            .gap(async {
                for title in ["one", "two", "three", "four", "five"] {
                    post(title).await;
                }
                ground.delete("posts", &first).await;
            })
            .await;
        let found: [String; 4] = lines(&mut events).await;
        // The last event seen is among what is asked for, and nobody is told of it again.
        let deleted = format!("delete catchup {first}");
        assert_eq!(&found[..3], ["create catchup one", "create catchup two", "create catchup three"]);
        assert_eq!(found[3], deleted);
        assert_eq!(next(&mut events).await, "resync too_much");
        post("six").await;
        assert_eq!(next(&mut events).await, "create live six");
    })
    .await;
}

#[tokio::test]
async fn more_was_seen_than_is_kept_in_mind() {
    within(60, async {
        let ground = Ground::new().await;
        let client = tuned(&ground.proxy.url, |options| options.tracked_max = 4);
        let mut events = subscribe(&ground, &client, "posts").await;
        let post = async |title: &str| ground.create("posts", &json!({"title": title})).await;
        for title in ["one", "two", "three", "four"] {
            post(title).await;
            assert_eq!(next(&mut events).await, format!("create live {title}"));
        }
        ground.gap(post("five")).await;
        assert_eq!(lines(&mut events).await, ["create catchup five", "resync too_much"]);
        post("six").await;
        assert_eq!(next(&mut events).await, "create live six");
    })
    .await;
}

#[tokio::test]
async fn the_last_of_many_updates_in_one_transaction_is_the_last_told() {
    within(120, async {
        let (ground, client, mut events) = listening().await;
        let mut ids = Vec::new();
        for round in 0..20 {
            let id = ground.create("posts", &json!({"title": "start", "n": -1})).await;
            let mut batch = ground.root.batch();
            for n in 0..20 {
                batch.collection("posts").update(&id, &json!({"title": format!("{round}"), "n": n}));
            }
            let write = async { batch.send().await.unwrap() };
            if round % 4 == 0 {
                let (results, ()) = tokio::join!(write, ground.rotate(&client));
                assert_eq!(results.len(), 20);
            } else {
                assert_eq!(write.await.len(), 20);
            }
            ids.push(id);
        }
        let fresh: Vec<Record> = ground.root.collection("posts").get_full_list().await.unwrap();
        assert_eq!((fresh.len(), ids.len()), (20, 20));
        let mut last: BTreeMap<String, Value> = BTreeMap::new();
        let is_last = |last: &BTreeMap<String, Value>, record: &Record| {
            let told = last.get(record.id());
            told.is_some_and(|told| told["n"] == json!(19) && told["updated"] == record.fields()["updated"])
        };
        loop {
            let all = fresh.iter().all(|record| is_last(&last, record));
            // Once the server was asked which of several versions is the last, nothing more comes.
            let limit = if all { ms(2000) } else { PATIENCE };
            let Ok(event) = tokio::time::timeout(limit, events.next()).await else { break };
            let event = event.unwrap();
            let Ok(Event::Record(change)) = &event else { panic!("{}", line(&event)) };
            last.insert(change.id.clone(), serde_json::from_str(change.json.as_text()).unwrap());
        }
        let wrong: Vec<_> =
            fresh.iter().filter(|record| !is_last(&last, record)).map(|record| &last[record.id()]).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    })
    .await;
}

#[tokio::test]
async fn large_records_and_all_kinds_of_text() {
    within(60, async {
        let (ground, _client, mut events) = listening().await;
        let texts = [
            "ä€😀\u{10ffff} \u{202e}\u{200b}",
            "line\nbreak\r\nand\ttab \u{2028}\u{2029}\u{85}",
            "data: {\"x\": 1}\n\nevent: posts/*\nid: 1",
            "\"quotes\" \\back\\slashes\\ <b>&amp;</b>",
        ];
        let megabyte = "äöü€😀\n\"".repeat(80_000);
        assert!(megabyte.len() > 1_000_000);
        let bodies: Vec<&str> = texts.into_iter().chain([megabyte.as_str()]).collect();
        let make = async |body: &&str| {
            ground.create("posts", &json!({"title": "t", "body": body, "meta": [body.len()]})).await
        };
        for body in &bodies {
            make(body).await;
            let told = record(&mut events).await;
            assert!(told["body"] == json!(body) && told["meta"] == json!([body.len()]), "{}", body.len());
        }
        ground
            .gap(async {
                for body in &bodies {
                    make(body).await;
                }
            })
            .await;
        for body in &bodies {
            let told = record(&mut events).await;
            assert!(told["body"] == json!(body), "{}", body.len());
        }
    })
    .await;
}

#[tokio::test]
async fn users_hear_of_themselves() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let alice = client.auth().sign_in("alice@example.com", password()).await.unwrap().user_id();
        let mut events = subscribe(&ground, &client, "users").await;
        let (other, _) = new_user(&ground.server.direct_url).await;
        other.collection("users").update(&user_id(&other), &json!({"name": "Other"})).await.unwrap();
        let rename = async |name: &str| ground.update("users", &alice, &json!({"name": name})).await;
        rename("one").await;
        let told = record(&mut events).await;
        assert_eq!((&told["name"], &told["id"]), (&json!("one"), &json!(alice)));
        let own: Record = client.collection("users").get_one(&alice).await.unwrap();
        assert_eq!(own.get_str("email"), Some("alice@example.com"));
        assert_eq!(told["email"], json!("alice@example.com"), "as a list says");
        assert!(told.get("password").is_none() && told.get("tokenKey").is_none());
        ground.gap(async { (rename("two").await, new_user(&ground.server.direct_url).await) }).await;
        let told = record(&mut events).await;
        assert_eq!((&told["name"], &told["email"]), (&json!("two"), &json!("alice@example.com")));
        rename("three").await;
        assert_eq!(record(&mut events).await["name"], json!("three"));
    })
    .await;
}

#[tokio::test]
async fn views_have_no_events_and_no_dates() {
    within(60, async {
        let ground = Ground::new().await;
        let client = client(&ground.proxy.url);
        let mut view = client.collection("posts_view").subscribe("*").await.unwrap();
        let mut posts = subscribe(&ground, &client, "posts").await;
        ground.lists("posts_view", 400, 1).await;
        ground.create("posts", &json!({"title": "one"})).await;
        assert_eq!(next(&mut posts).await, "create live one");
        ground.gap(ground.create("posts", &json!({"title": "two"}))).await;
        assert_eq!(next(&mut view).await, "resync no_history", "and nothing before");
        assert_eq!(next(&mut posts).await, "create catchup two");
    })
    .await;
}

/// Lists of posts fail, so many times or for good.
fn failing_lists(times: Option<u32>) -> Value {
    let action = json!({"type": "respond", "status": 500});
    json!([{"method": "GET", "path": "/api/collections/posts/records", "times": times, "action": action}])
}

#[tokio::test]
async fn a_list_that_fails_is_asked_for_again() {
    within(60, async {
        let (ground, _client, mut events) = listening().await;
        let post = async |title: &str| ground.create("posts", &json!({"title": title})).await;
        post("one").await;
        assert_eq!(next(&mut events).await, "create live one");
        ground.proxy.clear_requests().await;
        ground.gap_then(failing_lists(Some(2)), post("two")).await;
        assert_eq!(next(&mut events).await, "create catchup two");
        let log = ground.proxy.requests().await;
        let answers: Vec<_> = log.iter().filter(|r| r.path.ends_with("/posts/records")).map(|r| r.status).collect();
        // The last one asks whether the first post is still there.
        assert_eq!(answers[..3], [Some(500), Some(500), Some(200)]);
        post("three").await;
        assert_eq!(next(&mut events).await, "create live three");
    })
    .await;
}

#[tokio::test]
async fn lists_that_fail_for_good_are_told_and_the_stream_lives_on() {
    within(60, async {
        let (ground, client, mut events) = listening().await;
        let post = async |title: &str| ground.create("posts", &json!({"title": title})).await;
        post("one").await;
        assert_eq!(next(&mut events).await, "create live one");
        ground.gap_then(failing_lists(None), post("two")).await;
        assert_eq!(next(&mut events).await, "resync unavailable");
        assert_eq!(client.realtime().state(), RealtimeState::Connected);
        post("three").await;
        assert_eq!(next(&mut events).await, "create live three");
        ground.gap(post("four")).await;
        assert_eq!(lines(&mut events).await, ["create catchup two", "create catchup four"]);
    })
    .await;
}
