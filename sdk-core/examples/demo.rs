//! The main job on a real server: sign up, sign in, write, filter, upload, download, a cold start, a live query, and a
//! stream that misses nothing.
//!
//! `cargo xtask demo` runs it. It starts a PocketBase server of its own with the testkit, and prints what it does.
#![expect(clippy::print_stdout, reason = "a demo shows what it does")]

use std::{collections::BTreeMap, error::Error, time::Duration};

use futures_util::StreamExt;
use picobase::{
    Client, Collection, ErrorKind,
    files::FileSource,
    filter,
    live::{Live, LiveChange, LiveEvent},
    params,
    realtime::{Event, EventAction, Subscription},
};
use picobase_testkit::Testkit;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How long lists may take to be right.
const SOON: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Post {
    id: String,
    title: String,
    status: String,
    cover: String,
    n: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let kit = Testkit::spawn();
    let server = kit.default_proxy();
    println!("a real server answers at {}", server.url);

    let client = Client::builder().url(&server.url).on_state(|state| println!("  instance: {state:?}")).build()?;
    println!("health: {}", client.health().await?.message);

    sign_in(&client).await?;
    let post = write_and_read(&client).await?;
    move_files(&client, &post).await?;
    refused(&client, &post).await?;
    cold_start(&client, &kit).await?;
    live_posts(&client, &kit).await?;
    no_gap(&client, &kit).await?;

    client.auth().sign_out().await?;
    println!("signed out; done");
    Ok(())
}

async fn sign_in(client: &Client) -> Result<(), picobase::Error> {
    let session = client.auth().sign_up("ada@example.com", "correct horse battery").await?;
    println!("signed up as {}", session.map(|s| s.user_id()).unwrap_or_default());
    client.auth().sign_out().await?;
    let session = client.auth().sign_in("ada@example.com", "correct horse battery").await?;
    println!("signed in again as {}", session.user_id());
    Ok(())
}

async fn write_and_read(client: &Client) -> Result<Post, picobase::Error> {
    let posts = client.collection("posts").typed::<Post>();
    let mut batch = client.batch();
    for n in 1..=20 {
        batch.collection("posts").create(&json!({"title": format!("note {n}"), "status": "draft", "n": n}));
    }
    println!("a batch created {} posts", batch.send().await?.len());

    let title = r#"A "quoted" title && more"#;
    let post = posts.create(&json!({"title": title, "status": "published"})).await?;
    let wanted =
        filter("title = {:title} && status = {:status}", params! { "title" => title, "status" => "published" })?;
    let found = posts.get_list(1, 10).filter(wanted).sort("-created").await?;
    println!("the filter finds {} of {}: {:?}", found.items.len(), posts.get_full_list().await?.len(), title);
    Ok(post)
}

async fn move_files(client: &Client, post: &Post) -> Result<(), Box<dyn Error>> {
    let bytes: Vec<u8> = (0..5_000_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let updated = client
        .collection("posts")
        .update(&post.id, &json!({}))
        .file("attachments", FileSource::bytes("numbers.bin", bytes.clone()))
        .await?;
    let name = updated.get_list("attachments").first().copied().unwrap_or_default().to_string();
    println!("uploaded {} bytes as {name}", bytes.len());
    let back = client.files().download(&updated, &name).bytes().await?;
    println!("downloaded {} bytes, {}", back.len(), if back == bytes { "all the same" } else { "BUT NOT THE SAME" });
    println!("its URL: {}", client.files().url(&updated, &name).build()?);
    Ok(())
}

async fn refused(client: &Client, post: &Post) -> Result<(), picobase::Error> {
    match client.collection("posts").update(&post.id, &json!({"title": "", "email": "nobody"})).await {
        Err(e) if e.kind() == ErrorKind::Validation => {
            for (name, field) in e.fields() {
                println!("refused: {name}: {} ({})", field.message, field.code);
            }
            Ok(())
        }
        other => other.map(|_| println!("the server took an empty title")),
    }
}

async fn cold_start(client: &Client, kit: &Testkit) -> Result<(), picobase::Error> {
    println!("the instance falls asleep for 2 seconds, while 20 calls are made:");
    let server = kit.default_server();
    server.kill().await;
    let started = std::time::Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..20 {
        let posts = client.collection("posts");
        calls.spawn(async move { posts.create(&json!({"title": format!("written while asleep {n}")})).await });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.start().await;
    let results = calls.join_all().await;
    let done = results.iter().filter(|result| result.is_ok()).count();
    println!("{done} of 20 succeeded after {:.1} s", started.elapsed().as_secs_f64());
    results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let wanted = filter("title ~ {:t}", params! { "t" => "written while asleep" })?;
    println!("the server has {} of them", client.collection("posts").get_full_list().filter(wanted).await?.len());
    Ok(())
}

async fn live_posts(client: &Client, kit: &Testkit) -> Result<(), Box<dyn Error>> {
    println!("a live query on the two published posts with the highest numbers, while somebody else writes:");
    let posts = client.collection("posts").typed::<Post>();
    let mut query = posts.live().filter("status = 'published'").sort("-n,id").limit(2).await?;
    let mut top = Vec::new();
    let writer = Client::new(&kit.info().direct_url, "")?.collection("posts").typed::<Post>();

    let red = writer.create(&json!({"title": "red", "status": "published", "n": 101})).await?;
    follow(&mut query, &mut top, &writer).await?;
    writer.create(&json!({"title": "blue", "status": "published", "n": 102})).await?;
    follow(&mut query, &mut top, &writer).await?;
    writer.update(&red.id, &json!({"title": "crimson", "n": 103})).await?;
    follow(&mut query, &mut top, &writer).await?;
    writer.update(&red.id, &json!({"status": "draft"})).await?;
    follow(&mut query, &mut top, &writer).await
}

/// Shows what happens until the list is the same as a fresh one.
async fn follow(query: &mut Live<Post>, top: &mut Vec<Post>, posts: &Collection<Post>) -> Result<(), Box<dyn Error>> {
    let fresh = posts.get_list(1, 2).filter("status = 'published'").sort("-n,id").await?.items;
    let read = async {
        while *top != fresh {
            let event = query.next().await.ok_or("the live query has ended")??;
            print(&event, top);
            apply(event, top);
        }
        Ok(())
    };
    soon(read).await
}

fn print(event: &LiveEvent<Post>, list: &[Post]) {
    let title = |index: usize| list.get(index).map(|post| &*post.title).unwrap_or_default();
    match event {
        LiveEvent::Snapshot(list) => println!("  snapshot: {:?}", list.iter().map(|p| &p.title).collect::<Vec<_>>()),
        LiveEvent::Change(LiveChange::Enter { index, record, .. }) => println!("  enter at {index}: {}", record.title),
        LiveEvent::Change(LiveChange::Change { index, record, .. }) => {
            println!("  change at {index}: {} is {} now", title(*index), record.title);
        }
        LiveEvent::Change(LiveChange::Leave { index, .. }) => println!("  leave from {index}: {}", title(*index)),
        LiveEvent::Change(LiveChange::Move { from, to, .. }) => {
            println!("  move from {from} to {to}: {}", title(*from));
        }
        other => println!("  {other:?}"),
    }
}

fn apply(event: LiveEvent<Post>, list: &mut Vec<Post>) {
    match event {
        LiveEvent::Snapshot(all) => *list = all,
        LiveEvent::Change(change) => change.apply(list),
        _ => {}
    }
}

/// Waits for lists to become right, but not for ever.
async fn soon(read: impl Future<Output = Result<(), Box<dyn Error>>>) -> Result<(), Box<dyn Error>> {
    match tokio::time::timeout(SOON, read).await {
        Ok(done) => done,
        Err(_) => Err(format!("the list is not the same as a fresh one after {SOON:?}").into()),
    }
}

async fn no_gap(client: &Client, kit: &Testkit) -> Result<(), Box<dyn Error>> {
    println!("all posts, kept by a subscription and by a live query, while somebody else writes:");
    let posts = client.collection("posts").typed::<Post>();
    let writer = Client::new(&kit.info().direct_url, "")?.collection("posts").typed::<Post>();
    let mut views = Views::open(&posts).await?;
    let first = writer.create(&json!({"title": "will be changed"})).await?;
    let second = writer.create(&json!({"title": "will be deleted"})).await?;
    views.converge(&by_id(&writer).await?).await?;

    println!("the server is killed for 2 seconds, and before our stream is back a post is created, changed, deleted:");
    let (server, proxy) = (kit.default_server(), kit.default_proxy());
    proxy.faults(json!([{"path": "/api/realtime", "action": {"type": "respond", "status": 503}}])).await;
    server.kill().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.start().await;
    writer.create(&json!({"title": "created meanwhile"})).await?;
    writer.update(&first.id, &json!({"title": "changed meanwhile"})).await?;
    writer.delete(&second.id).await?;
    proxy.clear_faults().await;

    let fresh = by_id(&writer).await?;
    views.converge(&fresh).await?;
    println!("the view is right again: {} records, the same as a fresh list; so is the live query", fresh.len());
    Ok(())
}

/// All posts.
async fn by_id(posts: &Collection<Post>) -> Result<BTreeMap<String, Post>, picobase::Error> {
    Ok(posts.get_full_list().await?.into_iter().map(|post| (post.id.clone(), post)).collect())
}

/// All posts, kept in two ways.
struct Views {
    events: Subscription<Post>,
    folded: BTreeMap<String, Post>,
    query: Live<Post>,
    live: Vec<Post>,
}

impl Views {
    async fn open(posts: &Collection<Post>) -> Result<Views, picobase::Error> {
        // First the subscription, then the list: nothing falls between the two.
        let events = posts.subscribe("*").await?;
        let folded = by_id(posts).await?;
        Ok(Views { events, folded, query: posts.live().sort("id").await?, live: Vec::new() })
    }

    /// Reads until both are the same as a fresh list.
    async fn converge(&mut self, fresh: &BTreeMap<String, Post>) -> Result<(), Box<dyn Error>> {
        let read = async {
            while self.folded != *fresh || !self.live.iter().eq(fresh.values()) {
                tokio::select! {
                    event = self.events.next() => self.fold(event.ok_or("the subscription has ended")??)?,
                    event = self.query.next() => apply(event.ok_or("the live query has ended")??, &mut self.live),
                }
            }
            Ok(())
        };
        soon(read).await
    }

    /// Takes an event, and shows it where it is news: what was written shortly before we subscribed is fetched too.
    fn fold(&mut self, event: Event<Post>) -> Result<(), Box<dyn Error>> {
        let Event::Record(change) = event else { return Err(format!("something may be missing: {event:?}").into()) };
        let before = match change.action {
            EventAction::Delete => self.folded.remove(&change.id),
            _ => self.folded.insert(change.id.clone(), change.record()?),
        };
        let now = self.folded.get(&change.id);
        if now != before.as_ref() {
            let title = now.or(before.as_ref()).map(|post| &*post.title).unwrap_or_default();
            println!("  {}: {title} ({})", change.action.as_str(), change.origin.as_str());
        }
        Ok(())
    }
}
