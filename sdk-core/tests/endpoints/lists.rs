//! Lists: pages, whole collections while others write, records by their ids.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::StreamExt;
use picobase::{Client, ErrorKind, Record, params};
use picobase_testkit::{LoggedRequest, Server};
use serde_json::json;

use crate::common::{calls, client, kit, new_post, record_id, unique, within};

/// A server of the test's own with this many rows in `bulk`, and its client.
async fn seeded(count: u64) -> (Server, Client) {
    let server = kit().server().await;
    server.seed("bulk", count).await;
    let client = client(&server.url);
    (server, client)
}

fn lists(log: &[LoggedRequest]) -> Vec<&LoggedRequest> {
    log.iter().filter(|r| r.method == "GET" && r.path.ends_with("/bulk/records")).collect()
}

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(Record::id).collect()
}

#[tokio::test]
async fn pages_and_their_options() {
    within(60, async {
        let (_server, client) = seeded(45).await;
        let bulk = client.collection("bulk");
        let page = bulk.get_list(2, 20).sort("-n").filter("n >= 5").fields("id,n").await.unwrap();
        assert_eq!((page.page, page.per_page, page.items.len()), (2, 20, 20));
        assert_eq!((page.total_items, page.total_pages), (bulk_total(&client, "n >= 5").await, 2));
        assert!(page.items.is_sorted_by_key(|r| -r.get_i64("n").unwrap()));
        assert_eq!(page.items[0].fields().len(), 2);
        let page = bulk.get_list(1, 10).skip_total().await.unwrap();
        assert_eq!((page.items.len(), page.total_items, page.total_pages), (10, -1, -1));
        let beyond = bulk.get_list(9, 20).await.unwrap();
        assert!(beyond.items.is_empty() && beyond.total_items == 45);
    })
    .await;
}

async fn bulk_total(client: &Client, filter: &str) -> i64 {
    client.collection("bulk").get_list(1, 1).filter(filter).await.unwrap().total_items
}

#[tokio::test]
async fn the_first_of_a_list() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let title = unique("first");
        let made = new_post(&client, &title).await;
        let filter = client.filter("title = {:t}", params! { "t" => title.as_str() }).unwrap();
        let posts = client.collection("posts");
        assert_eq!(posts.get_first_list_item(&filter).await.unwrap().id(), made.id());
        let none = posts.get_first_list_item(&format!("{filter} && n = 1")).await.unwrap_err();
        assert_eq!((none.kind(), none.status()), (ErrorKind::NotFound, 404));
        assert!(proxy.requests().await.iter().any(|r| r.query.contains("perPage=1") && r.query.contains("skipTotal=")));
    })
    .await;
}

/// Inserts and deletes until told to stop: rows of its own, and those of `victims`.
async fn disturb(client: Client, victims: Vec<String>, stop: Arc<AtomicBool>) -> usize {
    let bulk = client.collection("bulk");
    let mut victims = victims.into_iter();
    let mut writes = 0;
    while !stop.load(Ordering::Relaxed) {
        let made = bulk.create(&json!({"n": -1, "text": "new"})).await.unwrap();
        if writes % 2 == 0 {
            bulk.delete(made.id()).await.unwrap();
        }
        if let Some(victim) = victims.next() {
            bulk.delete(&victim).await.unwrap();
        }
        writes += 1;
    }
    writes
}

#[tokio::test]
async fn a_whole_collection_while_others_write() {
    within(60, async {
        let (server, client) = seeded(5_000).await;
        let before = client.collection("bulk").get_full_list().await.unwrap();
        assert_eq!(before.len(), 5_000);
        // A page, two at a time from both ends, and a last round that finds nothing left between them.
        assert_eq!(lists(&server.default_proxy().requests().await).len(), 1 + 2 + 2 + 2);
        // Every tenth row may be deleted during the walk; the others stay.
        let (victims, stay): (Vec<_>, Vec<_>) = before.iter().enumerate().partition(|(n, _)| n % 10 == 0);
        let victims = victims.into_iter().map(|(_, r)| r.id().to_string()).collect();
        let stay: HashSet<&str> = stay.into_iter().map(|(_, r)| r.id()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(disturb(crate::common::client(&server.url), victims, stop.clone()));
        for size in [100, 333] {
            let seen = client.collection("bulk").get_full_list().batch_size(size).await.unwrap();
            assert!(seen.is_sorted_by(|a, b| a.id() < b.id()), "by id, and nothing twice");
            let seen: HashSet<&str> = seen.iter().map(Record::id).collect();
            assert_eq!(stay.difference(&seen).count(), 0, "rows that stay are all there");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writer.await.unwrap() > 20);
    })
    .await;
}

#[tokio::test]
async fn a_walk_without_the_id_in_its_fields() {
    within(60, async {
        let (server, client) = seeded(250).await;
        let walk = client.collection("bulk").get_full_list().batch_size(100).fields("n").filter("n >= 0 || n < 0");
        let all = walk.await.unwrap();
        assert!(all.iter().all(|r| r.fields().len() == 1 && r.get_i64("n").is_some()));
        let different: HashSet<_> = all.iter().map(|r| r.get_i64("n")).collect();
        assert_eq!((all.len(), different.len()), (250, 250));
        let log = server.default_proxy().requests().await;
        let pages = lists(&log);
        assert_eq!(pages.len(), 3);
        assert!(pages.iter().all(|r| r.query.contains("page=1&") || r.query.ends_with("page=1")), "keyset, not offset");
    })
    .await;
}

#[tokio::test]
async fn a_sorted_walk_repeats_nothing() {
    within(60, async {
        let (server, client) = seeded(600).await;
        let bulk = client.collection("bulk");
        let mut walk = bulk.iterate().sort("-created,-n").batch_size(100).stream();
        let mut seen = Vec::new();
        while let Some(record) = walk.next().await {
            seen.push(record.unwrap().id().to_string());
            if seen.len() % 50 == 0 {
                // A new row at the front pushes all others down a place: the next page repeats one.
                bulk.create(&json!({"n": 100_000 + seen.len()})).await.unwrap();
            }
        }
        let different: HashSet<_> = seen.iter().collect();
        assert_eq!(different.len(), seen.len());
        assert!(seen.len() >= 600);
        let log = server.default_proxy().requests().await;
        assert!(lists(&log).iter().any(|r| r.query.contains("page=2")), "offset pages");
    })
    .await;
}

#[tokio::test]
async fn a_filter_too_long_to_extend() {
    within(60, async {
        let (server, client) = seeded(30).await;
        let long = format!("n >= 0 || text = '{}'", "x".repeat(3440));
        let all = client.collection("bulk").get_full_list().filter(long.as_str()).batch_size(10).await.unwrap();
        assert_eq!(all.len(), 30);
        let log = server.default_proxy().requests().await;
        assert!(lists(&log).iter().any(|r| r.query.contains("page=3")), "offset pages");
        let too_long = "n >= 0 || ".repeat(400) + "n < 0";
        let error = client.collection("bulk").get_full_list().filter(too_long.as_str()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Validation);
    })
    .await;
}

#[tokio::test]
async fn records_one_by_one() {
    within(60, async {
        let (server, client) = seeded(350).await;
        let mut walk = client.collection("bulk").iterate().batch_size(100).stream();
        for _ in 0..10 {
            walk.next().await.unwrap().unwrap();
        }
        drop(walk);
        assert!(lists(&server.default_proxy().requests().await).len() <= 2, "pages are fetched as they are needed");
        let all: Vec<_> = client.collection("bulk").iterate().batch_size(100).stream().collect().await;
        assert_eq!(all.len(), 350);
        let mut walk = client.collection("bulk").iterate().batch_size(100).stream();
        walk.next().await.unwrap().unwrap();
        for count in [99, 100, 100, 50, 0, 0] {
            assert_eq!(walk.next_page().await.unwrap().len(), count);
        }
        let mut none = client.collection("nothing").iterate().stream();
        assert_eq!(none.next().await.unwrap().unwrap_err().kind(), ErrorKind::NotFound);
        assert!(none.next().await.is_none(), "an error ends the walk");
    })
    .await;
}

#[tokio::test]
async fn a_view_is_walked_too() {
    within(60, async {
        let server = kit().server().await;
        server.seed_like("posts", 25, json!({"title": "Post {n}"})).await;
        let all = client(&server.url).collection("posts_view").get_full_list().batch_size(10).await.unwrap();
        assert_eq!(all.len(), 25);
    })
    .await;
}

#[tokio::test]
async fn records_by_their_ids() {
    within(60, async {
        let (server, client) = seeded(300).await;
        let bulk = client.collection("bulk");
        let all = bulk.get_full_list().await.unwrap();
        let mut wanted: Vec<&str> = ids(&all)[..250].to_vec();
        wanted.reverse();
        server.default_proxy().clear_requests().await;
        let many = bulk.get_many(&wanted).await.unwrap();
        assert_eq!(ids(&many.records), wanted);
        assert!(many.missing.is_empty());
        let log = server.default_proxy().requests().await;
        assert_eq!(lists(&log).len(), 3);

        let (gone, odd) = (record_id(), "a\"b' || id != '".to_string());
        let mixed = [gone.as_str(), wanted[3], &odd, wanted[0], "", wanted[3]];
        let many = bulk.get_many(mixed).fields("n").await.unwrap();
        assert_eq!(many.missing, [gone.as_str(), &odd, ""]);
        assert_eq!(many.records.len(), 3);
        assert!(many.records[0] == many.records[2] && many.records[0].fields().len() == 1);
        server.default_proxy().clear_requests().await;
        assert!(bulk.get_many(Vec::<String>::new()).await.unwrap().records.is_empty());
        assert!(calls(&server.default_proxy().requests().await, "bulk").is_empty());
    })
    .await;
}
